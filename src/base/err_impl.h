/* SPDX-License-Identifier: MIT */
/*
 * The error object, for the sources of the error module and nobody else.
 *
 * An object is one block of memory: this struct, the return trace, the
 * pointers to what it owns, the list of cancelled children, and its texts,
 * in this order.
 *
 * E1. What an object owns (the members of a group, the cause of a wrap) was
 *     complete before it. So there are no cycles, and counting owners frees
 *     everything.
 * E2. Nothing of an object changes after it was made, but for: the count of
 *     owners and the mark `seen` (atomic, by any thread); the trace and
 *     cancel_pending (by the only owner).
 * E3. nodes, leaves, depth and primary sum up the whole tree. They are
 *     computed from the members when the object is made, so that no question
 *     about size needs a walk.
 * E4. Nothing here recurses: a tree may be 100,000 deep, and a task's stack
 *     is small.
 */
#ifndef CP_ERR_IMPL_H
#define CP_ERR_IMPL_H

#include "base/err.h"

#include <stdarg.h>
#include <stdatomic.h>

#define CP_ERR_TRACE_MAX 8      /* places kept in the return trace */
#define CP_ERR_MESSAGE_MAX 4096 /* bytes of a message */

enum {
	CP_ERR_DURING_CANCEL = 1 << 0,
	CP_ERR_TRUNCATED = 1 << 1,
	CP_ERR_RESERVED = 1 << 2, /* from the reserve, and goes back there */
	CP_ERR_IMMORTAL = 1 << 3, /* static: owners are not counted, nothing ever changes */
	CP_ERR_STRICT = 1 << 4,   /* a group whose code is COOP_EGROUP, or the fatal one */
};

struct cp_err_place {
	const char *file;
	const char *note; /* NULL: none */
	int line;
};

struct coop_error {
	_Atomic uint32_t refs;
	_Atomic bool seen; /* somebody looked at more than the primary */
	bool cancel_pending;
	uint8_t kind;  /* enum coop_error_kind */
	uint8_t flags; /* CP_ERR_* */
	int code;
	int line;
	int64_t when_ns;
	const char *file; /* this and func: string literals of the program */
	const char *func;
	const char *message;
	const char *task;
	const char *name;
	const struct coop_error *primary; /* a leaf of the tree below, or the object itself */
	uint64_t nodes;                   /* objects in the tree, causes too; sticks at the top */
	uint64_t leaves; /* leaves and wraps; what is behind a wrap is not counted */
	uint32_t depth;  /* longest way down, causes too; a leaf has 1 */
	uint32_t count;  /* of kids */
	uint32_t total;
	uint32_t cancelled;
	uint32_t gone_count;
	uint16_t trace_count;
	uint16_t trace_lost;           /* places that found no room */
	struct cp_err_place *trace;    /* CP_ERR_TRACE_MAX; NULL in an immortal */
	struct coop_error **kids;      /* of a group its members, of a wrap its cause; owned */
	struct cp_err_cancelled *gone; /* cancelled children */
	struct coop_error *next;       /* on the list of the dead, on the reserve's free list */
};

/* What a new object is made of. */
struct cp_err_make {
	int code;
	const char *file;
	const char *func;
	int line;
	const char *path;
	int64_t when_ns;
	bool during_cancel;
	struct coop_error *cause; /* taken; NULL: a leaf, else a wrap */
	const char *message;      /* used where fmt is NULL; NULL: the text of the code */
	const char *fmt;
	va_list *args;
};

/* What name and path may take of an object of the reserve, so that the message gets some too. */
#define CP_ERR_TIGHT_NAME 64
#define CP_ERR_TIGHT_PATH 160

/* The room for the texts of an object that is being made. */
struct cp_err_text {
	char *at;
	size_t left;
	bool tight; /* it is the reserve's, not measured for these texts */
	bool cut;   /* something did not fit */
};

/* ---- err.c */
/* Both NULL if there is none; else all fields are set, for an object without anything below. */
struct coop_error *cp_err_alloc(uint32_t kids, uint32_t gone, size_t text_bytes,
				struct cp_err_text *ret_text);
struct coop_error *cp_err_from_reserve(struct cp_err_text *ret_text);
/* Puts a text, in a tight room `tight_max` bytes of it at most; returns where it is now. */
const char *cp_err_put(struct cp_err_text *text, const char *from, size_t tight_max);
/* Makes objects the property of `error`, whose kind is set; computes what sums it up. */
void cp_err_adopt(struct coop_error *error, struct coop_error *const *kids, uint32_t count);
struct coop_error *cp_err_make(const struct cp_err_make *make); /* never NULL */
void cp_err_see(const struct coop_error *error);                /* sets the mark */
const char *cp_err_file(const char *file);                      /* without leading "../" */

/* ---- err_group.c */
/* NULL when the heap has no room, and then no member was taken. */
struct coop_error *cp_err_try_group(const struct cp_err_group *from);

/* ---- err_reserve.c */
#define CP_ERR_RESERVE_KIDS 3
#define CP_ERR_RESERVE_TEXT 384
struct coop_error *cp_err_reserve_get(void); /* trace and kids set; text: cp_err_reserve_text */
char *cp_err_reserve_text(struct coop_error *error);
void cp_err_reserve_put(struct coop_error *error);
struct coop_error *cp_err_immortal(enum coop_error_kind kind, int code);

/* ---- err_tree.c */
#define CP_ERR_WALK_INLINE 64

struct cp_err_frame {
	const struct coop_error *node;
	uint64_t at;   /* the number, in order of first visit, of the kid that is next */
	uint32_t next; /* index of the kid that is next */
};

enum cp_err_step {
	CP_ERR_END,
	CP_ERR_ENTER, /* the first visit of walk->node */
	CP_ERR_LEAVE, /* all below walk->node has been visited */
};

/*
 * A walk, parents before members. It keeps the way down to where it is: all
 * of it where memory allows, else the deepest CP_ERR_WALK_INLINE steps, and
 * finds the rest again by the numbers of the nodes (E3). So a walk never
 * fails; without memory it is slower on deep trees.
 */
struct cp_err_walk {
	const struct coop_error *root;
	const struct coop_error *node; /* what the last step was about */
	struct cp_err_frame *ring;     /* the frame of depth d is in ring[d % cap] */
	struct cp_err_frame *heap;
	uint32_t cap;
	uint32_t depth; /* frames on the way down */
	uint32_t kept;  /* of these, the deepest, still in the ring */
	bool causes;    /* go into what is behind a wrap */
	bool started;
	struct cp_err_frame own[CP_ERR_WALK_INLINE];
};

void cp_err_walk_begin(struct cp_err_walk *walk, const struct coop_error *root, bool causes);
enum cp_err_step cp_err_walk_step(struct cp_err_walk *walk);
const struct coop_error *cp_err_walk_leaf(struct cp_err_walk *walk); /* NULL at the end */
void cp_err_walk_end(struct cp_err_walk *walk);

#endif
