/* SPDX-License-Identifier: MIT */
/*
 * Teams: the one mechanism under every composition.
 *
 * A team is a group whose children, its *members*, are known by a number. Gather, race, map and the
 * others are short policies on it: what a member runs, what becomes of its value, what
 * becomes of another end, and when the group is cancelled. The group does all the rest.
 *
 * Invariants
 *   1. A member is spawned with its number as argument, and finds its team by its group: no
 *      memory is taken for a member beyond its task.
 *   2. Each member that was accepted ends once, and `run` (a value) or `ended` (all else) has seen
 *      how before the team's join returns.
 *   3. A value is seen in the member's own task, before it ends: whoever owns values decides
 *      there, and what it does with a value that nobody wants may suspend.
 *   4. An error, or the end by a cancellation, is seen before the group's policy acts on it.
 */
#ifndef CP_TEAM_H
#define CP_TEAM_H

#include "core/group.h"
#include "core/park.h"

struct cp_team {
	struct coop_group group; /* first: I1 */
	/* In the member's task: what it runs. Returns the value or the code it ends with. */
	int (*run)(struct cp_team *team, size_t index);
	/* Any end but that with a value; may be NULL. `err` is borrowed. Must not suspend. */
	void (*ended)(struct cp_team *team, size_t index, enum cp_outcome outcome, int rc,
		      struct coop_error *err);
	const char *word; /* "call": a member without a name of its own is "call 3" */
	const struct coop_call *calls;
	size_t stride; /* 1; 0: all run the same call */
	size_t count;
	struct coop_slot *slots; /* NULL, or `count` of them */
	size_t lost;             /* ended cancelled */
	bool host_free;          /* see struct cp_team_ops */
	const char *site;        /* the members': word NUL file NUL line */
};

/* The place in a call's site, where a name stands before it. */
const char *cp_team_place(const char *site);

/* 0 or -EINVAL: is each of them something to call? */
int cp_calls_check(const struct coop_call *calls, size_t count);

/* Opens a team that was filled in, but for its group: COOP_GROUP_INIT. */
int cp_team_open(struct cp_team *team, const struct coop_group_opts *opts, const char *site);

/* Spawns member number `index`. */
int cp_team_spawn(struct cp_team *team, size_t index);

/* The same, with a wait for room. */
int cp_team_spawn_wait(struct cp_team *team, size_t index);

/* Spawns all; how many that were is in *ret_spawned. */
int cp_team_spawn_all(struct cp_team *team, size_t *ret_spawned);

/*
 * The body waits at `queue` for a member, inside a scope with a time limit: 0, COOP_ECANCELED, or
 * what the scope makes of its limit. *ret_late (may be NULL): that was it. `for_last`: it waits for
 * the only one that is left.
 */
int cp_team_wait(struct cp_team *team, struct cp_queue *queue, const char *what, bool for_last,
		 const struct coop_scope_opts *opts, bool *ret_late);

CP_INLINE const struct coop_call *cp_team_call(const struct cp_team *team, size_t index)
{
	return &team->calls[index * team->stride];
}

/* What slots say of members: a value; another end; never begun. */
CP_INLINE void cp_slot_value(struct cp_team *team, size_t index, int value)
{
	if (team->slots)
		team->slots[index] = (struct coop_slot){ .state = COOP_TASK_FINISHED, .rc = value };
}
void cp_slot_ended(struct coop_slot *slot, enum cp_outcome outcome, int rc, struct coop_error *err);
void cp_slots_unused(struct cp_team *team, size_t from);

/* What a join's `r` means where failures are looked for in the slots; the body ended with `rc`. */
int cp_team_collected(const struct cp_team *team, int r, int rc);

#endif
