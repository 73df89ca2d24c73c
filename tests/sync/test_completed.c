/* SPDX-License-Identifier: MIT */
/*
 * As completed: one result after the other in the order of their ends; deadlines, failures,
 * leaving early. All on the virtual clock.
 */
#include "compose_help.h"

/* A call and its job, so that tests can say what they start in one line. */
#define CALL(i) \
	{ \
		job, &jobs[i], NULL \
	}

static size_t next_index(struct coop_as_completed *it)
{
	size_t index = 99;

	CHECK_INT(coop_as_completed_next(it, &index, NULL), ==, 0);
	return index;
}

/* In the order of their ends, of the same instant in that of the calls; then the end. */
TASK_TEST(in_the_order_of_their_ends)
{
	struct job jobs[] = { { .ms = 30, .value = 1 },
			      { .ms = 10, .value = 2 },
			      { .ms = 20, .value = 3 },
			      { .ms = 10, .value = 4 } };
	struct coop_call calls[] = { CALL(0), CALL(1), CALL(2), CALL(3) };
	struct coop_as_completed *it = NULL;
	struct coop_slot slot;
	size_t index;

	CHECK_INT(coop_as_completed_open(calls, 4, NULL, &it), ==, 0);
	CHECK_INT(coop_as_completed_next(it, &index, &slot), ==, 0);
	CHECK_INT(now_ms(), ==, 10);
	CHECK_INT(index, ==, 1);
	CHECK_INT(slot.rc, ==, 2);
	CHECK_INT(slot.state, ==, COOP_TASK_FINISHED);
	CHECK_INT(next_index(it), ==, 3);
	CHECK_INT(now_ms(), ==, 10);
	CHECK_INT(next_index(it), ==, 2);
	CHECK_INT(now_ms(), ==, 20);
	CHECK_INT(coop_sleep(MS(40)), ==, 0);
	CHECK_INT(next_index(it), ==, 0);
	CHECK_INT(now_ms(), ==, 60);
	CHECK_INT(coop_as_completed_next(it, NULL, NULL), ==, COOP_EOF);
	CHECK_INT(coop_as_completed_next(it, NULL, NULL), ==, COOP_EOF);
	CHECK_INT(coop_as_completed_close(it, 5), ==, 5);
	PROVES(B163);
	return 0;
}

/* After the deadline each next says timeout; what had ended in time is handed out; all go on. */
TASK_TEST(deadline)
{
	struct job jobs[] = { { .ms = 10 }, { .ms = 20 }, { .ms = 60 }, { .ms = 90 } };
	struct coop_call calls[] = { CALL(0), CALL(1), CALL(2), CALL(3) };
	struct coop_as_completed_opts opts = { .timeout_ns = MS(50) };
	struct coop_as_completed *it = NULL;
	int r;

	CHECK_INT(coop_as_completed_open(calls, 4, &opts, &it), ==, 0);
	CHECK_INT(next_index(it), ==, 0);
	CHECK_INT(next_index(it), ==, 1);
	r = coop_as_completed_next(it, NULL, NULL);
	CHECK_INT(r, ==, COOP_ETIMEDOUT);
	CHECK_INT(now_ms(), ==, 50);
	coop_error_clear();
	CHECK_INT(coop_sleep(MS(20)), ==, 0);
	CHECK_INT(jobs[2].ended_ms, ==, 60); /* nobody was cancelled */
	CHECK_INT(coop_as_completed_next(it, NULL, NULL), ==, COOP_ETIMEDOUT);
	CHECK_INT(now_ms(), ==, 70);
	CHECK_INT(coop_as_completed_close(it, 0), ==, 0);
	CHECK(jobs[3].cancelled && !jobs[2].cancelled);
	PROVES(B164);

	CHECK_INT(coop_as_completed_open(calls, 3, &opts, &it), ==, 0);
	CHECK_INT(coop_sleep(MS(70)), ==, 0);
	CHECK_INT(next_index(it), ==, 0);
	CHECK_INT(next_index(it), ==, 1);
	CHECK_INT(coop_as_completed_next(it, NULL, NULL), ==, COOP_ETIMEDOUT); /* it was late */
	CHECK_INT(coop_as_completed_next(it, NULL, NULL), ==, COOP_ETIMEDOUT);
	CHECK_INT(coop_as_completed_close(it, 0), ==, 0);
	PROVES(B164);
	return 0;
}

static int discarded;

static void throw_away(const struct coop_call *call, int value, void *ctx)
{
	(void)call;
	(void)ctx;
	discarded = discarded * 10 + value;
}

/* Left early: the rest is cancelled and waited for, and values that nobody took are thrown away. */
TASK_TEST(left_early)
{
	struct job jobs[] = { { .ms = 10, .value = 1 },
			      { .ms = 20, .value = 2 },
			      { .ms = 90, .cleanup_ms = 15 },
			      { .ms = 90, .late = 3 } };
	struct coop_call calls[] = { CALL(0), CALL(1), CALL(2), CALL(3) };
	struct coop_as_completed_opts opts = { .discard = throw_away };
	struct coop_as_completed *it = NULL;

	CHECK_INT(coop_as_completed_open(calls, 4, &opts, &it), ==, 0);
	CHECK_INT(next_index(it), ==, 0);
	CHECK_INT(coop_sleep(MS(20)), ==, 0);
	CHECK_INT(coop_as_completed_close(it, 7), ==, 7);
	CHECK_INT(now_ms(), ==, 45);
	CHECK(jobs[2].cancelled);
	CHECK_INT(discarded, ==, 23);
	CHECK_INT(coop_checkpoint(), ==, 0);
	PROVES(B165);
	return 0;
}

/* A failure comes with its item, interrupts the caller after it, and fails the whole. */
TASK_TEST(failure)
{
	struct job jobs[] = { { .ms = 10, .value = -EIO }, { .ms = 90 } };
	struct coop_call calls[] = { CALL(0), CALL(1) };
	struct coop_as_completed *it = NULL;
	struct coop_slot slot;
	size_t index;
	int r;

	CHECK_INT(coop_as_completed_open(calls, 2, NULL, &it), ==, 0);
	CHECK_INT(coop_as_completed_next(it, &index, &slot), ==, 0);
	CHECK_INT(index, ==, 0);
	CHECK_INT(slot.rc, ==, -EIO);
	CHECK_INT(coop_error_code(slot.err), ==, -EIO);
	coop_error_unref(slot.err);
	r = coop_as_completed_next(it, &index, &slot);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_as_completed_close(it, r), ==, -EIO);
	CHECK(jobs[1].cancelled);
	coop_error_clear();
	PROVES(B166);
	return 0;
}

/* Collecting, failures come with their items and are no failure of the whole. */
TASK_TEST(failure_collected)
{
	struct job jobs[] = { { .ms = 10, .value = -EIO },
			      { .ms = 20, .value = 2 },
			      { .ms = 30, .value = -EPIPE } };
	struct coop_call calls[] = { CALL(0), CALL(1), CALL(2) };
	struct coop_as_completed_opts opts = { .mode = COOP_GATHER_COLLECT };
	struct coop_as_completed *it = NULL;
	struct coop_slot slot;
	size_t index;

	CHECK_INT(coop_as_completed_open(calls, 3, &opts, &it), ==, 0);
	CHECK_INT(coop_as_completed_next(it, &index, &slot), ==, 0);
	CHECK_INT(slot.rc, ==, -EIO);
	coop_error_unref(slot.err);
	CHECK_INT(next_index(it), ==, 1);
	CHECK_INT(next_index(it), ==, 2); /* its error is not wanted */
	CHECK_INT(coop_as_completed_close(it, 4), ==, 4);
	PROVES(B166);

	CHECK_INT(coop_as_completed_open(calls, 3, &opts, &it), ==, 0);
	CHECK_INT(coop_as_completed_next(it, NULL, NULL), ==, 0);
	CHECK_INT(coop_as_completed_close(it, coop_fail(-EDOM, "the caller")), ==, -EIO);
	CHECK(coop_error_is(coop_error_peek(-EIO), -EDOM));
	coop_error_clear();
	return 0;
}

static struct coop_as_completed *shared;

static int wait_for_next(void *arg)
{
	struct job *jobs = arg;
	struct coop_call calls[] = { CALL(0), CALL(1) };
	struct coop_as_completed *it = NULL;
	int r;

	CHECK_INT(coop_as_completed_open(calls, 2, NULL, &it), ==, 0);
	r = coop_as_completed_next(it, NULL, NULL);
	CHECK_INT(r, ==, COOP_ECANCELED);
	return coop_as_completed_close(it, r);
}

/* A cancel from outside interrupts the wait and reaches the calls. */
TASK_TEST(cancelled)
{
	struct job jobs[] = { { .ms = 90, .cleanup_ms = 10 }, { .ms = 90 } };

	CHECK_INT(cancelled_after(10, wait_for_next, jobs), ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 20);
	CHECK(jobs[0].cancelled && jobs[1].cancelled);
	return 0;
}

static int meddles(void *arg)
{
	(void)arg;
	CHECK_INT(coop_as_completed_next(shared, NULL, NULL), ==, COOP_EWRONGTASK);
	CHECK_INT(coop_as_completed_close(shared, 0), ==, COOP_EWRONGTASK);
	return 0;
}

/* Bad arguments, other tasks: refused, and nothing has changed. */
TASK_TEST(bad_input)
{
	struct coop_call calls[] = { { meddles, NULL, NULL }, { NULL, NULL, NULL } };
	struct coop_as_completed_opts opts = { .timeout_ns = -1 };
	struct coop_as_completed *it = NULL;

	CHECK_INT(coop_as_completed_open(calls, 2, NULL, &it), ==, -EINVAL);
	CHECK_INT(coop_as_completed_open(NULL, 1, NULL, &it), ==, -EINVAL);
	CHECK_INT(coop_as_completed_open(calls, 1, &opts, &it), ==, -EINVAL);
	CHECK(!it);
	CHECK_INT(coop_as_completed_close(NULL, 3), ==, 3);
	CHECK_INT(coop_as_completed_open(calls, 1, NULL, &shared), ==, 0);
	CHECK_INT(coop_as_completed_next(shared, NULL, NULL), ==, 0);
	CHECK_INT(coop_as_completed_close(shared, 0), ==, 0);
	CHECK_INT(coop_as_completed_open(NULL, 0, NULL, &it), ==, 0);
	CHECK_INT(coop_as_completed_next(it, NULL, NULL), ==, COOP_EOF);
	CHECK_INT(coop_as_completed_close(it, 0), ==, 0);
	return 0;
}

/* ---- sweep */

static int iterates(void *arg)
{
	struct job jobs[] = { { .ms = 2 },
			      { .ms = 1, .value = -EIO },
			      { .ms = 3, .cleanup_ms = 1 } };
	struct coop_call calls[] = { CALL(0), CALL(1), CALL(2) };
	struct coop_as_completed_opts opts = { .timeout_ns = MS(9) };
	struct coop_slot slot = { .err = NULL };
	struct coop_as_completed *it = NULL;
	int r, n = 0;

	(void)arg;
	begin_ns = coop_now();
	for (int mode = 0; mode < 2; mode++) {
		opts.mode = (enum coop_gather_mode)(1 - mode);
		r = coop_as_completed_open(calls, 3, &opts, &it);
		if (r < 0)
			return r;
		while ((r = coop_as_completed_next(it, NULL, &slot)) >= 0) {
			coop_error_unref(slot.err);
			n++;
		}
		r = coop_as_completed_close(it, r == COOP_EOF ? 0 : r);
		if (r < 0 && (r != -EIO || opts.mode == COOP_GATHER_COLLECT))
			return r;
		coop_error_clear();
	}
	return n ? 0 : -EPROTO;
}

/* Cancelled at each checkpoint, refused each allocation, in many orders. */
TEST(swept)
{
	static const int cancelled[] = { 0, COOP_ECANCELED, 1 };
	static const int starved[] = { 0, -ENOMEM, 1 };

	sweep_all(iterates, cancelled, starved, 8);
}
