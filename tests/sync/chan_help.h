/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Help for the tests of channels: tasks that make one call and note how it ended, channels of
 * int, and a destructor that counts.
 */

#include "../core/core_help.h"

/* One call of another task: what it sends or has received, and how that ended. */
struct call {
	struct coop_chan *chan;
	int value;
	int rc;
	bool ended;
	struct coop_handle *handle;
	const char *name; /* said in the trail when it has ended */
};

#define PENDING 1 /* rc of a call that has not ended */

static inline int call_ended(struct call *c, int rc)
{
	c->rc = rc;
	c->ended = true;
	if (c->name)
		say("%s ", c->name);
	return rc == COOP_ECANCELED ? rc : 0;
}

static inline int task_sends(void *arg)
{
	struct call *c = arg;

	return call_ended(c, coop_chan_send(c->chan, &c->value));
}

static inline int task_receives(void *arg)
{
	struct call *c = arg;

	return call_ended(c, coop_chan_recv(c->chan, &c->value));
}

static inline int task_joins(void *arg)
{
	struct call *c = arg;

	return call_ended(c, coop_chan_join(c->chan));
}

/* Starts it and lets it run until it waits, or has ended. */
static inline void start(struct coop_group *g, coop_fn *fn, struct call *c)
{
	c->rc = PENDING;
	c->ended = false;
	CHECK_INT(coop_spawn_with(g, fn, c, NULL, &c->handle), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
}

static inline void sends(struct coop_group *g, struct call *c, struct coop_chan *chan, int value)
{
	c->chan = chan;
	c->value = value;
	start(g, task_sends, c);
}

static inline void receives(struct coop_group *g, struct call *c, struct coop_chan *chan)
{
	c->chan = chan;
	c->value = -1;
	start(g, task_receives, c);
}

/* Lets the others run until all that can be done is done. */
static inline void settle(void)
{
	for (int i = 0; i < 5; i++)
		CHECK_INT(coop_yield(), ==, 0);
}

/* Ends the group of such tasks, which must all have ended but for those that were cancelled. */
static inline void finish(struct coop_group *g, struct call *calls, int count)
{
	CHECK_INT(coop_group_join(g, 0), ==, 0);
	for (int i = 0; i < count; i++)
		coop_handle_release(calls[i].handle);
}

static inline struct coop_chan *int_chan(uint32_t cap)
{
	struct coop_chan *chan;

	CHECK_INT(coop_chan_new(sizeof(int), &(struct coop_chan_opts){ .cap = cap }, &chan), ==, 0);
	return chan;
}

static inline int try_send(struct coop_chan *chan, int value)
{
	return coop_chan_try_send(chan, &value);
}

/* The value, or the code. */
static inline int try_recv(struct coop_chan *chan)
{
	int value = -1, r = coop_chan_try_recv(chan, &value);

	return r < 0 ? r : value;
}

static inline int recv_int(struct coop_chan *chan)
{
	int value = -1, r = coop_chan_recv(chan, &value);

	return r < 0 ? r : value;
}

static inline struct coop_chan_stats stats_of(const struct coop_chan *chan)
{
	struct coop_chan_stats s;

	coop_chan_stats(chan, &s);
	return s;
}

/* ---- values that are owned: each number is destroyed at most once */

#define OWNED_MAX 4096

struct owned {
	int destroyed[OWNED_MAX];
	int count;
};

static inline void destroy_int(void *item, void *ctx)
{
	struct owned *o = ctx;
	int value = *(int *)item;

	CHECK(value >= 0 && value < OWNED_MAX);
	o->destroyed[value]++;
	o->count++;
}

static inline struct coop_chan *owning_chan(uint32_t cap, struct owned *o)
{
	struct coop_chan *chan;

	CHECK_INT(coop_chan_new(
			  sizeof(int),
			  &(struct coop_chan_opts){ .cap = cap, .destroy = destroy_int, .ctx = o },
			  &chan),
		  ==, 0);
	return chan;
}
