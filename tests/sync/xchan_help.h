/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Help for the tests of selects at channels between threads.
 */

#include "select_help.h"

#include "core/core.h"

#include <pthread.h>
#include <sched.h>

static inline struct coop_xchan *int_xchan(uint32_t cap)
{
	struct coop_xchan *x;

	CHECK_INT(coop_xchan_new(sizeof(int), &(struct coop_xchan_opts){ .cap = cap }, &x), ==, 0);
	return x;
}

static inline struct coop_xchan_stats stats_of(struct coop_xchan *x)
{
	struct coop_xchan_stats s;

	coop_xchan_stats(x, &s);
	return s;
}

static inline int try_send(struct coop_xchan *x, int n)
{
	return coop_xchan_try_send(x, &n);
}

static inline int try_recv(struct coop_xchan *x)
{
	int n = -1, r = coop_xchan_try_recv(x, &n);

	return r < 0 ? r : n;
}

static inline void nobody_waits(struct coop_xchan *x)
{
	CHECK_INT(stats_of(x).senders, ==, 0);
	CHECK_INT(stats_of(x).receivers, ==, 0);
}

static inline pthread_t thread(void *(*fn)(void *), void *arg)
{
	pthread_t t;

	CHECK_INT(pthread_create(&t, NULL, fn, arg), ==, 0);
	return t;
}

static inline void start_chooser(struct coop_group *g, struct chooser *c)
{
	c->ended = false;
	CHECK_INT(coop_spawn(g, chooses, c), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
	CHECK(!c->ended);
}

/* Lets everything happen that is on its way. */
static inline void settle(void)
{
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
}

/* The index of the case, or COOP_ECANCELED: the limit has struck. */
static inline int limited_select(struct coop_case *cases, size_t count, unsigned n)
{
	struct coop_scope_opts so = { .timeout_ns = n & 1 ? SEC(100) : (n >> 1 & 127) * 1000 + 1 };
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&s, &so);
	r = coop_select(cases, count, &(struct coop_select_opts){ .fair = n >> 8 & 1 });
	CHECK_INT(coop_scope_close(&s, r == COOP_ECANCELED ? r : 0), ==, 0);
	return r;
}
