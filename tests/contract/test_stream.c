/* SPDX-License-Identifier: MIT */
/* What stream.h promises, call by call. */
#include "../io/stream_help.h"

struct stage {
	struct coop_stream a, b;  /* in `a` wait 6 bytes: "one\r\nx" */
	struct coop_stream empty; /* its peer has closed */
	struct coop_stream peer;
	struct coop_reader reader; /* of `a` */
	struct coop_writer writer; /* of `a` */
	char in[16], out[8], got[16];
	uint64_t counts[2];
};

#include "contract.h"

/* Outside of a run no stream of coop's can be made; this one asks for a task. */
static int asks(struct coop_stream *stream)
{
	(void)stream;
	return coop_checkpoint();
}

static int asks_recv(struct coop_stream *stream, void *buf, size_t bytes)
{
	(void)buf;
	(void)bytes;
	return asks(stream);
}

static int asks_send(struct coop_stream *stream, const void *buf, size_t bytes)
{
	(void)buf;
	(void)bytes;
	return asks(stream);
}

static void no_release(struct coop_stream *stream, bool abort)
{
	(void)stream;
	(void)abort;
}

static const struct coop_stream_ops asks_ops = { .name = "asks",
						 .recv = asks_recv,
						 .send = asks_send,
						 .send_eof = asks,
						 .release = no_release };

static void stage_open(struct stage *s, bool in_task)
{
	*s = (struct stage){ .a = COOP_STREAM_INIT };
	coop_reader_init(&s->reader, &s->a, s->in, sizeof s->in);
	coop_writer_init(&s->writer, &s->a, s->out, sizeof s->out);
	if (!in_task) {
		coop_stream_init(&s->a, &asks_ops, NULL);
		return;
	}
	CHECK_INT(coop_memory_stream_pair(64, &s->a, &s->b), ==, 0);
	CHECK_INT(coop_memory_stream_pair(64, &s->empty, &s->peer), ==, 0);
	CHECK_INT(coop_stream_close(&s->peer), ==, 0);
	sends(&s->b, "one\r\nx");
}

static void stage_close(struct stage *s, bool in_task)
{
	if (!in_task)
		return;
	coop_stream_close(&s->a);
	coop_stream_close(&s->b);
	coop_stream_close(&s->empty);
}

/* ---- making one */

ROW(coop_stream_from_fd, NEVER, -EBADF, -EBADF)
{
	return coop_stream_from_fd(-1, &s->peer);
}

ROW(coop_stream_init, NEVER, 0, 0)
{
	coop_stream_init(&s->peer, &bytewise_ops, &s->a);
	return 0;
}

ROW(coop_pipe_open, NEVER, 0, COOP_ENOTASK)
{
	struct coop_stream r, w;
	int rc = coop_pipe_open(&r, &w);

	if (rc < 0)
		return rc;
	CHECK_INT(coop_stream_fd(&r, false), >=, 0);
	close(coop_stream_fd(&r, false)); /* never used: to close the stream may suspend */
	close(coop_stream_fd(&w, true));
	return rc;
}

ROW(coop_memory_stream_pair_at, NEVER, 0, COOP_ENOTASK)
{
	struct coop_stream a, b;
	int r = coop_memory_stream_pair(1, &a, &b);

	if (r < 0)
		return r;
	coop_stream_close(&a);
	coop_stream_close(&b);
	return r;
}

ROW(coop_stream_staple, NEVER, 0, 0)
{
	struct coop_stream both;

	coop_stream_staple(&s->a, &s->b, &both);
	return 0;
}

/* ---- using it */

ROW(coop_stream_recv, ALWAYS, 6, COOP_ENOTASK)
{
	return coop_stream_recv(&s->a, s->got, 16);
}

ROW_AS(coop_stream_recv, end, ALWAYS, 0, NOTHING_OUTSIDE)
{
	return coop_stream_recv(&s->empty, s->got, 16);
}

ROW_AS(coop_stream_recv, nothing, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_stream_recv(&s->a, s->got, 0);
}

ROW_AS(coop_stream_recv, closed, ALWAYS, COOP_ECLOSED, NOTHING_OUTSIDE)
{
	return coop_stream_recv(&s->peer, s->got, 16);
}

ROW(coop_stream_recv_exactly, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_stream_recv_exactly(&s->a, s->got, 6, NULL);
}

ROW_AS(coop_stream_recv_exactly, end, ALWAYS, COOP_EOF, NOTHING_OUTSIDE)
{
	return coop_stream_recv_exactly(&s->empty, s->got, 6, NULL);
}

ROW_AS(coop_stream_recv_exactly, nothing, ALWAYS, 0, NOTHING_OUTSIDE)
{
	return coop_stream_recv_exactly(&s->a, s->got, 0, NULL);
}

ROW(coop_stream_send_all, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_stream_send_all(&s->a, "text", 4, NULL);
}

ROW_AS(coop_stream_send_all, peer_gone, ALWAYS, -EPIPE, NOTHING_OUTSIDE)
{
	return coop_stream_send_all(&s->empty, "text", 4, NULL);
}

ROW_AS(coop_stream_send_all, nothing, ALWAYS, 0, NOTHING_OUTSIDE)
{
	return coop_stream_send_all(&s->a, NULL, 0, NULL);
}

ROW(coop_stream_send_all_v, ALWAYS, 0, COOP_ENOTASK)
{
	struct iovec iov = { (void *)"text", 4 };

	return coop_stream_send_all_v(&s->a, &iov, 1, NULL);
}

ROW_AS(coop_stream_send_all_v, bad_count, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_stream_send_all_v(&s->a, NULL, -1, NULL);
}

ROW(coop_stream_send_eof, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_stream_send_eof(&s->a);
}

ROW_AS(coop_stream_send_eof, closed, ALWAYS, COOP_ECLOSED, NOTHING_OUTSIDE)
{
	return coop_stream_send_eof(&s->peer);
}

ROW(coop_stream_close, CUSTOM, 0, 1)
{
	return coop_stream_close(&s->b);
}

ROW(coop_stream_abort, CUSTOM, 0, 1)
{
	return coop_stream_abort(&s->b);
}

ROW(coop_stream_fd, NEVER, -ENOTSUP, -ENOTSUP)
{
	return coop_stream_fd(&s->a, true);
}

/* ---- readers */

ROW(coop_reader_init, NEVER, 0, 0)
{
	coop_reader_init(&s->reader, &s->b, NULL, 0);
	return 0;
}

ROW(coop_reader_deinit, NEVER, 0, 0)
{
	coop_reader_deinit(NULL);
	coop_reader_deinit(&s->reader);
	return 0;
}

ROW(coop_reader_recv, ALWAYS, 6, COOP_ENOTASK)
{
	return coop_reader_recv(&s->reader, s->got, 16);
}

ROW(coop_reader_exactly, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_reader_exactly(&s->reader, s->got, 5);
}

ROW_AS(coop_reader_exactly, too_large, ALWAYS, -EMSGSIZE, COOP_ENOTASK)
{
	return coop_reader_exactly(&s->reader, s->got, 17);
}

ROW(coop_reader_until, ALWAYS, 2, COOP_ENOTASK)
{
	char *text;

	return coop_reader_until(&s->reader, "e\r", 2, &text);
}

ROW_AS(coop_reader_until, nothing, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	char *text;

	return coop_reader_until(&s->reader, "", 0, &text);
}

ROW(coop_reader_line, ALWAYS, 3, COOP_ENOTASK)
{
	char *line;

	return coop_reader_line(&s->reader, &line);
}

ROW(coop_reader_peek, ALWAYS, 6, COOP_ENOTASK)
{
	char *data;

	return coop_reader_peek(&s->reader, 1, &data);
}

ROW_AS(coop_reader_peek, nothing, ALWAYS, 0, COOP_ENOTASK)
{
	char *data;

	return coop_reader_peek(&s->reader, 0, &data);
}

ROW(coop_reader_consume, NEVER, -EINVAL, -EINVAL)
{
	CHECK_INT(coop_reader_consume(&s->reader, 0), ==, 0);
	return coop_reader_consume(&s->reader, 1);
}

ROW(coop_reader_stream, NEVER, 0, 0)
{
	struct coop_stream rest;

	coop_reader_stream(&s->reader, &rest);
	return 0;
}

/* ---- writers */

ROW(coop_writer_init, NEVER, 0, 0)
{
	coop_writer_init(&s->writer, &s->b, NULL, 0);
	return 0;
}

ROW(coop_writer_deinit, NEVER, 0, 0)
{
	CHECK_INT(coop_writer_deinit(NULL), ==, 0);
	return (int)coop_writer_deinit(&s->writer);
}

ROW(coop_writer_write, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_writer_write(&s->writer, "text", 4);
}

ROW_AS(coop_writer_write, large, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_writer_write(&s->writer, "a longer text", 13);
}

ROW(coop_writer_printf, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_writer_printf(&s->writer, "%d", 1234567);
}

ROW_AS(coop_writer_printf, too_large, ALWAYS, -EMSGSIZE, COOP_ENOTASK)
{
	return coop_writer_printf(&s->writer, "%d", 12345678);
}

ROW(coop_writer_flush, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_writer_flush(&s->writer);
}

/* ---- from one to another */

ROW(coop_stream_copy, ALWAYS, 0, NOTHING_OUTSIDE)
{
	return coop_stream_copy(&s->empty, &s->a, COOP_UNTIL_END, NULL);
}

ROW_AS(coop_stream_copy, nothing, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_stream_copy(&s->b, &s->a, 0, NULL);
}

ROW_AS(coop_stream_copy, closed, ALWAYS, COOP_ECLOSED, NOTHING_OUTSIDE)
{
	return coop_stream_copy(&s->peer, &s->a, COOP_UNTIL_END, NULL);
}

ROW(coop_relay_at, CUSTOM, 0, NOTHING_OUTSIDE)
{
	CHECK_INT(coop_stream_send_eof(&s->b), >=, COOP_ECANCELED);
	return coop_relay(&s->a, &s->empty, s->counts) == -EPIPE ? 0 : 1;
}
