/* SPDX-License-Identifier: MIT */
/*
 * The root task, and how a run ends in order.
 *
 * The root task is the runtime's own. It opens the run's group, starts the main task in
 * it, waits for it, ends what is left, and leaves the result in rt->main_rc.
 *
 * A shutdown, by signal or by coop_stop, cancels the run's group with the kind CP_SHUTDOWN:
 *   soft   ordinary tasks are cancelled; tasks with shutdown_wait and soft shields have the grace
 *   hard   the grace is over, or cut by a second signal; hard shields still hold
 *   force  no shield holds
 * Then services, whose users are gone; then the report. Each phase is a line in the log.
 *
 * The result is the main task's. What failed beside it (callbacks, with stop_on_error the tasks of
 * the run's group, an interrupt that came when main had failed already) stands beside it in
 * one error; nothing is told to the log alone that a program could want to handle.
 */
#include "core/group.h"

#include <errno.h>
#include <string.h>

/* ---------------------------------------------------------------- counting, telling */

static uint64_t user_tasks(const struct cp_rt *rt)
{
	return cp_tasks(rt) - rt->tasks_internal;
}

static void tell_phase(struct cp_rt *rt, enum coop_log_level level, const char *what)
{
	coop_log(level, "shutdown: %s (%llu tasks alive)", what,
		 (unsigned long long)user_tasks(rt));
}

/* The blocks that a refuser is in, from the outside in: its stack, as far as coop knows it. */
static void tell_scopes(const struct coop_task *t)
{
	const struct coop_scope *s = t->state == CP_NEW ? NULL : cp_scope_inner(&t->body->base);

	for (; s; s = cp_scope_inner(s))
		coop_log(COOP_LOG_WARN, "shutdown:   in the %s%s%s opened at %s%s",
			 s->_flags & CP_SCOPE_GROUP ? "group" : "scope",
			 cp_scope_name(s)[0] ? " " : "", cp_scope_name(s), cp_at(s->_site),
			 s->_shield ? ", shielded" : "");
}

/* Those who are still there when they should not be: who, in what, since when. */
void cp_shutdown_refusers(struct cp_rt *rt)
{
	char path[160], wait[200];

	for (struct coop_task *t = rt->root; t; t = cp_task_next(rt, t)) {
		if (t->flags & (CP_TASK_INTERNAL | CP_TASK_SERVICE))
			continue;
		cp_task_path(t, path, sizeof path);
		cp_wait_text(t, wait, sizeof wait);
		coop_log(COOP_LOG_WARN,
			 "shutdown: %s is still alive %.1fs after it was told to stop%s%s (spawned "
			 "at %s)",
			 path, (double)(rt->now_ns - rt->shutdown_ns) / 1e9,
			 wait[0] ? ", blocked in " : ", not blocked", wait,
			 cp_at(cp_task_site(t)));
		tell_scopes(t);
	}
}

void cp_shutdown_services(struct cp_rt *rt)
{
	if (rt->shutdown != COOP_SHUTDOWN_NONE)
		tell_phase(rt, COOP_LOG_INFO, "ending services");
}

/* ------------------------------------------------------------------- system tasks */

static int spawn_into_run(struct cp_rt *rt, coop_fn *fn, void *arg, const char *site,
			  const char *name, uint8_t flags, struct coop_handle **ret_handle)
{
	struct cp_extra *x = cp_calloc(1, sizeof *x);
	struct coop_task *t;
	int r = -ENOMEM;

	if (x && ret_handle)
		x->handle = cp_handle_new(rt);
	if (x && (!ret_handle || x->handle))
		r = cp_task_new(rt, fn, arg, site, x, &t);
	if (r < 0) {
		coop_handle_release(x ? x->handle : NULL);
		cp_free(x);
		return r;
	}
	cp_copy_name(x->name, name);
	t->flags |= flags;
	if (flags & CP_TASK_INTERNAL)
		rt->tasks_internal++;
	cp_group_link(&rt->group, t);
	if (flags & CP_TASK_SERVICE)
		rt->group._services++;
	else
		rt->group._live++;
	if (ret_handle) {
		x->handle->task = t;
		x->handle->refs = 2;
		*ret_handle = x->handle;
		rt->main = t;
	}
	cp_ready(rt, t);
	return 0;
}

int cp_spawn_system(struct cp_rt *rt, coop_fn *fn, void *arg, const char *name)
{
	return spawn_into_run(rt, fn, arg, "system\0coop\0000", name,
			      CP_TASK_INTERNAL | CP_TASK_SERVICE, NULL);
}

/* --------------------------------------------------------------------- a shutdown */

/* Keeps an error for the run's result; false if there is no more room. `err` is taken then. */
static bool keep_beside(struct cp_rt *rt, struct coop_error *err, unsigned max)
{
	if (rt->beside_count >= max)
		return false;
	rt->beside[rt->beside_count++] = err;
	return true;
}

/* Runs one callback; there is room for the errors of all. */
static int shutdown_callback(void *arg)
{
	struct cp_rt *rt = cp_rt;
	unsigned i = (unsigned)(uintptr_t)arg;
	int r = rt->on_shutdown[i].fn(rt->on_shutdown[i].arg);

	if (r < 0 && r != COOP_ECANCELED)
		keep_beside(rt, coop_error_take(r), CP_BESIDE_MAX);
	return 0;
}

static int log_leaf(const struct coop_error *leaf, void *rt)
{
	cp_group_log_error(&((struct cp_rt *)rt)->group, leaf);
	return 0;
}

/* Each failure of it by a line of its own. */
static void log_leaves(struct cp_rt *rt, const struct coop_error *err)
{
	int r = coop_error_leaves(err, log_leaf, rt);

	CP_ASSERT(r == 0);
}

void cp_shutdown_failure(struct cp_rt *rt, struct coop_error *err)
{
	struct coop_error_info i;
	char text[COOP_NAME_MAX + 1];

	if (!rt->opts.stop_on_error ||
	    !keep_beside(rt, coop_error_ref(err), CP_BESIDE_MAX - CP_SHUTDOWN_HOOKS_MAX)) {
		log_leaves(rt, err);
		return;
	}
	cp_err_describe(err, &i);
	snprintf(text, sizeof text, "%.50s failed", i.task);
	cp_shutdown_begin(rt, COOP_CANCEL_FAILURE, i.code, text);
}

/* Turns that those have whom the end of the grace has woken, before they count as refusers. */
#define CP_REFUSE_TURNS 64

/* When the grace is over: whoever is left is named. */
static int shutdown_watch(void *arg)
{
	struct cp_rt *rt = arg;
	int r = coop_sleep_until(cp_time_add(rt->shutdown_ns, rt->grace_ns));

	if (r < 0)
		return r;
	if (rt->shutdown == COOP_SHUTDOWN_SOFT)
		rt->shutdown = COOP_SHUTDOWN_HARD;
	tell_phase(rt, COOP_LOG_INFO, "the grace is over");
	for (int i = 0; i < CP_REFUSE_TURNS && rt->ready_head; i++)
		coop_yield();
	cp_shutdown_refusers(rt);
	return 0;
}

/* Before anybody is cancelled: callbacks may want to stop what brings new work. */
static void start_callbacks(struct cp_rt *rt)
{
	int r = cp_group_usable(&rt->group);

	for (unsigned i = 0; i < rt->on_shutdown_count && r >= 0; i++)
		r = spawn_into_run(rt, shutdown_callback, (void *)(uintptr_t)i,
				   "on_shutdown\0coop\0000", "on shutdown", CP_TASK_SHUTDOWN_WAIT,
				   NULL);
	if (r < 0 && rt->on_shutdown_count)
		coop_log(COOP_LOG_ERROR, "shutdown: cannot run every callback: %s",
			 coop_code_text(r));
}

void cp_shutdown_begin(struct cp_rt *rt, enum coop_cancel_source source, int code, const char *text)
{
	struct cp_why why = { .source = source,
			      .code = code,
			      .text = text,
			      .who = source == COOP_CANCEL_SHUTDOWN ? rt->cur : NULL,
			      .grace_ns = rt->grace_ns,
			      .kind = CP_SHUTDOWN };

	if (rt->shutdown != COOP_SHUTDOWN_NONE || rt->group._scope._state != CP_OPEN)
		return;
	rt->shutdown = COOP_SHUTDOWN_SOFT;
	rt->shutdown_ns = cp_clock(rt);
	if (source == COOP_CANCEL_SIGNAL)
		rt->stop_signal = code;
	cp_copy_name(rt->stop_text, text);
	tell_phase(rt, COOP_LOG_WARN, text);
	start_callbacks(rt);
	cp_scope_cancel_why(rt, &rt->group._scope, &why);
	/* Last, so that whoever stops at once is gone before it looks for refusers. */
	if (rt->grace_ns < CP_TIME_MAX && cp_group_usable(&rt->group) == 0 &&
	    cp_spawn_system(rt, shutdown_watch, rt, "shutdown watch") < 0)
		coop_log(COOP_LOG_WARN, "shutdown: no memory to watch the grace");
}

void cp_shutdown_harden(struct cp_rt *rt)
{
	if (rt->group._scope._state != CP_OPEN)
		return;
	if (rt->shutdown < COOP_SHUTDOWN_HARD)
		rt->shutdown = COOP_SHUTDOWN_HARD;
	cp_clock(rt);
	tell_phase(rt, COOP_LOG_INFO, "the grace is cut to 0");
	cp_scope_cut_grace(rt, &rt->group._scope, rt->now_ns);
}

void cp_shutdown_force(struct cp_rt *rt)
{
	if (rt->group._scope._state != CP_OPEN)
		return;
	rt->shutdown = COOP_SHUTDOWN_FORCE;
	cp_clock(rt);
	tell_phase(rt, COOP_LOG_INFO, "shields are ignored");
	cp_shutdown_refusers(rt);
	cp_scope_force(rt, &rt->group._scope);
}

int coop_stop(const char *reason)
{
	struct cp_rt *rt = cp_in_task();

	if (!rt)
		return cp_no_task();
	if (rt->shutdown != COOP_SHUTDOWN_NONE)
		return 1;
	cp_shutdown_begin(rt, COOP_CANCEL_SHUTDOWN, 0, reason ? reason : "stopped by the program");
	return 0;
}

int coop_on_shutdown(coop_fn *fn, void *arg)
{
	struct cp_rt *rt = cp_in_task();

	if (!rt)
		return cp_no_task();
	if (!fn)
		return -EINVAL;
	if (rt->shutdown != COOP_SHUTDOWN_NONE)
		return -EALREADY;
	if (rt->on_shutdown_count == CP_SHUTDOWN_HOOKS_MAX)
		return -ENOSPC;
	rt->on_shutdown[rt->on_shutdown_count].fn = fn;
	rt->on_shutdown[rt->on_shutdown_count++].arg = arg;
	return 0;
}

/* -------------------------------------------------------------------- the root task */

static void main_has_ended(struct cp_rt *rt, struct cp_watch *w)
{
	rt->main_ended = true;
	cp_wake(rt, w->task, 0);
}

static void wait_for_main(struct cp_rt *rt)
{
	struct cp_watch watch = { .ended = main_has_ended, .task = rt->cur };
	struct cp_wait wait = { .what = "coop_run", .on = rt->main_handle, .kind = CP_ON_TASK };

	cp_handle_watch(rt->main_handle, &watch);
	cp_park(rt, &wait);
	CP_ASSERT(rt->main_ended);
}

/* A cancel of the run's group ends the wait: the loop below looks at why. */
static bool stop_abort(struct cp_wait *wait)
{
	(void)wait;
	return true;
}

/* COOP_RUN forever: until somebody stops it. */
static void wait_for_stop(struct cp_rt *rt)
{
	struct cp_wait wait = { .what = "coop_run", .kind = CP_ON_NOTHING, .abort = stop_abort };

	rt->root_wait = &wait;
	while (rt->shutdown == COOP_SHUTDOWN_NONE && !rt->group._scope._own)
		cp_park(rt, &wait);
	rt->root_wait = NULL;
}

/* Tasks that nobody waits for any more are named, then cancelled. */
static void end_leftovers(struct cp_rt *rt)
{
	struct cp_why why = { .source = COOP_CANCEL_SHUTDOWN,
			      .text = "the main task has ended",
			      .grace_ns = COOP_NEVER,
			      .kind = CP_SHUTDOWN };
	struct coop_task *t = rt->group._first;
	char path[160];

	if (rt->group._live <= 1)
		return;
	if (rt->shutdown == COOP_SHUTDOWN_NONE) {
		do {
			if (!(t->flags & (CP_TASK_SERVICE | CP_TASK_INTERNAL))) {
				cp_task_path(t, path, sizeof path);
				coop_log(COOP_LOG_WARN,
					 "left over when the main task ended: %s (spawned at %s)",
					 path, cp_at(cp_task_site(t)));
			}
			t = t->sib_next;
		} while (t != rt->group._first);
	}
	cp_scope_cancel_why(rt, &rt->group._scope, &why);
}

/* ---------------------------------------------------------------------- the result */

/* What a run came to: a code, and the errors that belong to it, in order. */
struct cp_result {
	int code;
	uint32_t count;
	struct coop_error *list[CP_BESIDE_MAX + 4];
};

static void result_add(struct cp_result *res, struct coop_error *err)
{
	if (err)
		res->list[res->count++] = err;
}

/* An error that the runtime makes, at the time of the run that is given. */
static struct coop_error *result_leaf(struct cp_rt *rt, int code, int64_t now_ns, const char *text)
{
	return cp_err_new_leaf(code, "", 0, "", cp_task_name(rt->root), now_ns - rt->start_ns,
			       false, text);
}

/* Did this error come before the shutdown? Where both are of one time, its own word counts. */
static bool was_before(struct cp_rt *rt, const struct coop_error *err)
{
	struct coop_error_info i;
	int64_t shutdown_ns = rt->shutdown_ns - rt->start_ns;

	cp_err_describe(coop_error_primary(err), &i);
	return i.when_ns == shutdown_ns ? !i.during_cancel : i.when_ns < shutdown_ns;
}

/* A cancelled main task: what cancelled it is the run's result. */
static void main_was_cancelled(struct cp_rt *rt, int *group_rc, struct cp_result *res)
{
	enum coop_cancel_source source = rt->group._scope._cause_source;

	if (*group_rc < 0 && *group_rc != COOP_ECANCELED) {
		res->code = *group_rc; /* one that nobody waited for failed fatally */
		result_add(res, coop_error_take(*group_rc));
		*group_rc = 0;
		return;
	}
	res->code = source == COOP_CANCEL_SHUTDOWN ? 0 : COOP_ECANCELED;
	if (source != COOP_CANCEL_SIGNAL)
		return;
	res->code = COOP_EINTERRUPT;
	result_add(res, result_leaf(rt, COOP_EINTERRUPT, rt->shutdown_ns, rt->stop_text));
}

/*
 * A failed main task: an interrupt wins only if it came first; else it stands beside. An exit that
 * is asked for is the program's own answer to whatever came.
 */
static void main_has_failed(struct cp_rt *rt, struct coop_error *err, struct cp_result *res)
{
	struct coop_error *interrupt;

	if (!rt->stop_signal || -res->code >> 8 == -COOP_EEXIT(0) >> 8) {
		result_add(res, err);
		return;
	}
	interrupt = result_leaf(rt, COOP_EINTERRUPT, rt->shutdown_ns, rt->stop_text);
	if (was_before(rt, err)) {
		result_add(res, err);
		result_add(res, interrupt);
	} else {
		res->code = COOP_EINTERRUPT;
		result_add(res, interrupt);
		result_add(res, err);
	}
}

/* A failure of the fatal class, or of the runtime's own tasks, that main did not end by. */
static void group_has_failed(struct cp_rt *rt, int group_rc, struct cp_result *res)
{
	struct coop_error *err;

	if (group_rc >= 0 || group_rc == COOP_ECANCELED)
		return;
	err = coop_error_take(group_rc);
	if (rt->internal_failed) {
		memmove(res->list + 1, res->list, res->count * sizeof *res->list);
		res->count++;
		res->list[0] = err;
		res->code = COOP_EINTERNAL;
	} else if (rt->opts.stop_on_error) {
		result_add(res, err);
	} else {
		log_leaves(rt, err);
		coop_error_unref(err);
	}
}

/* One error of all; the code is the first one's where the result has a code, else the primary's. */
static void result_finish(struct cp_rt *rt, struct cp_result *res)
{
	struct cp_err_group from = { .name = "run",
				     .path = "",
				     .file = "",
				     .members = res->list,
				     .count = res->count,
				     .when_ns = cp_clock(rt) - rt->start_ns };
	bool bare = res->code >= 0 || res->code == COOP_ECANCELED;

	from.first = !bare; /* also where one of the fatal class came later */
	rt->main_rc = res->code;
	if (res->count == 1)
		rt->main_err = res->list[0];
	else if (res->count)
		rt->main_err = cp_err_new_group(&from);
	if (res->count && bare)
		rt->main_rc = coop_error_code(rt->main_err);
}

static void take_result(struct cp_rt *rt, int group_rc)
{
	struct coop_handle *h = rt->main_handle;
	struct cp_result res = { .code = h->rc };

	if (rt->deadlocked) {
		res.code = -EDEADLK;
		result_add(&res, result_leaf(rt, -EDEADLK, rt->now_ns,
					     "every task was blocked and nothing could wake one"));
		result_add(&res, coop_error_ref(h->err));
	} else if (h->state == COOP_TASK_CANCELLED) {
		main_was_cancelled(rt, &group_rc, &res);
	} else if (h->state == COOP_TASK_FAILED) {
		main_has_failed(rt, coop_error_ref(h->err), &res);
	}
	group_has_failed(rt, group_rc, &res);
	for (unsigned i = 0; i < rt->beside_count; i++)
		result_add(&res, rt->beside[i]);
	rt->beside_count = 0;
	result_finish(rt, &res);
	rt->main_handle = coop_handle_release(h);
}

int cp_root(void *arg)
{
	struct cp_rt *rt = arg;
	struct coop_group_opts opts = { .policy = COOP_LOG };
	int r;

	r = cp_group_open(rt, &rt->group, &opts, "coop_run\0000");
	CP_ASSERT(r == 0);
	rt->group._flags |= CP_GROUP_RUN;
	r = spawn_into_run(rt, rt->main_fn, rt->main_arg, "main\0coop_run\0000",
			   rt->opts.name ? rt->opts.name : "main", CP_TASK_MAIN, &rt->main_handle);
	if (r < 0) {
		rt->main_rc = r;
		(void)!coop_group_join(&rt->group, 0); /* nobody is in it */
		return 0;
	}
	wait_for_main(rt);
	if (rt->opts.forever && !rt->deadlocked && rt->main_handle->state == COOP_TASK_FINISHED)
		wait_for_stop(rt);
	end_leftovers(rt);
	if (rt->shutdown != COOP_SHUTDOWN_NONE)
		tell_phase(rt, COOP_LOG_INFO, "waiting for what is left");
	r = coop_group_join(&rt->group, 0);
	if (rt->shutdown != COOP_SHUTDOWN_NONE)
		tell_phase(rt, COOP_LOG_INFO, "complete");
	take_result(rt, r);
	cp_err_slot_drop(&rt->body->err);
	return 0;
}
