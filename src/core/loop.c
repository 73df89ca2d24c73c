/* SPDX-License-Identifier: MIT */
/*
 * The loop of a run.
 *
 * It runs on the thread's own stack. One turn: read the clock, take in what came
 * from outside, fire timers, then run tasks until there is none or until 61 switches
 * have been made. With nothing to run it sleeps in the engine until the next deadline,
 * or, on the virtual clock, moves the clock there.
 *
 * Everything blocked, no deadline, and nothing outside that could change it: a deadlock. It
 * is reported with a dump and ended by a cancel that no shield holds, so even then every
 * task unwinds by returning.
 */
#include "core/core.h"

#include <errno.h>
#include <string.h>

#define CP_SPIN_PAUSES 32

static void fire_timers(struct cp_rt *rt)
{
	struct cp_timer *t;

	if (!cp_wheel_collect(&rt->wheel, rt->now_ns))
		return;
	while ((t = cp_wheel_take(&rt->wheel))) {
		struct cp_timer *next = rt->wheel.due.next;

		__builtin_prefetch(next);
		if (t->key & CP_TIMER_SCOPE) {
			cp_scope_timer_fired(rt,
					     CP_CONTAINER_OF(t, struct coop_scope, _timer_next));
		} else {
			struct coop_task *task = (struct coop_task *)t;

			__builtin_prefetch(((struct coop_task *)next)->body, 1);
			cp_wake(rt, task, 0);
		}
	}
}

static CP_COLD void deadlock(struct cp_rt *rt)
{
	struct cp_why why = { .source = COOP_CANCEL_DEADLOCK,
			      .text = "every task was blocked",
			      .grace_ns = 0,
			      .kind = CP_CANCEL };
	char *text = NULL;
	size_t size;
	FILE *out;

	if (rt->deadlocked)
		cp_die("deadlock: the tasks that are left cannot be cancelled");
	rt->deadlocked = true;
	out = cp_os_text_open(&text, &size);
	if (out) {
		cp_dump(rt, out, COOP_DUMP_INTERNAL);
		cp_os_text_close(out);
	}
	coop_log(COOP_LOG_ERROR, "deadlock: every task is blocked and nothing can wake one:");
	for (char *line = text, *end; line && *line; line = end + 1) {
		end = strchr(line, '\n');
		if (!end)
			break;
		*end = '\0';
		coop_log(COOP_LOG_ERROR, "  %s", line);
	}
	cp_os_text_free(text);
	cp_scope_cancel_why(rt, &rt->group._scope, &why);
	cp_scope_force(rt, &rt->group._scope);
}

/* Nobody can come from outside any more, and nobody inside can go on. */
static bool is_deadlock(const struct cp_rt *rt)
{
	if (rt->external || rt->working || rt->engine->in_flight || rt->engine->waiting ||
	    rt->opts.ignore_deadlock)
		return false;
	if (rt->opts.detect_deadlock) /* a signal could stop it, but nothing else can happen */
		return !(rt->ladder && rt->root_wait);
	return rt->clock_virtual && !rt->ladder;
}

/* False: something has come before. */
static bool fall_asleep(struct cp_rt *rt, uint32_t where)
{
	__atomic_store_n(&rt->asleep, where, __ATOMIC_SEQ_CST); /* pairs with cp_pending */
	return !__atomic_load_n(&rt->pending, __ATOMIC_SEQ_CST);
}

/* Whoever is the first to see it asleep wakes it. */
void cp_rt_wake(struct cp_rt *rt)
{
	uint32_t where = __atomic_exchange_n(&rt->asleep, CP_AWAKE, __ATOMIC_SEQ_CST);

	if (where == CP_ON_WORD)
		cp_os_futex_wake(&rt->asleep, 1);
	else if (where == CP_IN_ENGINE)
		rt->engine->ops->wake(rt->engine);
}

/*
 * No operation is under way, so only timers, threads and signals can end a wait. (Under the thread
 * sanitizer signals cannot: it keeps them for the next call that it knows, and a futex is none.)
 */
static bool nothing_asked(const struct cp_rt *rt)
{
	const struct cp_engine *e = rt->engine;

	return !CP_IS_TSAN && !e->in_flight && !e->waiting && e->due_ns == COOP_NEVER;
}

/* Sleeps where threads can wake it at the least cost, as two threads wake each other. */
static void word_wait(struct cp_rt *rt, int64_t timeout_ns)
{
	if (fall_asleep(rt, CP_ON_WORD))
		(void)cp_os_futex_wait(&rt->asleep, CP_ON_WORD, timeout_ns);
	__atomic_store_n(&rt->asleep, CP_AWAKE, __ATOMIC_RELAXED);
}

static void engine_wait(struct cp_rt *rt, int64_t timeout_ns)
{
	int r;

	rt->waits++;
	if (timeout_ns && nothing_asked(rt)) {
		word_wait(rt, timeout_ns);
		return;
	}
	if (timeout_ns && !fall_asleep(rt, CP_IN_ENGINE))
		timeout_ns = 0;
	r = rt->engine->ops->wait(rt->engine, timeout_ns);
	__atomic_store_n(&rt->asleep, CP_AWAKE, __ATOMIC_RELAXED);
	if (CP_IS_TSAN)
		(void)cp_os_now_ns(); /* a call that it knows: handlers run */
	if (r < 0 && r != -EINTR)
		cp_die("the %s engine failed: %s", rt->engine->ops->name, strerror(-r));
}

static bool is_pending(const struct cp_rt *rt)
{
	return __atomic_load_n(&rt->pending, __ATOMIC_RELAXED) != 0;
}

/* Wakes the first of those who wait for silence, and those with the same cushion. */
static void wake_idle_waiters(struct cp_rt *rt)
{
	struct cp_wait *w = rt->idle_waiters;
	int64_t cushion = w->detail_ns;

	while ((w = rt->idle_waiters) && w->detail_ns == cushion) {
		rt->idle_waiters = w->next;
		cp_wake(rt, w->task, 0);
	}
}

/* Real time until the clock gets to `next` by itself, rounded up; COOP_NEVER: it does not. */
static int64_t real_until(const struct cp_rt *rt, int64_t next)
{
	double wait;

	if (next == COOP_NEVER)
		return COOP_NEVER;
	if (!rt->clock_virtual)
		return next - rt->now_ns;
	if (next <= rt->now_ns)
		return 0;
	if (!(rt->clock_rate > 0))
		return COOP_NEVER;
	wait = (double)(next - rt->now_ns) / rt->clock_rate;
	return wait < 9e17 ? (int64_t)wait + 1 : COOP_NEVER;
}

/* Silence: true if somebody waited for it and something was done about it. */
static bool idle_silence(struct cp_rt *rt, int64_t next)
{
	int64_t cushion = rt->idle_waiters->detail_ns, start;

	if (real_until(rt, next) < cushion)
		return false; /* a timer will break it before */
	start = cp_os_now_ns();
	engine_wait(rt, cushion); /* without a cushion, too: what has come is no silence */
	if (rt->ready_head || is_pending(rt) || cp_os_now_ns() - start < cushion)
		return true;
	wake_idle_waiters(rt);
	return true;
}

/* No timer will ever fire: there is none, or nobody is left to move the clock to it. */
static bool no_timer(const struct cp_rt *rt, int64_t next)
{
	return next == COOP_NEVER || (rt->autojump_ns == COOP_NEVER && !(rt->clock_rate > 0));
}

/* On the virtual clock: moves it to the next deadline, or waits for the world. */
static void idle_virtual(struct cp_rt *rt, int64_t next)
{
	int64_t wait = real_until(rt, next);

	if (no_timer(rt, next) && is_deadlock(rt)) {
		deadlock(rt);
		return;
	}
	if (wait != COOP_NEVER) {
		engine_wait(rt, wait);
		return;
	}
	if (no_timer(rt, next) || rt->clock_rate > 0 || rt->working || rt->engine->in_flight) {
		engine_wait(rt, -1);
		return;
	}
	if (rt->autojump_ns) {
		int64_t start = cp_os_now_ns();

		engine_wait(rt, rt->autojump_ns);
		if (rt->ready_head || is_pending(rt) || cp_os_now_ns() - start < rt->autojump_ns)
			return;
	} else if (rt->external || rt->ladder || rt->engine->waiting) {
		engine_wait(rt, 0);
		if (rt->ready_head || is_pending(rt))
			return;
	}
	if (next > rt->now_ns)
		rt->now_ns = next;
}

/* What shares the core with this thread has it to itself for most of the time. */
static void relax(void)
{
	for (int i = 0; i < CP_SPIN_PAUSES; i++)
		cp_cpu_relax();
}

/* Looks for at most `bound_ns` whether something has come. */
static bool spin(struct cp_rt *rt, int64_t start_ns, int64_t bound_ns)
{
	do {
		engine_wait(rt, 0);
		if (rt->ready_head || __atomic_load_n(&rt->pending, __ATOMIC_RELAXED))
			return true;
		relax();
	} while (cp_os_now_ns() - start_ns < bound_ns);
	return false;
}

/*
 * Waits. To be woken on a core that sleeps takes longer than many an answer, so where the
 * last waits were short the loop looks on for a moment. One that was long puts an end to that: a
 * loop that is at rest, or has timers only, never does it.
 */
static void rest(struct cp_rt *rt, int64_t wait_ns)
{
	int64_t start = rt->now_ns, bound = rt->spin_ns, spent;

	if (!bound || !(rt->engine->waiting | rt->engine->in_flight | rt->external)) {
		engine_wait(rt, wait_ns);
		return;
	}
	if (wait_ns > 0 && wait_ns < bound)
		bound = wait_ns;
	if (rt->rest_ns >= rt->spin_ns || !spin(rt, start, bound)) {
		if (rt->rest_ns < rt->spin_ns && wait_ns > 0)
			wait_ns = wait_ns > bound ? wait_ns - bound : 0;
		engine_wait(rt, wait_ns);
	}
	spent = cp_os_now_ns() - start;
	if (spent / 8 > rt->spin_ns)
		spent = 8 * rt->spin_ns;
	if (rt->rest_ns / 8 > rt->spin_ns)
		rt->rest_ns = 8 * rt->spin_ns;
	rt->rest_ns += (spent - rt->rest_ns) / 4;
}

static void idle_real(struct cp_rt *rt, int64_t next)
{
	int64_t wait;

	if (next == COOP_NEVER && is_deadlock(rt)) {
		deadlock(rt);
		return;
	}
	if (next <= rt->now_ns)
		return; /* a cancel has read the clock since: the next turn fires it */
	wait = next == COOP_NEVER ? -1 : next - rt->now_ns;
	if (wait > COOP_MICROSECONDS(1))
		wait = cp_time_add(wait, rt->slack_ns);
	rest(rt, wait);
}

/* Each size of stacks has its own cache, and its own bound. */
static void trim_stacks(struct cp_rt *rt)
{
	if (cp_stacks_trim_wanted(&rt->stacks))
		cp_stacks_trim(&rt->stacks);
	for (struct cp_stacks *p = rt->pools; p; p = p->next_pool)
		if (cp_stacks_trim_wanted(p))
			cp_stacks_trim(p);
}

static void idle(struct cp_rt *rt)
{
	bool exact;
	int64_t next = cp_wheel_next(&rt->wheel, &exact);

	if (rt->engine->due_ns < next)
		next = rt->engine->due_ns;

	if (rt->idle_waiters && idle_silence(rt, next))
		return;
	trim_stacks(rt);
	if (rt->clock_virtual)
		idle_virtual(rt, next);
	else
		idle_real(rt, next);
}

/* Tasks that could not get a guarded stack: memory may come back, or others may end. */
static CP_COLD void wait_for_stacks(struct cp_rt *rt, unsigned *tries)
{
	if (++*tries > 5000)
		cp_die("no memory for the guard of a task's stack");
	engine_wait(rt, COOP_MILLISECONDS(1));
}

static void take_pending(struct cp_rt *rt)
{
	uint32_t bits = __atomic_exchange_n(&rt->pending, 0, __ATOMIC_ACQUIRE);

	if ((bits & CP_PENDING_SIGNALS) && rt->on_signals)
		rt->on_signals(rt);
	if (bits & CP_PENDING_POSTS)
		cp_inbox_take(rt);
}

void cp_loop(struct cp_rt *rt)
{
	unsigned tries = 0;

	while (cp_tasks(rt)) {
		uint64_t switches = rt->switches;

		rt->turns++;
		cp_clock(rt);
		if (is_pending(rt))
			take_pending(rt);
		if (CP_UNLIKELY(rt->causes_free < 32))
			cp_causes_refill(rt);
		fire_timers(rt);
		if (CP_UNLIKELY(rt->engine->due_ns <= rt->now_ns))
			engine_wait(rt, 0);
		if (!rt->ready_head) {
			idle(rt);
			continue;
		}
		if (rt->engine->in_flight | rt->engine->waiting)
			engine_wait(rt, 0);
		cp_sched_enter(rt);
		if (CP_UNLIKELY(rt->starved && rt->switches == switches))
			wait_for_stacks(rt, &tries);
		else
			tries = 0;
	}
}
