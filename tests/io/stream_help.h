/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Help for the tests of streams: a pair of streams that are each other's peer, of each kind there
 * is; a stream of the test's own that carries one byte at a time; tasks that make one call.
 */

#include "../core/core_help.h"

#include <coop/io.h>
#include <coop/stream.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pty.h>
#include <sys/socket.h>

/* ---- pairs */

enum kind { MEMORY, UNIX, TCP, PIPES, PTY, BYTEWISE, KINDS };

static const char *const kind_names[] = { "memory", "unix", "tcp", "pipes", "pty", "bytewise" };

struct pair {
	struct coop_stream a, b;
	struct coop_stream halves[4]; /* of the pipes; of the bytewise streams what they are on */
};

/* Lets the caller tell which kind a failure was of. */
static enum kind now_testing;

static inline void tcp_pair(int fds[2])
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof addr;

	CHECK_INT(bind(listener, (struct sockaddr *)&addr, len), ==, 0);
	CHECK_INT(listen(listener, 1), ==, 0);
	CHECK_INT(getsockname(listener, (struct sockaddr *)&addr, &len), ==, 0);
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_INT(connect(fds[0], (struct sockaddr *)&addr, len), ==, 0);
	fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK_INT(fds[1], >=, 0);
	close(listener);
}

static inline void from_fds(const int fds[2], struct coop_stream *a, struct coop_stream *b)
{
	CHECK_INT(coop_stream_from_fd(fds[0], a), ==, 0);
	CHECK_INT(coop_stream_from_fd(fds[1], b), ==, 0);
}

/* a -> halves[1] => halves[0] -> b, and back the same way. */
static inline void pipes_pair(struct pair *p)
{
	CHECK_INT(coop_pipe_open(&p->halves[0], &p->halves[1]), ==, 0);
	CHECK_INT(coop_pipe_open(&p->halves[2], &p->halves[3]), ==, 0);
	coop_stream_staple(&p->halves[2], &p->halves[1], &p->a);
	coop_stream_staple(&p->halves[0], &p->halves[3], &p->b);
}

/* Of raw terminals, which hand bytes on as they are: `a` is the master. */
static inline void pty_fds(int fds[2])
{
	struct termios raw;

	cfmakeraw(&raw);
	raw.c_cflag = CS8 | CREAD;
	CHECK_INT(openpty(&fds[0], &fds[1], NULL, &raw, NULL), ==, 0);
	raw.c_iflag = raw.c_oflag = raw.c_lflag = 0;
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	CHECK_INT(tcsetattr(fds[1], TCSANOW, &raw), ==, 0);
}

/* ---- one byte at a time: what a layer of somebody's own looks like */

static inline int one_recv(struct coop_stream *s, void *buf, size_t bytes)
{
	(void)bytes;
	return coop_stream_recv(s->ctx, buf, 1);
}

static inline int one_send(struct coop_stream *s, const void *buf, size_t bytes)
{
	int r = coop_stream_send_all(s->ctx, buf, 1, NULL);

	(void)bytes;
	return r < 0 ? r : 1;
}

static inline int one_send_eof(struct coop_stream *s)
{
	return coop_stream_send_eof(s->ctx);
}

static inline void one_release(struct coop_stream *s, bool abort)
{
	if (abort)
		coop_stream_abort(s->ctx);
	else
		coop_stream_close(s->ctx);
}

static const struct coop_stream_ops bytewise_ops = {
	.name = "bytewise",
	.recv = one_recv,
	.send = one_send,
	.send_eof = one_send_eof,
	.release = one_release,
};

static inline void pair_open(struct pair *p, enum kind kind)
{
	int fds[2];

	*p = (struct pair){ 0 };
	now_testing = kind;
	switch (kind) {
	case MEMORY: CHECK_INT(coop_memory_stream_pair(64, &p->a, &p->b), ==, 0); return;
	case UNIX: CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0); break;
	case TCP: tcp_pair(fds); break;
	case PTY: pty_fds(fds); break;
	case PIPES: pipes_pair(p); return;
	default:
		CHECK_INT(coop_memory_stream_pair(64, &p->halves[0], &p->halves[1]), ==, 0);
		coop_stream_init(&p->a, &bytewise_ops, &p->halves[0]);
		coop_stream_init(&p->b, &bytewise_ops, &p->halves[1]);
		return;
	}
	from_fds(fds, &p->a, &p->b);
}

static inline void pair_close(struct pair *p)
{
	CHECK_INT(coop_stream_close(&p->a), >=, 0);
	CHECK_INT(coop_stream_close(&p->b), >=, 0);
}

/* Sets of kinds. */
#define ALL ((1u << KINDS) - 1)
#define BIT(kind) (1u << (kind))
/* Bytes have arrived when a send returns: a terminal's come by a thread of the kernel's. */
#define AT_ONCE (ALL & ~BIT(PTY))
/* The kernel's and the library's own. */
#define PLAIN (ALL & ~BIT(BYTEWISE))
#define CONNECTIONS (BIT(MEMORY) | BIT(UNIX) | BIT(TCP) | BIT(PIPES))

/* A test of the streams p->a and p->b, for each of these kinds. */
#define EACH_KIND(name, kinds) \
	static void each_##name(struct pair *p); \
	TASK_TEST(name) \
	{ \
		for (unsigned kind = 0; kind < KINDS; kind++) { \
			struct pair pair; \
			if (!((kinds)&BIT(kind))) \
				continue; \
			pair_open(&pair, (enum kind)kind); \
			printf("%s\n", kind_names[kind]); \
			each_##name(&pair); \
			pair_close(&pair); \
		} \
		return 0; \
	} \
	static void each_##name(struct pair *p)

/* ---- one call of another task */

struct io {
	struct coop_stream *s;
	char *buf;
	size_t bytes;
	size_t done;
	bool all;   /* the call that needs all of it */
	bool blind; /* does not ask how far it came */
	int rc;
	bool ended;
	struct coop_handle *handle;
};

#define PENDING 99

static inline int io_ended(struct io *io, int rc)
{
	io->rc = rc;
	io->ended = true;
	return rc == COOP_ECANCELED ? rc : 0;
}

static inline int io_receives(void *arg)
{
	struct io *io = arg;
	size_t *done = io->blind ? NULL : &io->done;

	if (io->all)
		return io_ended(io, coop_stream_recv_exactly(io->s, io->buf, io->bytes, done));
	return io_ended(io, coop_stream_recv(io->s, io->buf, io->bytes));
}

static inline int io_sends(void *arg)
{
	struct io *io = arg;
	size_t *done = io->blind ? NULL : &io->done;

	return io_ended(io, coop_stream_send_all(io->s, io->buf, io->bytes, done));
}

static inline void settle(void)
{
	CHECK_INT(coop_test_wait_all_blocked(0), ==, 0);
}

/* Starts it, and lets it run until it waits. */
static inline void start(struct coop_group *g, coop_fn *fn, struct io *io)
{
	io->rc = PENDING;
	io->ended = false;
	CHECK_INT(coop_spawn_with(g, fn, io, NULL, &io->handle), ==, 0);
	settle();
}

static inline void finish(struct io *io)
{
	int r = coop_handle_wait(io->handle, NULL);

	CHECK(r == 0 || r == COOP_ETASKCANCELLED);
	coop_error_clear();
	io->handle = coop_handle_release(io->handle);
}

static inline void cancel(struct io *io)
{
	coop_handle_cancel(io->handle, "by the test");
	finish(io); /* on the ring the kernel has to agree */
}

/* A letter for each place, so that a byte that is lost or twice is seen. */
static inline char pattern(size_t at)
{
	return (char)('a' + (at * 7 + at / 26) % 26);
}

static inline void fill_pattern(char *buf, size_t bytes, size_t at)
{
	for (size_t i = 0; i < bytes; i++)
		buf[i] = pattern(at + i);
}

static inline void check_pattern(const char *buf, size_t bytes, size_t at)
{
	for (size_t i = 0; i < bytes; i++)
		if (buf[i] != pattern(at + i))
			FAIL("%s: byte %zu is %d, not %d", kind_names[now_testing], at + i, buf[i],
			     pattern(at + i));
}

static inline void sends(struct coop_stream *s, const char *text)
{
	CHECK_INT(coop_stream_send_all(s, text, strlen(text), NULL), ==, 0);
}

/* The next bytes are these. */
static inline void receives(struct coop_stream *s, const char *text)
{
	char buf[256] = "";

	CHECK_INT(coop_stream_recv_exactly(s, buf, strlen(text), NULL), ==, 0);
	CHECK_STR(buf, text);
}

static inline void receives_end(struct coop_stream *s)
{
	char c;

	CHECK_INT(coop_stream_recv(s, &c, 1), ==, 0);
}
