/* SPDX-License-Identifier: MIT */
/*
 * The asserts about checkpoints. An assert that never fires is none, so most of what is here must
 * abort the program, and say where.
 */
#include "../core/core_help.h"

/* Both halves, by either way: at once, or after having been parked. */
TASK_TEST(whole_checkpoints)
{
	struct coop_checkpoint_mark mark = coop_test_checkpoints();

	CHECK_INT(coop_checkpoint(), ==, 0);
	coop_assert_checkpoint(mark);
	mark = coop_test_checkpoints();
	CHECK_INT(coop_sleep(0), ==, 0);
	coop_assert_checkpoint(mark);
	mark = coop_test_checkpoints();
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_assert_checkpoint(mark);
	mark = coop_test_checkpoints();
	CHECK_INT(coop_test_wait_all_blocked(0), ==, 0);
	coop_assert_checkpoint(mark);
	/* Two halves by two calls make a whole one too. */
	mark = coop_test_checkpoints();
	CHECK_INT(coop_checkpoint_if_cancelled(), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
	coop_assert_checkpoint(mark);
	PROVES(B321);
	return 0;
}

/* Under a cancelled scope a checkpoint is one as well. */
TASK_TEST(cancelled_checkpoints)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_checkpoint_mark mark;

	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, NULL);
	mark = coop_test_checkpoints();
	CHECK_INT(coop_sleep(SEC(1)), ==, COOP_ECANCELED);
	coop_assert_checkpoint(mark);
	PROVES(B321);
	return coop_scope_close(&s, 0);
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* No half of one: what only asks, starts, or is refused. */
TASK_TEST(no_checkpoints)
{
	struct coop_checkpoint_mark mark = coop_test_checkpoints();
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, nothing, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, NULL, NULL), ==, -EINVAL);
	CHECK(coop_now() > 0);
	coop_assert_no_checkpoint(mark);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	PROVES(B321);
	return 0;
}

/* A call that is one is one also when it is refused on its arguments. */
TASK_TEST(a_refused_call_is_a_checkpoint)
{
	struct coop_checkpoint_mark mark = coop_test_checkpoints();

	CHECK_INT(coop_sleep(-1), ==, -EINVAL);
	coop_assert_checkpoint(mark);
	PROVES(B86);
	return 0;
}

/* Counts are the task's own: what another one goes through does not show. */
static int checkpoints_often(void *arg)
{
	(void)arg;
	for (int i = 0; i < 10; i++)
		CHECK_INT(coop_checkpoint(), ==, 0);
	return 0;
}

TASK_TEST(counts_are_of_the_task)
{
	struct coop_checkpoint_mark before, after;
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, checkpoints_often, NULL), ==, 0);
	before = coop_test_checkpoints();
	CHECK_INT(coop_yield(), ==, 0);
	after = coop_test_checkpoints();
	CHECK_INT(after.cancel_half - before.cancel_half, ==, 0);
	CHECK_INT(after.schedule_half - before.schedule_half, ==, 1);
	PROVES(B321);
	return coop_group_join(&g, 0);
}

TEST(outside_of_tasks)
{
	struct coop_checkpoint_mark mark = coop_test_checkpoints();

	CHECK_INT(mark.cancel_half, ==, 0);
	CHECK_INT(mark.schedule_half, ==, 0);
}

/* ---- they do fire */

static int no_half(void *arg)
{
	struct coop_checkpoint_mark mark = coop_test_checkpoints();

	(void)arg;
	coop_assert_checkpoint(mark);
	return 0;
}

static int cancel_half_only(void *arg)
{
	struct coop_checkpoint_mark mark = coop_test_checkpoints();

	(void)arg;
	CHECK_INT(coop_checkpoint_if_cancelled(), ==, 0);
	coop_assert_checkpoint(mark);
	return 0;
}

static int schedule_half_only(void *arg)
{
	struct coop_checkpoint_mark mark = coop_test_checkpoints();

	(void)arg;
	CHECK_INT(coop_yield(), ==, 0);
	coop_assert_checkpoint(mark);
	return 0;
}

static int one_too_many(void *arg)
{
	struct coop_checkpoint_mark mark = coop_test_checkpoints();

	(void)arg;
	CHECK_INT(coop_checkpoint(), ==, 0);
	coop_assert_no_checkpoint(mark);
	return 0;
}

static int half_a_one_too_many(void *arg)
{
	struct coop_checkpoint_mark mark = coop_test_checkpoints();

	(void)arg;
	CHECK_INT(coop_yield(), ==, 0);
	coop_assert_no_checkpoint(mark);
	return 0;
}

static void check_fires(coop_fn *fn, const char *words)
{
	char text[512];

	last_words(fn, text, sizeof text);
	CHECK_HAS(text, "test_checkpoints.c:");
	CHECK_HAS(text, words);
}

/* Each with its words: what was expected, and which half there was. */
TEST(asserts_that_fire)
{
	check_fires(no_half, "a checkpoint was expected\n");
	check_fires(cancel_half_only,
		    "a checkpoint was expected; there was its cancel half only\n");
	check_fires(schedule_half_only,
		    "a checkpoint was expected; there was its schedule half only\n");
	check_fires(one_too_many, "no checkpoint was expected\n");
	check_fires(half_a_one_too_many, "no checkpoint was expected\n");
	PROVES(B321);
}
