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

/* -------------------------------------------------------------------- races */

/**
 * Gets rid of a value that nobody will have. May suspend: it runs in the task of the call that
 * returned it, which is cancelled by then, or in the caller's after all have ended.
 */
typedef void coop_discard_fn(const struct coop_call *call, int value, void *ctx);

/** Options of races; all zero: values own nothing, losers' failures count. */
struct coop_race_opts {
	coop_discard_fn *discard; /* for each value that is not returned; NULL: they own nothing */
	void *discard_ctx;
	bool log_losers; /* a failure after the decision goes to the log, and is no failure */
	uint64_t _reserved[8];
};

/**
 * Makes all calls at once; the first that succeeds wins, the others are cancelled and
 * waited for.
 *
 * Failures before that are forgotten; when all fail, the error holds them all. A
 * success that comes after the decision goes to `discard`. A loser that fails in its
 * clean-up makes the race fail, with the errors since the decision (see
 * log_losers), and the winner's value goes to `discard`. `ret_winner` (may be NULL) gets
 * the number of the winner. Use the macro coop_race.
 *
 * Returns the winner's value, 0 or more; also if a cancel came after it had won.
 *
 * Checkpoint: custom: as coop_group_join.
 * Cancel: COOP_ECANCELED; all calls have ended, and none had succeeded.
 * Errors: the failures, as coop_group_join; COOP_ETASKCANCELLED (all ended cancelled, each
 *   by itself); -EINVAL (no calls, no function, options; nothing was called), -ENOMEM
 *   (those called were cancelled, and none succeeded), COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_race_at(const struct coop_call *calls, size_t count, const struct coop_race_opts *opts,
		 size_t *ret_winner, const char *site);
#define coop_race(...) coop_race_at(__VA_ARGS__, "call\0" COOP_HERE)

/**
 * The same, but the first that ends decides, also by failing.   Use the macro coop_race_first.
 *
 * Returns the winner's value, 0 or more.
 *
 * Checkpoint: custom: as coop_group_join.
 * Cancel: COOP_ECANCELED; all calls have ended, and none had succeeded.
 * Errors: as coop_race; that of the call that failed first.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_race_first_at(const struct coop_call *calls, size_t count,
		       const struct coop_race_opts *opts, size_t *ret_winner, const char *site);
#define coop_race_first(...) coop_race_first_at(__VA_ARGS__, "call\0" COOP_HERE)

/**
 * Makes all calls at once until `needed` of them have succeeded; then, or when that has become
 * impossible, the others are cancelled and waited for.
 *
 * `ret_slots` has room for `count` and is written as by gather. All values in it
 * are the caller's: there can be more than `needed`, of calls that succeeded at the
 * same time, and there can be some where it fails. With `needed` 1 it is a race that
 * returns every value there is. Only log_losers of the options means something
 * here. Use the macro coop_quorum.
 *
 * Returns 0.
 *
 * Checkpoint: custom: as coop_group_join.
 * Cancel: COOP_ECANCELED; all calls have ended, too few had succeeded.
 * Errors: as coop_race; -EINVAL also for `needed` 0 or above `count`, and for no slots.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_quorum_at(const struct coop_call *calls, size_t count, size_t needed,
		   const struct coop_race_opts *opts, struct coop_slot *ret_slots,
		   const char *site);
#define coop_quorum(...) coop_quorum_at(__VA_ARGS__, "call\0" COOP_HERE)

/**
 * A race whose calls are made one by one: the next one when the one before has failed,
 * or has taken `delay_ns`.
 *
 * COOP_NEVER: only after a failure; 0: all at once. Otherwise as coop_race.
 * Use the macro coop_staggered_race.
 *
 * Returns the winner's value, 0 or more.
 *
 * Checkpoint: custom: as coop_group_join.
 * Cancel: COOP_ECANCELED; all calls made have ended, and none had succeeded.
 * Errors: as coop_race; -EINVAL also for a negative delay.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_staggered_race_at(const struct coop_call *calls, size_t count, int64_t delay_ns,
			   const struct coop_race_opts *opts, size_t *ret_winner,
			   const char *site);
#define coop_staggered_race(...) coop_staggered_race_at(__VA_ARGS__, "call\0" COOP_HERE)

/**
 * The same call again and again, until one attempt succeeds: the next one when the one before
 * has failed, or has taken `delay_ns`.
 *
 * At most `attempts`, of which several can run at once: they share the argument, so
 * what each finds out has to travel as its value. Otherwise as coop_staggered_race.
 * Use the macro coop_hedge.
 *
 * Returns the value of the attempt that won, 0 or more; `ret_attempt` (may be NULL) counts from 0.
 *
 * Checkpoint: custom: as coop_group_join.
 * Cancel: COOP_ECANCELED; all attempts have ended, and none had succeeded.
 * Errors: as coop_staggered_race.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_hedge_at(const struct coop_call *call, size_t attempts, int64_t delay_ns,
		  const struct coop_race_opts *opts, size_t *ret_attempt, const char *site);
#define coop_hedge(...) coop_hedge_at(__VA_ARGS__, "attempt\0" COOP_HERE)

/* ------------------------------------------------------ tasks of other groups */

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
