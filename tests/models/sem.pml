/* SPDX-License-Identifier: MIT */
/*
 * The semaphore of src/sync/sem.c over the wait queue of src/core/park.h.
 *
 * Tasks of one runtime: a step between two parks is atomic. A task that has to wait puts its entry
 * at the end of the queue and parks. A release takes the first entry out and wakes its task with
 * the permit, or counts. A cancel finds the task parked, takes its entry out and wakes it with
 * nothing; or finds it woken already, and changes nothing: completion wins.
 *
 * Checked: permits are conserved and never exceed their number; they go to those who wait in the
 * order in which they came, with nobody in between; nobody waits for ever; no entry stays behind.
 *
 * Mutants, one a rule:
 *   M_LOSE    a cancel makes a task return cancelled that had been woken with a permit
 *   M_STALE   a cancelled task leaves its entry in the queue
 *   M_BARGE   a release counts the permit, too, though somebody waits
 *   M_LIFO    the last who came is served first
 *   M_ONE     the release of two permits wakes only the first who waits
 */
#define TASKS 3
#define PERMITS 2

mtype = { FREE, PARKED, WOKEN };

mtype state[TASKS] = FREE;
bool granted[TASKS];	/* what it was woken with: a permit, or a cancellation */
bool cancelled[TASKS];
byte ticket[TASKS];	/* its turn among those who have waited */
byte next_ticket = 1, served;
chan queue = [TASKS] of { byte };

byte count = PERMITS;
byte held;		/* permits in the hands of tasks, woken ones included */
byte ended;

/* Holds between any two steps. */
inline check()
{
	assert(count + held == PERMITS);
	assert(count == 0 || empty(queue))
}

/* The first in the queue is woken with the permit that is in the releaser's hand. */
inline wake_first(who, n)
{
#ifdef M_LIFO
	n = len(queue);
	do
	:: n > 1 -> queue?who; queue!who; n--
	:: else -> break
	od;
#endif
	queue?who;
	assert(state[who] == PARKED);
	assert(ticket[who] > served);
	served = ticket[who];
	granted[who] = true;
	state[who] = WOKEN
}

inline release_one(who, n)
{
	if
	:: nempty(queue) ->
		wake_first(who, n);
#ifdef M_BARGE
		count++
#endif
	:: empty(queue) -> count++; held--
	fi
}

proctype task(byte me)
{
	byte who, n;
	bool mine;

	/* acquire */
	atomic {
		if
		:: cancelled[me] -> goto out		/* the checkpoint: nothing is done */
		:: !cancelled[me] && count > 0 -> count--; held++; mine = true
		:: !cancelled[me] && count == 0 ->
			ticket[me] = next_ticket;
			next_ticket++;
			state[me] = PARKED;
			queue!me
		fi;
		check()
	}
	if
	:: mine
	:: !mine ->
		atomic { state[me] == WOKEN -> mine = granted[me]; state[me] = FREE }
#ifdef M_LOSE
		if
		:: cancelled[me] -> mine = false
		:: else
		fi
#endif
	fi;
	/* hold it over a park, and give it back */
	if
	:: mine ->
		skip;
		atomic { mine = false; release_one(who, n); check() }
	:: !mine
	fi;
out:
	ended++
}

/* Takes all there are without waiting, and gives them back in one call. */
proctype taker()
{
	byte who, n, took;

	atomic {
		took = count;
		held = held + count;
		count = 0
	}
	atomic {
#ifdef M_ONE
		if
		:: took > 1 -> release_one(who, n); count = count + took - 1; held = held - took + 1; took = 0
		:: else
		fi;
#endif
		do
		:: took > 0 -> release_one(who, n); took--
		:: else -> break
		od;
		check()
	}
	ended++
}

proctype canceller(byte who)
{
	byte n, at;

	if
	:: atomic {
		cancelled[who] = true;
		if
		:: state[who] == PARKED ->
#ifndef M_STALE
			n = len(queue);
			do
			:: n > 0 ->
				queue?at;
				if
				:: at != who -> queue!at
				:: else
				fi;
				n--
			:: else -> break
			od;
#endif
			granted[who] = false;
			state[who] = WOKEN
		:: else
		fi;
		check() }
	:: skip
	fi
}

init
{
	byte i;

	atomic {
		run taker();
		for (i : 0 .. TASKS - 1) {
			run task(i);
			run canceller(i)
		}
	}
	ended == TASKS + 1;
	assert(count == PERMITS && held == 0 && empty(queue))
}

ltl all_end { <> (ended == TASKS + 1) }
