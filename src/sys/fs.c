/* SPDX-License-Identifier: MIT */
/*
 * Files: operations that are one system call, in a thread of their lane.
 *
 * What a call is asked and what it answers lies in the frame of the task, which waits until the
 * thread is done, whatever comes. The answer is copied to the caller only when it is there.
 */
#include "sys/fs.h"

#include "base/os.h"
#include "base/os_files.h"
#include "io/offload.h"
#include "io/world.h"

#include <coop/error.h>
#include <coop/task.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* Files in memory: there is nothing to wait for, and the order is the tasks' own. */
static int run_here(struct cp_rt *rt, struct cp_os_files *files, coop_fn *fn, void *arg)
{
	int r = cp_cancel_point(rt);

	if (r < 0)
		return r;
	cp_os_files = files;
	r = fn(arg);
	cp_os_files = NULL;
	cp_schedule_point(rt);
	return r;
}

int cp_fs_run_at(coop_fn *fn, void *arg, const char *site)
{
	static const struct coop_offload_opts opts = { .lane = COOP_LANE_FS };
	struct cp_rt *rt = cp_in_task();

	if (rt && cp_world_of(rt)->files)
		return run_here(rt, cp_world_of(rt)->files, fn, arg);
	return coop_offload_at(fn, arg, &opts, site);
}

int cp_fs_run_apart_at(coop_fn *fn, void *arg, const char *site)
{
	struct coop_offload_opts opts = { .lane = COOP_LANE_FS };

	if (cp_offload_can_interrupt())
		opts.on_cancel = COOP_ON_CANCEL_INTERRUPT;
	return coop_offload_at(fn, arg, &opts, site);
}

/* Not where it says itself that it will not wait, or that it has to be a file of its own. */
bool cp_fs_waits(const char *path, int dir_fd, int flags)
{
	struct stat st;

	if (flags & (O_NONBLOCK | O_PATH | O_DIRECTORY | O_EXCL) ||
	    cp_os_statat(dir_fd, path, true, &st) < 0)
		return false;
	return S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode);
}

int cp_fs_open(int dir_fd, const char *path, int flags, unsigned mode)
{
	int r;

	do {
		r = cp_os_openat_once(dir_fd, path, flags, mode);
		if (r == -EINTR && coop_thread_cancelled())
			return COOP_ECANCELED;
	} while (r == -EINTR);
	return r;
}

int cp_fs_read(int fd, void *buf, size_t bytes)
{
	int r;

	do {
		r = cp_fs_between_steps();
		if (r >= 0)
			r = cp_os_read_once(fd, buf, bytes);
	} while (r == -EINTR);
	return r;
}

void cp_fs_close(int fd)
{
	struct cp_os_files *before = cp_os_files;

	if (cp_rt)
		cp_os_files = cp_world_of(cp_rt)->files;
	cp_os_close(fd);
	cp_os_files = before;
}

int cp_fs_between_steps(void)
{
	return coop_thread_cancelled() ? COOP_ECANCELED : 0;
}

uint64_t cp_fs_reserved(const uint64_t reserved[8])
{
	uint64_t sum = 0;

	for (int i = 0; i < 8; i++)
		sum |= reserved[i];
	return sum;
}

struct operation {
	int dir_fd;
	const char *path;
	const char *to;
	int flags;
	unsigned mode;
	bool follow;
	bool apart; /* may wait for somebody else */
	struct stat stat;
};

/* ------------------------------------------------------------------------------- open */

static int run_open(void *arg)
{
	struct operation *op = arg;

	if (!op->apart && cp_fs_waits(op->path, op->dir_fd, op->flags))
		return CP_FS_APART;
	return cp_fs_open(op->dir_fd, op->path, op->flags, op->mode);
}

int coop_open_at(int dir_fd, const char *path, int flags, unsigned mode)
{
	struct operation op = { .dir_fd = dir_fd, .path = path, .flags = flags, .mode = mode };
	int r = cp_fs_run(run_open, &op);

	op.apart = r == CP_FS_APART;
	return op.apart ? cp_fs_run_apart(run_open, &op) : r;
}

int coop_open(const char *path, int flags, unsigned mode)
{
	return coop_open_at(AT_FDCWD, path, flags, mode);
}

/* ------------------------------------------------------------------------------- stat */

static int run_stat(void *arg)
{
	struct operation *op = arg;

	return cp_os_statat(AT_FDCWD, op->path, op->follow, &op->stat);
}

static int ask_stat(const char *path, bool follow, struct stat *ret_stat)
{
	struct operation op = { .path = path, .follow = follow };
	int r = cp_fs_run(run_stat, &op);

	if (r >= 0)
		*ret_stat = op.stat;
	return r;
}

int coop_stat(const char *path, struct stat *ret_stat)
{
	return ask_stat(path, true, ret_stat);
}

int coop_lstat(const char *path, struct stat *ret_stat)
{
	return ask_stat(path, false, ret_stat);
}

/* ------------------------------------------------------------------------------ names */

static int run_rename(void *arg)
{
	struct operation *op = arg;

	return cp_os_renameat(AT_FDCWD, op->path, AT_FDCWD, op->to, true);
}

int coop_rename(const char *from, const char *to)
{
	struct operation op = { .path = from, .to = to };

	return cp_fs_run(run_rename, &op);
}

static int run_unlink(void *arg)
{
	struct operation *op = arg;

	return cp_os_unlinkat(AT_FDCWD, op->path, false);
}

int coop_unlink(const char *path)
{
	struct operation op = { .path = path };

	return cp_fs_run(run_unlink, &op);
}

static int run_rmdir(void *arg)
{
	struct operation *op = arg;

	return cp_os_unlinkat(AT_FDCWD, op->path, true);
}

int coop_rmdir(const char *path)
{
	struct operation op = { .path = path };

	return cp_fs_run(run_rmdir, &op);
}

/* ------------------------------------------------------------------------ directories */

static int run_mkdir(void *arg)
{
	struct operation *op = arg;

	return cp_os_mkdirat(AT_FDCWD, op->path, op->mode);
}

int coop_mkdir(const char *path, unsigned mode)
{
	struct operation op = { .path = path, .mode = mode };

	return cp_fs_run(run_mkdir, &op);
}

/* It has the name already: is it a directory, or a link to one? */
static int is_there(const char *path)
{
	struct stat st;
	int r = cp_os_statat(AT_FDCWD, path, true, &st);

	if (r < 0)
		return r == -ENOENT ? -EEXIST : r; /* a link to nothing */
	return S_ISDIR(st.st_mode) ? 0 : -EEXIST;
}

static int make_or_find(const char *path, unsigned mode)
{
	int r = cp_os_mkdirat(AT_FDCWD, path, mode);

	return r == -EEXIST ? is_there(path) : r;
}

/* One after the other, from the first that is missing: `path` is cut at each slash in turn. */
static int make_all(char *path, unsigned mode)
{
	for (char *slash = path + strspn(path, "/"); (slash = strchr(slash, '/'));) {
		size_t run = strspn(slash, "/");
		int r = cp_fs_between_steps();

		if (!slash[run])
			break; /* slashes at the end */
		*slash = '\0';
		if (r >= 0)
			r = make_or_find(path, 0777);
		*slash = '/';
		if (r < 0)
			return r == -EEXIST ? -ENOTDIR : r;
		slash += run;
	}
	return make_or_find(path, mode);
}

static int run_mkdir_all(void *arg)
{
	struct operation *op = arg;
	int r = make_or_find(op->path, op->mode);
	char *path;

	if (r != -ENOENT || !*op->path)
		return r;
	path = cp_alloc(strlen(op->path) + 1);
	if (!path)
		return -ENOMEM;
	memcpy(path, op->path, strlen(op->path) + 1);
	r = make_all(path, op->mode);
	cp_free(path);
	return r;
}

int coop_mkdir_all(const char *path, unsigned mode)
{
	struct operation op = { .path = path, .mode = mode };

	return cp_fs_run(run_mkdir_all, &op);
}

struct dirent64 *cp_fs_next_dirent(char *buf, size_t bytes, size_t *at)
{
	while (*at < bytes) {
		struct dirent64 *d = (struct dirent64 *)(void *)(buf + *at);

		*at += d->d_reclen;
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			return d;
	}
	return NULL;
}
