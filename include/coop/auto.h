/* SPDX-License-Identifier: MIT */
/*
 * Groups and scopes that cannot be left open: an early return cancels and joins.
 *
 *	COOP_AUTO_GROUP(g, NULL);
 *	r = coop_spawn(&g, fetch, &page);
 *	if (r < 0)
 *		return r;               // cancels what was spawned and waits for it
 *	return coop_group_join(&g, 0);
 *
 * Left by return, break or goto (or, in C++, by an exception), an open group is cancelled and
 * joined; its error, which nobody can be given any more, goes to the log. A group or
 * scope that has been joined or closed is left alone. longjmp out of the block is not
 * allowed, and found at the next call.
 */
#ifndef COOP_AUTO_H
#define COOP_AUTO_H

#include <coop/group.h>
#include <coop/scope.h>

COOP_BEGIN_DECLS

/**
 * Ends a group that may still be open, as the end of its block does.
 *
 * Returns nothing; an error goes to the log.
 *
 * Checkpoint: custom: as coop_group_join, if it is open.
 * Cancel: the group is cancelled; a cancellation from outside stays for the next checkpoint.
 * Errors: none.   Thread: the runtime's, in the task that opened it.   Since: 0.1
 */
COOP_API
void coop_group_end(struct coop_group *group);

/**
 * Ends a scope that may still be open, as the end of its block does.
 *
 * Returns nothing; errors of deferred clean-ups go to the log.
 *
 * Checkpoint: never, but for what deferred clean-ups do.
 * Errors: none.   Thread: the runtime's, in the task that opened it.   Since: 0.1
 */
COOP_API
void coop_scope_end(struct coop_scope *scope);

COOP_END_DECLS

/** Declares and opens a group that ends with the block. */
#define COOP_AUTO_GROUP(g, ...) \
	__attribute__((cleanup(coop_group_end))) struct coop_group g = COOP_GROUP_INIT; \
	coop_group_open(&g, __VA_ARGS__)

/** Declares and opens a scope that ends with the block. */
#define COOP_AUTO_SCOPE(s, ...) \
	__attribute__((cleanup(coop_scope_end))) struct coop_scope s = COOP_SCOPE_INIT; \
	coop_scope_open(&s, __VA_ARGS__)

#endif
