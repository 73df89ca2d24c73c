/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Help for the tests of composition: calls that say when they did what, a call that is
 * cancelled alone, as by a handle, and the two sweeps over a whole helper.
 */

#include "../core/core_help.h"

#include "core/core.h"

/* A call: sleeps `ms`, then returns `value` or fails with it. Notes what happened to it. */
struct job {
	int64_t ms;
	int value;
	int64_t cleanup_ms; /* when cancelled: takes that long, shielded; and ends with `late` */
	int late;           /* 0: cancelled; a value, with minus 1 for 0; a code */
	int64_t began_ms, ended_ms;
	int runs;
	bool cancelled;
};

static inline int job_cleanup(struct job *j)
{
	if (j->cleanup_ms && coop_shield(sleep_ms, MSARG(j->cleanup_ms)) < 0)
		FAIL("a shielded clean-up was interrupted");
	if (j->late < -1)
		return coop_fail(j->late, "failed in the clean-up");
	return j->late == -1 ? 0 : j->late ? j->late : COOP_ECANCELED;
}

static inline int job(void *arg)
{
	struct job *j = arg;
	int r;

	j->runs++;
	j->began_ms = now_ms();
	r = coop_sleep(MS(j->ms));
	if (r == COOP_ECANCELED) {
		j->cancelled = true;
		r = job_cleanup(j);
	} else if (r >= 0) {
		r = j->value < 0 ? coop_fail(j->value, "job of %d ms failed", (int)j->ms)
				 : j->value;
	}
	j->ended_ms = now_ms();
	return r;
}

/* Cancels the running task alone, as its handle would. */
static inline void cancel_self(void)
{
	struct cp_why why = { .source = COOP_CANCEL_CALL,
			      .grace_ns = COOP_NEVER,
			      .kind = CP_CANCEL };

	cp_scope_cancel_why(cp_rt, &cp_rt->body->base, &why);
}

static inline int cancelled_alone(void *arg)
{
	int r = coop_sleep(MS((intptr_t)arg));

	if (r < 0)
		return r;
	cancel_self();
	return coop_checkpoint();
}

static inline int returns_0(void *arg)
{
	(void)arg;
	return 0;
}

/* Cancels the scope after that time. */
struct canceller {
	struct coop_scope *scope;
	int64_t ms;
};

static inline int cancel_later(void *arg)
{
	struct canceller *c = arg;
	int r = coop_sleep(MS(c->ms));

	coop_scope_cancel(c->scope, "the test wants it");
	return r;
}

/* Runs fn(arg) in a scope that is cancelled from outside after `ms`; returns what fn does. */
static inline int cancelled_after(int64_t ms, coop_fn *fn, void *arg)
{
	struct coop_group helper = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	struct canceller c = { &s, ms };
	struct coop_error *err;
	int r, joined;

	coop_group_open(&helper, NULL);
	coop_scope_open(&s, NULL);
	CHECK_INT(coop_spawn(&helper, cancel_later, &c), ==, 0);
	r = fn(arg);
	err = coop_error_take(r);
	CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	joined = coop_group_join(&helper, 0);
	CHECK_INT(joined, ==, 0);
	if (err)
		(void)!coop_error_raise(err);
	return r;
}

/* ---- sweeps: whatever is cancelled or has no memory, nothing is left and the result is known */

/* The results that may come of a run in which something was injected; ended by 1. */
static inline const char *one_of(int rc, uint64_t n, void *ctx)
{
	static char text[80];

	for (const int *allowed = ctx; *allowed != 1; allowed++)
		if (rc == *allowed && (n || rc == 0))
			return NULL;
	snprintf(text, sizeof text, "result %d", rc);
	return text;
}

/* fn is cancelled at each of its checkpoints, refused each allocation, and run in many orders. */
static inline void sweep_with(coop_fn *fn, coop_sweep_check *check, const int *cancelled,
			      const int *starved, uint64_t checkpoints_min)
{
	struct coop_sweep sweep = { 0 };
	void *ok = (void *)(uintptr_t)cancelled;

	keep_records(COOP_LOG_ERROR);
	if (coop_sweep_cancel(fn, NULL, NULL, check, ok, &sweep) < 0)
		FAIL("checkpoint %d of the run: %s", (int)sweep.failed_at, sweep.why);
	CHECK_INT(sweep.injected, >=, checkpoints_min);
	for (int for_ever = 0; for_ever < 2; for_ever++)
		if (coop_sweep_alloc(fn, NULL, NULL, for_ever, check, (void *)(uintptr_t)starved,
				     &sweep) < 0)
			FAIL("allocation %d: %s", (int)sweep.failed_at, sweep.why);
	CHECK_INT(sweep.injected, >, 0);
	if (coop_sweep_seeds(fn, NULL, NULL, 1, 100, check, ok, &sweep) < 0)
		FAIL("seed %d: %s", (int)sweep.failed_at, sweep.why);
}

/* The same, judged by the result alone; undisturbed it is 0. */
static inline void sweep_all(coop_fn *fn, const int *cancelled, const int *starved,
			     uint64_t checkpoints_min)
{
	sweep_with(fn, one_of, cancelled, starved, checkpoints_min);
}
