/* SPDX-License-Identifier: MIT */
/*
 * Removing a tree, however deep it is and whoever changes it meanwhile.
 *
 * Everything is done by names in directories that are open, and no link is followed, so what is
 * removed lies in the tree, whatever somebody puts in its place. Directories are emptied level by
 * level, each with a descriptor. What lies deeper than there are levels is moved up into the
 * top directory first, and found there by the next pass.
 *
 * A pass reads a directory from its begin to its end and removes what it can. Removing may
 * hide entries from the reading, so passes go on until one has removed nothing: what is
 * there then cannot be removed, and the error of that pass is the one that counts.
 */
#include "base/os.h"
#include "sys/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define LEVELS 32

struct level {
	int fd;
	char name[NAME_MAX + 1]; /* in the level above */
	bool removed_some;       /* in this pass */
	int error;               /* the first of this pass */
	size_t at, bytes;        /* of the batch */
	char batch[2048];
};

struct removal {
	const char *path;
	int depth; /* levels in use */
	unsigned moved;
	struct level levels[LEVELS];
};

static struct level *innermost(struct removal *rm)
{
	return &rm->levels[rm->depth - 1];
}

static int enter(struct removal *rm, int dir_fd, const char *name)
{
	int fd = cp_os_openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	struct level *l;

	if (fd < 0)
		return fd;
	l = &rm->levels[rm->depth++];
	l->fd = fd;
	l->removed_some = false;
	l->error = 0;
	l->at = l->bytes = 0;
	if (rm->depth > 1)
		memcpy(l->name, name, strlen(name) + 1);
	return 0;
}

/* The outcome of removing one entry of the level. */
static void note(struct level *l, int r)
{
	if (r >= 0 || r == -ENOENT) /* somebody else was faster */
		l->removed_some = true;
	else if (!l->error)
		l->error = r;
}

static int move_up(struct removal *rm, struct level *l, const char *name)
{
	char free_name[32];
	int r;

	do {
		snprintf(free_name, sizeof free_name, ".coop-rm-%u", rm->moved++);
		r = cp_os_renameat(l->fd, name, rm->levels[0].fd, free_name, true);
	} while ((r == -ENOTEMPTY || r == -EEXIST || r == -ENOTDIR) && rm->moved);
	if (r >= 0)
		rm->levels[0].removed_some = true; /* there is something new to find */
	return r;
}

static bool is_directory(const struct dirent64 *d, int r)
{
	return d->d_type == DT_DIR || (d->d_type == DT_UNKNOWN && (r == -EISDIR || r == -EPERM));
}

static void remove_entry(struct removal *rm, const struct dirent64 *d)
{
	struct level *l = innermost(rm);
	int r = d->d_type == DT_DIR ? -EISDIR : cp_os_unlinkat(l->fd, d->d_name, false);

	if (r < 0 && is_directory(d, r)) {
		r = cp_os_unlinkat(l->fd, d->d_name, true);
		if (r == -ENOTEMPTY || r == -EEXIST)
			r = rm->depth < LEVELS ? enter(rm, l->fd, d->d_name)
					       : move_up(rm, l, d->d_name);
		if (r >= 0 && innermost(rm) != l)
			return; /* its own level tells */
	}
	note(l, r);
}

/* The innermost directory has been read to its end: again, or back to the one above. */
static int end_of_pass(struct removal *rm)
{
	struct level *l = innermost(rm), *above;
	int r;

	if (l->removed_some) {
		l->removed_some = false;
		l->error = 0;
		return cp_os_rewind(l->fd);
	}
	cp_os_close(l->fd);
	rm->depth--;
	if (!rm->depth)
		return 0;
	above = innermost(rm);
	r = cp_os_unlinkat(above->fd, l->name, true);
	note(above, r < 0 && l->error ? l->error : r);
	return 0;
}

/* One step: an entry, a batch, or the end of a pass. */
static int step(struct removal *rm)
{
	struct level *l = innermost(rm);
	struct dirent64 *d = cp_fs_next_dirent(l->batch, l->bytes, &l->at);
	int r;

	if (d) {
		remove_entry(rm, d);
		return 0;
	}
	r = cp_os_getdents(l->fd, l->batch, sizeof l->batch);
	l->at = 0;
	l->bytes = r > 0 ? (size_t)r : 0;
	if (r > 0)
		return 0;
	if (r < 0)
		note(l, r == -ENOENT ? -EIO : r);
	return end_of_pass(rm);
}

static int remove_tree(struct removal *rm)
{
	int r = enter(rm, AT_FDCWD, rm->path);

	while (r >= 0 && rm->depth) {
		r = cp_fs_between_steps();
		if (r >= 0)
			r = step(rm);
	}
	while (rm->depth)
		cp_os_close(rm->levels[--rm->depth].fd);
	if (r < 0)
		return r;
	r = cp_os_unlinkat(AT_FDCWD, rm->path, true);
	return r < 0 && rm->levels[0].error ? rm->levels[0].error : r;
}

static int run_remove(void *arg)
{
	struct removal *rm = arg;
	int r = cp_os_unlinkat(AT_FDCWD, rm->path, false), r2;

	if (r != -EISDIR && r != -EPERM)
		return r;
	r2 = remove_tree(rm);
	return r2 == -ENOTDIR ? r : r2; /* no directory: the file itself cannot be removed */
}

int coop_remove_all(const char *path)
{
	struct removal *rm = cp_alloc(sizeof *rm);
	int r;

	if (!rm)
		return cp_refuse(-ENOMEM);
	rm->path = path;
	rm->depth = 0;
	rm->moved = 0;
	r = cp_fs_run(run_remove, rm);
	cp_free(rm);
	return r;
}
