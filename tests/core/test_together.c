/* SPDX-License-Identifier: MIT */
/*
 * Where things meet that each have their own tests: deadlines that come while others fire, the
 * last moments of a run and the next one, starts and services in groups that end, tasks that a
 * shutdown waits for beside tasks that it does not.
 */
#include "group_help.h"

#include <coop/auto.h>

#include <errno.h>
#include <pthread.h>

/* ---- deadlines while others fire */

static int64_t base_ns, step_ns;

static int shielded_sleep(void *arg)
{
	(void)arg;
	return coop_sleep(MS(30));
}

/* Its deadline fires and makes nobody ready: the block is shielded. */
static int cut_off(void *arg)
{
	struct coop_scope_opts opts = { .deadline_ns = base_ns + (intptr_t)arg * step_ns };
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&s, &opts);
	r = coop_shield(shielded_sleep, NULL);
	return coop_scope_close(&s, r);
}

static int many_deadlines(void *arg)
{
	(void)arg;
	for (step_ns = 200; step_ns < 4000; step_ns *= 2) {
		struct coop_group g = COOP_GROUP_INIT;

		coop_group_open(&g, NULL);
		base_ns = coop_now() + MS(10);
		for (intptr_t i = 0; i < 2000; i++)
			CHECK_INT(coop_spawn(&g, cut_off, (void *)i), ==, 0);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
	}
	return 0;
}

/*
 * A cancel reads the clock, so a deadline may be in the past when the loop looks how long it can
 * sleep: then it does not sleep. (Else it slept for ever.)
 */
TEST(deadlines_that_come_while_others_fire)
{
	CHECK_INT(coop_run(many_deadlines, NULL, NULL), ==, 0);
}

/* ---- from one run to the next */

static struct coop_token *token;
static int calls;

static int counts(void *arg)
{
	(void)arg;
	calls++;
	return 0;
}

static void *posts(void *arg)
{
	(void)arg;
	CHECK_INT(coop_run_soon(token, counts, NULL), ==, 0);
	return NULL;
}

/* The thread of the run does nothing between the post and its own end. */
static int posted_to_last(void *arg)
{
	pthread_t thread;

	(void)arg;
	CHECK_INT(coop_token_open(&token), ==, 0);
	CHECK_INT(pthread_create(&thread, NULL, posts, NULL), ==, 0);
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
	return 0;
}

static int sleeps(void *arg)
{
	(void)arg;
	return coop_sleep(MS(1));
}

/* What came in the last moments of a run is called in it, and is nothing to the next. */
TEST(a_post_at_the_end_of_a_run)
{
	struct coop_runner *runner;

	CHECK_INT(coop_runner_open(&virtual_clock, &runner), ==, 0);
	CHECK_INT(coop_runner_run(runner, posted_to_last, NULL), ==, 0);
	CHECK_INT(calls, ==, 1);
	coop_token_unref(token);
	CHECK_INT(coop_runner_run(runner, sleeps, NULL), ==, 0);
	coop_runner_free(runner);
}

static struct coop_scope early = COOP_SCOPE_INIT;

static int cancels_early(void *arg)
{
	(void)arg;
	return coop_scope_cancel(&early, "not wanted");
}

static int opens_late(void *arg)
{
	struct coop_cancel_info info;
	int r;

	(void)arg;
	coop_scope_open(&early, NULL);
	CHECK(coop_cancel_reason(&info));
	CHECK_INT(info.source, ==, COOP_CANCEL_CALL);
	CHECK_STR(info.text, ""); /* the words were the first run's */
	r = coop_checkpoint();
	CHECK_INT(r, ==, COOP_ECANCELED);
	return coop_scope_close(&early, r);
}

/* A scope that is cancelled in one run and opened in another holds on to nothing of the first. */
TEST(cancelled_in_one_run_and_opened_in_another)
{
	CHECK_INT(coop_run(cancels_early, NULL, &virtual_clock), ==, 0);
	CHECK_INT(coop_run(opens_late, NULL, &virtual_clock), ==, 0);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

/* Those that are cancelled and never opened take no more than a few records. */
TASK_TEST(cancelled_and_never_opened)
{
	int64_t before = cp_os_faults.allocs_live;

	for (int i = 0; i < 1000; i++) {
		struct coop_scope s = COOP_SCOPE_INIT;

		CHECK_INT(coop_scope_cancel(&s, "not wanted"), ==, 0);
		CHECK_INT(coop_sleep(1), ==, 0);
	}
	CHECK_INT(cp_os_faults.allocs_live, <, before + 100);
	return 0;
}

/* ---- starts in groups that end */

static struct coop_group *target;
static struct coop_handle *host_handle;
static int server_rc;

static int serves(void *arg, struct coop_start *start)
{
	int r = coop_sleep(MS(10));

	(void)arg;
	if (r < 0)
		return r;
	CHECK_INT(coop_started(start, 7), ==, 0);
	server_rc = coop_sleep(COOP_NEVER);
	return server_rc;
}

static int starts_server(void *arg)
{
	int value = 0;

	(void)arg;
	CHECK_INT(coop_start(target, serves, NULL, &value), ==, 0);
	CHECK_INT(value, ==, 7);
	return 0;
}

/* The end of the body cancels those who are on their way into the group, too. */
TASK_TEST(cancel_on_join_and_a_start)
{
	struct coop_group_opts opts = { .cancel_on_join = true };
	struct coop_group outer = COOP_GROUP_INIT, g = COOP_GROUP_INIT;

	coop_group_open(&outer, NULL);
	CHECK_INT(coop_spawn(&outer, starts_server, NULL), ==, 0);
	coop_group_open(&g, &opts);
	target = &g;
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(now_ms(), ==, 10);
	CHECK_INT(server_rc, ==, COOP_ECANCELED);
	return coop_group_join(&outer, 0);
}

static int waits_for_its_host(void *arg, struct coop_start *start)
{
	(void)arg;
	(void)start;
	CHECK_INT(coop_handle_wait(host_handle, NULL), ==, -EDEADLK);
	return 0;
}

static int hosts(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, NULL);
	target = &g;
	return coop_group_join(&g, coop_sleep(MS(1)));
}

/* A start keeps its group open: so the group's host waits for what the child waits for. */
TASK_TEST(a_child_that_is_started_waits_for_its_host)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, hosts, NULL, NULL, &host_handle), ==, 0);
	coop_yield();
	CHECK_INT(coop_start(target, waits_for_its_host, NULL, NULL), ==, COOP_ENOTSTARTED);
	coop_handle_release(host_handle);
	return coop_group_join(&g, 0);
}

/* ---- services */

static int works_on(void *arg)
{
	return coop_shield(sleep_ms, arg);
}

/* A block of a worker that ends well 20 ms later, whatever comes, and a service. */
static int with_service(int64_t timeout_ns)
{
	struct coop_group_opts opts = { .timeout_ns = timeout_ns };
	struct coop_spawn_opts service = { .service = true };
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, &opts);
	CHECK_INT(coop_spawn(&g, works_on, MSARG(20)), ==, 0);
	CHECK_INT(coop_spawn_with(&g, sleep_for_ever, NULL, &service, NULL), ==, 0);
	return coop_group_join(&g, 0);
}

/* A service that ends because its users have ended says nothing of a cancel that nobody noticed. */
TASK_TEST(a_service_ends_and_nobody_was_cancelled)
{
	struct coop_scope_opts opts = { .timeout_ns = MS(10) };
	struct coop_scope s = COOP_SCOPE_INIT;

	CHECK_INT(with_service(MS(10)), ==, 0);
	coop_scope_open(&s, &opts);
	CHECK_INT(with_service(0), ==, 0);
	CHECK_INT(coop_checkpoint(), ==, COOP_ECANCELED);
	PROVES(B4, B22);
	return coop_scope_close(&s, COOP_ECANCELED);
}

/* ---- a shutdown in a group of both kinds */

static const struct coop_spawn_opts waited = { .shutdown_wait = true };
static const struct coop_spawn_opts waited_essential = { .shutdown_wait = true, .essential = true };

/* Runs `block`, stops the run 5 ms later, and joins. */
static int stopped_around(void *block)
{
	struct coop_group g = COOP_GROUP_INIT;

	begin_ns = coop_now();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, (coop_fn *)block, NULL), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(coop_stop("enough"), ==, 0);
	return coop_group_join(&g, 0);
}

/* A group with these options, which at `end_ms` cancels the one that a shutdown waits for. */
static int cut_short(const struct coop_group_opts *opts, bool essential, int64_t end_ms)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct nap longer = { .ms = 60 }, other = { .ms = 60 };

	coop_group_open(&g, opts);
	if (essential)
		CHECK_INT(coop_spawn_with(&g, sleep_ms, MSARG(30), &waited_essential, NULL), ==, 0);
	CHECK_INT(coop_spawn_with(&g, nap, &longer, &waited, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, nap, &other), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, COOP_ECANCELED);
	CHECK_INT(other.at_ms, ==, 5);
	CHECK_INT(longer.at_ms, ==, end_ms);
	return COOP_ECANCELED;
}

static int essential_block(void *arg)
{
	(void)arg;
	return cut_short(NULL, true, 30);
}

/* The end of an essential child cancels those that a shutdown waits for. */
TEST(an_essential_child_ends_during_a_shutdown)
{
	CHECK_INT(coop_run(stopped_around, (void *)essential_block, &virtual_clock), ==, 0);
	PROVES(B23);
}

static int limited_block(void *arg)
{
	struct coop_group_opts opts = { .timeout_ns = MS(20) };

	(void)arg;
	return cut_short(&opts, false, 20);
}

/* So does the group's own time limit. */
TEST(a_time_limit_during_a_shutdown)
{
	CHECK_INT(coop_run(stopped_around, (void *)limited_block, &virtual_clock), ==, 0);
	PROVES(B302);
}

/* Cancelled before, it ends 10 ms after it was begun: in the shutdown. */
static int ends_late(void *arg)
{
	int r = coop_sleep(COOP_NEVER);

	(void)arg;
	CHECK_INT(coop_shield(sleep_ms, MSARG(10)), ==, 0);
	return r;
}

static int handle_block(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct nap longer = { .ms = 60 };
	struct coop_handle *h;

	(void)arg;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, ends_late, NULL, NULL, &h), ==, 0);
	CHECK_INT(coop_spawn_with(&g, nap, &longer, &waited, NULL), ==, 0);
	CHECK_INT(coop_handle_cancel(h, "not needed"), ==, 0);
	coop_handle_release(h);
	CHECK_INT(coop_group_join(&g, 0), ==, COOP_ECANCELED);
	CHECK_INT(longer.rc, ==, 0);
	CHECK_INT(longer.at_ms, ==, 60);
	return COOP_ECANCELED;
}

/* What a child was cancelled by itself is not passed on with the shutdown. */
TEST(a_child_cancelled_by_its_handle_during_a_shutdown)
{
	CHECK_INT(coop_run(stopped_around, (void *)handle_block, &virtual_clock), ==, 0);
	PROVES(B302);
}

static struct nap saver;

static int left_early(void *arg)
{
	COOP_AUTO_GROUP(g, NULL);

	(void)arg;
	CHECK_INT(coop_spawn_with(&g, nap, &saver, &waited, NULL), ==, 0);
	CHECK_INT(coop_sleep(COOP_NEVER), ==, COOP_ECANCELED);
	return COOP_ECANCELED;
}

static int fails_early(void *arg)
{
	COOP_AUTO_GROUP(g, NULL);

	(void)arg;
	CHECK_INT(coop_spawn_with(&g, nap, &saver, &waited, NULL), ==, 0);
	CHECK_INT(coop_shield(sleep_ms, MSARG(10)), ==, 0);
	return -EIO;
}

/* A block left by the cancellation of a shutdown leaves them their time, as a join does... */
TEST(an_automatic_group_in_a_shutdown)
{
	saver = (struct nap){ .ms = 60 };
	CHECK_INT(coop_run(stopped_around, (void *)left_early, &virtual_clock), ==, 0);
	CHECK_INT(saver.rc, ==, 0);
	CHECK_INT(saver.at_ms, ==, 60);
	PROVES(B302);
}

/* ...and one left for another reason does not. */
TEST(an_automatic_group_left_during_a_shutdown)
{
	saver = (struct nap){ .ms = 60 };
	CHECK_INT(coop_run(stopped_around, (void *)fails_early, &virtual_clock), ==, -EIO);
	CHECK_INT(saver.rc, ==, COOP_ECANCELED);
	CHECK_INT(saver.at_ms, ==, 10);
}

/* ---- task-locals */

static const struct coop_local request = { "request" };

/* A binding that was replaced goes with the last task that has it. */
TASK_TEST(bindings_that_were_replaced)
{
	int64_t before = cp_os_faults.allocs_live;
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (intptr_t i = 0; i < 1000; i++) {
		CHECK_INT(coop_local_set(&request, (void *)i), ==, 0);
		CHECK_INT(coop_spawn(&g, sleep_ms, MSARG(2)), ==, 0);
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
	}
	CHECK_INT(coop_group_wait(&g), ==, 0);
	CHECK_INT(cp_os_faults.allocs_live, <=, before + 16); /* slabs of nodes and stacks */
	return coop_group_join(&g, 0);
}

/* ---- a forked child */

static int returns_twice(void *arg)
{
	pid_t pid = fork();
	int status;

	(void)arg;
	if (pid == 0)
		return 0;
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	return 0;
}

/* Nobody is there for the child of a fork to return to from a task, and it is told so. */
TEST(a_forked_child_returns)
{
	CHECK_INT(coop_run(returns_twice, NULL, &virtual_clock), ==, 0);
}
