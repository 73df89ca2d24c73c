/* SPDX-License-Identifier: MIT */
/* What group.h promises, call by call. */
#include "../core/core_help.h"

struct stage {
	struct coop_group open;   /* has a child that sleeps, and no room for another one */
	struct coop_group roomy;  /* open inside it, without children */
	struct coop_group fresh;  /* not opened yet */
	struct coop_group closed; /* closed already */
	int ran;                  /* children that the row has made */
};

#include "contract.h"

static int counts(void *arg)
{
	struct stage *s = arg;

	s->ran++;
	return 0;
}

static int starts(void *arg, struct coop_start *start)
{
	return coop_started(start, counts(arg));
}

static void stage_open(struct stage *s, bool in_task)
{
	*s = (struct stage){ .open = COOP_GROUP_INIT,
			     .roomy = COOP_GROUP_INIT,
			     .fresh = COOP_GROUP_INIT,
			     .closed = COOP_GROUP_INIT };
	if (!in_task)
		return;
	coop_group_open(&s->closed, NULL);
	CHECK_INT(coop_group_join(&s->closed, 0), ==, 0);
	coop_group_open(&s->open, &(struct coop_group_opts){ .running_max = 1 });
	CHECK_INT(coop_spawn(&s->open, sleep_ms, MSARG(5)), ==, 0);
	coop_yield();
	coop_group_open(&s->roomy, NULL);
}

static void stage_close(struct stage *s, bool in_task)
{
	if (!in_task)
		return;
	coop_group_end(&s->fresh);
	coop_group_end(&s->roomy);
	coop_group_end(&s->open);
}

/* ---- opening and leaving */

ROW(coop_group_open_at, NEVER, 0, COOP_ENOTASK)
{
	return coop_group_open_at(&s->fresh, NULL, COOP_HERE);
}

ROW_AS(coop_group_open_at, bad_options, NEVER, -EINVAL, COOP_ENOTASK)
{
	struct coop_group_opts opts = { .timeout_ns = -1 };

	return coop_group_open_at(&s->fresh, &opts, COOP_HERE);
}

ROW_AS(coop_group_open_at, twice, NEVER, -EALREADY, COOP_ENOTASK)
{
	return coop_group_open_at(&s->open, NULL, COOP_HERE);
}

ROW(coop_group_join, CUSTOM, 7, COOP_ENOTASK)
{
	struct coop_checkpoint_mark mark = coop_test_checkpoints(), after;
	int r = coop_group_join(&s->roomy, 7);

	after = coop_test_checkpoints();
	if (coop_self()) { /* gives way, and is no cancellation point */
		CHECK_INT(after.cancel_half, ==, mark.cancel_half);
		CHECK_INT(after.schedule_half, ==, mark.schedule_half + 1);
		CHECK_INT(r, ==, 7);
	}
	return r;
}

ROW_AS(coop_group_join, waiting, CUSTOM, 0, COOP_ENOTASK)
{
	struct coop_checkpoint_mark mark = coop_test_checkpoints(), after;
	int r;

	coop_group_end(&s->roomy);
	mark = coop_test_checkpoints();
	r = coop_group_join(&s->open, 0);
	after = coop_test_checkpoints();
	CHECK_INT(after.cancel_half, ==, mark.cancel_half);
	return r;
}

ROW_AS(coop_group_join, not_open, NEVER, COOP_ENOTOPEN, COOP_ENOTASK)
{
	return coop_group_join(&s->fresh, 0);
}

ROW_AS(coop_group_join, closed, NEVER, COOP_ECLOSED, COOP_ENOTASK)
{
	return coop_group_join(&s->closed, 0);
}

ROW(coop_group_wait, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_group_wait(&s->open);
}

ROW_AS(coop_group_wait, idle, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_group_wait(&s->roomy);
}

ROW_AS(coop_group_wait, not_open, ALWAYS, COOP_ENOTOPEN, COOP_ENOTASK)
{
	return coop_group_wait(&s->fresh);
}

ROW_AS(coop_group_wait, closed, ALWAYS, COOP_ECLOSED, COOP_ENOTASK)
{
	return coop_group_wait(&s->closed);
}

/* ---- cancelling and asking */

ROW(coop_group_cancel_at, NEVER, 0, 0)
{
	return coop_group_cancel_at(coop_self() ? &s->open : &s->fresh, "row", 0, COOP_HERE);
}

ROW_AS(coop_group_cancel_at, twice, NEVER, 1, 1)
{
	coop_group_cancel(&s->fresh, "once");
	return coop_group_cancel_at(&s->fresh, "twice", COOP_NEVER, COOP_HERE);
}

ROW_AS(coop_group_cancel_at, closed, NEVER, 1, 0)
{
	return coop_group_cancel_at(&s->closed, "row", COOP_NEVER, COOP_HERE);
}

ROW_AS(coop_group_cancel_at, bad_grace, NEVER, -EINVAL, -EINVAL)
{
	return coop_group_cancel_at(&s->fresh, "row", -1, COOP_HERE);
}

ROW(coop_group_stats, NEVER, 0, COOP_ENOTOPEN)
{
	struct coop_group_stats stats;
	int r = coop_group_stats(&s->open, &stats);

	if (r == 0)
		CHECK_INT(stats.running, ==, 1);
	return r;
}

ROW_AS(coop_group_stats, not_open, NEVER, COOP_ENOTOPEN, COOP_ENOTOPEN)
{
	struct coop_group_stats stats = { .peak = 77 };
	int r = coop_group_stats(&s->fresh, &stats);

	CHECK_INT(stats.peak, ==, 77);
	return r;
}

ROW(coop_group_set_running_max, NEVER, 0, COOP_ENOTOPEN)
{
	return coop_group_set_running_max(&s->open, 4);
}

ROW_AS(coop_group_set_running_max, closed, NEVER, COOP_ECLOSED, COOP_ENOTOPEN)
{
	return coop_group_set_running_max(&s->closed, 4);
}

/* ---- spawning */

/* A spawn that was refused has not run, and never will. */
static int refused(struct stage *s, int r)
{
	if (coop_self())
		coop_yield();
	CHECK_INT(s->ran, ==, 0);
	return r;
}

ROW(coop_spawn_at, NEVER, 0, COOP_ENOTASK)
{
	return coop_spawn_at(&s->roomy, counts, s, COOP_SPAWN_SITE(counts));
}

ROW_AS(coop_spawn_at, no_function, NEVER, -EINVAL, COOP_ENOTASK)
{
	return coop_spawn_at(&s->roomy, NULL, s, COOP_SPAWN_SITE(counts));
}

ROW_AS(coop_spawn_at, no_room, NEVER, -EAGAIN, COOP_ENOTASK)
{
	return coop_spawn_at(&s->open, counts, s, COOP_SPAWN_SITE(counts));
}

ROW_AS(coop_spawn_at, not_open, NEVER, COOP_ENOTOPEN, COOP_ENOTASK)
{
	return coop_spawn_at(&s->fresh, counts, s, COOP_SPAWN_SITE(counts));
}

ROW_AS(coop_spawn_at, closed, NEVER, COOP_ECLOSED, COOP_ENOTASK)
{
	return coop_spawn_at(&s->closed, counts, s, COOP_SPAWN_SITE(counts));
}

ROW_FULL(coop_spawn_unless_cancelled_at, coop_spawn_unless_cancelled_at, NEVER, 0, COOP_ECANCELED,
	 COOP_ENOTASK)
{
	return coop_spawn_unless_cancelled_at(&s->roomy, counts, s, COOP_SPAWN_SITE(counts));
}

ROW_AS(coop_spawn_unless_cancelled_at, no_function, NEVER, -EINVAL, COOP_ENOTASK)
{
	return coop_spawn_unless_cancelled_at(&s->roomy, NULL, s, COOP_SPAWN_SITE(counts));
}

ROW(coop_spawn_wait_at, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_spawn_wait_at(&s->open, counts, s, COOP_SPAWN_SITE(counts));
}

ROW_AS(coop_spawn_wait_at, room, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_spawn_wait_at(&s->roomy, counts, s, COOP_SPAWN_SITE(counts));
}

ROW_AS(coop_spawn_wait_at, no_function, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_spawn_wait_at(&s->open, NULL, s, COOP_SPAWN_SITE(counts));
}

ROW_AS(coop_spawn_wait_at, closed, ALWAYS, COOP_ECLOSED, COOP_ENOTASK)
{
	return coop_spawn_wait_at(&s->closed, counts, s, COOP_SPAWN_SITE(counts));
}

ROW(coop_spawn_with_at, NEVER, 0, COOP_ENOTASK)
{
	struct coop_spawn_opts opts = { .name = "row" };
	struct coop_handle *h = NULL;
	int r = coop_spawn_with_at(&s->roomy, counts, s, &opts, &h, COOP_SPAWN_SITE(counts));

	coop_handle_release(h);
	return r;
}

ROW_AS(coop_spawn_with_at, eager, NEVER, 0, COOP_ENOTASK)
{
	struct coop_spawn_opts opts = { .eager = true };
	int r = coop_spawn_with_at(&s->roomy, counts, s, &opts, NULL, COOP_SPAWN_SITE(counts));

	CHECK_INT(s->ran, ==, r == 0); /* it has run when the call returns */
	return r;
}

ROW_AS(coop_spawn_with_at, bad_stack, NEVER, -EINVAL, COOP_ENOTASK)
{
	struct coop_spawn_opts opts = { .stack_bytes = 1000 };
	struct coop_handle *h = NULL;
	int r = coop_spawn_with_at(&s->roomy, counts, s, &opts, &h, COOP_SPAWN_SITE(counts));

	CHECK(h == NULL);
	return r;
}

/* ---- starting */

ROW(coop_start_at, CUSTOM, 0, COOP_ENOTASK)
{
	struct coop_checkpoint_mark mark = coop_test_checkpoints(), after;
	int value = 5;
	int r = coop_start_at(&s->roomy, starts, s, NULL, COOP_SPAWN_SITE(starts), &value, NULL);

	after = coop_test_checkpoints();
	if (coop_self()) { /* not interrupted: the child ends well, and so does the start */
		CHECK_INT(r, ==, 0);
		CHECK_INT(s->ran, ==, 1);
		CHECK_INT(value, ==, 0);
		CHECK_INT(after.cancel_half, ==, mark.cancel_half);
		CHECK_INT(after.schedule_half, ==, mark.schedule_half + 1);
	}
	return r;
}

ROW_AS(coop_start_at, no_function, NEVER, -EINVAL, COOP_ENOTASK)
{
	return coop_start_at(&s->roomy, NULL, s, NULL, COOP_SPAWN_SITE(starts), NULL, NULL);
}

ROW_AS(coop_start_at, no_room, NEVER, -EAGAIN, COOP_ENOTASK)
{
	return coop_start_at(&s->open, starts, s, NULL, COOP_SPAWN_SITE(starts), NULL, NULL);
}

ROW_AS(coop_start_at, closed, NEVER, COOP_ECLOSED, COOP_ENOTASK)
{
	return coop_start_at(&s->closed, starts, s, NULL, COOP_SPAWN_SITE(starts), NULL, NULL);
}

ROW(coop_started, NEVER, 0, 0)
{
	(void)s;
	return coop_started(NULL, 3);
}

static int starts_counted(void *arg, struct coop_start *start)
{
	struct coop_checkpoint_mark mark = coop_test_checkpoints();
	struct stage *s = arg;

	s->ran++;
	CHECK_INT(coop_started(start, 3), ==, 0);
	CHECK_INT(coop_started(start, 4), ==, -EALREADY);
	coop_assert_no_checkpoint(mark);
	return 0;
}

/* Said by a child it is no checkpoint either. */
TASK_TEST(started_by_a_child)
{
	struct stage s = { .roomy = COOP_GROUP_INIT };
	int value = 0;

	coop_group_open(&s.roomy, NULL);
	CHECK_INT(coop_start(&s.roomy, starts_counted, &s, &value), ==, 0);
	CHECK_INT(value, ==, 3);
	return coop_group_join(&s.roomy, 0);
}

/* What was refused by a full, a closed or a cancelled group never runs. */
TASK_TEST(refused_never_runs)
{
	struct stage s;

	stage_open(&s, true);
	CHECK_INT(refused(&s, coop_spawn(&s.open, counts, &s)), ==, -EAGAIN);
	CHECK_INT(refused(&s, coop_spawn(&s.closed, counts, &s)), ==, COOP_ECLOSED);
	coop_group_cancel(&s.roomy, NULL);
	CHECK_INT(refused(&s, coop_spawn_unless_cancelled(&s.roomy, counts, &s)), ==,
		  COOP_ECANCELED);
	CHECK_INT(refused(&s, coop_spawn_wait(&s.roomy, counts, &s)), ==, COOP_ECANCELED);
	stage_close(&s, true);
	CHECK_INT(s.ran, ==, 0);
	return 0;
}
