/* SPDX-License-Identifier: MIT */
/* What a condition needs of the mutex: to wait in its queue with a result of its own. */
#ifndef CP_MUTEX_H
#define CP_MUTEX_H

#include "sync/sync.h"

/* Every entry in a mutex's queue is one of these. */
struct cp_mutex_wait {
	struct cp_queue_wait w;
	int result; /* what the wait returns once the lock is its task's */
	/* With COOP_EOWNERDEAD: who that was. The mutex may be gone when the task runs. */
	const char *ended_site;
	uint64_t ended_id;
};

CP_INLINE struct cp_queue *cp_mutex_queue(const struct coop_mutex *mutex)
{
	return (struct cp_queue *)mutex->_queue;
}

/* Of a mutex that has been used: does the running task own it? */
CP_INLINE bool cp_mutex_mine(const struct coop_mutex *mutex, const struct cp_rt *rt)
{
	return mutex->_owner == rt->cur;
}

/* The running task owns it and gives it up: it is the first waiter's, or free. */
void cp_mutex_give(struct cp_rt *rt, struct coop_mutex *mutex);

enum cp_mutex_reply {
	CP_MUTEX_TAKEN,  /* it was free, and is now the task's */
	CP_MUTEX_QUEUED, /* the entry is in the queue; its task is woken when it owns the lock */
	CP_MUTEX_DEAD,   /* its owner has ended */
};

/* For the parked task of `w`, whose entry is in no queue: takes the lock, or queues for it. */
enum cp_mutex_reply cp_mutex_requeue(struct coop_mutex *mutex, struct cp_mutex_wait *w);

/* The owner of the mutex has ended: the parked task of `w`, in no queue, is woken to be told. */
void cp_mutex_tell_dead(struct cp_rt *rt, const struct coop_mutex *mutex, struct cp_mutex_wait *w);

#endif
