/* SPDX-License-Identifier: MIT */
/* What run.h, signal.h, trace.h, log.h and version.h promise, call by call. */
#include "../core/core_help.h"

struct stage {
	struct coop_runner *runner;   /* outside: open and not running */
	struct coop_signals *signals; /* in a task: for SIGUSR1 and SIGUSR2; one has come */
	FILE *out;
};

#include "contract.h"

static int returns_7(void *arg)
{
	(void)arg;
	return 7;
}

static void stage_open(struct stage *s, bool in_task)
{
	static const int signals[] = { SIGUSR1, SIGUSR2 };

	s->out = fopen("/dev/null", "w");
	CHECK(s->out != NULL);
	if (in_task) {
		signal(SIGUSR1, SIG_IGN); /* where it goes if no row takes it */
		CHECK_INT(coop_signals_open(signals, 2, &s->signals), ==, 0);
		raise(SIGUSR1);
		CHECK_INT(coop_test_wait_all_blocked(0), ==, 0); /* the loop has seen it */
	} else {
		CHECK_INT(coop_runner_open(NULL, &s->runner), ==, 0);
	}
}

static void stage_close(struct stage *s, bool in_task)
{
	fclose(s->out);
	if (in_task)
		coop_signals_close(s->signals);
	else
		coop_runner_free(s->runner);
}

/* ---- run.h */

ROW(coop_run, NEVER, -EALREADY, 7)
{
	return coop_run(returns_7, s, NULL);
}

ROW_AS(coop_run, nothing, NEVER, -EALREADY, -EINVAL)
{
	return coop_run(NULL, s, NULL);
}

ROW_AS(coop_run, bad_options, NEVER, -EALREADY, -EINVAL)
{
	return coop_run(returns_7, s, &(struct coop_run_opts){ ._reserved = { 1 } });
}

ROW(coop_runner_open, NEVER, 0, 0)
{
	struct coop_runner *runner;
	int r = coop_runner_open(NULL, &runner);

	if (r == 0)
		CHECK(!coop_runner_free(runner));
	return r;
}

ROW_AS(coop_runner_open, bad_options, NEVER, -EINVAL, -EINVAL)
{
	struct coop_runner *runner = NULL;
	int r = coop_runner_open(&(struct coop_run_opts){ .grace_ns = -1 }, &runner);

	CHECK(!runner);
	return r;
}

/* Another runner, made inside of a run: it can be made, and not be run. */
static int run_another(coop_fn *fn)
{
	struct coop_runner *runner;
	int r;

	CHECK_INT(coop_runner_open(NULL, &runner), ==, 0);
	r = coop_runner_run(runner, fn, NULL);
	coop_runner_free(runner);
	return r;
}

ROW(coop_runner_run, NEVER, -EALREADY, 7)
{
	return run_another(returns_7);
}

ROW_AS(coop_runner_run, nothing, NEVER, -EALREADY, -EINVAL)
{
	return run_another(NULL);
}

ROW(coop_runner_close, NEVER, 0, COOP_ECLOSED)
{
	if (!s->runner)
		return 0;
	CHECK_INT(coop_runner_close(s->runner), ==, 0);
	CHECK_INT(coop_runner_close(s->runner), ==, 0);
	return coop_runner_run(s->runner, returns_7, NULL);
}

ROW(coop_runner_free, NEVER, 0, 0)
{
	CHECK(!coop_runner_free(NULL));
	return 0;
}

/* Inside a run there is no second program: the status says that it went wrong. */
ROW(coop_main, NEVER, 1, 0)
{
	return coop_main(returns_7, NULL);
}

ROW(coop_main_with, NEVER, 1, 0)
{
	return coop_main_with(returns_7, NULL, &(struct coop_run_opts){ .keep_signals = true });
}

ROW(coop_stop, NEVER, 0, COOP_ENOTASK)
{
	return coop_stop("row");
}

ROW_AS(coop_stop, twice, NEVER, 1, COOP_ENOTASK)
{
	int r = coop_stop("row");

	return r < 0 ? r : coop_stop("row");
}

ROW(coop_shutdown_phase, NEVER, COOP_SHUTDOWN_NONE, COOP_SHUTDOWN_NONE)
{
	return (int)coop_shutdown_phase();
}

ROW(coop_on_shutdown, NEVER, 0, COOP_ENOTASK)
{
	return coop_on_shutdown(returns_7, NULL);
}

ROW_AS(coop_on_shutdown, nothing, NEVER, -EINVAL, COOP_ENOTASK)
{
	return coop_on_shutdown(NULL, NULL);
}

ROW_AS(coop_on_shutdown, too_many, NEVER, -ENOSPC, COOP_ENOTASK)
{
	int r = 0;

	for (int i = 0; i < 8 && r >= 0; i++)
		r = coop_on_shutdown(returns_7, NULL);
	return r < 0 ? r : coop_on_shutdown(returns_7, NULL);
}

ROW_AS(coop_on_shutdown, too_late, NEVER, -EALREADY, COOP_ENOTASK)
{
	int r = coop_stop("row");

	return r < 0 ? r : coop_on_shutdown(returns_7, NULL);
}

ROW(coop_run_group, NEVER, 1, 0)
{
	return coop_run_group() != NULL;
}

ROW(coop_clock_is_virtual, NEVER, true, false)
{
	return coop_clock_is_virtual();
}

/* ---- signal.h */

ROW(coop_signals_open, NEVER, -EBUSY, COOP_ENOTASK)
{
	static const int signals[] = { SIGHUP, SIGUSR2 };
	struct coop_signals *other = NULL;
	int r = coop_signals_open(signals, 2, &other);

	CHECK(!other);
	return r;
}

ROW_AS(coop_signals_open, none, NEVER, -EINVAL, COOP_ENOTASK)
{
	struct coop_signals *other = NULL;

	return coop_signals_open(NULL, 0, &other);
}

ROW_AS(coop_signals_open, kill, NEVER, -EINVAL, COOP_ENOTASK)
{
	static const int signals[] = { SIGHUP, SIGKILL };
	struct coop_signals *other = NULL;

	return coop_signals_open(signals, 2, &other);
}

ROW(coop_signals_receive, ALWAYS, SIGUSR1, NOTHING_OUTSIDE)
{
	return coop_signals_receive(s->signals);
}

ROW(coop_signals_try_receive, NEVER, SIGUSR1, NOTHING_OUTSIDE)
{
	return coop_signals_try_receive(s->signals);
}

ROW_AS(coop_signals_try_receive, none, NEVER, -EAGAIN, NOTHING_OUTSIDE)
{
	CHECK_INT(coop_signals_try_receive(s->signals), ==, SIGUSR1);
	return coop_signals_try_receive(s->signals);
}

ROW(coop_signals_close, NEVER, 0, 0)
{
	CHECK(!coop_signals_close(NULL));
	if (!s->signals)
		return 0;
	CHECK_INT(coop_signals_try_receive(s->signals), ==, SIGUSR1);
	s->signals = coop_signals_close(s->signals);
	return s->signals != NULL;
}

ROW(coop_signal_name, NEVER, 0, 0)
{
	CHECK_STR(coop_signal_name(SIGINT), "SIGINT");
	CHECK_STR(coop_signal_name(-1), "SIG?");
	CHECK_STR(coop_signal_name(INT32_MAX), "SIG?");
	return 0;
}

/* ---- trace.h */

ROW(coop_dump, NEVER, 0, COOP_ENOTASK)
{
	return coop_dump(s->out, COOP_DUMP_INTERNAL | COOP_DUMP_TIMES);
}

ROW(coop_run_stats, NEVER, 0, COOP_ENOTASK)
{
	struct coop_run_stats stats = { .tasks = 99 };
	int r = coop_run_stats(&stats);

	CHECK_INT(stats.tasks, ==, r < 0 ? 99 : 1);
	return r;
}

/* ---- log.h, version.h */

ROW(coop_log_set, NEVER, 0, 0)
{
	coop_log_set(NULL, NULL, COOP_LOG_ERROR);
	return 0;
}

ROW(coop_log, NEVER, 1, 1)
{
	keep_records(COOP_LOG_WARN);
	coop_log(COOP_LOG_INFO, "%s", "not this");
	coop_log(COOP_LOG_WARN, "%s", "this");
	CHECK_STR(records, "this\n");
	coop_log_set(NULL, NULL, COOP_LOG_WARN);
	return records_count;
}

ROW(coop_version, NEVER, COOP_VERSION, COOP_VERSION)
{
	return coop_version();
}
