/* SPDX-License-Identifier: MIT */
/*
 * Clean-up that runs when a scope or a group is left, however it is left.
 *
 *	struct coop_defer d = COOP_DEFER_INIT;
 *	r = coop_scope_defer(&scope, &d, connection_close, conn);
 *
 * Clean-ups run last in, first out; all of them, also when some fail; after the
 * children of the group have ended and before close or join returns; behind a
 * soft shield with the runner's grace. Each failure becomes a leaf of the error.
 * Nothing is allocated: the record is the caller's and lives as long as the block.
 */
#ifndef COOP_DEFER_H
#define COOP_DEFER_H

#include <coop/group.h>
#include <coop/scope.h>

COOP_BEGIN_DECLS

/** One clean-up that is waiting to be run. */
struct coop_defer {
	struct coop_defer *_next;
	coop_fn *_fn;
	void *_arg;
	const char *_site;
};
#define COOP_DEFER_INIT { 0, 0, 0, 0 }

/**
 * Has fn(arg) run when `scope` is closed.   Use the macro coop_scope_defer.
 *
 * `defer` and `arg` are kept until then. If the scope is closed already, fn(arg)
 * is run at once, so the resource is never left behind.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_ECLOSED (fn was run); COOP_ENOTOPEN, -EINVAL (no fn, or registered already),
 *   COOP_EWRONGTHREAD, COOP_ENOTASK, COOP_EFORK (nothing happened).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_scope_defer_at(struct coop_scope *scope, struct coop_defer *defer, coop_fn *fn,
			void *arg, const char *site);
#define coop_scope_defer(scope, defer, fn, arg) \
	coop_scope_defer_at((scope), (defer), (fn), (arg), COOP_HERE)

/** The same for a group: runs when all children have ended, before join returns. */
#define coop_group_defer(group, defer, fn, arg) \
	coop_scope_defer_at(coop_group_scope(group), (defer), (fn), (arg), COOP_HERE)

/**
 * Takes a clean-up back: it will not be run.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -ENOENT (not registered there, or run already), COOP_EWRONGTHREAD, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_scope_undefer(struct coop_scope *scope, struct coop_defer *defer);

COOP_END_DECLS

#endif
