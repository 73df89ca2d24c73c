/* SPDX-License-Identifier: MIT */
/* Events and pulses: who is woken, in which order, what is remembered, what a cancel changes. */
#include "sync_help.h"

static struct coop_event event;
static struct coop_pulse pulse;

static int wait_event(struct actor *a, int arg)
{
	(void)a;
	(void)arg;
	return coop_event_wait(&event);
}

static int wait_pulse(struct actor *a, int arg)
{
	(void)a;
	(void)arg;
	return coop_pulse_wait(&pulse);
}

static void fresh(void)
{
	event = (struct coop_event)COOP_EVENT_INIT;
	pulse = (struct coop_pulse)COOP_PULSE_INIT;
}

/* ---- events */

/* A set wakes all who wait, in the order in which they came, and stays: later waits return. */
TASK_TEST(an_event_is_set_once_for_all)
{
	struct coop_event_stats stats;

	fresh();
	actors_begin(4);
	for (int i = 3; i >= 1; i--)
		CHECK_INT(ask(i, wait_event, 0), ==, BLOCKED);
	CHECK_INT(coop_event_stats(&event, &stats), ==, 0);
	CHECK_INT(stats.waiting, ==, 3);
	CHECK(!stats.set);
	CHECK(!coop_event_is_set(&event));
	CHECK_INT(coop_event_set(&event), ==, 0);
	CHECK_INT(actors[3].result, ==, BLOCKED); /* nothing runs inside a set */
	settle();
	for (int i = 3; i >= 1; i--) {
		CHECK_INT(actors[i].result, ==, 0);
		CHECK_INT(actors[i].served, ==, 4 - i);
	}
	CHECK_INT(coop_event_set(&event), ==, 1);
	CHECK(coop_event_is_set(&event));
	CHECK_INT(ask(0, wait_event, 0), ==, 0);
	CHECK_INT(coop_event_wait(&event), ==, 0);
	CHECK_INT(coop_event_stats(&event, &stats), ==, 0);
	CHECK_INT(stats.waiting, ==, 0);
	CHECK(stats.set);
	coop_event_deinit(&event);
	PROVES(B256);
	return actors_end();
}

/* Set, and cancelled in the same breath: the wait has succeeded. The other way round it has not. */
TASK_TEST(an_event_set_and_then_a_cancel)
{
	fresh();
	actors_begin(2);
	CHECK_INT(ask(0, wait_event, 0), ==, BLOCKED);
	CHECK_INT(ask(1, wait_event, 0), ==, BLOCKED);
	stop(1);
	CHECK_INT(coop_event_set(&event), ==, 0);
	stop(0);
	settle();
	CHECK_INT(actors[0].result, ==, 0);
	CHECK_INT(actors[1].result, ==, COOP_ECANCELED);
	PROVES(B257, B79);
	return actors_end();
}

/* ---- pulses */

/* A pulse wakes one, the first; with nobody there it is remembered, and only once. */
TASK_TEST(a_pulse_wakes_one_or_is_remembered)
{
	struct coop_event_stats stats;

	fresh();
	actors_begin(3);
	CHECK_INT(coop_pulse_try_wait(&pulse), ==, -EAGAIN);
	CHECK_INT(ask(1, wait_pulse, 0), ==, BLOCKED);
	CHECK_INT(ask(0, wait_pulse, 0), ==, BLOCKED);
	CHECK_INT(coop_pulse_send(&pulse), ==, 0);
	settle();
	CHECK_INT(actors[1].result, ==, 0);
	CHECK_INT(actors[0].result, ==, BLOCKED);
	CHECK_INT(coop_pulse_send(&pulse), ==, 0);
	CHECK_INT(coop_pulse_send(&pulse), ==, 0);
	CHECK_INT(coop_pulse_send(&pulse), ==, 1);
	CHECK_INT(coop_pulse_stats(&pulse, &stats), ==, 0);
	CHECK(stats.set);
	CHECK_INT(stats.waiting, ==, 0);
	settle();
	CHECK_INT(actors[0].result, ==, 0);
	CHECK_INT(ask(2, wait_pulse, 0), ==, 0);
	CHECK_INT(ask(2, wait_pulse, 0), ==, BLOCKED);
	CHECK_INT(coop_pulse_send(&pulse), ==, 0);
	CHECK_INT(coop_pulse_try_wait(&pulse), ==, -EAGAIN); /* it belongs to actor 2 already */
	settle();
	CHECK_INT(coop_pulse_send(&pulse), ==, 0);
	CHECK_INT(coop_pulse_try_wait(&pulse), ==, 0);
	coop_pulse_deinit(&pulse);
	PROVES(B256);
	return actors_end();
}

/* A pulse that has woken a task is not lost by a cancel, nor given twice. */
TASK_TEST(a_pulse_and_a_cancel)
{
	fresh();
	actors_begin(3);
	for (int i = 0; i < 3; i++)
		CHECK_INT(ask(i, wait_pulse, 0), ==, BLOCKED);
	CHECK_INT(coop_pulse_send(&pulse), ==, 0);
	stop(0);
	stop(1);
	CHECK_INT(coop_pulse_send(&pulse), ==, 0);
	settle();
	CHECK_INT(actors[0].result, ==, 0);
	CHECK_INT(actors[1].result, ==, COOP_ECANCELED);
	CHECK_INT(actors[2].result, ==, 0);
	CHECK_INT(coop_pulse_try_wait(&pulse), ==, -EAGAIN);
	PROVES(B79);
	return actors_end();
}

/* A pulse after one to all is for who comes next, not for somebody whom that one has woken. */
TASK_TEST(rel_A14_a_pulse_after_a_pulse_to_all)
{
	fresh();
	actors_begin(3);
	CHECK_INT(coop_pulse_send_all(&pulse), ==, 0);
	CHECK_INT(coop_pulse_try_wait(&pulse), ==, -EAGAIN);
	CHECK_INT(ask(0, wait_pulse, 0), ==, BLOCKED);
	CHECK_INT(ask(1, wait_pulse, 0), ==, BLOCKED);
	CHECK_INT(coop_pulse_send_all(&pulse), ==, 2);
	CHECK_INT(coop_pulse_send(&pulse), ==, 0);
	tell(2, wait_pulse, 0);
	settle();
	for (int i = 0; i < 3; i++)
		CHECK_INT(actors[i].result, ==, 0);
	return actors_end();
}

/* ---- against a model */

static struct line line;
static bool remembered;

static void send_one(void)
{
	int first;

	CHECK_INT(coop_pulse_send(&pulse), ==, line.count == 0 && remembered);
	first = line_first(&line);
	if (first >= 0)
		expected[first] = 0;
	else
		remembered = true;
}

static void send_all(void)
{
	int first, woken = 0;

	while ((first = line_first(&line)) >= 0) {
		expected[first] = 0;
		woken++;
	}
	CHECK_INT(coop_pulse_send_all(&pulse), ==, woken);
}

static void begin_wait(int who)
{
	tell(who, wait_pulse, 0);
	expected[who] = remembered ? 0 : BLOCKED;
	if (!remembered)
		line_add(&line, who);
	remembered = false;
	coop_yield();
}

/* Random waits, sends, sends to all, tries and cancels: a pulse is one bit and a queue. */
TASK_TEST(pulses_against_a_model)
{
	long steps = TEST_COUNT(1000000, 30000);

	TEST_SECONDS(300);
	fresh();
	actors_begin(6);
	for (long step = 0; step < steps; step++) {
		int who = (int)roll(6);

		switch (roll(8)) {
		case 0:
		case 1: send_one(); break;
		case 2: send_all(); break;
		case 3:
			CHECK_INT(coop_pulse_try_wait(&pulse), ==, remembered ? 0 : -EAGAIN);
			remembered = false;
			break;
		case 4:
			if (!stoppable(who))
				break;
			stop(who);
			if (line_leave(&line, who))
				expected[who] = COOP_ECANCELED;
			break;
		default:
			settle();
			compare_actors(step);
			if (actors[who].result != BLOCKED)
				begin_wait(who);
		}
	}
	coop_pulse_send_all(&pulse);
	return actors_end();
}

/* Random waits, sets and cancels, on many events one after the other. */
TASK_TEST(events_against_a_model)
{
	long steps = TEST_COUNT(1000000, 30000);
	bool set = false;

	TEST_SECONDS(300);
	fresh();
	line.count = 0;
	actors_begin(6);
	for (long step = 0; step < steps; step++) {
		int who = (int)roll(6), first;

		switch (roll(8)) {
		case 0:
			CHECK_INT(coop_event_set(&event), ==, set);
			while ((first = line_first(&line)) >= 0)
				expected[first] = 0;
			set = true;
			break;
		case 1:
		case 2:
			if (!stoppable(who))
				break;
			stop(who);
			if (line_leave(&line, who))
				expected[who] = COOP_ECANCELED;
			break;
		default:
			settle();
			compare_actors(step);
			if (set && roll(3) == 0) {
				coop_event_deinit(&event);
				fresh();
				set = false;
			}
			if (actors[who].result == BLOCKED)
				break;
			tell(who, wait_event, 0);
			expected[who] = set ? 0 : BLOCKED;
			if (!set)
				line_add(&line, who);
			coop_yield();
		}
	}
	coop_event_set(&event);
	return actors_end();
}

/* ---- bad use */

static int event_with_a_waiter(void *arg)
{
	(void)arg;
	fresh();
	actors_begin(1);
	ask(0, wait_event, 0);
	coop_event_deinit(&event);
	return 0;
}

static int pulse_with_a_waiter(void *arg)
{
	(void)arg;
	fresh();
	actors_begin(1);
	ask(0, wait_pulse, 0);
	coop_pulse_deinit(&pulse);
	return 0;
}

/* What is given up while somebody waits ends the program, which names both tasks. */
TEST(given_up_with_waiters)
{
	char text[1024];

	last_words(event_with_a_waiter, text, sizeof text);
	CHECK_HAS(text, "coop_event_deinit by main");
	CHECK_HAS(text, "actor_main waits for it in coop_event_wait, first of 1 (spawned at");
	last_words(pulse_with_a_waiter, text, sizeof text);
	CHECK_HAS(text, "coop_pulse_deinit by main");
	CHECK_HAS(text, "actor_main waits for it in coop_pulse_wait");
}

/* After it was given up, everything answers that it is closed; an initialiser makes it new. */
TASK_TEST(used_after_it_was_given_up)
{
	struct coop_event_stats stats;

	fresh();
	CHECK_INT(coop_event_set(&event), ==, 0);
	coop_event_deinit(&event);
	CHECK_INT(coop_event_set(&event), ==, COOP_ECLOSED);
	CHECK_INT(coop_event_wait(&event), ==, COOP_ECLOSED);
	CHECK_INT(coop_event_stats(&event, &stats), ==, COOP_ECLOSED);
	coop_pulse_deinit(&pulse);
	CHECK_INT(coop_pulse_send(&pulse), ==, COOP_ECLOSED);
	CHECK_INT(coop_pulse_send_all(&pulse), ==, COOP_ECLOSED);
	CHECK_INT(coop_pulse_wait(&pulse), ==, COOP_ECLOSED);
	CHECK_INT(coop_pulse_try_wait(&pulse), ==, COOP_ECLOSED);
	CHECK_INT(coop_pulse_stats(&pulse, &stats), ==, COOP_ECLOSED);
	fresh();
	CHECK_INT(coop_event_set(&event), ==, 0);
	CHECK_INT(coop_event_wait(&event), ==, 0);
	return 0;
}

/* Outside of a run there is nobody to wake or to wait. */
TEST(outside_of_a_run)
{
	struct coop_event_stats stats;

	fresh();
	CHECK_INT(coop_event_set(&event), ==, COOP_ENOTASK);
	CHECK_INT(coop_event_wait(&event), ==, COOP_ENOTASK);
	CHECK_INT(coop_pulse_send(&pulse), ==, COOP_ENOTASK);
	CHECK_INT(coop_pulse_send_all(&pulse), ==, COOP_ENOTASK);
	CHECK_INT(coop_pulse_wait(&pulse), ==, COOP_ENOTASK);
	CHECK_INT(coop_pulse_try_wait(&pulse), ==, COOP_ENOTASK);
	CHECK_INT(coop_event_stats(&event, &stats), ==, 0);
	coop_event_deinit(&event);
	coop_event_deinit(NULL);
	coop_pulse_deinit(NULL);
}
