/* SPDX-License-Identifier: MIT */
/* An echo server on State Threads: a thread of it for each connection. */
#include "net.h"

#include <st.h>

#define STACK (16 * 1024)

static void *serve(void *arg)
{
	st_netfd_t fd = arg;
	char buf[NET_BUFFER];
	ssize_t n;

	do
		n = st_read(fd, buf, sizeof buf, ST_UTIME_NO_TIMEOUT);
	while (n > 0 && st_write(fd, buf, (size_t)n, ST_UTIME_NO_TIMEOUT) == n);
	st_netfd_close(fd);
	return NULL;
}

int main(void)
{
	st_netfd_t listener, fd;

	net_must(st_set_eventsys(ST_EVENTSYS_ALT), "st_set_eventsys");
	net_raise_files(); /* st_init sizes its tables by the limit */
	net_must(st_init(), "st_init");
	listener = st_netfd_open_socket(net_listen(SOCK_NONBLOCK));
	if (!listener)
		net_must(-1, "st_netfd_open_socket");
	for (;;) {
		fd = st_accept(listener, NULL, NULL, ST_UTIME_NO_TIMEOUT);
		if (fd && !st_thread_create(serve, fd, 0, STACK))
			st_netfd_close(fd);
	}
}
