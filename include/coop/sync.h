/* SPDX-License-Identifier: MIT */
/*
 * Tasks that wait for each other: events, pulses, mutexes, semaphores and their kin.
 *
 *	static struct coop_mutex lock = COOP_MUTEX_INIT;
 *
 *	r = coop_mutex_lock(&lock);
 *	if (r < 0)
 *		return r;               // cancelled: the lock was not taken
 *	...
 *	coop_mutex_unlock(&lock);
 *
 * All of them are for the tasks of one run: they cost no atomic operation and no system
 * call. All of them
 *   - lie where the program puts them and begin with their initialiser; neither that nor
 *     waiting allocates anything;
 *   - serve first come, first served: what is given up goes to the first who waits, and nobody
 *     can get in between;
 *   - let completion win: who has been served before a cancellation came gets what it waited
 *     for, and COOP_ECANCELED means that nothing was taken;
 *   - belong to the thread on which they were first used: on another one they answer
 *     COOP_EWRONGTHREAD;
 *   - tell their numbers (_stats), in a run or after it;
 *   - may be given up with _deinit, which is a check and frees nothing: the program is
 *     aborted if somebody still waits. Later uses answer COOP_ECLOSED. An initialiser
 *     makes it new.
 *
 * Calls that wait are checkpoints, also when there is nothing to wait for. The
 * try_ forms, and all calls that give something up, never are.
 */
#ifndef COOP_SYNC_H
#define COOP_SYNC_H

#include <coop/base.h>

COOP_BEGIN_DECLS

struct coop_task;

/* ------------------------------------------------------------------- events */

/** Something that happens once; whoever waits for it then, or later, goes on. */
struct coop_event {
	void *_home;
	void *_queue[2];
	uint32_t _set;
	uint32_t _reserved[3];
};
#define COOP_EVENT_INIT { 0, { 0, 0 }, 0, { 0, 0, 0 } }
COOP_STATIC_ASSERT(sizeof(struct coop_event) == 40, "struct coop_event is ABI");

/**
 * Sets an event, for ever, and wakes all who wait for it, in order.
 *
 * Returns 0, or 1 if it was set already.
 *
 * Checkpoint: never.
 * Errors: COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK (nothing changed).
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API
int coop_event_set(struct coop_event *event);

/**
 * Waits until an event is set.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; nothing has changed.
 * Errors: COOP_ECANCELED, COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_event_wait(struct coop_event *event);

/**
 * Tells whether an event is set.   Returns true or false.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
bool coop_event_is_set(const struct coop_event *event);

/** Numbers of an event, or of a pulse. */
struct coop_event_stats {
	bool set;
	uint32_t waiting;
	uint64_t _reserved[2];
};

/**
 * Tells the numbers of an event.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_EWRONGTHREAD, COOP_ECLOSED.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_event_stats(const struct coop_event *event, struct coop_event_stats *ret_stats);

/**
 * Gives an event up.   Returns nothing; NULL is fine.
 *
 * Checkpoint: never.
 * Errors: none; aborts the program, naming both tasks, if one still waits.
 * Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
void coop_event_deinit(struct coop_event *event);

/* ------------------------------------------------------------------- pulses */

/**
 * A signal that resets itself: it wakes one task, or is remembered, once, for the
 * next that waits.
 */
struct coop_pulse {
	void *_home;
	void *_queue[2];
	uint32_t _set;
	uint32_t _reserved[3];
};
#define COOP_PULSE_INIT { 0, { 0, 0 }, 0, { 0, 0, 0 } }
COOP_STATIC_ASSERT(sizeof(struct coop_pulse) == 40, "struct coop_pulse is ABI");

/**
 * Wakes the first who waits; if nobody does, the next wait returns at once.
 *
 * Returns 0, or 1 if one was remembered already: it stays one.
 *
 * Checkpoint: never.
 * Errors: COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK (nothing changed).
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API
int coop_pulse_send(struct coop_pulse *pulse);

/**
 * Wakes all who wait now; remembers nothing, and leaves alone what is remembered.
 *
 * Returns the number of tasks that were woken.
 *
 * Checkpoint: never.
 * Errors: COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK (nothing changed).
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API
int coop_pulse_send_all(struct coop_pulse *pulse);

/**
 * Waits for a pulse and takes it.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; no pulse was taken.
 * Errors: COOP_ECANCELED, COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_pulse_wait(struct coop_pulse *pulse);

/**
 * Takes a remembered pulse, if there is one.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EAGAIN (there is none), COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK.
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_pulse_try_wait(struct coop_pulse *pulse);

/**
 * Tells the numbers of a pulse; `set`: one is remembered.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_EWRONGTHREAD, COOP_ECLOSED.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_pulse_stats(const struct coop_pulse *pulse, struct coop_event_stats *ret_stats);

/**
 * Gives a pulse up.   Returns nothing; NULL is fine.
 *
 * Checkpoint: never.
 * Errors: none; aborts the program, naming both tasks, if one still waits.
 * Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
void coop_pulse_deinit(struct coop_pulse *pulse);

/* --------------------------------------------------------------- semaphores */

/** A number of permits. Whoever likes may release; nobody owns one. */
struct coop_sem {
	void *_home;
	void *_queue[2];
	uint32_t _count;
	uint32_t _max;
	uint32_t _reserved[2];
};
/** `count` permits to begin with. */
#define COOP_SEM_INIT(count) { 0, { 0, 0 }, (count), UINT32_MAX, { 0, 0 } }
/** The same, and never more than `max` of them. */
#define COOP_SEM_INIT_MAX(count, max) { 0, { 0, 0 }, (count), (max), { 0, 0 } }
COOP_STATIC_ASSERT(sizeof(struct coop_sem) == 40, "struct coop_sem is ABI");

/**
 * Takes a permit, and waits until there is one.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; no permit was taken.
 * Errors: COOP_ECANCELED, -EINVAL (it began with more than its maximum),
 *   COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_sem_acquire(struct coop_sem *sem);

/**
 * Takes a permit if there is one that belongs to nobody who waits.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EAGAIN (there is none), and those of coop_sem_acquire save COOP_ECANCELED.
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_sem_try_acquire(struct coop_sem *sem);

/**
 * Gives a permit: to the first who waits, or back.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EOVERFLOW (there would be more than the maximum), -EINVAL,
 *   COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK. Nothing changed.
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API
int coop_sem_release(struct coop_sem *sem);

/**
 * Gives `count` permits at once, all or none.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: as coop_sem_release.   Thread: the runtime's.   Since: 0.1
 */
COOP_API
int coop_sem_release_many(struct coop_sem *sem, uint32_t count);

/** Numbers of a semaphore. */
struct coop_sem_stats {
	uint32_t count; /* permits that can be had now */
	uint32_t max;   /* COOP_UNLIMITED: no maximum but that of the number */
	uint32_t waiting;
	uint32_t _reserved1;
	uint64_t _reserved[2];
};

/**
 * Tells the numbers of a semaphore.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_EWRONGTHREAD, COOP_ECLOSED.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_sem_stats(const struct coop_sem *sem, struct coop_sem_stats *ret_stats);

/**
 * Gives a semaphore up.   Returns nothing; NULL is fine.
 *
 * Checkpoint: never.
 * Errors: none; aborts the program, naming both tasks, if one still waits.
 * Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
void coop_sem_deinit(struct coop_sem *sem);

/* ------------------------------------------------------------------ mutexes */

/** A lock that one task owns. */
struct coop_mutex {
	void *_home;
	struct coop_task *_owner;
	void *_queue[2];
	void *_held[3];
	const char *_ended_site;
	uint64_t _ended_id;
	uint32_t _flags;
	uint32_t _reserved;
};
#define COOP_MUTEX_INIT { 0, 0, { 0, 0 }, { 0, 0, 0 }, 0, 0, 0, 0 }
/**
 * The same, but a cycle of waiting tasks is not refused: they wait until one of them is
 * cancelled, or the run finds that all is blocked.
 */
#define COOP_MUTEX_INIT_PATIENT { 0, 0, { 0, 0 }, { 0, 0, 0 }, 0, 0, 1, 0 }
COOP_STATIC_ASSERT(sizeof(struct coop_mutex) == 80, "struct coop_mutex is ABI");

/**
 * Takes a lock, and waits until it is free.
 *
 * Returns 0: the running task owns it.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; the lock was not taken.
 * Errors: COOP_ECANCELED; -EDEADLK (the caller owns it, or its owner waits, by
 *   whatever way, for the caller, and no deadline would end that);
 *   COOP_EOWNERDEAD (a task ended while it owned the lock: all who wait, and all
 *   who come later, get this until somebody calls coop_mutex_recover; the error
 *   names that task); COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_mutex_lock(struct coop_mutex *mutex);

/**
 * Takes a lock if it is free.
 *
 * Returns 0: the running task owns it.
 *
 * Checkpoint: never.
 * Errors: -EAGAIN (somebody owns it), -EDEADLK (the caller does), COOP_EOWNERDEAD,
 *   COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_mutex_try_lock(struct coop_mutex *mutex);

/**
 * Gives a lock up; the first who waits owns it from this moment on.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EPERM (the caller does not own it; nothing changed), COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API
int coop_mutex_unlock(struct coop_mutex *mutex);

/**
 * Takes over a lock whose owner has ended, to put in order what it protects.
 *
 * Returns 0: the running task owns it, and it is as good as new.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (its owner has not ended), COOP_EWRONGTHREAD, COOP_ECLOSED,
 *   COOP_ENOTASK. Nothing changed.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_mutex_recover(struct coop_mutex *mutex);

/** Numbers of a lock. */
struct coop_lock_stats {
	const struct coop_task *owner; /* who has it for itself; borrowed until the next switch */
	uint64_t owner_id;
	bool locked;
	bool owner_ended;  /* while it owned the lock */
	uint32_t readers;  /* of an rwlock: tasks that have it for reading */
	uint32_t waiting;
	uint32_t _reserved1;
	uint64_t _reserved[2];
};

/**
 * Tells the numbers of a mutex.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_EWRONGTHREAD, COOP_ECLOSED.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_mutex_stats(const struct coop_mutex *mutex, struct coop_lock_stats *ret_stats);

/**
 * Gives a mutex up.   Returns nothing; NULL is fine.
 *
 * Checkpoint: never.
 * Errors: none; aborts the program, naming both tasks, if one still waits for it or
 *   owns it.
 * Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
void coop_mutex_deinit(struct coop_mutex *mutex);

COOP_END_DECLS

#endif
