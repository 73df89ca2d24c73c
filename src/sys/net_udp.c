/* SPDX-License-Identifier: MIT */
/* UDP: sockets, and datagrams with their addresses. */
#include "sys/net.h"

#include "core/group.h"

#include <coop/io.h>

#include <errno.h>

static const struct coop_udp_opts none;

static int prepare(struct cp_world *world, int fd, const struct coop_addr *local,
		   const struct coop_udp_opts *opts)
{
	int r = 0;

	if (local->sa.sa_family == AF_INET6)
		r = cp_net_set_int(world, fd, IPPROTO_IPV6, IPV6_V6ONLY, opts->v6_only);
	if (r >= 0 && opts->reuse_port)
		r = cp_net_set_int(world, fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (r >= 0 && opts->broadcast)
		r = cp_net_set_int(world, fd, SOL_SOCKET, SO_BROADCAST, 1);
	return r < 0 ? r : world->ops->bind(world, fd, &local->sa, local->len);
}

static int open_at(const struct coop_addr *local, const struct coop_udp_opts *opts)
{
	struct cp_world *world = cp_world_of(cp_rt);
	int fd = world->ops->socket(world, local->sa.sa_family, SOCK_DGRAM, 0), r;

	if (fd < 0)
		return fd;
	r = prepare(world, fd, local, opts);
	if (r >= 0)
		return fd;
	world->ops->close(world, fd);
	return r;
}

/* Both families by one socket, where there are two. */
static int open_anywhere(const struct coop_udp_opts *opts)
{
	struct coop_addr any;
	int r = -EAFNOSUPPORT;

	if (opts->family != AF_INET && coop_addr_ip("::", 0, &any) == 0)
		r = open_at(&any, opts);
	if (r < 0 && opts->family != AF_INET6 && coop_addr_ip("0.0.0.0", 0, &any) == 0)
		r = open_at(&any, opts);
	return r;
}

int coop_udp_open(const struct coop_addr *local, const struct coop_udp_opts *opts)
{
	char text[COOP_ADDR_TEXT_MAX];
	int r;

	if (!opts)
		opts = &none;
	if (!cp_zero_words(opts->_reserved, CP_ARRAY_LEN(opts->_reserved)) ||
	    (opts->family && opts->family != AF_INET && opts->family != AF_INET6))
		return -EINVAL;
	if (!local)
		return open_anywhere(opts);
	if (local->len == 0 || (local->sa.sa_family != AF_INET && local->sa.sa_family != AF_INET6))
		return -EINVAL;
	r = open_at(local, opts);
	if (r >= 0)
		return r;
	return coop_fail(r, "a UDP socket at %s: %s", coop_addr_text(local, text, sizeof text),
			 coop_code_text(r));
}

int coop_udp_connect(int fd, const struct coop_addr *peer)
{
	static const struct coop_addr nobody = { .sa = { .sa_family = AF_UNSPEC },
						 .len = sizeof(struct sockaddr_in) };
	struct cp_world *world = cp_world_of(cp_rt);

	if (!peer || !peer->len)
		peer = &nobody;
	return world->ops->connect(world, fd, &peer->sa, peer->len);
}

int coop_udp_send(int fd, const void *buf, size_t bytes, const struct coop_addr *to)
{
	struct coop_addr addr = to ? *to : (struct coop_addr){ .len = 0 };
	struct iovec iov = { (void *)(uintptr_t)buf, bytes };
	struct msghdr msg = { .msg_name = to ? &addr.sa : NULL,
			      .msg_namelen = addr.len,
			      .msg_iov = &iov,
			      .msg_iovlen = 1 };

	return coop_sendmsg(fd, &msg, 0);
}

int coop_udp_recv(int fd, void *buf, size_t bytes, struct coop_addr *ret_from)
{
	struct coop_addr from = { .len = 0 };
	struct iovec iov = { buf, bytes };
	struct msghdr msg = { .msg_name = &from.sa,
			      .msg_namelen = sizeof from.un,
			      .msg_iov = &iov,
			      .msg_iovlen = 1 };
	int r = coop_recvmsg(fd, &msg, 0);

	if (r < 0)
		return r;
	if (msg.msg_flags & MSG_TRUNC)
		return -EMSGSIZE;
	if (ret_from) {
		from.len = msg.msg_namelen;
		cp_addr_unmap(&from);
		*ret_from = from;
	}
	return r;
}
