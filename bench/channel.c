/* SPDX-License-Identifier: MIT */
/*
 * What it costs to hand values over: from one task to another, without a buffer and with one
 * of 128. A figure is one value sent and received.
 */
#include "bench.h"

#define MESSAGES 10000000

static struct coop_chan *chan;

static int produces(void *arg)
{
	long n = *(long *)arg;

	for (long i = 0; i < n; i++)
		bench_must(coop_chan_send(chan, &i), 0);
	coop_chan_close_send(chan);
	return 0;
}

static int consumes(void *arg)
{
	long item, next = 0;
	int r;

	while ((r = coop_chan_recv(chan, &item)) == 0)
		bench_must(item, next++);
	bench_must(r, COOP_EOF);
	bench_must(next, *(long *)arg);
	return 0;
}

/* Nanoseconds a message. */
static double pass(uint32_t cap, long n)
{
	struct coop_group g = COOP_GROUP_INIT;
	double start;

	bench_must(coop_chan_new(sizeof(long), &(struct coop_chan_opts){ .cap = cap }, &chan), 0);
	coop_group_open(&g, NULL);
	bench_must(coop_spawn(&g, produces, &n), 0);
	bench_must(coop_spawn(&g, consumes, &n), 0);
	start = bench_now_ns();
	bench_must(coop_group_join(&g, 0), 0);
	start = bench_now_ns() - start;
	coop_chan_free(chan);
	return start / (double)n;
}

static int rendezvous(void *arg)
{
	(void)arg;
	pass(0, MESSAGES / 10);
	bench_give(0, pass(0, MESSAGES));
	return 0;
}

static int buffered(void *arg)
{
	(void)arg;
	pass(128, MESSAGES / 10);
	bench_give(0, pass(128, MESSAGES));
	return 0;
}

static void ask_chan0(void)
{
	bench_run(rendezvous);
}

static void ask_chan128(void)
{
	bench_run(buffered);
}

const struct bench bench_channel[] = {
	{ .name = "chan0",
	  .ask = ask_chan0,
	  .figures = { { .name = "chan0",
			 .what = "rendezvous channel, a message",
			 .unit = "ns",
			 .target = 20 } } },
	{ .name = "chan128",
	  .ask = ask_chan128,
	  .figures = { { .name = "chan128",
			 .what = "channel of 128, a message",
			 .unit = "ns",
			 .target = 8 } } },
	{ .name = NULL },
};
