/* SPDX-License-Identifier: MIT */
/*
 * From one stream to another, and both ways between two.
 *
 * Two ways to carry the bytes. By splice, from descriptor to descriptor, through a pipe of our own
 * where neither is one; and by a buffer, for everything else, and from the moment when the kernel
 * says that these two cannot be spliced. A stream says with each piece whether its next byte comes
 * from its descriptor alone, so one with something buffered begins in the one way and
 * goes on in the other.
 *
 * Invariant: what has been received and not been sent is in flight, in the buffer or in the
 * pipe, at most so much. It is lost only where the copy is interrupted; `from` is broken then.
 */
#include "base/os.h"
#include "core/core.h"
#include "io/stream.h"
#include "io/world.h"

#include <coop/io.h>

#include <fcntl.h>

#define BUFFER_BYTES 65536
/* What is asked of one splice: the size of a pipe. */
#define SPLICE_BYTES 65536

struct copy {
	struct coop_stream *from, *to;
	uint64_t left; /* of the limit */
	uint64_t copied;
	size_t in_flight;
	char *buf;
	int pipe[2];    /* -1: none */
	bool no_splice; /* these two cannot */
};

static size_t next_bytes(const struct copy *c, size_t most)
{
	return c->left < most ? (size_t)c->left : most;
}

static int need_buffer(struct copy *c)
{
	if (!c->buf)
		c->buf = cp_alloc(BUFFER_BYTES);
	return c->buf ? 0 : -ENOMEM;
}

/* ----------------------------------------------------------------------- by a buffer */

static int send_buffered(struct copy *c, const char *data, size_t bytes)
{
	size_t done = 0;
	int r;

	c->in_flight = bytes;
	r = cp_stream_push(c->to, data, bytes, &done);
	c->in_flight -= done;
	c->copied += done;
	return r;
}

/* One piece: how many bytes, 0 at the end. */
static int copy_piece(struct copy *c)
{
	int n, r;

	r = need_buffer(c);
	if (r < 0)
		return cp_refuse(r);
	r = cp_stream_still_open(c->from);
	if (r < 0)
		return r;
	n = c->from->_ops->recv(c->from, c->buf, next_bytes(c, BUFFER_BYTES));
	if (n <= 0)
		return n;
	r = send_buffered(c, c->buf, (size_t)n);
	return r < 0 ? r : n;
}

/* ------------------------------------------------------------------------- by splice */

static int open_pipe(struct copy *c)
{
	struct cp_world *world = cp_world_of(cp_rt);

	return c->pipe[0] >= 0 ? 0 : world->ops->pipe(world, c->pipe);
}

static void close_pipe(struct copy *c)
{
	if (c->pipe[0] < 0)
		return;
	coop_close(c->pipe[0]);
	coop_close(c->pipe[1]);
	c->pipe[0] = c->pipe[1] = -1;
}

/* The kernel cannot splice to `to`, and the pipe has bytes for it. */
static int empty_pipe(struct copy *c)
{
	size_t left = c->in_flight;
	int r = need_buffer(c);

	while (r >= 0 && left) {
		r = coop_read(c->pipe[0], c->buf, left < BUFFER_BYTES ? left : BUFFER_BYTES);
		if (r <= 0)
			return r < 0 ? r : -EIO;
		left -= (size_t)r;
		r = send_buffered(c, c->buf, (size_t)r);
		c->in_flight += left;
	}
	return r;
}

static bool cannot_splice(int r)
{
	return r == -EINVAL || r == -ENOSYS || r == -ENOTSUP || r == -EPERM;
}

/* What is in the pipe goes to `fd`. */
static int splice_out(struct copy *c, int fd)
{
	while (c->in_flight) {
		int r = cp_stream_still_open(c->to);

		if (r >= 0)
			r = coop_splice(c->pipe[0], fd, c->in_flight, SPLICE_F_MOVE);
		if (cannot_splice(r)) {
			c->no_splice = true;
			return empty_pipe(c);
		}
		if (r <= 0)
			return r < 0 ? r : -EIO;
		c->in_flight -= (size_t)r;
		c->copied += (uint64_t)r;
	}
	return 0;
}

/* Can it be tried? Then *ret_in and *ret_out are what is spliced. */
static bool may_splice(struct copy *c, int *ret_in, int *ret_out)
{
	if (c->no_splice || (c->from->_flags | c->to->_flags) & CP_STREAM_NO_SPLICE)
		return false;
	*ret_in = coop_stream_fd(c->from, false);
	*ret_out = coop_stream_fd(c->to, true);
	return *ret_in >= 0 && *ret_out >= 0;
}

/* One piece: how many bytes, 0 at the end; -EAGAIN if it must be done by a buffer. */
static int splice_piece(struct copy *c)
{
	bool direct = (c->from->_flags | c->to->_flags) & CP_STREAM_PIPE;
	int in, out, n, r;

	if (!may_splice(c, &in, &out))
		return -EAGAIN;
	c->no_splice = !direct && open_pipe(c) < 0;
	if (c->no_splice)
		return -EAGAIN;
	n = coop_splice(in, direct ? out : c->pipe[1], next_bytes(c, SPLICE_BYTES), SPLICE_F_MOVE);
	c->no_splice = cannot_splice(n);
	if (c->no_splice)
		return -EAGAIN;
	if (n <= 0)
		return n;
	if (direct) {
		c->copied += (uint64_t)n;
		return n;
	}
	c->in_flight = (size_t)n;
	r = splice_out(c, out);
	return r < 0 ? r : n;
}

/* ---------------------------------------------------------------------------- one way */

static int copy_all(struct copy *c)
{
	while (c->left) {
		int n = splice_piece(c);

		if (n == -EAGAIN)
			n = copy_piece(c);
		if (n <= 0)
			return n;
		c->left -= (uint64_t)n;
	}
	return 0;
}

static int enter(struct copy *c)
{
	int r = cp_stream_enter_recv(c->from);

	if (r < 0)
		return r;
	r = cp_stream_enter_send(c->to);
	if (r < 0)
		c->from->_flags &= ~(uint32_t)CP_STREAM_RECV_BUSY;
	return r;
}

static void leave(struct copy *c)
{
	close_pipe(c);
	cp_free(c->buf);
	c->from->_flags &= ~(uint32_t)CP_STREAM_RECV_BUSY;
	c->to->_flags &= ~(uint32_t)CP_STREAM_SEND_BUSY;
	if (c->in_flight)
		c->from->_flags |= CP_STREAM_RECV_BROKEN;
}

int coop_stream_copy(struct coop_stream *from, struct coop_stream *to, uint64_t limit,
		     uint64_t *copied)
{
	struct copy c = { .from = from, .to = to, .left = limit, .pipe = { -1, -1 } };
	int r = enter(&c);

	if (r >= 0) {
		r = limit ? copy_all(&c) : cp_refuse(0);
		leave(&c);
	} else {
		r = cp_refuse(r);
	}
	if (copied)
		*copied = c.copied;
	else if (r < 0 && c.copied)
		to->_flags |= CP_STREAM_SEND_BROKEN;
	return r;
}

/* ---------------------------------------------------------------------------- both ways */

struct direction {
	struct coop_stream *from, *to;
	struct coop_group *relay;
	uint64_t copied;
};

static int direction(void *arg)
{
	struct direction *d = arg;
	int r = coop_stream_copy(d->from, d->to, COOP_UNTIL_END, &d->copied);

	if (r >= 0)
		r = coop_stream_send_eof(d->to);
	if (r == -ENOTCONN)
		return 0; /* the whole connection is gone: if by an error, the other way tells */
	if (r != -ENOTSUP)
		return r;
	/* Nobody over there can be told of this end, and of nothing else would it hear. */
	coop_group_cancel(d->relay, "one side has ended");
	return 0;
}

int coop_relay_at(struct coop_stream *a, struct coop_stream *b, uint64_t counts[2],
		  const char *site)
{
	struct coop_group_opts opts = { .name = "relay" };
	struct coop_group g = COOP_GROUP_INIT;
	struct direction there = { .from = a, .to = b, .relay = &g };
	struct direction back = { .from = b, .to = a, .relay = &g };
	int r = coop_group_open_at(&g, &opts, site);

	if (r >= 0)
		r = coop_spawn(&g, direction, &there);
	if (r >= 0)
		r = coop_spawn(&g, direction, &back);
	r = coop_group_join(&g, r);
	if (counts) {
		counts[0] = there.copied;
		counts[1] = back.copied;
	}
	return r;
}
