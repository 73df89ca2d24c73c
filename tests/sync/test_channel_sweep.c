/* SPDX-License-Identifier: MIT */
/*
 * Every call of channel.h in one program, cancelled at each of its checkpoints, run with each of
 * its allocations failing, and under many orders. Values are counted: each that was made is
 * received, destroyed, or still its sender's; and in the end nothing is left. And S42 to S45:
 * streams between the tasks of a group.
 */
#include "chan_help.h"

static int made, kept, got, gone, told;

static void destroy_counted(void *item, void *ctx)
{
	(void)ctx;
	CHECK_INT(*(int *)item, >, 0);
	gone++;
}

/* Makes values and sends them, in turn by a plain call and by a select with a time limit. */
static int producer(void *arg)
{
	struct coop_chan *tx = arg;
	int r = 0;

	for (int i = 0; r >= 0 && i < 4; i++) {
		int value = ++made;
		struct coop_case c = coop_case_send(tx, &value);

		if (i % 2) {
			r = coop_select(&c, 1, &(struct coop_select_opts){ .timeout_ns = SEC(1) });
			if (r >= 0)
				r = c.rc;
		} else {
			r = coop_chan_send(tx, &value);
		}
		kept += r < 0;
	}
	coop_chan_free(tx);
	return r;
}

static int consumer(void *arg)
{
	struct coop_chan *rx = arg;
	int value = 0, r;

	while ((r = coop_chan_recv(rx, &value)) == 0) {
		got++;
		r = coop_sleep(MS(1));
		CHECK_INT(coop_chan_done(rx), ==, 0);
		if (r < 0)
			break;
	}
	coop_chan_free(rx);
	return r == COOP_EOF ? 0 : r;
}

struct hall {
	struct coop_broadcast *news;
	struct coop_watch *watch;
	int heard, seen;
};

static int hears(void *arg)
{
	struct hall *h = arg;
	uint64_t at = 0;
	int value, r;

	while ((r = coop_broadcast_recv(h->news, &at, &value)) >= 0)
		h->heard += 1 + r;
	return r == COOP_EOF ? 0 : r;
}

static int sees(void *arg)
{
	struct hall *h = arg;
	struct coop_case c[2];
	uint64_t seen = 0;
	int value, r;

	c[0] = coop_case_watch(h->watch, &seen, &value);
	c[1] = coop_case_timeout(SEC(2));
	r = coop_watch_wait(h->watch, &seen, &value);
	h->seen += r >= 0;
	while (r >= 0) {
		r = coop_select(c, 2, &(struct coop_select_opts){ .fair = true });
		if (r >= 0)
			r = c[r].rc;
		h->seen += r >= 0;
	}
	return r == COOP_EOF ? 0 : r;
}

/* Spawns fn with an end of its own, which it gives back; here only if it cannot be spawned. */
static int with_end(struct coop_group *g, coop_fn *fn, struct coop_chan *chan, bool send)
{
	struct coop_chan *end;
	int r = send ? coop_chan_clone_send(chan, &end) : coop_chan_clone_recv(chan, &end);

	if (r < 0)
		return r;
	r = coop_spawn(g, fn, end);
	if (r < 0)
		coop_chan_free(end);
	return r;
}

static int pass_values(struct coop_chan *chan)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r = coop_group_open(&g, NULL);

	for (int i = 0; r >= 0 && i < 2; i++)
		r = with_end(&g, producer, chan, true);
	for (int i = 0; r >= 0 && i < 2; i++)
		r = with_end(&g, consumer, chan, false);
	coop_chan_close_send(chan);
	coop_chan_close_recv(chan);
	if (r >= 0)
		r = coop_chan_join(chan);
	return coop_group_join(&g, r);
}

static int use_hall(struct hall *h)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r = coop_group_open(&g, NULL);

	if (r >= 0)
		r = coop_spawn(&g, hears, h);
	if (r >= 0)
		r = coop_spawn(&g, sees, h);
	for (int i = 0; r >= 0 && i < 3; i++) {
		r = coop_sleep(MS(1));
		if (r >= 0)
			r = coop_broadcast_send(h->news, &i);
		if (r >= 0)
			r = coop_watch_set(h->watch, &i);
	}
	coop_broadcast_close(h->news);
	coop_watch_close(h->watch);
	return coop_group_join(&g, r);
}

static int program(void *arg)
{
	struct coop_chan_opts opts = { .cap = (uint32_t)(intptr_t)arg, .destroy = destroy_counted };
	struct coop_chan *chan = NULL;
	struct hall h = { .news = NULL };
	int r;

	opts.unbounded = opts.cap == COOP_UNLIMITED;
	if (opts.unbounded)
		opts.cap = 0;
	r = coop_chan_new(sizeof(int), &opts, &chan);
	if (r >= 0)
		r = pass_values(chan);
	coop_chan_free(chan);
	if (r >= 0)
		r = coop_broadcast_new(sizeof(int), NULL, &h.news);
	if (r >= 0)
		r = coop_watch_new(sizeof(int), NULL, "w", &h.watch);
	if (r >= 0)
		r = use_hall(&h);
	coop_broadcast_free(h.news);
	coop_watch_free(h.watch);
	told = h.heard + h.seen;
	return r;
}

static const char *even(int rc, uint64_t n, void *ctx)
{
	static char text[100];
	bool wrong = made != kept + got + gone;

	snprintf(text, sizeof text, "rc %d: %d made, %d kept, %d received, %d destroyed", rc, made,
		 kept, got, gone);
	if (rc == 0)
		wrong |= (n == 0 || *(int *)ctx == 0) && (got != 8 || told != 6);
	else
		wrong |= rc != *(int *)ctx && rc != COOP_ECANCELED;
	made = kept = got = gone = told = 0;
	return wrong ? text : NULL;
}

static void *const caps[] = { (void *)0, (void *)1, (void *)3, (void *)(intptr_t)COOP_UNLIMITED };

/* Cancelled anywhere, no value is lost or comes twice, and every end is given back. */
TEST(cancelled_at_each_checkpoint)
{
	int also = COOP_ECANCELED;
	struct coop_sweep s;

	TEST_SECONDS(60);
	for (int i = 0; i < 4; i++) {
		if (coop_sweep_cancel(program, caps[i], NULL, even, &also, &s) != 0)
			FAIL("checkpoint %d of %d: %s", (int)s.failed_at, (int)s.runs, s.why);
		CHECK_INT(s.injected, >, 20);
	}
	PROVES(B226, B228, B174);
}

/* Without memory, for once or from then on, calls fail, and nothing else goes wrong. */
TEST(without_memory)
{
	int also = -ENOMEM;
	struct coop_sweep s;

	TEST_SECONDS(60);
	for (int i = 0; i < 8; i++) {
		if (coop_sweep_alloc(program, caps[i / 2], NULL, i % 2, even, &also, &s) != 0)
			FAIL("allocation %d of %d: %s", (int)s.failed_at, (int)s.runs, s.why);
		CHECK_INT(s.injected, >, 5);
	}
}

/* In whatever order tasks run. */
TEST(in_many_orders)
{
	int also = 0;

	for (int i = 0; i < 4; i++)
		CHECK_INT(coop_sweep_seeds(program, caps[i], NULL, 1, TEST_COUNT(500, 50), even,
					   &also, NULL),
			  ==, 0);
}

/* ---- streams between the tasks of a group (S42 to S45) */

struct stage {
	struct coop_chan *in, *out;
	char reason[160];
	int rc;
	int64_t at_ms;
};

static struct stage stages[2];
static struct coop_chan *streams[3];

static int close_stream(void *arg)
{
	say("%d ", (int)((struct coop_chan **)arg - streams));
	coop_chan_close_recv(*(struct coop_chan **)arg);
	coop_chan_close_send(*(struct coop_chan **)arg);
	return 0;
}

/* As a function called directly it has no starter: coop_started is nothing then. */
static int coroutine(struct stage *s, struct coop_start *start)
{
	struct coop_cancel_info why;

	CHECK_INT(coop_started(start, 0), ==, 0);
	s->rc = coop_sleep(SEC(1));
	s->at_ms = now_ms();
	if (coop_cancel_reason(&why))
		snprintf(s->reason, sizeof s->reason, "%s", why.text);
	if (s->rc < 0)
		return s->rc;
	say("result ");
	return coop_chan_send(s->out, &(int){ 1 });
}

static int runs_coroutine(void *arg)
{
	return coroutine(arg, NULL);
}

static int process_result(void *arg)
{
	(void)arg;
	return coop_fail(-EPROTO, "no such result");
}

static int three_streams(struct coop_group *g)
{
	static struct coop_defer defers[3];
	int r = 0;

	for (int i = 0; r >= 0 && i < 3; i++) {
		defers[i] = (struct coop_defer)COOP_DEFER_INIT;
		r = coop_chan_new(sizeof(int), &(struct coop_chan_opts){ .cap = 1 }, &streams[i]);
		if (r >= 0)
			r = coop_scope_defer(coop_group_scope(g), &defers[i], close_stream,
					     &streams[i]);
	}
	for (int i = 0; r >= 0 && i < 2; i++) {
		stages[i] = (struct stage){ .in = streams[i], .out = streams[i + 1] };
		r = coop_spawn(g, runs_coroutine, &stages[i]);
	}
	if (r >= 0)
		r = coop_spawn(g, process_result, NULL);
	return r;
}

static int streams_run(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	begin_ns = coop_now();
	coop_group_open(&g, NULL);
	r = coop_group_join(&g, three_streams(&g));
	for (int i = 0; i < 3; i++) {
		CHECK_INT(stats_of(streams[i]).send_ends, ==, 0);
		CHECK_INT(stats_of(streams[i]).recv_ends, ==, 0);
		coop_chan_free(streams[i]);
	}
	return r;
}

/* One fails: nothing is printed, all end at once, knowing why; streams close last in first out. */
TEST(streams_of_a_failing_group)
{
	struct coop_error_info info;
	const struct coop_error *e;

	CHECK_INT(coop_run(streams_run, NULL, &virtual_clock), ==, -EPROTO);
	e = coop_error_peek(-EPROTO);
	coop_error_describe(e, &info);
	CHECK_INT(info.members, ==, 1);
	CHECK_INT(info.cancelled, ==, 2);
	CHECK_TRAIL("2 1 0 ");
	for (int i = 0; i < 2; i++) {
		CHECK_INT(stages[i].rc, ==, COOP_ECANCELED);
		CHECK_INT(stages[i].at_ms, ==, 0);
		CHECK_STR(stages[i].reason, "child \"process_result\" failed");
	}
	PROVES(S42, S43, S44, S45);
	coop_error_clear();
}
