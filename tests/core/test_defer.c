/* SPDX-License-Identifier: MIT */
/*
 * Deferred clean-ups: all of them, in the right order, at the right time, behind a shield that
 * has the grace; what they fail with is told beside how the block went, and nothing is lost.
 */
#include "core_help.h"

#include "core/core.h"

/* One clean-up: its name, how long it takes, what it returns. */
struct tidy {
	struct coop_defer defer;
	const char *name;
	int64_t ms; /* -1: for ever */
	int rc;
	int slept; /* what the sleep returned */
	int64_t at_ms;
	int runs;
};

static int tidies(void *arg)
{
	struct tidy *t = arg;

	t->runs++;
	t->slept = coop_sleep(t->ms < 0 ? COOP_NEVER : MS(t->ms));
	t->at_ms = now_ms();
	say("%s ", t->name);
	if (t->slept < 0)
		return t->slept;
	return t->rc < 0 ? coop_fail(t->rc, "tidying %s", t->name) : t->rc;
}

#define DEFER(scope, tidy) \
	CHECK_INT(coop_scope_defer((scope), &(tidy)->defer, tidies, (tidy)), ==, 0)

/* ---- order */

/* Last in, first out; after the body, before close returns; the result is the body's. */
TASK_TEST(last_in_first_out)
{
	struct tidy t[3] = { { .name = "a", .ms = 1 },
			     { .name = "b", .rc = 7 },
			     { .name = "c", .ms = 2 } };
	struct coop_scope s = COOP_SCOPE_INIT;

	coop_scope_open(&s, NULL);
	for (int i = 0; i < 3; i++)
		DEFER(&s, &t[i]);
	CHECK_INT(coop_sleep(MS(10)), ==, 0);
	say("body ");
	CHECK_INT(coop_scope_close(&s, 5), ==, 5);
	CHECK_TRAIL("body c b a ");
	CHECK_INT(now_ms(), ==, 13);
	return 0;
}

static int late_child(void *arg)
{
	int r = coop_sleep(MS((intptr_t)arg));

	say("child ");
	return r;
}

/* Those of a group run when all its children have ended, and before join returns. */
TASK_TEST(after_the_children)
{
	struct tidy t[2] = { { .name = "a", .ms = 1 }, { .name = "b", .ms = 1 } };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_spawn_opts service = { .service = true };

	coop_group_open(&g, NULL);
	for (int i = 0; i < 2; i++)
		CHECK_INT(coop_group_defer(&g, &t[i].defer, tidies, &t[i]), ==, 0);
	CHECK_INT(coop_spawn(&g, late_child, MSARG(20)), ==, 0);
	CHECK_INT(coop_spawn(&g, late_child, MSARG(10)), ==, 0);
	CHECK_INT(coop_spawn_with(&g, late_child, MSARG(90), &service, NULL), ==, 0);
	say("body ");
	CHECK_INT(coop_group_join(&g, 3), ==, 3);
	say("joined ");
	CHECK_TRAIL("body child child child b a joined ");
	CHECK_INT(now_ms(), ==, 22);
	PROVES(B75);
	return 0;
}

/* A group that fails or is cancelled: the same, after everybody has gone. */
TASK_TEST(after_the_children_of_a_failed_group)
{
	struct tidy t = { .name = "tidy", .ms = 5 };
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_group_defer(&g, &t.defer, tidies, &t), ==, 0);
	CHECK_INT(coop_spawn(&g, late_child, MSARG(20)), ==, 0);
	CHECK_INT(coop_spawn(&g, fail_after_ms, MSARG(10)), ==, 0);
	r = coop_group_join(&g, 0);
	CHECK_INT(r, ==, -EIO);
	coop_error_clear();
	CHECK_TRAIL("child tidy ");
	CHECK_INT(t.slept, ==, 0);
	CHECK_INT(now_ms(), ==, 15);
	PROVES(B73, B75);
	return 0;
}

/* ---- failures */

static int code_of(const struct coop_error *e, uint32_t i)
{
	return coop_error_code(coop_error_member(e, i));
}

/* They all run though some fail; each failure is a leaf, in the order in which they ran. */
TASK_TEST(all_run_though_some_fail)
{
	struct tidy t[4] = { { .name = "a", .rc = -EPIPE },
			     { .name = "b" },
			     { .name = "c", .rc = -EIO },
			     { .name = "d" } };
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_error_info info;
	struct coop_error *e;
	int r;

	coop_scope_open(&s, &(struct coop_scope_opts){ .name = "files" });
	for (int i = 0; i < 4; i++)
		DEFER(&s, &t[i]);
	r = coop_scope_close(&s, 5);
	CHECK_TRAIL("d c b a ");
	CHECK_INT(r, ==, -EIO);
	e = coop_error_take(r);
	coop_error_describe(e, &info);
	CHECK_INT(info.kind, ==, COOP_ERROR_GROUP);
	CHECK_STR(info.name, "files");
	CHECK_INT(info.members_total, ==, 2);
	CHECK(!info.cancel_pending);
	CHECK_INT(code_of(e, 0), ==, -EIO);
	CHECK_INT(code_of(e, 1), ==, -EPIPE);
	coop_error_describe(coop_error_member(e, 1), &info);
	CHECK_STR(info.message, "tidying a");
	coop_error_unref(e);
	PROVES(B72);
	return 0;
}

/* The body's failure comes first; what the clean-ups did with the slot does not harm it. */
TASK_TEST(the_failure_of_the_body_comes_first)
{
	struct tidy good = { .name = "good" }, bad = { .name = "bad", .rc = -EIO };
	struct coop_scope s = COOP_SCOPE_INIT, t = COOP_SCOPE_INIT;
	struct coop_error_info info;
	struct coop_error *e;
	int r;

	coop_scope_open(&s, NULL);
	DEFER(&s, &bad);
	DEFER(&s, &good);
	r = coop_scope_close(&s, coop_fail(-EPROTO, "the body"));
	CHECK_INT(r, ==, -EPROTO);
	e = coop_error_take(r);
	CHECK_INT(code_of(e, 0), ==, -EPROTO);
	CHECK_INT(code_of(e, 1), ==, -EIO);
	coop_error_describe(coop_error_member(e, 0), &info);
	CHECK_STR(info.message, "the body");
	coop_error_unref(e);

	/* Where no clean-up fails it stays as it is: one error, not a group of one. */
	good = (struct tidy){ .name = "good", .ms = 1 };
	coop_scope_open(&t, NULL);
	DEFER(&t, &good);
	r = coop_scope_close(&t, coop_fail(-EPROTO, "the body"));
	CHECK_INT(r, ==, -EPROTO);
	e = coop_error_take(r);
	coop_error_describe(e, &info);
	CHECK_INT(info.kind, ==, COOP_ERROR_LEAF);
	CHECK_STR(info.message, "the body");
	coop_error_unref(e);
	PROVES(B72);
	return 0;
}

/* In a group they stand beside the failures of children, after them. */
TASK_TEST(failures_beside_those_of_children)
{
	struct tidy a = { .name = "a", .rc = -EPIPE }, b = { .name = "b", .rc = -ENOSPC };
	struct coop_group g = COOP_GROUP_INIT, alone = COOP_GROUP_INIT;
	struct coop_error_info info;
	struct coop_error *e;
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_group_defer(&g, &a.defer, tidies, &a), ==, 0);
	CHECK_INT(coop_group_defer(&g, &b.defer, tidies, &b), ==, 0);
	CHECK_INT(coop_spawn(&g, fail_after_ms, MSARG(1)), ==, 0);
	r = coop_group_join(&g, 0);
	CHECK_INT(r, ==, -EIO);
	e = coop_error_take(r);
	coop_error_describe(e, &info);
	CHECK_INT(info.members_total, ==, 3);
	CHECK_INT(code_of(e, 0), ==, -EIO);
	CHECK_INT(code_of(e, 1), ==, -ENOSPC);
	CHECK_INT(code_of(e, 2), ==, -EPIPE);
	coop_error_unref(e);

	a = (struct tidy){ .name = "a", .rc = -EPIPE };
	coop_group_open(&alone, NULL);
	CHECK_INT(coop_group_defer(&alone, &a.defer, tidies, &a), ==, 0);
	CHECK_INT(coop_spawn(&alone, sleep_ms, MSARG(1)), ==, 0);
	r = coop_group_join(&alone, 6);
	CHECK_INT(r, ==, -EPIPE);
	e = coop_error_take(r);
	coop_error_describe(e, &info);
	CHECK_INT(info.kind, ==, COOP_ERROR_GROUP);
	CHECK_INT(info.members_total, ==, 1);
	CHECK_INT(code_of(e, 0), ==, -EPIPE);
	coop_error_unref(e);
	PROVES(B72);
	return 0;
}

/* A failing clean-up of a cancelled scope: the error comes out, and the scope has caught. */
TASK_TEST(failures_beside_a_cancellation)
{
	struct tidy t = { .name = "t", .rc = -EIO };
	struct coop_scope outer = COOP_SCOPE_INIT, s = COOP_SCOPE_INIT;
	struct coop_error_info info;
	int r;

	coop_scope_open(&outer, NULL);
	coop_scope_open(&s, NULL);
	DEFER(&s, &t);
	coop_scope_cancel(&outer, NULL);
	r = coop_scope_close(&s, coop_checkpoint());
	CHECK_INT(r, ==, -EIO);
	CHECK(!coop_scope_caught(&s));
	coop_error_describe(coop_error_peek(r), &info);
	CHECK(info.cancel_pending);
	r = coop_scope_close(&outer, r);
	CHECK_INT(r, ==, -EIO);
	CHECK(coop_scope_caught(&outer));
	coop_error_describe(coop_error_peek(r), &info);
	CHECK(!info.cancel_pending);
	coop_error_clear();
	CHECK_INT(coop_checkpoint(), ==, 0);
	return 0;
}

/* More failures than an error has room for: all have run, and they are counted. */
TASK_TEST(many_failures)
{
	enum { N = 40 };
	static struct tidy t[N];
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_error_info info;
	struct coop_error *e;
	int r, runs = 0;

	coop_scope_open(&s, NULL);
	for (int i = 0; i < N; i++) {
		t[i] = (struct tidy){ .name = ".", .rc = -(i + 1) };
		DEFER(&s, &t[i]);
	}
	r = coop_scope_close(&s, 0);
	CHECK_INT(r, ==, -N);
	for (int i = 0; i < N; i++)
		runs += t[i].runs;
	CHECK_INT(runs, ==, N);
	e = coop_error_take(r);
	coop_error_describe(e, &info);
	CHECK_INT(info.members_total, ==, N);
	CHECK_INT(code_of(e, 0), ==, -N);
	coop_error_unref(e);
	PROVES(B72);
	return 0;
}

/* ---- shielded */

/* In a cancelled scope they can wait, each for as long as the grace allows, which they share. */
TASK_TEST(shielded_with_the_grace)
{
	struct tidy t[4] = { { .name = "last", .ms = 1 },
			     { .name = "stuck", .ms = -1 },
			     { .name = "slow", .ms = 20 },
			     { .name = "quick", .ms = 5 } };
	struct coop_scope s = COOP_SCOPE_INIT;

	coop_scope_open(&s, NULL);
	for (int i = 0; i < 4; i++)
		DEFER(&s, &t[i]);
	coop_scope_cancel_grace(&s, NULL, MS(50));
	CHECK_INT(coop_scope_close(&s, coop_checkpoint()), ==, 0);
	CHECK(coop_scope_caught(&s));
	CHECK_TRAIL("quick slow stuck last ");
	CHECK_INT(t[3].at_ms, ==, 5);
	CHECK_INT(t[2].at_ms, ==, 25);
	CHECK_INT(t[1].slept, ==, COOP_ECANCELED); /* and that is no failure */
	CHECK_INT(t[1].at_ms, ==, 50);
	CHECK_INT(t[0].slept, ==, COOP_ECANCELED); /* nothing is left for it, but it runs */
	CHECK_INT(now_ms(), ==, 50);
	PROVES(B73, B196);
	return 0;
}

/* Without a cancel there is no limit; one that comes meanwhile has its grace from then. */
static int cancels_at_30(void *arg)
{
	int r = coop_sleep(MS(30));

	coop_scope_cancel_grace(arg, NULL, MS(40));
	return r;
}

TASK_TEST(cancelled_while_cleaning_up)
{
	struct tidy t[2] = { { .name = "stuck", .ms = -1 }, { .name = "long", .ms = 60 } };
	struct coop_scope outer = COOP_SCOPE_INIT, s = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, cancels_at_30, &outer), ==, 0);
	coop_scope_open(&outer, NULL);
	coop_scope_open(&s, NULL);
	for (int i = 0; i < 2; i++)
		DEFER(&s, &t[i]);
	CHECK_INT(coop_scope_close(&s, 8), ==, 8);
	CHECK_INT(t[1].slept, ==, 0);
	CHECK_INT(t[1].at_ms, ==, 60);
	CHECK_INT(t[0].slept, ==, COOP_ECANCELED);
	CHECK_INT(t[0].at_ms, ==, 70);
	CHECK_INT(coop_scope_close(&outer, coop_checkpoint()), ==, 0);
	CHECK(coop_scope_caught(&outer));
	PROVES(B73);
	return coop_group_join(&g, 0);
}

/* The scope's own deadline passes while it cleans up: the body had ended well, and stays so. */
TASK_TEST(the_deadline_passes_while_cleaning_up)
{
	struct tidy t = { .name = "t", .ms = 30 };
	struct coop_scope s = COOP_SCOPE_INIT;

	coop_scope_open(&s,
			&(struct coop_scope_opts){ .timeout_ns = MS(10), .fail_on_timeout = true });
	DEFER(&s, &t);
	CHECK_INT(coop_scope_close(&s, 4), ==, 4);
	CHECK_INT(t.slept, ==, 0);
	CHECK_INT(now_ms(), ==, 30);
	CHECK(coop_scope_cancel_called(&s) && !coop_scope_caught(&s));
	CHECK_INT(coop_scope_late_ns(&s), ==, MS(20));
	return 0;
}

/* A clean-up may have groups and limits of its own. */
static int tidies_with_tasks(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct nap *n = arg;
	int r;

	coop_group_open(&g, NULL);
	r = coop_spawn(&g, nap, &n[0]);
	if (r >= 0)
		r = coop_spawn(&g, nap, &n[1]);
	CHECK_INT(coop_move_on_after(MS(3), sleep_for_ever, NULL), ==, 0);
	return coop_group_join(&g, r);
}

TASK_TEST(a_clean_up_with_tasks_of_its_own)
{
	struct nap n[2] = { { .ms = 5 }, { .ms = 10 } };
	struct coop_defer d = COOP_DEFER_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;

	coop_scope_open(&s, NULL);
	CHECK_INT(coop_scope_defer(&s, &d, tidies_with_tasks, n), ==, 0);
	coop_scope_cancel(&s, NULL);
	CHECK_INT(coop_scope_close(&s, coop_checkpoint()), ==, 0);
	CHECK_INT(n[0].rc, ==, 0);
	CHECK_INT(n[1].rc, ==, 0);
	CHECK_INT(now_ms(), ==, 10);
	return 0;
}

/* Without any grace they run all the same, up to their first checkpoint. */
static struct tidy graceless = { .name = "graceless", .ms = 5 };

static int graceless_main(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;

	(void)arg;
	begin_ns = coop_now();
	coop_scope_open(&s, NULL);
	DEFER(&s, &graceless);
	coop_scope_cancel(&s, NULL);
	return coop_scope_close(&s, coop_checkpoint());
}

TEST(clean_ups_without_grace)
{
	struct coop_run_opts opts = { .clock = COOP_CLOCK_VIRTUAL, .grace_ns = COOP_NO_GRACE };

	CHECK_INT(coop_run(graceless_main, NULL, &opts), ==, 0);
	CHECK_INT(graceless.runs, ==, 1);
	CHECK_INT(graceless.slept, ==, COOP_ECANCELED);
}

/* ---- registered late, registered wrongly, taken back */

/* Registered with a block that is closed: it runs at once, so that nothing is left behind. */
TASK_TEST(registered_too_late)
{
	struct tidy t = { .name = "t", .ms = 2 }, u = { .name = "u", .rc = -EIO };
	struct tidy v = { .name = "v" };
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;

	keep_records(COOP_LOG_WARN);
	coop_scope_open(&s, NULL);
	CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	CHECK_INT(coop_scope_defer(&s, &t.defer, tidies, &t), ==, COOP_ECLOSED);
	CHECK_INT(t.runs, ==, 1);
	CHECK_INT(t.slept, ==, 0);
	CHECK_INT(records_count, ==, 0);
	CHECK_INT(coop_scope_defer(&s, &u.defer, tidies, &u), ==, COOP_ECLOSED);
	CHECK_INT(records_count, ==, 1); /* its failure has nowhere to go but the log */
	coop_group_open(&g, NULL);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_group_defer(&g, &v.defer, tidies, &v), ==, COOP_ECLOSED);
	CHECK_INT(v.runs, ==, 1);
	PROVES(B74);
	return 0;
}

/* A task that loses the race with the end of a group cleans up at once as well. */
static struct coop_group *racing_group;

static int registers_in_group(void *arg)
{
	struct tidy *t = arg;
	int r = coop_sleep(MS(10));

	CHECK_INT(coop_group_defer(racing_group, &t->defer, tidies, t), ==, COOP_ECLOSED);
	CHECK_INT(t->runs, ==, 1);
	return r;
}

TASK_TEST(registered_by_another_task)
{
	struct tidy t = { .name = "t" };
	struct coop_group outer = COOP_GROUP_INIT, g = COOP_GROUP_INIT;

	racing_group = &g;
	coop_group_open(&outer, NULL);
	CHECK_INT(coop_spawn(&outer, registers_in_group, &t), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(5)), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	PROVES(B74);
	return coop_group_join(&outer, 0);
}

/* What cannot be registered is refused, and nothing has happened. */
TASK_TEST(refused)
{
	struct tidy t = { .name = "t" };
	struct coop_defer d = COOP_DEFER_INIT;
	struct coop_scope s = COOP_SCOPE_INIT, unopened = COOP_SCOPE_INIT, other = COOP_SCOPE_INIT;

	CHECK_INT(coop_scope_defer(&unopened, &d, tidies, &t), ==, COOP_ENOTOPEN);
	coop_scope_open(&s, NULL);
	coop_scope_open(&other, NULL);
	CHECK_INT(coop_scope_defer(&s, NULL, tidies, &t), ==, -EINVAL);
	CHECK_INT(coop_scope_defer(&s, &d, NULL, &t), ==, -EINVAL);
	CHECK_INT(coop_scope_undefer(&s, &d), ==, -ENOENT);
	CHECK_INT(coop_scope_defer(&s, &d, tidies, &t), ==, 0);
	CHECK_INT(coop_scope_defer(&s, &d, tidies, &t), ==, -EINVAL); /* once only */
	CHECK_INT(coop_scope_defer(&other, &d, tidies, &t), ==, -EINVAL);
	CHECK_INT(coop_scope_undefer(&other, &d), ==, -ENOENT);
	CHECK_INT(coop_scope_close(&other, 0), ==, 0);
	CHECK_INT(t.runs, ==, 0);
	CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	CHECK_INT(t.runs, ==, 1);
	CHECK_INT(coop_scope_undefer(&s, &d), ==, -ENOENT);
	return 0;
}

/* Taken back from the top, the bottom, the middle; and registered again, elsewhere in the order. */
TASK_TEST(taken_back)
{
	struct tidy t[5] = {
		{ .name = "a" }, { .name = "b" }, { .name = "c" }, { .name = "d" }, { .name = "e" }
	};
	struct coop_scope s = COOP_SCOPE_INIT;

	coop_scope_open(&s, NULL);
	for (int i = 0; i < 5; i++)
		DEFER(&s, &t[i]);
	CHECK_INT(coop_scope_undefer(&s, &t[4].defer), ==, 0);
	CHECK_INT(coop_scope_undefer(&s, &t[0].defer), ==, 0);
	CHECK_INT(coop_scope_undefer(&s, &t[2].defer), ==, 0);
	CHECK_INT(coop_scope_undefer(&s, &t[2].defer), ==, -ENOENT);
	DEFER(&s, &t[0]);
	CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	CHECK_TRAIL("a d b ");
	return 0;
}

/* One that is registered or taken back by another while they run: before, if it is its turn. */
static struct coop_scope *chained_scope;
static struct tidy *chained[2];

static int chains(void *arg)
{
	(void)arg;
	say("first ");
	DEFER(chained_scope, chained[0]);
	return coop_scope_undefer(chained_scope, &chained[1]->defer);
}

TASK_TEST(registered_while_cleaning_up)
{
	struct tidy more = { .name = "more" }, less = { .name = "less" }, rest = { .name = "rest" };
	struct coop_defer d = COOP_DEFER_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;

	chained_scope = &s;
	chained[0] = &more;
	chained[1] = &less;
	coop_scope_open(&s, NULL);
	DEFER(&s, &rest);
	DEFER(&s, &less);
	CHECK_INT(coop_scope_defer(&s, &d, chains, NULL), ==, 0);
	CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	CHECK_TRAIL("first more rest ");
	CHECK_INT(less.runs, ==, 0);
	return 0;
}

/* A record can be used again when it has run. */
TASK_TEST(a_record_used_again)
{
	struct tidy t = { .name = "t" };

	for (int i = 0; i < 3; i++) {
		struct coop_scope s = COOP_SCOPE_INIT;

		coop_scope_open(&s, NULL);
		DEFER(&s, &t);
		CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	}
	CHECK_INT(t.runs, ==, 3);
	return 0;
}

/* A block that closes itself runs them, too; what they fail with goes to the log. */
static int leaves_early(struct tidy *t, int rc)
{
	COOP_AUTO_SCOPE(s, NULL);

	DEFER(&s, t);
	return rc < 0 ? coop_fail(rc, "the way out") : rc;
}

TASK_TEST(clean_ups_of_blocks_that_close_themselves)
{
	struct tidy good = { .name = "good", .ms = 2 }, bad = { .name = "bad", .rc = -EIO };
	struct coop_error_info info;

	keep_records(COOP_LOG_WARN);
	CHECK_INT(leaves_early(&good, 3), ==, 3);
	CHECK_INT(records_count, ==, 0);
	CHECK_INT(leaves_early(&bad, 3), ==, 3);
	CHECK_INT(records_count, ==, 1);
	CHECK_TRAIL("good bad ");

	/* The error that is on its way out is not lost over it. */
	CHECK_INT(leaves_early(&bad, -EPROTO), ==, -EPROTO);
	CHECK_INT(records_count, ==, 2);
	coop_error_describe(coop_error_peek(-EPROTO), &info);
	CHECK_STR(info.message, "the way out");
	coop_error_clear();
	return 0;
}
