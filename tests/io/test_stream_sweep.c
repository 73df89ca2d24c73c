/* SPDX-License-Identifier: MIT */
/*
 * A client and a server that use every call of streams, readers, writers and copies, cancelled at
 * each checkpoint, with each allocation failing, in many orders: no byte is made up or out of
 * order, all is given back, nothing hangs.
 */
#include "fds.h"
#include "stream_help.h"

static int wrong; /* the line where something was not as it must be */
#define MUST(cond) ((void)((cond) || wrong || (wrong = __LINE__)))

static enum kind sweep_kind;

struct world {
	struct pair client, server; /* the relay is between them */
};

/* Sends numbered lines through a writer, and ends. */
static int asks(void *arg)
{
	struct coop_stream *s = arg;
	struct coop_writer w;
	char buf[16];
	int r = 0;

	coop_writer_init(&w, s, buf, sizeof buf);
	for (int i = 0; r >= 0 && i < 4; i++)
		r = coop_writer_printf(&w, "line %d\r\n", i);
	if (r >= 0)
		r = coop_writer_write(&w, "0123456789abcdef0123456789", 26);
	if (r >= 0)
		r = coop_writer_flush(&w);
	if (r >= 0)
		r = coop_stream_send_eof(s);
	coop_writer_deinit(&w);
	return r;
}

/* What the server makes of it. */
static int answers(void *arg)
{
	struct coop_stream *s = arg;
	struct coop_reader rd;
	char *piece, body[16];
	int r = 0;

	coop_reader_init(&rd, s, NULL, 32);
	for (int i = 0; r >= 0 && i < 4; i++) {
		r = coop_reader_line(&rd, &piece);
		MUST(r < 0 || (r == 6 && piece[5] == '0' + i));
	}
	if (r >= 0)
		r = coop_reader_exactly(&rd, body, 16);
	MUST(r < 0 || memcmp(body, "0123456789abcdef", 16) == 0);
	if (r >= 0)
		r = coop_reader_until(&rd, "567", 3, &piece);
	MUST(r < 0 || strcmp(piece, "01234") == 0);
	if (r >= 0)
		r = coop_reader_peek(&rd, 2, &piece);
	MUST(r < 0 || memcmp(piece, "89", 2) == 0);
	if (r >= 0)
		r = coop_reader_consume(&rd, 2);
	if (r >= 0) {
		r = coop_reader_recv(&rd, body, 16);
		MUST(r <= 0);
	}
	coop_reader_deinit(&rd);
	if (r >= 0) {
		struct iovec iov[] = { { (void *)"an", 2 }, { NULL, 0 }, { (void *)"swer", 4 } };

		r = coop_stream_send_all_v(s, iov, 3, NULL);
	}
	return r < 0 ? r : coop_stream_send_eof(s);
}

/* A cut in the middle is an end to who receives. */
static int hears(void *arg)
{
	struct coop_stream *s = arg;
	char buf[8] = "";
	size_t got;
	int r = coop_stream_recv_exactly(s, buf, 6, &got);

	MUST(memcmp(buf, "answer", got) == 0);
	if (r >= 0) {
		r = coop_stream_recv(s, buf, 1);
		MUST(r <= 0);
	}
	return r;
}

static int relay(void *arg)
{
	struct world *w = arg;

	return coop_relay(&w->client.b, &w->server.a, NULL);
}

/* Fails where it must: its descriptors or its memory were refused. */
static int open_pair(struct pair *p)
{
	int fds[2], r;

	*p = (struct pair){ 0 };
	if (sweep_kind == MEMORY)
		return coop_memory_stream_pair(3, &p->a, &p->b);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	r = coop_stream_from_fd(fds[0], &p->a);
	MUST(r == 0);
	r = coop_stream_from_fd(fds[1], &p->b);
	MUST(r == 0);
	return r;
}

static void close_pair(struct pair *p)
{
	coop_stream_close(&p->a);
	coop_stream_close(&p->b);
}

static int program(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct world w = { .client = { .a = COOP_STREAM_INIT } };
	int r = open_pair(&w.client);

	(void)arg;
	if (r >= 0)
		r = open_pair(&w.server);
	coop_group_open(&g, NULL);
	if (r >= 0)
		r = coop_spawn(&g, relay, &w);
	if (r >= 0)
		r = coop_spawn(&g, asks, &w.client.a);
	if (r >= 0)
		r = coop_spawn(&g, answers, &w.server.b);
	if (r >= 0)
		r = coop_spawn(&g, hears, &w.client.a);
	if (r >= 0) /* what one part leaves undone must not leave the others waiting */
		r = coop_sleep(MS(100));
	coop_group_cancel(&g, "enough");
	r = coop_group_join(&g, r);
	close_pair(&w.client);
	close_pair(&w.server);
	return r;
}

static const char *even(int rc, uint64_t n, void *ctx)
{
	static char text[80];
	const int *allowed = ctx;
	int line = wrong;

	wrong = 0;
	if (line) {
		snprintf(text, sizeof text, "line %d", line);
		return text;
	}
	if (fds_open() != allowed[0]) {
		snprintf(text, sizeof text, "%d descriptors, not %d", fds_open(), allowed[0]);
		return text;
	}
	while (*++allowed != 1)
		if (rc == *allowed && (n || rc == 0))
			return NULL;
	snprintf(text, sizeof text, "result %d", rc);
	return text;
}

/* Whichever task is cancelled at whichever checkpoint. */
static void cancel_everywhere(enum kind kind, int seeds)
{
	int allowed[] = { fds_open(), 0, COOP_ECANCELED, 1 };
	struct coop_run_opts opts = { .clock = COOP_CLOCK_VIRTUAL, .budget = 1 };
	struct coop_sweep sweep = { 0 };

	TEST_SECONDS(120);
	sweep_kind = kind;
	for (int seed = 0; seed < seeds; seed++) {
		opts.seed = (uint64_t)seed;
		if (coop_sweep_cancel(program, NULL, &opts, even, allowed, &sweep) < 0)
			FAIL("seed %d, checkpoint %d: %s", seed, (int)sweep.failed_at, sweep.why);
		CHECK_INT(sweep.injected, >, 20);
	}
}

TEST(memory_cancelled_at_every_checkpoint)
{
	cancel_everywhere(MEMORY, TEST_COUNT(10, 1));
}

TEST(sockets_cancelled_at_every_checkpoint)
{
	cancel_everywhere(UNIX, TEST_COUNT(5, 1));
}

/* Whichever allocation fails, alone or with all that follow. */
TEST(with_every_allocation_failing)
{
	struct coop_sweep sweep = { 0 };

	keep_records(COOP_LOG_ERROR);
	for (int kind = MEMORY; kind <= UNIX; kind++) {
		/* -ENOTSUP: COOP_IO=uring, and no memory for it */
		int allowed[] = { fds_open(), 0, -ENOMEM, -ENOTSUP, 1 };

		sweep_kind = (enum kind)kind;
		for (int for_ever = 0; for_ever < 2; for_ever++)
			if (coop_sweep_alloc(program, NULL, NULL, for_ever, even, allowed, &sweep) <
			    0)
				FAIL("%s, allocation %d: %s", kind_names[kind],
				     (int)sweep.failed_at, sweep.why);
		CHECK_INT(sweep.injected, >, 3);
	}
}

/* In every order of what is free. */
TEST(in_many_orders)
{
	int allowed[] = { fds_open(), 0, 1 };
	struct coop_sweep sweep = { 0 };

	sweep_kind = MEMORY;
	if (coop_sweep_seeds(program, NULL, NULL, 1, TEST_COUNT(300, 30), even, allowed, &sweep) <
	    0)
		FAIL("seed %d: %s", (int)sweep.failed_at, sweep.why);
}
