/* SPDX-License-Identifier: MIT */
/* Offload, for the calls that stand on it. */
#ifndef CP_OFFLOAD_H
#define CP_OFFLOAD_H

#include "core/core.h"

/*
 * As coop_offload in the lane of files, behind the cancel half of a checkpoint. -EAGAIN, -ENOMEM:
 * there is no thread to be had, and fn was not run.
 */
int cp_offload_file(struct cp_rt *rt, coop_fn *fn, void *arg);

/* May COOP_ON_CANCEL_INTERRUPT be asked for, or does the program handle that signal itself? */
bool cp_offload_can_interrupt(void);

/* Is `sig` the one by which offloads interrupt, and has any done so? Then it is nobody else's. */
bool cp_offload_interrupts(int sig);

#endif
