/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reading coop.yaml: what yaml.c (documents and nodes), yaml_file.c (what a file may hold),
 * yaml_task.c (what a task may hold) and yaml_compose.c (compose's words) share.
 *
 * Readers return 0, or -EINVAL with the plan's error. Aliases are followed when a node is looked
 * at, never expanded, and each look is counted: a file of aliases of aliases ends with an error.
 */

#include "option.h"

#include <libfyaml.h>

enum { YAML_LOOKS_MAX = 500000 };

struct yaml {
	struct plan *plan;
	const char *file;
	int looks;                 /* how many nodes may still be looked at */
	struct plan_task defaults; /* of every task */
	struct plan_task *task;    /* the one that is being read */
	struct plan_place place;   /* of the last key or value that was looked at */
	const char *key;           /* the last key that was looked at */
	bool is_compose;           /* within `services` */
	void *part;                /* what a reader of pairs fills */
	bool has_command;          /* the task has one */
	struct plan_list seen;     /* the keys of the task */
	struct fy_node *merge;     /* what its "<<" holds; NULL: nothing is left to merge */
	uint64_t given[2];         /* what the command line has said of the whole */
};

/* A key, and how its value is read. */
struct yaml_key {
	const char *name;
	int (*read)(struct yaml *y, struct fy_node *value);
};

/* Fails at the place of the last look. */
COOP_PRINTF(2, 3) int yaml_fail(struct yaml *y, const char *format, ...);

/* The node that is meant, aliases followed, and its place noted. NULL and an error after too many
 * looks. */
struct fy_node *yaml_look(struct yaml *y, struct fy_node *node);

/* The text of a scalar, in the plan's memory. */
int yaml_text(struct yaml *y, struct fy_node *node, const char **ret_text);
int yaml_bool(struct yaml *y, struct fy_node *node, bool *ret);

/* Each pair of a mapping, each item of a sequence. With y->key and y->place at the key. A sequence
 * reader also gets what is no sequence, as its only item. */
int yaml_pairs(struct yaml *y, struct fy_node *map,
	       int (*each)(struct yaml *y, const char *key, struct fy_node *value));
int yaml_items(struct yaml *y, struct fy_node *node,
	       int (*each)(struct yaml *y, struct fy_node *item));

/* A value by the setter of an option; `group` or NULL. */
int yaml_option(struct yaml *y, const struct option *option, struct plan_group *group,
		struct fy_node *value);

/* The option that a key names, of those that are usable: "ready_timeout" is ready-timeout. */
const struct option *yaml_find_option(const char *key, bool (*is_usable)(const struct option *));

/* An unknown key: refused with the nearest of both. */
int yaml_unknown(struct yaml *y, const struct yaml_key *keys,
		 bool (*is_usable)(const struct option *));

/* One entry of `tasks`; the pairs of one. */
int yaml_task(struct yaml *y, const char *name, struct fy_node *value);
int yaml_task_pair(struct yaml *y, const char *key, struct fy_node *value);
int yaml_task_pairs(struct yaml *y, struct fy_node *map);

/* A line for sh, or words. */
int yaml_command(struct yaml *y, struct fy_node *value, struct plan_command *ret_command);

extern const struct yaml_key yaml_compose_keys[];

/*
 * Dollars as compose means them, within `services`: $$ is one. compose would put the value of a
 * variable of its own for $NAME; so does the shell of a line, and nobody for anything else, which
 * is refused. Elsewhere nothing is done.
 */
int yaml_compose_dollars(struct yaml *y, bool is_line, const char **text);

/* What to say of a key that compose has and coop has not; NULL for others. */
const char *yaml_compose_refused(const char *key);
