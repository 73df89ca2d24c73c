/* SPDX-License-Identifier: MIT */
/*
 * What comes from outside a task, and what does not: the cancel of a handle ends with its task,
 * and a service sees no deadline that is hidden from it.
 */
#include "group_help.h"

/* ---- a cancel through a handle */

static int has_a_group(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_group_open(&g, NULL);
	r = coop_spawn(&g, sleep_for_ever, NULL);
	if (r >= 0)
		r = coop_spawn(&g, fails_when_cancelled, CODE(-EPROTO));
	return coop_group_join(&g, r);
}

/* The group inside the task ends with an error beside which the cancel passed; for the task's own
 * group that was none from outside, whatever its policy. */
TASK_TEST(the_cancel_of_a_handle_ends_with_its_task)
{
	for (enum coop_policy policy = COOP_FAIL_FAST; policy <= COOP_LOG; policy++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct coop_handle *h;
		int r;

		keep_records(COOP_LOG_ERROR);
		coop_group_open(&g, &(struct coop_group_opts){ .policy = policy });
		CHECK_INT(coop_spawn_with(&g, has_a_group, NULL, NULL, &h), ==, 0);
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
		CHECK_INT(coop_handle_cancel(h, "this one only"), ==, 0);
		r = coop_group_join(&g, 0);
		CHECK(!coop_cancelled());
		if (policy == COOP_LOG) {
			CHECK_INT(r, ==, 0);
		} else {
			CHECK(r < 0 && r != COOP_ECANCELED);
			CHECK(!info_of(coop_error_peek(r)).cancel_pending);
			coop_error_clear();
		}
		CHECK_INT(coop_handle_state(h), ==, COOP_TASK_FAILED);
		coop_handle_release(h);
	}
	PROVES(B107);
	return 0;
}

/* One that comes from outside passes the group all the same. */
TASK_TEST(a_cancel_from_outside_passes)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	keep_records(COOP_LOG_ERROR);
	coop_scope_open(&s, NULL);
	coop_group_open(&g, &(struct coop_group_opts){ .policy = COOP_COLLECT });
	CHECK_INT(coop_spawn(&g, has_a_group, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_scope_cancel(&s, "all");
	r = coop_group_join(&g, 0);
	CHECK(r < 0 && r != COOP_ECANCELED);
	CHECK(info_of(coop_error_peek(r)).cancel_pending);
	coop_error_clear();
	CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, 0);
	return 0;
}

/* ---- deadlines */

static int serves_over_the_deadline(void *arg)
{
	(void)arg;
	CHECK_INT(coop_effective_deadline(), ==, COOP_NEVER);
	CHECK_INT(coop_sleep(MS(10)), ==, 0);
	CHECK_INT(coop_effective_deadline(), ==, COOP_NEVER);
	CHECK_INT(coop_sleep(MS(90)), ==, COOP_ECANCELED);
	CHECK_INT(coop_effective_deadline(), ==, INT64_MIN);
	return COOP_ECANCELED;
}

static int sleeps_shielded(void *arg)
{
	return coop_shield(sleep_ms, arg);
}

/* A service is hidden from a deadline around its group until its users are gone, and is not told
 * that it is coming. */
TASK_TEST(a_service_sees_no_deadline_from_outside)
{
	struct coop_spawn_opts service = { .service = true };
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;

	coop_scope_open(&s, &(struct coop_scope_opts){ .timeout_ns = MS(5) });
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sleeps_shielded, MSARG(50)), ==, 0);
	CHECK_INT(coop_spawn_with(&g, serves_over_the_deadline, NULL, &service, NULL), ==, 0);
	CHECK_INT(coop_scope_close(&s, coop_group_join(&g, 0)), ==, 0);
	CHECK_INT(now_ms(), ==, 50);
	PROVES(B193);
	return 0;
}
