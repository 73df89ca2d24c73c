/* SPDX-License-Identifier: MIT */
/*
 * What it costs to hand values over: from one task to another, without a buffer and with one
 * of 128; a figure is one value sent and received. And to choose from four channels of which one
 * has a value, another one each time; there the figure is the select alone.
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

static struct coop_chan *four[4];

static double fill_only(long n)
{
	double start = bench_now_ns();
	long item;

	for (long i = 0; i < n; i++) {
		bench_must(coop_chan_try_send(four[i & 3], &i), 0);
		bench_must(coop_chan_try_recv(four[i & 3], &item), 0);
	}
	return bench_now_ns() - start;
}

static double fill_and_select(long n)
{
	double start = bench_now_ns();
	struct coop_case cases[4];
	long item;

	for (int i = 0; i < 4; i++)
		cases[i] = coop_case_recv(four[i], &item);
	for (long i = 0; i < n; i++) {
		bench_must(coop_chan_try_send(four[i & 3], &i), 0);
		bench_must(coop_select(cases, 4, NULL), i & 3);
		bench_must(item, i);
	}
	return bench_now_ns() - start;
}

static int selects(void *arg)
{
	struct coop_chan_opts opts = { .cap = 1 };
	double fill, all;

	(void)arg;
	for (int i = 0; i < 4; i++)
		bench_must(coop_chan_new(sizeof(long), &opts, &four[i]), 0);
	fill_and_select(MESSAGES / 10);
	fill = fill_only(MESSAGES);
	all = fill_and_select(MESSAGES);
	bench_give(0, (all - fill / 2) / MESSAGES);
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
