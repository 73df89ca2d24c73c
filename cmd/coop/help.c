/* SPDX-License-Identifier: MIT */
/*
 * coop help, coop help VERB, coop version: printed from the tables.
 */
#include "option.h"
#include "text.h"
#include "verbs.h"

#include <coop/version.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { COLUMN = 26, WIDTH_MIN = 50, WIDTH_MAX = 100, WIDTH_USUAL = 80 };

/* How wide the text may be: COLUMNS, the terminal, or the usual. */
static int find_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	long width = 0;

	if (!columns || text_number(columns, 1, 10000, &width)) {
		width = WIDTH_USUAL;
		if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
			width = size.ws_col;
	}
	return width < WIDTH_MIN ? WIDTH_MIN : width > WIDTH_MAX ? WIDTH_MAX : (int)width;
}

/* Words of a text, filled; `at` is the column that has been reached, `indent` where lines begin. */
static void print_filled(const char *text, int at, int indent, int width)
{
	while (*text) {
		int len = (int)strcspn(text, " ");

		if (at > indent && at + 1 + len > width) {
			printf("\n%*s", indent, "");
			at = indent;
		} else if (at > indent) {
			putchar(' ');
			at++;
		}
		printf("%.*s", len, text);
		at += len;
		text += len + (text[len] == ' ');
	}
	putchar('\n');
}

/* "  -j, --jobs N" */
static int print_names(const struct option *option)
{
	int used = option->letter ? printf("  -%c, --%s", option->letter, option->name)
				  : printf("      --%s", option->name);

	if (!option->arg)
		return used;
	if (option->flags & OPTION_OPTIONAL)
		return used + printf("[=%s]", option->arg);
	return used + printf(" %s", option->arg);
}

static void print_option(const struct option *option, int width)
{
	int used = print_names(option);
	char choices[80] = "";

	if (used >= COLUMN - 1)
		printf("\n%*s", COLUMN, "");
	else
		printf("%*s", COLUMN - used, "");
	if (option->choices) {
		snprintf(choices, sizeof choices, "%s.", option->choices);
		print_filled(choices, COLUMN, COLUMN, width);
		printf("%*s", COLUMN, "");
	}
	print_filled(option->help, COLUMN, COLUMN, width);
}

/* The options of a verb on one topic; `is_task`: those of tasks, or those of the whole. */
static void print_topic(enum plan_verb verb, enum option_topic topic, int width)
{
	bool is_first = true;

	for (size_t i = 0; i < option_count; i++) {
		const struct option *option = &option_table[i];

		if (option->topic != topic || !(option->verbs >> verb & 1))
			continue;
		if (is_first)
			printf("\n%s\n", topic_titles[topic]);
		is_first = false;
		print_option(option, width);
	}
}

static void print_verb(enum plan_verb verb, int width)
{
	const struct verb *v = &verb_table[verb];

	printf("coop %s%s%s\n\n", v->name, *v->usage ? " " : "", v->usage);
	print_filled(v->help, 0, 0, width);
	if (v->text) {
		putchar('\n');
		print_filled(v->text, 0, 0, width);
	}
	for (int topic = 0; topic < TOPICS; topic++)
		print_topic(verb, (enum option_topic)topic, width);
}

static void print_overview(int width)
{
	puts("coop VERB [OPTIONS] ...\n");
	print_filled("Run commands as a tree that leaves nothing behind.", 0, 0, width);
	putchar('\n');
	for (int verb = 0; verb < VERBS; verb++) {
		printf("  %-10s", verb_table[verb].name);
		print_filled(verb_table[verb].help, 12, 12, width);
	}
	puts("\ncoop help VERB explains a verb with its options.");
}

int verb_help(struct plan *plan)
{
	struct text_near near = { 0 };
	int width = find_width();
	enum plan_verb verb;

	if (plan->words.count == 0) {
		print_overview(width);
		return 0;
	}
	verb = verb_find(plan->words.items[0]);
	if (verb < VERBS) {
		print_verb(verb, width);
		return 0;
	}
	near.wrong = plan->words.items[0];
	for (int i = 0; i < VERBS; i++)
		text_near_offer(&near, verb_table[i].name);
	plan_fail(plan, NULL, "no verb '%s'; %s%s%s", near.wrong,
		  near.best ? "did you mean " : "see coop help", near.best ? near.best : "",
		  near.best ? "?" : "");
	fprintf(stderr, "%s\n", plan->error);
	return STATUS_OWN;
}

int verb_version(struct plan *plan)
{
	(void)plan;
	printf("coop %s (%s YAML)\n", COOP_VERSION_TEXT, yaml_is_built ? "with" : "without");
	return 0;
}
