/* SPDX-License-Identifier: MIT */
/*
 * Scopes: opening and closing them, and what is asked of them while they are open.
 *
 * The open scopes of a task are a chain, body->base to body->inner, strictly last in,
 * first out. Opening and closing touch the two ends of a link and the task's cached bits;
 * everything that has to go further is in cancel.c.
 *
 * A scope whose frame is gone cannot be read any more, so the place where the innermost
 * one was opened is also kept in the body (inner_site).
 */
#include "core/group.h"

#include <coop/auto.h>

#include <errno.h>
#include <string.h>

/* ------------------------------------------------------------ broken structure */

void cp_die_abandoned(struct cp_body *body, const char *where)
{
	char path[160];

	cp_task_path(body->task, path, sizeof path);
	cp_die("task %s: the group or scope opened at %s was left open by a return; found at %s "
	       "(task spawned at %s)",
	       path, cp_at(body->inner_site), where, cp_at(cp_task_site(body->task)));
}

void cp_die_misnest(const struct cp_body *body, const struct coop_scope *s, const char *call)
{
	char path[160];

	cp_task_path(body->task, path, sizeof path);
	cp_die("task %s: %s of what was opened at %s while the one opened at %s is still open",
	       path, call, cp_at(s->_site), cp_at(body->inner_site));
}

/* ----------------------------------------------------------------- the chain */

void cp_scope_link(struct cp_body *body, struct coop_scope *s, const char *site)
{
	uint64_t others = cp_scope_word(s) & ~CP_WORD(0xff, 0xff & ~CP_MORE_CAUSE, 0);

	cp_scope_push(body, body->inner, s, site, CP_WORD(CP_OPEN, body->delivered, 0) | others);
}

void cp_scope_unlink(struct cp_body *body, struct coop_scope *s)
{
	cp_scope_pop(body, s);
	if (body->laid == s)
		body->laid = s->_outer;
	body->task->cancelled = s->_outer->_eff | (body->task->cancelled & CP_HOOK);
}

/* Names of open scopes are a stack of strings in the body; what does not fit is cut. */
void cp_scope_copy_name(struct cp_body *body, struct coop_scope *s, const char *name)
{
	size_t room = sizeof body->names - body->names_used;
	size_t n = strnlen(name, COOP_NAME_MAX);

	if (room < 2)
		return;
	if (n > room - 1)
		n = room - 1;
	memcpy(body->names + body->names_used, name, n);
	body->names[body->names_used + n] = '\0';
	s->_name = (uint8_t)(body->names_used + 1);
	body->names_used = (uint16_t)(body->names_used + n + 1);
}

void cp_scope_drop_name(struct cp_body *body, struct coop_scope *s)
{
	if (s->_name)
		body->names_used = (uint16_t)(s->_name - 1);
	s->_name = 0;
}

const char *cp_scope_name(const struct coop_scope *s)
{
	return s->_name && s->_task ? s->_task->body->names + s->_name - 1 : "";
}

/* -------------------------------------------------------------------- opening */

int cp_scope_check_opts(int64_t timeout_ns, int64_t deadline_ns, int64_t soft_ns, int64_t grace_ns)
{
	if (timeout_ns < 0 || (timeout_ns && deadline_ns && deadline_ns != COOP_NEVER))
		return -EINVAL;
	if (soft_ns < 0 || (grace_ns < 0 && grace_ns != COOP_NO_GRACE))
		return -EINVAL;
	return 0;
}

static struct cp_timer *timer_of(struct coop_scope *s)
{
	return (struct cp_timer *)&s->_timer_next;
}

/* How long the limit is, from opening, for the words of a timeout; other scopes need none. */
static void note_limit(struct coop_scope *s, int64_t limit_ns)
{
	int64_t ms = limit_ns > 0 ? limit_ns / 1000000 : 0;

	if (s->_flags & (CP_SCOPE_FAIL | CP_SCOPE_GROUP))
		s->_limit_ms = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

void cp_scope_limit_text(const struct coop_scope *s, int64_t now_ns, char *buf, size_t size)
{
	const char *name = cp_scope_name(s);
	double limit = (double)s->_limit_ms / 1e3;

	snprintf(buf, size, "%s%stime limit of %.3fs reached, left after %.3fs", name,
		 name[0] ? ": " : "", limit, limit + (double)(now_ns - s->_deadline_ns) / 1e9);
}

/* A limit that counts from the next reading of the clock. */
CP_INLINE void arm_relative(struct cp_rt *rt, struct coop_scope *s, int64_t timeout_ns)
{
	cp_scope_set_word(s, cp_scope_word(s) | CP_WORD(0, CP_MORE_TIMER, CP_SCOPE_RELATIVE));
	s->_deadline_ns = timeout_ns;
	cp_wheel_arm_fresh(&rt->wheel, timer_of(s), timeout_ns, CP_TIMER_SCOPE);
}

/* Deadline of a scope that was just linked: absolute, or relative to now. */
void cp_scope_set_limits(struct cp_rt *rt, struct coop_scope *s, int64_t timeout_ns,
			 int64_t deadline_ns)
{
	note_limit(s, timeout_ns);
	if (timeout_ns && timeout_ns < CP_TIME_MAX) {
		if (!rt->clock_virtual && !s->_own && !cp_timer_armed(timer_of(s))) {
			arm_relative(rt, s, timeout_ns);
			return;
		}
		deadline_ns = cp_time_add(cp_clock(rt), timeout_ns);
	}
	if (!deadline_ns || deadline_ns >= CP_TIME_MAX)
		return;
	if (deadline_ns < 0) /* before all clocks: past, and nobody's difference overflows */
		deadline_ns = 0;
	s->_deadline_ns = deadline_ns;
	if (!timeout_ns)
		note_limit(s, cp_time_add(deadline_ns, -cp_clock(rt)));
	if (deadline_ns <= cp_clock(rt))
		cp_scope_timer_fired(rt, s);
	else if (!s->_own)
		cp_scope_rearm(rt, s); /* the end of a soft shield may be armed already */
}

/* A timeout that counts from the next reading of the clock: read it now. */
void cp_scope_settle_deadline(struct cp_rt *rt, struct coop_scope *s)
{
	s->_flags &= (uint8_t)~CP_SCOPE_RELATIVE;
	s->_deadline_ns = cp_time_add(cp_clock(rt), s->_deadline_ns);
	cp_wheel_disarm(&rt->wheel, timer_of(s));
	if (s->_deadline_ns < CP_TIME_MAX)
		cp_wheel_arm(&rt->wheel, timer_of(s), s->_deadline_ns, CP_TIMER_SCOPE);
}

static uint64_t reserved_words(const struct coop_scope_opts *opts)
{
	const uint64_t *w = opts->_reserved;

	return w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7];
}

/* A time limit and nothing else, on the real clock. */
static bool only_timeout(const struct cp_rt *rt, const struct coop_scope_opts *opts)
{
	uint64_t others = (uintptr_t)opts->name | (uint64_t)opts->deadline_ns |
			  (uint64_t)opts->soft_shield_ns | (uint64_t)opts->grace_ns |
			  reserved_words(opts);

	return !(others | opts->shield | opts->fail_on_timeout | rt->clock_virtual) &&
	       opts->timeout_ns > 0 && opts->timeout_ns < CP_TIME_MAX;
}

static int open_opts(struct cp_rt *rt, struct coop_scope *s, const struct coop_scope_opts *opts,
		     const char *site)
{
	if (cp_scope_check_opts(opts->timeout_ns, opts->deadline_ns, opts->soft_shield_ns,
				opts->grace_ns) < 0 ||
	    reserved_words(opts))
		return -EINVAL;
	if (opts->shield)
		s->_shield |= CP_SHIELD_HARD;
	if (opts->soft_shield_ns)
		s->_shield |= CP_SHIELD_SOFT;
	s->_soft_ns = opts->soft_shield_ns;
	cp_scope_set_grace(s, opts->grace_ns);
	if (opts->fail_on_timeout)
		s->_flags |= CP_SCOPE_FAIL;
	cp_scope_link(rt->body, s, site);
	if (opts->name)
		cp_scope_copy_name(rt->body, s, opts->name);
	/* They were set as one word. */
	/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
	if (CP_UNLIKELY(s->_outer->_eff | s->_own | s->_shield))
		cp_scope_look(rt, s);
	cp_scope_set_limits(rt, s, opts->timeout_ns, opts->deadline_ns);
	return 0;
}

static CP_COLD int refuse(struct coop_scope *scope, int r)
{
	if (cp_unopened(scope->_state)) {
		scope->_state = CP_REFUSED;
		scope->_cause_code = r;
	}
	return r;
}

/* One that is not as it was initialised, or has options, or is cancelled from the start. */
static CP_NOINLINE int open_slow(struct coop_scope *scope, const struct coop_scope_opts *opts,
				 const char *site, struct cp_rt *rt)
{
	int r;

	if (CP_UNLIKELY(!rt->body))
		return refuse(scope, cp_no_task());
	if (CP_UNLIKELY(scope->_state == CP_RAW))
		return refuse(scope, -EINVAL); /* not COOP_SCOPE_INIT */
	if (CP_UNLIKELY(scope->_state != CP_UNOPENED))
		return -EALREADY;
	if (opts) {
		r = open_opts(rt, scope, opts, site);
		return r < 0 ? refuse(scope, r) : 0;
	}
	cp_scope_link(rt->body, scope, site);
	cp_scope_look(rt, scope);
	return 0;
}

int coop_scope_open_at(struct coop_scope *scope, const struct coop_scope_opts *opts,
		       const char *site)
{
	struct cp_rt *rt = cp_here;
	struct cp_body *b = rt->body;
	struct coop_scope *outer;

	if (CP_UNLIKELY(!b))
		return open_slow(scope, opts, site, rt);
	cp_check_frames(b, CP_STACK_POINTER(), "coop_scope_open");
	outer = cp_innermost(b);
	if (CP_UNLIKELY(cp_scope_word(scope) != CP_WORD(CP_UNOPENED, 0, 0) || outer->_eff ||
			b->delivered || (opts && !only_timeout(rt, opts))))
		return open_slow(scope, opts, site, rt);
	cp_scope_push(b, outer, scope, site, CP_WORD(CP_OPEN, 0, 0));
	if (!opts)
		return 0;
	arm_relative(rt, scope, opts->timeout_ns);
	return 0;
}

/* --------------------------------------------------------------------- closing */

bool cp_scope_catches(const struct coop_scope *s)
{
	return s->_own && !cp_scope_visible(s, cp_rt->now_ns);
}

/*
 * The cancellation ends with `s`: what checkpoints inside it have returned of it counts no
 * more. One that was on its way up already when `s` was opened (in a clean-up) still is.
 */
void cp_cancel_over(struct cp_rt *rt, const struct coop_scope *s)
{
	rt->body->delivered = s->_more & CP_MORE_IN_FLIGHT;
	rt->body->ignored = 0;
}

/* The message of a timeout: its name, limit, time taken, and what it was blocked in. */
static CP_COLD int timed_out(struct cp_rt *rt, struct coop_scope *s)
{
	struct cp_body *b = rt->body;
	char blocked[64] = "", limit[160], text[256];
	int64_t now = cp_clock(rt);

	if (b->blocked_what)
		cp_blocked_text(b->blocked_what, b->blocked_ns, blocked, sizeof blocked);
	cp_scope_limit_text(s, now, limit, sizeof limit);
	snprintf(text, sizeof text, "%s%s%s", limit, blocked[0] ? ", blocked in " : "", blocked);
	{
		char path[160];
		struct coop_error *e;

		cp_task_path(rt->cur, path, sizeof path);
		e = cp_err_new_leaf(COOP_ETIMEDOUT, s->_site, cp_site_line(s->_site), "", path,
				    now - rt->start_ns, false, text);
		return coop_error_raise(e);
	}
}

/*
 * The scope's own cancellation may be on its way beside an error. The object may have other
 * owners, a handle for one, and then it is not changed but replaced (I9).
 */
static CP_COLD void catch_beside(struct cp_body *b, struct coop_scope *s, int rc)
{
	if (coop_error_code(b->err) != rc || !cp_err_cancel_pending(b->err))
		return;
	b->err = cp_err_caught(b->err);
	s->_flags |= CP_SCOPE_CAUGHT;
}

/* What is left of `rc` when a scope that was cancelled itself is left. */
static CP_COLD int leave_cancelled(struct cp_rt *rt, struct coop_scope *s, int rc)
{
	bool fail = s->_flags & CP_SCOPE_FAIL && s->_flags & CP_SCOPE_TIMED_OUT;
	bool delivered = rt->body->delivered;

	if (!cp_scope_catches(s))
		return rc;
	cp_cancel_over(rt, s);
	if (rc == COOP_ECANCELED) {
		s->_flags |= CP_SCOPE_CAUGHT;
		return fail ? timed_out(rt, s) : 0;
	}
	if (rc < 0 && delivered)
		catch_beside(rt->body, s, rc);
	return rc;
}

static CP_COLD int close_check(struct cp_rt *rt, struct coop_scope *s, int rc)
{
	if (s->_state == CP_REFUSED)
		return rc < 0 ? rc : s->_cause_code;
	if (cp_unopened(s->_state))
		return COOP_ENOTOPEN;
	if (s->_state == CP_CLOSED)
		return COOP_ECLOSED;
	if (s->_task != rt->cur)
		return COOP_EWRONGTASK;
	cp_die_misnest(rt->body, s, "close");
}

/* The parts of closing that most scopes do not need. */
static CP_NOINLINE int close_slow(struct cp_rt *rt, struct coop_scope *s, int rc)
{
	if (s->_defers)
		rc = cp_scope_run_defers(rt, s, rc);
	if (s->_flags & CP_SCOPE_RELATIVE && s->_own)
		cp_scope_settle_deadline(rt, s);
	if (s->_own)
		rc = leave_cancelled(rt, s, rc);
	if (cp_timer_armed(timer_of(s)))
		cp_wheel_disarm(&rt->wheel, timer_of(s));
	cp_scope_drop_name(rt->body, s);
	cp_cause_drop(rt, s);
	return rc;
}

/* Everything but the two common cases below. */
static CP_NOINLINE int close_any(struct coop_scope *scope, int rc, struct cp_rt *rt)
{
	struct cp_body *b;

	if (CP_UNLIKELY(!rt->body))
		return scope->_state == CP_REFUSED ? scope->_cause_code : cp_no_task();
	b = rt->body;
	if (CP_UNLIKELY(b->inner != scope || scope->_state != CP_OPEN))
		return close_check(rt, scope, rc);
	rc = close_slow(rt, scope, rc);
	if (rc >= 0 && CP_UNLIKELY(b->err != NULL))
		cp_err_slot_drop(&b->err);
	scope->_until_ns = scope->_deadline_ns <= rt->now_ns ? rt->now_ns : COOP_NEVER;
	cp_scope_unlink(b, scope);
	return rc;
}

/* In a word as it is while a scope is open: what says no more than that it has a deadline. */
#define WORD_TIMED CP_WORD(0, CP_MORE_IN_FLIGHT | CP_MORE_TIMER, CP_SCOPE_RELATIVE)

int coop_scope_close(struct coop_scope *scope, int rc)
{
	struct cp_rt *rt = cp_here;
	struct cp_body *b = rt->body;

	if (CP_UNLIKELY(!b || b->inner != scope || b->err))
		return close_any(scope, rc, rt);
	if (CP_UNLIKELY(cp_scope_word(scope) != CP_WORD(CP_OPEN, 0, 0))) {
		/*
		 * Nothing is cancelled and nothing is to be cleaned up, but it has a timer. One
		 * that counts from the next reading of the clock is never late.
		 */
		if ((cp_scope_word(scope) & ~WORD_TIMED) != CP_WORD(CP_OPEN, 0, 0) ||
		    (!(scope->_flags & CP_SCOPE_RELATIVE) && scope->_deadline_ns <= rt->now_ns))
			return close_any(scope, rc, rt);
		if (cp_timer_armed(timer_of(scope)))
			cp_wheel_disarm(&rt->wheel, timer_of(scope));
	}
	cp_scope_pop(b, scope);
	return rc;
}

/* --------------------------------------------------------------------- asking */

int cp_scope_on_thread(const struct coop_scope *s)
{
	if (!cp_rt)
		return cp_rt_forked() ? COOP_EFORK : s->_state == CP_OPEN ? COOP_EWRONGTHREAD : 0;
	if (s->_state == CP_OPEN && s->_task && s->_task->state != CP_NEW &&
	    s->_task->body->pool != &cp_rt->stacks) {
		struct cp_stacks *p = cp_rt->pools;

		while (p && p != s->_task->body->pool)
			p = p->next_pool;
		if (!p)
			return COOP_EWRONGTHREAD;
	}
	return 0;
}

int coop_scope_cancel_at(struct coop_scope *scope, const char *reason, int64_t grace_ns,
			 const char *site)
{
	struct cp_why why = { .source = COOP_CANCEL_CALL,
			      .text = reason,
			      .site = site,
			      .grace_ns = grace_ns,
			      .kind = CP_CANCEL };
	int r = cp_scope_on_thread(scope);

	if (r < 0)
		return r;
	if (grace_ns < 0)
		return -EINVAL;
	if (scope->_state == CP_CLOSED || scope->_state == CP_REFUSED)
		return 1;
	if (!cp_rt) { /* before a run: takes effect on opening */
		if (scope->_own)
			return 1;
		scope->_own = CP_CANCEL;
		scope->_own_until_ns = -1 - grace_ns; /* from opening on: see cp_scope_look */
		scope->_cause_source = COOP_CANCEL_CALL;
		scope->_cause = site;
		return 0;
	}
	why.who = cp_rt->cur;
	return cp_scope_cancel_why(cp_rt, scope, &why) ? 0 : 1;
}

/* A moved deadline is a longer or shorter limit; a first one counts from now. */
static void move_limit(struct coop_scope *s, int64_t deadline_ns, int64_t now_ns)
{
	int64_t opened_ns = s->_deadline_ns == COOP_NEVER
				    ? now_ns
				    : s->_deadline_ns - (int64_t)s->_limit_ms * 1000000;

	note_limit(s, cp_time_add(deadline_ns, -opened_ns));
}

int coop_scope_set_deadline(struct coop_scope *scope, int64_t deadline_ns)
{
	struct cp_rt *rt = cp_rt;
	int64_t now;
	int r = cp_scope_on_thread(scope);

	if (r < 0)
		return r;
	if (scope->_state != CP_OPEN)
		return cp_unopened(scope->_state) ? COOP_ENOTOPEN : COOP_ECLOSED;
	if (scope->_own)
		return -EALREADY;
	if (scope->_flags & CP_SCOPE_RELATIVE)
		cp_scope_settle_deadline(rt, scope);
	now = cp_clock(rt);
	if (scope->_deadline_ns <= now) { /* it has passed: the loop has not looked yet */
		cp_scope_timer_fired(rt, scope);
		return -EALREADY;
	}
	if (deadline_ns < 0)
		deadline_ns = 0;
	move_limit(scope, deadline_ns, now);
	scope->_deadline_ns = deadline_ns;
	if (deadline_ns <= now)
		cp_scope_timer_fired(rt, scope);
	else
		cp_scope_rearm(rt, scope);
	return 0;
}

int coop_scope_set_shield(struct coop_scope *scope, bool shield)
{
	int r = cp_scope_on_thread(scope);

	if (r < 0)
		return r;
	if (scope->_state == CP_CLOSED || scope->_state == CP_REFUSED)
		return COOP_ECLOSED;
	scope->_shield = (uint8_t)(shield ? scope->_shield | CP_SHIELD_HARD
					  : scope->_shield & ~CP_SHIELD_HARD);
	if (scope->_state == CP_OPEN)
		cp_scope_changed(cp_rt, scope);
	return 0;
}

bool coop_scope_cancel_called(const struct coop_scope *scope)
{
	if (scope->_own)
		return true;
	if (scope->_state != CP_OPEN || !cp_rt || scope->_deadline_ns == COOP_NEVER)
		return false;
	if (scope->_flags & CP_SCOPE_RELATIVE)
		cp_scope_settle_deadline(cp_rt, (struct coop_scope *)scope);
	return scope->_deadline_ns <= cp_clock(cp_rt);
}

bool coop_scope_caught(const struct coop_scope *scope)
{
	return scope->_flags & CP_SCOPE_CAUGHT;
}

int64_t coop_scope_late_ns(const struct coop_scope *scope)
{
	int64_t late;

	if (cp_unopened(scope->_state) || scope->_deadline_ns == COOP_NEVER ||
	    scope->_flags & CP_SCOPE_RELATIVE)
		return 0;
	if (scope->_state != CP_OPEN && scope->_until_ns == COOP_NEVER)
		return 0;
	late = (scope->_state == CP_OPEN ? coop_now() : scope->_until_ns) - scope->_deadline_ns;
	return late > 0 ? late : 0;
}

int64_t coop_effective_deadline(void)
{
	struct cp_rt *rt = cp_in_task();
	int64_t min = COOP_NEVER;

	if (!rt)
		return COOP_NEVER;
	if (rt->body->inner->_eff)
		return INT64_MIN;
	for (struct coop_scope *s = rt->body->inner; s; s = s->_outer) {
		if (s->_flags & CP_SCOPE_RELATIVE)
			cp_scope_settle_deadline(rt, s);
		if (s->_deadline_ns < min)
			min = s->_deadline_ns;
		if (s->_soft_at_ns < min && s->_shield & CP_SHIELD_SOFT)
			min = s->_soft_at_ns;
		if (s->_shield & (CP_SHIELD_HARD | CP_SHIELD_SOFT | CP_SHIELD_SERVICE))
			break;
	}
	return min;
}

unsigned coop_shield_depth(void)
{
	struct cp_rt *rt = cp_in_task();
	unsigned n = 0;

	for (struct coop_scope *s = rt ? rt->body->inner : NULL; s; s = s->_outer)
		n += s->_shield & (CP_SHIELD_HARD | CP_SHIELD_SOFT) ? 1 : 0;
	return n;
}

/* ------------------------------------------------------------------- one-liners */

static int run_in_scope(const struct coop_scope_opts *opts, coop_fn *fn, void *arg,
			const char *site, int64_t timeout_ns)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	r = coop_scope_open_at(&s, opts, site);
	if (r < 0)
		return r;
	if (timeout_ns == 0)
		(void)!coop_scope_set_deadline(&s, cp_rt->now_ns);
	r = fn(arg);
	return coop_scope_close(&s, r);
}

int coop_fail_after_at(int64_t timeout_ns, coop_fn *fn, void *arg, const char *site)
{
	struct coop_scope_opts opts = { .timeout_ns = timeout_ns, .fail_on_timeout = true };

	if (timeout_ns < 0 || !fn)
		return -EINVAL;
	return run_in_scope(&opts, fn, arg, site, timeout_ns);
}

int coop_move_on_after_at(int64_t timeout_ns, coop_fn *fn, void *arg, const char *site)
{
	struct coop_scope_opts opts = { .timeout_ns = timeout_ns };

	if (timeout_ns < 0 || !fn)
		return -EINVAL;
	return run_in_scope(&opts, fn, arg, site, timeout_ns);
}

int coop_shield_at(coop_fn *fn, void *arg, const char *site)
{
	struct coop_scope_opts opts = { .shield = true };

	if (!fn)
		return -EINVAL;
	return run_in_scope(&opts, fn, arg, site, COOP_NEVER);
}

int coop_shield_grace_at(int64_t max_ns, coop_fn *fn, void *arg, const char *site)
{
	struct coop_scope_opts opts = { .soft_shield_ns = max_ns };

	if (max_ns < 0 || !fn)
		return -EINVAL;
	return run_in_scope(&opts, fn, arg, site, COOP_NEVER);
}

void coop_scope_end(struct coop_scope *scope)
{
	struct cp_rt *rt = cp_in_task();
	struct coop_error *mine;
	int r;

	if (scope->_state != CP_OPEN || !rt)
		return;
	mine = rt->body->err; /* travels past this block */
	rt->body->err = NULL;
	r = coop_scope_close(scope, 0);
	if (r < 0)
		coop_log(COOP_LOG_WARN, "scope opened at %s: its clean-up failed: %s",
			 cp_at(scope->_site), coop_code_text(r));
	cp_err_slot_drop(&rt->body->err);
	rt->body->err = mine;
}
