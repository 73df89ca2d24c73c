/* SPDX-License-Identifier: MIT */
/*
 * Conditions: whoever returns from a wait has the mutex, however the wait ended; no notification
 * is lost, and a notify wakes nobody before the mutex is its.
 */
#include "sync_help.h"

static struct coop_mutex mutex;
static struct coop_cond cond;

static void fresh(void)
{
	mutex = (struct coop_mutex)COOP_MUTEX_INIT;
	cond = (struct coop_cond)COOP_COND_INIT(&mutex);
}

static bool is_mine(void)
{
	return mutex._owner == coop_self();
}

/* The result of a wait; the mutex must be the actor's then, and is given up. */
static int wait_cond(struct actor *a, int arg)
{
	int r = coop_mutex_lock(&mutex);

	(void)arg;
	if (r < 0)
		FAIL("actor %d: lock: %d", a->index, r);
	r = coop_cond_wait(&cond);
	if (r != COOP_EOWNERDEAD) {
		CHECK(is_mine());
		CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	}
	return r;
}

static int notify(struct actor *a, int count)
{
	int r, n;

	(void)a;
	r = coop_mutex_lock(&mutex);
	if (r < 0)
		return r;
	n = coop_cond_notify(&cond, (uint32_t)count);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	return n;
}

static int lock(struct actor *a, int arg)
{
	(void)a;
	(void)arg;
	return coop_mutex_lock(&mutex);
}

static int unlock(struct actor *a, int arg)
{
	(void)a;
	(void)arg;
	return coop_mutex_unlock(&mutex);
}

static int waiting_for_mutex(void)
{
	struct coop_lock_stats stats;

	CHECK_INT(coop_mutex_stats(&mutex, &stats), ==, 0);
	return (int)stats.waiting;
}

static int waiting(void)
{
	struct coop_cond_stats stats;

	CHECK_INT(coop_cond_stats(&cond, &stats), ==, 0);
	return (int)stats.waiting;
}

/* Without the mutex there is neither waiting nor notifying. */
TASK_TEST(a_condition_needs_its_mutex)
{
	fresh();
	actors_begin(1);
	CHECK_INT(coop_cond_wait(&cond), ==, -EPERM);
	CHECK_INT(coop_cond_notify(&cond, 1), ==, -EPERM);
	CHECK_INT(coop_cond_notify_all(&cond), ==, -EPERM);
	CHECK_INT(ask(0, lock, 0), ==, 0);
	CHECK_INT(coop_cond_wait(&cond), ==, -EPERM);
	CHECK_INT(coop_cond_notify_all(&cond), ==, -EPERM);
	CHECK_INT(ask(0, unlock, 0), ==, 0);
	cond = (struct coop_cond)COOP_COND_INIT(NULL);
	CHECK_INT(coop_cond_wait(&cond), ==, -EINVAL);
	CHECK_INT(coop_cond_notify(&cond, 1), ==, -EINVAL);
	PROVES(B252);
	return actors_end();
}

/* A notify moves waiters to the mutex's queue, in order; they wake as it is handed over. */
TASK_TEST(a_notify_wakes_nobody_too_early)
{
	fresh();
	actors_begin(4);
	for (int i = 3; i >= 0; i--)
		CHECK_INT(ask(i, wait_cond, 0), ==, BLOCKED);
	CHECK_INT(waiting(), ==, 4);
	CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	CHECK_INT(coop_cond_notify(&cond, 0), ==, 0);
	CHECK_INT(coop_cond_notify(&cond, 2), ==, 2);
	CHECK_INT(waiting(), ==, 2);
	CHECK_INT(waiting_for_mutex(), ==, 2);
	settle();
	for (int i = 0; i < 4; i++)
		CHECK_INT(actors[i].result, ==, BLOCKED);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	settle();
	CHECK_INT(actors[3].result, ==, 0);
	CHECK_INT(actors[2].result, ==, 0);
	CHECK_INT(actors[3].served, <, actors[2].served);
	CHECK_INT(actors[1].result, ==, BLOCKED);
	CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	CHECK_INT(coop_cond_notify_all(&cond), ==, 2);
	CHECK_INT(coop_cond_notify_all(&cond), ==, 0);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	settle();
	CHECK_INT(actors[1].result, ==, 0);
	CHECK_INT(actors[0].result, ==, 0);
	coop_cond_deinit(&cond);
	coop_cond_deinit(NULL);
	PROVES(B255);
	return actors_end();
}

/* A notified task that is cancelled before it has the mutex wakes as notified. */
TASK_TEST(notified_and_then_cancelled)
{
	fresh();
	actors_begin(2);
	CHECK_INT(ask(0, wait_cond, 0), ==, BLOCKED);
	CHECK_INT(ask(1, wait_cond, 0), ==, BLOCKED);
	CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	CHECK_INT(coop_cond_notify(&cond, 1), ==, 1);
	stop(0);
	settle();
	CHECK_INT(actors[0].result, ==, BLOCKED);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	settle();
	CHECK_INT(actors[0].result, ==, 0);
	CHECK_INT(actors[1].result, ==, BLOCKED);
	CHECK_INT(ask(0, notify, 1), ==, 1);
	CHECK_INT(actors[1].result, ==, 0);
	PROVES(B254, B79);
	return actors_end();
}

/* A notify that comes after the cancel of the first waiter goes to the next one. */
TASK_TEST(rel_A05_a_notify_after_a_cancel)
{
	fresh();
	actors_begin(2);
	CHECK_INT(ask(0, wait_cond, 0), ==, BLOCKED);
	CHECK_INT(ask(1, wait_cond, 0), ==, BLOCKED);
	CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	stop(0);
	CHECK_INT(coop_cond_notify(&cond, 1), ==, 1);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	settle();
	CHECK_INT(actors[0].result, ==, COOP_ECANCELED);
	CHECK_INT(actors[1].result, ==, 0);
	PROVES(B254);
	return actors_end();
}

/* Cancelled while somebody else has the mutex, and cancelled again from further out while it waits
 * for it: it returns the first cancel, with the mutex. */
struct twice {
	struct coop_scope outer, inner;
	int r_wait;
};

static int waits_in_two_scopes(void *arg)
{
	struct twice *t = arg;
	int r;

	coop_scope_open(&t->outer, NULL);
	coop_scope_open(&t->inner, NULL);
	CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	t->r_wait = coop_cond_wait(&cond);
	CHECK(is_mine());
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	r = coop_scope_close(&t->inner, t->r_wait);
	return coop_scope_close(&t->outer, r);
}

TASK_TEST(rel_A06_a_cancelled_wait_has_the_mutex)
{
	struct twice t = { COOP_SCOPE_INIT, COOP_SCOPE_INIT, 1 };
	struct coop_group g = COOP_GROUP_INIT;

	fresh();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, waits_in_two_scopes, &t), ==, 0);
	settle();
	CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	coop_scope_cancel(&t.inner, "first");
	settle();
	CHECK_INT(t.r_wait, ==, 1);
	CHECK_INT(waiting(), ==, 0);
	CHECK_INT(waiting_for_mutex(), ==, 1);
	coop_scope_cancel(&t.outer, "second");
	settle();
	CHECK_INT(t.r_wait, ==, 1);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	settle();
	CHECK_INT(t.r_wait, ==, COOP_ECANCELED);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK(!coop_scope_caught(&t.inner));
	CHECK(coop_scope_caught(&t.outer));
	PROVES(B253);
	return 0;
}

/* Cancelled, or timed out, with the mutex free: it has it at once. */
static int wait_2ms(void *arg)
{
	(void)arg;
	return coop_cond_wait(&cond);
}

TASK_TEST(a_wait_with_a_time_limit)
{
	fresh();
	CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	CHECK_INT(coop_fail_after(MS(2), wait_2ms, NULL), ==, COOP_ETIMEDOUT);
	CHECK_INT(now_ms(), ==, 2);
	coop_error_clear();
	CHECK(is_mine());
	CHECK_INT(waiting(), ==, 0);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	PROVES(B253);
	return 0;
}

/* Cancelled beforehand, a wait does nothing: the mutex was not given up in between. */
TASK_TEST(a_wait_in_a_cancelled_scope)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	fresh();
	actors_begin(1);
	CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	CHECK_INT(ask(0, lock, 0), ==, BLOCKED);
	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, NULL);
	r = coop_cond_wait(&cond);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK(is_mine());
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	settle();
	CHECK_INT(ask(0, unlock, 0), ==, 0);
	PROVES(B253, B83);
	return actors_end();
}

/* The owner of the mutex ends: who has been notified is told, and has not the mutex. */
static int notifies_and_ends(void *arg)
{
	(void)arg;
	CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	CHECK_INT(coop_cond_notify(&cond, 1), ==, 1);
	return 0;
}

TASK_TEST(the_owner_of_the_mutex_ends)
{
	struct coop_group g = COOP_GROUP_INIT;

	fresh();
	actors_begin(3);
	CHECK_INT(ask(0, wait_cond, 0), ==, BLOCKED);
	CHECK_INT(ask(1, wait_cond, 0), ==, BLOCKED);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, notifies_and_ends, NULL), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	settle();
	CHECK_INT(actors[0].result, ==, COOP_EOWNERDEAD);
	CHECK_INT(actors[1].result, ==, BLOCKED);
	stop(1);
	settle();
	CHECK_INT(actors[1].result, ==, COOP_EOWNERDEAD);
	return actors_end();
}

static int notifies_yields_and_ends(void *arg)
{
	int r;

	(void)arg;
	CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	CHECK_INT(coop_cond_notify(&cond, 1), ==, 1);
	r = coop_yield();
	return r;
}

static int wait_and_be_told(struct actor *a, int arg)
{
	return with_its_words(wait_cond(a, arg));
}

/* Whom that end has woken needs neither the condition nor the mutex any more. */
TASK_TEST(given_up_before_the_told_one_runs)
{
	struct coop_group g = COOP_GROUP_INIT;

	fresh();
	actors_begin(1);
	CHECK_INT(ask(0, wait_and_be_told, 0), ==, BLOCKED);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, notifies_yields_and_ends, NULL), ==, 0);
	while (coop_mutex_try_lock(&mutex) != COOP_EOWNERDEAD) {
		if (is_mine())
			CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
		coop_yield();
	}
	CHECK_INT(actors[0].result, ==, BLOCKED);
	coop_cond_deinit(&cond);
	coop_mutex_deinit(&mutex);
	memset(&cond, 0, sizeof cond);
	memset(&mutex, 0, sizeof mutex);
	settle();
	CHECK_INT(actors[0].result, ==, COOP_EOWNERDEAD);
	CHECK_HAS(told, "\"notifies_yields_and_ends\" (spawned at");
	coop_error_clear();
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	return actors_end();
}

static int cond_with_a_waiter(void *arg)
{
	(void)arg;
	fresh();
	actors_begin(1);
	ask(0, wait_cond, 0);
	coop_cond_deinit(&cond);
	return 0;
}

/* Given up while somebody waits: the program ends and names both tasks. */
TEST(given_up_with_a_waiter)
{
	char text[1024];

	last_words(cond_with_a_waiter, text, sizeof text);
	CHECK_HAS(text, "coop_cond_deinit by main");
	CHECK_HAS(text, "actor_main waits for it in coop_cond_wait, first of 1");
}

/* ---- against a model */

static struct line in_cond, in_mutex; /* in_mutex: who wakes next, with expected_result */
static int outcome[ACTORS_MAX];
static bool held_by_driver;

static void let_in(void)
{
	int who;

	while (!held_by_driver && (who = line_first(&in_mutex)) >= 0)
		expected[who] = outcome[who];
}

/* Random waits, notifies of some, cancels, with the mutex held now and then by the driver. */
TASK_TEST(conditions_against_a_model)
{
	long steps = TEST_COUNT(1000000, 30000);

	TEST_SECONDS(300);
	fresh();
	actors_begin(6);
	for (long step = 0; step < steps; step++) {
		int who = (int)roll(6), n, moved = 0, first;

		switch (roll(6)) {
		case 0: /* takes the mutex, or gives it back */
			if (held_by_driver)
				CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
			else
				CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
			held_by_driver = !held_by_driver;
			let_in();
			break;
		case 1:
			if (!held_by_driver)
				break;
			n = (int)roll(3);
			for (; moved < n && (first = line_first(&in_cond)) >= 0; moved++) {
				outcome[first] = 0;
				line_add(&in_mutex, first);
			}
			CHECK_INT(coop_cond_notify(&cond, (uint32_t)n), ==, moved);
			break;
		case 2:
			if (!stoppable(who))
				break;
			stop(who);
			if (line_leave(&in_cond, who)) {
				outcome[who] = COOP_ECANCELED;
				line_add(&in_mutex, who);
				let_in();
			}
			break;
		default:
			settle();
			compare_actors(step);
			CHECK_INT(waiting(), ==, in_cond.count);
			if (actors[who].result == BLOCKED || held_by_driver)
				break;
			tell(who, wait_cond, 0);
			expected[who] = BLOCKED;
			line_add(&in_cond, who);
			settle();
		}
		if (held_by_driver)
			continue;
		settle();
	}
	if (!held_by_driver)
		CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	coop_cond_notify_all(&cond);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	return actors_end();
}
