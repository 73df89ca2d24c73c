/* SPDX-License-Identifier: MIT */
/*
 * gen man FILE | bash | zsh | fish | schema: the manual page, the completions, and the JSON schema
 * of coop.yaml, from the tables.
 *
 * A program of the build. The manual page is FILE, where the lines @VERBS@ and @OPTIONS@ stand for
 * what the tables say.
 */
#include "gen.h"
#include "option.h"

#include <stdlib.h>
#include <string.h>

/* Where a sentence ends, or the text. */
static const char *sentence_end(const char *text)
{
	for (; *text; text++)
		if (text[0] == '.' && text[1] == ' ' && text[2] >= 'A' && text[2] <= 'Z')
			return text + 1;
	return text;
}

/* Text for mdoc: each sentence begins a line, and lines are short. */
static void man_text(const char *text)
{
	int column = 0;

	for (const char *end = sentence_end(text); *text; text += *text == ' ') {
		int len = (int)strcspn(text, " ");

		if (column && (text > end || column + 1 + len > 78)) {
			putchar('\n');
			column = 0;
		}
		if (text > end)
			end = sentence_end(text);
		column += printf("%s%s%.*s", column ? " " : "", strchr(".'", *text) ? "\\&" : "",
				 len, text);
		text += len;
	}
	putchar('\n');
}

static void man_verbs(void)
{
	puts(".Bl -tag -width Ds");
	for (int verb = 0; verb < VERBS; verb++) {
		const struct verb *v = &verb_table[verb];

		printf(".It Cm %s", v->name);
		if (*v->usage)
			printf(" Li \"%s\"", v->usage);
		putchar('\n');
		man_text(v->help);
		if (v->text)
			man_text(v->text);
	}
	puts(".El");
}

/* In which verbs an option exists. */
static void man_where(const struct option *option)
{
	puts("Of");
	for (int verb = 0; verb < VERBS; verb++) {
		uint32_t rest = option->verbs >> verb;

		if (rest & 1)
			printf(".Cm %s%s\n", verb_table[verb].name, rest > 1 ? " ," : " .");
	}
}

static void man_option(const struct option *option)
{
	printf(".It ");
	if (option->letter)
		printf("Fl %c , ", option->letter);
	printf("Fl -%s", option->name);
	if (option->arg && option->flags & OPTION_OPTIONAL)
		printf(" Ns Op = Ns Ar %s", option->arg);
	else if (option->arg)
		printf(" Ar %s", option->arg);
	putchar('\n');
	if (option->choices)
		printf(".Li %s .\n", option->choices);
	man_text(option->help);
	man_where(option);
}

static void man_options(void)
{
	for (int topic = 0; topic < TOPICS; topic++) {
		printf(".Ss %s\n.Bl -tag -width Ds\n", topic_titles[topic]);
		for (size_t i = 0; i < option_count; i++)
			if ((int)option_table[i].topic == topic)
				man_option(&option_table[i]);
		puts(".El");
	}
}

static int man(const char *path)
{
	char line[1000];
	FILE *in = fopen(path, "re");

	if (!in)
		return 1;
	while (fgets(line, sizeof line, in)) {
		if (strcmp(line, "@VERBS@\n") == 0)
			man_verbs();
		else if (strcmp(line, "@OPTIONS@\n") == 0)
			man_options();
		else
			fputs(line, stdout);
	}
	fclose(in);
	return 0;
}

/* How the value of an option can be completed. */
enum value { VALUE_NONE, VALUE_CHOICE, VALUE_FILE, VALUE_DIR, VALUE_COMMAND, VALUE_OTHER };

static enum value value_of(const struct option *option)
{
	if (!option->arg)
		return VALUE_NONE;
	if (option->choices)
		return VALUE_CHOICE;
	if (strcmp(option->arg, "FILE") == 0 || strcmp(option->arg, "PATH") == 0)
		return VALUE_FILE;
	if (strcmp(option->arg, "DIR") == 0)
		return VALUE_DIR;
	return strcmp(option->arg, "COMMAND") == 0 ? VALUE_COMMAND : VALUE_OTHER;
}

static void print_words(const char *choices)
{
	for (; *choices; choices++)
		putchar(*choices == '|' ? ' ' : *choices);
}

/* The first sentence of a help text, for the inside of single quotes; `escape` are characters that
 * get a backslash. */
static void print_first(const char *help, const char *escape)
{
	for (const char *p = help; *p && !(*p == '.' && (!p[1] || p[1] == ' ')); p++) {
		if (*p == '\'')
			fputs("'\\''", stdout);
		else if (strchr(escape, *p))
			printf("\\%c", *p);
		else
			putchar(*p);
	}
}

static void bash_options(enum plan_verb verb)
{
	printf("\t%s) words='--help", verb_table[verb].name);
	for (size_t i = 0; i < option_count; i++)
		if (option_table[i].verbs >> verb & 1)
			printf(" --%s", option_table[i].name);
	puts("' ;;");
}

/* What stands behind one option: a pattern of its names, and what may follow. */
static void bash_value(const struct option *option)
{
	static const char *const how[] = {
		[VALUE_FILE] = "-f", [VALUE_DIR] = "-d", [VALUE_COMMAND] = "-c"
	};
	enum value value = value_of(option);

	if (value == VALUE_NONE || option->flags & OPTION_OPTIONAL)
		return;
	for (int verb = 0; verb < VERBS; verb++) {
		if (!(option->verbs >> verb & 1))
			continue;
		printf("\t%s:--%s", verb_table[verb].name, option->name);
		if (option->letter)
			printf("|%s:-%c", verb_table[verb].name, option->letter);
		printf(") ");
		if (value == VALUE_CHOICE) {
			printf("COMPREPLY=($(compgen -W '");
			print_words(option->choices);
			printf("' -- \"$cur\")); ");
		} else if (value != VALUE_OTHER) {
			printf("COMPREPLY=($(compgen %s -- \"$cur\")); ", how[value]);
		}
		puts("return ;;");
	}
}

static void print_verbs(void)
{
	for (int verb = 0; verb < VERBS; verb++)
		printf("%s%s", verb ? " " : "", verb_table[verb].name);
}

static void bash(void)
{
	puts("# bash completion of coop; made from its table of options.\n"
	     "_coop()\n{\n"
	     "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
	     "\tlocal verb=${COMP_WORDS[1]} words=\n"
	     "\tCOMPREPLY=()\n"
	     "\tif ((COMP_CWORD == 1)) || [[ $verb == help ]]; then");
	printf("\t\tCOMPREPLY=($(compgen -W '");
	print_verbs();
	puts("' -- \"$cur\"))\n\t\treturn\n\tfi\n\tcase $verb:$prev in");
	for (size_t i = 0; i < option_count; i++)
		bash_value(&option_table[i]);
	puts("\tesac\n\t[[ $cur == -* ]] || return\n\tcase $verb in");
	for (int verb = 0; verb < VERBS; verb++)
		bash_options((enum plan_verb)verb);
	puts("\tesac\n"
	     "\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	     "}\n"
	     "complete -o default -F _coop coop");
}

/* One of its names, with what stands between that and the value. */
static void zsh_name(const struct option *option, const char *name, const char *between)
{
	enum value value = value_of(option);
	bool is_many = option->flags & OPTION_MANY || option->scope == SCOPE_TASK;

	printf("\t\t\t'%s%s%s[", is_many ? "*" : "", name, option->arg ? between : "");
	print_first(option->help, "[]:\\");
	printf("]");
	if (option->arg) {
		printf("%s", option->flags & OPTION_OPTIONAL ? "::" : ":");
		print_first(option->arg, "[]:\\");
		if (value == VALUE_CHOICE) {
			printf(":(");
			print_words(option->choices);
			printf(")");
		} else {
			printf("%s", value == VALUE_FILE      ? ":_files"
				     : value == VALUE_DIR     ? ":_files -/"
				     : value == VALUE_COMMAND ? ":_command_names"
							      : ": ");
		}
	}
	puts("' \\");
}

static void zsh_option(const struct option *option)
{
	char name[48];

	snprintf(name, sizeof name, "--%s", option->name);
	zsh_name(option, name, option->flags & OPTION_OPTIONAL ? "=-" : "=");
	snprintf(name, sizeof name, "-%c", option->letter);
	if (option->letter)
		zsh_name(option, name, "+");
}

static void zsh(void)
{
	puts("#compdef coop\n# zsh completion of coop; made from its table of options.\n"
	     "_coop()\n{\n\tlocal -a verbs\n\tverbs=(");
	for (int verb = 0; verb < VERBS; verb++) {
		printf("\t\t'%s:", verb_table[verb].name);
		print_first(verb_table[verb].help, ":\\");
		puts("'");
	}
	puts("\t)\n\tif ((CURRENT == 2)) || [[ $words[2] == help ]]; then\n"
	     "\t\t_describe verb verbs\n\t\treturn\n\tfi\n"
	     "\tlocal verb=$words[2]\n\tshift words\n\t((CURRENT--))\n\tcase $verb in");
	for (int verb = 0; verb < VERBS; verb++) {
		printf("\t%s)\n\t\t_arguments \\\n", verb_table[verb].name);
		for (size_t i = 0; i < option_count; i++)
			if (option_table[i].verbs >> verb & 1)
				zsh_option(&option_table[i]);
		printf("\t\t\t'--help[explain this verb]' \\\n\t\t\t'*::word:%s'\n\t\t;;\n",
		       verb == VERB_EXEC ? "_normal" : "_files");
	}
	puts("\tesac\n}\n_coop \"$@\"");
}

static void fish_option(const struct option *option)
{
	enum value value = value_of(option);

	printf("complete -c coop -n '__fish_seen_subcommand_from");
	for (int verb = 0; verb < VERBS; verb++)
		if (option->verbs >> verb & 1)
			printf(" %s", verb_table[verb].name);
	printf("' -l %s", option->name);
	if (option->letter)
		printf(" -s %c", option->letter);
	if (value == VALUE_CHOICE) {
		printf(" -x -a '");
		print_words(option->choices);
		printf("'");
	} else if (value == VALUE_DIR) {
		printf(" -x -a '(__fish_complete_directories)'");
	} else if (value == VALUE_FILE) {
		printf(" -r");
	} else if (value != VALUE_NONE && !(option->flags & OPTION_OPTIONAL)) {
		printf(" -x");
	}
	printf(" -d '");
	for (const char *p = option->help; *p && !(*p == '.' && (!p[1] || p[1] == ' ')); p++)
		printf("%s%c", *p == '\'' || *p == '\\' ? "\\" : "", *p);
	puts("'");
}

static void fish(void)
{
	puts("# fish completion of coop; made from its table of options.");
	for (int verb = 0; verb < VERBS; verb++)
		printf("complete -c coop -n __fish_use_subcommand -f -a %s -d '%s'\n",
		       verb_table[verb].name, verb_table[verb].help);
	printf("complete -c coop -n '__fish_seen_subcommand_from help' -f -a '");
	print_verbs();
	puts("'");
	for (size_t i = 0; i < option_count; i++)
		fish_option(&option_table[i]);
}

int main(int argc, char **argv)
{
	int r = 0;

	if (argc == 3 && strcmp(argv[1], "man") == 0)
		r = man(argv[2]);
	else if (argc == 2 && strcmp(argv[1], "bash") == 0)
		bash();
	else if (argc == 2 && strcmp(argv[1], "zsh") == 0)
		zsh();
	else if (argc == 2 && strcmp(argv[1], "fish") == 0)
		fish();
	else if (argc == 2 && strcmp(argv[1], "schema") == 0)
		gen_schema();
	else
		r = 2;
	if (fflush(stdout) != 0 && r == 0)
		r = 1;
	if (r)
		fputs("gen man FILE | bash | zsh | fish | schema\n", stderr);
	return r;
}
