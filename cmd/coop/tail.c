/* SPDX-License-Identifier: MIT */
/*
 * The end of what a task has written: for the report, and for `coop logs`.
 */
#include "run.h"

#include <stdlib.h>
#include <string.h>

enum { TAIL_MIN = 1 << 10 };

/* Twice as large, with what is in it at its place in the larger ring. */
static bool grow(struct tail *tail)
{
	size_t room = tail->room ? tail->room * 2 : TAIL_MIN, old = tail->room;
	uint64_t from = tail->total > old ? tail->total - old : 0;
	char *bytes;

	if (old == TAIL_MAX)
		return false;
	bytes = calloc(1, room);
	if (!bytes)
		return false;
	for (uint64_t i = from; i < tail->total; i++)
		bytes[i % room] = tail->bytes[i % old];
	free(tail->bytes);
	tail->bytes = bytes;
	tail->room = room;
	return true;
}

void tail_put(struct tail *tail, const char *data, size_t size)
{
	size_t at, part;

	while (tail->total + size > tail->room && grow(tail))
		;
	if (!tail->room)
		return;
	if (size > tail->room) {
		tail->total += size - tail->room;
		data += size - tail->room;
		size = tail->room;
	}
	at = tail->total % tail->room;
	part = size < tail->room - at ? size : tail->room - at;
	memcpy(tail->bytes + at, data, part);
	memcpy(tail->bytes, data + part, size - part);
	tail->total += size;
}

size_t tail_read(const struct tail *tail, uint64_t from, char *buf, size_t size)
{
	uint64_t first = tail->total > tail->room ? tail->total - tail->room : 0;
	size_t count = 0;

	for (uint64_t i = from > first ? from : first; i < tail->total && count < size; i++)
		buf[count++] = tail->bytes[i % tail->room];
	return count;
}
