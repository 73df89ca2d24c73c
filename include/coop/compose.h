/* SPDX-License-Identifier: MIT */
/*
 * Composition: several calls at once, and waiting for several tasks.
 *
 * Short policies over the group. Results come in slots, by the index of the call,
 * whatever the order of completion.
 */
#ifndef COOP_COMPOSE_H
#define COOP_COMPOSE_H

#include <coop/base.h>
#include <coop/group.h>
#include <coop/task.h>

COOP_BEGIN_DECLS

/** One call to make. */
struct coop_call {
	coop_fn *fn;
	void *arg;
	const char *name; /* NULL: "call 3" */
};

/** How one call went. */
struct coop_slot {
	enum coop_task_state state; /* FINISHED, FAILED, CANCELLED; NEW, READY... if not ended */
	int rc;                     /* the value, the code, or COOP_ETASKCANCELLED */
	struct coop_error *err;     /* of a failure: the caller's, to be dropped; else NULL */
};

enum coop_gather_mode {
	COOP_GATHER_FAIL_FAST, /* the first failure cancels the rest; waits for all */
	COOP_GATHER_COLLECT,   /* waits for all; failures are in the slots, the result is 0 */
};

/**
 * Makes all calls at once and waits for all of them.
 *
 * A gather that has returned is over: every call has ended, and nothing that is
 * cancelled later changes a result. Until then a cancel of the caller reaches all
 * calls. `calls` is borrowed, their arguments are the caller's. `ret_slots` (may be
 * NULL) has room for `count` and is written in full, save where the arguments were
 * refused; of a call that was not made, for want of memory, the state is NEW.
 * Use the macro coop_gather. No call at all is 0 at once.
 *
 * Returns 0.
 *
 * Checkpoint: custom: as coop_group_join; none with no calls.
 * Cancel: COOP_ECANCELED; all calls have ended, those in the slots as they say.
 * Errors: of the first failure, as coop_group_join, in COLLECT of the fatal class
 *   only; COOP_ETASKCANCELLED (FAIL_FAST: a call ended cancelled by itself, the others went
 *   on); -EINVAL (no function, mode; nothing was called), -ENOMEM (those called before
 *   were cancelled, and have ended), COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_gather_at(const struct coop_call *calls, size_t count, enum coop_gather_mode mode,
		   struct coop_slot *ret_slots, const char *site);
#define coop_gather(calls, count, mode, ret_slots) \
	coop_gather_at((calls), (count), (mode), (ret_slots), "call\0" COOP_HERE)

/**
 * asyncio's gather by its name here: waits for tasks that live in groups of
 * their own; the first failure ends the wait and abandons the rest, which go on
 * where they belong.
 *
 * The same handle twice is fine. A failure must not fail the group that owns the
 * task, or there is nothing to abandon: give that group COOP_COLLECT or COOP_LOG.
 *
 * Returns 0 when all ended well; `ret_slots` (may be NULL) is written as far as
 * tasks have ended.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; the tasks are cancelled too, and not waited for.
 * Errors: the first failure's code, COOP_ETASKCANCELLED, -EDEADLK, COOP_ECANCELED.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_gather_abandon(struct coop_handle *const *handles, size_t count,
			struct coop_slot *ret_slots);

enum coop_wait_for {
	COOP_WAIT_ALL,
	COOP_WAIT_FIRST,       /* at least one has ended */
	COOP_WAIT_FIRST_ERROR, /* one has failed (a cancelled one has not), or all have ended */
};

/**
 * Waits for tasks; cancels nothing, takes no error.
 *
 * `ret_ended` (may be NULL) gets whether the time ran out before.
 *
 * Returns the number of tasks that have ended.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; the tasks go on.
 * Errors: COOP_ECANCELED, -EINVAL (no tasks; negative timeout), -EDEADLK, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_wait(struct coop_handle *const *handles, size_t count, enum coop_wait_for until,
	      int64_t timeout_ns, bool *ret_timed_out);

COOP_END_DECLS

#endif
