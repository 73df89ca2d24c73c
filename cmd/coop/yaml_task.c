/* SPDX-License-Identifier: MIT */
/*
 * One task of a file. Its keys are the task options, with _ for -, and a few of compose's words;
 * `run` or `command` is what it executes, and may stand alone in the place of the whole.
 */
#include "yaml.h"

#include <errno.h>
#include <string.h>

static int read_words(struct yaml *y, struct fy_node *value, struct plan_command *ret_command)
{
	struct plan_list words = { 0 };
	struct fy_node *item;
	void *at = NULL;
	bool is_line = false; /* of a test: [CMD-SHELL, LINE] */

	while ((item = fy_node_sequence_iterate(value, &at))) {
		const char *text;
		int error = yaml_text(y, item, &text);

		if (!error)
			error = yaml_compose_dollars(y, is_line, &text);
		if (error)
			return error;
		plan_list_add(y->plan, &words, text);
		is_line = words.count == 1 && strcmp(text, "CMD-SHELL") == 0;
	}
	if (words.count == 0 || !*words.items[0])
		return yaml_fail(y, "%s is empty", y->key);
	*ret_command = plan_command_argv(y->plan, words.items, words.count);
	return 0;
}

int yaml_command(struct yaml *y, struct fy_node *value, struct plan_command *ret_command)
{
	const char *text;
	int error;

	value = yaml_look(y, value);
	if (!value)
		return -EINVAL;
	if (fy_node_is_sequence(value))
		return read_words(y, value, ret_command);
	if (fy_node_is_mapping(value))
		return yaml_fail(y, "%s is neither a line nor a list of words", y->key);
	error = yaml_text(y, value, &text);
	if (!error)
		error = yaml_compose_dollars(y, true, &text);
	if (error)
		return error;
	if (!text[strspn(text, " \t\n")])
		return yaml_fail(y, "%s is empty", y->key);
	*ret_command = plan_command_of(y->plan, text);
	return 0;
}

static int read_command(struct yaml *y, struct fy_node *value)
{
	if (y->has_command)
		return yaml_fail(y, "a second command; take one of run and command");
	y->has_command = true;
	return yaml_command(y, value, &y->task->command);
}

static const struct yaml_key own_keys[] = {
	{ "run", read_command },
	{ "command", read_command },
	{ NULL, NULL },
};

static const struct yaml_key *find_key(const struct yaml_key *keys, const char *key)
{
	while (keys->name && strcmp(keys->name, key) != 0)
		keys++;
	return keys->name ? keys : NULL;
}

/* A key that has been set by the task itself is not set by what is merged into it. */
static int merge_pair(struct yaml *y, const char *key, struct fy_node *value)
{
	for (size_t i = 0; i < y->seen.count; i++)
		if (strcmp(y->seen.items[i], key) == 0)
			return 0;
	return yaml_task_pair(y, key, value);
}

static int merge_item(struct yaml *y, struct fy_node *item)
{
	return yaml_pairs(y, item, merge_pair);
}

/* "<<" comes last, wherever it stands: what the task has itself is noted, the merge kept. */
int yaml_task_pair(struct yaml *y, const char *key, struct fy_node *value)
{
	const struct yaml_key *known = find_key(own_keys, key);
	const struct option *option;

	if (strcmp(key, "<<") == 0) {
		y->merge = value;
		return 0;
	}
	if (strncmp(key, "x-", 2) == 0)
		return 0;
	plan_list_add(y->plan, &y->seen, key);
	if (!known)
		known = find_key(yaml_compose_keys, key);
	if (known)
		return known->read(y, value);
	option = yaml_find_option(key, option_in_task);
	if (option)
		return yaml_option(y, option, NULL, value);
	return yaml_unknown(y, yaml_compose_keys, option_in_task);
}

int yaml_task_pairs(struct yaml *y, struct fy_node *map)
{
	int error;

	y->seen = (struct plan_list){ 0 };
	y->merge = NULL;
	y->has_command = false;
	error = yaml_pairs(y, map, yaml_task_pair);
	while (!error && y->merge) {
		struct fy_node *merge = y->merge;

		y->merge = NULL;
		error = yaml_items(y, merge, merge_item);
	}
	return error;
}

static int read_one(struct yaml *y, struct fy_node *value)
{
	struct plan_place place = y->place;
	const char *name = y->key;
	int error;

	value = yaml_look(y, value);
	if (!value)
		return -EINVAL;
	y->has_command = false;
	if (!fy_node_is_mapping(value))
		return read_command(y, value);
	error = yaml_task_pairs(y, value);
	if (error || y->has_command)
		return error;
	y->place = place;
	return yaml_fail(y, "%s has no command", name);
}

int yaml_task(struct yaml *y, const char *name, struct fy_node *value)
{
	struct plan_task task = y->defaults;
	struct plan_place place = y->place;
	const char *wrong = plan_name_wrong(name);
	int error;

	if (wrong)
		return yaml_fail(y, "the name '%s' %s", name, wrong);
	plan_task_unshare(&task);
	task.name = name;
	task.place = place;
	y->task = &task;
	error = read_one(y, value);
	y->task = NULL;
	if (!error)
		plan_task_add(y->plan, &task);
	return error;
}
