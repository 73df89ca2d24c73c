/* SPDX-License-Identifier: MIT */
/*
 * Bugs that other runtimes had in their groups, scopes, starts and timers, as tests of ours:
 * each provokes what went wrong there, in every order in which it can happen.
 */
#include "core_help.h"

/* ---- B01: a nested group that swallows the cancel of its parent */

static int cancels_scope_at_10(void *arg)
{
	int r = coop_sleep(MS(10));

	coop_scope_cancel(arg, "from outside");
	return r;
}

/* A child's error and a cancel from outside in one tick: both are told, whoever came first. */
static void error_and_cancel(bool error_first)
{
	struct coop_group helper = COOP_GROUP_INIT, g = COOP_GROUP_INIT;
	struct coop_scope outer = COOP_SCOPE_INIT;
	struct coop_error_info info;
	struct coop_error *e;
	int64_t start_ms = now_ms();
	int r;

	coop_group_open(&helper, NULL);
	coop_scope_open(&outer, NULL);
	coop_group_open(&g, NULL);
	if (error_first)
		CHECK_INT(coop_spawn(&g, fail_after_ms, MSARG(10)), ==, 0);
	CHECK_INT(coop_spawn(&helper, cancels_scope_at_10, &outer), ==, 0);
	if (!error_first)
		CHECK_INT(coop_spawn(&g, fail_after_ms, MSARG(10)), ==, 0);
	r = coop_sleep(COOP_NEVER);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(now_ms() - start_ms, ==, 10);
	r = coop_group_join(&g, r);
	CHECK_INT(r, ==, -EIO); /* its sleep was over: completion wins, and then it failed */
	coop_error_describe(coop_error_peek(r), &info);
	CHECK(info.cancel_pending);
	CHECK_INT(info.members_total, ==, 1);
	CHECK_INT(coop_checkpoint(), ==, COOP_ECANCELED); /* the other one is still there */
	r = coop_scope_close(&outer, r);
	CHECK_INT(r, ==, -EIO);
	CHECK(coop_scope_caught(&outer));
	e = coop_error_take(r);
	coop_error_unref(e);
	CHECK_INT(coop_checkpoint(), ==, 0);
	CHECK_INT(coop_group_join(&helper, 0), ==, 0);
}

TASK_TEST(rel_B01_nested_group_swallows_cancel)
{
	error_and_cancel(true);
	error_and_cancel(false);
	PROVES(rel_B01);
	return 0;
}

/* Swallowed by a handler, the error is gone; the cancel of the outer group is not. */
static int handles_inner_error(void *arg)
{
	struct coop_group inner = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_group_open(&inner, NULL);
	CHECK_INT(coop_spawn(&inner, fail_after_ms, MSARG(10)), ==, 0);
	r = coop_group_join(&inner, 0);
	CHECK_INT(r, ==, -EIO);
	coop_error_clear();
	r = coop_sleep(MS(5));
	CHECK_INT(r, ==, COOP_ECANCELED);
	return r;
}

TASK_TEST(rel_B01_after_the_handler)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, fail_after_ms, MSARG(10)), ==, 0);
	CHECK_INT(coop_spawn(&g, handles_inner_error, NULL), ==, 0);
	r = coop_group_join(&g, 0);
	CHECK_INT(r, ==, -EIO);
	CHECK_INT(now_ms(), ==, 10);
	PROVES(B38);
	return coop_error_code(coop_error_peek(r)) == -EIO ? 0 : -EPROTO;
}

/* ---- B02: a group that cancelled itself swallows a later cancel from outside */

static int slow_clean_up(void *arg)
{
	int r = coop_sleep(COOP_NEVER);

	CHECK_INT(coop_shield(sleep_ms, arg), ==, 0);
	return r;
}

static int cancels_itself_then_cleans(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, slow_clean_up, MSARG(30)), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_group_cancel(&g, "enough");
	*(int *)arg = coop_group_join(&g, coop_checkpoint());
	return *(int *)arg;
}

TASK_TEST(rel_B02_group_that_cancelled_itself)
{
	int joined = 9;

	CHECK_INT(coop_fail_after(MS(10), cancels_itself_then_cleans, &joined), ==, COOP_ETIMEDOUT);
	coop_error_clear();
	CHECK_INT(joined, ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 31);
	/* In time, it is the group's own matter. */
	CHECK_INT(coop_fail_after(MS(100), cancels_itself_then_cleans, &joined), ==, 0);
	CHECK_INT(joined, ==, 0);
	PROVES(rel_B02, B33);
	return 0;
}

/* ---- B03: cancelled by a child that has never been suspended */

static int cancels_at_once(void *arg)
{
	coop_group_cancel(arg, "at once");
	return 0;
}

static int cancels_and_stays(void *arg)
{
	coop_group_cancel(arg, "at once");
	return coop_sleep(COOP_NEVER);
}

TASK_TEST(rel_B03_cancel_before_the_first_suspension)
{
	for (int eager = 0; eager < 2; eager++) {
		for (int stays = 0; stays < 2; stays++) {
			struct coop_group g = COOP_GROUP_INIT;
			struct coop_spawn_opts opts = { .eager = eager };
			struct nap before = { 0 }, after = { 0 };

			coop_group_open(&g, NULL);
			CHECK_INT(coop_spawn(&g, nap, &before), ==, 0);
			CHECK_INT(coop_spawn_with(&g, stays ? cancels_and_stays : cancels_at_once,
						  &g, &opts, NULL),
				  ==, 0);
			CHECK_INT(coop_spawn(&g, nap, &after), ==, 0);
			CHECK_INT(coop_group_join(&g, 0), ==, 0);
			CHECK(before.began && after.began);
			CHECK_INT(before.rc, ==, COOP_ECANCELED);
			CHECK_INT(after.rc, ==, COOP_ECANCELED);
		}
	}
	CHECK_INT(now_ns(), ==, 0);
	PROVES(rel_B03);
	return 0;
}

/* ---- B04: the cancel replaced by an error; nothing of it stays behind */

static int replaces(void *arg)
{
	int r = coop_sleep(COOP_NEVER);

	(void)arg;
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_checkpoint(), ==, COOP_ECANCELED);
	return coop_fail(-EPIPE, "instead");
}

TASK_TEST(rel_B04_cancel_replaced_by_an_error)
{
	for (int i = 0; i < 3; i++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct coop_group_stats stats;
		int64_t start_ms = now_ms();
		int r;

		coop_group_open(&g, NULL);
		CHECK_INT(coop_spawn(&g, replaces, NULL), ==, 0);
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
		coop_group_cancel(&g, NULL);
		r = coop_group_join(&g, coop_checkpoint());
		CHECK_INT(r, ==, -EPIPE);
		coop_error_clear();
		CHECK_INT(coop_group_stats(&g, &stats), ==, 0);
		CHECK_INT(stats.failed, ==, 1);
		CHECK_INT(stats.cancelled, ==, 0);
		CHECK(!coop_cancelled());
		CHECK_INT(coop_checkpoint(), ==, 0);
		/* The next blocks begin with nothing. */
		CHECK_INT(coop_move_on_after(MS(5), sleep_ms, MSARG(2)), ==, 0);
		CHECK_INT(now_ms() - start_ms, ==, 3);
	}
	PROVES(rel_B04);
	return 0;
}

/* ---- B05, B06, B07: starts */

static int gets_ready_at_10(void *arg, struct coop_start *start)
{
	struct nap *n = arg;
	int r = coop_sleep(MS(10));

	n->rc = r;
	if (r < 0)
		return r;
	CHECK_INT(coop_started(start, 4), ==, 0);
	return nap(n);
}

/* A start that is cancelled touches its target group in no way. */
TASK_TEST(rel_B05_cancelling_a_start)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	struct nap n = { 0 }, other = { .ms = 30 };
	struct coop_group_stats stats;
	int value = -1, r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, nap, &other), ==, 0);
	coop_scope_open(&s, &(struct coop_scope_opts){ .timeout_ns = MS(5) });
	r = coop_start(&g, gets_ready_at_10, &n, &value);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(n.rc, ==, COOP_ECANCELED);
	CHECK_INT(value, ==, -1);
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	CHECK(!coop_scope_cancel_called(coop_group_scope(&g)));
	CHECK_INT(coop_checkpoint(), ==, 0);
	CHECK_INT(coop_group_stats(&g, &stats), ==, 0);
	CHECK_INT(stats.running, ==, 1);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(other.rc, ==, 0);
	CHECK_INT(now_ms(), ==, 30);
	PROVES(rel_B05);
	return 0;
}

/* From a scope that was cancelled before: the child runs to its first checkpoint, no farther. */
TASK_TEST(rel_B05_starting_in_a_cancelled_scope)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	struct nap n = { 0 };
	int r;

	coop_group_open(&g, NULL);
	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, NULL);
	r = coop_start(&g, gets_ready_at_10, &n, NULL);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(n.rc, ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	CHECK(!coop_scope_cancel_called(coop_group_scope(&g)));
	CHECK_INT(now_ns(), ==, 0);
	return coop_group_join(&g, 0);
}

/* What is cancelled right after it has started, by the starter's scope or by its new group. */
struct started {
	struct coop_scope *scope;
	struct coop_group *group;
	struct coop_group *seen;
	int rc, next_rc;
};

static int is_cancelled_once_started(void *arg, struct coop_start *start)
{
	struct started *s = arg;

	CHECK_INT(coop_started(start, 0), ==, 0);
	if (s->scope)
		coop_scope_cancel(s->scope, NULL);
	if (s->group)
		coop_group_cancel(s->group, NULL);
	s->seen = coop_self_group();
	s->rc = coop_checkpoint();
	s->next_rc = coop_sleep(MS(5));
	return s->next_rc;
}

TASK_TEST(rel_B06_cancelled_right_after_started)
{
	for (int by_group = 0; by_group < 2; by_group++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct coop_scope s = COOP_SCOPE_INIT;
		struct started st = { .scope = by_group ? NULL : &s,
				      .group = by_group ? &g : NULL };
		struct coop_group_stats stats;

		coop_group_open(&g, NULL);
		coop_scope_open(&s, NULL);
		CHECK_INT(coop_start(&g, is_cancelled_once_started, &st, NULL), ==, 0);
		CHECK_INT(coop_scope_close(&s, 0), ==, 0);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		CHECK(st.seen == &g);
		/* The starter's scope is no longer around it; its new group's is. */
		CHECK_INT(st.rc, ==, by_group ? COOP_ECANCELED : 0);
		CHECK_INT(st.next_rc, ==, by_group ? COOP_ECANCELED : 0);
		CHECK_INT(coop_group_stats(&g, &stats), ==, 0);
		CHECK_INT(stats.finished + stats.cancelled, ==, 1);
	}
	PROVES(rel_B06);
	return 0;
}

static int ends_without_started(void *arg, struct coop_start *start)
{
	(void)start;
	return arg ? coop_fail(-EIO, "not today") : 5;
}

/* Never started: the start itself tells why, once, and the group has nothing to do with it. */
TASK_TEST(rel_B07_ended_without_started)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_error_info info;
	int value = -1, r;

	coop_group_open(&g, NULL);
	r = coop_start(&g, ends_without_started, &value, &value);
	CHECK_INT(r, ==, -EIO);
	coop_error_describe(coop_error_peek(r), &info);
	CHECK_INT(info.kind, ==, COOP_ERROR_LEAF);
	CHECK_STR(info.message, "not today");
	coop_error_clear();
	r = coop_start(&g, ends_without_started, NULL, &value);
	CHECK_INT(r, ==, COOP_ENOTSTARTED);
	coop_error_clear();
	CHECK_INT(value, ==, -1);
	CHECK_INT(coop_checkpoint(), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	PROVES(rel_B07);
	return 0;
}

/* ---- B08: spinning while a cancel is delivered */

static int cleans_for_a_second(void *arg)
{
	int r = coop_sleep(COOP_NEVER);

	(void)arg;
	CHECK_INT(coop_shield(sleep_ms, MSARG(1000)), ==, 0);
	return r;
}

TASK_TEST(rel_B08_no_spinning_over_a_cancel)
{
	int n = TEST_COUNT(1000, 100);
	struct coop_run_stats before, after;
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (int i = 0; i < n; i++)
		CHECK_INT(coop_spawn(&g, cleans_for_a_second, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_run_stats(&before), ==, 0);
	for (int i = 0; i < 100; i++)
		coop_group_cancel(&g, NULL);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_run_stats(&after), ==, 0);
	CHECK_INT(now_ms(), ==, 1001);
	CHECK_INT(after.cancels_delivered - before.cancels_delivered, ==, n);
	CHECK_INT(after.switches - before.switches, <=, 3 * n);
	PROVES(rel_B08, B5);
	return 0;
}

/* ---- B09: shields changed while a cancel travels */

/* Four scopes, some cancelled; the cancel is delivered, then some are shielded, then all left. */
static void shields_while_travelling(unsigned cancelled, unsigned shielded)
{
	struct coop_scope s[4];
	int r;

	for (int i = 0; i < 4; i++) {
		s[i] = (struct coop_scope)COOP_SCOPE_INIT;
		coop_scope_open(&s[i], NULL);
	}
	for (int i = 0; i < 4; i++)
		if (cancelled >> i & 1)
			coop_scope_cancel(&s[i], NULL);
	r = coop_checkpoint();
	CHECK_INT(r, ==, COOP_ECANCELED);
	for (int i = 0; i < 4; i++)
		CHECK_INT(coop_scope_set_shield(&s[i], shielded >> i & 1), ==, 0);
	for (int i = 4; i-- > 0;) {
		bool outside = false, travels = r == COOP_ECANCELED, catches;

		for (int k = i; k-- > 0;) { /* is a cancel visible from outside of s[i]? */
			if (shielded >> (k + 1) & 1)
				break;
			outside |= cancelled >> k & 1;
		}
		catches = travels && cancelled >> i & 1 && !outside;
		r = coop_scope_close(&s[i], r);
		CHECK_INT(r, ==, travels && !catches ? COOP_ECANCELED : 0);
		CHECK_INT(coop_scope_caught(&s[i]), ==, catches);
	}
	CHECK_INT(r, ==, 0);
	CHECK(!coop_cancelled());
}

TASK_TEST(rel_B09_shields_while_a_cancel_travels)
{
	for (unsigned cancelled = 1; cancelled < 16; cancelled++)
		for (unsigned shielded = 0; shielded < 16; shielded++)
			shields_while_travelling(cancelled, shielded);
	PROVES(rel_B09, B93, B94);
	return 0;
}

/* ---- B10: a cancellation in among real errors */

static int fails_when_cancelled(void *arg)
{
	int r = coop_sleep(COOP_NEVER);

	(void)arg;
	return r == COOP_ECANCELED ? -EIO : r;
}

static bool any_cancel(const struct coop_error *leaf, void *ctx)
{
	(void)ctx;
	return coop_error_code(leaf) == COOP_ECANCELED;
}

TASK_TEST(rel_B10_cancellations_are_no_leaves)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_error_info info;
	struct coop_error *e;
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, fails_when_cancelled, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_group_cancel(&g, NULL);
	r = coop_group_join(&g, coop_checkpoint());
	CHECK_INT(r, ==, -EIO);
	e = coop_error_take(r);
	coop_error_describe(e, &info);
	CHECK_INT(info.members_total, ==, 1);
	CHECK_INT(info.cancelled, ==, 2);
	CHECK(coop_error_find(e, any_cancel, NULL) == NULL);
	CHECK(!coop_error_is(e, COOP_ECANCELED));
	coop_error_unref(e);
	PROVES(rel_B10);
	return 0;
}

/* ---- B12: an error from far within */

TASK_TEST(rel_B12_an_error_ten_thousand_groups_deep)
{
	size_t n = (size_t)TEST_COUNT(10000, 1000), size = 0;
	struct coop_group *g = malloc(n * sizeof *g);
	struct coop_error *e;
	char *text = NULL;
	FILE *out;
	int r;

	for (size_t i = 0; i < n; i++) {
		g[i] = (struct coop_group)COOP_GROUP_INIT;
		coop_group_open(&g[i], NULL);
	}
	r = coop_fail(-EIO, "at the bottom");
	for (size_t i = n; i-- > 0;)
		r = coop_group_join(&g[i], r);
	CHECK_INT(r, ==, -EIO);
	e = coop_error_take(r);
	CHECK_INT(coop_error_code(coop_error_primary(e)), ==, -EIO);
	out = open_memstream(&text, &size);
	CHECK_INT(coop_error_print(out, e, 0), ==, 0);
	fclose(out);
	CHECK_INT(size, <, 64 * 1024);
	CHECK_HAS(text, "more");
	CHECK_HAS(text, "at the bottom");
	CHECK_INT(coop_stack_high_water(coop_self()), <=, 64 * 1024);
	coop_error_unref(e);
	free(text);
	free(g);
	PROVES(rel_B12);
	return 0;
}

/* ---- B13: every child cancelled, and an error with nothing in it */

TASK_TEST(rel_B13_every_child_cancelled)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT, by_handle = COOP_GROUP_INIT;
	struct coop_handle *h[3];
	int r;

	coop_scope_open(&s, NULL);
	coop_group_open(&g, NULL);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_scope_cancel(&s, NULL);
	r = coop_group_join(&g, 0);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK(coop_error_take(r) == NULL);
	CHECK_INT(coop_scope_close(&s, r), ==, 0);

	coop_group_open(&by_handle, NULL);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_spawn_with(&by_handle, sleep_for_ever, NULL, NULL, &h[i]), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	for (int i = 0; i < 3; i++)
		coop_handle_cancel(h[i], NULL);
	CHECK_INT(coop_group_join(&by_handle, 2), ==, 2);
	for (int i = 0; i < 3; i++)
		coop_handle_release(h[i]);
	PROVES(rel_B13);
	return 0;
}

/* ---- B14: which came first, a cancel, a deadline, or the entry */

static int sleeps_long(void *arg)
{
	(void)arg;
	return coop_sleep(MS(1000));
}

static int cancelled_at_5(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	coop_group_cancel(&g, NULL);
	CHECK_INT(coop_shield(sleep_ms, MSARG(50)), ==, 0);
	r = coop_group_join(&g, coop_checkpoint());
	return r;
}

TASK_TEST(rel_B14_what_came_first)
{
	struct coop_scope s = COOP_SCOPE_INIT, passed = COOP_SCOPE_INIT;
	struct coop_scope_opts opts = { .timeout_ns = MS(10), .fail_on_timeout = true };
	struct coop_scope_opts at = { .deadline_ns = begin_ns + MS(500), .fail_on_timeout = true };
	int r;

	/* A cancel before the entry is what it is, though there is a limit as well. */
	coop_scope_cancel(&s, NULL);
	CHECK_INT(coop_sleep(MS(100)), ==, 0);
	coop_scope_open(&s, &opts);
	r = coop_sleep(MS(50));
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	CHECK_INT(now_ms(), ==, 100);

	/* The limit passes after an inner cancel, and it is the limit that is told. */
	CHECK_INT(coop_fail_after(MS(10), cancelled_at_5, NULL), ==, COOP_ETIMEDOUT);
	coop_error_clear();
	CHECK_INT(coop_fail_after(MS(10), sleeps_long, NULL), ==, COOP_ETIMEDOUT);
	coop_error_clear();

	/* An absolute deadline is absolute, and visible as soon as it has passed. */
	CHECK_INT(coop_sleep_until(begin_ns + MS(499)), ==, 0);
	coop_scope_open(&passed, &at);
	CHECK(!coop_scope_cancel_called(&passed));
	CHECK_INT(coop_test_clock_jump(MS(1)), ==, 0);
	CHECK(coop_scope_cancel_called(&passed));
	r = coop_sleep(MS(1));
	CHECK_INT(coop_scope_close(&passed, r), ==, COOP_ETIMEDOUT);
	coop_error_clear();
	PROVES(rel_B14);
	return 0;
}

/* ---- B15: closing in a cancelled scope */

/* What is closed in a cancelled scope is closed, not only marked so. */
TASK_TEST(rel_B15_closing_under_a_cancel)
{
	struct coop_signals *signals = NULL;
	struct sigaction before, during, after;
	struct coop_scope s = COOP_SCOPE_INIT;
	int wanted = SIGUSR1;

	sigaction(wanted, NULL, &before);
	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, NULL);
	CHECK_INT(coop_signals_open(&wanted, 1, &signals), ==, 0);
	sigaction(wanted, NULL, &during);
	CHECK(during.sa_handler != before.sa_handler);
	CHECK_INT(coop_checkpoint(), ==, COOP_ECANCELED);
	CHECK(coop_signals_close(signals) == NULL);
	sigaction(wanted, NULL, &after);
	CHECK(after.sa_handler == before.sa_handler);
	PROVES(rel_B15);
	return coop_scope_close(&s, COOP_ECANCELED);
}

/* ---- B18: a shutdown that takes away what clean-up needs */

static struct coop_handle *keeper;

static int keeps(void *arg)
{
	int r = coop_sleep(COOP_NEVER);

	(void)arg;
	CHECK_INT(coop_shield(sleep_ms, MSARG(20)), ==, 0);
	say("keeper ");
	return r;
}

static int waits_in_clean_up(void *arg)
{
	int r = coop_sleep(COOP_NEVER);
	struct coop_scope s = COOP_SCOPE_INIT;

	(void)arg;
	coop_scope_open(&s, &(struct coop_scope_opts){ .shield = true });
	CHECK_INT(coop_handle_wait(keeper, NULL), ==, COOP_ETASKCANCELLED);
	say("waiter ");
	CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	return r;
}

static int stops(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, keeps, NULL, NULL, &keeper), ==, 0);
	CHECK_INT(coop_spawn(&g, waits_in_clean_up, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_stop("now");
	return coop_group_join(&g, coop_checkpoint());
}

/* Cancel first, then let the clean-ups run, then take away: they may wait for one another. */
TEST(rel_B18_clean_ups_that_need_each_other)
{
	CHECK_INT(coop_run(stops, NULL, &virtual_clock), ==, 0);
	CHECK_TRAIL("keeper waiter ");
	coop_handle_release(keeper);
	PROVES(rel_B18);
}

/* ---- B20: the k-th of many spawns fails */

TASK_TEST(rel_B20_the_kth_spawn_fails)
{
	for (int k = 0; k < 5; k++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct coop_group_opts opts = { .running_max = (uint32_t)k + 1 };
		struct coop_group_stats stats;
		struct nap n[8] = { { 0 } };
		int r = 0, accepted = 0;

		coop_group_open(&g, &opts);
		for (int i = 0; r >= 0 && i < 8; i++) {
			r = coop_spawn(&g, nap, &n[i]);
			accepted += r >= 0;
		}
		CHECK_INT(r, ==, -EAGAIN);
		CHECK_INT(accepted, ==, k + 1);
		CHECK_INT(coop_group_join(&g, r), ==, -EAGAIN);
		coop_error_clear();
		CHECK_INT(coop_group_stats(&g, &stats), ==, 0);
		CHECK_INT(stats.cancelled, ==, k + 1);
		for (int i = 0; i < 8; i++)
			CHECK_INT(n[i].rc, ==, i < accepted ? COOP_ECANCELED : 0);
	}
	CHECK_INT(now_ns(), ==, 0);
	PROVES(rel_B20);
	return 0;
}

/* ---- C08, C09, C13: timers that have fired, that are closed, that were late */

TASK_TEST(rel_C08_leaving_what_has_fired)
{
	struct coop_run_stats stats;

	for (int i = 0; i < 3; i++) {
		struct coop_scope s = COOP_SCOPE_INIT;
		struct coop_group g = COOP_GROUP_INIT;
		int r;

		coop_scope_open(&s, &(struct coop_scope_opts){ .timeout_ns = MS(5) });
		r = coop_sleep(MS(10));
		CHECK_INT(coop_scope_close(&s, r), ==, 0);
		coop_group_open(&g, &(struct coop_group_opts){ .timeout_ns = MS(5) });
		r = coop_sleep(MS(10));
		CHECK_INT(coop_group_join(&g, r), ==, COOP_ETIMEDOUT);
		coop_error_clear();
	}
	CHECK_INT(coop_run_stats(&stats), ==, 0);
	CHECK_INT(stats.timers, ==, 0);
	PROVES(rel_C08);
	return 0;
}

/* A deadline that is set too late arms nothing; one that was armed ends with its scope. */
TASK_TEST(rel_C09_timers_of_closed_scopes)
{
	struct coop_scope s = COOP_SCOPE_INIT, before = COOP_SCOPE_INIT;
	struct coop_run_stats stats;

	coop_scope_open(&s, &(struct coop_scope_opts){ .timeout_ns = MS(5) });
	CHECK_INT(coop_run_stats(&stats), ==, 0);
	CHECK_INT(stats.timers, ==, 1);
	CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	CHECK_INT(coop_scope_set_deadline(&s, begin_ns + MS(6)), ==, COOP_ECLOSED);
	CHECK_INT(coop_scope_set_deadline(&before, begin_ns + MS(6)), ==, COOP_ENOTOPEN);
	CHECK_INT(coop_run_stats(&stats), ==, 0);
	CHECK_INT(stats.timers, ==, 0);
	CHECK_INT(coop_sleep(MS(20)), ==, 0);
	CHECK(!coop_scope_cancel_called(&s));
	PROVES(rel_C09);
	return 0;
}

/* One tick after a stall of an hour, then the rhythm as before. */
TASK_TEST(rel_C13_a_ticker_that_was_stalled)
{
	struct coop_ticker t = COOP_TICKER_INIT;

	CHECK_INT(coop_ticker_start(&t, MS(100)), ==, 0);
	CHECK_INT(coop_ticker_wait(&t), ==, 0);
	CHECK_INT(coop_test_clock_jump(SEC(3600) + MS(50)), ==, 0);
	CHECK_INT(coop_ticker_wait(&t), ==, 35999);
	CHECK_INT(now_ms(), ==, 3600150);
	for (int i = 2; i < 5; i++) {
		CHECK_INT(coop_ticker_wait(&t), ==, 0);
		CHECK_INT(now_ms(), ==, 3600000 + 100 * i);
	}
	PROVES(rel_C13);
	return 0;
}

/* ---- D09, D14: the loop and its books */

static int turns;

static int requeues(void *arg)
{
	(void)arg;
	while (turns >= 0) {
		turns++;
		CHECK_INT(coop_yield(), ==, 0);
	}
	return 0;
}

/* A task that queues itself again and again gets one turn for each of the others. */
TASK_TEST(rel_D09_a_task_that_requeues_itself)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, requeues, NULL), ==, 0);
	for (int i = 1; i <= 1000; i++) {
		CHECK_INT(coop_yield(), ==, 0);
		CHECK_INT(turns, ==, i);
	}
	turns = -1000000;
	PROVES(rel_D09);
	return coop_group_join(&g, 0);
}

static uint64_t random_state = 1;

static uint32_t rnd(uint32_t n)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(random_state >> 33) % n;
}

static int random_end(void *arg)
{
	uint32_t kind = (uint32_t)(uintptr_t)arg;
	int r = kind & 1 ? coop_sleep(MS(kind % 50)) : coop_checkpoint();

	if (r < 0)
		return kind & 2 ? r : 1;
	return kind % 7 == 0 ? -EIO : 0;
}

/* However tasks end, killed when queued, running or asleep: at rest the books are even. */
TASK_TEST(rel_D14_the_books_are_even)
{
	struct coop_run_stats stats, at_rest;
	uint32_t spawned = 0;

	CHECK_INT(coop_run_stats(&at_rest), ==, 0);
	for (int round = 0; round < 200; round++) {
		struct coop_group_opts opts = { .policy = rnd(2) ? COOP_COLLECT : COOP_FAIL_FAST };
		struct coop_handle *h[20] = { NULL };
		struct coop_group g = COOP_GROUP_INIT;
		struct coop_group_stats ended;
		uint32_t n = 1 + rnd(20);

		coop_group_open(&g, &opts);
		for (uint32_t i = 0; i < n; i++)
			CHECK_INT(coop_spawn_with(&g, random_end, (void *)(uintptr_t)rnd(1000),
						  NULL, rnd(2) ? &h[i] : NULL),
				  ==, 0);
		spawned += n;
		for (uint32_t i = 0; i < n; i++)
			if (h[i] && rnd(3) == 0)
				coop_handle_cancel(h[i], NULL);
		if (rnd(2))
			(void)!coop_sleep(MS(rnd(20)));
		if (rnd(3) == 0)
			coop_group_cancel(&g, NULL);
		(void)!coop_group_join(&g, 0);
		coop_error_clear();
		CHECK_INT(coop_group_stats(&g, &ended), ==, 0);
		CHECK_INT(ended.running, ==, 0);
		CHECK_INT(ended.finished + ended.failed + ended.cancelled, ==, n);
		CHECK_INT(ended.peak, <=, n);
		for (uint32_t i = 0; i < n; i++)
			coop_handle_release(h[i]);
		CHECK_INT(coop_run_stats(&stats), ==, 0);
		CHECK_INT(stats.tasks, ==, at_rest.tasks);
		CHECK_INT(stats.tasks_ready, ==, at_rest.tasks_ready);
		CHECK_INT(stats.timers, ==, at_rest.timers);
		CHECK_INT(stats.stacks_used, ==, at_rest.stacks_used);
		CHECK_INT(stats.spawned, ==, at_rest.spawned + spawned);
	}
	PROVES(rel_D14);
	return 0;
}
