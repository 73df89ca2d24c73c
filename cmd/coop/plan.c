/* SPDX-License-Identifier: MIT */
/*
 * Building a plan: its memory, its parts.
 *
 * All of it lies in one arena, a list of blocks, each twice as large as the one before it up to a
 * bound; nothing is freed before plan_free.
 */
#include "front.h"
#include "utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>

enum { BLOCK_MIN = 8 << 10, BLOCK_MAX = 256 << 10, ALIGN = 16 };

struct block {
	struct block *next;
	size_t size, used;
	_Alignas(ALIGN) char bytes[];
};

struct arena {
	struct block *blocks;
};

static void *no_memory(void)
{
	fputs("coop: out of memory\n", stderr);
	exit(STATUS_OWN);
}

static struct block *block_new(size_t need, const struct block *last)
{
	size_t size = last && last->size < BLOCK_MAX ? last->size * 2 : BLOCK_MIN;
	struct block *block;

	if (size < need)
		size = need;
	block = calloc(1, sizeof *block + size);
	if (!block)
		return no_memory();
	block->size = size;
	return block;
}

void *plan_alloc(struct plan *plan, size_t size)
{
	struct block *block = plan->arena->blocks;
	void *memory;

	if (size > SIZE_MAX / 2)
		return no_memory();
	size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (!block || block->size - block->used < size) {
		struct block *made = block_new(size, block);

		made->next = block;
		plan->arena->blocks = block = made;
	}
	memory = block->bytes + block->used;
	block->used += size;
	return memory;
}

char *plan_copy(struct plan *plan, const char *text, size_t len)
{
	char *copy = plan_alloc(plan, len + 1);

	memcpy(copy, text, len);
	return copy;
}

char *plan_format(struct plan *plan, const char *format, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	text = plan_alloc(plan, (size_t)len + 1);
	va_start(args, format);
	vsnprintf(text, (size_t)len + 1, format, args);
	va_end(args);
	return text;
}

void *plan_grow(struct plan *plan, void *items, size_t count, size_t *room, size_t item_size)
{
	void *copy;

	if (count < *room)
		return items;
	*room = count ? count * 2 : 2;
	copy = plan_alloc(plan, *room * item_size);
	if (count)
		memcpy(copy, items, count * item_size);
	return copy;
}

void plan_list_add(struct plan *plan, struct plan_list *list, const char *item)
{
	list->items = plan_grow(plan, list->items, list->count, &list->room, sizeof *list->items);
	list->items[list->count++] = item;
}

bool plan_list_has(const struct plan_list *list, const char *item)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i], item) == 0)
			return true;
	return false;
}

int plan_fail(struct plan *plan, const struct plan_place *place, const char *format, ...)
{
	const char *verb = plan->groups[0]->name;
	size_t size = sizeof plan->error, used;
	va_list args;

	if (place && place->file && place->column)
		used = (size_t)snprintf(plan->error, size, "%s:%d:%d: ", place->file, place->line,
					place->column);
	else if (place && place->file && place->line)
		used = (size_t)snprintf(plan->error, size, "%s:%d: ", place->file, place->line);
	else if (place && place->file)
		used = (size_t)snprintf(plan->error, size, "%s: ", place->file);
	else
		used = (size_t)snprintf(plan->error, size, "coop%s%s: ", *verb ? " " : "", verb);
	if (used >= size)
		used = size - 1;
	va_start(args, format);
	used += (size_t)vsnprintf(plan->error + used, size - used, format, args);
	va_end(args);
	if (place && !place->file && place->line && used < size)
		snprintf(plan->error + used, size - used, " (argument %d)", place->line);
	utf8_make_visible(plan->error);
	return -EINVAL;
}

static struct plan_group *group_add(struct plan *plan, struct plan_group *parent, const char *name,
				    const char *path)
{
	struct plan_group *group = plan_alloc(plan, sizeof *group);

	plan->groups = plan_grow(plan, plan->groups, plan->group_count, &plan->group_room,
				 sizeof *plan->groups);
	plan->groups[plan->group_count] = group;
	group->index = plan->group_count++;
	group->parent = parent;
	group->name = name;
	group->path = path;
	group->jobs_max = COOP_UNLIMITED;
	group->timeout_ns = COOP_NEVER;
	return group;
}

static struct plan_group *group_find(struct plan *plan, const char *path, size_t len)
{
	for (size_t i = 0; i < plan->group_count; i++) {
		struct plan_group *group = plan->groups[i];

		if (strlen(group->path) == len && memcmp(group->path, path, len) == 0)
			return group;
	}
	return NULL;
}

/* The group of the first `len` bytes of a path; `parent` is that of all but the last part. */
static struct plan_group *group_below(struct plan *plan, struct plan_group *parent,
				      const char *path, size_t len, const struct plan_place *place)
{
	struct plan_group *group = group_find(plan, path, len);

	if (group)
		return group;
	path = plan_copy(plan, path, len);
	group = group_add(plan, parent, path + (parent->parent ? strlen(parent->path) + 1 : 0),
			  path);
	group->place = *place;
	return group;
}

struct plan_group *plan_group_at(struct plan *plan, const char *path,
				 const struct plan_place *place)
{
	struct plan_group *group = plan->groups[0];
	int depth = 0;

	for (const char *at = path; *at;) {
		size_t len = strcspn(at, "/");
		const char *name = plan_copy(plan, at, len), *wrong = plan_name_wrong(name);

		if (!wrong && (++depth > PLAN_DEPTH_MAX || plan->group_count > PLAN_GROUPS_MAX))
			wrong = "is one group too many";
		if (wrong) {
			plan_fail(plan, place, "group '%s': '%s' %s", path, name, wrong);
			return NULL;
		}
		at += len;
		group = group_below(plan, group, path, (size_t)(at - path), place);
		at += *at == '/' && at[1];
	}
	return group;
}

const char *plan_name_wrong(const char *name)
{
	if (!*name)
		return "is empty";
	if (strlen(name) > PLAN_NAME_MAX)
		return "is longer than 63 bytes";
	if (name[0] == '-')
		return "begins with a dash";
	for (const char *p = name; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f || strchr(":/,\"'`$\\", *p))
			return "has a character that no name has (blanks, : / , $ \\ and quotes)";
	return NULL;
}

/* The file name of the first word that is no assignment: "CC=gcc /usr/bin/make -j2" is "make". */
const char *plan_name_of(struct plan *plan, const char *command)
{
	const char *at = command + strspn(command, " \t\n({"), *end;
	char *name;
	size_t used = 0;

	for (;;) {
		const char *equal = at + strcspn(at, "= \t\n\"'");

		end = at + strcspn(at, " \t\n;|&<>()");
		if (*equal != '=' || equal >= end || !end[strspn(end, " \t\n")])
			break;
		at = end + strspn(end, " \t\n");
	}
	for (const char *p = at; p < end; p++)
		if (*p == '/' && p + 1 < end && p[1] != '/')
			at = p + 1;
	name = plan_alloc(plan, PLAN_NAME_MAX + 1);
	for (; at < end && used < PLAN_NAME_MAX - 8; at++)
		if ((unsigned char)*at > ' ' && *at != 0x7f && !strchr(":/,\"'`$\\", *at) &&
		    (used || *at != '-'))
			name[used++] = *at;
	/* A character of UTF-8 that was cut is no character. */
	while (used && at < end && ((unsigned char)name[used - 1] & 0x80))
		name[--used] = '\0';
	return used ? name : "task";
}

void plan_task_init(struct plan *plan, struct plan_task *task)
{
	static const struct plan_step ladder[] = { { SIGINT, COOP_SECONDS(5) },
						   { SIGTERM, COOP_SECONDS(10) },
						   { SIGKILL, COOP_SECONDS(10) } };

	*task = (struct plan_task){
		.group = plan->groups[0],
		.ready_timeout_ns = COOP_SECONDS(60),
		.timeout_ns = COOP_NEVER,
		.attempts_max = 1,
		.backoff_min_ns = COOP_SECONDS(1),
		.backoff_max_ns = COOP_SECONDS(30),
		.restart_max = 5,
		.restart_window_ns = COOP_SECONDS(60), /* the usual pauses take half of it */
		.shield_ns = COOP_NEVER,
		.stop_count = 3,
		.stop_grace_ns = COOP_NEVER,
	};
	task->ok_codes.bits[0] = 1;
	task->stop = plan_alloc(plan, sizeof ladder);
	memcpy(task->stop, ladder, sizeof ladder);
}

void plan_env_file_add(struct plan *plan, struct plan_task *task, const char *path,
		       const struct plan_place *place)
{
	struct plan_env_file file = { .path = path };

	if (place)
		file.place = *place;
	task->env_files.items = plan_grow(plan, task->env_files.items, task->env_files.count,
					  &task->env_files.room, sizeof file);
	task->env_files.items[task->env_files.count++] = file;
}

void plan_task_unshare(struct plan_task *task)
{
	task->locks.room = task->env.room = task->env_files.room = task->after_room = 0;
}

struct plan_task *plan_task_add(struct plan *plan, const struct plan_task *task)
{
	struct plan_task *copy = plan_alloc(plan, sizeof *copy);

	*copy = *task;
	copy->index = plan->task_count;
	plan->tasks = plan_grow(plan, plan->tasks, plan->task_count, &plan->task_room,
				sizeof *plan->tasks);
	plan->tasks[plan->task_count++] = copy;
	return copy;
}

struct plan *plan_new(enum plan_verb verb)
{
	struct plan *plan = calloc(1, sizeof *plan);
	struct arena *arena = calloc(1, sizeof *arena);

	if (!plan || !arena)
		return no_memory();
	plan->arena = arena;
	plan->verb = verb;
	plan->deadline_ns = COOP_NEVER;
	plan->events_fd = -1;
	plan->lines = COOP_UNLIMITED;
	plan->map.separator = '\n';
	plan->jobserver = (struct plan_jobserver){ .read_fd = -1, .write_fd = -1 };
	group_add(plan, NULL, "", "");
	return plan;
}

void plan_free(struct plan *plan)
{
	if (!plan)
		return;
	for (struct block *block = plan->arena->blocks, *next; block; block = next) {
		next = block->next;
		free(block);
	}
	free(plan->arena);
	free(plan);
}
