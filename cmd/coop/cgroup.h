/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The cgroup (version 2) that we are in, and whether it has been delegated: whether we may make
 * groups below it.
 */

#include <stdbool.h>
#include <stddef.h>

enum { CGROUP_PATH_MAX = 512 };

struct cgroup {
	char path[CGROUP_PATH_MAX]; /* of its folder; empty where there is none */
	bool has_kill;              /* groups below it have cgroup.kill */
};

/* 0 if it is delegated; -ENOENT: there is no version 2; else why a group cannot be made. */
int cgroup_find(struct cgroup *ret_cgroup);

/* The text of one of its files, without the newline. */
int cgroup_read(const struct cgroup *cgroup, const char *file, char *buf, size_t size);
