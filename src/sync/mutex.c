/* SPDX-License-Identifier: MIT */
/*
 * Mutexes: owned by one task, handed over in order.
 *
 *   FREE --lock--> OWNED --unlock, nobody waits--> FREE
 *                  OWNED --unlock--> OWNED by the first who waited
 *                  OWNED --its owner ends--> DEAD --recover--> OWNED
 *
 * Invariants
 *   1. OWNED: _owner is a live task, and the mutex is on the list of what that task holds.
 *      FREE: _owner is NULL, and nobody waits. DEAD: _owner is the mark `dead`, nobody waits.
 *   2. The hand-over happens in the unlock, not when the next owner runs: nobody can get in
 *      between, and a cancel that comes in between finds a wait that has succeeded.
 *   3. A wait that could never end is refused: its last edge is the one that closes the
 *      cycle, so the search is made only where the owner is itself parked; or is the host, whose
 *      join is no edge that can be refused.
 */
#include "sync/mutex.h"

enum {
	PATIENT = 1, /* does not look for cycles */
};

/* The owner of a mutex whose owner has ended. */
static char dead;
#define DEAD ((struct coop_task *)(void *)&dead)

CP_INLINE struct cp_held *held_of(struct coop_mutex *mutex)
{
	return (struct cp_held *)mutex->_held;
}

CP_INLINE void own(struct coop_mutex *mutex, struct coop_task *t, struct cp_body *b)
{
	mutex->_owner = t;
	cp_held_push(b, held_of(mutex));
}

/* ---------------------------------------------------------------- the owner ends */

void cp_mutex_tell_dead(struct cp_rt *rt, const struct coop_mutex *mutex, struct cp_mutex_wait *w)
{
	w->ended_site = mutex->_ended_site;
	w->ended_id = mutex->_ended_id;
	cp_wake(rt, w->w.entry.task, COOP_EOWNERDEAD);
}

/* Called by the end of the owner, whose words are still there. */
static CP_COLD void owner_ended(struct cp_rt *rt, struct cp_held *held)
{
	struct coop_mutex *mutex = CP_CONTAINER_OF((void **)held, struct coop_mutex, _held[0]);
	struct cp_waiter *e;

	mutex->_ended_site = cp_task_site_raw(mutex->_owner);
	mutex->_ended_id = cp_task_id(rt, mutex->_owner);
	mutex->_owner = DEAD;
	while ((e = cp_queue_take(cp_mutex_queue(mutex))))
		cp_mutex_tell_dead(rt, mutex, CP_CONTAINER_OF(e, struct cp_mutex_wait, w.entry));
}

/* COOP_EOWNERDEAD, with an error that names the owner. */
static int owner_dead(const struct coop_mutex *mutex)
{
	return cp_sync_owner_dead(mutex->_ended_site, mutex->_ended_id);
}

/* The home, and with it what the end of an owner needs. */
static int settle(struct coop_mutex *mutex, struct cp_rt *rt)
{
	int r = cp_sync_home(&mutex->_home, rt);

	if (r < 0)
		return r;
	held_of(mutex)->waiters = cp_mutex_queue(mutex);
	held_of(mutex)->owner_ended = owner_ended;
	return 0;
}

/* -------------------------------------------------------------------------- lock */

static CP_COLD int own_already(const struct cp_rt *rt)
{
	char path[160];

	cp_task_path(rt->cur, path, sizeof path);
	return coop_fail(-EDEADLK, "%s owns the lock already", path);
}

/* The owner is the running task, or itself parked: 0, or -EDEADLK if the wait could never end. */
static CP_NOINLINE int look_for_cycle(struct cp_rt *rt, struct coop_mutex *mutex)
{
	char text[400];

	if (mutex->_owner == rt->cur)
		return own_already(rt);
	if (mutex->_flags & PATIENT ||
	    !cp_queue_would_deadlock(rt, cp_mutex_queue(mutex), text, sizeof text))
		return 0;
	return coop_fail(-EDEADLK, "%s", text);
}

/* The wait has ended without the lock. */
static CP_COLD int not_locked(struct cp_rt *rt, const struct cp_mutex_wait *w, int r)
{
	if (r == COOP_EOWNERDEAD)
		return cp_sync_owner_dead(w->ended_site, w->ended_id);
	cp_ignored(rt);
	return r;
}

/*
 * The owner is a live task. On the way of each hand-over, hence without a call but the park, and
 * reached by a jump, so that this frame is where that of the public call would be.
 */
static CP_NOINLINE int wait_for(struct cp_rt *rt, struct coop_mutex *mutex)
{
	struct coop_task *owner = mutex->_owner;
	const struct coop_group *g = rt->cur->group; /* NULL: of the root */
	struct cp_mutex_wait w;
	int r;

	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_mutex_lock");
	if (CP_UNLIKELY(owner->state == CP_PARKED || owner == rt->cur ||
			(g && owner == g->_scope._task))) {
		r = look_for_cycle(rt, mutex);
		if (r < 0)
			return cp_sync_refused(rt, r);
	}
	cp_sync_fill(&w.w.wait, "coop_mutex_lock");
	w.w.wait.abort = cp_queue_abort;
	w.w.wait.kind = CP_ON_OWNER;
	w.w.wait.owner = &mutex->_owner;
	w.w.entry.task = rt->cur;
	w.w.entry.chosen = NULL;
	w.result = 0;
	cp_queue_append(cp_mutex_queue(mutex), &w.w.entry);
	r = cp_park_inline(rt, &w.w.wait);
	return CP_UNLIKELY(r < 0) ? not_locked(rt, &w, r) : 0;
}

static CP_NOINLINE int lock_slow(struct coop_mutex *mutex)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	r = settle(mutex, rt);
	if (r < 0)
		return cp_sync_refused(rt, r);
	if (mutex->_owner == DEAD)
		return cp_sync_refused(rt, owner_dead(mutex));
	if (mutex->_owner)
		return wait_for(rt, mutex);
	own(mutex, rt->cur, rt->body);
	return cp_succeed(rt);
}

int coop_mutex_lock(struct coop_mutex *mutex)
{
	struct cp_rt *rt = cp_in_task();

	if (CP_UNLIKELY(!rt || !cp_sync_at_home(mutex->_home, rt) || rt->cur->cancelled ||
			mutex->_owner == DEAD))
		return lock_slow(mutex);
	rt->body->cancel_half++;
	if (mutex->_owner)
		return wait_for(rt, mutex);
	own(mutex, rt->cur, rt->body);
	return cp_succeed(rt);
}

int coop_mutex_try_lock(struct coop_mutex *mutex)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (CP_UNLIKELY(!rt))
		return cp_no_task();
	r = settle(mutex, rt);
	if (r < 0)
		return r;
	if (mutex->_owner == DEAD)
		return owner_dead(mutex);
	if (mutex->_owner)
		return mutex->_owner == rt->cur ? own_already(rt) : -EAGAIN;
	own(mutex, rt->cur, rt->body);
	return 0;
}

/* ------------------------------------------------------------------------ unlock */

static CP_COLD int not_mine(const struct coop_mutex *mutex, struct cp_rt *rt)
{
	char me[160], other[160] = "nobody";

	if (!rt)
		return cp_no_task();
	if (cp_sync_look(mutex->_home) < 0)
		return -EPERM; /* another thread's: its owner must not be looked at */
	cp_task_path(rt->cur, me, sizeof me);
	if (mutex->_owner == DEAD)
		snprintf(other, sizeof other, "a task that has ended");
	else if (mutex->_owner)
		cp_task_path(mutex->_owner, other, sizeof other);
	return coop_fail(-EPERM, "%s unlocks what is owned by %s", me, other);
}

/* Gives up what is first on the list of the running task: to the first who waits, if any; 0. */
static CP_NOINLINE int give(struct cp_rt *rt, struct coop_mutex *mutex)
{
	struct cp_waiter *e = cp_queue_take(cp_mutex_queue(mutex));

	rt->body->held = held_of(mutex)->next;
	mutex->_owner = NULL;
	if (!e)
		return 0;
	own(mutex, e->task, e->task->body);
	cp_wake(rt, e->task, CP_CONTAINER_OF(e, struct cp_mutex_wait, w.entry)->result);
	return 0;
}

/* Locks are mostly given up in the reverse order; this one is not the first on the list. */
static CP_NOINLINE int give_out_of_order(struct cp_rt *rt, struct coop_mutex *mutex)
{
	cp_held_pop(rt->body, held_of(mutex));
	cp_held_push(rt->body, held_of(mutex));
	return give(rt, mutex);
}

int coop_mutex_unlock(struct coop_mutex *mutex)
{
	struct cp_rt *rt = cp_in_task();

	if (CP_UNLIKELY(!rt || mutex->_owner != rt->cur))
		return not_mine(mutex, rt);
	if (CP_UNLIKELY(rt->body->held != held_of(mutex)))
		return give_out_of_order(rt, mutex);
	if (!cp_queue_empty(cp_mutex_queue(mutex)))
		return give(rt, mutex);
	rt->body->held = held_of(mutex)->next;
	mutex->_owner = NULL;
	return 0;
}

void cp_mutex_give(struct cp_rt *rt, struct coop_mutex *mutex)
{
	if (rt->body->held != held_of(mutex))
		give_out_of_order(rt, mutex);
	else
		give(rt, mutex);
}

enum cp_mutex_reply cp_mutex_requeue(struct coop_mutex *mutex, struct cp_mutex_wait *w)
{
	struct coop_task *t = w->w.entry.task;

	if (mutex->_owner == DEAD)
		return CP_MUTEX_DEAD;
	if (!mutex->_owner) {
		own(mutex, t, t->body);
		return CP_MUTEX_TAKEN;
	}
	w->w.wait.abort = NULL; /* nothing ends it before */
	w->w.wait.kind = CP_ON_OWNER;
	w->w.wait.owner = &mutex->_owner;
	cp_queue_append(cp_mutex_queue(mutex), &w->w.entry);
	return CP_MUTEX_QUEUED;
}

/* ------------------------------------------------------------------ recover, end */

int coop_mutex_recover(struct coop_mutex *mutex)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	r = settle(mutex, rt);
	if (r < 0)
		return r;
	if (mutex->_owner != DEAD)
		return -EINVAL;
	own(mutex, rt->cur, rt->body);
	return 0;
}

int coop_mutex_stats(const struct coop_mutex *mutex, struct coop_lock_stats *ret_stats)
{
	const struct coop_task *owner = mutex->_owner;
	int r = cp_sync_look(mutex->_home);

	if (r < 0)
		return r;
	*ret_stats = (struct coop_lock_stats){ .locked = owner && owner != DEAD,
					       .owner_ended = owner == DEAD,
					       .waiting = cp_sync_waiting(cp_mutex_queue(mutex)) };
	if (ret_stats->owner_ended)
		ret_stats->owner_id = mutex->_ended_id;
	if (!ret_stats->locked)
		return 0;
	ret_stats->owner = owner;
	ret_stats->owner_id = cp_task_id(cp_rt, owner);
	return 0;
}

void coop_mutex_deinit(struct coop_mutex *mutex)
{
	if (!mutex)
		return;
	if (mutex->_owner && mutex->_owner != DEAD && cp_queue_empty(cp_mutex_queue(mutex)))
		cp_sync_die("coop_mutex_deinit", mutex->_owner, "owns it");
	cp_sync_deinit(&mutex->_home, cp_mutex_queue(mutex), "coop_mutex_deinit");
}
