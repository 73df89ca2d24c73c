/* SPDX-License-Identifier: MIT */
/*
 * The pause: Ctrl-Z stops the whole tree, as it stops any job of a shell, and fg goes on with it.
 *
 *	terminal --TSTP--> guard --byte--> runtime   stops all below it, gives the terminal back,
 *	                                             stops itself
 *	         guard <---CHLD--- runtime           the guard stops last: now the shell sees it
 *	shell ----CONT---> guard ---CONT--> runtime  continues what it has stopped
 *
 * Tasks are in groups and sessions of their own, so the terminal's signal never comes to them; and
 * who is stopped with its shell, TSTP, may not stop at all where its session has no shell. So each
 * process below us gets STOP, walk by walk until a walk finds none that runs: the coops among them
 * need no more care than others. Parents are stopped before and continued after their children,
 * so that a shell never sees one stopped. One that was stopped already, by itself, stays so.
 *
 * The job's clock stands still meanwhile. It is the system's without the time for which we were
 * stopped: by a pause, or by somebody's STOP, which nobody can hear. That time ends with the signal
 * CONT, whose handler runs before anything else does, and it began when we were last seen alive.
 * Every limit that tells whether something is late is one on this clock: whoever has waited for
 * one looks again, and waits for the rest. So nothing is ended because it was stopped.
 */
#include "proctree.h"
#include "run.h"
#include "screen.h"
#include "sink.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#define FLUSH_NS COOP_SECONDS(1) /* for a terminal that takes nothing any more */
#define STOPPED_NS COOP_SECONDS(1) /* for those that were told to stop to do so */
enum { STOPPED_NAP_US = 500 };

static _Atomic int64_t stopped_ns; /* in all */
static _Atomic int64_t alive_ns;   /* when we ran last */
static _Atomic int64_t doubt_ns;   /* so long we may well have run without a word of it */

/* ---------------------------------------------------------------------- the clock */

static void continued(int sig)
{
	int64_t now = proc_clock(), gap = now - atomic_load(&alive_ns);

	(void)sig;
	if (gap > atomic_load(&doubt_ns))
		atomic_fetch_add(&stopped_ns, gap);
	atomic_store(&alive_ns, now);
}

void pause_alive(int64_t next_ns)
{
	atomic_store(&alive_ns, proc_clock());
	atomic_store(&doubt_ns, next_ns + next_ns / 2);
}

void pause_open(void)
{
	struct sigaction action = { .sa_handler = continued, .sa_flags = SA_RESTART };

	pause_alive(COOP_SECONDS(1));
	sigaction(SIGCONT, &action, NULL);
}

int64_t job_now(void)
{
	return coop_now() - atomic_load(&stopped_ns);
}

int64_t job_until(int64_t limit_ns)
{
	return limit_ns == COOP_NEVER ? COOP_NEVER : job_now() + limit_ns;
}

int64_t job_left(int64_t end_ns)
{
	return end_ns == COOP_NEVER ? COOP_NEVER : end_ns - job_now();
}

/* ---------------------------------------------------------------------- the pause */

/*
 * STOP takes effect when a process comes to a processor, and one that waits in a read takes what is
 * typed until then: for the shell. So who gets the terminal after us gets it when all stand still.
 */
static void await_stopped(const struct proc_list *stopped)
{
	int64_t end = proc_clock() + STOPPED_NS;

	for (size_t i = 0; i < stopped->count && proc_clock() < end;) {
		struct coop_process_info now;
		bool is_there = coop_process_info(stopped->items[i].pid, &now) == 0;

		if (is_there && (now.state == 'R' || now.state == 'S'))
			usleep(STOPPED_NAP_US);
		else
			i++;
	}
}

/* The footer goes, and what is on its way to the terminal arrives there. */
static void leave_screen(struct screen *screen)
{
	if (screen->ops->pause)
		screen->ops->pause(screen, true);
	sink_flush(screen->out, FLUSH_NS);
	if (screen->err != screen->out)
		sink_flush(screen->err, FLUSH_NS);
}

static void enter_screen(struct screen *screen)
{
	if (screen->ops->pause)
		screen->ops->pause(screen, false);
}

static struct run_task *owner_of_terminal(const struct job *job)
{
	struct run_task *task = job->live;

	while (task && (!task->plan->has_tty || task->is_ended))
		task = task->live_next;
	return task;
}

/* It may be stopped, by itself or since it wanted to read what it did not own. */
static void lend_again(struct job *job, const struct run_task *owner)
{
	if (guard_lend_terminal_again(job->guard, owner->pid))
		(void)!coop_process_signal_group(owner->process, SIGCONT);
}

/* Whether it has stopped itself, or was stopped, and has not been told to end. */
static bool has_stopped(const struct run_task *task)
{
	struct coop_process_info now;

	return task->state != RUN_STOPPING && !task->is_ended &&
	       coop_process_info(task->pid, &now) == 0 && now.state == 'T';
}

/* Its keys come to nobody then, ours neither: so it is as if Ctrl-Z had been pressed. */
static void look_at_owner(struct run_task *owner)
{
	bool has_terminal = tcgetpgrp(STDIN_FILENO) == owner->pid;

	if (!has_terminal || !has_stopped(owner))
		owner->has_paused = false;
	else if (!owner->has_paused)
		owner->has_paused = kill(0, SIGTSTP) == 0;
}

void pause_look(struct job *job)
{
	struct run_task *owner = owner_of_terminal(job);

	if (owner && job->guard->is_terminal_set)
		look_at_owner(owner);
	else if (owner)
		lend_again(job, owner);
}

void pause_look_at_tasks(struct job *job)
{
	for (struct run_task *task = job->live; task; task = task->live_next) {
		bool is_stopped = has_stopped(task);

		if (is_stopped && !task->is_stopped)
			job_say(job, SAY_NOTE, "%s: process %d is stopped%s", task->name, task->pid,
				task->plan->has_tty ? ", it wants the terminal" : "");
		task->is_stopped = is_stopped;
	}
}

void pause_job(struct job *job)
{
	struct proc_list stopped = { 0 };
	const struct run_task *owner;
	bool is_lent;

	proc_stop_below(getpid(), &stopped);
	leave_screen(job->screen);
	proc_stop_below(getpid(), &stopped); /* those that were started meanwhile */
	await_stopped(&stopped);
	guard_restore_terminal(job->guard);
	atomic_store(&alive_ns, proc_clock());
	atomic_store(&doubt_ns, 0);
	if (getppid() == job->guard->pid) /* nobody else would ever continue us */
		kill(getpid(), SIGSTOP);
	owner = owner_of_terminal(job);
	is_lent = owner && guard_lend_terminal_again(job->guard, owner->pid);
	proc_continue(&stopped);
	if (is_lent) /* it may have stopped itself before */
		(void)!coop_process_signal_group(owner->process, SIGCONT);
	proc_list_free(&stopped);
	enter_screen(job->screen);
}
