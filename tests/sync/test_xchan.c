/* SPDX-License-Identifier: MIT */
/* Channels between threads: tasks and threads on either side, and who has the value in the end. */
#include "../core/core_help.h"

#include "base/os.h"

#include <pthread.h>
#include <semaphore.h>

static struct coop_xchan *chan;

static void chan_new(uint32_t cap)
{
	CHECK_INT(coop_xchan_new(sizeof(int), &(struct coop_xchan_opts){ .cap = cap }, &chan), ==,
		  0);
}

static struct coop_xchan_stats stats(void)
{
	struct coop_xchan_stats s;

	coop_xchan_stats(chan, &s);
	return s;
}

static int send_int(int n)
{
	return coop_xchan_send(chan, &n);
}

static int recv_int(void)
{
	int n = -1, r = coop_xchan_recv(chan, &n);

	return r < 0 ? r : n;
}

static pthread_t thread(void *(*fn)(void *), void *arg)
{
	pthread_t t;

	CHECK_INT(pthread_create(&t, NULL, fn, arg), ==, 0);
	return t;
}

/* ---- one thread */

/* Values come out in order; a full channel and an empty one say so. */
TEST(a_ring)
{
	int n = 0;

	chan_new(3);
	CHECK_INT(coop_xchan_try_recv(chan, &n), ==, -EAGAIN);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 3; i++)
			CHECK_INT(coop_xchan_try_send(chan, &(int){ round * 10 + i }), ==, 0);
		CHECK_INT(coop_xchan_try_send(chan, &n), ==, -EAGAIN);
		for (int i = 0; i < 3 - round % 2; i++) {
			CHECK_INT(coop_xchan_try_recv(chan, &n), ==, 0);
			CHECK_INT(n, ==, round * 10 + i);
		}
		while (coop_xchan_try_recv(chan, &n) == 0)
			;
	}
	CHECK_INT(stats().sent, ==, 15);
	CHECK_INT(stats().received, ==, 15);
	CHECK_INT(stats().peak, ==, 3);
	CHECK_INT(stats().cap, ==, 3);
	coop_xchan_unref(chan);
}

static void none(void *item, void *ctx)
{
	(void)item;
	++*(int *)ctx;
}

/* Options and sizes are checked; signals of no bytes are counted. */
TEST(sizes_and_options)
{
	struct coop_xchan_opts o = { ._reserved = { 1 } };
	int destroyed = 0;

	CHECK_INT(coop_xchan_new(4, &o, &chan), ==, -EINVAL);
	o = (struct coop_xchan_opts){ .cap = COOP_CHAN_CAP_MAX + 1 };
	CHECK_INT(coop_xchan_new(4, &o, &chan), ==, -EINVAL);
	CHECK_INT(coop_xchan_new(COOP_CHAN_ITEM_MAX + 1, NULL, &chan), ==, -EMSGSIZE);
	o = (struct coop_xchan_opts){ .cap = 2, .destroy = none, .ctx = &destroyed };
	CHECK_INT(coop_xchan_new(0, &o, &chan), ==, 0);
	CHECK_INT(coop_xchan_try_send(chan, NULL), ==, 0);
	CHECK_INT(coop_xchan_try_send(chan, NULL), ==, 0);
	CHECK_INT(coop_xchan_try_send(chan, NULL), ==, -EAGAIN);
	CHECK_INT(coop_xchan_try_recv(chan, NULL), ==, 0);
	CHECK(coop_xchan_ref(chan) == chan);
	CHECK(coop_xchan_unref(chan) == NULL);
	CHECK_INT(destroyed, ==, 0);
	CHECK(coop_xchan_unref(chan) == NULL);
	CHECK_INT(destroyed, ==, 1);
	CHECK(coop_xchan_ref(NULL) == NULL && coop_xchan_unref(NULL) == NULL);
}

/* Closed, it can be drained; closed at once, what is in it is destroyed, once. */
TEST(close_and_drain)
{
	int destroyed = 0, n = 0;
	struct coop_xchan_opts o = { .cap = 4, .destroy = none, .ctx = &destroyed };

	CHECK_INT(coop_xchan_new(sizeof(int), &o, &chan), ==, 0);
	for (int i = 0; i < 4; i++)
		CHECK_INT(coop_xchan_try_send(chan, &i), ==, 0);
	CHECK_INT(coop_xchan_close(chan, false), ==, 0);
	CHECK_INT(coop_xchan_try_send(chan, &n), ==, COOP_ECLOSED);
	CHECK_INT(coop_xchan_send_thread(chan, &n, COOP_NEVER), ==, COOP_ECLOSED);
	CHECK_INT(coop_xchan_recv_thread(chan, &n, COOP_NEVER), ==, 0);
	CHECK_INT(destroyed, ==, 0);
	CHECK_INT(coop_xchan_close(chan, true), ==, 1);
	CHECK_INT(destroyed, ==, 3);
	CHECK_INT(coop_xchan_try_recv(chan, &n), ==, COOP_EOF);
	CHECK_INT(coop_xchan_recv_thread(chan, &n, COOP_NEVER), ==, COOP_EOF);
	CHECK_INT(stats().destroyed, ==, 3);
	CHECK(stats().closed);
	coop_xchan_unref(chan);
	CHECK_INT(destroyed, ==, 3);
}

/* A thread that is not served in time has sent and taken nothing. */
TEST(a_threads_time_is_up)
{
	int n = 5;

	chan_new(1);
	CHECK_INT(coop_xchan_recv_thread(chan, &n, 0), ==, COOP_ETIMEDOUT);
	CHECK_INT(coop_xchan_recv_thread(chan, &n, 1000), ==, COOP_ETIMEDOUT);
	CHECK_INT(coop_xchan_recv_thread(chan, &n, -1), ==, -EINVAL);
	CHECK_INT(n, ==, 5);
	CHECK_INT(coop_xchan_send_thread(chan, &n, 0), ==, 0);
	CHECK_INT(coop_xchan_send_thread(chan, &n, 1000), ==, COOP_ETIMEDOUT);
	CHECK_INT(stats().senders, ==, 0);
	CHECK_INT(stats().receivers, ==, 0);
	CHECK_INT(coop_xchan_recv_thread(chan, &n, 0), ==, 0);
	CHECK_INT(coop_xchan_try_recv(chan, &n), ==, -EAGAIN);
	coop_xchan_unref(chan);
}

/* ---- tasks of one run */

static int send_three(void *arg)
{
	int r = 0;

	for (int i = 0; i < 3 && r >= 0; i++) {
		r = send_int((int)(intptr_t)arg + i);
		say("sent%d ", (int)(intptr_t)arg + i);
	}
	return r;
}

/* Tasks on both sides: a rendezvous, in the order in which they waited. */
TASK_TEST(tasks_meet)
{
	struct coop_group g = COOP_GROUP_INIT;

	chan_new(0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, send_three, MSARG(10)), ==, 0);
	CHECK_INT(coop_spawn(&g, send_three, MSARG(20)), ==, 0);
	coop_yield();
	CHECK_INT(stats().senders, ==, 2);
	CHECK_TRAIL("");
	CHECK_INT(recv_int(), ==, 10);
	CHECK_INT(recv_int(), ==, 20);
	CHECK_INT(recv_int(), ==, 11);
	CHECK_INT(recv_int(), ==, 12); /* it waits again before the other one has run */
	CHECK_INT(recv_int(), ==, 21);
	CHECK_INT(recv_int(), ==, 22);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_xchan_unref(chan);
	PROVES(B242);
	return 0;
}

static int receive_one(void *arg)
{
	*(int *)arg = recv_int();
	return *(int *)arg < 0 && *(int *)arg != COOP_EOF ? *(int *)arg : 0;
}

static int send_one(void *arg)
{
	int n = 3;

	*(int *)arg = coop_xchan_send(chan, &n);
	return *(int *)arg == COOP_ECANCELED ? *(int *)arg : 0;
}

/* A cancelled wait has sent nothing and taken nothing, and leaves nobody in the queue. */
TASK_TEST(a_wait_is_cancelled)
{
	struct coop_group g = COOP_GROUP_INIT;
	int rcs[2] = { 1, 1 };

	chan_new(0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, receive_one, &rcs[0]), ==, 0);
	coop_yield();
	coop_group_cancel(&g, "enough");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(rcs[0], ==, COOP_ECANCELED);
	g = (struct coop_group)COOP_GROUP_INIT;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, send_one, &rcs[1]), ==, 0);
	coop_yield();
	coop_group_cancel(&g, "enough");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(rcs[1], ==, COOP_ECANCELED);
	CHECK_INT(stats().senders + stats().receivers, ==, 0);
	CHECK_INT(stats().sent, ==, 0);
	coop_xchan_unref(chan);
	return 0;
}

/* What was completed before the cancel came is delivered: in the run, and by a thread. */
TASK_TEST(completion_wins)
{
	struct coop_group g = COOP_GROUP_INIT;
	int got = -1;

	chan_new(0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, receive_one, &got), ==, 0);
	coop_yield();
	CHECK_INT(coop_xchan_try_send(chan, &(int){ 44 }), ==, 0);
	coop_group_cancel(&g, "too late");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(got, ==, 44);
	coop_xchan_unref(chan);
	PROVES(B242);
	return 0;
}

static void *try_send_55(void *arg)
{
	CHECK_INT(coop_xchan_try_send(chan, &(int){ 55 }), ==, 0);
	return arg;
}

/* The same where a thread has completed it and the loop has not heard of it. */
TASK_TEST(a_threads_completion_wins)
{
	struct coop_group g = COOP_GROUP_INIT;
	int got = -1;

	chan_new(0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, receive_one, &got), ==, 0);
	coop_yield();
	pthread_join(thread(try_send_55, NULL), NULL);
	coop_group_cancel(&g, "too late");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(got, ==, 55);
	coop_xchan_unref(chan);
	PROVES(B242);
	return 0;
}

/* Closing wakes who waits: senders get COOP_ECLOSED, receivers the end. */
TASK_TEST(a_close_wakes)
{
	struct coop_group g = COOP_GROUP_INIT;
	int rcs[4] = { 1, 1, 1, 1 };

	chan_new(0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, receive_one, &rcs[0]), ==, 0);
	CHECK_INT(coop_spawn(&g, receive_one, &rcs[1]), ==, 0);
	coop_yield();
	CHECK_INT(coop_xchan_close(chan, false), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK(rcs[0] == COOP_EOF && rcs[1] == COOP_EOF);
	coop_xchan_unref(chan);
	chan_new(0);
	g = (struct coop_group)COOP_GROUP_INIT;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, send_one, &rcs[2]), ==, 0);
	CHECK_INT(coop_spawn(&g, send_one, &rcs[3]), ==, 0);
	coop_yield();
	CHECK_INT(coop_xchan_close(chan, true), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK(rcs[2] == COOP_ECLOSED && rcs[3] == COOP_ECLOSED);
	coop_xchan_unref(chan);
	return 0;
}

/* Calls that block are not for the loop's own thread. */
TASK_TEST(the_loop_does_not_block)
{
	int n = 1;

	chan_new(1);
	CHECK_INT(coop_xchan_send_thread(chan, &n, 0), ==, COOP_EWRONGTHREAD);
	CHECK_INT(coop_xchan_recv_thread(chan, &n, 0), ==, COOP_EWRONGTHREAD);
	CHECK_INT(stats().used, ==, 0);
	coop_xchan_unref(chan);
	return 0;
}

/* ---- threads and tasks */

static void *echo(void *arg)
{
	struct coop_xchan *back = arg;
	int n;

	while (coop_xchan_recv_thread(chan, &n, COOP_NEVER) == 0)
		CHECK_INT(coop_xchan_send_thread(back, &(int){ n + 1 }, COOP_NEVER), ==, 0);
	CHECK_INT(coop_xchan_close(back, false), ==, 0);
	return NULL;
}

static int ping(void *arg)
{
	struct coop_xchan *back = arg;
	pthread_t t = thread(echo, back);
	int n;

	for (int i = 0; i < TEST_COUNT(3000, 300); i++) {
		CHECK_INT(send_int(i), ==, 0);
		CHECK_INT(coop_xchan_recv(back, &n), ==, 0);
		CHECK_INT(n, ==, i + 1);
	}
	coop_xchan_close(chan, false);
	CHECK_INT(coop_xchan_recv(back, &n), ==, COOP_EOF);
	pthread_join(t, NULL);
	return 0;
}

/* A task and a thread, to and fro, with a buffer and without, on either clock. */
TEST(a_task_and_a_thread)
{
	for (uint32_t cap = 0; cap < 2; cap++) {
		for (int clock = 0; clock < 2; clock++) {
			struct coop_xchan *back;

			chan_new(cap);
			CHECK_INT(coop_xchan_new(sizeof(int), NULL, &back), ==, 0);
			CHECK_INT(coop_run(ping, back, clock ? &virtual_clock : NULL), ==, 0);
			coop_xchan_unref(back);
			coop_xchan_unref(chan);
		}
	}
	PROVES(B242);
}

/* ---- everything at once */

#define PARTIES 4

struct churn {
	int64_t sent, received;        /* atomic sums of what calls said was sent and taken */
	int64_t destroyed;             /* atomic */
	int cancelled, timed_out, eof; /* atomic */
};
static struct churn churn;

static void add(int64_t *to, int64_t n)
{
	__atomic_add_fetch(to, n, __ATOMIC_RELAXED);
}

static void count(int *n)
{
	__atomic_add_fetch(n, 1, __ATOMIC_RELAXED);
}

static void destroy_int(void *item, void *ctx)
{
	(void)ctx;
	add(&churn.destroyed, *(int *)item);
}

static void *thread_sender(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg * 7919u + 1;

	for (int i = 1; i <= TEST_COUNT(3000, 300); i++) {
		int r;

		seed = seed * 1103515245u + 12345u;
		r = coop_xchan_send_thread(chan, &i,
					   seed >> 16 & 1 ? COOP_NEVER : seed >> 17 & 1023);
		if (r == 0)
			add(&churn.sent, i);
		else if (r == COOP_ETIMEDOUT)
			count(&churn.timed_out);
		else
			return NULL;
	}
	return NULL;
}

static void *thread_receiver(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg * 104729u + 1;
	int n, r;

	for (;;) {
		seed = seed * 1103515245u + 12345u;
		r = coop_xchan_recv_thread(chan, &n,
					   seed >> 16 & 1 ? COOP_NEVER : seed >> 17 & 1023);
		if (r == 0)
			add(&churn.received, n);
		else if (r == COOP_EOF)
			break;
		else
			count(&churn.timed_out);
	}
	count(&churn.eof);
	return NULL;
}

/* One call under a time limit that may strike at any moment. */
static int limited(int (*call)(struct coop_xchan *chan, void *item), void *item, unsigned n)
{
	struct coop_scope_opts so = { .timeout_ns =
					      n & 1 ? COOP_NEVER : (n >> 1 & 127) * 1000 + 1 };
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&s, &so);
	r = call(chan, item);
	if (r == COOP_ECANCELED)
		count(&churn.cancelled);
	CHECK_INT(coop_scope_close(&s, r == COOP_ECANCELED ? r : 0), ==, 0);
	return r;
}

static int send_call(struct coop_xchan *x, void *item)
{
	return coop_xchan_send(x, item);
}

static int recv_call(struct coop_xchan *x, void *item)
{
	return coop_xchan_recv(x, item);
}

static int task_sender(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg * 7919u + 3;

	for (int i = 1; i <= TEST_COUNT(3000, 300); i++) {
		int r;

		seed = seed * 1103515245u + 12345u;
		r = limited(send_call, &i, seed >> 16);
		if (r == 0)
			add(&churn.sent, i);
		else if (r != COOP_ECANCELED)
			break;
	}
	return 0;
}

static int task_receiver(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg * 104729u + 3;
	int n, r;

	do {
		seed = seed * 1103515245u + 12345u;
		r = limited(recv_call, &n, seed >> 16);
		if (r == 0)
			add(&churn.received, n);
	} while (r != COOP_EOF);
	count(&churn.eof);
	return 0;
}

static int churn_body(void *arg)
{
	struct coop_group senders = COOP_GROUP_INIT, receivers = COOP_GROUP_INIT;
	pthread_t from[PARTIES], to[PARTIES];

	coop_group_open(&receivers, NULL);
	coop_group_open(&senders, NULL);
	for (intptr_t i = 0; i < PARTIES; i++) {
		from[i] = thread(thread_sender, (void *)i);
		to[i] = thread(thread_receiver, (void *)i);
		CHECK_INT(coop_spawn(&senders, task_sender, (void *)i), ==, 0);
		CHECK_INT(coop_spawn(&receivers, task_receiver, (void *)i), ==, 0);
	}
	if (arg) { /* in the middle of it */
		CHECK_INT(coop_sleep(MS(5)), ==, 0);
		coop_xchan_close(chan, true);
	}
	CHECK_INT(coop_group_join(&senders, 0), ==, 0);
	while (!arg && stats().receivers < 1)
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
	for (int i = 0; i < PARTIES; i++)
		while (pthread_tryjoin_np(from[i], NULL) != 0)
			CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_xchan_close(chan, false);
	CHECK_INT(coop_group_join(&receivers, 0), ==, 0);
	for (int i = 0; i < PARTIES; i++)
		pthread_join(to[i], NULL);
	return 0;
}

static void churn_with(uint32_t cap, void *close_early)
{
	struct coop_xchan_opts o = { .cap = cap, .destroy = destroy_int };

	churn = (struct churn){ 0 };
	CHECK_INT(coop_xchan_new(sizeof(int), &o, &chan), ==, 0);
	CHECK_INT(coop_run(churn_body, close_early, NULL), ==, 0);
	CHECK_INT(churn.eof, ==, 2 * PARTIES);
	CHECK_INT(stats().senders + stats().receivers, ==, 0);
	CHECK_INT(stats().sent, ==, stats().received + stats().destroyed);
	coop_xchan_unref(chan);
	CHECK_INT(churn.sent, ==, churn.received + churn.destroyed);
	CHECK(churn.sent > 0);
}

/* Tasks and threads on both sides, with time limits that strike at any moment: every value that a
 * call said was sent is received once, or destroyed once. */
TEST(churn_of_both)
{
	TEST_SECONDS(60);
	churn_with(0, NULL);
	churn_with(1, NULL);
	churn_with(7, NULL);
	churn_with(0, &churn);
	churn_with(7, &churn);
	PROVES(B242);
}
