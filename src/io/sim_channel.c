/* SPDX-License-Identifier: MIT */
/*
 * Bytes on their way: one direction of a connection, or a pipe.
 *
 * What is written takes room at once, and is seen by the reader when its delay is over, in
 * order; so is the end. Without a delay that is at once. While the network is cut nothing arrives:
 * the writer fills the room, and what is in it comes after the cut, as if it were sent again.
 */
#include "io/sim.h"

#include <errno.h>
#include <string.h>

size_t sim_iov_bytes(const struct iovec *iov, int count)
{
	size_t sum = 0;

	for (int i = 0; i < count; i++)
		sum += iov[i].iov_len;
	return sum;
}

/* The next piece that is not empty, at most `bytes` of it. */
static struct iovec next_piece(struct sim_cursor *c, size_t bytes)
{
	struct iovec piece;

	while (c->at == c->iov->iov_len) {
		c->iov++;
		c->at = 0;
	}
	piece.iov_base = (char *)c->iov->iov_base + c->at;
	piece.iov_len = c->iov->iov_len - c->at < bytes ? c->iov->iov_len - c->at : bytes;
	c->at += piece.iov_len;
	return piece;
}

void sim_scatter(struct sim_cursor *to, const char *from, size_t bytes)
{
	while (bytes) {
		struct iovec piece = next_piece(to, bytes);

		memcpy(piece.iov_base, from, piece.iov_len);
		from += piece.iov_len;
		bytes -= piece.iov_len;
	}
}

void sim_gather(struct sim_cursor *from, char *to, size_t bytes)
{
	while (bytes) {
		struct iovec piece = next_piece(from, bytes);

		memcpy(to, piece.iov_base, piece.iov_len);
		to += piece.iov_len;
		bytes -= piece.iov_len;
	}
}

/* ------------------------------------------------------------------------ arrival */

/* When the next thing arrives, or COOP_NEVER. */
static int64_t next_arrival(const struct sim_channel *c)
{
	if (c->held)
		return COOP_NEVER;
	if (c->first)
		return c->first->when_ns;
	return c->ended != c->over ? c->end_ns : COOP_NEVER;
}

static void arm(struct cp_sim *sim, struct sim_channel *c)
{
	int64_t when = next_arrival(c);

	if (when == COOP_NEVER)
		sim_disarm(sim, &c->event);
	else
		sim_arm(sim, &c->event, when);
}

static void see_end(struct cp_sim *sim, struct sim_channel *c)
{
	c->over = c->ended;
	sim_changed(sim, c->reader);
	if (c->on_over)
		c->on_over(sim, c);
}

static void arrive(struct cp_sim *sim, struct sim_event *event)
{
	struct sim_channel *c = CP_CONTAINER_OF(event, struct sim_channel, event);
	int64_t now = sim_now(sim);

	while (c->first && next_arrival(c) <= now) {
		struct sim_segment *s = c->first;

		c->visible += s->bytes;
		c->first = s->next;
		if (!c->first)
			c->last = NULL;
		cp_free(s);
		sim_changed(sim, c->reader);
	}
	if (!c->first && next_arrival(c) <= now)
		see_end(sim, c);
	arm(sim, c);
}

void sim_channel_init(struct sim_channel *c, struct sim_object *reader, size_t limit)
{
	c->reader = reader;
	c->limit = limit;
	c->event.fire = arrive;
}

void sim_channel_deinit(struct cp_sim *sim, struct sim_channel *c)
{
	sim_disarm(sim, &c->event);
	while (c->first) {
		struct sim_segment *s = c->first;

		c->first = s->next;
		cp_free(s);
	}
	cp_free(c->ring);
}

/* ------------------------------------------------------------------ put and take */

static int make_room(struct sim_channel *c, size_t bytes)
{
	size_t room = c->room ? c->room : 512, tail;
	char *ring;

	if (c->used + bytes <= c->room)
		return 0;
	while (room < c->used + bytes)
		room *= 2;
	ring = cp_alloc(room);
	if (!ring)
		return -ENOMEM;
	tail = c->room - c->head < c->used ? c->room - c->head : c->used;
	if (c->used) {
		memcpy(ring, c->ring + c->head, tail);
		memcpy(ring + tail, c->ring, c->used - tail);
	}
	cp_free(c->ring);
	c->ring = ring;
	c->room = room;
	c->head = 0;
	return 0;
}

static int send_off(struct cp_sim *sim, struct sim_channel *c, size_t bytes)
{
	struct sim_segment *s;

	if (!c->delay_ns && !c->first && !c->held) {
		c->visible += bytes;
		sim_changed(sim, c->reader);
		return 0;
	}
	s = cp_alloc(sizeof *s);
	if (!s)
		return -ENOMEM;
	*s = (struct sim_segment){ NULL, sim_now(sim) + c->delay_ns, bytes };
	if (c->last && c->last->when_ns > s->when_ns)
		s->when_ns = c->last->when_ns;
	*(c->last ? &c->last->next : &c->first) = s;
	c->last = s;
	arm(sim, c);
	return 0;
}

int sim_channel_put(struct cp_sim *sim, struct sim_channel *c, struct sim_cursor *from,
		    size_t bytes)
{
	size_t at, part;
	int r = make_room(c, bytes);

	if (r >= 0)
		r = send_off(sim, c, bytes);
	if (r < 0)
		return r;
	at = (c->head + c->used) % c->room;
	part = c->room - at < bytes ? c->room - at : bytes;
	sim_gather(from, c->ring + at, part);
	sim_gather(from, c->ring, bytes - part);
	c->used += bytes;
	return 0;
}

void sim_channel_take(struct sim_channel *c, struct sim_cursor *to, size_t bytes, bool peek)
{
	size_t part = c->room - c->head < bytes ? c->room - c->head : bytes;

	CP_ASSERT(bytes <= c->visible);
	sim_scatter(to, c->ring + c->head, part);
	sim_scatter(to, c->ring, bytes - part);
	if (peek)
		return;
	c->head = (c->head + bytes) % c->room;
	c->used -= bytes;
	c->visible -= bytes;
	c->taken += bytes;
}

void sim_channel_give_back(struct sim_channel *c, size_t bytes)
{
	c->head = (c->head + c->room - bytes) % c->room;
	c->used += bytes;
	c->visible += bytes;
	c->taken -= bytes;
}

void sim_channel_end(struct cp_sim *sim, struct sim_channel *c, enum sim_end end)
{
	if (c->ended >= end)
		return;
	c->ended = end;
	c->end_ns = sim_now(sim) + c->delay_ns;
	if (!c->delay_ns && !c->first && !c->held)
		see_end(sim, c);
	else
		arm(sim, c);
}

void sim_channel_hold(struct cp_sim *sim, struct sim_channel *c, bool hold)
{
	int64_t soon = sim_now(sim) + c->delay_ns;

	if (c->held && !hold) {
		for (struct sim_segment *s = c->first; s; s = s->next)
			s->when_ns = soon;
		c->end_ns = soon;
	}
	c->held = hold;
	arm(sim, c);
}
