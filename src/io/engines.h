/* SPDX-License-Identifier: MIT */
/* The engines there are. */
#ifndef CP_ENGINES_H
#define CP_ENGINES_H

#include "io/io.h"

#include <sys/epoll.h>

#define CP_EPOLL_EVENTS 256

/* Also what the simulated engine has for descriptors that are real. */
struct cp_epoll {
	struct cp_io io;
	int epfd;
	int wakefd;
	struct epoll_event events[CP_EPOLL_EVENTS];
};
extern const struct cp_io_ops cp_epoll_io_ops;
extern const struct cp_engine_ops cp_epoll_ops;

/* Makes what is in it, of zeroed memory: 0, -EMFILE, -ENFILE, -ENOMEM. */
int cp_epoll_init(struct cp_epoll *e);
void cp_epoll_deinit(struct cp_epoll *e);

/* 0, -EMFILE, -ENFILE, -ENOMEM. */
int cp_epoll_open(struct cp_engine **ret_engine);
int cp_sim_open(struct cp_engine **ret_engine);

/* The same, and -ENOSYS, -EPERM, -EACCES, -EINVAL: the system does not give one. */
int cp_uring_open(struct cp_engine **ret_engine);

#endif
