/* SPDX-License-Identifier: MIT */
/* Running scenario programs on coop. */
#ifndef SCENARIO_RUN_H
#define SCENARIO_RUN_H

#include "parse.h"

#include <stdio.h>

/* Runs it once and writes the trace to `out`; a seed of 0 is strict order. */
void program_run(const struct program *program, uint64_t seed, FILE *out);

/* Runs it once for every place where a cancel (or a failed allocation) can be put in.
 * True if nothing was wrong; says how it went on `out`. */
bool program_sweep_cancel(const struct program *program, const char *name, FILE *out);
bool program_sweep_alloc(const struct program *program, const char *name, FILE *out);

#endif
