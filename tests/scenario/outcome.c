/* SPDX-License-Identifier: MIT */
/* Outcomes: to and from coop, divided, joined, as text. */
#include "outcome.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

struct outcome outcome_of(int rc)
{
	struct outcome o = well;
	struct coop_error_info info;

	if (rc >= 0)
		return o;
	if (rc == COOP_ECANCELED) {
		o.cancelled = true;
		return o;
	}
	o.err = coop_error_take(rc);
	coop_error_describe(o.err, &info);
	o.cancelled = info.cancel_pending;
	return o;
}

int outcome_raise(struct outcome o)
{
	if (!o.err)
		return o.cancelled ? COOP_ECANCELED : 0;
	if (cp_err_cancel_pending(o.err) != o.cancelled)
		cp_err_set_cancel_pending(o.err, o.cancelled);
	return coop_error_raise(o.err);
}

void outcome_drop(struct outcome *o)
{
	coop_error_unref(o->err);
	*o = well;
}

static bool matches(const struct coop_error *leaf, void *ctx)
{
	int64_t key = *(const int64_t *)ctx;
	int code = coop_error_code(leaf);

	if (code == COOP_ETIMEDOUT)
		return key < 0;
	for (int k = 1; k <= 99; k++)
		if (code == COOP_CODE(DOMAIN_SCENARIO, k))
			return key < 0 || key == k;
	return false;
}

struct coop_error *outcome_catch(struct outcome *o, int64_t key)
{
	struct coop_error *caught = NULL, *rest = NULL;

	if (!o->err || coop_error_split(o->err, matches, &key, &caught, &rest) < 0)
		return NULL;
	if (!caught) {
		coop_error_unref(rest);
		return NULL;
	}
	coop_error_unref(o->err);
	o->err = rest;
	return caught;
}

/* ------------------------------------------------------------------- joining two */

static int raise_one(void *arg)
{
	return coop_error_raise(arg);
}

/* A scope whose clean-up fails makes a group with no name of the failures and the body's. */
struct outcome outcome_join(struct outcome a, struct outcome b)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_defer d = COOP_DEFER_INIT;
	struct outcome both = { NULL, a.cancelled || b.cancelled };
	struct coop_error *first = a.err ? a.err : b.err, *second = a.err ? b.err : NULL;
	int r;

	if (!first)
		return both;
	coop_scope_open(&s, NULL);
	r = coop_scope_defer(&s, &d, raise_one, first);
	r = coop_scope_close(&s, r < 0 ? r : second ? coop_error_raise(second) : 0);
	both = outcome_of(r);
	both.cancelled = a.cancelled || b.cancelled;
	return both;
}

/* ------------------------------------------------------------------------- text */

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *leaf_text(int code)
{
	char buf[64];

	for (int k = 1; k <= 99; k++) {
		if (code != COOP_CODE(DOMAIN_SCENARIO, k))
			continue;
		snprintf(buf, sizeof buf, "e%d", k);
		return strdup(buf);
	}
	return strdup(code == COOP_ETIMEDOUT ? "timeout" : coop_code_name(code, buf, sizeof buf));
}

char *error_text(const struct coop_error *err)
{
	struct coop_error_info info;
	char **parts, *text;
	size_t bytes;

	coop_error_describe(err, &info);
	if (info.kind != COOP_ERROR_GROUP)
		return leaf_text(info.code);
	parts = calloc(info.members + 1, sizeof *parts);
	bytes = strlen(info.name) + 4;
	for (uint32_t i = 0; i < info.members; i++) {
		parts[i] = error_text(coop_error_member(err, i));
		bytes += strlen(parts[i]) + 1;
	}
	qsort(parts, info.members, sizeof *parts, by_bytes);
	text = malloc(bytes);
	if (!text)
		abort();
	sprintf(text, "%s[", info.name[0] ? info.name : "~");
	for (uint32_t i = 0; i < info.members; i++) {
		strcat(strcat(text, i ? " " : ""), parts[i]);
		free(parts[i]);
	}
	free(parts);
	return strcat(text, "]");
}
