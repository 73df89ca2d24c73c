/* SPDX-License-Identifier: MIT */
/* What /proc tells of processes. */
#include "base/os_impl.h"
#include "base/os_proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A process that ends while it is read: ENOENT before, ESRCH after it was opened. */
static int gone(int r)
{
	return r == -ENOENT ? -ESRCH : r;
}

static int open_file(int dir, const char *path, int flags)
{
	if (cp_os_refused())
		return cp_os_refusal();
	return cp_os_result(openat(dir, path, O_RDONLY | O_CLOEXEC | flags));
}

static ssize_t read_file(int fd, char *buf, size_t bytes)
{
	ssize_t n;

	do
		n = read(fd, buf, bytes);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* "PID (NAME) STATE PARENT GROUP SESSION ...", where NAME may hold anything, ')' too. */
static int parse_stat(char *text, struct cp_proc *ret_proc, int *ret_threads)
{
	struct cp_proc p = { 0 };
	char *name = strchr(text, '('), *end = strrchr(text, ')');
	unsigned long long since;
	size_t bytes;

	if (!name || !end || end < name)
		return -EIO;
	if (sscanf(end + 1,
		   " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d %*d %llu",
		   &p.state, &p.parent, &p.group, &p.session, ret_threads, &since) != 6)
		return -EIO;
	p.since = since;
	bytes = (size_t)(end - name - 1);
	if (bytes >= sizeof p.name)
		bytes = sizeof p.name - 1;
	memcpy(p.name, name + 1, bytes);
	*ret_proc = p;
	return 0;
}

static int read_stat(int dir, const char *path, struct cp_proc *ret_proc, int *ret_threads)
{
	char text[1024];
	ssize_t n;
	int fd = open_file(dir, path, 0);

	if (fd < 0)
		return gone(fd);
	n = read_file(fd, text, sizeof text - 1);
	cp_os_close(fd);
	if (n <= 0)
		return n < 0 ? (int)n : -ESRCH;
	text[n] = '\0';
	return parse_stat(text, ret_proc, ret_threads);
}

static int number(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	return *text >= '0' && *text <= '9' && !*end && n <= INT32_MAX ? (int)n : -1;
}

static int open_folder(const char *path, DIR **ret_dir)
{
	int fd = open_file(AT_FDCWD, path, O_DIRECTORY);

	if (fd < 0)
		return fd;
	*ret_dir = fdopendir(fd);
	if (*ret_dir)
		return 0;
	cp_os_close(fd);
	return -ENOMEM;
}

/* The first thread has ended, and others go on: it is not a process that has ended. */
static char state_of_living(int pid)
{
	char path[32], state = 'Z';
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof path, "/proc/%d/task", pid);
	if (open_folder(path, &dir) < 0)
		return state;
	while ((state == 'Z' || state == 'X') && (entry = readdir(dir))) {
		struct cp_proc thread;
		int threads;

		snprintf(path, sizeof path, "%.16s/stat", entry->d_name);
		if (number(entry->d_name) > 0 &&
		    read_stat(dirfd(dir), path, &thread, &threads) >= 0)
			state = thread.state;
	}
	closedir(dir);
	return state;
}

int cp_os_proc(int pid, struct cp_proc *ret_proc)
{
	char path[32];
	int threads, r;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	r = read_stat(AT_FDCWD, path, ret_proc, &threads);
	if (r < 0)
		return r;
	ret_proc->pid = pid;
	if (ret_proc->state == 'Z' && threads > 1)
		ret_proc->state = state_of_living(pid);
	return 0;
}

int cp_os_proc_all(cp_proc_fn *fn, void *ctx)
{
	struct dirent *entry;
	bool stop = false;
	DIR *dir;
	int r = open_folder("/proc", &dir);

	if (r < 0)
		return r;
	while (!stop && (entry = readdir(dir))) {
		int pid = number(entry->d_name);

		if (pid > 0)
			stop = fn(pid, ctx);
	}
	closedir(dir);
	return 0;
}

/* "12 34 56 ": a number may be cut by the end of what was read, and goes on in the next piece. */
static int read_children(int fd, cp_proc_fn *fn, void *ctx, bool *ret_stop)
{
	char text[512];
	int pid = 0;
	ssize_t n;

	while ((n = read_file(fd, text, sizeof text)) > 0)
		for (ssize_t i = 0; i < n; i++) {
			if (text[i] >= '0' && text[i] <= '9') {
				pid = pid * 10 + (text[i] - '0');
				continue;
			}
			if (pid > 0 && fn(pid, ctx)) {
				*ret_stop = true;
				return 0;
			}
			pid = 0;
		}
	return (int)n;
}

/* Of one thread, each of which has children of its own; one that has just ended has none. */
static int thread_children(int tasks, const char *thread, cp_proc_fn *fn, void *ctx, bool *ret_stop)
{
	char path[32];
	int fd, r;

	snprintf(path, sizeof path, "%.16s/children", thread);
	fd = open_file(tasks, path, 0);
	if (fd == -ENOENT)
		return faccessat(tasks, thread, F_OK, 0) == 0 ? -ENOTSUP : 0;
	if (fd < 0)
		return fd == -ESRCH ? 0 : fd;
	r = read_children(fd, fn, ctx, ret_stop);
	cp_os_close(fd);
	return r == -ESRCH ? 0 : r;
}

int cp_os_proc_children(int pid, cp_proc_fn *fn, void *ctx)
{
	struct dirent *entry;
	bool stop = false;
	char path[32];
	DIR *dir;
	int r;

	snprintf(path, sizeof path, "/proc/%d/task", pid);
	r = open_folder(path, &dir);
	if (r < 0)
		return gone(r);
	while (!stop && r >= 0 && (entry = readdir(dir)))
		if (number(entry->d_name) > 0)
			r = thread_children(dirfd(dir), entry->d_name, fn, ctx, &stop);
	closedir(dir);
	return r;
}
