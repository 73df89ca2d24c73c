/* SPDX-License-Identifier: MIT */
/*
 * Readers: a buffer in front of a stream, in which lines and other pieces are looked for.
 *
 * Invariants
 *   1. buf[start, end) was received and not consumed; start <= end <= size <= max.
 *   2. A call that does not return success has consumed nothing: it may have received more, which
 *      is behind what was there. So one that was cancelled can be made again.
 *   3. Bytes are moved to the front of the buffer only by a call that has to receive more: what was
 *      handed out before lies still until then.
 *
 * A buffer of the reader's own begins small and doubles as far as the limit goes, so that a
 * connection that sends short lines costs little, however long a line may be.
 */
#include "base/os.h"
#include "io/stream.h"

#include <string.h>

#define FIRST_BYTES 1024

enum {
	READER_BUSY = 1,
	READER_OWN = 2, /* its buffer is from the heap */
};

void coop_reader_init(struct coop_reader *rd, struct coop_stream *s, void *buf, size_t bytes)
{
	if (!buf && !bytes)
		bytes = COOP_BUFFER_DEFAULT;
	*rd = (struct coop_reader){ ._stream = s,
				    ._buf = buf,
				    ._size = buf ? bytes : 0,
				    ._max = bytes,
				    ._flags = buf ? 0 : READER_OWN };
}

void coop_reader_deinit(struct coop_reader *rd)
{
	if (!rd)
		return;
	if (rd->_flags & READER_OWN)
		cp_free(rd->_buf);
	*rd = (struct coop_reader)COOP_READER_INIT;
}

static int enter(struct coop_reader *rd)
{
	if (!rd->_stream)
		return COOP_ENOTOPEN;
	if (!rd->_max || rd->_max > COOP_BUFFER_MAX)
		return -EINVAL;
	if (rd->_flags & READER_BUSY)
		return -EBUSY;
	rd->_flags |= READER_BUSY;
	return 0;
}

static int leave(struct coop_reader *rd, int r)
{
	rd->_flags &= ~(uint32_t)READER_BUSY;
	return r;
}

static size_t buffered(const struct coop_reader *rd)
{
	return rd->_end - rd->_start;
}

static int grow(struct coop_reader *rd)
{
	size_t size = rd->_size ? rd->_size * 2 : FIRST_BYTES;
	char *buf;

	if (size > rd->_max)
		size = rd->_max;
	buf = cp_realloc(rd->_buf, size);
	if (!buf)
		return -ENOMEM;
	rd->_buf = buf;
	rd->_size = size;
	return 0;
}

/* Makes room behind what is buffered: -EMSGSIZE where the limit is reached. */
static int make_room(struct coop_reader *rd)
{
	if (rd->_start) {
		memmove(rd->_buf, rd->_buf + rd->_start, buffered(rd));
		rd->_end -= rd->_start;
		rd->_start = 0;
	}
	if (rd->_end < rd->_size)
		return 0;
	return rd->_size < rd->_max ? grow(rd) : -EMSGSIZE;
}

/* Receives some more; the checkpoint of every call that has to wait. */
static int fill(struct coop_reader *rd)
{
	int r = 0;

	if (rd->_end == rd->_size || rd->_start == rd->_end)
		r = make_room(rd);
	if (r < 0)
		return cp_refuse(r);
	r = coop_stream_recv(rd->_stream, rd->_buf + rd->_end, rd->_size - rd->_end);
	if (r > 0)
		rd->_end += (size_t)r;
	return r == 0 ? COOP_EOF : r;
}

/* Until `bytes` are buffered. A checkpoint. */
static int need(struct coop_reader *rd, size_t bytes)
{
	int r;

	if (bytes > rd->_max)
		return cp_refuse(-EMSGSIZE);
	if (buffered(rd) >= bytes)
		return cp_refuse(0);
	do
		r = fill(rd);
	while (r >= 0 && buffered(rd) < bytes);
	return r;
}

static void consume(struct coop_reader *rd, size_t bytes)
{
	rd->_start += bytes;
	if (rd->_start == rd->_end)
		rd->_start = rd->_end = 0;
}

/* ------------------------------------------------------------------------------ plain */

static int take_some(struct coop_reader *rd, void *buf, size_t bytes)
{
	size_t n = buffered(rd) < bytes ? buffered(rd) : bytes;
	int r;

	if (!n) /* past the buffer, in which nothing would be looked for */
		return coop_stream_recv(rd->_stream, buf, bytes);
	n = cp_transfer(n);
	r = cp_refuse((int)n);
	if (r < 0)
		return r;
	memcpy(buf, rd->_buf + rd->_start, n);
	consume(rd, n);
	return r;
}

int coop_reader_recv(struct coop_reader *rd, void *buf, size_t bytes)
{
	int r = enter(rd);

	return r < 0 ? cp_refuse(r) : leave(rd, take_some(rd, buf, bytes));
}

int coop_reader_exactly(struct coop_reader *rd, void *buf, size_t bytes)
{
	int r = enter(rd);

	if (r < 0)
		return cp_refuse(r);
	r = leave(rd, need(rd, bytes));
	if (r < 0)
		return r;
	if (bytes)
		memcpy(buf, rd->_buf + rd->_start, bytes);
	consume(rd, bytes);
	return 0;
}

int coop_reader_peek(struct coop_reader *rd, size_t bytes, char **ret_data)
{
	int r = enter(rd);

	if (r < 0)
		return cp_refuse(r);
	r = leave(rd, need(rd, bytes));
	if (r < 0)
		return r;
	*ret_data = buffered(rd) ? rd->_buf + rd->_start : rd->_buf;
	return (int)buffered(rd);
}

int coop_reader_consume(struct coop_reader *rd, size_t bytes)
{
	if (rd->_flags & READER_BUSY)
		return -EBUSY;
	if (bytes > buffered(rd))
		return -EINVAL;
	consume(rd, bytes);
	return 0;
}

/* ----------------------------------------------------------------------------- pieces */

/* Where the next delimiter begins, counted from the start; what is before `seen` is known. */
static bool find(const struct coop_reader *rd, const void *delim, size_t delim_bytes, size_t seen,
		 size_t *ret_at)
{
	const char *from, *at;

	if (buffered(rd) - seen < delim_bytes)
		return false; /* there may be no buffer yet */
	from = rd->_buf + rd->_start + seen;
	at = delim_bytes == 1 ? memchr(from, *(const unsigned char *)delim, buffered(rd) - seen)
			      : memmem(from, buffered(rd) - seen, delim, delim_bytes);
	if (at)
		*ret_at = (size_t)(at - rd->_buf) - rd->_start;
	return at != NULL;
}

/* Until a delimiter is buffered: the length of what is before it. A checkpoint. */
static int look_for(struct coop_reader *rd, const void *delim, size_t delim_bytes)
{
	size_t seen = 0, at;
	int r;

	if (!delim_bytes)
		return cp_refuse(-EINVAL);
	if (find(rd, delim, delim_bytes, 0, &at))
		return cp_refuse((int)at);
	do {
		if (buffered(rd) >= delim_bytes) /* a delimiter may lie half in what there is */
			seen = buffered(rd) - (delim_bytes - 1);
		r = fill(rd);
		if (r < 0)
			return r;
	} while (!find(rd, delim, delim_bytes, seen, &at));
	return (int)at;
}

static int until(struct coop_reader *rd, const void *delim, size_t delim_bytes)
{
	int r = enter(rd);

	return r < 0 ? cp_refuse(r) : leave(rd, look_for(rd, delim, delim_bytes));
}

/* The piece of `bytes` bytes goes out, with a NUL in the place of its delimiter. */
static char *hand_out(struct coop_reader *rd, size_t bytes, size_t delim_bytes)
{
	char *piece = rd->_buf + rd->_start;

	piece[bytes] = '\0';
	rd->_start += bytes + delim_bytes;
	return piece;
}

int coop_reader_until(struct coop_reader *rd, const void *delim, size_t delim_bytes,
		      char **ret_data)
{
	int r = until(rd, delim, delim_bytes);

	if (r >= 0)
		*ret_data = hand_out(rd, (size_t)r, delim_bytes);
	return r;
}

int coop_reader_line(struct coop_reader *rd, char **ret_line)
{
	int r = until(rd, "\n", 1);
	char *line;

	if (r < 0)
		return r;
	line = hand_out(rd, (size_t)r, 1);
	if (r > 0 && line[r - 1] == '\r')
		line[--r] = '\0';
	*ret_line = line;
	return r;
}

/* -------------------------------------------------------------- a stream with a reader */

static struct coop_reader *reader_of(const struct coop_stream *s)
{
	return s->ctx;
}

static int reader_recv(struct coop_stream *s, void *buf, size_t bytes)
{
	return coop_reader_recv(reader_of(s), buf, bytes);
}

static int reader_send(struct coop_stream *s, const void *buf, size_t bytes)
{
	struct coop_stream *to = reader_of(s)->_stream;
	size_t sent;
	int r = coop_stream_send_all(to, buf, bytes, &sent);

	return sent ? (int)sent : r;
}

static int reader_sendv(struct coop_stream *s, const struct iovec *iov, int count)
{
	size_t sent;
	int r = coop_stream_send_all_v(reader_of(s)->_stream, iov, count, &sent);

	return sent ? (int)sent : r;
}

static int reader_send_eof(struct coop_stream *s)
{
	return coop_stream_send_eof(reader_of(s)->_stream);
}

static int reader_finish(struct coop_stream *s)
{
	return coop_stream_close(reader_of(s)->_stream);
}

static void reader_release(struct coop_stream *s, bool abort)
{
	if (abort)
		coop_stream_abort(reader_of(s)->_stream);
	else
		coop_stream_close(reader_of(s)->_stream); /* where there was no goodbye */
}

static int reader_fd(const struct coop_stream *s, bool sending)
{
	struct coop_reader *rd = reader_of(s);

	return !sending && buffered(rd) ? -ENOTSUP : coop_stream_fd(rd->_stream, sending);
}

static const struct coop_stream_ops reader_ops = {
	.name = "reader",
	.recv = reader_recv,
	.send = reader_send,
	.sendv = reader_sendv,
	.send_eof = reader_send_eof,
	.finish = reader_finish,
	.release = reader_release,
	.fd = reader_fd,
};

void coop_reader_stream(struct coop_reader *rd, struct coop_stream *ret_stream)
{
	coop_stream_init(ret_stream, &reader_ops, rd);
	ret_stream->_flags |=
		rd->_stream->_flags & (CP_STREAM_NO_RECV | CP_STREAM_NO_SEND | CP_STREAM_NO_SPLICE);
}
