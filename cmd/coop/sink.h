/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A sink: bytes on their way to a descriptor of ours, written by a task of its own.
 *
 * Nobody who writes waits for the descriptor, but sink_wait does, until there is room. The
 * descriptor's mode is not changed: it is shared with others.
 */

#include <coop.h>

#include <stdbool.h>
#include <stddef.h>

struct sink;

/* Makes one, whose task is spawned into `group`. NULL without memory. */
struct sink *sink_open(struct coop_group *group, int fd);

/* The same for a socket of datagrams: each line is one. Nobody waits for room: beyond what a sink
 * should hold, what is put is dropped. */
struct sink *sink_open_lines(struct coop_group *group, int fd);

/* Adds bytes; never suspends. After an error they are dropped. */
void sink_put(struct sink *sink, const void *data, size_t size);
COOP_PRINTF(2, 3) void sink_printf(struct sink *sink, const char *format, ...);

/* Waits until there is room: 0, or what writing has failed with. Not interrupted by a cancel. */
int sink_wait(struct sink *sink);
/* Waits until there is room, or writing has failed: 0 or COOP_ECANCELED. */
int sink_wait_cancellable(struct sink *sink);

/*
 * From now on nobody waits for room for longer than `patience_ns` while nothing is taken: writing
 * has failed then.
 */
void sink_hurry(struct sink *sink, int64_t patience_ns);

/* Waits until all is written, or writing has failed, or nothing was taken for `limit_ns`. */
void sink_flush(struct sink *sink, int64_t limit_ns);

/* What writing has failed with, or 0. */
int sink_error(const struct sink *sink);

/* Frees it; its task must have ended. */
void sink_free(struct sink *sink);
