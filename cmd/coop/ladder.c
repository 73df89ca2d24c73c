/* SPDX-License-Identifier: MIT */
/*
 * The ladder of Ctrl-C.
 *
 * A press can come by two ways: through the guard, and as a signal to this process itself. One that
 * was meant for both (Ctrl-C, a signal to the process group) comes by both, and counts once: the
 * presses of either way are counted apart, and the larger number is the rung. TERM and HUP are a
 * first press, and never more than that: they come from programs, which mean to hurry nobody.
 *
 * Invariant: a rung that was announced is never left downwards.
 */
#include "run.h"
#include "screen.h"
#include "sink.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum way { WAY_GUARD, WAY_SIGNAL, WAYS };

static const char *const announcements[] = {
	[LEVEL_POLITE] = "stopping (again: kill at once; a third time: kill shielded tasks too)",
	[LEVEL_KILL] = "killing all but shielded tasks (again: kill these too)",
	[LEVEL_KILL_SHIELDS] = "killing everything",
};

static const char *name_of(int sig)
{
	return sig == SIGINT ? "^C" : coop_signal_name(sig);
}

/* Whoever reads our output may have stopped to; that must not keep what is to be ended. */
static void hurry_output(struct job *job, int64_t patience_ns)
{
	sink_hurry(job->screen->out, patience_ns);
	if (job->screen->err != job->screen->out)
		sink_hurry(job->screen->err, patience_ns);
}

static void rise(struct job *job, int sig, enum run_level level)
{
	if (level > LEVEL_KILL_SHIELDS)
		level = LEVEL_KILL_SHIELDS;
	if (level <= job->level)
		return;
	job->level = level;
	if (!job->stop_sig)
		job->stop_sig = sig;
	job_say(job, SAY_ALERT, "%s %s", name_of(sig), announcements[level]);
	hurry_output(job, level == LEVEL_POLITE ? COOP_SECONDS(10) : COOP_SECONDS(1));
	if (level == LEVEL_POLITE)
		job_stop(job, name_of(sig));
	else
		run_stop_hurry(job);
}

static void resized(struct job *job)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
		return;
	run_resize(job, size.ws_row, size.ws_col);
	if (job->screen->ops->resized)
		job->screen->ops->resized(job->screen);
}

static void press(struct job *job, int sig, enum way way)
{
	static unsigned presses[WAYS];

	switch (sig) {
	case SIGINT:
		presses[way]++;
		rise(job, sig, (enum run_level)(presses[way] + job->has_polite));
		break;
	case SIGTERM:
	case SIGHUP:
		if (job->level == LEVEL_NONE) {
			job->has_polite = true;
			rise(job, sig, LEVEL_POLITE);
		}
		break;
	case SIGQUIT:
		if (way == WAY_GUARD || job->is_guard_gone)
			job_show(job);
		break;
	case SIGTSTP: pause_job(job); break;
	case SIGWINCH: resized(job); break;
	default: break;
	}
}

/* USR1 and USR2 are the program's, where there is one program. */
static void hand_on(struct job *job, int sig)
{
	if (job->plan->verb != VERB_EXEC || (sig != SIGUSR1 && sig != SIGUSR2))
		return;
	for (struct run_task *task = job->live; task; task = task->live_next)
		(void)!coop_process_signal(task->process, sig);
}

static void first_press(struct job *job, int sig, const char *why)
{
	if (job->level != LEVEL_NONE)
		return;
	job->level = LEVEL_POLITE;
	job->has_polite = true;
	job->stop_sig = sig;
	job_say(job, SAY_ALERT, "%s: stopping", why);
	hurry_output(job, COOP_SECONDS(10));
	job_stop(job, why);
}

void ladder_stop(struct job *job, const char *why)
{
	first_press(job, SIGTERM, why);
}

int ladder_guard(void *arg)
{
	struct job *job = arg;
	unsigned char sigs[64];

	for (;;) {
		int r = coop_read(job->guard->pipe, sigs, sizeof sigs);

		if (r < 0)
			return r;
		if (r == 0) {
			job->is_guard_gone = true;
			first_press(job, SIGTERM, "the guard was killed");
			return 0;
		}
		for (int i = 0; i < r; i++) {
			press(job, sigs[i], WAY_GUARD);
			hand_on(job, sigs[i]);
		}
	}
}

/* Signals that were ignored when we were started stay ignored: nohup, `&` in a script. */
static size_t wanted(int *sigs)
{
	static const int all[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH };
	size_t count = 0;

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		struct sigaction now;

		if (sigaction(all[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
			sigs[count++] = all[i];
	}
	return count;
}

int ladder_signals(void *arg)
{
	struct job *job = arg;
	struct coop_signals *signals;
	int sigs[16], r;
	size_t count = wanted(sigs);

	r = coop_signals_open(sigs, count, &signals);
	if (r < 0)
		return r;
	guard_hear_signals(true);
	while ((r = coop_signals_receive(signals)) > 0)
		press(job, r, WAY_SIGNAL);
	coop_signals_close(signals);
	return r;
}

/* Standard input as a lifeline: its end stops the job. What comes is thrown away. */
int ladder_lifeline(void *arg)
{
	struct job *job = arg;
	char buf[4096];
	int r;

	do
		r = coop_read(STDIN_FILENO, buf, sizeof buf);
	while (r > 0);
	if (coop_is_cancel(r))
		return r;
	first_press(job, SIGHUP, "standard input has ended");
	return 0;
}
