/* SPDX-License-Identifier: MIT */
/*
 * `map`: one command over many inputs, each a task that lives as long as its process does.
 *
 * Inputs are read when there is room for another task, not before: so a list of a million lines
 * needs no memory, and standard input may be a pipe that never ends.
 *
 * With --ordered what a task writes is held until all before it have ended; the first one that has
 * not is the head, and writes through. Who holds much is not read further, so memory is bounded;
 * the head is never kept waiting, so everybody becomes the head.
 *
 * Invariants
 *   1. `first` to `last` are the inputs that were started and are not freed, in order.
 *   2. One task at a time passes on what was held (`is_passing`); what the head writes meanwhile is
 *      held too.
 */
#include "run_map.h"

#include "screen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	BUF_MIN = 8 << 10,
	INPUT_MAX = 1 << 20,  /* bytes of one input */
	UNLIMITED_MAX = 1000, /* tasks at once with -j 0 */
	HELD_MAX = 256 << 10, /* bytes of one task */
	FAILED_KEPT = 1000,   /* of the failed ones, for the report */
};

/* One piece that is held: whose stream, and how much. */
struct piece {
	int stream;
	size_t size;
};

struct run_item {
	struct run_task task;
	struct run_map *map;
	struct run_item *next;
	bool is_done;
	char *held;
	size_t held_size, held_room;
};

/* -------------------------------------------------------------------------- inputs */

/* From a list: the texts are the plan's. */
static int next_of_list(struct run_map *map, char **ret_text)
{
	const struct plan_list *args = &map->job->plan->map.args;

	if (map->started == args->count)
		return 0;
	*ret_text = strdup(args->items[map->started]);
	return *ret_text ? 1 : -ENOMEM;
}

static int fill(struct run_map *map)
{
	size_t room = map->room ? map->room * 2 : BUF_MIN;
	int r;

	if (map->from) {
		memmove(map->buf, map->buf + map->from, map->used - map->from);
		map->used -= map->from;
		map->from = 0;
	}
	if (map->used == map->room) {
		char *buf = map->room >= INPUT_MAX ? NULL : realloc(map->buf, room);

		if (!buf)
			return map->room >= INPUT_MAX ? -E2BIG : -ENOMEM;
		map->buf = buf;
		map->room = room;
	}
	r = coop_read(map->fd, map->buf + map->used, map->room - map->used);
	if (r > 0)
		map->used += (size_t)r;
	return r;
}

/* Where inputs come from, for people. */
static int refuse_input(struct run_map *map, int r, const char *what)
{
	const char *file = map->job->plan->map.file;

	job_say(map->job, SAY_ALERT, "%s, input %llu: %s", file ? file : "standard input",
		(unsigned long long)map->started + 1, what);
	map->job->own_error = r;
	map->job->is_own_told = true;
	return r;
}

static int cannot_read(struct run_map *map, int r)
{
	if (coop_is_cancel(r))
		return r;
	return refuse_input(map, r, r == -E2BIG ? "too long" : strerror(-r));
}

/* From a file or standard input. The last one needs no separator behind it. */
static int next_of_file(struct run_map *map, char **ret_text)
{
	size_t seen = 0;
	const char *end;
	int r = 1;

	for (;;) {
		char *from = map->buf + map->from;
		size_t size = map->used - map->from;

		end = size > seen ? memchr(from + seen, map->job->plan->map.separator, size - seen)
				  : NULL;
		if (end || r == 0)
			break;
		seen = size;
		r = fill(map);
		if (r < 0)
			return cannot_read(map, r);
	}
	if (!end && map->used == map->from)
		return 0;
	seen = end ? (size_t)(end - map->buf) - map->from : map->used - map->from;
	if (memchr(map->buf + map->from, 0, seen)) /* no argument can have one */
		return refuse_input(map, -EINVAL, "a byte that is 0; --null ends inputs with it");
	*ret_text = strndup(map->buf + map->from, seen);
	map->from += seen + (end != NULL);
	return *ret_text ? 1 : -ENOMEM;
}

static int next_input(struct run_map *map, char **ret_text)
{
	if (map->job->plan->map.input == INPUT_ARGS)
		return next_of_list(map, ret_text);
	return next_of_file(map, ret_text);
}

/* That of a named pipe waits for who writes to it, and a cancel must reach it; for all else no
 * thread is needed. */
static int open_file(const char *path)
{
	struct stat st;
	int fd;

	if (stat(path, &st) == 0 && S_ISFIFO(st.st_mode))
		return coop_open(path, O_RDONLY, 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_input(struct run_map *map)
{
	int r;

	const struct plan_map *plan = &map->job->plan->map;

	map->fd = STDIN_FILENO;
	if (plan->input == INPUT_ARGS)
		map->total = plan->args.count;
	if (plan->input != INPUT_FILE)
		return 0;
	r = open_file(plan->file);
	if (r >= 0)
		map->fd = r;
	else if (!coop_is_cancel(r))
		(void)job_refuse(map->job, r, "::::", plan->file);
	return r < 0 ? r : 0;
}

/* ------------------------------------------------------------------------- ordered */

static bool hold(struct run_item *item, int stream, const char *data, size_t size)
{
	struct piece piece = { stream, size };
	size_t need = item->held_size + sizeof piece + size;

	if (need > item->held_room) {
		size_t room = item->held_room ? item->held_room : BUF_MIN;
		char *held;

		while (room < need)
			room *= 2;
		held = realloc(item->held, room);
		if (!held)
			return false;
		item->held = held;
		item->held_room = room;
	}
	memcpy(item->held + item->held_size, &piece, sizeof piece);
	memcpy(item->held + item->held_size + sizeof piece, data, size);
	item->held_size = need;
	return true;
}

/* What was held until now; more may come meanwhile, into a new buffer. */
static int pass_held(struct run_item *item)
{
	struct screen *screen = item->map->job->screen;
	char *held = item->held;
	size_t size = item->held_size, at = 0;
	int r = 0;

	item->held = NULL;
	item->held_size = item->held_room = 0;
	while (at < size && r >= 0) {
		struct piece piece;

		memcpy(&piece, held + at, sizeof piece);
		at += sizeof piece;
		r = screen->ops->output(screen, &item->task, piece.stream, held + at, piece.size);
		at += piece.size;
	}
	free(held);
	return r;
}

static void item_free(struct run_item *item)
{
	if (!item)
		return;
	run_task_deinit(&item->task);
	free((void *)(uintptr_t)item->task.argv);
	free((void *)(uintptr_t)item->task.name);
	free((void *)(uintptr_t)item->task.text);
	free(item->held);
	free(item);
}

/* One that has failed is kept for the report. */
static void item_leave(struct run_item *item)
{
	struct run_map *map = item->map;
	enum run_outcome outcome = item->task.outcome;

	if ((outcome == OUTCOME_FAILED || outcome == OUTCOME_STOP_FAILED) &&
	    map->failed_kept < FAILED_KEPT) {
		item->next = NULL;
		*(map->last_failed ? &map->last_failed->next : &map->failed) = item;
		map->last_failed = item;
		map->failed_kept++;
	} else {
		item_free(item);
	}
}

/* The head has ended, or has become the head: it and those behind it that have ended are passed
 * on, and then what the new head holds. */
static int advance(struct run_map *map)
{
	int r = 0;

	if (map->is_passing)
		return 0;
	map->is_passing = true;
	while (r >= 0 && map->first && (map->first->held_size || map->first->is_done)) {
		struct run_item *item = map->first;

		r = pass_held(item);
		if (!item->is_done || item->held_size)
			continue;
		map->first = item->next;
		if (!map->first)
			map->last = NULL;
		item_leave(item);
	}
	map->is_passing = false;
	coop_pulse_send_all(&map->moved);
	return r;
}

static int await_turn(void *arg)
{
	struct run_item *item = arg;
	int r = 0;

	while (r >= 0 && item->held_size >= HELD_MAX) {
		if (item == item->map->first && !item->map->is_passing)
			return advance(item->map);
		r = coop_pulse_wait(&item->map->moved);
	}
	return r;
}

int map_output(struct run_task *task, int stream, const char *data, size_t size)
{
	struct run_item *item = (struct run_item *)task;
	struct run_map *map = item->map;
	struct screen *screen = task->job->screen;

	if (!map->job->plan->map.is_ordered)
		return screen->ops->output(screen, task, stream, data, size);
	if (item == map->first && !map->is_passing && !item->held_size)
		return screen->ops->output(screen, task, stream, data, size);
	if (!hold(item, stream, data, size))
		return -ENOMEM;
	return coop_shield(await_turn, item);
}

/* --------------------------------------------------------------------------- items */

static void unlink_item(struct run_item *item)
{
	struct run_map *map = item->map;
	struct run_item *before = NULL;

	for (struct run_item *at = map->first; at != item; at = at->next)
		before = at;
	*(before ? &before->next : &map->first) = item->next;
	if (map->last == item)
		map->last = before;
}

static int run_item(void *arg)
{
	struct run_item *item = arg;
	struct run_map *map = item->map;
	enum run_outcome outcome;
	int r = run_task(&item->task);

	outcome = item->task.outcome;
	map->done++;
	map->failed_count += outcome == OUTCOME_FAILED || outcome == OUTCOME_STOP_FAILED;
	item->is_done = true;
	(void)!coop_sem_release(&map->places);
	if (!map->job->plan->map.is_ordered) {
		unlink_item(item);
		item_leave(item);
	} else if (item == map->first) {
		(void)!advance(map);
	}
	return r;
}

static struct run_item *item_new(struct run_map *map, char *text)
{
	struct run_item *item = calloc(1, sizeof *item);
	const struct plan_task *plan = map->job->plan->tasks[0];
	char *name = NULL;

	if (!item || asprintf(&name, "%s-%llu", plan->name, (unsigned long long)map->started) < 0) {
		free(item);
		free(text);
		return NULL;
	}
	run_task_init(&item->task, map->job, plan);
	item->map = map;
	item->task.name = name;
	item->task.text = text;
	item->task.number = map->started;
	item->task.argv = plan_map_argv(map->job->plan, text, map->started);
	if (item->task.argv)
		return item;
	item_free(item);
	return NULL;
}

static int start_item(struct run_map *map, char *text)
{
	struct run_item *item;
	int r;

	map->started++;
	item = item_new(map, text);
	if (!item)
		return -ENOMEM;
	*(map->last ? &map->last->next : &map->first) = item;
	map->last = item;
	r = coop_spawn(&item->task.group->coop, run_item, item);
	if (r < 0) {
		unlink_item(item);
		item_free(item);
	}
	return r;
}

int map_run(struct run_map *map)
{
	int r = open_input(map);

	while (r >= 0) {
		char *text;

		r = coop_sem_acquire(&map->places);
		if (r >= 0)
			r = next_input(map, &text);
		if (r <= 0)
			break;
		r = start_item(map, text);
	}
	if (map->fd > STDIN_FILENO)
		coop_close(map->fd);
	return r;
}

struct run_map *map_new(struct job *job)
{
	uint32_t max = job->plan->groups[0]->jobs_max;
	struct run_map *map = calloc(1, sizeof *map);

	if (!map)
		return NULL;
	if (max == COOP_UNLIMITED)
		max = UNLIMITED_MAX;
	map->job = job;
	map->places = (struct coop_sem)COOP_SEM_INIT(max);
	map->moved = (struct coop_pulse)COOP_PULSE_INIT;
	return map;
}

const struct run_task *map_failed(const struct run_map *map, const struct run_task *after)
{
	const struct run_item *item = after ? ((const struct run_item *)after)->next : map->failed;

	return item ? &item->task : NULL;
}

void map_free(struct run_map *map)
{
	if (!map)
		return;
	for (struct run_item *item = map->first, *next; item; item = next) {
		next = item->next;
		item_free(item);
	}
	for (struct run_item *item = map->failed, *next; item; item = next) {
		next = item->next;
		item_free(item);
	}
	free(map->buf);
	free(map);
}
