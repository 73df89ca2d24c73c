/* SPDX-License-Identifier: MIT */
/*
 * Starting with a handshake: until it is ready the child is the starter's, with all it has opened
 * and spawned; from then on it is the group's. Nothing is lost on either side of that step.
 */
#include "group_help.h"

#include <pthread.h>

/* ---- children of a start */

struct child {
	int64_t before_ms;       /* works so long before it is ready */
	int64_t after_ms;        /* and so long afterwards */
	int before_rc, after_rc; /* fails with it if it is not 0 */
	bool silent;             /* never says that it is ready */
	bool began, ready, ended;
	int rc; /* of its last checkpoint */
};

static int child(void *arg, struct coop_start *start)
{
	struct child *c = arg;

	c->began = true;
	c->rc = coop_sleep(MS(c->before_ms));
	if (c->rc < 0)
		return c->rc;
	if (c->before_rc)
		return coop_fail(c->before_rc, "before");
	if (!c->silent)
		CHECK_INT(coop_started(start, 42), ==, 0);
	c->ready = true;
	c->rc = coop_sleep(MS(c->after_ms));
	c->ended = true;
	if (c->rc < 0)
		return c->rc;
	return c->after_rc ? coop_fail(c->after_rc, "after") : 9;
}

/* The start waits for the child to be ready, and for no longer; the join for its end. */
TASK_TEST(waits_until_ready)
{
	struct child c = { .before_ms = 10, .after_ms = 30 }, brief = { .after_ms = 1 };
	struct coop_group g = COOP_GROUP_INIT;
	int value = 0;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_start(&g, child, &c, &value), ==, 0);
	CHECK_INT(now_ms(), ==, 10);
	CHECK_INT(value, ==, 42);
	CHECK(c.ready && !c.ended);
	CHECK_INT(stats_of(&g).running, ==, 1);
	CHECK_INT(coop_start(&g, child, &brief, NULL), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 40);
	CHECK(c.ended);
	CHECK_INT(stats_of(&g).finished, ==, 2);
	PROVES(B123);
	return 0;
}

/* Ends without a word, fails before it, fails after it: three answers, to whom they belong. */
TASK_TEST(ends_before_and_after)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct child silent = { .silent = true }, early = { .before_rc = -EADDRINUSE },
		     late = { .after_ms = 5, .after_rc = -EIO };
	int value = 7, r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(20)), ==, 0);
	CHECK_INT(coop_start(&g, child, &silent, &value), ==, COOP_ENOTSTARTED);
	CHECK(silent.ended); /* it is no child of anybody any more */
	PROVES(B127);
	r = coop_start(&g, child, &early, &value);
	CHECK_INT(r, ==, -EADDRINUSE);
	CHECK_INT(info_of(coop_error_peek(r)).kind, ==, COOP_ERROR_LEAF);
	CHECK_STR(info_of(coop_error_peek(r)).message, "before");
	CHECK_INT(value, ==, 7);
	coop_error_clear();
	CHECK_INT(coop_sleep(MS(1)), ==, 0); /* the group knows nothing of it */
	CHECK_INT(stats_of(&g).failed, ==, 0);
	CHECK_INT(stats_of(&g).finished, ==, 0);
	CHECK_INT(stats_of(&g).running, ==, 1);
	PROVES(B125);
	CHECK_INT(coop_start(&g, child, &late, &value), ==, 0);
	CHECK_INT(value, ==, 42);
	r = coop_sleep(SEC(1));
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 6);
	CHECK_INT(coop_group_join(&g, r), ==, -EIO);
	CHECK_STR(leaves_of(coop_error_peek(-EIO)), "EIO ");
	PROVES(B126);
	return 0;
}

static int says_it_twice(void *arg, struct coop_start *start)
{
	(void)arg;
	CHECK_INT(coop_started(start, 1), ==, 0);
	CHECK_INT(coop_started(start, 2), ==, start ? -EALREADY : 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_started(start, 3), ==, start ? -EALREADY : 0);
	return 5;
}

/* The second word is refused and the first stands; called without a starter nothing happens. */
TASK_TEST(ready_twice_and_for_nobody)
{
	struct coop_group g = COOP_GROUP_INIT;
	int value = 0;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_start(&g, says_it_twice, NULL, &value), ==, 0);
	CHECK_INT(value, ==, 1);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	PROVES(B128);
	CHECK_INT(says_it_twice(NULL, NULL), ==, 5);
	PROVES(B129, S44);
	return 0;
}

/* ---- who is whose */

/* What the list of tasks says of one of them. */
struct shown {
	const char *name;
	bool found;
	uint64_t id, parent, eventual;
	char path[160];
};

static int show(const struct coop_task_info *info, void *ctx)
{
	struct shown *s = ctx;

	if (strcmp(info->name, s->name) != 0)
		return 0;
	s->found = true;
	s->id = info->id;
	s->parent = info->parent_id;
	s->eventual = info->eventual_parent_id;
	coop_task_path(info->task, s->path, sizeof s->path);
	return 1;
}

static struct shown shown(const char *name)
{
	struct shown s = { .name = name };

	CHECK_INT(coop_for_each_task(false, show, &s), ==, s.found);
	return s;
}

static struct coop_group *target;

static int starts_child(void *arg)
{
	int r = coop_start(target, child, arg, NULL);

	return r < 0 ? r : coop_sleep(MS(100));
}

/* The parent shown is the starter and then the opener of the group, who is the eventual one. */
TASK_TEST(whose_child_it_is)
{
	struct coop_group g = COOP_GROUP_INIT, starters = COOP_GROUP_INIT;
	struct child c = { .before_ms = 10, .after_ms = 30 };
	struct shown s, starter, host;

	coop_group_open(&g, &(struct coop_group_opts){ .name = "g" });
	target = &g;
	coop_group_open(&starters, NULL);
	CHECK_INT(coop_spawn(&starters, starts_child, &c), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	host = shown("main");
	starter = shown("starts_child");
	s = shown("child");
	CHECK(s.found && starter.found && host.found && starter.id != host.id);
	CHECK_INT(s.parent, ==, starter.id);
	CHECK_INT(s.eventual, ==, host.id);
	CHECK_STR(s.path, "main/starts_child/child");
	CHECK_INT(stats_of(&g).running, ==, 0);
	CHECK_INT(coop_sleep(MS(10)), ==, 0);
	s = shown("child");
	CHECK_INT(s.parent, ==, host.id);
	CHECK_INT(s.eventual, ==, 0);
	CHECK_STR(s.path, "main/g/child");
	CHECK_INT(stats_of(&g).running, ==, 1);
	CHECK_INT(coop_group_join(&starters, 0), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	PROVES(B139);
	return 0;
}

/* A start can give a handle, which knows the task from then to its end and after it. */
TASK_TEST(with_a_handle)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct child c = { .before_ms = 1, .after_ms = 5 }, bad = { .before_rc = -EIO },
		     cut = { .after_ms = 50 };
	struct coop_handle *h = NULL, *none = NULL;
	int value = 0;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_start_with(&g, child, &c, "named", &value, &h), ==, 0);
	CHECK_INT(value, ==, 42);
	CHECK(shown("named").found);
	CHECK_INT(coop_handle_state(h), ==, COOP_TASK_BLOCKED);
	CHECK_INT(coop_handle_result(h, &value), ==, -EAGAIN);
	CHECK_INT(coop_handle_wait(h, &value), ==, 0);
	CHECK_INT(value, ==, 9);
	CHECK_INT(now_ms(), ==, 6);
	/* Where the start fails there is none. */
	CHECK_INT(coop_start_with(&g, child, &bad, NULL, &value, &none), ==, -EIO);
	CHECK(none == NULL);
	coop_error_clear();
	CHECK_INT(coop_start_with(&g, child, &cut, NULL, NULL, &none), ==, 0);
	CHECK_INT(coop_handle_cancel(none, "enough"), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_handle_state(none), ==, COOP_TASK_CANCELLED);
	CHECK_INT(coop_handle_state(h), ==, COOP_TASK_FINISHED);
	CHECK_INT(coop_handle_result(h, &value), ==, 0);
	CHECK_INT(value, ==, 9);
	coop_handle_release(h);
	coop_handle_release(none);
	PROVES(B140);
	return 0;
}

/* ---- what it has spawned */

static struct nap helper_a = { .name = "a", .ms = 30 }, helper_b = { .name = "b" },
		  helper_s = { .name = "s" };

/* Spawns beside itself: two helpers, a service, one that has not begun when it gets ready. */
static int with_helpers(void *arg, struct coop_start *start)
{
	struct coop_spawn_opts service = { .service = true };
	struct coop_group *mine = coop_self_group();
	int *late = arg;

	CHECK(mine != target);
	CHECK_INT(coop_spawn(mine, nap, &helper_a), ==, 0);
	CHECK_INT(coop_spawn(mine, nap, &helper_b), ==, 0);
	CHECK_INT(coop_spawn_with(mine, nap, &helper_s, &service, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(coop_spawn(mine, sleep_ms, MSARG(*late)), ==, 0);
	CHECK_INT(coop_started(start, 0), ==, 0);
	CHECK(coop_self_group() == target);
	return coop_sleep(MS(20));
}

static int starts_with_helpers(void *arg)
{
	int r = coop_start(target, with_helpers, arg, NULL);

	CHECK_INT(r, ==, 0);
	return coop_sleep(COOP_NEVER);
}

/* What the child has spawned beside itself moves with it, each as what it is: the join waits for
 * the ordinary ones and then cancels the service; the starter's end touches none of them. */
TASK_TEST(its_helpers_move_with_it)
{
	struct coop_group g = COOP_GROUP_INIT, starters = COOP_GROUP_INIT;
	int late = 40;

	coop_group_open(&g, NULL);
	target = &g;
	coop_group_open(&starters, NULL);
	CHECK_INT(coop_spawn(&starters, starts_with_helpers, &late), ==, 0);
	CHECK_INT(coop_sleep(MS(3)), ==, 0);
	CHECK_INT(stats_of(&g).running, ==, 0);
	CHECK_INT(coop_sleep(MS(3)), ==, 0);
	CHECK_INT(stats_of(&g).running, ==, 5);
	CHECK_INT(stats_of(&g).services, ==, 1);
	CHECK_INT(shown("nap").parent, ==, shown("main").id);
	coop_group_cancel(&starters, "the starter ends");
	CHECK_INT(coop_group_join(&starters, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 6);
	helper_b.rc = 1;
	CHECK_INT(coop_sleep(MS(30)), ==, 0); /* 36: helper a and the child have ended */
	CHECK_INT(stats_of(&g).finished, ==, 2);
	CHECK_INT(helper_a.rc, ==, 0);
	CHECK_INT(helper_b.rc, ==, 1);
	coop_group_cancel(&g, "so does the group");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(helper_b.rc, ==, COOP_ECANCELED);
	CHECK_INT(helper_s.rc, ==, COOP_ECANCELED);
	CHECK_INT(stats_of(&g).cancelled, ==, 3);
	CHECK_INT(stats_of(&g).running, ==, 0);
	CHECK_INT(stats_of(&g).services, ==, 0);
	PROVES(B141);
	return 0;
}

/* A service that moved is a service of the group: it ends when its users have. */
static int with_a_service(void *arg, struct coop_start *start)
{
	struct coop_spawn_opts service = { .service = true };

	CHECK_INT(coop_spawn_with(coop_self_group(), nap, arg, &service, NULL), ==, 0);
	CHECK_INT(coop_checkpoint(), ==, 0);
	CHECK_INT(coop_started(start, 0), ==, 0);
	return coop_sleep(MS(10));
}

TASK_TEST(its_service_moves_with_it)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct nap service = { .name = "service" };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_start(&g, with_a_service, &service, NULL), ==, 0);
	CHECK_INT(coop_group_wait(&g), ==, 0);
	CHECK_INT(now_ms(), ==, 10);
	CHECK(!service.ended);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(service.at_ms, ==, 10);
	CHECK_INT(service.rc, ==, COOP_ECANCELED);
	PROVES(B141, B22);
	return 0;
}

/* ---- what is set on the group that it starts in */

static struct coop_defer cleaning = COOP_DEFER_INIT;

static int note_cleaned(void *arg)
{
	say("cleaned at %d ", (int)now_ms());
	return (int)(intptr_t)arg;
}

static int limits_its_start(void *arg, struct coop_start *start)
{
	struct coop_scope *mine = coop_group_scope(coop_self_group());

	CHECK_INT(coop_scope_set_deadline(mine, coop_now() + MS(20)), ==, 0);
	if (arg)
		CHECK_INT(coop_started(start, 0), ==, 0);
	return coop_sleep(MS(arg ? 50 : 1));
}

static uint64_t timers(void)
{
	struct coop_run_stats stats;

	CHECK_INT(coop_run_stats(&stats), ==, 0);
	return stats.timers;
}

/* A deadline of the group that it starts in is for the start: it is over with it, both ways. */
TASK_TEST(a_limit_of_the_start_ends_with_it)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_start(&g, limits_its_start, NULL, NULL), ==, COOP_ENOTSTARTED);
	CHECK_INT(timers(), ==, 0);
	CHECK_INT(coop_start(&g, limits_its_start, &g, NULL), ==, 0);
	CHECK_INT(timers(), ==, 1); /* its sleep */
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 51);
	PROVES(B124);
	return 0;
}

static int defers_in_its_start(void *arg, struct coop_start *start)
{
	int rc = (int)(intptr_t)arg;

	cleaning = (struct coop_defer)COOP_DEFER_INIT;
	CHECK_INT(coop_group_defer(coop_self_group(), &cleaning, note_cleaned, CODE(rc)), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	if (rc == 0)
		CHECK_INT(coop_started(start, 0), ==, 0);
	return coop_sleep(MS(5));
}

/* A clean-up of that group moves with the rest, or is done by the start if nobody moves. */
TASK_TEST(its_clean_ups_move_with_it)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_start(&g, defers_in_its_start, CODE(-EIO), NULL), ==, -EIO);
	CHECK_TRAIL("cleaned at 6 ");
	CHECK_INT(coop_start(&g, defers_in_its_start, CODE(0), NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(10)), ==, 0);
	CHECK_TRAIL("");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("cleaned at 17 ");
	PROVES(B141);
	return 0;
}

static int says_it_for_both(void *arg, struct coop_start *start)
{
	CHECK_INT(coop_started(arg, 1), ==, 0);
	CHECK_INT(coop_sleep(MS(2)), ==, 0);
	CHECK_INT(coop_started(start, 2), ==, 0);
	CHECK(coop_self_group() == target);
	return coop_sleep(MS(5));
}

static int starts_within_its_start(void *arg, struct coop_start *start)
{
	int value = 0, r = coop_start(coop_self_group(), says_it_for_both, start, &value);

	(void)arg;
	CHECK_INT(value, ==, 2);
	return r < 0 ? r : coop_sleep(MS(5));
}

/* A start into the hidden group of another, which has moved meanwhile, goes where that went. */
TASK_TEST(a_start_within_a_start)
{
	struct coop_group g = COOP_GROUP_INIT;
	int value = 0;

	coop_group_open(&g, NULL);
	target = &g;
	CHECK_INT(coop_start(&g, starts_within_its_start, NULL, &value), ==, 0);
	CHECK_INT(value, ==, 1);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(stats_of(&g).finished, ==, 2);
	CHECK_INT(now_ms(), ==, 7);
	PROVES(B141);
	return 0;
}

/* ---- and what if it does not move */

static int helpers_then(void *arg, struct coop_start *start)
{
	struct coop_spawn_opts service = { .service = true };
	int rc = (int)(intptr_t)arg;

	(void)start;
	CHECK_INT(coop_spawn_with(coop_self_group(), nap, &helper_s, &service, NULL), ==, 0);
	CHECK_INT(coop_spawn(coop_self_group(), nap, &helper_a), ==, 0);
	CHECK_INT(coop_sleep(MS(2)), ==, 0);
	return rc < 0 ? coop_fail(rc, "with helpers") : rc;
}

/* A child that fails, or ends, leaves nobody behind: the start waits for the rest, and ends the
 * service. */
TASK_TEST(helpers_of_one_that_ends)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	helper_a.ms = 8;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_start(&g, helpers_then, CODE(0), NULL), ==, COOP_ENOTSTARTED);
	CHECK_INT(now_ms(), ==, 8);
	CHECK_INT(helper_a.rc, ==, 0);
	CHECK_INT(helper_s.rc, ==, COOP_ECANCELED);
	r = coop_start(&g, helpers_then, CODE(-EIO), NULL);
	CHECK_INT(r, ==, -EIO);
	CHECK_INT(info_of(coop_error_peek(r)).kind, ==, COOP_ERROR_LEAF);
	CHECK_INT(now_ms(), ==, 10);
	CHECK_INT(helper_a.rc, ==, COOP_ECANCELED);
	CHECK_INT(helper_s.rc, ==, COOP_ECANCELED);
	CHECK_INT(stats_of(&g).running, ==, 0);
	CHECK_INT(coop_checkpoint(), ==, 0); /* nobody has cancelled the starter */
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	PROVES(B141, B125);
	return 0;
}

static int fails_among_helpers(void *arg, struct coop_start *start)
{
	int r;

	(void)arg;
	CHECK_INT(coop_spawn(coop_self_group(), fail_after_ms, MSARG(3)), ==, 0);
	r = coop_sleep(COOP_NEVER);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_started(start, 1), ==, 0); /* too late: the start is cancelled */
	CHECK(coop_self_group() != target);
	return coop_fail(-EPIPE, "so this one failed too");
}

/* When some of them fail as well, the start returns them all, as a group's error. */
TASK_TEST(several_fail_before)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_error *e;
	int r;

	coop_group_open(&g, NULL);
	target = &g;
	r = coop_start(&g, fails_among_helpers, NULL, NULL);
	CHECK_INT(r, ==, -EIO);
	e = coop_error_take(r);
	CHECK_INT(info_of(e).kind, ==, COOP_ERROR_GROUP);
	CHECK_STR(leaves_of(e), "EIO EPIPE ");
	CHECK(!info_of(e).cancel_pending);
	coop_error_unref(e);
	CHECK_INT(coop_checkpoint(), ==, 0);
	CHECK_INT(stats_of(&g).failed, ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	PROVES(B141);
	return 0;
}

static int cancels_itself(void *arg, struct coop_start *start)
{
	(void)arg;
	(void)start;
	coop_group_cancel(coop_self_group(), "I will not");
	return coop_checkpoint();
}

static int passes_on(void *arg)
{
	(void)arg;
	return COOP_ECANCELED;
}

/* A child that cancels itself and all beside it has not started; its starter is not cancelled. */
TASK_TEST(a_child_that_cancels_itself)
{
	struct coop_group g = COOP_GROUP_INIT, h = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_start(&g, cancels_itself, NULL, NULL), ==, COOP_ENOTSTARTED);
	CHECK_INT(coop_checkpoint(), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	/* And who says that it was cancelled now has made that up. */
	coop_group_open(&h, NULL);
	CHECK_INT(coop_spawn(&h, passes_on, NULL), ==, 0);
	CHECK_INT(coop_group_join(&h, COOP_ECANCELED), ==, COOP_ESPURIOUSCANCEL);
	PROVES(B68, B127);
	return 0;
}

/* ---- cancelled starts */

static int start_child(void *arg)
{
	return coop_start(target, child, arg, NULL);
}

/* A child that is not ready in time is cancelled; one that is goes on without the deadline. */
TASK_TEST(start_in_time)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct child slow = { .before_ms = 5000 }, quick = { .before_ms = 500, .after_ms = 5000 };

	coop_group_open(&g, NULL);
	target = &g;
	CHECK_INT(coop_fail_after(SEC(1), start_child, &slow), ==, COOP_ETIMEDOUT);
	CHECK_INT(now_ms(), ==, 1000);
	CHECK_INT(slow.rc, ==, COOP_ECANCELED);
	CHECK_INT(stats_of(&g).running, ==, 0);
	coop_error_clear();
	CHECK_INT(coop_fail_after(SEC(1), start_child, &quick), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 6500);
	CHECK_INT(quick.rc, ==, 0);
	PROVES(B124, B142);
	return 0;
}

/* In a cancelled scope the child begins, but its first checkpoint is cancelled, as the start is. */
TASK_TEST(start_in_a_cancelled_scope)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	struct child c = { .before_ms = 1 };
	int value = 3, r;

	coop_group_open(&g, NULL);
	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, "before");
	r = coop_start(&g, child, &c, &value);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK(c.began && !c.ready);
	CHECK_INT(value, ==, 3);
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	CHECK(coop_scope_caught(&s));
	CHECK_INT(stats_of(&g).running, ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	PROVES(B130);
	return 0;
}

static int ready_while_cancelled(void *arg, struct coop_start *start)
{
	int rc = (int)(intptr_t)arg;

	CHECK_INT(coop_sleep(COOP_NEVER), ==, COOP_ECANCELED);
	CHECK_INT(coop_started(start, 11), ==, 0);
	CHECK(coop_self_group() != target);
	return rc == COOP_ECANCELED ? coop_checkpoint() : rc;
}

static int start_ready_while_cancelled(void *arg)
{
	int value = 0;
	int r = coop_start(target, ready_while_cancelled, arg, &value);

	CHECK_INT(value, ==, r < 0 ? 0 : 11);
	return r;
}

/* Ready when the start is cancelled already: nobody moves, and the start ends as the child does. */
TASK_TEST(ready_too_late)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	target = &g;
	CHECK_INT(coop_move_on_after(MS(5), start_ready_while_cancelled, CODE(-EIO)), ==, -EIO);
	PROVES(B133);
	coop_error_clear();
	CHECK_INT(coop_fail_after(MS(5), start_ready_while_cancelled, CODE(4)), ==, 0);
	PROVES(B132);
	CHECK_INT(coop_fail_after(MS(5), start_ready_while_cancelled, CODE(COOP_ECANCELED)), ==,
		  COOP_ETIMEDOUT);
	PROVES(B131);
	coop_error_clear();
	CHECK_INT(stats_of(&g).running, ==, 0);
	CHECK_INT(stats_of(&g).failed, ==, 0);
	CHECK_INT(stats_of(&g).finished, ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	return 0;
}

static int opens_a_group_then(void *arg, struct coop_start *start)
{
	struct coop_group mine = COOP_GROUP_INIT;

	coop_group_open(&mine, NULL);
	CHECK_INT(coop_spawn(&mine, nap, arg), ==, 0);
	CHECK_INT(coop_sleep(MS(2)), ==, 0);
	CHECK_INT(coop_started(start, 0), ==, 0);
	return coop_group_join(&mine, 0);
}

/* Into a cancelled group: what sleeps below the child is cancelled in the moment it moves. */
TASK_TEST(moves_into_a_cancelled_group)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope shield = COOP_SCOPE_INIT;
	struct nap grandchild = { .ms = 100 };

	coop_group_open(&g, NULL);
	coop_group_cancel(&g, "before");
	coop_scope_open(&shield, &(struct coop_scope_opts){ .shield = true });
	CHECK_INT(coop_start(&g, opens_a_group_then, &grandchild, NULL), ==, 0);
	CHECK_INT(coop_scope_close(&shield, 0), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(grandchild.rc, ==, COOP_ECANCELED);
	CHECK_INT(grandchild.at_ms, ==, 2);
	PROVES(B136);
	return 0;
}

/* ---- what is refused */

static int never_runs(void *arg, struct coop_start *start)
{
	(void)start;
	*(bool *)arg = true;
	return 0;
}

/* A start that is refused has made no task and written nothing. */
TASK_TEST(refused_starts)
{
	struct coop_group none = COOP_GROUP_INIT, g = COOP_GROUP_INIT;
	struct coop_handle *h = NULL;
	bool ran = false;
	int value = 5;

	CHECK_INT(coop_start_with(&none, never_runs, &ran, "x", &value, &h), ==, COOP_ENOTOPEN);
	coop_group_open(&g, &(struct coop_group_opts){ .running_max = 1 });
	CHECK_INT(coop_start_with(&g, NULL, &ran, "x", &value, &h), ==, -EINVAL);
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(1)), ==, 0);
	CHECK_INT(coop_start_with(&g, never_runs, &ran, "x", &value, &h), ==, -EAGAIN);
	CHECK_INT(stats_of(&g).running, ==, 1);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_start_with(&g, never_runs, &ran, "x", &value, &h), ==, COOP_ECLOSED);
	CHECK(!ran && h == NULL && value == 5);
	PROVES(B134);
	return 0;
}

static int waits_for_its_group(void *arg, struct coop_start *start)
{
	(void)start;
	return coop_group_wait(arg);
}

/* A child that waits for the group that waits for it is told so at once. */
TASK_TEST(a_start_that_waits_for_its_group)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_start(&g, waits_for_its_group, &g, NULL), ==, -EDEADLK);
	coop_error_clear();
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	PROVES(B320);
	return 0;
}

/* ---- from elsewhere */

static struct coop_start *lent;
static int foreign_rc;

static int tells_it(void *arg)
{
	(void)arg;
	return coop_started(lent, 66);
}

static void *plain_thread(void *arg)
{
	(void)arg;
	foreign_rc = coop_started(lent, 66);
	return NULL;
}

static void *thread_with_a_run(void *arg)
{
	(void)arg;
	foreign_rc = coop_run(tells_it, NULL, NULL);
	return NULL;
}

static int lends_it(void *arg, struct coop_start *start)
{
	pthread_t thread;

	(void)arg;
	lent = start;
	CHECK_INT(pthread_create(&thread, NULL, plain_thread, NULL), ==, 0);
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
	CHECK_INT(foreign_rc, ==, COOP_EWRONGTHREAD);
	CHECK_INT(pthread_create(&thread, NULL, thread_with_a_run, NULL), ==, 0);
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
	CHECK_INT(foreign_rc, ==, COOP_EWRONGTHREAD);
	CHECK_INT(coop_spawn(coop_self_group(), tells_it, NULL), ==, 0); /* a task may */
	return coop_sleep(MS(5));
}

/* Only the runtime's own tasks can say it for the child. */
TASK_TEST(said_by_others)
{
	struct coop_group g = COOP_GROUP_INIT;
	int value = 0;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_start(&g, lends_it, NULL, &value), ==, 0);
	CHECK_INT(value, ==, 66);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	return 0;
}
