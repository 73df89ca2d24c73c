/* SPDX-License-Identifier: MIT */
/*
 * Events: a bit that is set once, and those who wait for it.
 *
 * Invariants
 *   1. Once set, the queue is empty for ever.
 *   2. Who was in the queue when it was set has been woken with 0, whatever comes after.
 */
#include "sync/select.h"
#include "sync/sync.h"

CP_INLINE struct cp_queue *queue_of(const struct coop_event *event)
{
	return (struct cp_queue *)event->_queue;
}

int coop_event_set(struct coop_event *event)
{
	struct cp_rt *rt = cp_rt;
	int r;

	if (CP_UNLIKELY(!rt))
		return cp_no_task();
	r = cp_sync_home(&event->_home, rt);
	if (CP_UNLIKELY(r < 0))
		return r;
	if (event->_set)
		return 1;
	event->_set = 1;
	while (cp_select_wake(rt, queue_of(event), 0))
		;
	return 0;
}

static CP_NOINLINE int wait_slow(struct coop_event *event, const void *fp)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	cp_check_frames(rt->body, fp, "coop_event_wait");
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	r = cp_sync_home(&event->_home, rt);
	if (r < 0)
		return cp_sync_refused(rt, r);
	if (!event->_set)
		return cp_sync_wait(rt, queue_of(event), "coop_event_wait");
	cp_schedule_point(rt);
	return 0;
}

int coop_event_wait(struct coop_event *event)
{
	struct cp_rt *rt = cp_in_task();

	if (CP_LIKELY(rt && cp_sync_at_home(event->_home, rt) && event->_set &&
		      !rt->cur->cancelled)) {
		rt->body->cancel_half++;
		cp_schedule_point(rt);
		return 0;
	}
	return wait_slow(event, __builtin_frame_address(0));
}

bool coop_event_is_set(const struct coop_event *event)
{
	return event->_set;
}

int coop_event_stats(const struct coop_event *event, struct coop_event_stats *ret_stats)
{
	int r = cp_sync_look(event->_home);

	if (r < 0)
		return r;
	*ret_stats = (struct coop_event_stats){ .set = event->_set,
						.waiting = cp_sync_waiting(queue_of(event)) };
	return 0;
}

void coop_event_deinit(struct coop_event *event)
{
	if (event)
		cp_sync_deinit(&event->_home, queue_of(event), "coop_event_deinit");
}
