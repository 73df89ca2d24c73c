/* SPDX-License-Identifier: MIT */
/* What channel.h promises of broadcasts and watches, call by call. */
#include "../core/core_help.h"

struct stage {
	struct coop_broadcast *news; /* the one value 7 has been sent */
	struct coop_watch *config;   /* its value is 7 */
	uint64_t position, seen;     /* of somebody who has received nothing yet */
	int item;
};

#include "contract.h"

static void stage_open(struct stage *s, bool in_task)
{
	int seven = 7;

	*s = (struct stage){ .item = 8 };
	if (!in_task)
		return;
	CHECK_INT(coop_broadcast_new(sizeof(int), NULL, &s->news), ==, 0);
	CHECK_INT(coop_broadcast_send(s->news, &seven), ==, 0);
	CHECK_INT(coop_watch_new(sizeof(int), &seven, "config", &s->config), ==, 0);
}

static void stage_close(struct stage *s, bool in_task)
{
	if (!in_task)
		return;
	s->news = coop_broadcast_free(s->news);
	s->config = coop_watch_free(s->config);
}

/* A receive that went well has written the value; one that did not has left all as it was. */
static int received(struct stage *s, int r)
{
	CHECK_INT(s->item, ==, r >= 0 ? 7 : 8);
	return r;
}

/* ---- broadcasts */

ROW(coop_broadcast_new_at, NEVER, 0, COOP_ENOTASK)
{
	struct coop_broadcast *b = NULL;
	int r = coop_broadcast_new(sizeof(int), NULL, &b);

	coop_broadcast_free(b);
	return r;
}

ROW_AS(coop_broadcast_new_at, too_large, NEVER, -EMSGSIZE, COOP_ENOTASK)
{
	struct coop_broadcast *b = NULL;
	int r = coop_broadcast_new(COOP_CHAN_ITEM_MAX + 1, NULL, &b);

	CHECK(!b);
	return r;
}

ROW(coop_broadcast_free, NEVER, 0, 0)
{
	CHECK(!coop_broadcast_free(NULL));
	s->news = coop_broadcast_free(s->news);
	return s->news != NULL;
}

ROW(coop_broadcast_close, NEVER, 1, NOTHING_OUTSIDE)
{
	CHECK_INT(coop_broadcast_close(s->news), ==, 0);
	return coop_broadcast_close(s->news);
}

ROW(coop_broadcast_send, NEVER, 0, NOTHING_OUTSIDE)
{
	return coop_broadcast_send(s->news, &s->item);
}

ROW_AS(coop_broadcast_send, closed, NEVER, COOP_ECLOSED, NOTHING_OUTSIDE)
{
	CHECK_INT(coop_broadcast_close(s->news), ==, 0);
	return coop_broadcast_send(s->news, &s->item);
}

ROW(coop_broadcast_position, NEVER, 1, NOTHING_OUTSIDE)
{
	return (int)coop_broadcast_position(s->news);
}

ROW(coop_broadcast_recv, ALWAYS, 0, NOTHING_OUTSIDE)
{
	return received(s, coop_broadcast_recv(s->news, &s->position, &s->item));
}

ROW(coop_broadcast_try_recv, NEVER, 0, NOTHING_OUTSIDE)
{
	return received(s, coop_broadcast_try_recv(s->news, &s->position, &s->item));
}

ROW_AS(coop_broadcast_try_recv, nothing, NEVER, -EAGAIN, NOTHING_OUTSIDE)
{
	s->position = coop_broadcast_position(s->news);
	return received(s, coop_broadcast_try_recv(s->news, &s->position, &s->item));
}

ROW_AS(coop_broadcast_try_recv, no_position, NEVER, -EINVAL, NOTHING_OUTSIDE)
{
	s->position = 99;
	return received(s, coop_broadcast_try_recv(s->news, &s->position, &s->item));
}

ROW(coop_broadcast_stats, NEVER, 1, NOTHING_OUTSIDE)
{
	struct coop_broadcast_stats stats;

	coop_broadcast_stats(s->news, &stats);
	return (int)stats.sent;
}

ROW(coop_case_broadcast, NEVER, 0, 0)
{
	struct coop_case c = coop_case_broadcast(s->news, &s->position, &s->item);

	return c.rc;
}

/* ---- watches */

ROW(coop_watch_new_at, NEVER, 0, COOP_ENOTASK)
{
	struct coop_watch *w = NULL;
	int r = coop_watch_new(sizeof(int), NULL, NULL, &w);

	coop_watch_free(w);
	return r;
}

ROW_AS(coop_watch_new_at, too_large, NEVER, -EMSGSIZE, COOP_ENOTASK)
{
	struct coop_watch *w = NULL;
	int r = coop_watch_new(COOP_CHAN_ITEM_MAX + 1, NULL, NULL, &w);

	CHECK(!w);
	return r;
}

ROW(coop_watch_free, NEVER, 0, 0)
{
	CHECK(!coop_watch_free(NULL));
	s->config = coop_watch_free(s->config);
	return s->config != NULL;
}

ROW(coop_watch_close, NEVER, 1, NOTHING_OUTSIDE)
{
	CHECK_INT(coop_watch_close(s->config), ==, 0);
	return coop_watch_close(s->config);
}

ROW(coop_watch_set, NEVER, 0, NOTHING_OUTSIDE)
{
	return coop_watch_set(s->config, &s->item);
}

ROW_AS(coop_watch_set, closed, NEVER, COOP_ECLOSED, NOTHING_OUTSIDE)
{
	CHECK_INT(coop_watch_close(s->config), ==, 0);
	return coop_watch_set(s->config, &s->item);
}

ROW(coop_watch_get, NEVER, 0, NOTHING_OUTSIDE)
{
	return received(s, coop_watch_get(s->config, &s->item));
}

ROW(coop_watch_wait, ALWAYS, 0, NOTHING_OUTSIDE)
{
	return received(s, coop_watch_wait(s->config, &s->seen, &s->item));
}

ROW(coop_case_watch, NEVER, 0, 0)
{
	struct coop_case c = coop_case_watch(s->config, &s->seen, &s->item);

	return c.rc;
}
