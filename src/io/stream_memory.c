/* SPDX-License-Identifier: MIT */
/*
 * Memory streams: two streams that are each other's peer, with a bounded buffer in each direction.
 *
 * One block of memory has both ways. A way goes from its sender's side to the other; it has a
 * ring, and at most one task at either end, since a stream's direction has one user at a time.
 *
 * Invariants, in every moment when a task may run:
 *   1. If the receiver waits, the ring is empty and more may come.
 *   2. If the sender waits, the ring is full and the receiving side is open.
 *   3. Who waits has its buffer in its own frame; whoever completes it copies the bytes, takes it
 *      off the way and wakes it with their number. From then on no cancel changes that.
 *   4. The block is freed by the side that is closed last; nobody waits then.
 */
#include "core/park.h"
#include "io/stream.h"

#include <coop/log.h>

#include <string.h>

struct party {
	struct cp_wait wait;
	struct party **place; /* the way's pointer to it; NULL once it is completed */
	char *buf;
	size_t bytes;
};

struct way {
	char *ring;
	size_t head, used;
	struct party *receiver, *sender;
	bool ended; /* nothing more is sent */
	bool deaf;  /* nothing more is received */
	bool reset; /* ended by an abort */
};

struct memory {
	struct cp_rt *rt; /* NULL: its run has ended */
	size_t bytes;     /* of a ring */
	struct way ways[2];
	unsigned sides_open;
	const char *site;
	struct cp_debt debt;
};

static struct memory *memory_of(const struct coop_stream *s)
{
	return s->ctx;
}

static unsigned side_of(const struct coop_stream *s)
{
	return s->_ctx2 != NULL;
}

/* ---------------------------------------------------------------------------- the ring */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t put(struct memory *m, struct way *w, const char *data, size_t bytes)
{
	size_t n = least(bytes, m->bytes - w->used);
	size_t tail = (w->head + w->used) % m->bytes;
	size_t first = least(n, m->bytes - tail);

	memcpy(w->ring + tail, data, first);
	memcpy(w->ring, data + first, n - first);
	w->used += n;
	return n;
}

static size_t take(struct memory *m, struct way *w, char *buf, size_t bytes)
{
	size_t n = least(bytes, w->used);
	size_t first = least(n, m->bytes - w->head);

	memcpy(buf, w->ring + w->head, first);
	memcpy(buf + first, w->ring, n - first);
	w->head = (w->head + n) % m->bytes;
	w->used -= n;
	return n;
}

/* -------------------------------------------------------------------------- the waits */

static bool abort_wait(struct cp_wait *wait)
{
	struct party *p = CP_CONTAINER_OF(wait, struct party, wait);

	*p->place = NULL;
	return true;
}

static void complete(struct cp_rt *rt, struct party **place, int result)
{
	struct party *p = *place;

	if (!p)
		return;
	*place = NULL;
	cp_wake(rt, p->wait.task, result);
}

static int wait_at(struct cp_rt *rt, struct party **place, void *buf, size_t bytes,
		   const char *what)
{
	struct party p = { .wait = { .abort = abort_wait, .what = what },
			   .place = place,
			   .buf = buf,
			   .bytes = bytes };
	int r;

	*place = &p;
	r = cp_park(rt, &p.wait);
	if (r == COOP_ECANCELED)
		cp_ignored(rt);
	return r;
}

/* The cancel half of the operation's checkpoint. */
static int begin(const struct memory *m, struct cp_rt **ret_rt)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	*ret_rt = rt;
	return m->rt == rt ? 0 : COOP_EWRONGTHREAD;
}

/* The last act of a call: when it has given way, both sides may be closed and the memory gone. */
static int done(struct cp_rt *rt, int r)
{
	cp_schedule_point(rt);
	return r;
}

/* ---------------------------------------------------------------------- the operations */

static int memory_recv(struct coop_stream *s, void *buf, size_t bytes)
{
	struct memory *m = memory_of(s);
	struct way *w = &m->ways[!side_of(s)];
	struct cp_rt *rt = NULL;
	int r = begin(m, &rt);
	size_t n;

	if (r < 0)
		return r;
	if (!w->used && !w->ended)
		return wait_at(rt, &w->receiver, buf, bytes, "coop_stream_recv");
	n = take(m, w, buf, bytes);
	if (w->sender && n)
		complete(rt, &w->sender, (int)put(m, w, w->sender->buf, w->sender->bytes));
	return done(rt, w->reset && !n ? -ECONNRESET : (int)n);
}

static int memory_send(struct coop_stream *s, const void *buf, size_t bytes)
{
	struct memory *m = memory_of(s);
	struct way *w = &m->ways[side_of(s)];
	struct cp_rt *rt = NULL;
	int r = begin(m, &rt);
	size_t n;

	if (r < 0)
		return r;
	if (w->deaf)
		return done(rt, w->reset ? -ECONNRESET : -EPIPE);
	if (w->receiver) {
		n = least(bytes, w->receiver->bytes);
		memcpy(w->receiver->buf, buf, n);
		complete(rt, &w->receiver, (int)n);
		n += put(m, w, (const char *)buf + n, bytes - n);
		return done(rt, (int)n);
	}
	if (w->used == m->bytes)
		return wait_at(rt, &w->sender, (void *)(uintptr_t)buf, bytes,
			       "coop_stream_send_all");
	return done(rt, (int)put(m, w, buf, bytes));
}

/* Nothing more comes on this way. */
static void end_way(struct memory *m, struct way *w)
{
	w->ended = true;
	complete(m->rt, &w->receiver, w->reset ? -ECONNRESET : 0);
}

static int memory_send_eof(struct coop_stream *s)
{
	struct memory *m = memory_of(s);
	struct cp_rt *rt = NULL;
	int r = begin(m, &rt);

	if (r < 0)
		return r;
	end_way(m, &m->ways[side_of(s)]);
	return done(rt, 0);
}

/* ---------------------------------------------------------------- the end of one side */

static void close_side(struct memory *m, struct way *out, struct way *in, bool abort)
{
	if (abort) {
		out->reset = in->reset = true;
		out->used = 0;
	}
	complete(m->rt, &out->sender, COOP_ECLOSED);
	complete(m->rt, &in->receiver, COOP_ECLOSED);
	end_way(m, out);
	in->deaf = true;
	in->used = 0;
	complete(m->rt, &in->sender, in->reset ? -ECONNRESET : -EPIPE);
}

static void memory_release(struct coop_stream *s, bool abort)
{
	struct memory *m = memory_of(s);
	unsigned side = side_of(s);

	close_side(m, &m->ways[side], &m->ways[!side], abort);
	if (--m->sides_open)
		return;
	if (m->rt)
		cp_debt_drop(m->rt, &m->debt);
	cp_free(m);
}

/* The run has ended: nobody waits any more, and only closing is left to do. */
static void memory_left(struct cp_debt *debt)
{
	struct memory *m = CP_CONTAINER_OF(debt, struct memory, debt);

	m->rt = NULL;
	coop_log(COOP_LOG_WARN, "memory stream: of the pair made at %s %s", cp_at(m->site),
		 m->sides_open == 2 ? "neither was closed" : "one was never closed");
}

static const struct coop_stream_ops memory_ops = {
	.name = "memory",
	.recv = memory_recv,
	.send = memory_send,
	.send_eof = memory_send_eof,
	.release = memory_release,
};

int coop_memory_stream_pair_at(size_t bytes, struct coop_stream *ret_a, struct coop_stream *ret_b,
			       const char *site)
{
	struct cp_rt *rt = cp_in_task();
	struct memory *m;

	if (!rt)
		return cp_no_task();
	if (!bytes || bytes > COOP_MEMORY_STREAM_MAX)
		return -EINVAL;
	m = cp_alloc(sizeof *m + 2 * bytes);
	if (!m)
		return -ENOMEM;
	*m = (struct memory){ .rt = rt,
			      .bytes = bytes,
			      .sides_open = 2,
			      .site = site,
			      .debt = { .left = memory_left } };
	for (int i = 0; i < 2; i++)
		m->ways[i].ring = (char *)(m + 1) + (size_t)i * bytes;
	cp_debt_add(rt, &m->debt);
	coop_stream_init(ret_a, &memory_ops, m);
	coop_stream_init(ret_b, &memory_ops, m);
	ret_b->_ctx2 = m;
	return 0;
}
