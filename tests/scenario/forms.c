/* SPDX-License-Identifier: MIT */
/*
 * Reads S-expressions.
 *
 * The reader keeps the open lists in an array of its own, so that nesting costs no C stack
 * and has one limit, DEPTH_MAX, with a message. Forms and atoms live in an arena.
 */
#include "forms.h"

#include "need.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

/* -------------------------------------------------------------------- memory */

#define BLOCK_BYTES 65536

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	_Alignas(max_align_t) char bytes[];
};

void *arena_get(struct arena *arena, size_t bytes)
{
	struct arena_block *b = arena->blocks;
	size_t wanted = (bytes + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
	size_t size = wanted > BLOCK_BYTES ? wanted : BLOCK_BYTES;

	if (!b || b->size - b->used < wanted) {
		b = need(calloc(1, sizeof *b + size));
		b->size = size;
		b->next = arena->blocks;
		arena->blocks = b;
	}
	b->used += wanted;
	return b->bytes + b->used - wanted;
}

void arena_free(struct arena *arena)
{
	while (arena->blocks) {
		struct arena_block *b = arena->blocks;

		arena->blocks = b->next;
		free(b);
	}
}

/* ------------------------------------------------------------------- reading */

void reader_fail(struct reader *r, const char *at, const char *fmt, ...)
{
	va_list ap;

	if (r->wrong[0])
		return;
	r->at = at;
	va_start(ap, fmt);
	vsnprintf(r->wrong, sizeof r->wrong, fmt, ap);
	va_end(ap);
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool ends_atom(char c)
{
	return is_space(c) || c == '(' || c == ')' || c == ';' || !c;
}

static const char *skip_space(const char *at, const char *end)
{
	while (at < end && (is_space(*at) || *at == ';')) {
		if (*at == ';')
			while (at < end && *at != '\n')
				at++;
		else
			at++;
	}
	return at;
}

static struct form *new_form(struct reader *r, const char *at, size_t atom_bytes)
{
	struct form *f = arena_get(r->arena, sizeof *f);
	char *atom = atom_bytes ? arena_get(r->arena, atom_bytes + 1) : NULL;

	f->at = at;
	if (atom)
		f->atom = memcpy(atom, at, atom_bytes);
	return f;
}

static const char *atom_end(const char *at, const char *end)
{
	while (at < end && !ends_atom(*at))
		at++;
	return at;
}

struct form *forms_read(struct reader *r)
{
	const char *end = r->text + r->size, *at = r->text, *opened[DEPTH_MAX];
	struct form *first = NULL, *f, **tails[DEPTH_MAX + 1] = { &first };
	size_t depth = 0, atom_bytes;

	for (at = skip_space(at, end); at < end; at = skip_space(at, end)) {
		if (!*at) {
			reader_fail(r, at, "a NUL byte");
			return NULL;
		}
		if (*at == ')' && depth == 0) {
			reader_fail(r, at, "')' without '('");
			return NULL;
		}
		if (*at == ')') {
			depth--;
			at++;
			continue;
		}
		atom_bytes = *at == '(' ? 0 : (size_t)(atom_end(at, end) - at);
		if (!atom_bytes && depth == DEPTH_MAX) {
			reader_fail(r, at, "nested deeper than %d", DEPTH_MAX);
			return NULL;
		}
		f = new_form(r, at, atom_bytes);
		*tails[depth] = f;
		tails[depth] = &f->next;
		if (!atom_bytes) {
			opened[depth++] = at;
			tails[depth] = &f->first;
			r->depth = depth > r->depth ? depth : r->depth;
		}
		at += atom_bytes ? atom_bytes : 1;
	}
	if (depth) {
		reader_fail(r, opened[depth - 1], "'(' without ')'");
		return NULL;
	}
	return first;
}
