/* SPDX-License-Identifier: MIT */
/*
 * An echo server on coop, as one writes it: coop_serve, a task for each connection. COOP_IO chooses
 * the engine.
 *
 * echo_coop plain: the same on the calls of io.h alone, to see what coop_serve costs.
 */
#include "net.h"

#include <coop.h>
#include <coop/io.h>
#include <coop/net.h>

static int send_all(int fd, const char *buf, int bytes)
{
	int sent = 0;

	while (sent < bytes) {
		int r = coop_send(fd, buf + sent, (size_t)(bytes - sent), 0);

		if (r < 0)
			return r;
		sent += r;
	}
	return 0;
}

/* What a connection that was reset says is no failure of the server's. */
static int ended(int r)
{
	return r == -ECONNRESET || r == -EPIPE ? 0 : r;
}

static int echo(int fd, void *arg)
{
	char buf[NET_BUFFER];
	int r;

	(void)arg;
	while ((r = coop_serve_recv(fd, buf, sizeof buf)) > 0) {
		r = send_all(fd, buf, r);
		if (r < 0)
			break;
	}
	return ended(r);
}

static int serve(void *arg)
{
	struct coop_listener *listener;
	int r;

	(void)arg;
	r = coop_listener_adopt(net_listen(0), NULL, &listener);
	return r < 0 ? r : coop_serve(listener, echo, NULL, NULL);
}

static int plain_echo(void *arg)
{
	int fd = (int)(intptr_t)arg, r;
	char buf[NET_BUFFER];

	while ((r = coop_recv(fd, buf, sizeof buf, 0)) > 0) {
		r = send_all(fd, buf, r);
		if (r < 0)
			break;
	}
	coop_close(fd);
	return ended(r);
}

static int accept_all(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int listener = net_listen(0), fd;

	(void)arg;
	coop_group_open(&g, NULL);
	while ((fd = coop_accept(listener, NULL, NULL)) >= 0)
		if (coop_spawn(&g, plain_echo, (void *)(intptr_t)fd) < 0)
			coop_close(fd);
	return coop_group_join(&g, fd);
}

int main(int argc, char **argv)
{
	bool plain = argc == 2 && strcmp(argv[1], "plain") == 0;
	int r = coop_run(plain ? accept_all : serve, NULL, NULL);

	if (r < 0)
		fprintf(stderr, "echo_coop: %s\n", coop_code_text(r));
	return r < 0;
}
