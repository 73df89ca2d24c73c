/* SPDX-License-Identifier: MIT */
/*
 * How the world wakes the loop: the handler of src/sys/signal.c against the loop of
 * src/core/loop.c with the engine of src/io/epoll.c.
 *
 * The handler counts the signal, then says that something is pending, then makes the wake-up
 * descriptor readable; the loop looks at `pending`, takes it back, takes in what was counted, and
 * when there is nothing sleeps until the descriptor is readable, which it drains. Handlers run at
 * any moment and beside each other, on other threads too: each statement is a step of its own. The
 * orders are acquire and release, and the write and the wait are system calls, so stores are not
 * seen later than here.
 *
 * Checked: every signal is taken in, and counted once; the loop never sleeps for ever over one.
 *
 * Mutants:
 *   M_COUNT_LATE   the handler counts after it has said that something is pending
 *   M_WAKE_EARLY   it wakes the loop before it says so
 *   M_NO_WAKE      it does not wake the loop
 *   M_CLEAR_LATE   the loop takes `pending` back after it has taken in the counts
 *   M_DRAIN_LATE   the loop drains the descriptor before it sleeps and not when it wakes
 *   M_NO_ATOMIC    what was counted is read and set to 0 in two steps
 */
#define SIGNALS 3

byte counted;	/* by handlers, not taken in yet */
bool pending;
bool readable;	/* the wake-up descriptor */
byte taken;

proctype handler()
{
#ifdef M_WAKE_EARLY
	readable = true;
#endif
#ifndef M_COUNT_LATE
	counted++;
#endif
	pending = true;
#ifdef M_COUNT_LATE
	counted++;
#endif
#if !defined(M_WAKE_EARLY) && !defined(M_NO_WAKE)
	readable = true;
#endif
}

inline take_in(n)
{
#ifdef M_NO_ATOMIC
	n = counted;
	counted = 0;
#else
	atomic { n = counted; counted = 0 }
#endif
	taken = taken + n;
	n = 0
}

active proctype loop()
{
	byte n;

	do
	:: taken == SIGNALS -> break
	:: else ->
		if
		:: pending ->
#ifdef M_CLEAR_LATE
			take_in(n);
			pending = false
#else
			pending = false;
			take_in(n)
#endif
		:: else ->
#ifdef M_DRAIN_LATE
			readable = false;
			readable
#else
			readable;		/* sleeps until it is */
			readable = false
#endif
		fi
	od
}

init
{
	byte i;

	atomic {
		for (i : 1 .. SIGNALS) {
			run handler()
		}
	}
}

ltl all_taken { <> (taken == SIGNALS) }
