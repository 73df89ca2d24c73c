/* SPDX-License-Identifier: MIT */
/*
 * A stream from the inside: the states of its two directions.
 *
 * Invariants
 *   1. CP_STREAM_OPEN is set from the making of a stream until it is closed, and only then do its
 *      operations get called; `release` once.
 *   2. A direction's BUSY bit is set while a call of that direction is going on, from before its
 *      first operation until after its last, also while it gives way between two transfers. So a
 *      piece is never torn by another one, whatever carries it.
 *   3. A direction that was interrupted in the middle of a piece, with nobody knowing where, has
 *      its BROKEN bit set for good.
 */
#ifndef CP_STREAM_H
#define CP_STREAM_H

#include "base/base.h"
#include "core/core.h"

#include <coop/error.h>
#include <coop/stream.h>

#include <errno.h>

enum {
	CP_STREAM_OPEN = 1,
	CP_STREAM_CLOSED = 2,
	CP_STREAM_RECV_BUSY = 4,
	CP_STREAM_SEND_BUSY = 8,
	CP_STREAM_RECV_BROKEN = 16,
	CP_STREAM_SEND_BROKEN = 32,
	CP_STREAM_SEND_ENDED = 64, /* by coop_stream_send_eof */
	CP_STREAM_NO_RECV = 128,   /* it has no such direction */
	CP_STREAM_NO_SEND = 256,
	/* of a descriptor */
	CP_STREAM_SOCKET = 512,
	CP_STREAM_PIPE = 1024,
	CP_STREAM_PTY = 2048, /* a master: EIO is its end */
	/*
	 * Splicing would put its file into non-blocking mode, which is shared with whoever else
	 * has it: with the shell that gave us standard output, say.
	 */
	CP_STREAM_NO_SPLICE = 4096,
};

/* The most bytes of one transfer: what an int result holds, and what the kernel takes. */
#define CP_TRANSFER_MAX ((size_t)0x7ffff000)

CP_INLINE size_t cp_transfer(size_t bytes)
{
	return bytes < CP_TRANSFER_MAX ? bytes : CP_TRANSFER_MAX;
}

/* A stream of a descriptor whose kind is known: CP_STREAM_SOCKET and so on. */
void cp_stream_fill_fd(struct coop_stream *s, int fd, uint32_t flags);

int cp_stream_why_no_recv(const struct coop_stream *s);
int cp_stream_why_no_send(const struct coop_stream *s);

/* These set the direction's bit, or say why it cannot be used: a code for cp_refuse. */
CP_INLINE int cp_stream_enter_recv(struct coop_stream *s)
{
	const uint32_t bad = CP_STREAM_RECV_BUSY | CP_STREAM_RECV_BROKEN | CP_STREAM_NO_RECV;

	if (CP_UNLIKELY((s->_flags & (CP_STREAM_OPEN | bad)) != CP_STREAM_OPEN))
		return cp_stream_why_no_recv(s);
	s->_flags |= CP_STREAM_RECV_BUSY;
	return 0;
}

CP_INLINE int cp_stream_enter_send(struct coop_stream *s)
{
	const uint32_t bad = CP_STREAM_SEND_BUSY | CP_STREAM_SEND_BROKEN | CP_STREAM_SEND_ENDED |
			     CP_STREAM_NO_SEND;

	if (CP_UNLIKELY((s->_flags & (CP_STREAM_OPEN | bad)) != CP_STREAM_OPEN))
		return cp_stream_why_no_send(s);
	s->_flags |= CP_STREAM_SEND_BUSY;
	return 0;
}

/* Another task may have closed it between two transfers. */
CP_INLINE int cp_stream_still_open(const struct coop_stream *s)
{
	return CP_LIKELY(s->_flags & CP_STREAM_OPEN) ? 0 : COOP_ECLOSED;
}

/* Sends all of it, with the direction's bit set by the caller; *done is added to. */
int cp_stream_push(struct coop_stream *s, const char *data, size_t bytes, size_t *done);
int cp_stream_push_v(struct coop_stream *s, const struct iovec *iov, int count, size_t *done);

#endif
