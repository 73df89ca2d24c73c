/* SPDX-License-Identifier: MIT */
#pragma once

/* What the targets of the command share: bytes as a text, and what holds of a plan. */

#include "front.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond) ((cond) ? (void)0 : abort())

/* A copy with a 0 behind it, "^" for a newline, so that a seed may have several lines. */
static inline char *text_of(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	MUST(text);
	for (size_t i = 0; i < size; i++)
		text[i] = data[i] == '^' ? '\n' : (char)data[i];
	text[size] = '\0';
	return text;
}

/* A mistake is one line of printable text. */
static inline void check_error(const struct plan *plan)
{
	MUST(plan->error[0]);
	for (const char *p = plan->error; *p; p++)
		MUST((unsigned char)*p >= ' ' && *p != 0x7f);
}

static inline void check_task(const struct plan *plan, const struct plan_task *task)
{
	MUST(plan_name_wrong(task->name) == NULL);
	MUST(task->command.text && task->command.argv && task->command.argv[0]);
	MUST(task->group && plan->groups[task->group->index] == task->group);
	MUST(task->stop_count > 0 && task->stop[task->stop_count - 1].sig == SIGKILL);
	MUST(task->attempts_max > 0 && task->timeout_ns > 0);
	MUST(task->backoff_min_ns <= task->backoff_max_ns);
	MUST(plan_stop_first(task, false) < task->stop_count);
	for (size_t i = 0; i < task->after_count; i++)
		MUST(task->after[i].task && task->after[i].task != task &&
		     task->after[i].state <= STATE_OK);
}

/* Finishes a plan that was read, reading no env file, and checks what then holds. */
static inline void check_plan(struct plan *plan)
{
	for (size_t i = 0; i < plan->task_count; i++)
		plan->tasks[i]->env_files.count = 0;
	if (plan_finish(plan) < 0) {
		check_error(plan);
		return;
	}
	for (size_t i = 0; i < plan->task_count; i++) {
		MUST(plan->tasks[i]->index == i);
		check_task(plan, plan->tasks[i]);
	}
	for (size_t i = 1; i < plan->group_count; i++)
		MUST(plan->groups[i]->parent->index < i);
}
