/* SPDX-License-Identifier: MIT */
/* What questions share: clocks, memory, counting. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

long bench_count;

void bench_wrong(long r, long expected, const char *file, int line)
{
	fprintf(stderr, "coop-bench: %s:%d: %ld where %ld was expected\n", file, line, r, expected);
	abort();
}

static double read_clock(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

double bench_now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

double bench_cpu_ns(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

void bench_run(coop_fn *fn)
{
	bench_run_with(fn, NULL);
}

void bench_run_with(coop_fn *fn, const struct coop_run_opts *opts)
{
	bench_must(coop_run(fn, NULL, opts), 0);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(double *values, size_t count)
{
	qsort(values, count, sizeof *values, compare);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

double bench_rounds(void (*fn)(long n, const void *arg), long n, const void *arg)
{
	double rounds[BENCH_ROUNDS], start;
	int warm = 10;

	for (int i = 0; i < BENCH_ROUNDS; i++) {
		start = bench_now_ns();
		fn(n, arg);
		rounds[i] = (bench_now_ns() - start) / (double)n;
	}
	return bench_median(rounds + warm, BENCH_ROUNDS - warm);
}

double bench_memory(void)
{
	char line[256];
	long rss = 0, pte = 0;
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof line, f)) {
		(void)sscanf(line, "VmRSS: %ld", &rss);
		(void)sscanf(line, "VmPTE: %ld", &pte);
	}
	if (f)
		fclose(f);
	bench_must(rss > 0, 1);
	return (double)(rss + pte) * 1024;
}

double bench_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	long maps = 0;
	int c;

	while (f && (c = getc(f)) != EOF)
		maps += c == '\n';
	if (f)
		fclose(f);
	return (double)maps;
}

int bench_nothing(void *arg)
{
	(void)arg;
	bench_count++;
	return 0;
}
