/* SPDX-License-Identifier: MIT */
/*
 * Channels: sending and receiving. The structures and their invariants are in channel.h, the
 * making and ending of ends in channel_ends.c.
 *
 * A send or a receive has a short way, which is taken when nobody waits and the ring has
 * room or a value, and a long one for everything else. Whoever finds a partner that waits
 * completes both sides at once: the value is copied, the partner's result is settled, and it is
 * made ready. From then on no cancel and no close changes what it returns.
 */
#include "sync/channel.h"
#include "sync/select.h"

#include <errno.h>

/* The first ring of an unbounded channel, and how much of an empty one is kept. */
#define CP_RING_FIRST 16
#define CP_RING_KEEP_BYTES 65536

/* ------------------------------------------------------------------------ the ring */

/* An unbounded channel needs a larger ring. Values move to its begin, in order. */
static CP_NOINLINE int grow(struct cp_chan *c)
{
	size_t count = c->limit ? (size_t)c->limit * 2 : CP_RING_FIRST;
	size_t first = c->ring_bytes - c->head;
	char *ring;

	if (c->limit >= COOP_UNLIMITED / 2)
		return -ENOMEM;
	if (c->bytes) {
		ring = cp_alloc(count * c->bytes);
		if (!ring)
			return -ENOMEM;
		if (c->ring_bytes) { /* full: the values are [head, end) and [0, head) */
			memcpy(ring, c->ring + c->head, first);
			memcpy(ring + first, c->ring, c->head);
		}
		cp_free(c->ring);
		c->ring = ring;
		c->head = 0;
		c->tail = c->ring_bytes;
		c->ring_bytes = count * c->bytes;
	}
	c->limit = (uint32_t)count;
	return 0;
}

/* A large ring has become empty: its memory goes back. */
static CP_NOINLINE void shrink(struct cp_chan *c)
{
	if (c->cap != COOP_UNLIMITED || c->ring_bytes <= CP_RING_KEEP_BYTES || c->destroying)
		return;
	cp_free(c->ring);
	c->ring = NULL;
	c->ring_bytes = c->head = c->tail = 0;
	c->limit = 0;
}

/* ------------------------------------------------------------------- without waiting */

/* Into the ring, where there must be room. */
static void put(struct cp_chan *c, const void *item)
{
	cp_item_copy(c->ring + c->tail, item, c->bytes);
	cp_chan_was_put(c);
}

int cp_chan_send_now(struct cp_rt *rt, struct coop_chan *chan, const void *item)
{
	struct cp_chan *c = chan->tx;
	struct cp_waiter *e;

	if (CP_UNLIKELY(!c))
		return chan->sends ? COOP_ECLOSED : -EPERM;
	if (CP_UNLIKELY(c->rt != rt))
		return COOP_EWRONGTHREAD;
	e = cp_select_take(&c->receivers);
	if (e) {
		cp_item_copy(cp_party(e)->item, item, c->bytes);
		c->sent++;
		cp_waiter_wake(rt, e, 0);
		return 0;
	}
	if (c->used < c->limit) {
		put(c, item);
		return 0;
	}
	if (c->shut)
		return COOP_ECLOSED;
	if (!c->recv_ends)
		return -EPIPE;
	if (c->cap != COOP_UNLIMITED)
		return -EAGAIN;
	if (grow(c) < 0)
		return -ENOMEM;
	put(c, item);
	return 0;
}

int cp_chan_recv_now(struct cp_rt *rt, struct coop_chan *chan, void *ret_item)
{
	struct cp_chan *c = chan->rx;
	struct cp_waiter *e;

	if (CP_UNLIKELY(!c))
		return chan->receives ? COOP_ECLOSED : -EPERM;
	if (CP_UNLIKELY(c->rt != rt))
		return COOP_EWRONGTHREAD;
	if (c->used) {
		cp_item_copy(ret_item, c->ring + c->head, c->bytes);
		cp_chan_was_got(c);
		e = cp_select_take(&c->senders); /* whose the free place is */
		if (e) {
			put(c, cp_party(e)->item);
			cp_waiter_wake(rt, e, 0);
		} else if (!c->used) {
			shrink(c);
		}
		return 0;
	}
	e = cp_select_take(&c->senders);
	if (e) {
		cp_item_copy(ret_item, cp_party(e)->item, c->bytes);
		c->sent++;
		cp_waiter_wake(rt, e, 0);
		return 0;
	}
	return c->send_ends && !c->shut ? -EAGAIN : COOP_EOF;
}

/* --------------------------------------------------------------------- with waiting */

struct wait {
	struct cp_wait wait;
	struct cp_party party;
};

static bool wait_abort(struct cp_wait *wait)
{
	cp_queue_remove(&CP_CONTAINER_OF(wait, struct wait, wait)->party.entry);
	return true;
}

/*
 * Waits at a queue of the channel until a partner, or a close, has settled the result. The channel
 * may be gone when this returns.
 *
 * Reached by a jump through cp_ctx_through: senders and receivers that switch to each other then
 * lie at one call, which keeps the processor's prediction of returns in step up to their callers;
 * and this frame is where that of the public call would be.
 */
static CP_NOINLINE int wait_at(struct cp_rt *rt, struct cp_queue *q, struct coop_chan *chan,
			       void *item, const char *what)
{
	struct wait w;
	int r;

	cp_check_frames(rt->body, __builtin_frame_address(0), what);
	w.wait.abort = wait_abort;
	w.wait.what = what;
	w.wait.on = chan;
	w.wait.kind = CP_ON_NOTHING;
	w.wait.detail_ns = 0;
	w.party.entry.task = rt->cur;
	w.party.entry.chosen = NULL;
	w.party.item = item;
	w.party.chan = chan;
	cp_queue_append(q, &w.party.entry);
	r = cp_park_inline(rt, &w.wait);
	if (CP_UNLIKELY(r == COOP_ECANCELED))
		cp_ignored(rt);
	return r;
}

CP_INLINE int send_wait(struct cp_rt *rt, struct coop_chan *chan, const void *item)
{
	return cp_ctx_through(wait_at, rt, &chan->tx->senders, chan, (void *)(uintptr_t)item,
			      "coop_chan_send");
}

/* What is left: refusals, rings that have to grow, values of other sizes. */
static CP_NOINLINE int send_long(struct cp_rt *rt, struct coop_chan *chan, const void *item)
{
	int r = cp_chan_send_now(rt, chan, item);

	if (r == -EAGAIN)
		return send_wait(rt, chan, item);
	cp_schedule_point(rt);
	return r;
}

static CP_NOINLINE int send_cancelled(struct cp_rt *rt, struct coop_chan *chan, const void *item)
{
	int r = cp_cancel_hit(rt);

	return r < 0 ? r : send_long(rt, chan, item);
}

/*
 * This and coop_chan_recv have no frame: all that needs a call of its own is reached by a jump. The
 * order of the questions is that of cp_chan_send_now.
 */
int coop_chan_send(struct coop_chan *chan, const void *item)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_waiter *e;
	struct cp_chan *c;

	if (CP_UNLIKELY(!rt))
		return cp_no_task();
	rt->body->cancel_half++;
	if (CP_UNLIKELY(rt->cur->cancelled))
		return send_cancelled(rt, chan, item);
	c = chan->tx;
	if (CP_UNLIKELY(!c || c->rt != rt))
		return send_long(rt, chan, item);
	e = c->receivers.first;
	if (e) {
		if (CP_UNLIKELY(e->chosen != NULL) ||
		    !cp_item_copy_short(cp_party(e)->item, item, c->bytes))
			return send_long(rt, chan, item);
		c->sent++;
		cp_queue_take(&c->receivers);
		cp_wake(rt, e->task, 0);
		return cp_succeed(rt);
	}
	if (c->used < c->limit) {
		if (!cp_item_copy_short(c->ring + c->tail, item, c->bytes))
			return send_long(rt, chan, item);
		cp_chan_was_put(c);
		return cp_succeed(rt);
	}
	return CP_LIKELY(c->send_waits) ? send_wait(rt, chan, item) : send_long(rt, chan, item);
}

int coop_chan_try_send(struct coop_chan *chan, const void *item)
{
	struct cp_rt *rt = cp_in_task();

	return CP_LIKELY(rt != NULL) ? cp_chan_send_now(rt, chan, item) : cp_no_task();
}

CP_INLINE int recv_wait(struct cp_rt *rt, struct coop_chan *chan, void *ret_item)
{
	return cp_ctx_through(wait_at, rt, &chan->rx->receivers, chan, ret_item, "coop_chan_recv");
}

static CP_NOINLINE int recv_long(struct cp_rt *rt, struct coop_chan *chan, void *ret_item)
{
	int r = cp_chan_recv_now(rt, chan, ret_item);

	if (r == -EAGAIN)
		return recv_wait(rt, chan, ret_item);
	cp_schedule_point(rt);
	return r;
}

static CP_NOINLINE int recv_cancelled(struct cp_rt *rt, struct coop_chan *chan, void *ret_item)
{
	int r = cp_cancel_hit(rt);

	return r < 0 ? r : recv_long(rt, chan, ret_item);
}

int coop_chan_recv(struct coop_chan *chan, void *ret_item)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_waiter *e;
	struct cp_chan *c;

	if (CP_UNLIKELY(!rt))
		return cp_no_task();
	rt->body->cancel_half++;
	if (CP_UNLIKELY(rt->cur->cancelled))
		return recv_cancelled(rt, chan, ret_item);
	c = chan->rx;
	if (CP_UNLIKELY(!c || c->rt != rt))
		return recv_long(rt, chan, ret_item);
	e = c->senders.first;
	if (c->used) {
		/* The last value goes the long way, where a large ring is given back. */
		if (e || c->used == 1 || !cp_item_copy_short(ret_item, c->ring + c->head, c->bytes))
			return recv_long(rt, chan, ret_item);
		cp_chan_was_got(c);
		return cp_succeed(rt);
	}
	if (e) {
		if (CP_UNLIKELY(e->chosen != NULL) ||
		    !cp_item_copy_short(ret_item, cp_party(e)->item, c->bytes))
			return recv_long(rt, chan, ret_item);
		c->sent++;
		cp_queue_take(&c->senders);
		cp_wake(rt, e->task, 0);
		return cp_succeed(rt);
	}
	return CP_LIKELY(c->recv_waits) ? recv_wait(rt, chan, ret_item)
					: recv_long(rt, chan, ret_item);
}

int coop_chan_try_recv(struct coop_chan *chan, void *ret_item)
{
	struct cp_rt *rt = cp_in_task();

	return CP_LIKELY(rt != NULL) ? cp_chan_recv_now(rt, chan, ret_item) : cp_no_task();
}

/* ----------------------------------------------------------------------- accounting */

int coop_chan_done(struct coop_chan *chan)
{
	struct cp_chan *c = chan->c;

	if (c->rt != cp_rt)
		return COOP_EWRONGTHREAD;
	if (c->done == c->sent - c->destroyed - c->used)
		return -EINVAL;
	c->done++;
	cp_chan_check_join(c);
	return 0;
}

void cp_chan_check_join(struct cp_chan *c)
{
	if (CP_LIKELY(!c->joiners.first) || c->done + c->destroyed != c->sent)
		return;
	while (cp_queue_wake(c->rt, &c->joiners, 0))
		;
}

int coop_chan_join(struct coop_chan *chan)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_chan *c = chan->c;
	int r;

	if (!rt)
		return cp_no_task();
	if (c->rt != rt)
		return cp_refuse(COOP_EWRONGTHREAD);
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	if (c->done + c->destroyed != c->sent)
		return wait_at(rt, &c->joiners, chan, NULL, "coop_chan_join");
	cp_schedule_point(rt);
	return 0;
}

static uint32_t count(const struct cp_queue *q)
{
	uint32_t n = 0;

	for (const struct cp_waiter *e = q->first; e; e = e->next)
		n++;
	return n;
}

void coop_chan_stats(const struct coop_chan *chan, struct coop_chan_stats *ret_stats)
{
	const struct cp_chan *c = chan->c;

	*ret_stats = (struct coop_chan_stats){
		.name = c->name,
		.item_bytes = c->bytes,
		.cap = c->cap,
		.used = c->used,
		.peak = c->peak,
		.holds = c->holds,
		.send_ends = c->send_ends,
		.recv_ends = c->recv_ends,
		.senders = count(&c->senders),
		.receivers = count(&c->receivers),
		.sent = c->sent,
		.received = c->sent - c->destroyed - c->used,
		.destroyed = c->destroyed,
		.done = c->done,
		.shut_down = c->shut,
	};
}
