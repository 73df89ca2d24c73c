/* SPDX-License-Identifier: MIT */
/*
 * Cancellation: how a cancel goes through the tree of scopes.
 *
 * A scope knows its own cancel (_own), what it can see of the scope outside it, and the
 * sum of both (_eff). Whoever changes something that _eff depends on calls cp_scope_changed,
 * which brings the scope and all inside it up to date and then ends the waits of tasks
 * that have become cancelled. No task runs in between (I4), nothing is allocated, nothing
 * recurses: the walk finds its way by the pointers of the tree alone.
 *
 * The walk is in pre-order: a task's chain of scopes from the outside in, then, group by
 * group of that chain, the children in spawn order, each with its own chain. A scope whose
 * view has not changed stops the walk of its chain: what is inside depends on it alone.
 *
 * Grace. A cancel carries a time until which soft shields inside may hide it (_own_until_ns);
 * _until_ns is the earliest such time that is visible. A soft shield that sees a cancel
 * for the first time sets _soft_at_ns, its own end, once: the sooner of its limit from now
 * and the cancel's; when that is reached it hides nothing any more, and what is inside it has no
 * more grace than it had. So the budget belongs to the cancellation, not to the block.
 */
#include "core/core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int64_t cp_time_add(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return b > 0 ? COOP_NEVER : INT64_MIN;
	return sum;
}

/* --------------------------------------------------------- what a scope sees */

/* When the grace of a cancel of `s` that comes now is over. */
static int64_t grace_end(struct cp_rt *rt, const struct coop_scope *s, int64_t grace_ns)
{
	if (grace_ns == COOP_NEVER) /* not given: the scope's, else the runner's */
		grace_ns = s->_grace_ns == COOP_NEVER ? rt->grace_ns : s->_grace_ns;
	if (grace_ns == COOP_NO_GRACE)
		grace_ns = 0;
	return cp_time_add(rt->now_ns, grace_ns);
}

/* The bits of the outer scope's cancellation that are visible in `s`. */
uint8_t cp_scope_visible(const struct coop_scope *s, int64_t now_ns)
{
	uint8_t out = s->_outer ? s->_outer->_eff : 0;

	if (CP_LIKELY(!out || !s->_shield))
		return out;
	if (s->_shield & (CP_SHIELD_HARD | CP_SHIELD_SERVICE))
		out &= CP_FORCE;
	if (s->_shield & CP_SHIELD_SOFT && now_ns < s->_soft_at_ns)
		out &= CP_FORCE;
	if (s->_shield & CP_SHIELD_SHUTDOWN && now_ns < s->_soft_at_ns)
		out &= (uint8_t)~CP_SHUTDOWN;
	return out;
}

/* A soft shield that meets a cancellation sets its end, or brings it nearer. */
static void soft_meet(struct cp_rt *rt, struct coop_scope *s)
{
	uint8_t out = s->_outer ? s->_outer->_eff & (uint8_t)~CP_FORCE : 0;

	if (!out) {
		s->_soft_at_ns = COOP_NEVER;
		return;
	}
	if (s->_soft_at_ns == COOP_NEVER)
		s->_soft_at_ns = cp_time_add(rt->now_ns, s->_soft_ns);
	if (s->_outer->_until_ns < s->_soft_at_ns)
		s->_soft_at_ns = s->_outer->_until_ns;
}

/* Works out _eff and _until_ns anew; true if one of them has changed. */
static bool recompute(struct cp_rt *rt, struct coop_scope *s)
{
	uint8_t seen, eff;
	int64_t until = COOP_NEVER;

	if (CP_UNLIKELY(s->_shield & (CP_SHIELD_SOFT | CP_SHIELD_SHUTDOWN))) {
		soft_meet(rt, s);
		cp_scope_rearm(rt, s);
	}
	seen = cp_scope_visible(s, rt->now_ns);
	eff = s->_own | seen;
	if (eff) {
		if (s->_own)
			until = s->_own_until_ns;
		if (seen && s->_outer->_until_ns < until)
			until = s->_outer->_until_ns;
		if (seen && s->_shield & CP_SHIELD_SOFT && s->_soft_at_ns < until)
			until = s->_soft_at_ns;
	}
	if (eff == s->_eff && until == s->_until_ns)
		return false;
	s->_eff = eff;
	s->_until_ns = until;
	return true;
}

/* ------------------------------------------------------------------ the walk */

/*
 * Brings a chain up to date from `s` inwards, marking what has changed; a task that has
 * become cancelled is woken. True if `s` itself has changed.
 */
static bool walk_chain(struct cp_rt *rt, struct coop_scope *s)
{
	struct coop_task *t = s->_task;
	struct coop_scope *at = s;
	uint8_t before;

	while (at && recompute(rt, at)) {
		at->_flags |= CP_SCOPE_MARK;
		at = cp_scope_inner(at);
	}
	if (!at) { /* the innermost has changed too */
		before = t->cancelled & (uint8_t)~CP_HOOK;
		t->cancelled = t->body->inner->_eff | rt->hook_bit;
		if (!before && t->body->inner->_eff)
			cp_deliver(rt, t);
	}
	return s->_flags & CP_SCOPE_MARK;
}

/* What the walk and the end of a wait will touch of `t`, whose own line is there by now. */
CP_INLINE void warm(const struct coop_task *t)
{
	__builtin_prefetch(t->sib_next);
	if (t->state != CP_PARKED)
		return;
	__builtin_prefetch(t->body);
	__builtin_prefetch((const char *)t->body + 64);
	__builtin_prefetch(&t->body->base._state);
	__builtin_prefetch((const char *)t->body - t->sp_off + 64);
	__builtin_prefetch((const char *)t->body - t->sp_off + 128);
}

/* The first child from `t` on, to the end of its group, whose chain has changed. */
static struct coop_scope *first_changed(struct cp_rt *rt, struct coop_task *t)
{
	struct coop_task *first = t->group->_first;

	do {
		warm(t->sib_next);
		if (t->state != CP_NEW && walk_chain(rt, &t->body->base))
			return &t->body->base;
		t = t->sib_next;
	} while (t != first);
	return NULL;
}

/*
 * The next marked scope after `s`, whose own children have been seen to: further in, or
 * in a later sibling of its task, or further in in the host, and so on up to `top`.
 */
static struct coop_scope *walk_on(struct cp_rt *rt, struct coop_scope *s,
				  const struct coop_task *top)
{
	struct coop_scope *next;
	struct coop_task *t;

	for (;;) {
		next = cp_scope_inner(s);
		if (next && next->_flags & CP_SCOPE_MARK)
			return next;
		t = s->_task;
		if (t == top)
			return NULL;
		if (t->sib_next != t->group->_first) {
			next = first_changed(rt, t->sib_next);
			if (next)
				return next;
		}
		s = &t->group->_scope;
	}
}

void cp_scope_changed(struct cp_rt *rt, struct coop_scope *s)
{
	const struct coop_task *top = s->_task;
	struct coop_scope *next;

	if (!walk_chain(rt, s))
		return;
	rt->crowded = true; /* who knows how many are woken; the next turn counts */
	while (s) {
		s->_flags &= (uint8_t)~CP_SCOPE_MARK;
		next = NULL;
		if (s->_flags & CP_SCOPE_GROUP) {
			struct coop_group *g = (struct coop_group *)s;

			if (g->_first)
				next = first_changed(rt, g->_first);
		}
		s = next ? next : walk_on(rt, s, top);
	}
}

void cp_scope_look(struct cp_rt *rt, struct coop_scope *s)
{
	if (CP_UNLIKELY(s->_own && s->_own_until_ns < 0)) { /* cancelled before the run */
		s->_own_until_ns = grace_end(rt, s, -1 - s->_own_until_ns);
		s->_cause_ns = rt->now_ns;
	}
	if (CP_UNLIKELY(s->_more & CP_MORE_CAUSE)) { /* cancelled before, in whatever run */
		if (s->_limit_ms != (uint32_t)rt->epoch) {
			s->_more &= (uint8_t)~CP_MORE_CAUSE;
			s->_cause = NULL;
		}
		s->_limit_ms = 0;
	}
	recompute(rt, s);
	s->_task->cancelled = s->_eff | rt->hook_bit;
}

/* ------------------------------------------------------------------- reasons */

#define CP_CAUSES_LOW 64

/* Keeps a few records for scopes whose task's own record is taken. Never on a cancel's way. */
void cp_causes_refill(struct cp_rt *rt)
{
	while (rt->causes_free < CP_CAUSES_LOW) {
		struct cp_cause *c = cp_alloc(sizeof *c);

		if (!c)
			return; /* next turn; till then a reason may lose its words */
		c->pooled = true;
		c->all = rt->causes_all;
		rt->causes_all = c;
		c->next = rt->causes;
		rt->causes = c;
		rt->causes_free++;
	}
}

void cp_causes_deinit(struct cp_rt *rt)
{
	while (rt->causes_all) {
		struct cp_cause *c = rt->causes_all;

		rt->causes_all = c->all;
		cp_free(c);
	}
	rt->causes = NULL;
	rt->causes_free = 0;
}

static struct cp_cause *cause_take(struct cp_rt *rt, struct coop_scope *s)
{
	struct cp_cause *c = NULL;

	if (s->_state != CP_OPEN) { /* it may never be opened: those are not refilled for it */
		if (rt->causes_free <= CP_CAUSES_LOW / 2)
			return NULL;
		s->_limit_ms = (uint32_t)rt->epoch; /* nor opened in this run */
	}
	if (s->_task && s->_task->state != CP_NEW && !s->_task->body->cause.used) {
		c = &s->_task->body->cause;
		c->pooled = false;
	} else if (rt->causes) {
		c = rt->causes;
		rt->causes = c->next;
		rt->causes_free--;
	}
	if (c)
		c->used = true;
	return c;
}

struct cp_cause *cp_cause_of(const struct coop_scope *s)
{
	if (!(s->_more & CP_MORE_CAUSE))
		return NULL;
	if (s->_state != CP_OPEN && (!cp_rt || s->_limit_ms != (uint32_t)cp_rt->epoch))
		return NULL; /* of a run that is over, or of another thread's */
	return (struct cp_cause *)s->_cause;
}

/* The record goes back; the place is still told. */
void cp_cause_drop(struct cp_rt *rt, struct coop_scope *s)
{
	struct cp_cause *c = cp_cause_of(s);

	if (!c)
		return;
	s->_more &= (uint8_t)~CP_MORE_CAUSE;
	s->_cause = c->at;
	c->used = false;
	if (c->pooled) {
		c->next = rt->causes;
		rt->causes = c;
		rt->causes_free++;
	}
}

void cp_copy_name(char *to, const char *from)
{
	size_t n = strnlen(from, COOP_NAME_MAX);

	memcpy(to, from, n);
	to[n] = '\0';
}

static void cause_fill(struct cp_rt *rt, struct coop_scope *s, const struct cp_why *why)
{
	struct cp_cause *c;

	s->_cause_source = (uint8_t)why->source;
	s->_cause_code = why->code;
	s->_cause = why->site;
	s->_cause_ns = rt->now_ns;
	if (!why->text && !why->who && !why->file)
		return;
	c = cause_take(rt, s);
	if (!c)
		return;
	s->_cause = c;
	s->_more |= CP_MORE_CAUSE;
	c->at = why->site;
	c->text[0] = c->who[0] = c->site[0] = '\0';
	if (why->text)
		cp_copy_name(c->text, why->text);
	if (why->who)
		cp_task_path(why->who, c->who, sizeof c->who);
	if (why->file && why->file[0]) {
		const char *file = why->file;

		while (strncmp(file, "../", 3) == 0)
			file += 3;
		snprintf(c->site, sizeof c->site, "%.60s:%d", file, why->line);
		c->at = NULL;
	}
}

/* ------------------------------------------------------------ cancelling one */

void cp_scope_cut_grace(struct cp_rt *rt, struct coop_scope *s, int64_t until_ns)
{
	if (!s->_own || until_ns >= s->_own_until_ns)
		return;
	s->_own_until_ns = until_ns;
	if (s->_state == CP_OPEN)
		cp_scope_changed(rt, s);
}

void cp_scope_force(struct cp_rt *rt, struct coop_scope *s)
{
	s->_own |= CP_FORCE;
	s->_own_until_ns = rt->now_ns;
	cp_scope_changed(rt, s);
}

bool cp_scope_cancel_why(struct cp_rt *rt, struct coop_scope *s, const struct cp_why *why)
{
	int64_t until;

	if (!rt->clock_virtual && why->grace_ns != COOP_NO_GRACE)
		cp_clock(rt);
	until = grace_end(rt, s, why->grace_ns);
	if (s->_own) {
		s->_own |= why->kind;
		cp_scope_cut_grace(rt, s, until);
		if (s->_state == CP_OPEN)
			cp_scope_changed(rt, s);
		return false;
	}
	s->_own = why->kind;
	s->_own_until_ns = until;
	cause_fill(rt, s, why);
	if (s->_state == CP_OPEN) {
		cp_scope_rearm(rt, s);
		cp_scope_changed(rt, s);
	}
	return true;
}

/* ------------------------------------------------------------------ deadlines */

static struct cp_timer *scope_timer(struct coop_scope *s)
{
	return (struct cp_timer *)&s->_timer_next;
}

_Static_assert(offsetof(struct coop_scope, _timer_key) - offsetof(struct coop_scope, _timer_next) ==
		       offsetof(struct cp_timer, key),
	       "one layout");

/* Not yet cancelled, or by a shutdown alone: its limit goes on for those that one waits for. */
static bool can_time_out(const struct coop_scope *s)
{
	return !(s->_own & ~CP_SHUTDOWN);
}

/* Arms the scope's one timer for what comes first: its deadline, the end of its soft shield. */
void cp_scope_rearm(struct cp_rt *rt, struct coop_scope *s)
{
	int64_t when = COOP_NEVER;

	if (s->_flags & CP_SCOPE_RELATIVE)
		cp_scope_settle_deadline(rt, s);
	if (can_time_out(s))
		when = s->_deadline_ns;
	if (s->_shield & (CP_SHIELD_SOFT | CP_SHIELD_SHUTDOWN) && s->_soft_at_ns < when &&
	    s->_soft_at_ns > rt->now_ns)
		when = s->_soft_at_ns;
	if (cp_timer_armed(scope_timer(s))) {
		if (cp_timer_when(scope_timer(s)) == when)
			return;
		cp_wheel_disarm(&rt->wheel, scope_timer(s));
	}
	if (when < CP_TIME_MAX) {
		s->_more |= CP_MORE_TIMER;
		cp_wheel_arm(&rt->wheel, scope_timer(s), when, CP_TIMER_SCOPE);
	}
}

void cp_scope_timer_fired(struct cp_rt *rt, struct coop_scope *s)
{
	struct cp_why why = { .source = COOP_CANCEL_DEADLINE,
			      .grace_ns = COOP_NEVER,
			      .kind = CP_CANCEL,
			      .site = s->_site };

	if (s->_flags & CP_SCOPE_RELATIVE) { /* it has counted from the reading of the clock */
		s->_flags &= (uint8_t)~CP_SCOPE_RELATIVE;
		s->_deadline_ns = cp_timer_when(scope_timer(s));
	}
	if (can_time_out(s) && s->_deadline_ns <= rt->now_ns) {
		if (!s->_own)
			s->_flags |= CP_SCOPE_TIMED_OUT;
		cp_scope_cancel_why(rt, s, &why);
		return;
	}
	cp_scope_rearm(rt, s);
	cp_scope_changed(rt, s);
}

/* ------------------------------------------------------------------- telling */

/* The scope whose own cancel counts for `s`: the outermost visible one. */
static const struct coop_scope *cancelled_by(const struct coop_scope *s, unsigned *ret_depth)
{
	const struct coop_scope *found = NULL;
	unsigned depth = 0;

	*ret_depth = 0;
	for (; s && s->_eff; s = s->_outer, depth++) {
		if (s->_own) {
			found = s;
			*ret_depth = depth;
		}
		if (!cp_scope_visible(s, cp_rt ? cp_rt->now_ns : 0))
			break;
	}
	return found;
}

static void tell(const struct coop_scope *s, unsigned depth, struct coop_cancel_info *info)
{
	const struct cp_cause *c = cp_cause_of(s);
	const char *at = c ? c->at : s->_more & CP_MORE_CAUSE ? NULL : s->_cause;

	info->source = (enum coop_cancel_source)s->_cause_source;
	info->code = s->_cause_code;
	info->depth = depth;
	info->when_ns = s->_cause_ns;
	if (at && at[0])
		snprintf(info->site, sizeof info->site, "%s", cp_at(at));
	else if (c)
		memcpy(info->site, c->site, sizeof c->site);
	if (c) {
		memcpy(info->text, c->text, sizeof info->text);
		memcpy(info->who, c->who, sizeof info->who);
	}
}

bool cp_cancel_info_own(const struct coop_scope *s, struct coop_cancel_info *info)
{
	memset(info, 0, sizeof *info);
	if (!s || !s->_own)
		return false;
	tell(s, 0, info);
	return true;
}

bool cp_cancel_info(const struct coop_scope *s, struct coop_cancel_info *info)
{
	unsigned depth = 0;

	memset(info, 0, sizeof *info);
	if (s && s->_state == CP_OPEN && s->_eff)
		s = cancelled_by(s, &depth);
	if (!s || !s->_own)
		return false;
	tell(s, depth, info);
	return true;
}

bool coop_cancel_reason(struct coop_cancel_info *ret_info)
{
	struct cp_rt *rt = cp_in_task();

	return cp_cancel_info(rt ? rt->body->inner : NULL, ret_info);
}

bool coop_scope_reason(const struct coop_scope *scope, struct coop_cancel_info *ret_info)
{
	return cp_cancel_info(scope, ret_info);
}

char *coop_cancel_text(const struct coop_cancel_info *info, char *buf, size_t size)
{
	static const char *const words[] = {
		[COOP_CANCEL_NONE] = "not cancelled",
		[COOP_CANCEL_CALL] = "cancelled",
		[COOP_CANCEL_DEADLINE] = "deadline",
		[COOP_CANCEL_FAILURE] = "a failure",
		[COOP_CANCEL_BODY] = "the body was cancelled",
		[COOP_CANCEL_CHILD] = "a child ended",
		[COOP_CANCEL_JOIN] = "the group is ending",
		[COOP_CANCEL_SIGNAL] = "signal",
		[COOP_CANCEL_SHUTDOWN] = "shutdown",
		[COOP_CANCEL_DEADLOCK] = "deadlock",
	};
	const char *text = info->text[0] ? info->text : words[info->source % CP_ARRAY_LEN(words)];
	const char *by = info->source == COOP_CANCEL_CALL && info->who[0] ? info->who : NULL;

	snprintf(buf, size, "%s%s%s%s%s%s", text, by ? " by " : "", by ? by : "",
		 info->site[0] ? " (" : "", info->site, info->site[0] ? ")" : "");
	return buf;
}
