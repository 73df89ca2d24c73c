/* SPDX-License-Identifier: MIT */
/*
 * Readers and writers: pieces out of any chunks, limits, and nothing lost by a cancel. The peer
 * is a script: a stream of the test's own that plays what it was told.
 */
#include "stream_help.h"

/* ---- a scripted peer */

/* A step: bytes, or, with none, an error or the end; `wait_ms` before it. */
struct step {
	const char *bytes;
	int rc;
	int64_t wait_ms;
};

struct script {
	struct coop_stream s;
	const struct step *steps;
	size_t at;    /* in the bytes of the step */
	size_t chunk; /* at most so many bytes at once; 0: as many as wanted */
	char sent[256];
	size_t sent_bytes;
	int released;
};

static int script_recv(struct coop_stream *s, void *buf, size_t bytes)
{
	struct script *script = s->ctx;
	const struct step *step = script->steps;
	size_t n;
	int r = step->wait_ms && !script->at ? coop_sleep(MS(step->wait_ms)) : coop_checkpoint();

	if (r < 0)
		return r;
	if (!step->bytes) {
		script->steps += step->rc != 0; /* an end stays */
		return step->rc;
	}
	n = strlen(step->bytes) - script->at;
	if (n > bytes)
		n = bytes;
	if (script->chunk && n > script->chunk)
		n = script->chunk;
	memcpy(buf, step->bytes + script->at, n);
	script->at += n;
	if (!step->bytes[script->at]) {
		script->steps++;
		script->at = 0;
	}
	return (int)n;
}

static int script_send(struct coop_stream *s, const void *buf, size_t bytes)
{
	struct script *script = s->ctx;
	int r = coop_checkpoint();

	if (r < 0)
		return r;
	if (script->chunk && bytes > script->chunk)
		bytes = script->chunk;
	CHECK_INT(script->sent_bytes + bytes, <, sizeof script->sent);
	memcpy(script->sent + script->sent_bytes, buf, bytes);
	script->sent_bytes += bytes;
	return (int)bytes;
}

static void script_release(struct coop_stream *s, bool abort)
{
	struct script *script = s->ctx;

	(void)abort;
	script->released++;
}

static const struct coop_stream_ops script_ops = {
	.name = "script", .recv = script_recv, .send = script_send, .release = script_release
};

static void play(struct script *script, const struct step *steps)
{
	*script = (struct script){ .steps = steps };
	coop_stream_init(&script->s, &script_ops, script);
}

static void line_is(struct coop_reader *rd, const char *expected)
{
	char *line;

	CHECK_INT(coop_reader_line(rd, &line), ==, strlen(expected));
	CHECK_STR(line, expected);
}

/* ---- lines */

/* Lines come out the same, however they were cut on the way; both line ends are dropped. */
TASK_TEST(lines_of_any_chunks)
{
	static const struct step steps[] = { { .bytes = "one\ntwo\r\n\r\n\n\rfour\r\r\nlast" },
					     { .rc = 0 } };

	for (size_t chunk = 0; chunk < 8; chunk++) {
		struct script peer;
		struct coop_reader rd;
		char *rest;

		play(&peer, steps);
		peer.chunk = chunk;
		coop_reader_init(&rd, &peer.s, NULL, 0);
		line_is(&rd, "one");
		line_is(&rd, "two");
		line_is(&rd, "");
		line_is(&rd, "");
		line_is(&rd, "\rfour\r");
		/* What the end has cut off is no line; it can still be had. */
		CHECK_INT(coop_reader_line(&rd, &rest), ==, COOP_EOF);
		CHECK_INT(coop_reader_line(&rd, &rest), ==, COOP_EOF);
		CHECK_INT(coop_reader_peek(&rd, 0, &rest), ==, 4);
		CHECK(memcmp(rest, "last", 4) == 0);
		CHECK_INT(coop_reader_consume(&rd, 4), ==, 0);
		CHECK_INT(coop_reader_line(&rd, &rest), ==, COOP_EOF);
		coop_reader_deinit(&rd);
	}
	return 0;
}

/* B325: a peer that plays a script, with its waits and its failures. */
TASK_TEST(scripted_peer)
{
	static const struct step steps[] = { { .bytes = "he", .wait_ms = 10 },
					     { .bytes = "llo\nwor", .wait_ms = 10 },
					     { .rc = -ETIMEDOUT, .wait_ms = 10 },
					     { .bytes = "ld\n", .wait_ms = 10 },
					     { .rc = -ECONNRESET } };
	struct script peer;
	struct coop_reader rd;
	char *line;

	play(&peer, steps);
	coop_reader_init(&rd, &peer.s, NULL, 0);
	line_is(&rd, "hello");
	CHECK_INT(now_ms(), ==, 20);
	CHECK_INT(coop_reader_line(&rd, &line), ==, -ETIMEDOUT);
	line_is(&rd, "world"); /* an error has lost nothing either */
	CHECK_INT(now_ms(), ==, 40);
	CHECK_INT(coop_reader_line(&rd, &line), ==, -ECONNRESET);
	coop_reader_deinit(&rd);
	CHECK_INT(coop_stream_close(&peer.s), ==, 0);
	CHECK_INT(peer.released, ==, 1);
	PROVES(B325);
	return 0;
}

/* A line that is too long for the buffer is refused, and all of it can still be received. */
TASK_TEST(line_too_long)
{
	static const struct step steps[] = { { .bytes = "1234567\n12345678\nok\n" }, { .rc = 0 } };
	char buf[8], in[16] = "", *line;
	struct coop_reader rd;
	struct script peer;

	play(&peer, steps);
	coop_reader_init(&rd, &peer.s, buf, sizeof buf);
	line_is(&rd, "1234567");
	CHECK_INT(coop_reader_line(&rd, &line), ==, -EMSGSIZE);
	CHECK_INT(coop_reader_line(&rd, &line), ==, -EMSGSIZE);
	CHECK_INT(coop_reader_recv(&rd, in, 16), ==, 8);
	CHECK_STR(in, "12345678");
	line_is(&rd, "");
	line_is(&rd, "ok");
	return 0;
}

struct flood {
	struct coop_stream s;
	uint64_t sent;
};

static int flood_recv(struct coop_stream *s, void *buf, size_t bytes)
{
	struct flood *flood = s->ctx;
	int r = coop_checkpoint();

	if (r < 0)
		return r;
	memset(buf, 'x', bytes);
	flood->sent += bytes;
	return (int)bytes;
}

static const struct coop_stream_ops flood_ops = { .name = "flood",
						  .recv = flood_recv,
						  .release = script_release };

/* A line without an end, of a gigabyte and more: the limit is what it costs, in all. */
TASK_TEST(endless_line)
{
	struct flood flood = { .sent = 0 };
	struct coop_reader rd;
	char *line, rest[1000];
	int r;

	coop_stream_init(&flood.s, &flood_ops, &flood);
	coop_reader_init(&rd, &flood.s, NULL, 100000);
	CHECK_INT(coop_reader_line(&rd, &line), ==, -EMSGSIZE);
	CHECK_INT(flood.sent, ==, 100000);
	CHECK_INT(rd._size, ==, 100000);
	for (uint64_t got = 0; got < 100000; got += (uint64_t)r) {
		r = coop_reader_recv(&rd, rest, sizeof rest);
		CHECK_INT(r, >, 0);
		CHECK_INT(rest[r - 1], ==, 'x');
	}
	CHECK_INT(flood.sent, ==, 100000);
	CHECK_INT(coop_reader_line(&rd, &line), ==, -EMSGSIZE);
	CHECK_INT(flood.sent, ==, 200000);
	CHECK_INT(rd._size, ==, 100000);
	coop_reader_deinit(&rd);
	return 0;
}

/* Short lines need a small buffer, however large the limit is. */
TASK_TEST(memory_follows_what_comes)
{
	static const struct step steps[] = { { .bytes = "a\nb\nc\n" }, { .rc = 0 } };
	struct coop_reader rd;
	struct script peer;

	play(&peer, steps);
	coop_reader_init(&rd, &peer.s, NULL, COOP_BUFFER_MAX);
	line_is(&rd, "a");
	line_is(&rd, "b");
	line_is(&rd, "c");
	CHECK_INT(rd._size, <=, 4096);
	coop_reader_deinit(&rd);
	return 0;
}

/* Sizes that make no sense are reported by the calls. */
TASK_TEST(bad_sizes)
{
	struct coop_reader rd = COOP_READER_INIT;
	struct coop_writer w = COOP_WRITER_INIT;
	struct script peer;
	char *line, c;

	play(&peer, NULL);
	CHECK_INT(coop_reader_line(&rd, &line), ==, COOP_ENOTOPEN);
	CHECK_INT(coop_writer_flush(&w), ==, COOP_ENOTOPEN);
	coop_reader_init(&rd, &peer.s, NULL, (size_t)COOP_BUFFER_MAX + 1);
	CHECK_INT(coop_reader_line(&rd, &line), ==, -EINVAL);
	coop_reader_init(&rd, &peer.s, &c, 0);
	CHECK_INT(coop_reader_exactly(&rd, &c, 1), ==, -EINVAL);
	coop_writer_init(&w, &peer.s, NULL, SIZE_MAX);
	CHECK_INT(coop_writer_flush(&w), ==, -EINVAL);
	return 0;
}

/* ---- other pieces */

/* A delimiter of several bytes is found where it was cut, and where its begin comes twice. */
TASK_TEST(delimiter_of_any_chunks)
{
	static const struct step steps[] = { { .bytes = "head\r\n\r\r\n\r\nbody--\r\n\r\n" },
					     { .rc = 0 } };

	for (size_t chunk = 0; chunk < 6; chunk++) {
		struct coop_reader rd;
		struct script peer;
		char *piece;

		play(&peer, steps);
		peer.chunk = chunk;
		coop_reader_init(&rd, &peer.s, NULL, 64);
		CHECK_INT(coop_reader_until(&rd, "\r\n\r\n", 4, &piece), ==, 7);
		CHECK_STR(piece, "head\r\n\r");
		CHECK_INT(coop_reader_until(&rd, "--", 2, &piece), ==, 4);
		CHECK_STR(piece, "body");
		CHECK_INT(coop_reader_until(&rd, "\r\n\r\n", 4, &piece), ==, 0);
		CHECK_INT(coop_reader_until(&rd, "\r\n\r\n", 4, &piece), ==, COOP_EOF);
		coop_reader_deinit(&rd);
	}
	return 0;
}

/* Exactly so many: all or none, and what is too much for the buffer goes by the stream. */
TASK_TEST(exactly)
{
	static const struct step steps[] = {
		{ .bytes = "12345678" }, { .bytes = "abcdefgh" }, { .bytes = "xyz" }, { .rc = 0 }
	};
	char buf[4], in[16] = "", *data;
	struct coop_reader rd;
	struct coop_stream rest;
	struct script peer;
	size_t got;

	play(&peer, steps);
	peer.chunk = 3;
	coop_reader_init(&rd, &peer.s, buf, sizeof buf);
	CHECK_INT(coop_reader_exactly(&rd, in, 4), ==, 0);
	CHECK_STR(in, "1234");
	CHECK_INT(coop_reader_peek(&rd, 3, &data), >=, 3);
	CHECK(memcmp(data, "567", 3) == 0);
	CHECK_INT(coop_reader_exactly(&rd, in, 5), ==, -EMSGSIZE);
	coop_reader_stream(&rd, &rest);
	memset(in, 0, sizeof in);
	CHECK_INT(coop_stream_recv_exactly(&rest, in, 12, &got), ==, 0);
	CHECK_STR(in, "5678abcdefgh");
	CHECK_INT(coop_reader_exactly(&rd, in, 4), ==, COOP_EOF);
	CHECK_INT(coop_reader_exactly(&rd, in, 3), ==, 0);
	CHECK(memcmp(in, "xyz", 3) == 0);
	CHECK_INT(coop_reader_exactly(&rd, NULL, 0), ==, 0);
	CHECK_INT(coop_stream_close(&rest), ==, 0);
	CHECK_INT(peer.released, ==, 1);
	return 0;
}

/* ---- cancel */

struct piece_call {
	struct coop_reader *rd;
	int kind;
	int rc;
	char text[32];
};

static int takes_piece(void *arg)
{
	struct piece_call *c = arg;
	char *piece = NULL;

	switch (c->kind) {
	case 0: c->rc = coop_reader_line(c->rd, &piece); break;
	case 1: c->rc = coop_reader_until(c->rd, "\n", 1, &piece); break;
	case 2: c->rc = coop_reader_exactly(c->rd, c->text, 10); break;
	default: c->rc = coop_reader_peek(c->rd, 10, &piece); break;
	}
	if (c->rc >= 0 && piece)
		snprintf(c->text, sizeof c->text, "%.10s", piece);
	return c->rc == COOP_ECANCELED ? c->rc : 0;
}

/* Cut at any moment by a limit of time, a call is made again and misses nothing. */
TASK_TEST(cancelled_reader_loses_nothing)
{
	static const struct step steps[] = { { .bytes = "ab", .wait_ms = 3 },
					     { .bytes = "cde", .wait_ms = 3 },
					     { .bytes = "f", .wait_ms = 3 },
					     { .bytes = "ghij\nnext\n", .wait_ms = 3 },
					     { .rc = 0 } };

	for (int kind = 0; kind < 4; kind++) {
		for (int64_t ms = 1; ms < 16; ms++) {
			struct coop_reader rd;
			struct piece_call c = { .rd = &rd, .kind = kind };
			struct script peer;

			play(&peer, steps);
			coop_reader_init(&rd, &peer.s, NULL, 0);
			do
				CHECK_INT(coop_move_on_after(MS(ms) / 2 + MS(3), takes_piece, &c),
					  ==, 0);
			while (c.rc == COOP_ECANCELED);
			CHECK_STR(c.text, "abcdefghij");
			if (kind > 1)
				CHECK_INT(coop_reader_consume(&rd, kind == 3 ? 11 : 1), ==, 0);
			line_is(&rd, "next");
			coop_reader_deinit(&rd);
		}
	}
	return 0;
}

/* G06: a byte a second: a limit of time ends the wait at its moment, and the rest is had later. */
TASK_TEST(rel_G06_a_byte_a_second)
{
	static const struct step steps[] = {
		{ .bytes = "s", .wait_ms = 1000 },  { .bytes = "l", .wait_ms = 1000 },
		{ .bytes = "o", .wait_ms = 1000 },  { .bytes = "w", .wait_ms = 1000 },
		{ .bytes = "\n", .wait_ms = 1000 }, { .rc = 0 }
	};
	struct coop_reader rd;
	struct piece_call c = { .rd = &rd };
	struct script peer;

	play(&peer, steps);
	coop_reader_init(&rd, &peer.s, NULL, 0);
	CHECK_INT(coop_fail_after(MS(2500), takes_piece, &c), ==, COOP_ETIMEDOUT);
	coop_error_clear();
	CHECK_INT(now_ms(), ==, 2500);
	CHECK_INT(c.rc, ==, COOP_ECANCELED);
	CHECK_INT(coop_fail_after(MS(3500), takes_piece, &c), ==, 0);
	CHECK_STR(c.text, "slow");
	CHECK_INT(now_ms(), ==, 5500);
	coop_reader_deinit(&rd);
	PROVES(rel_G06);
	return 0;
}

/* A second task is refused while one waits. */
TASK_TEST(reader_has_one_user)
{
	static const struct step steps[] = { { .bytes = "line\n", .wait_ms = 5 }, { .rc = 0 } };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_reader rd;
	struct piece_call c = { .rd = &rd };
	struct script peer;
	char *line, byte;

	play(&peer, steps);
	coop_reader_init(&rd, &peer.s, NULL, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, takes_piece, &c), ==, 0);
	settle();
	CHECK_INT(coop_reader_line(&rd, &line), ==, -EBUSY);
	CHECK_INT(coop_reader_recv(&rd, &byte, 1), ==, -EBUSY);
	CHECK_INT(coop_reader_consume(&rd, 0), ==, -EBUSY);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_STR(c.text, "line");
	coop_reader_deinit(&rd);
	return 0;
}

/* I12: an error of the stream, or no memory: the buffer and what is in it are still there. */
TASK_TEST(rel_I12_error_keeps_the_buffer)
{
	static const struct step steps[] = {
		{ .bytes = "part" }, { .rc = -EIO }, { .bytes = " and rest\n" }, { .rc = 0 }
	};
	struct coop_reader rd;
	struct script peer;
	char *line;

	play(&peer, steps);
	coop_reader_init(&rd, &peer.s, NULL, 0);
	CHECK_INT(coop_reader_line(&rd, &line), ==, -EIO);
	CHECK_INT(coop_reader_peek(&rd, 0, &line), ==, 4);
	line_is(&rd, "part and rest");
	coop_reader_deinit(&rd);
	PROVES(rel_I12);
	return 0;
}

/* ---- writers */

static void flushed(struct script *peer, const char *expected)
{
	peer->sent[peer->sent_bytes] = '\0';
	CHECK_STR(peer->sent, expected);
}

/* Small pieces are gathered until a flush, or until there is no room. */
TASK_TEST(writer_gathers)
{
	struct coop_writer w;
	struct script peer;
	char buf[8];

	play(&peer, NULL);
	peer.chunk = 3;
	coop_writer_init(&w, &peer.s, buf, sizeof buf);
	CHECK_INT(coop_writer_write(&w, "ab", 2), ==, 0);
	CHECK_INT(coop_writer_printf(&w, "%d-%s", 12, "x"), ==, 0);
	flushed(&peer, "");
	CHECK_INT(coop_writer_write(&w, "cd", 2), ==, 0);
	flushed(&peer, "");
	CHECK_INT(coop_writer_write(&w, "e", 1), ==, 0);
	flushed(&peer, "ab12-xcd");
	CHECK_INT(coop_writer_flush(&w), ==, 0);
	flushed(&peer, "ab12-xcde");
	CHECK_INT(coop_writer_write(&w, "f", 1), ==, 0);
	CHECK_INT(coop_writer_write(&w, "a large piece", 13), ==, 0);
	flushed(&peer, "ab12-xcdefa large piece");
	CHECK_INT(coop_writer_printf(&w, "%s", "1234567"), ==, 0);
	CHECK_INT(coop_writer_printf(&w, "%s", "12345678"), ==, -EMSGSIZE);
	CHECK_INT(coop_writer_printf(&w, "%s", "8"), ==, 0);
	flushed(&peer, "ab12-xcdefa large piece1234567");
	CHECK_INT(coop_writer_write(&w, NULL, 0), ==, 0);
	CHECK_INT(coop_writer_deinit(&w), ==, 1);
	return 0;
}

/* G04: a flush returns when all has been handed on, to a peer that takes it slowly. */
TASK_TEST(rel_G04_flush_is_complete)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_stream a, b;
	struct coop_writer w;
	char text[1000], in[1000];
	struct io io = { .s = &b, .buf = in, .bytes = 990, .all = true };

	fill_pattern(text, sizeof text, 0);
	CHECK_INT(coop_memory_stream_pair(10, &a, &b), ==, 0);
	coop_writer_init(&w, &a, NULL, 0);
	CHECK_INT(coop_writer_write(&w, text, sizeof text), ==, 0);
	coop_group_open(&g, NULL);
	start(&g, io_receives, &io);
	CHECK(!io.ended);
	CHECK_INT(coop_writer_flush(&w), ==, 0);
	finish(&io); /* all but what fits into the buffer of the stream has been received */
	CHECK_INT(io.rc, ==, 0);
	check_pattern(in, 990, 0);
	CHECK_INT(coop_stream_recv(&b, in, 1000), ==, 10);
	check_pattern(in, 10, 990);
	CHECK_INT(coop_writer_deinit(&w), ==, 0);
	CHECK_INT(coop_stream_close(&a), ==, 0);
	CHECK_INT(coop_stream_close(&b), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	PROVES(rel_G04);
	return 0;
}

static int flushes(void *arg)
{
	return coop_writer_flush(arg);
}

/* A flush that was interrupted goes on where it was. */
TASK_TEST(interrupted_flush_goes_on)
{
	struct coop_stream a, b;
	struct coop_writer w;
	char text[100], in[100];
	size_t at = 0;
	int cancelled = 0;

	fill_pattern(text, sizeof text, 0);
	CHECK_INT(coop_memory_stream_pair(7, &a, &b), ==, 0);
	coop_writer_init(&w, &a, NULL, sizeof text);
	CHECK_INT(coop_writer_write(&w, text, sizeof text), ==, 0);
	while (w._end) {
		int r;

		CHECK_INT(coop_move_on_after(MS(1), flushes, &w), ==, 0);
		cancelled += w._end != 0;
		r = coop_stream_recv(&b, in + at, sizeof in - at);
		CHECK_INT(r, >, 0);
		at += (size_t)r;
	}
	while (at < sizeof in)
		at += (size_t)coop_stream_recv(&b, in + at, sizeof in - at);
	check_pattern(in, sizeof in, 0);
	CHECK_INT(cancelled, >=, 10);
	CHECK_INT(coop_writer_deinit(&w), ==, 0);
	CHECK_INT(coop_stream_close(&a), ==, 0);
	CHECK_INT(coop_stream_close(&b), ==, 0);
	return 0;
}

static int writes_large(void *arg)
{
	static const char text[] = "larger than the buffer and than the stream";

	return coop_writer_write(arg, text, sizeof text - 1);
}

/* A piece that goes past the buffer and is cut in the middle has broken the stream. */
TASK_TEST(interrupted_large_piece)
{
	struct coop_stream a, b;
	struct coop_writer w;
	char buf[4], in[16] = "";

	CHECK_INT(coop_memory_stream_pair(8, &a, &b), ==, 0);
	coop_writer_init(&w, &a, buf, sizeof buf);
	CHECK_INT(coop_writer_write(&w, "ab", 2), ==, 0);
	CHECK_INT(coop_move_on_after(MS(1), writes_large, &w), ==, 0);
	CHECK_INT(coop_stream_recv(&b, in, 16), ==, 8);
	CHECK_STR(in, "ablarger");
	CHECK_INT(coop_writer_write(&w, "c", 1), ==, 0);
	CHECK_INT(coop_writer_flush(&w), ==, COOP_EBROKEN);
	CHECK_INT(coop_writer_deinit(&w), ==, 1);
	CHECK_INT(coop_stream_close(&a), ==, 0);
	CHECK_INT(coop_stream_close(&b), ==, 0);
	return 0;
}

/* G06: lines, pieces and counts over every kind of stream, one byte at a time. */
EACH_KIND(rel_G06_one_byte_transfers, AT_ONCE)
{
	struct coop_stream one;
	struct coop_reader rd;
	char *line, in[8] = "";

	if (now_testing != BYTEWISE)
		coop_stream_init(&one, &bytewise_ops, &p->b);
	coop_reader_init(&rd, now_testing == BYTEWISE ? &p->b : &one, NULL, 100);
	sends(&p->a, "first\r\nsecond\nEND.12345");
	line_is(&rd, "first");
	line_is(&rd, "second");
	CHECK_INT(coop_reader_until(&rd, "END.", 4, &line), ==, 0);
	CHECK_INT(coop_reader_exactly(&rd, in, 5), ==, 0);
	CHECK_STR(in, "12345");
	CHECK_INT(coop_stream_close(&p->a), ==, 0);
	CHECK_INT(coop_reader_line(&rd, &line), ==, COOP_EOF);
	coop_reader_deinit(&rd);
	PROVES(rel_G06);
}
