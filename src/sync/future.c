/* SPDX-License-Identifier: MIT */
/*
 * Futures: a value that somebody will set once.
 *
 *   PENDING --set--> DONE (_code 0)      PENDING --fail--> DONE (_code negative)
 *   PENDING --its owner ends--> DONE (_code COOP_EBROKEN)
 *
 * Invariants
 *   1. Once DONE, nothing changes any more and nobody waits; _owner is NULL.
 *   2. Who waits is given the answer in its own frame when the future is set: what becomes of the
 *      future before the waiter runs is no concern of it.
 *   3. A pending future that has an owner is on the list of what that task holds.
 */
#include "sync/select.h"
#include "sync/sync.h"

enum { PENDING, DONE };

struct future_wait {
	struct cp_queue_wait w;
	void *value;
	const char *ended_site; /* of an owner that has ended */
	uint64_t ended_id;
};

CP_INLINE struct cp_queue *queue_of(const struct coop_future *future)
{
	return (struct cp_queue *)future->_queue;
}

CP_INLINE struct cp_held *held_of(struct coop_future *future)
{
	return (struct cp_held *)future->_held;
}

/* A code with the error that belongs to it. */
static int answer(int code, const char *ended_site, uint64_t ended_id)
{
	return code == COOP_EBROKEN && ended_site ? cp_sync_owner_ended(code, ended_site, ended_id)
						  : code;
}

/* -------------------------------------------------------------------- setting */

static void answer_case(const struct coop_case *c, int code, void *value)
{
	void **ret_value = c->_item;

	if (code == 0 && ret_value)
		*ret_value = value;
}

static void answer_wait(struct future_wait *w, const struct coop_future *future)
{
	w->value = future->_value;
	w->ended_site = future->_ended_site;
	w->ended_id = future->_ended_id;
}

static void settle(struct cp_rt *rt, struct coop_future *future, int code, void *value)
{
	struct cp_waiter *e;

	future->_owner = NULL;
	future->_code = code;
	future->_value = value;
	future->_state = DONE;
	while ((e = cp_select_take(queue_of(future)))) {
		if (e->chosen)
			answer_case(cp_case_of(e), code, value);
		else
			answer_wait(CP_CONTAINER_OF(e, struct future_wait, w.entry), future);
		cp_waiter_wake(rt, e, code);
	}
}

static CP_COLD void owner_ended(struct cp_rt *rt, struct cp_held *held)
{
	struct coop_future *future = CP_CONTAINER_OF((void **)held, struct coop_future, _held[0]);

	future->_ended_site = cp_task_site_raw(future->_owner);
	future->_ended_id = cp_task_id(rt, future->_owner);
	settle(rt, future, COOP_EBROKEN, NULL);
}

int coop_future_own(struct coop_future *future)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	r = cp_sync_home(&future->_home, rt);
	if (r < 0)
		return r;
	if (future->_state == DONE || future->_owner == rt->cur)
		return -EALREADY;
	if (future->_owner)
		return -EBUSY;
	future->_owner = rt->cur;
	held_of(future)->waiters = queue_of(future);
	held_of(future)->owner_ended = owner_ended;
	cp_held_push(rt->body, held_of(future));
	return 0;
}

static int set(struct coop_future *future, int code, void *value)
{
	struct cp_rt *rt = cp_rt;
	int r;

	if (!rt)
		return cp_no_task();
	r = cp_sync_home(&future->_home, rt);
	if (r < 0)
		return r;
	if (future->_state == DONE)
		return -EALREADY;
	if (future->_owner && future->_owner != rt->cur)
		return -EPERM;
	if (future->_owner)
		cp_held_pop(rt->body, held_of(future));
	settle(rt, future, code, value);
	return 0;
}

int coop_future_set(struct coop_future *future, void *value)
{
	return set(future, 0, value);
}

/* -EAGAIN would be taken for "not yet": by coop_future_get's caller, and by a select, for ever. */
int coop_future_fail(struct coop_future *future, int code)
{
	if (code >= 0 || code == COOP_ECANCELED || code == -EAGAIN)
		return -EINVAL;
	return set(future, code, NULL);
}

/* ------------------------------------------------------------------- waiting */

int coop_future_get(const struct coop_future *future, void **ret_value)
{
	int r = cp_sync_look(future->_home);

	if (r < 0)
		return r;
	if (future->_state != DONE)
		return -EAGAIN;
	if (future->_code < 0)
		return answer(future->_code, future->_ended_site, future->_ended_id);
	if (ret_value)
		*ret_value = future->_value;
	return 0;
}

static int wait_for(struct cp_rt *rt, struct coop_future *future, void **ret_value)
{
	struct future_wait w;
	char text[400];
	int r;

	if (future->_owner && cp_queue_would_deadlock(rt, queue_of(future), text, sizeof text))
		return cp_sync_refused(rt, coop_fail(-EDEADLK, "%s", text));
	cp_sync_fill(&w.w.wait, "coop_future_wait");
	w.w.wait.kind = CP_ON_OWNER;
	w.w.wait.owner = &future->_owner;
	r = cp_queue_park(rt, queue_of(future), &w.w);
	if (r < 0)
		return r == COOP_ECANCELED ? r : answer(r, w.ended_site, w.ended_id);
	if (ret_value)
		*ret_value = w.value;
	return 0;
}

int coop_future_wait(struct coop_future *future, void **ret_value)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_future_wait");
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	r = cp_sync_home(&future->_home, rt);
	if (r < 0)
		return cp_sync_refused(rt, r);
	if (future->_state != DONE)
		return wait_for(rt, future, ret_value);
	r = coop_future_get(future, ret_value);
	cp_schedule_point(rt); /* the future may be gone afterwards */
	return r;
}

int coop_future_stats(const struct coop_future *future, struct coop_future_stats *ret_stats)
{
	int r = cp_sync_look(future->_home);

	if (r < 0)
		return r;
	*ret_stats = (struct coop_future_stats){ .done = future->_state == DONE,
						 .code = future->_code,
						 .owner = future->_owner,
						 .waiting = cp_sync_waiting(queue_of(future)) };
	return 0;
}

void coop_future_deinit(struct coop_future *future)
{
	if (!future)
		return;
	if (cp_queue_empty(queue_of(future)) && future->_owner)
		cp_sync_die("coop_future_deinit", future->_owner, "owns it and has not set it");
	cp_sync_deinit(&future->_home, queue_of(future), "coop_future_deinit");
}
