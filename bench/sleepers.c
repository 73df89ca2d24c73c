/* SPDX-License-Identifier: MIT */
/*
 * Many tasks at once, in a process that had none before.
 *
 * They count as asleep when all have run and are blocked. Memory is what the process has more
 * of then, page tables included. Tasks that have not begun are looked at in the same way, before
 * the first of them runs.
 */
#include "bench.h"

static int sleeps(void *arg)
{
	int r;

	(void)arg;
	bench_count++;
	r = coop_sleep(COOP_SECONDS(36000));
	bench_must(r, COOP_ECANCELED);
	bench_count--;
	return r;
}

static long blocked(void)
{
	struct coop_run_stats stats;

	bench_must(coop_run_stats(&stats), 0);
	return (long)stats.tasks_blocked;
}

static long tasks;
static double start_ns, bytes, teardown_ns, maps;

static int sleepers(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	double before = bench_memory(), start = bench_now_ns();

	(void)arg;
	coop_group_open(&g, NULL);
	for (long i = 0; i < tasks; i++)
		bench_must(coop_spawn(&g, sleeps, NULL), 0);
	while (bench_count < tasks)
		coop_yield();
	start_ns = bench_now_ns() - start;
	bytes = bench_memory() - before;
	maps = bench_maps();
	bench_must(blocked() >= tasks, 1);

	start = bench_now_ns();
	coop_group_cancel(&g, "enough");
	bench_must(coop_group_join(&g, 0), 0);
	teardown_ns = bench_now_ns() - start;
	bench_must(bench_count, 0);
	return 0;
}

static void ask_sleepers100k(void)
{
	tasks = 100000;
	bench_run(sleepers);
	bench_give(0, start_ns / (double)tasks);
	bench_give(1, bytes / (double)tasks);
	bench_give(2, teardown_ns / (double)tasks);
}

/* In all: from before the run until after it, when the memory is given back. */
static void ask_sleepers1m(void)
{
	double start = bench_now_ns();

	tasks = 1000000;
	bench_run(sleepers);
	bench_give(0, (bench_now_ns() - start) / 1e9);
	bench_give(1, start_ns / 1e9);
	bench_give(2, teardown_ns / 1e9);
	bench_give(3, bytes / (double)tasks);
	bench_give(4, maps);
}

static int pending(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	double before = bench_memory(), start = bench_now_ns(), took;
	long n = 1000000;

	(void)arg;
	coop_group_open(&g, NULL);
	for (long i = 0; i < n; i++)
		bench_must(coop_spawn(&g, sleeps, NULL), 0);
	took = bench_now_ns() - start;
	bench_must(bench_count, 0);
	bench_give(0, (bench_memory() - before) / (double)n);
	bench_give(1, took / (double)n);

	start = bench_now_ns();
	coop_group_cancel(&g, "enough");
	bench_must(coop_group_join(&g, 0), 0);
	bench_give(2, (bench_now_ns() - start) / (double)n);
	bench_must(bench_count, 0);
	return 0;
}

static void ask_pending(void)
{
	bench_run(pending);
}

const struct bench bench_sleepers[] = {
	{ .name = "sleepers100k",
	  .ask = ask_sleepers100k,
	  .figures = { { .name = "sleepers100k_start",
			 .what = "100,000 asleep: start each",
			 .unit = "ns",
			 .target = 1500 },
		       { .name = "sleepers100k_bytes",
			 .what = "  memory each",
			 .unit = "B",
			 .target = 4700 },
		       { .name = "sleepers100k_teardown",
			 .what = "  cancel and join each",
			 .unit = "ns",
			 .target = 350 } } },
	{ .name = "sleepers1m",
	  .ask = ask_sleepers1m,
	  .big = true,
	  .figures = { { .name = "sleepers1m",
			 .what = "1,000,000 asleep, in all",
			 .unit = "s",
			 .target = 2.5 },
		       { .name = "sleepers1m_start", .what = "  start", .unit = "s" },
		       { .name = "sleepers1m_teardown", .what = "  cancel and join", .unit = "s" },
		       { .name = "sleepers1m_bytes", .what = "  memory each", .unit = "B" },
		       { .name = "sleepers1m_maps", .what = "  maps in use", .unit = "" } } },
	{ .name = "pending",
	  .ask = ask_pending,
	  .figures = { { .name = "pending_bytes",
			 .what = "a task that has not begun",
			 .unit = "B",
			 .target = 64 },
		       { .name = "pending_spawn",
			 .what = "  spawn each of 1,000,000",
			 .unit = "ns" },
		       { .name = "pending_cancel",
			 .what = "  cancel and join each",
			 .unit = "ns" } } },
	{ .name = NULL },
};
