/* SPDX-License-Identifier: MIT */
/*
 * The scheduler: a FIFO of tasks that can run, and the switch from one to the next.
 *
 * A task that gives way picks the next one itself and jumps there; the loop's own
 * context is entered only when there is nothing to run, or when the loop must look at
 * timers and the world (after `ticks` switches). Nothing is left to do in cp_sched_switch when a
 * task comes back, errno included, which whoever switches to it has put in place; so the
 * compiler makes the switch a jump, and all suspended tasks lie in the assembly, as many
 * calls deep as whoever parked them.
 *
 * Who makes a task ready does no more than queue it: nothing ever runs inside a wake-up.
 */
#include "core/park.h"
#include "core/switch.h"

#include <errno.h>

static struct cp_rt nowhere;

__thread struct cp_rt *cp_rt;
__thread struct cp_rt *cp_here = &nowhere;

void cp_rt_set(struct cp_rt *rt)
{
	cp_rt = rt;
	cp_here = rt ? rt : &nowhere;
}

#define CP_TICKS 61

/* ------------------------------------------------------------------ choice */

/* splitmix64: enough to shuffle, the same everywhere. */
static uint64_t next_random(struct cp_rt *rt)
{
	uint64_t z = (rt->rng += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/*
 * Every place where order is free asks here: 0 without a seed, else 0 to n - 1. Tests may have
 * an explorer answer in place of chance.
 */
uint64_t cp_choose(struct cp_rt *rt, uint64_t n)
{
	if (!rt->shuffle || n <= 1)
		return 0;
	return rt->choose ? rt->choose(rt->choose_ctx, n) : next_random(rt) % n;
}

/* Not for places where a fixed order is right: those who are chosen from expect their turn. */
uint32_t cp_choose_fair(struct cp_rt *rt, uint32_t n)
{
	if (CP_UNLIKELY(rt->choose))
		return (uint32_t)rt->choose(rt->choose_ctx, n);
	return (uint32_t)((next_random(rt) >> 32) * n >> 32);
}

/* ------------------------------------------------------------- ready queue */

void cp_ready_front(struct cp_rt *rt, struct coop_task *t)
{
	t->qnext = rt->ready_head;
	if (!rt->ready_head)
		rt->ready_tail = &t->qnext;
	rt->ready_head = t;
}

uint64_t cp_ready_count(const struct cp_rt *rt, uint64_t most)
{
	uint64_t n = 0;

	for (const struct coop_task *t = rt->ready_head; t && n < most; t = t->qnext)
		n++;
	return n;
}

/* With a seed: any of the first 64, else as cp_pick_first. */
CP_NOINLINE struct coop_task *cp_pick_shuffled(struct cp_rt *rt)
{
	struct coop_task **at = &rt->ready_head, *t;
	uint64_t n;

	if (!rt->ready_head || --rt->ticks < 0)
		return NULL;
	n = cp_choose(rt, cp_ready_count(rt, 64));
	while (n--)
		at = &(*at)->qnext;
	t = *at;
	*at = t->qnext;
	if (!t->qnext)
		rt->ready_tail = at;
	return t;
}

/* ------------------------------------------------------------------ switch */

/*
 * The ways on from the running task, which has been queued, parked or is ending. None of them has a
 * frame, and each ends with a jump to the next: the assembly returns to whoever parked the
 * task, with 0.
 */

/* What leaving takes down in the node and the body. */
CP_INLINE struct cp_body *leave(struct cp_rt *rt)
{
	struct cp_body *me = rt->body;
	void *sp = CP_STACK_POINTER();

	if (sp < me->deepest)
		me->deepest = sp;
	rt->cur->sp_off = (uint32_t)((char *)me - (char *)sp);
	me->err_no = *rt->errno_p;
	return me;
}

/* From a task with control words of its own; the others' are those of the run. */
static CP_NOINLINE int switch_fpenv(struct cp_rt *rt, struct cp_body *me, struct cp_ctx *to)
{
	cp_fpenv_save(&me->fpenv);
	cp_fpenv_load(&rt->fpenv);
	cp_ctx_switch(&me->ctx, to);
	cp_fpenv_load(&me->fpenv);
	return 0;
}

/* To the loop if `t` is NULL, or from a task as above. */
static CP_NOINLINE int switch_rare(struct cp_rt *rt, struct coop_task *t, struct cp_body *me)
{
	bool fpenv = rt->cur->flags & CP_TASK_FPENV;
	struct cp_ctx *to = t ? cp_make_running(rt, t) : NULL;

	if (!to)
		to = cp_to_loop(rt);
	return fpenv ? switch_fpenv(rt, me, to) : cp_ctx_switch(&me->ctx, to);
}

CP_INLINE int switch_to(struct cp_rt *rt, struct coop_task *t)
{
	struct cp_body *me = leave(rt);

	if (CP_UNLIKELY(!t || rt->cur->flags & CP_TASK_FPENV))
		return switch_rare(rt, t, me);
	if (CP_EITHER(t->state == CP_NEW))
		return cp_task_switch_new(rt, t, me);
	return cp_ctx_resume(&me->ctx, cp_run(rt, t));
}

/* To `t`, just picked, which may be the running task itself. */
CP_INLINE int switch_picked(struct cp_rt *rt, struct coop_task *t)
{
	if (CP_UNLIKELY(t && t == rt->cur)) {
		t->state = CP_RUNNING;
		rt->budget = rt->budget_max;
		return 0;
	}
	return switch_to(rt, t);
}

static CP_NOINLINE int switch_shuffled(struct cp_rt *rt)
{
	return switch_picked(rt, cp_pick_shuffled(rt));
}

CP_NOINLINE int cp_sched_leave(struct cp_rt *rt)
{
	if (CP_UNLIKELY(rt->shuffle))
		return switch_shuffled(rt);
	return switch_to(rt, cp_pick_first(rt));
}

CP_NOINLINE int cp_sched_switch(struct cp_rt *rt)
{
	if (CP_UNLIKELY(rt->shuffle))
		return switch_shuffled(rt);
	return switch_picked(rt, cp_pick_first(rt));
}

/* Those of the turn that is going on: each has taken a tick. */
static uint64_t switches_now(const struct cp_rt *rt)
{
	return (uint64_t)(CP_TICKS - (rt->ticks < 0 ? 0 : rt->ticks));
}

uint64_t cp_sched_switches(const struct cp_rt *rt)
{
	return rt->switches + switches_now(rt);
}

/* The first one that gets a stack: each in the queue has its try. */
static CP_COLD struct cp_ctx *pick_fed(struct cp_rt *rt)
{
	struct cp_ctx *to = NULL;
	struct coop_task *t;

	for (uint64_t n = cp_ready_count(rt, CP_TICKS); n && !to; n--) {
		t = cp_pick(rt);
		if (!t)
			break;
		to = cp_make_running(rt, t);
	}
	return to;
}

void cp_sched_enter(struct cp_rt *rt)
{
	struct coop_task *t;
	struct cp_ctx *to;
	int err_no = *rt->errno_p;

	rt->ticks = CP_TICKS;
	rt->starved = 0;
	rt->crowded = cp_ready_count(rt, CP_WARM) == CP_WARM;
	t = cp_pick(rt);
	to = t ? cp_make_running(rt, t) : NULL;
	if (CP_UNLIKELY(t && !to))
		to = pick_fed(rt);
	if (to) {
		cp_ctx_switch(&rt->loop_ctx, to);
		rt->switches += switches_now(rt);
	}
	*rt->errno_p = err_no;
}

/* ------------------------------------------------------------ yield, park */

static CP_NOINLINE int yield_rare(struct cp_rt *rt)
{
	struct coop_task *t = rt->cur;

	if (!rt->ready_head && rt->ticks > 0 && !__atomic_load_n(&rt->pending, __ATOMIC_RELAXED)) {
		/* Alone: no need to go anywhere, but the loop's look at the world comes nearer. */
		rt->ticks--;
		rt->budget = rt->budget_max;
		return 0;
	}
	t->state = CP_READY;
	cp_ready(rt, t);
	return cp_sched_switch(rt);
}

/* In the common case the queue is turned: the first one runs, the running task becomes the last. */
CP_INLINE int yield(struct cp_rt *rt)
{
	struct coop_task *self = rt->cur, *t = rt->ready_head, *next;

	if (CP_UNLIKELY(!t || rt->ticks <= 0 || rt->shuffle))
		return yield_rare(rt);
	next = t->qnext;
	rt->ticks--;
	self->state = CP_READY;
	self->qnext = NULL;
	if (next)
		*rt->ready_tail = self;
	rt->ready_head = next ? next : self;
	rt->ready_tail = &self->qnext;
	return switch_to(rt, t);
}

CP_NOINLINE int cp_yield(struct cp_rt *rt)
{
	return yield(rt);
}

int cp_park(struct cp_rt *rt, struct cp_wait *wait)
{
	return cp_park_inline(rt, wait);
}

static bool sleep_abort(struct cp_wait *wait)
{
	if (cp_timer_armed(&wait->task->timer))
		cp_wheel_disarm(&cp_rt->wheel, &wait->task->timer);
	return true;
}

int cp_park_sleep(struct cp_rt *rt, int64_t when_ns, int64_t duration_ns)
{
	bool fresh = duration_ns >= 0 && !rt->clock_virtual;
	struct coop_task *t = rt->cur;
	struct cp_wait wait;
	int r;

	wait.abort = sleep_abort;
	wait.what = "coop_sleep";
	wait.on = NULL;
	wait.kind = CP_ON_NOTHING;
	wait.detail_ns = duration_ns >= 0 ? duration_ns : when_ns - rt->now_ns;
	t->timer.next = NULL;
	if (duration_ns >= 0)
		when_ns = fresh ? duration_ns : cp_time_add(rt->now_ns, duration_ns);
	if (when_ns >= CP_TIME_MAX)
		wait.detail_ns = -1;
	else if (fresh)
		cp_wheel_arm_fresh(&rt->wheel, &t->timer, duration_ns, CP_TIMER_TASK);
	else
		cp_wheel_arm(&rt->wheel, &t->timer, when_ns, CP_TIMER_TASK);
	r = cp_park(rt, &wait);
	CP_ASSERT(r < 0 || wait.detail_ns >= 0); /* nothing but a cancel ends a sleep for ever */
	return r;
}

/* ------------------------------------------------------------------ cancel */

void cp_deliver(struct cp_rt *rt, struct coop_task *t)
{
	struct cp_body *b = t->body;
	struct cp_wait *wait = b->wait;

	if (t->state != CP_PARKED || b->aborted == b->schedule_half || !wait->abort)
		return;
	b->aborted = b->schedule_half; /* each wait has its number */
	if (!wait->abort(wait))
		return;
	b->blocked_what = wait->what;
	b->blocked_ns = wait->detail_ns;
	b->delivered = true;
	rt->cancels_delivered++;
	cp_wake(rt, t, COOP_ECANCELED);
}

/* One line about a task that goes on in spite of many cancelled checkpoints. */
static CP_COLD void warn_ignores(struct cp_rt *rt)
{
	char path[160];

	cp_task_path(rt->cur, path, sizeof path);
	coop_log(COOP_LOG_WARN,
		 "task %s ignores its cancellation: %u checkpoints so far (spawned at %s)", path,
		 rt->body->ignored, cp_at(cp_task_site(rt->cur)));
}

/*
 * Each cancelled checkpoint of a task counts, until a scope has caught the cancel. It was real when
 * it was returned, whatever shield has been raised since.
 */
void cp_ignored(struct cp_rt *rt)
{
	rt->body->delivered = true;
	if (++rt->body->ignored == rt->ignore_warn)
		warn_ignores(rt);
}

/* Notices the cancellation, if it is one: the hook's bit alone is none. */
static CP_NOINLINE int notice_cancel(struct cp_rt *rt)
{
	struct coop_task *t = rt->cur;

	if (t->cancelled == CP_HOOK) {
		if (!rt->hook || !rt->hook(rt, rt->hook_ctx))
			return 0;
		if (t->cancelled == CP_HOOK)
			return 0; /* a shield hides what the hook cancelled */
	}
	rt->body->blocked_what = NULL;
	rt->cancels_delivered++;
	cp_ignored(rt);
	return COOP_ECANCELED;
}

void cp_hook_look(struct cp_rt *rt)
{
	if (rt->cur->cancelled == CP_HOOK && rt->hook)
		(void)rt->hook(rt, rt->hook_ctx);
}

/* The other half goes with it, so that a task that ignores its cancellation starves nobody. */
CP_NOINLINE int cp_cancel_hit(struct cp_rt *rt)
{
	int r = notice_cancel(rt);

	if (r < 0)
		cp_schedule_point(rt);
	return r;
}

/* ------------------------------------------------------------- public calls */

static CP_NOINLINE int checkpoint_cancelled(struct cp_rt *rt)
{
	int r = cp_cancel_hit(rt);

	return r < 0 ? r : cp_succeed(rt);
}

/* It is called in tight loops, and over two lines of the cache it takes a quarter of a ns more. */
__attribute__((aligned(64))) int coop_checkpoint(void)
{
	struct cp_rt *rt = cp_in_task();

	if (CP_UNLIKELY(!rt))
		return cp_no_task();
	rt->body->cancel_half++;
	if (CP_UNLIKELY(rt->cur->cancelled))
		return checkpoint_cancelled(rt);
	return cp_succeed(rt);
}

CP_COLD int cp_refuse(int r)
{
	int checkpoint = coop_checkpoint();

	return checkpoint < 0 ? checkpoint : r;
}

int coop_checkpoint_if_cancelled(void)
{
	struct cp_rt *rt = cp_in_task();

	if (CP_UNLIKELY(!rt))
		return cp_no_task();
	rt->body->cancel_half++;
	return CP_UNLIKELY(rt->cur->cancelled) ? notice_cancel(rt) : 0;
}

int coop_yield(void)
{
	struct cp_rt *rt = cp_in_task();

	if (CP_UNLIKELY(!rt))
		return cp_no_task();
	cp_check_frames(rt->body, CP_STACK_POINTER(), "coop_yield");
	rt->body->schedule_half++;
	return yield(rt);
}

bool coop_cancelled(void)
{
	struct cp_rt *rt = cp_rt;

	return rt && rt->cur && (rt->cur->cancelled & ~CP_HOOK);
}

/* sleep(0) and sleeps into the past: a checkpoint. */
static int sleep_none(struct cp_rt *rt)
{
	cp_schedule_point(rt);
	return 0;
}

int coop_sleep(int64_t duration_ns)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (CP_UNLIKELY(!rt))
		return cp_no_task();
	if (CP_UNLIKELY(duration_ns < 0))
		return cp_refuse(-EINVAL);
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_sleep");
	r = cp_cancel_point(rt);
	if (CP_UNLIKELY(r < 0)) {
		rt->body->blocked_what = "coop_sleep";
		rt->body->blocked_ns = duration_ns;
		return r;
	}
	if (duration_ns == 0)
		return sleep_none(rt);
	r = cp_park_sleep(rt, 0, duration_ns);
	if (r < 0)
		cp_ignored(rt);
	return r;
}

int coop_sleep_until(int64_t deadline_ns)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (CP_UNLIKELY(!rt))
		return cp_no_task();
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_sleep_until");
	r = cp_cancel_point(rt);
	if (CP_UNLIKELY(r < 0))
		return r;
	if (deadline_ns <= rt->now_ns)
		return sleep_none(rt);
	r = cp_park_sleep(rt, deadline_ns, -1);
	if (r < 0)
		cp_ignored(rt);
	return r;
}

int coop_ticker_start(struct coop_ticker *ticker, int64_t period_ns)
{
	if (period_ns <= 0)
		return -EINVAL;
	ticker->_period_ns = period_ns;
	ticker->_next_ns = cp_time_add(coop_now(), period_ns);
	return 0;
}

int coop_ticker_wait(struct coop_ticker *ticker)
{
	int64_t now, missed;
	int r;

	if (ticker->_period_ns <= 0)
		return cp_refuse(-EINVAL);
	r = coop_sleep_until(ticker->_next_ns);
	if (r < 0)
		return r;
	now = coop_now();
	if (ticker->_next_ns >= CP_TIME_MAX)
		return 0;
	missed = (now - ticker->_next_ns) / ticker->_period_ns;
	ticker->_next_ns = cp_time_add(ticker->_next_ns, (missed + 1) * ticker->_period_ns);
	return missed > INT32_MAX ? INT32_MAX : (int)missed;
}
