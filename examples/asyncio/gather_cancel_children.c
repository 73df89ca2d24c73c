/* SPDX-License-Identifier: MIT */
/*
 * The answer (S8): keep the tasks, and on an error cancel each of them. A finished one
 * says that it is done; there is no line at 7 s.
 */
#include "sleepers.h"

static const char *const states[] = {
	[COOP_TASK_FINISHED] = "finished",
	[COOP_TASK_FAILED] = "failed",
	[COOP_TASK_CANCELLED] = "cancelled",
};

static int app(void *arg)
{
	struct coop_group_opts opts = { .policy = COOP_COLLECT };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *t[3] = { NULL };
	int r = 0;

	(void)arg;
	coop_group_open(&g, &opts);
	for (int i = 0; i < 3 && r >= 0; i++)
		r = coop_spawn_with(&g, my_sleep, &seconds[i], NULL, &t[i]);
	if (r >= 0 && coop_gather_abandon(t, 3, NULL) < 0) {
		printf("Fatal error; cancelling\n");
		for (int i = 0; i < 3; i++)
			printf("cancel: %s\n",
			       coop_handle_cancel(t[i], NULL) ? "already done" : "requested");
	}
	if (r >= 0)
		r = coop_sleep(COOP_SECONDS(5)); /* finally: await sleep(5) */
	r = coop_group_join(&g, r);
	for (int i = 0; i < 3; i++) {
		if (t[i])
			printf("%s\n", states[coop_handle_state(t[i])]);
		coop_handle_release(t[i]);
	}
	if (r == -EIO) {
		coop_error_clear();
		r = 0;
	}
	return r;
}

int main(void)
{
	return coop_main(app, NULL);
}
