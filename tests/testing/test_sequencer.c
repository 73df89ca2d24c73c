/* SPDX-License-Identifier: MIT */
/* The sequencer: steps of several tasks in one order; and what it says when that cannot be. */
#include "../core/core_help.h"

static struct coop_sequencer seq;

/* A test begins with a fresh one: each runs in its own process. */
static const struct coop_sequencer fresh = COOP_SEQUENCER_INIT;

/* Takes its points, given as a text of digits, one after the other. */
static int steps(void *arg)
{
	for (const char *point = arg; *point; point++) {
		int r = coop_sequencer_wait(&seq, (unsigned)(*point - '0'));

		if (r < 0)
			return r;
		say("%c", *point);
		CHECK_INT(coop_yield(), ==, 0); /* others may run: the step is still mine */
		say("%c ", *point);
		coop_sequencer_done(&seq);
	}
	return 0;
}

#define STEPS(points) ((void *)(uintptr_t)(points))

/* Whatever order the tasks are in, and whichever task has which points: 0, 1, 2 and so on. */
TASK_TEST(steps_in_order)
{
	static const char *const hands[][3] = { { "036", "147", "258" },
						{ "258", "147", "036" },
						{ "8", "01234567", "" },
						{ "678", "345", "012" } };

	for (int i = 0; i < 4; i++) {
		struct coop_group g = COOP_GROUP_INIT;

		seq = fresh;
		coop_group_open(&g, NULL);
		for (int k = 0; k < 3; k++)
			CHECK_INT(coop_spawn(&g, steps, STEPS(hands[i][k])), ==, 0);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		CHECK_TRAIL("00 11 22 33 44 55 66 77 88 ");
	}
	PROVES(B318);
	return 0;
}

static int shuffled_steps(void *arg)
{
	begin_ns = coop_now();
	seq = fresh;
	return run_steps_in_order(arg);
}

/* In every order of what is free, too: that is what it is for. */
TEST(steps_in_order_under_every_seed)
{
	struct coop_sweep sweep;

	if (coop_sweep_seeds(shuffled_steps, NULL, NULL, 0, 200, NULL, NULL, &sweep) < 0)
		FAIL("seed %d: %s", (int)sweep.failed_at, sweep.why);
	CHECK_INT(sweep.runs, ==, 200);
	PROVES(B318);
}

/* A point is good for one use, whether its step is over or not; the others are not disturbed. */
TASK_TEST(a_point_is_used_once)
{
	struct coop_checkpoint_mark mark;
	struct coop_group g = COOP_GROUP_INIT;

	seq = fresh;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, steps, STEPS("2")), ==, 0);
	CHECK_INT(coop_sequencer_wait(&seq, 0), ==, 0);
	mark = coop_test_checkpoints();
	CHECK_INT(coop_sequencer_wait(&seq, 0), ==, -EALREADY);
	coop_assert_checkpoint(mark);
	coop_sequencer_done(&seq);
	CHECK_INT(coop_sequencer_wait(&seq, 0), ==, -EALREADY);
	CHECK_INT(coop_yield(), ==, 0);
	CHECK_INT(coop_sequencer_wait(&seq, 2), ==, -EALREADY); /* somebody waits for it */
	CHECK_INT(coop_sequencer_wait(&seq, 1), ==, 0);
	coop_sequencer_done(&seq);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("22 ");
	CHECK_INT(coop_sequencer_wait(&seq, 3), ==, 0);
	PROVES(B318);
	return 0;
}

/* All 256 of them, and no more. */
TASK_TEST(points_that_there_are)
{
	seq = fresh;
	CHECK_INT(coop_sequencer_wait(&seq, 256), ==, -EINVAL);
	CHECK_INT(coop_sequencer_wait(&seq, UINT32_MAX), ==, -EINVAL);
	for (unsigned i = 0; i < 256; i++) {
		CHECK_INT(coop_sequencer_wait(&seq, i), ==, 0);
		coop_sequencer_done(&seq);
	}
	CHECK_INT(coop_sequencer_wait(&seq, 255), ==, -EALREADY);
	return 0;
}

/* Ending a step that nobody has begun moves nothing on. */
TASK_TEST(done_without_a_step)
{
	struct coop_group g = COOP_GROUP_INIT;

	seq = fresh;
	coop_sequencer_done(&seq);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, steps, STEPS("1")), ==, 0);
	CHECK_INT(coop_test_wait_all_blocked(0), ==, 0);
	coop_sequencer_done(&seq);
	CHECK_INT(coop_test_wait_all_blocked(0), ==, 0);
	CHECK_TRAIL("");
	CHECK_INT(coop_sequencer_wait(&seq, 0), ==, 0);
	coop_sequencer_done(&seq);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("11 ");
	return 0;
}

TEST(outside_of_tasks)
{
	seq = fresh;
	CHECK_INT(coop_sequencer_wait(&seq, 0), ==, COOP_ENOTASK);
	coop_sequencer_done(&seq);
}

/* ---- broken */

static int takes_point(void *arg)
{
	int r = coop_sequencer_wait(&seq, (unsigned)(uintptr_t)arg);

	say("%d:%s ", (int)(intptr_t)arg,
	    r == COOP_ECANCELED ? "cancelled"
	    : r == COOP_EBROKEN ? "broken"
				: "?");
	if (r == COOP_EBROKEN)
		return 0;
	return r;
}

/* One waiter is cancelled: those who wait and those who come later are told that it is broken. */
TASK_TEST(a_cancelled_waiter_breaks_it)
{
	struct coop_handle *victim;
	struct coop_group g = COOP_GROUP_INIT;

	seq = fresh;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, takes_point, MSARG(3)), ==, 0);
	CHECK_INT(coop_spawn_with(&g, takes_point, MSARG(1), NULL, &victim), ==, 0);
	CHECK_INT(coop_spawn(&g, takes_point, MSARG(2)), ==, 0);
	CHECK_INT(coop_test_wait_all_blocked(0), ==, 0);
	CHECK_INT(coop_handle_cancel(victim, "test"), ==, 0);
	CHECK_INT(coop_handle_wait(victim, NULL), ==, COOP_ETASKCANCELLED);
	coop_error_clear();
	coop_handle_release(victim);
	CHECK_INT(coop_sequencer_wait(&seq, 0), ==, COOP_EBROKEN);
	CHECK_INT(coop_sequencer_wait(&seq, 7), ==, COOP_EBROKEN);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_STR(strstr(trail, "1:cancelled ") ? "yes" : trail, "yes");
	CHECK_STR(strstr(trail, "2:broken ") ? "yes" : trail, "yes");
	CHECK_STR(strstr(trail, "3:broken ") ? "yes" : trail, "yes");
	PROVES(B318);
	return 0;
}

/* One that comes cancelled breaks it as well: who waits is not left waiting for ever. */
static int comes_cancelled(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;

	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, "before");
	return coop_scope_close(&s, takes_point(arg));
}

TASK_TEST(who_comes_cancelled_breaks_it)
{
	struct coop_group g = COOP_GROUP_INIT;

	seq = fresh;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, takes_point, MSARG(2)), ==, 0);
	CHECK_INT(coop_test_wait_all_blocked(0), ==, 0);
	CHECK_INT(coop_spawn(&g, comes_cancelled, MSARG(1)), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("1:cancelled 2:broken ");
	PROVES(B318);
	return 0;
}

/* All are cancelled at once: all of them are cancelled, none of them has a failure. */
static int takes_point_plain(void *arg)
{
	return coop_sequencer_wait(&seq, (unsigned)(uintptr_t)arg);
}

TASK_TEST(all_cancelled_at_once)
{
	struct coop_group g = COOP_GROUP_INIT;

	seq = fresh;
	coop_group_open(&g, NULL);
	for (int i = 1; i <= 4; i++)
		CHECK_INT(coop_spawn(&g, takes_point_plain, MSARG(i)), ==, 0);
	CHECK_INT(coop_test_wait_all_blocked(0), ==, 0);
	coop_group_cancel(&g, "all of you");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	PROVES(B318);
	return 0;
}

/* A turn that was given stays given: completion wins over a cancel that comes afterwards. */
static int keeps_its_turn(void *arg)
{
	CHECK_INT(coop_sequencer_wait(&seq, (unsigned)(uintptr_t)arg), ==, 0);
	say("turn ");
	coop_sequencer_done(&seq);
	return coop_checkpoint();
}

TASK_TEST(a_turn_that_was_given_stays)
{
	struct coop_handle *h;
	struct coop_group g = COOP_GROUP_INIT;

	seq = fresh;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_sequencer_wait(&seq, 0), ==, 0);
	CHECK_INT(coop_spawn_with(&g, keeps_its_turn, MSARG(1), NULL, &h), ==, 0);
	CHECK_INT(coop_test_wait_all_blocked(0), ==, 0);
	coop_sequencer_done(&seq);
	CHECK_INT(coop_handle_cancel(h, "too late for this step"), ==, 0);
	CHECK_INT(coop_sequencer_wait(&seq, 2), ==, 0);
	CHECK_TRAIL("turn ");
	CHECK_INT(coop_handle_wait(h, NULL), ==, COOP_ETASKCANCELLED);
	coop_error_clear();
	coop_handle_release(h);
	PROVES(B318);
	return coop_group_join(&g, 0);
}
