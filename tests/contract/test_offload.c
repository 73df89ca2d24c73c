/* SPDX-License-Identifier: MIT */
/* What thread.h promises of offloads, call by call. */
#include "../core/core_help.h"

struct stage {
	bool ran;
};

#include "contract.h"

static void stage_open(struct stage *s, bool in_task)
{
	(void)in_task;
	s->ran = false;
}

static void stage_close(struct stage *s, bool in_task)
{
	(void)s;
	(void)in_task;
}

static int gives_4(void *arg)
{
	*(bool *)arg = true;
	return 4;
}

ROW(coop_offload_at, ALWAYS, 4, COOP_ENOTASK)
{
	return coop_offload(gives_4, &s->ran);
}

static void late(void *arg, int result)
{
	(void)arg;
	(void)result;
}

ROW_AS(coop_offload_at, abandon, ALWAYS, 4, COOP_ENOTASK)
{
	struct coop_offload_opts o = { .on_cancel = COOP_ON_CANCEL_ABANDON, .late = late };

	return coop_offload_with(gives_4, &s->ran, &o);
}

ROW_AS(coop_offload_at, interrupt, ALWAYS, 4, COOP_ENOTASK)
{
	struct coop_offload_opts o = { .on_cancel = COOP_ON_CANCEL_INTERRUPT };

	return coop_offload_with(gives_4, &s->ran, &o);
}

ROW_AS(coop_offload_at, bad_options, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_offload_with(gives_4, &s->ran, &(struct coop_offload_opts){ .late = late });
}

ROW(coop_thread_cancelled, NEVER, false, false)
{
	return coop_thread_cancelled();
}

ROW(coop_thread_call, NEVER, COOP_EWRONGTHREAD, COOP_EWRONGTHREAD)
{
	return coop_thread_call(gives_4, &s->ran);
}

ROW(coop_lane_stats, NEVER, 0, 0)
{
	struct coop_lane_stats stats;

	return coop_lane_stats(COOP_LANE_FS, &stats);
}

ROW(coop_lane_set_limit, NEVER, 0, 0)
{
	return coop_lane_set_limit(COOP_LANE_FS, 3);
}
