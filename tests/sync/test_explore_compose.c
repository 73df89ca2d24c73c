/* SPDX-License-Identifier: MIT */
/*
 * Races of two steps, in every order: calls that make several calls, or wait for several tasks,
 * against the cancel of who made them. See test_explore.c.
 */
#include "explore.h"

static int cancels_first(void *arg)
{
	(void)arg;
	cancel_actor(0);
	return 0;
}

static void nothing(void)
{
}

/* ------------------------------------------------------------------------ races */

static struct {
	int made[2], discarded[2];
	int won; /* -1: nobody */
	int rc;
} prize;

static int makes(void *arg)
{
	int number = (int)(intptr_t)arg, r = coop_checkpoint();

	if (r < 0)
		return r;
	prize.made[number]++;
	return number + 10;
}

static void discard(const struct coop_call *call, int value, void *ctx)
{
	(void)call;
	(void)ctx;
	prize.discarded[value - 10]++;
}

static int runs_race(void *arg)
{
	static const struct coop_call calls[] = { { makes, (void *)0, NULL },
						  { makes, (void *)1, NULL } };
	struct coop_race_opts opts = { .discard = discard };
	size_t winner = 2;
	int r = coop_race(calls, 2, &opts, &winner);

	(void)arg;
	prize.rc = r;
	if (r >= 0) {
		HOLDS(winner < 2 && r == (int)winner + 10);
		prize.won = r - 10;
	}
	saw(r >= 0 ? (int)winner : 2);
	return r < 0 ? r : 0;
}

static void no_prize(void)
{
	memset(&prize, 0, sizeof prize);
	prize.won = -1;
}

/* Each value that was made is the winner's, or was discarded once. */
static void prizes_even(void)
{
	for (int i = 0; i < 2; i++)
		HOLDS(prize.made[i] == prize.discarded[i] + (prize.won == i));
	HOLDS(prize.rc >= 0 || prize.rc == COOP_ECANCELED);
}

/* Two branches end in one tick, and the race is cancelled: no value is lost (A10, A24). */
TEST(race_of_two_against_cancel)
{
	EXPLORE(no_prize, prizes_even, 7, runs_race, cancels_first);
	PROVES(B168, B170, B172);
}

/* Waits for the third actor, which ends meanwhile. */
static int awaits(void *arg)
{
	int value = 0, r;

	(void)arg;
	r = coop_wait(&race.cast[2], 1, COOP_WAIT_ALL, COOP_NEVER, NULL);
	HOLDS(r == COOP_ECANCELED || r == 1);
	HOLDS(r < 0 || (coop_handle_result(race.cast[2], &value) == 0 && value == 7));
	saw(r == 1 ? 0 : 1);
	return r < 0 ? r : 0;
}

static int lasts(void *arg)
{
	(void)arg;
	HOLDS(coop_checkpoint() == 0);
	saw(2);
	return 7;
}

/* The end of a task against the cancel of who waits for it: the task does not feel it. */
TEST(end_of_a_task_against_cancel_of_its_waiter)
{
	EXPLORE(nothing, nothing, 7, awaits, cancels_first, lasts);
	PROVES(B161);
}

/* ------------------------------------------------------------------- time limits */

/* At the instant of the time limit, the moment before that is looked at, or later. */
static int ends_at_10_ms(void *arg)
{
	int r = 0;

	(void)arg;
	switch (race_choose(NULL, 3)) {
	case 0: r = coop_sleep(MS(10)); break;
	case 1: r = coop_sleep(MS(20)); break;
	default: CHECK_INT(coop_test_clock_jump(MS(10)), ==, 0);
	}
	return r < 0 ? r : 7;
}

/* The task ends, its time is up, and the waiter is cancelled, all in one instant. */
static int waits_10_ms_for_it(void *arg)
{
	bool had_ended = coop_handle_state(race.cast[2]) == COOP_TASK_FINISHED;
	int value = 0, r;

	(void)arg;
	r = coop_wait_for(race.cast[2], MS(10), &value);
	HOLDS(r == 0 || r == COOP_ETIMEDOUT || r == COOP_ECANCELED);
	HOLDS(value == (r == 0 ? 7 : 0));
	/* In any case the task has ended, and what it came to is what was told. */
	HOLDS(coop_handle_state(race.cast[2]) >= COOP_TASK_FINISHED);
	HOLDS(r == 0 || (r == COOP_ECANCELED && had_ended) ||
	      coop_handle_state(race.cast[2]) == COOP_TASK_CANCELLED);
	coop_error_clear();
	saw(r == 0 ? 0 : r == COOP_ETIMEDOUT ? 1 : 2);
	if (r == 0) /* a cancel that came meanwhile is still there */
		r = coop_checkpoint() < 0 ? COOP_ECANCELED : 0;
	return r == COOP_ECANCELED ? r : 0;
}

/* Before the time limit, or at its instant. */
static int cancels_in_time(void *arg)
{
	if (race_choose(NULL, 2))
		CHECK_INT(coop_sleep(MS(10)), ==, 0);
	return cancels_first(arg);
}

TEST(wait_for_against_end_timeout_and_cancel)
{
	EXPLORE(nothing, nothing, 7, waits_10_ms_for_it, cancels_in_time, ends_at_10_ms);
	PROVES(B177, B178, B181);
}

/* ------------------------------------------------------------------ as completed */

static int taken[2];

static int takes_as_completed(void *arg)
{
	static const struct coop_call calls[] = { { makes, (void *)0, NULL },
						  { makes, (void *)1, NULL } };
	struct coop_as_completed_opts opts = { .discard = discard };
	struct coop_as_completed *it;
	struct coop_slot slot;
	size_t index;
	int r;

	(void)arg;
	CHECK_INT(coop_as_completed_open(calls, 2, &opts, &it), ==, 0);
	while ((r = coop_as_completed_next(it, &index, &slot)) == 0) {
		HOLDS(index < 2);
		if (slot.state == COOP_TASK_FINISHED)
			taken[index]++;
	}
	HOLDS(r == COOP_EOF || r == COOP_ECANCELED);
	saw(r == COOP_EOF ? 0 : 1);
	if (r == COOP_EOF)
		coop_error_clear();
	r = coop_as_completed_close(it, r == COOP_EOF ? 0 : r);
	HOLDS(r == 0 || r == COOP_ECANCELED);
	return r;
}

static void none_taken(void)
{
	no_prize();
	taken[0] = taken[1] = 0;
}

static void all_taken_or_discarded(void)
{
	for (int i = 0; i < 2; i++)
		HOLDS(prize.made[i] == prize.discarded[i] + taken[i]);
}

/* Each value that was made is taken, or discarded, once. */
TEST(results_as_completed_against_cancel)
{
	EXPLORE(none_taken, all_taken_or_discarded, 3, takes_as_completed, cancels_first);
	PROVES(B163, B165);
}

/* ------------------------------------------------------------------------- gather */

static int gathers(void *arg)
{
	static const struct coop_call calls[] = { { makes, (void *)0, NULL },
						  { makes, (void *)1, NULL } };
	struct coop_slot slots[2];
	int r = coop_gather(calls, 2, COOP_GATHER_COLLECT, slots);

	(void)arg;
	HOLDS(r == 0 || r == COOP_ECANCELED);
	for (int i = 0; i < 2; i++) {
		bool made = slots[i].state == COOP_TASK_FINISHED;

		HOLDS(made || slots[i].state == COOP_TASK_CANCELLED);
		HOLDS(prize.made[i] == made && (!made || slots[i].rc == i + 10));
		HOLDS(made || r == COOP_ECANCELED);
	}
	saw(r == 0 ? 0 : 1);
	return r;
}

/* What the slots say is what happened, whenever the cancel comes. */
TEST(gather_against_cancel)
{
	EXPLORE(no_prize, nothing, 3, gathers, cancels_first);
	PROVES(B151, B153);
}
