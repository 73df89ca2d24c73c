/* SPDX-License-Identifier: MIT */
/*
 * Lists and trees of tasks.
 *
 * All of it is put into memory at once: whoever sends it suspends, and tasks come and go meanwhile.
 */
#include "table.h"
#include "nested.h"
#include "screen.h"
#include "text.h"
#include "utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_WIDTH = 20, INPUT_SHOWN = 200 };

static const char *took(const struct run_task *task, char *buf)
{
	int64_t to = task->ended_ns == COOP_NEVER ? coop_now() : task->ended_ns;

	return text_of_span(task->first_ns == COOP_NEVER ? 0 : to - task->first_ns, buf);
}

static void put_line(struct pen *pen, const char *indent, const char *name, const char *state,
		     int pid, const char *span, const char *end)
{
	size_t width = strlen(indent) + pen_width(name);
	char number[16] = "-";

	if (pid)
		snprintf(number, sizeof number, "%d", pid);
	pen_printf(pen, "%s%s", indent, name);
	if (width < NAME_WIDTH)
		pen_repeat(pen, " ", NAME_WIDTH - width);
	pen_printf(pen, " %-8s %7s %8s%s%s\n", state, number, span, *end ? "  " : "", end);
}

/* One of a coop that runs in the task: below it in a tree, by its whole name in a list. */
static void put_row(struct pen *pen, const struct nested_row *row, const char *task,
		    const char *indent)
{
	char name[2 * NESTED_PATH_MAX], deeper[160], span[TEXT_DURATION_SIZE];
	unsigned depth = row->depth < 30 ? row->depth + 1 : 31;
	bool is_tree = *indent;

	snprintf(deeper, sizeof deeper, "%s%*s", indent, is_tree ? 2 * (int)depth : 0, "");
	snprintf(name, sizeof name, "%s%s%s", is_tree ? "" : task, is_tree ? "" : "/",
		 is_tree ? row->label : row->path);
	put_line(pen, deeper, name, row->state, row->pid, text_of_span(row->span_ns, span),
		 row->end);
}

/* Between two lives there is no attempt. */
static void describe_lives(const struct run_task *task, char *buf)
{
	int used = 0;

	if (task->attempt > 1)
		used = snprintf(buf, SCREEN_TEXT, "attempt %u", task->attempt);
	if (task->restarts)
		snprintf(buf + used, SCREEN_TEXT - (size_t)used, "%s%u restart%s",
			 used ? ", " : "", task->restarts, task->restarts > 1 ? "s" : "");
}

/* As far as it is one line. */
static void describe_input(const char *text, char *buf)
{
	size_t line = strcspn(text, "\n");
	size_t len = line < INPUT_SHOWN ? line : utf8_whole(text, INPUT_SHOWN);

	snprintf(buf, SCREEN_TEXT, "%.*s%s", (int)len, text, text[len] ? "..." : "");
}

static void describe(const struct run_task *task, char *buf)
{
	buf[0] = '\0';
	if (task->state == RUN_ENDED)
		screen_end_text(task, buf);
	else if (task->number)
		describe_input(task->text, buf);
	else
		describe_lives(task, buf);
}

static void put_task(struct pen *pen, const struct run_task *task, const char *indent)
{
	char end[SCREEN_TEXT], span[TEXT_DURATION_SIZE];
	size_t count, more = nested_more(task);
	struct nested_row *rows = nested_rows(task, &count);

	describe(task, end);
	put_line(pen, indent, task->name, run_task_word(task), task->pid, took(task, span),
		 end);
	for (size_t i = 0; i < count; i++)
		put_row(pen, &rows[i], task->name, indent);
	free(rows);
	if (more)
		pen_printf(pen, "%s  (%zu more)\n", indent, more);
}

/* Inputs of map, those that run. */
static void put_map(const struct job *job, struct pen *pen, const char *indent)
{
	for (const struct run_task *task = job->live; task; task = task->live_next)
		if (task->number)
			put_task(pen, task, indent);
}

void table_list(const struct job *job, struct pen *pen)
{
	pen_printf(pen, "%-*s %-8s %7s %8s\n", NAME_WIDTH, "TASK", "STATE", "PID", "TIME");
	for (size_t i = 0; i < job->task_count; i++)
		put_task(pen, &job->tasks[i], "");
	put_map(job, pen, "");
}

/* A group with its tasks, then the groups below it; depth is bounded by the plan. */
static void put_group(const struct run_group *group, struct pen *pen, int depth)
{
	const struct job *job = group->job;
	char indent[2 * 40 + 1];

	pen_printf(pen, "%*s%s\n", 2 * depth, "", group->plan->name);
	snprintf(indent, sizeof indent, "%*s", 2 * (depth + 1), "");
	for (size_t i = 0; i < job->task_count; i++)
		if (job->tasks[i].group == group)
			put_task(pen, &job->tasks[i], indent);
	if (!group->parent)
		put_map(job, pen, indent);
	for (size_t i = 0; i < job->plan->group_count; i++)
		if (job->groups[i].parent == group)
			put_group(&job->groups[i], pen, depth + 1);
}

void table_tree(const struct job *job, struct pen *pen)
{
	put_group(&job->groups[0], pen, 0);
}
