/* SPDX-License-Identifier: MIT */
/* Each primitive belongs to the thread of its first use: others are refused, and change nothing. */
#include "sync_help.h"

#include <pthread.h>

static struct things {
	struct coop_event event;
	struct coop_pulse pulse;
	struct coop_sem sem;
	struct coop_mutex mutex, owned;
	struct coop_rwlock lock;
	struct coop_cond cond;
	struct coop_barrier barrier;
	struct coop_limiter limiter;
	struct coop_borrower borrower;
	struct coop_future future;
	struct coop_once once;
	struct coop_latch latch;
} t;

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* First uses that leave everything free. */
static void use_all(void)
{
	t = (struct things){ .event = COOP_EVENT_INIT,
			     .pulse = COOP_PULSE_INIT,
			     .sem = COOP_SEM_INIT(1),
			     .mutex = COOP_MUTEX_INIT,
			     .owned = COOP_MUTEX_INIT,
			     .lock = COOP_RWLOCK_INIT,
			     .cond = COOP_COND_INIT(&t.owned),
			     .barrier = COOP_BARRIER_INIT(1),
			     .limiter = COOP_LIMITER_INIT(1),
			     .borrower = COOP_BORROWER_INIT,
			     .future = COOP_FUTURE_INIT,
			     .once = COOP_ONCE_INIT,
			     .latch = COOP_LATCH_INIT(1) };
	CHECK_INT(coop_pulse_try_wait(&t.pulse), ==, -EAGAIN);
	CHECK_INT(coop_sem_acquire(&t.sem), ==, 0);
	CHECK_INT(coop_sem_release(&t.sem), ==, 0);
	CHECK_INT(coop_mutex_lock(&t.mutex), ==, 0);
	CHECK_INT(coop_mutex_unlock(&t.mutex), ==, 0);
	CHECK_INT(coop_rwlock_read(&t.lock), ==, 0);
	CHECK_INT(coop_rwlock_unlock(&t.lock), ==, 0);
	CHECK_INT(coop_mutex_lock(&t.owned), ==, 0);
	CHECK_INT(coop_cond_notify_all(&t.cond), ==, 0);
	CHECK_INT(coop_barrier_wait(&t.barrier), ==, 0);
	CHECK_INT(coop_limiter_acquire(&t.limiter), ==, 0);
	CHECK_INT(coop_limiter_release(&t.limiter), ==, 0);
	CHECK_INT(coop_future_own(&t.future), ==, 0);
	CHECK_INT(coop_once_run(&t.once, nothing, NULL), ==, 0);
	CHECK_INT(coop_latch_add(&t.latch, 1), ==, 0);
	CHECK_INT(coop_event_set(&t.event), ==, 0);
}

#define REFUSED(call) CHECK_INT((call), ==, COOP_EWRONGTHREAD)

static int looks(void)
{
	struct coop_event_stats event;
	struct coop_sem_stats sem;
	struct coop_lock_stats lock;
	struct coop_cond_stats cond;
	struct coop_barrier_stats barrier;
	struct coop_limiter_stats limiter;
	struct coop_future_stats future;
	struct coop_once_stats once;
	struct coop_latch_stats latch;

	REFUSED(coop_event_stats(&t.event, &event));
	REFUSED(coop_pulse_stats(&t.pulse, &event));
	REFUSED(coop_sem_stats(&t.sem, &sem));
	REFUSED(coop_mutex_stats(&t.mutex, &lock));
	REFUSED(coop_rwlock_stats(&t.lock, &lock));
	REFUSED(coop_cond_stats(&t.cond, &cond));
	REFUSED(coop_barrier_stats(&t.barrier, &barrier));
	REFUSED(coop_limiter_stats(&t.limiter, &limiter));
	REFUSED(coop_future_stats(&t.future, &future));
	REFUSED(coop_once_stats(&t.once, &once));
	REFUSED(coop_latch_stats(&t.latch, &latch));
	return 0;
}

static int tries_all(void *arg)
{
	(void)arg;
	REFUSED(coop_event_set(&t.event));
	REFUSED(coop_event_wait(&t.event));
	REFUSED(coop_pulse_send(&t.pulse));
	REFUSED(coop_pulse_send_all(&t.pulse));
	REFUSED(coop_pulse_wait(&t.pulse));
	REFUSED(coop_pulse_try_wait(&t.pulse));
	REFUSED(coop_sem_acquire(&t.sem));
	REFUSED(coop_sem_try_acquire(&t.sem));
	REFUSED(coop_sem_release(&t.sem));
	REFUSED(coop_sem_release_many(&t.sem, 2));
	REFUSED(coop_mutex_lock(&t.mutex));
	REFUSED(coop_mutex_try_lock(&t.mutex));
	REFUSED(coop_rwlock_read(&t.lock));
	REFUSED(coop_rwlock_write(&t.lock));
	REFUSED(coop_rwlock_try_read(&t.lock));
	REFUSED(coop_rwlock_try_write(&t.lock));
	REFUSED(coop_rwlock_recover(&t.lock));
	REFUSED(coop_cond_wait(&t.cond));
	REFUSED(coop_cond_notify(&t.cond, 1));
	REFUSED(coop_barrier_wait(&t.barrier));
	REFUSED(coop_barrier_reset(&t.barrier));
	REFUSED(coop_barrier_break(&t.barrier));
	REFUSED(coop_limiter_acquire(&t.limiter));
	REFUSED(coop_limiter_try_acquire(&t.limiter));
	REFUSED(coop_limiter_acquire_for(&t.limiter, &t.borrower));
	REFUSED(coop_limiter_try_acquire_for(&t.limiter, &t.borrower));
	REFUSED(coop_limiter_release_for(&t.limiter, &t.borrower));
	REFUSED(coop_limiter_set_total(&t.limiter, 5));
	REFUSED(coop_future_own(&t.future));
	REFUSED(coop_future_set(&t.future, NULL));
	REFUSED(coop_future_fail(&t.future, -EIO));
	REFUSED(coop_future_wait(&t.future, NULL));
	REFUSED(coop_future_get(&t.future, NULL));
	REFUSED(coop_once_run(&t.once, nothing, NULL));
	REFUSED(coop_latch_add(&t.latch, 1));
	REFUSED(coop_latch_done(&t.latch));
	REFUSED(coop_latch_wait(&t.latch));
	CHECK_INT(coop_mutex_unlock(&t.owned), ==, -EPERM);
	CHECK_INT(coop_rwlock_unlock(&t.lock), ==, -EPERM);
	CHECK_INT(coop_limiter_release(&t.limiter), ==, -EPERM);
	return looks();
}

/* As cases of a select they are chosen, and say so. */
static int selects_all(void *arg)
{
	struct coop_case cases[] = { coop_case_event(&t.event), coop_case_pulse(&t.pulse),
				     coop_case_sem(&t.sem), coop_case_future(&t.future, NULL) };

	(void)arg;
	for (size_t i = 0; i < 4; i++) {
		CHECK_INT(coop_select(&cases[i], 1, NULL), ==, 0);
		CHECK_INT(cases[i].rc, ==, COOP_EWRONGTHREAD);
	}
	return 0;
}

static void *other_thread(void *arg)
{
	(void)arg;
	CHECK_INT(coop_run(tries_all, NULL, &virtual_clock), ==, 0);
	CHECK_INT(coop_run(selects_all, NULL, &virtual_clock), ==, 0);
	CHECK_INT(looks(), ==, 0);
	return NULL;
}

/* Every call, from the run of another thread, free or not; afterwards all is as it was. */
TASK_TEST(every_call_from_another_thread)
{
	struct things before;
	pthread_t thread;

	use_all();
	before = t;
	CHECK_INT(pthread_create(&thread, NULL, other_thread, NULL), ==, 0);
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
	CHECK(memcmp(&before, &t, sizeof t) == 0);
	CHECK_INT(coop_mutex_unlock(&t.owned), ==, 0);
	CHECK_INT(coop_future_set(&t.future, NULL), ==, 0);
	return 0;
}
