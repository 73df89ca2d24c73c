/* SPDX-License-Identifier: MIT */
/*
 * Handles: what the spawner keeps to ask after one task.
 *
 * Counted: the task holds one until it ends, the spawner one until it is released. The
 * result stays in the handle; the task's memory does not. Reading consumes nothing: the
 * group has its own reference to the error.
 *
 * A wait that could never end is refused at once: cp_would_deadlock walks from the running
 * task to all that wait for it, hosts of groups included, without recursion.
 */
#include "core/group.h"
#include "core/park.h"

#include <errno.h>
#include <string.h>

struct coop_handle *cp_handle_new(struct cp_rt *rt)
{
	struct coop_handle *h = cp_calloc(1, sizeof *h);

	if (!h)
		return NULL;
	h->refs = 1;
	h->rt = rt;
	h->cancel_grace_ns = COOP_NEVER;
	return h;
}

struct coop_handle *coop_handle_ref(struct coop_handle *handle)
{
	if (handle)
		handle->refs++;
	return handle;
}

struct coop_handle *coop_handle_release(struct coop_handle *handle)
{
	if (!handle || --handle->refs)
		return NULL;
	CP_ASSERT(!handle->watches);
	coop_error_unref(handle->err);
	cp_free(handle);
	return NULL;
}

/* ---------------------------------------------------------------------- the end */

void cp_handle_watch(struct coop_handle *h, struct cp_watch *w)
{
	struct cp_watch **at = &h->watches;

	w->prev = NULL;
	while (*at) {
		w->prev = *at;
		at = &(*at)->next;
	}
	w->next = NULL;
	w->handle = h;
	*at = w;
}

void cp_handle_unwatch(struct cp_watch *w)
{
	if (!w->handle)
		return;
	*(w->prev ? &w->prev->next : &w->handle->watches) = w->next;
	if (w->next)
		w->next->prev = w->prev;
	w->handle = NULL;
}

void cp_handle_ended(struct cp_rt *rt, struct coop_handle *h, enum coop_task_state state, int rc,
		     struct coop_error *err)
{
	struct cp_watch *w;

	h->ended = true;
	h->state = (uint8_t)state;
	h->rc = rc;
	h->err = coop_error_ref(err);
	h->task = NULL;
	while ((w = h->watches)) {
		cp_handle_unwatch(w);
		w->ended(rt, w);
	}
	coop_handle_release(h);
}

/* ----------------------------------------------------------------------- asking */

enum coop_task_state coop_handle_state(const struct coop_handle *handle)
{
	if (handle->ended)
		return (enum coop_task_state)handle->state;
	return handle->cancel_called ? COOP_TASK_CANCELLING : cp_task_public_state(handle->task);
}

int cp_handle_check(const struct coop_handle *h)
{
	if (!h->ended)
		return -EAGAIN;
	if (h->state == COOP_TASK_CANCELLED)
		return COOP_ETASKCANCELLED;
	return h->rc;
}

int coop_handle_result(const struct coop_handle *handle, int *ret_value)
{
	int r = cp_handle_check(handle);

	if (r < 0)
		return r;
	if (ret_value)
		*ret_value = r;
	return 0;
}

const struct coop_error *coop_handle_error(const struct coop_handle *handle)
{
	return handle->err;
}

bool coop_handle_cancel_called(const struct coop_handle *handle)
{
	return handle->cancel_called;
}

/* --------------------------------------------------------------------- cancelling */

int coop_handle_cancel_at(struct coop_handle *handle, const char *reason, int64_t grace_ns,
			  const char *site)
{
	struct cp_rt *rt = cp_rt;
	struct cp_why why = { .source = COOP_CANCEL_CALL,
			      .text = reason,
			      .site = site,
			      .grace_ns = grace_ns,
			      .kind = CP_CANCEL };
	struct coop_task *t = handle->task;
	bool first = !handle->cancel_called;

	if (grace_ns < 0)
		return -EINVAL;
	if (handle->ended)
		return 1;
	if (rt != handle->rt)
		return cp_rt_forked() ? COOP_EFORK : COOP_EWRONGTHREAD;
	why.who = rt->cur;
	handle->cancel_called = true;
	if (t->state != CP_NEW) {
		cp_scope_cancel_why(rt, &t->body->base, &why);
		return first ? 0 : 1;
	}
	if (!first)
		return 1;
	t->flags |= CP_TASK_CANCEL_REQUESTED; /* its first step will look here */
	handle->cancel_grace_ns = grace_ns;
	handle->cancel_site = site;
	handle->cancel_ns = rt->now_ns;
	if (reason)
		cp_copy_name(handle->cause.text, reason);
	if (rt->cur)
		cp_task_path(rt->cur, handle->cause.who, sizeof handle->cause.who);
	return 0;
}

/* ------------------------------------------------------------------------- cycles */

/*
 * The tasks that cannot go on before the running one does, found breadth first. A task may be
 * *stuck*: it is parked, waiting for one that is stuck; or merely unable to *end*, as the host of a
 * stuck child that has not come to its join yet: it may still release what it owns.
 *
 * Only waits that must be over before the task can go on are steps of a cycle: whoever waits for
 * one of several may be woken by another.
 */
struct search {
	struct cp_rt *rt;
	struct cp_body *first;
	struct cp_body **tail;
	bool unlimited; /* a wait that a deadline will end holds up nobody */
};

/* Will a deadline, or the end of a soft shield, end what goes on inside `s`? */
static bool time_limited(const struct coop_scope *s)
{
	for (; s; s = s->_outer) {
		if (s->_deadline_ns != COOP_NEVER)
			return true;
		if (s->_shield & CP_SHIELD_SOFT)
			return true;
		if (s->_shield & CP_SHIELD_HARD)
			return false;
	}
	return false;
}

/* Puts `b` on the list: once, and once more where it turns out to be stuck after all. */
static void reach(struct search *s, struct cp_body *b, struct cp_body *from, bool stuck)
{
	bool known = b->visit == s->rt->visit;

	if (known && (b->visit_stuck || !stuck))
		return;
	if (!known) {
		b->visit = s->rt->visit;
		b->visit_from = from; /* of the first way here: so that ways have no loops */
	}
	b->visit_stuck = stuck;
	if (known && !b->visit_done)
		return;
	b->visit_done = false;
	b->visit_next = NULL;
	*s->tail = b;
	s->tail = &b->visit_next;
}

/* One of several waits may have ended it already: then the others are on their lists still. */
static void reach_waiter(struct search *s, struct coop_task *t, struct cp_body *from)
{
	if (t->state != CP_PARKED)
		return;
	if (s->unlimited || !t->body->wait->abort || !time_limited(t->body->inner))
		reach(s, t->body, from, true);
}

/*
 * Those who wait for the end of all children of a group, of which this is one; and for room, where
 * it is the only one.
 */
static void reach_group_waiters(struct search *s, const struct coop_group *g, struct cp_body *from)
{
	struct cp_wait *first = g->_waiters, *w = first ? first->prev : NULL;
	bool only = g->_first == from->task && from->task->sib_next == from->task;

	for (; w && (only || !cp_wants_room(w)); w = w == first ? NULL : w->prev)
		reach_waiter(s, w->task, from);
}

/* Does the host's join wait for `t` to end by itself? Not for services, nor with cancel_on_join. */
static bool join_needs(const struct coop_task *t)
{
	return !(t->flags & CP_TASK_SERVICE) && !(t->group->_flags & CP_GROUP_CANCEL_ON_JOIN);
}

/* Does the host wait until its children have ended, and would no deadline let it go on? */
static bool waits_for_children(const struct search *s, const struct coop_task *host,
			       const struct coop_group *g)
{
	const struct cp_wait *w = host->body->wait;

	if (g->_flags & CP_GROUP_TEAM && !((const struct cp_team_ops *)g->_policy_fn)->host_free)
		return true; /* whatever it is at: the call returns when all have ended */
	if (host->state != CP_PARKED || w->on != g)
		return false;
	return w->kind == CP_ON_CHILDREN ||
	       (w->kind == CP_ON_REST && (s->unlimited || !time_limited(host->body->inner)));
}

/* The host of a group waits for its child: now, or it will when it comes to its join. */
static void reach_host(struct search *s, struct coop_group *g, struct cp_body *from)
{
	struct coop_task *host = cp_group_host(g);

	reach(s, host->body, from, from->visit_stuck && waits_for_children(s, host, g));
}

/*
 * A join that cancels the caller, as one of a service, or with cancel_on_join, does not end a wait
 * behind a hard shield, nor one that is `held` by itself: so from there on up to the root each host
 * waits for its child.
 */
static void reach_hosts(struct search *s, struct coop_task *t, bool held)
{
	struct coop_scope *in = t->body->inner;

	for (; t->group; t = cp_group_host(t->group)) {
		for (; in && in->_task == t; in = in->_outer)
			held |= in->_shield & CP_SHIELD_HARD;
		if (!held && !join_needs(t))
			return;
		reach_host(s, t->group, t->body);
		in = &t->group->_scope;
	}
}

/* The group that the child of a start will be in, and keeps open until then; NULL: it is none. */
static struct coop_group *start_target(const struct cp_body *b)
{
	return b->extra && b->extra->start && b->extra->start->starter
		       ? b->extra->start->starter->target
		       : NULL;
}

static void reach_all(struct search *s, struct cp_body *b)
{
	struct coop_group *target = start_target(b);

	b->visit_done = true;
	if (b->task->group && join_needs(b->task))
		reach_host(s, b->task->group, b);
	if (b->task->group && !(b->task->flags & CP_TASK_SERVICE))
		reach_group_waiters(s, b->task->group, b);
	/* A start that is going on keeps its group open, whatever cancels the group. */
	if (target) {
		reach_host(s, target, b);
		reach_group_waiters(s, target, b);
	}
	for (struct cp_held *held = b->visit_stuck ? b->held : NULL; held; held = held->next) {
		struct cp_waiter *e = held->waiters ? held->waiters->first : NULL;

		for (; e; e = e->next)
			if (!e->chosen)
				reach_waiter(s, e->task, b);
	}
	if (!b->extra || !b->extra->handle)
		return;
	for (struct cp_watch *w = b->extra->handle->watches; w; w = w->next)
		if (!w->one_of_several)
			reach_waiter(s, w->task, b);
}

/* `"a" waits for "b", which waits for "a"`, from what the search left behind. */
static void cycle_text(struct cp_rt *rt, struct cp_body *at, char *text, size_t size)
{
	char path[160];
	int n;

	cp_task_path(rt->cur, path, sizeof path);
	n = snprintf(text, size, "%s waits for", path);
	for (; at && n > 0 && (size_t)n < size; at = at->visit_from) {
		cp_task_path(at->task, path, sizeof path);
		n += snprintf(text + n, size - (size_t)n, " %s%s", path,
			      at->visit_from ? ", which waits for" : "");
	}
}

static void search_begin(struct search *s, struct cp_rt *rt, bool unlimited, bool for_good)
{
	s->rt = rt;
	s->first = NULL;
	s->tail = &s->first;
	s->unlimited = unlimited;
	rt->visit++;
	reach(s, rt->body, NULL, true);
	reach_hosts(s, rt->cur, for_good);
}

bool cp_would_deadlock(struct cp_rt *rt, struct coop_task *target, bool for_good, char *text,
		       size_t size)
{
	struct search s;

	if (!target || target->state == CP_NEW)
		return false;
	search_begin(&s, rt, true, for_good);
	for (struct cp_body *b = s.first; b; b = b->visit_next) {
		if (b->task == target) {
			cycle_text(rt, b, text, size);
			return true;
		}
		reach_all(&s, b);
	}
	return false;
}

bool cp_group_would_deadlock(struct cp_rt *rt, const struct coop_group *g, char *text, size_t size)
{
	struct search s;

	search_begin(&s, rt, true, false);
	for (struct cp_body *b = s.first; b; b = b->visit_next) {
		if ((b->task->group == g && !(b->task->flags & CP_TASK_SERVICE)) ||
		    start_target(b) == g) {
			cycle_text(rt, b, text, size);
			return true;
		}
		reach_all(&s, b);
	}
	return false;
}

static bool owns(const struct cp_body *b, const struct cp_queue *q)
{
	const struct cp_held *held = b->held;

	while (held && held->waiters != q)
		held = held->next;
	return held;
}

bool cp_queue_would_deadlock(struct cp_rt *rt, const struct cp_queue *q, char *text, size_t size)
{
	struct search s;

	if (time_limited(rt->body->inner))
		return false;
	search_begin(&s, rt, false, false);
	for (struct cp_body *b = s.first; b; b = b->visit_next) {
		if (b->visit_stuck && owns(b, q)) {
			cycle_text(rt, b, text, size);
			return true;
		}
		reach_all(&s, b);
	}
	return false;
}

/* ------------------------------------------------------------------------ waiting */

static void wake_waiter(struct cp_rt *rt, struct cp_watch *w)
{
	cp_wake(rt, w->task, 0);
}

static bool wait_abort(struct cp_wait *w)
{
	cp_handle_unwatch(w->ctx);
	return true;
}

/* The answer of a wait; a failure's object goes with it. */
static int answer(struct cp_rt *rt, const struct coop_handle *h, int *ret_value)
{
	int r = cp_handle_check(h);

	if (r < 0) {
		if (h->err) {
			cp_err_slot_drop(&rt->body->err);
			rt->body->err = coop_error_ref(h->err);
		}
		return r;
	}
	if (ret_value)
		*ret_value = r;
	return 0;
}

int coop_handle_wait(struct coop_handle *handle, int *ret_value)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_watch watch = { .ended = wake_waiter };
	struct cp_wait wait = { .abort = wait_abort,
				.what = "coop_handle_wait",
				.on = handle,
				.kind = CP_ON_TASK,
				.ctx = &watch };
	char text[400];
	int r;

	if (!rt)
		return cp_no_task();
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_handle_wait");
	if (!handle->ended && handle->rt != rt)
		return cp_refuse(COOP_EWRONGTHREAD);
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	if (handle->ended) {
		cp_schedule_point(rt);
		return answer(rt, handle, ret_value);
	}
	if (cp_would_deadlock(rt, handle->task, false, text, sizeof text)) {
		cp_schedule_point(rt);
		return coop_fail(-EDEADLK, "%s", text);
	}
	watch.task = rt->cur;
	coop_handle_ref(handle);
	cp_handle_watch(handle, &watch);
	r = cp_park(rt, &wait);
	if (r < 0)
		cp_ignored(rt);
	else
		r = answer(rt, handle, ret_value);
	coop_handle_release(handle);
	return r;
}

int coop_await_shielded(struct coop_handle *handle, int *ret_value)
{
	return coop_handle_wait(handle, ret_value);
}
