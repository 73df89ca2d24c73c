/* SPDX-License-Identifier: MIT */
/* Events, pulses, semaphores and futures in a select: only what is chosen is taken. */
#include "sync_help.h"

static struct coop_event event;
static struct coop_pulse pulse;
static struct coop_sem sem, sem2;
static struct coop_future future;
static void *value;
static int rc, thing;

static void fresh(void)
{
	event = (struct coop_event)COOP_EVENT_INIT;
	pulse = (struct coop_pulse)COOP_PULSE_INIT;
	sem = sem2 = (struct coop_sem)COOP_SEM_INIT_MAX(0, 2);
	future = (struct coop_future)COOP_FUTURE_INIT;
	value = NULL;
	rc = 1;
}

static int choose(struct actor *a, int arg)
{
	struct coop_case cases[] = { coop_case_event(&event), coop_case_pulse(&pulse),
				     coop_case_sem(&sem), coop_case_future(&future, &value),
				     coop_case_sem(&sem2) };
	int r = coop_select(cases, 5, NULL);

	(void)a;
	(void)arg;
	if (r >= 0)
		rc = cases[r].rc;
	return r;
}

/* Waits for two permits at two semaphores, or for either twice. */
static int choose_permit(struct actor *a, int twice)
{
	struct coop_case cases[] = { coop_case_sem(&sem), coop_case_sem(twice ? &sem : &sem2) };
	int r = coop_select(cases, 2, NULL);

	(void)a;
	CHECK(r < 0 || cases[r].rc == 0);
	return r;
}

static int count(const struct coop_sem *s)
{
	struct coop_sem_stats stats;

	CHECK_INT(coop_sem_stats(s, &stats), ==, 0);
	return (int)stats.count;
}

static int waiting(const struct coop_sem *s)
{
	struct coop_sem_stats stats;

	CHECK_INT(coop_sem_stats(s, &stats), ==, 0);
	return (int)stats.waiting;
}

/* Nobody is left in the queues, and nothing but the chosen case was taken. */
static void check_untouched(void)
{
	CHECK(cp_queue_empty((struct cp_queue *)event._queue));
	CHECK(cp_queue_empty((struct cp_queue *)pulse._queue));
	CHECK(cp_queue_empty((struct cp_queue *)sem._queue));
	CHECK(cp_queue_empty((struct cp_queue *)sem2._queue));
	CHECK(cp_queue_empty((struct cp_queue *)future._queue));
}

/* Each kind of case is chosen when it becomes ready, and leaves the others as they were. */
TASK_TEST(each_kind_is_chosen)
{
	actors_begin(1);
	for (int which = 0; which < 6; which++) {
		fresh();
		CHECK_INT(ask(0, choose, 0), ==, BLOCKED);
		switch (which) {
		case 0: CHECK_INT(coop_event_set(&event), ==, 0); break;
		case 1: CHECK_INT(coop_pulse_send(&pulse), ==, 0); break;
		case 2: CHECK_INT(coop_sem_release(&sem), ==, 0); break;
		case 3: CHECK_INT(coop_future_set(&future, &thing), ==, 0); break;
		case 4: CHECK_INT(coop_sem_release_many(&sem2, 1), ==, 0); break;
		default: CHECK_INT(coop_future_fail(&future, -EIO), ==, 0);
		}
		check_untouched();
		settle();
		CHECK_INT(actors[0].result, ==, which == 5 ? 3 : which);
		CHECK_INT(rc, ==, which == 5 ? -EIO : 0);
		CHECK(value == (which == 3 ? &thing : NULL));
		CHECK_INT(count(&sem), ==, 0);
		CHECK_INT(count(&sem2), ==, 0);
		CHECK_INT(coop_pulse_try_wait(&pulse), ==, -EAGAIN);
	}
	PROVES(B174);
	return actors_end();
}

/* Ready at the call: the first in order is taken, the others keep what they have. */
TASK_TEST(what_is_ready_at_the_call)
{
	actors_begin(1);
	for (int first = 0; first < 5; first++) {
		fresh();
		if (first <= 0)
			CHECK_INT(coop_event_set(&event), ==, 0);
		if (first <= 1)
			CHECK_INT(coop_pulse_send(&pulse), ==, 0);
		if (first <= 2)
			CHECK_INT(coop_sem_release(&sem), ==, 0);
		if (first <= 3)
			CHECK_INT(coop_future_set(&future, &thing), ==, 0);
		CHECK_INT(coop_sem_release(&sem2), ==, 0);
		CHECK_INT(ask(0, choose, 0), ==, first);
		CHECK_INT(rc, ==, 0);
		CHECK(value == (first == 3 ? &thing : NULL));
		CHECK_INT(count(&sem2), ==, first == 4 ? 0 : 1);
		CHECK_INT(count(&sem), ==, first < 2 ? 1 : 0);
		CHECK_INT(coop_pulse_try_wait(&pulse), ==, first < 1 ? 0 : -EAGAIN);
		check_untouched();
	}
	PROVES(B174);
	return actors_end();
}

/* A cancel that comes first takes nothing; one that comes after a permit leaves it to the task. */
TASK_TEST(a_select_and_a_cancel)
{
	fresh();
	actors_begin(2);
	CHECK_INT(ask(0, choose, 0), ==, BLOCKED);
	stop(0);
	check_untouched();
	CHECK_INT(coop_sem_release(&sem), ==, 0);
	settle();
	CHECK_INT(actors[0].result, ==, COOP_ECANCELED);
	CHECK_INT(count(&sem), ==, 1);
	CHECK_INT(coop_sem_try_acquire(&sem), ==, 0);
	CHECK_INT(ask(0, choose, 0), ==, BLOCKED);
	CHECK_INT(ask(1, choose, 0), ==, BLOCKED);
	CHECK_INT(coop_sem_release(&sem), ==, 0);
	stop(0);
	settle();
	CHECK_INT(actors[0].result, ==, 2);
	CHECK_INT(actors[1].result, ==, BLOCKED);
	CHECK_INT(coop_event_set(&event), ==, 0);
	settle();
	CHECK_INT(actors[1].result, ==, 0);
	CHECK_INT(count(&sem), ==, 0);
	PROVES(B79, B174);
	return actors_end();
}

/* Two permits released for one select are one for it and one that is left; also where it waits
 * twice at the same semaphore. */
TASK_TEST(permits_are_conserved)
{
	actors_begin(2);
	for (int twice = 0; twice < 2; twice++) {
		fresh();
		CHECK_INT(ask(0, choose_permit, twice), ==, BLOCKED);
		CHECK_INT(waiting(&sem), ==, 1 + twice);
		CHECK_INT(coop_sem_release_many(&sem, 4), ==, -EOVERFLOW);
		CHECK_INT(coop_sem_release_many(&sem, 3), ==, 0);
		CHECK_INT(coop_sem_release(&sem2), ==, 0);
		settle();
		CHECK_INT(actors[0].result, ==, 0);
		CHECK_INT(count(&sem), ==, 2);
		CHECK_INT(count(&sem2), ==, 1);
		check_untouched();
	}
	PROVES(B174);
	return actors_end();
}

/* An owner that ends breaks the future of a select, too; nothing is never chosen. */
static int owns_and_ends(void *arg)
{
	(void)arg;
	return coop_future_own(&future);
}

TASK_TEST(a_broken_future_and_nothing)
{
	struct coop_case cases[] = { coop_case_event(NULL), coop_case_pulse(NULL),
				     coop_case_sem(NULL), coop_case_future(NULL, NULL) };
	struct coop_group g = COOP_GROUP_INIT;

	fresh();
	actors_begin(1);
	CHECK_INT(coop_select_try(cases, 4, NULL), ==, -EAGAIN);
	CHECK_INT(ask(0, choose, 0), ==, BLOCKED);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, owns_and_ends, NULL), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	settle();
	CHECK_INT(actors[0].result, ==, 3);
	CHECK_INT(rc, ==, COOP_EBROKEN);
	coop_event_deinit(&event);
	CHECK_INT(ask(0, choose, 0), ==, 0);
	CHECK_INT(rc, ==, COOP_ECLOSED);
	return actors_end();
}
