/* SPDX-License-Identifier: MIT */
/*
 * What it costs to give way.
 *
 * yield: two tasks alternate; a figure is one switch from one to the other. A thousand stacks
 * fill the first caches, where their tops must not lie on top of each other; a hundred
 * thousand fit into none.
 */
#include "bench.h"

static int yields(void *arg)
{
	for (long i = *(long *)arg; i > 0; i--) {
		coop_yield();
		bench_count++;
	}
	return 0;
}

struct ring {
	int tasks;
	long each; /* how often each yields */
};

/* `n` switches in all. */
static void turn(long n, const void *arg)
{
	const struct ring *ring = arg;
	struct coop_group g = COOP_GROUP_INIT;
	long each = ring->each;

	bench_count = 0;
	coop_group_open(&g, NULL);
	for (int i = 0; i < ring->tasks; i++)
		bench_must(coop_spawn(&g, yields, &each), 0);
	bench_must(coop_group_join(&g, 0), 0);
	bench_must(bench_count, n);
}

static double switches(int tasks, long each)
{
	struct ring ring = { tasks, each };

	return bench_rounds(turn, tasks * each, &ring);
}

static int yield_two(void *arg)
{
	(void)arg;
	bench_give(0, switches(2, 100000));
	return 0;
}

static int yield_many(void *arg)
{
	(void)arg;
	bench_give(0, switches(1000, 500));
	return 0;
}

/* The first turn touches the stacks, so that the second is a matter of caches only. */
static int yield_very_many(void *arg)
{
	struct ring ring = { 100000, 50 };
	double start;

	(void)arg;
	turn(5000000, &ring);
	start = bench_now_ns();
	turn(5000000, &ring);
	bench_give(0, (bench_now_ns() - start) / 5e6);
	return 0;
}

static void checkpoints(long n, const void *arg)
{
	int r = 0;

	(void)arg;
	for (long i = 0; i < n; i++)
		r |= coop_checkpoint();
	bench_must(r, 0);
}

static int checkpoint(void *arg)
{
	(void)arg;
	bench_give(0, bench_rounds(checkpoints, 500000, NULL));
	return 0;
}

static void ask_yield(void)
{
	bench_run(yield_two);
}

static void ask_yield1000(void)
{
	bench_run(yield_many);
}

static void ask_yield100k(void)
{
	bench_run(yield_very_many);
}

static void ask_checkpoint(void)
{
	bench_run(checkpoint);
}

const struct bench bench_switch[] = {
	{ .name = "yield",
	  .ask = ask_yield,
	  .figures = { { .name = "yield",
			 .what = "yield, task to task",
			 .unit = "ns",
			 .target = 7 } } },
	{ .name = "yield1000",
	  .ask = ask_yield1000,
	  .figures = { { .name = "yield1000",
			 .what = "yield among 1,000 tasks",
			 .unit = "ns",
			 .target = 35 } } },
	{ .name = "yield100k",
	  .ask = ask_yield100k,
	  .figures = { { .name = "yield100k",
			 .what = "yield among 100,000 tasks",
			 .unit = "ns" } } },
	{ .name = "checkpoint",
	  .ask = ask_checkpoint,
	  .figures = { { .name = "checkpoint",
			 .what = "checkpoint, nothing pending",
			 .unit = "ns",
			 .target = 2 } } },
	{ .name = NULL },
};
