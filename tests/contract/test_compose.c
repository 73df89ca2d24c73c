/* SPDX-License-Identifier: MIT */
/* What compose.h promises, call by call. */
#include "../core/core_help.h"

struct stage {
	struct coop_group group;
	struct coop_handle *sleeper; /* asleep for ever */
	struct coop_handle *ended;   /* has returned 7 */
	struct coop_as_completed *it;
	struct coop_as_completed *inner;
	struct coop_slot slots[2];
	size_t index;
	bool timed_out;
	int value;
};

#include "contract.h"

static int returns_7(void *arg)
{
	(void)arg;
	return 7;
}

static int item_7(size_t index, void *arg)
{
	(void)index;
	(void)arg;
	return 7;
}

static const struct coop_call calls[] = { { .fn = returns_7 }, { .fn = returns_7 } };
static const struct coop_call no_calls[] = { { .fn = NULL } };

static void stage_open(struct stage *s, bool in_task)
{
	*s = (struct stage){ .group = COOP_GROUP_INIT };
	if (!in_task)
		return;
	coop_group_open(&s->group, NULL);
	CHECK_INT(coop_spawn_with(&s->group, sleep_for_ever, NULL, NULL, &s->sleeper), ==, 0);
	CHECK_INT(coop_spawn_with(&s->group, returns_7, NULL, NULL, &s->ended), ==, 0);
	CHECK_INT(coop_as_completed_open(calls, 2, NULL, &s->it), ==, 0);
	CHECK_INT(coop_test_wait_all_blocked(0), ==, 0);
}

static void stage_close(struct stage *s, bool in_task)
{
	if (!in_task)
		return;
	if (s->inner)
		(void)!coop_as_completed_close(s->inner, 0);
	if (s->it)
		(void)!coop_as_completed_close(s->it, 0);
	for (int i = 0; i < 2; i++)
		coop_error_unref(s->slots[i].err);
	coop_error_clear();
	coop_handle_release(s->sleeper);
	coop_handle_release(s->ended);
	coop_group_end(&s->group);
}

ROW(coop_gather_at, CUSTOM, 0, COOP_ENOTASK)
{
	return coop_gather(calls, 2, COOP_GATHER_FAIL_FAST, s->slots);
}

ROW_AS(coop_gather_at, no_function, NEVER, -EINVAL, COOP_ENOTASK)
{
	return coop_gather(no_calls, 1, COOP_GATHER_FAIL_FAST, NULL);
}

ROW(coop_race_at, CUSTOM, 7, COOP_ENOTASK)
{
	return coop_race(calls, 2, NULL, &s->index);
}

ROW_AS(coop_race_at, no_function, NEVER, -EINVAL, COOP_ENOTASK)
{
	return coop_race(no_calls, 1, NULL, &s->index);
}

ROW(coop_race_first_at, CUSTOM, 7, COOP_ENOTASK)
{
	return coop_race_first(calls, 2, NULL, &s->index);
}

ROW(coop_quorum_at, CUSTOM, 0, COOP_ENOTASK)
{
	return coop_quorum(calls, 2, 1, NULL, s->slots);
}

ROW_AS(coop_quorum_at, too_many, NEVER, -EINVAL, COOP_ENOTASK)
{
	return coop_quorum(calls, 2, 3, NULL, s->slots);
}

ROW(coop_staggered_race_at, CUSTOM, 7, COOP_ENOTASK)
{
	return coop_staggered_race(calls, 2, MS(1), NULL, &s->index);
}

ROW_AS(coop_staggered_race_at, negative, NEVER, -EINVAL, -EINVAL)
{
	return coop_staggered_race(calls, 2, -1, NULL, &s->index);
}

ROW(coop_hedge_at, CUSTOM, 7, COOP_ENOTASK)
{
	return coop_hedge(calls, 2, MS(1), NULL, &s->index);
}

ROW_AS(coop_hedge_at, negative, NEVER, -EINVAL, -EINVAL)
{
	return coop_hedge(calls, 2, -1, NULL, &s->index);
}

ROW(coop_map_at, CUSTOM, 0, COOP_ENOTASK)
{
	return coop_map(item_7, NULL, 2, NULL, s->slots);
}

ROW_AS(coop_map_at, no_function, NEVER, -EINVAL, COOP_ENOTASK)
{
	return coop_map(NULL, NULL, 2, NULL, s->slots);
}

ROW(coop_as_completed_open_at, NEVER, 0, COOP_ENOTASK)
{
	/* Inside of the one that is there already; the outer one is closed by the stage. */
	return coop_as_completed_open(calls, 2, NULL, &s->inner);
}

ROW(coop_as_completed_next, ALWAYS, 0, NOTHING_OUTSIDE)
{
	return coop_as_completed_next(s->it, &s->index, &s->slots[0]);
}

/* Its join is a checkpoint of the kind that a join is. */
ROW(coop_as_completed_close, CUSTOM, 0, NOTHING_OUTSIDE)
{
	struct coop_as_completed *it = s->it;

	s->it = NULL;
	return coop_as_completed_close(it, 0);
}

ROW(coop_gather_handles, CUSTOM, 0, COOP_ENOTASK)
{
	return coop_gather_handles(&s->ended, 1, COOP_GATHER_COLLECT, NULL);
}

ROW(coop_gather_abandon, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_gather_abandon(&s->ended, 1, NULL);
}

ROW(coop_wait, ALWAYS, 1, COOP_ENOTASK)
{
	struct coop_handle *both[] = { s->sleeper, s->ended };

	return coop_wait(both, 2, COOP_WAIT_FIRST, SEC(1), &s->timed_out);
}

ROW_AS(coop_wait, negative, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_wait(&s->sleeper, 1, COOP_WAIT_ALL, -1, &s->timed_out);
}

ROW_AS(coop_wait, nothing, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_wait(NULL, 0, COOP_WAIT_ALL, SEC(1), &s->timed_out);
}

ROW(coop_wait_for, CUSTOM, 0, COOP_ENOTASK)
{
	return coop_wait_for(s->ended, SEC(1), &s->value);
}

ROW(coop_wait_for_call_at, CUSTOM, 7, COOP_ENOTASK)
{
	return coop_wait_for_call(returns_7, NULL, SEC(1));
}
