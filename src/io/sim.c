/* SPDX-License-Identifier: MIT */
/*
 * The simulated engine: operations on objects in memory, and by epoll on what is real.
 *
 * A task that waits for an object of this world is not counted among those who wait for the
 * outside: nobody there can reach it, so where all wait the run is deadlocked and the clock
 * may jump. What the world does by itself, later, is an event on a wheel of its own, whose next
 * deadline the loop sees in engine->due_ns.
 *
 * A completion can be made late by plan. Then its task cannot be cancelled any more, nor is its
 * descriptor closed, until it has arrived; as with an operation that a kernel has finished
 * while the news of it is on its way.
 */
#include "io/sim.h"

#include "base/os.h"

#include <errno.h>

/* An operation that waits, in the frame of its task. */
struct sim_wait {
	struct cp_op *op;
	struct sim_event event; /* its completion comes */
	bool done;
	bool late; /* by the event */
};

static struct cp_sim *of(struct cp_engine *engine)
{
	return CP_CONTAINER_OF(engine, struct cp_sim, epoll.io.engine);
}

/* ---------------------------------------------------------------------- events */

int64_t sim_now(const struct cp_sim *sim)
{
	return cp_rt ? cp_clock(cp_rt) : sim->now_ns;
}

static void note_due(struct cp_sim *sim)
{
	bool exact;

	sim->epoll.io.engine.sim = &sim_control;
	sim->epoll.io.engine.due_ns = cp_wheel_next(&sim->wheel, &exact);
}

void sim_arm(struct cp_sim *sim, struct sim_event *event, int64_t when_ns)
{
	if (cp_timer_armed(&event->timer))
		cp_wheel_disarm(&sim->wheel, &event->timer);
	cp_wheel_arm(&sim->wheel, &event->timer, when_ns, CP_TIMER_TASK);
	note_due(sim);
}

void sim_disarm(struct cp_sim *sim, struct sim_event *event)
{
	if (!cp_timer_armed(&event->timer))
		return;
	cp_wheel_disarm(&sim->wheel, &event->timer);
	note_due(sim);
}

/* Lets happen what is due. True if something was. */
static bool fire(struct cp_sim *sim, int64_t now_ns)
{
	struct cp_timer *t;
	bool any = false;

	while (cp_wheel_collect(&sim->wheel, now_ns)) {
		while ((t = cp_wheel_take(&sim->wheel))) {
			struct sim_event *event = CP_CONTAINER_OF(t, struct sim_event, timer);

			event->fire(sim, event);
			any = true;
		}
	}
	note_due(sim);
	sim_settle(sim);
	return any;
}

/* ------------------------------------------------------------------ operations */

static bool dont_wait(const struct cp_op *op)
{
	return (op->code >= CP_OP_RECV && op->code <= CP_OP_SENDMSG && op->flags & MSG_DONTWAIT) ||
	       op->code == CP_OP_FSYNC;
}

static int try(struct cp_sim *sim, struct cp_op *op)
{
	struct sim_object *o = op->f->own;

	return op->code == CP_OP_SPLICE ? sim_splice(sim, op) : o->ops->try(sim, o, op);
}

static void arrive(struct cp_sim *sim, struct sim_event *event)
{
	struct sim_wait *w = CP_CONTAINER_OF(event, struct sim_wait, event);

	(void)sim;
	cp_wake(cp_rt, w->op->wait.task, 0);
	if (w->op->to)
		cp_fd_unref(cp_rt, w->op->to);
	cp_fd_unref(cp_rt, w->op->f);
}

/* It has its result; the task learns of it later. */
static void make_late(struct cp_sim *sim, struct sim_wait *w)
{
	w->late = true;
	w->event.fire = arrive;
	w->op->f->refs++;
	if (w->op->to)
		w->op->to->refs++;
	sim_arm(sim, &w->event, sim_now(sim) + sim_between(sim, 1, sim->plan.completion_max_ns));
}

/* An operation whose task is parked. */
static void complete(struct cp_sim *sim, struct sim_wait *w, int result)
{
	w->done = true;
	w->op->res = result;
	if (sim->plan.completion_max_ns)
		make_late(sim, w);
	else
		cp_wake(cp_rt, w->op->wait.task, 0);
}

static bool wait_abort(struct cp_wait *wait)
{
	struct sim_wait *w = wait->ctx;

	if (w->done)
		return false;
	cp_op_leave(w->op);
	return true;
}

static int park(struct cp_op *op, struct sim_wait *w)
{
	int r;

	op->wait.abort = wait_abort;
	op->wait.ctx = w;
	cp_op_enlist(op);
	r = cp_park(cp_rt, &op->wait);
	if (r == COOP_ECANCELED)
		cp_ignored(cp_rt);
	if (r < 0)
		return r;
	if (!op->ended)
		cp_op_leave(op);
	return op->res;
}

/* Errors that no call of coop's tells: it goes on, as it does with the kernel's. */
static bool is_again(int r)
{
	return r == -EAGAIN || r == -EINTR;
}

static int run_here(struct cp_sim *sim, struct cp_op *op)
{
	struct sim_wait w = { .op = op };
	int r = -sim_fault(sim, sim_call_of(op));

	if (r == 0 || is_again(r))
		r = try(sim, op);
	sim_settle(sim);
	if (r == -EAGAIN && !dont_wait(op))
		return park(op, &w);
	if (!sim->plan.completion_max_ns) {
		cp_schedule_point(cp_rt);
		return r;
	}
	op->res = r;
	w.done = true;
	make_late(sim, &w);
	return park(op, &w);
}

static int sim_run(struct cp_io *io, struct cp_op *op)
{
	bool here = op->f->kind == CP_FD_SIM;

	if (op->to && here != (op->to->kind == CP_FD_SIM)) {
		cp_schedule_point(cp_rt); /* of two worlds */
		return -EINVAL;
	}
	return here ? run_here(sim_of_io(io), op) : cp_epoll_io_ops.run(io, op);
}

/* ----------------------------------------------------------------- what changes */

void sim_changed(struct cp_sim *sim, struct sim_object *o)
{
	if (o->changed)
		return;
	o->changed = true;
	o->changed_next = NULL;
	o->changed_prev = sim->changed_last;
	*(sim->changed_last ? &sim->changed_last->changed_next : &sim->changed_first) = o;
	sim->changed_last = o;
}

static void look(struct cp_sim *sim, struct cp_fd *f)
{
	for (int d = 0; d < 2; d++) {
		struct cp_op *op = f->waiting[d];
		struct sim_wait *w = op ? op->wait.ctx : NULL;
		int r;

		if (!w || w->done)
			continue;
		r = try(sim, op);
		if (r != -EAGAIN)
			complete(sim, w, r);
	}
}

void sim_settle(struct cp_sim *sim)
{
	struct sim_object *o;

	while ((o = sim->changed_first)) {
		sim->changed_first = o->changed_next;
		*(o->changed_next ? &o->changed_next->changed_prev : &sim->changed_last) = NULL;
		o->changed = false;
		for (int fd = o->number; fd >= 0; fd = sim->numbers[fd].next) {
			struct cp_fd *f = cp_fd_peek(&sim->epoll.io, fd);

			if (f && f->own == o)
				look(sim, f);
		}
	}
}

/* ------------------------------------------------------------------- descriptors */

static void sim_end(struct cp_io *io, struct cp_fd *f, uint8_t dirs, int code)
{
	if (f->kind != CP_FD_SIM) {
		cp_epoll_io_ops.end(io, f, dirs, code);
		return;
	}
	for (int d = 0; d < 2; d++) {
		struct cp_op *op = dirs & 1 << d ? f->waiting[d] : NULL;
		struct sim_wait *w = op ? op->wait.ctx : NULL;

		if (!op)
			continue;
		cp_op_leave(op);
		op->ended = code;
		if (w->done) /* what it has done is done */
			continue;
		w->done = true;
		op->res = code;
		cp_wake(cp_rt, op->wait.task, 0);
	}
}

static void sim_forget(struct cp_io *io, struct cp_fd *f)
{
	if (f->kind != CP_FD_SIM)
		cp_epoll_io_ops.forget(io, f);
}

static int sim_look(struct cp_io *io, struct cp_fd *f)
{
	struct sim_object *o = sim_find(sim_of_io(io), f->fd);

	if (!o)
		return cp_epoll_io_ops.look(io, f);
	f->kind = CP_FD_SIM;
	f->own = o;
	return 0;
}

static int sim_close(struct cp_io *io, int fd)
{
	struct cp_sim *sim = sim_of_io(io);

	if (!sim_find(sim, fd))
		return cp_epoll_io_ops.close(io, fd);
	sim_number_close(sim, fd);
	sim_settle(sim);
	return 0;
}

static const struct cp_io_ops sim_io_ops = {
	.run = sim_run,
	.end = sim_end,
	.forget = sim_forget,
	.look = sim_look,
	.close = sim_close,
};

/* ------------------------------------------------------------------- the engine */

static int sim_engine_wait(struct cp_engine *engine, int64_t timeout_ns)
{
	bool any = fire(of(engine), cp_clock(cp_rt));

	if (!engine->waiting && (any || timeout_ns == 0))
		return 0; /* nothing real can come but a wake, which the loop sees itself */
	return cp_epoll_ops.wait(engine, any ? 0 : timeout_ns);
}

/* A run begins: what was on its way in the last one has arrived. */
static void sim_engine_begin(struct cp_engine *engine, int64_t now_ns, uint64_t seed)
{
	struct cp_sim *sim = of(engine);

	cp_fds_begin(engine, now_ns, seed);
	while (engine->due_ns != COOP_NEVER) {
		sim->now_ns = engine->due_ns;
		fire(sim, sim->now_ns);
	}
	cp_wheel_init(&sim->wheel, now_ns);
	sim->now_ns = now_ns;
	sim->rng = seed;
}

/* What is open still: its memory goes, its descriptor stays, as a leaked one of the kernel's. */
static void sim_engine_close(struct cp_engine *engine)
{
	struct cp_sim *sim = of(engine);

	sim->dying = true;
	while (sim->objects)
		sim->objects->ops->gone(sim, sim->objects);
	while (sim->paths) {
		struct sim_path *path = sim->paths;

		sim->paths = path->next;
		cp_free(path);
	}
	sim_plan_deinit(sim);
	sim_fs_deinit(sim);
	cp_free(sim->numbers);
	cp_epoll_deinit(&sim->epoll);
	cp_free(sim);
}

static void sim_engine_wake(struct cp_engine *engine)
{
	cp_epoll_ops.wake(engine);
}

static const struct cp_engine_ops sim_ops = {
	.name = "sim",
	.wait = sim_engine_wait,
	.wake = sim_engine_wake,
	.close = sim_engine_close,
	.begin = sim_engine_begin,
};

int cp_sim_open(struct cp_engine **ret_engine)
{
	struct cp_sim *sim = cp_calloc(1, sizeof *sim);
	int r;

	if (!sim)
		return -ENOMEM;
	r = cp_epoll_init(&sim->epoll);
	if (r < 0) {
		cp_free(sim);
		return r;
	}
	sim->epoll.io.engine.ops = &sim_ops;
	sim->epoll.io.ops = &sim_io_ops;
	sim->world.ops = &sim_world_ops;
	sim->epoll.io.engine.world = &sim->world;
	sim->epoll.io.engine.sim = &sim_control;
	sim->epoll.io.engine.due_ns = COOP_NEVER;
	sim->port = SIM_PORT_FIRST;
	cp_wheel_init(&sim->wheel, 0);
	r = sim_fs_init(sim);
	if (r < 0) {
		sim_engine_close(&sim->epoll.io.engine);
		return r;
	}
	sim->world.files = &sim->files;
	*ret_engine = &sim->epoll.io.engine;
	return 0;
}
