/* SPDX-License-Identifier: MIT */
/*
 * What a file may hold: `tasks` (or compose's `services`), `defaults` for all of them, `groups`
 * with a policy each, and options of the whole. What was said on the command line is not set
 * again.
 */
#include "utf8.h"
#include "yaml.h"

#include <errno.h>
#include <string.h>

/* timeout is of a group here, and of a task or the whole elsewhere. */
static int read_group_timeout(struct yaml *y, struct fy_node *value)
{
	struct option option = *option_find("timeout", 7, VERB_UP);
	const char *text, *wrong;
	struct setting s = { .plan = y->plan, .group = y->part, .option = &option };
	int error = yaml_text(y, value, &text);

	if (error)
		return error;
	option.scope = SCOPE_GROUP;
	option.offset = offsetof(struct plan_group, timeout_ns);
	wrong = option.set(&s, text);
	return wrong ? yaml_fail(y, "%s '%s' %s", y->key, text, wrong) : 0;
}

static int read_group_pair(struct yaml *y, const char *key, struct fy_node *value)
{
	static const struct yaml_key keys[] = { { "timeout", read_group_timeout }, { NULL, NULL } };
	const struct option *option = yaml_find_option(key, option_in_group);

	if (strcmp(key, "timeout") == 0)
		return read_group_timeout(y, value);
	if (option)
		return yaml_option(y, option, y->part, value);
	return yaml_unknown(y, keys, option_in_group);
}

static int read_group(struct yaml *y, const char *path, struct fy_node *value)
{
	struct plan_group *group;

	if (!*path)
		return yaml_fail(y, "the name of a group is empty");
	group = plan_group_at(y->plan, path, &y->place);
	if (!group)
		return -EINVAL;
	y->part = group;
	return yaml_pairs(y, value, read_group_pair);
}

static int read_groups(struct yaml *y, struct fy_node *value)
{
	return yaml_pairs(y, value, read_group);
}

static int read_tasks(struct yaml *y, struct fy_node *value)
{
	return yaml_pairs(y, value, yaml_task);
}

static int read_services(struct yaml *y, struct fy_node *value)
{
	int error;

	y->is_compose = true;
	error = yaml_pairs(y, value, yaml_task);
	y->is_compose = false;
	return error;
}

/* They have been read before all else. */
static int pass(struct yaml *y, struct fy_node *value)
{
	(void)y;
	(void)value;
	return 0;
}

static int read_name(struct yaml *y, struct fy_node *value)
{
	const char *text;

	return yaml_text(y, value, &text);
}

static const struct yaml_key whole_keys[] = {
	{ "tasks", read_tasks }, { "services", read_services }, { "groups", read_groups },
	{ "defaults", pass },    { "version", read_name },      { "name", read_name },
	{ NULL, NULL },
};

static int read_pair(struct yaml *y, const char *key, struct fy_node *value)
{
	const struct option *option;

	if (strncmp(key, "x-", 2) == 0)
		return 0;
	for (const struct yaml_key *known = whole_keys; known->name; known++)
		if (strcmp(known->name, key) == 0)
			return known->read(y, value);
	option = yaml_find_option(key, option_in_whole);
	if (!option)
		return yaml_unknown(y, whole_keys, option_in_whole);
	if (y->given[(option - option_table) / 64] >> (option - option_table) % 64 & 1)
		return 0;
	return yaml_option(y, option, y->plan->groups[0], value);
}

/* defaults: before the tasks, wherever they stand. */
static int read_defaults(struct yaml *y, const char *key, struct fy_node *value)
{
	struct plan_place place = y->place;
	int error;

	if (strcmp(key, "defaults") != 0)
		return 0;
	y->task = &y->defaults;
	error = yaml_task_pairs(y, value);
	y->task = NULL;
	if (error)
		return error;
	y->place = place;
	if (y->has_command || y->defaults.after_count || y->defaults.is_main || y->defaults.has_tty)
		return yaml_fail(
			y,
			"defaults hold what only one task can have (a command, after, main, tty)");
	return 0;
}

static int read_document(struct yaml *y, struct fy_document *document)
{
	struct fy_node *root = fy_document_root(document);
	int error;

	y->place.line = y->place.column = 0;
	if (!root || fy_node_is_null(root))
		return yaml_fail(y, "no task in it");
	y->key = "the file";
	error = yaml_pairs(y, root, read_defaults);
	if (!error)
		error = yaml_pairs(y, root, read_pair);
	if (!error && y->plan->task_count == 0) {
		y->place.line = y->place.column = 0;
		return yaml_fail(y, "no task in it");
	}
	return error;
}

/* The first of the parser's errors. */
static int parse_failed(struct yaml *y, struct fy_diag *diag)
{
	struct fy_diag_error *error;
	void *at = NULL;

	while ((error = fy_diag_errors_iterate(diag, &at))) {
		if (error->type < FYET_ERROR)
			continue;
		y->place.line = error->line;
		y->place.column = error->column;
		return yaml_fail(y, "%s", error->msg);
	}
	return yaml_fail(y, "not YAML");
}

/* The one document of the file. */
static int read_only(struct yaml *y, struct fy_parser *parser, struct fy_diag *diag)
{
	struct fy_document *document = fy_parse_load_document(parser), *second;
	int error;

	if (!document && fy_diag_got_error(diag))
		return parse_failed(y, diag);
	if (!document)
		return yaml_fail(y, "no task in it");
	error = read_document(y, document);
	second = error ? NULL : fy_parse_load_document(parser);
	if (!error && !second && fy_diag_got_error(diag))
		error = parse_failed(y, diag);
	if (second)
		y->place.line = y->place.column = 0;
	if (second)
		error = yaml_fail(y, "a second document; there can be one");
	fy_document_destroy(second);
	fy_document_destroy(document);
	return error;
}

/* libfyaml does not come back from some bytes that are no UTF-8. */
static int check_text(struct yaml *y, const char *text)
{
	uint32_t c;
	size_t len;

	y->place.line = y->place.column = 1;
	for (; *text; text += len) {
		len = utf8_char(text, &c);
		if (len == 0)
			return yaml_fail(y, "not UTF-8");
		if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
			return yaml_fail(y, "a control character");
		y->place.column = c == '\n' ? 1 : y->place.column + 1;
		y->place.line += c == '\n';
	}
	y->place.line = y->place.column = 0;
	return 0;
}

int yaml_read(struct plan *plan, const char *name, const char *text, size_t len)
{
	struct yaml y = {
		.plan = plan, .file = name, .place = { .file = name }, .looks = YAML_LOOKS_MAX
	};
	struct fy_diag_cfg diag_cfg;
	struct fy_parse_cfg cfg = { .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG };
	struct fy_parser *parser;
	int error;

	if (check_text(&y, text) < 0)
		return -EINVAL;
	fy_diag_cfg_default(&diag_cfg);
	diag_cfg.fp = NULL;
	cfg.diag = fy_diag_create(&diag_cfg);
	if (!cfg.diag)
		return plan_fail(plan, NULL, "out of memory");
	fy_diag_set_collect_errors(cfg.diag, true);
	plan_task_init(plan, &y.defaults);
	memcpy(y.given, plan->given, sizeof y.given);
	parser = fy_parser_create(&cfg);
	if (!parser || fy_parser_set_string(parser, text, len) < 0)
		error = plan_fail(plan, NULL, "out of memory");
	else
		error = read_only(&y, parser, cfg.diag);
	fy_parser_destroy(parser);
	fy_diag_destroy(cfg.diag);
	return error;
}
