/* SPDX-License-Identifier: MIT */
/*
 * Bugs that other libraries had where a hand-over meets a cancel or a close, by their number in the
 * catalogue of such bugs (A01 and on). Each is a race of two steps; both orders are shown.
 */
#include "chan_help.h"

/* ---- A01: a limit hides a cancel from outside when the call ends at the same moment */

struct limited {
	struct coop_chan *chan;
	int value, rc, next;
	bool done;
};

static int recv_limited(void *arg)
{
	struct limited *l = arg;

	return coop_chan_recv(l->chan, &l->value);
}

static int limited(void *arg)
{
	struct limited *l = arg;

	l->rc = coop_fail_after(SEC(1), recv_limited, l);
	l->next = coop_checkpoint();
	l->done = true;
	return l->next;
}

/* The value is kept, and the cancel from outside is there at the next checkpoint. */
TASK_TEST(rel_A01_value_and_outer_cancel)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h;

	coop_group_open(&g, NULL);
	for (int cancel_first = 0; cancel_first < 2; cancel_first++) {
		struct limited l = { .chan = int_chan(1), .value = -1 };

		CHECK_INT(coop_spawn_with(&g, limited, &l, NULL, &h), ==, 0);
		CHECK_INT(coop_yield(), ==, 0);
		if (cancel_first)
			coop_handle_cancel(h, NULL);
		CHECK_INT(try_send(l.chan, 3), ==, 0);
		if (!cancel_first)
			coop_handle_cancel(h, NULL);
		settle();
		CHECK(l.done);
		CHECK_INT(l.rc, ==, cancel_first ? COOP_ECANCELED : 0);
		CHECK_INT(l.value, ==, cancel_first ? -1 : 3);
		CHECK_INT(l.next, ==, COOP_ECANCELED);
		CHECK_INT(try_recv(l.chan), ==, cancel_first ? 3 : -EAGAIN);
		coop_handle_release(h);
		coop_chan_free(l.chan);
	}
	return coop_group_join(&g, 0);
}

/* ---- A10: the value of a cancelled call is dropped */

/* A value is received, or destroyed with the channel: once, whatever the order. */
TASK_TEST(rel_A10_value_of_a_cancelled_call)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (int order = 0; order < 3; order++) {
		struct owned o = { .count = 0 };
		struct coop_chan *chan = owning_chan(1, &o);
		struct call c = { 0 };

		receives(&g, &c, chan);
		if (order == 0)
			coop_handle_cancel(c.handle, NULL);
		CHECK_INT(try_send(chan, 7), ==, 0);
		if (order == 1)
			coop_handle_cancel(c.handle, NULL);
		coop_chan_free(chan); /* before the receiver has run */
		settle();
		CHECK(c.ended);
		CHECK_INT(c.rc, ==, order == 0 ? COOP_ECANCELED : 0);
		CHECK_INT(c.value, ==, order == 0 ? -1 : 7);
		CHECK_INT(o.destroyed[7], ==, order == 0);
		coop_handle_release(c.handle);
	}
	PROVES(B227, B232);
	return coop_group_join(&g, 0);
}

/* ---- A11: what is given to a receiver that is being cancelled is lost */

/* A send to a receiver that was cancelled already does not count it as one. */
TASK_TEST(rel_A11_receiver_with_a_pending_cancel)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_chan *chan = int_chan(0);
	struct call c = { 0 }, sender = { 0 };

	coop_group_open(&g, NULL);
	receives(&g, &c, chan);
	coop_handle_cancel(c.handle, NULL);
	CHECK_INT(try_send(chan, 1), ==, -EAGAIN);
	sends(&g, &sender, chan, 1);
	settle();
	CHECK_INT(c.rc, ==, COOP_ECANCELED);
	CHECK(!sender.ended);
	CHECK_INT(recv_int(chan), ==, 1);
	settle();
	CHECK_INT(sender.rc, ==, 0);
	PROVES(B226);
	coop_handle_release(c.handle);
	finish(&g, &sender, 1);
	coop_chan_free(chan);
	return 0;
}

/* ---- A12: a send fails though the value was received before the receiver closed */

/* Received and then closed at once: the send has succeeded. The other way round it has not. */
TASK_TEST(rel_A12_received_then_closed)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (int close_first = 0; close_first < 2; close_first++) {
		struct coop_chan *chan = int_chan(0);
		struct call c = { 0 };

		sends(&g, &c, chan, 4);
		if (close_first)
			coop_chan_close_recv(chan);
		CHECK_INT(try_recv(chan), ==, close_first ? COOP_ECLOSED : 4);
		if (!close_first)
			coop_chan_close_recv(chan);
		settle();
		CHECK_INT(c.rc, ==, close_first ? -EPIPE : 0);
		coop_handle_release(c.handle);
		coop_chan_free(chan);
	}
	return coop_group_join(&g, 0);
}

/* ---- A13: a zero is taken for no value */

/* 0, NULL and nothing are values like others. */
TASK_TEST(rel_A13_zero_is_a_value)
{
	void *pointer = &pointer;
	struct coop_chan *ints = int_chan(1), *pointers, *signals;

	CHECK_INT(coop_chan_new(sizeof pointer, &(struct coop_chan_opts){ .cap = 1 }, &pointers),
		  ==, 0);
	CHECK_INT(coop_chan_new(0, &(struct coop_chan_opts){ .cap = 1 }, &signals), ==, 0);
	CHECK_INT(try_send(ints, 0), ==, 0);
	CHECK_INT(try_send(ints, 0), ==, -EAGAIN);
	CHECK_INT(recv_int(ints), ==, 0);
	CHECK_INT(coop_chan_send(pointers, &(void *){ NULL }), ==, 0);
	CHECK_INT(coop_chan_recv(pointers, &pointer), ==, 0);
	CHECK(!pointer);
	CHECK_INT(coop_chan_send(signals, NULL), ==, 0);
	CHECK_INT(coop_chan_recv(signals, NULL), ==, 0);
	CHECK_INT(coop_chan_try_recv(signals, NULL), ==, -EAGAIN);
	coop_chan_free(ints);
	coop_chan_free(pointers);
	coop_chan_free(signals);
	return 0;
}

/* ---- A18: who was taken out to be woken is touched when he is cancelled */

/* Taken out, then cancelled, then all ends freed, then it runs: nothing of it is touched. */
TASK_TEST(rel_A18_cancelled_between_taken_and_woken)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct call c[3] = { 0 };
	struct coop_chan *chan = int_chan(0);

	coop_group_open(&g, NULL);
	for (int i = 0; i < 3; i++)
		receives(&g, &c[i], chan);
	CHECK_INT(try_send(chan, 1), ==, 0);
	coop_handle_cancel(c[0].handle, NULL);
	coop_handle_cancel(c[1].handle, NULL);
	coop_chan_free(chan);
	coop_handle_cancel(c[2].handle, NULL); /* told of the end already */
	settle();
	CHECK(c[0].rc == 0 && c[0].value == 1);
	CHECK_INT(c[1].rc, ==, COOP_ECANCELED);
	CHECK_INT(c[2].rc, ==, COOP_ECLOSED);
	finish(&g, c, 3);
	return 0;
}

/* ---- A20: the program is called back while the object is in between */

static struct coop_chan *again;
static int again_calls;

static void destroys_and_uses(void *item, void *ctx)
{
	struct coop_chan_stats s;
	int value = 0;

	(void)ctx;
	again_calls++;
	if (!again)
		return;
	CHECK_INT(*(int *)item, ==, 1);
	CHECK_INT(coop_chan_try_send(again, &value), <, 0);
	coop_chan_stats(again, &s);
	CHECK_INT(s.used, ==, 2);
	CHECK_INT(s.destroyed, ==, 1);
	CHECK_INT(coop_chan_shutdown(again, true), ==, 0);
	again = coop_chan_free(again);
	CHECK_INT(*(int *)item, ==, 1); /* still there */
}

/* A destructor may use the channel that it is called from, and free it. */
TASK_TEST(rel_A20_destructor_uses_the_channel)
{
	struct coop_chan_opts opts = { .cap = 4, .destroy = destroys_and_uses };

	for (int how = 0; how < 2; how++) {
		CHECK_INT(coop_chan_new(sizeof(int), &opts, &again), ==, 0);
		again_calls = 0;
		for (int i = 1; i <= 3; i++)
			CHECK_INT(try_send(again, i), ==, 0);
		if (how == 0)
			CHECK_INT(coop_chan_close_recv(again), ==, 0);
		else
			CHECK_INT(coop_chan_shutdown(again, true), ==, 0);
		CHECK_INT(again_calls, ==, 3);
		CHECK(!again);
	}
	return 0;
}

/* ---- A21: the last value is lost where a send meets a close */

static int drains(void *arg)
{
	struct call *c = arg;
	int value;

	while ((c->rc = coop_chan_recv(c->chan, &value)) == 0)
		c->value = c->value * 10 + value;
	c->ended = true;
	return 0;
}

/* Sent and closed in one go, all values come, and then the end; also to who waits already. */
TASK_TEST(rel_A21_send_then_close)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (uint32_t cap = 0; cap < 4; cap++) {
		struct coop_chan *chan = int_chan(cap);
		struct call c = { .chan = chan };
		int sent = 0;

		start(&g, drains, &c);
		for (int i = 1; i <= 4; i++)
			if (try_send(chan, i) == 0)
				sent = sent * 10 + i;
		coop_chan_close_send(chan);
		settle();
		CHECK(c.ended);
		CHECK_INT(c.rc, ==, COOP_EOF);
		CHECK_INT(c.value, ==, sent);
		CHECK_INT(sent, ==, cap == 0 ? 1 : cap == 1 ? 12 : cap == 2 ? 123 : 1234);
		coop_handle_release(c.handle);
		coop_chan_free(chan);
	}
	PROVES(B230);
	return coop_group_join(&g, 0);
}

/* ---- A23: a worker is cancelled as it accepts a job, and nobody hears of the job again */

struct job {
	struct coop_chan *answer;
	int number;
};

static int accepts_jobs(void *arg)
{
	struct job job;
	int r;

	while ((r = coop_chan_recv(arg, &job)) == 0) {
		r = coop_checkpoint(); /* the work: may be cancelled */
		CHECK_INT(coop_chan_try_send(job.answer, r < 0 ? &(int){ -1 } : &job.number), ==,
			  0);
		if (r < 0)
			return r;
	}
	return r == COOP_EOF ? 0 : r;
}

/* Cancelled at each step of accepting, the worker answers or the job is still there. */
TASK_TEST(rel_A23_worker_cancelled_as_it_accepts)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h;
	struct coop_chan *jobs;

	coop_group_open(&g, NULL);
	for (int order = 0; order < 3; order++) {
		struct job job = { .answer = int_chan(1), .number = 5 };

		CHECK_INT(coop_chan_new(sizeof job, &(struct coop_chan_opts){ .cap = 1 }, &jobs),
			  ==, 0);
		CHECK_INT(coop_spawn_with(&g, accepts_jobs, jobs, NULL, &h), ==, 0);
		CHECK_INT(coop_yield(), ==, 0);
		if (order == 0)
			coop_handle_cancel(h, NULL);
		CHECK_INT(coop_chan_try_send(jobs, &job), ==, 0);
		if (order == 1)
			coop_handle_cancel(h, NULL);
		settle();
		if (order == 2)
			coop_handle_cancel(h, NULL);
		settle();
		CHECK_INT(try_recv(job.answer), ==, order == 0 ? -EAGAIN : order == 1 ? -1 : 5);
		CHECK_INT(coop_chan_try_recv(jobs, &job), ==, order == 0 ? 0 : -EAGAIN);
		coop_handle_release(h);
		coop_chan_free(job.answer);
		coop_chan_free(jobs);
	}
	return coop_group_join(&g, 0);
}

/* ---- A24: two ways end in one moment, and the value of one of them is lost */

static int chooses_one(void *arg)
{
	struct call *c = arg; /* two of them */
	struct coop_case cases[2];
	int r;

	cases[0] = coop_case_recv(c[0].chan, &c[0].value);
	cases[1] = coop_case_recv(c[1].chan, &c[1].value);
	r = coop_select(cases, 2, NULL);
	c[0].rc = r;
	return r == COOP_ECANCELED ? r : 0;
}

/* A select takes the one value, and the other stays where it is, in both orders. */
TASK_TEST(rel_A24_two_ways_at_once)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (int first = 0; first < 2; first++) {
		struct owned o = { .count = 0 };
		struct call c[2] = { { .chan = owning_chan(1, &o), .value = -1 },
				     { .chan = owning_chan(1, &o), .value = -1 } };

		CHECK_INT(coop_spawn(&g, chooses_one, c), ==, 0);
		CHECK_INT(coop_yield(), ==, 0);
		CHECK_INT(try_send(c[first].chan, 1), ==, 0);
		CHECK_INT(try_send(c[!first].chan, 2), ==, 0);
		settle();
		CHECK_INT(c[0].rc, ==, first);
		CHECK_INT(c[first].value, ==, 1);
		CHECK_INT(c[!first].value, ==, -1);
		CHECK_INT(stats_of(c[!first].chan).used, ==, 1);
		coop_chan_free(c[0].chan);
		coop_chan_free(c[1].chan);
		CHECK(o.count == 1 && o.destroyed[2] == 1);
	}
	PROVES(B174);
	return coop_group_join(&g, 0);
}

/* ---- A15: reserved places were given back, and a receiver misses the close */

/* Senders that leave the line leave no trace; the close is seen, in any order. */
TASK_TEST(rel_A15_places_given_back_then_closed)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (int order = 0; order < 2; order++) {
		struct coop_chan *chan = int_chan(1), *sender;
		struct call s[3] = { 0 }, r = { 0 };

		CHECK_INT(coop_chan_clone_send(chan, &sender), ==, 0);
		CHECK_INT(coop_chan_close_send(chan), ==, 0);
		CHECK_INT(try_send(sender, 1), ==, 0);
		for (int i = 0; i < 3; i++)
			sends(&g, &s[i], sender, 10 + i);
		for (int i = 0; i < 3; i++)
			coop_handle_cancel(s[i].handle, NULL);
		if (order == 0)
			settle();
		CHECK_INT(recv_int(chan), ==, 1); /* the one place is nobody's now */
		receives(&g, &r, chan);
		CHECK(!r.ended);
		coop_chan_free(sender);
		settle();
		CHECK_INT(r.rc, ==, COOP_EOF);
		for (int i = 0; i < 3; i++) {
			CHECK_INT(s[i].rc, ==, COOP_ECANCELED);
			coop_handle_release(s[i].handle);
		}
		coop_handle_release(r.handle);
		coop_chan_free(chan);
	}
	return coop_group_join(&g, 0);
}

/* ---- A16: what was closed opens again when its permits change */

/* A place that becomes free and an end that was there before do not open a channel again. */
TASK_TEST(rel_A16_closed_stays_closed)
{
	struct coop_chan *chan = int_chan(2), *clone;

	CHECK_INT(try_send(chan, 1), ==, 0);
	CHECK_INT(try_send(chan, 2), ==, 0);
	CHECK_INT(coop_chan_clone_send(chan, &clone), ==, 0);
	CHECK_INT(coop_chan_shutdown(chan, false), ==, 0);
	CHECK_INT(try_send(chan, 3), ==, COOP_ECLOSED);
	CHECK_INT(recv_int(chan), ==, 1);
	CHECK_INT(try_send(chan, 3), ==, COOP_ECLOSED);
	CHECK_INT(coop_chan_clone_send(chan, &clone), ==, COOP_ECLOSED);
	CHECK_INT(try_send(clone, 3), ==, COOP_ECLOSED);
	coop_chan_free(clone);
	CHECK_INT(recv_int(chan), ==, 2);
	CHECK_INT(try_send(chan, 3), ==, COOP_ECLOSED);
	CHECK_INT(recv_int(chan), ==, COOP_EOF);
	coop_chan_free(chan);
	return 0;
}

/* ---- A25: two tasks write at once, and what they write is mixed */

#define BIG_BYTES COOP_CHAN_ITEM_MAX
#define BIG_EACH 3

static int sends_big(void *arg)
{
	struct call *c = arg;
	unsigned char *big = malloc(BIG_BYTES);
	int r = 0;

	for (int i = 0; i < BIG_EACH && r >= 0; i++) {
		memset(big, c->value, BIG_BYTES);
		r = coop_chan_send(c->chan, big);
	}
	memset(big, 0, BIG_BYTES);
	free(big);
	return r;
}

/* Values of a megabyte from several senders arrive whole, whether they wait or are buffered. */
TASK_TEST(rel_A25_large_values_arrive_whole)
{
	unsigned char *got = malloc(BIG_BYTES);

	for (uint32_t cap = 0; cap < 3; cap++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct coop_chan *chan;
		struct call c[3] = { 0 };
		int seen[4] = { 0 };

		coop_group_open(&g, NULL);
		CHECK_INT(coop_chan_new(BIG_BYTES, &(struct coop_chan_opts){ .cap = cap }, &chan),
			  ==, 0);
		for (int i = 0; i < 3; i++) {
			c[i] = (struct call){ .chan = chan, .value = i + 1 };
			CHECK_INT(coop_spawn(&g, sends_big, &c[i]), ==, 0);
		}
		for (int i = 0; i < 3 * BIG_EACH; i++) {
			CHECK_INT(coop_chan_recv(chan, got), ==, 0);
			CHECK(got[0] >= 1 && got[0] <= 3);
			CHECK_INT(memcmp(got, got + 1, BIG_BYTES - 1), ==, 0);
			seen[got[0]]++;
		}
		CHECK(seen[1] == BIG_EACH && seen[2] == BIG_EACH && seen[3] == BIG_EACH);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		coop_chan_free(chan);
	}
	free(got);
	return 0;
}
