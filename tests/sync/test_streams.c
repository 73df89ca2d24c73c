/* SPDX-License-Identifier: MIT */
/*
 * The program of examples/asyncio/streams.c from inside: streams are closed on every path, the
 * last one first, and whoever is cancelled can tell whose failure it was.
 */
#include "compose_help.h"

/* A stream, its two ends as holds of their own, and one to look through, which has no ends. */
struct stream {
	struct coop_chan *send, *recv, *look;
};

static struct stream a, b;

static void make_stream(struct stream *s)
{
	struct coop_chan_opts opts = { .cap = 1 };

	CHECK_INT(coop_chan_new(sizeof(int), &opts, &s->look), ==, 0);
	CHECK_INT(coop_chan_clone_send(s->look, &s->send), ==, 0);
	CHECK_INT(coop_chan_clone_recv(s->look, &s->recv), ==, 0);
	CHECK_INT(coop_chan_close_send(s->look), ==, 0);
	CHECK_INT(coop_chan_close_recv(s->look), ==, 0);
}

static void check_closed(struct stream *s)
{
	struct coop_chan_stats stats;

	coop_chan_stats(s->look, &stats);
	CHECK_INT(stats.send_ends, ==, 0);
	CHECK_INT(stats.recv_ends, ==, 0);
	coop_chan_free(s->look);
}

static int close_end(void *arg)
{
	struct coop_chan **end = arg;

	say("%s ", end == &a.send ? "a" : end == &b.send ? "b" : "r");
	*end = coop_chan_free(*end);
	return 0;
}

/* Holds both send ends for `ms`, and ends with `code`. */
struct holder {
	int64_t ms;
	int code;
};

static int holds_two(void *arg)
{
	struct coop_defer first = COOP_DEFER_INIT, second = COOP_DEFER_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	struct holder *h = arg;
	int r;

	coop_scope_open(&s, NULL);
	CHECK_INT(coop_scope_defer(&s, &first, close_end, &a.send), ==, 0);
	CHECK_INT(coop_scope_defer(&s, &second, close_end, &b.send), ==, 0);
	CHECK_INT(coop_started(NULL, 0), ==, 0);
	r = coop_sleep(MS(h->ms));
	if (r >= 0 && h->code < 0)
		r = coop_fail(h->code, "held long enough");
	return coop_scope_close(&s, r);
}

/* Well, failed or cancelled: the streams are closed, the one opened last first. */
TASK_TEST(closed_on_every_path)
{
	struct holder well = { 5, 0 }, fails = { 5, -EIO }, long_one = { 90, 0 };
	struct holder *holders[] = { &well, &fails, &long_one };
	static const int results[] = { 0, -EIO, COOP_ECANCELED };

	for (int i = 0; i < 3; i++) {
		make_stream(&a);
		make_stream(&b);
		CHECK_INT(cancelled_after(50, holds_two, holders[i]), ==, results[i]);
		CHECK_TRAIL("b a ");
		a.recv = coop_chan_free(a.recv);
		b.recv = coop_chan_free(b.recv);
		check_closed(&a);
		check_closed(&b);
		coop_error_clear();
	}
	PROVES(S43, S44);
	return 0;
}

static int process_result(void *arg)
{
	int result, r = coop_chan_recv(a.recv, &result);

	(void)arg;
	return r < 0 ? r : coop_fail(-EPROTO, "result %d is not good", result);
}

/* Notes why it was cancelled, and when. */
static int coroutine2(void *arg)
{
	struct coop_cancel_info *why = arg;
	int r = coop_sleep(SEC(1));

	if (r == COOP_ECANCELED)
		CHECK(coop_cancel_reason(why));
	return r;
}

/* The failure cancels all at once, and each cancelled task can say whose it was. */
TASK_TEST(cancelled_by_a_failure)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_cancel_info why[2] = { { .source = COOP_CANCEL_NONE } };
	struct coop_error_info info;
	int one = 1, r;

	make_stream(&a);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, coroutine2, &why[0]), ==, 0);
	CHECK_INT(coop_spawn(&g, coroutine2, &why[1]), ==, 0);
	CHECK_INT(coop_spawn(&g, process_result, NULL), ==, 0);
	CHECK_INT(coop_chan_send(a.send, &one), ==, 0);
	r = coop_group_join(&g, 0);
	CHECK_INT(r, ==, -EPROTO);
	CHECK_INT(now_ms(), ==, 0);
	coop_error_describe(coop_error_peek(r), &info);
	CHECK_INT(info.members, ==, 1);
	CHECK_INT(info.cancelled, ==, 2);
	PROVES(S42);
	for (int i = 0; i < 2; i++)
		CHECK_STR(why[i].text, "child \"process_result\" failed");
	PROVES(S45);
	coop_error_clear();
	coop_chan_free(a.send);
	coop_chan_free(a.recv);
	coop_chan_free(a.look);
	return 0;
}
