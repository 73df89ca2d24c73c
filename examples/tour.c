/* SPDX-License-Identifier: MIT */
/*
 * A tour of coop, to read first: COOP_CLOCK=virtual build/examples/tour
 *
 * A task is a function with a stack of its own. It returns 0 or more, or a negative code.
 * Tasks live in groups, and a group waits for all of them before its block ends.
 */
#include <coop.h>

#include <stdio.h>

/* Straight-line code: it may wait, and may be told at any wait that it is cancelled. */
static int fetch(void *arg)
{
	int *page = arg;
	int r = coop_sleep(COOP_MILLISECONDS(100 * *page)); /* the network */

	if (r < 0)
		return r; /* cancelled: unwind, nothing else */
	if (*page == 3)
		return coop_fail(-EIO, "page %d is broken", *page); /* message, place, task */
	printf("  page %d\n", *page);
	return 0;
}

/* One fails, the others are cancelled; every failure arrives, as one tree. */
static int fetch_all(void *arg)
{
	static int pages[] = { 1, 2, 3, 4, 5 };
	struct coop_group_opts opts = { .name = "pages" };
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	(void)arg;
	coop_group_open(&g, &opts);
	for (int i = 0; r >= 0 && i < 5; i++)
		r = coop_spawn(&g, fetch, &pages[i]);
	return coop_group_join(&g, r);
}

/* Clean-up that has to wait is shielded; the grace bounds it. */
static int say_goodbye(void *arg)
{
	int r = coop_sleep(COOP_MILLISECONDS(50));

	(void)arg;
	printf("  said goodbye\n");
	return r;
}

static int session(void *arg)
{
	int r = coop_sleep(COOP_NEVER), c;

	(void)arg;
	c = coop_shield_grace(COOP_SECONDS(1), say_goodbye, NULL);
	return c < 0 ? c : r;
}

static int app(void *arg)
{
	int r;

	(void)arg;
	printf("a group whose third child fails:\n");
	r = fetch_all(NULL);
	if (r < 0)
		r = coop_error_print(stdout, coop_error_peek(r), COOP_PRINT_PLAIN);
	coop_error_clear();

	printf("a time limit around anything:\n");
	r = coop_fail_after(COOP_MILLISECONDS(150), session, NULL);
	printf("  %s\n", coop_code_text(r));
	coop_error_clear();

	printf("the same, where being late is no error:\n");
	r = coop_move_on_after(COOP_MILLISECONDS(150), session, NULL);
	printf("  moved on, %d\n", r);
	return r;
}

int main(void)
{
	return coop_main(app, NULL); /* SIGINT and SIGTERM stop it in order */
}
