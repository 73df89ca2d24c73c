/* SPDX-License-Identifier: MIT */
/*
 * What the peers written in C and C++ share.
 *
 * A peer answers one question in one process: `peer QUESTION` prints "figure value" lines with the
 * names and units of coop-bench, and exits with 64 if the question means nothing to it.
 */
#ifndef PEER_H
#define PEER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PEER_NO_ANSWER 64

static inline double peer_clock(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline double now_ns(void)
{
	return peer_clock(CLOCK_MONOTONIC);
}

static inline double cpu_ns(void)
{
	return peer_clock(CLOCK_PROCESS_CPUTIME_ID);
}

static inline void give(const char *name, double value)
{
	printf("%s %.9g\n", name, value);
}

static inline void must(int ok)
{
	if (ok)
		return;
	fprintf(stderr, "peer: the work was not done\n");
	abort();
}

/* Resident memory and page tables together. */
static inline double memory(void)
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
	return (double)(rss + pte) * 1024;
}

/* 1 to 10 ms at random, in microseconds. */
static inline uint32_t nap_us(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return 1000 + (uint32_t)((uint64_t)*seed * 9000 >> 32);
}

static inline uint32_t seed_of(long i)
{
	return (uint32_t)i * 2654435761u + 88675123u;
}

struct peer_question {
	const char *name;
	void (*ask)(void);
};

static inline int peer_main(int argc, char **argv, const struct peer_question *questions)
{
	for (const struct peer_question *q = questions; argc == 2 && q->name; q++) {
		if (strcmp(q->name, argv[1]) == 0) {
			q->ask();
			return 0;
		}
	}
	return PEER_NO_ANSWER;
}

#endif
