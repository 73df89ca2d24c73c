/* SPDX-License-Identifier: MIT */
/*
 * The command line.
 *
 * One pass from left to right. A task option is written to `next`, which begins as a copy of the
 * defaults and becomes a task when its command comes. No abbreviation is guessed: what is not in
 * the table is wrong, and the message names the nearest.
 */
#include "option.h"
#include "text.h"

#include <errno.h>
#include <string.h>

struct reader {
	struct plan *plan;
	int argc;
	char **argv;
	int at;                    /* the word that is read */
	int option_at;             /* the option that it belongs to */
	struct plan_task defaults; /* of every command */
	struct plan_task next;     /* of the next one */
	int first_option;          /* where the options of the next one begin; 0: none was given */
	bool has_command;          /* one has been read */
	bool is_all;               /* --all was given */
};

const struct option *option_find(const char *name, size_t len, enum plan_verb verb)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option *option = &option_table[i];

		if (strlen(option->name) == len && memcmp(option->name, name, len) == 0 &&
		    (verb == VERBS || option->verbs >> verb & 1))
			return option;
	}
	return NULL;
}

const struct option *option_letter(char letter, enum plan_verb verb)
{
	for (size_t i = 0; i < option_count; i++)
		if (option_table[i].letter == letter &&
		    (verb == VERBS || option_table[i].verbs >> verb & 1))
			return &option_table[i];
	return NULL;
}

enum plan_verb verb_find(const char *name)
{
	enum plan_verb verb = 0;

	while (verb < VERBS && strcmp(verb_table[verb].name, name) != 0)
		verb++;
	return verb;
}

bool option_in_task(const struct option *option)
{
	return option->scope == SCOPE_TASK && option->set && strcmp(option->name, "name") != 0;
}

bool option_in_group(const struct option *option)
{
	return option->scope == SCOPE_GROUP && option->verbs >> VERB_UP & 1;
}

/* Those of `up`, but for what is about one call. */
bool option_in_whole(const struct option *option)
{
	static const char *const not_here[] = { "file",           "dry-run", "control",
						"stdin-lifeline", "quiet",   "verbose" };

	if (option->scope == SCOPE_TASK || !(option->verbs >> VERB_UP & 1))
		return false;
	for (size_t i = 0; i < sizeof not_here / sizeof not_here[0]; i++)
		if (strcmp(option->name, not_here[i]) == 0)
			return false;
	return true;
}

bool option_given(const uint64_t given[2], const char *name)
{
	for (size_t i = 0; i < option_count; i++)
		if (strcmp(option_table[i].name, name) == 0 && given[i / 64] >> i % 64 & 1)
			return true;
	return false;
}

const char *option_set(const struct setting *s, const char *value)
{
	const char *wrong = s->option->set ? s->option->set(s, value) : NULL;
	uint64_t *given = s->option->scope == SCOPE_TASK ? s->task->given : s->plan->given;
	size_t number = (size_t)(s->option - option_table);

	if (!wrong)
		given[number / 64] |= UINT64_C(1) << number % 64;
	return wrong;
}

static const char *verb_name(const struct reader *r)
{
	return verb_table[r->plan->verb].name;
}

static struct plan_place here(int at)
{
	return (struct plan_place){ .line = at };
}

/* An option that the verb does not have: it is another verb's, or misspelt. */
static int unknown_option(struct reader *r, const char *name, size_t len)
{
	struct plan_place place = here(r->at);
	const struct option *other = option_find(name, len, VERBS);
	const char *text = plan_copy(r->plan, name, len);
	struct text_near near = { .wrong = text };
	enum plan_verb verb = 0;

	if (other) {
		while (!(other->verbs >> verb & 1))
			verb++;
		return plan_fail(r->plan, &place, "--%s is an option of %s", text,
				 verb_table[verb].name);
	}
	for (size_t i = 0; i < option_count; i++)
		if (option_table[i].verbs >> r->plan->verb & 1)
			text_near_offer(&near, option_table[i].name);
	text_near_offer(&near, "help");
	if (near.best)
		return plan_fail(r->plan, &place, "no option --%s; did you mean --%s?", text,
				 near.best);
	return plan_fail(r->plan, &place, "no option --%s; see coop help %s", text, verb_name(r));
}

static int unknown_letter(struct reader *r, char letter)
{
	struct plan_place place = here(r->at);

	return plan_fail(r->plan, &place, "no option -%c in '%s'; see coop help %s", letter,
			 r->argv[r->at], verb_name(r));
}

/* --all before the first command: what is given there is every command's. */
static int set_all(struct reader *r)
{
	struct plan_place place = here(r->at);

	if (r->has_command)
		return plan_fail(r->plan, &place, "--all has to stand before the first command");
	r->is_all = true;
	return 0;
}

static int apply(struct reader *r, const struct option *option, const char *value,
		 const char *written)
{
	struct plan_place place = here(r->at);
	struct setting s = { .plan = r->plan,
			     .task = &r->next,
			     .group = r->plan->groups[0],
			     .option = option,
			     .place = &place };
	const char *wrong;

	if (option->scope == SCOPE_TASK && !r->first_option)
		r->first_option = r->option_at;
	if (strcmp(option->name, "all") == 0)
		return set_all(r);
	wrong = option_set(&s, value);
	if (!wrong)
		return 0;
	if (value)
		return plan_fail(r->plan, &place, "%s '%s' %s", written, value, wrong);
	return plan_fail(r->plan, &place, "%s %s", written, wrong);
}

/* The word is an option of the verb, as it stands. */
static bool is_option(const struct reader *r, const char *word)
{
	if (word[0] == '-' && word[1] == '-' && word[2])
		return option_find(word + 2, strcspn(word + 2, "="), r->plan->verb) != NULL;
	return word[0] == '-' && word[1] && !word[2] &&
	       option_letter(word[1], r->plan->verb) != NULL;
}

/* Takes the next word as the value of an option. */
static int next_value(struct reader *r, const struct option *option, const char *written,
		      const char **ret_value)
{
	struct plan_place place = here(r->at);

	if (r->at + 1 >= r->argc)
		return plan_fail(r->plan, &place, "%s needs a value, %s", written, option->arg);
	if (is_option(r, r->argv[r->at + 1]))
		return plan_fail(r->plan, &place,
				 "%s needs a value, %s, but %s is an option; %s=VALUE takes any",
				 written, option->arg, r->argv[r->at + 1], written);
	*ret_value = r->argv[++r->at];
	return 0;
}

/* A value that may be missing is given by "="; a duration behind it would be the next command. */
static int check_behind(struct reader *r, const char *written)
{
	const char *next = r->at + 1 < r->argc ? r->argv[r->at + 1] : "";
	struct plan_place place = here(r->at + 1);
	int64_t ns;

	if (text_duration(next, &ns))
		return 0;
	return plan_fail(r->plan, &place, "%s %s: the value is a part of the word: %s=%s", written,
			 next, written, next);
}

static int read_long(struct reader *r, const char *word)
{
	size_t len = strcspn(word + 2, "=");
	const struct option *option = option_find(word + 2, len, r->plan->verb);
	const char *value = word[2 + len] ? word + 2 + len + 1 : NULL;
	const char *written;
	struct plan_place place = here(r->at);
	int error;

	if (!option)
		return unknown_option(r, word + 2, len);
	written = plan_format(r->plan, "--%s", option->name);
	if (value && !option->arg)
		return plan_fail(r->plan, &place, "%s takes no value", written);
	if (!value && option->arg) {
		error = option->flags & OPTION_OPTIONAL
				? check_behind(r, written)
				: next_value(r, option, written, &value);
		if (error)
			return error;
	}
	return apply(r, option, value, written);
}

/* -j8, -j 8, -kq */
static int read_letters(struct reader *r, const char *word)
{
	for (const char *p = word + 1; *p; p++) {
		const struct option *option = option_letter(*p, r->plan->verb);
		const char *written, *value = NULL;
		int error;

		if (!option)
			return unknown_letter(r, *p);
		written = plan_format(r->plan, "-%c", *p);
		if (option->arg && p[1]) {
			value = p + 1;
		} else if (option->arg) {
			error = next_value(r, option, written, &value);
			if (error)
				return error;
		}
		error = apply(r, option, value, written);
		if (error || option->arg)
			return error;
	}
	return 0;
}

/* What is one task's own goes to the first command only, also where --all makes defaults. */
static void make_defaults(struct reader *r)
{
	struct plan_task plain = r->defaults;

	r->defaults = r->next;
	r->defaults.name = plain.name;
	r->defaults.after = plain.after;
	r->defaults.after_count = plain.after_count;
	r->defaults.ready = plain.ready;
	r->defaults.is_main = plain.is_main;
	r->defaults.has_tty = plain.has_tty;
}

/* The command has come: `next` becomes a task. */
static int add_task(struct reader *r, struct plan_command command, int at)
{
	struct plan_place place = here(at);

	if (!command.text[strspn(command.text, " \t\n")])
		return plan_fail(r->plan, &place, "a command is empty");
	if (r->is_all && !r->has_command)
		make_defaults(r);
	r->next.command = command;
	r->next.place = place;
	plan_task_add(r->plan, &r->next);
	r->next = r->defaults;
	plan_task_unshare(&r->next);
	r->first_option = 0;
	r->has_command = true;
	return 0;
}

/* --argv WORD... ; */
static int read_argv(struct reader *r)
{
	struct plan_place place = here(r->at);
	int first = r->at + 1, end = first;

	while (end < r->argc && strcmp(r->argv[end], ";") != 0)
		end++;
	if (end == first)
		return plan_fail(r->plan, &place, "--argv has no words behind it");
	r->at = end;
	return add_task(r,
			plan_command_argv(r->plan, (const char *const *)r->argv + first,
					  (size_t)(end - first)),
			first);
}

static int wants_help(struct reader *r)
{
	r->plan->words = (struct plan_list){ 0 };
	plan_list_add(r->plan, &r->plan->words, verb_name(r));
	r->plan->verb = VERB_HELP;
	r->plan->task_count = 0;
	r->at = r->argc;
	return 0;
}

/* A word that begins with a dash. */
static int read_option(struct reader *r)
{
	const char *word = r->argv[r->at];

	r->option_at = r->at;
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		return wants_help(r);
	if (strcmp(word, "--argv") == 0 && r->plan->verb == VERB_RUN)
		return read_argv(r);
	return word[1] == '-' ? read_long(r, word) : read_letters(r, word);
}

/* Task options behind the last command belong to none, but for the limit of the whole. */
static int finish_run(struct reader *r)
{
	struct plan_place place = here(r->first_option);

	if (!r->has_command)
		return plan_fail(r->plan, NULL, "no command; see coop help run");
	if (!r->first_option)
		return 0;
	if (r->next.timeout_ns == r->defaults.timeout_ns ||
	    strncmp(r->argv[r->first_option], "--timeout", 9) != 0)
		return plan_fail(r->plan, &place, "%s stands behind the last command",
				 r->argv[r->first_option]);
	r->plan->deadline_ns = r->next.timeout_ns;
	r->plan->is_deadline_fixed = false;
	return 0;
}

static int read_run(struct reader *r)
{
	bool is_options = true;

	for (; r->at < r->argc; r->at++) {
		const char *word = r->argv[r->at];
		int error;

		if (is_options && strcmp(word, "--") == 0) {
			is_options = false;
			continue;
		}
		if (is_options && word[0] == '-' && word[1])
			error = read_option(r);
		else
			error = add_task(r, plan_command_of(r->plan, word), r->at);
		if (error)
			return error;
	}
	return r->plan->verb == VERB_HELP ? 0 : finish_run(r);
}

/* Options up to the first other word, or up to --. */
static int read_front(struct reader *r)
{
	for (; r->at < r->argc; r->at++) {
		const char *word = r->argv[r->at];
		int error;

		if (strcmp(word, "--") == 0) {
			r->at++;
			return 0;
		}
		if (word[0] != '-' || !word[1])
			return 0;
		error = read_option(r);
		if (error)
			return error;
	}
	return 0;
}

static int read_exec(struct reader *r)
{
	int error = read_front(r), first = r->at;

	if (error || r->plan->verb == VERB_HELP)
		return error;
	if (first >= r->argc)
		return plan_fail(r->plan, NULL, "no program; see coop help exec");
	return add_task(r,
			plan_command_argv(r->plan, (const char *const *)r->argv + first,
					  (size_t)(r->argc - first)),
			first);
}

/* ::: INPUT... or :::: FILE, from r->at on. */
static int read_inputs(struct reader *r)
{
	struct plan_map *map = &r->plan->map;
	struct plan_place place = here(r->at);

	map->input = INPUT_STDIN;
	if (r->at >= r->argc)
		return 0;
	if (strcmp(r->argv[r->at], "::::") == 0) {
		if (r->argc - r->at != 2)
			return plan_fail(r->plan, &place, ":::: needs one file behind it");
		map->file = r->argv[r->at + 1];
		map->input = strcmp(map->file, "-") == 0 ? INPUT_STDIN : INPUT_FILE;
		return 0;
	}
	map->input = INPUT_ARGS;
	map->args.items = (const char **)r->argv + r->at + 1;
	map->args.count = (size_t)(r->argc - r->at - 1);
	for (size_t i = 0; i < map->args.count; i++) {
		place.line++;
		if (strcmp(map->args.items[i], ":::") == 0 ||
		    strcmp(map->args.items[i], "::::") == 0)
			return plan_fail(r->plan, &place,
					 "a second list of inputs; there can be one");
	}
	return 0;
}

static bool is_inputs(const char *word)
{
	return strcmp(word, ":::") == 0 || strcmp(word, "::::") == 0;
}

static int read_map(struct reader *r)
{
	int error = read_front(r), first = r->at;
	struct plan_place place = here(first + 1);
	struct plan_command command;

	if (error || r->plan->verb == VERB_HELP)
		return error;
	while (r->at < r->argc && !is_inputs(r->argv[r->at]))
		r->at++;
	if (r->at == first)
		return plan_fail(r->plan, NULL, "no command; see coop help map");
	if (r->at - first > 1 && strpbrk(r->argv[first], " \t\n"))
		return plan_fail(r->plan, &place,
				 "'%s' is a line for sh, so '%s' belongs before it", r->argv[first],
				 r->argv[first + 1]);
	command = plan_command_argv(r->plan, (const char *const *)r->argv + first,
				    (size_t)(r->at - first));
	r->plan->map.is_shell = r->at - first == 1;
	r->plan->map.words = command.argv;
	if (r->plan->map.is_shell)
		command.text = r->argv[first];
	error = add_task(r, command, first);
	return error ? error : read_inputs(r);
}

/* Options and words in any order. */
static int read_mixed(struct reader *r)
{
	bool is_options = true;

	for (; r->at < r->argc; r->at++) {
		const char *word = r->argv[r->at];

		if (is_options && strcmp(word, "--") == 0) {
			is_options = false;
		} else if (is_options && word[0] == '-' && word[1]) {
			int error = read_option(r);

			if (error)
				return error;
		} else {
			plan_list_add(r->plan, &r->plan->words, word);
		}
	}
	return 0;
}

/* PIDs, and words where none are wanted. */
static int finish_words(struct reader *r)
{
	struct plan *plan = r->plan;
	struct plan_place place = here(2);
	size_t max =
		plan->verb == VERB_CHECK || plan->verb == VERB_DOCTOR || plan->verb == VERB_VERSION
			? 0
		: plan->verb == VERB_PS || plan->verb == VERB_TREE || plan->verb == VERB_HELP
			? 1
			: SIZE_MAX;
	long pid;

	if (plan->words.count > max)
		return plan_fail(plan, NULL, "one word too many: '%s'", plan->words.items[max]);
	if (plan->verb == VERB_RESTART && plan->words.count == 0)
		return plan_fail(plan, NULL, "no task; see coop help restart");
	if ((plan->verb == VERB_PS || plan->verb == VERB_TREE) && plan->words.count) {
		const char *wrong = text_number(plan->words.items[0], 1, INT_MAX, &pid);

		if (wrong)
			return plan_fail(plan, &place, "'%s' is no process id",
					 plan->words.items[0]);
		plan->pid = (int)pid;
	}
	return 0;
}

static int read_words(struct reader *r)
{
	int error = read_mixed(r);

	return error ? error : finish_words(r);
}

static int no_verb(struct plan *plan, const char *word)
{
	struct plan_place place = here(1);
	struct text_near near = { .wrong = word };

	if (!word)
		return plan_fail(plan, NULL, "no verb; run, map, exec, up, ...: see coop help");
	if (word[0] == '-')
		return plan_fail(plan, &place, "'%s' stands before the verb; see coop help", word);
	for (int verb = 0; verb < VERBS; verb++)
		text_near_offer(&near, verb_table[verb].name);
	if (near.best)
		return plan_fail(plan, &place, "no verb '%s'; did you mean %s?", word, near.best);
	return plan_fail(plan, &place, "no verb '%s'; coop run '%s' runs a command", word, word);
}

static enum plan_verb first_word(int argc, char **argv)
{
	static const char *const help[] = { "--help", "-h" }, *const version[] = { "--version",
										   "-V" };

	for (int i = 0; argc > 1 && i < 2; i++) {
		if (strcmp(argv[1], help[i]) == 0)
			return VERB_HELP;
		if (strcmp(argv[1], version[i]) == 0)
			return VERB_VERSION;
	}
	return argc > 1 ? verb_find(argv[1]) : VERBS;
}

int options_parse(int argc, char **argv, struct plan **ret_plan)
{
	enum plan_verb verb = first_word(argc, argv);
	struct reader r = { .argc = argc, .argv = argv, .at = 2 };

	r.plan = *ret_plan = plan_new(verb < VERBS ? verb : VERB_HELP);
	if (verb == VERBS)
		return no_verb(r.plan, argc > 1 ? argv[1] : NULL);
	r.plan->groups[0]->name = verb_name(&r);
	plan_task_init(r.plan, &r.defaults);
	r.next = r.defaults;
	switch (verb) {
	case VERB_RUN: return read_run(&r);
	case VERB_MAP: return read_map(&r);
	case VERB_EXEC: return read_exec(&r);
	default: return read_words(&r);
	}
}
