/* SPDX-License-Identifier: MIT */
/* Nothing is left behind (S111): 10,000 children, cancelled while they sleep. */
#include <coop.h>

#include <dirent.h>
#include <stdio.h>

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

static int child(void *cleaned)
{
	int r = coop_sleep(COOP_SECONDS(3600));

	++*(int *)cleaned; /* what a finally block would do */
	return r;
}

static unsigned long long count_tasks(void)
{
	struct coop_run_stats stats = { .tasks = 0 };

	return coop_run_stats(&stats) < 0 ? 0 : stats.tasks;
}

static int app(void *arg)
{
	unsigned long long tasks = count_tasks();
	int cleaned = 0, fds = count_fds(), r = 0;
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, NULL);
	for (int i = 0; i < 10000 && r >= 0; i++)
		r = coop_spawn(&g, child, &cleaned);
	if (r >= 0)
		r = coop_sleep(COOP_SECONDS(1));
	coop_group_cancel(&g, "enough");
	r = coop_group_join(&g, r);
	printf("10000 children, %d cleaned up\n", cleaned);
	printf("tasks as before: %s\n", count_tasks() == tasks ? "yes" : "no");
	printf("descriptors as before: %s\n", count_fds() == fds ? "yes" : "no");
	return r;
}

int main(void)
{
	return coop_main(app, NULL);
}
