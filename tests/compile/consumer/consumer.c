/* SPDX-License-Identifier: MIT */
/* A program of somebody else's: two tasks in a group, and one of them fails. */
#include <coop.h>

#include <stdio.h>

static int sleeper(void *arg)
{
	(void)arg;
	return coop_sleep(COOP_SECONDS(3600));
}

static int failer(void *arg)
{
	(void)arg;
	return coop_fail(-EIO, "number %d", 7);
}

static int app(void *arg)
{
	struct coop_group group = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_group_open(&group, NULL);
	r = coop_spawn(&group, sleeper, NULL);
	if (r >= 0)
		r = coop_spawn(&group, failer, NULL);
	return coop_group_join(&group, r);
}

int main(void)
{
	int r = coop_run(app, NULL, NULL);

	printf("coop %d: %d\n", coop_version(), r);
	return r == -EIO && coop_version() == COOP_VERSION ? 0 : 1;
}
