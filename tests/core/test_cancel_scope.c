/* SPDX-License-Identifier: MIT */
/*
 * Which scope ends a cancellation, and what is left of what was going on: the outermost
 * visible one that was cancelled, decided from the tree as it is when a scope is left.
 */
#include "core_help.h"

/* ---- downwards only */

struct inner_cancel {
	struct coop_scope *scope;
	int rc;
};

static int cancels_own_scope(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	(void)arg;
	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, NULL);
	r = coop_sleep(MS(5));
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	return coop_sleep(MS(5));
}

/* Cancelling a scope, a group or a task inside never reaches what is around it or beside it. */
TASK_TEST(a_cancel_never_goes_up_or_sideways)
{
	struct coop_scope outer = COOP_SCOPE_INIT, inner = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT, left = COOP_GROUP_INIT;
	struct nap sibling = { .ms = 20 }, in_left = { .ms = 30 };
	struct coop_handle *h;
	int r;

	coop_scope_open(&outer, NULL);
	coop_scope_open(&inner, NULL);
	coop_scope_cancel(&inner, NULL);
	r = coop_checkpoint();
	CHECK_INT(coop_scope_close(&inner, r), ==, 0);
	CHECK(!coop_cancelled());
	CHECK(!coop_scope_cancel_called(&outer));

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, nap, &sibling), ==, 0);
	CHECK_INT(coop_spawn(&g, cancels_own_scope, NULL), ==, 0);
	CHECK_INT(coop_spawn_with(&g, sleep_for_ever, NULL, NULL, &h), ==, 0);
	coop_group_open(&left, NULL);
	CHECK_INT(coop_spawn(&left, nap, &in_left), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_handle_cancel(h, NULL);
	coop_group_cancel(&left, NULL);
	CHECK_INT(coop_group_join(&left, 0), ==, 0);
	CHECK_INT(in_left.rc, ==, COOP_ECANCELED);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(sibling.rc, ==, 0);
	CHECK_INT(sibling.at_ms, ==, 20);
	CHECK(!coop_scope_cancel_called(coop_group_scope(&g)));
	CHECK_INT(coop_scope_close(&outer, coop_checkpoint()), ==, 0);
	CHECK(!coop_scope_caught(&outer));
	PROVES(B89, B90);
	coop_handle_release(h);
	return 0;
}

/* ---- who catches */

/* The cancelled scope itself turns its cancellation into 0; a scope inside it passes it on. */
TASK_TEST(the_cancelled_scope_catches)
{
	struct coop_scope a = COOP_SCOPE_INIT, b = COOP_SCOPE_INIT, c = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&a, NULL);
	coop_scope_open(&b, NULL);
	coop_scope_open(&c, NULL);
	coop_scope_cancel(&b, NULL);
	r = coop_checkpoint();
	r = coop_scope_close(&c, r);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK(!coop_scope_caught(&c));
	r = coop_scope_close(&b, r);
	CHECK_INT(r, ==, 0);
	CHECK(coop_scope_caught(&b));
	CHECK_INT(coop_checkpoint(), ==, 0);
	CHECK_INT(coop_scope_close(&a, 5), ==, 5);
	CHECK(!coop_scope_caught(&a) && !coop_scope_cancel_called(&a));
	PROVES(B91, B101);
	return 0;
}

/* Of `count` nested scopes those in the mask `first` are cancelled, then those in `second`. */
static void nested(int count, unsigned first, unsigned second, int catches)
{
	struct coop_scope s[4];
	int r = 0;

	for (int i = 0; i < count; i++) {
		s[i] = (struct coop_scope)COOP_SCOPE_INIT;
		coop_scope_open(&s[i], NULL);
	}
	for (int i = count; i-- > 0;) /* from the inside: order must not count */
		if (first >> i & 1)
			coop_scope_cancel(&s[i], NULL);
	if (first)
		r = coop_sleep(MS(1));
	for (int i = 0; i < count; i++)
		if (second >> i & 1)
			coop_scope_cancel(&s[i], NULL);
	if (!first)
		r = coop_sleep(MS(1));
	CHECK_INT(r, ==, COOP_ECANCELED);
	for (int i = count; i-- > 0;) {
		r = coop_scope_close(&s[i], r);
		CHECK_INT(r, ==, i > catches ? COOP_ECANCELED : 0);
		CHECK_INT(coop_scope_caught(&s[i]), ==, i == catches);
		CHECK_INT(coop_scope_cancel_called(&s[i]), ==, (first | second) >> i & 1);
	}
}

/* Every choice of cancelled scopes among four, before and while the cancel travels. */
TASK_TEST(the_outermost_cancelled_scope_catches)
{
	for (unsigned first = 0; first < 16; first++) {
		for (unsigned second = 0; second < 16; second++) {
			unsigned both = first | second;

			if (both)
				nested(4, first, second, __builtin_ctz(both));
		}
	}
	PROVES(B92, B93);
	return 0;
}

/* While the cancel of an inner scope travels, one further out is cancelled by another task. */
static int cancels_at_2(void *arg)
{
	int r = coop_sleep(MS(2));

	coop_scope_cancel(arg, "late");
	return r;
}

TASK_TEST(an_outer_cancel_while_the_inner_one_travels)
{
	struct coop_scope outer = COOP_SCOPE_INIT, inner = COOP_SCOPE_INIT;
	struct coop_scope shield = COOP_SCOPE_INIT;
	struct coop_scope_opts hard = { .shield = true };
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, cancels_at_2, &outer), ==, 0);
	coop_scope_open(&outer, NULL);
	coop_scope_open(&inner, NULL);
	coop_scope_cancel(&inner, NULL);
	r = coop_checkpoint();
	coop_scope_open(&shield, &hard); /* clean-up that takes a while */
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(coop_scope_close(&shield, 0), ==, 0);
	r = coop_scope_close(&inner, r);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK(!coop_scope_caught(&inner));
	CHECK_INT(coop_scope_close(&outer, r), ==, 0);
	CHECK(coop_scope_caught(&outer));
	PROVES(B93);
	return coop_group_join(&g, 0);
}

/* A shielded inner scope catches its own cancel, though one outside is cancelled as well. */
TASK_TEST(a_shielded_origin_catches)
{
	struct coop_scope outer = COOP_SCOPE_INIT, inner = COOP_SCOPE_INIT;
	struct coop_scope_opts hard = { .shield = true };
	int r, steps = 0;

	coop_scope_open(&outer, NULL);
	coop_scope_open(&inner, &hard);
	coop_scope_cancel(&inner, NULL);
	r = coop_checkpoint();
	coop_scope_cancel(&outer, NULL);
	r = coop_scope_close(&inner, r);
	CHECK_INT(r, ==, 0);
	CHECK(coop_scope_caught(&inner));
	steps++; /* code between the two runs up to its next checkpoint */
	CHECK_INT(coop_yield(), ==, 0);
	steps++;
	r = coop_checkpoint();
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(steps, ==, 2);
	CHECK_INT(coop_scope_close(&outer, r), ==, 0);
	CHECK(coop_scope_caught(&outer));
	PROVES(B94);
	return 0;
}

/* ---- errors */

/* Another error than the cancellation passes, and then nothing was caught. */
TASK_TEST(other_errors_pass_a_cancelled_scope)
{
	struct coop_scope outer = COOP_SCOPE_INIT, s = COOP_SCOPE_INIT;
	struct coop_error *e;
	int r;

	coop_scope_open(&outer, NULL);
	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, NULL);
	CHECK_INT(coop_checkpoint(), ==, COOP_ECANCELED);
	r = coop_scope_close(&s, coop_fail(-EIO, "disk"));
	CHECK_INT(r, ==, -EIO);
	CHECK(!coop_scope_caught(&s));
	r = coop_scope_close(&outer, r);
	CHECK_INT(r, ==, -EIO);
	e = coop_error_take(r);
	CHECK_INT(coop_error_code(e), ==, -EIO);
	coop_error_unref(e);
	PROVES(B95);
	return 0;
}

static int fails_in_clean_up(void *arg)
{
	int r = coop_sleep(COOP_NEVER);

	(void)arg;
	return r == COOP_ECANCELED ? coop_fail(-EIO, "clean-up") : r;
}

/* A group with an error and a cancellation beside it: the scope takes the cancellation alone. */
TASK_TEST(a_cancellation_beside_an_error)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_error_info info;
	struct coop_error *e;
	int r;

	coop_scope_open(&s, NULL);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, fails_in_clean_up, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_scope_cancel(&s, NULL);
	r = coop_group_join(&g, coop_checkpoint());
	CHECK_INT(r, ==, -EIO);
	coop_error_describe(coop_error_peek(r), &info);
	CHECK(info.cancel_pending);
	r = coop_scope_close(&s, r);
	CHECK_INT(r, ==, -EIO);
	CHECK(coop_scope_caught(&s));
	e = coop_error_take(r);
	coop_error_describe(e, &info);
	CHECK_INT(info.kind, ==, COOP_ERROR_GROUP);
	CHECK(!info.cancel_pending);
	CHECK_INT(info.members_total, ==, 1);
	CHECK_INT(info.cancelled, ==, 1);
	CHECK_INT(coop_error_code(coop_error_member(e, 0)), ==, -EIO);
	CHECK(!coop_error_is(e, COOP_ECANCELED));
	PROVES(B96);
	coop_error_unref(e);
	CHECK_INT(coop_checkpoint(), ==, 0);
	return 0;
}

/* What is returned as cancelled when the cancellation is over already is a failure. */
static int stale_from_scope(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, NULL);
	r = coop_checkpoint();
	CHECK_INT(coop_scope_close(&s, arg ? r : 0), ==, 0);
	CHECK_INT(coop_checkpoint(), ==, 0);
	return r;
}

static int stale_from_group(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	coop_group_open(&g, NULL);
	coop_group_cancel(&g, NULL);
	r = coop_sleep(MS(1));
	CHECK_INT(coop_group_join(&g, arg ? r : 0), ==, 0);
	CHECK_INT(coop_checkpoint(), ==, 0);
	return r;
}

/* What came of the cancellation of a task that was waited for is none of the waiter's. */
static int stale_from_handle(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h;
	int r;

	(void)arg;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, sleep_for_ever, NULL, NULL, &h), ==, 0);
	coop_handle_cancel(h, NULL);
	r = coop_handle_wait(h, NULL);
	CHECK_INT(r, ==, COOP_ETASKCANCELLED);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_handle_release(h);
	return COOP_ECANCELED;
}

TASK_TEST(a_stale_cancellation_is_a_failure)
{
	static coop_fn *const fns[] = { stale_from_scope, stale_from_scope, stale_from_group,
					stale_from_group, stale_from_handle };

	for (size_t i = 0; i < sizeof fns / sizeof *fns; i++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct coop_error *e;
		int r;

		coop_group_open(&g, NULL);
		CHECK_INT(coop_spawn(&g, fns[i], (void *)(i & 1)), ==, 0);
		r = coop_group_join(&g, 0);
		CHECK_INT(r, ==, COOP_ESPURIOUSCANCEL);
		e = coop_error_take(r);
		CHECK_INT(coop_error_code(coop_error_member(e, 0)), ==, COOP_ESPURIOUSCANCEL);
		coop_error_unref(e);
	}
	PROVES(B68);
	return 0;
}

/* ---- once, and from anywhere */

/* A scope is entered once: neither open, nor closed, can it be opened again. */
TASK_TEST(a_scope_is_opened_once)
{
	struct coop_scope s = COOP_SCOPE_INIT;

	CHECK_INT(coop_scope_open(&s, NULL), ==, 0);
	CHECK_INT(coop_scope_open(&s, NULL), ==, -EALREADY);
	CHECK_INT(coop_checkpoint(), ==, 0);
	CHECK_INT(coop_scope_close(&s, 3), ==, 3);
	CHECK_INT(coop_scope_open(&s, NULL), ==, -EALREADY);
	CHECK_INT(coop_scope_close(&s, 4), ==, COOP_ECLOSED);
	PROVES(B97);
	return 0;
}

static int opens_given_scope(void *arg)
{
	struct inner_cancel *c = arg;

	coop_scope_open(c->scope, NULL);
	c->rc = coop_sleep(MS(10));
	return coop_scope_close(c->scope, c->rc);
}

/* A scope may be cancelled by any task, before it is opened and while it is open. */
TASK_TEST(a_scope_is_cancelled_from_another_task)
{
	struct coop_scope before = COOP_SCOPE_INIT, during = COOP_SCOPE_INIT;
	struct inner_cancel a = { .scope = &before }, b = { .scope = &during };
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK(!coop_scope_cancel_called(&before));
	CHECK_INT(coop_scope_cancel(&before, "before"), ==, 0);
	CHECK(coop_scope_cancel_called(&before));
	CHECK_INT(coop_scope_cancel(&before, "twice"), ==, 1);
	CHECK_INT(coop_spawn(&g, opens_given_scope, &a), ==, 0);
	CHECK_INT(coop_spawn(&g, opens_given_scope, &b), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(a.rc, ==, COOP_ECANCELED);
	CHECK_INT(b.rc, ==, 0);
	CHECK_INT(coop_scope_cancel(&during, "during"), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 1);
	CHECK_INT(b.rc, ==, COOP_ECANCELED);
	CHECK(coop_scope_caught(&before) && coop_scope_caught(&during));
	PROVES(B98);
	CHECK_INT(coop_scope_cancel(&during, "after"), ==, 1);
	return 0;
}

/* What is cancelled before the run begins is cancelled when it is opened. */
static struct coop_scope early_scope = COOP_SCOPE_INIT;
static struct coop_group early_group = COOP_GROUP_INIT;

static int opens_early(void *arg)
{
	struct coop_cancel_info info;
	int r;

	(void)arg;
	begin_ns = coop_now();
	coop_scope_open(&early_scope, NULL);
	CHECK(coop_cancel_reason(&info));
	CHECK_INT(info.source, ==, COOP_CANCEL_CALL);
	r = coop_sleep(MS(1));
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&early_scope, r), ==, 0);
	CHECK(coop_scope_caught(&early_scope));

	coop_group_open(&early_group, NULL);
	CHECK_INT(coop_spawn(&early_group, sleep_for_ever, NULL), ==, 0);
	r = coop_sleep(MS(1));
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_group_join(&early_group, r), ==, 0);
	CHECK_INT(now_ns(), ==, 0);
	return 0;
}

TEST(cancelled_before_the_run)
{
	CHECK_INT(coop_scope_cancel(&early_scope, "early"), ==, 0);
	CHECK_INT(coop_scope_cancel(&early_scope, "early"), ==, 1);
	CHECK_INT(coop_group_cancel(&early_group, "early"), ==, 0);
	CHECK_INT(coop_run(opens_early, NULL, &virtual_clock), ==, 0);
	PROVES(B98, B34);
}

/* Cancelling twice is cancelling once: one delivery, one reason, one catch. */
TASK_TEST(cancelling_twice_is_once)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_run_stats before, after;
	struct coop_cancel_info info;
	int r;

	coop_scope_open(&s, NULL);
	CHECK_INT(coop_run_stats(&before), ==, 0);
	CHECK_INT(coop_scope_cancel(&s, "first"), ==, 0);
	for (int i = 0; i < 10; i++)
		CHECK_INT(coop_scope_cancel(&s, "again"), ==, 1);
	r = coop_checkpoint();
	CHECK_INT(coop_run_stats(&after), ==, 0);
	CHECK_INT(after.cancels_delivered, ==, before.cancels_delivered + 1);
	CHECK(coop_scope_reason(&s, &info));
	CHECK_STR(info.text, "first");
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	CHECK_INT(coop_checkpoint(), ==, 0);
	PROVES(B99);
	return 0;
}

/* A cancel with a negative grace is refused, and nothing has happened. */
TASK_TEST(a_negative_grace_is_refused)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h;

	coop_scope_open(&s, NULL);
	CHECK_INT(coop_scope_cancel_grace(&s, NULL, -1), ==, -EINVAL);
	CHECK(!coop_scope_cancel_called(&s));
	coop_group_open(&g, NULL);
	CHECK_INT(coop_group_cancel_grace(&g, NULL, INT64_MIN + 1), ==, -EINVAL);
	CHECK_INT(coop_spawn_with(&g, sleep_ms, MSARG(2), NULL, &h), ==, 0);
	CHECK_INT(coop_handle_cancel_grace(h, NULL, -5), ==, -EINVAL);
	CHECK(!coop_handle_cancel_called(h));
	CHECK_INT(coop_checkpoint(), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_handle_state(h), ==, COOP_TASK_FINISHED);
	CHECK_INT(coop_scope_close(&s, coop_checkpoint()), ==, 0);
	coop_handle_release(h);
	return 0;
}
