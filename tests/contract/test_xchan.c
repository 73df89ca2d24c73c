/* SPDX-License-Identifier: MIT */
/* What channel.h promises of channels between threads, call by call. */
#include "../core/core_help.h"

struct stage {
	struct coop_xchan *full;
	struct coop_xchan *empty;
};

#include "contract.h"

static void stage_open(struct stage *s, bool in_task)
{
	struct coop_xchan_opts o = { .cap = 1 };
	int n = 5;

	(void)in_task;
	CHECK_INT(coop_xchan_new(sizeof n, &o, &s->full), ==, 0);
	CHECK_INT(coop_xchan_new(sizeof n, &o, &s->empty), ==, 0);
	CHECK_INT(coop_xchan_try_send(s->full, &n), ==, 0);
}

static void stage_close(struct stage *s, bool in_task)
{
	(void)in_task;
	coop_xchan_unref(s->full);
	coop_xchan_unref(s->empty);
}

ROW(coop_xchan_new, NEVER, 0, 0)
{
	struct coop_xchan *x;
	int r = coop_xchan_new(8, NULL, &x);

	coop_xchan_unref(x);
	return r;
}

ROW(coop_xchan_ref, NEVER, true, true)
{
	return coop_xchan_unref(coop_xchan_ref(s->full)) == NULL;
}

ROW(coop_xchan_unref, NEVER, true, true)
{
	return coop_xchan_unref(NULL) == NULL && coop_xchan_ref(NULL) == NULL;
}

ROW(coop_xchan_close, NEVER, 0, 0)
{
	return coop_xchan_close(s->full, true);
}

ROW(coop_xchan_send, ALWAYS, 0, COOP_ENOTASK)
{
	int n = 1;

	return coop_xchan_send(s->empty, &n);
}

ROW(coop_xchan_recv, ALWAYS, 0, COOP_ENOTASK)
{
	int n;

	return coop_xchan_recv(s->full, &n);
}

ROW(coop_xchan_try_send, NEVER, -EAGAIN, -EAGAIN)
{
	int n = 1;

	return coop_xchan_try_send(s->full, &n);
}

ROW(coop_xchan_try_recv, NEVER, -EAGAIN, -EAGAIN)
{
	int n;

	return coop_xchan_try_recv(s->empty, &n);
}

ROW(coop_xchan_send_thread, NEVER, COOP_EWRONGTHREAD, 0)
{
	int n = 1;

	return coop_xchan_send_thread(s->empty, &n, COOP_NEVER);
}

ROW(coop_xchan_recv_thread, NEVER, COOP_EWRONGTHREAD, 0)
{
	int n;

	return coop_xchan_recv_thread(s->full, &n, COOP_NEVER);
}

ROW(coop_case_xchan_send, NEVER, 0, 0)
{
	int n = 1;
	struct coop_case c = coop_case_xchan_send(s->empty, &n);

	return c.rc;
}

ROW(coop_case_xchan_recv, NEVER, 0, 0)
{
	int n;
	struct coop_case c = coop_case_xchan_recv(s->full, &n);

	return c.rc;
}

ROW(coop_xchan_stats, NEVER, 1, 1)
{
	struct coop_xchan_stats stats;

	coop_xchan_stats(s->full, &stats);
	return (int)stats.used;
}
