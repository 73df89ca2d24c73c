/* SPDX-License-Identifier: MIT */
/*
 * What is told of tasks: names, paths, where they were spawned, what they do; and what a task
 * asks and sets of itself.
 *
 * A name is a literal of the spawn's place, a copy in the task's extra or body, or made when
 * somebody asks. The tree of tasks is walked by the pointers that the core needs anyway.
 */
#include "core/core.h"

#include <errno.h>
#include <string.h>

uint64_t cp_tasks(const struct cp_rt *rt)
{
	uint64_t n = rt->stacks.reserved;

	for (const struct cp_stacks *p = rt->pools; p; p = p->next_pool)
		n += p->reserved;
	return n;
}

uint64_t cp_tasks_begun(const struct cp_rt *rt)
{
	uint64_t n = cp_stacks_in_use(&rt->stacks);

	for (const struct cp_stacks *p = rt->pools; p; p = p->next_pool)
		n += cp_stacks_in_use(p);
	return n;
}

const char *cp_task_site_raw(const struct coop_task *t)
{
	if (t->state != CP_NEW)
		return t->body->site;
	return t->flags & CP_TASK_EXTRA ? t->extra->site : t->site;
}

/*
 * The name of a member of a team, made when somebody asks. Of one that has begun it lies in its
 * body; else in one of a few buffers of the thread, used in turn.
 */
static CP_COLD const char *member_name(const struct coop_task *t)
{
	static __thread char buffers[4][COOP_NAME_MAX + 1];
	static __thread unsigned next;
	const struct cp_team_ops *ops = t->group->_policy_fn;
	char *buf;

	if (t->gone ? t->gone != 2 : (t->state == CP_NEW ? t->fn : t->body->fn) != ops->entry)
		return cp_task_site_raw(t);
	if (t->state != CP_NEW)
		return ops->name(t->group, t->body->arg, t->body->name, sizeof t->body->name);
	buf = buffers[next++ % CP_ARRAY_LEN(buffers)];
	return ops->name(t->group, t->gone ? t->gone_arg : t->arg, buf, sizeof buffers[0]);
}

const char *cp_task_name(const struct coop_task *t)
{
	const struct cp_extra *extra = cp_task_extra(t);

	if (t->state != CP_NEW && t->body->renamed)
		return t->body->name;
	if (extra && extra->name[0])
		return extra->name;
	if (t->group && t->group->_flags & CP_GROUP_TEAM)
		return member_name(t);
	return cp_task_site_raw(t);
}

const char *cp_task_site(const struct coop_task *t)
{
	const char *raw = cp_task_site_raw(t);

	return raw + strlen(raw) + 1;
}

int cp_site_line(const char *site)
{
	int line = 0;

	for (const char *c = site + strlen(site) + 1; *c >= '0' && *c <= '9'; c++)
		line = line * 10 + (*c - '0');
	return line;
}

const char *cp_at(const char *site)
{
	static __thread char buffers[4][112];
	static __thread unsigned next;
	char *buf = buffers[next++ % CP_ARRAY_LEN(buffers)];
	size_t n;

	while (strncmp(site, "../", 3) == 0)
		site += 3;
	n = strlen(site);
	/* the end of a long path says more */
	snprintf(buf, sizeof buffers[0], "%s%s%s", n > 96 ? site + n - 96 : site, n ? ":" : "?",
		 n ? site + n + 1 : "");
	return buf;
}

struct coop_task *cp_group_host(const struct coop_group *g)
{
	return g->_scope._task;
}

/* Puts `part` before what is in buf[at..]; false when there is no more room. */
static bool prepend(char *buf, size_t *at, const char *part)
{
	size_t n = strlen(part);

	if (*at < n + 5)
		return false;
	*at -= n;
	memcpy(buf + *at, part, n);
	return true;
}

/* Path parts from the task outwards: name, its group's name, the host's name, ... */
size_t cp_task_path(const struct coop_task *t, char *buf, size_t size)
{
	size_t at = size - 1;
	bool whole = true;

	if (size < 8) {
		if (size)
			buf[0] = '\0';
		return 0;
	}
	buf[at] = '\0';
	while (t && whole) {
		const struct coop_group *g = t->group;

		whole = prepend(buf, &at, cp_task_name(t));
		if (!whole || !g || g->_flags & CP_GROUP_RUN)
			break;
		if (g->_scope._name) {
			whole = prepend(buf, &at, "/") &&
				prepend(buf, &at, cp_scope_name(&g->_scope));
			if (!whole)
				break;
		}
		whole = prepend(buf, &at, "/");
		t = cp_group_host(g);
	}
	if (!whole) {
		memcpy(buf + at - 4, ".../", 4);
		at -= 4;
	}
	memmove(buf, buf + at, size - at);
	return size - 1 - at;
}

char *coop_task_path(const struct coop_task *task, char *buf, size_t size)
{
	if (size)
		buf[0] = '\0';
	if (task)
		cp_task_path(task, buf, size);
	return buf;
}

enum coop_task_state cp_task_public_state(const struct coop_task *t)
{
	switch ((enum cp_state)t->state) {
	case CP_NEW: return COOP_TASK_NEW;
	case CP_READY: return COOP_TASK_READY;
	case CP_RUNNING: return COOP_TASK_RUNNING;
	case CP_PARKED: break;
	}
	return t->cancelled & (uint8_t)~CP_HOOK ? COOP_TASK_CANCELLING : COOP_TASK_BLOCKED;
}

void cp_info_fill(struct cp_rt *rt, const struct coop_task *t, struct coop_task_info *info)
{
	const struct coop_task *host = t->group ? cp_group_host(t->group) : NULL;
	const struct cp_extra *extra = cp_task_extra(t);

	memset(info, 0, sizeof *info);
	info->id = cp_task_id(rt, t);
	info->state = cp_task_public_state(t);
	info->internal = t->flags & CP_TASK_INTERNAL;
	info->service = t->flags & CP_TASK_SERVICE;
	info->name = cp_task_name(t);
	snprintf(info->site, sizeof info->site, "%s", cp_at(cp_task_site(t)));
	info->blocked_in = "";
	info->task = t;
	if (host && !(host->flags & CP_TASK_INTERNAL))
		info->parent_id = cp_task_id(rt, host);
	if (extra && extra->start && extra->start->starter && !extra->start->starter->adopted)
		info->eventual_parent_id =
			cp_task_id(rt, cp_group_host(extra->start->starter->target));
	if (t->state == CP_NEW) {
		info->cancelled = t->group && t->group->_scope._eff;
		return;
	}
	info->cancelled = t->cancelled & (uint8_t)~CP_HOOK;
	info->stack_bytes = (size_t)((char *)t->body->stack_top -
				     (char *)cp_stacks_low(t->body->pool, t->body->stack_top));
	info->checkpoints = t->body->cancel_half;
	if (t->state == CP_PARKED)
		info->blocked_in = t->body->wait->what;
}

/* Next in pre-order: first child, then later siblings, then those of the host's later groups. */
struct coop_task *cp_task_next(struct cp_rt *rt, struct coop_task *t)
{
	struct coop_scope *s;

	if (!t)
		return rt->root;
	s = t->state == CP_NEW ? NULL : cp_scope_inner(&t->body->base);
	for (;;) {
		for (; s; s = cp_scope_inner(s))
			if (s->_flags & CP_SCOPE_GROUP && ((struct coop_group *)s)->_first)
				return ((struct coop_group *)s)->_first;
		if (!t->group)
			return NULL;
		if (t->sib_next != t->group->_first)
			return t->sib_next;
		s = cp_scope_inner(&t->group->_scope);
		t = cp_group_host(t->group);
	}
}

int coop_for_each_task(bool internal, coop_task_visit *visit, void *ctx)
{
	struct cp_rt *rt = cp_in_task();
	struct coop_task_info info;
	int r;

	if (!rt)
		return cp_no_task();
	for (struct coop_task *t = rt->root; t; t = cp_task_next(rt, t)) {
		if (t->flags & CP_TASK_INTERNAL && !internal)
			continue;
		cp_info_fill(rt, t, &info);
		r = visit(&info, ctx);
		if (r)
			return r;
	}
	return 0;
}

struct coop_task *coop_self(void)
{
	return cp_rt ? cp_rt->cur : NULL;
}

struct coop_group *coop_self_group(void)
{
	struct cp_rt *rt = cp_in_task();

	return rt && !(rt->cur->flags & CP_TASK_MAIN) ? rt->cur->group : NULL;
}

int coop_set_name(const char *name)
{
	struct cp_rt *rt = cp_in_task();

	if (!rt)
		return cp_no_task();
	if (!name)
		return -EINVAL;
	cp_copy_name(rt->body->name, name);
	rt->body->renamed = true;
	return 0;
}

const char *coop_name(void)
{
	struct cp_rt *rt = cp_in_task();

	return rt ? cp_task_name(rt->cur) : "";
}

int coop_set_fpenv(bool keep)
{
	struct cp_rt *rt = cp_in_task();

	if (!rt)
		return cp_no_task();
	if (keep) {
		rt->cur->flags |= CP_TASK_FPENV;
	} else if (rt->cur->flags & CP_TASK_FPENV) {
		rt->cur->flags &= (uint8_t)~CP_TASK_FPENV;
		cp_fpenv_load(&rt->fpenv);
	}
	return 0;
}

size_t coop_stack_high_water(const struct coop_task *task)
{
	if (!task || task->state == CP_NEW)
		return 0;
	return cp_stacks_high_water(task->body->pool, task->body->stack_top);
}
