/* SPDX-License-Identifier: MIT */
/* From one stream to another: by splice or by a buffer, cut short, and both ways at once. */
#include "stream_help.h"

#include <sys/stat.h>

struct copy_call {
	struct coop_stream *from, *to;
	uint64_t limit, copied;
	int rc;
};

static int copies(void *arg)
{
	struct copy_call *c = arg;

	c->rc = coop_stream_copy(c->from, c->to, c->limit, &c->copied);
	return c->rc == COOP_ECANCELED ? c->rc : 0;
}

/* Sends a pattern of `bytes` bytes and ends. */
struct source {
	struct coop_stream *to;
	size_t bytes;
};

static int sends_pattern(void *arg)
{
	struct source *s = arg;
	char buf[1000];
	int r = 0;

	for (size_t at = 0; r >= 0 && at < s->bytes; at += sizeof buf) {
		size_t n = s->bytes - at < sizeof buf ? s->bytes - at : sizeof buf;

		fill_pattern(buf, n, at);
		r = coop_stream_send_all(s->to, buf, n, NULL);
	}
	return r < 0 ? r : coop_stream_close(s->to);
}

static void receives_pattern(struct coop_stream *s, size_t bytes)
{
	char buf[4096];
	size_t at = 0;

	while (at < bytes) {
		int r = coop_stream_recv(s, buf, sizeof buf);

		CHECK_INT(r, >, 0);
		check_pattern(buf, (size_t)r, at);
		at += (size_t)r;
	}
	CHECK_INT(at, ==, bytes);
}

/* Every kind to every kind: all bytes, in order, and the end is left to the caller. */
static void copies_between(enum kind from, enum kind to)
{
	size_t bytes = from == BYTEWISE || to == BYTEWISE ? 500 : 300000;
	struct coop_group g = COOP_GROUP_INIT;
	struct pair in, out;
	struct source source = { .to = &in.a, .bytes = bytes };
	struct copy_call c = { .from = &in.b, .to = &out.a, .limit = COOP_UNTIL_END };

	pair_open(&in, from);
	pair_open(&out, to);
	printf("%s to %s\n", kind_names[from], kind_names[to]);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sends_pattern, &source), ==, 0);
	CHECK_INT(coop_spawn(&g, copies, &c), ==, 0);
	receives_pattern(&out.b, bytes);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(c.rc, ==, 0);
	CHECK_INT(c.copied, ==, bytes);
	sends(&out.a, "more"); /* nobody has ended it */
	receives(&out.b, "more");
	coop_stream_close(&in.a);
	CHECK_INT(coop_stream_close(&in.b), ==, 0);
	pair_close(&out);
}

TASK_TEST(every_kind_to_every_kind)
{
	for (int from = 0; from < PTY; from++)
		for (int to = 0; to < KINDS; to++)
			copies_between((enum kind)from, (enum kind)to);
	return 0;
}

/* With a limit it stops there, to the byte, and the rest is still to be received. */
EACH_KIND(stops_at_the_limit, AT_ONCE)
{
	static const uint64_t limits[] = { 0, 1, 5, 30 };
	char expected[64] = "";
	struct pair out;
	size_t at = 0;

	pair_open(&out, UNIX);
	fill_pattern(expected, 60, 0);
	CHECK_INT(coop_stream_send_all(&p->a, expected, 60, NULL), ==, 0);
	for (int i = 0; i < 4; i++) {
		char in[32] = "";
		uint64_t copied = 77;

		CHECK_INT(coop_stream_copy(&p->b, &out.a, limits[i], &copied), ==, 0);
		CHECK_INT(copied, ==, limits[i]);
		CHECK_INT(coop_stream_recv_exactly(&out.b, in, limits[i], NULL), ==, 0);
		check_pattern(in, limits[i], at);
		at += limits[i];
	}
	receives(&p->b, expected + at);
	pair_close(&out);
}

/* What a reader has over-read goes first, and then what its descriptor brings. */
TASK_TEST(what_a_reader_has_goes_first)
{
	struct coop_reader rd;
	struct coop_stream rest;
	struct pair in, out;
	char *line;
	uint64_t copied;

	pair_open(&in, TCP);
	pair_open(&out, TCP);
	sends(&in.a, "CONNECT\nand more");
	coop_reader_init(&rd, &in.b, NULL, 0);
	CHECK_INT(coop_reader_line(&rd, &line), ==, 7);
	sends(&in.a, ", and later");
	CHECK_INT(coop_stream_send_eof(&in.a), ==, 0);
	coop_reader_stream(&rd, &rest);
	CHECK_INT(coop_stream_copy(&rest, &out.a, COOP_UNTIL_END, &copied), ==, 0);
	CHECK_INT(copied, ==, 19);
	receives(&out.b, "and more, and later");
	coop_reader_deinit(&rd);
	pair_close(&in);
	pair_close(&out);
	return 0;
}

/* From a file, to one that only appends, which cannot be spliced to. */
TASK_TEST(files)
{
	char from_path[] = "/tmp/coop-copy-XXXXXX", to_path[] = "/tmp/coop-copy-XXXXXX";
	struct coop_stream from, to;
	char text[100000];
	uint64_t copied;
	int fds[2];

	fds[0] = mkostemp(from_path, O_CLOEXEC);
	fds[1] = mkostemp(to_path, O_CLOEXEC | O_APPEND);
	CHECK(fds[0] >= 0 && fds[1] >= 0);
	unlink(from_path);
	unlink(to_path);
	fill_pattern(text, sizeof text, 0);
	CHECK_INT(write(fds[0], text, sizeof text), ==, sizeof text);
	CHECK_INT(lseek(fds[0], 0, SEEK_SET), ==, 0);
	from_fds(fds, &from, &to);
	CHECK_INT(coop_stream_copy(&from, &to, COOP_UNTIL_END, &copied), ==, 0);
	CHECK_INT(copied, ==, sizeof text);
	CHECK_INT(pread(fds[1], text, sizeof text, 0), ==, sizeof text);
	check_pattern(text, sizeof text, 0);
	CHECK_INT(coop_stream_close(&from), ==, 0);
	CHECK_INT(coop_stream_close(&to), ==, 0);
	return 0;
}

/* ---- I09: more than 4 GiB, of which nobody has to touch a byte */

static int endless(struct coop_stream *s, uint64_t *left, size_t bytes)
{
	int r = coop_checkpoint();

	(void)s;
	if (r < 0)
		return r;
	if (bytes > *left)
		bytes = (size_t)*left;
	*left -= bytes;
	return (int)bytes;
}

static int source_recv(struct coop_stream *s, void *buf, size_t bytes)
{
	(void)buf;
	return endless(s, s->ctx, bytes);
}

static int sink_send(struct coop_stream *s, const void *buf, size_t bytes)
{
	(void)buf;
	return endless(s, s->ctx, bytes);
}

static void no_release(struct coop_stream *s, bool abort)
{
	(void)s;
	(void)abort;
}

static const struct coop_stream_ops endless_ops = {
	.name = "endless", .recv = source_recv, .send = sink_send, .release = no_release
};

/* None of it is lost or counted short. */
TASK_TEST(rel_I09_more_than_4_gib)
{
	const uint64_t bytes = (UINT64_C(5) << 30) + 12345;
	uint64_t source = bytes, sink = UINT64_MAX, copied;
	struct coop_stream from, to;

	coop_stream_init(&from, &endless_ops, &source);
	coop_stream_init(&to, &endless_ops, &sink);
	CHECK_INT(coop_stream_copy(&from, &to, COOP_UNTIL_END, &copied), ==, 0);
	CHECK(copied == bytes);
	CHECK(UINT64_MAX - sink == bytes);
	source = bytes;
	CHECK_INT(coop_stream_copy(&from, &to, bytes - 1, &copied), ==, 0);
	CHECK(copied == bytes - 1);
	CHECK_INT(source, ==, 1);
	CHECK_INT(coop_stream_close(&from), ==, 0);
	CHECK_INT(coop_stream_close(&to), ==, 0);
	PROVES(rel_I09);
	return 0;
}

/* Cancelled while nothing comes: nothing is lost, and both streams are as they were. */
EACH_KIND(cancelled_while_idle, AT_ONCE)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h = NULL;
	struct pair out;
	struct copy_call c = { .from = &p->b, .to = &out.a, .limit = COOP_UNTIL_END };

	pair_open(&out, UNIX);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, copies, &c, NULL, &h), ==, 0);
	sends(&p->a, "before");
	receives(&out.b, "before");
	settle();
	coop_handle_cancel(h, "by the test");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	h = coop_handle_release(h);
	CHECK_INT(c.rc, ==, COOP_ECANCELED);
	CHECK_INT(c.copied, ==, 6);
	sends(&p->a, "after");
	receives(&p->b, "after");
	sends(&out.a, "after");
	receives(&out.b, "after");
	pair_close(&out);
}

/* Cancelled with bytes on the way: what has arrived is told, and who lost some is broken. */
TASK_TEST(cancelled_with_bytes_in_flight)
{
	static const enum kind kinds[] = { MEMORY, UNIX, TCP };

	for (int i = 0; i < 3; i++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct coop_handle *h = NULL;
		struct pair in, out;
		struct source source = { .to = &in.a, .bytes = 16 << 20 };
		struct copy_call c = { .from = &in.b, .to = &out.a, .limit = COOP_UNTIL_END };
		char byte;

		pair_open(&in, kinds[i]);
		pair_open(&out, kinds[i]);
		coop_group_open(&g, NULL);
		CHECK_INT(coop_spawn(&g, sends_pattern, &source), ==, 0);
		CHECK_INT(coop_spawn_with(&g, copies, &c, NULL, &h), ==, 0);
		settle();
		coop_handle_cancel(h, "by the test");
		while (coop_handle_wait(h, NULL) == COOP_EINTERNAL)
			;
		coop_error_clear();
		h = coop_handle_release(h);
		CHECK_INT(c.rc, ==, COOP_ECANCELED);
		CHECK_INT(coop_stream_recv(&in.b, &byte, 1), ==, COOP_EBROKEN);
		coop_group_cancel(&g, "over");
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		CHECK_INT(coop_stream_close(&out.a), ==, 0);
		receives_pattern(&out.b, c.copied);
		receives_end(&out.b);
		coop_stream_close(&out.b);
		pair_close(&in);
	}
	return 0;
}

/* ---- both ways */

struct relay_call {
	struct coop_stream *a, *b;
	uint64_t counts[2];
	int rc;
};

static int relays(void *arg)
{
	struct relay_call *r = arg;

	r->rc = coop_relay(r->a, r->b, r->counts);
	return r->rc == COOP_ECANCELED ? r->rc : 0;
}

/* A question, its end, an answer that comes after it: half-closes are passed on. */
EACH_KIND(relay_passes_half_closes_on, CONNECTIONS)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct pair server;
	struct relay_call r = { .a = &p->b, .b = &server.a };

	pair_open(&server, TCP);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, relays, &r), ==, 0);
	sends(&p->a, "question");
	CHECK_INT(coop_stream_send_eof(&p->a), ==, 0);
	receives(&server.b, "question");
	receives_end(&server.b);
	sends(&server.b, "answer, later");
	receives(&p->a, "answer, later");
	CHECK_INT(coop_stream_close(&server.b), ==, 0);
	receives_end(&p->a);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(r.rc, ==, 0);
	CHECK_INT(r.counts[0], ==, 8);
	CHECK_INT(r.counts[1], ==, 13);
	CHECK_INT(coop_stream_close(&server.a), ==, 0);
}

/* A side that fails ends both ways, and the failure is told. */
TASK_TEST(relay_fails)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct pair client, server;
	struct relay_call r = { .a = &client.b, .b = &server.a };

	pair_open(&client, MEMORY);
	pair_open(&server, MEMORY);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, relays, &r), ==, 0);
	settle();
	CHECK_INT(coop_stream_abort(&server.b), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(r.rc, ==, -ECONNRESET);
	coop_stream_close(&server.a);
	pair_close(&client);
	return 0;
}

/* A terminal cannot be half-closed: where its peer ends, both ways end. */
TASK_TEST(relay_to_a_terminal)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct pair client, terminal;
	struct relay_call r = { .a = &client.b, .b = &terminal.a };

	pair_open(&client, UNIX);
	pair_open(&terminal, PTY);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, relays, &r), ==, 0);
	sends(&client.a, "ls\n");
	receives(&terminal.b, "ls\n");
	sends(&terminal.b, "file\n");
	receives(&client.a, "file\n");
	CHECK_INT(coop_stream_send_eof(&client.a), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(r.rc, ==, 0);
	pair_close(&client);
	pair_close(&terminal);
	return 0;
}

/* Cancelled, it ends in both directions at once. */
TASK_TEST(relay_cancelled)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct pair client, server;
	struct relay_call r = { .a = &client.b, .b = &server.a };

	pair_open(&client, UNIX);
	pair_open(&server, TCP);
	coop_scope_open(&s, &(struct coop_scope_opts){ .timeout_ns = MS(5) });
	CHECK_INT(relays(&r), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, 0);
	coop_scope_cancel(&s, NULL);
	pair_close(&client);
	pair_close(&server);
	return 0;
}

/* No descriptors left for the pipe of a splice: the copy goes by a buffer. */
TASK_TEST(without_descriptors)
{
	struct pair in, out;
	int fds[1024], n = 0;
	uint64_t copied;

	pair_open(&in, UNIX);
	pair_open(&out, UNIX);
	sends(&in.a, "through");
	CHECK_INT(coop_stream_send_eof(&in.a), ==, 0);
	while (n < 1024 && (fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	if (n == 1024)
		printf("more than 1024 descriptors may be open: nothing to see here\n");
	CHECK_INT(coop_stream_copy(&in.b, &out.a, COOP_UNTIL_END, &copied), ==, 0);
	while (n--)
		close(fds[n]);
	CHECK_INT(copied, ==, 7);
	receives(&out.b, "through");
	pair_close(&in);
	pair_close(&out);
	return 0;
}
