/* SPDX-License-Identifier: MIT */
/*
 * What can be waited for by coop_select, from the inside.
 *
 * An object that wants to be in a select has a struct cp_selectable: how a case tries, and how it
 * waits. A case that waits is an entry in a queue of the object like any other, so the object
 * wakes it like any other: cp_queue_wake or cp_waiter_wake, with the result that the case
 * gets. The entry knows that it is one of several and takes out the rest. Whoever looks
 * behind the entry, for the place of a value say, finds the case: cp_case_of(entry).
 *
 * A case is chosen when its entry is taken out, or when it could be taken at once; of all others
 * nothing is left then, so no other object can hand anything to this select.
 *
 * A case that is known to other threads (of a channel between threads) can be chosen by one of
 * them, at any moment. So a select with such a case has one word that says whether it is
 * decided, and who wants to complete a case of it, or to cancel it, has to get that first:
 *
 *   OPEN --hold--> HELD --choose--> DECIDED
 *                  HELD --let go--> OPEN
 *
 * HELD lasts for a few instructions, or for the copy of a value, and who comes then sleeps until it
 * is over: he may be of a higher priority than who is at it, on the same core. Who holds two has
 * got them in the order of their addresses; who holds one takes no lock. What decides in another
 * thread posts to the select's loop, and only that takes the other entries out. Until it does they
 * are in the queues of the run, as if the select still waited: so whoever takes an entry of such a
 * queue does it by cp_select_take.
 */
#ifndef CP_SELECT_H
#define CP_SELECT_H

#include "core/park.h"

#include <coop/channel.h>

struct cp_selectable {
	/* Completes the case: 0 or an error, which is its result. -EAGAIN: it has to wait. */
	int (*take)(struct cp_rt *rt, struct coop_case *c);
	/* Nothing could be taken: appends cp_case_entry(c) to a queue of the object. */
	void (*enlist)(struct cp_rt *rt, struct coop_case *c);
	/* It waits no longer; it was not chosen. NULL: leaving the queue is all. */
	void (*withdraw)(struct cp_rt *rt, struct coop_case *c);
	/* In the select's task, when it has waited: waits for others to let go of the case,
	 * whatever has become of it, and is not interrupted. NULL: nobody else has it. */
	void (*settle)(struct cp_rt *rt, struct coop_case *c);
};

_Static_assert(sizeof(struct cp_waiter) == sizeof(((struct coop_case *)0)->_entry) &&
		       offsetof(struct coop_case, _entry) == 0,
	       "an entry is the begin of a case");

CP_INLINE struct cp_waiter *cp_case_entry(struct coop_case *c)
{
	return (struct cp_waiter *)c->_entry;
}

CP_INLINE struct coop_case *cp_case_of(struct cp_waiter *e)
{
	return (struct coop_case *)e;
}

CP_INLINE struct coop_case cp_case(const struct cp_selectable *ops, void *on, void *item)
{
	return (struct coop_case){ ._ops = ops, ._on = on, ._item = item };
}

/* Of the select that a case waits in, `c->_select`. False: it is decided. Any thread. */
bool cp_select_hold(void *select);
/* The same, and without waiting for who holds it: may it be undecided still? */
bool cp_select_is_open(void *select);
void cp_select_let_go(void *select);
/* It was held. The case's entry has to be woken now, in its loop. */
void cp_select_choose(void *select, struct coop_case *c);

/* A case of a select is about to be completed by its own run. False: another thread was faster,
 * and the select waits at no queue any more. */
bool cp_select_claim(struct cp_waiter *e);

/* May another thread complete the select that this entry is of? */
bool cp_select_is_shared(struct cp_waiter *e);

/* Takes the first entry out that can be completed, and has to be; NULL if there is none. */
CP_INLINE struct cp_waiter *cp_select_take(struct cp_queue *q)
{
	struct cp_waiter *e;

	do
		e = cp_queue_take(q);
	while (e && CP_UNLIKELY(e->chosen != NULL) && !cp_select_claim(e));
	return e;
}

/* As cp_queue_wake, of a queue where selects may wait. */
CP_INLINE bool cp_select_wake(struct cp_rt *rt, struct cp_queue *q, int result)
{
	struct cp_waiter *e = cp_select_take(q);

	if (!e)
		return false;
	cp_waiter_wake(rt, e, result);
	return true;
}

/* A case that is never chosen: what the NULL object is. */
extern const struct cp_selectable cp_select_never;

#endif
