/* SPDX-License-Identifier: MIT */
/*
 * What a group keeps of its errors: up to the cap, each once, in strict groups too, unchanged where
 * somebody else holds them, and as many as can be without memory.
 */
#include "group_help.h"

/* ---- the cap */

/* Past the cap the first stays, the newest takes the last place, the rest is counted; a fatal one
 * is kept beside them. */
TASK_TEST(what_the_cap_keeps)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_group_opts opts = { .policy = COOP_COLLECT, .errors_max = 3 };
	struct coop_error *e;

	coop_group_open(&g, &opts);
	for (int code = 1; code <= 9; code++) {
		CHECK_INT(coop_spawn(&g, bare_code, CODE(code == 5 ? COOP_EEXIT(5) : -code)), ==,
			  0);
		CHECK_INT(coop_shield(sleep_ms, MSARG(1)), ==, 0);
	}
	CHECK_INT(stats_of(&g).errors, ==, 9);
	CHECK_INT(stats_of(&g).errors_kept, ==, 4);
	e = coop_error_take(coop_group_join(&g, 0));
	CHECK_INT(coop_error_code(e), ==, COOP_EEXIT(5));
	CHECK_INT(info_of(e).members_total, ==, 9);
	CHECK_STR(leaves_of(e), "EPERM ENOENT COOP_EEXIT(5) EBADF ");
	coop_error_unref(e);
	PROVES(B44, B53);
	return 0;
}

static int takes_shared(void *arg)
{
	struct coop_handle *h = arg;

	return coop_handle_wait(h, NULL);
}

/* Two tasks that end with one and the same error object: it stands there once. */
TASK_TEST(one_error_of_several_tasks)
{
	struct coop_group_opts collect = { .policy = COOP_COLLECT };
	struct coop_group one = COOP_GROUP_INIT, two = COOP_GROUP_INIT;
	struct coop_handle *h;
	struct coop_error *e;

	coop_group_open(&one, &collect);
	CHECK_INT(coop_spawn_with(&one, fail_after_ms, MSARG(5), NULL, &h), ==, 0);
	coop_group_open(&two, &collect);
	for (int i = 0; i < 5; i++)
		CHECK_INT(coop_spawn(&two, takes_shared, h), ==, 0);
	e = coop_error_take(coop_group_join(&two, 0));
	CHECK_INT(info_of(e).members, ==, 1);
	CHECK_INT(info_of(e).members_total, ==, 1);
	CHECK(coop_error_member(e, 0) == coop_handle_error(h));
	coop_error_unref(e);
	CHECK_INT(coop_group_join(&one, 0), ==, -EIO);
	coop_handle_release(h);
	PROVES(B64);
	return 0;
}

/* ---- strict groups */

/* A strict group's code is COOP_EGROUP however many failed, but a fatal code goes first. */
TASK_TEST(strict_code)
{
	struct coop_group_opts strict = { .strict_code = true };
	struct coop_group g = COOP_GROUP_INIT, h = COOP_GROUP_INIT, k = COOP_GROUP_INIT;

	coop_group_open(&g, &strict);
	CHECK_INT(coop_spawn(&g, fails_with, CODE(-EIO)), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, COOP_EGROUP);
	CHECK(coop_error_is(coop_error_peek(COOP_EGROUP), -EIO));
	coop_group_open(&h, &strict);
	CHECK_INT(coop_spawn(&h, fails_with, CODE(-EIO)), ==, 0);
	CHECK_INT(coop_spawn(&h, fails_with, CODE(COOP_EEXIT(4))), ==, 0);
	CHECK_INT(coop_group_join(&h, 0), ==, COOP_EEXIT(4));
	CHECK_STR(leaves_of(coop_error_peek(COOP_EEXIT(4))), "EIO COOP_EEXIT(4) ");
	coop_group_open(&k, &strict);
	CHECK_INT(coop_group_join(&k, 7), ==, 7);
	PROVES(B51, B54);
	return 0;
}

/* ---- errors that several see */

static int cancelled_inside(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, fails_when_cancelled, CODE(-EPIPE)), ==, 0);
	return coop_group_join(&g, coop_sleep(COOP_NEVER));
}

/* Somebody else's error came with somebody else's cancellation: the object stays as it is, and
 * the scope that is left with it has caught nothing. */
TASK_TEST(an_error_from_a_handle_is_not_changed)
{
	struct coop_group g = COOP_GROUP_INIT, h = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_handle *task;
	int r;

	coop_group_open(&g, &(struct coop_group_opts){ .policy = COOP_COLLECT });
	CHECK_INT(coop_spawn_with(&g, cancelled_inside, NULL, NULL, &task), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_handle_cancel(task, "enough"), ==, 0);
	coop_scope_open(&s, NULL);
	r = coop_handle_wait(task, NULL);
	coop_scope_cancel(&s, "too late");
	CHECK_INT(r, ==, -EPIPE);
	CHECK(info_of(coop_handle_error(task)).cancel_pending);
	CHECK_INT(coop_scope_close(&s, r), ==, -EPIPE);
	CHECK(!coop_scope_caught(&s));
	CHECK(info_of(coop_handle_error(task)).cancel_pending);
	coop_error_clear();

	/* A task that fails with it was not cancelled itself, and so says its group. */
	coop_group_open(&h, NULL);
	CHECK_INT(coop_spawn(&h, takes_shared, task), ==, 0);
	r = coop_group_join(&h, 0);
	CHECK_INT(r, ==, -EPIPE);
	CHECK(!info_of(coop_error_peek(r)).cancel_pending);
	coop_error_clear();
	CHECK_INT(coop_group_join(&g, 0), ==, -EPIPE);
	coop_error_clear();
	coop_handle_release(task);
	PROVES(B95, B145);
	return 0;
}

/* What the program keeps of an error does not change when a scope catches the cancellation. */
TASK_TEST(a_kept_error_is_not_changed)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_error *kept;
	int r;

	coop_scope_open(&s, &(struct coop_scope_opts){ .timeout_ns = MS(3) });
	r = cancelled_inside(NULL);
	CHECK_INT(r, ==, -EPIPE);
	kept = coop_error_ref(coop_error_peek(r));
	CHECK_INT(coop_scope_close(&s, r), ==, -EPIPE);
	CHECK(coop_scope_caught(&s));
	CHECK(info_of(kept).cancel_pending);
	CHECK(coop_error_peek(r) != kept);
	CHECK(!info_of(coop_error_peek(r)).cancel_pending);
	CHECK(coop_error_member(coop_error_peek(r), 0) == coop_error_member(kept, 0));
	coop_error_unref(kept);
	PROVES(B96);
	return 0;
}

/* ---- without memory */

/* Not even a list: one error stays, the fatal one, the others are logged and counted; from the
 * time when there is memory again all are kept. */
TASK_TEST(no_memory_for_a_list)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_error *e;

	keep_records(COOP_LOG_ERROR);
	coop_group_open(&g, &(struct coop_group_opts){ .policy = COOP_COLLECT });
	CHECK_INT(coop_spawn(&g, fails_with, CODE(-EIO)), ==, 0);
	CHECK_INT(coop_spawn(&g, fails_with, CODE(COOP_EEXIT(3))), ==, 0);
	CHECK_INT(coop_spawn(&g, fails_with, CODE(-EPIPE)), ==, 0);
	no_memory(true);
	coop_yield();
	CHECK_INT(stats_of(&g).errors, ==, 3);
	CHECK_INT(stats_of(&g).errors_kept, ==, 1);
	CHECK_INT(records_count, ==, 2);
	no_memory(false);
	CHECK_INT(coop_spawn(&g, fails_with, CODE(-ENOENT)), ==, 0);
	e = coop_error_take(coop_group_join(&g, 0));
	CHECK_INT(coop_error_code(e), ==, COOP_EEXIT(3));
	CHECK_STR(leaves_of(e), "COOP_EEXIT(3) ENOENT ");
	CHECK_INT(info_of(e).members_total, ==, 4);
	coop_error_unref(e);
	PROVES(B43);
	return 0;
}

/* A list that cannot grow: the newest is kept, and gets its place when there is memory again. */
TASK_TEST(no_memory_for_a_longer_list)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_error *e;
	int n = 1;

	coop_group_open(&g, &(struct coop_group_opts){ .policy = COOP_COLLECT });
	for (; n <= 4; n++)
		CHECK_INT(coop_spawn(&g, fails_with, CODE(-n)), ==, 0);
	coop_yield();
	for (; n <= 6; n++)
		CHECK_INT(coop_spawn(&g, fails_with, CODE(n == 5 ? COOP_EEXIT(1) : -n)), ==, 0);
	no_memory(true);
	coop_yield();
	coop_yield();
	no_memory(false);
	CHECK_INT(stats_of(&g).errors, ==, 6);
	CHECK_INT(coop_spawn(&g, fails_with, CODE(-7)), ==, 0);
	e = coop_error_take(coop_group_join(&g, 0));
	CHECK_INT(coop_error_code(e), ==, COOP_EEXIT(1));
	CHECK_STR(leaves_of(e), "EPERM ENOENT ESRCH EINTR COOP_EEXIT(1) ENXIO E2BIG ");
	CHECK_INT(info_of(e).members_total, ==, 7);
	coop_error_unref(e);
	PROVES(B43);
	return 0;
}

/* Two failures for which there is not even an object share a static one, and still are two. */
TASK_TEST(static_errors_are_not_the_same_error)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_error *hoard[64], *e;
	int r;

	coop_group_open(&g, &(struct coop_group_opts){ .policy = COOP_COLLECT });
	CHECK_INT(coop_spawn(&g, fails_with, CODE(-EPIPE)), ==, 0);
	coop_yield();
	CHECK_INT(coop_spawn(&g, fails_with, CODE(-EIO)), ==, 0);
	CHECK_INT(coop_spawn(&g, fails_with, CODE(-EIO)), ==, 0);
	no_memory(true);
	for (int i = 0; i < 64; i++)
		hoard[i] = coop_error_take(coop_fail(-ENOMEM, "the reserve"));
	coop_yield();
	no_memory(false);
	CHECK_INT(stats_of(&g).errors, ==, 3);
	for (int i = 0; i < 64; i++)
		coop_error_unref(hoard[i]);
	r = coop_group_join(&g, 0);
	CHECK_INT(r, ==, -EPIPE);
	e = coop_error_take(r);
	CHECK_STR(leaves_of(e), "EPIPE EIO EIO ");
	CHECK(coop_error_member(e, 1) == coop_error_member(e, 2));
	CHECK_INT(info_of(e).members_total, ==, 3);
	coop_error_unref(e);
	PROVES(B43);
	return 0;
}
