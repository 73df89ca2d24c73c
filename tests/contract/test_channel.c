/* SPDX-License-Identifier: MIT */
/* What channel.h promises, call by call. */
#include "../core/core_help.h"

struct stage {
	struct coop_chan *both;   /* room for two, holds the one value 7 */
	struct coop_chan *sender; /* a send end of it */
	struct coop_chan *receiver;
	int item;
};

#include "contract.h"

static void stage_open(struct stage *s, bool in_task)
{
	*s = (struct stage){ .item = 7 };
	if (!in_task)
		return;
	CHECK_INT(coop_chan_new(sizeof(int), &(struct coop_chan_opts){ .cap = 2 }, &s->both), ==,
		  0);
	CHECK_INT(coop_chan_clone_send(s->both, &s->sender), ==, 0);
	CHECK_INT(coop_chan_clone_recv(s->both, &s->receiver), ==, 0);
	CHECK_INT(coop_chan_try_send(s->sender, &s->item), ==, 0);
	s->item = 8;
}

static void stage_close(struct stage *s, bool in_task)
{
	if (!in_task)
		return;
	s->sender = coop_chan_free(s->sender);
	s->receiver = coop_chan_free(s->receiver);
	s->both = coop_chan_free(s->both);
}

/* A call that was cancelled has sent and taken nothing. */
static int nothing_moved(struct stage *s, int r)
{
	struct coop_chan_stats stats;

	if (r != COOP_ECANCELED)
		return r;
	coop_chan_stats(s->both, &stats);
	CHECK_INT(stats.used, ==, 1);
	CHECK_INT(stats.sent, ==, 1);
	CHECK_INT(stats.received, ==, 0);
	CHECK_INT(stats.senders + stats.receivers, ==, 0);
	CHECK_INT(s->item, ==, 8);
	return r;
}

/* ---- making and ending */

ROW(coop_chan_new_at, NEVER, 0, COOP_ENOTASK)
{
	struct coop_chan *chan = NULL;
	int r = coop_chan_new(sizeof(int), NULL, &chan);

	coop_chan_free(chan);
	return r;
}

ROW_AS(coop_chan_new_at, too_large, NEVER, -EMSGSIZE, COOP_ENOTASK)
{
	struct coop_chan *chan = NULL;
	int r = coop_chan_new(COOP_CHAN_ITEM_MAX + 1, NULL, &chan);

	CHECK(!chan);
	return r;
}

ROW_AS(coop_chan_new_at, bad_options, NEVER, -EINVAL, COOP_ENOTASK)
{
	struct coop_chan_opts opts = { .cap = 1, .unbounded = true };
	struct coop_chan *chan = NULL;
	int r = coop_chan_new(sizeof(int), &opts, &chan);

	CHECK(!chan);
	return r;
}

ROW(coop_chan_clone_send_at, NEVER, 0, NOTHING_OUTSIDE)
{
	struct coop_chan *chan = NULL;
	int r = coop_chan_clone_send(s->sender, &chan);

	coop_chan_free(chan);
	return r;
}

ROW_AS(coop_chan_clone_send_at, of_the_other_end, NEVER, -EPERM, NOTHING_OUTSIDE)
{
	struct coop_chan *chan = NULL;
	int r = coop_chan_clone_send(s->receiver, &chan);

	CHECK(!chan);
	return r;
}

ROW(coop_chan_clone_recv_at, NEVER, 0, NOTHING_OUTSIDE)
{
	struct coop_chan *chan = NULL;
	int r = coop_chan_clone_recv(s->receiver, &chan);

	coop_chan_free(chan);
	return r;
}

ROW_AS(coop_chan_clone_recv_at, of_the_other_end, NEVER, -EPERM, NOTHING_OUTSIDE)
{
	struct coop_chan *chan = NULL;
	int r = coop_chan_clone_recv(s->sender, &chan);

	CHECK(!chan);
	return r;
}

ROW(coop_chan_close_send, NEVER, 1, NOTHING_OUTSIDE)
{
	CHECK_INT(coop_chan_close_send(s->receiver), ==, 1);
	CHECK_INT(coop_chan_close_send(s->sender), ==, 0);
	return coop_chan_close_send(s->sender);
}

ROW(coop_chan_close_recv, NEVER, 1, NOTHING_OUTSIDE)
{
	CHECK_INT(coop_chan_close_recv(s->sender), ==, 1);
	CHECK_INT(coop_chan_close_recv(s->receiver), ==, 0);
	return coop_chan_close_recv(s->receiver);
}

ROW(coop_chan_shutdown, NEVER, 0, NOTHING_OUTSIDE)
{
	CHECK_INT(coop_chan_shutdown(s->both, false), ==, 0);
	return coop_chan_shutdown(s->both, true);
}

ROW(coop_chan_free, NEVER, 0, 0)
{
	CHECK(!coop_chan_free(NULL));
	s->sender = coop_chan_free(s->sender);
	return s->sender != NULL;
}

/* ---- sending, receiving */

ROW(coop_chan_send, ALWAYS, 0, NOTHING_OUTSIDE)
{
	return nothing_moved(s, coop_chan_send(s->sender, &s->item));
}

ROW_AS(coop_chan_send, on_the_other_end, ALWAYS, -EPERM, NOTHING_OUTSIDE)
{
	return coop_chan_send(s->receiver, &s->item);
}

ROW(coop_chan_try_send, NEVER, 0, NOTHING_OUTSIDE)
{
	return coop_chan_try_send(s->sender, &s->item);
}

ROW_AS(coop_chan_try_send, no_room, NEVER, -EAGAIN, NOTHING_OUTSIDE)
{
	CHECK_INT(coop_chan_try_send(s->sender, &s->item), ==, 0);
	return coop_chan_try_send(s->sender, &s->item);
}

ROW(coop_chan_recv, ALWAYS, 0, NOTHING_OUTSIDE)
{
	return nothing_moved(s, coop_chan_recv(s->receiver, &s->item));
}

ROW_AS(coop_chan_recv, on_the_other_end, ALWAYS, -EPERM, NOTHING_OUTSIDE)
{
	return coop_chan_recv(s->sender, &s->item);
}

ROW(coop_chan_try_recv, NEVER, 0, NOTHING_OUTSIDE)
{
	int r = coop_chan_try_recv(s->receiver, &s->item);

	CHECK_INT(s->item, ==, 7);
	return r;
}

ROW_AS(coop_chan_try_recv, nothing, NEVER, -EAGAIN, NOTHING_OUTSIDE)
{
	CHECK_INT(coop_chan_try_recv(s->receiver, &s->item), ==, 0);
	s->item = 9;
	CHECK_INT(coop_chan_try_recv(s->receiver, &s->item), ==, -EAGAIN);
	CHECK_INT(s->item, ==, 9);
	return coop_chan_try_recv(s->receiver, &s->item);
}

/* ---- accounting */

ROW(coop_chan_done, NEVER, 0, NOTHING_OUTSIDE)
{
	CHECK_INT(coop_chan_try_recv(s->receiver, &s->item), ==, 0);
	return coop_chan_done(s->receiver);
}

ROW_AS(coop_chan_done, too_often, NEVER, -EINVAL, NOTHING_OUTSIDE)
{
	return coop_chan_done(s->receiver);
}

/* Ended at once where all has been dealt with; a checkpoint all the same. */
ROW(coop_chan_join, ALWAYS, 0, NOTHING_OUTSIDE)
{
	if (!coop_cancelled()) {
		CHECK_INT(coop_chan_try_recv(s->receiver, &s->item), ==, 0);
		CHECK_INT(coop_chan_done(s->receiver), ==, 0);
	}
	return nothing_moved(s, coop_chan_join(s->both));
}

ROW(coop_chan_stats, NEVER, 1, NOTHING_OUTSIDE)
{
	struct coop_chan_stats stats;

	coop_chan_stats(s->both, &stats);
	return (int)stats.used;
}

/* ---- select */

ROW(coop_case_send, NEVER, 0, 0)
{
	struct coop_case c = coop_case_send(s->sender, &s->item);

	return c.rc;
}

ROW(coop_case_recv, NEVER, 0, 0)
{
	struct coop_case c = coop_case_recv(s->receiver, &s->item);

	return c.rc;
}

ROW(coop_case_deadline, NEVER, 0, 0)
{
	struct coop_case c = coop_case_deadline(INT64_MIN);

	return c.rc;
}

ROW(coop_case_timeout, NEVER, 0, 0)
{
	struct coop_case c = coop_case_timeout(INT64_MIN);

	return c.rc;
}

ROW(coop_select, ALWAYS, 1, COOP_ENOTASK)
{
	struct coop_case cases[] = { coop_case_timeout(SEC(1)),
				     coop_case_recv(s->receiver, &s->item) };

	return nothing_moved(s, coop_select(cases, 2, NULL));
}

ROW_AS(coop_select, nothing, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	return coop_select(NULL, 0, NULL);
}

ROW(coop_select_try, NEVER, 1, COOP_ENOTASK)
{
	struct coop_case cases[] = { coop_case_deadline(COOP_NEVER),
				     coop_case_recv(s->receiver, &s->item) };

	return coop_select_try(cases, 2, NULL);
}

ROW_AS(coop_select_try, none_ready, NEVER, -EAGAIN, COOP_ENOTASK)
{
	struct coop_case never = coop_case_deadline(COOP_NEVER);

	return coop_select_try(&never, 1, NULL);
}
