/* SPDX-License-Identifier: MIT */
/* Teams; their head and invariants are in team.h. */
#include "sync/team.h"

#include <errno.h>
#include <string.h>

/* The first function of every member. */
static int member(void *arg)
{
	struct cp_team *team = (struct cp_team *)cp_rt->cur->group;

	return team->run(team, (size_t)(uintptr_t)arg);
}

static void member_ended(struct cp_rt *rt, struct coop_group *g, void *arg, enum cp_outcome outcome,
			 int rc, struct coop_error *err)
{
	struct cp_team *team = (struct cp_team *)g;
	size_t index = (size_t)(uintptr_t)arg;

	(void)rt;
	if (outcome != CP_ENDED_FAILED)
		team->lost++;
	if (team->slots)
		cp_slot_ended(&team->slots[index], outcome, rc, err);
	if (team->ended)
		team->ended(team, index, outcome, rc, err);
}

static const char *member_name(const struct coop_group *g, void *arg, char *buf, size_t size)
{
	const struct cp_team *team = (const struct cp_team *)g;
	size_t index = (size_t)(uintptr_t)arg;
	const char *own = team->calls && team->stride ? team->calls[index].name : NULL;

	if (own && strlen(own) <= COOP_NAME_MAX)
		return own;
	if (own)
		cp_copy_name(buf, own);
	else
		snprintf(buf, size, "%s %zu", team->word, index);
	return buf;
}

static const struct cp_team_ops ops[] = {
	{ .entry = member, .ended = member_ended, .name = member_name },
	{ .entry = member, .ended = member_ended, .name = member_name, .host_free = true },
};

const char *cp_team_place(const char *site)
{
	return site + strlen(site) + 1;
}

int cp_calls_check(const struct coop_call *calls, size_t count)
{
	if (count && !calls)
		return -EINVAL;
	for (size_t i = 0; i < count; i++)
		if (!calls[i].fn)
			return -EINVAL;
	return 0;
}

int cp_team_open(struct cp_team *team, const struct coop_group_opts *opts, const char *site)
{
	int r;

	team->site = site;
	r = coop_group_open_at(&team->group, opts, cp_team_place(site));
	if (r < 0)
		return r;
	cp_group_set_team(&team->group, &ops[team->host_free]);
	return 0;
}

int cp_team_spawn(struct cp_team *team, size_t index)
{
	return coop_spawn_at(&team->group, member, (void *)(uintptr_t)index, team->site);
}

int cp_team_spawn_wait(struct cp_team *team, size_t index)
{
	return coop_spawn_wait_at(&team->group, member, (void *)(uintptr_t)index, team->site);
}

int cp_team_spawn_all(struct cp_team *team, size_t *ret_spawned)
{
	int r = 0;
	size_t i;

	for (i = 0; i < team->count; i++) {
		r = cp_team_spawn(team, i);
		if (r < 0)
			break;
	}
	*ret_spawned = i;
	return r;
}

int cp_team_wait(struct cp_team *team, struct cp_queue *queue, const char *what, bool for_last,
		 const struct coop_scope_opts *opts, bool *ret_late)
{
	struct cp_queue_wait w = { .wait = { .what = what,
					     .kind = for_last ? CP_ON_REST : CP_ON_ANY_CHILD,
					     .on = &team->group } };
	struct coop_error *err = cp_err_slot_aside(&cp_rt->body->err);
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&s, opts);
	r = cp_cancel_point(cp_rt); /* the limit may be over already */
	if (r >= 0)
		r = cp_queue_park(cp_rt, queue, &w);
	r = coop_scope_close(&s, r);
	cp_err_slot_back(&cp_rt->body->err, err);
	if (ret_late)
		*ret_late = coop_scope_caught(&s);
	return r;
}

/* ------------------------------------------------------------------- slots */

void cp_slot_ended(struct coop_slot *slot, enum cp_outcome outcome, int rc, struct coop_error *err)
{
	bool failed = outcome == CP_ENDED_FAILED;

	slot->state = failed ? COOP_TASK_FAILED : COOP_TASK_CANCELLED;
	slot->rc = failed ? rc : COOP_ETASKCANCELLED;
	slot->err = coop_error_ref(err);
}

void cp_slots_unused(struct cp_team *team, size_t from)
{
	for (size_t i = from; team->slots && i < team->count; i++)
		team->slots[i] = (struct coop_slot){ .state = COOP_TASK_NEW, .rc = -EAGAIN };
}

/*
 * Failures are in the slots. A cancellation that has passed is one, whatever failed beside it; the
 * failure of the body itself, and one of the fatal class, is returned with all others.
 */
int cp_team_collected(const struct cp_team *team, int r, int rc)
{
	if (r >= 0 || r == COOP_ECANCELED || coop_is_fatal(r) || (rc < 0 && rc != COOP_ECANCELED))
		return r;
	if (team->slots)
		coop_error_unref(coop_error_take(r));
	else
		coop_error_clear();
	if (rc == COOP_ECANCELED || team->lost) {
		r = coop_checkpoint_if_cancelled();
		if (r < 0)
			return r;
	}
	return rc > 0 ? rc : 0;
}
