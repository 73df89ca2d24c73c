/* SPDX-License-Identifier: MIT */
/*
 * Channels between threads, for the two files that they are in: xchan.c, and xchan_case.c for the
 * select.
 */
#ifndef CP_XCHAN_H
#define CP_XCHAN_H

#include "core/post.h"
#include "sync/channel.h"

#include <pthread.h>

/* Who waits in a call of his own: in the frame of that. */
struct xwaiter {
	struct xwaiter *next, *prev;
	struct xqueue *queue; /* NULL: settled, or taken out */
	void *item;
	int result;
	uint32_t woken;         /* atomic: what a thread sleeps on */
	struct cp_inbox *inbox; /* of a task's run; NULL: a thread */
	struct cp_post post;
	struct coop_task *task;
};

struct xqueue {
	struct xwaiter *first, *last;
	uint32_t count;
};

/*
 * Who waits in a select: in its case. Where there is a buffer it is told that there may be
 * something, and its loop tries whether there is; where there is none it is met.
 *
 *   NONE --enlist--> LISTED --told--> TOLD --arrived--> NONE, chosen; or LISTED: it was too late
 *   LISTED, TOLD --met--> MET --arrived--> NONE, chosen
 *   LISTED --withdraw--> NONE
 *   TOLD --withdraw--> LEFT --arrived--> NONE
 *   LEFT --the select's task waits for it--> AWAITED --arrived--> NONE, woken
 *
 * Any thread makes TOLD of LISTED, and MET of either, under the lock; all else is done by the loop,
 * of LISTED and TOLD under the lock, too.
 */
enum xlookout_state {
	CP_XL_NONE,
	CP_XL_LISTED,
	CP_XL_TOLD,
	CP_XL_MET,
	CP_XL_LEFT,
	CP_XL_AWAITED,
};

struct xlookout {
	struct xlookout *next, *prev; /* LISTED; then `next` is of those still to be posted */
	struct cp_inbox *inbox;       /* of its run */
	struct cp_post post;          /* TOLD, MET, LEFT, AWAITED */
};

struct xlookouts {
	struct xlookout *first, *last;	    /* the LISTED ones */
	struct cp_waiter *told, *told_last; /* the TOLD ones, by the entries of their cases */
	uint32_t count, told_count;	    /* of all; of the TOLD ones */
};

struct coop_xchan {
	uint32_t refs;  /* atomic */
	uint32_t forks; /* of the process it was made in: base/forks.h */
	pthread_mutex_t lock;
	struct xqueue senders, receivers;
	struct xlookouts sends, receives; /* of selects */
	struct coop_xchan_opts opts;
	struct coop_xchan_stats stats;
	size_t head; /* index of the oldest value in the ring */
	_Alignas(16) unsigned char ring[];
};

/* Whom a call has to wake when it has given the lock back. */
struct xtold {
	struct xwaiter *waiter;    /* settled; NULL: nobody */
	struct xlookout *lookouts; /* linked by `next` */
};

CP_INLINE void cp_xchan_lock(struct coop_xchan *x)
{
	pthread_mutex_lock(&x->lock);
}

CP_INLINE void cp_xchan_unlock(struct coop_xchan *x)
{
	pthread_mutex_unlock(&x->lock);
}

/* xchan.c: a send or a receive, by `q`: where it would wait. 0, an error, or -EAGAIN. Locked. */
int cp_xchan_now(struct coop_xchan *x, struct xqueue *q, void *item, struct xtold *told);
/* With the lock and on its own. */
int cp_xchan_try(struct coop_xchan *x, struct xqueue *q, void *item);
/* Without the lock. */
void cp_xchan_wake(const struct xtold *told);

/* xchan_case.c: there is something for one of those that look out, or for all of them. Locked. */
void cp_xlookout_tell(struct xlookouts *l, struct xtold *told);
void cp_xlookout_tell_all(struct xlookouts *l, struct xtold *told);
/* Without the lock: the loops hear of it. */
void cp_xlookout_post(struct xlookout *first);
/* At a channel without a buffer: is there a select at the other end of `q`? Then it has the value,
 * or has given it, and 0 is returned; or -EAGAIN. Locked. */
int cp_xlookout_meet(struct coop_xchan *x, struct xqueue *q, void *item, struct xtold *told);

#endif
