/* SPDX-License-Identifier: MIT */
/*
 * Groups: own children, judge their ends, join them, make one error of many.
 *
 * _live counts what the join waits for (I5): the body until join is called, normal children,
 * pending starts. Services are counted apart. When _live reaches 0 in join, services
 * are cancelled; when they are gone too, clean-ups run and the scope is left.
 *
 *   UNOPENED --open--> OPEN --join--> OPEN, JOINING --last normal child--> DRAINING
 *            --last service--> CLOSED
 *
 * What is accepted: a spawn while the group is OPEN and not DRAINING.
 *
 * Policies decide what a failure of a child does; the code is in `judge`. The body's
 * failure and the fatal class always cancel.
 */
#include "core/group.h"

#include <coop/auto.h>

#include <errno.h>

/* -------------------------------------------------------------------- opening */

bool cp_zero_words(const uint64_t *words, size_t count)
{
	uint64_t sum = 0;

	while (count--)
		sum |= words[count];
	return !sum;
}

static int check_opts(const struct coop_group_opts *o)
{
	int r = cp_scope_check_opts(o->timeout_ns, 0, o->soft_shield_ns, o->grace_ns);

	if (r < 0 || !cp_zero_words(o->_reserved, CP_ARRAY_LEN(o->_reserved)))
		return -EINVAL;
	if ((unsigned)o->policy > COOP_JUDGE || (o->policy == COOP_JUDGE) != (o->judge != NULL))
		return -EINVAL;
	return 0;
}

static void take_opts(struct coop_group *g, const struct coop_group_opts *o)
{
	struct coop_scope *s = &g->_scope;

	g->_policy = (uint8_t)o->policy;
	g->_policy_fn = (void *)o->judge;
	g->_policy_ctx = o->judge_ctx;
	if (o->running_max)
		g->_running_max = o->running_max;
	if (o->errors_max)
		g->_errors_max = o->errors_max;
	if (o->cancel_on_join)
		g->_flags |= CP_GROUP_CANCEL_ON_JOIN;
	if (o->strict_code)
		s->_flags |= CP_SCOPE_STRICT;
	if (o->shield)
		s->_shield |= CP_SHIELD_HARD;
	if (o->soft_shield_ns)
		s->_shield |= CP_SHIELD_SOFT;
	s->_soft_ns = o->soft_shield_ns;
	cp_scope_set_grace(s, o->grace_ns);
}

int cp_group_open(struct cp_rt *rt, struct coop_group *g, const struct coop_group_opts *opts,
		  const char *site)
{
	struct coop_scope *s = &g->_scope;
	int r = opts ? check_opts(opts) : 0;

	if (r < 0)
		return r;
	if (CP_UNLIKELY(s->_state == CP_RAW))
		return -EINVAL; /* not COOP_GROUP_INIT */
	s->_flags |= CP_SCOPE_GROUP;
	g->_rt = (uintptr_t)rt;
	if (CP_UNLIKELY(opts != NULL))
		take_opts(g, opts);
	cp_scope_link(rt->body, s, site);
	if (CP_UNLIKELY(opts && opts->name))
		cp_scope_copy_name(rt->body, s, opts->name);
	if (CP_UNLIKELY(s->_outer->_eff | s->_own | s->_shield))
		cp_scope_look(rt, s);
	if (CP_UNLIKELY(opts && opts->timeout_ns))
		cp_scope_set_limits(rt, s, opts->timeout_ns, 0);
	return 0;
}

static CP_COLD int refuse(struct coop_group *g, int r)
{
	if (cp_unopened(g->_scope._state) && r != -EALREADY) {
		g->_scope._state = CP_REFUSED;
		g->_scope._cause_code = r;
	}
	return r;
}

static CP_NOINLINE int open_outside(struct coop_group *group)
{
	return refuse(group, cp_no_task());
}

/* With options, or not as it was initialised, or cancelled from the start. */
static CP_NOINLINE int open_slow(struct cp_rt *rt, struct coop_group *group,
				 const struct coop_group_opts *opts, const char *site)
{
	int r;

	if (CP_UNLIKELY(!cp_unopened(group->_scope._state)))
		return -EALREADY;
	r = cp_group_open(rt, group, opts, site);
	return CP_UNLIKELY(r < 0) ? refuse(group, r) : 0;
}

int coop_group_open_at(struct coop_group *group, const struct coop_group_opts *opts,
		       const char *site)
{
	struct cp_rt *rt = cp_here;
	struct cp_body *b = rt->body;
	struct coop_scope *outer;

	if (CP_UNLIKELY(!b))
		return open_outside(group);
	cp_check_frames(b, CP_STACK_POINTER(), "coop_group_open");
	outer = cp_innermost(b);
	if (CP_UNLIKELY(opts || outer->_eff || b->delivered ||
			cp_scope_word(&group->_scope) != CP_WORD(CP_UNOPENED, 0, CP_SCOPE_GROUP)))
		return open_slow(rt, group, opts, site);
	group->_rt = (uintptr_t)rt;
	cp_scope_push(b, outer, &group->_scope, site, CP_WORD(CP_OPEN, 0, CP_SCOPE_GROUP));
	return 0;
}

/* ---------------------------------------------------------------------- asking */

int coop_group_cancel_at(struct coop_group *group, const char *reason, int64_t grace_ns,
			 const char *site)
{
	if (group->_scope._state == CP_OPEN && group->_rt != (uintptr_t)cp_rt)
		return cp_rt_forked() ? COOP_EFORK : COOP_EWRONGTHREAD;
	return coop_scope_cancel_at(&group->_scope, reason, grace_ns, site);
}

int coop_group_stats(const struct coop_group *group, struct coop_group_stats *ret_stats)
{
	const struct coop_group *g = group;
	struct coop_group_stats s = { .services = g->_services,
				      .finished = g->_finished,
				      .failed = g->_failed,
				      .cancelled = g->_cancelled,
				      .logged = g->_logged,
				      .peak = g->_peak,
				      .running_max = g->_running_max == COOP_UNLIMITED
							     ? 0
							     : g->_running_max };
	struct coop_task *t = g->_first;

	if (cp_unopened(g->_scope._state) || g->_scope._state == CP_REFUSED)
		return COOP_ENOTOPEN;
	if (g->_rt != (uintptr_t)cp_rt)
		return COOP_EWRONGTHREAD;
	for (; t && g->_scope._state == CP_OPEN;
	     t = t->sib_next == g->_first ? NULL : t->sib_next) {
		s.running++;
		s.blocked += t->state == CP_PARKED;
	}
	for (struct cp_wait *w = g->_scope._state == CP_OPEN ? g->_waiters : NULL;
	     w && cp_wants_room(w); w = w->next == g->_waiters ? NULL : w->next)
		s.waiting++;
	s.errors = cp_errs_total(g);
	s.errors_kept = cp_errs_kept(g);
	*ret_stats = s;
	return 0;
}

int coop_group_set_running_max(struct coop_group *group, uint32_t running_max)
{
	if (group->_scope._state != CP_OPEN)
		return group->_scope._state == CP_CLOSED ? COOP_ECLOSED : COOP_ENOTOPEN;
	if (group->_rt != (uintptr_t)cp_rt)
		return COOP_EWRONGTHREAD;
	group->_running_max = running_max ? running_max : COOP_UNLIMITED;
	if (group->_waiters)
		cp_group_wake_waiters(cp_rt, group);
	return 0;
}

/* ------------------------------------------------------------------- auto.h */

void coop_group_end(struct coop_group *group)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_why why = { .source = COOP_CANCEL_BODY,
			      .text = "the block was left early",
			      .site = group->_scope._site,
			      .grace_ns = COOP_NEVER,
			      .kind = CP_CANCEL };
	int r;

	if (group->_scope._state != CP_OPEN || !rt)
		return;
	why.who = rt->cur;
	if (rt->body->delivered) /* so that is why it was left: a shutdown leaves some their time */
		why.kind = cp_kind_passed(&group->_scope, rt->now_ns);
	{
		struct coop_error *mine = rt->body->err; /* travels past this block */

		rt->body->err = NULL;
		cp_scope_cancel_why(rt, &group->_scope, &why);
		r = coop_group_join(group, 0);
		if (r < 0 && r != COOP_ECANCELED)
			cp_group_log_error(group, coop_error_peek(r));
		cp_err_slot_drop(&rt->body->err);
		rt->body->err = mine;
	}
}
