/* SPDX-License-Identifier: MIT */
/*
 * Command lines: words between blanks. Either there is a plan that holds what plan.h says, or one
 * line.
 */
#include "fuzz_plan.h"
#include "option.h"

enum { WORDS_MAX = 600 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size), *save = NULL, *argv[WORDS_MAX + 1], name[] = "coop";
	struct plan *plan;
	int argc = 0;

	argv[argc++] = name;
	for (char *word = strtok_r(text, " ", &save); word && argc < WORDS_MAX;
	     word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	argv[argc] = NULL;
	if (options_parse(argc, argv, &plan) < 0)
		check_error(plan);
	else
		check_plan(plan);
	if (!plan->error[0] && plan->verb == VERB_MAP)
		free(plan_map_argv(plan, text, 7));
	plan_free(plan);
	free(text);
	return 0;
}
