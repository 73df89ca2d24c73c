/* SPDX-License-Identifier: MIT */
/*
 * What a child costs, from spawn to join.
 *
 * Each child is an ordinary one: on its own stack, not eager. All of it is warm: the same was done
 * before, so stacks and nodes are there.
 */
#include "bench.h"

static void one_each(long n, const void *arg)
{
	(void)arg;
	for (long i = 0; i < n; i++) {
		struct coop_group g = COOP_GROUP_INIT;

		coop_group_open(&g, NULL);
		bench_must(coop_spawn(&g, bench_nothing, NULL), 0);
		bench_must(coop_group_join(&g, 0), 0);
	}
}

static int spawn_join(void *arg)
{
	long n = 40000;

	(void)arg;
	bench_give(0, bench_rounds(one_each, n, NULL));
	bench_must(bench_count, BENCH_ROUNDS * n);
	return 0;
}

static void one_into(long n, const void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, NULL);
	for (long i = 0; i < n; i++) {
		bench_must(coop_spawn(&g, bench_nothing, NULL), 0);
		bench_must(coop_group_wait(&g), 0);
	}
	bench_must(coop_group_join(&g, 0), 0);
}

static int spawn_join_open(void *arg)
{
	long n = 40000;

	(void)arg;
	bench_give(0, bench_rounds(one_into, n, NULL));
	bench_must(bench_count, BENCH_ROUNDS * n);
	return 0;
}

/* A thousand at a time. */
static void thousands(long n, const void *arg)
{
	(void)arg;
	for (long i = 0; i < n; i += 1000) {
		struct coop_group g = COOP_GROUP_INIT;

		coop_group_open(&g, NULL);
		for (int k = 0; k < 1000; k++)
			bench_must(coop_spawn(&g, bench_nothing, NULL), 0);
		bench_must(coop_group_join(&g, 0), 0);
	}
}

static int spawn1000(void *arg)
{
	long n = 100000;

	(void)arg;
	bench_give(0, bench_rounds(thousands, n, NULL));
	bench_must(bench_count, BENCH_ROUNDS * n);
	return 0;
}

/* Ten calls that return at once: the price of the composition, all in all. */
static void gathers(long n, const void *arg)
{
	struct coop_call calls[10];
	struct coop_slot slots[10];

	(void)arg;
	for (int i = 0; i < 10; i++)
		calls[i] = (struct coop_call){ .fn = bench_nothing };
	for (long i = 0; i < n; i++) {
		bench_must(coop_gather(calls, 10, COOP_GATHER_FAIL_FAST, slots), 0);
		bench_must(slots[9].state, COOP_TASK_FINISHED);
	}
}

static int gather10(void *arg)
{
	long n = 5000;

	(void)arg;
	bench_give(0, bench_rounds(gathers, n, NULL));
	bench_must(bench_count, BENCH_ROUNDS * 10 * n);
	return 0;
}

static void ask_spawn_join(void)
{
	bench_run(spawn_join);
}

static void ask_spawn_join_open(void)
{
	bench_run(spawn_join_open);
}

static void ask_spawn1000(void)
{
	bench_run(spawn1000);
}

static void ask_gather10(void)
{
	bench_run(gather10);
}

const struct bench bench_spawn[] = {
	{ .name = "spawn_join",
	  .ask = ask_spawn_join,
	  .figures = { { .name = "spawn_join",
			 .what = "open a group, spawn one, join",
			 .unit = "ns",
			 .target = 30 } } },
	{ .name = "spawn_join_open",
	  .ask = ask_spawn_join_open,
	  .figures = { { .name = "spawn_join_open",
			 .what = "spawn one into an open group, wait",
			 .unit = "ns" } } },
	{ .name = "spawn1000",
	  .ask = ask_spawn1000,
	  .figures = { { .name = "spawn1000",
			 .what = "spawn 1,000, join: each",
			 .unit = "ns",
			 .target = 20 } } },
	{ .name = "gather10",
	  .ask = ask_gather10,
	  .figures = { { .name = "gather10",
			 .what = "gather of 10 trivial calls, all",
			 .unit = "ns",
			 .target = 450 } } },
	{ .name = NULL },
};
