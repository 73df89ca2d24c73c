/* SPDX-License-Identifier: MIT */
/*
 * Fatal and harmless errors told apart (S2): a callback judges each failure. First the
 * error at 5 s is harmless: a line in the log, the last one sleeps on. Then it is fatal.
 */
#include "sleepers.h"

static enum coop_verdict judge(const struct coop_error *error, void *fatal)
{
	(void)error;
	return *(bool *)fatal ? COOP_VERDICT_FATAL : COOP_VERDICT_LOG;
}

static int run(bool fatal)
{
	struct coop_group_opts opts = { .policy = COOP_JUDGE, .judge = judge, .judge_ctx = &fatal };
	struct coop_group_stats stats;
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	coop_group_open(&g, &opts);
	for (int i = 0; i < 3 && r >= 0; i++)
		r = coop_spawn(&g, my_sleep, &seconds[i]);
	r = coop_group_join(&g, r);
	if (r == -EIO)
		printf("Fatal error; cancelling\n");
	coop_error_clear();
	if (coop_group_stats(&g, &stats) == 0)
		printf("result %s, %u logged\n", r < 0 ? "failed" : "ok", stats.logged);
	return r == -EIO ? 0 : r;
}

static int app(void *arg)
{
	int r;

	(void)arg;
	printf("the error is harmless:\n");
	r = run(false);
	if (r < 0)
		return r;
	printf("the error is fatal:\n");
	return run(true);
}

int main(void)
{
	return coop_main(app, NULL);
}
