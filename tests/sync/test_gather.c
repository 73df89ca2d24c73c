/* SPDX-License-Identifier: MIT */
/*
 * Gather: all results by number; the first failure cancels and joins, or all are collected; a
 * call that was cancelled alone is a hole. All on the virtual clock.
 */
#include "compose_help.h"

#define CALLS(...) \
	(const struct coop_call[]) \
	{ \
		__VA_ARGS__ \
	}

static void drop(struct coop_slot *slots, size_t count)
{
	for (size_t i = 0; i < count; i++)
		slots[i].err = coop_error_unref(slots[i].err);
}

/* Results stand by the number of the call, though the last one ends first. */
TASK_TEST(results_by_number)
{
	struct job jobs[] = { { .ms = 30, .value = 1 },
			      { .ms = 20, .value = 2 },
			      { .ms = 10, .value = 3 } };
	struct coop_call calls[] = { { job, &jobs[0], NULL },
				     { job, &jobs[1], NULL },
				     { job, &jobs[2], NULL } };
	struct coop_slot slots[3];

	CHECK_INT(coop_gather(calls, 3, COOP_GATHER_FAIL_FAST, slots), ==, 0);
	CHECK_INT(now_ms(), ==, 30);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(slots[i].state, ==, COOP_TASK_FINISHED);
		CHECK_INT(slots[i].rc, ==, i + 1);
		CHECK(!slots[i].err);
		CHECK_INT(jobs[i].began_ms, ==, 0);
	}
	PROVES(B146);
	PROVES(S17);
	CHECK_INT(coop_gather(calls, 3, COOP_GATHER_FAIL_FAST, NULL), ==, 0);
	CHECK_INT(jobs[2].runs, ==, 2);
	return 0;
}

/* Gathering nothing is 0 at once, and no checkpoint. */
TASK_TEST(nothing_to_gather)
{
	struct coop_checkpoint_mark mark = coop_test_checkpoints();

	CHECK_INT(coop_gather(NULL, 0, COOP_GATHER_FAIL_FAST, NULL), ==, 0);
	CHECK_INT(coop_gather(NULL, 0, COOP_GATHER_COLLECT, NULL), ==, 0);
	coop_assert_no_checkpoint(mark);
	PROVES(B155);
	return 0;
}

/* A failure cancels the rest and waits for their clean-up; every error is kept. */
TASK_TEST(first_failure_cancels_and_joins)
{
	struct job jobs[] = { { .ms = 10, .value = -EIO },
			      { .ms = 90, .cleanup_ms = 25, .late = -EPIPE },
			      { .ms = 90, .cleanup_ms = 15 },
			      { .ms = 5, .value = 8 } };
	struct coop_call calls[] = { { job, &jobs[0], "a" },
				     { job, &jobs[1], NULL },
				     { job, &jobs[2], NULL },
				     { job, &jobs[3], NULL } };
	struct coop_slot slots[4];
	struct coop_error_info info;
	const struct coop_error *e;
	int r;

	r = coop_gather(calls, 4, COOP_GATHER_FAIL_FAST, slots);
	CHECK_INT(r, ==, -EIO);
	CHECK_INT(now_ms(), ==, 35);
	CHECK_INT(jobs[1].ended_ms, ==, 35);
	CHECK_INT(jobs[2].ended_ms, ==, 25);
	PROVES(S15);
	PROVES(S16);
	e = coop_error_peek(r);
	coop_error_describe(e, &info);
	CHECK_INT(info.members, ==, 2);
	CHECK_INT(info.cancelled, ==, 1);
	CHECK_STR(info.name, "gather");
	CHECK_INT(coop_error_code(coop_error_member(e, 1)), ==, -EPIPE);
	CHECK_INT(slots[0].state, ==, COOP_TASK_FAILED);
	CHECK(slots[0].err == coop_error_member(e, 0));
	CHECK_INT(slots[1].rc, ==, -EPIPE);
	CHECK_INT(slots[2].state, ==, COOP_TASK_CANCELLED);
	CHECK_INT(slots[2].rc, ==, COOP_ETASKCANCELLED);
	CHECK_INT(slots[3].rc, ==, 8);
	PROVES(B147);
	coop_error_clear();
	drop(slots, 4);
	return 0;
}

/* Collecting, nobody is cancelled by a failure, and each slot tells how its call ended. */
TASK_TEST(collecting)
{
	struct job jobs[] = { { .ms = 10, .value = -EIO },
			      { .ms = 30, .value = 4 },
			      { .ms = 20, .value = -EPIPE } };
	struct coop_call calls[] = { { job, &jobs[0], NULL },
				     { job, &jobs[1], NULL },
				     { job, &jobs[2], NULL },
				     { cancelled_alone, MSARG(5), NULL } };
	struct coop_slot slots[4];

	keep_records(COOP_LOG_WARN);
	CHECK_INT(coop_gather(calls, 4, COOP_GATHER_COLLECT, slots), ==, 0);
	CHECK_INT(now_ms(), ==, 30);
	CHECK_INT(slots[0].rc, ==, -EIO);
	CHECK_INT(coop_error_code(slots[0].err), ==, -EIO);
	CHECK_INT(slots[1].rc, ==, 4);
	CHECK_INT(slots[2].state, ==, COOP_TASK_FAILED);
	CHECK_INT(slots[3].state, ==, COOP_TASK_CANCELLED);
	CHECK_INT(slots[3].rc, ==, COOP_ETASKCANCELLED);
	CHECK_INT(records_count, ==, 0); /* the slots have them: nothing was lost */
	PROVES(B149);
	PROVES(S18);
	drop(slots, 4);
	CHECK_INT(coop_gather(calls, 4, COOP_GATHER_COLLECT, NULL), ==, 0);
	CHECK_INT(records_count, ==, 1); /* nobody has them */
	return 0;
}

/* A failure of the fatal class ends a collecting gather, too, and is returned. */
TASK_TEST(collecting_a_fatal_error)
{
	struct job jobs[] = { { .ms = 10, .value = COOP_EINTERNAL }, { .ms = 30 } };
	struct coop_call calls[] = { { job, &jobs[0], NULL }, { job, &jobs[1], NULL } };
	struct coop_slot slots[2];

	CHECK_INT(coop_gather(calls, 2, COOP_GATHER_COLLECT, slots), ==, COOP_EINTERNAL);
	CHECK_INT(now_ms(), ==, 10);
	CHECK_INT(slots[1].state, ==, COOP_TASK_CANCELLED);
	coop_error_clear();
	drop(slots, 2);
	return 0;
}

/* A call that was cancelled alone is a hole: the whole is no success, but the others go on. */
TASK_TEST(hole_in_the_results)
{
	struct job other = { .ms = 30, .value = 6 };
	struct coop_call calls[] = { { cancelled_alone, MSARG(5), NULL }, { job, &other, NULL } };
	struct coop_slot slots[2];

	CHECK_INT(coop_gather(calls, 2, COOP_GATHER_FAIL_FAST, slots), ==, COOP_ETASKCANCELLED);
	CHECK_INT(now_ms(), ==, 30);
	CHECK_INT(slots[0].state, ==, COOP_TASK_CANCELLED);
	CHECK_INT(slots[1].rc, ==, 6);
	PROVES(B150);
	return 0;
}

/* ---- cancelling a gather */

struct both {
	struct job *jobs;
	enum coop_gather_mode mode;
	struct coop_slot slots[3];
};

static int gather_three(void *arg)
{
	struct both *b = arg;
	struct coop_call calls[] = { { job, &b->jobs[0], NULL },
				     { job, &b->jobs[1], NULL },
				     { job, &b->jobs[2], NULL } };

	return coop_gather(calls, 3, b->mode, b->slots);
}

/* A cancelled gather cancels what has not ended, waits for it, and is cancelled. */
TASK_TEST(cancelled_from_outside)
{
	for (int mode = 0; mode < 2; mode++) {
		struct job jobs[] = { { .ms = 5, .value = 7 },
				      { .ms = 90, .cleanup_ms = 20 },
				      { .ms = 90 } };
		struct both b = { jobs, (enum coop_gather_mode)mode, { { 0 } } };
		int64_t begin_ms = now_ms();

		CHECK_INT(cancelled_after(10, gather_three, &b), ==, COOP_ECANCELED);
		CHECK_INT(now_ms() - begin_ms, ==, 30);
		CHECK(!jobs[0].cancelled && jobs[1].cancelled && jobs[2].cancelled);
		CHECK_INT(b.slots[0].rc, ==, 7);
		CHECK_INT(b.slots[1].state, ==, COOP_TASK_CANCELLED);
		if (mode == COOP_GATHER_COLLECT)
			PROVES(B153);
		else
			PROVES(B151, S6);
	}
	return 0;
}

/* A collecting gather that is cancelled while one call has failed is cancelled, and no success. */
TASK_TEST(cancelled_with_a_failure_beside)
{
	struct job jobs[] = { { .ms = 5, .value = -EIO }, { .ms = 90 }, { .ms = 90 } };
	struct both b = { jobs, COOP_GATHER_COLLECT, { { 0 } } };

	CHECK_INT(cancelled_after(10, gather_three, &b), ==, COOP_ECANCELED);
	CHECK_INT(b.slots[0].rc, ==, -EIO);
	drop(b.slots, 3);
	PROVES(B153);
	return 0;
}

/* When the last call ends in the instant of the cancel, the results are there: completion wins. */
TASK_TEST(cancelled_when_all_is_done)
{
	struct job jobs[] = { { .ms = 5, .value = 1 },
			      { .ms = 10, .value = 2 },
			      { .ms = 10, .value = 3 } };
	struct both b = { jobs, COOP_GATHER_FAIL_FAST, { { 0 } } };

	CHECK_INT(cancelled_after(10, gather_three, &b), ==, 0);
	CHECK_INT(b.slots[2].rc, ==, 3);
	PROVES(B152);
	return 0;
}

/* ---- names, strangers, bad input */

static int look_at_names(void *arg)
{
	int r = coop_sleep(MS(1));

	(void)arg;
	say("%s ", coop_name());
	return r;
}

static int list_names(const struct coop_task_info *info, void *ctx)
{
	(void)ctx;
	say("%s/%d ", info->name, (int)info->state);
	return 0;
}

static int lists_names(void *arg)
{
	(void)arg;
	return coop_for_each_task(false, list_names, NULL);
}

/* A call without a name is "call 2" for everybody who asks: itself, a list, an error, a cancel. */
TASK_TEST(names_for_those_who_ask)
{
	struct job fails = { .ms = 5, .value = -EIO };
	struct coop_call calls[] = { { lists_names, NULL, NULL },
				     { look_at_names, NULL, "own" },
				     { look_at_names, NULL, NULL },
				     { job, &fails, NULL },
				     { sleep_for_ever, NULL, NULL } };
	char *text = NULL;
	size_t size;
	FILE *out;
	int r;

	r = coop_gather(calls, 5, COOP_GATHER_FAIL_FAST, NULL);
	CHECK_TRAIL("main/3 call 0/2 own/0 call 2/0 call 3/0 call 4/0 own "
		    "call 2 ");
	CHECK_INT(r, ==, -EIO);
	out = open_memstream(&text, &size);
	CHECK_INT(coop_error_print(out, coop_error_peek(r), 0), ==, 0);
	fclose(out);
	CHECK_HAS(text, "/gather/call 3");
	CHECK_HAS(text, "/gather/call 4");
	CHECK_HAS(text, "child \"call 3\" failed");
	free(text);
	coop_error_clear();
	return 0;
}

static int stranger(void *arg)
{
	int r = coop_sleep(MS(20));

	*(int64_t *)arg = now_ms();
	return r < 0 ? r : coop_fail(-EXDEV, "not one of the calls");
}

static int brings_a_stranger(void *arg)
{
	return coop_spawn(coop_self_group(), stranger, arg);
}

/* What a call spawns into its own group is waited for, and is no member: no slot is touched. */
TASK_TEST(strangers_in_the_group)
{
	int64_t ended_ms = 0;
	struct job other = { .ms = 30, .value = 1 };
	struct coop_call calls[] = { { brings_a_stranger, &ended_ms, NULL },
				     { job, &other, NULL } };
	struct coop_slot slots[2];

	CHECK_INT(coop_gather(calls, 2, COOP_GATHER_FAIL_FAST, slots), ==, -EXDEV);
	CHECK_INT(ended_ms, ==, 20);
	CHECK_INT(slots[0].state, ==, COOP_TASK_FINISHED);
	CHECK_INT(slots[1].state, ==, COOP_TASK_CANCELLED);
	coop_error_clear();
	return 0;
}

/* Bad arguments are refused before anything is called. */
TASK_TEST(bad_input)
{
	struct job j = { .ms = 1 };
	struct coop_call calls[] = { { job, &j, NULL }, { NULL, NULL, NULL } };
	struct coop_slot slot = { .rc = 77 };

	CHECK_INT(coop_gather(calls, 2, COOP_GATHER_FAIL_FAST, &slot), ==, -EINVAL);
	CHECK_INT(coop_gather(NULL, 2, COOP_GATHER_FAIL_FAST, &slot), ==, -EINVAL);
	CHECK_INT(coop_gather(calls, 1, (enum coop_gather_mode)9, &slot), ==, -EINVAL);
	CHECK_INT(j.runs, ==, 0);
	CHECK_INT(slot.rc, ==, 77);
	return 0;
}

/* Outside of a run there is nobody to wait. */
TEST(outside_of_tasks)
{
	struct coop_call call = { returns_0, NULL, NULL };

	CHECK_INT(coop_gather(&call, 1, COOP_GATHER_FAIL_FAST, NULL), ==, COOP_ENOTASK);
}

/* Nothing is allocated for a gather whose tasks fit into what the runtime has. */
TASK_TEST(takes_no_memory)
{
	struct coop_call calls[10];
	struct coop_slot slots[10];
	uint64_t before;

	for (int i = 0; i < 10; i++)
		calls[i] = (struct coop_call){ returns_0, NULL, i % 2 ? "named" : NULL };
	CHECK_INT(coop_gather(calls, 10, COOP_GATHER_FAIL_FAST, slots), ==, 0);
	before = cp_os_faults.alloc_calls;
	CHECK_INT(coop_gather(calls, 10, COOP_GATHER_FAIL_FAST, slots), ==, 0);
	CHECK_INT(cp_os_faults.alloc_calls, ==, before);
	return 0;
}

/* ---- sweeps */

static int gathers(void *arg)
{
	struct job jobs[] = { { .ms = 1, .value = -EIO },
			      { .ms = 2, .cleanup_ms = 1 },
			      { .ms = 3 } };
	struct job good[] = { { .ms = 2, .value = 5 }, { .ms = 1, .value = 6 } };
	struct coop_call calls[] = { { job, &jobs[0], NULL },
				     { job, &jobs[1], "second" },
				     { job, &jobs[2], NULL } };
	struct coop_call fine[] = { { job, &good[0], NULL }, { job, &good[1], NULL } };
	struct coop_slot slots[3];
	int r;

	(void)arg;
	begin_ns = coop_now();
	r = coop_gather(calls, 3, COOP_GATHER_COLLECT, slots);
	drop(slots, 3);
	if (r >= 0) {
		r = coop_gather(fine, 2, COOP_GATHER_FAIL_FAST, slots);
		drop(slots, 2);
	}
	if (r >= 0) {
		r = coop_gather(calls, 3, COOP_GATHER_FAIL_FAST, slots);
		drop(slots, 3);
		if (r == -EIO)
			r = 0;
		coop_error_clear();
	}
	return r;
}

/* Cancelled at each checkpoint, refused each allocation, in many orders: nothing is left. */
TEST(swept)
{
	static const int cancelled[] = { 0, COOP_ECANCELED, COOP_ETASKCANCELLED, 1 };
	static const int starved[] = { 0, -ENOMEM, 1 };

	sweep_all(gathers, cancelled, starved, 9);
}
