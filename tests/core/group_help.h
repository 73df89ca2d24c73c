/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Help for the tests of groups: tasks that end in all ways, what is in an error and in the numbers
 * of a group, and memory that runs out while a task runs.
 */

#include "core_help.h"

#include "base/os.h"

/* ---- tasks that end in all ways */

static inline int fails_with(void *arg)
{
	return coop_fail((int)(intptr_t)arg, "code %d", (int)(intptr_t)arg);
}

static inline int bare_code(void *arg)
{
	return (int)(intptr_t)arg;
}

/* Fails in its clean-up, when it is cancelled. */
static inline int fails_when_cancelled(void *arg)
{
	int r = coop_sleep(COOP_NEVER);

	CHECK_INT(r, ==, COOP_ECANCELED);
	return coop_fail((int)(intptr_t)arg, "clean-up failed");
}

/* Takes two shielded steps when it is cancelled, and says so. */
static inline int cleans_up(void *arg)
{
	int r = coop_sleep(COOP_NEVER);

	CHECK_INT(coop_shield(sleep_ms, MSARG(3)), ==, 0);
	say("cleaned at %d ", (int)now_ms());
	(void)arg;
	return r;
}

#define CODE(c) ((void *)(intptr_t)(c))

static inline struct coop_error_info info_of(const struct coop_error *error)
{
	struct coop_error_info info;

	coop_error_describe(error, &info);
	return info;
}

static inline int add_code(const struct coop_error *leaf, void *ctx)
{
	char name[64];

	strcat(ctx, coop_code_name(coop_error_code(leaf), name, sizeof name));
	strcat(ctx, " ");
	return 0;
}

/* The codes of all leaves, in order. */
static inline const char *leaves_of(const struct coop_error *error)
{
	static char text[2048];

	text[0] = '\0';
	CHECK_INT(coop_error_leaves(error, add_code, text), ==, 0);
	return text;
}

static inline struct coop_group_stats stats_of(const struct coop_group *g)
{
	struct coop_group_stats stats;

	CHECK_INT(coop_group_stats(g, &stats), ==, 0);
	return stats;
}

/* ---- memory */

/* From now on every allocation fails, or none. */
static inline void no_memory(bool on)
{
	cp_os_faults.alloc_calls = 0;
	cp_os_faults.alloc_fail_at = on ? 1 : 0;
	cp_os_faults.alloc_fail_on = on;
}
