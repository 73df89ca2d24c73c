/* SPDX-License-Identifier: MIT */
/*
 * Threads beside the loop: for what blocks and cannot be waited for in any other way.
 *
 *	static int resolve(void *arg)                        // in a thread of the pool
 *	{
 *		struct lookup *l = arg;
 *		return getaddrinfo(l->host, NULL, NULL, &l->found) ? -ENOENT : 0;
 *	}
 *
 *	r = coop_offload(resolve, &lookup);                  // a task; the others go on meanwhile
 *
 * The task waits, its thread works; the result, and the error object with it, is the call's. What
 * the function gets by its argument is its own until it has returned, so it may well lie in the
 * task's frame: a cancel of the task does not end the call before the thread is done. Whoever
 * cannot wait for that says so: COOP_ON_CANCEL_ABANDON, or COOP_ON_CANCEL_INTERRUPT.
 *
 * The threads are the process's, in lanes, so that slow name servers do not hold up files. A lane
 * starts a thread when it has work and no idle one, up to its limit; what is beyond waits in the
 * lane, first in, first out. A thread with nothing to do ends after ten seconds. Signals of the
 * process are not delivered to them.
 *
 * In the thread there is no run and no task: coop's calls answer with COOP_ENOTASK there, save
 * those that say "any thread", coop_local_get, which sees what the task had bound when it called,
 * and coop_thread_call, which calls back into the task.
 */
#ifndef COOP_THREAD_H
#define COOP_THREAD_H

#include <coop/base.h>
#include <coop/group.h>
#include <coop/sync.h>

COOP_BEGIN_DECLS

/* -------------------------------------------------------------------- offload */

/** Where work waits for a thread; each with a limit of its own. */
enum coop_lane {
	COOP_LANE_USER, /* two threads a processor */
	COOP_LANE_DNS,  /* 8; the library's own name look-ups use it */
	COOP_LANE_FS,   /* 16; so do its files */
};
#define COOP_LANES 3

/** What a cancel does to a call whose thread is at work. */
enum coop_on_cancel {
	/* Waits for it all the same: its result is delivered, the next checkpoint is cancelled. */
	COOP_ON_CANCEL_WAIT,
	/* Returns COOP_ECANCELED at once; the thread goes on, and its result goes to `late`. */
	COOP_ON_CANCEL_ABANDON,
	/* Signals the thread until it has returned, so that what blocks in it returns EINTR. */
	COOP_ON_CANCEL_INTERRUPT,
};

/** Options of an offload; all zero: the user's lane, and a cancel waits. */
struct coop_offload_opts {
	enum coop_lane lane;
	enum coop_on_cancel on_cancel;
	/*
	 * Borrows a token before it begins, and has it until the *thread* is done, also if that
	 * was abandoned, or until the run ends. Kept until then. In a call back from a thread
	 * that has one of the same limiter already, that one will do.
	 */
	struct coop_limiter *limiter;
	/*
	 * ABANDON, and required there: whenever the call returns COOP_ECANCELED, `arg` is no longer
	 * the caller's but is given to this, with what fn returned, or COOP_ECANCELED if it never
	 * ran. In the pool's thread, or, if it never ran, before the call returns.
	 */
	void (*late)(void *arg, int result);
	uint64_t _reserved[8];
};

/**
 * Runs fn(arg) in a thread of the pool while other tasks go on.
 *
 * Use the macros coop_offload and coop_offload_with, whose last argument is the options. `arg` is
 * borrowed for the call, save with ABANDON. While the work has not begun a cancel takes it back,
 * whatever the options say. On the virtual clock no time passes while the thread works.
 *
 * Returns what fn returned, with its error object.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; fn was not begun, or, with ABANDON, goes on alone.
 * Errors: fn's own; COOP_ECANCELED, -EINVAL (options; ABANDON without `late`), -ENOMEM, -EAGAIN or
 *   what else the system has against a first thread of the lane; -EBUSY (INTERRUPT, and the
 *   program itself handles SIGURG), those of coop_limiter_acquire_for, COOP_ENOTASK, COOP_EFORK: fn
 *   was not begun. Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_offload_at(coop_fn *fn, void *arg, const struct coop_offload_opts *opts, const char *site);
#define coop_offload(fn, arg) coop_offload_at((fn), (arg), NULL, COOP_SPAWN_SITE(fn))
/* The options may be a literal with commas in it, which is why this is variadic. */
#define coop_offload_with(fn, arg, ...) \
	coop_offload_at((fn), (arg), __VA_ARGS__, COOP_SPAWN_SITE(fn))

/**
 * Asks, in an offloaded function, whether the task that called it has been cancelled.
 *
 * Returns true or false; false in any other thread.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
bool coop_thread_cancelled(void);

/**
 * Calls back, from an offloaded function into the task that called it: fn(arg) runs there, in the
 * task's scopes, while the thread waits.
 *
 * `arg` is borrowed for the call. If the task is cancelled, fn finds that at its checkpoints. The
 * thread does not count against the limit of its lane meanwhile.
 *
 * Returns what fn returned; its error object is the thread's.
 *
 * Checkpoint: never by itself; fn's are the task's.
 * Errors: fn's own; COOP_ECANCELED (the task has abandoned the thread), COOP_ECLOSED (and its run
 *   has ended), COOP_EWRONGTHREAD (any other thread, the runtime's own above all): fn was not run.
 * Thread: of an offloaded function.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_thread_call(coop_fn *fn, void *arg);

/** A lane as it is now, and what it has seen in the life of the process. */
struct coop_lane_stats {
	uint32_t limit;
	uint32_t threads;       /* there are */
	uint32_t idle;          /* of these have nothing to do */
	uint32_t calling;       /* of these wait in coop_thread_call */
	uint32_t queued;        /* wait for a thread */
	uint32_t queued_peak;
	uint32_t threads_peak;
	uint64_t started;       /* functions begun */
	uint64_t waited;        /* of these had to wait in the lane */
	int64_t waited_ns;      /* so long, together */
	int64_t waited_peak_ns; /* and at most */
	uint64_t _reserved[4];
};

/**
 * Tells how a lane is doing.
 *
 * Returns 0, with the numbers in `ret_stats`.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (no such lane).   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_lane_stats(enum coop_lane lane, struct coop_lane_stats *ret_stats);

/**
 * Changes how many threads a lane may have at work. More are started as soon as there is work
 * for them; of those that are too many each ends when it has finished what it does.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (no such lane; a limit of 0).   Thread: any.   Since: 0.1
 */
COOP_API
int coop_lane_set_limit(enum coop_lane lane, uint32_t limit);

COOP_END_DECLS

#endif
