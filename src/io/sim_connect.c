/* SPDX-License-Identifier: MIT */
/*
 * Connections of the simulated world: who asks for one, who waits in a listener's queue.
 *
 * What asks arrives at the listener after the latency of the connection, and the answer comes back
 * after the same. A listener whose queue is full lets those who ask wait (`knock`) until it is
 * not. The listener's end exists from the moment it lies in the queue, so the other may send before
 * anybody accepts.
 *
 * Invariants
 *   1. A socket is on a `queue` (and owned by it), or on a `knock` list, or on neither.
 *   2. Only one that is CONNECTING knocks.
 */
#include "io/sim.h"

#include <errno.h>

static void ask(struct cp_sim *sim, struct sim_event *event);

/* ----------------------------------------------------------------- the two lists */

static void queue_add(struct sim_sock *l, struct sim_sock *s)
{
	s->queue_next = NULL;
	*(l->queue_last ? &l->queue_last->queue_next : &l->queue_first) = s;
	l->queue_last = s;
	l->queued++;
}

static struct sim_sock *queue_take(struct sim_sock *l)
{
	struct sim_sock *s = l->queue_first;

	if (!s)
		return NULL;
	l->queue_first = s->queue_next;
	if (!l->queue_first)
		l->queue_last = NULL;
	l->queued--;
	return s;
}

static void knock(struct sim_sock *l, struct sim_sock *s)
{
	s->knocks_at = l;
	s->knock_next = NULL;
	*(l->knock_last ? &l->knock_last->knock_next : &l->knock_first) = s;
	l->knock_last = s;
}

static void knock_leave(struct sim_sock *s)
{
	struct sim_sock *l = s->knocks_at, *before = NULL;

	if (!l)
		return;
	s->knocks_at = NULL;
	for (struct sim_sock *k = l->knock_first; k != s; k = k->knock_next)
		before = k;
	*(before ? &before->knock_next : &l->knock_first) = s->knock_next;
	if (l->knock_last == s)
		l->knock_last = before;
}

/* --------------------------------------------------------------------- the asking */

static void failed(struct cp_sim *sim, struct sim_sock *s, int error)
{
	s->state = SIM_NEW;
	s->error = error;
	s->remote.len = 0;
	sim_changed(sim, &s->object);
}

static void refuse(struct cp_sim *sim, struct sim_event *event)
{
	failed(sim, CP_CONTAINER_OF(event, struct sim_sock, event), ECONNREFUSED);
}

static void establish(struct cp_sim *sim, struct sim_event *event)
{
	struct sim_sock *s = CP_CONTAINER_OF(event, struct sim_sock, event);

	s->state = SIM_CONNECTED;
	sim_changed(sim, &s->object);
}

/* The answer has its way back. */
static void answer(struct cp_sim *sim, struct sim_sock *s,
		   void (*fire)(struct cp_sim *sim, struct sim_event *event))
{
	s->event.fire = fire;
	if (s->delay_ns)
		sim_arm(sim, &s->event, sim_now(sim) + s->delay_ns);
	else
		fire(sim, &s->event);
}

/* As the listener's end sees it: of its own family. */
static void address(const struct sim_sock *l, const struct sim_sock *s, struct sim_sock *end)
{
	struct sim_ip ip;

	if (l->family == AF_UNIX) {
		end->local = l->local;
		end->remote = s->local;
		return;
	}
	ip = sim_ip_of(&s->remote);
	sim_ip_to(&ip, l->family, &end->local);
	ip = sim_ip_of(&s->local);
	sim_ip_to(&ip, l->family, &end->remote);
}

static void welcome(struct cp_sim *sim, struct sim_sock *l, struct sim_sock *s)
{
	struct sim_sock *end = sim_sock_new(sim, l->family, l->type);

	if (!end) {
		failed(sim, s, ENOMEM);
		return;
	}
	end->unborn = true;
	end->in.limit = l->in.limit;
	if (sim_options_copy(l, end) < 0) {
		failed(sim, s, ENOMEM);
		end->object.ops->gone(sim, &end->object);
		return;
	}
	sim_ref(&end->object);
	address(l, s, end);
	sim_stream_link(sim, s, end, s->delay_ns);
	queue_add(l, end);
	sim_changed(sim, &l->object);
	answer(sim, s, establish);
}

static void arrived(struct cp_sim *sim, struct sim_sock *s)
{
	int error;
	struct sim_sock *l = sim_lookup(sim, s, &s->remote, &error);

	if (!l || (s->family != AF_UNIX && sim_chance(sim, sim->plan.refuse_percent)))
		answer(sim, s, refuse);
	else if (l->queued > l->backlog)
		knock(l, s);
	else
		welcome(sim, l, s);
}

static void ask(struct cp_sim *sim, struct sim_event *event)
{
	arrived(sim, CP_CONTAINER_OF(event, struct sim_sock, event));
}

static void set_out(struct cp_sim *sim, struct sim_sock *s)
{
	s->lost = sim_is_cut(sim, &s->local, &s->remote);
	s->event.fire = ask;
	if (s->lost)
		return;
	if (s->delay_ns)
		sim_arm(sim, &s->event, sim_now(sim) + s->delay_ns);
	else
		arrived(sim, s);
}

void sim_connect_again(struct cp_sim *sim, struct sim_sock *s)
{
	set_out(sim, s);
}

void sim_connect_leave(struct sim_sock *s)
{
	knock_leave(s);
}

static int may_connect(const struct sim_sock *s)
{
	switch (s->state) {
	case SIM_LISTENING: return s->family == AF_UNIX ? -EINVAL : -EISCONN;
	case SIM_CONNECTED: return -EISCONN;
	case SIM_CONNECTING: return -EALREADY;
	case SIM_NEW: break;
	}
	return 0;
}

/* Where it goes: this host, if none is named. 0, or there is no such place. */
static int aim(struct cp_sim *sim, struct sim_sock *s, const struct sim_addr *to)
{
	struct sim_ip ip;
	int r = 0;

	s->remote = *to;
	if (s->family == AF_UNIX)
		return sim_lookup(sim, s, to, &r) ? 0 : r;
	ip = sim_ip_of(to);
	if (sim_ip_is_any(&ip)) {
		ip.ip.s6_addr[s->family == AF_INET ? 12 : 15] = s->family == AF_INET ? 127 : 1;
		ip.ip.s6_addr[15] = 1;
		sim_ip_to(&ip, s->family, &s->remote);
	}
	if (!sim_ip_is_host(&ip))
		return -ENETUNREACH;
	return sim_bind_for(sim, s, &s->remote);
}

bool sim_has_room(struct cp_sim *sim, struct sim_sock *s, const struct sim_addr *to)
{
	int error;
	const struct sim_sock *l = sim_lookup(sim, s, to, &error);

	return !l || l->queued <= l->backlog;
}

int sim_connect(struct cp_sim *sim, struct sim_sock *s, const struct sim_addr *to)
{
	int r = may_connect(s);

	if (r >= 0)
		r = aim(sim, s, to);
	if (r < 0) {
		if (s->state == SIM_NEW)
			s->remote.len = 0;
		return r;
	}
	s->state = SIM_CONNECTING;
	s->delay_ns = s->family == AF_UNIX ? 0
					   : sim_between(sim, sim->plan.latency_min_ns,
							 sim->plan.latency_max_ns);
	set_out(sim, s);
	if (s->state == SIM_CONNECTING)
		return -EINPROGRESS;
	return s->state == SIM_CONNECTED ? 0 : sim_sock_error(s);
}

/* -------------------------------------------------------------------- the listener */

int sim_listen(struct cp_sim *sim, struct sim_sock *s, int backlog)
{
	int r = 0;

	if (s->type != SOCK_STREAM)
		return -EOPNOTSUPP;
	if (s->state != SIM_NEW && s->state != SIM_LISTENING)
		return -EINVAL;
	if (!s->bound && s->family == AF_UNIX)
		return -EINVAL;
	if (!s->bound)
		r = sim_bind_any(sim, s);
	if (r < 0)
		return r;
	if (s->family != AF_UNIX && !sim_may_listen(sim, s))
		return -EADDRINUSE;
	s->state = SIM_LISTENING;
	s->backlog = (unsigned)backlog < SIM_SOMAXCONN ? backlog : SIM_SOMAXCONN;
	return 0;
}

/* Those who wait at the door come in as far as there is room. */
static void let_in(struct cp_sim *sim, struct sim_sock *l)
{
	while (l->knock_first && l->queued <= l->backlog) {
		struct sim_sock *s = l->knock_first;

		knock_leave(s);
		welcome(sim, l, s);
	}
}

static int planned_error(struct cp_sim *sim)
{
	return sim->accept_errors_left ? -sim->accept_errors[--sim->accept_errors_left] : 0;
}

int sim_accept(struct cp_sim *sim, struct sim_sock *l, struct sockaddr *addr, socklen_t *len)
{
	struct sim_sock *s = l->queue_first;
	int fd, r;

	if (l->type != SOCK_STREAM)
		return -EOPNOTSUPP;
	if (l->state != SIM_LISTENING)
		return -EINVAL;
	if (!s)
		return -EAGAIN;
	do
		r = planned_error(sim);
	while (r == -EINTR || r == -EAGAIN); /* which accept does not tell */
	if (r < 0)
		return r;
	fd = sim_number(sim, &s->object);
	if (fd < 0)
		return fd;
	queue_take(l);
	s->unborn = false;
	sim_unref(sim, &s->object); /* the queue's */
	let_in(sim, l);
	if (addr)
		sim_addr_give(&s->remote, s->family, addr, len);
	return fd;
}

void sim_listener_closed(struct cp_sim *sim, struct sim_sock *l)
{
	struct sim_sock *s;

	if (l->state != SIM_LISTENING)
		return;
	l->state = SIM_NEW;
	while ((s = queue_take(l)))
		sim_unref(sim, &s->object);
	while ((s = l->knock_first)) {
		knock_leave(s);
		answer(sim, s, refuse);
	}
}
