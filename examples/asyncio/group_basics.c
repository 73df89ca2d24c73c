/* SPDX-License-Identifier: MIT */
/* The lecture's first demo (S81): two tasks in a group, and their results. */
#include "lecture.h"

static int app(void *arg)
{
	struct lecture_task t1 = { .name = "Task 1", .seconds = 2 };
	struct lecture_task t2 = { .name = "Task 2", .seconds = 1 };
	struct coop_handle *h1 = NULL, *h2 = NULL;
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_group_open(&g, NULL);
	r = coop_spawn_with(&g, task, &t1, NULL, &h1);
	if (r >= 0)
		r = coop_spawn_with(&g, task, &t2, NULL, &h2);
	r = coop_group_join(&g, r);
	if (r >= 0) {
		printf("Task Group finished\n");
		tell(&t1, h1);
		tell(&t2, h2);
	}
	coop_handle_release(h1);
	coop_handle_release(h2);
	return r;
}

int main(void)
{
	return coop_main(app, NULL);
}
