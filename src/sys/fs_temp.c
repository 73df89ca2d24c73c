/* SPDX-License-Identifier: MIT */
/* Files and directories with names that nobody else has, or with none. */
#include "base/os.h"
#include "sys/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* A name of 64 random bits that is taken: somebody makes them on purpose. */
#define TRIES 100

void cp_fs_make_name(char name[CP_FS_NAME_BYTES], const char *prefix)
{
	snprintf(name, CP_FS_NAME_BYTES, "%s%016llx", prefix, (unsigned long long)cp_os_chance());
}

int cp_fs_make_file(int dir_fd, char name[CP_FS_NAME_BYTES], unsigned mode)
{
	int r = -EEXIST;

	for (int i = 0; r == -EEXIST && i < TRIES; i++) {
		cp_fs_make_name(name, ".coop-");
		r = cp_os_openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
	}
	return r;
}

static const char *temp_dir(const char *dir)
{
	const char *env = dir ? NULL : cp_os_env("TMPDIR");

	return dir ? dir : env && *env ? env : "/tmp";
}

/* The file system knows no files without a name: one that has it for a moment. */
static int named_for_a_moment(const char *dir)
{
	int dir_fd = cp_os_openat(AT_FDCWD, dir, O_PATH | O_DIRECTORY, 0), fd, r;
	char name[CP_FS_NAME_BYTES];

	if (dir_fd < 0)
		return dir_fd;
	fd = cp_fs_make_file(dir_fd, name, 0600);
	r = fd < 0 ? fd : cp_os_unlinkat(dir_fd, name, false);
	if (fd >= 0 && r < 0)
		cp_os_close(fd);
	cp_os_close(dir_fd);
	return r < 0 ? r : fd;
}

static int run_temp_file(void *arg)
{
	const char *dir = arg;
	int fd = cp_os_openat(AT_FDCWD, dir, O_TMPFILE | O_RDWR | O_EXCL, 0600);

	/* -EISDIR: a kernel that does not know the flag takes it for an open of the directory. */
	return fd == -EOPNOTSUPP || fd == -EISDIR ? named_for_a_moment(dir) : fd;
}

int coop_temp_file(const char *dir)
{
	return cp_fs_run(run_temp_file, (void *)(uintptr_t)temp_dir(dir));
}

struct new_dir {
	const char *dir;
	char *path;
	size_t size;
};

static int run_temp_dir(void *arg)
{
	struct new_dir *d = arg;
	char name[CP_FS_NAME_BYTES];
	int r = -EEXIST;

	for (int i = 0; r == -EEXIST && i < TRIES; i++) {
		cp_fs_make_name(name, "coop-");
		snprintf(d->path, d->size, "%s/%s", d->dir, name);
		r = cp_os_mkdirat(AT_FDCWD, d->path, 0700);
	}
	return r;
}

int coop_temp_dir(const char *dir, char *ret_path, size_t size)
{
	struct new_dir d = { .dir = temp_dir(dir) };
	int r;

	d.size = strlen(d.dir) + CP_FS_NAME_BYTES + 1;
	if (size < strlen(d.dir) + strlen("/coop-0123456789abcdef") + 1)
		return cp_refuse(-ENAMETOOLONG);
	d.path = cp_alloc(d.size);
	if (!d.path)
		return cp_refuse(-ENOMEM);
	r = cp_fs_run(run_temp_dir, &d);
	if (r >= 0)
		memcpy(ret_path, d.path, strlen(d.path) + 1);
	cp_free(d.path);
	return r;
}
