/* SPDX-License-Identifier: MIT */
/*
 * Errors, from the inside: how the core makes a group's error, and how an
 * error learns in which task it is.
 */
#ifndef CP_ERR_H
#define CP_ERR_H

#include "base.h"

#include <coop/error.h>

/* Where an object in the making finds itself. Filled by the core's hook. */
struct cp_err_here {
	struct coop_error **slot; /* the running task's; the thread's outside of tasks */
	int64_t when_ns;          /* since the start of the run */
	bool during_cancel;       /* the task is effectively cancelled */
	char path[160];           /* task path; "" outside; long ones keep their end: ".../a/b" */
};

/*
 * Set once by the core when the first run starts, never unset; NULL before.
 * Fills `here` for the running task, or returns false outside of tasks, and
 * then nothing was written. `want_path` false: the path is not needed.
 */
extern bool (*cp_err_locate)(struct cp_err_here *here, bool want_path);

/*
 * As coop_error_describe, but it does not count as looking at the error: for
 * the runtime's own use. (coop_error_clear warns of errors nobody looked at.)
 */
void cp_err_describe(const struct coop_error *error, struct coop_error_info *ret_info);

/* The thread's own slot, used outside of tasks. */
struct coop_error **cp_err_thread_slot(void);

/* Drops what is in the slot of the running task, silently. */
void cp_err_slot_drop(struct coop_error **slot);

/*
 * Around a scope that is a call's own: the good end of a block ends the error in the slot, but one
 * that was on its way when the call began is none of this block. What the call has failed with
 * takes its place.
 */
struct coop_error *cp_err_slot_aside(struct coop_error **slot);
void cp_err_slot_back(struct coop_error **slot, struct coop_error *aside);

/*
 * Takes the object that belongs to `rc` from `slot`, or makes a plain one with
 * the given place and path. Never NULL for rc < 0 other than COOP_ECANCELED.
 * `slot` is empty afterwards (an object of another code in it is stale and dropped).
 */
struct coop_error *cp_err_claim(struct coop_error **slot, int rc, const char *file, int line,
				const char *func, const char *path, int64_t when_ns,
				bool during_cancel);

/* A child that ended cancelled, as the group's error tells of it. */
struct cp_err_cancelled {
	char who[96];        /* task path */
	char why[192];       /* `child "Task 2" failed (demo2.c:18)` */
	char blocked_in[48]; /* `coop_sleep 1.000s`, or "" */
};

/* What the core knows of a failed group. */
struct cp_err_group {
	const char *name; /* "" if it has none */
	const char *path; /* path of the task that opened it */
	const char *file; /* where it was opened */
	int line;
	int64_t when_ns;             /* since the start of the run */
	struct coop_error **members; /* taken; the array stays the caller's, its order may change */
	uint32_t count;
	uint32_t total;     /* errors there were; more than count where capped, 0: count */
	uint32_t cancelled; /* children that ended cancelled */
	const struct cp_err_cancelled *gone; /* some of them */
	uint32_t gone_count;
	bool cancel_pending;
	bool strict; /* its code is COOP_EGROUP, if the primary's is not of the fatal class */
	bool first;  /* the primary is the first member's, whatever class the others are of */
};

/*
 * Builds a group's error: never NULL. Its code is that of the primary leaf:
 * the first fatal-class leaf if there is one, else (`strict` apart) the first in time; of a
 * group without members COOP_EGROUP. A member that is given twice (the same object)
 * appears once. Without memory an object from the reserve, with the first, the
 * primary and the last member, marked truncated; without reserve a static one.
 */
struct coop_error *cp_err_new_group(const struct cp_err_group *from);

/* A leaf made by the runtime itself (a timeout, a spurious cancel, ...). Never NULL. */
struct coop_error *cp_err_new_leaf(int code, const char *file, int line, const char *func,
				   const char *path, int64_t when_ns, bool during_cancel,
				   const char *message);

/* A wrap made by the runtime; `cause` is taken (may be NULL). Never NULL. */
struct coop_error *cp_err_new_wrap(int code, struct coop_error *cause, const char *file, int line,
				   const char *func, const char *path, int64_t when_ns,
				   const char *message);

/*
 * Are these one error that was reported twice? Static objects stand for different failures
 * that had no memory, and never are.
 */
bool cp_err_same(const struct coop_error *a, const struct coop_error *b);

/* The group flag `cancel_pending` of an error. */
bool cp_err_cancel_pending(const struct coop_error *error);

/*
 * The same error without the flag, for the scope that caught the cancellation. `error` is taken:
 * it is changed itself only where it has no other owner, else the result is another group with
 * the same members. Without memory for that one the flag stays.
 */
struct coop_error *cp_err_caught(struct coop_error *error);

/* A reserve of objects for hard times, shared by all runs of the process; counted. */
int cp_err_reserve_open(void); /* -ENOMEM */
void cp_err_reserve_close(void);
#endif
