/* SPDX-License-Identifier: MIT */
/*
 * trio's demo (S65, S66): a shielded group inside another. Ctrl-C cancels the outer three at
 * once; the inner three finish, then the outer group is left with the cancellation.
 */
#include "shutdown.h"

static int shielded(void *arg)
{
	struct coop_group_opts opts = { .name = "shielded", .shield = true };
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	(void)arg;
	coop_group_open(&g, &opts);
	for (int i = 0; i < 3 && r >= 0; i++)
		r = coop_spawn(&g, work, &numbers[i]);
	return coop_group_join(&g, r);
}

static int app(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r = spawn_ctrl_c();

	(void)arg;
	coop_group_open(&g, NULL);
	if (r >= 0)
		r = coop_spawn(&g, shielded, NULL);
	for (int i = 3; i < 6 && r >= 0; i++)
		r = coop_spawn(&g, work, &numbers[i]);
	r = coop_group_join(&g, r);
	/* except (trio.Cancelled, KeyboardInterrupt) */
	if (r == COOP_ECANCELED || r == COOP_EINTERRUPT)
		printf("Nursery Cancelled!\n");
	return r;
}

int main(void)
{
	struct coop_run_opts opts = { .signal_exit = COOP_EXIT_ZERO };

	return coop_main_with(app, NULL, &opts);
}
