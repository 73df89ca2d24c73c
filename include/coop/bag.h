/* SPDX-License-Identifier: MIT */
/*
 * A bag: tasks that are added one by one, waited for again and again, and cancelled when their
 * block is left.
 *
 * It is the PBag that people wrote for asyncio before it had task groups, for programs that
 * come from there; new ones want a group (coop/group.h). What is different from a group:
 * the failure of a child cancels nobody, leaving cancels what still runs, and
 * one error is returned as it is, while the others are only logged.
 *
 *	struct coop_bag bag;
 *	int r;
 *
 *	r = coop_bag_new(NULL, &bag);
 *	if (r < 0)
 *		return r;
 *	r = coop_bag_open(bag);
 *	if (r >= 0)
 *		r = coop_bag_spawn(bag, worker, NULL);
 *	if (r >= 0)
 *		r = coop_bag_until_done(bag);
 *	r = coop_bag_leave(bag, r);
 *	coop_bag_free(bag);
 *
 * And from the original, where that let tasks outlive the bag or lost errors: leaving and
 * coop_bag_aclose cannot be interrupted, so no child outlives its bag; a failure of the
 * fatal class cancels all; with fail_fast a failure wakes the body, and with
 * whole_error nothing is only logged.
 *
 * A bag lies on the heap and is named by a value that can be copied. A name that is
 * out of date, because the bag was freed, or of another thread or run, is found out.
 */
#ifndef COOP_BAG_H
#define COOP_BAG_H

#include <coop/base.h>
#include <coop/group.h>

COOP_BEGIN_DECLS

/** The name of a bag; all zero names none. */
struct coop_bag {
	uint64_t _id;
};
#define COOP_BAG_INIT { 0 }

/** Options of a bag; all zero: as the original. */
struct coop_bag_opts {
	const char *name;  /* copied; NULL: "bag" */
	bool fail_fast;    /* the first failure cancels the other children, and the body */
	bool whole_error;  /* leaving returns the error of all that failed, as a group does */
	uint64_t _reserved[8];
};

/**
 * Makes a bag, which is not open yet.   Use the macro coop_bag_new.
 *
 * Returns 0, with its name in `ret_bag`; to be given back with coop_bag_free. What is
 * left when the run ends is freed, with a line in the log.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (options), -ENOMEM, -ENFILE (a million bags), COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_bag_new_at(const struct coop_bag_opts *opts, struct coop_bag *ret_bag, const char *site);
#define coop_bag_new(...) coop_bag_new_at(__VA_ARGS__, COOP_HERE)

/**
 * Frees a bag that is not open, or has been left.
 *
 * Returns 0; 1 if there is no such bag any more.
 *
 * Checkpoint: never.
 * Errors: -EBUSY (its block has not been left; nothing changed).
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API
int coop_bag_free(struct coop_bag bag);

/**
 * Opens a bag; from here to coop_bag_leave the caller is its body.   Use the macro coop_bag_open.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EALREADY "Already open" (also if it has been left), -EBADF (no such bag), COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_bag_open_at(struct coop_bag bag, const char *site);
#define coop_bag_open(bag) coop_bag_open_at((bag), COOP_HERE)

/**
 * Tells whether the bag is open: opened, and neither closed nor left.
 *
 * Returns true or false; false if there is no such bag.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
bool coop_bag_is_open(struct coop_bag bag);

/**
 * Tells how many children have failed so far.
 *
 * Returns the number.
 *
 * Checkpoint: never.
 * Errors: -EBADF (no such bag).   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_bag_failed(struct coop_bag bag);

/**
 * Starts fn(arg) as a child of the bag.   Use the macro coop_bag_spawn.
 *
 * From any task. `arg` is taken if 0 is returned.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_ECLOSED "Bag closed", COOP_ENOTOPEN, -EBADF (no such bag), -EINVAL (no
 *   function), -ENOMEM, COOP_ENOTASK. Nothing changed, `arg` is the caller's.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_bag_spawn_at(struct coop_bag bag, coop_fn *fn, void *arg, const char *site);
#define coop_bag_spawn(bag, fn, arg) coop_bag_spawn_at((bag), (fn), (arg), COOP_SPAWN_SITE(fn))

/**
 * Waits until the bag has no children; at once, if there are none, or it is not open.
 *
 * More can be added afterwards, and waited for again. Errors are told by leave.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, at once; the children are not touched.
 * Errors: COOP_ECANCELED, -EDEADLK (called by one of its children), -EBADF (no such bag),
 *   COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_bag_until_done(struct coop_bag bag);

/**
 * Closes the bag: nothing can be added any more, and its children are cancelled, not
 * waited for. The body goes on.   Use the macro coop_bag_close.
 *
 * Returns 0, or 1 if it was closed already.
 *
 * Checkpoint: never.
 * Errors: COOP_ENOTOPEN, -EBADF (no such bag).   Thread: the runtime's.   Since: 0.1
 */
COOP_API
int coop_bag_close_at(struct coop_bag bag, const char *site);
#define coop_bag_close(bag) coop_bag_close_at((bag), COOP_HERE)

/**
 * The same, and waits for the children, whatever happens meanwhile.
 * Use the macro coop_bag_aclose.
 *
 * Returns 0; a cancel of the caller is noticed by its next checkpoint.
 *
 * Checkpoint: custom: schedule-only, cannot be interrupted.
 * Cancel: never, but when a shutdown is forced: the children are being cancelled, then.
 * Errors: COOP_ENOTOPEN, -EDEADLK (called by one of its children; it is closed), -EBADF (no
 *   such bag), COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_bag_aclose_at(struct coop_bag bag, const char *site);
#define coop_bag_aclose(bag) coop_bag_aclose_at((bag), COOP_HERE)

/**
 * Leaves the bag: closes it, cancels the children that still run, and waits for them.
 *
 * `rc` says how the body went. If it failed, its error is returned as it is, and
 * each child's is logged, "Suppressed exception: ..."; otherwise the first child's
 * (of the fatal class, if there is one) is returned as it is, and the others
 * are logged. Children that ended cancelled are no errors.
 *
 * Returns `rc`, if it is 0 or more and no child failed.
 *
 * Checkpoint: custom: as coop_group_join.
 * Cancel: COOP_ECANCELED, if the body or a child ended cancelled from outside; all have ended.
 * Errors: that of the body, or of a child; with whole_error as coop_group_join. COOP_ENOTOPEN,
 *   COOP_ECLOSED (left before), COOP_EWRONGTASK, -EBADF (no such bag); nothing changed.
 * Thread: the runtime's, in the task that opened it.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_bag_leave(struct coop_bag bag, int rc);

COOP_END_DECLS

#endif
