/* SPDX-License-Identifier: MIT */
/* What task.h promises, call by call. */
#include "../core/core_help.h"

struct stage {
	struct coop_group g;
	struct coop_handle *live; /* sleeps for 5 ms */
	struct coop_handle *well; /* has ended with 4 */
	struct coop_handle *bad;  /* has failed with -EIO */
};

#include "contract.h"

static const struct coop_local key = { "key" };
static char value[] = "value";

static int gives_4(void *arg)
{
	(void)arg;
	return 4;
}

static int fails(void *arg)
{
	(void)arg;
	return coop_fail(-EIO, "failed");
}

static void stage_open(struct stage *s, bool in_task)
{
	*s = (struct stage){ .g = COOP_GROUP_INIT };
	if (!in_task)
		return;
	coop_group_open(&s->g, &(struct coop_group_opts){ .policy = COOP_COLLECT });
	CHECK_INT(coop_spawn_with(&s->g, sleep_ms, MSARG(5), NULL, &s->live), ==, 0);
	CHECK_INT(coop_spawn_with(&s->g, gives_4, NULL, NULL, &s->well), ==, 0);
	CHECK_INT(coop_spawn_with(&s->g, fails, NULL, NULL, &s->bad), ==, 0);
	coop_yield();
}

static void stage_close(struct stage *s, bool in_task)
{
	if (!in_task)
		return;
	CHECK_INT(coop_group_join(&s->g, 0), ==, -EIO);
	coop_error_clear();
	coop_handle_release(s->live);
	coop_handle_release(s->well);
	coop_handle_release(s->bad);
}

/* ---- checkpoints */

ROW(coop_checkpoint, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_checkpoint();
}

/* The cancel half only. */
ROW(coop_checkpoint_if_cancelled, CUSTOM, 0, COOP_ENOTASK)
{
	struct coop_checkpoint_mark mark = coop_test_checkpoints(), after;
	bool cancelled = coop_cancelled();
	int r = coop_checkpoint_if_cancelled();

	after = coop_test_checkpoints();
	if (coop_self()) {
		CHECK_INT(r, ==, cancelled ? COOP_ECANCELED : 0);
		CHECK_INT(after.cancel_half, ==, mark.cancel_half + 1);
		CHECK_INT(after.schedule_half, ==, mark.schedule_half);
	}
	return r;
}

ROW(coop_yield, SCHEDULE_ONLY, 0, COOP_ENOTASK)
{
	return coop_yield();
}

ROW_FULL(coop_cancelled, coop_cancelled, NEVER, 0, 1, 0)
{
	return coop_cancelled();
}

/* ---- oneself */

ROW(coop_self, NEVER, 1, 0)
{
	return coop_self() != NULL;
}

ROW(coop_self_group, NEVER, 0, 0)
{
	return coop_self_group() != NULL; /* the main task is nobody's child */
}

ROW(coop_set_name, NEVER, 0, COOP_ENOTASK)
{
	return coop_set_name("row");
}

ROW_AS(coop_set_name, none, NEVER, -EINVAL, COOP_ENOTASK)
{
	int r = coop_set_name(NULL);

	if (coop_self())
		CHECK_STR(coop_name(), "main");
	return r;
}

ROW(coop_name, NEVER, 1, 0)
{
	return coop_name()[0] != '\0';
}

ROW(coop_set_fpenv, NEVER, 0, COOP_ENOTASK)
{
	return coop_set_fpenv(false);
}

/* ---- lists */

static int visit(const struct coop_task_info *info, void *ctx)
{
	(void)info;
	++*(int *)ctx;
	return 0;
}

ROW(coop_for_each_task, NEVER, 0, COOP_ENOTASK)
{
	int n = 0, r = coop_for_each_task(false, visit, &n);

	CHECK_INT(n, ==, r == 0 ? 2 : 0);
	return r;
}

ROW(coop_task_path, NEVER, 0, 0)
{
	char path[32] = "untouched";

	CHECK(coop_task_path(coop_self(), path, sizeof path) == path);
	CHECK_STR(path, coop_self() ? "main" : "");
	return 0;
}

ROW(coop_stack_high_water, NEVER, 1, 0)
{
	return coop_stack_high_water(coop_self()) > 0;
}

/* ---- handles */

ROW_FULL(coop_handle_state, coop_handle_state, NEVER, COOP_TASK_BLOCKED, COOP_TASK_READY,
	 NOTHING_OUTSIDE)
{
	return (int)coop_handle_state(s->live);
}

ROW(coop_handle_result, NEVER, 0, NOTHING_OUTSIDE)
{
	int got = 0, r = coop_handle_result(s->well, &got);

	CHECK_INT(got, ==, 4);
	return r;
}

ROW_AS(coop_handle_result, early, NEVER, -EAGAIN, NOTHING_OUTSIDE)
{
	int got = 77, r = coop_handle_result(s->live, &got);

	CHECK_INT(got, ==, 77);
	return r;
}

ROW_AS(coop_handle_result, failed, NEVER, -EIO, NOTHING_OUTSIDE)
{
	int got = 77, r = coop_handle_result(s->bad, &got);

	CHECK_INT(got, ==, 77);
	return r;
}

ROW(coop_handle_error, NEVER, 1, NOTHING_OUTSIDE)
{
	return coop_handle_error(s->bad) && !coop_handle_error(s->well);
}

ROW(coop_handle_cancel_at, NEVER, 0, NOTHING_OUTSIDE)
{
	return coop_handle_cancel_at(s->live, "row", COOP_NEVER, COOP_HERE);
}

ROW_AS(coop_handle_cancel_at, ended, NEVER, 1, NOTHING_OUTSIDE)
{
	return coop_handle_cancel_at(s->well, "row", COOP_NEVER, COOP_HERE);
}

ROW_AS(coop_handle_cancel_at, bad_grace, NEVER, -EINVAL, NOTHING_OUTSIDE)
{
	int r = coop_handle_cancel_at(s->live, "row", -1, COOP_HERE);

	CHECK(!coop_handle_cancel_called(s->live));
	return r;
}

ROW(coop_handle_cancel_called, NEVER, 0, NOTHING_OUTSIDE)
{
	return coop_handle_cancel_called(s->live);
}

ROW(coop_handle_wait, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_handle_wait(s->live, NULL);
}

ROW_AS(coop_handle_wait, ended, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_handle_wait(s->well, NULL);
}

ROW_AS(coop_handle_wait, failed, ALWAYS, -EIO, COOP_ENOTASK)
{
	return coop_handle_wait(s->bad, NULL);
}

ROW(coop_await_shielded, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_await_shielded(s->live, NULL);
}

ROW(coop_handle_ref, NEVER, 0, 0)
{
	if (coop_handle_ref(s->live) != s->live)
		return 1;
	coop_handle_release(s->live);
	return 0;
}

ROW(coop_handle_release, NEVER, 0, 0)
{
	(void)s;
	return coop_handle_release(NULL) != NULL;
}

/* ---- locals */

ROW(coop_local_set, NEVER, 0, COOP_ENOTASK)
{
	return coop_local_set(&key, value);
}

ROW_AS(coop_local_set, no_key, NEVER, -EINVAL, COOP_ENOTASK)
{
	return coop_local_set(NULL, value);
}

ROW(coop_local_get, NEVER, 0, 0)
{
	return coop_local_get(&key) != NULL;
}

ROW(coop_local_with, NEVER, 4, COOP_ENOTASK)
{
	return coop_local_with(&key, value, gives_4, s);
}

ROW_AS(coop_local_with, no_function, NEVER, -EINVAL, COOP_ENOTASK)
{
	return coop_local_with(&key, value, NULL, s);
}

ROW(coop_run_local_set, NEVER, 0, COOP_ENOTASK)
{
	return coop_run_local_set(&key, value);
}

ROW_AS(coop_run_local_set, no_key, NEVER, -EINVAL, COOP_ENOTASK)
{
	return coop_run_local_set(NULL, value);
}

ROW(coop_run_local_get, NEVER, 0, 0)
{
	return coop_run_local_get(&key) != NULL;
}
