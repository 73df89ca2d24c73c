/* SPDX-License-Identifier: MIT */
/* The pool of threads; its head and invariants are in pool.h. */
#include "io/pool.h"

#include "base/forks.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define CP_IDLE_NS COOP_SECONDS(10)
#define CP_DNS_THREADS 8
#define CP_FS_THREADS 16

struct thread {
	struct thread *next; /* of the idle ones */
	struct cp_work *work;
	uint32_t awake; /* atomic: there is work for it */
};

struct lane {
	pthread_mutex_t lock;
	struct cp_work *first, *last; /* wait */
	struct thread *idle;          /* the one that became idle last is first */
	struct coop_lane_stats stats;
};

__thread struct cp_os_alarm cp_pool_alarm;

static struct lane lanes[COOP_LANES];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/*
 * The state at the beginning of a process, and of one that was forked: no threads are there. The
 * locks begin anew with it: threads are started under them, so no fork may wait for one.
 */
static void lanes_init(void)
{
	static const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;

	memset(lanes, 0, sizeof lanes);
	for (size_t i = 0; i < COOP_LANES; i++)
		lanes[i].lock = unlocked;
	lanes[COOP_LANE_USER].stats.limit = 2 * cp_os_cpus();
	lanes[COOP_LANE_DNS].stats.limit = CP_DNS_THREADS;
	lanes[COOP_LANE_FS].stats.limit = CP_FS_THREADS;
}

static struct cp_forked forked = { .child = lanes_init };
CP_FORKED(forked)

static struct lane *lane_lock(enum coop_lane lane)
{
	struct lane *l = &lanes[lane];

	pthread_once(&once, lanes_init);
	pthread_mutex_lock(&l->lock);
	return l;
}

static void lane_unlock(struct lane *l)
{
	pthread_mutex_unlock(&l->lock);
}

/* ------------------------------------------------------------ work that waits */

static void append(struct lane *l, struct cp_work *work)
{
	work->since_ns = cp_os_now_ns();
	work->waits = true;
	work->next = NULL;
	work->prev = l->last;
	*(work->prev ? &work->prev->next : &l->first) = work;
	l->last = work;
	if (++l->stats.queued > l->stats.queued_peak)
		l->stats.queued_peak = l->stats.queued;
}

static void take_out(struct lane *l, struct cp_work *work)
{
	*(work->prev ? &work->prev->next : &l->first) = work->next;
	*(work->next ? &work->next->prev : &l->last) = work->prev;
	work->waits = false;
	l->stats.queued--;
}

/* The first that waits, begun now; NULL if there is none. */
static struct cp_work *take_first(struct lane *l)
{
	struct cp_work *work = l->first;
	int64_t waited;

	if (!work)
		return NULL;
	take_out(l, work);
	waited = cp_os_now_ns() - work->since_ns;
	l->stats.started++;
	l->stats.waited++;
	l->stats.waited_ns += waited;
	if (waited > l->stats.waited_peak_ns)
		l->stats.waited_peak_ns = waited;
	return work;
}

/* ------------------------------------------------------------------- the threads */

/* May one more be at work? */
static bool has_room(const struct lane *l)
{
	return l->stats.threads - l->stats.calling < l->stats.limit;
}

static bool is_too_many(const struct lane *l)
{
	return l->stats.threads - l->stats.calling > l->stats.limit;
}

static void idle_push(struct lane *l, struct thread *t)
{
	t->work = NULL;
	__atomic_store_n(&t->awake, 0, __ATOMIC_RELAXED);
	t->next = l->idle;
	l->idle = t;
	l->stats.idle++;
}

static void idle_remove(struct lane *l, struct thread *t)
{
	struct thread **at = &l->idle;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	l->stats.idle--;
}

static void begin_now(struct lane *l, struct thread *t, struct cp_work *work)
{
	idle_remove(l, t);
	t->work = work;
	l->stats.started++;
	/* Pairs with the acquire in wait_for_work: the work is the thread's. */
	__atomic_store_n(&t->awake, 1, __ATOMIC_RELEASE);
}

/* Until an idle thread has work; NULL: for so long that it is not needed, and no longer counts. */
static struct cp_work *wait_for_work(enum coop_lane lane, struct thread *t)
{
	struct cp_work *work;
	struct lane *l;
	int r = 0;

	while (!__atomic_load_n(&t->awake, __ATOMIC_ACQUIRE)) {
		if (r == -ETIMEDOUT) {
			l = lane_lock(lane);
			work = t->work;
			if (!work && !__atomic_load_n(&t->awake, __ATOMIC_RELAXED)) {
				idle_remove(l, t);
				l->stats.threads--;
			}
			lane_unlock(l);
			return work;
		}
		r = cp_os_futex_wait(&t->awake, 0, CP_IDLE_NS);
	}
	return t->work;
}

/* What the thread does next: *ret_work, or else it is idle from now on. False: it ends. */
static bool choose(enum coop_lane lane, struct thread *t, struct cp_work **ret_work)
{
	struct lane *l = lane_lock(lane);
	bool stays = !is_too_many(l);

	*ret_work = stays ? take_first(l) : NULL;
	if (!stays)
		l->stats.threads--;
	else if (!*ret_work)
		idle_push(l, t);
	lane_unlock(l);
	return stays;
}

/*
 * It is idle, or has chosen, before it tells that its last work is done: whoever answers that with
 * new work finds it there, and on one core does not have to wait until it has gone to sleep.
 */
static void *thread_main(void *arg)
{
	enum coop_lane lane = (enum coop_lane)((struct lane *)arg - lanes);
	struct cp_work *work = NULL, *next;
	struct thread self = { .work = NULL };
	bool stays;

	do {
		stays = choose(lane, &self, &next);
		if (work)
			work->done(work);
		work = stays && !next ? wait_for_work(lane, &self) : next;
		if (work)
			work->run(work);
	} while (work);
	cp_os_alarm_close(&cp_pool_alarm);
	return NULL;
}

/* One more thread, for what waits. The lane is locked, but not while the thread is made. */
static int start_thread(struct lane *l)
{
	int r;

	l->stats.threads++;
	lane_unlock(l);
	r = cp_os_thread_start(thread_main, l, CP_INTERRUPT_SIGNAL);
	pthread_mutex_lock(&l->lock);
	if (r < 0)
		l->stats.threads--;
	else if (l->stats.threads > l->stats.threads_peak)
		l->stats.threads_peak = l->stats.threads;
	return r;
}

/* Of those that are too many the idle ones end at once: they would be given work as the others. */
static void dismiss(struct lane *l)
{
	while (is_too_many(l) && l->idle) {
		struct thread *t = l->idle;

		idle_remove(l, t);
		l->stats.threads--;
		__atomic_store_n(&t->awake, 1, __ATOMIC_RELEASE); /* with no work; it ends */
		cp_os_futex_wake(&t->awake, 1);
	}
}

/* ------------------------------------------------------------------------- work */

int cp_pool_submit(struct cp_work *work)
{
	struct lane *l = lane_lock(work->lane);
	struct thread *t = l->idle;
	int r = 0;

	work->waits = false;
	if (t) {
		begin_now(l, t, work);
		lane_unlock(l);
		cp_os_futex_wake(&t->awake, 1);
		return 0;
	}
	append(l, work);
	if (has_room(l))
		r = start_thread(l);
	if (r < 0 && (!work->waits || l->stats.threads > l->stats.calling))
		r = 0; /* there are others who come to it */
	if (r < 0)
		take_out(l, work);
	lane_unlock(l);
	return r;
}

bool cp_pool_withdraw(struct cp_work *work)
{
	struct lane *l = lane_lock(work->lane);
	bool waits = work->waits;

	if (waits)
		take_out(l, work);
	lane_unlock(l);
	return waits;
}

/* Starts threads for what waits, as far as that is allowed and possible. If it is not, those that
 * there are come to it, one after the other. */
static void serve(struct lane *l)
{
	for (uint32_t n = l->stats.queued; n && l->first && has_room(l); n--)
		if (start_thread(l) < 0)
			return;
}

void cp_pool_calling(enum coop_lane lane, bool calling)
{
	struct lane *l = lane_lock(lane);

	l->stats.calling += calling ? 1u : -1u;
	dismiss(l);
	serve(l);
	lane_unlock(l);
}

/* ------------------------------------------------------------------ public calls */

int coop_lane_stats(enum coop_lane lane, struct coop_lane_stats *ret_stats)
{
	struct lane *l;

	if ((unsigned)lane >= COOP_LANES)
		return -EINVAL;
	l = lane_lock(lane);
	*ret_stats = l->stats;
	lane_unlock(l);
	return 0;
}

int coop_lane_set_limit(enum coop_lane lane, uint32_t limit)
{
	struct lane *l;

	if ((unsigned)lane >= COOP_LANES || !limit)
		return -EINVAL;
	l = lane_lock(lane);
	l->stats.limit = limit;
	dismiss(l);
	serve(l);
	lane_unlock(l);
	return 0;
}
