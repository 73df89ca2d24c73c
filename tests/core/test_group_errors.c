/* SPDX-License-Identifier: MIT */
/*
 * What a failure does and where it is found afterwards: nothing is lost, cancelled children are
 * counted and not listed, every policy, and judges that misbehave.
 */
#include "group_help.h"

/* ---- nothing is lost */

/* Children that fail at once, in clean-up, with a bare code, and the body: all of them are there,
 * in the order in which they happened. */
TASK_TEST(every_failure_is_reachable)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_error *e;
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, fails_when_cancelled, CODE(-EPIPE)), ==, 0);
	CHECK_INT(coop_spawn(&g, cleans_up, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, bare_code, CODE(-ENOENT)), ==, 0);
	CHECK_INT(coop_spawn(&g, fails_with, CODE(-EIO)), ==, 0);
	r = coop_sleep(SEC(1));
	CHECK_INT(r, ==, COOP_ECANCELED);
	r = coop_group_join(&g, coop_fail(-EBADF, "the body as well"));
	CHECK_INT(r, ==, -ENOENT);
	e = coop_error_take(r);
	CHECK_STR(leaves_of(e), "ENOENT EIO EBADF EPIPE "); /* the body was woken first */
	CHECK_INT(info_of(e).members_total, ==, 4);
	CHECK_INT(info_of(e).cancelled, ==, 1);
	CHECK(!info_of(e).truncated);
	CHECK_STR(info_of(coop_error_member(e, 1)).task, "main/fails_with");
	CHECK_STR(info_of(coop_error_member(e, 1)).message, "code -5");
	CHECK(info_of(coop_error_member(e, 3)).during_cancel);
	CHECK_TRAIL("cleaned at 3 ");
	coop_error_unref(e);
	PROVES(B43);
	return 0;
}

/* The same where the group's own deadline begins it, and fatal errors come last. */
TASK_TEST(a_fatal_error_hides_no_other)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_error *e;
	int r;

	coop_group_open(&g, &(struct coop_group_opts){ .timeout_ns = MS(5) });
	CHECK_INT(coop_spawn(&g, fails_when_cancelled, CODE(-EPIPE)), ==, 0);
	CHECK_INT(coop_spawn(&g, fails_when_cancelled, CODE(COOP_EEXIT(3))), ==, 0);
	CHECK_INT(coop_sleep(SEC(1)), ==, COOP_ECANCELED);
	CHECK_INT(coop_shield(sleep_ms, MSARG(1)), ==, 0);
	r = coop_group_join(&g, coop_fail(COOP_EINTERRUPT, "^C"));
	CHECK_INT(r, ==, COOP_EEXIT(3));
	e = coop_error_take(r);
	CHECK_STR(leaves_of(e), "COOP_ETIMEDOUT EPIPE COOP_EEXIT(3) COOP_EINTERRUPT ");
	CHECK_INT(coop_error_code(coop_error_primary(e)), ==, COOP_EEXIT(3));
	coop_error_unref(e);
	PROVES(B43, B54);
	return 0;
}

/* A fatal error in a child cancels and waits like any other: the clean-up of the rest is done. */
TASK_TEST(a_fatal_error_goes_through_its_group)
{
	static const enum coop_policy policies[] = { COOP_FAIL_FAST, COOP_COLLECT, COOP_LOG };

	for (int i = 0; i < 3; i++) {
		struct coop_group g = COOP_GROUP_INIT;

		begin_ns = coop_now();
		coop_group_open(&g, &(struct coop_group_opts){ .policy = policies[i] });
		CHECK_INT(coop_spawn(&g, cleans_up, NULL), ==, 0);
		CHECK_INT(coop_spawn(&g, fails_with, CODE(COOP_EEXIT(3))), ==, 0);
		CHECK_INT(coop_group_join(&g, 0), ==, COOP_EEXIT(3));
		CHECK_TRAIL("cleaned at 3 ");
		coop_error_clear();
	}
	PROVES(B55, B56);
	return 0;
}

/* ---- cancelled children */

/* Children that end cancelled are counted; none of them is a leaf, whoever cancelled them. */
TASK_TEST(cancelled_children_are_counted)
{
	struct coop_group g = COOP_GROUP_INIT, outer = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_handle *h;
	struct coop_error *e;
	int r;

	coop_group_open(&g, NULL);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_spawn_with(&g, sleep_for_ever, NULL, NULL, &h), ==, 0);
	CHECK_INT(coop_spawn(&g, fail_after_ms, MSARG(10)), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(coop_handle_cancel(h, "this one alone"), ==, 0);
	coop_handle_release(h);
	r = coop_group_join(&g, 0);
	CHECK_INT(r, ==, -EIO);
	e = coop_error_take(r);
	CHECK_STR(leaves_of(e), "EIO ");
	CHECK_INT(info_of(e).cancelled, ==, 4);
	CHECK(!info_of(e).cancel_pending); /* it came from the group itself */
	CHECK_INT(stats_of(&g).cancelled, ==, 4);
	CHECK_INT(stats_of(&g).failed, ==, 1);
	coop_error_unref(e);

	/* From outside: the same, and the node says that a cancellation passed. */
	coop_scope_open(&s, &(struct coop_scope_opts){ .timeout_ns = MS(5) });
	coop_group_open(&outer, NULL);
	CHECK_INT(coop_spawn(&outer, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_spawn(&outer, fails_when_cancelled, CODE(-EPIPE)), ==, 0);
	r = coop_group_join(&outer, 0);
	CHECK_INT(r, ==, -EPIPE);
	CHECK_INT(coop_checkpoint(), ==, COOP_ECANCELED); /* it is not lost */
	CHECK_STR(leaves_of(coop_error_peek(r)), "EPIPE ");
	CHECK(info_of(coop_error_peek(r)).cancel_pending);
	CHECK_INT(info_of(coop_error_peek(r)).cancelled, ==, 1);
	CHECK_INT(coop_scope_close(&s, r), ==, -EPIPE);
	CHECK(coop_scope_caught(&s));
	CHECK(!info_of(coop_error_peek(-EPIPE)).cancel_pending);
	coop_error_clear();
	PROVES(B45, B46, B47);
	return 0;
}

/* All cancelled and none failed: no error at all. */
TASK_TEST(only_cancelled_children)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_group_cancel(&g, "enough");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(stats_of(&g).cancelled, ==, 3);
	CHECK_INT(stats_of(&g).errors, ==, 0);
	PROVES(B45);
	return 0;
}

/* ---- the body */

/* The body is interrupted by a child's failure and fails itself: both, the child first. */
TASK_TEST(body_fails_while_interrupted)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_error *e;
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, fail_after_ms, MSARG(7)), ==, 0);
	r = coop_sleep(SEC(10));
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 7); /* woken at once, not in ten seconds */
	PROVES(S92);
	r = coop_group_join(&g, coop_fail(-EPROTO, "body"));
	CHECK_INT(r, ==, -EIO);
	e = coop_error_take(r);
	CHECK_STR(leaves_of(e), "EIO EPROTO ");
	CHECK(!info_of(coop_error_member(e, 0)).during_cancel);
	CHECK(info_of(coop_error_member(e, 1)).during_cancel);
	coop_error_unref(e);
	PROVES(B49, B50);
	return 0;
}

/* A body that passes its own group's cancellation on is no failure. */
TASK_TEST(body_passes_the_cancellation_on)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, fail_after_ms, MSARG(7)), ==, 0);
	r = coop_group_join(&g, coop_sleep(SEC(10)));
	CHECK_INT(r, ==, -EIO);
	CHECK_STR(leaves_of(coop_error_peek(r)), "EIO ");
	PROVES(B45);
	return 0;
}

/* ---- what comes of one failure */

static void reason_of_me(const char *name)
{
	struct coop_cancel_info info;
	char text[256];

	CHECK(coop_cancel_reason(&info));
	say("%s: %s; ", name, coop_cancel_text(&info, text, sizeof text));
}

static int tells_reason(void *arg)
{
	int r = coop_sleep(COOP_NEVER);

	CHECK_INT(r, ==, COOP_ECANCELED);
	reason_of_me(arg);
	return r;
}

static int process_result(void *arg)
{
	return fail_after_ms(arg);
}

/* One failure cancels all the others, at its time, and each of them can say whose it was. */
TASK_TEST(one_failure_cancels_the_others)
{
	struct coop_group g = COOP_GROUP_INIT;
	char expect[256];
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, tells_reason, (void *)(uintptr_t) "a"), ==, 0);
	CHECK_INT(coop_spawn(&g, process_result, MSARG(20)), ==, 0);
	CHECK_INT(coop_spawn(&g, tells_reason, (void *)(uintptr_t) "b"), ==, 0);
	r = coop_group_join(&g, 0);
	if (r < 0) /* the code alone says enough */
		CHECK_INT(r, ==, -EIO);
	CHECK_INT(r, <, 0);
	PROVES(S86);
	CHECK_INT(now_ms(), ==, 20);
	CHECK_INT(stats_of(&g).cancelled, ==, 2);
	CHECK_INT(stats_of(&g).finished, ==, 0);
	PROVES(S85, S109);
	CHECK_HAS(trail, "a: child \"process_result\" failed");
	snprintf(expect, sizeof expect, "b: child \"process_result\" failed");
	CHECK_HAS(trail, expect);
	PROVES(S45, B103);
	return 0;
}

/* The message of a group's error: with its name, how many, and where it was opened. */
TASK_TEST(message_of_a_group)
{
	struct coop_group one = COOP_GROUP_INIT, two = COOP_GROUP_INIT;
	struct coop_error_info info;
	struct coop_error *e;
	int line;

	line = __LINE__ + 1;
	coop_group_open(&one, &(struct coop_group_opts){ .name = "pages" });
	CHECK_INT(coop_spawn(&one, fails_with, CODE(-EIO)), ==, 0);
	e = coop_error_take(coop_group_join(&one, 0));
	info = info_of(e);
	CHECK_STR(info.message, "unhandled errors in group \"pages\" (1 sub-error)");
	CHECK_STR(info.name, "pages");
	CHECK_INT(info.line, ==, line);
	CHECK_HAS(info.file, "test_group_errors.c");
	coop_error_unref(e);
	coop_group_open(&two, NULL);
	CHECK_INT(coop_spawn(&two, fails_with, CODE(-EIO)), ==, 0);
	CHECK_INT(coop_spawn(&two, fails_with, CODE(-EIO)), ==, 0);
	e = coop_error_take(coop_group_join(&two, 0));
	CHECK_STR(info_of(e).message, "unhandled errors in a group (2 sub-errors)");
	coop_error_unref(e);
	PROVES(S96, B67);
	return 0;
}

/* ---- policies */

/* Collecting: nobody is cancelled, by whatever failure but the body's. */
TASK_TEST(collecting)
{
	struct coop_group g = COOP_GROUP_INIT, h = COOP_GROUP_INIT;
	struct coop_group_opts collect = { .policy = COOP_COLLECT };
	int r;

	coop_group_open(&g, &collect);
	CHECK_INT(coop_spawn(&g, fails_with, CODE(-EIO)), ==, 0);
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(10)), ==, 0);
	CHECK_INT(coop_spawn(&g, fail_after_ms, MSARG(5)), ==, 0);
	CHECK_INT(coop_sleep(MS(8)), ==, 0); /* the body is not interrupted either */
	r = coop_group_join(&g, 0);
	CHECK_INT(r, ==, -EIO);
	CHECK_INT(now_ms(), ==, 10);
	CHECK_STR(leaves_of(coop_error_peek(r)), "EIO EIO ");
	CHECK_INT(stats_of(&g).finished, ==, 1);
	coop_group_open(&h, &collect);
	CHECK_INT(coop_spawn(&h, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_group_join(&h, coop_fail(-EPROTO, "body")), ==, -EPROTO);
	CHECK_INT(stats_of(&h).cancelled, ==, 1);
	coop_error_clear();
	PROVES(B57);
	return 0;
}

/* Logging: a line with code, message, task and place; not part of the result, which is 0. */
TASK_TEST(logging)
{
	struct coop_group g = COOP_GROUP_INIT;
	char opened[64];

	keep_records(COOP_LOG_WARN);
	snprintf(opened, sizeof opened, "test_group_errors.c:%d", __LINE__ + 1);
	coop_group_open(&g, &(struct coop_group_opts){ .policy = COOP_LOG, .name = "jobs" });
	CHECK_INT(coop_spawn(&g, fails_with, CODE(-EIO)), ==, 0);
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(10)), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(records_count, ==, 1); /* said when it happened */
	CHECK_HAS(records, "main/jobs/fails_with");
	CHECK_HAS(records, "EIO");
	CHECK_HAS(records, "\"code -5\"");
	CHECK_HAS(records, opened);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 10);
	CHECK_INT(stats_of(&g).failed, ==, 1);
	CHECK_INT(stats_of(&g).logged, ==, 1);
	CHECK_INT(stats_of(&g).errors, ==, 0);
	CHECK_INT(stats_of(&g).finished, ==, 1);
	CHECK_INT(records_count, ==, 1);
	PROVES(B58);
	return 0;
}

/* ---- judges */

struct judgement {
	int asked;
	int verdict;  /* for all, unless `by_code` */
	bool by_code; /* EIO is fatal, EPIPE kept, all others logged */
	int64_t at_ms;
	char seen[256];
};

static enum coop_verdict judge(const struct coop_error *error, void *ctx)
{
	struct judgement *j = ctx;
	int code = coop_error_code(error);

	j->asked++;
	j->at_ms = now_ms();
	snprintf(j->seen, sizeof j->seen, "%s in %s", info_of(error).message, info_of(error).task);
	if (!j->by_code)
		return (enum coop_verdict)j->verdict;
	return code == -EIO     ? COOP_VERDICT_FATAL
	       : code == -EPIPE ? COOP_VERDICT_KEEP
				: COOP_VERDICT_LOG;
}

#define JUDGED(j) \
	&(struct coop_group_opts) \
	{ \
		.policy = COOP_JUDGE, .judge = judge, .judge_ctx = (j), .name = "court" \
	}

/* The judge is asked at once about each failure, and what it says is done. */
TASK_TEST(judged_one_by_one)
{
	struct judgement j = { .by_code = true };
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	keep_records(COOP_LOG_WARN);
	coop_group_open(&g, JUDGED(&j));
	CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, fails_with, CODE(-ENOENT)), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(j.asked, ==, 1);
	CHECK_INT(j.at_ms, ==, 0);
	CHECK_STR(j.seen, "code -2 in main/court/fails_with");
	CHECK_INT(records_count, ==, 1);
	CHECK_INT(coop_spawn(&g, fails_with, CODE(-EPIPE)), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(records_count, ==, 1); /* kept, and nobody is cancelled */
	CHECK_INT(stats_of(&g).running, ==, 1);
	CHECK_INT(stats_of(&g).errors, ==, 1);
	CHECK_INT(coop_spawn(&g, fail_after_ms, MSARG(5)), ==, 0);
	r = coop_sleep(SEC(1));
	CHECK_INT(r, ==, COOP_ECANCELED); /* fatal */
	CHECK_INT(now_ms(), ==, 15);
	r = coop_group_join(&g, r);
	CHECK_INT(r, ==, -EPIPE);
	CHECK_STR(leaves_of(coop_error_peek(r)), "EPIPE EIO ");
	CHECK_INT(j.asked, ==, 3);
	CHECK_INT(stats_of(&g).failed, ==, 3);
	CHECK_INT(stats_of(&g).logged, ==, 1);
	CHECK_INT(stats_of(&g).cancelled, ==, 1);
	PROVES(B59, S2);
	return 0;
}

/* Nobody is asked about the fatal class, a cancelled child, or the body. */
TASK_TEST(what_is_not_judged)
{
	struct judgement j = { .verdict = COOP_VERDICT_LOG };
	struct coop_group g = COOP_GROUP_INIT, h = COOP_GROUP_INIT;

	coop_group_open(&g, JUDGED(&j));
	CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, fails_with, CODE(COOP_EEXIT(2))), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, COOP_EEXIT(2));
	coop_group_open(&h, JUDGED(&j));
	CHECK_INT(coop_spawn(&h, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_group_join(&h, coop_fail(-EPROTO, "body")), ==, -EPROTO);
	CHECK_INT(j.asked, ==, 0);
	coop_error_clear();
	PROVES(B56, B59);
	return 0;
}

/* A judge that answers nonsense, a negative number for one, has failed: an internal error. */
TASK_TEST(a_judge_that_fails)
{
	static const int nonsense[] = { -1, 3, -EIO, 1000 };
	struct coop_error_info info;

	for (int i = 0; i < 4; i++) {
		struct judgement j = { .verdict = nonsense[i] };
		struct coop_group g = COOP_GROUP_INIT;
		struct coop_error *e;
		char said[64];
		int r;

		coop_group_open(&g, JUDGED(&j));
		CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
		CHECK_INT(coop_spawn(&g, fails_with, CODE(-ENOENT)), ==, 0);
		CHECK_INT(coop_spawn(&g, fails_with, CODE(-EPIPE)), ==, 0);
		r = coop_group_join(&g, 0);
		CHECK_INT(r, ==, COOP_EINTERNAL);
		CHECK(coop_is_fatal(r));
		e = coop_error_take(r);
		info = info_of(coop_error_member(e, 0));
		snprintf(said, sizeof said, "said %d, which is no verdict", nonsense[i]);
		CHECK_HAS(info.message, said);
		CHECK_INT(coop_error_code(info.cause), ==, -ENOENT); /* what it was asked about */
		CHECK(coop_error_is(e, -EPIPE));
		CHECK_INT(info_of(e).cancelled, ==, 1);
		CHECK_INT(stats_of(&g).logged, ==, 0);
		coop_error_unref(e);
	}
	PROVES(B60);
	return 0;
}

static enum coop_verdict judge_yields(const struct coop_error *error, void *ctx)
{
	(void)error;
	(void)ctx;
	coop_yield();
	return COOP_VERDICT_LOG;
}

static enum coop_verdict judge_leaves_an_error(const struct coop_error *error, void *ctx)
{
	(void)error;
	(void)ctx;
	CHECK_INT(coop_fail(-EPERM, "left in the slot"), ==, -EPERM);
	return COOP_VERDICT_KEEP;
}

/* One that lets others run has failed as well; an error that it made for itself harms nobody. */
TASK_TEST(a_judge_that_yields)
{
	struct coop_group_opts opts = { .policy = COOP_JUDGE, .judge = judge_yields };
	struct coop_group g = COOP_GROUP_INIT, h = COOP_GROUP_INIT;
	int r;

	coop_group_open(&g, &opts);
	CHECK_INT(coop_spawn(&g, fails_with, CODE(-ENOENT)), ==, 0);
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(1)), ==, 0);
	r = coop_group_join(&g, 0);
	CHECK_INT(r, ==, COOP_EINTERNAL);
	CHECK_HAS(info_of(coop_error_primary(coop_error_peek(r))).message, "let other tasks run");
	PROVES(B60);
	opts.judge = judge_leaves_an_error;
	coop_group_open(&h, &opts);
	CHECK_INT(coop_spawn(&h, fails_with, CODE(-ENOENT)), ==, 0);
	r = coop_group_join(&h, 0);
	CHECK_INT(r, ==, -ENOENT);
	CHECK_STR(leaves_of(coop_error_peek(r)), "ENOENT ");
	return 0;
}

static enum coop_verdict judge_sleeps(const struct coop_error *error, void *ctx)
{
	(void)error;
	(void)ctx;
	return coop_sleep(MS(1)) < 0 ? COOP_VERDICT_FATAL : COOP_VERDICT_LOG;
}

static int sleeping_judge(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, &(struct coop_group_opts){
				    .policy = COOP_JUDGE, .judge = judge_sleeps, .name = "court" });
	CHECK_INT(coop_spawn(&g, fails_with, CODE(-ENOENT)), ==, 0);
	return coop_group_join(&g, 0);
}

/* A judge that would wait ends the program, which is told of what and where. */
TEST(a_judge_that_would_wait)
{
	static char words[4096];

	last_words(sleeping_judge, words, sizeof words);
	CHECK_HAS(words, "main/court/fails_with: the judge of its group");
	CHECK_HAS(words, "would wait, in coop_sleep");
	PROVES(B59, B60);
}
