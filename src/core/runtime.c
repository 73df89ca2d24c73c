/* SPDX-License-Identifier: MIT */
/*
 * The runtime: its making, its loop, its clock.
 *
 * The loop runs on the thread's own stack. One turn: read the clock, take in what came
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
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CP_BUDGET 128
#define CP_SPIN_NS COOP_MICROSECONDS(50)
#define CP_SPIN_PAUSES 32
#define CP_SLACK_NS COOP_MICROSECONDS(50)
#define CP_KERNEL_SLACK_NS COOP_MICROSECONDS(50) /* unless it says otherwise */
#define CP_IGNORE_WARN 1000
/* The virtual clock starts here, so that no deadline a program computes from it is 0. */
#define CP_VIRTUAL_START COOP_SECONDS(1)

static __thread bool forked;
__thread struct cp_next_run cp_next_run;

bool cp_rt_forked(void)
{
	return forked;
}

int cp_no_task(void)
{
	return forked ? COOP_EFORK : COOP_ENOTASK;
}

static void after_fork(void)
{
	if (!cp_rt)
		return;
	cp_rt_set(NULL);
	forked = true;
}

/* -------------------------------------------------------------------- the clock */

int64_t cp_clock(struct cp_rt *rt)
{
	if (CP_LIKELY(!rt->clock_virtual)) {
		rt->now_ns = cp_os_now_ns();
	} else if (rt->clock_rate > 0) {
		double gone = (double)(cp_os_now_ns() - rt->rate_real_ns) * rt->clock_rate;
		int64_t now = gone < (double)CP_TIME_MAX - (double)rt->rate_virtual_ns
				      ? rt->rate_virtual_ns + (int64_t)gone
				      : CP_TIME_MAX;

		if (now > rt->now_ns)
			rt->now_ns = now;
	}
	return rt->now_ns;
}

int64_t coop_now(void)
{
	return cp_rt ? cp_clock(cp_rt) : cp_os_now_ns();
}

bool coop_clock_is_virtual(void)
{
	return cp_rt && cp_rt->clock_virtual;
}

/* How an error learns where it was made. */
static bool locate(struct cp_err_here *here, bool want_path)
{
	struct cp_rt *rt = cp_rt;

	if (!rt || !rt->cur)
		return false;
	here->slot = &rt->body->err;
	here->when_ns = cp_clock(rt) - rt->start_ns;
	here->during_cancel = rt->cur->cancelled & (uint8_t)~CP_HOOK;
	here->path[0] = '\0';
	if (want_path)
		cp_task_path(rt->cur, here->path, sizeof here->path);
	return true;
}

/* ----------------------------------------------------------------- environment */

static int env_number(const char *name, uint64_t max, bool size, uint64_t *ret)
{
	const char *text = cp_os_env(name);
	unsigned long long n;
	char *end;

	if (!text || !text[0])
		return 0;
	errno = 0;
	n = strtoull(text, &end, 0);
	if (size && *end && strchr("kKmMgG", *end)) {
		unsigned shift = *end == 'k' || *end == 'K'   ? 10
				 : *end == 'm' || *end == 'M' ? 20
							      : 30;

		if (n > max >> shift)
			errno = ERANGE;
		n <<= shift;
		end++;
	}
	if (errno || *end || text[0] == '-' || n > max) {
		coop_log(COOP_LOG_ERROR, "%s=%s: not a number, or too large", name, text);
		return -EINVAL;
	}
	*ret = n;
	return 0;
}

static int env_word(const char *name, const char *const *words, int *ret)
{
	const char *text = cp_os_env(name);

	if (!text || !text[0])
		return 0;
	for (int i = 0; words[i]; i++) {
		if (strcmp(text, words[i]) == 0) {
			*ret = i;
			return 0;
		}
	}
	coop_log(COOP_LOG_ERROR, "%s=%s: no such choice", name, text);
	return -EINVAL;
}

/* The environment goes before options. */
static int take_env(struct coop_run_opts *o)
{
	static const char *const clocks[] = { "real", "virtual", NULL };
	static const char *const engines[] = { "auto", "uring", "epoll", "sim", NULL };
	uint64_t seed = o->seed, budget = o->budget, stack = o->stack_bytes;
	uint64_t spin = UINT64_MAX;
	int clock = -1, engine = (int)o->engine;

	if (env_word("COOP_CLOCK", clocks, &clock) < 0 ||
	    env_word("COOP_IO", engines, &engine) < 0 ||
	    env_number("COOP_SEED", UINT64_MAX, false, &seed) < 0 ||
	    env_number("COOP_BUDGET", INT32_MAX, false, &budget) < 0 ||
	    env_number("COOP_SPIN", INT64_MAX, false, &spin) < 0 ||
	    env_number("COOP_STACK", UINT64_C(1) << 30, true, &stack) < 0)
		return -EINVAL;
	if (spin != UINT64_MAX)
		o->spin_ns = spin ? (int64_t)spin : COOP_NO_SPIN;
	o->engine = (enum coop_engine)engine;
	if (clock >= 0)
		o->clock = (enum coop_clock)clock;
	else if (o->engine == COOP_ENGINE_SIM) /* its world has no other */
		o->clock = COOP_CLOCK_VIRTUAL;
	o->seed = seed;
	o->budget = (uint32_t)budget;
	o->stack_bytes = stack;
	return 0;
}

static int check_opts(const struct coop_run_opts *o)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < CP_ARRAY_LEN(o->_reserved); i++)
		sum |= o->_reserved[i];
	if (sum || (unsigned)o->clock > COOP_CLOCK_VIRTUAL || (unsigned)o->engine > COOP_ENGINE_SIM)
		return -EINVAL;
	if (o->budget > INT32_MAX || o->timer_slack_ns < 0 || o->ignore_warn < 0)
		return -EINVAL;
	if (o->grace_ns < 0 && o->grace_ns != COOP_NO_GRACE)
		return -EINVAL;
	if (o->spin_ns < 0 && o->spin_ns != COOP_NO_SPIN)
		return -EINVAL;
	return 0;
}

/* ---------------------------------------------------------------- open and close */

/* What the loop waits longer than the next timer asks: the kernel adds its own to every wait. */
static int64_t slack_of(const struct cp_rt *rt, int64_t asked_ns)
{
	int64_t kernel_ns;

	if (rt->clock_virtual || asked_ns == COOP_NEVER)
		return 0;
	if (!asked_ns)
		asked_ns = CP_SLACK_NS;
	kernel_ns = cp_os_timer_slack_ns(); /* none for a thread with a real-time policy */
	if (kernel_ns < 0)
		kernel_ns = CP_KERNEL_SLACK_NS;
	return asked_ns > kernel_ns ? asked_ns - kernel_ns : 0;
}

static void take_opts(struct cp_rt *rt)
{
	const struct coop_run_opts *o = &rt->opts;

	rt->clock_virtual = o->clock == COOP_CLOCK_VIRTUAL;
	rt->budget_max = o->budget ? (int32_t)o->budget : CP_BUDGET;
	rt->rng = o->seed;
	rt->grace_ns = !o->grace_ns                   ? CP_SECONDS_10
		       : o->grace_ns == COOP_NO_GRACE ? 0
						      : o->grace_ns;
	rt->slack_ns = slack_of(rt, o->timer_slack_ns);
	rt->spin_ns = o->spin_ns == COOP_NO_SPIN || cp_os_cpus_online() < 2 ? 0
		      : o->spin_ns                                          ? o->spin_ns
									    : CP_SPIN_NS;
	rt->rest_ns = INT64_MAX / 8;
	rt->ignore_warn = o->ignore_warn ? (uint32_t)o->ignore_warn : CP_IGNORE_WARN;
	rt->stack_bytes = o->stack_bytes;
	if (o->stack_cache_bytes)
		rt->stacks.cache_bytes = o->stack_cache_bytes;
}

/* A scope's timer has got its absolute time. */
static void settled(struct cp_timer *t)
{
	struct coop_scope *s = CP_CONTAINER_OF(t, struct coop_scope, _timer_next);

	s->_flags &= (uint8_t)~CP_SCOPE_RELATIVE;
	s->_deadline_ns = cp_timer_when(t);
}

static void register_once(void)
{
	__atomic_store_n(&cp_err_locate, locate, __ATOMIC_RELEASE);
	cp_os_atfork_child(after_fork);
}

int cp_rt_open(const struct coop_run_opts *opts, struct cp_rt **ret_rt)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct coop_run_opts o = { 0 };
	struct cp_rt *rt;
	int r;

	pthread_once(&once, register_once);
	if (opts)
		o = *opts;
	r = check_opts(&o);
	if (r < 0 || (r = take_env(&o)) < 0)
		return r;
	rt = cp_calloc(1, sizeof *rt);
	if (!rt)
		return -ENOMEM;
	rt->opts = o;
	r = cp_stacks_open(&rt->stacks, o.stack_bytes);
	if (r < 0) {
		cp_free(rt);
		return r;
	}
	take_opts(rt);
	r = cp_err_reserve_open();
	if (r < 0) {
		cp_stacks_close(&rt->stacks);
		cp_free(rt);
		return r;
	}
	r = cp_engine_open(o.engine, &rt->engine);
	if (r < 0) {
		cp_err_reserve_close();
		cp_stacks_close(&rt->stacks);
		cp_free(rt);
		return r;
	}
	coop_log(COOP_LOG_DEBUG, "engine %s (%s), guards by %s", rt->engine->ops->name,
		 rt->engine->why, cp_stacks_guard_kind());
	*ret_rt = rt;
	return 0;
}

void cp_rt_close(struct cp_rt *rt)
{
	rt->engine->ops->close(rt->engine);
	while (rt->pools) {
		struct cp_stacks *p = rt->pools;

		rt->pools = p->next_pool;
		cp_stacks_close(p);
		cp_free(p);
	}
	cp_stacks_close(&rt->stacks);
	cp_nodes_deinit(rt);
	cp_causes_deinit(rt);
	cp_err_reserve_close();
	cp_free(rt);
}

/* --------------------------------------------------------------------- the loop */

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
	if (spent > 8 * rt->spin_ns)
		spent = 8 * rt->spin_ns;
	if (rt->rest_ns > 8 * rt->spin_ns)
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
	wait = next == COOP_NEVER ? -1 : next - rt->now_ns;
	if (wait > COOP_MICROSECONDS(1))
		wait = cp_time_add(wait, rt->slack_ns);
	if (wait != 0)
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

static void loop(struct cp_rt *rt)
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

/* ---------------------------------------------------------------------- one run */

static void reset(struct cp_rt *rt, coop_fn *fn, void *arg)
{
	rt->ready_head = NULL;
	rt->ready_tail = &rt->ready_head;
	rt->errno_p = &errno;
	rt->now_ns = rt->start_ns = rt->clock_virtual ? CP_VIRTUAL_START : cp_os_now_ns();
	rt->rng = rt->opts.seed;
	rt->autojump_ns = 0;
	rt->clock_rate = 0;
	rt->spawned = rt->switches = rt->turns = rt->waits = rt->cancels_delivered = 0;
	rt->main_fn = fn;
	rt->main_arg = arg;
	rt->main_rc = 0;
	rt->main_err = NULL;
	rt->beside_count = 0;
	rt->working = 0;
	rt->main_ended = rt->deadlocked = rt->internal_failed = false;
	rt->shutdown = COOP_SHUTDOWN_NONE;
	rt->stop_signal = 0;
	rt->on_shutdown_count = 0;
	rt->idle_waiters = NULL;
	rt->hook_bit = cp_next_run.hook_bit;
	rt->hook = cp_next_run.hook;
	rt->hook_ctx = cp_next_run.ctx;
	rt->choose = cp_next_run.choose;
	rt->choose_ctx = cp_next_run.choose_ctx;
	rt->shuffle = rt->opts.seed || rt->choose;
	rt->group = (struct coop_group)COOP_GROUP_INIT;
	cp_wheel_init(&rt->wheel, rt->now_ns);
	rt->wheel.settled = settled;
	if (rt->engine->ops->begin)
		rt->engine->ops->begin(rt->engine, rt->now_ns, rt->opts.seed);
	cp_ctx_init_thread(&rt->loop_ctx);
}

int cp_rt_run(struct cp_rt *rt, coop_fn *fn, void *arg)
{
	struct coop_task *root;
	int r;

	if (cp_rt)
		return -EALREADY;
	if (!fn)
		return -EINVAL;
	reset(rt, fn, arg);
	r = cp_task_new(rt, cp_root, rt, "run\0coop_run\0000", NULL, &root);
	if (r < 0)
		return r;
	root->group = NULL;
	root->id_low = 0;
	rt->spawned = 0; /* the first id is the main task's */
	root->flags |= CP_TASK_INTERNAL;
	rt->tasks_internal++;
	rt->root = root;
	cp_causes_refill(rt);
	cp_ready(rt, root);
	cp_rt_set(rt);
	rt->running = true;
	cp_fpenv_save(&rt->fpenv);
	loop(rt);
	cp_debts_end(rt);
	cp_inbox_end(rt);
	cp_fpenv_load(&rt->fpenv); /* a task that did not ask may have left others */
	rt->running = false;
	cp_rt_set(NULL);
	CP_ASSERT(rt->wheel.count == 0);
	while (rt->run_locals) {
		struct cp_local *local = rt->run_locals;

		rt->run_locals = local->next;
		cp_free(local);
	}
	cp_err_slot_drop(cp_err_thread_slot());
	*cp_err_thread_slot() = rt->main_err;
	rt->main_err = NULL;
	return rt->main_rc;
}

int coop_run(coop_fn *fn, void *arg, const struct coop_run_opts *opts)
{
	struct cp_rt *rt;
	int r;

	if (cp_rt)
		return -EALREADY;
	if (forked)
		return COOP_EFORK;
	if (!fn)
		return -EINVAL;
	r = cp_rt_open(opts, &rt);
	if (r < 0)
		return r;
	r = cp_rt_run(rt, fn, arg);
	cp_rt_close(rt);
	return r;
}

/* -------------------------------------------------------------------- the runner */

struct coop_runner {
	struct cp_rt *rt; /* NULL: closed */
	pthread_t thread;
};

int coop_runner_open(const struct coop_run_opts *opts, struct coop_runner **ret_runner)
{
	struct coop_runner *runner = cp_calloc(1, sizeof *runner);
	int r;

	if (!runner)
		return -ENOMEM;
	r = cp_rt_open(opts, &runner->rt);
	if (r < 0) {
		cp_free(runner);
		return r;
	}
	runner->thread = pthread_self();
	*ret_runner = runner;
	return 0;
}

int coop_runner_run(struct coop_runner *runner, coop_fn *fn, void *arg)
{
	if (!runner->rt)
		return COOP_ECLOSED;
	if (!pthread_equal(runner->thread, pthread_self()))
		return COOP_EWRONGTHREAD;
	if (forked)
		return COOP_EFORK;
	return cp_rt_run(runner->rt, fn, arg);
}

int coop_runner_close(struct coop_runner *runner)
{
	if (!runner->rt)
		return 0;
	if (!pthread_equal(runner->thread, pthread_self()))
		return COOP_EWRONGTHREAD;
	if (runner->rt->running)
		return -EBUSY;
	cp_rt_close(runner->rt);
	runner->rt = NULL;
	return 0;
}

struct coop_runner *coop_runner_free(struct coop_runner *runner)
{
	if (!runner)
		return NULL;
	if (coop_runner_close(runner) < 0)
		cp_die("coop_runner_free: the runner is running, or belongs to another thread");
	cp_free(runner);
	return NULL;
}

/* ------------------------------------------------------------------------ numbers */

int coop_run_stats(struct coop_run_stats *ret_stats)
{
	struct cp_rt *rt = cp_in_task();
	struct coop_run_stats s = { 0 };
	bool exact;

	if (!rt)
		return cp_no_task();
	s.tasks = cp_tasks(rt) - rt->tasks_internal;
	s.tasks_internal = rt->tasks_internal;
	s.tasks_ready = cp_ready_count(rt, UINT64_MAX);
	s.tasks_blocked = cp_tasks(rt) - s.tasks_ready - 1;
	s.spawned = rt->spawned;
	s.switches = cp_sched_switches(rt);
	s.timers = rt->wheel.count;
	cp_wheel_collect(&rt->wheel, cp_clock(rt)); /* what is due fires at the next turn */
	s.next_deadline_ns = cp_wheel_next(&rt->wheel, &exact);
	s.turns = rt->turns;
	s.waits = rt->waits;
	s.cancels_delivered = rt->cancels_delivered;
	s.stacks = rt->stacks.total;
	s.stacks_used = cp_tasks_begun(rt);
	s.engine = rt->engine->ops->name;
	s.engine_why = rt->engine->why;
	s.guards = cp_stacks_guard_kind();
	s.clock_virtual = rt->clock_virtual;
	*ret_stats = s;
	return 0;
}

struct coop_group *coop_run_group(void)
{
	struct cp_rt *rt = cp_in_task();

	return rt ? &rt->group : NULL;
}

enum coop_shutdown coop_shutdown_phase(void)
{
	const struct cp_rt *rt = cp_rt;

	if (!rt)
		return COOP_SHUTDOWN_NONE;
	if (rt->shutdown == COOP_SHUTDOWN_SOFT &&
	    rt->now_ns >= cp_time_add(rt->shutdown_ns, rt->grace_ns))
		return COOP_SHUTDOWN_HARD; /* also for those who see its end before it is told */
	return rt->shutdown;
}
