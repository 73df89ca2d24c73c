/* SPDX-License-Identifier: MIT */
/*
 * How a cancel gets to a task: as a request, at checkpoints only, in tree order, once; a call
 * that was complete before keeps its result. Waits whose end takes time, as those for the
 * kernel do, are made here by hand with the core's own park.
 */
#include "core_help.h"

#include "core/core.h"

/* ---- a request */

/* A cancel returns at once: the target has been asked, and has not run. */
TASK_TEST(a_cancel_is_a_request)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct nap n = { .name = "napper" };
	struct coop_handle *h;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, nap, &n, NULL, &h), ==, 0);
	CHECK_INT(coop_handle_state(h), ==, COOP_TASK_NEW);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_handle_state(h), ==, COOP_TASK_BLOCKED);
	CHECK_INT(coop_handle_cancel(h, "please"), ==, 0);
	CHECK(!n.ended);
	CHECK_INT(coop_handle_state(h), ==, COOP_TASK_CANCELLING);
	CHECK_INT(coop_handle_result(h, NULL), ==, -EAGAIN);
	CHECK_INT(coop_yield(), ==, 0);
	CHECK(n.ended);
	CHECK_INT(n.rc, ==, COOP_ECANCELED);
	CHECK_INT(coop_handle_state(h), ==, COOP_TASK_CANCELLED);
	PROVES(B77);
	coop_handle_release(h);
	return coop_group_join(&g, 0);
}

/* A task that cancels its own scope goes on until its next checkpoint. */
TASK_TEST(cancelling_oneself)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int r, steps = 0;

	coop_scope_open(&s, NULL);
	CHECK_INT(coop_scope_cancel(&s, NULL), ==, 0);
	steps++;
	CHECK_INT(coop_yield(), ==, 0);
	steps++;
	r = coop_checkpoint();
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(steps, ==, 2);
	PROVES(B80);
	return coop_scope_close(&s, r);
}

/* What is cancelled after its last checkpoint has ended well, with its result. */
static int returns_12_cancelled(void *arg)
{
	coop_group_cancel(arg, "too late");
	return 12;
}

TASK_TEST(cancelled_after_the_last_checkpoint)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_handle *h;
	int value = 0;

	coop_scope_open(&s, NULL);
	CHECK_INT(coop_sleep(0), ==, 0);
	coop_scope_cancel(&s, "too late");
	CHECK_INT(coop_scope_close(&s, 12), ==, 12);
	CHECK(coop_scope_cancel_called(&s));
	CHECK(!coop_scope_caught(&s));

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, returns_12_cancelled, &g, NULL, &h), ==, 0);
	CHECK_INT(coop_group_join(&g, 7), ==, 7);
	CHECK_INT(coop_handle_result(h, &value), ==, 0);
	CHECK_INT(value, ==, 12);
	CHECK_INT(coop_handle_state(h), ==, COOP_TASK_FINISHED);
	CHECK(coop_scope_cancel_called(coop_group_scope(&g)));
	CHECK(!coop_scope_caught(coop_group_scope(&g)));
	PROVES(B81);
	coop_handle_release(h);
	return 0;
}

/* Cancelled before its first step, a task still starts, and ends at its first checkpoint. */
static int owns_memory(void *arg)
{
	int *freed = arg;
	int r = coop_checkpoint();

	*freed += r == COOP_ECANCELED ? 1 : 100;
	return r;
}

TASK_TEST(cancelled_before_the_first_step)
{
	struct coop_group g = COOP_GROUP_INIT, cancelled = COOP_GROUP_INIT;
	struct coop_handle *by_handle, *by_group;
	int freed = 0;

	coop_group_open(&g, NULL);
	coop_group_open(&cancelled, NULL);
	CHECK_INT(coop_spawn_with(&g, owns_memory, &freed, NULL, &by_handle), ==, 0);
	CHECK_INT(coop_handle_cancel(by_handle, NULL), ==, 0);
	CHECK_INT(coop_handle_state(by_handle), ==, COOP_TASK_CANCELLING);
	CHECK_INT(coop_spawn_with(&cancelled, owns_memory, &freed, NULL, &by_group), ==, 0);
	coop_group_cancel(&cancelled, NULL);
	CHECK_INT(coop_spawn(&cancelled, owns_memory, &freed), ==, 0);
	CHECK_INT(freed, ==, 0);
	CHECK_INT(coop_group_join(&cancelled, 0), ==, 0);
	CHECK_INT(freed, ==, 3);
	CHECK_INT(coop_handle_state(by_handle), ==, COOP_TASK_CANCELLED);
	CHECK_INT(coop_handle_state(by_group), ==, COOP_TASK_CANCELLED);
	PROVES(B82, B21);
	coop_handle_release(by_handle);
	coop_handle_release(by_group);
	return coop_group_join(&g, 0);
}

/* ---- completion wins */

struct late {
	struct coop_scope *scope;
	struct coop_group *group;
	struct coop_handle *handle;
	int rc[3], value;
	int spawned;
};

/* Runs first of those that wake at 10 ms, and cancels one that has been woken already. */
static int cancels_at_10(void *arg)
{
	int r = coop_sleep(MS(10));

	coop_group_cancel(arg, "after the fact");
	return r;
}

static int sleeps_till_10(void *arg)
{
	struct late *l = arg;

	l->rc[0] = coop_sleep(MS(10));
	l->rc[1] = coop_checkpoint();
	return l->rc[1];
}

/* A sleep that is over is over: the cancel that comes then is for the next checkpoint. */
TASK_TEST(a_sleep_that_is_over_is_not_cancelled)
{
	struct coop_group g = COOP_GROUP_INIT, cancelled = COOP_GROUP_INIT;
	struct late l = { .rc = { 9, 9 } };

	coop_group_open(&g, NULL);
	coop_group_open(&cancelled, NULL);
	CHECK_INT(coop_spawn(&g, cancels_at_10, &cancelled), ==, 0);
	CHECK_INT(coop_spawn(&cancelled, sleeps_till_10, &l), ==, 0);
	CHECK_INT(coop_group_join(&cancelled, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 10);
	CHECK_INT(l.rc[0], ==, 0);
	CHECK_INT(l.rc[1], ==, COOP_ECANCELED);
	return coop_group_join(&g, 0);
}

static int returns_7_at_10(void *arg)
{
	int r = coop_sleep(MS(10));

	(void)arg;
	return r < 0 ? r : 7;
}

static int waits_for_handle(void *arg)
{
	struct late *l = arg;

	l->rc[0] = coop_handle_wait(l->handle, &l->value);
	l->rc[1] = coop_checkpoint();
	return l->rc[1];
}

static int waits_for_group(void *arg)
{
	struct late *l = arg;

	l->rc[0] = coop_group_wait(l->group);
	l->rc[1] = coop_checkpoint();
	return l->rc[1];
}

static int late_counts(void *arg)
{
	((struct late *)arg)->spawned++;
	return 0;
}

static int waits_to_spawn(void *arg)
{
	struct late *l = arg;

	l->rc[0] = coop_spawn_wait(l->group, late_counts, l);
	l->rc[1] = coop_checkpoint();
	return l->rc[1];
}

/* In one step: the task that is waited for ends, and the waiter is cancelled. */
static void completion_beats_cancel(coop_fn *waiter, struct late *l)
{
	struct coop_group work = COOP_GROUP_INIT, waiting = COOP_GROUP_INIT;
	struct coop_group_opts one = { .running_max = 1 };

	coop_group_open(&work, &one);
	coop_group_open(&waiting, NULL);
	l->group = &work;
	CHECK_INT(coop_spawn_with(&work, returns_7_at_10, NULL, NULL, &l->handle), ==, 0);
	CHECK_INT(coop_spawn(&waiting, waiter, l), ==, 0);
	coop_yield();
	CHECK_INT(coop_sleep(MS(10)), ==, 0); /* woken after the worker, before the waiter */
	CHECK_INT(coop_handle_state(l->handle), ==, COOP_TASK_FINISHED);
	CHECK_INT(l->rc[0], ==, 9);
	coop_group_cancel(&waiting, "too late");
	CHECK_INT(coop_group_join(&waiting, 0), ==, 0);
	CHECK_INT(l->rc[0], ==, 0);
	CHECK_INT(l->rc[1], ==, COOP_ECANCELED);
	CHECK_INT(coop_group_join(&work, 0), ==, 0);
	coop_handle_release(l->handle);
}

/* A wait that has been answered keeps the answer, and what came with it. */
TASK_TEST(completion_wins)
{
	struct late handle = { .rc = { 9, 9 } }, group = handle, room = handle;

	completion_beats_cancel(waits_for_handle, &handle);
	CHECK_INT(handle.value, ==, 7);
	completion_beats_cancel(waits_for_group, &group);
	completion_beats_cancel(waits_to_spawn, &room);
	CHECK_INT(room.spawned, ==, 1);
	PROVES(B79);
	return 0;
}

/* ---- through the tree */

static int marked, unmarked;

static int count_cancelled(const struct coop_task_info *info, void *ctx)
{
	(void)ctx;
	if (info->cancelled)
		marked++;
	else
		unmarked++;
	return 0;
}

/* The first task that runs after the cancel finds all the others marked already. */
static void look_around(void)
{
	if (!marked)
		CHECK_INT(coop_for_each_task(false, count_cancelled, NULL), ==, 0);
}

static int levels_left;

static int level(void *arg)
{
	struct coop_scope outer = COOP_SCOPE_INIT, inner = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	coop_scope_open(&outer, NULL);
	coop_group_open(&g, NULL);
	coop_scope_open(&inner, NULL);
	if (--levels_left > 0)
		r = coop_spawn(&g, level, arg);
	if (r >= 0)
		r = coop_sleep(COOP_NEVER);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 1);
	look_around();
	r = coop_scope_close(&inner, r);
	r = coop_group_join(&g, r);
	CHECK_INT(r, ==, COOP_ECANCELED);
	levels_left++;
	return coop_scope_close(&outer, r);
}

/* A tree a thousand tasks deep is marked in one pass before any of them runs. */
TASK_TEST(the_whole_tree_is_marked_at_once)
{
	int deep = TEST_COUNT(1000, 100);
	struct coop_group g = COOP_GROUP_INIT;

	levels_left = deep;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, level, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(levels_left, ==, 0);
	coop_group_cancel(&g, "all");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(levels_left, ==, deep);
	CHECK_INT(marked, ==, deep + 1); /* and the main task, in its join */
	CHECK_INT(unmarked, ==, 0);
	PROVES(B88);
	return 0;
}

static int branches_ended;

static int branch(void *arg)
{
	intptr_t height = (intptr_t)arg;
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	coop_group_open(&g, NULL);
	for (int i = 0; r >= 0 && height > 0 && i < 3; i++)
		r = coop_spawn(&g, branch, (void *)(height - 1));
	if (r >= 0)
		r = coop_sleep(COOP_NEVER);
	CHECK_INT(r, ==, COOP_ECANCELED);
	look_around();
	CHECK_INT(now_ms(), ==, 1);
	branches_ended++;
	return coop_group_join(&g, r);
}

/* So is one that branches: each sibling, behind those that have children of their own as well. */
TASK_TEST(all_branches_are_marked_at_once)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_spawn(&g, branch, (void *)4), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_group_cancel(&g, "all");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(branches_ended, ==, 3 * (1 + 3 + 9 + 27 + 81));
	CHECK_INT(marked, ==, branches_ended + 1);
	CHECK_INT(unmarked, ==, 0);
	PROVES(B88);
	return 0;
}

struct family {
	struct nap nap;
	struct nap *children;
	int count;
	bool body_sleeps;
};

static int family(void *arg)
{
	struct family *f = arg;
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	coop_group_open(&g, NULL);
	for (int i = 0; r >= 0 && i < f->count; i++)
		r = coop_spawn(&g, nap, &f->children[i]);
	if (r >= 0 && f->body_sleeps)
		r = nap(&f->nap);
	r = coop_group_join(&g, r);
	if (!f->body_sleeps)
		say("%s ", f->nap.name);
	return r;
}

/* Cancelled tasks wake in pre-order: a body, its children as they were spawned, its siblings. */
TASK_TEST(tasks_wake_in_the_order_of_the_tree)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct nap a = { .name = "a" }, d = { .name = "d" };
	struct nap b_children[] = { { .name = "b1" }, { .name = "b2" }, { .name = "b3" } };
	struct nap c_children[] = { { .name = "c1" }, { .name = "c2" } };
	struct family b = { .nap = { .name = "b" }, b_children, 3, .body_sleeps = true };
	struct family c = { .nap = { .name = "c" }, c_children, 2, .body_sleeps = false };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, nap, &a), ==, 0);
	CHECK_INT(coop_spawn(&g, family, &b), ==, 0);
	CHECK_INT(coop_spawn(&g, family, &c), ==, 0);
	CHECK_INT(coop_spawn(&g, nap, &d), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_group_cancel(&g, NULL);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("a b b1 b2 b3 c1 c2 d c ");
	PROVES(B116);
	return 0;
}

/* Of several groups that one task has open, the outer one's children wake first. */
TASK_TEST(groups_of_one_task_wake_from_the_outside_in)
{
	struct coop_group g = COOP_GROUP_INIT, inner = COOP_GROUP_INIT;
	struct nap naps[] = {
		{ .name = "in1" }, { .name = "out1" }, { .name = "in2" }, { .name = "out2" }
	};

	coop_group_open(&g, NULL);
	coop_group_open(&inner, NULL);
	CHECK_INT(coop_spawn(&inner, nap, &naps[0]), ==, 0);
	CHECK_INT(coop_spawn(&g, nap, &naps[1]), ==, 0);
	CHECK_INT(coop_spawn(&inner, nap, &naps[2]), ==, 0);
	CHECK_INT(coop_spawn(&g, nap, &naps[3]), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_group_cancel(&g, NULL);
	CHECK_INT(coop_group_join(&inner, 0), ==, COOP_ECANCELED);
	CHECK_INT(coop_group_join(&g, COOP_ECANCELED), ==, 0);
	CHECK_TRAIL("out1 out2 in1 in2 ");
	PROVES(B116);
	return 0;
}

/* Several cancels at once wake a task once: its handle, its group, one further out. */
TASK_TEST(a_task_is_woken_once)
{
	struct coop_group g = COOP_GROUP_INIT, inner = COOP_GROUP_INIT;
	struct coop_run_stats before, after;
	struct coop_handle *h;
	struct nap n = { .name = "n" };

	coop_group_open(&g, NULL);
	coop_group_open(&inner, NULL);
	CHECK_INT(coop_spawn_with(&inner, nap, &n, NULL, &h), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_run_stats(&before), ==, 0);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(coop_handle_cancel(h, NULL), ==, i > 0);
		CHECK_INT(coop_group_cancel(&inner, NULL), ==, i > 0);
		CHECK_INT(coop_group_cancel(&g, NULL), ==, i > 0);
	}
	CHECK_INT(coop_run_stats(&after), ==, 0);
	CHECK_INT(after.tasks_ready, ==, before.tasks_ready + 1);
	CHECK_INT(after.cancels_delivered, ==, before.cancels_delivered + 1);
	CHECK_INT(coop_group_join(&inner, 0), ==, COOP_ECANCELED);
	CHECK_INT(coop_group_join(&g, COOP_ECANCELED), ==, 0);
	CHECK_TRAIL("n ");
	CHECK_INT(n.rc, ==, COOP_ECANCELED);
	PROVES(B118);
	coop_handle_release(h);
	return 0;
}

/* A child whose creation gets its own group cancelled is cancelled like the others. */
static int cancels_its_group(void *arg)
{
	int r;

	coop_group_cancel(arg, "by the child that is being made");
	r = coop_sleep(COOP_NEVER);
	say("child %d ", r == COOP_ECANCELED);
	return r;
}

TASK_TEST(cancelled_while_being_spawned)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_spawn_opts eager = { .eager = true };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, cancels_its_group, &g, &eager, NULL), ==, 0);
	CHECK(coop_cancelled());
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("child 1 ");
	PROVES(B117);
	return 0;
}

/* ---- waits that take their time to end */

struct slow {
	struct coop_scope *scope;
	struct coop_task *task;
	int aborted; /* times the abort was called */
	int rc[2];
	bool at_once;
	bool ran_between;
};

static bool slow_abort(struct cp_wait *w)
{
	struct slow *s = w->ctx;

	s->aborted++;
	return s->at_once;
}

static int slow_call(struct slow *s)
{
	struct cp_wait w = { .abort = slow_abort, .what = "slow", .ctx = s };
	int r = cp_cancel_point(cp_rt);

	if (r < 0)
		return r;
	s->task = coop_self();
	r = cp_park(cp_rt, &w);
	if (r < 0)
		cp_ignored(cp_rt);
	return r;
}

static int slow_task(void *arg)
{
	struct slow *s = arg;
	struct coop_scope scope = COOP_SCOPE_INIT;

	coop_scope_open(&scope, NULL);
	s->scope = &scope;
	s->rc[0] = slow_call(s);
	s->rc[1] = coop_checkpoint();
	return coop_scope_close(&scope, s->rc[0] < 0 ? s->rc[0] : s->rc[1]);
}

/* The abort of a wait is called once, however many cancels come, and may say: at once. */
TASK_TEST(an_abort_that_takes_the_waiter_away)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct slow s = { .at_once = true };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, slow_task, &s), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_group_cancel(&g, NULL);
	CHECK_INT(s.aborted, ==, 1);
	coop_scope_cancel(s.scope, NULL);
	CHECK_INT(s.aborted, ==, 1);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(s.rc[0], ==, COOP_ECANCELED);
	CHECK_INT(s.aborted, ==, 1);
	PROVES(B113);
	return 0;
}

/* Or later: then the task stays blocked until the one who completes it says how it went. */
TASK_TEST(an_abort_that_is_answered_later)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct slow s = { .at_once = false };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, slow_task, &s), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_scope_cancel(s.scope, NULL);
	CHECK_INT(s.aborted, ==, 1);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	coop_group_cancel(&g, NULL);
	CHECK_INT(s.aborted, ==, 1);
	CHECK_INT(s.task->state, ==, CP_PARKED);
	cp_wake(cp_rt, s.task, COOP_ECANCELED);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(s.rc[0], ==, COOP_ECANCELED);
	CHECK_INT(s.rc[1], ==, COOP_ECANCELED);
	PROVES(B113);
	return 0;
}

/* While that goes on, a cancel that is hidden and shows again does not ask a second time. */
TASK_TEST(an_abort_is_asked_for_once)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct slow s = { .at_once = false };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, slow_task, &s), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_group_cancel(&g, NULL);
	CHECK_INT(s.aborted, ==, 1);
	CHECK_INT(coop_scope_set_shield(s.scope, true), ==, 0);
	CHECK_INT(s.task->cancelled, ==, 0);
	CHECK_INT(coop_scope_set_shield(s.scope, false), ==, 0);
	CHECK_INT(s.task->cancelled, !=, 0);
	CHECK_INT(s.aborted, ==, 1);
	cp_wake(cp_rt, s.task, COOP_ECANCELED);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(s.rc[0], ==, COOP_ECANCELED);
	PROVES(B113);
	return 0;
}

/* What completes in spite of the abort is delivered; the cancel is for the next checkpoint. */
TASK_TEST(an_abort_that_comes_too_late)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct slow s = { .at_once = false };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, slow_task, &s), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_group_cancel(&g, NULL);
	cp_wake(cp_rt, s.task, 4096);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(s.rc[0], ==, 4096);
	CHECK_INT(s.rc[1], ==, COOP_ECANCELED);
	PROVES(B114);
	return 0;
}

/* A shield that goes up while the abort is on its way does not save this call, but the next. */
TASK_TEST(a_shield_raised_during_the_abort)
{
	struct coop_group outer = COOP_GROUP_INIT, g = COOP_GROUP_INIT;
	struct slow s = { .at_once = false };
	struct coop_handle *h;

	coop_group_open(&outer, NULL);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, slow_task, &s, NULL, &h), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_group_cancel(&outer, NULL);
	CHECK_INT(s.aborted, ==, 1);
	CHECK_INT(coop_scope_set_shield(coop_group_scope(&g), true), ==, 0);
	cp_wake(cp_rt, s.task, COOP_ECANCELED);
	CHECK_INT(coop_group_join(&g, 0), ==, 0); /* nothing outside is visible: it stops here */
	CHECK_INT(s.rc[0], ==, COOP_ECANCELED);
	CHECK_INT(s.rc[1], ==, 0);
	CHECK_INT(coop_handle_state(h), ==, COOP_TASK_CANCELLED);
	PROVES(B115);
	coop_handle_release(h);
	return coop_group_join(&outer, COOP_ECANCELED);
}

static int wakes_a_sleeper(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_task *t;

	(void)arg;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	t = g._first;
	coop_yield();
	cp_wake(cp_rt, t, 0);
	return coop_group_join(&g, 0);
}

/* Nobody can wake a sleeper for ever by mistake. */
TEST_ABORT(waking_who_sleeps_for_ever, "assertion failed")
{
	PROVES(B217);
	(void)!coop_run(wakes_a_sleeper, NULL, &virtual_clock);
}

/* ---- by handle */

/* A handle cancels exactly its task; the group has no error, who waits for it is told apart. */
static int waits_for(void *arg)
{
	struct late *l = arg;

	l->rc[0] = coop_handle_wait(l->handle, &l->value);
	l->rc[1] = coop_checkpoint();
	return 0;
}

TASK_TEST(cancelling_one_task_by_its_handle)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct late l = { .value = -1 };
	struct nap sibling = { .ms = 20 }, child = { 0 };
	struct family f = { .nap = { .name = "f" }, &child, 1, .body_sleeps = true };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, nap, &sibling), ==, 0);
	CHECK_INT(coop_spawn_with(&g, family, &f, NULL, &l.handle), ==, 0);
	CHECK_INT(coop_spawn(&g, waits_for, &l), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(coop_handle_cancel(l.handle, "just this one"), ==, 0);
	CHECK_INT(coop_group_join(&g, 3), ==, 3);

	CHECK_INT(f.nap.at_ms, ==, 5);
	CHECK_INT(child.at_ms, ==, 5); /* what it had opened went with it */
	CHECK_INT(sibling.rc, ==, 0);
	CHECK_INT(sibling.at_ms, ==, 20);
	PROVES(B106);
	CHECK_INT(coop_handle_state(l.handle), ==, COOP_TASK_CANCELLED);
	CHECK_INT(l.rc[0], ==, COOP_ETASKCANCELLED);
	CHECK_INT(l.rc[1], ==, 0);
	CHECK_INT(l.value, ==, -1);
	CHECK_INT(coop_handle_result(l.handle, &l.value), ==, COOP_ETASKCANCELLED);
	CHECK(coop_handle_error(l.handle) == NULL);
	PROVES(B107, B108);
	CHECK_INT(coop_handle_cancel(l.handle, NULL), ==, 1);
	CHECK_INT(coop_handle_state(l.handle), ==, COOP_TASK_CANCELLED);
	coop_handle_release(l.handle);
	return 0;
}

/* Who waits for a task and is cancelled gets the other code, and the task goes on. */
TASK_TEST(cancelling_who_waits_for_a_task)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct late l = { .value = -1 };
	struct coop_handle *waiter;
	struct nap n = { .ms = 20 };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, nap, &n, NULL, &l.handle), ==, 0);
	CHECK_INT(coop_spawn_with(&g, waits_for_handle, &l, NULL, &waiter), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(coop_handle_cancel(waiter, NULL), ==, 0);
	CHECK_INT(coop_handle_wait(waiter, NULL), ==, COOP_ETASKCANCELLED);
	CHECK_INT(now_ms(), ==, 5);
	CHECK_INT(l.rc[0], ==, COOP_ECANCELED);
	CHECK(!coop_handle_cancel_called(l.handle));
	CHECK_INT(coop_handle_state(l.handle), ==, COOP_TASK_BLOCKED);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(n.rc, ==, 0);
	CHECK_INT(now_ms(), ==, 20);
	PROVES(B108, B109);
	coop_handle_release(waiter);
	coop_handle_release(l.handle);
	return 0;
}

/* A cancel of what has ended, well, badly or cancelled, changes nothing of it. */
TASK_TEST(cancelling_what_has_ended)
{
	static const struct {
		coop_fn *fn;
		intptr_t arg;
		enum coop_task_state state;
		int result;
	} ends[] = {
		{ sleep_ms, 1, COOP_TASK_FINISHED, 0 },
		{ fail_after_ms, 1, COOP_TASK_FAILED, -EIO },
		{ sleep_for_ever, 0, COOP_TASK_CANCELLED, COOP_ETASKCANCELLED },
	};
	struct coop_group_opts collect = { .policy = COOP_COLLECT };

	for (size_t i = 0; i < CP_ARRAY_LEN(ends); i++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct coop_handle *h;

		coop_group_open(&g, &collect);
		CHECK_INT(coop_spawn_with(&g, ends[i].fn, (void *)ends[i].arg, NULL, &h), ==, 0);
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
		if (ends[i].state == COOP_TASK_CANCELLED)
			CHECK_INT(coop_handle_cancel(h, NULL), ==, 0);
		coop_yield();
		for (int twice = 0; twice < 2; twice++) {
			CHECK_INT(coop_handle_state(h), ==, ends[i].state);
			CHECK_INT(coop_handle_result(h, NULL), ==, ends[i].result);
			CHECK_INT(coop_handle_cancel(h, "too late"), ==, 1);
		}
		CHECK_INT(coop_handle_cancel_called(h), ==, ends[i].state == COOP_TASK_CANCELLED);
		CHECK_INT(coop_group_join(&g, 0), ==, ends[i].result == -EIO ? -EIO : 0);
		coop_error_clear();
		CHECK_INT(coop_group_cancel(&g, NULL), ==, 1);
		coop_handle_release(h);
	}
	PROVES(B100);
	return 0;
}

/* ---- around */

/* errno is a task's own across switches, whoever else sets it in between. */
static int sets_errno(void *arg)
{
	int mine = (int)(intptr_t)arg;

	CHECK_INT(errno, ==, 0);
	for (int i = 0; i < 100; i++) {
		errno = mine + i;
		CHECK_INT(i % 2 ? coop_yield() : coop_sleep(MS(1)), ==, 0);
		CHECK_INT(errno, ==, mine + i);
	}
	return 0;
}

TASK_TEST(errno_belongs_to_the_task)
{
	struct coop_group g = COOP_GROUP_INIT;

	errno = 4711;
	coop_group_open(&g, NULL);
	for (intptr_t i = 1; i <= 5; i++)
		CHECK_INT(coop_spawn(&g, sets_errno, (void *)(1000 * i)), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(errno, ==, 4711);
	PROVES(B120);
	return 0;
}

/* A checkpoint in the clean-up of a cancelled task fails too, unless it is shielded. */
static int cleans_up(void *arg)
{
	struct coop_scope shield = COOP_SCOPE_INIT;
	struct coop_scope_opts hard = { .shield = true };
	int r = coop_sleep(COOP_NEVER);

	(void)arg;
	CHECK_INT(coop_sleep(MS(1)), ==, COOP_ECANCELED);
	coop_scope_open(&shield, &hard);
	CHECK_INT(coop_sleep(MS(10)), ==, 0);
	say("cleaned at %d ", (int)now_ms());
	CHECK_INT(coop_scope_close(&shield, 0), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, COOP_ECANCELED);
	return r;
}

/* A second cancel, of a scope further out, does not get into a shielded clean-up either. */
TASK_TEST(checkpoints_in_clean_up)
{
	struct coop_group outer = COOP_GROUP_INIT, g = COOP_GROUP_INIT;
	struct coop_handle *h;

	coop_group_open(&outer, NULL);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, cleans_up, NULL, NULL, &h), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(coop_handle_cancel(h, "first"), ==, 0);
	CHECK_INT(coop_sleep(MS(2)), ==, 0);
	coop_group_cancel(&g, "second");
	coop_group_cancel(&outer, "third");
	CHECK_INT(coop_group_join(&g, 0), ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 15);
	CHECK_TRAIL("cleaned at 15 ");
	PROVES(B121, B122);
	coop_handle_release(h);
	return coop_group_join(&outer, COOP_ECANCELED);
}
