/* SPDX-License-Identifier: MIT */
/* What net.h promises, call by call. */
#include "../core/core_help.h"

struct stage {
	struct coop_addr addr;
	struct coop_hostport parts;
	int pair[2];
	struct coop_listener *l; /* at a free port of 127.0.0.1, with a connection in its queue */
	struct coop_listener *other;
	struct coop_addr at; /* its address */
	int client;
	int got; /* a descriptor that a call has returned, plus 1 */
	struct coop_addr_list *list;
	struct coop_listener_stats stats;
	char text[COOP_ADDR_TEXT_MAX];
};

#include "contract.h"

static void stage_open(struct stage *s, bool in_task)
{
	(void)in_task;
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s->pair), ==,
		  0);
	CHECK_INT(coop_addr_parse("127.0.0.1:80", &s->addr), ==, 0);
	CHECK_INT(coop_addr_parse("127.0.0.1:0", &s->at), ==, 0);
	CHECK_INT(coop_tcp_listen_addr(&s->at, NULL, &s->l), ==, 0);
	CHECK_INT(coop_listener_addr(s->l, &s->at), ==, 0);
	s->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_INT(connect(s->client, &s->at.sa, s->at.len), ==, 0);
}

static void stage_close(struct stage *s, bool in_task)
{
	close(s->pair[0]);
	close(s->pair[1]);
	coop_listener_close(s->l);
	coop_listener_close(s->other);
	coop_addr_list_free(s->list);
	close(s->client);
	if (s->got > 0 && in_task)
		coop_close(s->got - 1);
	coop_error_clear();
}

/* A descriptor is kept for the end, and is 1 as a result. */
static int got(struct stage *s, int r)
{
	if (r < 0)
		return r;
	s->got = r + 1;
	return 1;
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

/* ---- names, connecting */

ROW(coop_resolve, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_resolve("127.0.0.1", "80", NULL, &s->list);
}

ROW(coop_addr_list_free, NEVER, 1, 1)
{
	(void)s;
	return coop_addr_list_free(NULL) == NULL;
}

/* It looks up first, and then connects: two checkpoints. */
ROW(coop_tcp_connect, CUSTOM, 1, COOP_ENOTASK)
{
	char port[8];

	snprintf(port, sizeof port, "%d", coop_addr_port(&s->at));
	return got(s, coop_tcp_connect("127.0.0.1", port, NULL));
}

/* Cancelled, it has done nothing, and looks at nothing. */
TASK_TEST(cancelled_coop_tcp_connect)
{
	struct coop_checkpoint_mark mark = coop_test_checkpoints();
	struct coop_scope scope = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&scope, NULL);
	coop_scope_cancel(&scope, "by the contract");
	r = coop_tcp_connect("127.0.0.1", "9", NULL);
	CHECK_INT(r, ==, COOP_ECANCELED);
	coop_assert_checkpoint(mark);
	return coop_scope_close(&scope, r);
}

ROW(coop_tcp_connect_addr, ALWAYS, 1, COOP_ENOTASK)
{
	return got(s, coop_tcp_connect_addr(&s->at, NULL));
}

ROW(coop_unix_connect, ALWAYS, -ECONNREFUSED, COOP_ENOTASK)
{
	(void)s;
	return coop_unix_connect("@coop-contract: nobody listens here");
}

/* ---- listening */

ROW(coop_tcp_listen, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_tcp_listen("127.0.0.1", "0", NULL, &s->other);
}

ROW(coop_tcp_listen_addr, NEVER, -EADDRINUSE, -EADDRINUSE)
{
	return coop_tcp_listen_addr(&s->at, NULL, &s->other);
}

ROW(coop_unix_listen, NEVER, 0, 0)
{
	return coop_unix_listen("@coop-contract", NULL, &s->other);
}

ROW(coop_listener_adopt, NEVER, -EINVAL, -EINVAL)
{
	return coop_listener_adopt(s->pair[0], NULL, &s->other);
}

ROW(coop_listen_fds, NEVER, 0, 0)
{
	return coop_listen_fds();
}

ROW(coop_listener_addr, NEVER, 0, 0)
{
	return coop_listener_addr(s->l, &s->addr);
}

ROW(coop_listener_fd, NEVER, 1, 1)
{
	return coop_listener_fd(s->l) >= 0;
}

ROW(coop_listener_stats, NEVER, 0, 0)
{
	return coop_listener_stats(s->l, &s->stats);
}

ROW(coop_listener_accept, ALWAYS, 1, COOP_ENOTASK)
{
	return got(s, coop_listener_accept(s->l, NULL));
}

ROW(coop_listener_close, CUSTOM, 1, 1)
{
	s->l = coop_listener_close(s->l);
	return s->l == NULL;
}

/* ---- serving */

static int handle(int fd, void *arg)
{
	(void)fd;
	(void)arg;
	return 0;
}

static int drain_later(void *arg)
{
	return coop_listener_drain(arg);
}

/* It returns when it has drained; under a cancel that has come before, at once. */
ROW(coop_serve, CUSTOM, 0, COOP_ENOTASK)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	if (!coop_self())
		return coop_serve(s->l, handle, NULL, NULL);
	coop_group_open(&g, NULL);
	r = coop_spawn(&g, drain_later, s->l);
	if (r >= 0)
		r = coop_serve(s->l, handle, NULL, NULL);
	return coop_group_join(&g, r);
}

ROW(coop_listener_drain, NEVER, 1, 1)
{
	return coop_listener_drain(s->l);
}

/* No handler's task; as a checkpoint each goes through both halves all the same. */
ROW(coop_serve_recv, ALWAYS, COOP_EWRONGTASK, COOP_ENOTASK)
{
	return coop_serve_recv(s->pair[0], s->text, sizeof s->text);
}

ROW(coop_serve_next, ALWAYS, COOP_EWRONGTASK, COOP_ENOTASK)
{
	return coop_serve_next(s->pair[0]);
}

ROW(coop_serve_take, NEVER, COOP_EWRONGTASK, COOP_ENOTASK)
{
	return coop_serve_take();
}

ROW(coop_serve_draining, NEVER, 0, 0)
{
	return coop_serve_draining();
}

/* ---- datagrams, descriptors */

ROW(coop_udp_open, NEVER, 1, 1)
{
	int fd = coop_udp_open(NULL, NULL);

	return fd < 0 ? fd : (close(fd), 1);
}

ROW(coop_udp_connect, NEVER, -EBADF, -EBADF)
{
	(void)s;
	return coop_udp_connect(-1, &s->addr);
}

ROW(coop_udp_send, ALWAYS, 1, COOP_ENOTASK)
{
	return coop_udp_send(s->pair[0], "x", 1, NULL);
}

ROW(coop_udp_recv, ALWAYS, 1, COOP_ENOTASK)
{
	char c;

	if (write(s->pair[1], "x", 1) != 1)
		return -EIO;
	return coop_udp_recv(s->pair[0], &c, 1, NULL);
}

ROW(coop_socket_pair, NEVER, 0, 0)
{
	int fds[2];
	int r = coop_socket_pair(SOCK_STREAM, fds);

	if (r >= 0) {
		close(fds[0]);
		close(fds[1]);
	}
	return r;
}

ROW(coop_peer_creds, NEVER, 0, 0)
{
	struct coop_creds creds;

	return coop_peer_creds(s->pair[0], &creds);
}

ROW(coop_send_fds, ALWAYS, 1, COOP_ENOTASK)
{
	return coop_send_fds(s->pair[0], "x", 1, s->pair, 1);
}

ROW(coop_recv_fds, ALWAYS, 1, COOP_ENOTASK)
{
	size_t count;
	char c;

	if (write(s->pair[1], "x", 1) != 1)
		return -EIO;
	return coop_recv_fds(s->pair[0], &c, 1, 0, NULL, &count);
}

/* What is refused on its arguments is a checkpoint all the same. */
ROW_AS(coop_send_fds, nothing, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_send_fds(s->pair[0], "", 0, NULL, 0);
}

ROW_AS(coop_recv_fds, nothing, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	size_t count;

	return coop_recv_fds(s->pair[0], s->text, 0, 0, NULL, &count);
}

ROW_AS(coop_resolve, bad_options, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	static const struct coop_resolve_opts wrong = { .family = 12345 };

	return coop_resolve("127.0.0.1", "80", &wrong, &s->list);
}

ROW_AS(coop_tcp_connect_addr, nowhere, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_tcp_connect_addr(NULL, NULL);
}

ROW_AS(coop_unix_connect, nowhere, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_unix_connect("");
}

ROW_AS(coop_tcp_listen, bad_options, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	static const struct coop_listen_opts wrong = { .backlog = -1 };

	return coop_tcp_listen("127.0.0.1", "0", &wrong, &s->other);
}
