/* SPDX-License-Identifier: MIT */
/*
 * Datagram sockets of the simulated world.
 *
 * UDP's datagrams are lost, doubled and delayed one by one, by plan, and dropped where a queue is
 * full; nobody at the other end is told to those who are connected, at their next call. Those of
 * Unix arrive in order and at once, and a full queue lets their sender wait.
 */
#include "io/sim.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define UDP_MAX 65507

static bool is_unix(const struct sim_sock *s)
{
	return s->family == AF_UNIX;
}

/* -------------------------------------------------------------------- messages */

static void add(struct sim_messages *q, struct sim_message *m)
{
	m->next = NULL;
	m->prev = q->last;
	*(q->last ? &q->last->next : &q->first) = m;
	q->last = m;
	q->count++;
	q->bytes += m->bytes;
}

static void take_out(struct sim_messages *q, struct sim_message *m)
{
	*(m->prev ? &m->prev->next : &q->first) = m->next;
	*(m->next ? &m->next->prev : &q->last) = m->prev;
	q->count--;
	q->bytes -= m->bytes;
}

static void message_free(struct cp_sim *sim, struct sim_message *m)
{
	if (m->rights)
		sim_rights_free(sim, m->rights);
	cp_free(m);
}

/* It is in the queue of who it was for, or lost where there is no room. */
static void land(struct cp_sim *sim, struct sim_message *m)
{
	struct sim_sock *to = m->to;

	if (!is_unix(to) && to->arrived.bytes + m->bytes > SIM_UNIX_BYTES) {
		message_free(sim, m);
		return;
	}
	add(&to->arrived, m);
	sim_changed(sim, &to->object);
}

static void arrive(struct cp_sim *sim, struct sim_event *event)
{
	struct sim_message *m = CP_CONTAINER_OF(event, struct sim_message, event);

	take_out(&m->to->flying, m);
	land(sim, m);
}

/* Where it comes from, as `to` sees it: of that one's family, from a host and not from all. */
static struct sim_addr sender(const struct sim_sock *s, const struct sim_sock *to,
			      const struct sim_addr *name)
{
	struct sim_addr from = s->local;
	struct sim_ip ip;

	if (is_unix(s))
		return from;
	ip = sim_ip_of(&from);
	if (sim_ip_is_any(&ip))
		sim_ip_choose(name, &ip);
	sim_ip_to(&ip, to->family, &from);
	return from;
}

static int post(struct cp_sim *sim, struct sim_sock *s, struct sim_sock *to,
		const struct sim_addr *name, struct sim_transfer t)
{
	struct sim_message *m = cp_alloc(sizeof *m + t.bytes);
	int64_t delay =
		is_unix(s) ? 0
			   : sim_between(sim, sim->plan.latency_min_ns, sim->plan.latency_max_ns);

	if (!m)
		return -ENOMEM;
	*m = (struct sim_message){ .event.fire = arrive, .to = to, .bytes = t.bytes };
	if (is_unix(s) && t.msg && t.msg->msg_controllen) {
		int r = sim_rights_take(sim, t.msg, &m->rights);

		if (r < 0) {
			cp_free(m);
			return r;
		}
	}
	m->from = sender(s, to, name);
	sim_gather(&t.cursor, m->data, t.bytes);
	if (!delay) {
		land(sim, m);
		return 0;
	}
	add(&to->flying, m);
	sim_arm(sim, &m->event, sim_now(sim) + delay);
	return 0;
}

/* ---------------------------------------------------------------------- sending */

static void refused(struct cp_sim *sim, struct sim_event *event)
{
	struct sim_sock *s = CP_CONTAINER_OF(event, struct sim_sock, event);

	s->error = ECONNREFUSED;
	sim_changed(sim, &s->object);
}

/* Nobody is there, and a connected socket learns of it. */
static void bounce(struct cp_sim *sim, struct sim_sock *s)
{
	s->event.fire = refused;
	if (!s->remote.len)
		return;
	if (sim->plan.latency_max_ns)
		sim_arm(sim, &s->event, sim_now(sim) + 2 * sim->plan.latency_min_ns + 1);
	else
		refused(sim, &s->event);
}

static bool unix_is_full(const struct sim_sock *to)
{
	return to->arrived.count >= SIM_UNIX_MESSAGES;
}

/* It has heard that its peer has gone: what it had not read is lost. */
static void disconnect(struct cp_sim *sim, struct sim_sock *s)
{
	struct sim_message *m;

	if (s->state != SIM_CONNECTED)
		return;
	s->state = SIM_NEW;
	while ((m = s->arrived.first)) {
		take_out(&s->arrived, m);
		message_free(sim, m);
	}
}

static int send_unix(struct cp_sim *sim, struct sim_sock *s, const struct sim_addr *name,
		     struct sim_transfer t)
{
	int error = -ECONNREFUSED, r;
	struct sim_sock *to = s->peer;

	if (name) {
		to = sim_lookup(sim, s, name, &error);
	} else if (!to) {
		error = s->state == SIM_CONNECTED ? -ECONNREFUSED : -ENOTCONN;
		disconnect(sim, s);
	}
	if (!to)
		return error;
	if (t.bytes > SIM_UNIX_BYTES)
		return -EMSGSIZE;
	if (to->shut_read)
		return -EPIPE;
	if (to->peer && to->peer != s && to->state == SIM_CONNECTED)
		return -EPERM; /* it listens to its own peer only */
	if (unix_is_full(to))
		return -EAGAIN;
	r = post(sim, s, to, name, t);
	return r < 0 ? r : (int)t.bytes;
}

/* One that is connected takes nothing from others. */
static bool takes_from(const struct sim_sock *to, const struct sim_sock *s,
		       const struct sim_addr *name)
{
	struct sim_addr from = sender(s, to, name);
	struct sim_ip want, is = sim_ip_of(&from);

	if (!to->remote.len)
		return true;
	want = sim_ip_of(&to->remote);
	return want.port == is.port && IN6_ARE_ADDR_EQUAL(&want.ip, &is.ip);
}

static int send_udp(struct cp_sim *sim, struct sim_sock *s, const struct sim_addr *name,
		    struct sim_transfer t)
{
	int copies, error, r = 0;
	struct sim_sock *to;

	if (!name && !s->remote.len)
		return -EDESTADDRREQ;
	if (t.bytes > UDP_MAX)
		return -EMSGSIZE;
	if (!name)
		name = &s->remote;
	to = sim_lookup(sim, s, name, &error);
	if (sim_is_cut(sim, &s->local, name) || sim_chance(sim, sim->plan.drop_percent))
		return (int)t.bytes;
	if (!to || !takes_from(to, s, name)) {
		bounce(sim, s);
		return (int)t.bytes;
	}
	copies = sim_chance(sim, sim->plan.dup_percent) ? 2 : 1;
	for (int i = 0; i < copies && r >= 0; i++)
		r = post(sim, s, to, name, t);
	return r < 0 ? r : (int)t.bytes;
}

static int dgram_send(struct cp_sim *sim, struct sim_sock *s, struct sim_transfer t)
{
	struct sim_addr to = { .len = 0 };
	struct sim_ip ip;
	int r;

	if (s->error)
		return sim_sock_error(s);
	if (s->shut_write)
		return -EPIPE;
	if (t.msg && t.msg->msg_name && t.msg->msg_namelen) {
		r = sim_addr_take(s, t.msg->msg_name, t.msg->msg_namelen, &to);
		if (r < 0)
			return r;
	}
	if (is_unix(s))
		return send_unix(sim, s, to.len ? &to : NULL, t);
	if (to.len) {
		ip = sim_ip_of(&to);
		if (!ip.port)
			return -EINVAL;
		if (!sim_ip_is_host(&ip))
			return -ENETUNREACH;
		r = s->local.len ? 0 : sim_bind_any(sim, s);
		if (r < 0)
			return r;
	}
	return send_udp(sim, s, to.len ? &to : NULL, t);
}

/* --------------------------------------------------------------------- receiving */

static void give_message(struct cp_sim *sim, struct sim_sock *s, struct sim_message *m,
			 struct msghdr *msg, bool peek)
{
	socklen_t room = msg->msg_name ? msg->msg_namelen : 0;
	size_t used = 0;

	if (m->from.len)
		sim_addr_give(&m->from, s->family, msg->msg_name, &room);
	else
		room = 0;
	msg->msg_namelen = msg->msg_name ? room : 0;
	if (m->rights && !peek) {
		sim_rights_give(sim, m->rights, msg, &used);
		m->rights = NULL;
	}
	msg->msg_controllen = used;
}

/* Whoever may wait for room in the queue of `s`: any Unix socket of datagrams. */
static void tell_senders(struct cp_sim *sim, struct sim_sock *s)
{
	if (s->peer)
		sim_changed(sim, &s->peer->object);
	for (struct sim_object *o = sim->objects; o; o = o->next)
		if (o->ops == &sim_dgram_ops && sim_sock_of(o)->family == AF_UNIX)
			sim_changed(sim, o);
}

static int dgram_recv(struct cp_sim *sim, struct sim_sock *s, struct sim_transfer t)
{
	struct sim_message *m = s->arrived.first;
	bool peek = t.flags & MSG_PEEK;
	size_t n;
	int r;

	if (s->error)
		return sim_sock_error(s);
	if (!m)
		return s->shut_read ? 0 : -EAGAIN;
	n = t.bytes < m->bytes ? t.bytes : m->bytes;
	sim_scatter(&t.cursor, m->data, n);
	if (t.msg) {
		t.msg->msg_flags = n < m->bytes ? MSG_TRUNC : 0;
		give_message(sim, s, m, t.msg, peek);
	}
	r = (int)(t.flags & MSG_TRUNC ? m->bytes : n);
	if (peek)
		return r;
	if (is_unix(s) && unix_is_full(s))
		tell_senders(sim, s);
	take_out(&s->arrived, m);
	message_free(sim, m);
	return r;
}

/* ------------------------------------------------------------------- operations */

static int dgram_poll(const struct sim_sock *s, int events)
{
	bool full = is_unix(s) && s->peer && unix_is_full(s->peer);
	int there = s->error ? POLLERR : 0;

	if (s->arrived.first || s->shut_read || s->error)
		there |= POLLIN | POLLRDNORM;
	if (s->shut_read)
		there |= POLLRDHUP | (s->shut_write ? POLLHUP : 0);
	if (!full)
		there |= POLLOUT | POLLWRNORM;
	there &= events | POLLERR | POLLHUP;
	return there ? there : -EAGAIN;
}

void sim_dgram_disconnect(struct sim_sock *s)
{
	s->peer = NULL;
	s->remote.len = 0;
	s->state = SIM_NEW;
}

int sim_dgram_connect(struct cp_sim *sim, struct sim_sock *s, const struct sim_addr *to)
{
	struct sim_sock *peer;
	struct sim_ip ip;
	int error, r;

	if (is_unix(s)) {
		peer = sim_lookup(sim, s, to, &error);
		if (!peer)
			return error;
		s->peer = peer;
	} else {
		ip = sim_ip_of(to);
		if (!sim_ip_is_host(&ip) && !sim_ip_is_any(&ip))
			return -ENETUNREACH;
		r = sim_bind_for(sim, s, to);
		if (r < 0)
			return r;
	}
	s->remote = *to;
	s->state = SIM_CONNECTED;
	return 0;
}

static int try_connect(struct cp_sim *sim, struct sim_sock *s, struct cp_op *op)
{
	struct sim_addr to;
	int r;

	if (sim_addr_is_none(op->addr, op->addr_bytes)) {
		sim_dgram_disconnect(s);
		return 0;
	}
	r = sim_addr_take(s, op->addr, op->addr_bytes, &to);
	return r < 0 ? r : sim_dgram_connect(sim, s, &to);
}

static int dgram_try(struct cp_sim *sim, struct sim_object *o, struct cp_op *op)
{
	struct sim_sock *s = sim_sock_of(o);

	switch ((enum cp_op_code)op->code) {
	case CP_OP_READ:
		if (!sim_transfer_of(op).bytes)
			return 0;
		return dgram_recv(sim, s, sim_transfer_of(op));
	case CP_OP_RECV:
	case CP_OP_RECVMSG: return dgram_recv(sim, s, sim_transfer_of(op));
	case CP_OP_WRITE:
	case CP_OP_SEND:
	case CP_OP_SENDMSG: return dgram_send(sim, s, sim_transfer_of(op));
	case CP_OP_ACCEPT: return -EOPNOTSUPP;
	case CP_OP_CONNECT: return try_connect(sim, s, op);
	case CP_OP_POLL: return dgram_poll(s, op->flags);
	case CP_OP_PREAD:
	case CP_OP_PWRITE: return -ESPIPE;
	default: return -EINVAL;
	}
}

/* Whoever was connected to it has nobody there any more. */
void sim_dgram_closed(struct cp_sim *sim, struct sim_sock *s)
{
	for (struct sim_object *o = sim->objects; o; o = o->next) {
		struct sim_sock *other = o->ops == &sim_dgram_ops ? sim_sock_of(o) : NULL;

		if (!other || other->peer != s)
			continue;
		other->peer = NULL;
		sim_changed(sim, o);
	}
}

static void dgram_gone(struct cp_sim *sim, struct sim_object *o)
{
	struct sim_sock *s = sim_sock_of(o);
	struct sim_message *m;

	if (!sim->dying)
		sim_dgram_closed(sim, s);
	while ((m = s->flying.first)) {
		sim_disarm(sim, &m->event);
		take_out(&s->flying, m);
		message_free(sim, m);
	}
	while ((m = s->arrived.first)) {
		take_out(&s->arrived, m);
		message_free(sim, m);
	}
	sim_sock_free(sim, s);
}

const struct sim_object_ops sim_dgram_ops = {
	.try = dgram_try,
	.gone = dgram_gone,
};
