/* SPDX-License-Identifier: MIT */
/* What the load generators and the echo servers in C have in common. */
#ifndef NET_H
#define NET_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NET_MESSAGE 64 /* bytes of a request and of its answer */
#define NET_BUFFER 512
#define NET_BACKLOG 4096

/* Ends the program unless r >= 0, with errno. */
static inline int net_must(int r, const char *what)
{
	if (r < 0) {
		perror(what);
		exit(1);
	}
	return r;
}

/* As many descriptors as we may have; returns that number. */
static inline long net_raise_files(void)
{
	struct rlimit l;

	net_must(getrlimit(RLIMIT_NOFILE, &l), "getrlimit");
	l.rlim_cur = l.rlim_max;
	net_must(setrlimit(RLIMIT_NOFILE, &l), "setrlimit");
	return (long)l.rlim_cur;
}

static inline struct sockaddr_in net_loopback(int port)
{
	struct sockaddr_in at;

	memset(&at, 0, sizeof at);
	at.sin_family = AF_INET;
	at.sin_port = htons((uint16_t)port);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return at;
}

/* A listener on a port that is free; the port is told on standard output, as the runner expects. */
static inline int net_listen(int flags)
{
	struct sockaddr_in at = net_loopback(0);
	socklen_t len = sizeof at;
	int fd;

	net_raise_files();
	fd = net_must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), "socket");
	net_must(bind(fd, (struct sockaddr *)&at, sizeof at), "bind");
	net_must(listen(fd, NET_BACKLOG), "listen");
	net_must(getsockname(fd, (struct sockaddr *)&at, &len), "getsockname");
	printf("%d\n", ntohs(at.sin_port));
	fflush(stdout);
	return fd;
}

/* A connection. It is reset when it is closed, so that no port is kept in TIME_WAIT. */
static inline int net_connect(int port)
{
	struct sockaddr_in to = net_loopback(port);
	struct linger reset = { 1, 0 };
	int fd = net_must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");

	net_must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), "SO_LINGER");
	net_must(connect(fd, (struct sockaddr *)&to, sizeof to), "connect");
	return fd;
}

static inline int64_t net_clock_ns(clockid_t clock)
{
	struct timespec t;

	net_must(clock_gettime(clock, &t), "clock_gettime");
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t net_now_ns(void)
{
	return net_clock_ns(CLOCK_MONOTONIC);
}

/* What all threads of a process have used of the processors, in the kernel too. */
static inline int64_t net_cpu_ns(pid_t pid)
{
	clockid_t clock;
	int r = clock_getcpuclockid(pid, &clock);

	if (r != 0) {
		errno = r;
		net_must(-1, "clock_getcpuclockid");
	}
	return net_clock_ns(clock);
}

#endif
