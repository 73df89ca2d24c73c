/* SPDX-License-Identifier: MIT */
/* What sync.h promises, call by call. */
#include "../core/core_help.h"

struct stage {
	struct coop_event event, set;
	struct coop_pulse pulse, sent;
	struct coop_sem sem, none; /* with one permit, and without */
	struct coop_mutex mutex, mine;
};

#include "contract.h"

static void stage_open(struct stage *s, bool in_task)
{
	*s = (struct stage){ COOP_EVENT_INIT, COOP_EVENT_INIT,  COOP_PULSE_INIT,
			     COOP_PULSE_INIT, COOP_SEM_INIT(1), COOP_SEM_INIT_MAX(0, 1),
			     COOP_MUTEX_INIT, COOP_MUTEX_INIT };
	if (!in_task)
		return;
	CHECK_INT(coop_event_set(&s->set), ==, 0);
	CHECK_INT(coop_pulse_send(&s->sent), ==, 0);
	CHECK_INT(coop_mutex_try_lock(&s->mine), ==, 0);
}

static void stage_close(struct stage *s, bool in_task)
{
	if (in_task)
		coop_mutex_unlock(&s->mine);
	if (in_task)
		coop_mutex_unlock(&s->mutex);
	coop_error_clear();
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
