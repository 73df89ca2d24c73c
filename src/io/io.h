/* SPDX-License-Identifier: MIT */
/*
 * Operations on descriptors, and what a loop knows of each descriptor.
 *
 * A call fills a struct cp_op in its own frame and gives it to the engine (`run`), which returns
 * its result, after a suspension if need be. What an engine keeps of a descriptor is its entry:
 * who waits, what is ready, how many operations the kernel or a thread still works at.
 *
 * Invariants
 *   1. An operation is in the `waiting` place of each direction that it needs, from before it parks
 *      until it runs again or has been taken out: by a cancel, or because the descriptor is closed.
 *   2. `refs` counts the operations whose memory somebody outside of the loop may touch. A call
 *      does not return, and a descriptor is not closed, before they are over.
 *   3. An operation that was taken out (`ended`) does not look at its entry again: it may be
 *      another's.
 *   4. `gen` changes whenever a descriptor is closed, so an event that is late finds nobody.
 */
#ifndef CP_IO_H
#define CP_IO_H

#include "core/core.h"
#include "core/engine.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum cp_op_code {
	CP_OP_READ, /* at the file's position, or from a socket or pipe */
	CP_OP_WRITE,
	CP_OP_PREAD,
	CP_OP_PWRITE,
	CP_OP_RECV,
	CP_OP_SEND,
	CP_OP_RECVMSG,
	CP_OP_SENDMSG,
	CP_OP_ACCEPT,
	CP_OP_CONNECT,
	CP_OP_POLL,
	CP_OP_FSYNC,
	CP_OP_SPLICE,
};

/* Directions, and the bits of what is ready. */
#define CP_READS 1
#define CP_WRITES 2

enum cp_fd_kind {
	CP_FD_NONE,   /* nothing is known yet */
	CP_FD_TCP,    /* a socket, of a stream that a short read has emptied */
	CP_FD_STREAM, /* one of another stream */
	CP_FD_SOCKET, /* another socket */
	CP_FD_FILE,   /* a regular file, a directory, a disk: what poll cannot wait for */
	CP_FD_OTHER,  /* pipes, terminals, what is made of memory by the kernel */
	CP_FD_SIM,    /* simulated */
};

struct cp_op;

struct cp_fd {
	struct cp_op *waiting[2]; /* to read, to write */
	struct coop_task *closer; /* parked until refs is 0 */
	void *own;                /* of the engine */
	int fd;
	uint32_t gen;
	uint32_t refs;
	uint8_t kind;
	uint8_t ready;   /* directions in which a try may succeed */
	bool watched;    /* epoll knows it */
	bool hup;        /* one side has ended, or urgent data has come: stays ready */
	bool nonblock;   /* is in non-blocking mode, as far as was asked */
	bool mode_known; /* `nonblock` is true to the file */
	bool closing;
	uint16_t no_ring; /* bits of codes: what the ring cannot do with this file */
};

struct cp_op {
	struct cp_wait wait;
	struct cp_fd *f;
	struct cp_fd *to; /* of a splice: the output */
	struct cp_fd *at; /* of the ring: the one of these that it is working at */
	uint8_t code;
	uint8_t dirs;
	bool parked;     /* the next event for it wakes it */
	uint8_t state;   /* of a connect: it has begun */
	uint8_t pending; /* of the ring: completions that are to come */
	bool stopping;   /* of the ring: its cancellation has been submitted */
	int flags;       /* of the call; events of a poll; whether an fsync is of the data alone */
	int ended; /* it was taken out of its entry, and ends with this: COOP_ECLOSED, say */
	int res;
	int count; /* of iov */
	const struct iovec *iov;
	struct iovec one;
	int64_t offset;
	union {
		struct msghdr *msg;
		struct sockaddr *addr;
	};
	union {
		socklen_t *addr_len;
		socklen_t addr_bytes;
	};
};

struct cp_io;

/* What an engine does with descriptors. */
struct cp_io_ops {
	/*
	 * Carries out an operation whose entry and directions are known to be free: its result,
	 * after the schedule half of a checkpoint.
	 */
	int (*run)(struct cp_io *io, struct cp_op *op);
	/*
	 * Takes those out who wait at `f` in one of `dirs`. They end with `code`, or with what has
	 * come already; what is in the kernel ends soon.
	 */
	void (*end)(struct cp_io *io, struct cp_fd *f, uint8_t dirs, int code);
	/* Nobody works at `f` any more: forgets it. */
	void (*forget)(struct cp_io *io, struct cp_fd *f);
	/* What kind of file this is, for its entry: 0 or -EBADF. */
	int (*look)(struct cp_io *io, struct cp_fd *f);
	/* Closes the descriptor itself: 0 or -EBADF. */
	int (*close)(struct cp_io *io, int fd);
};

#define CP_FD_CHUNK 256

/* An engine that knows descriptors: what all of them have. */
struct cp_io {
	struct cp_engine engine;
	const struct cp_io_ops *ops;
	bool tries_first; /* a socket that may be ready is asked before an operation is made */
	struct cp_fd **chunks; /* of CP_FD_CHUNK entries each, made when first needed */
	size_t chunks_count;
};

CP_INLINE struct cp_io *cp_io_of(const struct cp_rt *rt)
{
	return CP_CONTAINER_OF(rt->engine, struct cp_io, engine);
}

/* ---- fd.c */

/* The entry of `fd`, whose kind is known: NULL, and *ret_r is -EBADF or -ENOMEM. */
struct cp_fd *cp_fd_get(struct cp_io *io, int fd, int *ret_r);
/* The same for one that was made a moment ago, and is known to be of this kind. */
struct cp_fd *cp_fd_made(struct cp_io *io, int fd, enum cp_fd_kind kind, bool nonblock);
/* The number is a new file's: what was known of one that something else has closed is forgotten. */
void cp_fd_is_new(int fd);
/* The entry if there is one. */
CP_INLINE struct cp_fd *cp_fd_peek(struct cp_io *io, int fd)
{
	size_t at = (unsigned)fd / CP_FD_CHUNK; /* a negative one is beyond them all */
	struct cp_fd *f;

	if (CP_UNLIKELY(at >= io->chunks_count || !io->chunks[at]))
		return NULL;
	f = &io->chunks[at][(unsigned)fd % CP_FD_CHUNK];
	return f->kind == CP_FD_NONE ? NULL : f;
}

/* A run begins: since the last one of this engine any number may have become another file's. For
 * the engines' tables of operations. */
void cp_fds_begin(struct cp_engine *engine, int64_t now_ns, uint64_t seed);
void cp_fds_deinit(struct cp_io *io);
/* If `t` waits to read from `fd` its call ends, with `code` if nothing has come. */
void cp_fd_end_read(struct cp_rt *rt, int fd, const struct coop_task *t, int code);
/* Ends the calls that wait on `fd`, waits until the kernel has done with it, forgets it. */
int cp_fd_forget(struct cp_rt *rt, int fd, bool and_close, const char *what);

/* The operation of the running task waits in its directions from now on, or does not any more. */
CP_INLINE void cp_op_enlist(struct cp_op *op)
{
	if (op->dirs & CP_READS)
		op->f->waiting[0] = op;
	if (op->dirs & CP_WRITES)
		(op->to ? op->to : op->f)->waiting[1] = op;
}

CP_INLINE void cp_op_leave(struct cp_op *op)
{
	if (op->dirs & CP_READS)
		op->f->waiting[0] = NULL;
	if (op->dirs & CP_WRITES)
		(op->to ? op->to : op->f)->waiting[1] = NULL;
}

CP_INLINE bool cp_fd_is_socket(const struct cp_fd *f)
{
	return f->kind >= CP_FD_TCP && f->kind <= CP_FD_SOCKET;
}

/* One of the operations that were in the kernel is over. */
CP_INLINE void cp_fd_unref(struct cp_rt *rt, struct cp_fd *f)
{
	if (--f->refs == 0 && CP_UNLIKELY(f->closer != NULL)) {
		struct coop_task *closer = f->closer;

		f->closer = NULL;
		cp_wake(rt, closer, 0);
	}
}

/*
 * A read from TCP that got less than it asked for has emptied it, which saves the call that
 * would say so; not after the peer has ended its side, since that event may have been the last, nor
 * after urgent data, at whose mark a read ends. A Unix stream ends a read at each place where
 * descriptors came along, or another process went on to write.
 */
CP_INLINE void cp_fd_note_read(struct cp_fd *f, int got, size_t wanted)
{
	if (f->kind == CP_FD_TCP && !f->hup && got > 0 && (size_t)got < wanted)
		f->ready &= (uint8_t)~CP_READS;
}

/* A read with such flags may find nothing where there is data for another. */
CP_INLINE bool cp_reads_aside(int flags)
{
	return flags & (MSG_ERRQUEUE | MSG_OOB | MSG_PEEK);
}

/* Goes the way of files? Not a poll or a splice: the kernel can wait for some of those, too. */
CP_INLINE bool cp_op_is_of_file(const struct cp_op *op)
{
	if (op->code == CP_OP_PREAD || op->code == CP_OP_PWRITE || op->code == CP_OP_FSYNC)
		return true;
	return op->f->kind == CP_FD_FILE && op->code != CP_OP_SPLICE && op->code != CP_OP_POLL;
}

/* It ended with `r` because the kernel cannot wait for this file: it is one of the kind FILE. */
CP_INLINE bool cp_op_proves_file(struct cp_op *op, int r)
{
	if (CP_LIKELY(r != -EPERM) || op->f->kind != CP_FD_OTHER || op->f->watched ||
	    op->code == CP_OP_POLL || op->code == CP_OP_SPLICE)
		return false;
	op->f->kind = CP_FD_FILE; /* some devices and virtual files */
	return true;
}

/* ---- try.c */

/* Carries it out without waiting: a result, or -EAGAIN. For all but the kind FILE. */
int cp_op_try(struct cp_op *op);
/* The same for the kind FILE, which poll cannot wait for: goes through a thread, if it must. */
int cp_op_file(struct cp_op *op);
/*
 * A splice one of whose ends is a file: -EAGAIN if the other end is not ready. *ret_waited is set
 * if it went through a thread.
 */
int cp_op_splice_file(struct cp_op *op, bool *ret_waited);
/* What of it can be done without waiting: a result, or -EAGAIN. */
int cp_op_file_now(struct cp_op *op);
/* What kind of file the system says it is. */
int cp_fd_look(struct cp_io *io, struct cp_fd *f);
int cp_fd_close(struct cp_io *io, int fd);
/* Has a descriptor, which the file's mode decides of, not wait. 0 or -errno. */
int cp_fd_want_nonblock(struct cp_fd *f);

/* ---- ready.c: by readiness, as epoll has it, and the ring for what is no socket */

/* Waits until `dirs` of the entry may succeed: 0, COOP_ECANCELED, COOP_ECLOSED, -errno. */
typedef int cp_wait_ready(struct cp_io *io, struct cp_op *op, struct cp_fd *f, uint8_t dirs);
int cp_op_run_ready(struct cp_io *io, struct cp_op *op, cp_wait_ready *wait_ready);
/* Something came in `dirs` of an entry, whose waiting tasks go on. */
void cp_fd_is_ready(struct cp_io *io, struct cp_fd *f, uint8_t dirs);
/* Parks until the next cp_fd_is_ready in a direction that the operation waits in. */
int cp_op_park_ready(struct cp_io *io, struct cp_op *op);
/* Takes those out who are parked so. */
void cp_fd_end(struct cp_io *io, struct cp_fd *f, uint8_t dirs, int code);

#endif
