/* SPDX-License-Identifier: MIT */
/* What the files of the network share. */
#ifndef CP_NET_H
#define CP_NET_H

#include "core/park.h"
#include "io/world.h"

#include <coop/net.h>

struct cp_server;

struct coop_listener {
	int fd; /* -1: closed */
	bool delay;
	bool has_path;  /* a path of a Unix socket that we have made, */
	uint64_t dev;   /* which is ours while it has this inode: the */
	uint64_t ino;   /* socket keeps it from being used again; */
	uint32_t forks; /* it is this process's to remove: cp_forks */
	struct coop_addr addr;
	struct coop_listener_stats stats;
	uint32_t in_a_row;        /* errors without a success between them */
	int64_t rest_ns;          /* of the next rest */
	int64_t told_ns;          /* when the log was told of the last one */
	uint32_t accepting;       /* calls of coop_listener_accept: the last one */
	bool gone;                /* frees what has been closed meanwhile */
	struct cp_server *server; /* who serves it: net_serve.c */
};

/* Cancelled where it stands; that a test looks at each checkpoint is none. */
CP_INLINE bool cp_net_cancelled(const struct cp_rt *rt)
{
	return rt->cur->cancelled & (uint8_t)~CP_HOOK;
}

CP_INLINE int cp_net_set_int(struct cp_world *world, int fd, int level, int name, int value)
{
	return world->ops->setsockopt(world, fd, level, name, &value, sizeof value);
}

/* "@name" is an abstract name; anything else a path. */
int cp_addr_of_path(const char *path, struct coop_addr *ret_addr);
/* An IPv4 address in the clothes of an IPv6 one is written as what it is. */
void cp_addr_unmap(struct coop_addr *addr);
/* Decimal, without signs, blanks or leading zeros: the port, or -EINVAL. */
int cp_port_read(const char *text);

/* Makes a listener of a socket that listens; -ENOMEM: `fd` is the caller's. */
int cp_listener_new(struct cp_world *world, int fd, const struct coop_listen_opts *opts,
		    int backlog, struct coop_listener **ret_listener);
int cp_listen_check(const struct coop_listen_opts *opts);
/* As much of the backlog that is wanted as the kernel takes. */
int cp_listen_backlog(struct cp_world *world, const struct coop_listen_opts *opts);
/* Nobody can find it any more: removes its path, if that is still its own. */
void cp_listener_hide(struct coop_listener *l);
/* Closes the socket; the struct stays. */
void cp_listener_shut(struct coop_listener *l);
/* One call less; the last one frees a listener that has been closed. */
void cp_listener_leave(struct coop_listener *l);

/*
 * What an error of accept means. 0: go on, after a rest where that is due; else the error that the
 * call returns.
 */
int cp_accept_failed(struct cp_rt *rt, struct coop_listener *l, int r);

#endif
