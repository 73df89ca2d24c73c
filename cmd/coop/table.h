/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The tasks of a job with their states, a line each: what `ps` and `tree` print, and a SIGQUIT.
 */

#include "pen.h"
#include "run.h"

/* With a head; tasks of nested coops by their whole names. */
void table_list(const struct job *job, struct pen *pen);

/* With groups; tasks of nested coops are below theirs. */
void table_tree(const struct job *job, struct pen *pen);
