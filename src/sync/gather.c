/* SPDX-License-Identifier: MIT */
/*
 * Gather: all calls at once, all results, by number.
 *
 * The policies are the group's own: fail fast, or collect. What is added is the slots, and that a
 * call which ended cancelled by itself is a hole in the results, so the whole is no success.
 */
#include "sync/team.h"

#include <errno.h>

static int run(struct cp_team *team, size_t index)
{
	const struct coop_call *call = cp_team_call(team, index);
	int r = call->fn(call->arg);

	if (CP_LIKELY(r >= 0))
		cp_slot_value(team, index, r);
	return r;
}

int coop_gather_at(const struct coop_call *calls, size_t count, enum coop_gather_mode mode,
		   struct coop_slot *ret_slots, const char *site)
{
	static const struct coop_group_opts policies[] = {
		[COOP_GATHER_FAIL_FAST] = { .name = "gather",
					    .policy = COOP_FAIL_FAST,
					    .errors_max = COOP_UNLIMITED },
		[COOP_GATHER_COLLECT] = { .name = "gather",
					  .policy = COOP_COLLECT,
					  .errors_max = COOP_UNLIMITED },
	};
	struct cp_team team = { .group = COOP_GROUP_INIT,
				.run = run,
				.word = "call",
				.calls = calls,
				.stride = 1,
				.count = count,
				.slots = ret_slots };
	size_t spawned;
	int r, s;

	if (!cp_in_task())
		return cp_no_task();
	if ((unsigned)mode > COOP_GATHER_COLLECT || cp_calls_check(calls, count) < 0)
		return -EINVAL;
	if (!count)
		return 0;
	r = cp_team_open(&team, &policies[mode], site);
	if (r < 0)
		return r;
	s = cp_team_spawn_all(&team, &spawned);
	if (CP_UNLIKELY(spawned < count))
		cp_slots_unused(&team, spawned);
	r = coop_group_join(&team.group, s);
	if (mode == COOP_GATHER_COLLECT)
		return cp_team_collected(&team, r, s);
	return r == 0 && team.lost ? COOP_ETASKCANCELLED : r;
}
