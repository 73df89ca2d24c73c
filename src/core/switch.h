/* SPDX-License-Identifier: MIT */
/* What sched.c and task.c do to leave a task: the next one from the queue, made the running one. */
#ifndef CP_SWITCH_H
#define CP_SWITCH_H

#include "core/core.h"

#define CP_WARM 9   /* tasks that run by turns in the first cache */
#define CP_DEEP 896 /* bytes of stack between what a task has called last and its body */

struct coop_task *cp_pick_shuffled(struct cp_rt *rt);

/* The first of the queue, or NULL: nothing to run, or time for the loop to look around. */
CP_INLINE struct coop_task *cp_pick_first(struct cp_rt *rt)
{
	struct coop_task *t = rt->ready_head;

	if (CP_UNLIKELY(!t || --rt->ticks < 0))
		return NULL;
	rt->ready_head = t->qnext;
	if (CP_EITHER(!t->qnext))
		rt->ready_tail = &rt->ready_head;
	return t;
}

/* The next task to run: the first, or with a seed any. */
CP_INLINE struct coop_task *cp_pick(struct cp_rt *rt)
{
	return CP_UNLIKELY(rt->shuffle) ? cp_pick_shuffled(rt) : cp_pick_first(rt);
}

/*
 * Warms what the task after next will touch, and the node after that: a switch takes less
 * time than memory does. Where only a few take turns all of it is warm. One that waits at a
 * descriptor has an operation in its frames, and right below its body what began it.
 */
CP_INLINE void cp_prefetch_next(struct cp_rt *rt)
{
	const struct coop_task *t;
	const char *sp;

	if (CP_LIKELY(!rt->crowded || !rt->ready_head))
		return;
	t = rt->ready_head->qnext;
	if (!t)
		return;
	__builtin_prefetch(t->qnext);
	if (t->state != CP_READY)
		return;
	sp = (const char *)t->body - t->sp_off;
	__builtin_prefetch(sp);
	__builtin_prefetch(sp + 64);
	__builtin_prefetch(sp + 128);
	__builtin_prefetch(sp + 192);
	__builtin_prefetch(t->body);
	__builtin_prefetch((const char *)t->body + 64);
	if (t->cancelled) { /* it will end, most likely */
		__builtin_prefetch(&t->body->base);
		__builtin_prefetch(&t->body->held);
	}
	if (t->sp_off >= CP_DEEP) {
		for (int i = 256; i < CP_DEEP; i += 64)
			__builtin_prefetch(sp + i);
		__builtin_prefetch((const char *)t->body - 64);
		__builtin_prefetch((const char *)t->body - 128);
	}
}

/* Makes `t`, which has a body, the running task; returns where to switch to. */
CP_INLINE struct cp_ctx *cp_run_only(struct cp_rt *rt, struct coop_task *t)
{
	struct cp_body *b = t->body;

	t->state = CP_RUNNING;
	rt->cur = t;
	rt->body = b;
	rt->budget = rt->budget_max;
	*rt->errno_p = b->err_no;
	return &b->ctx;
}

CP_INLINE struct cp_ctx *cp_run(struct cp_rt *rt, struct coop_task *t)
{
	cp_prefetch_next(rt);
	return cp_run_only(rt, t);
}

/*
 * Makes `t`, just picked, the running task; returns where to switch to. A task that cannot get
 * a guarded stack yet goes to the end of the queue, and NULL is returned.
 */
CP_INLINE struct cp_ctx *cp_make_running(struct cp_rt *rt, struct coop_task *t)
{
	struct cp_ctx *ctx;

	if (t->state != CP_NEW)
		return cp_run(rt, t);
	ctx = cp_task_begin(rt, t);
	if (CP_UNLIKELY(!ctx)) {
		rt->starved++;
		cp_ready(rt, t);
	}
	return ctx;
}

/* The loop's context is next. */
CP_INLINE struct cp_ctx *cp_to_loop(struct cp_rt *rt)
{
	rt->cur = NULL;
	rt->body = NULL;
	return &rt->loop_ctx;
}

#endif
