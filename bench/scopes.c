/* SPDX-License-Identifier: MIT */
/*
 * What a scope costs: entered and left, with and without a deadline, and a hundred thousand
 * of them inside each other, which neither recursion nor a walk of the chain may make slow.
 */
#include "bench.h"

#include <stdlib.h>

static void scopes(long n, const void *opts)
{
	for (long i = 0; i < n; i++) {
		struct coop_scope s = COOP_SCOPE_INIT;

		coop_scope_open(&s, opts);
		bench_must(coop_scope_close(&s, 0), 0);
	}
}

static int plain(void *arg)
{
	(void)arg;
	bench_give(0, bench_rounds(scopes, 200000, NULL));
	return 0;
}

static int with_deadline(void *arg)
{
	struct coop_scope_opts opts = { .timeout_ns = COOP_SECONDS(1) };

	(void)arg;
	bench_give(0, bench_rounds(scopes, 100000, &opts));
	return 0;
}

/* The scopes lie in one array, not on the stack: a block each would need frames of our own. */
static int deep(void *arg)
{
	long n = 100000;
	struct coop_scope *s = calloc((size_t)n, sizeof *s);
	double start, cancelled, closed;

	(void)arg;
	bench_must(s != NULL, 1);
	for (long i = 0; i < n; i++)
		s[i] = (struct coop_scope)COOP_SCOPE_INIT;
	start = bench_now_ns();
	for (long i = 0; i < n; i++)
		coop_scope_open(&s[i], NULL);
	bench_give(0, (bench_now_ns() - start) / (double)n);

	cancelled = bench_now_ns();
	bench_must(coop_scope_cancel(&s[0], "enough"), 0);
	bench_must(coop_checkpoint(), COOP_ECANCELED);
	bench_give(1, (bench_now_ns() - cancelled) / (double)n);

	closed = bench_now_ns();
	for (long i = n; i-- > 1;)
		bench_must(coop_scope_close(&s[i], COOP_ECANCELED), COOP_ECANCELED);
	bench_must(coop_scope_close(&s[0], COOP_ECANCELED), 0);
	bench_give(2, (bench_now_ns() - closed) / (double)n);
	free(s);
	return 0;
}

static void ask_scope(void)
{
	bench_run(plain);
}

static void ask_scope_deadline(void)
{
	bench_run(with_deadline);
}

static void ask_deep_scopes(void)
{
	bench_run(deep);
}

const struct bench bench_scopes[] = {
	{ .name = "scope",
	  .ask = ask_scope,
	  .figures = { { .name = "scope",
			 .what = "scope, enter and leave",
			 .unit = "ns",
			 .target = 4 } } },
	{ .name = "scope_deadline",
	  .ask = ask_scope_deadline,
	  .figures = { { .name = "scope_deadline",
			 .what = "the same with a deadline",
			 .unit = "ns",
			 .target = 15 } } },
	{ .name = "deep_scopes",
	  .ask = ask_deep_scopes,
	  .figures = { { .name = "deep_scopes_open",
			 .what = "100,000 nested scopes: open each",
			 .unit = "ns" },
		       { .name = "deep_scopes_cancel",
			 .what = "  cancel them by the outermost",
			 .unit = "ns" },
		       { .name = "deep_scopes_close", .what = "  close each", .unit = "ns" } } },
	{ .name = NULL },
};
