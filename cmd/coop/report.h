/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The report at the end of a job: who failed first, who was cancelled because of what, who failed
 * while being stopped, with durations and the last lines of output; as a tree or as JSON.
 */

#include "pen.h"
#include "screen.h"

/* Into `pen`, for `columns` columns (0: any number); what the plan's --report wants, if there is
 * something to say. */
void report_write(const struct job *job, int status, bool has_colours, size_t columns,
		  struct pen *pen);

const char *report_outcome_word(enum run_outcome outcome);
