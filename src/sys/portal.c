/* SPDX-License-Identifier: MIT */
/*
 * Portals: threads of the program have functions run as tasks of a group.
 *
 * A portal is a task, with a group of its own in its frame, and an object that any thread may
 * hold. A call is a *remote*: a thread makes it and posts it to the run's inbox; the loop queues it
 * at the portal, whose task spawns it. Its end is stored in the remote, on which threads sleep.
 * Whatever touches the queue, a remote's scope, or the portal's task runs in the loop's thread, so
 * nothing is locked; stopping and cancelling are posts, too.
 *
 * Invariants
 *   1. A remote has two kinds of owners: those of its threads, and the loop until its end is told.
 *      Its end is told exactly once: by its task, or by whoever takes it out of the queue.
 *   2. What arrives before the stop is begun, whatever happens; what arrives later is told
 *      COOP_ECLOSED at once.
 *   3. A call fails nobody but its caller: its task returns 0, or its cancellation.
 */
#include "base/forks.h"
#include "core/park.h"
#include "core/post.h"

#include <coop/thread.h>

#include <errno.h>

enum { STOPPED = 1, CANCELLED = 2, POSTED = 4 }; /* a portal's stop */
enum { STARTED = 1, TOLD = 2 };                  /* a remote's news */

struct coop_portal {
	uint32_t refs; /* atomic */
	uint32_t stop; /* atomic bits */
	uint32_t forks; /* of its process */
	struct cp_inbox *inbox;
	struct cp_post stop_post; /* holds a reference while it is under way */

	/* the loop's */
	struct coop_task *task;            /* once it has begun */
	struct coop_group *group;          /* in its frame; NULL: not begun, or joined */
	struct coop_remote *first, **last; /* not begun */
	struct cp_queue closers;
	bool parked;
	bool stopping; /* what arrives from now on is too late */
	bool ended;
};

struct coop_remote {
	uint32_t refs;         /* atomic */
	uint32_t news;         /* atomic bits; threads sleep on it */
	uint32_t cancel_asked; /* atomic */
	struct coop_portal *portal;
	struct cp_post post;
	struct cp_post cancel_post; /* holds a reference while it is under way */
	coop_fn *fn;
	coop_start_fn *start_fn; /* instead of fn */
	void *arg;
	bool deaf; /* nobody will ask how it ended */

	/* the loop's, until the news tells of them */
	struct coop_remote *next; /* of those not begun */
	bool queued;
	bool unwanted;            /* cancelled; also before it has a scope */
	bool ended;               /* of a start: before the starter could say that it has started */
	struct coop_scope *scope; /* that it runs in */
	int value;
	int rc;
	struct coop_error *err;
};

/* Is this a copy in a child of the portal's process, where its run is not? */
static bool is_forked(const struct coop_portal *p)
{
	return p->forks != cp_forks();
}

/* Whose errors the calling thread sees. */
static struct coop_error **slot_here(void)
{
	struct cp_rt *rt = cp_in_task();

	return rt ? &rt->body->err : cp_err_thread_slot();
}

/* ---------------------------------------------------------------------- references */

struct coop_portal *coop_portal_ref(struct coop_portal *portal)
{
	if (portal)
		__atomic_fetch_add(&portal->refs, 1, __ATOMIC_RELAXED);
	return portal;
}

struct coop_portal *coop_portal_unref(struct coop_portal *portal)
{
	if (portal && __atomic_fetch_sub(&portal->refs, 1, __ATOMIC_ACQ_REL) == 1) {
		cp_inbox_unref(portal->inbox);
		cp_free(portal);
	}
	return NULL;
}

struct coop_remote *coop_remote_ref(struct coop_remote *remote)
{
	if (remote)
		__atomic_fetch_add(&remote->refs, 1, __ATOMIC_RELAXED);
	return remote;
}

struct coop_remote *coop_remote_unref(struct coop_remote *remote)
{
	if (remote && __atomic_fetch_sub(&remote->refs, 1, __ATOMIC_ACQ_REL) == 1) {
		coop_error_unref(remote->err);
		coop_portal_unref(remote->portal);
		cp_free(remote);
	}
	return NULL;
}

/* -------------------------------------------------------------- the end of a remote */

static void tell(struct coop_remote *rm, uint32_t bit)
{
	/* Pairs with the acquire in wait_for: what the loop has written is the thread's. */
	__atomic_fetch_or(&rm->news, bit, __ATOMIC_RELEASE);
	cp_os_futex_wake(&rm->news, INT32_MAX);
}

static void log_unheard(int rc, struct coop_error *err)
{
	struct coop_error_info i;

	if (!err) {
		coop_log(COOP_LOG_WARN, "a task of a portal failed, and nobody asks: %s",
			 coop_code_text(rc));
		return;
	}
	cp_err_describe(err, &i);
	coop_log(COOP_LOG_WARN, "a task of a portal failed, and nobody asks: %s: %s",
		 coop_code_text(rc), i.message);
}

/* The one end of it; `err` is taken. The loop's reference goes with it. */
static void end(struct coop_remote *rm, int rc, struct coop_error *err)
{
	rm->rc = rc;
	rm->err = err;
	if (rm->deaf && rc < 0 && rc != COOP_ETASKCANCELLED)
		log_unheard(rc, err);
	tell(rm, TOLD);
	coop_remote_unref(rm);
}

/*
 * What the caller gets where the function returned `r` and its scope was left with `rc`; of a
 * cancellation, from inside or outside, that the task was cancelled.
 */
static int outcome(int r, int rc)
{
	return r == COOP_ECANCELED && (rc == 0 || rc == COOP_ECANCELED) ? COOP_ETASKCANCELLED : rc;
}

static struct coop_error *error_of(int rc)
{
	return rc < 0 && rc != COOP_ETASKCANCELLED ? coop_error_take(rc) : NULL;
}

/* What its task returns: a cancellation travels on, all else has been told to the caller. */
static int for_the_group(int rc)
{
	return rc == COOP_ECANCELED ? rc : 0;
}

/* ------------------------------------------------------------------ the task of a call */

static int run_call(void *arg)
{
	struct coop_scope scope = COOP_SCOPE_INIT;
	struct coop_remote *rm = arg;
	int r, rc;

	if (rm->unwanted) {
		end(rm, COOP_ETASKCANCELLED, NULL);
		return 0;
	}
	coop_scope_open(&scope, NULL);
	rm->scope = &scope;
	r = rm->fn(rm->arg);
	rm->scope = NULL;
	rc = coop_scope_close(&scope, r);
	end(rm, outcome(r, rc), error_of(outcome(r, rc)));
	return for_the_group(rc);
}

/* The child of a start; it may end before the starter could tell that it has started. */
static int start_main(void *arg, struct coop_start *start)
{
	struct coop_scope scope = COOP_SCOPE_INIT;
	struct coop_remote *rm = arg;
	int r, rc;

	if (rm->unwanted)
		return 0;
	coop_scope_open(&scope, NULL);
	rm->scope = &scope;
	r = rm->start_fn(rm->arg, start);
	rm->scope = NULL;
	rc = coop_scope_close(&scope, r);
	if (!start->called)
		return rc; /* the starter's failure */
	rm->rc = outcome(r, rc);
	rm->err = error_of(rm->rc);
	rm->ended = true;
	if (__atomic_load_n(&rm->news, __ATOMIC_RELAXED) & STARTED)
		end(rm, rm->rc, rm->err);
	return for_the_group(rc);
}

static int run_start(void *arg)
{
	struct coop_remote *rm = arg;
	int value = 0;
	int r = coop_start_with(rm->portal->group, start_main, rm, "call", &value, NULL);

	if (r >= 0) {
		rm->value = value;
		tell(rm, STARTED);
		if (rm->ended)
			end(rm, rm->rc, rm->err);
		return 0;
	}
	if (rm->ended) /* it had started, but a cancellation was faster */
		end(rm, rm->rc, rm->err);
	else if (rm->unwanted || r == COOP_ECANCELED)
		end(rm, COOP_ETASKCANCELLED, NULL);
	else
		end(rm, r, coop_error_take(r));
	return for_the_group(r);
}

/* -------------------------------------------------------------- the task of the portal */

static uint32_t stop_bits(const struct coop_portal *p)
{
	return __atomic_load_n(&p->stop, __ATOMIC_ACQUIRE);
}

static struct coop_remote *queue_take(struct coop_portal *p)
{
	struct coop_remote *rm = p->first;

	if (!rm)
		return NULL;
	p->first = rm->next;
	if (!rm->next)
		p->last = &p->first;
	rm->queued = false;
	return rm;
}

static void queue_remove(struct coop_portal *p, struct coop_remote *rm)
{
	struct coop_remote **at = &p->first;

	while (*at != rm)
		at = &(*at)->next;
	*at = rm->next;
	if (!rm->next)
		p->last = at;
	rm->queued = false;
}

static void begin(struct coop_portal *p, struct coop_remote *rm)
{
	int r = coop_spawn_at(p->group, rm->fn ? run_call : run_start, rm, "call\0" COOP_HERE);

	if (r < 0)
		end(rm, r, coop_error_take(r));
}

static bool park_abort(struct cp_wait *wait)
{
	((struct coop_portal *)(uintptr_t)wait->on)->parked = false;
	return true;
}

/* Until it is stopped or cancelled. */
static int serve(struct cp_rt *rt, struct coop_portal *p)
{
	struct coop_remote *rm;
	struct cp_wait wait;
	int r = 0;

	while (r >= 0 && !p->stopping) {
		rm = queue_take(p);
		if (rm) {
			begin(p, rm);
			continue;
		}
		r = cp_cancel_point(rt);
		if (r < 0)
			break;
		wait = (struct cp_wait){ .abort = park_abort, .what = "coop_portal", .on = p };
		p->parked = true;
		r = cp_park(rt, &wait);
		if (r < 0)
			cp_ignored(rt);
	}
	return r;
}

static int portal_main(void *arg)
{
	static const struct coop_group_opts opts = { .name = "portal" };
	struct coop_group group = COOP_GROUP_INIT;
	struct coop_portal *p = arg;
	struct cp_rt *rt = cp_rt;
	struct coop_remote *rm;
	int r;

	coop_group_open(&group, &opts);
	p->task = rt->cur;
	p->group = &group;
	r = serve(rt, p);
	p->stopping = true;
	__atomic_fetch_or(&p->stop, STOPPED, __ATOMIC_ACQ_REL);
	if (stop_bits(p) & CANCELLED)
		coop_group_cancel(&group, "the portal was stopped");
	while ((rm = queue_take(p))) /* they were accepted */
		begin(p, rm);
	rt->external--;
	r = coop_group_join(&group, r);
	p->group = NULL;
	p->ended = true;
	while (cp_queue_wake(rt, &p->closers, 0))
		;
	coop_portal_unref(p);
	return r;
}

/* ------------------------------------------------------------------- what is posted */

static void wake_portal(struct cp_rt *rt, struct coop_portal *p)
{
	if (!p->parked)
		return;
	p->parked = false;
	cp_wake(rt, p->task, 0);
}

static void call_arrived(struct cp_rt *rt, struct cp_post *post)
{
	struct coop_remote *rm = CP_CONTAINER_OF(post, struct coop_remote, post);
	struct coop_portal *p = rm->portal;

	if (p->stopping) {
		end(rm, COOP_ECLOSED, NULL);
		return;
	}
	rm->next = NULL;
	rm->queued = true;
	*p->last = rm;
	p->last = &rm->next;
	wake_portal(rt, p);
}

static void cancel_scope(struct cp_rt *rt, struct coop_scope *s, const char *text)
{
	struct cp_why why = { .source = COOP_CANCEL_CALL,
			      .text = text,
			      .site = "another thread\0000",
			      .grace_ns = COOP_NEVER,
			      .kind = CP_CANCEL };

	cp_scope_cancel_why(rt, s, &why);
}

static void cancel_arrived(struct cp_rt *rt, struct cp_post *post)
{
	struct coop_remote *rm = CP_CONTAINER_OF(post, struct coop_remote, cancel_post);

	rm->unwanted = true;
	if (rm->queued) {
		queue_remove(rm->portal, rm);
		end(rm, COOP_ETASKCANCELLED, NULL);
	} else if (rm->scope) {
		cancel_scope(rt, rm->scope, "cancelled by a thread");
	}
	coop_remote_unref(rm);
}

static void stop_arrived(struct cp_rt *rt, struct cp_post *post)
{
	struct coop_portal *p = CP_CONTAINER_OF(post, struct coop_portal, stop_post);
	uint32_t bits = __atomic_fetch_and(&p->stop, ~(uint32_t)POSTED, __ATOMIC_ACQ_REL);

	p->stopping = true;
	wake_portal(rt, p);
	if (p->group && (bits & CANCELLED))
		cancel_scope(rt, &p->group->_scope, "the portal was stopped");
	coop_portal_unref(p);
}

/* --------------------------------------------------------------- in a task: the portal */

int coop_portal_open(struct coop_group *group, struct coop_portal **ret_portal)
{
	struct coop_spawn_opts opts = { .name = "portal" };
	struct cp_rt *rt = cp_in_task();
	struct coop_portal *p;
	int r;

	if (!rt)
		return cp_no_task();
	p = cp_inbox_of(rt) ? cp_calloc(1, sizeof *p) : NULL;
	if (!p)
		return -ENOMEM;
	p->refs = 2; /* the caller's, and the task's */
	p->forks = cp_forks();
	p->inbox = cp_inbox_ref(rt->inbox);
	p->stop_post.arrived = stop_arrived;
	p->last = &p->first;
	r = coop_spawn_with(group, portal_main, p, &opts, NULL);
	if (r < 0) {
		p->refs = 1;
		coop_portal_unref(p);
		return r;
	}
	rt->external++;
	*ret_portal = p;
	return 0;
}

int coop_portal_stop(struct coop_portal *portal, bool cancel)
{
	uint32_t want = STOPPED | POSTED | (cancel ? CANCELLED : 0);
	uint32_t bits = __atomic_fetch_or(&portal->stop, want, __ATOMIC_ACQ_REL);

	if (!(bits & POSTED) && !is_forked(portal)) {
		coop_portal_ref(portal);
		if (cp_post(portal->inbox, &portal->stop_post) < 0)
			coop_portal_unref(portal); /* with its run it has ended anyway */
	}
	return bits & STOPPED ? 1 : 0;
}

/* Is the running task one of the portal's, or one that these wait for? */
static bool is_within(const struct cp_rt *rt, const struct coop_portal *p)
{
	for (struct coop_task *t = rt->cur; t; t = t->group ? cp_group_host(t->group) : NULL)
		if (t == p->task && !p->ended)
			return true;
	return false;
}

int coop_portal_close(struct coop_portal *portal, bool cancel)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_queue_wait w = { .wait = { .what = "coop_portal_close" } };
	int r;

	if (!rt)
		return cp_no_task();
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_portal_close");
	if (!cp_inbox_is_of(portal->inbox, rt))
		return cp_refuse(COOP_EWRONGTHREAD);
	if (is_within(rt, portal))
		return cp_refuse(-EDEADLK);
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	(void)coop_portal_stop(portal, cancel);
	if (!portal->ended)
		return cp_queue_park(rt, &portal->closers, &w);
	cp_schedule_point(rt);
	return 0;
}

/* ----------------------------------------------------------------------- in a thread */

/* Makes the remote and sends it off: with a reference for the caller, unless it is deaf. */
static int send(struct coop_portal *p, coop_fn *fn, coop_start_fn *start_fn, void *arg, bool deaf,
		struct coop_remote **ret_remote)
{
	struct coop_remote *rm;

	if (!fn && !start_fn)
		return -EINVAL;
	if (is_forked(p))
		return COOP_EFORK;
	if (cp_inbox_is_of(p->inbox, cp_rt))
		return COOP_EWRONGTHREAD;
	if (stop_bits(p) & STOPPED)
		return COOP_ECLOSED;
	rm = cp_calloc(1, sizeof *rm);
	if (!rm)
		return -ENOMEM;
	*rm = (struct coop_remote){ .refs = deaf ? 1 : 2,
				    .portal = coop_portal_ref(p),
				    .post = { .arrived = call_arrived },
				    .cancel_post = { .arrived = cancel_arrived },
				    .fn = fn,
				    .start_fn = start_fn,
				    .arg = arg,
				    .deaf = deaf };
	if (cp_post(p->inbox, &rm->post) < 0) {
		rm->refs = 1;
		coop_remote_unref(rm);
		return COOP_ECLOSED;
	}
	*ret_remote = rm;
	return 0;
}

/* Until there is news of these kinds, or the time is up; the news. */
static uint32_t wait_for(struct coop_remote *rm, uint32_t bits, int64_t timeout_ns)
{
	int64_t until =
		timeout_ns == COOP_NEVER ? COOP_NEVER : cp_time_add(cp_os_now_ns(), timeout_ns);
	uint32_t news;

	while (!((news = __atomic_load_n(&rm->news, __ATOMIC_ACQUIRE)) & bits)) {
		int64_t left = until == COOP_NEVER ? -1 : until - cp_os_now_ns();

		if (until != COOP_NEVER && left <= 0)
			break;
		(void)cp_os_futex_wait(&rm->news, news, left);
	}
	return news;
}

/* The end that was told, for this thread. */
static int take_end(struct coop_remote *rm)
{
	struct coop_error **slot = slot_here();

	if (rm->err) {
		cp_err_slot_drop(slot);
		*slot = coop_error_ref(rm->err);
	}
	return rm->rc;
}

int coop_remote_wait(struct coop_remote *remote, int64_t timeout_ns)
{
	if (timeout_ns < 0)
		return -EINVAL;
	if (wait_for(remote, TOLD, 0) & TOLD)
		return take_end(remote);
	if (is_forked(remote->portal))
		return COOP_EFORK;
	if (timeout_ns && cp_inbox_is_of(remote->portal->inbox, cp_rt))
		return COOP_EWRONGTHREAD;
	return wait_for(remote, TOLD, timeout_ns) & TOLD ? take_end(remote) : -EAGAIN;
}

int coop_portal_call(struct coop_portal *portal, coop_fn *fn, void *arg)
{
	struct coop_remote *rm;
	int r = send(portal, fn, NULL, arg, false, &rm);

	if (r < 0)
		return r;
	wait_for(rm, TOLD, COOP_NEVER);
	r = take_end(rm);
	coop_remote_unref(rm);
	return r;
}

int coop_portal_spawn(struct coop_portal *portal, coop_fn *fn, void *arg,
		      struct coop_remote **ret_remote)
{
	struct coop_remote *rm;
	int r = send(portal, fn, NULL, arg, !ret_remote, &rm);

	if (r >= 0 && ret_remote)
		*ret_remote = rm;
	return r;
}

int coop_portal_start(struct coop_portal *portal, coop_start_fn *fn, void *arg, int *ret_value,
		      struct coop_remote **ret_remote)
{
	struct coop_remote *rm;
	int r = send(portal, NULL, fn, arg, false, &rm);

	if (r < 0)
		return r;
	if (!(wait_for(rm, STARTED | TOLD, COOP_NEVER) & STARTED)) {
		r = take_end(rm);
		coop_remote_unref(rm);
		return r < 0 ? r : COOP_ENOTSTARTED;
	}
	if (ret_value)
		*ret_value = rm->value;
	if (ret_remote)
		*ret_remote = rm;
	else
		coop_remote_unref(rm);
	return 0;
}

int coop_remote_cancel(struct coop_remote *remote)
{
	if (is_forked(remote->portal) ||
	    __atomic_exchange_n(&remote->cancel_asked, 1, __ATOMIC_ACQ_REL) ||
	    (__atomic_load_n(&remote->news, __ATOMIC_ACQUIRE) & TOLD))
		return 1;
	coop_remote_ref(remote);
	if (cp_post(remote->portal->inbox, &remote->cancel_post) >= 0)
		return 0;
	coop_remote_unref(remote);
	return 1;
}
