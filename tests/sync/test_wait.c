/* SPDX-License-Identifier: MIT */
/*
 * Waiting for tasks of other groups: several at once, the gather that abandons, the wait
 * with an end. All on the virtual clock but what needs two threads.
 */
#include "compose_help.h"

#include <coop/bag.h>

#include <pthread.h>

/* A group that collects, with jobs in it and their handles. */
struct yard {
	struct coop_group g;
	struct coop_handle *h[4];
	size_t count;
};

static void start_jobs(struct yard *y, struct job *jobs, size_t count)
{
	struct coop_group_opts opts = { .policy = COOP_COLLECT };

	*y = (struct yard){ .g = COOP_GROUP_INIT, .count = count };
	coop_group_open(&y->g, &opts);
	for (size_t i = 0; i < count; i++)
		CHECK_INT(coop_spawn_with(&y->g, job, &jobs[i], NULL, &y->h[i]), ==, 0);
}

static int end_jobs(struct yard *y)
{
	int r;

	coop_group_cancel(&y->g, "the test is over");
	r = coop_group_join(&y->g, 0);
	for (size_t i = 0; i < y->count; i++)
		coop_handle_release(y->h[i]);
	coop_error_clear();
	return r;
}

/* ---- coop_wait */

/* The first: returns when one has ended, with all of that instant, and cancels nobody. */
TASK_TEST(wait_for_the_first)
{
	struct job jobs[] = { { .ms = 20 }, { .ms = 10 }, { .ms = 10 } };
	struct yard y;
	bool timed_out = true;

	start_jobs(&y, jobs, 3);
	CHECK_INT(coop_wait(y.h, 3, COOP_WAIT_FIRST, COOP_NEVER, &timed_out), ==, 2);
	CHECK_INT(now_ms(), ==, 10);
	CHECK(!timed_out);
	CHECK_INT(coop_wait(y.h, 3, COOP_WAIT_FIRST, COOP_NEVER, NULL), ==, 2); /* at once */
	CHECK_INT(now_ms(), ==, 10);
	CHECK_INT(coop_wait(y.h, 3, COOP_WAIT_ALL, COOP_NEVER, NULL), ==, 3);
	CHECK_INT(now_ms(), ==, 20);
	CHECK(!jobs[0].cancelled);
	PROVES(B158);
	return end_jobs(&y);
}

static int cancel_0_at_5(void *arg)
{
	struct yard *y = arg;
	int r = coop_sleep(MS(5));

	coop_handle_cancel(y->h[0], "alone");
	return r;
}

/* The first error: a cancelled task is none; without an error it waits for all. */
TASK_TEST(wait_for_the_first_error)
{
	struct job jobs[] = {
		{ .ms = 90 }, { .ms = 10 }, { .ms = 20, .value = -EIO }, { .ms = 30 }
	};
	struct yard y;

	start_jobs(&y, jobs, 4);
	CHECK_INT(coop_spawn(&y.g, cancel_0_at_5, &y), ==, 0);
	CHECK_INT(coop_wait(y.h, 4, COOP_WAIT_FIRST_ERROR, COOP_NEVER, NULL), ==, 3);
	CHECK_INT(now_ms(), ==, 20);
	CHECK_INT(coop_wait(&y.h[3], 1, COOP_WAIT_FIRST_ERROR, COOP_NEVER, NULL), ==, 1);
	CHECK_INT(now_ms(), ==, 30);
	PROVES(B159);
	CHECK_INT(end_jobs(&y), ==, -EIO);
	return 0;
}

/* The time is up: what has ended is counted, and nobody is cancelled. */
TASK_TEST(wait_that_times_out)
{
	struct job jobs[] = { { .ms = 10 }, { .ms = 90 } };
	struct yard y;
	bool timed_out = false;

	start_jobs(&y, jobs, 2);
	CHECK_INT(coop_wait(y.h, 2, COOP_WAIT_ALL, MS(50), &timed_out), ==, 1);
	CHECK(timed_out);
	CHECK_INT(now_ms(), ==, 50);
	CHECK_INT(coop_wait(y.h, 2, COOP_WAIT_ALL, 0, &timed_out), ==, 1);
	CHECK(timed_out);
	CHECK_INT(coop_handle_wait(y.h[1], NULL), ==, 0);
	CHECK(!jobs[1].cancelled);
	PROVES(B160);
	return end_jobs(&y);
}

static int wait_for_all(void *arg)
{
	struct yard *y = arg;

	return coop_wait(y->h, y->count, COOP_WAIT_ALL, COOP_NEVER, NULL);
}

/* The waiter is cancelled: the tasks do not notice. */
TASK_TEST(wait_that_is_cancelled)
{
	struct job jobs[] = { { .ms = 10 }, { .ms = 90 } };
	struct yard y;

	start_jobs(&y, jobs, 2);
	CHECK_INT(cancelled_after(20, wait_for_all, &y), ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 20);
	CHECK_INT(coop_handle_wait(y.h[1], NULL), ==, 0);
	CHECK(!jobs[1].cancelled);
	PROVES(B161);
	return end_jobs(&y);
}

/* No tasks, a negative time, an unknown kind: refused. */
TASK_TEST(wait_refuses)
{
	struct job jobs[] = { { .ms = 1 } };
	bool timed_out = true;
	struct yard y;

	start_jobs(&y, jobs, 1);
	CHECK_INT(coop_wait(y.h, 0, COOP_WAIT_ALL, COOP_NEVER, &timed_out), ==, -EINVAL);
	PROVES(B162);
	CHECK_INT(coop_wait(y.h, 1, COOP_WAIT_ALL, -1, &timed_out), ==, -EINVAL);
	CHECK_INT(coop_wait(y.h, 1, (enum coop_wait_until)3, 1, &timed_out), ==, -EINVAL);
	CHECK(timed_out);
	return end_jobs(&y);
}

/* Up to eight tasks are waited for without any memory; for more there may be none. */
TASK_TEST(wait_and_memory)
{
	struct job jobs[] = { { .ms = 10 }, { .ms = 20 } };
	struct coop_handle *many[40];
	uint64_t before;
	struct yard y;

	start_jobs(&y, jobs, 2);
	before = cp_os_faults.alloc_calls;
	CHECK_INT(coop_wait(y.h, 2, COOP_WAIT_FIRST, MS(50), NULL), ==, 1);
	CHECK_INT(cp_os_faults.alloc_calls, ==, before);
	for (int i = 0; i < 40; i++)
		many[i] = y.h[1];
	cp_os_faults.alloc_fail_at = before + 1;
	CHECK_INT(coop_wait(many, 40, COOP_WAIT_ALL, COOP_NEVER, NULL), ==, -ENOMEM);
	cp_os_faults.alloc_fail_at = 0;
	CHECK_INT(now_ms(), ==, 10);
	CHECK_INT(coop_wait(many, 40, COOP_WAIT_ALL, COOP_NEVER, NULL), ==, 40);
	CHECK_INT(now_ms(), ==, 20);
	return end_jobs(&y);
}

static bool in_task_end;

static int notes_its_end(void *arg)
{
	int r = coop_sleep(MS((intptr_t)arg));

	in_task_end = true; /* until somebody else runs, this task is ending */
	return r < 0 ? r : 7;
}

static int runs_next(void *arg)
{
	int r = coop_sleep(MS((intptr_t)arg));

	in_task_end = false;
	return r;
}

/* Who waits goes on after the task has ended, in its turn, and not from inside its end. */
TASK_TEST(woken_after_the_end)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h;
	int value = 0;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, notes_its_end, MSARG(10), NULL, &h), ==, 0);
	CHECK_INT(coop_spawn(&g, runs_next, MSARG(10)), ==, 0);
	CHECK_INT(coop_wait(&h, 1, COOP_WAIT_FIRST, COOP_NEVER, NULL), ==, 1);
	CHECK(!in_task_end); /* the task that was ready before us has run */
	CHECK_INT(coop_handle_state(h), ==, COOP_TASK_FINISHED);
	CHECK_INT(coop_handle_result(h, &value), ==, 0);
	CHECK_INT(value, ==, 7);
	PROVES(B184);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_handle_release(h);
	return 0;
}

/* ---- the abandoning gather */

/* The first error ends the wait; the others go on, and their errors go where they belong. */
TASK_TEST(abandons_at_the_first_error)
{
	struct job jobs[] = { { .ms = 20 },
			      { .ms = 10, .value = -EIO },
			      { .ms = 30, .value = -EPIPE } };
	struct coop_slot slots[3];
	struct yard y;

	start_jobs(&y, jobs, 3);
	CHECK_INT(coop_gather_abandon(y.h, 3, slots), ==, -EIO);
	CHECK_INT(now_ms(), ==, 10);
	CHECK_INT(slots[0].state, ==, COOP_TASK_BLOCKED);
	CHECK_INT(slots[0].rc, ==, -EAGAIN);
	CHECK_INT(slots[1].rc, ==, -EIO);
	coop_error_unref(slots[1].err);
	coop_error_clear();
	CHECK_INT(coop_handle_cancel(y.h[1], "finished"), ==, 1);
	CHECK_INT(coop_wait(y.h, 3, COOP_WAIT_ALL, COOP_NEVER, NULL), ==, 3);
	CHECK(!jobs[0].cancelled && !jobs[2].cancelled);
	PROVES(B148);
	CHECK_INT(end_jobs(&y), ==, -EIO);
	return 0;
}

/* The same handle twice is waited for once, and answers twice. */
TASK_TEST(abandoning_duplicates)
{
	struct job jobs[] = { { .ms = 20, .value = 3 } };
	struct coop_handle *twice[3];
	struct coop_slot slots[3];
	struct yard y;

	start_jobs(&y, jobs, 1);
	twice[0] = twice[1] = twice[2] = y.h[0];
	CHECK_INT(coop_gather_abandon(twice, 3, slots), ==, 0);
	CHECK_INT(now_ms(), ==, 20);
	for (int i = 0; i < 3; i++)
		CHECK_INT(slots[i].rc, ==, 3);
	CHECK_INT(coop_gather_abandon(twice, 0, slots), ==, 0);
	PROVES(B154);
	return end_jobs(&y);
}

static int abandon_all(void *arg)
{
	struct yard *y = arg;

	return coop_gather_abandon(y->h, y->count, NULL);
}

/* Cancelled before its end it cancels its tasks; afterwards there is nothing to cancel. */
TASK_TEST(abandoning_cancelled)
{
	struct job jobs[] = { { .ms = 10, .value = 1 }, { .ms = 90 } };
	struct yard y;

	start_jobs(&y, jobs, 2);
	CHECK_INT(cancelled_after(20, abandon_all, &y), ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 20);
	CHECK_INT(coop_wait(y.h, 2, COOP_WAIT_ALL, COOP_NEVER, NULL), ==, 2);
	CHECK_INT(now_ms(), ==, 20);
	CHECK(jobs[1].cancelled && !jobs[0].cancelled);
	PROVES(B151);
	CHECK_INT(coop_handle_cancel(y.h[0], "again"), ==, 1);
	CHECK_INT(coop_handle_cancel(y.h[1], "again"), ==, 1);
	CHECK_INT(coop_handle_result(y.h[0], NULL), ==, 0);
	PROVES(B152, S19);
	return end_jobs(&y);
}

/* ---- the gather that ends its tasks */

/* The first failure cancels the others and waits for them, whoever's children they are. */
TASK_TEST(gathers_handles)
{
	struct job jobs[] = { { .ms = 90, .cleanup_ms = 15 },
			      { .ms = 10, .value = -EIO },
			      { .ms = 5, .value = 4 } };
	struct coop_slot slots[3];
	struct yard y;

	start_jobs(&y, jobs, 3);
	CHECK_INT(coop_gather_handles(y.h, 3, COOP_GATHER_FAIL_FAST, slots), ==, -EIO);
	CHECK_INT(now_ms(), ==, 25);
	CHECK_INT(slots[0].state, ==, COOP_TASK_CANCELLED);
	CHECK_INT(coop_error_code(slots[1].err), ==, -EIO);
	CHECK_INT(slots[2].rc, ==, 4);
	coop_error_unref(slots[1].err);
	coop_error_clear();
	PROVES(B147);
	CHECK_INT(coop_gather_handles(y.h, 3, COOP_GATHER_COLLECT, NULL), ==, 0); /* all ended */
	CHECK_INT(end_jobs(&y), ==, -EIO);
	return 0;
}

/* Collecting, nobody is cancelled, and each slot says how it went. */
TASK_TEST(gathers_handles_collecting)
{
	struct job jobs[] = { { .ms = 30, .value = 3 }, { .ms = 10, .value = -EIO } };
	struct coop_slot slots[2];
	struct yard y;

	start_jobs(&y, jobs, 2);
	CHECK_INT(coop_gather_handles(y.h, 2, COOP_GATHER_COLLECT, slots), ==, 0);
	CHECK_INT(now_ms(), ==, 30);
	CHECK_INT(slots[0].rc, ==, 3);
	CHECK_INT(slots[1].rc, ==, -EIO);
	coop_error_unref(slots[1].err);
	PROVES(B149, S18);
	CHECK_INT(end_jobs(&y), ==, -EIO);
	return 0;
}

/* -EAGAIN is a failure like any other, not a sign that the task has not ended. */
TASK_TEST(gathers_one_that_fails_with_eagain)
{
	struct job jobs[] = { { .ms = 10, .value = 4 }, { .ms = 20, .value = -EAGAIN } };
	struct coop_slot slots[2];
	struct yard y;

	start_jobs(&y, jobs, 2);
	CHECK_INT(coop_gather_abandon(y.h, 2, NULL), ==, -EAGAIN);
	CHECK_INT(coop_gather_handles(y.h, 2, COOP_GATHER_FAIL_FAST, slots), ==, -EAGAIN);
	CHECK_INT(slots[1].state, ==, COOP_TASK_FAILED);
	CHECK_INT(slots[1].rc, ==, -EAGAIN);
	coop_error_unref(slots[1].err);
	coop_error_clear();
	CHECK_INT(end_jobs(&y), ==, -EAGAIN);
	return 0;
}

/* One that is cancelled by its handle is a hole; the others go on. */
TASK_TEST(gathers_handles_with_a_hole)
{
	struct job jobs[] = { { .ms = 90 }, { .ms = 30, .value = 3 } };
	struct coop_slot slots[2];
	struct yard y;

	start_jobs(&y, jobs, 2);
	CHECK_INT(coop_spawn(&y.g, cancel_0_at_5, &y), ==, 0);
	CHECK_INT(coop_gather_handles(y.h, 2, COOP_GATHER_FAIL_FAST, slots), ==,
		  COOP_ETASKCANCELLED);
	CHECK_INT(now_ms(), ==, 30);
	CHECK_INT(slots[0].state, ==, COOP_TASK_CANCELLED);
	CHECK_INT(slots[1].rc, ==, 3);
	PROVES(B150);
	return end_jobs(&y);
}

struct gathering {
	struct yard *yard;
	enum coop_gather_mode mode;
};

static int gather_yard(void *arg)
{
	struct gathering *g = arg;

	return coop_gather_handles(g->yard->h, g->yard->count, g->mode, NULL);
}

/* Cancelled, it cancels them and waits; what ended well all the same is a result. */
TASK_TEST(gathers_handles_cancelled)
{
	for (int mode = 0; mode < 2; mode++) {
		struct job jobs[] = { { .ms = 5, .value = -EIO * mode },
				      { .ms = 90, .cleanup_ms = 15 } };
		struct job well[] = { { .ms = 90, .cleanup_ms = 5, .late = 3 } };
		int64_t begin_ms = now_ms();
		struct yard y;
		struct gathering g = { &y, (enum coop_gather_mode)mode };

		start_jobs(&y, jobs, 2);
		CHECK_INT(cancelled_after(10, gather_yard, &g), ==, COOP_ECANCELED);
		CHECK_INT(now_ms() - begin_ms, ==, 25);
		CHECK_INT(end_jobs(&y), ==, -EIO * mode);
		start_jobs(&y, well, 1);
		CHECK_INT(cancelled_after(10, gather_yard, &g), ==, 0);
		CHECK(well[0].cancelled);
		CHECK_INT(end_jobs(&y), ==, 0);
	}
	PROVES(B151, B153);
	return 0;
}

/* ---- whom one cannot wait for */

static struct coop_handle *own;

static int waits_for_itself(void *arg)
{
	int value;

	(void)arg;
	CHECK_INT(coop_wait(&own, 1, COOP_WAIT_ALL, COOP_NEVER, NULL), ==, -EDEADLK);
	CHECK_INT(coop_gather_abandon(&own, 1, NULL), ==, -EDEADLK);
	CHECK_INT(coop_gather_handles(&own, 1, COOP_GATHER_COLLECT, NULL), ==, -EDEADLK);
	CHECK_INT(coop_wait_for(own, MS(5), &value), ==, -EDEADLK);
	CHECK_INT(coop_wait_for(own, 0, &value), ==, -EDEADLK);
	coop_error_clear();
	return coop_checkpoint(); /* and nobody has cancelled it */
}

static void still_on_its_way(int r)
{
	struct coop_error_info info;

	coop_error_describe(coop_error_peek(r), &info);
	CHECK_STR(info.message, "the disk is on fire");
}

/* In a clean-up: a wait that succeeds, or times out, leaves the error that is on its way. */
TASK_TEST(error_on_its_way)
{
	struct job jobs[] = {
		{ .ms = 10, .value = 4 }, { .ms = 20 }, { .ms = 30, .value = 7 }, { .ms = 90 }
	};
	struct coop_as_completed *it = NULL;
	struct coop_call calls[] = { { job, &jobs[0], NULL } };
	struct coop_bag bag;
	struct yard y;
	int r, value;

	start_jobs(&y, jobs, 4);
	CHECK_INT(coop_bag_new(NULL, &bag), ==, 0);
	CHECK_INT(coop_bag_open(bag), ==, 0);
	CHECK_INT(coop_bag_spawn(bag, job, &jobs[3]), ==, 0);
	CHECK_INT(coop_as_completed_open(calls, 1, NULL, &it), ==, 0);
	r = coop_fail(-EIO, "the disk is on fire");
	CHECK_INT(coop_wait(y.h, 1, COOP_WAIT_ALL, COOP_NEVER, NULL), ==, 1);
	still_on_its_way(r);
	CHECK_INT(coop_wait(y.h, 4, COOP_WAIT_ALL, 1, NULL), ==, 1);
	still_on_its_way(r);
	CHECK_INT(coop_as_completed_next(it, NULL, NULL), ==, 0);
	still_on_its_way(r);
	CHECK_INT(coop_gather_handles(y.h, 2, COOP_GATHER_FAIL_FAST, NULL), ==, 0);
	still_on_its_way(r);
	CHECK_INT(coop_wait_for(y.h[2], MS(90), &value), ==, 0);
	still_on_its_way(r);
	CHECK_INT(coop_bag_aclose(bag), ==, 0);
	still_on_its_way(r);
	CHECK_INT(coop_wait_for(y.h[3], 0, NULL), ==, COOP_ETIMEDOUT); /* an error of its own */
	CHECK(coop_error_peek(COOP_ETIMEDOUT));
	coop_error_clear();
	CHECK_INT(coop_as_completed_close(it, 0), ==, 0);
	CHECK_INT(coop_bag_leave(bag, 0), ==, 0);
	coop_bag_free(bag);
	return end_jobs(&y);
}

/* A task that waits for itself is told so. */
TASK_TEST(waiting_for_oneself)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, waits_for_itself, NULL, NULL, &own), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_handle_release(own);
	PROVES(B157);
	return 0;
}

static pthread_barrier_t gate;
static struct coop_handle *foreign;

static int foreign_run(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, sleep_for_ever, NULL, NULL, &foreign), ==, 0);
	pthread_barrier_wait(&gate);
	pthread_barrier_wait(&gate); /* the other thread has looked */
	coop_group_cancel(&g, "over");
	return coop_group_join(&g, 0);
}

static void *foreign_thread(void *arg)
{
	CHECK_INT(coop_run(foreign_run, arg, NULL), ==, 0);
	return NULL;
}

/* Handles of another runtime are refused by each of the waits. */
TASK_TEST(handles_of_another_runtime)
{
	pthread_t thread;

	CHECK_INT(pthread_barrier_init(&gate, NULL, 2), ==, 0);
	CHECK_INT(pthread_create(&thread, NULL, foreign_thread, NULL), ==, 0);
	pthread_barrier_wait(&gate);
	CHECK_INT(coop_wait(&foreign, 1, COOP_WAIT_ALL, COOP_NEVER, NULL), ==, COOP_EWRONGTHREAD);
	CHECK_INT(coop_gather_abandon(&foreign, 1, NULL), ==, COOP_EWRONGTHREAD);
	CHECK_INT(coop_gather_handles(&foreign, 1, COOP_GATHER_COLLECT, NULL), ==,
		  COOP_EWRONGTHREAD);
	CHECK_INT(coop_wait_for(foreign, MS(5), NULL), ==, COOP_EWRONGTHREAD);
	pthread_barrier_wait(&gate);
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
	coop_handle_release(foreign);
	PROVES(B156);
	return 0;
}

/* ---- the wait with an end */

/* In time: the value, the error, or the news that somebody else has cancelled it. */
TASK_TEST(wait_for_in_time)
{
	struct job jobs[] = { { .ms = 10, .value = 6 }, { .ms = 20, .value = -EIO }, { .ms = 90 } };
	struct yard y;
	int value = 0;

	start_jobs(&y, jobs, 3);
	CHECK_INT(coop_wait_for(y.h[0], MS(50), &value), ==, 0);
	CHECK_INT(value, ==, 6);
	CHECK_INT(now_ms(), ==, 10);
	CHECK_INT(coop_wait_for(y.h[1], MS(50), &value), ==, -EIO);
	CHECK_INT(now_ms(), ==, 20);
	coop_handle_cancel(y.h[2], "somebody else");
	CHECK_INT(coop_wait_for(y.h[2], MS(50), &value), ==, COOP_ETASKCANCELLED);
	CHECK_INT(value, ==, 6);
	CHECK_INT(coop_wait_for(y.h[0], COOP_NEVER, NULL), ==, 0);
	CHECK_INT(coop_wait_for(y.h[0], -1, NULL), ==, -EINVAL);
	CHECK_INT(end_jobs(&y), ==, -EIO);
	return 0;
}

/* Too late: the task is cancelled, waited for, and then it is a timeout. */
TASK_TEST(wait_for_times_out)
{
	struct job jobs[] = { { .ms = 90, .cleanup_ms = 15 } };
	struct coop_error_info info;
	struct yard y;
	int r;

	start_jobs(&y, jobs, 1);
	r = coop_wait_for(y.h[0], MS(20), NULL);
	CHECK_INT(r, ==, COOP_ETIMEDOUT);
	CHECK_INT(now_ms(), ==, 35);
	CHECK_INT(jobs[0].ended_ms, ==, 35);
	coop_error_describe(coop_error_peek(r), &info);
	CHECK_HAS(info.message, "0.020s");
	PROVES(B177);
	return end_jobs(&y);
}

/* A value that comes although the time was up is returned. */
TASK_TEST(wait_for_a_late_value)
{
	struct job jobs[] = { { .ms = 90, .cleanup_ms = 5, .late = 8 } };
	struct yard y;
	int value = 0;

	start_jobs(&y, jobs, 1);
	CHECK_INT(coop_wait_for(y.h[0], MS(20), &value), ==, 0);
	CHECK_INT(value, ==, 8);
	CHECK_INT(now_ms(), ==, 25);
	CHECK(jobs[0].cancelled);
	PROVES(B178);
	return end_jobs(&y);
}

/* An error that comes although the time was up is returned, and says that it was late. */
TASK_TEST(wait_for_a_late_error)
{
	struct job jobs[] = { { .ms = 90, .late = -EIO } };
	struct coop_error_info info;
	struct yard y;
	int r;

	start_jobs(&y, jobs, 1);
	r = coop_wait_for(y.h[0], MS(20), NULL);
	CHECK_INT(r, ==, -EIO);
	coop_error_describe(coop_error_peek(r), &info);
	CHECK_HAS(info.message, "time limit of 0.020s");
	CHECK(info.cause != NULL);
	coop_error_describe(info.cause, &info);
	CHECK_STR(info.message, "failed in the clean-up");
	PROVES(B179);
	CHECK_INT(end_jobs(&y), ==, -EIO);
	return 0;
}

static int counts(void *arg)
{
	++*(int *)arg;
	return 4;
}

/* No time at all: an ended task has its value, another is cancelled at once, a call is not made. */
TASK_TEST(wait_for_no_time)
{
	struct job jobs[] = { { .ms = 0, .value = 3 }, { .ms = 90 } };
	struct yard y;
	int value = 0, calls = 0;

	start_jobs(&y, jobs, 2);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_wait_for(y.h[0], 0, &value), ==, 0);
	CHECK_INT(value, ==, 3);
	CHECK_INT(coop_wait_for(y.h[1], 0, &value), ==, COOP_ETIMEDOUT);
	CHECK(jobs[1].cancelled);
	CHECK_INT(now_ms(), ==, 1);
	coop_error_clear();
	CHECK_INT(coop_wait_for_call(counts, &calls, 0), ==, COOP_ETIMEDOUT);
	CHECK_INT(calls, ==, 0);
	PROVES(B180);
	CHECK_INT(coop_wait_for_call(counts, &calls, MS(1)), ==, 4);
	CHECK_INT(coop_wait_for_call(sleep_for_ever, NULL, MS(5)), ==, COOP_ETIMEDOUT);
	CHECK_INT(now_ms(), ==, 6);
	coop_error_clear();
	CHECK_INT(coop_wait_for_call(NULL, NULL, MS(1)), ==, -EINVAL);
	CHECK_INT(coop_wait_for_call(counts, &calls, -1), ==, -EINVAL);
	return end_jobs(&y);
}

static int wait_for_first(void *arg)
{
	struct yard *y = arg;
	int value = 0, r = coop_wait_for(y->h[0], MS(50), &value);

	CHECK_INT(coop_checkpoint(), ==, COOP_ECANCELED); /* the cancel is still there */
	return r < 0 ? r : value;
}

/* A cancel of the waiter cancels the task and waits for it. */
TASK_TEST(wait_for_cancelled)
{
	struct job jobs[] = { { .ms = 90, .cleanup_ms = 15 } };
	struct yard y;

	start_jobs(&y, jobs, 1);
	CHECK_INT(cancelled_after(20, wait_for_first, &y), ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 35);
	CHECK_INT(coop_handle_state(y.h[0]), ==, COOP_TASK_CANCELLED);
	PROVES(B181);
	return end_jobs(&y);
}

/* The task ends, the waiter is cancelled, in one instant, in both orders: neither is lost. */
TASK_TEST(rel_A01_end_and_cancel_at_once)
{
	struct job jobs[] = { { .ms = 20, .value = 5 } };
	struct job late[] = { { .ms = 90, .late = 6 } };
	struct yard y;

	start_jobs(&y, jobs, 1); /* its end comes before the cancel */
	CHECK_INT(cancelled_after(20, wait_for_first, &y), ==, 5);
	CHECK_INT(now_ms(), ==, 20);
	CHECK_INT(end_jobs(&y), ==, 0);
	start_jobs(&y, late, 1); /* the cancel comes before its end */
	CHECK_INT(cancelled_after(20, wait_for_first, &y), ==, 6);
	CHECK_INT(now_ms(), ==, 40);
	PROVES(B181);
	PROVES(rel_A01);
	return end_jobs(&y);
}

/* A cancel from outside outranks a timeout that came first, if the task then ends cancelled. */
TASK_TEST(wait_for_timed_out_then_cancelled)
{
	struct job jobs[] = { { .ms = 90, .cleanup_ms = 40 } };
	struct yard y;

	start_jobs(&y, jobs, 1);
	CHECK_INT(cancelled_after(60, wait_for_first, &y), ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 90);
	return end_jobs(&y);
}

/* ---- sweep */

static int waits(void *arg)
{
	struct job jobs[] = { { .ms = 1, .value = -EIO },
			      { .ms = 3 },
			      { .ms = 9, .cleanup_ms = 1 } };
	struct coop_group_opts opts = { .policy = COOP_LOG };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h[12] = { NULL };
	int r = 0;

	(void)arg;
	begin_ns = coop_now();
	coop_group_open(&g, &opts);
	for (int i = 0; i < 3 && r >= 0; i++)
		r = coop_spawn_with(&g, job, &jobs[i], NULL, &h[i]);
	for (int i = 3; i < 12; i++)
		h[i] = h[i % 3];
	if (r >= 0)
		r = coop_wait(h, 3, COOP_WAIT_FIRST, COOP_NEVER, NULL);
	if (r >= 0)
		r = coop_wait(h, 12, COOP_WAIT_ALL, MS(4), NULL);
	if (r >= 0)
		r = coop_gather_abandon(h, 12, NULL);
	if (r == -EIO)
		r = coop_gather_handles(h, 2, COOP_GATHER_COLLECT, NULL);
	if (r >= 0)
		r = coop_wait_for(h[2], MS(1), NULL);
	if (r == COOP_ETIMEDOUT || r == COOP_ETASKCANCELLED)
		r = 0;
	r = coop_group_join(&g, r);
	for (int i = 0; i < 3; i++)
		coop_handle_release(h[i]);
	return r;
}

/* Cancelled at each checkpoint, refused each allocation, in many orders. */
TEST(swept)
{
	static const int cancelled[] = { 0, COOP_ECANCELED, 1 };
	static const int starved[] = { 0, -ENOMEM, 1 };

	sweep_all(waits, cancelled, starved, 8);
}
