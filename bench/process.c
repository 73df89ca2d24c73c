/* SPDX-License-Identifier: MIT */
/*
 * What it costs to start /bin/true and to wait for its end, beside posix_spawn and waitpid alone.
 *
 * The two take turns, so that both see the same machine; a figure is the median of its turns, and
 * the ratio is that of the medians. Nearly all of it is the kernel's, and the program's own start.
 */
#include "bench.h"

#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define TURNS 400

static char *argv[] = { (char *)"/bin/true", NULL };

static double by_coop(void)
{
	struct coop_process_opts opts = { .argv = argv };
	double start = bench_now_ns();

	bench_must(coop_process_run(&opts, NULL), 0);
	return bench_now_ns() - start;
}

static double by_posix(void)
{
	double start = bench_now_ns();
	int status = -1;
	pid_t pid;

	bench_must(posix_spawn(&pid, argv[0], NULL, NULL, argv, environ), 0);
	bench_must(waitpid(pid, &status, 0), pid);
	bench_must(status, 0);
	return bench_now_ns() - start;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int take_turns(void *arg)
{
	static double coop[TURNS], posix[TURNS];

	(void)arg;
	by_coop();
	by_posix();
	for (int i = 0; i < TURNS; i++) {
		coop[i] = by_coop();
		posix[i] = by_posix();
	}
	qsort(coop, TURNS, sizeof *coop, by_value);
	qsort(posix, TURNS, sizeof *posix, by_value);
	bench_give(0, bench_median(coop, TURNS) / 1000);
	bench_give(1, bench_median(posix, TURNS) / 1000);
	bench_give(2, bench_median(coop, TURNS) / bench_median(posix, TURNS));
	return 0;
}

static void ask_process(void)
{
	bench_run(take_turns);
}

const struct bench bench_process[] = {
	{ .name = "process",
	  .ask = ask_process,
	  .figures = { { .name = "process", .what = "start /bin/true and wait", .unit = "us" },
		       { .name = "process_posix", .what = "posix_spawn and waitpid", .unit = "us" },
		       { .name = "process_ratio",
			 .what = "the first by the second",
			 .unit = "ratio",
			 .target = 1.2 } } },
	{ .name = NULL },
};
