/* SPDX-License-Identifier: MIT */
/*
 * Races of two steps, in every order: channels, and the start of a task.
 *
 * What must hold is the same everywhere: nothing is lost, nothing is handed out twice, who got
 * something was told so, and in the end nobody waits. The names are those of the catalogue
 * of bugs that such races were in other systems.
 */
#include "explore.h"

/* -------------------------------------------------------------------- channels */

/* Values are numbered; each is somewhere, once. */
#define VALUES 4

static struct coop_chan *chan, *other;
static uint32_t cap;
static int sent_rc[VALUES];  /* 1: was not sent */
static int received[VALUES]; /* how often */
static int destroyed[VALUES];

static void count_destroyed(void *item, void *ctx)
{
	(void)ctx;
	destroyed[*(int *)item]++;
}

static void open_chan(void)
{
	struct coop_chan_opts opts = { .cap = cap, .destroy = count_destroyed };

	for (int i = 0; i < VALUES; i++)
		sent_rc[i] = 1;
	memset(received, 0, sizeof received);
	memset(destroyed, 0, sizeof destroyed);
	CHECK_INT(coop_chan_new(sizeof(int), &opts, &chan), ==, 0);
}

static int send_one(int value)
{
	int r = coop_chan_send(chan, &value);

	sent_rc[value] = r;
	say("send%d:%d ", value, r);
	return r;
}

static int receive_one(void)
{
	int value = -1, r = coop_chan_recv(chan, &value);

	say("recv:%d:%d ", r, value);
	HOLDS(r == 0 ? value >= 0 : value == -1);
	if (r < 0)
		return r;
	received[value]++;
	return 0;
}

/* Each value that was sent is with one receiver, or destroyed; the others nowhere. */
static void nothing_lost(void)
{
	struct coop_chan_stats s;

	coop_chan_stats(chan, &s);
	HOLDS(s.senders == 0 && s.receivers == 0);
	chan = coop_chan_free(chan); /* what is left in it is destroyed */
	for (int i = 0; i < VALUES; i++)
		HOLDS(received[i] + destroyed[i] == (sent_rc[i] == 0));
}

static int cancels_first(void *arg)
{
	(void)arg;
	cancel_actor(0);
	return 0;
}

static int receives(void *arg)
{
	int r = receive_one();

	(void)arg;
	saw(r == 0 ? 0 : 1);
	return r == COOP_EOF ? 0 : r;
}

static int receives_all(void *arg)
{
	int r;

	(void)arg;
	do
		r = receive_one();
	while (r == 0);
	return r == COOP_EOF ? 0 : r;
}

static int sends_two_and_closes(void *arg)
{
	int r = send_one(0);

	(void)arg;
	if (r == 0)
		r = send_one(1);
	HOLDS(r == 0);
	coop_chan_close_send(chan);
	return 0;
}

static void all_received(void)
{
	HOLDS(received[0] == 1 && received[1] == 1);
	nothing_lost();
}

/* A value meets a receiver that is being cancelled: he has it, or the next one gets it (A11). */
TEST(send_against_cancel_of_the_receiver)
{
	for (cap = 0; cap <= 2; cap++)
		EXPLORE(open_chan, all_received, 3, receives, cancels_first, sends_two_and_closes,
			receives_all);
	PROVES(B226, B227);
}

static int sends_first(void *arg)
{
	int r = send_one(0);

	(void)arg;
	saw(r == 0 ? 0 : 1);
	return r;
}

static int sends_second(void *arg)
{
	(void)arg;
	HOLDS(send_one(1) == 0);
	return 0;
}

/* Until the second value has come; the first must not come after it was cancelled. */
static int receives_second(void *arg)
{
	(void)arg;
	do
		HOLDS(receive_one() == 0);
	while (!received[1]);
	return 0;
}

/* A sender that is cancelled: its value was received, and it was told so; or was never there. */
TEST(receive_against_cancel_of_the_sender)
{
	for (cap = 0; cap <= 1; cap++)
		EXPLORE(open_chan, nothing_lost, 3, sends_first, cancels_first, sends_second,
			receives_second);
	PROVES(B228);
}

static int closes_send(void *arg)
{
	(void)arg;
	coop_chan_close_send(chan);
	return 0;
}

static int sends_or_not(void *arg)
{
	int r = send_one(0);

	(void)arg;
	HOLDS(r == 0 || r == COOP_ECLOSED);
	saw(r == 0 ? 0 : 1);
	return 0;
}

static int sends_or_not_too(void *arg)
{
	int r = send_one(1);

	(void)arg;
	HOLDS(r == 0 || r == COOP_ECLOSED);
	return 0;
}

/* What was sent before the close is received, and then comes the end: never before it (A21). */
static int receives_to_the_end(void *arg)
{
	int r;

	(void)arg;
	do
		r = receive_one();
	while (r == 0);
	HOLDS(r == COOP_EOF);
	return 0;
}

TEST(close_against_send_and_receive)
{
	for (cap = 0; cap <= 2; cap++)
		EXPLORE(open_chan, nothing_lost, 3, sends_or_not, sends_or_not_too, closes_send,
			receives_to_the_end);
	PROVES(B230, B231);
}

static int receives_and_closes(void *arg)
{
	int r = receive_one();

	(void)arg;
	HOLDS(r == 0);
	coop_chan_close_recv(chan);
	return 0;
}

static int sends_to_who_leaves(void *arg)
{
	int r = send_one(0);

	(void)arg;
	HOLDS(r == 0 || r == -EPIPE);
	saw(r == 0 ? 0 : 1);
	return 0;
}

static int sends_to_who_leaves_too(void *arg)
{
	int r = send_one(1);

	(void)arg;
	HOLDS(r == 0 || r == -EPIPE);
	return 0;
}

/* Who receives and closes at once: that send has succeeded, the other knows it has not (A12). */
TEST(receive_and_close_against_send)
{
	for (cap = 0; cap <= 2; cap++) {
		EXPLORE(open_chan, nothing_lost, 3, sends_to_who_leaves, sends_to_who_leaves_too,
			receives_and_closes);
	}
	PROVES(B232);
}

static int closes_recv(void *arg)
{
	(void)arg;
	coop_chan_close_recv(chan);
	return 0;
}

static int receives_or_not(void *arg)
{
	int r = receive_one();

	(void)arg;
	HOLDS(r == 0 || r == COOP_ECLOSED);
	saw(r == 0 ? 2 : 3);
	return 0;
}

/* The receive end closes under who waits on it, and under the value that is on its way. */
TEST(close_of_the_receive_end_against_both)
{
	for (cap = 0; cap <= 1; cap++)
		EXPLORE(open_chan, nothing_lost, 0xf, sends_to_who_leaves, receives_or_not,
			closes_recv);
	PROVES(B232, B233);
}

static bool immediately;

static int shuts_down(void *arg)
{
	(void)arg;
	CHECK_INT(coop_chan_shutdown(chan, immediately), ==, 0);
	return 0;
}

/* Shut down with values in it, those who wait on both sides, and one who is cancelled. */
TEST(shutdown_against_send_and_receive)
{
	for (cap = 0; cap <= 1; cap++) {
		for (int i = 0; i < 2; i++) {
			immediately = i;
			EXPLORE(open_chan, nothing_lost, 3, sends_or_not, sends_or_not_too,
				shuts_down, receives_to_the_end);
		}
	}
	PROVES(B239);
}

static int receives_for_10_ms(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	(void)arg;
	coop_scope_open(&s, &(struct coop_scope_opts){ .deadline_ns = begin_ns + MS(10) });
	r = coop_scope_close(&s, receive_one());
	HOLDS(r == 0);
	saw(coop_scope_caught(&s) ? 1 : 0);
	return 0;
}

/* At the very instant of the deadline, or the moment before it is looked at. */
static int sends_at_10_ms(void *arg)
{
	int r;

	(void)arg;
	if (race_choose(NULL, 2))
		CHECK_INT(coop_test_clock_jump(MS(10)), ==, 0);
	else
		CHECK_INT(coop_sleep(MS(10)), ==, 0);
	r = send_one(0);
	HOLDS(r == 0 || r == COOP_ECLOSED);
	coop_chan_close_send(chan);
	return 0;
}

/* A deadline and the value it waited for, at one instant. */
TEST(send_against_timeout_of_the_receiver)
{
	cap = 1;
	EXPLORE(open_chan, nothing_lost, 3, receives_for_10_ms, sends_at_10_ms);
	PROVES(B227);
}

/* A clone that closes while others wait on theirs: only its own waiters go. */
static int waits_on_clone(void *arg)
{
	int value = -1, r;

	(void)arg;
	r = coop_chan_recv(other, &value);
	HOLDS(r == 0 || r == COOP_ECLOSED || r == COOP_EOF);
	if (r == 0)
		received[value]++;
	saw(r == 0 ? 0 : r == COOP_ECLOSED ? 1 : 2);
	return 0;
}

static int closes_clone(void *arg)
{
	(void)arg;
	coop_chan_close_recv(other);
	return 0;
}

static void open_two(void)
{
	open_chan();
	CHECK_INT(coop_chan_clone_recv(chan, &other), ==, 0);
}

static void close_two(void)
{
	HOLDS(received[0] == 1 && received[1] == 1);
	other = coop_chan_free(other);
	nothing_lost();
}

TEST(close_of_a_clone_against_the_value)
{
	for (cap = 0; cap <= 1; cap++)
		EXPLORE(open_two, close_two, 7, waits_on_clone, closes_clone, receives_all,
			sends_two_and_closes);
	PROVES(B233, B235);
}

/* ----------------------------------------------------------------------- starts */

static struct coop_group home;
static struct {
	bool begun, told, ended, start_returned;
	int rc;
} child;

static int gets_ready(void *arg, struct coop_start *start)
{
	int r;

	(void)arg;
	child.begun = true;
	r = coop_checkpoint();
	if (r >= 0) {
		CHECK_INT(coop_started(start, 7), ==, 0);
		child.told = true;
		r = coop_checkpoint();
	}
	child.ended = true;
	return r;
}

static int starts_one(void *arg)
{
	int value = 0, r;

	(void)arg;
	r = coop_start(&home, gets_ready, NULL, &value);
	child.start_returned = true;
	HOLDS(child.begun);
	HOLDS(r == 0 ? child.told && value == 7 : child.ended && value == 0);
	HOLDS(r == 0 || r == COOP_ECANCELED);
	saw(r == 0 ? (child.ended ? 1 : 0) : 2);
	return r;
}

static void open_home(void)
{
	memset(&child, 0, sizeof child);
	home = (struct coop_group)COOP_GROUP_INIT;
	coop_group_open(&home, &(struct coop_group_opts){ .policy = COOP_COLLECT });
}

static void join_home(void)
{
	CHECK_INT(coop_group_join(&home, 0), ==, 0);
	HOLDS(child.ended && child.start_returned);
}

/* A start is cancelled before, at and after `started`: it returns when it should (A23). */
TEST(start_against_cancel)
{
	EXPLORE(open_home, join_home, 7, starts_one, cancels_first);
	PROVES(B130);
}
