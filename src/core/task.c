/* SPDX-License-Identifier: MIT */
/*
 * Tasks: nodes, bodies, the first step and the last.
 *
 * Spawning makes a node and reserves a stack; the stack is taken when the task first runs, the
 * hottest free one. A task that ends looks at the queue itself: if the next one has
 * not begun either and wants the same kind of stack, it begins right here, on the stack
 * that has just become free, without a switch.
 *
 * At the end of a task, in this order: frames are checked, the result is judged, the handle
 * and the group are told, the locals, the error slot and the stack are given up. All of that
 * happens before its group can return.
 */
#include "core/switch.h"
#include "ctx/guard.h"

#include <errno.h>
#include <string.h>

/* ------------------------------------------------------------------- nodes */

#define CP_SLAB_NODES 255

struct cp_node_slab {
	struct cp_node_slab *next;
	char pad[56];
	struct coop_task nodes[CP_SLAB_NODES];
};

static CP_NOINLINE bool grow_nodes(struct cp_rt *rt)
{
	struct cp_node_slab *slab = cp_alloc(sizeof *slab);

	if (!slab)
		return false;
	slab->next = rt->node_slabs;
	rt->node_slabs = slab;
	for (size_t i = CP_SLAB_NODES; i-- > 0;) {
		slab->nodes[i].qnext = rt->free_nodes;
		rt->free_nodes = &slab->nodes[i];
	}
	return true;
}

struct coop_task *cp_node_new(struct cp_rt *rt)
{
	struct coop_task *t;

	if (CP_UNLIKELY(!rt->free_nodes) && !grow_nodes(rt))
		return NULL;
	t = rt->free_nodes;
	rt->free_nodes = t->qnext;
	return t;
}

void cp_node_free(struct cp_rt *rt, struct coop_task *t)
{
	t->qnext = rt->free_nodes;
	rt->free_nodes = t;
}

void cp_nodes_deinit(struct cp_rt *rt)
{
	while (rt->node_slabs) {
		struct cp_node_slab *slab = rt->node_slabs;

		rt->node_slabs = slab->next;
		cp_free(slab);
	}
	rt->free_nodes = NULL;
}

/* ---------------------------------------------------------------- spawning */

struct cp_extra *cp_task_extra(const struct coop_task *t)
{
	if (t->state != CP_NEW)
		return t->body->extra;
	return t->flags & CP_TASK_EXTRA ? t->extra : NULL;
}

void cp_extra_free(struct cp_rt *rt, struct cp_extra *extra)
{
	(void)rt;
	if (!extra)
		return;
	cp_local_unref(extra->locals);
	cp_free(extra->start);
	cp_free(extra);
}

static struct cp_stacks *pool_of(struct cp_rt *rt, const struct cp_extra *extra)
{
	return extra && extra->pool ? extra->pool : &rt->stacks;
}

/* Once a run: what uses the maps up is seldom in sight of whoever gets -ENOMEM. */
static CP_COLD void tell_no_stack(struct cp_rt *rt)
{
	enum cp_guard_kind kind;

	if (rt->told_no_stack || cp_guard_kind(&kind) < 0 || kind != CP_GUARD_PROTECT ||
	    cp_guard_room())
		return;
	rt->told_no_stack = true;
	coop_log(COOP_LOG_WARN,
		 "no stack for more than %llu tasks: on this kernel each has maps of its own, "
		 "and vm.max_map_count is %ld; raise it, or use Linux 6.13 or later",
		 (unsigned long long)cp_tasks(rt), cp_os_map_count_max());
}

int cp_task_new(struct cp_rt *rt, coop_fn *fn, void *arg, const char *site, struct cp_extra *extra,
		struct coop_task **ret_task)
{
	struct coop_task *t = cp_node_new(rt);

	if (CP_UNLIKELY(!t))
		return -ENOMEM;
	if (CP_UNLIKELY(cp_stacks_reserve(pool_of(rt, extra)) < 0)) {
		cp_node_free(rt, t);
		tell_no_stack(rt);
		return -ENOMEM;
	}
	cp_task_fill(rt, t, fn, arg, site);
	if (CP_UNLIKELY(extra != NULL)) {
		extra->site = site;
		t->flags = CP_TASK_EXTRA;
		t->extra = extra;
	}
	*ret_task = t;
	return 0;
}

/* ----------------------------------------------------------------- first step */

static void task_main(void *arg);

/* How much of the top of a stack the body takes. */
#define CP_BODY_BYTES ((sizeof(struct cp_body) + 63) & ~(size_t)63)

/* The base of a task that has not been cancelled, is not shielded and has no timer. */
#define BASE_WORD CP_WORD(CP_OPEN, 0, CP_SCOPE_BASE)

static void base_reset(struct cp_body *b)
{
	b->base = (struct coop_scope)COOP_SCOPE_INIT;
	b->base._site = "\0";
	cp_scope_set_word(&b->base, BASE_WORD);
	b->inner = &b->base;
	b->inner_site = b->base._site;
	b->laid = &b->base;
}

/*
 * A body on a stack that has had none yet. From then on whoever changes one of these
 * members puts it back before the task ends (give_up at the latest), so that the next task on
 * this stack finds them so.
 */
static CP_NOINLINE void body_make(struct cp_body *b, struct cp_stacks *pool, void *top)
{
	b->pool = pool;
	b->stack_top = top;
	b->stack_low = cp_stacks_low(pool, top);
	b->err = NULL;
	b->extra = NULL;
	b->locals = NULL;
	b->held = NULL;
	b->cause.used = false;
	b->deepest = b;
	base_reset(b);
}

/* The low half is kept in the node; less than that many have been spawned since. */
CP_INLINE uint64_t id_of_new(const struct cp_rt *rt, const struct coop_task *t)
{
	return rt->spawned - (uint32_t)((uint32_t)rt->spawned - t->id_low);
}

uint64_t cp_task_id(const struct cp_rt *rt, const struct coop_task *t)
{
	return t->state == CP_NEW ? id_of_new(rt, t) : t->body->id;
}

CP_INLINE void body_begin(struct cp_rt *rt, struct cp_body *b, struct coop_task *t, coop_fn *fn,
			  void *arg)
{
	b->task = t;
	for (size_t i = 0; i < CP_ARRAY_LEN(b->zero); i++)
		b->zero[i] = (cp_pair){ 0, 0 };
	b->site = t->site;
	b->fn = fn;
	b->arg = arg;
	b->id = id_of_new(rt, t);
	b->base._outer = t->group ? &t->group->_scope : NULL;
	b->base._task = t;
}

/* What only tasks with options have. */
static CP_COLD void begin_special(struct cp_body *b, struct coop_task *t)
{
	struct coop_scope *s = &b->base;

	if (t->flags & CP_TASK_EXTRA) {
		b->extra = t->extra;
		b->site = b->extra->site;
		b->locals = b->extra->locals;
	}
	if (t->flags & CP_TASK_SERVICE && !(t->group->_flags & CP_GROUP_DRAINING))
		s->_shield |= CP_SHIELD_SERVICE;
	if (t->flags & CP_TASK_SHUTDOWN_WAIT) {
		s->_shield |= CP_SHIELD_SHUTDOWN;
		s->_soft_ns = COOP_NEVER;
	}
}

/* A service that begins when its users are gone already. */
static CP_COLD void cancel_service(struct cp_rt *rt, struct coop_scope *base)
{
	struct cp_why why = { .source = COOP_CANCEL_JOIN,
			      .text = CP_SERVICE_TEXT,
			      .grace_ns = COOP_NEVER,
			      .kind = CP_CANCEL };

	cp_scope_cancel_why(rt, base, &why);
}

/* A cancel by handle that came before the first step. */
static CP_COLD void cancel_early(struct cp_rt *rt, struct cp_body *b)
{
	struct coop_handle *h = b->extra->handle;
	struct cp_why why = { .source = COOP_CANCEL_CALL,
			      .site = h->cancel_site,
			      .text = h->cause.text,
			      .grace_ns = h->cancel_grace_ns,
			      .kind = CP_CANCEL };
	struct cp_cause *c;

	cp_scope_cancel_why(rt, &b->base, &why);
	c = cp_cause_of(&b->base);
	if (c)
		memcpy(c->who, h->cause.who, sizeof h->cause.who);
	b->base._cause_ns = h->cancel_ns;
}

/* A task with options may be cancelled from the start. */
static CP_COLD void begin_cancelled(struct cp_rt *rt, struct cp_body *b, struct coop_task *t)
{
	if (t->flags & CP_TASK_CANCEL_REQUESTED)
		cancel_early(rt, b);
	if (t->flags & CP_TASK_SERVICE && t->group->_flags & CP_GROUP_DRAINING)
		cancel_service(rt, &b->base);
}

CP_INLINE void begin_node(struct cp_rt *rt, struct coop_task *t, struct cp_body *b, uint8_t flags)
{
	t->body = b;
	cp_node_set(t, CP_RUNNING, flags, rt->hook_bit, 64);
}

CP_INLINE void begin_run(struct cp_rt *rt, struct coop_task *t, struct cp_body *b)
{
	rt->cur = t;
	rt->body = b;
	rt->budget = rt->budget_max;
	*rt->errno_p = 0;
}

/* Turns a NEW node into the running task, with its body at `top`. */
CP_INLINE void begin_at(struct cp_rt *rt, struct coop_task *t, struct cp_body *b, void *top,
			struct cp_stacks *pool)
{
	if (CP_UNLIKELY(b->stack_top != top || b->pool != pool))
		body_make(b, pool, top);
	body_begin(rt, b, t, t->fn, t->arg);
	if (CP_UNLIKELY(t->flags))
		begin_special(b, t);
	begin_node(rt, t, b, t->flags);
	if (CP_LIKELY(t->group != NULL) && CP_UNLIKELY(t->group->_scope._eff))
		cp_scope_look(rt, &b->base);
	if (CP_UNLIKELY(t->flags))
		begin_cancelled(rt, b, t);
	begin_run(rt, t, b);
}

/* The stack that `t` runs on, now its own; NULL if there is none. */
CP_INLINE struct cp_body *begin(struct cp_rt *rt, struct coop_task *t)
{
	struct cp_stacks *pool = pool_of(rt, cp_task_extra(t));
	void *top = cp_stacks_take(pool);
	struct cp_body *b;

	if (CP_UNLIKELY(!top))
		return NULL;
	b = (struct cp_body *)((char *)top - CP_BODY_BYTES);
	begin_at(rt, t, b, top, pool);
	return b;
}

struct cp_ctx *cp_task_begin(struct cp_rt *rt, struct coop_task *t)
{
	struct cp_body *b = begin(rt, t);

	if (CP_UNLIKELY(!b))
		return NULL;
	cp_ctx_make(&b->ctx, b->stack_low, b, task_main, b);
	return &b->ctx;
}

/* There is no stack for it: it goes to the end of the queue, and the loop has its turn. */
static CP_COLD int starve(struct cp_rt *rt, struct coop_task *t, struct cp_body *me)
{
	rt->starved++;
	cp_ready(rt, t);
	return cp_ctx_switch(&me->ctx, cp_to_loop(rt));
}

/*
 * A stack goes on with the task that was just begun on it: by a jump where that can be, else by
 * a return to task_main.
 */
#ifdef CP_CTX_FAST
static void task_done(void *body, int rc);

CP_INLINE void go_on(struct cp_body *b, coop_fn *fn, void *arg)
{
	cp_ctx_next(b, fn, arg, task_done);
}

/* From the running task to one that was just begun. */
CP_INLINE int switch_begun(struct cp_body *me, struct cp_body *b, coop_fn *fn, void *arg)
{
	return cp_ctx_begin_asm(&me->ctx.sp, b, fn, arg, task_done);
}
#else
CP_INLINE void go_on(struct cp_body *b, coop_fn *fn, void *arg)
{
	(void)b, (void)fn, (void)arg;
}

CP_INLINE int switch_begun(struct cp_body *me, struct cp_body *b, coop_fn *fn, void *arg)
{
	(void)fn, (void)arg;
	cp_ctx_make(&b->ctx, b->stack_low, b, task_main, b);
	return cp_ctx_switch(&me->ctx, &b->ctx);
}
#endif

static CP_NOINLINE int switch_new(struct cp_rt *rt, struct coop_task *t, struct cp_body *me)
{
	struct cp_body *b = begin(rt, t);

	if (CP_UNLIKELY(!b))
		return starve(rt, t, me);
	cp_prefetch_next(rt);
	return switch_begun(me, b, b->fn, b->arg);
}

/* A task without options; on a stack that has been used, it needs no more than body_begin does. */
CP_INLINE bool begins_plainly(const struct coop_task *t)
{
	return CP_LIKELY(!t->flags) && CP_LIKELY(!t->group->_scope._eff);
}

CP_INLINE void begin_plain(struct cp_rt *rt, struct coop_task *t, struct cp_body *b, coop_fn *fn,
			   void *arg)
{
	body_begin(rt, b, t, fn, arg);
	begin_node(rt, t, b, 0);
	begin_run(rt, t, b);
	cp_prefetch_next(rt);
}

/* Nothing is called in the plain case, so it has no frame. */
CP_NOINLINE int cp_task_switch_new(struct cp_rt *rt, struct coop_task *t, struct cp_body *me)
{
	void *top = rt->stacks.used, *arg = t->arg;
	struct cp_body *b = (struct cp_body *)((uintptr_t)top - CP_BODY_BYTES); /* or of none */
	coop_fn *fn = t->fn;

	if (CP_UNLIKELY(!top || !begins_plainly(t)))
		return switch_new(rt, t, me);
	cp_stacks_take(&rt->stacks);
	begin_plain(rt, t, b, fn, arg);
	return switch_begun(me, b, fn, arg);
}

/* ------------------------------------------------------------------ last step */

/* Was this COOP_ECANCELED real? If not it becomes a failure. */
static CP_COLD int judge_cancelled(struct cp_body *b, enum cp_outcome *ret_outcome)
{
	if (b->base._eff) {
		*ret_outcome = cp_scope_catches(&b->base) ? CP_ENDED_CAUGHT : CP_ENDED_CANCELLED;
		return COOP_ECANCELED;
	}
	if (b->delivered) { /* a shield has been raised since: it was real when it was returned */
		*ret_outcome = CP_ENDED_CANCELLED;
		return COOP_ECANCELED;
	}
	*ret_outcome = CP_ENDED_FAILED;
	return COOP_ESPURIOUSCANCEL;
}

/* The error of a failed task, with its place and path. */
static CP_COLD struct coop_error *claim_error(struct cp_rt *rt, struct cp_body *b, int rc,
					      bool forged)
{
	char path[160];
	const char *name = b->site, *file = name + strlen(name) + 1;
	int line = cp_site_line(file);

	cp_task_path(b->task, path, sizeof path);
	if (forged)
		return cp_err_new_leaf(rc, file, line, name, path, cp_clock(rt) - rt->start_ns,
				       false, "returned COOP_ECANCELED, but nothing was cancelled");
	return cp_err_claim(&b->err, rc, file, line, name, path, cp_clock(rt) - rt->start_ns,
			    b->base._eff);
}

/* Everything a result other than plain success asks for. */
static CP_COLD enum cp_outcome end_badly(struct cp_rt *rt, struct cp_body *b, int *rc,
					 struct coop_error **ret_err)
{
	enum cp_outcome outcome = CP_ENDED_FAILED;
	bool cancelled = *rc == COOP_ECANCELED;

	if (cancelled)
		*rc = judge_cancelled(b, &outcome);
	if (outcome == CP_ENDED_FAILED)
		*ret_err = claim_error(rt, b, *rc, cancelled);
	return outcome;
}

static CP_COLD void tell_handle(struct cp_rt *rt, struct cp_body *b, enum cp_outcome outcome,
				int rc, struct coop_error *err)
{
	static const enum coop_task_state states[] = {
		[CP_ENDED_WELL] = COOP_TASK_FINISHED,
		[CP_ENDED_CANCELLED] = COOP_TASK_CANCELLED,
		[CP_ENDED_CAUGHT] = COOP_TASK_CANCELLED,
		[CP_ENDED_FAILED] = COOP_TASK_FAILED,
	};

	cp_handle_ended(rt, b->extra->handle, states[outcome], rc, err);
}

/* The base as new. Mostly it has but seen that its group was cancelled. */
static void give_up_base(struct cp_rt *rt, struct cp_body *b)
{
	struct coop_scope *base = &b->base;

	if (CP_LIKELY((cp_scope_word(base) & ~CP_WORD_EFF) == BASE_WORD)) {
		cp_scope_set_word(base, BASE_WORD);
		base->_until_ns = COOP_NEVER;
		return;
	}
	if (cp_timer_armed((struct cp_timer *)&base->_timer_next))
		cp_wheel_disarm(&rt->wheel, (struct cp_timer *)&base->_timer_next);
	cp_cause_drop(rt, base);
	base_reset(b);
}

/* Gives up what the task has besides node and stack; its body is as new. */
static CP_NOINLINE void give_up(struct cp_rt *rt, struct cp_body *b)
{
	give_up_base(rt, b);
	cp_err_slot_drop(&b->err);
	if (b->extra) {
		b->extra->locals = b->locals;
		cp_extra_free(rt, b->extra);
	} else {
		cp_local_unref(b->locals);
	}
	b->extra = NULL;
	b->locals = NULL;
}

/* A failure, a task with options, or one that still owns something. */
static CP_NOINLINE bool end_special(struct cp_rt *rt, struct cp_body *b, int rc)
{
	struct coop_task *t = b->task;
	struct coop_error *err = NULL;
	enum cp_outcome outcome = CP_ENDED_WELL;

	if (b->inner != &b->base)
		cp_die_abandoned(b, "the end of the task");
	if (b->held)
		cp_held_end(rt, b);
	if (rc < 0)
		outcome = end_badly(rt, b, &rc, &err);
	if (b->extra && b->extra->handle)
		tell_handle(rt, b, outcome, rc, err);
	if (t->flags & CP_TASK_INTERNAL)
		rt->tasks_internal--;
	if (t->flags & CP_TASK_FPENV)
		cp_fpenv_load(&rt->fpenv);
	return t->group && cp_group_child_ended(rt, t->group, t, outcome, rc, err);
}

/* Gives the stack of `b`, a common one and not deep, up for `t`, which has a body. */
CP_INLINE void leave_plain(struct cp_rt *rt, struct cp_body *b, struct coop_task *t)
{
	struct cp_ctx *to = cp_run_only(rt, t);

	cp_stacks_put_shallow(&rt->stacks, b->stack_top);
	cp_ctx_return(&b->ctx, to);
}

/* What was deep is told once: the next task on this stack begins at the top. */
static void put_stack(struct cp_body *b)
{
	void *deepest = b->deepest;

	if (!cp_stacks_shallow(b->stack_top, deepest))
		b->deepest = b;
	cp_stacks_put(b->pool, b->stack_top, deepest);
}

/* Goes on with `t`, just picked: begun on the stack of `b` where that can be. */
static CP_NOINLINE void next_any(struct cp_rt *rt, struct cp_body *b, struct coop_task *t)
{
	struct cp_ctx *to = NULL;

	if (!t || t->state != CP_NEW || pool_of(rt, cp_task_extra(t)) != b->pool) {
		to = t ? cp_make_running(rt, t) : NULL;
		if (!to)
			to = cp_to_loop(rt);
		put_stack(b);
		cp_ctx_leave(&b->ctx, to);
	}
	begin_at(rt, t, b, b->stack_top, b->pool);
	go_on(b, b->fn, b->arg);
}

/* The end of the task of `b`, in every case. */
static CP_NOINLINE void end_any(struct cp_rt *rt, struct cp_body *b, int rc)
{
	struct coop_task *t = b->task;
	bool kept;

	if (CP_UNLIKELY(!rt->cur))
		cp_die("the child of a fork returned from the function of a task");
	kept = end_special(rt, b, rc);

	if (CP_UNLIKELY(b->err || b->extra || b->locals || cp_scope_word(&b->base) != BASE_WORD))
		give_up(rt, b);
	if (!kept)
		cp_node_free(rt, t);
	cp_stacks_unreserve(b->pool);
	next_any(rt, b, cp_pick(rt));
}

/*
 * Most tasks end with nothing to be said, given up or thought about: so on a common stack that is
 * not deep, and in a group that nobody waits for beside its join.
 */
CP_INLINE bool ends_plainly(const struct cp_rt *rt, const struct cp_body *b, int rc)
{
	const struct coop_task *t = b->task;

	return CP_LIKELY(rc >= 0) && CP_LIKELY(!t->flags) && CP_LIKELY(b->inner == &b->base) &&
	       CP_LIKELY(!rt->shuffle) && CP_LIKELY(b->pool == &rt->stacks) &&
	       CP_LIKELY(cp_stacks_shallow(b->stack_top, b->deepest)) &&
	       CP_LIKELY(!t->group->_waiters) &&
	       CP_LIKELY(!((uintptr_t)b->held | (uintptr_t)b->err | (uintptr_t)b->extra |
			   (uintptr_t)b->locals | (cp_scope_word(&b->base) ^ BASE_WORD)));
}

/* The same for those. Returns the host of the group, if it was the last one that it waits for. */
CP_INLINE struct coop_task *end_plain(struct cp_rt *rt, struct coop_task *t)
{
	struct coop_group *g = t->group;

	cp_group_unlink(g, t);
	cp_node_free(rt, t);
	cp_stacks_unreserve(&rt->stacks);
	g->_finished++;
	g->_live--;
	return g->_live ? NULL : cp_group_release(g);
}

/* Goes on with the next one, which mostly is another that has not begun, or one that waited. */
CP_INLINE void next_plain(struct cp_rt *rt, struct cp_body *b)
{
	struct coop_task *t = cp_pick_first(rt);
	coop_fn *fn;
	void *arg;

	if (t && t->state != CP_NEW) {
		cp_prefetch_next(rt);
		leave_plain(rt, b, t);
	}
	if (CP_LIKELY(t && begins_plainly(t))) {
		fn = t->fn;
		arg = t->arg;
		begin_plain(rt, t, b, fn, arg);
		go_on(b, fn, arg);
	} else {
		next_any(rt, b, t);
	}
}

/* What follows the function of a task, on its stack. In the plain case nothing is called. */
CP_INLINE void task_ended(struct cp_rt *rt, struct cp_body *b, int rc)
{
	struct coop_task *host;

	if (CP_LIKELY(ends_plainly(rt, b, rc))) {
		host = end_plain(rt, b->task);
		if (host && CP_LIKELY(!rt->ready_head && rt->ticks > 0)) {
			rt->ticks--; /* it would come out of the queue at once */
			leave_plain(rt, b, host);
		}
		if (host)
			cp_wake_released(rt, host);
		next_plain(rt, b);
	} else {
		end_any(rt, b, rc);
	}
}

#ifdef CP_CTX_FAST
/* Jumped to, as is what it calls last: whoever is switched to finds the calls that he left. */
static void task_done(void *body, int rc)
{
	task_ended(cp_here, body, rc);
}

/* On a stack that was made for the loop to switch to. */
static void task_main(void *arg)
{
	struct cp_body *b = arg;

	go_on(b, b->fn, b->arg);
}
#else
/* The first function on every task's stack; it never returns. */
static void task_main(void *arg)
{
	struct cp_body *b = arg;
	int rc;

	cp_ctx_entered(&b->ctx);
	for (;;) {
		rc = b->fn(b->arg);
		task_ended(cp_here, b, rc); /* asked for now: the child of a fork has none */
	}
}
#endif
