/* SPDX-License-Identifier: MIT */
/*
 * Every number that a program may pass as a time, to every call that takes one: the answer is one
 * of those the header has, nothing wraps, nothing hangs, and the run goes on. Under the sanitizer
 * for undefined behaviour this is where an overflow shows.
 */
#include "core_help.h"
#include "core/private.h"

#include <time.h>

/* Around 0, the limits of narrower types, of the wheel, and of the type itself. */
static const int64_t corners[] = {
	0,
	1,
	-1,
	999,
	INT32_MAX,
	INT64_C(1) + INT32_MAX,
	-INT64_C(1) - INT32_MAX,
	UINT32_MAX,
	INT64_C(1) + UINT32_MAX,
	COOP_MILLISECONDS(INT32_MAX),
	COOP_MILLISECONDS(INT64_C(1) + UINT32_MAX),
	CP_TIME_MAX / 2,
	CP_TIME_MAX - SEC(1),
	CP_TIME_MAX - 1,
	CP_TIME_MAX,
	CP_TIME_MAX + 1,
	-CP_TIME_MAX,
	INT64_MAX - SEC(2),
	INT64_MAX - 1,
	INT64_MAX,
	INT64_MIN + 1,
	INT64_MIN,
};
#define CORNERS (sizeof corners / sizeof *corners)

/* ---- calls that take a time */

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int in_scope(const struct coop_scope_opts *opts)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_cancel_info info;
	char text[256];
	int r = coop_scope_open(&s, opts);

	if (r < 0)
		return r;
	r = coop_sleep(MS(1));
	CHECK(coop_effective_deadline() != 0);
	if (coop_scope_reason(&s, &info))
		CHECK(coop_cancel_text(&info, text, sizeof text) == text);
	r = coop_scope_close(&s, r);
	CHECK_INT(coop_scope_late_ns(&s), >=, 0);
	return r;
}

/* What should be 0; but on the machine's clock the patience with the whole call may be over. */
static void check_well(int r)
{
	if (r != COOP_ECANCELED || !coop_cancelled())
		CHECK_INT(r, ==, 0);
}

static int scope_timeout(int64_t ns)
{
	return in_scope(&(struct coop_scope_opts){ .timeout_ns = ns, .fail_on_timeout = true });
}

static int scope_deadline(int64_t ns)
{
	return in_scope(&(struct coop_scope_opts){ .deadline_ns = ns, .fail_on_timeout = true });
}

static int scope_soft_shield(int64_t ns)
{
	return in_scope(&(struct coop_scope_opts){ .soft_shield_ns = ns });
}

static int scope_grace(int64_t ns)
{
	return in_scope(&(struct coop_scope_opts){ .grace_ns = ns, .timeout_ns = 1 });
}

static int set_deadline(int64_t ns)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&s, NULL);
	r = coop_scope_set_deadline(&s, ns);
	if (r >= 0)
		r = coop_sleep(MS(1));
	return coop_scope_close(&s, r);
}

/* A cancel with that grace, met by a soft shield without a limit of its own, and one with it. */
static int cancel_grace(int64_t ns)
{
	struct coop_scope s = COOP_SCOPE_INIT, soft = COOP_SCOPE_INIT, softer = COOP_SCOPE_INIT;
	int r, left;

	coop_scope_open(&s, NULL);
	coop_scope_open(&soft, &(struct coop_scope_opts){ .soft_shield_ns = COOP_NEVER });
	coop_scope_open(&softer, &(struct coop_scope_opts){ .soft_shield_ns = CP_TIME_MAX });
	r = coop_scope_cancel_grace(&s, "corner", ns);
	left = coop_sleep(MS(1));
	left = coop_scope_close(&softer, left);
	left = coop_scope_close(&soft, left);
	left = coop_scope_close(&s, left);
	check_well(left);
	return r;
}

static int fail_after(int64_t ns)
{
	return coop_fail_after(ns, sleep_ms, MSARG(1));
}

static int move_on_after(int64_t ns)
{
	return coop_move_on_after(ns, sleep_ms, MSARG(1));
}

static int shield_grace(int64_t ns)
{
	return coop_shield_grace(ns, sleep_ms, MSARG(1));
}

static int sleep_until(int64_t ns)
{
	return coop_sleep_until(ns);
}

static int ticks(int64_t ns)
{
	struct coop_ticker t = COOP_TICKER_INIT;
	int r = coop_ticker_start(&t, ns);

	for (int i = 0; i < 3 && r >= 0; i++)
		r = coop_ticker_wait(&t);
	return r;
}

static int in_group(const struct coop_group_opts *opts)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r = coop_group_open(&g, opts);

	if (r < 0)
		return r;
	r = coop_spawn(&g, sleep_ms, MSARG(1));
	return coop_group_join(&g, r);
}

static int group_timeout(int64_t ns)
{
	return in_group(&(struct coop_group_opts){ .timeout_ns = ns });
}

static int group_soft_shield(int64_t ns)
{
	return in_group(&(struct coop_group_opts){ .soft_shield_ns = ns });
}

static int group_grace(int64_t ns)
{
	return in_group(&(struct coop_group_opts){ .grace_ns = ns, .timeout_ns = 1 });
}

static int group_cancel_grace(int64_t ns)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	check_well(coop_sleep(0));
	r = coop_group_cancel_at(&g, "corner", ns, COOP_HERE);
	if (r < 0)
		coop_group_cancel(&g, "after all");
	check_well(coop_group_join(&g, 0));
	return r;
}

static int handle_cancel_grace(int64_t ns)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h[2];
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, sleep_for_ever, NULL, NULL, &h[0]), ==, 0);
	check_well(coop_sleep(0));
	CHECK_INT(coop_spawn_with(&g, sleep_for_ever, NULL, NULL, &h[1]), ==, 0); /* not begun */
	r = coop_handle_cancel_at(h[0], "corner", ns, COOP_HERE);
	CHECK_INT(coop_handle_cancel_at(h[1], "corner", ns, COOP_HERE), ==, r);
	coop_group_cancel(&g, "after all");
	check_well(coop_group_join(&g, 0));
	coop_handle_release(h[0]);
	coop_handle_release(h[1]);
	return r;
}

static int wait_timeout(int64_t ns)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h;
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, sleep_ms, MSARG(1), NULL, &h), ==, 0);
	r = coop_wait(&h, 1, COOP_WAIT_ALL, ns, NULL);
	coop_handle_release(h);
	coop_group_cancel(&g, NULL);
	check_well(coop_group_join(&g, 0));
	return r;
}

static int staggered_race(int64_t ns)
{
	struct coop_call calls[] = { { .fn = nothing }, { .fn = nothing } };

	return coop_staggered_race(calls, 2, ns, NULL, NULL);
}

static int hedge(int64_t ns)
{
	struct coop_call call = { .fn = nothing };

	return coop_hedge(&call, 2, ns, NULL, NULL);
}

/* The dump while such a deadline is open. */
static int dumped_deadline(int64_t ns)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	FILE *out = fopen("/dev/null", "w");
	int r;

	coop_scope_open(&s, NULL);
	r = coop_scope_set_deadline(&s, ns);
	CHECK_INT(coop_dump(out, COOP_DUMP_TIMES), ==, 0);
	fclose(out);
	return coop_scope_close(&s, r);
}

static const struct timed_call {
	const char *name;
	int (*call)(int64_t ns);
	int negative; /* its answer to one that is negative; 0: as good as any */
} timed_calls[] = {
	{ "coop_sleep", coop_sleep, -EINVAL },
	{ "coop_sleep_until", sleep_until, 0 },
	{ "coop_ticker_start", ticks, -EINVAL },
	{ "coop_scope_open timeout_ns", scope_timeout, -EINVAL },
	{ "coop_scope_open deadline_ns", scope_deadline, 0 },
	{ "coop_scope_open soft_shield_ns", scope_soft_shield, -EINVAL },
	{ "coop_scope_open grace_ns", scope_grace, -EINVAL },
	{ "coop_scope_set_deadline", set_deadline, 0 },
	{ "coop_scope_cancel_grace", cancel_grace, -EINVAL },
	{ "coop_fail_after", fail_after, -EINVAL },
	{ "coop_move_on_after", move_on_after, -EINVAL },
	{ "coop_shield_grace", shield_grace, -EINVAL },
	{ "coop_group_open timeout_ns", group_timeout, -EINVAL },
	{ "coop_group_open soft_shield_ns", group_soft_shield, -EINVAL },
	{ "coop_group_open grace_ns", group_grace, -EINVAL },
	{ "coop_group_cancel_grace", group_cancel_grace, -EINVAL },
	{ "coop_handle_cancel_grace", handle_cancel_grace, -EINVAL },
	{ "coop_wait", wait_timeout, -EINVAL },
	{ "coop_staggered_race", staggered_race, -EINVAL },
	{ "coop_hedge", hedge, -EINVAL },
	{ "coop_dump", dumped_deadline, 0 },
};
#define CALLS (sizeof timed_calls / sizeof *timed_calls)

/* ---- each with each */

static const struct timed_call *the_call;
static int64_t the_time;

/* Longer than all that ends by itself, shorter than for ever. */
static int one(void *arg)
{
	(void)arg;
	return the_call->call(the_time);
}

static bool is_documented(int r)
{
	return r >= 0 || r == COOP_ECANCELED || r == COOP_ETIMEDOUT || r == -EINVAL;
}

static int every_time_of_every_call(void *arg)
{
	int64_t patience = *(int64_t *)arg;

	for (size_t c = 0; c < CALLS; c++) {
		for (size_t i = 0; i < CORNERS; i++) {
			struct coop_run_stats stats;
			int r;

			the_call = &timed_calls[c];
			the_time = corners[i];
			r = coop_move_on_after(patience, one, NULL);
			if (!is_documented(r))
				FAIL("%s(%jd): %d", the_call->name, (intmax_t)the_time, r);
			if (the_time < 0 && the_call->negative && the_time != COOP_NO_GRACE &&
			    r != the_call->negative)
				FAIL("%s(%jd): %d, not %d", the_call->name, (intmax_t)the_time, r,
				     the_call->negative);
			coop_error_clear();
			CHECK_INT(coop_run_stats(&stats), ==, 0);
			CHECK_INT(stats.timers, ==, 0); /* nothing is left armed */
			CHECK_INT(stats.tasks, ==, 1);
		}
	}
	return 0;
}

TEST(rel_C01_every_time_of_every_call)
{
	int64_t hour = SEC(3600), soon = MS(2);

	CHECK_INT(coop_run(every_time_of_every_call, &hour, &virtual_clock), ==, 0);
	CHECK_INT(coop_run(every_time_of_every_call, &soon, NULL), ==, 0);
	PROVES(rel_C01, rel_C02);
}

/* The same near the end of time, where every sum is too large. */
static int at_the_end_of_time(void *arg)
{
	CHECK_INT(coop_test_clock_jump(CP_TIME_MAX - SEC(7200) - coop_now()), ==, 0);
	return every_time_of_every_call(arg);
}

TEST(rel_C01_at_the_end_of_time)
{
	int64_t second = SEC(1);

	CHECK_INT(coop_run(at_the_end_of_time, &second, &virtual_clock), ==, 0);
	PROVES(rel_C01, rel_C02);
}

/* Options of a run, too. */
TEST(rel_C01_times_of_a_run)
{
	for (size_t i = 0; i < CORNERS; i++) {
		struct coop_run_opts slack = { .timer_slack_ns = corners[i] };
		struct coop_run_opts grace = { .grace_ns = corners[i] };
		bool bad = corners[i] < 0;

		CHECK_INT(coop_run(sleep_ms, MSARG(0), &slack), ==, bad ? -EINVAL : 0);
		CHECK_INT(coop_run(sleep_ms, MSARG(0), &grace), ==,
			  bad && corners[i] != COOP_NO_GRACE ? -EINVAL : 0);
	}
	PROVES(rel_C01);
}

/* A shutdown with a grace of any length. */
static int work_rc;

static int stops(void *arg)
{
	CHECK_INT(coop_stop("at once"), ==, 0);
	work_rc = coop_shield_grace(COOP_NEVER, sleep_ms, arg);
	return work_rc;
}

TEST(rel_C01_a_shutdown_with_any_grace)
{
	for (size_t i = 0; i < CORNERS; i++) {
		struct coop_run_opts opts = { .clock = COOP_CLOCK_VIRTUAL, .grace_ns = corners[i] };

		if (corners[i] < 0 && corners[i] != COOP_NO_GRACE)
			continue;
		CHECK_INT(coop_run(stops, MSARG(1000), &opts), ==, 0);
		/* A second of work: done within the grace, or cut short. */
		CHECK_INT(work_rc, ==,
			  corners[i] >= SEC(1) || corners[i] == 0 ? 0 : COOP_ECANCELED);
	}
	PROVES(rel_C01);
}

/* ---- the clock */

/* The clock of a run is CLOCK_MONOTONIC, which does not count the time of a suspended machine. */
static int reads_the_clock(void *arg)
{
	(void)arg;
	for (int i = 0; i < 100; i++) {
		int64_t before = coop_now(), between, after;
		struct timespec ts;

		CHECK_INT(clock_gettime(CLOCK_MONOTONIC, &ts), ==, 0);
		after = coop_now();
		between = SEC(ts.tv_sec) + ts.tv_nsec;
		CHECK_INT(before, <=, between);
		CHECK_INT(between, <=, after);
	}
	return 0;
}

TEST(rel_C10_the_documented_clock)
{
	CHECK_INT(reads_the_clock(NULL), ==, 0);
	CHECK_INT(coop_run(reads_the_clock, NULL, NULL), ==, 0);
	PROVES(rel_C10);
}

/* An hour is gone at once, as after a stop: each limit ends what it limits, each once. */
static int in_the_hour(void *arg)
{
	intptr_t i = (intptr_t)arg;
	int r = coop_fail_after(MS(i * 600), sleep_for_ever, NULL);

	say("%d ", (int)i);
	return r == COOP_ETIMEDOUT ? 0 : r;
}

TASK_TEST(rel_C10_an_hour_that_is_gone)
{
	struct coop_ticker t = COOP_TICKER_INIT;
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (intptr_t i = 5; i > 0; i--)
		CHECK_INT(coop_spawn(&g, in_the_hour, (void *)i), ==, 0);
	CHECK_INT(coop_ticker_start(&t, SEC(1)), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
	CHECK_INT(coop_test_clock_jump(SEC(3600) + MS(1)), ==, 0);
	CHECK_INT(coop_ticker_wait(&t), ==, 3599);
	CHECK_INT(coop_ticker_wait(&t), ==, 0);
	CHECK_INT(now_ms(), ==, 3601000);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("1 2 3 4 5 "); /* in the order of their deadlines */
	PROVES(rel_C10, rel_C05, rel_C13);
	return 0;
}
