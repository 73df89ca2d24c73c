/* SPDX-License-Identifier: MIT */
/*
 * The epoll engine: sleeps in epoll, woken by an eventfd.
 *
 * Invariant: a wake that comes at any time before a wait begins, or while it goes on, ends
 * that wait: the eventfd stays readable until the wait that it ended has drained it.
 */
#include "io/engines.h"

#include "base/os.h"

#include <errno.h>
#include <sys/epoll.h>

#define CP_EPOLL_EVENTS 64

struct epoll_engine {
	struct cp_engine base;
	int epfd;
	int wakefd;
};

static struct epoll_engine *of(struct cp_engine *engine)
{
	return CP_CONTAINER_OF(engine, struct epoll_engine, base);
}

static int epoll_engine_wait(struct cp_engine *engine, int64_t timeout_ns)
{
	struct epoll_event events[CP_EPOLL_EVENTS];
	int n = cp_os_epoll_wait(of(engine)->epfd, events, CP_EPOLL_EVENTS, timeout_ns);

	if (n < 0)
		return n == -EINTR ? 0 : n;
	for (int i = 0; i < n; i++)
		if (events[i].data.u64 == 0)
			cp_os_eventfd_drain(of(engine)->wakefd);
	return 0;
}

static void epoll_engine_wake(struct cp_engine *engine)
{
	cp_os_eventfd_signal(of(engine)->wakefd);
}

static void epoll_engine_close(struct cp_engine *engine)
{
	cp_os_close(of(engine)->wakefd);
	cp_os_close(of(engine)->epfd);
	cp_free(of(engine));
}

static const struct cp_engine_ops epoll_ops = {
	.name = "epoll",
	.wait = epoll_engine_wait,
	.wake = epoll_engine_wake,
	.close = epoll_engine_close,
};

int cp_epoll_open(struct cp_engine **ret_engine)
{
	struct epoll_engine *e = cp_calloc(1, sizeof *e);
	int r;

	if (!e)
		return -ENOMEM;
	e->base.ops = &epoll_ops;
	e->wakefd = -1;
	e->epfd = r = cp_os_epoll_create();
	if (r >= 0)
		e->wakefd = r = cp_os_eventfd();
	if (r >= 0)
		r = cp_os_epoll_add(e->epfd, e->wakefd, EPOLLIN, 0);
	if (r < 0) {
		if (e->wakefd >= 0)
			cp_os_close(e->wakefd);
		if (e->epfd >= 0)
			cp_os_close(e->epfd);
		cp_free(e);
		return r;
	}
	*ret_engine = &e->base;
	return 0;
}
