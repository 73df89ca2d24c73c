/* SPDX-License-Identifier: MIT */
/*
 * What a run says of itself: the tree of tasks, groups and scopes, as text.
 *
 * Used by coop_dump, and by the core's own last words (a deadlock, refusers of a
 * shutdown, the last step of the ladder), which is why it lives here. No addresses, no
 * wall-clock times: on the virtual clock two runs print the same.
 */
#include "core/core.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define CP_DUMP_TASKS 3

static const char *const state_words[] = {
	[COOP_TASK_NEW] = "new",
	[COOP_TASK_READY] = "ready",
	[COOP_TASK_RUNNING] = "running",
	[COOP_TASK_BLOCKED] = "blocked",
	[COOP_TASK_CANCELLING] = "cancelling",
};

char *cp_blocked_text(const char *what, int64_t detail_ns, char *buf, size_t size)
{
	if (strcmp(what, "coop_sleep") != 0)
		snprintf(buf, size, "%s", what);
	else if (detail_ns < 0)
		snprintf(buf, size, "%s for ever", what);
	else
		snprintf(buf, size, "%s %.3fs", what, (double)detail_ns / 1e9);
	return buf;
}

static void indent(FILE *out, unsigned depth)
{
	fprintf(out, "%*s", (int)(depth > 40 ? 40 : depth) * 2, "");
}

/* Its own cancellation, and why; or that one from outside is visible in it. */
static void dump_cancel(struct cp_rt *rt, FILE *out, const struct coop_scope *s, unsigned flags)
{
	struct coop_cancel_info info;
	char why[256];

	if (!cp_cancel_info_own(s, &info)) {
		if (s->_eff)
			fprintf(out, ", cancelled from outside");
		return;
	}
	fprintf(out, ", cancelled");
	if (flags & COOP_DUMP_TIMES)
		fprintf(out, " %.3fs ago", (double)(rt->now_ns - info.when_ns) / 1e9);
	fprintf(out, ": %s", coop_cancel_text(&info, why, sizeof why));
}

/* Deadline, shield, cancellation: what is worth saying of a scope. */
static void dump_scope_words(struct cp_rt *rt, FILE *out, const struct coop_scope *s,
			     unsigned flags)
{
	if (s->_deadline_ns != COOP_NEVER && !(s->_flags & CP_SCOPE_RELATIVE))
		fprintf(out, ", deadline in %.3fs", (double)(s->_deadline_ns - rt->now_ns) / 1e9);
	else if (s->_flags & CP_SCOPE_RELATIVE)
		fprintf(out, ", deadline in %.3fs", (double)s->_deadline_ns / 1e9);
	if (s->_shield & CP_SHIELD_HARD)
		fprintf(out, ", shielded");
	if (s->_shield & CP_SHIELD_SOFT)
		fprintf(out, ", soft shield");
	if (s->_shield & CP_SHIELD_SHUTDOWN)
		fprintf(out, ", shutdown waits for it");
	dump_cancel(rt, out, s, flags);
}

static void dump_scope(struct cp_rt *rt, FILE *out, const struct coop_scope *s, unsigned depth,
		       unsigned flags)
{
	const struct coop_group *g = (const struct coop_group *)s;
	const char *name = cp_scope_name(s);
	bool group = s->_flags & CP_SCOPE_GROUP;

	indent(out, depth);
	fprintf(out, "%s%s%s%s (%s)", group ? "group" : "scope", name[0] ? " \"" : "", name,
		name[0] ? "\"" : "", cp_at(s->_site));
	if (group)
		fprintf(out, ": %u alive",
			g->_live + g->_services - (g->_flags & CP_GROUP_JOINING ? 0 : 1));
	dump_scope_words(rt, out, s, flags);
	fputc('\n', out);
}

/* Adds to a text; what does not fit is cut. */
static __attribute__((format(printf, 4, 5))) void add(char *buf, size_t size, size_t *at,
						      const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(buf + *at, size - *at, format, args);
	va_end(args);
	if (n > 0)
		*at = *at + (size_t)n < size ? *at + (size_t)n : size - 1;
}

/* The first few of the tasks that have not ended; the others are counted. */
static void add_tasks(char *buf, size_t size, size_t *at, struct coop_handle *const *handles,
		      int64_t count)
{
	char path[160];
	int open = 0;

	for (int64_t i = 0; i < count; i++) {
		if (!handles[i]->task || ++open > CP_DUMP_TASKS)
			continue;
		cp_task_path(handles[i]->task, path, sizeof path);
		add(buf, size, at, "%s %s", open == 1 ? " on" : ",", path);
	}
	if (open > CP_DUMP_TASKS)
		add(buf, size, at, ", %d more", open - CP_DUMP_TASKS);
}

char *cp_wait_text(const struct coop_task *t, char *buf, size_t size)
{
	const struct cp_wait *w = t->state == CP_PARKED ? t->body->wait : NULL;
	char text[160];
	size_t at = 0;

	buf[0] = '\0';
	if (!w)
		return buf;
	add(buf, size, &at, "%s", cp_blocked_text(w->what, w->detail_ns, text, sizeof text));
	if (w->kind == CP_ON_TASK && ((const struct coop_handle *)w->on)->task) {
		cp_task_path(((const struct coop_handle *)w->on)->task, text, sizeof text);
		add(buf, size, &at, " on %s", text);
	} else if (w->kind == CP_ON_TASKS) {
		add_tasks(buf, size, &at, w->on, w->detail_ns);
	} else if (w->kind == CP_ON_OWNER && *w->owner) {
		cp_task_path(*w->owner, text, sizeof text);
		add(buf, size, &at, ", owned by %s", text);
	} else if (w->kind >= CP_ON_CHILDREN && w->kind <= CP_ON_ANY_CHILD) {
		add(buf, size, &at, " on its children");
	}
	return buf;
}

static void dump_wait(struct cp_rt *rt, FILE *out, const struct coop_task *t, unsigned flags)
{
	char text[160 * (CP_DUMP_TASKS + 2)];

	fprintf(out, " in %s", cp_wait_text(t, text, sizeof text));
	if (flags & COOP_DUMP_TIMES)
		fprintf(out, " for %.3fs", (double)(rt->now_ns - t->body->wait->since_ns) / 1e9);
}

static void dump_task(struct cp_rt *rt, FILE *out, const struct coop_task *t, unsigned depth,
		      unsigned flags)
{
	indent(out, depth);
	fprintf(out, "task #%llu \"%s\" %s", (unsigned long long)cp_task_id(rt, t), cp_task_name(t),
		state_words[cp_task_public_state(t)]);
	if (t->state == CP_PARKED)
		dump_wait(rt, out, t, flags);
	if (t->flags & CP_TASK_SERVICE)
		fprintf(out, ", service");
	if (t->state != CP_NEW)
		dump_scope_words(rt, out, &t->body->base, flags);
	fprintf(out, " [spawned at %s]\n", cp_at(cp_task_site(t)));
}

static unsigned chain_length(const struct coop_task *t)
{
	unsigned n = 0;

	if (t->state != CP_NEW)
		for (const struct coop_scope *s = cp_scope_inner(&t->body->base); s;
		     s = cp_scope_inner(s))
			n++;
	return n;
}

static const struct coop_scope *first_scope(const struct coop_task *t)
{
	return t->state == CP_NEW ? NULL : cp_scope_inner(&t->body->base);
}

/* Where a walk of the tree stands. */
struct dump_walk {
	struct cp_rt *rt;
	FILE *out;
	unsigned flags;
	unsigned depth; /* of what was printed last; the root's own two levels are hidden */
};

static bool hidden(const struct dump_walk *w, const struct coop_task *t)
{
	return t->flags & CP_TASK_INTERNAL && !(w->flags & COOP_DUMP_INTERNAL);
}

static unsigned shown_depth(const struct dump_walk *w)
{
	return w->flags & COOP_DUMP_INTERNAL ? w->depth : w->depth - 2;
}

static void walk_task(struct dump_walk *w, const struct coop_task *t)
{
	if (!hidden(w, t))
		dump_task(w->rt, w->out, t, shown_depth(w), w->flags);
}

static void walk_scope(struct dump_walk *w, const struct coop_scope *s)
{
	if (!hidden(w, s->_task))
		dump_scope(w->rt, w->out, s, shown_depth(w), w->flags);
}

/* Back up from a task whose scopes are done: the scope or the task to go on with. */
static const struct coop_task *climb(struct dump_walk *w, const struct coop_task *t,
				     const struct coop_scope **s)
{
	w->depth -= chain_length(t);
	if (t->sib_next != t->group->_first) {
		t = t->sib_next;
		walk_task(w, t);
		*s = first_scope(t);
		return t;
	}
	*s = cp_scope_inner(&t->group->_scope);
	w->depth--;
	return cp_group_host(t->group);
}

void cp_dump(struct cp_rt *rt, FILE *out, unsigned flags)
{
	struct dump_walk w = { .rt = rt, .out = out, .flags = flags };
	const struct coop_task *t = rt->root;
	const struct coop_scope *s = first_scope(t);

	fprintf(out, "run: %llu tasks, %llu ready, %llu timers, t=%.3fs\n",
		(unsigned long long)(cp_tasks(rt) - rt->tasks_internal),
		(unsigned long long)cp_ready_count(rt, UINT64_MAX),
		(unsigned long long)rt->wheel.count,
		(double)(rt->now_ns - rt->start_ns) / 1e9);
	walk_task(&w, t);
	while (s || t->group) {
		const struct coop_group *g = (const struct coop_group *)s;

		if (!s) {
			t = climb(&w, t, &s);
			continue;
		}
		w.depth++;
		walk_scope(&w, s);
		if (s->_flags & CP_SCOPE_GROUP && g->_first) {
			t = g->_first;
			w.depth++;
			walk_task(&w, t);
			s = first_scope(t);
		} else {
			s = cp_scope_inner(s);
		}
	}
}

int coop_dump(FILE *out, unsigned flags)
{
	struct cp_rt *rt = cp_in_task();

	if (!rt)
		return cp_no_task();
	cp_clock(rt);
	cp_dump(rt, out, flags);
	return ferror(out) ? -EIO : 0;
}
