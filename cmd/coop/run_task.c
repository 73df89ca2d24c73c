/* SPDX-License-Identifier: MIT */
/*
 * The life of a task: its conditions, its place, its attempts, its end.
 */
#include "nested.h"
#include "run.h"
#include "screen.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

enum { LOGS_TOLD = 5 }; /* each that is not complete; the rest is counted */

void run_task_init(struct run_task *task, struct job *job, const struct plan_task *plan)
{
	*task = (struct run_task){
		.plan = plan,
		.job = job,
		.group = &job->groups[plan->group->index],
		.name = plan->name,
		.text = plan->command.text,
		.argv = (char *const *)(uintptr_t)plan->command.argv,
		.first_ns = COOP_NEVER,
		.started_ns = COOP_NEVER,
		.ready_ns = COOP_NEVER,
		.ended_ns = COOP_NEVER,
		.scope = COOP_SCOPE_INIT,
		.started = COOP_EVENT_INIT,
		.ready = COOP_EVENT_INIT,
		.ended = COOP_EVENT_INIT,
		.drained = COOP_PULSE_INIT,
		.logging = COOP_MUTEX_INIT,
		.notify_fd = -1,
		.ready_fd = -1,
		.ready_child_fd = -1,
		.log_fd = -1,
		.terminal_fd = -1,
	};
}

void run_task_deinit(struct run_task *task)
{
	if (task->has_regex)
		regfree(&task->regex);
	nested_forget(task);
	free(task->tail.bytes);
}

/* -------------------------------------------------------------------- conditions */

static bool ended_well(const struct run_task *task)
{
	return task->outcome == OUTCOME_OK;
}

/* Waits for one condition. 1: it can never hold. */
static int await_one(struct run_task *task, const struct plan_after *after)
{
	static const char *const never[] = { "was never started", "was never ready", "",
					     "has not ended well" };
	struct run_task *other = &task->job->tasks[after->task->index];
	bool holds = true;
	int r;

	switch (after->state) {
	case STATE_STARTED:
		r = coop_event_wait(&other->started);
		holds = other->is_started;
		break;
	case STATE_READY:
		r = coop_event_wait(&other->ready);
		holds = other->is_ready;
		break;
	default:
		r = coop_event_wait(&other->ended);
		holds = after->state == STATE_DONE || ended_well(other);
	}
	if (r < 0 || holds)
		return r;
	snprintf(task->why, sizeof task->why, "%s %s", other->name, never[after->state]);
	return 1;
}

static int await_conditions(struct run_task *task)
{
	for (size_t i = 0; i < task->plan->after_count; i++) {
		int r = await_one(task, &task->plan->after[i]);

		if (r)
			return r;
	}
	return 0;
}

/* -------------------------------------------------------------------- the verdict */

static bool is_ok(const struct run_task *task)
{
	return !task->spawn_error && !task->is_late && !task->is_timed_out &&
	       plan_codes_has(&task->plan->ok_codes, task->code);
}

/* One with a probe that ends before it is ready has not done what it is for. */
static bool is_well(const struct run_task *task)
{
	return is_ok(task) && (task->is_ready || task->plan->ready.kind == PROBE_NONE);
}

/* Doubled each time, up to the longest; then between half of it and all. */
static int64_t backoff_ns(const struct plan_task *plan, uint32_t tries)
{
	int64_t pause = plan->backoff_min_ns, max = plan->backoff_max_ns, half;
	uint32_t random = 0;

	while (tries-- > 1 && pause < max)
		pause = pause > max / 2 ? max : pause * 2;
	if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
		random = (uint32_t)coop_now();
	half = pause / 2;
	return half + (int64_t)((double)(pause - half) * (random / 4294967296.0));
}

static int pause_before(struct run_task *task, uint32_t tries)
{
	task->state = RUN_PAUSING;
	screen_tell(task, SCREEN_ATTEMPT);
	return coop_sleep(backoff_ns(task->plan, tries));
}

/* One that ended well too early fails with 1. */
static bool may_retry(const struct run_task *task)
{
	return task->attempt < task->plan->attempts_max &&
	       plan_codes_has(&task->plan->retry_on, is_ok(task) ? 1 : task->code);
}

static void note_limit(struct run_task *task)
{
	char times[32] = "once", text[TEXT_DURATION_SIZE];
	bool has_window = task->plan->restart_window_ns != COOP_NEVER;

	if (task->window_count > 1)
		snprintf(times, sizeof times, "%u times", task->window_count);
	text_of_duration(task->plan->restart_window_ns, text);
	snprintf(task->why, sizeof task->why, "restarted %s%s%s", times,
		 has_window ? " within " : "", has_window ? text : "");
}

/* One more start within the window; false where that is one too many. */
static bool may_restart(struct run_task *task, bool ok)
{
	const struct plan_task *plan = task->plan;
	int64_t now = job_now();

	if (plan->restart == RESTART_NO || (ok && plan->restart == RESTART_ON_FAILURE))
		return false;
	if (!task->window_count || now - task->window_ns > plan->restart_window_ns) {
		task->window_ns = now;
		task->window_count = 0;
	}
	if (plan->restart_max != COOP_UNLIMITED && task->window_count >= plan->restart_max) {
		note_limit(task);
		task->is_over_limit = true;
		return false;
	}
	task->window_count++;
	return true;
}

/* After an attempt that nobody cancelled: 1 for another one, 0 for the end. */
static int judge(struct run_task *task)
{
	bool ok = is_well(task);

	if (task->is_restart_asked) {
		task->attempt = 0;
		return 1;
	}
	if (!ok && may_retry(task)) {
		int r = pause_before(task, task->attempt);

		return r < 0 ? r : 1;
	}
	if (may_restart(task, ok)) {
		int r;

		task->restarts++;
		task->attempt = 0;
		r = pause_before(task, task->window_count);
		return r < 0 ? r : 1;
	}
	return 0;
}

/* -------------------------------------------------------------------------- ends */

/* Whether one that we have stopped has ended as that means. */
static bool stopped_well(const struct run_task *task)
{
	const struct plan_task *plan = task->plan;

	if (is_ok(task) || !task->is_ended || task->code == STATUS_SIGNAL + SIGKILL)
		return true;
	for (size_t i = 0; i < plan->stop_count; i++)
		if (task->code == STATUS_SIGNAL + plan->stop[i].sig)
			return true;
	return false;
}

/* One that was shielded may have come to its own end: nobody has signalled it. */
enum run_outcome run_outcome_of_cancel(struct run_task *task)
{
	if (task->state != RUN_STOPPING) /* it waited: for others, or to be tried again */
		return OUTCOME_CANCELLED;
	if (task->is_ended && !task->stop_sig && is_ok(task)) {
		task->why[0] = '\0';
		return OUTCOME_OK;
	}
	return stopped_well(task) ? OUTCOME_CANCELLED : OUTCOME_STOP_FAILED;
}

static enum run_outcome outcome_of_end(struct run_task *task)
{
	if (is_well(task) && !task->is_over_limit && !task->plan->is_service)
		return OUTCOME_OK;
	if (is_ok(task) && !task->is_over_limit) {
		task->code = 1;
		snprintf(task->why, sizeof task->why, "%s",
			 task->plan->is_service ? "a service that has ended"
						: "before it was ready");
	} else if (!task->code) {
		task->code = 1;
	}
	return task->plan->on_fail == ON_FAIL_LOG ? OUTCOME_NOTED : OUTCOME_FAILED;
}

void run_task_end(struct run_task *task, enum run_outcome outcome)
{
	struct job *job = task->job;

	task->outcome = outcome;
	task->state = RUN_ENDED;
	task->ended_ns = coop_now();
	task->rank = ++job->ended;
	job->failed += outcome == OUTCOME_FAILED || outcome == OUTCOME_STOP_FAILED;
	job->cancelled += outcome == OUTCOME_CANCELLED;
	job->skipped += outcome == OUTCOME_SKIPPED;
	if (outcome == OUTCOME_FAILED && !job->first_failed)
		job->first_failed = task;
	screen_tell(task, SCREEN_ENDED);
	coop_event_set(&task->started);
	coop_event_set(&task->ready);
	coop_event_set(&task->ended);
}

/* What the end means for the others. */
static void pass_on(struct run_task *task)
{
	char text[SCREEN_TEXT], why[RUN_WHY_SIZE + 64];
	struct job *job = task->job;

	snprintf(why, sizeof why, "%s: %s", task->name, screen_end_text(task, text));
	if (task->outcome == OUTCOME_FAILED)
		run_group_failed(task->group, task->code, task->plan->on_fail == ON_FAIL_CANCEL,
				 why);
	else if (task->outcome == OUTCOME_STOP_FAILED)
		run_group_failed(task->group, task->code, false, why);
	task->failure = job->failures;
	job_task_ended(job, task);
}

/* -------------------------------------------------------------------------- life */

static int attempts(struct run_task *task)
{
	int r;

	do {
		task->attempt++;
		r = run_attempt(task);
		if (r >= 0 && task->is_asked && task->state == RUN_STOPPING) /* not by itself */
			return COOP_ECANCELED;
		if (r >= 0)
			r = judge(task);
	} while (r == 1);
	return r;
}

/* 0 and `outcome`, or COOP_ECANCELED. */
static int live(struct run_task *task, enum run_outcome *outcome)
{
	int r = await_conditions(task);

	*outcome = OUTCOME_SKIPPED;
	if (r)
		return r < 0 ? r : 0;
	task->state = RUN_QUEUED;
	r = run_limit_take(task);
	if (r < 0)
		return r;
	task->job->running++;
	r = attempts(task);
	task->job->running--;
	run_limit_give(task);
	if (r >= 0)
		*outcome = outcome_of_end(task);
	return r;
}

void run_note_why(struct run_task *task)
{
	struct coop_cancel_info info;

	if (task->why[0] || !coop_cancel_reason(&info))
		return;
	snprintf(task->why, sizeof task->why, "%s",
		 info.source == COOP_CANCEL_DEADLINE ? "the time limit was reached" : info.text);
}

static void log_path(const struct run_task *task, char *path)
{
	snprintf(path, PATH_MAX, "%s/%s.log", task->job->plan->log_dir, task->name);
}

void run_log_lost(struct run_task *task, const char *why)
{
	char path[PATH_MAX];

	if (task->job->logs_lost++ >= LOGS_TOLD)
		return;
	log_path(task, path);
	job_say(task->job, SAY_ALERT, "%s: %s: %s: the log of this task is not complete",
		task->name, path, why);
}

void run_log_open(struct run_task *task)
{
	char path[PATH_MAX];

	if (!task->job->plan->log_dir)
		return;
	log_path(task, path);
	task->log_fd = open(path,
			    O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK |
				    (task->is_again ? O_APPEND : O_TRUNC),
			    0600);
	if (task->log_fd < 0)
		run_log_lost(task, strerror(errno));
}

void run_log_close(struct run_task *task)
{
	struct stat st;

	if (task->log_fd < 0)
		return;
	if (fstat(task->log_fd, &st) == 0 && st.st_nlink == 0) /* nobody can read it */
		run_log_lost(task, "it was removed");
	coop_close(task->log_fd);
	task->log_fd = -1;
}

int run_task(void *arg)
{
	struct run_task *task = arg;
	enum run_outcome outcome;
	int r;

	(void)!coop_set_name(task->name);
	run_log_open(task);
	coop_scope_open(&task->scope, NULL);
	r = live(task, &outcome);
	if (r < 0)
		run_note_why(task);
	if (coop_is_cancel(r))
		outcome = run_outcome_of_cancel(task);
	(void)!coop_scope_close(&task->scope, coop_is_cancel(r) ? 0 : r);
	if (r < 0 && !coop_is_cancel(r)) { /* the machinery, not the command */
		task->job->own_error = r;
		outcome = OUTCOME_FAILED;
		task->code = STATUS_OWN;
	}
	run_log_close(task);
	run_task_end(task, outcome);
	pass_on(task);
	return 0;
}
