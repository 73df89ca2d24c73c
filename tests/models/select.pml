/* SPDX-License-Identifier: MIT */
/*
 * The word of a select: two selects of two runs at two channels without a buffer, a thread that
 * calls try_, a cancel, and a case of the own run; src/sync/select.c and src/sync/xchan_case.c.
 *
 * Select 0 offers at channel 0 and accepts at channel 1, select 1 the other way round, so each can
 * meet the other at both. Each enlists its cases, under the lock of the channel, and tells itself
 * of one where the other waits already; its loop takes its posts one by one. A case that was told
 * and comes takes the words of both selects, in the order of their numbers; the thread takes one.
 * Each select is cancelled, or completed by its own run, at most once and at any moment. A post is made when the lock has been given back. What is left when
 * nothing moves any more is cancelled. A value is the number of its sender.
 *
 * Who finds a word held says that it is awaited and sleeps; who gives it back wakes all.
 *
 * Checked: what a channel has taken in it has given out, once, and the receiver has the value of
 * its sender; a select that was cancelled, or completed elsewhere, has neither given nor got any;
 * a case, a word or a frame of a select that has returned is not touched; two selects that could
 * meet do not wait for ever; and nothing else does.
 *
 * Mutants:
 *   M_ORDER     the words are not taken in one order
 *   M_CANCEL    the cancel does not ask for the word
 *   M_OWN       the own run does not ask for the word
 *   M_SECOND    the select that comes does not ask for its own word
 *   M_LET_GO    where the second word is lost the first is not given back
 *   M_WAKE      who gives a word back wakes nobody
 *   M_TELL      a select that could meet another one does not tell itself
 *   M_SETTLE    a select returns while a post of its cases is on the way
 *   M_WITHDRAW  a select that was completed leaves the other case where it is
 */
#define OTHER(s)    (1 - (s))
#define SENDS(s, x) ((s) == (x))	/* does its case at x offer? */
#define THREAD	    2
#define SLEEP(p, s) ((p) * 2 + (s))

#define OPEN	0
#define HELD	1
#define AWAITED	2
#define DECIDED	3

#define NONE	0
#define LISTED	1
#define TOLD	2
#define MET	3
#define LEFT	4

/* How a select ended: by its case at channel 0 or 1, or */
#define NOT_YET	  9
#define OWN	  2
#define CANCELLED 3

byte word[2];
bit asleep[6];		/* process p for the word of select s */
byte state[4];		/* of the case of select s at channel x: s * 2 + x */
byte chosen[2] = NOT_YET;
bit lock[2];		/* of the channels */
bit woken[2], returned[2];
byte got[2];		/* what a select has received, plus 1 */
byte puts[2], gets[2];	/* of a select: into its place, out of it */
byte thread_sent[2], thread_got[2];
byte sent[2], received[2];
byte calls[2];
chan inbox0 = [4] of { byte };
chan inbox1 = [4] of { byte };

#define CASE(s, x) state[(s) * 2 + (x)]

inline alive(s) { assert(!returned[s]) }

inline acquire(x) { atomic { lock[x] == 0; lock[x] = 1 } }
inline release(x) { lock[x] = 0 }

/* cp_select_hold, of process p: `won` */
inline hold(p, s)
{
	do
	:: atomic {
		alive(s);
		if
		:: word[s] == OPEN -> word[s] = HELD; won = 1; break
		:: word[s] == DECIDED -> won = 0; break
		:: else -> word[s] = AWAITED
		fi
	   }
	   /* the futex: sleeps only if it is still so */
	   atomic {
		if
		:: word[s] == AWAITED -> asleep[SLEEP(p, s)] = 1
		:: else
		fi
	   }
	   asleep[SLEEP(p, s)] == 0
	od
}

inline give(s, to)
{
	atomic {
		alive(s);
		was = word[s];
		word[s] = to
	}
	if
#ifndef M_WAKE
	:: was == AWAITED ->
		atomic { asleep[SLEEP(0, s)] = 0; asleep[SLEEP(1, s)] = 0; asleep[SLEEP(THREAD, s)] = 0 }
#endif
	:: else
	fi
}

inline choose(s, how)
{
	chosen[s] = how;
	give(s, DECIDED)
}

inline post(s, x)
{
	atomic {
		alive(s);
		if
		:: s == 0 -> inbox0!x
		:: else -> inbox1!x
		fi
	}
}

/* The value goes between the places of a sender and of a receiver. */
inline copy(from, to, x)
{
	atomic {
		alive(from);
		alive(to);
		gets[from]++;
		puts[to]++;
		got[to] = from + 1;
		sent[x]++;
		received[x]++
	}
}

/* The case of the select that comes, `s`, tries to meet that of the other one. Locked. */
inline meet_other(s, x)
{
	o = OTHER(s);
	met = 0;
	post_to = 0;
	if
	:: CASE(o, x) == LISTED || CASE(o, x) == TOLD ->
#ifdef M_ORDER
		a = o; b = s;
#else
		a = 0; b = 1;
#endif
#ifdef M_SECOND
		hold(s, o);
		if
		:: won -> choose(o, x); chosen[s] = x; word[s] = DECIDED; met = 1
		:: else
		fi;
#else
		hold(s, a);
		if
		:: won ->
			hold(s, b);
			if
			:: won ->
				choose(o, x);
				choose(s, x);
				met = 1
			:: else ->
#ifndef M_LET_GO
				give(a, OPEN)
#endif
			fi
		:: else
		fi;
#endif
		if
		:: met ->
			atomic {
				alive(o);
				post_to = (CASE(o, x) == LISTED);
				CASE(o, x) = MET
			}
			if
			:: SENDS(s, x) -> copy(s, o, x)
			:: else -> copy(o, s, x)
			fi
		:: else
		fi
	:: else
	fi
}

/* withdraw_all: the cases that were not chosen */
inline withdraw_one(s, x)
{
	if
	:: chosen[s] != x && CASE(s, x) != NONE && CASE(s, x) != LEFT ->
		acquire(x);
		if
		:: CASE(s, x) == LISTED -> CASE(s, x) = NONE
		:: CASE(s, x) == TOLD -> CASE(s, x) = LEFT
		:: else -> assert(false)
		fi;
		release(x)
	:: else
	fi
}

inline withdraw_all(s)
{
#ifndef M_WITHDRAW
	withdraw_one(s, 0);
	withdraw_one(s, 1)
#else
	skip
#endif
}

inline enlist(s, x)
{
	acquire(x);
	if
#ifndef M_TELL
	:: CASE(OTHER(s), x) == LISTED || CASE(OTHER(s), x) == TOLD -> CASE(s, x) = TOLD; met = 1
#endif
	:: else -> CASE(s, x) = LISTED; met = 0
	fi;
	release(x);
	if
	:: met -> post(s, x)
	:: else
	fi
}

inline arrived(s, x)
{
	acquire(x);
	alive(s);
	met = 0;
	post_to = 0;
	if
	:: CASE(s, x) == TOLD ->
		CASE(s, x) = NONE;	/* told_now: it finds no call, and meets */
		hold(s, s);
		if
		:: won -> give(s, OPEN); meet_other(s, x)
		:: else
		fi;
		if
		:: !met -> CASE(s, x) = LISTED
		:: else
		fi
	:: CASE(s, x) == MET -> CASE(s, x) = NONE; met = 1
	:: CASE(s, x) == LEFT -> CASE(s, x) = NONE
	:: else -> assert(false)
	fi;
	release(x);
	if
	:: post_to -> post(o, x)
	:: else
	fi;
	if
	:: met -> assert(!woken[s]); withdraw_all(s); woken[s] = 1
	:: else
	fi
}

inline cancel(s)
{
#ifdef M_CANCEL
	chosen[s] = CANCELLED;
	word[s] = DECIDED;
	withdraw_all(s);
	woken[s] = 1
#else
	hold(s, s);
	if
	:: won -> choose(s, CANCELLED); withdraw_all(s); woken[s] = 1
	:: else		/* completed, and on its way here */
	fi
#endif
}

/* Another case of the select, in a queue of its own run, is to be completed. */
inline own(s)
{
#ifdef M_OWN
	chosen[s] = OWN;
	word[s] = DECIDED;
	withdraw_all(s);
	woken[s] = 1
#else
	hold(s, s);
	if
	:: won -> choose(s, OWN); withdraw_all(s); woken[s] = 1
	:: else -> withdraw_all(s)
	fi
#endif
}

#define COULD_MEET(s) (chosen[s] == NOT_YET && !returned[s])

proctype loop(byte me; chan inbox)
{
	byte at, was, o, a, b;
	bit won, met, post_to, once;

	enlist(me, me);
	enlist(me, 1 - me);
	do
	:: woken[me] -> break
	:: !woken[me] ->
		if
		:: inbox?at -> arrived(me, at)
		:: !once ->
			once = 1;
			if
			:: cancel(me)
			:: own(me)
			:: true	/* or it does not come to that */
			fi
		:: once && timeout ->
			/* Nothing moves: it has no one to meet. */
			assert(!(COULD_MEET(0) && COULD_MEET(1)));
			cancel(me)
		fi
	od;
#ifndef M_SETTLE
	do
	:: CASE(me, 0) == LEFT || CASE(me, 1) == LEFT -> inbox?at -> arrived(me, at)
	:: else -> break
	od;
#endif
	atomic {
		assert(CASE(me, 0) == NONE && CASE(me, 1) == NONE);
		returned[me] = 1
	}
}

/* A call of try_send or try_recv at a channel. */
proctype thread()
{
	byte whom, at, was;
	bit won, post_to;

	if
	:: whom = 0; at = 0
	:: whom = 0; at = 1
	:: whom = 1; at = 0
	:: whom = 1; at = 1
	fi;
	acquire(at);
	if
	:: CASE(whom, at) == LISTED || CASE(whom, at) == TOLD ->
		hold(THREAD, whom);
		if
		:: won ->
			choose(whom, at);
			atomic {
				alive(whom);
				post_to = (CASE(whom, at) == LISTED);
				CASE(whom, at) = MET;
				if
				:: SENDS(whom, at) -> gets[whom]++; thread_got[at]++
				:: else -> puts[whom]++; got[whom] = THREAD + 1; thread_sent[at]++
				fi;
				sent[at]++;
				received[at]++
			}
		:: else
		fi
	:: else
	fi;
	release(at);
	if
	:: post_to -> post(whom, at)
	:: else
	fi
}

inline account(x)
{
	/* the sender's side, and the receiver's */
	assert(sent[x] == (chosen[x] == x) + thread_sent[x]);
	assert(received[x] == (chosen[1 - x] == x) + thread_got[x])
}

init
{
	byte s;

	atomic { run loop(0, inbox0); run loop(1, inbox1); run thread() }
	_nr_pr == 1;
	atomic {
		account(0);
		account(1);
		for (s : 0 .. 1) {
			assert(returned[s] && chosen[s] != NOT_YET);
			/* its place was read once if it has sent, and written once if it has received */
			assert(gets[s] == (chosen[s] == s));
			assert(puts[s] == (chosen[s] == 1 - s));
			assert(!puts[s] || got[s] == (thread_sent[1 - s] -> THREAD : OTHER(s)) + 1)
		}
		assert(len(inbox0) == 0 && len(inbox1) == 0)
	}
}
