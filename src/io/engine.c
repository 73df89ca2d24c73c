/* SPDX-License-Identifier: MIT */
/*
 * Choosing an engine.
 *
 * AUTO takes io_uring where the system gives it whole, and epoll where not: containers and hardened
 * systems refuse it, older kernels have it by halves. Who asks for one by name gets that one or
 * is told why not.
 */
#include "io/engines.h"

#include <coop/log.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#ifdef CP_HAVE_URING
static int open_ring(struct cp_engine **ret_engine)
{
	return cp_uring_open(ret_engine);
}
#else
static int open_ring(struct cp_engine **ret_engine)
{
	(void)ret_engine;
	return -EOPNOTSUPP; /* built without liburing */
}
#endif

/* Words for what came of asking for a ring. */
static const char *ring_words(int r)
{
	switch (r) {
	case 0: return "io_uring is there";
	case -EOPNOTSUPP: return "this build of coop has no io_uring";
	case -ENOSYS: return "this kernel has no io_uring, or only parts of it";
	case -EPERM:
	case -EACCES: return "io_uring is forbidden here";
	case -EINVAL: return "this kernel's io_uring is older than 6.1";
	case -ENOMEM: return "no memory for io_uring (RLIMIT_MEMLOCK)";
	default: return "io_uring failed";
	}
}

static int open_wanted(enum coop_engine want, struct cp_engine **ret_engine, char *why, size_t size)
{
	int r;

	if (want == COOP_ENGINE_EPOLL || want == COOP_ENGINE_SIM) {
		snprintf(why, size, "asked for");
		return want == COOP_ENGINE_SIM ? cp_sim_open(ret_engine)
					       : cp_epoll_open(ret_engine);
	}
	r = open_ring(ret_engine);
	if (want == COOP_ENGINE_URING) {
		snprintf(why, size, "asked for");
		if (r < 0 && r != -EMFILE && r != -ENFILE) {
			coop_log(COOP_LOG_ERROR, "no io_uring engine: %s", ring_words(r));
			r = r == -ENOMEM ? r : -ENOTSUP;
		}
		return r;
	}
	snprintf(why, size, "%s", ring_words(r));
	return r < 0 ? cp_epoll_open(ret_engine) : r;
}

int cp_engine_open(enum coop_engine want, struct cp_engine **ret_engine)
{
	char why[sizeof(*ret_engine)->why];
	int r = open_wanted(want, ret_engine, why, sizeof why);

	if (r < 0)
		return r;
	memcpy((*ret_engine)->why, why, sizeof why);
	(*ret_engine)->due_ns = COOP_NEVER;
	return 0;
}
