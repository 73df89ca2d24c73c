/* SPDX-License-Identifier: MIT */
/*
 * echo_uring linked|plain: an echo server on io_uring, the ruler of what the ring allows.
 *
 * One call of the kernel by pass. `linked`: an answer and the next receive are one chain, and
 * only the receive reports; `plain`: the receive is submitted when the send has reported.
 */
#include "net.h"

#include <liburing.h>
#include <stdbool.h>

#define ENTRIES 32768
#define SEND 1ULL

struct conn {
	int fd;
	char buf[NET_BUFFER];
};

static struct io_uring ring;
static bool linked;

/* What a completion belongs to: a connection, its send by the lowest bit, the listener by NULL. */
static struct io_uring_sqe *next_sqe(void)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	if (!sqe) {
		io_uring_submit(&ring);
		sqe = io_uring_get_sqe(&ring);
	}
	return sqe;
}

static void accept_next(int listener)
{
	struct io_uring_sqe *sqe = next_sqe();

	io_uring_prep_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
	io_uring_sqe_set_data64(sqe, 0);
}

static void receive(struct conn *c)
{
	struct io_uring_sqe *sqe = next_sqe();

	io_uring_prep_recv(sqe, c->fd, c->buf, sizeof c->buf, 0);
	io_uring_sqe_set_data64(sqe, (uintptr_t)c);
}

static void answer(struct conn *c, unsigned bytes)
{
	struct io_uring_sqe *sqe;

	/* A chain must not be torn by a submit between its parts. */
	if (io_uring_sq_space_left(&ring) < 2)
		io_uring_submit(&ring);
	sqe = next_sqe();
	io_uring_prep_send(sqe, c->fd, c->buf, bytes, MSG_WAITALL | MSG_NOSIGNAL);
	io_uring_sqe_set_data64(sqe, (uintptr_t)c | SEND);
	if (!linked)
		return;
	io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS);
	receive(c);
}

static void take(int fd)
{
	struct conn *c = calloc(1, sizeof *c);

	if (!c) {
		close(fd);
		return;
	}
	c->fd = fd;
	receive(c);
}

static void end(struct conn *c)
{
	close(c->fd);
	free(c);
}

/* In a chain a send reports only what went wrong; the receive behind it then ends by -ECANCELED. */
static void sent(struct conn *c, int r)
{
	if (linked)
		return;
	if (r < 0)
		end(c);
	else
		receive(c);
}

static void completed(uint64_t data, int r)
{
	struct conn *c = (struct conn *)(uintptr_t)(data & ~SEND);

	if (data & SEND)
		sent(c, r);
	else if (r > 0)
		answer(c, (unsigned)r);
	else
		end(c);
}

static void pass(int listener)
{
	struct io_uring_cqe *cqe;
	unsigned head, count = 0;
	int r = io_uring_submit_and_wait(&ring, 1);

	if (r < 0 && r != -EINTR) {
		errno = -r;
		net_must(-1, "io_uring_enter");
	}
	io_uring_for_each_cqe(&ring, head, cqe)
	{
		count++;
		if (cqe->user_data) {
			completed(cqe->user_data, cqe->res);
			continue;
		}
		if (cqe->res >= 0)
			take(cqe->res);
		accept_next(listener);
	}
	io_uring_cq_advance(&ring, count);
}

int main(int argc, char **argv)
{
	struct io_uring_params p = { .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_CLAMP |
					      IORING_SETUP_DEFER_TASKRUN };
	int listener, r;

	if (argc != 2 || (strcmp(argv[1], "linked") != 0 && strcmp(argv[1], "plain") != 0)) {
		fprintf(stderr, "usage: echo_uring linked|plain\n");
		return 2;
	}
	linked = argv[1][0] == 'l';
	r = io_uring_queue_init_params(ENTRIES, &ring, &p);
	if (r < 0) {
		fprintf(stderr, "echo_uring: %s\n", strerror(-r));
		return 1;
	}
	listener = net_listen(0);
	accept_next(listener);
	for (;;)
		pass(listener);
}
