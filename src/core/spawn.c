/* SPDX-License-Identifier: MIT */
/*
 * Spawning: who is let into a group, and how a task gets there.
 *
 * Everything that can fail comes first; from then on nothing does. So a spawn that is refused
 * has changed nothing, and the argument is still the caller's.
 */
#include "core/group.h"

#include <errno.h>
#include <string.h>

/* --------------------------------------------------------------------- spawning */

/* Is there room for one more? The body does not count, services do not. */
int cp_group_admit(struct cp_rt *rt, struct coop_group *g)
{
	uint32_t children = g->_live - (g->_flags & CP_GROUP_JOINING ? 0 : 1);

	(void)rt;
	return children >= g->_running_max ? -EAGAIN : 0;
}

/* Is there none, or are others waiting for it? Who waits for the end of all takes no room. */
bool cp_group_full(struct cp_rt *rt, struct coop_group *g)
{
	const struct cp_wait *w = g->_waiters;

	if (CP_LIKELY(g->_running_max == COOP_UNLIMITED))
		return false;
	return (w && cp_wants_room(w)) || cp_group_admit(rt, g) < 0;
}

CP_NOINLINE struct cp_extra *cp_extra_new(struct cp_rt *rt)
{
	struct cp_extra *extra = cp_calloc(1, sizeof *extra);

	if (extra)
		extra->locals = cp_local_ref(rt->body->locals);
	return extra;
}

/* The common case: no options. `counted`: its place in the group is taken already. */
static int spawn(struct cp_rt *rt, struct coop_group *g, coop_fn *fn, void *arg, const char *site,
		 bool counted)
{
	struct coop_task *t;
	struct cp_extra *extra = NULL;
	int r;

	if (CP_UNLIKELY(rt->body->locals != NULL)) {
		extra = cp_extra_new(rt);
		if (!extra)
			return -ENOMEM;
	}
	r = cp_task_new(rt, fn, arg, site, extra, &t);
	if (CP_UNLIKELY(r < 0)) {
		cp_extra_free(rt, extra);
		return r;
	}
	cp_group_link(g, t);
	if (!counted)
		g->_live++;
	cp_group_count_peak(g);
	cp_ready(rt, t);
	return 0;
}

/* Refused, limited, with locals to inherit, or short of nodes or stacks. */
static CP_NOINLINE int spawn_slow(struct coop_group *group, coop_fn *fn, void *arg,
				  const char *site)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (CP_UNLIKELY(!rt))
		return cp_group_no_task(group);
	r = cp_group_usable(group);
	if (CP_UNLIKELY(r < 0))
		return r;
	if (CP_UNLIKELY(!fn))
		return -EINVAL;
	if (CP_UNLIKELY(cp_group_full(rt, group)))
		return -EAGAIN;
	return spawn(rt, group, fn, arg, site, false);
}

int coop_spawn_at(struct coop_group *group, coop_fn *fn, void *arg, const char *site)
{
	struct cp_rt *rt = cp_here;
	struct cp_body *b = rt->body;
	struct coop_task *t;

	/* An open group of this thread without a limit has a live member, or is not let in. */
	if (CP_UNLIKELY(!b || group->_scope._state != CP_OPEN || group->_rt != (uintptr_t)rt ||
			!fn || !group->_live || group->_running_max != COOP_UNLIMITED ||
			b->locals || !rt->free_nodes || rt->stacks.reserved == rt->stacks.total))
		return spawn_slow(group, fn, arg, site);
	t = rt->free_nodes;
	rt->free_nodes = t->qnext;
	rt->stacks.reserved++;
	cp_task_fill(rt, t, fn, arg, site);
	cp_group_link(group, t);
	group->_live++;
	cp_group_count_peak(group);
	cp_ready(rt, t);
	return 0;
}

int coop_spawn_unless_cancelled_at(struct coop_group *group, coop_fn *fn, void *arg,
				   const char *site)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_group_no_task(group);
	r = cp_group_usable(group);
	if (r < 0)
		return r;
	if (fn && group->_scope._eff)
		return COOP_ECANCELED;
	return coop_spawn_at(group, fn, arg, site);
}

int coop_spawn_wait_at(struct coop_group *group, coop_fn *fn, void *arg, const char *site)
{
	struct cp_rt *rt = cp_in_task();
	bool counted = false;
	int r;

	if (!rt)
		return cp_group_no_task(group);
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_spawn_wait");
	r = cp_group_usable(group);
	if (r >= 0 && !fn)
		r = -EINVAL;
	r = r < 0 ? cp_refuse(r) : cp_cancel_point(rt);
	if (r < 0)
		return r;
	if (cp_group_full(rt, group)) {
		r = cp_group_wait_at(rt, group, "coop_spawn_wait", true);
		if (r < 0)
			return r;
		counted = true;
	}
	r = spawn(rt, group, fn, arg, site, counted);
	if (r < 0 && counted)
		cp_group_left(rt, group);
	if (!counted)
		cp_schedule_point(rt);
	return r;
}

/* A pool of stacks of this size; made when first asked for. */
static int pool_for(struct cp_rt *rt, size_t stack_bytes, struct cp_stacks **ret_pool)
{
	struct cp_stacks *p;
	int r;

	for (p = rt->pools; p; p = p->next_pool)
		if (p->wanted_bytes == stack_bytes)
			break;
	if (!p) {
		p = cp_calloc(1, sizeof *p);
		if (!p)
			return -ENOMEM;
		r = cp_stacks_open(p, stack_bytes);
		if (r < 0) {
			cp_free(p);
			return r;
		}
		p->wanted_bytes = stack_bytes;
		p->cache_bytes = rt->stacks.cache_bytes;
		p->next_pool = rt->pools;
		rt->pools = p;
	}
	*ret_pool = p;
	return 0;
}

/* Fills an extra from options. */
static int extra_opts(struct cp_rt *rt, struct cp_extra *x, const struct coop_spawn_opts *opts,
		      struct coop_handle **ret_handle)
{
	int r;

	if (opts && opts->name)
		cp_copy_name(x->name, opts->name);
	if (opts && opts->stack_bytes && opts->stack_bytes != rt->stack_bytes) {
		r = pool_for(rt, opts->stack_bytes, &x->pool);
		if (r < 0)
			return r;
	}
	if (ret_handle) {
		x->handle = cp_handle_new(rt);
		if (!x->handle)
			return -ENOMEM;
	}
	return 0;
}

static uint8_t flags_of(const struct coop_spawn_opts *opts)
{
	return (uint8_t)((opts->service ? CP_TASK_SERVICE : 0) |
			 (opts->essential ? CP_TASK_ESSENTIAL : 0) |
			 (opts->shutdown_wait ? CP_TASK_SHUTDOWN_WAIT : 0));
}

/*
 * Runs a new task at once; the spawner goes on right after it has blocked or ended. That order is
 * promised, so a seed has no say in it.
 */
static void run_eager(struct cp_rt *rt, struct coop_task *t)
{
	struct coop_task *self = rt->cur;
	bool shuffle = rt->shuffle;

	t->group->_flags |= CP_GROUP_YIELDED;
	self->state = CP_READY;
	cp_ready_front(rt, self);
	cp_ready_front(rt, t);
	rt->shuffle = false;
	cp_sched_switch(rt);
	rt->shuffle = shuffle;
}

static int spawn_with(struct cp_rt *rt, struct coop_group *g, coop_fn *fn, void *arg,
		      const struct coop_spawn_opts *opts, const char *site,
		      struct coop_handle **ret_handle)
{
	struct cp_extra *x = cp_extra_new(rt);
	struct coop_handle *h = NULL;
	struct coop_task *t;
	int r = x ? extra_opts(rt, x, opts, ret_handle) : -ENOMEM;

	if (r >= 0)
		r = cp_task_new(rt, fn, arg, site, x, &t);
	if (r < 0) {
		if (x)
			h = x->handle;
		cp_extra_free(rt, x);
		coop_handle_release(h);
		return r;
	}
	if (opts)
		t->flags |= flags_of(opts);
	cp_group_link(g, t);
	if (t->flags & CP_TASK_SERVICE)
		g->_services++;
	else
		g->_live++;
	cp_group_count_peak(g);
	if (x->handle) {
		x->handle->task = t;
		x->handle->refs = 2; /* the caller's and the task's */
		*ret_handle = x->handle;
	}
	if (opts && opts->eager)
		run_eager(rt, t);
	else
		cp_ready(rt, t);
	return 0;
}

int coop_spawn_with_at(struct coop_group *group, coop_fn *fn, void *arg,
		       const struct coop_spawn_opts *opts, struct coop_handle **ret_handle,
		       const char *site)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_group_no_task(group);
	r = cp_group_usable(group);
	if (r < 0)
		return r;
	if (!fn || (opts && (!cp_zero_words(opts->_reserved, CP_ARRAY_LEN(opts->_reserved)) ||
			     (opts->service && opts->essential))))
		return -EINVAL;
	if (!(opts && opts->service) && cp_group_full(rt, group))
		return -EAGAIN;
	if (!ret_handle && !rt->body->locals && opts && opts->eager && !opts->name &&
	    !flags_of(opts) && !opts->stack_bytes) {
		struct coop_task *t;

		r = cp_task_new(rt, fn, arg, site, NULL, &t);
		if (r < 0)
			return r;
		cp_group_link(group, t);
		group->_live++;
		cp_group_count_peak(group);
		run_eager(rt, t);
		return 0;
	}
	return spawn_with(rt, group, fn, arg, opts, site, ret_handle);
}
