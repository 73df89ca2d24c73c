/* SPDX-License-Identifier: MIT */
/*
 * A group of the plan as a group of the library: its members are its children, its failure is one
 * of its parent, its time limit is its own, and when all have ended its --finally commands run.
 *
 * Tasks return 0 always: what a failure means is decided here, by run_group_failed, before the task
 * returns. So the reason of every cancel is in words that say which task has failed and how.
 */
#include "run_map.h"
#include "screen.h"

#include <errno.h>
#include <stdio.h>

/* A group has failed when its first member has, though it ends later than others. */
static void note_failure(struct run_group *group, int code, uint32_t order)
{
	if (!group->failed_count++ || order < group->first_order) {
		group->first_code = code;
		group->first_order = order;
	}
}

static void spread(struct run_group *group, int code, bool is_fatal, const char *why)
{
	if (code > group->max_code)
		group->max_code = code;
	if (!group->job->stop_sig)
		group->job->is_failed_first = true;
	if (is_fatal && group->is_open)
		coop_group_cancel(&group->coop, why);
}

void run_group_failed(struct run_group *group, int code, bool is_fatal, const char *why)
{
	note_failure(group, code, ++group->job->failures);
	spread(group, code, is_fatal, why);
}

static void take_failure(struct run_group *group, int code, uint32_t order)
{
	if (order < group->first_order) {
		group->first_code = code;
		group->first_order = order;
	}
	group->max_code = code > group->max_code ? code : group->max_code;
}

/* What is left: failures of its tasks, and of the groups below it. */
void run_group_forgive(struct run_group *group)
{
	const struct job *job = group->job;

	group->failed_count--;
	group->first_code = group->max_code = 0;
	group->first_order = UINT32_MAX;
	for (size_t i = 0; i < job->plan->group_count; i++) {
		const struct run_group *below = &job->groups[i];
		int status = run_group_status(below);

		if (below->parent == group && !below->is_open && status)
			take_failure(group, status, below->first_order);
	}
	for (size_t i = 0; i < job->first_final; i++) {
		const struct run_task *task = &job->tasks[i];

		if (task->group == group && (task->outcome == OUTCOME_FAILED ||
					     task->outcome == OUTCOME_STOP_FAILED))
			take_failure(group, task->code, task->failure);
	}
}

int run_group_status(const struct run_group *group)
{
	if (!group->failed_count)
		return 0;
	switch (group->plan->exit) {
	case EXIT_MAX: return group->max_code;
	case EXIT_COUNT: return group->failed_count > 100 ? 101 : (int)group->failed_count;
	case EXIT_ZERO: return 0;
	default: return group->first_code;
	}
}

static int start_members(struct run_group *group)
{
	struct job *job = group->job;
	int r = 0;

	for (size_t i = 0; i < job->plan->group_count && r >= 0; i++)
		if (job->groups[i].parent == group)
			r = coop_spawn(&group->coop, run_group, &job->groups[i]);
	for (size_t i = 0; i < job->plan->task_count && r >= 0; i++)
		if (job->tasks[i].group == group)
			r = coop_spawn(&group->coop, run_task, &job->tasks[i]);
	return r;
}

/* --------------------------------------------------------------------- its limit */

/* The whole has its own limit beside that of the root group. */
static int64_t limit_of(const struct run_group *group)
{
	int64_t limit = group->plan->timeout_ns;

	if (!group->parent && group->job->plan->deadline_ns < limit)
		limit = group->job->plan->deadline_ns;
	return limit;
}

/* A time of the day comes while we are stopped, too; all else is on the job's clock. */
static int64_t left_of(const struct run_group *group, int64_t end_ns)
{
	const struct job *job = group->job;
	int64_t left = job_left(end_ns), fixed = job->begun_ns - coop_now();

	if (group->parent || !job->plan->is_deadline_fixed)
		return left;
	fixed += job->plan->deadline_ns;
	return fixed < left ? fixed : left;
}

/* A task of the plumbing, so that the job's clock can be asked again before anything is ended. */
static int limiter(void *arg)
{
	struct run_group *group = arg;
	int64_t limit = limit_of(group), end = job_until(limit);
	struct coop_cancel_info info;

	for (int64_t left = limit; left > 0; left = left_of(group, end)) {
		int r = coop_sleep(left);

		if (r < 0)
			return r;
	}
	group->is_timed_out = !coop_scope_reason(coop_group_scope(&group->coop), &info);
	if (!group->is_timed_out)
		return 0;
	job_say(group->job, SAY_ALERT, "%s%sthe time limit was reached: stopping",
		group->plan->path, *group->plan->path ? ": " : "");
	/* Now, not at its end: who fails while he is stopped has not failed first. */
	run_group_failed(group, STATUS_TIMEOUT, true, "the time limit was reached");
	return 0;
}

static int start_limiter(struct run_group *group)
{
	struct coop_spawn_opts opts = { .name = "limit" };

	if (limit_of(group) == COOP_NEVER)
		return 0;
	return coop_spawn_with(&group->job->plumbing, limiter, group, &opts, &group->limiter);
}

static int await_helper(void *arg)
{
	return coop_handle_wait(arg, NULL);
}

void job_end_helper(struct coop_handle **helper, const char *why)
{
	if (!*helper)
		return;
	coop_handle_cancel(*helper, why);
	(void)!coop_shield(await_helper, *helper);
	coop_error_clear();
	*helper = coop_handle_release(*helper);
}

/* ------------------------------------------------------------------- its members */

static int members(struct run_group *group)
{
	struct coop_group_opts opts = { .name = group->plan->name, .policy = COOP_COLLECT };
	int r;

	coop_group_open(&group->coop, &opts);
	group->is_open = true;
	r = start_limiter(group);
	if (r >= 0 && group->job->map)
		r = map_run(group->job->map);
	else if (r >= 0)
		r = start_members(group);
	r = coop_group_join(&group->coop, r);
	group->is_open = false;
	job_end_helper(&group->limiter, "the group has ended");
	return r;
}

/* ----------------------------------------------------------------------- finally */

/* Who stops one by its name does not say that it has failed. */
static enum run_outcome outcome_of_final(struct run_task *task)
{
	if (!task->is_asked || task->state != RUN_STOPPING)
		return task->code ? OUTCOME_FAILED : OUTCOME_OK;
	snprintf(task->why, sizeof task->why, "coop stop");
	return run_outcome_of_cancel(task);
}

static int run_final(void *arg)
{
	struct run_task *task = arg;
	char text[SCREEN_TEXT], why[RUN_WHY_SIZE + 64];
	int r;

	task->attempt = 1;
	run_log_open(task);
	r = run_attempt(task);
	run_log_close(task);
	if (r < 0)
		return r;
	run_task_end(task, outcome_of_final(task));
	snprintf(why, sizeof why, "%s: %s", task->name, screen_end_text(task, text));
	if (task->outcome == OUTCOME_FAILED || task->outcome == OUTCOME_STOP_FAILED)
		run_group_failed(task->group, task->code, false, why);
	return 0;
}

/* One after the other, whatever the one before did; a third Ctrl-C leaves them out. */
static void run_finals(struct run_group *group)
{
	struct job *job = group->job;

	for (size_t i = job->first_final; i < job->task_count; i++) {
		struct run_task *task = &job->tasks[i];

		if (task->group != group)
			continue;
		if (job->level == LEVEL_KILL_SHIELDS) {
			snprintf(task->why, sizeof task->why, "killed before it began");
			run_task_end(task, OUTCOME_SKIPPED);
			continue;
		}
		task->is_in_shield = true;
		if (coop_shield(run_final, task) < 0)
			job->own_error = -ECANCELED;
	}
}

/* ------------------------------------------------------------------------- a group */

int run_group(void *arg)
{
	struct run_group *group = arg;
	int r = members(group), status;
	char why[128];

	if (!group->is_timed_out && r < 0 && !coop_is_cancel(r))
		group->job->own_error = r;
	coop_error_clear();
	run_finals(group);
	status = run_group_status(group);
	if (status && group->parent) {
		snprintf(why, sizeof why, "group %s has failed", group->plan->path);
		note_failure(group->parent, status, group->first_order);
		spread(group->parent, status, !group->parent->plan->is_keep_going, why);
	}
	return 0;
}
