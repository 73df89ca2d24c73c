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
#include "fds.h"

#include "io/world.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

/* REAL_IO_TEST: one about files, modes or numbers that only the system has. */
#define REAL_IO_TEST(name) \
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

#define SIM_IO_TEST(name) \
	static int task_##name(void *arg); \
	TEST(name##_sim) \
	{ \
		io_run(task_##name, COOP_ENGINE_SIM); \
	} \
	static int task_##name(__attribute__((unused)) void *arg)

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
	TEST(name##_sim) \
	{ \
		io_run(task_##name, COOP_ENGINE_SIM); \
	} \
	static int task_##name(__attribute__((unused)) void *arg)

static inline void io_run(coop_fn *fn, enum coop_engine engine)
{
	struct coop_run_opts opts = { .engine = engine };
	int r;

	if (engine == COOP_ENGINE_SIM)
		opts.clock = COOP_CLOCK_VIRTUAL;
	unsetenv("COOP_IO"); /* it would have the last word */
	begin_ns = coop_now();
	r = coop_run(fn, NULL, &opts);
	if (r == -ENOTSUP)
		SKIP("this machine has no such engine");
	CHECK_INT(r, ==, 0);
}

/* ---- the calls that need no waiting, by the engine's world */

#define WORLD(call, ...) \
	({ \
		struct cp_world *world_ = cp_world_of(cp_rt); \
		world_->ops->call(world_, __VA_ARGS__); \
	})

/* Simulated descriptors have no mode: they are all non-blocking. */
static inline void make_blocking(int fd)
{
	if (cp_world_of(cp_rt) == &cp_world_system)
		CHECK_INT(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK), ==, 0);
}

static inline void close_now(int fd)
{
	struct cp_world *world = cp_world_of(cp_rt);

	world->ops->close(world, fd);
}

/* Send and receive as somebody else would, a library say, behind the engine's back. */
static inline int send_elsewhere(int fd, const void *buf, size_t bytes)
{
	if (cp_world_of(cp_rt) == &cp_world_system)
		return (int)send(fd, buf, bytes, MSG_DONTWAIT);
	return coop_send(fd, buf, bytes, MSG_DONTWAIT);
}

static inline int recv_elsewhere(int fd, void *buf, size_t bytes)
{
	if (cp_world_of(cp_rt) == &cp_world_system)
		return (int)recv(fd, buf, bytes, MSG_DONTWAIT);
	return coop_recv(fd, buf, bytes, MSG_DONTWAIT);
}

static inline int new_socket(int domain, int type)
{
	int fd = WORLD(socket, domain, type, 0);

	CHECK_INT(fd, >=, 0);
	make_blocking(fd);
	return fd;
}

/* Two ends of a stream, in blocking mode. */
static inline void pair_of(int type, int *ret_a, int *ret_b)
{
	int fds[2];

	CHECK_INT(WORLD(socketpair, AF_UNIX, type, 0, fds), ==, 0);
	make_blocking(fds[0]);
	make_blocking(fds[1]);
	*ret_a = fds[0];
	*ret_b = fds[1];
}

static inline void pair(int *ret_a, int *ret_b)
{
	pair_of(SOCK_STREAM, ret_a, ret_b);
}

/* A pipe in blocking mode. */
static inline void new_pipe(int ret_fds[2])
{
	CHECK_INT(WORLD(pipe, ret_fds), ==, 0);
	make_blocking(ret_fds[0]);
	make_blocking(ret_fds[1]);
}

/* A listener on a port of its own of the loopback device. */
static inline int listener(struct sockaddr_in *ret_addr)
{
	socklen_t len = sizeof *ret_addr;
	int fd = new_socket(AF_INET, SOCK_STREAM);

	*ret_addr = (struct sockaddr_in){ .sin_family = AF_INET };
	ret_addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK_INT(WORLD(bind, fd, (struct sockaddr *)ret_addr, len), ==, 0);
	CHECK_INT(WORLD(listen, fd, 128), ==, 0);
	CHECK_INT(WORLD(getsockname, fd, (struct sockaddr *)ret_addr, &len), ==, 0);
	return fd;
}

/* Both ends of a connection over the loopback device. */
static inline void tcp_pair(int *ret_a, int *ret_b)
{
	struct sockaddr_in addr;
	int l = listener(&addr);

	*ret_a = new_socket(AF_INET, SOCK_STREAM);
	CHECK_INT(coop_connect(*ret_a, (struct sockaddr *)&addr, sizeof addr), ==, 0);
	*ret_b = coop_accept(l, NULL, NULL);
	CHECK_INT(*ret_b, >=, 0);
	CHECK_INT(coop_close(l), ==, 0);
}

static inline void close_both(int a, int b)
{
	CHECK_INT(coop_close(a), ==, 0);
	CHECK_INT(coop_close(b), ==, 0);
}
