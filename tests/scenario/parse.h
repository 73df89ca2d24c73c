/* SPDX-License-Identifier: MIT */
/* Scenario programs as text, and as a tree of checked operations. */
#ifndef SCENARIO_PARSE_H
#define SCENARIO_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum op_kind {
	OP_NOTE,
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
	OP_TIME,
};

struct op;

/* A list of operations, in order. */
struct body {
	struct op *ops;
	size_t count;
};

struct op {
	enum op_kind kind;
	const char *word; /* a name, or what is noted */
	const struct task_template *task;
	int64_t number; /* ms, a count, a user error; -1: none, or `any` */
	bool flag;      /* (shield), or `on` */
	struct body body;
	struct body second; /* the handler, the last list */
};

struct task_template {
	const char *name;
	struct body body;
	struct task_template *next;
};

struct program {
	struct task_template *tasks;
	struct body main;
	struct chunk *memory;
};

/* False: `message` (size bytes) says LINE:COL: what is wrong. Free it in either case. */
bool program_parse(struct program *program, const char *text, char *message, size_t size);
void program_free(struct program *program);

#endif
