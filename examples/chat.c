/* SPDX-License-Identifier: MIT */
/*
 * A chat: what one says, line by line, all others hear. Who does not read fast enough misses
 * lines, and is told so; nobody else waits.
 *
 *	build/examples/chat [host:port]      then: socat - TCP:127.0.0.1:7001
 */
#include <coop.h>

#include <stdio.h>
#include <string.h>

struct line {
	int from; /* whose; nobody hears himself */
	char text[200];
};

struct guest {
	int fd;
	uint64_t heard; /* where the talk is, for him */
};

static struct coop_broadcast *talk;

static int say(int fd, const char *text, size_t bytes)
{
	while (bytes) {
		int n = coop_send(fd, text, bytes, 0);

		if (n < 0)
			return n;
		text += n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int hear(void *arg)
{
	struct guest *g = arg;
	struct line line;
	int r;

	while ((r = coop_broadcast_recv(talk, &g->heard, &line)) >= 0) {
		static const char missed[] = "(you have missed something)\n";

		if (r > 0)
			r = say(g->fd, missed, sizeof missed - 1);
		if (r >= 0 && line.from != g->fd)
			r = say(g->fd, line.text, strlen(line.text));
		if (r < 0)
			return r;
	}
	return r == COOP_EOF ? 0 : r;
}

/* Whole lines of what has come go to the others; what is left moves to the front. */
static int pass_on(int fd, char *buf, size_t *used)
{
	char *end;

	while ((end = memchr(buf, '\n', *used)) || *used == sizeof((struct line *)0)->text - 1) {
		size_t bytes = end ? (size_t)(end - buf) + 1 : *used;
		struct line line = { .from = fd };
		int r;

		memcpy(line.text, buf, bytes);
		memmove(buf, buf + bytes, *used - bytes);
		*used -= bytes;
		r = coop_broadcast_send(talk, &line);
		if (r < 0)
			return r;
	}
	return 0;
}

static int speak(int fd)
{
	char buf[sizeof((struct line *)0)->text - 1];
	size_t used = 0;
	int n, r = 0;

	while ((n = coop_serve_recv(fd, buf + used, sizeof buf - used)) > 0 && r >= 0) {
		used += (size_t)n;
		r = pass_on(fd, buf, &used);
	}
	return n < 0 ? n : r;
}

/* A guest is two tasks: one speaks, the other hears. */
static int guest(int fd, void *arg)
{
	struct coop_group_opts opts = { .name = "guest", .cancel_on_join = true };
	struct coop_group both = COOP_GROUP_INIT;
	struct guest g = { .fd = fd, .heard = coop_broadcast_position(talk) };
	int r;

	(void)arg;
	coop_group_open(&both, &opts);
	r = coop_spawn(&both, hear, &g);
	if (r >= 0)
		r = speak(fd);
	return coop_group_join(&both, r);
}

static int app(void *arg)
{
	struct coop_listener *listener;
	struct coop_hostport at;
	struct coop_addr addr;
	char text[COOP_ADDR_TEXT_MAX];
	int r = coop_hostport_split(arg, &at);

	if (r >= 0)
		r = coop_tcp_listen(at.host, at.service, NULL, &listener);
	if (r < 0)
		return r;
	r = coop_broadcast_new(sizeof(struct line), NULL, &talk);
	if (r >= 0)
		r = coop_listener_addr(listener, &addr);
	if (r >= 0) {
		printf("listening at %s\n", coop_addr_text(&addr, text, sizeof text));
		fflush(stdout);
		r = coop_serve(listener, guest, NULL, NULL);
	}
	talk = coop_broadcast_free(talk);
	coop_listener_close(listener);
	return r;
}

int main(int argc, char **argv)
{
	struct coop_run_opts opts = { .signal_exit = COOP_EXIT_ZERO };

	return coop_main_with(app, argc > 1 ? argv[1] : (char *)"127.0.0.1:7001", &opts);
}
