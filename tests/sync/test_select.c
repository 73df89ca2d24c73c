/* SPDX-License-Identifier: MIT */
/*
 * Select: one case is chosen and has its effect, of all others nothing happens; however it ends:
 * at once, later, by time, by a cancel, by a close.
 */
#include "chan_help.h"
#include "select_help.h"

static void start_chooser(struct coop_group *g, struct chooser *c)
{
	c->ended = false;
	CHECK_INT(coop_spawn_with(g, chooses, c, NULL, &c->handle), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
}

static void end_chooser(struct chooser *c)
{
	settle();
	CHECK(c->ended);
	coop_handle_release(c->handle);
}

static void nobody_waits(struct coop_chan *chan)
{
	CHECK_INT(stats_of(chan).senders, ==, 0);
	CHECK_INT(stats_of(chan).receivers, ==, 0);
}

static const char *message_of(int code)
{
	struct coop_error_info info;

	coop_error_describe(coop_error_peek(code), &info);
	return info.message;
}

/* ---- ready at once */

/* The first case that is ready is completed; the others, ready or not, are as before. */
TASK_TEST(first_ready_in_order)
{
	struct coop_chan *empty = int_chan(1), *full = int_chan(1), *other = int_chan(1);
	struct coop_case cases[4];
	int got[3] = { -1, -1, -1 };

	CHECK_INT(try_send(full, 5), ==, 0);
	CHECK_INT(try_send(other, 6), ==, 0);
	cases[0] = coop_case_recv(empty, &got[0]);
	cases[1] = coop_case_send(full, &(int){ 9 });
	cases[2] = coop_case_recv(full, &got[1]);
	cases[3] = coop_case_recv(other, &got[2]);
	CHECK_INT(coop_select(cases, 4, NULL), ==, 2);
	CHECK_INT(cases[2].rc, ==, 0);
	CHECK(got[0] == -1 && got[1] == 5 && got[2] == -1);
	CHECK_INT(stats_of(other).used, ==, 1);
	CHECK_INT(coop_select(cases, 4, NULL), ==, 1); /* there is room now */
	CHECK_INT(try_recv(full), ==, 9);
	CHECK_INT(coop_select(&cases[3], 1, NULL), ==, 0);
	CHECK_INT(got[2], ==, 6);
	PROVES(B174);
	coop_chan_free(empty);
	coop_chan_free(full);
	coop_chan_free(other);
	return 0;
}

/* Try completes a case or says that none is ready; it is no checkpoint, select is one. */
TASK_TEST(try_and_checkpoints)
{
	struct coop_chan *chan = int_chan(1);
	struct coop_case cases[2];
	struct coop_checkpoint_mark mark = coop_test_checkpoints();
	int got = -1;

	cases[0] = coop_case_recv(chan, &got);
	cases[1] = coop_case_deadline(coop_now() + 1);
	CHECK_INT(coop_select_try(cases, 2, NULL), ==, -EAGAIN);
	CHECK_INT(try_send(chan, 3), ==, 0);
	CHECK_INT(coop_select_try(cases, 2, NULL), ==, 0);
	CHECK_INT(got, ==, 3);
	coop_assert_no_checkpoint(mark);
	nobody_waits(chan);
	CHECK_INT(try_send(chan, 4), ==, 0);
	CHECK_INT(coop_select(cases, 2, NULL), ==, 0);
	coop_assert_checkpoint(mark);
	coop_chan_free(chan);
	return 0;
}

/* ---- waiting */

/* What waits in four places is given one thing, and is gone from all places at once. */
TASK_TEST(only_the_chosen_has_an_effect)
{
	struct coop_chan *a = int_chan(0), *b = int_chan(0), *c = int_chan(0);
	struct coop_group g = COOP_GROUP_INIT;
	struct chooser s = { .count = 4, .values = { -1, -1, 30, -1 } };

	coop_group_open(&g, NULL);
	s.cases[0] = coop_case_recv(a, &s.values[0]);
	s.cases[1] = coop_case_recv(b, &s.values[1]);
	s.cases[2] = coop_case_send(c, &s.values[2]);
	s.cases[3] = coop_case_timeout(SEC(1));
	start_chooser(&g, &s);
	CHECK_INT(stats_of(a).receivers, ==, 1);
	CHECK_INT(stats_of(b).receivers, ==, 1);
	CHECK_INT(stats_of(c).senders, ==, 1);
	CHECK_INT(try_send(b, 20), ==, 0);
	CHECK(!s.ended);
	CHECK_INT(try_send(a, 10), ==, -EAGAIN); /* before it has run */
	CHECK_INT(try_recv(c), ==, -EAGAIN);
	CHECK_INT(try_send(b, 21), ==, -EAGAIN);
	end_chooser(&s);
	CHECK_INT(s.result, ==, 1);
	CHECK_INT(s.cases[1].rc, ==, 0);
	CHECK(s.values[0] == -1 && s.values[1] == 20);
	CHECK_INT(s.at_ms, ==, 0);

	start_chooser(&g, &s);
	CHECK_INT(try_recv(c), ==, 30);
	CHECK_INT(try_send(a, 10), ==, -EAGAIN);
	end_chooser(&s);
	CHECK_INT(s.result, ==, 2);
	nobody_waits(a);
	nobody_waits(b);
	PROVES(B174);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_chan_free(a);
	coop_chan_free(b);
	coop_chan_free(c);
	return 0;
}

/* Cancelled, none has had an effect, and nothing of it waits any more. */
TASK_TEST(cancelled_select)
{
	struct coop_chan *a = int_chan(0), *b = int_chan(0);
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope scope = COOP_SCOPE_INIT;
	struct chooser s = { .count = 2, .values = { -1, 7 } };

	coop_group_open(&g, NULL);
	s.cases[0] = coop_case_recv(a, &s.values[0]);
	s.cases[1] = coop_case_send(b, &s.values[1]);
	for (int limited = 0; limited < 2; limited++) {
		s.opts.timeout_ns = limited ? SEC(1) : 0;
		start_chooser(&g, &s);
		CHECK_INT(coop_handle_cancel(s.handle, NULL), ==, 0);
		CHECK_INT(try_send(a, 1), ==, -EAGAIN);
		CHECK_INT(try_recv(b), ==, -EAGAIN);
		end_chooser(&s);
		CHECK_INT(s.result, ==, COOP_ECANCELED);
		CHECK_INT(s.values[0], ==, -1);
	}
	coop_scope_open(&scope, NULL);
	coop_scope_cancel(&scope, NULL);
	CHECK_INT(coop_select(s.cases, 2, NULL), ==, COOP_ECANCELED);
	nobody_waits(a);
	CHECK_INT(coop_scope_close(&scope, COOP_ECANCELED), ==, 0);
	PROVES(B174);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_chan_free(a);
	coop_chan_free(b);
	return 0;
}

/* Chosen and then cancelled before it ran, it was chosen; so with a time limit. */
TASK_TEST(chosen_then_cancelled)
{
	struct coop_chan *a = int_chan(0), *b = int_chan(0);
	struct coop_group g = COOP_GROUP_INIT;
	struct chooser s = { .count = 2 };

	coop_group_open(&g, NULL);
	s.cases[0] = coop_case_recv(a, &s.values[0]);
	s.cases[1] = coop_case_recv(b, &s.values[1]);
	for (int limited = 0; limited < 2; limited++) {
		s.opts.timeout_ns = limited ? SEC(1) : 0;
		s.values[1] = -1;
		start_chooser(&g, &s);
		CHECK_INT(try_send(b, 4), ==, 0);
		CHECK_INT(coop_handle_cancel(s.handle, NULL), ==, 0);
		end_chooser(&s);
		CHECK_INT(s.result, ==, 1);
		CHECK_INT(s.values[1], ==, 4);
	}
	PROVES(B174, B227);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_chan_free(a);
	coop_chan_free(b);
	return 0;
}

/* ---- the end of channels */

/* A close completes the case, with the code the plain call would have returned. */
TASK_TEST(closes_complete_a_case)
{
	struct coop_chan *a, *b = int_chan(0), *rx;
	struct coop_group g = COOP_GROUP_INIT;
	struct chooser s = { .count = 2 };

	coop_group_open(&g, NULL);
	s.cases[1] = coop_case_recv(b, &s.values[1]);
	for (int how = 0; how < 4; how++) {
		a = int_chan(0);
		CHECK_INT(coop_chan_clone_recv(a, &rx), ==, 0);
		s.cases[0] =
			how < 2 ? coop_case_recv(a, &s.values[0]) : coop_case_send(a, &s.values[0]);
		start_chooser(&g, &s);
		if (how == 0)
			coop_chan_close_send(a);
		else if (how == 1)
			coop_chan_close_recv(a);
		else if (how == 2)
			coop_chan_close_send(a);
		coop_chan_free(rx);
		if (how == 3)
			coop_chan_close_recv(a);
		CHECK_INT(try_send(b, 1), ==, -EAGAIN);
		end_chooser(&s);
		CHECK_INT(s.result, ==, 0);
		CHECK_INT(s.cases[0].rc, ==,
			  how == 0   ? COOP_EOF
			  : how == 3 ? -EPIPE
				     : COOP_ECLOSED);
		CHECK_INT(coop_select(s.cases, 2, NULL), ==, 0); /* and stays so */
		coop_chan_free(a);
	}
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_chan_free(b);
	return 0;
}

/* A hold may be freed while a select waits on it: twice, and on another channel too. */
TASK_TEST(freed_under_a_select)
{
	struct coop_chan *a = int_chan(0), *b = int_chan(0);
	struct coop_group g = COOP_GROUP_INIT;
	struct chooser s = { .count = 4 };
	struct call other = { 0 };

	coop_group_open(&g, NULL);
	s.cases[0] = coop_case_recv(b, &s.values[0]);
	s.cases[1] = coop_case_recv(a, &s.values[1]);
	s.cases[2] = coop_case_recv(a, &s.values[2]);
	s.cases[3] = coop_case_recv(a, &s.values[3]);
	start_chooser(&g, &s);
	receives(&g, &other, a);
	coop_chan_free(a);
	end_chooser(&s);
	CHECK_INT(s.result, ==, 1);
	CHECK_INT(s.cases[1].rc, ==, COOP_ECLOSED);
	CHECK_INT(other.rc, ==, COOP_ECLOSED);
	nobody_waits(b);
	finish(&g, &other, 1);
	coop_chan_free(b);
	return 0;
}

/* ---- time */

/* The limit of the options: an error, and nothing waits any more. */
TASK_TEST(time_limit)
{
	struct coop_chan *chan = int_chan(0);
	struct coop_case c = coop_case_recv(chan, &(int){ 0 });
	struct coop_select_opts opts = { .timeout_ns = MS(5) };

	CHECK_INT(coop_select(&c, 1, &opts), ==, COOP_ETIMEDOUT);
	CHECK_INT(now_ms(), ==, 5);
	nobody_waits(chan);
	CHECK(!coop_cancelled());
	CHECK_INT(coop_checkpoint(), ==, 0);
	coop_chan_free(chan);
	return 0;
}

/* Timers are cases: the earliest is chosen, in order where they are due already. */
TASK_TEST(timers_are_cases)
{
	struct coop_chan *chan = int_chan(1);
	int64_t start = coop_now();
	struct coop_case c[4];
	int got = -1;

	c[0] = coop_case_deadline(start + MS(20));
	c[1] = coop_case_timeout(MS(10));
	c[2] = coop_case_recv(chan, &got);
	c[3] = coop_case_deadline(COOP_NEVER);
	CHECK_INT(coop_select(c, 4, NULL), ==, 1);
	CHECK_INT(now_ms(), ==, 10);
	c[1] = coop_case_timeout(MS(15));
	CHECK_INT(coop_select(c, 4, NULL), ==, 0);
	CHECK_INT(c[0].rc, ==, 0);
	CHECK_INT(now_ms(), ==, 20);
	CHECK_INT(coop_select(c, 4, NULL), ==, 0); /* it is past */
	CHECK_INT(now_ms(), ==, 20);
	CHECK_INT(try_send(chan, 1), ==, 0);
	CHECK_INT(coop_select(&c[1], 3, &(struct coop_select_opts){ .timeout_ns = 1 }), ==, 1);
	CHECK_INT(got, ==, 1);
	c[1] = coop_case_timeout(0);
	CHECK_INT(coop_select(&c[1], 3, NULL), ==, 0);
	coop_chan_free(chan);
	return 0;
}

/* A value and the limit at the same time: what came first counts, and nothing is lost. */
static int sends_at_5(void *arg)
{
	int r = coop_sleep(MS(5));

	return r < 0 ? r : coop_chan_try_send(arg, &(int){ 8 });
}

TASK_TEST(value_and_limit_at_once)
{
	struct coop_chan *chan = int_chan(1);
	struct coop_group g = COOP_GROUP_INIT;
	int got = -1;
	struct coop_case c = coop_case_recv(chan, &got);

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sends_at_5, chan), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
	CHECK_INT(coop_select(&c, 1, &(struct coop_select_opts){ .timeout_ns = MS(5) }), ==,
		  COOP_ETIMEDOUT);
	CHECK_INT(got, ==, -1);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(try_recv(chan), ==, 8);
	coop_chan_free(chan);
	return 0;
}

/* A limit outside and one of the select at the same time: the outer one wins. */
static int selects_for_5(void *arg)
{
	return coop_select(arg, 1, &(struct coop_select_opts){ .timeout_ns = MS(5) });
}

TASK_TEST(limit_and_outer_limit)
{
	struct coop_chan *chan = int_chan(1);
	struct coop_case c = coop_case_recv(chan, &(int){ 0 });

	CHECK_INT(coop_fail_after(MS(5), selects_for_5, &c), ==, COOP_ETIMEDOUT);
	CHECK_HAS(message_of(COOP_ETIMEDOUT), "time limit of 0.005s"); /* the scope's */
	coop_error_clear();
	CHECK_INT(coop_fail_after(MS(6), selects_for_5, &c), ==, COOP_ETIMEDOUT);
	CHECK(!strstr(message_of(COOP_ETIMEDOUT), "time limit of")); /* the bare code */
	nobody_waits(chan);
	coop_chan_free(chan);
	return 0;
}

/* A select with a time limit in a clean-up leaves the error that is on its way. */
TASK_TEST(error_on_its_way)
{
	struct coop_chan *chan = int_chan(1);
	struct coop_case c = coop_case_recv(chan, &(int){ 0 });
	int r = coop_fail(-EIO, "the disk is on fire");

	CHECK_INT(coop_select(&c, 1, &(struct coop_select_opts){ .timeout_ns = 1 }), ==,
		  COOP_ETIMEDOUT);
	CHECK_STR(message_of(r), "the disk is on fire");
	coop_error_clear();
	coop_chan_free(chan);
	return 0;
}

/* ---- fairness */

static int fair_picks[4], fair_trace[2][64];

static int picks_fairly(void *arg)
{
	struct coop_select_opts fair = { .fair = true };
	struct coop_chan *chans[4];
	struct coop_case cases[4];
	int *trace = arg, got;

	for (int i = 0; i < 4; i++) {
		chans[i] = int_chan(1);
		cases[i] = coop_case_recv(chans[i], &got);
		CHECK_INT(try_send(chans[i], i), ==, 0);
	}
	memset(fair_picks, 0, sizeof fair_picks);
	for (int n = 0; n < 4000; n++) {
		int i = n % 2 ? coop_select(cases, 4, &fair) : coop_select_try(cases, 4, &fair);

		CHECK(i >= 0 && i < 4 && got == i);
		fair_picks[i]++;
		if (n < 64)
			trace[n] = i;
		CHECK_INT(try_send(chans[i], i), ==, 0);
	}
	for (int i = 0; i < 4; i++)
		coop_chan_free(chans[i]);
	return 0;
}

/* With everything always ready each is chosen as often, without a seed, the same in each run. */
TEST(fair_and_repeatable)
{
	for (int run = 0; run < 2; run++) {
		CHECK_INT(coop_run(picks_fairly, fair_trace[run], &virtual_clock), ==, 0);
		for (int i = 0; i < 4; i++)
			CHECK(fair_picks[i] > 850 && fair_picks[i] < 1150);
	}
	CHECK(memcmp(fair_trace[0], fair_trace[1], sizeof fair_trace[0]) == 0);
}

/* ---- selects that meet */

/* A select that could send to itself does not; two of them meet each other, each once. */
TASK_TEST(selects_meet)
{
	struct coop_chan *chan = int_chan(0);
	struct coop_group g = COOP_GROUP_INIT;
	struct chooser s[2];

	coop_group_open(&g, NULL);
	for (int i = 0; i < 2; i++) {
		s[i] = (struct chooser){ .count = 2, .values = { -1, 40 + i } };
		s[i].cases[0] = coop_case_recv(chan, &s[i].values[0]);
		s[i].cases[1] = coop_case_send(chan, &s[i].values[1]);
	}
	start_chooser(&g, &s[0]);
	CHECK(!s[0].ended);
	start_chooser(&g, &s[1]);
	end_chooser(&s[0]);
	end_chooser(&s[1]);
	CHECK_INT(s[1].result, ==, 0); /* it came later: its first case met the other's second */
	CHECK_INT(s[1].values[0], ==, 40);
	CHECK_INT(s[0].result, ==, 1);
	CHECK_INT(s[0].values[0], ==, -1);
	nobody_waits(chan);
	PROVES(B174);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_chan_free(chan);
	return 0;
}

/* Those who wait are served in order, whether by a select or a plain call. */
TASK_TEST(select_waits_in_order)
{
	struct coop_chan *chan = int_chan(0), *other = int_chan(0);
	struct coop_group g = COOP_GROUP_INIT;
	struct chooser s = { .count = 2 };
	struct call c[2] = { 0 };

	coop_group_open(&g, NULL);
	s.cases[0] = coop_case_recv(chan, &s.values[0]);
	s.cases[1] = coop_case_recv(other, &s.values[1]);
	receives(&g, &c[0], chan);
	start_chooser(&g, &s);
	receives(&g, &c[1], chan);
	for (int i = 0; i < 3; i++)
		CHECK_INT(try_send(chan, i), ==, 0);
	end_chooser(&s);
	CHECK(c[0].value == 0 && s.values[0] == 1 && c[1].value == 2);
	PROVES(B223);
	finish(&g, c, 2);
	coop_chan_free(chan);
	coop_chan_free(other);
	return 0;
}

/* ---- cases that are none */

/* A case without a channel is never chosen. */
TASK_TEST(case_without_a_channel)
{
	struct coop_case c[3];

	c[0] = coop_case_recv(NULL, NULL);
	c[1] = coop_case_send(NULL, NULL);
	c[2] = coop_case_timeout(MS(3));
	CHECK_INT(coop_select_try(c, 3, NULL), ==, -EAGAIN);
	CHECK_INT(coop_select(c, 3, NULL), ==, 2);
	CHECK_INT(now_ms(), ==, 3);
	return 0;
}

/* What makes no sense is refused, before anything has happened. */
TASK_TEST(bad_selects)
{
	struct coop_chan *chan = int_chan(1);
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_select_opts reserved = { .fair = true }, limit = { .timeout_ns = 1 };
	struct chooser s = { .count = 1 };
	struct coop_case none[2];

	memset(none, 0, sizeof none);
	none[0] = coop_case_send(chan, &(int){ 1 });
	CHECK_INT(coop_select(none, 2, NULL), ==, -EINVAL);
	CHECK_INT(coop_select(none, 0, NULL), ==, -EINVAL);
	CHECK_INT(coop_select_try(none, 0, NULL), ==, -EINVAL);
	CHECK_INT(coop_select_try(none, 1, &limit), ==, -EINVAL);
	reserved._reserved[7] = 1;
	CHECK_INT(coop_select(none, 1, &reserved), ==, -EINVAL);
	CHECK_INT(coop_select(none, 1, &(struct coop_select_opts){ .timeout_ns = -1 }), ==,
		  -EINVAL);
	CHECK_INT(stats_of(chan).sent, ==, 0);

	coop_group_open(&g, NULL);
	s.cases[0] = coop_case_recv(chan, &s.values[0]);
	start_chooser(&g, &s);
	CHECK_INT(coop_select(s.cases, 1, NULL), ==, -EBUSY); /* another task's */
	CHECK_INT(coop_select_try(s.cases, 1, NULL), ==, -EBUSY);
	none[1] = s.cases[0];
	CHECK_INT(coop_select(none, 2, NULL), ==, -EBUSY); /* though the first is ready */
	CHECK_INT(stats_of(chan).sent, ==, 0);
	CHECK_INT(try_send(chan, 1), ==, 0);
	end_chooser(&s);
	CHECK_INT(s.values[0], ==, 1);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_chan_free(chan);
	return 0;
}

/* An end of the wrong kind is a case that completes with that error. */
TASK_TEST(case_of_the_wrong_end)
{
	struct coop_chan *chan = int_chan(1), *tx;
	struct coop_case c;

	CHECK_INT(coop_chan_clone_send(chan, &tx), ==, 0);
	c = coop_case_recv(tx, &(int){ 0 });
	CHECK_INT(coop_select(&c, 1, NULL), ==, 0);
	CHECK_INT(c.rc, ==, -EPERM);
	coop_chan_free(tx);
	coop_chan_free(chan);
	return 0;
}
