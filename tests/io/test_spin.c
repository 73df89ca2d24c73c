/* SPDX-License-Identifier: MIT */
/* The loop looks on for a moment where answers come fast, and never when it is at rest. */
#include "io_help.h"

#include <pthread.h>

#define ROUNDS 50

/* A thread that answers at once, and then one that says nothing for a while. */
static void *answer(void *arg)
{
	int fd = *(int *)arg;
	char c;

	while (recv(fd, &c, 1, 0) == 1)
		if (send(fd, &c, 1, 0) != 1)
			break;
	return NULL;
}

static void ask(int fd, int rounds)
{
	char c = 'a';

	for (int i = 0; i < rounds; i++) {
		CHECK_INT(coop_send(fd, &c, 1, 0), ==, 1);
		CHECK_INT(coop_recv(fd, &c, 1, 0), ==, 1);
	}
}

static uint64_t waits(void)
{
	struct coop_run_stats s;

	CHECK_INT(coop_run_stats(&s), ==, 0);
	return s.waits;
}

static int quiet(void *arg)
{
	char c;

	return coop_recv(*(int *)arg, &c, 1, 0);
}

/* Waits of many milliseconds, with somebody who waits for a socket: one look each. */
static uint64_t rest(int fd)
{
	struct coop_group g = COOP_GROUP_INIT;
	uint64_t before;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, quiet, &fd), ==, 0);
	for (int i = 0; i < 4; i++) /* forgets the short ones */
		CHECK_INT(coop_sleep(MS(20)), ==, 0);
	before = waits();
	for (int i = 0; i < 4; i++)
		CHECK_INT(coop_sleep(MS(20)), ==, 0);
	before = waits() - before;
	coop_group_cancel(&g, "enough");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	return before;
}

static int main_task(void *arg)
{
	bool spins = arg != NULL;
	uint64_t before;
	pthread_t thread;
	int a, b;

	pair(&a, &b);
	CHECK_INT(pthread_create(&thread, NULL, answer, &b), ==, 0);
	ask(a, 20); /* it learns */
	before = waits();
	ask(a, ROUNDS);
	if (!spins)
		CHECK_INT(waits() - before, <=, 3 * ROUNDS);
	CHECK_INT(rest(a), <=, 12);
	CHECK_INT(shutdown(a, SHUT_RDWR), ==, 0);
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
	close_both(a, b);
	return 0;
}

static void run_with(int64_t spin_ns, enum coop_engine engine)
{
	struct coop_run_opts opts = { .spin_ns = spin_ns, .engine = engine };
	int r;

	unsetenv("COOP_IO"); /* it would have the last word */
	r = coop_run(main_task, spin_ns > 0 ? &opts : NULL, &opts);
	if (r == -ENOTSUP)
		SKIP("this machine has no such engine");
	CHECK_INT(r, ==, 0);
}

/* With the option at 0 of COOP_SPIN there is one wait a turn; at rest there is with it, too. */
TEST(no_spinning_where_it_is_turned_off)
{
	run_with(COOP_NO_SPIN, COOP_ENGINE_EPOLL);
	run_with(COOP_NO_SPIN, COOP_ENGINE_URING);
}

TEST(no_spinning_at_rest)
{
	run_with(MS(5), COOP_ENGINE_EPOLL);
	run_with(MS(5), COOP_ENGINE_URING);
}

TEST(the_option_is_checked)
{
	struct coop_run_opts opts = { .spin_ns = -2 };

	CHECK_INT(coop_run(main_task, NULL, &opts), ==, -EINVAL);
}
