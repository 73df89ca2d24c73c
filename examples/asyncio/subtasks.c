/* SPDX-License-Identifier: MIT */
/*
 * "Is a subtask cancelled when its parent fails?" (S20 to S25)
 *
 * In asyncio it is not: a task belongs to the loop. The first half does the same here: the
 * tasks belong to an outer group, and the one that fails only looks on. The second half
 * is what coop is for: a parent has a group, and cannot be left before its children have ended.
 */
#include <coop.h>

#include <stdio.h>

static char c2[] = "c2", t2_name[] = "t2", grandchild[] = "grandchild";

static int sub(void *arg)
{
	const char *name = arg;
	int r = coop_sleep(COOP_SECONDS(1));

	printf(r == COOP_ECANCELED ? "%s cancelled\n" : "%s ran to completion\n", name);
	return r;
}

static int process_result(void)
{
	return coop_fail(-EIO, "raised process_result");
}

/* Variants A and B: nobody cancels c2. */
static int unstructured(struct coop_group *outer)
{
	int r = coop_spawn(outer, sub, c2);

	return r < 0 ? r : process_result();
}

/* A task with a task of its own. */
static int parent(void *arg)
{
	char **names = arg; /* its own, its child's */
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	coop_group_open(&g, NULL);
	r = coop_spawn(&g, sub, names[1]);
	r = coop_group_join(&g, r);
	printf(r == COOP_ECANCELED ? "%s cancelled\n" : "%s ran to completion\n", names[0]);
	return r;
}

static int structured(void *arg)
{
	static char *names[] = { t2_name, grandchild };
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_group_open(&g, NULL);
	r = coop_spawn(&g, sub, c2);
	if (r >= 0)
		r = coop_spawn(&g, parent, names);
	if (r >= 0)
		r = coop_sleep(COOP_MILLISECONDS(100)); /* r1 = await t1 */
	if (r >= 0)
		r = process_result();
	return coop_group_join(&g, r);
}

/* finally: t2.cancel() reaches one level only: the grandchild lives in the outer group. */
static int one_level(struct coop_group *outer)
{
	struct coop_handle *t2;
	int r = coop_spawn(outer, sub, grandchild);

	if (r >= 0)
		r = coop_spawn_with(outer, sub, t2_name, NULL, &t2);
	if (r < 0)
		return r;
	r = coop_sleep(COOP_MILLISECONDS(100));
	coop_handle_cancel(t2, "finally: t2.cancel()");
	coop_handle_release(t2);
	return r;
}

static int app(void *arg)
{
	struct coop_group outer = COOP_GROUP_INIT;
	int r;

	(void)arg;
	printf("unstructured:\n");
	coop_group_open(&outer, NULL);
	if (unstructured(&outer) == -EIO)
		printf("raised process_result\n");
	coop_error_clear();
	r = coop_group_join(&outer, 0);
	outer = (struct coop_group)COOP_GROUP_INIT;
	coop_group_open(&outer, NULL);
	r = coop_group_join(&outer, r < 0 ? r : one_level(&outer));
	if (r < 0)
		return r;
	printf("structured:\n");
	if (structured(NULL) == -EIO)
		printf("raised process_result\n");
	coop_error_clear();
	return 0;
}

int main(void)
{
	return coop_main(app, NULL);
}
