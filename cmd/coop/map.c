/* SPDX-License-Identifier: MIT */
/*
 * Templates of `map`: replacement as GNU parallel's users know it: {} the input, {.} without its
 * suffix, {/} its last part, {//} what is before that, {/.} the last part without its suffix, {#}
 * its number. A template without any gets the input as its last word.
 *
 * In a template that is one shell word an input is quoted for the shell, so it may hold anything;
 * therefore no {} may stand within quotes.
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

static bool has_mark(const char *word)
{
	struct part part;
	size_t len;

	for (; *word; word++)
		if (*word == '{' && replaced(word, "", "", &len, &part))
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

/* Whether a mark stands within quotes of the shell. */
static bool has_mark_quoted(const char *text)
{
	struct part part;
	char quote = 0;
	size_t len;

	for (; *text; text++) {
		if (*text == '\\' && quote != '\'' && text[1])
			text++;
		else if (quote ? *text == quote : *text == '\'' || *text == '"')
			quote = (char)(quote ? 0 : *text);
		else if (quote && *text == '{' && replaced(text, "", "", &len, &part))
			return true;
	}
	return false;
}

/* One shell word: split where it is plain but for the marks, which then need no shell. */
static int finish_word(struct plan *plan, const char *word)
{
	char *plain = plan_alloc(plan, strlen(word) + 1);

	if (has_mark_quoted(word))
		return plan_fail(plan, &plan->tasks[0]->place,
				 "'%s': a {} within quotes; inputs are quoted already", word);
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
