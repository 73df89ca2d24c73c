/* SPDX-License-Identifier: MIT */
/*
 * Events, pulses, semaphores and futures as cases of a select.
 *
 * A case takes as the try_ call of its object does, and waits in the object's own queue; the object
 * wakes it like any other waiter, with 0 or with the error that is then the case's result. Only a
 * future has something to hand over: it writes the value into the case, see future.c.
 */
#include "sync/select.h"
#include "sync/sync.h"

static void enlist(struct coop_case *c, void **queue)
{
	cp_queue_append((struct cp_queue *)queue, cp_case_entry(c));
}

/* -------------------------------------------------------------------- events */

static int event_take(struct cp_rt *rt, struct coop_case *c)
{
	struct coop_event *event = c->_on;
	int r = cp_sync_home(&event->_home, rt);

	if (r < 0)
		return r;
	return event->_set ? 0 : -EAGAIN;
}

static void event_enlist(struct cp_rt *rt, struct coop_case *c)
{
	(void)rt;
	enlist(c, ((struct coop_event *)c->_on)->_queue);
}

struct coop_case coop_case_event(struct coop_event *event)
{
	static const struct cp_selectable ops = { .take = event_take, .enlist = event_enlist };

	return cp_case(event ? &ops : &cp_select_never, event, NULL);
}

/* -------------------------------------------------------------------- pulses */

static int pulse_take(struct cp_rt *rt, struct coop_case *c)
{
	(void)rt;
	return coop_pulse_try_wait(c->_on);
}

static void pulse_enlist(struct cp_rt *rt, struct coop_case *c)
{
	(void)rt;
	enlist(c, ((struct coop_pulse *)c->_on)->_queue);
}

struct coop_case coop_case_pulse(struct coop_pulse *pulse)
{
	static const struct cp_selectable ops = { .take = pulse_take, .enlist = pulse_enlist };

	return cp_case(pulse ? &ops : &cp_select_never, pulse, NULL);
}

/* ---------------------------------------------------------------- semaphores */

static int sem_take(struct cp_rt *rt, struct coop_case *c)
{
	(void)rt;
	return coop_sem_try_acquire(c->_on);
}

static void sem_enlist(struct cp_rt *rt, struct coop_case *c)
{
	(void)rt;
	enlist(c, ((struct coop_sem *)c->_on)->_queue);
}

struct coop_case coop_case_sem(struct coop_sem *sem)
{
	static const struct cp_selectable ops = { .take = sem_take, .enlist = sem_enlist };

	return cp_case(sem ? &ops : &cp_select_never, sem, NULL);
}

/* ------------------------------------------------------------------- futures */

static int future_take(struct cp_rt *rt, struct coop_case *c)
{
	struct coop_future *future = c->_on;
	int r = cp_sync_home(&future->_home, rt);

	return r < 0 ? r : coop_future_get(future, c->_item);
}

static void future_enlist(struct cp_rt *rt, struct coop_case *c)
{
	(void)rt;
	enlist(c, ((struct coop_future *)c->_on)->_queue);
}

struct coop_case coop_case_future(struct coop_future *future, void **ret_value)
{
	static const struct cp_selectable ops = { .take = future_take, .enlist = future_enlist };

	return cp_case(future ? &ops : &cp_select_never, future, ret_value);
}
