/* SPDX-License-Identifier: MIT */
/*
 * One operation by one system call that does not wait.
 *
 * A socket is asked by the flag of the call, whatever mode it is in; accept, connect and splice
 * have no such flag, so theirs is set to non-blocking mode.
 */
#include "io/io.h"
#include "io/offload.h"

#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

/* What a pipe takes at once, as they are made. */
#define SPLICE_LOOK ((size_t)65536)

static int look_mode(struct cp_fd *f)
{
	int flags;

	if (f->mode_known)
		return 0;
	flags = cp_os_fd_flags(f->fd);
	if (flags < 0)
		return flags;
	f->nonblock = flags & O_NONBLOCK;
	f->mode_known = true;
	return 0;
}

int cp_fd_want_nonblock(struct cp_fd *f)
{
	int flags, r = look_mode(f);

	if (r < 0 || f->nonblock)
		return r;
	flags = cp_os_fd_flags(f->fd);
	r = flags < 0 ? flags : cp_os_fd_set_flags(f->fd, flags | O_NONBLOCK);
	f->nonblock = r >= 0;
	return r;
}

static int try_read(struct cp_op *op)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)op->iov,
			      .msg_iovlen = (size_t)op->count };
	int r;

	if (!cp_fd_is_socket(op->f)) {
		r = look_mode(op->f);
		return r < 0 ? r : cp_os_readv(op->f->fd, op->iov, op->count, !op->f->nonblock);
	}
	if (op->count == 1)
		return cp_os_recv(op->f->fd, op->iov->iov_base, op->iov->iov_len, 0);
	return cp_os_recvmsg(op->f->fd, &msg, 0);
}

static int try_write(struct cp_op *op)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)op->iov,
			      .msg_iovlen = (size_t)op->count };
	int r;

	if (!cp_fd_is_socket(op->f)) {
		r = look_mode(op->f);
		return r < 0 ? r : cp_os_writev(op->f->fd, op->iov, op->count, !op->f->nonblock);
	}
	if (op->count == 1)
		return cp_os_send(op->f->fd, op->iov->iov_base, op->iov->iov_len, 0);
	return cp_os_sendmsg(op->f->fd, &msg, 0);
}

static int try_accept(struct cp_op *op)
{
	int r = cp_fd_want_nonblock(op->f);

	if (r >= 0)
		r = cp_os_accept(op->f->fd, op->addr, op->addr_len, 0);
	if (r >= 0) /* of the listener's kind; without memory its first call asks */
		(void)cp_fd_made(cp_io_of(cp_rt), r, op->f->kind, false);
	return r;
}

/* The first time it begins to connect, then it asks how that went. */
static int try_connect(struct cp_op *op)
{
	int r;

	if (op->state) {
		r = cp_os_poll(op->f->fd, POLLOUT);
		if (r <= 0)
			return r < 0 ? r : -EAGAIN;
		return cp_os_socket_error(op->f->fd);
	}
	r = cp_fd_want_nonblock(op->f);
	if (r < 0)
		return r;
	r = cp_os_connect(op->f->fd, op->addr, op->addr_bytes);
	if (r != -EINPROGRESS && r != -EINTR)
		return r; /* -EAGAIN: the queue of a Unix listener is full, begin again */
	op->state = 1;
	return -EAGAIN;
}

static int try_poll(struct cp_op *op)
{
	int r = cp_os_poll(op->f->fd, op->flags);

	return r == 0 ? -EAGAIN : r < 0 ? r : r & POLLNVAL ? -EBADF : r;
}

static int splice_now(const struct cp_op *op)
{
	return cp_os_splice(op->f->fd, op->to->fd, op->one.iov_len, (unsigned)op->flags);
}

static int splice_modes(struct cp_op *op)
{
	int r = op->f->kind == CP_FD_FILE ? 0 : cp_fd_want_nonblock(op->f);

	return r < 0 || op->to->kind == CP_FD_FILE ? r : cp_fd_want_nonblock(op->to);
}

static int try_splice(struct cp_op *op)
{
	int r = splice_modes(op);

	return r < 0 ? r : splice_now(op);
}

int cp_op_try(struct cp_op *op)
{
	int fd = op->f->fd;

	switch ((enum cp_op_code)op->code) {
	case CP_OP_READ: return try_read(op);
	case CP_OP_WRITE: return try_write(op);
	case CP_OP_RECV: return cp_os_recv(fd, op->one.iov_base, op->one.iov_len, op->flags);
	case CP_OP_SEND: return cp_os_send(fd, op->one.iov_base, op->one.iov_len, op->flags);
	case CP_OP_RECVMSG: return cp_os_recvmsg(fd, op->msg, op->flags);
	case CP_OP_SENDMSG: return cp_os_sendmsg(fd, op->msg, op->flags);
	case CP_OP_ACCEPT: return try_accept(op);
	case CP_OP_CONNECT: return try_connect(op);
	case CP_OP_POLL: return try_poll(op);
	case CP_OP_SPLICE: return try_splice(op);
	case CP_OP_PREAD: return cp_os_preadv(fd, op->iov, op->count, op->offset, true);
	case CP_OP_PWRITE: return cp_os_pwritev(fd, op->iov, op->count, op->offset, true);
	case CP_OP_FSYNC: return cp_os_fsync(fd, op->flags);
	}
	return -EINVAL;
}

/* -EAGAIN: the disk has to work for it. */
int cp_op_file_now(struct cp_op *op)
{
	if (op->code == CP_OP_READ || op->code == CP_OP_PREAD)
		return cp_os_preadv(op->f->fd, op->iov, op->count, op->offset, false);
	if (op->code == CP_OP_WRITE || op->code == CP_OP_PWRITE)
		return cp_os_pwritev(op->f->fd, op->iov, op->count, op->offset, false);
	return op->code == CP_OP_FSYNC ? -EAGAIN : cp_op_try(op);
}

/* In whatever thread calls it. */
static int file_waiting(void *arg)
{
	struct cp_op *op = arg;

	switch (op->code) {
	case CP_OP_READ:
	case CP_OP_PREAD:
		return cp_os_preadv(op->f->fd, op->iov, op->count, op->offset, true);
	case CP_OP_FSYNC:
		return cp_os_fsync(op->f->fd, op->flags);
	default:
		return cp_os_pwritev(op->f->fd, op->iov, op->count, op->offset, true);
	}
}

/* While the thread works the entries are in use: others are told so, and a close waits. */
static int by_thread(struct cp_op *op, coop_fn *fn, void *arg)
{
	struct cp_fd *to = op->to;
	int r;

	op->f->refs++;
	if (to)
		to->refs++;
	cp_op_enlist(op);
	r = cp_offload_file(cp_rt, fn, arg);
	if (!op->ended)
		cp_op_leave(op);
	if (to)
		cp_fd_unref(cp_rt, to);
	cp_fd_unref(cp_rt, op->f);
	return r;
}

struct splicing {
	const struct cp_op *op;
	int result;
	bool ran;
};

/* In whatever thread calls it. */
static int splice_waiting(void *arg)
{
	struct splicing *s = arg;

	s->ran = true;
	s->result = splice_now(s->op);
	return 0;
}

/*
 * A splice has no flag by which a file does not wait, so its first and last byte are asked for
 * first: what lies between them has been read with them.
 */
static bool is_in_memory(const struct cp_op *op)
{
	size_t bytes = op->one.iov_len < SPLICE_LOOK ? op->one.iov_len : SPLICE_LOOK;
	int64_t at = cp_os_position(op->f->fd);
	char byte;
	struct iovec one = { &byte, 1 };

	return at >= 0 && cp_os_preadv(op->f->fd, &one, 1, at, false) >= 0 &&
	       (bytes < 2 ||
		cp_os_preadv(op->f->fd, &one, 1, at + (int64_t)bytes - 1, false) >= 0);
}

int cp_op_splice_file(struct cp_op *op, bool *ret_waited)
{
	struct splicing s = { .op = op };
	int r = splice_modes(op);

	if (r < 0)
		return r;
	if (op->to->kind != CP_FD_FILE && is_in_memory(op))
		return splice_now(op);
	r = by_thread(op, splice_waiting, &s);
	*ret_waited = s.ran;
	if (!s.ran && (r == -EAGAIN || r == -ENOMEM))
		r = splice_waiting(&s); /* there is no thread to be had */
	if (r < 0)
		return r;
	return s.result == -EAGAIN && op->ended ? op->ended : s.result;
}

int cp_op_file(struct cp_op *op)
{
	int r = cp_op_file_now(op);

	if (r == -EAGAIN) {
		r = by_thread(op, file_waiting, op);
		if (r != -EAGAIN && r != -ENOMEM)
			return r;
		r = file_waiting(op); /* there is no thread to be had */
	}
	cp_schedule_point(cp_rt);
	return r;
}
