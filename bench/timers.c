/* SPDX-License-Identifier: MIT */
/*
 * Tasks that sleep 1 to 10 ms, at random, again and again.
 *
 * All start at one instant, when every one of them has its stack and is blocked; else the rate
 * would be that of the spawning. 100,000 of them keep a core busy, and the rate counts; 2,000
 * do not, and what a wake-up costs in processor time counts, the kernel's share included.
 * How late they wake is asked apart, since asking reads the clock twice a wake-up. The same is
 * asked with a slack of a millisecond: other libraries wait in whole ones.
 */
#include "bench.h"

#define NAP_MIN_NS COOP_MILLISECONDS(1)
#define NAP_SPAN_NS COOP_MILLISECONDS(9)
#define START_NS COOP_MICROSECONDS(50) /* more than a fresh task takes to start */

static bool stop;
static long wakes;
static int64_t start_at_ns;
static int64_t slack_ns = COOP_MICROSECONDS(50);
static int64_t worst_ns;
static long late; /* by more than the slack */

/* xorshift, one for each task. */
static int64_t nap(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return NAP_MIN_NS + (int64_t)((uint64_t)*seed * (uint64_t)NAP_SPAN_NS >> 32);
}

static uint32_t seed_of(void *arg)
{
	return (uint32_t)(uintptr_t)arg * 2654435761u + 88675123u;
}

static int naps(void *arg)
{
	uint32_t seed = seed_of(arg);

	bench_must(coop_sleep_until(start_at_ns), 0);
	while (!stop) {
		bench_must(coop_sleep(nap(&seed)), 0);
		wakes++;
	}
	return 0;
}

static void note(int64_t by_ns)
{
	bench_must(by_ns >= 0, 1);
	wakes++;
	late += by_ns > slack_ns;
	if (by_ns > worst_ns)
		worst_ns = by_ns;
}

static int naps_until(void *arg)
{
	uint32_t seed = seed_of(arg);

	bench_must(coop_sleep_until(start_at_ns), 0);
	while (!stop) {
		int64_t due = coop_now() + nap(&seed);

		bench_must(coop_sleep_until(due), 0);
		note(coop_now() - due);
	}
	return 0;
}

static int naps_for(void *arg)
{
	uint32_t seed = seed_of(arg);

	bench_must(coop_sleep_until(start_at_ns), 0);
	while (!stop) {
		int64_t by = nap(&seed), due = coop_now() + by;

		bench_must(coop_sleep(by), 0);
		note(coop_now() - due);
	}
	return 0;
}

struct rate {
	double wakes;
	double wall_ns;
	double cpu_ns;
	double late; /* the share later than the slack */
	double worst_ns;
};

/* Lets `n` tasks run for 200 ms, then counts for two seconds. */
static struct rate measure(long n, coop_fn *fn)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct rate rate;
	double wall, cpu;

	start_at_ns = coop_now() + COOP_SECONDS(1) + n * START_NS;
	coop_group_open(&g, NULL);
	for (long i = 0; i < n; i++)
		bench_must(coop_spawn(&g, fn, (void *)(uintptr_t)i), 0);
	coop_yield();
	bench_must(coop_now() < start_at_ns, 1);
	bench_must(coop_sleep_until(start_at_ns + COOP_MILLISECONDS(200)), 0);

	wall = bench_now_ns();
	cpu = bench_cpu_ns();
	wakes = late = worst_ns = 0;
	bench_must(coop_sleep(COOP_SECONDS(2)), 0);
	bench_must(wakes > n, 1);
	rate = (struct rate){ .wakes = (double)wakes,
			      .wall_ns = bench_now_ns() - wall,
			      .cpu_ns = bench_cpu_ns() - cpu,
			      .late = (double)late / (double)wakes,
			      .worst_ns = (double)worst_ns };
	stop = true;
	bench_must(coop_group_join(&g, 0), 0);
	return rate;
}

static int many(void *arg)
{
	struct rate rate = measure(100000, naps);

	(void)arg;
	bench_give(0, rate.wakes / rate.wall_ns * 1e3);
	bench_give(1, rate.cpu_ns / rate.wakes);
	return 0;
}

static int few(void *arg)
{
	struct rate rate = measure(2000, naps);

	(void)arg;
	bench_give(0, rate.cpu_ns / rate.wakes);
	bench_give(1, rate.wakes / rate.wall_ns * 1e6);
	return 0;
}

static int few_until(void *arg)
{
	struct rate rate = measure(2000, naps_until);

	(void)arg;
	bench_give(0, rate.worst_ns / 1e3);
	bench_give(1, rate.late * 1e6);
	return 0;
}

static int few_for(void *arg)
{
	struct rate rate = measure(2000, naps_for);

	(void)arg;
	bench_give(0, rate.worst_ns / 1e3);
	bench_give(1, rate.late * 1e6);
	return 0;
}

static void ask_timers100k(void)
{
	bench_run(many);
}

static void ask_timers2000(void)
{
	bench_run(few);
}

/* One process asks one question, so nobody else sees the longer slack. */
static void ask_with_slack(coop_fn *fn)
{
	struct coop_run_opts opts = { .timer_slack_ns = COOP_MILLISECONDS(1) };

	slack_ns = opts.timer_slack_ns;
	bench_run_with(fn, &opts);
}

static void ask_timers2000_1ms(void)
{
	ask_with_slack(few);
}

static void ask_timers2000_1ms_late(void)
{
	ask_with_slack(few_until);
}

static void ask_timers2000_late(void)
{
	bench_run(few_until);
}

static void ask_timers2000_for(void)
{
	bench_run(few_for);
}

const struct bench bench_timers[] = {
	{ .name = "timers100k",
	  .ask = ask_timers100k,
	  .figures = { { .name = "timers100k",
			 .what = "100,000 sleeping 1-10 ms: wakes",
			 .unit = "M/s",
			 .target = 2,
			 .more = true },
		       { .name = "timers100k_cpu",
			 .what = "  processor time a wake",
			 .unit = "ns" } } },
	{ .name = "timers2000",
	  .ask = ask_timers2000,
	  .figures = { { .name = "timers2000",
			 .what = "2,000 of them: processor time a wake",
			 .unit = "ns",
			 .target = 150 },
		       { .name = "timers2000_rate",
			 .what = "  wakes (364 if none were late)",
			 .unit = "k/s",
			 .more = true } } },
	{ .name = "timers2000_late",
	  .ask = ask_timers2000_late,
	  .figures = { { .name = "timers2000_late",
			 .what = "  latest, sleeping until",
			 .unit = "us",
			 .target = 50 },
		       { .name = "timers2000_late_ppm",
			 .what = "  later than the slack",
			 .unit = "ppm" } } },
	{ .name = "timers2000_1ms",
	  .ask = ask_timers2000_1ms,
	  .figures = { { .name = "timers2000_1ms",
			 .what = "  with a slack of 1 ms: processor time a wake",
			 .unit = "ns",
			 .target = 150 },
		       { .name = "timers2000_1ms_rate",
			 .what = "  wakes (333 if all were that late)",
			 .unit = "k/s",
			 .more = true } } },
	{ .name = "timers2000_1ms_late",
	  .ask = ask_timers2000_1ms_late,
	  .figures = { { .name = "timers2000_1ms_late",
			 .what = "  latest, sleeping until",
			 .unit = "us" },
		       { .name = "timers2000_1ms_late_ppm",
			 .what = "  later than the slack",
			 .unit = "ppm" } } },
	{ .name = "timers2000_for",
	  .ask = ask_timers2000_for,
	  .figures = { { .name = "timers2000_for", .what = "  latest, sleeping for", .unit = "us" },
		       { .name = "timers2000_for_ppm",
			 .what = "  later than the slack",
			 .unit = "ppm" } } },
	{ .name = NULL },
};
