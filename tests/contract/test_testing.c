/* SPDX-License-Identifier: MIT */
/* What testing.h promises, call by call. */
#include "../core/core_help.h"

struct stage {
	struct coop_sequencer seq;
};

#include "contract.h"

static void stage_open(struct stage *s, bool in_task)
{
	(void)in_task;
	s->seq = (struct coop_sequencer)COOP_SEQUENCER_INIT;
}

static void stage_close(struct stage *s, bool in_task)
{
	(void)s;
	(void)in_task;
}

static int returns_7(void *arg)
{
	(void)arg;
	return 7;
}

ROW(coop_test_clock_jump, NEVER, 0, COOP_ENOTASK)
{
	return coop_test_clock_jump(MS(1));
}

ROW_AS(coop_test_clock_jump, back, NEVER, -EINVAL, COOP_ENOTASK)
{
	return coop_test_clock_jump(-1);
}

ROW(coop_test_clock_autojump, NEVER, 0, COOP_ENOTASK)
{
	return coop_test_clock_autojump(MS(1));
}

ROW_AS(coop_test_clock_autojump, negative, NEVER, -EINVAL, COOP_ENOTASK)
{
	return coop_test_clock_autojump(-1);
}

ROW(coop_test_clock_rate, NEVER, 0, COOP_ENOTASK)
{
	return coop_test_clock_rate(2.5);
}

ROW_AS(coop_test_clock_rate, negative, NEVER, -EINVAL, COOP_ENOTASK)
{
	return coop_test_clock_rate(-2.5);
}

ROW(coop_test_wait_all_blocked, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_test_wait_all_blocked(0);
}

ROW_AS(coop_test_wait_all_blocked, negative, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_test_wait_all_blocked(-1);
}

/* Cancelled it breaks the sequencer, as it says; that it has changed no more is seen at its end. */
ROW(coop_sequencer_wait, ALWAYS, 0, COOP_ENOTASK)
{
	int r = coop_sequencer_wait(&s->seq, 0);

	if (r == COOP_ECANCELED)
		s->seq._broken = 0;
	return r;
}

ROW_AS(coop_sequencer_wait, no_point, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_sequencer_wait(&s->seq, 256);
}

ROW(coop_sequencer_done, NEVER, 0, 0)
{
	coop_sequencer_done(&s->seq);
	return 0;
}

ROW(coop_test_checkpoints, NEVER, 0, 0)
{
	struct coop_checkpoint_mark a = coop_test_checkpoints(), b = coop_test_checkpoints();

	return a.cancel_half != b.cancel_half || a.schedule_half != b.schedule_half;
}

ROW(coop_test_assert_checkpoint_at, NEVER, 0, 0)
{
	coop_test_assert_checkpoint_at(coop_test_checkpoints(), false, "here");
	return 0;
}

ROW(coop_sweep_cancel, NEVER, -EALREADY, 0)
{
	return coop_sweep_cancel(returns_7, NULL, NULL, NULL, NULL, NULL);
}

ROW(coop_sweep_alloc, NEVER, -EALREADY, 0)
{
	return coop_sweep_alloc(returns_7, NULL, NULL, true, NULL, NULL, NULL);
}

ROW(coop_sweep_seeds, NEVER, -EALREADY, 0)
{
	return coop_sweep_seeds(returns_7, NULL, NULL, 1, 3, NULL, NULL, NULL);
}

ROW(coop_sim_plan, NEVER, -ENOTSUP, COOP_ENOTASK)
{
	return coop_sim_plan(NULL);
}

ROW(coop_sim_fail, NEVER, -ENOTSUP, COOP_ENOTASK)
{
	return coop_sim_fail(COOP_SIM_READ, EIO, 1);
}

ROW(coop_sim_partition, NEVER, -ENOTSUP, COOP_ENOTASK)
{
	return coop_sim_partition("10.0.0.1", "10.0.0.2", true);
}

ROW(coop_sim_crash, NEVER, -ENOTSUP, COOP_ENOTASK)
{
	return coop_sim_crash();
}
