/* SPDX-License-Identifier: MIT */
/*
 * What all simulated sockets have: their making, their end, and the pieces of a transfer.
 */
#include "io/sim.h"

#include <errno.h>

struct sim_sock *sim_sock_of(struct sim_object *o)
{
	return CP_CONTAINER_OF(o, struct sim_sock, object);
}

struct sim_sock *sim_sock_new(struct cp_sim *sim, sa_family_t family, int type)
{
	size_t limit = family == AF_UNIX ? SIM_UNIX_BYTES : SIM_TCP_BYTES;
	struct sim_sock *s = cp_calloc(1, sizeof *s);

	if (!s)
		return NULL;
	sim_object_init(sim, &s->object, type == SOCK_STREAM ? &sim_stream_ops : &sim_dgram_ops);
	s->object.is_socket = true;
	s->family = family;
	s->type = type;
	s->linger = -1;
	s->mode = 0755;
	sim_channel_init(&s->in, &s->object,
			 sim->plan.buffer_bytes ? sim->plan.buffer_bytes : limit);
	return s;
}

void sim_sock_free(struct cp_sim *sim, struct sim_sock *s)
{
	while (s->options) {
		struct sim_option *o = s->options;

		s->options = o->next;
		cp_free(o);
	}
	while (s->rights) {
		struct sim_rights *r = s->rights;

		s->rights = r->next;
		sim_rights_free(sim, r);
	}
	sim_unbind(sim, s);
	sim_disarm(sim, &s->event);
	sim_channel_deinit(sim, &s->in);
	sim_object_deinit(sim, &s->object);
	cp_free(s);
}

int sim_sock_error(struct sim_sock *s)
{
	int r = -s->error;

	s->error = 0;
	return r;
}

struct sim_transfer sim_transfer_of(struct cp_op *op)
{
	struct sim_transfer t = { .cursor = { op->iov, op->count, 0 } };

	if (op->code == CP_OP_RECVMSG || op->code == CP_OP_SENDMSG) {
		t.msg = op->msg;
		t.cursor = (struct sim_cursor){ op->msg->msg_iov, (int)op->msg->msg_iovlen, 0 };
	}
	if (op->code >= CP_OP_RECV && op->code <= CP_OP_SENDMSG)
		t.flags = op->flags;
	t.bytes = sim_iov_bytes(t.cursor.iov, t.cursor.count);
	if (t.bytes > INT32_MAX)
		t.bytes = INT32_MAX;
	return t;
}
