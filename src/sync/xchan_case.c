/* SPDX-License-Identifier: MIT */
/*
 * Channels between threads as cases of a select.
 *
 * At the same moment a task of the run may complete another case of the select, and a third thread
 * yet another, and only one of them may have an effect: what decides is a word of the select, see
 * select.h. A case that waits is a *lookout* at the channel.
 *
 * Without a buffer it is *met* by whoever is at the other end: a call of any thread decides the
 * select and copies the value, both under the lock of the channel, and posts to the loop, where the
 * select then finds itself completed. A cancel that comes in between is too late.
 *
 * With a buffer a value lies in the ring, where it is anybody's. So a thread that brings one
 * decides nothing; it takes a lookout off the list and tells its loop by a post, and there the case
 * is tried like any other that may be ready: if that succeeds it is chosen, and if somebody was
 * faster it goes back to where it was. A select that is enlisted and sees that there is something
 * tells itself; so does one that could be met by another select, since only in its loop, where it
 * is parked, both can be decided at once.
 *
 * Invariants, under the lock, of lookouts of selects that are not decided
 *   1. As many have been told, or more, as there are values to be had (or places, and calls that
 *      wait), or all have been. So each thing that comes tells one; one that is enlisted while
 *      there is something has told itself; and one that leaves after it was told tells another.
 *   2. Of two that could meet, one has been told; so it tries, and meets the other.
 *   3. The post lies in the case. So a select that leaves a case that has been told is not over
 *      before the post has arrived; that is a turn of the loop at most.
 *
 * Who waits in a call comes before the lookouts.
 */
#include "sync/select.h"
#include "sync/xchan.h"

#include <errno.h>

_Static_assert(sizeof(struct xlookout) == sizeof(((struct coop_case *)0)->_reserved),
	       "a lookout lies in its case");

static struct xlookout *lookout_of(struct coop_case *c)
{
	return (struct xlookout *)c->_reserved;
}

static struct coop_case *case_of(struct xlookout *w)
{
	return CP_CONTAINER_OF((uint64_t(*)[5])w, struct coop_case, _reserved);
}

/* ------------------------------------------------------------------------- the list */

static void list_append(struct xlookouts *l, struct xlookout *w)
{
	w->next = NULL;
	w->prev = l->last;
	*(w->prev ? &w->prev->next : &l->first) = w;
	l->last = w;
	case_of(w)->_time_ns = CP_XL_LISTED;
}

static void list_put_back(struct xlookouts *l, struct xlookout *w)
{
	w->prev = NULL;
	w->next = l->first;
	*(w->next ? &w->next->prev : &l->last) = w;
	l->first = w;
	case_of(w)->_time_ns = CP_XL_LISTED;
}

static void list_remove(struct xlookouts *l, struct xlookout *w)
{
	*(w->prev ? &w->prev->next : &l->first) = w->next;
	*(w->next ? &w->next->prev : &l->last) = w->prev;
	case_of(w)->_time_ns = CP_XL_NONE;
}

/* -------------------------------------------------------------------------- telling */

/* Until it is posted `next` is the teller's, so those that are told have other links. */
static void tell(struct xlookouts *l, struct xlookout *w, struct xtold *told)
{
	struct cp_waiter *e = cp_case_entry(case_of(w));

	w->next = told->lookouts;
	told->lookouts = w;
	e->next = NULL;
	e->prev = l->told_last;
	*(e->prev ? &e->prev->next : &l->told) = e;
	l->told_last = e;
	l->told_count++;
	case_of(w)->_time_ns = CP_XL_TOLD;
}

static void told_remove(struct xlookouts *l, struct coop_case *c, enum xlookout_state state)
{
	struct cp_waiter *e = cp_case_entry(c);

	*(e->prev ? &e->prev->next : &l->told) = e->next;
	*(e->next ? &e->next->prev : &l->told_last) = e->prev;
	l->told_count--;
	c->_time_ns = state;
}

void cp_xlookout_tell(struct xlookouts *l, struct xtold *told)
{
	struct xlookout *w = l->first;

	while (CP_UNLIKELY(w != NULL) && !cp_select_is_open(case_of(w)->_select))
		w = w->next; /* it comes no more */
	if (CP_LIKELY(!w))
		return;
	list_remove(l, w);
	tell(l, w, told);
}

void cp_xlookout_tell_all(struct xlookouts *l, struct xtold *told)
{
	struct xlookout *w;

	while ((w = l->first)) {
		list_remove(l, w);
		tell(l, w, told);
	}
}

void cp_xlookout_post(struct xlookout *first)
{
	while (first) {
		struct xlookout *next = first->next; /* it may be gone once it is posted */
		int r = cp_post(first->inbox, &first->post);

		CP_ASSERT(r == 0); /* its run does not end while its select waits */
		first = next;
	}
}

/* ---------------------------------------------------------------------------- a case */

static const struct cp_selectable send_ops, recv_ops;

static bool sends(const struct coop_case *c)
{
	return c->_ops == &send_ops;
}

static struct xqueue *queue_of(struct coop_case *c)
{
	struct coop_xchan *x = c->_on;

	return sends(c) ? &x->senders : &x->receivers;
}

static struct xlookouts *list_of(struct coop_case *c)
{
	struct coop_xchan *x = c->_on;

	return sends(c) ? &x->sends : &x->receives;
}

/* Is there something for the lookouts of `l`? */
static bool ready(const struct coop_xchan *x, const struct xlookouts *l)
{
	if (x->stats.closed)
		return true;
	if (l == &x->sends)
		return x->stats.used < x->stats.cap || x->receivers.first;
	return x->stats.used || x->senders.first;
}

/* -------------------------------------------------------------------------- meeting */

/* Decides the select of `c`, and, if it is not NULL, that of `self`, which is another one. */
static bool decide(struct coop_case *c, struct coop_case *self)
{
	void *first = c->_select, *second = self ? self->_select : NULL;

	if (first == second)
		return false;
	if (second && (uintptr_t)second < (uintptr_t)first) {
		first = self->_select;
		second = c->_select;
	}
	if (!cp_select_hold(first))
		return false;
	if (second && !cp_select_hold(second)) {
		cp_select_let_go(first);
		return false;
	}
	cp_select_choose(c->_select, c);
	if (self)
		cp_select_choose(self->_select, self);
	return true;
}

/* The first of `l` that could be decided; off its list, MET. Locked. */
static struct coop_case *meet_first(struct xlookouts *l, uint32_t calls, struct coop_case *self,
				    struct xtold *told)
{
	for (struct xlookout *w = l->first; w; w = w->next)
		if (decide(case_of(w), self)) {
			list_remove(l, w);
			w->next = told->lookouts;
			told->lookouts = w;
			case_of(w)->_time_ns = CP_XL_MET;
			return case_of(w);
		}
	/* One that was told is as good, if it will find nothing: there are more than calls. */
	if (l->told_count <= calls)
		return NULL;
	for (struct cp_waiter *e = l->told; e; e = e->next)
		if (decide(cp_case_of(e), self)) {
			told_remove(l, cp_case_of(e), CP_XL_MET); /* its post is on the way */
			return cp_case_of(e);
		}
	return NULL;
}

/* For a call, or for a case that waits, which is decided then. 0 or -EAGAIN. Locked. */
static int meet(struct coop_xchan *x, bool sending, void *item, struct coop_case *self,
		struct xtold *told)
{
	struct xlookouts *l = sending ? &x->receives : &x->sends;
	uint32_t calls = sending ? x->senders.count : x->receivers.count;
	struct coop_case *c;

	if (CP_LIKELY(!l->count))
		return -EAGAIN;
	c = meet_first(l, calls, self, told);
	if (!c)
		return -EAGAIN;
	l->count--;
	cp_item_copy(sending ? c->_item : item, sending ? item : c->_item, x->stats.item_bytes);
	x->stats.sent++;
	x->stats.received++;
	return 0;
}

int cp_xlookout_meet(struct coop_xchan *x, struct xqueue *q, void *item, struct xtold *told)
{
	return meet(x, q == &x->senders, item, NULL, told);
}

/* Is there a lookout at the other end that `c` might meet? Locked. */
static bool may_meet(const struct coop_xchan *x, const struct coop_case *c)
{
	const struct xlookouts *l = sends(c) ? &x->receives : &x->sends;
	const void *select = c->_select;

	if (x->stats.cap)
		return false;
	for (struct xlookout *w = l->first; w; w = w->next)
		if (case_of(w)->_select != select)
			return true;
	for (struct cp_waiter *e = l->told; e; e = e->next)
		if (cp_case_of(e)->_select != select)
			return true;
	return false;
}

/* -------------------------------------------------------------------------- waiting */

/* What `c`, which was told, finds: the result of it, decided; or -EAGAIN. Locked. */
static int told_now(struct coop_xchan *x, struct coop_case *c, struct xtold *told)
{
	int r;

	if (!cp_select_hold(c->_select))
		return -EAGAIN;
	r = cp_xchan_now(x, queue_of(c), c->_item, told);
	if (r != -EAGAIN) {
		cp_select_choose(c->_select, c);
		return r;
	}
	cp_select_let_go(c->_select);
	return x->stats.cap ? r : meet(x, sends(c), c->_item, c, told);
}

/* It was told, and comes: 0 or an error, with which it is chosen; or -EAGAIN. Locked. */
static int try_told(struct coop_xchan *x, struct coop_case *c, struct xtold *told)
{
	struct xlookouts *l = list_of(c);
	int r;

	told_remove(l, c, CP_XL_NONE);
	r = told_now(x, c, told);
	if (r != -EAGAIN) {
		l->count--;
		return r;
	}
	list_put_back(l, lookout_of(c));
	if (ready(x, l)) /* its select is decided: this is for another one */
		cp_xlookout_tell(l, told);
	return r;
}

/* In the loop: somebody has brought something, or a value itself. */
static void arrived(struct cp_rt *rt, struct cp_post *post)
{
	struct coop_case *c = case_of(CP_CONTAINER_OF(post, struct xlookout, post));
	struct coop_xchan *x = c->_on;
	struct xtold told = { NULL, NULL };
	enum xlookout_state state;
	int r = 0;

	cp_xchan_lock(x);
	state = c->_time_ns;
	if (state == CP_XL_TOLD)
		r = try_told(x, c, &told);
	else
		c->_time_ns = CP_XL_NONE;
	cp_xchan_unlock(x);
	cp_xchan_wake(&told);
	if (state == CP_XL_AWAITED)
		cp_wake(rt, cp_case_entry(c)->task, 0);
	if (state == CP_XL_AWAITED || state == CP_XL_LEFT || r == -EAGAIN)
		return;
	rt->external--;
	cp_waiter_wake(rt, cp_case_entry(c), r);
}

static int xchan_take(struct cp_rt *rt, struct coop_case *c)
{
	int r = cp_xchan_try(c->_on, queue_of(c), c->_item);

	if (r == -EAGAIN && !cp_inbox_of(rt))
		return -ENOMEM; /* it could not wait */
	return r;
}

static void xchan_enlist(struct cp_rt *rt, struct coop_case *c)
{
	struct xlookout *w = lookout_of(c);
	struct coop_xchan *x = c->_on;
	struct xlookouts *l = list_of(c);
	struct xtold told = { NULL, NULL };

	w->inbox = cp_inbox_of(rt);
	w->post = (struct cp_post){ .arrived = arrived };
	rt->external++;
	cp_xchan_lock(x);
	l->count++;
	if (ready(x, l) || may_meet(x, c))
		tell(l, w, &told); /* since it was tried */
	else
		list_append(l, w);
	cp_xchan_unlock(x);
	cp_xchan_wake(&told);
}

static void xchan_withdraw(struct cp_rt *rt, struct coop_case *c)
{
	struct xlookouts *l = list_of(c);
	struct xtold told = { NULL, NULL };

	rt->external--;
	cp_xchan_lock(c->_on);
	l->count--;
	if (c->_time_ns == CP_XL_LISTED) {
		list_remove(l, lookout_of(c));
	} else {
		told_remove(l, c, CP_XL_LEFT);
		if (ready(c->_on, l))
			cp_xlookout_tell(l, &told); /* what this one does not come for */
	}
	cp_xchan_unlock(c->_on);
	cp_xchan_wake(&told);
}

/* The select is over but for this: the case is not the caller's while its post is on the way. */
static void xchan_settle(struct cp_rt *rt, struct coop_case *c)
{
	struct cp_wait wait = { .what = "coop_select", .on = c->_on };

	if (c->_time_ns != CP_XL_LEFT)
		return;
	c->_time_ns = CP_XL_AWAITED;
	cp_case_entry(c)->task = rt->cur;
	rt->external++;
	cp_park(rt, &wait);
	rt->external--;
}

/* ---------------------------------------------------------------------------- cases */

static const struct cp_selectable send_ops = { .take = xchan_take,
					       .enlist = xchan_enlist,
					       .withdraw = xchan_withdraw,
					       .settle = xchan_settle };
static const struct cp_selectable recv_ops = { .take = xchan_take,
					       .enlist = xchan_enlist,
					       .withdraw = xchan_withdraw,
					       .settle = xchan_settle };

struct coop_case coop_case_xchan_send(struct coop_xchan *xchan, const void *item)
{
	return cp_case(xchan ? &send_ops : &cp_select_never, xchan, (void *)(uintptr_t)item);
}

struct coop_case coop_case_xchan_recv(struct coop_xchan *xchan, void *ret_item)
{
	return cp_case(xchan ? &recv_ops : &cp_select_never, xchan, ret_item);
}
