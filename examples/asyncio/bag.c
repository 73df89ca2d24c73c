/* SPDX-License-Identifier: MIT */
/*
 * The program that came with PBag (S39, S40): the error of the second task does not stop the
 * others, and is raised when the bag is left. The task that the original starts after that,
 * with nobody to wait for it, is here a service without users: it begins, and is cancelled
 * and waited for. With --times each line tells the second.
 */
#include <coop.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool times;
static int64_t start_ns;

static void line(const char *text)
{
	if (times)
		printf("[%d] ", (int)((coop_now() - start_ns) / COOP_SECONDS(1)));
	printf("%s\n", text);
}

static int task1(void *arg)
{
	int r;

	(void)arg;
	line("Task1 started");
	r = coop_sleep(COOP_SECONDS(2));
	if (r >= 0)
		line("Task1 finished");
	return r;
}

static int task2(void *arg)
{
	int r;

	(void)arg;
	line("Task2 started");
	r = coop_sleep(COOP_SECONDS(3));
	return r < 0 ? r : coop_fail(-EIO, "Exception: Task 2 error");
}

static int task3(void *arg)
{
	(void)arg;
	line("Task 3 done");
	return 0;
}

static int body(struct coop_bag bag)
{
	int r = coop_bag_spawn(bag, task1, NULL);

	if (r >= 0)
		r = coop_bag_spawn(bag, task3, NULL);
	if (r >= 0)
		r = coop_bag_spawn(bag, task2, NULL);
	if (r >= 0)
		r = coop_bag_until_done(bag);
	if (r >= 0)
		r = coop_bag_spawn(bag, task1, NULL);
	return r < 0 ? r : coop_bag_until_done(bag);
}

static int app(void *arg)
{
	struct coop_spawn_opts service = { .service = true };
	struct coop_group late = COOP_GROUP_INIT;
	struct coop_error_info info;
	struct coop_bag bag;
	int r = coop_bag_new(NULL, &bag);

	(void)arg;
	start_ns = coop_now();
	if (r >= 0)
		r = coop_bag_open(bag);
	if (r >= 0)
		r = coop_bag_leave(bag, body(bag));
	if (r != -EIO)
		return r;
	coop_error_describe(coop_error_peek(r), &info);
	line(info.message);
	coop_error_clear();
	line("Bag closed");
	line("Program finished");
	coop_bag_free(bag);
	coop_group_open(&late, NULL);
	return coop_group_join(&late, coop_spawn_with(&late, task1, NULL, &service, NULL));
}

int main(int argc, char **argv)
{
	times = argc > 1 && strcmp(argv[1], "--times") == 0;
	return coop_main(app, NULL);
}
