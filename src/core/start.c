/* SPDX-License-Identifier: MIT */
/*
 * Starting with a handshake: the child lives in a hidden group of the starter until it
 * has called coop_started, and then moves to its own.
 *
 * While it is hidden, the starter's scopes are around it and its failure goes to the
 * starter, bare. The target group counts the pending start in _live (I5), so it
 * stays open. Moving is one step: taken out, put in, then brought up to date with what
 * the new scopes say; a task that a cancellation has reached is never moved.
 *
 * The hidden group is a group like others: the child finds it by coop_self_group, and what
 * it spawns there moves with it, or is waited for if nobody moves, and so do clean-ups that are
 * registered there; a deadline that is set there ends with the start. When it was cancelled by
 * itself, by a helper's failure or by the child, that is not a cancellation of the starter.
 */
#include "core/group.h"

#include <errno.h>
#include <string.h>

static int start_entry(void *arg)
{
	struct coop_start *start = arg;

	return start->fn(start->arg, start);
}

/* What the child has on the heap: an extra with the child's side of the handshake. */
static struct cp_extra *make_extra(struct cp_rt *rt, coop_start_fn *fn, void *arg, const char *name,
				   bool handle)
{
	struct cp_extra *x = cp_extra_new(rt);

	if (!x)
		return NULL;
	if (name)
		cp_copy_name(x->name, name);
	x->start = cp_calloc(1, sizeof *x->start);
	if (handle)
		x->handle = cp_handle_new(rt);
	if (!x->start || (handle && !x->handle)) {
		struct coop_handle *h = x->handle;

		cp_extra_free(rt, x);
		coop_handle_release(h);
		return NULL;
	}
	x->start->rt = rt;
	x->start->fn = fn;
	x->start->arg = arg;
	return x;
}

/* How the start ended, from what is left in the hidden group. */
static int result_of(struct cp_rt *rt, struct cp_starter *st)
{
	struct coop_group *g = &st->hidden;
	bool passed = g->_flags & CP_GROUP_PASSED && !cp_scope_catches(&g->_scope);
	int r;

	if (passed)
		rt->body->delivered = true; /* it travels on, beside an error or alone */
	r = cp_group_leave_hidden(rt, g, passed);
	if (st->adopted || r < 0)
		return r;
	if (passed)
		return COOP_ECANCELED;
	return st->started ? 0 : COOP_ENOTSTARTED;
}

/* Puts the child into the hidden group and waits until it has left it. */
static int run_start(struct cp_rt *rt, struct cp_starter *st, struct coop_task *t)
{
	struct cp_wait w = { .what = "coop_start", .on = &st->hidden, .kind = CP_ON_CHILDREN };

	st->hidden._flags |= CP_GROUP_HIDDEN | CP_GROUP_JOINING;
	st->hidden._waiting = true;
	cp_group_link(&st->hidden, t); /* in the place of the body, which waits: _live stays 1 */
	st->target->_live++;
	cp_ready(rt, t);
	cp_park(rt, &w);
	if (st->hidden._services)
		cp_group_drain_services(rt, &st->hidden, "coop_start");
	CP_ASSERT(!st->hidden._first);
	if (!st->adopted || st->kept)
		cp_group_left(rt, st->target);
	return result_of(rt, st);
}

int coop_start_at(struct coop_group *group, coop_start_fn *fn, void *arg, const char *name,
		  const char *site, int *ret_value, struct coop_handle **ret_handle)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_starter st = { .hidden = COOP_GROUP_INIT, .target = group };
	struct coop_handle *h;
	struct cp_extra *x;
	struct coop_task *t;
	int r;

	if (!rt)
		return cp_group_no_task(group);
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_start");
	r = cp_group_usable(group);
	if (r < 0)
		return r;
	if (!fn)
		return -EINVAL;
	if (cp_group_full(rt, group))
		return -EAGAIN;
	x = make_extra(rt, fn, arg, name, ret_handle != NULL);
	if (!x)
		return -ENOMEM;
	r = cp_task_new(rt, start_entry, x->start, site, x, &t);
	if (r < 0) {
		h = x->handle;
		cp_extra_free(rt, x);
		coop_handle_release(h);
		return r;
	}
	h = x->handle;
	if (h) {
		h->task = t;
		h->refs = 2;
	}
	x->start->starter = &st;
	r = cp_group_open(rt, &st.hidden, NULL, site);
	CP_ASSERT(r == 0);
	r = run_start(rt, &st, t);
	if (r < 0) {
		coop_handle_release(h);
		return r;
	}
	if (ret_value)
		*ret_value = st.value;
	if (h)
		*ret_handle = h;
	return 0;
}

/* Moves one child of the hidden group to `to`. */
static void adopt(struct cp_rt *rt, struct cp_starter *st, struct coop_task *t,
		  struct coop_group *to)
{
	cp_group_unlink(&st->hidden, t);
	cp_group_link(to, t);
	if (t->flags & CP_TASK_SERVICE) {
		st->hidden._services--;
		to->_services++;
	} else {
		st->hidden._live--;
		to->_live++;
	}
	if (t->state == CP_NEW)
		return;
	t->body->base._outer = &to->_scope;
	cp_scope_changed(rt, &t->body->base);
}

/*
 * Where the child goes. The target may be the hidden group of another start, which has moved on
 * in the meantime; it is still there, and its own target, since this start keeps it.
 */
static struct coop_group *end_of_way(const struct cp_starter *st)
{
	struct coop_group *g = st->target;

	while (g->_flags & CP_GROUP_HIDDEN &&
	       CP_CONTAINER_OF(g, struct cp_starter, hidden)->adopted)
		g = CP_CONTAINER_OF(g, struct cp_starter, hidden)->target;
	return g;
}

/* Clean-ups of the hidden group: in the target they run before those that were there. */
static void move_clean_ups(struct coop_scope *from, struct coop_scope *to)
{
	struct coop_defer **end = &from->_defers;

	if (!from->_defers)
		return;
	while (*end)
		end = &(*end)->_next;
	*end = to->_defers;
	to->_defers = from->_defers;
	to->_more |= CP_MORE_DEFERS;
	from->_defers = NULL;
}

int coop_started(struct coop_start *start, int value)
{
	struct cp_rt *rt = cp_rt;
	struct coop_group *to;
	struct cp_starter *st;

	if (!start)
		return 0;
	if (rt != start->rt)
		return cp_rt_forked() ? COOP_EFORK : COOP_EWRONGTHREAD;
	if (!rt->cur)
		return COOP_ENOTASK;
	if (start->called)
		return -EALREADY;
	start->called = true;
	st = start->starter;
	st->started = true;
	st->value = value;
	if (st->hidden._scope._eff) /* a cancellation is on its way: nobody is moved */
		return 0;
	to = end_of_way(st);
	while (st->hidden._first)
		adopt(rt, st, st->hidden._first, to);
	move_clean_ups(&st->hidden._scope, &to->_scope);
	st->adopted = true;
	start->starter = NULL;
	/* Starts into the hidden group still go on: till then it stays, and its target open. */
	st->kept = st->hidden._live > 0;
	if (st->kept)
		return 0;
	cp_group_left(rt, st->target); /* the pending start; its child counts for itself now */
	cp_group_count_peak(to);
	st->hidden._live = 1;
	cp_group_left(rt, &st->hidden);
	return 0;
}
