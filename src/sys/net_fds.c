/* SPDX-License-Identifier: MIT */
/*
 * What Unix sockets can do beside bytes: pairs, who the peer is, passing descriptors.
 *
 * Whatever descriptors a peer sends, none is left open that the caller does not know of, and none
 * is lost unheard of. There is room for as many as the kernel ever delivers at once, beside what
 * else a socket option has it tell. What the caller has no room for is closed; and if the kernel
 * had to drop some, since the process may have no more, all are closed and the call fails.
 */
#include "sys/net.h"

#include <coop/io.h>

#include <errno.h>
#include <string.h>

/* Credentials, a time, a security label: they come first, and would take the descriptors' room. */
#define OTHERS_BYTES 512

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(COOP_FDS_MAX * sizeof(int)) + OTHERS_BYTES];
};

int coop_socket_pair(int type, int ret_fds[2])
{
	struct cp_world *world = cp_world_of(cp_rt);

	return world->ops->socketpair(world, AF_UNIX, type, 0, ret_fds);
}

int coop_peer_creds(int fd, struct coop_creds *ret_creds)
{
	struct cp_world *world = cp_world_of(cp_rt);
	struct ucred cred;
	socklen_t bytes = sizeof cred;
	int family, r;

	bytes = sizeof family;
	r = world->ops->getsockopt(world, fd, SOL_SOCKET, SO_DOMAIN, &family, &bytes);
	if (r < 0)
		return r;
	if (family != AF_UNIX) /* the kernel would answer, with nobody */
		return -EAFNOSUPPORT;
	bytes = sizeof cred;
	r = world->ops->getsockopt(world, fd, SOL_SOCKET, SO_PEERCRED, &cred, &bytes);
	if (r < 0)
		return r;
	if (cred.pid == 0 && cred.uid == (uid_t)-1)
		return -ENOTCONN;
	*ret_creds = (struct coop_creds){ .pid = cred.pid, .uid = cred.uid, .gid = cred.gid };
	return 0;
}

int coop_send_fds(int fd, const void *buf, size_t bytes, const int *fds, size_t count)
{
	union control control = { .bytes = { 0 } };
	struct iovec iov = { (void *)(uintptr_t)buf, bytes };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (bytes == 0 || count > COOP_FDS_MAX || (count && !fds))
		return cp_refuse(-EINVAL);
	if (count) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, count * sizeof(int));
	}
	return coop_sendmsg(fd, &msg, 0);
}

/* Keeps what there is room for, closes the rest; how many there were. */
static size_t take(struct cp_world *world, const struct cmsghdr *c, size_t had, size_t fds_max,
		   int *ret_fds)
{
	size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < count; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
		if (had + i < fds_max)
			ret_fds[had + i] = fd;
		else
			world->ops->close(world, fd);
	}
	return count;
}

static size_t take_all(struct cp_world *world, struct msghdr *msg, size_t fds_max, int *ret_fds)
{
	size_t count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			count += take(world, c, count, fds_max, ret_fds);
	return count;
}

int coop_recv_fds(int fd, void *buf, size_t bytes, size_t fds_max, int *ret_fds, size_t *ret_count)
{
	struct cp_world *world = cp_world_of(cp_rt);
	union control control;
	struct iovec iov = { buf, bytes };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof control };
	int r;

	if (bytes == 0 || (fds_max && !ret_fds))
		return cp_refuse(-EINVAL);
	r = coop_recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	if (r < 0)
		return r;
	if (msg.msg_flags & MSG_CTRUNC) { /* some could not be had: how many is not known */
		(void)take_all(world, &msg, 0, NULL);
		return -EMFILE;
	}
	*ret_count = take_all(world, &msg, fds_max, ret_fds);
	return r;
}
