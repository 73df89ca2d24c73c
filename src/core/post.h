/* SPDX-License-Identifier: MIT */
/*
 * The inbox of a run: how other threads, and signal handlers, get something done in its loop.
 *
 * Somebody has a struct cp_post in memory of his own, says what is to be called, and posts it.
 * At its next turn the loop calls that, in the order of posting. Nothing is allocated and nothing
 * is locked: the inbox is a list that posters push onto with one compare-and-swap and that the loop
 * takes as a whole. Only who finds the list empty tells the loop, and only a loop that sleeps is
 * woken.
 *
 * An inbox is made at the first use in a run, counted, and outlives the run; posting to one whose
 * run has ended is refused. A poster touches the runtime only between counting itself in and out,
 * and the end of a run waits for those who are in between: a few instructions, or one wake-up.
 *
 * Invariants
 *   1. A post is in at most one inbox; from the call on it is the poster's again.
 *   2. A post that was accepted is called exactly once, at the latest while the run ends.
 */
#ifndef CP_POST_H
#define CP_POST_H

#include "core/core.h"

struct cp_post {
	struct cp_post *next;
	/* In the loop, between two tasks. The post may be posted again, or be gone after that. */
	void (*arrived)(struct cp_rt *rt, struct cp_post *post);
};

/* The inbox of the run that is going on, borrowed; NULL without memory. The runtime's thread. */
struct cp_inbox *cp_inbox_of(struct cp_rt *rt);

/* Any thread. */
struct cp_inbox *cp_inbox_ref(struct cp_inbox *inbox);
void cp_inbox_unref(struct cp_inbox *inbox);

/* 0, or COOP_ECLOSED: the run has ended and the post is still the caller's. `inbox` may be gone
 * afterwards, unless the caller has counted himself. Any thread, signal-safe. */
int cp_post(struct cp_inbox *inbox, struct cp_post *post);

/* For what is more than one post: until cp_inbox_leave the runtime stays. False: it has ended. */
bool cp_inbox_enter(struct cp_inbox *inbox);
void cp_inbox_leave(struct cp_inbox *inbox);
/* Waits until all who have entered have left: a few instructions of theirs. */
void cp_inbox_settle(struct cp_inbox *inbox);

/* Is this the runtime of `inbox`, or was it? Any thread. */
bool cp_inbox_is_of(const struct cp_inbox *inbox, const struct cp_rt *rt);

#endif
