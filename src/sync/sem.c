/* SPDX-License-Identifier: MIT */
/*
 * Semaphores: a count of permits, and those who wait for one.
 *
 * Invariants
 *   1. While somebody waits (other than a select that is decided), the count is 0: a permit that is
 *      released goes to the first who waits and is never seen in the count, so nobody can take it
 *      in between.
 *   2. count <= max. Permits are conserved: a waiter that was cancelled has left the queue before
 *      it could be given one; one that was given a permit returns 0.
 */
#include "sync/select.h"
#include "sync/sync.h"

CP_INLINE struct cp_queue *queue_of(const struct coop_sem *sem)
{
	return (struct cp_queue *)sem->_queue;
}

/* The home, and at the first use the initial numbers. */
static int check(struct coop_sem *sem, struct cp_rt *rt)
{
	return CP_UNLIKELY(sem->_count > sem->_max) ? -EINVAL : cp_sync_home(&sem->_home, rt);
}

/* Reached by a jump: this frame is where that of the public call would be. */
static CP_NOINLINE int acquire_slow(struct coop_sem *sem)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_sem_acquire");
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	r = check(sem, rt);
	if (r < 0)
		return cp_sync_refused(rt, r);
	if (!sem->_count)
		return cp_sync_wait(rt, queue_of(sem), "coop_sem_acquire");
	sem->_count--;
	cp_schedule_point(rt);
	return 0;
}

int coop_sem_acquire(struct coop_sem *sem)
{
	struct cp_rt *rt = cp_in_task();

	if (CP_LIKELY(rt && cp_sync_at_home(sem->_home, rt) && sem->_count &&
		      !rt->cur->cancelled)) {
		rt->body->cancel_half++;
		sem->_count--;
		return cp_succeed(rt);
	}
	return acquire_slow(sem);
}

int coop_sem_try_acquire(struct coop_sem *sem)
{
	struct cp_rt *rt = cp_rt;
	int r;

	if (CP_UNLIKELY(!rt))
		return cp_no_task();
	r = check(sem, rt);
	if (CP_UNLIKELY(r < 0))
		return r;
	if (!sem->_count)
		return -EAGAIN;
	sem->_count--;
	return 0;
}

/*
 * How many tasks `count` permits wake for certain. A select may wait here with several entries, and
 * one that another thread may complete at any moment is not to be counted on.
 */
static uint32_t will_wake(const struct cp_queue *q, uint32_t count)
{
	uint32_t n = 0;

	for (struct cp_waiter *e = q->first; e && n < count; e = e->next) {
		const struct cp_waiter *before = e->chosen ? e->prev : NULL;

		if (e->chosen && cp_select_is_shared(e))
			continue;
		while (before && before->task != e->task)
			before = before->prev;
		n += !before;
	}
	return n;
}

static CP_NOINLINE int wake_first(struct cp_rt *rt, struct coop_sem *sem)
{
	if (!cp_select_wake(rt, queue_of(sem), 0))
		sem->_count++;
	return 0;
}

int coop_sem_release_many(struct coop_sem *sem, uint32_t count)
{
	struct cp_rt *rt = cp_rt;
	int r;

	if (CP_UNLIKELY(!rt))
		return cp_no_task();
	r = check(sem, rt);
	if (CP_UNLIKELY(r < 0))
		return r;
	if (count - will_wake(queue_of(sem), count) > sem->_max - sem->_count)
		return -EOVERFLOW;
	while (count && cp_select_wake(rt, queue_of(sem), 0))
		count--;
	sem->_count += count;
	return 0;
}

int coop_sem_release(struct coop_sem *sem)
{
	struct cp_rt *rt = cp_rt;

	if (CP_UNLIKELY(!rt || !cp_sync_at_home(sem->_home, rt) || sem->_count >= sem->_max))
		return coop_sem_release_many(sem, 1);
	if (!cp_queue_empty(queue_of(sem)))
		return wake_first(rt, sem);
	sem->_count++;
	return 0;
}

int coop_sem_stats(const struct coop_sem *sem, struct coop_sem_stats *ret_stats)
{
	int r = cp_sync_look(sem->_home);

	if (r < 0)
		return r;
	*ret_stats = (struct coop_sem_stats){ .count = sem->_count,
					      .max = sem->_max,
					      .waiting = cp_sync_waiting(queue_of(sem)) };
	return 0;
}

void coop_sem_deinit(struct coop_sem *sem)
{
	if (sem)
		cp_sync_deinit(&sem->_home, queue_of(sem), "coop_sem_deinit");
}
