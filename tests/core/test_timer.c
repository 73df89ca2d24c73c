/* SPDX-License-Identifier: MIT */
/*
 * The timer wheel against a model, and the corners of time: first and last values, crowded slots,
 * moves from level to level. The model is an array of what is armed; what the wheel hands out must
 * be the least by deadline and then by order of arming, all that is due, and nothing else.
 */
#include "core_help.h"

#include "core/core.h"

#include <sys/prctl.h>

#define TICK (INT64_C(1) << CP_TICK_SHIFT)

/* ---- the model */

struct entry {
	struct cp_timer timer; /* first: a timer of the wheel is its entry */
	int64_t when_ns;
	uint64_t order; /* of arming */
	bool armed;
};

static uint64_t random_state = 1;

static uint64_t rnd(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % n;
}

static bool before(const struct entry *a, const struct entry *b)
{
	return a->when_ns < b->when_ns || (a->when_ns == b->when_ns && a->order < b->order);
}

struct model {
	struct cp_wheel wheel;
	struct entry *entries;
	size_t count, armed;
	uint64_t order;
	int64_t now_ns;
	uint64_t fired;
};

static void model_arm(struct model *m, struct entry *e, int64_t when_ns)
{
	e->when_ns = when_ns;
	e->order = ++m->order;
	e->armed = true;
	m->armed++;
	cp_wheel_arm(&m->wheel, &e->timer, when_ns, CP_TIMER_TASK);
	CHECK(cp_timer_armed(&e->timer));
	CHECK_INT(cp_timer_when(&e->timer), ==, when_ns);
}

static void model_disarm(struct model *m, struct entry *e)
{
	e->armed = false;
	m->armed--;
	cp_wheel_disarm(&m->wheel, &e->timer);
	CHECK(!cp_timer_armed(&e->timer));
}

/* Moves the clock and takes what is due: in order, in time, and all of it. */
static void model_advance(struct model *m, int64_t now_ns)
{
	const struct entry *last = NULL;
	struct entry copy;
	struct cp_timer *t;

	m->now_ns = now_ns;
	cp_wheel_collect(&m->wheel, now_ns);
	while ((t = cp_wheel_take(&m->wheel))) {
		struct entry *e = (struct entry *)t;

		CHECK(e->armed);
		CHECK_INT(e->when_ns, <=, now_ns);
		CHECK(!last || before(last, e));
		e->armed = false;
		m->armed--;
		m->fired++;
		copy = *e;
		last = &copy;
		if (rnd(8) == 0) /* arm anew while others are being taken */
			model_arm(m, e, now_ns + 1 + (int64_t)rnd(1000000));
	}
	CHECK_INT(m->wheel.count, ==, m->armed);
}

/* Nothing that is due is left behind; the next look is not later than the next deadline. */
static void model_check(struct model *m)
{
	int64_t least = COOP_NEVER, next;
	bool exact;

	for (size_t i = 0; i < m->count; i++) {
		CHECK_INT(cp_timer_armed(&m->entries[i].timer), ==, m->entries[i].armed);
		if (m->entries[i].armed && m->entries[i].when_ns < least)
			least = m->entries[i].when_ns;
	}
	CHECK_INT(least, >, m->now_ns);
	next = cp_wheel_next(&m->wheel, &exact);
	if (exact)
		CHECK_INT(next, ==, least);
	else
		CHECK_INT(next, <=, least);
	CHECK(next > m->now_ns || !exact);
}

/* A time ahead: often soon, sometimes far, sometimes shared with many. */
static int64_t random_ahead(void)
{
	switch (rnd(8)) {
	case 0: return (int64_t)rnd(100) + 1;
	case 1: return (int64_t)rnd((uint64_t)TICK) + 1;
	case 2: return ((int64_t)rnd(64) + 1) * TICK;
	case 3: return ((int64_t)rnd(70) + 1) * TICK * 64;
	case 4: return (int64_t)rnd(UINT64_C(1) << (17 + rnd(44))) + 1;
	default: return (int64_t)rnd(COOP_MILLISECONDS(20)) + 1;
	}
}

static void model_step(struct model *m)
{
	struct entry *e = &m->entries[rnd(m->count)];
	int64_t next;
	bool exact;

	switch (rnd(10)) {
	case 0:
	case 1:
	case 2: /* on to the next deadline, or to where the wheel says it has to look */
		next = cp_wheel_next(&m->wheel, &exact);
		if (next != COOP_NEVER && next < INT64_C(1) << 61)
			model_advance(m, next > m->now_ns ? next : m->now_ns);
		break;
	case 3: /* some time, not for any reason */
		model_advance(m, m->now_ns + (int64_t)rnd(COOP_MILLISECONDS(2)));
		break;
	default:
		if (e->armed)
			model_disarm(m, e);
		if (rnd(4))
			model_arm(m, e, m->now_ns + random_ahead());
		break;
	}
}

static void model_run(size_t count, int steps, int64_t start_ns)
{
	struct model m = { .count = count, .now_ns = start_ns };

	m.entries = calloc(count, sizeof *m.entries);
	cp_wheel_init(&m.wheel, start_ns);
	for (int i = 0; i < steps; i++) {
		model_step(&m);
		if (i % (int)(count > 64 ? 1024 : 16) == 0) {
			model_advance(&m, m.now_ns);
			model_check(&m);
		}
	}
	CHECK(m.fired > (uint64_t)steps / 50);
	free(m.entries);
}

/* A million random steps: armed, moved, disarmed, fired, at every distance. */
TEST(rel_C07_a_million_steps_against_a_model)
{
	int steps = TEST_COUNT(500000, 20000);

	TEST_SECONDS(60);
	model_run(32, steps, COOP_SECONDS(1));
	model_run(2000, steps, COOP_SECONDS(1));
	PROVES(B218, rel_C07);
}

/* The same from other points of time: at 0, in the middle of slots, just before a level turns. */
TEST(a_model_at_many_starts)
{
	int steps = TEST_COUNT(20000, 2000);

	model_run(32, steps, 0);
	model_run(32, steps, TICK - 1);
	for (int bit = CP_TICK_SHIFT; bit < 60; bit += 3) {
		model_run(32, steps / 10, (INT64_C(1) << bit) - 1);
		model_run(32, steps / 10, (INT64_C(1) << bit) - TICK);
	}
}

/* ---- ties, order, cascades */

enum { N = 300 };

static struct entry many[N];

/* Arms `many` one after the other for `whens[i % n]`, with the clock moved on in between. */
static void ordered(const int64_t *whens, size_t n, int64_t step_ns)
{
	struct model m = { .entries = many, .count = N, .now_ns = COOP_SECONDS(1) };
	const struct entry *last = NULL;
	struct cp_timer *t;
	size_t taken = 0;

	memset(many, 0, sizeof many);
	cp_wheel_init(&m.wheel, m.now_ns);
	for (size_t i = 0; i < N; i++) {
		model_arm(&m, &many[i], COOP_SECONDS(1) + whens[i % n]);
		m.now_ns += step_ns;
		CHECK(!cp_wheel_collect(&m.wheel, m.now_ns));
	}
	CHECK(cp_wheel_collect(&m.wheel, COOP_SECONDS(100000)));
	for (; (t = cp_wheel_take(&m.wheel)); taken++) {
		struct entry *e = (struct entry *)t;

		CHECK(!last || before(last, e));
		last = e;
	}
	CHECK_INT(taken, ==, N);
	CHECK_INT(m.wheel.count, ==, 0);
}

/* Ties fire as they were armed, however far they were when armed and however often moved down. */
TEST(ties_fire_in_the_order_of_arming)
{
	const int64_t one[] = { COOP_SECONDS(50) };
	const int64_t near_by[] = { COOP_SECONDS(50) + 2, COOP_SECONDS(50) + 1, COOP_SECONDS(50) };
	const int64_t slots[] = { COOP_SECONDS(50), COOP_SECONDS(50) + TICK, COOP_SECONDS(50) - 1 };

	/* Steps of 160 ms: those armed last are 2 s away, those armed first 50 s. */
	for (int64_t step = 0; step <= COOP_MILLISECONDS(160); step += COOP_MILLISECONDS(40)) {
		ordered(one, 1, step);
		ordered(near_by, 3, step);
		ordered(slots, 3, step);
	}
	PROVES(B218);
}

/* Deadlines that are past already fire at the next look, in the order of their time. */
TEST(rel_C05_past_deadlines_fire_in_order)
{
	static const int64_t whens[] = { 900, 100, 500, 100, 0, 999, 500 };
	static const int order[] = { 4, 1, 3, 2, 6, 0, 5 };
	struct cp_wheel w;
	struct cp_timer t[7] = { { 0 } };

	cp_wheel_init(&w, COOP_SECONDS(1));
	for (int i = 0; i < 7; i++)
		cp_wheel_arm(&w, &t[i], COOP_MILLISECONDS(whens[i]), CP_TIMER_TASK);
	CHECK(cp_wheel_collect(&w, COOP_SECONDS(1)));
	for (int i = 0; i < 7; i++)
		CHECK(cp_wheel_take(&w) == &t[order[i]]);
	CHECK(!cp_wheel_take(&w));
	PROVES(rel_C05);
}

/* A timer that was collected and is disarmed before it is taken does not fire. */
TEST(rel_C03_disarmed_while_it_is_due)
{
	struct cp_wheel w;
	struct cp_timer t[3] = { { 0 } };

	cp_wheel_init(&w, 0);
	for (int i = 0; i < 3; i++)
		cp_wheel_arm(&w, &t[i], 100 + i, CP_TIMER_TASK);
	CHECK(cp_wheel_collect(&w, 1000));
	CHECK(cp_wheel_take(&w) == &t[0]);
	cp_wheel_disarm(&w, &t[1]);
	cp_wheel_arm(&w, &t[1], 5000, CP_TIMER_TASK);
	CHECK(cp_wheel_take(&w) == &t[2]);
	CHECK(!cp_wheel_take(&w));
	CHECK_INT(w.count, ==, 1);
	CHECK(!cp_wheel_collect(&w, 4999));
	CHECK(cp_wheel_collect(&w, 5000));
	CHECK(cp_wheel_take(&w) == &t[1]);
	PROVES(rel_C03);
}

/* Relative timers that wait for a reading of the clock count from it, and keep their order. */
TEST(fresh_timers_count_from_the_next_reading)
{
	struct cp_wheel w;
	struct cp_timer t[4] = { { 0 } };

	cp_wheel_init(&w, 0);
	cp_wheel_arm_fresh(&w, &t[0], COOP_MILLISECONDS(5), CP_TIMER_TASK);
	cp_wheel_arm_fresh(&w, &t[1], COOP_MILLISECONDS(2), CP_TIMER_TASK);
	cp_wheel_arm_fresh(&w, &t[2], COOP_MILLISECONDS(5), CP_TIMER_TASK);
	cp_wheel_arm_fresh(&w, &t[3], COOP_MILLISECONDS(9), CP_TIMER_TASK);
	cp_wheel_disarm(&w, &t[3]);
	CHECK_INT(w.count, ==, 3);
	CHECK(!cp_wheel_collect(&w, COOP_SECONDS(7)));
	CHECK_INT(cp_timer_when(&t[0]), ==, COOP_SECONDS(7) + COOP_MILLISECONDS(5));
	CHECK(!cp_wheel_collect(&w, COOP_SECONDS(7) + COOP_MILLISECONDS(2) - 1));
	CHECK(cp_wheel_collect(&w, COOP_SECONDS(8)));
	CHECK(cp_wheel_take(&w) == &t[1]);
	CHECK(cp_wheel_take(&w) == &t[0]);
	CHECK(cp_wheel_take(&w) == &t[2]);
	CHECK_INT(w.count, ==, 0);
}

/* ---- the ends of time */

static const int64_t corners[] = {
	1,
	999,
	1000,
	1000000,
	INT32_MAX - 1LL,
	INT32_MAX,
	INT32_MAX + 1LL,
	UINT32_MAX - 1LL,
	UINT32_MAX,
	UINT32_MAX + 1LL,
	INT64_C(1) << 40,
	(INT64_C(1) << 52) - 1,
	INT64_C(1) << 52,
	CP_TIME_MAX / 2,
};
#define CORNERS (sizeof corners / sizeof *corners)

static int sleeps_corner(void *arg)
{
	int64_t duration = *(int64_t *)arg;
	int64_t start = coop_now();
	int r = coop_sleep(duration);

	CHECK_INT(r, ==, 0);
	CHECK_INT(coop_now() - start, ==, duration);
	say("%zu ", (size_t)((const int64_t *)arg - corners));
	return r;
}

/* Sleeps around the limits of narrower types, in nanoseconds and in milliseconds, are exact. */
TASK_TEST(rel_C01_durations_around_the_limits_of_types)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (size_t i = CORNERS; i-- > 0;)
		CHECK_INT(coop_spawn(&g, sleeps_corner, (void *)(uintptr_t)&corners[i]), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("0 1 2 3 4 5 6 7 8 9 10 11 12 13 ");
	CHECK_INT(coop_sleep(COOP_MILLISECONDS(INT32_MAX + 1LL)), ==, 0);
	CHECK_INT(coop_sleep(COOP_MILLISECONDS(UINT32_MAX + 1LL)), ==, 0);
	PROVES(rel_C01);
	return 0;
}

static const int64_t huge[] = { COOP_NEVER, COOP_NEVER - 1, CP_TIME_MAX, CP_TIME_MAX - 1 };

static int sleeps_huge(void *arg)
{
	int64_t duration = *(int64_t *)arg, start = coop_now();
	int r = coop_sleep(duration);

	CHECK(r == COOP_ECANCELED || coop_now() - start >= duration);
	return r;
}

static int waits_huge(void *arg)
{
	struct coop_scope_opts opts = { .timeout_ns = *(int64_t *)arg };
	struct coop_scope s = COOP_SCOPE_INIT;
	int64_t start = coop_now();
	int r;

	CHECK_INT(coop_scope_open(&s, &opts), ==, 0);
	CHECK_INT(coop_effective_deadline(), >, start);
	r = coop_sleep(COOP_NEVER);
	CHECK(!coop_scope_cancel_called(&s) || coop_now() - start >= opts.timeout_ns);
	return coop_scope_close(&s, r);
}

static int waits_for_deadline(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	CHECK_INT(coop_scope_open(&s, NULL), ==, 0);
	CHECK_INT(coop_scope_set_deadline(&s, *(int64_t *)arg), ==, 0);
	r = coop_sleep_until(*(int64_t *)arg);
	CHECK(!coop_scope_cancel_called(&s) || coop_now() >= *(int64_t *)arg);
	return coop_scope_close(&s, r);
}

static int huge_main(void *arg)
{
	static coop_fn *const fns[] = { sleeps_huge, waits_huge, waits_for_deadline };
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, NULL);
	for (size_t i = 0; i < 4; i++)
		for (size_t k = 0; k < 3; k++)
			CHECK_INT(coop_spawn(&g, fns[k], (void *)(uintptr_t)&huge[i]), ==, 0);
	CHECK_INT(coop_sleep(COOP_SECONDS(1)), ==, 0);
	coop_group_cancel(&g, "it would take too long");
	return coop_group_join(&g, 0);
}

/* Times beyond all measure are never, on both clocks: nothing wraps, nothing fires early. */
TEST(rel_C02_huge_times_are_never)
{
	struct coop_run_opts opts = { .clock = COOP_CLOCK_VIRTUAL };

	CHECK_INT(coop_run(huge_main, NULL, &opts), ==, 0);
	PROVES(rel_C01, rel_C02);
}

static int huge_real(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, NULL);
	for (size_t i = 0; i < 4; i++) {
		CHECK_INT(coop_spawn(&g, sleeps_huge, (void *)(uintptr_t)&huge[i]), ==, 0);
		CHECK_INT(coop_spawn(&g, waits_huge, (void *)(uintptr_t)&huge[i]), ==, 0);
	}
	CHECK_INT(coop_sleep(COOP_MICROSECONDS(100)), ==, 0);
	coop_group_cancel(&g, NULL);
	return coop_group_join(&g, 0);
}

TEST(rel_C02_huge_times_on_the_real_clock)
{
	CHECK_INT(coop_run(huge_real, NULL, NULL), ==, 0);
	PROVES(rel_C02);
}

/* ---- the slack of a run */

static int64_t first_ns;
static bool second_has_run;

static int first_of_two(void *arg)
{
	(void)arg;
	CHECK_INT(coop_sleep_until(first_ns), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
	CHECK(second_has_run);
	return 0;
}

static int second_of_two(void *arg)
{
	(void)arg;
	CHECK_INT(coop_sleep_until(first_ns + COOP_MICROSECONDS(48)), ==, 0);
	second_has_run = true;
	return 0;
}

static int twos(void *arg)
{
	(void)arg;
	for (int i = 0; i < 100; i++) {
		struct coop_group g = COOP_GROUP_INIT;

		first_ns = coop_now() + MS(1);
		second_has_run = false;
		coop_group_open(&g, NULL);
		CHECK_INT(coop_spawn(&g, first_of_two, NULL), ==, 0);
		CHECK_INT(coop_spawn(&g, second_of_two, NULL), ==, 0);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
	}
	return 0;
}

/*
 * Two wake-ups less than fifty microseconds apart are one: the loop sleeps on, whatever the
 * kernel's own slack is, which is none for a thread with a real-time policy.
 */
TEST(wake_ups_within_the_slack_are_one)
{
	CHECK_INT(prctl(PR_SET_TIMERSLACK, 1), ==, 0);
	CHECK_INT(coop_run(twos, NULL, NULL), ==, 0);
}

/* A sleep that is almost for ever, alone: it lasts as long as it says. */
TASK_TEST(a_sleep_of_a_lifetime)
{
	int64_t start = coop_now(), duration = CP_TIME_MAX - start - 1;

	CHECK_INT(coop_sleep(duration), ==, 0);
	CHECK_INT(coop_now() - start, ==, duration);
	return 0;
}

/* Nothing wakes who sleeps beyond the last time there is: that is a deadlock, and is said so. */
static int sleeps_beyond(void *arg)
{
	return coop_sleep(*(int64_t *)arg);
}

TEST(beyond_the_end_of_time)
{
	static int64_t durations[] = { COOP_NEVER, CP_TIME_MAX, CP_TIME_MAX - 1 };

	keep_records(COOP_LOG_ERROR);
	for (size_t i = 0; i < 3; i++)
		CHECK_INT(coop_run(sleeps_beyond, &durations[i], &virtual_clock), ==, -EDEADLK);
}

/* A ticker whose period is as long as can be does not wrap either. */
TASK_TEST(rel_C02_a_ticker_without_end)
{
	struct coop_ticker t = COOP_TICKER_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;

	CHECK_INT(coop_ticker_start(&t, COOP_NEVER), ==, 0);
	coop_scope_open(&s, &(struct coop_scope_opts){ .timeout_ns = COOP_SECONDS(5) });
	CHECK_INT(coop_ticker_wait(&t), ==, COOP_ECANCELED);
	PROVES(rel_C02);
	return coop_scope_close(&s, COOP_ECANCELED);
}

/* ---- numbers */

/* A million deadlines, moved again and again: the wheel holds a million, and not one more. */
TEST(a_million_deadlines_that_move)
{
	size_t count = (size_t)TEST_COUNT(1000000, 20000);
	struct cp_timer *t = calloc(count, sizeof *t);
	struct cp_timer *fired;
	int64_t now = COOP_SECONDS(1);
	struct cp_wheel w;
	size_t left = count;

	TEST_SECONDS(60);
	cp_wheel_init(&w, now);
	for (size_t i = 0; i < count; i++)
		cp_wheel_arm(&w, &t[i], now + COOP_SECONDS(30), CP_TIMER_SCOPE);
	for (int round = 0; round < 5; round++) {
		for (size_t i = 0; i < count; i++) {
			cp_wheel_disarm(&w, &t[i]);
			cp_wheel_arm(&w, &t[i], now + COOP_SECONDS(30) + (int64_t)i,
				     CP_TIMER_SCOPE);
		}
		CHECK_INT(w.count, ==, count);
		now += COOP_MILLISECONDS(1);
		CHECK(!cp_wheel_collect(&w, now));
	}
	CHECK(cp_wheel_collect(&w, now + COOP_SECONDS(40)));
	while ((fired = cp_wheel_take(&w))) {
		CHECK(fired == &t[count - left]);
		left--;
	}
	CHECK_INT(left, ==, 0);
	CHECK_INT(w.count, ==, 0);
	for (int level = 0; level < CP_WHEEL_LEVELS; level++)
		for (int slot = 0; slot < CP_WHEEL_SLOTS; slot++)
			CHECK(w.slots[level][slot].next == &w.slots[level][slot]);
	PROVES(B220);
	free(t);
}

/* The same through scopes: a deadline that is moved 10^6 times leaves one timer, then none. */
TASK_TEST(one_deadline_that_moves_a_million_times)
{
	int times = TEST_COUNT(1000000, 20000);
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_run_stats stats;

	coop_scope_open(&s, &(struct coop_scope_opts){ .timeout_ns = COOP_SECONDS(5) });
	for (int i = 0; i < times; i++)
		CHECK_INT(coop_scope_set_deadline(&s, begin_ns + COOP_SECONDS(5) + i), ==, 0);
	CHECK_INT(coop_run_stats(&stats), ==, 0);
	CHECK_INT(stats.timers, ==, 1);
	CHECK_INT(stats.next_deadline_ns, ==, begin_ns + COOP_SECONDS(5) + times - 1);
	CHECK_INT(coop_sleep(COOP_SECONDS(10)), ==, COOP_ECANCELED);
	CHECK_INT(now_ns(), ==, COOP_SECONDS(5) + times - 1);
	CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, 0);
	CHECK_INT(coop_run_stats(&stats), ==, 0);
	CHECK_INT(stats.timers, ==, 0);
	PROVES(B220);
	return 0;
}

static int wake_ups(void *arg)
{
	struct coop_run_stats before, after;
	int64_t start;

	(void)arg;
	for (int i = 0; i < 3; i++) {
		CHECK_INT(coop_run_stats(&before), ==, 0);
		start = coop_now();
		CHECK_INT(coop_sleep(COOP_MICROSECONDS(1900)), ==, 0);
		CHECK_INT(coop_now() - start, >=, COOP_MICROSECONDS(1900));
		CHECK_INT(coop_run_stats(&after), ==, 0);
		CHECK_INT(after.waits - before.waits, >=, 1);
		CHECK_INT(after.waits - before.waits, <=, 2);
	}
	return 0;
}

/* On the real clock a timer costs at most two wake-ups: no spinning in the last millisecond. */
TEST(rel_C04_wake_ups_for_one_timer)
{
	CHECK_INT(coop_run(wake_ups, NULL, NULL), ==, 0);
	PROVES(rel_C04);
}
