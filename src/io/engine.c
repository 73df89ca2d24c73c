/* SPDX-License-Identifier: MIT */
/*
 * Choosing an engine.
 *
 * There is one for the time being, epoll, on which timers, wake-ups and signals stand; it also
 * serves the simulated engine's name, since without descriptors there is nothing to
 * simulate. A program that asks for io_uring by name is told that it is not there.
 */
#include "io/engines.h"

#include <coop/log.h>

#include <errno.h>
#include <stdio.h>

int cp_engine_open(enum coop_engine want, struct cp_engine **ret_engine)
{
	int r;

	if (want == COOP_ENGINE_URING) {
		coop_log(COOP_LOG_ERROR, "this build of coop has no io_uring engine");
		return -ENOTSUP;
	}
	r = cp_epoll_open(ret_engine);
	if (r < 0)
		return r;
	snprintf((*ret_engine)->why, sizeof(*ret_engine)->why, "%s",
		 want == COOP_ENGINE_AUTO ? "the best there is in this build" : "asked for");
	return 0;
}
