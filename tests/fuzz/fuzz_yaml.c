/* SPDX-License-Identifier: MIT */
/*
 * coop.yaml.
 *
 * libfyaml (0.7) loses two kilobytes over a scalar of more than ten or so pieces, as quotes
 * that are doubled make. That one is known; to tell it from what we would lose, the whole stack of
 * a block has to be there, also across a library that keeps no frame pointers.
 */
#include "fuzz_plan.h"

/* Asked by the sanitizer, where there is one. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
const char *__asan_default_options(void);
const char *__lsan_default_suppressions(void);

const char *__asan_default_options(void)
{
	return "fast_unwind_on_malloc=0";
}

const char *__lsan_default_suppressions(void)
{
	return "leak:fy_atom_iter_chunk_next\n";
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size);
	struct plan *plan = plan_new(VERB_UP);

	if (!memchr(text, '\0', size) && yaml_read(plan, "f", text, size) < 0)
		check_error(plan);
	else
		check_plan(plan);
	plan_free(plan);
	free(text);
	return 0;
}
