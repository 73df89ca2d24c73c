/* SPDX-License-Identifier: MIT */
/* Connecting to addresses and to names that have several. */
#include "net_help.h"

#include <coop/compose.h>

/* Nobody listens: the error says where. */
IO_TEST(a_refused_connection_says_where)
{
	struct coop_addr addr;
	struct coop_listener *l = listen_at(&addr, NULL);
	struct coop_error_info info;
	char text[COOP_ADDR_TEXT_MAX];

	coop_listener_close(l);
	CHECK_INT(coop_tcp_connect_addr(&addr, NULL), ==, -ECONNREFUSED);
	coop_error_describe(coop_error_peek(-ECONNREFUSED), &info);
	CHECK_HAS(info.message, coop_addr_text(&addr, text, sizeof text));
	coop_error_clear();
	return 0;
}

/* Our own address, and signs of life, where they are asked for. */
IO_TEST(options_of_a_connection)
{
	struct coop_addr addr, mine, peer;
	struct coop_listener *l = listen_at(&addr, NULL);
	struct coop_connect_opts opts = { .bind = &mine, .keepalive_ns = SEC(40) };
	int client, server;

	CHECK_INT(coop_addr_parse("127.0.0.2:0", &mine), ==, 0);
	client = coop_tcp_connect_addr(&addr, &opts);
	server = coop_listener_accept(l, &peer);
	CHECK_INT(ntohl(peer.in.sin_addr.s_addr), ==, 0x7f000002);
	CHECK_INT(int_opt(client, SOL_SOCKET, SO_KEEPALIVE), ==, 1);
	CHECK_INT(int_opt(client, IPPROTO_TCP, TCP_KEEPIDLE), ==, 40);
	CHECK_INT(int_opt(client, IPPROTO_TCP, TCP_KEEPINTVL), ==, 10);
	CHECK_INT(int_opt(client, IPPROTO_TCP, TCP_KEEPCNT), ==, 4);
	close_both(client, server);
	client = connect_to(&addr);
	CHECK_INT(int_opt(client, SOL_SOCKET, SO_KEEPALIVE), ==, 0);
	coop_close(client);
	coop_listener_close(l);
	return 0;
}

/* A port that nobody listens at can be our own: that is no connection. */
IO_TEST(nobody_is_connected_to_himself)
{
	struct coop_addr addr;
	struct coop_listener *l = listen_at(&addr, NULL);
	struct coop_connect_opts opts = { .bind = &addr };

	coop_listener_close(l);
	CHECK_INT(coop_tcp_connect_addr(&addr, &opts), ==, -ECONNREFUSED);
	coop_error_clear();
	return 0;
}

/* Options that nobody knows, and addresses that are none. */
IO_TEST(bad_arguments_are_refused)
{
	struct coop_connect_opts unknown = { ._reserved = { 1 } }, negative = { .stagger_ns = -1 };
	struct coop_addr addr, none = { .len = 0 };

	CHECK_INT(coop_addr_parse("127.0.0.1:9", &addr), ==, 0);
	CHECK_INT(coop_tcp_connect_addr(&addr, &unknown), ==, -EINVAL);
	CHECK_INT(coop_tcp_connect_addr(&addr, &negative), ==, -EINVAL);
	CHECK_INT(coop_tcp_connect_addr(&none, NULL), ==, -EINVAL);
	CHECK_INT(coop_tcp_connect("127.0.0.1", "9", &unknown), ==, -EINVAL);
	return 0;
}

/* ---- a listener that does not answer: its queue is full, so the kernel drops what comes */

struct mute {
	struct coop_listener *l;
	struct coop_addr addr;
	int clients[2];
};

static void mute_open(struct mute *m, const char *host, const char *port)
{
	struct coop_listen_opts opts = { .backlog = 1 };

	CHECK_INT(coop_tcp_listen(host, port, &opts, &m->l), ==, 0);
	CHECK_INT(coop_listener_addr(m->l, &m->addr), ==, 0);
	for (int i = 0; i < 2; i++)
		m->clients[i] = connect_to(&m->addr);
}

static void mute_close(struct mute *m)
{
	close_both(m->clients[0], m->clients[1]);
	coop_listener_close(m->l);
}

static int connect_addr(void *arg)
{
	return coop_tcp_connect_addr(arg, NULL);
}

/* A connect that waits can be cancelled, and nothing is left of it (G15). */
IO_TEST(rel_G15_a_connect_ends_at_its_deadline)
{
	struct mute m;

	mute_open(&m, "127.0.0.1", "0");
	CHECK_INT(coop_fail_after(MS(30), connect_addr, &m.addr), ==, COOP_ETIMEDOUT);
	coop_error_clear();
	mute_close(&m);
	PROVES(rel_G15);
	return 0;
}

static char port_text[8];

/* A port that is free in both families; another program may be faster to take it in one. */
static bool open_both(struct mute *six, struct coop_listener **four)
{
	struct coop_listen_opts opts = { .v6_only = true, .backlog = 1 };
	struct coop_addr addr;
	int r;

	do {
		if (coop_tcp_listen("::1", "0", &opts, &six->l) < 0)
			return false;
		CHECK_INT(coop_listener_addr(six->l, &six->addr), ==, 0);
		snprintf(port_text, sizeof port_text, "%d", coop_addr_port(&six->addr));
		r = coop_tcp_listen("127.0.0.1", port_text, NULL, four);
		if (r == -EADDRINUSE)
			coop_listener_close(six->l);
	} while (r == -EADDRINUSE);
	CHECK_INT(r, ==, 0);
	coop_error_clear();
	for (int i = 0; i < 2; i++)
		six->clients[i] = connect_to(&six->addr);
	CHECK_INT(coop_listener_addr(*four, &addr), ==, 0);
	return true;
}

/* IPv6 says nothing: IPv4 wins after the stagger, and the loser is closed. */
IO_TEST(the_other_family_wins)
{
	struct coop_connect_opts opts = { .stagger_ns = MS(10) };
	struct coop_listener *four;
	struct coop_addr peer;
	struct mute six;
	int client, server;

	if (!open_both(&six, &four))
		SKIP("no IPv6 here");
	client = coop_tcp_connect(NULL, port_text, &opts);
	CHECK_INT(client, >=, 0);
	CHECK_INT(coop_peer_addr(client, &peer), ==, 0);
	CHECK_INT(peer.sa.sa_family, ==, AF_INET);
	server = coop_listener_accept(four, NULL);
	send_text(client, "hello");
	expect_text(server, "hello");
	close_both(client, server);
	coop_listener_close(four);
	mute_close(&six);
	return 0;
}

static int connect_here(void *arg)
{
	struct coop_connect_opts opts = { .stagger_ns = COOP_NEVER };

	return coop_tcp_connect(NULL, arg, &opts);
}

/* The race is cancelled: no attempt is left. */
IO_TEST(a_race_is_cancelled)
{
	struct coop_listener *four;
	struct mute six;

	if (!open_both(&six, &four))
		SKIP("no IPv6 here");
	CHECK_INT(coop_move_on_after(MS(20), connect_here, port_text), ==, 0);
	CHECK_INT(stats_of(four).accepted, ==, 0);
	coop_listener_close(four);
	mute_close(&six);
	return 0;
}

/* An address that refuses does not hold up the next one. */
IO_TEST(a_refusal_begins_the_next_attempt)
{
	struct coop_connect_opts opts = { .stagger_ns = COOP_NEVER };
	struct coop_addr addr;
	struct coop_listener *l = listen_at(&addr, NULL); /* ::1 refuses */
	int client;

	snprintf(port_text, sizeof port_text, "%d", coop_addr_port(&addr));
	client = coop_tcp_connect("", port_text, &opts);
	CHECK_INT(client, >=, 0);
	coop_close(client);
	coop_listener_close(l);
	return 0;
}

/* All fail: the error has each of them. */
IO_TEST(every_failure_is_told)
{
	struct coop_addr addr;
	struct coop_listener *l = listen_at(&addr, NULL);
	struct coop_error *err;
	struct coop_error_info info;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	coop_listener_close(l);
	snprintf(port_text, sizeof port_text, "%d", coop_addr_port(&addr));
	CHECK_INT(coop_tcp_connect(NULL, port_text, NULL), ==, -ECONNREFUSED);
	err = coop_error_take(-ECONNREFUSED);
	coop_error_describe(err, &info);
	CHECK_HAS(info.message, "which has 2 addresses");
	CHECK_INT(coop_error_print(out, err, 0), ==, 0);
	fclose(out);
	CHECK_HAS(text, "connecting to [::1]:");
	CHECK_HAS(text, "connecting to 127.0.0.1:");
	free(text);
	coop_error_unref(err);
	return 0;
}

#define STEPS 4 /* socket, setsockopt, then what the engine looks at */

static int fail_steps(void *arg)
{
	struct coop_addr addr;
	struct coop_listener *l = listen_at(&addr, NULL);

	(void)arg;
	for (uint64_t n = 1; n <= STEPS; n++) {
		fail_call(n, EACCES);
		CHECK_INT(coop_tcp_connect_addr(&addr, NULL), ==, -EACCES);
		CHECK_INT(cp_os_faults.call_failed, ==, 1);
	}
	fail_call(0, 0);
	coop_error_clear();
	coop_listener_close(l);
	return 0;
}

/* Whatever step of connecting fails, nothing is left open (G07; the harness counts). */
TEST(rel_G07_failed_steps_leave_nothing)
{
	io_run(fail_steps, COOP_ENGINE_EPOLL);
	PROVES(rel_G07);
}
