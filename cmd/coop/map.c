/* SPDX-License-Identifier: MIT */
/*
 * Templates of `map`: replacement as GNU parallel's users know it: {} the input, {.} without its
 * suffix, {/} its last part, {//} what is before that, {/.} the last part without its suffix, {#}
 * its number. A template without any gets the input as its last word.
 *
 * In a template that is one shell word an input is quoted for the shell, so it may hold anything;
 * therefore no {} may stand within quotes, nor where the quotes would not be read as such.
 */
#include "map.h"
#include "shell.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct part {
	const char *text;
	size_t len;
};

static struct part last_part(struct part in)
{
	for (size_t i = in.len; i-- > 0;)
		if (in.text[i] == '/')
			return (struct part){ in.text + i + 1, in.len - i - 1 };
	return in;
}

static struct part folder(struct part in)
{
	size_t len = in.len - last_part(in).len;

	if (len == 0)
		return (struct part){ ".", 1 };
	return (struct part){ in.text, len > 1 ? len - 1 : 1 };
}

/* A name that only begins with a dot has no suffix. */
static struct part no_suffix(struct part in)
{
	struct part last = last_part(in);

	for (size_t i = last.len; i-- > 1;)
		if (last.text[i] == '.')
			return (struct part){ in.text, in.len - last.len + i };
	return in;
}

/* What stands at `at` for a replacement, its length in *ret_len; the result in *ret_part. */
static bool replaced(const char *at, const char *input, const char *number, size_t *ret_len,
		     struct part *ret_part)
{
	static const char *const marks[] = { "{}", "{.}", "{/}", "{//}", "{/.}", "{#}" };
	struct part whole = { input, strlen(input) };

	for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
		size_t len = strlen(marks[i]);

		if (strncmp(at, marks[i], len) != 0)
			continue;
		*ret_len = len;
		*ret_part = i == 0   ? whole
			    : i == 1 ? no_suffix(whole)
			    : i == 2 ? last_part(whole)
			    : i == 3 ? folder(whole)
			    : i == 4 ? no_suffix(last_part(whole))
				     : (struct part){ number, strlen(number) };
		return true;
	}
	return false;
}

static bool has_mark_at(const char *at)
{
	struct part part;
	size_t len;

	return *at == '{' && replaced(at, "", "", &len, &part);
}

static bool has_mark(const char *word)
{
	for (; *word; word++)
		if (has_mark_at(word))
			return true;
	return false;
}

/* A part between single quotes; what it takes. */
static size_t quoted(struct part part, char *to)
{
	size_t used = 0;

	if (to)
		to[0] = '\'';
	used++;
	for (size_t i = 0; i < part.len; i++) {
		const char *as = part.text[i] == '\'' ? "'\\''" : NULL;

		if (to && as)
			memcpy(to + used, as, 4);
		else if (to)
			to[used] = part.text[i];
		used += as ? 4 : 1;
	}
	if (to)
		to[used] = '\'';
	return used + 1;
}

/* What a template becomes: its length without the 0; written where `to` is not NULL. */
static size_t expand(const char *template, const char *input, const char *number, bool is_quoted,
		     char *to)
{
	size_t used = 0, len;
	struct part part;

	while (*template) {
		if (*template != '{' || !replaced(template, input, number, &len, &part)) {
			if (to)
				to[used] = *template;
			used++;
			template ++;
			continue;
		}
		template += len;
		if (is_quoted) {
			used += quoted(part, to ? to + used : NULL);
			continue;
		}
		if (to)
			memcpy(to + used, part.text, part.len);
		used += part.len;
	}
	if (to)
		to[used] = '\0';
	return used;
}

char **plan_map_argv(const struct plan *plan, const char *input, uint64_t number)
{
	static const char *const shell[] = { "/bin/sh", "-c" };
	const struct plan_map *map = &plan->map;
	size_t count = 0, fixed = map->is_shell ? 2 : 0, bytes = 0;
	char digits[24], **argv, *to;

	snprintf(digits, sizeof digits, "%" PRIu64, number);
	for (; map->words[count]; count++)
		bytes += expand(map->words[count], input, digits, map->is_shell, NULL) + 1;
	argv = malloc((fixed + count + 1) * sizeof *argv + bytes);
	if (!argv)
		return NULL;

	to = (char *)(argv + fixed + count + 1);
	for (size_t i = 0; i < fixed; i++)
		argv[i] = (char *)(uintptr_t)shell[i];
	for (size_t i = 0; i < count; i++) {
		argv[fixed + i] = to;
		to += expand(map->words[i], input, digits, map->is_shell, to) + 1;
	}
	argv[fixed + count] = NULL;
	return argv;
}

/* A quote, or a comment, that ends with this character and has begun by the one at `at`. */
static char quote_at(char quote, const char *at, char before)
{
	if (quote)
		return (char)(*at == quote ? 0 : quote);
	if (*at == '#' && strchr(" \t\n;|&()", before))
		return '\n';
	return (char)(strchr("'\"`", *at) ? *at : 0);
}

/* Why the quotes of an input would not be what they are between words; NULL: they are. */
static const char *wrong_place(char quote, bool is_escaped, char before)
{
	if (quote)
		return quote == '`'    ? "within backquotes"
		       : quote == '\n' ? "in a comment"
				       : "within quotes";
	return is_escaped ? "behind a backslash" : before == '$' ? "behind a dollar" : NULL;
}

/* Where a mark stands that must not be there; NULL: none does. What is behind the line of a <<
 * may be its text. */
static const char *find_misplaced(const char *at)
{
	char quote = 0, before = ' ';
	bool has_here = false;

	for (; *at; at++) {
		bool is_escaped = *at == '\\' && quote != '\'' && quote != '\n' && at[1];
		const char *wrong;

		at += is_escaped;
		if (!is_escaped)
			quote = quote_at(quote, at, before);
		wrong = wrong_place(quote, is_escaped, before);
		if (wrong && has_mark_at(at))
			return wrong;
		has_here |= !quote && *at == '<' && before == '<';
		if (has_here && !quote && *at == '\n')
			return has_mark(at) ? "in a here-document" : NULL;
		before = (char)(is_escaped || (*at == '$' && before == '$') ? 'x' : *at);
	}
	return NULL;
}

/* One shell word: split where it is plain but for the marks, which then need no shell. */
static int finish_word(struct plan *plan, const char *word)
{
	char *plain = plan_alloc(plan, strlen(word) + 1);
	const char *where = find_misplaced(word);

	if (where)
		return plan_fail(plan, &plan->tasks[0]->place,
				 "'%s': a {} %s; inputs are quoted already", word, where);
	expand(word, "x", "1", false, plain);
	if (shell_is_plain(plain) && *word != '{') {
		plan->map.words = shell_split(plan, word).argv;
		plan->map.is_shell = false;
		return 0;
	}
	plan->map.words = plan_alloc(plan, 2 * sizeof *plan->map.words);
	plan->map.words[0] =
		*word != '{' && shell_is_simple(word) ? plan_format(plan, "exec %s", word) : word;
	return 0;
}

int map_finish(struct plan *plan)
{
	struct plan_map *map = &plan->map;
	bool has_any = false;
	size_t count = 0;

	for (; map->words[count]; count++)
		has_any |= has_mark(map->words[count]);
	if (!has_any && map->is_shell) {
		map->words[0] = plan_format(plan, "%s {}", map->words[0]);
	} else if (!has_any) {
		const char **words = plan_alloc(plan, (count + 2) * sizeof *words);

		memcpy(words, map->words, count * sizeof *words);
		words[count] = "{}";
		map->words = words;
	}
	return map->is_shell ? finish_word(plan, map->words[0]) : 0;
}
