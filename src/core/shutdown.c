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
 */
#include "core/core.h"

#include <errno.h>
#include <string.h>

/* ---------------------------------------------------------------- counting, telling */

static uint64_t user_tasks(const struct cp_rt *rt)
{
	return rt->tasks - rt->tasks_internal;
}

static void tell_phase(struct cp_rt *rt, const char *what)
{
	coop_log(COOP_LOG_INFO, "shutdown: %s (%llu tasks alive)", what,
		 (unsigned long long)user_tasks(rt));
}

/* Those who are still there when they should not be: who, in what, since when. */
void cp_shutdown_refusers(struct cp_rt *rt)
{
	struct coop_task_info info;
	char path[160];

	for (struct coop_task *t = rt->root; t; t = cp_task_next(rt, t)) {
		if (t->flags & (CP_TASK_INTERNAL | CP_TASK_SERVICE))
			continue;
		cp_info_fill(rt, t, &info);
		cp_task_path(t, path, sizeof path);
		coop_log(COOP_LOG_WARN,
			 "shutdown: %s is still alive %.1fs after it was told to stop%s%s (spawned "
			 "at %s)",
			 path, (double)(rt->now_ns - rt->shutdown_ns) / 1e9,
			 info.blocked_in[0] ? ", blocked in " : "", info.blocked_in, info.site);
	}
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

/* Runs one callback; its error is kept for the run's result. */
static int shutdown_callback(void *arg)
{
	struct cp_rt *rt = cp_rt;
	unsigned i = (unsigned)(uintptr_t)arg;
	int r = rt->on_shutdown[i].fn(rt->on_shutdown[i].arg);

	if (r < 0 && r != COOP_ECANCELED) {
		struct coop_error *e = coop_error_take(r);

		if (!rt->shutdown_err) {
			rt->shutdown_err = e;
		} else {
			coop_log(COOP_LOG_WARN, "shutdown: a callback failed too: %s",
				 coop_code_text(r));
			coop_error_unref(e);
		}
	}
	return 0;
}

/* When the grace is over: whoever is left is named. */
static int shutdown_watch(void *arg)
{
	struct cp_rt *rt = arg;
	int r = coop_sleep_until(cp_time_add(rt->shutdown_ns, rt->grace_ns));

	if (r < 0)
		return r;
	if (rt->shutdown == COOP_SHUTDOWN_SOFT)
		rt->shutdown = COOP_SHUTDOWN_HARD;
	tell_phase(rt, "the grace is over");
	cp_shutdown_refusers(rt);
	return 0;
}

void cp_shutdown_begin(struct cp_rt *rt, enum coop_cancel_source source, int sig, const char *text)
{
	struct cp_why why = { .source = source,
			      .code = sig,
			      .text = text,
			      .who = rt->cur,
			      .grace_ns = rt->grace_ns,
			      .kind = CP_SHUTDOWN };

	if (rt->shutdown != COOP_SHUTDOWN_NONE || rt->group._scope._state != CP_OPEN)
		return;
	rt->shutdown = COOP_SHUTDOWN_SOFT;
	rt->shutdown_ns = cp_clock(rt);
	if (!rt->stop_signal)
		rt->stop_signal = sig;
	tell_phase(rt, text ? text : "stopping");
	for (unsigned i = 0; i < rt->on_shutdown_count && cp_group_usable(&rt->group) == 0; i++)
		if (spawn_into_run(rt, shutdown_callback, (void *)(uintptr_t)i,
				   "on_shutdown\0coop\0000", "on shutdown", CP_TASK_SHUTDOWN_WAIT,
				   NULL) < 0)
			coop_log(COOP_LOG_ERROR, "shutdown: no memory to run a callback");
	if (rt->grace_ns < CP_TIME_MAX &&
	    cp_spawn_system(rt, shutdown_watch, rt, "shutdown watch") < 0)
		coop_log(COOP_LOG_WARN, "shutdown: no memory to watch the grace");
	cp_scope_cancel_why(rt, &rt->group._scope, &why);
	if (rt->root_wait)
		cp_wake(rt, rt->root, 0);
}

void cp_shutdown_harden(struct cp_rt *rt)
{
	if (rt->group._scope._state != CP_OPEN)
		return;
	rt->shutdown = COOP_SHUTDOWN_HARD;
	cp_clock(rt);
	tell_phase(rt, "the grace is cut to 0");
	cp_scope_cut_grace(rt, &rt->group._scope, rt->now_ns);
}

void cp_shutdown_force(struct cp_rt *rt)
{
	if (rt->group._scope._state != CP_OPEN)
		return;
	rt->shutdown = COOP_SHUTDOWN_FORCE;
	cp_clock(rt);
	tell_phase(rt, "shields are ignored");
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

/* COOP_RUN forever: until somebody stops it. */
static void wait_for_stop(struct cp_rt *rt)
{
	struct cp_wait wait = { .what = "coop_run", .kind = CP_ON_NOTHING };

	while (rt->shutdown == COOP_SHUTDOWN_NONE && !rt->group._scope._own) {
		rt->root_wait = &wait;
		cp_park(rt, &wait);
		rt->root_wait = NULL;
	}
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

/* A cancelled main task: what cancelled it is the run's result. */
static int cancelled_result(struct cp_rt *rt, int group_rc)
{
	struct coop_cancel_info info = { .source = COOP_CANCEL_NONE };

	if (rt->deadlocked)
		return -EDEADLK;
	if (group_rc < 0 && group_rc != COOP_ECANCELED) {
		rt->main_err =
			coop_error_take(group_rc); /* one that nobody waited for failed fatally */
		return group_rc;
	}
	cp_cancel_info(&rt->group._scope, &info);
	if (info.source != COOP_CANCEL_SIGNAL)
		return info.source == COOP_CANCEL_SHUTDOWN ? 0 : COOP_ECANCELED;
	rt->main_err = cp_err_new_leaf(COOP_EINTERRUPT, "", 0, "", cp_task_name(rt->root),
				       rt->shutdown_ns - rt->start_ns, false,
				       info.text[0] ? info.text : "stopped by a signal");
	return COOP_EINTERRUPT;
}

/* The error of a shutdown callback stands beside the main task's, or alone. */
static void add_shutdown_error(struct cp_rt *rt)
{
	struct coop_error *members[2] = { rt->main_err, rt->shutdown_err };
	struct cp_err_group from = { .name = "run",
				     .path = "",
				     .file = "",
				     .members = members,
				     .count = 2,
				     .total = 2,
				     .when_ns = cp_clock(rt) - rt->start_ns };

	if (!rt->shutdown_err)
		return;
	if (rt->main_rc >= 0 || !rt->main_err) {
		rt->main_rc = coop_error_code(rt->shutdown_err);
		coop_error_unref(rt->main_err);
		rt->main_err = rt->shutdown_err;
	} else {
		rt->main_err = cp_err_new_group(&from);
		rt->main_rc = coop_error_code(rt->main_err);
	}
	rt->shutdown_err = NULL;
}

static void take_result(struct cp_rt *rt, int group_rc)
{
	struct coop_handle *h = rt->main_handle;

	rt->main_rc = h->rc;
	rt->main_err = coop_error_ref(h->err);
	if (h->state == COOP_TASK_CANCELLED)
		rt->main_rc = cancelled_result(rt, group_rc);
	if (rt->internal_failed && rt->main_rc != COOP_EINTERNAL && group_rc == COOP_EINTERNAL) {
		coop_error_unref(rt->main_err);
		rt->main_err = coop_error_take(group_rc);
		rt->main_rc = COOP_EINTERNAL;
	}
	if (rt->deadlocked) {
		coop_error_unref(rt->main_err);
		rt->main_rc = -EDEADLK;
		rt->main_err =
			cp_err_new_leaf(-EDEADLK, "", 0, "", "", rt->now_ns - rt->start_ns, false,
					"every task was blocked and nothing could wake one");
	}
	add_shutdown_error(rt);
	rt->main_handle = coop_handle_release(h);
}

int cp_root(void *arg)
{
	struct cp_rt *rt = arg;
	struct coop_group_opts opts = { .policy = COOP_LOG };
	struct coop_cancel_info kept;
	int r;

	r = cp_group_open(rt, &rt->group, &opts, "coop_run\0000");
	CP_ASSERT(r == 0);
	rt->group._flags |= CP_GROUP_RUN;
	r = spawn_into_run(rt, rt->main_fn, rt->main_arg, "main\0coop_run\0000",
			   rt->opts.name ? rt->opts.name : "main", CP_TASK_MAIN, &rt->main_handle);
	if (r < 0) {
		rt->main_rc = r;
		r = coop_group_join(&rt->group, 0);
		return 0;
	}
	wait_for_main(rt);
	if (rt->opts.forever && !rt->deadlocked && rt->main_handle->state == COOP_TASK_FINISHED)
		wait_for_stop(rt);
	end_leftovers(rt);
	kept = (struct coop_cancel_info){ .source = COOP_CANCEL_NONE };
	if (cp_cancel_info(&rt->group._scope, &kept) && rt->shutdown != COOP_SHUTDOWN_NONE)
		tell_phase(rt, "waiting for what is left");
	r = coop_group_join(&rt->group, 0);
	if (rt->shutdown != COOP_SHUTDOWN_NONE)
		tell_phase(rt, "complete");
	take_result(rt, r);
	cp_err_slot_drop(&rt->body->err);
	return 0;
}
