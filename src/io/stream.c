/* SPDX-License-Identifier: MIT */
/*
 * Streams, whatever carries them: who may use a direction, pieces made of several transfers, ends.
 *
 * A stream's own operations make one transfer each and are checkpoints. Everything else is here,
 * once: each direction has one user at a time, and is not left in the middle of a piece with
 * nobody knowing where. The states are in stream.h.
 */
#include "io/stream.h"

#include <coop/scope.h>
#include <coop/task.h>

#include <string.h>

/* Pieces of one sendv; more are sent in turns. */
#define BATCH 16

/* -------------------------------------------------------------------- who may use it */

static int why_not_open(const struct coop_stream *s)
{
	return s->_flags & CP_STREAM_CLOSED ? COOP_ECLOSED : COOP_ENOTOPEN;
}

CP_COLD int cp_stream_why_no_recv(const struct coop_stream *s)
{
	if (!(s->_flags & CP_STREAM_OPEN))
		return why_not_open(s);
	if (s->_flags & CP_STREAM_NO_RECV)
		return -EPERM;
	return s->_flags & CP_STREAM_RECV_BUSY ? -EBUSY : COOP_EBROKEN;
}

CP_COLD int cp_stream_why_no_send(const struct coop_stream *s)
{
	if (!(s->_flags & CP_STREAM_OPEN))
		return why_not_open(s);
	if (s->_flags & CP_STREAM_NO_SEND)
		return -EPERM;
	if (s->_flags & CP_STREAM_SEND_BUSY)
		return -EBUSY;
	return s->_flags & CP_STREAM_SEND_BROKEN ? COOP_EBROKEN : COOP_ECLOSED;
}

void coop_stream_init(struct coop_stream *s, const struct coop_stream_ops *ops, void *ctx)
{
	uint32_t cannot = (ops->recv ? 0 : CP_STREAM_NO_RECV) | (ops->send ? 0 : CP_STREAM_NO_SEND);

	*s = (struct coop_stream){
		._ops = ops, .ctx = ctx, ._fd = -1, ._flags = CP_STREAM_OPEN | cannot
	};
}

/* ------------------------------------------------------------------------- receiving */

int coop_stream_recv(struct coop_stream *s, void *buf, size_t bytes)
{
	int r = CP_LIKELY(bytes > 0) ? cp_stream_enter_recv(s) : -EINVAL;

	if (CP_UNLIKELY(r < 0))
		return cp_refuse(r);
	r = s->_ops->recv(s, buf, cp_transfer(bytes));
	s->_flags &= ~(uint32_t)CP_STREAM_RECV_BUSY;
	return r;
}

static int pull(struct coop_stream *s, char *buf, size_t bytes, size_t *done)
{
	while (*done < bytes) {
		int r = cp_stream_still_open(s);

		if (r >= 0)
			r = s->_ops->recv(s, buf + *done, cp_transfer(bytes - *done));
		if (r < 0)
			return r;
		if (r == 0)
			return COOP_EOF;
		CP_ASSERT((size_t)r <= bytes - *done);
		*done += (size_t)r;
	}
	return 0;
}

int coop_stream_recv_exactly(struct coop_stream *s, void *buf, size_t bytes, size_t *received)
{
	size_t done = 0;
	int r = cp_stream_enter_recv(s);

	if (CP_LIKELY(r >= 0)) {
		r = CP_LIKELY(bytes > 0) ? pull(s, buf, bytes, &done) : cp_refuse(0);
		s->_flags &= ~(uint32_t)CP_STREAM_RECV_BUSY;
	} else {
		r = cp_refuse(r);
	}
	if (received)
		*received = done;
	else if (CP_UNLIKELY(r < 0 && done && r != COOP_EOF))
		s->_flags |= CP_STREAM_RECV_BROKEN;
	return r;
}

/* --------------------------------------------------------------------------- sending */

/* What an operation said it has sent. None at all would be asked for again for ever. */
static int sent_some(int r)
{
	return CP_LIKELY(r != 0) ? r : -EIO;
}

int cp_stream_push(struct coop_stream *s, const char *data, size_t bytes, size_t *done)
{
	size_t at = 0;

	while (at < bytes) {
		int r = cp_stream_still_open(s);

		if (r >= 0)
			r = sent_some(s->_ops->send(s, data + at, cp_transfer(bytes - at)));
		if (r < 0)
			return r;
		CP_ASSERT((size_t)r <= bytes - at);
		at += (size_t)r;
		*done += (size_t)r;
	}
	return 0;
}

/* The outcome of a call that has sent `done` bytes of a piece. */
static int sent(struct coop_stream *s, int r, size_t done, size_t *ret_done)
{
	if (ret_done)
		*ret_done = done;
	else if (CP_UNLIKELY(r < 0 && done))
		s->_flags |= CP_STREAM_SEND_BROKEN;
	return r;
}

int coop_stream_send_all(struct coop_stream *s, const void *buf, size_t bytes, size_t *ret_sent)
{
	size_t done = 0;
	int r = cp_stream_enter_send(s);

	if (CP_UNLIKELY(r < 0))
		return sent(s, cp_refuse(r), 0, ret_sent);
	r = CP_LIKELY(bytes > 0) ? cp_stream_push(s, buf, bytes, &done) : cp_refuse(0);
	s->_flags &= ~(uint32_t)CP_STREAM_SEND_BUSY;
	return sent(s, r, done, ret_sent);
}

/* Copies what is not sent yet of the pieces from *at on, `skip` bytes into it; empty ones go. */
static int gather(struct iovec *batch, const struct iovec *iov, int count, size_t skip)
{
	size_t sum = 0;
	int n = 0;

	for (int i = 0; i < count && n < BATCH && sum < CP_TRANSFER_MAX; i++, skip = 0) {
		size_t bytes = iov[i].iov_len - skip;

		if (bytes > CP_TRANSFER_MAX - sum)
			bytes = CP_TRANSFER_MAX - sum;
		if (!bytes)
			continue;
		batch[n].iov_base = (char *)iov[i].iov_base + skip;
		batch[n++].iov_len = bytes;
		sum += bytes;
	}
	return n;
}

static int send_batch(struct coop_stream *s, const struct iovec *batch, int n)
{
	int r = cp_stream_still_open(s);

	if (r < 0)
		return r;
	r = s->_ops->sendv ? s->_ops->sendv(s, batch, n)
			   : s->_ops->send(s, batch[0].iov_base, batch[0].iov_len);
	return sent_some(r);
}

int cp_stream_push_v(struct coop_stream *s, const struct iovec *iov, int count, size_t *done)
{
	struct iovec batch[BATCH];
	size_t skip = 0; /* bytes of the first piece that have been sent */

	for (;;) {
		int n = gather(batch, iov, count, skip), r;

		if (!n)
			return 0;
		r = send_batch(s, batch, n);
		if (r < 0)
			return r;
		*done += (size_t)r;
		for (skip += (size_t)r; count && skip >= iov->iov_len; iov++, count--)
			skip -= iov->iov_len;
		CP_ASSERT(count || !skip);
	}
}

/* The bytes in all, or -EINVAL. */
static ssize_t sum_of(const struct iovec *iov, int count)
{
	ssize_t sum = 0;

	if (count < 0)
		return -EINVAL;
	for (int i = 0; i < count; i++)
		if (__builtin_add_overflow(sum, iov[i].iov_len, &sum))
			return -EINVAL;
	return sum;
}

int coop_stream_send_all_v(struct coop_stream *s, const struct iovec *iov, int count,
			   size_t *ret_sent)
{
	ssize_t sum = sum_of(iov, count);
	size_t done = 0;
	int r = sum < 0 ? (int)sum : cp_stream_enter_send(s);

	if (CP_UNLIKELY(r < 0))
		return sent(s, cp_refuse(r), 0, ret_sent);
	r = CP_LIKELY(sum > 0) ? cp_stream_push_v(s, iov, count, &done) : cp_refuse(0);
	s->_flags &= ~(uint32_t)CP_STREAM_SEND_BUSY;
	return sent(s, r, done, ret_sent);
}

/* --------------------------------------------------------------------------- the end */

int coop_stream_send_eof(struct coop_stream *s)
{
	const uint32_t both = CP_STREAM_OPEN | CP_STREAM_SEND_ENDED;
	int r;

	if ((s->_flags & both) == both)
		return cp_refuse(0);
	r = cp_stream_enter_send(s); /* a piece that was cut off must not look like a whole one */
	if (r < 0)
		return cp_refuse(r);
	if (!s->_ops->send_eof) {
		s->_flags &= ~(uint32_t)CP_STREAM_SEND_BUSY;
		return cp_refuse(-ENOTSUP);
	}
	r = s->_ops->send_eof(s);
	s->_flags &= ~(uint32_t)CP_STREAM_SEND_BUSY;
	if (r >= 0)
		s->_flags |= CP_STREAM_SEND_ENDED;
	return r;
}

/* A goodbye has its time, and under a cancel what is left of the grace. */
static int finish(struct coop_stream *s)
{
	struct coop_scope_opts opts = { .name = "goodbye",
					.timeout_ns = COOP_STREAM_FINISH_NS,
					.soft_shield_ns = COOP_STREAM_FINISH_NS,
					.fail_on_timeout = true };
	struct coop_scope scope = COOP_SCOPE_INIT;
	int r = coop_scope_open(&scope, &opts);

	if (r < 0)
		return 0; /* outside of tasks nothing can be waited for */
	return coop_scope_close(&scope, s->_ops->finish(s));
}

static int end(struct coop_stream *s, bool abort)
{
	bool sending;
	int r = 0;

	if (!s || !(s->_flags & CP_STREAM_OPEN))
		return 1;
	sending = s->_flags & CP_STREAM_SEND_BUSY;
	s->_flags ^= CP_STREAM_OPEN | CP_STREAM_CLOSED;
	/* In the middle of what another task is sending there is no place for a goodbye. */
	if (!abort && s->_ops->finish && !sending)
		r = finish(s);
	s->_ops->release(s, abort);
	return r < 0 ? r : 0;
}

int coop_stream_close(struct coop_stream *s)
{
	return end(s, false);
}

int coop_stream_abort(struct coop_stream *s)
{
	return end(s, true);
}

int coop_stream_fd(const struct coop_stream *s, bool sending)
{
	if (!(s->_flags & CP_STREAM_OPEN))
		return why_not_open(s);
	if (s->_flags & (sending ? CP_STREAM_NO_SEND : CP_STREAM_NO_RECV))
		return -EPERM;
	return s->_ops->fd ? s->_ops->fd(s, sending) : -ENOTSUP;
}
