/* SPDX-License-Identifier: MIT */
/*
 * Portals: threads of the program that have functions run in a group.
 *
 * The threads here are real; what they do is forced by semaphores, so nothing depends on time.
 */
#include "../core/core_help.h"

#include "base/os.h"

#include <pthread.h>
#include <semaphore.h>

static void down(sem_t *sem)
{
	while (sem_wait(sem) < 0)
		CHECK_INT(errno, ==, EINTR);
}

static pthread_t thread(void *(*fn)(void *), void *arg)
{
	pthread_t t;

	CHECK_INT(pthread_create(&t, NULL, fn, arg), ==, 0);
	return t;
}

/* ---- what is called */

static pthread_t loop_thread;

static int plus_one(void *arg)
{
	CHECK(pthread_equal(pthread_self(), loop_thread));
	CHECK(coop_self() != NULL);
	return *(int *)arg + 1;
}

static int fails(void *arg)
{
	int r = coop_sleep(MS(1));

	(void)arg;
	return r < 0 ? r : coop_fail(-EIO, "in the portal");
}

struct napper {
	sem_t begun;
	int rc;
	int value;
};

static int sleeps(void *arg)
{
	struct napper *n = arg;

	sem_post(&n->begun);
	n->rc = coop_sleep(COOP_NEVER);
	return n->rc;
}

/* ---- a run with a portal, and a thread that uses it */

struct scene {
	struct coop_portal *portal;
	void (*act)(struct scene *s); /* in the thread */
	bool cancel;                  /* how the portal is closed when the thread is done */
	bool keep_open;               /* it is not: the thread does */
	int done;                     /* atomic */
	int rc;
	struct napper napper;
};

static void *actor(void *arg)
{
	struct scene *s = arg;

	s->act(s);
	__atomic_store_n(&s->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

static int scene_body(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct scene *s = arg;
	pthread_t t;

	loop_thread = pthread_self();
	sem_init(&s->napper.begun, 0, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_portal_open(&g, &s->portal), ==, 0);
	t = thread(actor, s);
	while (!s->keep_open && !__atomic_load_n(&s->done, __ATOMIC_ACQUIRE))
		CHECK_INT(coop_sleep(COOP_MICROSECONDS(100)), ==, 0);
	if (!s->keep_open)
		CHECK_INT(coop_portal_close(s->portal, s->cancel), ==, 0);
	s->rc = coop_group_join(&g, 0);
	pthread_join(t, NULL);
	return s->rc;
}

static void play(struct scene *s)
{
	int64_t before = cp_os_faults.allocs_live;

	CHECK_INT(coop_run(scene_body, s, NULL), ==, 0);
	coop_portal_unref(s->portal);
	CHECK_INT(cp_os_faults.allocs_live, ==, before);
}

static void call_some(struct scene *s)
{
	struct coop_error_info info;
	int n = 41;

	CHECK_INT(coop_portal_call(s->portal, plus_one, &n), ==, 42);
	CHECK_INT(coop_portal_call(s->portal, fails, NULL), ==, -EIO);
	CHECK(coop_error_peek(-EIO) != NULL);
	coop_error_describe(coop_error_peek(-EIO), &info);
	CHECK_STR(info.message, "in the portal");
	coop_error_clear();
	CHECK_INT(coop_portal_call(s->portal, plus_one, &n), ==, 42);
	CHECK_INT(coop_portal_call(s->portal, NULL, NULL), ==, -EINVAL);
}

/* A thread calls, gets results and errors; a failure fails nobody else. */
TEST(calls_and_results)
{
	struct scene s = { .act = call_some };

	play(&s);
	PROVES(B285);
}

static void spawn_some(struct scene *s)
{
	struct coop_remote *one, *bad;
	int n = 1;

	CHECK_INT(coop_portal_spawn(s->portal, plus_one, &n, &one), ==, 0);
	CHECK_INT(coop_remote_wait(one, COOP_NEVER), ==, 2);
	CHECK_INT(coop_remote_wait(one, 0), ==, 2);
	CHECK_INT(coop_remote_cancel(one), ==, 1);
	coop_remote_unref(coop_remote_ref(one));
	coop_remote_unref(one);
	CHECK_INT(coop_portal_spawn(s->portal, fails, NULL, &bad), ==, 0);
	CHECK_INT(coop_remote_wait(bad, -1), ==, -EINVAL);
	CHECK_INT(coop_remote_wait(bad, COOP_NEVER), ==, -EIO);
	coop_error_clear();
	CHECK_INT(coop_remote_wait(bad, COOP_NEVER), ==, -EIO);
	CHECK(coop_error_peek(-EIO) != NULL);
	coop_error_clear();
	coop_remote_unref(bad);
}

/* A task that is started from a thread has a remote there: its result, as often as one asks. */
TEST(remotes_and_results)
{
	struct scene s = { .act = spawn_some };

	play(&s);
	PROVES(B285);
}

static void cancel_some(struct scene *s)
{
	struct coop_remote *rm;

	CHECK_INT(coop_portal_spawn(s->portal, sleeps, &s->napper, &rm), ==, 0);
	down(&s->napper.begun);
	CHECK_INT(coop_remote_wait(rm, 0), ==, -EAGAIN);
	CHECK_INT(coop_remote_wait(rm, 1), ==, -EAGAIN);
	CHECK_INT(coop_remote_cancel(rm), ==, 0);
	CHECK_INT(coop_remote_cancel(rm), ==, 1);
	CHECK_INT(coop_remote_wait(rm, COOP_NEVER), ==, COOP_ETASKCANCELLED);
	CHECK_INT(s->napper.rc, ==, COOP_ECANCELED);
	coop_remote_unref(rm);

	/* cancelled at once: before it has begun, or at its first checkpoint */
	s->napper.rc = COOP_ECANCELED;
	CHECK_INT(coop_portal_spawn(s->portal, sleeps, &s->napper, &rm), ==, 0);
	CHECK_INT(coop_remote_cancel(rm), ==, 0);
	CHECK_INT(coop_remote_wait(rm, COOP_NEVER), ==, COOP_ETASKCANCELLED);
	CHECK_INT(s->napper.rc, ==, COOP_ECANCELED);
	coop_remote_unref(rm);
}

/* A thread waits for so long, and cancels the task, and no other. */
TEST(timed_waits_and_cancels)
{
	struct scene s = { .act = cancel_some };

	play(&s);
	PROVES(B285);
}

static int gives_9(void *arg)
{
	(void)arg;
	return 9;
}

static void leave_one(struct scene *s)
{
	CHECK_INT(coop_portal_spawn(s->portal, sleeps, &s->napper, NULL), ==, 0);
	down(&s->napper.begun);
}

/* Closed with a cancel, the portal ends what runs in it. */
TEST(closing_with_a_cancel)
{
	struct scene s = { .act = leave_one, .cancel = true };

	play(&s);
	CHECK_INT(s.napper.rc, ==, COOP_ECANCELED);
	PROVES(B285);
}

struct waiting {
	sem_t begun;
	struct coop_event event;
	bool ended;
};

static int waits_for_event(void *arg)
{
	struct waiting *w = arg;
	int r;

	sem_post(&w->begun);
	r = coop_event_wait(&w->event);
	w->ended = r == 0;
	return r;
}

static void *spawn_waiting(void *arg)
{
	struct coop_portal *p = ((void **)arg)[0];

	CHECK_INT(coop_portal_spawn(p, waits_for_event, ((void **)arg)[1], NULL), ==, 0);
	return NULL;
}

static int set_event_later(void *arg)
{
	struct waiting *w = arg;
	int r = coop_sleep(MS(2));

	CHECK(!w->ended);
	coop_event_set(&w->event);
	return r;
}

static int closing_waits_body(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct waiting w = { .event = COOP_EVENT_INIT };
	struct coop_portal *p;
	void *args[2];
	pthread_t t;

	(void)arg;
	sem_init(&w.begun, 0, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_portal_open(&g, &p), ==, 0);
	args[0] = p;
	args[1] = &w;
	t = thread(spawn_waiting, args);
	while (sem_trywait(&w.begun) < 0)
		CHECK_INT(coop_sleep(COOP_MICROSECONDS(100)), ==, 0);
	pthread_join(t, NULL);
	CHECK_INT(coop_spawn(&g, set_event_later, &w), ==, 0);
	CHECK_INT(coop_portal_close(p, false), ==, 0);
	CHECK(w.ended);
	CHECK_INT(coop_portal_close(p, false), ==, 0);
	CHECK_INT(coop_portal_stop(p, true), ==, 1);
	coop_portal_unref(p);
	return coop_group_join(&g, 0);
}

/* Closed without, it waits until what runs in it has ended; a second close finds it closed. */
TEST(closing_waits)
{
	CHECK_INT(coop_run(closing_waits_body, NULL, NULL), ==, 0);
	PROVES(B285);
}

/* ---- stopped, late */

static void stop_and_call(struct scene *s)
{
	struct coop_remote *rm = NULL;

	CHECK_INT(coop_portal_stop(s->portal, false), ==, 0);
	CHECK_INT(coop_portal_stop(s->portal, false), ==, 1);
	CHECK_INT(coop_portal_call(s->portal, gives_9, NULL), ==, COOP_ECLOSED);
	CHECK_INT(coop_portal_spawn(s->portal, gives_9, NULL, &rm), ==, COOP_ECLOSED);
	CHECK(rm == NULL);
}

/* A thread may stop the portal; then nothing is accepted any more, and the group can end. */
TEST(stopped_by_a_thread)
{
	struct scene s = { .act = stop_and_call, .keep_open = true };

	play(&s);
	PROVES(B285);
}

/* A call that comes after the run is refused: the portal is still there to say so. */
TEST(a_call_after_the_run)
{
	struct scene s = { .act = call_some };
	struct coop_remote *rm = NULL;

	CHECK_INT(coop_run(scene_body, &s, NULL), ==, 0);
	CHECK_INT(coop_portal_call(s.portal, gives_9, NULL), ==, COOP_ECLOSED);
	CHECK_INT(coop_portal_spawn(s.portal, gives_9, NULL, &rm), ==, COOP_ECLOSED);
	CHECK(rm == NULL);
	CHECK_INT(coop_portal_stop(s.portal, true), ==, 1);
	coop_portal_unref(s.portal);
	PROVES(B278);
}

static void call_until_refused(struct scene *s)
{
	int n = 0, r;

	do {
		r = coop_portal_call(s->portal, plus_one, &n);
		if (r > 0)
			sem_post(&s->napper.begun);
	} while (r == 1);
	CHECK_INT(r, ==, COOP_ECLOSED);
}

static int closes_meanwhile(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct scene *s = arg;
	pthread_t t[4];

	loop_thread = pthread_self();
	sem_init(&s->napper.begun, 0, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_portal_open(&g, &s->portal), ==, 0);
	for (int i = 0; i < 4; i++)
		t[i] = thread(actor, s);
	for (int i = 0; i < 100;) {
		CHECK_INT(coop_sleep(COOP_MICROSECONDS(50)), ==, 0);
		while (sem_trywait(&s->napper.begun) == 0)
			i++;
	}
	CHECK_INT(coop_portal_close(s->portal, false), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	for (int i = 0; i < 4; i++) /* the loop goes on: one may just have called */
		while (pthread_tryjoin_np(t[i], NULL) != 0)
			CHECK_INT(coop_sleep(COOP_MICROSECONDS(50)), ==, 0);
	return 0;
}

/* Threads that call while the portal is closed, and while the run ends, have an answer each. */
TEST(closed_while_threads_call)
{
	for (int i = 0; i < TEST_COUNT(20, 3); i++) {
		struct scene s = { .act = call_until_refused };

		CHECK_INT(coop_run(closes_meanwhile, &s, NULL), ==, 0);
		coop_portal_unref(s.portal);
	}
	PROVES(B278, B285);
}

static int open_and_return(void *arg)
{
	struct scene *s = arg;

	loop_thread = pthread_self();
	sem_init(&s->napper.begun, 0, 0);
	CHECK_INT(coop_portal_open(coop_run_group(), &s->portal), ==, 0);
	for (int i = 0; i < 4; i++)
		pthread_detach(thread(actor, coop_portal_ref(s->portal) ? s : NULL));
	return 0;
}

/* A portal that nobody closed is cancelled with what is left of its run. */
TEST(the_run_ends_with_a_portal_open)
{
	static struct scene s = { .act = call_until_refused };

	coop_log_set(NULL, NULL, COOP_LOG_ERROR);
	CHECK_INT(coop_run(open_and_return, &s, NULL), ==, 0);
	CHECK_INT(coop_portal_call(s.portal, gives_9, NULL), ==, COOP_ECLOSED);
	PROVES(B278);
}

/* ---- the loop's own thread */

static int from_the_loop(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_remote *rm = NULL;
	struct coop_portal *p;

	(void)arg;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_portal_open(&g, &p), ==, 0);
	CHECK_INT(coop_portal_call(p, gives_9, NULL), ==, COOP_EWRONGTHREAD);
	CHECK_INT(coop_portal_spawn(p, gives_9, NULL, &rm), ==, COOP_EWRONGTHREAD);
	CHECK_INT(coop_portal_start(p, NULL, NULL, NULL, NULL), ==, -EINVAL);
	CHECK(rm == NULL);
	CHECK_INT(coop_portal_close(p, false), ==, 0);
	coop_portal_unref(p);
	return coop_group_join(&g, 0);
}

/* A loop that waited for itself would wait for ever: its own thread is refused. */
TEST(calls_from_the_loops_own_thread)
{
	CHECK_INT(coop_run(from_the_loop, NULL, &virtual_clock), ==, 0);
	PROVES(B277);
}

static int close_from_within(void *arg)
{
	return coop_portal_close(((struct scene *)arg)->portal, false);
}

static void close_by_a_call(struct scene *s)
{
	CHECK_INT(coop_portal_call(s->portal, close_from_within, s), ==, -EDEADLK);
	coop_error_clear();
	CHECK_INT(coop_portal_call(s->portal, gives_9, NULL), ==, 9);
}

/* A call that would wait for its own portal is refused, and the portal goes on. */
TEST(closed_from_within)
{
	struct scene s = { .act = close_by_a_call };

	play(&s);
}

/* ---- readiness */

static int gets_ready(void *arg, struct coop_start *start)
{
	struct napper *n = arg;
	int r;

	if (n->value < 0)
		return coop_fail(n->value, "never ready");
	if (n->value == 0)
		return 5;
	r = coop_started(start, n->value);
	CHECK_INT(r, ==, 0);
	if (n->value == 1)
		return 6;
	sem_post(&n->begun);
	n->rc = coop_sleep(COOP_NEVER);
	return n->rc;
}

static void start_some(struct scene *s)
{
	struct coop_remote *rm = NULL;
	int value = 0;

	s->napper.value = 7;
	CHECK_INT(coop_portal_start(s->portal, gets_ready, &s->napper, &value, &rm), ==, 0);
	CHECK_INT(value, ==, 7);
	down(&s->napper.begun);
	CHECK_INT(coop_remote_wait(rm, 0), ==, -EAGAIN);
	CHECK_INT(coop_remote_cancel(rm), ==, 0);
	CHECK_INT(coop_remote_wait(rm, COOP_NEVER), ==, COOP_ETASKCANCELLED);
	coop_remote_unref(rm);

	/* ready and ended in one breath */
	s->napper.value = 1;
	CHECK_INT(coop_portal_start(s->portal, gets_ready, &s->napper, &value, &rm), ==, 0);
	CHECK_INT(value, ==, 1);
	CHECK_INT(coop_remote_wait(rm, COOP_NEVER), ==, 6);
	coop_remote_unref(rm);
	CHECK_INT(coop_portal_start(s->portal, gets_ready, &s->napper, NULL, NULL), ==, 0);

	/* never ready: it failed, or just ended */
	rm = NULL;
	s->napper.value = -ENODEV;
	CHECK_INT(coop_portal_start(s->portal, gets_ready, &s->napper, &value, &rm), ==, -ENODEV);
	CHECK(coop_error_peek(-ENODEV) != NULL);
	coop_error_clear();
	s->napper.value = 0;
	CHECK_INT(coop_portal_start(s->portal, gets_ready, &s->napper, &value, &rm), ==,
		  COOP_ENOTSTARTED);
	coop_error_clear();
	CHECK(rm == NULL);
	CHECK_INT(value, ==, 1);
}

/* A start gives the readiness value; one that crashes before gives its error. */
TEST(starts_with_readiness)
{
	struct scene s = { .act = start_some };

	play(&s);
	PROVES(B286);
}

static int never_ready(void *arg, struct coop_start *start)
{
	struct napper *n = arg;

	(void)start;
	sem_post(&n->begun);
	n->rc = coop_sleep(COOP_NEVER);
	return n->rc;
}

static void start_never(struct scene *s)
{
	CHECK_INT(coop_portal_start(s->portal, never_ready, &s->napper, NULL, NULL), ==,
		  COOP_ETASKCANCELLED);
}

static int stop_when_begun(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct scene *s = arg;
	pthread_t t;

	sem_init(&s->napper.begun, 0, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_portal_open(&g, &s->portal), ==, 0);
	t = thread(actor, s);
	while (sem_trywait(&s->napper.begun) < 0)
		CHECK_INT(coop_sleep(COOP_MICROSECONDS(100)), ==, 0);
	coop_group_cancel(&g, "enough");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	pthread_join(t, NULL);
	return 0;
}

/* The group is cancelled while a thread waits for a start, or for a call: both are told. */
TEST(cancelled_with_its_group)
{
	struct scene s = { .act = start_never };

	CHECK_INT(coop_run(stop_when_begun, &s, NULL), ==, 0);
	CHECK_INT(s.napper.rc, ==, COOP_ECANCELED);
	coop_portal_unref(s.portal);
	PROVES(B285, B286);
}

/* ---- failures that nobody asks for */

static void fail_unheard(struct scene *s)
{
	static int n; /* kept until the task has ended, which nobody waits for here */

	CHECK_INT(coop_portal_spawn(s->portal, fails, NULL, NULL), ==, 0);
	CHECK_INT(coop_portal_spawn(s->portal, plus_one, &n, NULL), ==, 0);
}

/* Without a remote a failure is at least in the log. */
TEST(a_failure_that_nobody_asks_for)
{
	struct scene s = { .act = fail_unheard };

	keep_records(COOP_LOG_WARN);
	play(&s);
	coop_log_set(NULL, NULL, COOP_LOG_WARN);
	CHECK_HAS(records, "in the portal");
	CHECK_INT(records_count, ==, 1);
}

/* ---- memory */

static void refuse_memory(struct scene *s)
{
	struct coop_remote *rm = NULL;

	cp_os_faults.alloc_fail_on = true;
	__atomic_store_n(&cp_os_faults.alloc_fail_at, 1, __ATOMIC_RELAXED);
	CHECK_INT(coop_portal_call(s->portal, gives_9, NULL), ==, -ENOMEM);
	CHECK_INT(coop_portal_spawn(s->portal, gives_9, NULL, &rm), ==, -ENOMEM);
	__atomic_store_n(&cp_os_faults.alloc_fail_at, 0, __ATOMIC_RELAXED);
	cp_os_faults.alloc_fail_on = false;
	CHECK(rm == NULL);
	CHECK_INT(coop_portal_call(s->portal, gives_9, NULL), ==, 9);
}

/* Without memory a call is an error for its thread, and the portal goes on. */
TEST(no_memory_for_a_call)
{
	struct scene s = { .act = refuse_memory };

	play(&s);
}

/* ---- everything at once */

struct storm {
	struct coop_portal *portal;
	unsigned seed;
	int sum;       /* in the loop */
	int cancelled; /* atomic */
	int counted;   /* atomic */
};

static int storm_work(void *arg)
{
	struct storm *s = arg;
	int r = coop_sleep(COOP_MICROSECONDS(s->seed++ & 63));

	if (r < 0)
		return r;
	s->sum++;
	return 3;
}

static void *storm_thread(void *arg)
{
	struct storm *s = arg;
	unsigned seed = (unsigned)(uintptr_t)pthread_self() | 1;

	for (int i = 0; i < TEST_COUNT(400, 60); i++) {
		struct coop_remote *rm;
		int r;

		seed = seed * 1103515245u + 12345u;
		if (coop_portal_spawn(s->portal, storm_work, s, &rm) < 0)
			break;
		if (seed >> 16 & 1)
			(void)coop_remote_cancel(rm);
		r = coop_remote_wait(rm, seed >> 17 & 1 ? COOP_NEVER : 1000);
		if (r == -EAGAIN)
			r = coop_remote_wait(rm, COOP_NEVER);
		CHECK(r == 3 || r == COOP_ETASKCANCELLED);
		__atomic_add_fetch(r == 3 ? &s->counted : &s->cancelled, 1, __ATOMIC_RELAXED);
		coop_remote_unref(rm);
	}
	return NULL;
}

static int storm_body(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct storm *s = arg;
	pthread_t t[6];

	coop_group_open(&g, NULL);
	CHECK_INT(coop_portal_open(&g, &s->portal), ==, 0);
	for (int i = 0; i < 6; i++)
		t[i] = thread(storm_thread, s);
	while (__atomic_load_n(&s->counted, __ATOMIC_RELAXED) +
		       __atomic_load_n(&s->cancelled, __ATOMIC_RELAXED) <
	       6 * TEST_COUNT(400, 60))
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
	for (int i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
	CHECK_INT(coop_portal_close(s->portal, false), ==, 0);
	CHECK_INT(s->sum, ==, s->counted);
	coop_portal_unref(s->portal);
	return coop_group_join(&g, 0);
}

/* Six threads spawn, wait and cancel: what ran to its end is what was told so. */
TEST(storm)
{
	int64_t before = cp_os_faults.allocs_live;
	struct storm s = { .seed = 1 };

	TEST_SECONDS(60);
	CHECK_INT(coop_run(storm_body, &s, NULL), ==, 0);
	CHECK(s.counted > 0 && s.cancelled > 0);
	CHECK_INT(cp_os_faults.allocs_live, ==, before);
	PROVES(B285);
}

/* ---- forked children */

struct copies {
	struct coop_portal *portal;
	struct coop_token *token;
	struct coop_remote *ended, *going_on;
};

static int starts(void *arg, struct coop_start *start)
{
	(void)arg;
	return coop_started(start, 1);
}

/* In a child: 0, or the number of the line that did not answer as it should. */
static int in_the_child(struct copies *c)
{
	struct coop_remote *rm = NULL;
	int n = 1;

	alarm(20); /* what would wait for ever is told by the signal */
	if (coop_portal_call(c->portal, plus_one, &n) != COOP_EFORK)
		return __LINE__ & 127;
	if (coop_portal_spawn(c->portal, plus_one, &n, &rm) != COOP_EFORK || rm)
		return __LINE__ & 127;
	if (coop_portal_start(c->portal, starts, NULL, &n, NULL) != COOP_EFORK)
		return __LINE__ & 127;
	if (coop_remote_wait(c->ended, COOP_NEVER) != 3)
		return __LINE__ & 127;
	if (coop_remote_wait(c->going_on, COOP_NEVER) != COOP_EFORK)
		return __LINE__ & 127;
	if (coop_remote_cancel(c->going_on) != 1)
		return __LINE__ & 127;
	if (coop_run_soon(c->token, fails, NULL) != COOP_EFORK)
		return __LINE__ & 127;
	return 0;
}

static void *forks(void *arg)
{
	pid_t pid = fork();
	int status;

	CHECK_INT(pid, >=, 0);
	if (pid == 0)
		_exit(in_the_child(arg));
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK_INT(status, ==, 0);
	return NULL;
}

static void *sends_two(void *arg)
{
	static struct napper napper;
	struct copies *c = arg;
	int n = 2;

	sem_init(&napper.begun, 0, 0);
	CHECK_INT(coop_portal_spawn(c->portal, plus_one, &n, &c->ended), ==, 0);
	CHECK_INT(coop_remote_wait(c->ended, COOP_NEVER), ==, 3);
	CHECK_INT(coop_portal_spawn(c->portal, sleeps, &napper, &c->going_on), ==, 0);
	down(&napper.begun);
	forks(arg);
	return NULL;
}

static int join_thread(void *arg)
{
	pthread_join(*(pthread_t *)arg, NULL);
	return 0;
}

/* A child that was forked has portals and tokens, but no run that would hear of a call: it is told
 * so, whichever thread forked, and the run goes on where it is. */
TASK_TEST(a_forked_child)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct copies c;
	pthread_t t;

	loop_thread = pthread_self();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_portal_open(&g, &c.portal), ==, 0);
	CHECK_INT(coop_token_open(&c.token), ==, 0);
	t = thread(sends_two, &c);
	CHECK_INT(coop_offload(join_thread, &t), ==, 0);
	forks(&c); /* by the runtime's own thread */
	CHECK_INT(coop_portal_close(c.portal, true), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_remote_unref(c.ended);
	coop_remote_unref(c.going_on);
	coop_portal_unref(c.portal);
	coop_token_unref(c.token);
	PROVES(B311);
	return 0;
}
