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

/* -------------------------------------------------------------------- portals */

/**
 * A way for any thread into a group: it has functions run there, as tasks.
 *
 *	r = coop_portal_open(&g, &portal);                   // in a task
 *	...
 *	r = coop_portal_call(portal, add_user, &user);       // in a thread of the program
 *
 * The portal is itself a child of the group, in which the calls run as tasks of their own, with the
 * locals of whoever opened it. It keeps the group open until it is closed; cancelled with the group
 * it ends its calls. What a call fails with is its caller's, and fails nobody else. A portal is
 * counted and outlives its run: whoever comes too late is told so.
 */
struct coop_portal;

/** What a thread keeps of a task that it has had started through a portal; counted. */
struct coop_remote;

/**
 * Opens a portal into `group`.
 *
 * Returns 0, with the portal in `ret_portal`: the caller's, for coop_portal_unref.
 *
 * Checkpoint: never.
 * Errors: -ENOMEM, and those of coop_spawn: nothing was opened.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_portal_open(struct coop_group *group, struct coop_portal **ret_portal);

/**
 * Counts one more owner of a portal.   Returns `portal`; NULL stays NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
struct coop_portal *coop_portal_ref(struct coop_portal *portal);

/**
 * Drops a portal, which is not closed by that. NULL is fine.
 *
 * Returns NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
struct coop_portal *coop_portal_unref(struct coop_portal *portal);

/**
 * Stops a portal: calls that come later are refused. With `cancel` those that it has are
 * cancelled, else they go on; the portal ends with the last.
 *
 * Returns 0, or 1 if it was stopped already; `cancel` counts also then.
 *
 * Checkpoint: never; never allocates.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
int coop_portal_stop(struct coop_portal *portal, bool cancel);

/**
 * Stops a portal, and waits until the last of its calls has ended. A thread that calls in the
 * same moment is refused by the loop, at its next turn: do not block the loop until then.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED. Before the call: nothing was done; during the wait: it is stopped.
 * Errors: COOP_ECANCELED, -EDEADLK (from one of its own calls: not even stopped),
 *   COOP_EWRONGTHREAD, COOP_ENOTASK.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_portal_close(struct coop_portal *portal, bool cancel);

/**
 * Has fn(arg) run in a task of the portal, and waits for it. `arg` is borrowed for the call.
 *
 * Returns what fn returned; its error object is the thread's.
 *
 * Checkpoint: never.
 * Errors: fn's own; COOP_ETASKCANCELLED (the task was cancelled), COOP_ECLOSED (the portal is
 *   stopped, or its run has ended: fn was not run), COOP_EFORK (a forked child, where the run is
 *   not), COOP_EWRONGTHREAD (this is the portal's own loop, which would wait for itself), -ENOMEM,
 *   -EINVAL.
 * Thread: any but the portal's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_portal_call(struct coop_portal *portal, coop_fn *fn, void *arg);

/**
 * Has fn(arg) started in a task of the portal. `arg` is kept until the task has ended.
 *
 * Without `ret_remote` nobody learns how it ends, so a failure is a line in the log.
 *
 * Returns 0, with what remains of it here in `ret_remote`: for coop_remote_unref.
 *
 * Checkpoint: never.
 * Errors: COOP_ECLOSED, COOP_EFORK, COOP_EWRONGTHREAD, -ENOMEM, -EINVAL: as coop_portal_call.
 * Thread: any but the portal's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_portal_spawn(struct coop_portal *portal, coop_fn *fn, void *arg,
		      struct coop_remote **ret_remote);

/**
 * Has fn(arg, start) started in a task of the portal, and waits until it has called coop_started.
 *
 * `ret_value` (may be NULL) gets what it passed; `ret_remote` may be NULL, as above.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: the task's own, if it failed first; COOP_ENOTSTARTED (it ended without coop_started),
 *   COOP_ETASKCANCELLED (it was cancelled first), and those of coop_portal_call. There is no
 *   remote then. Thread: any but the portal's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_portal_start(struct coop_portal *portal, coop_start_fn *fn, void *arg, int *ret_value,
		      struct coop_remote **ret_remote);

/**
 * Waits, at most `timeout_ns` of real time (COOP_NEVER: for ever; 0: just looks), until the task
 * has ended.
 *
 * Returns what its function returned, as often as it is asked; the error object is the thread's
 * each time.
 *
 * Checkpoint: never.
 * Errors: the function's own; -EAGAIN (not ended yet), COOP_ETASKCANCELLED, COOP_ECLOSED (the
 *   portal was stopped just before), COOP_EWRONGTHREAD (as coop_portal_call, if it would have
 *   to wait), COOP_EFORK (a forked child: it had not ended before), -EINVAL (negative timeout).
 * Thread: any but the portal's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_remote_wait(struct coop_remote *remote, int64_t timeout_ns);

/**
 * Cancels the task, and no other; before it has begun it never does.
 *
 * Returns 0, or 1 if it had ended or was cancelled already, and in a forked child.
 *
 * Checkpoint: never; never allocates.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
int coop_remote_cancel(struct coop_remote *remote);

/**
 * Counts one more owner of a remote.   Returns `remote`; NULL stays NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
struct coop_remote *coop_remote_ref(struct coop_remote *remote);

/**
 * Drops a remote; the task is not touched. NULL is fine.
 *
 * Returns NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
struct coop_remote *coop_remote_unref(struct coop_remote *remote);

/* ------------------------------------------------------------------- run soon */

/** Calls that a run keeps at most, while they wait for their turn. */
#define COOP_SOON_MAX 1024

/** The right to have something called in a run, from anywhere; counted, outlives the run. */
struct coop_token;

/**
 * Gives a token of the run that is going on. The first one of a run takes its memory.
 *
 * Returns 0, with the token in `ret_token`: the caller's, for coop_token_unref.
 *
 * Checkpoint: never.
 * Errors: -ENOMEM, COOP_ECLOSED (the run ends already), COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_token_open(struct coop_token **ret_token);

/**
 * Counts one more owner of a token.   Returns `token`; NULL stays NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
struct coop_token *coop_token_ref(struct coop_token *token);

/**
 * Drops a token. NULL is fine.   Returns NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: any; not in a signal handler.   Since: 0.1
 */
COOP_API
struct coop_token *coop_token_unref(struct coop_token *token);

/**
 * Has fn(arg) called soon in the run, by a task of the runtime's own, one call after the other in
 * the order in which they came.
 *
 * fn should not wait: others wait behind it. It may use the run and its objects: set an event,
 * spawn into coop_run_group(). Now and then other tasks have their turn in between. A negative
 * result is an internal error that stops the run; what is queued is called all the same.
 *
 * Returns 0: it will be called, while the run ends at the latest.
 *
 * Checkpoint: never; never allocates, never blocks.
 * Errors: -EAGAIN (COOP_SOON_MAX are waiting; it is counted), COOP_ECLOSED (the run has ended, or
 *   is past calling), COOP_EFORK (a forked child), -EINVAL. It will not be called.
 * Thread: any; signal-safe.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_run_soon(struct coop_token *token, coop_fn *fn, void *arg);

/** A call that is queued at most once at a time; in memory that lives until the run has ended. */
struct coop_soon {
	coop_fn *_fn;
	void *_arg;
	uint32_t _queued;
	uint32_t _reserved[3];
};
#define COOP_SOON_INIT(fn, arg) { (fn), (arg), 0, { 0, 0, 0 } }
COOP_STATIC_ASSERT(sizeof(struct coop_soon) == 32, "struct coop_soon is ABI");

/**
 * The same for a call that was made ready by COOP_SOON_INIT(fn, arg): while it waits it is not
 * queued again. From the moment when it begins it may be.
 *
 * Returns 0, or 1 if it was waiting already.
 *
 * Checkpoint: never; never allocates, never blocks.
 * Errors: as coop_run_soon.   Thread: any; signal-safe.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_run_soon_once(struct coop_token *token, struct coop_soon *soon);

/**
 * Tells how many calls were refused because COOP_SOON_MAX were waiting.
 *
 * Returns their number in the run of this token.
 *
 * Checkpoint: never.   Errors: none.   Thread: any; signal-safe.   Since: 0.1
 */
COOP_API COOP_MUST_USE
uint64_t coop_token_overflows(const struct coop_token *token);

COOP_END_DECLS

#endif
