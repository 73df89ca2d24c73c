/* SPDX-License-Identifier: MIT */
/*
 * Scopes: a stretch of code that can be cancelled, given a deadline, shielded.
 *
 *	struct coop_scope s = COOP_SCOPE_INIT;
 *
 *	coop_scope_open(&s, &(struct coop_scope_opts){ .timeout_ns = COOP_SECONDS(2) });
 *	r = fetch(url);
 *	r = coop_scope_close(&s, r);    // 0 if the time was up: the scope caught it
 *
 * Cancelling is a request and it stays: while a scope is cancelled, every
 * checkpoint inside returns COOP_ECANCELED and has done nothing. It reaches
 * all scopes and groups opened inside, and the tasks of those groups, in one
 * pass. A call that had already succeeded keeps its result; the next one is
 * cancelled. There is no way to take a cancel back but to leave the scope.
 *
 * Leaving: a scope that was cancelled itself turns COOP_ECANCELED into 0, unless
 * a cancellation from outside is visible in it too: then the outer one wins.
 *
 * A hard shield hides cancellations from outside. A soft shield hides them for a
 * time: at most its own limit, and at most what is left of the grace that the
 * canceller gave. Its own cancel and its own deadline reach into either.
 */
#ifndef COOP_SCOPE_H
#define COOP_SCOPE_H

#include <coop/base.h>

COOP_BEGIN_DECLS

struct coop_task;
struct coop_defer;

/** Lives on the stack of the task that opens it, or in memory that outlives the block. */
struct coop_scope {
	uint8_t _state; /* from here on: one aligned word */
	uint8_t _name;
	uint8_t _more;
	uint8_t _cause_source;
	uint8_t _own;
	uint8_t _eff;
	uint8_t _shield;
	uint8_t _flags; /* and to here */
	int32_t _cause_code;
	uint32_t _limit_ms;
	struct coop_scope *_outer;
	struct coop_task *_task;
	int64_t _until_ns;
	int64_t _deadline_ns;
	struct coop_defer *_defers;
	const void *_cause;
	void *_timer_next;
	void *_timer_prev;
	int64_t _timer_key;
	int64_t _own_until_ns;
	int64_t _grace_ns;
	int64_t _soft_ns;
	int64_t _soft_at_ns;
	int64_t _cause_ns;
	struct coop_scope *_inner;
	const char *_site;
};
/*
 * In the order of the members. Neighbours are alike, so that a compiler stores two at a time; and
 * many are not zero, so that it does not clear the whole, which takes far longer.
 */
#define COOP_SCOPE_INIT_AS(flags) \
	{ 0x5c, 0, 0, 0, 0, 0, 0, (flags), 0, 0, 0, 0, COOP_NEVER, COOP_NEVER, 0, 0, 0, 0, \
	  COOP_NEVER, COOP_NEVER, COOP_NEVER, COOP_NEVER, COOP_NEVER, COOP_NEVER, 0, 0 }
#define COOP_SCOPE_INIT COOP_SCOPE_INIT_AS(0)
COOP_STATIC_ASSERT(sizeof(struct coop_scope) == 144, "struct coop_scope is ABI");

/** Options of a scope; all zero: a plain cancel scope. */
struct coop_scope_opts {
	const char *name;     /* copied */
	int64_t timeout_ns;   /* from opening; 0: none. Not together with deadline_ns */
	int64_t deadline_ns;  /* absolute, may be past; 0 or COOP_NEVER: none */
	bool shield;          /* hard */
	int64_t soft_shield_ns; /* soft, at most this long; COOP_NEVER: as long as the grace */
	bool fail_on_timeout; /* close returns COOP_ETIMEDOUT when its own deadline ended it */
	int64_t grace_ns;     /* of cancels by its deadline; 0: the runner's; COOP_NO_GRACE */
	uint64_t _reserved[8];
};

/** Source file and line, as one literal of two strings. */
#define COOP_TEXT_1(x) #x
#define COOP_TEXT(x) COOP_TEXT_1(x)
#define COOP_HERE __FILE__ "\0" COOP_TEXT(__LINE__)

/**
 * Opens `scope` as the innermost of the running task.
 *
 * Use the macro coop_scope_open. `scope` is kept until it is closed; `opts` is
 * borrowed. A failure sticks: close reports it. A scope may have been cancelled
 * before, and may be opened once.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (options), -EALREADY (opened before), COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API
int coop_scope_open_at(struct coop_scope *scope, const struct coop_scope_opts *opts,
		       const char *site);
/* The options may be a literal with commas in it, which is why this is variadic. */
#define coop_scope_open(scope, ...) coop_scope_open_at((scope), __VA_ARGS__, COOP_HERE)

/**
 * Closes `scope`, which must be the innermost of the running task.
 *
 * `rc` says how the body went. Deferred clean-ups run first, shielded with the
 * grace; their failures become leaves of an error.
 *
 * Returns `rc`, save that COOP_ECANCELED becomes 0 (or COOP_ETIMEDOUT, see
 * fail_on_timeout) where the scope caught its own cancellation.
 *
 * Checkpoint: never, but for what deferred clean-ups do.
 * Errors: what `rc` was; COOP_ETIMEDOUT; COOP_EWRONGTASK, COOP_ECLOSED (nothing
 *   changed); what opening it failed with. An inner one still open aborts the
 *   program, naming both places.
 * Thread: the runtime's, in the task that opened it.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_scope_close(struct coop_scope *scope, int rc);

/**
 * Cancels `scope` with a reason (copied, cut at 63 bytes; NULL: none).
 *
 * Use the macro coop_scope_cancel. Soft shields inside may go on for the
 * runner's grace; coop_scope_cancel_grace gives another, in nanoseconds, 0 for
 * none. Cancelling again changes nothing but can shorten the grace; the first
 * reason stays. Before opening, it takes effect on opening.
 *
 * Returns 0, or 1 if it was closed already, or cancelled already.
 *
 * Checkpoint: never; never allocates.
 * Errors: -EINVAL (negative grace), COOP_EWRONGTHREAD, COOP_EFORK.
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API
int coop_scope_cancel_at(struct coop_scope *scope, const char *reason, int64_t grace_ns,
			 const char *site);
#define coop_scope_cancel(scope, reason) \
	coop_scope_cancel_at((scope), (reason), COOP_NEVER, COOP_HERE)
#define coop_scope_cancel_grace(scope, reason, grace_ns) \
	coop_scope_cancel_at((scope), (reason), (grace_ns), COOP_HERE)

/**
 * Moves the deadline of an open scope, earlier or later; COOP_NEVER: none.
 *
 * From any task. A deadline that is not in the future cancels at once.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EALREADY (cancelled already: a cancel is never taken back),
 *   COOP_ENOTOPEN, COOP_ECLOSED, COOP_EWRONGTHREAD.
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_scope_set_deadline(struct coop_scope *scope, int64_t deadline_ns);

/**
 * Raises or lowers the hard shield of a scope, with effect at once; before opening too.
 *
 * Lowering it where a cancellation waits outside interrupts the call that is
 * blocked inside.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_ECLOSED, COOP_EWRONGTHREAD.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_scope_set_shield(struct coop_scope *scope, bool shield);

/**
 * Tells whether the scope was cancelled itself, or its deadline has passed.
 *
 * Returns true or false, also after closing.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
bool coop_scope_cancel_called(const struct coop_scope *scope);

/**
 * Tells whether a closed scope ended its own cancellation, alone or out of an error.
 *
 * Returns true or false.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
bool coop_scope_caught(const struct coop_scope *scope);

/**
 * Tells by how much a closed scope overran its deadline.
 *
 * Returns nanoseconds, 0 if it did not; to the reading of the clock that the loop
 * takes once a turn.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int64_t coop_scope_late_ns(const struct coop_scope *scope);

/** What cancelled. */
enum coop_cancel_source {
	COOP_CANCEL_NONE,
	COOP_CANCEL_CALL,     /* coop_scope_cancel, coop_group_cancel, coop_handle_cancel */
	COOP_CANCEL_DEADLINE, /* a deadline */
	COOP_CANCEL_FAILURE,  /* a child or the body of a group failed */
	COOP_CANCEL_BODY,     /* the body of a group was cancelled */
	COOP_CANCEL_CHILD,    /* a child of a group was cancelled, or an essential one ended */
	COOP_CANCEL_JOIN,     /* cancel_on_join, or the last user of a service has ended */
	COOP_CANCEL_SIGNAL,   /* SIGINT, SIGTERM */
	COOP_CANCEL_SHUTDOWN, /* coop_stop, the end of the main task */
	COOP_CANCEL_DEADLOCK, /* everything was blocked */
};

/** Why something is cancelled. Texts are never NULL. */
struct coop_cancel_info {
	enum coop_cancel_source source;
	int code;              /* of the failure; the signal's number; else 0 */
	unsigned depth;        /* scopes between the asking place and the cancelled one */
	int64_t when_ns;       /* the clock, when it was cancelled */
	char site[112];        /* "file:line"; "" if unknown */
	char text[COOP_NAME_MAX + 1];
	char who[96];          /* path of the task that did it; "" for none */
	uint64_t _reserved[4];
};

/**
 * Tells why the running task is cancelled where it stands.
 *
 * Of several cancelled scopes that are visible, the outermost counts.
 *
 * Returns true, or false (source COOP_CANCEL_NONE) if it is not cancelled.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API
bool coop_cancel_reason(struct coop_cancel_info *ret_info);

/**
 * Tells why `scope` is or was cancelled, by itself or through one outside it.
 *
 * Returns true, or false if it is not.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API
bool coop_scope_reason(const struct coop_scope *scope, struct coop_cancel_info *ret_info);

/**
 * Puts a reason into one line: `child "fetch" failed (main.c:12)`.
 *
 * Returns `buf`, cut where it is too small.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
char *coop_cancel_text(const struct coop_cancel_info *info, char *buf, size_t size);

/**
 * Gives the earliest deadline that will cancel the running task where it stands.
 *
 * Returns an absolute time; COOP_NEVER for none, INT64_MIN if it is cancelled
 * already. Shields hide what is outside.
 *
 * Checkpoint: never.   Errors: none (COOP_NEVER outside a task).
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int64_t coop_effective_deadline(void);

/**
 * Counts the shields around the running task, up to the root.
 *
 * Returns the count, 0 outside a task.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
unsigned coop_shield_depth(void);

/**
 * Runs fn(arg) in a scope with a time limit that is an error.
 *
 * Use the macro coop_fail_after.
 *
 * Returns what fn returns, or COOP_ETIMEDOUT if, and only if, this limit ended
 * it; the error says the limit, the time it took and what it was blocked in.
 *
 * Checkpoint: never by itself; what fn does.
 * Cancel: passes through.
 * Errors: fn's; COOP_ETIMEDOUT; -EINVAL (negative timeout, or no fn; it was not run);
 *   COOP_ENOTASK.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_fail_after_at(int64_t timeout_ns, coop_fn *fn, void *arg, const char *site);
#define coop_fail_after(timeout_ns, fn, arg) \
	coop_fail_after_at((timeout_ns), (fn), (arg), COOP_HERE)

/**
 * Runs fn(arg) in a scope with a time limit that is no error: 0 when it is reached.
 *
 * Use the macro coop_move_on_after.
 *
 * Returns what fn returns, or 0.
 *
 * Checkpoint: never by itself; what fn does.
 * Cancel: passes through.
 * Errors: fn's; -EINVAL (negative timeout, or no fn; it was not run); COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_move_on_after_at(int64_t timeout_ns, coop_fn *fn, void *arg, const char *site);
#define coop_move_on_after(timeout_ns, fn, arg) \
	coop_move_on_after_at((timeout_ns), (fn), (arg), COOP_HERE)

/**
 * Runs fn(arg) behind a hard shield.   Use the macro coop_shield.
 *
 * Returns what fn returns.
 *
 * Checkpoint: never by itself; what fn does.
 * Errors: fn's; -EINVAL (no fn); COOP_ENOTASK.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_shield_at(coop_fn *fn, void *arg, const char *site);
#define coop_shield(fn, arg) coop_shield_at((fn), (arg), COOP_HERE)

/**
 * Runs fn(arg) behind a soft shield of at most `max_ns`, within the canceller's grace.
 *
 * Use the macro coop_shield_grace.
 *
 * Returns what fn returns.
 *
 * Checkpoint: never by itself; what fn does.
 * Errors: fn's; -EINVAL (negative limit, or no fn; it was not run); COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_shield_grace_at(int64_t max_ns, coop_fn *fn, void *arg, const char *site);
#define coop_shield_grace(max_ns, fn, arg) \
	coop_shield_grace_at((max_ns), (fn), (arg), COOP_HERE)

COOP_END_DECLS

#endif
