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

/* One sweep: what it runs, whose word counts, how it goes. */
struct sweep {
	coop_fn *fn;
	void *arg;
	struct coop_run_opts opts;
	coop_sweep_check *check;
	void *ctx;
	bool began; /* fn, in the run that is going on */
	struct coop_sweep out;
};

static int begin(void *arg)
{
	struct sweep *s = arg;

	s->began = true;
	return s->fn(s->arg);
}

static int64_t allocs_live(void)
{
	return __atomic_load_n(&cp_kit()->faults->allocs_live, __ATOMIC_RELAXED);
}

/* What a run must leave behind: nothing. */
static void check_left(struct sweep *s, uint64_t n, int64_t before)
{
	int64_t left = allocs_live() - before;

	if (left == 0)
		return;
	s->out.failed_at = n;
	snprintf(s->out.why, sizeof s->out.why, "%lld allocations of coop's are left",
		 (long long)left);
}

static void ask_check(struct sweep *s, uint64_t n, int rc)
{
	const char *wrong = s->check ? s->check(rc, n, s->ctx) : NULL;

	if (!wrong)
		return;
	s->out.failed_at = n;
	snprintf(s->out.why, sizeof s->out.why, "%s", wrong[0] ? wrong : "the check says so");
}

/* One run, judged; where nothing was disturbed and fn never began, coop_run's own error. */
static int one_run(struct sweep *s, uint64_t n, bool disturbed)
{
	int64_t before = allocs_live();
	int r;

	s->began = false;
	r = coop_run(begin, s, &s->opts);
	cp_kit()->faults->alloc_fail_at = 0;
	if (!s->began && !disturbed)
		return r;
	s->out.runs++;
	ask_check(s, n, r);
	coop_error_unref(coop_error_take(r));
	coop_error_clear();
	if (!s->out.why[0])
		check_left(s, n, before);
	return s->out.why[0] ? -EPROTO : 0;
}

static int sweep_init(struct sweep *s, coop_fn *fn, void *arg, const struct coop_run_opts *opts)
{
	s->fn = fn;
	s->arg = arg;
	if (opts)
		s->opts = *opts;
	s->opts.clock = COOP_CLOCK_VIRTUAL;
	return cp_kit()->rt() ? -EALREADY : fn ? 0 : -EINVAL;
}

static int sweep_end(const struct sweep *s, int r, struct coop_sweep *ret_sweep)
{
	if (ret_sweep)
		*ret_sweep = s->out;
	return r;
}

int coop_sweep_cancel(coop_fn *fn, void *arg, const struct coop_run_opts *opts,
		      coop_sweep_check *check, void *ctx, struct coop_sweep *ret_sweep)
{
	struct sweep s = { .check = check, .ctx = ctx };
	struct injection in = { .hit = true };
	int r = sweep_init(&s, fn, arg, opts);

	if (r < 0)
		return r;
	for (uint64_t n = 0; r == 0 && in.hit; n++) {
		in = (struct injection){ .at = n };
		cp_kit()->on_next_run(CP_HOOK, inject_cancel, &in);
		r = one_run(&s, n, n > 0);
		cp_kit()->on_next_run(0, NULL, NULL);
		s.out.injected += in.hit;
		in.hit |= n == 0;
	}
	return sweep_end(&s, r, ret_sweep);
}

int coop_sweep_alloc(coop_fn *fn, void *arg, const struct coop_run_opts *opts, bool for_ever,
		     coop_sweep_check *check, void *ctx, struct coop_sweep *ret_sweep)
{
	struct sweep s = { .check = check, .ctx = ctx };
	struct cp_os_faults *f = cp_kit()->faults;
	bool hit = true;
	int r = sweep_init(&s, fn, arg, opts);

	if (r < 0)
		return r;
	for (uint64_t n = 0; r == 0 && hit; n++) {
		uint64_t failed = f->alloc_failed;

		f->alloc_calls = 0;
		f->alloc_fail_on = for_ever;
		f->alloc_fail_at = n;
		r = one_run(&s, n, n > 0);
		hit = f->alloc_failed != failed;
		s.out.injected += hit;
		hit |= n == 0;
	}
	return sweep_end(&s, r, ret_sweep);
}

int coop_sweep_seeds(coop_fn *fn, void *arg, const struct coop_run_opts *opts, uint64_t first,
		     uint64_t count, coop_sweep_check *check, void *ctx,
		     struct coop_sweep *ret_sweep)
{
	struct sweep s = { .check = check, .ctx = ctx };
	int r = sweep_init(&s, fn, arg, opts);

	if (r < 0)
		return r;
	for (uint64_t i = 0; r == 0 && i < count; i++) {
		s.opts.seed = first + i;
		r = one_run(&s, first + i, false);
	}
	return sweep_end(&s, r, ret_sweep);
}
