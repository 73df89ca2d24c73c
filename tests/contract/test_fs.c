/* SPDX-License-Identifier: MIT */
/* What fs.h promises, call by call. */
#include "../core/core_help.h"

#include <coop/fs.h>

#include <fcntl.h>

struct stage {
	char path[64]; /* no file */
	struct stat stat;
	struct coop_walk *walk;
	struct coop_walk_entry entry;
	char *data;
	size_t bytes;
};

#include "contract.h"

static void stage_open(struct stage *s, bool in_task)
{
	*s = (struct stage){ .bytes = 7 };
	snprintf(s->path, sizeof s->path, "/tmp/coop-none-%d/x", (int)getpid());
	if (in_task)
		CHECK_INT(coop_walk_open("/proc/self", NULL, &s->walk), ==, 0);
}

static void stage_close(struct stage *s, bool in_task)
{
	(void)in_task;
	coop_walk_close(s->walk);
}

ROW(coop_open, ALWAYS, -ENOENT, COOP_ENOTASK)
{
	return coop_open(s->path, O_RDONLY, 0);
}

ROW(coop_open_at, ALWAYS, -ENOENT, COOP_ENOTASK)
{
	return coop_open_at(AT_FDCWD, s->path, O_RDONLY, 0);
}

ROW(coop_stat, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_stat("/", &s->stat);
}

ROW(coop_lstat, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_lstat("/", &s->stat);
}

ROW(coop_rename, ALWAYS, -ENOENT, COOP_ENOTASK)
{
	return coop_rename(s->path, s->path);
}

ROW(coop_unlink, ALWAYS, -ENOENT, COOP_ENOTASK)
{
	return coop_unlink(s->path);
}

ROW(coop_mkdir, ALWAYS, -EEXIST, COOP_ENOTASK)
{
	return coop_mkdir("/", 0700);
}

ROW(coop_mkdir_all, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_mkdir_all("/tmp", 0700);
}

ROW(coop_rmdir, ALWAYS, -ENOENT, COOP_ENOTASK)
{
	return coop_rmdir(s->path);
}

ROW(coop_file_read, ALWAYS, -EFBIG, COOP_ENOTASK)
{
	return coop_file_read("/proc/self/status", 1, &s->data, &s->bytes);
}

ROW(coop_file_free, NEVER, 0, 0)
{
	return coop_file_free(NULL) != NULL;
}

ROW(coop_file_replace, ALWAYS, -ENOENT, COOP_ENOTASK)
{
	return coop_file_replace(s->path, "x", 1, NULL);
}

ROW_AS(coop_file_replace, bad_options, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	struct coop_file_opts opts = { ._reserved = { 1 } };

	return coop_file_replace(s->path, "x", 1, &opts);
}

ROW(coop_file_copy, ALWAYS, -ENOENT, COOP_ENOTASK)
{
	return coop_file_copy(s->path, s->path, NULL);
}

ROW(coop_temp_file, ALWAYS, -ENOENT, COOP_ENOTASK)
{
	return coop_temp_file(s->path);
}

ROW(coop_temp_dir, ALWAYS, -ENOENT, COOP_ENOTASK)
{
	char path[128];

	return coop_temp_dir(s->path, path, sizeof path);
}

ROW_AS(coop_temp_dir, too_small, ALWAYS, -ENAMETOOLONG, COOP_ENOTASK)
{
	char path[8];

	return coop_temp_dir(s->path, path, sizeof path);
}

ROW(coop_remove_all, ALWAYS, -ENOENT, COOP_ENOTASK)
{
	return coop_remove_all(s->path);
}

ROW(coop_walk_open, ALWAYS, -ENOENT, COOP_ENOTASK)
{
	struct coop_walk *walk;

	return coop_walk_open(s->path, NULL, &walk);
}

ROW_AS(coop_walk_open, bad_options, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	struct coop_walk_opts opts = { .depth_max = COOP_WALK_DEPTH_MAX + 1 };
	struct coop_walk *walk;

	return coop_walk_open(s->path, &opts, &walk);
}

ROW(coop_walk_next, ALWAYS, 0, NOTHING_OUTSIDE)
{
	return coop_walk_next(s->walk, &s->entry);
}

ROW(coop_walk_skip, NEVER, 1, NOTHING_OUTSIDE)
{
	return coop_walk_skip(s->walk);
}

ROW(coop_walk_close, NEVER, 0, 0)
{
	s->walk = coop_walk_close(s->walk);
	return s->walk != NULL;
}
