/* SPDX-License-Identifier: MIT */
/*
 * coop_main: a run as a program. Signals, the report of errors, the exit status.
 */
#include "sys/overflow.h"
#include "sys/signals.h"

#include <coop/signal.h>

#include <stdio.h>
#include <unistd.h>

/* What an overflow's report says of the task whose stack it is. */
static void describe_overflow(const void *top, char *buf, size_t size)
{
	size_t body = (sizeof(struct cp_body) + 63) & ~(size_t)63;
	const struct cp_body *b = (const struct cp_body *)((const char *)top - body);
	const char *name = cp_task_name(b->task);

	snprintf(buf, size, "task \"%s\" (spawned at %s)", name, cp_at(cp_task_site(b->task)));
}

int cp_status_of_signal(int sig, pid_t pid)
{
	return pid == 1 ? 128 + sig : 0;
}

/* Ends as a shell expects of a program that a signal has ended. */
static int die_by(int sig)
{
	struct sigaction act = { .sa_handler = SIG_DFL };
	int status = cp_status_of_signal(sig, getpid());
	sigset_t set;

	fflush(NULL);
	if (status)
		return status;
	cp_os_sigaction(sig, &act, NULL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(sig);
	return 128 + sig;
}

static bool is_exit(int r)
{
	return r < 0 && -r >> 8 == -COOP_EEXIT(0) >> 8;
}

static int count_leaf(const struct coop_error *leaf, void *count)
{
	(void)leaf;
	++*(int *)count;
	return 0;
}

/* One error and no more: an interrupt or an exit that stands alone says all by itself. */
static bool is_alone(const struct coop_error *e)
{
	int count = 0;

	return coop_error_leaves(e, count_leaf, &count) == 0 && count <= 1;
}

/* Prints an error; the codes that are none by themselves only where others stand beside them. */
static void report(int r, const struct coop_error *e, int sig)
{
	if (r >= 0 || (is_alone(e) && (is_exit(r) || (r == COOP_EINTERRUPT && sig))))
		return;
	if (!e || coop_error_print(stderr, e, 0) < 0)
		fprintf(stderr, "error: %s\n", coop_code_text(r));
}

/* The exit status of a result, or how else it ends after a signal. */
static int finish(int r, const struct coop_error *e, const struct coop_run_opts *opts, int sig,
		  enum coop_shutdown phase)
{
	if (is_exit(r))
		return -r & 0xff;
	if (!sig)
		return r < 0 ? 1 : 0;
	if (!opts || opts->signal_exit == COOP_EXIT_RERAISE)
		return die_by(sig);
	if (phase > COOP_SHUTDOWN_HARD)
		return 1;
	return r >= 0 || (r == COOP_EINTERRUPT && is_alone(e)) ? 0 : 1;
}

/* Everything a program's run stands on; on failure nothing of it is there. */
static int setup(const struct coop_run_opts *opts, struct cp_rt **ret_rt, bool *ret_overflow)
{
	struct cp_rt *rt;
	int r = cp_rt_open(opts, &rt);

	if (r < 0)
		return r;
	if (!(opts && opts->keep_signals)) {
		r = cp_ladder_install(rt);
		if (r < 0) {
			cp_rt_close(rt);
			return r;
		}
	}
	cp_overflow_describe = describe_overflow;
	r = cp_overflow_install();
	*ret_overflow = r >= 0;
	if (r < 0) /* it can do without */
		coop_log(COOP_LOG_WARN, "stack overflows will not be reported: %s",
			 cp_os_error_text(-r));
	*ret_rt = rt;
	return 0;
}

static const char *refusal(coop_fn *fn)
{
	if (cp_rt)
		return "called inside a run";
	if (cp_rt_forked())
		return coop_code_text(COOP_EFORK);
	return fn ? NULL : "no function";
}

int coop_main_with(coop_fn *fn, void *arg, const struct coop_run_opts *opts)
{
	const char *wrong = refusal(fn);
	enum coop_shutdown phase;
	struct coop_error *e;
	struct cp_rt *rt;
	int r, sig, status;
	bool overflow;

	if (wrong) {
		fprintf(stderr, "error: coop_main: %s\n", wrong);
		return 1;
	}
	r = setup(opts, &rt, &overflow);
	if (r < 0) {
		fprintf(stderr, "error: coop_main cannot start: %s\n", coop_code_text(r));
		return 1;
	}
	r = cp_rt_run(rt, fn, arg);
	e = coop_error_take(r);
	sig = rt->stop_signal;
	phase = rt->shutdown;
	report(r, e, sig); /* before anything can end the process */
	if (overflow)
		cp_overflow_remove();
	if (rt->ladder)
		cp_ladder_remove(rt);
	cp_rt_close(rt);
	status = finish(r, e, opts, sig, phase);
	coop_error_unref(e);
	return status;
}

int coop_main(coop_fn *fn, void *arg)
{
	return coop_main_with(fn, arg, NULL);
}
