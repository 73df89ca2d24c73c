/* SPDX-License-Identifier: MIT */
/*
 * Capacity limiters: so many borrowers at once, and one may not borrow twice.
 *
 * The borrower is the running task, whose token is a share in its body; or a struct coop_borrower
 * of the program's, which stands for whatever it likes and whose token anybody may give back.
 * Nothing is allocated, and there is no table of borrowers to search.
 *
 * Invariants
 *   1. While somebody waits, _borrowed >= _total. A token that is given back is the first
 *      waiter's at once; so are those that come with a higher total.
 *   2. _borrowed may be above _total, after it was lowered: nobody gets in until it is below.
 *   3. A task that ends gives its token back, with a line in the log.
 */
#include "sync/sync.h"

enum { IDLE, WAITS, BORROWS }; /* a borrower's _state */

struct limiter_wait {
	struct cp_queue_wait w;
	struct coop_borrower *borrower; /* NULL: the task */
};

CP_INLINE struct cp_queue *queue_of(const struct coop_limiter *limiter)
{
	return (struct cp_queue *)limiter->_queue;
}

/* --------------------------------------------------------------------- tokens */

static void task_ended(struct cp_rt *rt, struct cp_held *held);

static void lend(struct coop_limiter *limiter, struct cp_body *b, struct coop_borrower *borrower)
{
	limiter->_borrowed++;
	if (borrower)
		borrower->_state = BORROWS;
	else
		cp_hold_take(b, limiter, NULL, task_ended);
}

static void serve(struct cp_rt *rt, struct coop_limiter *limiter)
{
	while (limiter->_borrowed < limiter->_total) {
		struct cp_waiter *e = cp_queue_take(queue_of(limiter));

		if (!e)
			return;
		lend(limiter, e->task->body,
		     CP_CONTAINER_OF(e, struct limiter_wait, w.entry)->borrower);
		cp_wake(rt, e->task, 0);
	}
}

static void take_back(struct cp_rt *rt, struct coop_limiter *limiter)
{
	limiter->_borrowed--;
	serve(rt, limiter);
}

static CP_COLD void task_ended(struct cp_rt *rt, struct cp_held *held)
{
	char path[160];

	cp_task_path(rt->cur, path, sizeof path);
	coop_log(COOP_LOG_WARN, "task %s ended without giving its token back", path);
	take_back(rt, CP_CONTAINER_OF(held, struct cp_hold, held)->of);
}

static bool wait_abort(struct cp_wait *wait)
{
	struct limiter_wait *w = CP_CONTAINER_OF(wait, struct limiter_wait, w.wait);

	if (w->borrower)
		*w->borrower = (struct coop_borrower)COOP_BORROWER_INIT;
	return cp_queue_abort(wait);
}

/* -------------------------------------------------------------------- borrowing */

/* 0: borrowed; -EAGAIN: it has to wait; or an error. */
static int borrow(struct cp_rt *rt, struct coop_limiter *limiter, struct coop_borrower *borrower)
{
	int r = cp_sync_home(&limiter->_home, rt);

	if (r < 0)
		return r;
	if (borrower ? borrower->_state != IDLE : !!cp_hold_find(rt->body, limiter))
		return -EALREADY;
	if (!borrower && !cp_hold_room(rt->body))
		return -ENOSPC;
	if (limiter->_borrowed >= limiter->_total)
		return -EAGAIN;
	if (borrower)
		borrower->_limiter = limiter;
	lend(limiter, rt->body, borrower);
	return 0;
}

static int acquire(struct coop_limiter *limiter, struct coop_borrower *borrower, const char *call,
		   const void *fp)
{
	struct cp_rt *rt = cp_in_task();
	struct limiter_wait w;
	int r;

	if (!rt)
		return cp_no_task();
	cp_check_frames(rt->body, fp, call);
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	r = borrow(rt, limiter, borrower);
	if (r != -EAGAIN) {
		cp_schedule_point(rt);
		return r;
	}
	if (borrower)
		*borrower = (struct coop_borrower){ ._limiter = limiter, ._state = WAITS };
	cp_sync_fill(&w.w.wait, call);
	w.w.wait.abort = wait_abort;
	w.borrower = borrower;
	return cp_queue_park(rt, queue_of(limiter), &w.w);
}

int coop_limiter_acquire(struct coop_limiter *limiter)
{
	return acquire(limiter, NULL, "coop_limiter_acquire", __builtin_frame_address(0));
}

int coop_limiter_acquire_for(struct coop_limiter *limiter, struct coop_borrower *borrower)
{
	if (!borrower)
		return cp_refuse(-EINVAL);
	return acquire(limiter, borrower, "coop_limiter_acquire_for", __builtin_frame_address(0));
}

int coop_limiter_try_acquire(struct coop_limiter *limiter)
{
	struct cp_rt *rt = cp_in_task();

	return rt ? borrow(rt, limiter, NULL) : cp_no_task();
}

int coop_limiter_try_acquire_for(struct coop_limiter *limiter, struct coop_borrower *borrower)
{
	struct cp_rt *rt = cp_in_task();

	if (!borrower)
		return -EINVAL;
	return rt ? borrow(rt, limiter, borrower) : cp_no_task();
}

/* ------------------------------------------------------------------ giving back */

int coop_limiter_release(struct coop_limiter *limiter)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_hold *hold;

	if (!rt)
		return cp_no_task();
	hold = cp_hold_find(rt->body, limiter);
	if (!hold)
		return -EPERM;
	cp_hold_drop(rt->body, hold);
	take_back(rt, limiter);
	return 0;
}

int coop_limiter_release_for(struct coop_limiter *limiter, struct coop_borrower *borrower)
{
	struct cp_rt *rt = cp_rt;
	int r;

	if (!borrower)
		return -EINVAL;
	if (!rt)
		return cp_no_task();
	r = cp_sync_home(&limiter->_home, rt);
	if (r < 0)
		return r;
	if (borrower->_limiter != limiter || borrower->_state != BORROWS)
		return -EPERM;
	*borrower = (struct coop_borrower)COOP_BORROWER_INIT;
	take_back(rt, limiter);
	return 0;
}

int coop_limiter_set_total(struct coop_limiter *limiter, uint32_t total)
{
	struct cp_rt *rt = cp_rt;
	int r;

	if (!rt)
		return cp_no_task();
	r = cp_sync_home(&limiter->_home, rt);
	if (r < 0)
		return r;
	limiter->_total = total;
	serve(rt, limiter);
	return 0;
}

int coop_limiter_stats(const struct coop_limiter *limiter, struct coop_limiter_stats *ret_stats)
{
	int r = cp_sync_look(limiter->_home);

	if (r < 0)
		return r;
	*ret_stats = (struct coop_limiter_stats){ .total = limiter->_total,
						  .borrowed = limiter->_borrowed,
						  .waiting = cp_sync_waiting(queue_of(limiter)) };
	return 0;
}

void coop_limiter_deinit(struct coop_limiter *limiter)
{
	if (!limiter)
		return;
	if (cp_queue_empty(queue_of(limiter)) && limiter->_borrowed)
		cp_sync_die("coop_limiter_deinit", cp_sync_holder(limiter), "has borrowed from it");
	cp_sync_deinit(&limiter->_home, queue_of(limiter), "coop_limiter_deinit");
}
