/* SPDX-License-Identifier: MIT */
/*
 * Run soon: calls into a run from anywhere, signal handlers above all.
 *
 * All tokens of a run are one object with a ring of calls, taken once. Whoever has a call claims
 * a cell by one compare-and-swap, fills it, publishes it by its number, and tells the loop unless
 * that has been told already. A handler that interrupts somebody between claim and publication
 * gets the next cell; the calls behind an unpublished one wait until its owner has published it,
 * and told.
 *
 * The calls are made by a task of the runtime's own, so they may use whatever a task may. It is a
 * service: cancelled when nobody else is left, or ended by a call that failed. Then it closes the
 * ring, waits for those who are just in it, makes all the calls that were accepted, and ends.
 *
 * Invariants
 *   1. A cell whose number is n is free for call n; with n + 1 it holds it; the caller of call n
 *      makes it n + COOP_SOON_MAX.
 *   2. An accepted call is made once, in order of claims, unless the process ends first.
 *   3. A struct coop_soon is in at most one cell; it is out of it before its call begins.
 */
#include "base/forks.h"
#include "core/group.h"
#include "core/park.h"
#include "core/post.h"

#include <coop/thread.h>

#include <errno.h>

#define CP_SOON_BATCH 64 /* calls between two turns of the other tasks */

struct cell {
	uint64_t number; /* atomic */
	coop_fn *fn;
	void *arg;
	struct coop_soon *soon; /* NULL: none */
};

struct coop_token {
	uint32_t refs;      /* atomic */
	uint32_t forks;     /* of its process */
	bool told;          /* atomic: the post is under way */
	bool closed;        /* atomic */
	uint64_t next;      /* atomic: the call to be claimed next */
	uint64_t overflows; /* atomic */
	struct cp_inbox *inbox;
	struct cp_post post;

	/* the loop's */
	struct coop_task *task;
	bool parked;
	uint64_t done; /* calls made */
	struct cell cells[COOP_SOON_MAX];
};

/* ---------------------------------------------------------------------- references */

struct coop_token *coop_token_ref(struct coop_token *token)
{
	if (token)
		__atomic_fetch_add(&token->refs, 1, __ATOMIC_RELAXED);
	return token;
}

struct coop_token *coop_token_unref(struct coop_token *token)
{
	if (token && __atomic_fetch_sub(&token->refs, 1, __ATOMIC_ACQ_REL) == 1) {
		cp_inbox_unref(token->inbox);
		cp_free(token);
	}
	return NULL;
}

/* ------------------------------------------------------------------------- any thread */

/* A cell for one call; NULL: all are taken. */
static struct cell *claim(struct coop_token *t, uint64_t *ret_number)
{
	uint64_t n = __atomic_load_n(&t->next, __ATOMIC_RELAXED);

	for (;;) {
		struct cell *c = &t->cells[n % COOP_SOON_MAX];
		uint64_t number = __atomic_load_n(&c->number, __ATOMIC_ACQUIRE);

		if (number < n)
			return NULL;
		if (number > n) { /* somebody has claimed it meanwhile */
			n = __atomic_load_n(&t->next, __ATOMIC_RELAXED);
			continue;
		}
		if (__atomic_compare_exchange_n(&t->next, &n, n + 1, true, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED)) {
			*ret_number = n;
			return c;
		}
	}
}

static int push(struct coop_token *t, coop_fn *fn, void *arg, struct coop_soon *soon)
{
	struct cell *c;
	uint64_t n;

	if (__atomic_load_n(&t->closed, __ATOMIC_SEQ_CST)) /* pairs with close_ring */
		return COOP_ECLOSED;
	c = claim(t, &n);
	if (!c) {
		__atomic_fetch_add(&t->overflows, 1, __ATOMIC_RELAXED);
		return -EAGAIN;
	}
	c->fn = fn;
	c->arg = arg;
	c->soon = soon;
	__atomic_store_n(&c->number, n + 1, __ATOMIC_RELEASE);
	if (!__atomic_exchange_n(&t->told, true, __ATOMIC_ACQ_REL)) {
		coop_token_ref(t); /* the post's */
		if (cp_post(t->inbox, &t->post) < 0)
			coop_token_unref(t); /* the ring is being emptied anyway */
	}
	return 0;
}

static int run_soon(struct coop_token *t, coop_fn *fn, void *arg, struct coop_soon *soon)
{
	int r;

	if (t->forks != cp_forks())
		return COOP_EFORK; /* a copy, in a child where the run is not */
	if (!cp_inbox_enter(t->inbox))
		return COOP_ECLOSED;
	r = push(t, fn, arg, soon);
	cp_inbox_leave(t->inbox);
	return r;
}

int coop_run_soon(struct coop_token *token, coop_fn *fn, void *arg)
{
	return fn ? run_soon(token, fn, arg, NULL) : -EINVAL;
}

int coop_run_soon_once(struct coop_token *token, struct coop_soon *soon)
{
	int r;

	if (!soon || !soon->_fn)
		return -EINVAL;
	if (__atomic_exchange_n(&soon->_queued, 1, __ATOMIC_ACQ_REL))
		return 1;
	r = run_soon(token, soon->_fn, soon->_arg, soon);
	if (r < 0)
		__atomic_store_n(&soon->_queued, 0, __ATOMIC_RELEASE);
	return r;
}

uint64_t coop_token_overflows(const struct coop_token *token)
{
	return __atomic_load_n(&token->overflows, __ATOMIC_RELAXED);
}

/* --------------------------------------------------------------------------- the task */

static void arrived(struct cp_rt *rt, struct cp_post *post)
{
	struct coop_token *t = CP_CONTAINER_OF(post, struct coop_token, post);

	__atomic_store_n(&t->told, false, __ATOMIC_SEQ_CST); /* before the ring is looked at */
	if (t->parked) {
		t->parked = false;
		cp_wake(rt, t->task, 0);
	}
	coop_token_unref(t);
}

/* The next call, out of the ring; false: none that is published. */
static bool take(struct coop_token *t, struct cell *ret_cell)
{
	struct cell *c = &t->cells[t->done % COOP_SOON_MAX];

	if (__atomic_load_n(&c->number, __ATOMIC_ACQUIRE) != t->done + 1)
		return false;
	*ret_cell = *c;
	__atomic_store_n(&c->number, t->done + COOP_SOON_MAX, __ATOMIC_RELEASE);
	t->done++;
	if (ret_cell->soon)
		__atomic_store_n(&ret_cell->soon->_queued, 0, __ATOMIC_RELEASE);
	return true;
}

/* Makes calls until one fails, or there are none, or others have to have their turn. */
static int make_calls(struct coop_token *t, unsigned max)
{
	struct cell c;
	int r = 0;

	while (r >= 0 && max-- && take(t, &c))
		r = c.fn(c.arg);
	return r;
}

static bool park_abort(struct cp_wait *wait)
{
	((struct coop_token *)(uintptr_t)wait->on)->parked = false;
	return true;
}

static bool is_empty(const struct coop_token *t)
{
	const struct cell *c = &t->cells[t->done % COOP_SOON_MAX];

	return __atomic_load_n(&c->number, __ATOMIC_ACQUIRE) != t->done + 1;
}

/* Until a call fails (*ret_failed), or this task is cancelled. */
static int serve(struct cp_rt *rt, struct coop_token *t, bool *ret_failed)
{
	struct cp_wait wait;
	int r;

	for (;;) {
		r = make_calls(t, CP_SOON_BATCH);
		*ret_failed = r < 0;
		if (r < 0)
			return r;
		r = cp_cancel_point(rt);
		if (r < 0)
			return r;
		if (!is_empty(t)) {
			coop_yield();
			continue;
		}
		wait = (struct cp_wait){ .abort = park_abort, .what = "coop_run_soon", .on = t };
		t->parked = true;
		r = cp_park(rt, &wait);
		if (r < 0) {
			cp_ignored(rt);
			return r;
		}
	}
}

/* Nothing is accepted any more, and what was, is called, whatever else fails. */
static void close_ring(struct cp_rt *rt, struct coop_token *t)
{
	struct coop_error *err = cp_err_slot_aside(&rt->body->err);
	int r;

	__atomic_store_n(&t->closed, true, __ATOMIC_SEQ_CST); /* pairs with push */
	cp_inbox_settle(t->inbox);
	while (!is_empty(t)) {
		r = make_calls(t, COOP_SOON_MAX);
		if (r < 0 && r != COOP_ECANCELED)
			coop_log(COOP_LOG_ERROR, "coop_run_soon: one more call failed: %s",
				 coop_code_text(r));
	}
	cp_err_slot_drop(&rt->body->err);
	rt->body->err = err;
}

static int soon_main(void *arg)
{
	struct coop_token *t = arg;
	struct cp_rt *rt = cp_rt;
	bool failed;
	int r;

	t->task = rt->cur;
	r = serve(rt, t, &failed);
	close_ring(rt, t);
	rt->soon = NULL;
	rt->external--;
	coop_token_unref(t);
	if (failed && r == COOP_ECANCELED)
		return coop_fail(COOP_ESPURIOUSCANCEL, "a call of coop_run_soon returned it");
	return r;
}

static int token_new(struct cp_rt *rt, struct coop_token **ret_token)
{
	struct coop_token *t = cp_inbox_of(rt) ? cp_calloc(1, sizeof *t) : NULL;
	int r;

	if (!t)
		return -ENOMEM;
	t->refs = 1; /* the task's */
	t->forks = cp_forks();
	t->post.arrived = arrived;
	t->inbox = cp_inbox_ref(rt->inbox);
	for (uint64_t i = 0; i < COOP_SOON_MAX; i++)
		t->cells[i].number = i;
	r = cp_spawn_system(rt, soon_main, t, "run soon");
	if (r < 0) {
		coop_token_unref(t);
		return r;
	}
	rt->external++;
	*ret_token = t;
	return 0;
}

int coop_token_open(struct coop_token **ret_token)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	if (!rt->soon) {
		if (cp_group_usable(&rt->group) < 0)
			return COOP_ECLOSED;
		r = token_new(rt, &rt->soon);
		if (r < 0)
			return r;
	}
	*ret_token = coop_token_ref(rt->soon);
	return 0;
}
