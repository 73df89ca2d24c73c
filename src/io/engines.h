/* SPDX-License-Identifier: MIT */
/* The engines there are. */
#ifndef CP_ENGINES_H
#define CP_ENGINES_H

#include "core/engine.h"

/* 0, -EMFILE, -ENFILE, -ENOMEM. */
int cp_epoll_open(struct cp_engine **ret_engine);

/* The same, and -ENOSYS, -EPERM, -EACCES, -EINVAL: the system does not give one. */
int cp_uring_open(struct cp_engine **ret_engine);

#endif
