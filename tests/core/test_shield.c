/* SPDX-License-Identifier: MIT */
/*
 * Hard shields: what they hide, what they do not, whom they protect, and what happens when
 * they are raised and lowered while something waits outside or is on its way.
 */
#include "core_help.h"

#include "core/core.h"

static const struct coop_scope_opts hard = { .shield = true };

/* A shield hides what is outside: cancelled before, cancelled meanwhile, at any distance. */
TASK_TEST(a_shield_hides_what_is_outside)
{
	struct coop_scope far_out = COOP_SCOPE_INIT, outer = COOP_SCOPE_INIT;
	struct coop_scope s = COOP_SCOPE_INIT, inside = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&far_out, NULL);
	coop_scope_open(&outer, NULL);
	coop_scope_cancel(&outer, NULL);
	CHECK(coop_cancelled());
	coop_scope_open(&s, &hard);
	CHECK(!coop_cancelled());
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	coop_scope_cancel(&far_out, NULL);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	coop_scope_open(&inside, NULL);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(coop_scope_close(&inside, 0), ==, 0);
	CHECK_INT(coop_scope_close(&s, 7), ==, 7);
	CHECK(!coop_scope_caught(&s));
	r = coop_sleep(MS(5));
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 15);
	r = coop_scope_close(&outer, r);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&far_out, r), ==, 0);
	PROVES(B185);
	return 0;
}

/* A shield does not hide its own cancel, nor that of a scope inside it. */
TASK_TEST(a_shield_does_not_hide_its_own_cancel)
{
	struct coop_scope s = COOP_SCOPE_INIT, t = COOP_SCOPE_INIT, inside = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&s, &hard);
	coop_scope_cancel(&s, NULL);
	r = coop_sleep(MS(5));
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	CHECK(coop_scope_caught(&s));

	coop_scope_open(&t, &hard);
	coop_scope_open(&inside, NULL);
	coop_scope_cancel(&inside, NULL);
	r = coop_sleep(MS(5));
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&inside, r), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(coop_scope_close(&t, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 5);
	PROVES(B186);
	return 0;
}

/* ---- raised and lowered */

struct toggle {
	struct coop_scope *scope;
	int64_t at_ms;
	bool shield;
};

static int toggles(void *arg)
{
	struct toggle *t = arg;
	int r = coop_sleep(MS(t->at_ms));

	return r < 0 ? r : coop_scope_set_shield(t->scope, t->shield);
}

/* Lowered, it lets a cancel that waits outside into the call that is blocked, at that moment. */
TASK_TEST(lowering_a_shield_interrupts)
{
	struct coop_scope outer = COOP_SCOPE_INIT, s = COOP_SCOPE_INIT, inside = COOP_SCOPE_INIT;
	struct toggle t = { .scope = &s, .at_ms = 20, .shield = false };
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, toggles, &t), ==, 0);
	coop_scope_open(&outer, NULL);
	coop_scope_cancel(&outer, NULL);
	coop_scope_open(&s, &hard);
	coop_scope_open(&inside, NULL);
	r = coop_sleep(MS(100));
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 20);
	r = coop_scope_close(&inside, r);
	r = coop_scope_close(&s, r);
	CHECK_INT(coop_scope_close(&outer, r), ==, 0);
	PROVES(B187);
	return coop_group_join(&g, 0);
}

/* Raised and lowered by the task itself, it counts from the next checkpoint on. */
TASK_TEST(toggling_ones_own_shield)
{
	struct coop_scope outer = COOP_SCOPE_INIT, s = COOP_SCOPE_INIT;

	coop_scope_open(&outer, NULL);
	coop_scope_open(&s, NULL);
	coop_scope_cancel(&outer, NULL);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(coop_sleep(MS(1)), ==, COOP_ECANCELED);
		CHECK_INT(coop_scope_set_shield(&s, true), ==, 0);
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
		CHECK_INT(coop_scope_set_shield(&s, true), ==, 0);
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
		CHECK_INT(coop_scope_set_shield(&s, false), ==, 0);
	}
	CHECK_INT(now_ms(), ==, 6);
	CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_set_shield(&s, true), ==, COOP_ECLOSED);
	CHECK_INT(coop_scope_close(&outer, COOP_ECANCELED), ==, 0);
	PROVES(B187);
	return 0;
}

/* Who has been woken by a cancel gets it, though a shield is raised before it runs. */
static int shielded_child(void *arg)
{
	struct toggle *t = arg;
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	t->scope = &s;
	coop_scope_open(&s, NULL);
	r = coop_sleep(MS(50));
	say("%s ", r == COOP_ECANCELED ? "cancelled" : "slept");
	say("%s ", coop_sleep(MS(10)) == 0 ? "shielded" : "open");
	return coop_scope_close(&s, r);
}

TASK_TEST(raising_a_shield_on_a_cancel_that_is_on_its_way)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct toggle t = { .scope = NULL };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, shielded_child, &t), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_group_cancel(&g, NULL);
	CHECK_INT(coop_scope_set_shield(t.scope, true), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("cancelled shielded ");
	CHECK_INT(now_ms(), ==, 11);
	return 0;
}

/* A shield can be set on a scope and on a group before they are opened. */
TASK_TEST(a_shield_before_opening)
{
	struct coop_scope outer = COOP_SCOPE_INIT, s = COOP_SCOPE_INIT, t = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;
	struct nap n = { .ms = 10 };

	CHECK_INT(coop_scope_set_shield(&s, true), ==, 0);
	CHECK_INT(coop_scope_set_shield(&t, true), ==, 0);
	CHECK_INT(coop_scope_set_shield(&t, false), ==, 0);
	CHECK_INT(coop_scope_set_shield(coop_group_scope(&g), true), ==, 0);
	coop_scope_open(&outer, NULL);
	coop_scope_cancel(&outer, NULL);
	coop_scope_open(&s, NULL);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	coop_scope_open(&t, NULL);
	CHECK_INT(coop_sleep(MS(1)), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&t, 0), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, nap, &n), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(n.at_ms, ==, 11);
	CHECK_INT(coop_scope_close(&outer, COOP_ECANCELED), ==, 0);
	PROVES(B188);
	return 0;
}

/* ---- whom it protects */

/* A shield around the host's wait protects the host alone, not the children of its group. */
TASK_TEST(a_shield_of_the_host_only)
{
	struct coop_scope outer = COOP_SCOPE_INIT, s = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;
	struct nap n = { .ms = 50 };
	int r;

	coop_scope_open(&outer, NULL);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, nap, &n), ==, 0);
	coop_scope_open(&s, &hard);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	coop_scope_cancel(&outer, NULL);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(n.rc, ==, COOP_ECANCELED);
	CHECK_INT(n.at_ms, ==, 5);
	CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	r = coop_group_join(&g, 0);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&outer, r), ==, 0);
	PROVES(B189);
	return 0;
}

struct grandchildren {
	struct nap nap[2];
};

static int spawns_two(void *arg)
{
	struct grandchildren *c = arg;
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	coop_group_open(&g, NULL);
	r = coop_spawn(&g, nap, &c->nap[0]);
	if (r >= 0)
		r = coop_spawn(&g, nap, &c->nap[1]);
	return coop_group_join(&g, r);
}

/* The shield of a group protects its body, its children, and theirs. */
TASK_TEST(a_shield_of_a_group)
{
	struct coop_scope outer = COOP_SCOPE_INIT;
	struct coop_group_opts opts = { .shield = true };
	struct coop_group g = COOP_GROUP_INIT, beside = COOP_GROUP_INIT;
	struct grandchildren c = { .nap = { { .ms = 30 }, { .ms = 40 } } };
	struct nap n = { .ms = 20 }, unprotected = { .ms = 20 };

	coop_scope_open(&outer, NULL);
	coop_group_open(&beside, NULL);
	CHECK_INT(coop_spawn(&beside, nap, &unprotected), ==, 0);
	coop_group_open(&g, &opts);
	CHECK_INT(coop_spawn(&g, nap, &n), ==, 0);
	CHECK_INT(coop_spawn(&g, spawns_two, &c), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	coop_scope_cancel(&outer, NULL);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 40);
	CHECK_INT(n.rc, ==, 0);
	CHECK_INT(c.nap[0].rc, ==, 0);
	CHECK_INT(c.nap[1].at_ms, ==, 40);
	CHECK_INT(unprotected.at_ms, ==, 5);
	CHECK_INT(coop_group_join(&beside, COOP_ECANCELED), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&outer, COOP_ECANCELED), ==, 0);
	PROVES(B190);
	return 0;
}

/* Lowered in the middle, the shield of a group lets the cancel into all of them at once. */
TASK_TEST(lowering_the_shield_of_a_group)
{
	struct coop_scope outer = COOP_SCOPE_INIT;
	struct coop_group_opts opts = { .shield = true };
	struct coop_group g = COOP_GROUP_INIT;
	struct grandchildren c = { .nap = { { .ms = 30 }, { .ms = 5 } } };
	struct nap n = { .ms = 20 };
	int r;

	coop_scope_open(&outer, NULL);
	coop_scope_cancel(&outer, NULL);
	coop_group_open(&g, &opts);
	CHECK_INT(coop_spawn(&g, nap, &n), ==, 0);
	CHECK_INT(coop_spawn(&g, spawns_two, &c), ==, 0);
	CHECK_INT(coop_sleep(MS(10)), ==, 0);
	CHECK_INT(coop_scope_set_shield(coop_group_scope(&g), false), ==, 0);
	r = coop_group_join(&g, coop_checkpoint());
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 10);
	CHECK_INT(n.at_ms, ==, 10);
	CHECK_INT(c.nap[0].at_ms, ==, 10);
	CHECK_INT(c.nap[1].rc, ==, 0);
	CHECK_INT(coop_scope_close(&outer, r), ==, 0);
	PROVES(B187, B190);
	return 0;
}

/* Three nested, the innermost shielded: the cancel of the others hits right outside it. */
TASK_TEST(three_nested)
{
	for (unsigned order = 0; order < 4; order++) {
		struct coop_scope a = COOP_SCOPE_INIT, b = COOP_SCOPE_INIT, c = COOP_SCOPE_INIT;
		int64_t start = now_ms();
		int r;

		coop_scope_open(&a, NULL);
		coop_scope_open(&b, NULL);
		if (order & 1)
			coop_scope_cancel(&a, NULL);
		if (order & 2)
			coop_scope_cancel(&b, NULL);
		coop_scope_open(&c, &hard);
		if (!(order & 2))
			coop_scope_cancel(&b, NULL);
		if (!(order & 1))
			coop_scope_cancel(&a, NULL);
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
		CHECK_INT(coop_scope_close(&c, 0), ==, 0);
		r = coop_sleep(MS(1));
		CHECK_INT(r, ==, COOP_ECANCELED);
		CHECK_INT(now_ms() - start, ==, 1);
		r = coop_scope_close(&b, r);
		CHECK_INT(r, ==, COOP_ECANCELED);
		CHECK_INT(coop_scope_close(&a, r), ==, 0);
	}
	PROVES(B191);
	return 0;
}

/* ---- and time */

/* Deadlines outside do not get through a shield, its own does, and those within. */
TASK_TEST(shields_and_deadlines)
{
	struct coop_scope outer = COOP_SCOPE_INIT, s = COOP_SCOPE_INIT, own = COOP_SCOPE_INIT;
	struct coop_scope_opts limit = { .timeout_ns = MS(10) };
	struct coop_scope_opts both = { .timeout_ns = MS(30), .shield = true };
	int r;

	coop_scope_open(&outer, &limit);
	coop_scope_open(&s, &hard);
	CHECK_INT(coop_sleep(MS(20)), ==, 0);
	CHECK(coop_scope_cancel_called(&outer));
	coop_scope_open(&own, &both);
	CHECK_INT(coop_effective_deadline(), ==, begin_ns + MS(50));
	r = coop_sleep(MS(100));
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 50);
	CHECK_INT(coop_scope_close(&own, r), ==, 0);
	CHECK(coop_scope_caught(&own));
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	r = coop_sleep(MS(1));
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 51);
	CHECK_INT(coop_scope_close(&outer, r), ==, 0);
	PROVES(B192);
	return 0;
}

static int fails_after_in_shield(void *arg)
{
	return coop_shield(sleep_ms, arg);
}

/* A limit that is inside the shield is an error there; one outside waits for the shield. */
TASK_TEST(fail_after_and_shields)
{
	struct coop_scope outer = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_group_opts shield = { .shield = true };

	CHECK_INT(coop_fail_after(MS(5), fails_after_in_shield, MSARG(20)), ==, 0);
	CHECK_INT(now_ms(), ==, 20);

	coop_scope_open(&outer, NULL);
	coop_scope_cancel(&outer, NULL);
	coop_group_open(&g, &shield);
	CHECK_INT(coop_fail_after(MS(5), sleep_ms, MSARG(20)), ==, COOP_ETIMEDOUT);
	coop_error_clear();
	CHECK_INT(now_ms(), ==, 25);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_scope_close(&outer, coop_checkpoint()), ==, 0);
	PROVES(B192);
	return 0;
}

/* The effective deadline: the least of those in sight, none behind a shield, past if cancelled. */
TASK_TEST(effective_deadlines)
{
	struct coop_scope_opts far_out = { .timeout_ns = MS(500) },
			       near_by = { .timeout_ns = MS(100) };
	struct coop_scope a = COOP_SCOPE_INIT, b = COOP_SCOPE_INIT, c = COOP_SCOPE_INIT;
	int r;

	CHECK_INT(coop_effective_deadline(), ==, COOP_NEVER);
	coop_scope_open(&a, &near_by);
	CHECK_INT(coop_effective_deadline(), ==, begin_ns + MS(100));
	coop_scope_open(&b, &far_out);
	CHECK_INT(coop_effective_deadline(), ==, begin_ns + MS(100));
	CHECK_INT(coop_scope_set_shield(&b, true), ==, 0);
	CHECK_INT(coop_effective_deadline(), ==, begin_ns + MS(500));
	coop_scope_open(&c, &hard);
	CHECK_INT(coop_effective_deadline(), ==, COOP_NEVER);
	CHECK_INT(coop_scope_set_deadline(&c, begin_ns + MS(700)), ==, 0);
	CHECK_INT(coop_effective_deadline(), ==, begin_ns + MS(700));
	coop_scope_cancel(&a, NULL);
	CHECK_INT(coop_effective_deadline(), ==, begin_ns + MS(700));
	CHECK_INT(coop_scope_set_shield(&c, false), ==, 0);
	CHECK_INT(coop_effective_deadline(), ==, begin_ns + MS(500));
	CHECK_INT(coop_scope_set_shield(&b, false), ==, 0);
	CHECK_INT(coop_effective_deadline(), ==, INT64_MIN);
	r = coop_checkpoint();
	r = coop_scope_close(&c, r);
	r = coop_scope_close(&b, r);
	CHECK_INT(coop_scope_close(&a, r), ==, 0);
	CHECK_INT(coop_effective_deadline(), ==, COOP_NEVER);
	PROVES(B193);
	return 0;
}

/* The limit of a group, of the scopes around it and of the task's host are seen by a child. */
static int child_deadline(void *arg)
{
	*(int64_t *)arg = coop_effective_deadline();
	return 0;
}

TASK_TEST(effective_deadline_of_a_child)
{
	struct coop_scope_opts limit = { .timeout_ns = MS(100) };
	struct coop_group_opts group_limit = { .timeout_ns = MS(200) };
	struct coop_scope s = COOP_SCOPE_INIT, inside = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;
	int64_t seen = 0;

	coop_scope_open(&s, &limit);
	coop_group_open(&g, &group_limit);
	coop_scope_open(&inside, &(struct coop_scope_opts){ .timeout_ns = MS(1) });
	CHECK_INT(coop_spawn(&g, child_deadline, &seen), ==, 0);
	coop_yield();
	CHECK_INT(seen, ==, begin_ns + MS(100)); /* not that of a scope in the host's body */
	CHECK_INT(coop_scope_close(&inside, 0), ==, 0);
	CHECK_INT(coop_scope_set_shield(coop_group_scope(&g), true), ==, 0);
	CHECK_INT(coop_spawn(&g, child_deadline, &seen), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(seen, ==, begin_ns + MS(200));
	PROVES(B193);
	return coop_scope_close(&s, 0);
}

/* A long clean-up behind a shield costs no wake-ups while the cancel waits outside. */
static int long_clean_up(void *arg)
{
	int r = coop_sleep(COOP_NEVER);

	(void)arg;
	CHECK_INT(coop_shield(sleep_ms, MSARG(1000000)), ==, 0);
	return r;
}

TASK_TEST(a_shielded_clean_up_costs_nothing)
{
	struct coop_run_stats before, after;
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_spawn(&g, long_clean_up, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_run_stats(&before), ==, 0);
	coop_group_cancel(&g, NULL);
	for (int i = 0; i < 10; i++)
		coop_group_cancel(&g, NULL);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_run_stats(&after), ==, 0);
	CHECK_INT(now_ms(), ==, 1000001);
	CHECK_INT(after.cancels_delivered - before.cancels_delivered, ==, 3);
	CHECK_INT(after.switches - before.switches, <=, 3 * 2 + 4);
	CHECK_INT(after.turns - before.turns, <=, 10);
	PROVES(B194);
	return 0;
}

/* ---- the last means */

static int stays_behind_shields(void *arg)
{
	int r = coop_shield(sleep_for_ever, NULL);

	*(int64_t *)arg = now_ms();
	return r;
}

/* A hard stop goes through every shield, one within another as well. */
TASK_TEST(a_hard_stop_ignores_shields)
{
	struct coop_scope outer = COOP_SCOPE_INIT;
	struct coop_group_opts opts = { .shield = true };
	struct coop_group g = COOP_GROUP_INIT;
	int64_t ended_ms = 0;
	int r;

	coop_scope_open(&outer, NULL);
	coop_group_open(&g, &opts);
	CHECK_INT(coop_spawn(&g, stays_behind_shields, &ended_ms), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_scope_cancel_grace(&outer, NULL, 0);
	CHECK_INT(coop_sleep(MS(9)), ==, 0);
	cp_scope_force(cp_rt, &outer);
	CHECK(coop_cancelled());
	r = coop_group_join(&g, coop_checkpoint());
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(ended_ms, ==, 10);
	CHECK_INT(coop_scope_close(&outer, r), ==, 0);
	return 0;
}

/* The third step of a shutdown does that to the whole run. */
static int64_t forced_ms;

static int shutdown_force_main(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;

	(void)arg;
	begin_ns = coop_now();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, stays_behind_shields, &forced_ms), ==, 0);
	coop_scope_open(&s, &hard);
	CHECK_INT(coop_shutdown_phase(), ==, COOP_SHUTDOWN_NONE);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_stop(NULL), ==, 0);
	CHECK_INT(coop_shutdown_phase(), ==, COOP_SHUTDOWN_SOFT);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	cp_shutdown_harden(cp_rt);
	CHECK_INT(coop_shutdown_phase(), ==, COOP_SHUTDOWN_HARD);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	cp_shutdown_force(cp_rt);
	CHECK_INT(coop_shutdown_phase(), ==, COOP_SHUTDOWN_FORCE);
	CHECK_INT(coop_sleep(MS(1)), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, COOP_ECANCELED);
	return coop_group_join(&g, COOP_ECANCELED);
}

TEST(the_third_step_of_a_shutdown)
{
	keep_records(COOP_LOG_INFO);
	CHECK_INT(coop_run(shutdown_force_main, NULL, &virtual_clock), ==, 0);
	CHECK_INT(forced_ms, ==, 3);
	CHECK_HAS(records, "shields are ignored");
	/* It says who was inside. */
	CHECK_HAS(records, "main/stays_behind_shields");
	PROVES(B195);
}

/* ---- shields and handles */

/* Awaiting a task as asyncio's shield does: a cancel of who waits leaves the task alone. */
struct awaiting {
	struct coop_handle *h;
	int rc, value;
};

static int awaits(void *arg)
{
	struct awaiting *a = arg;

	a->rc = coop_await_shielded(a->h, &a->value);
	return a->rc;
}

TASK_TEST(await_shielded)
{
	struct coop_group g = COOP_GROUP_INIT, waiters = COOP_GROUP_INIT;
	struct awaiting a = { .value = -1 };
	struct nap n = { .ms = 20 };

	coop_group_open(&g, NULL);
	coop_group_open(&waiters, NULL);
	CHECK_INT(coop_spawn_with(&g, nap, &n, NULL, &a.h), ==, 0);
	CHECK_INT(coop_spawn(&waiters, awaits, &a), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	coop_group_cancel(&waiters, NULL);
	CHECK_INT(coop_group_join(&waiters, 0), ==, 0);
	CHECK_INT(a.rc, ==, COOP_ECANCELED);
	CHECK_INT(a.value, ==, -1);
	CHECK_INT(now_ms(), ==, 5);
	CHECK_INT(coop_handle_state(a.h), ==, COOP_TASK_BLOCKED);
	CHECK_INT(coop_await_shielded(a.h, &a.value), ==, 0);
	CHECK_INT(n.at_ms, ==, 20);
	CHECK_INT(a.value, ==, 0);
	coop_handle_release(a.h);
	return coop_group_join(&g, 0);
}

/* The later failure of a task that nobody awaits any more is its group's, told exactly once. */
TASK_TEST(an_abandoned_failure_is_told_once)
{
	struct coop_group g = COOP_GROUP_INIT, waiters = COOP_GROUP_INIT;
	struct coop_group_opts log = { .policy = COOP_LOG };
	struct coop_group_stats stats;
	struct awaiting a = { .value = -1 };

	keep_records(COOP_LOG_WARN);
	coop_group_open(&g, &log);
	coop_group_open(&waiters, NULL);
	CHECK_INT(coop_spawn_with(&g, fail_after_ms, MSARG(20), NULL, &a.h), ==, 0);
	CHECK_INT(coop_spawn(&waiters, awaits, &a), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	coop_group_cancel(&waiters, NULL);
	CHECK_INT(coop_group_join(&waiters, 0), ==, 0);
	coop_handle_release(a.h);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(records_count, ==, 1);
	CHECK_HAS(records, "failed after 20 ms");
	CHECK_INT(coop_group_stats(&g, &stats), ==, 0);
	CHECK_INT(stats.logged, ==, 1);
	PROVES(B197);
	return 0;
}

/* What is awaited was cancelled itself: another code, and the waiter is not cancelled. */
TASK_TEST(awaiting_who_is_cancelled)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct awaiting a = { .value = -1 };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, sleep_for_ever, NULL, NULL, &a.h), ==, 0);
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(1)), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_handle_cancel(a.h, NULL);
	CHECK_INT(coop_await_shielded(a.h, &a.value), ==, COOP_ETASKCANCELLED);
	CHECK_INT(a.value, ==, -1);
	CHECK(!coop_cancelled());
	PROVES(B198);
	coop_handle_release(a.h);
	return coop_group_join(&g, 0);
}

/* ---- to be seen */

static int depth_of_child(void *arg)
{
	*(unsigned *)arg = coop_shield_depth();
	return 0;
}

/* Shields are counted up to the root, through tasks, and shown in the dump. */
TASK_TEST(shields_can_be_seen)
{
	struct coop_group_opts opts = { .name = "safe", .shield = true };
	struct coop_scope_opts soft = { .soft_shield_ns = MS(5), .name = "gentle" };
	struct coop_scope a = COOP_SCOPE_INIT, b = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;
	char *text = NULL;
	unsigned depth = 99;
	size_t size;
	FILE *out;

	CHECK_INT(coop_shield_depth(), ==, 0);
	coop_scope_open(&a, NULL);
	CHECK_INT(coop_shield_depth(), ==, 0);
	coop_group_open(&g, &opts);
	CHECK_INT(coop_shield_depth(), ==, 1);
	coop_scope_open(&b, &soft);
	CHECK_INT(coop_shield_depth(), ==, 2);
	CHECK_INT(coop_scope_set_shield(&b, true), ==, 0);
	CHECK_INT(coop_shield_depth(), ==, 2);
	CHECK_INT(coop_scope_set_shield(&a, true), ==, 0);
	CHECK_INT(coop_shield_depth(), ==, 3);
	CHECK_INT(coop_spawn(&g, depth_of_child, &depth), ==, 0);
	coop_yield();
	CHECK_INT(depth, ==, 2);

	out = open_memstream(&text, &size);
	CHECK_INT(coop_dump(out, 0), ==, 0);
	fclose(out);
	CHECK_HAS(strstr(text, "\"safe\""), ", shielded");
	CHECK_HAS(strstr(text, "\"gentle\""), ", soft shield");
	free(text);
	CHECK_INT(coop_scope_close(&b, 0), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_shield_depth(), ==, 1);
	CHECK_INT(coop_scope_close(&a, 0), ==, 0);
	PROVES(B199);
	return 0;
}

TEST(no_shields_outside_of_tasks)
{
	CHECK_INT(coop_shield_depth(), ==, 0);
	CHECK_INT(coop_effective_deadline(), ==, COOP_NEVER);
}
