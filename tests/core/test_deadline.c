/* SPDX-License-Identifier: MIT */
/*
 * Deadlines and timeouts: exact, moved, past, nested, equal; what is an error and what is none.
 * All but what is said to be on the real clock is on the virtual one, where a time is exact.
 */
#include "core_help.h"

#include "core/core.h"

#include <limits.h>
#include <time.h>

#define LIMIT(ms) ((struct coop_scope_opts){ .timeout_ns = MS(ms) })

/* A blocked call is cancelled at the deadline, not a nanosecond before. */
TASK_TEST(at_the_deadline)
{
	static const int64_t limits_ns[] = { 1,     999,   MS(1),  MS(1) + 1,           65535,
					     65536, 65537, SEC(1), SEC(3600) * 24 * 400 };
	struct coop_scope_opts opts = { 0 };

	for (size_t i = 0; i < sizeof limits_ns / sizeof *limits_ns; i++) {
		struct coop_scope s = COOP_SCOPE_INIT;
		int64_t start = coop_now();
		int r;

		opts.timeout_ns = limits_ns[i];
		coop_scope_open(&s, &opts);
		CHECK_INT(coop_sleep(limits_ns[i] - 1), ==, 0);
		CHECK_INT(coop_now() - start, ==, limits_ns[i] - 1);
		CHECK(!coop_scope_cancel_called(&s));
		r = coop_sleep(COOP_NEVER);
		CHECK_INT(r, ==, COOP_ECANCELED);
		CHECK_INT(coop_now() - start, ==, limits_ns[i]);
		CHECK_INT(coop_scope_close(&s, r), ==, 0);
		CHECK(coop_scope_caught(&s) && coop_scope_cancel_called(&s));
		CHECK_INT(coop_scope_late_ns(&s), ==, 0);
	}
	PROVES(B200);
	return 0;
}

/* A sleep that ends at the very deadline has ended well; the checkpoint after it has not. */
TASK_TEST(a_sleep_up_to_the_deadline)
{
	for (int first = 0; first < 2; first++) {
		struct coop_scope s = COOP_SCOPE_INIT;
		int64_t end = coop_now() + MS(10);
		int r;

		/* Armed before the deadline is, the sleep's timer fires before it. */
		coop_scope_open(&s, NULL);
		CHECK_INT(coop_scope_set_deadline(&s, end), ==, 0);
		r = coop_sleep_until(end - first);
		CHECK_INT(r, ==, first ? 0 : COOP_ECANCELED);
		r = coop_sleep(MS(1));
		CHECK_INT(r, ==, COOP_ECANCELED);
		CHECK_INT(coop_now(), ==, end);
		CHECK_INT(coop_scope_close(&s, r), ==, 0);
	}
	return 0;
}

/* A deadline that has passed when the scope is opened: the first checkpoint fails. */
TASK_TEST(a_deadline_in_the_past)
{
	int64_t deadlines[] = { coop_now(), coop_now() - 1, 1, -1, INT64_MIN };
	int steps = 0;

	for (size_t i = 0; i < sizeof deadlines / sizeof *deadlines; i++) {
		struct coop_scope_opts opts = { .deadline_ns = deadlines[i] };
		struct coop_scope s = COOP_SCOPE_INIT;
		int r;

		CHECK_INT(coop_scope_open(&s, &opts), ==, 0);
		CHECK(coop_scope_cancel_called(&s));
		steps++; /* code up to it runs */
		CHECK_INT(coop_yield(), ==, 0);
		r = coop_checkpoint();
		CHECK_INT(r, ==, COOP_ECANCELED);
		CHECK_INT(coop_scope_close(&s, r), ==, 0);
		CHECK(coop_scope_caught(&s));
	}
	CHECK_INT(steps, ==, 5);
	CHECK_INT(now_ns(), ==, 0);
	PROVES(B201);
	return 0;
}

static int counts(void *arg)
{
	int r = coop_checkpoint();

	++*(int *)arg;
	return r;
}

/* The one-liners with no time at all: the function runs, up to its first checkpoint. */
TASK_TEST(one_liners_with_no_time)
{
	int ran = 0;

	CHECK_INT(coop_fail_after(0, counts, &ran), ==, COOP_ETIMEDOUT);
	coop_error_clear();
	CHECK_INT(coop_move_on_after(0, counts, &ran), ==, 0);
	CHECK_INT(ran, ==, 2);
	CHECK_INT(now_ns(), ==, 0);
	PROVES(B201);
	CHECK_INT(coop_fail_after(-1, counts, &ran), ==, -EINVAL);
	CHECK_INT(coop_move_on_after(-1, counts, &ran), ==, -EINVAL);
	CHECK_INT(coop_fail_after(1, NULL, &ran), ==, -EINVAL);
	CHECK_INT(ran, ==, 2);
	CHECK_INT(coop_fail_after(COOP_NEVER, counts, &ran), ==, 0);
	CHECK_INT(coop_move_on_after(COOP_NEVER, counts, &ran), ==, 0);
	CHECK_INT(ran, ==, 4);
	return 0;
}

/* Options that make no sense are refused; the refusal sticks until the scope is closed. */
TASK_TEST(limits_that_are_refused)
{
	const struct coop_scope_opts bad[] = {
		{ .timeout_ns = -1 },
		{ .timeout_ns = INT64_MIN },
		{ .timeout_ns = MS(1), .deadline_ns = coop_now() + MS(1) },
		{ .timeout_ns = MS(1), .deadline_ns = -1 },
		{ .soft_shield_ns = -1 },
		{ .grace_ns = -1 },
		{ ._reserved = { [7] = 1 } },
	};
	const struct coop_scope_opts good[] = {
		{ .timeout_ns = COOP_NEVER },
		{ .deadline_ns = COOP_NEVER },
		{ .timeout_ns = MS(1), .deadline_ns = COOP_NEVER },
		{ .grace_ns = COOP_NO_GRACE },
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct coop_scope s = COOP_SCOPE_INIT;

		CHECK_INT(coop_scope_open(&s, &bad[i]), ==, -EINVAL);
		CHECK_INT(coop_effective_deadline(), ==, COOP_NEVER);
		CHECK_INT(coop_checkpoint(), ==, 0);
		CHECK_INT(coop_scope_cancel(&s, NULL), ==, 1);
		CHECK_INT(coop_checkpoint(), ==, 0);
		CHECK_INT(coop_scope_close(&s, i & 1 ? 5 : -EIO), ==, i & 1 ? -EINVAL : -EIO);
	}
	PROVES(B202, B203);
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct coop_scope s = COOP_SCOPE_INIT;

		CHECK_INT(coop_scope_open(&s, &good[i]), ==, 0);
		CHECK_INT(coop_scope_close(&s, 5), ==, 5);
	}
	CHECK_INT(coop_sleep(-1), ==, -EINVAL);
	CHECK_INT(coop_sleep(INT64_MIN), ==, -EINVAL);
	return 0;
}

/* A timeout counts from opening, not from when its options were filled in. */
TASK_TEST(a_timeout_counts_from_opening)
{
	struct coop_scope_opts opts = { .timeout_ns = MS(10) };
	struct coop_group_opts group_opts = { .timeout_ns = MS(10) };
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	CHECK_INT(coop_sleep(MS(100)), ==, 0);
	coop_scope_open(&s, &opts);
	r = coop_sleep(MS(1000));
	CHECK_INT(now_ms(), ==, 110);
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	coop_group_open(&g, &group_opts);
	r = coop_sleep(MS(1000));
	CHECK_INT(now_ms(), ==, 120);
	CHECK_INT(coop_group_join(&g, r), ==, COOP_ETIMEDOUT);
	coop_error_clear();
	PROVES(B204);
	return 0;
}

/* ---- moved */

struct move {
	struct coop_scope *scope;
	int64_t at_ms, to_ms;
	int rc;
};

static int moves(void *arg)
{
	struct move *m = arg;
	int r = coop_sleep(MS(m->at_ms));

	m->rc = coop_scope_set_deadline(m->scope, begin_ns + MS(m->to_ms));
	return r;
}

/* Moved by others while the scope sleeps: later, earlier, to now, into the past. */
TASK_TEST(a_deadline_moved_from_another_task)
{
	static const struct {
		int64_t at_ms, to_ms, ends_ms;
		int rc;
	} cases[] = {
		{ 10, 80, 80, 0 }, { 10, 20, 20, 0 }, { 10, 10, 10, 0 }, { 10, 5, 10, 0 },
		{ 10, -5, 10, 0 }, { 49, 51, 51, 0 }, { 10, 50, 50, 0 }, { 60, 99, 50, -EALREADY },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct coop_scope s = COOP_SCOPE_INIT, hard = COOP_SCOPE_INIT;
		struct coop_scope_opts opts = LIMIT(50);
		struct move m = { .scope = &s, .at_ms = cases[i].at_ms, .to_ms = cases[i].to_ms };
		struct coop_group g = COOP_GROUP_INIT;
		int r;

		begin_ns = coop_now();
		coop_group_open(&g, NULL);
		CHECK_INT(coop_spawn(&g, moves, &m), ==, 0);
		coop_scope_open(&s, &opts);
		r = coop_sleep(COOP_NEVER);
		CHECK_INT(r, ==, COOP_ECANCELED);
		CHECK_INT(now_ms(), ==, cases[i].ends_ms);
		coop_scope_open(&hard, &(struct coop_scope_opts){ .shield = true });
		CHECK_INT(coop_sleep(MS(100)), ==, 0);
		CHECK_INT(coop_scope_close(&hard, 0), ==, 0);
		CHECK_INT(m.rc, ==, cases[i].rc);
		CHECK_INT(coop_scope_close(&s, r), ==, 0);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
	}
	PROVES(B205);
	return 0;
}

/* Taken away and given back; a scope opened without one can get one. */
TASK_TEST(deadlines_come_and_go)
{
	struct coop_scope_opts opts = LIMIT(50);
	struct coop_scope s = COOP_SCOPE_INIT, bare = COOP_SCOPE_INIT;
	struct coop_run_stats stats;
	int r;

	coop_scope_open(&s, &opts);
	CHECK_INT(coop_scope_set_deadline(&s, COOP_NEVER), ==, 0);
	CHECK_INT(coop_effective_deadline(), ==, COOP_NEVER);
	CHECK_INT(coop_run_stats(&stats), ==, 0);
	CHECK_INT(stats.timers, ==, 0);
	CHECK_INT(coop_sleep(MS(100)), ==, 0);
	CHECK_INT(coop_scope_set_deadline(&s, begin_ns + MS(150)), ==, 0);
	CHECK_INT(coop_run_stats(&stats), ==, 0);
	CHECK_INT(stats.timers, ==, 1);
	coop_scope_open(&bare, NULL);
	CHECK_INT(coop_scope_set_deadline(&bare, begin_ns + MS(120)), ==, 0);
	CHECK_INT(coop_run_stats(&stats), ==, 0);
	CHECK_INT(stats.timers, ==, 2);
	CHECK_INT(stats.next_deadline_ns, ==, begin_ns + MS(120));
	r = coop_sleep(COOP_NEVER);
	CHECK_INT(now_ms(), ==, 120);
	CHECK_INT(coop_scope_close(&bare, r), ==, 0);
	r = coop_sleep(COOP_NEVER);
	CHECK_INT(now_ms(), ==, 150);
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	CHECK_INT(coop_run_stats(&stats), ==, 0);
	CHECK_INT(stats.timers, ==, 0);
	PROVES(B205);
	return 0;
}

/* Once a scope is cancelled, by its deadline or otherwise, moving it takes nothing back. */
TASK_TEST(a_cancelled_scope_stays_cancelled)
{
	struct coop_scope_opts opts = LIMIT(10);
	struct coop_scope fired = COOP_SCOPE_INIT, called = COOP_SCOPE_INIT;
	struct coop_scope outer = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&fired, &opts);
	CHECK_INT(coop_sleep(MS(20)), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_set_deadline(&fired, begin_ns + MS(500)), ==, -EALREADY);
	CHECK_INT(coop_scope_set_deadline(&fired, COOP_NEVER), ==, -EALREADY);
	r = coop_checkpoint();
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&fired, r), ==, 0);

	coop_scope_open(&outer, NULL);
	coop_scope_open(&called, &opts);
	coop_scope_cancel(&called, NULL);
	CHECK_INT(coop_scope_set_deadline(&called, COOP_NEVER), ==, -EALREADY);
	r = coop_checkpoint();
	CHECK_INT(r, ==, COOP_ECANCELED);
	/* Cancelled from outside only: its own deadline can still be moved. */
	CHECK_INT(coop_scope_close(&called, r), ==, 0);
	PROVES(B206);
	return coop_scope_close(&outer, 0);
}

/* A deadline that has passed counts as soon as it has, though the loop has not looked yet. */
TASK_TEST(a_passed_deadline_is_visible_and_final)
{
	struct coop_scope_opts opts = LIMIT(10);
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&s, &opts);
	CHECK_INT(coop_test_clock_jump(MS(10) - 1), ==, 0);
	CHECK(!coop_scope_cancel_called(&s));
	CHECK_INT(coop_test_clock_jump(1), ==, 0);
	CHECK(coop_scope_cancel_called(&s));
	CHECK_INT(coop_scope_set_deadline(&s, begin_ns + MS(500)), ==, -EALREADY);
	CHECK(coop_scope_cancel_called(&s));
	r = coop_checkpoint();
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	CHECK(coop_scope_caught(&s));
	PROVES(B206);
	return 0;
}

/* A scope that is not open has no deadline to move, and gets no timer. */
TASK_TEST(moving_the_deadline_of_a_closed_scope)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_run_stats stats;

	CHECK_INT(coop_scope_set_deadline(&s, coop_now() + MS(1)), ==, COOP_ENOTOPEN);
	coop_scope_open(&s, NULL);
	CHECK_INT(coop_scope_set_deadline(&s, coop_now() + MS(1)), ==, 0);
	CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	CHECK_INT(coop_scope_set_deadline(&s, coop_now() + MS(1)), ==, COOP_ECLOSED);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_scope_set_deadline(coop_group_scope(&g), coop_now() + MS(1)), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_scope_set_deadline(coop_group_scope(&g), coop_now()), ==, COOP_ECLOSED);
	CHECK_INT(coop_run_stats(&stats), ==, 0);
	CHECK_INT(stats.timers, ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK(!coop_scope_cancel_called(&s));
	return 0;
}

/* ---- nested */

/* Two limits in milliseconds, a sleep, and who catches: 1 the outer, 2 the inner, 0 none. */
static void two_limits(int64_t outer_ms, int64_t inner_ms, int64_t sleep_for_ms, int catches)
{
	struct coop_scope_opts outer_opts = LIMIT(outer_ms), inner_opts = LIMIT(inner_ms);
	struct coop_scope outer = COOP_SCOPE_INIT, inner = COOP_SCOPE_INIT;
	int64_t start_ms = now_ms(), least = outer_ms < inner_ms ? outer_ms : inner_ms;
	int r;

	coop_scope_open(&outer, &outer_opts);
	coop_scope_open(&inner, &inner_opts);
	r = coop_sleep(MS(sleep_for_ms));
	CHECK_INT(r, ==, catches ? COOP_ECANCELED : 0);
	CHECK_INT(now_ms() - start_ms, ==, catches ? least : sleep_for_ms);
	r = coop_scope_close(&inner, r);
	CHECK_INT(r, ==, catches == 1 ? COOP_ECANCELED : 0);
	CHECK_INT(coop_scope_close(&outer, r), ==, 0);
	CHECK_INT(coop_scope_caught(&outer), ==, catches == 1);
	CHECK_INT(coop_scope_caught(&inner), ==, catches == 2);
	CHECK_INT(coop_scope_cancel_called(&outer), ==, catches && outer_ms == least);
	CHECK_INT(coop_scope_cancel_called(&inner), ==, catches && inner_ms == least);
}

/* The earlier one cancels; of equal ones both are cancelled, and the outer one catches. */
TASK_TEST(nested_limits)
{
	two_limits(10, 20, 50, 1);
	PROVES(B207);
	two_limits(20, 10, 50, 2);
	two_limits(10, 10, 50, 1);
	PROVES(B208);
	two_limits(60, 70, 50, 0);
	return 0;
}

/* Equal deadlines that were armed in the other order, and of different tasks. */
static int equal_child(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&s, NULL);
	CHECK_INT(coop_scope_set_deadline(&s, begin_ns + MS(10)), ==, 0);
	r = coop_sleep(COOP_NEVER);
	r = coop_scope_close(&s, r);
	CHECK(coop_scope_cancel_called(&s));
	*(bool *)arg = coop_scope_caught(&s);
	return r;
}

TASK_TEST(equal_deadlines)
{
	struct coop_scope outer = COOP_SCOPE_INIT, inner = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;
	bool child_caught = true;
	int r;

	coop_scope_open(&outer, NULL);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, equal_child, &child_caught), ==, 0);
	coop_yield();
	coop_scope_open(&inner, NULL);
	CHECK_INT(coop_scope_set_deadline(&inner, begin_ns + MS(10)), ==, 0);
	CHECK_INT(coop_scope_set_deadline(&outer, begin_ns + MS(10)), ==, 0);
	r = coop_sleep(COOP_NEVER);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 10);
	r = coop_scope_close(&inner, r);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK(coop_scope_cancel_called(&inner) && !coop_scope_caught(&inner));
	r = coop_group_join(&g, r);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK(!child_caught);
	CHECK_INT(coop_scope_close(&outer, r), ==, 0);
	CHECK(coop_scope_caught(&outer));
	PROVES(B208);
	return 0;
}

/* The inner limit is caught; the outer one passes while nobody checks: the next call is hit. */
TASK_TEST(the_inner_limit_and_then_the_outer_one)
{
	struct coop_scope_opts outer_opts = LIMIT(20), inner_opts = LIMIT(10);
	struct coop_scope outer = COOP_SCOPE_INIT, inner = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&outer, &outer_opts);
	coop_scope_open(&inner, &inner_opts);
	r = coop_sleep(MS(100));
	CHECK_INT(coop_scope_close(&inner, r), ==, 0);
	CHECK_INT(now_ms(), ==, 10);
	CHECK_INT(coop_test_clock_jump(MS(30)), ==, 0); /* busy */
	coop_yield();
	r = coop_sleep(MS(100));
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 40);
	CHECK_INT(coop_scope_close(&outer, r), ==, 0);
	CHECK(coop_scope_caught(&outer));
	CHECK_INT(coop_scope_late_ns(&outer), ==, MS(20));
	PROVES(B209);
	return 0;
}

/* ---- late */

/* A block that ends after its deadline without a checkpoint has ended well; it can ask how late. */
TASK_TEST(late_without_a_checkpoint)
{
	struct coop_scope_opts opts = { .timeout_ns = MS(10), .fail_on_timeout = true };
	struct coop_scope s = COOP_SCOPE_INIT, in_time = COOP_SCOPE_INIT;

	coop_scope_open(&s, &opts);
	CHECK_INT(coop_test_clock_jump(MS(25)), ==, 0);
	CHECK_INT(coop_scope_late_ns(&s), ==, MS(15));
	CHECK_INT(coop_scope_close(&s, 3), ==, 3);
	CHECK(!coop_scope_caught(&s));
	CHECK_INT(coop_scope_late_ns(&s), ==, MS(15));
	CHECK_INT(coop_test_clock_jump(MS(25)), ==, 0);
	CHECK_INT(coop_scope_late_ns(&s), ==, MS(15));

	coop_scope_open(&in_time, &opts);
	CHECK_INT(coop_scope_late_ns(&in_time), ==, 0);
	CHECK_INT(coop_scope_close(&in_time, 3), ==, 3);
	CHECK_INT(coop_test_clock_jump(MS(25)), ==, 0);
	CHECK_INT(coop_scope_late_ns(&in_time), ==, 0);
	CHECK(!coop_scope_cancel_called(&in_time));
	PROVES(B210);
	return 0;
}

/* Cancelled by hand before its deadline a scope is not late, whatever grace it was given. */
TASK_TEST(cancelled_in_time_is_not_late)
{
	struct coop_scope_opts opts = { .timeout_ns = MS(100) };
	struct coop_scope s = COOP_SCOPE_INIT, never = COOP_SCOPE_INIT;
	struct coop_group_opts group_opts = { .timeout_ns = MS(100) };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope *of_group = coop_group_scope(&g);

	coop_scope_open(&s, &opts);
	coop_scope_cancel_grace(&s, NULL, SEC(5));
	CHECK_INT(coop_scope_close(&s, coop_checkpoint()), ==, 0);
	CHECK_INT(coop_scope_late_ns(&s), ==, 0);
	coop_scope_open(&never, NULL);
	coop_scope_cancel_grace(&never, NULL, SEC(5));
	CHECK_INT(coop_scope_close(&never, coop_checkpoint()), ==, 0);
	CHECK_INT(coop_scope_late_ns(&never), ==, 0);
	coop_group_open(&g, &group_opts);
	coop_group_cancel_grace(&g, NULL, SEC(5));
	CHECK_INT(coop_group_join(&g, coop_checkpoint()), ==, 0);
	CHECK_INT(coop_scope_late_ns(of_group), ==, 0);
	return 0;
}

/* A group that overran its timeout is late as a scope is. */
TASK_TEST(a_late_group)
{
	struct coop_group_opts opts = { .timeout_ns = MS(10) };
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, &opts);
	CHECK_INT(coop_shield(sleep_ms, MSARG(25)), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_scope_late_ns(coop_group_scope(&g)), ==, MS(15));
	PROVES(B210);
	return 0;
}

/* ---- as an error */

enum first { CALL_FIRST, DEADLINE_FIRST, OUTER_FIRST };

/* What cancelled first decides whether it is a timeout. */
static int which_first(enum first first, bool then_the_others)
{
	struct coop_scope_opts opts = { .timeout_ns = MS(10), .fail_on_timeout = true };
	struct coop_scope outer = COOP_SCOPE_INIT, s = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&outer, NULL);
	coop_scope_open(&s, &opts);
	if (first == CALL_FIRST)
		coop_scope_cancel(&s, NULL);
	else if (first == OUTER_FIRST)
		coop_scope_cancel(&outer, NULL);
	r = coop_sleep(COOP_NEVER);
	CHECK_INT(r, ==, COOP_ECANCELED);
	if (then_the_others && first != DEADLINE_FIRST) {
		CHECK_INT(coop_test_clock_jump(MS(50)), ==, 0);
		coop_yield();
	} else if (then_the_others) {
		coop_scope_cancel(&s, NULL);
	}
	r = coop_scope_close(&s, r);
	CHECK_INT(coop_scope_caught(&s), ==, first != OUTER_FIRST);
	CHECK_INT(coop_scope_close(&outer, r), ==, first == OUTER_FIRST ? 0 : r);
	coop_error_clear();
	return r;
}

TASK_TEST(a_timeout_only_by_its_own_deadline)
{
	for (int others = 0; others < 2; others++) {
		CHECK_INT(which_first(DEADLINE_FIRST, others), ==, COOP_ETIMEDOUT);
		CHECK_INT(which_first(CALL_FIRST, others), ==, 0);
		CHECK_INT(which_first(OUTER_FIRST, others), ==, COOP_ECANCELED);
	}
	PROVES(B211);
	return 0;
}

static int sleeps_300(void *arg)
{
	(void)arg;
	return coop_sleep(MS(300));
}

static int limited(void *arg)
{
	return coop_fail_after(*(int64_t *)arg, sleeps_300, NULL);
}

/* A cancel from outside passes an inner limit untouched; of two limits the outer one is told. */
TASK_TEST(a_foreign_cancel_passes_a_limit)
{
	struct coop_scope outer = COOP_SCOPE_INIT;
	struct coop_scope_opts opts = LIMIT(10);
	int64_t more = MS(20), less = MS(5);
	int r;

	coop_scope_open(&outer, &opts);
	r = coop_fail_after(MS(20), sleeps_300, NULL);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 10);
	CHECK_INT(coop_scope_close(&outer, r), ==, 0);
	CHECK_INT(coop_fail_after(MS(10), limited, &more), ==, COOP_ETIMEDOUT);
	coop_error_clear();
	CHECK_INT(now_ms(), ==, 20);
	CHECK_INT(coop_move_on_after(MS(10), limited, &more), ==, 0);
	CHECK_INT(now_ms(), ==, 30);
	/* The inner limit first: an error like any other for the outer one. */
	CHECK_INT(coop_move_on_after(MS(10), limited, &less), ==, COOP_ETIMEDOUT);
	coop_error_clear();
	CHECK_INT(now_ms(), ==, 35);
	PROVES(B212);
	return 0;
}

static int fails_late(void *arg)
{
	int r = coop_sleep(MS(300));

	(void)arg;
	return r == COOP_ECANCELED ? coop_fail(-EIO, "in the clean-up") : r;
}

/* Other errors pass a limit; they say that they came while it was being cancelled. */
TASK_TEST(a_foreign_error_passes_a_limit)
{
	struct coop_error_info info;
	struct coop_error *e;
	int r;

	r = coop_fail_after(MS(10), fail_after_ms, MSARG(5));
	CHECK_INT(r, ==, -EIO);
	e = coop_error_take(r);
	coop_error_describe(e, &info);
	CHECK(!info.during_cancel);
	coop_error_unref(e);
	CHECK_INT(now_ms(), ==, 5);

	r = coop_fail_after(MS(10), fails_late, NULL);
	CHECK_INT(r, ==, -EIO);
	e = coop_error_take(r);
	coop_error_describe(e, &info);
	CHECK(info.during_cancel);
	coop_error_unref(e);
	CHECK_INT(now_ms(), ==, 15);
	PROVES(B213);
	return 0;
}

/* A limit in the clean-up of a cancelled task works, and swallows nothing of that cancel. */
TASK_TEST(a_limit_in_clean_up)
{
	struct coop_scope outer = COOP_SCOPE_INIT, hard = COOP_SCOPE_INIT;
	int64_t none = 0;
	int r;

	coop_scope_open(&outer, NULL);
	coop_scope_cancel(&outer, NULL);
	r = coop_checkpoint();
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_fail_after(MS(10), sleeps_300, NULL), ==, COOP_ECANCELED);
	CHECK_INT(coop_move_on_after(MS(10), sleeps_300, NULL), ==, COOP_ECANCELED);
	CHECK_INT(limited(&none), ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 0);
	coop_scope_open(&hard, &(struct coop_scope_opts){ .shield = true });
	CHECK_INT(coop_fail_after(MS(10), sleeps_300, NULL), ==, COOP_ETIMEDOUT);
	coop_error_clear();
	CHECK_INT(limited(&none), ==, COOP_ETIMEDOUT);
	coop_error_clear();
	CHECK_INT(coop_move_on_after(MS(10), sleeps_300, NULL), ==, 0);
	CHECK_INT(coop_scope_close(&hard, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 20);
	CHECK_INT(coop_checkpoint(), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&outer, r), ==, 0);
	PROVES(B214);
	return 0;
}

/* Cancelled from outside while a limit's clean-up is going on: the outer cancel comes out. */
TASK_TEST(cancelled_in_the_clean_up_of_a_limit)
{
	struct coop_scope outer = COOP_SCOPE_INIT, s = COOP_SCOPE_INIT, hard = COOP_SCOPE_INIT;
	struct coop_scope_opts opts = { .timeout_ns = MS(10), .fail_on_timeout = true };
	int r;

	coop_scope_open(&outer, &LIMIT(15));
	coop_scope_open(&s, &opts);
	r = coop_sleep(COOP_NEVER);
	coop_scope_open(&hard, &(struct coop_scope_opts){ .shield = true });
	CHECK_INT(coop_sleep(MS(20)), ==, 0);
	CHECK_INT(coop_scope_close(&hard, 0), ==, 0);
	r = coop_scope_close(&s, r);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK(!coop_scope_caught(&s));
	CHECK_INT(coop_scope_close(&outer, r), ==, 0);
	PROVES(B214);
	return 0;
}

/* The error of a timeout says which, how long it was, how long it took, and in what it hung. */
TASK_TEST(what_a_timeout_says)
{
	struct coop_scope_opts opts = { .name = "reply",
					.timeout_ns = MS(2500),
					.fail_on_timeout = true };
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_error_info info;
	struct coop_error *e;
	int line, r;

	CHECK_INT(coop_sleep(MS(100)), ==, 0);
	line = __LINE__ + 1;
	coop_scope_open(&s, &opts);
	r = coop_sleep(MS(7000));
	CHECK_INT(coop_test_clock_jump(MS(300)), ==, 0);
	r = coop_scope_close(&s, r);
	CHECK_INT(r, ==, COOP_ETIMEDOUT);
	e = coop_error_take(r);
	coop_error_describe(e, &info);
	CHECK_INT(info.code, ==, COOP_ETIMEDOUT);
	CHECK_INT(info.kind, ==, COOP_ERROR_LEAF);
	CHECK_HAS(info.file, "test_deadline.c");
	CHECK_INT(info.line, ==, line);
	CHECK_STR(info.task, "main");
	CHECK_INT(info.when_ns, ==, MS(2900));
	CHECK_HAS(info.message, "reply");
	CHECK_HAS(info.message, "2.500s");
	CHECK_HAS(info.message, "2.800s");
	CHECK_HAS(info.message, "coop_sleep 7.000s");
	coop_error_unref(e);
	PROVES(B215);
	return 0;
}

/* Groups: a timeout is a leaf of its own, beside others by time, and only if it ended something. */
TASK_TEST(the_timeout_of_a_group)
{
	struct coop_group_opts opts = { .timeout_ns = MS(10), .name = "pages" };
	struct coop_group in_time = COOP_GROUP_INIT, g = COOP_GROUP_INIT, both = COOP_GROUP_INIT;
	struct coop_error_info info;
	struct coop_error *e;
	struct nap n = { .ms = 50 };
	int r;

	coop_group_open(&in_time, &opts);
	CHECK_INT(coop_spawn(&in_time, sleep_ms, MSARG(9)), ==, 0);
	CHECK_INT(coop_group_join(&in_time, 4), ==, 4);

	begin_ns = coop_now();
	coop_group_open(&g, &opts);
	CHECK_INT(coop_spawn(&g, nap, &n), ==, 0);
	r = coop_group_join(&g, 0);
	CHECK_INT(r, ==, COOP_ETIMEDOUT);
	CHECK_INT(n.at_ms, ==, 10);
	e = coop_error_take(r);
	coop_error_describe(e, &info);
	CHECK_INT(info.kind, ==, COOP_ERROR_GROUP);
	CHECK_STR(info.name, "pages");
	CHECK_INT(info.members, ==, 1);
	CHECK_INT(info.cancelled, ==, 1);
	CHECK(!info.cancel_pending);
	CHECK_INT(coop_error_code(coop_error_member(e, 0)), ==, COOP_ETIMEDOUT);
	coop_error_unref(e);

	coop_group_open(&both, &opts);
	CHECK_INT(coop_spawn(&both, fails_late, NULL), ==, 0);
	r = coop_group_join(&both, 0);
	CHECK_INT(r, ==, COOP_ETIMEDOUT);
	e = coop_error_take(r);
	coop_error_describe(e, &info);
	CHECK_INT(info.members, ==, 2);
	CHECK_INT(coop_error_code(coop_error_member(e, 0)), ==, COOP_ETIMEDOUT);
	CHECK_INT(coop_error_code(coop_error_member(e, 1)), ==, -EIO);
	coop_error_unref(e);
	PROVES(B70);
	return 0;
}

/* ---- sleeping */

/* Sleeps end in the order of their time, and those of one time in the order they were begun. */
TASK_TEST(sleeps_end_in_order)
{
	static struct nap naps[] = {
		{ .name = "a5", .ms = 5 }, { .name = "b5", .ms = 5 }, { .name = "c3", .ms = 3 },
		{ .name = "d9", .ms = 9 }, { .name = "e5", .ms = 5 }, { .name = "f3", .ms = 3 },
		{ .name = "g1", .ms = 1 }, { .name = "h9", .ms = 9 },
	};
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (size_t i = 0; i < sizeof naps / sizeof *naps; i++)
		CHECK_INT(coop_spawn(&g, nap, &naps[i]), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("g1 c3 f3 a5 b5 e5 d9 h9 ");
	CHECK_INT(now_ms(), ==, 9);
	PROVES(B218);
	return 0;
}

/* Sleeps begun at different times that end at the same one: as they were begun. */
static int sleeps_until(void *arg)
{
	struct nap *n = arg;
	int r = coop_sleep(MS(n->ms));

	if (r >= 0)
		r = coop_sleep_until(begin_ns + MS(1000));
	CHECK_INT(now_ms(), ==, 1000);
	say("%s ", n->name);
	return r;
}

TASK_TEST(sleeps_that_end_together)
{
	static struct nap naps[] = {
		{ .name = "a", .ms = 700 }, { .name = "b", .ms = 1 },   { .name = "c", .ms = 999 },
		{ .name = "d", .ms = 2 },   { .name = "e", .ms = 300 }, { .name = "f", .ms = 998 },
	};
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (size_t i = 0; i < sizeof naps / sizeof *naps; i++)
		CHECK_INT(coop_spawn(&g, sleeps_until, &naps[i]), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("b d e a f c ");
	PROVES(B218);
	return 0;
}

/* sleep(0), and until what has passed, let nobody wait and notice a cancel. */
TASK_TEST(sleeps_of_no_time)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int64_t untils[] = { coop_now(), coop_now() - 1, 0, -1, INT64_MIN };

	for (size_t i = 0; i < sizeof untils / sizeof *untils; i++)
		CHECK_INT(coop_sleep_until(untils[i]), ==, 0);
	CHECK_INT(coop_sleep(0), ==, 0);
	CHECK_INT(now_ns(), ==, 0);
	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, NULL);
	CHECK_INT(coop_sleep(0), ==, COOP_ECANCELED);
	CHECK_INT(coop_sleep_until(0), ==, COOP_ECANCELED);
	PROVES(B216);
	return coop_scope_close(&s, COOP_ECANCELED);
}

/* After a stall there is one tick, which says how many were missed, then the old rhythm. */
TASK_TEST(a_ticker_after_a_stall)
{
	struct coop_ticker t = COOP_TICKER_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;

	CHECK_INT(coop_ticker_wait(&t), ==, -EINVAL);
	CHECK_INT(coop_ticker_start(&t, 0), ==, -EINVAL);
	CHECK_INT(coop_ticker_start(&t, -1), ==, -EINVAL);
	CHECK_INT(coop_ticker_start(&t, MS(10)), ==, 0);
	CHECK_INT(coop_ticker_wait(&t), ==, 0);
	CHECK_INT(now_ms(), ==, 10);
	CHECK_INT(coop_sleep(MS(7)), ==, 0);
	CHECK_INT(coop_ticker_wait(&t), ==, 0);
	CHECK_INT(now_ms(), ==, 20);
	CHECK_INT(coop_sleep(SEC(3600)), ==, 0);
	CHECK_INT(coop_ticker_wait(&t), ==, 359999);
	CHECK_INT(now_ms(), ==, 3600020);
	CHECK_INT(coop_ticker_wait(&t), ==, 0);
	CHECK_INT(now_ms(), ==, 3600030);
	CHECK_INT(coop_sleep(MS(13)), ==, 0);
	CHECK_INT(coop_ticker_wait(&t), ==, 0);
	CHECK_INT(now_ms(), ==, 3600043);
	CHECK_INT(coop_ticker_wait(&t), ==, 0);
	CHECK_INT(now_ms(), ==, 3600050);

	/* A tick that was not taken is not used up. */
	coop_scope_open(&s, &LIMIT(5));
	CHECK_INT(coop_ticker_wait(&t), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, 0);
	CHECK_INT(coop_ticker_wait(&t), ==, 0);
	CHECK_INT(now_ms(), ==, 3600060);
	return 0;
}

/* ---- on the real clock */

static int real_main(void *arg)
{
	struct timespec before, after;
	int64_t now;

	(void)arg;
	for (int i = 0; i < 100; i++) {
		clock_gettime(CLOCK_MONOTONIC, &before);
		now = coop_now();
		clock_gettime(CLOCK_MONOTONIC, &after);
		CHECK_INT(now, >=, SEC(before.tv_sec) + before.tv_nsec);
		CHECK_INT(now, <=, SEC(after.tv_sec) + after.tv_nsec);
	}
	return 0;
}

/* The clock is the monotonic one: what is done to the wall clock moves no deadline. */
TEST(the_clock_is_monotonic)
{
	CHECK_INT(coop_run(real_main, NULL, NULL), ==, 0);
	CHECK_INT(real_main(NULL), ==, 0); /* outside of a run as well */
	PROVES(B221);
}

static int real_limits(void *arg)
{
	struct coop_scope_opts opts = { .timeout_ns = MS(2) };
	struct coop_scope s = COOP_SCOPE_INIT, moved = COOP_SCOPE_INIT, past = COOP_SCOPE_INIT;
	struct coop_scope soft = COOP_SCOPE_INIT;
	int64_t start = coop_now();
	int r;

	(void)arg;
	coop_scope_open(&s, &opts);
	CHECK_INT(coop_effective_deadline(), >=, start + MS(2));
	r = coop_sleep(SEC(100));
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_now() - start, >=, MS(2));
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	CHECK(coop_scope_caught(&s));

	start = coop_now();
	coop_scope_open(&moved, &(struct coop_scope_opts){ .timeout_ns = SEC(100) });
	CHECK_INT(coop_scope_set_deadline(&moved, start + MS(1)), ==, 0);
	r = coop_sleep(SEC(100));
	CHECK_INT(coop_now() - start, >=, MS(1));
	CHECK_INT(coop_scope_close(&moved, r), ==, 0);

	/* Passed while nobody looked: visible at once, and without a checkpoint no error. */
	start = coop_now();
	coop_scope_open(&past, &(struct coop_scope_opts){ .deadline_ns = start + 1000 });
	while (coop_now() - start < 2000)
		;
	CHECK(coop_scope_cancel_called(&past));
	CHECK_INT(coop_scope_close(&past, 6), ==, 6);
	CHECK(!coop_scope_caught(&past));

	/* A limit and a soft shield, opened when the cancel is there already. */
	s = (struct coop_scope)COOP_SCOPE_INIT;
	coop_scope_open(&s, NULL);
	coop_scope_cancel_grace(&s, NULL, MS(1));
	coop_scope_open(&soft, &(struct coop_scope_opts){ .timeout_ns = SEC(100),
							  .soft_shield_ns = COOP_NEVER });
	r = coop_sleep(SEC(100));
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&soft, r), ==, COOP_ECANCELED);
	return coop_scope_close(&s, r);
}

/* The same on the real clock, whose timers go another way before the loop has read it. */
TEST(limits_on_the_real_clock)
{
	CHECK_INT(coop_run(real_limits, NULL, NULL), ==, 0);
}

static bool stop_yielding;

static int yields(void *arg)
{
	uint64_t *n = arg;

	while (!stop_yielding) {
		CHECK_INT(coop_yield(), ==, 0);
		++*n;
	}
	return 0;
}

static int checks(void *arg)
{
	uint64_t *n = arg;

	while (!stop_yielding) {
		CHECK_INT(coop_checkpoint(), ==, 0);
		++*n;
	}
	return 0;
}

static int busy_main(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	uint64_t n[20] = { 0 };
	int r;

	(void)arg;
	coop_group_open(&g, NULL);
	for (int i = 0; i < 20; i++)
		CHECK_INT(coop_spawn(&g, i % 2 ? yields : checks, &n[i]), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	r = coop_move_on_after(MS(1), sleep_for_ever, NULL);
	CHECK_INT(r, ==, 0);
	stop_yielding = true;
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	for (int i = 0; i < 20; i++)
		CHECK_INT(n[i], >, 0);
	return 0;
}

/* Tasks that yield, or pass checkpoints, without end do not keep sleepers from waking. */
TEST(a_busy_loop_does_not_starve_timers)
{
	CHECK_INT(coop_run(busy_main, NULL, NULL), ==, 0);
	PROVES(B219);
}
