/* SPDX-License-Identifier: MIT */
/*
 * Outcomes, by coop's means alone: trees are divided by coop_error_split, a cancellation
 * beside errors is forgotten by a scope that catches it, and two outcomes are joined by a
 * scope whose clean-up fails.
 */
#include "outcome.h"

#include "need.h"
#include "parse.h"

#include <coop/defer.h>
#include <coop/scope.h>

#include <string.h>

static struct outcome of_error(struct coop_error *err)
{
	struct coop_error_info info;

	coop_error_describe(err, &info);
	return (struct outcome){ err, info.cancel_pending };
}

struct outcome outcome_of(int rc)
{
	if (rc >= 0)
		return WELL;
	return rc == COOP_ECANCELED ? CANCELLED : of_error(coop_error_take(rc));
}

int outcome_raise(struct outcome o)
{
	if (o.err)
		return coop_error_raise(o.err);
	return o.cancelled ? COOP_ECANCELED : 0;
}

void outcome_drop(struct outcome o)
{
	coop_error_unref(o.err);
}

/* -------------------------------------------------------------------- dividing */

int user_error_of(int code)
{
	int number = COOP_CODE(DOMAIN_SCENARIO, 0) - code;

	return number >= 1 && number <= USER_ERROR_MAX ? number : 0;
}

static bool matches(const struct coop_error *leaf, void *ctx)
{
	int64_t key = *(const int64_t *)ctx;
	int code = coop_error_code(leaf), number = user_error_of(code);

	return key == ANY ? number || code == COOP_ETIMEDOUT : number == key;
}

bool outcome_handle(struct outcome *o, int64_t key)
{
	struct coop_error *match = NULL, *rest = NULL;

	/* Without memory to divide it nothing is handled, and all goes on. */
	if (!o->err || coop_error_split(o->err, matches, &key, &match, &rest) < 0)
		return false;
	if (!match) {
		coop_error_unref(rest);
		return false;
	}
	coop_error_unref(match);
	coop_error_unref(o->err);
	*o = rest ? of_error(rest) : (struct outcome){ NULL, o->cancelled };
	return true;
}

void outcome_forget_cancel(struct outcome *o)
{
	struct coop_scope s = COOP_SCOPE_INIT;

	if (o->err && o->cancelled) { /* the shield hides the cancellations from outside */
		coop_scope_open(&s, &(struct coop_scope_opts){ .shield = true });
		coop_scope_cancel(&s, NULL);
		*o = outcome_of(coop_scope_close(&s, coop_error_raise(o->err)));
	}
	o->cancelled = false;
}

/* --------------------------------------------------------------------- joining */

static int raise_it(void *arg)
{
	return coop_error_raise(arg);
}

struct outcome outcome_join(struct outcome a, struct outcome b)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_defer d = COOP_DEFER_INIT;
	struct outcome body = a.err ? b : a, last = a.err ? a : b;
	int r;

	if (!last.err)
		return CANCELLED;
	coop_scope_open(&s, NULL);
	r = coop_scope_defer(&s, &d, raise_it, last.err);
	if (r < 0)
		abort();
	return outcome_of(coop_scope_close(&s, outcome_raise(body)));
}

/* ------------------------------------------------------------------------- text */

/* A group whose members are being put into words. */
struct level {
	const struct coop_error *err;
	struct coop_error_info info;
	char **parts;
	uint32_t count;
	struct level *outer;
};

static char *leaf_text(int code)
{
	char buf[64];

	if (user_error_of(code))
		snprintf(buf, sizeof buf, "e%d", user_error_of(code));
	else if (code == COOP_ETIMEDOUT)
		snprintf(buf, sizeof buf, "timeout");
	else
		coop_code_name(code, buf, sizeof buf);
	return need(strdup(buf));
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The group's word, or ~ for a group that coop made for itself. */
static const char *word_of(const struct coop_error_info *info)
{
	return info->file[0] == WORD_MARK ? info->file + 1 : "~";
}

static struct level *enter(const struct coop_error *err, struct level *outer)
{
	struct level *l = need(calloc(1, sizeof *l));

	l->err = err;
	l->outer = outer;
	coop_error_describe(err, &l->info);
	l->parts = need(calloc(l->info.members + 1, sizeof *l->parts));
	return l;
}

static struct level *leave(struct level *l)
{
	struct level *outer = l->outer;

	free(l->parts);
	free(l);
	return outer;
}

/*
 * G[...], of the parts of the innermost level, and all around it that has no other member: so a
 * chain of groups is written once, and not once for each of them. Leaves these levels.
 */
static char *group_text(struct level **ret_level)
{
	struct level *l = *ret_level, *outer = l;
	size_t prefix = 0, bytes = 0, depth = 0;
	char *text, *end;

	qsort(l->parts, l->count, sizeof *l->parts, by_bytes);
	for (uint32_t i = 0; i < l->count; i++)
		bytes += strlen(l->parts[i]) + 1;
	do {
		prefix += strlen(word_of(&outer->info)) + 1;
		depth++;
		outer = outer->outer;
	} while (outer && outer->info.members == 1);
	text = need(malloc(prefix + bytes + depth + 1));
	end = text + prefix;
	for (uint32_t i = 0; i < l->count; i++) {
		end = stpcpy(i ? stpcpy(end, " ") : end, l->parts[i]);
		free(l->parts[i]);
	}
	memset(end, ']', depth);
	end[depth] = '\0';
	for (end = text + prefix; l != outer; l = leave(l)) {
		const char *word = word_of(&l->info);
		size_t n = strlen(word);

		end -= n + 1;
		memcpy(end, word, n);
		end[n] = '[';
	}
	*ret_level = outer;
	return text;
}

/* Without recursion: the nesting of groups at run time has no bound. */
char *error_text(const struct coop_error *err)
{
	struct level *l = NULL;
	struct coop_error_info info;
	char *text;

	for (;;) {
		coop_error_describe(err, &info);
		text = NULL;
		if (info.kind == COOP_ERROR_GROUP)
			l = enter(err, l);
		else
			text = leaf_text(info.code);
		for (;;) { /* a finished text goes to where it is a part */
			if (text && !l)
				return text;
			if (text)
				l->parts[l->count++] = text;
			if (l->count < l->info.members)
				break;
			text = group_text(&l);
		}
		err = coop_error_member(l->err, l->count);
	}
}
