/* SPDX-License-Identifier: MIT */
/*
 * The calls on descriptors: each fills an operation in its frame, and cp_io_run has it carried out.
 */
#include "io/io.h"

#include "base/os.h"
#include "io/world.h"

#include <coop/io.h>

#include <errno.h>
#include <limits.h>

/* Results are ints, and this is where the kernel cuts, too. */
#define CP_IO_MAX 0x7ffff000u

static size_t cut(size_t bytes)
{
	return bytes < CP_IO_MAX ? bytes : CP_IO_MAX;
}

static bool is_busy(const struct cp_op *op)
{
	return (op->dirs & CP_READS && op->f->waiting[0]) ||
	       (op->dirs & CP_WRITES && (op->to ? op->to : op->f)->waiting[1]);
}

/*
 * One transfer each: a flag that asks for several would have the ring wait for all of the bytes,
 * and a cancel find some of them taken, where epoll tells what there is.
 */
static int one_transfer(int flags)
{
	return flags & ~MSG_WAITALL;
}

/* A read of no bytes: read(2) does not wait for them, and leaves a datagram where it is. */
static bool reads_nothing(const struct cp_op *op)
{
	if (op->code != CP_OP_READ || op->f->kind == CP_FD_FILE)
		return false;
	for (int i = 0; i < op->count; i++)
		if (op->iov[i].iov_len)
			return false;
	return true;
}

/* A call that ends here, with what it has found out without an engine. */
static int refused(struct cp_rt *rt, int r)
{
	cp_schedule_point(rt);
	return r;
}

CP_INLINE int run(int fd, struct cp_op *op, const char *what)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_io *io;
	int r;

	if (CP_UNLIKELY(!rt))
		return cp_no_task();
	cp_check_frames(rt->body, __builtin_frame_address(0), what);
	r = cp_cancel_point(rt);
	if (CP_UNLIKELY(r < 0))
		return r;
	io = cp_io_of(rt);
	op->f = cp_fd_get(io, fd, &r);
	if (CP_UNLIKELY(!op->f))
		return refused(rt, r);
	if (op->code == CP_OP_SPLICE && !(op->to = cp_fd_get(io, (int)op->offset, &r)))
		return refused(rt, r);
	if (CP_UNLIKELY(op->f->closing || (op->to && op->to->closing)))
		return refused(rt, COOP_ECLOSED);
	if (CP_UNLIKELY(is_busy(op)))
		return refused(rt, -EBUSY);
	if (CP_UNLIKELY(reads_nothing(op)))
		return refused(rt, 0);
	op->wait.what = what;
	return io->ops->run(io, op);
}

/*
 * The entry of a socket at which a call in this direction may succeed at once. Then it is tried
 * before there is an operation, which most of the time there need not be. NULL: whatever is
 * the matter, the long way finds out.
 */
CP_INLINE struct cp_fd *ready_now(struct cp_rt *rt, int fd, uint8_t dir, const char *what)
{
	struct cp_io *io;
	struct cp_fd *f;

	if (CP_UNLIKELY(!rt || rt->cur->cancelled))
		return NULL;
	io = cp_io_of(rt);
	f = io->tries_first ? cp_fd_peek(io, fd) : NULL;
	if (!f || !(f->ready & dir) || !cp_fd_is_socket(f) || f->closing || f->waiting[dir >> 1])
		return NULL;
	cp_check_frames(rt->body, __builtin_frame_address(0), what);
	return f;
}

/* Has it been done? If not, it has to wait, and the entry says so: the long way does not try again,
 * and is the checkpoint. */
CP_INLINE bool is_done(struct cp_rt *rt, struct cp_fd *f, uint8_t dir, int r, int flags)
{
	if (CP_UNLIKELY(r == -EAGAIN && !(flags & MSG_DONTWAIT))) {
		if (!cp_reads_aside(flags))
			f->ready &= (uint8_t)~dir;
		return false;
	}
	rt->body->cancel_half++;
	cp_schedule_point(rt);
	return true;
}

CP_INLINE bool recv_now(int fd, void *buf, size_t bytes, int flags, const char *what, int *ret_r)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_fd *f = ready_now(rt, fd, CP_READS, what);

	if (!f)
		return false;
	*ret_r = cp_os_recv(fd, buf, cut(bytes), flags);
	if (!flags)
		cp_fd_note_read(f, *ret_r, cut(bytes));
	return is_done(rt, f, CP_READS, *ret_r, flags);
}

CP_INLINE bool send_now(int fd, const void *buf, size_t bytes, int flags, const char *what,
			int *ret_r)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_fd *f = ready_now(rt, fd, CP_WRITES, what);

	if (!f)
		return false;
	*ret_r = cp_os_send(fd, buf, cut(bytes), flags);
	return is_done(rt, f, CP_WRITES, *ret_r, flags);
}

/* ------------------------------------------------------------ reading, writing */

static CP_NOINLINE int read_op(int fd, void *buf, size_t bytes)
{
	struct cp_op op = { .code = CP_OP_READ,
			    .dirs = CP_READS,
			    .one = { buf, cut(bytes) },
			    .iov = &op.one,
			    .count = 1,
			    .offset = -1 };

	return run(fd, &op, "coop_read");
}

int coop_read(int fd, void *buf, size_t bytes)
{
	int r;

	if (bytes && recv_now(fd, buf, bytes, 0, "coop_read", &r))
		return r;
	return read_op(fd, buf, bytes);
}

static CP_NOINLINE int write_op(int fd, const void *buf, size_t bytes)
{
	struct cp_op op = { .code = CP_OP_WRITE,
			    .dirs = CP_WRITES,
			    .one = { (void *)(uintptr_t)buf, cut(bytes) },
			    .iov = &op.one,
			    .count = 1,
			    .offset = -1 };

	return run(fd, &op, "coop_write");
}

int coop_write(int fd, const void *buf, size_t bytes)
{
	int r;

	return send_now(fd, buf, bytes, 0, "coop_write", &r) ? r : write_op(fd, buf, bytes);
}

int coop_pread(int fd, void *buf, size_t bytes, int64_t offset)
{
	struct cp_op op = { .code = CP_OP_PREAD,
			    .one = { buf, cut(bytes) },
			    .iov = &op.one,
			    .count = 1,
			    .offset = offset };

	return offset < 0 ? cp_refuse(-EINVAL) : run(fd, &op, "coop_pread");
}

int coop_pwrite(int fd, const void *buf, size_t bytes, int64_t offset)
{
	struct cp_op op = { .code = CP_OP_PWRITE,
			    .one = { (void *)(uintptr_t)buf, cut(bytes) },
			    .iov = &op.one,
			    .count = 1,
			    .offset = offset };

	return offset < 0 ? cp_refuse(-EINVAL) : run(fd, &op, "coop_pwrite");
}

/*
 * 0 if the pieces fit into one request, else -EINVAL: a sum that does not fit into an int is
 * refused rather than cut in silence.
 */
static int check_pieces(const struct iovec *iov, int count)
{
	size_t sum = 0;

	if (count < 0 || count > IOV_MAX || (count && !iov))
		return -EINVAL;
	for (int i = 0; i < count; i++)
		if (__builtin_add_overflow(sum, iov[i].iov_len, &sum) || sum > CP_IO_MAX)
			return -EINVAL;
	return 0;
}

int coop_readv(int fd, const struct iovec *iov, int count)
{
	struct cp_op op = {
		.code = CP_OP_READ, .dirs = CP_READS, .iov = iov, .count = count, .offset = -1
	};
	int r = check_pieces(iov, count);

	return r < 0 ? cp_refuse(r) : run(fd, &op, "coop_readv");
}

int coop_writev(int fd, const struct iovec *iov, int count)
{
	struct cp_op op = {
		.code = CP_OP_WRITE, .dirs = CP_WRITES, .iov = iov, .count = count, .offset = -1
	};
	int r = check_pieces(iov, count);

	return r < 0 ? cp_refuse(r) : run(fd, &op, "coop_writev");
}

/* --------------------------------------------------------------------- sockets */

static CP_NOINLINE int recv_op(int fd, void *buf, size_t bytes, int flags)
{
	struct cp_op op = { .code = CP_OP_RECV,
			    .dirs = CP_READS,
			    .one = { buf, cut(bytes) },
			    .iov = &op.one,
			    .count = 1,
			    .flags = one_transfer(flags) };

	return run(fd, &op, "coop_recv");
}

int coop_recv(int fd, void *buf, size_t bytes, int flags)
{
	int r;

	return recv_now(fd, buf, bytes, flags, "coop_recv", &r) ? r
								 : recv_op(fd, buf, bytes, flags);
}

static CP_NOINLINE int send_op(int fd, const void *buf, size_t bytes, int flags)
{
	struct cp_op op = { .code = CP_OP_SEND,
			    .dirs = CP_WRITES,
			    .one = { (void *)(uintptr_t)buf, cut(bytes) },
			    .iov = &op.one,
			    .count = 1,
			    .flags = one_transfer(flags) };

	return run(fd, &op, "coop_send");
}

int coop_send(int fd, const void *buf, size_t bytes, int flags)
{
	int r;

	return send_now(fd, buf, bytes, flags, "coop_send", &r) ? r
								 : send_op(fd, buf, bytes, flags);
}

int coop_recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct cp_op op = {
		.code = CP_OP_RECVMSG, .dirs = CP_READS, .msg = msg, .flags = one_transfer(flags)
	};

	return msg ? run(fd, &op, "coop_recvmsg") : cp_refuse(-EINVAL);
}

int coop_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct cp_op op = { .code = CP_OP_SENDMSG,
			    .dirs = CP_WRITES,
			    .msg = (struct msghdr *)(uintptr_t)msg,
			    .flags = one_transfer(flags) };

	return msg ? run(fd, &op, "coop_sendmsg") : cp_refuse(-EINVAL);
}

int coop_accept(int fd, struct sockaddr *addr, socklen_t *len)
{
	struct cp_op op = {
		.code = CP_OP_ACCEPT, .dirs = CP_READS, .addr = addr, .addr_len = addr ? len : NULL
	};

	return addr && !len ? cp_refuse(-EINVAL) : run(fd, &op, "coop_accept");
}

int coop_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	struct cp_op op = { .code = CP_OP_CONNECT,
			    .dirs = CP_WRITES,
			    .addr = (struct sockaddr *)(uintptr_t)addr,
			    .addr_bytes = len };

	return addr ? run(fd, &op, "coop_connect") : cp_refuse(-EINVAL);
}

/* ---------------------------------------------------------------------- others */

int coop_poll(int fd, int events)
{
	const int in = POLLIN | POLLPRI | POLLRDHUP | POLLRDNORM | POLLRDBAND;
	const int out = POLLOUT | POLLWRNORM | POLLWRBAND;
	struct cp_op op = { .code = CP_OP_POLL, .flags = events };

	op.dirs = (uint8_t)((events & in ? CP_READS : 0) | (events & out ? CP_WRITES : 0));
	if (!op.dirs || events & ~(in | out))
		return cp_refuse(-EINVAL);
	return run(fd, &op, "coop_poll");
}

int coop_fsync(int fd)
{
	struct cp_op op = { .code = CP_OP_FSYNC };

	return run(fd, &op, "coop_fsync");
}

int coop_fdatasync(int fd)
{
	struct cp_op op = { .code = CP_OP_FSYNC, .flags = 1 };

	return run(fd, &op, "coop_fdatasync");
}

int coop_splice(int fd_in, int fd_out, size_t bytes, unsigned flags)
{
	struct cp_op op = { .code = CP_OP_SPLICE,
			    .dirs = CP_READS | CP_WRITES,
			    .one = { NULL, cut(bytes) },
			    .offset = fd_out, /* until it is looked up, behind the cancel */
			    .flags = (int)flags };

	return run(fd_in, &op, "coop_splice");
}

int coop_close(int fd)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	r = cp_fd_forget(rt, fd, true, "coop_close");
	if (CP_UNLIKELY(!cp_queue_empty(&cp_fd_room)))
		cp_queue_wake(rt, &cp_fd_room, 0);
	return r;
}

int coop_forget(int fd)
{
	struct cp_rt *rt = cp_in_task();

	return rt ? cp_fd_forget(rt, fd, false, "coop_forget") : cp_no_task();
}
