/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Help for the tests of selects: a task that waits in one.
 */

#include "../core/core_help.h"

/* A task that selects over up to four cases and notes how that ended. */
struct chooser {
	struct coop_case cases[4];
	int values[4];
	size_t count;
	struct coop_select_opts opts;
	int result;
	bool ended;
	int64_t at_ms;
	struct coop_handle *handle;
};

static inline int chooses(void *arg)
{
	struct chooser *c = arg;

	c->result = coop_select(c->cases, c->count, &c->opts);
	c->ended = true;
	c->at_ms = now_ms();
	return c->result == COOP_ECANCELED ? c->result : 0;
}
