/* SPDX-License-Identifier: MIT */
/*
 * The screens without a footer: prefix, stream, quiet.
 *
 * prefix  each line behind the name of its task; what happens to tasks in lines of their own
 * stream  what tasks write, as they write it; of the rest only failures. By lines where there are
 *         several tasks, or each line has the time before it
 * quiet   nothing of what tasks write; of the rest only failures
 */
#include "line.h"
#include "outer.h"
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ------------------------------------------------------------------------ for all */

struct plain {
	struct line_style style;
	struct pen pen;
	bool is_line_open; /* where we speak, too, a command has written a line without its end */
};

/* What we say begins a line. */
static void end_line(struct screen *screen)
{
	struct plain *own = screen->own;

	if (own->is_line_open)
		sink_put(screen->err, "\n", 1);
	own->is_line_open = false;
}

static int plain_open(struct screen *screen)
{
	struct plain *own = calloc(1, sizeof *own);

	if (!own)
		return -ENOMEM;
	own->style = line_style_for(screen->job);
	own->style.has_names = screen->ops == &screen_prefix;
	screen->own = own;
	return 0;
}

static void plain_say(struct screen *screen, enum screen_level level, const char *text)
{
	struct plain *own = screen->own;

	line_say(&own->pen, &own->style, level, text);
	if (own->pen.used)
		end_line(screen);
	pen_flush(&own->pen, screen->err);
}

static void plain_finish(struct screen *screen, int status)
{
	struct plain *own = screen->own;

	report_write(screen->job, status, false, 0, &own->pen);
	if (own->pen.used)
		end_line(screen);
	pen_flush(&own->pen, screen->err);
}

static void plain_close(struct screen *screen)
{
	struct plain *own = screen->own;

	pen_free(&own->pen);
	free(own);
}

/* ------------------------------------------------------------------------ prefix */

static void prefix_happened(struct screen *screen, struct run_task *task, enum screen_event event)
{
	struct plain *own = screen->own;

	line_event(&own->pen, &own->style, task, event);
	pen_flush(&own->pen, screen->err);
}

static int prefix_output(struct screen *screen, struct run_task *task, int stream, const char *data,
			 size_t size)
{
	struct plain *own = screen->own;
	struct sink *sink = stream == 2 ? screen->err : screen->out;

	line_output(&own->pen, &own->style, task, stream, data, size);
	pen_flush(&own->pen, sink);
	return sink_wait(sink);
}

const struct screen_ops screen_prefix = {
	.wants_lines = true,
	.open = plain_open,
	.happened = prefix_happened,
	.output = prefix_output,
	.say = plain_say,
	.finish = plain_finish,
	.close = plain_close,
};

/* ----------------------------------------------------------------- stream and quiet */

/* A command's failure is seen by its status; only what we know better than it is said. */
static void plain_happened(struct screen *screen, struct run_task *task, enum screen_event event)
{
	char text[SCREEN_TEXT];

	if (event == SCREEN_SIGNAL && task->is_in_shield && !task->stop_sig) {
		end_line(screen);
		sink_printf(screen->err, "coop: %s is shielded, pid %d\n", task->name, task->pid);
	}
	if (event != SCREEN_ENDED ||
	    (task->outcome != OUTCOME_FAILED && task->outcome != OUTCOME_STOP_FAILED))
		return;
	if (!screen->job->plan->verbosity && run_has_lost_reader(task))
		return;
	if (task->spawn_error || task->is_timed_out || task->is_late || task->status.signal ||
	    task->why[0] ||
	    screen->ops == &screen_quiet || screen->job->task_count > 1) {
		end_line(screen);
		sink_printf(screen->err, "coop: %s: %s\n", task->name, screen_end_text(task, text));
	}
}

static int stream_output(struct screen *screen, struct run_task *task, int stream, const char *data,
			 size_t size)
{
	struct sink *sink = stream == 2 ? screen->err : screen->out;
	struct plain *own = screen->own;

	(void)task;
	if (sink == screen->err)
		own->is_line_open = data[size - 1] != '\n';
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

/* Of several tasks: by whole lines, so that nobody writes into another's. */
static int lines_output(struct screen *screen, struct run_task *task, int stream, const char *data,
			size_t size)
{
	return screen->job->plan->has_timestamps
		       ? prefix_output(screen, task, stream, data, size)
		       : stream_output(screen, task, stream, data, size);
}

const struct screen_ops screen_stream = {
	.open = plain_open,
	.happened = plain_happened,
	.output = stream_output,
	.say = plain_say,
	.finish = plain_finish,
	.close = plain_close,
};

const struct screen_ops screen_lines = {
	.wants_lines = true,
	.open = plain_open,
	.happened = plain_happened,
	.output = lines_output,
	.say = plain_say,
	.finish = plain_finish,
	.close = plain_close,
};

const struct screen_ops screen_quiet = {
	.open = plain_open,
	.happened = plain_happened,
	.output = quiet_output,
	.say = plain_say,
	.finish = plain_finish,
	.close = plain_close,
};

/* ------------------------------------------------------------------------ the choice */

/* In CI, which sets CI; GitHub's runner has words of its own, for groups that cannot nest. */
static const struct screen_ops *choose_auto(const struct plan *plan, bool is_one)
{
	const char *ci = getenv("CI"), *actions = getenv("GITHUB_ACTIONS");

	if (is_one)
		return plan->has_timestamps ? &screen_lines : &screen_stream;
	if (isatty(STDERR_FILENO) || isatty(STDOUT_FILENO))
		return &screen_term;
	if (plan->verb == VERB_MAP)
		return &screen_lines;
	if (actions && strcmp(actions, "true") == 0 && !outer_is_there())
		return &screen_github;
	return ci && *ci && strcmp(ci, "false") != 0 ? &screen_group : &screen_prefix;
}

const struct screen_ops *screen_choose(const struct plan *plan)
{
	bool is_one = plan->task_count == 1 && plan->verb != VERB_MAP;

	switch (plan->output) {
	case OUTPUT_STREAM:
		return is_one && !plan->has_timestamps ? &screen_stream : &screen_lines;
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
	bool is_stream = plan->output == OUTPUT_AUTO || plan->output == OUTPUT_STREAM;

	return task->has_tty || (plan->verb == VERB_EXEC && is_stream && !plan->log_dir &&
				 !plan->has_timestamps);
}
