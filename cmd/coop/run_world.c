/* SPDX-License-Identifier: MIT */
/*
 * What the runtime has from outside, and what its tasks get of that.
 *
 * The library's variables (COOP_CLOCK=virtual, say) are meant for the programs that are run, which
 * may be libcoop's: a command that waits for real processes has no use for another clock or world.
 * So they are put aside while the run begins, and are there again for the tasks.
 *
 * What the library has to warn of is for those who write programs on it, and speaks of its own
 * files: so only its errors are told, unless COOP_LOG asks for more.
 *
 * Each task takes some descriptors of ours; so our limit of them is raised as far as it may be, and
 * the tasks get the one that was there.
 */
#include "option.h"
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_ENOUGH = 65536 };

static const char *const aside[] = { "COOP_CLOCK", "COOP_IO", "COOP_SEED", "COOP_BUDGET",
				     "COOP_STACK" };
enum { ASIDE = sizeof aside / sizeof aside[0] };

static char *values[ASIDE];

static bool refuse(const struct plan *plan, const char *option, const char *value)
{
	fprintf(stderr, "coop %s: --%s %s: %s\n", verb_table[plan->verb].name, option, value,
		strerror(errno));
	return false;
}

static int look_at_folder(const char *path)
{
	struct stat st;
	int r = stat(path, &st);

	if (r == 0 && !S_ISDIR(st.st_mode)) {
		errno = ENOTDIR;
		r = -1;
	}
	return r;
}

bool world_check(const struct plan *plan)
{
	char fd[16];

	snprintf(fd, sizeof fd, "fd:%d", plan->events_fd);
	if (plan->events_fd >= 0 && fcntl(plan->events_fd, F_GETFD) < 0)
		return refuse(plan, "events", fd);
	if (!plan->log_dir)
		return true;
	if (mkdir(plan->log_dir, 0700) < 0 && errno != EEXIST)
		return refuse(plan, "log-dir", plan->log_dir);
	if (look_at_folder(plan->log_dir) < 0)
		return refuse(plan, "log-dir", plan->log_dir);
	return access(plan->log_dir, W_OK | X_OK) == 0 || refuse(plan, "log-dir", plan->log_dir);
}

enum coop_engine world_enter(struct job *job)
{
	struct rlimit files;
	const char *io = getenv("COOP_IO");
	/* epoll is there sooner than io_uring, and a job needs no more. */
	enum coop_engine engine =
		io && strcmp(io, "uring") == 0 ? COOP_ENGINE_URING : COOP_ENGINE_EPOLL;

	if (!getenv("COOP_LOG"))
		coop_log_set(NULL, NULL, COOP_LOG_ERROR);
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
