/* SPDX-License-Identifier: MIT */
/*
 * The dump, as golden texts on the virtual clock: who is there, under whom, in what state, what
 * each waits for and since when, in which scopes, with what deadlines, who is cancelled and why.
 *
 * Sites are given by hand, so that the texts do not change with the lines of this file.
 */
#include "core_help.h"

#include "core/core.h"

#include <coop/signal.h>

/* What a dump prints now. */
static char *dump(unsigned flags)
{
	static char text[8192];
	FILE *out = fmemopen(text, sizeof text, "w");

	CHECK(out != NULL);
	CHECK_INT(coop_dump(out, flags), ==, 0);
	fclose(out);
	return text;
}

static int sleeps(void *arg)
{
	return coop_sleep(arg ? MS((intptr_t)arg) : COOP_NEVER);
}

/* ---- one task */

/* The simplest run there is. */
TASK_TEST(a_run_with_one_task)
{
	CHECK_STR(dump(0), "run: 1 tasks, 0 ready, 0 timers, t=0.000s\n"
			   "task #1 \"main\" running [spawned at coop_run:0]\n");
	CHECK_INT(coop_sleep(MS(1234)), ==, 0);
	CHECK_INT(coop_set_name("the app"), ==, 0);
	CHECK_STR(dump(COOP_DUMP_TIMES), "run: 1 tasks, 0 ready, 0 timers, t=1.234s\n"
					 "task #1 \"the app\" running [spawned at coop_run:0]\n");
	PROVES(B328, B333);
	return 0;
}

/* With the runtime's own tasks the root is seen, and the run's group. */
TASK_TEST(the_tasks_of_the_runtime_if_asked_for)
{
	CHECK_STR(dump(COOP_DUMP_INTERNAL),
		  "run: 1 tasks, 0 ready, 0 timers, t=0.000s\n"
		  "task #0 \"run\" blocked in coop_run on main [spawned at coop_run:0]\n"
		  "  group (coop_run:0): 1 alive\n"
		  "    task #1 \"main\" running [spawned at coop_run:0]\n");
	CHECK_INT(coop_dump(stdout, 0), ==, 0);
	return 0;
}

/* ---- states and waits */

static struct coop_handle *slow;

static int waits(void *arg)
{
	(void)arg;
	return coop_handle_wait(slow, NULL);
}

static int receives(void *arg)
{
	return coop_signals_receive(arg);
}

static int joins(void *arg)
{
	struct coop_group_opts inner = { .name = "inner" };
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open_at(&g, &inner, "app.c\00030");
	CHECK_INT(coop_spawn_at(&g, sleeps, arg, "leaf\0app.c\00031"), ==, 0);
	return coop_group_join(&g, 0);
}

static int yields(void *arg)
{
	while (!*(bool *)arg)
		coop_yield();
	return 0;
}

static int waits_for_group(void *arg)
{
	return coop_group_wait(arg);
}

/* Every state, and every way to be blocked: with what, on whom, since when. */
TASK_TEST(states_and_what_each_waits_for)
{
	static const int usr1[] = { SIGUSR1 };
	struct coop_spawn_opts service = { .service = true, .name = "signals" };
	struct coop_spawn_opts kept = { .shutdown_wait = true };
	struct coop_group_opts outer = { .name = "outer" };
	struct coop_group g = COOP_GROUP_INIT, other = COOP_GROUP_INIT;
	struct coop_signals *s;
	bool stop = false;

	CHECK_INT(coop_signals_open(usr1, 1, &s), ==, 0);
	coop_group_open_at(&g, &outer, "app.c\00010");
	CHECK_INT(coop_spawn_with_at(&g, sleeps, MSARG(5000), &kept, &slow, "slow\0app.c\00011"),
		  ==, 0);
	CHECK_INT(coop_spawn_at(&g, waits, NULL, "waits\0app.c\00012"), ==, 0);
	CHECK_INT(coop_spawn_at(&g, sleeps, NULL, "ever\0app.c\00013"), ==, 0);
	CHECK_INT(coop_sleep(MS(250)), ==, 0);
	CHECK_INT(coop_spawn_at(&g, joins, MSARG(1000), "joins\0app.c\00014"), ==, 0);
	CHECK_INT(coop_spawn_with_at(&g, receives, s, &service, NULL, "r\0app.c\00015"), ==, 0);
	coop_group_open_at(&other, NULL, "app.c\00016");
	CHECK_INT(coop_spawn_at(&other, waits_for_group, &g, "idle\0app.c\00017"), ==, 0);
	CHECK_INT(coop_sleep(MS(250)), ==, 0);
	CHECK_INT(coop_spawn_at(&other, yields, &stop, "yields\0app.c\00018"), ==, 0);
	coop_yield();
	CHECK_INT(coop_spawn_at(&other, sleeps, NULL, "new\0app.c\00019"), ==, 0);
	CHECK_STR(dump(COOP_DUMP_TIMES),
		  "run: 10 tasks, 2 ready, 2 timers, t=0.500s\n"
		  "task #1 \"main\" running [spawned at coop_run:0]\n"
		  "  group \"outer\" (app.c:10): 5 alive\n"
		  "    task #2 \"slow\" blocked in coop_sleep 5.000s for 0.500s, shutdown "
		  "waits for it [spawned at app.c:11]\n"
		  "    task #3 \"waits\" blocked in coop_handle_wait on main/outer/slow "
		  "for 0.500s [spawned at app.c:12]\n"
		  "    task #4 \"ever\" blocked in coop_sleep for ever for 0.500s [spawned "
		  "at app.c:13]\n"
		  "    task #5 \"joins\" blocked in coop_group_join on its children for "
		  "0.250s [spawned at app.c:14]\n"
		  "      group \"inner\" (app.c:30): 1 alive\n"
		  "        task #8 \"leaf\" blocked in coop_sleep 1.000s for 0.250s "
		  "[spawned at app.c:31]\n"
		  "    task #6 \"signals\" blocked in coop_signals_receive for 0.250s, "
		  "service [spawned at app.c:15]\n"
		  "    group (app.c:16): 3 alive\n"
		  "      task #7 \"idle\" blocked in coop_group_wait on its children for "
		  "0.250s [spawned at app.c:17]\n"
		  "      task #9 \"yields\" ready [spawned at app.c:18]\n"
		  "      task #10 \"new\" new [spawned at app.c:19]\n");
	CHECK(!strstr(dump(0), " for 0."));
	stop = true;
	coop_group_cancel(&g, NULL);
	CHECK_INT(coop_group_join(&other, 0), ==, COOP_ECANCELED);
	CHECK_INT(coop_group_join(&g, COOP_ECANCELED), ==, 0);
	coop_handle_release(slow);
	coop_signals_close(s);
	PROVES(B328);
	return 0;
}

/* ---- scopes */

static int in_scopes(void *arg)
{
	struct coop_scope_opts limit = { .name = "limit", .timeout_ns = SEC(2) };
	struct coop_scope_opts hard = { .name = "hard", .shield = true };
	struct coop_scope_opts soft = { .soft_shield_ns = SEC(9) };
	struct coop_scope a = COOP_SCOPE_INIT, b = COOP_SCOPE_INIT, c = COOP_SCOPE_INIT;
	int r;

	(void)arg;
	coop_scope_open_at(&a, &limit, "app.c\00021");
	coop_scope_open_at(&b, &hard, "app.c\00022");
	coop_scope_open_at(&c, &soft, "app.c\00023");
	r = coop_sleep(SEC(1));
	r = coop_scope_close(&c, r);
	r = coop_scope_close(&b, r);
	return coop_scope_close(&a, r);
}

static int ignores(void *arg)
{
	struct cp_wait w = { .what = "a driver", .kind = CP_ON_NOTHING };
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	coop_scope_open_at(&s, NULL, "app.c\00041");
	*(struct coop_scope **)arg = &s;
	r = cp_park(cp_rt, &w);
	return coop_scope_close(&s, r);
}

/* Deadlines, shields, cancellations: each scope with its own reason, or that it is from outside. */
TASK_TEST(scopes_deadlines_and_reasons)
{
	struct coop_scope_opts deadline = { .deadline_ns = coop_now() + SEC(60) };
	struct coop_group_opts jobs = { .name = "jobs", .timeout_ns = SEC(30) };
	struct coop_scope outer = COOP_SCOPE_INIT, *inner = NULL;
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_task *ignoring;

	coop_scope_open_at(&outer, &deadline, "app.c\0009");
	coop_group_open_at(&g, &jobs, "app.c\00010");
	CHECK_INT(coop_spawn_at(&g, in_scopes, NULL, "scopes\0app.c\00011"), ==, 0);
	CHECK_INT(coop_spawn_at(&g, ignores, &inner, "ignores\0app.c\00012"), ==, 0);
	CHECK_INT(coop_sleep(MS(100)), ==, 0);
	ignoring = inner->_task;
	coop_scope_cancel_at(inner, "not needed", COOP_NEVER, "app.c\00050");
	CHECK_INT(coop_sleep(MS(100)), ==, 0);
	coop_group_cancel_at(&g, "enough", COOP_NEVER, "app.c\00051");
	CHECK_STR(dump(0),
		  "run: 3 tasks, 0 ready, 3 timers, t=0.200s\n"
		  "task #1 \"main\" running [spawned at coop_run:0]\n"
		  "  scope (app.c:9), deadline in 59.800s\n"
		  "    group \"jobs\" (app.c:10): 2 alive, deadline in 29.800s, cancelled: "
		  "enough by main (app.c:51)\n"
		  "      task #2 \"scopes\" blocked in coop_sleep 1.000s, cancelled from "
		  "outside [spawned at app.c:11]\n"
		  "        scope \"limit\" (app.c:21), deadline in 1.800s, cancelled from "
		  "outside\n"
		  "          scope \"hard\" (app.c:22), shielded\n"
		  "            scope (app.c:23), soft shield\n"
		  "      task #3 \"ignores\" cancelling in a driver, cancelled from "
		  "outside [spawned at app.c:12]\n"
		  "        scope (app.c:41), cancelled: not needed by main (app.c:50)\n");
	CHECK_HAS(dump(COOP_DUMP_TIMES), "cancelled 0.000s ago: enough by main (app.c:51)\n");
	CHECK_HAS(dump(COOP_DUMP_TIMES), "cancelled 0.100s ago: not needed by main (app.c:50)\n");
	cp_wake(cp_rt, ignoring, 0);
	CHECK_INT(coop_group_join(&g, COOP_ECANCELED), ==, 0);
	CHECK_INT(coop_scope_close(&outer, 0), ==, 0);
	PROVES(B328);
	return 0;
}

static int fails(void *arg)
{
	(void)arg;
	return coop_fail_at(-EIO, "app.c", 60, "fails", "disk gone");
}

/* A cancel by a failure says whose, and where; one by a deadline is told as such. */
TASK_TEST(reasons_of_the_runtime)
{
	struct coop_group_opts jobs = { .name = "jobs" }, timed = { .timeout_ns = MS(5) };
	struct coop_group g = COOP_GROUP_INIT, h = COOP_GROUP_INIT;

	coop_group_open_at(&g, &jobs, "app.c\00010");
	CHECK_INT(coop_spawn_at(&g, fails, NULL, "fails\0app.c\00011"), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, COOP_ECANCELED);
	CHECK_HAS(dump(0), "group \"jobs\" (app.c:10): 0 alive, cancelled: child \"fails\" failed "
			   "(app.c:60)\n");
	CHECK_INT(coop_group_join(&g, COOP_ECANCELED), ==, -EIO);
	coop_error_clear();
	coop_group_open_at(&h, &timed, "app.c\00020");
	CHECK_INT(coop_sleep(SEC(1)), ==, COOP_ECANCELED);
	CHECK_HAS(dump(0), "group (app.c:20): 0 alive, deadline in 0.000s, cancelled: deadline "
			   "(app.c:20)\n");
	CHECK_INT(coop_group_join(&h, COOP_ECANCELED), ==, COOP_ETIMEDOUT);
	coop_error_clear();
	PROVES(B328);
	return 0;
}

/* ---- shape */

static int nests(void *arg)
{
	int depth = (int)(intptr_t)arg, r;
	struct coop_group a = COOP_GROUP_INIT, b = COOP_GROUP_INIT;

	if (!depth)
		return coop_sleep(SEC(1));
	coop_group_open_at(&a, NULL, "app.c\0001");
	CHECK_INT(coop_spawn_at(&a, nests, MSARG(depth - 1), "a\0app.c\0002"), ==, 0);
	coop_group_open_at(&b, NULL, "app.c\0003");
	CHECK_INT(coop_spawn_at(&b, nests, MSARG(depth - 1), "b\0app.c\0004"), ==, 0);
	CHECK_INT(coop_spawn_at(&a, nests, MSARG(depth - 1), "c\0app.c\0005"), ==, 0);
	r = coop_group_join(&b, 0);
	return coop_group_join(&a, r);
}

/* Several groups in one task, each with children that have groups: every task is there once, in
 * its place, and the same text comes out again. */
TASK_TEST(the_shape_of_the_tree)
{
	struct coop_group g = COOP_GROUP_INIT;
	static char first[8192];

	coop_group_open_at(&g, NULL, "app.c\0000");
	CHECK_INT(coop_spawn_at(&g, nests, MSARG(2), "top\0app.c\0009"), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_STR(strcpy(first, dump(0)),
		  "run: 14 tasks, 0 ready, 9 timers, t=0.001s\n"
		  "task #1 \"main\" running [spawned at coop_run:0]\n"
		  "  group (app.c:0): 1 alive\n"
		  "    task #2 \"top\" blocked in coop_group_join on its children [spawned "
		  "at app.c:9]\n"
		  "      group (app.c:1): 2 alive\n"
		  "        task #3 \"a\" blocked in coop_group_join on its children "
		  "[spawned at app.c:2]\n"
		  "          group (app.c:1): 2 alive\n"
		  "            task #6 \"a\" blocked in coop_sleep 1.000s [spawned at "
		  "app.c:2]\n"
		  "            task #8 \"c\" blocked in coop_sleep 1.000s [spawned at "
		  "app.c:5]\n"
		  "            group (app.c:3): 1 alive\n"
		  "              task #7 \"b\" blocked in coop_sleep 1.000s [spawned at "
		  "app.c:4]\n"
		  "        task #5 \"c\" blocked in coop_group_join on its children "
		  "[spawned at app.c:5]\n"
		  "          group (app.c:1): 2 alive\n"
		  "            task #12 \"a\" blocked in coop_sleep 1.000s [spawned at "
		  "app.c:2]\n"
		  "            task #14 \"c\" blocked in coop_sleep 1.000s [spawned at "
		  "app.c:5]\n"
		  "            group (app.c:3): 1 alive\n"
		  "              task #13 \"b\" blocked in coop_sleep 1.000s [spawned at "
		  "app.c:4]\n"
		  "        group (app.c:3): 1 alive\n"
		  "          task #4 \"b\" blocked in coop_group_join on its children "
		  "[spawned at app.c:4]\n"
		  "            group (app.c:1): 2 alive\n"
		  "              task #9 \"a\" blocked in coop_sleep 1.000s [spawned at "
		  "app.c:2]\n"
		  "              task #11 \"c\" blocked in coop_sleep 1.000s [spawned at "
		  "app.c:5]\n"
		  "              group (app.c:3): 1 alive\n"
		  "                task #10 \"b\" blocked in coop_sleep 1.000s [spawned at "
		  "app.c:4]\n");
	CHECK_STR(dump(0), first);
	PROVES(B328, B327);
	return coop_group_join(&g, 0);
}

static int deep(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int depth = (int)(intptr_t)arg;

	if (!depth)
		return coop_sleep(MS(1));
	coop_group_open_at(&g, NULL, "app.c\0001");
	CHECK_INT(coop_spawn_at(&g, deep, MSARG(depth - 1), "deep\0app.c\0002"), ==, 0);
	return coop_group_join(&g, 0);
}

/* However deep the tree, the dump takes no more stack, and its lines stay readable. */
TASK_TEST(a_deep_tree)
{
	int depth = TEST_COUNT(5000, 500), lines = 0;
	struct coop_group g = COOP_GROUP_INIT;
	char *text = NULL;
	size_t size = 0, longest = 0;
	FILE *out;

	coop_group_open_at(&g, NULL, "app.c\0000");
	CHECK_INT(coop_spawn_at(&g, deep, MSARG(depth), "deep\0app.c\0002"), ==, 0);
	while (coop_sleep(0) == 0 && cp_rt->wheel.count == 0)
		;
	out = open_memstream(&text, &size);
	CHECK(out != NULL);
	CHECK_INT(coop_dump(out, 0), ==, 0);
	fclose(out);
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1, lines++)
		if ((size_t)(end - line) > longest)
			longest = (size_t)(end - line);
	CHECK_INT(lines, ==, 3 + 2 * depth + 1);
	CHECK_INT(longest, <, 200);
	free(text);
	return coop_group_join(&g, 0);
}

/* ---- errors, and a dump by signal */

/* A stream that takes nothing is told; outside of tasks there is nothing to dump. */
TASK_TEST(a_stream_that_fails)
{
	FILE *out = fopen("/dev/full", "w");

	CHECK(out != NULL);
	setvbuf(out, NULL, _IONBF, 0);
	CHECK_INT(coop_dump(out, 0), ==, -EIO);
	fclose(out);
	return 0;
}

TEST(a_dump_outside_of_tasks)
{
	CHECK_INT(coop_dump(stdout, 0), ==, COOP_ENOTASK);
}

static int dumps_on_signal(void *arg)
{
	int r;

	while ((r = coop_signals_receive(arg)) > 0)
		say("%s", strstr(dump(COOP_DUMP_TIMES), "    task"));
	return r;
}

static int sends(void *arg)
{
	(void)arg;
	return kill(getpid(), SIGUSR1);
}

/* Asked by SIGUSR1, a service of three lines dumps whatever is going on. */
TASK_TEST(a_dump_by_signal)
{
	static const int usr1[] = { SIGUSR1 };
	struct coop_spawn_opts service = { .service = true };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_signals *s;

	CHECK_INT(coop_signals_open(usr1, 1, &s), ==, 0);
	coop_group_open_at(&g, NULL, "app.c\0001");
	CHECK_INT(coop_spawn_with_at(&g, dumps_on_signal, s, &service, NULL, "d\0app.c\0002"), ==,
		  0);
	CHECK_INT(coop_spawn_at(&g, sleeps, MSARG(2), "work\0app.c\0003"), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(sends(NULL), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_signals_close(s);
	CHECK_TRAIL("    task #2 \"d\" running, service [spawned at app.c:2]\n"
		    "    task #3 \"work\" blocked in coop_sleep 0.002s for 0.001s [spawned at "
		    "app.c:3]\n");
	PROVES(B328);
	return 0;
}

/* Two runs print the same, byte for byte. */
static char texts[2][8192];

static int one_of_two(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, nests, MSARG(2)), ==, 0);
	CHECK_INT(coop_spawn(&g, in_scopes, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(3)), ==, 0);
	coop_group_cancel(&g, "over");
	strcpy(arg, dump(COOP_DUMP_TIMES | COOP_DUMP_INTERNAL));
	return coop_group_join(&g, COOP_ECANCELED);
}

TEST(two_runs_print_the_same)
{
	for (int i = 0; i < 2; i++)
		CHECK_INT(coop_run(one_of_two, texts[i], &virtual_clock), ==, 0);
	CHECK_STR(texts[0], texts[1]);
	CHECK(!strstr(texts[0], "0x"));
	PROVES(B328, B327);
}
