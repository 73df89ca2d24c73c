/* SPDX-License-Identifier: MIT */
/*
 * A group while it lives: what it tells of itself, who waits for it and how, limits, services and
 * essential children in the corners, and what becomes of a cancellation that meets a join.
 */
#include "group_help.h"

#include "core/core.h"

/* ---- numbers */

/* Every number that a group tells, at every turn of its life. */
TASK_TEST(numbers_of_a_group)
{
	struct coop_spawn_opts service = { .service = true };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_group_stats s;
	struct coop_handle *h;

	CHECK_INT(coop_group_stats(&g, &s), ==, COOP_ENOTOPEN);
	coop_group_open(&g, &(struct coop_group_opts){ .policy = COOP_COLLECT, .running_max = 5 });
	s = stats_of(&g);
	CHECK_INT(s.running_max, ==, 5);
	CHECK_INT(s.running, ==, 0);
	CHECK_INT(s.peak, ==, 0);
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(10)), ==, 0);
	CHECK_INT(coop_spawn(&g, fail_after_ms, MSARG(10)), ==, 0);
	CHECK_INT(coop_spawn_with(&g, sleep_for_ever, NULL, NULL, &h), ==, 0);
	CHECK_INT(coop_spawn_with(&g, sleep_for_ever, NULL, &service, NULL), ==, 0);
	s = stats_of(&g);
	CHECK_INT(s.running, ==, 4);
	CHECK_INT(s.blocked, ==, 0);
	CHECK_INT(s.services, ==, 1);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(stats_of(&g).blocked, ==, 4);
	CHECK_INT(coop_handle_cancel(h, NULL), ==, 0);
	coop_handle_release(h);
	CHECK_INT(coop_sleep(MS(10)), ==, 0);
	s = stats_of(&g);
	CHECK_INT(s.running, ==, 1);
	CHECK_INT(s.finished, ==, 1);
	CHECK_INT(s.failed, ==, 1);
	CHECK_INT(s.cancelled, ==, 1);
	CHECK_INT(s.errors, ==, 1);
	CHECK_INT(s.errors_kept, ==, 1);
	CHECK_INT(s.logged, ==, 0);
	CHECK_INT(s.peak, ==, 4);
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(1)), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, -EIO);
	s = stats_of(&g); /* those it ended with */
	CHECK_INT(s.running, ==, 0);
	CHECK_INT(s.services, ==, 0);
	CHECK_INT(s.finished, ==, 2);
	CHECK_INT(s.failed, ==, 1);
	CHECK_INT(s.cancelled, ==, 2);
	CHECK_INT(s.peak, ==, 4);
	coop_error_clear();
	PROVES(B37);
	return 0;
}

/* ---- waiting without closing */

static struct coop_group *shared;
static int waits_done;

static int waits_until_idle(void *arg)
{
	int r = coop_group_wait(shared);

	(void)arg;
	waits_done++;
	say("%d at %d ", r, (int)now_ms());
	return r < 0 ? r : 0;
}

/* Waiting until nobody is left: again and again, by several, without a word about errors, and
 * without closing anything. */
TASK_TEST(waiting_until_idle)
{
	struct coop_spawn_opts service = { .service = true };
	struct coop_group g = COOP_GROUP_INIT, waiters = COOP_GROUP_INIT;

	coop_group_open(&g, &(struct coop_group_opts){ .policy = COOP_COLLECT });
	shared = &g;
	CHECK_INT(coop_group_wait(&g), ==, 0);
	CHECK_INT(coop_spawn_with(&g, sleep_for_ever, NULL, &service, NULL), ==, 0);
	CHECK_INT(coop_group_wait(&g), ==, 0); /* services apart */
	CHECK_INT(now_ms(), ==, 0);
	coop_group_open(&waiters, NULL);
	CHECK_INT(coop_spawn(&g, fail_after_ms, MSARG(10)), ==, 0);
	CHECK_INT(coop_spawn(&waiters, waits_until_idle, NULL), ==, 0);
	CHECK_INT(coop_spawn(&waiters, waits_until_idle, NULL), ==, 0);
	CHECK_INT(coop_group_wait(&g), ==, 0);
	CHECK_INT(coop_group_join(&waiters, 0), ==, 0);
	CHECK_TRAIL("0 at 10 0 at 10 ");
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(10)), ==, 0); /* it goes on */
	CHECK_INT(coop_group_wait(&g), ==, 0);
	CHECK_INT(now_ms(), ==, 20);
	CHECK_INT(coop_group_join(&g, 0), ==, -EIO); /* the join delivers */
	coop_error_clear();
	PROVES(B36);
	return 0;
}

/* Who waits can be cancelled; the children go on. A child that waits for its group is told so. */
TASK_TEST(waiting_is_cancelled)
{
	struct coop_group g = COOP_GROUP_INIT, waiters = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	shared = &g;
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(10)), ==, 0);
	coop_group_open(&waiters, NULL);
	CHECK_INT(coop_spawn(&waiters, waits_until_idle, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(2)), ==, 0);
	coop_group_cancel(&waiters, NULL);
	CHECK_INT(coop_group_join(&waiters, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 2);
	CHECK_INT(stats_of(&g).running, ==, 1);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 10);
	PROVES(B36);
	return 0;
}

static int joins_it(void *arg)
{
	struct coop_group *g = arg;

	CHECK_INT(coop_group_join(g, 5), ==, COOP_EWRONGTASK);
	CHECK_INT(coop_group_join(g, -EIO), ==, COOP_EWRONGTASK);
	return coop_checkpoint(); /* nothing was cancelled by that */
}

/* A group is nothing to be awaited: others can wait until it is idle, and get neither result nor
 * error of it; what came of it is told once, to the task that opened it, when it leaves. */
TASK_TEST(only_its_opener_leaves_it)
{
	struct coop_group g = COOP_GROUP_INIT, others = COOP_GROUP_INIT;
	int r;

	coop_group_open(&g, &(struct coop_group_opts){ .policy = COOP_COLLECT });
	shared = &g;
	CHECK_INT(coop_spawn(&g, fail_after_ms, MSARG(3)), ==, 0);
	coop_group_open(&others, NULL);
	CHECK_INT(coop_spawn(&others, joins_it, &g), ==, 0);
	CHECK_INT(coop_spawn(&others, waits_until_idle, NULL), ==, 0);
	CHECK_INT(coop_group_join(&others, 0), ==, 0);
	CHECK_TRAIL("0 at 3 ");
	r = coop_group_join(&g, 5);
	CHECK_INT(r, ==, -EIO);
	CHECK_INT(coop_group_join(&g, 5), ==, COOP_ECLOSED);
	coop_error_clear();
	PROVES(S89, B27);
	return 0;
}

/* Leaving waits for all of them, and gives all errors, or the cancellation if there are none. */
TASK_TEST(leaving)
{
	struct coop_group g = COOP_GROUP_INIT, h = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	coop_group_open(&g, &(struct coop_group_opts){ .policy = COOP_COLLECT });
	CHECK_INT(coop_spawn(&g, fail_after_ms, MSARG(5)), ==, 0);
	CHECK_INT(coop_spawn(&g, fail_after_ms, MSARG(10)), ==, 0);
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(20)), ==, 0);
	r = coop_group_join(&g, 0);
	CHECK_INT(now_ms(), ==, 20);
	CHECK_STR(leaves_of(coop_error_peek(r)), "EIO EIO ");
	coop_scope_open(&s, &(struct coop_scope_opts){ .timeout_ns = MS(10) });
	coop_group_open(&h, NULL);
	CHECK_INT(coop_spawn(&h, cleans_up, NULL), ==, 0);
	r = coop_group_join(&h, 0);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 33);
	CHECK_TRAIL("cleaned at 33 ");
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	PROVES(S93, B1, B4);
	return 0;
}

static int ends_well_though_cancelled(void *arg)
{
	CHECK_INT(coop_sleep(COOP_NEVER), ==, COOP_ECANCELED);
	(void)arg;
	return 3;
}

/* A join that is cancelled while it waits, where all children end well in spite of it: it returns
 * what the body said, and the next checkpoint is cancelled. However often it is cancelled, nothing
 * is delivered twice. */
TASK_TEST(cancelled_join_of_children_that_end_well)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&s, &(struct coop_scope_opts){ .timeout_ns = MS(5) });
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, ends_well_though_cancelled, NULL), ==, 0);
	r = coop_group_join(&g, 2);
	CHECK_INT(r, ==, 2);
	CHECK_INT(now_ms(), ==, 5);
	CHECK_INT(stats_of(&g).finished, ==, 1);
	CHECK_INT(coop_checkpoint(), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, r), ==, 2);
	CHECK(!coop_scope_caught(&s));
	PROVES(B4, B48);
	return 0;
}

static int cancels_again_and_again(void *arg)
{
	struct coop_scope *s = arg;

	for (int i = 0; i < 5; i++) {
		coop_scope_cancel(s, "again");
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
	}
	return 0;
}

static uint64_t delivered(void)
{
	struct coop_run_stats stats;

	CHECK_INT(coop_run_stats(&stats), ==, 0);
	return stats.cancels_delivered;
}

/* Cancelled again and again while its children clean up, a join waits; each task is told once. */
TASK_TEST(cancelled_again_and_again)
{
	struct coop_group canceller = COOP_GROUP_INIT, g = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	coop_group_open(&canceller, NULL);
	coop_scope_open(&s, NULL);
	coop_group_open(&g, NULL);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_spawn(&g, cleans_up, NULL), ==, 0);
	CHECK_INT(coop_spawn(&canceller, cancels_again_and_again, &s), ==, 0);
	r = coop_group_join(&g, 0);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(delivered(), ==, 3);
	CHECK_TRAIL("cleaned at 3 cleaned at 3 cleaned at 3 ");
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	CHECK_INT(coop_group_join(&canceller, 0), ==, 0);
	PROVES(B5);
	return 0;
}

/* Cancelled before it is opened: body and children are cancelled at their first checkpoint. */
TASK_TEST(cancelled_before_it_is_opened)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct nap n = { .ms = 10 };

	CHECK_INT(coop_group_cancel(&g, "early"), ==, 0);
	CHECK_INT(coop_group_cancel(&g, "again"), ==, 1);
	CHECK_INT(coop_checkpoint(), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, nap, &n), ==, 0);
	CHECK_INT(coop_checkpoint(), ==, COOP_ECANCELED);
	CHECK_INT(coop_group_join(&g, COOP_ECANCELED), ==, 0);
	CHECK_INT(n.rc, ==, COOP_ECANCELED);
	PROVES(B34, B20);
	return 0;
}

/* ---- limits */

static int spawns_one(void *arg)
{
	int r = coop_spawn_wait(shared, nap, arg);

	say("%s at %d ", r < 0 ? "cancelled" : "in", (int)now_ms());
	return r;
}

/* Spawners that wait for room are let in first come, first served; raising the limit lets them in
 * at once, lowering it ends nobody; one that is cancelled has not spawned. */
TASK_TEST(limits_that_change)
{
	struct coop_group g = COOP_GROUP_INIT, spawners = COOP_GROUP_INIT;
	struct nap n[5];
	struct coop_handle *h;

	for (int i = 0; i < 5; i++)
		n[i] = (struct nap){ .ms = 20 };
	coop_group_open(&g, &(struct coop_group_opts){ .running_max = 1 });
	shared = &g;
	CHECK_INT(coop_spawn(&g, nap, &n[0]), ==, 0);
	coop_group_open(&spawners, NULL);
	CHECK_INT(coop_spawn(&spawners, spawns_one, &n[1]), ==, 0);
	CHECK_INT(coop_spawn_with(&spawners, spawns_one, &n[2], NULL, &h), ==, 0);
	CHECK_INT(coop_spawn(&spawners, spawns_one, &n[3]), ==, 0);
	CHECK_INT(coop_sleep(MS(2)), ==, 0);
	CHECK_INT(stats_of(&g).waiting, ==, 3);
	CHECK_INT(coop_spawn(&g, nap, &n[4]), ==, -EAGAIN);
	CHECK_INT(coop_handle_cancel(h, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(2)), ==, 0);
	CHECK_TRAIL("cancelled at 2 ");
	CHECK_INT(stats_of(&g).waiting, ==, 2);
	CHECK_INT(coop_group_set_running_max(&g, 2), ==, 0);
	CHECK_INT(stats_of(&g).waiting, ==, 1); /* its place is taken */
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_TRAIL("in at 4 ");
	CHECK(n[1].began && !n[3].began);
	CHECK_INT(coop_group_set_running_max(&g, 1), ==, 0);
	CHECK_INT(stats_of(&g).running, ==, 2);
	CHECK_INT(coop_group_join(&spawners, 0), ==, 0);
	CHECK_TRAIL("in at 24 "); /* not at 20, when the first has ended */
	CHECK_INT(coop_group_set_running_max(&g, 0), ==, 0);
	CHECK_INT(coop_spawn(&g, nap, &n[4]), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(n[0].rc + n[1].rc + n[3].rc + n[4].rc, ==, 0);
	CHECK(!n[2].began);
	coop_handle_release(h);
	PROVES(B29, B31);
	return 0;
}

static int waits_for_all(void *arg)
{
	(void)arg;
	return coop_group_wait(shared);
}

/* Whoever waits for the end of all stands in nobody's way: where there is room it is given. */
TASK_TEST(a_wait_takes_no_room)
{
	struct coop_group g = COOP_GROUP_INIT, waiters = COOP_GROUP_INIT;
	struct nap n[3] = { { .ms = 20 }, { .ms = 5 }, { .ms = 5 } };

	coop_group_open(&g, &(struct coop_group_opts){ .running_max = 2 });
	shared = &g;
	CHECK_INT(coop_spawn(&g, nap, &n[0]), ==, 0);
	coop_group_open(&waiters, NULL);
	CHECK_INT(coop_spawn(&waiters, waits_for_all, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_spawn(&g, nap, &n[1]), ==, 0);
	CHECK_INT(coop_spawn(&g, nap, &n[2]), ==, -EAGAIN);
	CHECK_INT(coop_sleep(MS(6)), ==, 0); /* 7: there is room again */
	CHECK_INT(coop_spawn_wait(&g, nap, &n[2]), ==, 0);
	CHECK_INT(now_ms(), ==, 7);
	CHECK_INT(coop_group_join(&waiters, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 20);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	PROVES(B29);
	return 0;
}

static int last_in;

static int comes_in_turn(void *arg)
{
	int r = coop_spawn_wait(shared, sleep_ms, MSARG(1));

	CHECK_INT((int)(intptr_t)arg, ==, last_in + 1);
	last_in++;
	return r;
}

static int all_are_in(void *arg)
{
	int r = coop_group_wait(shared);

	CHECK_INT(last_in, ==, (int)(intptr_t)arg);
	return r;
}

/* However many stand at the limit of a group or wait for its end, the end of a child looks at the
 * one that it lets in and at one more; whoever wants room comes before those that wait for the
 * end, whenever it came, and in the order in which it came. */
TASK_TEST(an_end_looks_at_few_waiters)
{
	struct coop_group g = COOP_GROUP_INIT, waiters = COOP_GROUP_INIT;
	enum { SPAWNERS = 1000, WAITERS = 500 };
	uint64_t seen;

	last_in = 0;
	coop_group_open(&g, &(struct coop_group_opts){ .running_max = 2 });
	shared = &g;
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(1)), ==, 0);
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(1)), ==, 0);
	coop_group_open(&waiters, NULL);
	for (int i = 1; i <= SPAWNERS; i++) {
		CHECK_INT(coop_spawn(&waiters, comes_in_turn, MSARG(i)), ==, 0);
		if (i % (SPAWNERS / WAITERS) == 0)
			CHECK_INT(coop_spawn(&waiters, all_are_in, MSARG(SPAWNERS)), ==, 0);
	}
	CHECK_INT(coop_checkpoint(), ==, 0);
	seen = cp_rt->waiters_seen;
	CHECK_INT(coop_group_join(&waiters, 0), ==, 0);
	CHECK_INT(last_in, ==, SPAWNERS);
	/* One that comes in, and one that does not yet, for each of the ends. */
	CHECK_INT(cp_rt->waiters_seen - seen, <=, 2 * (SPAWNERS + 2) + WAITERS);
	CHECK_INT(cp_rt->waiters_seen - seen, >=, SPAWNERS + WAITERS);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	PROVES(B29);
	return 0;
}

static struct coop_handle *standing[6];

static int leaves_the_others(void *arg)
{
	intptr_t i = (intptr_t)arg;
	int r = i % 2 ? coop_group_wait(shared) : coop_spawn_wait(shared, sleep_ms, MSARG(1));

	say("%d%s ", (int)i, r == COOP_ECANCELED ? "-" : r < 0 ? "?" : "+");
	return r;
}

/* Those that are cancelled at the limit, first, last or between, of both kinds, leave the order of
 * the others as it was: each set of those that go. */
TASK_TEST(waiters_that_leave)
{
	static const int order[6] = { 0, 2, 4, 1, 3, 5 };

	for (unsigned gone = 0; gone < 64; gone++) {
		struct coop_group g = COOP_GROUP_INIT, waiters = COOP_GROUP_INIT;
		char want[64] = "";

		coop_group_open(&g, &(struct coop_group_opts){ .running_max = 1 });
		shared = &g;
		CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(5)), ==, 0);
		coop_group_open(&waiters, NULL);
		for (int i = 0; i < 6; i++)
			CHECK_INT(coop_spawn_with(&waiters, leaves_the_others, MSARG(i), NULL,
						  &standing[i]),
				  ==, 0);
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
		CHECK_INT(stats_of(&g).waiting, ==, 3);
		for (int i = 0; i < 6; i++)
			if (gone & 1u << i) {
				CHECK_INT(coop_handle_cancel(standing[i], NULL), ==, 0);
				sprintf(want + strlen(want), "%d- ", i);
			}
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
		for (int i = 0; i < 6; i++)
			if (!(gone & 1u << order[i]))
				sprintf(want + strlen(want), "%d+ ", order[i]);
		CHECK_INT(coop_group_join(&waiters, 0), ==, 0);
		CHECK_TRAIL(want);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		for (int i = 0; i < 6; i++)
			coop_handle_release(standing[i]);
	}
	PROVES(B29, B31);
	return 0;
}

/* ---- whose what */

static const struct coop_local user = { "user" };
static char ann[] = "ann", bob[] = "bob";
static void *seen_local;

static int sees_local(void *arg)
{
	(void)arg;
	seen_local = coop_local_get(&user);
	return coop_sleep(COOP_NEVER);
}

static int spawns_elsewhere(void *arg)
{
	CHECK_INT(coop_local_set(&user, bob), ==, 0);
	CHECK_INT(coop_spawn(arg, sees_local, NULL), ==, 0);
	return 0;
}

/* A task spawned into somebody else's group is cancelled with the group, not with its spawner, and
 * has the locals of its spawner, not of the group's opener. */
TASK_TEST(spawned_from_elsewhere)
{
	struct coop_group g = COOP_GROUP_INIT, spawners = COOP_GROUP_INIT;

	CHECK_INT(coop_local_set(&user, ann), ==, 0);
	coop_group_open(&g, NULL);
	coop_group_open(&spawners, NULL);
	CHECK_INT(coop_spawn(&spawners, spawns_elsewhere, &g), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_group_cancel(&spawners, "not the other one");
	CHECK_INT(coop_group_join(&spawners, 0), ==, 0);
	CHECK(seen_local == bob);
	CHECK_INT(stats_of(&g).running, ==, 1);
	coop_group_cancel(&g, NULL);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(stats_of(&g).cancelled, ==, 1);
	PROVES(B14);
	return 0;
}

static int tries_to_spawn(void *arg)
{
	int r = coop_sleep(COOP_NEVER);

	CHECK_INT(coop_spawn(arg, sleep_for_ever, NULL), ==, COOP_ECLOSED);
	return r;
}

/* A service that fails fails its group; one that is told that its users are gone can spawn no
 * more; one that ends before them ends nobody. */
TASK_TEST(services_in_the_corners)
{
	struct coop_spawn_opts service = { .service = true };
	struct coop_group a = COOP_GROUP_INIT, b = COOP_GROUP_INIT, c = COOP_GROUP_INIT;

	coop_group_open(&a, NULL);
	CHECK_INT(coop_spawn_with(&a, fail_after_ms, MSARG(5), &service, NULL), ==, 0);
	CHECK_INT(coop_spawn(&a, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_group_join(&a, 0), ==, -EIO);
	CHECK_INT(stats_of(&a).cancelled, ==, 1);
	coop_group_open(&b, NULL);
	CHECK_INT(coop_spawn_with(&b, tries_to_spawn, &b, &service, NULL), ==, 0);
	CHECK_INT(coop_group_join(&b, 0), ==, 0);
	CHECK_INT(stats_of(&b).cancelled, ==, 1);
	coop_group_open(&c, NULL);
	CHECK_INT(coop_spawn_with(&c, sleep_ms, MSARG(1), &service, NULL), ==, 0);
	CHECK_INT(coop_spawn_with(&c, fails_when_cancelled, CODE(-EPIPE), &service, NULL), ==, 0);
	CHECK_INT(coop_spawn(&c, sleep_ms, MSARG(5)), ==, 0);
	CHECK_INT(coop_group_join(&c, 0), ==, -EPIPE);
	CHECK_INT(stats_of(&c).finished, ==, 2);
	CHECK_INT(now_ms(), ==, 10);
	coop_error_clear();
	PROVES(B22);
	return 0;
}

/* The end of an essential child cancels the rest, however it ends: that is no failure by itself. */
TASK_TEST(essential_children_in_the_corners)
{
	struct coop_spawn_opts essential = { .essential = true };
	struct coop_group a = COOP_GROUP_INIT, b = COOP_GROUP_INIT, c = COOP_GROUP_INIT;
	struct coop_handle *h;

	coop_group_open(&a, &(struct coop_group_opts){ .policy = COOP_COLLECT });
	CHECK_INT(coop_spawn(&a, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_spawn_with(&a, fail_after_ms, MSARG(5), &essential, NULL), ==, 0);
	CHECK_INT(coop_group_join(&a, 0), ==, -EIO);
	CHECK_INT(stats_of(&a).cancelled, ==, 1);
	CHECK_INT(now_ms(), ==, 5);
	coop_group_open(&b, NULL);
	CHECK_INT(coop_spawn(&b, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_spawn_with(&b, sleep_for_ever, NULL, &essential, &h), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_handle_cancel(h, NULL), ==, 0);
	CHECK_INT(coop_group_join(&b, 0), ==, 0);
	CHECK_INT(stats_of(&b).cancelled, ==, 2);
	coop_group_open(&c, NULL);
	CHECK_INT(coop_spawn_with(&c, sleep_ms, MSARG(1), &essential, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, COOP_ECANCELED); /* the body is of the rest */
	CHECK_INT(coop_group_join(&c, 1), ==, 1);
	coop_handle_release(h);
	coop_error_clear();
	PROVES(B23);
	return 0;
}

/* ---- groups in groups */

static int inner_of_two(void *arg)
{
	struct coop_group inner = COOP_GROUP_INIT;
	int r;

	coop_group_open(&inner, &(struct coop_group_opts){ .name = "inner" });
	CHECK_INT(coop_spawn(&inner, arg ? fails_when_cancelled : sleep_for_ever, arg), ==, 0);
	r = coop_group_join(&inner, coop_sleep(COOP_NEVER));
	if (arg)
		CHECK(info_of(coop_error_peek(r)).cancel_pending); /* B41: beside the error */
	return r;
}

/* The outer group fails first: an inner one that only is cancelled adds nothing to its error; one
 * in which the clean-up fails adds its group, and the failure outranks the cancellation. */
TASK_TEST(nested_groups_of_a_failed_one)
{
	struct coop_group g = COOP_GROUP_INIT, h = COOP_GROUP_INIT;
	struct coop_error *e;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, inner_of_two, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, fail_after_ms, MSARG(2)), ==, 0);
	e = coop_error_take(coop_group_join(&g, 0));
	CHECK_STR(leaves_of(e), "EIO ");
	CHECK_INT(info_of(e).members, ==, 1);
	CHECK_INT(info_of(e).cancelled, ==, 1);
	coop_error_unref(e);
	PROVES(B40);
	coop_group_open(&h, NULL);
	CHECK_INT(coop_spawn(&h, inner_of_two, CODE(-EPIPE)), ==, 0);
	CHECK_INT(coop_spawn(&h, fail_after_ms, MSARG(2)), ==, 0);
	e = coop_error_take(coop_group_join(&h, 0));
	CHECK_STR(leaves_of(e), "EIO EPIPE ");
	CHECK_STR(info_of(coop_error_member(e, 1)).name, "inner");
	CHECK(!info_of(e).cancel_pending); /* it was this group's own */
	coop_error_unref(e);
	PROVES(B41);
	return 0;
}

static int fails_inside(void *arg)
{
	struct coop_group inner = COOP_GROUP_INIT;

	coop_group_open(&inner, NULL);
	CHECK_INT(coop_spawn(&inner, fail_after_ms, arg), ==, 0);
	return coop_group_join(&inner, 0);
}

/* An inner child fails, and the outer group is cancelled by that: a group in a group. */
TASK_TEST(nested_group_that_fails)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_error *e;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(10000)), ==, 0);
	CHECK_INT(coop_spawn(&g, fails_inside, MSARG(100)), ==, 0);
	e = coop_error_take(coop_group_join(&g, 0));
	CHECK_INT(now_ms(), ==, 100);
	CHECK_INT(coop_error_code(e), ==, -EIO);
	CHECK_INT(info_of(coop_error_member(e, 0)).kind, ==, COOP_ERROR_GROUP);
	CHECK_INT(info_of(coop_error_member(coop_error_member(e, 0), 0)).kind, ==, COOP_ERROR_LEAF);
	coop_error_unref(e);
	PROVES(B39);
	return 0;
}

static int handles_inside(void *arg)
{
	int r = fails_inside(arg);

	CHECK_INT(r, ==, -EIO);
	coop_error_clear(); /* handled */
	r = coop_checkpoint();
	CHECK_INT(r, ==, COOP_ECANCELED); /* but the outer group has failed meanwhile */
	return r;
}

/* Both fail at one instant and the inner failure is handled: what follows is cancelled all the
 * same, and the outer failure alone comes out. */
TASK_TEST(handled_inside_and_failed_outside)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, handles_inside, MSARG(5)), ==, 0);
	CHECK_INT(coop_spawn(&g, fail_after_ms, MSARG(5)), ==, 0);
	r = coop_group_join(&g, 0);
	CHECK_INT(r, ==, -EIO);
	CHECK_STR(leaves_of(coop_error_peek(r)), "EIO ");
	CHECK_INT(info_of(coop_error_peek(r)).cancelled, ==, 1);
	PROVES(B38);
	return 0;
}
