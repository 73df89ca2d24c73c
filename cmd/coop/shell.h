/* SPDX-License-Identifier: MIT */
#pragma once

/* What shell.c knows of the shell's language, for map.c. */

#include "front.h"

/* Nothing in it that a shell would look at: words between blanks. */
bool shell_is_plain(const char *text);

/* `exec` in front of it changes nothing. */
bool shell_is_simple(const char *text);

/* The words of a plain text. */
struct plan_command shell_split(struct plan *plan, const char *text);

/* The room for a word between single quotes, with its 0; the writing of it, without: the end. */
size_t shell_quoted_size(const char *word);
char *shell_quote_to(char *to, const char *word);
