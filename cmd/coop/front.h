/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the files of the front half share: building a plan.
 *
 * Nothing here returns without memory: the command has started nothing yet, says so and ends.
 */

#include "plan.h"

#include <stdarg.h>
#include <stdio.h>

enum {
	PLAN_NAME_MAX = 63,  /* bytes of a task's or group's name */
	PLAN_DEPTH_MAX = 32, /* parts of a group's path */
	PLAN_GROUPS_MAX = 1000,
	PLAN_FILE_MAX = 1 << 20, /* bytes of a Procfile, coop.yaml or env file */
};

/* Memory of the plan, zeroed. */
void *plan_alloc(struct plan *plan, size_t size);
char *plan_copy(struct plan *plan, const char *text, size_t len);
COOP_PRINTF(2, 3) char *plan_format(struct plan *plan, const char *format, ...);

/* An array with room for one more; *room counts items. */
void *plan_grow(struct plan *plan, void *items, size_t count, size_t *room, size_t item_size);

void plan_list_add(struct plan *plan, struct plan_list *list, const char *item);
bool plan_list_has(const struct plan_list *list, const char *item);

/* Writes plan->error: the place or the verb, then the text, what is not printable in it made
 * visible. Returns -EINVAL. */
COOP_PRINTF(3, 4)
int plan_fail(struct plan *plan, const struct plan_place *place, const char *format, ...);

/* A task with every default in it, not yet in the plan. */
void plan_task_init(struct plan *plan, struct plan_task *task);

/* An env file of the task; `place` is where it was named, or NULL. */
void plan_env_file_add(struct plan *plan, struct plan_task *task, const char *path,
		       const struct plan_place *place);

/* For a task that has been copied: what either adds to a list is not the other's. */
void plan_task_unshare(struct plan_task *task);

/* Adds a copy of the task. */
struct plan_task *plan_task_add(struct plan *plan, const struct plan_task *task);

/* The group of a path, made where there is none, with those above it. NULL and plan->error where
 * the path is wrong. */
struct plan_group *plan_group_at(struct plan *plan, const char *path,
				 const struct plan_place *place);

/* What is wrong with a name, or NULL. */
const char *plan_name_wrong(const char *name);

/* A name made of a command's first word. */
const char *plan_name_of(struct plan *plan, const char *command);

/* What of a group was given: struct plan_group.given. */
enum group_given {
	GIVEN_POLICY = 1,
	GIVEN_JOBS = 2,
	GIVEN_EXIT = 4,
	GIVEN_FINALLY_TIMEOUT = 8,
};

/* How many processors we may use. */
uint32_t plan_processors(void);

/* shell.c: a command from a shell word, and from words; the text of either for a shell. */
struct plan_command plan_command_of(struct plan *plan, const char *word);
struct plan_command plan_command_argv(struct plan *plan, const char *const *words, size_t count);
const char *plan_quote(struct plan *plan, const char *word);
/* For standard output: where that is a terminal, nothing that could control it. */
const char *plan_visible(struct plan *plan, const char *text);

/* probe.c: tcp:5432, http:URL, ...; NULL, or what is wrong with it. */
const char *probe_parse(struct plan *plan, const char *text, struct plan_probe *ret_probe);

/* envfile.c: appends the variables of a file. */
int envfile_read(struct plan *plan, const char *path, const struct plan_place *place,
		 struct plan_list *env);

/* file.c: the text of a small file, with a 0 behind it; `what` is for the message. */
int plan_read_file(struct plan *plan, const char *path, const struct plan_place *place,
		   char **ret_text, size_t *ret_len);

/* load.c: reads the file of `up`, `check`, `graph`: plan->file, or the one that is found. */
int plan_load(struct plan *plan);

/* procfile.c, yaml.c: from memory. `name` is for messages. */
int procfile_read(struct plan *plan, const char *name, const char *text, size_t len);
int yaml_read(struct plan *plan, const char *name, const char *text, size_t len);

/* Whether this build reads YAML, for --version and doctor. */
extern const bool yaml_is_built;
