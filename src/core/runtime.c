/* SPDX-License-Identifier: MIT */
/*
 * The runtime: its making, its options, its clock, one run after another. What goes on
 * in a run is loop.c.
 *
 * Options come from the caller and from the environment, which wins. A run leaves nothing behind:
 * whatever was made in it and not given back is ended with it.
 */
#include "base/forks.h"
#include "core/core.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CP_BUDGET 128
#define CP_SPIN_NS COOP_MICROSECONDS(50)
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

static struct cp_forked when_forked = { .child = after_fork };
CP_FORKED(when_forked)

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

int cp_rt_open(const struct coop_run_opts *opts, struct cp_rt **ret_rt)
{
	static uint64_t opened;
	struct coop_run_opts o = { 0 };
	struct cp_rt *rt;
	int r;

	__atomic_store_n(&cp_err_locate, locate, __ATOMIC_RELEASE);
	if (opts)
		o = *opts;
	r = check_opts(&o);
	if (r < 0 || (r = take_env(&o)) < 0)
		return r;
	rt = cp_calloc(1, sizeof *rt);
	if (!rt)
		return -ENOMEM;
	rt->opts = o;
	rt->epoch = __atomic_add_fetch(&opened, 1, __ATOMIC_RELAXED);
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
	cp_loop(rt);
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
	uint32_t forks; /* of its process: a child would share the engine with its parent */
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
	runner->forks = cp_forks();
	*ret_runner = runner;
	return 0;
}

int coop_runner_run(struct coop_runner *runner, coop_fn *fn, void *arg)
{
	if (!runner->rt)
		return COOP_ECLOSED;
	if (!pthread_equal(runner->thread, pthread_self()))
		return COOP_EWRONGTHREAD;
	if (forked || runner->forks != cp_forks())
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
