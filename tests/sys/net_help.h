/* SPDX-License-Identifier: MIT */
#pragma once

/* Help for the tests of the network: listeners of their own, connections, what descriptors are. */

#include "../io/io_help.h"

#include "base/os.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* A listener at a free port of 127.0.0.1, and its address. */
static inline struct coop_listener *listen_at(struct coop_addr *ret_addr,
					      const struct coop_listen_opts *opts)
{
	struct coop_listener *l;

	CHECK_INT(coop_tcp_listen("127.0.0.1", "0", opts, &l), ==, 0);
	CHECK_INT(coop_listener_addr(l, ret_addr), ==, 0);
	return l;
}

static inline int connect_to(const struct coop_addr *addr)
{
	int fd = coop_tcp_connect_addr(addr, NULL);

	CHECK_INT(fd, >=, 0);
	return fd;
}

static inline int int_opt(int fd, int level, int name)
{
	int value = -1;
	socklen_t bytes = sizeof value;

	CHECK_INT(WORLD(getsockopt, fd, level, name, &value, &bytes), ==, 0);
	return value;
}

static inline struct coop_listener_stats stats_of(const struct coop_listener *l)
{
	struct coop_listener_stats s;

	CHECK_INT(coop_listener_stats(l, &s), ==, 0);
	return s;
}

/* The nth system call from now on fails (0: none does). */
static inline void fail_call(uint64_t n, int number)
{
	cp_os_faults.call_failed = 0;
	cp_os_faults.call_errno = number;
	cp_os_faults.call_fail_at = n ? cp_os_faults.call_calls + n : 0;
}

static inline void send_text(int fd, const char *text)
{
	CHECK_INT(coop_send(fd, text, strlen(text), 0), ==, strlen(text));
}

static inline void expect_text(int fd, const char *text)
{
	char buf[256] = "";
	size_t want = strlen(text), got = 0;

	while (got < want) {
		int n = coop_recv(fd, buf + got, want - got, 0);

		if (n <= 0)
			FAIL("\"%s\" and then %d instead of \"%s\"", buf, n, text);
		got += (size_t)n;
	}
	CHECK_STR(buf, text);
}

static inline void expect_end(int fd)
{
	char c;

	CHECK_INT(coop_recv(fd, &c, 1, 0), ==, 0);
}

/* Numbers that are no ports, and words of digits and signs, are no services of any host. */
static inline void refuses_wrong_ports(const char *host)
{
	static const char *const wrong[] = { "70000", "65536", "4294967376", "-1", "+80", " 80",
					     "080",   "8 0",   "?" };
	struct coop_addr_list *list = NULL;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		CHECK_INT(coop_resolve(host, wrong[i], NULL, &list), ==, -EINVAL);
		coop_error_clear();
	}
	CHECK(list == NULL);
}
