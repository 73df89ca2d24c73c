/* SPDX-License-Identifier: MIT */
/* The table for the testing library; see private.h. */
#include "core/private.h"

static struct cp_rt *get_rt(void)
{
	return cp_in_task();
}

static int cancel_point(struct cp_rt *rt)
{
	return cp_cancel_point(rt);
}

static void schedule_point(struct cp_rt *rt)
{
	cp_schedule_point(rt);
}

static int park(struct cp_rt *rt, struct cp_wait *wait)
{
	int r = cp_park(rt, wait);

	if (r == COOP_ECANCELED)
		cp_ignored(rt);
	return r;
}

static void on_next_run(uint8_t hook_bit, cp_checkpoint_hook *hook, void *ctx)
{
	cp_next_run.hook_bit = hook_bit;
	cp_next_run.hook = hook;
	cp_next_run.ctx = ctx;
}

const void *coop_private(unsigned version)
{
	static const struct cp_private table = {
		.rt = get_rt,
		.no_task = cp_no_task,
		.cancel_point = cancel_point,
		.schedule_point = schedule_point,
		.park = park,
		.wake = cp_wake,
		.clock = cp_clock,
		.cancel_why = cp_scope_cancel_why,
		.os_now = cp_os_now_ns,
		.task_path = cp_task_path,
		.die = cp_die,
		.faults = &cp_os_faults,
		.on_next_run = on_next_run,
		.spawn_system = cp_spawn_system,
	};

	return version == CP_PRIVATE_VERSION ? &table : NULL;
}
