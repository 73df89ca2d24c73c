/* SPDX-License-Identifier: MIT */
/*
 * The structure itself: blocks are left in the order in which they were entered, by who entered
 * them, once. What breaks that ends the program with the places in its last words; what is merely
 * refused changes nothing. And depth costs memory of the caller's, never C stack.
 */
#include "core_help.h"

/* ---- what must die */

/* Said by a function that is about to break the rules: the lines of the two places. */
#define PLACES(one, other) fprintf(stderr, "places %d %d\n", (one), (other))

/* Runs `fn` in a process of its own, which must die of it; both places are in its last words. */
static void dies(coop_fn *fn, const char *what)
{
	static char words[4096];
	int one = 0, other = 0;
	const char *said;

	last_words(fn, words, sizeof words);
	said = strstr(words, "coop: ");
	if (!said || sscanf(words, "places %d %d", &one, &other) != 2)
		FAIL("no last words: %s", words);
	CHECK_HAS(said, what);
	CHECK_HAS(said, place(__FILE__, one));
	CHECK_HAS(said, place(__FILE__, other));
}

static int closes_the_outer_scope(void *arg)
{
	struct coop_scope outer = COOP_SCOPE_INIT, inner = COOP_SCOPE_INIT;

	(void)arg;
	PLACES(__LINE__ + 1, __LINE__ + 2);
	coop_scope_open(&outer, NULL);
	coop_scope_open(&inner, NULL);
	return coop_scope_close(&outer, 0);
}

static int joins_around_a_scope(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;

	(void)arg;
	PLACES(__LINE__ + 1, __LINE__ + 2);
	coop_group_open(&g, NULL);
	coop_scope_open(&s, NULL);
	return coop_group_join(&g, 0);
}

static int closes_around_a_group(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	PLACES(__LINE__ + 1, __LINE__ + 2);
	coop_scope_open(&s, NULL);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(5)), ==, 0);
	return coop_scope_close(&s, 0);
}

static int joins_the_outer_group(void *arg)
{
	struct coop_group outer = COOP_GROUP_INIT, inner = COOP_GROUP_INIT;

	(void)arg;
	PLACES(__LINE__ + 1, __LINE__ + 3);
	coop_group_open(&outer, NULL);
	CHECK_INT(coop_spawn(&outer, sleep_ms, MSARG(5)), ==, 0);
	coop_group_open(&inner, NULL);
	return coop_group_join(&outer, -EIO);
}

static int closes_two_out(void *arg)
{
	struct coop_scope a = COOP_SCOPE_INIT, b = COOP_SCOPE_INIT, c = COOP_SCOPE_INIT;

	(void)arg;
	PLACES(__LINE__ + 1, __LINE__ + 3);
	coop_scope_open(&a, NULL);
	coop_scope_open(&b, NULL);
	coop_scope_open(&c, NULL);
	coop_scope_cancel(&a, NULL);
	return coop_scope_close(&a, coop_checkpoint());
}

/* Leaving an outer block while an inner one is open ends the program, naming both places. */
TEST(left_in_the_wrong_order)
{
	dies(closes_the_outer_scope, "still open");
	dies(joins_around_a_scope, "still open");
	dies(closes_around_a_group, "still open");
	dies(joins_the_outer_group, "still open");
	dies(closes_two_out, "still open");
	PROVES(B26);
}

/* ---- frames that are gone */

static int opened_line;

__attribute__((noinline)) static void leaves_scope_open(void)
{
	struct coop_scope s = COOP_SCOPE_INIT;

	opened_line = __LINE__ + 1;
	coop_scope_open(&s, NULL);
	__asm__ volatile("" : : "r"(&s) : "memory");
}

__attribute__((noinline)) static void leaves_group_open(void)
{
	struct coop_group g = COOP_GROUP_INIT;

	opened_line = __LINE__ + 1;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	__asm__ volatile("" : : "r"(&g) : "memory");
}

static int then_opens_scope(void)
{
	struct coop_scope s = COOP_SCOPE_INIT;

	coop_scope_open(&s, NULL);
	return coop_scope_close(&s, 0);
}

static int then_opens_group(void)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	return coop_group_join(&g, 0);
}

/* Its frame covers the one that is gone, and overwrites it. */
__attribute__((noinline)) static int then_opens_farther_in(void)
{
	volatile char frame[2000];
	struct coop_scope s = COOP_SCOPE_INIT;

	for (size_t i = 0; i < sizeof frame; i++)
		frame[i] = 0x5a;
	coop_scope_open(&s, NULL);
	return coop_scope_close(&s, frame[7] == 0x5a ? 0 : -EIO);
}

static int then_sleeps(void)
{
	return coop_sleep(MS(1));
}

static int then_sleeps_until(void)
{
	return coop_sleep_until(coop_now() + 1);
}

static int then_yields(void)
{
	return coop_yield();
}

static int then_ends(void)
{
	return 0;
}

/* Which one leaves its block open, and what comes then. */
static void (*leaver)(void);
static int (*then)(void);

static int abandons(void *arg)
{
	(void)arg;
	leaver();
	PLACES(opened_line, opened_line);
	return then();
}

/* The same in a child, whose last words tell where it was spawned, too. */
static int spawned_line;

static int abandons_in_child(void *arg)
{
	(void)arg;
	leaver();
	PLACES(opened_line, spawned_line);
	return then();
}

static int spawns_abandoner(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_group_open(&g, NULL);
	spawned_line = __LINE__ + 1;
	r = coop_spawn(&g, abandons_in_child, NULL);
	return coop_group_join(&g, r);
}

/* A return past an open block is found at the next open, park, or at the end of the task. */
TEST(left_open_by_a_return)
{
	static int (*const thens[])(void) = {
		then_opens_scope, then_opens_group,  then_opens_farther_in,
		then_sleeps,      then_sleeps_until, then_yields,
		then_ends,
	};

	for (size_t i = 0; i < sizeof thens / sizeof *thens; i++) {
		then = thens[i];
		leaver = leaves_scope_open;
		dies(abandons, "left open");
		dies(spawns_abandoner, "left open");
		leaver = leaves_group_open;
		dies(abandons, "left open");
		dies(spawns_abandoner, "left open");
	}
	PROVES(B28);
}

/* A struct whose frame is gone, and a new one that covers a part of it: all that may lie apart. */
static int apart;

static int covers(void *arg)
{
	const struct coop_scope fresh = COOP_SCOPE_INIT;
	char memory[3 * sizeof fresh] __attribute__((aligned(16)));
	struct coop_scope *old = (struct coop_scope *)(memory + sizeof fresh), *new;
	int line = __LINE__ + 4;

	(void)arg;
	*old = fresh;
	coop_scope_open(old, NULL);
	PLACES(line, line);
	new = (struct coop_scope *)(memory + sizeof fresh + apart);
	memcpy(new, &fresh, sizeof fresh);
	return coop_scope_open(new, NULL);
}

TEST(left_open_and_covered_in_part)
{
	for (apart = -112; apart <= 112; apart += 8)
		dies(covers, "left open");
	PROVES(B28);
}

/* A loop that goes on past an open block of its body: found where the body begins anew. */
static int leaves_open_in_loop(void *arg)
{
	int line = __LINE__ + 6;

	(void)arg;
	for (int i = 0; i < 5; i++) {
		struct coop_scope s = COOP_SCOPE_INIT;

		coop_scope_open(&s, NULL);
		PLACES(line, line);
		if (i < 3)
			continue;
		CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	}
	return 0;
}

TEST(left_open_in_a_loop)
{
	dies(leaves_open_in_loop, "left open");
	PROVES(B28);
}

/* Or when what is around it is closed. */
static int closes_around_abandoned(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int line = __LINE__ + 3;

	(void)arg;
	coop_scope_open(&s, NULL);
	leaver();
	PLACES(line, opened_line);
	return coop_scope_close(&s, 0);
}

static int joins_around_abandoned(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int line = __LINE__ + 3;

	(void)arg;
	coop_group_open(&g, NULL);
	leaver();
	PLACES(line, opened_line);
	return coop_group_join(&g, 0);
}

TEST(left_open_and_found_by_the_outer_one)
{
	leaver = leaves_scope_open;
	dies(closes_around_abandoned, "still open");
	dies(joins_around_abandoned, "still open");
	leaver = leaves_group_open;
	dies(closes_around_abandoned, "still open");
	dies(joins_around_abandoned, "still open");
	PROVES(B26, B28);
}

/* A scope that lives on when the function that opened it has returned is nothing wrong. */
static struct coop_scope in_static = COOP_SCOPE_INIT;

__attribute__((noinline)) static void opens_for_caller(struct coop_scope *s)
{
	volatile char frame[2000];

	frame[0] = 1;
	coop_scope_open(s, NULL);
	frame[1999] = frame[0];
}

TASK_TEST(opened_by_one_function_and_closed_by_another)
{
	struct coop_scope in_frame = COOP_SCOPE_INIT, inner = COOP_SCOPE_INIT;
	struct coop_scope *in_heap = malloc(sizeof *in_heap);

	*in_heap = (struct coop_scope)COOP_SCOPE_INIT;
	opens_for_caller(&in_static);
	opens_for_caller(&in_frame);
	opens_for_caller(in_heap);
	coop_yield();
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_scope_open(&inner, NULL);
	coop_scope_cancel(&in_static, NULL);
	CHECK_INT(coop_sleep(MS(1)), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&inner, 0), ==, 0);
	CHECK_INT(coop_scope_close(in_heap, 0), ==, 0);
	CHECK_INT(coop_scope_close(&in_frame, 0), ==, 0);
	CHECK_INT(coop_scope_close(&in_static, 9), ==, 9);
	free(in_heap);
	return 0;
}

/* ---- what is refused */

struct wrong {
	struct coop_scope *scope;
	struct coop_group *group;
};

static int closes_foreign(void *arg)
{
	struct wrong *w = arg;

	CHECK_INT(coop_scope_close(w->scope, 0), ==, COOP_EWRONGTASK);
	CHECK_INT(coop_group_join(w->group, 0), ==, COOP_EWRONGTASK);
	say("refused ");
	return 0;
}

/* What another task has opened cannot be closed; it goes on as if nobody had tried. */
TASK_TEST(closed_by_another_task)
{
	struct coop_group g = COOP_GROUP_INIT, inner = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	struct wrong w = { &s, &inner };
	struct nap n = { .ms = 5 };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, closes_foreign, &w), ==, 0);
	coop_scope_open(&s, NULL);
	coop_group_open(&inner, NULL);
	CHECK_INT(coop_spawn(&inner, nap, &n), ==, 0);
	coop_yield();
	CHECK_TRAIL("refused ");
	CHECK_INT(coop_group_join(&inner, 3), ==, 3);
	CHECK_INT(n.at_ms, ==, 5);
	CHECK_INT(coop_scope_close(&s, 4), ==, 4);
	PROVES(B27);
	return coop_group_join(&g, 0);
}

/* Opened twice, closed twice, closed before it was opened: refused, and the first one counts. */
TASK_TEST(opened_and_closed_once)
{
	struct coop_group g = COOP_GROUP_INIT, unopened = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT, bare = COOP_SCOPE_INIT;

	CHECK_INT(coop_scope_close(&bare, 0), ==, COOP_ENOTOPEN);
	CHECK_INT(coop_group_join(&unopened, 0), ==, COOP_ENOTOPEN);
	CHECK_INT(coop_scope_open(&s, NULL), ==, 0);
	CHECK_INT(coop_scope_open(&s, &(struct coop_scope_opts){ .shield = true }), ==, -EALREADY);
	CHECK_INT(coop_shield_depth(), ==, 0);
	CHECK_INT(coop_group_open(&g, NULL), ==, 0);
	CHECK_INT(coop_group_open(&g, NULL), ==, -EALREADY);
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(1)), ==, 0);
	CHECK_INT(coop_group_join(&g, 2), ==, 2);
	CHECK_INT(coop_group_join(&g, 2), ==, COOP_ECLOSED);
	CHECK_INT(coop_group_open(&g, NULL), ==, -EALREADY);
	CHECK_INT(coop_group_join(&g, 0), ==, COOP_ECLOSED);
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(1)), ==, COOP_ECLOSED);
	CHECK_INT(coop_scope_close(&s, 1), ==, 1);
	CHECK_INT(coop_scope_close(&s, 1), ==, COOP_ECLOSED);
	CHECK_INT(coop_scope_open(&s, NULL), ==, -EALREADY);
	CHECK_INT(coop_scope_close(&s, -EIO), ==, COOP_ECLOSED);
	PROVES(B24, B97);
	return 0;
}

/* Memory that was not initialised as it must be is refused, not trusted. */
TASK_TEST(not_initialised)
{
	struct coop_scope s;
	struct coop_group g;

	memset(&s, 0, sizeof s);
	memset(&g, 0, sizeof g);
	CHECK_INT(coop_scope_open(&s, NULL), ==, -EINVAL);
	CHECK_INT(coop_scope_close(&s, 3), ==, -EINVAL);
	CHECK_INT(coop_group_open(&g, NULL), ==, -EINVAL);
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(1)), ==, -EINVAL);
	CHECK_INT(coop_group_join(&g, 3), ==, -EINVAL);
	return 0;
}

/* Outside of tasks nothing can be opened; the refusal sticks. */
TEST(outside_of_tasks)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;

	CHECK_INT(coop_scope_open(&s, NULL), ==, COOP_ENOTASK);
	CHECK_INT(coop_scope_close(&s, 0), ==, COOP_ENOTASK);
	CHECK_INT(coop_group_open(&g, NULL), ==, COOP_ENOTASK);
	CHECK_INT(coop_spawn(&g, sleep_ms, NULL), ==, COOP_ENOTASK);
	CHECK_INT(coop_group_join(&g, 0), ==, COOP_ENOTASK);
	CHECK_INT(coop_checkpoint(), ==, COOP_ENOTASK);
	CHECK_INT(coop_sleep(0), ==, COOP_ENOTASK);
	CHECK_INT(coop_yield(), ==, COOP_ENOTASK);
	CHECK(!coop_cancelled());
	PROVES(B25);
}

/* ---- blocks that close themselves */

static int leaves_early(void *arg)
{
	COOP_AUTO_GROUP(g, NULL);
	COOP_AUTO_SCOPE(s, NULL);
	struct coop_cancel_info *why = arg;

	CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	if (!why)
		return coop_fail(-EPROTO, "left early");
	CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	coop_group_cancel(&g, NULL);
	return coop_group_join(&g, 5);
}

/* A return past a block that closes itself cancels it and waits; the error travels on. */
TASK_TEST(blocks_that_close_themselves)
{
	struct coop_cancel_info info;
	struct coop_error_info told;
	struct coop_run_stats stats;
	struct coop_error *e;
	int r;

	keep_records(COOP_LOG_WARN);
	r = leaves_early(NULL);
	CHECK_INT(r, ==, -EPROTO);
	e = coop_error_take(r);
	coop_error_describe(e, &told);
	CHECK_INT(told.code, ==, -EPROTO);
	CHECK_STR(told.message, "left early");
	coop_error_unref(e);
	CHECK_INT(coop_run_stats(&stats), ==, 0);
	CHECK_INT(stats.tasks, ==, 1);
	CHECK_INT(now_ms(), ==, 1);
	CHECK_INT(leaves_early(&info), ==, 5);
	CHECK_INT(records_count, ==, 0);
	return 0;
}

static int asks_why(void *arg)
{
	int r = coop_sleep(COOP_NEVER);

	CHECK(coop_cancel_reason(arg));
	return r == COOP_ECANCELED ? coop_fail(-EIO, "in the clean-up") : r;
}

static int leaves_a_loop(void *arg)
{
	for (int i = 0; i < 3; i++) {
		COOP_AUTO_GROUP(g, NULL);

		CHECK_INT(coop_spawn(&g, asks_why, arg), ==, 0);
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
		if (i == 1)
			break;
	}
	return 0;
}

/* By break and by the end of the block, too; an error that nobody gets any more is logged. */
TASK_TEST(errors_of_blocks_that_close_themselves)
{
	struct coop_cancel_info why = { .source = COOP_CANCEL_NONE };

	keep_records(COOP_LOG_WARN);
	CHECK_INT(leaves_a_loop(&why), ==, 0);
	CHECK_INT(why.source, ==, COOP_CANCEL_BODY);
	CHECK_INT(records_count, ==, 2);
	CHECK_HAS(records, "test_scope.c:");
	CHECK_INT(now_ms(), ==, 2);
	CHECK_INT(coop_checkpoint(), ==, 0);
	return 0;
}

/* A cancellation from outside that passed such a block stays for the next checkpoint. */
static int passes_cancel(void *arg)
{
	COOP_AUTO_GROUP(g, NULL);
	int r;

	(void)arg;
	CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	r = coop_sleep(COOP_NEVER);
	return r;
}

TASK_TEST(cancelled_in_a_block_that_closes_itself)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&s, &(struct coop_scope_opts){ .timeout_ns = MS(3) });
	r = passes_cancel(NULL);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_checkpoint(), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	CHECK_INT(now_ms(), ==, 3);
	return 0;
}

/* ---- names */

static char *dump(void)
{
	static char text[16384];
	FILE *out = fmemopen(text, sizeof text, "w");

	CHECK_INT(coop_dump(out, 0), ==, 0);
	fclose(out);
	return text;
}

/* Names are copied, cut at 63 bytes, and gone when the block is left. */
TASK_TEST(names_of_scopes)
{
	char name[100], cut[COOP_NAME_MAX + 3];
	struct coop_scope s = COOP_SCOPE_INIT, t = COOP_SCOPE_INIT, u = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;

	memset(name, 'n', 99);
	name[99] = '\0';
	coop_scope_open(&s, &(struct coop_scope_opts){ .name = name });
	memset(name, '?', 99);
	snprintf(cut, sizeof cut, "\"%.*s\"", COOP_NAME_MAX,
		 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");
	CHECK_HAS(dump(), cut);
	coop_group_open(&g, &(struct coop_group_opts){ .name = "pages" });
	coop_scope_open(&t, &(struct coop_scope_opts){ .name = "first" });
	CHECK_HAS(dump(), "group \"pages\"");
	CHECK_HAS(dump(), "scope \"first\"");
	CHECK_INT(coop_scope_close(&t, 0), ==, 0);
	coop_scope_open(&u, &(struct coop_scope_opts){ .name = "second" });
	CHECK_HAS(dump(), "scope \"second\"");
	CHECK(!strstr(dump(), "first"));
	CHECK_INT(coop_scope_close(&u, 0), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_HAS(dump(), cut);
	return coop_scope_close(&s, 0);
}

/* More names than there is room for: some are cut, none is wrong, nothing is overwritten. */
TASK_TEST(more_names_than_there_is_room_for)
{
	enum { N = 40 };
	struct coop_scope s[N];
	char name[32];

	CHECK_INT(coop_set_name("patience"), ==, 0);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < N; i++) {
			s[i] = (struct coop_scope)COOP_SCOPE_INIT;
			snprintf(name, sizeof name, "scope number %d", i);
			coop_scope_open(&s[i], &(struct coop_scope_opts){ .name = name });
		}
		CHECK_HAS(dump(), "\"scope number 0\"");
		CHECK_HAS(dump(), "\"scope number 5\"");
		CHECK_STR(coop_name(), "patience");
		for (int i = N; i-- > 0;)
			CHECK_INT(coop_scope_close(&s[i], 0), ==, 0);
	}
	return 0;
}

/* ---- depth */

static char *stack_low, *stack_high;

static void note_stack(void)
{
	char here;
	char *at = &here;

	__asm__ volatile("" : "+r"(at));
	if (!stack_low || at < stack_low)
		stack_low = at;
	if (at > stack_high)
		stack_high = at;
}

/* 10^6 scopes within each other, made, cancelled from the outside, asked, and left. */
TASK_TEST(rel_B11_a_million_nested_scopes)
{
	size_t n = (size_t)TEST_COUNT(1000000, 20000);
	struct coop_scope *s = malloc(n * sizeof *s);
	struct coop_cancel_info info;
	size_t touched;
	int r;

	for (size_t i = 0; i < n; i++) {
		s[i] = (struct coop_scope)COOP_SCOPE_INIT;
		coop_scope_open(&s[i], NULL);
	}
	CHECK_INT(coop_scope_set_shield(&s[0], true), ==, 0);
	CHECK_INT(coop_shield_depth(), ==, 1);
	CHECK_INT(coop_scope_set_deadline(&s[1], begin_ns + MS(1)), ==, 0);
	CHECK_INT(coop_effective_deadline(), ==, begin_ns + MS(1));
	r = coop_sleep(MS(2));
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK(coop_cancel_reason(&info));
	CHECK_INT(info.depth, ==, n - 2);
	for (size_t i = n; i-- > 0;) {
		r = coop_scope_close(&s[i], r);
		CHECK_INT(r, ==, i > 1 ? COOP_ECANCELED : 0);
	}
	touched = coop_stack_high_water(coop_self());
	CHECK(touched > 0);
	CHECK_INT(touched, <=, 32 * 1024);
	free(s);
	return 0;
}

/* 10^5 groups within each other in one task, each with a child of its own at the ends. */
TASK_TEST(rel_B11_nested_groups_of_one_task)
{
	size_t n = (size_t)TEST_COUNT(100000, 5000);
	struct coop_group *g = malloc(n * sizeof *g);
	struct nap outer = { 0 }, inner = { 0 };
	int r;

	TEST_SECONDS(60);
	for (size_t i = 0; i < n; i++) {
		g[i] = (struct coop_group)COOP_GROUP_INIT;
		coop_group_open(&g[i], NULL);
	}
	CHECK_INT(coop_spawn(&g[0], nap, &outer), ==, 0);
	CHECK_INT(coop_spawn(&g[n - 1], nap, &inner), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_group_cancel(&g[0], NULL);
	r = coop_checkpoint();
	for (size_t i = n; i-- > 0;) {
		r = coop_group_join(&g[i], r);
		CHECK_INT(r, ==, i ? COOP_ECANCELED : 0);
	}
	CHECK_INT(outer.rc, ==, COOP_ECANCELED);
	CHECK_INT(inner.at_ms, ==, 1);
	CHECK_INT(coop_stack_high_water(coop_self()), <=, 32 * 1024);
	free(g);
	return 0;
}

static int64_t levels, deepest_ms;

static int nests(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int64_t left = --levels;
	int r;

	note_stack();
	if (left == 0) {
		r = coop_sleep(COOP_NEVER);
		deepest_ms = now_ms();
		return arg ? coop_fail(-EIO, "at the bottom") : r;
	}
	coop_group_open(&g, NULL);
	r = coop_spawn(&g, nests, arg);
	return coop_group_join(&g, r);
}

static int visits(const struct coop_task_info *info, void *ctx)
{
	(void)info;
	++*(int64_t *)ctx;
	return 0;
}

/* Tasks within each other, as deep as 10^4: cancelled, walked, dumped, failing at the bottom. */
static void deep_tasks(bool fail)
{
	int64_t deep = TEST_COUNT(10000, 500), seen = 0;
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_error *e;
	FILE *out = fopen("/dev/null", "w");
	int r;

	levels = deep;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, nests, fail ? &levels : NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(levels, ==, 0);
	CHECK_INT(coop_for_each_task(false, visits, &seen), ==, 0);
	CHECK_INT(seen, ==, deep + 1);
	CHECK_INT(coop_dump(out, 0), ==, 0);
	fclose(out);
	coop_group_cancel(&g, NULL);
	r = coop_group_join(&g, 0);
	CHECK_INT(r, ==, fail ? -EIO : 0);
	CHECK_INT(deepest_ms, ==, now_ms());
	e = coop_error_take(r);
	CHECK_INT(coop_error_code(coop_error_primary(e)), ==, fail ? -EIO : 0);
	coop_error_unref(e);
	CHECK_INT(coop_stack_high_water(coop_self()), <=, 32 * 1024);
}

TASK_TEST(rel_B11_nested_tasks)
{
	TEST_SECONDS(60);
	deep_tasks(false);
	deep_tasks(true);
	PROVES(B88, rel_B11);
	return 0;
}
