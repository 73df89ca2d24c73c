/* SPDX-License-Identifier: MIT */
/*
 * Errors: a negative int that travels, and a tree beside it that explains.
 *
 * The int is enough for a program that wants no more: zero or more is success,
 * a negative number is a code. Beside it each task has one slot that may hold
 * an error object: message, place, time, task, and for a group every failure
 * in it. The object belongs to the code that is being returned: it counts only
 * while the number that travels is the number it was made for, so code that
 * knows nothing of objects mixes freely with code that makes them.
 *
 * When the object in the slot is over:
 *   - it was taken (coop_error_take) or forgotten (coop_error_clear);
 *   - a newer one took its place (coop_fail, coop_wrap, a group's join);
 *   - a block ended well: coop_group_join or coop_scope_close with zero or more.
 * A successful call in between, a sleep in the clean-up, say, does not touch it.
 *
 * Objects never change once they are in a tree and are counted: keep one with
 * coop_error_ref, drop it with coop_error_unref. They may be read by any thread.
 *
 * COOP_ECANCELED has no object: why a task is cancelled is asked of its scope
 * (coop_cancel_reason), so cancelling allocates nothing.
 */
#ifndef COOP_ERROR_H
#define COOP_ERROR_H

#include <coop/base.h>

#include <errno.h>
#include <stdio.h>

COOP_BEGIN_DECLS

/*
 * A code is negative; its magnitude is [fatal:1][cancelish:1][domain:13][code:16].
 * Domain 0 is the system's: there a code is plain -errno. Domain 1 is coop's.
 * Programs may register domains from COOP_DOMAIN_USER on.
 */
#define COOP_DOMAIN_OS 0
#define COOP_DOMAIN_COOP 1
#define COOP_DOMAIN_USER 16
#define COOP_DOMAIN_MAX 0x1fff

#define COOP_CODE_FATAL_BIT 0x40000000
#define COOP_CODE_CANCEL_BIT 0x20000000

/** An error code of a domain; `code` is 1 to 65535. */
#define COOP_CODE(domain, code) (-((int)(domain) << 16 | (int)(code)))
/** The same in the fatal class: a group puts it before all others, under any policy. */
#define COOP_CODE_FATAL(domain, code) \
	(-(COOP_CODE_FATAL_BIT | (int)(domain) << 16 | (int)(code)))

/*
 * The one table of coop's own codes: X(name, number, bits, word, text).
 * Where errno has a word, coop returns plain -errno (-EINVAL, -ENOMEM, -EAGAIN,
 * -EPERM, -EBUSY, -EDEADLK, -EALREADY, -EPIPE, -EOVERFLOW ...). A call that returns COOP_ENOTASK
 * outside of tasks returns COOP_EFORK in the child of a fork by a task, also where its list of
 * errors does not say so.
 */
#define COOP_ERROR_TABLE(X) \
	X(COOP_ECANCELED, 1, COOP_CODE_CANCEL_BIT, "cancelled", "this task is cancelled") \
	X(COOP_ETASKCANCELLED, 2, 0, "task-cancelled", "the task asked after was cancelled") \
	X(COOP_ETIMEDOUT, 3, 0, "timeout", "the time limit was reached") \
	X(COOP_EOF, 4, 0, "end", "closed and drained") \
	X(COOP_ECLOSED, 5, 0, "closed", "used after it was closed") \
	X(COOP_ENOTOPEN, 6, 0, "not-open", "used before it was opened") \
	X(COOP_ENOTSTARTED, 7, 0, "not-started", "the task ended without coop_started") \
	X(COOP_EMISNEST, 8, 0, "misnest", "closed while an inner one is open") \
	X(COOP_ESPURIOUSCANCEL, 9, 0, "spurious-cancel", "cancelled, but by nothing") \
	X(COOP_EOWNERDEAD, 10, 0, "owner-dead", "its owner ended while holding it") \
	X(COOP_EBROKEN, 11, 0, "broken", "it can no longer be completed") \
	X(COOP_ENOTASK, 12, 0, "no-task", "called outside a task") \
	X(COOP_EWRONGTHREAD, 13, 0, "wrong-thread", "called on another runtime's thread") \
	X(COOP_EWRONGTASK, 14, 0, "wrong-task", "another task opened it") \
	X(COOP_EFORK, 15, 0, "fork", "no runtime lives on in a forked child") \
	X(COOP_EINTERRUPT, 16, COOP_CODE_FATAL_BIT, "interrupt", "stopped by a signal") \
	X(COOP_EINTERNAL, 17, COOP_CODE_FATAL_BIT, "internal", "a callback or system task failed") \
	X(COOP_EGROUP, 18, 0, "group", "a group failed") \
	X(COOP_EPROCESS, 19, 0, "process", "a process did not end well")

/* clang-format off */
#define COOP_ECANCELED        (-(COOP_CODE_CANCEL_BIT | COOP_DOMAIN_COOP << 16 | 1))
#define COOP_ETASKCANCELLED   COOP_CODE(COOP_DOMAIN_COOP, 2)
#define COOP_ETIMEDOUT        COOP_CODE(COOP_DOMAIN_COOP, 3)
#define COOP_EOF              COOP_CODE(COOP_DOMAIN_COOP, 4)
#define COOP_ECLOSED          COOP_CODE(COOP_DOMAIN_COOP, 5)
#define COOP_ENOTOPEN         COOP_CODE(COOP_DOMAIN_COOP, 6)
#define COOP_ENOTSTARTED      COOP_CODE(COOP_DOMAIN_COOP, 7)
#define COOP_EMISNEST         COOP_CODE(COOP_DOMAIN_COOP, 8)
#define COOP_ESPURIOUSCANCEL  COOP_CODE(COOP_DOMAIN_COOP, 9)
#define COOP_EOWNERDEAD       COOP_CODE(COOP_DOMAIN_COOP, 10)
#define COOP_EBROKEN          COOP_CODE(COOP_DOMAIN_COOP, 11)
#define COOP_ENOTASK          COOP_CODE(COOP_DOMAIN_COOP, 12)
#define COOP_EWRONGTHREAD     COOP_CODE(COOP_DOMAIN_COOP, 13)
#define COOP_EWRONGTASK       COOP_CODE(COOP_DOMAIN_COOP, 14)
#define COOP_EFORK            COOP_CODE(COOP_DOMAIN_COOP, 15)
#define COOP_EINTERRUPT       COOP_CODE_FATAL(COOP_DOMAIN_COOP, 16)
#define COOP_EINTERNAL        COOP_CODE_FATAL(COOP_DOMAIN_COOP, 17)
#define COOP_EGROUP           COOP_CODE(COOP_DOMAIN_COOP, 18)
#define COOP_EPROCESS         COOP_CODE(COOP_DOMAIN_COOP, 19)
/** Asks the program to end with exit status n, 0 to 255; fatal class. */
#define COOP_EEXIT(n)         COOP_CODE_FATAL(COOP_DOMAIN_COOP, 0x100 | ((n) & 0xff))
/* clang-format on */

/** True for COOP_ECANCELED, and for no other code: the kernel's -ECANCELED is an ordinary error. */
static inline bool coop_is_cancel(int rc)
{
	return rc == COOP_ECANCELED;
}

/** True for coop's timeout and for the system's. */
static inline bool coop_is_timeout(int rc)
{
	return rc == COOP_ETIMEDOUT || rc == -ETIMEDOUT;
}

/** True for a code of the fatal class. */
static inline bool coop_is_fatal(int rc)
{
	return rc < 0 && ((unsigned)-(rc + 1) + 1u) & (unsigned)COOP_CODE_FATAL_BIT;
}

/**
 * Registers the words of a domain of codes.
 *
 * `name` and `text` are kept until the process ends. `text` gets the 16-bit
 * number of a code and returns its text, or NULL; it may be NULL itself.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (domain out of range, no name), -EEXIST (number or name
 *   taken), -ENOSPC (64 domains registered).   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_domain_register(int domain, const char *name, const char *(*text)(int number));

/**
 * Puts the short form of a code into `buf`: "EIO", "COOP_ETIMEDOUT", "app:22".
 *
 * Returns `buf`, always ended by a NUL, cut where `size` is too small.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
char *coop_code_name(int code, char *buf, size_t size);

/**
 * Gives the text of a code: "the time limit was reached".
 *
 * Returns a text that lives as long as the process.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
const char *coop_code_text(int code);

/* ------------------------------------------------------------- making one */

/** An error object: counted, never changed, opaque. */
struct coop_error;

/**
 * Makes an error object for `code` and leaves it in the task's slot.
 *
 * Use the macro coop_fail. Message arguments are formatted at once, 4096 bytes
 * at most; an empty message is replaced by the text of the code. Without memory
 * the code still travels and the object is a poorer one. errno stays as it was.
 * `file` and `func` are kept for as long as the object: literals, as the macro
 * gives them. COOP_ECANCELED has no object: the slot is left as it is.
 *
 * Returns `code`, so that it can stand in a return. A code that is not
 * negative is a mistake of the program and comes back as -EINVAL.
 *
 * Checkpoint: never.   Errors: see Returns.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE COOP_PRINTF(5, 6)
int coop_fail_at(int code, const char *file, int line, const char *func, const char *fmt, ...);

/** `return coop_fail(-EIO, "reading %s", path);` */
#define coop_fail(code, ...) coop_fail_at((code), __FILE__, __LINE__, __func__, __VA_ARGS__)

/**
 * Makes an error of `code` whose cause is the error `rc` that just travelled.
 *
 * Use the macro coop_wrap. The object of `rc`, if there is one in the slot,
 * becomes the cause; a bare `rc` gets a plain object; where `rc` is not negative
 * there is no cause. Otherwise as coop_fail.
 *
 * Returns `code`; COOP_ECANCELED is never wrapped and comes back as it is.
 *
 * Checkpoint: never.   Errors: see Returns.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE COOP_PRINTF(6, 7)
int coop_wrap_at(int rc, int code, const char *file, int line, const char *func, const char *fmt,
		 ...);

/** `return coop_wrap(r, -EPROTO, "bad greeting from %s", peer);` */
#define coop_wrap(rc, code, ...) \
	coop_wrap_at((rc), (code), __FILE__, __LINE__, __func__, __VA_ARGS__)

/**
 * Notes in the return trace that `rc` passed here, if it is negative.
 *
 * Use the macro COOP_AT. The trace keeps the first eight places, and counts the
 * others. A bare code gets its object here, made at this place. While the
 * object has other owners than the slot, the place is not noted.
 *
 * Returns `rc`.
 *
 * Checkpoint: never.   Errors: see Returns.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_trace_at(int rc, const char *file, int line, const char *note);

/** `r = COOP_AT(parse(x)); if (r < 0) return r;`: yields the value, never returns by itself. */
#define COOP_AT(expr) coop_trace_at((expr), __FILE__, __LINE__, NULL)
/** The same with a literal note. */
#define COOP_AT_NOTE(expr, note) coop_trace_at((expr), __FILE__, __LINE__, "" note)

/* ---------------------------------------------------------------- the slot */

/**
 * Takes the error object that belongs to `rc` out of the task's slot.
 *
 * Returns an object of the caller's, to be dropped with coop_error_unref. A
 * bare code gets a plain object. NULL if `rc` is not negative, or is
 * COOP_ECANCELED, which has no object.
 *
 * Checkpoint: never.   Errors: none; without memory a static object.
 * Thread: any; outside a task the slot is the thread's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
struct coop_error *coop_error_take(int rc);

/**
 * Looks at the error object that belongs to `rc` and leaves it in the slot.
 *
 * Returns an object borrowed until the slot changes, or NULL as for take. A
 * bare code gets a plain object here, too.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
const struct coop_error *coop_error_peek(int rc);

/**
 * Puts `error` (taken) into the slot, to travel on.
 *
 * Returns its code; 0 for NULL.
 *
 * Checkpoint: never.   Errors: see Returns.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_error_raise(struct coop_error *error);

/**
 * Forgets what is in the slot: the error has been handled.
 *
 * If it held several errors and nobody looked at more than its primary leaf
 * (coop_error_describe, member, find, leaves, split, print or json of the
 * group), one line at level WARN names the others.
 *
 * Returns nothing.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
void coop_error_clear(void);

/**
 * Counts one more owner.   Returns `error`; NULL stays NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
struct coop_error *coop_error_ref(const struct coop_error *error);

/**
 * Counts one owner less and frees the tree with the last; NULL is fine.
 *
 * Returns NULL, so that `e = coop_error_unref(e)` leaves nothing behind.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
struct coop_error *coop_error_unref(struct coop_error *error);

/* ----------------------------------------------------------------- reading */

enum coop_error_kind {
	COOP_ERROR_LEAF,  /* one failure */
	COOP_ERROR_GROUP, /* what a group returns: every failure in it */
	COOP_ERROR_WRAP,  /* one failure with a cause */
};

/** What an object says of itself. Texts are borrowed from the object and never NULL. */
struct coop_error_info {
	int code;                        /* for a group: that of its primary leaf */
	enum coop_error_kind kind;
	const char *message;
	const char *file;                /* where it was made; "" if unknown */
	const char *func;
	int line;
	int64_t when_ns;                 /* the run's clock, from the start of the run */
	const char *task;                /* path: "main/pages/fetch" */
	const char *name;                /* a group's name, else "" */
	uint32_t members;                /* of a group: errors kept */
	uint32_t members_total;          /* of a group: errors there were */
	uint32_t cancelled;              /* of a group: children that ended cancelled */
	bool cancel_pending;             /* of a group: a cancellation from outside passed too */
	bool during_cancel;              /* failed while it was being cancelled */
	bool truncated;                  /* memory ran short: something is missing */
	const struct coop_error *cause;  /* of a wrap; borrowed; else NULL */
	uint64_t _reserved[4];
};

/**
 * Tells what is in an error object.
 *
 * Returns nothing; fills `ret_info`, whose texts live as long as `error`.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
void coop_error_describe(const struct coop_error *error, struct coop_error_info *ret_info);

/**
 * Gives the code of an object.   Returns it; 0 for NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_error_code(const struct coop_error *error);

/**
 * Gives member `index` of a group's error, in order of completion.
 *
 * Returns an object borrowed from `error`, or NULL past the end and for what
 * is no group.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
const struct coop_error *coop_error_member(const struct coop_error *error, uint32_t index);

/**
 * Finds the primary leaf: the first of the fatal class, else the first in time.
 *
 * Returns an object borrowed from `error`; of a leaf, itself; NULL for NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
const struct coop_error *coop_error_primary(const struct coop_error *error);

/**
 * Asks whether any error of the tree has this code: leaf, group, or cause.
 *
 * Returns true or false; false for NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
bool coop_error_is(const struct coop_error *error, int code);

/** Says whether a leaf is meant. */
typedef bool coop_error_match(const struct coop_error *leaf, void *ctx);

/**
 * Finds the first leaf for which `match` is true, in order of completion.
 *
 * Returns an object borrowed from `error`, or NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
const struct coop_error *coop_error_find(const struct coop_error *error, coop_error_match *match,
					 void *ctx);

/**
 * Divides a tree into the leaves for which `match` is true and the rest.
 *
 * Nesting and order are kept. `error` is borrowed. Each result is the caller's
 * and is NULL where its side is empty; where all leaves are on one side, that
 * side is `error` itself with one more owner, and nothing is allocated.
 * `match` is asked once for each leaf, in order. Where a group is divided, a
 * cancellation that is pending and the errors that were not kept go with the
 * rest, the cancelled children are told of by both.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -ENOMEM (nothing written).   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_error_split(const struct coop_error *error, coop_error_match *match, void *ctx,
		     struct coop_error **ret_match, struct coop_error **ret_rest);

/** Called for one leaf; a value other than 0 ends the walk. */
typedef int coop_error_visit(const struct coop_error *leaf, void *ctx);

/**
 * Visits every leaf in order of completion, whatever the nesting.
 *
 * Returns 0, or what `visit` returned to end the walk.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_error_leaves(const struct coop_error *error, coop_error_visit *visit, void *ctx);

enum {
	COOP_PRINT_TIMES = 1 << 0, /* t= stamps */
	COOP_PRINT_PLAIN = 1 << 1, /* ASCII branches */
};

/**
 * Prints an error as a tree: members, places, tasks, traces, who was cancelled and why.
 *
 * Deterministic: no addresses, no wall-clock time. Output is bounded: at most
 * 200 nodes and 32 levels, then "... n more"; the primary leaf is always shown.
 * Control characters in texts are shown as \n, \x1b.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EIO (the stream has an error).   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_error_print(FILE *out, const struct coop_error *error, unsigned flags);

/**
 * Prints the same as one line of JSON, without bounds and ended by a newline.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EIO (the stream has an error).   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_error_json(FILE *out, const struct coop_error *error);

COOP_END_DECLS

#endif
