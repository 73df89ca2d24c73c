/* SPDX-License-Identifier: MIT */
/*
 * Procfile, as foreman reads it: "name: command" lines. A name is letters, digits, _ and -; lines
 * that are blank or begin with # say nothing. foreman passes over whatever else there is; here it
 * is wrong, since it is a misspelt task far more often than a remark.
 *
 * Each task runs until it ends; as with foreman, the end of one with a failure ends all.
 */
#include "front.h"

#include <string.h>

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

static int read_line(struct plan *plan, const char *line, size_t len, struct plan_place place)
{
	struct plan_task task;
	size_t name = 0, end = len, at;

	while (end && strchr(" \t\r", line[end - 1]))
		end--;
	if (end == strspn(line, " \t\r") || line[strspn(line, " \t")] == '#' || end == 0)
		return 0;
	while (name < end && is_name_char(line[name]))
		name++;
	if (name == 0 || name == end || line[name] != ':') {
		place.column = (int)name + 1;
		return plan_fail(plan, &place, "not \"name: command\"");
	}
	at = name + 1;
	while (at < end && (line[at] == ' ' || line[at] == '\t'))
		at++;
	place.column = (int)at + 1;
	if (at == end)
		return plan_fail(plan, &place, "%.*s has no command", (int)name, line);
	plan_task_init(plan, &task);
	task.name = plan_copy(plan, line, name);
	place.column = 1;
	if (plan_name_wrong(task.name))
		return plan_fail(plan, &place, "the name %s %s", task.name,
				 plan_name_wrong(task.name));
	task.command = plan_command_of(plan, plan_copy(plan, line + at, end - at));
	task.place = place;
	plan_task_add(plan, &task);
	return 0;
}

int procfile_read(struct plan *plan, const char *name, const char *text, size_t len)
{
	struct plan_place place = { .file = name };
	const char *end = text + len;

	while (text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		int error;

		if (!stop)
			stop = end;
		place.line++;
		error = read_line(plan, plan_copy(plan, text, (size_t)(stop - text)),
				  (size_t)(stop - text), place);
		if (error)
			return error;
		text = stop + 1;
	}
	if (plan->task_count == 0) {
		place.line = 0;
		return plan_fail(plan, &place, "no task in it");
	}
	return 0;
}
