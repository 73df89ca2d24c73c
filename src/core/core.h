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
#ifndef CP_CORE_H
#define CP_CORE_H

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

_Static_assert(offsetof(struct coop_scope, _state) % 8 == 0 &&
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
	enum { CP_ON_NOTHING, CP_ON_TASK, CP_ON_TASKS, CP_ON_CHILDREN, CP_ON_OWNER } kind;
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
	coop_fn *fn;
	void *arg;
	const char *site;
	struct coop_scope base;
	struct coop_scope *laid; /* as far in as scopes know their inner ones: cp_scope_inner */
	uint64_t id;
	struct coop_error *err; /* the slot */
	struct cp_extra *extra;
	struct cp_local *locals;
	struct cp_held *held; /* what it owns and others may wait for: park.h */
	struct cp_stacks *pool;
	void *stack_top;
	void *stack_low;
	struct cp_body *visit_next; /* of a search for cycles */
	struct cp_body *visit_from;
	bool visit_stuck;
	bool visit_done;
	int64_t blocked_ns;
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
	uint64_t epoch;
};

/* The thread's runtime, NULL where none runs; and the same, or one in which nothing ever runs. */
extern __thread struct cp_rt *cp_rt;
extern __thread struct cp_rt *cp_here;
void cp_rt_set(struct cp_rt *rt);

/* ---------------------------------------------------------------- sched.c */

/* The running task, which has been queued, gives way. Returns 0, as all switches do. */
int cp_sched_switch(struct cp_rt *rt);
/* The same of one that is in no queue: parked. */
int cp_sched_leave(struct cp_rt *rt);
CP_INLINE void cp_ready(struct cp_rt *rt, struct coop_task *t)
{
	t->qnext = NULL;
	*rt->ready_tail = t;
	rt->ready_tail = &t->qnext;
}
/* Tasks in the queue; counted when somebody asks, up to `most`. */
uint64_t cp_ready_count(const struct cp_rt *rt, uint64_t most);
void cp_ready_front(struct cp_rt *rt, struct coop_task *t);
int cp_yield(struct cp_rt *rt);
/* Waits until somebody calls cp_wake; returns its `result`. `wait` is filled but for task. */
int cp_park(struct cp_rt *rt, struct cp_wait *wait);
/* Sleeps until `when_ns`, or `duration_ns` from now where that is >= 0. */
int cp_park_sleep(struct cp_rt *rt, int64_t when_ns, int64_t duration_ns);
/* For a task whose wait has been taken from it, and whose call wants no result. */
CP_INLINE void cp_wake_released(struct cp_rt *rt, struct coop_task *t)
{
	t->state = CP_READY;
	cp_ready(rt, t);
}
CP_INLINE void cp_wake(struct cp_rt *rt, struct coop_task *t, int result)
{
	CP_ASSERT(t->state == CP_PARKED);
	t->body->result = result;
	cp_wake_released(rt, t);
}
/* Aborts the wait of a parked task that has become cancelled. */
void cp_deliver(struct cp_rt *rt, struct coop_task *t);
/* The cancel half found a bit set: 0, or COOP_ECANCELED and the schedule half done too. */
int cp_cancel_hit(struct cp_rt *rt);
void cp_ignored(struct cp_rt *rt);
/* A wait that a cancel does not end begins: a test may want to cancel here, too. */
void cp_hook_look(struct cp_rt *rt);
/* Runs tasks from the loop's own context until it has to look at the world. */
void cp_sched_enter(struct cp_rt *rt);
/* How many switches there have been; for a running task. */
uint64_t cp_sched_switches(const struct cp_rt *rt);
uint64_t cp_choose(struct cp_rt *rt, uint64_t n);
/* 0 to n - 1, each as often, without a seed too; the same in every run. */
uint32_t cp_choose_fair(struct cp_rt *rt, uint32_t n);

/* The cancel half of a checkpoint. */
CP_INLINE int cp_cancel_point(struct cp_rt *rt)
{
	rt->body->cancel_half++;
	if (CP_UNLIKELY(rt->cur->cancelled))
		return cp_cancel_hit(rt);
	return 0;
}

/* The schedule half, for a call that need not wait. */
CP_INLINE void cp_schedule_point(struct cp_rt *rt)
{
	rt->body->schedule_half++;
	if (CP_UNLIKELY(--rt->budget <= 0))
		cp_yield(rt);
}

/* The same as the last act of a call that has succeeded: no frame is needed for it. */
CP_INLINE int cp_succeed(struct cp_rt *rt)
{
	rt->body->schedule_half++;
	return CP_UNLIKELY(--rt->budget <= 0) ? cp_yield(rt) : 0;
}

/* The runtime, if the caller is in a task; else NULL, and *ret_r says why. */
CP_INLINE struct cp_rt *cp_in_task(void)
{
	struct cp_rt *rt = cp_here;

	return CP_LIKELY(rt->cur != NULL) ? rt : NULL;
}
int cp_no_task(void); /* COOP_ENOTASK or COOP_EFORK */

/* ---------------------------------------------------------------- task.c */
struct coop_task *cp_node_new(struct cp_rt *rt);
void cp_node_free(struct cp_rt *rt, struct coop_task *t);
void cp_nodes_deinit(struct cp_rt *rt);
/*
 * Gives a NEW task a stack and a body and makes it the running one; NULL if there is no stack
 * right now.
 */
struct cp_ctx *cp_task_begin(struct cp_rt *rt, struct coop_task *t);
/* The same, and switches to it from the running task, whose body is `me`. */
int cp_task_switch_new(struct cp_rt *rt, struct coop_task *t, struct cp_body *me);
/* Makes a node that is nobody's, and has its stack reserved, a task without options. */
CP_INLINE void cp_task_fill(struct cp_rt *rt, struct coop_task *t, coop_fn *fn, void *arg,
			    const char *site)
{
	uint64_t id = ++rt->spawned;

	t->fn = fn;
	t->arg = arg;
	t->site = site;
	cp_node_set(t, CP_NEW, 0, 0, (uint32_t)id);
}
/* Makes a task; it is in no group and no queue yet. 0 or -ENOMEM. */
int cp_task_new(struct cp_rt *rt, coop_fn *fn, void *arg, const char *site, struct cp_extra *extra,
		struct coop_task **ret_task);
/* Those alive, internal ones included; and those of them that have begun. */
uint64_t cp_tasks(const struct cp_rt *rt);
uint64_t cp_tasks_begun(const struct cp_rt *rt);
const char *cp_task_name(const struct coop_task *t);
const char *cp_task_site(const struct coop_task *t); /* file NUL line */
const char *cp_task_site_raw(const struct coop_task *t);
uint64_t cp_task_id(const struct cp_rt *rt, const struct coop_task *t);
struct cp_extra *cp_task_extra(const struct coop_task *t);
void cp_extra_free(struct cp_rt *rt, struct cp_extra *extra);
size_t cp_task_path(const struct coop_task *t, char *buf, size_t size);
/* A site is one literal of two strings, file and line; these are its line as a number, and both as
 * "file:line" for a message, in one of a few buffers of the thread that are used in turn. */
int cp_site_line(const char *site);
const char *cp_at(const char *site);
enum coop_task_state cp_task_public_state(const struct coop_task *t);
struct coop_task *cp_group_host(const struct coop_group *g);
void cp_copy_name(char *to, const char *from);
void cp_info_fill(struct cp_rt *rt, const struct coop_task *t, struct coop_task_info *info);
/* Next live task in tree pre-order after `t`; NULL at the end. */
struct coop_task *cp_task_next(struct cp_rt *rt, struct coop_task *t);

/* ---------------------------------------------------------------- park.c */
/* The task ends: what it still owns is told. */
void cp_held_end(struct cp_rt *rt, struct cp_body *b);
/* The run ends: so is what was made in it and never given back. */
void cp_debts_end(struct cp_rt *rt);

/* ---------------------------------------------------------------- scope.c */
/*
 * The innermost open scope. Mostly that is the base, whose address need not be read: a scope
 * that is opened where another was closed a moment ago would wait for the other's
 * stores. The compiler must not know that the two are the same then.
 */
CP_INLINE struct coop_scope *cp_innermost(struct cp_body *body)
{
	struct coop_scope *base = &body->base;

	if (CP_UNLIKELY(body->inner != base))
		return body->inner;
	__asm__("" : "+r"(base));
	return base;
}

/* Makes `s` the innermost, with these for its eight bytes; nothing is cancelled. */
CP_INLINE void cp_scope_push(struct cp_body *body, struct coop_scope *outer, struct coop_scope *s,
			     const char *site, uint64_t word)
{
	s->_outer = outer;
	s->_task = body->task;
	s->_site = site;
	cp_scope_set_word(s, word);
	body->inner = s;
	body->inner_site = site;
}

/* Takes it out again; the bits of the task are as they were, and nobody has looked for it. */
CP_INLINE void cp_scope_pop(struct cp_body *body, struct coop_scope *s)
{
	struct coop_scope *outer = s->_outer;

	s->_state = CP_CLOSED;
	body->inner = outer;
	body->inner_site = outer->_site;
}

/*
 * The scope that was opened inside `s`, which is open itself; NULL if there is none. Most are never
 * asked: so the way in is laid only now, from the innermost scope out to where it was laid
 * before, and a scope that is opened and closed in between costs nothing for it.
 */
CP_INLINE struct coop_scope *cp_scope_inner(const struct coop_scope *s)
{
	struct cp_body *body = s->_task->body;

	for (struct coop_scope *at = body->inner; at != body->laid; at = at->_outer) {
		at->_more |= CP_MORE_LAID;
		at->_outer->_inner = at;
	}
	body->laid = body->inner;
	return s == body->inner ? NULL : s->_inner;
}

/* As an option says it: 0 is the runner's, which a scope says by COOP_NEVER. */
CP_INLINE void cp_scope_set_grace(struct coop_scope *s, int64_t grace_ns)
{
	if (grace_ns)
		s->_grace_ns = grace_ns < COOP_NEVER ? grace_ns : COOP_NEVER - 1;
}

void cp_scope_link(struct cp_body *body, struct coop_scope *s, const char *site);
void cp_scope_unlink(struct cp_body *body, struct coop_scope *s);
_Noreturn void cp_die_abandoned(struct cp_body *body, const char *where);
_Noreturn void cp_die_misnest(const struct cp_body *body, const struct coop_scope *s,
			      const char *call);
int cp_scope_run_defers(struct cp_rt *rt, struct coop_scope *s, int rc);
void cp_scope_copy_name(struct cp_body *body, struct coop_scope *s, const char *name);
void cp_scope_drop_name(struct cp_body *body, struct coop_scope *s);
const char *cp_scope_name(const struct coop_scope *s);
int cp_scope_check_opts(int64_t timeout_ns, int64_t deadline_ns, int64_t soft_ns, int64_t grace_ns);
void cp_scope_set_limits(struct cp_rt *rt, struct coop_scope *s, int64_t timeout_ns,
			 int64_t deadline_ns);
void cp_scope_settle_deadline(struct cp_rt *rt, struct coop_scope *s);
/* "NAME: time limit of 2.000s reached, left after 2.100s", for the error of a timeout. */
void cp_scope_limit_text(const struct coop_scope *s, int64_t now_ns, char *buf, size_t size);
/* Leaving: was its own cancellation caught? */
bool cp_scope_catches(const struct coop_scope *s);
void cp_cancel_over(struct cp_rt *rt, const struct coop_scope *s);
/* 0, or COOP_EWRONGTHREAD for an open scope of another run, or COOP_EFORK. */
int cp_scope_on_thread(const struct coop_scope *s);
int64_t cp_clock(struct cp_rt *rt); /* reads the clock now */
#define CP_SECONDS_10 COOP_SECONDS(10)

/*
 * Does an open struct, whose frame may be gone, still say what it must? Whose it is stands near its
 * one end, and where it was opened near the other: what lies there now need not begin at the same
 * place. A sanitizer must not mind.
 */
CP_READS_GONE bool cp_is_intact(const struct coop_scope *s, const struct coop_task *task,
				const char *site)
{
	return s->_task == task && s->_site == site;
}

/*
 * Frames that are gone: an open struct below the caller's frame, on this stack, was left
 * behind by a return; so was one whose memory holds something else by now (another block of
 * the same function, or of the next one that was called). `fp` is the frame of the public call.
 */
CP_INLINE void cp_check_open(struct cp_body *body, const void *fp, const char *where)
{
	uintptr_t at = (uintptr_t)body->inner;

	if (CP_UNLIKELY((at < (uintptr_t)fp && at >= (uintptr_t)body->deepest - 4096) ||
			!cp_is_intact(body->inner, body->task, body->inner_site)))
		cp_die_abandoned(body, where);
}
/* Where nothing is open nothing is fetched, nor `fp` asked for. */
#define cp_check_frames(body, fp, where) \
	do { \
		if (CP_UNLIKELY((body)->inner != &(body)->base)) \
			cp_check_open((body), (fp), (where)); \
	} while (0)

/* ---------------------------------------------------------------- cancel.c */
struct cp_why {
	enum coop_cancel_source source;
	int code;
	const char *text; /* copied */
	const char *site; /* a literal, file NUL line; or */
	const char *file; /* a place that is copied */
	int line;
	struct coop_task *who; /* NULL: nobody */
	int64_t grace_ns;
	uint8_t kind; /* CP_CANCEL, CP_SHUTDOWN */
};
/* False if it was cancelled already (a shorter grace still counts). */
bool cp_scope_cancel_why(struct cp_rt *rt, struct coop_scope *s, const struct cp_why *why);
void cp_scope_cut_grace(struct cp_rt *rt, struct coop_scope *s, int64_t until_ns);
void cp_scope_force(struct cp_rt *rt, struct coop_scope *s);
/* Something that decides what `s` sees has changed: brings s and all inside it up to date. */
void cp_scope_changed(struct cp_rt *rt, struct coop_scope *s);
/* First look of a scope that was just linked. */
void cp_scope_look(struct cp_rt *rt, struct coop_scope *s);
void cp_scope_timer_fired(struct cp_rt *rt, struct coop_scope *s);
void cp_scope_rearm(struct cp_rt *rt, struct coop_scope *s);
uint8_t cp_scope_visible(const struct coop_scope *s, int64_t now_ns);
struct cp_cause *cp_cause_of(const struct coop_scope *s); /* NULL: it has no words */
void cp_cause_drop(struct cp_rt *rt, struct coop_scope *s);
void cp_causes_refill(struct cp_rt *rt);
void cp_causes_deinit(struct cp_rt *rt);
int64_t cp_time_add(int64_t a, int64_t b); /* saturates at COOP_NEVER */
bool cp_cancel_info(const struct coop_scope *s, struct coop_cancel_info *info);
/* The same of the scope's own cancel alone. */
bool cp_cancel_info_own(const struct coop_scope *s, struct coop_cancel_info *info);

/* ---------------------------------------------------------------- group.c */
/* How a task ended, for its group. */
enum cp_outcome {
	CP_ENDED_WELL,
	CP_ENDED_CANCELLED, /* by a cancellation from outside it */
	CP_ENDED_CAUGHT,    /* by its own handle alone */
	CP_ENDED_FAILED,
};

/*
 * A team: a group whose children carry out a composition (sync/team.h). They all run `entry`
 * with one word that tells them apart; children that run something else are none of its.
 */
struct cp_team_ops {
	coop_fn *entry;
	/* One has not ended well. Before the group's policy looks at it; `err` is borrowed. */
	void (*ended)(struct cp_rt *rt, struct coop_group *g, void *arg, enum cp_outcome outcome,
		      int rc, struct coop_error *err);
	/* Its name: written into `buf`, or borrowed; for whoever asks, since few do. */
	const char *(*name)(const struct coop_group *g, void *arg, char *buf, size_t size);
};
/* `g` is open and has no children yet; its policy is none that asks a judge. */
void cp_group_set_team(struct coop_group *g, const struct cp_team_ops *ops);

/* `err` is taken. `t` is still linked and has its body. True: the node was kept (gone list). */
bool cp_group_child_ended(struct cp_rt *rt, struct coop_group *g, struct coop_task *t,
			  enum cp_outcome outcome, int rc, struct coop_error *err);
CP_INLINE void cp_group_link(struct coop_group *g, struct coop_task *t)
{
	struct coop_task *first = g->_first;

	t->group = g;
	if (CP_EITHER(first != NULL)) {
		t->sib_next = first;
		t->sib_prev = first->sib_prev;
		first->sib_prev->sib_next = t;
		first->sib_prev = t;
	} else {
		t->sib_next = t->sib_prev = t;
		g->_first = t;
	}
}

CP_INLINE void cp_group_unlink(struct coop_group *g, struct coop_task *t)
{
	if (CP_EITHER(t->sib_next == t)) {
		g->_first = NULL;
		return;
	}
	t->sib_prev->sib_next = t->sib_next;
	t->sib_next->sib_prev = t->sib_prev;
	if (g->_first == t)
		g->_first = t->sib_next;
}

void cp_group_wake_waiters(struct cp_rt *rt, struct coop_group *g);

/* The last of those that the join waits for is gone: its host can go on, but is in no queue yet. */
CP_INLINE struct coop_task *cp_group_release(struct coop_group *g)
{
	struct coop_task *host = g->_scope._task;

	CP_ASSERT(host->state == CP_PARKED);
	return host;
}

/* One of those that the join waits for is gone. */
CP_INLINE void cp_group_left(struct cp_rt *rt, struct coop_group *g)
{
	g->_live--;
	if (CP_UNLIKELY(g->_waiters != NULL))
		cp_group_wake_waiters(rt, g);
	if (g->_live == 0 && g->_waiting)
		cp_wake_released(rt, cp_group_release(g));
}

int cp_group_admit(struct cp_rt *rt, struct coop_group *g);
bool cp_group_full(struct cp_rt *rt, struct coop_group *g);
int cp_group_open(struct cp_rt *rt, struct coop_group *g, const struct coop_group_opts *opts,
		  const char *site);
#define CP_SERVICE_TEXT "the users of this service have ended"

int cp_group_usable(const struct coop_group *g);
_Noreturn void cp_die_in_judge(const struct coop_task *t, const char *what);
int cp_group_no_task(const struct coop_group *g); /* COOP_EWRONGTHREAD or cp_no_task() */
/* Leaves the hidden group of a start: 0, or its error, bare if it is one. */
int cp_group_leave_hidden(struct cp_rt *rt, struct coop_group *g, bool passed);
struct cp_extra *cp_extra_new(struct cp_rt *rt);

/* ---------------------------------------------------------------- handle.c */
void cp_handle_ended(struct cp_rt *rt, struct coop_handle *h, enum coop_task_state state, int rc,
		     struct coop_error *err);
struct coop_handle *cp_handle_new(struct cp_rt *rt);
void cp_handle_watch(struct coop_handle *h, struct cp_watch *w);
void cp_handle_unwatch(struct cp_watch *w);
/* 0 and the value, or the code; see coop_handle_result. */
int cp_handle_check(const struct coop_handle *h);
/* Would waiting for `target` wait for the running task? `text` gets the way. `for_good`: the wait
 * cannot be interrupted, as behind a hard shield. */
bool cp_would_deadlock(struct cp_rt *rt, struct coop_task *target, bool for_good, char *text,
		       size_t size);
/* The same for waiting at the queue of something that tasks own: mutexes and the like. False where
 * a deadline would end the wait of one on the way. */
bool cp_queue_would_deadlock(struct cp_rt *rt, const struct cp_queue *q, char *text, size_t size);

/* ---------------------------------------------------------------- local.c */
struct cp_local *cp_local_ref(struct cp_local *local);
void cp_local_unref(struct cp_local *local);
/* The same bindings in a list of its own, for one owner in whatever thread: 0 or -ENOMEM. */
int cp_local_copy(const struct cp_local *local, struct cp_local **ret_copy);
/* What coop_local_get sees outside of runs: a thread that works for a task. */
extern __thread const struct cp_local *cp_thread_locals;

/* ---------------------------------------------------------------- runtime.c */
/* What tests want of the next run on this thread: a look at every checkpoint, every choice. */
struct cp_next_run {
	uint8_t hook_bit;
	cp_checkpoint_hook *hook;
	void *ctx;
	cp_choose_fn *choose; /* answers cp_choose; NULL: the seed does */
	void *choose_ctx;
};
extern __thread struct cp_next_run cp_next_run;
int cp_rt_open(const struct coop_run_opts *opts, struct cp_rt **ret_rt);
int cp_rt_run(struct cp_rt *rt, coop_fn *fn, void *arg);
void cp_rt_close(struct cp_rt *rt);
bool cp_rt_forked(void);
void cp_rt_wake(struct cp_rt *rt);
/* Something came from outside: the loop looks at its next turn. Any thread, signal-safe. */
CP_INLINE void cp_pending(struct cp_rt *rt, uint32_t bit)
{
	/* Pairs with engine_wait: either it sees the bit, or it is seen asleep here. */
	__atomic_fetch_or(&rt->pending, bit, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&rt->asleep, __ATOMIC_SEQ_CST) != CP_AWAKE)
		cp_rt_wake(rt);
}

/* ---------------------------------------------------------------- post.c */
/* Calls what has been posted. */
void cp_inbox_take(struct cp_rt *rt);
/* The run ends: nothing is accepted any more, and what was, is called. */
void cp_inbox_end(struct cp_rt *rt);

/* ---------------------------------------------------------------- shutdown.c */
/* `code`: the signal's number, or what failed. */
void cp_shutdown_begin(struct cp_rt *rt, enum coop_cancel_source source, int code,
		       const char *text);
void cp_shutdown_harden(struct cp_rt *rt);
void cp_shutdown_force(struct cp_rt *rt);
void cp_shutdown_refusers(struct cp_rt *rt);
/* Only services are left in the run's group. */
void cp_shutdown_services(struct cp_rt *rt);
/* A task of the run's group has failed; `err` is borrowed. */
void cp_shutdown_failure(struct cp_rt *rt, struct coop_error *err);
int cp_root(void *arg);
/* Starts a task of the runtime's own; its failure is an internal error that stops the run. */
int cp_spawn_system(struct cp_rt *rt, coop_fn *fn, void *arg, const char *name);

/* ---------------------------------------------------------------- dump.c */
void cp_dump(struct cp_rt *rt, FILE *out, unsigned flags);
/* What a parked task waits for: "coop_handle_wait on main/pages/fetch"; "" if it is not parked. */
char *cp_wait_text(const struct coop_task *t, char *buf, size_t size);
/* "coop_sleep 1.000s" */
char *cp_blocked_text(const char *what, int64_t detail_ns, char *buf, size_t size);

#endif
