/* SPDX-License-Identifier: MIT */
/*
 * Who waits at a group: in coop_spawn_wait for room, or in coop_group_wait for its last child.
 *
 * Both are in one ring, from `_waiters` on by `next`, last to first as well: those that want room
 * first, in the order in which they came, then those that wait for the end, in theirs. The first
 * one's `ctx` is the last of those that want room, where there is one; nothing else is in ctx.
 *
 * So every step is as long as what it changes: the end of a child looks at those that it lets in
 * and at one more, however many spawners stand at the limit. Whoever waits for the end goes on
 * when no child is left and nobody stands before it who wants room: that one takes the place.
 */
#include "core/group.h"

/* Puts `w` before `at`, in a ring that has one at least. */
static void ring_insert(struct cp_wait *at, struct cp_wait *w)
{
	w->next = at;
	w->prev = at->prev;
	at->prev->next = w;
	at->prev = w;
}

static void waiters_add(struct coop_group *g, struct cp_wait *w)
{
	struct cp_wait *first = g->_waiters;

	if (!first) {
		w->next = w->prev = w;
		g->_waiters = w;
	} else if (!cp_wants_room(w)) {
		ring_insert(first, w);
	} else if (!cp_wants_room(first)) {
		ring_insert(first, w);
		g->_waiters = w;
	} else {
		ring_insert(((struct cp_wait *)first->ctx)->next, w);
	}
	if (cp_wants_room(w))
		((struct cp_wait *)g->_waiters)->ctx = w;
}

static void waiters_remove(struct coop_group *g, struct cp_wait *w)
{
	struct cp_wait *first = g->_waiters;

	if (w == first) {
		g->_waiters = w->next == w ? NULL : w->next;
		if (w->ctx && w->ctx != w)
			w->next->ctx = w->ctx;
	} else if (first->ctx == w) {
		first->ctx = w->prev;
	}
	w->prev->next = w->next;
	w->next->prev = w->prev;
}

/* Something has ended, or the limit was changed: lets in whoever can go on. */
CP_COLD void cp_group_wake_waiters(struct cp_rt *rt, struct coop_group *g)
{
	struct cp_wait *w;

	while ((w = g->_waiters)) {
		rt->waiters_seen++;
		if (cp_wants_room(w) ? cp_group_admit(rt, g) < 0 : !cp_group_idle(g))
			return;
		waiters_remove(g, w);
		if (cp_wants_room(w))
			g->_live++; /* its place is taken for it now */
		cp_wake(rt, w->task, 0);
	}
}

static bool waiter_abort(struct cp_wait *w)
{
	waiters_remove((struct coop_group *)(uintptr_t)w->on, w);
	return true;
}

/* Queues the running task at the group and waits; 0 or COOP_ECANCELED. */
int cp_group_wait_at(struct cp_rt *rt, struct coop_group *g, const char *what, bool for_room)
{
	struct cp_wait w = { .what = what,
			     .on = g,
			     .kind = for_room ? CP_ON_NOTHING : CP_ON_REST,
			     .abort = waiter_abort };
	int r;

	waiters_add(g, &w);
	r = cp_park(rt, &w);
	if (r < 0)
		cp_ignored(rt);
	return r;
}
