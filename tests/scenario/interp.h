/* SPDX-License-Identifier: MIT */
/* Running a program on coop, and what is watched while it runs. */
#ifndef SCENARIO_INTERP_H
#define SCENARIO_INTERP_H

#include "parse.h"

#include <coop/run.h>

#include <stdio.h>

/* One run of a program. */
struct run {
	const struct program *program;
	struct place *places; /* what tasks meet at, by index; meet.c */
	FILE *out;            /* NULL: no trace */
	bool is_sweep;        /* errors of leaves are looked at */
	bool may_lack;        /* and one of them may be that there is no memory */

	int64_t start_ns;
	int64_t end_ms;                  /* when main ended, or all was blocked */
	bool deadlocked;                 /* nothing is done or printed any more */
	uint64_t accepted, begun, ended; /* tasks: equal in the end */
	char wrong[200];                 /* the first thing that must not be; "": nothing */
};

/* As they have to be for the language; the seed is the caller's. */
struct coop_run_opts interp_opts(const struct program *program);

/* The main task; arg is the struct run, which it sets to the start. */
int interp_main(void *arg);

/* What is wrong with a run that has ended; NULL: nothing. */
const char *interp_wrong(struct run *run);

#endif
