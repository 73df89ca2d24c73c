/* SPDX-License-Identifier: MIT */
/*
 * Sweeps over a program. What has to hold in every run: it ends; every task that was
 * accepted has begun and ended; nothing of coop's memory is left; each call has kept what
 * its header promises (interp.c); and no error was seen that is not the program's, save for
 * want of memory where memory was withheld. What the tasks did in between is free.
 */
#include "sweep.h"

#include "interp.h"

#include <coop/testing.h>

#include <inttypes.h>
#include <string.h>

static const char *check(int rc, uint64_t n, void *ctx)
{
	static char text[256];
	struct run *run = ctx;
	const char *what = interp_wrong(run);
	char buf[64];

	if (!what && run->begun == 0 && !(n > 0 && run->may_lack && rc == -ENOMEM)) {
		snprintf(text, sizeof text, "main did not begin: %s",
			 coop_code_name(rc, buf, sizeof buf));
		what = text;
	} else if (what) {
		what = strcpy(text, what);
	}
	run->accepted = run->begun = run->ended = 0; /* the next run may fail before main */
	run->wrong[0] = '\0';
	return what;
}

static bool report(const char *name, const struct coop_sweep *s, int r, const char *kind, FILE *out)
{
	fprintf(out, "%s: %" PRIu64 " runs, %" PRIu64 " injected: ", name, s->runs, s->injected);
	if (r >= 0)
		fprintf(out, "ok\n");
	else if (r == -EPROTO && !s->injected)
		fprintf(out, "undisturbed: %s\n", s->why);
	else if (r == -EPROTO)
		fprintf(out, "%s number %" PRIu64 ": %s\n", kind, s->failed_at, s->why);
	else
		fprintf(out, "%s\n", coop_code_text(r));
	fflush(out);
	return r >= 0;
}

bool sweep_cancel(const struct program *program, const char *name, uint64_t seed, FILE *out)
{
	struct run run = { .program = program, .is_sweep = true };
	struct coop_run_opts opts = interp_opts(program);
	struct coop_sweep s = { 0 };
	int r;

	opts.seed = seed;
	r = coop_sweep_cancel(interp_main, &run, &opts, check, &run, &s);
	return report(name, &s, r, "cancel", out);
}

bool sweep_alloc(const struct program *program, const char *name, uint64_t seed, FILE *out)
{
	struct run run = { .program = program, .is_sweep = true, .may_lack = true };
	struct coop_run_opts opts = interp_opts(program);
	struct coop_sweep once = { 0 }, ever = { 0 };
	int r;

	opts.seed = seed;
	r = coop_sweep_alloc(interp_main, &run, &opts, false, check, &run, &once);
	if (r < 0)
		return report(name, &once, r, "without allocation", out);
	r = coop_sweep_alloc(interp_main, &run, &opts, true, check, &run, &ever);
	ever.runs += once.runs;
	ever.injected += once.injected;
	return report(name, &ever, r, "without all from allocation", out);
}
