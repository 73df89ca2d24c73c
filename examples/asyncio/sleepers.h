/* SPDX-License-Identifier: MIT */
/* What several of the programs share: my_sleep(n) of the original. */
#ifndef SLEEPERS_H
#define SLEEPERS_H

#include <coop.h>

#include <stdio.h>

/* How long each of the three sleeps, in seconds. */
static int seconds[] = { 2, 5, 7 };

/* async def my_sleep(delay): the one with 5 raises. */
static inline int my_sleep(void *arg)
{
	int s = *(int *)arg;
	int r = coop_sleep(COOP_SECONDS(s));

	if (r < 0)
		return r;
	if (s == 5)
		return coop_fail(-EIO, "failed after 5 seconds");
	printf("Slept for %dsecs.\n", s);
	return 0;
}

#endif
