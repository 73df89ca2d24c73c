/* SPDX-License-Identifier: MIT */
/*
 * Guard and runtime.
 *
 *	shell
 *	  guard     subreaper; takes signals, hands them on; PID 1's duties
 *	    runtime   subreaper; the plan, a coop run
 *	      tasks     each leads a group of processes
 *
 * The guard is made by fork before anything else exists, and never executes anything: that is what
 * makes it cheap. It has every signal blocked and takes them one by one.
 *
 * Both are in the same process group, so that the runtime may read the terminal. A Ctrl-C reaches
 * both; so does a signal for the group; one for the guard alone reaches only it. The guard hands on
 * what it gets through a pipe, and the runtime counts what comes by either way apart: the larger
 * number is how often it was meant. So each press counts once, whichever way it comes. Ctrl-Z
 * is the guard's alone, since it is the guard whom the shell sees stop: see run_pause.c.
 *
 * Invariants
 *   1. While the guard lives, its pipe is open, and nobody else has the end that it writes to. So
 *      the end of the pipe, at the runtime, means that the guard was killed.
 *   2. When the guard ends, no child is left, or those that are were reported.
 *   3. When the runtime has died, all it has started are children of the guard.
 */
#include "guard.h"

#include "contain.h"
#include "proctree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define SURVIVORS_NS COOP_SECONDS(10) /* so long what was killed may take to be gone */
#define TWICE_NS COOP_MILLISECONDS(2) /* two signals of one program within it are one */

/* The guard's own. */
static struct termios terminal;
static bool has_terminal;
/* The runtime's: the modes in which the task that owns the terminal has left it. */
static struct termios owners;
static bool has_owners;
static sigset_t start_mask;

static int fail(const char *what)
{
	fprintf(stderr, "coop: %s: %s\n", what, strerror(errno));
	return STATUS_OWN;
}

static void save_terminal(void)
{
	has_terminal = tcgetattr(STDIN_FILENO, &terminal) == 0;
}

void guard_lend_terminal(struct guard *shared)
{
	struct termios lent = terminal;

	if (!has_terminal)
		return;
	shared->is_terminal_set = true;
	has_owners = false;
	lent.c_cc[VSUSP] = _POSIX_VDISABLE;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &lent);
}

/* Whoever is in the background may do this only with SIGTTOU blocked. */
void guard_restore_terminal(struct guard *shared)
{
	sigset_t set, before;

	if (!has_terminal || !shared->is_terminal_set)
		return;
	sigemptyset(&set);
	sigaddset(&set, SIGTTOU);
	sigprocmask(SIG_BLOCK, &set, &before);
	has_owners = tcgetattr(STDIN_FILENO, &owners) == 0;
	tcsetpgrp(STDIN_FILENO, getpgrp());
	tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal);
	sigprocmask(SIG_SETMASK, &before, NULL);
	shared->is_terminal_set = false;
}

bool guard_lend_terminal_again(struct guard *shared, int group)
{
	if (tcgetpgrp(STDIN_FILENO) != getpgrp())
		return false;
	if (has_owners)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &owners);
	else
		guard_lend_terminal(shared);
	shared->is_terminal_set = has_terminal;
	tcsetpgrp(STDIN_FILENO, group);
	return true;
}

/* ----------------------------------------------------------------------- signals */

/* What the terminal does to those in the background keeps its effect; the rest is taken. */
static void take_signals(sigset_t *taken)
{
	static const int left[] = { SIGTTIN, SIGTTOU, SIGCONT, SIGSEGV,
				    SIGBUS,  SIGILL,  SIGFPE,  SIGABRT, SIGTRAP };

	sigfillset(taken);
	for (size_t i = 0; i < sizeof left / sizeof left[0]; i++)
		sigdelset(taken, left[i]);
	sigprocmask(SIG_BLOCK, taken, &start_mask);
}

void guard_hear_signals(bool are_heard)
{
	static const int sigs[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };
	sigset_t mask = start_mask;

	for (size_t i = 0; i < sizeof sigs / sizeof sigs[0] && !are_heard; i++)
		sigaddset(&mask, sigs[i]);
	sigprocmask(SIG_SETMASK, &mask, NULL);
}

/* A signal that was ignored when we were started stays so: nohup, or `&` in a script. */
static bool is_ignored(int sig)
{
	struct sigaction action;

	return sigaction(sig, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* timeout(1), for one, signals its child and at once the child's group: one signal to us. */
static bool is_echo(const siginfo_t *info)
{
	static struct {
		int sig, pid;
		int64_t at_ns;
	} last;
	int64_t now = proc_clock();
	bool is_same;

	is_same = info->si_code == SI_USER && last.pid == info->si_pid &&
		  last.sig == info->si_signo && now - last.at_ns < TWICE_NS;
	last.sig = info->si_signo;
	last.pid = info->si_code == SI_USER ? info->si_pid : -1;
	last.at_ns = now;
	return is_same;
}

static void hand_on(int pipe, const siginfo_t *info)
{
	unsigned char byte = (unsigned char)info->si_signo;

	if (!is_ignored(info->si_signo) && !is_echo(info))
		(void)!write(pipe, &byte, 1);
}

/* The runtime makes the pause; one at a time. */
static void ask_pause(struct guard *shared, int pipe)
{
	unsigned char byte = SIGTSTP;

	if (!is_ignored(SIGTSTP) && !shared->is_pausing)
		shared->is_pausing = write(pipe, &byte, 1) == 1;
}

/*
 * The runtime has stopped, and all below it. So do we, by what the signal does of itself: nothing,
 * where no shell would ever continue us. What continues us continues the runtime.
 */
static void follow_pause(struct guard *shared, int runtime)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTSTP);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	sigprocmask(SIG_BLOCK, &set, NULL);
	shared->is_pausing = false;
	kill(runtime, SIGCONT);
}

/* Waits for the runtime; others that end meanwhile are orphans that came to us. */
static int serve(struct guard *shared, int pipe, int runtime, const sigset_t *taken)
{
	siginfo_t info;
	int status, pid;

	for (;;) {
		if (sigwaitinfo(taken, &info) < 0)
			continue;
		if (info.si_signo == SIGTSTP)
			ask_pause(shared, pipe);
		else if (info.si_signo != SIGCHLD)
			hand_on(pipe, &info);
		while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
			if (pid == runtime && !WIFSTOPPED(status))
				return status;
			if (pid == runtime && shared->is_pausing)
				follow_pause(shared, runtime);
		}
	}
}

/* ------------------------------------------------------------------------ the end */

static void report_survivors(void)
{
	struct proc_list list = { 0 };

	proc_descendants(getpid(), &list);
	if (!list.count)
		fputs("coop: processes that cannot be seen are left: no /proc\n", stderr);
	for (size_t i = 0; i < list.count; i++)
		if (list.items[i].state != 'Z')
			fprintf(stderr, "coop: process %d (%s) cannot be ended: %s\n",
				list.items[i].pid, list.items[i].name, proc_why(&list.items[i]));
	proc_list_free(&list);
}

/* Dies of the signal, as what was started by the user should; PID 1 cannot. */
static int die_of(const struct guard *shared, int sig)
{
	sigset_t set;

	if (!shared->is_first_process) {
		signal(sig, SIG_DFL);
		sigemptyset(&set);
		sigaddset(&set, sig);
		prctl(PR_SET_DUMPABLE, 0); /* a core of the guard would tell nothing */
		raise(sig);
		sigprocmask(SIG_UNBLOCK, &set, NULL);
	}
	return STATUS_SIGNAL + sig;
}

/* Only in the end: whoever reads it may stand still, and we with it. */
static void tell_death_of_runtime(int status)
{
	if (WIFSIGNALED(status))
		fprintf(stderr,
			"coop: its runtime was killed by signal %d (%s): what it had started was "
			"ended\n",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		fputs("coop: its runtime has failed: what it had started was ended\n", stderr);
}

static int finish(struct guard *shared, int status)
{
	int sig = shared->is_finished ? shared->runtime_signal : 0;
	bool is_clean = proc_end_all(SURVIVORS_NS);

	contain_close(shared);
	guard_restore_terminal(shared); /* the runtime has died in between */
	if (!shared->is_finished)
		tell_death_of_runtime(status);
	if (!is_clean && proc_reap_all())
		report_survivors();
	if (sig)
		return die_of(shared, sig);
	if (WIFSIGNALED(status))
		return STATUS_SIGNAL + WTERMSIG(status);
	return shared->is_finished ? WEXITSTATUS(status) : STATUS_OWN;
}

/* ------------------------------------------------------------------------ the start */

static struct guard *share(void)
{
	struct guard *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		return NULL;
	shared->cgroup = -1;
	shared->pid = getpid();
	shared->is_first_process = shared->pid == 1;
	return shared;
}

/* In the runtime's process. SIGCHLD from a parent that ignores it would lose every status. */
static int be_runtime(struct plan *plan, struct guard *shared,
		      int (*body)(struct plan *plan, struct guard *guard))
{
	int status;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_PDEATHSIG, SIGCONT); /* that it looks at the pipe, if it is stopped */
	signal(SIGCHLD, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTSTP, SIG_IGN); /* it is the guard that hears it, and tells us */
	guard_hear_signals(false);
	status = body(plan, shared);
	fflush(NULL);
	_exit(status);
}

int guard_run(struct plan *plan, int (*body)(struct plan *plan, struct guard *guard))
{
	struct guard *shared = share();
	sigset_t taken;
	int pipe[2], runtime;

	if (!shared)
		return fail("memory");
	if (pipe2(pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return fail("pipe");
	if (plan->contain == CONTAIN_CGROUP) { /* its keeper must not be a child of ours */
		errno = -contain_open(shared);
		if (errno)
			return fail("no cgroup can be made here (see coop doctor)");
	}
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return fail("becoming the reaper of orphans");
	signal(SIGCHLD, SIG_DFL);
	save_terminal();
	take_signals(&taken);
	fflush(NULL);
	runtime = fork();
	if (runtime < 0)
		return fail("starting the runtime");
	if (runtime == 0) {
		close(pipe[1]);
		shared->pipe = pipe[0];
		return be_runtime(plan, shared, body);
	}
	close(pipe[0]);
	return finish(shared, serve(shared, pipe[1], runtime, &taken));
}
