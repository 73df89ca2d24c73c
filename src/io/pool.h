/* SPDX-License-Identifier: MIT */
/*
 * The pool: threads of the process that do work which blocks, in lanes.
 *
 * Work lies in memory of whoever submits it. A lane gives it to the thread that became idle last,
 * so that the others can die of having nothing to do; else to a new thread, while there are
 * fewer than its limit; else it waits in the lane. A thread that waits itself, for its task to run
 * something, does not count: so work that is submitted there finds a thread, whatever the limit.
 *
 * Invariants, under the lock of the lane
 *   1. While work waits, no thread is idle, and as many are at work as may be.
 *   2. Work is waiting, or it was given to one thread, which it can no longer be taken from.
 *   3. A thread is in the list of the idle ones, or has work, or is ending.
 */
#ifndef CP_POOL_H
#define CP_POOL_H

#include "base/os.h"

#include <coop/thread.h>

/* The directed signal of COOP_ON_CANCEL_INTERRUPT: ignored where it strays. */
#define CP_INTERRUPT_SIGNAL SIGURG

struct cp_work {
	struct cp_work *next; /* of those that wait in the lane */
	struct cp_work *prev;
	bool waits;
	enum coop_lane lane;
	int64_t since_ns;
	void (*run)(struct cp_work *work);
	/* When the thread has chosen what it does next. Short; `work` may be gone after it. */
	void (*done)(struct cp_work *work);
};

/* The calling thread's, for whoever needs it; closed when the thread ends. */
extern __thread struct cp_os_alarm cp_pool_alarm;

/* 0; or what the system has against a thread, if the lane has none and so never would run it. */
int cp_pool_submit(struct cp_work *work);
/* True: it had not begun and never will. */
bool cp_pool_withdraw(struct cp_work *work);
/* The calling thread, of that lane, waits for others, or goes on. */
void cp_pool_calling(enum coop_lane lane, bool calling);

#endif
