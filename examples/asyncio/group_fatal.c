/* SPDX-License-Identifier: MIT */
/*
 * "If one fails, cancel the rest" (S1): what a group does by itself.
 * asyncio's gather would let the third one run on; here the join returns at 5 s.
 */
#include "sleepers.h"

static int app(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	(void)arg;
	coop_group_open(&g, NULL);
	for (int i = 0; i < 3 && r >= 0; i++)
		r = coop_spawn(&g, my_sleep, &seconds[i]);
	r = coop_group_join(&g, r);
	if (r == -EIO) {
		printf("Fatal error; cancelling\n");
		coop_error_clear(); /* handled */
		r = 0;
	}
	return r;
}

int main(void)
{
	return coop_main(app, NULL);
}
