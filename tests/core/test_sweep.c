/* SPDX-License-Identifier: MIT */
/*
 * One program with a bit of everything, cancelled at each of its checkpoints in turn, run with each
 * of its allocations failing, and under many orders. It counts what it acquires and what it
 * gives back: in the end that must be even, nothing may be left, and the result is one of few.
 */
#include "core_help.h"

static int acquired, held, most_held;

struct resource {
	struct coop_defer defer;
};

static int give_back(void *arg)
{
	int r = coop_sleep(MS(1));

	(void)arg;
	held--;
	return r == COOP_ECANCELED ? 0 : r;
}

/* Acquires something that its scope gives back. */
static void acquire(struct coop_scope *s, struct resource *res)
{
	CHECK_INT(coop_scope_defer(s, &res->defer, give_back, res), ==, 0);
	acquired++;
	if (++held > most_held)
		most_held = held;
}

static int naps_3(void *arg)
{
	(void)arg;
	return coop_sleep(MS(3));
}

/* A scope with a limit, a resource, an inner limit that is reached, a shielded part. */
static int worker(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct resource res = { COOP_DEFER_INIT };
	int r;

	coop_scope_open(&s, &(struct coop_scope_opts){ .name = "work", .timeout_ns = MS(100) });
	acquire(&s, &res);
	r = coop_checkpoint();
	if (r >= 0)
		r = coop_fail_after(MS(1), naps_3, arg);
	if (r == COOP_ETIMEDOUT) {
		coop_error_clear();
		r = coop_sleep(MS(2));
	}
	if (r >= 0)
		r = coop_shield(naps_3, arg);
	if (r >= 0)
		r = coop_shield_grace(MS(2), naps_3, arg);
	return coop_scope_close(&s, r);
}

/* A group that ends itself, with a group inside one of its children. */
static int nested(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct resource res = { COOP_DEFER_INIT };
	int r;

	r = coop_group_open(&g, &(struct coop_group_opts){ .running_max = 2, .name = "in" });
	acquire(coop_group_scope(&g), &res);
	for (int i = 0; r >= 0 && i < 3; i++)
		r = coop_spawn_wait(&g, i == 1 ? worker : naps_3, arg);
	if (r >= 0)
		r = coop_group_wait(&g);
	if (r >= 0)
		r = coop_spawn(&g, sleep_for_ever, NULL);
	if (r >= 0)
		r = coop_sleep(MS(1));
	coop_group_cancel(&g, "done");
	return coop_group_join(&g, r);
}

static int server(void *arg, struct coop_start *start)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct resource res = { COOP_DEFER_INIT };
	int r;

	(void)arg;
	coop_scope_open(&s, NULL);
	acquire(&s, &res);
	r = coop_sleep(MS(2));
	if (r >= 0)
		r = coop_started(start, 7);
	if (r >= 0)
		r = coop_sleep(COOP_NEVER);
	return coop_scope_close(&s, r);
}

/* What the cancellation of somebody else looks like to who asks is no failure here. */
static int others_may_be_cancelled(int r)
{
	if (r != COOP_ETASKCANCELLED && r != COOP_ENOTSTARTED)
		return r;
	coop_error_clear();
	return 0;
}

static int program(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_spawn_opts service = { .service = true }, eager = { .eager = true };
	struct coop_handle *h = NULL;
	int r, value;

	(void)arg;
	begin_ns = coop_now();
	coop_group_open(&g, &(struct coop_group_opts){ .timeout_ns = MS(500) });
	r = coop_spawn(&g, worker, NULL);
	if (r >= 0)
		r = coop_spawn_with(&g, nested, NULL, NULL, &h);
	if (r >= 0)
		r = coop_spawn_with(&g, sleep_for_ever, NULL, &service, NULL);
	if (r >= 0)
		r = coop_spawn_with(&g, worker, NULL, &eager, NULL);
	if (r >= 0)
		r = others_may_be_cancelled(coop_start(&g, server, NULL, &value));
	if (r >= 0)
		r = others_may_be_cancelled(coop_handle_wait(h, NULL));
	if (r >= 0)
		r = coop_sleep_until(begin_ns + MS(15));
	coop_handle_release(h);
	coop_group_cancel(&g, "over");
	return coop_group_join(&g, r);
}

static const char *even(int rc, uint64_t n, void *ctx)
{
	static char text[80];
	const int *allowed = ctx;
	int left = held;

	held = 0;
	if (left) {
		snprintf(text, sizeof text, "%d resources were not given back", left);
		return text;
	}
	for (; *allowed != 1; allowed++)
		if (rc == *allowed && (n || rc == 0))
			return NULL;
	snprintf(text, sizeof text, "result %d", rc);
	return text;
}

/* Undisturbed, it takes its time and holds what it should. */
TEST(undisturbed)
{
	CHECK_INT(coop_run(program, NULL, &virtual_clock), ==, 0);
	CHECK_INT(held, ==, 0);
	CHECK_INT(acquired, ==, 5);
	CHECK_INT(most_held, ==, 5);
}

/* Whichever task is cancelled at whichever checkpoint: all is given back, nothing is left. */
TEST(cancelled_at_every_checkpoint)
{
	static const int allowed[] = { 0, COOP_ECANCELED, 1 };
	struct coop_sweep sweep = { 0 };

	if (coop_sweep_cancel(program, NULL, NULL, even, (void *)(uintptr_t)allowed, &sweep) < 0)
		FAIL("checkpoint %d of the run: %s", (int)sweep.failed_at, sweep.why);
	CHECK_INT(sweep.injected, >, 30);
}

/* The same with the order of what is ready shuffled. */
TEST(cancelled_at_every_checkpoint_in_other_orders)
{
	static const int allowed[] = { 0, COOP_ECANCELED, 1 };
	struct coop_run_opts opts = { .clock = COOP_CLOCK_VIRTUAL };
	struct coop_sweep sweep = { 0 };

	for (opts.seed = 1; opts.seed <= 20; opts.seed++)
		if (coop_sweep_cancel(program, NULL, &opts, even, (void *)(uintptr_t)allowed,
				      &sweep) < 0)
			FAIL("seed %d, checkpoint %d of the run: %s", (int)opts.seed,
			     (int)sweep.failed_at, sweep.why);
}

/* Whichever allocation fails, alone or with all that follow. */
TEST(with_every_allocation_failing)
{
	static const int allowed[] = { 0, -ENOMEM, 1 };
	struct coop_sweep sweep = { 0 };

	keep_records(COOP_LOG_ERROR);
	for (int for_ever = 0; for_ever < 2; for_ever++) {
		if (coop_sweep_alloc(program, NULL, NULL, for_ever, even,
				     (void *)(uintptr_t)allowed, &sweep) < 0)
			FAIL("allocation %d: %s", (int)sweep.failed_at, sweep.why);
		CHECK_INT(sweep.injected, >, 5);
	}
}

/* In every order of what is free. */
TEST(in_many_orders)
{
	static const int allowed[] = { 0, 1 };
	struct coop_sweep sweep = { 0 };

	if (coop_sweep_seeds(program, NULL, NULL, 1, 500, even, (void *)(uintptr_t)allowed,
			     &sweep) < 0)
		FAIL("seed %d: %s", (int)sweep.failed_at, sweep.why);
}
