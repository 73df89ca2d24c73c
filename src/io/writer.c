/* SPDX-License-Identifier: MIT */
/*
 * Writers: a buffer in front of a stream that gathers small pieces.
 *
 * Invariants
 *   1. buf[start, end) was taken and not sent; start <= end <= size.
 *   2. A piece is in the buffer as a whole, or was sent, or was refused as a whole. The one
 *      exception is a piece larger than the buffer that is interrupted: the stream is broken then.
 *   3. What was sent has left the buffer, also where a flush was interrupted: the next one goes on.
 */
#include "base/os.h"
#include "io/stream.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	WRITER_BUSY = 1,
	WRITER_OWN = 2, /* its buffer is from the heap, taken at the first use */
};

void coop_writer_init(struct coop_writer *w, struct coop_stream *s, void *buf, size_t bytes)
{
	if (!buf && !bytes)
		bytes = COOP_BUFFER_DEFAULT;
	*w = (struct coop_writer){
		._stream = s, ._buf = buf, ._size = bytes, ._flags = buf ? 0 : WRITER_OWN
	};
}

static size_t buffered(const struct coop_writer *w)
{
	return w->_end - w->_start;
}

size_t coop_writer_deinit(struct coop_writer *w)
{
	size_t dropped;

	if (!w)
		return 0;
	dropped = buffered(w);
	if (w->_flags & WRITER_OWN)
		cp_free(w->_buf);
	*w = (struct coop_writer)COOP_WRITER_INIT;
	return dropped;
}

static int enter(struct coop_writer *w)
{
	if (!w->_stream)
		return COOP_ENOTOPEN;
	if (!w->_size || w->_size > COOP_BUFFER_MAX)
		return -EINVAL;
	if (w->_flags & WRITER_BUSY)
		return -EBUSY;
	if (!w->_buf)
		w->_buf = cp_alloc(w->_size);
	if (!w->_buf)
		return -ENOMEM;
	w->_flags |= WRITER_BUSY;
	return 0;
}

static int leave(struct coop_writer *w, int r)
{
	w->_flags &= ~(uint32_t)WRITER_BUSY;
	return r;
}

static void was_sent(struct coop_writer *w, size_t bytes)
{
	w->_start += bytes;
	if (w->_start == w->_end)
		w->_start = w->_end = 0;
}

/* A checkpoint, with something to send or without. */
static int flush(struct coop_writer *w)
{
	size_t sent;
	int r = coop_stream_send_all(w->_stream, w->_buf + w->_start, buffered(w), &sent);

	was_sent(w, sent);
	return r;
}

/* More than the buffer holds: it goes out behind what is buffered, without being copied. */
static int send_large(struct coop_writer *w, const void *data, size_t bytes)
{
	struct iovec both[] = {
		{ .iov_base = w->_buf + w->_start, .iov_len = buffered(w) },
		{ .iov_base = (void *)(uintptr_t)data, .iov_len = bytes },
	};
	size_t sent, before = buffered(w);
	int r = coop_stream_send_all_v(w->_stream, both, 2, &sent);

	was_sent(w, sent < before ? sent : before);
	if (r < 0 && sent > before)
		w->_stream->_flags |= CP_STREAM_SEND_BROKEN;
	return r;
}

static int put(struct coop_writer *w, const void *data, size_t bytes)
{
	int r;

	if (bytes > w->_size)
		return send_large(w, data, bytes);
	r = bytes > w->_size - w->_end ? flush(w) : cp_refuse(0);
	if (r < 0)
		return r;
	if (bytes)
		memcpy(w->_buf + w->_end, data, bytes);
	w->_end += bytes;
	return 0;
}

int coop_writer_write(struct coop_writer *w, const void *data, size_t bytes)
{
	int r = enter(w);

	return r < 0 ? cp_refuse(r) : leave(w, put(w, data, bytes));
}

/* Makes the text in `buf`, cut at `room`: its length. */
static int format_text(char *buf, size_t room, const char *format, va_list args)
{
	va_list copy;
	int n;

	va_copy(copy, args);
	errno = 0;
	n = vsnprintf(buf, room, format, copy);
	va_end(copy);
	if (n < 0)
		return errno == ENOMEM ? -ENOMEM : -EILSEQ;
	return n;
}

/* vsnprintf ends a text with a NUL, which must have room, too. */
static bool has_room(const struct coop_writer *w, int n)
{
	return (size_t)n < w->_size - w->_end;
}

/* Measured first, so that a call that is cancelled has not touched the buffer. */
static int put_text(struct coop_writer *w, const char *format, va_list args)
{
	int n = format_text(NULL, 0, format, args), r;

	if (n >= 0 && (size_t)n >= w->_size)
		n = -EMSGSIZE;
	if (n < 0)
		return cp_refuse(n);
	r = has_room(w, n) ? cp_refuse(0) : flush(w);
	if (r < 0)
		return r;
	n = format_text(w->_buf + w->_end, w->_size - w->_end, format, args);
	if (n >= 0 && !has_room(w, n))
		n = -EMSGSIZE; /* the arguments have changed meanwhile */
	if (n < 0)
		return n;
	w->_end += (size_t)n;
	return 0;
}

int coop_writer_printf(struct coop_writer *w, const char *format, ...)
{
	int r = enter(w);
	va_list args;

	if (r < 0)
		return cp_refuse(r);
	va_start(args, format);
	r = leave(w, put_text(w, format, args));
	va_end(args);
	return r;
}

int coop_writer_flush(struct coop_writer *w)
{
	int r = enter(w);

	return r < 0 ? cp_refuse(r) : leave(w, flush(w));
}
