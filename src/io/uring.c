/* SPDX-License-Identifier: MIT */
/*
 * The io_uring engine: operations are submitted in one batch a turn, and completed by the kernel.
 *
 * Sockets are received from and sent to by the ring, files are read and synchronised by it. What
 * else there is waits by a poll of the ring and then does its system call: that is what the kernel
 * would do, and it is the same for files in non-blocking mode, which the ring refuses to wait for.
 * With sockets the mode is no matter: since Linux 5.7 the ring waits for one by a poll of its own,
 * whatever its mode, unless the operation's flags say MSG_DONTWAIT. A sendmsg that has lost its
 * room to others again and again is handed to a thread of the kernel's, and there the mode counts:
 * -EAGAIN, after which it goes by readiness.
 *
 * An operation lies in the frame of the task that waits for it. To cancel one is an operation of
 * its own, and both have to be over before the task goes on: so the kernel is done with the
 * caller's memory, and the address that names an operation cannot be another's yet.
 *
 * Invariants
 *   1. op->pending is the number of completions that name the operation: its own, and that of its
 *      cancellation. The task is woken when it gets to 0, by the last of them.
 *   2. Every entry (io_uring_enter) asks for events, or deferred work would be left undone.
 *   3. A full submission queue is submitted and used again; nobody is told that it was full.
 *   4. A wake from elsewhere ends a wait: the eventfd is polled at all times.
 */
#include "io/engines.h"
#include "io/io.h"

#include "base/forks.h"
#include "base/os.h"
#include "base/os_uring.h"

#include <errno.h>
#include <poll.h>

#define RING_ENTRIES 256
#define RING_COMPLETIONS 4096

/* What a completion is of, in the low bits of its user data. */
#define TAG_OP 0u
#define TAG_CANCEL 1u
#define TAG_WAKE 2u
#define TAG_REFUSED 3u /* by a test, which has left the answer in op->res */
#define TAGS 7u

struct ring_engine {
	struct cp_io io;
	struct io_uring ring;
	int wakefd;
	bool armed;     /* the eventfd is polled */
	uint32_t forks; /* of the process whose ring it is */
};

static struct ring_engine *of(struct cp_engine *engine)
{
	return CP_CONTAINER_OF(engine, struct ring_engine, io.engine);
}

/* ------------------------------------------------------------------- the two queues */

/* The operation is over: whoever waits for it, and whoever waits to close its file, go on. */
static void over(struct ring_engine *e, struct cp_op *op)
{
	struct cp_rt *rt = cp_rt;

	e->io.engine.waiting--;
	cp_wake(rt, op->wait.task, 0);
	cp_fd_unref(rt, op->at);
}

static void complete(struct ring_engine *e, const struct io_uring_cqe *cqe)
{
	struct cp_op *op = (struct cp_op *)(uintptr_t)(cqe->user_data & ~(uint64_t)TAGS);

	switch (cqe->user_data & TAGS) {
	case TAG_WAKE:
		cp_os_eventfd_drain(e->wakefd);
		if (!(cqe->flags & IORING_CQE_F_MORE))
			e->armed = false;
		return;
	case TAG_OP:
		op->res = cqe->res;
		if (cqe->flags & IORING_CQE_F_SOCK_NONEMPTY)
			op->at->ready |= CP_READS;
		break;
	default: break; /* refused; or a cancel that found it or did not: it ends by itself */
	}
	if (--op->pending == 0)
		over(e, op);
}

static void reap(struct ring_engine *e)
{
	struct io_uring_cqe *cqe;
	unsigned head, seen = 0;

	io_uring_for_each_cqe(&e->ring, head, cqe)
	{
		complete(e, cqe);
		seen++;
	}
	io_uring_cq_advance(&e->ring, seen);
}

/* A signal, too many completions, no memory right now: the next time may be better. */
static bool is_passing(int r)
{
	return r == -EINTR || r == -EBUSY || r == -EAGAIN || r == -ENOMEM;
}

static struct io_uring_sqe *next_entry(struct ring_engine *e)
{
	struct io_uring_sqe *sqe;

	while (CP_UNLIKELY(!(sqe = io_uring_get_sqe(&e->ring)))) {
		int r = cp_os_uring_submit(&e->ring);

		if (is_passing(r))
			reap(e);
		else if (r < 0)
			cp_die("io_uring cannot submit: error %d", -r);
	}
	return sqe;
}

static void arm_wake(struct ring_engine *e)
{
	struct io_uring_sqe *sqe = next_entry(e);

	io_uring_prep_poll_multishot(sqe, e->wakefd, POLLIN);
	(void)cp_os_uring_refused(sqe); /* it ends at once, and is armed again */
	sqe->user_data = TAG_WAKE;
	e->armed = true;
}

/* -------------------------------------------------------------------- an operation */

static void submit_cancel(struct ring_engine *e, struct cp_op *op)
{
	struct io_uring_sqe *sqe;

	if (op->stopping || !op->pending)
		return;
	op->stopping = true;
	op->pending++; /* before the queue turns out to be full, and what is over is taken in */
	sqe = next_entry(e);
	io_uring_prep_cancel(sqe, op, 0);
	sqe->user_data = (uintptr_t)op | TAG_CANCEL;
}

static bool ring_abort(struct cp_wait *wait)
{
	submit_cancel(of(cp_rt->engine), CP_CONTAINER_OF(wait, struct cp_op, wait));
	return false;
}

/* Waits for what was put into `sqe`: its result, which may be -ECANCELED. */
static int park(struct ring_engine *e, struct cp_op *op, struct cp_fd *at, struct io_uring_sqe *sqe)
{
	struct cp_rt *rt = cp_rt;
	int r = cp_os_uring_refused(sqe);

	op->res = r;
	sqe->user_data = (uintptr_t)op | (CP_UNLIKELY(r < 0) ? TAG_REFUSED : TAG_OP);
	op->at = at;
	op->pending = 1;
	op->stopping = false;
	op->wait.abort = ring_abort;
	at->refs++;
	e->io.engine.waiting++;
	cp_op_enlist(op);
	r = cp_park(rt, &op->wait);
	CP_ASSERT(r == 0 && op->pending == 0);
	if (!op->ended)
		cp_op_leave(op);
	return op->res;
}

/* Was it stopped before it had any effect, and how is that called? Else 0. */
static int stopped(struct cp_op *op, int res)
{
	struct cp_rt *rt = cp_rt;

	if (!op->stopping || (res != -ECANCELED && res != -EINTR))
		return 0;
	if (op->ended)
		return op->ended;
	rt->body->blocked_what = op->wait.what;
	rt->body->blocked_ns = 0;
	rt->cancels_delivered++;
	cp_ignored(rt);
	return COOP_ECANCELED;
}

/* What has not come off is begun again, unless it was taken out, or cancelled, in the meantime. */
static int go_on(const struct cp_op *op)
{
	return op->ended ? op->ended : cp_cancel_point(cp_rt);
}

/* The ring cannot do this with such a file: a system call may. */
static bool is_unable(int res)
{
	return res == -EOPNOTSUPP || res == -EINVAL;
}

/*
 * Once more without the ring, after it said `res`. It is not asked again to do the same with this
 * file, unless the system call says the same: then that was because of what the caller wants.
 */
static int without_ring(struct cp_io *io, struct cp_op *op, int res,
			int (*run)(struct cp_io *io, struct cp_op *op))
{
	struct cp_fd *f = op->f;
	uint32_t gen = f->gen;
	int r;

	if (is_unable(res)) {
		f->no_ring |= (uint16_t)(1u << op->code);
		f->ready |= op->dirs; /* to be tried */
	}
	r = run(io, op);
	if (r == res && f->gen == gen)
		f->no_ring &= (uint16_t)~(1u << op->code);
	return r;
}

/*
 * What has come of an operation of which the ring said `res`: its result; once more without the
 * ring, by `run`. False: it was only interrupted, and has to be begun again.
 */
CP_INLINE bool is_over(struct ring_engine *e, struct cp_op *op, int res,
		       int (*run)(struct cp_io *io, struct cp_op *op), int *ret_r)
{
	int r = stopped(op, res);

	*ret_r = r < 0 ? r : res;
	if (r < 0 || (res != -EAGAIN && res != -EINTR && !is_unable(res)))
		return true;
	*ret_r = r = go_on(op);
	if (r < 0 || res == -EINTR)
		return r < 0;
	*ret_r = without_ring(&e->io, op, res, run);
	return true;
}

static int wait_ready(struct cp_io *io, struct cp_op *op, struct cp_fd *f, uint8_t dirs)
{
	struct ring_engine *e = of(&io->engine);
	struct io_uring_sqe *sqe = next_entry(e);
	unsigned events = 0;
	int res, r;

	if (op->code == CP_OP_POLL)
		events = (unsigned)op->flags;
	else
		events = (dirs & CP_READS ? POLLIN | POLLRDHUP : 0u) |
			 (dirs & CP_WRITES ? (unsigned)POLLOUT : 0u);
	io_uring_prep_poll_add(sqe, f->fd, events);
	res = park(e, op, f, sqe);
	r = stopped(op, res);
	if (r < 0)
		return r;
	if (op->ended)
		return op->ended;
	if (res == -EINTR || res == -EAGAIN)
		return 0; /* it looks, and waits again */
	if (res < 0)
		return res;
	f->ready |= dirs;
	return 0;
}

static int run_ready(struct cp_io *io, struct cp_op *op)
{
	return cp_op_run_ready(io, op, wait_ready);
}

/* -------------------------------------------------------------------------- sockets */

/*
 * Where a datagram finds no room the kernel may have taken its bytes from what the ring tries again
 * later, and send an empty one then (a Unix socket to whose peer others send). So the ring does not
 * wait with one: it answers -EAGAIN, and the call goes on by readiness.
 */
static void prepare(struct io_uring_sqe *sqe, struct cp_op *op)
{
	int fd = op->f->fd, flags = op->flags;

	if (op->dirs & CP_WRITES)
		flags |= MSG_NOSIGNAL | (op->f->kind == CP_FD_SOCKET ? MSG_DONTWAIT : 0);
	switch (op->code) {
	case CP_OP_READ:
	case CP_OP_RECV:
		io_uring_prep_recv(sqe, fd, op->iov->iov_base, op->iov->iov_len, flags);
		break;
	case CP_OP_WRITE:
	case CP_OP_SEND:
		io_uring_prep_send(sqe, fd, op->iov->iov_base, op->iov->iov_len, flags);
		break;
	case CP_OP_RECVMSG:
		io_uring_prep_recvmsg(sqe, fd, op->msg, (unsigned)flags | MSG_CMSG_CLOEXEC);
		break;
	default: io_uring_prep_sendmsg(sqe, fd, op->msg, (unsigned)flags); break;
	}
}

/*
 * One call of its own costs less than a trip through the ring if nothing else is to be submitted
 * together with it; a receive is tried where there is reason to believe that something is there.
 */
static bool try_first(struct ring_engine *e, const struct cp_op *op)
{
	if (op->dirs & CP_READS)
		return op->f->ready & CP_READS;
	return !cp_rt->ready_head && !io_uring_sq_ready(&e->ring);
}

static int run_socket(struct ring_engine *e, struct cp_op *op)
{
	struct io_uring_sqe *sqe;
	int res, r;

	if (try_first(e, op) || op->flags & MSG_DONTWAIT) {
		r = cp_op_try(op);
		if (op->dirs & CP_READS)
			op->f->ready &= (uint8_t)~CP_READS;
		if (r != -EAGAIN || op->flags & MSG_DONTWAIT) {
			if (op->dirs & CP_READS && r > 0 && op->count == 1 &&
			    (size_t)r == op->iov->iov_len)
				op->f->ready |= CP_READS;
			cp_schedule_point(cp_rt);
			return r;
		}
	}
	do {
		sqe = next_entry(e);
		prepare(sqe, op);
		res = park(e, op, op->f, sqe);
	} while (!is_over(e, op, res, run_ready, &r));
	return r;
}

/* ---------------------------------------------------------------------------- files */

static int by_thread(struct cp_io *io, struct cp_op *op)
{
	(void)io;
	return cp_op_file(op);
}

static int ask_for_file(struct ring_engine *e, struct cp_op *op)
{
	struct io_uring_sqe *sqe = next_entry(e);
	int res;

	if (op->code == CP_OP_FSYNC)
		io_uring_prep_fsync(sqe, op->f->fd, op->flags ? IORING_FSYNC_DATASYNC : 0);
	else
		io_uring_prep_readv(sqe, op->f->fd, op->iov, (unsigned)op->count,
				    (uint64_t)op->offset);
	e->io.engine.in_flight++;
	res = park(e, op, op->f, sqe);
	e->io.engine.in_flight--;
	return res;
}

static int run_file(struct ring_engine *e, struct cp_op *op)
{
	int r = cp_op_file_now(op), res;

	if (r != -EAGAIN) {
		cp_schedule_point(cp_rt);
		return r;
	}
	if (op->code == CP_OP_WRITE || op->code == CP_OP_PWRITE)
		return cp_op_file(op); /* buffered: the ring would hand it to a thread, too */
	if (op->f->no_ring & 1u << op->code)
		return cp_op_file(op);
	do
		res = ask_for_file(e, op);
	while (!is_over(e, op, res, by_thread, &r));
	return r;
}

static bool by_ring(const struct cp_op *op)
{
	const struct cp_fd *f = op->f;

	if (!cp_fd_is_socket(f) || f->no_ring & 1u << op->code)
		return false;
	return (op->code >= CP_OP_RECV && op->code <= CP_OP_SENDMSG) ||
	       (op->code <= CP_OP_WRITE && op->count == 1);
}

static int ring_run(struct cp_io *io, struct cp_op *op)
{
	struct ring_engine *e = of(&io->engine);
	int r;

	if (by_ring(op))
		return run_socket(e, op);
	if (cp_op_is_of_file(op))
		return run_file(e, op);
	r = cp_op_run_ready(io, op, wait_ready);
	return CP_UNLIKELY(cp_op_proves_file(op, r)) ? run_file(e, op) : r;
}

static void ring_end(struct cp_io *io, struct cp_fd *f, uint8_t dirs, int code)
{
	for (int d = 0; d < 2; d++) {
		struct cp_op *op = dirs & 1 << d ? f->waiting[d] : NULL;

		if (!op)
			continue;
		cp_op_leave(op);
		op->ended = code;
		submit_cancel(of(&io->engine), op);
	}
}

static void ring_forget(struct cp_io *io, struct cp_fd *f)
{
	(void)io;
	(void)f;
}

static const struct cp_io_ops ring_io_ops = {
	.run = ring_run,
	.end = ring_end,
	.forget = ring_forget,
	.look = cp_fd_look,
	.close = cp_fd_close,
};

/* ----------------------------------------------------------------------- the engine */

static int ring_engine_wait(struct cp_engine *engine, int64_t timeout_ns)
{
	struct ring_engine *e = of(engine);
	int r;

	if (CP_UNLIKELY(!e->armed))
		arm_wake(e);
	r = cp_os_uring_enter(&e->ring, timeout_ns);
	reap(e);
	return r == -ETIME || r > 0 || is_passing(r) ? 0 : r;
}

static void ring_engine_wake(struct cp_engine *engine)
{
	cp_os_eventfd_signal(of(engine)->wakefd);
}

static void ring_engine_close(struct cp_engine *engine)
{
	struct ring_engine *e = of(engine);

	if (e->forks == cp_forks())
		cp_os_uring_close(&e->ring);
	else /* the child of a fork has the descriptor; at the addresses may be maps of its own */
		cp_os_close(e->ring.ring_fd);
	cp_os_close(e->wakefd);
	cp_fds_deinit(&e->io);
	cp_free(e);
}

static const struct cp_engine_ops ring_ops = {
	.name = "uring",
	.wait = ring_engine_wait,
	.wake = ring_engine_wake,
	.close = ring_engine_close,
	.begin = cp_fds_begin,
};

int cp_uring_open(struct cp_engine **ret_engine)
{
	struct ring_engine *e = cp_calloc(1, sizeof *e);
	int r;

	if (!e)
		return -ENOMEM;
	e->io.engine.ops = &ring_ops;
	e->io.ops = &ring_io_ops;
	e->forks = cp_forks();
	e->wakefd = r = cp_os_eventfd();
	if (r >= 0)
		r = cp_os_uring_open(&e->ring, RING_ENTRIES, RING_COMPLETIONS);
	if (r < 0) {
		if (e->wakefd >= 0)
			cp_os_close(e->wakefd);
		cp_free(e);
		return r;
	}
	*ret_engine = &e->io.engine;
	return 0;
}
