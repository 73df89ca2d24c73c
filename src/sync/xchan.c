/* SPDX-License-Identifier: MIT */
/*
 * Channels between threads.
 *
 * A ring, and two queues of those who wait, under one lock that is held for a copy at most. Who
 * waits has a *waiter* in its frame with the place of its value; whoever completes it copies the
 * value from frame to frame, or through the ring, takes the waiter out and settles it, all under
 * the lock. Then, without the lock, it is woken: a thread by the word that it sleeps on, a task by
 * a post to the inbox of its run, or at once where that is the caller's own.
 *
 * Invariants, under the lock
 *   1. Nobody waits to receive while there is a value, in the ring or with a sender; nobody waits
 *      to send while the ring has room.
 *   2. A waiter is in a queue, or it is settled and its value is where it belongs. A cancel, or the
 *      end of a thread's time, takes it out; if it is settled by then, completion has won.
 *   3. The frame of a settled waiter stays until it has been woken.
 *   4. Once closed, nothing is put into the ring and nobody waits to send.
 *
 * A select waits beside the queues, see xchan_case.c: who finds nobody in a queue to give a value
 * to, or to take one from, meets one of the selects if there is no buffer. If there is, the value
 * or the place is left there, and one of them is told of it, which comes and tries.
 *
 * In a forked child there is a copy, where those who wait are not, and whose lock may be taken for
 * ever. So nothing passes there, and nobody takes the lock.
 */
#include "sync/xchan.h"

#include "base/forks.h"

#include <errno.h>

/* In the frame of a task that waits. */
struct xwait {
	struct cp_wait wait;
	struct coop_xchan *x;
	struct xwaiter waiter;
};

static bool is_forked(const struct coop_xchan *x)
{
	return x->forks != cp_forks();
}

/* ------------------------------------------------------------------------ the queues */

static void enqueue(struct xqueue *q, struct xwaiter *w)
{
	w->queue = q;
	w->next = NULL;
	w->prev = q->last;
	*(w->prev ? &w->prev->next : &q->first) = w;
	q->last = w;
	q->count++;
}

static void take_out(struct xwaiter *w)
{
	struct xqueue *q = w->queue;

	*(w->prev ? &w->prev->next : &q->first) = w->next;
	*(w->next ? &w->next->prev : &q->last) = w->prev;
	w->queue = NULL;
	q->count--;
}

/* The first of `q`, settled; or NULL. */
static struct xwaiter *settle_first(struct xqueue *q, int result)
{
	struct xwaiter *w = q->first;

	if (!w)
		return NULL;
	take_out(w);
	w->result = result;
	return w;
}

/* Without the lock. NULL is fine; else `w` may be gone when this returns. */
static void wake(struct xwaiter *w)
{
	if (!w)
		return;
	if (!w->inbox) {
		/* Pairs with the acquire in block(). */
		__atomic_store_n(&w->woken, 1, __ATOMIC_RELEASE);
		cp_os_futex_wake(&w->woken, 1);
	} else if (cp_inbox_is_of(w->inbox, cp_rt)) {
		cp_wake(cp_rt, w->task, w->result);
	} else {
		int r = cp_post(w->inbox, &w->post);

		CP_ASSERT(r == 0); /* its run does not end while it waits */
	}
}

void cp_xchan_wake(const struct xtold *told)
{
	wake(told->waiter);
	if (CP_UNLIKELY(told->lookouts != NULL))
		cp_xlookout_post(told->lookouts);
}

static void arrived(struct cp_rt *rt, struct cp_post *post)
{
	struct xwaiter *w = CP_CONTAINER_OF(post, struct xwaiter, post);

	cp_wake(rt, w->task, w->result);
}

/* ------------------------------------------------------------------------- the ring */

static void *slot(struct coop_xchan *x, size_t i)
{
	return x->ring + (x->head + i) % x->stats.cap * x->stats.item_bytes;
}

static void put(struct coop_xchan *x, const void *item)
{
	cp_item_copy(slot(x, x->stats.used), item, x->stats.item_bytes);
	if (++x->stats.used > x->stats.peak)
		x->stats.peak = x->stats.used;
	x->stats.sent++;
}

static void get(struct coop_xchan *x, void *ret_item)
{
	cp_item_copy(ret_item, slot(x, 0), x->stats.item_bytes);
	x->head = (x->head + 1) % x->stats.cap;
	x->stats.used--;
	x->stats.received++;
}

/* -------------------------------------------------------------- what needs no waiting */

/* 0, -EAGAIN or COOP_ECLOSED. Locked. */
static int send_now(struct coop_xchan *x, const void *item, struct xtold *told)
{
	struct xwaiter *w;

	if (x->stats.closed)
		return COOP_ECLOSED;
	w = settle_first(&x->receivers, 0);
	if (w) {
		cp_item_copy(w->item, item, x->stats.item_bytes);
		x->stats.sent++;
		x->stats.received++;
		told->waiter = w;
		return 0;
	}
	if (x->stats.used == x->stats.cap)
		return -EAGAIN;
	put(x, item);
	cp_xlookout_tell(&x->receives, told);
	return 0;
}

/* The same for a value: 0, -EAGAIN or COOP_EOF. Locked. */
static int recv_now(struct coop_xchan *x, void *ret_item, struct xtold *told)
{
	struct xwaiter *w;

	if (x->stats.used) {
		get(x, ret_item);
		w = settle_first(&x->senders, 0);
		if (w)
			put(x, w->item); /* whose the free place is */
		else
			cp_xlookout_tell(&x->sends, told);
		told->waiter = w;
		return 0;
	}
	w = settle_first(&x->senders, 0);
	if (w) {
		cp_item_copy(ret_item, w->item, x->stats.item_bytes);
		x->stats.sent++;
		x->stats.received++;
		told->waiter = w;
		return 0;
	}
	return x->stats.closed ? COOP_EOF : -EAGAIN;
}

int cp_xchan_now(struct coop_xchan *x, struct xqueue *q, void *item, struct xtold *told)
{
	return q == &x->senders ? send_now(x, item, told) : recv_now(x, item, told);
}

/* The same, and with those who wait in a select. */
static int now_or_meet(struct coop_xchan *x, struct xqueue *q, void *item, struct xtold *told)
{
	int r = cp_xchan_now(x, q, item, told);

	return r == -EAGAIN && !x->stats.cap ? cp_xlookout_meet(x, q, item, told) : r;
}

int cp_xchan_try(struct coop_xchan *x, struct xqueue *q, void *item)
{
	struct xtold told = { NULL, NULL };
	int r;

	if (CP_UNLIKELY(is_forked(x)))
		return COOP_EFORK;
	cp_xchan_lock(x);
	r = now_or_meet(x, q, item, &told);
	cp_xchan_unlock(x);
	cp_xchan_wake(&told);
	return r;
}

/* As cp_xchan_try; but where it would have to wait, `w` is queued. */
static int now_or_enqueue(struct coop_xchan *x, struct xqueue *q, struct xwaiter *w)
{
	struct xtold told = { NULL, NULL };
	int r;

	if (CP_UNLIKELY(is_forked(x)))
		return COOP_EFORK;
	cp_xchan_lock(x);
	r = now_or_meet(x, q, w->item, &told);
	if (r == -EAGAIN) {
		enqueue(q, w);
		cp_xlookout_tell(q == &x->senders ? &x->receives : &x->sends, &told);
	}
	cp_xchan_unlock(x);
	cp_xchan_wake(&told);
	return r;
}

/* The waiter goes; false if it has been settled, and is going to be woken. */
static bool leave(struct coop_xchan *x, struct xwaiter *w)
{
	bool waits;

	cp_xchan_lock(x);
	waits = w->queue != NULL;
	if (waits)
		take_out(w);
	cp_xchan_unlock(x);
	return waits;
}

/* --------------------------------------------------------------------------- in a task */

static bool xwait_abort(struct cp_wait *wait)
{
	struct xwait *w = CP_CONTAINER_OF(wait, struct xwait, wait);

	return leave(w->x, &w->waiter);
}

static int task_wait(struct cp_rt *rt, struct coop_xchan *x, struct xqueue *q, void *item,
		     const char *what)
{
	struct xwait w = { .wait = { .abort = xwait_abort, .what = what, .on = x }, .x = x };
	int r;

	w.waiter = (struct xwaiter){ .item = item,
				     .inbox = cp_inbox_of(rt),
				     .post = { .arrived = arrived },
				     .task = rt->cur };
	if (!w.waiter.inbox)
		return -ENOMEM;
	r = now_or_enqueue(x, q, &w.waiter);
	if (r != -EAGAIN) {
		cp_schedule_point(rt);
		return r;
	}
	rt->external++;
	r = cp_park(rt, &w.wait);
	rt->external--;
	if (r == COOP_ECANCELED)
		cp_ignored(rt);
	return r;
}

static int in_task(struct coop_xchan *x, struct xqueue *q, void *item, const char *what,
		   const void *fp)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	cp_check_frames(rt->body, fp, what);
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	r = cp_xchan_try(x, q, item);
	if (r == -EAGAIN)
		return task_wait(rt, x, q, item, what);
	cp_schedule_point(rt);
	return r;
}

int coop_xchan_send(struct coop_xchan *xchan, const void *item)
{
	return in_task(xchan, &xchan->senders, (void *)(uintptr_t)item, "coop_xchan_send",
		       __builtin_frame_address(0));
}

int coop_xchan_recv(struct coop_xchan *xchan, void *ret_item)
{
	return in_task(xchan, &xchan->receivers, ret_item, "coop_xchan_recv",
		       __builtin_frame_address(0));
}

/* ------------------------------------------------------------------------- in a thread */

int coop_xchan_try_send(struct coop_xchan *xchan, const void *item)
{
	return cp_xchan_try(xchan, &xchan->senders, (void *)(uintptr_t)item);
}

int coop_xchan_try_recv(struct coop_xchan *xchan, void *ret_item)
{
	return cp_xchan_try(xchan, &xchan->receivers, ret_item);
}

/* Until the waiter is woken: its result; COOP_ETIMEDOUT if it is not in time. */
static int block(struct coop_xchan *x, struct xwaiter *w, int64_t timeout_ns)
{
	int64_t until =
		timeout_ns == COOP_NEVER ? COOP_NEVER : cp_time_add(cp_os_now_ns(), timeout_ns);

	while (!__atomic_load_n(&w->woken, __ATOMIC_ACQUIRE)) {
		int64_t left = until == COOP_NEVER ? -1 : until - cp_os_now_ns();

		if (until != COOP_NEVER && left <= 0) {
			if (leave(x, w))
				return COOP_ETIMEDOUT;
			until = COOP_NEVER; /* settled: whoever did it wakes us at once */
			continue;
		}
		(void)cp_os_futex_wait(&w->woken, 0, left);
	}
	return w->result;
}

static int in_thread(struct coop_xchan *x, struct xqueue *q, void *item, int64_t timeout_ns)
{
	struct xwaiter w = { .item = item };
	int r;

	if (timeout_ns < 0)
		return -EINVAL;
	if (cp_rt)
		return COOP_EWRONGTHREAD;
	r = now_or_enqueue(x, q, &w);
	return r == -EAGAIN ? block(x, &w, timeout_ns) : r;
}

int coop_xchan_send_thread(struct coop_xchan *xchan, const void *item, int64_t timeout_ns)
{
	return in_thread(xchan, &xchan->senders, (void *)(uintptr_t)item, timeout_ns);
}

int coop_xchan_recv_thread(struct coop_xchan *xchan, void *ret_item, int64_t timeout_ns)
{
	return in_thread(xchan, &xchan->receivers, ret_item, timeout_ns);
}

/* ------------------------------------------------------------------- making and ending */

static int check(size_t item_bytes, const struct coop_xchan_opts *opts)
{
	uint64_t sum = 0;

	if (item_bytes > COOP_CHAN_ITEM_MAX)
		return -EMSGSIZE;
	for (size_t i = 0; i < CP_ARRAY_LEN(opts->_reserved); i++)
		sum |= opts->_reserved[i];
	return sum || opts->cap > COOP_CHAN_CAP_MAX ? -EINVAL : 0;
}

int coop_xchan_new(size_t item_bytes, const struct coop_xchan_opts *opts,
		   struct coop_xchan **ret_xchan)
{
	static const struct coop_xchan_opts none;
	static const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;
	struct coop_xchan *x;
	int r;

	if (!opts)
		opts = &none;
	r = check(item_bytes, opts);
	if (r < 0)
		return r;
	x = cp_calloc(1, sizeof *x + item_bytes * opts->cap);
	if (!x)
		return -ENOMEM;
	x->refs = 1;
	x->forks = cp_forks();
	x->lock = unlocked;
	x->opts = *opts;
	x->stats.item_bytes = item_bytes;
	x->stats.cap = opts->cap;
	*ret_xchan = x;
	return 0;
}

struct coop_xchan *coop_xchan_ref(struct coop_xchan *xchan)
{
	if (xchan)
		__atomic_fetch_add(&xchan->refs, 1, __ATOMIC_RELAXED);
	return xchan;
}

/* What is in the ring, which nobody can reach or fill any more. */
static void destroy_values(struct coop_xchan *x, uint32_t count)
{
	for (uint32_t i = 0; i < count && x->opts.destroy; i++)
		x->opts.destroy(slot(x, i), x->opts.ctx);
}

struct coop_xchan *coop_xchan_unref(struct coop_xchan *xchan)
{
	if (!xchan || __atomic_fetch_sub(&xchan->refs, 1, __ATOMIC_ACQ_REL) != 1)
		return NULL;
	if (!is_forked(xchan) && (xchan->senders.first || xchan->receivers.first ||
				  xchan->sends.count || xchan->receives.count))
		cp_die("coop_xchan_unref: somebody waits at the channel without owning it");
	destroy_values(xchan, xchan->stats.used);
	cp_free(xchan);
	return NULL;
}

static void wake_all(struct xwaiter *w)
{
	while (w) {
		struct xwaiter *next = w->next; /* it may be gone once it is woken */

		wake(w);
		w = next;
	}
}

/* Everybody in `q` is settled; the first of them, linked by `next`. Locked. */
static struct xwaiter *settle_all(struct xqueue *q, int result)
{
	struct xwaiter *first = q->first;

	for (struct xwaiter *w = first; w; w = w->next) {
		w->queue = NULL;
		w->result = result;
	}
	*q = (struct xqueue){ NULL, NULL, 0 };
	return first;
}

int coop_xchan_close(struct coop_xchan *xchan, bool immediate)
{
	struct xtold told = { NULL, NULL };
	struct xwaiter *senders, *receivers;
	uint32_t dropped = 0;
	bool was;

	if (is_forked(xchan))
		return 1;
	cp_xchan_lock(xchan);
	was = xchan->stats.closed;
	xchan->stats.closed = true;
	senders = settle_all(&xchan->senders, COOP_ECLOSED);
	receivers = settle_all(&xchan->receivers, COOP_EOF); /* they wait: there is no value */
	cp_xlookout_tell_all(&xchan->sends, &told);
	cp_xlookout_tell_all(&xchan->receives, &told);
	if (immediate) {
		dropped = xchan->stats.used;
		xchan->stats.used = 0;
		xchan->stats.destroyed += dropped;
	}
	cp_xchan_unlock(xchan);
	wake_all(senders);
	wake_all(receivers);
	cp_xchan_wake(&told);
	destroy_values(xchan, dropped);
	return was ? 1 : 0;
}

void coop_xchan_stats(struct coop_xchan *xchan, struct coop_xchan_stats *ret_stats)
{
	bool whole = !is_forked(xchan);

	if (whole)
		cp_xchan_lock(xchan);
	*ret_stats = xchan->stats;
	ret_stats->senders = xchan->senders.count + xchan->sends.count;
	ret_stats->receivers = xchan->receivers.count + xchan->receives.count;
	if (whole)
		cp_xchan_unlock(xchan);
}
