/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Help for the tests of descriptors: each IO_TEST is run on every engine.
 *
 *	IO_TEST(recv_waits)
 *	{
 *		int a, b;
 *		pair(&a, &b);
 *		...
 *		return 0;
 *	}
 */

#include "../core/core_help.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define IO_TEST(name) \
	static int task_##name(void *arg); \
	TEST(name##_epoll) \
	{ \
		io_run(task_##name, COOP_ENGINE_EPOLL); \
	} \
	TEST(name##_uring) \
	{ \
		io_run(task_##name, COOP_ENGINE_URING); \
	} \
	static int task_##name(__attribute__((unused)) void *arg)

static inline void io_run(coop_fn *fn, enum coop_engine engine)
{
	struct coop_run_opts opts = { .engine = engine };
	int r;

	begin_ns = coop_now();
	r = coop_run(fn, NULL, &opts);
	if (r == -ENOTSUP)
		SKIP("this machine has no such engine");
	CHECK_INT(r, ==, 0);
}

/* Two ends of a stream, in blocking mode. */
static inline void pair(int *ret_a, int *ret_b)
{
	int fds[2];

	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
	*ret_a = fds[0];
	*ret_b = fds[1];
}

/* A listener on a port of its own of the loopback device. */
static inline int listener(struct sockaddr_in *ret_addr)
{
	socklen_t len = sizeof *ret_addr;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret_addr = (struct sockaddr_in){ .sin_family = AF_INET };
	ret_addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK_INT(bind(fd, (struct sockaddr *)ret_addr, len), ==, 0);
	CHECK_INT(listen(fd, 128), ==, 0);
	CHECK_INT(getsockname(fd, (struct sockaddr *)ret_addr, &len), ==, 0);
	return fd;
}

/* Both ends of a connection over the loopback device. */
static inline void tcp_pair(int *ret_a, int *ret_b)
{
	struct sockaddr_in addr;
	int l = listener(&addr);

	*ret_a = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_INT(connect(*ret_a, (struct sockaddr *)&addr, sizeof addr), ==, 0);
	*ret_b = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	CHECK_INT(*ret_b, >=, 0);
	close(l);
}

static inline void close_both(int a, int b)
{
	CHECK_INT(coop_close(a), ==, 0);
	CHECK_INT(coop_close(b), ==, 0);
}
