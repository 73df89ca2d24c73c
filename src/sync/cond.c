/* SPDX-License-Identifier: MIT */
/*
 * Conditions: to give a mutex up, wait to be notified, and have the mutex again.
 *
 * A notify wakes nobody: it moves the first waiters from the queue of the condition to the queue of
 * the mutex, which the notifier owns. They wake one by one as the mutex is handed over, so none
 * wakes only to wait again.
 *
 * Invariants
 *   1. Whoever is in the queue of the condition has given the mutex up there, and will have it
 *      again when its wait returns, notified or cancelled; save that the mutex is dead.
 *   2. A waiter is notified when it leaves the condition's queue by a notify; a cancel that comes
 *      later changes nothing. One that was cancelled before has left the queue, and the notify
 *      goes to the next. So no notification is lost.
 *   3. Getting the mutex back cannot be interrupted.
 */
#include "sync/mutex.h"

struct cond_wait {
	struct cp_mutex_wait m;
	struct coop_cond *cond;
};

CP_INLINE struct cp_queue *queue_of(const struct coop_cond *cond)
{
	return (struct cp_queue *)cond->_queue;
}

/* The wait will end with a cancel, but later: what cp_deliver notes of one that ends now. */
static void delivered_later(struct cp_wait *wait)
{
	struct cp_body *b = wait->task->body;

	b->blocked_what = wait->what;
	b->blocked_ns = 0;
	cp_rt->cancels_delivered++;
}

static bool wait_abort(struct cp_wait *wait)
{
	struct cond_wait *w = CP_CONTAINER_OF(wait, struct cond_wait, m.w.wait);

	cp_queue_remove(&w->m.w.entry);
	w->m.result = COOP_ECANCELED;
	switch (cp_mutex_requeue(w->cond->_mutex, &w->m)) {
	case CP_MUTEX_TAKEN: return true;
	case CP_MUTEX_QUEUED: delivered_later(wait); return false;
	case CP_MUTEX_DEAD: break;
	}
	cp_mutex_tell_dead(cp_rt, w->cond->_mutex, &w->m);
	return false;
}

/* The runtime, and that the running task owns the mutex; else NULL, and *ret_r says why. */
static struct cp_rt *check(struct coop_cond *cond, int *ret_r)
{
	struct cp_rt *rt = cp_in_task();

	if (!rt) {
		*ret_r = cp_no_task();
		return NULL;
	}
	*ret_r = cond->_mutex ? cp_sync_home(&cond->_home, rt) : -EINVAL;
	if (*ret_r == 0 && !cp_mutex_mine(cond->_mutex, rt))
		*ret_r = -EPERM;
	return *ret_r < 0 ? NULL : rt;
}

int coop_cond_wait(struct coop_cond *cond)
{
	struct cond_wait w;
	struct cp_rt *rt;
	int r;

	rt = check(cond, &r);
	if (!rt)
		return r;
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_cond_wait");
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	cp_sync_fill(&w.m.w.wait, "coop_cond_wait");
	w.m.w.wait.abort = wait_abort;
	w.m.w.entry.task = rt->cur;
	w.m.w.entry.chosen = NULL;
	w.m.result = 0;
	w.cond = cond;
	cp_queue_append(queue_of(cond), &w.m.w.entry);
	cp_mutex_give(rt, cond->_mutex);
	r = cp_park(rt, &w.m.w.wait);
	if (r == COOP_ECANCELED)
		cp_ignored(rt);
	return r == COOP_EOWNERDEAD ? cp_sync_owner_dead(w.m.ended_site, w.m.ended_id) : r;
}

int coop_cond_notify(struct coop_cond *cond, uint32_t count)
{
	struct cp_waiter *e;
	struct cp_rt *rt;
	uint32_t n = 0;
	int r;

	rt = check(cond, &r);
	if (!rt)
		return r;
	for (; n < count && n < INT32_MAX && (e = cp_queue_take(queue_of(cond))); n++)
		cp_mutex_requeue(cond->_mutex, CP_CONTAINER_OF(e, struct cp_mutex_wait, w.entry));
	return (int)n;
}

int coop_cond_notify_all(struct coop_cond *cond)
{
	return coop_cond_notify(cond, UINT32_MAX);
}

int coop_cond_stats(const struct coop_cond *cond, struct coop_cond_stats *ret_stats)
{
	int r = cp_sync_look(cond->_home);

	if (r < 0)
		return r;
	*ret_stats = (struct coop_cond_stats){ .waiting = cp_sync_waiting(queue_of(cond)) };
	return 0;
}

void coop_cond_deinit(struct coop_cond *cond)
{
	if (cond)
		cp_sync_deinit(&cond->_home, queue_of(cond), "coop_cond_deinit");
}
