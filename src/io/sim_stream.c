/* SPDX-License-Identifier: MIT */
/*
 * Connected stream sockets of the simulated world, of TCP and Unix.
 *
 * As Linux has them, also where the two differ. What TCP's peer sends after its partner has closed
 * comes back as a reset: that first send succeeds. A close with something unread is a reset, too,
 * and so is one with a linger of 0. After a reset what had arrived can still be read,
 * the error is told once, and then there is the end for those who read, -EPIPE for those who write.
 * A Unix socket's peer that has gone is known at once.
 */
#include "io/sim.h"

#include <errno.h>
#include <poll.h>

static bool is_tcp(const struct sim_sock *s)
{
	return s->family != AF_UNIX;
}

/* --------------------------------------------------------------- ends and resets */

/* The two have parted: neither knows the other any more. */
static void part(struct sim_sock *s)
{
	if (s->peer)
		s->peer->peer = NULL;
	s->peer = NULL;
}

void sim_stream_reset(struct cp_sim *sim, struct sim_sock *s)
{
	if (s->reset)
		return;
	s->reset = true;
	s->error = s->fin ? EPIPE : ECONNRESET;
	sim_changed(sim, &s->object);
}

/* A reset, or a Unix peer that closed without having read all, has been seen. */
static void on_over(struct cp_sim *sim, struct sim_channel *c)
{
	struct sim_sock *s = CP_CONTAINER_OF(c, struct sim_sock, in);

	if (c->over == SIM_END_FIN)
		s->fin = true;
	else if (is_tcp(s))
		sim_stream_reset(sim, s);
	else
		s->error = ECONNRESET;
}

bool sim_stream_is_up(const struct sim_sock *s)
{
	return s->state == SIM_CONNECTED && !s->reset && !(is_tcp(s) && s->fin && s->shut_write);
}

static void reset_comes_back(struct cp_sim *sim, struct sim_event *event)
{
	sim_stream_reset(sim, CP_CONTAINER_OF(event, struct sim_sock, event));
}

void sim_stream_shutdown(struct cp_sim *sim, struct sim_sock *s, int how)
{
	if (how != SHUT_WR) {
		s->shut_read = true;
		if (s->peer && !is_tcp(s)) {
			s->peer->shut_write = true;
			sim_changed(sim, &s->peer->object);
		}
	}
	if (how != SHUT_RD) {
		s->shut_write = true;
		if (s->peer) {
			sim_channel_end(sim, &s->peer->in, SIM_END_FIN);
			sim_changed(sim, &s->peer->object);
		}
	}
	sim_changed(sim, &s->object);
}

void sim_stream_closed(struct cp_sim *sim, struct sim_sock *s)
{
	bool rude = s->in.used || s->unborn || (is_tcp(s) && s->linger == 0);
	struct sim_sock *peer = s->peer;

	part(s);
	if (!peer)
		return;
	if (!is_tcp(s))
		peer->shut_write = true;
	sim_channel_end(sim, &peer->in, rude ? SIM_END_RESET : SIM_END_FIN);
	sim_changed(sim, &peer->object);
}

/* What was planned for this connection happens. */
static void break_down(struct cp_sim *sim, struct sim_sock *s)
{
	struct sim_sock *peer = s->peer;

	part(s);
	sim_stream_reset(sim, s);
	if (peer)
		sim_channel_end(sim, &peer->in, SIM_END_RESET);
}

/*
 * A connect to AF_UNSPEC: one of TCP breaks its connection off, connects or listens no more. Unlike
 * the kernel's it cannot be connected a second time.
 */
int sim_stream_disconnect(struct cp_sim *sim, struct sim_sock *s)
{
	if (!is_tcp(s))
		return -EINVAL;
	switch (s->state) {
	case SIM_CONNECTED: break_down(sim, s); break;
	case SIM_CONNECTING:
		sim_connect_leave(s);
		sim_disarm(sim, &s->event);
		s->state = SIM_NEW;
		s->remote.len = 0;
		break;
	case SIM_LISTENING: sim_listener_closed(sim, s); break;
	case SIM_NEW: break;
	}
	sim_changed(sim, &s->object);
	return 0;
}

static void plan_reset(struct cp_sim *sim, struct sim_sock *a, struct sim_sock *b)
{
	uint64_t most = sim->plan.reset_bytes ? sim->plan.reset_bytes : 65536;

	if (is_tcp(a) && sim_chance(sim, sim->plan.reset_percent))
		(sim_below(sim, 2) ? a : b)->reset_at = 1 + sim_below(sim, most);
}

void sim_stream_link(struct cp_sim *sim, struct sim_sock *a, struct sim_sock *b, int64_t delay_ns)
{
	bool cut = sim_is_cut(sim, &a->local, &a->remote);

	a->peer = b;
	b->peer = a;
	a->in.delay_ns = b->in.delay_ns = delay_ns;
	a->delay_ns = b->delay_ns = delay_ns;
	a->in.held = b->in.held = cut;
	a->in.on_over = b->in.on_over = on_over;
	b->state = SIM_CONNECTED;
	plan_reset(sim, a, b);
}

void sim_stream_cut(struct cp_sim *sim, struct sim_sock *s)
{
	bool cut = sim_is_cut(sim, &s->local, &s->remote);

	if (s->type != SOCK_STREAM || !is_tcp(s))
		return;
	if (s->state == SIM_CONNECTING && s->lost && !cut)
		sim_connect_again(sim, s);
	if (s->in.held != cut && s->state == SIM_CONNECTED)
		sim_channel_hold(sim, &s->in, cut);
}

/* ------------------------------------------------------------------- transfers */

static int not_connected(const struct sim_sock *s, bool writes)
{
	if (s->state == SIM_CONNECTING)
		return -EAGAIN;
	if (is_tcp(s))
		return writes ? -EPIPE : -ENOTCONN;
	return writes ? -ENOTCONN : -EINVAL;
}

/* Nothing is there: the end, an error, or it must wait. */
static int read_nothing(struct sim_sock *s)
{
	if (is_tcp(s) && s->fin)
		return 0;
	if (s->error)
		return sim_sock_error(s);
	return s->in.over || s->shut_read || s->reset ? 0 : -EAGAIN;
}

/* The descriptors that go with the next byte; a read does not go past those of a later one. */
static size_t stop_at_rights(const struct sim_sock *s, size_t bytes)
{
	const struct sim_rights *r = s->rights;

	if (r && r->at == s->in.taken)
		r = r->next;
	return r && r->at - s->in.taken < bytes ? (size_t)(r->at - s->in.taken) : bytes;
}

static void give_message(struct cp_sim *sim, struct sim_sock *s, struct msghdr *msg, uint64_t at,
			 bool peek)
{
	size_t used = 0;
	struct sim_rights *r = s->rights;

	if (r && r->at == at && !peek) {
		s->rights = r->next;
		if (!s->rights)
			s->rights_last = NULL;
		if (msg)
			sim_rights_give(sim, r, msg, &used);
		else
			sim_rights_free(sim, r);
	}
	if (!msg)
		return;
	msg->msg_namelen = 0;
	msg->msg_flags &= MSG_CTRUNC;
	msg->msg_controllen = used;
}

static int stream_recv(struct cp_sim *sim, struct sim_sock *s, struct sim_transfer t)
{
	size_t n = t.bytes < s->in.visible ? t.bytes : s->in.visible;
	uint64_t at = s->in.taken;
	bool peek = t.flags & MSG_PEEK;

	if (t.flags & MSG_OOB)
		return is_tcp(s) ? -EINVAL : -EOPNOTSUPP;
	if (s->state != SIM_CONNECTED)
		return s->error ? sim_sock_error(s) : not_connected(s, false);
	if (t.msg)
		t.msg->msg_flags = 0;
	if (!s->in.visible) {
		int r = t.bytes ? read_nothing(s) : 0;

		if (r == 0)
			give_message(sim, s, t.msg, UINT64_MAX, peek);
		return r;
	}
	n = stop_at_rights(s, n);
	if (n)
		n = sim_shorten(sim, n);
	sim_channel_take(&s->in, &t.cursor, n, peek);
	if (n)
		give_message(sim, s, t.msg, at, peek);
	if (s->peer)
		sim_changed(sim, &s->peer->object);
	return (int)n;
}

/* Bytes that a send would take now, -EAGAIN, or why none: an error that is told once, then. */
static int may_send(struct sim_sock *s, bool ask_only)
{
	size_t space;

	if (s->state != SIM_CONNECTED)
		return s->error && !ask_only ? sim_sock_error(s) : not_connected(s, true);
	if (is_tcp(s) && s->error)
		return ask_only ? -s->error : sim_sock_error(s);
	if (s->shut_write || s->reset || (!s->peer && !is_tcp(s)))
		return -EPIPE;
	if (!s->peer)
		return INT32_MAX; /* nobody is there any more: it comes back */
	space = sim_channel_space(&s->peer->in);
	return space ? (int)space : -EAGAIN;
}

static int stream_space(struct cp_sim *sim, struct sim_object *o)
{
	(void)sim;
	return may_send(sim_sock_of(o), true);
}

static int send_to_nobody(struct cp_sim *sim, struct sim_sock *s, size_t bytes)
{
	s->event.fire = reset_comes_back;
	if (!s->delay_ns)
		sim_stream_reset(sim, s);
	else if (!cp_timer_armed(&s->event.timer))
		sim_arm(sim, &s->event, sim_now(sim) + 2 * s->delay_ns);
	return (int)bytes;
}

static int put_with_rights(struct cp_sim *sim, struct sim_sock *s, struct sim_transfer *t, size_t n)
{
	struct sim_rights *rights = NULL;
	struct sim_sock *to = s->peer;
	int r = 0;

	if (t->msg && t->msg->msg_controllen && !is_tcp(s))
		r = sim_rights_take(sim, t->msg, &rights);
	if (r < 0)
		return r;
	if (rights)
		rights->at = to->in.taken + to->in.used;
	r = sim_channel_put(sim, &to->in, &t->cursor, n);
	if (r < 0) {
		if (rights)
			sim_rights_free(sim, rights);
		return r;
	}
	if (rights) {
		*(to->rights_last ? &to->rights_last->next : &to->rights) = rights;
		to->rights_last = rights;
	}
	return (int)n;
}

static int stream_send(struct cp_sim *sim, struct sim_sock *s, struct sim_transfer t)
{
	int space = may_send(s, false), r;
	size_t n = t.bytes;

	if (t.flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (space < 0 && space != -EAGAIN)
		return space;
	if (!n)
		return 0;
	if (space < 0)
		return space;
	if (!s->peer)
		return send_to_nobody(sim, s, n);
	n = sim_shorten(sim, n < (size_t)space ? n : (size_t)space);
	if (s->reset_at && n > s->reset_at - s->sent)
		n = s->reset_at - s->sent;
	r = put_with_rights(sim, s, &t, n);
	if (r < 0)
		return r;
	s->sent += n;
	if (s->reset_at && s->sent >= s->reset_at)
		break_down(sim, s);
	return r;
}

/* ------------------------------------------------------------------------ polling */

static int stream_there(const struct sim_sock *s)
{
	bool read_over = s->in.over || s->shut_read || s->reset;
	bool write_over = s->shut_write || s->reset;
	int there = s->error ? POLLERR : 0;

	if (s->state == SIM_LISTENING)
		return s->queue_first ? POLLIN | POLLRDNORM : 0;
	if (s->state == SIM_NEW)
		return there | POLLOUT | POLLWRNORM | POLLHUP | (s->error ? POLLIN : 0);
	if (s->state == SIM_CONNECTING)
		return there;
	if (s->in.visible || read_over || s->error)
		there |= POLLIN | POLLRDNORM;
	if (read_over)
		there |= POLLRDHUP;
	if (read_over && write_over)
		there |= POLLHUP;
	if (write_over || s->error || !s->peer ||
	    sim_channel_space(&s->peer->in) > s->peer->in.limit / 3)
		there |= POLLOUT | POLLWRNORM;
	return there;
}

static int stream_poll(const struct sim_sock *s, int events)
{
	int there = stream_there(s) & (events | POLLHUP | POLLERR);

	return there ? there : -EAGAIN;
}

/* ------------------------------------------------------------------- operations */

static int try_accept(struct cp_sim *sim, struct sim_sock *s, struct cp_op *op)
{
	return sim_accept(sim, s, op->addr, op->addr_len);
}

static int try_connect(struct cp_sim *sim, struct sim_sock *s, struct cp_op *op)
{
	struct sim_addr to;
	int r;

	if (op->state) { /* it has begun */
		if (s->state == SIM_CONNECTING)
			return -EAGAIN;
		return s->state == SIM_CONNECTED ? 0 : sim_sock_error(s);
	}
	if (sim_addr_is_none(op->addr, op->addr_bytes))
		return sim_stream_disconnect(sim, s);
	r = sim_addr_take(s, op->addr, op->addr_bytes, &to);
	if (r >= 0)
		r = sim_connect(sim, s, &to);
	if (r != -EINPROGRESS)
		return r;
	op->state = 1;
	return -EAGAIN;
}

static int stream_try(struct cp_sim *sim, struct sim_object *o, struct cp_op *op)
{
	struct sim_sock *s = sim_sock_of(o);

	switch ((enum cp_op_code)op->code) {
	case CP_OP_READ:
		if (!sim_transfer_of(op).bytes)
			return 0;
		return stream_recv(sim, s, sim_transfer_of(op));
	case CP_OP_RECV:
	case CP_OP_RECVMSG: return stream_recv(sim, s, sim_transfer_of(op));
	case CP_OP_WRITE:
	case CP_OP_SEND:
	case CP_OP_SENDMSG: return stream_send(sim, s, sim_transfer_of(op));
	case CP_OP_ACCEPT: return try_accept(sim, s, op);
	case CP_OP_CONNECT: return try_connect(sim, s, op);
	case CP_OP_POLL: return stream_poll(s, op->flags);
	case CP_OP_PREAD:
	case CP_OP_PWRITE: return -ESPIPE;
	default: return -EINVAL;
	}
}

static void stream_gone(struct cp_sim *sim, struct sim_object *o)
{
	struct sim_sock *s = sim_sock_of(o);

	if (!sim->dying) {
		sim_connect_leave(s);
		sim_listener_closed(sim, s);
		sim_stream_closed(sim, s);
	}
	sim_sock_free(sim, s);
}

const struct sim_object_ops sim_stream_ops = {
	.try = stream_try,
	.space = stream_space,
	.gone = stream_gone,
};
