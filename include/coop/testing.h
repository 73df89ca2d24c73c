/* SPDX-License-Identifier: MIT */
/*
 * The testing kit: time by hand, waiting for silence, order by number, and the two
 * sweeps that end most bugs. A library of its own: libcoop-testing.
 */
#ifndef COOP_TESTING_H
#define COOP_TESTING_H

#include <coop/base.h>
#include <coop/run.h>

COOP_BEGIN_DECLS

/* ------------------------------------------------------------ virtual clock */

/**
 * Moves the virtual clock forward; what is due runs afterwards.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (negative, past the end of time), -ENOTSUP (the clock is real), COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_test_clock_jump(int64_t by_ns);

/**
 * Sets how long everything must have been blocked, in real time, before the
 * virtual clock jumps by itself; COOP_NEVER: it does not. With effect at once. At start 0.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (negative), -ENOTSUP (the clock is real), COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_test_clock_autojump(int64_t threshold_ns);

/**
 * Has the virtual clock run along with the real one, `rate` times as fast; 0: it stands still.
 *
 * While it runs along it does not jump by itself; coop_test_clock_jump still moves it.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (negative, not finite, above 1e6), -ENOTSUP (the clock is real), COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_test_clock_rate(double rate);

/* ------------------------------------------------------------------ silence */

/**
 * Waits until every other task is blocked, and has been for `cushion_ns` of real time.
 *
 * Goes before the virtual clock's jump. Several waiters: shorter cushions first.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED.
 * Errors: COOP_ECANCELED, -EINVAL (negative), COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_test_wait_all_blocked(int64_t cushion_ns);

/* ---------------------------------------------------------------- sequencer */

/** Puts steps of several tasks in order. */
struct coop_sequencer {
	uint32_t _next;
	uint8_t _broken;
	uint8_t _in_step;
	uint64_t _taken[4];
	void *_waiters;
	uint64_t _reserved[2];
};
#define COOP_SEQUENCER_INIT { 0, 0, 0, { 0, 0, 0, 0 }, 0, { 0, 0 } }
COOP_STATIC_ASSERT(sizeof(struct coop_sequencer) == 64, "struct coop_sequencer is ABI");

/**
 * Waits for the turn of point `point` (0 to 255) and begins its step.
 *
 * Point 0 is due at once, another when the step of the one before it has been ended
 * by coop_sequencer_done. Each point can be used once.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; the sequencer is broken then: whoever waits or comes later
 *   gets COOP_EBROKEN.
 * Errors: COOP_ECANCELED, COOP_EBROKEN, -EALREADY (point used before), -EINVAL (point too
 *   large), COOP_ENOTASK; the last three are no checkpoint.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_sequencer_wait(struct coop_sequencer *sequencer, unsigned point);

/**
 * Ends the step that was waited for: the next point is due. Without one it does nothing.
 *
 * Returns nothing.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API
void coop_sequencer_done(struct coop_sequencer *sequencer);

/* -------------------------------------------------------------- checkpoints */

/** The running task's counts of the halves of checkpoints it has gone through. */
struct coop_checkpoint_mark {
	uint64_t cancel_half;
	uint64_t schedule_half;
};

/**
 * Counts the checkpoints of the running task so far.
 *
 * Returns the counts; both 0 outside of tasks.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
struct coop_checkpoint_mark coop_test_checkpoints(void);

/**
 * Aborts the program unless the running task has gone through a whole checkpoint since `mark`
 * (`expected`), or through no half of one (not `expected`).
 *
 * Use the macros coop_assert_checkpoint and coop_assert_no_checkpoint.
 *
 * Returns nothing.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API
void coop_test_assert_checkpoint_at(struct coop_checkpoint_mark mark, bool expected,
				    const char *site);
#define coop_assert_checkpoint(mark) coop_test_assert_checkpoint_at((mark), true, COOP_TEST_HERE)
#define coop_assert_no_checkpoint(mark) \
	coop_test_assert_checkpoint_at((mark), false, COOP_TEST_HERE)
#define COOP_TEST_TEXT_1(x) #x
#define COOP_TEST_TEXT(x) COOP_TEST_TEXT_1(x)
#define COOP_TEST_HERE __FILE__ ":" COOP_TEST_TEXT(__LINE__)

/* ------------------------------------------------------------------- sweeps */

/** How a sweep went. */
struct coop_sweep {
	uint64_t runs;     /* times the function was run */
	uint64_t injected; /* of them with something injected */
	uint64_t failed_at; /* number of the injection that went wrong; 0: the undisturbed run */
	char why[160];     /* what went wrong then; "": nothing did */
};

/**
 * Says whether the outcome `rc` of a run with injection number `n` (0: none) is right.
 *
 * Called outside of tasks. Returns NULL, or what is wrong.
 */
typedef const char *coop_sweep_check(int rc, uint64_t n, void *ctx);

/**
 * Runs fn(arg) on the virtual clock once for every checkpoint it goes through, and for every
 * join that waits, in whatever task, each time with that task cancelled there, as its handle
 * would.
 *
 * The first run is not disturbed; it counts. After each run nothing may be left: no task,
 * no memory of coop's. fn must do the same each time, up to the injection.
 *
 * Returns 0 if all went well, else -EPROTO with the details in `ret_sweep` (may be NULL).
 *
 * Checkpoint: never.
 * Errors: -EPROTO, -EALREADY (inside a run), those of coop_run that kept the first run from
 *   beginning.
 * Thread: any that is not in a run.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_sweep_cancel(coop_fn *fn, void *arg, const struct coop_run_opts *opts,
		      coop_sweep_check *check, void *ctx, struct coop_sweep *ret_sweep);

/**
 * Runs fn(arg) on the virtual clock once for every allocation it causes, each time with that
 * one failing, and, if `for_ever`, every later one too.
 *
 * A run that ends before fn has begun is judged as well. Otherwise as coop_sweep_cancel.
 *
 * Returns 0 if all went well, else -EPROTO with the details in `ret_sweep` (may be NULL).
 *
 * Checkpoint: never.
 * Errors: -EPROTO, -EALREADY (inside a run), those of coop_run that kept the first run from
 *   beginning.
 * Thread: any that is not in a run.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_sweep_alloc(coop_fn *fn, void *arg, const struct coop_run_opts *opts, bool for_ever,
		     coop_sweep_check *check, void *ctx, struct coop_sweep *ret_sweep);

/**
 * Runs fn(arg) on the virtual clock under `count` seeds, from `first` on; 0 is no seed.
 *
 * Returns 0 if `check` was content with all, else -EPROTO; `failed_at` is the seed.
 *
 * Checkpoint: never.
 * Errors: -EPROTO, -EALREADY (inside a run), those of coop_run.
 * Thread: any that is not in a run.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_sweep_seeds(coop_fn *fn, void *arg, const struct coop_run_opts *opts, uint64_t first,
		     uint64_t count, coop_sweep_check *check, void *ctx,
		     struct coop_sweep *ret_sweep);

/* ---------------------------------------------------------- the simulated world */

/** How many errors of accept a plan takes. */
#define COOP_SIM_ACCEPT_ERRORS 32

/**
 * What the simulated engine's world does beside what was asked of it; all zero: nothing, what is
 * sent is there whole and at once. What is left to chance is drawn from the run's seed.
 */
struct coop_sim_opts {
	uint32_t short_percent;     /* of transfers that move less than they could */
	uint32_t refuse_percent;    /* of TCP connections that are refused */
	uint32_t reset_percent;     /* of TCP connections that are reset ... */
	uint32_t reset_bytes;       /* ... before one side has sent so many bytes; 0: 64 KiB */
	uint32_t drop_percent;      /* of UDP's datagrams, that are lost */
	uint32_t dup_percent;       /* of them, that come twice */
	uint32_t fds_max;           /* simulated descriptors at once; 0: the system's limit */
	uint32_t buffer_bytes;      /* of each direction of a stream; 0: as the kernel has them */
	int64_t latency_min_ns;     /* from host to host: drawn once for a connection, */
	int64_t latency_max_ns;     /* for each datagram anew */
	int64_t completion_max_ns;  /* a call's result comes this much later, at most */
	const int *accept_errors;   /* positive errnos: what the next calls of accept fail with, */
	uint32_t accept_errors_count; /* copied, in turn; at most COOP_SIM_ACCEPT_ERRORS */
	uint64_t disk_bytes;        /* of all files, then -ENOSPC; 0: no limit */
	uint64_t _reserved[8];
};

/** Kinds of calls that coop_sim_fail can make fail. */
enum coop_sim_call {
	COOP_SIM_READ,     /* coop_read, recv, pread ... */
	COOP_SIM_WRITE,    /* coop_write, send, pwrite ... */
	COOP_SIM_ACCEPT,
	COOP_SIM_CONNECT,
	COOP_SIM_POLL,
	COOP_SIM_FSYNC,
	COOP_SIM_SPLICE,
	COOP_SIM_SOCKET,   /* socket, socketpair, pipe */
	COOP_SIM_BIND,
	COOP_SIM_LISTEN,
	COOP_SIM_SHUTDOWN,
	COOP_SIM_OPTION,   /* getsockopt, setsockopt */
	COOP_SIM_PATH,     /* of a socket: unlink, rename, chmod, its information */
	COOP_SIM_FILE,     /* what fs.h does with names: open, stat, rename, unlink, mkdir */
	COOP_SIM_CALLS,    /* how many there are */
};

/**
 * Plans the simulated world's behaviour from now on; NULL: nothing but what is asked of it, and
 * what coop_sim_fail has planned is taken back.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (a percentage, a time or a count out of range), -ENOTSUP (another engine),
 *   COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_sim_plan(const struct coop_sim_opts *opts);

/**
 * Makes the nth call of this kind from now on fail with `error` (positive, of errno.h); 1 is the
 * next. Such a call has no effect. At most 32 are planned at once. With EINTR and EAGAIN it goes
 * on, as with the kernel's.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL, -ENOSPC (32 are planned already), -ENOTSUP (another engine), COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_sim_fail(enum coop_sim_call call, int error, uint64_t nth);

/**
 * Cuts the network between two hosts, or joins it again: addresses as "10.0.0.1", "10.0.0.2".
 *
 * The hosts of the simulated world are 127.0.0.0/8, ::1, 10.0.0.0/8 and fd00::/8. What is sent over
 * a connection that is cut arrives when it is joined; a connect waits till then; datagrams are
 * lost.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (no address), -ENOMEM, -ENOTSUP (another engine), COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_sim_partition(const char *host_a, const char *host_b, bool cut);

/**
 * Lets the machine crash and come up again, as far as its files go: of what was not synced, each
 * file's data and each directory's names are kept or lost as a whole, by the seed.
 *
 * A directory's names are synced by an fsync of the directory. Descriptors stay open.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -ENOMEM, -ENOTSUP (another engine), COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_sim_crash(void);

COOP_END_DECLS

#endif
