/* SPDX-License-Identifier: MIT */
/*
 * The program of the question (S3): asyncio's gather abandons the wait at the first failure
 * and leaves the rest running; cancelling the finished gather does nothing.
 *
 * The sleepers live in an outer group, since nothing in coop lives nowhere. It
 * collects errors in place of being failed by them, so there is something to abandon.
 */
#include "sleepers.h"

static void abandon(struct coop_handle **sleepers)
{
	int r = coop_gather_abandon(sleepers, 3, NULL);

	if (r < 0) {
		printf("Fatal error; cancelling\n");
		/* sleepers.cancel() of the original: the failed one is done, so nothing happens */
		if (coop_handle_cancel(sleepers[1], NULL) == 1)
			coop_error_clear();
	}
}

static int app(void *arg)
{
	struct coop_group_opts opts = { .policy = COOP_COLLECT };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *sleepers[3] = { NULL };
	int r = 0;

	(void)arg;
	coop_group_open(&g, &opts);
	for (int i = 0; i < 3 && r >= 0; i++)
		r = coop_spawn_with(&g, my_sleep, &seconds[i], NULL, &sleepers[i]);
	if (r >= 0)
		abandon(sleepers);
	if (r >= 0)
		r = coop_sleep(COOP_SECONDS(5)); /* finally: await sleep(5) */
	r = coop_group_join(&g, r);
	for (int i = 0; i < 3; i++)
		coop_handle_release(sleepers[i]);
	if (r == -EIO) { /* the collected error of the second one, told already */
		coop_error_clear();
		r = 0;
	}
	return r;
}

int main(void)
{
	return coop_main(app, NULL);
}
