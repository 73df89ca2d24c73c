/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How many descriptors there are: for tests that nothing is left open.
 */

#include "test.h"

#include <dirent.h>
#include <stddef.h>

/* Those of this process, with a few that do not matter where counts are compared. */
static inline int fds_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	CHECK(d != NULL);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}
