/* SPDX-License-Identifier: MIT */
/* Nested groups (S107): a failure handled where the inner one ends does not touch the outer one. */
#include <coop.h>

#include <stdio.h>

static int fails(void *arg)
{
	int r = coop_sleep(COOP_SECONDS(1));

	(void)arg;
	return r < 0 ? r : coop_fail(-EIO, "inner task failed");
}

static char inner_name[] = "inner sibling", outer_name[] = "outer sibling";

static int sleeps(void *arg)
{
	const char *name = arg;
	int r = coop_sleep(COOP_SECONDS(2));

	printf(r == COOP_ECANCELED ? "%s cancelled\n" : "%s finished\n", name);
	return r;
}

static int with_inner_group(void *arg)
{
	struct coop_group inner = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_group_open(&inner, NULL);
	r = coop_spawn(&inner, fails, NULL);
	if (r >= 0)
		r = coop_spawn(&inner, sleeps, inner_name);
	r = coop_group_join(&inner, r);
	if (r == -EIO) {
		printf("inner group failed, handled\n");
		coop_error_clear();
		r = 0;
	}
	return r;
}

static int app(void *arg)
{
	struct coop_group outer = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_group_open(&outer, NULL);
	r = coop_spawn(&outer, with_inner_group, NULL);
	if (r >= 0)
		r = coop_spawn(&outer, sleeps, outer_name);
	r = coop_group_join(&outer, r);
	if (r >= 0)
		printf("outer group ok\n");
	return r;
}

int main(void)
{
	return coop_main(app, NULL);
}
