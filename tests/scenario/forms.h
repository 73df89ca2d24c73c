/* SPDX-License-Identifier: MIT */
/* S-expressions: text as a tree of atoms and lists, each with its place. */
#ifndef SCENARIO_FORMS_H
#define SCENARIO_FORMS_H

#include <stddef.h>

/* The deepest nesting of lists. What runs a program may recurse this deep. */
#define DEPTH_MAX 10000

/* Memory that is freed at once. */
struct arena {
	struct arena_block *blocks;
};

/* Zeroed bytes, aligned for anything. */
void *arena_get(struct arena *arena, size_t bytes);
void arena_free(struct arena *arena);

struct form {
	const char *at;     /* where it begins in the text */
	const char *atom;   /* NULL: a list */
	struct form *first; /* of a list */
	struct form *next;  /* in the list around it */
};

/* Text that is being read, and the first thing that is wrong with it. */
struct reader {
	const char *text;
	size_t size;
	struct arena *arena;
	size_t depth;    /* the deepest nesting seen */
	const char *at;  /* of the mistake */
	char wrong[200]; /* "": nothing */
};

/* Notes a mistake, unless there is one already. */
void reader_fail(struct reader *r, const char *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* All forms of the text, through `next`; NULL where there are none, or a mistake. */
struct form *forms_read(struct reader *r);

#endif
