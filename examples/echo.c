/* SPDX-License-Identifier: MIT */
/*
 * An echo server: what a client sends comes back.
 *
 *	build/examples/echo [host:port]      COOP_IO=uring|epoll chooses the engine
 *
 * SIGTERM or SIGINT ends it in order: whatever has been sent to it is still answered, and the exit
 * status is 0.
 */
#include <coop.h>

#include <stdio.h>

static int send_all(int fd, const char *data, size_t bytes)
{
	while (bytes) {
		int n = coop_send(fd, data, bytes, 0);

		if (n < 0)
			return n;
		data += n;
		bytes -= (size_t)n;
	}
	return 0;
}

/* A task for each connection. With a small buffer on its stack an idle one costs about a page. */
static int echo(int fd, void *arg)
{
	char buf[256];
	int n;

	(void)arg;
	while ((n = coop_serve_recv(fd, buf, sizeof buf)) > 0) {
		int r = send_all(fd, buf, (size_t)n);

		if (r < 0)
			return r;
	}
	return n; /* 0: the client has ended, or the server drains */
}

static int app(void *arg)
{
	struct coop_listener *listener;
	struct coop_hostport at;
	struct coop_addr addr;
	char text[COOP_ADDR_TEXT_MAX];
	int r = coop_hostport_split(arg, &at);

	if (r < 0)
		return coop_fail(r, "\"%s\" is no address", (const char *)arg);
	r = coop_tcp_listen(at.host, at.service, NULL, &listener);
	if (r < 0)
		return r;
	r = coop_listener_addr(listener, &addr);
	if (r >= 0) {
		printf("listening at %s\n", coop_addr_text(&addr, text, sizeof text));
		fflush(stdout);
		r = coop_serve(listener, echo, NULL, NULL);
	}
	coop_listener_close(listener);
	return r;
}

int main(int argc, char **argv)
{
	struct coop_run_opts opts = { .signal_exit = COOP_EXIT_ZERO };

	return coop_main_with(app, argc > 1 ? argv[1] : (char *)"127.0.0.1:7000", &opts);
}
