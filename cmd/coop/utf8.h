/* SPDX-License-Identifier: MIT */
#pragma once

/* UTF-8, as far as it is about what may be shown on a terminal. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The length of the character at `text`, which ends with a 0; 0 where there is none: a stray byte,
 * a longer form than needed, a surrogate, or beyond U+10FFFF. The character in *ret_char. */
size_t utf8_char(const char *text, uint32_t *ret_char);

/* How many of the bytes stand before a character that begins within them, and does not end. */
size_t utf8_whole(const char *text, size_t size);

/* How many bytes at the beginning are the rest of a character, at most three. */
size_t utf8_rest(const char *text, size_t size);

/* Whether it does something else than being shown: C0, DEL, C1, and what turns text round. */
bool utf8_is_control(uint32_t c);

/* Replaces whatever is no character, and each control, by "?": what is left can be shown. */
void utf8_make_visible(char *text);
