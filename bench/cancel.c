/* SPDX-License-Identifier: MIT */
/*
 * One of a group fails, and 10,000 blocked ones are cancelled: from the spawn of the one that
 * fails until the join has returned, by blocked task.
 *
 * They are blocked for ever, or in a sleep of an hour, where each has a timer to be taken back as
 * well. Their stacks fill more than the second cache: misses are a good part of the price.
 */
#include "bench.h"

#define TASKS 10000
#define ROUNDS 9

static int64_t nap_ns;

static int sleeps(void *arg)
{
	int r;

	(void)arg;
	bench_count++;
	r = coop_sleep(nap_ns);
	bench_must(r, COOP_ECANCELED);
	bench_count--;
	return r;
}

static int fails(void *arg)
{
	(void)arg;
	return -EIO;
}

static double cancel_once(void)
{
	struct coop_group g = COOP_GROUP_INIT;
	double start, took;

	coop_group_open(&g, NULL);
	for (int i = 0; i < TASKS; i++)
		bench_must(coop_spawn(&g, sleeps, NULL), 0);
	while (bench_count < TASKS)
		coop_yield();
	start = bench_now_ns();
	bench_must(coop_spawn(&g, fails, NULL), 0);
	bench_must(coop_group_join(&g, 0), -EIO);
	took = bench_now_ns() - start;
	bench_must(bench_count, 0);
	coop_error_clear();
	return took / TASKS;
}

static double first, later;

static int cancel_rounds(void *arg)
{
	double took[ROUNDS];

	(void)arg;
	first = cancel_once();
	for (int i = 0; i < ROUNDS; i++)
		took[i] = cancel_once();
	later = bench_median(took, ROUNDS);
	return 0;
}

static void ask_cancel10000(void)
{
	nap_ns = COOP_NEVER;
	bench_run(cancel_rounds);
	bench_give(0, later);
	bench_give(1, first);
}

static void ask_cancel10000_timed(void)
{
	nap_ns = COOP_SECONDS(3600);
	bench_run(cancel_rounds);
	bench_give(0, later);
}

const struct bench bench_cancel[] = {
	{ .name = "cancel10000",
	  .ask = ask_cancel10000,
	  .figures = { { .name = "cancel10000",
			 .what = "cancel 10,000, one failed: each",
			 .unit = "ns",
			 .target = 100 },
		       { .name = "cancel10000_first",
			 .what = "  the first time in a process",
			 .unit = "ns" } } },
	{ .name = "cancel10000_timed",
	  .ask = ask_cancel10000_timed,
	  .figures = { { .name = "cancel10000_timed",
			 .what = "  in a sleep with an end",
			 .unit = "ns",
			 .target = 100 } } },
	{ .name = NULL },
};
