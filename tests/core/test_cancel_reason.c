/* SPDX-License-Identifier: MIT */
/*
 * Why something is cancelled: each source with its words, place, author and time, asked from
 * inside by the one who is cancelled, and from outside of the scope.
 */
#include "core_help.h"

/* A task that sleeps until it is cancelled, and then asks why. */
struct asker {
	struct coop_cancel_info why;
	bool told;
};

static int asks(void *arg)
{
	struct asker *a = arg;
	int r = coop_sleep(COOP_NEVER);

	a->told = coop_cancel_reason(&a->why);
	return r;
}

/* Who is not cancelled is told so; texts are empty, not NULL. */
TASK_TEST(no_reason)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_cancel_info info;
	char text[64];

	memset(&info, 0x55, sizeof info);
	CHECK(!coop_cancel_reason(&info));
	CHECK_INT(info.source, ==, COOP_CANCEL_NONE);
	CHECK_STR(info.site, "");
	CHECK_STR(info.text, "");
	CHECK_STR(info.who, "");
	CHECK(!coop_scope_reason(&s, &info));
	coop_scope_open(&s, NULL);
	memset(&info, 0x55, sizeof info);
	CHECK(!coop_scope_reason(&s, &info));
	CHECK_INT(info.source, ==, COOP_CANCEL_NONE);
	CHECK(coop_cancel_text(&info, text, sizeof text) == text);
	return coop_scope_close(&s, 0);
}

TEST(no_reason_outside_of_tasks)
{
	struct coop_cancel_info info;

	CHECK(!coop_cancel_reason(&info));
	CHECK_INT(info.source, ==, COOP_CANCEL_NONE);
}

static int cancel_line, fail_line;

static int canceller(void *arg)
{
	int r = coop_sleep(MS(3));

	cancel_line = __LINE__ + 1;
	coop_group_cancel(arg, "enough of this");
	return r;
}

/* A call: words, author, place, time; and how many scopes lie between. */
TASK_TEST(reason_of_a_call)
{
	struct coop_group g = COOP_GROUP_INIT, work = COOP_GROUP_INIT;
	struct coop_group_opts named = { .name = "pages" };
	struct coop_cancel_info info;
	struct asker a = { .told = false };
	char text[200];

	coop_group_open(&g, &named);
	coop_group_open(&work, NULL);
	CHECK_INT(coop_spawn(&work, asks, &a), ==, 0);
	CHECK_INT(coop_spawn(&g, canceller, &work), ==, 0);
	CHECK_INT(coop_sleep(MS(10)), ==, COOP_ECANCELED);
	CHECK(coop_scope_reason(coop_group_scope(&work), &info));
	CHECK_INT(info.depth, ==, 0);
	CHECK_STR(info.text, "enough of this");
	CHECK(!coop_scope_reason(coop_group_scope(&g), &info));
	CHECK_INT(coop_group_join(&work, COOP_ECANCELED), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);

	CHECK(a.told);
	CHECK_INT(a.why.source, ==, COOP_CANCEL_CALL);
	CHECK_INT(a.why.code, ==, 0);
	CHECK_STR(a.why.text, "enough of this");
	CHECK_STR(a.why.who, "main/pages/canceller");
	CHECK_HAS(a.why.site, place(__FILE__, cancel_line));
	CHECK_INT(a.why.when_ns, ==, begin_ns + MS(3));
	CHECK_INT(a.why.depth, ==, 1); /* the task's own scope is in between */
	coop_cancel_text(&a.why, text, sizeof text);
	CHECK_HAS(text, "enough of this");
	CHECK_HAS(text, place(__FILE__, cancel_line));
	PROVES(B102);
	return 0;
}

/* Long words are cut at 63 bytes; a small buffer for the line is respected. */
TASK_TEST(long_reasons_are_cut)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_cancel_info info;
	char words[100], small[8];
	int r;

	memset(words, 'x', 99);
	words[99] = '\0';
	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, words);
	memset(words, '-', 99); /* it was copied */
	CHECK(coop_cancel_reason(&info));
	CHECK_INT(strlen(info.text), ==, COOP_NAME_MAX);
	CHECK_INT(strspn(info.text, "x"), ==, COOP_NAME_MAX);
	memset(small, '#', sizeof small);
	CHECK_STR(coop_cancel_text(&info, small, 5), "xxxx");
	CHECK_INT(small[5], ==, '#');
	r = coop_checkpoint();
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	/* Why it was cancelled can be asked when it is closed, too. */
	CHECK(coop_scope_reason(&s, &info));
	CHECK_INT(info.source, ==, COOP_CANCEL_CALL);
	CHECK_HAS(info.site, "test_cancel_reason.c:");
	return 0;
}

/* No words are no words. */
TASK_TEST(a_reason_without_words)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_cancel_info info;

	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, NULL);
	CHECK(coop_cancel_reason(&info));
	CHECK_STR(info.text, "");
	CHECK_STR(info.who, "main");
	CHECK_INT(info.source, ==, COOP_CANCEL_CALL);
	return coop_scope_close(&s, coop_checkpoint());
}

/* A deadline: its time, and the place of the scope. */
TASK_TEST(reason_of_a_deadline)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_scope_opts limit = { .timeout_ns = MS(7) };
	struct coop_cancel_info info;
	int line = __LINE__ + 2, r;

	coop_scope_open(&s, &limit);
	r = coop_sleep(MS(50));
	CHECK(coop_cancel_reason(&info));
	CHECK_INT(info.source, ==, COOP_CANCEL_DEADLINE);
	CHECK_INT(info.when_ns, ==, begin_ns + MS(7));
	CHECK_HAS(info.site, place(__FILE__, line));
	CHECK_INT(info.depth, ==, 0);
	PROVES(B102);
	return coop_scope_close(&s, r);
}

static int fails_at_4(void *arg)
{
	int r = coop_sleep(MS(4));

	(void)arg;
	fail_line = __LINE__ + 1;
	return r < 0 ? r : coop_fail(-ENOSPC, "no room");
}

/* A failed child: siblings and body are told its name, its code and where it failed. */
TASK_TEST(reason_of_a_failed_child)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct asker sibling = { .told = false };
	struct coop_spawn_opts named = { .name = "fetch" };
	struct coop_cancel_info info;
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, asks, &sibling), ==, 0);
	CHECK_INT(coop_spawn_with(&g, fails_at_4, NULL, &named, NULL), ==, 0);
	r = coop_sleep(MS(50));
	CHECK(coop_cancel_reason(&info));
	r = coop_group_join(&g, r);
	CHECK_INT(r, ==, -ENOSPC);
	coop_error_clear();
	for (int i = 0; i < 2; i++) {
		const struct coop_cancel_info *why = i ? &sibling.why : &info;

		CHECK_INT(why->source, ==, COOP_CANCEL_FAILURE);
		CHECK_INT(why->code, ==, -ENOSPC);
		CHECK_STR(why->text, "child \"fetch\" failed");
		CHECK_STR(why->who, "main/fetch");
		CHECK_HAS(why->site, place(__FILE__, fail_line));
		CHECK_INT(why->when_ns, ==, begin_ns + MS(4));
		CHECK_INT(why->depth, ==, (unsigned)i);
	}
	PROVES(B103);
	return 0;
}

/* A failed body. */
TASK_TEST(reason_of_a_failed_body)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct asker child = { .told = false };
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, asks, &child), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	r = coop_group_join(&g, -EPIPE);
	CHECK_INT(r, ==, -EPIPE);
	coop_error_clear();
	CHECK_INT(child.why.source, ==, COOP_CANCEL_FAILURE);
	CHECK_INT(child.why.code, ==, -EPIPE);
	CHECK_HAS(child.why.text, "body");
	CHECK_STR(child.why.who, "main");
	return 0;
}

/* The end of an essential child ends the rest, and they know whose it was. */
TASK_TEST(reason_of_an_essential_child)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_spawn_opts essential = { .name = "heart", .essential = true };
	struct asker sibling = { .told = false };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, asks, &sibling), ==, 0);
	CHECK_INT(coop_spawn_with(&g, sleep_ms, MSARG(1), &essential, NULL), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(sibling.why.source, ==, COOP_CANCEL_CHILD);
	CHECK_HAS(sibling.why.text, "heart");
	CHECK_INT(sibling.why.when_ns, ==, begin_ns + MS(1));
	return 0;
}

/* The body of an inner group is cancelled: its children are told of what came from outside. */
TASK_TEST(reason_of_a_cancelled_body)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope_opts hard = { .shield = true };
	struct coop_scope shield = COOP_SCOPE_INIT;
	struct asker child = { .told = false };
	int r;

	/* The cancellation is of a scope within the body: the group itself was not cancelled. */
	coop_scope_open(&s, NULL);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, asks, &child), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_scope_cancel(&s, "outside");
	coop_scope_open(&shield, &hard);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_scope_close(&shield, 0), ==, 0);
	r = coop_group_join(&g, coop_checkpoint());
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK(child.told);
	CHECK_INT(child.why.source, ==, COOP_CANCEL_CALL);
	CHECK_STR(child.why.text, "outside");
	CHECK_INT(child.why.depth, ==, 2);
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	PROVES(B104);
	return 0;
}

/* The end of the body, where the group says so. */
TASK_TEST(reason_of_cancel_on_join)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_group_opts opts = { .cancel_on_join = true };
	struct asker child = { .told = false };

	coop_group_open(&g, &opts);
	CHECK_INT(coop_spawn(&g, asks, &child), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(child.why.source, ==, COOP_CANCEL_JOIN);
	CHECK_INT(child.why.when_ns, ==, begin_ns + MS(1));
	return 0;
}

/* Services are told that their users are gone. */
TASK_TEST(reason_of_a_service)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_spawn_opts service = { .service = true };
	struct asker child = { .told = false };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, asks, &child, &service, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(5)), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK(child.told);
	CHECK_INT(child.why.source, ==, COOP_CANCEL_JOIN);
	CHECK_INT(child.why.when_ns, ==, begin_ns + MS(5));
	return 0;
}

/* The run is being stopped: everybody in it knows why, however deep. */
static struct asker stopped;

static int stopped_main(void *arg)
{
	struct coop_group outer = COOP_GROUP_INIT, inner = COOP_GROUP_INIT;
	int r;

	(void)arg;
	begin_ns = coop_now();
	coop_group_open(&outer, NULL);
	coop_group_open(&inner, NULL);
	CHECK_INT(coop_spawn(&inner, asks, &stopped), ==, 0);
	CHECK_INT(coop_sleep(MS(2)), ==, 0);
	CHECK_INT(coop_stop("maintenance"), ==, 0);
	CHECK_INT(coop_stop("again"), ==, 1);
	r = coop_group_join(&inner, 0);
	CHECK_INT(r, ==, COOP_ECANCELED);
	return coop_group_join(&outer, r);
}

TEST(reason_of_a_shutdown)
{
	CHECK_INT(coop_run(stopped_main, NULL, &virtual_clock), ==, 0);
	CHECK(stopped.told);
	CHECK_INT(stopped.why.source, ==, COOP_CANCEL_SHUTDOWN);
	CHECK_STR(stopped.why.text, "maintenance");
	CHECK_STR(stopped.why.who, "main");
	CHECK_INT(stopped.why.when_ns, ==, begin_ns + MS(2));
	PROVES(B102);
}

static struct asker stuck;

TEST(reason_of_a_deadlock)
{
	keep_records(COOP_LOG_ERROR);
	CHECK_INT(coop_run(asks, &stuck, &virtual_clock), ==, -EDEADLK);
	CHECK(stuck.told);
	CHECK_INT(stuck.why.source, ==, COOP_CANCEL_DEADLOCK);
	CHECK(stuck.why.text[0]);
	CHECK(records_count > 0);
}

/* A scope that was left still says who cancelled it, when and where; its words are gone. */
TASK_TEST(a_reason_outlives_its_scope)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_cancel_info info;
	char place[64];
	int line;

	coop_scope_open(&s, NULL);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	line = __LINE__ + 1;
	coop_scope_cancel(&s, "enough");
	CHECK_INT(coop_scope_close(&s, coop_checkpoint()), ==, 0);
	CHECK(coop_scope_reason(&s, &info));
	CHECK_INT(info.source, ==, COOP_CANCEL_CALL);
	CHECK_INT(info.when_ns, ==, begin_ns + MS(1));
	snprintf(place, sizeof place, "test_cancel_reason.c:%d", line);
	CHECK_HAS(info.site, place);
	PROVES(B105);
	return 0;
}

/* ---- several */

/* The first reason stays, whatever comes later: calls, a deadline, a failure. */
TASK_TEST(the_first_reason_stays)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_group_opts opts = { .timeout_ns = MS(5) };
	struct asker late = { .told = false };
	struct coop_cancel_info info;
	int r;

	coop_group_open(&g, &opts);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_group_cancel(&g, "first");
	coop_group_cancel(&g, "second");
	CHECK_INT(coop_test_clock_jump(MS(20)), ==, 0);
	CHECK_INT(coop_spawn(&g, asks, &late), ==, 0);
	coop_yield();
	r = coop_group_join(&g, -EIO);
	CHECK_INT(r, ==, -EIO);
	coop_error_clear();
	CHECK(coop_scope_reason(coop_group_scope(&g), &info));
	CHECK_INT(info.source, ==, COOP_CANCEL_CALL);
	CHECK_INT(late.why.source, ==, COOP_CANCEL_CALL);
	CHECK_STR(late.why.text, "first");
	CHECK_INT(late.why.when_ns, ==, begin_ns + MS(1));
	PROVES(B105);
	return 0;
}

/* A deadline that came first is not overwritten by a call. */
TASK_TEST(a_deadline_that_came_first_stays)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_scope_opts opts = { .timeout_ns = MS(5) };
	struct coop_cancel_info info;
	int r;

	coop_scope_open(&s, &opts);
	r = coop_sleep(MS(10));
	CHECK_INT(coop_scope_cancel(&s, "later"), ==, 1);
	CHECK(coop_cancel_reason(&info));
	CHECK_INT(info.source, ==, COOP_CANCEL_DEADLINE);
	CHECK_INT(info.when_ns, ==, begin_ns + MS(5));
	CHECK(strstr(info.text, "later") == NULL);
	PROVES(B105);
	return coop_scope_close(&s, r);
}

/* Of several cancelled scopes the outermost visible one counts; depth tells how far out it is. */
TASK_TEST(the_reason_of_the_outermost_counts)
{
	struct coop_scope s[4] = { COOP_SCOPE_INIT, COOP_SCOPE_INIT, COOP_SCOPE_INIT,
				   COOP_SCOPE_INIT };
	struct coop_cancel_info info;
	int r;

	for (int i = 0; i < 4; i++)
		coop_scope_open(&s[i], NULL);
	coop_scope_cancel(&s[2], "two");
	CHECK(coop_cancel_reason(&info));
	CHECK_STR(info.text, "two");
	CHECK_INT(info.depth, ==, 1);
	coop_scope_cancel(&s[3], "three");
	coop_scope_cancel(&s[1], "one");
	CHECK(coop_cancel_reason(&info));
	CHECK_STR(info.text, "one");
	CHECK_INT(info.depth, ==, 2);
	CHECK(coop_scope_reason(&s[3], &info));
	CHECK_STR(info.text, "one");
	CHECK(coop_scope_reason(&s[1], &info));
	CHECK_INT(info.depth, ==, 0);
	CHECK(!coop_scope_reason(&s[0], &info));

	/* A shield hides the outer ones. */
	CHECK_INT(coop_scope_set_shield(&s[2], true), ==, 0);
	CHECK(coop_cancel_reason(&info));
	CHECK_STR(info.text, "two");
	CHECK_INT(coop_scope_set_shield(&s[3], true), ==, 0);
	CHECK(coop_cancel_reason(&info));
	CHECK_STR(info.text, "three");
	CHECK_INT(info.depth, ==, 0);
	CHECK_INT(coop_scope_set_shield(&s[3], false), ==, 0);
	CHECK_INT(coop_scope_set_shield(&s[2], false), ==, 0);
	CHECK(coop_cancel_reason(&info));
	CHECK_STR(info.text, "one");
	PROVES(B104);

	r = coop_checkpoint();
	for (int i = 4; i-- > 0;)
		r = coop_scope_close(&s[i], r);
	return r;
}

/* The words of many cancels at once are all kept: of more scopes than a task has room for. */
TASK_TEST(many_reasons_at_once)
{
	enum { N = 20 };
	struct coop_scope s[N];
	struct coop_cancel_info info;
	char words[N][16];
	int r;

	for (int i = 0; i < N; i++) {
		s[i] = (struct coop_scope)COOP_SCOPE_INIT;
		coop_scope_open(&s[i], NULL);
		snprintf(words[i], sizeof words[i], "reason %d", i);
	}
	for (int i = N; i-- > 0;) {
		coop_scope_cancel(&s[i], words[i]);
		CHECK(coop_cancel_reason(&info));
		CHECK_STR(info.text, words[i]);
		CHECK_INT(info.depth, ==, N - 1 - i);
	}
	r = coop_checkpoint();
	for (int i = N; i-- > 0;)
		r = coop_scope_close(&s[i], r);
	return r;
}

static int leaf_of_chain(void *arg)
{
	return asks(arg);
}

static int chain(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&s, NULL);
	coop_group_open(&g, NULL);
	r = coop_spawn(&g, leaf_of_chain, arg);
	r = coop_group_join(&g, r);
	return coop_scope_close(&s, r);
}

/* Depth counts through tasks: base, group, scope, base, and then the one that was cancelled. */
TASK_TEST(depth_counts_through_tasks)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct asker a = { .told = false };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, chain, &a), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_group_cancel(&g, "far out");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK(a.told);
	CHECK_STR(a.why.text, "far out");
	CHECK_INT(a.why.depth, ==, 4);
	PROVES(B104);
	return 0;
}
