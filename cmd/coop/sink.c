/* SPDX-License-Identifier: MIT */
/*
 * A sink has two buffers: one is filled while the other is being written. They grow as needed, and
 * beyond SINK_FULL who can wait does.
 */
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { SINK_FULL = 256 << 10, SINK_MIN = 8 << 10 };

struct buffer {
	char *bytes;
	size_t used, room;
};

struct sink {
	int fd;
	int error;
	bool is_own;               /* the descriptor is closed with the sink */
	struct buffer filling, writing;
	bool has_datagrams;        /* of a line each */
	bool is_busy;              /* the task is writing */
	int64_t patience_ns;       /* of who waits, while nothing is taken; 0: for ever */
	int64_t taken_ns;          /* when something was taken last, or the patience began */
	struct coop_pulse work;    /* there is something to write */
	struct coop_pulse written; /* everybody is woken each time: something was */
};

/* As much as goes at once: of lines, one. */
static int write_some(struct sink *sink, const char *bytes, size_t size)
{
	const char *end = sink->has_datagrams ? memchr(bytes, '\n', size) : NULL;

	if (!sink->has_datagrams)
		return coop_write(sink->fd, bytes, size);
	return coop_send(sink->fd, bytes, end ? (size_t)(end + 1 - bytes) : size, 0);
}

static int write_all(struct sink *sink)
{
	size_t done = 0;

	while (done < sink->writing.used) {
		int r = write_some(sink, sink->writing.bytes + done, sink->writing.used - done);

		if (r < 0)
			return r;
		done += (size_t)r;
		sink->taken_ns = coop_now();
		coop_pulse_send_all(&sink->written);
	}
	return 0;
}

/* The task of a sink. What is left when it is cancelled is lost: sink_flush comes before. */
static int sink_task(void *arg)
{
	struct sink *sink = arg;

	for (;;) {
		struct buffer full = sink->filling;
		int r;

		sink->is_busy = full.used > 0;
		if (!full.used) {
			r = coop_pulse_wait(&sink->work);
			if (r < 0)
				return r;
			continue;
		}
		sink->filling = sink->writing;
		sink->filling.used = 0;
		sink->writing = full;
		r = sink->error ? 0 : write_all(sink);
		if (coop_is_cancel(r))
			return r;
		if (r < 0)
			sink->error = r;
		sink->writing.used = 0;
		sink->is_busy = false;
		coop_pulse_send_all(&sink->written);
	}
}

/*
 * A terminal that we were given is open for others, too, in one mode for all: a write of ours that
 * must not wait would make a read of theirs end with EAGAIN. So it is opened once more.
 * (The other side of a terminal would be another one.) -1: that cannot be done.
 */
static int open_again(int fd)
{
	char path[32];
	unsigned number;

	if (!isatty(fd) || ioctl(fd, TIOCGPTN, &number) == 0)
		return -1;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

struct sink *sink_open(struct coop_group *group, int fd)
{
	struct sink *sink = calloc(1, sizeof *sink);
	int own = sink ? open_again(fd) : -1;

	if (!sink)
		return NULL;
	*sink = (struct sink){ .fd = own >= 0 ? own : fd,
			       .is_own = own >= 0,
			       .work = COOP_PULSE_INIT,
			       .written = COOP_PULSE_INIT };
	if (coop_spawn_with(group, sink_task, sink, &(struct coop_spawn_opts){ .name = "sink" },
			    NULL) < 0) {
		if (own >= 0)
			close(own);
		free(sink);
		return NULL;
	}
	return sink;
}

struct sink *sink_open_lines(struct coop_group *group, int fd)
{
	struct sink *sink = sink_open(group, fd);

	if (sink)
		sink->has_datagrams = true;
	return sink;
}

/* Room for so many more bytes; NULL, and an error for ever, without memory. */
static char *make_room(struct sink *sink, size_t size)
{
	struct buffer *b = &sink->filling;

	if (b->room - b->used < size) {
		size_t room = b->room ? b->room : SINK_MIN;
		char *bytes;

		while (room - b->used < size)
			room *= 2;
		bytes = realloc(b->bytes, room);
		if (!bytes) {
			sink->error = -ENOMEM;
			return NULL;
		}
		b->bytes = bytes;
		b->room = room;
	}
	return b->bytes + b->used;
}

void sink_put(struct sink *sink, const void *data, size_t size)
{
	bool is_lost = sink->error || (sink->has_datagrams && sink->filling.used >= SINK_FULL);
	char *to = is_lost || !size ? NULL : make_room(sink, size);

	if (!to)
		return;
	memcpy(to, data, size);
	sink->filling.used += size;
	coop_pulse_send(&sink->work);
}

void sink_printf(struct sink *sink, const char *format, ...)
{
	char text[1024];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	sink_put(sink, text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
}

static bool is_full(const struct sink *sink)
{
	return !sink->error && sink->filling.used >= SINK_FULL;
}

static bool is_pending(const struct sink *sink)
{
	return !sink->error && (sink->is_busy || sink->filling.used);
}

static int await_written(void *arg)
{
	struct sink *sink = arg;

	return coop_pulse_wait(&sink->written);
}

/* Looks every now and then whether there is still reason to wait: patience may come to an end. */
static int await_room(void *arg)
{
	struct sink *sink = arg;
	int r = 0;

	while (is_full(sink) && r >= 0) {
		r = coop_move_on_after(COOP_MILLISECONDS(200), await_written, sink);
		if (sink->patience_ns && coop_now() - sink->taken_ns >= sink->patience_ns) {
			sink->error = -ETIMEDOUT;
			coop_pulse_send_all(&sink->written);
		}
	}
	return r;
}

void sink_hurry(struct sink *sink, int64_t patience_ns)
{
	if (!sink)
		return;
	sink->patience_ns = patience_ns;
	sink->taken_ns = coop_now();
}

int sink_wait(struct sink *sink)
{
	int r = is_full(sink) ? coop_shield(await_room, sink) : 0;

	return sink->error ? sink->error : r;
}

int sink_wait_cancellable(struct sink *sink)
{
	return is_full(sink) ? await_room(sink) : 0;
}

void sink_flush(struct sink *sink, int64_t limit_ns)
{
	int r = 1;

	while (is_pending(sink) && r == 1) {
		struct coop_scope scope = COOP_SCOPE_INIT;
		struct coop_scope_opts opts = { .timeout_ns = limit_ns, .shield = true };

		coop_scope_open(&scope, &opts);
		r = coop_pulse_wait(&sink->written);
		r = coop_scope_close(&scope, r < 0 ? r : 1);
	}
}

int sink_error(const struct sink *sink)
{
	return sink->error;
}

void sink_free(struct sink *sink)
{
	if (!sink)
		return;
	if (sink->is_own)
		coop_close(sink->fd);
	free(sink->filling.bytes);
	free(sink->writing.bytes);
	free(sink);
}
