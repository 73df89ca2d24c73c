/* SPDX-License-Identifier: MIT */
/*
 * Cancellation is a level: as long as a scope is cancelled, each checkpoint in it says so, and
 * has done nothing. Every call that is documented as a checkpoint stands in one table here, and is
 * made under a cancelled scope, and with a cancel that comes while it is blocked.
 */
#include "core_help.h"

/* What the calls of the table need. */
struct world {
	struct coop_group busy; /* room for one, taken by a sleeper */
	struct coop_group empty;
	struct coop_group full; /* as busy: room for one */
	struct coop_handle *alive, *ended;
	struct coop_ticker ticker;
	struct coop_sequencer sequencer;
	int spawned; /* tasks that the calls of the table have started */
	int value;
	bool timed_out;
};

static int returns_5(void *arg)
{
	(void)arg;
	return 5;
}

static int counts(void *arg)
{
	((struct world *)arg)->spawned++;
	return 0;
}

static int do_checkpoint(struct world *w)
{
	(void)w;
	return coop_checkpoint();
}

static int do_sleep_none(struct world *w)
{
	(void)w;
	return coop_sleep(0);
}

static int do_sleep(struct world *w)
{
	(void)w;
	return coop_sleep(MS(1000));
}

static int do_sleep_for_ever(struct world *w)
{
	(void)w;
	return coop_sleep(COOP_NEVER);
}

static int do_sleep_until_past(struct world *w)
{
	(void)w;
	return coop_sleep_until(1);
}

static int do_sleep_until(struct world *w)
{
	(void)w;
	return coop_sleep_until(coop_now() + MS(1000));
}

static int do_ticker(struct world *w)
{
	return coop_ticker_wait(&w->ticker);
}

static int do_wait_alive(struct world *w)
{
	return coop_handle_wait(w->alive, &w->value);
}

static int do_wait_ended(struct world *w)
{
	return coop_handle_wait(w->ended, &w->value);
}

static int do_await_shielded(struct world *w)
{
	return coop_await_shielded(w->alive, &w->value);
}

static int do_group_wait_busy(struct world *w)
{
	return coop_group_wait(&w->busy);
}

static int do_group_wait_empty(struct world *w)
{
	return coop_group_wait(&w->empty);
}

static int do_spawn_wait_full(struct world *w)
{
	return coop_spawn_wait(&w->full, counts, w);
}

static int do_spawn_wait_room(struct world *w)
{
	return coop_spawn_wait(&w->empty, counts, w);
}

static int do_compose_wait(struct world *w)
{
	int r = coop_wait(&w->alive, 1, COOP_WAIT_ALL, COOP_NEVER, &w->timed_out);

	return r > 0 ? 0 : r;
}

static int do_sequencer(struct world *w)
{
	return coop_sequencer_wait(&w->sequencer, 7);
}

static int do_wait_all_blocked(struct world *w)
{
	(void)w;
	return coop_test_wait_all_blocked(0);
}

static const struct call {
	const char *name;
	int (*fn)(struct world *w);
	bool blocks;
} calls[] = {
	{ "coop_checkpoint", do_checkpoint, false },
	{ "coop_sleep(0)", do_sleep_none, false },
	{ "coop_sleep", do_sleep, true },
	{ "coop_sleep(COOP_NEVER)", do_sleep_for_ever, true },
	{ "coop_sleep_until(past)", do_sleep_until_past, false },
	{ "coop_sleep_until", do_sleep_until, true },
	{ "coop_ticker_wait", do_ticker, true },
	{ "coop_handle_wait(alive)", do_wait_alive, true },
	{ "coop_handle_wait(ended)", do_wait_ended, false },
	{ "coop_await_shielded", do_await_shielded, true },
	{ "coop_group_wait(busy)", do_group_wait_busy, true },
	{ "coop_group_wait(empty)", do_group_wait_empty, false },
	{ "coop_spawn_wait(full)", do_spawn_wait_full, true },
	{ "coop_spawn_wait(room)", do_spawn_wait_room, false },
	{ "coop_wait", do_compose_wait, true },
	{ "coop_sequencer_wait", do_sequencer, true },
	{ "coop_test_wait_all_blocked", do_wait_all_blocked, false },
};

#define CALLS (sizeof calls / sizeof *calls)

static void world_open(struct world *w)
{
	struct coop_group_opts one = { .running_max = 1 };

	*w = (struct world){ .busy = COOP_GROUP_INIT,
			     .empty = COOP_GROUP_INIT,
			     .full = COOP_GROUP_INIT,
			     .value = -1 };
	coop_group_open(&w->busy, NULL);
	coop_group_open(&w->empty, NULL);
	coop_group_open(&w->full, &one);
	CHECK_INT(coop_spawn_with(&w->busy, sleep_for_ever, NULL, NULL, &w->alive), ==, 0);
	CHECK_INT(coop_spawn_with(&w->busy, returns_5, NULL, NULL, &w->ended), ==, 0);
	CHECK_INT(coop_spawn(&w->full, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_ticker_start(&w->ticker, MS(1000)), ==, 0);
	coop_yield();
}

static void world_close(struct world *w)
{
	coop_group_cancel(&w->full, NULL);
	CHECK_INT(coop_group_join(&w->full, 0), ==, 0);
	CHECK_INT(coop_group_join(&w->empty, 0), ==, 0);
	coop_group_cancel(&w->busy, NULL);
	CHECK_INT(coop_group_join(&w->busy, 0), ==, 0);
	coop_handle_release(w->alive);
	coop_handle_release(w->ended);
}

/* Nothing that the calls of the table could do has been done. */
static void world_untouched(struct world *w)
{
	struct coop_group_stats stats;

	CHECK_INT(w->spawned, ==, 0);
	CHECK_INT(w->value, ==, -1);
	CHECK(!w->timed_out);
	CHECK_INT(coop_handle_state(w->alive), ==, COOP_TASK_BLOCKED);
	CHECK_INT(coop_group_stats(&w->empty, &stats), ==, 0);
	CHECK_INT(stats.peak, ==, 0);
	CHECK_INT(coop_group_stats(&w->full, &stats), ==, 0);
	CHECK_INT(stats.running, ==, 1);
	CHECK_INT(stats.waiting, ==, 0);
}

/* Under a cancelled scope each checkpoint fails, again and again, at once, without any effect. */
TASK_TEST(every_checkpoint_fails_while_cancelled)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_checkpoint_mark mark;
	struct world w;
	int r = 0;

	world_open(&w);
	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, "level");
	for (size_t i = 0; i < 3 * CALLS; i++) {
		const struct call *call = &calls[i % CALLS];

		mark = coop_test_checkpoints();
		r = call->fn(&w);
		if (r != COOP_ECANCELED)
			FAIL("%s, call %zu: %d", call->name, i, r);
		if (coop_test_checkpoints().cancel_half != mark.cancel_half + 1)
			FAIL("%s: not one cancel half of a checkpoint", call->name);
		coop_assert_checkpoint(mark);
		world_untouched(&w);
		CHECK_INT(now_ns(), ==, 0);
	}
	PROVES(B76, B83);
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	CHECK(coop_scope_caught(&s));

	/* The tick that was waited for in vain is still there, in its place. */
	CHECK_INT(coop_ticker_wait(&w.ticker), ==, 0);
	CHECK_INT(now_ms(), ==, 1000);
	world_close(&w);
	PROVES(B84);
	return 0;
}

struct blocked {
	const struct call *call;
	struct world *w;
	int rc, next_rc;
	int64_t at_ms;
	bool ended;
};

static int blocks(void *arg)
{
	struct blocked *b = arg;

	b->rc = b->call->fn(b->w);
	b->at_ms = now_ms();
	b->next_rc = coop_checkpoint();
	b->ended = true;
	return b->rc;
}

/* Each call that blocks is woken by a cancel, at that moment, and has done nothing. */
TASK_TEST(a_cancel_ends_every_blocked_call)
{
	for (size_t i = 0; i < CALLS; i++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct world w;
		struct blocked b = { .call = &calls[i], .w = &w };
		int64_t start_ms = now_ms();

		if (!calls[i].blocks)
			continue;
		world_open(&w);
		coop_group_open(&g, NULL);
		CHECK_INT(coop_spawn(&g, blocks, &b), ==, 0);
		CHECK_INT(coop_sleep(MS(3)), ==, 0);
		if (b.ended)
			FAIL("%s did not block: %d", calls[i].name, b.rc);
		coop_group_cancel(&g, "now");
		CHECK(!b.ended);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		if (b.rc != COOP_ECANCELED)
			FAIL("%s: %d", calls[i].name, b.rc);
		CHECK_INT(b.next_rc, ==, COOP_ECANCELED);
		CHECK_INT(b.at_ms, ==, start_ms + 3);
		world_untouched(&w);
		world_close(&w);
	}
	PROVES(B78);
	return 0;
}

/* Each call that need not block is a whole checkpoint all the same, and loses nothing by it. */
TASK_TEST(calls_that_need_not_block_are_checkpoints)
{
	struct coop_checkpoint_mark mark;
	struct world w;

	world_open(&w);
	for (size_t i = 0; i < CALLS; i++) {
		if (calls[i].blocks)
			continue;
		mark = coop_test_checkpoints();
		CHECK_INT(calls[i].fn(&w), ==, 0);
		coop_assert_checkpoint(mark);
	}
	CHECK_INT(w.value, ==, 5);
	CHECK_INT(now_ns(), ==, 0);
	PROVES(B86, B216);
	CHECK_INT(coop_group_wait(&w.empty), ==, 0);
	CHECK_INT(w.spawned, ==, 1);
	world_close(&w);
	return 0;
}

/* What is documented as "never" goes through no half of a checkpoint, cancelled or not. */
TASK_TEST(calls_that_never_checkpoint)
{
	struct coop_scope s = COOP_SCOPE_INIT, inner = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_group_opts one = { .running_max = 1 };
	struct coop_checkpoint_mark mark;
	struct coop_cancel_info info;
	int value = 3;
	struct coop_handle *h;

	for (int cancelled = 0; cancelled < 2; cancelled++) {
		s = (struct coop_scope)COOP_SCOPE_INIT;
		g = (struct coop_group)COOP_GROUP_INIT;
		inner = (struct coop_scope)COOP_SCOPE_INIT;
		mark = coop_test_checkpoints();
		coop_scope_open(&s, NULL);
		if (cancelled)
			coop_scope_cancel(&s, NULL);
		coop_group_open(&g, &one);
		CHECK_INT(coop_spawn_with(&g, returns_5, NULL, NULL, &h), ==, 0);
		CHECK_INT(coop_spawn(&g, returns_5, NULL), ==, -EAGAIN);
		CHECK_INT(coop_spawn_unless_cancelled(&g, returns_5, NULL), ==,
			  cancelled ? COOP_ECANCELED : -EAGAIN);
		CHECK_INT(coop_handle_result(h, &value), ==, -EAGAIN);
		CHECK_INT(value, ==, 3);
		CHECK_INT(coop_cancelled(), ==, cancelled);
		CHECK_INT(coop_cancel_reason(&info), ==, cancelled);
		coop_scope_open(&inner, NULL);
		CHECK_INT(coop_scope_set_deadline(&inner, coop_now() + 1), ==, 0);
		CHECK_INT(coop_scope_set_shield(&inner, true), ==, 0);
		CHECK(coop_effective_deadline() > 0);
		CHECK_INT(coop_scope_cancel(&inner, NULL), ==, 0);
		CHECK_INT(coop_scope_close(&inner, 0), ==, 0);
		coop_assert_no_checkpoint(mark);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		CHECK_INT(coop_scope_close(&s, 0), ==, 0);
		coop_handle_release(h);
	}
	PROVES(B85, B111);
	return 0;
}

/* The halves: one notices and never switches, the other switches and never notices. */
static int ran;

static int runs(void *arg)
{
	(void)arg;
	ran++;
	return 0;
}

TASK_TEST(halves_of_a_checkpoint)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_checkpoint_mark mark = coop_test_checkpoints(), now;
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, runs, NULL), ==, 0);
	for (int i = 0; i < 1000; i++)
		CHECK_INT(coop_checkpoint_if_cancelled(), ==, 0);
	CHECK_INT(ran, ==, 0);
	now = coop_test_checkpoints();
	CHECK_INT(now.cancel_half - mark.cancel_half, ==, 1000);
	CHECK_INT(now.schedule_half, ==, mark.schedule_half);

	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, NULL);
	mark = coop_test_checkpoints();
	CHECK_INT(coop_yield(), ==, 0);
	CHECK_INT(ran, ==, 1);
	now = coop_test_checkpoints();
	CHECK_INT(now.cancel_half, ==, mark.cancel_half);
	CHECK_INT(now.schedule_half, ==, mark.schedule_half + 1);
	r = coop_checkpoint_if_cancelled();
	CHECK_INT(r, ==, COOP_ECANCELED);
	coop_assert_checkpoint(mark);
	PROVES(B87);
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	return coop_group_join(&g, 0);
}

/* One that asks again and again, in vain, still lets the others run. */
static int set_flag(void *arg)
{
	*(bool *)arg = true;
	return 0;
}

TASK_TEST(who_ignores_its_cancellation_starves_nobody)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	bool flag = false;
	int rounds = 0;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, set_flag, &flag), ==, 0);
	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, NULL);
	while (!flag && rounds < 1000) {
		CHECK_INT(coop_checkpoint(), ==, COOP_ECANCELED);
		rounds++;
	}
	CHECK(flag);
	CHECK_INT(rounds, <=, 128); /* the budget */
	PROVES(B110);
	CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, 0);
	return coop_group_join(&g, 0);
}

/* A task that goes on without regard of its cancellation gets nowhere, but its result counts. */
static int swallows(void *arg)
{
	int *failed = arg;

	for (int i = 0; i < 50; i++)
		*failed += coop_sleep(MS(1)) == COOP_ECANCELED;
	return 42;
}

TASK_TEST(a_swallowed_cancel_comes_back)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h;
	int failed = 0, value = 0;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, swallows, &failed, NULL, &h), ==, 0);
	CHECK_INT(coop_sleep(MS(9)), ==, 0);
	coop_yield();
	CHECK_INT(coop_handle_cancel(h, "stop"), ==, 0);
	CHECK_INT(coop_handle_wait(h, &value), ==, 0);
	CHECK_INT(now_ms(), ==, 9);
	CHECK_INT(failed, ==, 41);
	CHECK_INT(value, ==, 42);
	CHECK_INT(coop_handle_state(h), ==, COOP_TASK_FINISHED);
	CHECK(coop_handle_cancel_called(h));
	PROVES(B110, B48);
	coop_handle_release(h);
	return coop_group_join(&g, 0);
}

/* A task that spins on cancelled checkpoints does not keep the others from running. */
static bool flag;

static int sets_flag(void *arg)
{
	(void)arg;
	flag = true;
	return 0;
}

static int spins(void *arg)
{
	(void)arg;
	while (!flag)
		if (coop_checkpoint() == 0)
			return -EIO;
	return 0;
}

TASK_TEST(ignoring_a_cancel_does_not_starve_the_rest)
{
	struct coop_group g = COOP_GROUP_INIT, cancelled = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	coop_group_open(&cancelled, NULL);
	coop_group_cancel(&cancelled, NULL);
	CHECK_INT(coop_spawn(&cancelled, spins, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, sets_flag, NULL), ==, 0);
	CHECK_INT(coop_group_join(&cancelled, 0), ==, 0);
	return coop_group_join(&g, 0);
}

/* After so many ignored cancels in one scope there is one warning, which says who. */
static int ignores(void *arg)
{
	for (intptr_t i = 0; i < (intptr_t)arg; i++)
		(void)!coop_checkpoint();
	return 0;
}

static int ignores_in_scopes(void *arg)
{
	for (int i = 0; i < 4; i++) {
		struct coop_scope s = COOP_SCOPE_INIT;

		coop_scope_open(&s, NULL);
		coop_scope_cancel(&s, NULL);
		CHECK_INT(ignores(arg), ==, 0);
		CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, 0);
	}
	return 0;
}

struct ignoring {
	coop_fn *fn;
	int times;
};

static int spawned_at;

static int ignoring_main(void *arg)
{
	const struct ignoring *i = arg;
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_spawn_opts named = { .name = "stubborn" };

	coop_group_open(&g, NULL);
	if (i->fn == ignores)
		coop_group_cancel(&g, NULL);
	spawned_at = __LINE__ + 1;
	CHECK_INT(coop_spawn_with(&g, i->fn, (void *)(intptr_t)i->times, &named, NULL), ==, 0);
	return coop_group_join(&g, 0);
}

static void ignoring_run(coop_fn *fn, int times, int64_t warn)
{
	struct coop_run_opts opts = { .clock = COOP_CLOCK_VIRTUAL, .ignore_warn = warn };
	struct ignoring i = { fn, times };

	keep_records(COOP_LOG_WARN);
	CHECK_INT(coop_run(ignoring_main, &i, &opts), ==, 0);
}

TEST(a_warning_for_who_ignores_its_cancellation)
{
	ignoring_run(ignores, 999, 0);
	CHECK_INT(records_count, ==, 0);
	ignoring_run(ignores, 5000, 0);
	CHECK_INT(records_count, ==, 1);
	CHECK_HAS(records, "stubborn");
	CHECK_HAS(records, "ignores its cancellation");
	CHECK_HAS(records, place(__FILE__, spawned_at));
	ignoring_run(ignores, 4, 5);
	CHECK_INT(records_count, ==, 0);
	ignoring_run(ignores, 5, 5);
	CHECK_INT(records_count, ==, 1);
	/* The count is for one scope: leaving it begins anew. */
	ignoring_run(ignores_in_scopes, 4, 5);
	CHECK_INT(records_count, ==, 0);
	PROVES(B110);
}
