/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The guard: the process that the user started. It makes a second one, in which everything
 * happens (the runtime), and sees to it that nothing is left, however that one ends.
 */

#include "plan.h"

/* What the two have in common, in memory that they share. */
struct guard {
	int pipe;              /* the runtime's end: presses as bytes; its end: the guard is gone */
	int runtime_signal;    /* the runtime has ended in order, and asks to die of this one */
	int pid;               /* the guard's */
	bool is_finished;      /* the runtime has ended in order */
	bool is_terminal_set;  /* the terminal's modes are not those from the start */
	bool is_first_process; /* the guard is PID 1: nobody dies of a signal */
	bool is_pausing;       /* the runtime was told to stop itself; the guard follows */
	int cgroup;            /* folder of the job's cgroup, or -1 */
	char cgroup_path[PATH_MAX];
};

/*
 * A task is going to own the terminal: its keys for stopping have no effect meanwhile, since nobody
 * would continue it. And: the terminal is ours again, as it was when we were started.
 */
void guard_lend_terminal(struct guard *shared);
void guard_restore_terminal(struct guard *shared);
/* After a pause: the task's group is in the foreground again, and the modes are those that it had
 * set, if we have been put there. */
bool guard_lend_terminal_again(struct guard *shared, int group);

/*
 * In the runtime: whether the signals that tell a job something are let through. While nobody
 * listens, at the very begin and the very end, they would end it by what they do otherwise.
 */
void guard_hear_signals(bool are_heard);

/*
 * Becomes the guard, and runs `body` in the runtime's process; its result is the status.
 * Returns the exit status of the command, after nothing is left; or does not return, and dies of
 * the signal that ended the job.
 */
int guard_run(struct plan *plan, int (*body)(struct plan *plan, struct guard *guard));
