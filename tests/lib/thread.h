/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Threads of this process: for tests of who sleeps where another would spin.
 */

#include "test.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static inline pid_t thread_id(void)
{
	return (pid_t)syscall(SYS_gettid);
}

/* Does that thread of this process sleep? */
static inline bool thread_sleeps(pid_t tid)
{
	char path[64], line[256] = "";
	const char *state;
	FILE *f;

	snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
	f = fopen(path, "re");
	CHECK(f && fgets(line, sizeof line, f));
	fclose(f);
	state = strrchr(line, ')');
	CHECK(state && state[1] == ' ');
	return state[2] == 'S';
}
