/* SPDX-License-Identifier: MIT */
/*
 * Where things meet that each have their own tests: locks and compositions, waits with a limit and
 * searches for cycles, bags and their clean-ups.
 */
#include "compose_help.h"

/* ---- locks and those who wait for children */

static struct coop_mutex lock = COOP_MUTEX_INIT;

static int locks(void *arg)
{
	int r = coop_mutex_lock(&lock);

	(void)arg;
	if (r < 0)
		return r;
	coop_mutex_unlock(&lock);
	return 7;
}

/*
 * Whoever takes the results one by one goes on with the first of them: a call that wants what he
 * owns is no cycle while there is another one.
 */
TASK_TEST(a_lock_owned_while_results_come)
{
	struct job j = { .ms = 10, .value = 5 };
	struct coop_call calls[] = { { locks, NULL, NULL }, { job, &j, NULL } };
	struct coop_as_completed *it;
	struct coop_slot slot;
	size_t index;

	CHECK_INT(coop_mutex_lock(&lock), ==, 0);
	CHECK_INT(coop_as_completed_open(calls, 2, NULL, &it), ==, 0);
	CHECK_INT(coop_as_completed_next(it, &index, &slot), ==, 0);
	CHECK_INT(index, ==, 1);
	CHECK_INT(slot.rc, ==, 5);
	CHECK_INT(coop_mutex_unlock(&lock), ==, 0);
	CHECK_INT(coop_as_completed_next(it, &index, &slot), ==, 0);
	CHECK_INT(slot.rc, ==, 7);
	return coop_as_completed_close(it, 0);
}

/* Of the last one there is no other, and it is refused. */
TASK_TEST(a_lock_owned_while_the_last_comes)
{
	struct coop_call calls[] = { { locks, NULL, NULL } };
	struct coop_as_completed_opts opts = { .mode = COOP_GATHER_COLLECT };
	struct coop_as_completed *it;
	struct coop_slot slot;

	CHECK_INT(coop_mutex_lock(&lock), ==, 0);
	CHECK_INT(coop_as_completed_open(calls, 1, &opts, &it), ==, 0);
	CHECK_INT(coop_as_completed_next(it, NULL, &slot), ==, 0);
	CHECK_INT(slot.rc, ==, -EDEADLK);
	coop_error_unref(slot.err);
	CHECK_INT(coop_mutex_unlock(&lock), ==, 0);
	return coop_as_completed_close(it, 0);
}

/* With a time limit it is no cycle: the owner goes on then. */
TASK_TEST(a_lock_owned_while_the_last_is_late)
{
	struct coop_call calls[] = { { locks, NULL, NULL } };
	struct coop_as_completed_opts opts = { .timeout_ns = MS(10) };
	struct coop_as_completed *it;

	CHECK_INT(coop_mutex_lock(&lock), ==, 0);
	CHECK_INT(coop_as_completed_open(calls, 1, &opts, &it), ==, 0);
	CHECK_INT(coop_as_completed_next(it, NULL, NULL), ==, COOP_ETIMEDOUT);
	coop_error_clear();
	CHECK_INT(coop_mutex_unlock(&lock), ==, 0);
	return coop_as_completed_close(it, 0);
}

/* Nor is it one where the wait for the children has a limit of its own. */
TASK_TEST(a_lock_owned_for_a_limited_wait)
{
	struct coop_scope_opts opts = { .timeout_ns = MS(10) };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_mutex_lock(&lock), ==, 0);
	CHECK_INT(coop_spawn(&g, locks, NULL), ==, 0);
	coop_scope_open(&s, &opts);
	r = coop_group_wait(&g);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	CHECK_INT(now_ms(), ==, 10);
	CHECK_INT(coop_mutex_unlock(&lock), ==, 0);
	return coop_group_join(&g, 0);
}

static int locks_too(size_t index, void *arg)
{
	(void)index;
	return locks(arg);
}

/* What is owned while a map goes on is owned until it is over, however many may run at once. */
TASK_TEST(a_lock_owned_by_who_maps)
{
	for (uint32_t most = 0; most < 3; most++) {
		struct coop_map_opts opts = { .running_max = most, .mode = COOP_GATHER_COLLECT };
		struct coop_slot slots[3];

		CHECK_INT(coop_mutex_lock(&lock), ==, 0);
		CHECK_INT(coop_map(locks_too, NULL, 3, &opts, slots), ==, 0);
		CHECK_INT(coop_mutex_unlock(&lock), ==, 0);
		for (int i = 0; i < 3; i++) {
			CHECK_INT(slots[i].rc, ==, -EDEADLK);
			coop_error_unref(slots[i].err);
		}
	}
	return 0;
}

/* So is it while calls are made one by one. */
TASK_TEST(a_lock_owned_by_who_staggers)
{
	struct coop_call calls[] = { { locks, NULL, NULL }, { locks, NULL, NULL } };

	for (int64_t delay = 0; delay < MS(3); delay += MS(1)) {
		CHECK_INT(coop_mutex_lock(&lock), ==, 0);
		CHECK_INT(coop_staggered_race(calls, 2, delay, NULL, NULL), ==, -EDEADLK);
		coop_error_clear();
		CHECK_INT(coop_mutex_unlock(&lock), ==, 0);
	}
	return 0;
}

static int is_refused(void *arg)
{
	CHECK_INT(locks(arg), ==, -EDEADLK);
	coop_error_clear();
	return 0;
}

/* Who waits for room waits for the only child there is; of several any may make it. */
TASK_TEST(a_lock_owned_by_who_waits_for_room)
{
	struct coop_group_opts one = { .running_max = 1 }, two = { .running_max = 2 };
	struct coop_group g = COOP_GROUP_INIT, h = COOP_GROUP_INIT;

	coop_group_open(&g, &one);
	CHECK_INT(coop_mutex_lock(&lock), ==, 0);
	CHECK_INT(coop_spawn_wait(&g, is_refused, NULL), ==, 0);
	CHECK_INT(coop_spawn_wait(&g, is_refused, NULL), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_group_open(&h, &two);
	CHECK_INT(coop_spawn_wait(&h, locks, NULL), ==, 0);
	CHECK_INT(coop_spawn_wait(&h, sleep_ms, MSARG(5)), ==, 0);
	CHECK_INT(coop_spawn_wait(&h, sleep_ms, MSARG(5)), ==, 0);
	CHECK_INT(coop_mutex_unlock(&lock), ==, 0);
	return coop_group_join(&h, 0);
}

static struct coop_mutex other = COOP_MUTEX_INIT;
static struct coop_cond cond = COOP_COND_INIT(&lock);

static int waits_for_a_while(void *arg)
{
	struct coop_scope_opts opts = { .timeout_ns = MS(50) };
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	(void)arg;
	CHECK_INT(coop_mutex_lock(&other), ==, 0);
	CHECK_INT(coop_mutex_lock(&lock), ==, 0);
	coop_scope_open(&s, &opts);
	r = coop_cond_wait(&cond);
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	CHECK_INT(coop_mutex_unlock(&lock), ==, 0);
	CHECK_INT(coop_mutex_unlock(&other), ==, 0);
	return r;
}

/* Who has been notified waits for the mutex, and no deadline ends that. */
TASK_TEST(a_circle_of_one_that_was_notified)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, waits_for_a_while, NULL), ==, 0);
	coop_yield();
	CHECK_INT(coop_mutex_lock(&lock), ==, 0);
	CHECK_INT(coop_cond_notify_all(&cond), ==, 1);
	CHECK_INT(coop_mutex_lock(&other), ==, -EDEADLK);
	coop_error_clear();
	CHECK_INT(coop_mutex_unlock(&lock), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 0);
	return 0;
}

static struct coop_group watched;
static struct coop_handle *watcher;

static int locks_in_5_ms(void *arg)
{
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(locks(arg), ==, -EDEADLK);
	coop_error_clear();
	return 0;
}

static int owns_and_waits_for_the_group(void *arg)
{
	(void)arg;
	CHECK_INT(coop_mutex_lock(&lock), ==, 0);
	CHECK_INT(coop_group_wait(&watched), ==, 0);
	return coop_mutex_unlock(&lock);
}

static int waits_for_the_watcher(void *arg)
{
	int r;

	CHECK_INT(sleep_ms(arg), ==, 0);
	r = coop_handle_wait(watcher, NULL);
	coop_error_clear();
	say("task %d ", r);
	return 0;
}

static int waits_for_the_group(void *arg)
{
	int r;

	CHECK_INT(sleep_ms(arg), ==, 0);
	r = coop_group_wait(&watched);
	coop_error_clear();
	say("group %d ", r);
	return 0;
}

static void watch_group(coop_fn *child, void *child_arg, coop_fn *fn, void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	watched = (struct coop_group)COOP_GROUP_INIT;
	coop_group_open(&watched, NULL);
	CHECK_INT(coop_spawn(&watched, child, child_arg), ==, 0);
	CHECK_INT(coop_spawn_with(&g, fn, arg, NULL, &watcher), ==, 0);
	CHECK_INT(coop_group_join(&watched, 0), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_handle_release(watcher);
}

/* Circles through a task that waits for a group from outside, whichever wait is the last one. */
TASK_TEST(circles_through_who_waits_for_a_group)
{
	watch_group(locks_in_5_ms, NULL, owns_and_waits_for_the_group, NULL);
	watch_group(waits_for_the_watcher, MSARG(5), waits_for_the_group, MSARG(1));
	CHECK_TRAIL("task -35 group 0 ");
	watch_group(waits_for_the_watcher, MSARG(1), waits_for_the_group, MSARG(5));
	CHECK_TRAIL("group -35 task 0 ");
	PROVES(B157, B320);
	return 0;
}

static int starts_with_the_lock(void *arg, struct coop_start *start)
{
	return locks_in_5_ms(arg) < 0 ? -EIO : coop_started(start, 0);
}

static int starts_with_the_watcher(void *arg, struct coop_start *start)
{
	return waits_for_the_watcher(arg) < 0 ? -EIO : coop_started(start, 0);
}

static void watch_start(void *child_arg, coop_fn *fn, void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	watched = (struct coop_group)COOP_GROUP_INIT;
	coop_group_open(&watched, NULL);
	CHECK_INT(coop_spawn_with(&g, fn, arg, NULL, &watcher), ==, 0);
	CHECK_INT(coop_start(&watched, child_arg ? starts_with_the_watcher : starts_with_the_lock,
			     child_arg, NULL),
		  ==, 0);
	CHECK_INT(coop_group_join(&watched, 0), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_handle_release(watcher);
}

/* The same, where it is the child of a start that the group is kept open for. */
TASK_TEST(circles_through_who_waits_for_a_start)
{
	watch_start(NULL, owns_and_waits_for_the_group, NULL);
	watch_start(MSARG(5), waits_for_the_group, MSARG(1));
	CHECK_TRAIL("task -35 group 0 ");
	watch_start(MSARG(1), waits_for_the_group, MSARG(5));
	CHECK_TRAIL("group -35 task 0 ");
	return 0;
}

static struct coop_rwlock data = COOP_RWLOCK_INIT;
static struct coop_scope cut;

static int owns_and_waits_for(void *arg)
{
	int r;

	CHECK_INT(coop_rwlock_write(&data), ==, 0);
	cut = (struct coop_scope)COOP_SCOPE_INIT;
	coop_scope_open(&cut, NULL);
	r = coop_wait(arg, 1, COOP_WAIT_ALL, COOP_NEVER, NULL);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&cut, r), ==, 0);
	return coop_rwlock_unlock(&data);
}

static int cuts(void *arg)
{
	(void)arg;
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	return coop_scope_cancel(&cut, "enough");
}

static int reads(void *arg)
{
	(void)arg;
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(coop_rwlock_read(&data), ==, 0);
	return coop_rwlock_unlock(&data);
}

/* A wait for tasks that was cancelled a moment ago is no step of a circle any more. */
TASK_TEST(a_wait_that_has_just_ended)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, cuts, NULL), ==, 0);
	CHECK_INT(coop_spawn_with(&g, reads, NULL, NULL, &h), ==, 0);
	CHECK_INT(coop_spawn(&g, owns_and_waits_for, &h), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_handle_release(h);
	return 0;
}

/* ---- ends that cannot be waited for */

static int locks_shielded(void *arg)
{
	return coop_shield(locks, arg);
}

/* The time is up, and the task that was cancelled needs what the caller owns: that is told. */
TASK_TEST(a_gather_of_one_that_waits_for_it)
{
	struct coop_scope_opts opts = { .timeout_ns = MS(10) };
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *handle;
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_mutex_lock(&lock), ==, 0);
	CHECK_INT(coop_spawn_with(&g, locks_shielded, NULL, NULL, &handle), ==, 0);
	coop_scope_open(&s, &opts);
	r = coop_gather_handles(&handle, 1, COOP_GATHER_FAIL_FAST, NULL);
	CHECK_INT(r, ==, -EDEADLK);
	CHECK_INT(coop_scope_close(&s, r), ==, -EDEADLK);
	coop_error_clear();
	CHECK(coop_handle_cancel_called(handle));
	CHECK_INT(coop_mutex_unlock(&lock), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_handle_release(handle);
	return 0;
}

/* The same of one: it has not failed late, it has not ended. */
TASK_TEST(a_wait_for_one_that_waits_for_it)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_error_info info;
	struct coop_handle *handle;
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_mutex_lock(&lock), ==, 0);
	CHECK_INT(coop_spawn_with(&g, locks_shielded, NULL, NULL, &handle), ==, 0);
	r = coop_wait_for(handle, MS(10), NULL);
	CHECK_INT(r, ==, -EDEADLK);
	coop_error_describe(coop_error_peek(r), &info);
	CHECK_STR(info.message, "main waits for main/locks_shielded, which waits for main");
	coop_error_clear();
	CHECK_INT(coop_mutex_unlock(&lock), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_handle_release(handle);
	return 0;
}

/* ---- a cancel that nobody made */

/* The caller's part has failed with it, also where failures of calls are looked for in slots. */
TASK_TEST(a_caller_that_was_not_cancelled)
{
	for (int mode = COOP_GATHER_FAIL_FAST; mode <= COOP_GATHER_COLLECT; mode++) {
		struct coop_as_completed_opts opts = { .mode = (enum coop_gather_mode)mode };
		struct job j = { .ms = 1, .value = 5 };
		struct coop_call calls[] = { { job, &j, NULL } };
		struct coop_as_completed *it;
		int r;

		CHECK_INT(coop_as_completed_open(calls, 1, &opts, &it), ==, 0);
		r = coop_as_completed_close(it, COOP_ECANCELED);
		CHECK_INT(r, ==, COOP_ESPURIOUSCANCEL);
		coop_error_clear();
	}
	return 0;
}

/* ---- bags */

static struct coop_bag bag;

static int asks_for_bag(void *arg)
{
	CHECK_INT(coop_sleep(MS(10)), ==, 0);
	CHECK_INT(coop_bag_until_done(bag), ==, 0);
	CHECK_INT(coop_bag_aclose(bag), ==, 0);
	*(bool *)arg = true;
	return 0;
}

static int stays(void *arg)
{
	return coop_shield(sleep_ms, arg);
}

/* In the moment when its last child has ended and who leaves it has not gone on yet. */
TASK_TEST(a_bag_that_is_being_left)
{
	struct coop_group g = COOP_GROUP_INIT;
	bool asked = false;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_bag_new(NULL, &bag), ==, 0);
	CHECK_INT(coop_bag_open(bag), ==, 0);
	CHECK_INT(coop_bag_spawn(bag, stays, MSARG(10)), ==, 0);
	CHECK_INT(coop_spawn(&g, asks_for_bag, &asked), ==, 0);
	coop_yield();
	CHECK_INT(coop_bag_leave(bag, 0), ==, 0);
	CHECK(asked);
	CHECK_INT(coop_bag_free(bag), ==, 0);
	return coop_group_join(&g, 0);
}
