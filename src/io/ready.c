/* SPDX-License-Identifier: MIT */
/*
 * Operations by readiness: try, and where it would have to wait, wait until a try may succeed.
 *
 * Whether a try is worth its system call is remembered in the entry: a direction is not ready from
 * an -EAGAIN until the engine has seen an edge, nor after a read from a stream that
 * was shorter than asked for, since that took all there was. That one is not believed once the peer
 * has ended its side: the edge that said so may have been the last one.
 */
#include "io/io.h"

#include "base/os.h"
#include "core/park.h"

#include <errno.h>
#include <poll.h>

#define CP_ASK_FIRST COOP_MICROSECONDS(100)
#define CP_ASK_MAX COOP_MILLISECONDS(10)

static bool ready_abort(struct cp_wait *wait)
{
	struct cp_op *op = CP_CONTAINER_OF(wait, struct cp_op, wait);

	if (op->parked) {
		op->parked = false;
		cp_rt->engine->waiting--;
	}
	cp_op_leave(op);
	return true;
}

int cp_op_park_ready(struct cp_io *io, struct cp_op *op)
{
	int r;

	op->wait.abort = ready_abort;
	op->parked = true;
	cp_op_enlist(op);
	io->engine.waiting++;
	r = cp_park_inline(cp_rt, &op->wait);
	if (CP_UNLIKELY(r == COOP_ECANCELED))
		cp_ignored(cp_rt);
	if (CP_UNLIKELY(r < 0))
		return r;
	if (op->ended)
		return op->ended;
	cp_op_leave(op);
	return 0;
}

static void wake(struct cp_io *io, struct cp_op *op, int result)
{
	if (!op->parked)
		return;
	op->parked = false;
	io->engine.waiting--;
	cp_wake(cp_rt, op->wait.task, result);
}

void cp_fd_is_ready(struct cp_io *io, struct cp_fd *f, uint8_t dirs)
{
	f->ready |= dirs;
	if (dirs & CP_READS && f->waiting[0])
		wake(io, f->waiting[0], 0);
	if (dirs & CP_WRITES && f->waiting[1])
		wake(io, f->waiting[1], 0);
}

void cp_fd_end(struct cp_io *io, struct cp_fd *f, uint8_t dirs, int code)
{
	for (int d = 0; d < 2; d++) {
		struct cp_op *op = dirs & 1 << d ? f->waiting[d] : NULL;

		if (!op)
			continue;
		cp_op_leave(op);
		op->ended = code;
		wake(io, op, code);
	}
}

static bool dont_wait(const struct cp_op *op)
{
	return op->code >= CP_OP_RECV && op->code <= CP_OP_SENDMSG && op->flags & MSG_DONTWAIT;
}

/* Others may use the same file, or it is two: only the kernel knows. */
static bool must_try(const struct cp_op *op)
{
	return op->code == CP_OP_POLL || op->code == CP_OP_SPLICE || dont_wait(op);
}

/* Nothing to read, or no room; unless what it looked for is something else than the next bytes. */
static void note_none(struct cp_op *op)
{
	if ((op->code == CP_OP_RECV || op->code == CP_OP_RECVMSG) && cp_reads_aside(op->flags))
		return;
	op->f->ready &= (uint8_t)~op->dirs;
}

static void note_short(struct cp_op *op, int r)
{
	if (op->count == 1 && !op->flags && (op->code == CP_OP_RECV || op->code == CP_OP_READ))
		cp_fd_note_read(op->f, r, op->iov->iov_len);
}

/* Waits for the side of a splice that is not ready. If both are, somebody was faster. */
static int wait_splice(struct cp_io *io, struct cp_op *op, cp_wait_ready *wait_ready)
{
	struct cp_op in = { .f = op->f, .code = CP_OP_POLL, .flags = POLLIN };
	struct cp_op out = { .f = op->to, .code = CP_OP_POLL, .flags = POLLOUT };

	if (op->f->kind != CP_FD_FILE && cp_op_try(&in) == -EAGAIN)
		return wait_ready(io, op, op->f, CP_READS);
	if (op->to->kind != CP_FD_FILE && cp_op_try(&out) == -EAGAIN)
		return wait_ready(io, op, op->to, CP_WRITES);
	cp_op_enlist(op); /* so that it ends with its descriptors */
	cp_yield(cp_rt);
	if (op->ended)
		return op->ended;
	cp_op_leave(op);
	return 0;
}

/*
 * Nothing says that the queue of a Unix socket, which was full, has room again for one that is not
 * connected to it: the poll of that one is over at once.
 */
static bool is_unheard(const struct cp_op *op)
{
	if (op->code == CP_OP_CONNECT)
		return !op->state;
	return op->code == CP_OP_SENDMSG && op->msg->msg_name && op->f->kind == CP_FD_SOCKET &&
	       cp_os_poll(op->f->fd, POLLOUT) > 0;
}

/*
 * So it asks again, after pauses that grow. Meanwhile it is in its place, so that it ends with its
 * descriptor.
 */
static int ask_again(struct cp_op *op, int64_t *pause_ns)
{
	int r;

	cp_op_enlist(op);
	r = cp_park_sleep(cp_rt, 0, *pause_ns);
	if (r == COOP_ECANCELED)
		cp_ignored(cp_rt);
	if (op->ended)
		return r < 0 ? r : op->ended;
	cp_op_leave(op);
	op->f->ready |= CP_WRITES; /* to be tried */
	if (*pause_ns < CP_ASK_MAX)
		*pause_ns *= 2;
	return r;
}

static int try(struct cp_op *op, bool *waited)
{
	if (op->code == CP_OP_SPLICE &&
	    (op->f->kind == CP_FD_FILE || op->to->kind == CP_FD_FILE))
		return cp_op_splice_file(op, waited);
	return cp_op_try(op);
}

int cp_op_run_ready(struct cp_io *io, struct cp_op *op, cp_wait_ready *wait_ready)
{
	struct cp_rt *rt = cp_rt;
	int64_t pause_ns = CP_ASK_FIRST;
	bool waited = false;
	int r;

	for (;;) {
		if (op->f->ready & op->dirs || must_try(op)) {
			r = try(op, &waited);
			if (r != -EAGAIN || dont_wait(op))
				break;
			note_none(op);
		}
		/* a cancel between its wake-up and its turn found nobody parked */
		r = waited ? cp_cancel_point(rt) : 0;
		if (r < 0)
			return r;
		if (op->code == CP_OP_SPLICE)
			r = wait_splice(io, op, wait_ready);
		else if (is_unheard(op))
			r = ask_again(op, &pause_ns);
		else
			r = wait_ready(io, op, op->f, op->dirs);
		if (r < 0 && (waited || r == COOP_ECANCELED || op->ended))
			return r;
		if (r < 0)
			break;
		waited = true;
	}
	note_short(op, r); /* first: whoever runs in between may learn that there is more */
	if (!waited)
		cp_schedule_point(rt);
	return r;
}
