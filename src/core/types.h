/* SPDX-License-Identifier: MIT */
/*
 * The core's structures. Who may touch what is said here, once.
 *
 * A task is two things. Its *node*, struct coop_task, 64 bytes from a pool, exists from
 * spawn to end; the queues and lists link nodes, so walking them stays in few cache lines. Its
 * *body*, struct cp_body, lies at the top of its stack and exists from its first step
 * to its end. A task that has not begun has no body.
 *
 *   NEW --task_begin--> RUNNING --park--> PARKED --wake--> READY --switch--> RUNNING
 *                       RUNNING --yield--> READY            RUNNING --task_end--> (gone)
 *
 *   NEW, READY   the node is in the ready queue, linked by qnext
 *   RUNNING      rt->cur; in no queue
 *   PARKED       body->wait tells what it waits for; in the wheel if it sleeps
 *
 * Scopes of one task form a chain, outermost (body->base) to innermost (body->inner);
 * a base's outer one is its group's scope, which is in the host's chain. That is the tree
 * through which cancellation goes: see cancel.c.
 *
 * Invariants, cited as I1..: ARCHITECTURE.md has the whole list.
 *   I1 A node is in at most one of: ready queue, timer wheel, a group's gone list, free list.
 *   I2 task->cancelled == body->inner->_eff (plus the test bit) for a task that has begun.
 *   I3 scope->_eff == scope->_own | what is visible of scope->_outer->_eff.
 *   I4 Between the marking of a cancel and its end no task runs.
 *   I5 A group's _live counts body, normal children and pending starts; it closes at 0.
 */
#ifndef CP_TYPES_H
#define CP_TYPES_H

#include "base/err.h"
#include "base/os.h"
#include "core/engine.h"
#include "core/fpenv.h"
#include "core/timer.h"
#include "ctx/ctx.h"
#include "ctx/stack.h"

#include <coop/compose.h>
#include <coop/defer.h>
#include <coop/error.h>
#include <coop/group.h>
#include <coop/log.h>
#include <coop/run.h>
#include <coop/scope.h>
#include <coop/sync.h>
#include <coop/task.h>
#include <coop/time.h>
#include <coop/trace.h>

#include <string.h>

/* Bits of _own, _eff and task->cancelled: how strong a cancellation is. */
enum {
	CP_CANCEL = 1,   /* ordinary */
	CP_SHUTDOWN = 2, /* the run's shutdown: passes by tasks that it waits for */
	CP_FORCE = 4,    /* goes through every shield */
	CP_HOOK = 0x80,  /* only in task->cancelled: tests want to see each checkpoint */
};

/* Bits of _shield. */
enum {
	CP_SHIELD_HARD = 1,
	CP_SHIELD_SOFT = 2,     /* until _soft_at_ns */
	CP_SHIELD_SHUTDOWN = 4, /* a base: hides CP_SHUTDOWN, until _soft_at_ns */
	CP_SHIELD_SERVICE = 8,  /* a base: hides all until the group's users are gone */
};

/* Values of a scope's _state, and so of a group's. */
enum {
	CP_RAW = 0, /* memory that was never initialised as it must */
	CP_OPEN = 1,
	CP_CLOSED = 2,
	CP_REFUSED = 3,     /* opening failed; the code is in _cause_code */
	CP_UNOPENED = 0x5c, /* as COOP_SCOPE_INIT says */
};

/* Bits of a scope's _more. */
enum {
	CP_MORE_IN_FLIGHT = 1, /* a cancellation was on its way up when it was opened */
	CP_MORE_TIMER = 2,     /* its timer has been armed, and may still be */
	CP_MORE_DEFERS = 4,    /* it has had clean-ups */
	CP_MORE_CAUSE = 8,     /* _cause is a struct cp_cause, else it is a place */
	CP_MORE_LAID = 16,     /* the scope outside it knows it: cp_scope_inner */
};

/* Bits of a scope's _flags. */
enum {
	CP_SCOPE_GROUP = 1, /* it is the first member of a struct coop_group */
	CP_SCOPE_BASE = 2,  /* it is the base of a task */
	CP_SCOPE_CAUGHT = 4,
	CP_SCOPE_FAIL = 8,        /* fail_on_timeout */
	CP_SCOPE_MARK = 16,       /* changed by the cancel that is going on */
	CP_SCOPE_RELATIVE = 32,   /* _deadline_ns is a duration: on the wheel's fresh list */
	CP_SCOPE_STRICT = 64,     /* of a group: strict_code */
	CP_SCOPE_TIMED_OUT = 128, /* its own deadline was the first to cancel it */
};

/* Bits of a group's _flags. */
enum {
	CP_GROUP_CANCEL_ON_JOIN = 1,
	CP_GROUP_JOINING = 2,   /* the body has ended */
	CP_GROUP_PASSED = 4,    /* a child or the body ended with a cancellation from outside */
	CP_GROUP_DRAINING = 8,  /* only services are left; nothing more is accepted */
	CP_GROUP_HIDDEN = 16,   /* of a coop_start */
	CP_GROUP_RUN = 32,      /* the run's own */
	CP_GROUP_TEAM = 64,     /* _policy_fn is a struct cp_team_ops: see group_end.c */
	CP_GROUP_YIELDED = 128, /* the host gave way to an eager child: join need not */
};

enum cp_state {
	CP_NEW,
	CP_READY,
	CP_RUNNING,
	CP_PARKED,
};

/* Bits of task->flags. */
enum {
	CP_TASK_EXTRA = 1, /* site points to a struct cp_extra (before it has begun) */
	CP_TASK_SERVICE = 2,
	CP_TASK_ESSENTIAL = 4,
	CP_TASK_INTERNAL = 8,
	CP_TASK_SHUTDOWN_WAIT = 16,
	CP_TASK_FPENV = 32,
	CP_TASK_MAIN = 64,
	CP_TASK_CANCEL_REQUESTED = 128, /* by handle, before it has begun */
};

CP_INLINE bool cp_unopened(uint8_t state)
{
	return state == CP_UNOPENED || state == CP_RAW;
}

/*
 * The eight bytes of a scope from _state on, read as one: most scopes are opened as they were
 * initialised and left as they were opened, and one comparison tells.
 */
#define CP_WORD(state, more, flags) \
	((uint64_t)(state) | (uint64_t)(more) << 16 | (uint64_t)(flags) << 56)
#define CP_WORD_EFF ((uint64_t)0xff << 40) /* all bits of _eff */

_Static_assert(offsetof(struct coop_scope, _state) % 8 == 0 &&
		       offsetof(struct coop_scope, _eff) ==
			       offsetof(struct coop_scope, _state) + 5 &&
		       offsetof(struct coop_scope, _more) ==
			       offsetof(struct coop_scope, _state) + 2 &&
		       offsetof(struct coop_scope, _flags) ==
			       offsetof(struct coop_scope, _state) + 7 &&
		       __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "the word of a scope");

CP_INLINE uint64_t cp_scope_word(const struct coop_scope *s)
{
	return *(const uint64_t *)&s->_state;
}

CP_INLINE void cp_scope_set_word(struct coop_scope *s, uint64_t word)
{
	*(uint64_t *)&s->_state = word;
}

/* Bits of rt->pending: what came from outside the loop. */
enum {
	CP_PENDING_SIGNALS = 1, /* counted by the handler: sys/signal.c */
	CP_PENDING_POSTS = 2,   /* in the inbox: post.h */
};

/* Values of rt->asleep: where the loop sleeps. */
enum {
	CP_AWAKE,
	CP_IN_ENGINE,
	CP_ON_WORD, /* on rt->asleep itself */
};

struct cp_body;
struct cp_debt;
struct cp_extra;
struct cp_held;
struct cp_inbox;
struct cp_queue;
struct cp_rt;

/* The node. The first three words are a struct cp_timer while the task sleeps. */
struct coop_task {
	union {
		struct cp_timer timer;
		struct {
			struct coop_task *qnext;
			coop_fn *fn; /* NEW */
			void *arg;   /* NEW */
		};
		struct { /* ended cancelled, kept for the group's error; state is NEW again */
			struct coop_task *gone_next;
			const char *gone_what;
			int64_t gone_blocked_ns;
		};
	};
	struct coop_task *sib_next; /* children of the group, circular */
	union {
		struct coop_task *sib_prev;
		void *gone_arg; /* of a member that is kept, see `gone` */
	};
	struct coop_group *group;
	union {
		struct cp_body *body;   /* begun */
		const char *site;       /* NEW: spawn site literal: name NUL file NUL line */
		struct cp_extra *extra; /* NEW, CP_TASK_EXTRA */
	};
	uint8_t state; /* from here on: one aligned word */
	uint8_t flags;
	uint8_t cancelled; /* NEW: unused; begun: I2 */
	uint8_t gone; /* it has ended and is kept for its group's error; 2: a member of a team */
	union {
		uint32_t id_low; /* NEW */
		uint32_t sp_off; /* begun: how far the stack pointer is below the body */
	};
};
_Static_assert(sizeof(struct coop_task) == 64, "a task not yet begun costs 64 bytes");
_Static_assert(offsetof(struct coop_task, state) % 8 == 0 &&
		       offsetof(struct coop_task, id_low) ==
			       offsetof(struct coop_task, state) + 4,
	       "the word of a node");

/* The whole word: of one that is not gone. */
CP_INLINE void cp_node_set(struct coop_task *t, enum cp_state state, uint8_t flags,
			   uint8_t cancelled, uint32_t low)
{
	*(uint64_t *)&t->state = (uint64_t)state | (uint64_t)flags << 8 |
				 (uint64_t)cancelled << 16 | (uint64_t)low << 32;
}

/* The words of a cancel's reason; beside the scope, in storage that is there already. */
struct cp_cause {
	struct cp_cause *next; /* of the pool's free ones */
	struct cp_cause *all;  /* of the pool's */
	const char *at; /* the place of the call; NULL: see site */
	bool pooled;
	bool used;
	char text[COOP_NAME_MAX + 1];
	char who[96];
	char site[80];
};

/* What few tasks have. */
struct cp_extra {
	const char *site;
	struct coop_handle *handle;
	struct cp_local *locals;
	struct cp_stacks *pool;
	struct coop_start *start;
	char name[COOP_NAME_MAX + 1]; /* "": the function's */
};

struct coop_handle {
	uint32_t refs;
	uint8_t state; /* enum coop_task_state, of ended ones */
	bool ended;
	bool cancel_called;
	int rc;
	struct coop_error *err;
	struct coop_task *task;
	struct cp_rt *rt;
	struct cp_watch *watches; /* who waits for the end, in order */
	int64_t cancel_grace_ns;
	const char *cancel_site;
	int64_t cancel_ns;
	struct cp_cause cause;
};

/* Somebody who wants to know when a task ends; in the frame of whoever waits. */
struct cp_watch {
	struct cp_watch *next;
	struct cp_watch *prev;
	struct coop_handle *handle;
	struct coop_task *task;                                  /* who waits */
	bool one_of_several; /* the end of another one will do as well */
	void (*ended)(struct cp_rt *rt, struct cp_watch *watch); /* unlinked already */
	void *ctx;
};

/* The starter's side of a child that has to get ready: in the starter's frame. */
struct cp_starter {
	struct coop_group hidden; /* the child's group until it has started */
	struct coop_group *target;
	bool started; /* coop_started was called */
	bool adopted;
	bool kept; /* adopted, but the hidden group is not left yet */
	int value;
};

/* The child's side: lives as long as the child (in its extra). */
struct coop_start {
	struct cp_starter *starter; /* NULL once it is over */
	struct cp_rt *rt;
	coop_start_fn *fn;
	void *arg;
	bool called;
};

/*
 * Why a parked task can be woken, and how it is taken away from there. On its own stack. What is
 * the same for all waits of a call lies together: see cp_wait_like.
 */
struct cp_wait {
	struct cp_wait *next; /* for whoever keeps lists of waits */
	struct cp_wait *prev;
	struct coop_task *task;
	/*
	 * Called once, when the task is cancelled while it waits. True: it has been taken
	 * away and is woken with COOP_ECANCELED now. False: later, by whoever completes it.
	 * NULL: cannot be interrupted.
	 */
	bool (*abort)(struct cp_wait *wait);
	const char *what; /* "coop_sleep" */
	enum {
		CP_ON_NOTHING,
		CP_ON_TASK,
		CP_ON_TASKS,
		CP_ON_CHILDREN, /* all of them: nothing goes on before they have ended */
		CP_ON_REST,     /* the same, but a deadline ends the wait, and its task goes on */
		CP_ON_ANY_CHILD,
		CP_ON_OWNER,
	} kind;
	int64_t detail_ns; /* of a sleep: how long, -1: for ever; CP_ON_TASKS: their number */
	const void *on;    /* the handle, array of handles, group, lock, ... meant by `kind` */
	struct coop_task *const *owner; /* CP_ON_OWNER: who has what is waited for, if anybody */
	int64_t since_ns;
	void *ctx;
};

/* Fills `abort` to `detail_ns` as in `model`, a constant: two stores instead of four. */
CP_INLINE void cp_wait_like(struct cp_wait *w, const struct cp_wait *model)
{
	size_t from = offsetof(struct cp_wait, abort), to = offsetof(struct cp_wait, on);

	memcpy((char *)w + from, (const char *)model + from, to - from);
}

/* Something owned by a task, on the list body->held; see park.h. */
struct cp_held {
	struct cp_held *next;
	struct cp_queue *waiters; /* those who cannot go on before it is given up, or NULL */
	/* The owner has ended without giving it up; already off the list. */
	void (*owner_ended)(struct cp_rt *rt, struct cp_held *held);
};

/* A share of what several tasks may have at once: of an rwlock, of a limiter. In the body. */
struct cp_hold {
	struct cp_held held;
	void *of; /* NULL: free */
};

/*
 * The body: at the top of the stack. What a switch writes comes first, then what a beginning
 * does: neighbours are stored two at a time, others one by one, and that is what these are made of.
 */
struct cp_body {
	struct cp_ctx ctx;
	struct coop_task *task;
	struct coop_scope *inner;
	const char *inner_site; /* place where `inner` was opened: its frame may be gone */
	union {
		cp_pair zero[4]; /* all of these, when a task begins */
		struct {
			struct cp_wait *wait; /* of a parked task */
			int result; /* of the park that is going on */
			int err_no;
			bool in_judge;
			/* COOP_ECANCELED was returned, the scope it was for is not left yet */
			bool delivered;
			bool renamed;
			uint8_t holds_used;
			uint16_t names_used;
			uint64_t schedule_half;
			uint64_t cancel_half;
			const char *blocked_what; /* of the wait that a cancel ended */
			uint32_t ignored; /* cancellations since the last one that was caught */
			uint32_t visit;   /* of a search for cycles */
			uint64_t aborted; /* schedule_half at the last wait that was aborted */
		};
	};
	void *deepest; /* lowest stack pointer seen at a switch; of this task, or shallow */
	int64_t blocked_ns;
	struct cp_extra *extra;
	struct cp_local *locals;
	struct coop_scope base;
	struct coop_scope *laid; /* as far in as scopes know their inner ones: cp_scope_inner */
	struct coop_error *err;  /* the slot */
	struct cp_held *held;    /* what it owns and others may wait for: park.h */
	struct cp_stacks *pool;
	void *stack_top;
	const char *site;
	/* what follows is touched by the first step of a task, and seldom later */
	coop_fn *fn;
	void *arg;
	uint64_t id;
	void *stack_low;
	struct cp_body *visit_next; /* of a search for cycles */
	struct cp_body *visit_from;
	bool visit_stuck;
	bool visit_done;
	struct cp_cause cause; /* for the first scope of this task that is cancelled */
	struct cp_hold holds[COOP_HOLDS_MAX]; /* the first holds_used have been used before */
	struct cp_fpenv fpenv; /* while it is switched away, CP_TASK_FPENV */
	char name[COOP_NAME_MAX + 1];
	char names[160]; /* of open groups and scopes, a stack of strings */
};

_Static_assert(offsetof(struct cp_body, deepest) ==
		       offsetof(struct cp_body, aborted) + sizeof(uint64_t),
	       "what `zero` clears is no longer than it");
_Static_assert(sizeof(((struct cp_body *)0)->names) < UINT8_MAX, "a scope's _name is a byte");

/* Errors of a group, once it has one. */
struct cp_errs {
	struct coop_error **list; /* in order of completion; `own`, or from the heap */
	uint32_t count, room, total;
	struct coop_error *last;  /* beyond the cap: the newest one */
	struct coop_error *fatal; /* beyond the cap: the first fatal-class one */
	struct coop_error *own[6];
};

struct cp_local {
	struct cp_local *next;
	const struct coop_local *key;
	void *value;
	uint32_t refs;
};

/* Called at each checkpoint while the hook bit is set. True: cancel here. */
typedef bool cp_checkpoint_hook(struct cp_rt *rt, void *ctx);
typedef uint64_t cp_choose_fn(void *ctx, uint64_t n); /* 0 to n - 1 */

#define CP_SHUTDOWN_HOOKS_MAX 8
/* Errors beside the main task's: those of callbacks, and some of tasks that it did not wait for. */
#define CP_BESIDE_MAX (CP_SHUTDOWN_HOOKS_MAX + 16)

/* A runtime: one loop, one thread. */
struct cp_rt {
	/* what a switch touches */
	struct coop_task *cur;
	struct cp_body *body;
	struct coop_task *ready_head;
	struct coop_task **ready_tail;
	bool crowded;   /* enough tasks take turns that memory is warmed for the next ones */
	int32_t ticks;  /* switches until the loop looks at the world */
	int32_t budget; /* of the running task: calls that need not wait */
	int32_t budget_max;
	int *errno_p;
	struct coop_task *free_nodes;
	uint64_t spawned;
	struct cp_stacks stacks; /* each task has one promised: cp_tasks counts by that */
	struct cp_ctx loop_ctx;
	uint8_t hook_bit; /* CP_HOOK or 0 */
	bool shuffle;
	bool clock_virtual;
	bool running;

	int64_t now_ns; /* read once a turn; exact on the virtual clock */
	int64_t start_ns;
	uint64_t rng;
	uint64_t tasks_internal;
	uint64_t switches;
	uint64_t turns;
	uint64_t waits;
	uint64_t cancels_delivered;
	uint32_t visit;
	uint32_t starved; /* tasks that could not get a guarded stack yet */
	struct cp_wheel wheel;

	struct cp_engine *engine;
	struct cp_node_slab *node_slabs;
	struct cp_stacks *pools; /* of other sizes */
	struct cp_cause *causes; /* free ones of the pool */
	struct cp_cause *causes_all;
	uint32_t causes_free;
	struct coop_run_opts opts;
	int64_t grace_ns;
	int64_t slack_ns; /* beside the kernel's own */
	int64_t spin_ns; /* 0: sleeps at once */
	int64_t rest_ns; /* how long the last waits were, averaged */
	uint32_t ignore_warn;
	size_t stack_bytes;
	struct cp_fpenv fpenv; /* of the thread when the run began */

	struct coop_task *root;  /* internal: opens `group`, runs main, shuts down */
	struct coop_group group; /* the run's, in the root task */
	struct coop_task *main;
	struct coop_handle *main_handle;
	coop_fn *main_fn;
	void *main_arg;
	int main_rc;
	struct coop_error *main_err;
	bool main_ended;
	bool deadlocked;
	bool internal_failed;
	bool told_no_stack;
	enum coop_shutdown shutdown;
	int stop_signal; /* what began the shutdown */
	char stop_text[COOP_NAME_MAX + 1];
	struct cp_wait *root_wait;
	struct {
		coop_fn *fn;
		void *arg;
	} on_shutdown[CP_SHUTDOWN_HOOKS_MAX];
	unsigned on_shutdown_count;
	struct coop_error *beside[CP_BESIDE_MAX]; /* errors that belong to the result, too */
	unsigned beside_count;
	int64_t shutdown_ns;

	/* the world beside tasks: set by the layers above */
	uint32_t pending; /* atomic: what came from outside, bits CP_PENDING_ */
	uint32_t asleep;  /* atomic, CP_AWAKE...: whoever sets a bit has to wake the loop */
	void (*on_signals)(struct cp_rt *rt);
	struct cp_inbox *inbox; /* of this run, once somebody has asked for it: post.h */
	struct coop_token *soon; /* of this run, once somebody has asked for it: sys/soon.c */
	uint32_t external;      /* sources that may wake it: receivers, portals */
	uint32_t working;       /* threads at work for a task: meanwhile no virtual time passes */
	bool ladder;       /* SIGINT and SIGTERM may stop it */

	/* tests */
	struct cp_wait *idle_waiters; /* sorted by cushion */
	int64_t autojump_ns;
	double clock_rate;
	int64_t rate_real_ns;
	int64_t rate_virtual_ns;
	cp_checkpoint_hook *hook;
	void *hook_ctx;
	cp_choose_fn *choose;
	void *choose_ctx;
	uint64_t waiters_seen; /* how many cp_group_wake_waiters has looked at */
	struct cp_local *run_locals;
	struct cp_debt *debts; /* what must be given back before the run ends: park.h */
	struct cp_debt *debts_last;
	uint64_t epoch; /* which runtime of the process it is */
};

#endif
