/* SPDX-License-Identifier: MIT */
/*
 * Where coop says what it has to say: one record, one line.
 *
 * The library never prints by itself but through this sink, with one
 * exception: a program whose structure is broken gets its last words on
 * standard error before it is aborted. The default sink writes one line a
 * record to standard error: "coop: warning: text".
 */
#ifndef COOP_LOG_H
#define COOP_LOG_H

#include <coop/base.h>

COOP_BEGIN_DECLS

enum coop_log_level {
	COOP_LOG_ERROR, /* something was lost or refused */
	COOP_LOG_WARN,  /* a harmless error of a group, a shutdown begins, a task that ignores it */
	COOP_LOG_INFO,  /* further phases of a shutdown, the engine chosen and why */
	COOP_LOG_DEBUG,
};

/** Gets one record, a line without its end; must neither suspend nor call into coop. */
typedef void coop_log_fn(enum coop_log_level level, const char *text, void *ctx);

/**
 * Sets the sink of the process, and the least important level it gets.
 *
 * `sink` NULL is the default one. `ctx` is kept until the next call. The level
 * at start is COOP_LOG_WARN, or what the environment variable COOP_LOG names:
 * error, warn, info, debug.
 *
 * Returns nothing.
 *
 * Checkpoint: never.   Errors: none.   Thread: any; not while a run is going on
 * in another thread.   Since: 0.1
 */
COOP_API
void coop_log_set(coop_log_fn *sink, void *ctx, enum coop_log_level level);

/**
 * Writes one record to the sink; a text that is too long (1,000 bytes) is cut.
 *
 * Returns nothing.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_PRINTF(2, 3)
void coop_log(enum coop_log_level level, const char *fmt, ...);

COOP_END_DECLS

#endif
