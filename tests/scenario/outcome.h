/* SPDX-License-Identifier: MIT */
/*
 * How a body ended: well, or with a tree of errors and cancellations.
 *
 * coop keeps cancellations out of its error trees: a group's node says with cancel_pending
 * that one passed beside the errors. So the language's tree is coop's tree, or no error and
 * a cancellation; and `cancelled` repeats what the node says, so that it can be asked easily.
 * An outcome is taken out of the task's slot at once, and put back where coop gets it.
 */
#ifndef SCENARIO_OUTCOME_H
#define SCENARIO_OUTCOME_H

#include <coop/error.h>

#include <stdbool.h>
#include <stdint.h>

/* User error K has the code K of this domain. */
#define DOMAIN_SCENARIO COOP_DOMAIN_USER

struct outcome {
	struct coop_error *err; /* owned */
	bool cancelled;
};

#define WELL ((struct outcome){ NULL, false })
#define CANCELLED ((struct outcome){ NULL, true })

static inline bool is_well(struct outcome o)
{
	return !o.err && !o.cancelled;
}

/* From what a call of coop's returned, its error object included. */
struct outcome outcome_of(int rc);
/* To what is returned to coop. The outcome is given away. */
int outcome_raise(struct outcome o);
/* Frees it: it has been replaced. */
void outcome_drop(struct outcome o);

/* Takes out of `o` the part that matches user error `key`, or ANY. False: there is none. */
bool outcome_handle(struct outcome *o, int64_t key);
/* Forgets the cancellation in `o`. */
void outcome_forget_cancel(struct outcome *o);
/* Both, in a group with no name. */
struct outcome outcome_join(struct outcome a, struct outcome b);

/*
 * A group's word travels in its errors as the place where it was opened: names are cut where
 * groups are nested deeply, places are not. The mark tells them from real ones.
 */
#define WORD_MARK ':'

/* The number of a user error, or 0. */
int user_error_of(int code);
/* Canonical text of an error; to be freed. */
char *error_text(const struct coop_error *err);

#endif
