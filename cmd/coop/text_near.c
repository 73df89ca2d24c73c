/* SPDX-License-Identifier: MIT */
/*
 * Which word was meant: the optimal string alignment distance.
 */
#include "text.h"

#include <string.h>

enum { WORD_MAX = 40, FAR = 99 };

static int min3(int a, int b, int c)
{
	int m = a < b ? a : b;

	return m < c ? m : c;
}

int text_distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	int rows[3][WORD_MAX + 1]; /* of the two characters before, and of this one */

	if (la > WORD_MAX || lb > WORD_MAX)
		return FAR;
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = (int)j;
	for (size_t i = 1; i <= la; i++) {
		int *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

		now[0] = (int)i;
		for (size_t j = 1; j <= lb; j++) {
			now[j] = min3(last[j] + 1, now[j - 1] + 1,
				      last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = min3(now[j], before[j - 2] + 1, FAR);
		}
	}
	return rows[la % 3][lb];
}

void text_near_offer(struct text_near *near, const char *word)
{
	size_t len = strlen(near->wrong);
	int distance = text_distance(near->wrong, word);

	/* What was meant for an abbreviation is nearer than anything that is misspelt twice. */
	if (len >= 3 && strncmp(near->wrong, word, len) == 0 && distance > 1)
		distance = 1;
	else if (distance * 3 > (int)strlen(word) + 1)
		return;
	if (!near->best || distance < near->distance) {
		near->best = word;
		near->distance = distance;
	}
}
