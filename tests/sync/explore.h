/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A small explorer: runs the same few tasks under every order that the scheduler may choose.
 *
 * Each place where order is free asks cp_choose(); here a script answers it, and after a run the
 * last answer that has an alternative is changed, depth first, until there is none. With a budget
 * of 1 every call that is a checkpoint gives way, so what is enumerated are the interleavings of
 * the steps between checkpoints. Nothing is sampled: a race that is not found is not there, for
 * these tasks.
 *
 * A race is a cast of actors that begin at once, and what must hold when all have ended.
 * Outcomes that are reached are noted with saw(); the test says which must be, so that a race
 * whose steps never met does not pass.
 */

#include "../core/core_help.h"

#include "core/core.h"

#define CHOICES_MAX 400
#define ACTORS_MAX 8

/* One answer of the script, and how many there were. */
struct choice {
	uint32_t taken, count;
};

struct race {
	void (*begin)(void); /* in the main task; NULL: nothing to make */
	coop_fn *actors[ACTORS_MAX];
	void (*end)(void); /* in the main task, when all actors have ended: what must hold */
	struct coop_handle *cast[ACTORS_MAX]; /* by number: whom actors cancel */

	struct choice path[CHOICES_MAX];
	unsigned depth; /* of the script */
	unsigned at;    /* in this run */
	uint64_t runs;
	uint64_t seen; /* outcomes, a bit each */
};

static struct race race;

/* Fails the test and says in which order of tasks. */
#define HOLDS(cond) \
	do { \
		if (!(cond)) { \
			race_print(); \
			FAIL("run %llu: not so: %s", (unsigned long long)race.runs, #cond); \
		} \
	} while (0)

static inline void race_print(void)
{
	for (unsigned i = 0; i < race.at; i++)
		printf("%u/%u ", race.path[i].taken, race.path[i].count);
	printf("\n%s\n", trail);
}

/* An outcome that the race reaches: one of 0 to 63. */
static inline void saw(int outcome)
{
	race.seen |= UINT64_C(1) << outcome;
}

/* A choice of the actors' own is explored like the scheduler's: 0 to n - 1. */
static inline uint64_t race_choose(void *ctx, uint64_t n)
{
	struct choice *c = &race.path[race.at];

	(void)ctx;
	if (n <= 1)
		return 0;
	CHECK_INT(race.at, <, CHOICES_MAX);
	if (race.at++ == race.depth) {
		race.depth++;
		c->taken = 0;
		c->count = (uint32_t)n;
	}
	CHECK_INT(c->count, ==, n); /* the same script gives the same run */
	return c->taken;
}

/* Changes the last answer that has an alternative. */
static inline bool next_script(void)
{
	while (race.depth && race.path[race.depth - 1].taken + 1 == race.path[race.depth - 1].count)
		race.depth--;
	if (race.depth)
		race.path[race.depth - 1].taken++;
	return race.depth > 0;
}

static inline int race_main(void *arg)
{
	struct coop_group_opts opts = { .policy = COOP_COLLECT };
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	(void)arg;
	begin_ns = coop_now();
	trail[0] = '\0';
	if (race.begin)
		race.begin();
	coop_group_open(&g, &opts);
	for (int i = 0; i < ACTORS_MAX && race.actors[i] && r >= 0; i++)
		r = coop_spawn_with(&g, race.actors[i], NULL, NULL, &race.cast[i]);
	CHECK_INT(coop_group_join(&g, r), ==, 0);
	for (int i = 0; i < ACTORS_MAX; i++) {
		coop_handle_release(race.cast[i]);
		race.cast[i] = NULL;
	}
	race.end();
	return 0;
}

/* Runs it in every order; returns how many there are. `outcomes` are those that must be seen. */
static inline uint64_t explore(void (*begin)(void), void (*end)(void), uint64_t outcomes)
{
	struct coop_run_opts opts = { .clock = COOP_CLOCK_VIRTUAL, .budget = 1 };
	struct coop_runner *runner;

	race.begin = begin;
	race.end = end;
	race.runs = race.seen = 0;
	CHECK_INT(coop_runner_open(&opts, &runner), ==, 0);
	cp_next_run.choose = race_choose;
	do {
		race.at = 0;
		race.runs++;
		CHECK_INT(coop_runner_run(runner, race_main, NULL), ==, 0);
		CHECK_INT(race.at, ==, race.depth);
	} while (next_script());
	cp_next_run.choose = NULL;
	CHECK_INT(coop_runner_close(runner), ==, 0);
	coop_runner_free(runner);
	if (race.seen != outcomes)
		FAIL("outcomes %#llx were seen, not %#llx, in %llu runs",
		     (unsigned long long)race.seen, (unsigned long long)outcomes,
		     (unsigned long long)race.runs);
	printf("%llu orders\n", (unsigned long long)race.runs);
	return race.runs;
}

/* Cancels an actor, whatever it is doing, or has done. */
static inline void cancel_actor(int number)
{
	coop_handle_cancel(race.cast[number], "raced");
}

/* The cast, in order, and then the exploration. */
#define EXPLORE(begin, end, outcomes, ...) \
	do { \
		coop_fn *actors_[] = { __VA_ARGS__ }; \
		COOP_STATIC_ASSERT(sizeof actors_ <= sizeof race.actors, "too many actors"); \
		memcpy(race.actors, actors_, sizeof actors_); \
		CHECK_INT(explore((begin), (end), (outcomes)), >, 1); \
	} while (0)
