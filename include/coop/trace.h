/* SPDX-License-Identifier: MIT */
/*
 * Asking a run what it is doing.
 */
#ifndef COOP_TRACE_H
#define COOP_TRACE_H

#include <coop/base.h>

#include <stdio.h>

COOP_BEGIN_DECLS

enum {
	COOP_DUMP_INTERNAL = 1 << 0, /* the runtime's own tasks too */
	COOP_DUMP_TIMES = 1 << 1,    /* how long a task has been blocked */
};

/**
 * Prints the tree of tasks, groups and scopes: deadlines, shields, who is cancelled
 * and why, who is blocked in what and since when.
 *
 * Deterministic on the virtual clock: no addresses.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_ENOTASK, -EIO.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API
int coop_dump(FILE *out, unsigned flags);

/** Numbers of a run. */
struct coop_run_stats {
	uint64_t tasks;          /* alive, the runtime's own excluded */
	uint64_t tasks_internal;
	uint64_t tasks_ready;
	uint64_t tasks_blocked;
	uint64_t spawned;        /* ever */
	uint64_t switches;
	uint64_t timers;         /* armed */
	int64_t next_deadline_ns; /* COOP_NEVER: none */
	uint64_t turns;          /* of the loop */
	uint64_t waits;          /* times it slept */
	uint64_t cancels_delivered;
	uint64_t stacks;         /* slots there are */
	uint64_t stacks_used;    /* by tasks that have begun */
	const char *engine;      /* "epoll", "sim" */
	const char *engine_why;  /* why that one */
	const char *guards;      /* how stacks are guarded */
	bool clock_virtual;
	uint64_t _reserved[8];
};

/**
 * Tells the numbers of the run.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_ENOTASK.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_run_stats(struct coop_run_stats *ret_stats);

COOP_END_DECLS

#endif
