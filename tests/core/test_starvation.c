/* SPDX-License-Identifier: MIT */
/*
 * Nobody starves: beside a task that is always ready, timers fire and the world outside is heard,
 * whatever keeps that task ready. Told by who gets on, never by how long it took.
 */
#include "core_help.h"
#include "core/private.h"

#include <fcntl.h>
#include <sys/time.h>

static bool enough;

/* The ways to be always ready. */
static int yields(void)
{
	return coop_yield();
}

static int checks(void)
{
	return coop_checkpoint();
}

static int sleeps_none(void)
{
	return coop_sleep(0);
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int spawns(void)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	coop_group_open(&g, NULL);
	r = coop_spawn(&g, nothing, NULL);
	return coop_group_join(&g, r);
}

static int (*const ways[])(void) = { yields, checks, sleeps_none, spawns };

static int busy(void *arg)
{
	int (*way)(void) = ways[(intptr_t)arg];
	int r = 0;

	while (!enough && r >= 0)
		r = way();
	return r;
}

/* ---- a busy task, a timer, a pipe */

static int pipe_fds[2];

static int ticks_3(void *arg)
{
	(void)arg;
	for (int i = 0; i < 3; i++) {
		int r = coop_sleep(MS(1));

		if (r < 0)
			return r;
		CHECK_INT(write(pipe_fds[1], "x", 1), ==, 1);
	}
	say("timer ");
	return 0;
}

/* The pipe makes itself heard by SIGIO, whenever it becomes readable. */
static int reads_3(void *arg)
{
	struct coop_signals *signals = arg;
	char byte;

	for (int got = 0; got < 3;) {
		int r = coop_signals_receive(signals);

		if (r < 0)
			return r;
		while (read(pipe_fds[0], &byte, 1) == 1)
			got++;
	}
	say("pipe ");
	enough = true;
	return 0;
}

static int busy_timer_and_pipe(void *arg)
{
	static const int io_only[] = { SIGIO };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_signals *signals;
	int r;

	enough = false;
	CHECK_INT(coop_signals_open(io_only, 1, &signals), ==, 0);
	CHECK_INT(pipe2(pipe_fds, O_CLOEXEC), ==, 0);
	CHECK_INT(fcntl(pipe_fds[0], F_SETOWN, getpid()), ==, 0);
	CHECK_INT(fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK | O_ASYNC), ==, 0);
	coop_group_open(&g, NULL);
	r = coop_spawn(&g, busy, arg);
	if (r >= 0)
		r = coop_spawn(&g, ticks_3, NULL);
	if (r >= 0)
		r = coop_spawn(&g, reads_3, signals);
	r = coop_group_join(&g, r);
	coop_signals_close(signals);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return r;
}

TEST(a_busy_task_a_timer_and_a_pipe)
{
	for (intptr_t way = 0; way < 4; way++) {
		CHECK_INT(coop_run(busy_timer_and_pipe, (void *)way, NULL), ==, 0);
		CHECK_TRAIL("timer pipe ");
	}
	PROVES(B326);
}

/* Several busy ones, with and without a seed: the timer and the pipe get on beside them. */
static int many_busy(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	enough = false;
	coop_group_open(&g, NULL);
	for (intptr_t i = 0; i < 40 && r >= 0; i++)
		r = coop_spawn(&g, busy, (void *)(i % 4));
	if (r >= 0)
		r = busy_timer_and_pipe(arg);
	enough = true;
	return coop_group_join(&g, r);
}

TEST(many_busy_tasks_a_timer_and_a_pipe)
{
	struct coop_run_opts opts = { .seed = 0 };

	for (opts.seed = 0; opts.seed < 3; opts.seed++) {
		CHECK_INT(coop_run(many_busy, NULL, &opts), ==, 0);
		CHECK_TRAIL("timer pipe ");
	}
	PROVES(B326);
}

/* ---- the bound */

/* Counts the switches of the run from the moment when its time has come until it runs. */
static uint64_t switches_late;
static const struct cp_private *core;

static int is_woken(void *arg)
{
	struct coop_run_stats s;
	int64_t due = coop_now() + MS(5);
	int r = coop_sleep_until(due);

	(void)arg;
	CHECK_INT(coop_run_stats(&s), ==, 0);
	switches_late = s.switches - switches_late;
	enough = true;
	return r;
}

/* Moves the clock as the real one does: without a word to the loop. */
static int lets_time_pass(void *arg)
{
	struct coop_run_stats s;
	int r = coop_yield();

	(void)arg;
	core->rt()->now_ns += MS(10);
	CHECK_INT(coop_run_stats(&s), ==, 0);
	switches_late = s.switches;
	return r;
}

static int counts_switches(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	enough = false;
	coop_group_open(&g, NULL);
	r = coop_spawn(&g, is_woken, NULL);
	for (int i = 0; i < 3 && r >= 0; i++)
		r = coop_spawn(&g, busy, arg);
	if (r >= 0)
		r = coop_spawn(&g, lets_time_pass, NULL);
	return coop_group_join(&g, r);
}

/* However busy the others are, a sleeper runs within a turn and a queue after its time has come. */
TEST(rel_C06_sleepers_under_load)
{
	core = coop_private(CP_PRIVATE_VERSION);
	for (intptr_t way = 0; way < 4; way++) {
		CHECK_INT(coop_run(counts_switches, (void *)way, &virtual_clock), ==, 0);
		CHECK_INT(switches_late, <=, 61 + 8);
	}
	PROVES(rel_C06, B326);
}

/* Ready tasks take turns: none runs twice while another one waits. */
static int rounds[5];

static int counts_rounds(void *arg)
{
	int i = (int)(intptr_t)arg, r = 0;

	while (rounds[i] < 1000 && r >= 0) {
		rounds[i]++;
		for (int k = 0; k < 5; k++)
			CHECK_INT(abs(rounds[i] - rounds[k]), <=, 1);
		r = coop_yield();
	}
	return r;
}

TASK_TEST(ready_tasks_take_turns)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (intptr_t i = 0; i < 5; i++)
		CHECK_INT(coop_spawn(&g, counts_rounds, (void *)i), ==, 0);
	PROVES(B326);
	return coop_group_join(&g, 0);
}

/* A task that never waits, in calls that need not: after its budget the others get their turn. */
static int never_waits(void *arg)
{
	int calls = 0, r = 0;

	(void)arg;
	while (!enough && r >= 0) {
		r = coop_checkpoint();
		calls++;
	}
	say("%d calls ", calls);
	return r;
}

static int stops_it(void *arg)
{
	(void)arg;
	enough = true;
	return 0;
}

static int with_a_budget(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	enough = false;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, never_waits, arg), ==, 0);
	CHECK_INT(coop_spawn(&g, stops_it, arg), ==, 0);
	return coop_group_join(&g, 0);
}

TEST(the_budget_of_a_task)
{
	struct coop_run_opts opts = { .clock = COOP_CLOCK_VIRTUAL };

	CHECK_INT(coop_run(with_a_budget, NULL, &opts), ==, 0);
	CHECK_TRAIL("128 calls ");
	opts.budget = 7;
	CHECK_INT(coop_run(with_a_budget, NULL, &opts), ==, 0);
	CHECK_TRAIL("7 calls ");
	PROVES(B326);
}
