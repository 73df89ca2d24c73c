/* SPDX-License-Identifier: MIT */
/*
 * The ends of channels: clones, what a close does to whom, values that nobody received, accounting,
 * ends that were forgotten, threads.
 */
#include "chan_help.h"

#include <pthread.h>

/* ---- closing to send */

/* After the last send end was closed, what is buffered can be received, then comes the end. */
TASK_TEST(drained_before_the_end)
{
	struct coop_chan *chan = int_chan(3);

	CHECK_INT(try_send(chan, 1), ==, 0);
	CHECK_INT(try_send(chan, 2), ==, 0);
	CHECK_INT(coop_chan_close_send(chan), ==, 0);
	CHECK_INT(recv_int(chan), ==, 1);
	CHECK_INT(try_recv(chan), ==, 2);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(recv_int(chan), ==, COOP_EOF);
		CHECK_INT(try_recv(chan), ==, COOP_EOF);
	}
	PROVES(B230);
	coop_chan_free(chan);
	return 0;
}

/* Receivers that wait when the last send end is closed see the end, each of them. */
TASK_TEST(end_reaches_all_who_wait)
{
	struct coop_chan *chan = int_chan(1), *clone;
	struct coop_group g = COOP_GROUP_INIT;
	struct call c[3] = { 0 };

	CHECK_INT(coop_chan_clone_send(chan, &clone), ==, 0);
	coop_group_open(&g, NULL);
	for (int i = 0; i < 3; i++)
		receives(&g, &c[i], chan);
	CHECK_INT(coop_chan_close_send(chan), ==, 0);
	settle();
	CHECK(!c[0].ended && !c[1].ended && !c[2].ended); /* the clone is open */
	coop_chan_free(clone);
	settle();
	for (int i = 0; i < 3; i++)
		CHECK_INT(c[i].rc, ==, COOP_EOF);
	PROVES(B230, B235);
	finish(&g, c, 3);
	coop_chan_free(chan);
	return 0;
}

/* Those who wait to send on the end that is closed are told; those on a clone go on. */
TASK_TEST(close_send_wakes_its_own)
{
	struct coop_chan *chan = int_chan(0), *clone;
	struct coop_group g = COOP_GROUP_INIT;
	struct call c[4] = { 0 };

	CHECK_INT(coop_chan_clone_send(chan, &clone), ==, 0);
	coop_group_open(&g, NULL);
	sends(&g, &c[0], chan, 0);
	sends(&g, &c[1], clone, 1);
	sends(&g, &c[2], chan, 2);
	sends(&g, &c[3], clone, 3);
	CHECK_INT(coop_chan_close_send(chan), ==, 0);
	settle();
	CHECK_INT(c[0].rc, ==, COOP_ECLOSED);
	CHECK_INT(c[2].rc, ==, COOP_ECLOSED);
	CHECK(!c[1].ended && !c[3].ended);
	CHECK_INT(try_recv(chan), ==, 1);
	CHECK_INT(try_recv(chan), ==, 3);
	settle();
	CHECK_INT(c[1].rc, ==, 0);
	CHECK_INT(c[3].rc, ==, 0);
	PROVES(B231);
	finish(&g, c, 4);
	coop_chan_free(clone);
	coop_chan_free(chan);
	return 0;
}

/* ---- closing to receive */

/* After the last receive end was closed, senders are told, and what is buffered is destroyed. */
TASK_TEST(nobody_receives_any_more)
{
	struct owned o = { .count = 0 };
	struct coop_chan *chan = owning_chan(2, &o), *clone;
	struct coop_group g = COOP_GROUP_INIT;
	struct call c = { 0 };

	CHECK_INT(coop_chan_clone_recv(chan, &clone), ==, 0);
	CHECK_INT(try_send(chan, 0), ==, 0);
	CHECK_INT(try_send(chan, 1), ==, 0);
	coop_group_open(&g, NULL);
	sends(&g, &c, chan, 2);
	CHECK_INT(coop_chan_close_recv(chan), ==, 0);
	CHECK_INT(o.count, ==, 0);
	CHECK_INT(try_recv(clone), ==, 0); /* 2 takes the place */
	settle();
	CHECK_INT(c.rc, ==, 0);
	coop_handle_release(c.handle);
	sends(&g, &c, chan, 3);
	coop_chan_free(clone);
	CHECK_INT(o.count, ==, 2);
	CHECK_INT(o.destroyed[1], ==, 1);
	CHECK_INT(o.destroyed[2], ==, 1);
	settle();
	CHECK_INT(c.rc, ==, -EPIPE); /* 3 is still its sender's */
	CHECK_INT(try_send(chan, 4), ==, -EPIPE);
	CHECK_INT(coop_chan_send(chan, &(int){ 5 }), ==, -EPIPE);
	CHECK_INT(o.count, ==, 2);
	CHECK_INT(stats_of(chan).destroyed, ==, 2);
	PROVES(B232);
	finish(&g, &c, 1);
	coop_chan_free(chan);
	CHECK_INT(o.count, ==, 2);
	return 0;
}

/* Those who wait to receive on the end that is closed are told; those on a clone go on. */
TASK_TEST(close_recv_wakes_its_own)
{
	struct coop_chan *chan = int_chan(1), *clone;
	struct coop_group g = COOP_GROUP_INIT;
	struct call c[3] = { 0 };

	CHECK_INT(coop_chan_clone_recv(chan, &clone), ==, 0);
	coop_group_open(&g, NULL);
	receives(&g, &c[0], chan);
	receives(&g, &c[1], clone);
	receives(&g, &c[2], chan);
	CHECK_INT(coop_chan_close_recv(chan), ==, 0);
	settle();
	CHECK_INT(c[0].rc, ==, COOP_ECLOSED);
	CHECK_INT(c[2].rc, ==, COOP_ECLOSED);
	CHECK(!c[1].ended);
	CHECK_INT(try_send(chan, 1), ==, 0);
	settle();
	CHECK_INT(c[1].rc, ==, 0);
	CHECK_INT(c[1].value, ==, 1);
	PROVES(B233);
	finish(&g, c, 3);
	coop_chan_free(clone);
	coop_chan_free(chan);
	return 0;
}

/* Freeing the last hold destroys what is still there; each value once. */
TASK_TEST(freed_with_values)
{
	struct owned o = { .count = 0 };
	struct coop_chan *chan = owning_chan(8, &o);

	for (int i = 0; i < 8; i++)
		CHECK_INT(try_send(chan, i), ==, 0);
	for (int i = 0; i < 5; i++)
		CHECK_INT(try_recv(chan), ==, i);
	for (int i = 8; i < 12; i++) /* around the end of the ring */
		CHECK_INT(try_send(chan, i), ==, 0);
	coop_chan_close_send(chan);
	CHECK_INT(o.count, ==, 0);
	CHECK(!coop_chan_free(chan));
	CHECK_INT(o.count, ==, 7);
	for (int i = 5; i < 12; i++)
		CHECK_INT(o.destroyed[i], ==, 1);
	PROVES(B232);
	return 0;
}

/* ---- closed ends and clones */

/* Closing twice is fine; using a closed end, or cloning it, is refused. */
TASK_TEST(closed_is_closed)
{
	struct coop_chan *chan = int_chan(1), *clone = NULL;
	int value = -1;

	CHECK_INT(coop_chan_close_send(chan), ==, 0);
	CHECK_INT(coop_chan_close_send(chan), ==, 1);
	CHECK_INT(coop_chan_send(chan, &value), ==, COOP_ECLOSED);
	CHECK_INT(coop_chan_try_send(chan, &value), ==, COOP_ECLOSED);
	CHECK_INT(coop_chan_clone_send(chan, &clone), ==, COOP_ECLOSED);
	CHECK_INT(coop_chan_close_recv(chan), ==, 0);
	CHECK_INT(coop_chan_close_recv(chan), ==, 1);
	CHECK_INT(coop_chan_recv(chan, &value), ==, COOP_ECLOSED);
	CHECK_INT(coop_chan_try_recv(chan, &value), ==, COOP_ECLOSED);
	CHECK_INT(coop_chan_clone_recv(chan, &clone), ==, COOP_ECLOSED);
	CHECK(!clone);
	CHECK_INT(value, ==, -1);
	PROVES(B234);
	coop_chan_free(chan);
	return 0;
}

/* An end of one kind does nothing of the other. */
TASK_TEST(wrong_end)
{
	struct coop_chan *chan = int_chan(1), *tx, *rx, *clone = NULL;
	int value = 4;

	CHECK_INT(coop_chan_clone_send(chan, &tx), ==, 0);
	CHECK_INT(coop_chan_clone_recv(chan, &rx), ==, 0);
	CHECK_INT(coop_chan_recv(tx, &value), ==, -EPERM);
	CHECK_INT(coop_chan_try_recv(tx, &value), ==, -EPERM);
	CHECK_INT(coop_chan_clone_recv(tx, &clone), ==, -EPERM);
	CHECK_INT(coop_chan_close_recv(tx), ==, 1);
	CHECK_INT(coop_chan_send(rx, &value), ==, -EPERM);
	CHECK_INT(coop_chan_try_send(rx, &value), ==, -EPERM);
	CHECK_INT(coop_chan_clone_send(rx, &clone), ==, -EPERM);
	CHECK_INT(coop_chan_close_send(rx), ==, 1);
	CHECK(!clone);
	CHECK_INT(stats_of(chan).sent, ==, 0);
	coop_chan_free(chan);
	CHECK_INT(coop_chan_send(tx, &value), ==, 0); /* the clones are a channel */
	CHECK_INT(recv_int(rx), ==, 4);
	PROVES(B235);
	coop_chan_free(tx);
	CHECK_INT(recv_int(rx), ==, COOP_EOF);
	coop_chan_free(rx);
	return 0;
}

/* A hold that is freed under somebody who waits on it tells him, and does not touch him later. */
TASK_TEST(freed_while_waited_on)
{
	struct coop_chan *chan = int_chan(0), *clone;
	struct coop_group g = COOP_GROUP_INIT;
	struct call c[3] = { 0 };

	CHECK_INT(coop_chan_clone_recv(chan, &clone), ==, 0);
	coop_group_open(&g, NULL);
	receives(&g, &c[0], clone);
	coop_chan_free(clone);
	CHECK_INT(try_send(chan, 1), ==, -EAGAIN); /* nobody waits any more */
	settle();
	CHECK_INT(c[0].rc, ==, COOP_ECLOSED);

	CHECK_INT(coop_chan_clone_send(chan, &clone), ==, 0);
	sends(&g, &c[1], clone, 1);
	c[2].chan = clone;
	start(&g, task_joins, &c[2]);
	CHECK_INT(c[2].rc, ==, 0); /* nothing was sent yet */
	coop_chan_free(clone);
	coop_chan_free(chan);
	settle();
	CHECK_INT(c[1].rc, ==, COOP_ECLOSED);
	PROVES(B233, B231);
	finish(&g, c, 3);
	return 0;
}

/* ---- many producers and consumers */

struct worker {
	struct coop_chan *chan;
	int from, count, got, ends;
	bool *seen;
};

static int produces(void *arg)
{
	struct worker *w = arg;
	int r = 0;

	for (int i = 0; r >= 0 && i < w->count; i++) {
		r = coop_chan_send(w->chan, &(int){ w->from + i });
		if (r >= 0 && i % 3 == 0)
			r = coop_sleep(MS(1));
	}
	coop_chan_free(w->chan);
	return r;
}

static int consumes(void *arg)
{
	struct worker *w = arg;
	int value, r;

	while ((r = coop_chan_recv(w->chan, &value)) == 0) {
		CHECK(!w->seen[value]);
		w->seen[value] = true;
		w->got++;
	}
	w->ends += r == COOP_EOF;
	coop_chan_free(w->chan);
	return 0;
}

/* With a clone for each of them, and the maker's ends closed, all loops end, each once. */
TASK_TEST(many_producers_many_consumers)
{
	struct coop_chan *chan = int_chan(2);
	struct coop_group g = COOP_GROUP_INIT;
	struct worker p[5], c[3];
	bool seen[200] = { false };
	int got = 0;

	coop_group_open(&g, NULL);
	for (int i = 0; i < 5; i++) {
		p[i] = (struct worker){ .from = 40 * i, .count = 40 };
		CHECK_INT(coop_chan_clone_send(chan, &p[i].chan), ==, 0);
		CHECK_INT(coop_spawn(&g, produces, &p[i]), ==, 0);
	}
	for (int i = 0; i < 3; i++) {
		c[i] = (struct worker){ .seen = seen };
		CHECK_INT(coop_chan_clone_recv(chan, &c[i].chan), ==, 0);
		CHECK_INT(coop_spawn(&g, consumes, &c[i]), ==, 0);
	}
	coop_chan_free(chan);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(c[i].ends, ==, 1);
		got += c[i].got;
	}
	CHECK_INT(got, ==, 200);
	for (int i = 0; i < 200; i++)
		CHECK(seen[i]);
	PROVES(B237, B241);
	return 0;
}

/* The end is an ordinary code: who returns it from a child fails the group. */
static int returns_eof(void *arg)
{
	int value;

	return coop_chan_recv(arg, &value);
}

TASK_TEST(end_returned_from_a_child)
{
	struct coop_chan *chan = int_chan(1);
	struct coop_group g = COOP_GROUP_INIT;
	int value, n = 0, r;

	for (int i = 0; i < 1; i++)
		CHECK_INT(try_send(chan, i), ==, 0);
	coop_chan_close_send(chan);
	while ((r = coop_chan_recv(chan, &value)) == 0)
		n++;
	CHECK_INT(n, ==, 1);
	CHECK_INT(r, ==, COOP_EOF);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, returns_eof, chan), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, COOP_EOF);
	coop_error_clear();
	PROVES(B241);
	coop_chan_free(chan);
	return 0;
}

/* ---- shutting down */

/* A channel shut down takes nothing more, and gives what it has before the end. */
TASK_TEST(shutdown_drains)
{
	struct coop_chan *chan = int_chan(1), *clone = NULL;
	struct coop_group g = COOP_GROUP_INIT;
	struct call c[2] = { 0 };

	CHECK_INT(coop_chan_clone_recv(chan, &clone), ==, 0);
	CHECK_INT(try_send(chan, 1), ==, 0);
	coop_group_open(&g, NULL);
	sends(&g, &c[0], chan, 2);
	CHECK_INT(coop_chan_shutdown(chan, false), ==, 0);
	CHECK_INT(coop_chan_shutdown(chan, false), ==, 0);
	settle();
	CHECK_INT(c[0].rc, ==, COOP_ECLOSED);
	CHECK_INT(try_send(chan, 3), ==, COOP_ECLOSED);
	CHECK_INT(try_recv(clone), ==, 1);
	CHECK_INT(try_recv(chan), ==, COOP_EOF);
	CHECK_INT(recv_int(clone), ==, COOP_EOF);
	coop_chan_free(clone);
	CHECK_INT(coop_chan_clone_send(chan, &clone), ==, COOP_ECLOSED);
	CHECK(stats_of(chan).shut_down);
	coop_chan_free(chan);

	chan = int_chan(1);
	receives(&g, &c[1], chan);
	CHECK_INT(coop_chan_shutdown(chan, false), ==, 0);
	settle();
	CHECK_INT(c[1].rc, ==, COOP_EOF);
	PROVES(B239);
	finish(&g, c, 2);
	coop_chan_free(chan);
	return 0;
}

/* Shut down at once, what is buffered is destroyed, and both sides are woken. */
TASK_TEST(shutdown_at_once)
{
	struct owned o = { .count = 0 };
	struct coop_chan *chan = owning_chan(2, &o);
	struct coop_group g = COOP_GROUP_INIT;
	struct call c[2] = { 0 };

	CHECK_INT(try_send(chan, 1), ==, 0);
	CHECK_INT(try_send(chan, 2), ==, 0);
	coop_group_open(&g, NULL);
	sends(&g, &c[0], chan, 3);
	c[1].chan = chan;
	start(&g, task_joins, &c[1]);
	CHECK_INT(coop_chan_shutdown(chan, true), ==, 0);
	CHECK_INT(o.count, ==, 2);
	settle();
	CHECK_INT(c[0].rc, ==, COOP_ECLOSED);
	CHECK_INT(c[1].rc, ==, 0); /* nothing is left to be done */
	CHECK_INT(recv_int(chan), ==, COOP_EOF);
	CHECK_INT(coop_chan_send(chan, &(int){ 4 }), ==, COOP_ECLOSED);
	PROVES(B239);
	finish(&g, c, 2);
	coop_chan_free(chan);
	CHECK_INT(o.count, ==, 2);
	return 0;
}

/* ---- accounting */

/* The numbers of a channel, on the way. */
TASK_TEST(numbers)
{
	struct coop_chan_opts opts = { .cap = 2, .name = "jobs" };
	struct coop_chan *chan, *tx;
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_chan_stats s;
	struct call c[3] = { 0 };

	CHECK_INT(coop_chan_new(sizeof(int), &opts, &chan), ==, 0);
	CHECK_INT(coop_chan_clone_send(chan, &tx), ==, 0);
	s = stats_of(tx);
	CHECK_STR(s.name, "jobs");
	CHECK_INT(s.item_bytes, ==, sizeof(int));
	CHECK(s.cap == 2 && s.used == 0 && s.peak == 0 && s.holds == 2);
	CHECK(s.send_ends == 2 && s.recv_ends == 1 && s.senders == 0 && s.receivers == 0);
	coop_group_open(&g, NULL);
	receives(&g, &c[0], chan);
	receives(&g, &c[1], chan);
	CHECK_INT(stats_of(chan).receivers, ==, 2);
	for (int i = 0; i < 4; i++)
		CHECK_INT(try_send(chan, i), ==, 0);
	sends(&g, &c[2], tx, 4);
	s = stats_of(chan);
	CHECK(s.used == 2 && s.peak == 2 && s.senders == 1 && s.receivers == 0);
	CHECK(s.sent == 4 && s.received == 2 && s.destroyed == 0 && s.done == 0);
	CHECK_INT(try_recv(chan), ==, 2);
	CHECK_INT(try_recv(chan), ==, 3);
	CHECK_INT(coop_chan_done(chan), ==, 0);
	coop_chan_free(tx);
	s = stats_of(chan);
	CHECK(s.used == 1 && s.peak == 2 && s.senders == 0 && s.holds == 1);
	CHECK(s.sent == 5 && s.received == 4 && s.done == 1 && s.send_ends == 1);
	coop_chan_close_send(chan);
	coop_chan_close_recv(chan);
	s = stats_of(chan);
	CHECK(s.used == 0 && s.destroyed == 1 && s.send_ends == 0 && s.recv_ends == 0);
	PROVES(B238);
	settle();
	finish(&g, c, 3);
	coop_chan_free(chan);
	return 0;
}

/* Join waits until each value that was sent has been done; done too often is an error. */
TASK_TEST(done_and_join)
{
	struct coop_chan *chan = int_chan(2);
	struct coop_group g = COOP_GROUP_INIT;
	struct call c[2] = { 0 };

	CHECK_INT(coop_chan_join(chan), ==, 0);
	CHECK_INT(coop_chan_done(chan), ==, -EINVAL);
	CHECK_INT(try_send(chan, 1), ==, 0);
	CHECK_INT(try_send(chan, 2), ==, 0);
	CHECK_INT(coop_chan_done(chan), ==, -EINVAL); /* nobody has it yet */
	coop_group_open(&g, NULL);
	for (int i = 0; i < 2; i++) {
		c[i].chan = chan;
		start(&g, task_joins, &c[i]);
	}
	CHECK_INT(try_recv(chan), ==, 1);
	CHECK_INT(coop_chan_done(chan), ==, 0);
	CHECK_INT(coop_chan_done(chan), ==, -EINVAL);
	CHECK_INT(coop_handle_cancel(c[0].handle, NULL), ==, 0);
	settle();
	CHECK_INT(c[0].rc, ==, COOP_ECANCELED);
	CHECK(!c[1].ended);
	CHECK_INT(try_recv(chan), ==, 2);
	CHECK_INT(coop_chan_done(chan), ==, 0);
	settle();
	CHECK_INT(c[1].rc, ==, 0);
	PROVES(B240);
	finish(&g, c, 2);
	coop_chan_free(chan);
	return 0;
}

/* ---- forgotten ends */

static struct coop_chan *forgotten, *forgotten_clone;
static char made_at[2][160];

static int forgets(void *arg)
{
	struct coop_chan_opts opts = {
		.name = "jobs", .cap = 1, .destroy = destroy_int, .ctx = arg
	};
	struct coop_chan *given_back;

	CHECK_INT(coop_chan_new(sizeof(int), &opts, &forgotten), ==, 0);
	snprintf(made_at[0], sizeof made_at[0], "%s", place(__FILE__, __LINE__ - 1));
	CHECK_INT(coop_chan_clone_send(forgotten, &forgotten_clone), ==, 0);
	snprintf(made_at[1], sizeof made_at[1], "%s", place(__FILE__, __LINE__ - 1));
	CHECK_INT(coop_chan_new(1, NULL, &given_back), ==, 0);
	coop_chan_close_send(forgotten);
	CHECK_INT(try_send(forgotten_clone, 3), ==, 0);
	coop_chan_free(given_back);
	return 0;
}

/* What was never freed is reported when the run ends, with its place, and can be freed then. */
TEST(forgotten_ends_are_reported)
{
	struct owned o = { .count = 0 };
	struct coop_chan *clone = NULL;

	keep_records(COOP_LOG_WARN);
	CHECK_INT(coop_run(forgets, &o, &virtual_clock), ==, 0);
	CHECK_INT(records_count, ==, 2);
	CHECK_HAS(records, made_at[0]);
	CHECK_HAS(records, made_at[1]);
	CHECK_HAS(records, "channel \"jobs\"");
	CHECK_HAS(records, "the receive end is open");
	CHECK_HAS(records, "the send end is open");
	CHECK(strstr(records, made_at[0]) < strstr(records, made_at[1]));
	CHECK_INT(coop_chan_clone_recv(forgotten, &clone), ==, COOP_EWRONGTHREAD);
	CHECK_INT(coop_chan_clone_send(forgotten_clone, &clone), ==, COOP_EWRONGTHREAD);
	CHECK_INT(coop_chan_close_recv(forgotten), ==, 0);
	CHECK_INT(o.destroyed[3], ==, 1);
	coop_chan_free(forgotten_clone);
	coop_chan_free(forgotten);
	PROVES(B236);
}

/* ---- threads */

struct elsewhere {
	struct coop_chan *chan;
	int outside, inside[6];
};

static int uses_foreign(void *arg)
{
	struct elsewhere *e = arg;
	struct coop_chan *clone;
	int value = 1;

	e->inside[0] = coop_chan_send(e->chan, &value);
	e->inside[1] = coop_chan_recv(e->chan, &value);
	e->inside[2] = coop_chan_try_send(e->chan, &value);
	e->inside[3] = coop_chan_close_recv(e->chan);
	e->inside[4] = coop_chan_clone_send(e->chan, &clone);
	e->inside[5] = coop_chan_join(e->chan);
	return 0;
}

static void *thread(void *arg)
{
	struct elsewhere *e = arg;

	e->outside = coop_chan_try_send(e->chan, &(int){ 1 });
	CHECK_INT(coop_run(uses_foreign, e, &virtual_clock), ==, 0);
	return NULL;
}

/* Another thread, with a run of its own or without, is refused and changes nothing. */
TASK_TEST(other_threads_are_refused)
{
	struct elsewhere e = { .chan = int_chan(1) };
	pthread_t t;

	CHECK_INT(pthread_create(&t, NULL, thread, &e), ==, 0);
	pthread_join(t, NULL);
	CHECK_INT(e.outside, ==, COOP_ENOTASK);
	for (int i = 0; i < 6; i++)
		CHECK_INT(e.inside[i], ==, COOP_EWRONGTHREAD);
	CHECK_INT(stats_of(e.chan).sent, ==, 0);
	CHECK_INT(stats_of(e.chan).recv_ends, ==, 1);
	coop_chan_free(e.chan);
	return 0;
}
