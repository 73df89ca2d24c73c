/* SPDX-License-Identifier: MIT */
/*
 * coop-bench: what things cost.
 *
 *	coop-bench [--json] [--list] [--all] [--runs N] [--cpu N] [NAME...]
 *
 * Asks each question N times (5), each time in a fresh process that is pinned to one core (the
 * last one it may use), and shows minimum, median and maximum. A name is that of a question or of
 * one of its figures. Questions that take gigabytes are left out unless named, or with --all.
 *
 * --once NAME asks one question once, in this process, and prints its figures: what is run in
 * the child, and what a profiler is to look at.
 */
#include "bench.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNS_MAX 99

static const struct bench *const lists[] = {
	bench_switch, bench_scopes,  bench_spawn, bench_cancel,  bench_sleepers, bench_timers,
	bench_skynet, bench_channel, bench_sync,  bench_process, bench_offload,  bench_io,
};
#define LISTS (sizeof lists / sizeof *lists)

static struct {
	bool json, list, all;
	int runs, core;
	const char *once;
	char **names;
	int names_count;
} opts = { .runs = 5, .core = -1 };

static int figures_of(const struct bench *b)
{
	int n = 0;

	while (n < BENCH_FIGURES_MAX && b->figures[n].name)
		n++;
	return n;
}

/* -------------------------------------------------------------- one process */

static const struct bench *asking;

void bench_give(int i, double value)
{
	printf("%s %.9g %s\n", asking->figures[i].name, value, asking->figures[i].unit);
}

static int once(const char *name)
{
	for (size_t i = 0; i < LISTS; i++)
		for (const struct bench *b = lists[i]; b->name; b++)
			if (strcmp(b->name, name) == 0)
				asking = b;
	if (!asking) {
		fprintf(stderr, "coop-bench: no question \"%s\"; see --list\n", name);
		return 2;
	}
	asking->ask();
	return 0;
}

/* --------------------------------------------------------------- all of them */

/* Reads "name value unit" lines into the figures' values of run number `run`. */
static int take_answer(FILE *in, const struct bench *b, double values[][RUNS_MAX], int run)
{
	char line[256], name[64];
	int got = 0;
	double value;

	while (fgets(line, sizeof line, in)) {
		if (sscanf(line, "%63s %lf", name, &value) != 2)
			continue;
		for (int i = 0; i < figures_of(b); i++)
			if (strcmp(b->figures[i].name, name) == 0) {
				values[i][run] = value;
				got++;
			}
	}
	return got;
}

/* In the child: become the program that asks one question. */
static void become_once(const struct bench *b, int out)
{
	dup2(out, STDOUT_FILENO);
	execl("/proc/self/exe", "coop-bench", "--once", b->name, (char *)NULL);
	perror("coop-bench: exec");
	_exit(127);
}

/* True if the question gave all its figures. */
static bool ask(const struct bench *b, double values[][RUNS_MAX], int run)
{
	int ends[2], status, got;
	pid_t pid;
	FILE *in;

	if (pipe(ends) < 0)
		return false;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		become_once(b, ends[1]);
	}
	close(ends[1]);
	in = fdopen(ends[0], "r");
	got = in ? take_answer(in, b, values, run) : 0;
	if (in)
		fclose(in);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 && got == figures_of(b);
}

static bool named(const char *name)
{
	for (int i = 0; i < opts.names_count; i++)
		if (strcmp(opts.names[i], name) == 0)
			return true;
	return false;
}

static bool figure_wanted(const struct bench *b, const struct bench_figure *f)
{
	return opts.names_count == 0 || named(b->name) || named(f->name);
}

static bool wanted(const struct bench *b)
{
	if (opts.names_count == 0)
		return opts.all || !b->big;
	for (int i = 0; i < figures_of(b); i++)
		if (figure_wanted(b, &b->figures[i]))
			return true;
	return false;
}

/* Asks a question as often as it takes, and shows its figures. */
static int question(const struct bench *b)
{
	double values[BENCH_FIGURES_MAX][RUNS_MAX];

	for (int run = 0; run < opts.runs; run++) {
		if (!ask(b, values, run)) {
			fprintf(stderr, "coop-bench: %s went wrong\n", b->name);
			return 1;
		}
	}
	for (int i = 0; i < figures_of(b); i++) {
		struct bench_seen seen = { .figure = &b->figures[i],
					   .values = values[i],
					   .count = (size_t)opts.runs };

		if (!figure_wanted(b, seen.figure))
			continue;
		if (opts.json)
			bench_print_json(b, &seen, opts.core);
		else
			bench_print_row(&seen);
	}
	fflush(stdout);
	return 0;
}

static int questions(void)
{
	int r = 0;

	if (!opts.json)
		bench_print_head(opts.core, opts.runs);
	for (size_t i = 0; i < LISTS; i++)
		for (const struct bench *b = lists[i]; b->name; b++)
			if (wanted(b))
				r |= question(b);
	return r;
}

static void list_one(const struct bench *b)
{
	for (int i = 0; i < figures_of(b); i++) {
		const struct bench_figure *f = &b->figures[i];

		printf("%-20s %-22s %s%s%s\n", b->name, f->name, f->what + strspn(f->what, " "),
		       *f->unit ? ", " : "", f->unit);
	}
}

static int list(void)
{
	for (size_t i = 0; i < LISTS; i++)
		for (const struct bench *b = lists[i]; b->name; b++)
			list_one(b);
	return 0;
}

/* ------------------------------------------------------------------- options */

/* Pins this process, and so its children, to a core; the last one it may use if it is -1. */
static int pin(int *core)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof set, &set) < 0)
		return -errno;
	for (int i = 0; *core < 0 && i < CPU_SETSIZE; i++)
		if (CPU_ISSET(CPU_SETSIZE - 1 - i, &set))
			*core = CPU_SETSIZE - 1 - i;
	CPU_ZERO(&set);
	CPU_SET(*core, &set);
	return sched_setaffinity(0, sizeof set, &set) < 0 ? -errno : 0;
}

/* The number behind an option, from `min` to `max`; ends the program if it is none. */
static int number(char **argv, int *i, int min, int max)
{
	const char *option = argv[*i], *text = argv[*i + 1];
	char *end = NULL;
	long n = text ? strtol(text, &end, 10) : 0;

	if (!text || end == text || *end || n < min || n > max) {
		fprintf(stderr, "coop-bench: %s takes a number from %d to %d\n", option, min, max);
		exit(2);
	}
	++*i;
	return (int)n;
}

static int usage(FILE *out)
{
	fprintf(out, "usage: coop-bench [--json] [--list] [--all] [--runs N] [--cpu N] [NAME...]\n"
		     "       coop-bench --once QUESTION\n");
	return out == stdout ? 0 : 2;
}

static int take_options(char **argv)
{
	for (int i = 1; argv[i]; i++) {
		if (strcmp(argv[i], "--json") == 0)
			opts.json = true;
		else if (strcmp(argv[i], "--list") == 0)
			opts.list = true;
		else if (strcmp(argv[i], "--all") == 0)
			opts.all = true;
		else if (strcmp(argv[i], "--runs") == 0)
			opts.runs = number(argv, &i, 1, RUNS_MAX);
		else if (strcmp(argv[i], "--cpu") == 0)
			opts.core = number(argv, &i, 0, CPU_SETSIZE - 1);
		else if (strcmp(argv[i], "--once") == 0 && argv[i + 1])
			opts.once = argv[++i];
		else if (argv[i][0] == '-')
			return -EINVAL;
		else
			opts.names[opts.names_count++] = argv[i];
	}
	return 0;
}

/* A name that means nothing is a mistake, and not a question left out. */
static bool known(const char *name)
{
	for (size_t i = 0; i < LISTS; i++)
		for (const struct bench *b = lists[i]; b->name; b++)
			for (int f = 0; f < figures_of(b); f++)
				if (strcmp(b->name, name) == 0 ||
				    strcmp(b->figures[f].name, name) == 0)
					return true;
	fprintf(stderr, "coop-bench: no question or figure \"%s\"; see --list\n", name);
	return false;
}

static int run(void)
{
	int r;

	if (opts.once)
		return once(opts.once);
	if (opts.list)
		return list();
	for (int i = 0; i < opts.names_count; i++)
		if (!known(opts.names[i]))
			return 2;
	r = pin(&opts.core);
	if (r < 0) {
		fprintf(stderr, "coop-bench: core %d: %s\n", opts.core, strerror(-r));
		return 1;
	}
	return questions();
}

int main(int argc, char **argv)
{
	int r;

	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return usage(stdout);
	opts.names = calloc((size_t)argc, sizeof *opts.names);
	if (!opts.names)
		return 1;
	r = take_options(argv) < 0 ? usage(stderr) : run();
	free(opts.names);
	return r;
}
