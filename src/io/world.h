/* SPDX-License-Identifier: MIT */
/*
 * The calls on descriptors that need no waiting, by whoever answers them.
 *
 * What suspends a task is an operation of the engine. What does not (to make a socket, to bind
 * it, to ask for its address) goes through here, so that an engine whose sockets lie in memory
 * can answer it: such an engine embeds a struct cp_world of its own and sets engine->world.
 * The system's answers are in world.c, by the seam of base/os.h.
 *
 * Each returns 0 or more, or a negative errno, and none of them waits. New descriptors are
 * close-on-exec, and non-blocking save those that accept gives. `close` is for those that no
 * operation has ever used; all others are closed by coop_close.
 */
#ifndef CP_WORLD_H
#define CP_WORLD_H

#include "base/os.h"
#include "core/park.h"

#include <sys/socket.h>

struct cp_world;

struct cp_world_ops {
	int (*socket)(struct cp_world *world, int domain, int type, int protocol);
	int (*socketpair)(struct cp_world *world, int domain, int type, int protocol,
			  int ret_fds[2]);
	int (*bind)(struct cp_world *world, int fd, const struct sockaddr *addr, socklen_t len);
	int (*listen)(struct cp_world *world, int fd, int backlog);
	/* -EAGAIN where no connection waits; `ret_addr` may be NULL. */
	int (*accept)(struct cp_world *world, int fd, struct sockaddr *ret_addr, socklen_t *len);
	int (*connect)(struct cp_world *world, int fd, const struct sockaddr *addr, socklen_t len);
	int (*getsockname)(struct cp_world *world, int fd, struct sockaddr *ret_addr,
			   socklen_t *len);
	int (*getpeername)(struct cp_world *world, int fd, struct sockaddr *ret_addr,
			   socklen_t *len);
	int (*setsockopt)(struct cp_world *world, int fd, int level, int name, const void *value,
			  socklen_t bytes);
	int (*getsockopt)(struct cp_world *world, int fd, int level, int name, void *ret_value,
			  socklen_t *bytes);
	int (*shutdown)(struct cp_world *world, int fd, int how);
	int (*pipe)(struct cp_world *world, int ret_fds[2]);
	int (*set_nonblocking)(struct cp_world *world, int fd); /* and close-on-exec */
	void (*close)(struct cp_world *world, int fd);
	int (*somaxconn)(struct cp_world *world); /* the largest backlog */

	/* The paths of sockets: as in base/os.h. */
	int (*path_info)(struct cp_world *world, const char *path, struct cp_path_info *ret_info);
	int (*unlink)(struct cp_world *world, const char *path);
	int (*rename)(struct cp_world *world, const char *from, const char *to);
	int (*chmod)(struct cp_world *world, const char *path, uint32_t mode);
	int (*fchmod)(struct cp_world *world, int fd, uint32_t mode); /* before it is bound */
};

struct cp_os_files;

struct cp_world {
	const struct cp_world_ops *ops;
	struct cp_os_files *files; /* base/os_files.h; NULL: the system's */
};

extern struct cp_world cp_world_system;

/* Of the thread: who waits for a descriptor to become free. coop_close wakes the first. */
extern __thread struct cp_queue cp_fd_room;

/* Who answers in this run; outside of one (`rt` NULL) the system. */
CP_INLINE struct cp_world *cp_world_of(const struct cp_rt *rt)
{
	return rt && rt->engine && rt->engine->world ? rt->engine->world : &cp_world_system;
}

#endif
