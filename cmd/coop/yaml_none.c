/* SPDX-License-Identifier: MIT */
/*
 * In the place of yaml.c where libfyaml is missing.
 */
#include "front.h"

const bool yaml_is_built = false;

int yaml_read(struct plan *plan, const char *name, const char *text, size_t len)
{
	struct plan_place place = { .file = name };

	(void)text;
	(void)len;
	return plan_fail(plan, &place,
			 "this coop was built without libfyaml, so it reads no YAML; "
			 "a Procfile works");
}
