/* SPDX-License-Identifier: MIT */
/* The reference: an echo server on epoll, level-triggered, as plain as they come. */
#include "net.h"

#include <sys/epoll.h>

#define EVENTS 512

static int epoll;

static void watch(int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	net_must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev), "epoll_ctl");
}

static void take(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		watch(fd);
	if (errno != EAGAIN)
		net_must(-1, "accept4");
}

static void serve(int fd)
{
	char buf[NET_BUFFER];
	ssize_t n = recv(fd, buf, sizeof buf, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
		close(fd);
}

int main(void)
{
	static struct epoll_event events[EVENTS];
	int listener = net_listen(SOCK_NONBLOCK);

	epoll = net_must(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
	watch(listener);
	for (;;) {
		int n = net_must(epoll_wait(epoll, events, EVENTS, -1), "epoll_wait");

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				take(listener);
			else
				serve(events[i].data.fd);
		}
	}
}
