/* SPDX-License-Identifier: MIT */
/*
 * coop_main: a run as a program. Signals, the report of errors, the exit status.
 */
#include "sys/overflow.h"
#include "sys/signals.h"

#include <coop/signal.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What an overflow's report says of the task whose stack it is. */
static void describe_overflow(const void *top, char *buf, size_t size)
{
	size_t body = (sizeof(struct cp_body) + 63) & ~(size_t)63;
	const struct cp_body *b = (const struct cp_body *)((const char *)top - body);
	const char *name = cp_task_name(b->task);

	snprintf(buf, size, "\"%s\" (spawned at %s)", name, cp_at(cp_task_site(b->task)));
}

/* Ends as a shell expects of a program that a signal has ended. */
static int die_by(int sig)
{
	struct sigaction act = { .sa_handler = SIG_DFL };
	sigset_t set;

	fflush(NULL);
	if (getpid() == 1)
		return 128 + sig; /* the first process of a container cannot die by a signal */
	cp_os_sigaction(sig, &act, NULL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(sig);
	return 128 + sig;
}

/* The exit status of a result; an error that is none by itself is printed. */
static int status_of(int r, bool stopped)
{
	struct coop_error *e;

	if (r >= 0)
		return 0;
	if (-r >> 8 == -COOP_EEXIT(0) >> 8)
		return -r & 0xff;
	if (r == COOP_EINTERRUPT && stopped)
		return 1; /* the signal says it all */
	e = coop_error_take(r);
	if (e && coop_error_print(stderr, e, 0) < 0)
		fprintf(stderr, "error: %s\n", coop_code_text(r));
	if (!e)
		fprintf(stderr, "error: %s\n", coop_code_text(r));
	coop_error_unref(e);
	return 1;
}

static int setup(struct cp_rt *rt, const struct coop_run_opts *opts)
{
	int r;

	cp_overflow_describe = describe_overflow;
	r = cp_overflow_install();
	if (r < 0)
		coop_log(COOP_LOG_WARN, "stack overflows will not be reported: %s", strerror(-r));
	if (opts && opts->keep_signals)
		return 0;
	return cp_ladder_install(rt);
}

int coop_main_with(coop_fn *fn, void *arg, const struct coop_run_opts *opts)
{
	bool ladder = !(opts && opts->keep_signals);
	bool zero = opts && opts->signal_exit == COOP_EXIT_ZERO;
	struct cp_rt *rt;
	enum coop_shutdown phase;
	int r, sig, status;

	if (cp_rt || !fn) {
		fprintf(stderr, "error: coop_main: %s\n",
			fn ? "called inside a run" : "no function");
		return 1;
	}
	r = cp_rt_open(opts, &rt);
	if (r >= 0 && (r = setup(rt, opts)) < 0)
		cp_rt_close(rt);
	if (r < 0) {
		fprintf(stderr, "error: coop_main cannot start: %s\n", coop_code_text(r));
		return 1;
	}
	r = cp_rt_run(rt, fn, arg);
	sig = rt->stop_signal;
	phase = rt->shutdown;
	if (ladder)
		cp_ladder_remove(rt);
	cp_overflow_remove();
	cp_rt_close(rt);
	if (sig && zero && phase <= COOP_SHUTDOWN_HARD && (r >= 0 || r == COOP_EINTERRUPT))
		return 0;
	status = status_of(r, sig != 0);
	if (sig && !zero && -r >> 8 != -COOP_EEXIT(0) >> 8)
		return die_by(sig);
	return status;
}

int coop_main(coop_fn *fn, void *arg)
{
	return coop_main_with(fn, arg, NULL);
}
