/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A pen: text on its way to a sink, put together first.
 *
 * What comes from commands may hold anything: pen_safe lets colours through and shows the rest, so
 * that no command can move the cursor of the terminal, change its title or turn text round.
 */

#include "sink.h"

#include <stdint.h>

struct pen {
	char *bytes;
	size_t used, room;
	bool is_short; /* there was no memory for some of it */
};

void pen_put(struct pen *pen, const void *data, size_t size);
void pen_text(struct pen *pen, const char *text);
COOP_PRINTF(2, 3) void pen_printf(struct pen *pen, const char *format, ...);
void pen_repeat(struct pen *pen, const char *text, size_t count);

/* For a terminal: characters, tabs and SGR sequences as they are; C0, C1 and ESC in caret form,
 * what turns text round and bytes that are no character as <hex>. A carriage return before the end
 * of the line is dropped, and what programs write beside their colours: to erase the rest of a
 * line, to go back to ASCII, links. Colours that are on at the end are turned off. */
void pen_safe(struct pen *pen, const char *data, size_t size);

/* The same of what a command has written. Of a line that was begun again by a carriage return, as
 * a progress bar is, it is what was written last. */
void pen_safe_output(struct pen *pen, const char *data, size_t size);

/* The inside of a JSON string; what is no UTF-8 becomes U+FFFD. */
void pen_json(struct pen *pen, const char *data, size_t size);

/* Cuts after `columns` columns; escape sequences take none. The width of what is left; if it has
 * colours they end there. */
size_t pen_clip(struct pen *pen, size_t from, size_t columns);

/* How many columns a text without escape sequences takes. */
size_t pen_width(const char *text);

void pen_flush(struct pen *pen, struct sink *sink);
void pen_free(struct pen *pen);
