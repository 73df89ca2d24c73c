/* SPDX-License-Identifier: MIT */
/*
 * What the testing library needs of the core, as one exported table.
 *
 * It works with the shared library too, where nothing else of the inside can be reached. Not for
 * programs: it changes with every version, and says so by its number.
 */
#ifndef CP_PRIVATE_H
#define CP_PRIVATE_H

#include "core/core.h"

#define CP_PRIVATE_VERSION 1

struct cp_private {
	struct cp_rt *(*rt)(void);
	int (*no_task)(void);
	int (*cancel_point)(struct cp_rt *rt);
	void (*schedule_point)(struct cp_rt *rt);
	int (*park)(struct cp_rt *rt, struct cp_wait *wait);
	void (*wake)(struct cp_rt *rt, struct coop_task *t, int result);
	int64_t (*clock)(struct cp_rt *rt);
	bool (*cancel_why)(struct cp_rt *rt, struct coop_scope *s, const struct cp_why *why);
	int64_t (*os_now)(void);
	size_t (*task_path)(const struct coop_task *t, char *buf, size_t size);
	void (*die)(const char *fmt, ...); /* does not return */
	struct cp_os_faults *faults;
	void (*on_next_run)(uint8_t hook_bit, cp_checkpoint_hook *hook, void *ctx);
	int (*spawn_system)(struct cp_rt *rt, coop_fn *fn, void *arg, const char *name);
};

/* NULL if the library has another version of the table. */
COOP_API const void *coop_private(unsigned version);

#endif
