/* SPDX-License-Identifier: MIT */
/*
 * The bag: its states, what closing and leaving do, which error is returned, and where it
 * does better than its model. All on the virtual clock.
 */
#include "compose_help.h"

static struct coop_bag open_bag(const struct coop_bag_opts *opts)
{
	struct coop_bag bag = COOP_BAG_INIT;

	CHECK_INT(coop_bag_new(opts, &bag), ==, 0);
	CHECK_INT(coop_bag_open(bag), ==, 0);
	return bag;
}

static void check_message(int r, const char *text)
{
	struct coop_error_info info;

	coop_error_describe(coop_error_peek(r), &info);
	CHECK_STR(info.message, text);
	coop_error_clear();
}

/* From fresh to left: what each call says in each state, and the words of the original. */
TASK_TEST(states)
{
	struct job jobs[] = { { .ms = 10 } };
	struct coop_bag bag;

	CHECK_INT(coop_bag_new(NULL, &bag), ==, 0);
	CHECK(!coop_bag_is_open(bag));
	CHECK_INT(coop_bag_until_done(bag), ==, 0);
	PROVES(S26);
	CHECK_INT(coop_bag_spawn(bag, job, &jobs[0]), ==, COOP_ENOTOPEN);
	CHECK_INT(coop_bag_close(bag), ==, COOP_ENOTOPEN);
	CHECK_INT(coop_bag_aclose(bag), ==, COOP_ENOTOPEN);
	CHECK_INT(coop_bag_leave(bag, 0), ==, COOP_ENOTOPEN);
	CHECK_INT(coop_bag_open(bag), ==, 0);
	CHECK(coop_bag_is_open(bag));
	CHECK_INT(coop_bag_open(bag), ==, -EALREADY);
	check_message(-EALREADY, "Already open");
	CHECK_INT(coop_bag_spawn(bag, NULL, NULL), ==, -EINVAL);
	CHECK_INT(coop_bag_free(bag), ==, -EBUSY);
	CHECK_INT(coop_bag_close(bag), ==, 0);
	CHECK(!coop_bag_is_open(bag));
	PROVES(S27);
	CHECK_INT(coop_bag_close(bag), ==, 1);
	CHECK_INT(coop_bag_spawn(bag, job, &jobs[0]), ==, COOP_ECLOSED);
	check_message(COOP_ECLOSED, "Bag closed");
	CHECK_INT(jobs[0].runs, ==, 0);
	PROVES(S30);
	CHECK_INT(coop_bag_free(bag), ==, -EBUSY);
	CHECK_INT(coop_bag_leave(bag, 3), ==, 3);
	CHECK_INT(coop_bag_leave(bag, 0), ==, COOP_ECLOSED);
	CHECK_INT(coop_bag_open(bag), ==, -EALREADY);
	check_message(-EALREADY, "Already open");
	PROVES(S29);
	CHECK_INT(coop_bag_spawn(bag, job, &jobs[0]), ==, COOP_ECLOSED);
	coop_error_clear();
	CHECK_INT(coop_bag_until_done(bag), ==, 0);
	CHECK_INT(coop_bag_free(bag), ==, 0);
	return 0;
}

/* A name that is out of date is found out, also when its place has been taken again. */
TASK_TEST(names_out_of_date)
{
	struct coop_bag old, none = COOP_BAG_INIT, young;
	struct job jobs[] = { { .ms = 10 } };

	CHECK_INT(coop_bag_new(NULL, &old), ==, 0);
	CHECK_INT(coop_bag_free(old), ==, 0);
	CHECK_INT(coop_bag_new(NULL, &young), ==, 0);
	CHECK(old._id != young._id);
	for (int i = 0; i < 2; i++) {
		struct coop_bag bag = i ? old : none;

		CHECK_INT(coop_bag_open(bag), ==, -EBADF);
		CHECK_INT(coop_bag_spawn(bag, job, &jobs[0]), ==, -EBADF);
		CHECK_INT(coop_bag_until_done(bag), ==, -EBADF);
		CHECK_INT(coop_bag_close(bag), ==, -EBADF);
		CHECK_INT(coop_bag_aclose(bag), ==, -EBADF);
		CHECK_INT(coop_bag_leave(bag, 0), ==, -EBADF);
		CHECK_INT(coop_bag_failed(bag), ==, -EBADF);
		CHECK_INT(coop_bag_free(bag), ==, 1);
		CHECK(!coop_bag_is_open(bag));
	}
	CHECK_INT(coop_bag_free(young), ==, 0);
	return 0;
}

/* Waited for again and again; what is added in between is waited for, too. */
TASK_TEST(waited_for_repeatedly)
{
	struct job jobs[] = { { .ms = 10 }, { .ms = 30 } };
	struct coop_bag bag = open_bag(NULL);

	CHECK_INT(coop_bag_until_done(bag), ==, 0);
	CHECK_INT(now_ms(), ==, 0);
	CHECK_INT(coop_bag_spawn(bag, job, &jobs[0]), ==, 0);
	CHECK_INT(coop_bag_spawn(bag, job, &jobs[1]), ==, 0);
	CHECK_INT(coop_bag_until_done(bag), ==, 0);
	CHECK_INT(now_ms(), ==, 30);
	CHECK_INT(coop_bag_spawn(bag, job, &jobs[0]), ==, 0);
	CHECK_INT(coop_bag_until_done(bag), ==, 0);
	CHECK_INT(now_ms(), ==, 40);
	CHECK_INT(coop_bag_until_done(bag), ==, 0);
	PROVES(S28);
	CHECK_INT(coop_bag_leave(bag, 0), ==, 0);
	CHECK_INT(coop_bag_free(bag), ==, 0);
	return 0;
}

/* Closing cancels the children and waits for nobody; aclose waits; the body is not cancelled. */
TASK_TEST(closing_with_and_without_waiting)
{
	struct job jobs[] = { { .ms = 90, .cleanup_ms = 15 }, { .ms = 90 } };
	struct coop_bag bag = open_bag(NULL);

	CHECK_INT(coop_bag_spawn(bag, job, &jobs[0]), ==, 0);
	CHECK_INT(coop_sleep(MS(10)), ==, 0);
	CHECK_INT(coop_bag_spawn(bag, job, &jobs[1]), ==,
		  0); /* has not begun when it is cancelled */
	CHECK_INT(coop_bag_close(bag), ==, 0);
	CHECK_INT(now_ms(), ==, 10);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK(jobs[0].cancelled && jobs[1].cancelled);
	CHECK_INT(coop_bag_aclose(bag), ==, 0);
	CHECK_INT(now_ms(), ==, 25);
	CHECK_INT(coop_checkpoint(), ==, 0);
	PROVES(S31, S34);
	CHECK_INT(coop_bag_failed(bag), ==, 0);
	CHECK_INT(coop_bag_leave(bag, 6), ==, 6);
	CHECK_INT(coop_bag_free(bag), ==, 0);
	return 0;
}

/* Leaving cancels what runs, and waits for it. */
TASK_TEST(leaving_cancels)
{
	struct job jobs[] = { { .ms = 100, .cleanup_ms = 20 } };
	struct coop_bag bag = open_bag(NULL);

	CHECK_INT(coop_bag_spawn(bag, job, &jobs[0]), ==, 0);
	CHECK_INT(coop_sleep(MS(10)), ==, 0);
	CHECK_INT(coop_bag_leave(bag, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 30);
	CHECK(jobs[0].cancelled);
	PROVES(S32, S34);
	CHECK_INT(coop_bag_free(bag), ==, 0);
	return 0;
}

/* The body's error is returned as it is; each of the children's goes to the log. */
TASK_TEST(body_fails)
{
	struct job jobs[] = { { .ms = 10, .value = -EIO }, { .ms = 20, .value = -EPIPE } };
	struct coop_bag bag = open_bag(NULL);
	int r;

	keep_records(COOP_LOG_WARN);
	CHECK_INT(coop_bag_spawn(bag, job, &jobs[0]), ==, 0);
	CHECK_INT(coop_bag_spawn(bag, job, &jobs[1]), ==, 0);
	CHECK_INT(coop_bag_until_done(bag), ==, 0);
	CHECK_INT(coop_bag_failed(bag), ==, 2);
	r = coop_bag_leave(bag, coop_fail(-ENOENT, "KeyError"));
	CHECK_INT(r, ==, -ENOENT);
	check_message(r, "KeyError");
	CHECK_INT(records_count, ==, 2);
	CHECK_HAS(records, "Suppressed exception: main/bag/job: EIO \"job of 10 ms failed\"");
	CHECK_HAS(records, "EPIPE");
	PROVES(S33);
	CHECK_INT(coop_bag_free(bag), ==, 0);
	return 0;
}

/* With a body that went well the first child's error is returned, and the others are logged. */
TASK_TEST(children_fail)
{
	struct job jobs[] = { { .ms = 20, .value = -EIO }, { .ms = 10, .value = -EPIPE } };
	struct coop_bag bag = open_bag(NULL);
	struct coop_error_info info;
	int r;

	keep_records(COOP_LOG_WARN);
	CHECK_INT(coop_bag_spawn(bag, job, &jobs[0]), ==, 0);
	CHECK_INT(coop_bag_spawn(bag, job, &jobs[1]), ==, 0);
	CHECK_INT(coop_bag_until_done(bag), ==, 0);
	r = coop_bag_leave(bag, 0);
	CHECK_INT(r, ==, -EPIPE);
	coop_error_describe(coop_error_peek(r), &info);
	CHECK_INT(info.kind, ==, COOP_ERROR_LEAF);
	coop_error_clear();
	CHECK_INT(records_count, ==, 1);
	CHECK_HAS(records, "EIO");
	PROVES(S33);
	CHECK_INT(coop_bag_free(bag), ==, 0);
	return 0;
}

/* The failure of a child leaves its sibling and the body alone, and the bag open. */
TASK_TEST(sibling_survives)
{
	struct job jobs[] = { { .ms = 10, .value = -EIO }, { .ms = 30, .value = 1 } };
	struct coop_bag bag = open_bag(NULL);

	CHECK_INT(coop_bag_spawn(bag, job, &jobs[0]), ==, 0);
	CHECK_INT(coop_bag_spawn(bag, job, &jobs[1]), ==, 0);
	CHECK_INT(coop_sleep(MS(20)), ==, 0);
	CHECK(coop_bag_is_open(bag));
	CHECK_INT(coop_bag_until_done(bag), ==, 0);
	CHECK(!jobs[1].cancelled);
	CHECK_INT(now_ms(), ==, 30);
	PROVES(S35);
	CHECK_INT(coop_bag_leave(bag, 0), ==, -EIO);
	coop_error_clear();
	CHECK_INT(coop_bag_free(bag), ==, 0);
	return 0;
}

static int nested(void *arg)
{
	struct coop_bag bag = open_bag(NULL);
	intptr_t depth = (intptr_t)arg;
	int r = depth ? coop_bag_spawn(bag, nested, MSARG(depth - 1)) : 0;

	if (r >= 0)
		r = coop_sleep(COOP_NEVER);
	r = coop_bag_leave(bag, r);
	say("%d ", (int)depth);
	CHECK_INT(coop_bag_free(bag), ==, 0);
	return r;
}

/* Nested: cancelling the outermost unwinds all, the leaf first, and nothing is left. */
TASK_TEST(nested_bags)
{
	CHECK_INT(cancelled_after(10, nested, MSARG(3)), ==, COOP_ECANCELED);
	CHECK_TRAIL("0 1 2 3 ");
	PROVES(S36);
	return 0;
}

/* ---- where the model has holes */

static int aclose_slowly(void *arg)
{
	struct job *jobs = arg;
	struct coop_bag bag = open_bag(NULL);
	int r;

	CHECK_INT(coop_bag_spawn(bag, job, &jobs[0]), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(coop_bag_aclose(bag), ==, 0);
	CHECK_INT(jobs[0].ended_ms, ==, 45); /* it has not outlived the bag */
	r = coop_checkpoint();
	CHECK_INT(r, ==, COOP_ECANCELED);
	r = coop_bag_leave(bag, r);
	CHECK_INT(coop_bag_free(bag), ==, 0);
	return r;
}

/* The opener is cancelled while it closes: no child outlives the bag. */
TASK_TEST(cancelled_while_closing)
{
	struct job jobs[] = { { .ms = 90, .cleanup_ms = 40 } };

	CHECK_INT(cancelled_after(10, aclose_slowly, jobs), ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 45);
	PROVES(S38);
	return 0;
}

/* If asked to, a failure wakes the body and cancels the siblings, and is what leaving returns. */
TASK_TEST(fail_fast)
{
	struct job jobs[] = { { .ms = 10, .value = -EIO }, { .ms = 90 } };
	struct coop_bag bag = open_bag(&(struct coop_bag_opts){ .fail_fast = true });
	int r;

	CHECK_INT(coop_bag_spawn(bag, job, &jobs[0]), ==, 0);
	CHECK_INT(coop_bag_spawn(bag, job, &jobs[1]), ==, 0);
	r = coop_sleep(MS(90));
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 10);
	CHECK_INT(coop_bag_leave(bag, r), ==, -EIO);
	CHECK(jobs[1].cancelled);
	coop_error_clear();
	CHECK_INT(coop_checkpoint(), ==, 0);
	PROVES(S38);
	CHECK_INT(coop_bag_free(bag), ==, 0);
	return 0;
}

/* If asked to, leaving returns all errors, and nothing is only logged. */
TASK_TEST(whole_error)
{
	struct job jobs[] = { { .ms = 10, .value = -EIO } };
	struct coop_bag bag =
		open_bag(&(struct coop_bag_opts){ .whole_error = true, .name = "all" });
	struct coop_error_info info;
	int r;

	keep_records(COOP_LOG_WARN);
	CHECK_INT(coop_bag_spawn(bag, job, &jobs[0]), ==, 0);
	CHECK_INT(coop_bag_until_done(bag), ==, 0);
	r = coop_bag_leave(bag, coop_fail(-ENOENT, "KeyError"));
	coop_error_describe(coop_error_peek(r), &info);
	CHECK_INT(info.members, ==, 2);
	CHECK_STR(info.name, "all");
	coop_error_clear();
	CHECK_INT(records_count, ==, 0);
	PROVES(S38);
	CHECK_INT(coop_bag_free(bag), ==, 0);
	return 0;
}

/* A failure of the fatal class cancels all at once, and is what leaving returns. */
TASK_TEST(fatal_failure)
{
	struct job jobs[] = { { .ms = 10, .value = COOP_EINTERNAL },
			      { .ms = 90 },
			      { .ms = 5, .value = -EIO } };
	struct coop_bag bag = open_bag(NULL);
	int r;

	keep_records(COOP_LOG_WARN);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_bag_spawn(bag, job, &jobs[i]), ==, 0);
	r = coop_sleep(MS(50));
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_bag_leave(bag, r), ==, COOP_EINTERNAL);
	CHECK(jobs[1].cancelled);
	CHECK_INT(records_count, ==, 1);
	coop_error_clear();
	PROVES(S38);
	CHECK_INT(coop_bag_free(bag), ==, 0);
	return 0;
}

/* ---- who may call what */

static struct coop_bag shared;

static int meddles(void *arg)
{
	(void)arg;
	CHECK_INT(coop_bag_leave(shared, 0), ==, COOP_EWRONGTASK);
	CHECK_INT(coop_bag_until_done(shared), ==, -EDEADLK);
	CHECK_INT(coop_bag_aclose(shared), ==, -EDEADLK);
	coop_error_clear();
	return coop_checkpoint();
}

/* A child can neither leave its bag nor wait for it. */
TASK_TEST(from_a_child)
{
	shared = open_bag(NULL);
	CHECK_INT(coop_bag_spawn(shared, meddles, NULL), ==, 0);
	CHECK_INT(coop_bag_until_done(shared), ==, 0);
	CHECK_INT(coop_bag_leave(shared, 0), ==, 0);
	CHECK_INT(coop_bag_free(shared), ==, 0);
	return 0;
}

static int leaves_a_bag(void *arg)
{
	(void)arg;
	return coop_bag_new(NULL, &shared);
}

/* A bag that was never freed is told of at the end of the run; its name means nothing after it. */
TEST(never_freed)
{
	keep_records(COOP_LOG_WARN);
	CHECK_INT(coop_run(leaves_a_bag, NULL, &virtual_clock), ==, 0);
	CHECK_INT(records_count, ==, 1);
	CHECK_HAS(records, "was not freed");
	CHECK_HAS(records, "test_bag.c");
	CHECK(!coop_bag_is_open(shared));
	CHECK_INT(coop_bag_free(shared), ==, 1);
	CHECK_INT(coop_bag_new(NULL, &shared), ==, COOP_ENOTASK);
	CHECK_INT(coop_bag_open(shared), ==, COOP_ENOTASK);
}

static int late_child(void *arg)
{
	say("started ");
	(void)arg;
	CHECK_INT(coop_sleep(COOP_NEVER), ==, COOP_ECANCELED);
	say("cancelled ");
	return COOP_ECANCELED;
}

static int spawns_late(void *arg)
{
	(void)arg;
	return coop_spawn(&cp_rt->group, late_child, NULL);
}

/* A task that nobody waits for, in the run's group: it begins, is named, cancelled and joined. */
TEST(late_task)
{
	keep_records(COOP_LOG_WARN);
	CHECK_INT(coop_run(spawns_late, NULL, &virtual_clock), ==, 0);
	CHECK_TRAIL("started cancelled ");
	CHECK_HAS(records, "late_child");
	CHECK_HAS(records, "test_bag.c");
	PROVES(S4, S40);
}

/* ---- sweep */

static int fills_bags(void *arg)
{
	struct job jobs[] = { { .ms = 1, .value = -EIO },
			      { .ms = 2 },
			      { .ms = 9, .cleanup_ms = 1 } };
	struct coop_bag bag;
	int r = coop_bag_new(NULL, &bag);

	(void)arg;
	begin_ns = coop_now();
	if (r < 0)
		return r;
	r = coop_bag_open(bag);
	for (int i = 0; i < 2 && r >= 0; i++)
		r = coop_bag_spawn(bag, job, &jobs[i]);
	if (r >= 0)
		r = coop_bag_until_done(bag);
	if (r >= 0)
		r = coop_bag_spawn(bag, job, &jobs[2]);
	if (r >= 0)
		r = coop_bag_aclose(bag);
	r = coop_bag_leave(bag, r);
	CHECK_INT(coop_bag_free(bag), ==, 0);
	return r == -EIO ? 0 : r;
}

/* Cancelled at each checkpoint, refused each allocation, in many orders. */
TEST(swept)
{
	static const int cancelled[] = { 0, COOP_ECANCELED, 1 };
	static const int starved[] = { 0, -ENOMEM, 1 };

	sweep_all(fills_bags, cancelled, starved, 5);
}
