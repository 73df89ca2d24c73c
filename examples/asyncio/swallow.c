/* SPDX-License-Identifier: MIT */
/*
 * A task that swallows its cancellation (S88, S108): it ends finished, with its value; the
 * group is well, and the siblings of a cancelled task finish, whether it swallows or not.
 */
#include <coop.h>

#include <stdio.h>

static int swallows(void *arg)
{
	int r = coop_sleep(COOP_SECONDS(5));

	(void)arg;
	return r == COOP_ECANCELED ? 42 : r;
}

static int passes_on(void *arg)
{
	(void)arg;
	return coop_sleep(COOP_SECONDS(5));
}

static char one[] = "one", two[] = "two";

static int sibling(void *arg)
{
	int r = coop_sleep(COOP_SECONDS(2));

	if (r >= 0)
		printf("sibling %s finished\n", (const char *)arg);
	return r;
}

static int run(const char *what, coop_fn *fn)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h = NULL;
	int r, value = -1;

	coop_group_open(&g, NULL);
	r = coop_spawn_with(&g, fn, NULL, NULL, &h);
	if (r >= 0)
		r = coop_spawn(&g, sibling, one);
	if (r >= 0)
		r = coop_spawn(&g, sibling, two);
	if (r >= 0)
		r = coop_sleep(COOP_SECONDS(1));
	if (r >= 0)
		coop_handle_cancel(h, what);
	r = coop_group_join(&g, r);
	if (r < 0)
		return r;
	if (coop_handle_result(h, &value) == COOP_ETASKCANCELLED)
		printf("%s: group ok, task cancelled\n", what);
	else
		printf("%s: group ok, task finished with %d\n", what, value);
	coop_handle_release(h);
	return 0;
}

static int app(void *arg)
{
	int r = run("swallows", swallows);

	(void)arg;
	return r < 0 ? r : run("passes on", passes_on);
}

int main(void)
{
	return coop_main(app, NULL);
}
