/* SPDX-License-Identifier: MIT */
/*
 * Groups: own tasks, join them, gather their errors.
 *
 *	struct coop_group g = COOP_GROUP_INIT;
 *	int r = 0;
 *
 *	coop_group_open(&g, NULL);
 *	for (size_t i = 0; r >= 0 && i < n; i++)
 *		r = coop_spawn(&g, fetch, &pages[i]);
 *	return coop_group_join(&g, r);
 *
 * The body, from open to join, is a child like the others: its failure cancels
 * them, and the failure of a child interrupts it at its next checkpoint. The
 * join waits for all, always, and cannot be interrupted; a cancellation from
 * outside reaches the children. There is no detach.
 *
 * A failed group's code is that of its primary leaf: the first of the fatal
 * class, else the first in time. Its error is always a group node with every
 * failure in order of completion; cancelled children are counted, not listed.
 *
 * A spawn that returns 0 has accepted: the task runs, at least to its first
 * checkpoint, whatever happens. A spawn that fails has changed nothing, and
 * `arg` is still the caller's.
 */
#ifndef COOP_GROUP_H
#define COOP_GROUP_H

#include <coop/base.h>
#include <coop/error.h>
#include <coop/scope.h>
#include <coop/task.h>

COOP_BEGIN_DECLS

/** Lives on the stack of the task that opens it, or in memory that outlives the block. */
struct coop_group {
	struct coop_scope _scope;
	uintptr_t _rt;
	struct coop_task *_first;
	struct coop_task *_gone;
	void *_waiters;
	void *_errs;
	void *_policy_fn;
	void *_policy_ctx;
	uint32_t _live;
	uint32_t _running_max;
	uint32_t _finished;
	uint32_t _peak;
	uint32_t _services;
	uint32_t _errors_max;
	uint32_t _failed;
	uint32_t _cancelled;
	uint8_t _policy;
	uint8_t _flags;
	uint8_t _unkept;
	uint8_t _waiting;
	uint32_t _logged;
};
#define COOP_GROUP_INIT \
	{ COOP_SCOPE_INIT_AS(1), 0, 0, 0, 0, 0, 0, 0, 1, COOP_UNLIMITED, 0, 0, 0, 16, 0, 0, 0, \
	  0, 0, 0, 0 }
COOP_STATIC_ASSERT(sizeof(struct coop_group) == 240, "struct coop_group is ABI");

/** What a failure of a child does. The fatal class cancels under every policy, and so
 * does a failure of the body. */
enum coop_policy {
	COOP_FAIL_FAST, /* the first failure cancels the rest */
	COOP_COLLECT,   /* nobody is cancelled; all errors at the end */
	COOP_LOG,       /* a line in the log, and on; not part of the result */
	COOP_JUDGE,     /* the callback decides, error by error */
};

enum coop_verdict {
	COOP_VERDICT_FATAL, /* cancel the rest; part of the error */
	COOP_VERDICT_KEEP,  /* part of the error at the end */
	COOP_VERDICT_LOG,   /* a line in the log */
};

/**
 * Judges a failure. `error` is borrowed for the call.
 *
 * Must neither suspend nor fail. Any other value than a verdict is an internal error of
 * the fatal class, and so it is when the judge has let other tasks run (coop_yield); one
 * that would wait aborts the program.
 */
typedef enum coop_verdict coop_judge_fn(const struct coop_error *error, void *ctx);

/** Options of a group; all zero: fail fast, no limits. */
struct coop_group_opts {
	const char *name;       /* copied */
	enum coop_policy policy;
	coop_judge_fn *judge;   /* with COOP_JUDGE */
	void *judge_ctx;
	int64_t timeout_ns;     /* from opening; 0: none. When it fires: a COOP_ETIMEDOUT leaf */
	uint32_t running_max;   /* children at once; 0: no limit */
	uint32_t errors_max;    /* errors kept whole, the first and the last at least;
				   0: 16; COOP_UNLIMITED */
	bool cancel_on_join;    /* the end of the body cancels the children */
	bool shield;            /* hard shield around body and children */
	bool strict_code;       /* a failed join always returns COOP_EGROUP, or the fatal code */
	int64_t soft_shield_ns; /* soft shield, at most this long */
	int64_t grace_ns;       /* of cancels by the group; 0: the runner's; COOP_NO_GRACE */
	uint64_t _reserved[8];
};

/**
 * Opens `group` in the running task.   Use the macro coop_group_open.
 *
 * `group` is kept until join returns; `opts` is borrowed. A failure sticks: spawn
 * and join report it. A group is opened once. It may have been cancelled before.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (options), -EALREADY (opened before), COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API
int coop_group_open_at(struct coop_group *group, const struct coop_group_opts *opts,
		       const char *site);
#define coop_group_open(group, ...) coop_group_open_at((group), __VA_ARGS__, COOP_HERE)

/**
 * Waits until every child has ended and closes the group.
 *
 * `rc` says how the body went: negative cancels the children and is part of
 * the group's error. Use: `return coop_group_join(&g, r);`
 *
 * Returns `rc` if it is 0 or more and no child failed or passed a cancellation
 * on; 0 if the group was cancelled itself and nothing failed.
 *
 * Checkpoint: custom: yields at least once; cannot be interrupted, a
 *   cancellation reaches the children and the join ends as they do.
 * Cancel: COOP_ECANCELED, if a child or the body ended cancelled from outside and
 *   none failed; everyone has ended.
 * Errors: the primary leaf's code; COOP_EGROUP (strict_code); COOP_EWRONGTASK,
 *   COOP_ECLOSED, COOP_ENOTOPEN, COOP_ENOTASK, COOP_EFORK (nothing changed); what opening
 *   it failed with. An inner one still open aborts the program.
 * Thread: the runtime's, in the task that opened it.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_group_join(struct coop_group *group, int rc);

/**
 * Waits until no child is left, services apart, without closing the group; nor anybody who waits
 * for room in it.
 *
 * From any task but the children. More may be spawned afterwards.
 *
 * Returns 0. Errors of children are delivered by join alone.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, at once; the children are not touched.
 * Errors: COOP_ECANCELED, -EDEADLK (called by a task that the group waits for),
 *   COOP_ENOTOPEN, COOP_ECLOSED, COOP_EWRONGTHREAD, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_group_wait(struct coop_group *group);

/**
 * Cancels body and children, with a reason (copied, cut at 63 bytes; NULL: none).
 *
 * Use the macro coop_group_cancel. The join then returns 0 if nothing failed.
 *
 * Returns 0, or 1 if it was closed or cancelled already.
 *
 * Checkpoint: never; never allocates.
 * Errors: -EINVAL (negative grace), COOP_EWRONGTHREAD, COOP_EFORK.
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API
int coop_group_cancel_at(struct coop_group *group, const char *reason, int64_t grace_ns,
			 const char *site);
#define coop_group_cancel(group, reason) \
	coop_group_cancel_at((group), (reason), COOP_NEVER, COOP_HERE)
#define coop_group_cancel_grace(group, reason, grace_ns) \
	coop_group_cancel_at((group), (reason), (grace_ns), COOP_HERE)

/** The group's own scope: for deadlines, shields, reasons. Never close it by itself. */
static inline struct coop_scope *coop_group_scope(struct coop_group *group)
{
	return &group->_scope;
}

/** Numbers of a group. */
struct coop_group_stats {
	uint32_t running;   /* children alive, not yet started ones and services included */
	uint32_t blocked;   /* of them parked */
	uint32_t services;  /* of them services */
	uint32_t finished;
	uint32_t failed;
	uint32_t cancelled;
	uint32_t logged;    /* failures that only went to the log */
	uint32_t peak;      /* most alive at once */
	uint32_t running_max; /* 0: no limit */
	uint32_t waiting;   /* tasks in coop_spawn_wait */
	uint32_t errors;    /* failures that count for the result, so far */
	uint32_t errors_kept;
	uint64_t _reserved[4];
};

/**
 * Tells the numbers of a group; of a closed one, those it ended with.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_ENOTOPEN, COOP_EWRONGTHREAD.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_group_stats(const struct coop_group *group, struct coop_group_stats *ret_stats);

/**
 * Changes the limit of children at once; 0: no limit.
 *
 * Raising it admits waiting spawners at once, lowering it ends nobody.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_ENOTOPEN, COOP_ECLOSED, COOP_EWRONGTHREAD.
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_group_set_running_max(struct coop_group *group, uint32_t running_max);

/* ---------------------------------------------------------------- spawning */

/** Name and place of a spawn in one literal. */
#define COOP_SPAWN_SITE(fn) #fn "\0" COOP_HERE

/**
 * Starts fn(arg) as a child of `group`; it runs later, after its spawner goes on.
 *
 * Use the macro coop_spawn. From any task that holds the group, also while its
 * owner is in join. The child is cancelled with the group, and has the
 * spawner's locals. In a cancelled group it starts and is cancelled at its first
 * checkpoint. `arg` is taken if 0 is returned.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (no function), -EAGAIN (running_max reached), -ENOMEM,
 *   COOP_ENOTOPEN, COOP_ECLOSED, COOP_EWRONGTHREAD, COOP_ENOTASK, COOP_EFORK; what
 *   opening the group failed with. Nothing changed, `arg` is the caller's.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_spawn_at(struct coop_group *group, coop_fn *fn, void *arg, const char *site);
#define coop_spawn(group, fn, arg) coop_spawn_at((group), (fn), (arg), COOP_SPAWN_SITE(fn))

/**
 * The same, but refuses in a cancelled group.   Use the macro coop_spawn_unless_cancelled.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_ECANCELED (the group is cancelled; `arg` is the caller's), and
 *   those of coop_spawn.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_spawn_unless_cancelled_at(struct coop_group *group, coop_fn *fn, void *arg,
				   const char *site);
#define coop_spawn_unless_cancelled(group, fn, arg) \
	coop_spawn_unless_cancelled_at((group), (fn), (arg), COOP_SPAWN_SITE(fn))

/**
 * The same, but waits for room where running_max is reached; first come, first served.
 *
 * Use the macro coop_spawn_wait.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; nothing was started, `arg` is the caller's.
 * Errors: COOP_ECANCELED, and those of coop_spawn save -EAGAIN.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_spawn_wait_at(struct coop_group *group, coop_fn *fn, void *arg, const char *site);
#define coop_spawn_wait(group, fn, arg) \
	coop_spawn_wait_at((group), (fn), (arg), COOP_SPAWN_SITE(fn))

/** Options of one child; all zero: an ordinary one. */
struct coop_spawn_opts {
	const char *name;    /* copied; NULL: the function's */
	bool service;        /* does not keep the group open: cancelled when all others have
				ended, hidden from cancellations from outside until then */
	bool essential;      /* its end cancels the rest of the group */
	bool shutdown_wait;  /* a shutdown lets it finish, within the grace */
	bool eager;          /* runs at once, until it first blocks */
	size_t stack_bytes;  /* 0: the runner's; else 16 KiB to 1 GiB */
	uint64_t _reserved[8];
};

/**
 * The same with options, and with a handle to ask after the child.
 *
 * Use the macro coop_spawn_with. `ret_handle` may be NULL; else the handle is the
 * caller's, to be dropped with coop_handle_release.
 *
 * Returns 0.
 *
 * Checkpoint: never; with `eager` the child runs before it returns.
 * Errors: as coop_spawn; -EINVAL also for a stack size out of range, and for a service that is
 *   essential.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_spawn_with_at(struct coop_group *group, coop_fn *fn, void *arg,
		       const struct coop_spawn_opts *opts, struct coop_handle **ret_handle,
		       const char *site);
#define coop_spawn_with(group, fn, ...) \
	coop_spawn_with_at((group), (fn), __VA_ARGS__, COOP_SPAWN_SITE(fn))

/** The starter's side of a child that has to get ready first; opaque. */
struct coop_start;

/** A task that tells when it is ready. `start` is valid while the task lives, or NULL. */
typedef int coop_start_fn(void *arg, struct coop_start *start);

/**
 * Starts fn(arg, start) and waits until it has called coop_started.
 *
 * Use the macro coop_start. Until then the child is under the caller: its
 * scopes, its error path; from then on it is a child of `group`, with all that
 * it opened, and spawned into its own group of that time (coop_self_group).
 * `ret_value` (may be NULL) gets what it passed; `ret_handle` may be NULL. A start
 * that is going on keeps the group open. If a cancellation has reached the start
 * when coop_started is called, the child stays, and the start ends as it does.
 *
 * Returns 0.
 *
 * Checkpoint: custom: yields; cannot be interrupted itself, a cancellation
 *   reaches the child and the wait ends as it does.
 * Cancel: COOP_ECANCELED; the child has ended.
 * Errors: the child's own, bare, if it failed first (a group's, if what it spawned
 *   failed too); COOP_ENOTSTARTED (it ended without coop_started, well or by a cancellation
 *   of its own); those of coop_spawn (nothing was started).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_start_at(struct coop_group *group, coop_start_fn *fn, void *arg, const char *name,
		  const char *site, int *ret_value, struct coop_handle **ret_handle);
#define coop_start(group, fn, arg, ret_value) \
	coop_start_at((group), (fn), (arg), NULL, COOP_SPAWN_SITE(fn), (ret_value), NULL)
#define coop_start_with(group, fn, arg, name, ret_value, ret_handle) \
	coop_start_at((group), (fn), (arg), (name), COOP_SPAWN_SITE(fn), (ret_value), (ret_handle))

/**
 * Tells the starter that the child is ready.
 *
 * `start` NULL: nothing, so the function can be called directly.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EALREADY (called before; the first value stands), COOP_EWRONGTHREAD,
 *   COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in the child or a task that it lent `start` to.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_started(struct coop_start *start, int value);

COOP_END_DECLS

#endif
