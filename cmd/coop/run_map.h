/* SPDX-License-Identifier: MIT */
#pragma once

/* `map`: its inputs, and the tasks that are made of them. */

#include "run.h"

struct run_item;

struct run_map {
	struct job *job;
	uint64_t total; /* inputs, where that is known; else 0 */
	uint64_t started, done, failed_count;

	/* run_map.c's own */
	struct coop_sem places;
	struct coop_pulse moved; /* the head has changed */
	struct run_item *first, *last;
	struct run_item *failed, *last_failed;
	uint32_t failed_kept;
	bool is_passing;
	int fd;
	char *buf;
	size_t from, used, room;
};

struct run_map *map_new(struct job *job);
void map_free(struct run_map *map);

/* Starts a task for each input, in the root group; returns when the last has been started. */
int map_run(struct run_map *map);

/* What a task of the map has written, in its turn. */
int map_output(struct run_task *task, int stream, const char *data, size_t size);

/* The failed ones that were kept, as they ended; `after` NULL: the first of them. */
const struct run_task *map_failed(const struct run_map *map, const struct run_task *after);
