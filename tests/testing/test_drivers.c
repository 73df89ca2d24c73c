/* SPDX-License-Identifier: MIT */
/*
 * The drivers that run a function again and again: cancelled at each of its checkpoints, with each
 * of its allocations failing, under many seeds. A driver that finds nothing is worth nothing: most
 * subjects here are wrong in one place, and the driver must find it, there.
 */
#include "../core/core_help.h"

/* What the subjects do, for the checks to see. */
static int held, effects, cancelled_runs;
static bool is_wrong; /* this subject has its mistake */
static struct coop_handle *lost[2]; /* what it leaks, so that no sanitizer looks for it */

static const char *nothing_is_held(int rc, uint64_t n, void *ctx)
{
	static char text[80];
	int was_held = held, had = effects;

	(void)ctx;
	held = effects = 0;
	cancelled_runs += rc == COOP_ECANCELED;
	if (was_held)
		snprintf(text, sizeof text, "%d held after run %d", was_held, (int)n);
	else if (had > 1)
		snprintf(text, sizeof text, "%d effects instead of one", had);
	else if (n == 0 && rc != 0)
		snprintf(text, sizeof text, "undisturbed result %d", rc);
	else
		return NULL;
	return text;
}

/* Four checkpoints; something is held over the second and the third of them. */
static int four_checkpoints(void *arg)
{
	int r = coop_checkpoint();

	(void)arg;
	if (r < 0)
		return r;
	held++;
	r = coop_sleep(MS(1));
	if (r >= 0) {
		r = coop_checkpoint();
		if (r < 0 && is_wrong)
			return r; /* the mistake: nothing is given back */
	}
	held--;
	return r < 0 ? r : coop_sleep(0);
}

TEST(cancel_hits_each_checkpoint_once)
{
	struct coop_sweep s;

	CHECK_INT(coop_sweep_cancel(four_checkpoints, NULL, NULL, nothing_is_held, NULL, &s), ==,
		  0);
	CHECK_INT(s.injected, ==, 4);
	CHECK_INT(s.runs, ==, 1 + 4 + 1); /* undisturbed; four; one that nothing was left for */
	CHECK_INT(cancelled_runs, ==, 4);
	CHECK_STR(s.why, "");
	PROVES(B323);
}

/* The number is that of the checkpoint where it goes wrong, the words are those of the check. */
TEST(cancel_finds_what_is_not_given_back)
{
	struct coop_sweep s;

	is_wrong = true;
	CHECK_INT(coop_sweep_cancel(four_checkpoints, NULL, NULL, nothing_is_held, NULL, &s), ==,
		  -EPROTO);
	CHECK_INT(s.failed_at, ==, 3);
	CHECK_INT(s.injected, ==, 3);
	CHECK_STR(s.why, "1 held after run 3");
	CHECK_INT(coop_sweep_cancel(four_checkpoints, NULL, NULL, nothing_is_held, NULL, NULL), ==,
		  -EPROTO);
	PROVES(B323);
}

/* A handle that is dropped on one way out only: coop's own memory, seen without any check. */
static int drops_a_handle(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h = NULL;
	int r;

	coop_group_open(&g, NULL);
	r = coop_spawn_with(&g, sleep_ms, MSARG(1), NULL, &h);
	if (r >= 0)
		r = coop_checkpoint();
	if (r >= 0 || !is_wrong)
		coop_handle_release(h);
	else
		lost[0] = h;
	(void)arg;
	return coop_group_join(&g, r);
}

TEST(cancel_finds_a_leak)
{
	struct coop_sweep s;

	CHECK_INT(coop_sweep_cancel(drops_a_handle, NULL, NULL, NULL, NULL, &s), ==, 0);
	CHECK_INT(s.injected, ==, 3); /* the checkpoint, the child's sleep, the join */
	is_wrong = true;
	CHECK_INT(coop_sweep_cancel(drops_a_handle, NULL, NULL, NULL, NULL, &s), ==, -EPROTO);
	CHECK_INT(s.failed_at, ==, 1);
	CHECK_HAS(s.why, "1 allocations of coop's are left");
	PROVES(B323);
}

/* A retry that takes "cancelled" for "did not work": the effect is there twice. */
static int has_an_effect(void *arg)
{
	int r;

	(void)arg;
	for (int i = 0; i < 2; i++) {
		effects++;
		r = coop_move_on_after(MS(5), sleep_ms, MSARG(1));
		if (r >= 0 || !is_wrong)
			return r;
	}
	return r;
}

TEST(cancel_finds_an_effect_done_twice)
{
	struct coop_sweep s;

	CHECK_INT(coop_sweep_cancel(has_an_effect, NULL, NULL, nothing_is_held, NULL, &s), ==, 0);
	is_wrong = true;
	CHECK_INT(coop_sweep_cancel(has_an_effect, NULL, NULL, nothing_is_held, NULL, &s), ==,
		  -EPROTO);
	CHECK_INT(s.failed_at, ==, 1);
	CHECK_STR(s.why, "2 effects instead of one");
	PROVES(B323);
}

/* Wrong without any disturbance: that is said, as number 0. */
static int always_holds(void *arg)
{
	(void)arg;
	held++;
	return 0;
}

TEST(wrong_undisturbed)
{
	struct coop_sweep s;

	CHECK_INT(coop_sweep_cancel(always_holds, NULL, NULL, nothing_is_held, NULL, &s), ==,
		  -EPROTO);
	CHECK_INT(s.failed_at, ==, 0);
	CHECK_INT(s.runs, ==, 1);
	CHECK_STR(s.why, "1 held after run 0");
	CHECK_INT(coop_sweep_alloc(always_holds, NULL, NULL, false, nothing_is_held, NULL, &s), ==,
		  -EPROTO);
	CHECK_INT(s.failed_at, ==, 0);
	CHECK_INT(s.injected, ==, 0);
}

/* Every task that goes through a checkpoint is cancelled in turn, as its handle would do it. */
static int by_itself[128], with_others[128];

static int named(void *arg)
{
	int r = coop_sleep(MS(1));

	if (r == COOP_ECANCELED) {
		struct coop_cancel_info info;

		CHECK(coop_cancel_reason(&info));
		CHECK_INT(info.source, ==, COOP_CANCEL_CALL);
		CHECK_STR(info.text, "injected by a sweep");
		by_itself[(intptr_t)arg] += info.depth == 0;
		with_others[(intptr_t)arg] += info.depth == 2; /* its group, the task that joins */
	}
	return r;
}

static int three_tasks(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	(void)arg;
	coop_group_open(&g, NULL);
	for (intptr_t i = 'a'; i <= 'c' && r >= 0; i++)
		r = coop_spawn(&g, named, (void *)i);
	return coop_group_join(&g, r);
}

TEST(cancel_reaches_every_task)
{
	struct coop_sweep s;

	CHECK_INT(coop_sweep_cancel(three_tasks, NULL, NULL, NULL, NULL, &s), ==, 0);
	CHECK_INT(s.injected, ==, 4);
	for (int i = 'a'; i <= 'c'; i++) {
		CHECK_INT(by_itself[i], ==, 1);
		CHECK_INT(with_others[i], ==, 1); /* when the join was cancelled */
	}
	PROVES(B323);
}

/* What a shield hides is not cancelled there, but at the next checkpoint outside of it. */
static int behind_a_shield(void *arg)
{
	int r = coop_shield(sleep_ms, MSARG(1));

	(void)arg;
	CHECK_INT(r, ==, 0);
	return coop_checkpoint();
}

TEST(cancel_respects_shields)
{
	struct coop_sweep s;

	CHECK_INT(coop_sweep_cancel(behind_a_shield, NULL, NULL, nothing_is_held, NULL, &s), ==, 0);
	CHECK_INT(s.injected, ==, 2);
	CHECK_INT(cancelled_runs, ==, 2);
	PROVES(B323);
}

/* ---- allocations */

/* Three handles, one after the other; without memory it gives up, and gives back. */
static int three_handles(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h[3] = { NULL };
	int r = 0;

	(void)arg;
	coop_group_open(&g, NULL);
	for (int i = 0; i < 3 && r >= 0; i++)
		r = coop_spawn_with(&g, sleep_ms, MSARG(1), NULL, &h[i]);
	if (is_wrong && h[1] && !h[2])
		lost[lost[0] != NULL] = coop_handle_ref(h[1]);
	for (int i = 0; i < 3; i++)
		coop_handle_release(h[i]);
	return coop_group_join(&g, r);
}

static int results_without_memory;

static const char *zero_or_no_memory(int rc, uint64_t n, void *ctx)
{
	(void)ctx;
	results_without_memory += rc == -ENOMEM;
	return rc == -ENOMEM && n > 0 ? NULL : rc == 0 ? NULL : "neither 0 nor -ENOMEM";
}

TEST(alloc_fails_each_once)
{
	struct coop_sweep s;

	CHECK_INT(coop_sweep_alloc(three_handles, NULL, NULL, false, zero_or_no_memory, NULL, &s),
		  ==, 0);
	CHECK_INT(s.injected, >, 3);
	CHECK_INT(s.runs, ==, s.injected + 2);
	CHECK_INT(results_without_memory, >, 3);
	CHECK_INT(coop_sweep_alloc(three_handles, NULL, NULL, true, zero_or_no_memory, NULL, &s),
		  ==, 0);
	CHECK_INT(s.injected, >, 3);
	/* It is over with the sweep: memory is there again. */
	CHECK_INT(coop_run(three_handles, NULL, &virtual_clock), ==, 0);
	PROVES(B324);
}

TEST(alloc_finds_a_leak)
{
	struct coop_sweep s;

	is_wrong = true;
	for (int for_ever = 0; for_ever < 2; for_ever++) {
		CHECK_INT(coop_sweep_alloc(three_handles, NULL, NULL, for_ever, zero_or_no_memory,
					   NULL, &s),
			  ==, -EPROTO);
		CHECK_INT(s.failed_at, >, 0);
		CHECK_INT(s.failed_at, ==, s.injected);
		CHECK_HAS(s.why, "allocations of coop's are left");
	}
	PROVES(B324);
}

/* An argument that was refused is still the caller's: one of the two owners too many. */
static int owns_the_argument(void *arg)
{
	(void)arg;
	held--;
	return 0;
}

static int gives_an_argument_away(void *arg)
{
	struct coop_spawn_opts opts = { .name = "owner" };
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	held++;
	coop_group_open(&g, NULL);
	r = coop_spawn_with(&g, owns_the_argument, NULL, &opts, NULL);
	if (r < 0 && !is_wrong)
		held--;
	return coop_group_join(&g, r);
}

TEST(alloc_finds_an_argument_without_owner)
{
	struct coop_sweep s;

	CHECK_INT(coop_sweep_alloc(gives_an_argument_away, NULL, NULL, false, nothing_is_held, NULL,
				   &s),
		  ==, 0);
	is_wrong = true;
	CHECK_INT(coop_sweep_alloc(gives_an_argument_away, NULL, NULL, false, nothing_is_held, NULL,
				   &s),
		  ==, -EPROTO);
	CHECK_HAS(s.why, "1 held after run");
	PROVES(B324);
}

/* A result that is not to be: the check's word ends the sweep where it is given. */
static int hides_the_lack(void *arg)
{
	int r = three_handles(arg);

	return r == -ENOMEM ? -EIO : r;
}

TEST(alloc_gives_the_result_to_the_check)
{
	struct coop_sweep s;

	CHECK_INT(coop_sweep_alloc(hides_the_lack, NULL, NULL, false, zero_or_no_memory, NULL, &s),
		  ==, -EPROTO);
	CHECK_STR(s.why, "neither 0 nor -ENOMEM");
	CHECK_INT(s.failed_at, ==, s.injected);
}

/* ---- seeds */

static char order[32];

static int adds_its_letter(void *arg)
{
	size_t n = strlen(order);

	order[n] = (char)(intptr_t)arg;
	order[n + 1] = '\0';
	return 0;
}

static int orders(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	(void)arg;
	order[0] = '\0';
	coop_group_open(&g, NULL);
	for (intptr_t i = 'a'; i <= 'e' && r >= 0; i++)
		r = coop_spawn(&g, adds_its_letter, (void *)i);
	return coop_group_join(&g, r);
}

static const char *e_is_not_first(int rc, uint64_t n, void *ctx)
{
	(void)rc;
	(void)n;
	(void)ctx;
	return order[0] == 'e' ? "e came first" : NULL;
}

/* A mistake that shows in some orders is found, and its seed shows it again. */
TEST(seeds_find_an_order_and_give_it_again)
{
	struct coop_run_opts opts = { .clock = COOP_CLOCK_VIRTUAL };
	char found[32];
	struct coop_sweep s;

	CHECK_INT(coop_sweep_seeds(orders, NULL, NULL, 0, 500, e_is_not_first, NULL, &s), ==,
		  -EPROTO);
	CHECK_INT(s.failed_at, >, 0);
	CHECK_INT(s.runs, ==, s.failed_at + 1);
	CHECK_STR(s.why, "e came first");
	strcpy(found, order);
	opts.seed = s.failed_at;
	CHECK_INT(coop_run(orders, NULL, &opts), ==, 0);
	CHECK_STR(order, found);
	PROVES(B322);
}

/* The same seed, the same order, by option or environment; other seeds, others; 0: as spawned. */
TEST(a_seed_is_an_order)
{
	struct coop_run_opts opts = { .clock = COOP_CLOCK_VIRTUAL };
	char first[100][32], text[24];
	int others = 0;

	CHECK_INT(coop_run(orders, NULL, &opts), ==, 0);
	CHECK_STR(order, "abcde");
	for (int round = 0; round < 3; round++) {
		for (int seed = 1; seed <= 100; seed++) {
			snprintf(text, sizeof text, "%d", seed);
			opts.seed = round == 2 ? 0 : (uint64_t)seed;
			if (round == 2)
				CHECK_INT(setenv("COOP_SEED", text, 1), ==, 0);
			CHECK_INT(coop_run(orders, NULL, &opts), ==, 0);
			if (round == 0)
				strcpy(first[seed - 1], order);
			CHECK_STR(order, first[seed - 1]);
			others += strcmp(order, "abcde") != 0;
		}
	}
	CHECK_INT(others, >, 3 * 90); /* 1 of 120 orders is that of the spawns */
	PROVES(B322);
}

/* ---- refusals */

static int sweeps_inside(void *arg)
{
	struct coop_sweep s = { .runs = 77 };

	(void)arg;
	CHECK_INT(coop_sweep_cancel(orders, NULL, NULL, NULL, NULL, &s), ==, -EALREADY);
	CHECK_INT(coop_sweep_alloc(orders, NULL, NULL, true, NULL, NULL, &s), ==, -EALREADY);
	CHECK_INT(coop_sweep_seeds(orders, NULL, NULL, 1, 2, NULL, NULL, &s), ==, -EALREADY);
	CHECK_INT(s.runs, ==, 77);
	return 0;
}

/* What coop_run refuses is no sweep that went well. */
TEST(what_cannot_be_run)
{
	struct coop_run_opts bad = { .timer_slack_ns = -1 };
	struct coop_sweep s;

	CHECK_INT(coop_run(sweeps_inside, NULL, &virtual_clock), ==, 0);
	CHECK_INT(coop_sweep_cancel(NULL, NULL, NULL, NULL, NULL, &s), ==, -EINVAL);
	CHECK_INT(coop_sweep_alloc(NULL, NULL, NULL, true, NULL, NULL, &s), ==, -EINVAL);
	CHECK_INT(coop_sweep_seeds(NULL, NULL, NULL, 1, 2, NULL, NULL, &s), ==, -EINVAL);
	CHECK_INT(coop_sweep_cancel(orders, NULL, &bad, NULL, NULL, &s), ==, -EINVAL);
	CHECK_INT(coop_sweep_alloc(orders, NULL, &bad, false, NULL, NULL, &s), ==, -EINVAL);
	CHECK_INT(coop_sweep_seeds(orders, NULL, &bad, 1, 2, NULL, NULL, &s), ==, -EINVAL);
	CHECK_INT(s.runs, ==, 0);
}
