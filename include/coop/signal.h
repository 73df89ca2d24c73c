/* SPDX-License-Identifier: MIT */
/*
 * Signals: received by a task, in order, at a checkpoint.
 *
 * While a receiver is open its signals do nothing else: no default action, no
 * step of coop_main's ladder. Closing it puts back what was there before; a
 * signal that came and was not received is delivered to that again.
 *
 * The same signal twice before it is received counts once, save that real-time signals
 * count one by one; different ones take turns. One runtime of the process owns signals at a time.
 * A forked child has the dispositions from before: its parent's runtime is not there.
 */
#ifndef COOP_SIGNAL_H
#define COOP_SIGNAL_H

#include <coop/base.h>

#include <signal.h>

COOP_BEGIN_DECLS

/** An open receiver; opaque. */
struct coop_signals;

/**
 * Opens a receiver for `count` signals; the same one twice is fine.
 *
 * Returns 0 and a receiver in `ret_signals`, the caller's to close.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (none; a number that is none; SIGKILL, SIGSTOP; SIGSEGV, SIGBUS, SIGILL, SIGFPE),
 *   -EBUSY (a signal has a receiver, or offloads interrupt by it: SIGURG), -ENOMEM,
 *   COOP_EWRONGTHREAD (another runtime owns signals), COOP_ENOTASK, the system's. What was
 *   installed already is put back.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_signals_open(const int *signals, size_t count, struct coop_signals **ret_signals);

/**
 * Receives the next signal.
 *
 * Returns its number.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; no signal was taken.
 * Errors: COOP_ECANCELED, -EBUSY (another task receives), COOP_ECLOSED (also: its run has ended),
 *   COOP_EWRONGTHREAD, COOP_ENOTASK.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_signals_receive(struct coop_signals *signals);

/**
 * Takes a signal that has come already.
 *
 * Returns its number.
 *
 * Checkpoint: never.
 * Errors: -EAGAIN (none), -EBUSY, COOP_ECLOSED, COOP_EWRONGTHREAD, COOP_EFORK.
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_signals_try_receive(struct coop_signals *signals);

/**
 * Closes and frees a receiver; the task that receives gets COOP_ECLOSED. NULL is fine.
 *
 * One that was left open when its run ended has lost its signals then, and can still be closed.
 *
 * Returns NULL.
 *
 * Checkpoint: never.   Errors: none; in another thread than the run's it aborts the program.
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API
struct coop_signals *coop_signals_close(struct coop_signals *signals);

/**
 * Gives the name of a signal: "SIGINT".
 *
 * Returns a text that lives as long as the process; "SIG?" for what is none.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
const char *coop_signal_name(int sig);

COOP_END_DECLS

#endif
