/* SPDX-License-Identifier: MIT */
/*
 * The join of a group: src/core/group_join.c, group_end.c, spawn.c and start.c.
 *
 * `live` counts the body, the normal children and the pending start; the join waits until it is 0,
 * then tells the services that their users are gone and waits for those. Children may spawn into
 * the group as long as it is usable, also while it is being joined. A foreign task starts a child
 * with a handshake: until it says that it is ready it belongs to the start, then it is moved,
 * unless the start was cancelled before. Tasks of one runtime: a step between two parks is atomic.
 *
 * Checked: when the join returns, all whom the group has accepted have ended, and nobody is
 * accepted after that; it returns; so does the start, with a child that has ended or been moved;
 * each failure is reported once, to the start or to the group; a failure cancels the group.
 *
 * Mutants:
 *   M_JOIN_EARLY      the join is over while one child is left
 *   M_NO_PENDING      a pending start does not keep the group open
 *   M_ACCEPT_DRAINED  a group in its join takes children when nobody is left in it
 *   M_ADOPT           a child that is ready after its start was cancelled is moved
 *   M_TWICE           an early failure is the start's, and the group's as well
 *   M_SERVICE_LIVE    services count like normal children
 *   M_FORGET_SERVICE  the join does not wait for services
 *   M_NO_WAKE         the start's end does not wake a join that waited for it
 *   M_NO_CANCEL       a failure cancels nobody
 */
#define CHILDREN 3

mtype = { RUNS, PARKED };

/* The group. */
byte live = 1;			/* its body */
byte services;
byte spawned;			/* by spawn, to bound the model */
byte accepted, gone;		/* children of all kinds, moved ones included */
byte failures, reported;
bool group_failed, cancelled;
bool joining, draining, closed;
mtype host_state = RUNS;

/* The start. */
bool start_cancelled;		/* the scope around it */
bool in_start;			/* its child has not been moved, nor ended */
bool child_failed;		/* while it was in_start */
bool was_moved;
bool moved_late;		/* it was moved after the start had been cancelled */
mtype starter_state = RUNS;

#ifdef M_ACCEPT_DRAINED
#define USABLE (!closed)
#else
#define USABLE (!closed && !(joining && live == 0))
#endif

#ifdef M_JOIN_EARLY
#define EMPTY (live <= 1)
#else
#define EMPTY (live == 0)
#endif

inline fail_group()
{
	failures++;
	reported++;
	group_failed = true;
#ifndef M_NO_CANCEL
	cancelled = true
#endif
}

/* One of those that the join waits for is gone. */
inline left()
{
	live--;
	if
	:: EMPTY && joining && !draining && host_state == PARKED -> host_state = RUNS
	:: else
	fi
}

inline service_left()
{
	services--;
	if
	:: services == 0 && live == 0 && draining && host_state == PARKED -> host_state = RUNS
	:: else
	fi
}

/* A spawn is refused, or what it makes is in the group from now on. */
inline spawn(service)
{
	if
	:: USABLE && spawned < CHILDREN ->
		spawned++;
		accepted++;
#ifdef M_SERVICE_LIVE
		live++;
#else
		if
		:: service -> services++
		:: else -> live++
		fi;
#endif
		run child(service)
	:: else
	fi
}

inline child_left(service)
{
	gone++;
#ifdef M_SERVICE_LIVE
	left()
#else
	if
	:: service -> service_left()
	:: else -> left()
	fi
#endif
}

proctype child(bool service)
{
	bool fails, sleeps;

	if
	:: atomic { spawn(false) }
	:: skip
	fi;
	if
	:: fails = true
	:: sleeps = !service
	:: skip
	fi;
	atomic {
		/* a sleeper ends when it is cancelled, a service when its users are gone */
		fails || (service -> draining : !sleeps || cancelled) ->
		if
		:: fails -> fail_group()
		:: else
		fi;
		child_left(service)
	}
}

/* The child of the start: says that it is ready, or does not, and ends. */
proctype started_child()
{
	if
	:: atomic {
#ifdef M_ADOPT
		if
		:: true ->
#else
		if
		:: !start_cancelled ->
#endif
			assert(!closed);
			in_start = false;
			was_moved = true;
			moved_late = start_cancelled;
			accepted++;		/* in the place of the pending start */
#ifdef M_NO_PENDING
			live++;
#endif
			starter_state = RUNS
#ifndef M_ADOPT
		:: else
#endif
		fi }
	:: skip
	fi;
	if
	:: atomic { in_start -> in_start = false; starter_state = RUNS }
	:: atomic { in_start ->
		child_failed = true;
		failures++;
#ifdef M_TWICE
		reported++;
#endif
		in_start = false;
		starter_state = RUNS }
	:: atomic { !in_start -> gone++; left() }
	:: atomic { !in_start -> gone++; fail_group(); left() }
	fi
}

proctype starter()
{
	atomic {
		if
		:: USABLE ->
#ifndef M_NO_PENDING
			live++;
#endif
			in_start = true;
			starter_state = PARKED;
			run started_child()
		:: else -> goto refused
		fi
	}
	atomic {
		starter_state == RUNS ->
		assert(!in_start && !moved_late);
		if
		:: child_failed -> reported++
		:: else
		fi;
		/* the pending start is over; a child that was moved counts for itself */
		if
		:: !was_moved ->
#if defined(M_NO_WAKE)
			live--
#elif !defined(M_NO_PENDING)
			left()
#else
			skip
#endif
		:: else
		fi
	}
refused:
	skip
}

/* Leaves the scope around the start in peace, or cancels it, and then the group. */
proctype outsider()
{
	if
	:: start_cancelled = true
	:: skip
	fi;
	cancelled = true
}

active proctype host()
{
	run starter();
	run outsider();
	atomic { spawn(false) };
	if
	:: atomic { spawn(true) }
	:: skip
	fi;
	if
	:: atomic { fail_group() }	/* the body */
	:: skip
	fi;
	atomic {
		joining = true;
		live--;
		if
		:: !EMPTY -> host_state = PARKED
		:: else
		fi
	}
	atomic {
		host_state == RUNS ->
		assert(live == 0);
		draining = true;
#ifndef M_FORGET_SERVICE
		if
		:: services -> host_state = PARKED
		:: else
		fi
#endif
	}
	atomic {
		host_state == RUNS ->
		assert(live == 0 && services == 0);
		assert(accepted == gone);
		assert(failures == reported);
		assert(!group_failed || cancelled);
		closed = true
	}
}

ltl joins { <> closed }
