/* SPDX-License-Identifier: MIT */
/*
 * Unix sockets at a path: who may connect, who is replaced, what is removed.
 *
 * Invariants
 *   1. The rights are those that were asked for before the socket listens, so before anybody can
 *      connect. They are given to the socket before it is bound; what the process's umask has
 *      taken away is put back by a descriptor of the path, never by its name.
 *   2. Nothing is removed but a socket at which nobody listened when we asked. It is moved out of
 *      the way first and looked at there, so what somebody has put in its place in the meantime is
 *      not lost: it is moved back.
 *   3. The path is removed at the end only if its inode is still ours; it cannot be another
 *      file's, since our open socket keeps it. And only by the process that has made it: a forked
 *      child has a copy of the listener, and the parent goes on with its own.
 */
#include "sys/net.h"

#include "base/forks.h"
#include "base/os_process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MODE_DEFAULT 0600
#define UNIX_PATH_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

static const struct coop_listen_opts none;

/* Does somebody listen there? 0 if surely not. */
static int probe(struct cp_world *world, const struct coop_addr *addr)
{
	int fd = world->ops->socket(world, AF_UNIX, SOCK_STREAM, 0);
	int r;

	if (fd < 0)
		return fd;
	r = world->ops->connect(world, fd, &addr->sa, addr->len);
	world->ops->close(world, fd);
	return r == -ECONNREFUSED ? 0 : -EADDRINUSE;
}

static bool same_file(const struct cp_path_info *a, const struct cp_path_info *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

/* Removes a socket that is left over from somebody who is gone. */
static int remove_stale(struct cp_world *world, const struct coop_addr *addr)
{
	const char *path = addr->un.sun_path;
	char aside[UNIX_PATH_MAX + 32];
	struct cp_path_info before, moved;
	int r = world->ops->path_info(world, path, &before);

	if (r == -ENOENT)
		return 0; /* gone by now */
	if (r < 0)
		return r;
	if (!S_ISSOCK(before.mode))
		return coop_fail(-EADDRINUSE, "%s is there and is no socket", path);
	r = probe(world, addr);
	if (r < 0)
		return r;
	snprintf(aside, sizeof aside, "%s.old-%d", path, cp_os_pid());
	r = world->ops->rename(world, path, aside);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = world->ops->path_info(world, aside, &moved);
	if (r >= 0 && same_file(&before, &moved))
		return world->ops->unlink(world, aside);
	world->ops->rename(world, aside, path);
	return -EADDRINUSE;
}

static int bind_path(struct cp_world *world, int fd, const struct coop_addr *addr)
{
	int r = world->ops->bind(world, fd, &addr->sa, addr->len);

	if (r != -EADDRINUSE || !addr->un.sun_path[0])
		return r;
	r = remove_stale(world, addr);
	return r < 0 ? r : world->ops->bind(world, fd, &addr->sa, addr->len);
}

/* The rights as they are wanted, and which file it is. */
static int settle(struct cp_world *world, const char *path, uint32_t mode,
		  struct cp_path_info *ret_info)
{
	int r = world->ops->path_info(world, path, ret_info);

	if (r >= 0 && !S_ISSOCK(ret_info->mode))
		return -EADDRINUSE; /* somebody has been there */
	if (r >= 0 && (ret_info->mode & 07777) != mode)
		r = world->ops->chmod(world, path, mode);
	return r;
}

/* What we have made goes again, and nothing that somebody else has put there. */
static void take_back(struct cp_world *world, const char *path, const struct cp_path_info *info)
{
	struct cp_path_info now;

	if (world->ops->path_info(world, path, &now) < 0)
		return;
	if (info->ino ? same_file(&now, info) : S_ISSOCK(now.mode)) /* 0: we could not look */
		world->ops->unlink(world, path);
}

static int listen_on(struct cp_world *world, int fd, const struct coop_addr *addr,
		     const struct coop_listen_opts *opts, struct coop_listener **ret_listener)
{
	uint32_t mode = opts->mode ? opts->mode : MODE_DEFAULT;
	int backlog = cp_listen_backlog(world, opts);
	bool has_path = addr->un.sun_path[0];
	struct cp_path_info info = { 0 };
	struct coop_listener *l = NULL;
	int r = has_path ? world->ops->fchmod(world, fd, mode) : 0;

	if (r >= 0)
		r = bind_path(world, fd, addr);
	if (r < 0)
		return r;
	if (has_path)
		r = settle(world, addr->un.sun_path, mode, &info);
	if (r >= 0)
		r = world->ops->listen(world, fd, backlog);
	if (r >= 0)
		r = cp_listener_new(world, fd, opts, backlog, &l);
	if (r < 0) {
		if (has_path)
			take_back(world, addr->un.sun_path, &info);
		return r;
	}
	l->addr = *addr;
	l->has_path = has_path;
	l->dev = info.dev;
	l->ino = info.ino;
	l->forks = cp_forks();
	*ret_listener = l;
	return 0;
}

int coop_unix_listen(const char *path, const struct coop_listen_opts *opts,
		     struct coop_listener **ret_listener)
{
	struct cp_world *world = cp_world_of(cp_rt);
	char text[COOP_ADDR_TEXT_MAX];
	struct coop_addr addr;
	int fd, r;

	if (!opts)
		opts = &none;
	r = cp_listen_check(opts);
	if (r >= 0)
		r = cp_addr_of_path(path, &addr);
	if (r < 0)
		return r;
	fd = world->ops->socket(world, AF_UNIX, SOCK_STREAM, 0);
	r = fd < 0 ? fd : listen_on(world, fd, &addr, opts, ret_listener);
	if (r >= 0)
		return 0;
	if (fd >= 0)
		world->ops->close(world, fd);
	return coop_wrap(r, r, "listening at %s", coop_addr_text(&addr, text, sizeof text));
}
