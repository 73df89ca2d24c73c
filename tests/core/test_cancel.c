/* SPDX-License-Identifier: MIT */
/*
 * Cancellation: level, completion wins, who catches, shields, grace, deadlines, reasons.
 * All on the virtual clock: a time in a check is exact.
 */
#include "test.h"

#include <coop.h>
#include <coop/testing.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MS COOP_MILLISECONDS

static const struct coop_run_opts virtual_clock = { .clock = COOP_CLOCK_VIRTUAL };
static int64_t start_ns;

static int64_t ms(void)
{
	return (coop_now() - start_ns) / 1000000;
}

static void begin(void)
{
	start_ns = coop_now();
}

static int run(coop_fn *fn)
{
	return coop_run(fn, NULL, &virtual_clock);
}

/* A cancelled scope cancels every checkpoint, until it is left; then nothing is cancelled. */
static int level(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	(void)arg;
	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, "level");
	CHECK(coop_cancelled());
	PROVES(B111);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_checkpoint(), ==, COOP_ECANCELED);
	r = coop_sleep(MS(1));
	CHECK_INT(r, ==, COOP_ECANCELED);
	PROVES(B76);
	PROVES(B80);
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	CHECK(coop_scope_caught(&s));
	PROVES(B91);
	CHECK_INT(coop_checkpoint(), ==, 0);
	PROVES(B101);
	return 0;
}

TEST(cancellation_is_level_triggered)
{
	CHECK_INT(run(level), ==, 0);
}

/* A block that ends well in a cancelled scope keeps its result; another error passes through. */
static int at_end(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT, t = COOP_SCOPE_INIT;

	(void)arg;
	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, NULL);
	CHECK_INT(coop_scope_close(&s, 12), ==, 12);
	CHECK(!coop_scope_caught(&s) && coop_scope_cancel_called(&s));
	PROVES(B81);
	CHECK_INT(coop_scope_cancel(&s, NULL), ==, 1);
	CHECK_INT(coop_scope_open(&s, NULL), ==, -EALREADY);
	PROVES(B97);
	coop_scope_open(&t, NULL);
	coop_scope_cancel(&t, NULL);
	CHECK_INT(coop_scope_close(&t, -EIO), ==, -EIO);
	CHECK(!coop_scope_caught(&t));
	PROVES(B95);
	return 0;
}

TEST(cancelled_after_the_last_checkpoint)
{
	CHECK_INT(run(at_end), ==, 0);
}

/* Of two cancelled scopes the outer one catches. */
static int outer_wins(void *arg)
{
	struct coop_scope outer = COOP_SCOPE_INIT, inner = COOP_SCOPE_INIT;
	int r;

	(void)arg;
	coop_scope_open(&outer, NULL);
	coop_scope_open(&inner, NULL);
	coop_scope_cancel(&inner, "in");
	r = coop_checkpoint();
	coop_scope_cancel(&outer, "out"); /* while it travels */
	r = coop_scope_close(&inner, r);
	CHECK_INT(r, ==, COOP_ECANCELED);
	r = coop_scope_close(&outer, r);
	CHECK_INT(r, ==, 0);
	CHECK(!coop_scope_caught(&inner) && coop_scope_caught(&outer));
	PROVES(B92);
	PROVES(B93);
	return 0;
}

TEST(outer_scope_wins)
{
	CHECK_INT(run(outer_wins), ==, 0);
}

/* Cancelling before opening counts; twice is once, and the first reason stays. */
static int before_opening(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_cancel_info info;
	int r;

	(void)arg;
	CHECK_INT(coop_scope_cancel(&s, "first"), ==, 0);
	CHECK_INT(coop_scope_cancel(&s, "second"), ==, 1);
	coop_scope_open(&s, NULL);
	CHECK(coop_cancel_reason(&info));
	CHECK_STR(info.text, "first");
	CHECK_STR(info.who, "main");
	CHECK_INT(info.source, ==, COOP_CANCEL_CALL);
	CHECK(strstr(info.site, "test_cancel.c:") != NULL);
	PROVES(B102);
	PROVES(B105);
	PROVES(B99);
	r = coop_checkpoint();
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	PROVES(B98);
	return 0;
}

TEST(cancelled_before_it_is_opened)
{
	CHECK_INT(run(before_opening), ==, 0);
}

/* A sleep that was over before the cancel came keeps its result; the next call is cancelled. */
static struct coop_scope *victim;

static int cancels_victim(void *arg)
{
	int r = coop_sleep(MS(10));

	(void)arg;
	coop_scope_cancel(victim, "too late for the sleep");
	return r;
}

static int completion(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	(void)arg;
	victim = &s;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, cancels_victim, NULL), ==, 0);
	coop_yield(); /* its timer is armed before ours, it runs first */
	coop_scope_open(&s, NULL);
	CHECK_INT(coop_sleep(MS(10)), ==, 0);
	PROVES(B79);
	r = coop_checkpoint();
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	return coop_group_join(&g, 0);
}

TEST(completion_wins)
{
	CHECK_INT(run(completion), ==, 0);
}

/* One pass through 1,000 nested groups, each in a task of its own. */
static int64_t deepest_ended;

static int nest(void *arg)
{
	intptr_t depth = (intptr_t)arg;
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	if (depth == 0) {
		r = coop_sleep(COOP_NEVER);
		deepest_ended = ms();
		return r;
	}
	coop_group_open(&g, NULL);
	r = coop_spawn(&g, nest, (void *)(depth - 1));
	return coop_group_join(&g, r);
}

static int deep(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	begin();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, nest, (void *)(intptr_t)TEST_COUNT(1000, 100)), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	coop_group_cancel(&g, "deep");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(deepest_ended, ==, 5);
	PROVES(B88);
	return 0;
}

TEST(cancel_reaches_a_thousand_levels_at_once)
{
	CHECK_INT(run(deep), ==, 0);
}

static int cancels_it(void *arg)
{
	coop_scope_cancel(arg, "from beside");
	return 0;
}

static int scopes_in_the_dump(void)
{
	int n = 0;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	CHECK_INT(coop_dump(out, 0), ==, 0);
	fclose(out);
	for (const char *at = text; (at = strstr(at, "scope")); at++)
		n++;
	free(text);
	return n;
}

static int looks_and_opens(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope first = COOP_SCOPE_INIT, second = COOP_SCOPE_INIT;
	struct coop_scope third = COOP_SCOPE_INIT;
	int none = scopes_in_the_dump();

	(void)arg;
	coop_group_open(&g, NULL);
	coop_scope_open(&first, NULL);
	coop_scope_open(&second, NULL);
	CHECK_INT(scopes_in_the_dump(), ==, none + 2);
	CHECK_INT(coop_scope_close(&second, 0), ==, 0);
	CHECK_INT(scopes_in_the_dump(), ==, none + 1);
	coop_scope_open(&third, NULL);
	CHECK_INT(coop_spawn(&g, cancels_it, &first), ==, 0);
	CHECK_INT(coop_sleep(COOP_NEVER), ==, COOP_ECANCELED);
	CHECK_INT(scopes_in_the_dump(), ==, none + 2);
	CHECK_INT(coop_scope_close(&third, COOP_ECANCELED), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&first, COOP_ECANCELED), ==, 0);
	CHECK_INT(scopes_in_the_dump(), ==, none);
	CHECK_INT(coop_checkpoint(), ==, 0);
	PROVES(B88);
	return coop_group_join(&g, 0);
}

/*
 * What is open is known after any looking, opening and closing, and a cancel reaches the
 * innermost one: those that were looked at are closed in between, and others are opened elsewhere.
 */
TEST(cancel_reaches_what_was_opened_after_a_look)
{
	CHECK_INT(run(looks_and_opens), ==, 0);
}

/* 10^6 nested scopes are cancelled without recursion; they live in the heap. */
static int many_scopes(void *arg)
{
	int n = TEST_COUNT(1000000, 10000);
	struct coop_scope *s = malloc((size_t)n * sizeof *s);
	int r = 0;

	(void)arg;
	for (int i = 0; i < n; i++) {
		s[i] = (struct coop_scope)COOP_SCOPE_INIT;
		coop_scope_open(&s[i], NULL);
	}
	coop_scope_cancel(&s[0], "all");
	r = coop_checkpoint();
	CHECK_INT(r, ==, COOP_ECANCELED);
	for (int i = n; i-- > 0;)
		r = coop_scope_close(&s[i], r);
	CHECK_INT(r, ==, 0);
	free(s);
	return 0;
}

TEST(rel_B11_a_million_nested_scopes)
{
	CHECK_INT(run(many_scopes), ==, 0);
}

/* A hard shield hides cancels from outside, not its own; lowered, it lets them in at once. */
static struct coop_scope *shielded;

static int lowers_shield(void *arg)
{
	int r = coop_sleep(MS(20));

	(void)arg;
	if (r >= 0)
		r = coop_scope_set_shield(shielded, false);
	return r;
}

static int shields(void *arg)
{
	struct coop_scope outer = COOP_SCOPE_INIT, s = COOP_SCOPE_INIT;
	struct coop_scope_opts shield = { .shield = true };
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	begin();
	shielded = &s;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, lowers_shield, NULL), ==, 0);
	coop_scope_open(&outer, NULL);
	coop_scope_cancel(&outer, "out");
	coop_scope_open(&s, &shield);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	PROVES(B185);
	CHECK_INT(coop_shield_depth(), ==, 1);
	PROVES(B199);
	r = coop_sleep(MS(100));
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(ms(), ==, 20);
	PROVES(B187);
	r = coop_scope_close(&s, r);
	CHECK_INT(coop_scope_close(&outer, r), ==, 0);
	return coop_group_join(&g, 0);
}

TEST(hard_shield)
{
	CHECK_INT(run(shields), ==, 0);
}

/* Soft shields share the canceller's grace: the second one has what the first has left. */
static int64_t first_end, second_end;

static int sleep_for_ever(void *arg)
{
	(void)arg;
	return coop_sleep(COOP_NEVER);
}

static int two_soft_blocks(void *arg)
{
	int r = coop_sleep(COOP_NEVER);

	(void)arg;
	CHECK_INT(coop_shield_grace(MS(30), sleep_for_ever, NULL), ==, COOP_ECANCELED);
	first_end = ms();
	CHECK_INT(coop_shield_grace(MS(90), sleep_for_ever, NULL), ==, COOP_ECANCELED);
	second_end = ms();
	return r;
}

static int grace(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	begin();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, two_soft_blocks, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(10)), ==, 0);
	coop_group_cancel_grace(&g, "with grace", MS(50));
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(first_end, ==, 40);
	CHECK_INT(second_end, ==, 60);
	PROVES(B196);
	return 0;
}

TEST(soft_shields_share_the_grace)
{
	CHECK_INT(run(grace), ==, 0);
}

/* Deadlines: exact, moved, past, equal; a timeout is an error only of its own scope. */
static int deadlines(void *arg)
{
	struct coop_scope outer = COOP_SCOPE_INIT, s = COOP_SCOPE_INIT, past = COOP_SCOPE_INIT;
	struct coop_scope_opts opts = { .timeout_ns = MS(50) }, bad = { .timeout_ns = -1 };
	int r;

	(void)arg;
	begin();
	coop_scope_open(&outer, &opts);
	coop_scope_open(&s, &opts);
	CHECK_INT(coop_effective_deadline(), ==, start_ns + MS(50));
	r = coop_sleep(COOP_NEVER);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(ms(), ==, 50);
	PROVES(B200);
	CHECK_INT(coop_effective_deadline(), ==, INT64_MIN);
	PROVES(B193);
	r = coop_scope_close(&s, r);
	r = coop_scope_close(&outer, r);
	CHECK(!coop_scope_caught(&s) && coop_scope_caught(&outer));
	CHECK(coop_scope_cancel_called(&s));
	PROVES(B208);
	CHECK_INT(r, ==, 0);
	coop_scope_open(&past, &(struct coop_scope_opts){ .deadline_ns = coop_now() - 1 });
	r = coop_checkpoint();
	CHECK_INT(coop_scope_close(&past, r), ==, 0);
	CHECK(coop_scope_caught(&past));
	PROVES(B201);
	s = (struct coop_scope)COOP_SCOPE_INIT;
	CHECK_INT(coop_scope_open(&s, &bad), ==, -EINVAL);
	PROVES(B202);
	return 0;
}

TEST(deadlines_are_exact)
{
	CHECK_INT(run(deadlines), ==, 0);
}

static int moved(void *arg)
{
	struct coop_scope_opts opts = { .timeout_ns = MS(50) };
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	(void)arg;
	begin();
	coop_scope_open(&s, &opts);
	CHECK_INT(coop_scope_set_deadline(&s, start_ns + MS(80)), ==, 0);
	CHECK_INT(coop_sleep(MS(60)), ==, 0);
	CHECK_INT(coop_scope_set_deadline(&s, start_ns + MS(70)), ==, 0);
	r = coop_sleep(MS(60));
	CHECK_INT(ms(), ==, 70);
	PROVES(B205);
	CHECK_INT(coop_scope_set_deadline(&s, COOP_NEVER), ==, -EALREADY);
	PROVES(B206);
	return coop_scope_close(&s, r);
}

TEST(deadline_moves)
{
	CHECK_INT(run(moved), ==, 0);
}

static int sleeps_100(void *arg)
{
	(void)arg;
	return coop_sleep(MS(100));
}

static int fail_after(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	(void)arg;
	CHECK_INT(coop_fail_after(MS(10), sleeps_100, NULL), ==, COOP_ETIMEDOUT);
	CHECK(!coop_is_cancel(COOP_ETIMEDOUT) && coop_is_timeout(COOP_ETIMEDOUT));
	PROVES(B70);
	coop_error_clear();
	CHECK_INT(coop_move_on_after(MS(10), sleeps_100, NULL), ==, 0);
	CHECK_INT(coop_fail_after(MS(200), sleeps_100, NULL), ==, 0);
	coop_scope_open(&s, &(struct coop_scope_opts){ .timeout_ns = MS(50),
							 .fail_on_timeout = true });
	coop_scope_cancel(&s, "not the deadline");
	r = coop_checkpoint();
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	PROVES(B211);
	return 0;
}

TEST(fail_after_only_for_its_own_deadline)
{
	CHECK_INT(run(fail_after), ==, 0);
}

/* A cancelled sibling knows who failed, and where. */
static struct coop_cancel_info sibling_reason;

static int asks_why(void *arg)
{
	int r = coop_sleep(COOP_NEVER);

	(void)arg;
	CHECK(coop_cancel_reason(&sibling_reason));
	return r;
}

static int failing(void *arg)
{
	(void)arg;
	return coop_fail(-EIO, "broken");
}

static int reasons(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, asks_why, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, failing, NULL), ==, 0);
	r = coop_group_join(&g, 0);
	CHECK_INT(r, ==, -EIO);
	CHECK_INT(sibling_reason.source, ==, COOP_CANCEL_FAILURE);
	CHECK_INT(sibling_reason.code, ==, -EIO);
	CHECK_STR(sibling_reason.text, "child \"failing\" failed");
	CHECK_STR(sibling_reason.who, "main/failing");
	PROVES(B103);
	PROVES(B104);
	return 0;
}

TEST(reason_names_the_failing_child)
{
	CHECK_INT(run(reasons), ==, 0);
}

/* Clean-ups run last in, first out, all of them, shielded; failures become leaves. */
static char order[8];

static int cleans(void *arg)
{
	size_t n = strlen(order);

	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	order[n] = *(char *)arg;
	return *(char *)arg == 'b' ? coop_fail(-EIO, "clean-up") : 0;
}

static int defers(void *arg)
{
	static char names[] = "abc";
	struct coop_defer d[3] = { COOP_DEFER_INIT, COOP_DEFER_INIT, COOP_DEFER_INIT };
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_defer late = COOP_DEFER_INIT;
	int r;

	(void)arg;
	coop_scope_open(&s, NULL);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_scope_defer(&s, &d[i], cleans, &names[i]), ==, 0);
	coop_scope_cancel(&s, "clean-ups run all the same");
	r = coop_scope_close(&s, coop_checkpoint());
	CHECK_INT(r, ==, -EIO);
	CHECK_STR(order, "cba");
	PROVES(B72);
	PROVES(B73);
	CHECK_INT(coop_scope_defer(&s, &late, cleans, &names[0]), ==, COOP_ECLOSED);
	CHECK_STR(order, "cbaa");
	PROVES(B74);
	return 0;
}

TEST(deferred_clean_ups)
{
	CHECK_INT(run(defers), ==, 0);
}
