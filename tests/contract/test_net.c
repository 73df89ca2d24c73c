/* SPDX-License-Identifier: MIT */
/* What net.h promises, call by call. */
#include "../core/core_help.h"

struct stage {
	struct coop_addr addr;
	struct coop_hostport parts;
	int pair[2];
	char text[COOP_ADDR_TEXT_MAX];
};

#include "contract.h"

static void stage_open(struct stage *s, bool in_task)
{
	(void)in_task;
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s->pair), ==,
		  0);
	CHECK_INT(coop_addr_parse("127.0.0.1:80", &s->addr), ==, 0);
}

static void stage_close(struct stage *s, bool in_task)
{
	(void)in_task;
	close(s->pair[0]);
	close(s->pair[1]);
	coop_error_clear();
}

/* ---- addresses */

ROW(coop_addr_parse, NEVER, 0, 0)
{
	return coop_addr_parse("[::1]:80", &s->addr);
}

ROW_AS(coop_addr_parse, no_address, NEVER, -EINVAL, -EINVAL)
{
	return coop_addr_parse("nowhere", &s->addr);
}

ROW(coop_addr_ip, NEVER, 0, 0)
{
	return coop_addr_ip("::1", 80, &s->addr);
}

ROW(coop_addr_unix, NEVER, 0, 0)
{
	return coop_addr_unix("x", 1, &s->addr);
}

ROW(coop_addr_text, NEVER, '1', '1')
{
	return coop_addr_text(&s->addr, s->text, sizeof s->text)[0];
}

ROW(coop_addr_compare, NEVER, 0, 0)
{
	return coop_addr_compare(&s->addr, &s->addr);
}

ROW(coop_addr_port, NEVER, 80, 80)
{
	return coop_addr_port(&s->addr);
}

ROW(coop_hostport_split, NEVER, 0, 0)
{
	return coop_hostport_split("a:b", &s->parts);
}

ROW(coop_socket_addr, NEVER, 0, 0)
{
	return coop_socket_addr(s->pair[0], &s->addr);
}

ROW_AS(coop_socket_addr, closed, NEVER, -EBADF, -EBADF)
{
	return coop_socket_addr(-1, &s->addr);
}

ROW(coop_peer_addr, NEVER, 0, 0)
{
	return coop_peer_addr(s->pair[0], &s->addr);
}
