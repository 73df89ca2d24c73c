/* SPDX-License-Identifier: MIT */
/*
 * Streams of descriptors, pipes, and two halves as one stream.
 *
 * Which call carries the bytes is decided when the stream is made. What is specific to a kind of
 * file stays here: a pipe is half-closed by closing it, the master of a pseudo terminal says EIO
 * where others say 0.
 */
#include "base/os.h"
#include "core/core.h"
#include "io/stream.h"
#include "io/world.h"

#include <coop/io.h>

/* ----------------------------------------------------------------------- descriptors */

static int fd_recv(struct coop_stream *s, void *buf, size_t bytes)
{
	int r;

	if (s->_flags & CP_STREAM_SOCKET)
		return coop_recv(s->_fd, buf, bytes, 0);
	r = coop_read(s->_fd, buf, bytes);
	return r == -EIO && s->_flags & CP_STREAM_PTY ? 0 : r;
}

static int fd_send(struct coop_stream *s, const void *buf, size_t bytes)
{
	if (s->_flags & CP_STREAM_SOCKET)
		return coop_send(s->_fd, buf, bytes, 0);
	return coop_write(s->_fd, buf, bytes);
}

static int fd_sendv(struct coop_stream *s, const struct iovec *iov, int count)
{
	return coop_writev(s->_fd, iov, count);
}

static void close_fd(int fd)
{
	int r = coop_close(fd);

	/* After the run nobody waits on it; in a forked child it is a copy. */
	if (r == COOP_ENOTASK || r == COOP_EFORK)
		cp_os_close(fd);
}

static int fd_send_eof(struct coop_stream *s)
{
	struct cp_world *world = cp_world_of(cp_rt);
	int r;

	/* A pipe's writing end has no other use, so that it can be closed. */
	if (!(s->_flags & CP_STREAM_SOCKET) && (s->_flags & (CP_STREAM_PIPE | CP_STREAM_NO_RECV)) !=
						       (CP_STREAM_PIPE | CP_STREAM_NO_RECV))
		return cp_refuse(-ENOTSUP);
	r = cp_refuse(0);
	if (r >= 0) /* whoever ran meanwhile may have closed it */
		r = cp_stream_still_open(s);
	if (r < 0)
		return r;
	if (s->_flags & CP_STREAM_SOCKET)
		return world->ops->shutdown(world, s->_fd, SHUT_WR);
	close_fd(s->_fd);
	s->_fd = -1;
	return 0;
}

/* A connection that does not linger ends with a reset. */
static void reset(struct coop_stream *s)
{
	const struct linger none = { .l_onoff = 1, .l_linger = 0 };
	struct cp_world *world = cp_world_of(cp_rt);

	if (s->_flags & CP_STREAM_SOCKET)
		world->ops->setsockopt(world, s->_fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

static void fd_release(struct coop_stream *s, bool abort)
{
	int fd = s->_fd;

	if (fd < 0)
		return;
	if (abort)
		reset(s);
	s->_fd = -1;
	close_fd(fd);
}

static int fd_fd(const struct coop_stream *s, bool sending)
{
	(void)sending;
	return s->_fd >= 0 ? s->_fd : COOP_ECLOSED;
}

static const struct coop_stream_ops fd_ops = {
	.name = "fd",
	.recv = fd_recv,
	.send = fd_send,
	.sendv = fd_sendv,
	.send_eof = fd_send_eof,
	.release = fd_release,
	.fd = fd_fd,
};

void cp_stream_fill_fd(struct coop_stream *s, int fd, uint32_t flags)
{
	coop_stream_init(s, &fd_ops, NULL);
	s->_fd = fd;
	s->_flags |= flags;
}

/* A socket of the run's world, which may be none of the system's? 0, 1 or -errno. */
static int is_socket(int fd)
{
	struct cp_world *world = cp_world_of(cp_rt);
	socklen_t bytes = sizeof(int);
	int type, r;

	r = world->ops->getsockopt(world, fd, SOL_SOCKET, SO_TYPE, &type, &bytes);
	if (r == -ENOTSOCK || r == -EBADF)
		return 0;
	return r < 0 ? r : 1;
}

int coop_stream_from_fd(int fd, struct coop_stream *ret_stream)
{
	struct cp_fd_traits traits;
	int r = is_socket(fd);

	if (r > 0) {
		cp_stream_fill_fd(ret_stream, fd, CP_STREAM_SOCKET);
		return 0;
	}
	if (r == 0)
		r = cp_os_fd_traits(fd, &traits);
	if (r < 0)
		return r;
	cp_stream_fill_fd(ret_stream, fd,
			  (traits.reads ? 0 : CP_STREAM_NO_RECV) |
				  (traits.writes ? 0 : CP_STREAM_NO_SEND) |
				  (traits.pipe ? CP_STREAM_PIPE : 0) |
				  (traits.regular || traits.nonblock ? 0 : CP_STREAM_NO_SPLICE) |
				  (traits.pty_master ? CP_STREAM_PTY : 0));
	return 0;
}

int coop_pipe_open(struct coop_stream *ret_reader, struct coop_stream *ret_writer)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_world *world = cp_world_of(rt);
	int fds[2], r;

	if (!rt)
		return cp_no_task();
	r = world->ops->pipe(world, fds);
	if (r < 0)
		return r;
	cp_stream_fill_fd(ret_reader, fds[0], CP_STREAM_PIPE | CP_STREAM_NO_SEND);
	cp_stream_fill_fd(ret_writer, fds[1], CP_STREAM_PIPE | CP_STREAM_NO_RECV);
	return 0;
}

/* ---------------------------------------------------------------------------- halves */

static int half_recv(struct coop_stream *s, void *buf, size_t bytes)
{
	return coop_stream_recv(s->ctx, buf, bytes);
}

/* What was sent when it was interrupted is a transfer; the interruption comes again. */
static int sent_or(size_t sent, int r)
{
	return sent ? (int)sent : r;
}

static int half_send(struct coop_stream *s, const void *buf, size_t bytes)
{
	size_t sent;
	int r = coop_stream_send_all(s->_ctx2, buf, bytes, &sent);

	return sent_or(sent, r);
}

static int half_sendv(struct coop_stream *s, const struct iovec *iov, int count)
{
	size_t sent;
	int r = coop_stream_send_all_v(s->_ctx2, iov, count, &sent);

	return sent_or(sent, r);
}

static int half_send_eof(struct coop_stream *s)
{
	int r = coop_stream_send_eof(s->_ctx2);

	if (r != -ENOTSUP)
		return r;
	return coop_stream_close(s->_ctx2);
}

/* Both say goodbye here; release finds nothing more to close then. */
static int half_finish(struct coop_stream *s)
{
	int r = coop_stream_close(s->_ctx2);
	int r2 = s->ctx != s->_ctx2 ? coop_stream_close(s->ctx) : 0;

	return r < 0 ? r : r2;
}

static void half_release(struct coop_stream *s, bool abort)
{
	if (abort) {
		coop_stream_abort(s->_ctx2);
		coop_stream_abort(s->ctx);
		return;
	}
	coop_stream_close(s->_ctx2);
	coop_stream_close(s->ctx);
}

static int half_fd(const struct coop_stream *s, bool sending)
{
	return coop_stream_fd(sending ? s->_ctx2 : s->ctx, sending);
}

static const struct coop_stream_ops half_ops = {
	.name = "staple",
	.recv = half_recv,
	.send = half_send,
	.sendv = half_sendv,
	.send_eof = half_send_eof,
	.finish = half_finish,
	.release = half_release,
	.fd = half_fd,
};

void coop_stream_staple(struct coop_stream *recv_half, struct coop_stream *send_half,
			struct coop_stream *ret_stream)
{
	coop_stream_init(ret_stream, &half_ops, recv_half);
	ret_stream->_ctx2 = send_half;
	ret_stream->_flags |= (recv_half->_flags & (CP_STREAM_NO_RECV | CP_STREAM_NO_SPLICE)) |
			      (send_half->_flags & (CP_STREAM_NO_SEND | CP_STREAM_NO_SPLICE));
}
