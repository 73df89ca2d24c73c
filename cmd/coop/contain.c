/* SPDX-License-Identifier: MIT */
/*
 * The job's cgroup and its keeper.
 *
 * The keeper waits for the end of a pipe whose other end guard and runtime have, and nobody else.
 * However they end, it kills the group then; after an end in order there is none any more. It has
 * left our session and is nobody's child, so that what ends us does not end it.
 */
#include "contain.h"

#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOKS = 1000, LOOK_US = 10000 };

/* Where the folder is taken away only when the last process of the group has been reaped. */
static void kill_group(int dir, const char *path)
{
	int fd = openat(dir, "cgroup.kill", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		(void)!write(fd, "1", 1);
		close(fd);
	}
	for (int i = 0; i < LOOKS && rmdir(path) < 0 && errno == EBUSY; i++)
		usleep(LOOK_US);
}

/* Closes all but one descriptor and the folder's. */
static void close_others(int a, int b)
{
	int low = a < b ? a : b, high = a < b ? b : a;

	if (low > 0)
		syscall(SYS_close_range, 0, (unsigned)low - 1, 0);
	if (high > low + 1)
		syscall(SYS_close_range, (unsigned)low + 1, (unsigned)high - 1, 0);
	syscall(SYS_close_range, (unsigned)high + 1, ~0u, 0);
}

static void keep(const struct guard *shared, int pipe)
{
	sigset_t all;
	char byte;

	setsid();
	if (fork() != 0)
		_exit(0);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	close_others(shared->cgroup, pipe);
	while (read(pipe, &byte, 1) < 0 && errno == EINTR)
		;
	kill_group(shared->cgroup, shared->cgroup_path);
	_exit(0);
}

static int start_keeper(const struct guard *shared)
{
	int pipe[2], pid;

	if (pipe2(pipe, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		close(pipe[1]);
		keep(shared, pipe[0]);
	}
	close(pipe[0]); /* the other end goes with guard and runtime */
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}

int contain_open(struct guard *shared)
{
	struct cgroup own;
	int r = cgroup_find(&own);

	if (r >= 0 && !own.has_kill)
		r = -ENOTSUP;
	if (r < 0)
		return r;
	snprintf(shared->cgroup_path, sizeof shared->cgroup_path, "%s/coop-%d", own.path,
		 (int)getpid());
	if (mkdir(shared->cgroup_path, 0755) < 0)
		return -errno;
	shared->cgroup = open(shared->cgroup_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = shared->cgroup < 0 ? -errno : start_keeper(shared);
	if (r < 0)
		rmdir(shared->cgroup_path);
	return r;
}

void contain_close(struct guard *shared)
{
	if (shared->cgroup >= 0)
		kill_group(shared->cgroup, shared->cgroup_path);
}
