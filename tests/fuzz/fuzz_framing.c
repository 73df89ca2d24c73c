/* SPDX-License-Identifier: MIT */
/*
 * Readers: lines, other pieces, counts and plain receives, in any order, of any bytes that come in
 * any chunks through a buffer of any size, against a model that has all bytes in front of it.
 * The first four bytes say how, the rest is what comes.
 */
#include <coop/error.h>
#include <coop/run.h>
#include <coop/stream.h>
#include <coop/task.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond) ((cond) ? (void)0 : abort())

struct input {
	const char *bytes;
	size_t size;
	size_t came; /* handed to the reader */
	size_t pos;  /* consumed, in the model */
	size_t limit;
	uint32_t state;
};

static size_t chance(struct input *in, size_t n)
{
	in->state = in->state * 1664525 + 1013904223;
	return (in->state >> 8) % n;
}

static int comes(struct coop_stream *s, void *buf, size_t bytes)
{
	struct input *in = s->ctx;
	size_t left = in->size - in->came, n = 1 + chance(in, 9);
	int r = coop_checkpoint();

	if (r < 0)
		return r;
	n = n < left ? n : left;
	n = n < bytes ? n : bytes;
	memcpy(buf, in->bytes + in->came, n);
	in->came += n;
	return (int)n;
}

static void ends(struct coop_stream *s, bool abort_it)
{
	(void)s;
	(void)abort_it;
}

static const struct coop_stream_ops ops = { .name = "input", .recv = comes, .release = ends };

/* What a call for a piece before `delim` must return. */
static int expect_piece(const struct input *in, const char *delim, size_t delim_bytes)
{
	const char *from = in->bytes + in->pos;
	size_t left = in->size - in->pos;
	const char *at = memmem(from, left, delim, delim_bytes);

	if (at && (size_t)(at - from) + delim_bytes <= in->limit)
		return (int)(at - from);
	return left >= in->limit ? -EMSGSIZE : COOP_EOF;
}

static void take_piece(struct input *in, struct coop_reader *rd)
{
	static const char *const delims[] = { "\n", "\r\n", "aa", "aba", "\n\n\n" };
	const char *delim = delims[chance(in, 5)];
	int expected = expect_piece(in, delim, strlen(delim));
	char *piece = NULL;
	int r = coop_reader_until(rd, delim, strlen(delim), &piece);

	MUST(r == expected);
	if (r < 0)
		return;
	MUST(memcmp(piece, in->bytes + in->pos, (size_t)r) == 0 && piece[r] == '\0');
	in->pos += (size_t)r + strlen(delim);
}

static void take_line(struct input *in, struct coop_reader *rd)
{
	int expected = expect_piece(in, "\n", 1), r;
	size_t bytes = expected < 0 ? 0 : (size_t)expected + 1;
	char *line = NULL;

	if (expected > 0 && in->bytes[in->pos + (size_t)expected - 1] == '\r')
		expected--;
	r = coop_reader_line(rd, &line);
	MUST(r == expected);
	if (r < 0)
		return;
	MUST(memcmp(line, in->bytes + in->pos, (size_t)r) == 0 && line[r] == '\0');
	in->pos += bytes;
}

static void take_exactly(struct input *in, struct coop_reader *rd)
{
	size_t bytes = chance(in, in->limit + 2), left = in->size - in->pos;
	int expected = bytes > in->limit ? -EMSGSIZE : bytes > left ? COOP_EOF : 0;
	char buf[80], *data = NULL;
	int r;

	if (chance(in, 2)) {
		MUST(coop_reader_exactly(rd, buf, bytes) == expected);
		if (expected < 0)
			return;
		data = buf;
		MUST(memcmp(data, in->bytes + in->pos, bytes) == 0);
	} else {
		r = coop_reader_peek(rd, bytes, &data);
		MUST(expected < 0 ? r == expected : r >= (int)bytes && (size_t)r <= left);
		if (r < 0)
			return;
		MUST(r == 0 || memcmp(data, in->bytes + in->pos, (size_t)r) == 0);
		MUST(coop_reader_consume(rd, bytes) == 0);
	}
	in->pos += bytes;
}

/* Returns 0 at the end. */
static int take_some(struct input *in, struct coop_reader *rd)
{
	size_t bytes = 1 + chance(in, 80), left = in->size - in->pos;
	char buf[80];
	int r = coop_reader_recv(rd, buf, bytes);

	MUST(left ? r > 0 && (size_t)r <= bytes && (size_t)r <= left : r == 0);
	MUST(memcmp(buf, in->bytes + in->pos, (size_t)r) == 0);
	in->pos += (size_t)r;
	return r;
}

static int reads_all(void *arg)
{
	struct input *in = arg;
	struct coop_reader rd;
	struct coop_stream s;
	char buf[64];
	bool own = chance(in, 2);
	int r;

	coop_stream_init(&s, &ops, in);
	coop_reader_init(&rd, &s, own ? NULL : buf, in->limit);
	do {
		for (size_t n = chance(in, 4); n; n--)
			take_line(in, &rd);
		for (size_t n = chance(in, 3); n; n--)
			take_piece(in, &rd);
		for (size_t n = chance(in, 3); n; n--)
			take_exactly(in, &rd);
		r = take_some(in, &rd);
	} while (r > 0);
	coop_reader_deinit(&rd);
	coop_stream_close(&s);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct coop_run_opts opts = { .clock = COOP_CLOCK_VIRTUAL };
	struct input in = { 0 };

	if (size < 4)
		return 0;
	in.bytes = (const char *)data + 4;
	in.size = size - 4;
	in.limit = 1 + data[0] % 64;
	in.state = (uint32_t)data[1] | (uint32_t)data[2] << 8 | (uint32_t)data[3] << 16;
	MUST(coop_run(reads_all, &in, &opts) == 0);
	return 0;
}
