/* SPDX-License-Identifier: MIT */
/*
 * Commands: from a shell word to an argv, and back to text.
 *
 * A shell word runs as `sh -c 'exec WORD'`, so that no shell stands between us and the program;
 * where `exec` would change the meaning (a list, a builtin, an assignment) it is `sh -c WORD`.
 * Words without anything that a shell would look at are executed directly: the result is the same,
 * and saves the start of a shell.
 */
#include "shell.h"
#include "utf8.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Characters that stand for themselves wherever they are in a word. */
static bool is_plain_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("_-./:,+@%", c)) || (unsigned char)c >= 0x80;
}

/* Where the first word is one of these, the shell does something of its own. Programs that do
 * exactly the same (true, false) are not here. */
static bool is_shell_own(const char *word, size_t len)
{
	static const char names[] = " . : [ alias bg break builtin case cd chdir command continue "
				    "declare do done echo elif "
				    "else esac eval exec exit export fc fg fi for function getopts "
				    "hash help if in jobs kill "
				    "let local popd printf pushd pwd read readonly return select "
				    "set shift shopt source suspend "
				    "test then time times trap type typeset ulimit umask unalias "
				    "unset until wait while ";
	char key[16];

	if (len + 3 > sizeof key)
		return false;
	key[0] = key[len + 1] = ' ';
	memcpy(key + 1, word, len);
	key[len + 2] = '\0';
	return strstr(names, key) != NULL;
}

/* Only plain words between blanks, none of the shell's own first. An assignment has a "=". */
bool shell_is_plain(const char *text)
{
	const char *word = text + strspn(text, " ");
	bool is_first = true;

	if (!*word || is_shell_own(word, strcspn(word, " ")))
		return false;
	for (const char *p = word; *p; p++) {
		if (*p == ' ')
			is_first = false;
		else if (!is_plain_char(*p) && (is_first || *p != '='))
			return false;
	}
	return true;
}

/* One simple command, whatever is in its later words: `exec` in front of it changes nothing. The
 * first word is plain; outside of quotes nothing ends a command. */
bool shell_is_simple(const char *text)
{
	const char *word = text + strspn(text, " \t"), *p;
	size_t len = 0;

	while (is_plain_char(word[len]))
		len++;
	if (len == 0 || is_shell_own(word, len) || !strchr(" \t", word[len]))
		return false;
	for (p = word + len; *p; p++) {
		if (strchr("\n;|&()`#<>", *p) || (*p == '$' && p[1] == '('))
			return false;
		if (*p == '\\' && p[1])
			p++;
		else if (*p == '\'' || *p == '"') {
			const char *end = strchr(p + 1, *p);

			/* Within double quotes, what is more than a variable is the shell's. */
			if (!end || (*p == '"' && strcspn(p + 1, "\\`(") < (size_t)(end - p - 1)))
				return false;
			p = end;
		}
	}
	return true;
}

struct plan_command shell_split(struct plan *plan, const char *text)
{
	char *words = plan_copy(plan, text, strlen(text)), *save = NULL;
	const char **argv = plan_alloc(plan, (strlen(text) / 2 + 2) * sizeof *argv);
	size_t count = 0;

	for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save))
		argv[count++] = word;
	return (struct plan_command){ .text = text, .argv = argv };
}

struct plan_command plan_command_of(struct plan *plan, const char *word)
{
	const char **argv;

	if (shell_is_plain(word))
		return shell_split(plan, word);
	argv = plan_alloc(plan, 4 * sizeof *argv);
	argv[0] = "/bin/sh";
	argv[1] = "-c";
	argv[2] = shell_is_simple(word) ? plan_format(plan, "exec %s", word) : word;
	return (struct plan_command){ .text = word, .argv = argv };
}

static bool is_quoted(const char *word)
{
	if (!*word)
		return true;
	for (; *word; word++)
		if (!is_plain_char(*word) && *word != '=')
			return true;
	return false;
}

/* The room that a word takes between single quotes, with its 0. */
size_t shell_quoted_size(const char *word)
{
	size_t size = 3;

	for (; *word; word++)
		size += *word == '\'' ? 4 : 1;
	return size;
}

char *shell_quote_to(char *to, const char *word)
{
	*to++ = '\'';
	for (; *word; word++) {
		if (*word == '\'') {
			memcpy(to, "'\\''", 4);
			to += 4;
		} else {
			*to++ = *word;
		}
	}
	*to++ = '\'';
	return to;
}

const char *plan_quote(struct plan *plan, const char *word)
{
	char *text;

	if (!is_quoted(word))
		return word;
	text = plan_alloc(plan, shell_quoted_size(word));
	shell_quote_to(text, word);
	return text;
}

const char *plan_visible(struct plan *plan, const char *text)
{
	char *copy;

	if (!isatty(STDOUT_FILENO))
		return text;
	copy = plan_copy(plan, text, strlen(text));
	utf8_make_visible(copy);
	return copy;
}

struct plan_command plan_command_argv(struct plan *plan, const char *const *words, size_t count)
{
	const char **argv = plan_alloc(plan, (count + 1) * sizeof *argv);
	const char *text = "";

	for (size_t i = 0; i < count; i++) {
		argv[i] = words[i];
		text = plan_format(plan, "%s%s%s", text, i ? " " : "", plan_quote(plan, words[i]));
	}
	return (struct plan_command){ .text = text, .argv = argv };
}
