/* SPDX-License-Identifier: MIT */
/*
 * Error objects: made, counted, freed, described. Groups are made in err_group.c.
 *
 * err_impl.h states what holds of them (E1..E4). Making one never fails. What
 * the heap refuses comes from the reserve: a leaf with a shorter message, a
 * group with three of its members. When the reserve is empty as well, there
 * is an immortal object of the code, with nothing but the code.
 */
#include "base/err_impl.h"
#include "base/os.h"
#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

const char *cp_err_put(struct cp_err_text *text, const char *from, size_t tight_max)
{
	size_t len = from ? strlen(from) : 0;
	size_t keep = text->tight && len > tight_max ? tight_max : len;
	char *to = text->at;

	if (len == 0)
		return "";
	if (keep > text->left - 1)
		keep = text->left - 1;
	if (keep < len) {
		keep = cp_utf8_cut(from, keep);
		text->cut = true;
	}
	memcpy(to, from, keep);
	to[keep] = '\0';
	text->at += keep + 1;
	text->left -= keep + 1;
	return to;
}

/* The number sticks at its top instead of starting over. */
static uint64_t cp_err_sum(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

void cp_err_adopt(struct coop_error *error, struct coop_error *const *kids, uint32_t count)
{
	error->count = count;
	error->leaves = error->kind == COOP_ERROR_GROUP ? 0 : 1;
	for (uint32_t i = 0; i < count; i++) {
		const struct coop_error *kid = kids[i];

		error->kids[i] = kids[i];
		error->nodes = cp_err_sum(error->nodes, kid->nodes);
		if (error->depth <= kid->depth)
			error->depth = kid->depth + 1;
		if (error->kind != COOP_ERROR_GROUP)
			continue;
		error->leaves = cp_err_sum(error->leaves, kid->leaves);
		if (i == 0 ||
		    (!coop_is_fatal(error->primary->code) && coop_is_fatal(kid->primary->code)))
			error->primary = kid->primary;
	}
}

static void cp_err_reset(struct coop_error *error)
{
	struct cp_err_place *trace = error->trace;
	struct coop_error **kids = error->kids;

	memset(error, 0, sizeof *error);
	atomic_init(&error->refs, 1);
	atomic_init(&error->seen, false);
	error->trace = trace;
	error->kids = kids;
	error->primary = error;
	error->nodes = 1;
	error->depth = 1;
	error->file = error->func = error->message = error->task = error->name = "";
}

struct coop_error *cp_err_alloc(uint32_t kids, uint32_t gone, size_t text_bytes,
				struct cp_err_text *ret_text)
{
	size_t trace_at = sizeof(struct coop_error);
	size_t kids_at = trace_at + CP_ERR_TRACE_MAX * sizeof(struct cp_err_place);
	size_t gone_at = kids_at + kids * sizeof(struct coop_error *);
	size_t text_at = gone_at + gone * sizeof(struct cp_err_cancelled);
	char *mem = cp_alloc(text_at + text_bytes);
	struct coop_error *error = (void *)mem;

	if (!mem)
		return NULL;
	error->trace = (void *)(mem + trace_at);
	error->kids = (void *)(mem + kids_at);
	cp_err_reset(error);
	error->gone = (void *)(mem + gone_at);
	*ret_text = (struct cp_err_text){ mem + text_at, text_bytes, false, false };
	return error;
}

struct coop_error *cp_err_from_reserve(struct cp_err_text *ret_text)
{
	struct coop_error *error = cp_err_reserve_get();

	if (!error)
		return NULL;
	cp_err_reset(error);
	error->flags = CP_ERR_RESERVED;
	*ret_text = (struct cp_err_text){ cp_err_reserve_text(error), CP_ERR_RESERVE_TEXT, true,
					  false };
	return error;
}

/* ---- leaves and wraps */

/* Length of the message, uncut; -1 if its format cannot be followed. */
static int cp_err_measure(const struct cp_err_make *make)
{
	va_list args;
	int n;

	if (!make->fmt)
		return make->message ? (int)strnlen(make->message, INT32_MAX) : 0;
	va_copy(args, *make->args);
	n = vsnprintf(NULL, 0, make->fmt, args);
	va_end(args);
	return n;
}

/* Last of the texts, because it is the one that may be cut to what is left. */
static const char *cp_err_put_message(struct cp_err_text *text, const struct cp_err_make *make,
				      int measured)
{
	size_t keep = measured > CP_ERR_MESSAGE_MAX ? CP_ERR_MESSAGE_MAX : (size_t)measured;
	char *to = text->at;

	if (measured == 0)
		return coop_code_text(make->code);
	if (!make->fmt)
		return cp_err_put(text, make->message, SIZE_MAX);
	if (measured < 0) {
		text->cut = true;
		return cp_err_put(text, make->fmt, SIZE_MAX);
	}
	if (keep > text->left - 1)
		keep = text->left - 1;
	(void)vsnprintf(to, keep + 1, make->fmt, *make->args);
	if (keep < (size_t)measured) {
		to[cp_utf8_cut(to, keep)] = '\0';
		text->cut = true;
	}
	return to;
}

struct coop_error *cp_err_make(const struct cp_err_make *make)
{
	int saved = errno; /* the format may have %m, and is followed twice */
	int measured = cp_err_measure(make);
	size_t message = measured < 0 ? strlen(make->fmt) : (size_t)measured;
	size_t path = make->path ? strlen(make->path) : 0;
	struct cp_err_text text;
	struct coop_error *error;

	CP_ASSERT(make->code < 0);
	if (message > CP_ERR_MESSAGE_MAX)
		message = CP_ERR_MESSAGE_MAX;
	error = cp_err_alloc(make->cause ? 1 : 0, 0, message + path + 2, &text);
	if (!error)
		error = cp_err_from_reserve(&text);
	if (!error) {
		coop_error_unref(make->cause);
		return cp_err_immortal(COOP_ERROR_LEAF, make->code);
	}

	error->kind = make->cause ? COOP_ERROR_WRAP : COOP_ERROR_LEAF;
	error->code = make->code;
	error->file = make->file ? make->file : "";
	error->func = make->func ? make->func : "";
	error->line = make->line;
	error->when_ns = make->when_ns;
	error->task = cp_err_put(&text, make->path, CP_ERR_TIGHT_PATH);
	errno = saved;
	error->message = cp_err_put_message(&text, make, measured);
	error->flags |= (make->during_cancel ? CP_ERR_DURING_CANCEL : 0) |
			(text.cut ? CP_ERR_TRUNCATED : 0);
	cp_err_adopt(error, &make->cause, make->cause ? 1 : 0);
	return error;
}

struct coop_error *cp_err_new_leaf(int code, const char *file, int line, const char *func,
				   const char *path, int64_t when_ns, bool during_cancel,
				   const char *message)
{
	return cp_err_make(&(struct cp_err_make){
		.code = code,
		.file = file,
		.line = line,
		.func = func,
		.path = path,
		.when_ns = when_ns,
		.during_cancel = during_cancel,
		.message = message,
	});
}

struct coop_error *cp_err_new_wrap(int code, struct coop_error *cause, const char *file, int line,
				   const char *func, const char *path, int64_t when_ns,
				   const char *message)
{
	return cp_err_make(&(struct cp_err_make){
		.code = code,
		.file = file,
		.line = line,
		.func = func,
		.path = path,
		.when_ns = when_ns,
		.cause = cause,
		.message = message,
	});
}

/* ---- owners */

struct coop_error *coop_error_ref(const struct coop_error *error)
{
	struct coop_error *mine = (struct coop_error *)(uintptr_t)error;

	if (mine && !(mine->flags & CP_ERR_IMMORTAL))
		atomic_fetch_add_explicit(&mine->refs, 1, memory_order_relaxed);
	return mine;
}

/* True if this was the last owner. The order lets the last one see all that others did. */
static bool cp_err_drop(struct coop_error *error)
{
	return !(error->flags & CP_ERR_IMMORTAL) &&
	       atomic_fetch_sub_explicit(&error->refs, 1, memory_order_acq_rel) == 1;
}

struct coop_error *coop_error_unref(struct coop_error *error)
{
	struct coop_error *dead = NULL;

	if (error && cp_err_drop(error)) {
		error->next = NULL;
		dead = error;
	}
	while (dead) {
		error = dead;
		dead = error->next;
		for (uint32_t i = 0; i < error->count; i++) {
			struct coop_error *kid = error->kids[i];

			if (!cp_err_drop(kid))
				continue;
			kid->next = dead;
			dead = kid;
		}
		if (error->flags & CP_ERR_RESERVED)
			cp_err_reserve_put(error);
		else
			cp_free(error);
	}
	return NULL;
}

/* ---- what is in one */

void cp_err_see(const struct coop_error *error)
{
	struct coop_error *mine = (struct coop_error *)(uintptr_t)error;

	if (mine && !(mine->flags & CP_ERR_IMMORTAL) &&
	    !atomic_load_explicit(&mine->seen, memory_order_relaxed))
		atomic_store_explicit(&mine->seen, true, memory_order_relaxed);
}

const char *cp_err_file(const char *file)
{
	for (;;) {
		if (strncmp(file, "../", 3) == 0)
			file += 3;
		else if (strncmp(file, "./", 2) == 0)
			file += 2;
		else
			return file;
	}
}

void cp_err_describe(const struct coop_error *error, struct coop_error_info *ret_info)
{
	memset(ret_info, 0, sizeof *ret_info);
	ret_info->message = ret_info->file = ret_info->func = "";
	ret_info->task = ret_info->name = "";
	if (!error)
		return;
	ret_info->code = error->code;
	ret_info->kind = (enum coop_error_kind)error->kind;
	ret_info->message = error->message;
	ret_info->file = error->file;
	ret_info->func = error->func;
	ret_info->line = error->line;
	ret_info->when_ns = error->when_ns;
	ret_info->task = error->task;
	ret_info->name = error->name;
	ret_info->cancelled = error->cancelled;
	ret_info->cancel_pending = error->cancel_pending;
	ret_info->during_cancel = error->flags & CP_ERR_DURING_CANCEL;
	ret_info->truncated = error->flags & CP_ERR_TRUNCATED;
	if (error->kind == COOP_ERROR_GROUP) {
		ret_info->members = error->count;
		ret_info->members_total = error->total;
	} else if (error->kind == COOP_ERROR_WRAP) {
		ret_info->cause = error->kids[0];
	}
}

void coop_error_describe(const struct coop_error *error, struct coop_error_info *ret_info)
{
	cp_err_see(error);
	cp_err_describe(error, ret_info);
}

int coop_error_code(const struct coop_error *error)
{
	return error ? error->code : 0;
}

bool cp_err_cancel_pending(const struct coop_error *error)
{
	return error && error->cancel_pending;
}

bool cp_err_same(const struct coop_error *a, const struct coop_error *b)
{
	return a == b && a && !(a->flags & CP_ERR_IMMORTAL);
}
