/* SPDX-License-Identifier: MIT */
/*
 * The seam's calls on rings, by liburing.
 *
 * A ring may do what the engine does and nothing else: the kernel is told so before it is enabled.
 */
#include "base/os_uring.h"

#include "base/os_impl.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* In what Debian 12 has of the header they are all there; in the kernel from 6.1. */
#define FLAGS \
	(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG | \
	 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE | \
	 IORING_SETUP_R_DISABLED)

static const uint8_t opcodes[] = {
	IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL, IORING_OP_RECV,  IORING_OP_SEND,
	IORING_OP_RECVMSG,  IORING_OP_SENDMSG,      IORING_OP_READV, IORING_OP_FSYNC,
};
#define OPCODES (sizeof opcodes / sizeof *opcodes)

/* Debian 12's liburing declares these two calls, and does not export them. */
static int ring_register(struct io_uring *ring, unsigned opcode, void *arg, unsigned count)
{
	if (cp_os_refused())
		return cp_os_refusal();
	return cp_os_result(syscall(__NR_io_uring_register, ring->ring_fd, opcode, arg, count));
}

static int restrict_ring(struct io_uring *ring)
{
	struct io_uring_restriction r[OPCODES + 3] = { { 0 } };

	for (size_t i = 0; i < OPCODES; i++) {
		r[i].opcode = IORING_RESTRICTION_SQE_OP;
		r[i].sqe_op = opcodes[i];
	}
	r[OPCODES].opcode = IORING_RESTRICTION_REGISTER_OP;
	r[OPCODES].register_op = IORING_REGISTER_ENABLE_RINGS;
	r[OPCODES + 1].opcode = IORING_RESTRICTION_REGISTER_OP;
	r[OPCODES + 1].register_op = IORING_REGISTER_RING_FDS;
	r[OPCODES + 2].opcode = IORING_RESTRICTION_REGISTER_OP;
	r[OPCODES + 2].register_op = IORING_UNREGISTER_RING_FDS;
	return ring_register(ring, IORING_REGISTER_RESTRICTIONS, r, OPCODES + 3);
}

/* Every operation that may be asked for has to be there: by asking, never by the version. */
static int probe(struct io_uring *ring)
{
	union {
		struct io_uring_probe probe;
		char room[sizeof(struct io_uring_probe) + 256 * sizeof(struct io_uring_probe_op)];
	} p = { .room = { 0 } };
	int r = ring_register(ring, IORING_REGISTER_PROBE, &p, 256);

	for (size_t i = 0; r >= 0 && i < OPCODES; i++)
		if (!io_uring_opcode_supported(&p.probe, opcodes[i]))
			r = -ENOSYS;
	return r;
}

/* The last of the three calls, too: a sandbox may have forgotten it. */
static int enter_once(struct io_uring *ring)
{
	if (cp_os_refused())
		return cp_os_refusal();
	return cp_os_result(syscall(__NR_io_uring_enter, ring->ring_fd, 0, 0, 0, NULL, 0));
}

/*
 * liburing maps and unmaps past the C library, and ThreadSanitizer does not see it: the next ring
 * that gets the same addresses, on another thread, would race with what this one did there.  So
 * under it the ring is given back by the C library.  A made-up order of the two threads would hush
 * the report as well, and with it races that are there.
 */
static void close_seen(struct io_uring *ring)
{
	munmap(ring->sq.sqes, *ring->sq.kring_entries * sizeof *ring->sq.sqes);
	munmap(ring->sq.ring_ptr, ring->sq.ring_sz); /* the completions are in it, from 5.4 */
	(void)io_uring_unregister_ring_fd(ring);     /* -EINVAL where it had no room */
	close(ring->ring_fd);
}

void cp_os_uring_close(struct io_uring *ring)
{
	if (CP_IS_TSAN)
		close_seen(ring);
	else
		io_uring_queue_exit(ring);
}

int cp_os_uring_open(struct io_uring *ring, unsigned entries, unsigned completions)
{
	struct io_uring_params params = { .flags = FLAGS, .cq_entries = completions };
	int r = cp_os_refused() ? cp_os_refusal()
				: io_uring_queue_init_params(entries, ring, &params);

	if (r < 0)
		return r;
	if (!(params.features & IORING_FEAT_EXT_ARG) || !(params.features & IORING_FEAT_NODROP))
		r = -ENOSYS;
	if (r >= 0)
		r = probe(ring);
	if (r >= 0)
		r = restrict_ring(ring);
	if (r >= 0)
		r = ring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	if (r >= 0)
		r = enter_once(ring);
	if (r >= 0) {
		(void)io_uring_ring_dontfork(ring);
		(void)io_uring_register_ring_fd(
			ring); /* saves a look-up a call, where there is room */
		return 0;
	}
	cp_os_uring_close(ring);
	return r;
}

/* A poll of no descriptor has no effect, is over at once, and may be asked for. */
int cp_os_uring_refuse(struct io_uring_sqe *sqe)
{
	if (!cp_os_refused())
		return 0;
	io_uring_prep_poll_add(sqe, -1, 0);
	return cp_os_refusal();
}

int cp_os_uring_submit(struct io_uring *ring)
{
	return cp_os_refused() ? cp_os_refusal() : io_uring_submit_and_get_events(ring);
}

/* Is there something to do besides what is to be submitted? */
static bool has_work(const struct io_uring *ring)
{
	return __atomic_load_n(ring->sq.kflags, __ATOMIC_RELAXED) &
	       (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

int cp_os_uring_enter(struct io_uring *ring, int64_t timeout_ns)
{
	struct __kernel_timespec ts = {
		.tv_sec = timeout_ns / 1000000000,
		.tv_nsec = timeout_ns % 1000000000,
	};
	struct io_uring_cqe *cqe;

	if (cp_os_refused())
		return cp_os_refusal();
	if (CP_IS_TSAN && timeout_ns && io_uring_sq_ready(ring)) {
		/* Interrupted it would report what was submitted, and liburing wait again. */
		int r = io_uring_submit_and_get_events(ring);

		if (r < 0 || io_uring_cq_ready(ring))
			return r < 0 ? r : 0;
	}
	if (timeout_ns)
		return io_uring_submit_and_wait_timeout(ring, &cqe, 1, timeout_ns < 0 ? NULL : &ts,
							NULL);
	if (io_uring_sq_ready(ring) || has_work(ring))
		return io_uring_submit_and_get_events(ring);
	return 0;
}
