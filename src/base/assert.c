/* SPDX-License-Identifier: MIT */
/*
 * The end of a program whose structure is broken.
 *
 * Invariants
 *   1. The message is on standard error before the abort, in one write where it
 *      fits, so that lines of several threads do not mix.
 *   2. Nothing is allocated and no lock is taken: a failed assertion inside the
 *      allocator or in a signal handler is reported as well.
 */
#include "base/os.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct line {
	size_t used;
	char text[1024];
};

/* What does not fit is cut; the last byte is kept for the newline. */
static void line_add(struct line *line, const char *text)
{
	size_t room = sizeof line->text - 1 - line->used;
	size_t bytes = strlen(text);

	if (bytes > room)
		bytes = room;
	memcpy(line->text + line->used, text, bytes);
	line->used += bytes;
}

static void line_add_number(struct line *line, unsigned number)
{
	char digits[11];
	size_t at = sizeof digits - 1;

	digits[at] = 0;
	do
		digits[--at] = (char)('0' + number % 10);
	while (number /= 10);
	line_add(line, digits + at);
}

static _Noreturn void line_die(struct line *line)
{
	line->text[line->used++] = '\n';
	cp_os_complain(line->text, line->used);
	abort();
}

CP_COLD _Noreturn void cp_assert_failed(const char *cond, const char *file, int line,
					const char *func)
{
	struct line out = { 0 };

	line_add(&out, "coop: ");
	line_add(&out, file);
	line_add(&out, ":");
	line_add_number(&out, (unsigned)line);
	line_add(&out, ": ");
	line_add(&out, func);
	line_add(&out, ": assertion failed: ");
	line_add(&out, cond);
	line_die(&out);
}

CP_COLD _Noreturn void cp_die(const char *fmt, ...)
{
	struct line out = { 0 };
	char text[1000];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	line_add(&out, "coop: ");
	line_add(&out, text);
	line_die(&out);
}
