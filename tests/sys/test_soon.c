/* SPDX-License-Identifier: MIT */
/* Run soon: calls into a run from threads and from signal handlers. */
#include "../core/core_help.h"

#include "base/os.h"

#include <pthread.h>
#include <semaphore.h>

static struct coop_token *token;

/* ---- what is called */

static int order[8192], order_count;

static int note(void *arg)
{
	CHECK(coop_self() != NULL);
	order[order_count++] = (int)(intptr_t)arg;
	return 0;
}

static void *arg_of(int n)
{
	return (void *)(intptr_t)n;
}

/* Until `n` calls have been made. */
static int until(int n)
{
	while (order_count < n) {
		int r = coop_sleep(COOP_MICROSECONDS(50));

		if (r < 0)
			return r;
	}
	CHECK_INT(order_count, ==, n);
	return 0;
}

static void open_token(void)
{
	order_count = 0;
	CHECK_INT(coop_token_open(&token), ==, 0);
}

/* ---- order */

/* Calls are made in order, by a task, and not before the caller goes on. */
TASK_TEST(in_order)
{
	open_token();
	for (int i = 0; i < 200; i++)
		CHECK_INT(coop_run_soon(token, note, arg_of(i)), ==, 0);
	CHECK_INT(order_count, ==, 0);
	CHECK_INT(until(200), ==, 0);
	for (int i = 0; i < 200; i++)
		CHECK_INT(order[i], ==, i);
	CHECK_INT(coop_run_soon(token, NULL, NULL), ==, -EINVAL);
	CHECK_INT(coop_run_soon_once(token, NULL), ==, -EINVAL);
	coop_token_unref(token);
	PROVES(B281);
	return 0;
}

struct source {
	int id;
	int count;
};

static void *send_many(void *arg)
{
	struct source *s = arg;

	for (int i = 0; i < s->count; i++)
		while (coop_run_soon(token, note, arg_of(s->id << 16 | i)) == -EAGAIN)
			sched_yield();
	return NULL;
}

static int many_threads(void *arg)
{
	struct source s[4];
	pthread_t t[4];
	int next[4] = { 0 };

	(void)arg;
	open_token();
	for (int i = 0; i < 4; i++) {
		s[i] = (struct source){ .id = i, .count = 1500 };
		CHECK_INT(pthread_create(&t[i], NULL, send_many, &s[i]), ==, 0);
	}
	CHECK_INT(until(6000), ==, 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < 6000; i++)
		CHECK_INT(order[i] & 0xffff, ==, next[order[i] >> 16]++);
	coop_token_unref(token);
	return 0;
}

/* What four threads send is called, all of it, each thread's in order. */
TEST(threads_in_order)
{
	CHECK_INT(coop_run(many_threads, NULL, NULL), ==, 0);
	PROVES(B281);
}

static int note_and_again(void *arg);
static struct coop_soon again = COOP_SOON_INIT(note_and_again, NULL);
static int again_left;

static int note_and_again(void *arg)
{
	note(arg);
	if (again_left-- > 0)
		CHECK_INT(coop_run_soon_once(token, &again), ==, 0);
	return 0;
}

/* A call of the other kind is queued once, in its place, and again from its begin on. */
TASK_TEST(queued_once)
{
	static struct coop_soon a = COOP_SOON_INIT(note, (void *)1);
	static struct coop_soon b = COOP_SOON_INIT(note, (void *)2);

	open_token();
	CHECK_INT(coop_run_soon_once(token, &a), ==, 0);
	CHECK_INT(coop_run_soon(token, note, arg_of(7)), ==, 0);
	CHECK_INT(coop_run_soon_once(token, &b), ==, 0);
	CHECK_INT(coop_run_soon_once(token, &a), ==, 1);
	CHECK_INT(coop_run_soon_once(token, &b), ==, 1);
	CHECK_INT(until(3), ==, 0);
	CHECK(order[0] == 1 && order[1] == 7 && order[2] == 2);
	CHECK_INT(coop_run_soon_once(token, &a), ==, 0);
	CHECK_INT(until(4), ==, 0);
	again_left = 2;
	CHECK_INT(coop_run_soon_once(token, &again), ==, 0);
	CHECK_INT(until(7), ==, 0);
	coop_token_unref(token);
	PROVES(B281);
	return 0;
}

/* ---- full */

/* A full ring refuses, and counts it; what was accepted is called, and then there is room. */
TASK_TEST(a_full_ring_refuses)
{
	static struct coop_soon a = COOP_SOON_INIT(note, (void *)1);

	open_token();
	for (int i = 0; i < COOP_SOON_MAX; i++)
		CHECK_INT(coop_run_soon(token, note, arg_of(i)), ==, 0);
	CHECK_INT(coop_run_soon(token, note, NULL), ==, -EAGAIN);
	CHECK_INT(coop_run_soon_once(token, &a), ==, -EAGAIN);
	CHECK_INT(coop_token_overflows(token), ==, 2);
	CHECK_INT(until(COOP_SOON_MAX), ==, 0);
	CHECK_INT(coop_run_soon_once(token, &a), ==, 0);
	CHECK_INT(until(COOP_SOON_MAX + 1), ==, 0);
	coop_token_unref(token);
	PROVES(B282);
	return 0;
}

/* ---- from a handler */

static int refused_in_handler, accepted_in_handler;

static void handler(int sig)
{
	(void)sig;
	if (coop_run_soon(token, note, arg_of(accepted_in_handler)) == 0)
		accepted_in_handler++;
	else
		refused_in_handler++;
}

static int from_a_handler(void *arg)
{
	struct sigaction act = { .sa_handler = handler };
	uint64_t allocs;

	(void)arg;
	open_token();
	CHECK_INT(sigaction(SIGUSR1, &act, NULL), ==, 0);
	CHECK_INT(coop_run_soon(token, note, arg_of(0)), ==, 0);
	CHECK_INT(until(1), ==, 0);
	order_count = 0;
	allocs = cp_os_faults.alloc_calls;
	for (int i = 0; i < 100; i++)
		raise(SIGUSR1);
	CHECK_INT(cp_os_faults.alloc_calls, ==, allocs);
	CHECK_INT(until(100), ==, 0);
	for (int i = 0; i < 100; i++)
		CHECK_INT(order[i], ==, i);
	coop_token_unref(token);
	return 0;
}

/* A handler may call: nothing is allocated or locked there. */
TEST(called_from_a_handler)
{
	CHECK_INT(coop_run(from_a_handler, NULL, &virtual_clock), ==, 0);
	PROVES(B282);
}

static void *shoot(void *arg)
{
	for (int i = 0; i < TEST_COUNT(2000, 300); i++) {
		pthread_kill(*(pthread_t *)arg, SIGUSR1);
		sched_yield();
	}
	return NULL;
}

/* A loop that sleeps, and a loop that is busy with the same ring, are shot at. */
static int under_fire(void *arg)
{
	struct sigaction act = { .sa_handler = handler };
	pthread_t self = pthread_self(), t;
	int mine = 0;

	(void)arg;
	open_token();
	accepted_in_handler = refused_in_handler = 0;
	CHECK_INT(sigaction(SIGUSR1, &act, NULL), ==, 0);
	CHECK_INT(pthread_create(&t, NULL, shoot, &self), ==, 0);
	for (int i = 0; i < TEST_COUNT(2000, 300); i++) {
		if (coop_run_soon(token, note, arg_of(-1)) == 0)
			mine++;
		if (i % 64 == 0)
			CHECK_INT(coop_sleep(COOP_MICROSECONDS(20)), ==, 0);
		else
			coop_yield();
	}
	pthread_join(t, NULL);
	CHECK_INT(refused_in_handler, ==, (int)coop_token_overflows(token));
	CHECK(accepted_in_handler > 0);
	CHECK_INT(until(mine + accepted_in_handler), ==, 0);
	for (int i = 0, next = 0; i < order_count; i++)
		if (order[i] >= 0)
			CHECK_INT(order[i], ==, next++);
	coop_token_unref(token);
	return 0;
}

/* A handler interrupts the very call at any place, and nothing is lost or doubled. */
TEST(shot_at)
{
	CHECK_INT(coop_run(under_fire, NULL, NULL), ==, 0);
	PROVES(B282);
}

/* ---- starvation */

static bool stop_it;

static int for_ever(void *arg)
{
	order_count++;
	if (!stop_it)
		CHECK_INT(coop_run_soon(token, for_ever, arg), ==, 0);
	return 0;
}

static int stop_after(void *arg)
{
	for (int i = 0; i < 50; i++) {
		int r = coop_checkpoint();

		if (r < 0)
			return r;
		coop_yield();
	}
	stop_it = true;
	*(int *)arg = order_count;
	return 0;
}

/* A call that queues itself again and again lets the other tasks run. */
TASK_TEST(a_call_that_queues_itself)
{
	struct coop_group g = COOP_GROUP_INIT;
	int seen = 0;

	open_token();
	CHECK_INT(coop_run_soon(token, for_ever, NULL), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, stop_after, &seen), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK(seen > 0 && seen < 10000);
	coop_token_unref(token);
	PROVES(B283);
	return 0;
}

/* ---- failures and ends */

static int fails(void *arg)
{
	(void)arg;
	return coop_fail(-EIO, "a call that failed");
}

static int crash(void *arg)
{
	int r;

	(void)arg;
	open_token();
	CHECK_INT(coop_run_soon(token, note, arg_of(1)), ==, 0);
	CHECK_INT(coop_run_soon(token, fails, NULL), ==, 0);
	CHECK_INT(coop_run_soon(token, note, arg_of(2)), ==, 0);
	CHECK_INT(coop_run_soon(token, fails, NULL), ==, 0);
	CHECK_INT(coop_run_soon(token, note, arg_of(3)), ==, 0);
	r = coop_sleep(COOP_NEVER);
	CHECK_INT(order_count, ==, 3);
	CHECK_INT(coop_run_soon(token, note, arg_of(4)), ==, COOP_ECLOSED);
	return r;
}

/* A call that fails is an internal error, which stops the run; the rest is called all the same. */
TEST(a_call_that_fails)
{
	char text[4096] = "";
	FILE *out = fmemopen(text, sizeof text, "w");
	struct coop_error *err;
	int r;

	keep_records(COOP_LOG_ERROR);
	r = coop_run(crash, NULL, &virtual_clock);
	CHECK_INT(r, <, 0);
	CHECK_INT(order_count, ==, 3);
	err = coop_error_take(r);
	CHECK_INT(coop_error_print(out, err, 0), ==, 0);
	fclose(out);
	CHECK_HAS(text, "a call that failed");
	coop_error_unref(err);
	CHECK_HAS(records, "one more call failed");
	coop_token_unref(token);
	PROVES(B284);
}

static int leave(void *arg)
{
	(void)arg;
	open_token();
	for (int i = 0; i < 300; i++)
		CHECK_INT(coop_run_soon(token, note, arg_of(i)), ==, 0);
	return 0;
}

/* What was accepted is called while the run ends; after that all is refused. */
TEST(the_end_of_the_run)
{
	static struct coop_soon a = COOP_SOON_INIT(note, (void *)1);
	int64_t before = cp_os_faults.allocs_live;

	CHECK_INT(coop_run(leave, NULL, &virtual_clock), ==, 0);
	CHECK_INT(order_count, ==, 300);
	CHECK_INT(coop_run_soon(token, note, NULL), ==, COOP_ECLOSED);
	CHECK_INT(coop_run_soon_once(token, &a), ==, COOP_ECLOSED);
	CHECK_INT(coop_run_soon_once(token, &a), ==, COOP_ECLOSED);
	coop_token_unref(coop_token_ref(token));
	coop_token_unref(token);
	CHECK_INT(order_count, ==, 300);
	CHECK_INT(cp_os_faults.allocs_live, ==, before);
	PROVES(B278);
}

static int accepted; /* atomic */
static int calls;

static int count(void *arg)
{
	(void)arg;
	calls++;
	return 0;
}

static void *send_until_refused(void *arg)
{
	struct coop_token *t = arg;
	int r;

	do {
		r = coop_run_soon(t, count, NULL);
		if (r == 0)
			__atomic_add_fetch(&accepted, 1, __ATOMIC_RELAXED);
	} while (r == 0 || r == -EAGAIN);
	CHECK_INT(r, ==, COOP_ECLOSED);
	return NULL;
}

static pthread_t senders[3];

static int return_soon(void *arg)
{
	(void)arg;
	open_token();
	calls = 0;
	for (int i = 0; i < 3; i++)
		CHECK_INT(pthread_create(&senders[i], NULL, send_until_refused, token), ==, 0);
	while (calls < 20)
		CHECK_INT(coop_sleep(COOP_MICROSECONDS(10)), ==, 0);
	return 0;
}

/* Threads call while the run ends: each accepted call is made, and no other. */
TEST(called_while_the_run_ends)
{
	for (int n = TEST_COUNT(20, 3); n; n--) {
		accepted = 0;
		CHECK_INT(coop_run(return_soon, NULL, NULL), ==, 0);
		for (int i = 0; i < 3; i++)
			pthread_join(senders[i], NULL);
		CHECK_INT(calls, ==, accepted);
		coop_token_unref(token);
	}
	PROVES(B278, B281);
}

/* The same token for all who ask; a new one for the next run. */
TASK_TEST(one_token_a_run)
{
	struct coop_token *other;

	open_token();
	CHECK_INT(coop_token_open(&other), ==, 0);
	CHECK(other == token);
	coop_token_unref(other);
	coop_token_unref(token);
	return 0;
}
