/* SPDX-License-Identifier: MIT */
/*
 * The end of a child, as its group sees it: policies, cancelling the rest, who is woken.
 */
#include "core/group.h"

#include <errno.h>
#include <string.h>

/* ---------------------------------------------------------------- child's end */

uint8_t cp_kind_passed(const struct coop_scope *s, int64_t now_ns)
{
	uint8_t kind = cp_scope_visible(s, now_ns) & (CP_CANCEL | CP_SHUTDOWN);

	return kind ? kind : CP_CANCEL;
}

/* Cancels the group because of `t`; the words say who failed, and where. */
CP_COLD void cp_group_cancel_for(struct cp_rt *rt, struct coop_group *g, struct coop_task *t,
				 enum coop_cancel_source source, int code, const char *file,
				 int line)
{
	struct cp_why why = { .source = source,
			      .code = code,
			      .file = file,
			      .line = line,
			      .who = t,
			      .grace_ns = COOP_NEVER,
			      .kind = CP_CANCEL };
	char text[COOP_NAME_MAX + 1];
	bool body = t == cp_group_host(g);

	if (source == COOP_CANCEL_BODY || source == COOP_CANCEL_CHILD)
		why.kind = cp_kind_passed(body ? &g->_scope : &t->body->base, rt->now_ns);
	if (g->_scope._own && !(why.kind & ~g->_scope._own))
		return;
	if (body)
		snprintf(text, sizeof text, "the body %s",
			 source == COOP_CANCEL_FAILURE ? "failed" : "was cancelled");
	else
		snprintf(text, sizeof text, "child \"%.44s\" %s", cp_task_name(t),
			 source == COOP_CANCEL_FAILURE ? "failed" : "ended");
	why.text = text;
	cp_scope_cancel_why(rt, &g->_scope, &why);
}

CP_COLD void cp_group_log_error(const struct coop_group *g, const struct coop_error *err)
{
	struct coop_error_info i;
	char code[48];

	cp_err_describe(err, &i);
	coop_log(COOP_LOG_WARN, "%s: %s \"%s\" at %s:%d, in the group opened at %s", i.task,
		 coop_code_name(i.code, code, sizeof code), i.message, i.file, i.line,
		 cp_at(g->_scope._site));
}

/* What a judge decides has to be done at once, at the end of a task that is half gone already. */
CP_COLD void cp_die_in_judge(const struct coop_task *t, const char *what)
{
	char path[160];

	cp_task_path(t, path, sizeof path);
	cp_die("task %s: the judge of its group (opened at %s) would wait, in %s", path,
	       cp_at(t->group->_scope._site), what);
}

/* The callback's word on an error; whatever it does wrong is an internal error. */
static CP_COLD enum coop_verdict ask_judge(struct cp_rt *rt, struct coop_group *g,
					   struct coop_error **err)
{
	coop_judge_fn *judge = (coop_judge_fn *)g->_policy_fn;
	uint64_t switches = rt->switches;
	int32_t ticks = rt->ticks;
	bool yielded;
	enum coop_verdict v;
	struct coop_error_info i;
	char text[96];

	rt->body->in_judge = true; /* cp_park looks at it */
	v = judge(*err, g->_policy_ctx);
	rt->body->in_judge = false;
	yielded = rt->ticks != ticks || rt->switches != switches;
	if ((unsigned)v <= COOP_VERDICT_LOG && !yielded)
		return v;
	cp_err_describe(*err, &i);
	if (yielded)
		snprintf(text, sizeof text, "the judge of the group has let other tasks run");
	else
		snprintf(text, sizeof text, "the judge of the group said %d, which is no verdict",
			 (int)v);
	*err = cp_err_new_wrap(COOP_EINTERNAL, *err, i.file, i.line, i.func, i.task, i.when_ns,
			       text);
	return COOP_VERDICT_FATAL;
}

static CP_COLD enum coop_verdict judge(struct cp_rt *rt, struct coop_group *g,
				       struct coop_error **err)
{
	if (coop_is_fatal(coop_error_code(*err)))
		return COOP_VERDICT_FATAL;
	switch ((enum coop_policy)g->_policy) {
	case COOP_FAIL_FAST: return COOP_VERDICT_FATAL;
	case COOP_COLLECT: return COOP_VERDICT_KEEP;
	case COOP_LOG: return COOP_VERDICT_LOG;
	case COOP_JUDGE: return ask_judge(rt, g, err);
	}
	return COOP_VERDICT_FATAL;
}

/*
 * Has a cancellation from outside passed `s` beside this error? The error may be that of another
 * task, which was waited for: then what passed there is no business of this one.
 */
bool cp_err_passes(const struct coop_scope *s, const struct cp_body *b,
		   const struct coop_error *err)
{
	return cp_err_cancel_pending(err) && (s->_eff || b->delivered);
}

static CP_COLD void child_failed(struct cp_rt *rt, struct coop_group *g, struct coop_task *t,
				 struct coop_error *err)
{
	struct coop_error_info i;
	enum coop_verdict v;

	g->_failed++;
	if (t->flags & CP_TASK_MAIN) { /* its error is the run's result, kept in its handle */
		coop_error_unref(err);
		return;
	}
	if (t->flags & CP_TASK_INTERNAL) {
		rt->internal_failed = true;
		cp_err_describe(err, &i);
		err = cp_err_new_wrap(COOP_EINTERNAL, err, i.file, i.line, i.func, i.task,
				      i.when_ns, "a task of the runtime's own failed");
	}
	v = judge(rt, g, &err);
	if (cp_err_passes(&t->body->base, t->body, err) && !cp_scope_catches(&t->body->base))
		g->_flags |= CP_GROUP_PASSED;
	if (v == COOP_VERDICT_LOG) {
		g->_logged++;
		if (g->_flags & CP_GROUP_RUN)
			cp_shutdown_failure(rt, err);
		else
			cp_group_log_error(g, err);
		coop_error_unref(err);
		return;
	}
	cp_err_describe(err, &i);
	coop_error_ref(err); /* its place is read below */
	cp_group_add_error(g, err);
	if (v == COOP_VERDICT_FATAL)
		cp_group_cancel_for(rt, g, t, COOP_CANCEL_FAILURE, i.code, i.file, i.line);
	coop_error_unref(err);
}

void cp_group_set_team(struct coop_group *g, const struct cp_team_ops *ops)
{
	CP_ASSERT(g->_scope._state == CP_OPEN && !g->_first && g->_policy != COOP_JUDGE);
	g->_policy_fn = (void *)(uintptr_t)ops;
	g->_flags |= CP_GROUP_TEAM;
}

/* What the members of a team run; NULL: it is none. */
static coop_fn *team_entry(const struct coop_group *g)
{
	const struct cp_team_ops *ops = g->_policy_fn;

	return g->_flags & CP_GROUP_TEAM ? ops->entry : NULL;
}

static CP_COLD void tell_team(struct cp_rt *rt, struct coop_group *g, struct cp_body *b,
			      enum cp_outcome outcome, int rc, struct coop_error *err)
{
	if (outcome != CP_ENDED_WELL && b->fn == team_entry(g))
		((const struct cp_team_ops *)g->_policy_fn)->ended(rt, g, b->arg, outcome, rc, err);
}

/* A child that ended cancelled is told of in the group's error: its node is kept. */
static CP_COLD bool keep_gone(struct coop_group *g, struct coop_task *t)
{
	struct cp_body *b = t->body;
	struct coop_task **at = &g->_gone;
	uint32_t n = 0;

	for (; *at; at = &(*at)->gone_next)
		if (++n >= CP_GONE_MAX)
			return false;
	t->gone_next = NULL;
	t->gone_what = b->blocked_what;
	t->gone_blocked_ns = b->blocked_ns;
	t->gone = b->fn == team_entry(g) ? 2 : 1;
	t->gone_arg = b->arg;
	t->flags &= CP_TASK_EXTRA;
	if (b->extra) {
		cp_local_unref(b->locals);
		b->locals = NULL;
		b->extra->locals = NULL;
		b->extra->handle = NULL;
		t->extra = b->extra;
		b->extra = NULL;
	} else {
		t->site = b->site;
	}
	t->state = CP_NEW;
	*at = t;
	return true;
}

CP_COLD void cp_group_free_gone(struct cp_rt *rt, struct coop_group *g)
{
	while (g->_gone) {
		struct coop_task *t = g->_gone;

		g->_gone = t->gone_next;
		if (t->flags & CP_TASK_EXTRA)
			cp_extra_free(rt, t->extra);
		cp_node_free(rt, t);
	}
}

static CP_COLD void child_cancelled(struct cp_rt *rt, struct coop_group *g, struct coop_task *t)
{
	if (t->flags & CP_TASK_SERVICE && g->_flags & CP_GROUP_DRAINING)
		return; /* so services end; what is cancelled outside is no news of theirs */
	g->_flags |= CP_GROUP_PASSED;
	if (!g->_scope._own)
		cp_group_cancel_for(rt, g, t, COOP_CANCEL_CHILD, 0, "", 0);
}

/* All that an end other than plain success brings with it. */
static CP_COLD bool ended_badly(struct cp_rt *rt, struct coop_group *g, struct coop_task *t,
				enum cp_outcome outcome, int rc, struct coop_error *err)
{
	if (g->_flags & CP_GROUP_TEAM)
		tell_team(rt, g, t->body, outcome, rc, err);
	switch (outcome) {
	case CP_ENDED_WELL: break;
	case CP_ENDED_FAILED: child_failed(rt, g, t, err); break;
	case CP_ENDED_CANCELLED:
	case CP_ENDED_CAUGHT:
		g->_cancelled++;
		if (outcome == CP_ENDED_CANCELLED)
			child_cancelled(rt, g, t);
		break;
	}
	if (t->flags & CP_TASK_ESSENTIAL)
		cp_group_cancel_for(rt, g, t, COOP_CANCEL_CHILD, rc < 0 ? rc : 0, "", 0);
	cp_group_unlink(g, t);
	if (outcome == CP_ENDED_CANCELLED || outcome == CP_ENDED_CAUGHT)
		return keep_gone(g, t);
	return false;
}

static CP_COLD void service_left(struct cp_rt *rt, struct coop_group *g)
{
	struct coop_task *host = cp_group_host(g);

	g->_services--;
	if (g->_services == 0 && g->_live == 0 && g->_flags & CP_GROUP_DRAINING &&
	    host->state == CP_PARKED && host->body->wait->on == g)
		cp_wake(rt, host, 0);
}

bool cp_group_child_ended(struct cp_rt *rt, struct coop_group *g, struct coop_task *t,
			  enum cp_outcome outcome, int rc, struct coop_error *err)
{
	bool kept = false, service = t->flags & CP_TASK_SERVICE;

	if (CP_UNLIKELY(outcome != CP_ENDED_WELL || t->flags & CP_TASK_ESSENTIAL))
		kept = ended_badly(rt, g, t, outcome, rc, err);
	else
		cp_group_unlink(g, t);
	if (outcome == CP_ENDED_WELL)
		g->_finished++;
	if (CP_UNLIKELY(service))
		service_left(rt, g);
	else
		cp_group_left(rt, g);
	return kept;
}
