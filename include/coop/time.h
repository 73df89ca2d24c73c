/* SPDX-License-Identifier: MIT */
/*
 * Time: one monotonic clock a run, in nanoseconds; real or virtual.
 *
 * The virtual clock stands still while anything can run and jumps to the next
 * deadline when everything is blocked. The real one is CLOCK_MONOTONIC: it does
 * not count the time a machine is suspended.
 */
#ifndef COOP_TIME_H
#define COOP_TIME_H

#include <coop/base.h>

COOP_BEGIN_DECLS

/**
 * Reads the clock of the run; outside of one, CLOCK_MONOTONIC.
 *
 * Returns nanoseconds, always more than 0.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int64_t coop_now(void);

/**
 * Sleeps `duration_ns` nanoseconds, never less; 0 is a checkpoint; COOP_NEVER is for ever.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, at once.
 * Errors: COOP_ECANCELED, -EINVAL (negative), COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_sleep(int64_t duration_ns);

/**
 * Sleeps until the clock reads `deadline_ns` or more; a past one is a checkpoint.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, at once.
 * Errors: COOP_ECANCELED, COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_sleep_until(int64_t deadline_ns);

/** A rhythm that does not drift. */
struct coop_ticker {
	int64_t _next_ns;
	int64_t _period_ns;
	uint64_t _reserved[2];
};
#define COOP_TICKER_INIT { 0, 0, { 0, 0 } }

/**
 * Starts a ticker whose first tick is one period from now.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (period not positive).   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_ticker_start(struct coop_ticker *ticker, int64_t period_ns);

/**
 * Waits for the next tick. After a stall there is one tick, then the old rhythm.
 *
 * Returns the number of ticks that were missed, 0 when in time.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; the tick is not used up.
 * Errors: COOP_ECANCELED, -EINVAL (never started), COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_ticker_wait(struct coop_ticker *ticker);

COOP_END_DECLS

#endif
