/* SPDX-License-Identifier: MIT */
/*
 * Latches: a count of what is still to be done, and those who wait until it is 0.
 *
 * Invariant: while the count is 0, nobody waits.
 */
#include "sync/sync.h"

CP_INLINE struct cp_queue *queue_of(const struct coop_latch *latch)
{
	return (struct cp_queue *)latch->_queue;
}

int coop_latch_add(struct coop_latch *latch, uint32_t count)
{
	struct cp_rt *rt = cp_rt;
	int r;

	if (!rt)
		return cp_no_task();
	r = cp_sync_home(&latch->_home, rt);
	if (r < 0)
		return r;
	if (count > UINT32_MAX - latch->_count)
		return -EOVERFLOW;
	latch->_count += count;
	return 0;
}

int coop_latch_done(struct coop_latch *latch)
{
	struct cp_rt *rt = cp_rt;
	int r;

	if (!rt)
		return cp_no_task();
	r = cp_sync_home(&latch->_home, rt);
	if (r < 0)
		return r;
	if (!latch->_count)
		return -EOVERFLOW;
	if (--latch->_count)
		return 0;
	while (cp_queue_wake(rt, queue_of(latch), 0))
		;
	return 0;
}

int coop_latch_wait(struct coop_latch *latch)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_latch_wait");
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	r = cp_sync_home(&latch->_home, rt);
	if (r < 0)
		return cp_sync_refused(rt, r);
	if (latch->_count)
		return cp_sync_wait(rt, queue_of(latch), "coop_latch_wait");
	cp_schedule_point(rt);
	return 0;
}

int coop_latch_stats(const struct coop_latch *latch, struct coop_latch_stats *ret_stats)
{
	int r = cp_sync_look(latch->_home);

	if (r < 0)
		return r;
	*ret_stats = (struct coop_latch_stats){ .count = latch->_count,
						.waiting = cp_sync_waiting(queue_of(latch)) };
	return 0;
}

void coop_latch_deinit(struct coop_latch *latch)
{
	if (latch)
		cp_sync_deinit(&latch->_home, queue_of(latch), "coop_latch_deinit");
}
