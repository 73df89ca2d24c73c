/* SPDX-License-Identifier: MIT */
/*
 * As completed: calls made at once, their results taken one by one in the order of their ends.
 *
 * The caller is the body of the team between open and close. Each member that ends puts its
 * number behind those that ended before it and wakes the caller: O(1) an item. All memory, one
 * block, is taken in open, so nothing fails afterwards.
 *
 * After the deadline nothing is handed out any more; the calls go on until close, which
 * cancels those that have not ended, joins, and throws away what nobody took.
 */
#include "sync/team.h"

#include <errno.h>

struct coop_as_completed {
	struct cp_team team; /* first */
	enum coop_gather_mode mode;
	coop_discard_fn *discard;
	void *discard_ctx;
	int64_t deadline_ns;
	bool late;            /* next has said so */
	size_t ended;         /* in `order` */
	size_t taken;         /* of them handed out */
	size_t *order;        /* numbers, as they ended */
	struct cp_queue next; /* the caller, waiting */
	struct coop_slot slots[];
};

/* A member has ended, and its slot tells how. */
static void completed(struct coop_as_completed *it, size_t index)
{
	if (it->late || cp_rt->now_ns > it->deadline_ns)
		return; /* close will see to it */
	it->order[it->ended++] = index;
	cp_queue_wake(cp_rt, &it->next, 0);
}

static int run(struct cp_team *team, size_t index)
{
	const struct coop_call *call = cp_team_call(team, index);
	int r = call->fn(call->arg);

	if (r >= 0) {
		cp_slot_value(team, index, r);
		completed((struct coop_as_completed *)team, index);
	}
	return r;
}

static void ended(struct cp_team *team, size_t index, enum cp_outcome outcome, int rc,
		  struct coop_error *err)
{
	(void)outcome;
	(void)rc;
	(void)err;
	completed((struct coop_as_completed *)team, index);
}

/* ---------------------------------------------------------------------- opening */

static bool bad_opts(const struct coop_as_completed_opts *opts)
{
	return (unsigned)opts->mode > COOP_GATHER_COLLECT || opts->timeout_ns < 0 ||
	       !cp_zero_words(opts->_reserved, CP_ARRAY_LEN(opts->_reserved));
}

static struct coop_as_completed *make(const struct coop_call *calls, size_t count,
				      const struct coop_as_completed_opts *opts)
{
	size_t each = sizeof(struct coop_slot) + sizeof(size_t);
	struct coop_as_completed *it;

	if (count > (SIZE_MAX - sizeof *it) / each)
		return NULL;
	it = cp_alloc(sizeof *it + count * each);
	if (!it)
		return NULL;
	*it = (struct coop_as_completed){ .team = { .group = COOP_GROUP_INIT,
						    .run = run,
						    .ended = ended,
						    .word = "call",
						    .calls = calls,
						    .stride = 1,
						    .count = count,
						    .slots = it->slots,
						    .host_free = true },
					  .mode = opts->mode,
					  .discard = opts->discard,
					  .discard_ctx = opts->discard_ctx,
					  .deadline_ns = COOP_NEVER };
	it->order = (size_t *)&it->slots[count];
	cp_slots_unused(&it->team, 0);
	if (opts->timeout_ns)
		it->deadline_ns = cp_time_add(coop_now(), opts->timeout_ns);
	return it;
}

int coop_as_completed_open_at(const struct coop_call *calls, size_t count,
			      const struct coop_as_completed_opts *opts,
			      struct coop_as_completed **ret_it, const char *site)
{
	static const struct coop_as_completed_opts none;
	struct coop_group_opts group = { .name = "as completed", .errors_max = COOP_UNLIMITED };
	struct coop_as_completed *it;
	size_t spawned;
	int r;

	if (!cp_in_task())
		return cp_no_task();
	if (!opts)
		opts = &none;
	if (bad_opts(opts) || cp_calls_check(calls, count) < 0)
		return -EINVAL;
	it = make(calls, count, opts);
	if (!it)
		return -ENOMEM;
	if (opts->mode == COOP_GATHER_COLLECT)
		group.policy = COOP_COLLECT;
	r = cp_team_open(&it->team, &group, site);
	if (r >= 0)
		r = cp_team_spawn_all(&it->team, &spawned);
	if (r < 0)
		return coop_as_completed_close(it, r);
	*ret_it = it;
	return 0;
}

/* ----------------------------------------------------------------------- taking */

static int give(struct coop_as_completed *it, size_t *ret_index, struct coop_slot *ret_slot)
{
	size_t index = it->order[it->taken++];

	if (ret_index)
		*ret_index = index;
	if (ret_slot)
		*ret_slot = it->slots[index];
	else
		coop_error_unref(it->slots[index].err);
	it->slots[index].err = NULL;
	it->slots[index].state = COOP_TASK_NEW; /* not ours any more */
	return 0;
}

/* Waits until a member has ended, or for the deadline. */
static int wait_for_one(struct coop_as_completed *it)
{
	struct coop_scope_opts opts = { .deadline_ns = it->deadline_ns, .fail_on_timeout = true };
	bool last = it->ended + 1 == it->team.count;

	return cp_team_wait(&it->team, &it->next, "coop_as_completed_next", last, &opts, &it->late);
}

int coop_as_completed_next(struct coop_as_completed *it, size_t *ret_index,
			   struct coop_slot *ret_slot)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	if (it->team.group._scope._task != rt->cur)
		return cp_refuse(COOP_EWRONGTASK);
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_as_completed_next");
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	if (it->taken == it->ended && it->taken < it->team.count && !it->late &&
	    rt->now_ns < it->deadline_ns) {
		r = wait_for_one(it);
		return r < 0 ? r : give(it, ret_index, ret_slot);
	}
	cp_schedule_point(rt);
	if (it->taken < it->ended && !it->late)
		return give(it, ret_index, ret_slot);
	if (it->taken == it->team.count)
		return COOP_EOF;
	it->late = true;
	return COOP_ETIMEDOUT;
}

/* ---------------------------------------------------------------------- closing */

/* What nobody took: errors are in the group's, values go to the destructor. */
static void throw_away(struct coop_as_completed *it)
{
	for (size_t i = 0; i < it->team.count; i++) {
		coop_error_unref(it->slots[i].err);
		if (it->slots[i].state == COOP_TASK_FINISHED && it->discard)
			it->discard(&it->team.calls[i], it->slots[i].rc, it->discard_ctx);
	}
}

int coop_as_completed_close(struct coop_as_completed *it, int rc)
{
	struct cp_rt *rt = cp_in_task();
	struct coop_error *err;
	struct coop_group *g;
	bool spurious = false;
	int r;

	if (!it)
		return rc;
	if (!rt)
		return cp_no_task();
	g = &it->team.group;
	if (g->_scope._state == CP_OPEN && g->_scope._task != rt->cur)
		return COOP_EWRONGTASK;
	if (rc == COOP_ECANCELED && !g->_scope._eff && !rt->body->delivered)
		spurious = true; /* the caller's own failure, as the join sees it */
	if (rc >= 0 && g->_first)
		coop_group_cancel_at(g, "left before all had ended", COOP_NEVER,
				     cp_team_place(it->team.site));
	r = coop_group_join(g, rc);
	if (it->mode == COOP_GATHER_COLLECT)
		r = cp_team_collected(&it->team, r, spurious ? COOP_ESPURIOUSCANCEL : rc);
	err = coop_error_take(r); /* what discard does is no concern of it */
	throw_away(it);
	cp_free(it);
	return err ? coop_error_raise(err) : r;
}
