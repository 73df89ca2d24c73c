/* SPDX-License-Identifier: MIT */
/*
 * The lecture's second demo (S82): one task fails after a second, the other is cancelled.
 * The original dies at its end, since reading the result of a cancelled task raises
 * there; here the question has three answers and reading hurts nobody.
 */
#include <coop.h>

#include <stdio.h>

static int sleeping_task(void *arg)
{
	(void)arg;
	return coop_sleep(COOP_SECONDS(2));
}

static int failing_task(void *arg)
{
	int r = coop_sleep(COOP_SECONDS(1));

	(void)arg;
	return r < 0 ? r : coop_fail(-EIO, "Task 2 failed");
}

static int print_leaf(const struct coop_error *leaf, void *ctx)
{
	struct coop_error_info info;

	(void)ctx;
	coop_error_describe(leaf, &info);
	printf(" - Task %s\n", info.message);
	return 0;
}

static void tell(const char *name, const struct coop_handle *h)
{
	if (coop_handle_result(h, NULL) == COOP_ETASKCANCELLED)
		printf("%s was cancelled.\n", name);
	else
		printf("%s %s.\n", name,
		       coop_handle_state(h) == COOP_TASK_FAILED ? "failed" : "finished");
}

static int app(void *arg)
{
	struct coop_handle *h1 = NULL, *h2 = NULL;
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_error *e;
	int r;

	(void)arg;
	coop_group_open(&g, NULL);
	r = coop_spawn_with(&g, sleeping_task, NULL, NULL, &h1);
	if (r >= 0)
		r = coop_spawn_with(&g, failing_task, NULL, NULL, &h2);
	r = coop_group_join(&g, r);
	if (r == -EIO) {
		printf("Task Group encountered an exception:\n");
		e = coop_error_take(r);
		r = coop_error_leaves(e, print_leaf, NULL);
		coop_error_unref(e);
	}
	printf("Task Group finished (with or without exceptions)\n");
	tell("Task 1", h1);
	coop_handle_release(h1);
	coop_handle_release(h2);
	return r;
}

int main(void)
{
	return coop_main(app, NULL);
}
