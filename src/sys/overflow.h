/* SPDX-License-Identifier: MIT */
/*
 * The report of a stack that was used up.
 *
 * A task that runs into its guard faults. The handler says whose stack it was, and
 * then leaves the fault to whoever would have had it: a handler that was there before,
 * or the kernel, whose core dump shows the place.
 */
#ifndef CP_OVERFLOW_H
#define CP_OVERFLOW_H

#include "base/base.h"

/*
 * Handlers for SIGSEGV and SIGBUS, and for the calling thread a stack to run them on.
 * Pairs with cp_overflow_remove on the same thread; threads may do so independently.
 * 0, or a negative errno with nothing changed.
 */
int cp_overflow_install(void);
void cp_overflow_remove(void);

/*
 * Set once by whoever knows the tasks, before the first install. Writes what runs on
 * the stack with this top, as it shall stand in the sentence: task "name" (spawned at
 * file.c:12). Called in the handler: async-signal-safe, on a stack of its own.
 */
extern void (*cp_overflow_describe)(const void *top, char *buf, size_t size);

#endif
