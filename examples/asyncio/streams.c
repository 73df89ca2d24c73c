/* SPDX-License-Identifier: MIT */
/*
 * The AnyIO program with three memory streams (S42 to S44): processing the first result fails,
 * and all with it: nothing is printed, nobody waits the second that coroutine2 takes, and the exit
 * status is 1. Each task closes its streams on every path, the last one first.
 */
#include <coop.h>

#include <errno.h>

static struct coop_chan *ends[6]; /* of stream n: 2n sends, 2n + 1 receives */

static int close_stream(void *arg)
{
	*(struct coop_chan **)arg = coop_chan_free(*(struct coop_chan **)arg);
	return 0;
}

/* async with send_stream: ... `start` is NULL in a direct call, and saying ready does nothing. */
static int send_after(int64_t seconds, int stream, struct coop_start *start)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_defer d = COOP_DEFER_INIT;
	int r;

	coop_scope_open(&s, NULL);
	r = coop_scope_defer(&s, &d, close_stream, &ends[stream]);
	if (r >= 0 && (r = coop_started(start, 0)) >= 0)
		r = coop_sleep(COOP_SECONDS(seconds));
	if (r >= 0)
		r = coop_chan_send(ends[stream], &stream);
	return coop_scope_close(&s, r);
}

static int coroutine1(void *arg)
{
	return send_after(0, 0, arg);
}

static int coroutine2(void *arg)
{
	return send_after(1, 2, arg);
}

static int process_result(void *arg)
{
	struct coop_defer d[3] = { COOP_DEFER_INIT, COOP_DEFER_INIT, COOP_DEFER_INIT };
	struct coop_scope s = COOP_SCOPE_INIT;
	int r = coop_started(arg, 0), result;

	coop_scope_open(&s, NULL);
	for (int i = 0; i < 3 && r >= 0; i++)
		r = coop_scope_defer(&s, &d[i], close_stream, &ends[i == 0 ? 1 : i + 2]);
	if (r >= 0)
		r = coop_chan_recv(ends[1], &result);
	if (r >= 0)
		r = coop_fail(-EPROTO, "result %d is not good", result);
	return coop_scope_close(&s, r);
}

/* A stream with room for one, its ends apart. */
static int make_stream(int n)
{
	struct coop_chan *both = NULL;
	int r = coop_chan_new(sizeof(int), &(struct coop_chan_opts){ .cap = 1 }, &both);

	if (r >= 0)
		r = coop_chan_clone_send(both, &ends[2 * n]);
	if (r >= 0)
		r = coop_chan_clone_recv(both, &ends[2 * n + 1]);
	coop_chan_free(both);
	return r;
}

static int app(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	coop_group_open(&g, NULL);
	for (int n = 0; n < 3 && r >= 0; n++)
		r = make_stream(n);
	if (r >= 0)
		r = coop_spawn(&g, coroutine1, arg);
	if (r >= 0)
		r = coop_spawn(&g, coroutine2, arg);
	if (r >= 0)
		r = coop_spawn(&g, process_result, arg);
	r = coop_group_join(&g, r);
	ends[5] = coop_chan_free(ends[5]);
	return r;
}

int main(void)
{
	return coop_main(app, NULL);
}
