/* SPDX-License-Identifier: MIT */
/*
 * The virtual clock: what moves it (a jump by hand, its own jump when all are blocked, the real
 * clock at a rate), and that nothing else does. No test here looks at how long anything took.
 */
#include "../core/core_help.h"
#include "core/private.h"

#include <math.h>
#include <sys/time.h>

/* ---- jumps by hand */

/* A jump moves the clock at once, what was due on the way runs afterwards, in order of deadline. */
TASK_TEST(jump_moves_the_clock)
{
	struct nap naps[] = { { "late", 700, 0, 0, 0, 0 },
			      { "early", 300, 0, 0, 0, 0 },
			      { "same", 300, 0, 0, 0, 0 } };
	struct coop_group g = COOP_GROUP_INIT;

	CHECK_INT(coop_test_clock_autojump(COOP_NEVER), ==, 0);
	coop_group_open(&g, NULL);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_spawn(&g, nap, &naps[i]), ==, 0);
	CHECK_INT(coop_test_wait_all_blocked(0), ==, 0);
	CHECK_INT(now_ms(), ==, 0);
	CHECK_INT(coop_test_clock_jump(MS(299)), ==, 0);
	CHECK_INT(coop_test_wait_all_blocked(0), ==, 0);
	CHECK_TRAIL("");
	CHECK_INT(coop_test_clock_jump(SEC(1)), ==, 0);
	CHECK_INT(now_ms(), ==, 1299);
	CHECK_TRAIL(""); /* nobody runs inside of a jump */
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("early same late ");
	CHECK_INT(naps[0].at_ms, ==, 1299);
	CHECK_INT(naps[1].at_ms, ==, 1299);
	PROVES(B312);
	return 0;
}

/* What is due by a jump goes before those who are ready already. */
static int jumps_and_yields(void *arg)
{
	CHECK_INT(coop_test_clock_jump(MS(5)), ==, 0);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(coop_yield(), ==, 0);
		say("%s", (const char *)arg);
	}
	return 0;
}

TASK_TEST(jump_is_noticed_at_the_next_switch)
{
	struct nap sleeper = { "[up]", 5, 0, 0, 0, 0 };
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, nap, &sleeper), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
	CHECK_INT(coop_spawn(&g, jumps_and_yields, (void *)(uintptr_t) "y"), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("y[up] yy");
	PROVES(B312);
	return 0;
}

/* Backwards, past the end of time, or with no virtual clock: refused, and the clock stands. */
TASK_TEST(jump_never_goes_back)
{
	int64_t before = coop_now();

	CHECK_INT(coop_test_clock_jump(-1), ==, -EINVAL);
	CHECK_INT(coop_test_clock_jump(INT64_MIN), ==, -EINVAL);
	CHECK_INT(coop_test_clock_jump(COOP_NEVER), ==, -EINVAL);
	CHECK_INT(coop_now(), ==, before);
	CHECK_INT(coop_test_clock_jump(0), ==, 0);
	CHECK_INT(coop_now(), ==, before);
	/* To the end of time: the clock stays there, and what has a deadline is due. */
	CHECK_INT(coop_test_clock_jump(CP_TIME_MAX - before), ==, 0);
	CHECK_INT(coop_now(), ==, CP_TIME_MAX);
	CHECK_INT(coop_test_clock_jump(1), ==, -EINVAL);
	CHECK_INT(coop_sleep(0), ==, 0);
	PROVES(B312);
	return 0;
}

static int refused_on_the_real_clock(void *arg)
{
	(void)arg;
	CHECK_INT(coop_test_clock_jump(1), ==, -ENOTSUP);
	CHECK_INT(coop_test_clock_autojump(1), ==, -ENOTSUP);
	CHECK_INT(coop_test_clock_rate(1), ==, -ENOTSUP);
	return 0;
}

TEST(no_hand_on_the_real_clock)
{
	CHECK_INT(coop_test_clock_jump(1), ==, COOP_ENOTASK);
	CHECK_INT(coop_test_clock_autojump(1), ==, COOP_ENOTASK);
	CHECK_INT(coop_test_clock_rate(1), ==, COOP_ENOTASK);
	CHECK_INT(coop_run(refused_on_the_real_clock, NULL, NULL), ==, 0);
}

/* Jumps of one run are forgotten by the next, however far they went. */
static int jumps_to_the_end(void *arg)
{
	(void)arg;
	begin_ns = coop_now();
	CHECK_INT(coop_test_clock_jump(CP_TIME_MAX - begin_ns), ==, 0);
	return 0;
}

TEST(each_run_begins_its_own_time)
{
	struct coop_runner *runner;
	int64_t first = 0;

	CHECK_INT(coop_runner_open(&virtual_clock, &runner), ==, 0);
	for (int i = 0; i < 4; i++) {
		CHECK_INT(coop_runner_run(runner, jumps_to_the_end, NULL), ==, 0);
		if (i == 0)
			first = begin_ns;
		CHECK_INT(begin_ns, ==, first);
	}
	coop_runner_free(runner);
	PROVES(B312);
}

/* ---- its own jumps */

/* However much runs in between, the clock stands while anything can run. */
static int busy(void *arg)
{
	int64_t before = coop_now();

	(void)arg;
	for (int i = 0; i < 1000; i++) {
		CHECK_INT(coop_yield(), ==, 0);
		CHECK_INT(coop_now(), ==, before);
	}
	say("busy ");
	return 0;
}

TASK_TEST(autojump_goes_to_the_next_deadline_exactly)
{
	static const int64_t ns[] = { 1, 999, SEC(450), SEC(450) + 1, SEC(86400) * 365 };
	struct coop_group g = COOP_GROUP_INIT;
	int64_t total = 0;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, busy, NULL), ==, 0);
	for (size_t i = 0; i < sizeof ns / sizeof *ns; i++) {
		CHECK_INT(coop_sleep(ns[i]), ==, 0);
		if (i == 0)
			CHECK_TRAIL("busy "); /* all of it, before the first nanosecond */
		total += ns[i];
		CHECK_INT(now_ns(), ==, total);
	}
	PROVES(B313);
	return coop_group_join(&g, 0);
}

/* Deadlines of scopes count as well: the first of what there is is next. */
TASK_TEST(autojump_to_a_deadline_of_a_scope)
{
	CHECK_INT(coop_move_on_after(MS(30), sleep_ms, MSARG(50)), ==, 0);
	CHECK_INT(now_ms(), ==, 30);
	CHECK_INT(coop_fail_after(MS(5), sleep_for_ever, NULL), ==, COOP_ETIMEDOUT);
	coop_error_clear();
	CHECK_INT(now_ms(), ==, 35);
	PROVES(B313);
	return 0;
}

/* A threshold in real time: the jump comes later, but goes to the same place. */
TASK_TEST(autojump_after_a_threshold)
{
	struct coop_run_stats before, after;

	CHECK_INT(coop_test_clock_autojump(-1), ==, -EINVAL);
	CHECK_INT(coop_test_clock_autojump(MS(1)), ==, 0);
	CHECK_INT(coop_run_stats(&before), ==, 0);
	CHECK_INT(coop_sleep(SEC(1000)), ==, 0);
	CHECK_INT(now_ms(), ==, 1000000);
	CHECK_INT(coop_run_stats(&after), ==, 0);
	CHECK_INT(after.waits, >, before.waits); /* it did wait, in the engine */
	CHECK_INT(coop_test_clock_autojump(0), ==, 0);
	CHECK_INT(coop_run_stats(&before), ==, 0);
	CHECK_INT(coop_sleep(SEC(1000)), ==, 0);
	CHECK_INT(coop_run_stats(&after), ==, 0);
	CHECK_INT(after.waits, ==, before.waits); /* and now it did not */
	PROVES(B313, B316);
	return 0;
}

/* Without autojump a sleeper sleeps on; switched on again, the sleeper's time has come. */
TASK_TEST(autojump_changes_at_once)
{
	struct nap sleeper = { "up", 10000, 0, 0, 0, 0 };
	struct coop_group g = COOP_GROUP_INIT;

	CHECK_INT(coop_test_clock_autojump(COOP_NEVER), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, nap, &sleeper), ==, 0);
	CHECK_INT(coop_test_wait_all_blocked(MS(2)), ==, 0);
	CHECK(sleeper.began && !sleeper.ended);
	CHECK_INT(now_ms(), ==, 0);
	CHECK_INT(coop_test_clock_autojump(0), ==, 0);
	CHECK_INT(coop_test_wait_all_blocked(0), ==, 0);
	CHECK(!sleeper.ended); /* who waits for silence goes before the jump */
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(sleeper.at_ms, ==, 10000);
	PROVES(B316);
	return 0;
}

/* The loop is waiting, with no autojump, when a signal has a task switch it on: it jumps. */
static int switches_on(void *arg)
{
	struct coop_signals *signals = arg;

	CHECK_INT(coop_signals_receive(signals), ==, SIGALRM);
	CHECK_INT(now_ms(), ==, 0);
	return coop_test_clock_autojump(0);
}

TASK_TEST(autojump_changes_while_the_loop_waits)
{
	static const int alarm_only[] = { SIGALRM };
	struct itimerval soon = { .it_value.tv_usec = 2000 };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_signals *signals;

	CHECK_INT(coop_signals_open(alarm_only, 1, &signals), ==, 0);
	CHECK_INT(coop_test_clock_autojump(COOP_NEVER), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, switches_on, signals), ==, 0);
	CHECK_INT(setitimer(ITIMER_REAL, &soon, NULL), ==, 0);
	CHECK_INT(coop_sleep(SEC(5)), ==, 0);
	CHECK_INT(now_ms(), ==, 5000);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_signals_close(signals);
	PROVES(B316);
	return 0;
}

/* Everybody sleeps and nobody is left to move the clock: that is a deadlock, not a hang. */
static int sleeps_without_a_clock(void *arg)
{
	(void)arg;
	CHECK_INT(coop_test_clock_autojump(COOP_NEVER), ==, 0);
	return coop_sleep(SEC(1));
}

TEST(a_clock_that_nobody_can_move)
{
	keep_records(COOP_LOG_ERROR);
	CHECK_INT(coop_run(sleeps_without_a_clock, NULL, &virtual_clock), ==, -EDEADLK);
	CHECK_HAS(records, "task #1 \"main\" blocked in coop_sleep 1.000s");
	PROVES(B319);
}

/* ---- along with the real clock */

TASK_TEST(rate_runs_along)
{
	int64_t before = coop_now(), last = before;

	CHECK_INT(coop_test_clock_rate(-1), ==, -EINVAL);
	CHECK_INT(coop_test_clock_rate((double)NAN), ==, -EINVAL);
	CHECK_INT(coop_test_clock_rate((double)INFINITY), ==, -EINVAL);
	CHECK_INT(coop_test_clock_rate(2e6), ==, -EINVAL);
	CHECK_INT(coop_now(), ==, before);
	CHECK_INT(coop_test_clock_rate(1e6), ==, 0);
	/* A second of it is a microsecond of the real one: it moves while a task runs. */
	while (coop_now() < before + SEC(10))
		CHECK_INT(coop_now(), >=, last);
	/* Sleeps end at their time or later, not before, and do not need a jump. */
	last = coop_now();
	CHECK_INT(coop_test_clock_autojump(COOP_NEVER), ==, 0);
	CHECK_INT(coop_sleep(SEC(3600)), ==, 0);
	CHECK_INT(coop_now(), >=, last + SEC(3600));
	/* Slower, and standing still: never back. */
	last = coop_now();
	CHECK_INT(coop_test_clock_rate(1e-6), ==, 0);
	CHECK_INT(coop_now(), >=, last);
	CHECK_INT(coop_test_clock_rate(0), ==, 0);
	last = coop_now();
	CHECK_INT(coop_yield(), ==, 0);
	CHECK_INT(coop_now(), ==, last);
	CHECK_INT(coop_test_clock_jump(SEC(7)), ==, 0);
	CHECK_INT(coop_now(), ==, last + SEC(7));
	PROVES(B312);
	return 0;
}

/* While it runs along, a jump moves it as well, and it goes on from there. */
TASK_TEST(rate_and_jump)
{
	int64_t before;

	CHECK_INT(coop_test_clock_rate(1000), ==, 0);
	before = coop_now();
	CHECK_INT(coop_test_clock_jump(SEC(100000)), ==, 0);
	CHECK_INT(coop_now(), >=, before + SEC(100000));
	before = coop_now();
	while (coop_now() < before + SEC(1))
		;
	PROVES(B312);
	return 0;
}

/* A machine that was up for years at the highest rate: the end of time, no overflow. */
TASK_TEST(rate_for_years)
{
	const struct cp_private *core = coop_private(CP_PRIVATE_VERSION);
	struct cp_rt *rt = core->rt();
	int64_t end;

	CHECK_INT(coop_test_clock_rate(1e6), ==, 0);
	rt->rate_real_ns -= SEC(86400) * 365 * 30;
	end = coop_now();
	CHECK_INT(end, ==, CP_TIME_MAX);
	CHECK_INT(coop_now(), ==, end);
	PROVES(B312, rel_C02);
	return 0;
}
