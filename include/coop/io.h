/* SPDX-License-Identifier: MIT */
/*
 * Calls on file descriptors that suspend the task instead of the thread.
 *
 * They take plain descriptors, blocking ones or not, and are called like their namesakes of POSIX;
 * what goes wrong is returned as -errno. One transfer each: what a call reports may be less than
 * was asked for, and streams (stream.h) go on from there. A request of more than 0x7ffff000
 * bytes is one of 0x7ffff000, and MSG_WAITALL means nothing here.
 *
 * Cancel: COOP_ECANCELED always means that nothing has been transferred. What had been completed
 * when the cancel came is returned as completed. A call returns only when the kernel has done
 * with the caller's memory.
 *
 * In each direction of a descriptor one task may wait at a time; a second one gets -EBUSY.
 * A descriptor that was used here is closed by coop_close; if something else closes it, coop_forget
 * comes first. Closing one ends the calls that wait on it with COOP_ECLOSED.
 */
#ifndef COOP_IO_H
#define COOP_IO_H

#include <coop/base.h>

#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

COOP_BEGIN_DECLS

/**
 * Reads at most `bytes` bytes.
 *
 * Returns how many; 0 at the end of the file, and at once where `bytes` is 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing was read; what a disk is working on is waited for.
 * Errors: COOP_ECANCELED, COOP_ECLOSED, -EBUSY (another task waits to read), -ENOMEM, those of
 *   read(2) but -EAGAIN and -EINTR, COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_read(int fd, void *buf, size_t bytes);

/**
 * Writes at most `bytes` bytes.
 *
 * Returns how many.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing was written.
 * Errors: COOP_ECANCELED, COOP_ECLOSED, -EBUSY (another task waits to write), -ENOMEM, those of
 *   write(2) but -EAGAIN and -EINTR (-EPIPE raises no signal), COOP_ENOTASK,
 *   COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_write(int fd, const void *buf, size_t bytes);

/**
 * Reads into `count` pieces of memory in turn.
 *
 * Returns how many bytes; 0 at the end of the file.
 *
 * Checkpoint: always.
 * Cancel: as coop_read.   Errors: as coop_read; -EINVAL (count; above 0x7ffff000 bytes).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_readv(int fd, const struct iovec *iov, int count);

/**
 * Writes from `count` pieces of memory in turn.
 *
 * Returns how many bytes.
 *
 * Checkpoint: always.
 * Cancel: as coop_write.   Errors: as coop_write; -EINVAL (count; above 0x7ffff000 bytes).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_writev(int fd, const struct iovec *iov, int count);

/**
 * Reads at `offset` of a file, whose position stays. Any number of tasks may do so at once.
 *
 * Returns how many bytes; 0 at the end of the file.
 *
 * Checkpoint: always.
 * Cancel: as coop_read.   Errors: as pread(2), as coop_read.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_pread(int fd, void *buf, size_t bytes, int64_t offset);

/**
 * Writes at `offset` of a file, whose position stays. Any number of tasks may do so at once.
 *
 * Returns how many bytes.
 *
 * Checkpoint: always.
 * Cancel: as coop_write.   Errors: as pwrite(2), as coop_write.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_pwrite(int fd, const void *buf, size_t bytes, int64_t offset);

/**
 * Receives from a socket; `flags` as of recv(2). With MSG_DONTWAIT it does not wait.
 *
 * Returns how many bytes; 0 when the peer has ended its side of a stream.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing was received.
 * Errors: as coop_read, those of recv(2); -EAGAIN only with MSG_DONTWAIT.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_recv(int fd, void *buf, size_t bytes, int flags);

/**
 * Sends on a socket; `flags` as of send(2), MSG_NOSIGNAL is always added.
 *
 * Returns how many bytes.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing was sent.
 * Errors: as coop_write, those of send(2); -EAGAIN only with MSG_DONTWAIT.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_send(int fd, const void *buf, size_t bytes, int flags);

/**
 * Receives a message with its address and control data: recvmsg(2).
 *
 * Descriptors that are received are close-on-exec. MSG_CTRUNC in msg->msg_flags says that control
 * data was dropped, for want of room or of descriptors (coop_recv_fds fails then).
 *
 * Returns how many bytes.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing was received.
 * Errors: as coop_recv.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_recvmsg(int fd, struct msghdr *msg, int flags);

/**
 * Sends a message with its address and control data: sendmsg(2).
 *
 * Returns how many bytes.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing was sent.
 * Errors: as coop_send.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_sendmsg(int fd, const struct msghdr *msg, int flags);

/**
 * Takes the next connection of a listening socket.
 *
 * The address of the peer goes to `addr`, at most *len bytes of it, if that is not NULL. The
 * new descriptor is close-on-exec.
 *
 * Returns the descriptor; the caller closes it by coop_close.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and no connection was taken.
 * Errors: as coop_read, those of accept(2).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_accept(int fd, struct sockaddr *addr, socklen_t *len);

/**
 * Connects a socket; waits until it is connected.
 *
 * The socket is in non-blocking mode from then on, for everybody who has it. A connect that was
 * cancelled may go on in the kernel: close the socket.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; the socket is of no further use.
 * Errors: as coop_write, those of connect(2) but -EINPROGRESS.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_connect(int fd, const struct sockaddr *addr, socklen_t len);

/**
 * Waits until the descriptor is ready: POLLIN, POLLOUT, POLLPRI, POLLRDHUP in `events`.
 *
 * For descriptors that others read or write: those of libraries, of other loops, of the kernel.
 * A file that the kernel cannot wait for, as a regular one, is always ready to be read and written.
 *
 * Returns those of `events` that are there, and POLLERR, POLLHUP, POLLNVAL.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED.
 * Errors: COOP_ECANCELED, COOP_ECLOSED, -EBUSY (another task waits in that direction), -EBADF,
 *   -EINVAL (no event, or others), -EPERM or -EINVAL (nothing can wait for that with such a file),
 *   -ENOMEM, -ENOSPC, COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_poll(int fd, int events);

/**
 * Waits until what was written to a file is on the device: fsync(2).
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED before it began; then it is waited for.
 * Errors: COOP_ECANCELED, COOP_ECLOSED, those of fsync(2), -ENOMEM, COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_fsync(int fd);

/**
 * The same for the data alone: fdatasync(2).
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: as coop_fsync.   Errors: as coop_fsync.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_fdatasync(int fd);

/**
 * Moves at most `bytes` bytes between two descriptors, one of them a pipe, without copying.
 *
 * To a file, and from one that is not in memory, a thread moves them, as a disk may have to work.
 *
 * Returns how many bytes; 0 at the end of the input.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing was moved; what a disk is working on is waited for.
 * Errors: as coop_read and coop_write, those of splice(2).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_splice(int fd_in, int fd_out, size_t bytes, unsigned flags);

/**
 * Closes a descriptor: ends what waits on it with COOP_ECLOSED, waits until the kernel is done with
 * it, and closes it, also under a cancelled scope.
 *
 * Returns 0: it is closed, whatever close(2) said of what was written before (coop_fsync tells).
 *
 * Checkpoint: custom; it waits until the calls that it ended have left the kernel, no longer.
 * Cancel: never.
 * Errors: -EBADF (not open), -EALREADY (another task is closing it), COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API
int coop_close(int fd);

/**
 * Does all that coop_close does but closing it: what others are going to close.
 *
 * Returns 0.
 *
 * Checkpoint: custom, as coop_close.
 * Cancel: never.
 * Errors: as coop_close but -EBADF: one that nobody has used here is fine.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API
int coop_forget(int fd);

COOP_END_DECLS

#endif
