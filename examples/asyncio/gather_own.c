/* SPDX-License-Identifier: MIT */
/*
 * A gather that cancels (S15 to S17). The one of the text only asks the tasks to stop;
 * coop_gather has joined them when it returns, so b's clean-up comes before the error.
 */
#include <coop.h>

#include <stdio.h>

static int clean_up(void *arg)
{
	int r = coop_sleep(COOP_MILLISECONDS(500));

	(void)arg;
	printf("b cleaned up\n");
	return r;
}

static int a_fails(void *arg)
{
	int r = coop_sleep(COOP_SECONDS(1));

	(void)arg;
	return r < 0 ? r : coop_fail(-EIO, "a failed");
}

static int b_cleans_up(void *arg)
{
	int r = coop_sleep(COOP_SECONDS(10)), c;

	(void)arg;
	if (r == COOP_ECANCELED) {
		c = coop_shield(clean_up, NULL);
		if (c < 0)
			return c;
	}
	return r;
}

static int value(void *arg)
{
	int v = *(int *)arg;
	int r = coop_sleep(COOP_SECONDS(3 - v)); /* the second one is ready first */

	return r < 0 ? r : v;
}

static int app(void *arg)
{
	struct coop_call failing[] = { { a_fails, NULL, "a" }, { b_cleans_up, NULL, "b" } };
	int one = 1, two = 2;
	struct coop_call good[] = { { value, &one, "a" }, { value, &two, "b" } };
	struct coop_slot results[2];
	int r;

	(void)arg;
	r = coop_gather(failing, 2, COOP_GATHER_FAIL_FAST, NULL);
	if (r == -EIO) {
		printf("caller has the error: a failed\n");
		coop_error_clear();
	}
	r = coop_gather(good, 2, COOP_GATHER_FAIL_FAST, results);
	if (r >= 0)
		printf("[%d, %d]\n", results[0].rc, results[1].rc);
	return r;
}

int main(void)
{
	return coop_main(app, NULL);
}
