/* SPDX-License-Identifier: MIT */
/*
 * A channel from the inside, for the select too.
 *
 * Two structures: the channel, counted by its holds; and the hold, struct coop_chan, which
 * points to the channel once for each end that it has open. Who waits lies in its own frame as
 * a struct cp_party: the entry in the queue and the place of the value, so that a value goes from
 * frame to frame, and through the ring only when nobody waits for it.
 *
 * Invariants, in every moment when a task may run:
 *   1. If a receiver waits, nothing is buffered, no sender waits, and more can come.
 *   2. If a sender waits, the buffer is full (a rendezvous has none) and a receive end is open.
 *   3. limit is the number of values that the ring may hold: 0 when nothing may be sent any
 *      more, so that the short way of a send needs no other question.
 *   4. Without a receive end nothing is buffered.
 *   5. sent == received + destroyed + used.
 */
#ifndef CP_CHANNEL_H
#define CP_CHANNEL_H

#include "core/park.h"

#include <coop/channel.h>

#include <string.h>

struct cp_chan {
	/* the first lines are what sending and receiving touch */
	struct cp_rt *rt; /* NULL: its run has ended */
	uint32_t used;
	uint32_t limit;
	bool send_waits; /* a send that finds no room waits for it */
	bool recv_waits; /* a receive that finds no value waits for one */
	bool shut;
	bool destroying; /* values are on their way to the destructor */
	struct cp_queue senders;
	struct cp_queue receivers;
	size_t bytes; /* of a value */
	char *ring;
	size_t ring_bytes;
	size_t head; /* offsets of the next to receive, and of the next to fill */
	size_t tail;
	uint64_t sent;
	uint32_t peak;
	uint32_t cap; /* COOP_UNLIMITED: grows */
	uint32_t send_ends;
	uint32_t recv_ends;
	uint32_t holds;
	uint64_t destroyed;
	uint64_t done;
	struct cp_queue joiners;
	void (*destroy)(void *item, void *ctx);
	void *ctx;
	char name[COOP_NAME_MAX + 1];
};

/* A hold. */
struct coop_chan {
	struct cp_chan *tx; /* the channel, while the send end is open */
	struct cp_chan *rx; /* while the receive end is */
	struct cp_chan *c;
	bool sends; /* was made with a send end */
	bool receives;
	const char *site;
	struct cp_debt debt;
};

/* Somebody who waits at a channel. */
struct cp_party {
	struct cp_waiter entry;
	void *item; /* a sender's value, or the place for a receiver's */
	struct coop_chan *chan;
};

CP_INLINE struct cp_party *cp_party(struct cp_waiter *e)
{
	return CP_CONTAINER_OF(e, struct cp_party, entry);
}

/* Copies a value of a size that is common, which needs no call; false: it is of another. */
CP_INLINE bool cp_item_copy_short(void *to, const void *from, size_t bytes)
{
	if (CP_LIKELY(bytes == 8))
		memcpy(to, from, 8);
	else if (bytes == 4)
		memcpy(to, from, 4);
	else if (bytes == 16)
		memcpy(to, from, 16);
	else
		return false;
	return true;
}

CP_INLINE void cp_item_copy(void *to, const void *from, size_t bytes)
{
	if (!cp_item_copy_short(to, from, bytes) && bytes)
		memcpy(to, from, bytes);
}

/* A value was copied to the tail of the ring. */
CP_INLINE void cp_chan_was_put(struct cp_chan *c)
{
	size_t tail = c->tail + c->bytes;
	uint32_t used = c->used + 1;

	c->tail = tail == c->ring_bytes ? 0 : tail;
	c->used = used;
	c->sent++;
	if (used > c->peak)
		c->peak = used;
}

/* A value was copied from the head of the ring. */
CP_INLINE void cp_chan_was_got(struct cp_chan *c)
{
	size_t head = c->head + c->bytes;

	c->head = head == c->ring_bytes ? 0 : head;
	c->used--;
}

/* What needs no waiting: 0, an error, or -EAGAIN: it has to wait. */
int cp_chan_send_now(struct cp_rt *rt, struct coop_chan *chan, const void *item);
int cp_chan_recv_now(struct cp_rt *rt, struct coop_chan *chan, void *ret_item);
/* Wakes those who wait in coop_chan_join, if there is nothing left to wait for. */
void cp_chan_check_join(struct cp_chan *c);

#endif
