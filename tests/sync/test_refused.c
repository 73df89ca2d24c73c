/* SPDX-License-Identifier: MIT */
/*
 * Calls of sync.h that cannot wait because of what they find (a dead lock, a broken barrier, a
 * circle, a primitive given up) are whole checkpoints all the same: a loop over one of them lets
 * other tasks run, and hears a cancel.
 */
#include "../core/core_help.h"

#include "core/core.h"

static struct coop_mutex dead_mutex = COOP_MUTEX_INIT, own_mutex = COOP_MUTEX_INIT,
			 gone_mutex = COOP_MUTEX_INIT;
static struct coop_rwlock dead_lock = COOP_RWLOCK_INIT, own_lock = COOP_RWLOCK_INIT;
static struct coop_barrier barrier = COOP_BARRIER_INIT(2);
static struct coop_limiter limiter = COOP_LIMITER_INIT(3);
static struct coop_future broken = COOP_FUTURE_INIT, own_future = COOP_FUTURE_INIT;
static struct coop_once once = COOP_ONCE_INIT;
static struct coop_sem gone_sem = COOP_SEM_INIT(1);
static struct coop_event gone_event = COOP_EVENT_INIT;
static struct coop_latch gone_latch = COOP_LATCH_INIT(1);
static struct coop_pulse gone_pulse = COOP_PULSE_INIT;

static int calls_refused(void);

static int one(void *arg)
{
	(void)arg;
	return calls_refused();
}

static int lock_dead(void)
{
	return coop_mutex_lock(&dead_mutex);
}
static int lock_own(void)
{
	return coop_mutex_lock(&own_mutex);
}
static int lock_gone(void)
{
	return coop_mutex_lock(&gone_mutex);
}
static int read_dead(void)
{
	return coop_rwlock_read(&dead_lock);
}
static int write_dead(void)
{
	return coop_rwlock_write(&dead_lock);
}
static int write_own(void)
{
	return coop_rwlock_write(&own_lock);
}
static int wait_broken(void)
{
	return coop_barrier_wait(&barrier);
}
static int borrow_again(void)
{
	return coop_limiter_acquire(&limiter);
}
static int wait_broken_future(void)
{
	return coop_future_wait(&broken, NULL);
}
static int wait_own_future(void)
{
	return coop_future_wait(&own_future, NULL);
}
static int run_once(void)
{
	return coop_once_run(&once, one, NULL);
}
static int acquire_gone(void)
{
	return coop_sem_acquire(&gone_sem);
}
static int wait_gone_event(void)
{
	return coop_event_wait(&gone_event);
}
static int wait_gone_latch(void)
{
	return coop_latch_wait(&gone_latch);
}
static int wait_gone_pulse(void)
{
	return coop_pulse_wait(&gone_pulse);
}

static const struct refused {
	const char *name;
	int (*call)(void);
	int code;
} refused[] = {
	{ "coop_mutex_lock, dead", lock_dead, COOP_EOWNERDEAD },
	{ "coop_mutex_lock, own", lock_own, -EDEADLK },
	{ "coop_mutex_lock, gone", lock_gone, COOP_ECLOSED },
	{ "coop_rwlock_read, dead", read_dead, COOP_EOWNERDEAD },
	{ "coop_rwlock_write, dead", write_dead, COOP_EOWNERDEAD },
	{ "coop_rwlock_write, own", write_own, -EDEADLK },
	{ "coop_barrier_wait, broken", wait_broken, COOP_EBROKEN },
	{ "coop_limiter_acquire, again", borrow_again, -EALREADY },
	{ "coop_future_wait, broken", wait_broken_future, COOP_EBROKEN },
	{ "coop_future_wait, own", wait_own_future, -EDEADLK },
	{ "coop_sem_acquire, gone", acquire_gone, COOP_ECLOSED },
	{ "coop_event_wait, gone", wait_gone_event, COOP_ECLOSED },
	{ "coop_latch_wait, gone", wait_gone_latch, COOP_ECLOSED },
	{ "coop_pulse_wait, gone", wait_gone_pulse, COOP_ECLOSED },
};

static int runner(void *arg)
{
	int *turns = arg;
	int r;

	while ((r = coop_checkpoint()) == 0 && (r = coop_yield()) == 0)
		++*turns;
	return r;
}

static void check(const struct refused *c)
{
	struct coop_group g = COOP_GROUP_INIT;
	uint64_t cancels, schedules;
	int turns = 0;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, runner, &turns), ==, 0);
	cancels = cp_rt->body->cancel_half;
	schedules = cp_rt->body->schedule_half;
	for (int i = 0; i < 1000; i++) {
		int r = c->call();

		if (r != c->code)
			FAIL("%s: %d", c->name, r);
		coop_error_clear();
	}
	if (cp_rt->body->cancel_half - cancels != 1000)
		FAIL("%s: not each has looked for a cancel", c->name);
	if (cp_rt->body->schedule_half - schedules < 1000)
		FAIL("%s: no schedule half", c->name);
	if (turns < 5)
		FAIL("%s: others have run %d times", c->name, turns);
	coop_group_cancel(&g, "enough");
	CHECK_INT(c->call(), ==, COOP_ECANCELED);
	CHECK_INT(coop_group_join(&g, COOP_ECANCELED), ==, 0);
}

/* Takes what it does not give back. */
static int dies(void *arg)
{
	(void)arg;
	CHECK_INT(coop_mutex_lock(&dead_mutex), ==, 0);
	CHECK_INT(coop_rwlock_write(&dead_lock), ==, 0);
	CHECK_INT(coop_future_own(&broken), ==, 0);
	return 0;
}

static int calls_refused(void)
{
	static const struct refused own = { "coop_once_run, own", run_once, -EDEADLK };

	check(&own);
	return 0;
}

/* Each of them, a thousand times, beside a task that counts its turns. */
TASK_TEST(refused_calls_are_checkpoints)
{
	struct coop_group g = COOP_GROUP_INIT;

	keep_records(COOP_LOG_ERROR); /* not the warnings of what ends with a lock */
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, dies, NULL), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_mutex_lock(&own_mutex), ==, 0);
	CHECK_INT(coop_rwlock_write(&own_lock), ==, 0);
	CHECK_INT(coop_limiter_acquire(&limiter), ==, 0);
	CHECK_INT(coop_future_own(&own_future), ==, 0);
	CHECK_INT(coop_barrier_break(&barrier), >=, 0);
	coop_mutex_deinit(&gone_mutex);
	coop_sem_deinit(&gone_sem);
	coop_event_deinit(&gone_event);
	coop_latch_deinit(&gone_latch);
	coop_pulse_deinit(&gone_pulse);
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		check(&refused[i]);
	CHECK_INT(coop_once_run(&once, one, NULL), ==, 0);
	CHECK_INT(coop_future_set(&own_future, NULL), ==, 0);
	CHECK_INT(coop_limiter_release(&limiter), ==, 0);
	CHECK_INT(coop_rwlock_unlock(&own_lock), ==, 0);
	CHECK_INT(coop_mutex_unlock(&own_mutex), ==, 0);
	PROVES(B86);
	return 0;
}
