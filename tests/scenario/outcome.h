/* SPDX-License-Identifier: MIT */
/*
 * How a body ended: well, or with a tree of errors and cancellations.
 *
 * coop keeps cancellations out of its error trees: a group's node says with cancel_pending
 * that there is one beside the errors. So the tree of the language is a pair here.
 */
#ifndef SCENARIO_OUTCOME_H
#define SCENARIO_OUTCOME_H

#include "parse.h"

#include <coop.h>

#define DOMAIN_SCENARIO COOP_DOMAIN_USER

struct outcome {
	struct coop_error *err; /* owned */
	bool cancelled;
};

static const struct outcome well = { NULL, false };

static inline bool is_well(struct outcome o)
{
	return !o.err && !o.cancelled;
}

/* From what a call of coop's returned, its error object included. */
struct outcome outcome_of(int rc);
/* To what is returned to coop; the outcome is given away. */
int outcome_raise(struct outcome o);
void outcome_drop(struct outcome *o);

/* Divides by user error `key` (-1: any, and timeouts): the matching errors, and the rest. */
struct coop_error *outcome_catch(struct outcome *o, int64_t key);
/* Both in a group with no name. */
struct outcome outcome_join(struct outcome a, struct outcome b);

/* Canonical text of an error; to be freed. */
char *error_text(const struct coop_error *err);

#endif
