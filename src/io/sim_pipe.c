/* SPDX-License-Identifier: MIT */
/*
 * Pipes of the simulated world, and splice.
 *
 * As the kernel's: 64 KiB, writes of up to 4096 bytes whole or not at all, an end when the last
 * writer has gone, -EPIPE when the last reader has.
 */
#include "io/sim.h"

#include <errno.h>
#include <poll.h>

struct pipe_end {
	struct sim_object object;
	struct pipe *pipe;
};

struct pipe {
	struct sim_channel bytes;
	struct pipe_end *reader, *writer; /* NULL: closed */
};

static struct pipe_end *of(struct sim_object *o)
{
	return CP_CONTAINER_OF(o, struct pipe_end, object);
}

static int pipe_read(struct cp_sim *sim, struct pipe *p, struct sim_transfer t)
{
	size_t n = t.bytes < p->bytes.visible ? t.bytes : p->bytes.visible;

	if (!t.bytes)
		return 0;
	if (!n)
		return p->bytes.over ? 0 : -EAGAIN;
	n = sim_shorten(sim, n);
	sim_channel_take(&p->bytes, &t.cursor, n, false);
	if (p->writer)
		sim_changed(sim, &p->writer->object);
	return (int)n;
}

static int pipe_space(struct cp_sim *sim, struct sim_object *o)
{
	struct pipe *p = of(o)->pipe;
	size_t space = sim_channel_space(&p->bytes);

	(void)sim;
	if (of(o) != p->writer)
		return -EBADF;
	if (!p->reader)
		return -EPIPE;
	return space ? (int)space : -EAGAIN;
}

static int pipe_write(struct cp_sim *sim, struct pipe_end *e, struct sim_transfer t)
{
	int space = pipe_space(sim, &e->object), r;
	size_t n = t.bytes;

	if (!n)
		return 0;
	if (space < 0)
		return space;
	if (n <= SIM_PIPE_ATOMIC && n > (size_t)space)
		return -EAGAIN;
	if (n > SIM_PIPE_ATOMIC)
		n = sim_shorten(sim, n < (size_t)space ? n : (size_t)space);
	r = sim_channel_put(sim, &e->pipe->bytes, &t.cursor, n);
	return r < 0 ? r : (int)n;
}

static int pipe_poll(const struct pipe_end *e, int events)
{
	const struct pipe *p = e->pipe;
	int there = 0;

	if (e == p->reader)
		there = (p->bytes.visible ? POLLIN | POLLRDNORM : 0) |
			(p->bytes.over ? POLLHUP : 0);
	else
		there = (sim_channel_space(&p->bytes) >= SIM_PIPE_ATOMIC ? POLLOUT | POLLWRNORM
									 : 0) |
			(p->reader ? 0 : POLLERR);
	there &= events | POLLHUP | POLLERR;
	return there ? there : -EAGAIN;
}

static int pipe_try(struct cp_sim *sim, struct sim_object *o, struct cp_op *op)
{
	struct pipe_end *e = of(o);

	switch ((enum cp_op_code)op->code) {
	case CP_OP_READ:
		return e == e->pipe->reader ? pipe_read(sim, e->pipe, sim_transfer_of(op)) : -EBADF;
	case CP_OP_WRITE:
		return e == e->pipe->writer ? pipe_write(sim, e, sim_transfer_of(op)) : -EBADF;
	case CP_OP_POLL: return pipe_poll(e, op->flags);
	case CP_OP_PREAD:
	case CP_OP_PWRITE: return -ESPIPE;
	case CP_OP_FSYNC: return -EINVAL;
	default: return -ENOTSOCK;
	}
}

static void pipe_gone(struct cp_sim *sim, struct sim_object *o)
{
	struct pipe_end *e = of(o);
	struct pipe *p = e->pipe;

	if (e == p->writer) {
		p->writer = NULL;
		if (p->reader)
			sim_channel_end(sim, &p->bytes, SIM_END_FIN);
	} else {
		p->reader = NULL;
		if (p->writer)
			sim_changed(sim, &p->writer->object);
	}
	sim_object_deinit(sim, o);
	if (!p->reader && !p->writer) {
		sim_channel_deinit(sim, &p->bytes);
		cp_free(p);
	}
	cp_free(e);
}

static const struct sim_object_ops pipe_ops = {
	.try = pipe_try,
	.space = pipe_space,
	.gone = pipe_gone,
};

static struct pipe_end *end_new(struct cp_sim *sim, struct pipe *p)
{
	struct pipe_end *e = cp_calloc(1, sizeof *e);

	if (!e)
		return NULL;
	sim_object_init(sim, &e->object, &pipe_ops);
	e->object.is_pipe = true;
	e->pipe = p;
	return e;
}

int sim_pipe(struct cp_sim *sim, int ret_fds[2])
{
	struct pipe *p = cp_calloc(1, sizeof *p);
	int in, out;

	if (!p)
		return -ENOMEM;
	p->reader = end_new(sim, p);
	if (!p->reader) {
		cp_free(p);
		return -ENOMEM;
	}
	sim_channel_init(&p->bytes, &p->reader->object,
			 sim->plan.buffer_bytes ? sim->plan.buffer_bytes : SIM_PIPE_BYTES);
	p->writer = end_new(sim, p);
	if (!p->writer) {
		pipe_gone(sim, &p->reader->object);
		return -ENOMEM;
	}
	in = sim_number_first(sim, &p->reader->object);
	if (in < 0) {
		pipe_gone(sim, &p->writer->object);
		return in;
	}
	out = sim_number_first(sim, &p->writer->object);
	if (out < 0) {
		sim_number_close(sim, in);
		return out;
	}
	ret_fds[0] = in;
	ret_fds[1] = out;
	return 0;
}

/* ---------------------------------------------------------------------- splice */

/* What could not be written is there to be read again. */
static void give_back(struct sim_object *in, size_t bytes)
{
	if (in->is_pipe)
		sim_channel_give_back(&of(in)->pipe->bytes, bytes);
	else if (in->ops == &sim_stream_ops)
		sim_channel_give_back(&sim_sock_of(in)->in, bytes);
}

static bool is_one_pipe(struct sim_object *in, struct sim_object *out)
{
	return in->is_pipe && out->is_pipe && of(in)->pipe == of(out)->pipe;
}

/* Writes what was read: how much of it, or why none. It stops where a connection is reset. */
static int write_all(struct cp_sim *sim, struct sim_object *out, size_t bytes)
{
	struct iovec iov = { sim->scratch, bytes };
	struct cp_op part = { .code = CP_OP_WRITE, .iov = &iov, .count = 1, .offset = -1 };

	while (iov.iov_len) {
		int n = out->ops->try(sim, out, &part);

		if (n <= 0)
			return iov.iov_len < bytes ? (int)(bytes - iov.iov_len) : n;
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
	}
	return (int)bytes;
}

int sim_splice(struct cp_sim *sim, struct cp_op *op)
{
	struct sim_object *in = op->f->own, *out = op->to->own;
	struct iovec iov = { sim->scratch, op->one.iov_len };
	struct cp_op part = { .code = CP_OP_READ, .iov = &iov, .count = 1, .offset = -1 };
	int space, r, n;

	if ((!in->is_pipe && !out->is_pipe) || is_one_pipe(in, out))
		return -EINVAL;
	if (!op->one.iov_len)
		return 0;
	space = out->ops->space ? out->ops->space(sim, out) : -EINVAL;
	if (space < 0)
		return space;
	if (iov.iov_len > (size_t)space)
		iov.iov_len = (size_t)space;
	if (iov.iov_len > sizeof sim->scratch)
		iov.iov_len = sizeof sim->scratch;
	r = in->ops->try(sim, in, &part);
	if (r <= 0)
		return r;
	n = write_all(sim, out, (size_t)r);
	if (n < r)
		give_back(in, (size_t)(r - (n > 0 ? n : 0)));
	return n;
}
