/* SPDX-License-Identifier: MIT */
/* What scope.h, time.h, defer.h and auto.h promise, call by call. */
#include "../core/core_help.h"

struct stage {
	struct coop_scope open;    /* the innermost; has a deferred clean-up */
	struct coop_scope fresh;   /* not opened yet */
	struct coop_scope closed;  /* closed already, after its deadline */
	struct coop_defer waiting; /* of `open` */
	struct coop_defer unused;
	struct coop_ticker ticker; /* in a task: started */
};

#include "contract.h"

static int cleaned;

static int clean(void *arg)
{
	(void)arg;
	cleaned++;
	return 0;
}

static int returns_7(void *arg)
{
	(void)arg;
	return 7;
}

static void stage_open(struct stage *s, bool in_task)
{
	*s = (struct stage){ .open = COOP_SCOPE_INIT,
			     .fresh = COOP_SCOPE_INIT,
			     .closed = COOP_SCOPE_INIT };
	if (!in_task)
		return;
	coop_scope_open(&s->closed, &(struct coop_scope_opts){ .timeout_ns = MS(1) });
	CHECK_INT(coop_sleep(MS(2)), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s->closed, COOP_ECANCELED), ==, 0);
	coop_scope_open(&s->open, &(struct coop_scope_opts){ .name = "stage" });
	CHECK_INT(coop_scope_defer(&s->open, &s->waiting, clean, s), ==, 0);
	CHECK_INT(coop_ticker_start(&s->ticker, MS(10)), ==, 0);
}

static void stage_close(struct stage *s, bool in_task)
{
	if (!in_task)
		return;
	coop_scope_end(&s->fresh);
	coop_scope_end(&s->open);
}

/* ---- scope.h */

ROW(coop_scope_open_at, NEVER, 0, COOP_ENOTASK)
{
	return coop_scope_open_at(&s->fresh, NULL, COOP_HERE);
}

ROW_AS(coop_scope_open_at, bad_options, NEVER, -EINVAL, COOP_ENOTASK)
{
	struct coop_scope_opts opts = { .timeout_ns = -1 };

	return coop_scope_open_at(&s->fresh, &opts, COOP_HERE);
}

ROW_AS(coop_scope_open_at, twice, NEVER, -EALREADY, COOP_ENOTASK)
{
	return coop_scope_open_at(&s->open, NULL, COOP_HERE);
}

ROW(coop_scope_close, NEVER, -EIO, COOP_ENOTASK)
{
	return coop_scope_close(&s->open, -EIO);
}

ROW_AS(coop_scope_close, not_open, NEVER, COOP_ENOTOPEN, COOP_ENOTASK)
{
	return coop_scope_close(&s->fresh, 0);
}

ROW_AS(coop_scope_close, closed, NEVER, COOP_ECLOSED, COOP_ENOTASK)
{
	return coop_scope_close(&s->closed, 0);
}

ROW(coop_scope_cancel_at, NEVER, 0, 0)
{
	return coop_scope_cancel_at(s->open._site ? &s->open : &s->fresh, "row", 0, COOP_HERE);
}

ROW_AS(coop_scope_cancel_at, closed, NEVER, 1, 0)
{
	return coop_scope_cancel_at(&s->closed, "row", 0, COOP_HERE);
}

ROW_AS(coop_scope_cancel_at, bad_grace, NEVER, -EINVAL, -EINVAL)
{
	return coop_scope_cancel_at(&s->open, "row", -1, COOP_HERE);
}

ROW(coop_scope_set_deadline, NEVER, 0, COOP_ENOTOPEN)
{
	return coop_scope_set_deadline(&s->open, coop_now() + SEC(1));
}

ROW_AS(coop_scope_set_deadline, not_open, NEVER, COOP_ENOTOPEN, COOP_ENOTOPEN)
{
	return coop_scope_set_deadline(&s->fresh, COOP_NEVER);
}

ROW_AS(coop_scope_set_deadline, closed, NEVER, COOP_ECLOSED, COOP_ENOTOPEN)
{
	return coop_scope_set_deadline(&s->closed, COOP_NEVER);
}

ROW(coop_scope_set_shield, NEVER, 0, 0)
{
	return coop_scope_set_shield(s->open._site ? &s->open : &s->fresh, true);
}

ROW_AS(coop_scope_set_shield, closed, NEVER, COOP_ECLOSED, 0)
{
	return coop_scope_set_shield(&s->closed, true);
}

/* The scope's own; what is cancelled outside of it is no call of its own. */
ROW(coop_scope_cancel_called, NEVER, 0, 0)
{
	return coop_scope_cancel_called(&s->open);
}

ROW(coop_scope_caught, NEVER, 1, 0)
{
	return coop_scope_caught(&s->closed);
}

ROW(coop_scope_late_ns, NEVER, 0, 0)
{
	return (int)coop_scope_late_ns(&s->closed);
}

ROW_FULL(coop_cancel_reason, coop_cancel_reason, NEVER, false, true, false)
{
	struct coop_cancel_info info;
	bool is = coop_cancel_reason(&info);

	CHECK(is == (info.source != COOP_CANCEL_NONE));
	CHECK_STR(info.text, is ? "by the contract" : "");
	return is;
}

ROW_FULL(coop_scope_reason, coop_scope_reason, NEVER, false, true, false)
{
	struct coop_cancel_info info;
	bool is = coop_scope_reason(&s->open, &info);

	CHECK_STR(info.text, is ? "by the contract" : "");
	return is;
}

ROW(coop_cancel_text, NEVER, 0, 0)
{
	struct coop_cancel_info info = { .source = COOP_CANCEL_CALL, .text = "why" };
	char text[64];

	CHECK(coop_cancel_text(&info, text, sizeof text) == text);
	CHECK_HAS(text, "why");
	return 0;
}

ROW_FULL(coop_effective_deadline, coop_effective_deadline, NEVER, 0, -1, 0)
{
	int64_t deadline = coop_effective_deadline();

	return deadline == COOP_NEVER ? 0 : deadline == INT64_MIN ? -1 : 1;
}

ROW(coop_shield_depth, NEVER, 0, 0)
{
	return (int)coop_shield_depth();
}

ROW(coop_fail_after_at, NEVER, 7, COOP_ENOTASK)
{
	return coop_fail_after_at(SEC(1), returns_7, s, COOP_HERE);
}

ROW_AS(coop_fail_after_at, negative, NEVER, -EINVAL, -EINVAL)
{
	return coop_fail_after_at(-1, returns_7, s, COOP_HERE);
}

ROW_AS(coop_fail_after_at, nothing, NEVER, -EINVAL, -EINVAL)
{
	return coop_fail_after_at(SEC(1), NULL, s, COOP_HERE);
}

ROW(coop_move_on_after_at, NEVER, 7, COOP_ENOTASK)
{
	return coop_move_on_after_at(SEC(1), returns_7, s, COOP_HERE);
}

ROW_AS(coop_move_on_after_at, negative, NEVER, -EINVAL, -EINVAL)
{
	return coop_move_on_after_at(INT64_MIN, returns_7, s, COOP_HERE);
}

ROW_AS(coop_move_on_after_at, nothing, NEVER, -EINVAL, -EINVAL)
{
	return coop_move_on_after_at(SEC(1), NULL, s, COOP_HERE);
}

ROW_AS(coop_shield_at, nothing, NEVER, -EINVAL, -EINVAL)
{
	return coop_shield_at(NULL, s, COOP_HERE);
}

ROW_AS(coop_shield_grace_at, nothing, NEVER, -EINVAL, -EINVAL)
{
	return coop_shield_grace_at(SEC(1), NULL, s, COOP_HERE);
}

ROW(coop_shield_at, NEVER, 7, COOP_ENOTASK)
{
	return coop_shield_at(returns_7, s, COOP_HERE);
}

ROW(coop_shield_grace_at, NEVER, 7, COOP_ENOTASK)
{
	return coop_shield_grace_at(SEC(1), returns_7, s, COOP_HERE);
}

ROW_AS(coop_shield_grace_at, negative, NEVER, -EINVAL, -EINVAL)
{
	return coop_shield_grace_at(-1, returns_7, s, COOP_HERE);
}

/* ---- time.h */

ROW(coop_now, NEVER, 1, 1)
{
	return coop_now() > 0;
}

ROW(coop_sleep, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_sleep(MS(1));
}

ROW_AS(coop_sleep, none, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_sleep(0);
}

ROW_AS(coop_sleep, negative, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_sleep(-1);
}

ROW(coop_sleep_until, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_sleep_until(coop_now() + MS(1));
}

ROW_AS(coop_sleep_until, past, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_sleep_until(INT64_MIN);
}

ROW(coop_ticker_start, NEVER, 0, 0)
{
	struct coop_ticker ticker = COOP_TICKER_INIT;

	return coop_ticker_start(&ticker, MS(1));
}

ROW_AS(coop_ticker_start, no_period, NEVER, -EINVAL, -EINVAL)
{
	return coop_ticker_start(&s->ticker, 0);
}

ROW(coop_ticker_wait, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_ticker_wait(&s->ticker);
}

ROW_AS(coop_ticker_wait, never_started, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	struct coop_ticker ticker = COOP_TICKER_INIT;

	return coop_ticker_wait(&ticker);
}

/* ---- defer.h */

ROW(coop_scope_defer_at, NEVER, 0, COOP_ENOTASK)
{
	return coop_scope_defer_at(&s->open, &s->unused, clean, s, COOP_HERE);
}

ROW_AS(coop_scope_defer_at, not_open, NEVER, COOP_ENOTOPEN, COOP_ENOTASK)
{
	return coop_scope_defer_at(&s->fresh, &s->unused, clean, s, COOP_HERE);
}

ROW_AS(coop_scope_defer_at, nothing, NEVER, -EINVAL, COOP_ENOTASK)
{
	return coop_scope_defer_at(&s->open, &s->unused, NULL, s, COOP_HERE);
}

/* Too late: it is run at once, so that nothing is left behind. */
ROW_AS(coop_scope_defer_at, closed, NEVER, COOP_ECLOSED, COOP_ENOTASK)
{
	int before = cleaned;
	int r = coop_scope_defer_at(&s->closed, &s->unused, clean, s, COOP_HERE);

	CHECK_INT(cleaned - before, ==, r == COOP_ECLOSED);
	return r;
}

ROW(coop_scope_undefer, NEVER, 0, -ENOENT)
{
	return coop_scope_undefer(&s->open, &s->waiting);
}

ROW_AS(coop_scope_undefer, not_there, NEVER, -ENOENT, -ENOENT)
{
	return coop_scope_undefer(&s->open, &s->unused);
}

/* ---- auto.h */

ROW(coop_scope_end, NEVER, 0, 0)
{
	coop_scope_end(&s->open);
	coop_scope_end(&s->open);
	coop_scope_end(&s->fresh);
	return 0;
}

/* Its join is a checkpoint of the kind that a join is: test_group.c. */
ROW(coop_group_end, CUSTOM, 0, 0)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	coop_group_end(&g);
	coop_group_end(&g);
	return 0;
}
