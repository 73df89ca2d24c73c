/* SPDX-License-Identifier: MIT */
/*
 * Locks that several may have for reading, or one for writing.
 *
 * One queue, first come, first served: a reader behind a writer that waits does not overtake it, so
 * neither kind can starve the other. Whoever gives up lets in whom the head of the queue allows:
 * one writer, or all readers up to the next writer.
 *
 * Invariants
 *   1. A writer (_owner) and readers exclude each other. The writer has the lock on its list of
 *      what it holds; a reader has a share in its body.
 *   2. Whoever is first in the queue cannot be let in. So each change that could let it in, the
 *      cancel of a waiter too, is followed by serve().
 *   3. A writer that ends leaves what it wrote half done: DEAD, as with a mutex. A reader that ends
 *      has changed nothing: its share is taken back, with a line in the log.
 */
#include "sync/sync.h"

#include <string.h>

/* The owner of a lock whose writer has ended. */
static char dead;
#define DEAD ((struct coop_task *)(void *)&dead)

struct rw_wait {
	struct cp_queue_wait w;
	struct coop_rwlock *lock;
	bool write;
	/* With COOP_EOWNERDEAD: who that was. The lock may be gone when the task runs. */
	const char *ended_site;
	uint64_t ended_id;
};

CP_INLINE struct cp_queue *queue_of(const struct coop_rwlock *lock)
{
	return (struct cp_queue *)lock->_queue;
}

CP_INLINE struct cp_held *held_of(struct coop_rwlock *lock)
{
	return (struct cp_held *)lock->_held;
}

/* ------------------------------------------------------------------ letting in */

static void reader_ended(struct cp_rt *rt, struct cp_held *held);

static void enter_read(struct coop_rwlock *lock, struct cp_body *b)
{
	lock->_readers++;
	cp_hold_take(b, lock, queue_of(lock), reader_ended);
}

static void enter_write(struct coop_rwlock *lock, struct coop_task *t)
{
	lock->_owner = t;
	cp_held_push(t->body, held_of(lock));
}

static void serve(struct cp_rt *rt, struct coop_rwlock *lock)
{
	struct cp_waiter *e;

	while (!lock->_owner && (e = queue_of(lock)->first)) {
		bool write = CP_CONTAINER_OF(e, struct rw_wait, w.entry)->write;

		if (write && lock->_readers)
			return;
		cp_queue_remove(e);
		if (write)
			enter_write(lock, e->task);
		else
			enter_read(lock, e->task->body);
		cp_wake(rt, e->task, 0);
	}
}

static CP_COLD void reader_ended(struct cp_rt *rt, struct cp_held *held)
{
	struct coop_rwlock *lock = CP_CONTAINER_OF(held, struct cp_hold, held)->of;
	char path[160];

	cp_task_path(rt->cur, path, sizeof path);
	coop_log(COOP_LOG_WARN, "task %s ended with a lock that it had for reading", path);
	lock->_readers--;
	serve(rt, lock);
}

static CP_COLD void writer_ended(struct cp_rt *rt, struct cp_held *held)
{
	struct coop_rwlock *lock = CP_CONTAINER_OF((void **)held, struct coop_rwlock, _held[0]);
	struct cp_waiter *e;

	lock->_ended_site = cp_task_site_raw(lock->_owner);
	lock->_ended_id = cp_task_id(rt, lock->_owner);
	lock->_owner = DEAD;
	while ((e = cp_queue_take(queue_of(lock)))) {
		struct rw_wait *w = CP_CONTAINER_OF(e, struct rw_wait, w.entry);

		w->ended_site = lock->_ended_site;
		w->ended_id = lock->_ended_id;
		cp_wake(rt, e->task, COOP_EOWNERDEAD);
	}
}

static bool wait_abort(struct cp_wait *wait)
{
	struct rw_wait *w = CP_CONTAINER_OF(wait, struct rw_wait, w.wait);

	cp_queue_remove(&w->w.entry);
	serve(cp_rt, w->lock);
	return true;
}

/* --------------------------------------------------------------------- taking */

/* The home, and with it what the end of a writer needs. */
static int settle(struct coop_rwlock *lock, struct cp_rt *rt)
{
	int r = cp_sync_home(&lock->_home, rt);

	if (r < 0)
		return r;
	held_of(lock)->waiters = queue_of(lock);
	held_of(lock)->owner_ended = writer_ended;
	return lock->_owner == DEAD ? cp_sync_owner_dead(lock->_ended_site, lock->_ended_id) : 0;
}

/* 0: it could be had at once, and was taken; -EAGAIN: it has to be waited for; or an error. */
static int take(struct cp_rt *rt, struct coop_rwlock *lock, bool write)
{
	char path[160];
	int r = settle(lock, rt);

	if (r < 0)
		return r;
	if (lock->_owner == rt->cur || cp_hold_find(rt->body, lock)) {
		cp_task_path(rt->cur, path, sizeof path);
		return coop_fail(-EDEADLK, "%s has the lock already", path);
	}
	if (!write && !cp_hold_room(rt->body))
		return -ENOSPC;
	if (lock->_owner || !cp_queue_empty(queue_of(lock)) || (write && lock->_readers))
		return -EAGAIN;
	if (write)
		enter_write(lock, rt->cur);
	else
		enter_read(lock, rt->body);
	return 0;
}

static int wait_for(struct cp_rt *rt, struct coop_rwlock *lock, bool write, const char *call)
{
	struct rw_wait w;
	char text[400];
	int r;

	if (cp_queue_would_deadlock(rt, queue_of(lock), text, sizeof text))
		return cp_sync_refused(rt, coop_fail(-EDEADLK, "%s", text));
	cp_sync_fill(&w.w.wait, call);
	w.w.wait.abort = wait_abort;
	w.w.wait.kind = CP_ON_OWNER;
	w.w.wait.owner = &lock->_owner;
	w.lock = lock;
	w.write = write;
	r = cp_queue_park(rt, queue_of(lock), &w.w);
	if (r == COOP_EOWNERDEAD)
		return cp_sync_owner_dead(w.ended_site, w.ended_id);
	return r;
}

static int lock_as(struct coop_rwlock *lock, bool write, const char *call, const void *fp)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	cp_check_frames(rt->body, fp, call);
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	r = take(rt, lock, write);
	if (r == -EAGAIN)
		return wait_for(rt, lock, write, call);
	cp_schedule_point(rt);
	return r;
}

int coop_rwlock_read(struct coop_rwlock *lock)
{
	return lock_as(lock, false, "coop_rwlock_read", __builtin_frame_address(0));
}

int coop_rwlock_write(struct coop_rwlock *lock)
{
	return lock_as(lock, true, "coop_rwlock_write", __builtin_frame_address(0));
}

int coop_rwlock_try_read(struct coop_rwlock *lock)
{
	struct cp_rt *rt = cp_in_task();

	return rt ? take(rt, lock, false) : cp_no_task();
}

int coop_rwlock_try_write(struct coop_rwlock *lock)
{
	struct cp_rt *rt = cp_in_task();

	return rt ? take(rt, lock, true) : cp_no_task();
}

/* ------------------------------------------------------------------ giving up */

int coop_rwlock_unlock(struct coop_rwlock *lock)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_hold *hold;

	if (!rt)
		return cp_no_task();
	hold = cp_hold_find(rt->body, lock);
	if (hold) {
		cp_hold_drop(rt->body, hold);
		lock->_readers--;
	} else if (lock->_owner == rt->cur) {
		cp_held_pop(rt->body, held_of(lock));
		lock->_owner = NULL;
	} else {
		return -EPERM;
	}
	serve(rt, lock);
	return 0;
}

int coop_rwlock_recover(struct coop_rwlock *lock)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	r = cp_sync_home(&lock->_home, rt);
	if (r < 0)
		return r;
	if (lock->_owner != DEAD)
		return -EINVAL;
	enter_write(lock, rt->cur);
	return 0;
}

int coop_rwlock_stats(const struct coop_rwlock *lock, struct coop_lock_stats *ret_stats)
{
	const struct coop_task *owner = lock->_owner;
	int r = cp_sync_look(lock->_home);

	if (r < 0)
		return r;
	*ret_stats = (struct coop_lock_stats){ .owner_ended = owner == DEAD,
					       .readers = lock->_readers,
					       .waiting = cp_sync_waiting(queue_of(lock)) };
	ret_stats->locked = lock->_readers || (owner && owner != DEAD);
	if (ret_stats->owner_ended)
		ret_stats->owner_id = lock->_ended_id;
	if (!owner || owner == DEAD)
		return 0;
	ret_stats->owner = owner;
	ret_stats->owner_id = cp_task_id(cp_rt, owner);
	return 0;
}

void coop_rwlock_deinit(struct coop_rwlock *lock)
{
	if (!lock)
		return;
	if (cp_queue_empty(queue_of(lock)) && lock->_owner && lock->_owner != DEAD)
		cp_sync_die("coop_rwlock_deinit", lock->_owner, "has it for writing");
	if (cp_queue_empty(queue_of(lock)) && lock->_readers)
		cp_sync_die("coop_rwlock_deinit", cp_sync_holder(lock), "has it for reading");
	cp_sync_deinit(&lock->_home, queue_of(lock), "coop_rwlock_deinit");
}
