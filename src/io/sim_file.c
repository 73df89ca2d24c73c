/* SPDX-License-Identifier: MIT */
/* Open files of the simulated world: reading, writing, and directories read entry by entry. */
#include "io/sim_fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

static struct sim_file *of(struct sim_object *o)
{
	return CP_CONTAINER_OF(o, struct sim_file, object);
}

/* ----------------------------------------------------------------------------- bytes */

static bool disk_is_full(const struct cp_sim *sim, size_t more)
{
	return sim->plan.disk_bytes && sim->disk_bytes + more > sim->plan.disk_bytes;
}

/* Room for `size` bytes: 0, -ENOMEM, -ENOSPC, -EFBIG. */
static int make_room(struct cp_sim *sim, struct sim_node *n, int64_t size)
{
	size_t room = n->now.room;
	char *data;

	if (size > SIM_FILE_MAX)
		return -EFBIG;
	if ((size_t)size <= room)
		return 0;
	if (disk_is_full(sim, (size_t)size - room))
		return -ENOSPC;
	room = 2 * room > (size_t)size ? 2 * room : (size_t)size;
	if (disk_is_full(sim, room - n->now.room))
		room = (size_t)size;
	data = cp_realloc(n->now.data, room);
	if (!data)
		return -ENOMEM;
	sim->disk_bytes += room - n->now.room;
	n->now.data = data;
	n->now.room = room;
	return 0;
}

int sim_file_resize(struct cp_sim *sim, struct sim_node *n, int64_t bytes)
{
	int r = make_room(sim, n, bytes);

	if (r < 0)
		return r;
	if ((size_t)bytes > n->now.size)
		memset(n->now.data + n->now.size, 0, (size_t)bytes - n->now.size);
	n->now.size = (size_t)bytes;
	n->changed_ns = sim_now(sim);
	return 0;
}

int sim_file_read(struct cp_sim *sim, struct sim_file *f, const struct iovec *iov, int count,
		  int64_t offset)
{
	const struct sim_bytes *b = &f->node->now;
	struct sim_cursor to = { iov, count, 0 };
	int64_t at = offset < 0 ? f->at : offset;
	size_t n = sim_iov_bytes(iov, count);

	if (S_ISDIR(f->node->mode))
		return -EISDIR;
	if ((f->flags & O_ACCMODE) == O_WRONLY || f->flags & O_PATH)
		return -EBADF;
	if (!n || (size_t)at >= b->size)
		return 0;
	n = n < b->size - (size_t)at ? n : b->size - (size_t)at;
	n = sim_shorten(sim, n < INT32_MAX ? n : INT32_MAX);
	sim_scatter(&to, b->data + at, n);
	if (offset < 0)
		f->at = at + (int64_t)n;
	return (int)n;
}

/* As many as there is room for on the disk: a write that fills it up is short. */
static int fit(struct cp_sim *sim, struct sim_node *n, int64_t at, size_t *bytes)
{
	int r = make_room(sim, n, at + (int64_t)*bytes);

	if (r != -ENOSPC || (size_t)at >= n->now.room)
		return r;
	*bytes = n->now.room - (size_t)at;
	return 0;
}

int sim_file_write(struct cp_sim *sim, struct sim_file *f, const struct iovec *iov, int count,
		   int64_t offset)
{
	struct sim_cursor from = { iov, count, 0 };
	struct sim_bytes *b = &f->node->now;
	int64_t at = f->flags & O_APPEND ? (int64_t)b->size : offset < 0 ? f->at : offset;
	size_t n = sim_iov_bytes(iov, count);
	int r;

	if ((f->flags & O_ACCMODE) == O_RDONLY || f->flags & O_PATH)
		return -EBADF;
	if (!n)
		return 0;
	n = sim_shorten(sim, n < INT32_MAX ? n : INT32_MAX);
	if (at > SIM_FILE_MAX - (int64_t)n)
		return -EFBIG;
	r = fit(sim, f->node, at, &n);
	if (r < 0)
		return r;
	if ((size_t)at > b->size)
		memset(b->data + b->size, 0, (size_t)at - b->size);
	sim_gather(&from, b->data + at, n);
	if ((size_t)at + n > b->size)
		b->size = (size_t)at + n;
	if (offset < 0)
		f->at = at + (int64_t)n;
	f->node->changed_ns = sim_now(sim);
	return (int)n;
}

/* ----------------------------------------------------------------------- directories */

/* Puts one entry into the buffer: its bytes, or 0 where it has no room. */
static size_t put_entry(char *buf, size_t room, const char *name, const struct sim_node *n,
			uint64_t cookie)
{
	size_t bytes = (offsetof(struct dirent64, d_name) + strlen(name) + 1 + 7) & ~(size_t)7;
	struct dirent64 *d = (struct dirent64 *)(void *)buf;

	if (bytes > room)
		return 0;
	d->d_ino = n->ino;
	d->d_off = (off64_t)cookie;
	d->d_reclen = (unsigned short)bytes;
	d->d_type = S_ISDIR(n->mode) ? DT_DIR : DT_REG;
	memcpy(d->d_name, name, strlen(name) + 1);
	return bytes;
}

/* The cookies 1 and 2 are those of "." and "..". */
int sim_file_getdents(struct sim_file *f, void *buf, size_t bytes)
{
	struct sim_node *n = f->node;
	size_t used = 0, r = 1;

	if (!S_ISDIR(n->mode))
		return -ENOTDIR;
	for (uint64_t dots = 1; dots <= 2 && r; dots++) {
		if (f->cookie >= dots)
			continue;
		r = put_entry((char *)buf + used, bytes - used, dots == 1 ? "." : "..",
			      dots == 2 && n->parent ? n->parent : n, dots);
		f->cookie = r ? dots : f->cookie;
		used += r;
	}
	for (struct sim_entry *e = n->names; e && r; e = e->next) {
		if (e->cookie <= f->cookie)
			continue;
		r = put_entry((char *)buf + used, bytes - used, e->name, e->node, e->cookie);
		f->cookie = r ? e->cookie : f->cookie;
		used += r;
	}
	return used || r ? (int)used : -EINVAL;
}

/* ------------------------------------------------------------------------ operations */

static int file_poll(int events)
{
	return events & (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
}

static int file_try(struct cp_sim *sim, struct sim_object *o, struct cp_op *op)
{
	struct sim_file *f = of(o);

	switch ((enum cp_op_code)op->code) {
	case CP_OP_READ: return sim_file_read(sim, f, op->iov, op->count, -1);
	case CP_OP_WRITE: return sim_file_write(sim, f, op->iov, op->count, -1);
	case CP_OP_PREAD: return sim_file_read(sim, f, op->iov, op->count, op->offset);
	case CP_OP_PWRITE: return sim_file_write(sim, f, op->iov, op->count, op->offset);
	case CP_OP_POLL: return file_poll(op->flags);
	case CP_OP_FSYNC: return sim_node_sync(sim, f->node);
	default: return -ENOTSOCK;
	}
}

static int file_space(struct cp_sim *sim, struct sim_object *o)
{
	(void)sim;
	return (of(o)->flags & O_ACCMODE) == O_RDONLY ? -EBADF : INT32_MAX;
}

static void file_gone(struct cp_sim *sim, struct sim_object *o)
{
	struct sim_file *f = of(o);

	if (!sim->dying)
		sim_node_unref(sim, f->node);
	sim_object_deinit(sim, o);
	cp_free(f);
}

static const struct sim_object_ops file_ops = {
	.try = file_try,
	.space = file_space,
	.gone = file_gone,
};

int sim_file_open(struct cp_sim *sim, struct sim_node *n, int flags)
{
	struct sim_file *f = cp_calloc(1, sizeof *f);

	if (!f)
		return -ENOMEM;
	sim_object_init(sim, &f->object, &file_ops);
	f->node = n;
	f->flags = flags;
	n->refs++;
	return sim_number_first(sim, &f->object);
}

struct sim_file *sim_file_of(struct cp_sim *sim, int fd)
{
	struct sim_object *o = sim_find(sim, fd);

	return o && o->ops == &file_ops ? of(o) : NULL;
}
