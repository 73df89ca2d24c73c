/* SPDX-License-Identifier: MIT */
/* Barriers and latches: who is counted, when they open, what a cancel, a reset, a break change. */
#include "sync_help.h"

static struct coop_barrier barrier;
static struct coop_latch latch;

#define FRESH(n) (barrier = (struct coop_barrier)COOP_BARRIER_INIT(n))
#define FRESH_LATCH(n) (latch = (struct coop_latch)COOP_LATCH_INIT(n))

static int meet(struct actor *a, int arg)
{
	(void)a;
	(void)arg;
	return coop_barrier_wait(&barrier);
}

static int wait_latch(struct actor *a, int arg)
{
	(void)a;
	(void)arg;
	return coop_latch_wait(&latch);
}

static struct coop_barrier_stats numbers(void)
{
	struct coop_barrier_stats stats;

	CHECK_INT(coop_barrier_stats(&barrier, &stats), ==, 0);
	return stats;
}

/* ---- barriers */

/* The last one opens it for all; each gets its number; and then it is closed again. */
TASK_TEST(a_barrier_opens_for_all)
{
	FRESH(3);
	actors_begin(5);
	for (int round = 0; round < 3; round++) {
		CHECK_INT(ask(2, meet, 0), ==, BLOCKED);
		CHECK_INT(ask(0, meet, 0), ==, BLOCKED);
		CHECK_INT(numbers().waiting, ==, 2);
		CHECK_INT(numbers().parties, ==, 3);
		CHECK_INT(ask(1, meet, 0), ==, 2);
		CHECK_INT(actors[2].result, ==, 0);
		CHECK_INT(actors[0].result, ==, 1);
		CHECK_INT(numbers().waiting, ==, 0);
	}
	coop_barrier_deinit(&barrier);
	coop_barrier_deinit(NULL);
	CHECK_INT(coop_barrier_wait(&barrier), ==, COOP_ECLOSED);
	CHECK_INT(coop_barrier_reset(&barrier), ==, COOP_ECLOSED);
	FRESH(1);
	CHECK_INT(coop_barrier_wait(&barrier), ==, 0);
	FRESH(0);
	CHECK_INT(coop_barrier_wait(&barrier), ==, -EINVAL);
	CHECK_INT(coop_barrier_reset(&barrier), ==, -EINVAL);
	FRESH(UINT32_MAX);
	CHECK_INT(coop_barrier_wait(&barrier), ==, -EINVAL);
	PROVES(B258);
	return actors_end();
}

/* One that is cancelled has not been there: it takes one more, and the numbers have no hole. */
TASK_TEST(one_leaves_a_barrier_by_a_cancel)
{
	FRESH(3);
	actors_begin(4);
	CHECK_INT(ask(0, meet, 0), ==, BLOCKED);
	CHECK_INT(ask(1, meet, 0), ==, BLOCKED);
	stop(0);
	settle();
	CHECK_INT(actors[0].result, ==, COOP_ECANCELED);
	CHECK_INT(numbers().waiting, ==, 1);
	CHECK_INT(ask(2, meet, 0), ==, BLOCKED);
	CHECK_INT(ask(3, meet, 0), ==, 2);
	CHECK_INT(actors[1].result, ==, 0);
	CHECK_INT(actors[2].result, ==, 1);
	PROVES(B258);
	return actors_end();
}

/* The last one came before the cancel: all have met. */
TASK_TEST(an_open_barrier_and_a_cancel)
{
	FRESH(2);
	actors_begin(2);
	CHECK_INT(ask(0, meet, 0), ==, BLOCKED);
	CHECK_INT(coop_barrier_wait(&barrier), ==, 1);
	if (actors[0].result == BLOCKED)
		stop(0);
	settle();
	CHECK_INT(actors[0].result, ==, 0);
	PROVES(B79);
	return actors_end();
}

/* Those of one round have left it before they run; who comes then is of the next round. */
TASK_TEST(a_newcomer_is_of_the_next_round)
{
	FRESH(2);
	actors_begin(4);
	CHECK_INT(ask(0, meet, 0), ==, BLOCKED);
	tell(1, meet, 0);
	tell(2, meet, 0);
	settle();
	CHECK_INT(actors[0].result, ==, 0);
	CHECK_INT(actors[1].result, ==, 1);
	CHECK_INT(actors[2].result, ==, BLOCKED);
	CHECK_INT(ask(3, meet, 0), ==, 1);
	CHECK_INT(actors[2].result, ==, 0);
	PROVES(B259);
	return actors_end();
}

/* A reset sends away who waits; a break sends away those who come later too, until a reset. */
TASK_TEST(a_barrier_is_reset_and_broken)
{
	FRESH(3);
	actors_begin(3);
	CHECK_INT(ask(0, meet, 0), ==, BLOCKED);
	CHECK_INT(ask(1, meet, 0), ==, BLOCKED);
	CHECK_INT(coop_barrier_reset(&barrier), ==, 2);
	CHECK(!numbers().broken);
	settle();
	CHECK_INT(actors[0].result, ==, COOP_EBROKEN);
	CHECK_INT(actors[1].result, ==, COOP_EBROKEN);
	CHECK_INT(ask(0, meet, 0), ==, BLOCKED);
	CHECK_INT(coop_barrier_break(&barrier), ==, 1);
	CHECK_INT(coop_barrier_break(&barrier), ==, 0);
	CHECK(numbers().broken);
	settle();
	CHECK_INT(actors[0].result, ==, COOP_EBROKEN);
	CHECK_INT(ask(1, meet, 0), ==, COOP_EBROKEN);
	CHECK_INT(coop_barrier_reset(&barrier), ==, 0);
	CHECK_INT(ask(0, meet, 0), ==, BLOCKED);
	CHECK_INT(ask(1, meet, 0), ==, BLOCKED);
	CHECK_INT(ask(2, meet, 0), ==, 2);
	PROVES(B259);
	return actors_end();
}

/* ---- latches */

/* All wait until nothing is to be done; with more to do, it can be waited for again. */
TASK_TEST(a_latch_opens_at_zero)
{
	struct coop_latch_stats stats;

	FRESH_LATCH(2);
	actors_begin(3);
	CHECK_INT(ask(1, wait_latch, 0), ==, BLOCKED);
	CHECK_INT(ask(0, wait_latch, 0), ==, BLOCKED);
	CHECK_INT(coop_latch_done(&latch), ==, 0);
	settle();
	CHECK_INT(actors[1].result, ==, BLOCKED);
	CHECK_INT(coop_latch_stats(&latch, &stats), ==, 0);
	CHECK_INT(stats.count, ==, 1);
	CHECK_INT(stats.waiting, ==, 2);
	CHECK_INT(coop_latch_done(&latch), ==, 0);
	CHECK_INT(coop_latch_add(&latch, 1), ==, 0); /* too late for those who were woken */
	tell(2, wait_latch, 0);
	settle();
	CHECK_INT(actors[1].result, ==, 0);
	CHECK_INT(actors[0].result, ==, 0);
	CHECK_INT(actors[1].served, <, actors[0].served);
	CHECK_INT(actors[2].result, ==, BLOCKED);
	CHECK_INT(coop_latch_done(&latch), ==, 0);
	settle();
	CHECK_INT(actors[2].result, ==, 0);
	CHECK_INT(coop_latch_wait(&latch), ==, 0);
	coop_latch_deinit(&latch);
	coop_latch_deinit(NULL);
	CHECK_INT(coop_latch_add(&latch, 1), ==, COOP_ECLOSED);
	CHECK_INT(coop_latch_done(&latch), ==, COOP_ECLOSED);
	CHECK_INT(coop_latch_wait(&latch), ==, COOP_ECLOSED);
	return actors_end();
}

/* The count stays in its range; what would leave it is refused. */
TASK_TEST(rel_A17_a_latch_at_its_limits)
{
	struct coop_latch_stats stats;

	FRESH_LATCH(0);
	CHECK_INT(coop_latch_done(&latch), ==, -EOVERFLOW);
	CHECK_INT(coop_latch_wait(&latch), ==, 0);
	CHECK_INT(coop_latch_add(&latch, UINT32_MAX), ==, 0);
	CHECK_INT(coop_latch_add(&latch, 1), ==, -EOVERFLOW);
	CHECK_INT(coop_latch_add(&latch, UINT32_MAX), ==, -EOVERFLOW);
	CHECK_INT(coop_latch_stats(&latch, &stats), ==, 0);
	CHECK_INT(stats.count, ==, UINT32_MAX);
	CHECK_INT(coop_latch_done(&latch), ==, 0);
	CHECK_INT(coop_latch_add(&latch, 1), ==, 0);
	return 0;
}

static int barrier_with_a_waiter(void *arg)
{
	(void)arg;
	FRESH(2);
	actors_begin(1);
	ask(0, meet, 0);
	coop_barrier_deinit(&barrier);
	return 0;
}

static int latch_with_a_waiter(void *arg)
{
	(void)arg;
	FRESH_LATCH(1);
	actors_begin(1);
	ask(0, wait_latch, 0);
	coop_latch_deinit(&latch);
	return 0;
}

/* Given up while somebody waits: the program ends and names both tasks. */
TEST(given_up_with_a_waiter)
{
	char text[1024];

	last_words(barrier_with_a_waiter, text, sizeof text);
	CHECK_HAS(text, "coop_barrier_deinit by main");
	CHECK_HAS(text, "actor_main waits for it in coop_barrier_wait, first of 1");
	last_words(latch_with_a_waiter, text, sizeof text);
	CHECK_HAS(text, "coop_latch_deinit by main");
	CHECK_HAS(text, "actor_main waits for it in coop_latch_wait, first of 1");
}

/* ---- against models */

static struct line line;

static void model_release(int error)
{
	int who, n = 0;

	while ((who = line_first(&line)) >= 0) {
		expected[who] = error < 0 ? error : n;
		n++;
	}
}

static void model_stop(int who)
{
	stop(who);
	if (line_leave(&line, who))
		expected[who] = COOP_ECANCELED;
}

/* Random arrivals, cancels, resets and breaks. */
TASK_TEST(barriers_against_a_model)
{
	long steps = TEST_COUNT(1000000, 30000);
	bool broken = false;

	TEST_SECONDS(300);
	FRESH(3);
	actors_begin(6);
	for (long step = 0; step < steps; step++) {
		int who = (int)roll(6), n;

		switch (roll(16)) {
		case 0:
			broken = roll(4) == 0;
			n = broken ? coop_barrier_break(&barrier) : coop_barrier_reset(&barrier);
			CHECK_INT(n, ==, line.count);
			model_release(COOP_EBROKEN);
			break;
		case 1:
		case 2:
		case 3:
			if (stoppable(who))
				model_stop(who);
			break;
		default:
			settle();
			compare_actors(step);
			CHECK_INT(numbers().waiting, ==, line.count);
			if (actors[who].result == BLOCKED)
				break;
			tell(who, meet, 0);
			expected[who] = broken ? COOP_EBROKEN : BLOCKED;
			if (!broken)
				line_add(&line, who);
			if (line.count == 3)
				model_release(0);
			coop_yield();
		}
	}
	coop_barrier_reset(&barrier);
	return actors_end();
}

/* Random additions, completions, waits and cancels. */
TASK_TEST(latches_against_a_model)
{
	long steps = TEST_COUNT(1000000, 30000);
	int count = 0;

	TEST_SECONDS(300);
	FRESH_LATCH(0);
	actors_begin(6);
	for (long step = 0; step < steps; step++) {
		int who = (int)roll(6), n = (int)roll(3);

		switch (roll(8)) {
		case 0:
			CHECK_INT(coop_latch_add(&latch, (uint32_t)n), ==, 0);
			count += n;
			break;
		case 1:
		case 2:
			CHECK_INT(coop_latch_done(&latch), ==, count ? 0 : -EOVERFLOW);
			count -= count > 0;
			while (!count && (n = line_first(&line)) >= 0)
				expected[n] = 0;
			break;
		case 3:
			if (stoppable(who))
				model_stop(who);
			break;
		default:
			settle();
			compare_actors(step);
			if (actors[who].result == BLOCKED)
				break;
			tell(who, wait_latch, 0);
			expected[who] = count ? BLOCKED : 0;
			if (count)
				line_add(&line, who);
			coop_yield();
		}
	}
	while (count--)
		CHECK_INT(coop_latch_done(&latch), ==, 0);
	return actors_end();
}
