/* SPDX-License-Identifier: MIT */
/*
 * What a task knows of itself and a run of its tasks: who runs, names, locals, numbers, the
 * memory that is given up at the end, and children that are run at once.
 */
#include "core_help.h"

#include "base/os.h"
#include "core/core.h"

/* ---- the running task */

static struct coop_task *seen[2];

static int looks_at_itself(void *arg)
{
	int i = (int)(intptr_t)arg;

	seen[i] = coop_self();
	CHECK(seen[i] != NULL);
	coop_yield();
	CHECK(coop_self() == seen[i]);
	return coop_sleep(MS(1));
}

/* Each task sees itself and no other, before and after it gave way. */
TASK_TEST(the_running_task)
{
	struct coop_task *me = coop_self();
	struct coop_group g = COOP_GROUP_INIT;

	CHECK(me != NULL);
	CHECK(coop_self_group() == NULL); /* main is in no group of the program's */
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, looks_at_itself, MSARG(0)), ==, 0);
	CHECK_INT(coop_spawn(&g, looks_at_itself, MSARG(1)), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK(coop_self() == me);
	CHECK(seen[0] != seen[1] && seen[0] != me && seen[1] != me);
	PROVES(B331);
	return 0;
}

static int visit_nobody(const struct coop_task_info *info, void *ctx)
{
	(void)info;
	(void)ctx;
	FAIL("nobody is there");
	return 0;
}

/* Outside of tasks there is none, and everything that would need one says so. */
TEST(no_running_task_outside)
{
	struct coop_run_stats stats;

	CHECK(coop_self() == NULL);
	CHECK(coop_self_group() == NULL);
	CHECK(coop_run_group() == NULL);
	CHECK_STR(coop_name(), "");
	CHECK(!coop_cancelled());
	CHECK_INT(coop_for_each_task(true, visit_nobody, NULL), ==, COOP_ENOTASK);
	CHECK_INT(coop_run_stats(&stats), ==, COOP_ENOTASK);
	CHECK_INT(coop_set_name("x"), ==, COOP_ENOTASK);
	CHECK_INT(coop_run(sleep_ms, MSARG(1), &virtual_clock), ==, 0);
	CHECK(coop_self() == NULL); /* and after a run, too */
	PROVES(B331);
}

static int in_group(void *arg)
{
	CHECK(coop_self_group() == arg);
	return 0;
}

/* A task can ask for the group that it is a child of. */
TASK_TEST(the_group_of_a_task)
{
	struct coop_group g = COOP_GROUP_INIT, h = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	coop_group_open(&h, NULL);
	CHECK_INT(coop_spawn(&g, in_group, &g), ==, 0);
	CHECK_INT(coop_spawn(&h, in_group, &h), ==, 0);
	CHECK_INT(coop_spawn(coop_run_group(), in_group, coop_run_group()), ==, 0);
	CHECK_INT(coop_group_join(&h, 0), ==, 0);
	return coop_group_join(&g, 0);
}

/* ---- names */

static int find_name(const struct coop_task_info *info, void *name)
{
	return strcmp(info->name, name) == 0;
}

static int renames_and_fails(void *arg)
{
	struct coop_error_info i;
	char path[160];
	int r;

	CHECK_STR(coop_name(), "renames_and_fails"); /* the function's, to begin with */
	CHECK_STR(coop_task_path(coop_self(), path, sizeof path), "main/pages/renames_and_fails");
	CHECK_INT(coop_set_name(NULL), ==, -EINVAL);
	CHECK_INT(coop_set_name("page 7"), ==, 0);
	CHECK_STR(coop_name(), "page 7");
	CHECK_INT(coop_for_each_task(false, find_name, (void *)"page 7"), ==, 1);
	CHECK_INT(coop_for_each_task(false, find_name, (void *)"renames_and_fails"), ==, 0);
	r = coop_fail(-EIO, "gone");
	coop_error_describe(coop_error_peek(r), &i);
	CHECK_STR(i.task, "main/pages/page 7"); /* in errors */
	(void)arg;
	return r;
}

/* The name of a task is that of its function, or its own, and it shows up wherever a task does. */
TASK_TEST(names_show_up_everywhere)
{
	struct coop_group_opts pages = { .name = "pages" };
	struct coop_spawn_opts named = { .name = "sleeper" };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_cancel_info info;
	char text[512] = "";
	struct coop_error *e;
	FILE *out;
	int r;

	coop_group_open(&g, &pages);
	CHECK_INT(coop_spawn_with(&g, sleep_for_ever, NULL, &named, NULL), ==, 0);
	CHECK_INT(coop_for_each_task(false, find_name, (void *)"sleeper"), ==, 1); /* not begun */
	coop_yield();
	CHECK_INT(coop_for_each_task(false, find_name, (void *)"sleeper"), ==, 1);
	CHECK_INT(coop_spawn(&g, renames_and_fails, NULL), ==, 0);
	r = coop_sleep(COOP_NEVER);
	CHECK(coop_cancel_reason(&info));
	CHECK_STR(info.text, "child \"page 7\" failed"); /* in reasons */
	out = fmemopen(text, sizeof text, "w");
	CHECK_INT(coop_dump(out, 0), ==, 0);
	fclose(out);
	CHECK_HAS(text, "\"sleeper\" ready, cancelled from outside"); /* in dumps */
	r = coop_group_join(&g, r);
	e = coop_error_take(r);
	out = fmemopen(text, sizeof text, "w");
	CHECK_INT(coop_error_print(out, e, 0), ==, 0);
	fclose(out);
	CHECK_HAS(text, "main/pages/page 7"); /* in the tree of errors */
	coop_error_unref(e);
	PROVES(B333);
	return 0;
}

/* A name is copied, and cut where it is too long, not in the middle of what is beside it. */
TASK_TEST(long_names)
{
	char name[200], cut[COOP_NAME_MAX + 1];

	memset(name, 'x', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	memset(cut, 'x', sizeof cut - 1);
	cut[sizeof cut - 1] = '\0';
	CHECK_INT(coop_set_name(name), ==, 0);
	memset(name, 'y', sizeof name - 1);
	CHECK_STR(coop_name(), cut);
	CHECK_INT(coop_set_name(""), ==, 0);
	CHECK_STR(coop_name(), "");
	PROVES(B333);
	return 0;
}

/* ---- locals */

static const struct coop_local user = { "user" }, host = { "host" };
static char alice[] = "alice", bob[] = "bob", carol[] = "carol";

static int sees(void *arg)
{
	CHECK_STR(coop_local_get(&user), arg);
	coop_yield();
	CHECK_STR(coop_local_get(&user), arg); /* whatever others do meanwhile */
	return 0;
}

static int changes(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	CHECK_STR(coop_local_get(&user), arg);
	CHECK_INT(coop_local_set(&user, carol), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sees, carol), ==, 0);
	CHECK_INT(coop_local_set(&user, NULL), ==, 0); /* no value is a value, too */
	CHECK_INT(coop_spawn(&g, sees, NULL), ==, 0);
	return coop_group_join(&g, 0);
}

static int spawns_into(void *arg)
{
	CHECK_INT(coop_local_set(&user, bob), ==, 0);
	return coop_spawn(arg, sees, bob); /* the spawner's, not the group's host's */
}

/* A child has what its spawner had when it spawned; later changes of either are its own. */
TASK_TEST(locals_are_inherited_from_the_spawner)
{
	struct coop_spawn_opts eager = { .eager = true };
	struct coop_group g = COOP_GROUP_INIT;

	CHECK(coop_local_get(&user) == NULL);
	CHECK_INT(coop_local_set(NULL, alice), ==, -EINVAL);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sees, NULL), ==, 0);
	CHECK_INT(coop_local_set(&user, alice), ==, 0);
	CHECK_INT(coop_spawn(&g, sees, alice), ==, 0);
	CHECK_INT(coop_spawn(&g, changes, alice), ==, 0);
	CHECK_INT(coop_spawn(&g, spawns_into, &g), ==, 0);
	CHECK_INT(coop_spawn_with(&g, sees, alice, &eager, NULL), ==, 0);
	CHECK_INT(coop_local_set(&user, bob), ==, 0);
	CHECK_INT(coop_spawn(&g, sees, bob), ==, 0);
	CHECK_INT(coop_group_wait(&g), ==, 0);
	CHECK_STR(coop_local_get(&user), "bob");
	CHECK(coop_local_get(&host) == NULL);
	PROVES(B341);
	return coop_group_join(&g, 0);
}

static int fails_bound(void *arg)
{
	CHECK_STR(coop_local_get(&user), arg);
	CHECK_INT(coop_local_set(&user, carol), ==, 0);
	CHECK_INT(coop_local_set(&host, carol), ==, 0);
	return -EIO;
}

/* A binding for a call is gone after it, with all that was bound within, however it ended. */
TASK_TEST(locals_bound_for_a_call)
{
	CHECK_INT(coop_local_with(&user, alice, NULL, NULL), ==, -EINVAL);
	CHECK_INT(coop_local_with(NULL, alice, sees, alice), ==, -EINVAL);
	CHECK_INT(coop_local_with(&user, alice, sees, alice), ==, 0);
	CHECK(coop_local_get(&user) == NULL);
	CHECK_INT(coop_local_set(&user, bob), ==, 0);
	CHECK_INT(coop_local_with(&user, alice, fails_bound, alice), ==, -EIO);
	CHECK_STR(coop_local_get(&user), "bob");
	CHECK(coop_local_get(&host) == NULL);
	PROVES(B341);
	return 0;
}

/* Without memory nothing changes, and the call is not made. */
TASK_TEST(locals_without_memory)
{
	CHECK_INT(coop_local_set(&user, alice), ==, 0);
	cp_os_faults.alloc_fail_at = cp_os_faults.alloc_calls + 1;
	CHECK_INT(coop_local_set(&host, bob), ==, -ENOMEM);
	cp_os_faults.alloc_fail_at = cp_os_faults.alloc_calls + 1;
	CHECK_INT(coop_local_with(&user, bob, fails_bound, NULL), ==, -ENOMEM);
	cp_os_faults.alloc_fail_at = cp_os_faults.alloc_calls + 1;
	CHECK_INT(coop_run_local_set(&host, bob), ==, -ENOMEM);
	cp_os_faults.alloc_fail_at = 0;
	CHECK(coop_local_get(&host) == NULL);
	CHECK(coop_run_local_get(&host) == NULL);
	CHECK_STR(coop_local_get(&user), "alice");
	return 0;
}

static int sees_run_local(void *arg)
{
	CHECK_STR(coop_run_local_get(&user), "alice");
	CHECK(coop_local_get(&user) == NULL); /* not the task's own */
	CHECK_INT(coop_run_local_set(&user, arg), ==, 0);
	return 0;
}

static int run_locals(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	CHECK(coop_run_local_get(&user) == NULL);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sees_run_local, bob), ==, 0);
	CHECK_INT(coop_run_local_set(&user, alice), ==,
		  0); /* after the spawn: it is seen all the same */
	CHECK_INT(coop_run_local_set(NULL, alice), ==, -EINVAL);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_STR(coop_run_local_get(&user), "bob");
	return 0;
}

/* A local of the run is one for all its tasks, and the next run has its own. */
TEST(locals_of_a_run)
{
	CHECK_INT(coop_run_local_set(&user, alice), ==, COOP_ENOTASK);
	CHECK(coop_run_local_get(&user) == NULL);
	for (int i = 0; i < 2; i++)
		CHECK_INT(coop_run(run_locals, NULL, &virtual_clock), ==, 0);
	PROVES(B342);
}

/* ---- numbers */

/* A run can be asked for its numbers, and they are right. */
TASK_TEST(numbers_of_a_run)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_run_stats s, t;

	CHECK_INT(coop_run_stats(&s), ==, 0);
	CHECK_INT(s.tasks, ==, 1);
	CHECK_INT(s.tasks_internal, ==, 1);
	CHECK_INT(s.tasks_ready, ==, 0);
	CHECK_INT(s.tasks_blocked, ==, 1); /* the root */
	CHECK_INT(s.timers, ==, 0);
	CHECK_INT(s.next_deadline_ns, ==, COOP_NEVER);
	CHECK_INT(s.spawned, ==, 1);
	CHECK(s.clock_virtual);
	CHECK(strcmp(s.engine, "epoll") == 0 || strcmp(s.engine, "uring") == 0 ||
	      strcmp(s.engine, "sim") == 0);
	CHECK(s.engine_why[0] && s.guards[0]);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(30)), ==, 0);
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(20)), ==, 0);
	CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_run_stats(&t), ==, 0);
	CHECK_INT(t.tasks, ==, 4);
	CHECK_INT(t.tasks_ready, ==, 3);
	CHECK_INT(t.stacks_used, ==, 2); /* they have not begun */
	CHECK_INT(t.spawned, ==, 4);
	coop_yield();
	CHECK_INT(coop_run_stats(&t), ==, 0);
	CHECK_INT(t.tasks_ready, ==, 0);
	CHECK_INT(t.tasks_blocked, ==, 4);
	CHECK_INT(t.timers, ==, 2);
	CHECK_INT(t.next_deadline_ns, ==, begin_ns + MS(20));
	CHECK_INT(t.stacks_used, ==, 5);
	CHECK_INT(t.stacks, >=, 5);
	CHECK_INT(t.switches, >, s.switches);
	CHECK_INT(coop_sleep(MS(25)), ==, 0);
	CHECK_INT(coop_run_stats(&t), ==, 0);
	CHECK_INT(t.tasks, ==, 3);
	CHECK_INT(t.next_deadline_ns, ==, begin_ns + MS(30));
	CHECK_INT(t.turns, >, s.turns);
	CHECK_INT(t.cancels_delivered, ==, 0);
	coop_group_cancel(&g, NULL);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_run_stats(&t), ==, 0);
	CHECK_INT(t.tasks, ==, 1);
	CHECK_INT(t.timers, ==, 0);
	CHECK_INT(t.cancels_delivered, ==, 2);
	CHECK_INT(t.spawned, ==, 4);
	PROVES(B332);
	return 0;
}

/* ---- memory */

static int binds_and_fails(void *arg)
{
	(void)arg;
	for (int i = 0; i < 20; i++)
		CHECK_INT(coop_local_with(&user, alice, sees, alice), ==, 0);
	CHECK_INT(coop_local_set(&user, alice), ==, 0);
	CHECK_INT(coop_local_set(&host, alice), ==, 0);
	(void)!coop_fail(-EIO, "handled"); /* left in its slot */
	return coop_sleep(MS(1));
}

/*
 * What a task had is given up when it ends, while its group goes on: its stack, its locals, the
 * error that it had handled; also where it was cancelled.
 */
TASK_TEST(memory_is_given_up_at_the_end)
{
	struct coop_spawn_opts named = { .name = "named" };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_run_stats s;
	int64_t live = 0;

	coop_group_open(&g, NULL);
	for (int round = 0; round < 10; round++) {
		struct coop_handle *h;

		CHECK_INT(coop_spawn(&g, binds_and_fails, NULL), ==, 0);
		CHECK_INT(coop_spawn_with(&g, binds_and_fails, NULL, &named, NULL), ==, 0);
		CHECK_INT(coop_spawn_with(&g, binds_and_fails, NULL, &named, &h), ==, 0);
		coop_yield();
		coop_handle_cancel(h, NULL);
		coop_handle_release(h);
		CHECK_INT(coop_group_wait(&g), ==, 0);
		CHECK_INT(coop_run_stats(&s), ==, 0);
		CHECK_INT(s.stacks_used, ==, 2);
		if (round == 1)
			live = cp_os_faults.allocs_live;
	}
	/* Of cancelled children the names are kept, for the group's error: a few of them. */
	CHECK_INT(cp_os_faults.allocs_live, <=, live + 8);
	PROVES(B344);
	return coop_group_join(&g, 0);
}

/* ---- children that are run at once */

static int says(void *arg)
{
	say("%s ", (const char *)arg);
	return 0;
}

static int says_twice(void *arg)
{
	int r;

	say("%s ", (const char *)arg);
	r = coop_sleep(MS(1));
	say("%s ", (const char *)arg);
	return r;
}

static const struct coop_spawn_opts at_once = { .eager = true };

static int spawns_eagerly(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, says, (void *)"later"), ==, 0);
	CHECK_INT(coop_spawn(&g, says, (void *)"later"), ==, 0);
	say("1 ");
	CHECK_INT(coop_spawn_with(&g, says, (void *)"once", &at_once, NULL), ==, 0);
	say("2 ");
	CHECK_INT(coop_spawn_with(&g, says_twice, (void *)"twice", &at_once, NULL), ==, 0);
	say("3 ");
	return coop_group_join(&g, 0);
}

/*
 * By default a child runs later. An eager one runs before the spawn returns, until it first waits
 * or has ended, and then its spawner goes on before all others: under every seed.
 */
TEST(eager_children_run_at_once)
{
	struct coop_run_opts opts = virtual_clock;

	for (opts.seed = 0; opts.seed < 50; opts.seed++) {
		CHECK_INT(coop_run(spawns_eagerly, NULL, &opts), ==, 0);
		CHECK_TRAIL("1 once 2 twice 3 later later twice ");
	}
	PROVES(B345);
}

static int nests_eagerly(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int depth = (int)(intptr_t)arg;

	say("(");
	if (depth) {
		coop_group_open(&g, NULL);
		CHECK_INT(coop_spawn_with(&g, nests_eagerly, MSARG(depth - 1), &at_once, NULL), ==,
			  0);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
	}
	say(")");
	return 0;
}

static int nests_three(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, says, (void *)"."), ==, 0);
	CHECK_INT(coop_spawn_with(&g, nests_eagerly, MSARG(3), &at_once, NULL), ==, 0);
	say("!");
	return coop_group_join(&g, 0);
}

/* Eager children of eager children go on inwards, one in the other. */
TEST(eager_children_of_eager_children)
{
	struct coop_run_opts opts = virtual_clock;

	for (opts.seed = 0; opts.seed < 20; opts.seed++) {
		CHECK_INT(coop_run(nests_three, NULL, &opts), ==, 0);
		CHECK_HAS(trail, "((((");
		trail[0] = '\0';
	}
	PROVES(B345);
}

static int fails_at_once(void *arg)
{
	(void)arg;
	return coop_fail(-EIO, "at once");
}

/* One that fails at once has been accepted; its spawner is cancelled at its next checkpoint. */
TASK_TEST(an_eager_child_that_fails)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h;
	int r;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, fails_at_once, NULL, &at_once, &h), ==, 0);
	CHECK_INT(coop_handle_state(h), ==, COOP_TASK_FAILED);
	CHECK_INT(coop_spawn(&g, says, (void *)"accepted"), ==, 0);
	r = coop_checkpoint();
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_group_join(&g, r), ==, -EIO);
	CHECK_TRAIL("accepted ");
	coop_error_clear();
	coop_handle_release(h);
	PROVES(B345);
	return 0;
}

static int is_cancelled_at_once(void *arg)
{
	*(int *)arg = coop_checkpoint();
	return *(int *)arg;
}

/* In a cancelled group it begins, and is cancelled at its first checkpoint, like any other. */
TASK_TEST(an_eager_child_of_a_cancelled_group)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	coop_group_open(&g, NULL);
	coop_group_cancel(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, is_cancelled_at_once, &r, &at_once, NULL), ==, 0);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	PROVES(B345);
	return 0;
}
