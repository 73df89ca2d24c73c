/* SPDX-License-Identifier: MIT */
/*
 * What the runtime has from outside, and what its tasks get of that.
 *
 * The library's variables (COOP_CLOCK=virtual, say) are meant for the programs that are run, which
 * may be libcoop's: a command that waits for real processes has no use for another clock or world.
 * So they are put aside while the run begins, and are there again for the tasks.
 *
 * Each task takes some descriptors of ours; so our limit of them is raised as far as it may be, and
 * the tasks get the one that was there.
 */
#include "run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { FILES_ENOUGH = 65536 };

static const char *const aside[] = { "COOP_CLOCK", "COOP_IO", "COOP_SEED", "COOP_BUDGET",
				     "COOP_STACK" };
enum { ASIDE = sizeof aside / sizeof aside[0] };

static char *values[ASIDE];

enum coop_engine world_enter(struct job *job)
{
	struct rlimit files;
	const char *io = getenv("COOP_IO");
	/* epoll is there sooner than io_uring, and a job needs no more. */
	enum coop_engine engine =
		io && strcmp(io, "uring") == 0 ? COOP_ENGINE_URING : COOP_ENGINE_EPOLL;

	for (int i = 0; i < ASIDE; i++) {
		const char *value = getenv(aside[i]);

		values[i] = value ? strdup(value) : NULL;
		unsetenv(aside[i]);
	}
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return engine;
	job->files = (struct coop_process_limit){ RLIMIT_NOFILE, files.rlim_cur, files.rlim_max };
	if (files.rlim_cur < FILES_ENOUGH && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max < FILES_ENOUGH ? files.rlim_max : FILES_ENOUGH;
		job->has_files = setrlimit(RLIMIT_NOFILE, &files) == 0;
	}
	return engine;
}

void world_give_back(void)
{
	for (int i = 0; i < ASIDE; i++) {
		if (values[i])
			setenv(aside[i], values[i], 1);
		free(values[i]);
		values[i] = NULL;
	}
}
