/* SPDX-License-Identifier: MIT */
/*
 * Old mistakes of other runtimes, continued: runs that begin and end, threads, stops, the idle
 * loop. One test a row of the list of such mistakes, named after it.
 */
#include "base/os.h"
#include "core_help.h"
#include "ctx/guard.h"
#include "fds.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>

/* ---- A01: a result that comes in the same instant as a cancel */

/* A sleep that ends just when the scope around it is cancelled: both orders, nothing lost. */
static int ends_at_5(void *arg)
{
	int r = coop_sleep_until(begin_ns + MS(5));

	*(int *)arg = r;
	return r;
}

static int cancels_at_5(void *arg)
{
	CHECK_INT(coop_sleep_until(begin_ns + MS(5)), ==, 0);
	coop_scope_cancel((struct coop_scope *)arg, "in the same instant");
	return 0;
}

TASK_TEST(rel_A01_done_and_cancelled_at_once)
{
	for (int cancel_first = 0; cancel_first < 2; cancel_first++) {
		struct coop_group outer = COOP_GROUP_INIT;
		struct coop_scope s = COOP_SCOPE_INIT;
		int slept = 1, r;

		begin_ns = coop_now();
		coop_group_open(&outer, NULL);
		if (cancel_first)
			CHECK_INT(coop_spawn(&outer, cancels_at_5, &s), ==, 0);
		CHECK_INT(coop_yield(), ==, 0);
		coop_scope_open(&s, NULL);
		if (!cancel_first)
			CHECK_INT(coop_spawn(&outer, cancels_at_5, &s), ==, 0);
		r = ends_at_5(&slept);
		/* The timers were due together: the sleep's result stands, whoever ran first. */
		CHECK_INT(slept, ==, 0);
		CHECK_INT(coop_yield(), ==, 0);
		CHECK_INT(coop_checkpoint(), ==,
			  COOP_ECANCELED); /* and the cancel is still there */
		CHECK_INT(coop_scope_close(&s, r), ==, 0);
		CHECK_INT(coop_group_join(&outer, 0), ==, 0);
		CHECK_INT(now_ms(), ==, 5);
	}
	PROVES(rel_A01, B85);
	return 0;
}

/* ---- B19: first used by many threads at once */

static pthread_barrier_t barrier;

static int value(void *arg)
{
	int r = coop_sleep(1);

	return r < 0 ? r : (int)(intptr_t)arg;
}

static void *runs_at_once(void *arg)
{
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < TEST_COUNT(100, 10); i++)
		CHECK_INT(coop_run(value, arg, i % 2 ? NULL : &virtual_clock), ==, (intptr_t)arg);
	return NULL;
}

TEST(rel_B19_first_use_from_many_threads)
{
	pthread_t threads[16];

	pthread_barrier_init(&barrier, NULL, 16);
	for (intptr_t i = 0; i < 16; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, runs_at_once, (void *)i), ==, 0);
	for (int i = 0; i < 16; i++)
		CHECK_INT(pthread_join(threads[i], NULL), ==, 0);
	pthread_barrier_destroy(&barrier);
	PROVES(rel_B19);
}

/* ---- I06: guards that are maps use up the maps there are */

static int many(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int spawned = 0, r = 0;

	(void)arg;
	coop_group_open(&g, NULL);
	while (spawned < 60000 && (r = coop_spawn(&g, value, MSARG(0))) == 0)
		spawned++;
	CHECK_INT(r, ==, -ENOMEM);
	CHECK_INT(spawned, >, 1000);
	CHECK_INT(coop_spawn(&g, value, MSARG(0)), ==, -ENOMEM);
	CHECK_INT(records_count, ==, 1);
	CHECK(strstr(records, "vm.max_map_count is "));
	return coop_group_join(&g, 0);
}

/* An error from the spawn that needs one more, a hint in the log; all that were spawned run. */
TEST(rel_I06_maps_are_used_up)
{
	if (test_is_light())
		return; /* valgrind itself has room for 30,000 maps only */
	cp_guard_force(CP_GUARD_PROTECT);
	keep_records(COOP_LOG_WARN);
	CHECK_INT(coop_run(many, NULL, NULL), ==, 0);
	PROVES(rel_I06);
}

/* ---- B21: the runner taken away by its own task */

static struct coop_runner *runner;

static int closes_its_runner(void *arg)
{
	(void)arg;
	CHECK_INT(coop_runner_close(runner), ==, -EBUSY);
	CHECK_INT(coop_runner_run(runner, value, NULL), ==, -EALREADY);
	CHECK_INT(coop_sleep(1), ==, 0);
	CHECK_INT(coop_runner_close(runner), ==, -EBUSY);
	return 0;
}

TEST(rel_B21_closed_by_its_own_task)
{
	CHECK_INT(coop_runner_open(&virtual_clock, &runner), ==, 0);
	CHECK_INT(coop_runner_run(runner, closes_its_runner, NULL), ==, 0);
	CHECK_INT(coop_runner_run(runner, value, MSARG(4)), ==, 4);
	coop_runner_free(runner);
	PROVES(rel_B21);
}

static int frees_its_runner(void *arg)
{
	(void)arg;
	coop_runner_free(runner);
	return 0;
}

TEST_ABORT(rel_B21_freed_by_its_own_task, "coop_runner_free: the runner is running")
{
	CHECK_INT(coop_runner_open(&virtual_clock, &runner), ==, 0);
	(void)!coop_runner_run(runner, frees_its_runner, NULL);
}

/* From a thread that it does not belong to: refused, and it still works. */
static void *from_elsewhere(void *arg)
{
	(void)arg;
	CHECK_INT(coop_runner_run(runner, value, NULL), ==, COOP_EWRONGTHREAD);
	CHECK_INT(coop_runner_close(runner), ==, COOP_EWRONGTHREAD);
	return NULL;
}

TEST(a_runner_belongs_to_its_thread)
{
	pthread_t thread;

	CHECK_INT(coop_runner_open(&virtual_clock, &runner), ==, 0);
	CHECK_INT(pthread_create(&thread, NULL, from_elsewhere, NULL), ==, 0);
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
	CHECK_INT(coop_runner_run(runner, value, MSARG(4)), ==, 4);
	coop_runner_free(runner);
}

/* ---- B22: a start that fails half way leaves nothing in its group */

static int runs_once(void *arg)
{
	++*(int *)arg;
	return coop_sleep(1);
}

/* Everything that a spawn may need: name, handle, locals, a stack of another size. */
static const struct coop_local a_key = { "key" };

static int spawns_without_memory(void *arg)
{
	struct coop_spawn_opts opts = { .name = "child", .stack_bytes = 65536 };
	int failures = 0, ran = 0, accepted = 0;
	char text[] = "local";

	(void)arg;
	CHECK_INT(coop_local_set(&a_key, text), ==, 0);
	for (uint64_t nth = 1;; nth++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct coop_handle *h = (void *)&failures; /* must not be touched on failure */
		struct coop_group_stats before, after;
		uint64_t failed = cp_os_faults.alloc_failed;
		int r;

		coop_group_open(&g, NULL);
		CHECK_INT(coop_spawn(&g, runs_once, &ran), ==, 0);
		CHECK_INT(coop_group_stats(&g, &before), ==, 0);
		cp_os_faults.alloc_calls = 0;
		cp_os_faults.alloc_fail_at = nth;
		r = coop_spawn_with(&g, runs_once, &ran, &opts, &h);
		cp_os_faults.alloc_fail_at = 0;
		CHECK_INT(coop_group_stats(&g, &after), ==, 0);
		accepted += 1 + (r >= 0);
		if (r < 0) {
			CHECK_INT(r, ==, -ENOMEM);
			CHECK(h == (void *)&failures);
			CHECK_INT(after.running, ==, before.running);
			coop_error_clear();
			failures++;
		} else {
			CHECK_INT(after.running, ==, before.running + 1);
			coop_handle_release(h);
		}
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		CHECK_INT(ran, ==, accepted);
		if (cp_os_faults.alloc_failed == failed)
			break;
	}
	return failures;
}

TEST(rel_B22_each_step_of_a_spawn_fails)
{
	int64_t live = cp_os_faults.allocs_live;

	CHECK_INT(coop_run(spawns_without_memory, NULL, &virtual_clock), >=, 2);
	CHECK_INT(cp_os_faults.allocs_live, ==, live);
	PROVES(rel_B22, B16);
}

/* ---- D10: a task stays on its thread */

static int *where_errno_is;

static int looks_for_errno(void *arg)
{
	pid_t tid = gettid();

	(void)arg;
	for (int i = 0; i < 50; i++) {
		CHECK(&errno == where_errno_is);
		CHECK_INT(gettid(), ==, tid);
		errno = i;
		CHECK_INT(i % 3 ? coop_yield() : coop_sleep(MS(1)), ==, 0);
		CHECK_INT(errno, ==, i); /* and has its own errno there */
	}
	return 0;
}

TASK_TEST(rel_D10_tasks_stay_on_their_thread)
{
	struct coop_group g = COOP_GROUP_INIT;

	where_errno_is = &errno;
	coop_group_open(&g, NULL);
	for (int i = 0; i < 20; i++)
		CHECK_INT(coop_spawn(&g, looks_for_errno, NULL), ==, 0);
	PROVES(rel_D10);
	return coop_group_join(&g, 0);
}

/* ---- D11: the run ends while tasks are queued */

static int begun, cancelled;

static int is_left_queued(void *arg)
{
	int r;

	(void)arg;
	begun++;
	r = coop_checkpoint();
	cancelled += r == COOP_ECANCELED;
	return r;
}

static int ends_over_queued_tasks(void *arg)
{
	for (int i = 0; i < 1000; i++)
		CHECK_INT(coop_spawn(coop_run_group(), is_left_queued, arg), ==, 0);
	CHECK_INT(coop_stop("before they have begun"), ==, 0);
	return 5;
}

TEST(rel_D11_a_run_ends_over_queued_tasks)
{
	int64_t live = cp_os_faults.allocs_live;

	keep_records(COOP_LOG_ERROR);
	CHECK_INT(coop_run(ends_over_queued_tasks, NULL, &virtual_clock), ==, 5);
	CHECK_INT(begun, ==, 1000); /* accepted means that it runs */
	CHECK_INT(cancelled, ==, 1000);
	CHECK_INT(cp_os_faults.allocs_live, ==, live);
	PROVES(rel_D11);
}

/* ---- D12, D17: stopped at each step, once and twice */

static uint64_t stop_at, steps;
static int stops_told, clean_ups, retries;

/* Every checkpoint of the program is a step; at the one it is told, it stops the run. */
static int step(int r)
{
	if (++steps == stop_at || (stop_at && steps == stop_at + 2))
		stops_told += coop_stop("at a step") == 0;
	return r;
}

static int tries_again(void *arg)
{
	int r = -EAGAIN;

	(void)arg;
	for (int i = 0; i < 4 && (r == -EAGAIN || r == COOP_ETIMEDOUT); i++) {
		retries++;
		r = step(coop_fail_after(MS(2), sleep_ms, MSARG(3)));
		if (r == COOP_ETIMEDOUT)
			coop_error_clear();
	}
	clean_ups++;
	(void)step(coop_shield_grace(MS(5), sleep_ms, MSARG(1)));
	return r == COOP_ETIMEDOUT ? 0 : r;
}

static int retry_loops(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	coop_group_open(&g, NULL);
	for (int i = 0; i < 3 && r >= 0; i++)
		r = coop_spawn(&g, tries_again, arg);
	return coop_group_join(&g, r);
}

TEST(rel_D12_stopped_at_each_step)
{
	uint64_t all;

	CHECK_INT(coop_run(retry_loops, NULL, &virtual_clock), ==, 0);
	all = steps;
	CHECK_INT(all, ==, 15);
	for (stop_at = 1; stop_at <= all; stop_at++) {
		int64_t live = cp_os_faults.allocs_live;

		steps = 0;
		stops_told = clean_ups = retries = 0;
		keep_records(COOP_LOG_INFO);
		CHECK_INT(coop_run(retry_loops, NULL, &virtual_clock), ==, 0);
		CHECK_INT(stops_told, ==, 1); /* the second time it was going on already */
		CHECK_INT(clean_ups, ==, 3);
		CHECK_INT(retries, <=, 12);
		CHECK_INT(cp_os_faults.allocs_live, ==, live);
		/* One drain, told once. */
		CHECK_HAS(records, "shutdown: ");
		CHECK(!strstr(strstr(records, "stopping") ? strstr(records, "stopping") + 8 : "",
			      "stopping"));
	}
	PROVES(rel_D12, rel_D17);
}

/* ---- D18: the loop does not sleep while somebody is ready */

static int yields_to_itself(void *arg)
{
	(void)arg;
	for (int i = 0; i < 1000; i++)
		CHECK_INT(coop_yield(), ==, 0);
	return 0;
}

static int counts_waits(void *arg)
{
	struct coop_run_stats before, after;
	struct coop_group g = COOP_GROUP_INIT;

	CHECK_INT(coop_run_stats(&before), ==, 0);
	CHECK_INT(yields_to_itself(arg), ==, 0); /* alone */
	coop_group_open(&g, NULL);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_spawn(&g, yields_to_itself, NULL), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_run_stats(&after), ==, 0);
	CHECK_INT(after.waits, ==, before.waits);
	CHECK_INT(after.turns, >, before.turns); /* it did look around */
	return 0;
}

TEST(rel_D18_no_sleep_while_somebody_is_ready)
{
	CHECK_INT(coop_run(counts_waits, NULL, NULL), ==, 0);
	PROVES(rel_D18);
}

/* ---- I04, I08: what a runner needs, and cannot have */

/* Each allocation and each system call of a run's beginning fails: nothing is left. */
TEST(rel_I04_half_made_runs)
{
	int64_t live = cp_os_faults.allocs_live;
	int fds = fds_open(), failures = 0;

	keep_records(COOP_LOG_ERROR);
	for (int calls = 0; calls < 2; calls++) {
		for (uint64_t nth = 1; nth < 200; nth++) {
			int r;

			cp_os_faults.call_errno = EMFILE;
			cp_os_faults.alloc_fail_at = calls ? 0 : cp_os_faults.alloc_calls + nth;
			cp_os_faults.call_fail_at = calls ? cp_os_faults.call_calls + nth : 0;
			r = coop_run(value, MSARG(3), &virtual_clock);
			cp_os_faults.alloc_fail_at = cp_os_faults.call_fail_at = 0;
			coop_error_clear();
			CHECK(r == 3 || r == -ENOMEM || r == -EMFILE);
			failures += r != 3;
			CHECK_INT(cp_os_faults.allocs_live, ==, live);
			CHECK_INT(fds_open(), ==, fds);
		}
	}
	CHECK_INT(failures, >, 4);
	PROVES(rel_I04);
}

/* Sizes that no sum may wrap around. */
static int spawns_with_a_stack(void *arg)
{
	struct coop_spawn_opts opts = { .stack_bytes = *(size_t *)arg };
	struct coop_group g = COOP_GROUP_INIT;
	int r, joined;

	coop_group_open(&g, NULL);
	r = coop_spawn_with(&g, value, NULL, &opts, NULL);
	joined = coop_group_join(&g, 0);
	CHECK_INT(joined, ==, 0);
	coop_error_clear();
	CHECK(r == 0 || r == -EINVAL || r == -ENOMEM);
	return r < 0;
}

TEST(rel_I08_sizes_beyond_all_measure)
{
	static const size_t sizes[] = { SIZE_MAX,        SIZE_MAX - 1,
					SIZE_MAX - 4095, SIZE_MAX - 4096,
					SIZE_MAX / 2,    SIZE_MAX - 65536,
					SIZE_MAX / 64,   1 };

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct coop_run_opts opts = { .stack_bytes = sizes[i] };
		size_t size = sizes[i];
		int r = coop_run(value, NULL, &opts);

		CHECK(r == -EINVAL || r == -ENOMEM || (r == 0 && size == 1));
		CHECK_INT(coop_run(spawns_with_a_stack, &size, &virtual_clock), ==,
			  size != 1 || r < 0);
	}
	PROVES(rel_I08);
}
