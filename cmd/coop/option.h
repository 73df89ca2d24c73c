/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The table of verbs and the table of options. Everything that names an option is made from these:
 * the parser, --help, the manual page, the completions, and the keys of coop.yaml.
 */

#include "front.h"

/* One value on its way into a plan. */
struct setting {
	struct plan *plan;
	struct plan_task *task;   /* whose option it is; NULL for the whole job */
	struct plan_group *group; /* where the option is a group's */
	const struct option *option;
	const struct plan_place *place;
};

/* What an option is about. */
enum option_scope { SCOPE_PLAN, SCOPE_GROUP, SCOPE_TASK };

enum option_flags {
	OPTION_OWN = 1,      /* of one task only: never a default of all */
	OPTION_OPTIONAL = 2, /* its value may be missing; it is given by "=" only */
	OPTION_MANY = 4,     /* adds to what was given before */
};

enum option_topic {
	TOPIC_TASK,
	TOPIC_START,
	TOPIC_FAIL,
	TOPIC_STOP,
	TOPIC_RUN,
	TOPIC_INPUT,
	TOPIC_OUTPUT,
	TOPIC_OTHER,
	TOPICS,
};

struct option {
	const char *name;
	char letter; /* 0: none */
	const char *arg;
	uint32_t verbs; /* 1 << enum plan_verb */
	enum option_scope scope;
	unsigned flags;
	enum option_topic topic;
	/* NULL, or what is wrong with the value. `value` is NULL for what has none. */
	const char *(*set)(const struct setting *s, const char *value);
	size_t offset;       /* of what the setter writes, in the struct of the scope */
	const char *choices; /* "a|b|c", in the order of the enum */
	const char *help;
};

struct verb {
	const char *name;
	const char *usage; /* behind "coop NAME" */
	const char *help;  /* one line */
	const char *text;  /* more, as paragraphs of one line each; for help and the manual */
};

extern const struct option option_table[];
extern const size_t option_count;
extern const struct verb verb_table[VERBS];
extern const char *const topic_titles[TOPICS];

/* By the long name (`len` bytes), by the letter; of the verb, or of any where verb is VERBS. */
const struct option *option_find(const char *name, size_t len, enum plan_verb verb);
const struct option *option_letter(char letter, enum plan_verb verb);

/* Whether it may stand in a file: for a task, for a group, for the whole. */
bool option_in_task(const struct option *option);
bool option_in_group(const struct option *option);
bool option_in_whole(const struct option *option);

/* VERBS where there is none. */
enum plan_verb verb_find(const char *name);

/* Sets it, and notes that it was given. NULL, or what is wrong with the value. */
const char *option_set(const struct setting *s, const char *value);
bool option_given(const uint64_t given[2], const char *name);

/* Reads the command line: 0, or -EINVAL with (*ret_plan)->error. There is always a plan. */
int options_parse(int argc, char **argv, struct plan **ret_plan);

/* MAKEFLAGS, as make hands it to a recipe that it calls recursive. */
void jobserver_parse(struct plan *plan, const char *makeflags);
/* Before anything is opened: whether the descriptors are make's. */
void jobserver_look(struct plan *plan);
