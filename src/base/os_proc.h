/* SPDX-License-Identifier: MIT */
/* The seam to the world: what /proc tells of processes. Each answer may be old when it is read. */
#ifndef CP_OS_PROC_H
#define CP_OS_PROC_H

#include "base/os.h"

struct cp_proc {
	int pid;
	int parent;
	int group;
	int session;
	uint64_t since; /* clock ticks since boot: with the number, what makes it unmistakable */
	char state; /* R, S, D, T, Z ... as ps says; not Z while a thread lives, whatever ps says */
	char name[16];
};

/* Called with a number each; true ends the walk. */
typedef bool cp_proc_fn(int pid, void *ctx);

/* Of one process: 0, -ESRCH, or another -errno. */
int cp_os_proc(int pid, struct cp_proc *ret_proc);
/* All processes there are: 0, or -errno. */
int cp_os_proc_all(cp_proc_fn *fn, void *ctx);
/* The children of one: 0, -ESRCH; -ENOTSUP: this kernel does not list them. */
int cp_os_proc_children(int pid, cp_proc_fn *fn, void *ctx);

#endif
