/* SPDX-License-Identifier: MIT */
/*
 * coop-bench: one question, one number.
 *
 * Each question is asked in a process of its own, on the core that the caller has pinned it to,
 * with everything at its default: 256 KiB stacks, guards, checkpoints, names. What was done is
 * counted, and a run that did not do its work aborts.
 */
#include <coop.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double result; /* of the question that is being asked */
static long counter;

static void must(int r, int expected)
{
	if (r == expected)
		return;
	fprintf(stderr, "coop-bench: %d where %d was expected\n", r, expected);
	abort();
}

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double now_ns(void)
{
	return seconds(CLOCK_MONOTONIC) * 1e9;
}

static int nothing(void *arg)
{
	(void)arg;
	counter++;
	return 0;
}

static int yields(void *arg)
{
	for (long i = (long)arg; i > 0; i--)
		coop_yield();
	return 0;
}

static void yield_among(int tasks, long each)
{
	struct coop_group g = COOP_GROUP_INIT;
	double start;

	coop_group_open(&g, NULL);
	for (int i = 0; i < tasks; i++)
		must(coop_spawn(&g, yields, (void *)each), 0);
	start = now_ns();
	must(coop_group_join(&g, 0), 0);
	result = (now_ns() - start) / ((double)tasks * (double)each);
}

static void yield(void)
{
	yield_among(2, 5000000);
}

static void yield1000(void)
{
	yield_among(1000, 5000);
}

static void spawn_join(void)
{
	long n = 2000000;
	double start = 0;

	for (long i = -n / 10; i < n; i++) {
		struct coop_group g = COOP_GROUP_INIT;

		if (i == 0)
			start = now_ns();
		coop_group_open(&g, NULL);
		must(coop_spawn(&g, nothing, NULL), 0);
		must(coop_group_join(&g, 0), 0);
	}
	result = (now_ns() - start) / (double)n;
	must(counter == n + n / 10, 1);
}

static void spawn1000(void)
{
	double start = 0;

	for (int i = -100; i < 1000; i++) {
		struct coop_group g = COOP_GROUP_INIT;

		if (i == 0)
			start = now_ns();
		coop_group_open(&g, NULL);
		for (int k = 0; k < 1000; k++)
			must(coop_spawn(&g, nothing, NULL), 0);
		must(coop_group_join(&g, 0), 0);
	}
	result = (now_ns() - start) / 1e6;
	must(counter == 1100000, 1);
}

static void checkpoint(void)
{
	double start = now_ns();
	int r = 0;

	for (int i = 0; i < 20000000; i++)
		r |= coop_checkpoint();
	result = (now_ns() - start) / 2e7;
	must(r, 0);
}

static void scopes(const struct coop_scope_opts *opts)
{
	double start = now_ns();

	for (int i = 0; i < 10000000; i++) {
		struct coop_scope s = COOP_SCOPE_INIT;

		coop_scope_open(&s, opts);
		must(coop_scope_close(&s, 0), 0);
	}
	result = (now_ns() - start) / 1e7;
}

static void scope(void)
{
	scopes(NULL);
}

static void scope_deadline(void)
{
	struct coop_scope_opts opts = { .timeout_ns = COOP_SECONDS(1) };

	scopes(&opts);
}

static int sleeps_for_ever(void *arg)
{
	int r;

	(void)arg;
	counter++;
	r = coop_sleep(COOP_SECONDS(100000));
	counter--;
	return r;
}

static int fails(void *arg)
{
	(void)arg;
	return -EIO;
}

/* The second round is counted: the stacks are there. */
static void cancel10000(void)
{
	for (int round = 0; round < 3; round++) {
		struct coop_group g = COOP_GROUP_INIT;
		double start;

		coop_group_open(&g, NULL);
		for (int i = 0; i < 10000; i++)
			must(coop_spawn(&g, sleeps_for_ever, NULL), 0);
		while (counter < 10000)
			coop_yield();
		start = now_ns();
		must(coop_spawn(&g, fails, NULL), 0);
		must(coop_group_join(&g, 0), -EIO);
		result = (now_ns() - start) / 1e4;
		must((int)counter, 0);
		coop_error_clear();
	}
}

/* Resident memory and page tables, in bytes. */
static double memory(void)
{
	char line[256];
	long rss = 0, pte = 0;
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof line, f)) {
		sscanf(line, "VmRSS: %ld", &rss);
		sscanf(line, "VmPTE: %ld", &pte);
	}
	if (f)
		fclose(f);
	return (double)(rss + pte) * 1024;
}

enum { START, BYTES, TEARDOWN, TOTAL };

static void sleepers(int n, int what)
{
	struct coop_group g = COOP_GROUP_INIT;
	double before = memory(), start = now_ns(), middle;

	coop_group_open(&g, NULL);
	for (int i = 0; i < n; i++)
		must(coop_spawn(&g, sleeps_for_ever, NULL), 0);
	while (counter < n)
		coop_yield();
	result = (now_ns() - start) / n;
	if (what == BYTES)
		result = (memory() - before) / n;
	middle = now_ns();
	coop_group_cancel(&g, "enough");
	must(coop_group_join(&g, 0), 0);
	must((int)counter, 0);
	if (what == TEARDOWN)
		result = (now_ns() - middle) / n;
	if (what == TOTAL)
		result = (now_ns() - start) / 1e9;
}

static void sleepers_start(void)
{
	sleepers(100000, START);
}

static void sleepers_bytes(void)
{
	sleepers(100000, BYTES);
}

static void sleepers_teardown(void)
{
	sleepers(100000, TEARDOWN);
}

static void sleepers_million(void)
{
	sleepers(1000000, TOTAL);
}

/* Tasks that have not begun: what they take beside their reserved, untouched stacks. */
static void pending_bytes(void)
{
	struct coop_group g = COOP_GROUP_INIT;
	double before = memory();

	coop_group_open(&g, NULL);
	for (int i = 0; i < 1000000; i++)
		must(coop_spawn(&g, nothing, NULL), 0);
	result = (memory() - before) / 1e6;
	must(coop_group_join(&g, 0), 0);
	must(counter == 1000000, 1);
}

/* ------------------------------------------------------------------------- timers */

static bool stop;
static long wakes;
static int64_t worst_ns;

static int ticks(void *arg)
{
	uint32_t seed = (uint32_t)(uintptr_t)arg * 2654435761u + 1;

	while (!stop) {
		int64_t due, late;

		seed = seed * 1664525u + 1013904223u;
		due = coop_now() + COOP_MILLISECONDS(1) +
		      (int64_t)(seed >> 8) % COOP_MILLISECONDS(9);
		if (coop_sleep_until(due) < 0)
			return COOP_ECANCELED;
		wakes++;
		late = coop_now() - due;
		if (late > worst_ns)
			worst_ns = late;
	}
	return 0;
}

/* The same by relative sleeps, which read no clock. */
static int ticks_relative(void *arg)
{
	uint32_t seed = (uint32_t)(uintptr_t)arg * 2654435761u + 1;

	while (!stop) {
		seed = seed * 1664525u + 1013904223u;
		if (coop_sleep(COOP_MILLISECONDS(1) + (int64_t)(seed >> 8) % COOP_MILLISECONDS(9)) <
		    0)
			return COOP_ECANCELED;
		wakes++;
	}
	return 0;
}

enum { RATE, CPU, LATE };

static void timers(long n, coop_fn *fn, int what)
{
	struct coop_group g = COOP_GROUP_INIT;
	double start, cpu;
	long before;

	coop_group_open(&g, NULL);
	for (long i = 0; i < n; i++)
		must(coop_spawn(&g, fn, (void *)i), 0);
	must(coop_sleep(COOP_SECONDS(1)), 0); /* the stacks are warm */
	start = now_ns();
	cpu = seconds(CLOCK_THREAD_CPUTIME_ID);
	before = wakes;
	worst_ns = 0;
	must(coop_sleep(COOP_SECONDS(1)), 0);
	result = (double)(wakes - before) / ((now_ns() - start) / 1e9);
	if (what == CPU)
		result = (seconds(CLOCK_THREAD_CPUTIME_ID) - cpu) * 1e9 / (double)(wakes - before);
	if (what == LATE)
		result = (double)worst_ns / 1e3;
	stop = true;
	must(coop_group_join(&g, 0), 0);
}

static void timers100k(void)
{
	timers(100000, ticks_relative, RATE);
}

static void timers2000_cpu(void)
{
	timers(2000, ticks_relative, CPU);
}

static void timers2000_late(void)
{
	timers(2000, ticks, LATE);
}

/* ------------------------------------------------------------------------ skynet */

struct node {
	long first, count, sum;
	bool eager;
};

static int sky(void *arg)
{
	struct node *n = arg, kids[10];
	struct coop_spawn_opts eager = { .eager = true };
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	if (n->count == 1) {
		n->sum = n->first;
		return 0;
	}
	coop_group_open(&g, NULL);
	for (int i = 0; i < 10 && r >= 0; i++) {
		kids[i] = (struct node){ .first = n->first + i * (n->count / 10),
					 .count = n->count / 10,
					 .eager = n->eager };
		r = n->eager ? coop_spawn_with(&g, sky, &kids[i], &eager, NULL)
			     : coop_spawn(&g, sky, &kids[i]);
	}
	r = coop_group_join(&g, r);
	for (int i = 0; i < 10; i++)
		n->sum += kids[i].sum;
	return r;
}

static void skynet_with(bool eager)
{
	struct node top = { .count = 1000000, .eager = eager };
	double start = now_ns();

	must(sky(&top), 0);
	must(top.sum == 499999500000, 1);
	result = (now_ns() - start) / 1e6;
}

static void skynet(void)
{
	skynet_with(false);
}

static void skynet_eager(void)
{
	skynet_with(true);
}

static const struct question {
	const char *name;
	void (*ask)(void);
	const char *unit;
	double reach;
	const char *peer;
	bool slow; /* only when named, or with --all */
} questions[] = {
	{ "yield", yield, "ns", 7, "libdill 18.1", false },
	{ "yield1000", yield1000, "ns", 35, "-", false },
	{ "spawn_join", spawn_join, "ns", 30, "libdill 43.8", false },
	{ "spawn1000", spawn1000, "ns", 20, "libdill 22.4", false },
	{ "scope", scope, "ns", 4, "-", false },
	{ "scope_deadline", scope_deadline, "ns", 15, "-", false },
	{ "checkpoint", checkpoint, "ns", 2, "-", false },
	{ "cancel10000", cancel10000, "ns", 100, "State Threads 118", false },
	{ "sleepers100k_start", sleepers_start, "ns", 1500, "tokio 1668, Go 12110", false },
	{ "sleepers100k_bytes", sleepers_bytes, "B", 4700, "State Threads 4202", false },
	{ "sleepers100k_teardown", sleepers_teardown, "ns", 350, "State Threads 455", false },
	{ "sleepers1m", sleepers_million, "s", 2.5, "State Threads 24", true },
	{ "pending_bytes", pending_bytes, "B", 64, "-", false },
	{ "timers100k", timers100k, "wakes/s", 2e6, "tokio 1.66e6", false },
	{ "timers2000_cpu", timers2000_cpu, "ns", 150, "photon 262", false },
	{ "timers2000_late", timers2000_late, "us", 50, "-", false },
	{ "skynet", skynet, "ms", 300, "tokio 1583 cold", false },
	{ "skynet_eager", skynet_eager, "ms", 150, "tokio 439 warm", false },
};

static int in_task(void *arg)
{
	((const struct question *)arg)->ask();
	return 0;
}

/* Asks in a child process; the number comes back through a pipe. */
static bool ask(const struct question *q, double *value)
{
	int pipes[2], status;
	pid_t pid;
	bool got;

	if (pipe(pipes) < 0)
		return false;
	pid = fork();
	if (pid == 0) {
		must(coop_run(in_task, (void *)(uintptr_t)q, NULL), 0);
		if (write(pipes[1], &result, sizeof result) != sizeof result)
			_exit(1);
		_exit(0);
	}
	close(pipes[1]);
	got = read(pipes[0], value, sizeof *value) == sizeof *value;
	close(pipes[0]);
	return waitpid(pid, &status, 0) == pid && status == 0 && got;
}

static bool wanted(const struct question *q, int argc, char **argv, bool all)
{
	bool named = false;

	for (int i = 1; i < argc; i++) {
		if (argv[i][0] == '-')
			continue;
		named = true;
		if (strcmp(argv[i], q->name) == 0)
			return true;
	}
	return !named && (all || !q->slow);
}

int main(int argc, char **argv)
{
	bool json = false, all = false;
	int failed = 0;
	double value;

	for (int i = 1; i < argc; i++) {
		json |= strcmp(argv[i], "--json") == 0;
		all |= strcmp(argv[i], "--all") == 0;
		if (strcmp(argv[i], "--help") == 0) {
			printf("usage: coop-bench [--json] [--all] [NAME...]\n");
			for (size_t k = 0; k < sizeof questions / sizeof *questions; k++)
				printf("  %s\n", questions[k].name);
			return 0;
		}
	}
	for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
		const struct question *q = &questions[i];

		if (!wanted(q, argc, argv, all))
			continue;
		if (!ask(q, &value)) {
			fprintf(stderr, "coop-bench: %s failed\n", q->name);
			failed = 1;
			continue;
		}
		if (json)
			printf("{\"name\": \"%s\", \"value\": %.4g, \"unit\": \"%s\", \"reach\": "
			       "%g, "
			       "\"peer\": \"%s\"}\n",
			       q->name, value, q->unit, q->reach, q->peer);
		else
			printf("%-24s %12.4g %-8s reach %g\n", q->name, value, q->unit, q->reach);
		fflush(stdout);
	}
	return failed;
}
