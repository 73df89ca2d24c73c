/* SPDX-License-Identifier: MIT */
/* Waiting until all others are blocked: when it returns, for whom first, and its cancellation. */
#include "../core/core_help.h"

#include <sys/time.h>

/* However often the others give way, as long as one of them can run there is no silence. */
static int yields(void *arg)
{
	for (intptr_t i = (intptr_t)arg; i > 0; i--)
		CHECK_INT(coop_yield(), ==, 0);
	say("yielder ");
	return coop_sleep(MS(50));
}

TASK_TEST(waits_for_the_last_one_to_block)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_run_stats stats;

	coop_group_open(&g, NULL);
	for (intptr_t i = 1; i < 1000; i *= 7)
		CHECK_INT(coop_spawn(&g, yields, (void *)i), ==, 0);
	CHECK_INT(coop_test_wait_all_blocked(0), ==, 0);
	CHECK_TRAIL("yielder yielder yielder yielder ");
	CHECK_INT(now_ms(), ==, 0);
	CHECK_INT(coop_run_stats(&stats), ==, 0);
	CHECK_INT(stats.tasks_ready, ==, 0);
	PROVES(B317);
	return coop_group_join(&g, 0);
}

/* Alone it is silent at once; a negative cushion is refused. */
TASK_TEST(alone)
{
	CHECK_INT(coop_test_wait_all_blocked(0), ==, 0);
	CHECK_INT(coop_test_wait_all_blocked(MS(1)), ==, 0);
	CHECK_INT(coop_test_wait_all_blocked(-1), ==, -EINVAL);
	CHECK_INT(coop_test_wait_all_blocked(INT64_MIN), ==, -EINVAL);
	CHECK_INT(now_ms(), ==, 0);
	return 0;
}

TEST(outside_of_tasks)
{
	CHECK_INT(coop_test_wait_all_blocked(0), ==, COOP_ENOTASK);
}

/* ---- several waiters */

struct waiter {
	const char *name;
	int64_t cushion_ns;
};

static int waits_for_silence(void *arg)
{
	const struct waiter *w = arg;
	int r = coop_test_wait_all_blocked(w->cushion_ns);

	say("%s%s ", w->name, r == COOP_ECANCELED ? "(cancelled)" : "");
	return r;
}

/* Shorter cushions first, whatever the order they came in; equal ones together, in order. */
TASK_TEST(shorter_cushions_first)
{
	struct waiter waiters[] = {
		{ "5ms", MS(5) }, { "0", 0 }, { "2ms", MS(2) }, { "0b", 0 }, { "2ms-b", MS(2) }
	};
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (size_t i = 0; i < sizeof waiters / sizeof *waiters; i++)
		CHECK_INT(coop_spawn(&g, waits_for_silence, &waiters[i]), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("0 0b 2ms 2ms-b 5ms ");
	CHECK_INT(now_ms(), ==, 0);
	PROVES(B317);
	return 0;
}

/* Who was woken is not blocked any more: the longer cushions wait until it is, once more. */
static int breaks_the_silence(void *arg)
{
	CHECK_INT(coop_test_wait_all_blocked(0), ==, 0);
	for (int i = 0; i < 100; i++)
		CHECK_INT(coop_yield(), ==, 0);
	say("%s ", (const char *)arg);
	return 0;
}

TASK_TEST(silence_is_broken_by_who_was_woken)
{
	struct waiter long_one = { "long", 1 };
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, waits_for_silence, &long_one), ==, 0);
	CHECK_INT(coop_spawn(&g, breaks_the_silence, (void *)(uintptr_t) "short"), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("short long ");
	PROVES(B317);
	return 0;
}

/* Cancelled it leaves; the others still get their turn. */
TASK_TEST(can_be_cancelled)
{
	struct waiter waiters[] = { { "a", MS(1) }, { "b", MS(2) }, { "c", MS(3) } };
	struct coop_handle *handles[3];
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_spawn_with(&g, waits_for_silence, &waiters[i], NULL, &handles[i]),
			  ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
	CHECK_INT(coop_handle_cancel(handles[1], "not needed"), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("b(cancelled) a c ");
	for (int i = 0; i < 3; i++)
		coop_handle_release(handles[i]);
	/* A deadline of virtual time cannot come in between: silence goes first. */
	CHECK_INT(coop_move_on_after(1, waits_for_silence, &waiters[0]), ==, 0);
	CHECK_TRAIL("a ");
	CHECK_INT(now_ms(), ==, 0);
	PROVES(B317, B315);
	return 0;
}

/* ---- silence and the clock */

/* Silence goes before the clock's own jump, with a cushion too, and with any threshold. */
static void check_priority(int64_t threshold_ns, int64_t cushion_ns)
{
	struct waiter w = { "silence", cushion_ns };
	struct nap sleeper = { "up", 100000, 0, 0, 0, 0 };
	struct coop_group g = COOP_GROUP_INIT;

	begin_ns = coop_now();
	CHECK_INT(coop_test_clock_autojump(threshold_ns), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, nap, &sleeper), ==, 0);
	CHECK_INT(coop_spawn(&g, waits_for_silence, &w), ==, 0);
	CHECK_INT(coop_test_wait_all_blocked(cushion_ns), ==, 0);
	CHECK(!sleeper.ended);
	CHECK_INT(now_ms(), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(sleeper.at_ms, ==, 100000);
	CHECK_TRAIL("silence up ");
}

TASK_TEST(silence_goes_before_the_jump)
{
	check_priority(0, 0);
	check_priority(0, MS(2));
	check_priority(MS(1), 0);
	check_priority(MS(1), MS(3));
	PROVES(B315);
	return 0;
}

/* Where the clock runs along, a timer within the cushion breaks the silence. */
TASK_TEST(a_running_clock_breaks_silence)
{
	struct waiter w = { "silence", SEC(3) };
	struct coop_group g = COOP_GROUP_INIT;

	CHECK_INT(coop_test_clock_rate(1000), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, waits_for_silence, &w), ==, 0);
	CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_sleep(SEC(2)), ==, 0); /* 2 ms of the real time that the cushion counts */
	say("woken ");
	CHECK_INT(coop_test_clock_rate(0), ==, 0);
	coop_group_cancel(&g, "seen enough");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("woken silence(cancelled) ");
	PROVES(B317);
	return 0;
}

/* ---- on the real clock */

/* The same on the real clock: a sleeper that wakes within the cushion breaks the silence. */
static int real_silence(void *arg)
{
	struct waiter w = { "silence", MS(4) };
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, waits_for_silence, &w), ==, 0);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(coop_sleep(MS(2)), ==, 0);
		say("%d ", i);
	}
	return coop_group_join(&g, 0);
}

TEST(on_the_real_clock)
{
	CHECK_INT(coop_run(real_silence, NULL, NULL), ==, 0);
	CHECK_TRAIL("0 1 2 silence ");
	PROVES(B317);
}

/* Something from outside within the cushion breaks it as well. */
static int takes_a_signal(void *arg)
{
	int r = coop_signals_receive(arg);

	say("signal ");
	return r < 0 ? r : 0;
}

TASK_TEST(the_outside_breaks_silence)
{
	static const int alarm_only[] = { SIGALRM };
	struct itimerval soon = { .it_value.tv_usec = 2000 };
	struct waiter w = { "silence", MS(20) };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_signals *signals;

	CHECK_INT(coop_signals_open(alarm_only, 1, &signals), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, takes_a_signal, signals), ==, 0);
	CHECK_INT(coop_spawn(&g, waits_for_silence, &w), ==, 0);
	CHECK_INT(setitimer(ITIMER_REAL, &soon, NULL), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("signal silence ");
	coop_signals_close(signals);
	PROVES(B317);
	return 0;
}
