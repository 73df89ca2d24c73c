/* SPDX-License-Identifier: MIT */
#pragma once

/* A command line written as one text. */

#include "option.h"

#include <string.h>

enum { WORDS_MAX = 40, LINE_SIZE = 1000 };

/* Words between blanks; '~' in a word stands for a blank. The words live until the next line. */
static inline struct plan *parse_line(const char *line, int *ret_error)
{
	static char *argv[WORDS_MAX + 1], copy[LINE_SIZE];
	char *save = NULL;
	struct plan *plan;
	int argc = 0;

	snprintf(copy, sizeof copy, "%s", line);
	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		for (char *p = word; *p; p++)
			*p = *p == '~' ? ' ' : *p;
		argv[argc++] = word;
	}
	argv[argc] = NULL;
	*ret_error = options_parse(argc, argv, &plan);
	return plan;
}
