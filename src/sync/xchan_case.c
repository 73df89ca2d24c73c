/* SPDX-License-Identifier: MIT */
/*
 * Channels between threads as cases of a select.
 *
 * Another thread must not complete such a case: at the same moment a task of the run may complete
 * another one, and only one of them may have an effect. So it is the loop that does. A case that
 * waits is a *lookout* at the channel; a thread that brings what it waits for takes it off the
 * list and tells its loop by a post, and there the case is tried like any other that may be ready:
 * if that succeeds it is chosen, and if somebody was faster it goes back to where it was.
 *
 * Invariants, under the lock
 *   1. As many lookouts have been told, or more, as there are values to be had (or places, and
 *      receivers that wait), or all have been. So each thing that comes tells one; one that is
 *      enlisted while there is something has told itself; and one that leaves after it was told
 *      tells another.
 *   2. Its post lies in the case. So a select that leaves a case that has been told is not
 *      over before the post has arrived; that is a turn of the loop at most. The same holds if its
 *      own run completes such a case.
 *
 * Who waits in a call comes before the lookouts. Where there is no buffer, a select meets calls
 * that wait, and everything of its own run; not a try_ call, or a select, of another thread.
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

	if (CP_LIKELY(!w))
		return;
	list_remove(l, w);
	tell(l, w, told);
}

void cp_xlookout_tell_all(struct xlookouts *l, struct xtold *told)
{
	while (l->first)
		cp_xlookout_tell(l, told);
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

/* -------------------------------------------------------------------------- waiting */

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

static bool is_local(struct xlookout *w, const void *select)
{
	return cp_inbox_is_of(w->inbox, cp_rt) && case_of(w)->_select != select;
}

/*
 * The first lookout of this run that is no case of `select`; off its list. One that was told is as
 * good, if it will find nothing: there are more of them than calls that wait. Locked.
 */
static struct coop_case *local_lookout(struct xlookouts *l, uint32_t calls, const void *select)
{
	for (struct xlookout *w = l->first; w; w = w->next)
		if (is_local(w, select)) {
			list_remove(l, w);
			l->count--;
			return case_of(w);
		}
	if (l->told_count <= calls)
		return NULL;
	for (struct cp_waiter *e = l->told; e; e = e->next)
		if (is_local(lookout_of(cp_case_of(e)), select)) {
			told_remove(l, cp_case_of(e), CP_XL_LEFT); /* its post is on the way */
			l->count--;
			return cp_case_of(e);
		}
	return NULL;
}

/* Without a buffer: the case at the other end that this one has met, to be chosen. Locked. */
static struct coop_case *meet(struct coop_xchan *x, bool sending, void *item, const void *select)
{
	struct coop_case *c;

	if (x->stats.cap || x->stats.closed)
		return NULL;
	if (sending)
		c = local_lookout(&x->receives, x->senders.count, select);
	else
		c = local_lookout(&x->sends, x->receivers.count, select);
	if (!c)
		return NULL;
	cp_item_copy(sending ? c->_item : item, sending ? item : c->_item, x->stats.item_bytes);
	x->stats.sent++;
	x->stats.received++;
	return c;
}

static void chosen(struct cp_rt *rt, struct coop_case *c, int r)
{
	rt->external--;
	cp_waiter_wake(rt, cp_case_entry(c), r);
}

/* In the loop: somebody has brought something. */
static void arrived(struct cp_rt *rt, struct cp_post *post)
{
	struct xlookout *w = CP_CONTAINER_OF(post, struct xlookout, post);
	struct coop_case *c = case_of(w), *other = NULL;
	struct coop_xchan *x = c->_on;
	struct xtold told = { NULL, NULL };
	int64_t state = c->_time_ns; /* told, so that only the loop changes it */
	int r;

	if (state != CP_XL_TOLD) {
		c->_time_ns = CP_XL_NONE;
		if (state == CP_XL_AWAITED)
			cp_wake(rt, cp_case_entry(c)->task, 0);
		return;
	}
	cp_xchan_lock(x);
	told_remove(list_of(c), c, CP_XL_NONE);
	r = cp_xchan_now(x, queue_of(c), c->_item, &told);
	if (r == -EAGAIN && (other = meet(x, sends(c), c->_item, c->_select)))
		r = 0; /* one that came while this was not on the list */
	if (r == -EAGAIN)
		list_put_back(list_of(c), w);
	else
		list_of(c)->count--;
	cp_xchan_unlock(x);
	cp_xchan_wake(&told);
	if (other)
		chosen(rt, other, 0);
	if (r != -EAGAIN)
		chosen(rt, c, r);
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
	struct xlookouts *l = list_of(c);
	struct xlookout *w = lookout_of(c);
	struct xtold told = { NULL, NULL };

	w->inbox = cp_inbox_of(rt);
	w->post = (struct cp_post){ .arrived = arrived };
	rt->external++;
	cp_xchan_lock(c->_on);
	l->count++;
	if (ready(c->_on, l)) /* since it was tried */
		tell(l, w, &told);
	else
		list_append(l, w);
	cp_xchan_unlock(c->_on);
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

int cp_xlookout_meet(struct coop_xchan *x, struct xqueue *q, void *item)
{
	struct coop_case *c;

	cp_xchan_lock(x);
	c = meet(x, q == &x->senders, item, NULL);
	cp_xchan_unlock(x);
	if (!c)
		return -EAGAIN;
	chosen(cp_rt, c, 0);
	return 0;
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
