/* SPDX-License-Identifier: MIT */
/*
 * Spawning, and the life of a group around it: who is let in, in which order, from where, without
 * memory; what a group tells of itself; and that nobody gets out of a group but through its join.
 */
#include "group_help.h"

#include <pthread.h>

/* ---- every way to make a child */

struct way {
	const char *name;
	int (*spawn)(struct coop_group *g, void *arg, struct coop_handle **ret_handle);
	bool handle;
};

static int runs(void *arg)
{
	int r;

	if (arg)
		++*(int *)arg;
	r = coop_sleep(MS(1));
	return r < 0 ? r : 3;
}

static int runs_and_says_so(void *arg, struct coop_start *start)
{
	int r = coop_started(start, 8);

	return r < 0 ? r : runs(arg);
}

static int plain(struct coop_group *g, void *arg, struct coop_handle **ret_handle)
{
	(void)ret_handle;
	return coop_spawn(g, runs, arg);
}

static int unless_cancelled(struct coop_group *g, void *arg, struct coop_handle **ret_handle)
{
	(void)ret_handle;
	return coop_spawn_unless_cancelled(g, runs, arg);
}

static int waiting(struct coop_group *g, void *arg, struct coop_handle **ret_handle)
{
	(void)ret_handle;
	return coop_spawn_wait(g, runs, arg);
}

static int with_a_name(struct coop_group *g, void *arg, struct coop_handle **ret_handle)
{
	struct coop_spawn_opts opts = { .name = "named" };

	return coop_spawn_with(g, runs, arg, &opts, ret_handle);
}

static int with_a_stack(struct coop_group *g, void *arg, struct coop_handle **ret_handle)
{
	struct coop_spawn_opts opts = { .stack_bytes = 128 << 10 };

	return coop_spawn_with(g, runs, arg, &opts, ret_handle);
}

static int at_once(struct coop_group *g, void *arg, struct coop_handle **ret_handle)
{
	struct coop_spawn_opts opts = { .eager = true };

	(void)ret_handle;
	return coop_spawn_with(g, runs, arg, &opts, NULL);
}

static int essential(struct coop_group *g, void *arg, struct coop_handle **ret_handle)
{
	struct coop_spawn_opts opts = { .essential = true, .shutdown_wait = true };

	return coop_spawn_with(g, runs, arg, &opts, ret_handle);
}

static int service(struct coop_group *g, void *arg, struct coop_handle **ret_handle)
{
	struct coop_spawn_opts opts = { .service = true };

	return coop_spawn_with(g, runs, arg, &opts, ret_handle);
}

static int started(struct coop_group *g, void *arg, struct coop_handle **ret_handle)
{
	int value = 0, r = coop_start_with(g, runs_and_says_so, arg, "started", &value, ret_handle);

	if (r == 0)
		CHECK_INT(value, ==, 8);
	return r;
}

static const struct way ways[] = {
	{ "plain", plain, false },
	{ "unless_cancelled", unless_cancelled, false },
	{ "waiting", waiting, false },
	{ "with_a_name", with_a_name, true },
	{ "with_a_stack", with_a_stack, true },
	{ "at_once", at_once, false },
	{ "essential", essential, true },
	{ "service", service, true },
	{ "started", started, true },
};
#define WAYS (sizeof ways / sizeof *ways)

static int count_task(const struct coop_task_info *info, void *ctx)
{
	(void)info;
	++*(int *)ctx;
	return 0;
}

static int tasks_alive(void)
{
	int n = 0;

	CHECK_INT(coop_for_each_task(false, count_task, &n), ==, 0);
	return n;
}

/* ---- registered, joined, gone */

static int state_of_newest(const struct coop_task_info *info, void *ctx)
{
	*(enum coop_task_state *)ctx = info->state;
	return 0;
}

/* A child is there from the moment when it is accepted, before its first step. */
TASK_TEST(there_before_its_first_step)
{
	struct coop_group g = COOP_GROUP_INIT;
	enum coop_task_state state;
	int ran = 0;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, runs, &ran), ==, 0);
	CHECK_INT(ran, ==, 0);
	CHECK_INT(stats_of(&g).running, ==, 1);
	CHECK_INT(tasks_alive(), ==, 2);
	CHECK_INT(coop_for_each_task(false, state_of_newest, &state), ==, 0);
	CHECK_INT(state, ==, COOP_TASK_NEW);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(ran, ==, 1);
	PROVES(S91, B21);
	return 0;
}

static int opens_a_group_and_fails(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, cleans_up, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	return coop_group_join(&g, coop_sleep(arg ? COOP_NEVER : MS(2)));
}

/* However its children were made and however it ends, a closed group has none, and there is no
 * task that belongs to nobody: nothing can be detached. */
TASK_TEST(nobody_is_left)
{
	for (int end = 0; end < 3; end++) {
		struct coop_group g = COOP_GROUP_INIT;
		int ran = 0, r;

		coop_group_open(&g, NULL);
		for (size_t i = 0; i < WAYS; i++) {
			struct coop_handle *h = NULL;

			CHECK_INT(ways[i].spawn(&g, &ran, &h), ==, 0);
			CHECK(!h == !ways[i].handle);
			coop_handle_release(h); /* nobody asks after it any more */
		}
		CHECK_INT(coop_spawn(&g, opens_a_group_and_fails, MSARG(end)), ==, 0);
		r = end == 0 ? 0 : end == 1 ? coop_fail(-EIO, "body") : coop_checkpoint();
		if (end == 2)
			coop_group_cancel(&g, "enough");
		r = coop_group_join(&g, r);
		CHECK_INT(r, ==, end == 1 ? -EIO : 0);
		CHECK_INT(ran, ==, (int)WAYS); /* accepted means that it runs */
		CHECK_INT(stats_of(&g).running, ==, 0);
		CHECK_INT(stats_of(&g).services, ==, 0);
		CHECK_INT(tasks_alive(), ==, 1);
		coop_error_clear();
	}
	PROVES(B42, S67, S23);
	return 0;
}

/* ---- the end of a run */

static struct nap leftover;
static const char *leftover_site;

static int leaves_one(void *arg)
{
	struct coop_spawn_opts opts = { .name = "background" };
	struct coop_handle *h;
	int r;

	(void)arg;
	begin_ns = coop_now();
	leftover_site = place(__FILE__, __LINE__ + 1); /* compilers differ on a call of two lines */
	r = coop_spawn_with(coop_run_group(), nap, &leftover, &opts, &h);
	CHECK_INT(r, ==, 0);
	coop_handle_release(h);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	return 4;
}

/* What is left when the main task ends, even forgotten by all, is cancelled, joined and named. */
TEST(left_over_at_the_end)
{
	leftover.name = "left over";
	keep_records(COOP_LOG_WARN);
	CHECK_INT(coop_run(leaves_one, NULL, &virtual_clock), ==, 4);
	CHECK(leftover.ended);
	CHECK_INT(leftover.rc, ==, COOP_ECANCELED);
	CHECK_INT(leftover.at_ms, ==, 5);
	CHECK_INT(records_count, ==, 1);
	CHECK_HAS(records, "background");
	CHECK_HAS(records, leftover_site);
	PROVES(S4, B42);
}

/* ---- order */

struct numbered {
	int number;
	int64_t first_ms, second_ms;
};

static int ends_with_its_number(void *arg)
{
	struct numbered *n = arg;
	int r = coop_sleep(MS(n->first_ms));

	if (r >= 0)
		r = coop_sleep(MS(n->second_ms));
	say("%d ", n->number);
	return r < 0 ? r : coop_fail(COOP_CODE(COOP_DOMAIN_USER, n->number), "%d", n->number);
}

/* What ends at one instant ends in the order of the spawns, and so do the errors stand. */
TASK_TEST(order_of_what_ends_together)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct numbered n[12];
	struct coop_error *e;
	struct coop_group_opts opts = { .policy = COOP_COLLECT };

	coop_group_open(&g, &opts);
	for (int i = 0; i < 12; i++) {
		n[i] = (struct numbered){ i + 1, i < 6 ? 4 : 0, i < 6 ? 0 : 2 };
		CHECK_INT(coop_spawn(&g, ends_with_its_number, &n[i]), ==, 0);
	}
	e = coop_error_take(coop_group_join(&g, 0));
	CHECK_TRAIL("7 8 9 10 11 12 1 2 3 4 5 6 ");
	for (uint32_t i = 0; i < 12; i++)
		CHECK_INT(coop_error_code(coop_error_member(e, i)), ==,
			  COOP_CODE(COOP_DOMAIN_USER, (int)(i < 6 ? i + 7 : i - 5)));
	coop_error_unref(e);
	PROVES(B11, B10);
	return 0;
}

static struct coop_group *around;

static int says_it_ran(void *arg)
{
	(void)arg;
	say("task ");
	return 0;
}

/* The only child of its group; when it ends the host can go on, but somebody was ready before. */
static int spawns_and_ends(void *arg)
{
	CHECK_INT(coop_spawn(around, says_it_ran, arg), ==, 0);
	return 0;
}

/* Whose wait ends goes to the end of the queue, also where nobody else was in it for long. */
TASK_TEST(host_goes_on_in_its_turn)
{
	struct coop_group g = COOP_GROUP_INIT;

	around = &g;
	coop_group_open(&g, NULL);
	for (int i = 0; i < 2; i++) {
		struct coop_group inner = COOP_GROUP_INIT;

		coop_group_open(&inner, NULL);
		CHECK_INT(coop_spawn(&inner, i ? spawns_and_ends : says_it_ran, NULL), ==, 0);
		CHECK_INT(coop_group_join(&inner, 0), ==, 0);
		say("host ");
	}
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_TRAIL("task host task host ");
	PROVES(B11);
	return 0;
}

static int shuffled(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct numbered n[12];

	(void)arg;
	coop_group_open(&g, &(struct coop_group_opts){ .policy = COOP_COLLECT });
	for (int i = 0; i < 12; i++) {
		n[i] = (struct numbered){ i + 1, 4, 0 };
		CHECK_INT(coop_spawn(&g, ends_with_its_number, &n[i]), ==, 0);
	}
	CHECK_INT(coop_group_join(&g, 0), <, 0);
	return 0;
}

/* Only a seed makes it another order, and the same seed the same one. */
TEST(order_under_a_seed)
{
	struct coop_run_opts opts = { .clock = COOP_CLOCK_VIRTUAL, .seed = 7 };
	char first[sizeof trail];

	CHECK_INT(coop_run(shuffled, NULL, &opts), ==, 0);
	strcpy(first, trail);
	CHECK(strcmp(first, "1 2 3 4 5 6 7 8 9 10 11 12 ") != 0);
	trail[0] = '\0';
	CHECK_INT(coop_run(shuffled, NULL, &opts), ==, 0);
	CHECK_TRAIL(first);
	PROVES(B11);
}

/* ---- from another thread */

struct foreign {
	struct coop_group *g;
	struct coop_handle *h;
	int ran;
	int *rcs;
	size_t count;
};

/* All that may be asked of a group, each by a way of its own. */
static int from_elsewhere(void *arg)
{
	struct foreign *f = arg;
	struct coop_handle *h = NULL;
	struct coop_group_stats stats;
	size_t n = 0;

	for (size_t i = 0; i < WAYS; i++)
		f->rcs[n++] = ways[i].spawn(f->g, &f->ran, &h);
	f->rcs[n++] = coop_group_wait(f->g);
	f->rcs[n++] = coop_group_cancel(f->g, "from elsewhere");
	f->rcs[n++] = coop_group_stats(f->g, &stats);
	f->rcs[n++] = coop_group_set_running_max(f->g, 1);
	f->rcs[n++] = coop_handle_cancel(f->h, "from elsewhere");
	f->count = n;
	CHECK(h == NULL);
	return 0;
}

static void *on_a_plain_thread(void *arg)
{
	from_elsewhere(arg);
	return NULL;
}

static void *on_another_runtime(void *arg)
{
	CHECK_INT(coop_run(from_elsewhere, arg, &virtual_clock), ==, 0);
	return NULL;
}

/* Another thread, with a run of its own or without, is refused by each call; nothing changes. */
TASK_TEST(from_another_thread)
{
	void *(*threads[])(void *) = { on_a_plain_thread, on_another_runtime };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_group_stats before, after;
	int rcs[32];
	struct foreign f = { .g = &g, .rcs = rcs };
	pthread_t thread;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, sleep_ms, MSARG(5), NULL, &f.h), ==, 0);
	coop_yield();
	before = stats_of(&g);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(pthread_create(&thread, NULL, threads[i], &f), ==, 0);
		CHECK_INT(pthread_join(thread, NULL), ==, 0);
		CHECK_INT(f.count, ==, WAYS + 5);
		for (size_t k = 0; k < f.count; k++)
			CHECK_INT(rcs[k], ==, COOP_EWRONGTHREAD);
		after = stats_of(&g);
		CHECK(memcmp(&before, &after, sizeof after) == 0);
	}
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(f.ran, ==, 0);
	CHECK_INT(coop_handle_state(f.h), ==, COOP_TASK_FINISHED);
	coop_handle_release(f.h);
	PROVES(B15);
	return 0;
}

/* ---- without memory */

/* From now on the nth allocation fails, alone. */
static void fail_nth(uint64_t n)
{
	cp_os_faults.alloc_calls = 0;
	cp_os_faults.alloc_fail_at = n;
	cp_os_faults.alloc_fail_on = false;
}

static const struct coop_local key = { "key" };

/* Spawns once for each allocation that there is on the way, each time with that one failing. */
static int refusals(const struct way *way, struct coop_group *g, int *ran)
{
	struct coop_group_stats before = stats_of(g), after;
	int alive = tasks_alive(), refused = 0, r;
	struct coop_handle *h;

	for (uint64_t n = 1;; n++, refused++) {
		h = NULL;
		*ran = 0;
		fail_nth(n);
		r = way->spawn(g, ran, &h);
		fail_nth(0);
		if (r == 0)
			break;
		CHECK_INT(r, ==, -ENOMEM);
		CHECK(h == NULL);
		CHECK_INT(*ran, ==, 0);
		after = stats_of(g);
		if (memcmp(&before, &after, sizeof after) != 0)
			FAIL("%s: the group has changed", way->name);
		CHECK_INT(tasks_alive(), ==, alive);
	}
	coop_handle_release(h);
	return refused;
}

/* Whichever allocation fails: the spawn is refused, the group is as it was and goes on, the
 * argument is the caller's. */
TASK_TEST(without_memory)
{
	static const int expected[] = { 0, 0, 0, 1, 1, 0, 1, 1, 2 };
	int64_t live;

	for (int locals = 0; locals < 2; locals++) {
		if (locals)
			CHECK_INT(coop_local_set(&key, trail), ==, 0);
		live = cp_os_faults.allocs_live;
		for (size_t i = 0; i < WAYS; i++) {
			struct coop_group g = COOP_GROUP_INIT;
			int ran = 0, refused;

			coop_group_open(&g, NULL);
			CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(2)), ==, 0);
			refused = refusals(&ways[i], &g, &ran);
			if (refused < expected[i] || (locals && refused < 1))
				FAIL("%s: %d allocations failed", ways[i].name, refused);
			CHECK_INT(coop_group_join(&g, 0), ==, 0);
			CHECK_INT(ran, ==, 1);
			CHECK_INT(stats_of(&g).failed, ==, 0);
		}
		/* The first time a pool of stacks of that other size was made, for the run. */
		CHECK_INT(cp_os_faults.allocs_live, <=, locals ? live : live + 4);
	}
	PROVES(B16);
	return 0;
}

/* Spawns until one is refused, with allocations or system calls failing meanwhile. */
static int spawn_until_refused(struct coop_group *g, int *ran, bool calls)
{
	int r = 0, accepted = -1;

	for (; r == 0 && accepted < 20000; accepted++) {
		cp_os_faults.alloc_calls = cp_os_faults.call_calls = 0;
		cp_os_faults.call_errno = ENOMEM;
		cp_os_faults.alloc_fail_at = !calls;
		cp_os_faults.call_fail_at = calls;
		cp_os_faults.alloc_fail_on = cp_os_faults.call_fail_on = true;
		r = coop_spawn(g, runs, ran);
		cp_os_faults.alloc_fail_at = cp_os_faults.call_fail_at = 0;
	}
	CHECK_INT(r, ==, -ENOMEM);
	return accepted;
}

/* The same for nodes and stacks, which come many at a time. */
TASK_TEST(without_room_for_more_tasks)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_group_stats s;
	int accepted = 0, ran = 0;

	coop_group_open(&g, NULL);
	for (int i = 0; i < 6; i++) {
		accepted += spawn_until_refused(&g, &ran, i % 2);
		s = stats_of(&g);
		CHECK_INT(s.running, ==, accepted);
		CHECK_INT(s.peak, ==, accepted);
		CHECK_INT(s.finished + s.failed + s.cancelled + s.errors + s.services, ==, 0);
		CHECK_INT(tasks_alive(), ==, accepted + 1);
		CHECK_INT(coop_spawn(&g, runs, &ran), ==, 0); /* with memory it goes on */
		accepted++;
	}
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(ran, ==, accepted);
	CHECK_INT(stats_of(&g).finished, ==, accepted);
	PROVES(B16);
	return 0;
}

/* ---- bad arguments */

/* A spawn that makes no sense is refused by the spawn itself, and leaves nothing. */
TASK_TEST(bad_arguments)
{
	static const size_t stacks[] = { 1, 4096, (16 << 10) - 1, ((size_t)1 << 30) + 1, SIZE_MAX };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h = NULL;
	struct coop_spawn_opts opts = { 0 };
	int ran = 0;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, NULL, &ran), ==, -EINVAL);
	CHECK_INT(coop_spawn_wait(&g, NULL, &ran), ==, -EINVAL);
	CHECK_INT(coop_spawn_unless_cancelled(&g, NULL, &ran), ==, -EINVAL);
	CHECK_INT(coop_spawn_with(&g, NULL, &ran, NULL, &h), ==, -EINVAL);
	for (size_t i = 0; i < 5; i++) {
		opts.stack_bytes = stacks[i];
		CHECK_INT(coop_spawn_with(&g, runs, &ran, &opts, &h), ==, -EINVAL);
	}
	opts = (struct coop_spawn_opts){ ._reserved = { 0, 1 } };
	CHECK_INT(coop_spawn_with(&g, runs, &ran, &opts, &h), ==, -EINVAL);
	opts = (struct coop_spawn_opts){ .service = true, .essential = true };
	CHECK_INT(coop_spawn_with(&g, runs, &ran, &opts, &h), ==, -EINVAL);
	CHECK(h == NULL);
	CHECK_INT(stats_of(&g).running, ==, 0);
	CHECK_INT(tasks_alive(), ==, 1);
	CHECK_INT(coop_group_cancel_grace(&g, "x", -1), ==, -EINVAL);
	CHECK_INT(coop_checkpoint(), ==, 0); /* it is not cancelled */
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(ran, ==, 0);
	PROVES(B17);
	return 0;
}

static enum coop_verdict no_judge(const struct coop_error *error, void *ctx)
{
	(void)error;
	(void)ctx;
	return COOP_VERDICT_KEEP;
}

/* Options of a group that make no sense: the group is not open, and spawn and join say why. */
TASK_TEST(bad_options)
{
	static const struct coop_group_opts bad[] = {
		{ .timeout_ns = -1 },
		{ .timeout_ns = INT64_MIN },
		{ .soft_shield_ns = -1 },
		{ .grace_ns = -1 },
		{ .policy = (enum coop_policy)4 },
		{ .policy = (enum coop_policy) - 1 },
		{ .policy = COOP_JUDGE },
		{ .judge = no_judge },
		{ ._reserved = { [7] = 1 } },
	};
	int ran = 0;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct coop_group_stats stats;

		CHECK_INT(coop_group_open(&g, &bad[i]), ==, -EINVAL);
		CHECK_INT(coop_group_open(&g, NULL), ==, -EALREADY);
		CHECK_INT(coop_spawn(&g, runs, &ran), ==, -EINVAL);
		CHECK_INT(coop_spawn_wait(&g, runs, &ran), ==, -EINVAL);
		CHECK_INT(coop_group_wait(&g), ==, -EINVAL);
		CHECK_INT(coop_group_stats(&g, &stats), ==, COOP_ENOTOPEN);
		CHECK_INT(coop_group_set_running_max(&g, 1), ==, COOP_ENOTOPEN);
		CHECK_INT(coop_group_cancel(&g, "x"), ==, 1);
		CHECK_INT(coop_group_join(&g, 0), ==, -EINVAL);
		CHECK_INT(coop_group_join(&g, -EIO), ==, -EIO);
	}
	CHECK_INT(coop_effective_deadline(), ==, COOP_NEVER);
	CHECK_INT(tasks_alive(), ==, 1);
	CHECK_INT(ran, ==, 0);
	return 0;
}

/* ---- three answers */

/* Not opened, closed, cancelled: the answers to a spawn differ, and it is the caller's argument. */
TASK_TEST(three_answers)
{
	struct coop_group never = COOP_GROUP_INIT, g = COOP_GROUP_INIT, bad = COOP_GROUP_INIT;
	struct coop_handle *h = NULL;
	int ran = 0;

	coop_group_open(&g, NULL);
	coop_group_cancel(&g, "enough");
	CHECK_INT(coop_spawn_unless_cancelled(&g, runs, &ran), ==, COOP_ECANCELED);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_group_open(&bad, NULL);
	CHECK_INT(coop_group_join(&bad, coop_fail(-EIO, "closed by this")), ==, -EIO);
	for (size_t i = 0; i < WAYS; i++) {
		CHECK_INT(ways[i].spawn(&never, &ran, &h), ==, COOP_ENOTOPEN);
		CHECK_INT(ways[i].spawn(&g, &ran, &h), ==, COOP_ECLOSED);
		CHECK_INT(ways[i].spawn(&bad, &ran, &h), ==, COOP_ECLOSED);
	}
	CHECK_INT(coop_group_wait(&never), ==, COOP_ENOTOPEN);
	CHECK_INT(coop_group_wait(&g), ==, COOP_ECLOSED);
	CHECK_INT(coop_group_set_running_max(&never, 1), ==, COOP_ENOTOPEN);
	CHECK_INT(coop_group_set_running_max(&g, 1), ==, COOP_ECLOSED);
	CHECK_INT(coop_group_join(&never, 0), ==, COOP_ENOTOPEN);
	CHECK_INT(coop_group_join(&g, 0), ==, COOP_ECLOSED);
	CHECK(h == NULL);
	CHECK_INT(ran, ==, 0);
	PROVES(S100, B18, B19, B35);
	return 0;
}
