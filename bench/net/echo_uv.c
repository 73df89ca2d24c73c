/* SPDX-License-Identifier: MIT */
/* An echo server on libuv. */
#include "net.h"

#include <uv.h>

struct conn {
	uv_tcp_t tcp;
	char buf[NET_BUFFER];
};

static void lend(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
	struct conn *c = (struct conn *)h;

	(void)hint;
	*buf = uv_buf_init(c->buf, sizeof c->buf);
}

static void closed(uv_handle_t *h)
{
	free(h);
}

static void end(uv_handle_t *h)
{
	if (!uv_is_closing(h))
		uv_close(h, closed);
}

/* An answer is small and the only one under way: it fits, or the connection is lost. */
static void got(uv_stream_t *s, ssize_t bytes, const uv_buf_t *buf)
{
	uv_buf_t out;

	if (bytes == 0)
		return;
	out = uv_buf_init(buf->base, (unsigned)(bytes > 0 ? bytes : 0));
	if (bytes < 0 || uv_try_write(s, &out, 1) != (int)bytes)
		end((uv_handle_t *)s);
}

static void take(uv_stream_t *listener, int status)
{
	struct conn *c = status < 0 ? NULL : calloc(1, sizeof *c);

	if (!c)
		return;
	uv_tcp_init(listener->loop, &c->tcp);
	if (uv_accept(listener, (uv_stream_t *)&c->tcp) < 0 ||
	    uv_read_start((uv_stream_t *)&c->tcp, lend, got) < 0)
		end((uv_handle_t *)&c->tcp);
}

int main(void)
{
	uv_loop_t *loop = uv_default_loop();
	uv_tcp_t listener;

	uv_tcp_init(loop, &listener);
	net_must(uv_tcp_open(&listener, net_listen(SOCK_NONBLOCK)), "uv_tcp_open");
	net_must(uv_listen((uv_stream_t *)&listener, NET_BACKLOG, take), "uv_listen");
	return uv_run(loop, UV_RUN_DEFAULT);
}
