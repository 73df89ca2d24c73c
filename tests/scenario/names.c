/* SPDX-License-Identifier: MIT */
/*
 * An environment is a chain of bindings, innermost first. Bindings stand in the frames that
 * open the blocks, and need no counting:
 *
 * 1. The environment of a child begins with the binding of the group that it was given to,
 *    whoever spawned it; it never sees what others open later.
 * 2. A child lives within its group, a group within the blocks around it, and a child that
 *    is being started keeps the group open that waits for it. So everything that a task can
 *    name is open as long as the task runs. A group counts its tasks to find out if not.
 */
#include "names.h"

#include <string.h>

struct binding *names_find(struct binding *names, const char *word, unsigned kinds)
{
	struct binding *b = names;

	while (b &&
	       (!(kinds & (b->group ? NAMES_GROUPS : NAMES_SCOPES)) || strcmp(b->word, word) != 0))
		b = b->outer;
	return b;
}
