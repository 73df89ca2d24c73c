/* SPDX-License-Identifier: MIT */
/*
 * The interpreter: each operation is the call of coop's that it is named after.
 *
 * 1. Everything is done through coop's public calls, as a program would do it.
 * 2. A function that runs operations returns an outcome; when it is not well, the rest of
 *    the body is not run. Nothing stays in the task's error slot between operations.
 * 3. What the headers promise of a call is looked at where it is made, see promise().
 * 4. A deadlock ends the program: coop cancels what is left so that it unwinds, and from the
 *    first cancelled operation on nothing is run or printed.
 * 5. Memory of the interpreter comes from malloc, not from coop.
 */
#include "interp.h"

#include "meet.h"
#include "need.h"
#include "running.h"

#include <coop/time.h>

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

/* ----------------------------------------------------------------------- watching */

void wrong(struct run *run, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!run->wrong[0])
		vsnprintf(run->wrong, sizeof run->wrong, fmt, ap);
	va_end(ap);
}

void promise(struct running *t, bool holds, const char *what)
{
	if (!holds)
		wrong(t->run, "%s: not so: %s", t->name, what);
}

static int64_t now_ms(const struct run *run)
{
	return (coop_now() - run->start_ns) / COOP_MILLISECONDS(1);
}

/* In a sweep: errors that are not in the program. */
static int look_at_leaf(const struct coop_error *leaf, void *ctx)
{
	struct run *run = ctx;
	int code = coop_error_code(leaf);
	char buf[64];

	if (!user_error_of(code) && code != COOP_ETIMEDOUT && !(run->may_lack && code == -ENOMEM))
		wrong(run, "an error from nowhere: %s", coop_code_name(code, buf, sizeof buf));
	return 0;
}

/* After an operation was cancelled: was that because everything was blocked? */
static bool is_deadlock(struct run *run)
{
	struct coop_cancel_info info;

	if (!run->deadlocked && coop_scope_reason(coop_group_scope(coop_run_group()), &info) &&
	    info.source == COOP_CANCEL_DEADLOCK) {
		run->deadlocked = true;
		run->end_ms = (info.when_ns - run->start_ns) / COOP_MILLISECONDS(1);
	}
	return run->deadlocked;
}

/* -------------------------------------------------------------------------- trace */

void say(struct running *t, const char *fmt, ...)
{
	struct run *run = t->run;
	va_list ap;

	if (!run->out || run->deadlocked)
		return;
	va_start(ap, fmt);
	fprintf(run->out, "%" PRId64 " %s ", now_ms(run), t->name);
	vfprintf(run->out, fmt, ap);
	putc('\n', run->out);
	va_end(ap);
}

/* `what`, a space, and the error. */
static void say_error(struct running *t, const char *what, const char *more,
		      const struct coop_error *err)
{
	char *text;

	if (!t->run->out || t->run->deadlocked)
		return;
	text = error_text(err);
	say(t, "%s%s %s", what, more, text);
	free(text);
}

static struct outcome refused(struct running *t)
{
	say(t, "refused");
	return WELL;
}

/* -------------------------------------------------------------------------- tasks */

static void drop_task(struct running *t)
{
	if (--t->owners)
		return;
	free(t->name);
	free(t);
}

static int run_task(struct running *t)
{
	struct outcome o;
	int r;

	t->begun = true;
	t->run->begun++;
	say(t, "begin");
	o = run_body(t, t->body);
	if (o.err)
		say_error(t, "failed", "", o.err);
	else
		say(t, "%s", o.cancelled ? "cancelled" : "done");
	if (o.err && t->run->is_sweep && coop_error_leaves(o.err, look_at_leaf, t->run))
		abort();
	t->ended = true;
	t->run->ended++;
	if (t->home)
		t->home->tasks--;
	r = outcome_raise(o);
	drop_task(t);
	return r;
}

static int task_main(void *arg)
{
	return run_task(arg);
}

static int start_main(void *arg, struct coop_start *start)
{
	struct running *t = arg;

	t->start = start;
	return run_task(t);
}

/* The child that is going to be given to the group of `home`, with its number. */
static struct running *new_child(struct running *t, const struct op *op, struct binding *home)
{
	struct running *child = need(calloc(1, sizeof *child));

	if (asprintf(&child->name, "%s/%s.%u", t->name, op->task->name, t->spawned++) < 0)
		need(NULL);
	child->run = t->run;
	child->names = child->home = home;
	child->body = &op->task->body;
	child->owners = 1;
	home->tasks++;
	t->run->accepted++;
	return child;
}

/* Coop did not take it: gives the number back. `r` says why. */
static struct outcome not_taken(struct running *t, struct running *child, int r)
{
	t->spawned--;
	t->run->accepted--;
	child->home->tasks--;
	child->owners = 1;
	drop_task(child);
	promise(t, r < 0 && r != COOP_ECANCELED, "what was refused has not begun");
	return r == COOP_ECLOSED ? refused(t) : outcome_of(r);
}

static struct outcome op_spawn(struct running *t, const struct op *op)
{
	struct binding *b = names_find(t->names, op->word, NAMES_GROUPS);
	struct running *child;
	int r;

	if (!b)
		return refused(t);
	child = new_child(t, op, b);
	r = coop_spawn(b->group, task_main, child);
	return r < 0 ? not_taken(t, child, r) : WELL;
}

static struct outcome op_start(struct running *t, const struct op *op)
{
	struct binding *b = names_find(t->names, op->word, NAMES_GROUPS);
	struct running *child;
	bool ended;
	int r;

	if (!b)
		return refused(t);
	child = new_child(t, op, b);
	child->owners = 2;
	r = coop_start(b->group, start_main, child, NULL);
	if (!child->begun)
		return not_taken(t, child, r);
	ended = child->ended;
	drop_task(child);
	promise(t, r >= 0 || ended, "a start that fails waits for the end of its child");
	if (r == COOP_ENOTSTARTED)
		coop_error_clear();
	else if (r < 0)
		return outcome_of(r);
	say(t, r < 0 ? "not-started" : "started");
	return WELL;
}

static struct outcome op_started(struct running *t, const struct op *op)
{
	int r = coop_started(t->start, 0);

	(void)op;
	return r < 0 && r != -EALREADY ? outcome_of(r) : WELL; /* a second time: nothing */
}

/* ----------------------------------------------------------------- groups and scopes */

/* After 146 years. TIME_MAX is less, so that nothing overflows. */
#define CLOCK_END (INT64_C(1) << 62)

/* N ms from now, or never. */
static int64_t from_now(struct running *t, int64_t ms)
{
	int64_t now = coop_now(), ns = COOP_MILLISECONDS(ms);

	if (now < CLOCK_END - ns)
		return now + ns;
	promise(t, false, "the clock reaches as far as the program goes");
	return COOP_NEVER;
}

static struct outcome op_group(struct running *t, const struct op *op)
{
	struct coop_group_opts opts = { .errors_max = COOP_UNLIMITED };
	struct coop_group g = COOP_GROUP_INIT;
	struct binding b = { op->word, coop_group_scope(&g), &g, 0, t->names };
	struct outcome o;

	coop_group_open_at(&g, &opts, op->site);
	t->names = &b;
	o = run_body(t, &op->body);
	o = outcome_of(coop_group_join(&g, outcome_raise(o)));
	t->names = b.outer;
	promise(t, b.tasks == 0, "a join waits for every task of its group");
	if (o.err)
		say_error(t, "joined-error ", op->word, o.err);
	else
		say(t, "%s %s", o.cancelled ? "joined-cancelled" : "joined", op->word);
	return o;
}

static struct outcome op_scope(struct running *t, const struct op *op)
{
	struct coop_scope_opts opts = {
		.deadline_ns = op->number == NONE ? COOP_NEVER : from_now(t, op->number),
		.shield = op->flag,
		.fail_on_timeout = op->kind == OP_FAIL_AFTER,
	};
	struct coop_scope s = COOP_SCOPE_INIT;
	struct binding b = { op->word, &s, NULL, 0, t->names };
	struct outcome o;

	coop_scope_open(&s, &opts);
	t->names = &b;
	o = run_body(t, &op->body);
	o = outcome_of(coop_scope_close(&s, outcome_raise(o)));
	t->names = b.outer;
	if (coop_scope_caught(&s))
		say(t, "caught %s", op->word);
	return o;
}

static struct outcome op_cancel(struct running *t, const struct op *op)
{
	struct binding *b = names_find(t->names, op->word, NAMES_GROUPS | NAMES_SCOPES);

	if (!b)
		return refused(t);
	if (b->group)
		coop_group_cancel(b->group, NULL);
	else
		coop_scope_cancel(b->scope, NULL);
	return WELL;
}

static struct outcome op_deadline(struct running *t, const struct op *op)
{
	struct binding *b = names_find(t->names, op->word, NAMES_SCOPES);
	int r;

	if (!b)
		return refused(t);
	r = coop_scope_set_deadline(b->scope, from_now(t, op->number));
	return r < 0 && r != -EALREADY ? outcome_of(r) : WELL; /* it stays cancelled */
}

static struct outcome op_shield(struct running *t, const struct op *op)
{
	struct binding *b = names_find(t->names, op->word, NAMES_SCOPES);

	return b ? outcome_of(coop_scope_set_shield(b->scope, op->flag)) : refused(t);
}

/* ------------------------------------------------------------------------- control */

static struct outcome op_try(struct running *t, const struct op *op)
{
	struct outcome o = run_body(t, &op->body), last;

	if (!outcome_handle(&o, op->number))
		return o;
	last = run_body(t, &op->second);
	if (is_well(last))
		return o;
	return is_well(o) ? last : outcome_join(last, o);
}

static struct outcome op_finally(struct running *t, const struct op *op)
{
	struct outcome o = run_body(t, &op->body), last = run_body(t, &op->second);

	if (is_well(last))
		return o;
	outcome_drop(o);
	return last;
}

static struct outcome op_swallow(struct running *t, const struct op *op)
{
	struct outcome o = run_body(t, &op->body);

	outcome_forget_cancel(&o);
	return o;
}

static struct outcome op_repeat(struct running *t, const struct op *op)
{
	struct outcome o = WELL;

	if (!op->body.count)
		return o;
	for (int64_t i = 0; i < op->number && is_well(o); i++)
		o = run_body(t, &op->body);
	return o;
}

/* ------------------------------------------------------------------------ the rest */

static struct outcome op_note(struct running *t, const struct op *op)
{
	say(t, "note %s", op->word);
	return WELL;
}

static struct outcome op_time(struct running *t, const struct op *op)
{
	(void)op;
	say(t, "time");
	return WELL;
}

static struct outcome op_fail(struct running *t, const struct op *op)
{
	(void)t;
	return outcome_of(coop_fail(COOP_CODE(DOMAIN_SCENARIO, op->number), "user error %d",
				    (int)op->number));
}

static struct outcome op_sleep(struct running *t, const struct op *op)
{
	int64_t due = from_now(t, op->number);
	int r = coop_sleep(COOP_MILLISECONDS(op->number));

	promise(t, r < 0 || coop_now() == due, "a sleep ends at its time");
	promise(t, r != COOP_ECANCELED || coop_now() <= due, "a cancelled sleep did not end well");
	return outcome_of(r);
}

static struct outcome op_checkpoint(struct running *t, const struct op *op)
{
	(void)t;
	(void)op;
	return outcome_of(coop_checkpoint());
}

struct outcome run_body(struct running *t, const struct body *body)
{
	static struct outcome (*const operations[])(struct running *, const struct op *) = {
		[OP_NOTE] = op_note,         [OP_TIME] = op_time,
		[OP_SLEEP] = op_sleep,       [OP_CHECKPOINT] = op_checkpoint,
		[OP_FAIL] = op_fail,         [OP_GROUP] = op_group,
		[OP_SPAWN] = op_spawn,       [OP_START] = op_start,
		[OP_STARTED] = op_started,   [OP_SCOPE] = op_scope,
		[OP_FAIL_AFTER] = op_scope,  [OP_CANCEL] = op_cancel,
		[OP_DEADLINE] = op_deadline, [OP_SHIELD] = op_shield,
		[OP_TRY] = op_try,           [OP_FINALLY] = op_finally,
		[OP_SWALLOW] = op_swallow,   [OP_REPEAT] = op_repeat,
		[OP_SEND] = op_send,         [OP_RECV] = op_recv,
		[OP_CLOSE] = op_close,       [OP_SET] = op_set,
		[OP_WAIT] = op_wait,         [OP_LOCK] = op_lock,
		[OP_ACQUIRE] = op_acquire,   [OP_RELEASE] = op_release,
		[OP_LIMIT] = op_limit,
	};
	struct outcome o = WELL;

	if (t->run->deadlocked)
		return CANCELLED;
	for (size_t i = 0; i < body->count; i++) {
		o = operations[body->ops[i].kind](t, &body->ops[i]);
		if (!o.err && !o.cancelled)
			continue;
		if (o.cancelled && is_deadlock(t->run)) {
			outcome_drop(o);
			return CANCELLED;
		}
		break;
	}
	return o;
}

/* ---------------------------------------------------------------------------- runs */

/*
 * A level of nesting takes at most FRAME_BYTES of stack, also in instrumented builds; what
 * coop and stdio need stands on top of that.
 */
#define FRAME_BYTES 2048
#define STACK_BYTES (128 << 10)

struct coop_run_opts interp_opts(const struct program *program)
{
	size_t bytes = STACK_BYTES + program->depth * FRAME_BYTES;

	return (struct coop_run_opts){
		.clock = COOP_CLOCK_VIRTUAL,
		.budget = 1,
		.stack_bytes = bytes > 256 << 10 ? bytes : 0,
		.ignore_warn = INT64_MAX,
	};
}

int interp_main(void *arg)
{
	struct run *run = arg;
	struct running *t;
	int r;

	run->start_ns = coop_now();
	run->end_ms = 0;
	run->deadlocked = false;
	run->accepted = run->begun = run->ended = 0;
	run->wrong[0] = '\0';
	r = meet_open(run);
	if (r < 0)
		return r;
	run->accepted = 1;
	t = need(calloc(1, sizeof *t));
	t->run = run;
	t->name = need(strdup("main"));
	t->body = &run->program->main;
	t->owners = 1;
	r = run_task(t);
	if (!run->deadlocked)
		run->end_ms = now_ms(run);
	meet_close(run);
	return r;
}

const char *interp_wrong(struct run *run)
{
	if (run->accepted != run->begun)
		wrong(run, "%" PRIu64 " tasks were accepted and %" PRIu64 " begun", run->accepted,
		      run->begun);
	if (run->begun != run->ended)
		wrong(run, "%" PRIu64 " tasks were begun and %" PRIu64 " ended", run->begun,
		      run->ended);
	return run->wrong[0] ? run->wrong : NULL;
}
