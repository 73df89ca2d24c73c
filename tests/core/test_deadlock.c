/* SPDX-License-Identifier: MIT */
/*
 * Deadlocks: circles of waiters, refused when they close; everybody blocked with nothing to come,
 * found by the idle loop, told with a dump of who waits for whom, and ended in order. And what is
 * none: waits that somebody or something can still end.
 */
#include "core_help.h"

#include <sys/time.h>

/* ---- circles, found when they close */

#define RING_MAX 40
static struct coop_handle *ring[RING_MAX];
static int ring_size;

static int waits_for_the_next(void *arg)
{
	intptr_t i = (intptr_t)arg;

	/* In turn, the last one last: it is the one that closes the circle. */
	CHECK_INT(coop_sleep(MS(i)), ==, 0);
	return coop_handle_wait(ring[(i + 1) % ring_size], NULL);
}

/* Circles of 1, 2, 3 and many handles: -EDEADLK for who closes it, with the whole way in words. */
TASK_TEST(circles_of_handles)
{
	for (ring_size = 1; ring_size <= RING_MAX; ring_size = ring_size * 2 + 1) {
		struct coop_group_opts opts = { .policy = COOP_COLLECT, .name = "ring" };
		struct coop_group g = COOP_GROUP_INIT;
		const struct coop_error *e;
		struct coop_error_info info;

		coop_group_open(&g, &opts);
		for (intptr_t i = 0; i < ring_size; i++)
			CHECK_INT(coop_spawn_with(&g, waits_for_the_next, (void *)i, NULL,
						  &ring[i]),
				  ==, 0);
		CHECK_INT(coop_group_join(&g, 0), ==, -EDEADLK);
		/* The last in the circle was told first; its failure went round to the others. */
		e = coop_error_primary(coop_error_peek(-EDEADLK));
		coop_error_describe(e, &info);
		if (ring_size == 1)
			CHECK_STR(info.message, "main/ring/waits_for_the_next waits for "
						"main/ring/waits_for_the_next");
		CHECK_HAS(info.message, "main/ring/waits_for_the_next waits for main/ring/");
		CHECK_INT(coop_handle_state(ring[ring_size - 1]), ==, COOP_TASK_FAILED);
		CHECK(!coop_handle_error(ring[0]) || ring_size == 1 ||
		      coop_error_code(coop_handle_error(ring[0])) == -EDEADLK);
		for (int i = 0; i < ring_size; i++)
			coop_handle_release(ring[i]);
		coop_error_clear();
	}
	PROVES(B320, B157);
	return 0;
}

/* The words name everybody on the way, in order. */
static struct coop_handle *alice, *bob;

static int alice_waits(void *arg)
{
	(void)arg;
	return coop_handle_wait(bob, NULL);
}

static int bob_waits(void *arg)
{
	struct coop_error_info info;
	int r = coop_handle_wait(alice, NULL);

	(void)arg;
	CHECK_INT(r, ==, -EDEADLK);
	coop_error_describe(coop_error_peek(r), &info);
	CHECK_STR(info.message, "main/pair/bob waits for main/pair/alice, which waits for "
				"main/pair/bob");
	coop_error_clear();
	return 0;
}

TASK_TEST(the_words_of_a_circle)
{
	struct coop_spawn_opts a = { .name = "alice" }, b = { .name = "bob" };
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, &(struct coop_group_opts){ .name = "pair" });
	CHECK_INT(coop_spawn_with(&g, alice_waits, NULL, &a, &alice), ==, 0);
	CHECK_INT(coop_spawn_with(&g, bob_waits, NULL, &b, &bob), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_handle_state(alice), ==, COOP_TASK_FINISHED);
	coop_handle_release(alice);
	coop_handle_release(bob);
	PROVES(B320);
	return 0;
}

/* A child that waits for the task that will join it: through a group, and through several. */
static struct coop_handle *ancestor;

static int waits_for_the_ancestor(void *arg)
{
	intptr_t depth = (intptr_t)arg;
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	if (depth == 0)
		return coop_handle_wait(ancestor, NULL);
	coop_group_open(&g, NULL);
	r = coop_spawn(&g, waits_for_the_ancestor, (void *)(depth - 1));
	return coop_group_join(&g, r);
}

TASK_TEST(circles_through_groups)
{
	for (intptr_t depth = 1; depth <= 100; depth *= 10) {
		struct coop_group g = COOP_GROUP_INIT;

		coop_group_open(&g, NULL);
		CHECK_INT(coop_spawn_with(&g, waits_for_the_ancestor, (void *)depth, NULL,
					  &ancestor),
			  ==, 0);
		CHECK_INT(coop_group_join(&g, 0), ==, -EDEADLK);
		coop_error_clear();
		coop_handle_release(ancestor);
	}
	PROVES(B320);
	return 0;
}

/* Handles and groups by turns: X waits for Y, whose child waits for X. */
static struct coop_handle *x_handle, *y_handle;

static int waits_for_x(void *arg)
{
	(void)arg;
	return coop_handle_wait(x_handle, NULL);
}

static int y_with_a_child(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_spawn(&g, waits_for_x, NULL), ==, 0);
	return coop_group_join(&g, 0);
}

static int x_waits_for_y(void *arg)
{
	int r = sleep_ms(arg);

	return r < 0 ? r : coop_handle_wait(y_handle, NULL);
}

TASK_TEST(circles_of_handles_and_groups)
{
	/* The child is the last one to wait, or it is X: each finds the circle. */
	for (int x_ms = 0; x_ms <= 2; x_ms += 2) {
		struct coop_group_opts opts = { .policy = COOP_COLLECT };
		struct coop_group g = COOP_GROUP_INIT;
		int64_t start = now_ms();

		coop_group_open(&g, &opts);
		CHECK_INT(coop_spawn_with(&g, x_waits_for_y, MSARG(x_ms), NULL, &x_handle), ==, 0);
		CHECK_INT(coop_spawn_with(&g, y_with_a_child, NULL, NULL, &y_handle), ==, 0);
		CHECK_INT(coop_group_join(&g, 0), ==, -EDEADLK);
		CHECK_INT(now_ms() - start, ==, x_ms ? x_ms : 1); /* when it closed, not later */
		coop_error_clear();
		coop_handle_release(x_handle);
		coop_handle_release(y_handle);
	}
	PROVES(B320);
	return 0;
}

/* By a wait for all of several, too; the task's own handle in any kind of wait. */
static int waits_for_all(void *arg)
{
	struct coop_handle *both[] = { x_handle, y_handle };

	return coop_wait(both, 2, (enum coop_wait_until)(intptr_t)arg, COOP_NEVER, NULL);
}

TASK_TEST(circles_by_a_wait_for_several)
{
	enum coop_wait_until kinds[] = { COOP_WAIT_ALL, COOP_WAIT_FIRST, COOP_WAIT_FIRST_ERROR };

	for (int i = 0; i < 3; i++) {
		struct coop_group_opts opts = { .policy = COOP_COLLECT };
		struct coop_group g = COOP_GROUP_INIT;

		coop_group_open(&g, &opts);
		CHECK_INT(coop_spawn_with(&g, waits_for_all, MSARG(kinds[i]), NULL, &x_handle), ==,
			  0);
		CHECK_INT(coop_spawn_with(&g, sleep_ms, MSARG(5), NULL, &y_handle), ==, 0);
		CHECK_INT(coop_group_join(&g, 0), ==, -EDEADLK);
		coop_error_clear();
		coop_handle_release(x_handle);
		coop_handle_release(y_handle);
	}
	PROVES(B320, S47);
	return 0;
}

/* ---- what is no circle */

/* Whoever waits for one of several is woken by another: X for Y or Z, Y for X. */
static int waits_for_y_or_z(void *arg)
{
	struct coop_handle *several[] = { y_handle, alice };

	(void)arg;
	return coop_wait(several, 2, COOP_WAIT_FIRST, COOP_NEVER, NULL);
}

TASK_TEST(one_of_several_is_no_circle)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, waits_for_y_or_z, NULL, NULL, &x_handle), ==, 0);
	CHECK_INT(coop_spawn_with(&g, waits_for_x, NULL, NULL, &y_handle), ==, 0);
	CHECK_INT(coop_spawn_with(&g, sleep_ms, MSARG(5), NULL, &alice), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 5);
	coop_handle_release(x_handle);
	coop_handle_release(y_handle);
	coop_handle_release(alice);
	PROVES(B320);
	return 0;
}

/* A service may wait for the end of its users' host: it is cancelled before that is joined. */
static int opens_a_group_for_its_watcher(void *arg)
{
	struct coop_spawn_opts service = { .service = true };
	struct coop_group_opts opts = { .cancel_on_join = arg != NULL };
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, &opts);
	CHECK_INT(coop_spawn_with(&g, waits_for_x, NULL, arg ? NULL : &service, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(3)), ==, 0);
	return coop_group_join(&g, 0);
}

TASK_TEST(who_is_cancelled_at_the_join_is_no_circle)
{
	for (intptr_t on_join = 0; on_join < 2; on_join++) {
		struct coop_group g = COOP_GROUP_INIT;

		coop_group_open(&g, NULL);
		CHECK_INT(coop_spawn_with(&g, opens_a_group_for_its_watcher, (void *)on_join, NULL,
					  &x_handle),
			  ==, 0);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		CHECK_INT(coop_handle_state(x_handle), ==, COOP_TASK_FINISHED);
		coop_handle_release(x_handle);
	}
	CHECK_INT(now_ms(), ==, 6);
	PROVES(B320);
	return 0;
}

/* ---- everybody blocked */

static int forgets_to_wake(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h;
	int r;

	(void)arg;
	coop_group_open(&g, &(struct coop_group_opts){ .name = "inner" });
	r = coop_spawn_with(&g, sleep_for_ever, NULL, NULL, &h);
	if (r >= 0)
		r = coop_handle_wait(h, NULL);
	coop_handle_release(h);
	return coop_group_join(&g, r);
}

static int deadlocked_reasons;

static int notes_the_reason(void *arg)
{
	int r = coop_sleep(COOP_NEVER);
	struct coop_cancel_info info;

	(void)arg;
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK(coop_cancel_reason(&info));
	deadlocked_reasons += info.source == COOP_CANCEL_DEADLOCK;
	return r;
}

static int stuck(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	coop_group_open(&g, &(struct coop_group_opts){ .name = "outer" });
	r = coop_spawn(&g, forgets_to_wake, NULL);
	if (r >= 0)
		r = coop_spawn(&g, notes_the_reason, NULL);
	if (r >= 0) /* a while of ordinary life goes before */
		r = coop_sleep(MS(1500));
	coop_scope_open(&s, &(struct coop_scope_opts){ .name = "careful", .shield = true });
	if (r >= 0)
		r = coop_shield(notes_the_reason, arg);
	r = coop_scope_close(&s, r);
	return coop_group_join(&g, r);
}

/* The dump has the tree: who is blocked in what, on whom, and where all of that was written. */
static const char stuck_dump[] =
	"deadlock: every task is blocked and nothing can wake one:\n"
	"  run: 4 tasks, 0 ready, 0 timers, t=1.500s\n"
	"  task #0 \"run\" blocked in coop_run on main [spawned at coop_run:0]\n"
	"    group (coop_run:0): 1 alive\n"
	"      task #1 \"main\" blocked in coop_sleep for ever [spawned at coop_run:0]\n"
	"        group \"outer\" (test_deadlock.c:LINE): 2 alive\n"
	"          task #2 \"forgets_to_wake\" blocked in coop_handle_wait on "
	"main/outer/forgets_to_wake/inner/sleep_for_ever [spawned at test_deadlock.c:LINE]\n"
	"            group \"inner\" (test_deadlock.c:LINE): 1 alive\n"
	"              task #4 \"sleep_for_ever\" blocked in coop_sleep for ever "
	"[spawned at test_deadlock.c:LINE]\n"
	"          task #3 \"notes_the_reason\" blocked in coop_sleep for ever "
	"[spawned at test_deadlock.c:LINE]\n"
	"          scope \"careful\" (test_deadlock.c:LINE), shielded\n"
	"            scope (test_deadlock.c:LINE), shielded\n";

/* Lines of this file change; "test_deadlock.c:123" becomes "test_deadlock.c:LINE". */
static void hide_lines(char *text)
{
	static const char mark[] = "test_deadlock.c:";
	char *from = text, *to = text;

	while (*from) {
		if (strncmp(from, "../tests/core/", 14) == 0 ||
		    strncmp(from, "tests/core/", 11) == 0) {
			from = strstr(from, "core/") + 5;
		} else if (strncmp(from, mark, sizeof mark - 1) == 0) {
			memmove(to, mark, sizeof mark - 1);
			to += sizeof mark - 1;
			from += sizeof mark - 1;
			from += strspn(from, "0123456789");
			to += sprintf(to, "LINE");
			continue;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
}

TEST(everybody_blocked)
{
	static char told[sizeof records + 256];

	keep_records(COOP_LOG_ERROR);
	CHECK_INT(coop_run(stuck, NULL, &virtual_clock), ==, -EDEADLK);
	CHECK_INT(deadlocked_reasons, ==, 2); /* no shield holds, and each is told why */
	strcpy(told, records);
	hide_lines(told);
	CHECK_STR(told, stuck_dump);
	PROVES(B319);
}

/* On the real clock a program asks for it, on the virtual one it may do without. */
TEST(detected_where_it_is_asked_for)
{
	struct coop_run_opts opts = { .detect_deadlock = true };

	keep_records(COOP_LOG_ERROR);
	CHECK_INT(coop_run(sleep_for_ever, NULL, &opts), ==, -EDEADLK);
	CHECK_HAS(records, "task #1 \"main\" blocked in coop_sleep for ever");
	CHECK_INT(coop_run(sleep_for_ever, NULL, &virtual_clock), ==, -EDEADLK);
	PROVES(B319);
}

/* Main has ended, and a task of the run's own group would go on for ever: not a deadlock. */
static int leaves_one_behind(void *arg)
{
	return coop_spawn(coop_run_group(), sleep_for_ever, arg);
}

TEST(the_end_of_main_is_no_deadlock)
{
	keep_records(COOP_LOG_ERROR);
	CHECK_INT(coop_run(leaves_one_behind, NULL, &virtual_clock), ==, 0);
	CHECK_STR(records, "");
	PROVES(B319);
}

/* ---- what can still be ended */

/* A sleeper that will wake is enough: he may wake the others. */
static int wakes_the_others(void *arg)
{
	int r = coop_sleep(SEC(3600));

	coop_group_cancel(arg, "time to go");
	return r;
}

TASK_TEST(a_sleeper_is_no_deadlock)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, wakes_the_others, &g), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 3600000);
	PROVES(B319);
	return 0;
}

/* A receiver of signals: the world outside may end it, and does; once it is closed, nobody can. */
static int waits_for_the_outside(void *arg)
{
	static const int alarm_only[] = { SIGALRM };
	struct itimerval soon = { .it_value.tv_usec = 5000 };
	struct coop_signals *signals;

	(void)arg;
	CHECK_INT(coop_signals_open(alarm_only, 1, &signals), ==, 0);
	CHECK_INT(setitimer(ITIMER_REAL, &soon, NULL), ==, 0);
	CHECK_INT(coop_signals_receive(signals), ==, SIGALRM);
	say("received ");
	coop_signals_close(signals);
	return coop_sleep(COOP_NEVER);
}

TEST(a_receiver_is_no_deadlock)
{
	struct coop_run_opts real = { .detect_deadlock = true };

	keep_records(COOP_LOG_ERROR);
	CHECK_INT(coop_run(waits_for_the_outside, NULL, &virtual_clock), ==, -EDEADLK);
	CHECK_TRAIL("received ");
	CHECK_INT(coop_run(waits_for_the_outside, NULL, &real), ==, -EDEADLK);
	CHECK_TRAIL("received ");
	PROVES(B319);
}

/* Told not to look, it waits: here for a signal whose receiver only lends its place. */
static int waits_with_open_eyes(void *arg)
{
	(void)arg;
	return coop_move_on_after(SEC(5), sleep_for_ever, NULL);
}

TEST(ignored_where_it_is_asked_for)
{
	struct coop_run_opts opts = { .clock = COOP_CLOCK_VIRTUAL, .ignore_deadlock = true };

	CHECK_INT(coop_run(waits_with_open_eyes, NULL, &opts), ==, 0);
	PROVES(B319);
}

/* ---- the dump names whoever is waited for */

static int joins_the_stuck(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sleep_for_ever, arg), ==, 0);
	return coop_group_join(&g, 0);
}

TEST(a_join_is_blocked_on_its_children)
{
	keep_records(COOP_LOG_ERROR);
	CHECK_INT(coop_run(joins_the_stuck, NULL, &virtual_clock), ==, -EDEADLK);
	CHECK_HAS(records, "task #1 \"main\" blocked in coop_group_join on its children");
	PROVES(B319);
}

static int waits_for_several(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h[6];
	char name[] = "t0";
	int r = 0;

	coop_group_open(&g, NULL);
	for (int i = 0; i < 6 && r >= 0; i++) {
		struct coop_spawn_opts opts = { .name = name };

		name[1] = (char)('0' + i);
		r = coop_spawn_with(&g, sleep_for_ever, NULL, &opts, &h[i]);
	}
	r = coop_wait(h, *(size_t *)arg, COOP_WAIT_FIRST, COOP_NEVER, NULL);
	for (int i = 0; i < 6; i++)
		coop_handle_release(h[i]);
	return coop_group_join(&g, r);
}

TEST(a_wait_for_several_is_blocked_on_all_of_them)
{
	size_t few = 2, many = 6;

	keep_records(COOP_LOG_ERROR);
	CHECK_INT(coop_run(waits_for_several, &few, &virtual_clock), ==, -EDEADLK);
	CHECK_HAS(records, "blocked in coop_wait on main/t0, main/t1 [spawned");
	CHECK_INT(coop_run(waits_for_several, &many, &virtual_clock), ==, -EDEADLK);
	CHECK_HAS(records, "blocked in coop_wait on main/t0, main/t1, main/t2, 3 more [spawned");
	PROVES(B319);
}
