/* SPDX-License-Identifier: MIT */
/*
 * The epoll engine: sleeps in epoll, woken by an eventfd or by what happens at descriptors.
 *
 * A descriptor is made known once, for edges in both directions; what is ready is kept in its
 * entry. Calls try first, and wait only for what they know to be not ready.
 *
 * Invariants
 *   1. A wake that comes at any time before a wait begins, or while it goes on, ends
 *      that wait: the eventfd stays readable until the wait that it ended has drained it.
 *   2. An event carries the generation of the entry that it was registered for; one for a
 *      descriptor that has been closed since, in the same batch even, finds another there and is
 *      dropped.
 *   3. Whatever ends a descriptor (an error, a hang-up) wakes both directions; since edges come
 *      once, it cannot spin.
 */
#include "io/engines.h"

#include "base/os.h"

#include <errno.h>

#define CP_EPOLL_EDGES (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET)

static struct cp_epoll *of(struct cp_engine *engine)
{
	return CP_CONTAINER_OF(engine, struct cp_epoll, io.engine);
}

/* ------------------------------------------------------------------ descriptors */

/* Never 0, which is the eventfd's. */
static uint64_t mark_of(const struct cp_fd *f)
{
	return (uint64_t)f->gen << 32 | (uint32_t)f->fd;
}

static int watch(struct cp_epoll *e, struct cp_fd *f)
{
	int r = cp_os_epoll_add(e->epfd, f->fd, CP_EPOLL_EDGES, mark_of(f));

	if (r == -EEXIST) { /* left by somebody who closed a copy of it, say */
		cp_os_epoll_remove(e->epfd, f->fd);
		r = cp_os_epoll_add(e->epfd, f->fd, CP_EPOLL_EDGES, mark_of(f));
	}
	f->watched = r >= 0;
	return r;
}

static int wait_ready(struct cp_io *io, struct cp_op *op, struct cp_fd *f, uint8_t dirs)
{
	int r = f->watched ? 0 : watch(of(&io->engine), f);

	(void)dirs;
	return r < 0 ? r : cp_op_park_ready(io, op);
}

static int epoll_run(struct cp_io *io, struct cp_op *op)
{
	int r;

	if (cp_op_is_of_file(op))
		return cp_op_file(op);
	r = cp_op_run_ready(io, op, wait_ready);
	return CP_UNLIKELY(cp_op_proves_file(op, r)) ? cp_op_file(op) : r;
}

static void epoll_forget(struct cp_io *io, struct cp_fd *f)
{
	if (f->watched)
		cp_os_epoll_remove(of(&io->engine)->epfd, f->fd);
}

static void handle(struct cp_epoll *e, const struct epoll_event *event)
{
	struct cp_fd *f = cp_fd_peek(&e->io, (int)(uint32_t)event->data.u64);
	uint8_t dirs = 0;

	if (!f || f->gen != event->data.u64 >> 32)
		return;
	if (event->events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP | EPOLLPRI))
		f->hup = true;
	if (event->events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
		dirs |= CP_READS;
	if (event->events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		dirs |= CP_WRITES;
	cp_fd_is_ready(&e->io, f, dirs);
}

const struct cp_io_ops cp_epoll_io_ops = {
	.run = epoll_run,
	.end = cp_fd_end,
	.forget = epoll_forget,
	.look = cp_fd_look,
	.close = cp_fd_close,
};

/* ----------------------------------------------------------------- the engine */

static int epoll_engine_wait(struct cp_engine *engine, int64_t timeout_ns)
{
	struct cp_epoll *e = of(engine);
	int n = cp_os_epoll_wait(e->epfd, e->events, CP_EPOLL_EVENTS, timeout_ns);

	if (n < 0)
		return n == -EINTR ? 0 : n;
	for (int i = 0; i < n; i++) {
		if (e->events[i].data.u64 == 0)
			cp_os_eventfd_drain(e->wakefd);
		else
			handle(e, &e->events[i]);
	}
	return 0;
}

static void epoll_engine_wake(struct cp_engine *engine)
{
	cp_os_eventfd_signal(of(engine)->wakefd);
}

static void epoll_engine_close(struct cp_engine *engine)
{
	struct cp_epoll *e = of(engine);

	cp_epoll_deinit(e);
	cp_free(e);
}

const struct cp_engine_ops cp_epoll_ops = {
	.name = "epoll",
	.wait = epoll_engine_wait,
	.wake = epoll_engine_wake,
	.close = epoll_engine_close,
	.begin = cp_fds_begin,
};

void cp_epoll_deinit(struct cp_epoll *e)
{
	if (e->wakefd >= 0)
		cp_os_close(e->wakefd);
	if (e->epfd >= 0)
		cp_os_close(e->epfd);
	cp_fds_deinit(&e->io);
}

int cp_epoll_init(struct cp_epoll *e)
{
	int r;

	e->io.engine.ops = &cp_epoll_ops;
	e->io.ops = &cp_epoll_io_ops;
	e->io.tries_first = true;
	e->wakefd = -1;
	e->epfd = r = cp_os_epoll_create();
	if (r >= 0)
		e->wakefd = r = cp_os_eventfd();
	if (r >= 0)
		r = cp_os_epoll_add(e->epfd, e->wakefd, EPOLLIN, 0);
	if (r < 0)
		cp_epoll_deinit(e);
	return r;
}

int cp_epoll_open(struct cp_engine **ret_engine)
{
	struct cp_epoll *e = cp_calloc(1, sizeof *e);
	int r;

	if (!e)
		return -ENOMEM;
	r = cp_epoll_init(e);
	if (r < 0) {
		cp_free(e);
		return r;
	}
	*ret_engine = &e->io.engine;
	return 0;
}
