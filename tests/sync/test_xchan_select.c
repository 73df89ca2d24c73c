/* SPDX-License-Identifier: MIT */
/*
 * Channels between threads as cases of a select: one case is chosen, whoever is on the other side,
 * and of all others nothing has happened; a value that a thread brought is never lost.
 */
#include "xchan_help.h"

#include "base/os.h"

/* ---- ready at once */

/* The first case that is ready is completed, the others are as before; the end of a channel is a
 * way to complete; NULL is never chosen; trying waits for nothing. */
TASK_TEST(first_ready_in_order)
{
	struct coop_xchan *empty = int_xchan(1), *full = int_xchan(1), *other = int_xchan(1);
	int got[3] = { -1, -1, -1 }, nine = 9;
	struct coop_case cases[5];

	CHECK_INT(try_send(full, 5), ==, 0);
	CHECK_INT(try_send(other, 6), ==, 0);
	cases[0] = coop_case_xchan_recv(NULL, &got[0]);
	cases[1] = coop_case_xchan_recv(empty, &got[0]);
	cases[2] = coop_case_xchan_send(full, &nine);
	cases[3] = coop_case_xchan_recv(full, &got[1]);
	cases[4] = coop_case_xchan_recv(other, &got[2]);
	CHECK_INT(coop_select(cases, 5, NULL), ==, 3);
	CHECK_INT(cases[3].rc, ==, 0);
	CHECK(got[0] == -1 && got[1] == 5 && got[2] == -1);
	CHECK_INT(stats_of(other).used, ==, 1);
	CHECK_INT(coop_select(cases, 5, NULL), ==, 2); /* there is room now */
	CHECK_INT(try_recv(full), ==, 9);
	CHECK_INT(coop_select_try(cases, 2, NULL), ==, -EAGAIN);
	nobody_waits(empty);
	coop_xchan_close(empty, false);
	CHECK_INT(coop_select(cases, 5, NULL), ==, 1);
	CHECK_INT(cases[1].rc, ==, COOP_EOF);
	coop_xchan_close(full, false);
	CHECK_INT(coop_select(&cases[2], 1, NULL), ==, 0);
	CHECK_INT(cases[2].rc, ==, COOP_ECLOSED);
	CHECK_INT(stats_of(other).used, ==, 1);
	coop_xchan_unref(empty);
	coop_xchan_unref(full);
	coop_xchan_unref(other);
	PROVES(B174);
	return 0;
}

/* Of several that are ready a fair select chooses each as often. */
TASK_TEST(fair)
{
	struct coop_select_opts opts = { .fair = true };
	struct coop_xchan *x[3];
	struct coop_case cases[3];
	int got[3], chosen[3] = { 0, 0, 0 };

	for (int i = 0; i < 3; i++) {
		x[i] = int_xchan(1);
		cases[i] = coop_case_xchan_recv(x[i], &got[i]);
		CHECK_INT(try_send(x[i], i), ==, 0);
	}
	for (int n = 0; n < 300; n++) {
		int i = coop_select(cases, 3, &opts);

		CHECK(i >= 0 && i < 3 && got[i] == i);
		chosen[i]++;
		CHECK_INT(try_send(x[i], i), ==, 0);
	}
	for (int i = 0; i < 3; i++) {
		CHECK(chosen[i] > 60);
		coop_xchan_unref(x[i]);
	}
	return 0;
}

/* ---- later */

/* A select that waits at everything at once: whichever is completed first, it is the only one. */
TASK_TEST(only_the_chosen_has_an_effect)
{
	for (int way = 0; way < 4; way++) {
		struct coop_xchan *in = int_xchan(0), *out = int_xchan(1);
		struct coop_group g = COOP_GROUP_INIT;
		struct coop_event event = COOP_EVENT_INIT;
		struct coop_chan *local;
		struct chooser c = { .values = { -1, 77, -1 }, .count = 4 };
		int rc;

		CHECK_INT(coop_chan_new(sizeof(int), NULL, &local), ==, 0);
		CHECK_INT(try_send(out, 1), ==, 0);
		c.cases[0] = coop_case_xchan_recv(in, &c.values[0]);
		c.cases[1] = coop_case_xchan_send(out, &c.values[1]);
		c.cases[2] = coop_case_recv(local, &c.values[2]);
		c.cases[3] = coop_case_event(&event);
		coop_group_open(&g, NULL);
		start_chooser(&g, &c);
		CHECK_INT(stats_of(in).receivers, ==, 1);
		CHECK_INT(stats_of(out).senders, ==, 1);
		switch (way) {
		case 0: CHECK_INT(try_send(in, 50), ==, 0); break;
		case 1: CHECK_INT(try_recv(out), ==, 1); break;
		case 2: CHECK_INT(coop_chan_try_send(local, &(int){ 52 }), ==, 0); break;
		case 3: coop_event_set(&event); break;
		}
		settle();
		CHECK(c.ended);
		CHECK_INT(c.result, ==, way);
		CHECK_INT(c.cases[way].rc, ==, 0);
		CHECK_INT(c.values[0], ==, way == 0 ? 50 : -1);
		CHECK_INT(c.values[2], ==, way == 2 ? 52 : -1);
		CHECK_INT(try_recv(out), ==, way == 1 ? 77 : way == 0 || way >= 2 ? 1 : -1);
		CHECK_INT(try_recv(out), ==, -EAGAIN);
		CHECK_INT(try_send(in, 51), ==, -EAGAIN);
		rc = coop_chan_try_send(local, &(int){ 53 });
		CHECK_INT(rc, ==, -EAGAIN);
		nobody_waits(in);
		nobody_waits(out);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		CHECK_INT(cp_rt->external, ==, 0);
		coop_chan_free(local);
		coop_xchan_unref(in);
		coop_xchan_unref(out);
	}
	PROVES(B174);
	return 0;
}

static int sends_by_select(void *arg)
{
	int n = 31;
	struct coop_case c = coop_case_xchan_send(arg, &n);

	CHECK_INT(coop_select(&c, 1, NULL), ==, 0);
	return c.rc;
}

/* Two selects of one run meet at a channel without a buffer, whichever was first; and a select
 * that waits does not meet itself. */
TASK_TEST(selects_meet)
{
	for (int first = 0; first < 2; first++) {
		struct coop_xchan *x = int_xchan(0);
		struct coop_group g = COOP_GROUP_INIT;
		struct chooser c = { .count = 2 };
		int n = 3;

		c.cases[0] = coop_case_xchan_recv(x, &c.values[0]);
		c.cases[1] = coop_case_xchan_send(x, &n);
		if (first)
			c.count = 1;
		coop_group_open(&g, NULL);
		if (first)
			CHECK_INT(coop_spawn(&g, sends_by_select, x), ==, 0);
		CHECK_INT(coop_yield(), ==, 0);
		if (first) {
			CHECK_INT(coop_spawn(&g, chooses, &c), ==, 0);
		} else {
			start_chooser(&g, &c);
			settle();
			CHECK(!c.ended);
			CHECK_INT(coop_spawn(&g, sends_by_select, x), ==, 0);
		}
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		CHECK(c.ended && c.result == 0 && c.values[0] == 31);
		nobody_waits(x);
		CHECK_INT(stats_of(x).sent, ==, 1);
		CHECK_INT(stats_of(x).received, ==, 1);
		coop_xchan_unref(x);
	}
	return 0;
}

/* A cancelled select has taken nothing and waits nowhere; one that was completed keeps that. */
TASK_TEST(cancels)
{
	for (int completed = 0; completed < 2; completed++) {
		struct coop_xchan *x = int_xchan(0), *y = int_xchan(0);
		struct coop_group g = COOP_GROUP_INIT;
		struct chooser c = { .count = 2 };
		int n = 3;

		c.cases[0] = coop_case_xchan_recv(x, &c.values[0]);
		c.cases[1] = coop_case_xchan_send(y, &n);
		coop_group_open(&g, NULL);
		start_chooser(&g, &c);
		if (completed)
			CHECK_INT(try_send(x, 4), ==, 0);
		coop_group_cancel(&g, "enough");
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		CHECK_INT(c.result, ==, completed ? 0 : COOP_ECANCELED);
		CHECK_INT(c.values[0], ==, completed ? 4 : 0);
		CHECK_INT(stats_of(x).sent, ==, (uint64_t)completed);
		CHECK_INT(try_recv(y), ==, -EAGAIN);
		nobody_waits(x);
		nobody_waits(y);
		coop_xchan_unref(x);
		coop_xchan_unref(y);
	}
	PROVES(B174);
	return 0;
}

/* A time limit is none of the channel's business. */
TASK_TEST(time_limit)
{
	struct coop_xchan *x = int_xchan(0);
	struct coop_case cases[2];
	int n = -1;

	cases[0] = coop_case_xchan_recv(x, &n);
	cases[1] = coop_case_timeout(MS(5));
	CHECK_INT(coop_select(cases, 1, &(struct coop_select_opts){ .timeout_ns = MS(3) }), ==,
		  COOP_ETIMEDOUT);
	CHECK_INT(now_ms(), ==, 3);
	CHECK_INT(coop_select(cases, 2, NULL), ==, 1);
	CHECK_INT(now_ms(), ==, 8);
	CHECK_INT(n, ==, -1);
	nobody_waits(x);
	coop_xchan_unref(x);
	return 0;
}

/* Closing completes a case of each select that waits. */
TASK_TEST(a_close_wakes)
{
	struct coop_xchan *x = int_xchan(0), *y = int_xchan(0);
	struct coop_group g = COOP_GROUP_INIT;
	struct chooser c[4] = { 0 };
	int n = 1;

	coop_group_open(&g, NULL);
	for (int i = 0; i < 4; i++) {
		c[i].count = 2;
		c[i].cases[0] = coop_case_recv(NULL, NULL);
		c[i].cases[1] = i < 2 ? coop_case_xchan_recv(x, &n) : coop_case_xchan_send(y, &n);
		start_chooser(&g, &c[i]);
	}
	CHECK_INT(coop_xchan_close(x, false), ==, 0);
	CHECK_INT(coop_xchan_close(y, true), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	for (int i = 0; i < 4; i++) {
		CHECK_INT(c[i].result, ==, 1);
		CHECK_INT(c[i].cases[1].rc, ==, i < 2 ? COOP_EOF : COOP_ECLOSED);
	}
	nobody_waits(x);
	nobody_waits(y);
	coop_xchan_unref(x);
	coop_xchan_unref(y);
	return 0;
}

/* ---- what a thread has brought, and the loop has not heard of */

static void *sends_44(void *arg)
{
	CHECK_INT(try_send(arg, 44), ==, 0);
	return NULL;
}

/* A case is told of a value and the select chooses something else, or is cancelled, before it
 * hears of it: the value stays, and the next select that waits for it is told instead. */
TASK_TEST(told_and_left)
{
	for (int way = 0; way < 2; way++) {
		struct coop_xchan *x = int_xchan(1);
		struct coop_event event = COOP_EVENT_INIT;
		struct coop_group g = COOP_GROUP_INIT, second = COOP_GROUP_INIT;
		struct chooser c[2] = { { .count = 2 }, { .count = 1 } };

		for (int i = 0; i < 2; i++) {
			c[i].cases[0] = coop_case_xchan_recv(x, &c[i].values[0]);
			c[i].cases[1] = coop_case_event(&event);
		}
		coop_group_open(&second, NULL);
		coop_group_open(&g, NULL);
		start_chooser(&g, &c[0]);
		start_chooser(&second, &c[1]);
		pthread_join(thread(sends_44, x), NULL); /* no turn of the loop in between */
		if (way)
			coop_group_cancel(&g, "enough");
		else
			coop_event_set(&event);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		CHECK_INT(c[0].result, ==, way ? COOP_ECANCELED : 1);
		CHECK_INT(c[0].values[0], ==, 0);
		CHECK_INT(coop_group_join(&second, 0), ==, 0);
		CHECK_INT(c[1].result, ==, 0);
		CHECK_INT(c[1].values[0], ==, 44);
		nobody_waits(x);
		CHECK_INT(cp_rt->external, ==, 0);
		coop_xchan_unref(x);
	}
	PROVES(B174);
	return 0;
}

/* A value that a select was told of, and that somebody else has taken before it came: it waits on,
 * before those that came after it. */
TASK_TEST(told_and_too_late)
{
	struct coop_xchan *x = int_xchan(2);
	struct coop_group g = COOP_GROUP_INIT;
	struct chooser c[2] = { { .count = 1 }, { .count = 1 } };

	coop_group_open(&g, NULL);
	for (int i = 0; i < 2; i++) {
		c[i].cases[0] = coop_case_xchan_recv(x, &c[i].values[0]);
		start_chooser(&g, &c[i]);
	}
	pthread_join(thread(sends_44, x), NULL);
	CHECK_INT(try_recv(x), ==, 44);
	settle();
	CHECK(!c[0].ended && !c[1].ended);
	CHECK_INT(stats_of(x).receivers, ==, 2);
	CHECK_INT(try_send(x, 45), ==, 0);
	settle();
	CHECK(c[0].ended && !c[1].ended);
	CHECK_INT(try_send(x, 46), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK(c[0].values[0] == 45 && c[1].values[0] == 46);
	coop_xchan_unref(x);
	return 0;
}

/* Several values brought at once are for as many selects. */
TASK_TEST(each_value_tells_one)
{
	struct coop_xchan *x = int_xchan(4);
	struct coop_group g = COOP_GROUP_INIT;
	struct chooser c[4] = { 0 };
	unsigned got = 0;

	coop_group_open(&g, NULL);
	for (int i = 0; i < 4; i++) {
		c[i].count = 1;
		c[i].cases[0] = coop_case_xchan_recv(x, &c[i].values[0]);
		start_chooser(&g, &c[i]);
	}
	for (int i = 0; i < 4; i++)
		CHECK_INT(try_send(x, i), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	for (int i = 0; i < 4; i++)
		got |= 1u << c[i].values[0];
	CHECK_INT(got, ==, 15);
	coop_xchan_unref(x);
	return 0;
}

/* ---- without memory */

static int first_wait(void *arg)
{
	struct coop_case c = coop_case_xchan_recv(arg, NULL);

	cp_os_faults.alloc_fail_on = 0;
	cp_os_faults.alloc_fail_at = cp_os_faults.alloc_calls + 1;
	CHECK_INT(coop_select(&c, 1, NULL), ==, 0);
	cp_os_faults.alloc_fail_at = 0;
	CHECK_INT(c.rc, ==, -ENOMEM);
	nobody_waits(arg);
	CHECK_INT(coop_select_try(&c, 1, NULL), ==, -EAGAIN);
	return 0;
}

/* The first wait of a run that gets no memory completes with that, and has changed nothing. */
TEST(no_memory_to_wait)
{
	struct coop_xchan *x = int_xchan(0);

	CHECK_INT(coop_run(first_wait, x, &virtual_clock), ==, 0);
	coop_xchan_unref(x);
}

/* ---- threads, and runs of theirs */

static void *echo(void *arg)
{
	struct coop_xchan **x = arg;
	int n;

	while (coop_xchan_recv_thread(x[0], &n, COOP_NEVER) == 0) {
		n++;
		CHECK_INT(coop_xchan_send_thread(x[1], &n, COOP_NEVER), ==, 0);
	}
	return NULL;
}

static int ping(void *arg)
{
	struct coop_xchan **x = arg;
	pthread_t t = thread(echo, x);
	int out = 0, in = 0;
	struct coop_case cases[2];

	cases[0] = coop_case_xchan_recv(x[1], &in);
	for (int i = 0; i < TEST_COUNT(2000, 200); i++) {
		out = i;
		cases[1] = coop_case_xchan_send(x[0], &out);
		CHECK_INT(coop_select(cases, 2, NULL), ==, 1);
		cases[1] = coop_case_xchan_send(NULL, NULL);
		CHECK_INT(coop_select(cases, 2, NULL), ==, 0);
		CHECK_INT(in, ==, i + 1);
	}
	coop_xchan_close(x[0], false);
	pthread_join(t, NULL);
	return 0;
}

/* A select and a thread, to and fro, without a buffer, with one, on either clock. */
TEST(a_select_and_a_thread)
{
	for (uint32_t cap = 0; cap < 2; cap++) {
		for (int clock = 0; clock < 2; clock++) {
			struct coop_xchan *x[2] = { int_xchan(cap), int_xchan(cap) };

			CHECK_INT(coop_run(ping, x, clock ? &virtual_clock : NULL), ==, 0);
			nobody_waits(x[0]);
			nobody_waits(x[1]);
			coop_xchan_unref(x[0]);
			coop_xchan_unref(x[1]);
		}
	}
}

/* Three channels of 0, 1 and 7; values from threads and from selects in two runs, to threads and
 * to selects in two runs, with limits that strike at any moment, and with tries in between. Each
 * value is one of its own. */
#define CHANS 3
#define SENDERS 4 /* half of them threads */
#define PER_SENDER TEST_COUNT(2000, 200)
#define PER_SENDER_MAX 2000

static struct coop_xchan *chans[CHANS];
static uint8_t received[SENDERS * PER_SENDER_MAX]; /* atomic counts */
static uint32_t senders_left;                      /* atomic */

static unsigned draw(unsigned *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 16;
}

static void was_received(int n)
{
	CHECK(n >= 0 && n < SENDERS * PER_SENDER_MAX);
	CHECK_INT(__atomic_add_fetch(&received[n], 1, __ATOMIC_RELAXED), ==, 1);
}

static void sender_ended(void)
{
	if (__atomic_sub_fetch(&senders_left, 1, __ATOMIC_ACQ_REL) == 0)
		for (int i = 0; i < CHANS; i++)
			coop_xchan_close(chans[i], false);
}

static void *thread_sends(void *arg)
{
	int base = (int)(intptr_t)arg * PER_SENDER_MAX;
	unsigned seed = (unsigned)base + 1;

	for (int i = 0; i < PER_SENDER;) {
		int n = base + i;
		int r = coop_xchan_send_thread(chans[draw(&seed) % CHANS], &n, draw(&seed) & 1023);

		CHECK(r == 0 || r == COOP_ETIMEDOUT);
		i += r == 0;
	}
	sender_ended();
	return NULL;
}

static void *thread_receives(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg, open = CHANS;

	while (open) {
		int n, r = coop_xchan_recv_thread(chans[open - 1], &n, draw(&seed) & 4095);

		if (r == 0)
			was_received(n);
		open -= r == COOP_EOF;
	}
	return NULL;
}

static int task_sends(void *arg)
{
	int base = (int)(intptr_t)arg * PER_SENDER_MAX;
	unsigned seed = (unsigned)base + 1;

	for (int i = 0; i < PER_SENDER;) {
		struct coop_case cases[CHANS];
		int n = base + i, r;

		if (!(draw(&seed) & 3)) {
			r = coop_xchan_try_send(chans[draw(&seed) % CHANS], &n);
			CHECK(r == 0 || r == -EAGAIN);
			i += r == 0;
			continue;
		}
		for (int k = 0; k < CHANS; k++)
			cases[k] = coop_case_xchan_send(chans[k], &n);
		r = limited_select(cases, CHANS, draw(&seed));
		CHECK(r >= 0 ? cases[r].rc == 0 : r == COOP_ECANCELED);
		i += r >= 0;
	}
	sender_ended();
	return 0;
}

static int task_receives(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg, open = CHANS;
	struct coop_case cases[CHANS];
	int n[CHANS];

	for (int k = 0; k < CHANS; k++)
		cases[k] = coop_case_xchan_recv(chans[k], &n[k]);
	while (open) {
		int r;

		if (!(draw(&seed) & 3)) {
			r = coop_xchan_try_recv(chans[draw(&seed) % CHANS], &n[0]);
			CHECK(r == 0 || r == -EAGAIN || r == COOP_EOF);
			if (r == 0)
				was_received(n[0]);
		}
		r = limited_select(cases, CHANS, draw(&seed));
		if (r == COOP_ECANCELED)
			continue;
		CHECK_INT(r, >=, 0);
		if (cases[r].rc == 0) {
			was_received(n[r]);
			continue;
		}
		CHECK_INT(cases[r].rc, ==, COOP_EOF);
		cases[r] = coop_case_xchan_recv(NULL, NULL);
		open--;
	}
	return 0;
}

/* A run with a sender that selects and two receivers that do. */
static int one_run(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, task_sends, arg), ==, 0);
	CHECK_INT(coop_spawn(&g, task_receives, arg), ==, 0);
	CHECK_INT(coop_spawn(&g, task_receives, MSARG(77)), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(cp_rt->external, ==, 0);
	return 0;
}

static void *run_of_a_thread(void *arg)
{
	CHECK_INT(coop_run(one_run, arg, NULL), ==, 0);
	return NULL;
}

TEST(nothing_is_lost_or_taken_twice)
{
	static const uint32_t caps[CHANS] = { 0, 1, 7 };
	pthread_t t[SENDERS + 1];

	TEST_SECONDS(60);
	senders_left = SENDERS;
	for (int i = 0; i < CHANS; i++)
		chans[i] = int_xchan(caps[i]);
	for (intptr_t i = 0; i < SENDERS; i++)
		t[i] = thread(i < 2 ? thread_sends : run_of_a_thread, (void *)i);
	t[SENDERS] = thread(thread_receives, (void *)5);
	for (int i = 0; i <= SENDERS; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < SENDERS; i++)
		for (int k = 0; k < PER_SENDER; k++)
			CHECK_INT(received[i * PER_SENDER_MAX + k], ==, 1);
	for (int i = 0; i < CHANS; i++) {
		nobody_waits(chans[i]);
		CHECK_INT(stats_of(chans[i]).sent, ==, stats_of(chans[i]).received);
		coop_xchan_unref(chans[i]);
	}
	PROVES(B174, B242);
}
