/* SPDX-License-Identifier: MIT */
/*
 * Mutexes: who owns, who is next, what becomes of the lock when its owner ends, what a cancel
 * changes, and which waits are refused because they could never end.
 */
#include "sync_help.h"

#include <pthread.h>

static struct coop_mutex mutexes[2];
#define mutex mutexes[0]

static void fresh(void)
{
	mutexes[0] = mutexes[1] = (struct coop_mutex)COOP_MUTEX_INIT;
}

static int lock(struct actor *a, int which)
{
	(void)a;
	return coop_mutex_lock(&mutexes[which]);
}

static int unlock(struct actor *a, int which)
{
	(void)a;
	return coop_mutex_unlock(&mutexes[which]);
}

/* Gives the lock up and cancels another actor, with nothing in between. */
static int unlock_and_stop(struct actor *a, int other)
{
	int r = coop_mutex_unlock(&mutex);

	(void)a;
	stop(other);
	return r;
}

static int stop_and_unlock(struct actor *a, int other)
{
	(void)a;
	stop(other);
	return coop_mutex_unlock(&mutex);
}

static struct coop_lock_stats numbers(void)
{
	struct coop_lock_stats stats;

	CHECK_INT(coop_mutex_stats(&mutex, &stats), ==, 0);
	return stats;
}

/* ---- order and owners */

/* First come, first served; the lock is the next one's in the unlock, so nobody gets in between. */
TASK_TEST(a_mutex_is_handed_over_in_order)
{
	fresh();
	actors_begin(4);
	CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	for (int i = 3; i >= 1; i--)
		CHECK_INT(ask(i, lock, 0), ==, BLOCKED);
	CHECK_INT(numbers().waiting, ==, 3);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	CHECK(numbers().owner == actors[3].task);
	CHECK_INT(coop_mutex_try_lock(&mutex), ==, -EAGAIN);
	CHECK_INT(ask(0, lock, 0), ==, BLOCKED);
	CHECK_INT(actors[3].result, ==, 0);
	CHECK_INT(ask(3, unlock, 0), ==, 0);
	CHECK_INT(ask(3, lock, 0), ==, BLOCKED); /* who has given it up comes last */
	for (int i = 2; i >= 0; i--) {
		CHECK_INT(actors[i].result, ==, 0);
		CHECK(numbers().owner == actors[i].task);
		CHECK_INT(ask(i, unlock, 0), ==, 0);
	}
	CHECK_INT(actors[3].result, ==, 0);
	CHECK_INT(ask(3, unlock, 0), ==, 0);
	CHECK(!numbers().locked);
	coop_mutex_deinit(&mutex);
	PROVES(B243);
	return actors_end();
}

/* Its numbers: whether it is locked, by whom, and who waits. */
TASK_TEST(the_numbers_of_a_mutex)
{
	struct coop_lock_stats stats;

	fresh();
	actors_begin(2);
	CHECK(!numbers().locked);
	CHECK(!numbers().owner);
	CHECK_INT(ask(1, lock, 0), ==, 0);
	CHECK_INT(ask(0, lock, 0), ==, BLOCKED);
	stats = numbers();
	CHECK(stats.locked);
	CHECK(!stats.owner_ended);
	CHECK(stats.owner == actors[1].task);
	CHECK_INT(stats.owner_id, ==, actors[1].task->body->id);
	CHECK_INT(stats.waiting, ==, 1);
	CHECK_INT(ask(1, unlock, 0), ==, 0);
	CHECK_INT(ask(0, unlock, 0), ==, 0);
	PROVES(B248);
	return actors_end();
}

/* Only the owner unlocks, and nobody locks twice; what is refused changes nothing. */
TASK_TEST(rel_A22_a_mutex_has_one_owner)
{
	fresh();
	actors_begin(2);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, -EPERM);
	CHECK_INT(ask(0, lock, 0), ==, 0);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, -EPERM);
	CHECK_INT(ask(1, unlock, 0), ==, -EPERM);
	CHECK_INT(ask(0, lock, 0), ==, -EDEADLK);
	CHECK(numbers().owner == actors[0].task);
	CHECK_INT(ask(1, lock, 0), ==, BLOCKED);
	CHECK_INT(ask(0, lock, 0), ==, -EDEADLK);
	CHECK_INT(ask(0, unlock, 0), ==, 0);
	CHECK_INT(ask(0, unlock, 0), ==, -EPERM);
	CHECK_INT(ask(1, unlock, 0), ==, 0);

	CHECK_INT(coop_mutex_try_lock(&mutex), ==, 0);
	CHECK_INT(coop_mutex_try_lock(&mutex), ==, -EDEADLK);
	CHECK_INT(coop_mutex_lock(&mutex), ==, -EDEADLK);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, -EPERM);
	coop_error_clear();
	PROVES(B244);
	return actors_end();
}

/* The error of a wrong unlock says who did it and whose the lock is. */
TASK_TEST(a_wrong_unlock_is_explained)
{
	struct coop_error_info info;

	fresh();
	actors_begin(1);
	CHECK_INT(ask(0, lock, 0), ==, 0);
	coop_error_describe(coop_error_peek(coop_mutex_unlock(&mutex)), &info);
	CHECK_HAS(info.message, "main unlocks what is owned by main/actor_main");
	CHECK_INT(ask(0, unlock, 0), ==, 0);
	coop_error_describe(coop_error_peek(coop_mutex_unlock(&mutex)), &info);
	CHECK_HAS(info.message, "main unlocks what is owned by nobody");
	coop_error_clear();
	return actors_end();
}

/* Several locks are given up in any order. */
TASK_TEST(many_locks_in_any_order)
{
	struct coop_mutex many[20];
	int left = 20;

	for (int i = 0; i < 20; i++)
		many[i] = (struct coop_mutex)COOP_MUTEX_INIT;
	for (int i = 0; i < 20; i++)
		CHECK_INT(coop_mutex_lock(&many[i]), ==, 0);
	while (left) {
		int i = (int)roll(20);

		left -= coop_mutex_unlock(&many[i]) == 0;
	}
	coop_error_clear();
	CHECK(!cp_rt->body->held);
	return 0;
}

/* ---- an owner that ends */

static int locks_and_ends(void *arg)
{
	int r;

	(void)arg;
	r = coop_mutex_lock(&mutex);
	return r < 0 ? r : coop_sleep(MS(1));
}

/* Who waits, and who comes later, is told that the owner is gone, and which task that was. */
TASK_TEST(an_owner_that_ends)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_error_info info;
	int r;

	fresh();
	actors_begin(3);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, locks_and_ends, NULL), ==, 0);
	settle();
	CHECK_INT(ask(0, lock, 0), ==, BLOCKED);
	CHECK_INT(ask(1, lock, 0), ==, BLOCKED);
	stop(1);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	settle();
	CHECK_INT(actors[0].result, ==, COOP_EOWNERDEAD);
	CHECK_INT(actors[1].result, ==, COOP_ECANCELED);
	CHECK_INT(ask(2, lock, 0), ==, COOP_EOWNERDEAD);
	CHECK_INT(coop_mutex_try_lock(&mutex), ==, COOP_EOWNERDEAD);
	r = coop_mutex_lock(&mutex);
	CHECK_INT(r, ==, COOP_EOWNERDEAD);
	coop_error_describe(coop_error_peek(r), &info);
	CHECK_HAS(info.message, "\"locks_and_ends\" (spawned at tests/sync/test_mutex.c:");
	CHECK_HAS(info.message, "ended while it owned it");
	CHECK_INT(coop_mutex_unlock(&mutex), ==, -EPERM);
	CHECK(!numbers().locked);
	CHECK(numbers().owner_ended);
	CHECK_INT(numbers().owner_id, >, 0);
	coop_error_clear();
	PROVES(B245);
	return actors_end();
}

static int ends_when_somebody_waits(void *arg)
{
	int r = coop_mutex_lock(&mutex);

	(void)arg;
	while (r >= 0 && !numbers().waiting)
		r = coop_yield();
	return r;
}

static int lock_and_be_told(struct actor *a, int which)
{
	return with_its_words(lock(a, which));
}

/* Whom the owner's end has woken waits no more: the lock may be gone when it runs. */
TASK_TEST(given_up_before_the_told_one_runs)
{
	struct coop_group g = COOP_GROUP_INIT;

	fresh();
	actors_begin(1);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, ends_when_somebody_waits, NULL), ==, 0);
	tell(0, lock_and_be_told, 0);
	while (!numbers().owner_ended)
		coop_yield();
	CHECK_INT(actors[0].result, ==, BLOCKED);
	coop_mutex_deinit(&mutex);
	fresh();
	settle();
	CHECK_INT(actors[0].result, ==, COOP_EOWNERDEAD);
	CHECK_HAS(told, "\"ends_when_somebody_waits\" (spawned at");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	return actors_end();
}

/* The lock of a task that has ended can be taken over, by one, and then is as good as new. */
TASK_TEST(a_lock_is_recovered)
{
	struct coop_group g = COOP_GROUP_INIT;

	fresh();
	actors_begin(1);
	CHECK_INT(coop_mutex_recover(&mutex), ==, -EINVAL);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, locks_and_ends, NULL), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_mutex_recover(&mutex), ==, 0);
	CHECK_INT(coop_mutex_recover(&mutex), ==, -EINVAL);
	CHECK(numbers().owner == coop_self());
	CHECK_INT(ask(0, lock, 0), ==, BLOCKED);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	settle();
	CHECK_INT(actors[0].result, ==, 0);
	CHECK_INT(ask(0, unlock, 0), ==, 0);
	PROVES(B245);
	return actors_end();
}

/* A static lock serves one run after the other, and remembers one that was never given up. */
static int main_locks(void *arg)
{
	(void)arg;
	return coop_mutex_lock(&mutex);
}

TEST(from_run_to_run)
{
	fresh();
	CHECK_INT(coop_run(main_locks, NULL, NULL), ==, 0);
	CHECK_INT(coop_run(main_locks, NULL, NULL), ==, COOP_EOWNERDEAD);
	CHECK(numbers().owner_ended);
	coop_mutex_deinit(&mutex);
	coop_mutex_deinit(NULL);
}

/* ---- cancels */

/* A cancelled waiter leaves the queue; the order of the others stays. */
TASK_TEST(a_cancelled_waiter)
{
	fresh();
	actors_begin(4);
	CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	for (int i = 0; i < 4; i++)
		CHECK_INT(ask(i, lock, 0), ==, BLOCKED);
	stop(1);
	stop(3);
	CHECK_INT(numbers().waiting, ==, 2);
	settle();
	CHECK_INT(actors[1].result, ==, COOP_ECANCELED);
	CHECK_INT(actors[3].result, ==, COOP_ECANCELED);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	settle();
	CHECK_INT(actors[0].result, ==, 0);
	CHECK_INT(actors[2].result, ==, BLOCKED);
	CHECK_INT(ask(0, unlock, 0), ==, 0);
	CHECK_INT(actors[2].result, ==, 0);
	CHECK_INT(ask(2, unlock, 0), ==, 0);
	PROVES(B246);
	return actors_end();
}

/* Unlock and cancel of the first waiter together: never lost, never owned twice, in both orders. */
TASK_TEST(rel_A04_an_unlock_and_a_cancel)
{
	fresh();
	actors_begin(3);
	CHECK_INT(ask(0, lock, 0), ==, 0);
	CHECK_INT(ask(1, lock, 0), ==, BLOCKED);
	CHECK_INT(ask(2, lock, 0), ==, BLOCKED);
	CHECK_INT(ask(0, unlock_and_stop, 1), ==, 0);
	CHECK_INT(actors[1].result, ==, 0); /* it was its owner before the cancel came */
	CHECK_INT(actors[2].result, ==, BLOCKED);
	CHECK_INT(ask(1, unlock, 0), ==, 0);
	CHECK_INT(actors[2].result, ==, 0);

	CHECK_INT(ask(0, lock, 0), ==, BLOCKED);
	CHECK_INT(ask(1, lock, 0), ==, BLOCKED);
	CHECK_INT(ask(2, stop_and_unlock, 0), ==, 0);
	CHECK_INT(actors[0].result, ==, COOP_ECANCELED);
	CHECK_INT(actors[1].result, ==, 0);
	CHECK_INT(ask(1, unlock, 0), ==, 0);
	PROVES(B247, B79);
	return actors_end();
}

/* With nothing but cancelled waiters in its way, a new one gets the lock. */
TASK_TEST(rel_A03_a_queue_of_cancelled_waiters)
{
	fresh();
	actors_begin(4);
	CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	for (int i = 0; i < 3; i++)
		CHECK_INT(ask(i, lock, 0), ==, BLOCKED);
	for (int i = 0; i < 3; i++)
		stop(i);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	tell(3, lock, 0);
	CHECK_INT(coop_mutex_try_lock(&mutex), ==, 0);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	settle();
	for (int i = 0; i < 3; i++)
		CHECK_INT(actors[i].result, ==, COOP_ECANCELED);
	CHECK_INT(actors[3].result, ==, 0);
	CHECK_INT(ask(3, unlock, 0), ==, 0);
	PROVES(B247);
	return actors_end();
}

/* ---- waits that could never end */

/* Two tasks that take two locks crosswise: the second is refused, and told the way. */
TASK_TEST(a_cycle_of_two)
{
	fresh();
	actors_begin(2);
	CHECK_INT(ask(0, lock, 0), ==, 0);
	CHECK_INT(ask(1, lock, 1), ==, 0);
	CHECK_INT(ask(0, lock, 1), ==, BLOCKED);
	CHECK_INT(ask(1, lock, 0), ==, -EDEADLK);
	CHECK_INT(ask(1, unlock, 1), ==, 0);
	CHECK_INT(actors[0].result, ==, 0);
	CHECK_INT(ask(0, unlock, 1), ==, 0);
	CHECK_INT(ask(0, unlock, 0), ==, 0);
	PROVES(B320);
	return actors_end();
}

/* A deadline that ends one of the waits makes it no deadlock. */
static int lock_within_5ms(struct actor *a, int which)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	(void)a;
	coop_scope_open(&s, &(struct coop_scope_opts){ .timeout_ns = MS(5) });
	r = coop_mutex_lock(&mutexes[which]);
	r = coop_scope_close(&s, r);
	return coop_scope_caught(&s) ? 77 : r;
}

TASK_TEST(a_cycle_that_a_deadline_ends)
{
	fresh();
	actors_begin(2);
	for (int limited = 0; limited < 2; limited++) {
		CHECK_INT(ask(0, lock, 0), ==, 0);
		CHECK_INT(ask(1, lock, 1), ==, 0);
		tell(0, limited == 0 ? lock_within_5ms : lock, 1);
		coop_yield();
		CHECK_INT(actors[0].result, ==, BLOCKED);
		tell(1, limited == 1 ? lock_within_5ms : lock, 0);
		coop_yield();
		CHECK_INT(actors[1].result, ==, BLOCKED);
		CHECK_INT(coop_sleep(MS(5)), ==, 0);
		settle();
		CHECK_INT(actors[limited].result, ==, 77);
		CHECK_INT(actors[!limited].result, ==, BLOCKED);
		CHECK_INT(ask(limited, unlock, limited), ==, 0);
		CHECK_INT(actors[!limited].result, ==, 0);
		CHECK_INT(ask(!limited, unlock, 0), ==, 0);
		CHECK_INT(ask(!limited, unlock, 1), ==, 0);
	}
	PROVES(B320);
	return actors_end();
}

/* A patient mutex lets them wait, until somebody is cancelled. */
TASK_TEST(a_cycle_with_patience)
{
	fresh();
	mutexes[0] = (struct coop_mutex)COOP_MUTEX_INIT_PATIENT;
	actors_begin(2);
	CHECK_INT(ask(0, lock, 0), ==, 0);
	CHECK_INT(ask(1, lock, 1), ==, 0);
	CHECK_INT(ask(0, lock, 1), ==, BLOCKED);
	CHECK_INT(ask(1, lock, 0), ==, BLOCKED);
	stop(1);
	settle();
	CHECK_INT(actors[1].result, ==, COOP_ECANCELED);
	CHECK_INT(ask(1, unlock, 1), ==, 0);
	CHECK_INT(ask(0, unlock, 0), ==, 0);
	CHECK_INT(ask(0, unlock, 1), ==, 0);
	CHECK_INT(ask(0, lock, 0), ==, 0);
	CHECK_INT(ask(0, lock, 0), ==, -EDEADLK);
	CHECK_INT(ask(0, unlock, 0), ==, 0);
	return actors_end();
}

/* A child may wait for what its host owns, if the host has not come to its join yet. */
static int child_locks(void *arg)
{
	int *got = arg;

	*got = coop_mutex_lock(&mutex);
	return *got < 0 ? 0 : coop_mutex_unlock(&mutex);
}

TASK_TEST(a_child_waits_for_its_host)
{
	struct coop_group g = COOP_GROUP_INIT;
	int got = 1;

	fresh();
	CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, child_locks, &got), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(got, ==, 1);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(got, ==, 0);
	return 0;
}

/* A host in its join waits for its child; so the child cannot wait for what the host owns. */
TASK_TEST(a_child_of_a_host_that_joins)
{
	struct coop_group g = COOP_GROUP_INIT;
	int got = 1;

	fresh();
	CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, child_locks, &got), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(got, ==, -EDEADLK);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	PROVES(B320);
	return 0;
}

/* Through a wait for a task: the owner waits for the end of the one that wants its lock. */
static int locks_and_waits(void *arg)
{
	struct coop_handle **h = arg;
	int r = coop_mutex_lock(&mutex);

	if (r >= 0)
		r = coop_handle_wait(*h, NULL);
	return r < 0 ? r : coop_mutex_unlock(&mutex);
}

static int locks_late(void *arg)
{
	int r = coop_sleep(MS(1));

	return r < 0 ? r : child_locks(arg);
}

TASK_TEST(a_cycle_through_a_handle)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h;
	int got = 1;

	fresh();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, locks_late, &got, NULL, &h), ==, 0);
	CHECK_INT(coop_spawn(&g, locks_and_waits, &h), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(got, ==, -EDEADLK);
	coop_handle_release(h);
	PROVES(B320);
	return 0;
}

/* ---- elsewhere */

static int uses_from_elsewhere(void *arg)
{
	struct coop_lock_stats stats;

	(void)arg;
	CHECK_INT(coop_mutex_lock(&mutex), ==, COOP_EWRONGTHREAD);
	CHECK_INT(coop_mutex_try_lock(&mutex), ==, COOP_EWRONGTHREAD);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, -EPERM);
	CHECK_INT(coop_mutex_recover(&mutex), ==, COOP_EWRONGTHREAD);
	CHECK_INT(coop_mutex_stats(&mutex, &stats), ==, COOP_EWRONGTHREAD);
	return 0;
}

static void *other_thread(void *arg)
{
	CHECK_INT(coop_run(uses_from_elsewhere, arg, NULL), ==, 0);
	return NULL;
}

/* A mutex belongs to the thread of its first use, locked or not. */
TASK_TEST(on_another_thread)
{
	pthread_t thread;

	fresh();
	CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	CHECK_INT(pthread_create(&thread, NULL, other_thread, NULL), ==, 0);
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	CHECK_INT(pthread_create(&thread, NULL, other_thread, NULL), ==, 0);
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
	return 0;
}

static int mutex_with_a_waiter(void *arg)
{
	(void)arg;
	fresh();
	actors_begin(2);
	ask(0, lock, 0);
	ask(1, lock, 0);
	coop_mutex_deinit(&mutex);
	return 0;
}

static int mutex_with_an_owner(void *arg)
{
	(void)arg;
	fresh();
	actors_begin(1);
	ask(0, lock, 0);
	coop_mutex_deinit(&mutex);
	return 0;
}

/* Given up while somebody waits or owns: the program ends and names both tasks. */
TEST(given_up_in_use)
{
	char text[1024];

	last_words(mutex_with_a_waiter, text, sizeof text);
	CHECK_HAS(text, "coop_mutex_deinit by main");
	CHECK_HAS(text, "actor_main waits for it in coop_mutex_lock, first of 1");
	last_words(mutex_with_an_owner, text, sizeof text);
	CHECK_HAS(text, "coop_mutex_deinit by main");
	CHECK_HAS(text, "actor_main owns it (spawned at");
}

/* After it was given up, everything answers that it is closed. */
TASK_TEST(used_after_it_was_given_up)
{
	struct coop_lock_stats stats;

	fresh();
	CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	coop_mutex_deinit(&mutex);
	CHECK_INT(coop_mutex_lock(&mutex), ==, COOP_ECLOSED);
	CHECK_INT(coop_mutex_try_lock(&mutex), ==, COOP_ECLOSED);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, -EPERM);
	CHECK_INT(coop_mutex_recover(&mutex), ==, COOP_ECLOSED);
	CHECK_INT(coop_mutex_stats(&mutex, &stats), ==, COOP_ECLOSED);
	return 0;
}

/* A dump says who owns what is waited for. */
TASK_TEST(a_dump_names_the_owner)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	fresh();
	actors_begin(1);
	CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	CHECK_INT(ask(0, lock, 0), ==, BLOCKED);
	CHECK_INT(coop_dump(f, 0), ==, 0);
	fclose(f);
	CHECK_HAS(text, "blocked in coop_mutex_lock, owned by main");
	free(text);
	CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	settle();
	CHECK_INT(ask(0, unlock, 0), ==, 0);
	return actors_end();
}

/* ---- against a model */

static struct line line;
static int owner = -1;

static int try_lock(struct actor *a, int which)
{
	(void)a;
	return coop_mutex_try_lock(&mutexes[which]);
}

static void model_unlock(void)
{
	owner = line_first(&line);
	if (owner >= 0)
		expected[owner] = 0;
}

static void model_stop(int who)
{
	if (line_leave(&line, who))
		expected[who] = COOP_ECANCELED;
}

static void begin_lock(int who)
{
	expected[who] = owner == who ? -EDEADLK : owner < 0 ? 0 : BLOCKED;
	if (owner >= 0 && owner != who)
		line_add(&line, who);
	else
		owner = who;
	tell(who, lock, 0);
}

static void begin_unlock(int who, int other)
{
	int (*op)(struct actor *, int) = unlock;

	expected[who] = owner == who ? 0 : -EPERM;
	if (other != who && stoppable(other))
		op = roll(2) ? unlock_and_stop : stop_and_unlock;
	if (op == stop_and_unlock)
		model_stop(other);
	if (owner == who)
		model_unlock();
	if (op == unlock_and_stop)
		model_stop(other);
	tell(who, op, op == unlock ? 0 : other);
}

/* Random locks, tries, unlocks, right and wrong ones, with cancels before, between and after. */
TASK_TEST(mutexes_against_a_model)
{
	long steps = TEST_COUNT(1000000, 30000);

	TEST_SECONDS(300);
	fresh();
	actors_begin(6);
	for (long step = 0; step < steps; step++) {
		int who = (int)roll(6), other = (int)roll(6);

		if (roll(5) == 0 && stoppable(other)) {
			stop(other);
			model_stop(other);
		}
		if (actors[who].result == BLOCKED) {
			settle();
			compare_actors(step);
			continue;
		}
		switch (roll(4)) {
		case 0:
		case 1: begin_lock(who); break;
		case 2: begin_unlock(roll(2) && owner >= 0 ? owner : who, other); break;
		default:
			expected[who] = owner == who ? -EDEADLK : owner < 0 ? 0 : -EAGAIN;
			owner = owner < 0 ? who : owner;
			tell(who, try_lock, 0);
		}
		settle();
		compare_actors(step);
		CHECK_INT(numbers().waiting, ==, line.count);
		CHECK(numbers().owner == (owner < 0 ? NULL : actors[owner].task));
	}
	while (owner >= 0) {
		int who = owner;

		model_unlock();
		CHECK_INT(ask(who, unlock, 0), ==, 0);
	}
	return actors_end();
}
