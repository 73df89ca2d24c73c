/* SPDX-License-Identifier: MIT */
/*
 * Channels: order, hand-over, what cancelling does and does not, and the sizes of values. What
 * ends and closes do is in test_channel_ends.c, the comparison with a model in
 * test_channel_model.c.
 */
#include "chan_help.h"

/* ---- the buffer */

/* A buffer of two takes two; nothing is given that was not sent. */
TASK_TEST(bounded)
{
	struct coop_chan *chan = int_chan(2);
	struct coop_group g = COOP_GROUP_INIT;
	struct call third = { 0 };

	CHECK_INT(try_recv(chan), ==, -EAGAIN);
	CHECK_INT(try_send(chan, 1), ==, 0);
	CHECK_INT(coop_chan_send(chan, &(int){ 2 }), ==, 0);
	CHECK_INT(try_send(chan, 3), ==, -EAGAIN);
	coop_group_open(&g, NULL);
	sends(&g, &third, chan, 3);
	CHECK(!third.ended);
	CHECK_INT(recv_int(chan), ==, 1);
	settle();
	CHECK_INT(third.rc, ==, 0);
	CHECK_INT(try_recv(chan), ==, 2);
	CHECK_INT(recv_int(chan), ==, 3);
	CHECK_INT(try_recv(chan), ==, -EAGAIN);
	PROVES(B222);
	finish(&g, &third, 1);
	coop_chan_free(chan);
	return 0;
}

/* Without a buffer a send ends when a receiver has the value, whoever came first. */
TASK_TEST(rendezvous)
{
	struct coop_chan *chan = int_chan(0);
	struct coop_group g = COOP_GROUP_INIT;
	struct call c[2] = { 0 };

	CHECK_INT(try_send(chan, 1), ==, -EAGAIN);
	coop_group_open(&g, NULL);
	sends(&g, &c[0], chan, 1);
	CHECK(!c[0].ended);
	CHECK_INT(stats_of(chan).used, ==, 0);
	CHECK_INT(recv_int(chan), ==, 1);
	settle();
	CHECK_INT(c[0].rc, ==, 0);

	receives(&g, &c[1], chan);
	CHECK(!c[1].ended);
	CHECK_INT(try_send(chan, 2), ==, 0);
	CHECK_INT(try_send(chan, 3), ==, -EAGAIN);
	settle();
	CHECK_INT(c[1].rc, ==, 0);
	CHECK_INT(c[1].value, ==, 2);
	PROVES(B222);
	finish(&g, c, 2);
	coop_chan_free(chan);
	return 0;
}

/* An unbounded channel takes any number, in order, and gives large rings back. */
TASK_TEST(unbounded)
{
	struct coop_chan_opts opts = { .unbounded = true };
	struct coop_chan *chan;
	int sent = 0, received = 0;

	CHECK_INT(coop_chan_new(sizeof(int), &opts, &chan), ==, 0);
	CHECK_INT(stats_of(chan).cap, ==, COOP_UNLIMITED);
	for (int round = 1; round <= 3; round++) {
		for (int i = 0; i < 40000 * round; i++) /* its begin is somewhere in the ring */
			CHECK_INT(coop_chan_send(chan, &(int){ sent++ }), ==, 0);
		for (int i = 0; i < 30000 * round; i++)
			CHECK_INT(recv_int(chan), ==, received++);
	}
	while (received < sent)
		CHECK_INT(try_recv(chan), ==, received++);
	CHECK_INT(try_recv(chan), ==, -EAGAIN);
	for (int i = 0; i < 100; i++)
		CHECK_INT(try_send(chan, i), ==, 0);
	for (int i = 0; i < 100; i++)
		CHECK_INT(recv_int(chan), ==, i);
	CHECK_INT(stats_of(chan).peak, ==, 150000);
	PROVES(B222);
	coop_chan_free(chan);
	return 0;
}

/* ---- order and hand-over */

/* Values come in the order they were sent; who waits longer is served first, on both sides. */
TASK_TEST(first_in_first_out)
{
	static const char *const names[] = { "a", "b", "c" };
	struct coop_chan *chan = int_chan(0);
	struct coop_group g = COOP_GROUP_INIT;
	struct call c[6] = { { 0 } };

	coop_group_open(&g, NULL);
	for (int i = 0; i < 3; i++) {
		c[i].name = names[i];
		receives(&g, &c[i], chan);
	}
	for (int i = 0; i < 3; i++)
		CHECK_INT(try_send(chan, i), ==, 0);
	settle();
	CHECK_TRAIL("a b c ");
	for (int i = 0; i < 3; i++)
		CHECK_INT(c[i].value, ==, i);

	for (int i = 3; i < 6; i++) {
		c[i].name = names[i - 3];
		sends(&g, &c[i], chan, i);
	}
	for (int i = 3; i < 6; i++)
		CHECK_INT(try_recv(chan), ==, i);
	settle();
	CHECK_TRAIL("a b c ");
	PROVES(B223);
	finish(&g, c, 6);
	coop_chan_free(chan);
	return 0;
}

/* A value sent while somebody waits is his before he has run: nobody else can get it. */
TASK_TEST(handed_over)
{
	struct coop_chan *chan = int_chan(3);
	struct coop_group g = COOP_GROUP_INIT;
	struct call c = { 0 };

	coop_group_open(&g, NULL);
	receives(&g, &c, chan);
	CHECK_INT(try_send(chan, 7), ==, 0);
	CHECK_INT(try_recv(chan), ==, -EAGAIN);
	CHECK_INT(c.value, ==, 7); /* straight into its frame */
	CHECK(!c.ended);
	settle();
	CHECK_INT(c.rc, ==, 0);
	PROVES(B224);
	finish(&g, &c, 1);
	coop_chan_free(chan);
	return 0;
}

/* A place that becomes free belongs to the first who waits to send, before he has run. */
TASK_TEST(free_place_is_taken)
{
	struct coop_chan *chan = int_chan(1);
	struct coop_group g = COOP_GROUP_INIT;
	struct call c[2] = { 0 };

	CHECK_INT(try_send(chan, 1), ==, 0);
	coop_group_open(&g, NULL);
	sends(&g, &c[0], chan, 2);
	sends(&g, &c[1], chan, 3);
	CHECK_INT(try_recv(chan), ==, 1);
	CHECK_INT(try_send(chan, 9), ==, -EAGAIN);
	CHECK(!c[0].ended);
	settle();
	CHECK_INT(c[0].rc, ==, 0);
	CHECK(!c[1].ended);
	CHECK_INT(try_recv(chan), ==, 2);
	CHECK_INT(try_recv(chan), ==, 3);
	CHECK_INT(try_recv(chan), ==, -EAGAIN);
	settle();
	CHECK_INT(c[1].rc, ==, 0);
	PROVES(B225);
	finish(&g, c, 2);
	coop_chan_free(chan);
	return 0;
}

/* ---- cancelling */

/* Who is cancelled while he waits to receive takes nothing along, and holds up nobody. */
TASK_TEST(cancelled_receiver)
{
	struct coop_chan *chan = int_chan(1);
	struct coop_group g = COOP_GROUP_INIT;
	struct call c[3] = { 0 };

	coop_group_open(&g, NULL);
	for (int i = 0; i < 3; i++)
		receives(&g, &c[i], chan);
	CHECK_INT(coop_handle_cancel(c[0].handle, NULL), ==, 0);
	CHECK_INT(try_send(chan, 1), ==, 0); /* before the cancelled one has run */
	settle();
	CHECK_INT(c[0].rc, ==, COOP_ECANCELED);
	CHECK_INT(c[0].value, ==, -1);
	CHECK_INT(c[1].rc, ==, 0);
	CHECK_INT(c[1].value, ==, 1);
	CHECK_INT(coop_handle_cancel(c[2].handle, NULL), ==, 0);
	CHECK_INT(try_send(chan, 2), ==, 0);
	settle();
	CHECK_INT(c[2].rc, ==, COOP_ECANCELED);
	CHECK_INT(try_recv(chan), ==, 2);
	PROVES(B226);
	finish(&g, c, 3);
	coop_chan_free(chan);
	return 0;
}

/* Who was given a value, and is cancelled before he runs, has received it. */
TASK_TEST(received_then_cancelled)
{
	struct coop_chan *chan = int_chan(0);
	struct coop_group g = COOP_GROUP_INIT;
	struct call c = { 0 };

	coop_group_open(&g, NULL);
	receives(&g, &c, chan);
	CHECK_INT(try_send(chan, 5), ==, 0);
	CHECK_INT(coop_handle_cancel(c.handle, NULL), ==, 0);
	settle();
	CHECK_INT(c.rc, ==, 0);
	CHECK_INT(c.value, ==, 5);
	PROVES(B227);
	finish(&g, &c, 1);
	coop_chan_free(chan);
	return 0;
}

/* Who is cancelled while he waits to send has sent nothing; the next takes his place. */
TASK_TEST(cancelled_sender)
{
	struct coop_chan *chan = int_chan(1);
	struct coop_group g = COOP_GROUP_INIT;
	struct call c[3] = { 0 };

	CHECK_INT(try_send(chan, 0), ==, 0);
	coop_group_open(&g, NULL);
	for (int i = 0; i < 3; i++)
		sends(&g, &c[i], chan, i + 1);
	CHECK_INT(coop_handle_cancel(c[0].handle, NULL), ==, 0);
	CHECK_INT(try_recv(chan), ==, 0);                        /* the place goes to the second */
	CHECK_INT(coop_handle_cancel(c[1].handle, NULL), ==, 0); /* too late */
	settle();
	CHECK_INT(c[0].rc, ==, COOP_ECANCELED);
	CHECK_INT(c[1].rc, ==, 0);
	CHECK_INT(try_recv(chan), ==, 2);
	CHECK_INT(try_recv(chan), ==, 3);
	CHECK_INT(try_recv(chan), ==, -EAGAIN);
	settle();
	CHECK_INT(c[2].rc, ==, 0);
	CHECK_INT(stats_of(chan).sent, ==, 3);
	PROVES(B228);
	finish(&g, c, 3);
	coop_chan_free(chan);
	return 0;
}

/* In a cancelled scope a send has no effect and a receive takes nothing, however ready. */
TASK_TEST(cancelled_before)
{
	struct coop_chan *chan = int_chan(2);
	struct coop_scope s = COOP_SCOPE_INIT;
	int value = -1;

	CHECK_INT(try_send(chan, 1), ==, 0);
	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, NULL);
	CHECK_INT(coop_chan_send(chan, &(int){ 2 }), ==, COOP_ECANCELED);
	CHECK_INT(coop_chan_recv(chan, &value), ==, COOP_ECANCELED);
	CHECK_INT(value, ==, -1);
	CHECK_INT(coop_chan_join(chan), ==, COOP_ECANCELED);
	CHECK_INT(stats_of(chan).used, ==, 1);
	CHECK_INT(try_send(chan, 3), ==, 0); /* these do not look */
	CHECK_INT(try_recv(chan), ==, 1);
	CHECK_INT(try_recv(chan), ==, 3);
	PROVES(B229);
	CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, 0);
	coop_chan_free(chan);
	return 0;
}

/* A time limit takes a waiter out like any cancel. */
static int recv_arg(void *arg)
{
	struct call *c = arg;

	return coop_chan_recv(c->chan, &c->value);
}

TASK_TEST(receive_with_a_time_limit)
{
	struct call c = { .chan = int_chan(1), .value = -1 };

	CHECK_INT(coop_fail_after(MS(5), recv_arg, &c), ==, COOP_ETIMEDOUT);
	CHECK_INT(now_ms(), ==, 5);
	CHECK_INT(try_send(c.chan, 1), ==, 0);
	CHECK_INT(try_recv(c.chan), ==, 1);
	CHECK_INT(c.value, ==, -1);
	coop_chan_free(c.chan);
	return 0;
}

/* ---- checkpoints */

/* A send or receive that need not wait lets others run when the budget is used up. */
static int counts_up(void *arg)
{
	for (int r = 0; r >= 0; r = coop_yield())
		if (++*(int *)arg == 100)
			break;
	return 0;
}

TASK_TEST(always_checkpoints)
{
	struct coop_chan *chan = int_chan(1);
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_checkpoint_mark mark;
	int others = 0, value;

	mark = coop_test_checkpoints();
	CHECK_INT(coop_chan_send(chan, &(int){ 1 }), ==, 0);
	coop_assert_checkpoint(mark);
	mark = coop_test_checkpoints();
	CHECK_INT(coop_chan_recv(chan, &value), ==, 0);
	coop_assert_checkpoint(mark);
	mark = coop_test_checkpoints();
	CHECK_INT(try_send(chan, 1), ==, 0);
	CHECK_INT(try_send(chan, 1), ==, -EAGAIN);
	CHECK_INT(try_recv(chan), ==, 1);
	CHECK_INT(try_recv(chan), ==, -EAGAIN);
	CHECK_INT(coop_chan_done(chan), ==, 0);
	CHECK_INT(coop_chan_done(chan), ==, 0);
	coop_assert_no_checkpoint(mark);
	mark = coop_test_checkpoints();
	CHECK_INT(coop_chan_join(chan), ==, 0);
	coop_assert_checkpoint(mark);

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, counts_up, &others), ==, 0);
	for (int i = 0; i < 640; i++) {
		CHECK_INT(coop_chan_send(chan, &i), ==, 0);
		CHECK_INT(coop_chan_recv(chan, &value), ==, 0);
	}
	CHECK_INT(others, >=, 9);
	CHECK_INT(others, <=, 11);
	coop_chan_close_send(chan);
	mark = coop_test_checkpoints();
	CHECK_INT(coop_chan_recv(chan, &value), ==, COOP_EOF);
	CHECK_INT(coop_chan_send(chan, &value), ==, COOP_ECLOSED);
	coop_assert_checkpoint(mark);
	coop_chan_free(chan);
	return coop_group_join(&g, 0);
}

/* ---- values of all sizes */

struct parcel {
	struct coop_chan *chan;
	unsigned char *out;
	int rc;
};

static int receives_parcel(void *arg)
{
	struct parcel *p = arg;

	p->rc = coop_chan_recv(p->chan, p->out);
	return 0;
}

static int sends_parcel(void *arg)
{
	struct parcel *p = arg;

	p->rc = coop_chan_send(p->chan, p->out);
	return 0;
}

/* Through the ring or from frame to frame, by each kind of call: 0 to 3. */
static int pass_one(struct coop_chan *chan, unsigned char *in, unsigned char *out, unsigned how)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct parcel p = { .chan = chan, .out = how == 2 ? out : in };

	if (how == 0)
		return coop_chan_try_send(chan, in) | coop_chan_try_recv(chan, out);
	if (how == 1)
		return coop_chan_send(chan, in) | coop_chan_recv(chan, out);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, how == 2 ? receives_parcel : sends_parcel, &p), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
	CHECK_INT(how == 2 ? coop_chan_send(chan, in) : coop_chan_recv(chan, out), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	return p.rc;
}

static void pass_size(size_t bytes, uint32_t cap)
{
	unsigned char *in = malloc(bytes + 1), *out = malloc(bytes + 1);
	struct coop_chan *chan;

	CHECK_INT(coop_chan_new(bytes, &(struct coop_chan_opts){ .cap = cap }, &chan), ==, 0);
	out[bytes] = 0xee;
	for (unsigned round = 0; round < 4 + 4 * cap; round++) {
		for (size_t i = 0; i < bytes; i++)
			in[i] = (unsigned char)(i * 7 + round);
		memset(out, 0, bytes);
		CHECK_INT(pass_one(chan, in, out, cap ? round % 4 : 2 + round % 2), ==, 0);
		CHECK(memcmp(in, out, bytes) == 0);
		CHECK_INT(out[bytes], ==, 0xee);
	}
	coop_chan_free(chan);
	free(in);
	free(out);
}

/* Each size comes as it was sent, and no byte more is written. */
TASK_TEST(values_of_all_sizes)
{
	static const size_t sizes[] = { 1, 2, 3, 4, 5, 8, 12, 16, 17, 32, 100, 4096, 1 << 20 };
	struct coop_chan *chan = NULL;

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (uint32_t cap = 0; cap <= 3; cap += 3)
			pass_size(sizes[i], cap);
	CHECK_INT(coop_chan_new(COOP_CHAN_ITEM_MAX + 1, NULL, &chan), ==, -EMSGSIZE);
	CHECK_INT(coop_chan_new((size_t)1 << 30, NULL, &chan), ==, -EMSGSIZE);
	CHECK(!chan);
	return 0;
}

/* Values of no bytes are signals: buffered, counted, handed over like others. */
static void signals(const struct coop_chan_opts *opts)
{
	struct coop_chan *chan;
	struct coop_group g = COOP_GROUP_INIT;
	struct call c = { .rc = 0 };

	CHECK_INT(coop_chan_new(0, opts, &chan), ==, 0);
	coop_group_open(&g, NULL);
	c.chan = chan;
	start(&g, task_receives, &c);
	CHECK_INT(coop_chan_try_send(chan, NULL), ==, 0);
	settle();
	CHECK_INT(c.rc, ==, 0);
	for (uint32_t i = 0; i < 300; i++)
		CHECK_INT(coop_chan_try_send(chan, NULL), ==,
			  opts->unbounded || i < opts->cap ? 0 : -EAGAIN);
	CHECK_INT(stats_of(chan).used, ==, opts->unbounded ? 300 : opts->cap);
	for (uint32_t i = 0; i < 300; i++)
		CHECK_INT(coop_chan_try_recv(chan, NULL), ==,
			  opts->unbounded || i < opts->cap ? 0 : -EAGAIN);
	finish(&g, &c, 1);
	coop_chan_free(chan);
}

TASK_TEST(signals_without_a_value)
{
	signals(&(struct coop_chan_opts){ .cap = 0 });
	signals(&(struct coop_chan_opts){ .cap = 2 });
	signals(&(struct coop_chan_opts){ .unbounded = true });
	return 0;
}

/* Options that mean nothing are refused, and leave nothing behind. */
TASK_TEST(bad_options)
{
	struct coop_chan *chan = NULL;
	struct coop_chan_opts reserved = { .cap = 1 };

	reserved._reserved[3] = 1;
	CHECK_INT(coop_chan_new(1, &reserved, &chan), ==, -EINVAL);
	CHECK_INT(coop_chan_new(1, &(struct coop_chan_opts){ .cap = 1, .unbounded = true }, &chan),
		  ==, -EINVAL);
	CHECK_INT(coop_chan_new(1, &(struct coop_chan_opts){ .cap = COOP_UNLIMITED }, &chan), ==,
		  -EINVAL);
	CHECK(!chan);
	return 0;
}

/* Outside of tasks no channel is made. */
TEST(outside_of_tasks)
{
	struct coop_chan *chan = NULL;

	CHECK_INT(coop_chan_new(1, NULL, &chan), ==, COOP_ENOTASK);
	CHECK(!chan);
	CHECK(!coop_chan_free(NULL));
}
