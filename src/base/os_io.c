/* SPDX-License-Identifier: MIT */
/*
 * The seam's calls on descriptors: none of them waits.
 *
 * EINTR is taken again here. A descriptor that is not in non-blocking mode is asked not to wait
 * for this one call, by a flag of the call; where the kernel has none for such a file (terminals,
 * and pipes before Linux 6.5) poll says first whether it would, and a write is kept as short as one
 * that cannot wait then.
 */
#include "base/libc.h"
#include "base/os_files.h"
#include "base/os_impl.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RWF_NOSIGNAL_6_18 0x100

/* A system call: refused by a test, or made; and again while a signal interrupts it. */
#define AGAIN(expr) \
	({ \
		int again_r_; \
		do \
			again_r_ = cp_os_refused() ? cp_os_refusal() : cp_os_result(expr); \
		while (again_r_ == -EINTR); \
		again_r_; \
	})

int cp_os_fstat(int fd, struct stat *ret_stat)
{
	if (cp_os_files_have(fd))
		return CP_OS_FILES(fstat, fd, ret_stat);
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(fstat(fd, ret_stat));
}

int cp_os_dup(int fd)
{
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

int cp_os_fd_flags(int fd)
{
	return AGAIN(fcntl(fd, F_GETFL));
}

int cp_os_fd_set_flags(int fd, int flags)
{
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(fcntl(fd, F_SETFL, flags));
}

int cp_os_socket_option(int fd, int name)
{
	int value;
	unsigned size = sizeof value;

	if (cp_os_refused())
		return cp_os_refusal();
	return getsockopt(fd, SOL_SOCKET, name, &value, &size) < 0 ? -errno : value;
}

int cp_os_poll(int fd, int events)
{
	struct pollfd p = { .fd = fd, .events = (short)events };
	int r = AGAIN(poll(&p, 1, 0));

	return r < 0 ? r : p.revents;
}

/* ---- sockets */

int cp_os_recv(int fd, void *buf, size_t bytes, int flags)
{
	return AGAIN(recv(fd, buf, bytes, flags | MSG_DONTWAIT));
}

int cp_os_send(int fd, const void *buf, size_t bytes, int flags)
{
	return AGAIN(send(fd, buf, bytes, flags | MSG_DONTWAIT | MSG_NOSIGNAL));
}

int cp_os_recvmsg(int fd, struct msghdr *msg, int flags)
{
	return AGAIN(recvmsg(fd, msg, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
}

int cp_os_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	return AGAIN(sendmsg(fd, msg, flags | MSG_DONTWAIT | MSG_NOSIGNAL));
}

int cp_os_accept(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	return AGAIN(accept4(fd, addr, len, flags | SOCK_CLOEXEC));
}

/* Not again after EINTR: the connection is being made. */
int cp_os_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(connect(fd, addr, len));
}

int cp_os_socket_error(int fd)
{
	int error;
	unsigned size = sizeof error;

	if (cp_os_refused())
		return cp_os_refusal();
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? -errno : -error;
}

/* ---- other files */

/* The kernel cannot be asked for one call not to wait on this kind of file. */
static bool knows_no_flag(int r)
{
	return r == -EOPNOTSUPP || r == -ENOSYS;
}

/* An end that is not open for this is never ready for it: -EBADF, as the call itself would say. */
static int would_wait(int fd, int events)
{
	int flags, r = cp_os_poll(fd, events);

	if (r)
		return r < 0 ? r : 0;
	flags = cp_os_fd_flags(fd);
	if (flags < 0)
		return flags;
	return (flags & O_ACCMODE) == (events & POLLOUT ? O_RDONLY : O_WRONLY) ? -EBADF : -EAGAIN;
}

int cp_os_readv(int fd, const struct iovec *iov, int count, bool blocking)
{
	int r;

	if (!blocking)
		return AGAIN(readv(fd, iov, count));
	r = AGAIN(preadv2(fd, iov, count, -1, RWF_NOWAIT));
	if (!knows_no_flag(r))
		return r;
	r = would_wait(fd, POLLIN);
	return r < 0 ? r : AGAIN(readv(fd, iov, count));
}

/* As many bytes as a pipe that is writable takes for sure. */
static int writev_short(int fd, const struct iovec *iov, int count)
{
	int r = would_wait(fd, POLLOUT);

	while (count > 1 && !iov->iov_len) {
		iov++;
		count--;
	}
	if (r < 0)
		return r;
	return AGAIN(write(fd, iov->iov_base, iov->iov_len < PIPE_BUF ? iov->iov_len : PIPE_BUF));
}

/* A terminal that is stopped says that it is writable: asked for this one call not to wait. */
static int writev_tty(int fd, const struct iovec *iov, int count)
{
	int flags = cp_os_fd_flags(fd), r;

	if (flags < 0)
		return flags;
	r = cp_os_fd_set_flags(fd, flags | O_NONBLOCK);
	if (r < 0)
		return r;
	r = AGAIN(writev(fd, iov, count));
	if (!(flags & O_NONBLOCK))
		(void)fcntl(fd, F_SETFL, flags);
	return r;
}

static int writev_plain(int fd, const struct iovec *iov, int count, bool blocking)
{
	int r;

	if (!blocking)
		return AGAIN(writev(fd, iov, count));
	r = AGAIN(pwritev2(fd, iov, count, -1, RWF_NOWAIT));
	if (!knows_no_flag(r))
		return r;
	return isatty(fd) ? writev_tty(fd, iov, count) : writev_short(fd, iov, count);
}

/*
 * A pipe that nobody reads sends SIGPIPE to the thread that writes, beside the error, and a file
 * that has reached RLIMIT_FSIZE sends SIGXFSZ. They are kept off for this one call and taken away
 * again, so that the program's own writes, of standard output, say, end it as they always did.
 */
struct quiet {
	sigset_t before;
	sigset_t ours; /* of the two, those that were not blocked */
	bool any;
};

static void quiet_begin(struct quiet *q)
{
	static const int loud[] = { SIGPIPE, SIGXFSZ };
	sigset_t both;

	sigemptyset(&both);
	sigaddset(&both, SIGPIPE);
	sigaddset(&both, SIGXFSZ);
	q->any = pthread_sigmask(SIG_BLOCK, &both, &q->before) == 0;
	sigemptyset(&q->ours);
	for (int i = 0; q->any && i < 2; i++)
		if (!sigismember(&q->before, loud[i]))
			sigaddset(&q->ours, loud[i]);
}

/* `came`: one of them may have. */
static int quiet_end(const struct quiet *q, int r, bool came)
{
	const struct timespec at_once = { 0 };

	while (came && q->any && sigtimedwait(&q->ours, NULL, &at_once) > 0)
		;
	if (q->any)
		pthread_sigmask(SIG_SETMASK, &q->before, NULL);
	return r;
}

int cp_os_writev(int fd, const struct iovec *iov, int count, bool blocking)
{
	static int no_flag; /* the kernel has no RWF_NOSIGNAL: before Linux 6.18 */
	struct quiet q;
	int r;

	if (!__atomic_load_n(&no_flag, __ATOMIC_RELAXED)) {
		r = AGAIN(pwritev2(fd, iov, count, -1,
				   RWF_NOSIGNAL_6_18 | (blocking ? RWF_NOWAIT : 0)));
		if (!knows_no_flag(r))
			return r;
		if (!blocking && !isatty(fd)) /* terminals know no flags at all */
			__atomic_store_n(&no_flag, 1, __ATOMIC_RELAXED);
	}
	quiet_begin(&q);
	r = writev_plain(fd, iov, count, blocking);
	return quiet_end(&q, r, r == -EPIPE);
}

int cp_os_preadv(int fd, const struct iovec *iov, int count, int64_t offset, bool may_wait)
{
	int r;

	if (cp_os_files_have(fd))
		return CP_OS_FILES(preadv, fd, iov, count, offset);
	if (may_wait)
		return AGAIN(preadv2(fd, iov, count, offset, 0));
	r = AGAIN(preadv2(fd, iov, count, offset, RWF_NOWAIT));
	return knows_no_flag(r) ? -EAGAIN : r;
}

int cp_os_pwritev(int fd, const struct iovec *iov, int count, int64_t offset, bool may_wait)
{
	struct quiet q;
	int r;

	if (cp_os_files_have(fd))
		return CP_OS_FILES(pwritev, fd, iov, count, offset);
	quiet_begin(&q);
	r = AGAIN(pwritev2(fd, iov, count, offset, may_wait ? 0 : RWF_NOWAIT));
	quiet_end(&q, r, r == -EFBIG);
	return !may_wait && knows_no_flag(r) ? -EAGAIN : r;
}

int cp_os_fsync(int fd, bool data)
{
	if (cp_os_files_have(fd))
		return CP_OS_FILES(fsync, fd);
	return AGAIN(data ? fdatasync(fd) : fsync(fd));
}

int cp_os_splice(int fd_in, int fd_out, size_t bytes, unsigned flags)
{
	struct quiet q;
	int r;

	quiet_begin(&q);
	r = AGAIN(splice(fd_in, NULL, fd_out, NULL, bytes, flags | SPLICE_F_NONBLOCK));
	return quiet_end(&q, r, r != 0 && r != -EAGAIN); /* also behind a part that went well */
}

/* ---- epoll */

int cp_os_epoll_remove(int epfd, int fd)
{
	return cp_os_result(epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL));
}
