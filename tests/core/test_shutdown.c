/* SPDX-License-Identifier: MIT */
/*
 * How a run ends: by its main task, by coop_stop, by a failure where that is asked for. Who is
 * cancelled when, what the log says of it, who is named, and what the run returns of it all.
 */
#include "core_help.h"

#include "core/core.h"

#include <pthread.h>

static const struct coop_spawn_opts protect = { .shutdown_wait = true };
static const struct coop_spawn_opts service = { .service = true };

/* Sleeps, says its name and when that ended, and whether it was cancelled. */
struct sleeper {
	const char *name;
	int64_t ms; /* 0: for ever */
	int rc;     /* returned in place of a cancellation */
};

static int sleeper(void *arg)
{
	struct sleeper *s = arg;
	int r = coop_sleep(s->ms ? MS(s->ms) : COOP_NEVER);

	say("%s%s@%d ", s->name, r < 0 ? "!" : "", (int)now_ms());
	return r == COOP_ECANCELED && s->rc ? s->rc : r;
}

static int soft_sleeper(void *arg)
{
	return coop_shield_grace(COOP_NEVER, sleeper, arg);
}

static int hard_sleeper(void *arg)
{
	return coop_shield_at(sleeper, arg, "app.c\00020");
}

static int stops(void *arg)
{
	int r = coop_sleep(MS((intptr_t)arg));

	return r < 0 ? r : coop_stop("enough");
}

/* Runs fn with `opts` on the virtual clock. */
static int run_with(coop_fn *fn, struct coop_run_opts opts)
{
	opts.clock = COOP_CLOCK_VIRTUAL;
	return coop_run(fn, NULL, &opts);
}

/* ---- the phases */

static int callback(void *arg)
{
	(void)arg;
	say("callback@%d ", (int)now_ms());
	return 0;
}

static struct sleeper plain = { .name = "plain" }, kept = { .name = "kept", .ms = 2500 };
static struct sleeper soft = { .name = "soft", .ms = 2000 }, serves = { .name = "service" };
static struct sleeper hard = { .name = "hard", .ms = 20000 };

static int in_phases(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	begin_ns = coop_now();
	CHECK_INT(coop_on_shutdown(callback, NULL), ==, 0);
	CHECK_INT(coop_spawn_with(coop_run_group(), sleeper, &serves, &service, NULL), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sleeper, &plain), ==, 0);
	CHECK_INT(coop_spawn_with(&g, sleeper, &kept, &protect, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, soft_sleeper, &soft), ==, 0);
	CHECK_INT(coop_spawn(&g, stops, MSARG(1000)), ==, 0);
	return coop_group_join(&g, 0);
}

/*
 * First the callbacks, then who is not protected, then the wait for who is, then services, then
 * the end; each is a line in the log with a count, and the first one a warning.
 */
TEST(a_shutdown_goes_in_phases)
{
	keep_records(COOP_LOG_INFO);
	CHECK_INT(run_with(in_phases, (struct coop_run_opts){ .name = "app" }), ==, 0);
	CHECK_TRAIL("callback@1000 plain!@1000 soft@2000 kept@2500 service!@2500 ");
	CHECK_STR(records, "shutdown: enough (6 tasks alive)\n"
			   "shutdown: waiting for what is left (1 tasks alive)\n"
			   "shutdown: ending services (1 tasks alive)\n"
			   "shutdown: complete (0 tasks alive)\n");
	keep_records(COOP_LOG_WARN);
	CHECK_INT(run_with(in_phases, (struct coop_run_opts){ .name = "app" }), ==, 0);
	CHECK_STR(records, "shutdown: enough (6 tasks alive)\n");
	PROVES(B301, B302, S59, S63, S73);
}

static int looks_at_phases(void *arg)
{
	(void)arg;
	CHECK_INT(coop_shutdown_phase(), ==, COOP_SHUTDOWN_NONE);
	CHECK_INT(coop_stop(NULL), ==, 0);
	CHECK_INT(coop_shutdown_phase(), ==, COOP_SHUTDOWN_SOFT);
	CHECK_INT(coop_stop("again"), ==, 1);
	CHECK_INT(coop_shield(sleep_ms, MSARG(9999)), ==, 0);
	CHECK_INT(coop_shutdown_phase(), ==, COOP_SHUTDOWN_SOFT);
	CHECK_INT(coop_shield(sleep_ms, MSARG(2)), ==, 0);
	CHECK_INT(coop_shutdown_phase(), ==, COOP_SHUTDOWN_HARD);
	CHECK_INT(coop_stop("again"), ==, 1);
	CHECK_INT(coop_checkpoint(), ==, COOP_ECANCELED);
	return 3;
}

/* Stopping twice is stopping once; the phase is there to be asked for; what main returns counts. */
TEST(the_phase_of_a_shutdown)
{
	keep_records(COOP_LOG_ERROR);
	CHECK_INT(coop_stop("nobody"), ==, COOP_ENOTASK);
	CHECK_INT(coop_shutdown_phase(), ==, COOP_SHUTDOWN_NONE);
	CHECK_INT(run_with(looks_at_phases, (struct coop_run_opts){ .name = "app" }), ==, 3);
	CHECK_INT(coop_shutdown_phase(), ==, COOP_SHUTDOWN_NONE);
	PROVES(B301);
}

static int looks_at_reason(void *arg)
{
	struct coop_cancel_info info;

	(void)arg;
	CHECK_INT(coop_stop("enough"), ==, 0);
	CHECK_INT(coop_sleep(COOP_NEVER), ==, COOP_ECANCELED);
	CHECK(coop_cancel_reason(&info));
	CHECK_INT(info.source, ==, COOP_CANCEL_SHUTDOWN);
	CHECK_STR(info.text, "enough");
	CHECK_STR(info.who, "main");
	return COOP_ECANCELED;
}

/* A run that was stopped in order has not failed. */
TEST(being_stopped_is_no_failure)
{
	keep_records(COOP_LOG_ERROR);
	CHECK_INT(run_with(looks_at_reason, (struct coop_run_opts){ .name = NULL }), ==, 0);
	CHECK_STR(records, "");
}

/* ---- who refuses */

static int refuses(void *arg)
{
	struct coop_group_opts jobs = { .name = "jobs" };
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	begin_ns = coop_now();
	coop_group_open_at(&g, &jobs, "app.c\00010");
	CHECK_INT(coop_spawn_at(&g, sleeper, &plain, "plain\0app.c\00011"), ==, 0);
	CHECK_INT(coop_spawn_at(&g, hard_sleeper, &hard, "hard\0app.c\00012"), ==, 0);
	CHECK_INT(coop_spawn_with_at(&g, sleeper, &hard, &protect, NULL, "kept\0app.c\00013"), ==,
		  0);
	CHECK_INT(coop_spawn_at(&g, stops, MSARG(1000), "stops\0app.c\00014"), ==, 0);
	return coop_group_join(&g, 0);
}

/*
 * When the grace is over those who are left are named, with what they wait for, since when they
 * were told, and the blocks that they are in. Who was only protected, or is just on the way
 * out, is not among them.
 */
TEST(refusers_are_named)
{
	keep_records(COOP_LOG_INFO);
	CHECK_INT(run_with(refuses, (struct coop_run_opts){ .grace_ns = SEC(5) }), ==, 0);
	CHECK_TRAIL("plain!@1000 hard!@6000 hard@20000 ");
	CHECK_STR(records,
		  "shutdown: enough (5 tasks alive)\n"
		  "shutdown: the grace is over (2 tasks alive)\n"
		  "shutdown: main is still alive 5.0s after it was told to stop, blocked in "
		  "coop_group_join on its children (spawned at coop_run:0)\n"
		  "shutdown:   in the group jobs opened at app.c:10\n"
		  "shutdown: main/jobs/hard is still alive 5.0s after it was told to stop, blocked "
		  "in coop_sleep 20.000s (spawned at app.c:12)\n"
		  "shutdown:   in the scope opened at app.c:20, shielded\n"
		  "shutdown: waiting for what is left (0 tasks alive)\n"
		  "shutdown: complete (0 tasks alive)\n");
	PROVES(B303, S63);
}

static int unwinds_slowly(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_group h = COOP_GROUP_INIT;
	int r;

	if ((intptr_t)arg == 0)
		return coop_sleep(COOP_NEVER);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, unwinds_slowly, MSARG((intptr_t)arg - 1)), ==, 0);
	r = coop_group_join(&g, 0);
	coop_group_open(&h, NULL);
	return coop_group_join(&h, r);
}

static int stops_without_grace(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, unwinds_slowly, MSARG(5)), ==, 0);
	CHECK_INT(coop_spawn(&g, stops, MSARG(1)), ==, 0);
	return coop_group_join(&g, 0);
}

/* Who stops at once is no refuser, however deep it is, also where there is no grace at all. */
TEST(nobody_refuses)
{
	keep_records(COOP_LOG_WARN);
	CHECK_INT(run_with(stops_without_grace,
			   (struct coop_run_opts){ .grace_ns = COOP_NO_GRACE }),
		  ==, 0);
	CHECK_STR(records, "shutdown: enough (8 tasks alive)\n");
	PROVES(B303);
}

/* ---- who is protected */

static struct coop_handle *work;

static int does_work(void *arg)
{
	int r = coop_sleep(SEC(1));

	(void)arg;
	return r < 0 ? r : 42;
}

static int waits_for_work(void *arg)
{
	int value = 0, r = coop_handle_wait(work, &value);

	say("%s %s %d@%d ", (const char *)arg, r < 0 ? "cancelled" : "got", value, (int)now_ms());
	return r;
}

static int protects_work(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int value = 0;

	(void)arg;
	begin_ns = coop_now();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, does_work, NULL, &protect, &work), ==, 0);
	CHECK_INT(coop_spawn(&g, waits_for_work, (void *)"plain"), ==, 0);
	CHECK_INT(coop_spawn_with(&g, waits_for_work, (void *)"kept", &protect, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, stops, MSARG(500)), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, COOP_ECANCELED);
	CHECK_INT(coop_handle_result(work, &value), ==, 0);
	CHECK_INT(value, ==, 42); /* kept, for whoever asks */
	coop_handle_release(work);
	return COOP_ECANCELED;
}

/* Protected work goes on; who waits for it may be cancelled: the result is in the handle then. */
TEST(protected_work_and_those_who_wait_for_it)
{
	keep_records(COOP_LOG_ERROR);
	CHECK_INT(run_with(protects_work, (struct coop_run_opts){ .name = NULL }), ==, 0);
	CHECK_TRAIL("plain cancelled 0@500 kept got 42@1000 ");
	PROVES(S62, B302);
}

static int cancels_protected(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	begin_ns = coop_now();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, sleeper, &kept, &protect, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(10)), ==, 0);
	coop_group_cancel(&g, "no shutdown");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("kept!@10 ");
	return 0;
}

/* It is protected against a shutdown, and against nothing else. */
TEST(protected_from_a_shutdown_only)
{
	CHECK_INT(run_with(cancels_protected, (struct coop_run_opts){ .name = NULL }), ==, 0);
}

/* ---- late spawns */

static int born(void *arg)
{
	int r = coop_checkpoint();

	say("%s%s@%d ", (const char *)arg, r < 0 ? "!" : "", (int)now_ms());
	return r;
}

static int spawns_late(void *arg)
{
	struct coop_group_opts collect = { .policy = COOP_COLLECT };
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_group_open(&g, &collect);
	CHECK_INT(coop_sleep(SEC(2)), ==, 0); /* the shutdown has begun */
	CHECK_INT(coop_shutdown_phase(), ==, COOP_SHUTDOWN_SOFT);
	CHECK_INT(coop_spawn(&g, born, (void *)"inside"), ==, 0);
	CHECK_INT(coop_spawn(coop_run_group(), born, (void *)"outside"), ==, 0);
	CHECK_INT(coop_spawn_with(coop_run_group(), born, (void *)"kept", &protect, NULL), ==, 0);
	CHECK_INT(coop_spawn_unless_cancelled(coop_run_group(), born, (void *)"no"), ==,
		  COOP_ECANCELED);
	r = coop_sleep(COOP_NEVER);
	CHECK_INT(r, ==, COOP_ECANCELED); /* the grace is over */
	CHECK_INT(coop_shutdown_phase(), ==, COOP_SHUTDOWN_HARD);
	CHECK_INT(coop_spawn(&g, born, (void *)"inside"), ==, 0);
	CHECK_INT(coop_spawn_with(coop_run_group(), born, (void *)"kept", &protect, NULL), ==, 0);
	return coop_group_join(&g, r);
}

static int late_spawns(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	begin_ns = coop_now();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, spawns_late, NULL, &protect, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, stops, MSARG(1000)), ==, 0);
	return coop_group_join(&g, 0);
}

/*
 * In a group that is not cancelled a spawn is as ever, in one that is the task is cancelled at
 * birth; a protected one lives until the grace is over. After that all are cancelled at birth.
 */
TEST(spawns_during_a_shutdown)
{
	keep_records(COOP_LOG_ERROR);
	CHECK_INT(run_with(late_spawns, (struct coop_run_opts){ .grace_ns = SEC(5) }), ==, 0);
	CHECK_TRAIL("inside@2000 outside!@2000 kept@2000 inside!@6000 kept!@6000 ");
	PROVES(B304);
}

/* ---- the end of main */

static int leaves_behind(void *arg)
{
	struct coop_spawn_opts named = { .service = true, .name = "server" };

	(void)arg;
	begin_ns = coop_now();
	CHECK_INT(coop_spawn_with(coop_run_group(), sleeper, &serves, &named, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	return 123;
}

/* Services are cancelled without a word, and the run returns what main did. */
TEST(services_end_with_main)
{
	keep_records(COOP_LOG_WARN);
	CHECK_INT(run_with(leaves_behind, (struct coop_run_opts){ .name = NULL }), ==, 123);
	CHECK_TRAIL("service!@5 ");
	CHECK_STR(records, "");
	PROVES(B305, S54);
}

static struct sleeper fails_late = { .name = "late", .rc = -EIO };

static int leaves_tasks(void *arg)
{
	(void)arg;
	begin_ns = coop_now();
	CHECK_INT(coop_spawn_at(coop_run_group(), sleeper, &plain, "one\0app.c\0001"), ==, 0);
	CHECK_INT(coop_spawn_at(coop_run_group(), sleeper, &fails_late, "two\0app.c\0002"), ==, 0);
	CHECK_INT(coop_spawn_at(coop_run_group(), soft_sleeper, &soft, "three\0app.c\0003"), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	return 123;
}

/*
 * Tasks that main did not wait for are named, cancelled and waited for; their errors are in the log
 * and do not replace main's result.
 */
TEST(leftovers_of_main)
{
	keep_records(COOP_LOG_WARN);
	CHECK_INT(run_with(leaves_tasks, (struct coop_run_opts){ .name = NULL }), ==, 123);
	CHECK_TRAIL("plain!@5 late!@5 soft@2000 ");
	CHECK_HAS(records, "left over when the main task ended: one (spawned at app.c:1)\n"
			   "left over when the main task ended: two (spawned at app.c:2)\n"
			   "left over when the main task ended: three (spawned at app.c:3)\n"
			   "two: EIO \"");
	CHECK_INT(records_count, ==, 4);
	PROVES(B306, S71, S54);
}

static int fails_in_group(void *arg)
{
	struct coop_group_opts collect = { .policy = COOP_COLLECT, .name = "pair" };
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, &collect);
	CHECK_INT(coop_spawn(&g, fail_after_ms, MSARG(1)), ==, 0);
	CHECK_INT(coop_spawn(&g, fail_after_ms, MSARG(2)), ==, 0);
	return coop_group_join(&g, 0);
}

static int fails_fatally(void *arg)
{
	(void)arg;
	return coop_fail(COOP_EEXIT(3), "asked to leave");
}

static int fails_fatally_late(void *arg)
{
	int r = coop_sleep(COOP_NEVER);

	CHECK_INT(r, ==, COOP_ECANCELED);
	return fails_fatally(arg);
}

static int leaves_errors(void *arg)
{
	begin_ns = coop_now();
	CHECK_INT(coop_spawn(coop_run_group(), fails_in_group, NULL), ==, 0);
	CHECK_INT(coop_spawn(coop_run_group(), fails_fatally_late, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	return arg ? 0 : 7;
}

/* Of a group's error every leaf is told; one of the fatal class that came too late, too. */
TEST(errors_of_leftovers_are_told_whole)
{
	keep_records(COOP_LOG_WARN);
	CHECK_INT(run_with(leaves_errors, (struct coop_run_opts){ .name = NULL }), ==, 7);
	CHECK_HAS(records, "\"failed after 1 ms\"");
	CHECK_HAS(records, "\"failed after 2 ms\"");
	CHECK_HAS(records, "\"asked to leave\"");
	PROVES(B306, S71);
}

static int exits_beside(void *arg)
{
	(void)arg;
	CHECK_INT(coop_spawn(coop_run_group(), fails_fatally, NULL), ==, 0);
	return coop_sleep(COOP_NEVER);
}

/* A failure of the fatal class anywhere ends the run, and is its result. */
TEST(a_fatal_failure_beside_main)
{
	struct coop_error *e;

	CHECK_INT(run_with(exits_beside, (struct coop_run_opts){ .name = NULL }), ==,
		  COOP_EEXIT(3));
	e = coop_error_take(COOP_EEXIT(3));
	CHECK(coop_error_is(e, COOP_EEXIT(3)));
	coop_error_unref(e);
}

/* ---- a failure may stop the run */

static int forever_with_failure(void *arg)
{
	(void)arg;
	begin_ns = coop_now();
	CHECK_INT(coop_spawn(coop_run_group(), soft_sleeper, &soft), ==, 0);
	CHECK_INT(coop_spawn(coop_run_group(), sleeper, &fails_late), ==, 0);
	CHECK_INT(coop_spawn(coop_run_group(), fail_after_ms, MSARG(100)), ==, 0);
	return 0;
}

static int fails_beside(void *arg)
{
	int r;

	forever_with_failure(arg);
	r = coop_sleep(COOP_NEVER);
	CHECK_INT(r, ==, COOP_ECANCELED);
	return coop_fail(-EPIPE, "main's own");
}

/*
 * By default a failure in the run's group is a line in the log, and the run goes on. With
 * stop_on_error it stops the run in order, and every error is in the result.
 */
TEST(a_failure_stops_the_run_if_asked_for)
{
	struct coop_run_opts opts = { .forever = true, .stop_on_error = true };
	struct coop_error *e;

	keep_records(COOP_LOG_WARN);
	CHECK_INT(run_with(forever_with_failure, opts), ==, -EIO);
	CHECK_TRAIL("late!@100 soft@2000 ");
	CHECK_HAS(records, "shutdown: fail_after_ms failed (");
	CHECK_INT(records_count, ==, 1);
	e = coop_error_take(-EIO);
	CHECK_INT(coop_error_code(coop_error_member(e, 0)), ==, -EIO);
	CHECK_INT(coop_error_code(coop_error_member(e, 1)), ==, -EIO);
	CHECK(!coop_error_member(e, 2));
	coop_error_unref(e);

	CHECK_INT(run_with(fails_beside, opts), ==, -EPIPE); /* main's goes before */
	e = coop_error_take(-EPIPE);
	CHECK(coop_error_is(e, -EIO));
	CHECK_INT(coop_error_code(coop_error_member(e, 0)), ==, -EPIPE);
	coop_error_unref(e);
	trail[0] = '\0';

	opts.stop_on_error = false;
	opts.forever = false;
	keep_records(COOP_LOG_WARN);
	CHECK_INT(run_with(leaves_errors, opts), ==, 7);
	CHECK_INT(records_count, >=, 3);
	PROVES(S64, B306);
}

/* ---- callbacks */

static int failing_callback(void *arg)
{
	const char *name = arg;

	say("%s ", name);
	CHECK_INT(coop_sleep(MS(10)), ==, 0); /* it is given the grace */
	return name[0] == '-' ? -EPROTO : coop_fail(-EBADF, "callback %s", name);
}

static int stops_with_callbacks(void *arg)
{
	const char *const *names = arg;

	for (; *names; names++)
		CHECK_INT(coop_on_shutdown(failing_callback, (void *)(uintptr_t)*names), ==, 0);
	CHECK_INT(coop_stop("enough"), ==, 0);
	CHECK_INT(coop_on_shutdown(failing_callback, NULL), ==, -EALREADY);
	return coop_sleep(COOP_NEVER);
}

static int stops_and_fails(void *arg)
{
	int r = stops_with_callbacks(arg);

	return coop_is_cancel(r) ? coop_fail(-EIO, "main failed") : r;
}

static int run_callbacks(coop_fn *fn, const char *const *names, struct coop_error **ret_error)
{
	int r = coop_run(fn, (void *)(uintptr_t)names, &virtual_clock);

	*ret_error = coop_error_take(r);
	return r;
}

/* The error of a callback is the result if there is no other, else it stands beside; never lost. */
TEST(callbacks_that_fail)
{
	static const char *const one[] = { "a", NULL }, *const bare[] = { "-", NULL };
	static const char *const two[] = { "a", "-", NULL };
	struct coop_error_info i;
	struct coop_error *e;

	keep_records(COOP_LOG_WARN);
	CHECK_INT(run_callbacks(stops_with_callbacks, one, &e), ==, -EBADF);
	coop_error_describe(e, &i);
	CHECK_STR(i.message, "callback a");
	coop_error_unref(e);
	CHECK_INT(run_callbacks(stops_with_callbacks, bare, &e), ==, -EPROTO);
	coop_error_unref(e);
	CHECK_INT(run_callbacks(stops_with_callbacks, two, &e), ==, -EBADF);
	coop_error_describe(e, &i);
	CHECK_INT(i.members, ==, 2);
	CHECK(coop_error_is(e, -EPROTO));
	coop_error_unref(e);
	CHECK_INT(run_callbacks(stops_and_fails, two, &e), ==, -EIO);
	coop_error_describe(e, &i);
	CHECK_INT(i.members, ==, 3);
	CHECK_INT(coop_error_code(coop_error_member(e, 0)), ==, -EIO);
	CHECK_INT(coop_error_code(coop_error_member(e, 1)), ==, -EBADF);
	CHECK_INT(coop_error_code(coop_error_member(e, 2)), ==, -EPROTO);
	coop_error_unref(e);
	CHECK_TRAIL("a - a - a - ");
	CHECK_INT(records_count, ==, 4); /* the beginning of each shutdown, and nothing else */
	PROVES(B307);
}

static int never_ends(void *arg)
{
	int r = coop_sleep(COOP_NEVER);

	(void)arg;
	say("callback %s@%d ", coop_is_cancel(r) ? "cancelled" : "ended", (int)now_ms());
	return r;
}

static int many_callbacks(void *arg)
{
	(void)arg;
	begin_ns = coop_now();
	CHECK_INT(coop_on_shutdown(NULL, NULL), ==, -EINVAL);
	CHECK_INT(coop_on_shutdown(never_ends, NULL), ==, 0);
	for (int i = 1; i < 8; i++)
		CHECK_INT(coop_on_shutdown(callback, NULL), ==, 0);
	CHECK_INT(coop_on_shutdown(callback, NULL), ==, -ENOSPC);
	return coop_stop(NULL);
}

/* At most eight; one that does not end has the grace and no more. */
TEST(callbacks_have_the_grace)
{
	keep_records(COOP_LOG_ERROR);
	CHECK_INT(coop_on_shutdown(callback, NULL), ==, COOP_ENOTASK);
	CHECK_INT(run_with(many_callbacks, (struct coop_run_opts){ .grace_ns = MS(70) }), ==, 0);
	CHECK_TRAIL("callback@0 callback@0 callback@0 callback@0 callback@0 callback@0 callback@0 "
		    "callback cancelled@70 ");
	PROVES(B307);
}

/* ---- going on for ever */

static int goes_on(void *arg)
{
	(void)arg;
	begin_ns = coop_now();
	CHECK_INT(coop_spawn(coop_run_group(), sleeper, &plain), ==, 0);
	CHECK_INT(coop_spawn(coop_run_group(), stops, MSARG(50)), ==, 0);
	return 9;
}

static int cancels_the_run(void *arg)
{
	int r = coop_sleep(MS(50));

	(void)arg;
	coop_group_cancel(coop_run_group(), "by hand");
	return r;
}

static int goes_on_until_cancelled(void *arg)
{
	(void)arg;
	CHECK_INT(coop_spawn(coop_run_group(), cancels_the_run, NULL), ==, 0);
	return 9;
}

static int ends_at_once(void *arg)
{
	return (int)(intptr_t)arg;
}

static int fails_at_once(void *arg)
{
	(void)arg;
	return -EIO;
}

/* `forever`: the end of main is not the end, but a stop is, a cancel, and a failure of main. */
TEST(a_run_for_ever)
{
	struct coop_run_opts opts = { .forever = true };

	keep_records(COOP_LOG_ERROR);
	CHECK_INT(run_with(goes_on, opts), ==, 9);
	CHECK_TRAIL("plain!@50 ");
	CHECK_INT(run_with(goes_on_until_cancelled, opts), ==, 9);
	CHECK_INT(run_with(fails_at_once, opts), ==, -EIO);
	CHECK_INT(records_count, ==, 0);
	coop_error_clear();
	/* Nobody is there who could ever stop it. */
	CHECK_INT(run_with(ends_at_once, opts), ==, -EDEADLK);
	coop_error_clear();
	PROVES(S60, B319);
}

/* ---- tasks of the runtime's own */

static const struct coop_local user = { "user" };
static char alice[] = "alice";

static int system_task(void *arg)
{
	int r;

	(void)arg;
	CHECK(coop_local_get(&user) == NULL); /* nothing of whoever was running */
	say("system begins@%d ", (int)now_ms());
	r = coop_sleep(COOP_NEVER);
	say("system ends@%d ", (int)now_ms());
	return r;
}

static int count_tasks(const struct coop_task_info *info, void *count)
{
	((int *)count)[info->internal]++;
	return 0;
}

static int with_system_task(void *arg)
{
	struct coop_run_stats stats;
	struct coop_group g = COOP_GROUP_INIT;
	int n[2] = { 0, 0 };

	(void)arg;
	begin_ns = coop_now();
	CHECK_INT(coop_local_set(&user, alice), ==, 0);
	CHECK_INT(cp_spawn_system(cp_rt, system_task, NULL, "system"), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, sleeper, &kept, &protect, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_for_each_task(false, count_tasks, n), ==, 0);
	CHECK_INT(n[0], ==, 2);
	CHECK_INT(n[1], ==, 0);
	CHECK_INT(coop_for_each_task(true, count_tasks, n), ==, 0);
	CHECK_INT(n[0], ==, 4);
	CHECK_INT(n[1], ==, 2); /* and the root */
	CHECK_INT(coop_run_stats(&stats), ==, 0);
	CHECK_INT(stats.tasks, ==, 2);
	CHECK_INT(stats.tasks_internal, ==, 2);
	CHECK_INT(coop_stop("enough"), ==, 0);
	return coop_group_join(&g, 0);
}

/*
 * They have no locals of the user's, no shutdown interrupts them, they end after everybody else,
 * and are in no list or count unless asked for.
 */
TEST(tasks_of_the_runtime)
{
	keep_records(COOP_LOG_ERROR);
	CHECK_INT(run_with(with_system_task, (struct coop_run_opts){ .name = NULL }), ==, 0);
	CHECK_TRAIL("system begins@0 kept@2500 system ends@2500 ");
	PROVES(B343, S61, B331);
}

static int main_after_crash(void *arg)
{
	int r;

	(void)arg;
	begin_ns = coop_now();
	CHECK_INT(cp_spawn_system(cp_rt, fail_after_ms, MSARG(5), "clockwork"), ==, 0);
	r = coop_sleep(COOP_NEVER);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 5);
	return coop_fail(-EPIPE, "main's clean-up");
}

/* A failure of one is an internal error, which cancels everything and is the result. */
TEST(a_task_of_the_runtime_fails)
{
	struct coop_error *e;

	keep_records(COOP_LOG_ERROR);
	CHECK_INT(run_with(main_after_crash, (struct coop_run_opts){ .name = NULL }), ==,
		  COOP_EINTERNAL);
	e = coop_error_take(COOP_EINTERNAL);
	CHECK(coop_error_is(e, COOP_EINTERNAL));
	CHECK(coop_error_is(e, -EIO));   /* its cause */
	CHECK(coop_error_is(e, -EPIPE)); /* and what main made of it */
	coop_error_unref(e);
	PROVES(B343);
}

/* ---- runs and runners */

static struct coop_runner *runner;

static int within(void *arg)
{
	struct coop_runner *other;

	(void)arg;
	CHECK_INT(coop_run(ends_at_once, NULL, NULL), ==, -EALREADY);
	CHECK_INT(coop_runner_run(runner, ends_at_once, NULL), ==, -EALREADY);
	CHECK_INT(coop_runner_close(runner), ==, -EBUSY);
	CHECK_INT(coop_runner_open(NULL, &other), ==, 0);
	CHECK_INT(coop_runner_run(other, ends_at_once, NULL), ==, -EALREADY);
	CHECK(coop_runner_free(other) == NULL);
	return coop_sleep(MS(1));
}

static void *from_another_thread(void *arg)
{
	(void)arg;
	CHECK_INT(coop_runner_run(runner, ends_at_once, NULL), ==, COOP_EWRONGTHREAD);
	CHECK_INT(coop_runner_close(runner), ==, COOP_EWRONGTHREAD);
	return NULL;
}

static int is_fresh(void *arg)
{
	(void)arg;
	CHECK_INT(coop_shutdown_phase(), ==, COOP_SHUTDOWN_NONE);
	CHECK(coop_run_local_get(&user) == NULL);
	CHECK_INT(coop_run_local_set(&user, alice), ==, 0);
	CHECK_INT(coop_on_shutdown(callback, NULL), ==, 0);
	CHECK_INT(coop_stop("enough"), ==, 0);
	return coop_sleep(COOP_NEVER);
}

/* A run in a run is refused by every way; a runner's runs know nothing of each other. */
TEST(runs_in_runs_and_after_runs)
{
	pthread_t thread;

	keep_records(COOP_LOG_ERROR);
	CHECK_INT(coop_runner_open(&virtual_clock, &runner), ==, 0);
	CHECK_INT(coop_runner_run(runner, within, NULL), ==, 0);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_runner_run(runner, is_fresh, NULL), ==, 0);
	CHECK_INT(coop_runner_run(runner, fails_at_once, NULL), ==, -EIO);
	CHECK_INT(coop_runner_run(runner, NULL, NULL), ==, -EINVAL);
	CHECK_INT(coop_runner_run(runner, ends_at_once, MSARG(5)), ==, 5);
	CHECK_INT(pthread_create(&thread, NULL, from_another_thread, NULL), ==, 0);
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
	CHECK_INT(coop_runner_close(runner), ==, 0);
	CHECK_INT(coop_runner_close(runner), ==, 0);
	CHECK_INT(coop_runner_run(runner, ends_at_once, NULL), ==, COOP_ECLOSED);
	CHECK(coop_runner_free(runner) == NULL);
	CHECK(coop_runner_free(NULL) == NULL);
	PROVES(B309, B310, B342);
}

static struct coop_group *parents;
static struct coop_handle *parents_handle;

static int uses_nothing(void)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_run_stats stats;
	int n[2] = { 0, 0 };

	CHECK(coop_self() == NULL);
	CHECK(!coop_cancelled());
	CHECK_INT(coop_checkpoint(), ==, COOP_EFORK);
	CHECK_INT(coop_yield(), ==, COOP_EFORK);
	CHECK_INT(coop_sleep(1), ==, COOP_EFORK);
	CHECK_INT(coop_spawn(parents, ends_at_once, NULL), ==, COOP_EFORK);
	CHECK_INT(coop_group_wait(parents), ==, COOP_EFORK);
	CHECK_INT(coop_group_cancel(parents, NULL), ==, COOP_EFORK);
	CHECK_INT(coop_handle_cancel(parents_handle, NULL), ==, COOP_EFORK);
	CHECK_INT(coop_group_open(&g, NULL), ==, COOP_EFORK);
	CHECK_INT(coop_scope_open(&s, NULL), ==, COOP_EFORK);
	CHECK_INT(coop_stop(NULL), ==, COOP_EFORK);
	CHECK_INT(coop_on_shutdown(callback, NULL), ==, COOP_EFORK);
	CHECK_INT(coop_run_stats(&stats), ==, COOP_EFORK);
	CHECK_INT(coop_dump(stderr, 0), ==, COOP_EFORK);
	CHECK_INT(coop_for_each_task(true, count_tasks, n), ==, COOP_EFORK);
	CHECK_INT(coop_local_set(&user, alice), ==, COOP_EFORK);
	CHECK_INT(coop_run(ends_at_once, NULL, NULL), ==, COOP_EFORK);
	CHECK_INT(coop_runner_run(runner, ends_at_once, NULL), ==, COOP_EFORK);
	return 0;
}

static int forks(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int status;
	pid_t pid;

	(void)arg;
	coop_group_open(&g, NULL);
	parents = &g;
	CHECK_INT(coop_spawn_with(&g, sleeper, &plain, NULL, &parents_handle), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	pid = fork();
	if (pid == 0)
		_exit(uses_nothing());
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK_INT(status, ==, 0);
	CHECK_INT(coop_handle_cancel(parents_handle, NULL), ==, 0); /* the parent goes on */
	coop_handle_release(parents_handle);
	return coop_group_join(&g, 0);
}

/* A forked child has no runtime: whatever it asks for, it is told so. */
TEST(a_forked_child_has_no_run)
{
	CHECK_INT(coop_runner_open(&virtual_clock, &runner), ==, 0);
	CHECK_INT(coop_runner_run(runner, forks, NULL), ==, 0);
	coop_runner_free(runner);
	PROVES(B311);
}
