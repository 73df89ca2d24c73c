/* SPDX-License-Identifier: MIT */
/*
 * What comes from outside a task, and what does not: the cancel of a handle ends with its task,
 * a service sees no deadline that is hidden from it, and a wait that no join can end is refused
 * where it would be for ever.
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

/* ---- waits that no join ends */

enum { GATHERS, WAITS_SHIELDED, WAITS_FOR, LOCKS_SHIELDED, WAYS };

static struct coop_handle *host;
static struct coop_mutex mutex = COOP_MUTEX_INIT;

static int waits_for_the_host(void *arg)
{
	return coop_handle_wait(arg, NULL);
}

static int locks(void *arg)
{
	return coop_mutex_lock(arg);
}

static int waits_for_good(void *arg)
{
	int r = 0;

	switch ((intptr_t)arg) {
	case GATHERS: r = coop_gather_handles(&host, 1, COOP_GATHER_COLLECT, NULL); break;
	case WAITS_SHIELDED: r = coop_shield(waits_for_the_host, host); break;
	case WAITS_FOR: r = coop_wait_for(host, SEC(1), NULL); break;
	case LOCKS_SHIELDED:
		CHECK_INT(coop_sleep(MS(1)), ==, 0); /* the host is in its join */
		r = coop_shield(locks, &mutex);
		break;
	}
	CHECK_INT(r, ==, -EDEADLK);
	coop_error_clear();
	return 0;
}

struct hosting {
	intptr_t way;
	bool service;
};

static int hosts(void *arg)
{
	struct hosting *h = arg;
	struct coop_group_opts opts = { .cancel_on_join = !h->service };
	struct coop_spawn_opts spawn = { .service = h->service };
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	if (h->way == LOCKS_SHIELDED)
		CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	coop_group_open(&g, &opts);
	CHECK_INT(coop_spawn_with(&g, waits_for_good, (void *)h->way, &spawn, NULL), ==, 0);
	if (h->way == LOCKS_SHIELDED)
		CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(5)), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
	r = coop_group_join(&g, 0);
	if (h->way == LOCKS_SHIELDED)
		coop_mutex_unlock(&mutex);
	return r;
}

/* A join would cancel its service, or any child with cancel_on_join. That ends no wait behind a
 * hard shield, and none that sees its tasks to their end: it is refused, as where a join waits. */
TASK_TEST(waits_that_no_join_ends)
{
	for (intptr_t way = 0; way < WAYS; way++) {
		for (int service = 0; service < 2; service++) {
			struct hosting h = { .way = way, .service = service };
			struct coop_group g = COOP_GROUP_INIT;

			if (way == LOCKS_SHIELDED && !service)
				continue; /* it is cancelled before */
			coop_group_open(&g, NULL);
			CHECK_INT(coop_spawn_with(&g, hosts, &h, NULL, &host), ==, 0);
			CHECK_INT(coop_group_join(&g, 0), ==, 0);
			coop_handle_release(host);
		}
	}
	PROVES(B157);
	return 0;
}

static int waits_and_is_cancelled(void *arg)
{
	(void)arg;
	CHECK_INT(coop_handle_wait(host, NULL), ==, COOP_ECANCELED);
	return COOP_ECANCELED;
}

static int hosts_a_waiting_service(void *arg)
{
	struct coop_spawn_opts service = { .service = true };
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, waits_and_is_cancelled, NULL, &service, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	return coop_group_join(&g, 0);
}

/* A service may wait for its host where the join can end that. */
TASK_TEST(a_wait_that_a_join_ends)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, hosts_a_waiting_service, NULL, NULL, &host), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_handle_release(host);
	return 0;
}
