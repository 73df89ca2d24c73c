/* SPDX-License-Identifier: MIT */
/*
 * Pulses: a signal that wakes one task, or is remembered for one.
 *
 * Invariants
 *   1. While one is remembered, nobody waits.
 *   2. A pulse that has woken a task is gone, also if that task is cancelled afterwards: it was
 *      woken with 0, and its wait returns 0.
 */
#include "sync/select.h"
#include "sync/sync.h"

CP_INLINE struct cp_queue *queue_of(const struct coop_pulse *pulse)
{
	return (struct cp_queue *)pulse->_queue;
}

int coop_pulse_send(struct coop_pulse *pulse)
{
	struct cp_rt *rt = cp_rt;
	int r;

	if (CP_UNLIKELY(!rt))
		return cp_no_task();
	r = cp_sync_home(&pulse->_home, rt);
	if (CP_UNLIKELY(r < 0))
		return r;
	if (cp_select_wake(rt, queue_of(pulse), 0))
		return 0;
	if (pulse->_set)
		return 1;
	pulse->_set = 1;
	return 0;
}

int coop_pulse_send_all(struct coop_pulse *pulse)
{
	struct cp_rt *rt = cp_rt;
	int r, n = 0;

	if (CP_UNLIKELY(!rt))
		return cp_no_task();
	r = cp_sync_home(&pulse->_home, rt);
	if (CP_UNLIKELY(r < 0))
		return r;
	while (cp_select_wake(rt, queue_of(pulse), 0))
		n++;
	return n;
}

int coop_pulse_try_wait(struct coop_pulse *pulse)
{
	struct cp_rt *rt = cp_rt;
	int r;

	if (CP_UNLIKELY(!rt))
		return cp_no_task();
	r = cp_sync_home(&pulse->_home, rt);
	if (CP_UNLIKELY(r < 0))
		return r;
	if (!pulse->_set)
		return -EAGAIN;
	pulse->_set = 0;
	return 0;
}

static CP_NOINLINE int wait_slow(struct coop_pulse *pulse, const void *fp)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	cp_check_frames(rt->body, fp, "coop_pulse_wait");
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	r = cp_sync_home(&pulse->_home, rt);
	if (r < 0)
		return cp_sync_refused(rt, r);
	if (!pulse->_set)
		return cp_sync_wait(rt, queue_of(pulse), "coop_pulse_wait");
	pulse->_set = 0;
	cp_schedule_point(rt);
	return 0;
}

int coop_pulse_wait(struct coop_pulse *pulse)
{
	struct cp_rt *rt = cp_in_task();

	if (CP_LIKELY(rt && cp_sync_at_home(pulse->_home, rt) && pulse->_set &&
		      !rt->cur->cancelled)) {
		rt->body->cancel_half++;
		pulse->_set = 0;
		cp_schedule_point(rt);
		return 0;
	}
	return wait_slow(pulse, __builtin_frame_address(0));
}

int coop_pulse_stats(const struct coop_pulse *pulse, struct coop_event_stats *ret_stats)
{
	int r = cp_sync_look(pulse->_home);

	if (r < 0)
		return r;
	*ret_stats = (struct coop_event_stats){ .set = pulse->_set,
						.waiting = cp_sync_waiting(queue_of(pulse)) };
	return 0;
}

void coop_pulse_deinit(struct coop_pulse *pulse)
{
	if (pulse)
		cp_sync_deinit(&pulse->_home, queue_of(pulse), "coop_pulse_deinit");
}
