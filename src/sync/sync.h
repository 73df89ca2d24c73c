/* SPDX-License-Identifier: MIT */
/*
 * What the primitives of sync.h share.
 *
 * Each lies in memory of the program and begins with its *home*: nothing before the first use, then
 * the thread it was first used on (the address of that thread's errno, which the runtime knows as
 * well), in the end a mark that says it was given up. One comparison on the way of every call finds
 * the first use, the wrong thread and the use after deinit; so initialisers are all zero, nothing
 * has to be registered, and a static primitive serves one run after the other.
 *
 * Each call has a way that does not wait, one function deep, and a slow one behind it that checks
 * everything anew and in order: cancellation, home, state.
 */
#ifndef CP_SYNC_H
#define CP_SYNC_H

#include "core/park.h"

#include <coop/sync.h>

#include <errno.h>

CP_INLINE bool cp_sync_at_home(const void *home, const struct cp_rt *rt)
{
	return home == (const void *)rt->errno_p;
}

/* 0, with *home set at the first use; COOP_EWRONGTHREAD or COOP_ECLOSED. */
int cp_sync_home(void **home, struct cp_rt *rt);

/* For calls that only look, in a run or between runs: 0, COOP_EWRONGTHREAD or COOP_ECLOSED. */
int cp_sync_look(const void *home);

/* Gives the primitive up; `call` ends the program if somebody waits at `q`. */
void cp_sync_deinit(void **home, const struct cp_queue *q, const char *call);

/* Ends the program: `call` was used while `t` (NULL: somebody) has to do with it in this way. */
_Noreturn void cp_sync_die(const char *call, const struct coop_task *t, const char *text);

/* Some task that has a share of `of` in its body; NULL: none has. */
const struct coop_task *cp_sync_holder(const void *of);

/* `code`, with an error that names a task that has ended, by its number and its spawn's site. */
int cp_sync_owner_ended(int code, const char *site, uint64_t id);

CP_INLINE int cp_sync_owner_dead(const char *site, uint64_t id)
{
	return cp_sync_owner_ended(COOP_EOWNERDEAD, site, id);
}

/* `r`, of a call that cannot wait: with the half of its checkpoint that is left, so that a loop
 * over such calls lets others run. The primitive may be gone afterwards. */
CP_INLINE int cp_sync_refused(struct cp_rt *rt, int r)
{
	cp_schedule_point(rt);
	return r;
}

uint32_t cp_sync_waiting(const struct cp_queue *q);

/* What every wait says of itself; the rest of it is left as it is. */
CP_INLINE void cp_sync_fill(struct cp_wait *w, const char *what)
{
	w->abort = NULL;
	w->what = what;
	w->on = NULL;
	w->kind = CP_ON_NOTHING;
	w->detail_ns = 0;
}

/* Queues the running task at `q` and waits: what it is woken with, or COOP_ECANCELED. */
CP_INLINE int cp_sync_wait(struct cp_rt *rt, struct cp_queue *q, const char *what)
{
	struct cp_queue_wait w;

	cp_sync_fill(&w.wait, what);
	return cp_queue_park(rt, q, &w);
}

#endif
