/* SPDX-License-Identifier: MIT */
/*
 * Walks: a tree entry by entry.
 *
 * A level is a directory that is open, with a batch of its entries. What a batch holds is handed
 * out at once; a thread is asked where the system must be: for the next batch, to open a
 * directory, to look at an entry.
 *
 * Invariants
 *   1. levels[0 .. depth) are open; path is that of the innermost one, up to its path_bytes, and
 *      behind it the name of the entry that was told last.
 *   2. A step, in whichever thread it runs, moves on by whole entries: one that had no memory, or
 *      was cancelled before it began, is made again.
 *   3. Only the task that calls touches a walk, save that a thread does while that task waits.
 */
#include "base/os.h"
#include "sys/fs.h"

#include <coop/error.h>
#include <coop/task.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define BATCH_BYTES 4096

struct level {
	int fd;
	size_t path_bytes; /* of its path in walk->path, with the slash */
	size_t at, bytes;  /* of the batch */
	char batch[BATCH_BYTES];
};

struct coop_walk {
	struct level **levels;
	uint32_t depth, room;
	uint32_t depth_max;
	bool depth_asked; /* it is no limit but what is wanted */
	bool ends, stat;
	bool told_dir; /* the innermost level was told by the last call */
	bool in_use;
	char *path;
	size_t path_room;
	const char *root; /* while it is being opened */
	struct coop_walk_entry entry;
};

static struct level *innermost(const struct coop_walk *w)
{
	return w->levels[w->depth - 1];
}

/* -------------------------------------------------------------------------- the levels */

static int push(struct coop_walk *w, int fd, size_t path_bytes)
{
	struct level *l;

	if (w->depth == w->room) {
		uint32_t room = w->room ? w->room * 2 : 8;
		struct level **levels = cp_realloc(w->levels, room * sizeof *levels);

		if (!levels)
			return -ENOMEM;
		w->levels = levels;
		w->room = room;
	}
	l = cp_alloc(sizeof *l);
	if (!l)
		return -ENOMEM;
	l->fd = fd;
	l->path_bytes = path_bytes;
	l->at = l->bytes = 0;
	w->levels[w->depth++] = l;
	return 0;
}

static void pop(struct coop_walk *w)
{
	struct level *l = w->levels[--w->depth];

	cp_fs_close(l->fd);
	cp_free(l);
}

/* Puts `name` behind the path of the innermost level, with room for a slash and a NUL. */
static int set_name(struct coop_walk *w, const char *name)
{
	size_t at = innermost(w)->path_bytes, bytes = strlen(name), need = at + bytes + 2;

	if (need > w->path_room) {
		size_t room = need > 2 * w->path_room ? need : 2 * w->path_room;
		char *path = cp_realloc(w->path, room);

		if (!path)
			return -ENOMEM;
		w->path = path;
		w->path_room = room;
	}
	if (at)
		w->path[at - 1] = '/'; /* the path of the directory itself ended there */
	memcpy(w->path + at, name, bytes + 1);
	return 0;
}

/* ---------------------------------------------------------------------------- entries */

static void tell(struct coop_walk *w, int dir_fd, size_t name_at, uint8_t type)
{
	struct coop_walk_entry *e = &w->entry;

	e->path = w->path;
	e->name = w->path + name_at;
	e->dir_fd = dir_fd;
	e->type = type;
	e->end = false;
	e->error = 0;
}

/* The directory that was told is opened as a level of its own: 0, or why it cannot be. */
static int descend(struct coop_walk *w)
{
	const char *name = w->entry.name;
	size_t bytes = (size_t)(name - w->path) + strlen(name);
	int fd, r;

	if (w->depth >= w->depth_max)
		return w->depth_asked ? 0 : -ELOOP;
	fd = cp_os_openat(w->entry.dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	r = push(w, fd, bytes + 1);
	if (r < 0)
		cp_os_close(fd);
	else
		w->told_dir = true;
	return r;
}

static uint8_t type_of(const struct stat *st)
{
	return (uint8_t)IFTODT(st->st_mode);
}

/* Tells an entry of the innermost level. Gone meanwhile: there is none. */
static int tell_entry(struct coop_walk *w, const struct dirent64 *d)
{
	struct level *l = innermost(w);
	uint8_t type = d->d_type;
	int r = set_name(w, d->d_name);

	if (r >= 0 && (w->stat || type == DT_UNKNOWN))
		r = cp_os_statat(l->fd, d->d_name, false, &w->entry.stat);
	if (r < 0)
		return r;
	if (w->stat || type == DT_UNKNOWN)
		type = type_of(&w->entry.stat);
	tell(w, l->fd, l->path_bytes, type);
	w->entry.depth = w->depth;
	if (type == DT_DIR) {
		r = descend(w);
		if (r == -ENOMEM)
			return r;
		w->entry.error = r;
	}
	return 0;
}

/* The innermost directory has no more entries. Its path is still there, without the slash. */
static int tell_end(struct coop_walk *w)
{
	struct level *l = innermost(w);
	size_t bytes = l->path_bytes;
	int r = 0;

	if (w->depth == 1) {
		pop(w);
		return COOP_EOF;
	}
	w->path[bytes - 1] = '\0';
	if (w->ends && w->stat)
		r = cp_os_statat(l->fd, ".", false, &w->entry.stat);
	pop(w);
	if (r < 0)
		return r;
	l = innermost(w);
	tell(w, l->fd, l->path_bytes, DT_DIR);
	w->entry.depth = w->depth;
	w->entry.end = true;
	return w->ends ? 0 : -EAGAIN;
}

/* Can the next entry be told without asking the system? Then it is left in *ret_dirent. */
static bool is_at_hand(const struct coop_walk *w, struct dirent64 **ret_dirent)
{
	struct level *l = innermost(w);
	size_t at = l->at;

	*ret_dirent = cp_fs_next_dirent(l->batch, l->bytes, &at);
	return *ret_dirent && !w->stat && (*ret_dirent)->d_type != DT_UNKNOWN &&
	       (*ret_dirent)->d_type != DT_DIR;
}

/*
 * One entry of the batch: told, or -EAGAIN if it is gone. Without memory it is told the next time;
 * what the system has against it, it would say again: the walk goes on behind it.
 */
static int next_of_batch(struct coop_walk *w, const struct dirent64 *d)
{
	struct level *l = innermost(w);
	int r = tell_entry(w, d);

	if (r == -ENOMEM)
		return r;
	l->at = (size_t)((const char *)d - l->batch) + d->d_reclen;
	return r == -ENOENT ? -EAGAIN : r;
}

static int step(struct coop_walk *w)
{
	struct level *l = innermost(w);
	struct dirent64 *d;
	int r;

	is_at_hand(w, &d);
	if (d)
		return next_of_batch(w, d);
	r = cp_os_getdents(l->fd, l->batch, sizeof l->batch);
	if (r == -ENOENT) /* removed meanwhile: it is empty */
		r = 0;
	if (r < 0) { /* asked again it would fail again: the walk goes on behind it */
		pop(w);
		return r;
	}
	l->at = 0;
	l->bytes = (size_t)r;
	return r ? -EAGAIN : tell_end(w);
}

static int run_steps(void *arg)
{
	struct coop_walk *w = arg;
	int r;

	do {
		r = cp_fs_between_steps();
		if (r >= 0)
			r = step(w);
	} while (r == -EAGAIN);
	return r;
}

static int next(struct coop_walk *w)
{
	struct dirent64 *d;
	int r;

	if (!w->depth)
		return cp_refuse(COOP_EOF);
	if (!is_at_hand(w, &d))
		return cp_fs_run(run_steps, w);
	r = cp_refuse(0);
	return r < 0 ? r : next_of_batch(w, d);
}

int coop_walk_next(struct coop_walk *w, struct coop_walk_entry *ret_entry)
{
	bool told_dir = w->told_dir;
	uint32_t depth = w->depth;
	int r;

	if (w->in_use)
		return cp_refuse(-EBUSY);
	w->in_use = true;
	w->told_dir = false;
	r = next(w);
	w->in_use = false;
	if (r < 0) {
		/* Unless it has been left already, with nothing to tell. */
		w->told_dir = told_dir && r == COOP_ECANCELED && w->depth == depth;
		return r;
	}
	*ret_entry = w->entry;
	return 0;
}

int coop_walk_skip(struct coop_walk *w)
{
	if (!w->told_dir || w->in_use)
		return 1;
	w->told_dir = false;
	pop(w);
	return 0;
}

/* ------------------------------------------------------------------------ begin and end */

struct coop_walk *coop_walk_close(struct coop_walk *w)
{
	if (!w)
		return NULL;
	while (w->depth)
		pop(w);
	cp_free(w->levels);
	cp_free(w->path);
	cp_free(w);
	return NULL;
}

static int run_open(void *arg)
{
	struct coop_walk *w = arg;
	int fd = cp_os_openat(AT_FDCWD, w->root, O_RDONLY | O_DIRECTORY, 0), r;

	if (fd < 0)
		return fd;
	r = push(w, fd, 0);
	if (r < 0)
		cp_os_close(fd);
	return r;
}

int coop_walk_open(const char *path, const struct coop_walk_opts *opts, struct coop_walk **ret_walk)
{
	static const struct coop_walk_opts none;
	struct coop_walk *w;
	int r;

	if (!opts)
		opts = &none;
	if (cp_fs_reserved(opts->_reserved) || opts->depth_max > COOP_WALK_DEPTH_MAX)
		return cp_refuse(-EINVAL);
	w = cp_calloc(1, sizeof *w);
	if (!w)
		return cp_refuse(-ENOMEM);
	w->depth_max = opts->depth_max ? opts->depth_max : COOP_WALK_DEPTH;
	w->depth_asked = opts->depth_max != 0;
	w->ends = opts->ends;
	w->stat = opts->stat;
	w->root = path;
	r = cp_fs_run(run_open, w);
	if (r < 0) {
		coop_walk_close(w);
		return r;
	}
	*ret_walk = w;
	return 0;
}
