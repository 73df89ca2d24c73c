/* SPDX-License-Identifier: MIT */
/* What tasks meet at: channels, events, locks, semaphores, limiters; and the operations on them. */
#ifndef SCENARIO_MEET_H
#define SCENARIO_MEET_H

#include "running.h"

#include <coop/channel.h>
#include <coop/sync.h>

/*
 * One of them, and beside it what the operations that ended well have done to it. When all
 * tasks have ended the two must agree: so a sweep, which cancels every wait at every place,
 * finds a value that was lost or handed out twice, and a permit that a cancelled task took along.
 */
struct place {
	const struct thing *thing;
	union {
		struct coop_chan *chan;
		struct coop_event event;
		struct coop_mutex mutex;
		struct coop_sem sem;
		struct coop_limiter limiter;
	};
	int64_t given; /* sent, released, left; of an event: set */
	int64_t taken; /* received, acquired, entered */
	uint64_t sum;  /* of the values sent, less those received */
};

static inline struct place *place_of(struct running *t, const struct op *op)
{
	return &t->run->places[op->thing->index];
}

/*
 * Makes what the program declares, for one run: 0, or what coop says. In the main task, and
 * before anything else of it.
 */
int meet_open(struct run *run);

/* Gives it back when all tasks have ended, and notes what got lost there. */
void meet_close(struct run *run);

/* Those of one kind. */
int channel_open(struct place *p);
void channel_close(struct run *run, struct place *p);
int event_open(struct place *p);
void event_close(struct run *run, struct place *p);
int lock_open(struct place *p);
void lock_close(struct run *run, struct place *p);
int sem_open(struct place *p);
void sem_close(struct run *run, struct place *p);
int limiter_open(struct place *p);
void limiter_close(struct run *run, struct place *p);

struct outcome op_send(struct running *t, const struct op *op);
struct outcome op_recv(struct running *t, const struct op *op);
struct outcome op_close(struct running *t, const struct op *op);
struct outcome op_set(struct running *t, const struct op *op);
struct outcome op_wait(struct running *t, const struct op *op);
struct outcome op_lock(struct running *t, const struct op *op);
struct outcome op_acquire(struct running *t, const struct op *op);
struct outcome op_release(struct running *t, const struct op *op);
struct outcome op_limit(struct running *t, const struct op *op);

#endif
