/* SPDX-License-Identifier: MIT */
/*
 * What it costs to have a function run in a thread: a task offloads one that does nothing, and has
 * its result. Beside it, taking turns in pieces of the same length, what a round trip to a thread
 * costs at least: two threads that wake each other by a futex, and do nothing else. Once on one
 * core as all questions here, where each wake-up is a switch; and once on all cores, where the
 * thread may sleep elsewhere.
 */
#include "bench.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PIECES 40
#define TRIPS 2500 /* in a piece */

/* ------------------------------------------------------------- two threads, a futex each */

static uint32_t there, back;
static uint32_t last; /* trips, and the thread ends */

static void sleep_until(uint32_t *word, uint32_t n)
{
	uint32_t now;

	while ((now = __atomic_load_n(word, __ATOMIC_ACQUIRE)) != n)
		syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0);
}

static void wake_with(uint32_t *word, uint32_t n)
{
	__atomic_store_n(word, n, __ATOMIC_RELEASE);
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *answer(void *arg)
{
	(void)arg;
	for (uint32_t n = 1; n <= last; n++) {
		sleep_until(&there, n);
		wake_with(&back, n);
	}
	return NULL;
}

static double bare_piece(void)
{
	uint32_t from = there;
	double start = bench_now_ns();

	for (uint32_t n = from + 1; n <= from + TRIPS; n++) {
		wake_with(&there, n);
		sleep_until(&back, n);
	}
	return bench_now_ns() - start;
}

/* --------------------------------------------------------------------------- offloads */

static long ran;

static int nothing(void *arg)
{
	(void)arg;
	ran++;
	return 0;
}

static double offload_piece(void)
{
	double start = bench_now_ns();

	for (int i = 0; i < TRIPS; i++)
		bench_must(coop_offload(nothing, NULL), 0);
	return bench_now_ns() - start;
}

static int both(void *arg)
{
	double ours = 0, bare = 0;
	pthread_t thread;

	(void)arg;
	last = (PIECES + 1) * TRIPS;
	bench_must(pthread_create(&thread, NULL, answer, NULL), 0);
	bare_piece();
	offload_piece();
	for (int i = 0; i < PIECES; i++) {
		bare += bare_piece();
		ours += offload_piece();
	}
	bench_must(pthread_join(thread, NULL), 0);
	bench_must(ran, (PIECES + 1) * TRIPS);
	bench_give(0, ours / PIECES / TRIPS);
	bench_give(1, bare / PIECES / TRIPS);
	bench_give(2, ours / bare);
	return 0;
}

static void ask_one_core(void)
{
	bench_run(both);
}

static void ask_all_cores(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (int i = 0; i < CPU_SETSIZE; i++)
		CPU_SET(i, &set);
	bench_must(sched_setaffinity(0, sizeof set, &set), 0);
	bench_run(both);
}

const struct bench bench_offload[] = {
	{ .name = "offload",
	  .ask = ask_one_core,
	  .figures = { { .name = "offload_trip", .what = "offload, there and back", .unit = "ns" },
		       { .name = "futex_trip", .what = "  two threads, by futex", .unit = "ns" },
		       { .name = "offload_ratio",
			 .what = "  ratio",
			 .unit = "",
			 .target = 1.3 } } },
	{ .name = "offload_cores",
	  .ask = ask_all_cores,
	  .figures = { { .name = "offload_trip_cores",
			 .what = "offload on all cores",
			 .unit = "ns" },
		       { .name = "futex_trip_cores",
			 .what = "  two threads, by futex",
			 .unit = "ns" },
		       { .name = "offload_ratio_cores",
			 .what = "  ratio",
			 .unit = "",
			 .target = 1.3 } } },
	{ .name = NULL },
};
