/* SPDX-License-Identifier: MIT */
/* What sync.h promises, call by call. */
#include "../core/core_help.h"

struct stage {
	struct coop_event event, set;
	struct coop_pulse pulse, sent;
	struct coop_sem sem, none; /* with one permit, and without */
	struct coop_mutex mutex, mine;
	struct coop_rwlock lock, read;
	struct coop_cond cond, other; /* of `mine`, of `mutex` */
	struct coop_barrier barrier;
	struct coop_limiter limiter, borrowed;
	struct coop_borrower borrower, borrows;
	struct coop_future future, kept;
	struct coop_once once;
	struct coop_latch latch, zero;
};

#include "contract.h"

static void stage_open(struct stage *s, bool in_task)
{
	*s = (struct stage){ .event = COOP_EVENT_INIT,
			     .set = COOP_EVENT_INIT,
			     .pulse = COOP_PULSE_INIT,
			     .sent = COOP_PULSE_INIT,
			     .sem = COOP_SEM_INIT(1),
			     .none = COOP_SEM_INIT_MAX(0, 1),
			     .mutex = COOP_MUTEX_INIT,
			     .mine = COOP_MUTEX_INIT,
			     .lock = COOP_RWLOCK_INIT,
			     .read = COOP_RWLOCK_INIT,
			     .cond = COOP_COND_INIT(&s->mine),
			     .other = COOP_COND_INIT(&s->mutex),
			     .barrier = COOP_BARRIER_INIT(1),
			     .limiter = COOP_LIMITER_INIT(1),
			     .borrowed = COOP_LIMITER_INIT(2),
			     .borrower = COOP_BORROWER_INIT,
			     .borrows = COOP_BORROWER_INIT,
			     .future = COOP_FUTURE_INIT,
			     .kept = COOP_FUTURE_INIT,
			     .once = COOP_ONCE_INIT,
			     .latch = COOP_LATCH_INIT(1),
			     .zero = COOP_LATCH_INIT(0) };
	if (!in_task)
		return;
	CHECK_INT(coop_event_set(&s->set), ==, 0);
	CHECK_INT(coop_pulse_send(&s->sent), ==, 0);
	CHECK_INT(coop_mutex_try_lock(&s->mine), ==, 0);
	CHECK_INT(coop_rwlock_try_read(&s->read), ==, 0);
	CHECK_INT(coop_limiter_try_acquire(&s->borrowed), ==, 0);
	CHECK_INT(coop_limiter_try_acquire_for(&s->borrowed, &s->borrows), ==, 0);
	CHECK_INT(coop_future_set(&s->kept, s), ==, 0);
}

static void stage_close(struct stage *s, bool in_task)
{
	if (in_task) {
		coop_mutex_unlock(&s->mine);
		coop_mutex_unlock(&s->mutex);
		coop_rwlock_unlock(&s->lock);
		coop_rwlock_unlock(&s->read);
		coop_limiter_release(&s->limiter);
		coop_limiter_release(&s->borrowed);
		coop_future_set(&s->future, NULL);
	}
	coop_error_clear();
}

static int seven(void *arg)
{
	(void)arg;
	return 7;
}

/* ---- events */

ROW(coop_event_set, NEVER, 0, COOP_ENOTASK)
{
	return coop_event_set(&s->event);
}

ROW_AS(coop_event_set, again, NEVER, 1, COOP_ENOTASK)
{
	return coop_event_set(&s->set);
}

ROW(coop_event_wait, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_event_wait(&s->set);
}

ROW(coop_event_is_set, NEVER, 1, 0)
{
	return coop_event_is_set(&s->set);
}

ROW(coop_event_stats, NEVER, 0, 0)
{
	struct coop_event_stats stats;

	return coop_event_stats(&s->event, &stats);
}

ROW(coop_event_deinit, NEVER, COOP_ECLOSED, COOP_ECLOSED)
{
	struct coop_event_stats stats;

	coop_event_deinit(NULL);
	coop_event_deinit(&s->event);
	return coop_event_stats(&s->event, &stats);
}

/* ---- pulses */

ROW(coop_pulse_send, NEVER, 0, COOP_ENOTASK)
{
	return coop_pulse_send(&s->pulse);
}

ROW_AS(coop_pulse_send, again, NEVER, 1, COOP_ENOTASK)
{
	return coop_pulse_send(&s->sent);
}

ROW(coop_pulse_send_all, NEVER, 0, COOP_ENOTASK)
{
	return coop_pulse_send_all(&s->pulse);
}

ROW(coop_pulse_wait, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_pulse_wait(&s->sent);
}

ROW(coop_pulse_try_wait, NEVER, 0, COOP_ENOTASK)
{
	return coop_pulse_try_wait(&s->sent);
}

ROW_AS(coop_pulse_try_wait, none, NEVER, -EAGAIN, COOP_ENOTASK)
{
	return coop_pulse_try_wait(&s->pulse);
}

ROW(coop_pulse_stats, NEVER, 0, 0)
{
	struct coop_event_stats stats;

	return coop_pulse_stats(&s->pulse, &stats);
}

ROW(coop_pulse_deinit, NEVER, COOP_ECLOSED, COOP_ECLOSED)
{
	struct coop_event_stats stats;

	coop_pulse_deinit(NULL);
	coop_pulse_deinit(&s->pulse);
	return coop_pulse_stats(&s->pulse, &stats);
}

/* ---- semaphores */

ROW(coop_sem_acquire, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_sem_acquire(&s->sem);
}

ROW(coop_sem_try_acquire, NEVER, 0, COOP_ENOTASK)
{
	return coop_sem_try_acquire(&s->sem);
}

ROW_AS(coop_sem_try_acquire, none, NEVER, -EAGAIN, COOP_ENOTASK)
{
	return coop_sem_try_acquire(&s->none);
}

ROW(coop_sem_release, NEVER, 0, COOP_ENOTASK)
{
	return coop_sem_release(&s->none);
}

ROW(coop_sem_release_many, NEVER, 0, COOP_ENOTASK)
{
	return coop_sem_release_many(&s->sem, 7);
}

ROW_AS(coop_sem_release_many, beyond, NEVER, -EOVERFLOW, COOP_ENOTASK)
{
	return coop_sem_release_many(&s->none, 2);
}

ROW(coop_sem_stats, NEVER, 0, 0)
{
	struct coop_sem_stats stats;

	return coop_sem_stats(&s->sem, &stats);
}

ROW(coop_sem_deinit, NEVER, COOP_ECLOSED, COOP_ECLOSED)
{
	struct coop_sem_stats stats;

	coop_sem_deinit(NULL);
	coop_sem_deinit(&s->sem);
	return coop_sem_stats(&s->sem, &stats);
}

/* ---- mutexes */

ROW(coop_mutex_lock, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_mutex_lock(&s->mutex);
}

ROW(coop_mutex_try_lock, NEVER, 0, COOP_ENOTASK)
{
	return coop_mutex_try_lock(&s->mutex);
}

ROW_AS(coop_mutex_try_lock, twice, NEVER, -EDEADLK, COOP_ENOTASK)
{
	return coop_mutex_try_lock(&s->mine);
}

ROW(coop_mutex_unlock, NEVER, 0, COOP_ENOTASK)
{
	return coop_mutex_unlock(&s->mine);
}

ROW_AS(coop_mutex_unlock, not_owned, NEVER, -EPERM, COOP_ENOTASK)
{
	return coop_mutex_unlock(&s->mutex);
}

ROW(coop_mutex_recover, NEVER, -EINVAL, COOP_ENOTASK)
{
	return coop_mutex_recover(&s->mutex);
}

ROW(coop_mutex_stats, NEVER, 0, 0)
{
	struct coop_lock_stats stats;

	return coop_mutex_stats(&s->mutex, &stats);
}

ROW(coop_mutex_deinit, NEVER, COOP_ECLOSED, COOP_ECLOSED)
{
	struct coop_lock_stats stats;

	coop_mutex_deinit(NULL);
	coop_mutex_deinit(&s->mutex);
	return coop_mutex_stats(&s->mutex, &stats);
}

/* ---- rwlocks */

ROW(coop_rwlock_read, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_rwlock_read(&s->lock);
}

ROW(coop_rwlock_write, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_rwlock_write(&s->lock);
}

ROW(coop_rwlock_try_read, NEVER, 0, COOP_ENOTASK)
{
	return coop_rwlock_try_read(&s->lock);
}

ROW_AS(coop_rwlock_try_read, twice, NEVER, -EDEADLK, COOP_ENOTASK)
{
	return coop_rwlock_try_read(&s->read);
}

ROW(coop_rwlock_try_write, NEVER, 0, COOP_ENOTASK)
{
	return coop_rwlock_try_write(&s->lock);
}

ROW(coop_rwlock_unlock, NEVER, 0, COOP_ENOTASK)
{
	return coop_rwlock_unlock(&s->read);
}

ROW_AS(coop_rwlock_unlock, not_had, NEVER, -EPERM, COOP_ENOTASK)
{
	return coop_rwlock_unlock(&s->lock);
}

ROW(coop_rwlock_recover, NEVER, -EINVAL, COOP_ENOTASK)
{
	return coop_rwlock_recover(&s->lock);
}

ROW(coop_rwlock_stats, NEVER, 0, 0)
{
	struct coop_lock_stats stats;

	return coop_rwlock_stats(&s->lock, &stats);
}

ROW(coop_rwlock_deinit, NEVER, COOP_ECLOSED, COOP_ECLOSED)
{
	struct coop_lock_stats stats;

	coop_rwlock_deinit(NULL);
	coop_rwlock_deinit(&s->lock);
	return coop_rwlock_stats(&s->lock, &stats);
}

/* ---- conditions */

/* Without its mutex it is refused before it is a checkpoint; with it, see test_cond.c. */
ROW(coop_cond_wait, CUSTOM, -EPERM, COOP_ENOTASK)
{
	return coop_cond_wait(&s->other);
}

ROW(coop_cond_notify, NEVER, 0, COOP_ENOTASK)
{
	return coop_cond_notify(&s->cond, 3);
}

ROW_AS(coop_cond_notify, not_owned, NEVER, -EPERM, COOP_ENOTASK)
{
	return coop_cond_notify(&s->other, 3);
}

ROW(coop_cond_notify_all, NEVER, 0, COOP_ENOTASK)
{
	return coop_cond_notify_all(&s->cond);
}

ROW(coop_cond_stats, NEVER, 0, 0)
{
	struct coop_cond_stats stats;

	return coop_cond_stats(&s->cond, &stats);
}

ROW(coop_cond_deinit, NEVER, COOP_ECLOSED, COOP_ECLOSED)
{
	struct coop_cond_stats stats;

	coop_cond_deinit(NULL);
	coop_cond_deinit(&s->cond);
	return coop_cond_stats(&s->cond, &stats);
}

/* ---- barriers */

ROW(coop_barrier_wait, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_barrier_wait(&s->barrier);
}

ROW(coop_barrier_reset, NEVER, 0, COOP_ENOTASK)
{
	return coop_barrier_reset(&s->barrier);
}

ROW(coop_barrier_break, NEVER, 0, COOP_ENOTASK)
{
	return coop_barrier_break(&s->barrier);
}

ROW(coop_barrier_stats, NEVER, 0, 0)
{
	struct coop_barrier_stats stats;

	return coop_barrier_stats(&s->barrier, &stats);
}

ROW(coop_barrier_deinit, NEVER, COOP_ECLOSED, COOP_ECLOSED)
{
	struct coop_barrier_stats stats;

	coop_barrier_deinit(NULL);
	coop_barrier_deinit(&s->barrier);
	return coop_barrier_stats(&s->barrier, &stats);
}

/* ---- limiters */

ROW(coop_limiter_acquire, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_limiter_acquire(&s->limiter);
}

ROW(coop_limiter_acquire_for, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_limiter_acquire_for(&s->limiter, &s->borrower);
}

ROW(coop_limiter_try_acquire, NEVER, 0, COOP_ENOTASK)
{
	return coop_limiter_try_acquire(&s->limiter);
}

ROW_AS(coop_limiter_try_acquire, twice, NEVER, -EALREADY, COOP_ENOTASK)
{
	return coop_limiter_try_acquire(&s->borrowed);
}

ROW(coop_limiter_try_acquire_for, NEVER, 0, COOP_ENOTASK)
{
	return coop_limiter_try_acquire_for(&s->limiter, &s->borrower);
}

ROW_AS(coop_limiter_try_acquire_for, nobody, NEVER, -EINVAL, -EINVAL)
{
	return coop_limiter_try_acquire_for(&s->limiter, NULL);
}

ROW(coop_limiter_release, NEVER, 0, COOP_ENOTASK)
{
	return coop_limiter_release(&s->borrowed);
}

ROW(coop_limiter_release_for, NEVER, 0, COOP_ENOTASK)
{
	return coop_limiter_release_for(&s->borrowed, &s->borrows);
}

ROW_AS(coop_limiter_release_for, not_had, NEVER, -EPERM, COOP_ENOTASK)
{
	return coop_limiter_release_for(&s->borrowed, &s->borrower);
}

ROW(coop_limiter_set_total, NEVER, 0, COOP_ENOTASK)
{
	return coop_limiter_set_total(&s->borrowed, 1);
}

ROW(coop_limiter_stats, NEVER, 0, 0)
{
	struct coop_limiter_stats stats;

	return coop_limiter_stats(&s->limiter, &stats);
}

ROW(coop_limiter_deinit, NEVER, COOP_ECLOSED, COOP_ECLOSED)
{
	struct coop_limiter_stats stats;

	coop_limiter_deinit(NULL);
	coop_limiter_deinit(&s->limiter);
	return coop_limiter_stats(&s->limiter, &stats);
}

/* ---- futures */

ROW(coop_future_own, NEVER, 0, COOP_ENOTASK)
{
	return coop_future_own(&s->future);
}

ROW(coop_future_set, NEVER, 0, COOP_ENOTASK)
{
	return coop_future_set(&s->future, s);
}

ROW_AS(coop_future_set, again, NEVER, -EALREADY, COOP_ENOTASK)
{
	return coop_future_set(&s->kept, s);
}

ROW(coop_future_fail, NEVER, 0, COOP_ENOTASK)
{
	return coop_future_fail(&s->future, -EIO);
}

ROW_AS(coop_future_fail, no_code, NEVER, -EINVAL, -EINVAL)
{
	return coop_future_fail(&s->future, 0);
}

ROW(coop_future_wait, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_future_wait(&s->kept, NULL);
}

ROW(coop_future_get, NEVER, 0, -EAGAIN)
{
	return coop_future_get(&s->kept, NULL);
}

ROW(coop_future_stats, NEVER, 0, 0)
{
	struct coop_future_stats stats;

	return coop_future_stats(&s->future, &stats);
}

ROW(coop_future_deinit, NEVER, COOP_ECLOSED, COOP_ECLOSED)
{
	struct coop_future_stats stats;

	coop_future_deinit(NULL);
	coop_future_deinit(&s->future);
	return coop_future_stats(&s->future, &stats);
}

/* ---- once */

ROW(coop_once_run, ALWAYS, 7, COOP_ENOTASK)
{
	return coop_once_run(&s->once, seven, NULL);
}

ROW_AS(coop_once_run, nothing, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_once_run(&s->once, NULL, NULL);
}

ROW(coop_once_done, NEVER, 0, 0)
{
	return coop_once_done(&s->once);
}

ROW(coop_once_stats, NEVER, 0, 0)
{
	struct coop_once_stats stats;

	return coop_once_stats(&s->once, &stats);
}

ROW(coop_once_deinit, NEVER, COOP_ECLOSED, COOP_ECLOSED)
{
	struct coop_once_stats stats;

	coop_once_deinit(NULL);
	coop_once_deinit(&s->once);
	return coop_once_stats(&s->once, &stats);
}

/* ---- cases */

static int select_one(struct coop_case c, int rc)
{
	int r = coop_select_try(&c, 1, NULL);

	if (r == 0)
		CHECK_INT(c.rc, ==, rc);
	return r;
}

ROW(coop_case_event, NEVER, 0, COOP_ENOTASK)
{
	return select_one(coop_case_event(&s->set), 0);
}

ROW(coop_case_pulse, NEVER, 0, COOP_ENOTASK)
{
	return select_one(coop_case_pulse(&s->sent), 0);
}

ROW(coop_case_sem, NEVER, 0, COOP_ENOTASK)
{
	return select_one(coop_case_sem(&s->sem), 0);
}

ROW(coop_case_future, NEVER, 0, COOP_ENOTASK)
{
	return select_one(coop_case_future(&s->kept, NULL), 0);
}

/* ---- latches */

ROW(coop_latch_add, NEVER, 0, COOP_ENOTASK)
{
	return coop_latch_add(&s->latch, 1);
}

ROW(coop_latch_done, NEVER, 0, COOP_ENOTASK)
{
	return coop_latch_done(&s->latch);
}

ROW_AS(coop_latch_done, none, NEVER, -EOVERFLOW, COOP_ENOTASK)
{
	return coop_latch_done(&s->zero);
}

ROW(coop_latch_wait, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_latch_wait(&s->zero);
}

ROW(coop_latch_stats, NEVER, 0, 0)
{
	struct coop_latch_stats stats;

	return coop_latch_stats(&s->latch, &stats);
}

ROW(coop_latch_deinit, NEVER, COOP_ECLOSED, COOP_ECLOSED)
{
	struct coop_latch_stats stats;

	coop_latch_deinit(NULL);
	coop_latch_deinit(&s->latch);
	return coop_latch_stats(&s->latch, &stats);
}
