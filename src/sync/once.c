/* SPDX-License-Identifier: MIT */
/*
 * Once: the first one runs a function, the others wait for what comes of it.
 *
 *   IDLE --run--> RUNNING --the function succeeds--> DONE
 *                 RUNNING --it fails, nobody waits--> IDLE
 *                 RUNNING --it fails--> RUNNING, now by the first who waited
 *
 * Invariants
 *   1. RUNNING: _runner is the task whose turn it is, and the once is on its list of what it holds.
 *   2. Who waits when it succeeds is given the value in its own frame.
 *   3. A turn that was handed to a task is that task's, also if it is cancelled before it ran: the
 *      function then fails at its first checkpoint, and the turn goes on.
 */
#include "sync/sync.h"

enum { IDLE, RUNNING, DONE };

struct once_wait {
	struct cp_queue_wait w;
	bool my_turn;
	int value;
};

CP_INLINE struct cp_queue *queue_of(const struct coop_once *once)
{
	return (struct cp_queue *)once->_queue;
}

CP_INLINE struct cp_held *held_of(struct coop_once *once)
{
	return (struct cp_held *)once->_held;
}

static void pass_on(struct cp_rt *rt, struct coop_once *once);

/* By returning, a task cannot end inside the function. Should it, the turn goes on. */
static CP_COLD void runner_ended(struct cp_rt *rt, struct cp_held *held)
{
	pass_on(rt, CP_CONTAINER_OF((void **)held, struct coop_once, _held[0]));
}

static void turn(struct coop_once *once, struct coop_task *t)
{
	once->_state = RUNNING;
	once->_runner = t;
	held_of(once)->waiters = queue_of(once);
	held_of(once)->owner_ended = runner_ended;
	cp_held_push(t->body, held_of(once));
}

/* It has failed: the turn of the first who waits. */
static void pass_on(struct cp_rt *rt, struct coop_once *once)
{
	struct cp_waiter *e = cp_queue_take(queue_of(once));

	once->_runner = NULL;
	once->_state = IDLE;
	if (!e)
		return;
	CP_CONTAINER_OF(e, struct once_wait, w.entry)->my_turn = true;
	turn(once, e->task);
	cp_wake(rt, e->task, 0);
}

static void succeed(struct cp_rt *rt, struct coop_once *once, int value)
{
	struct cp_waiter *e;

	once->_runner = NULL;
	once->_value = value;
	once->_state = DONE;
	while ((e = cp_queue_take(queue_of(once)))) {
		CP_CONTAINER_OF(e, struct once_wait, w.entry)->value = value;
		cp_wake(rt, e->task, 0);
	}
}

static int run_now(struct cp_rt *rt, struct coop_once *once, coop_fn *fn, void *arg)
{
	int r = fn(arg);

	cp_held_pop(rt->body, held_of(once));
	if (r < 0)
		pass_on(rt, once);
	else
		succeed(rt, once, r);
	return r;
}

static int wait_for(struct cp_rt *rt, struct coop_once *once, coop_fn *fn, void *arg)
{
	struct once_wait w;
	char text[400];
	int r;

	if (once->_runner == rt->cur)
		return cp_sync_refused(rt, coop_fail(-EDEADLK, "run by its own function"));
	if (cp_queue_would_deadlock(rt, queue_of(once), text, sizeof text))
		return cp_sync_refused(rt, coop_fail(-EDEADLK, "%s", text));
	cp_sync_fill(&w.w.wait, "coop_once_run");
	w.w.wait.kind = CP_ON_OWNER;
	w.w.wait.owner = &once->_runner;
	w.my_turn = false;
	r = cp_queue_park(rt, queue_of(once), &w.w);
	if (r < 0)
		return r;
	return w.my_turn ? run_now(rt, once, fn, arg) : w.value;
}

int coop_once_run(struct coop_once *once, coop_fn *fn, void *arg)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	if (!fn)
		return cp_refuse(-EINVAL);
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_once_run");
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	r = cp_sync_home(&once->_home, rt);
	if (r < 0)
		return cp_sync_refused(rt, r);
	if (once->_state == RUNNING)
		return wait_for(rt, once, fn, arg);
	if (once->_state == DONE) {
		r = once->_value;
		cp_schedule_point(rt); /* the once may be gone afterwards */
		return r;
	}
	turn(once, rt->cur); /* before others run: it is in use */
	cp_schedule_point(rt);
	return run_now(rt, once, fn, arg);
}

bool coop_once_done(const struct coop_once *once)
{
	return once->_state == DONE;
}

int coop_once_stats(const struct coop_once *once, struct coop_once_stats *ret_stats)
{
	int r = cp_sync_look(once->_home);

	if (r < 0)
		return r;
	*ret_stats = (struct coop_once_stats){ .done = once->_state == DONE,
					       .runner = once->_runner,
					       .waiting = cp_sync_waiting(queue_of(once)) };
	return 0;
}

void coop_once_deinit(struct coop_once *once)
{
	if (!once)
		return;
	if (cp_queue_empty(queue_of(once)) && once->_runner)
		cp_sync_die("coop_once_deinit", once->_runner, "runs its function");
	cp_sync_deinit(&once->_home, queue_of(once), "coop_once_deinit");
}
