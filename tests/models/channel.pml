/* SPDX-License-Identifier: MIT */
/*
 * A channel of one run: senders, receivers, a buffer of 0, 1 or 2 places (0: rendezvous), each
 * task cancelled at any moment or never, the send side closed at any moment, the receive side too.
 * Tasks take turns, so what one does between two waits is atomic; but a task that has been woken
 * runs only later, and a cancel may come in between.
 *
 * Checks: a value is in one place, and in the end with who took it or still with who could not send
 * it; values and waiting tasks are served in the order in which they came; nobody waits while he
 * could be served; the end is told when nothing is left, and then to all. Everybody ends: each step
 * uses something up, so no run is endless, and a run that stops early is an invalid end state.
 *
 * Mutants: M_CANCEL_TAKES_BACK M_CANCEL_SPENDS M_STALE M_NO_REFILL M_LAST_FIRST
 * M_CLOSE_SPARES_SENDERS M_CLOSE_SPARES_RECEIVERS M_END_TOO_EARLY M_CLOSED_SENDER_SENDS
 */
#define NS 2      /* senders */
#define NR 2      /* receivers */
#define TASKS 4   /* NS + NR */
#define VALUES 3  /* the first sender sends two, the second one; and so for receivers */
#define NOBODY 255

mtype = { RUNNING, WAITING, SERVED, CANCELLED, ENDED };  /* a task, or how its wait ended */
mtype = { MINE, BUFFERED, TAKEN, DESTROYED };            /* a value: sender's, channel's, receiver's */

mtype state[TASKS] = RUNNING;
mtype place[VALUES] = MINE;
bool sent[VALUES], cancel[TASKS], closed, broken;
byte item[TASKS];     /* of a waiting sender: what it sends; of a receiver: what it got */
byte ticket[TASKS];   /* of a waiting task: its turn, from 1; 0: does not wait */
byte came[VALUES];    /* of a value that waits or is buffered: its turn, from 1 */
byte cap, ended;
hidden byte n, w, x;  /* for the moment */

chan buffer = [2] of { byte };
chan senders = [NS] of { byte };
chan receivers = [NR] of { byte };

/* Takes a task out of the middle of a queue. */
inline leave(queue, who) {
	n = len(queue);
	do
	:: n > 0 -> queue?x; n--;
		if :: x != who -> queue!x :: else fi
	:: else -> break
	od
}

/* The last in the queue, in the order of coming. */
#define DRAW(turns, count, me) \
	x = 0; n = 0; \
	do \
	:: n < count -> if :: turns[n] > x -> x = turns[n] :: else fi; n++ \
	:: else -> break \
	od; \
	turns[me] = x + 1

/* `v` is taken: nothing that came earlier may still wait or be buffered. */
inline take(v) {
	n = 0;
	do
	:: n < VALUES -> assert(!came[n] || came[n] >= came[v]); n++
	:: else -> break
	od;
	came[v] = 0
}

/* The first receiver that waits gets `v`. */
inline hand_over(v) {
#ifdef M_LAST_FIRST
	n = len(receivers);
	do :: n > 1 -> receivers?x; receivers!x; n-- :: else -> break od;
#endif
	receivers?w;
	n = NS;
	do
	:: n < TASKS -> assert(!ticket[n] || ticket[n] >= ticket[w]); n++
	:: else -> break
	od;
	take(v);
	item[w] = v; ticket[w] = 0;
	state[w] = SERVED
}

/* The first sender that waits gets the free place. */
inline refill() {
	senders?w;
	if
	:: state[w] == WAITING -> buffer!item[w]; place[item[w]] = BUFFERED; state[w] = SERVED
	:: else -> assert(false)              /* it is no longer there */
	fi
}

/* What must hold whenever a task may run. */
inline invariant() {
	assert(empty(receivers) || (empty(buffer) && empty(senders) && !closed));
	assert(empty(senders) || (len(buffer) == cap && !broken && !closed));
	assert(!broken || empty(buffer))
}

proctype sender(byte me) {
	byte k, v;
	do
	:: atomic { k < 2 - me ->
			v = me * 2 + k;
			if
			:: cancel[me] -> state[me] = CANCELLED
#ifdef M_CLOSED_SENDER_SENDS
			:: else ->
#else
			:: !cancel[me] && (closed || broken) -> state[me] = ENDED
			:: else ->
#endif
				DRAW(came, VALUES, v);
				if
				:: nempty(receivers) -> hand_over(v); place[v] = BUFFERED; state[me] = SERVED
				:: empty(receivers) && len(buffer) < cap ->
					buffer!v; place[v] = BUFFERED; state[me] = SERVED
				:: else -> item[me] = v; senders!me; state[me] = WAITING
				fi
			fi;
			invariant()
		}
		atomic {
			state[me] != WAITING;
			if :: state[me] != SERVED -> came[v] = 0 :: else fi;
			item[me] = 0;
			sent[v] = (state[me] == SERVED);
			assert(sent[v] == (place[v] != MINE));
			if :: state[me] == CANCELLED -> cancel[me] = false :: else fi;
			state[me] = RUNNING; v = 0;
			k++
		}
	:: atomic { else -> ended++; break }
	od
}

proctype receiver(byte me) {
	byte k, v;
	do
	:: atomic { k < 2 - (me - NS) ->
			item[me] = NOBODY;
			if
			:: cancel[me] -> state[me] = CANCELLED
			:: !cancel[me] && broken -> state[me] = ENDED
#ifdef M_END_TOO_EARLY
			:: !cancel[me] && !broken && closed -> assert(empty(buffer)); state[me] = ENDED
#endif
			:: !cancel[me] && !broken && nempty(buffer) ->
				buffer?v; take(v); item[me] = v; state[me] = SERVED;
#ifndef M_NO_REFILL
				if :: nempty(senders) -> refill() :: else fi
#endif
			:: !cancel[me] && !broken && empty(buffer) && nempty(senders) ->
				senders?w;
				assert(state[w] == WAITING);
				v = item[w]; take(v); item[me] = v; place[v] = BUFFERED;
				state[w] = SERVED; state[me] = SERVED
			:: else ->
				if
				:: closed -> state[me] = ENDED
				:: else -> DRAW(ticket, TASKS, me); receivers!me; state[me] = WAITING
				fi
			fi;
			invariant()
		}
		atomic {
			state[me] != WAITING;
			ticket[me] = 0;
			if
			:: state[me] == SERVED ->
				v = item[me];
				assert(v != NOBODY && place[v] == BUFFERED);
				place[v] = TAKEN
			:: state[me] == ENDED -> assert(item[me] == NOBODY && (closed || broken))
			:: state[me] == CANCELLED ->
				assert(item[me] == NOBODY);        /* nothing was taken */
				cancel[me] = false
			fi;
			state[me] = RUNNING; item[me] = 0; v = 0;
			k++
		}
	:: atomic { else -> ended++; break }
	od
}

/* Comes once, at any moment, maybe too late; what it says stays said until a wait has heard it. */
proctype canceller(byte who) {
	atomic {
		cancel[who] = true;
		if
		:: state[who] == WAITING ->
#ifndef M_STALE
			if
			:: who < NS -> leave(senders, who); came[item[who]] = 0
			:: else -> leave(receivers, who)
			fi;
#endif
			ticket[who] = 0; state[who] = CANCELLED
#ifdef M_CANCEL_TAKES_BACK
		:: who < NS && state[who] == SERVED -> state[who] = CANCELLED
#endif
#ifdef M_CANCEL_SPENDS
		:: who >= NS && state[who] == SERVED -> state[who] = CANCELLED
#endif
		:: else                               /* it runs, or has been served: that stays */
		fi
	}
}

proctype closer() {
	atomic {
		closed = true;
#ifndef M_CLOSE_SPARES_SENDERS
		do :: senders?w -> came[item[w]] = 0; state[w] = ENDED :: empty(senders) -> break od;
#endif
#ifndef M_CLOSE_SPARES_RECEIVERS
		do :: receivers?w -> ticket[w] = 0; state[w] = ENDED :: empty(receivers) -> break od
#endif
	}
}

/* Closes the receive side, at any moment, maybe too late. */
proctype breaker() {
	byte v;
	atomic {
		broken = true;
		do :: buffer?v -> came[v] = 0; place[v] = DESTROYED :: empty(buffer) -> break od;
		do :: senders?w -> came[item[w]] = 0; state[w] = ENDED :: empty(senders) -> break od;
		do :: receivers?w -> ticket[w] = 0; state[w] = ENDED :: empty(receivers) -> break od
	}
}

init {
	byte v;
	atomic {
		if :: cap = 0 :: cap = 1 :: cap = 2 fi;
		n = 0;
		do
		:: n < TASKS ->
			if :: n < NS -> run sender(n) :: else -> run receiver(n) fi;
			n++
		:: else -> break
		od;
		run canceller(0);
		run canceller(NS);
		run closer();
		run breaker()
	}
	/* When all have ended, each value is with somebody, and with nobody else. */
	atomic {
		ended == TASKS;
		assert(empty(senders) && empty(receivers));
		v = 0;
		do
		:: v < VALUES -> assert(sent[v] == (place[v] != MINE)); v++
		:: else -> break
		od
	}
}
