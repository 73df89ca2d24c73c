/* SPDX-License-Identifier: MIT */
/*
 * Questions and figures.
 *
 * A *question* is one measurement that runs once in a process of its own; it gives one or
 * more *figures*. main.c asks a question several times, each time in a fresh process on one
 * core, and shows the median and the spread of each figure.
 *
 * Everything is at its default in a question: 256 KiB stacks, guards, names, checkpoints, the
 * real clock. A question counts what was done and aborts if that is not what was to be done.
 */
#ifndef BENCH_H
#define BENCH_H

#include <coop.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_FIGURES_MAX 6

/* One number that a question gives. */
struct bench_figure {
	const char *name; /* what it is asked for by, beside its question's name */
	const char *what; /* the first column of the table */
	const char *unit;
	double target; /* 0: none, the figure is for information */
	bool more;     /* more is better; else less is */
};

struct bench {
	const char *name;
	void (*ask)(void);
	bool big; /* takes gigabytes: asked when named, or with --all */
	struct bench_figure figures[BENCH_FIGURES_MAX];
};

/* Each file has a list of them, ended by one without a name. */
extern const struct bench bench_switch[];
extern const struct bench bench_scopes[];
extern const struct bench bench_spawn[];
extern const struct bench bench_cancel[];
extern const struct bench bench_sleepers[];
extern const struct bench bench_timers[];
extern const struct bench bench_skynet[];
extern const struct bench bench_channel[];
extern const struct bench bench_sync[];
extern const struct bench bench_io[];
extern const struct bench bench_process[];
extern const struct bench bench_offload[];

/* ------------------------------------------------------------- for questions */

/* Aborts unless `r` is `expected`, saying where. */
void bench_wrong(long r, long expected, const char *file, int line);
static inline void bench_must_at(long r, long expected, const char *file, int line)
{
	if (__builtin_expect(r != expected, 0))
		bench_wrong(r, expected, file, line);
}
#define bench_must(r, expected) bench_must_at((r), (expected), __FILE__, __LINE__)

/* Gives figure number `i` of the question that is being asked. */
void bench_give(int i, double value);

/* Runs fn(NULL) as the main task of a run with default options, or these; it must return 0. */
void bench_run(coop_fn *fn);
void bench_run_with(coop_fn *fn, const struct coop_run_opts *opts);

double bench_now_ns(void);
double bench_cpu_ns(void); /* what this thread has used, in the kernel too */

/* The median of values, which are sorted. */
double bench_median(double *values, size_t count);

/*
 * Nanoseconds of one of the `n` iterations of fn(n, arg): the median of a hundred rounds of about
 * a millisecond, after ten more, so that what else the machine does now and then does not count.
 */
#define BENCH_ROUNDS 110
double bench_rounds(void (*fn)(long n, const void *arg), long n, const void *arg);

/* From /proc: resident memory and page tables together, in bytes; and maps in use. */
double bench_memory(void);
double bench_maps(void);

/* A task that counts itself and ends. */
extern long bench_count;
int bench_nothing(void *arg);

/* ---------------------------------------------------------------- in report.c */

/* What was seen of one figure. */
struct bench_seen {
	const struct bench_figure *figure;
	double *values; /* sorted when shown */
	size_t count;
};

void bench_print_head(int core, int runs);
void bench_print_row(struct bench_seen *seen);
void bench_print_json(const struct bench *question, struct bench_seen *seen, int core);

#endif
