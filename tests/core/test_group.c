/* SPDX-License-Identifier: MIT */
/*
 * Groups: what the join waits for, who is cancelled by whom, what comes out.
 * All on the virtual clock: a time in a check is exact.
 */
#include "test.h"

#include <coop.h>
#include <coop/auto.h>
#include <coop/testing.h>

#include <errno.h>
#include <string.h>

#define MS COOP_MILLISECONDS

static const struct coop_run_opts virtual_clock = { .clock = COOP_CLOCK_VIRTUAL };
static int64_t start_ns;

static int64_t ms(void)
{
	return (coop_now() - start_ns) / 1000000;
}

static int run(coop_fn *fn)
{
	return coop_run(fn, NULL, &virtual_clock);
}

static void begin(void)
{
	start_ns = coop_now();
}

static int sleeper(void *arg)
{
	return coop_sleep(MS((intptr_t)arg));
}

static int fails_after(void *arg)
{
	int r = coop_sleep(MS((intptr_t)arg));

	return r < 0 ? r : coop_fail(-EIO, "after %d ms", (int)(intptr_t)arg);
}

#define AFTER(n) ((void *)(intptr_t)(n))

static int forever_until_cancelled(void *arg)
{
	int r = coop_sleep(COOP_NEVER);

	if (arg && r == COOP_ECANCELED)
		*(int64_t *)arg = ms();
	return r;
}

/* The join waits for children that the body did not wait for. */
static int join_waits(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	begin();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sleeper, AFTER(70)), ==, 0);
	CHECK_INT(coop_spawn(&g, sleeper, AFTER(20)), ==, 0);
	r = coop_group_join(&g, 5);
	CHECK_INT(r, ==, 5);
	CHECK_INT(ms(), ==, 70);
	PROVES(B1);
	return 0;
}

TEST(join_waits_for_every_child)
{
	CHECK_INT(run(join_waits), ==, 0);
}

static int other_ran;

static int mark(void *arg)
{
	(void)arg;
	other_ran++;
	return 0;
}

/* Leaving an empty group lets others run, and is no cancellation point. */
static int empty_group(void *arg)
{
	struct coop_group outer = COOP_GROUP_INIT, inner = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_group_open(&outer, NULL);
	CHECK_INT(coop_spawn(&outer, mark, NULL), ==, 0);
	coop_group_cancel(&outer, "x");
	coop_group_open(&inner, NULL);
	r = coop_group_join(&inner, 0);
	CHECK_INT(r, ==, 0);
	PROVES(B3);
	CHECK_INT(other_ran, ==, 1);
	PROVES(B2);
	CHECK_INT(coop_checkpoint(), ==, COOP_ECANCELED);
	r = coop_group_join(&outer, COOP_ECANCELED);
	CHECK_INT(r, ==, 0);
	PROVES(B32);
	return 0;
}

TEST(leaving_an_empty_group)
{
	CHECK_INT(run(empty_group), ==, 0);
}

/* A failing child interrupts the body and its siblings at that very time. */
static int child_fails(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int64_t sibling = 0;
	int r;

	(void)arg;
	begin();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, forever_until_cancelled, &sibling), ==, 0);
	CHECK_INT(coop_spawn(&g, fails_after, AFTER(30)), ==, 0);
	r = coop_sleep(COOP_SECONDS(10));
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(ms(), ==, 30);
	PROVES(B7);
	r = coop_group_join(&g, r);
	CHECK_INT(r, ==, -EIO);
	CHECK_INT(sibling, ==, 30);
	PROVES(B78);
	return 0;
}

TEST(child_failure_interrupts_the_body)
{
	CHECK_INT(run(child_fails), ==, 0);
}

/* A failing body cancels the children; one that has not begun begins all the same. */
static int began;

static int begins(void *arg)
{
	(void)arg;
	began++;
	return coop_sleep(COOP_NEVER);
}

static int body_fails(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h;
	int r;

	(void)arg;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, begins, NULL, NULL, &h), ==, 0);
	r = coop_group_join(&g, coop_fail(-EPIPE, "body"));
	CHECK_INT(r, ==, -EPIPE);
	PROVES(B8);
	CHECK_INT(began, ==, 1);
	CHECK_INT(coop_handle_state(h), ==, COOP_TASK_CANCELLED);
	PROVES(B9);
	PROVES(B21);
	coop_handle_release(h);
	return 0;
}

TEST(body_failure_cancels_the_children)
{
	CHECK_INT(run(body_fails), ==, 0);
}

/* What is accepted and what is refused, and that a refusal changes nothing. */
static int refusals(void *arg)
{
	struct coop_group never = COOP_GROUP_INIT, g = COOP_GROUP_INIT;
	struct coop_group quiet = COOP_GROUP_INIT;
	int r;

	(void)arg;
	CHECK_INT(coop_spawn(&never, mark, NULL), ==, COOP_ENOTOPEN);
	PROVES(B18);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_group_open(&g, NULL), ==, -EALREADY);
	PROVES(B24);
	CHECK_INT(coop_spawn(&g, NULL, NULL), ==, -EINVAL);
	PROVES(B17);
	coop_group_cancel(&g, "x");
	CHECK_INT(coop_spawn(&g, begins, NULL), ==, 0);
	PROVES(B20);
	CHECK_INT(coop_spawn_unless_cancelled(&g, begins, NULL), ==, COOP_ECANCELED);
	r = coop_group_join(&g, 0);
	CHECK_INT(r, ==, 0);
	CHECK_INT(coop_spawn(&g, mark, NULL), ==, COOP_ECLOSED);
	PROVES(B19);
	CHECK_INT(coop_group_cancel(&g, "late"), ==, 1);
	coop_group_open(&quiet, NULL); /* one that nobody had cancelled */
	CHECK_INT(coop_group_join(&quiet, 0), ==, 0);
	CHECK_INT(coop_group_cancel(&quiet, "late"), ==, 1);
	CHECK(!coop_scope_cancel_called(coop_group_scope(&quiet)));
	PROVES(B35);
	CHECK_INT(coop_group_join(&g, 0), ==, COOP_ECLOSED);
	return 0;
}

TEST(what_a_group_refuses)
{
	struct coop_group g = COOP_GROUP_INIT;

	CHECK_INT(coop_group_open(&g, NULL), ==, COOP_ENOTASK);
	PROVES(B25);
	CHECK_INT(run(refusals), ==, 0);
	CHECK_INT(began, ==, 1);
}

/* A service does not keep the group open; hidden from cancels until its users are gone. */
static int user_ends_late(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int r = coop_sleep(MS(20));

	(void)arg;
	if (r == COOP_ECANCELED) {
		coop_scope_open(&s, &(struct coop_scope_opts){ .shield = true });
		r = coop_sleep(MS(5));
		r = coop_scope_close(&s, r < 0 ? r : COOP_ECANCELED);
	}
	return r;
}

static int services(void *arg)
{
	struct coop_spawn_opts service = { .service = true };
	struct coop_group g = COOP_GROUP_INIT, h = COOP_GROUP_INIT;
	int64_t ended = 0;

	(void)arg;
	begin();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, forever_until_cancelled, &ended, &service, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, sleeper, AFTER(40)), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(ended, ==, 40);
	coop_group_open(&h, NULL);
	CHECK_INT(coop_spawn_with(&h, forever_until_cancelled, &ended, &service, NULL), ==, 0);
	CHECK_INT(coop_spawn(&h, user_ends_late, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(10)), ==, 0);
	coop_group_cancel(&h, "enough"); /* at 50; its user ends at 55 */
	CHECK_INT(coop_group_join(&h, 0), ==, 0);
	CHECK_INT(ended, ==, 55);
	PROVES(B22);
	return 0;
}

TEST(service_children)
{
	CHECK_INT(run(services), ==, 0);
}

/* The end of an essential child ends the group. */
static int essential(void *arg)
{
	struct coop_spawn_opts opts = { .essential = true };
	struct coop_group g = COOP_GROUP_INIT;
	int64_t ended = 0;

	(void)arg;
	begin();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, forever_until_cancelled, &ended), ==, 0);
	CHECK_INT(coop_spawn_with(&g, sleeper, AFTER(15), &opts, NULL), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(ended, ==, 15);
	PROVES(B23);
	return 0;
}

TEST(essential_child)
{
	CHECK_INT(run(essential), ==, 0);
}

/* The limit of children at once: refused, waited for, raised. */
static int limits(void *arg)
{
	struct coop_group_opts opts = { .running_max = 2 };
	struct coop_group_stats stats;
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	begin();
	coop_group_open(&g, &opts);
	CHECK_INT(coop_spawn(&g, sleeper, AFTER(10)), ==, 0);
	CHECK_INT(coop_spawn(&g, sleeper, AFTER(30)), ==, 0);
	CHECK_INT(coop_spawn(&g, sleeper, AFTER(30)), ==, -EAGAIN);
	CHECK_INT(coop_spawn_wait(&g, sleeper, AFTER(5)), ==, 0);
	CHECK_INT(ms(), ==, 10);
	PROVES(B29);
	CHECK_INT(coop_group_set_running_max(&g, 3), ==, 0);
	CHECK_INT(coop_spawn(&g, sleeper, AFTER(1)), ==, 0);
	PROVES(B31);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_group_stats(&g, &stats), ==, 0);
	CHECK_INT(stats.finished, ==, 4);
	CHECK_INT(stats.peak, ==, 3);
	PROVES(B37);
	return 0;
}

TEST(limit_of_children)
{
	CHECK_INT(run(limits), ==, 0);
}

/* While a spawner waits for room a child fails: it is woken, and its item is not started. */
static int limit_error(void *arg)
{
	struct coop_group_opts opts = { .running_max = 1 };
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	other_ran = 0;
	coop_group_open(&g, &opts);
	CHECK_INT(coop_spawn(&g, fails_after, AFTER(10)), ==, 0);
	r = coop_spawn_wait(&g, mark, NULL);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_group_join(&g, r), ==, -EIO);
	CHECK_INT(other_ran, ==, 0);
	PROVES(B30);
	return 0;
}

TEST(limited_spawner_and_a_failure)
{
	CHECK_INT(run(limit_error), ==, 0);
}

/* Children that keep spawning cannot outrun a failure. */
static struct coop_group *hydra_group;

static int hydra(void *arg)
{
	int r = coop_checkpoint();

	(void)arg;
	for (int i = 0; i < 2 && r >= 0; i++)
		r = coop_spawn(hydra_group, hydra, NULL);
	return r;
}

static int hydra_app(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_group_stats stats;
	int r;

	(void)arg;
	hydra_group = &g;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, hydra, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, fails_after, AFTER(0)), ==, 0);
	for (int i = 0; i < 3; i++)
		coop_yield();
	r = coop_spawn(&g, sleeper, AFTER(1));
	CHECK_INT(r, ==, 0);
	r = coop_group_join(&g, 0);
	CHECK_INT(r, <, 0);
	CHECK_INT(coop_group_stats(&g, &stats), ==, 0);
	PROVES(B13);
	PROVES(B12);
	return 0;
}

TEST(hydra_ends)
{
	CHECK_INT(run(hydra_app), ==, 0);
}

/* Errors come in order of completion; the body's has its place by its time. */
static int order(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_group_opts opts = { .policy = COOP_COLLECT, .name = "order" };
	struct coop_error_info info;
	struct coop_error *e;
	int r;

	(void)arg;
	coop_group_open(&g, &opts);
	CHECK_INT(coop_spawn(&g, fails_after, AFTER(20)), ==, 0);
	CHECK_INT(coop_spawn(&g, fails_after, AFTER(10)), ==, 0);
	r = coop_group_join(&g, 0);
	CHECK_INT(r, ==, -EIO);
	e = coop_error_take(r);
	coop_error_describe(e, &info);
	CHECK_INT(info.members, ==, 2);
	CHECK_INT(info.kind, ==, COOP_ERROR_GROUP);
	PROVES(B57);
	coop_error_describe(coop_error_member(e, 0), &info);
	CHECK_STR(info.message, "after 10 ms");
	CHECK_STR(info.task, "main/order/fails_after");
	PROVES(B10);
	PROVES(B333);
	coop_error_unref(e);
	return 0;
}

TEST(errors_in_order_of_completion)
{
	CHECK_INT(run(order), ==, 0);
}

/* Memory is bounded in a long-lived group: 16 kept, all counted, the last among them. */
static int fails_at_once(void *arg)
{
	(void)arg;
	return coop_fail(-EIO, "n");
}

static int many_errors(void *arg)
{
	struct coop_group_opts opts = { .policy = COOP_COLLECT };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_error_info info;
	struct coop_error *e;

	(void)arg;
	coop_group_open(&g, &opts);
	for (int i = 0; i < 100000; i++) {
		CHECK_INT(coop_spawn(&g, fails_at_once, NULL), ==, 0);
		if (i % 1000 == 999)
			CHECK_INT(coop_group_wait(&g), ==, 0);
	}
	e = coop_error_take(coop_group_join(&g, 0));
	coop_error_describe(e, &info);
	CHECK_INT(info.members, ==, 16);
	CHECK_INT(info.members_total, ==, 100000);
	PROVES(B44);
	PROVES(B36);
	coop_error_unref(e);
	return 0;
}

TEST(errors_are_capped)
{
	CHECK_INT(run(many_errors), ==, 0);
}

/* A fatal-class error is the code at every level and cancels under every policy. */
static int exits(void *arg)
{
	(void)arg;
	return COOP_EEXIT(3);
}

static int inner_collect(void *arg)
{
	struct coop_group_opts opts = { .policy = COOP_COLLECT };
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_group_open(&g, &opts);
	r = coop_spawn(&g, fails_at_once, NULL);
	if (r >= 0)
		r = coop_spawn(&g, exits, NULL);
	return coop_group_join(&g, r < 0 ? r : coop_sleep(COOP_NEVER));
}

static int fatal(void *arg)
{
	struct coop_group_opts opts = { .policy = COOP_LOG };
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_group_open(&g, &opts);
	CHECK_INT(coop_spawn(&g, inner_collect, NULL), ==, 0);
	r = coop_group_join(&g, coop_sleep(COOP_NEVER));
	CHECK_INT(r, ==, COOP_EEXIT(3));
	CHECK(coop_error_is(coop_error_peek(r), -EIO));
	PROVES(B54);
	PROVES(B55);
	PROVES(B56);
	return 0;
}

TEST(fatal_class_goes_first)
{
	CHECK_INT(run(fatal), ==, 0);
}

/* Returning COOP_ECANCELED without being cancelled is a failure. */
static int forger(void *arg)
{
	(void)arg;
	return COOP_ECANCELED;
}

static int forged(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, forger, NULL), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, COOP_ESPURIOUSCANCEL);
	PROVES(B68);
	return 0;
}

TEST(spurious_cancel_is_a_failure)
{
	CHECK_INT(run(forged), ==, 0);
}

/* A tree whose primary leaf is such a failure goes up whole, not as a new leaf. */
static int host_of_forger(void *arg)
{
	struct coop_group_opts opts = { .name = "inner" };
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_group_open(&g, &opts);
	r = coop_spawn(&g, forger, NULL);
	return coop_group_join(&g, r);
}

static int forged_below(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_error_info info;
	struct coop_error *e;

	(void)arg;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, host_of_forger, NULL), ==, 0);
	e = coop_error_take(coop_group_join(&g, 0));
	coop_error_describe(coop_error_member(e, 0), &info);
	CHECK_INT(info.kind, ==, COOP_ERROR_GROUP);
	CHECK_STR(info.name, "inner");
	coop_error_unref(e);
	return 0;
}

TEST(spurious_cancel_keeps_its_tree)
{
	CHECK_INT(run(forged_below), ==, 0);
}

/* An early return with auto.h cancels and joins. */
static int64_t auto_ended;

static int leaves_early(void)
{
	COOP_AUTO_GROUP(g, NULL);
	CHECK_INT(coop_spawn(&g, forever_until_cancelled, &auto_ended), ==, 0);
	CHECK_INT(coop_sleep(MS(3)), ==, 0);
	return coop_fail(-EPROTO, "early");
}

static int auto_group(void *arg)
{
	int r;

	(void)arg;
	begin();
	r = leaves_early();
	CHECK_INT(r, ==, -EPROTO);
	CHECK_INT(auto_ended, ==, 3);
	PROVES(B28);
	return 0;
}

TEST(early_return_cancels_and_joins)
{
	CHECK_INT(run(auto_group), ==, 0);
}

/* A frame that is gone is found, both places are named, the program ends. */
static __attribute__((noinline)) void abandons(void)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
}

static int abandoned(void *arg)
{
	(void)arg;
	abandons();
	return coop_sleep(MS(1));
}

TEST_ABORT(abandoned_frame_aborts, "left open by a return; found at coop_sleep")
{
	if (run(abandoned) < 0)
		return;
}

static int misnested(void *arg)
{
	struct coop_group outer = COOP_GROUP_INIT, inner = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&outer, NULL);
	coop_group_open(&inner, NULL);
	return coop_group_join(&outer, 0);
}

TEST_ABORT(misnested_join_aborts, "is still open")
{
	if (run(misnested) < 0)
		return;
}
