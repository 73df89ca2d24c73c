/* SPDX-License-Identifier: MIT */
/*
 * The end of a task's processes: the shield, those that come after it, the ladder, the kill.
 *
 * All of it is shielded from cancellations, since it is what a cancellation means. What makes it
 * hurry is job->level: whoever raises it cancels the scope of the wait that is going on, and the
 * climber looks again.
 */
#include "proctree.h"
#include "run.h"
#include "screen.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define NAP_MIN_NS COOP_MILLISECONDS(1) /* between looks at a group, which tells nobody */
#define NAP_MAX_NS COOP_MILLISECONDS(50)
#define DEAF_NS COOP_MILLISECONDS(500) /* for what is left of a group after SIGINT */
#define KILL_NS COOP_MILLISECONDS(200) /* after a stroke, before the next */

bool run_is_cancelled(const struct run_task *task)
{
	struct coop_cancel_info info;

	return coop_scope_cancel_called(&task->scope) ||
	       (task->group->is_open &&
		coop_scope_reason(coop_group_scope(&task->group->coop), &info));
}

/* Whether it may not be polite any more. */
static bool is_hurried(const struct run_task *task)
{
	return task->job->level >= (task->is_in_shield ? LEVEL_KILL_SHIELDS : LEVEL_KILL);
}

void run_stop_hurry(struct job *job)
{
	for (struct run_task *task = job->live; task; task = task->live_next) {
		if (task->asking)
			(void)!coop_process_signal_group(task->asking, SIGKILL);
		if (!is_hurried(task))
			continue;
		if (task->stop_scope)
			coop_scope_cancel(task->stop_scope, "hurry");
		else if (task->is_final && task->wait_scope)
			coop_scope_cancel(task->wait_scope, "killed");
	}
}

/* ------------------------------------------------------------------------- waits */

static bool is_gone(struct run_task *task)
{
	return task->is_ended && !proc_group_lives(task->pid, job_is_leader, task->job);
}

static int await_gone(struct run_task *task)
{
	int64_t nap = NAP_MIN_NS;
	int r = 0;

	if (!task->is_ended) {
		r = coop_process_wait_end(task->process, &task->status);
		task->is_ended = r >= 0 || r == -ECHILD;
	}
	while (r >= 0 && !is_gone(task)) {
		r = coop_sleep(nap);
		nap = nap * 2 > NAP_MAX_NS ? NAP_MAX_NS : nap * 2;
	}
	return r;
}

static int await_leader(struct run_task *task)
{
	int r = coop_process_wait_end(task->process, &task->status);

	task->is_ended = r >= 0 || r == -ECHILD;
	return r;
}

/* Whether it has waited for as long as was said, in vain. */
static bool wait_once(struct run_task *task, int64_t limit_ns, int (*wait)(struct run_task *))
{
	struct coop_scope scope = COOP_SCOPE_INIT;
	struct coop_scope_opts opts = { .name = "stop",
					.timeout_ns = limit_ns == COOP_NEVER ? 0 : limit_ns };
	struct coop_cancel_info info;
	int r;

	task->stop_until_ns = limit_ns == COOP_NEVER ? COOP_NEVER : coop_now() + limit_ns;
	coop_scope_open(&scope, &opts);
	task->stop_scope = &scope;
	r = wait(task); /* late, hurried or lost: the caller looks at the task */
	task->stop_scope = NULL;
	(void)!coop_scope_close(&scope, 0);
	return r < 0 && coop_scope_cancel_called(&scope) && coop_scope_reason(&scope, &info) &&
	       info.source == COOP_CANCEL_DEADLINE;
}

/* Waits, at most so long, or until somebody is in a hurry. */
static void wait_within(struct run_task *task, int64_t limit_ns, int (*wait)(struct run_task *))
{
	int64_t end = job_until(limit_ns), left = limit_ns;

	while (left > 0 && wait_once(task, left, wait))
		left = job_left(end);
}

/* ------------------------------------------------------------------------ before */

static bool is_before(const struct run_task *task, const struct run_task *other)
{
	for (size_t i = 0; i < other->plan->after_count; i++)
		if (other->plan->after[i].task == task->plan)
			return true;
	return false;
}

/* Those that were started after it, and are being stopped as well, end first. */
static int await_followers(struct run_task *task)
{
	struct job *job = task->job;
	int r = 0;

	for (size_t i = 0; i < job->task_count && r >= 0; i++) {
		struct run_task *other = &job->tasks[i];

		if (other != task && other->state != RUN_ENDED && is_before(task, other) &&
		    run_is_cancelled(other))
			r = coop_event_wait(&other->ended);
	}
	return r;
}

/* While it is shielded nobody signals it; it is waited for. */
static void wait_in_shield(struct run_task *task)
{
	task->is_in_shield = true;
	screen_tell(task, SCREEN_SIGNAL);
	if (!is_hurried(task))
		wait_within(task, task->plan->shield_ns, await_leader);
	task->is_in_shield = false;
}

/* -------------------------------------------------------------------- the ladder */

static void send_signal(struct run_task *task, int sig)
{
	int r = coop_process_signal_group(task->process, sig);

	if (r >= 0 && sig != SIGKILL && sig != SIGSTOP)
		r = coop_process_signal_group(task->process, SIGCONT); /* it may be stopped */
	if (r < 0 && r != -ESRCH)
		job_say(task->job, SAY_ALERT, "%s: process %d cannot be signalled: %s", task->name,
			task->pid, strerror(-r));
}

static void step_on(struct run_task *task, const struct plan_step *step)
{
	task->stop_sig = step->sig;
	task->stop_since_ns = coop_now();
	task->stop_until_ns = task->stop_since_ns + step->wait_ns;
	send_signal(task, step->sig);
	if (!task->is_ended)
		screen_tell(task, SCREEN_SIGNAL);
}

/* How long survivors of the kill are waited for: the last step says it. */
static int64_t kill_limit(const struct run_task *task)
{
	const struct plan_step *last = &task->plan->stop[task->plan->stop_count - 1];

	return last->sig == SIGKILL && last->wait_ns > 0 ? last->wait_ns : COOP_SECONDS(10);
}

static void report_left(struct run_task *task)
{
	struct coop_process_info proc;

	if (!task->is_ended && coop_process_info(task->pid, &proc) == 0)
		job_say(task->job, SAY_ALERT, "%s: process %d (%s) cannot be ended: %s", task->name,
			task->pid, proc.name, proc_why(&proc));
}

/* The leader is stopped first, so that it cannot fork, then all below it end, then its group. */
static void kill_all(struct run_task *task)
{
	int64_t end = job_until(kill_limit(task));
	struct plan_step stroke = { SIGKILL, KILL_NS };

	do {
		if (!task->is_ended) {
			send_signal(task, SIGSTOP);
			proc_kill_below(task->pid);
		}
		step_on(task, &stroke);
		wait_within(task, KILL_NS, await_gone);
	} while (!is_gone(task) && job_left(end) > 0);
	if (!is_gone(task))
		report_left(task);
}

/*
 * Waits on a rung. What a shell has put into the background ignores SIGINT: when the leader has
 * ended of it, it is not worth the whole time until TERM to wait for those.
 */
static void stand_on(struct run_task *task, size_t step)
{
	const struct plan_step *now = &task->plan->stop[step];
	bool is_next_polite = step + 1 < task->plan->stop_count && now[1].sig != SIGKILL;
	int64_t end = job_until(now->wait_ns), left;

	if (!task->is_ended)
		wait_within(task, now->wait_ns, await_leader);
	left = job_left(end);
	if (now->sig == SIGINT && is_next_polite && left > DEAF_NS)
		left = DEAF_NS;
	if (task->is_ended && !is_hurried(task) && !is_gone(task))
		wait_within(task, left, await_gone);
}

static void climb(struct run_task *task)
{
	const struct plan_task *plan = task->plan;

	for (size_t i = plan_stop_first(plan, task->is_interrupted); i < plan->stop_count; i++) {
		if (is_gone(task))
			return;
		if (plan->stop[i].sig == SIGKILL || is_hurried(task))
			break;
		task->next_sig = plan->stop[i + 1].sig; /* the last one is KILL */
		step_on(task, &plan->stop[i]);
		stand_on(task, i);
	}
	if (!is_gone(task))
		kill_all(task);
}

static int stop_shielded(void *arg)
{
	struct run_task *task = arg;

	if (!task->is_ended && !is_hurried(task))
		wait_within(task, COOP_NEVER, await_followers);
	climb(task);
	return 0;
}

static int shield_first(void *arg)
{
	wait_in_shield(arg);
	return 0;
}

void run_stop(struct run_task *task, bool may_shield)
{
	task->state = RUN_STOPPING;
	task->stop_sig = 0;
	task->stop_until_ns = COOP_NEVER;
	task->is_interrupted = task->job->stop_sig == SIGINT;
	screen_tell(task, SCREEN_STOPPING);
	if (may_shield && task->plan->is_shielded)
		(void)!coop_shield(shield_first, task);
	(void)!coop_shield(stop_shielded, task);
}

void run_stop_rest(struct run_task *task)
{
	if (!is_gone(task))
		(void)!coop_shield(stop_shielded, task);
}
