/* SPDX-License-Identifier: MIT */
/* Scenario programs as text, and as a tree of checked operations. */
#ifndef SCENARIO_PARSE_H
#define SCENARIO_PARSE_H

#include "forms.h"

#include <stdbool.h>
#include <stdint.h>

/* The largest count, and the largest value that is sent. */
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
	OP_SEND,
	OP_RECV,
	OP_CLOSE,
	OP_SET,
	OP_WAIT,
	OP_LOCK,
	OP_ACQUIRE,
	OP_RELEASE,
	OP_LIMIT,
};

/* What tasks meet at. */
enum thing_kind {
	THING_CHANNEL,
	THING_EVENT,
	THING_LOCK,
	THING_SEM,
	THING_LIMITER,
};

/* One of them, as declared. */
struct thing {
	enum thing_kind kind;
	const char *name;
	int64_t count; /* of a channel: its places; of a semaphore or limiter: at the start */
	size_t index;  /* from 0, in the order of the text, over all kinds */
	struct thing *next;
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
	const char *site; /* of a group: its word as a place of coop's */
	const struct task_template *task;
	const struct thing *thing;
	int64_t number; /* ms (NONE: no deadline), a count, a value, a user error (ANY) */
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
	struct thing *things;
	size_t thing_count;
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
