/* SPDX-License-Identifier: MIT */
/*
 * Offload: what a task gets from its thread, and what a cancel does at each moment of a job's life.
 *
 * Threads are held at gates, semaphores of the system, so that every order is forced and nothing
 * here depends on time. The loop's own thread opens them, from another task.
 */
#include "../core/core_help.h"

#include "base/os.h"
#include "ctx/ctx.h"

#include <pthread.h>
#include <semaphore.h>

/* A function that says that it has begun, and returns once it may. */
struct gated {
	sem_t begun, gate;
	int rc;
	int runs;  /* atomic */
	int ended; /* atomic */
	int late;  /* atomic: what `late` was given + 1000 */
	sem_t told;
	bool seen_cancelled; /* atomic */
};

static void gated_init(struct gated *g, int rc)
{
	memset(g, 0, sizeof *g);
	sem_init(&g->begun, 0, 0);
	sem_init(&g->gate, 0, 0);
	sem_init(&g->told, 0, 0);
	g->rc = rc;
}

static void down(sem_t *sem)
{
	while (sem_wait(sem) < 0)
		CHECK_INT(errno, ==, EINTR);
}

static int pass_gate(void *arg)
{
	struct gated *g = arg;

	__atomic_add_fetch(&g->runs, 1, __ATOMIC_RELAXED);
	sem_post(&g->begun);
	down(&g->gate);
	if (coop_thread_cancelled())
		__atomic_store_n(&g->seen_cancelled, true, __ATOMIC_RELAXED);
	__atomic_add_fetch(&g->ended, 1, __ATOMIC_RELEASE);
	return g->rc;
}

static void tell_late(void *arg, int result)
{
	struct gated *g = arg;

	__atomic_store_n(&g->late, result + 1000, __ATOMIC_RELEASE);
	sem_post(&g->told);
}

/* A task that offloads pass_gate in some way and notes how that ended. */
struct caller {
	struct gated *gated;
	struct coop_offload_opts opts;
	int rc, next;
	bool ended;
};

static int call(void *arg)
{
	struct caller *c = arg;

	c->rc = coop_offload_with(pass_gate, c->gated, &c->opts);
	c->next = coop_checkpoint();
	c->ended = true;
	return c->next;
}

static uint32_t threads(enum coop_lane lane)
{
	struct coop_lane_stats s;

	CHECK_INT(coop_lane_stats(lane, &s), ==, 0);
	return s.threads;
}

static int open_gate(void *arg)
{
	sem_post(&((struct gated *)arg)->gate);
	return 0;
}

static int answer_42(void *arg)
{
	*(bool *)arg = cp_os_cpus() > 0;
	return 42;
}

/* ---- results */

/* What the function returns is what the call returns; it ran in another thread. */
TASK_TEST(returns_what_the_function_returns)
{
	bool ran = false;

	CHECK_INT(coop_offload(answer_42, &ran), ==, 42);
	CHECK(ran);
	PROVES(B267);
	return 0;
}

/* The loop goes on: another task opens the gate that the thread waits at. */
TASK_TEST(the_loop_goes_on)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct gated gated;

	gated_init(&gated, 5);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, open_gate, &gated), ==, 0);
	CHECK_INT(coop_offload(pass_gate, &gated), ==, 5);
	PROVES(B267);
	return coop_group_join(&g, 0);
}

static int fail_there(void *arg)
{
	(void)arg;
	return coop_fail(-EIO, "in the thread");
}

/* An error object that is made in the thread is the task's. */
TASK_TEST(the_error_object_comes_along)
{
	struct coop_error_info info;

	CHECK_INT(coop_offload(fail_there, NULL), ==, -EIO);
	CHECK(coop_error_peek(-EIO) != NULL);
	coop_error_describe(coop_error_peek(-EIO), &info);
	CHECK_STR(info.message, "in the thread");
	coop_error_clear();
	PROVES(B267);
	return 0;
}

static int fail_and_recover(void *arg)
{
	(void)arg;
	CHECK_INT(coop_fail(-EIO, "of no account"), ==, -EIO);
	return 3;
}

/* What a function has recovered from leaves nothing, and what the task had on its way stays. */
TASK_TEST(an_error_on_its_way_stays)
{
	struct coop_error_info info;
	bool ran;

	CHECK_INT(coop_fail(-EPIPE, "on its way"), ==, -EPIPE);
	CHECK_INT(coop_offload(fail_and_recover, NULL), ==, 3);
	CHECK_INT(coop_offload(answer_42, &ran), ==, 42);
	CHECK(coop_error_peek(-EPIPE) != NULL);
	coop_error_describe(coop_error_peek(-EPIPE), &info);
	CHECK_STR(info.message, "on its way");
	coop_error_clear();
	return 0;
}

static void no_late(void *arg, int result)
{
	(void)arg;
	(void)result;
	FAIL("nothing was late");
}

/* Options that mean nothing are refused. */
TASK_TEST(options_are_checked)
{
	struct coop_offload_opts o = { .on_cancel = COOP_ON_CANCEL_ABANDON };
	bool ran = false;

	CHECK_INT(coop_offload_with(answer_42, &ran, &o), ==, -EINVAL);
	o = (struct coop_offload_opts){ .late = no_late };
	CHECK_INT(coop_offload_with(answer_42, &ran, &o), ==, -EINVAL);
	o = (struct coop_offload_opts){ .lane = (enum coop_lane)COOP_LANES };
	CHECK_INT(coop_offload_with(answer_42, &ran, &o), ==, -EINVAL);
	o = (struct coop_offload_opts){ .on_cancel = (enum coop_on_cancel)3 };
	CHECK_INT(coop_offload_with(answer_42, &ran, &o), ==, -EINVAL);
	o = (struct coop_offload_opts){ ._reserved = { [7] = 1 } };
	CHECK_INT(coop_offload_with(answer_42, &ran, &o), ==, -EINVAL);
	CHECK_INT(coop_offload(NULL, NULL), ==, -EINVAL);
	CHECK(!ran);
	return 0;
}

/* ---- cancels */

/* By default a cancel waits for the thread; the result arrives and the next checkpoint is hit. */
TASK_TEST(a_cancel_waits_for_the_thread)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct gated gated;
	struct caller c = { .gated = &gated };

	gated_init(&gated, 7);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, call, &c), ==, 0);
	coop_yield();
	down(&gated.begun);
	coop_group_cancel(&g, "enough");
	for (int i = 0; i < 200; i++)
		coop_yield();
	CHECK(!c.ended);
	sem_post(&gated.gate);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK(c.ended);
	CHECK_INT(c.rc, ==, 7);
	CHECK_INT(c.next, ==, COOP_ECANCELED);
	PROVES(B268);
	CHECK(gated.seen_cancelled);
	PROVES(B271);
	return 0;
}

static int abandon_body(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct gated *gated = arg;
	struct caller c = { .gated = gated,
			    .opts = { .on_cancel = COOP_ON_CANCEL_ABANDON, .late = tell_late } };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, call, &c), ==, 0);
	coop_yield();
	down(&gated->begun);
	coop_group_cancel(&g, "enough");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK(c.ended);
	CHECK_INT(c.rc, ==, COOP_ECANCELED);
	CHECK_INT(gated->ended, ==, 0);
	CHECK_INT(gated->late, ==, 0);
	return 0;
}

/* An abandoned call returns at once; argument and result go to `late` when the thread is done. */
TEST(abandoned_and_done_later)
{
	struct gated gated;

	gated_init(&gated, 9);
	CHECK_INT(coop_run(abandon_body, &gated, &virtual_clock), ==, 0);
	sem_post(&gated.gate);
	down(&gated.told);
	CHECK_INT(gated.late, ==, 1009);
	CHECK_INT(gated.ended, ==, 1);
	CHECK(gated.seen_cancelled);
	PROVES(B269, J04);
}

static int abandon_and_wait(void *arg)
{
	struct gated *gated = arg;
	int r = abandon_body(arg);

	sem_post(&gated->gate);
	down(&gated->told);
	CHECK_INT(gated->late, ==, 1009);
	return r;
}

/* The same with the thread done before the run is: nothing is told of, nothing is left. */
TEST(abandoned_and_done_in_time)
{
	int64_t before = cp_os_faults.allocs_live;
	struct gated gated;

	keep_records(COOP_LOG_WARN);
	gated_init(&gated, 9);
	CHECK_INT(coop_run(abandon_and_wait, &gated, &virtual_clock), ==, 0);
	coop_log_set(NULL, NULL, COOP_LOG_WARN);
	while (__atomic_load_n(&cp_os_faults.allocs_live, __ATOMIC_RELAXED) > before)
		sched_yield();
	CHECK_INT(gated.late, ==, 1009);
}

static int already_cancelled(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct gated *gated = arg;
	struct coop_offload_opts o = { .on_cancel = COOP_ON_CANCEL_ABANDON, .late = tell_late };

	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, "before");
	CHECK_INT(coop_offload(pass_gate, gated), ==, COOP_ECANCELED);
	CHECK_INT(gated->late, ==, 0);
	CHECK_INT(coop_offload_with(pass_gate, gated, &o), ==, COOP_ECANCELED);
	CHECK_INT(gated->late, ==, 1000 + COOP_ECANCELED);
	CHECK_INT(gated->runs, ==, 0);
	CHECK_INT(threads(COOP_LANE_USER), ==, 0);
	return coop_scope_close(&s, COOP_ECANCELED);
}

/* In a cancelled scope nothing is started; `late` is told all the same. */
TEST(cancelled_before)
{
	struct gated gated;

	gated_init(&gated, 0);
	CHECK_INT(coop_run(already_cancelled, &gated, &virtual_clock), ==, 0);
	PROVES(B270);
}

/* What waits in the lane is taken back by a cancel, whatever the options say, and never begun. */
TASK_TEST(work_that_waits_is_taken_back)
{
	struct coop_group g = COOP_GROUP_INIT, waiting = COOP_GROUP_INIT;
	struct gated first, others[3];
	struct caller c = { .gated = &first }, w[3] = {
		{ .gated = &others[0] },
		{ .gated = &others[1],
		  .opts = { .on_cancel = COOP_ON_CANCEL_ABANDON, .late = tell_late } },
		{ .gated = &others[2], .opts = { .on_cancel = COOP_ON_CANCEL_INTERRUPT } },
	};
	struct coop_lane_stats s;

	CHECK_INT(coop_lane_set_limit(COOP_LANE_USER, 1), ==, 0);
	gated_init(&first, 1);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, call, &c), ==, 0);
	coop_yield();
	down(&first.begun);
	coop_group_open(&waiting, NULL);
	for (int i = 0; i < 3; i++) {
		gated_init(&others[i], 0);
		CHECK_INT(coop_spawn(&waiting, call, &w[i]), ==, 0);
	}
	coop_yield();
	CHECK_INT(coop_lane_stats(COOP_LANE_USER, &s), ==, 0);
	CHECK_INT(s.queued, ==, 3);
	CHECK_INT(s.threads, ==, 1);
	coop_group_cancel(&waiting, "enough");
	CHECK_INT(coop_group_join(&waiting, 0), ==, 0);
	CHECK_INT(coop_lane_stats(COOP_LANE_USER, &s), ==, 0);
	CHECK_INT(s.queued, ==, 0);
	CHECK_INT(s.queued_peak, ==, 3);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(w[i].rc, ==, COOP_ECANCELED);
		CHECK_INT(others[i].runs, ==, 0);
	}
	CHECK_INT(others[1].late, ==, 1000 + COOP_ECANCELED);
	sem_post(&first.gate);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(c.rc, ==, 1);
	PROVES(B269, B270);
	return 0;
}

static int poll_until_cancelled(void *arg)
{
	sem_post(arg);
	while (!coop_thread_cancelled())
		sched_yield();
	return 11;
}

static int call_poll(void *arg)
{
	CHECK_INT(coop_offload(poll_until_cancelled, arg), ==, 11);
	return coop_checkpoint();
}

/* The thread can ask whether its task is cancelled; nobody else is. */
TASK_TEST(the_thread_can_ask)
{
	struct coop_group g = COOP_GROUP_INIT;
	sem_t begun;

	sem_init(&begun, 0, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, call_poll, &begun), ==, 0);
	coop_yield();
	down(&begun);
	CHECK(!coop_thread_cancelled());
	coop_group_cancel(&g, "enough");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	PROVES(B271);
	return 0;
}

static int ask(void *arg)
{
	*(bool *)arg = coop_thread_cancelled();
	return 0;
}

/* ---- interrupts */

struct reader {
	int fds[2];
	sem_t begun;
	bool wait_first; /* not in read yet when the cancel comes */
	int rc;
};

static int block_in_read(void *arg)
{
	struct reader *r = arg;
	char c;

	sem_post(&r->begun);
	while (r->wait_first && !coop_thread_cancelled())
		sched_yield();
	for (int i = 0; r->wait_first && i < 1000; i++)
		sched_yield(); /* the first signal comes here */
	return read(r->fds[0], &c, 1) < 0 ? -errno : 0;
}

static int call_read(void *arg)
{
	struct coop_offload_opts o = { .on_cancel = COOP_ON_CANCEL_INTERRUPT };
	struct reader *r = arg;

	r->rc = coop_offload_with(block_in_read, r, &o);
	return coop_checkpoint();
}

static void interrupt_reader(bool wait_first)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct reader r = { .wait_first = wait_first };
	bool cancelled = true;

	CHECK_INT(pipe(r.fds), ==, 0);
	sem_init(&r.begun, 0, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, call_read, &r), ==, 0);
	coop_yield();
	down(&r.begun);
	coop_group_cancel(&g, "enough");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(r.rc, ==, -EINTR);
	close(r.fds[0]);
	close(r.fds[1]);
	CHECK_INT(coop_offload(ask, &cancelled), ==, 0);
	CHECK(!cancelled);
}

/* A call that blocks in the thread is interrupted, also where it only begins after the signal. */
TASK_TEST(a_blocking_call_is_interrupted)
{
	interrupt_reader(false);
	interrupt_reader(true);
	interrupt_reader(false);
	PROVES(B272, B112);
	return 0;
}

static void not_ours(int sig)
{
	(void)sig;
}

/* The signal is not taken from a program that uses it itself. */
TASK_TEST(the_programs_own_signal_is_left_alone)
{
	struct coop_offload_opts o = { .on_cancel = COOP_ON_CANCEL_INTERRUPT };
	struct sigaction act = { .sa_handler = not_ours }, now;
	bool ran = false;

	CHECK_INT(sigaction(SIGURG, &act, NULL), ==, 0);
	CHECK_INT(coop_offload_with(answer_42, &ran, &o), ==, -EBUSY);
	CHECK(!ran);
	CHECK_INT(sigaction(SIGURG, NULL, &now), ==, 0);
	CHECK(now.sa_handler == not_ours);
	return 0;
}

/* Nor can it be received where offloads interrupt by it; a receiver that was first keeps it. */
TASK_TEST(the_signal_of_interrupts_has_one_user)
{
	struct coop_offload_opts o = { .on_cancel = COOP_ON_CANCEL_INTERRUPT };
	struct coop_signals *s = NULL;
	const int sig = SIGURG;
	bool ran = false;

	CHECK_INT(coop_signals_open(&sig, 1, &s), ==, 0);
	CHECK_INT(coop_offload_with(answer_42, &ran, &o), ==, -EBUSY);
	coop_signals_close(s);
	CHECK_INT(coop_offload_with(answer_42, &ran, &o), ==, 42);
	CHECK_INT(coop_signals_open(&sig, 1, &s), ==, -EBUSY);
	return 0;
}

static int is_blocked(void *arg)
{
	sigset_t set;

	(void)arg;
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	return sigismember(&set, SIGTERM) && sigismember(&set, SIGINT) &&
	       sigismember(&set, SIGUSR1);
}

/* Signals of the process are for the threads of the program. */
TASK_TEST(threads_block_signals)
{
	CHECK_INT(coop_offload(is_blocked, NULL), ==, 1);
	CHECK_INT(is_blocked(NULL), ==, 0);
	return 0;
}

/* ---- limiters */

static struct coop_limiter one = COOP_LIMITER_INIT(1);

static uint32_t borrowed(void)
{
	struct coop_limiter_stats s;

	CHECK_INT(coop_limiter_stats(&one, &s), ==, 0);
	return s.borrowed;
}

static int abandon_with_token(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct gated *gated = arg, second;
	struct caller c = { .gated = gated,
			    .opts = { .on_cancel = COOP_ON_CANCEL_ABANDON,
				      .late = tell_late,
				      .limiter = &one } },
		      d = { .gated = &second, .opts = { .limiter = &one } };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, call, &c), ==, 0);
	coop_yield();
	down(&gated->begun);
	coop_group_cancel(&g, "enough");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(borrowed(), ==, 1);

	gated_init(&second, 6);
	g = (struct coop_group)COOP_GROUP_INIT;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, call, &d), ==, 0);
	for (int i = 0; i < 200; i++)
		coop_yield();
	CHECK_INT(second.runs, ==, 0);
	sem_post(&second.gate);
	sem_post(&gated->gate);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(d.rc, ==, 6);
	CHECK_INT(gated->late, ==, 1004);
	CHECK_INT(borrowed(), ==, 0);
	return 0;
}

/* A token is held until the thread ends, though its task is long gone; that is no deadlock. */
TEST(the_token_is_the_threads)
{
	struct gated gated;

	gated_init(&gated, 4);
	CHECK_INT(coop_run(abandon_with_token, &gated, &virtual_clock), ==, 0);
	PROVES(B273);
}

static int end_with_token(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct gated *gated = arg;
	struct caller c = {
		.gated = gated,
		.opts = { .on_cancel = COOP_ON_CANCEL_ABANDON, .late = tell_late, .limiter = &one }
	};

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, call, &c), ==, 0);
	coop_yield();
	down(&gated->begun);
	coop_group_cancel(&g, "enough");
	return coop_group_join(&g, 0);
}

static int look_at_token(void *arg)
{
	(void)arg;
	CHECK_INT(borrowed(), ==, 0);
	return 0;
}

/* With the run the token ends, too: the limiter serves the next run; the thread is told of. */
TEST(a_run_that_ends_takes_its_tokens_back)
{
	struct gated gated;

	keep_records(COOP_LOG_WARN);
	gated_init(&gated, 4);
	CHECK_INT(coop_run(end_with_token, &gated, &virtual_clock), ==, 0);
	CHECK_HAS(records, "the run ended before a thread that it has abandoned: pass_gate");
	CHECK_HAS(records, "test_offload.c:");
	CHECK_INT(records_count, ==, 1);
	PROVES(B279);
	CHECK_INT(coop_run(look_at_token, &gated, &virtual_clock), ==, 0);
	sem_post(&gated.gate);
	down(&gated.told);
	CHECK_INT(gated.late, ==, 1004);
}

static void refuse_next_call(int err)
{
	cp_os_faults.call_errno = err;
	cp_os_faults.call_fail_at = cp_os_faults.call_calls + 1;
}

/* No thread to be had: the error comes back, the token too, and nothing was begun. */
TASK_TEST(no_thread_to_be_had)
{
	struct coop_offload_opts o = { .limiter = &one };
	bool ran = false;

	CHECK_INT(threads(COOP_LANE_USER), ==, 0);
	refuse_next_call(EAGAIN);
	CHECK_INT(coop_offload_with(answer_42, &ran, &o), ==, -EAGAIN);
	CHECK_INT(cp_os_faults.call_failed, ==, 1);
	CHECK(!ran);
	CHECK_INT(borrowed(), ==, 0);
	CHECK_INT(threads(COOP_LANE_USER), ==, 0);
	CHECK_INT(coop_offload_with(answer_42, &ran, &o), ==, 42);
	PROVES(B274);
	return 0;
}

/* No further thread: the work waits for those that there are. */
TASK_TEST(no_further_thread_to_be_had)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct gated gated;
	struct caller c = { .gated = &gated };
	bool ran = false;

	CHECK_INT(coop_lane_set_limit(COOP_LANE_USER, 2), ==, 0);
	gated_init(&gated, 1);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, call, &c), ==, 0);
	coop_yield();
	down(&gated.begun);
	CHECK_INT(coop_spawn(&g, open_gate, &gated), ==, 0);
	refuse_next_call(EAGAIN);
	CHECK_INT(coop_offload(answer_42, &ran), ==, 42);
	CHECK_INT(cp_os_faults.call_failed, ==, 1);
	CHECK_INT(threads(COOP_LANE_USER), ==, 1);
	PROVES(B274);
	return coop_group_join(&g, 0);
}

/* ---- calling back */

static const struct coop_local key = { "key" };
static const char *const value_before = "before", *const value_after = "after";

struct back {
	struct coop_task *task;
	pthread_t loop;
	int rc, inner_rc;
	int depth;
	struct coop_offload_opts opts;
};

static int in_the_task(void *arg)
{
	struct back *b = arg;

	CHECK(coop_self() == b->task);
	CHECK(pthread_equal(pthread_self(), b->loop));
	CHECK_STR(coop_local_get(&key), value_before);
	b->rc = coop_sleep(MS(20));
	return b->rc < 0 ? b->rc : coop_fail(-ENODEV, "from the task");
}

static int call_back(void *arg)
{
	struct coop_error_info info;
	struct back *b = arg;

	CHECK(!pthread_equal(pthread_self(), b->loop));
	CHECK_INT(coop_sleep(0), ==, COOP_ENOTASK);
	b->inner_rc = coop_thread_call(in_the_task, b);
	if (b->inner_rc != -ENODEV)
		return b->inner_rc;
	coop_error_describe(coop_error_peek(-ENODEV), &info);
	CHECK_STR(info.message, "from the task");
	coop_error_clear();
	return 1;
}

/* A thread calls back: the function runs in its task, may wait there, and its error travels. Time
 * passes while it does, but not while a thread works. */
TASK_TEST(a_thread_calls_back)
{
	struct back b = { .task = coop_self(), .loop = pthread_self() };

	CHECK_INT(coop_local_set(&key, (void *)(uintptr_t)value_before), ==, 0);
	CHECK_INT(coop_offload(call_back, &b), ==, 1);
	CHECK_INT(b.inner_rc, ==, -ENODEV);
	CHECK_INT(now_ms(), ==, 20);
	PROVES(B275);
	return 0;
}

/* The task's scopes hold for what is called back: a deadline of the caller's ends it. */
TASK_TEST(what_is_called_back_is_cancelled)
{
	struct coop_scope_opts so = { .timeout_ns = MS(5) };
	struct back b = { .task = coop_self(), .loop = pthread_self() };
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	CHECK_INT(coop_local_set(&key, (void *)(uintptr_t)value_before), ==, 0);
	coop_scope_open(&s, &so);
	r = coop_offload(call_back, &b);
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK_INT(b.rc, ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 5);
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	PROVES(B275);
	return 0;
}

static int innermost(void *arg)
{
	struct back *b = arg;

	b->depth++;
	return 77;
}

static int thread_side(void *arg);

static int task_side(void *arg)
{
	struct back *b = arg;

	return coop_offload_with(b->depth < 3 ? thread_side : innermost, b, &b->opts);
}

static int thread_side(void *arg)
{
	struct back *b = arg;

	b->depth++;
	return coop_thread_call(task_side, b);
}

/* Task to thread to task to thread, with one token and one thread for all of them. */
TASK_TEST(there_and_back_and_there)
{
	struct back b = { .opts = { .limiter = &one } };

	CHECK_INT(coop_lane_set_limit(COOP_LANE_USER, 1), ==, 0);
	CHECK_INT(coop_offload_with(thread_side, &b, &b.opts), ==, 77);
	CHECK_INT(b.depth, ==, 4);
	CHECK_INT(borrowed(), ==, 0);
	PROVES(B276);
	return 0;
}

/* On the loop's own thread, and on one of the program's, there is nobody to call back. */
TASK_TEST(only_an_offloaded_function_calls_back)
{
	struct back b = { .depth = 0 };

	CHECK_INT(coop_thread_call(innermost, &b), ==, COOP_EWRONGTHREAD);
	CHECK_INT(b.depth, ==, 0);
	PROVES(B277);
	return 0;
}

struct late_call {
	struct gated gated;
	struct gated second;
	struct back back;
	int before, after;
};

static int call_when_abandoned(void *arg)
{
	struct late_call *l = arg;

	sem_post(&l->gated.begun);
	down(&l->gated.gate);
	l->before = coop_thread_call(innermost, &l->back);
	sem_post(&l->second.begun);
	down(&l->second.gate);
	l->after = coop_thread_call(innermost, &l->back);
	return 0;
}

static void late_call_told(void *arg, int result)
{
	tell_late(&((struct late_call *)arg)->gated, result);
}

static int call_late(void *arg)
{
	struct coop_offload_opts o = { .on_cancel = COOP_ON_CANCEL_ABANDON,
				       .late = late_call_told };

	return coop_offload_with(call_when_abandoned, arg, &o);
}

static int look_until_begun(void *arg)
{
	while (sem_trywait(arg) < 0)
		coop_yield();
	return 0;
}

static int abandon_a_caller(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct late_call *l = arg;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, call_late, l), ==, 0);
	coop_yield();
	down(&l->gated.begun);
	coop_group_cancel(&g, "enough");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	sem_post(&l->gated.gate);
	return look_until_begun(&l->second.begun);
}

/* An abandoned thread that calls back is told: the task is gone, and later that the run is. */
TEST(a_call_back_that_is_too_late)
{
	struct late_call l = { .before = 0 };

	coop_log_set(NULL, NULL, COOP_LOG_ERROR);
	gated_init(&l.gated, 0);
	gated_init(&l.second, 0);
	CHECK_INT(coop_run(abandon_a_caller, &l, &virtual_clock), ==, 0);
	sem_post(&l.second.gate);
	down(&l.gated.told);
	CHECK_INT(l.before, ==, COOP_ECANCELED);
	CHECK_INT(l.after, ==, COOP_ECLOSED);
	CHECK_INT(l.back.depth, ==, 0);
	PROVES(B278);
}

/* ---- locals */

struct seen {
	const char *value;
	int set;
	sem_t gate, told;
};

static int see(void *arg)
{
	struct seen *s = arg;

	down(&s->gate);
	s->value = coop_local_get(&key);
	s->set = coop_local_set(&key, (void *)(uintptr_t)value_after);
	return 0;
}

static void see_told(void *arg, int result)
{
	(void)result;
	sem_post(&((struct seen *)arg)->told);
}

static void seen_init(struct seen *s)
{
	*s = (struct seen){ .set = 1 };
	sem_init(&s->gate, 0, 0);
	sem_init(&s->told, 0, 0);
}

/* What the task has bound is seen in the thread; nothing is written back, nothing stays there. */
TASK_TEST(locals_are_seen_in_the_thread)
{
	struct seen s;

	seen_init(&s);
	sem_post(&s.gate);
	CHECK_INT(coop_lane_set_limit(COOP_LANE_USER, 1), ==, 0);
	CHECK_INT(coop_local_with(&key, (void *)(uintptr_t)value_before, innermost,
				  &(struct back){ .depth = 0 }),
		  ==, 77);
	CHECK_INT(coop_local_set(&key, (void *)(uintptr_t)value_before), ==, 0);
	CHECK_INT(coop_offload(see, &s), ==, 0);
	CHECK_STR(s.value, value_before);
	CHECK_INT(s.set, ==, COOP_ENOTASK);
	CHECK_STR(coop_local_get(&key), value_before);
	CHECK_INT(coop_local_set(&key, NULL), ==, 0);
	sem_post(&s.gate);
	CHECK_INT(coop_offload(see, &s), ==, 0);
	CHECK(s.value == NULL);
	PROVES(B280);
	return 0;
}

static int see_abandoned(void *arg)
{
	struct coop_offload_opts o = { .on_cancel = COOP_ON_CANCEL_ABANDON, .late = see_told };

	CHECK_INT(coop_local_set(&key, (void *)(uintptr_t)value_before), ==, 0);
	return coop_offload_with(see, arg, &o);
}

static int abandon_a_seer(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_lane_stats s;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, see_abandoned, arg), ==, 0);
	do { /* until its thread has it */
		coop_yield();
		CHECK_INT(coop_lane_stats(COOP_LANE_USER, &s), ==, 0);
	} while (s.started == 0);
	coop_group_cancel(&g, "enough");
	return coop_group_join(&g, 0);
}

/* A thread that is abandoned has bindings of its own: they outlive the task and the run. */
TEST(locals_of_an_abandoned_thread)
{
	struct seen s;

	coop_log_set(NULL, NULL, COOP_LOG_ERROR);
	seen_init(&s);
	CHECK_INT(coop_run(abandon_a_seer, &s, &virtual_clock), ==, 0);
	sem_post(&s.gate);
	down(&s.told);
	CHECK_STR(s.value, value_before);
	PROVES(B280);
}

/* ---- lanes */

static int open_when_many(void *arg)
{
	struct coop_lane_stats s;
	struct gated *g = arg;

	do {
		coop_yield();
		CHECK_INT(coop_lane_stats(COOP_LANE_DNS, &s), ==, 0);
	} while (s.queued < 12);
	CHECK_INT(s.threads, ==, 8);
	CHECK_INT(s.limit, ==, 8);
	for (int i = 0; i < 20; i++)
		sem_post(&g->gate);
	return 0;
}

/* A lane has no more threads at work than it may; a full one does not hold up another. */
TASK_TEST(lanes_have_limits_of_their_own)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct gated gated;
	struct caller c[20];
	struct coop_lane_stats s;
	bool ran;

	gated_init(&gated, 3);
	coop_group_open(&g, NULL);
	for (int i = 0; i < 20; i++) {
		c[i] = (struct caller){ .gated = &gated, .opts = { .lane = COOP_LANE_DNS } };
		CHECK_INT(coop_spawn(&g, call, &c[i]), ==, 0);
	}
	for (int i = 0; i < 8; i++) {
		coop_yield();
		down(&gated.begun);
	}
	CHECK_INT(coop_offload_with(answer_42, &ran,
				    &(struct coop_offload_opts){ .lane = COOP_LANE_FS }),
		  ==, 42);
	PROVES(J01);
	CHECK_INT(coop_spawn(&g, open_when_many, &gated), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	for (int i = 0; i < 20; i++)
		CHECK_INT(c[i].rc, ==, 3);
	CHECK_INT(coop_lane_stats(COOP_LANE_DNS, &s), ==, 0);
	CHECK_INT(s.threads_peak, ==, 8);
	CHECK_INT(s.started, ==, 20);
	CHECK_INT(s.waited, >=, 12);
	CHECK_INT(s.queued, ==, 0);
	CHECK(s.waited_ns >= s.waited_peak_ns && s.waited_peak_ns > 0);
	CHECK_INT(coop_lane_stats(COOP_LANE_FS, &s), ==, 0);
	CHECK_INT(s.limit, ==, 16);
	CHECK_INT(s.started, ==, 1);
	return 0;
}

#define LOOKUPS 1000

struct lookups {
	sem_t begun, gate, told;
	int running; /* atomic */
	int peak;    /* atomic */
	int late;    /* atomic */
	int returned;
};

static int look_up(void *arg)
{
	struct lookups *l = arg;
	int n = __atomic_add_fetch(&l->running, 1, __ATOMIC_RELAXED);
	int peak = __atomic_load_n(&l->peak, __ATOMIC_RELAXED);

	while (n > peak && !__atomic_compare_exchange_n(&l->peak, &peak, n, true, __ATOMIC_RELAXED,
							__ATOMIC_RELAXED))
		;
	sem_post(&l->begun);
	down(&l->gate);
	__atomic_sub_fetch(&l->running, 1, __ATOMIC_RELAXED);
	return 0;
}

static void drop_lookup(void *arg, int result)
{
	struct lookups *l = arg;

	(void)result;
	__atomic_add_fetch(&l->late, 1, __ATOMIC_RELAXED);
	sem_post(&l->told);
}

static int call_look_up(void *arg)
{
	struct coop_offload_opts o = { .lane = COOP_LANE_DNS,
				       .on_cancel = COOP_ON_CANCEL_ABANDON,
				       .late = drop_lookup };
	struct lookups *l = arg;

	CHECK_INT(coop_offload_with(look_up, l, &o), ==, COOP_ECANCELED);
	l->returned++;
	return COOP_ECANCELED;
}

static int cancel_lookups(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_lane_stats s;
	struct lookups *l = arg;

	coop_group_open(&g, NULL);
	for (int i = 0; i < LOOKUPS; i++)
		CHECK_INT(coop_spawn(&g, call_look_up, l), ==, 0);
	for (int i = 0; i < 8; i++) {
		coop_yield();
		down(&l->begun);
	}
	do {
		coop_yield();
		CHECK_INT(coop_lane_stats(COOP_LANE_DNS, &s), ==, 0);
	} while (s.queued < LOOKUPS - 8);
	coop_group_cancel(&g, "enough");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(l->returned, ==, LOOKUPS);
	CHECK_INT(__atomic_load_n(&l->running, __ATOMIC_RELAXED), ==, 8);
	CHECK_INT(__atomic_load_n(&l->late, __ATOMIC_RELAXED), ==, LOOKUPS - 8);
	CHECK_INT(coop_lane_stats(COOP_LANE_DNS, &s), ==, 0);
	CHECK_INT(s.queued, ==, 0);
	return 0;
}

/* A thousand look-ups at a server that does not answer, cancelled: all tasks return at once, eight
 * threads are left, and what they find in the end is dropped. */
TEST(a_thousand_lookups_are_cancelled)
{
	struct lookups l = { .running = 0 };

	coop_log_set(NULL, NULL, COOP_LOG_ERROR);
	sem_init(&l.begun, 0, 0);
	sem_init(&l.gate, 0, 0);
	sem_init(&l.told, 0, 0);
	CHECK_INT(coop_run(cancel_lookups, &l, &virtual_clock), ==, 0);
	for (int i = 0; i < 8; i++)
		sem_post(&l.gate);
	for (int i = 0; i < LOOKUPS; i++)
		down(&l.told);
	CHECK_INT(l.late, ==, LOOKUPS);
	CHECK_INT(l.peak, ==, 8);
	PROVES(J02, J04);
}

static int order[64], order_count;

static int note_order(void *arg)
{
	order[order_count++] = (int)(intptr_t)arg; /* one thread: no race */
	return 0;
}

static int call_note_order(void *arg)
{
	return coop_offload(note_order, arg);
}

/* What waits in a lane is begun in order. */
TASK_TEST(first_in_first_out)
{
	struct coop_group g = COOP_GROUP_INIT;

	CHECK_INT(coop_lane_set_limit(COOP_LANE_USER, 1), ==, 0);
	coop_group_open(&g, NULL);
	for (intptr_t i = 0; i < 64; i++)
		CHECK_INT(coop_spawn(&g, call_note_order, (void *)i), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(order_count, ==, 64);
	for (int i = 0; i < 64; i++)
		CHECK_INT(order[i], ==, i);
	return 0;
}

/* A lower limit ends threads when they are done; a higher one starts them for what waits. */
TASK_TEST(a_limit_is_changed)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct gated gated;
	struct caller c[4];
	bool ran;

	CHECK_INT(coop_lane_set_limit(COOP_LANE_USER, 0), ==, -EINVAL);
	CHECK_INT(coop_lane_set_limit((enum coop_lane)COOP_LANES, 1), ==, -EINVAL);
	CHECK_INT(coop_lane_set_limit(COOP_LANE_USER, 1), ==, 0);
	gated_init(&gated, 0);
	coop_group_open(&g, NULL);
	for (int i = 0; i < 4; i++) {
		c[i] = (struct caller){ .gated = &gated };
		CHECK_INT(coop_spawn(&g, call, &c[i]), ==, 0);
	}
	coop_yield();
	down(&gated.begun);
	CHECK_INT(threads(COOP_LANE_USER), ==, 1);
	CHECK_INT(coop_lane_set_limit(COOP_LANE_USER, 4), ==, 0);
	for (int i = 0; i < 3; i++)
		down(&gated.begun);
	CHECK_INT(threads(COOP_LANE_USER), ==, 4);
	CHECK_INT(coop_lane_set_limit(COOP_LANE_USER, 1), ==, 0);
	for (int i = 0; i < 4; i++)
		sem_post(&gated.gate);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	while (threads(COOP_LANE_USER) > 1)
		sched_yield();
	CHECK_INT(coop_offload(answer_42, &ran), ==, 42);
	CHECK_INT(threads(COOP_LANE_USER), ==, 1);
	return 0;
}

/* A limit counts for threads that are idle when it is lowered, too. */
TASK_TEST(a_limit_is_lowered_while_threads_are_idle)
{
	struct coop_group g = COOP_GROUP_INIT, later = COOP_GROUP_INIT;
	struct coop_lane_stats s;
	struct gated gated;
	struct caller c[3];

	gated_init(&gated, 0);
	CHECK_INT(coop_lane_set_limit(COOP_LANE_USER, 3), ==, 0);
	coop_group_open(&g, NULL);
	for (int i = 0; i < 3; i++) {
		c[i] = (struct caller){ .gated = &gated };
		CHECK_INT(coop_spawn(&g, call, &c[i]), ==, 0);
	}
	coop_yield();
	for (int i = 0; i < 3; i++)
		down(&gated.begun);
	for (int i = 0; i < 3; i++)
		sem_post(&gated.gate);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_lane_set_limit(COOP_LANE_USER, 1), ==, 0);
	coop_group_open(&later, NULL);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_spawn(&later, call, &c[i]), ==, 0);
	coop_yield();
	CHECK_INT(coop_lane_stats(COOP_LANE_USER, &s), ==, 0);
	CHECK_INT(s.threads, ==, 1);
	CHECK_INT(s.queued, ==, 2);
	for (int i = 0; i < 3; i++)
		sem_post(&gated.gate);
	CHECK_INT(coop_group_join(&later, 0), ==, 0);
	return 0;
}

/* ---- the loop and the clock */

/* On the virtual clock no time passes while a thread works, and no deadlock is reported. */
TASK_TEST(no_time_passes_while_a_thread_works)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct nap n = { .name = "nap", .ms = 1000 };
	struct gated gated;
	struct caller c = { .gated = &gated };

	gated_init(&gated, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, nap, &n), ==, 0);
	CHECK_INT(coop_spawn(&g, call, &c), ==, 0);
	coop_yield();
	down(&gated.begun);
	for (int i = 0; i < 500; i++)
		coop_yield();
	CHECK(!n.ended);
	CHECK_INT(now_ms(), ==, 0);
	sem_post(&gated.gate);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(n.at_ms, ==, 1000);
	return 0;
}

static int end_while_it_works(void *arg)
{
	struct caller *c = arg;

	CHECK_INT(coop_spawn(coop_run_group(), call, c), ==, 0);
	coop_yield();
	down(&c->gated->begun);
	sem_post(&c->gated->gate);
	return 0; /* the run waits for the rest */
}

/* The end of a run waits for a thread that is at work for it. */
TEST(a_run_waits_for_its_threads)
{
	struct gated gated;
	struct caller c = { .gated = &gated };

	gated_init(&gated, 8);
	CHECK_INT(coop_run(end_while_it_works, &c, &virtual_clock), ==, 0);
	CHECK(c.ended);
	CHECK_INT(c.rc, ==, 8);
	CHECK_INT(gated.ended, ==, 1);
	PROVES(B279);
}

static int offload_once(void *arg)
{
	CHECK_INT(coop_offload(answer_42, arg), ==, 42);
	return 0;
}

#ifdef CP_TSAN
/* It does not know threads that the forked child of several threads starts. */
static bool forked_run(void)
{
	return true;
}
#else
static bool forked_run(void)
{
	bool ran;

	return coop_run(offload_once, &ran, NULL) == 0;
}
#endif

/* A forked child has no threads of its parent, and starts its own. */
TEST(a_forked_child_has_its_own_pool)
{
	int status;
	bool ran;
	pid_t pid;

	CHECK_INT(coop_run(offload_once, &ran, NULL), ==, 0);
	pid = fork();
	if (pid == 0)
		_exit(threads(COOP_LANE_USER) == 0 && forked_run() ? 0 : 1);
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK_INT(status, ==, 0);
}

/* ---- everything at once */

struct churn {
	unsigned seed;
	int late;  /* atomic */
	int begun; /* atomic */
	int done, cancelled, given_late;
};

struct churn_arg {
	struct churn *churn;
	unsigned spins;
	bool heap;
};

static int churn_work(void *arg)
{
	struct churn_arg *a = arg;

	__atomic_add_fetch(&a->churn->begun, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < a->spins && !coop_thread_cancelled(); i++)
		sched_yield();
	return 1;
}

static void churn_late(void *arg, int result)
{
	struct churn_arg *a = arg;

	(void)result;
	__atomic_add_fetch(&a->churn->late, 1, __ATOMIC_RELAXED);
	free(a);
}

static int churn_task(void *arg)
{
	struct churn *c = arg;
	unsigned n = c->seed = c->seed * 1103515245u + 12345u;
	struct coop_offload_opts o = { .lane = (enum coop_lane)(n >> 8 & 1),
				       .on_cancel = (enum coop_on_cancel)((n >> 16) % 3) };
	struct churn_arg *a = malloc(sizeof *a);
	int r;

	CHECK(a != NULL);
	*a = (struct churn_arg){ .churn = c, .spins = n >> 20 & 15 };
	if (o.on_cancel == COOP_ON_CANCEL_ABANDON)
		o.late = churn_late;
	if (n >> 9 & 1)
		o.limiter = &one;
	r = coop_offload_with(churn_work, a, &o);
	if (r == COOP_ECANCELED)
		c->cancelled++;
	else
		c->done += r == 1;
	if (r == COOP_ECANCELED && o.late)
		c->given_late++;
	else
		free(a);
	return r < 0 ? r : coop_checkpoint();
}

static int churn_body(void *arg)
{
	struct churn *c = arg;
	int rounds = TEST_COUNT(300, 40), all = 0;

	one._total = 3;
	for (int i = 0; i < rounds; i++) {
		struct coop_group_opts o = { .name = "round" };
		struct coop_group g = COOP_GROUP_INIT;

		coop_group_open(&g, &o);
		for (int k = 0; k < 20; k++, all++)
			CHECK_INT(coop_spawn(&g, churn_task, c), ==, 0);
		for (unsigned k = c->seed >> 12 & 7; k; k--)
			coop_yield();
		if (c->seed >> 16 & 3)
			coop_group_cancel(&g, "enough");
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
	}
	CHECK_INT(c->done + c->cancelled, ==, all);
	CHECK(c->done > 0 && c->cancelled > 0 && c->given_late > 0);
	while (__atomic_load_n(&c->late, __ATOMIC_RELAXED) < c->given_late || borrowed())
		coop_yield();
	CHECK_INT(c->late, ==, c->given_late);
	return 0;
}

/* Offloads of every kind, cancelled at any moment: each has one outcome, each argument one owner,
 * each token comes back. */
TEST(churn)
{
	struct churn c = { .seed = 1 };

	TEST_SECONDS(60);
	coop_log_set(NULL, NULL, COOP_LOG_ERROR);
	CHECK_INT(coop_run(churn_body, &c, NULL), ==, 0);
	PROVES(B268, B269, B273);
}
