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
 *     COOP_EWRONGTHREAD, and in a forked child, where COOP_ENOTASK is said below, COOP_EFORK;
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
#include <coop/channel.h>

COOP_BEGIN_DECLS

struct coop_task;

/** So many rwlocks for reading and tokens of limiters a task may have at once, together. */
#define COOP_HOLDS_MAX 8

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
 * More than the maximum can be given where enough wait for them. A select that waits at a channel
 * between threads, too, does not count there: another thread may complete it at any moment.
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

/* ------------------------------------------------------------------ rwlocks */

/**
 * A lock that several tasks may have for reading, or one for writing.
 *
 * First come, first served: a reader does not overtake a writer that waits.
 */
struct coop_rwlock {
	void *_home;
	struct coop_task *_owner;
	void *_queue[2];
	void *_held[3];
	const char *_ended_site;
	uint64_t _ended_id;
	uint32_t _readers;
	uint32_t _reserved;
};
#define COOP_RWLOCK_INIT { 0, 0, { 0, 0 }, { 0, 0, 0 }, 0, 0, 0, 0 }
COOP_STATIC_ASSERT(sizeof(struct coop_rwlock) == 80, "struct coop_rwlock is ABI");

/**
 * Takes a lock for reading, and waits until nobody writes or has waited for longer.
 *
 * A task that ends with it is put right, with a line in the log.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; the lock was not taken.
 * Errors: COOP_ECANCELED; -EDEADLK (the caller has it already, or whoever has it
 *   waits for the caller); -ENOSPC (the caller has COOP_HOLDS_MAX things already);
 *   COOP_EOWNERDEAD (a writer ended with it; see coop_mutex_lock);
 *   COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_rwlock_read(struct coop_rwlock *lock);

/**
 * Takes a lock for writing, and waits until nobody has it or has waited for longer.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; the lock was not taken.
 * Errors: as coop_rwlock_read save -ENOSPC.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_rwlock_write(struct coop_rwlock *lock);

/**
 * Takes a lock for reading if nobody writes or waits.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EAGAIN, and those of coop_rwlock_read save COOP_ECANCELED.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_rwlock_try_read(struct coop_rwlock *lock);

/**
 * Takes a lock for writing if nobody has it.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EAGAIN, and those of coop_rwlock_write save COOP_ECANCELED.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_rwlock_try_write(struct coop_rwlock *lock);

/**
 * Gives a lock up, whichever way the running task has it.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EPERM (it has not; nothing changed), COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API
int coop_rwlock_unlock(struct coop_rwlock *lock);

/**
 * Takes over, for writing, a lock whose writer has ended.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (none has), COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK.
 *   Nothing changed.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_rwlock_recover(struct coop_rwlock *lock);

/**
 * Tells the numbers of an rwlock.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_EWRONGTHREAD, COOP_ECLOSED.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_rwlock_stats(const struct coop_rwlock *lock, struct coop_lock_stats *ret_stats);

/**
 * Gives an rwlock up.   Returns nothing; NULL is fine.
 *
 * Checkpoint: never.
 * Errors: none; aborts the program, naming both tasks, if one still waits for it or
 *   has it.
 * Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
void coop_rwlock_deinit(struct coop_rwlock *lock);

/* --------------------------------------------------------------- conditions */

/** What is waited for while a mutex is given up: "something has changed". */
struct coop_cond {
	void *_home;
	void *_queue[2];
	struct coop_mutex *_mutex;
	uint64_t _reserved;
};
/** `mutex` protects what the condition is about; kept. */
#define COOP_COND_INIT(mutex) { 0, { 0, 0 }, (mutex), 0 }
COOP_STATIC_ASSERT(sizeof(struct coop_cond) == 40, "struct coop_cond is ABI");

/**
 * Gives the mutex up and waits to be notified; has the mutex again when it returns.
 *
 * Also after a cancel or a timeout: getting the mutex back cannot be interrupted.
 * Nobody is woken but by a notify, and who is notified wakes: yet another task may
 * have had the mutex before, so look again at what was waited for.
 *
 * Returns 0.
 *
 * Checkpoint: custom: cancelled beforehand, it does nothing and keeps the mutex;
 *   cancelled while it waits, it ends when it has the mutex again. A cancel after the
 *   notify comes too late: 0.
 * Cancel: COOP_ECANCELED; no notification was used up; the mutex is the caller's.
 * Errors: COOP_ECANCELED; -EPERM (the caller does not own the mutex); -EINVAL (there
 *   is none); COOP_EOWNERDEAD (the one time that the mutex is not the caller's: a
 *   task ended with it); COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_cond_wait(struct coop_cond *cond);

/**
 * Notifies the first `count` who wait; they wake, in order, as they get the mutex.
 *
 * Returns how many there were.
 *
 * Checkpoint: never.
 * Errors: -EPERM (the caller does not own the mutex; nothing changed), -EINVAL,
 *   COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API
int coop_cond_notify(struct coop_cond *cond, uint32_t count);

/**
 * Notifies all who wait.
 *
 * Returns how many there were.
 *
 * Checkpoint: never.
 * Errors: as coop_cond_notify.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API
int coop_cond_notify_all(struct coop_cond *cond);

/** Numbers of a condition. */
struct coop_cond_stats {
	uint32_t waiting; /* those that have been notified wait for the mutex */
	uint32_t _reserved1;
	uint64_t _reserved[2];
};

/**
 * Tells the numbers of a condition.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_EWRONGTHREAD, COOP_ECLOSED.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_cond_stats(const struct coop_cond *cond, struct coop_cond_stats *ret_stats);

/**
 * Gives a condition up.   Returns nothing; NULL is fine.
 *
 * Checkpoint: never.
 * Errors: none; aborts the program, naming both tasks, if one still waits.
 * Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
void coop_cond_deinit(struct coop_cond *cond);

/* ----------------------------------------------------------------- barriers */

/** A place where so many tasks wait until all of them are there, again and again. */
struct coop_barrier {
	void *_home;
	void *_queue[2];
	uint32_t _parties;
	uint32_t _arrived;
	uint32_t _broken;
	uint32_t _reserved;
};
#define COOP_BARRIER_INIT(parties) { 0, { 0, 0 }, (parties), 0, 0, 0 }
COOP_STATIC_ASSERT(sizeof(struct coop_barrier) == 40, "struct coop_barrier is ABI");

/**
 * Waits until as many are there as the barrier has parties.
 *
 * Who comes before the last round has left it belongs to the next. Who is
 * cancelled is not counted; the barrier goes on without it.
 *
 * Returns a number of 0 to parties - 1, in the order of coming.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; as if it had not come.
 * Errors: COOP_ECANCELED, COOP_EBROKEN (reset while it waited, or broken), -EINVAL (no
 *   parties, or more than INT32_MAX), COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_barrier_wait(struct coop_barrier *barrier);

/**
 * Sends those who wait away with COOP_EBROKEN; the barrier is as new.
 *
 * Returns how many there were.
 *
 * Checkpoint: never.
 * Errors: -EINVAL, COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK (nothing changed).
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API
int coop_barrier_reset(struct coop_barrier *barrier);

/**
 * Sends those who wait, and those who come until a reset, away with COOP_EBROKEN.
 *
 * Returns how many there were.
 *
 * Checkpoint: never.
 * Errors: as coop_barrier_reset.   Thread: the runtime's.   Since: 0.1
 */
COOP_API
int coop_barrier_break(struct coop_barrier *barrier);

/** Numbers of a barrier. */
struct coop_barrier_stats {
	uint32_t parties;
	uint32_t waiting;
	bool broken;
	uint64_t _reserved[2];
};

/**
 * Tells the numbers of a barrier.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_EWRONGTHREAD, COOP_ECLOSED.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_barrier_stats(const struct coop_barrier *barrier, struct coop_barrier_stats *ret_stats);

/**
 * Gives a barrier up.   Returns nothing; NULL is fine.
 *
 * Checkpoint: never.
 * Errors: none; aborts the program, naming both tasks, if one still waits.
 * Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
void coop_barrier_deinit(struct coop_barrier *barrier);

/* ----------------------------------------------------------------- limiters */

/** A number of tokens, each lent to a borrower, who cannot have two. */
struct coop_limiter {
	void *_home;
	void *_queue[2];
	uint32_t _total;
	uint32_t _borrowed;
	uint32_t _reserved[2];
};
/** `total` tokens: 0 lets nobody in, COOP_UNLIMITED everybody. */
#define COOP_LIMITER_INIT(total) { 0, { 0, 0 }, (total), 0, { 0, 0 } }
COOP_STATIC_ASSERT(sizeof(struct coop_limiter) == 40, "struct coop_limiter is ABI");

/** Somebody on whose behalf a token is borrowed, of one limiter at a time. */
struct coop_borrower {
	struct coop_limiter *_limiter;
	uint32_t _state;
	uint32_t _reserved;
};
#define COOP_BORROWER_INIT { 0, 0, 0 }
COOP_STATIC_ASSERT(sizeof(struct coop_borrower) == 16, "struct coop_borrower is ABI");

/**
 * Borrows a token for the running task, and waits until there is one.
 *
 * A task that ends with it gives it back, with a line in the log.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; nothing was borrowed.
 * Errors: COOP_ECANCELED, -EALREADY (it has one), -ENOSPC (it has COOP_HOLDS_MAX things
 *   already), COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_limiter_acquire(struct coop_limiter *limiter);

/**
 * The same for `borrower`, which is kept until its token is given back, by any task.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; nothing was borrowed.
 * Errors: COOP_ECANCELED, -EALREADY (it has one, or another task waits for it), -EINVAL
 *   (NULL), COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_limiter_acquire_for(struct coop_limiter *limiter, struct coop_borrower *borrower);

/**
 * Borrows a token for the running task if there is one that belongs to nobody who waits.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EAGAIN, and those of coop_limiter_acquire save COOP_ECANCELED.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_limiter_try_acquire(struct coop_limiter *limiter);

/**
 * The same for `borrower`, which is kept until its token is given back.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EAGAIN, and those of coop_limiter_acquire_for save COOP_ECANCELED.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_limiter_try_acquire_for(struct coop_limiter *limiter, struct coop_borrower *borrower);

/**
 * Gives the token of the running task back; it is the first waiter's from this moment on.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EPERM (it has none; nothing changed), COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API
int coop_limiter_release(struct coop_limiter *limiter);

/**
 * Gives the token of `borrower` back, which may then be gone.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EPERM (it has none of this limiter), -EINVAL (NULL), COOP_EWRONGTHREAD,
 *   COOP_ECLOSED, COOP_ENOTASK. Nothing changed.
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API
int coop_limiter_release_for(struct coop_limiter *limiter, struct coop_borrower *borrower);

/**
 * Changes how many tokens there are.
 *
 * More let in who waits, at once. Fewer than are borrowed end nobody: no one gets in
 * until enough have been given back.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK (nothing changed).
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_limiter_set_total(struct coop_limiter *limiter, uint32_t total);

/** Numbers of a limiter. */
struct coop_limiter_stats {
	uint32_t total;
	uint32_t borrowed;
	uint32_t waiting;
	uint32_t _reserved1;
	uint64_t _reserved[2];
};

/**
 * Tells the numbers of a limiter.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_EWRONGTHREAD, COOP_ECLOSED.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_limiter_stats(const struct coop_limiter *limiter, struct coop_limiter_stats *ret_stats);

/**
 * Gives a limiter up.   Returns nothing; NULL is fine.
 *
 * Checkpoint: never.
 * Errors: none; aborts the program, naming the task, if one still waits or a token is
 *   borrowed.
 * Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
void coop_limiter_deinit(struct coop_limiter *limiter);

/* ------------------------------------------------------------------ futures */

/** A value that will be set once; whoever waits for it gets it. */
struct coop_future {
	void *_home;
	struct coop_task *_owner;
	void *_queue[2];
	void *_held[3];
	void *_value;
	const char *_ended_site;
	uint64_t _ended_id;
	int32_t _code;
	uint32_t _state;
	uint64_t _reserved;
};
#define COOP_FUTURE_INIT { 0, 0, { 0, 0 }, { 0, 0, 0 }, 0, 0, 0, 0, 0, 0 }
COOP_STATIC_ASSERT(sizeof(struct coop_future) == 96, "struct coop_future is ABI");

/**
 * Makes the running task the one that has to set a future.
 *
 * If it ends and has not, the future is broken: whoever waits gets COOP_EBROKEN. A
 * future without an owner may be set by anybody, and is never broken.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EALREADY (it does own it, or it is set), -EBUSY (another task owns it),
 *   COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK. Nothing changed.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_future_own(struct coop_future *future);

/**
 * Sets a future to `value` (borrowed, handed on as it is), and wakes who waits.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EALREADY (set, failed or broken before), -EPERM (another task owns it),
 *   COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK. Nothing changed.
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API
int coop_future_set(struct coop_future *future, void *value);

/**
 * Sets a future to an error: whoever waits gets `code`.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (not negative; COOP_ECANCELED; -EAGAIN, which is what coop_future_get says of
 *   one that is not set), and those of coop_future_set.
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API
int coop_future_fail(struct coop_future *future, int code);

/**
 * Waits until a future is set; `ret_value` may be NULL.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, of the waiter; the future is as it was.
 * Errors: COOP_ECANCELED; what it was failed with; COOP_EBROKEN (its owner ended; the
 *   error names it); -EDEADLK (its owner is the caller, or waits for it);
 *   COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_future_wait(struct coop_future *future, void **ret_value);

/**
 * Gets what a future was set to, if it was; `ret_value` may be NULL.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EAGAIN (not yet); what it was failed with; COOP_EBROKEN;
 *   COOP_EWRONGTHREAD, COOP_ECLOSED.
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_future_get(const struct coop_future *future, void **ret_value);

/** Numbers of a future. */
struct coop_future_stats {
	const struct coop_task *owner; /* borrowed until the next switch; NULL: nobody */
	bool done;
	int code; /* of one that is done */
	uint32_t waiting;
	uint32_t _reserved1;
	uint64_t _reserved[2];
};

/**
 * Tells the numbers of a future.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_EWRONGTHREAD, COOP_ECLOSED.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_future_stats(const struct coop_future *future, struct coop_future_stats *ret_stats);

/**
 * Gives a future up.   Returns nothing; NULL is fine.
 *
 * Checkpoint: never.
 * Errors: none; aborts the program, naming both tasks, if one still waits, or owns it
 *   and has not set it.
 * Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
void coop_future_deinit(struct coop_future *future);

/* --------------------------------------------------------------------- once */

/** Something that is to be done once, by whoever needs it first. */
struct coop_once {
	void *_home;
	void *_queue[2];
	void *_held[3];
	struct coop_task *_runner;
	int32_t _value;
	uint32_t _state;
	uint64_t _reserved;
};
#define COOP_ONCE_INIT { 0, { 0, 0 }, { 0, 0, 0 }, 0, 0, 0, 0 }
COOP_STATIC_ASSERT(sizeof(struct coop_once) == 72, "struct coop_once is ABI");

/**
 * Runs fn(arg), unless that was done; waits if another task is at it.
 *
 * If it fails, its caller gets the failure, and the next caller tries in turn.
 *
 * Returns what fn returned when it succeeded, this time or before.
 *
 * Checkpoint: always, then what fn does.
 * Cancel: COOP_ECANCELED; not run, or fn's own and it counts as not done.
 * Errors: COOP_ECANCELED, fn's, -EINVAL (no function), -EDEADLK (called by fn, or the
 *   task at it waits for the caller), COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_once_run(struct coop_once *once, coop_fn *fn, void *arg);

/**
 * Tells whether it was done.   Returns true or false.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
bool coop_once_done(const struct coop_once *once);

/** Numbers of a once. */
struct coop_once_stats {
	const struct coop_task *runner; /* who is at it; borrowed until the next switch */
	bool done;
	uint32_t waiting;
	uint64_t _reserved[2];
};

/**
 * Tells the numbers of a once.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_EWRONGTHREAD, COOP_ECLOSED.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_once_stats(const struct coop_once *once, struct coop_once_stats *ret_stats);

/**
 * Gives a once up.   Returns nothing; NULL is fine.
 *
 * Checkpoint: never.
 * Errors: none; aborts the program, naming both tasks, if one still waits or is at it.
 * Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
void coop_once_deinit(struct coop_once *once);

/* ------------------------------------------------------------------ latches */

/** A count of what is still to be done; tasks wait until there is nothing. */
struct coop_latch {
	void *_home;
	void *_queue[2];
	uint32_t _count;
	uint32_t _reserved[3];
};
#define COOP_LATCH_INIT(count) { 0, { 0, 0 }, (count), { 0, 0, 0 } }
COOP_STATIC_ASSERT(sizeof(struct coop_latch) == 40, "struct coop_latch is ABI");

/**
 * Adds `count` to what is to be done; also to nothing.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EOVERFLOW, COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK (nothing changed).
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_latch_add(struct coop_latch *latch, uint32_t count);

/**
 * Takes one off; the last one wakes all who wait.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EOVERFLOW (there is nothing to be done), COOP_EWRONGTHREAD, COOP_ECLOSED,
 *   COOP_ENOTASK. Nothing changed.
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API
int coop_latch_done(struct coop_latch *latch);

/**
 * Waits until nothing is to be done.
 *
 * Returns 0, also if there is more to be done again when it runs.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; nothing has changed.
 * Errors: COOP_ECANCELED, COOP_EWRONGTHREAD, COOP_ECLOSED, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_latch_wait(struct coop_latch *latch);

/** Numbers of a latch. */
struct coop_latch_stats {
	uint32_t count;
	uint32_t waiting;
	uint64_t _reserved[2];
};

/**
 * Tells the numbers of a latch.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_EWRONGTHREAD, COOP_ECLOSED.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_latch_stats(const struct coop_latch *latch, struct coop_latch_stats *ret_stats);

/**
 * Gives a latch up.   Returns nothing; NULL is fine.
 *
 * Checkpoint: never.
 * Errors: none; aborts the program, naming both tasks, if one still waits.
 * Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
void coop_latch_deinit(struct coop_latch *latch);

/* ---------------------------------------------------------- cases of a select */

/**
 * Makes a case of coop_select that waits for an event.
 *
 * Returns the case; `event` is kept by it. NULL: one that is never chosen.
 *
 * Checkpoint: never.   Errors: none; the case's rc: 0, COOP_EWRONGTHREAD, COOP_ECLOSED.
 * Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
struct coop_case coop_case_event(struct coop_event *event);

/**
 * Makes a case of coop_select that waits for a pulse, and takes it if it is chosen.
 *
 * Returns the case; `pulse` is kept by it. NULL: one that is never chosen.
 *
 * Checkpoint: never.   Errors: none; the case's rc: 0, COOP_EWRONGTHREAD, COOP_ECLOSED.
 * Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
struct coop_case coop_case_pulse(struct coop_pulse *pulse);

/**
 * Makes a case of coop_select that waits for a permit, and has it if it is chosen.
 *
 * Returns the case; `sem` is kept by it. NULL: one that is never chosen.
 *
 * Checkpoint: never.
 * Errors: none; the case's rc: 0, -EINVAL, COOP_EWRONGTHREAD, COOP_ECLOSED.
 * Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
struct coop_case coop_case_sem(struct coop_sem *sem);

/**
 * Makes a case of coop_select that waits for a future.
 *
 * `ret_value` (may be NULL) is written if the case is chosen and its rc is 0.
 *
 * Returns the case; `future` and `ret_value` are kept by it. NULL: one that is never chosen.
 *
 * Checkpoint: never.   Errors: none; the case's rc: as coop_future_get.
 * Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
struct coop_case coop_case_future(struct coop_future *future, void **ret_value);

COOP_END_DECLS

#endif
