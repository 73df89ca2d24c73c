/* SPDX-License-Identifier: MIT */
/* What the parts of the group share: group.c, group_error.c, group_end.c, group_join.c,
 * group_wait.c, spawn.c. */
#ifndef CP_GROUP_H
#define CP_GROUP_H

#include "core/core.h"

/* Children that ended cancelled and are named in the group's error. */
#define CP_GONE_MAX 8

bool cp_zero_words(const uint64_t *words, size_t count);

/* The most children that were alive at once; the body is none. */
CP_INLINE void cp_group_count_peak(struct coop_group *g)
{
	uint32_t alive = g->_live + g->_services - (g->_flags & CP_GROUP_JOINING ? 0 : 1);

	if (alive > g->_peak)
		g->_peak = alive;
}

/* group_error.c */
struct coop_error *cp_errs_lone(const struct coop_group *g);
struct cp_errs *cp_errs_of(const struct coop_group *g);
uint32_t cp_errs_total(const struct coop_group *g); /* kept or not */
uint32_t cp_errs_kept(const struct coop_group *g);
void cp_group_add_error(struct coop_group *g, struct coop_error *err); /* taken */
void cp_errs_free(struct coop_group *g);
/* `few` has room for one. The group gives its references away. */
uint32_t cp_errs_members(struct coop_group *g, struct coop_error **few,
			 struct coop_error ***ret_members);

/* group_end.c */
/* How strong a cancel is that passes on the one from outside that `s` sees. */
uint8_t cp_kind_passed(const struct coop_scope *s, int64_t now_ns);
void cp_group_cancel_for(struct cp_rt *rt, struct coop_group *g, struct coop_task *t,
			 enum coop_cancel_source source, int code, const char *file, int line);
bool cp_err_passes(const struct coop_scope *s, const struct cp_body *b,
		   const struct coop_error *err);
void cp_group_log_error(const struct coop_group *g, const struct coop_error *err);
void cp_group_free_gone(struct cp_rt *rt, struct coop_group *g);

/* group_join.c: cancels the services, which are the last ones left, and waits for them. */
void cp_group_drain_services(struct cp_rt *rt, struct coop_group *g, const char *what);

/* group_wait.c: is this one of its waits for room, or for the end of all children? */
CP_INLINE bool cp_wants_room(const struct cp_wait *w)
{
	return w->kind == CP_ON_NOTHING;
}
/* Has it no child, services apart? */
CP_INLINE bool cp_group_idle(const struct coop_group *g)
{
	return g->_live <= (g->_flags & CP_GROUP_JOINING ? 0u : 1u);
}
int cp_group_wait_at(struct cp_rt *rt, struct coop_group *g, const char *what, bool for_room);

#endif
