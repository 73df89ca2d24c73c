/* SPDX-License-Identifier: MIT */
/*
 * Procfiles, and the commands in them, which a shell word's reader takes apart.
 */
#include "fuzz_plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size);
	struct plan *plan = plan_new(VERB_UP);

	if (!memchr(text, '\0', size) && procfile_read(plan, "f", text, size) < 0)
		check_error(plan);
	else
		check_plan(plan);
	plan_free(plan);
	free(text);
	return 0;
}
