/* SPDX-License-Identifier: MIT */
/*
 * Offload: a task, its thread, and a cancel, of src/io/offload.c over the inbox of src/core/post.c.
 *
 * Two jobs wait in a lane, each with a thread that comes to it sooner or later. The first may be
 * abandoned, the second is waited for. The loop cancels each task at most once, at any moment: a job
 * that waits is taken back; one that is at work is abandoned by a compare-and-swap that the thread's
 * end competes with, or its result is waited for. The end of a job is posted: whoever pushes onto an
 * empty inbox sets the bit and wakes a loop that sleeps. When both tasks have returned the run ends:
 * the inbox is closed, those who are posting are waited for, and the runtime is gone.
 *
 * Checked: a task returns once, with its result or cancelled; the result of a thread goes to its
 * task or to `late`, never to both or to neither; what was taken back never ran; nobody touches a
 * job that was freed, or a runtime that is gone; the loop does not sleep on while a post waits.
 *
 * Mutants, one a rule:
 *   M_CAS     an abandon does not ask whether the thread has been faster
 *   M_LATE    a thread that finds its job abandoned posts it as done
 *   M_BACK    work is taken back that has begun
 *   M_SLEEP   the loop does not look again after it has said that it sleeps
 *   M_ORDER   a poster looks whether the loop sleeps before it sets the bit
 *   M_EMPTY   every poster but the first leaves the telling to the first, also on an emptied inbox
 *   M_END     the run ends without waiting for those who post
 *   M_FREE    an abandoned job is freed by the loop at once
 */
#define JOBS 2
#define MAY_ABANDON(j) (j == 0)

mtype = { WAITS, TAKEN, TAKEN_BACK };	/* in the lane */
mtype = { AT_WORK, DONE, ABANDONED };	/* the job's state */

mtype lane[JOBS] = WAITS;
mtype state[JOBS] = AT_WORK;
bool ran[JOBS], late[JOBS], freed[JOBS];
bool returned[JOBS], got_result[JOBS];
bool cancelled[JOBS];		/* it has been tried */

chan inbox = [JOBS] of { byte };
bool pending, asleep, closed, gone;
byte wakes, posters;

inline free_job(j)
{
	assert(!freed[j]);
	freed[j] = true
}

proctype thread(byte j)
{
	bool first, must_wake;

	/* from the lane, under its lock */
	atomic {
		if
		:: lane[j] == WAITS -> lane[j] = TAKEN
		:: lane[j] == TAKEN_BACK -> goto end
		fi
	}
	ran[j] = true;

	/* done, or abandoned */
	atomic {
		assert(!freed[j]);
		if
		:: state[j] == AT_WORK -> state[j] = DONE
		:: state[j] == ABANDONED ->
#ifdef M_LATE
			state[j] = DONE
#else
			late[j] = true
#endif
		fi
	}

	/* the post */
	posters++;
	if
	:: closed ->
		posters--;
		free_job(j)
	:: else ->
		atomic {
			assert(!gone && !freed[j]);
#ifdef M_EMPTY
			first = (len(inbox) == 0 && j == 0);
#else
			first = (len(inbox) == 0);
#endif
			inbox!j
		}
		if
		:: first ->
#ifdef M_ORDER
			atomic { assert(!gone); must_wake = asleep; asleep = false }
			pending = true;
#else
			atomic { assert(!gone); pending = true }
			atomic { assert(!gone); must_wake = asleep; asleep = false }
#endif
			if
			:: must_wake -> atomic { assert(!gone); wakes++ }
			:: else
			fi
		:: else
		fi;
		posters--
	fi;
end:
	skip
}

inline return_task(j, with_result)
{
	assert(!returned[j]);
	returned[j] = true;
	got_result[j] = with_result
}

/* A post has arrived in the loop. */
inline arrived(j)
{
	assert(!freed[j]);
	if
	:: state[j] == ABANDONED -> free_job(j)
	:: state[j] == DONE -> return_task(j, true)
	fi
}

inline take_inbox()
{
	do
	:: nempty(inbox) -> atomic { inbox?k; arrived(k) }
	:: empty(inbox) -> break
	od
}

inline cancel(j)
{
	atomic {
		cancelled[j] = true;
		if
		:: lane[j] == WAITS ->
			lane[j] = TAKEN_BACK;
			return_task(j, false)
#ifdef M_BACK
		:: lane[j] == TAKEN && !MAY_ABANDON(j) ->
			lane[j] = TAKEN_BACK;
			return_task(j, false)
#endif
		:: else ->
			if
			:: MAY_ABANDON(j) ->
#ifndef M_CAS
				if
				:: state[j] == AT_WORK ->
#endif
					state[j] = ABANDONED;
#ifdef M_FREE
					free_job(j);
#endif
					return_task(j, false)
#ifndef M_CAS
				:: else	/* completion wins: its post is on the way */
				fi
#endif
			:: else	/* its result is waited for */
			fi
		fi
	}
}

proctype loop()
{
	byte k;

	do
	:: returned[0] && returned[1] -> break
	:: else ->
		if
		:: pending -> atomic { pending = false }; take_inbox()
		:: !cancelled[0] && !returned[0] -> cancel(0)
		:: !cancelled[1] && !returned[1] -> cancel(1)
		:: !pending ->
			asleep = true;
			if
#ifndef M_SLEEP
			:: pending
#endif
			:: else ->
				if	/* a wake-up, or a timer that is going to cancel */
				:: wakes > 0 -> wakes--
				:: !cancelled[0] && !returned[0]
				:: !cancelled[1] && !returned[1]
				fi
			fi;
			asleep = false
		fi
	od;

	/* the end of the run */
	closed = true;
#ifndef M_END
	posters == 0;
#endif
	take_inbox();
	gone = true
}

init
{
	atomic { run thread(0); run thread(1); run loop() }
	_nr_pr == 1;
	byte j;
	for (j : 0 .. JOBS - 1) {
		assert(returned[j]);
		assert(!(got_result[j] && late[j]));
		assert(!ran[j] || got_result[j] || late[j]);
		assert(lane[j] != TAKEN_BACK || (!ran[j] && !got_result[j]));
		assert(!late[j] || freed[j])
	}
}
