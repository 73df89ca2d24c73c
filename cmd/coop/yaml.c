/* SPDX-License-Identifier: MIT */
/*
 * YAML by libfyaml: documents, their errors, and looks at nodes.
 */
#include "yaml.h"
#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const bool yaml_is_built = true;

int yaml_fail(struct yaml *y, const char *format, ...)
{
	char text[400];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	return plan_fail(y->plan, &y->place, "%s", text);
}

static void note_place(struct yaml *y, struct fy_node *node)
{
	struct fy_token *token = fy_node_is_scalar(node) ? fy_node_get_scalar_token(node) : NULL;
	const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;

	if (!mark)
		return;
	y->place.line = mark->line + 1;
	y->place.column = mark->column + 1;
}

struct fy_node *yaml_look(struct yaml *y, struct fy_node *node)
{
	if (--y->looks < 0) {
		yaml_fail(y, "too much in one file");
		return NULL;
	}
	if (!fy_node_is_alias(node)) {
		note_place(y, node);
		return node;
	}
	note_place(y, node);
	node = fy_node_resolve_alias(node);
	if (!node) {
		yaml_fail(y, "no such anchor");
		return NULL;
	}
	return yaml_look(y, node);
}

int yaml_text(struct yaml *y, struct fy_node *node, const char **ret_text)
{
	const char *text;
	size_t len;

	node = yaml_look(y, node);
	if (!node)
		return -EINVAL;
	if (fy_node_is_null(node))
		return yaml_fail(y, "%s has no value", y->key);
	if (!fy_node_is_scalar(node))
		return yaml_fail(y, "%s is not one value", y->key);
	text = fy_node_get_scalar(node, &len);
	if (!text)
		return yaml_fail(y, "%s cannot be read", y->key);
	if (memchr(text, '\0', len))
		return yaml_fail(y, "%s has a 0 byte", y->key);
	*ret_text = plan_copy(y->plan, text, len);
	return 0;
}

int yaml_bool(struct yaml *y, struct fy_node *node, bool *ret)
{
	const char *text;
	int error = yaml_text(y, node, &text);

	if (error)
		return error;
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return yaml_fail(y, "%s '%s' is not true or false", y->key, text);
	*ret = text[0] == 't';
	return 0;
}

int yaml_pairs(struct yaml *y, struct fy_node *map,
	       int (*each)(struct yaml *y, const char *key, struct fy_node *value))
{
	struct fy_node_pair *pair;
	void *at = NULL;

	map = yaml_look(y, map);
	if (!map)
		return -EINVAL;
	if (!fy_node_is_mapping(map))
		return yaml_fail(y, "%s is no mapping (KEY: VALUE)", y->key);
	while ((pair = fy_node_mapping_iterate(map, &at))) {
		const char *outer = y->key, *key;
		int error;

		if (!fy_node_pair_key(pair))
			return yaml_fail(y, "a key within %s is empty", outer);
		y->key = "a key";
		error = yaml_text(y, fy_node_pair_key(pair), &key);
		if (error)
			return error;
		y->key = key;
		error = each(y, key, fy_node_pair_value(pair));
		if (error)
			return error;
		y->key = outer;
	}
	return 0;
}

int yaml_items(struct yaml *y, struct fy_node *node,
	       int (*each)(struct yaml *y, struct fy_node *item))
{
	struct fy_node *item;
	void *at = NULL;

	node = yaml_look(y, node);
	if (!node)
		return -EINVAL;
	if (!fy_node_is_sequence(node))
		return each(y, node);
	while ((item = fy_node_sequence_iterate(node, &at))) {
		int error = each(y, item);

		if (error)
			return error;
	}
	return 0;
}

/* One value of an option, which is none of true and false where the option takes one. */
static int set_option(struct yaml *y, const struct option *option, struct plan_group *group,
		      const char *text)
{
	struct plan_place place = y->place;
	struct setting s = {
		.plan = y->plan, .task = y->task, .group = group, .option = option, .place = &place
	};
	const char *wrong = option_set(&s, text);

	if (!wrong)
		return 0;
	return text ? yaml_fail(y, "%s '%s' %s", y->key, text, wrong)
		    : yaml_fail(y, "%s %s", y->key, wrong);
}

int yaml_option(struct yaml *y, const struct option *option, struct plan_group *group,
		struct fy_node *value)
{
	const char *text;
	bool is_on;
	int error;

	value = yaml_look(y, value);
	if (!value)
		return -EINVAL;
	if (fy_node_is_sequence(value) && option->flags & OPTION_MANY) {
		struct fy_node *item;
		void *at = NULL;

		while ((item = fy_node_sequence_iterate(value, &at))) {
			error = yaml_text(y, item, &text);
			if (!error)
				error = set_option(y, option, group, text);
			if (error)
				return error;
		}
		return 0;
	}
	error = yaml_text(y, value, &text);
	if (error)
		return error;
	if (option->arg &&
	    !(option->flags & OPTION_OPTIONAL && (!strcmp(text, "true") || !strcmp(text, "false"))))
		return set_option(y, option, group, text);
	error = yaml_bool(y, value, &is_on);
	if (error || !is_on)
		return error;
	return set_option(y, option, group, NULL);
}

/* "ready_timeout" and "ready-timeout" are the same. */
static bool is_named(const char *key, const char *name)
{
	for (; *key && *name; key++, name++)
		if (*key != *name && !(*key == '_' && *name == '-'))
			return false;
	return *key == *name;
}

const struct option *yaml_find_option(const char *key, bool (*is_usable)(const struct option *))
{
	for (size_t i = 0; i < option_count; i++)
		if (is_usable(&option_table[i]) && is_named(key, option_table[i].name))
			return &option_table[i];
	return NULL;
}

static const char *with_underscores(struct plan *plan, const char *name)
{
	char *copy = plan_copy(plan, name, strlen(name));

	for (char *p = copy; *p; p++)
		if (*p == '-')
			*p = '_';
	return copy;
}

int yaml_unknown(struct yaml *y, const struct yaml_key *keys,
		 bool (*is_usable)(const struct option *))
{
	struct text_near near = { .wrong = with_underscores(y->plan, y->key) };
	const char *refused = yaml_compose_refused(y->key);

	if (refused)
		return yaml_fail(y, "%s %s", y->key, refused);
	for (; keys->name; keys++)
		text_near_offer(&near, keys->name);
	for (size_t i = 0; is_usable && i < option_count; i++)
		if (is_usable(&option_table[i]))
			text_near_offer(&near, with_underscores(y->plan, option_table[i].name));
	if (is_usable == option_in_task) { /* what a task executes is no option */
		text_near_offer(&near, "run");
		text_near_offer(&near, "command");
	}
	if (near.best)
		return yaml_fail(y, "unknown key '%s'; did you mean %s?", y->key, near.best);
	return yaml_fail(y, "unknown key '%s'", y->key);
}
