/* SPDX-License-Identifier: MIT */
/*
 * The lines, and the words in them.
 */
#include "line.h"
#include "text.h"
#include "utf8.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { NAME_WIDTH_MAX = 20, CANCELLED_NAMED = 5, INPUT_SHOWN = 200 };

static const char *const colours[] = { "36", "33", "32", "35", "34", "96", "93", "95" };
enum { COLOURS = sizeof colours / sizeof colours[0] };

/* ------------------------------------------------------------------------ the end */

/* What could not be had or done; of the program itself its name. */
static void start_place(const struct run_task *task, char *buf, size_t size)
{
	static const char *const places[] = {
		[COOP_PROCESS_AT_STREAMS] = ": its pipes or terminal",
		[COOP_PROCESS_AT_CLONE] = ": one more process",
		[COOP_PROCESS_AT_GROUP] = ": its process group",
		[COOP_PROCESS_AT_CGROUP] = ": its cgroup",
		[COOP_PROCESS_AT_DEATH] = ": its death signal",
		[COOP_PROCESS_AT_FDS] = ": its descriptors",
		[COOP_PROCESS_AT_TERMINAL] = " with --tty",
		[COOP_PROCESS_AT_LIMITS] = ": its limits, or --nice",
	};
	enum coop_process_step step = task->spawn_step;
	const char *place = step < sizeof places / sizeof places[0] ? places[step] : NULL;

	if (step == COOP_PROCESS_AT_NOTHING && task->plan->ready.kind != PROBE_NONE)
		snprintf(buf, size, " with --ready %s", task->plan->ready.text);
	else if (step == COOP_PROCESS_AT_CWD)
		snprintf(buf, size, " in %s", task->plan->cwd);
	else if (step == COOP_PROCESS_AT_EXEC)
		snprintf(buf, size, ": %s", task->argv[0]);
	else if (step == COOP_PROCESS_AT_STREAMS && access("/dev/null", R_OK | W_OK) < 0)
		snprintf(buf, size, ": /dev/null");
	else
		snprintf(buf, size, "%s", place ? place : "");
}

static void start_text(const struct run_task *task, char *buf, size_t size)
{
	int error = -task->spawn_error;
	bool is_clone = task->spawn_step == COOP_PROCESS_AT_CLONE;
	char place[RUN_WHY_SIZE / 2]; /* the error has its room */

	start_place(task, place, sizeof place);
	utf8_make_visible(place);
	snprintf(buf, size, "cannot be started%s: %s%s", place, strerror(error),
		 error == EMFILE               ? " (see ulimit -n)"
		 : error == ENOTTY             ? " (standard input is no terminal)"
		 : error == EAGAIN && is_clone ? " (see ulimit -u)"
					       : "");
}

static void exit_text(const struct run_task *task, char *buf, size_t size)
{
	char text[TEXT_DURATION_SIZE];

	if (task->spawn_error)
		start_text(task, buf, size);
	else if (task->is_timed_out)
		snprintf(buf, size, "timeout after %s",
			 text_of_duration(task->plan->timeout_ns, text));
	else if (task->is_late || (task->why[0] && task->outcome == OUTCOME_SKIPPED))
		snprintf(buf, size, "%s", task->why);
	else
		coop_process_text(&task->status, buf, size);
}

/* `after` is a text for behind what has happened; the reason follows it. */
static const char *end_text(const struct run_task *task, const char *after, char *buf)
{
	char what[RUN_WHY_SIZE] = "cancelled";
	const char *before_why = task->why[0] ? " (" : "", *behind_why = task->why[0] ? ")" : "";
	bool is_why_told = task->outcome == OUTCOME_SKIPPED || task->is_late;

	if (task->outcome != OUTCOME_CANCELLED)
		exit_text(task, what, sizeof what);
	else if (task->why[0])
		before_why = ": ", behind_why = "";
	snprintf(buf, SCREEN_TEXT, "%s%s%s%s%s%s", what,
		 task->outcome == OUTCOME_STOP_FAILED ? " while stopping" : "", after,
		 is_why_told ? "" : before_why, is_why_told ? "" : task->why,
		 is_why_told ? "" : behind_why);
	return buf;
}

const char *screen_end_text(const struct run_task *task, char *buf)
{
	return end_text(task, "", buf);
}

/* The same, of a span that began at `from`. */
static const char *end_since(const struct run_task *task, int64_t from, char *buf)
{
	int64_t to = task->ended_ns == COOP_NEVER ? coop_now() : task->ended_ns;
	char span[TEXT_DURATION_SIZE] = "", after[TEXT_DURATION_SIZE + 8] = "";

	if (task->attempt && from != COOP_NEVER)
		text_of_span(to - from, span);
	if (*span && !task->is_timed_out && !task->is_late && !task->spawn_error)
		snprintf(after, sizeof after, " after %s", span);
	if (task->outcome == OUTCOME_OK && !task->code)
		snprintf(buf, SCREEN_TEXT, "%s", span);
	else
		end_text(task, after, buf);
	return buf;
}

const char *line_end(const struct run_task *task, char *buf)
{
	return end_since(task, task->first_ns, buf);
}

/* ---------------------------------------------------------------------- beginnings */

struct line_style line_style_for(const struct job *job)
{
	struct line_style style = { .plan = job->plan, .has_names = true };

	for (size_t i = 0; i < job->task_count; i++) {
		size_t width = pen_width(job->tasks[i].name);

		if (width > style.name_width)
			style.name_width = width > NAME_WIDTH_MAX ? NAME_WIDTH_MAX : width;
	}
	return style;
}

void line_coloured(struct pen *pen, bool has_colours, const char *colour, const char *text)
{
	if (has_colours)
		pen_printf(pen, "\033[%sm%s\033[0m", colour, text);
	else
		pen_text(pen, text);
}

static const char *colour_of(struct line_style *style, struct run_task *task)
{
	if (!style->has_colours)
		return "";
	if (!task->screen_own)
		task->screen_own = (void *)(uintptr_t)colours[style->next_colour++ % COLOURS];
	return task->screen_own;
}

static void put_time(struct pen *pen, const struct line_style *style)
{
	struct timespec now;
	struct tm tm;
	char text[32];

	if (!style->plan->has_timestamps)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(text, sizeof text, "%H:%M:%S", &tm);
	pen_printf(pen, "%s.%03ld ", text, now.tv_nsec / 1000000);
}

static void put_name(struct pen *pen, struct line_style *style, struct run_task *task)
{
	size_t width = pen_width(task->name);

	put_time(pen, style);
	line_coloured(pen, style->has_colours, colour_of(style, task), task->name);
	if (width < style->name_width)
		pen_repeat(pen, " ", style->name_width - width);
	pen_text(pen, " ");
}

static void begin(struct pen *pen, struct line_style *style, struct run_task *task,
		  const char *mark, const char *colour)
{
	put_name(pen, style, task);
	line_coloured(pen, style->has_colours, colour, mark);
	pen_text(pen, " ");
}

void line_mark(struct pen *pen, bool has_colours, enum run_outcome outcome)
{
	switch (outcome) {
	case OUTCOME_OK: line_coloured(pen, has_colours, "32", "\u2713"); break;
	case OUTCOME_CANCELLED:
	case OUTCOME_SKIPPED:
	case OUTCOME_LOST: line_coloured(pen, has_colours, "33", "\u2298"); break;
	default: line_coloured(pen, has_colours, "31", "\u2717"); break;
	}
}

/* -------------------------------------------------------------------------- events */

static bool is_failure(const struct run_task *task)
{
	return task->outcome == OUTCOME_FAILED || task->outcome == OUTCOME_STOP_FAILED;
}

void line_input(struct pen *pen, const struct run_task *task)
{
	size_t len;

	if (!task->number)
		return;
	len = strcspn(task->text, "\n");
	if (len > INPUT_SHOWN)
		len = utf8_whole(task->text, INPUT_SHOWN);
	pen_text(pen, ": ");
	pen_safe(pen, task->text, len);
	pen_text(pen, task->text[len] ? "..." : "");
}

static bool is_below(const struct run_group *group, const struct run_group *top)
{
	while (group && group != top)
		group = group->parent;
	return group != NULL;
}

/* Whom the failure cancels: those of its group that have not ended, in the order of the text. */
static void put_cancelled(struct pen *pen, const struct run_task *task)
{
	const struct job *job = task->job;
	size_t count = 0;

	if (task->outcome != OUTCOME_FAILED || task->plan->on_fail != ON_FAIL_CANCEL ||
	    task->is_final || !task->group->is_open || run_is_cancelled(task))
		return;
	for (size_t i = 0; i < job->first_final; i++) {
		const struct run_task *other = &job->tasks[i];

		if (other == task || other->state == RUN_ENDED ||
		    !is_below(other->group, task->group))
			continue;
		if (count < CANCELLED_NAMED)
			pen_printf(pen, "%s%s", count ? ", " : ": cancelling ", other->name);
		count++;
	}
	if (count > CANCELLED_NAMED)
		pen_printf(pen, " and %zu more", count - CANCELLED_NAMED);
}

static void put_ended(struct pen *pen, struct line_style *style, struct run_task *task)
{
	char text[SCREEN_TEXT];

	put_name(pen, style, task);
	line_mark(pen, style->has_colours, task->outcome);
	pen_printf(pen, " %s", line_end(task, text));
	line_input(pen, task);
	put_cancelled(pen, task);
	pen_text(pen, "\n");
}

/* A rung of a ladder is worth a line with -v; a shield, and KILL, always. */
static void put_signal(struct pen *pen, struct line_style *style, struct run_task *task)
{
	char text[TEXT_DURATION_SIZE];
	bool has_limit = task->plan->shield_ns != COOP_NEVER;

	if (!task->stop_sig && task->is_in_shield) {
		begin(pen, style, task, "\u2026", "33");
		pen_printf(pen, "shielded%s%s, pid %d\n", has_limit ? ", up to " : "",
			   has_limit ? text_of_duration(task->plan->shield_ns, text) : "",
			   task->pid);
	} else if (task->stop_sig == SIGKILL || (task->stop_sig && style->plan->verbosity)) {
		begin(pen, style, task, "\u2026", "33");
		pen_printf(pen, "%s sent, pid %d\n", text_of_signal(task->stop_sig, text),
			   task->pid);
	}
}

static bool is_worth_a_line(const struct line_style *style, const struct run_task *task)
{
	bool is_told_to = task->outcome == OUTCOME_CANCELLED || task->outcome == OUTCOME_SKIPPED;

	if (is_told_to && run_is_quiet_end(task->job))
		return false;
	return style->has_names || task->outcome != OUTCOME_OK;
}

void line_event(struct pen *pen, struct line_style *style, struct run_task *task,
		enum screen_event event)
{
	char text[SCREEN_TEXT];

	if (style->plan->is_quiet && (event != SCREEN_ENDED || !is_failure(task)))
		return;
	switch (event) {
	case SCREEN_READY:
		begin(pen, style, task, "\u2713", "32");
		pen_printf(pen, "ready %s\n", text_of_span(coop_now() - task->started_ns, text));
		break;
	case SCREEN_ATTEMPT:
		begin(pen, style, task, "\u21bb", "33");
		pen_printf(pen, "%s; again soon\n", end_since(task, task->started_ns, text));
		break;
	case SCREEN_SIGNAL: put_signal(pen, style, task); break;
	case SCREEN_ENDED:
		if (is_worth_a_line(style, task))
			put_ended(pen, style, task);
		break;
	default: break;
	}
}

/* -------------------------------------------------------------------------- output */

/* A line that is too long comes in pieces: those behind the first have another bar. */
void line_output(struct pen *pen, struct line_style *style, struct run_task *task, int stream,
		 const char *data, size_t size)
{
	bool *is_open = &task->is_line_open[stream == 2];

	while (size) {
		const char *end = memchr(data, '\n', size);
		size_t line = end ? (size_t)(end - data) : size;

		if (style->has_names)
			begin(pen, style, task, *is_open ? "\u2506" : "\u2502",
			      colour_of(style, task));
		else
			put_time(pen, style);
		if (style->is_safe)
			pen_safe_output(pen, data, line);
		else
			pen_put(pen, data, line);
		pen_text(pen, "\n");
		*is_open = !end;
		data += line + (end != NULL);
		size -= line + (end != NULL);
	}
}

void line_say(struct pen *pen, const struct line_style *style, enum screen_level level,
	      const char *text)
{
	const struct plan *plan = style->plan;

	if (level != SAY_ALERT && (level != SAY_NOTE || plan->is_quiet) && plan->verbosity <= 0)
		return;
	pen_text(pen, "coop: ");
	if (style->is_safe)
		pen_safe(pen, text, strlen(text));
	else
		pen_text(pen, text);
	pen_text(pen, "\n");
}
