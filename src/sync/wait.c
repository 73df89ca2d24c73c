/* SPDX-License-Identifier: MIT */
/*
 * Waiting for several tasks, which live in groups of their own.
 *
 * One park with a watch on each task; the first that satisfies the wait wakes the waiter, once,
 * and all watches are taken back before it returns. A few watches lie in the frame, more
 * of them in one block. A wait changes nothing about the tasks, and takes no error from them.
 */
#include "core/core.h"

#include <errno.h>
#include <string.h>

/* So many watches need no memory. */
#define FEW 8

static void fill_slot(struct coop_slot *slot, const struct coop_handle *h)
{
	slot->state = coop_handle_state(h);
	slot->rc = cp_handle_check(h);
	slot->err = coop_error_ref(coop_handle_error(h));
}

/* A wait for several: what satisfies it, and what has come so far. */
struct many {
	struct cp_watch *watches;
	struct coop_handle *const *handles;
	size_t count;
	size_t open; /* watches on those that have not ended */
	enum coop_wait_until until;
	bool stop_on_cancelled; /* gather: a cancelled one ends the wait too */
	bool satisfied;
	bool parked;
	struct coop_task *task;
};

static bool is_bad(const struct many *m, const struct coop_handle *h)
{
	if (!h->ended)
		return false;
	return h->state == COOP_TASK_FAILED ||
	       (m->stop_on_cancelled && h->state == COOP_TASK_CANCELLED);
}

static void judge_one(struct many *m, const struct coop_handle *h)
{
	if (m->open == 0 || m->until == COOP_WAIT_FIRST ||
	    (m->until == COOP_WAIT_FIRST_ERROR && is_bad(m, h)))
		m->satisfied = true;
}

static void one_ended(struct cp_rt *rt, struct cp_watch *w)
{
	struct many *m = w->ctx;
	size_t i = (size_t)(w - m->watches);

	m->open--;
	if (m->satisfied)
		return;
	judge_one(m, m->handles[i]);
	if (m->satisfied && m->parked)
		cp_wake(rt, m->task, 0);
}

static void unwatch_all(struct many *m)
{
	for (size_t i = 0; i < m->count; i++)
		cp_handle_unwatch(&m->watches[i]);
}

static bool many_abort(struct cp_wait *w)
{
	((struct many *)w->ctx)->satisfied = true; /* nobody wakes it any more */
	return true;
}

/* The same handle twice is watched twice, ends at once, and is counted for both. */
static int watch_all(struct cp_rt *rt, struct many *m)
{
	bool any = m->until == COOP_WAIT_FIRST && m->count > 1;
	char text[400];

	for (size_t i = 0; i < m->count; i++) {
		struct coop_handle *h = m->handles[i];

		if (!h->ended && h->rt != rt)
			return COOP_EWRONGTHREAD;
		if (h->ended)
			continue;
		if ((!any || h->task == rt->cur) &&
		    cp_would_deadlock(rt, h->task, false, text, sizeof text))
			return coop_fail(-EDEADLK, "%s", text);
		m->watches[i].task = rt->cur;
		m->watches[i].one_of_several = any;
		m->watches[i].ended = one_ended;
		m->watches[i].ctx = m;
		cp_handle_watch(h, &m->watches[i]);
		m->open++;
	}
	if (m->open == 0)
		m->satisfied = true;
	for (size_t i = 0; i < m->count; i++)
		if (m->handles[i]->ended)
			judge_one(m, m->handles[i]);
	return 0;
}

/*
 * Waits until `m` is satisfied. The scope around it may have a time limit that is over already, so
 * it is asked here whether to wait at all.
 */
static int wait_many(struct cp_rt *rt, struct many *m, const char *what)
{
	struct cp_wait w = { .abort = many_abort,
			     .what = what,
			     .kind = CP_ON_TASKS,
			     .on = m->handles,
			     .detail_ns = (int64_t)m->count,
			     .ctx = m };
	struct cp_watch few[FEW] = { { .next = NULL } };
	int r;

	m->watches = m->count <= FEW ? few : cp_calloc(m->count, sizeof *m->watches);
	if (!m->watches)
		return -ENOMEM;
	m->task = rt->cur;
	r = watch_all(rt, m);
	if (r >= 0 && !m->satisfied && rt->body->inner->_eff) {
		r = cp_cancel_hit(rt);
	} else if (r >= 0 && !m->satisfied) {
		m->parked = true;
		r = cp_park(rt, &w);
		if (r < 0)
			cp_ignored(rt);
	} else if (r >= 0) {
		cp_schedule_point(rt);
	}
	unwatch_all(m);
	if (m->watches != few)
		cp_free(m->watches);
	m->watches = NULL;
	return r;
}

static int count_ended(struct coop_handle *const *handles, size_t count)
{
	int n = 0;

	for (size_t i = 0; i < count; i++)
		n += handles[i]->ended;
	return n;
}

int coop_wait(struct coop_handle *const *handles, size_t count, enum coop_wait_until until,
	      int64_t timeout_ns, bool *ret_timed_out)
{
	struct cp_rt *rt = cp_in_task();
	struct many m = { .handles = handles, .count = count, .until = until };
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_error *err;
	int r;

	if (!rt)
		return cp_no_task();
	if (!count || timeout_ns < 0 || (unsigned)until > COOP_WAIT_FIRST_ERROR)
		return cp_refuse(-EINVAL);
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_wait");
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	err = cp_err_slot_aside(&rt->body->err);
	coop_scope_open(&s, NULL);
	r = coop_scope_set_deadline(&s, cp_time_add(coop_now(), timeout_ns));
	if (r >= 0)
		r = wait_many(rt, &m, "coop_wait");
	r = coop_scope_close(&s, r);
	cp_err_slot_back(&rt->body->err, err);
	if (r < 0)
		return r;
	if (ret_timed_out)
		*ret_timed_out = coop_scope_caught(&s);
	return count_ended(handles, count);
}

/* The first failure in time is not known any more; the first in order stands for it. */
static int first_bad(struct cp_rt *rt, struct coop_handle *const *handles, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int r = cp_handle_check(handles[i]);

		if (r >= 0 || !handles[i]->ended) /* its own code may be -EAGAIN */
			continue;
		if (handles[i]->err) {
			cp_err_slot_drop(&rt->body->err);
			rt->body->err = coop_error_ref(handles[i]->err);
		}
		return r;
	}
	return 0;
}

int coop_gather_abandon(struct coop_handle *const *handles, size_t count,
			struct coop_slot *ret_slots)
{
	struct cp_rt *rt = cp_in_task();
	struct many m = { .handles = handles,
			  .count = count,
			  .until = COOP_WAIT_FIRST_ERROR,
			  .stop_on_cancelled = true };
	int r;

	if (!rt)
		return cp_no_task();
	if (!count)
		return 0;
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_gather_abandon");
	r = cp_cancel_point(rt);
	if (r >= 0)
		r = wait_many(rt, &m, "coop_gather_abandon");
	if (r == COOP_ECANCELED)
		for (size_t i = 0; i < count; i++)
			coop_handle_cancel(handles[i], "its gather was cancelled");
	else if (r >= 0)
		r = first_bad(rt, handles, count);
	for (size_t i = 0; ret_slots && i < count; i++)
		fill_slot(&ret_slots[i], handles[i]);
	return r;
}

/* ------------------------------------------------------ a gather that ends its tasks */

/* The code of the whole, once all have ended: a failure outranks a hole. */
static int worst(struct cp_rt *rt, struct coop_handle *const *handles, size_t count)
{
	int r = 0;

	for (size_t i = 0; i < count; i++) {
		if (handles[i]->state == COOP_TASK_FAILED)
			return first_bad(rt, &handles[i], 1);
		if (handles[i]->state == COOP_TASK_CANCELLED)
			r = COOP_ETASKCANCELLED;
	}
	return r;
}

/* Waits for them in turn; *ret_stuck: of one that cannot end before the caller goes on. */
static int wait_rest(const struct many *m, struct coop_error **ret_stuck)
{
	int r = 0;

	for (size_t i = 0; i < m->count && r != COOP_ECANCELED; i++) {
		if (m->handles[i]->ended)
			continue;
		r = coop_handle_wait(m->handles[i], NULL);
		if (m->handles[i]->ended || r == COOP_ECANCELED)
			continue;
		coop_error_unref(*ret_stuck);
		*ret_stuck = coop_error_take(r);
	}
	return r == COOP_ECANCELED ? r : 0;
}

/* Cancels those that have not ended and waits for them, which takes no memory. */
static int end_rest(const struct many *m, const char *reason)
{
	struct coop_scope_opts opts = { .shield = true };
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_error *err = cp_err_slot_aside(&cp_rt->body->err), *stuck = NULL;
	int r;

	for (size_t i = 0; i < m->count; i++)
		coop_handle_cancel(m->handles[i], reason);
	coop_scope_open(&s, &opts);
	r = wait_rest(m, &stuck);
	cp_err_slot_drop(&cp_rt->body->err); /* theirs, which is read from the handles */
	r = coop_scope_close(&s, r);
	cp_err_slot_back(&cp_rt->body->err, err);
	if (r >= 0 && stuck)
		return coop_error_raise(stuck);
	coop_error_unref(stuck);
	return r;
}

/* Waits until all have ended, or one has failed: then for the others' end. */
static int gather_all(struct cp_rt *rt, struct many *m)
{
	int r = cp_cancel_point(rt);

	if (r >= 0)
		r = wait_many(rt, m, "coop_gather_handles");
	if (r == COOP_ECANCELED)
		r = end_rest(m, "its gather was cancelled");
	else if (r >= 0 && m->open)
		r = end_rest(m, "another task of its gather failed");
	return r;
}

int coop_gather_handles(struct coop_handle *const *handles, size_t count,
			enum coop_gather_mode mode, struct coop_slot *ret_slots)
{
	bool collect = mode == COOP_GATHER_COLLECT;
	struct many m = { .handles = handles,
			  .count = count,
			  .until = collect ? COOP_WAIT_ALL : COOP_WAIT_FIRST_ERROR };
	struct cp_rt *rt = cp_in_task();
	char text[400];
	int r;

	if (!rt)
		return cp_no_task();
	if ((unsigned)mode > COOP_GATHER_COLLECT || (count && !handles))
		return -EINVAL;
	if (!count)
		return 0;
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_gather_handles");
	for (size_t i = 0; i < count; i++) {
		if (!handles[i]->ended && handles[i]->rt != rt)
			return COOP_EWRONGTHREAD;
		if (cp_would_deadlock(rt, handles[i]->task, true, text, sizeof text))
			return coop_fail(-EDEADLK, "%s", text);
	}
	r = gather_all(rt, &m);
	if (r < 0)
		return r; /* no memory, forced, or one that waits for the caller */
	for (size_t i = 0; ret_slots && i < count; i++)
		fill_slot(&ret_slots[i], handles[i]);
	r = worst(rt, handles, count);
	if (r < 0 && (collect || r == COOP_ETASKCANCELLED) && coop_cancelled())
		return coop_checkpoint_if_cancelled();
	return collect ? 0 : r;
}
