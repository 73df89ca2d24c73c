/* SPDX-License-Identifier: MIT */
/*
 * A wait with an end: for one task, which is cancelled when the time is up, and waited for.
 *
 * The first wait can be interrupted, by the time or by a cancel. Then the task is cancelled,
 * and the second wait cannot: so the task is never left behind, and what it
 * came to in the end, a value or an error, is what is returned.
 */
#include "core/core.h"

#include <errno.h>

/* The task ended on its own account, late. */
static int ended_late(int r, bool timed_out, int64_t timeout_ns)
{
	if (r >= 0 || r == COOP_ECANCELED || !timed_out)
		return r;
	return coop_wrap(r, r, "failed after the time limit of %.3fs had been reached",
			 (double)timeout_ns / 1e9);
}

/* Cancels the task and waits for its end; `late` (taken) is the error of a timeout, or NULL. */
static int cancel_and_wait(struct coop_handle *h, int64_t timeout_ns, struct coop_error *late,
			   int *ret_value)
{
	struct coop_scope_opts opts = { .name = "end of the task", .shield = true };
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	coop_handle_cancel(h, late ? "the time to wait for it is up" : "the wait was cancelled");
	coop_scope_open(&s, &opts);
	r = coop_handle_wait(h, ret_value);
	r = coop_scope_close(&s, r);
	if (r != COOP_ETASKCANCELLED || h->state != COOP_TASK_CANCELLED) {
		r = ended_late(r, late && h->ended, timeout_ns);
		coop_error_unref(late);
		return r;
	}
	r = coop_checkpoint_if_cancelled();
	if (r < 0)
		coop_error_unref(late);
	return r < 0 ? r : coop_error_raise(late);
}

/* Waits for its end, or the time, or a cancel. */
static int wait_in_time(struct cp_rt *rt, struct coop_handle *h, int64_t timeout_ns, int *ret_value,
			bool *ret_timed_out)
{
	struct coop_scope_opts opts = { .timeout_ns = timeout_ns, .fail_on_timeout = true };
	struct coop_scope s = COOP_SCOPE_INIT;
	int r = 0;

	coop_scope_open(&s, &opts);
	if (timeout_ns == 0)
		r = coop_scope_set_deadline(&s, rt->now_ns);
	if (r >= 0)
		r = coop_handle_wait(h, ret_value);
	r = coop_scope_close(&s, r);
	*ret_timed_out = coop_scope_caught(&s);
	return r;
}

int coop_wait_for(struct coop_handle *handle, int64_t timeout_ns, int *ret_value)
{
	struct cp_rt *rt = cp_in_task();
	struct coop_error *err;
	bool timed_out;
	char text[400];
	int r;

	if (!rt)
		return cp_no_task();
	if (timeout_ns < 0)
		return -EINVAL;
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_wait_for");
	if (handle->ended)
		return coop_handle_wait(handle, ret_value);
	if (handle->rt != rt)
		return COOP_EWRONGTHREAD;
	if (cp_would_deadlock(rt, handle->task, true, text, sizeof text))
		return coop_fail(-EDEADLK, "%s", text);
	err = cp_err_slot_aside(&rt->body->err);
	r = wait_in_time(rt, handle, timeout_ns, ret_value, &timed_out);
	if (r == COOP_ECANCELED || timed_out)
		r = cancel_and_wait(handle, timeout_ns, timed_out ? coop_error_take(r) : NULL,
				    ret_value);
	cp_err_slot_back(&rt->body->err, err);
	return r;
}

int coop_wait_for_call_at(coop_fn *fn, void *arg, int64_t timeout_ns, const char *site)
{
	int r;

	if (!fn || timeout_ns < 0)
		return -EINVAL;
	if (timeout_ns > 0)
		return coop_fail_after_at(timeout_ns, fn, arg, site);
	r = coop_checkpoint();
	return r < 0 ? r : COOP_ETIMEDOUT;
}
