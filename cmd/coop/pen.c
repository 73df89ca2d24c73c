/* SPDX-License-Identifier: MIT */
/*
 * Text put together: made safe for a terminal, or for JSON; cut to a width.
 *
 * Without memory what does not fit is left out, and said to be once.
 */
#include "pen.h"
#include "utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#ifdef COOP_HAVE_UTF8PROC
#include <utf8proc.h>
#endif

enum { LINK_MAX = 4096 };

void pen_put(struct pen *pen, const void *data, size_t size)
{
	if (pen->used + size > pen->room) {
		size_t room = pen->room ? pen->room : 512;
		char *bytes;

		while (room < pen->used + size)
			room *= 2;
		bytes = realloc(pen->bytes, room);
		if (!bytes) {
			pen->is_short = true;
			return;
		}
		pen->bytes = bytes;
		pen->room = room;
	}
	if (size)
		memcpy(pen->bytes + pen->used, data, size);
	pen->used += size;
}

void pen_text(struct pen *pen, const char *text)
{
	pen_put(pen, text, strlen(text));
}

void pen_printf(struct pen *pen, const char *format, ...)
{
	char text[1024];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (n > 0)
		pen_put(pen, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

void pen_repeat(struct pen *pen, const char *text, size_t count)
{
	while (count--)
		pen_text(pen, text);
}

void pen_flush(struct pen *pen, struct sink *sink)
{
	if (pen->used)
		sink_put(sink, pen->bytes, pen->used);
	if (pen->is_short)
		sink_printf(sink, "coop: no memory: some output is left out\n");
	pen->is_short = false;
	pen->used = 0;
}

void pen_free(struct pen *pen)
{
	free(pen->bytes);
	*pen = (struct pen){ 0 };
}

/* ----------------------------------------------------------------------- characters */

/* A character within `size` bytes that need not end with a 0; 0: there is none. */
static size_t next_char(const char *data, size_t size, uint32_t *ret_char)
{
	char text[5] = { 0 };
	size_t len;

	if (size && !data[0]) {
		*ret_char = 0;
		return 1;
	}
	memcpy(text, data, size < 4 ? size : 4);
	len = utf8_char(text, ret_char);
	return len <= size ? len : 0;
}

#ifdef COOP_HAVE_UTF8PROC
static size_t char_width(uint32_t c)
{
	int width = utf8proc_charwidth((utf8proc_int32_t)c);

	return width < 0 ? 0 : (size_t)width;
}
#else
/* As far as the C library's locale knows. */
static size_t char_width(uint32_t c)
{
	int width = c < 0x300 ? 1 : wcwidth((wchar_t)c);

	return width < 0 ? 1 : (size_t)width;
}
#endif

size_t pen_width(const char *text)
{
	size_t width = 0, left = strlen(text);

	while (left) {
		uint32_t c;
		size_t len = next_char(text, left, &c);

		width += len ? char_width(c) : 1;
		text += len ? len : 1;
		left -= len ? len : 1;
	}
	return width;
}

/* The length of an SGR sequence (colours, bold, ...) at `data`, or 0. */
static size_t sgr(const char *data, size_t size)
{
	if (size < 3 || data[0] != '\033' || data[1] != '[')
		return 0;
	for (size_t i = 2; i < size && i < 64; i++) {
		if (data[i] == 'm')
			return i + 1;
		if (!strchr("0123456789;:", data[i]) || !data[i])
			return 0;
	}
	return 0;
}

/* A link, ESC ] 8 ; ... up to BEL or ESC \, at `data`; or 0. */
static size_t hyperlink(const char *data, size_t size)
{
	size_t i = 4;

	if (size < 5 || memcmp(data, "\033]8;", 4) != 0)
		return 0;
	while (i < size && i < LINK_MAX && (unsigned char)data[i] >= 0x20 && data[i] != 0x7f)
		i++;
	if (i < size && data[i] == '\a')
		return i + 1;
	return i + 1 < size && data[i] == '\033' && data[i + 1] == '\\' ? i + 2 : 0;
}

/*
 * What colourful programs write around their text (gcc, grep and tput do), and what has no meaning
 * in a line that stands alone: ESC [ K, which erases the rest of it, and ESC ( B; links. 0: else.
 */
static size_t ornament(const char *data, size_t size)
{
	size_t digits;

	if (size < 3 || data[0] != '\033')
		return 0;
	if (data[1] == '(')
		return data[2] == 'B' ? 3 : 0;
	if (data[1] == ']')
		return hyperlink(data, size);
	digits = data[1] == '[' && data[2] >= '0' && data[2] <= '2';
	return data[1] == '[' && 2 + digits < size && data[2 + digits] == 'K' ? 3 + digits : 0;
}

size_t pen_clip(struct pen *pen, size_t from, size_t columns)
{
	size_t at = from, width = 0;
	bool is_coloured = false;

	while (at < pen->used) {
		size_t len = sgr(pen->bytes + at, pen->used - at), more = 0;
		uint32_t c;

		is_coloured |= len > 0;
		if (!len) {
			len = next_char(pen->bytes + at, pen->used - at, &c);
			more = len ? char_width(c) : 1;
			len = len ? len : 1;
		}
		if (width + more > columns)
			break;
		width += more;
		at += len;
	}
	if (at < pen->used) {
		pen->used = at;
		if (is_coloured)
			pen_text(pen, "\033[0m");
	}
	return width;
}

/* ----------------------------------------------------------------------------- safe */

static void put_visible(struct pen *pen, uint32_t c)
{
	if (c < 0x20)
		pen_printf(pen, "^%c", (int)(c + '@'));
	else if (c == 0x7f)
		pen_text(pen, "^?");
	else
		pen_printf(pen, "<U+%04X>", c);
}

/* Plain bytes, which are most of all, go in one piece. */
static size_t plain_run(const char *data, size_t size)
{
	size_t n = 0;

	while (n < size && (unsigned char)data[n] >= 0x20 && (unsigned char)data[n] < 0x7f)
		n++;
	return n;
}

/* One character, or what cannot be one; how many bytes it was. */
static size_t safe_char(struct pen *pen, const char *data, size_t size)
{
	uint32_t c = 0;
	size_t len = next_char(data, size, &c);

	if (*data == '\r' && (size == 1 || data[1] == '\n'))
		return 1;
	if (!len)
		pen_printf(pen, "<%02X>", (unsigned char)*data);
	else if (utf8_is_control(c) && *data != '\n' && *data != '\t')
		put_visible(pen, c);
	else
		pen_put(pen, data, len);
	return len ? len : 1;
}

void pen_safe(struct pen *pen, const char *data, size_t size)
{
	bool is_coloured = false;

	while (size) {
		size_t len = plain_run(data, size);

		if (len) {
			pen_put(pen, data, len);
		} else if ((len = sgr(data, size))) {
			is_coloured = true;
			pen_put(pen, data, len);
		} else if ((len = ornament(data, size))) {
			/* left out */
		} else if (*data == '\n' && is_coloured) {
			pen_text(pen, "\033[0m\n");
			is_coloured = false;
			len = 1;
		} else {
			len = safe_char(pen, data, size);
		}
		data += len;
		size -= len;
	}
	if (is_coloured)
		pen_text(pen, "\033[0m");
}

/* Where the last state of a line begins; `size` is without carriage returns at its end. */
static size_t last_state(const char *line, size_t size)
{
	const char *cr = size ? memrchr(line, '\r', size) : NULL;

	return cr ? (size_t)(cr + 1 - line) : 0;
}

void pen_safe_output(struct pen *pen, const char *data, size_t size)
{
	while (size) {
		const char *end = memchr(data, '\n', size);
		size_t len = end ? (size_t)(end - data) : size, text = len, from;

		while (text && data[text - 1] == '\r')
			text--;
		from = last_state(data, text);
		pen_safe(pen, data + from, text - from);
		pen_put(pen, "\n", end != NULL);
		data += len + (end != NULL);
		size -= len + (end != NULL);
	}
}

/* ----------------------------------------------------------------------------- JSON */

void pen_json(struct pen *pen, const char *data, size_t size)
{
	while (size) {
		uint32_t c = 0;
		size_t len = next_char(data, size, &c);

		if (!len) {
			pen_text(pen, "\xef\xbf\xbd");
			len = 1;
		} else if (c == '"' || c == '\\') {
			pen_printf(pen, "\\%c", (int)c);
		} else if (c == '\n') {
			pen_text(pen, "\\n");
		} else if (c == '\t') {
			pen_text(pen, "\\t");
		} else if (c < 0x20 || c == 0x7f) {
			pen_printf(pen, "\\u%04x", c);
		} else {
			pen_put(pen, data, len);
		}
		data += len;
		size -= len;
	}
}
