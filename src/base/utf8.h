/* SPDX-License-Identifier: MIT */
/*
 * As much of UTF-8 as a library needs that cuts and prints texts it did not
 * write: where a character ends, and whether it is one. Overlong forms,
 * surrogates and what lies past U+10FFFF are no characters.
 */
#ifndef CP_UTF8_H
#define CP_UTF8_H

#include "base/base.h"

/* Bytes that a character with this first byte has; 0 for a byte that starts none. */
static inline size_t cp_utf8_want(unsigned char lead)
{
	if (lead < 0x80)
		return 1;
	if (lead >= 0xc2 && lead <= 0xdf)
		return 2;
	if (lead >= 0xe0 && lead <= 0xef)
		return 3;
	return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

/* Bytes of the character at `text`, which ends with a NUL; 0 if there is none. */
static inline size_t cp_utf8_len(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t want = cp_utf8_want(s[0]);

	for (size_t i = 1; i < want; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return want;
}

/* The most bytes of `text`, `len` at most, that do not end inside a character. */
static inline size_t cp_utf8_cut(const char *text, size_t len)
{
	size_t i = len;

	while (i > 0 && len - i < 3 && ((unsigned char)text[i - 1] & 0xc0) == 0x80)
		i--;
	if (i > 0 && cp_utf8_want((unsigned char)text[i - 1]) > len - i + 1)
		return i - 1;
	return len;
}

#endif
