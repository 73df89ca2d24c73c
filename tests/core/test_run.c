/* SPDX-License-Identifier: MIT */
/*
 * Starts, handles, runs: readiness hand-over, results that outlive the task, runners, the
 * environment, deadlocks, locals, the dump. On the virtual clock where time matters.
 */
#include "test.h"

#include <coop.h>
#include <coop/testing.h>

#include "core/core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS COOP_MILLISECONDS

static const struct coop_run_opts virtual_clock = { .clock = COOP_CLOCK_VIRTUAL };
static int64_t start_ns;

static int64_t ms(void)
{
	return (coop_now() - start_ns) / 1000000;
}

static int run(coop_fn *fn)
{
	return coop_run(fn, NULL, &virtual_clock);
}

/* ------------------------------------------------------------------------- starts */

enum server_kind { STARTS, ENDS_FIRST, FAILS_FIRST, FAILS_LATER, NEVER_READY };

static int server(void *arg, struct coop_start *start)
{
	enum server_kind kind = (enum server_kind)(intptr_t)arg;
	int r = coop_sleep(kind == NEVER_READY ? COOP_NEVER : MS(10));

	if (r < 0)
		return r;
	if (kind == ENDS_FIRST)
		return 0;
	if (kind == FAILS_FIRST)
		return coop_fail(-EADDRINUSE, "port taken");
	CHECK_INT(coop_started(start, 8080), ==, 0);
	CHECK_INT(coop_started(start, 1), ==, start ? -EALREADY : 0);
	r = coop_sleep(MS(20));
	return r < 0 ? r : kind == FAILS_LATER ? coop_fail(-EIO, "later") : 0;
}

#define KIND(k) ((void *)(intptr_t)(k))

static int starts(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT, h = COOP_GROUP_INIT;
	int port = 0, r;

	(void)arg;
	start_ns = coop_now();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_start(&g, server, KIND(STARTS), &port), ==, 0);
	CHECK_INT(port, ==, 8080);
	CHECK_INT(ms(), ==, 10);
	PROVES(B123);
	PROVES(B128);
	CHECK_INT(coop_start(&g, server, KIND(ENDS_FIRST), &port), ==, COOP_ENOTSTARTED);
	PROVES(B127);
	r = coop_start(&g, server, KIND(FAILS_FIRST), &port);
	CHECK_INT(r, ==, -EADDRINUSE);
	CHECK(coop_error_member(coop_error_peek(r), 0) == NULL); /* bare, no group */
	coop_error_clear();
	PROVES(B125);
	r = coop_fail_after(MS(5), (coop_fn *)NULL, NULL);
	CHECK_INT(r, ==, -EINVAL);
	CHECK_INT(server(KIND(STARTS), NULL), ==, 0);
	PROVES(B129);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_start(&g, server, KIND(STARTS), &port), ==, COOP_ECLOSED);
	PROVES(B134);
	coop_group_open(&h, NULL);
	CHECK_INT(coop_start(&h, server, KIND(FAILS_LATER), &port), ==, 0);
	CHECK_INT(coop_group_join(&h, 0), ==, -EIO);
	PROVES(B126);
	return 0;
}

TEST(readiness_hand_over)
{
	CHECK_INT(run(starts), ==, 0);
}

/* A deadline around a start cancels the child; nothing has moved to the group. */
static struct coop_group *late_group;

static int start_late(void *arg)
{
	(void)arg;
	return coop_start(late_group, server, KIND(NEVER_READY), NULL);
}

static int start_timeout(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	start_ns = coop_now();
	late_group = &g;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_fail_after(MS(7), start_late, NULL), ==, COOP_ETIMEDOUT);
	CHECK_INT(ms(), ==, 7);
	PROVES(B142);
	PROVES(B130);
	coop_error_clear();
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	return 0;
}

TEST(start_under_a_deadline)
{
	CHECK_INT(run(start_timeout), ==, 0);
}

/* ------------------------------------------------------------------------ handles */

static int returns(void *arg)
{
	int r = coop_sleep(MS(5));

	return r < 0 ? r : (int)(intptr_t)arg;
}

static struct coop_handle *self_handle;

static int waits_for_itself(void *arg)
{
	(void)arg;
	return coop_handle_wait(self_handle, NULL);
}

static int handles(void *arg)
{
	struct coop_group_opts collect = { .policy = COOP_COLLECT };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h, *c;
	int value = -1;

	(void)arg;
	coop_group_open(&g, &collect);
	CHECK_INT(coop_spawn_with(&g, returns, (void *)7, NULL, &h), ==, 0);
	CHECK_INT(coop_spawn_with(&g, returns, (void *)8, NULL, &c), ==, 0);
	CHECK_INT(coop_handle_result(h, &value), ==, -EAGAIN);
	CHECK_INT(coop_handle_cancel(c, "no need"), ==, 0);
	CHECK_INT(coop_handle_state(c), ==, COOP_TASK_CANCELLING);
	PROVES(B77);
	CHECK_INT(coop_handle_wait(c, NULL), ==, COOP_ETASKCANCELLED);
	PROVES(B107);
	PROVES(B108);
	CHECK_INT(coop_spawn_with(&g, waits_for_itself, NULL, NULL, &self_handle), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, -EDEADLK);
	PROVES(B157);
	PROVES(S47);
	PROVES(B320);
	coop_error_clear();
	CHECK_INT(coop_handle_result(h, &value), ==, 0);
	CHECK_INT(value, ==, 7);
	PROVES(B143);
	PROVES(B144);
	CHECK_INT(coop_handle_cancel(h, "done"), ==, 1);
	CHECK_INT(coop_handle_result(h, &value), ==, 0);
	PROVES(B100);
	CHECK_INT(coop_handle_state(self_handle), ==, COOP_TASK_FAILED);
	CHECK(coop_handle_error(self_handle) != NULL);
	PROVES(B145);
	coop_handle_release(h);
	coop_handle_release(c);
	coop_handle_release(self_handle);
	return 0;
}

TEST(handles_outlive_their_tasks)
{
	CHECK_INT(run(handles), ==, 0);
}

/* --------------------------------------------------------------------------- runs */

static int value(void *arg)
{
	return (int)(intptr_t)arg;
}

static int nested_run(void *arg)
{
	(void)arg;
	CHECK_INT(coop_run(value, NULL, NULL), ==, -EALREADY);
	PROVES(B309);
	return 0;
}

TEST(runner_runs_again_and_again)
{
	struct coop_runner *runner;

	CHECK_INT(coop_runner_open(NULL, &runner), ==, 0);
	CHECK_INT(coop_runner_run(runner, value, (void *)3), ==, 3);
	CHECK_INT(coop_runner_run(runner, nested_run, NULL), ==, 0);
	CHECK_INT(coop_runner_close(runner), ==, 0);
	CHECK_INT(coop_runner_close(runner), ==, 0);
	CHECK_INT(coop_runner_run(runner, value, NULL), ==, COOP_ECLOSED);
	PROVES(B310);
	coop_runner_free(runner);
}

/* A forked child has no runtime, and is told so. */
static int forks(void *arg)
{
	int status;
	pid_t pid = fork();

	(void)arg;
	if (pid == 0)
		_exit(coop_checkpoint() == COOP_EFORK && coop_sleep(1) == COOP_EFORK ? 0 : 1);
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK_INT(status, ==, 0);
	PROVES(B311);
	return coop_sleep(0);
}

TEST(no_runtime_in_a_forked_child)
{
	CHECK_INT(coop_run(forks, NULL, NULL), ==, 0);
}

/* Neither has the child of a fork between two runs: the runner's engine is its parent's. */
TEST(no_runner_in_a_forked_child)
{
	struct coop_runner *runner;
	int status;
	pid_t pid;

	CHECK_INT(coop_runner_open(NULL, &runner), ==, 0);
	CHECK_INT(coop_runner_run(runner, forks, NULL), ==, 0);
	pid = fork();
	if (pid == 0) {
		int r = coop_runner_run(runner, forks, NULL);
		struct coop_run_opts opts = { 0 };

		/* valgrind takes the parent's ring for mapped here, and dies of another one. */
		if (test_on_valgrind())
			opts.engine = COOP_ENGINE_EPOLL;
		coop_runner_free(runner);
		_exit(r == COOP_EFORK && coop_run(value, (void *)3, &opts) == 3 ? 0 : 1);
	}
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK_INT(status, ==, 0);
	CHECK_INT(coop_runner_run(runner, forks, NULL), ==, 0);
	coop_runner_free(runner);
	PROVES(B311);
}

/* Everything blocked, nothing outside: an error with a dump, and every task unwinds. */
static int unwound;

static int blocks(void *arg)
{
	int r = coop_sleep(COOP_NEVER);

	(void)arg;
	unwound++;
	return r;
}

static int stuck(void *arg)
{
	return coop_shield(blocks, arg);
}

static int deadlocks(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_group_open(&g, NULL);
	r = coop_spawn(&g, blocks, NULL);
	if (r >= 0)
		r = coop_spawn(&g, stuck, NULL); /* shielded, even */
	return coop_group_join(&g, r);
}

static void no_log(enum coop_log_level level, const char *text, void *ctx)
{
	(void)level;
	(void)text;
	++*(int *)ctx;
}

TEST(deadlock_is_an_error)
{
	int lines = 0;

	coop_log_set(no_log, &lines, COOP_LOG_ERROR);
	CHECK_INT(run(deadlocks), ==, -EDEADLK);
	CHECK_INT(unwound, ==, 2);
	CHECK_INT(lines, >, 3);
	PROVES(B319);
}

/* Locals: inherited at the spawn, bound for a call, one's own. */
static const struct coop_local key = { "user" };
static char one[] = "one", two[] = "two";

static int sees_one(void *arg)
{
	(void)arg;
	CHECK_STR(coop_local_get(&key), "one");
	CHECK_INT(coop_local_set(&key, two), ==, 0);
	return 0;
}

static int locals(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	CHECK(coop_local_get(&key) == NULL);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_local_set(&key, one), ==, 0);
	CHECK_INT(coop_spawn(&g, sees_one, NULL), ==, 0);
	CHECK_INT(coop_local_set(&key, two), ==, 0);
	CHECK_INT(coop_local_with(&key, one, sees_one, NULL), ==, 0);
	CHECK_STR(coop_local_get(&key), "two");
	PROVES(B341);
	CHECK_INT(coop_run_local_set(&key, one), ==, 0);
	CHECK_STR(coop_run_local_get(&key), "one");
	PROVES(B342);
	return coop_group_join(&g, 0);
}

TEST(task_locals)
{
	CHECK_INT(run(locals), ==, 0);
}

/* The dump says who is where, and is the same every time. */
static int dumped(void *arg)
{
	struct coop_group_opts opts = { .name = "pages" };
	struct coop_group g = COOP_GROUP_INIT;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)arg;
	coop_group_open(&g, &opts);
	CHECK_INT(coop_spawn(&g, returns, NULL), ==, 0);
	CHECK_INT(coop_test_wait_all_blocked(0), ==, 0);
	PROVES(B317);
	CHECK_INT(coop_dump(out, 0), ==, 0);
	fclose(out);
	CHECK_HAS(text, "task #1 \"main\" running");
	CHECK_HAS(text, "  group \"pages\"");
	CHECK_HAS(text, "    task #2 \"returns\" blocked in coop_sleep 0.005s");
	PROVES(B328);
	free(text);
	return coop_group_join(&g, 0);
}

TEST(dump_of_the_tree)
{
	CHECK_INT(run(dumped), ==, 0);
}

/* A million short tasks in one long group: memory does not grow. */
static long resident_pages(void)
{
	long size = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f && fscanf(f, "%ld %ld", &size, &resident) != 2)
		resident = 0;
	if (f)
		fclose(f);
	return resident;
}

static int short_tasks(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int rounds = TEST_COUNT(1000, 50);
	long before = 0;

	(void)arg;
	coop_group_open(&g, NULL);
	for (int i = 0; i < rounds; i++) {
		for (int k = 0; k < 1000; k++)
			CHECK_INT(coop_spawn(&g, value, NULL), ==, 0);
		CHECK_INT(coop_group_wait(&g), ==, 0);
		if (i == rounds / 10)
			before = resident_pages();
	}
	/* Sanitizers keep books of their own; a task that stayed would still show. */
	CHECK_INT(resident_pages(), <=, before + TEST_COUNT(64, 512));
	PROVES(B344);
	return coop_group_join(&g, 0);
}

TEST(memory_of_ended_tasks_is_released)
{
	CHECK_INT(run(short_tasks), ==, 0);
}

/* An idle loop gives back the pages of free stacks past the bound, of every size there is. */
static int goes_deep(void *arg)
{
	char frame[64 << 10];

	(void)arg;
	for (size_t i = 0; i < sizeof frame; i += 4096)
		frame[i] = 1;
	__asm__ volatile("" : : "r"(frame) : "memory"); /* all of it is there: clang looks */
	return coop_sleep(MS(1)) + frame[0] - 1;
}

static int stays_shallow(void *arg)
{
	(void)arg;
	return coop_sleep(MS(1));
}

static int many_of_another_size(void *arg)
{
	struct coop_spawn_opts other = { .stack_bytes = 128 << 10 };
	coop_fn *fn = arg ? goes_deep : stays_shallow;
	struct coop_group g = COOP_GROUP_INIT;
	struct cp_stacks *pool;
	long before;

	coop_group_open(&g, NULL);
	for (int i = 0; i < 200; i++)
		CHECK_INT(coop_spawn_with(&g, fn, NULL, &other, NULL), ==, 0);
	CHECK_INT(coop_group_wait(&g), ==, 0);
	pool = cp_rt->pools;
	CHECK_INT(pool->deep_count + pool->used_count, ==, 200);
	CHECK(cp_stacks_trim_wanted(pool));
	before = resident_pages();
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK(!cp_stacks_trim_wanted(pool));
	CHECK_INT(pool->deep_count, ==, 0);
	/* Of 200 stacks 16 pages each, or one of each but 16 stacks. */
	CHECK_INT(resident_pages(), <, before - (arg ? 200 * 15 : 150));
	PROVES(B344);
	return coop_group_join(&g, 0);
}

TEST(free_stacks_of_every_size_are_trimmed)
{
	struct coop_run_opts small = { .clock = COOP_CLOCK_VIRTUAL, .stack_cache_bytes = 64 << 10 };

	CHECK_INT(coop_run(many_of_another_size, (void *)1, &virtual_clock), ==, 0);
	CHECK_INT(coop_run(many_of_another_size, NULL, &small), ==, 0);
}
