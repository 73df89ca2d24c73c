/* SPDX-License-Identifier: MIT */
/*
 * The sweeps: the same function again and again, each time with one thing going wrong.
 *
 * A cancel sweep counts the checkpoints of an undisturbed run, then runs once for each with
 * the task that gets there cancelled at that point. An allocation sweep does the same with
 * allocations. After each run nothing of coop's may be left allocated.
 */
#include "testing/kit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* One run's injection: at number `at`, counted from 1; 0 only counts. */
struct injection {
	uint64_t at;
	uint64_t count;
	bool hit;
	struct coop_task *task;
};

static bool inject_cancel(struct cp_rt *rt, void *ctx)
{
	struct injection *in = ctx;
	struct cp_why why = { .source = COOP_CANCEL_CALL,
			      .text = "injected by a sweep",
			      .grace_ns = COOP_NEVER,
			      .kind = CP_CANCEL };

	if (rt->cur->flags & CP_TASK_INTERNAL)
		return false;
	if (++in->count != in->at)
		return false;
	in->hit = true;
	cp_kit()->cancel_why(rt, &rt->body->base, &why);
	return true;
}

static void note(struct coop_sweep *s, uint64_t n, const char *why)
{
	s->failed_at = n ? n : 1;
	snprintf(s->why, sizeof s->why, "%s", why);
}

/* What every run must leave behind: nothing. */
static const char *check_left(int64_t before)
{
	static char text[80];
	int64_t left = __atomic_load_n(&cp_kit()->faults->allocs_live, __ATOMIC_RELAXED) - before;

	if (left == 0)
		return NULL;
	snprintf(text, sizeof text, "%lld allocations of coop's are left", (long long)left);
	return text;
}

static int one_run(coop_fn *fn, void *arg, const struct coop_run_opts *opts,
		   coop_sweep_check *check, void *ctx, uint64_t n, struct coop_sweep *s)
{
	struct coop_run_opts o = { 0 };
	int64_t before = __atomic_load_n(&cp_kit()->faults->allocs_live, __ATOMIC_RELAXED);
	const char *wrong;
	int r;

	if (opts)
		o = *opts;
	o.clock = COOP_CLOCK_VIRTUAL;
	r = coop_run(fn, arg, &o);
	cp_kit()->faults->alloc_fail_at = 0;
	s->runs++;
	wrong = check ? check(r, n, ctx) : NULL;
	coop_error_unref(coop_error_take(r));
	coop_error_clear();
	if (!wrong)
		wrong = check_left(before);
	if (wrong)
		note(s, n, wrong);
	return r;
}

int coop_sweep_cancel(coop_fn *fn, void *arg, const struct coop_run_opts *opts,
		      coop_sweep_check *check, void *ctx, struct coop_sweep *ret_sweep)
{
	struct coop_sweep s = { 0 };
	struct injection in = { 0 };
	int r;

	if (cp_kit()->rt())
		return -EALREADY;
	for (uint64_t n = 0; !s.why[0]; n++) {
		in = (struct injection){ .at = n };
		cp_kit()->on_next_run(CP_HOOK, inject_cancel, &in);
		r = one_run(fn, arg, opts, check, ctx, n, &s);
		cp_kit()->on_next_run(0, NULL, NULL);
		if (n == 0 && s.why[0] && r < 0) {
			if (ret_sweep)
				*ret_sweep = s;
			return -EPROTO;
		}
		if (n > 0 && !in.hit)
			break;
		s.injected += in.hit;
	}
	if (ret_sweep)
		*ret_sweep = s;
	return s.why[0] ? -EPROTO : 0;
}

int coop_sweep_alloc(coop_fn *fn, void *arg, const struct coop_run_opts *opts, bool for_ever,
		     coop_sweep_check *check, void *ctx, struct coop_sweep *ret_sweep)
{
	struct cp_os_faults *f = cp_kit()->faults;
	struct coop_sweep s = { 0 };
	uint64_t failed;

	if (cp_kit()->rt())
		return -EALREADY;
	for (uint64_t n = 0; !s.why[0]; n++) {
		failed = f->alloc_failed;
		f->alloc_calls = 0;
		f->alloc_fail_on = for_ever;
		f->alloc_fail_at = n;
		one_run(fn, arg, opts, check, ctx, n, &s);
		if (n > 0 && f->alloc_failed == failed)
			break;
		s.injected += n > 0;
	}
	if (ret_sweep)
		*ret_sweep = s;
	return s.why[0] ? -EPROTO : 0;
}

int coop_sweep_seeds(coop_fn *fn, void *arg, const struct coop_run_opts *opts, uint64_t first,
		     uint64_t count, coop_sweep_check *check, void *ctx,
		     struct coop_sweep *ret_sweep)
{
	struct coop_run_opts o = { 0 };
	struct coop_sweep s = { 0 };

	if (cp_kit()->rt())
		return -EALREADY;
	if (opts)
		o = *opts;
	for (uint64_t i = 0; i < count && !s.why[0]; i++) {
		o.seed = first + i;
		one_run(fn, arg, &o, check, ctx, first + i, &s);
	}
	if (ret_sweep)
		*ret_sweep = s;
	return s.why[0] ? -EPROTO : 0;
}
