/* SPDX-License-Identifier: MIT */
/*
 * What it costs to hand values over: from one task to another, without a buffer and with one
 * of 128; a figure is one value sent and received. And to choose from four channels of which one
 * has a value, another one each time; there the figure is the select alone.
 */
#include "bench.h"

#define MESSAGES 100000

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

/* `n` messages through a channel with room for *arg. */
static void pass(long n, const void *arg)
{
	const struct coop_chan_opts opts = { .cap = *(const uint32_t *)arg };
	struct coop_group g = COOP_GROUP_INIT;

	bench_must(coop_chan_new(sizeof(long), &opts, &chan), 0);
	coop_group_open(&g, NULL);
	bench_must(coop_spawn(&g, produces, &n), 0);
	bench_must(coop_spawn(&g, consumes, &n), 0);
	bench_must(coop_group_join(&g, 0), 0);
	coop_chan_free(chan);
}

static int rendezvous(void *arg)
{
	uint32_t cap = 0;

	(void)arg;
	bench_give(0, bench_rounds(pass, MESSAGES, &cap));
	return 0;
}

static int buffered(void *arg)
{
	uint32_t cap = 128;

	(void)arg;
	bench_give(0, bench_rounds(pass, MESSAGES, &cap));
	return 0;
}

static struct coop_chan *four[4];

static void fill_only(long n, const void *arg)
{
	long item;

	(void)arg;
	for (long i = 0; i < n; i++) {
		bench_must(coop_chan_try_send(four[i & 3], &i), 0);
		bench_must(coop_chan_try_recv(four[i & 3], &item), 0);
	}
}

static void fill_and_select(long n, const void *arg)
{
	struct coop_case cases[4];
	long item;

	(void)arg;
	for (int i = 0; i < 4; i++)
		cases[i] = coop_case_recv(four[i], &item);
	for (long i = 0; i < n; i++) {
		bench_must(coop_chan_try_send(four[i & 3], &i), 0);
		bench_must(coop_select(cases, 4, NULL), i & 3);
		bench_must(item, i);
	}
}

static int selects(void *arg)
{
	struct coop_chan_opts opts = { .cap = 1 };
	double fill, all;

	(void)arg;
	for (int i = 0; i < 4; i++)
		bench_must(coop_chan_new(sizeof(long), &opts, &four[i]), 0);
	fill = bench_rounds(fill_only, MESSAGES, NULL);
	all = bench_rounds(fill_and_select, MESSAGES, NULL);
	bench_give(0, all - fill / 2);
	for (int i = 0; i < 4; i++)
		coop_chan_free(four[i]);
	return 0;
}

static void ask_select4(void)
{
	bench_run(selects);
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
	{ .name = "select4",
	  .ask = ask_select4,
	  .figures = { { .name = "select4",
			 .what = "select over four channels, one ready",
			 .unit = "ns",
			 .target = 30 } } },
	{ .name = NULL },
};
