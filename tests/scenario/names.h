/* SPDX-License-Identifier: MIT */
/* Environments: which groups and scopes a task can name. */
#ifndef SCENARIO_NAMES_H
#define SCENARIO_NAMES_H

#include <coop/group.h>
#include <coop/scope.h>

/* One name, from the opening of its block until that has been closed. */
struct binding {
	const char *word;
	struct coop_scope *scope;
	struct coop_group *group; /* NULL: a scope */
	unsigned tasks;           /* of the group: accepted and not ended */
	struct binding *outer;
};

#define NAMES_GROUPS 1
#define NAMES_SCOPES 2

/* The innermost of that name and of these kinds, or NULL. */
struct binding *names_find(struct binding *names, const char *word, unsigned kinds);

#endif
