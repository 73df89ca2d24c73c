/* SPDX-License-Identifier: MIT */
/* What thread.h promises of portals and of calls from anywhere, call by call. */
#include "../core/core_help.h"

#include <pthread.h>

struct stage {
	struct coop_group g;
	struct coop_portal *portal;
	struct coop_remote *remote; /* made by a thread; begins at the next turn */
	struct coop_token *token;
};

#include "contract.h"

static int nothing(void *arg)
{
	(void)arg;
	return 4;
}

static int nothing_started(void *arg, struct coop_start *start)
{
	(void)arg;
	return coop_started(start, 1);
}

static void *spawn_one(void *arg)
{
	struct stage *s = arg;

	CHECK_INT(coop_portal_spawn(s->portal, nothing, NULL, &s->remote), ==, 0);
	return NULL;
}

static void stage_open(struct stage *s, bool in_task)
{
	pthread_t t;

	*s = (struct stage){ .g = COOP_GROUP_INIT };
	if (!in_task)
		return;
	coop_group_open(&s->g, NULL);
	CHECK_INT(coop_portal_open(&s->g, &s->portal), ==, 0);
	CHECK_INT(coop_token_open(&s->token), ==, 0);
	CHECK_INT(pthread_create(&t, NULL, spawn_one, s), ==, 0);
	pthread_join(t, NULL);
}

static void stage_close(struct stage *s, bool in_task)
{
	int r;

	if (!in_task)
		return;
	coop_portal_stop(s->portal, false);
	r = coop_group_join(&s->g, 0);
	CHECK(r == 0 || r == COOP_ECANCELED);
	coop_remote_unref(s->remote);
	coop_portal_unref(s->portal);
	coop_token_unref(s->token);
}

/* ---- portals */

ROW(coop_portal_open, NEVER, 0, COOP_ENOTASK)
{
	struct coop_portal *p = NULL;
	int r = coop_portal_open(&s->g, &p);

	if (r >= 0)
		coop_portal_stop(p, false);
	coop_portal_unref(p);
	return r;
}

ROW(coop_portal_ref, NEVER, true, NOTHING_OUTSIDE)
{
	return coop_portal_unref(coop_portal_ref(s->portal)) == NULL;
}

ROW(coop_portal_unref, NEVER, true, true)
{
	return coop_portal_unref(NULL) == NULL && coop_portal_ref(NULL) == NULL;
}

ROW(coop_portal_stop, NEVER, 0, NOTHING_OUTSIDE)
{
	return coop_portal_stop(s->portal, true);
}

ROW(coop_portal_close, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_portal_close(s->portal, false);
}

ROW(coop_portal_call, NEVER, COOP_EWRONGTHREAD, NOTHING_OUTSIDE)
{
	return coop_portal_call(s->portal, nothing, NULL);
}

ROW(coop_portal_spawn, NEVER, COOP_EWRONGTHREAD, NOTHING_OUTSIDE)
{
	return coop_portal_spawn(s->portal, nothing, NULL, NULL);
}

ROW(coop_portal_start, NEVER, COOP_EWRONGTHREAD, NOTHING_OUTSIDE)
{
	return coop_portal_start(s->portal, nothing_started, NULL, NULL, NULL);
}

/* ---- remotes */

ROW(coop_remote_wait, NEVER, COOP_EWRONGTHREAD, NOTHING_OUTSIDE)
{
	return coop_remote_wait(s->remote, 1);
}

ROW_AS(coop_remote_wait, looks, NEVER, -EAGAIN, NOTHING_OUTSIDE)
{
	return coop_remote_wait(s->remote, 0);
}

ROW(coop_remote_cancel, NEVER, 0, NOTHING_OUTSIDE)
{
	return coop_remote_cancel(s->remote);
}

ROW(coop_remote_ref, NEVER, true, NOTHING_OUTSIDE)
{
	return coop_remote_unref(coop_remote_ref(s->remote)) == NULL;
}

ROW(coop_remote_unref, NEVER, true, true)
{
	return coop_remote_unref(NULL) == NULL && coop_remote_ref(NULL) == NULL;
}

/* ---- run soon */

ROW(coop_token_open, NEVER, 0, COOP_ENOTASK)
{
	struct coop_token *t = NULL;
	int r = coop_token_open(&t);

	coop_token_unref(t);
	return r;
}

ROW(coop_token_ref, NEVER, true, NOTHING_OUTSIDE)
{
	return coop_token_unref(coop_token_ref(s->token)) == NULL;
}

ROW(coop_token_unref, NEVER, true, true)
{
	return coop_token_unref(NULL) == NULL && coop_token_ref(NULL) == NULL;
}

ROW(coop_run_soon, NEVER, 0, NOTHING_OUTSIDE)
{
	return coop_run_soon(s->token, nothing, NULL);
}

ROW(coop_run_soon_once, NEVER, 0, NOTHING_OUTSIDE)
{
	static struct coop_soon soon = COOP_SOON_INIT(nothing, NULL);

	return coop_run_soon_once(s->token, &soon);
}

ROW(coop_token_overflows, NEVER, 0, NOTHING_OUTSIDE)
{
	return (int)coop_token_overflows(s->token);
}
