/* SPDX-License-Identifier: MIT */
/*
 * A TCP proxy: each connection gets one of its own to the target, and bytes go both ways without
 * leaving the kernel. Where one side has ended, the other one may still speak. SIGTERM stops it in
 * order: connections have the grace to come to their end.
 *
 *	proxy [HOST:]PORT TARGET:PORT
 */
#include <coop.h>

#include <stdio.h>
#include <string.h>

struct proxy {
	struct coop_hostport listen, target;
};

/* The server closes the client's descriptor; the target's is ours. */
static int relay(int client_fd, struct coop_stream *target)
{
	struct coop_stream client;
	int r = coop_stream_from_fd(client_fd, &client);

	return r < 0 ? r : coop_relay(&client, target, NULL);
}

/* A stream that was cut must not look like one that has ended: it is closed with a reset then. */
static void reset_when_closed(int fd)
{
	const struct linger none = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

static int connection(int fd, void *arg)
{
	struct coop_stream target;
	struct proxy *p = arg;
	int r, target_fd = coop_tcp_connect(p->target.host, p->target.service, NULL);

	if (target_fd < 0)
		return coop_wrap(target_fd, target_fd, "connecting to %s", p->target.host);
	r = coop_stream_from_fd(target_fd, &target);
	if (r < 0) {
		coop_close(target_fd);
		return r;
	}
	r = relay(fd, &target);
	if (r < 0)
		reset_when_closed(fd);
	coop_stream_close(&target);
	return r;
}

static void tell_address(const struct coop_listener *listener)
{
	char text[COOP_ADDR_TEXT_MAX];
	struct coop_addr addr;

	if (coop_listener_addr(listener, &addr) >= 0)
		printf("listening at %s\n", coop_addr_text(&addr, text, sizeof text));
	fflush(stdout);
}

static int app(void *arg)
{
	struct proxy *p = arg;
	const char *host = p->listen.host[0] ? p->listen.host : NULL;
	struct coop_listener *listener;
	int r = coop_tcp_listen(host, p->listen.service, NULL, &listener);

	if (r < 0)
		return coop_wrap(r, r, "listening at %s", p->listen.service);
	tell_address(listener);
	r = coop_serve(listener, connection, p, NULL);
	coop_listener_close(listener);
	return r;
}

/* A port alone is a service without a host. */
static int split(const char *text, struct coop_hostport *parts)
{
	char port[80];

	if (text[strspn(text, "0123456789")])
		return coop_hostport_split(text, parts);
	snprintf(port, sizeof port, ":%s", text);
	return coop_hostport_split(port, parts);
}

int main(int argc, char **argv)
{
	struct proxy p;

	if (argc != 3 || split(argv[1], &p.listen) < 0 || split(argv[2], &p.target) < 0) {
		fputs("usage: proxy [HOST:]PORT TARGET:PORT\n", stderr);
		return 2;
	}
	return coop_main(app, &p);
}
