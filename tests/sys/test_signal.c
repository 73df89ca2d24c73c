/* SPDX-License-Identifier: MIT */
/*
 * Receivers of signals: real ones, sent by raise and kill. Who has a signal at which time, what
 * counts once and what counts each time, and that none is ever lost: it is received, or it goes
 * to what was there before.
 */
#include "../core/core_help.h"
#include "child.h"

#include "base/os.h"
#include "ctx/ctx.h"

#include <coop/signal.h>

#include <pthread.h>

static const int usr1[] = { SIGUSR1 }, both[] = { SIGUSR1, SIGUSR2 };

/* ---- handlers of the program's own */

static volatile sig_atomic_t calls[65];
static volatile sig_atomic_t usr2_was_back;

static void count_call(int sig)
{
	struct sigaction now;

	calls[sig]++;
	sigaction(SIGUSR2, NULL, &now);
	usr2_was_back = now.sa_handler == SIG_DFL;
}

/* Puts a handler in place that is easily told from any other. */
static struct sigaction install(int sig)
{
	struct sigaction act = { .sa_handler = count_call, .sa_flags = SA_NODEFER | SA_RESTART };

	sigemptyset(&act.sa_mask);
	sigaddset(&act.sa_mask, SIGHUP);
	CHECK_INT(sigaction(sig, &act, NULL), ==, 0);
	return act;
}

#define CHECK_INSTALLED(sig, act) \
	do { \
		struct sigaction now_; \
		CHECK_INT(sigaction((sig), NULL, &now_), ==, 0); \
		CHECK(now_.sa_handler == (act).sa_handler); \
		CHECK_INT(now_.sa_flags &(SA_NODEFER | SA_RESTART | SA_ONSTACK), ==, \
			  (act).sa_flags); \
		CHECK_INT(sigismember(&now_.sa_mask, SIGHUP), ==, \
			  sigismember(&(act).sa_mask, SIGHUP)); \
	} while (0)

#define CHECK_DISPOSITION(sig, what) \
	do { \
		struct sigaction now_; \
		CHECK_INT(sigaction((sig), NULL, &now_), ==, 0); \
		CHECK(now_.sa_handler == (what)); \
	} while (0)

/* ---- receiving */

/* While a receiver is open its signals do nothing else; closing it puts back what was there. */
TASK_TEST(signals_are_received)
{
	struct sigaction before = install(SIGUSR1);
	struct coop_signals *s = NULL;

	CHECK_INT(coop_signals_open(both, 2, &s), ==, 0);
	CHECK(s != NULL);
	CHECK_INT(raise(SIGUSR1), ==, 0);
	CHECK_INT(coop_signals_receive(s), ==, SIGUSR1);
	CHECK_INT(raise(SIGUSR2), ==, 0); /* would have ended the process */
	CHECK_INT(coop_signals_try_receive(s), ==, SIGUSR2);
	CHECK_INT(coop_signals_try_receive(s), ==, -EAGAIN);
	CHECK_INT(calls[SIGUSR1], ==, 0);
	CHECK(coop_signals_close(s) == NULL);
	CHECK_INSTALLED(SIGUSR1, before);
	CHECK_DISPOSITION(SIGUSR2, SIG_DFL);
	CHECK_INT(raise(SIGUSR1), ==, 0);
	CHECK_INT(calls[SIGUSR1], ==, 1);
	CHECK(coop_signals_close(NULL) == NULL);
	PROVES(B289, S74);
	return 0;
}

static int receives(void *arg)
{
	int r = coop_signals_receive(arg);

	say("%s ", r > 0 ? coop_signal_name(r) : coop_is_cancel(r) ? "cancelled" : "closed");
	return r < 0 ? r : 0;
}

static int kills(void *arg)
{
	int r = coop_sleep(MS(1));

	CHECK_INT(kill(getpid(), (int)(intptr_t)arg), ==, 0);
	return r;
}

/* A task that waits is woken; opening again after closing is as good as the first time. */
TASK_TEST(a_waiting_task_is_woken)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_signals *s;

	for (int i = 0; i < 3; i++) {
		CHECK_INT(coop_signals_open(usr1, 1, &s), ==, 0);
		coop_group_open(&g, NULL);
		CHECK_INT(coop_spawn(&g, receives, s), ==, 0);
		CHECK_INT(coop_spawn(&g, kills, MSARG(SIGUSR1)), ==, 0);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		CHECK_TRAIL("SIGUSR1 ");
		coop_signals_close(s);
		g = (struct coop_group)COOP_GROUP_INIT;
	}
	PROVES(B289);
	return 0;
}

/* One that comes while nobody waits is kept, however long. */
TASK_TEST(a_signal_waits_for_its_receiver)
{
	struct coop_signals *s;

	CHECK_INT(coop_signals_open(usr1, 1, &s), ==, 0);
	CHECK_INT(raise(SIGUSR1), ==, 0);
	CHECK_INT(coop_sleep(SEC(100)), ==, 0);
	CHECK_INT(coop_signals_receive(s), ==, SIGUSR1);
	CHECK_INT(coop_signals_try_receive(s), ==, -EAGAIN);
	coop_signals_close(s);
	return 0;
}

/* The same signal counts once until it is received, and then anew. */
TASK_TEST(the_same_signal_counts_once)
{
	struct coop_signals *s;

	CHECK_INT(coop_signals_open(both, 2, &s), ==, 0);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 3; i++)
			CHECK_INT(raise(SIGUSR1), ==, 0);
		CHECK_INT(coop_sleep(MS(1)), ==, 0); /* the loop has taken them in */
		CHECK_INT(raise(SIGUSR1), ==, 0);
		CHECK_INT(coop_signals_receive(s), ==, SIGUSR1);
		CHECK_INT(coop_signals_try_receive(s), ==, -EAGAIN);
	}
	coop_signals_close(s);
	PROVES(B290);
	return 0;
}

/* Signals that come faster than they are received take turns: none keeps the other out. */
TASK_TEST(different_signals_take_turns)
{
	static const int three[] = { SIGUSR1, SIGUSR2, SIGHUP };
	struct coop_signals *s;
	int got[65] = { 0 };

	CHECK_INT(coop_signals_open(three, 3, &s), ==, 0);
	for (int i = 0; i < 30; i++) {
		for (int k = 0; k < 3; k++)
			CHECK_INT(raise(three[k]), ==, 0);
		got[i % 2 ? coop_signals_receive(s) : coop_signals_try_receive(s)]++;
	}
	for (int k = 0; k < 3; k++)
		CHECK_INT(got[three[k]], ==, 10);
	while (coop_signals_try_receive(s) > 0)
		;
	coop_signals_close(s);
	PROVES(B290);
	return 0;
}

/* Real-time signals count one by one, as the kernel queues them. */
TASK_TEST(real_time_signals_are_counted)
{
	const int other = SIGRTMIN + 5; /* an emulator may keep the last one for itself */
	const int set[] = { SIGRTMIN, other, SIGUSR1 };
	struct coop_signals *s;
	int got[65] = { 0 }, r;

	CHECK_INT(coop_signals_open(set, 3, &s), ==, 0);
	for (int i = 0; i < 5; i++)
		for (int k = 0; k < 3; k++)
			CHECK_INT(raise(set[k]), ==, 0);
	while ((r = coop_signals_try_receive(s)) > 0)
		got[r]++;
	CHECK_INT(r, ==, -EAGAIN);
	CHECK_INT(got[SIGRTMIN], ==, 5);
	CHECK_INT(got[other], ==, 5);
	CHECK_INT(got[SIGUSR1], ==, 1);
	coop_signals_close(s);
	PROVES(B290);
	return 0;
}

/* ---- what was not received */

/* At the close it is raised for what was there: once, or as often as it counts, and last of all. */
TASK_TEST(undelivered_signals_are_raised_again)
{
	const int set[] = { SIGUSR1, SIGUSR2, SIGRTMIN, SIGHUP };
	struct coop_signals *s;

	install(SIGUSR1);
	install(SIGRTMIN);
	install(SIGHUP);
	CHECK_INT(coop_signals_open(set, 4, &s), ==, 0);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(raise(SIGUSR1), ==, 0);
		CHECK_INT(raise(SIGRTMIN), ==, 0);
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
	}
	CHECK_INT(raise(SIGRTMIN), ==, 0); /* nobody has taken this one in yet */
	CHECK_INT(calls[SIGUSR1] + calls[SIGRTMIN], ==, 0);
	coop_signals_close(s);
	CHECK_INT(calls[SIGUSR1], ==, 1);
	CHECK_INT(calls[SIGRTMIN], ==, 4);
	CHECK_INT(calls[SIGHUP], ==, 0);
	CHECK(usr2_was_back);
	PROVES(B291, S76);
	return 0;
}

/* What was ignored before stays ignored. */
TASK_TEST(an_undelivered_signal_that_was_ignored)
{
	struct coop_signals *s;

	signal(SIGUSR1, SIG_IGN);
	CHECK_INT(coop_signals_open(usr1, 1, &s), ==, 0);
	CHECK_INT(raise(SIGUSR1), ==, 0);
	coop_signals_close(s);
	CHECK_DISPOSITION(SIGUSR1, SIG_IGN);
	PROVES(B291);
	return 0;
}

static int closes_late(void *arg)
{
	struct coop_signals *s;

	(void)arg;
	CHECK_INT(coop_signals_open(usr1, 1, &s), ==, 0);
	CHECK_INT(raise(SIGUSR1), ==, 0);
	fprintf(stderr, "closing\n");
	coop_signals_close(s);
	fprintf(stderr, "closed\n");
	return 0;
}

static int closes_late_program(void)
{
	return coop_run(closes_late, NULL, NULL);
}

/* Where there was nothing the process ends by it, as it would have without a receiver. */
TEST(an_undelivered_signal_with_the_default_action)
{
	struct child c;

	child_start(&c, closes_late_program);
	CHECK_INT(child_end(&c), ==, CHILD_SIGNAL(SIGUSR1));
	CHECK_STR(c.text, "closing\n");
	PROVES(B291, S76);
}

static int leaves_open(void *arg)
{
	struct coop_signals **s = arg;

	CHECK_INT(coop_signals_open(both, 2, s), ==, 0);
	CHECK_INT(raise(SIGUSR1), ==, 0);
	return 0;
}

static int finds_it_closed(void *arg)
{
	CHECK_INT(coop_signals_receive(arg), ==, COOP_ECLOSED);
	CHECK_INT(coop_signals_try_receive(arg), ==, COOP_ECLOSED);
	return 0;
}

/* A receiver that is left open is closed by the end of its run; the object is still there. */
TEST(a_receiver_left_open)
{
	struct sigaction before = install(SIGUSR1);
	struct coop_signals *s = NULL, *other;

	keep_records(COOP_LOG_WARN);
	CHECK_INT(coop_run(leaves_open, &s, &virtual_clock), ==, 0);
	CHECK_INSTALLED(SIGUSR1, before);
	CHECK_DISPOSITION(SIGUSR2, SIG_DFL);
	CHECK_INT(calls[SIGUSR1], ==, 1);
	CHECK_STR(records, "a receiver of signals was left open when the run ended\n");
	CHECK_INT(coop_run(finds_it_closed, s, &virtual_clock), ==, 0);
	CHECK_INT(coop_run(leaves_open, &other, &virtual_clock), ==, 0); /* signals are free */
	CHECK(coop_signals_close(s) == NULL);
	CHECK(coop_signals_close(other) == NULL);
	PROVES(B291, S76);
}

/* ---- what is refused */

/* A set with one bad signal is refused whole, and nothing was changed by it. */
TASK_TEST(bad_signals_are_refused)
{
	static const int bad[] = { 0,  -1,      SIGKILL, SIGSTOP, 65,     1000,    INT32_MAX,
				   32, SIGSEGV, SIGBUS,  SIGILL,  SIGFPE, -SIGUSR1 };
	struct coop_signals *s = NULL;
	struct sigaction before = install(SIGUSR1);

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		int set[] = { SIGUSR1, SIGUSR2, bad[i] };

		CHECK_INT(coop_signals_open(&bad[i], 1, &s), ==, -EINVAL);
		CHECK_INT(coop_signals_open(set, 3, &s), ==, -EINVAL);
		CHECK_INSTALLED(SIGUSR1, before);
		CHECK_DISPOSITION(SIGUSR2, SIG_DFL);
	}
	CHECK_INT(coop_signals_open(usr1, 0, &s), ==, -EINVAL);
	CHECK_INT(coop_signals_open(NULL, 1, &s), ==, -EINVAL);
	CHECK(s == NULL);
	PROVES(B292, S75);
	return 0;
}

/* The same signal twice in a set is the same as once. */
TASK_TEST(a_signal_twice_in_a_set)
{
	static const int set[] = { SIGUSR1, SIGUSR2, SIGUSR1, SIGUSR1 };
	struct sigaction before = install(SIGUSR1);
	struct coop_signals *s;

	CHECK_INT(coop_signals_open(set, 4, &s), ==, 0);
	CHECK_INT(raise(SIGUSR1), ==, 0);
	CHECK_INT(coop_signals_receive(s), ==, SIGUSR1);
	CHECK_INT(coop_signals_try_receive(s), ==, -EAGAIN);
	coop_signals_close(s);
	CHECK_INSTALLED(SIGUSR1, before);
	PROVES(B292);
	return 0;
}

/* A signal has one receiver; who comes second is refused and changes nothing. */
TASK_TEST(a_signal_has_one_receiver)
{
	static const int set[] = { SIGUSR2, SIGUSR1 }, other[] = { SIGUSR2 };
	struct coop_signals *s, *t = NULL;

	CHECK_INT(coop_signals_open(usr1, 1, &s), ==, 0);
	CHECK_INT(coop_signals_open(set, 2, &t), ==, -EBUSY);
	CHECK_INT(coop_signals_open(usr1, 1, &t), ==, -EBUSY);
	CHECK(t == NULL);
	CHECK_DISPOSITION(SIGUSR2, SIG_DFL);
	CHECK_INT(coop_signals_open(other, 1, &t), ==, 0); /* a second receiver of another one */
	CHECK_INT(raise(SIGUSR2), ==, 0);
	CHECK_INT(raise(SIGUSR1), ==, 0);
	CHECK_INT(coop_signals_receive(s), ==, SIGUSR1);
	CHECK_INT(coop_signals_receive(t), ==, SIGUSR2);
	coop_signals_close(s);
	CHECK_INT(raise(SIGUSR2), ==, 0);
	CHECK_INT(coop_signals_receive(t), ==, SIGUSR2);
	coop_signals_close(t);
	PROVES(B292);
	return 0;
}

/* Where the system refuses, at whatever signal of the set, all is as before; or memory does. */
TASK_TEST(a_system_that_refuses)
{
	struct sigaction before = install(SIGUSR1);
	static const uint64_t at[] = { 1, 2 };
	struct coop_signals *s = NULL;

	cp_os_faults.call_errno = EIO;
	for (int i = 0; i < 2; i++) {
		cp_os_faults.call_fail_at = cp_os_faults.call_calls + at[i];
		CHECK_INT(coop_signals_open(both, 2, &s), ==, -EIO);
		cp_os_faults.call_fail_at = 0;
		CHECK_INSTALLED(SIGUSR1, before);
		CHECK_DISPOSITION(SIGUSR2, SIG_DFL);
	}
	cp_os_faults.alloc_fail_at = cp_os_faults.alloc_calls + 1;
	CHECK_INT(coop_signals_open(both, 2, &s), ==, -ENOMEM);
	cp_os_faults.alloc_fail_at = 0;
	CHECK_INSTALLED(SIGUSR1, before);
	CHECK(s == NULL);
	CHECK_INT(coop_signals_open(both, 2, &s), ==, 0);
	coop_signals_close(s);
	PROVES(S75);
	return 0;
}

/* One task receives at a time; the other is told at once, and the first goes on. */
TASK_TEST(one_reader_at_a_time)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_signals *s;

	CHECK_INT(coop_signals_open(usr1, 1, &s), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, receives, s), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_signals_receive(s), ==, -EBUSY);
	CHECK_INT(coop_signals_try_receive(s), ==, -EBUSY);
	CHECK_INT(raise(SIGUSR1), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_TRAIL("SIGUSR1 ");
	CHECK_INT(coop_signals_try_receive(s), ==, -EAGAIN);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_signals_close(s);
	PROVES(B293);
	return 0;
}

static struct coop_signals *shared;
static bool expect_free;

static int in_other_run(void *arg)
{
	struct coop_signals *s = NULL;

	(void)arg;
	if (expect_free) {
		CHECK_INT(coop_signals_open(usr1, 1, &s), ==, 0);
		CHECK_INT(raise(SIGUSR1), ==, 0);
		CHECK_INT(coop_signals_receive(s), ==, SIGUSR1);
		coop_signals_close(s);
		return 0;
	}
	CHECK_INT(coop_signals_open(usr1, 1, &s), ==, COOP_EWRONGTHREAD);
	CHECK_INT(coop_signals_receive(shared), ==, COOP_EWRONGTHREAD);
	CHECK_INT(coop_signals_try_receive(shared), ==, COOP_EWRONGTHREAD);
	CHECK(s == NULL);
	return 0;
}

static void *other_thread(void *arg)
{
	CHECK_INT(coop_signals_open(usr1, 1, arg), ==, COOP_ENOTASK);
	CHECK_INT(coop_run(in_other_run, NULL, &virtual_clock), ==, 0);
	return NULL;
}

static void run_in_thread(void *(*body)(void *))
{
	struct coop_signals *s = NULL;
	pthread_t thread;

	CHECK_INT(pthread_create(&thread, NULL, body, &s), ==, 0);
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
}

/* One runtime has the signals; another is refused until the first has given them all up. */
TASK_TEST(one_runtime_has_the_signals)
{
	static const int other[] = { SIGUSR2 };
	struct coop_signals *more;

	CHECK_INT(coop_signals_open(usr1, 1, &shared), ==, 0);
	run_in_thread(other_thread);
	CHECK_INT(coop_signals_open(other, 1, &more), ==, 0);
	coop_signals_close(shared);
	shared = more;
	run_in_thread(other_thread);
	coop_signals_close(more);
	expect_free = true;
	run_in_thread(other_thread);
	PROVES(B294);
	return 0;
}

static int outside_of_tasks(void *arg)
{
	return coop_signals_open(usr1, 1, arg);
}

/* Outside of tasks there is nobody to receive; a receiver is not closed by another thread. */
TEST(receivers_belong_to_tasks)
{
	struct coop_signals *s = NULL;

	CHECK_INT(coop_signals_open(usr1, 1, &s), ==, COOP_ENOTASK);
	CHECK(s == NULL);
	keep_records(COOP_LOG_ERROR);
	CHECK_INT(coop_run(outside_of_tasks, &s, &virtual_clock), ==, 0);
	CHECK_INT(coop_signals_receive(s), ==, COOP_ENOTASK);
	CHECK_INT(coop_signals_try_receive(s), ==, COOP_ECLOSED);
	coop_signals_close(s);
	PROVES(B294);
}

static void *closes_foreign(void *arg)
{
	(void)arg;
	coop_signals_close(shared);
	return NULL;
}

static int lets_another_close(void *arg)
{
	(void)arg;
	CHECK_INT(coop_signals_open(usr1, 1, &shared), ==, 0);
	run_in_thread(closes_foreign);
	return 0;
}

TEST_ABORT(closing_in_another_thread, "belongs to another thread's run")
{
	(void)!coop_run(lets_another_close, NULL, NULL);
}

/* ---- waking */

static void *sits_there(void *arg)
{
	sigset_t set;

	(void)arg;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	for (;;)
		pause();
	return NULL;
}

static int waits_idle(void *arg)
{
	struct coop_run_stats stats;
	struct coop_signals *s;
	int r;

	(void)arg;
	CHECK_INT(coop_signals_open(usr1, 1, &s), ==, 0);
	for (int i = 0; i < 3; i++) {
		printf("waiting\n");
		r = coop_signals_receive(s);
		printf("%s\n", coop_signal_name(r));
	}
	CHECK_INT(coop_run_stats(&stats), ==, 0);
	CHECK_INT(stats.waits, >=, 3);
	CHECK_INT(stats.waits, <=, 12); /* it slept, and was not asked for nothing */
	coop_signals_close(s);
	return 0;
}

/* The signal is blocked in the loop's thread: only the handler's wake can end its sleep. */
static int idle_program(void)
{
	pthread_t thread;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (pthread_create(&thread, NULL, sits_there, NULL))
		return 1;
	return coop_run(waits_idle, NULL, NULL);
}

static int idle_program_virtual(void)
{
	setenv("COOP_CLOCK", "virtual", 1);
	return idle_program();
}

/* A loop that sleeps without a timer is woken, on either clock, in whatever thread it comes. */
TEST(a_signal_wakes_an_idle_loop)
{
	int (*const programs[])(void) = { idle_program, idle_program_virtual };

	for (int i = 0; i < 2; i++) {
		struct child c;

		child_start(&c, programs[i]);
		for (int k = 0; k < 3; k++) {
			child_prints(&c, "waiting\n");
			child_sleeps(&c);
			CHECK_INT(kill(c.pid, SIGUSR1), ==, 0);
			child_prints(&c, "SIGUSR1\n");
		}
		CHECK_INT(child_end(&c), ==, 0);
	}
	PROVES(B295);
}

/* ---- cancelling and closing */

/* A cancelled receive has taken nothing. */
TASK_TEST(a_cancelled_receive_takes_nothing)
{
	struct coop_scope_opts soon = { .timeout_ns = MS(1) };
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_signals *sig;

	CHECK_INT(coop_signals_open(usr1, 1, &sig), ==, 0);
	coop_scope_open(&s, &soon);
	CHECK_INT(coop_signals_receive(sig), ==, COOP_ECANCELED);
	CHECK_INT(raise(SIGUSR1), ==, 0);
	CHECK_INT(coop_signals_receive(sig), ==, COOP_ECANCELED); /* at once */
	CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, 0);
	CHECK_INT(coop_signals_receive(sig), ==, SIGUSR1);
	coop_signals_close(sig);
	return 0;
}

static uint64_t turns(void)
{
	struct coop_run_stats stats;

	CHECK_INT(coop_run_stats(&stats), ==, 0);
	return stats.turns;
}

/* One that was woken by a signal and is cancelled before it runs has received it. */
TASK_TEST(a_received_signal_is_not_taken_back)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_signals *s;
	uint64_t before;

	CHECK_INT(coop_signals_open(usr1, 1, &s), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, receives, s), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(raise(SIGUSR1), ==, 0);
	for (before = turns(); turns() == before;) /* the loop takes it in, behind this task */
		coop_yield();
	CHECK_TRAIL("");
	CHECK_INT(coop_group_cancel(&g, NULL), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("SIGUSR1 ");
	CHECK_INT(coop_signals_try_receive(s), ==, -EAGAIN);
	coop_signals_close(s);
	return 0;
}

/* Closing a receiver ends the wait of the task that receives. */
TASK_TEST(closing_ends_a_receive)
{
	struct coop_group_opts collect = { .policy = COOP_COLLECT };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_signals *s;

	CHECK_INT(coop_signals_open(usr1, 1, &s), ==, 0);
	coop_group_open(&g, &collect);
	CHECK_INT(coop_spawn(&g, receives, s), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_signals_close(s);
	CHECK_INT(coop_group_join(&g, 0), ==, COOP_ECLOSED);
	CHECK_TRAIL("closed ");
	coop_error_clear();
	return 0;
}

/* On the virtual clock an open receiver is something that can come from outside: no deadlock. */
TASK_TEST(a_receiver_is_no_deadlock)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_signals *s;

	CHECK_INT(coop_signals_open(usr1, 1, &s), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, receives, s), ==, 0);
	CHECK_INT(coop_spawn(&g, kills, MSARG(SIGUSR1)), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 1);
	CHECK_TRAIL("SIGUSR1 ");
	coop_signals_close(s);
	PROVES(B319);
	return 0;
}

/* A signal that was ignored at the start is received all the same, and ignored again afterwards. */
TASK_TEST(an_ignored_signal_can_be_received)
{
	static const int sigint[] = { SIGINT };
	struct coop_signals *s;

	signal(SIGINT, SIG_IGN);
	CHECK_INT(coop_signals_open(sigint, 1, &s), ==, 0);
	CHECK_INT(raise(SIGINT), ==, 0);
	CHECK_INT(coop_signals_receive(s), ==, SIGINT);
	coop_signals_close(s);
	CHECK_DISPOSITION(SIGINT, SIG_IGN);
	PROVES(B299);
	return 0;
}

/* ---- after a fork */

static int receives_in_child(void *arg)
{
	(void)arg;
	CHECK_INT(coop_signals_open(usr1, 1, &shared), ==, 0);
	CHECK_INT(raise(SIGUSR1), ==, 0);
	CHECK_INT(coop_signals_receive(shared), ==, SIGUSR1);
	coop_signals_close(shared);
	return 0;
}

static void in_forked_child(struct coop_signals *s)
{
	struct coop_signals *t = NULL;

	CHECK_INT(raise(SIGUSR1), ==, 0);
#ifndef CP_TSAN /* which holds signals back for ever in a child that was forked by a fiber */
	CHECK_INT(calls[SIGUSR1], ==, 1); /* as before */
#endif
	CHECK_DISPOSITION(SIGUSR2, SIG_DFL);
	CHECK_INT(coop_signals_open(usr1, 1, &t), ==, COOP_EFORK);
	CHECK_INT(coop_signals_receive(s), ==, COOP_EFORK);
	CHECK_INT(coop_signals_try_receive(s), ==, COOP_EFORK);
	CHECK(coop_signals_close(s) == NULL);
	_exit(0);
}

static void *forks(void *arg)
{
	pid_t pid = fork();
	int status;

	(void)arg;
	if (pid == 0) { /* of a thread that was in no run: it can have one of its own */
		CHECK_INT(coop_run(receives_in_child, NULL, &virtual_clock), ==, 0);
		CHECK_INT(calls[SIGUSR1], ==, 0);
		_exit(0);
	}
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK_INT(status, ==, 0);
	return NULL;
}

/* A forked child has the dispositions from before, and none of its signals reach the parent. */
TASK_TEST(a_forked_child_has_no_receiver)
{
	struct coop_signals *s;
	int status;
	pid_t pid;

	install(SIGUSR1);
	CHECK_INT(coop_signals_open(both, 2, &s), ==, 0);
	pid = fork();
	if (pid == 0)
		in_forked_child(s);
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK_INT(status, ==, 0);
	run_in_thread(forks);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_signals_try_receive(s), ==, -EAGAIN);
	CHECK_INT(raise(SIGUSR2), ==, 0); /* the parent's is still there */
	CHECK_INT(coop_signals_receive(s), ==, SIGUSR2);
	coop_signals_close(s);
	PROVES(B311);
	return 0;
}

/* ---- a handler of one's own: the program of the shutdown example, by either signal and twice */

static struct coop_handle *works[6];
static int numbers[] = { 0, 1, 2, 3, 4, 5 };

static int work(void *arg)
{
	int n = *(int *)arg, r;

	say("[%d] start\n", n);
	r = coop_sleep(SEC(10));
	say("[%d] %s\n", n, coop_is_cancel(r) ? "canceled" : "done");
	return n == 4 ? 0 : r; /* one that swallows it */
}

static int count_task(const struct coop_task_info *info, void *count)
{
	*(int *)count += !info->service;
	return 0;
}

static int cancels_three(void *arg)
{
	int all, cancelled, r;

	while ((r = coop_signals_receive(arg)) > 0) {
		all = cancelled = 0;
		CHECK_INT(coop_for_each_task(false, count_task, &all), ==, 0);
		for (int i = 3; i < 6; i++)
			cancelled += coop_handle_cancel(works[i], "shutdown") == 0;
		say("Received %s\nCancelling %d out of %d\n", coop_signal_name(r), cancelled, all);
	}
	return r;
}

static int sends(void *arg)
{
	int r = coop_sleep(SEC(1));

	for (int i = 0; i < 2 && r >= 0; i++) {
		CHECK_INT(kill(getpid(), (int)(intptr_t)arg), ==, 0);
		r = coop_sleep(SEC(1));
	}
	return r;
}

static int shielding_program(int sig)
{
	static const int sigs[] = { SIGINT, SIGTERM };
	struct coop_spawn_opts service = { .service = true };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_signals *s;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_signals_open(sigs, 2, &s), ==, 0);
	CHECK_INT(coop_spawn_with(&g, cancels_three, s, &service, NULL), ==, 0);
	CHECK_INT(coop_spawn_with(coop_run_group(), sends, MSARG(sig), &service, NULL), ==, 0);
	for (int i = 0; i < 6; i++)
		CHECK_INT(coop_spawn_with(&g, work, &numbers[i], NULL, &works[i]), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_signals_close(s);
	CHECK_INT(now_ms(), ==, 10000);
	CHECK_INT(coop_handle_state(works[4]), ==, COOP_TASK_FINISHED);
	CHECK_INT(coop_handle_state(works[5]), ==, COOP_TASK_CANCELLED);
	CHECK(coop_handle_cancel_called(works[4]));
	for (int i = 0; i < 6; i++)
		coop_handle_release(works[i]);
	return 0;
}

#define SHIELDING_TRAIL(sig) \
	"[0] start\n[1] start\n[2] start\n[3] start\n[4] start\n[5] start\n" \
	"Received " sig "\nCancelling 3 out of 7\n[3] canceled\n[4] canceled\n[5] canceled\n" \
	"Received " sig "\nCancelling 0 out of 4\n[0] done\n[1] done\n[2] done\n"

/* By SIGINT: three of seven are cancelled; the second time none of four; the rest is done. */
TASK_TEST(the_shielding_program_by_sigint)
{
	CHECK_INT(shielding_program(SIGINT), ==, 0);
	CHECK_TRAIL(SHIELDING_TRAIL("SIGINT"));
	PROVES(S49, S50, S53, S55);
	return 0;
}

TASK_TEST(the_shielding_program_by_sigterm)
{
	CHECK_INT(shielding_program(SIGTERM), ==, 0);
	CHECK_TRAIL(SHIELDING_TRAIL("SIGTERM"));
	PROVES(S51);
	return 0;
}

/* ---- names */

TEST(names_of_signals)
{
	CHECK_STR(coop_signal_name(SIGINT), "SIGINT");
	CHECK_STR(coop_signal_name(SIGTERM), "SIGTERM");
	CHECK_STR(coop_signal_name(SIGSYS), "SIGSYS");
	CHECK_STR(coop_signal_name(0), "SIG?");
	CHECK_STR(coop_signal_name(-1), "SIG?");
	CHECK_STR(coop_signal_name(1000), "SIG?");
}
