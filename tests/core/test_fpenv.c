/* SPDX-License-Identifier: MIT */
/*
 * Floating point control words: kept with a task that asked for it, and for nobody else.
 *
 * Rounding is in both sets of words that x86-64 has, so both are looked at: by an
 * addition of the vector unit and one of the old stack, neither of them folded by the compiler.
 */
#include "core_help.h"

#include <fenv.h>

/*
 * How the unit rounds now, by what comes out of it: FE_UPWARD, FE_DOWNWARD or FE_TONEAREST.
 * valgrind keeps the control words and rounds as it likes: there the words must do.
 */
static int rounds_double(void)
{
	volatile double one = 1, little = 1e-30;
	volatile double up = one + little, down = -one - little;

	if (test_on_valgrind())
		return fegetround();
	if (up > 1)
		return FE_UPWARD;
	return down < -1 ? FE_DOWNWARD : FE_TONEAREST;
}

#ifdef __x86_64__
static int rounds_long(void)
{
	volatile long double one = 1, little = 1e-30L;
	volatile long double up = one + little, down = -one - little;

	if (test_on_valgrind())
		return fegetround();
	if (up > 1)
		return FE_UPWARD;
	return down < -1 ? FE_DOWNWARD : FE_TONEAREST;
}
#else /* a long double is software's, and longer */
#define rounds_long rounds_double
#endif

#define CHECK_ROUNDS(mode) \
	do { \
		CHECK_INT(fegetround(), ==, (mode)); \
		CHECK_INT(rounds_double(), ==, (mode)); \
		CHECK_INT(rounds_long(), ==, (mode)); \
	} while (0)

/* A task that works with a rounding of its own for some turns. */
static int asks(void *arg)
{
	int mode = (int)(intptr_t)arg, r = 0;

	CHECK_ROUNDS(FE_TONEAREST);
	CHECK_INT(coop_set_fpenv(true), ==, 0);
	CHECK_INT(fesetround(mode), ==, 0);
	for (int i = 0; i < 5 && r >= 0; i++) {
		coop_yield();
		CHECK_ROUNDS(mode);
		r = coop_sleep(MS(1)); /* through the loop */
		CHECK_ROUNDS(mode);
	}
	say("%c", mode == FE_UPWARD ? 'u' : 'd');
	return r;
}

static int asks_not(void *arg)
{
	int r = 0;

	(void)arg;
	for (int i = 0; i < 5 && r >= 0; i++) {
		CHECK_ROUNDS(FE_TONEAREST);
		coop_yield();
		CHECK_ROUNDS(FE_TONEAREST);
		r = coop_sleep(MS(1));
	}
	say("n");
	return r;
}

/* Each task that asked keeps its own words; those that did not see the thread's, always. */
TASK_TEST(words_of_those_who_ask)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(coop_spawn(&g, asks_not, NULL), ==, 0);
		CHECK_INT(coop_spawn(&g, asks, MSARG(FE_UPWARD)), ==, 0);
		CHECK_INT(coop_spawn(&g, asks, MSARG(FE_DOWNWARD)), ==, 0);
	}
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_ROUNDS(FE_TONEAREST);
	CHECK_TRAIL("nudnud");
	return 0;
}

static int ends_upward(void *arg)
{
	(void)arg;
	coop_set_fpenv(true);
	CHECK_INT(fesetround(FE_UPWARD), ==, 0);
	return 0;
}

static int finds_nearest(void *arg)
{
	(void)arg;
	CHECK_ROUNDS(FE_TONEAREST);
	say("n");
	return 0;
}

/* A task that ends takes its words with it: the next one begins on its stack, without a switch. */
TASK_TEST(words_end_with_their_task)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, ends_upward, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, finds_nearest, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, ends_upward, NULL), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_ROUNDS(FE_TONEAREST);
	CHECK_TRAIL("n");
	return 0;
}

/* A child does not inherit them: neither a later one, nor one that is run at once. */
TASK_TEST(children_begin_with_the_words_of_the_thread)
{
	struct coop_spawn_opts eager = { .eager = true };
	struct coop_group g = COOP_GROUP_INIT;

	coop_set_fpenv(true);
	CHECK_INT(fesetround(FE_DOWNWARD), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, finds_nearest, NULL), ==, 0);
	CHECK_INT(coop_spawn_with(&g, finds_nearest, NULL, &eager, NULL), ==, 0);
	CHECK_ROUNDS(FE_DOWNWARD);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_ROUNDS(FE_DOWNWARD);
	CHECK_TRAIL("nn");
	return 0;
}

/* Asked twice is asked once; no longer asked, the thread's words are back at once. */
TASK_TEST(asking_no_longer)
{
	CHECK_INT(coop_set_fpenv(false), ==, 0);
	CHECK_INT(coop_set_fpenv(true), ==, 0);
	CHECK_INT(fesetround(FE_UPWARD), ==, 0);
	CHECK_INT(coop_set_fpenv(true), ==, 0);
	CHECK_ROUNDS(FE_UPWARD);
	CHECK_INT(coop_set_fpenv(false), ==, 0);
	CHECK_ROUNDS(FE_TONEAREST);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_ROUNDS(FE_TONEAREST);
	return 0;
}

static int changes_without_asking(void *arg)
{
	int r;

	(void)arg;
	CHECK_INT(fesetround(FE_DOWNWARD), ==, 0);
	r = coop_sleep(MS(2)); /* parked with words that it has not asked to keep */
	say("c");
	return r;
}

static int is_not_touched(void *arg)
{
	int r = 0;

	(void)arg;
	coop_set_fpenv(true);
	CHECK_INT(fesetround(FE_UPWARD), ==, 0);
	for (int i = 0; i < 4 && r >= 0; i++) {
		r = coop_sleep(MS(1));
		CHECK_ROUNDS(FE_UPWARD);
	}
	say("u");
	return r;
}

/*
 * Who changes the words without asking and parks, changes them for those who do not ask either,
 * until one who has asked has run; one who has asked is not touched, and neither is the thread
 * after the run.
 */
static int parks_unasked(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, is_not_touched, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, changes_without_asking, NULL), ==, 0);
	coop_yield();
	CHECK_INT(fegetround(), ==, FE_DOWNWARD); /* shared */
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_ROUNDS(FE_TONEAREST); /* the one who asked has run in between */
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("cu");
	CHECK_INT(fesetround(FE_UPWARD), ==, 0);
	return 0;
}

TEST(words_changed_by_one_who_did_not_ask)
{
	CHECK_INT(coop_run(parks_unasked, NULL, &virtual_clock), ==, 0);
	CHECK_ROUNDS(FE_TONEAREST);
}

static int finds_upward(void *arg)
{
	(void)arg;
	CHECK_ROUNDS(FE_UPWARD);
	coop_set_fpenv(true);
	CHECK_INT(fesetround(FE_DOWNWARD), ==, 0);
	return coop_sleep(MS(1));
}

/* A run takes over the words of its thread, whatever they are, and gives them back. */
TEST(a_run_begins_and_ends_with_the_words_of_the_thread)
{
	CHECK_INT(fesetround(FE_UPWARD), ==, 0);
	CHECK_INT(coop_run(finds_upward, NULL, &virtual_clock), ==, 0);
	CHECK_ROUNDS(FE_UPWARD);
	CHECK_INT(coop_set_fpenv(true), ==, COOP_ENOTASK);
}
