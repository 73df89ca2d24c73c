/* SPDX-License-Identifier: MIT */
/* Futures and onces: set once, by whom, and what becomes of those who wait when that one ends. */
#include "sync_help.h"

static struct coop_future future;
static struct coop_once once;
static void *got[ACTORS_MAX];
static int thing;

static void fresh(void)
{
	future = (struct coop_future)COOP_FUTURE_INIT;
	once = (struct coop_once)COOP_ONCE_INIT;
	memset(got, 0, sizeof got);
}

static int wait_future(struct actor *a, int arg)
{
	(void)arg;
	return coop_future_wait(&future, &got[a->index]);
}

static int own(struct actor *a, int arg)
{
	(void)a;
	(void)arg;
	return coop_future_own(&future);
}

static int set(struct actor *a, int arg)
{
	(void)a;
	(void)arg;
	return coop_future_set(&future, &thing);
}

static struct coop_future_stats numbers(void)
{
	struct coop_future_stats stats;

	CHECK_INT(coop_future_stats(&future, &stats), ==, 0);
	return stats;
}

/* ---- futures */

/* Set once; all who wait get the value, in order, and so do those who come later. */
TASK_TEST(a_future_is_set_once)
{
	void *value = NULL;

	fresh();
	actors_begin(3);
	CHECK_INT(coop_future_get(&future, &value), ==, -EAGAIN);
	CHECK_INT(ask(2, wait_future, 0), ==, BLOCKED);
	CHECK_INT(ask(1, wait_future, 0), ==, BLOCKED);
	CHECK_INT(numbers().waiting, ==, 2);
	CHECK(!numbers().done);
	CHECK_INT(coop_future_set(&future, &thing), ==, 0);
	CHECK_INT(coop_future_set(&future, NULL), ==, -EALREADY);
	CHECK_INT(coop_future_fail(&future, -EIO), ==, -EALREADY);
	CHECK_INT(coop_future_own(&future), ==, -EALREADY);
	settle();
	CHECK_INT(actors[2].result, ==, 0);
	CHECK_INT(actors[1].result, ==, 0);
	CHECK_INT(actors[2].served, <, actors[1].served);
	CHECK(got[2] == &thing);
	CHECK(got[1] == &thing);
	CHECK_INT(ask(0, wait_future, 0), ==, 0);
	CHECK(got[0] == &thing);
	CHECK_INT(coop_future_get(&future, &value), ==, 0);
	CHECK(value == &thing);
	CHECK_INT(coop_future_get(&future, NULL), ==, 0);
	CHECK_INT(coop_future_wait(&future, NULL), ==, 0);
	CHECK(numbers().done);
	CHECK_INT(numbers().code, ==, 0);
	coop_future_deinit(&future);
	coop_future_deinit(NULL);
	CHECK_INT(coop_future_get(&future, NULL), ==, COOP_ECLOSED);
	CHECK_INT(coop_future_wait(&future, NULL), ==, COOP_ECLOSED);
	CHECK_INT(coop_future_set(&future, NULL), ==, COOP_ECLOSED);
	CHECK_INT(coop_future_own(&future), ==, COOP_ECLOSED);
	return actors_end();
}

/* Failed with a code, which is what those who wait get; a cancel is no such code. */
TASK_TEST(a_future_that_fails)
{
	fresh();
	actors_begin(2);
	CHECK_INT(coop_future_fail(&future, 0), ==, -EINVAL);
	CHECK_INT(coop_future_fail(&future, 7), ==, -EINVAL);
	CHECK_INT(coop_future_fail(&future, COOP_ECANCELED), ==, -EINVAL);
	CHECK_INT(coop_future_fail(&future, -EAGAIN), ==, -EINVAL); /* it means: not yet */
	got[0] = &thing;
	CHECK_INT(ask(0, wait_future, 0), ==, BLOCKED);
	CHECK_INT(coop_future_fail(&future, -EIO), ==, 0);
	settle();
	CHECK_INT(actors[0].result, ==, -EIO);
	CHECK(got[0] == &thing); /* untouched */
	CHECK_INT(ask(1, wait_future, 0), ==, -EIO);
	CHECK_INT(coop_future_get(&future, NULL), ==, -EIO);
	CHECK_INT(numbers().code, ==, -EIO);
	return actors_end();
}

/* A value set before the cancel came is had; the future may be gone when the waiter runs. */
TASK_TEST(rel_A10_a_value_and_a_cancel)
{
	fresh();
	actors_begin(2);
	CHECK_INT(ask(0, wait_future, 0), ==, BLOCKED);
	CHECK_INT(ask(1, wait_future, 0), ==, BLOCKED);
	stop(1);
	CHECK_INT(coop_future_set(&future, &thing), ==, 0);
	stop(0);
	coop_future_deinit(&future);
	memset((void *)&future, 0xff, sizeof future);
	settle();
	CHECK_INT(actors[0].result, ==, 0);
	CHECK(got[0] == &thing);
	CHECK_INT(actors[1].result, ==, COOP_ECANCELED);
	CHECK(!got[1]);
	PROVES(B79);
	return actors_end();
}

/* The call is the last of the actor's turn, so that others run before it returns. */
static int wait_at_the_end_of_the_turn(struct actor *a, int arg)
{
	cp_rt->budget = 1;
	return wait_future(a, arg);
}

/* Set beforehand, too, it may be gone when the call returns. */
TASK_TEST(a_future_that_is_gone_after_the_yield)
{
	fresh();
	actors_begin(1);
	CHECK_INT(coop_future_set(&future, &thing), ==, 0);
	tell(0, wait_at_the_end_of_the_turn, 0);
	coop_yield();
	CHECK_INT(actors[0].result, ==, BLOCKED);
	coop_future_deinit(&future);
	memset((void *)&future, 0xff, sizeof future);
	settle();
	CHECK_INT(actors[0].result, ==, 0);
	CHECK(got[0] == &thing);
	return actors_end();
}

/* With an owner, nobody else sets it. */
TASK_TEST(a_future_with_an_owner)
{
	fresh();
	actors_begin(2);
	CHECK_INT(ask(0, own, 0), ==, 0);
	CHECK_INT(ask(0, own, 0), ==, -EALREADY);
	CHECK_INT(ask(1, own, 0), ==, -EBUSY);
	CHECK_INT(ask(1, set, 0), ==, -EPERM);
	CHECK_INT(coop_future_fail(&future, -EIO), ==, -EPERM);
	CHECK(numbers().owner == actors[0].task);
	CHECK_INT(ask(0, wait_future, 0), ==, -EDEADLK);
	CHECK_INT(ask(0, set, 0), ==, 0);
	CHECK(!numbers().owner);
	CHECK(!actors[0].task->body->held);
	CHECK_INT(ask(1, wait_future, 0), ==, 0);
	return actors_end();
}

/* An owner that ends breaks it, and who waits is told which task that was. */
static int owns_and_ends(void *arg)
{
	(void)arg;
	CHECK_INT(coop_future_own(&future), ==, 0);
	return coop_sleep(MS(1));
}

static int waits_for_it(void *arg)
{
	struct coop_error_info info;
	int *r = arg;

	*r = coop_future_wait(&future, NULL);
	if (*r >= 0)
		return 0;
	coop_error_describe(coop_error_peek(*r), &info);
	CHECK_HAS(info.message, "\"owns_and_ends\" (spawned at");
	CHECK_HAS(info.message, "ended while it owned it");
	return 0;
}

TASK_TEST(an_owner_that_ends)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r[2] = { 1, 1 };

	fresh();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, owns_and_ends, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, waits_for_it, &r[0]), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(r[0], ==, COOP_EBROKEN);
	CHECK_INT(waits_for_it(&r[1]), ==, 0);
	CHECK_INT(r[1], ==, COOP_EBROKEN);
	CHECK_INT(coop_future_set(&future, NULL), ==, -EALREADY);
	CHECK_INT(numbers().code, ==, COOP_EBROKEN);
	coop_error_clear();
	return 0;
}

/* The owner waits, in its join, for the one that wants the value: refused. */
static int wants_it(void *arg)
{
	*(int *)arg = coop_future_wait(&future, NULL);
	return 0;
}

TASK_TEST(a_circle_through_a_future)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r = 1;

	fresh();
	CHECK_INT(coop_future_own(&future), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, wants_it, &r), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(r, ==, -EDEADLK);
	CHECK_INT(coop_future_set(&future, NULL), ==, 0);
	PROVES(B320);
	return 0;
}

static int future_with_a_waiter(void *arg)
{
	(void)arg;
	fresh();
	actors_begin(1);
	ask(0, wait_future, 0);
	coop_future_deinit(&future);
	return 0;
}

static int future_with_an_owner(void *arg)
{
	(void)arg;
	fresh();
	actors_begin(1);
	ask(0, own, 0);
	coop_future_deinit(&future);
	return 0;
}

/* ---- once */

static int runs, once_fails, once_naps;

static int work(void *arg)
{
	int r = 0;

	runs++;
	if (once_naps)
		r = coop_sleep(MS(1));
	if (r < 0)
		return r;
	return once_fails-- > 0 ? -EIO : (int)(intptr_t)arg;
}

static int run_once(struct actor *a, int arg)
{
	(void)arg;
	return coop_once_run(&once, work, (void *)(intptr_t)(40 + a->index));
}

static int run_once_at_the_end_of_the_turn(struct actor *a, int arg)
{
	cp_rt->budget = 1;
	return run_once(a, arg);
}

static void fresh_once(int fails, int naps)
{
	fresh();
	runs = 0;
	once_fails = fails;
	once_naps = naps;
}

/* Run by the first; the others wait, and get the same value; so does everybody later. */
TASK_TEST(once_is_run_once)
{
	struct coop_once_stats stats;

	fresh_once(0, 1);
	actors_begin(4);
	for (int i = 2; i >= 0; i--)
		tell(i, run_once, 0);
	coop_yield();
	CHECK_INT(coop_once_stats(&once, &stats), ==, 0);
	CHECK(stats.runner == actors[2].task);
	CHECK_INT(stats.waiting, ==, 2);
	CHECK(!coop_once_done(&once));
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	settle();
	for (int i = 0; i < 3; i++)
		CHECK_INT(actors[i].result, ==, 42);
	CHECK_INT(ask(3, run_once, 0), ==, 42);
	CHECK_INT(runs, ==, 1);
	CHECK(coop_once_done(&once));
	CHECK_INT(coop_once_run(&once, NULL, NULL), ==, -EINVAL);
	coop_once_deinit(&once);
	coop_once_deinit(NULL);
	CHECK_INT(ask(3, run_once, 0), ==, COOP_ECLOSED);
	return actors_end();
}

/* What was done before is told though the once is given up, and new, when the call returns. */
TASK_TEST(once_is_gone_after_the_yield)
{
	fresh_once(0, 0);
	actors_begin(1);
	CHECK_INT(coop_once_run(&once, work, MSARG(5)), ==, 5);
	tell(0, run_once_at_the_end_of_the_turn, 0);
	coop_yield();
	CHECK_INT(actors[0].result, ==, BLOCKED);
	coop_once_deinit(&once);
	fresh();
	settle();
	CHECK_INT(actors[0].result, ==, 5);
	CHECK_INT(runs, ==, 1);
	return actors_end();
}

static int gives_up_a_once_in_use(void *arg)
{
	(void)arg;
	fresh_once(0, 0);
	actors_begin(1);
	tell(0, run_once_at_the_end_of_the_turn, 0);
	coop_yield();
	coop_once_deinit(&once);
	return 0;
}

/* The turn is a task's from the call on: who gives the once up before it runs is told. */
TEST_ABORT(once_given_up_at_its_first_step, "runs its function")
{
	CHECK_INT(coop_run(gives_up_a_once_in_use, NULL, NULL), ==, 0);
}

/* Who fails gets the failure; the next one tries. */
TASK_TEST(once_fails_and_the_next_one_tries)
{
	fresh_once(2, 0);
	actors_begin(4);
	CHECK_INT(ask(0, run_once, 0), ==, -EIO);
	once_naps = 1;
	for (int i = 1; i < 4; i++)
		tell(i, run_once, 0);
	coop_yield();
	CHECK_INT(coop_sleep(MS(3)), ==, 0);
	settle();
	CHECK_INT(actors[1].result, ==, -EIO);
	CHECK_INT(actors[2].result, ==, 42);
	CHECK_INT(actors[3].result, ==, 42);
	CHECK_INT(runs, ==, 3);
	return actors_end();
}

/* Cancelled while at it: the next one's turn. Cancelled while waiting: gone. Cancelled when it has
 * just become its turn: its own failure, and the turn goes on. */
TASK_TEST(once_and_cancels)
{
	fresh_once(0, 1);
	actors_begin(4);
	for (int i = 0; i < 4; i++)
		tell(i, run_once, 0);
	coop_yield();
	stop(1);
	stop(0);
	coop_yield(); /* 1 and 0 run; it is 2's turn now */
	CHECK_INT(actors[1].result, ==, COOP_ECANCELED);
	CHECK_INT(actors[0].result, ==, COOP_ECANCELED);
	stop(2);
	settle();
	CHECK_INT(actors[2].result, ==, COOP_ECANCELED);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	settle();
	CHECK_INT(actors[3].result, ==, 43);
	CHECK(!actors[3].task->body->held);
	return actors_end();
}

/* A function that calls itself again is refused; nothing of coop's is locked while it runs. */
static int calls_again(void *arg)
{
	struct coop_once other = COOP_ONCE_INIT;

	CHECK_INT(coop_once_run(&once, calls_again, arg), ==, -EDEADLK);
	return coop_once_run(&other, work, arg);
}

TASK_TEST(rel_A20_once_inside_once)
{
	fresh_once(0, 0);
	CHECK_INT(coop_once_run(&once, calls_again, MSARG(5)), ==, 5);
	CHECK_INT(coop_once_run(&once, calls_again, MSARG(6)), ==, 5);
	coop_error_clear();
	return 0;
}

static int once_in_use(void *arg)
{
	(void)arg;
	fresh_once(0, 1);
	actors_begin(1);
	tell(0, run_once, 0);
	coop_yield();
	coop_once_deinit(&once);
	return 0;
}

static int once_with_a_waiter(void *arg)
{
	(void)arg;
	fresh_once(0, 1);
	actors_begin(2);
	tell(0, run_once, 0);
	tell(1, run_once, 0);
	coop_yield();
	coop_once_deinit(&once);
	return 0;
}

/* Given up in use: the program ends and names both tasks. */
TEST(given_up_in_use)
{
	char text[1024];

	last_words(future_with_a_waiter, text, sizeof text);
	CHECK_HAS(text, "coop_future_deinit by main");
	CHECK_HAS(text, "actor_main waits for it in coop_future_wait, first of 1");
	last_words(future_with_an_owner, text, sizeof text);
	CHECK_HAS(text, "actor_main owns it and has not set it (spawned at");
	last_words(once_in_use, text, sizeof text);
	CHECK_HAS(text, "coop_once_deinit by main");
	CHECK_HAS(text, "actor_main runs its function (spawned at");
	last_words(once_with_a_waiter, text, sizeof text);
	CHECK_HAS(text, "actor_main waits for it in coop_once_run, first of 1");
}

/* ---- against a model */

static struct line line;
static int owner = -1, outcome = BLOCKED;

static void model_settle(int code)
{
	int who;

	outcome = code;
	owner = -1;
	while ((who = line_first(&line)) >= 0)
		expected[who] = code;
}

static int fail(struct actor *a, int code)
{
	(void)a;
	return coop_future_fail(&future, code);
}

static void begin_set(int who)
{
	bool fails = roll(2);

	expected[who] = outcome != BLOCKED ? -EALREADY : owner >= 0 && owner != who ? -EPERM : 0;
	tell(who, fails ? fail : set, -EIO);
	if (expected[who] == 0)
		model_settle(fails ? -EIO : 0);
}

static void begin_own(int who)
{
	expected[who] = outcome != BLOCKED || owner == who ? -EALREADY : owner >= 0 ? -EBUSY : 0;
	tell(who, own, 0);
	if (expected[who] == 0)
		owner = who;
}

static void begin_wait(int who)
{
	expected[who] = outcome;
	if (outcome == BLOCKED && owner == who)
		expected[who] = -EDEADLK;
	else if (outcome == BLOCKED)
		line_add(&line, who);
	tell(who, wait_future, 0);
}

/* Random waits, owners, settings, failures and cancels, on many futures one after the other. */
TASK_TEST(futures_against_a_model)
{
	long steps = TEST_COUNT(1000000, 30000);

	TEST_SECONDS(300);
	fresh();
	actors_begin(6);
	for (long step = 0; step < steps; step++) {
		int who = (int)roll(6);

		if (roll(4) == 0 && stoppable(who)) {
			stop(who);
			if (line_leave(&line, who))
				expected[who] = COOP_ECANCELED;
			continue;
		}
		settle();
		compare_actors(step);
		CHECK_INT(numbers().waiting, ==, line.count);
		if (outcome != BLOCKED && roll(4) == 0) {
			coop_future_deinit(&future);
			fresh();
			outcome = BLOCKED;
		}
		if (actors[who].result == BLOCKED)
			continue;
		switch (roll(8)) {
		case 0: begin_set(who); break;
		case 1: begin_own(who); break;
		default: begin_wait(who);
		}
		coop_yield();
	}
	settle();
	if (outcome == BLOCKED && owner >= 0)
		ask(owner, set, 0);
	else if (outcome == BLOCKED)
		coop_future_set(&future, NULL);
	return actors_end();
}

/* ---- once, against a model: its function waits until the driver says how it ends */

static int turn = -1; /* the actor whose turn it is */
static int turn_outcome;
static struct coop_event turn_ends;

static int decided(void *arg)
{
	int r = coop_event_wait(&turn_ends);

	(void)arg;
	turn_ends = (struct coop_event)COOP_EVENT_INIT;
	return r < 0 ? r : turn_outcome;
}

static int run_decided(struct actor *a, int arg)
{
	(void)a;
	(void)arg;
	return coop_once_run(&once, decided, NULL);
}

/* The turn has ended with `r`: done, or the next one's. */
static void model_turn_ends(int r)
{
	int who;

	expected[turn] = r;
	turn = r < 0 ? line_first(&line) : -1;
	if (r < 0)
		return;
	outcome = r;
	while ((who = line_first(&line)) >= 0)
		expected[who] = r;
}

static void model_stop(int who)
{
	stop(who);
	if (who == turn) {
		settle();
		model_turn_ends(COOP_ECANCELED);
	} else if (line_leave(&line, who)) {
		expected[who] = COOP_ECANCELED;
	}
}

static void begin_once(int who)
{
	tell(who, run_decided, 0);
	expected[who] = outcome;
	if (outcome != BLOCKED)
		return;
	if (turn < 0)
		turn = who;
	else
		line_add(&line, who);
}

/* Random runs, of which few succeed, and cancels of who waits and of who is at it. */
TASK_TEST(onces_against_a_model)
{
	long steps = TEST_COUNT(1000000, 30000);

	TEST_SECONDS(300);
	fresh();
	turn_ends = (struct coop_event)COOP_EVENT_INIT;
	line.count = 0;
	outcome = BLOCKED;
	actors_begin(6);
	for (long step = 0; step < steps; step++) {
		int who = (int)roll(6);

		settle();
		compare_actors(step);
		if (outcome != BLOCKED && roll(3) == 0) {
			coop_once_deinit(&once);
			fresh();
			outcome = BLOCKED;
		}
		if (actors[who].result != BLOCKED) {
			begin_once(who);
		} else if (roll(2)) {
			model_stop(who);
		} else {
			turn_outcome = roll(4) ? -EIO : (int)roll(9);
			CHECK_INT(coop_event_set(&turn_ends), ==, 0);
			settle();
			model_turn_ends(turn_outcome);
		}
	}
	while (turn >= 0) {
		turn_outcome = 0;
		coop_event_set(&turn_ends);
		settle();
		model_turn_ends(0);
	}
	return actors_end();
}
