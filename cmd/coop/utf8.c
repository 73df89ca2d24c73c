/* SPDX-License-Identifier: MIT */
/*
 * Reading characters, and telling the ones that are to be seen.
 */
#include "utf8.h"

#include <string.h>

/* How long a character is that begins so; 0: none does. */
static size_t length(unsigned char first)
{
	return first < 0x80       ? 1
	       : first >> 5 == 6  ? 2
	       : first >> 4 == 14 ? 3
	       : first >> 3 == 30 ? 4
				  : 0;
}

static bool is_continuation(char byte)
{
	return ((unsigned char)byte & 0xc0) == 0x80;
}

size_t utf8_char(const char *text, uint32_t *ret_char)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char first = (unsigned char)text[0];
	size_t len = length(first);
	uint32_t c = len == 1 ? first : len ? first & (0x7fu >> len) : 0;

	if (len == 0 || first == 0)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if (!is_continuation(text[i]))
			return 0;
		c = c << 6 | ((unsigned char)text[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret_char = c;
	return len;
}

size_t utf8_whole(const char *text, size_t size)
{
	size_t at = size;

	while (at && size - at < 3 && is_continuation(text[at - 1]))
		at--;
	if (at && length((unsigned char)text[at - 1]) > size - at + 1)
		return at - 1;
	return size;
}

size_t utf8_rest(const char *text, size_t size)
{
	size_t at = 0;

	while (at < size && at < 3 && is_continuation(text[at]))
		at++;
	return at;
}

bool utf8_is_control(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return true;
	return c == 0x61c || c == 0x200e || c == 0x200f || c == 0x2028 || c == 0x2029 ||
	       (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

void utf8_make_visible(char *text)
{
	char *to = text;

	while (*text) {
		uint32_t c;
		size_t len = utf8_char(text, &c);

		if (len == 0 || utf8_is_control(c)) {
			*to++ = '?';
			text += len ? len : 1;
			continue;
		}
		memmove(to, text, len);
		to += len;
		text += len;
	}
	*to = '\0';
}
