/* SPDX-License-Identifier: MIT */
/* The wait queues that all primitives stand on: order, cancels, shares in a task's body. */
#include "sync_help.h"

static struct cp_queue queue, other;

static int park(struct actor *a, int arg)
{
	struct cp_queue_wait w = { .wait = { .what = "a test" } };

	(void)a;
	(void)arg;
	return cp_queue_park(cp_rt, &queue, &w);
}

/* Whoever is woken is woken in order, with what the waker says; with nobody there it is not
 * remembered; a cancel takes out whom it hits, and nobody else. */
TASK_TEST(a_queue_of_tasks)
{
	queue = (struct cp_queue){ NULL, NULL };
	actors_begin(5);
	CHECK(!cp_queue_wake(cp_rt, &queue, 1));
	for (int i = 4; i >= 0; i--)
		CHECK_INT(ask(i, park, 0), ==, BLOCKED);
	CHECK(cp_queue_wake(cp_rt, &queue, 5));
	stop(4); /* too late */
	stop(2);
	settle();
	CHECK_INT(actors[4].result, ==, 5);
	CHECK_INT(actors[2].result, ==, COOP_ECANCELED);
	CHECK_INT(actors[3].result, ==, BLOCKED);
	for (int i = 0; i < 3; i++)
		CHECK(cp_queue_wake(cp_rt, &queue, 10 + i));
	CHECK(!cp_queue_wake(cp_rt, &queue, 1));
	CHECK(cp_queue_empty(&queue));
	settle();
	CHECK_INT(actors[3].result, ==, 10);
	CHECK_INT(actors[1].result, ==, 11);
	CHECK_INT(actors[0].result, ==, 12);
	PROVES(B266);
	return actors_end();
}

/* Moved to another queue, a task goes on waiting there, and a cancel finds it there. */
TASK_TEST(tasks_moved_to_another_queue)
{
	struct cp_waiter *e;

	queue = other = (struct cp_queue){ NULL, NULL };
	actors_begin(3);
	for (int i = 0; i < 3; i++)
		CHECK_INT(ask(i, park, 0), ==, BLOCKED);
	while ((e = cp_queue_take(&queue)))
		cp_queue_append(&other, e);
	stop(0);
	settle();
	CHECK_INT(actors[0].result, ==, COOP_ECANCELED);
	CHECK(!cp_queue_wake(cp_rt, &queue, 0));
	CHECK(cp_queue_wake(cp_rt, &other, 0));
	settle();
	CHECK_INT(actors[1].result, ==, 0);
	CHECK_INT(actors[2].result, ==, BLOCKED);
	CHECK(cp_queue_wake(cp_rt, &other, 0));
	PROVES(B266);
	return actors_end();
}

/* Shares are found by what they are of, their places are used again, and their number ends. */
TASK_TEST(shares_in_a_body)
{
	struct cp_body *b = cp_rt->body;
	int things[COOP_HOLDS_MAX + 1] = { 0 };

	CHECK(!cp_hold_find(b, &things[0]));
	for (int i = 0; i < COOP_HOLDS_MAX; i++) {
		CHECK(cp_hold_room(b));
		cp_hold_take(b, &things[i], NULL, NULL);
	}
	CHECK(!cp_hold_room(b));
	for (int i = COOP_HOLDS_MAX - 1; i >= 0; i--)
		CHECK(cp_hold_find(b, &things[i])->of == &things[i]);
	cp_hold_drop(b, cp_hold_find(b, &things[3]));
	CHECK(!cp_hold_find(b, &things[3]));
	CHECK(cp_hold_room(b));
	cp_hold_take(b, &things[COOP_HOLDS_MAX], NULL, NULL);
	CHECK(!cp_hold_room(b));
	for (int i = 0; i <= COOP_HOLDS_MAX; i++)
		if (i != 3)
			cp_hold_drop(b, cp_hold_find(b, &things[i]));
	CHECK(!b->held);
	return 0;
}
