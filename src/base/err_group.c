/* SPDX-License-Identifier: MIT */
/*
 * Group objects: what a failed group returns.
 *
 * 1. A group's error is a group object however many failed, and with or
 *    without memory.
 * 2. An object that was given twice is a member once: the first time.
 * 3. Members are in the order in which they were given, which is that of
 *    completion.
 * 4. Where members have to go for want of memory, the first, the last and the
 *    one with the primary leaf stay.
 * 5. A code of the fatal class is the group's own, of a strict one as well.
 */
#include "base/err_impl.h"
#include "base/os.h"

#include <stdio.h>
#include <string.h>

/* Members that are looked up by address without a table from the heap. */
#define CP_ERR_DEDUPE_INLINE 64
/* Bytes of a group's message but for the name. */
#define CP_ERR_GROUP_MESSAGE 64

/* ---- the same one twice */

/*
 * An object can be there twice only if it has more than one owner, so only
 * those are compared, through a table of addresses. Immortal objects stand
 * for different failures that had no memory, and are never the same one.
 */
static bool cp_err_may_be_twice(struct coop_error *error)
{
	return !(error->flags & CP_ERR_IMMORTAL) &&
	       atomic_load_explicit(&error->refs, memory_order_relaxed) > 1;
}

static size_t cp_err_hash(const struct coop_error *error, size_t mask)
{
	return (size_t)((uintptr_t)error / 16 * 0x9e3779b97f4a7c15u >> 20) & mask;
}

/* Adds an object to a table that has room; false if it is in it. */
static bool cp_err_table_add(struct coop_error **table, size_t mask, struct coop_error *error)
{
	size_t i = cp_err_hash(error, mask);

	for (; table[i]; i = (i + 1) & mask)
		if (table[i] == error)
			return false;
	table[i] = error;
	return true;
}

static bool cp_err_is_before(struct coop_error *const *members, uint32_t count,
			     const struct coop_error *error)
{
	for (uint32_t i = 0; i < count; i++)
		if (members[i] == error)
			return true;
	return false;
}

/*
 * Leaves each object once, the first time, and drops the other owners; returns
 * how many are left. Without memory for a table each is compared with each.
 */
static uint32_t cp_err_dedupe(struct coop_error **members, uint32_t count)
{
	struct coop_error *own[2 * CP_ERR_DEDUPE_INLINE] = { NULL };
	struct coop_error **table = own, **heap = NULL;
	size_t size = CP_ARRAY_LEN(own);
	uint32_t shared = 0, kept = 0;

	for (uint32_t i = 0; i < count; i++)
		shared += cp_err_may_be_twice(members[i]);
	if (shared < 2)
		return count;
	if (shared > CP_ERR_DEDUPE_INLINE) {
		while (size < (size_t)shared * 2)
			size *= 2;
		table = heap = cp_calloc(size, sizeof *heap);
	}
	for (uint32_t i = 0; i < count; i++) {
		struct coop_error *error = members[i];
		bool is_new = true;

		if (cp_err_may_be_twice(error))
			is_new = table ? cp_err_table_add(table, size - 1, error)
				       : !cp_err_is_before(members, kept, error);
		if (is_new)
			members[kept++] = error;
		else
			coop_error_unref(error);
	}
	cp_free(heap);
	return kept;
}

/* ---- a group */

static void cp_err_group_message(struct coop_error *error, struct cp_err_text *text)
{
	const char *plural = error->total == 1 ? "" : "s";
	int n;

	error->message = text->at;
	if (*error->name)
		n = snprintf(text->at, text->left,
			     "unhandled errors in group \"%s\" (%u sub-error%s)", error->name,
			     error->total, plural);
	else
		n = snprintf(text->at, text->left, "unhandled errors in a group (%u sub-error%s)",
			     error->total, plural);
	CP_ASSERT(n > 0 && (size_t)n < text->left);
}

/* Fills an object that has room for `count` members. */
static void cp_err_group_fill(struct coop_error *error, struct cp_err_text *text,
			      const struct cp_err_group *from, struct coop_error *const *members,
			      uint32_t count)
{
	error->kind = COOP_ERROR_GROUP;
	error->file = from->file ? from->file : "";
	error->line = from->line;
	error->when_ns = from->when_ns;
	error->total = from->total > from->count ? from->total : from->count;
	error->cancelled = from->cancelled;
	error->cancel_pending = from->cancel_pending;
	error->name = cp_err_put(text, from->name, CP_ERR_TIGHT_NAME);
	error->task = cp_err_put(text, from->path, CP_ERR_TIGHT_PATH);
	cp_err_group_message(error, text);
	cp_err_adopt(error, members, count);
	if (from->first && count > 0)
		error->primary = members[0]->primary;
	error->code = count > 0 ? error->primary->code : COOP_EGROUP;
	if (from->strict) {
		error->flags |= CP_ERR_STRICT;
		if (!coop_is_fatal(error->code))
			error->code = COOP_EGROUP;
	}
	if (text->cut)
		error->flags |= CP_ERR_TRUNCATED;
}

struct coop_error *cp_err_try_group(const struct cp_err_group *from)
{
	size_t name = from->name ? strlen(from->name) : 0;
	size_t path = from->path ? strlen(from->path) : 0;
	struct cp_err_text text;
	struct coop_error *error;

	/* The name is in the message once more. */
	error = cp_err_alloc(from->count, from->gone_count,
			     name + path + 2 + CP_ERR_GROUP_MESSAGE + name, &text);
	if (!error)
		return NULL;
	error->gone_count = from->gone_count;
	if (from->gone_count > 0)
		memcpy(error->gone, from->gone, from->gone_count * sizeof *from->gone);
	cp_err_group_fill(error, &text, from, from->members, from->count);
	return error;
}

/* The first, the primary and the last member, in their order; the others lose this owner. */
static uint32_t cp_err_choose(const struct cp_err_group *from, struct coop_error **ret_chosen)
{
	struct coop_error *const *members = from->members;
	uint32_t primary = 0, count = 0;

	while (primary + 1 < from->count && !coop_is_fatal(members[primary]->primary->code))
		primary++;
	for (uint32_t i = 0; i < from->count; i++) {
		if (i == 0 || i == from->count - 1 || i == primary)
			ret_chosen[count++] = members[i];
		else
			coop_error_unref(members[i]);
	}
	return count;
}

static struct coop_error *cp_err_immortal_group(const struct cp_err_group *from)
{
	int code = COOP_EGROUP;

	for (uint32_t i = 0; i < from->count; i++) {
		int kid = from->members[i]->primary->code;

		if (i == 0 || (!from->first && coop_is_fatal(kid) && !coop_is_fatal(code)))
			code = kid;
	}
	for (uint32_t i = 0; i < from->count; i++)
		coop_error_unref(from->members[i]);
	if (from->strict && !coop_is_fatal(code))
		code = COOP_EGROUP;
	return cp_err_immortal(COOP_ERROR_GROUP, code);
}

struct coop_error *cp_err_new_group(const struct cp_err_group *from)
{
	struct coop_error *chosen[CP_ERR_RESERVE_KIDS];
	struct cp_err_group once = *from;
	struct cp_err_text text;
	struct coop_error *error;

	once.count = cp_err_dedupe(from->members, from->count);
	if (once.total > from->count - once.count)
		once.total -= from->count - once.count;
	error = cp_err_try_group(&once);
	if (error)
		return error;
	error = cp_err_from_reserve(&text);
	if (!error)
		return cp_err_immortal_group(&once);
	error->flags |= CP_ERR_TRUNCATED;
	cp_err_group_fill(error, &text, &once, chosen, cp_err_choose(&once, chosen));
	return error;
}

/* ---- without the flag */

/* The same group once more, with members that have one owner more; NULL without memory. */
static struct coop_error *cp_err_copy_group(const struct coop_error *error)
{
	struct cp_err_group from = {
		.name = error->name,
		.path = error->task,
		.file = error->file,
		.line = error->line,
		.when_ns = error->when_ns,
		.members = error->kids,
		.count = error->count,
		.total = error->total,
		.cancelled = error->cancelled,
		.gone = error->gone,
		.gone_count = error->gone_count,
		.strict = error->flags & CP_ERR_STRICT,
	};
	struct coop_error *copy = cp_err_try_group(&from);

	if (!copy)
		return NULL;
	for (uint32_t i = 0; i < copy->count; i++)
		coop_error_ref(copy->kids[i]);
	copy->func = error->func;
	atomic_store_explicit(&copy->seen,
			      atomic_load_explicit(&error->seen, memory_order_relaxed),
			      memory_order_relaxed);
	copy->flags |= error->flags & (CP_ERR_DURING_CANCEL | CP_ERR_TRUNCATED);
	copy->trace_count = error->trace_count;
	copy->trace_lost = error->trace_lost;
	memcpy(copy->trace, error->trace, error->trace_count * sizeof *copy->trace);
	return copy;
}

struct coop_error *cp_err_caught(struct coop_error *error)
{
	struct coop_error *copy;

	if (!error || !error->cancel_pending || error->flags & CP_ERR_IMMORTAL)
		return error;
	if (atomic_load_explicit(&error->refs, memory_order_acquire) == 1) {
		error->cancel_pending = false; /* E2: the only owner may */
		return error;
	}
	copy = cp_err_copy_group(error);
	if (!copy)
		return error;
	coop_error_unref(error);
	return copy;
}
