/* SPDX-License-Identifier: MIT */
/*
 * Wait queues: how the layers above make tasks wait for each other, in order, cancellably.
 *
 * A queue lies in the object that is waited for; an entry lies in the frame of the task
 * that waits, or, of a select, in each of its cases: one task, several entries, one park. So
 * waiting allocates nothing, and an entry is gone before the call that made it returns.
 *
 * Invariants
 *   1. An entry is on the queue that its `queue` names, or on none (queue == NULL).
 *   2. Who wakes a task takes its entry out first; from then on the result is settled: a
 *      cancel that comes before the task runs finds it READY and changes nothing (completion wins).
 *   3. A cancel takes the entry out (the wait's abort), so nothing is ever handed to a task that
 *      is on its way out.
 *   4. Entries are served first in, first out. Where an entry leaves from the middle, whoever
 *      it held up is served by the object's own rule at once.
 *
 * A task that waits at several queues (a select) has an entry in each, with `chosen` set: whoever
 * takes one of them to wake the task calls cp_waiter_wake, which lets the select take out the rest
 * first. So cp_queue_wake serves plain waits and selects alike.
 *
 * What a task owns while others wait for it (a mutex, say) is on the list of its body, so that
 * the end of the owner is noticed, and so that a wait that could never end is refused. What must be
 * given back before a run ends (the ends of a channel, say) is on the list of the run.
 */
#ifndef CP_PARK_H
#define CP_PARK_H

#include "core/core.h"

/* Also two words of a public struct, all zero when empty. */
struct cp_queue {
	struct cp_waiter *first;
	struct cp_waiter *last;
};

struct cp_waiter {
	struct cp_waiter *next;
	struct cp_waiter *prev;
	struct cp_queue *queue; /* NULL: on none */
	struct coop_task *task; /* who waits */
	/* It has others beside it: takes those out. NULL: it is alone. */
	void (*chosen)(struct cp_waiter *entry);
};

/* A wait at one queue: what most calls put into their frame. */
struct cp_queue_wait {
	struct cp_wait wait;
	struct cp_waiter entry;
};

/* Something made in a run that has to be given back before it ends, on the list rt->debts. */
struct cp_debt {
	struct cp_debt *next;
	struct cp_debt *prev;
	/* The run has ended, and it was not given back; already off the list. */
	void (*left)(struct cp_debt *debt);
};

CP_INLINE bool cp_queue_empty(const struct cp_queue *q)
{
	return !q->first;
}

CP_INLINE void cp_queue_append(struct cp_queue *q, struct cp_waiter *e)
{
	e->queue = q;
	e->next = NULL;
	e->prev = q->last;
	*(q->last ? &q->last->next : &q->first) = e;
	q->last = e;
}

CP_INLINE void cp_queue_remove(struct cp_waiter *e)
{
	struct cp_queue *q = e->queue;

	*(e->prev ? &e->prev->next : &q->first) = e->next;
	*(e->next ? &e->next->prev : &q->last) = e->prev;
	e->queue = NULL;
}

/* Takes the first entry out; NULL if there is none. */
CP_INLINE struct cp_waiter *cp_queue_take(struct cp_queue *q)
{
	struct cp_waiter *e = q->first;

	if (!e)
		return NULL;
	q->first = e->next;
	*(e->next ? &e->next->prev : &q->last) = NULL;
	e->queue = NULL;
	return e;
}

/* Wakes the task of an entry that was taken out. */
CP_INLINE void cp_waiter_wake(struct cp_rt *rt, struct cp_waiter *e, int result)
{
	if (CP_UNLIKELY(e->chosen != NULL))
		e->chosen(e);
	cp_wake(rt, e->task, result);
}

/* Takes the first entry out and wakes its task with `result`. False: nobody waits. */
CP_INLINE bool cp_queue_wake(struct cp_rt *rt, struct cp_queue *q, int result)
{
	struct cp_waiter *e = cp_queue_take(q);

	if (!e)
		return false;
	cp_waiter_wake(rt, e, result);
	return true;
}

/* As cp_park, for calls that are counted in nanoseconds. */
CP_INLINE int cp_park_inline(struct cp_rt *rt, struct cp_wait *wait)
{
	struct coop_task *t = rt->cur;
	struct cp_body *b = rt->body;

	if (CP_UNLIKELY(b->in_judge))
		cp_die_in_judge(t, wait->what);
	wait->task = t;
	wait->since_ns = rt->now_ns;
	b->wait = wait;
	b->schedule_half++;
	t->state = CP_PARKED;
	cp_sched_leave(rt);
	return b->result;
}

/* An abort for struct cp_queue_wait: the entry leaves the queue. */
bool cp_queue_abort(struct cp_wait *wait);

/*
 * Queues the running task at `q` and waits: the result that it is woken with, or
 * COOP_ECANCELED. `w->wait` is filled but for abort (NULL: cp_queue_abort) and task.
 */
int cp_queue_park(struct cp_rt *rt, struct cp_queue *q, struct cp_queue_wait *w);

/* The task of `b` owns `held` from now on. */
CP_INLINE void cp_held_push(struct cp_body *b, struct cp_held *held)
{
	held->next = b->held;
	b->held = held;
}

/* The task of `b` owns it no more. Fast where it is the one taken last. */
void cp_held_pop(struct cp_body *b, struct cp_held *held);

/* The share of `of` that the task of `b` has, or NULL. */
struct cp_hold *cp_hold_find(struct cp_body *b, const void *of);
/* Has it room for one more? A task that waits for a share has asked before. */
bool cp_hold_room(const struct cp_body *b);
/* It has a share of `of` now; no more. */
void cp_hold_take(struct cp_body *b, void *of, struct cp_queue *waiters,
		  void (*owner_ended)(struct cp_rt *rt, struct cp_held *held));
void cp_hold_drop(struct cp_body *b, struct cp_hold *hold);

void cp_debt_add(struct cp_rt *rt, struct cp_debt *debt);
void cp_debt_drop(struct cp_rt *rt, struct cp_debt *debt);

#endif
