/* SPDX-License-Identifier: MIT */
/*
 * Random trees of scopes against a model. Tasks with chains of scopes and groups are cancelled,
 * given deadlines, shielded and laid open at random; after each step and each millisecond every
 * scope must be as a model says that works out all of them anew, by the rules alone, and each task
 * must have been woken in the millisecond in which it first became cancelled.
 */
#include "core_help.h"

#include "core/core.h"

#define TREE_TASKS 7
#define CHAIN 4 /* scopes of one task; the last is the group of its children */
#define NODES (TREE_TASKS * CHAIN)
#define NOT_YET INT64_MAX
#define DEFAULT_GRACE_MS 40

/* One scope as the model sees it. Times are in milliseconds. */
struct node {
	int outer; /* -1: none */
	bool hard, own, eff;
	int64_t soft; /* limit; -1: no soft shield */
	int64_t deadline;
	int64_t own_until, until;
	int64_t met, soft_end; /* when the soft shield first met a cancel, until when it hides it */
};

static struct node nodes[NODES];
static struct coop_scope *scopes[NODES];
static struct coop_group groups[TREE_TASKS];
static struct coop_scope chains[TREE_TASKS][CHAIN - 1];
static int64_t woken[TREE_TASKS], model_woken[TREE_TASKS];
static struct coop_task *tree_tasks[TREE_TASKS];
static uint64_t random_state;
static int effective_seen, woken_seen;

static uint32_t rnd(uint32_t n)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(random_state >> 33) % n;
}

/* ---- the model */

static void model_soft(struct node *n, const struct node *out, int64_t now)
{
	if (!out || !out->eff) {
		n->met = n->soft_end = NOT_YET;
		return;
	}
	if (n->met == NOT_YET) {
		n->met = now;
		n->soft_end = now + n->soft;
	}
	if (out->until < n->soft_end)
		n->soft_end = out->until;
}

/* The rules, told from scratch for one scope; the one outside it is right already. */
static void model_look(struct node *n, int64_t now)
{
	const struct node *out = n->outer < 0 ? NULL : &nodes[n->outer];
	bool seen = out && out->eff && !n->hard;

	if (n->soft >= 0) {
		model_soft(n, out, now);
		seen = seen && now >= n->soft_end;
	}
	n->eff = n->own || seen;
	n->until = n->own ? n->own_until : NOT_YET;
	if (seen && out->until < n->until)
		n->until = out->until;
	if (seen && n->soft >= 0 && n->soft_end < n->until)
		n->until = n->soft_end;
}

static void model_all(int64_t now)
{
	for (int i = 0; i < NODES; i++)
		model_look(&nodes[i], now);
	for (int t = 0; t < TREE_TASKS; t++)
		if (nodes[t * CHAIN + CHAIN - 1].eff && model_woken[t] == NOT_YET)
			model_woken[t] = now;
}

static void model_cancel(struct node *n, int64_t now, int64_t grace)
{
	if (!n->own || now + grace < n->own_until)
		n->own_until = now + grace;
	n->own = true;
}

static void model_deadlines(int64_t now)
{
	for (int i = 0; i < NODES; i++)
		if (!nodes[i].own && nodes[i].deadline <= now)
			model_cancel(&nodes[i], now, DEFAULT_GRACE_MS);
}

static void compare(uint64_t seed, int64_t now)
{
	struct coop_cancel_info info;

	for (int i = 0; i < NODES; i++) {
		bool eff = coop_scope_reason(scopes[i], &info);

		effective_seen += eff;
		if (eff != nodes[i].eff)
			FAIL("seed %d, %d ms: scope %d is %scancelled", (int)seed, (int)now, i,
			     eff ? "" : "not ");
		if (scopes[i]->_eff && scopes[i]->_until_ns != COOP_NEVER &&
		    scopes[i]->_until_ns != begin_ns + MS(nodes[i].until))
			FAIL("seed %d, %d ms: scope %d: wrong end of the grace", (int)seed,
			     (int)now, i);
	}
	for (int t = 0; t < TREE_TASKS; t++) {
		woken_seen += woken[t] != NOT_YET;
		if (woken[t] != model_woken[t] && model_woken[t] < now)
			FAIL("seed %d, %d ms: task %d was woken at %lld, not at %lld", (int)seed,
			     (int)now, t, (long long)woken[t], (long long)model_woken[t]);
	}
}

/* ---- what is done to both */

static void random_deadline(int i, int64_t now)
{
	int64_t deadline = now + rnd(rnd(2) ? 30 : 3);

	CHECK_INT(coop_scope_set_deadline(scopes[i], begin_ns + MS(deadline)), ==,
		  nodes[i].own ? -EALREADY : 0);
	nodes[i].deadline = deadline;
}

static void random_step(int64_t now)
{
	int i = (int)rnd(NODES);
	int64_t grace = rnd(30);

	switch (rnd(6)) {
	case 0:
		coop_scope_cancel_grace(scopes[i], NULL, MS(grace));
		model_cancel(&nodes[i], now, grace);
		break;
	case 1:
	case 2:
		nodes[i].hard = rnd(3) == 0;
		CHECK_INT(coop_scope_set_shield(scopes[i], nodes[i].hard), ==, 0);
		break;
	case 3: random_deadline(i, now); break;
	default: break;
	}
	model_deadlines(now);
	model_all(now);
}

/* Task `t` of the tree: opens its chain, spawns its children 2t+1 and 2t+2, and sleeps. */
static int tree_task(void *arg)
{
	intptr_t t = (intptr_t)arg;
	struct cp_wait until_the_end = { .what = "the end" };
	int r;

	tree_tasks[t] = coop_self();
	for (intptr_t i = t * CHAIN; i < t * CHAIN + CHAIN; i++) {
		int64_t soft_ns = nodes[i].soft < 0 ? 0 : MS(nodes[i].soft);
		struct coop_scope_opts opts = { .shield = nodes[i].hard,
						.soft_shield_ns = soft_ns };
		struct coop_group_opts group_opts = { .shield = nodes[i].hard,
						      .soft_shield_ns = soft_ns };

		if (scopes[i] == coop_group_scope(&groups[t]))
			coop_group_open(&groups[t], &group_opts);
		else
			coop_scope_open(scopes[i], &opts);
	}
	for (intptr_t c = 2 * t + 1; c <= 2 * t + 2 && c < TREE_TASKS; c++)
		CHECK_INT(coop_spawn(&groups[t], tree_task, (void *)c), ==, 0);
	r = coop_sleep(COOP_NEVER);
	woken[t] = now_ms();
	cp_park(cp_rt, &until_the_end);
	r = coop_group_join(&groups[t], r);
	for (int i = CHAIN - 1; i-- > 0;)
		r = coop_scope_close(&chains[t][i], r);
	return r;
}

static void make_task(int t)
{
	for (int k = 0; k < CHAIN; k++) {
		int up = t ? (t - 1) / 2 * CHAIN + CHAIN - 1 : -1;

		nodes[t * CHAIN + k] = (struct node){
			.outer = k ? t * CHAIN + k - 1 : up,
			.hard = rnd(8) == 0,
			.soft = rnd(3) ? -1 : (int64_t)rnd(25) + 1,
			.deadline = NOT_YET,
			.met = NOT_YET,
			.soft_end = NOT_YET,
		};
		if (k == CHAIN - 1)
			continue;
		chains[t][k] = (struct coop_scope)COOP_SCOPE_INIT;
		scopes[t * CHAIN + k] = &chains[t][k];
	}
	groups[t] = (struct coop_group)COOP_GROUP_INIT;
	scopes[t * CHAIN + CHAIN - 1] = coop_group_scope(&groups[t]);
	woken[t] = model_woken[t] = NOT_YET;
}

/* The end: whoever still sleeps is woken by force, then all leave, the innermost first. */
static void end_tree(void)
{
	coop_scope_cancel_grace(scopes[0], NULL, 0);
	cp_scope_force(cp_rt, scopes[0]);
	for (int i = 0; i < TREE_TASKS; i++)
		coop_yield();
	for (int t = 0; t < TREE_TASKS; t++)
		cp_wake(cp_rt, tree_tasks[t], 0);
}

static int tree_main(void *arg)
{
	uint64_t seed = *(uint64_t *)arg;
	struct coop_scope_opts hard = { .shield = true };
	struct coop_scope driver = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;

	random_state = seed;
	for (int t = 0; t < TREE_TASKS; t++)
		make_task(t);
	begin_ns = coop_now();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, tree_task, NULL), ==, 0);
	for (int i = 0; i < TREE_TASKS; i++)
		coop_yield();
	coop_scope_open(&driver, &hard);
	for (int64_t now = 0; now < 120; now++) {
		model_deadlines(now);
		model_all(now);
		compare(seed, now);
		random_step(now);
		compare(seed, now);
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
	}
	end_tree();
	CHECK_INT(coop_scope_close(&driver, 0), ==, 0);
	return coop_group_join(&g, 0);
}

/* Whatever is done to a tree of scopes, it is as the rules say, and nobody is woken late. */
TEST(random_trees_are_as_the_rules_say)
{
	struct coop_run_opts opts = { .clock = COOP_CLOCK_VIRTUAL,
				      .grace_ns = MS(DEFAULT_GRACE_MS) };
	uint64_t seeds = TEST_COUNT(400, 40);

	for (uint64_t seed = 1; seed <= seeds; seed++)
		if (coop_run(tree_main, &seed, &opts) != 0)
			FAIL("seed %d: the tree did not end well", (int)seed);
	CHECK(effective_seen > 1000); /* it was worth looking */
	CHECK(woken_seen > 1000);
	PROVES(B185, B187, B192, B196);
}
