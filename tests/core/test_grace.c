/* SPDX-License-Identifier: MIT */
/*
 * Soft shields and the grace they share: the budget belongs to the cancellation, not to the block,
 * whoever spends it, in whatever task and how deep; it can be shortened, never lengthened.
 */
#include "core_help.h"

#include "core/core.h"

/* Sleeps behind a soft shield of `limit_ns` for as long as it holds; returns the time then. */
static int64_t soft_block(int64_t limit_ns)
{
	struct coop_scope_opts opts = { .soft_shield_ns = limit_ns };
	struct coop_scope s = COOP_SCOPE_INIT;
	int64_t ended_ms;
	int r;

	coop_scope_open(&s, &opts);
	r = coop_sleep(COOP_NEVER);
	CHECK_INT(r, ==, COOP_ECANCELED);
	ended_ms = now_ms();
	CHECK_INT(coop_checkpoint(), ==, COOP_ECANCELED);
	r = coop_scope_close(&s, r);
	CHECK_INT(r, ==, COOP_ECANCELED); /* it is not its own, so it passes on */
	CHECK(!coop_scope_caught(&s));
	return ended_ms;
}

/* ---- one block */

/* A block goes on for its own limit or for the grace, whichever is less. */
TASK_TEST(the_lesser_of_limit_and_grace)
{
	static const struct {
		int64_t limit_ns, grace_ns, ended_ms;
	} cases[] = {
		{ MS(10), MS(100), 10 },    { MS(100), MS(10), 10 },        { MS(10), MS(10), 10 },
		{ COOP_NEVER, MS(10), 10 }, { MS(10), COOP_NEVER - 1, 10 }, { COOP_NEVER, 0, 0 },
		{ MS(10), 0, 0 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct coop_scope s = COOP_SCOPE_INIT;
		int64_t start_ms = now_ms();

		coop_scope_open(&s, NULL);
		coop_scope_cancel_grace(&s, NULL, cases[i].grace_ns);
		CHECK_INT(soft_block(cases[i].limit_ns) - start_ms, ==, cases[i].ended_ms);
		CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, 0);
	}
	PROVES(B196);
	return 0;
}

/* Limits that are no limit, and the least there is. */
TASK_TEST(the_ends_of_the_scale)
{
	struct coop_scope_opts for_ever = { .soft_shield_ns = COOP_NEVER };
	struct coop_scope_opts least = { .soft_shield_ns = 1 };
	struct coop_scope s = COOP_SCOPE_INIT, soft = COOP_SCOPE_INIT, one = COOP_SCOPE_INIT;

	coop_scope_open(&s, NULL);
	coop_scope_cancel_grace(&s, NULL, COOP_NEVER - 1);
	coop_scope_open(&soft, &for_ever);
	CHECK_INT(coop_sleep(SEC(1000000000)), ==, 0); /* 31 years */
	CHECK_INT(coop_effective_deadline(), >=, coop_now() + SEC(1000000000));
	CHECK_INT(coop_scope_close(&soft, 0), ==, 0);
	coop_scope_open(&one, &least);
	CHECK(!coop_cancelled());
	begin_ns = coop_now();
	CHECK_INT(coop_sleep(MS(1)), ==, COOP_ECANCELED);
	CHECK_INT(now_ns(), ==, 1);
	CHECK_INT(coop_scope_close(&one, COOP_ECANCELED), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, 0);
	return 0;
}

/* Without a cancel a soft shield limits nothing. */
TASK_TEST(a_soft_shield_is_no_time_limit)
{
	CHECK_INT(coop_shield_grace(MS(1), sleep_ms, MSARG(100000)), ==, 0);
	CHECK_INT(now_ms(), ==, 100000);
	CHECK_INT(coop_shield_grace(-1, sleep_ms, MSARG(1)), ==, -EINVAL);
	CHECK_INT(coop_shield_grace(MS(1), NULL, NULL), ==, -EINVAL);
	CHECK_INT(now_ms(), ==, 100000);
	return 0;
}

struct block {
	int64_t limit_ns;
	int64_t ended_ms;
};

static int block_task(void *arg)
{
	struct block *b = arg;

	b->ended_ms = soft_block(b->limit_ns);
	return COOP_ECANCELED;
}

/* The time counts from the cancel, not from when the block was opened. */
TASK_TEST(the_time_counts_from_the_cancel)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct block limited = { .limit_ns = MS(20) }, unlimited = { .limit_ns = COOP_NEVER };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, block_task, &limited), ==, 0);
	CHECK_INT(coop_spawn(&g, block_task, &unlimited), ==, 0);
	CHECK_INT(coop_sleep(MS(500)), ==, 0);
	coop_group_cancel_grace(&g, NULL, MS(50));
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(limited.ended_ms, ==, 520);
	CHECK_INT(unlimited.ended_ms, ==, 550);
	PROVES(B196);
	return 0;
}

/* A block that ends in time leaves no trace; what comes after it is cancelled at once. */
TASK_TEST(a_block_that_ends_in_time)
{
	struct coop_scope s = COOP_SCOPE_INIT;

	coop_scope_open(&s, NULL);
	coop_scope_cancel_grace(&s, NULL, MS(50));
	CHECK_INT(coop_shield_grace(COOP_NEVER, sleep_ms, MSARG(20)), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 20);
	return coop_scope_close(&s, COOP_ECANCELED);
}

/* Its own cancel and its own deadline get through a soft shield at once, and are caught by it. */
TASK_TEST(a_soft_shield_does_not_hide_its_own_cancel)
{
	struct coop_scope outer = COOP_SCOPE_INIT, s = COOP_SCOPE_INIT, t = COOP_SCOPE_INIT;
	struct coop_scope_opts soft = { .soft_shield_ns = COOP_NEVER };
	struct coop_scope_opts both = { .soft_shield_ns = COOP_NEVER, .timeout_ns = MS(5) };
	int r;

	coop_scope_open(&outer, NULL);
	coop_scope_cancel_grace(&outer, NULL, MS(100));
	coop_scope_open(&s, &soft);
	coop_scope_cancel(&s, NULL);
	r = coop_sleep(MS(1));
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	CHECK(coop_scope_caught(&s));
	coop_scope_open(&t, &both);
	CHECK_INT(coop_effective_deadline(), ==, begin_ns + MS(5));
	r = coop_sleep(COOP_NEVER);
	CHECK_INT(now_ms(), ==, 5);
	CHECK_INT(coop_scope_close(&t, r), ==, 0);
	CHECK(coop_scope_caught(&t));
	CHECK_INT(soft_block(COOP_NEVER), ==, 100);
	return coop_scope_close(&outer, COOP_ECANCELED);
}

/* A limit and a soft shield together, in a cancelled scope: whichever ends first, ends it. */
TASK_TEST(a_limit_and_a_soft_shield)
{
	static const struct {
		int64_t timeout_ms, soft_ms, ends_ms;
		bool own;
	} cases[] = {
		{ 5, 20, 5, true },    { 20, 5, 5, false },   { 90, 90, 50, false },
		{ 60, 70, 50, false }, { 50, 70, 50, false },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct coop_scope outer = COOP_SCOPE_INIT, s = COOP_SCOPE_INIT;
		struct coop_scope_opts opts = { .timeout_ns = MS(cases[i].timeout_ms),
						.soft_shield_ns = MS(cases[i].soft_ms) };
		int64_t start_ms = now_ms();
		int r;

		coop_scope_open(&outer, NULL);
		coop_scope_cancel_grace(&outer, NULL, MS(50));
		coop_scope_open(&s, &opts);
		r = coop_sleep(COOP_NEVER);
		CHECK_INT(now_ms() - start_ms, ==, cases[i].ends_ms);
		CHECK_INT(coop_scope_close(&s, r), ==, cases[i].own ? 0 : COOP_ECANCELED);
		CHECK_INT(coop_scope_close(&outer, coop_checkpoint()), ==, 0);
	}
	return 0;
}

/* ---- one budget */

/* Blocks one after the other share what there is; when it is gone there is none for the next. */
TASK_TEST(blocks_in_sequence_share_the_grace)
{
	struct coop_scope s = COOP_SCOPE_INIT;

	coop_scope_open(&s, NULL);
	coop_scope_cancel_grace(&s, NULL, MS(50));
	CHECK_INT(soft_block(MS(10)), ==, 10);
	CHECK_INT(coop_shield_grace(COOP_NEVER, sleep_ms, MSARG(5)), ==, 0);
	CHECK_INT(soft_block(MS(20)), ==, 35);
	CHECK_INT(soft_block(MS(20)), ==, 50);
	CHECK_INT(soft_block(MS(20)), ==, 50);
	CHECK_INT(soft_block(COOP_NEVER), ==, 50);
	PROVES(B196);
	return coop_scope_close(&s, COOP_ECANCELED);
}

/* Time that is spent elsewhere, behind a hard shield, is spent as well. */
TASK_TEST(the_grace_runs_on_behind_a_hard_shield)
{
	struct coop_scope s = COOP_SCOPE_INIT;

	coop_scope_open(&s, NULL);
	coop_scope_cancel_grace(&s, NULL, MS(50));
	CHECK_INT(coop_shield(sleep_ms, MSARG(30)), ==, 0);
	CHECK_INT(soft_block(COOP_NEVER), ==, 50);
	CHECK_INT(coop_shield(sleep_ms, MSARG(30)), ==, 0);
	CHECK_INT(soft_block(COOP_NEVER), ==, 80);
	CHECK_INT(now_ms(), ==, 80);
	return coop_scope_close(&s, COOP_ECANCELED);
}

/* Tasks that go on at the same time all have the whole of it. */
TASK_TEST(tasks_share_the_end_of_the_grace)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct block b[4] = { { COOP_NEVER, 0 }, { MS(10), 0 }, { COOP_NEVER, 0 }, { MS(70), 0 } };

	coop_group_open(&g, NULL);
	for (int i = 0; i < 4; i++)
		CHECK_INT(coop_spawn(&g, block_task, &b[i]), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_group_cancel_grace(&g, NULL, MS(50));
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(b[0].ended_ms, ==, 51);
	CHECK_INT(b[1].ended_ms, ==, 11);
	CHECK_INT(b[2].ended_ms, ==, 51);
	CHECK_INT(b[3].ended_ms, ==, 51);
	return 0;
}

/* A soft shield within another has no more than the other one has left. */
static void nested_soft(int64_t outer_ns, int64_t inner_ns, int64_t grace_ns, int64_t ended_ms)
{
	struct coop_scope s = COOP_SCOPE_INIT, soft = COOP_SCOPE_INIT;
	struct coop_scope_opts opts = { .soft_shield_ns = outer_ns };
	int64_t start_ms = now_ms();

	coop_scope_open(&s, NULL);
	coop_scope_open(&soft, &opts);
	coop_scope_cancel_grace(&s, NULL, grace_ns);
	CHECK_INT(soft_block(inner_ns) - start_ms, ==, ended_ms);
	CHECK_INT(coop_scope_close(&soft, COOP_ECANCELED), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, 0);
}

TASK_TEST(soft_shields_within_each_other)
{
	nested_soft(MS(10), MS(20), MS(30), 10);
	nested_soft(MS(20), MS(10), MS(30), 20);
	nested_soft(MS(20), MS(10), MS(15), 15);
	nested_soft(COOP_NEVER, COOP_NEVER, MS(30), 30);
	nested_soft(MS(40), COOP_NEVER, MS(30), 30);
	PROVES(B196);
	return 0;
}

/* A hard shield inside a soft one holds on; one outside hides the cancel and saves no time. */
TASK_TEST(hard_and_soft_shields)
{
	struct coop_scope s = COOP_SCOPE_INIT, soft = COOP_SCOPE_INIT, hard = COOP_SCOPE_INIT;
	struct coop_scope inner = COOP_SCOPE_INIT;
	struct coop_scope_opts soft_opts = { .soft_shield_ns = MS(20) };
	struct coop_scope_opts hard_opts = { .shield = true };

	coop_scope_open(&s, NULL);
	coop_scope_open(&soft, &soft_opts);
	coop_scope_open(&hard, &hard_opts);
	coop_scope_cancel_grace(&s, NULL, MS(30));
	CHECK_INT(coop_sleep(MS(100)), ==, 0);
	CHECK_INT(coop_scope_close(&hard, 0), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 100);
	CHECK_INT(coop_scope_close(&soft, COOP_ECANCELED), ==, COOP_ECANCELED);

	hard = (struct coop_scope)COOP_SCOPE_INIT;
	coop_scope_open(&hard, &hard_opts);
	coop_scope_open(&inner, &soft_opts);
	CHECK_INT(coop_sleep(MS(100)), ==, 0);
	CHECK_INT(coop_scope_set_shield(&hard, false), ==, 0);
	CHECK(coop_cancelled()); /* the grace is long gone */
	CHECK_INT(coop_scope_close(&inner, coop_checkpoint()), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&hard, COOP_ECANCELED), ==, COOP_ECANCELED);
	PROVES(B196);
	return coop_scope_close(&s, COOP_ECANCELED);
}

/* The soft shield of a group is for its children, too. */
TASK_TEST(the_soft_shield_of_a_group)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_group_opts opts = { .soft_shield_ns = MS(20) };
	struct coop_group g = COOP_GROUP_INIT;
	struct nap quick = { .ms = 15 }, slow = { .ms = 90 };
	int r;

	coop_scope_open(&s, NULL);
	coop_scope_cancel_grace(&s, NULL, MS(50));
	coop_group_open(&g, &opts);
	CHECK_INT(coop_spawn(&g, nap, &quick), ==, 0);
	CHECK_INT(coop_spawn(&g, nap, &slow), ==, 0);
	r = coop_group_join(&g, 0);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(quick.rc, ==, 0);
	CHECK_INT(slow.rc, ==, COOP_ECANCELED);
	CHECK_INT(slow.at_ms, ==, 20);
	return coop_scope_close(&s, r);
}

/* The end of the shield is a deadline that can be asked for. */
TASK_TEST(the_effective_deadline_of_a_soft_shield)
{
	struct coop_scope_opts soft = { .soft_shield_ns = MS(20) };
	struct coop_scope_opts for_ever = { .soft_shield_ns = COOP_NEVER };
	struct coop_scope s = COOP_SCOPE_INIT, a = COOP_SCOPE_INIT, b = COOP_SCOPE_INIT;

	coop_scope_open(&s, NULL);
	coop_scope_open(&a, &soft);
	CHECK_INT(coop_effective_deadline(), ==, COOP_NEVER);
	coop_scope_cancel_grace(&s, NULL, MS(50));
	CHECK_INT(coop_effective_deadline(), ==, begin_ns + MS(20));
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(coop_effective_deadline(), ==, begin_ns + MS(20));
	CHECK_INT(coop_scope_close(&a, 0), ==, 0);
	CHECK_INT(coop_effective_deadline(), ==, INT64_MIN);
	coop_scope_open(&b, &for_ever);
	CHECK_INT(coop_effective_deadline(), ==, begin_ns + MS(50));
	CHECK_INT(coop_sleep(MS(45)), ==, COOP_ECANCELED);
	CHECK_INT(coop_effective_deadline(), ==, INT64_MIN);
	CHECK_INT(now_ms(), ==, 50);
	CHECK_INT(coop_scope_close(&b, COOP_ECANCELED), ==, COOP_ECANCELED);
	PROVES(B193);
	return coop_scope_close(&s, COOP_ECANCELED);
}

/* ---- a second cancel */

struct second {
	struct coop_scope *scope;
	int64_t at_ms, grace_ns;
	int rc;
};

static int cancels_again(void *arg)
{
	struct second *s = arg;
	int r = coop_sleep(MS(s->at_ms));

	s->rc = coop_scope_cancel_grace(s->scope, "again", s->grace_ns);
	return r;
}

/* Cancels one now with 50 ms of grace, then as told; returns when a block inside both ended. */
static int64_t two_cancels(bool outer_first, bool same, struct second *again)
{
	struct coop_scope outer = COOP_SCOPE_INIT, inner = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;
	int64_t start_ms = now_ms(), ended_ms;
	struct coop_scope *first = outer_first ? &outer : &inner;

	again->scope = same ? first : outer_first ? &inner : &outer;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, cancels_again, again), ==, 0);
	coop_scope_open(&outer, NULL);
	coop_scope_open(&inner, NULL);
	coop_scope_cancel_grace(first, NULL, MS(50));
	ended_ms = soft_block(COOP_NEVER) - start_ms;
	CHECK_INT(coop_scope_close(&inner, COOP_ECANCELED), ==,
		  coop_scope_cancel_called(&outer) ? COOP_ECANCELED : 0);
	CHECK_INT(coop_scope_close(&outer, coop_checkpoint()), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	return ended_ms;
}

/* Of the same scope, of one outside, of one inside: it shortens the grace, and no more. */
TASK_TEST(a_second_cancel)
{
	for (int i = 0; i < 3; i++) {
		bool same = i == 0, outer_first = i == 2;
		struct second sooner = { .at_ms = 10, .grace_ns = MS(20) };
		struct second later = { .at_ms = 10, .grace_ns = MS(500) };
		struct second now = { .at_ms = 10, .grace_ns = 0 };
		struct second equal = { .at_ms = 10, .grace_ns = MS(40) };

		CHECK_INT(two_cancels(outer_first, same, &sooner), ==, 30);
		CHECK_INT(two_cancels(outer_first, same, &later), ==, 50);
		CHECK_INT(two_cancels(outer_first, same, &now), ==, 10);
		CHECK_INT(two_cancels(outer_first, same, &equal), ==, 50);
		CHECK_INT(sooner.rc, ==, same ? 1 : 0);
		CHECK_INT(now.rc, ==, same ? 1 : 0);
	}
	PROVES(B196);
	return 0;
}

/* A block with a limit of its own that is up already is not given more by a second cancel. */
TASK_TEST(a_second_cancel_revives_nothing)
{
	struct coop_scope outer = COOP_SCOPE_INIT, s = COOP_SCOPE_INIT, soft = COOP_SCOPE_INIT;
	struct coop_scope_opts opts = { .soft_shield_ns = MS(10) };

	coop_scope_open(&outer, NULL);
	coop_scope_open(&s, NULL);
	coop_scope_open(&soft, &opts);
	coop_scope_cancel_grace(&s, NULL, MS(50));
	CHECK_INT(coop_sleep(COOP_NEVER), ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 10);
	coop_scope_cancel_grace(&outer, NULL, MS(500));
	coop_scope_cancel_grace(&s, NULL, MS(500));
	CHECK(coop_cancelled());
	CHECK_INT(coop_sleep(MS(1)), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&soft, COOP_ECANCELED), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, COOP_ECANCELED);
	return coop_scope_close(&outer, COOP_ECANCELED);
}

/* ---- where the grace comes from */

/* A deadline has the grace of its scope's options; a group's failures that of the group's. */
TASK_TEST(grace_from_options)
{
	struct coop_scope_opts own = { .timeout_ns = MS(10), .grace_ns = MS(20) };
	struct coop_scope_opts none = { .timeout_ns = MS(10), .grace_ns = COOP_NO_GRACE };
	struct coop_scope_opts runners = { .timeout_ns = MS(10) };
	struct coop_group_opts group = { .grace_ns = MS(30) };
	struct coop_scope a = COOP_SCOPE_INIT, b = COOP_SCOPE_INIT, c = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;
	struct block sibling = { .limit_ns = COOP_NEVER };

	coop_scope_open(&a, &own);
	CHECK_INT(soft_block(COOP_NEVER), ==, 30);
	CHECK_INT(coop_scope_close(&a, COOP_ECANCELED), ==, 0);
	coop_scope_open(&b, &none);
	CHECK_INT(soft_block(COOP_NEVER), ==, 40);
	CHECK_INT(coop_scope_close(&b, COOP_ECANCELED), ==, 0);
	coop_scope_open(&c, &runners);
	CHECK_INT(soft_block(COOP_NEVER), ==, 10050);
	CHECK_INT(coop_scope_close(&c, COOP_ECANCELED), ==, 0);
	coop_group_open(&g, &group);
	CHECK_INT(coop_spawn(&g, block_task, &sibling), ==, 0);
	CHECK_INT(coop_spawn(&g, fail_after_ms, MSARG(10)), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, -EIO);
	coop_error_clear();
	CHECK_INT(sibling.ended_ms, ==, 10090);
	return 0;
}

static int64_t run_grace_ended;

static int runner_grace_main(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;

	(void)arg;
	begin_ns = coop_now();
	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, NULL);
	run_grace_ended = soft_block(COOP_NEVER);
	return coop_scope_close(&s, COOP_ECANCELED);
}

/* A cancel that gives none has the runner's: 10 s, or what the options of the run say. */
TEST(grace_of_the_runner)
{
	struct coop_run_opts opts = { .clock = COOP_CLOCK_VIRTUAL, .grace_ns = MS(123) };

	CHECK_INT(coop_run(runner_grace_main, NULL, &virtual_clock), ==, 0);
	CHECK_INT(run_grace_ended, ==, 10000);
	CHECK_INT(coop_run(runner_grace_main, NULL, &opts), ==, 0);
	CHECK_INT(run_grace_ended, ==, 123);
	opts.grace_ns = COOP_NO_GRACE;
	CHECK_INT(coop_run(runner_grace_main, NULL, &opts), ==, 0);
	CHECK_INT(run_grace_ended, ==, 0);
}

/* What is cancelled before the run has the grace from when it is opened. */
static struct coop_scope early[2] = { COOP_SCOPE_INIT, COOP_SCOPE_INIT };

static int opens_early(void *arg)
{
	(void)arg;
	begin_ns = coop_now();
	CHECK_INT(coop_sleep(MS(7)), ==, 0);
	coop_scope_open(&early[0], NULL);
	CHECK_INT(soft_block(COOP_NEVER), ==, 10007);
	CHECK_INT(coop_scope_close(&early[0], COOP_ECANCELED), ==, 0);
	coop_scope_open(&early[1], NULL);
	CHECK_INT(soft_block(COOP_NEVER), ==, 10027);
	return coop_scope_close(&early[1], COOP_ECANCELED);
}

TEST(grace_of_a_cancel_before_the_run)
{
	CHECK_INT(coop_scope_cancel(&early[0], NULL), ==, 0);
	CHECK_INT(coop_scope_cancel_grace(&early[1], NULL, MS(20)), ==, 0);
	CHECK_INT(coop_run(opens_early, NULL, &virtual_clock), ==, 0);
}

/* By handle, before the first step and after it. */
TASK_TEST(grace_by_handle)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct block b[2] = { { COOP_NEVER, 0 }, { COOP_NEVER, 0 } };
	struct coop_handle *h[2];

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, block_task, &b[0], NULL, &h[0]), ==, 0);
	coop_yield();
	CHECK_INT(coop_spawn_with(&g, block_task, &b[1], NULL, &h[1]), ==, 0);
	for (int i = 0; i < 2; i++)
		CHECK_INT(coop_handle_cancel_grace(h[i], NULL, MS(20 + i)), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(b[i].ended_ms, ==, 20 + i);
		coop_handle_release(h[i]);
	}
	return 0;
}

/* ---- a shutdown */

struct drain {
	struct nap wait, wait_long;
	struct block soft;
	int64_t hard_ms;
};

static int behind_hard_shield(void *arg)
{
	int r = coop_shield(sleep_ms, MSARG(60000));

	*(int64_t *)arg = now_ms();
	return r < 0 ? r : coop_checkpoint();
}

static int drain_main(void *arg)
{
	struct drain *d = arg;
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_spawn_opts wait = { .shutdown_wait = true };
	int r;

	begin_ns = coop_now();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, nap, &d->wait, &wait, NULL), ==, 0);
	CHECK_INT(coop_spawn_with(&g, nap, &d->wait_long, &wait, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, block_task, &d->soft), ==, 0);
	CHECK_INT(coop_spawn(&g, behind_hard_shield, &d->hard_ms), ==, 0);
	CHECK_INT(coop_sleep(MS(100)), ==, 0);
	coop_stop("now");
	r = coop_sleep(MS(1));
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_shutdown_phase(), ==, COOP_SHUTDOWN_SOFT);
	r = coop_group_join(&g, r);
	CHECK_INT(coop_shutdown_phase(), ==, COOP_SHUTDOWN_HARD);
	return r;
}

/* Protected tasks and soft shields have the grace of the run, hard ones hold beyond it. */
TEST(the_grace_of_a_shutdown)
{
	struct coop_run_opts opts = { .clock = COOP_CLOCK_VIRTUAL, .grace_ns = MS(5000) };
	struct drain d = { .wait = { .ms = 3000 },
			   .wait_long = { .ms = 30000 },
			   .soft = { .limit_ns = COOP_NEVER } };

	keep_records(COOP_LOG_WARN);
	CHECK_INT(coop_run(drain_main, &d, &opts), ==, 0);
	CHECK_INT(d.wait.rc, ==, 0);
	CHECK_INT(d.wait.at_ms, ==, 3000);
	CHECK_INT(d.wait_long.rc, ==, COOP_ECANCELED);
	CHECK_INT(d.wait_long.at_ms, ==, 5100);
	CHECK_INT(d.soft.ended_ms, ==, 5100);
	CHECK_INT(d.hard_ms, ==, 60000);
	CHECK_HAS(records, "main/behind_hard_shield");
	PROVES(B196);
}

static int harden_main(void *arg)
{
	struct drain *d = arg;
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_spawn_opts wait = { .shutdown_wait = true };
	struct coop_scope_opts hard = { .shield = true };
	struct coop_scope s = COOP_SCOPE_INIT;

	begin_ns = coop_now();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, nap, &d->wait_long, &wait, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, block_task, &d->soft), ==, 0);
	CHECK_INT(coop_spawn(&g, behind_hard_shield, &d->hard_ms), ==, 0);
	coop_scope_open(&s, &hard);
	CHECK_INT(coop_sleep(MS(100)), ==, 0);
	coop_stop("now");
	CHECK_INT(coop_sleep(MS(100)), ==, 0);
	cp_shutdown_harden(cp_rt);
	CHECK_INT(coop_sleep(MS(100)), ==, 0);
	CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	return coop_group_join(&g, coop_checkpoint());
}

/* The second step of a shutdown cuts the grace to nothing; hard shields hold. */
TEST(the_second_step_of_a_shutdown)
{
	struct drain d = { .wait_long = { .ms = 30000 }, .soft = { .limit_ns = COOP_NEVER } };

	keep_records(COOP_LOG_WARN);
	CHECK_INT(coop_run(harden_main, &d, &virtual_clock), ==, 0);
	CHECK_INT(d.wait_long.rc, ==, COOP_ECANCELED);
	CHECK_INT(d.wait_long.at_ms, ==, 200);
	CHECK_INT(d.soft.ended_ms, ==, 200);
	CHECK_INT(d.hard_ms, ==, 60000);
	PROVES(B300);
}

static int protected_main(void *arg)
{
	struct drain *d = arg;
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_spawn_opts wait = { .shutdown_wait = true };

	begin_ns = coop_now();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, nap, &d->wait, &wait, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_stop(NULL);
	CHECK_INT(coop_shield(sleep_ms, MSARG(10)), ==, 0);
	coop_group_cancel_grace(&g, "an ordinary one", SEC(5));
	return coop_group_join(&g, COOP_ECANCELED);
}

/* A protected task is protected from the shutdown alone, not from an ordinary cancel. */
TEST(protection_is_from_shutdowns_only)
{
	struct drain d = { .wait = { .ms = 3000 } };

	CHECK_INT(coop_run(protected_main, &d, &virtual_clock), ==, 0);
	CHECK_INT(d.wait.rc, ==, COOP_ECANCELED);
	CHECK_INT(d.wait.at_ms, ==, 11);
}
