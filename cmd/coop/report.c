/* SPDX-License-Identifier: MIT */
/*
 * The report: the tree of groups and tasks, without what went well.
 *
 * Of `map` no task is kept but the first of those that failed, so its tree is a list of these.
 *
 * What has failed is shown all; of those that were cancelled because of it, or never began, a few
 * of each group, so that the first failure of a large job is not far above the end.
 *
 * On a narrow terminal the last lines of a task are cut; what coop itself says is not, though it
 * may take two lines then: it is what somebody looks for.
 */
#include "report.h"
#include "front.h"
#include "line.h"
#include "nested.h"
#include "run_map.h"
#include "text.h"
#include "utf8.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAST_LINES = 3, LAST_BYTES = 2048, ROW_DEPTH = 8, OTHERS_MAX = 10 };

struct report {
	const struct job *job;
	struct pen *pen;
	bool has_colours;
	size_t columns;
	size_t name_width;
};

static const char *const outcome_words[] = {
	"none", "ok", "failed", "failed, noted", "cancelled", "failed while stopping", "skipped",
	"lost",
};

const char *report_outcome_word(enum run_outcome outcome)
{
	return outcome_words[outcome];
}

static bool is_worth_it(const struct report *r, const struct run_task *task)
{
	if (r->job->plan->verbosity)
		return true;
	return task->outcome != OUTCOME_OK && task->outcome != OUTCOME_NONE;
}

static bool is_failure(const struct run_task *task)
{
	return task->outcome == OUTCOME_FAILED || task->outcome == OUTCOME_STOP_FAILED ||
	       task->outcome == OUTCOME_NOTED;
}

/* ----------------------------------------------------------------------- the tree */

/* The last bytes of what it wrote, from a whole character on. */
static size_t read_last(const struct run_task *task, char *buf)
{
	uint64_t from = task->tail.total > LAST_BYTES ? task->tail.total - LAST_BYTES : 0;
	size_t size = tail_read(&task->tail, from, buf, LAST_BYTES);
	size_t rest = from ? utf8_rest(buf, size) : 0;

	memmove(buf, buf + rest, size - rest);
	return size - rest;
}

/* The last lines of what it wrote, each in a line of its own. */
static void put_last(struct report *r, const struct run_task *task, const char *indent)
{
	char text[LAST_BYTES + 1];
	size_t size = read_last(task, text), lines = 0;
	const char *at;

	while (size && (text[size - 1] == '\n' || text[size - 1] == '\r'))
		size--;
	if (!size)
		return;
	for (at = text + size; at > text; at--)
		if (at[-1] == '\n' && ++lines == LAST_LINES)
			break;
	while (at < text + size) {
		const char *end = memchr(at, '\n', (size_t)(text + size - at));
		size_t len = end ? (size_t)(end - at) : (size_t)(text + size - at), mark;

		mark = r->pen->used;
		pen_printf(r->pen, "%s   \u2502 ", indent);
		pen_safe_output(r->pen, at, len);
		if (r->columns)
			pen_clip(r->pen, mark, r->columns);
		pen_text(r->pen, "\n");
		at += len + 1;
	}
}

static bool is_row_worth_it(const struct report *r, const struct nested_row *row)
{
	return r->job->plan->verbosity ||
	       (row->outcome != OUTCOME_OK && row->outcome != OUTCOME_NONE);
}

/* Rows that are worth it, and those above them; how many are left. */
static size_t choose_rows(const struct report *r, struct nested_row *rows, size_t count)
{
	size_t left = 0;

	for (size_t i = 0; i < count; i++) {
		bool is_wanted = is_row_worth_it(r, &rows[i]);

		for (size_t k = i + 1; k < count && rows[k].depth > rows[i].depth; k++)
			is_wanted |= is_row_worth_it(r, &rows[k]);
		rows[i].is_wanted = is_wanted;
		left += is_wanted;
	}
	return left;
}

/* Whether nothing comes behind it at its depth, under the same row. */
static bool is_last_row(const struct nested_row *rows, size_t count, size_t at)
{
	for (size_t i = at + 1; i < count && rows[i].depth >= rows[at].depth; i++)
		if (rows[i].depth == rows[at].depth && rows[i].is_wanted)
			return false;
	return true;
}

static void put_row(struct report *r, const struct nested_row *row, const char *indent,
		    bool is_last)
{
	bool has_why = row->outcome == OUTCOME_CANCELLED || row->outcome == OUTCOME_LOST;
	size_t what = has_why ? strcspn(row->end, ":") : strlen(row->end);
	char span[TEXT_DURATION_SIZE];

	pen_printf(r->pen, "%s%s ", indent, is_last ? "\u2514\u2500" : "\u251c\u2500");
	line_mark(r->pen, r->has_colours, row->outcome);
	text_of_span(row->span_ns, span);
	if (row->outcome == OUTCOME_OK)
		pen_printf(r->pen, " %s  %s", row->label, span);
	else
		pen_printf(r->pen, " %s  %.*s after %s%s", row->label, (int)what, row->end, span,
			   row->end + what);
	pen_text(r->pen, "\n");
}

/* Tasks of a coop that ran in this one. Deeper than ROW_DEPTH all stand at the same place. */
static bool put_nested(struct report *r, const struct run_task *task, const char *indent)
{
	char below[3 * PLAN_DEPTH_MAX * 4 + 16 + ROW_DEPTH * 8];
	size_t lengths[ROW_DEPTH + 1] = { strlen(indent) + 2 }, count, left;
	struct nested_row *rows = nested_rows(task, &count);

	left = choose_rows(r, rows, count);
	snprintf(below, sizeof below, "%s  ", indent);
	for (size_t i = 0; i < count; i++) {
		unsigned depth = rows[i].depth < ROW_DEPTH ? rows[i].depth : ROW_DEPTH - 1;
		bool is_last = is_last_row(rows, count, i);

		if (!rows[i].is_wanted)
			continue;
		below[lengths[depth]] = '\0';
		put_row(r, &rows[i], below, is_last);
		snprintf(below + lengths[depth], sizeof below - lengths[depth], "%s",
			 is_last ? "   " : "\u2502  ");
		lengths[depth + 1] = strlen(below);
	}
	free(rows);
	return left > 0;
}

static void put_task(struct report *r, const struct run_task *task, const char *indent,
		     bool is_last)
{
	char text[SCREEN_TEXT];
	size_t width = pen_width(task->name);
	char below[3 * PLAN_DEPTH_MAX * 4 + 16];

	pen_printf(r->pen, "%s%s ", indent, is_last ? "\u2514\u2500" : "\u251c\u2500");
	line_mark(r->pen, r->has_colours, task->outcome);
	pen_printf(r->pen, " %s", task->name);
	if (width < r->name_width)
		pen_repeat(r->pen, " ", r->name_width - width);
	pen_printf(r->pen, "  %s", line_end(task, text));
	line_input(r->pen, task);
	if (task->attempt > 1)
		pen_printf(r->pen, ", %u attempts", task->attempt);
	if (task == r->job->first_failed) {
		bool goes_on = task->group->plan->is_keep_going || task->is_final;

		pen_text(r->pen, "   ");
		line_coloured(r->pen, r->has_colours, "1",
			     goes_on ? "\u2190 first failure"
				     : "\u2190 first failure, cancelled the group");
	} else if (task->outcome == OUTCOME_FAILED) {
		pen_text(r->pen, " (also failed)");
	}
	pen_text(r->pen, "\n");
	snprintf(below, sizeof below, "%s%s", indent, is_last ? "  " : "\u2502 ");
	if (!put_nested(r, task, below) && is_failure(task))
		put_last(r, task, below);
}

/* The first failure comes first, then the others in the order of their ends. */
static int by_rank(const void *a, const void *b)
{
	const struct run_task *x = *(const struct run_task *const *)a;
	const struct run_task *y = *(const struct run_task *const *)b;
	const struct run_task *first = x->job->first_failed;

	if (x == first || y == first)
		return y == first ? 1 : -1;
	if (is_failure(x) != is_failure(y))
		return is_failure(y) ? 1 : -1;
	return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static bool has_anything(const struct report *r, const struct run_group *group)
{
	const struct job *job = r->job;

	for (size_t i = 0; i < job->task_count; i++) {
		const struct run_group *g = job->tasks[i].group;

		while (g && g != group)
			g = g->parent;
		if (g && is_worth_it(r, &job->tasks[i]))
			return true;
	}
	return false;
}

static size_t tasks_of(const struct report *r, const struct run_group *group,
		       const struct run_task **ret)
{
	const struct job *job = r->job;
	size_t count = 0;

	for (size_t i = 0; i < job->task_count; i++)
		if (job->tasks[i].group == group && is_worth_it(r, &job->tasks[i]))
			ret[count++] = &job->tasks[i];
	qsort(ret, count, sizeof(const struct run_task *), by_rank);
	return count;
}

static void put_more(struct report *r, const char *indent, bool is_last, uint64_t count,
		     const char *what)
{
	pen_printf(r->pen, "%s%s %llu more%s\n", indent,
		   is_last ? "\u2514\u2500" : "\u251c\u2500", (unsigned long long)count, what);
}

/* How many of them are shown: all that have failed, which stand first, and a few others. */
static size_t count_shown(const struct report *r, const struct run_task **tasks, size_t count)
{
	size_t failed = 0;

	while (failed < count && is_failure(tasks[failed]))
		failed++;
	return r->job->plan->verbosity || count - failed <= OTHERS_MAX + 1 ? count
									   : failed + OTHERS_MAX;
}

/* Depth is bounded by the plan. */
static void put_group(struct report *r, const struct run_group *group, const char *indent,
		      bool is_last, unsigned depth)
{
	const struct job *job = r->job;
	const struct run_task **tasks = calloc(job->task_count + 1, sizeof *tasks);
	char below[3 * PLAN_DEPTH_MAX * 4];
	size_t count, shown, groups = 0;

	pen_printf(r->pen, "%s%s %s%s\n", indent, is_last ? "\u2514\u2500" : "\u251c\u2500",
		   group->plan->name, group->is_timed_out ? " (timed out)" : "");
	if (!tasks)
		return;
	snprintf(below, sizeof below, "%s%s", indent, is_last ? "   " : "\u2502  ");
	for (size_t i = 0; i < job->plan->group_count; i++)
		groups += job->groups[i].parent == group && has_anything(r, &job->groups[i]);
	count = tasks_of(r, group, tasks);
	shown = count_shown(r, tasks, count);
	for (size_t i = 0; i < shown; i++)
		put_task(r, tasks[i], below, i + 1 == count && !groups);
	if (shown < count)
		put_more(r, below, !groups, count - shown, ", cancelled or skipped");
	free(tasks);
	for (size_t i = 0; i < job->plan->group_count && depth < PLAN_DEPTH_MAX; i++)
		if (job->groups[i].parent == group && has_anything(r, &job->groups[i]))
			put_group(r, &job->groups[i], below, --groups == 0, depth + 1);
}

static void put_map(struct report *r)
{
	const struct run_map *map = r->job->map;
	const struct run_task *task, *next;
	uint64_t kept = 0;

	pen_printf(r->pen, "\u2514\u2500 map%s\n",
		   r->job->groups[0].is_timed_out ? " (timed out)" : "");
	for (task = map_failed(map, NULL); task; task = next) {
		next = map_failed(map, task);
		kept++;
		put_task(r, task, "   ", !next && kept == map->failed_count);
	}
	if (kept < map->failed_count)
		put_more(r, "   ", true, map->failed_count - kept, "");
}

/* Of inputs that are read as there is room nobody knows how many there are. */
static void map_head(const struct job *job, const char *span, char *text, size_t size)
{
	const struct run_map *map = job->map;
	uint64_t count = map->total ? map->total : map->started;
	char rest[48] = "";

	if (count > map->started)
		snprintf(rest, sizeof rest, ", %llu not started",
			 (unsigned long long)(count - map->started));
	if (map->failed_count)
		snprintf(text, size, "failed: %llu of %llu in %s%s",
			 (unsigned long long)map->failed_count, (unsigned long long)count, span,
			 rest);
	else
		snprintf(text, size, "stopped: %u of %llu cancelled in %s%s", job->cancelled,
			 (unsigned long long)count, span, rest);
}

static void put_head(struct report *r, int status)
{
	const struct job *job = r->job;
	char span[TEXT_DURATION_SIZE], text[160], end[64];
	size_t used;

	text_of_span(coop_now() - job->begun_ns, span);
	if (job->map)
		map_head(job, span, text, sizeof text);
	else if (job->failed)
		snprintf(text, sizeof text, "failed: %u of %zu tasks in %s", job->failed,
			 job->task_count, span);
	else
		snprintf(text, sizeof text, "stopped: %u of %zu tasks cancelled in %s",
			 job->cancelled, job->task_count, span);
	if (job->stop_sig && !job->is_failed_first)
		snprintf(end, sizeof end, "ended by %s", coop_signal_name(job->stop_sig));
	else
		snprintf(end, sizeof end, "exit status %d", status);
	used = strlen(text) + strlen(end);
	line_coloured(r->pen, r->has_colours, "1", text);
	pen_repeat(r->pen, " ", r->columns > used + 2 ? r->columns - used - 1 : 3);
	pen_printf(r->pen, "%s\n", end);
}

static void put_tree(struct report *r, int status)
{
	const struct job *job = r->job;

	for (size_t i = 0; i < job->task_count; i++) {
		size_t width = pen_width(job->tasks[i].name);

		if (is_worth_it(r, &job->tasks[i]) && width > r->name_width)
			r->name_width = width;
	}
	pen_text(r->pen, "\n");
	put_head(r, status);
	if (job->map)
		put_map(r);
	else
		put_group(r, &job->groups[0], "", true, 0);
	if (!job->left)
		pen_text(r->pen, "no process left behind\n");
}

/* ----------------------------------------------------------------------------- JSON */

static void put_member(struct pen *pen, const char *name, const char *text)
{
	pen_printf(pen, "\"%s\":\"", name);
	pen_json(pen, text, strlen(text));
	pen_text(pen, "\"");
}

static void put_ms(struct pen *pen, const char *name, int64_t ns, int64_t begun_ns)
{
	if (ns == COOP_NEVER)
		pen_printf(pen, ",\"%s\":null", name);
	else
		pen_printf(pen, ",\"%s\":%.3f", name, (double)(ns - begun_ns) / 1e9);
}

/* Of coops that ran in it. */
static void json_nested(struct report *r, const struct run_task *task)
{
	size_t count;
	struct nested_row *rows = nested_rows(task, &count);

	for (size_t i = 0; i < count; i++) {
		pen_text(r->pen, i ? ",{" : ",\"nested\":[{");
		put_member(r->pen, "task", rows[i].path);
		pen_text(r->pen, ",");
		put_member(r->pen, "outcome", outcome_words[rows[i].outcome]);
		pen_text(r->pen, ",");
		put_member(r->pen, "text", rows[i].end);
		pen_printf(r->pen, ",\"seconds\":%.3f}", (double)rows[i].span_ns / 1e9);
	}
	pen_text(r->pen, count ? "]" : "");
	free(rows);
}

static void json_task(struct report *r, const struct run_task *task)
{
	char text[LAST_BYTES]; /* more than SCREEN_TEXT */
	size_t size;

	_Static_assert((int)LAST_BYTES >= (int)SCREEN_TEXT, "");
	pen_text(r->pen, "{");
	put_member(r->pen, "task", task->name);
	pen_text(r->pen, ",");
	put_member(r->pen, "group", task->plan->group->path);
	pen_text(r->pen, ",");
	put_member(r->pen, "outcome", outcome_words[task->outcome]);
	pen_text(r->pen, ",");
	put_member(r->pen, "text", screen_end_text(task, text));
	pen_text(r->pen, ",");
	put_member(r->pen, "why", task->why);
	if (task->number) {
		pen_text(r->pen, ",");
		put_member(r->pen, "input", task->text);
	}
	pen_printf(r->pen, ",\"code\":%d,\"attempts\":%u,\"first_failure\":%s", task->code,
		   task->attempt, task == r->job->first_failed ? "true" : "false");
	put_ms(r->pen, "started_s", task->first_ns, r->job->begun_ns);
	put_ms(r->pen, "ready_s", task->ready_ns, r->job->begun_ns);
	put_ms(r->pen, "ended_s", task->ended_ns, r->job->begun_ns);
	size = read_last(task, text);
	pen_text(r->pen, ",\"last_output\":\"");
	pen_json(r->pen, text, size);
	pen_text(r->pen, "\"");
	json_nested(r, task);
	pen_text(r->pen, "}");
}

static void put_json(struct report *r, int status)
{
	const struct job *job = r->job;
	const struct run_task *task = NULL;
	const char *comma = "";

	pen_printf(r->pen, "{\"status\":%d,\"signal\":%d,\"elapsed_s\":%.3f", status, job->stop_sig,
		   (double)(coop_now() - job->begun_ns) / 1e9);
	if (job->map)
		pen_printf(r->pen, ",\"done\":%llu,\"failed\":%llu",
			   (unsigned long long)job->map->done,
			   (unsigned long long)job->map->failed_count);
	pen_text(r->pen, ",\"tasks\":[");
	for (size_t i = 0; i < job->task_count; i++, comma = ",") {
		pen_text(r->pen, comma);
		json_task(r, &job->tasks[i]);
	}
	while (job->map && (task = map_failed(job->map, task))) {
		pen_text(r->pen, comma);
		json_task(r, task);
		comma = ",";
	}
	pen_printf(r->pen, "],\"left_behind\":%zu}\n", job->left);
}

static bool has_failures(const struct job *job)
{
	return job->failed || (job->map && job->map->failed_count);
}

void report_write(const struct job *job, int status, bool has_colours, size_t columns,
		  struct pen *pen)
{
	struct report r = {
		.job = job, .pen = pen, .has_colours = has_colours, .columns = columns
	};
	bool is_one = !job->map && job->task_count == 1;

	if (job->plan->report == REPORT_JSON)
		put_json(&r, status);
	else if (job->plan->report == REPORT_TREE && status && !is_one && !job->own_error &&
		 (has_failures(job) || (job->cancelled && !run_is_quiet_end(job))))
		put_tree(&r, status);
}
