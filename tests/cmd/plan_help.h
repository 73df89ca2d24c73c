/* SPDX-License-Identifier: MIT */
#pragma once

/* A command line written as one text. */

#include "option.h"

#include <string.h>

enum { WORDS_MAX = 40 };

/* Words between blanks; '~' in a word stands for a blank. Lives until the test has ended. */
static inline struct plan *parse_line(const char *line, int *ret_error)
{
	static char *argv[WORDS_MAX + 1];
	char *copy = strdup(line), *save = NULL;
	struct plan *plan;
	int argc = 0;

	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		for (char *p = word; *p; p++)
			*p = *p == '~' ? ' ' : *p;
		argv[argc++] = word;
	}
	argv[argc] = NULL;
	*ret_error = options_parse(argc, argv, &plan);
	return plan;
}
