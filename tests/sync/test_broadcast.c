/* SPDX-License-Identifier: MIT */
/*
 * Broadcasts and watches: every receiver sees every value, or is told how many it has missed;
 * a watch gives the latest. Waiting, cancelling, closing, selecting.
 */
#include "chan_help.h"

static struct coop_broadcast *int_broadcast(uint32_t cap)
{
	struct coop_broadcast *b;

	CHECK_INT(coop_broadcast_new(sizeof(int),
				     &(struct coop_broadcast_opts){ .cap = cap, .name = "news" },
				     &b),
		  ==, 0);
	return b;
}

static int tell(struct coop_broadcast *b, int value)
{
	return coop_broadcast_send(b, &value);
}

/* One who listens: all that it heard and missed, in order, and how it ended. */
struct listener {
	struct coop_broadcast *b;
	uint64_t at;
	int heard[32], count, missed, rc;
	struct coop_handle *handle;
};

static int listens(void *arg)
{
	struct listener *l = arg;
	int r, value = -1;

	while ((r = coop_broadcast_recv(l->b, &l->at, &value)) >= 0) {
		l->missed += r;
		l->heard[l->count++] = value;
	}
	l->rc = r;
	return r == COOP_ECANCELED ? r : 0;
}

static void start_listener(struct coop_group *g, struct listener *l)
{
	l->rc = PENDING;
	CHECK_INT(coop_spawn_with(g, listens, l, NULL, &l->handle), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
}

static void end_listener(struct listener *l)
{
	settle();
	CHECK(l->rc != PENDING);
	coop_handle_release(l->handle);
}

/* Each receiver gets each value from where it began, in order. */
TASK_TEST(everybody_hears_everything)
{
	struct coop_broadcast *b = int_broadcast(8);
	struct coop_group g = COOP_GROUP_INIT;
	struct listener l[3] = { { .b = b }, { .b = b }, { .b = b } };

	coop_group_open(&g, NULL);
	start_listener(&g, &l[0]);
	CHECK_INT(tell(b, 0), ==, 0);
	l[1].at = coop_broadcast_position(b);
	start_listener(&g, &l[1]);
	start_listener(&g, &l[2]); /* from what is kept */
	for (int i = 1; i < 6; i++)
		CHECK_INT(tell(b, i), ==, 0);
	coop_broadcast_close(b);
	for (int i = 0; i < 3; i++) {
		end_listener(&l[i]);
		CHECK_INT(l[i].rc, ==, COOP_EOF);
		CHECK_INT(l[i].missed, ==, 0);
		CHECK_INT(l[i].count, ==, i == 1 ? 5 : 6);
		for (int k = 0; k < l[i].count; k++)
			CHECK_INT(l[i].heard[k], ==, i == 1 ? k + 1 : k);
	}
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_broadcast_free(b);
	return 0;
}

/* Who is too slow is told how many it has missed, once, and goes on with the oldest kept. */
TASK_TEST(slow_receivers_lag)
{
	struct coop_broadcast *b = int_broadcast(3); /* its ring is larger; it must not show */
	struct coop_broadcast_stats s;
	uint64_t at = 0;
	int value = -1;

	for (int i = 0; i < 10; i++)
		CHECK_INT(tell(b, i), ==, 0);
	CHECK_INT(coop_broadcast_recv(b, &at, &value), ==, 7);
	CHECK_INT(value, ==, 7);
	CHECK_INT(coop_broadcast_try_recv(b, &at, &value), ==, 0);
	CHECK_INT(value, ==, 8);
	CHECK_INT(tell(b, 10), ==, 0);
	CHECK_INT(coop_broadcast_recv(b, &at, &value), ==, 0);
	CHECK_INT(value, ==, 9);
	CHECK_INT(coop_broadcast_recv(b, &at, &value), ==, 0);
	CHECK_INT(value, ==, 10);
	CHECK_INT(coop_broadcast_try_recv(b, &at, &value), ==, -EAGAIN);
	at = 5000;
	CHECK_INT(coop_broadcast_try_recv(b, &at, &value), ==, -EINVAL);
	coop_broadcast_stats(b, &s);
	CHECK(s.cap == 3 && s.sent == 11 && s.missed == 7 && s.receivers == 0 && !s.closed);
	CHECK_INT(s.item_bytes, ==, sizeof(int));
	CHECK_STR(s.name, "news");
	coop_broadcast_free(b);
	return 0;
}

/* Closed, it ends for everybody: those who wait, those who lag, those who come later (A19). */
TASK_TEST(rel_A19_close_with_lagging_receivers)
{
	struct coop_broadcast *b = int_broadcast(2);
	struct coop_group g = COOP_GROUP_INIT;
	struct listener waits = { .b = b }, lags = { .b = b }, late = { .b = b };

	coop_group_open(&g, NULL);
	for (int i = 0; i < 5; i++)
		CHECK_INT(tell(b, i), ==, 0);
	waits.at = coop_broadcast_position(b);
	start_listener(&g, &waits);
	CHECK_INT(coop_broadcast_close(b), ==, 0);
	CHECK_INT(coop_broadcast_close(b), ==, 1);
	CHECK_INT(tell(b, 9), ==, COOP_ECLOSED);
	start_listener(&g, &lags);
	late.at = coop_broadcast_position(b);
	start_listener(&g, &late);
	end_listener(&waits);
	end_listener(&lags);
	end_listener(&late);
	CHECK(waits.rc == COOP_EOF && waits.count == 0);
	CHECK(lags.rc == COOP_EOF && lags.count == 2 && lags.missed == 3);
	CHECK(late.rc == COOP_EOF && late.count == 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_broadcast_free(b);
	return 0;
}

/* A cancelled receiver has moved nothing; one that was given a value first has it. */
TASK_TEST(cancelled_listeners)
{
	struct coop_broadcast *b = int_broadcast(2);
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	struct listener l[2] = { { .b = b }, { .b = b } };
	int value = -1;

	coop_group_open(&g, NULL);
	start_listener(&g, &l[0]);
	start_listener(&g, &l[1]);
	CHECK_INT(coop_handle_cancel(l[0].handle, NULL), ==, 0);
	CHECK_INT(tell(b, 1), ==, 0);
	CHECK_INT(coop_handle_cancel(l[1].handle, NULL), ==, 0); /* too late for this value */
	end_listener(&l[0]);
	end_listener(&l[1]);
	CHECK(l[0].rc == COOP_ECANCELED && l[0].count == 0 && l[0].at == 0);
	CHECK(l[1].rc == COOP_ECANCELED && l[1].count == 1 && l[1].at == 1);
	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, NULL);
	CHECK_INT(coop_broadcast_recv(b, &l[0].at, &value), ==, COOP_ECANCELED);
	CHECK(l[0].at == 0 && value == -1);
	CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_broadcast_free(b);
	return 0;
}

/* Receiving is a checkpoint, sending is none. */
TASK_TEST(checkpoints)
{
	struct coop_broadcast *b = int_broadcast(2);
	struct coop_watch *w;
	struct coop_checkpoint_mark mark;
	uint64_t at = 0, seen = 0;
	int value = 1;

	CHECK_INT(coop_watch_new(sizeof(int), NULL, NULL, &w), ==, 0);
	mark = coop_test_checkpoints();
	CHECK_INT(tell(b, 1), ==, 0);
	CHECK_INT(coop_watch_set(w, &value), ==, 0);
	CHECK_INT(coop_watch_get(w, &value), ==, 0);
	coop_assert_no_checkpoint(mark);
	CHECK_INT(coop_broadcast_recv(b, &at, &value), ==, 0);
	coop_assert_checkpoint(mark);
	mark = coop_test_checkpoints();
	CHECK_INT(coop_broadcast_try_recv(b, &at, &value), ==, -EAGAIN);
	coop_assert_no_checkpoint(mark);
	CHECK_INT(coop_watch_wait(w, &seen, &value), ==, 0);
	coop_assert_checkpoint(mark);
	coop_broadcast_free(b);
	coop_watch_free(w);
	return 0;
}

/* ---- watch */

struct watcher {
	struct coop_watch *w;
	uint64_t seen;
	int got[16], count, rc;
	int64_t nap_ms;
};

static int watches(void *arg)
{
	struct watcher *w = arg;
	int r, value;

	while ((r = coop_watch_wait(w->w, &w->seen, &value)) == 0) {
		w->got[w->count++] = value;
		if (w->nap_ms)
			r = coop_sleep(MS(w->nap_ms));
	}
	w->rc = r;
	return r == COOP_ECANCELED ? r : 0;
}

static int set(struct coop_watch *w, int value)
{
	return coop_watch_set(w, &value);
}

/* A quick watcher sees each value, a slow one the latest; both see the last, then the end. */
TASK_TEST(watchers_see_the_latest)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct watcher quick = { .nap_ms = 0 }, slow = { .nap_ms = 35 };
	struct coop_watch *w;
	int value = 10;

	CHECK_INT(coop_watch_new(sizeof(int), &value, "config", &w), ==, 0);
	quick.w = slow.w = w;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, watches, &quick), ==, 0);
	CHECK_INT(coop_spawn(&g, watches, &slow), ==, 0);
	for (int i = 11; i <= 15; i++) {
		CHECK_INT(coop_sleep(MS(10)), ==, 0);
		CHECK_INT(set(w, i), ==, 0);
		CHECK_INT(coop_watch_get(w, &value), ==, 0);
		CHECK_INT(value, ==, i);
	}
	CHECK_INT(coop_watch_close(w), ==, 0);
	CHECK_INT(set(w, 16), ==, COOP_ECLOSED);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK(quick.rc == COOP_EOF && quick.count == 6);
	for (int i = 0; i < 6; i++)
		CHECK_INT(quick.got[i], ==, 10 + i);
	CHECK(slow.rc == COOP_EOF && slow.count == 3); /* at 0, 35 and 70 ms */
	CHECK(slow.got[0] == 10 && slow.got[1] == 13 && slow.got[2] == 15);
	CHECK_INT(coop_watch_get(w, &value), ==, 0);
	CHECK_INT(value, ==, 15);
	coop_watch_free(w);
	return 0;
}

/* Without an initial value there is none to read, and who waits gets the first. */
TASK_TEST(watch_without_a_value)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct watcher w = { .rc = 0 };
	int value = -1;

	CHECK_INT(coop_watch_new(sizeof(int), NULL, NULL, &w.w), ==, 0);
	CHECK_INT(coop_watch_get(w.w, &value), ==, -EAGAIN);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, watches, &w), ==, 0);
	settle();
	CHECK_INT(w.count, ==, 0);
	CHECK_INT(set(w.w, 4), ==, 0);
	CHECK_INT(w.seen, ==, 1);
	settle();
	CHECK(w.count == 1 && w.got[0] == 4);
	w.seen = 77;
	CHECK_INT(set(w.w, 5), ==, 0); /* it waited, so it is moved */
	settle();
	CHECK_INT(w.seen, ==, 2);
	coop_watch_close(w.w);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(w.rc, ==, COOP_EOF);
	w.seen = 77;
	CHECK_INT(coop_watch_wait(w.w, &w.seen, &value), ==, -EINVAL);
	coop_watch_free(w.w);
	return 0;
}

/* ---- select */

/* Broadcasts and watches are cases beside others; only the chosen one has moved. */
TASK_TEST(cases_of_a_select)
{
	struct coop_broadcast *b = int_broadcast(4);
	struct coop_watch *w;
	struct coop_case c[3];
	uint64_t at = 0, seen = 0;
	int heard = -1, value = -1;

	CHECK_INT(coop_watch_new(sizeof(int), NULL, NULL, &w), ==, 0);
	c[0] = coop_case_broadcast(b, &at, &heard);
	c[1] = coop_case_watch(w, &seen, &value);
	c[2] = coop_case_timeout(MS(1));
	CHECK_INT(coop_select(c, 3, NULL), ==, 2);
	CHECK_INT(set(w, 3), ==, 0);
	CHECK_INT(coop_select(c, 3, NULL), ==, 1);
	CHECK(value == 3 && seen == 1 && at == 0);
	for (int i = 0; i < 6; i++)
		CHECK_INT(tell(b, i), ==, 0);
	CHECK_INT(coop_select(c, 3, NULL), ==, 0);
	CHECK(c[0].rc == 2 && heard == 2 && at == 3);
	coop_broadcast_close(b);
	coop_watch_close(w);
	CHECK_INT(coop_select(&c[1], 1, NULL), ==, 0);
	CHECK_INT(c[1].rc, ==, COOP_EOF);
	c[1] = coop_case_watch(NULL, NULL, NULL);
	c[0] = coop_case_broadcast(NULL, NULL, NULL);
	CHECK_INT(coop_select(c, 3, NULL), ==, 2);
	PROVES(B174);
	coop_watch_free(w);
	coop_broadcast_free(b);
	return 0;
}

static int selects_news(void *arg)
{
	struct listener *l = arg;
	struct coop_case c[2];
	int value[2] = { -1, -1 };
	uint64_t other = 0;

	c[0] = coop_case_broadcast(l->b, &l->at, &value[0]);
	c[1] = coop_case_broadcast(l->b, &other, &value[1]);
	l->rc = coop_select(c, 2, NULL);
	CHECK_INT(other, ==, 0);
	CHECK_INT(value[1], ==, -1);
	l->heard[0] = value[0];
	return 0;
}

/* A select that waits in one broadcast twice is given the value in one place only. */
TASK_TEST(select_waits_twice)
{
	struct coop_broadcast *b = int_broadcast(4);
	struct coop_group g = COOP_GROUP_INIT;
	struct listener l = { .b = b }, other = { .b = b };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, selects_news, &l), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
	start_listener(&g, &other);
	CHECK_INT(tell(b, 6), ==, 0);
	coop_broadcast_close(b);
	end_listener(&other);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK(l.rc == 0 && l.heard[0] == 6 && l.at == 1);
	CHECK(other.count == 1 && other.heard[0] == 6);
	coop_broadcast_free(b);
	return 0;
}

/* ---- misuse */

static int frees_under_a_waiter(void *arg)
{
	struct coop_broadcast *b = int_broadcast(1);
	struct coop_group g = COOP_GROUP_INIT;
	struct listener l = { .b = b };

	(void)arg;
	coop_group_open(&g, NULL);
	start_listener(&g, &l);
	coop_broadcast_free(b);
	return coop_group_join(&g, 0);
}

/* Freed under somebody who waits, the program ends, naming both. */
TEST(freed_with_a_waiter)
{
	char text[1024];

	last_words(frees_under_a_waiter, text, sizeof text);
	CHECK_HAS(text, "broadcast \"news\"");
	CHECK_HAS(text, "listens");
}

static int forgets(void *arg)
{
	*(struct coop_broadcast **)arg = int_broadcast(1);
	return 0;
}

/* One that is never freed is reported when the run ends. */
TEST(forgotten)
{
	struct coop_broadcast *forgotten;

	keep_records(COOP_LOG_WARN);
	CHECK_INT(coop_run(forgets, &forgotten, &virtual_clock), ==, 0);
	CHECK_INT(records_count, ==, 1);
	CHECK_HAS(records, "broadcast \"news\" made at");
	CHECK_HAS(records, "was never freed");
	coop_broadcast_free(forgotten);
}

/* What cannot be is refused. */
TASK_TEST(refusals)
{
	struct coop_broadcast_opts opts = { .cap = COOP_UNLIMITED }, reserved = { .cap = 1 };
	struct coop_broadcast *b = NULL;
	struct coop_watch *w = NULL;

	reserved._reserved[0] = 1;
	CHECK_INT(coop_broadcast_new(1, &opts, &b), ==, -EINVAL);
	CHECK_INT(coop_broadcast_new(1, &reserved, &b), ==, -EINVAL);
	CHECK_INT(coop_broadcast_new(1 << 30, NULL, &b), ==, -EMSGSIZE);
	CHECK_INT(coop_watch_new(1 << 30, NULL, NULL, &w), ==, -EMSGSIZE);
	CHECK(!b && !w);
	CHECK(!coop_broadcast_free(NULL) && !coop_watch_free(NULL));
	return 0;
}
