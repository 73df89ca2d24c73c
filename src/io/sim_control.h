/* SPDX-License-Identifier: MIT */
/* How the testing library plans what happens in the simulated world. */
#ifndef CP_SIM_CONTROL_H
#define CP_SIM_CONTROL_H

#include "core/engine.h"

#include <coop/testing.h>

struct cp_sim_control {
	int (*plan)(struct cp_engine *engine, const struct coop_sim_opts *opts);
	int (*fail)(struct cp_engine *engine, enum coop_sim_call call, int error, uint64_t nth);
	int (*crash)(struct cp_engine *engine);
	int (*partition)(struct cp_engine *engine, const char *a, const char *b, bool cut);
};

#endif
