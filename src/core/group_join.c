/* SPDX-License-Identifier: MIT */
/*
 * Joining: the end of the body, the wait for everyone, services, clean-ups, and the one
 * code and one error that come out of it. Also waiting for a group without closing it.
 */
#include "core/group.h"
#include "core/park.h"

#include <errno.h>
#include <string.h>

/* ----------------------------------------------------------------------- join */

/* What is not set here is not looked at in a wait that cannot be aborted. */
CP_INLINE void join_wait(struct cp_wait *w, struct coop_group *g)
{
	static const struct cp_wait model = { .what = "coop_group_join", .kind = CP_ON_CHILDREN };

	cp_wait_like(w, &model);
	w->on = g;
}

/* How the body went is a child's end like the others. */
static CP_COLD void body_ended(struct cp_rt *rt, struct coop_group *g, int rc)
{
	struct cp_body *b = rt->body;
	char path[160];
	const char *file = g->_scope._site;
	int line = cp_site_line(file);
	struct coop_error *err;

	if (rc == COOP_ECANCELED && (g->_scope._eff || b->delivered)) {
		g->_flags |= CP_GROUP_PASSED;
		if (!g->_scope._own)
			cp_group_cancel_for(rt, g, rt->cur, COOP_CANCEL_BODY, 0, "", 0);
		return;
	}
	cp_task_path(rt->cur, path, sizeof path);
	if (rc == COOP_ECANCELED)
		err = cp_err_new_leaf(
			COOP_ESPURIOUSCANCEL, file, line, "", path, cp_clock(rt) - rt->start_ns,
			false, "the body returned COOP_ECANCELED, but nothing was cancelled");
	else
		err = cp_err_claim(&b->err, rc, file, line, "", path, cp_clock(rt) - rt->start_ns,
				   g->_scope._eff);
	rc = coop_error_code(err);
	if (cp_err_passes(&g->_scope, b, err))
		g->_flags |= CP_GROUP_PASSED;
	cp_group_add_error(g, err);
	cp_group_cancel_for(rt, g, rt->cur, COOP_CANCEL_FAILURE, rc, file, line);
}

/* Only services are left: they are told that their users are gone, and waited for. */
CP_COLD void cp_group_drain_services(struct cp_rt *rt, struct coop_group *g, const char *what)
{
	struct cp_why why = { .source = COOP_CANCEL_JOIN,
			      .text = CP_SERVICE_TEXT,
			      .site = g->_scope._site,
			      .grace_ns = COOP_NEVER,
			      .kind = CP_CANCEL };
	struct coop_task *t = g->_first;
	struct cp_wait w;

	join_wait(&w, g);
	w.what = what;
	g->_flags |= CP_GROUP_DRAINING;
	if (g->_flags & CP_GROUP_RUN)
		cp_shutdown_services(rt);
	do {
		if (t->state != CP_NEW) { /* others find the group draining when they begin */
			t->body->base._shield &= (uint8_t)~CP_SHIELD_SERVICE;
			cp_scope_cancel_why(rt, &t->body->base, &why);
		}
		t = t->sib_next;
	} while (t != g->_first);
	while (g->_services)
		cp_park(rt, &w);
}

/* The leaf of a group's own timeout, put among the others by its time; it came before those of
 * the same time, for it is what cancelled them. */
static CP_COLD void add_timeout(struct cp_rt *rt, struct coop_group *g)
{
	char path[160], limit[160], text[176];
	const char *file = g->_scope._site;
	int line = cp_site_line(file);
	int64_t when = g->_scope._deadline_ns - rt->start_ns;
	struct coop_error_info info;
	struct coop_error *err;
	struct cp_errs *e;
	uint32_t i, at;

	cp_task_path(rt->cur, path, sizeof path);
	cp_scope_limit_text(&g->_scope, cp_clock(rt), limit, sizeof limit);
	snprintf(text, sizeof text, "group %s", limit);
	err = cp_err_new_leaf(COOP_ETIMEDOUT, file, line, "", path, when, false, text);
	cp_group_add_error(g, err);
	e = cp_errs_of(g);
	if (!e || !e->count || e->list[e->count - 1] != err)
		return;
	for (at = 0; at + 1 < e->count; at++) {
		cp_err_describe(e->list[at], &info);
		if (info.when_ns >= when)
			break;
	}
	for (i = e->count - 1; i > at; i--)
		e->list[i] = e->list[i - 1];
	e->list[at] = err;
}

static uint32_t fill_gone(struct cp_rt *rt, struct coop_group *g, struct cp_err_cancelled *gone)
{
	struct coop_cancel_info info;
	uint32_t n = 0;
	char why[sizeof gone->why];

	(void)rt;
	if (!g->_gone) /* the way to the reason is as long as the nesting is deep */
		return 0;
	if (cp_cancel_info(&g->_scope, &info))
		coop_cancel_text(&info, why, sizeof why);
	else
		snprintf(why, sizeof why, "cancelled by its handle");
	for (struct coop_task *t = g->_gone; t; t = t->gone_next, n++) {
		cp_task_path(t, gone[n].who, sizeof gone[n].who);
		memcpy(gone[n].why, why, sizeof why);
		gone[n].blocked_in[0] = '\0';
		if (t->gone_what)
			cp_blocked_text(t->gone_what, t->gone_blocked_ns, gone[n].blocked_in,
					sizeof gone[n].blocked_in);
	}
	return n;
}

/* Turns what was gathered into one error object. */
static CP_NOINLINE CP_COLD struct coop_error *make_error(struct cp_rt *rt, struct coop_group *g,
							 bool passed)
{
	struct cp_err_cancelled gone[CP_GONE_MAX];
	struct coop_error *few[1];
	char path[160];
	struct cp_err_group from = { .name = cp_scope_name(&g->_scope),
				     .path = path,
				     .file = g->_scope._site,
				     .cancelled = g->_cancelled,
				     .gone = gone,
				     .total = cp_errs_total(g),
				     .cancel_pending = passed,
				     .strict = g->_scope._flags & CP_SCOPE_STRICT };

	from.count = cp_errs_members(g, few, &from.members);
	from.line = cp_site_line(g->_scope._site);
	from.when_ns = cp_clock(rt) - rt->start_ns;
	from.gone_count = fill_gone(rt, g, gone);
	cp_task_path(rt->cur, path, sizeof path);
	return cp_err_new_group(&from);
}

/* The join's answer where not all went well. */
static CP_NOINLINE CP_COLD int finish_badly(struct cp_rt *rt, struct coop_group *g, int rc)
{
	struct coop_scope *s = &g->_scope;
	bool passed = g->_flags & CP_GROUP_PASSED, caught = passed && cp_scope_catches(s);

	if (caught) {
		s->_flags |= CP_SCOPE_CAUGHT;
		passed = false;
	}
	if (passed)
		rt->body->delivered = true; /* it travels on, beside an error or alone */
	if (s->_flags & CP_SCOPE_TIMED_OUT && (caught || g->_errs))
		add_timeout(rt, g);
	if (g->_errs) {
		rc = coop_error_raise(make_error(rt, g, passed));
	} else if (passed) {
		rc = COOP_ECANCELED;
	} else if (rc < 0) {
		rc = 0;
	}
	return rc;
}

/* Leaves the group: all children have ended. */
static int finish(struct cp_rt *rt, struct coop_group *g, int rc)
{
	struct coop_scope *s = &g->_scope;
	struct cp_body *b = rt->body;

	if (CP_UNLIKELY(s->_flags & CP_SCOPE_RELATIVE && s->_own))
		cp_scope_settle_deadline(rt, s);
	if (CP_UNLIKELY(s->_own) && cp_scope_catches(s))
		cp_cancel_over(rt, s);
	if (CP_UNLIKELY(rc < 0 || g->_errs || g->_flags & CP_GROUP_PASSED ||
			s->_flags & CP_SCOPE_TIMED_OUT))
		rc = finish_badly(rt, g, rc);
	if (CP_UNLIKELY(cp_timer_armed((struct cp_timer *)&s->_timer_next)))
		cp_wheel_disarm(&rt->wheel, (struct cp_timer *)&s->_timer_next);
	if (CP_UNLIKELY(g->_errs != NULL))
		cp_errs_free(g);
	if (CP_UNLIKELY(g->_gone != NULL))
		cp_group_free_gone(rt, g);
	if (CP_UNLIKELY(s->_name != 0))
		cp_scope_drop_name(b, s);
	if (CP_UNLIKELY(s->_more & CP_MORE_CAUSE))
		cp_cause_drop(rt, s);
	if (rc >= 0 && CP_UNLIKELY(b->err != NULL))
		cp_err_slot_drop(&b->err);
	g->_scope._state = CP_CLOSED;
	s->_until_ns = s->_deadline_ns <= rt->now_ns ? rt->now_ns : COOP_NEVER;
	cp_scope_unlink(b, s);
	return rc;
}

static CP_COLD int join_check(struct cp_rt *rt, struct coop_group *g, int rc)
{
	if (g->_scope._state == CP_REFUSED)
		return rc < 0 ? rc : g->_scope._cause_code;
	if (cp_unopened(g->_scope._state))
		return COOP_ENOTOPEN;
	if (g->_scope._state == CP_CLOSED)
		return COOP_ECLOSED;
	if (g->_scope._task != rt->cur)
		return COOP_EWRONGTASK;
	cp_die_misnest(rt->body, &g->_scope, "join");
}

/* Clean-ups after the children; their failures join the others. */
static CP_COLD int run_defers(struct cp_rt *rt, struct coop_group *g, int rc)
{
	int r = cp_scope_run_defers(rt, &g->_scope, 0);

	if (r < 0) {
		struct coop_error *e = coop_error_take(r);
		struct coop_error_info i;

		coop_error_describe(e, &i);
		for (uint32_t n = 0; n < i.members; n++)
			cp_group_add_error(g, coop_error_ref(coop_error_member(e, n)));
		coop_error_unref(e);
		g->_failed += i.members;
	}
	return rc;
}

/* Clean-ups first: they may fail, too. Those of a start that has moved have moved with it. */
int cp_group_leave_hidden(struct cp_rt *rt, struct coop_group *g, bool passed)
{
	struct coop_error *few[1], **members, *err = NULL;

	if (g->_scope._defers)
		(void)run_defers(rt, g, 0);
	if (cp_errs_total(g) == 1) {
		cp_errs_members(g, few, &members);
		err = members[0];
	} else if (g->_errs) {
		err = make_error(rt, g, passed);
	}
	if (g->_errs)
		cp_errs_free(g);
	if (g->_gone)
		cp_group_free_gone(rt, g);
	if (cp_timer_armed((struct cp_timer *)&g->_scope._timer_next))
		cp_wheel_disarm(&rt->wheel, (struct cp_timer *)&g->_scope._timer_next);
	cp_cause_drop(rt, &g->_scope);
	g->_scope._state = CP_CLOSED;
	cp_scope_unlink(rt->body, &g->_scope);
	return err ? coop_error_raise(err) : 0;
}

static CP_COLD void cancel_on_join(struct cp_rt *rt, struct coop_group *g)
{
	struct cp_why why = { .source = COOP_CANCEL_JOIN,
			      .text = "the body has ended",
			      .site = g->_scope._site,
			      .who = rt->cur,
			      .grace_ns = COOP_NEVER,
			      .kind = CP_CANCEL };

	if (g->_live > 1)
		cp_scope_cancel_why(rt, &g->_scope, &why);
}

/* Has the group to be left as it was opened: nothing came of it but its children's ends? */
CP_INLINE bool ends_plainly(const struct coop_group *g, const struct cp_body *b)
{
	uint64_t word = cp_scope_word(&g->_scope);

	return !((word ^ CP_WORD(CP_OPEN, 0, CP_SCOPE_GROUP)) | (uintptr_t)g->_first |
		 (uintptr_t)g->_gone | (uintptr_t)g->_errs | (uintptr_t)b->err | g->_live |
		 g->_services | (g->_flags & CP_GROUP_PASSED));
}

/* What comes after the wait. */
static CP_NOINLINE int join_end(struct cp_rt *rt, struct coop_group *group, int rc)
{
	if (group->_services)
		cp_group_drain_services(rt, group, "coop_group_join");
	CP_ASSERT(!group->_first && !group->_live && !group->_services);
	group->_flags |= CP_GROUP_DRAINING;
	if (group->_scope._defers)
		rc = run_defers(rt, group, rc);
	return finish(rt, group, rc);
}

/* The body of `group` has ended, and waits for those who are left. */
CP_INLINE void join_begin(struct coop_group *group)
{
	uint32_t *bytes = (uint32_t *)&group->_policy; /* up to _waiting */

	*bytes |= (uint32_t)CP_GROUP_JOINING << 8 | (uint32_t)true << 24;
	group->_live--;
}

/* Waits for them; nobody else can end it. */
CP_INLINE void join_park(struct cp_rt *rt, struct coop_group *group)
{
	struct cp_wait w;

	join_wait(&w, group);
	cp_park_inline(rt, &w);
}

static CP_NOINLINE int join_any(struct coop_group *group, int rc)
{
	struct coop_scope *s = &group->_scope;
	struct cp_rt *rt = cp_in_task();

	if (!rt)
		return s->_state == CP_REFUSED ? s->_cause_code : cp_no_task();
	if (rt->body->inner != s || s->_state != CP_OPEN)
		return join_check(rt, group, rc);
	if (rc < 0)
		body_ended(rt, group, rc);
	else if (group->_flags & CP_GROUP_CANCEL_ON_JOIN)
		cancel_on_join(rt, group);
	join_begin(group);
	if (group->_waiters)
		cp_group_wake_waiters(rt, group);
	if (group->_live) {
		if (rt->hook_bit)
			cp_hook_look(rt);
		join_park(rt, group);
		CP_ASSERT(group->_live == 0);
	} else {
		rt->body->schedule_half++;
		if (!(group->_flags & CP_GROUP_YIELDED))
			cp_yield(rt);
	}
	return join_end(rt, group, rc);
}

int coop_group_join(struct coop_group *group, int rc)
{
	struct cp_rt *rt = cp_here;
	struct cp_body *b = rt->body;

	/* Most bodies end well, before their children, and with nobody waiting beside them. */
	if (CP_UNLIKELY(!b || b->inner != &group->_scope || group->_scope._state != CP_OPEN ||
			rc < 0 || group->_flags || group->_waiters || rt->hook_bit ||
			group->_live < 2))
		return join_any(group, rc);
	join_begin(group);
	join_park(rt, group);
	rt = cp_here;
	b = rt->body;
	if (CP_UNLIKELY(!ends_plainly(group, b)))
		return join_end(rt, group, rc);
	cp_scope_pop(b, &group->_scope);
	return rc;
}

/* ------------------------------------------------------------------------ wait */

/* Called outside of tasks: on the thread of nobody, or at least not on the group's? */
CP_COLD int cp_group_no_task(const struct coop_group *g)
{
	if (g->_scope._state == CP_OPEN && g->_rt != (uintptr_t)cp_rt && !cp_rt_forked())
		return COOP_EWRONGTHREAD;
	return cp_no_task();
}

int cp_group_usable(const struct coop_group *g)
{
	if (CP_LIKELY(g->_scope._state == CP_OPEN)) {
		if (CP_UNLIKELY(g->_rt != (uintptr_t)cp_rt))
			return cp_rt ? COOP_EWRONGTHREAD : cp_no_task();
		/* In join, with nobody left that could ask for more, it is as good as closed. */
		return CP_UNLIKELY(g->_flags & CP_GROUP_JOINING && !g->_live) ? COOP_ECLOSED : 0;
	}
	if (cp_unopened(g->_scope._state))
		return COOP_ENOTOPEN;
	return g->_scope._state == CP_CLOSED ? COOP_ECLOSED : g->_scope._cause_code;
}

/* Is the running task, or one that waits for it, a child of the group or on its way there? */
static bool waits_for_caller(const struct cp_rt *rt, const struct coop_group *g)
{
	for (struct coop_task *t = rt->cur; t->group; t = cp_group_host(t->group)) {
		const struct cp_extra *x = cp_task_extra(t);

		if (t->group == g || (x && x->start && x->start->starter &&
				      x->start->starter->target == g))
			return true;
	}
	return false;
}

int coop_group_wait(struct coop_group *group)
{
	struct cp_rt *rt = cp_in_task();
	char text[400];
	int r;

	if (!rt)
		return cp_group_no_task(group);
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_group_wait");
	r = cp_group_usable(group);
	r = r < 0 ? cp_refuse(r) : cp_cancel_point(rt);
	if (r < 0)
		return r;
	if (waits_for_caller(rt, group)) {
		cp_task_path(rt->cur, text, sizeof text);
		cp_schedule_point(rt);
		return coop_fail(-EDEADLK, "%s waits for a group that it is in", text);
	}
	if (cp_group_idle(group)) {
		cp_schedule_point(rt);
		return 0;
	}
	if (cp_group_would_deadlock(rt, group, text, sizeof text))
		return coop_fail(-EDEADLK, "%s", text);
	return cp_group_wait_at(rt, group, "coop_group_wait", false);
}
