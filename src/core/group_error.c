/* SPDX-License-Identifier: MIT */
/*
 * Errors of a group: kept in order of completion, up to a cap, whatever memory there is.
 *
 * Past the cap the newest one takes the last place, and the first of the fatal class is kept
 * beside it, so that the first, the primary and the last are always there, and the rest is counted.
 */
#include "core/group.h"

#include <errno.h>
#include <string.h>

/* --------------------------------------------------------------------- errors */

/*
 * Where there is no memory even for the list's head, the pointer _errs holds one error
 * itself, marked by its lowest bit: the first, or the first of the fatal class.
 */
struct coop_error *cp_errs_lone(const struct coop_group *g)
{
	uintptr_t word = (uintptr_t)g->_errs;

	return word & 1 ? (struct coop_error *)(word - 1) : NULL;
}

struct cp_errs *cp_errs_of(const struct coop_group *g)
{
	return (uintptr_t)g->_errs & 1 ? NULL : g->_errs;
}

static CP_COLD void keep_alone(struct coop_group *g, struct coop_error *err)
{
	struct coop_error *had = cp_errs_lone(g), *lost = err;

	if (!had || (coop_is_fatal(coop_error_code(err)) && !coop_is_fatal(coop_error_code(had)))) {
		g->_errs = (struct cp_errs *)((uintptr_t)err | 1);
		lost = had;
	}
	if (!lost)
		return;
	coop_log(COOP_LOG_ERROR, "no memory to keep an error of the group opened at %s: %s",
		 cp_at(g->_scope._site), coop_code_text(coop_error_code(lost)));
	coop_error_unref(lost);
}

static bool errs_room(struct cp_errs *e, uint32_t wanted)
{
	uint32_t room = e->room ? e->room * 2 : 4;
	struct coop_error **list;

	if (wanted <= e->room)
		return true;
	if (room < wanted)
		room = wanted;
	list = cp_realloc(e->list, room * sizeof *list);
	if (!list)
		return false;
	e->list = list;
	e->room = room;
	return true;
}

/* Of those past the cap the first fatal-class one is kept, and the newest. */
static void errs_overflow(struct cp_errs *e, struct coop_error *err)
{
	if (coop_is_fatal(coop_error_code(err)) && !e->fatal)
		e->fatal = coop_error_ref(err);
	coop_error_unref(e->last);
	e->last = err;
}

/* With a cap of n: n - 1 in order of completion, and the newest. */
CP_COLD void cp_group_add_error(struct coop_group *g, struct coop_error *err)
{
	struct cp_errs *e;
	uint32_t max = g->_errors_max > 1 ? g->_errors_max - 1 : 1;

	if (!g->_errs)
		g->_errs = cp_calloc(1, sizeof(struct cp_errs));
	e = cp_errs_of(g);
	if (!e) {
		keep_alone(g, err);
		return;
	}
	for (uint32_t i = 0; i < e->count && i < 64; i++) {
		if (e->list[i] == err) { /* the same object twice is one error */
			coop_error_unref(err);
			return;
		}
	}
	e->total++;
	if (e->count < max && errs_room(e, e->count + 1))
		e->list[e->count++] = err;
	else
		errs_overflow(e, err);
}

void cp_errs_free(struct coop_group *g)
{
	struct cp_errs *e = cp_errs_of(g);

	coop_error_unref(cp_errs_lone(g));
	g->_errs = NULL;
	if (!e)
		return;
	for (uint32_t i = 0; i < e->count; i++)
		coop_error_unref(e->list[i]);
	coop_error_unref(e->last);
	coop_error_unref(e->fatal);
	cp_free(e->list);
	cp_free(e);
}

/*
 * All that was kept, as one list for the error's making, which takes the references. Without
 * memory for the two extra ones: the first, the fatal one and the last.
 */
CP_COLD uint32_t cp_errs_members(struct coop_group *g, struct coop_error **few,
				 struct coop_error ***ret_members)
{
	struct cp_errs *e = cp_errs_of(g);
	uint32_t n = 0;

	*ret_members = few;
	if (!e) {
		few[n++] = cp_errs_lone(g);
		g->_errs = NULL;
		return n;
	}
	if (errs_room(e, e->count + 2)) {
		*ret_members = e->list;
		n = e->count;
	} else if (e->count) {
		few[n++] = e->list[0];
		for (uint32_t i = 1; i < e->count; i++)
			coop_error_unref(e->list[i]);
	}
	e->count = 0;
	if (e->fatal && e->fatal != e->last)
		(*ret_members)[n++] = e->fatal;
	else
		coop_error_unref(e->fatal);
	if (e->last)
		(*ret_members)[n++] = e->last;
	e->fatal = e->last = NULL;
	return n;
}
