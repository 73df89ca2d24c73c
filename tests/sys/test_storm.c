/* SPDX-License-Identifier: MIT */
/* Storms of signals: rows H13 to H16 of the catalogue of bugs. */
#include "process_help.h"

#include <coop/io.h>
#include <coop/signal.h>

#include <pthread.h>
#include <sys/time.h>

static const int usr1[] = { SIGUSR1 };

static struct coop_signals *opened(void)
{
	struct coop_signals *s = NULL;

	CHECK_INT(coop_signals_open(usr1, 1, &s), ==, 0);
	return s;
}

/* ---- H13 */

/* A hundred thousand that nobody receives: none blocks, one is kept, and the next is new. */
PROCESS_TEST(rel_H13_a_flood_is_one)
{
	struct coop_signals *s = opened();

	for (int i = 0; i < TEST_COUNT(100000, 5000); i++)
		CHECK_INT(raise(SIGUSR1), ==, 0);
	CHECK_INT(coop_signals_receive(s), ==, SIGUSR1);
	CHECK_INT(coop_signals_try_receive(s), ==, -EAGAIN);
	CHECK_INT(raise(SIGUSR1), ==, 0);
	CHECK_INT(coop_signals_receive(s), ==, SIGUSR1);
	coop_signals_close(s);
	PROVES(rel_H13);
	return 0;
}

/* ---- H14 */

static int storming; /* atomic */
static pthread_t main_thread;

static void *storms(void *arg)
{
	(void)arg;
	while (__atomic_load_n(&storming, __ATOMIC_RELAXED)) {
		pthread_kill(main_thread, SIGUSR1);
		usleep(20);
	}
	return NULL;
}

static pthread_t storm_begin(void)
{
	pthread_t thread;

	main_thread = pthread_self();
	__atomic_store_n(&storming, 1, __ATOMIC_RELAXED);
	CHECK_INT(pthread_create(&thread, NULL, storms, NULL), ==, 0);
	return thread;
}

static void storm_end(pthread_t thread)
{
	__atomic_store_n(&storming, 0, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

/* In the middle of malloc and of the use of errno, all the time: neither is disturbed. */
PROCESS_TEST(rel_H14_the_handler_leaves_no_trace)
{
	struct coop_signals *s;
	pthread_t thread;
	int received = 0;

	CHECK(signal(SIGUSR1, SIG_IGN) != SIG_ERR); /* for one that an emulator brings late */
	s = opened();
	thread = storm_begin();

	for (int i = 0; received < TEST_COUNT(2000, 100); i++) {
		void *volatile mem = malloc(100 + (size_t)i % 1000);

		errno = i;
		free(mem);
		CHECK_INT(errno, ==, i);
		if (coop_signals_try_receive(s) == SIGUSR1)
			received++;
	}
	storm_end(thread);
	coop_signals_close(s);
	PROVES(rel_H14);
	return 0;
}

/* ---- H15 */

static volatile sig_atomic_t came_back;

static void on_usr1(int sig)
{
	(void)sig;
	came_back++;
}

static int opens_and_closes(void *arg)
{
	int *received = arg;

	for (int i = 0; i < TEST_COUNT(2000, 100) || came_back + *received < 50; i++) {
		struct coop_signals *s = opened();

		*received += coop_signals_try_receive(s) == SIGUSR1;
		coop_signals_close(s);
	}
	return 0;
}

/* Closed while they come, from another thread: received or passed on, and the run ends. */
TEST(rel_H15_closed_in_a_storm)
{
	int received = 0;
	pthread_t thread;

	CHECK(signal(SIGUSR1, on_usr1) != SIG_ERR);
	thread = storm_begin();
	CHECK_INT(coop_run(opens_and_closes, &received, NULL), ==, 0);
	storm_end(thread);
	came_back = 0;
	CHECK_INT(raise(SIGUSR1), ==, 0);
	CHECK_INT(came_back, ==, 1); /* what was there before is there again */
	PROVES(rel_H15);
}

/* ---- H16 */

static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
}

static int writes(void *arg)
{
	char block[4096];
	int left = 1000000, r = 0;

	memset(block, 'x', sizeof block);
	while (left > 0 && r >= 0) {
		r = coop_write((int)(intptr_t)arg, block, left < 4096 ? (size_t)left : 4096);
		left -= r > 0 ? r : 0;
	}
	coop_close((int)(intptr_t)arg);
	return r < 0 ? r : 0;
}

static void pass_a_million(void)
{
	struct coop_group g = COOP_GROUP_INIT;
	char block[5000];
	int fds[2], n, sum = 0;

	CHECK_INT(pipe2(fds, O_CLOEXEC), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, writes, MSARG(fds[1])), ==, 0);
	while ((n = coop_read(fds[0], block, sizeof block)) > 0)
		sum += n;
	CHECK_INT(n, ==, 0);
	CHECK_INT(sum, ==, 1000000);
	CHECK_INT(coop_close(fds[0]), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
}

/* Every system call is interrupted, and none restarts by itself: nobody notices. */
PROCESS_TEST(rel_H16_interrupted_all_the_time)
{
	struct sigaction act = { .sa_handler = on_alarm, .sa_flags = SA_ONSTACK };
	struct itimerval fast = { { 0, 100 }, { 0, 100 } }, off = { { 0, 0 }, { 0, 0 } };
	struct coop_process_opts opts = { .argv = SH("head -c 100000 /dev/zero; exit 3") };
	int64_t start;

	CHECK_INT(sigaction(SIGALRM, &act, NULL), ==, 0);
	CHECK_INT(setitimer(ITIMER_REAL, &fast, NULL), ==, 0);
	for (int i = 0; i < TEST_COUNT(20, 2); i++) {
		struct coop_capture c;

		start = coop_now();
		CHECK_INT(coop_sleep(MS(5)), ==, 0);
		CHECK_INT(coop_now() - start, >=, MS(5)); /* never early */
		pass_a_million();
		CHECK_INT(coop_process_capture(&opts, NULL, &c), ==, 0);
		CHECK_INT(c.out_bytes, ==, 100000);
		CHECK_INT(c.status.code, ==, 3);
		coop_capture_deinit(&c);
	}
	CHECK_INT(setitimer(ITIMER_REAL, &off, NULL), ==, 0);
	CHECK_INT(alarms, >, 0);
	PROVES(rel_H16);
	return 0;
}
