/* SPDX-License-Identifier: MIT */
/*
 * make's jobserver: --jobserver-auth=R,W or =fifo:PATH in MAKEFLAGS; older ones say
 * --jobserver-fds.
 */
#include "option.h"

#include <stdlib.h>
#include <string.h>

/* The value of the last of these, up to a blank. */
static const char *find_last(struct plan *plan, const char *flags)
{
	static const char *const keys[] = { "--jobserver-auth=", "--jobserver-fds=" };
	const char *last = NULL;

	for (size_t i = 0; i < 2; i++)
		for (const char *at = strstr(flags, keys[i]); at; at = strstr(at + 1, keys[i]))
			if (!last || at > last)
				last = at + strlen(keys[i]);
	return last ? plan_copy(plan, last, strcspn(last, " ")) : NULL;
}

void jobserver_parse(struct plan *plan, const char *makeflags)
{
	const char *value = makeflags ? find_last(plan, makeflags) : NULL;
	int read_fd, write_fd;
	char rest;

	if (!value)
		return;
	if (strncmp(value, "fifo:", 5) == 0 && value[5])
		plan->jobserver.fifo = value + 5;
	else if (sscanf(value, "%d,%d%c", &read_fd, &write_fd, &rest) == 2 && read_fd >= 0 &&
		 write_fd >= 0)
		plan->jobserver = (struct plan_jobserver){ NULL, read_fd, write_fd };
}
