/* SPDX-License-Identifier: MIT */
/*
 * What happens as JSON, an object a line: the screen `json`; and beside any screen the stream of
 * --events, and the coop in which this one runs.
 *
 * An object has `time` (seconds since 1970), `event`, and of a task `task` and `group`. Output is
 * one object a line, without its end of line; bytes that are no UTF-8 are U+FFFD in it.
 */
#include "event.h"
#include "outer.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put_output(struct pen *pen, struct run_task *task, int stream, const char *data,
		       size_t size)
{
	while (size) {
		const char *end = memchr(data, '\n', size);
		size_t line = end ? (size_t)(end - data) : size;

		event_begin(pen, "output");
		event_member(pen, "task", task->name, SIZE_MAX);
		event_member(pen, "group", task->plan->group->path, SIZE_MAX);
		pen_printf(pen, ",\"stream\":\"%s\",\"line\":\"",
			   stream == 2 ? "stderr" : "stdout");
		pen_json(pen, data, line);
		pen_text(pen, end ? "\"}\n" : "\",\"open\":true}\n");
		data += line + (end != NULL);
		size -= line + (end != NULL);
	}
}

static void put_event(struct pen *pen, struct run_task *task, enum screen_event kind)
{
	char text[SCREEN_TEXT];
	struct event event = event_of(task, kind, text);

	event_write(pen, &event, SIZE_MAX);
}

static void put_finish(struct pen *pen, const struct job *job, int status)
{
	struct event event = event_of_finish(job, status);

	event_write(pen, &event, SIZE_MAX);
}

/* ------------------------------------------------------------------------- the screen */

static int json_open(struct screen *screen)
{
	(void)screen;
	return 0;
}

static void json_happened(struct screen *screen, struct run_task *task, enum screen_event event)
{
	struct pen pen = { 0 };

	put_event(&pen, task, event);
	pen_flush(&pen, screen->out);
	pen_free(&pen);
}

static void json_nested(struct screen *screen, const struct event *event)
{
	struct pen pen = { 0 };

	event_write(&pen, event, SIZE_MAX);
	pen_flush(&pen, screen->out);
	pen_free(&pen);
}

static int json_output(struct screen *screen, struct run_task *task, int stream, const char *data,
		       size_t size)
{
	struct pen pen = { 0 };

	put_output(&pen, task, stream, data, size);
	pen_flush(&pen, screen->out);
	pen_free(&pen);
	return sink_wait(screen->out);
}

static void json_say(struct screen *screen, enum screen_level level, const char *text)
{
	struct pen pen = { 0 };

	event_begin(&pen, level == SAY_ALERT ? "alert" : "note");
	event_member(&pen, "text", text, SIZE_MAX);
	pen_text(&pen, "}\n");
	pen_flush(&pen, screen->out);
	pen_free(&pen);
}

static void json_finish(struct screen *screen, int status)
{
	struct pen pen = { 0 }, report = { 0 };

	put_finish(&pen, screen->job, status);
	pen_flush(&pen, screen->out);
	pen_free(&pen);
	if (screen->job->plan->report == REPORT_JSON) /* no event, and nobody's last word */
		report_write(screen->job, status, false, 0, &report);
	pen_flush(&report, screen->err);
	pen_free(&report);
}

const struct screen_ops screen_json = {
	.wants_lines = true,
	.open = json_open,
	.happened = json_happened,
	.output = json_output,
	.nested = json_nested,
	.say = json_say,
	.finish = json_finish,
};

/* ------------------------------------------------------------------ beside the screen */

static struct {
	struct sink *sink;
	int fd;
	bool is_ours;
} stream = { .fd = -1 };

static int open_stream(struct job *job)
{
	const struct plan *plan = job->plan;

	if (!plan->events_file && plan->events_fd < 0)
		return 0;
	stream.is_ours = plan->events_file != NULL;
	stream.fd = plan->events_fd;
	if (stream.is_ours)
		stream.fd = open(plan->events_file,
				 O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
				 0600);
	if (stream.fd < 0)
		return job_refuse(job, -errno, "--events", plan->events_file);
	stream.sink = sink_open(&job->plumbing, stream.fd);
	return stream.sink ? 0 : -ENOMEM;
}

int events_open(struct job *job)
{
	int r = open_stream(job);

	return r < 0 ? r : outer_open(job);
}

void events_nested(const struct event *event)
{
	struct pen pen = { 0 };

	outer_send(event);
	if (!stream.sink)
		return;
	event_write(&pen, event, SIZE_MAX);
	pen_flush(&pen, stream.sink);
	pen_free(&pen);
}

int events_wait(const struct job *job)
{
	int r = sink_wait_cancellable(job->screen->out);

	return r >= 0 && stream.sink ? sink_wait_cancellable(stream.sink) : r;
}

void events_happened(struct run_task *task, enum screen_event kind)
{
	char text[SCREEN_TEXT];
	struct event event;

	if (!stream.sink && !outer_is_there())
		return;
	event = event_of(task, kind, text);
	events_nested(&event);
}

/* Who reads no more of them has closed his end, and is not told. */
static void look_at_stream(struct job *job)
{
	char fd[16];
	int r = sink_error(stream.sink);

	snprintf(fd, sizeof fd, "fd:%d", job->plan->events_fd);
	if (r < 0 && r != -EPIPE && !job->own_error)
		(void)job_refuse(job, r, "--events", stream.is_ours ? job->plan->events_file : fd);
}

void events_finish(struct job *job, int status)
{
	struct event event = event_of_finish(job, status);

	events_nested(&event);
	if (stream.sink) {
		sink_flush(stream.sink, COOP_SECONDS(10));
		look_at_stream(job);
	}
	outer_finish();
}

void events_close(void)
{
	sink_free(stream.sink);
	stream.sink = NULL;
	if (stream.is_ours && stream.fd >= 0)
		close(stream.fd);
	stream.fd = -1;
	outer_close();
}
