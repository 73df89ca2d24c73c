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
 * itself, marked by its lowest bit: the first, or the first of the fatal class. Others are
 * logged and counted until there is memory again, and a list.
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

uint32_t cp_errs_total(const struct coop_group *g)
{
	const struct cp_errs *e = cp_errs_of(g);

	if (e)
		return e->total;
	return cp_errs_lone(g) ? 1u + g->_unkept : 0;
}

uint32_t cp_errs_kept(const struct coop_group *g)
{
	const struct cp_errs *e = cp_errs_of(g);

	if (!e)
		return cp_errs_lone(g) ? 1 : 0;
	return e->count + (e->last != NULL) + (e->fatal && e->fatal != e->last);
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
	g->_unkept += g->_unkept < UINT8_MAX;
	coop_error_unref(lost);
}

/* The list of the group, made when it is first needed; NULL without memory. */
static struct cp_errs *errs_make(struct coop_group *g)
{
	struct coop_error *lone = cp_errs_lone(g);
	struct cp_errs *e = cp_errs_of(g);

	if (e)
		return e;
	e = cp_calloc(1, sizeof *e);
	if (!e)
		return NULL;
	e->list = e->own;
	e->room = CP_ARRAY_LEN(e->own);
	e->total = cp_errs_total(g);
	if (lone)
		e->list[e->count++] = lone;
	g->_errs = e;
	return e;
}

/* Room for one more; that for `fatal` and `last` is kept free, so that the end needs no memory. */
static bool errs_room(struct cp_errs *e)
{
	uint32_t room = e->room * 2;
	struct coop_error **list;

	if (e->count + 3 <= e->room)
		return true;
	list = cp_realloc(e->list == e->own ? NULL : e->list, room * sizeof *list);
	if (!list)
		return false;
	if (e->list == e->own)
		memcpy(list, e->own, e->count * sizeof *list);
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

/* Memory was short when the newest one came, and now there is some: both get their places. */
static void errs_settle(struct cp_errs *e, uint32_t max)
{
	if (!e->last || e->count >= max || !errs_room(e))
		return;
	if (e->fatal && e->fatal != e->last) {
		e->list[e->count++] = e->fatal;
		e->fatal = NULL;
		if (e->count >= max || !errs_room(e))
			return;
	}
	e->list[e->count++] = e->last;
	if (e->fatal == e->last)
		e->fatal = coop_error_unref(e->fatal);
	e->last = NULL;
}

/* The same object twice is one error. Of a long list the rest is compared when it is used. */
static bool errs_has(const struct cp_errs *e, const struct coop_error *err)
{
	for (uint32_t i = 0; i < e->count && i < 64; i++)
		if (cp_err_same(e->list[i], err))
			return true;
	return cp_err_same(e->last, err) || cp_err_same(e->fatal, err);
}

/* With a cap of n: n - 1 in order of completion, and the newest. */
CP_COLD void cp_group_add_error(struct coop_group *g, struct coop_error *err)
{
	uint32_t max = g->_errors_max > 1 ? g->_errors_max - 1 : 1;
	struct cp_errs *e = errs_make(g);

	if (!e) {
		keep_alone(g, err);
		return;
	}
	if (errs_has(e, err)) {
		coop_error_unref(err);
		return;
	}
	e->total++;
	errs_settle(e, max);
	if (e->count < max && !e->last && errs_room(e))
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
	if (e->list != e->own)
		cp_free(e->list);
	cp_free(e);
}

/* All that was kept, as one list for the error's making, which takes the references. */
CP_COLD uint32_t cp_errs_members(struct coop_group *g, struct coop_error **few,
				 struct coop_error ***ret_members)
{
	struct cp_errs *e = cp_errs_of(g);
	uint32_t n;

	if (!e) {
		few[0] = cp_errs_lone(g);
		*ret_members = few;
		g->_errs = NULL;
		return 1;
	}
	*ret_members = e->list;
	n = e->count;
	e->count = 0;
	if (e->fatal && e->fatal != e->last)
		e->list[n++] = e->fatal;
	else
		coop_error_unref(e->fatal);
	if (e->last)
		e->list[n++] = e->last;
	e->fatal = e->last = NULL;
	return n;
}
