/* SPDX-License-Identifier: MIT */
/*
 * What may be asked after one task, by its handle, in every state from its spawn to long after its
 * end; the lists and the dump that show all of them; and cancelling one, which is a request.
 */
#include "group_help.h"

/* ---- results */

static int gives(void *arg)
{
	int r = coop_sleep(MS(5));

	return r < 0 ? r : (int)(intptr_t)arg;
}

/* Too early, well, failed, cancelled: four answers, none of them a checkpoint. */
TASK_TEST(four_answers)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *well, *bad, *cut;
	struct coop_checkpoint_mark mark;
	int value = -1;

	coop_group_open(&g, &(struct coop_group_opts){ .policy = COOP_COLLECT });
	CHECK_INT(coop_spawn_with(&g, gives, CODE(17), NULL, &well), ==, 0);
	CHECK_INT(coop_spawn_with(&g, fail_after_ms, MSARG(5), NULL, &bad), ==, 0);
	CHECK_INT(coop_spawn_with(&g, sleep_for_ever, NULL, NULL, &cut), ==, 0);
	mark = coop_test_checkpoints();
	CHECK_INT(coop_handle_result(well, &value), ==, -EAGAIN);
	CHECK_INT(coop_handle_result(bad, &value), ==, -EAGAIN);
	CHECK_INT(coop_handle_result(cut, &value), ==, -EAGAIN);
	CHECK(!coop_handle_error(bad));
	coop_assert_no_checkpoint(mark);
	CHECK_INT(coop_sleep(MS(10)), ==, 0);
	CHECK_INT(coop_handle_cancel(cut, "enough"), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, -EIO);
	mark = coop_test_checkpoints();
	CHECK_INT(coop_handle_result(bad, &value), ==, -EIO);
	CHECK_INT(coop_handle_result(cut, &value), ==, COOP_ETASKCANCELLED);
	CHECK_INT(value, ==, -1);
	CHECK_INT(coop_handle_result(well, &value), ==, 0);
	CHECK_INT(value, ==, 17);
	CHECK_INT(coop_handle_result(well, NULL), ==, 0);
	coop_assert_no_checkpoint(mark);
	CHECK_INT(coop_checkpoint(), ==, 0); /* asking has not cancelled who asked */
	CHECK(coop_handle_error(bad) && !coop_handle_error(cut) && !coop_handle_error(well));
	PROVES(B143);
	coop_handle_release(well);
	coop_handle_release(bad);
	coop_handle_release(cut);
	return 0;
}

/* A task that failed with -EAGAIN is told from one that has not ended by its state. */
TASK_TEST(failed_with_the_code_of_not_ended)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h;
	int value = -1;

	coop_group_open(&g, &(struct coop_group_opts){ .policy = COOP_COLLECT });
	CHECK_INT(coop_spawn_with(&g, bare_code, CODE(-EAGAIN), NULL, &h), ==, 0);
	CHECK_INT(coop_handle_result(h, &value), ==, -EAGAIN);
	CHECK_INT(coop_handle_state(h), <, COOP_TASK_FINISHED);
	CHECK(!coop_handle_error(h));
	CHECK_INT(coop_group_join(&g, 0), ==, -EAGAIN);
	CHECK_INT(coop_handle_result(h, &value), ==, -EAGAIN);
	CHECK_INT(coop_handle_state(h), ==, COOP_TASK_FAILED);
	CHECK(coop_handle_error(h) != NULL);
	CHECK_INT(value, ==, -1);
	PROVES(B143);
	coop_handle_release(h);
	return 0;
}

static struct coop_handle *outlives[3];

static int makes_three(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, &(struct coop_group_opts){ .policy = COOP_COLLECT });
	CHECK_INT(coop_spawn_with(&g, gives, CODE(17), NULL, &outlives[0]), ==, 0);
	CHECK_INT(coop_spawn_with(&g, fail_after_ms, MSARG(5), NULL, &outlives[1]), ==, 0);
	CHECK_INT(coop_spawn_with(&g, sleep_for_ever, NULL, NULL, &outlives[2]), ==, 0);
	CHECK_INT(coop_sleep(MS(10)), ==, 0);
	coop_group_cancel(&g, NULL);
	CHECK_INT(coop_group_join(&g, 0), ==, -EIO);
	coop_error_clear();
	return 0;
}

/* Handles live as long as somebody holds them, the run may be over; counted, they go one by one. */
TEST(handles_outlive_group_and_run)
{
	int value = 0;

	CHECK_INT(coop_run(makes_three, NULL, &virtual_clock), ==, 0);
	CHECK_INT(coop_handle_state(outlives[0]), ==, COOP_TASK_FINISHED);
	CHECK_INT(coop_handle_result(outlives[0], &value), ==, 0);
	CHECK_INT(value, ==, 17);
	CHECK_INT(coop_handle_state(outlives[1]), ==, COOP_TASK_FAILED);
	CHECK_INT(coop_handle_result(outlives[1], &value), ==, -EIO);
	CHECK_STR(info_of(coop_handle_error(outlives[1])).message, "failed after 5 ms");
	CHECK_INT(coop_handle_state(outlives[2]), ==, COOP_TASK_CANCELLED);
	CHECK_INT(coop_handle_result(outlives[2], &value), ==, COOP_ETASKCANCELLED);
	CHECK_INT(coop_handle_cancel(outlives[2], "long over"), ==, 1);
	CHECK(!coop_handle_cancel_called(outlives[2]));
	CHECK(coop_handle_ref(outlives[1]) == outlives[1]);
	CHECK(!coop_handle_release(outlives[1]));
	CHECK_INT(coop_handle_result(outlives[1], &value), ==, -EIO);
	for (int i = 0; i < 3; i++)
		coop_handle_release(outlives[i]);
	CHECK(!coop_handle_release(NULL) && !coop_handle_ref(NULL));
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
	PROVES(B144);
}

/* Who reads an error takes it from nobody: the group reports it, and every reader sees the same. */
TASK_TEST(reading_takes_nothing)
{
	struct coop_group g = COOP_GROUP_INIT;
	const struct coop_error *seen;
	struct coop_handle *h;
	struct coop_error *e;
	int r;

	coop_group_open(&g, &(struct coop_group_opts){ .policy = COOP_COLLECT });
	CHECK_INT(coop_spawn_with(&g, fail_after_ms, MSARG(1), NULL, &h), ==, 0);
	CHECK_INT(coop_handle_wait(h, NULL), ==, -EIO);
	CHECK_INT(coop_handle_result(h, NULL), ==, -EIO);
	seen = coop_handle_error(h);
	CHECK(coop_error_peek(-EIO) == seen); /* it came with the wait */
	coop_error_clear();
	r = coop_group_join(&g, 0);
	CHECK_INT(r, ==, -EIO);
	e = coop_error_take(r);
	CHECK(coop_error_member(e, 0) == seen);
	coop_error_unref(e);
	CHECK(coop_handle_error(h) == seen);
	CHECK_STR(info_of(seen).message, "failed after 1 ms");
	coop_handle_release(h);
	PROVES(B145);
	return 0;
}

/* A dropped handle loses no task, neither before it has begun nor while it runs. */
TASK_TEST(dropped_handles)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct nap early = { .ms = 5 }, late = { .ms = 5 };
	struct coop_handle *h;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, nap, &early, NULL, &h), ==, 0);
	h = coop_handle_release(h);
	CHECK_INT(coop_spawn_with(&g, nap, &late, NULL, &h), ==, 0);
	coop_yield();
	h = coop_handle_release(h);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK(early.ended && late.ended);
	CHECK_INT(early.rc, ==, 0);
	CHECK_INT(late.rc, ==, 0);
	CHECK_INT(now_ms(), ==, 5);
	PROVES(S23);
	return 0;
}

/* ---- states */

static struct coop_handle *observed;
static enum coop_task_state inside;

static int looks_at_itself(void *arg)
{
	int r;

	inside = coop_handle_state(observed);
	r = coop_sleep(MS(5));
	if (r >= 0)
		r = (int)(intptr_t)arg;
	return r;
}

/* A task goes through new, running, blocked, ready, and ends finished, failed or cancelled. */
TASK_TEST(all_states)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_group_opts collect = { .policy = COOP_COLLECT };

	coop_group_open(&g, &collect);
	CHECK_INT(coop_spawn_with(&g, looks_at_itself, CODE(0), NULL, &observed), ==, 0);
	CHECK_INT(coop_handle_state(observed), ==, COOP_TASK_NEW);
	coop_yield();
	CHECK_INT(inside, ==, COOP_TASK_RUNNING);
	CHECK_INT(coop_handle_state(observed), ==, COOP_TASK_BLOCKED);
	CHECK_INT(coop_sleep(MS(10)), ==, 0);
	CHECK_INT(coop_handle_state(observed), ==, COOP_TASK_FINISHED);
	coop_handle_release(observed);
	CHECK_INT(coop_spawn_with(&g, looks_at_itself, CODE(-EIO), NULL, &observed), ==, 0);
	CHECK_INT(coop_sleep(MS(10)), ==, 0);
	CHECK_INT(coop_handle_state(observed), ==, COOP_TASK_FAILED);
	coop_handle_release(observed);
	CHECK_INT(coop_spawn_with(&g, looks_at_itself, NULL, NULL, &observed), ==, 0);
	coop_yield();
	CHECK_INT(coop_test_clock_jump(MS(5)), ==, 0);
	CHECK_INT(coop_handle_state(observed), ==, COOP_TASK_BLOCKED); /* nobody has looked yet */
	CHECK_INT(coop_handle_cancel(observed, "enough"), ==, 0);
	CHECK_INT(coop_handle_state(observed), ==, COOP_TASK_CANCELLING);
	CHECK_INT(coop_group_join(&g, 0), ==, -EIO);
	CHECK_INT(coop_handle_state(observed), ==, COOP_TASK_CANCELLED);
	coop_handle_release(observed);
	coop_error_clear();
	PROVES(S104, S83);
	return 0;
}

static int is_ready(const struct coop_task_info *info, void *ctx)
{
	if (strcmp(info->name, "runs_a_little") == 0)
		*(enum coop_task_state *)ctx = info->state;
	return 0;
}

static int runs_a_little(void *arg)
{
	(void)arg;
	coop_yield();
	return 0;
}

/* One that has given way is ready. */
TASK_TEST(ready_state)
{
	struct coop_group g = COOP_GROUP_INIT;
	enum coop_task_state state = COOP_TASK_NEW;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, runs_a_little, NULL, NULL, &observed), ==, 0);
	coop_yield();
	CHECK_INT(coop_handle_state(observed), ==, COOP_TASK_READY);
	CHECK_INT(coop_for_each_task(false, is_ready, &state), ==, 0);
	CHECK_INT(state, ==, COOP_TASK_READY);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_handle_release(observed);
	PROVES(S104);
	return 0;
}

/* ---- cancelling */

/* Swallows its cancellation and goes on to the end. */
static int swallows(void *arg)
{
	CHECK_INT(coop_sleep(COOP_NEVER), ==, COOP_ECANCELED);
	return (int)(intptr_t)arg;
}

/* A cancel is a request: nothing of the task runs in it; it is being cancelled until its end. */
TASK_TEST(cancelling_is_not_cancelled)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct nap n = { .name = "n" };
	struct coop_handle *h, *stubborn;
	int value = 0;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, nap, &n, NULL, &h), ==, 0);
	CHECK_INT(coop_spawn_with(&g, swallows, CODE(6), NULL, &stubborn), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK(!coop_handle_cancel_called(h));
	CHECK_INT(coop_handle_cancel(h, "enough"), ==, 0);
	CHECK(!n.ended);
	CHECK(coop_handle_cancel_called(h));
	CHECK_INT(coop_handle_state(h), ==, COOP_TASK_CANCELLING);
	CHECK_INT(coop_handle_result(h, &value), ==, -EAGAIN);
	PROVES(S102);
	/* Again changes nothing, neither now nor afterwards. */
	CHECK_INT(coop_handle_cancel(h, "again"), ==, 1);
	CHECK_INT(coop_handle_cancel(stubborn, "you too"), ==, 0);
	coop_yield();
	CHECK(n.ended);
	CHECK_INT(n.rc, ==, COOP_ECANCELED);
	CHECK_INT(coop_handle_state(h), ==, COOP_TASK_CANCELLED);
	CHECK_INT(coop_handle_cancel(h, "and again"), ==, 1);
	CHECK_INT(coop_handle_state(h), ==, COOP_TASK_CANCELLED);
	PROVES(S103, S19);
	/* Called is not cancelled: this one has finished, with its value. */
	CHECK_INT(coop_handle_state(stubborn), ==, COOP_TASK_FINISHED);
	CHECK(coop_handle_cancel_called(stubborn));
	CHECK_INT(coop_handle_result(stubborn, &value), ==, 0);
	CHECK_INT(value, ==, 6);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(stats_of(&g).cancelled, ==, 1);
	CHECK_INT(stats_of(&g).finished, ==, 1);
	PROVES(B48);
	coop_handle_release(h);
	coop_handle_release(stubborn);
	return 0;
}

/* Before its first step: it begins all the same. A negative grace is refused, and asks nothing. */
TASK_TEST(cancelled_before_it_begins)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct nap n = { .ms = 50 };
	struct coop_handle *h;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, nap, &n, NULL, &h), ==, 0);
	CHECK_INT(coop_handle_cancel_grace(h, "x", -1), ==, -EINVAL);
	CHECK(!coop_handle_cancel_called(h));
	CHECK_INT(coop_handle_state(h), ==, COOP_TASK_NEW);
	CHECK_INT(coop_handle_cancel(h, "x"), ==, 0);
	CHECK_INT(coop_handle_state(h), ==, COOP_TASK_CANCELLING);
	CHECK_INT(coop_handle_cancel(h, "y"), ==, 1);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK(n.began);
	CHECK_INT(n.at_ms, ==, 0);
	CHECK_INT(coop_handle_state(h), ==, COOP_TASK_CANCELLED);
	coop_handle_release(h);
	PROVES(B82, S19);
	return 0;
}

struct shelf {
	int held, given_back;
	struct coop_defer defers[2];
};

static int gives_back(void *arg)
{
	struct shelf *shelf = arg;
	int r = coop_sleep(MS(2)); /* clean-up may wait */

	shelf->held--;
	shelf->given_back++;
	return r;
}

/* Takes two things, gives them back in clean-ups, and ignores its cancellation for a while. */
static int holds_two(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct shelf *shelf = arg;
	int r;

	coop_scope_open(&s, NULL);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(coop_scope_defer(&s, &shelf->defers[i], gives_back, shelf), ==, 0);
		shelf->held++;
	}
	r = coop_sleep(COOP_NEVER);
	for (int i = 0; i < 3; i++) /* it does not go away by itself */
		CHECK_INT(coop_sleep(MS(1)), ==, COOP_ECANCELED);
	return coop_scope_close(&s, r);
}

/* Nothing leaks by a cancellation: what tasks hold is given back in the clean-ups, which may wait,
 * and a task that does not look at its cancellation is told again and again. */
TASK_TEST(what_cancelled_tasks_hold)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct shelf shelves[20];

	memset(shelves, 0, sizeof shelves);
	coop_group_open(&g, NULL);
	for (int i = 0; i < 20; i++) {
		shelves[i].defers[0] = shelves[i].defers[1] = (struct coop_defer)COOP_DEFER_INIT;
		CHECK_INT(coop_spawn(&g, holds_two, &shelves[i]), ==, 0);
	}
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	for (int i = 0; i < 20; i++)
		CHECK_INT(shelves[i].held, ==, 2);
	coop_group_cancel(&g, "enough");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 9);
	for (int i = 0; i < 20; i++) {
		CHECK_INT(shelves[i].held, ==, 0);
		CHECK_INT(shelves[i].given_back, ==, 2);
	}
	PROVES(S106);
	return 0;
}

/* ---- the list of all */

struct listed {
	char text[1024];
};

static int list(const struct coop_task_info *info, void *ctx)
{
	static const char *const words[] = { "new",        "ready",    "running", "blocked",
					     "cancelling", "finished", "failed",  "cancelled" };
	struct listed *l = ctx;
	size_t used = strlen(l->text);

	snprintf(l->text + used, sizeof l->text - used, "%s %s%s%s, ", info->name,
		 words[info->state], info->cancelled ? " cancelled" : "",
		 info->service ? " service" : "");
	return 0;
}

static const char *all_tasks(void)
{
	static struct listed l;

	l.text[0] = '\0';
	CHECK_INT(coop_for_each_task(false, list, &l), ==, 0);
	return l.text;
}

/* Takes its time to clean up. */
static int slow_to_stop(void *arg)
{
	int r = coop_sleep(COOP_NEVER);

	CHECK_INT(coop_shield(sleep_ms, MSARG(10)), ==, 0);
	(void)arg;
	return r;
}

/* All that lives is listed, with its state, also what is being cancelled and cleans up. */
TASK_TEST(everybody_is_listed)
{
	struct coop_group g = COOP_GROUP_INIT, other = COOP_GROUP_INIT;
	struct coop_spawn_opts service = { .service = true, .name = "service" };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, slow_to_stop, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_spawn_with(&g, sleep_for_ever, NULL, &service, NULL), ==, 0);
	CHECK_STR(all_tasks(), "main running, slow_to_stop new, sleep_for_ever new, "
			       "service new service, ");
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_STR(all_tasks(), "main running, slow_to_stop blocked, sleep_for_ever blocked, "
			       "service blocked service, ");
	coop_group_cancel(&g, "enough");
	CHECK_STR(all_tasks(), "main running cancelled, slow_to_stop ready cancelled, "
			       "sleep_for_ever ready cancelled, service blocked service, ");
	coop_yield();
	/* In its shielded clean-up it is not cancelled where it stands. */
	CHECK_STR(all_tasks(), "main running cancelled, slow_to_stop blocked, "
			       "service blocked service, ");
	coop_group_open(&other, NULL);
	CHECK_INT(coop_spawn(&other, swallows, CODE(0)), ==, 0);
	CHECK_INT(coop_group_join(&other, 0), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 11);
	CHECK_STR(all_tasks(), "main running, ");
	PROVES(S46, B331);
	return 0;
}

static int stops_at_main(const struct coop_task_info *info, void *ctx)
{
	++*(int *)ctx;
	return strcmp(info->name, "main") == 0 ? -EPIPE : 0;
}

/* The walk ends where the visitor wants, with its word. */
TASK_TEST(walk_that_is_ended)
{
	struct coop_group g = COOP_GROUP_INIT;
	int visited = 0;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(1)), ==, 0);
	CHECK_INT(coop_for_each_task(false, stops_at_main, &visited), ==, -EPIPE);
	CHECK_INT(visited, ==, 1);
	return coop_group_join(&g, 0);
}

/* ---- the tree */

static int holds_a_group(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, &(struct coop_group_opts){ .name = "inner" });
	CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	(void)arg;
	return coop_group_join(&g, 0);
}

/* Where `part` begins in the text, after `from`. */
static const char *after(const char *from, const char *part)
{
	const char *at = strstr(from, part);

	if (!at)
		FAIL("no %s in %s", part, from);
	return at;
}

/* The tree, printed: a task stands below its group, a group below the task that opened it. */
TASK_TEST(tree_of_tasks)
{
	struct coop_group g = COOP_GROUP_INIT;
	char *text = NULL;
	const char *at;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	coop_group_open(&g, &(struct coop_group_opts){ .name = "outer" });
	CHECK_INT(coop_spawn(&g, holds_a_group, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, sleep_for_ever, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_dump(out, 0), ==, 0);
	fclose(out);
	at = after(text, "\ntask #");
	at = after(at, "\"main\" running");
	at = after(at, "\n  group \"outer\" (");
	at = after(at, "): 2 alive");
	at = after(at, "\n    task #");
	at = after(at, "\"holds_a_group\" blocked in coop_group_join on its children");
	at = after(at, "\n      group \"inner\" (");
	at = after(at, "): 1 alive");
	at = after(at, "\n        task #");
	at = after(at, "\"sleep_for_ever\" blocked in coop_sleep for ever");
	at = after(at, "\n    task #");
	at = after(at, "\"sleep_for_ever\" blocked in coop_sleep for ever");
	CHECK(!strstr(at + 1, "task #"));
	free(text);
	coop_group_cancel(&g, NULL);
	PROVES(S24);
	return coop_group_join(&g, 0);
}
