/* SPDX-License-Identifier: MIT */
/*
 * Deferred clean-ups: a stack of callers' records on a scope.
 *
 * They run in the task that leaves the scope, behind a soft shield with the runner's
 * grace, last in, first out, all of them; each failure becomes a member of the error.
 */
#include "core/core.h"

#include <errno.h>

#define CP_DEFER_ERRORS_MAX 16

int coop_scope_defer_at(struct coop_scope *scope, struct coop_defer *defer, coop_fn *fn, void *arg,
			const char *site)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	if (!fn || !defer || defer->_fn)
		return -EINVAL;
	r = cp_scope_on_thread(scope);
	if (r < 0)
		return r;
	if (cp_unopened(scope->_state))
		return COOP_ENOTOPEN;
	if (scope->_state != CP_OPEN) {
		r = fn(arg);
		if (r < 0 && r != COOP_ECANCELED)
			coop_log(COOP_LOG_WARN, "clean-up registered late at %s failed: %s",
				 cp_at(site), coop_code_text(r));
		return COOP_ECLOSED;
	}
	defer->_fn = fn;
	defer->_arg = arg;
	defer->_site = site;
	defer->_next = scope->_defers;
	scope->_defers = defer;
	scope->_more |= CP_MORE_DEFERS;
	return 0;
}

int coop_scope_undefer(struct coop_scope *scope, struct coop_defer *defer)
{
	int r = cp_scope_on_thread(scope);

	if (r < 0)
		return r;
	for (struct coop_defer **at = &scope->_defers; *at; at = &(*at)->_next) {
		if (*at != defer)
			continue;
		*at = defer->_next;
		defer->_next = NULL;
		defer->_fn = NULL;
		return 0;
	}
	return -ENOENT;
}

/* Claims the error of one clean-up, or of the body, as a member. */
static struct coop_error *claim(struct cp_rt *rt, int rc, const char *site)
{
	char path[160];

	cp_task_path(rt->cur, path, sizeof path);
	return cp_err_claim(&rt->body->err, rc, site, cp_site_line(site), "", path,
			    cp_clock(rt) - rt->start_ns, rt->cur->cancelled & (uint8_t)~CP_HOOK);
}

/* Runs one clean-up behind its shield. A cancellation of it is no failure. */
static int run_one(struct cp_rt *rt, struct coop_defer *d)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_scope_opts opts = { .soft_shield_ns = rt->grace_ns ? rt->grace_ns : 1 };
	coop_fn *fn = d->_fn;
	int r;

	d->_fn = NULL;
	r = coop_scope_open_at(&s, &opts, d->_site);
	CP_ASSERT(r == 0);
	r = fn(d->_arg);
	r = coop_scope_close(&s, r);
	return r == COOP_ECANCELED ? 0 : r;
}

/* The failures, put together with how the body went. */
static int combine(struct cp_rt *rt, struct coop_scope *s, int rc, struct coop_error **members,
		   uint32_t count, uint32_t total)
{
	char path[160];
	struct cp_err_group from = { .name = cp_scope_name(s),
				     .path = path,
				     .file = s->_site,
				     .members = members,
				     .count = count,
				     .total = total,
				     .cancel_pending = rc == COOP_ECANCELED };

	for (uint32_t i = 0; i < count; i++)
		from.cancel_pending |= cp_err_cancel_pending(members[i]);
	from.line = cp_site_line(s->_site);
	cp_task_path(rt->cur, path, sizeof path);
	from.when_ns = cp_clock(rt) - rt->start_ns;
	return coop_error_raise(cp_err_new_group(&from));
}

int cp_scope_run_defers(struct cp_rt *rt, struct coop_scope *s, int rc)
{
	struct coop_error *members[CP_DEFER_ERRORS_MAX];
	struct coop_error *body = NULL;
	uint32_t count = 0, total = 0;
	struct coop_defer *d;
	int r;

	if (rc < 0 && rc != COOP_ECANCELED)
		body = claim(rt, rc, s->_site); /* clean-ups may use the slot */
	while ((d = s->_defers)) {
		const char *site = d->_site;

		s->_defers = d->_next;
		r = run_one(rt, d);
		if (r >= 0)
			continue;
		if (total == 0 && body)
			members[count++] = body;
		total++;
		if (count < CP_DEFER_ERRORS_MAX)
			members[count++] = claim(rt, r, site);
	}
	if (total == 0)
		return body ? coop_error_raise(body) : rc;
	return combine(rt, s, rc, members, count, total + (body ? 1 : 0));
}
