/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the headers promise of each call, as rows that run. A row names the call and what its
 * comment says of checkpoints, and makes the call once:
 *
 *	ROW(coop_sleep, ALWAYS, 0, COOP_ENOTASK)
 *	{
 *		return coop_sleep(MS(1));
 *	}
 *
 * The row is run three times: in a task, in a task whose scope has been cancelled, and outside
 * of tasks (a fourth time in a forked child, if it needs a task). The two numbers are what it
 * must return in a task and outside.
 *
 *	ALWAYS         goes through both halves of a checkpoint; cancelled it returns
 *	               COOP_ECANCELED, and neither the stage nor the run's numbers have changed
 *	NEVER          through no half, and being cancelled makes no difference to it
 *	SCHEDULE_ONLY  through the schedule half, cancelled or not
 *	CUSTOM         what its comment explains; has tests of its own
 *
 * Each file says first what is on the stage, which its calls work on: it defines struct stage,
 * includes this, and defines stage_open and stage_close. tools/contract.py sees that no public
 * call is without a row, and that the row says what the comment says.
 */

#include "../core/core_help.h"

enum contract_kind { ALWAYS, NEVER, SCHEDULE_ONLY, CUSTOM };

/* As what is returned outside: there is nothing to call it with outside of a run. */
#define NOTHING_OUTSIDE INT32_MIN

struct contract {
	const char *name;
	enum contract_kind kind;
	int in_task;
	int cancelled; /* of NEVER and SCHEDULE_ONLY: the same, where nothing else is said */
	int outside;
	int (*call)(struct stage *s);
};

#define ROW(call, kind, in_task, outside) ROW_FULL(call, call, kind, in_task, in_task, outside)
/* One more row of the same call, with a name of its own. */
#define ROW_AS(call, as, kind, in_task, outside) \
	ROW_FULL(call, call##_##as, kind, in_task, in_task, outside)
/* A call that asks after the cancellation gets another answer under one. */
#define ROW_FULL(call, as, kind, in_task, cancelled, outside) \
	static int call_##as(struct stage *s); \
	TEST(as) \
	{ \
		contract_check(&(struct contract){ #call, kind, in_task, cancelled, outside, \
						   call_##as }); \
	} \
	static int call_##as(__attribute__((unused)) struct stage *s)

/* The file's own: outside of tasks only what needs none is put on the stage. */
static void stage_open(struct stage *s, bool in_task);
static void stage_close(struct stage *s, bool in_task);

static const struct contract *contract_row;

/* What a call that did nothing leaves as it was. */
struct contract_numbers {
	uint64_t tasks, spawned, timers;
};

static inline struct contract_numbers contract_numbers(void)
{
	struct coop_run_stats s;

	CHECK_INT(coop_run_stats(&s), ==, 0);
	return (struct contract_numbers){ s.tasks, s.spawned, s.timers };
}

static inline void contract_wrong(const char *what, int64_t got, int64_t expected)
{
	FAIL("%s: %s: %jd, not %jd", contract_row->name, what, (intmax_t)got, (intmax_t)expected);
}

static inline void contract_halves(struct coop_checkpoint_mark before, bool cancelled)
{
	struct coop_checkpoint_mark after = coop_test_checkpoints();
	int64_t cancel = (int64_t)(after.cancel_half - before.cancel_half);
	int64_t schedule = (int64_t)(after.schedule_half - before.schedule_half);
	enum contract_kind kind = contract_row->kind;

	if (kind == CUSTOM)
		return;
	if (cancel != (kind == ALWAYS))
		contract_wrong(cancelled ? "cancel halves, cancelled" : "cancel halves", cancel,
			       kind == ALWAYS);
	if (schedule != (kind != NEVER))
		contract_wrong(cancelled ? "schedule halves, cancelled" : "schedule halves",
			       schedule, kind != NEVER);
}

static inline int contract_in_task(void *arg)
{
	struct stage *s = arg;
	struct coop_checkpoint_mark mark;
	int r;

	begin_ns = coop_now();
	stage_open(s, true);
	mark = coop_test_checkpoints();
	r = contract_row->call(s);
	contract_halves(mark, false);
	if (r != contract_row->in_task)
		contract_wrong("in a task", r, contract_row->in_task);
	stage_close(s, true);
	return 0;
}

static inline int contract_cancelled(void *arg)
{
	int expected = contract_row->kind == ALWAYS ? COOP_ECANCELED : contract_row->cancelled;
	struct stage *s = arg, *before = malloc(sizeof(struct stage));
	struct contract_numbers was, is;
	struct coop_scope outer = COOP_SCOPE_INIT;
	struct coop_checkpoint_mark mark;
	int r;

	CHECK(before != NULL);
	coop_scope_open(&outer, NULL);
	stage_open(s, true);
	coop_scope_cancel(&outer, "by the contract");
	memcpy(before, s, sizeof(struct stage));
	was = contract_numbers();
	mark = coop_test_checkpoints();
	r = contract_row->call(s);
	contract_halves(mark, true);
	is = contract_numbers();
	if (r != expected && contract_row->kind != CUSTOM)
		contract_wrong("cancelled", r, expected);
	if (contract_row->kind == ALWAYS) {
		if (memcmp(before, s, sizeof(struct stage)) != 0)
			contract_wrong("cancelled, it has changed something", 1, 0);
		CHECK(memcmp(&was, &is, sizeof was) == 0);
	}
	free(before);
	stage_close(s, true);
	return coop_scope_close(&outer, 0);
}

/* In a forked child there is no runtime any more, and that is told apart. */
static inline int contract_forked(void *arg)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		stage_open(arg, false);
		_exit(contract_row->call(arg) == COOP_EFORK ? 0 : 1);
	}
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	if (status != 0)
		contract_wrong("in a forked child, not COOP_EFORK; status", status, 0);
	return 0;
}

static inline void contract_outside(struct stage *s)
{
	int r;

	stage_open(s, false);
	r = contract_row->call(s);
	if (r != contract_row->outside)
		contract_wrong("outside of tasks", r, contract_row->outside);
	stage_close(s, false);
}

static inline void contract_check(const struct contract *row)
{
	struct stage *s = calloc(1, sizeof(struct stage));

	CHECK(s != NULL);
	contract_row = row;
	CHECK_INT(coop_run(contract_in_task, s, &virtual_clock), ==, 0);
	memset((void *)s, 0, sizeof(struct stage));
	CHECK_INT(coop_run(contract_cancelled, s, &virtual_clock), ==, 0);
	memset((void *)s, 0, sizeof(struct stage));
	if (row->outside == COOP_ENOTASK)
		CHECK_INT(coop_run(contract_forked, s, &virtual_clock), ==, 0);
	memset((void *)s, 0, sizeof(struct stage));
	if (row->outside != NOTHING_OUTSIDE)
		contract_outside(s);
	free(s);
}
