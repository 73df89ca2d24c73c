/* SPDX-License-Identifier: MIT */
/* Semaphores: permits are conserved, go to who came first, and never beyond the maximum. */
#include "sync_help.h"

static struct coop_sem sem;

#define FRESH(n) (sem = (struct coop_sem)COOP_SEM_INIT(n))
#define FRESH_MAX(n, max) (sem = (struct coop_sem)COOP_SEM_INIT_MAX(n, max))

static int acquire(struct actor *a, int arg)
{
	(void)a;
	(void)arg;
	return coop_sem_acquire(&sem);
}

static struct coop_sem_stats numbers(void)
{
	struct coop_sem_stats stats;

	CHECK_INT(coop_sem_stats(&sem, &stats), ==, 0);
	return stats;
}

/* It counts, anybody may release, and its numbers can be asked for. */
TASK_TEST(a_semaphore_counts)
{
	struct coop_sem_stats stats;

	FRESH(2);
	actors_begin(1);
	CHECK_INT(coop_sem_acquire(&sem), ==, 0);
	CHECK_INT(coop_sem_try_acquire(&sem), ==, 0);
	CHECK_INT(coop_sem_try_acquire(&sem), ==, -EAGAIN);
	CHECK_INT(ask(0, acquire, 0), ==, BLOCKED);
	CHECK_INT(numbers().count, ==, 0);
	CHECK_INT(numbers().max, ==, COOP_UNLIMITED);
	CHECK_INT(numbers().waiting, ==, 1);
	CHECK_INT(coop_sem_release(&sem), ==, 0);
	CHECK_INT(coop_sem_release(&sem), ==, 0);
	settle();
	CHECK_INT(actors[0].result, ==, 0);
	CHECK_INT(numbers().count, ==, 1);
	CHECK_INT(numbers().waiting, ==, 0);
	coop_sem_deinit(&sem);
	CHECK_INT(coop_sem_acquire(&sem), ==, COOP_ECLOSED);
	CHECK_INT(coop_sem_try_acquire(&sem), ==, COOP_ECLOSED);
	CHECK_INT(coop_sem_release(&sem), ==, COOP_ECLOSED);
	CHECK_INT(coop_sem_release_many(&sem, 2), ==, COOP_ECLOSED);
	CHECK_INT(coop_sem_stats(&sem, &stats), ==, COOP_ECLOSED);
	PROVES(B249);
	return actors_end();
}

/* With a maximum, a release beyond it is refused and changes nothing; many are all or none. */
TASK_TEST(a_semaphore_with_a_maximum)
{
	FRESH_MAX(2, 3);
	actors_begin(3);
	CHECK_INT(coop_sem_release(&sem), ==, 0);
	CHECK_INT(coop_sem_release(&sem), ==, -EOVERFLOW);
	CHECK_INT(numbers().count, ==, 3);
	CHECK_INT(coop_sem_release_many(&sem, 1), ==, -EOVERFLOW);
	CHECK_INT(coop_sem_release_many(&sem, 0), ==, 0);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_sem_acquire(&sem), ==, 0);
	for (int i = 0; i < 3; i++)
		CHECK_INT(ask(i, acquire, 0), ==, BLOCKED);
	CHECK_INT(coop_sem_release_many(&sem, 7), ==, -EOVERFLOW);
	settle();
	CHECK_INT(numbers().waiting, ==, 3);
	CHECK_INT(numbers().count, ==, 0);
	CHECK_INT(coop_sem_release_many(&sem, 6), ==, 0);
	settle();
	CHECK_INT(numbers().waiting, ==, 0);
	CHECK_INT(numbers().count, ==, 3);
	for (int i = 0; i < 3; i++)
		CHECK_INT(actors[i].result, ==, 0);
	PROVES(B249);
	return actors_end();
}

/* One that begins with more than its maximum is refused by every call. */
TASK_TEST(more_than_the_maximum_from_the_beginning)
{
	FRESH_MAX(4, 3);
	CHECK_INT(coop_sem_acquire(&sem), ==, -EINVAL);
	CHECK_INT(coop_sem_try_acquire(&sem), ==, -EINVAL);
	CHECK_INT(coop_sem_release(&sem), ==, -EINVAL);
	CHECK_INT(coop_sem_release_many(&sem, 1), ==, -EINVAL);
	return 0;
}

/* The number of permits ends at the largest number there is: refused, not wrapped. */
TASK_TEST(rel_A17_release_near_the_largest_number)
{
	FRESH(UINT32_MAX - 1);
	CHECK_INT(coop_sem_release_many(&sem, 2), ==, -EOVERFLOW);
	CHECK_INT(coop_sem_release_many(&sem, UINT32_MAX), ==, -EOVERFLOW);
	CHECK_INT(coop_sem_release(&sem), ==, 0);
	CHECK_INT(coop_sem_release(&sem), ==, -EOVERFLOW);
	CHECK_INT(coop_sem_release_many(&sem, 1), ==, -EOVERFLOW);
	CHECK_INT(coop_sem_try_acquire(&sem), ==, 0);
	CHECK_INT(coop_sem_release(&sem), ==, 0);
	CHECK_INT(numbers().count, ==, UINT32_MAX);
	return 0;
}

/* First come, first served; and a permit that is released is the first waiter's at once. */
TASK_TEST(a_semaphore_is_fair)
{
	FRESH(1);
	actors_begin(4);
	CHECK_INT(coop_sem_acquire(&sem), ==, 0);
	for (int i = 3; i >= 0; i--)
		CHECK_INT(ask(i, acquire, 0), ==, BLOCKED);
	CHECK_INT(coop_sem_release(&sem), ==, 0);
	CHECK_INT(coop_sem_try_acquire(&sem), ==, -EAGAIN); /* it is actor 3's */
	CHECK_INT(numbers().count, ==, 0);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_sem_release(&sem), ==, 0);
	settle();
	for (int i = 3; i >= 0; i--) {
		CHECK_INT(actors[i].result, ==, 0);
		CHECK_INT(actors[i].served, ==, 4 - i);
	}
	PROVES(B250);
	return actors_end();
}

/* A permit given to a task that is then cancelled, before it ran, is that task's all the same. */
TASK_TEST(rel_A02_a_permit_and_then_a_cancel)
{
	FRESH(0);
	actors_begin(2);
	CHECK_INT(ask(0, acquire, 0), ==, BLOCKED);
	CHECK_INT(ask(1, acquire, 0), ==, BLOCKED);
	CHECK_INT(coop_sem_release(&sem), ==, 0);
	stop(0);
	settle();
	CHECK_INT(actors[0].result, ==, 0);
	CHECK_INT(actors[1].result, ==, BLOCKED);
	CHECK_INT(coop_sem_release(&sem), ==, 0);
	settle();
	CHECK_INT(actors[1].result, ==, 0);
	CHECK_INT(numbers().count, ==, 0);
	PROVES(B79, B251);
	return actors_end();
}

/* Cancelled waiters that have not run yet take nothing: the permit is free, or the next one's. */
TASK_TEST(rel_A03_a_queue_of_cancelled_waiters)
{
	FRESH(0);
	actors_begin(3);
	CHECK_INT(ask(0, acquire, 0), ==, BLOCKED);
	CHECK_INT(ask(1, acquire, 0), ==, BLOCKED);
	stop(0);
	stop(1);
	CHECK_INT(coop_sem_release(&sem), ==, 0);
	CHECK_INT(numbers().count, ==, 1);
	tell(2, acquire, 0);
	settle();
	CHECK_INT(actors[0].result, ==, COOP_ECANCELED);
	CHECK_INT(actors[1].result, ==, COOP_ECANCELED);
	CHECK_INT(actors[2].result, ==, 0);
	CHECK_INT(numbers().count, ==, 0);
	PROVES(B251);
	return actors_end();
}

/* Thousands of tasks with a limit as long as the permit is held: in the end all are back. */
struct rush {
	int got, timed_out;
};

static int hold_for_2ms(void *arg)
{
	struct rush *rush = arg;
	int r = coop_sem_acquire(&sem);

	if (r < 0)
		return r;
	rush->got++;
	r = coop_sleep(MS(2));
	CHECK_INT(coop_sem_release(&sem), ==, 0);
	return r;
}

static int in_a_hurry(void *arg)
{
	struct rush *rush = arg;
	int r = coop_fail_after(MS(4), hold_for_2ms, rush);

	if (r != COOP_ETIMEDOUT)
		return r;
	coop_error_clear();
	rush->timed_out++;
	return 0;
}

TASK_TEST(rel_A09_time_limits_as_long_as_the_permit_is_held)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct rush rush = { 0, 0 };
	int tasks = TEST_COUNT(5000, 500);

	FRESH(10);
	coop_group_open(&g, NULL);
	for (int i = 0; i < tasks; i++)
		CHECK_INT(coop_spawn(&g, in_a_hurry, &rush), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(numbers().count, ==, 10);
	CHECK_INT(numbers().waiting, ==, 0);
	CHECK_INT(rush.got, >=, 20);
	CHECK_INT(rush.timed_out, >, tasks / 2);
	return 0;
}

/* A waiter that is cancelled leaves the queue at once, from wherever in it. */
TASK_TEST(a_cancelled_waiter_leaves_the_queue)
{
	FRESH(0);
	actors_begin(3);
	for (int i = 0; i < 3; i++)
		CHECK_INT(ask(i, acquire, 0), ==, BLOCKED);
	stop(1);
	CHECK_INT(numbers().waiting, ==, 2);
	stop(0);
	CHECK_INT(coop_sem_release(&sem), ==, 0);
	settle();
	CHECK_INT(actors[0].result, ==, COOP_ECANCELED);
	CHECK_INT(actors[1].result, ==, COOP_ECANCELED);
	CHECK_INT(actors[2].result, ==, 0);
	PROVES(B251);
	return actors_end();
}

/* ---- against a model */

static struct line line;
static uint32_t permits;

static void release(uint32_t n, uint32_t max)
{
	bool fits = (int)n <= line.count || n - (uint32_t)line.count <= max - permits;
	int r = n == 1 ? coop_sem_release(&sem) : coop_sem_release_many(&sem, n);

	CHECK_INT(r, ==, fits ? 0 : -EOVERFLOW);
	while (fits && n--) {
		int first = line_first(&line);

		if (first >= 0)
			expected[first] = 0;
		else
			permits++;
	}
}

static void begin_acquire(int who)
{
	tell(who, acquire, 0);
	expected[who] = permits ? 0 : BLOCKED;
	if (!permits)
		line_add(&line, who);
	permits -= permits > 0;
	coop_yield();
}

/* Random acquires, tries, releases and cancels, several between two looks. */
TASK_TEST(semaphores_against_a_model)
{
	long steps = TEST_COUNT(1000000, 30000);

	TEST_SECONDS(300);
	FRESH_MAX(3, 5);
	permits = 3;
	actors_begin(8);
	for (long step = 0; step < steps; step++) {
		int who = (int)roll(8);

		switch (roll(9)) {
		case 0: release(1, 5); break;
		case 1: release(roll(4), 5); break;
		case 2:
			CHECK_INT(coop_sem_try_acquire(&sem), ==, permits ? 0 : -EAGAIN);
			permits -= permits > 0;
			break;
		case 3:
			if (!stoppable(who))
				break;
			stop(who);
			if (line_leave(&line, who))
				expected[who] = COOP_ECANCELED;
			break;
		default:
			settle();
			compare_actors(step);
			CHECK_INT(numbers().count, ==, permits);
			CHECK_INT(numbers().waiting, ==, line.count);
			if (actors[who].result != BLOCKED)
				begin_acquire(who);
		}
	}
	CHECK_INT(coop_sem_release_many(&sem, (uint32_t)line.count), ==, 0);
	return actors_end();
}

static int sem_with_waiters(void *arg)
{
	(void)arg;
	FRESH(0);
	actors_begin(2);
	ask(1, acquire, 0);
	ask(0, acquire, 0);
	coop_sem_deinit(&sem);
	return 0;
}

/* Given up while somebody waits: the program ends and names both tasks. */
TEST(a_semaphore_given_up_with_waiters)
{
	char text[1024];

	last_words(sem_with_waiters, text, sizeof text);
	CHECK_HAS(text, "coop_sem_deinit by main");
	CHECK_HAS(text, "waits for it in coop_sem_acquire, first of 2");
	coop_sem_deinit(NULL);
}
