/* SPDX-License-Identifier: MIT */
/*
 * Another life for a task that has ended, because somebody asked for it.
 *
 * Its group must still be open and not be cancelled: then it is a member as it was before, and
 * nobody sees a difference, but that what it did in its last life does not count any more. Who has
 * waited for it, and did not start because of its end, has to be started again as well.
 */
#include "run.h"
#include "screen.h"

#include <stdio.h>

bool run_may_again(const struct run_task *task, char *why, size_t size)
{
	struct coop_cancel_info info;
	char text[SCREEN_TEXT];
	int used;

	screen_end_text(task, text);
	used = snprintf(why, size, "%s has ended (%s), and ", task->name, text);
	if (used < 0 || (size_t)used >= size)
		return false;
	why += used;
	size -= (size_t)used;
	if (!task->group->is_open)
		snprintf(why, size, "so has its group");
	else if (coop_scope_reason(coop_group_scope(&task->group->coop), &info))
		snprintf(why, size, "its group is being stopped: %s", info.text);
	else if (task->job->has_others && !task->job->others_left)
		snprintf(why, size, "the job is ending: all but services are done");
	else
		return true;
	return false;
}

static void renew(struct coop_event *event)
{
	coop_event_deinit(event);
	*event = (struct coop_event)COOP_EVENT_INIT;
}

static bool has_failed(const struct run_task *task)
{
	return task->outcome == OUTCOME_FAILED || task->outcome == OUTCOME_STOP_FAILED;
}

/* What the failure of the last life was counted in; `task` itself has no outcome any more. */
static void forgive(struct run_task *task)
{
	struct job *job = task->job;

	job->failed--;
	run_group_forgive(task->group);
	if (job->first_failed == task) {
		job->first_failed = NULL;
		for (size_t i = 0; i < job->first_final; i++) {
			const struct run_task *other = &job->tasks[i];

			if (other->outcome == OUTCOME_FAILED &&
			    (!job->first_failed || other->rank < job->first_failed->rank))
				job->first_failed = other;
		}
	}
	job->is_failed_first = false; /* there may be others, and groups that were too late */
	for (size_t i = 0; i < job->plan->group_count; i++)
		job->is_failed_first |= job->groups[i].failed_count > 0;
}

static void forget_life(struct run_task *task)
{
	struct job *job = task->job;
	bool was_failure = has_failed(task);

	job->cancelled -= task->outcome == OUTCOME_CANCELLED;
	job->skipped -= task->outcome == OUTCOME_SKIPPED;
	job->others_left += !task->plan->is_service;
	task->outcome = OUTCOME_NONE;
	task->state = RUN_WAITING;
	if (was_failure)
		forgive(task);
	task->code = task->spawn_error = 0;
	task->why[0] = '\0';
	task->attempt = task->restarts = task->window_count = 0;
	task->is_over_limit = task->is_ready = task->is_started = task->is_asked = false;
	task->is_again = true;
	task->rank = 0;
	task->first_ns = task->started_ns = task->ready_ns = task->ended_ns = COOP_NEVER;
	task->scope = (struct coop_scope)COOP_SCOPE_INIT;
	renew(&task->started);
	renew(&task->ready);
	renew(&task->ended);
}

int run_again(struct run_task *task)
{
	int r = coop_spawn_unless_cancelled(&task->group->coop, run_task, task);

	if (r >= 0)
		forget_life(task);
	return r;
}
