/* SPDX-License-Identifier: MIT */
/*
 * Skynet: a task starts ten, each of them ten more, down to a million that return their
 * number; the sums come back up. In spawn order all of one level exist before the next begins,
 * with eager children the tree is walked depth first and few stacks are in use at a time.
 */
#include "bench.h"

#define LEAVES 1000000L

struct node {
	long first, leaves, sum;
};

static bool eager;

static int spawn_child(struct coop_group *g, coop_fn *fn, struct node *child)
{
	static const struct coop_spawn_opts at_once = { .eager = true };

	return eager ? coop_spawn_with(g, fn, child, &at_once, NULL) : coop_spawn(g, fn, child);
}

static int sky(void *arg)
{
	struct node *n = arg, kids[10];
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	if (n->leaves == 1) {
		n->sum = n->first;
		return 0;
	}
	coop_group_open(&g, NULL);
	for (int i = 0; i < 10 && r >= 0; i++) {
		kids[i].leaves = n->leaves / 10;
		kids[i].first = n->first + i * kids[i].leaves;
		r = spawn_child(&g, sky, &kids[i]);
	}
	r = coop_group_join(&g, r);
	if (r < 0)
		return r;
	n->sum = 0;
	for (int i = 0; i < 10; i++)
		n->sum += kids[i].sum;
	return 0;
}

/* Once in a fresh process, once more with the stacks there. */
static int twice(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2; i++) {
		struct node top = { .leaves = LEAVES };
		double start = bench_now_ns();

		bench_must(sky(&top), 0);
		bench_give(i, (bench_now_ns() - start) / 1e6);
		bench_must(top.sum, LEAVES * (LEAVES - 1) / 2);
	}
	return 0;
}

static void ask_skynet(void)
{
	bench_run(twice);
}

static void ask_skynet_eager(void)
{
	eager = true;
	bench_run(twice);
}

const struct bench bench_skynet[] = {
	{ .name = "skynet",
	  .ask = ask_skynet,
	  .figures = { { .name = "skynet",
			 .what = "skynet, 1,000,000 leaves, spawn order",
			 .unit = "ms",
			 .target = 300 },
		       { .name = "skynet_warm", .what = "  the second time", .unit = "ms" } } },
	{ .name = "skynet_eager",
	  .ask = ask_skynet_eager,
	  .figures = { { .name = "skynet_eager",
			 .what = "skynet with eager children",
			 .unit = "ms",
			 .target = 150 },
		       { .name = "skynet_eager_warm",
			 .what = "  the second time",
			 .unit = "ms" } } },
	{ .name = NULL },
};
