/* SPDX-License-Identifier: MIT */
/*
 * Barriers: so many tasks wait until all of them are there.
 *
 * Invariants
 *   1. _arrived is the length of the queue, and less than _parties.
 *   2. The last one to come empties the queue at once: those whom it has woken have left,
 *      and whoever comes before they have run is of the next round.
 *   3. A waiter that is cancelled has not been there; the barrier goes on without it.
 */
#include "sync/sync.h"

CP_INLINE struct cp_queue *queue_of(const struct coop_barrier *barrier)
{
	return (struct cp_queue *)barrier->_queue;
}

static bool wait_abort(struct cp_wait *wait)
{
	struct cp_queue_wait *w = CP_CONTAINER_OF(wait, struct cp_queue_wait, wait);

	((struct coop_barrier *)(uintptr_t)wait->on)->_arrived--;
	cp_queue_remove(&w->entry);
	return true;
}

/* All who wait leave, in order, with the numbers 0, 1, ... or with an error. */
static int release(struct cp_rt *rt, struct coop_barrier *barrier, int error)
{
	int n = 0;

	while (cp_queue_wake(rt, queue_of(barrier), error < 0 ? error : n))
		n++;
	barrier->_arrived = 0;
	return n;
}

static int check(struct coop_barrier *barrier, struct cp_rt *rt)
{
	return barrier->_parties - 1 >= INT32_MAX ? -EINVAL : cp_sync_home(&barrier->_home, rt);
}

int coop_barrier_wait(struct coop_barrier *barrier)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_queue_wait w;
	int r;

	if (!rt)
		return cp_no_task();
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_barrier_wait");
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	r = check(barrier, rt);
	if (r < 0)
		return cp_sync_refused(rt, r);
	if (barrier->_broken)
		return cp_sync_refused(rt, COOP_EBROKEN);
	if (barrier->_arrived + 1 == barrier->_parties) {
		r = release(rt, barrier, 0);
		cp_schedule_point(rt);
		return r;
	}
	barrier->_arrived++;
	cp_sync_fill(&w.wait, "coop_barrier_wait");
	w.wait.abort = wait_abort;
	w.wait.on = barrier;
	return cp_queue_park(rt, queue_of(barrier), &w);
}

static int break_up(struct coop_barrier *barrier, bool broken)
{
	struct cp_rt *rt = cp_rt;
	int r;

	if (!rt)
		return cp_no_task();
	r = check(barrier, rt);
	if (r < 0)
		return r;
	barrier->_broken = broken;
	return release(rt, barrier, COOP_EBROKEN);
}

int coop_barrier_reset(struct coop_barrier *barrier)
{
	return break_up(barrier, false);
}

int coop_barrier_break(struct coop_barrier *barrier)
{
	return break_up(barrier, true);
}

int coop_barrier_stats(const struct coop_barrier *barrier, struct coop_barrier_stats *ret_stats)
{
	int r = cp_sync_look(barrier->_home);

	if (r < 0)
		return r;
	*ret_stats = (struct coop_barrier_stats){ .parties = barrier->_parties,
						  .waiting = barrier->_arrived,
						  .broken = barrier->_broken };
	return 0;
}

void coop_barrier_deinit(struct coop_barrier *barrier)
{
	if (barrier)
		cp_sync_deinit(&barrier->_home, queue_of(barrier), "coop_barrier_deinit");
}
