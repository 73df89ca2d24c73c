/* SPDX-License-Identifier: MIT */
/*
 * Map: one function over numbered items, some at a time.
 *
 * The body of the team pulls: it spawns the next item when there is room, so an item that
 * has not started is no task and costs nothing. Room is the group's own limit.
 */
#include "sync/team.h"

#include <errno.h>

struct map {
	struct cp_team team; /* first */
	coop_map_fn *fn;
	void *arg;
};

static int run(struct cp_team *team, size_t index)
{
	struct map *map = (struct map *)team;
	int r = map->fn(index, map->arg);

	if (CP_LIKELY(r >= 0))
		cp_slot_value(team, index, r);
	return r;
}

static bool bad_opts(const struct coop_map_opts *opts)
{
	return (unsigned)opts->mode > COOP_GATHER_COLLECT ||
	       !cp_zero_words(opts->_reserved, CP_ARRAY_LEN(opts->_reserved));
}

/* Spawns the items one after the other, as there is room. */
static int pull(struct cp_team *team, size_t *ret_spawned)
{
	size_t i = 0;
	int r = 0;

	while (i < team->count) {
		r = cp_team_spawn_wait(team, i);
		if (r < 0)
			break;
		i++;
	}
	*ret_spawned = i;
	return r;
}

int coop_map_at(coop_map_fn *fn, void *arg, size_t count, const struct coop_map_opts *opts,
		struct coop_slot *ret_slots, const char *site)
{
	static const struct coop_map_opts none;
	struct coop_group_opts group = { .name = "map", .errors_max = COOP_UNLIMITED };
	struct map map = { .team = { .group = COOP_GROUP_INIT,
				     .run = run,
				     .word = "item",
				     .count = count,
				     .slots = ret_slots },
			   .fn = fn,
			   .arg = arg };
	size_t spawned;
	int r, s;

	if (!cp_in_task())
		return cp_no_task();
	if (!opts)
		opts = &none;
	if (!fn || bad_opts(opts))
		return -EINVAL;
	if (!count)
		return 0;
	if (opts->mode == COOP_GATHER_COLLECT)
		group.policy = COOP_COLLECT;
	group.running_max = opts->running_max;
	r = cp_team_open(&map.team, &group, site);
	if (r < 0)
		return r;
	s = pull(&map.team, &spawned);
	cp_slots_unused(&map.team, spawned);
	r = coop_group_join(&map.team.group, s);
	if (opts->mode == COOP_GATHER_COLLECT)
		r = cp_team_collected(&map.team, r, s);
	return r == 0 && (spawned < count || (map.team.lost && !opts->mode)) ? COOP_ETASKCANCELLED
									     : r;
}
