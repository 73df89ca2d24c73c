/* SPDX-License-Identifier: MIT */
/*
 * The screens without a footer: prefix, stream, quiet.
 *
 * prefix  each line behind the name of its task; what happens to tasks in lines of their own
 * stream  what tasks write, as they write it; of the rest only failures
 * quiet   nothing of what tasks write; of the rest only failures
 */
#include "pen.h"
#include "report.h"
#include "screen.h"
#include "sink.h"
#include "text.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WIDTH_MAX = 20 };

/* ------------------------------------------------------------------------- words */

static const char *exit_text(const struct run_task *task, char *buf)
{
	char text[TEXT_DURATION_SIZE];

	if (task->spawn_error)
		snprintf(buf, SCREEN_TEXT, "cannot be started: %s", strerror(-task->spawn_error));
	else if (task->is_timed_out)
		snprintf(buf, SCREEN_TEXT, "timeout after %s",
			 text_of_duration(task->plan->timeout_ns, text));
	else if (task->is_late || (task->why[0] && task->outcome == OUTCOME_SKIPPED))
		snprintf(buf, SCREEN_TEXT, "%s", task->why);
	else
		coop_process_text(&task->status, buf, SCREEN_TEXT);
	return buf;
}

const char *screen_end_text(const struct run_task *task, char *buf)
{
	size_t used;

	exit_text(task, buf);
	used = strlen(buf);
	if (task->outcome == OUTCOME_STOP_FAILED)
		snprintf(buf + used, SCREEN_TEXT - used, " while stopping");
	else if (task->outcome == OUTCOME_CANCELLED)
		snprintf(buf, SCREEN_TEXT, "cancelled%s%s", task->why[0] ? ": " : "", task->why);
	else if (task->outcome != OUTCOME_SKIPPED && !task->is_late && task->why[0])
		snprintf(buf + used, SCREEN_TEXT - used, " (%s)", task->why);
	return buf;
}

static void seconds_since(int64_t from, char *buf, size_t size)
{
	int64_t ns = from == COOP_NEVER ? 0 : coop_now() - from;

	snprintf(buf, size, "%lld.%llds", (long long)(ns / COOP_SECONDS(1)),
		 (long long)(ns % COOP_SECONDS(1) / COOP_MILLISECONDS(100)));
}

/* ------------------------------------------------------------------------ prefix */

struct prefix {
	int width;
};

static int name_width(const struct run_task *task)
{
	int width = 0;

	for (const char *p = task->name; *p; p++)
		width += ((unsigned char)*p & 0xc0) != 0x80;
	return width;
}

static int prefix_open(struct screen *screen)
{
	struct prefix *own = calloc(1, sizeof *own);

	if (!own)
		return -ENOMEM;
	for (size_t i = 0; i < screen->job->task_count; i++) {
		int width = name_width(&screen->job->tasks[i]);

		if (width > own->width)
			own->width = width > WIDTH_MAX ? WIDTH_MAX : width;
	}
	screen->own = own;
	return 0;
}

static void put_name(struct screen *screen, struct sink *sink, const struct run_task *task,
		     const char *mark)
{
	const struct prefix *own = screen->own;
	int width = name_width(task);

	sink_put(sink, task->name, strlen(task->name));
	for (; width < own->width; width++)
		sink_put(sink, " ", 1);
	sink_put(sink, mark, strlen(mark));
}

static int prefix_output(struct screen *screen, struct run_task *task, int stream, const char *data,
			 size_t size)
{
	struct sink *sink = stream == 2 ? screen->err : screen->out;

	while (size) {
		const char *end = memchr(data, '\n', size);
		size_t line = end ? (size_t)(end + 1 - data) : size;

		put_name(screen, sink, task, " \u2502 ");
		sink_put(sink, data, line);
		if (!end)
			sink_put(sink, "\n", 1);
		data += line;
		size -= line;
	}
	return sink_wait(sink);
}

static const char *mark_of(enum run_outcome outcome)
{
	switch (outcome) {
	case OUTCOME_OK: return " \u2713 ";
	case OUTCOME_CANCELLED:
	case OUTCOME_SKIPPED: return " \u2298 ";
	default: return " \u2717 ";
	}
}

static void put_ended(struct screen *screen, struct run_task *task)
{
	char text[SCREEN_TEXT], took[32];

	seconds_since(task->first_ns, took, sizeof took);
	put_name(screen, screen->err, task, mark_of(task->outcome));
	sink_printf(screen->err, "%s%s%s\n", screen_end_text(task, text), task->attempt ? ", " : "",
		    task->attempt ? took : "");
}

static void put_signal(struct screen *screen, struct run_task *task)
{
	char text[TEXT_DURATION_SIZE];

	if (task->is_in_shield && !task->stop_sig) {
		put_name(screen, screen->err, task, " \u2026 ");
		sink_printf(screen->err, "shielded%s%s, pid %d\n",
			    task->plan->shield_ns == COOP_NEVER ? "" : ", up to ",
			    task->plan->shield_ns == COOP_NEVER
				    ? ""
				    : text_of_duration(task->plan->shield_ns, text),
			    task->pid);
	} else if (task->stop_sig == SIGKILL || screen->job->plan->verbosity) {
		put_name(screen, screen->err, task, " \u2026 ");
		sink_printf(screen->err, "%s sent, pid %d\n", coop_signal_name(task->stop_sig),
			    task->pid);
	}
}

static void prefix_happened(struct screen *screen, struct run_task *task, enum screen_event event)
{
	char text[SCREEN_TEXT], took[32];

	if (screen->job->plan->is_quiet && event != SCREEN_ENDED)
		return;
	seconds_since(task->started_ns, took, sizeof took);
	switch (event) {
	case SCREEN_READY:
		put_name(screen, screen->err, task, " \u2713 ");
		sink_printf(screen->err, "ready %s\n", took);
		break;
	case SCREEN_ATTEMPT:
		put_name(screen, screen->err, task, " \u21bb ");
		sink_printf(screen->err, "%s, %s; again soon\n", screen_end_text(task, text), took);
		break;
	case SCREEN_SIGNAL: put_signal(screen, task); break;
	case SCREEN_ENDED:
		if (!screen->job->plan->is_quiet || task->outcome == OUTCOME_FAILED ||
		    task->outcome == OUTCOME_STOP_FAILED)
			put_ended(screen, task);
		break;
	default: break;
	}
}

static void plain_say(struct screen *screen, enum screen_level level, const char *text)
{
	const struct plan *plan = screen->job->plan;

	if (level == SAY_ALERT || (level == SAY_NOTE && !plan->is_quiet) || plan->verbosity > 0)
		sink_printf(screen->err, "coop: %s\n", text);
}

static void plain_finish(struct screen *screen, int status)
{
	struct pen pen = { 0 };

	report_write(screen->job, status, false, 0, &pen);
	pen_flush(&pen, screen->err);
	pen_free(&pen);
}

static void plain_close(struct screen *screen)
{
	free(screen->own);
}

const struct screen_ops screen_prefix = {
	.wants_lines = true,
	.open = prefix_open,
	.happened = prefix_happened,
	.output = prefix_output,
	.say = plain_say,
	.finish = plain_finish,
	.close = plain_close,
};

/* ----------------------------------------------------------------- stream and quiet */

static int plain_open(struct screen *screen)
{
	(void)screen;
	return 0;
}

/* A command's failure is seen by its status; only what we know better than it is said. */
static void plain_happened(struct screen *screen, struct run_task *task, enum screen_event event)
{
	char text[SCREEN_TEXT];

	if (event == SCREEN_SIGNAL && task->is_in_shield && !task->stop_sig)
		sink_printf(screen->err, "coop: %s is shielded, pid %d\n", task->name, task->pid);
	if (event != SCREEN_ENDED ||
	    (task->outcome != OUTCOME_FAILED && task->outcome != OUTCOME_STOP_FAILED))
		return;
	if (task->spawn_error || task->is_timed_out || task->is_late || task->status.signal ||
	    task->why[0] ||
	    screen->ops == &screen_quiet || screen->job->task_count > 1)
		sink_printf(screen->err, "coop: %s: %s\n", task->name, screen_end_text(task, text));
}

static int stream_output(struct screen *screen, struct run_task *task, int stream, const char *data,
			 size_t size)
{
	struct sink *sink = stream == 2 ? screen->err : screen->out;

	(void)task;
	sink_put(sink, data, size);
	return sink_wait(sink);
}

static int quiet_output(struct screen *screen, struct run_task *task, int stream, const char *data,
			size_t size)
{
	(void)screen;
	(void)task;
	(void)stream;
	(void)data;
	(void)size;
	return 0;
}

const struct screen_ops screen_stream = {
	.open = plain_open,
	.happened = plain_happened,
	.output = stream_output,
	.say = plain_say,
	.finish = plain_finish,
};

/* Of several tasks: by whole lines, so that nobody writes into another's. */
const struct screen_ops screen_lines = {
	.wants_lines = true,
	.open = plain_open,
	.happened = plain_happened,
	.output = stream_output,
	.say = plain_say,
	.finish = plain_finish,
};

const struct screen_ops screen_quiet = {
	.open = plain_open,
	.happened = plain_happened,
	.output = quiet_output,
	.say = plain_say,
	.finish = plain_finish,
};

/* ------------------------------------------------------------------------ the choice */

/* In CI, which sets CI; GitHub's runner has words of its own. */
static const struct screen_ops *choose_auto(const struct plan *plan, bool is_one)
{
	const char *ci = getenv("CI"), *actions = getenv("GITHUB_ACTIONS");

	if (is_one)
		return &screen_stream;
	if (isatty(STDERR_FILENO) || isatty(STDOUT_FILENO))
		return &screen_term;
	if (plan->verb == VERB_MAP)
		return &screen_lines;
	if (actions && strcmp(actions, "true") == 0)
		return &screen_github;
	return ci && *ci && strcmp(ci, "false") != 0 ? &screen_group : &screen_prefix;
}

const struct screen_ops *screen_choose(const struct plan *plan)
{
	bool is_one = plan->task_count == 1 && plan->verb != VERB_MAP;

	switch (plan->output) {
	case OUTPUT_STREAM: return is_one ? &screen_stream : &screen_lines;
	case OUTPUT_QUIET: return &screen_quiet;
	case OUTPUT_GROUP: return &screen_group;
	case OUTPUT_GITHUB: return &screen_github;
	case OUTPUT_JSON: return &screen_json;
	case OUTPUT_AUTO: return choose_auto(plan, is_one);
	default: break;
	}
	return isatty(STDERR_FILENO) || isatty(STDOUT_FILENO) ? &screen_term : &screen_prefix;
}

bool screen_is_direct(const struct plan *plan, const struct plan_task *task)
{
	return task->has_tty || (plan->verb == VERB_EXEC && !plan->log_dir &&
				 (plan->output == OUTPUT_AUTO || plan->output == OUTPUT_STREAM));
}
