/* SPDX-License-Identifier: MIT */
/*
 * Races: calls of which some are enough.
 *
 * One policy with a number: how many successes decide. 1 is a race, more are a quorum; made
 * one by one it is a staggered race, and of one call again and again a hedge.
 *
 *   RUNNING --the last success that is needed--> WON
 *           --too few are left, or a failure decides: a fatal one, or the first end--> LOST
 *
 * A success is counted in the task that has it (team.h, 3), so the next one knows that it
 * comes too late and gives up its value itself. With the decision the group is cancelled,
 * and what had failed so far is forgotten: from then on a failure is one of a clean-up,
 * which no win may hide.
 */
#include "sync/team.h"

#include <errno.h>

struct race {
	struct cp_team team; /* first */
	const struct coop_race_opts *opts;
	size_t needed;
	size_t won;
	size_t out;    /* ended without a value */
	size_t winner; /* the first success */
	int value;     /* its value */
	enum { RUNNING, WON, LOST } state;
	bool first_end;       /* decides, whatever it is */
	size_t latest;        /* the last that was started */
	struct cp_queue pace; /* the body, until it may start the next one */
};

static const struct coop_race_opts none;

/* ---------------------------------------------------------------- the decision */

static void decide(struct race *race, int state)
{
	struct coop_group *g = &race->team.group;

	race->state = state;
	if (state == WON) {
		cp_errs_free(g);
		g->_policy = race->opts->log_losers ? COOP_LOG : COOP_COLLECT;
	}
	coop_group_cancel_at(g, state == WON ? "the race was won" : "too few are left to win",
			     COOP_NEVER, cp_team_place(race->team.site));
}

static void discard(struct race *race, size_t index, int value)
{
	if (race->opts->discard)
		race->opts->discard(cp_team_call(&race->team, index), value,
				    race->opts->discard_ctx);
}

/* A success; the value that a member that comes too late returns is its own again. */
static int succeeded(struct race *race, size_t index, int value)
{
	cp_slot_value(&race->team, index, value);
	if (race->state != RUNNING) {
		if (!race->team.slots)
			discard(race, index, value);
		return 0;
	}
	if (race->won++ == 0) {
		race->winner = index;
		race->value = value;
	}
	if (race->won == race->needed)
		decide(race, WON);
	return value;
}

static int run(struct cp_team *team, size_t index)
{
	const struct coop_call *call = cp_team_call(team, index);
	int r = call->fn(call->arg);

	return r >= 0 ? succeeded((struct race *)team, index, r) : r;
}

static void ended(struct cp_team *team, size_t index, enum cp_outcome outcome, int rc,
		  struct coop_error *err)
{
	struct race *race = (struct race *)team;

	(void)err;
	race->out++;
	if (race->state == RUNNING) {
		if (outcome == CP_ENDED_FAILED && (race->first_end || coop_is_fatal(rc)))
			race->state = LOST; /* the group's policy cancels the others */
		else if (team->count - race->out < race->needed)
			decide(race, LOST);
	}
	if (index == race->latest)
		cp_queue_wake(cp_rt, &race->pace, 0);
}

/* What the join's `r` means for the race. */
static int result(struct race *race, int r)
{
	if (race->state == WON && (r == 0 || r == COOP_ECANCELED))
		return race->value;
	if (race->state == WON && !race->team.slots) {
		struct coop_error *err =
			coop_error_take(r); /* what discard does is no concern of it */

		discard(race, race->winner, race->value);
		return coop_error_raise(err);
	}
	return r == 0 ? COOP_ETASKCANCELLED : r;
}

/* --------------------------------------------------------------------- starting */

/* Waits until the member that was started last has ended without a value, or for the delay. */
static int pace(struct race *race, int64_t delay_ns)
{
	struct coop_scope_opts opts = { .timeout_ns = delay_ns };

	if (delay_ns == 0)
		return coop_checkpoint_if_cancelled();
	return cp_team_wait(&race->team, &race->pace, "coop_staggered_race", false, &opts, NULL);
}

/* All at once, or one by one. */
static int start(struct race *race, int64_t delay_ns)
{
	struct cp_team *team = &race->team;
	size_t i = 0;
	int r = 0;

	while (r >= 0 && i < team->count && race->state == RUNNING) {
		race->latest = i;
		r = cp_team_spawn(team, i);
		if (r >= 0 && ++i < team->count && delay_ns >= 0)
			r = pace(race, delay_ns);
	}
	cp_slots_unused(team, i);
	return r;
}

#define AT_ONCE (-1)

static int run_race(struct race *race, const char *name, int64_t delay_ns, const char *site)
{
	struct coop_group_opts opts = { .name = name,
					.policy = race->first_end ? COOP_FAIL_FAST : COOP_COLLECT,
					.errors_max = COOP_UNLIMITED };
	struct cp_team *team = &race->team;
	int r;

	if (!cp_in_task())
		return cp_no_task();
	if (!race->opts)
		race->opts = &none;
	if (!race->needed || race->needed > team->count ||
	    cp_calls_check(team->calls, team->stride ? team->count : 1) < 0 ||
	    !cp_zero_words(race->opts->_reserved, CP_ARRAY_LEN(race->opts->_reserved)))
		return -EINVAL;
	r = cp_team_open(team, &opts, site);
	if (r < 0)
		return r;
	r = start(race, delay_ns);
	r = coop_group_join(&team->group, r);
	return result(race, r);
}

/* A race for one value: the winner's number is told with it. */
static int run_for_one(struct race *race, const char *name, int64_t delay_ns, size_t *ret_winner,
		       const char *site)
{
	int r = run_race(race, name, delay_ns, site);

	if (r >= 0 && ret_winner)
		*ret_winner = race->winner;
	return r;
}

#define RACE(calls_, stride_, count_, needed_, opts_, ...) \
	{ \
		.team = { .group = COOP_GROUP_INIT, \
			  .run = run, \
			  .ended = ended, \
			  .word = "call", \
			  .calls = (calls_), \
			  .stride = (stride_), \
			  .count = (count_) }, \
		.opts = (opts_), .needed = (needed_), __VA_ARGS__ \
	}

int coop_race_at(const struct coop_call *calls, size_t count, const struct coop_race_opts *opts,
		 size_t *ret_winner, const char *site)
{
	struct race race = RACE(calls, 1, count, 1, opts);

	return run_for_one(&race, "race", AT_ONCE, ret_winner, site);
}

int coop_race_first_at(const struct coop_call *calls, size_t count,
		       const struct coop_race_opts *opts, size_t *ret_winner, const char *site)
{
	struct race race = RACE(calls, 1, count, 1, opts, .first_end = true);

	return run_for_one(&race, "race", AT_ONCE, ret_winner, site);
}

int coop_quorum_at(const struct coop_call *calls, size_t count, size_t needed,
		   const struct coop_race_opts *opts, struct coop_slot *ret_slots, const char *site)
{
	struct race race = RACE(calls, 1, count, needed, opts);
	int r;

	if (!ret_slots)
		return -EINVAL;
	race.team.slots = ret_slots;
	r = run_race(&race, "quorum", AT_ONCE, site);
	return r < 0 ? r : 0;
}

int coop_staggered_race_at(const struct coop_call *calls, size_t count, int64_t delay_ns,
			   const struct coop_race_opts *opts, size_t *ret_winner, const char *site)
{
	struct race race = RACE(calls, 1, count, 1, opts);

	if (delay_ns < 0)
		return -EINVAL;
	return run_for_one(&race, "staggered race", delay_ns, ret_winner, site);
}

int coop_hedge_at(const struct coop_call *call, size_t attempts, int64_t delay_ns,
		  const struct coop_race_opts *opts, size_t *ret_attempt, const char *site)
{
	struct race race = RACE(call, 0, attempts, 1, opts);

	if (delay_ns < 0)
		return -EINVAL;
	race.team.word = "attempt";
	return run_for_one(&race, "hedge", delay_ns, ret_attempt, site);
}
