/* SPDX-License-Identifier: MIT */
/*
 * Which file `up`, `check` and `graph` read, and what is in it.
 */
#include "front.h"

#include <string.h>
#include <unistd.h>

/* The first that is there. */
static const char *find_file(void)
{
	static const char *const names[] = { "coop.yaml", "coop.yml", "Procfile" };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (access(names[i], F_OK) == 0)
			return names[i];
	return NULL;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), tail = strlen(end);

	return len >= tail && strcmp(text + len - tail, end) == 0;
}

/* By the name: .yaml, .yml and .json are YAML, all else is a Procfile (Procfile.dev, say). */
static bool is_yaml(const char *path)
{
	return ends_with(path, ".yaml") || ends_with(path, ".yml") || ends_with(path, ".json");
}

int plan_load(struct plan *plan)
{
	char *text;
	size_t len;
	int error;

	if (!plan->file)
		plan->file = find_file();
	if (!plan->file)
		return plan_fail(plan, NULL,
				 "no coop.yaml, coop.yml or Procfile here; -f names another");
	error = plan_read_file(plan, plan->file, NULL, &text, &len);
	if (error)
		return error;
	return is_yaml(plan->file) ? yaml_read(plan, plan->file, text, len)
				   : procfile_read(plan, plan->file, text, len);
}
