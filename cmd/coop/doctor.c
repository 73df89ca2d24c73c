/* SPDX-License-Identifier: MIT */
/*
 * coop doctor: what containment this machine allows. Each line is tried, not looked up: a kernel
 * may have a thing and a container's filter may refuse it.
 */
#include "cgroup.h"
#include "verbs.h"

#include <coop/version.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { WHY_SIZE = CGROUP_PATH_MAX + 64 };

/* A try: 0, or a negative errno; `why` says more, where there is more to say. */
struct
try {
	const char *name;
	const char *what; /* that it is good for */
	int (*run)(char *why);
	bool is_needed; /* for the containment that is promised */
};

static int result(long r)
{
	return r < 0 ? -errno : 0;
}

static int try_subreaper(char *why)
{
	(void)why;
	return result(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
}

/* Sets what is set already. */
static int try_pdeathsig(char *why)
{
	int sig, r = result(prctl(PR_GET_PDEATHSIG, &sig, 0, 0, 0));

	(void)why;
	return r < 0 ? r : result(prctl(PR_SET_PDEATHSIG, sig, 0, 0, 0));
}

static int try_pidfd(char *why)
{
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0), r;

	(void)why;
	if (fd < 0)
		return -errno;
	r = result(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
	close(fd);
	return r;
}

/* The list of children that the sweep walks; a kernel may have been built without it. */
static int try_children(char *why)
{
	char path[64];
	int fd;

	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		snprintf(why, WHY_SIZE, "%s", path);
		return -errno;
	}
	close(fd);
	return 0;
}

static int try_pty(char *why)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), r;

	(void)why;
	if (fd < 0)
		return -errno;
	r = grantpt(fd) < 0 || unlockpt(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

/* The layout of the arguments does not matter to a call that only sets up: 120 bytes, all 0. */
static int try_uring(char *why)
{
	uint32_t params[30] = { 0 };
	int fd = (int)syscall(SYS_io_uring_setup, 4, params);

	(void)why;
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int try_cgroup(char *why)
{
	struct cgroup cgroup;
	int r = cgroup_find(&cgroup);

	snprintf(why, WHY_SIZE, "%s", cgroup.path);
	if (r < 0)
		return r;
	if (!cgroup.has_kill) {
		snprintf(why, WHY_SIZE, "%s has no cgroup.kill, Linux 5.14", cgroup.path);
		return -ENOENT;
	}
	return 0;
}

static const struct try tries[] = {
	{ "subreaper", "orphans of tasks become coop's, not init's", try_subreaper, true },
	{ "pdeathsig", "a stopped runtime hears it, too, when its guard is killed", try_pdeathsig,
	  true },
	{ "pidfd", "signals reach the process that is meant, no later one", try_pidfd, true },
	{ "children", "the last sweep finds every descendant", try_children, true },
	{ "cgroup", "a group that the kernel kills as a whole: --contain cgroup", try_cgroup,
	  false },
	{ "pty", "tasks keep their colours", try_pty, false },
	{ "io_uring", "a faster engine; else it is epoll", try_uring, false },
};
enum { TRIES = sizeof tries / sizeof tries[0], CGROUP = 4 };

static int run_try(const struct try *try)
{
	char why[WHY_SIZE] = "";
	int r = try->run(why);

	if (r == 0) {
		printf("yes  %-10s %s\n", try->name, try->what);
		return 0;
	}
	printf("no   %-10s %s\n", try->name, try->what);
	printf("     %-10s %s%s%s\n", "", why, *why ? ": " : "", strerror(-r));
	return r;
}

static void print_limit(const char *name, struct rlimit limit)
{
	printf("     %-10s ", name);
	if (limit.rlim_cur == RLIM_INFINITY)
		printf("no limit");
	else
		printf("%llu", (unsigned long long)limit.rlim_cur);
	if (limit.rlim_max != limit.rlim_cur && limit.rlim_max != RLIM_INFINITY)
		printf(", can be raised to %llu", (unsigned long long)limit.rlim_max);
	else if (limit.rlim_max != limit.rlim_cur)
		printf(", can be raised");
	putchar('\n');
}

/* A cgroup may allow fewer processes than the limit of the user. */
static void print_pids_max(void)
{
	struct cgroup cgroup;
	char text[32];

	if (cgroup_find(&cgroup) == -ENOENT ||
	    cgroup_read(&cgroup, "pids.max", text, sizeof text) < 0)
		return;
	printf("     %-10s %s in this cgroup\n", "", strcmp(text, "max") == 0 ? "no limit" : text);
}

static void print_conclusion(bool has_tree, bool has_cgroup)
{
	if (!has_tree) {
		puts("\nSomething that coop relies on is missing: processes may stay behind.");
		return;
	}
	puts("\nNothing stays behind after a failure, a time limit, Ctrl-C, TERM or HUP, whether "
	     "tasks\n"
	     "fork, call setsid or ignore signals, nor after kill -9 of coop's runtime or of its "
	     "guard.");
	if (has_cgroup)
		puts("After kill -9 of both at one instant: only with --contain cgroup, which "
		     "works here.");
	else
		puts("After kill -9 of both at one instant what tasks have started does stay "
		     "behind: only a\n"
		     "cgroup would end it, and none is delegated to us here.");
	puts("Processes of other users (setuid) and those that the kernel holds cannot be killed; "
	     "coop\n"
	     "names them.");
}

int verb_doctor(struct plan *plan)
{
	struct utsname system;
	struct rlimit limit;
	bool has_tree = true, has_cgroup = false;

	(void)plan;
	uname(&system);
	printf("coop %s on %s %s %s%s\n\n", COOP_VERSION_TEXT, system.sysname, system.release,
	       system.machine, getpid() == 1 ? ", as PID 1" : "");
	for (size_t i = 0; i < TRIES; i++) {
		int r = run_try(&tries[i]);

		if (r < 0 && tries[i].is_needed)
			has_tree = false;
		if (i == CGROUP)
			has_cgroup = r == 0;
	}
	putchar('\n');
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		print_limit("open files", limit);
	if (getrlimit(RLIMIT_NPROC, &limit) == 0)
		print_limit("processes", limit);
	print_pids_max();
	print_conclusion(has_tree, has_cgroup);
	return has_tree ? 0 : 1;
}
