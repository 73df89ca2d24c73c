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

/* A case that is never chosen: what the NULL object is. */
extern const struct cp_selectable cp_select_never;

#endif
