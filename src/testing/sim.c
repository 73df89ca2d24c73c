/* SPDX-License-Identifier: MIT */
/* The testing kit: what happens in the simulated world. */
#include "testing/kit.h"

#include "io/sim_control.h"

#include <errno.h>

/* The engine of this run; NULL, and why not. */
static struct cp_engine *simulated(int *ret_r)
{
	struct cp_rt *rt = cp_kit()->rt();

	if (!rt) {
		*ret_r = cp_kit()->no_task();
		return NULL;
	}
	*ret_r = -ENOTSUP;
	return rt->engine->sim ? rt->engine : NULL;
}

int coop_sim_plan(const struct coop_sim_opts *opts)
{
	int r;
	struct cp_engine *engine = simulated(&r);

	return engine ? engine->sim->plan(engine, opts) : r;
}

int coop_sim_fail(enum coop_sim_call call, int error, uint64_t nth)
{
	int r;
	struct cp_engine *engine = simulated(&r);

	return engine ? engine->sim->fail(engine, call, error, nth) : r;
}

int coop_sim_crash(void)
{
	int r;
	struct cp_engine *engine = simulated(&r);

	return engine ? engine->sim->crash(engine) : r;
}

int coop_sim_partition(const char *host_a, const char *host_b, bool cut)
{
	int r;
	struct cp_engine *engine = simulated(&r);

	return engine ? engine->sim->partition(engine, host_a, host_b, cut) : r;
}
