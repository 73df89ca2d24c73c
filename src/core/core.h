/* SPDX-License-Identifier: MIT */
/*
 * What the files of the core give each other, file by file, and to the layers above. The structures
 * are in types.h: read that first.
 */
#ifndef CP_CORE_H
#define CP_CORE_H

#include "core/types.h"

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

/*
 * `r`, of a call that ends as it begins: it is refused on its arguments, say, or there is nothing
 * to wait for. It is a checkpoint all the same: a cancel wins, and a loop over such calls lets
 * others run. COOP_ENOTASK and COOP_EFORK outside of tasks.
 */
int cp_refuse(int r);

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

/* ---------------------------------------------------------------- task.c, task_info.c */
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

	if (s == body->inner)
		return NULL;
	for (struct coop_scope *at = body->inner; at != body->laid; at = at->_outer) {
		at->_more |= CP_MORE_LAID;
		at->_outer->_inner = at;
	}
	body->laid = body->inner;
	return s->_inner;
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
	/* The host is in the program's code between; else in one call until all have ended. */
	bool host_free;
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
/* The same for waiting until all children of `g` have ended, services apart. */
bool cp_group_would_deadlock(struct cp_rt *rt, const struct coop_group *g, char *text, size_t size);
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

/* ---------------------------------------------------------------- loop.c */
/* Until no task is left. */
void cp_loop(struct cp_rt *rt);
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
