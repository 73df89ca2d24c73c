/* SPDX-License-Identifier: MIT */
/*
 * aiorun's demo (S57, S58): three works that the shutdown waits for, three that it does not.
 * Its code counts 0 to 2 twice; with --as-printed the second three are 3 to 5, as its text shows.
 */
#include "shutdown.h"

#include <string.h>

static int first_plain;

static int app(void *arg)
{
	struct coop_spawn_opts wait = { .shutdown_wait = true };
	struct coop_group g = COOP_GROUP_INIT;
	int r = spawn_ctrl_c();

	(void)arg;
	coop_group_open(&g, NULL);
	for (int i = 0; i < 3 && r >= 0; i++)
		r = coop_spawn_with(&g, work, &numbers[i], &wait, NULL);
	for (int i = 0; i < 3 && r >= 0; i++)
		r = coop_spawn(&g, work, &numbers[first_plain + i]);
	return coop_group_join(&g, r);
}

/* asyncio's "Stopping the loop" is the manager's warning there; here it is the program's. */
static int stopping(void *arg)
{
	(void)arg;
	printf("Stopping the loop\n");
	fflush(stdout);
	return 0;
}

static int with_callback(void *arg)
{
	int r = coop_on_shutdown(stopping, NULL);

	return r < 0 ? r : app(arg);
}

int main(int argc, char **argv)
{
	struct coop_run_opts opts = { .signal_exit = COOP_EXIT_ZERO, .grace_ns = COOP_SECONDS(60) };

	first_plain = argc > 1 && strcmp(argv[1], "--as-printed") == 0 ? 3 : 0;
	return coop_main_with(with_callback, NULL, &opts);
}
