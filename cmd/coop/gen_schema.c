/* SPDX-License-Identifier: MIT */
/*
 * The JSON schema of coop.yaml, for editors: keys from the table of options, and compose's words.
 */
#include "gen.h"
#include "option.h"

#include <string.h>

/* Keys that are no options, and how their values look. */
struct key {
	const char *name, *form;
};

#define VALUE "\"type\": [\"string\", \"number\"]"
#define VALUES "\"oneOf\": [{ " VALUE " }, { \"type\": \"array\", \"items\": { " VALUE " } }]"

static const struct key task_keys[] = {
	{ "run", VALUES },
	{ "command", VALUES },
	{ "depends_on", "\"type\": [\"object\", \"array\", \"string\"]" },
	{ "environment", "\"type\": [\"object\", \"array\", \"string\"]" },
	{ "env", "\"type\": [\"object\", \"array\", \"string\"]" },
	{ "env_file", "\"type\": [\"array\", \"string\"]" },
	{ "working_dir", "\"type\": \"string\"" },
	{ "healthcheck", "\"type\": \"object\"" },
	{ "restart", "\"pattern\": \"^(no|always|on-failure(:[0-9]+)?|unless-stopped)$\"" },
	{ "stop_signal", VALUE },
	{ "stop_grace_period", "\"type\": \"string\"" },
	{ NULL, NULL },
};

static const struct key group_keys[] = {
	{ "timeout", VALUE },
	{ NULL, NULL },
};

#define MAP_OF(what) \
	"\"type\": \"object\", \"additionalProperties\": { \"$ref\": \"#/definitions/" what "\" }"

static const struct key whole_keys[] = {
	{ "tasks", MAP_OF("entry") },
	{ "services", MAP_OF("entry") },
	{ "groups", MAP_OF("group") },
	{ "defaults", "\"$ref\": \"#/definitions/task\"" },
	{ "version", VALUE },
	{ "name", "\"type\": \"string\"" },
	{ NULL, NULL },
};

/* What is in the tables is ASCII. */
static void print_text(const char *text)
{
	putchar('"');
	for (; *text; text++)
		printf("%s%c", *text == '"' || *text == '\\' ? "\\" : "", *text);
	putchar('"');
}

static const char *key_of(const char *name, char *buf, size_t size)
{
	snprintf(buf, size, "%s", name);
	for (char *p = buf; *p; p++)
		if (*p == '-')
			*p = '_';
	return buf;
}

static void print_choices(const char *choices)
{
	printf("\"enum\": [\"");
	for (; *choices; choices++)
		if (*choices == '|')
			printf("\", \"");
		else
			putchar(*choices);
	printf("\"]");
}

static void print_form(const struct option *option)
{
	if (option->choices)
		print_choices(option->choices);
	else if (!option->arg)
		printf("\"type\": \"boolean\"");
	else if (option->flags & OPTION_OPTIONAL)
		printf("\"type\": [\"boolean\", \"string\"]");
	else
		printf("%s", option->flags & OPTION_MANY ? VALUES : VALUE);
}

static bool is_key(const struct key *keys, const char *name)
{
	while (keys->name && strcmp(keys->name, name) != 0)
		keys++;
	return keys->name != NULL;
}

/* An object with these keys, and the options that may stand there; "x-..." is free. */
static void print_object(const struct key *keys, bool (*is_here)(const struct option *option),
			 const char *rest)
{
	const char *sep = "";
	char name[40];

	printf("\"type\": \"object\", \"additionalProperties\": false,\n"
	       "  \"patternProperties\": { \"^%s\": {} },\n  \"properties\": {",
	       rest);
	for (const struct key *key = keys; key->name; key++, sep = ",")
		printf("%s\n    \"%s\": { %s }", sep, key->name, key->form);
	for (size_t i = 0; i < option_count; i++) {
		const struct option *option = &option_table[i];

		if (!is_here(option) || is_key(keys, key_of(option->name, name, sizeof name)))
			continue;
		printf("%s\n    \"%s\": { \"description\": ", sep, name);
		print_text(option->help);
		printf(", ");
		print_form(option);
		printf(" }");
		sep = ",";
	}
	printf("\n  }");
}

void gen_schema(void)
{
	puts("{\n\"$schema\": \"http://json-schema.org/draft-07/schema#\",\n\"title\": "
	     "\"coop.yaml\",\n"
	     "\"definitions\": {\n\"entry\": { \"oneOf\": [{ \"$ref\": \"#/definitions/task\" },\n"
	     "  { \"type\": \"string\" }, { \"type\": \"array\", \"items\": { \"type\": \"string\" "
	     "} }] },\n"
	     "\"task\": {");
	print_object(task_keys, option_in_task, "(x-|<<$)");
	printf("\n},\n\"group\": { ");
	print_object(group_keys, option_in_group, "x-");
	printf("\n}\n},\n");
	print_object(whole_keys, option_in_whole, "x-");
	puts("\n}");
}
