/* SPDX-License-Identifier: MIT */
/* An echo server on coop: a task for each connection. COOP_IO chooses the engine. */
#include "net.h"

#include <coop.h>
#include <coop/io.h>

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

static int serve(void *arg)
{
	int fd = (int)(intptr_t)arg, r;
	char buf[NET_BUFFER];

	do {
		r = coop_recv(fd, buf, sizeof buf, 0);
		if (r > 0 && send_all(fd, buf, r) < 0)
			r = -1;
	} while (r > 0);
	coop_close(fd);
	return r == COOP_ECANCELED ? r : 0;
}

static int accept_all(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int listener = net_listen(0), fd;

	(void)arg;
	coop_group_open(&g, NULL);
	while ((fd = coop_accept(listener, NULL, NULL)) >= 0)
		if (coop_spawn(&g, serve, (void *)(intptr_t)fd) < 0)
			coop_close(fd);
	fprintf(stderr, "echo_coop: accept: %s\n", coop_code_text(fd));
	return coop_group_join(&g, fd);
}

int main(void)
{
	return coop_run(accept_all, NULL, NULL) < 0;
}
