/* SPDX-License-Identifier: MIT */
/* Scenario programs as text, and as a tree of checked operations. */
#ifndef SCENARIO_PARSE_H
#define SCENARIO_PARSE_H

#include "forms.h"

#include <stdbool.h>
#include <stdint.h>

/* The largest count. */
#define COUNT_MAX INT64_C(1000000000000000)
/* The largest time in milliseconds: 126 years. Coop's clock, in nanoseconds, ends after 146. */
#define TIME_MAX INT64_C(4000000000000)
/* User errors are 1 to this. */
#define USER_ERROR_MAX 99
/* In the place of a user error, or of a deadline. */
#define ANY (-1)
#define NONE (-1)

enum op_kind {
	OP_NOTE,
	OP_TIME,
	OP_SLEEP,
	OP_CHECKPOINT,
	OP_FAIL,
	OP_GROUP,
	OP_SPAWN,
	OP_START,
	OP_STARTED,
	OP_SCOPE,
	OP_FAIL_AFTER,
	OP_CANCEL,
	OP_DEADLINE,
	OP_SHIELD,
	OP_TRY,
	OP_FINALLY,
	OP_SWALLOW,
	OP_REPEAT,
};

struct op;

/* Operations in order. */
struct body {
	struct op *ops;
	size_t count;
};

struct op {
	enum op_kind kind;
	const char *word; /* a name, or what is noted */
	const struct task_template *task;
	int64_t number; /* ms (NONE: no deadline), a count, a user error (ANY) */
	bool flag;      /* of a scope: shielded; of `shield`: on */
	struct body body;
	struct body second; /* the handler of `try`, the last list of `finally` */
};

struct task_template {
	const char *name;
	struct body body;
	struct task_template *next;
};

struct program {
	struct task_template *tasks;
	struct body main;
	size_t depth; /* of the lists of the text: bounds the depth of the tree */
	struct arena arena;
};

/*
 * Reads and checks `size` bytes of text; nothing is left to be checked at run time.
 * False: `message` (`room` bytes) is "LINE:COL: what is wrong". Free it in either case.
 */
bool program_parse(struct program *program, const char *text, size_t size, char *message,
		   size_t room);
void program_free(struct program *program);

#endif
