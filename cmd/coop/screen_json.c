/* SPDX-License-Identifier: MIT */
/*
 * What happens as JSON, an object a line: the screen `json`, and the stream of --events beside any
 * other screen.
 *
 * An object has `time` (seconds since 1970), `event`, and of a task `task` and `group`. Output is
 * one object a line, without its end of line; bytes that are no UTF-8 are U+FFFD in it.
 */
#include "pen.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const event_words[] = {
	"started", "ready", "retrying", "stopping", "signal", "ended",
};

static void begin(struct pen *pen, const char *event, const struct run_task *task)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	pen_printf(pen, "{\"time\":%lld.%06ld,\"event\":\"%s\"", (long long)now.tv_sec,
		   now.tv_nsec / 1000, event);
	if (!task)
		return;
	pen_text(pen, ",\"task\":\"");
	pen_json(pen, task->name, strlen(task->name));
	pen_text(pen, "\",\"group\":\"");
	pen_json(pen, task->plan->group->path, strlen(task->plan->group->path));
	pen_text(pen, "\"");
}

static void member(struct pen *pen, const char *name, const char *text)
{
	pen_printf(pen, ",\"%s\":\"", name);
	pen_json(pen, text, strlen(text));
	pen_text(pen, "\"");
}

static void put_event(struct pen *pen, struct run_task *task, enum screen_event event)
{
	char text[SCREEN_TEXT];

	begin(pen, event_words[event], task);
	pen_printf(pen, ",\"attempt\":%u", task->attempt);
	if (task->pid)
		pen_printf(pen, ",\"pid\":%d", task->pid);
	if (event == SCREEN_STARTED && task->text)
		member(pen, "command", task->text);
	if (event == SCREEN_STOPPING)
		member(pen, "why", task->why);
	if (event == SCREEN_SIGNAL && task->stop_sig)
		member(pen, "signal", coop_signal_name(task->stop_sig));
	if (event == SCREEN_SIGNAL && !task->stop_sig)
		pen_printf(pen, ",\"shielded\":%s", task->is_in_shield ? "true" : "false");
	if (event == SCREEN_ENDED || event == SCREEN_ATTEMPT) {
		pen_printf(pen, ",\"code\":%d", task->code);
		member(pen, "text", screen_end_text(task, text));
	}
	if (event == SCREEN_ENDED) {
		member(pen, "outcome", report_outcome_word(task->outcome));
		if (task->why[0])
			member(pen, "why", task->why);
		if (task->first_ns != COOP_NEVER)
			pen_printf(pen, ",\"seconds\":%.3f",
				   (double)(coop_now() - task->first_ns) / 1e9);
	}
	pen_text(pen, "}\n");
}

static void put_output(struct pen *pen, struct run_task *task, int stream, const char *data,
		       size_t size)
{
	while (size) {
		const char *end = memchr(data, '\n', size);
		size_t line = end ? (size_t)(end - data) : size;

		begin(pen, "output", task);
		pen_printf(pen, ",\"stream\":\"%s\",\"line\":\"",
			   stream == 2 ? "stderr" : "stdout");
		pen_json(pen, data, line);
		pen_text(pen, end ? "\"}\n" : "\",\"open\":true}\n");
		data += line + (end != NULL);
		size -= line + (end != NULL);
	}
}

static void put_finish(struct pen *pen, const struct job *job, int status)
{
	begin(pen, "finished", NULL);
	pen_printf(pen, ",\"status\":%d,\"seconds\":%.3f,\"left_behind\":%zu}\n", status,
		   (double)(coop_now() - job->begun_ns) / 1e9, job->left);
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

	begin(&pen, level == SAY_ALERT ? "alert" : "note", NULL);
	member(&pen, "text", text);
	pen_text(&pen, "}\n");
	pen_flush(&pen, screen->out);
	pen_free(&pen);
}

static void json_finish(struct screen *screen, int status)
{
	struct pen pen = { 0 };

	put_finish(&pen, screen->job, status);
	if (screen->job->plan->report == REPORT_JSON)
		report_write(screen->job, status, false, 0, &pen);
	pen_flush(&pen, screen->out);
	pen_free(&pen);
}

const struct screen_ops screen_json = {
	.wants_lines = true,
	.open = json_open,
	.happened = json_happened,
	.output = json_output,
	.say = json_say,
	.finish = json_finish,
};

/* -------------------------------------------------------------------- the event stream */

struct events {
	struct sink *sink;
	int fd;
	bool is_ours;
};

static struct events events = { .fd = -1 };

int events_open(struct job *job)
{
	const struct plan *plan = job->plan;

	if (!plan->events_file && plan->events_fd < 0)
		return 0;
	events.is_ours = plan->events_file != NULL;
	events.fd = plan->events_fd;
	if (events.is_ours)
		events.fd = open(plan->events_file,
				 O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (events.fd < 0)
		return -errno;
	events.sink = sink_open(&job->plumbing, events.fd);
	return events.sink ? 0 : -ENOMEM;
}

void events_happened(struct run_task *task, enum screen_event event)
{
	struct pen pen = { 0 };

	if (!events.sink)
		return;
	put_event(&pen, task, event);
	pen_flush(&pen, events.sink);
	pen_free(&pen);
}

void events_finish(const struct job *job, int status)
{
	struct pen pen = { 0 };

	if (!events.sink)
		return;
	put_finish(&pen, job, status);
	pen_flush(&pen, events.sink);
	pen_free(&pen);
	sink_flush(events.sink, COOP_SECONDS(10));
}

void events_close(void)
{
	sink_free(events.sink);
	events.sink = NULL;
	if (events.is_ours && events.fd >= 0)
		close(events.fd);
	events.fd = -1;
}
