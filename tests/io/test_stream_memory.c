/* SPDX-License-Identifier: MIT */
/*
 * Memory streams: their bounds, who meets whom in which order, and what is left behind.
 */
#include "stream_help.h"

/* A buffer of so many bytes takes so many; the next one waits until there is room. */
TASK_TEST(bounded)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_stream a, b;
	char out[] = "0123456789", in[16] = "";
	struct io io = { .s = &a, .buf = out, .bytes = 10 };

	CHECK_INT(coop_memory_stream_pair(0, &a, &b), ==, -EINVAL);
	CHECK_INT(coop_memory_stream_pair((size_t)COOP_MEMORY_STREAM_MAX + 1, &a, &b), ==, -EINVAL);
	CHECK_INT(coop_memory_stream_pair(SIZE_MAX, &a, &b), ==, -EINVAL);
	CHECK_INT(coop_memory_stream_pair(4, &a, &b), ==, 0);
	coop_group_open(&g, NULL);
	start(&g, io_sends, &io);
	CHECK(!io.ended);
	CHECK_INT(coop_stream_recv(&b, in, 16), ==, 4);
	CHECK_STR(in, "0123");
	settle();
	CHECK(!io.ended); /* 4 to 7 are in the buffer, the rest waits */
	CHECK_INT(coop_stream_recv(&b, in, 1), ==, 1);
	CHECK_INT(in[0], ==, '4');
	settle();
	CHECK(!io.ended);
	CHECK_INT(coop_stream_recv(&b, in, 16), ==, 4);
	finish(&io);
	CHECK_INT(io.rc, ==, 0);
	CHECK_INT(coop_stream_recv(&b, in, 16), ==, 1);
	CHECK_INT(in[0], ==, '9');
	CHECK_INT(coop_stream_close(&a), ==, 0);
	CHECK_INT(coop_stream_close(&b), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	return 0;
}

/* What was received when the cancel came is received; what was not is still there. */
TASK_TEST(byte_and_cancel_at_once)
{
	for (int cancel_first = 0; cancel_first < 2; cancel_first++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct coop_stream a, b;
		char in[4] = "";
		struct io io = { .s = &b, .buf = in, .bytes = 4 };

		CHECK_INT(coop_memory_stream_pair(4, &a, &b), ==, 0);
		coop_group_open(&g, NULL);
		start(&g, io_receives, &io);
		if (cancel_first)
			coop_handle_cancel(io.handle, "first");
		sends(&a, "x");
		if (!cancel_first)
			coop_handle_cancel(io.handle, "second");
		finish(&io);
		CHECK_INT(io.rc, ==, cancel_first ? COOP_ECANCELED : 1);
		CHECK_INT(in[0], ==, cancel_first ? 0 : 'x');
		if (cancel_first)
			receives(&b, "x");
		CHECK_INT(coop_stream_close(&a), ==, 0);
		receives_end(&b);
		CHECK_INT(coop_stream_close(&b), ==, 0);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
	}
	return 0;
}

/* The same for a sender that waits for room: what the receiver has taken was sent. */
TASK_TEST(room_and_cancel_at_once)
{
	for (int cancel_first = 0; cancel_first < 2; cancel_first++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct coop_stream a, b;
		char out[] = "wx", in[4] = "";
		struct io io = { .s = &a, .buf = out, .bytes = 2 };

		CHECK_INT(coop_memory_stream_pair(2, &a, &b), ==, 0);
		sends(&a, "uv");
		coop_group_open(&g, NULL);
		start(&g, io_sends, &io);
		CHECK(!io.ended);
		if (cancel_first)
			coop_handle_cancel(io.handle, "first");
		CHECK_INT(coop_stream_recv(&b, in, 4), ==, 2);
		if (!cancel_first)
			coop_handle_cancel(io.handle, "second");
		finish(&io);
		CHECK_INT(io.rc, ==, cancel_first ? COOP_ECANCELED : 0);
		CHECK_INT(io.done, ==, cancel_first ? 0 : 2);
		CHECK_INT(coop_stream_close(&a), ==, 0);
		if (!cancel_first)
			receives(&b, "wx");
		receives_end(&b);
		CHECK_INT(coop_stream_close(&b), ==, 0);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
	}
	return 0;
}

/* Closing and aborting settle everybody who waits, on either side. */
TASK_TEST(ends_settle_who_waits)
{
	static const struct {
		bool of_peer, abort;
		int sender, receiver;
	} cases[] = {
		{ false, false, COOP_ECLOSED, COOP_ECLOSED },
		{ false, true, COOP_ECLOSED, COOP_ECLOSED },
		{ true, false, -EPIPE, 0 },
		{ true, true, -ECONNRESET, -ECONNRESET },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct coop_stream a, b, *s = cases[i].of_peer ? &b : &a;
		char out[] = "xyz", in[4];
		struct io sender = { .s = &a, .buf = out, .bytes = 3 };
		struct io receiver = { .s = &a, .buf = in, .bytes = 3 };

		CHECK_INT(coop_memory_stream_pair(1, &a, &b), ==, 0);
		coop_group_open(&g, NULL);
		start(&g, io_sends, &sender);
		start(&g, io_receives, &receiver);
		CHECK(!sender.ended && !receiver.ended);
		CHECK_INT(cases[i].abort ? coop_stream_abort(s) : coop_stream_close(s), ==, 0);
		finish(&sender);
		finish(&receiver);
		CHECK_INT(sender.rc, ==, cases[i].sender);
		CHECK_INT(sender.done, ==, 1);
		CHECK_INT(receiver.rc, ==, cases[i].receiver);
		coop_stream_close(&a);
		coop_stream_close(&b);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
	}
	return 0;
}

/* Against a plain queue: any sizes of buffer, of what is sent and of what is received. */
TASK_TEST(model)
{
	unsigned random = 12345;
	size_t capacities[] = { 1, 2, 3, 7, 64 };

	for (size_t c = 0; c < 5; c++) {
		struct coop_stream a, b;
		size_t sent = 0, got = 0;
		char buf[64];

		CHECK_INT(coop_memory_stream_pair(capacities[c], &a, &b), ==, 0);
		for (int step = 0; step < TEST_COUNT(20000, 1000); step++) {
			size_t room = capacities[c] - (sent - got), n;

			random = random * 1103515245u + 12345u;
			n = 1 + (random >> 16) % 64;
			if (random >> 31 && room) {
				n = n < room ? n : room;
				fill_pattern(buf, n, sent);
				CHECK_INT(coop_stream_send_all(&a, buf, n, NULL), ==, 0);
				sent += n;
			} else if (sent > got) {
				int r = coop_stream_recv(&b, buf, n);

				CHECK_INT(r, ==, n < sent - got ? n : sent - got);
				check_pattern(buf, (size_t)r, got);
				got += (size_t)r;
			}
		}
		CHECK_INT(coop_stream_close(&a), ==, 0);
		CHECK_INT(coop_stream_close(&b), ==, 0);
	}
	return 0;
}

static struct coop_stream left_a, left_b;

static int leaves_one(void *arg)
{
	(void)arg;
	CHECK_INT(coop_memory_stream_pair(8, &left_a, &left_b), ==, 0);
	return coop_stream_close(&left_a);
}

/* A pair that was not closed is reported with its place; it can be closed after the run. */
TEST(left_behind)
{
	keep_records(COOP_LOG_WARN);
	CHECK_INT(coop_run(leaves_one, NULL, &virtual_clock), ==, 0);
	CHECK_HAS(records, "one was never closed");
	CHECK_HAS(records, "test_stream_memory.c");
	CHECK_INT(coop_stream_close(&left_b), ==, 0);
}

static int waits_for_ever(void *arg)
{
	struct coop_stream a, b;
	char c;
	int r;

	(void)arg;
	CHECK_INT(coop_memory_stream_pair(8, &a, &b), ==, 0);
	r = coop_stream_recv(&b, &c, 1);
	coop_stream_close(&a);
	coop_stream_close(&b);
	return r;
}

/* Nobody is there to send: the run finds out that it waits for nothing. */
TEST(deadlock_is_found)
{
	CHECK_INT(coop_run(waits_for_ever, NULL, &virtual_clock), ==, -EDEADLK);
	coop_error_clear();
}
