/* SPDX-License-Identifier: MIT */
/*
 * Forks while other threads hold the locks of the whole process: one thread does nothing else than
 * to take and give back such a lock, another one forks again and again, and each child needs that
 * lock. One that waits for it for ever is ended by its alarm, which fails the test.
 *
 * The other threads allocate nothing meanwhile: a sanitizer's own lock may not survive a fork.
 */
#include "process_help.h"

#include "base/err_impl.h"
#include "sys/overflow.h"
#include "sys/process.h"

#include <pthread.h>
#include <sched.h>

#define CHILD_SECONDS 30
#define DOMAIN (COOP_DOMAIN_USER + 1)

static int begun, stopped; /* atomic */

/* In the other thread, after each time with the lock; true: once more. */
static bool once_more(void)
{
	__atomic_store_n(&begun, 1, __ATOMIC_RELEASE);
	return !__atomic_load_n(&stopped, __ATOMIC_ACQUIRE);
}

static void fork_once(int (*child)(void))
{
	int status;
	pid_t pid = fork();

	CHECK_INT(pid, >=, 0);
	if (pid == 0) {
		alarm(CHILD_SECONDS);
		_exit(child());
	}
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK_INT(status, ==, 0);
}

static void fork_beside(void *(*other)(void *), int (*child)(void))
{
	pthread_t thread;

	TEST_SECONDS(120);
	CHECK_INT(pthread_create(&thread, NULL, other, NULL), ==, 0);
	while (!__atomic_load_n(&begun, __ATOMIC_ACQUIRE))
		sched_yield();
	for (int i = TEST_COUNT(200, 60); i > 0; i--)
		fork_once(child);
	__atomic_store_n(&stopped, 1, __ATOMIC_RELEASE);
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
}

static int does_nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int runs(void)
{
	return coop_run(does_nothing, NULL, NULL);
}

/* -------------------------------------------------------------------------- errors */

static void *has_no_memory(void *arg)
{
	(void)arg;
	CHECK_INT(cp_err_reserve_open(), ==, 0);
	do
		cp_err_reserve_put(cp_err_reserve_get());
	while (once_more());
	cp_err_reserve_close();
	return NULL;
}

/* Objects come from the reserve, all of them but the one that the other thread may have had. */
static int has_the_reserve(void)
{
	int count = 0;

	while (cp_err_reserve_get())
		count++;
	return count < 63 || cp_err_immortal(COOP_ERROR_LEAF, -EIO)->code != -EIO ? 1 : runs();
}

/* The reserve is whole in a child, whatever another thread did to it when the process forked. */
TEST(the_reserve_of_errors)
{
	fork_beside(has_no_memory, has_the_reserve);
}

static const char *domain_text(int number)
{
	(void)number;
	return "ours";
}

static void *registers_again(void *arg)
{
	(void)arg;
	CHECK_INT(coop_domain_register(DOMAIN, "ours", domain_text), ==, 0);
	do
		CHECK_INT(coop_domain_register(DOMAIN, "ours", domain_text), ==, -EEXIST);
	while (once_more());
	return NULL;
}

static int registers_another(void)
{
	return coop_domain_register(DOMAIN + 1, "another", domain_text);
}

/* A child can register a domain of codes. */
TEST(the_domains_of_codes)
{
	fork_beside(registers_again, registers_another);
}

/* ----------------------------------------------------------------- stack overflows */

static struct sigaction before;

static void *installs(void *arg)
{
	(void)arg;
	CHECK_INT(cp_overflow_install(), ==, 0);
	do {
		CHECK_INT(cp_overflow_install(), ==, 0);
		cp_overflow_remove();
	} while (once_more());
	cp_overflow_remove();
	return NULL;
}

static bool is_as_before(void)
{
	struct sigaction now;

	return sigaction(SIGSEGV, NULL, &now) == 0 && now.sa_handler == before.sa_handler;
}

static int installs_its_own(void)
{
	if (!is_as_before())
		return 1;
	if (cp_overflow_install() < 0 || is_as_before())
		return 2;
	cp_overflow_remove();
	return is_as_before() ? 0 : 3;
}

/* What another thread has installed is none of the child's, which can install its own. */
TEST(handlers_of_another_thread)
{
	CHECK_INT(sigaction(SIGSEGV, NULL, &before), ==, 0);
	fork_beside(installs, installs_its_own);
	CHECK(is_as_before());
}

static int keeps_its_own(void)
{
	if (is_as_before())
		return 1;
	cp_overflow_remove();
	return is_as_before() ? 0 : 2;
}

/* What the thread that forks has installed stays in the child, and one removal ends it. */
TEST(handlers_of_the_thread_that_forks)
{
	CHECK_INT(sigaction(SIGSEGV, NULL, &before), ==, 0);
	CHECK_INT(cp_overflow_install(), ==, 0);
	fork_beside(installs, keeps_its_own);
	CHECK(!is_as_before());
	cp_overflow_remove();
	CHECK(is_as_before());
}

/* ----------------------------------------------------------------------- processes */

static void *asks_for_processes(void *arg)
{
	(void)arg;
	do
		CHECK(!cp_process_is_ours(1));
	while (once_more());
	return NULL;
}

static int starts_one(void *arg)
{
	struct coop_process_opts opts = { .argv = ARGV((char *)"true") };

	(void)arg;
	return coop_process_run(&opts, NULL);
}

static int runs_a_process(void)
{
	return coop_run(starts_one, NULL, NULL);
}

/* A child can start processes. */
TEST(the_list_of_processes)
{
	fork_beside(asks_for_processes, runs_a_process);
}

/* ------------------------------------------------------------------------- signals */

/* A set that is none, which is found out by who owns the signals already. */
static int opens_what_is_none(void *arg)
{
	struct coop_signals *s;

	(void)arg;
	do
		CHECK_INT(coop_signals_open((int[]){ SIGKILL }, 1, &s), ==, -EINVAL);
	while (once_more());
	return 0;
}

static void *has_signals(void *arg)
{
	CHECK_INT(coop_run(opens_what_is_none, arg, NULL), ==, 0);
	return NULL;
}

static int opens_once(void *arg)
{
	struct coop_signals *s;
	int r = coop_signals_open((int[]){ SIGUSR1 }, 1, &s);

	(void)arg;
	if (r >= 0)
		coop_signals_close(s);
	return r;
}

static int has_signals_too(void)
{
	return coop_run(opens_once, NULL, NULL);
}

/* A child can own the signals, which a run in another thread has owned. */
TEST(the_owner_of_signals)
{
	fork_beside(has_signals, has_signals_too);
}

/* ------------------------------------------------------------------ offloaded calls */

static int is_interrupted(void *arg)
{
	(void)arg;
	while (!coop_thread_cancelled())
		usleep(10);
	return 0;
}

static int offloads(void *arg)
{
	struct coop_offload_opts opts = { .on_cancel = COOP_ON_CANCEL_INTERRUPT };
	struct coop_scope_opts soon = { .timeout_ns = COOP_MICROSECONDS(1) };

	do {
		struct coop_scope s = COOP_SCOPE_INIT;

		coop_scope_open(&s, &soon);
		(void)!coop_scope_close(&s, coop_offload_with(is_interrupted, NULL, &opts));
	} while (arg && once_more());
	return 0;
}

/* Several at once, since each of them has the lock for a moment only. */
static int offloads_many(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (int i = 0; i < 8; i++)
		CHECK_INT(coop_spawn(&g, offloads, arg), ==, 0);
	return coop_group_join(&g, 0);
}

static void *has_offloads(void *arg)
{
	(void)arg;
	CHECK_INT(coop_run(offloads_many, &begun, NULL), ==, 0);
	return NULL;
}

#ifdef CP_TSAN
/* It does not know threads that the forked child of several threads starts. */
static int offloads_too(void)
{
	return runs();
}
#else
static int offloads_too(void)
{
	return coop_run(offloads, NULL, NULL);
}
#endif

/* A child can offload calls that a cancel interrupts, with threads of its own. */
TEST(calls_that_can_be_interrupted)
{
	fork_beside(has_offloads, offloads_too);
}
