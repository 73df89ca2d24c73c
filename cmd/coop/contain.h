/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * --contain cgroup: all tasks of the job are in a group that the kernel kills as a whole, and a
 * third process, the keeper, has it killed when guard and runtime have died at one instant.
 */

#include "guard.h"

/* Makes the group and the keeper, before the runtime is started: 0, or -errno. */
int contain_open(struct guard *shared);

/* Ends what is in the group, and takes it away. */
void contain_close(struct guard *shared);
