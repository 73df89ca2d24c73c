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

/* ---------------------------------------------------------- one after the other */

/** What a map does with item number `index`, from 0. */
typedef int coop_map_fn(size_t index, void *arg);

/** Options of a map; all zero: all items at once, fail fast. */
struct coop_map_opts {
	enum coop_gather_mode mode;
	uint32_t running_max; /* items at once; 0: no limit */
	uint64_t _reserved[8];
};

/**
 * Calls fn(index, arg) for each index below `count`, each in a task of its own, at most
 * `running_max` at once.
 *
 * An item becomes a task when there is room for it, in order. `ret_slots` (may be
 * NULL) has room for `count` and is written in full, save where the arguments were
 * refused; the state of an item that never started is NEW. Use the macro coop_map.
 *
 * Returns 0.
 *
 * Checkpoint: custom: as coop_spawn_wait for each item, then as coop_group_join.
 * Cancel: COOP_ECANCELED; all items that had started have ended.
 * Errors: as coop_gather. A failure (FAIL_FAST) cancels what runs and starts no more.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_map_at(coop_map_fn *fn, void *arg, size_t count, const struct coop_map_opts *opts,
		struct coop_slot *ret_slots, const char *site);
#define coop_map(...) coop_map_at(__VA_ARGS__, "item\0" COOP_HERE)

/** Calls whose results are taken in the order of their ends; opaque. */
struct coop_as_completed;

/** Options of as-completed; all zero: fail fast, no deadline. */
struct coop_as_completed_opts {
	enum coop_gather_mode mode;
	int64_t timeout_ns;       /* from opening, for all together; 0: none */
	coop_discard_fn *discard; /* for values that were not taken; NULL: they own nothing */
	void *discard_ctx;
	uint64_t _reserved[8];
};

/**
 * Makes all calls at once; coop_as_completed_next gives their results.
 *
 * From here to coop_as_completed_close the caller is in a group, whose children the
 * calls are: in FAIL_FAST a failure cancels the others and interrupts the caller.
 * `calls` is kept until close. Use the macro coop_as_completed_open.
 *
 * Returns 0, with what is to be closed by the caller in `ret_it`.
 *
 * Checkpoint: never, if it returns 0; else custom: as coop_group_join.
 * Cancel: none; the first next is cancelled.
 * Errors: -EINVAL (no function, options), -ENOMEM (nothing was called, or those that
 *   were have ended), COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_as_completed_open_at(const struct coop_call *calls, size_t count,
			      const struct coop_as_completed_opts *opts,
			      struct coop_as_completed **ret_it, const char *site);
#define coop_as_completed_open(...) coop_as_completed_open_at(__VA_ARGS__, "call\0" COOP_HERE)

/**
 * Waits for the next result, in the order in which the calls ended.
 *
 * `ret_index` (may be NULL) gets the number of the call, `ret_slot` (may be NULL) how
 * it went; its error is the caller's.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; no result was taken.
 * Errors: COOP_EOF (all have been taken), COOP_ETIMEDOUT (from the deadline on, once
 *   what had ended before it has been taken, each time; the calls go on),
 *   COOP_ECANCELED, COOP_EWRONGTASK, COOP_ENOTASK.
 * Thread: the runtime's, in the task that opened it.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_as_completed_next(struct coop_as_completed *it, size_t *ret_index,
			   struct coop_slot *ret_slot);

/**
 * Ends the iteration: cancels the calls that have not ended, waits for them, frees `it`.
 *
 * `rc` says how the caller's part went, as for coop_group_join. Results that were
 * not taken are thrown away. NULL is fine, and returns `rc`.
 *
 * Returns `rc`, if it is 0 or more and nothing failed that counts.
 *
 * Checkpoint: custom: as coop_group_join.
 * Cancel: COOP_ECANCELED, if the caller or a call ended cancelled from outside; all have ended.
 * Errors: as coop_group_join: in FAIL_FAST failures that were taken count, too; in
 *   COLLECT those of the fatal class do. COOP_EWRONGTASK (nothing changed).
 * Thread: the runtime's, in the task that opened it.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_as_completed_close(struct coop_as_completed *it, int rc);

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
 * Errors: the first failure's code, COOP_ETASKCANCELLED, -EDEADLK, -ENOMEM (of more than
 *   eight tasks), COOP_ECANCELED, COOP_EWRONGTHREAD, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_gather_abandon(struct coop_handle *const *handles, size_t count,
			struct coop_slot *ret_slots);

/**
 * Gathers tasks that were spawned before: waits until all have ended.
 *
 * In FAIL_FAST the first failure cancels the others, which are waited for as well. A task
 * that somebody has cancelled is a hole in the results; the others go on. A failure also goes
 * to the group that owns the task: to gather in COLLECT, give that group COOP_COLLECT
 * or COOP_LOG. The same handle twice is fine. `ret_slots` (may be NULL) has room for
 * `count`, and is written when all have ended.
 *
 * Returns 0.
 *
 * Checkpoint: custom: a cancel of the caller cancels the tasks, and the wait for their end
 *   cannot be interrupted; none with no handles.
 * Cancel: COOP_ECANCELED; the tasks were cancelled and have ended.
 * Errors: FAIL_FAST: the code of a failure, with its error; COOP_ETASKCANCELLED (nothing failed,
 *   one was cancelled). -EINVAL (mode), -EDEADLK, -ENOMEM, COOP_EWRONGTHREAD, COOP_ENOTASK
 *   (nothing changed). Before they have ended: COOP_ECANCELED in a forced shutdown, -EDEADLK of a
 *   task that was cancelled and waits, shielded, for the caller.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_gather_handles(struct coop_handle *const *handles, size_t count,
			enum coop_gather_mode mode, struct coop_slot *ret_slots);

/** What a coop_wait waits for. */
enum coop_wait_until {
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
 * Errors: COOP_ECANCELED, -EINVAL (no tasks; negative timeout), -EDEADLK, -ENOMEM (of more
 *   than eight tasks), COOP_EWRONGTHREAD, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_wait(struct coop_handle *const *handles, size_t count, enum coop_wait_until until,
	      int64_t timeout_ns, bool *ret_timed_out);

/**
 * Waits for a task until the time is up, or the caller is cancelled; then cancels it, and
 * waits for its end.
 *
 * So when this returns, the task has ended, and nothing it came to is lost: a value
 * or an error that it returns in spite of the cancel is returned. With a timeout of 0 a
 * task that has not ended is cancelled at once.
 *
 * Returns 0, with the value in `ret_value` (may be NULL); a cancel of the caller that came
 * meanwhile is noticed by its next checkpoint.
 *
 * Checkpoint: custom: the wait after the cancel cannot be interrupted.
 * Cancel: COOP_ECANCELED; the task was cancelled and has ended so, or it had ended before.
 * Errors: COOP_ETIMEDOUT (the task was cancelled and has ended so), COOP_ETASKCANCELLED
 *   (somebody else cancelled it), the task's own code (late: with the time limit in
 *   the text, and the task's error as the cause), -EINVAL (negative timeout), -EDEADLK (also of
 *   one that was cancelled and waits, shielded, for the caller: it has not ended),
 *   COOP_EWRONGTHREAD, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_wait_for(struct coop_handle *handle, int64_t timeout_ns, int *ret_value);

/**
 * The same for a call that has not been made: fn(arg) with a time limit, in this task.
 *
 * As coop_fail_after, but without any time fn is not called at all.
 * Use the macro coop_wait_for_call.
 *
 * Returns what fn returns.
 *
 * Checkpoint: custom: what fn does; with a timeout of 0 a checkpoint.
 * Cancel: COOP_ECANCELED, as fn returns it; with a timeout of 0 nothing was called.
 * Errors: fn's; COOP_ETIMEDOUT; -EINVAL (no function, negative timeout), COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_wait_for_call_at(coop_fn *fn, void *arg, int64_t timeout_ns, const char *site);
#define coop_wait_for_call(fn, arg, timeout_ns) \
	coop_wait_for_call_at((fn), (arg), (timeout_ns), COOP_HERE)

COOP_END_DECLS

#endif
