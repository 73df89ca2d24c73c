/* SPDX-License-Identifier: MIT */
/*
 * Env files: NAME=VALUE, one a line.
 *
 * Blank lines and those that begin with # say nothing; `export` may stand in front. A value may
 * stand within single quotes, where nothing is special, or double quotes, where \n \t \" \\ \$
 * are. Behind an unquoted value a # after a blank begins a comment. No variable is expanded.
 */
#include "front.h"

#include <string.h>

static bool is_name_char(char c, bool is_first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (!is_first && ((c >= '0' && c <= '9') || c == '.' || c == '-'));
}

/* A value within quotes, which `at` points to; the end behind them, or NULL. */
static const char *read_quoted(const char *at, const char *end, char *to)
{
	char quote = *at++;

	for (; at < end && *at != quote; at++) {
		if (quote == '"' && *at == '\\' && at + 1 < end) {
			at++;
			*to++ = (char)(*at == 'n' ? '\n' : *at == 't' ? '\t' : *at);
		} else {
			*to++ = *at;
		}
	}
	*to = '\0';
	return at < end ? at + 1 : NULL;
}

static void read_bare(const char *at, const char *end, char *to)
{
	const char *stop = at;

	while (stop < end && !(*stop == '#' && (stop == at || stop[-1] == ' ' || stop[-1] == '\t')))
		stop++;
	while (stop > at && (stop[-1] == ' ' || stop[-1] == '\t' || stop[-1] == '\r'))
		stop--;
	memcpy(to, at, (size_t)(stop - at));
	to[stop - at] = '\0';
}

/* One line; NULL, or what is wrong with it. */
static const char *read_line(struct plan *plan, const char *at, const char *end,
			     struct plan_list *env)
{
	const char *name;
	char *item;
	size_t len = 0;

	at += strspn(at, " \t\r");
	if (at >= end || *at == '#')
		return NULL;
	if (strncmp(at, "export ", 7) == 0)
		at += 7 + strspn(at + 7, " \t");
	name = at;
	while (at < end && is_name_char(*at, at == name))
		at++;
	len = (size_t)(at - name);
	if (len == 0 || at >= end || *at != '=')
		return "is not NAME=VALUE";
	item = plan_alloc(plan, (size_t)(end - name) + 1);
	memcpy(item, name, len + 1);
	at++;
	at += strspn(at, " \t");
	if (at < end && (*at == '\'' || *at == '"')) {
		at = read_quoted(at, end, item + len + 1);
		if (!at)
			return "has a quote that is not closed";
		at += strspn(at, " \t\r");
		if (at < end && *at != '#')
			return "has something behind its quotes";
	} else {
		read_bare(at, at < end ? end : at, item + len + 1);
	}
	plan_list_add(plan, env, item);
	return NULL;
}

int envfile_read(struct plan *plan, const char *path, const struct plan_place *place,
		 struct plan_list *env)
{
	struct plan_place at = { .file = path };
	char *text, *end;
	size_t size;
	int error = plan_read_file(plan, path, place, &text, &size);

	if (error)
		return error;
	for (char *line = text; *line; line = end + (*end == '\n')) {
		const char *wrong;

		end = line + strcspn(line, "\n");
		at.line++;
		wrong = read_line(plan, line, end, env);
		if (wrong)
			return plan_fail(plan, &at, "the line %s", wrong);
	}
	return 0;
}
