/* SPDX-License-Identifier: MIT */
/*
 * Tasks: a function on its own stack, and what one may ask about it.
 *
 * A task is seen through a handle (counted, outlives it) or, while it lives,
 * through struct coop_task_info.
 */
#ifndef COOP_TASK_H
#define COOP_TASK_H

#include <coop/base.h>
#include <coop/error.h>

COOP_BEGIN_DECLS

struct coop_task;
struct coop_group;
struct coop_handle;

enum coop_task_state {
	COOP_TASK_NEW,        /* accepted, not begun */
	COOP_TASK_READY,      /* can run */
	COOP_TASK_RUNNING,    /* runs */
	COOP_TASK_BLOCKED,    /* waits */
	COOP_TASK_CANCELLING, /* cancelled, not ended yet; in a list: cancelled and waiting */
	COOP_TASK_FINISHED,   /* ended with 0 or more */
	COOP_TASK_FAILED,     /* ended with an error */
	COOP_TASK_CANCELLED,  /* ended with its cancellation */
};

/* -------------------------------------------------------------- checkpoints */

/*
 * A call that is said to be a checkpoint, always, notices a cancellation and lets others run now
 * and then: also where it need not wait, and where it fails, for its arguments, say. In a cancelled
 * task it is COOP_ECANCELED that such a call returns.
 */

/**
 * Notices a cancellation, and lets others run now and then.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED.
 * Errors: COOP_ECANCELED, COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_checkpoint(void);

/**
 * Notices a cancellation; never lets others run: the cancel half of a checkpoint.
 *
 * Returns 0.
 *
 * Checkpoint: custom: the cancel half only.
 * Cancel: COOP_ECANCELED.
 * Errors: COOP_ECANCELED, COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_checkpoint_if_cancelled(void);

/**
 * Lets every other task that is ready run once: the schedule half of a checkpoint.
 *
 * Returns 0, also in a cancelled scope.
 *
 * Checkpoint: schedule-only.
 * Errors: COOP_ENOTASK, COOP_EFORK.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API
int coop_yield(void);

/**
 * Asks whether the running task is cancelled where it stands. Costs one load.
 *
 * Returns true or false; false outside a task.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
bool coop_cancelled(void);

/* ------------------------------------------------------------------ oneself */

/**
 * Gives the running task.   Returns it, or NULL outside of tasks.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
struct coop_task *coop_self(void);

/**
 * Gives the group that the running task is a child of, as of now.
 *
 * Returns a group borrowed while the task is in it; NULL for the main task and
 * outside of tasks.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
struct coop_group *coop_self_group(void);

/**
 * Names the running task (copied, cut at 63 bytes).
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (NULL), COOP_ENOTASK.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_set_name(const char *name);

/**
 * Gives the name of the running task.
 *
 * Returns a text borrowed until the task ends or is renamed; "" outside of tasks.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
const char *coop_name(void);

/**
 * Gives the running task floating point control words of its own, kept at each switch.
 *
 * For a task that changes rounding or traps; ask first, then change. When it gives way, and
 * when it ends, the others get back those that the thread had when the run began; `keep`
 * false loads these for the task, too. Tasks that have not asked share one set: what one
 * of them changes, the others may see.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_ENOTASK.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API
int coop_set_fpenv(bool keep);

/* ----------------------------------------------------------- lists of tasks */

/** A task as it is now. Texts are never NULL; pointers are borrowed until the next switch. */
struct coop_task_info {
	uint64_t id;                  /* counts from 1, in order of spawning */
	enum coop_task_state state;
	bool internal;                /* the runtime's own */
	bool service;
	bool cancelled;               /* effectively, where it stands */
	const char *name;
	char site[112];               /* where it was spawned: "file:line" */
	const char *blocked_in;       /* "coop_sleep"; "" if it is not blocked */
	uint64_t parent_id;           /* host of its group, or its starter; 0: none */
	uint64_t eventual_parent_id;  /* while it is being started: host of the group to be */
	const struct coop_task *task;
	size_t stack_bytes;           /* 0: not begun */
	uint64_t checkpoints;
	uint64_t _reserved[4];
};

/** Called for one task; a value other than 0 ends the walk. */
typedef int coop_task_visit(const struct coop_task_info *info, void *ctx);

/**
 * Visits every live task of the run, parents before children, in spawn order.
 *
 * Those being cancelled included; the runtime's own only if `internal`.
 * `visit` must not suspend, spawn or cancel.
 *
 * Returns 0, or what `visit` returned to end the walk.
 *
 * Checkpoint: never.
 * Errors: COOP_ENOTASK.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_for_each_task(bool internal, coop_task_visit *visit, void *ctx);

/**
 * Writes the path of a live task into `buf`: "main/pages/fetch".
 *
 * Returns `buf`; where it is too small the end is kept: ".../pages/fetch".
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API
char *coop_task_path(const struct coop_task *task, char *buf, size_t size);

/**
 * Measures how deep the stack of a live task has gone, by the pages it has touched.
 *
 * Returns bytes, a multiple of the page; 0 if the task has not begun. The slot
 * of an earlier task may have left its mark.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
size_t coop_stack_high_water(const struct coop_task *task);

/* ------------------------------------------------------------------ handles */

/**
 * Tells how the task of a handle is doing.
 *
 * Returns the state; CANCELLING from a cancel of it until it has ended.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
enum coop_task_state coop_handle_state(const struct coop_handle *handle);

/**
 * Asks for the result of a task.
 *
 * Reading it consumes nothing: a failure still fails the task's group.
 *
 * Returns 0, with the value in `ret_value` (may be NULL).
 *
 * Checkpoint: never.
 * Errors: -EAGAIN (not ended), COOP_ETASKCANCELLED (ended cancelled), else the
 *   task's own code. That may be -EAGAIN as well: coop_handle_state is COOP_TASK_FAILED then, and
 *   before COOP_TASK_FINISHED where the task has not ended.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_handle_result(const struct coop_handle *handle, int *ret_value);

/**
 * Gives the error object of a failed task.
 *
 * Returns an object borrowed from the handle, or NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
const struct coop_error *coop_handle_error(const struct coop_handle *handle);

/**
 * Cancels the task of a handle, and no other, with a reason (copied).
 *
 * Use the macro coop_handle_cancel. Its group is not failed by that. The other
 * form gives a grace in nanoseconds.
 *
 * Returns 0, or 1 if it had ended or was cancelled already: nothing changed.
 *
 * Checkpoint: never; never allocates.
 * Errors: -EINVAL (negative grace), COOP_EWRONGTHREAD, COOP_EFORK.
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API
int coop_handle_cancel_at(struct coop_handle *handle, const char *reason, int64_t grace_ns,
			  const char *site);
#define coop_handle_cancel(handle, reason) \
	coop_handle_cancel_at((handle), (reason), COOP_NEVER, COOP_HERE)
#define coop_handle_cancel_grace(handle, reason, grace_ns) \
	coop_handle_cancel_at((handle), (reason), (grace_ns), COOP_HERE)

/**
 * Tells whether the task was asked to cancel through its handle, however it ended.
 *
 * Returns true or false.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
bool coop_handle_cancel_called(const struct coop_handle *handle);

/**
 * Waits until the task has ended; observes, owns nothing: a cancel of the waiter
 * does not touch it.
 *
 * Returns 0 with the value in `ret_value` (may be NULL).
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, of the waiter; the task goes on.
 * Errors: COOP_ECANCELED, COOP_ETASKCANCELLED (the task ended cancelled), the task's
 *   own code, -EDEADLK at once where the task waits for the caller, by whatever way,
 *   COOP_EWRONGTHREAD, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_handle_wait(struct coop_handle *handle, int *ret_value);

/**
 * asyncio's shield(task) by its name here: the same as coop_handle_wait.
 *
 * A cancel of the caller leaves the task alone, and a later failure of it
 * belongs to its group, which reports it once.
 *
 * Returns, Checkpoint, Cancel, Errors: as coop_handle_wait.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, of the waiter; the task goes on.
 * Errors: as coop_handle_wait.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_await_shielded(struct coop_handle *handle, int *ret_value);

/**
 * Counts one more owner of a handle.   Returns `handle`; NULL stays NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API
struct coop_handle *coop_handle_ref(struct coop_handle *handle);

/**
 * Drops a handle; the task is not touched. NULL is fine.
 *
 * Returns NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
struct coop_handle *coop_handle_release(struct coop_handle *handle);

/* ------------------------------------------------------------------- locals */

/** A task-local variable: its address is the key. */
struct coop_local {
	const char *name;
};


/**
 * Binds `value` to `key` for the running task, and for tasks it spawns from now on.
 *
 * Children keep what was bound when they were spawned. `value` is borrowed: it
 * must live as long as the task and those that inherit it, or the run.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL, -ENOMEM (nothing changed), COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_local_set(const struct coop_local *key, void *value);

/**
 * Reads what is bound to `key` in the running task; in an offloaded function, in its task.
 *
 * Returns the value, NULL if there is none.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
void *coop_local_get(const struct coop_local *key);

/**
 * Runs fn(arg) with `value` bound to `key`, then puts the former binding back.
 *
 * Returns what fn returns.
 *
 * Checkpoint: never by itself; what fn does.
 * Errors: fn's; -EINVAL, -ENOMEM, COOP_ENOTASK (fn was not run).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_local_with(const struct coop_local *key, void *value, coop_fn *fn, void *arg);

/**
 * Binds `value` to `key` for the whole run: every task sees it that has no own binding.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL, -ENOMEM (nothing changed), COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_run_local_set(const struct coop_local *key, void *value);

/**
 * Reads what is bound to `key` for the run.   Returns the value, NULL if there is none.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
void *coop_run_local_get(const struct coop_local *key);

COOP_END_DECLS

#endif
