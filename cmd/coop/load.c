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

/* Below the folder of the file, as it would be with the file in the current one. */
static const char *below(struct plan *plan, const char *path, size_t folder)
{
	if (path && *path == '/')
		return path;
	return plan_format(plan, "%.*s%s", (int)folder, plan->file, path ? path : "");
}

/* What a --finally on the command line says is said here. */
static void move_finals(struct plan *plan, size_t folder, bool is_said_here)
{
	for (size_t i = is_said_here; i < plan->group_count && folder; i++)
		if (plan->groups[i]->finally_count)
			plan->groups[i]->finally_cwd = below(plan, NULL, folder);
}

/* Tasks of a file in another folder run there, and their paths begin there. */
static void move_tasks(struct plan *plan, size_t folder)
{
	for (size_t i = 0; i < plan->task_count && folder; i++) {
		struct plan_task *task = plan->tasks[i], moved = { 0 };
		const struct plan_env_file *files = task->env_files.items;

		task->cwd = below(plan, task->cwd, folder);
		for (size_t j = 0; j < task->env_files.count; j++)
			plan_env_file_add(plan, &moved, below(plan, files[j].path, folder),
					  &files[j].place);
		task->env_files = moved.env_files;
	}
}

int plan_load(struct plan *plan)
{
	bool is_said_here = plan->groups[0]->finally_count > 0; /* then not in the file */
	const char *slash;
	size_t len, folder;
	char *text;
	int error;

	if (!plan->file)
		plan->file = find_file();
	if (!plan->file)
		return plan_fail(plan, NULL,
				 "no coop.yaml, coop.yml or Procfile here; -f names another");
	error = plan_read_file(plan, plan->file, NULL, &text, &len);
	if (error)
		return error;
	error = is_yaml(plan->file) ? yaml_read(plan, plan->file, text, len)
				    : procfile_read(plan, plan->file, text, len);
	if (error)
		return error;
	slash = strrchr(plan->file, '/');
	folder = slash ? (size_t)(slash - plan->file) + 1 : 0;
	move_tasks(plan, folder);
	move_finals(plan, folder, is_said_here);
	return 0;
}
