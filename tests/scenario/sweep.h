/* SPDX-License-Identifier: MIT */
/* Sweeps: a program run once for every place where something can go wrong. */
#ifndef SCENARIO_SWEEP_H
#define SCENARIO_SWEEP_H

#include "parse.h"

#include <stdio.h>

/*
 * Print `NAME: N runs, M injected: ok`, or what is wrong. Return whether all was well. `seed`
 * is that of every run.
 */
bool sweep_cancel(const struct program *program, const char *name, uint64_t seed, FILE *out);
bool sweep_alloc(const struct program *program, const char *name, uint64_t seed, FILE *out);

#endif
