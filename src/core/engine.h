/* SPDX-License-Identifier: MIT */
/*
 * The engine's seam: how a loop waits for the world, and how it is woken.
 *
 * The core knows no descriptors. It asks an engine for three things: to wait at
 * most so long, to look without waiting, and to be woken from anywhere. Operations on
 * descriptors are submitted to the same engine by the layer above, which counts those that
 * are sure to end (`in_flight`), and those that may wait for others (`waiting`): the virtual clock
 * stands still for the former only. What an engine does by the clock (`due_ns`) is one more timer
 * to the loop, which has the engine wait, with a timeout of 0, when it is due.
 */
#ifndef CP_ENGINE_H
#define CP_ENGINE_H

#include "base/base.h"

#include <coop/run.h>

struct cp_engine;
struct cp_sim_control;
struct cp_world;

struct cp_engine_ops {
	const char *name;
	/*
	 * Waits until something has happened or `timeout_ns` is over (0: looks only;
	 * negative: for ever), and handles what has. 0, or -errno.
	 */
	int (*wait)(struct cp_engine *engine, int64_t timeout_ns);
	/* Makes a wait that is going on, or the next one, return. Any thread, signal-safe. */
	void (*wake)(struct cp_engine *engine);
	void (*close)(struct cp_engine *engine);
	/* A run begins, at this time of its clock. NULL: it is nothing to this engine. */
	void (*begin)(struct cp_engine *engine, int64_t now_ns, uint64_t seed);
};

struct cp_engine {
	const struct cp_engine_ops *ops;
	uint64_t in_flight; /* operations whose end is sure to come */
	uint64_t waiting;   /* operations that wait for something to happen outside */
	int64_t due_ns;     /* something will happen in it then, as by a timer; or COOP_NEVER */
	/* Answers the calls that need no waiting (io/world.h); NULL: the system does. */
	struct cp_world *world;
	/* How a test plans what happens in it (io/sim_control.h); NULL: it is not simulated. */
	const struct cp_sim_control *sim;
	char why[96];       /* why this engine */
};

/*
 * Opens the engine that is wanted, or with AUTO the best there is. On the virtual clock AUTO
 * is the same: waits of 0 look at the world, time is the core's. 0 or -ENOTSUP, -EMFILE,
 * -ENFILE, -ENOMEM. Defined by the io layer.
 */
int cp_engine_open(enum coop_engine want, struct cp_engine **ret_engine);

#endif
