/* SPDX-License-Identifier: MIT */
/* What io.h promises, call by call. */
#include "../io/io_help.h"

#include <sys/uio.h>

struct stage {
	int a, b; /* a stream; b has sent a byte */
	int file;
	int in[2];      /* a pipe with a byte in it */
	int out[2];     /* an empty one */
	int l, s, done; /* a listener with a connection in its queue; a socket to connect */
	struct sockaddr_in addr;
	char buf[8];
};

#include "contract.h"

static void stage_open(struct stage *s, bool in_task)
{
	int other;

	(void)in_task;
	pair(&s->a, &s->b);
	CHECK_INT(send(s->b, "x", 1, 0), ==, 1);
	s->file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	CHECK_INT(s->file, >=, 0);
	CHECK_INT(write(s->file, "abc", 3), ==, 3);
	CHECK_INT(pipe2(s->in, O_CLOEXEC), ==, 0);
	CHECK_INT(pipe2(s->out, O_CLOEXEC), ==, 0);
	CHECK_INT(write(s->in[1], "x", 1), ==, 1);
	s->l = listener(&s->addr);
	s->s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_INT(connect(other, (struct sockaddr *)&s->addr, sizeof s->addr), ==, 0);
	close(other);
	s->done = -1;
}

static void stage_close(struct stage *s, bool in_task)
{
	int fds[] = { s->a,      s->b,      s->file, s->in[0], s->in[1],
		      s->out[0], s->out[1], s->l,    s->s,     s->done };

	for (unsigned i = 0; i < sizeof fds / sizeof *fds; i++) {
		if (in_task)
			coop_close(fds[i]);
		else if (fds[i] >= 0)
			close(fds[i]);
	}
}

ROW(coop_read, ALWAYS, 1, COOP_ENOTASK)
{
	return coop_read(s->in[0], s->buf, 8);
}

ROW(coop_write, ALWAYS, 2, COOP_ENOTASK)
{
	return coop_write(s->out[1], "hi", 2);
}

ROW(coop_readv, ALWAYS, 1, COOP_ENOTASK)
{
	return coop_readv(s->in[0], &(struct iovec){ s->buf, 8 }, 1);
}

ROW(coop_writev, ALWAYS, 8, COOP_ENOTASK)
{
	return coop_writev(s->out[1], &(struct iovec){ s->buf, 8 }, 1);
}

ROW(coop_pread, ALWAYS, 2, COOP_ENOTASK)
{
	return coop_pread(s->file, s->buf, 8, 1);
}

ROW(coop_pwrite, ALWAYS, 2, COOP_ENOTASK)
{
	return coop_pwrite(s->file, "hi", 2, 1);
}

ROW(coop_recv, ALWAYS, 1, COOP_ENOTASK)
{
	return coop_recv(s->a, s->buf, 8, 0);
}

/* Also a call that fails gives way. */
ROW_AS(coop_recv, closed, ALWAYS, -EBADF, COOP_ENOTASK)
{
	return coop_recv(-1, s->buf, 8, 0);
}

ROW(coop_send, ALWAYS, 2, COOP_ENOTASK)
{
	return coop_send(s->a, "hi", 2, 0);
}

ROW(coop_recvmsg, ALWAYS, 1, COOP_ENOTASK)
{
	struct iovec iov = { s->buf, 8 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	return coop_recvmsg(s->a, &msg, 0);
}

ROW(coop_sendmsg, ALWAYS, 8, COOP_ENOTASK)
{
	struct iovec iov = { s->buf, 8 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	return coop_sendmsg(s->a, &msg, 0);
}

ROW(coop_accept, ALWAYS, 0, COOP_ENOTASK)
{
	int r = coop_accept(s->l, NULL, NULL);

	if (r < 0)
		return r;
	s->done = r;
	return 0;
}

ROW(coop_connect, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_connect(s->s, (struct sockaddr *)&s->addr, sizeof s->addr);
}

ROW(coop_poll, ALWAYS, POLLIN, COOP_ENOTASK)
{
	return coop_poll(s->a, POLLIN);
}

ROW(coop_fsync, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_fsync(s->file);
}

ROW(coop_fdatasync, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_fdatasync(s->file);
}

ROW(coop_splice, ALWAYS, 1, COOP_ENOTASK)
{
	return coop_splice(s->in[0], s->out[1], 8, 0);
}

/* What is refused on its arguments is a checkpoint all the same. */
ROW_AS(coop_readv, negative, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_readv(s->in[0], &(struct iovec){ s->buf, 8 }, -1);
}

ROW_AS(coop_writev, negative, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_writev(s->out[1], &(struct iovec){ s->buf, 8 }, -1);
}

ROW_AS(coop_pread, negative, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_pread(s->file, s->buf, 8, -1);
}

ROW_AS(coop_pwrite, negative, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_pwrite(s->file, "hi", 2, -1);
}

ROW_AS(coop_recvmsg, nothing, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_recvmsg(s->a, NULL, 0);
}

ROW_AS(coop_sendmsg, nothing, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_sendmsg(s->a, NULL, 0);
}

ROW_AS(coop_accept, no_length, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_accept(s->l, (struct sockaddr *)&s->addr, NULL);
}

ROW_AS(coop_connect, nowhere, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_connect(s->s, NULL, 0);
}

ROW_AS(coop_poll, nothing, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_poll(s->a, 0);
}

/* Closes under a cancelled scope, too: tests/io/test_calls.c. */
ROW(coop_close, CUSTOM, 0, COOP_ENOTASK)
{
	return coop_close(s->a);
}

ROW(coop_forget, CUSTOM, 0, COOP_ENOTASK)
{
	return coop_forget(s->a);
}
