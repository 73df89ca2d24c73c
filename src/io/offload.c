/* SPDX-License-Identifier: MIT */
/*
 * Offload: a task has a function run in a thread of the pool, and waits for it.
 *
 * The job lies in the frame of the call; only one that may be abandoned is on the heap, with the
 * bindings that its thread can see. The thread runs it and posts it to the run's inbox; the loop
 * wakes the task. A call back is the same the other way round: the thread posts the job and sleeps,
 * the task is woken, runs the function in its own frame, tells the thread and parks again.
 *
 *   waits in its lane --thread--> AT_WORK --thread, CAS--> DONE        the task is woken
 *          |                        |
 *          | cancel: taken back     | cancel with ABANDON, CAS
 *          v                        v
 *      (never begun)             ABANDONED                             `late` gets the result
 *
 * Invariants
 *   1. Between a cancel and the end of a job one of the two CAS decides: what is done is delivered,
 *      what is abandoned never wakes anybody.
 *   2. A job's task is parked in await() whenever its post arrives, unless it was abandoned.
 *   3. A thread touches a job that it shares with a task's frame up to the post of its end, and no
 *      further.
 *   4. A token goes back in the loop: when the end of the thread arrives, or the run ends.
 *   5. The way of a cancel allocates nothing.
 */
#include "base/forks.h"
#include "core/park.h"
#include "core/post.h"
#include "io/offload.h"
#include "io/pool.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define CP_INTERRUPT_NS COOP_MILLISECONDS(5)

enum { AT_WORK, DONE, ABANDONED }; /* a job's state */
enum { ENDED = 1, CALLS = 2 };     /* what its task is woken with */
enum outcome {
	NOT_BEGUN, /* and never will be */
	IS_DONE,
	IS_GONE, /* abandoned: the job is the thread's, and may be gone */
};

/* A function that the thread wants to be run in the task. */
struct call {
	coop_fn *fn;
	void *arg;
	int rc;
	struct coop_error *err;
	uint32_t answered; /* atomic: the thread sleeps on it */
};

struct job {
	struct cp_work work;
	struct cp_post post;
	struct cp_inbox *inbox;
	coop_fn *fn;
	void *arg;
	const char *site; /* name, file, line */
	enum coop_on_cancel on_cancel;
	void (*late)(void *arg, int result);
	struct cp_local *locals; /* ABANDON: its own */
	int rc;
	struct coop_error *err;
	uint32_t state;     /* atomic */
	uint32_t cancelled; /* atomic: its task has been told */
	struct call *call;  /* NULL: the post is its end */

	/* the loop's */
	struct coop_task *task;
	const struct coop_limiter *asked; /* that it has a token of, its own or an outer job's */
	struct coop_limiter *limiter;     /* its own is of; NULL: it has none */
	struct coop_borrower borrower;
	struct cp_debt debt; /* of one that was abandoned, until its thread is done */
	bool is_debt;
	struct job *next_serving;

	/* under interrupt_lock */
	struct cp_os_alarm *alarm; /* of the thread, while it can be interrupted */
	bool alarmed;
};

static __thread struct job *job_here; /* that this thread works at */
static __thread struct job *serving;  /* whose calls the tasks of this run are running */
static bool interrupts; /* atomic: the signal's handler is ours, from the first use on */
static pthread_mutex_t interrupt_lock = PTHREAD_MUTEX_INITIALIZER;
static struct cp_forked forked = { .lock = &interrupt_lock };
CP_FORKED(forked)

/* In the frame of the call: a job that is abandoned may be gone before its task runs again. */
struct awaiting {
	struct cp_wait wait;
	struct job *job;
	bool taken_back;
};

/* Only one that may be abandoned is its own owner; any thread. */
static void job_free(struct job *j)
{
	cp_local_unref(j->locals);
	cp_inbox_unref(j->inbox);
	cp_free(j);
}

/* --------------------------------------------------------------------- interrupting */

static void on_interrupt(int sig)
{
	(void)sig; /* that it came is all */
}

/* The handler, once for the process: without SA_RESTART, which is the point of it. */
static int interrupt_prepare(void)
{
	struct sigaction now, act = { .sa_handler = on_interrupt };
	int r = cp_os_sigaction(CP_INTERRUPT_SIGNAL, NULL, &now);

	if (r < 0 || now.sa_handler == on_interrupt)
		return r;
	if (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN)
		return -EBUSY;
	r = cp_os_sigaction(CP_INTERRUPT_SIGNAL, &act, NULL);
	if (r >= 0)
		__atomic_store_n(&interrupts, true, __ATOMIC_RELAXED);
	return r;
}

bool cp_offload_can_interrupt(void)
{
	return interrupt_prepare() >= 0;
}

bool cp_offload_interrupts(int sig)
{
	return sig == CP_INTERRUPT_SIGNAL && __atomic_load_n(&interrupts, __ATOMIC_RELAXED);
}

/* In the thread: from now on a cancel interrupts; at once, if it has come already. */
static int interrupt_begin(struct job *j)
{
	struct cp_os_alarm *alarm = &cp_pool_alarm;
	int r = alarm->open ? 0 : cp_os_alarm_open(alarm, CP_INTERRUPT_SIGNAL);

	if (r < 0)
		return r;
	pthread_mutex_lock(&interrupt_lock);
	j->alarm = alarm;
	j->alarmed = __atomic_load_n(&j->cancelled, __ATOMIC_RELAXED);
	if (j->alarmed)
		cp_os_alarm_set(j->alarm, CP_INTERRUPT_NS);
	pthread_mutex_unlock(&interrupt_lock);
	return 0;
}

static void interrupt_end(struct job *j)
{
	pthread_mutex_lock(&interrupt_lock);
	if (j->alarm && j->alarmed)
		cp_os_alarm_set(j->alarm, 0);
	j->alarm = NULL;
	pthread_mutex_unlock(&interrupt_lock);
}

/* In the loop. Again and again, since the first may come just before the call that blocks. */
static void interrupt(struct job *j)
{
	pthread_mutex_lock(&interrupt_lock);
	if (j->alarm && !j->alarmed) {
		j->alarmed = true;
		cp_os_alarm_set(j->alarm, CP_INTERRUPT_NS);
	}
	pthread_mutex_unlock(&interrupt_lock);
}

/* -------------------------------------------------------------------- in the thread */

static void arrived(struct cp_rt *rt, struct cp_post *post);

static void work(struct job *j)
{
	int r = j->on_cancel == COOP_ON_CANCEL_INTERRUPT ? interrupt_begin(j) : 0;

	job_here = j;
	cp_thread_locals = j->locals;
	j->rc = r < 0 ? r : j->fn(j->arg);
	cp_thread_locals = NULL;
	job_here = NULL;
	if (j->on_cancel == COOP_ON_CANCEL_INTERRUPT)
		interrupt_end(j);
	j->err = cp_err_slot_aside(cp_err_thread_slot());
}

/* The result is nobody's: it and the argument go where the caller said. */
static void be_late(struct job *j)
{
	j->err = coop_error_unref(j->err);
	j->late(j->arg, j->rc);
}

static void run_job(struct cp_work *w)
{
	struct job *j = CP_CONTAINER_OF(w, struct job, work);
	bool heap = j->on_cancel == COOP_ON_CANCEL_ABANDON;
	uint32_t state = AT_WORK;

	work(j);
	/* Either this is first and the task gets the result, or it has gone: see abandon(). */
	if (!__atomic_compare_exchange_n(&j->state, &state, DONE, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE) ||
	    (heap && j->rc == COOP_ECANCELED))
		be_late(j);
	j->call = NULL;
}

static void job_done(struct cp_work *w)
{
	struct job *j = CP_CONTAINER_OF(w, struct job, work);

	if (cp_post(j->inbox, &j->post) < 0)
		job_free(j); /* the run of an abandoned one has ended */
}

bool coop_thread_cancelled(void)
{
	return job_here && __atomic_load_n(&job_here->cancelled, __ATOMIC_RELAXED);
}

int coop_thread_call(coop_fn *fn, void *arg)
{
	struct job *j = job_here;
	struct call call = { .fn = fn, .arg = arg };

	if (!j || cp_rt)
		return COOP_EWRONGTHREAD;
	j->call = &call;
	cp_pool_calling(j->work.lane, true);
	if (cp_post(j->inbox, &j->post) < 0)
		call.rc = COOP_ECLOSED;
	else
		while (!__atomic_load_n(&call.answered, __ATOMIC_ACQUIRE))
			(void)cp_os_futex_wait(&call.answered, 0, -1);
	cp_pool_calling(j->work.lane, false);
	cp_err_slot_drop(cp_err_thread_slot());
	*cp_err_thread_slot() = call.err;
	return call.rc;
}

/* ---------------------------------------------------------------------- in the loop */

static void give_token_back(struct job *j)
{
	if (j->limiter)
		(void)coop_limiter_release_for(j->limiter, &j->borrower);
	j->limiter = NULL;
}

static void debt_over(struct cp_rt *rt, struct job *j)
{
	if (!j->is_debt)
		return;
	cp_debt_drop(rt, &j->debt);
	j->is_debt = false;
	rt->external -= j->limiter != NULL;
}

static void answer(struct call *call, int rc, struct coop_error *err)
{
	call->rc = rc;
	call->err = err;
	/* Pairs with the acquire in coop_thread_call; `call` may be gone right behind it. */
	__atomic_store_n(&call->answered, 1, __ATOMIC_RELEASE);
	cp_os_futex_wake(&call->answered, 1);
}

/* The thread of an abandoned job is done, or calls. */
static void arrived_late(struct cp_rt *rt, struct job *j)
{
	if (j->call) {
		answer(j->call, COOP_ECANCELED, NULL);
		return;
	}
	debt_over(rt, j);
	give_token_back(j);
	job_free(j);
}

static void arrived(struct cp_rt *rt, struct cp_post *post)
{
	struct job *j = CP_CONTAINER_OF(post, struct job, post);

	if (__atomic_load_n(&j->state, __ATOMIC_ACQUIRE) == ABANDONED) {
		arrived_late(rt, j);
		return;
	}
	rt->working--; /* a thread that calls does not work, and time may pass */
	cp_wake(rt, j->task, j->call ? CALLS : ENDED);
}

/* The run ends before the thread does. From here on the job is its thread's alone. */
static void left_behind(struct cp_debt *debt)
{
	struct job *j = CP_CONTAINER_OF(debt, struct job, debt);

	coop_log(COOP_LOG_WARN,
		 "the run ended before a thread that it has abandoned: %s (offloaded at %s)",
		 j->site, cp_at(j->site + strlen(j->site) + 1));
	j->is_debt = false;
	cp_rt->external -= j->limiter != NULL;
	give_token_back(j);
}

/* False: its thread was faster, and the result is on its way. */
static bool abandon(struct cp_rt *rt, struct job *j)
{
	uint32_t state = AT_WORK;

	if (!__atomic_compare_exchange_n(&j->state, &state, ABANDONED, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		return false;
	rt->working--;
	rt->external += j->limiter != NULL; /* somebody may wait for the token */
	j->debt.left = left_behind;
	j->is_debt = true;
	cp_debt_add(rt, &j->debt);
	return true;
}

/* The task has become cancelled. True: it is free to go. */
static bool await_abort(struct cp_wait *wait)
{
	struct awaiting *a = CP_CONTAINER_OF(wait, struct awaiting, wait);
	struct job *j = a->job;

	if (cp_pool_withdraw(&j->work)) {
		cp_rt->working--;
		return a->taken_back = true;
	}
	__atomic_store_n(&j->cancelled, 1, __ATOMIC_RELAXED);
	if (j->on_cancel == COOP_ON_CANCEL_ABANDON)
		return abandon(cp_rt, j);
	if (j->on_cancel == COOP_ON_CANCEL_INTERRUPT)
		interrupt(j);
	return false;
}

/* Runs what the thread wants run, in the frame and in the scopes of its task. */
static void serve_call(struct cp_rt *rt, struct job *j)
{
	struct coop_error *err = cp_err_slot_aside(&rt->body->err);
	struct job **at = &serving;
	struct call *call = j->call;
	int r;

	j->next_serving = serving;
	serving = j;
	r = call->fn(call->arg);
	while (*at != j)
		at = &(*at)->next_serving;
	*at = j->next_serving;
	rt->working++;
	answer(call, r, cp_err_slot_aside(&rt->body->err));
	cp_err_slot_back(&rt->body->err, err);
}

/* Until the thread is done. */
static enum outcome await(struct cp_rt *rt, struct job *j)
{
	struct awaiting a = { .job = j };
	int r;

	for (;;) {
		a.wait = (struct cp_wait){ .abort = await_abort, .what = "coop_offload" };
		r = cp_park(rt, &a.wait);
		if (r == ENDED)
			return IS_DONE;
		if (r == COOP_ECANCELED)
			break;
		serve_call(rt, j);
		/* A cancel that has come meanwhile found the task elsewhere. */
		if (coop_cancelled() && await_abort(&a.wait))
			break;
	}
	cp_ignored(rt);
	return a.taken_back ? NOT_BEGUN : IS_GONE;
}

/* ------------------------------------------------------------------------- the call */

static int check(const struct coop_offload_opts *o)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < CP_ARRAY_LEN(o->_reserved); i++)
		sum |= o->_reserved[i];
	if (sum || (unsigned)o->lane >= COOP_LANES ||
	    (unsigned)o->on_cancel > COOP_ON_CANCEL_INTERRUPT)
		return -EINVAL;
	return (o->on_cancel == COOP_ON_CANCEL_ABANDON) == (o->late != NULL) ? 0 : -EINVAL;
}

/* A token for the job; one of the job that this task is called back from will do. */
static int take_token(struct cp_rt *rt, struct job *j, struct coop_limiter *limiter)
{
	int r;

	j->asked = limiter;
	if (!limiter)
		return 0;
	for (const struct job *s = serving; s; s = s->next_serving)
		if (s->task == rt->cur && s->asked == limiter)
			return 0;
	r = coop_limiter_try_acquire_for(limiter, &j->borrower);
	if (r == -EAGAIN)
		r = coop_limiter_acquire_for(limiter, &j->borrower);
	if (r >= 0)
		j->limiter = limiter;
	return r;
}

static int fill(struct cp_rt *rt, struct job *j, const struct coop_offload_opts *o)
{
	j->work = (struct cp_work){ .lane = o->lane, .run = run_job, .done = job_done };
	j->post.arrived = arrived;
	j->on_cancel = o->on_cancel;
	j->late = o->late;
	j->task = rt->cur;
	j->inbox = cp_inbox_of(rt);
	if (!j->inbox)
		return -ENOMEM;
	if (o->on_cancel == COOP_ON_CANCEL_INTERRUPT)
		return interrupt_prepare();
	return 0;
}

/* The thread is done: what it has returned is the task's. */
static int take_result(struct cp_rt *rt, struct job *j)
{
	if (j->err && j->rc < 0) {
		cp_err_slot_drop(&rt->body->err);
		rt->body->err = j->err;
	} else {
		coop_error_unref(j->err);
	}
	return j->rc;
}

static int submit(struct cp_rt *rt, struct job *j, struct coop_limiter *limiter,
		  enum outcome *ret_outcome)
{
	int r = take_token(rt, j, limiter);

	*ret_outcome = NOT_BEGUN;
	if (r < 0)
		return r;
	r = cp_pool_submit(&j->work);
	if (r >= 0) {
		rt->working++;
		*ret_outcome = await(rt, j);
		if (*ret_outcome == IS_GONE)
			return COOP_ECANCELED;
		r = *ret_outcome == IS_DONE ? take_result(rt, j) : COOP_ECANCELED;
	}
	give_token_back(j);
	return r;
}

/* The job in the frame of the call, which stays until the thread is done. */
static int offload_here(struct cp_rt *rt, coop_fn *fn, void *arg, const struct coop_offload_opts *o,
			const char *site)
{
	struct job j = { .fn = fn, .arg = arg, .site = site, .locals = rt->body->locals };
	enum outcome outcome;
	int r = fill(rt, &j, o);

	return r < 0 ? r : submit(rt, &j, o->limiter, &outcome);
}

/* A job that may be abandoned, with a list of what is bound and a hold on the inbox. */
static int offload_apart(struct cp_rt *rt, coop_fn *fn, void *arg,
			 const struct coop_offload_opts *o, const char *site)
{
	struct job *j = cp_calloc(1, sizeof *j);
	enum outcome outcome;
	int r;

	if (!j)
		return -ENOMEM;
	*j = (struct job){ .fn = fn, .arg = arg, .site = site };
	r = fill(rt, j, o);
	if (r >= 0)
		r = cp_local_copy(rt->body->locals, &j->locals);
	if (r < 0) {
		cp_free(j);
		return r;
	}
	cp_inbox_ref(j->inbox);
	r = submit(rt, j, o->limiter, &outcome);
	if (outcome != IS_GONE)
		job_free(j);
	if (outcome == NOT_BEGUN && r == COOP_ECANCELED)
		o->late(arg, r);
	return r;
}

int cp_offload_file(struct cp_rt *rt, coop_fn *fn, void *arg)
{
	static const struct coop_offload_opts opts = { .lane = COOP_LANE_FS };

	return offload_here(rt, fn, arg, &opts, "file\0" COOP_HERE);
}

int coop_offload_at(coop_fn *fn, void *arg, const struct coop_offload_opts *opts, const char *site)
{
	static const struct coop_offload_opts none;
	const struct coop_offload_opts *o = opts ? opts : &none;
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_offload");
	r = fn ? check(o) : -EINVAL;
	r = r < 0 ? cp_refuse(r) : cp_cancel_point(rt);
	if (r == COOP_ECANCELED && o->late)
		o->late(arg, r);
	if (r < 0)
		return r;
	return o->late ? offload_apart(rt, fn, arg, o, site) : offload_here(rt, fn, arg, o, site);
}
