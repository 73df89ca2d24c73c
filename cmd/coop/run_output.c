/* SPDX-License-Identifier: MIT */
/*
 * What a task writes: read from its pipes or its terminal, and handed to the screen by whole lines.
 *
 * A reader is a task of the plumbing, so a cancel of the job does not reach it: what is written
 * while stopping is read too. It ends with its stream. A descendant that got away may hold the
 * stream open for ever; so after the end of the process group the reader is given DRAIN_NS, and
 * then the stream is closed under it.
 *
 * Memory is bounded: a buffer grows up to LINE_MAX, a longer line is handed on in pieces; and what
 * the screen cannot take yet is not read.
 */
#include "run_map.h"
#include "screen.h"
#include "sink.h"
#include "utf8.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DRAIN_NS COOP_SECONDS(1)

enum { BUF_MIN = 4 << 10, LINE_CAP = 64 << 10, SEQUENCE_MAX = 64 };

struct run_stream {
	struct run_task *task;
	int which, fd;
	char *buf;
	size_t used, room;
	size_t owed;     /* bytes that were in it when its process group had ended */
	bool is_reading; /* not handing on: all that was read has got through */
};

/* It cannot be written any more: what is in it stays. The job goes on, and fails at its end. */
static void log_failed(struct run_task *task, int r)
{
	if (task->log_fd < 0) /* the other stream has told it */
		return;
	coop_close(task->log_fd);
	task->log_fd = -1;
	run_log_lost(task, strerror(-r));
}

/* Both streams into one file: one of them writes at a time. */
static int to_log(struct run_task *task, const char *data, size_t size)
{
	int r = coop_mutex_lock(&task->logging);

	if (r < 0)
		return r;
	while (r >= 0 && size && task->log_fd >= 0) {
		r = coop_write(task->log_fd, data, size);
		data += r > 0 ? r : 0;
		size -= r > 0 ? (size_t)r : 0;
	}
	if (r < 0 && !coop_is_cancel(r)) {
		log_failed(task, r);
		r = 0;
	}
	(void)!coop_mutex_unlock(&task->logging);
	return r;
}

/* Line by line, for a probe that wants them. */
static void to_probe(struct run_task *task, const char *data, size_t size)
{
	while (size && task->has_regex && task->state == RUN_RUNNING) {
		const char *end = memchr(data, '\n', size);
		size_t line = end ? (size_t)(end - data) : size;

		run_probe_line(task, data, line);
		line += end != NULL;
		data += line;
		size -= line;
	}
}

/* What is told as JSON would go the way that has failed. */
static void tell_failed(struct job *job, const char *text)
{
	if (job->plan->output != OUTPUT_JSON)
		job_say(job, SAY_ALERT, "%s", text);
	else if (job->screen->err != job->screen->out)
		sink_printf(job->screen->err, "coop: %s\n", text);
	job->is_own_told = true;
}

void run_output_failed(struct job *job, const char *where, int r)
{
	char text[256];

	if (job->stop_sig || job->own_error)
		return;
	snprintf(text, sizeof text, "%s: %s", where, strerror(-r));
	if (r == -EPIPE) {
		job->stop_sig = SIGPIPE;
	} else {
		job->own_error = r;
		tell_failed(job, text);
	}
	job_stop(job, text);
}

bool run_is_quiet_end(const struct job *job)
{
	return job->stop_sig == SIGPIPE && !job->plan->verbosity;
}

bool run_has_lost_reader(const struct run_task *task)
{
	struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };

	return task->status.signal == SIGPIPE && screen_is_direct(task->job->plan, task->plan) &&
	       poll(&out, 1, 0) > 0 && out.revents & (POLLERR | POLLHUP);
}

static int hand_on(struct run_stream *s, const char *data, size_t size)
{
	struct run_task *task = s->task;
	struct screen *screen = task->job->screen;
	int r;

	if (!size)
		return 0;
	tail_put(&task->tail, data, size);
	if (task->log_fd >= 0)
		(void)!to_log(task, data, size);
	r = task->number ? map_output(task, s->which, data, size)
			 : screen->ops->output(screen, task, s->which, data, size);
	to_probe(task, data, size); /* now that the line can be seen */
	if (r < 0 && !coop_is_cancel(r)) {
		run_output_failed(task->job, "standard output", r);
		return 0;
	}
	return r;
}

/* As much of a line that is too long as can stand alone: no character and no sequence is cut. */
static size_t piece_of(const char *line, size_t size)
{
	const char *esc = memrchr(line + size - SEQUENCE_MAX, '\033', SEQUENCE_MAX);
	size_t len = esc ? (size_t)(line + size - esc) : 0, at = 1;

	if (len < 2)
		return len ? size - 1 : utf8_whole(line, size);
	if (esc[1] == '[')
		for (at = 2; at < len && (esc[at] < '@' || esc[at] > '~');)
			at++;
	return at < len ? utf8_whole(line, size) : size - len;
}

/* The whole lines in the buffer, or a piece of one that fills it. */
static int hand_on_lines(struct run_stream *s)
{
	bool is_full = s->used == LINE_CAP;
	const char *end = memrchr(s->buf, '\n', s->used);
	size_t size = end ? (size_t)(end + 1 - s->buf) : is_full ? piece_of(s->buf, s->used) : 0;
	int r;

	if (!s->task->job->screen->ops->wants_lines && !s->task->has_regex)
		size = s->used;
	r = hand_on(s, s->buf, size);
	s->used -= size;
	memmove(s->buf, s->buf + size, s->used);
	return r;
}

/* A larger buffer, if the last read has filled this one. */
static int make_room(struct run_stream *s)
{
	size_t room = s->room ? s->room * 4 : BUF_MIN;
	char *buf;

	if (s->room && (s->used < s->room / 2 || s->room >= LINE_CAP))
		return 0;
	buf = realloc(s->buf, room);
	if (!buf)
		return s->used < s->room ? 0 : -ENOMEM;
	s->buf = buf;
	s->room = room;
	return 0;
}

static int read_stream(struct run_stream *s)
{
	size_t last = 0;

	for (;;) {
		int r = last + s->used >= s->room ? make_room(s) : 0;

		s->is_reading = true;
		if (r >= 0)
			r = coop_read(s->fd, s->buf + s->used, s->room - s->used);
		s->is_reading = false;
		if (r <= 0)
			return r;
		last = (size_t)r;
		s->owed -= last < s->owed ? last : s->owed;
		s->used += last;
		r = hand_on_lines(s);
		if (r < 0)
			return r;
	}
}

/*
 * EIO is how a terminal ends; ECLOSED, that we would wait no longer. A terminal is not closed
 * before its leader has ended: one that closes its outputs first would be killed by the hang-up.
 */
static int reader(void *arg)
{
	struct run_stream *s = arg;
	struct run_task *task = s->task;
	int r = read_stream(s);
	bool is_hung_up = r == -EIO;

	if (!coop_is_cancel(r)) {
		int rest = hand_on(s, s->buf, s->used);

		r = r == -EIO || r == COOP_ECLOSED || r == -EBADF ? rest : r;
	}
	if (s->fd >= 0 && is_hung_up)
		task->terminal_fd = s->fd;
	else if (s->fd >= 0)
		coop_close(s->fd);
	task->streams[s->which - 1] = NULL;
	free(s->buf);
	free(s);
	coop_pulse_send(&task->drained);
	return coop_is_cancel(r) ? r : 0;
}

int run_read(struct run_task *task, int which, int fd)
{
	struct run_stream *s = calloc(1, sizeof *s);
	int r = s ? 0 : -ENOMEM;

	if (s) {
		*s = (struct run_stream){ .task = task, .which = which, .fd = fd };
		r = coop_spawn_with(&task->job->plumbing, reader, s,
				    &(struct coop_spawn_opts){ .name = "reader" }, NULL);
	}
	if (r < 0) {
		free(s);
		coop_close(fd);
		return r;
	}
	task->streams[which - 1] = s;
	return 0;
}

void run_resize(struct job *job, unsigned rows, unsigned columns)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };

	for (const struct run_task *task = job->live; task; task = task->live_next)
		for (int i = 0; i < 2; i++)
			if (task->streams[i] && isatty(task->streams[i]->fd))
				(void)!ioctl(task->streams[i]->fd, TIOCSWINSZ, &size);
}

static bool is_drained(const struct run_task *task)
{
	return !task->streams[0] && !task->streams[1];
}

static int await_drained(void *arg)
{
	struct run_task *task = arg;
	int r = 0;

	while (!is_drained(task) && r >= 0)
		r = coop_pulse_wait(&task->drained);
	return r;
}

static int drain_for(void *arg)
{
	return coop_move_on_after(DRAIN_NS, await_drained, arg);
}

/* What was written before the end is owed, however slow our own reader is. */
static void note_owed(struct run_stream *s)
{
	int bytes = 0;

	if (s && ioctl(s->fd, FIONREAD, &bytes) == 0 && bytes > 0)
		s->owed = (size_t)bytes;
}

static bool is_owing(const struct run_stream *s)
{
	return s && (s->owed || !s->is_reading);
}

void run_drain(struct run_task *task)
{
	note_owed(task->streams[0]);
	note_owed(task->streams[1]);
	while (!is_drained(task)) {
		(void)!coop_shield(drain_for, task);
		if (!is_owing(task->streams[0]) && !is_owing(task->streams[1]))
			break;
	}
	if (is_drained(task))
		return;

	job_say(task->job, SAY_DETAIL, "%s: somebody holds its output open", task->name);
	for (int i = 0; i < 2; i++)
		if (task->streams[i]) {
			int fd = task->streams[i]->fd;

			task->streams[i]->fd = -1;
			coop_close(fd);
		}
	(void)!coop_shield(await_drained, task);
}
