/* SPDX-License-Identifier: MIT */
/*
 * Objects of one run, used on a thread where they do not belong: a thread without a run, and one
 * with a run of its own. Each call answers with a code that its comment has, and nothing changes.
 */
#include "../core/core_help.h"

#include <pthread.h>

/* What there is in the run: open, blocked, waiting. */
static struct coop_scope scope = COOP_SCOPE_INIT;
static struct coop_group group = COOP_GROUP_INIT;
static struct coop_handle *sleeper;
static struct coop_signals *signals;
static struct coop_runner *other_runner;

static int nothing(void *arg)
{
	(void)arg;
	FAIL("a foreign thread had this run");
}

/* ---- the calls */

static int scope_open(void)
{
	return coop_scope_open(&scope, NULL);
}

static int scope_close(void)
{
	return coop_scope_close(&scope, 0);
}

static int scope_cancel(void)
{
	return coop_scope_cancel(&scope, "from elsewhere");
}

static int scope_cancel_grace(void)
{
	return coop_scope_cancel_grace(&scope, "from elsewhere", 0);
}

static int scope_deadline(void)
{
	return coop_scope_set_deadline(&scope, 1);
}

static int scope_shield(void)
{
	return coop_scope_set_shield(&scope, true);
}

static struct coop_defer unused = COOP_DEFER_INIT;

static int scope_defer(void)
{
	return coop_scope_defer(&scope, &unused, nothing, NULL);
}

static int scope_undefer(void)
{
	return coop_scope_undefer(&scope, &unused);
}

static int group_cancel(void)
{
	return coop_group_cancel(&group, "from elsewhere");
}

static int group_join(void)
{
	return coop_group_join(&group, 0);
}

static int group_wait(void)
{
	return coop_group_wait(&group);
}

static int spawn(void)
{
	return coop_spawn(&group, nothing, NULL);
}

static int spawn_wait(void)
{
	return coop_spawn_wait(&group, nothing, NULL);
}

static int spawn_with(void)
{
	return coop_spawn_with(&group, nothing, NULL, NULL, NULL);
}

static int start(void)
{
	return coop_start(&group, (coop_start_fn *)(uintptr_t)nothing, NULL, NULL);
}

static int handle_cancel(void)
{
	return coop_handle_cancel(sleeper, "from elsewhere");
}

static int handle_wait(void)
{
	return coop_handle_wait(sleeper, NULL);
}

static int handles_wait(void)
{
	return coop_wait(&sleeper, 1, COOP_WAIT_ALL, COOP_NEVER, NULL);
}

static int signals_receive(void)
{
	return coop_signals_receive(signals);
}

static int signals_try_receive(void)
{
	return coop_signals_try_receive(signals);
}

static int signals_open(void)
{
	static const int usr2[] = { SIGUSR2 };
	struct coop_signals *mine = NULL;

	return coop_signals_open(usr2, 1, &mine);
}

static int runner_run(void)
{
	return coop_runner_run(other_runner, nothing, NULL);
}

static int runner_close(void)
{
	return coop_runner_close(other_runner);
}

/* What it is answered on a thread without a run, and in a task of another one. */
static const struct foreign {
	const char *name;
	int (*call)(void);
	int no_run;
	int other_run;
} calls[] = {
	{ "coop_scope_open", scope_open, COOP_ENOTASK, -EALREADY },
	{ "coop_scope_close", scope_close, COOP_ENOTASK, COOP_EWRONGTASK },
	{ "coop_scope_cancel", scope_cancel, COOP_EWRONGTHREAD, COOP_EWRONGTHREAD },
	{ "coop_scope_cancel_grace", scope_cancel_grace, COOP_EWRONGTHREAD, COOP_EWRONGTHREAD },
	{ "coop_scope_set_deadline", scope_deadline, COOP_EWRONGTHREAD, COOP_EWRONGTHREAD },
	{ "coop_scope_set_shield", scope_shield, COOP_EWRONGTHREAD, COOP_EWRONGTHREAD },
	{ "coop_scope_defer", scope_defer, COOP_ENOTASK, COOP_EWRONGTHREAD },
	{ "coop_scope_undefer", scope_undefer, COOP_EWRONGTHREAD, COOP_EWRONGTHREAD },
	{ "coop_group_cancel", group_cancel, COOP_EWRONGTHREAD, COOP_EWRONGTHREAD },
	{ "coop_group_join", group_join, COOP_ENOTASK, COOP_EWRONGTASK },
	{ "coop_group_wait", group_wait, COOP_EWRONGTHREAD, COOP_EWRONGTHREAD },
	{ "coop_spawn", spawn, COOP_EWRONGTHREAD, COOP_EWRONGTHREAD },
	{ "coop_spawn_wait", spawn_wait, COOP_EWRONGTHREAD, COOP_EWRONGTHREAD },
	{ "coop_spawn_with", spawn_with, COOP_EWRONGTHREAD, COOP_EWRONGTHREAD },
	{ "coop_start", start, COOP_EWRONGTHREAD, COOP_EWRONGTHREAD },
	{ "coop_handle_cancel", handle_cancel, COOP_EWRONGTHREAD, COOP_EWRONGTHREAD },
	{ "coop_handle_wait", handle_wait, COOP_ENOTASK, COOP_EWRONGTHREAD },
	{ "coop_wait", handles_wait, COOP_ENOTASK, COOP_EWRONGTHREAD },
	{ "coop_signals_receive", signals_receive, COOP_ENOTASK, COOP_EWRONGTHREAD },
	{ "coop_signals_try_receive", signals_try_receive, COOP_EWRONGTHREAD, COOP_EWRONGTHREAD },
	{ "coop_signals_open", signals_open, COOP_ENOTASK, COOP_EWRONGTHREAD },
	{ "coop_runner_run", runner_run, COOP_EWRONGTHREAD, COOP_EWRONGTHREAD },
	{ "coop_runner_close", runner_close, COOP_EWRONGTHREAD, COOP_EWRONGTHREAD },
};

static int in_another_run(void *arg)
{
	int *wrong = arg;

	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		int r = calls[i].call();

		if (r != calls[i].other_run) {
			fprintf(stderr, "%s in another run: %d, not %d\n", calls[i].name, r,
				calls[i].other_run);
			++*wrong;
		}
		coop_error_clear();
	}
	return 0;
}

static void *elsewhere(void *arg)
{
	int *wrong = arg;

	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		int r = calls[i].call();

		if (r != calls[i].no_run) {
			fprintf(stderr, "%s without a run: %d, not %d\n", calls[i].name, r,
				calls[i].no_run);
			++*wrong;
		}
		coop_error_clear();
	}
	CHECK_INT(coop_run(in_another_run, arg, NULL), ==, 0);
	return NULL;
}

/* ---- nothing has changed */

TASK_TEST(objects_on_a_thread_that_is_not_theirs)
{
	static const int usr1[] = { SIGUSR1 };
	struct coop_run_stats before, after;
	struct coop_group_stats was, is;
	pthread_t thread;
	int wrong = 0;

	CHECK_INT(coop_signals_open(usr1, 1, &signals), ==, 0);
	CHECK_INT(coop_runner_open(NULL, &other_runner), ==, 0);
	coop_scope_open(&scope, NULL);
	coop_group_open(&group, NULL);
	CHECK_INT(coop_spawn_with(&group, sleep_ms, MSARG(5), NULL, &sleeper), ==, 0);
	CHECK_INT(coop_test_wait_all_blocked(0), ==, 0);
	CHECK_INT(coop_run_stats(&before), ==, 0);
	CHECK_INT(coop_group_stats(&group, &was), ==, 0);

	CHECK_INT(pthread_create(&thread, NULL, elsewhere, &wrong), ==, 0);
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
	CHECK_INT(wrong, ==, 0);

	CHECK_INT(coop_run_stats(&after), ==, 0);
	CHECK_INT(coop_group_stats(&group, &is), ==, 0);
	CHECK_INT(after.tasks, ==, before.tasks);
	CHECK_INT(after.timers, ==, before.timers);
	CHECK_INT(after.spawned, ==, before.spawned);
	CHECK(memcmp(&was, &is, sizeof was) == 0);
	CHECK(!coop_scope_cancel_called(&scope));
	CHECK(!coop_handle_cancel_called(sleeper));
	CHECK_INT(coop_shield_depth(), ==, 0);
	CHECK_INT(coop_group_join(&group, 0), ==, 0);
	CHECK_INT(coop_handle_state(sleeper), ==, COOP_TASK_FINISHED);
	CHECK_INT(now_ms(), ==, 5);
	CHECK_INT(coop_scope_close(&scope, 0), ==, 0);
	coop_handle_release(sleeper);
	coop_signals_close(signals);
	coop_runner_free(other_runner);
	PROVES(B15, B294);
	return 0;
}
