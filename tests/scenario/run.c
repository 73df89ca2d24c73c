/* SPDX-License-Identifier: MIT */
/*
 * The interpreter: each operation is the call of coop's that it is named after.
 *
 * Names of groups and scopes live in the frames that open them: a child lives in its
 * group, so everything that it can name is open as long as it runs.
 */
#include "run.h"

#include "core/core.h"
#include "outcome.h"

#include <coop/testing.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One entry of an environment: an open group or scope, and those around it. */
struct binding {
	const char *word;
	struct coop_scope *scope;
	struct coop_group *group; /* NULL: a scope */
	struct binding *outer;
};

struct running {
	char *name;
	struct binding *names;
	const struct task_template *template;
	struct coop_start *start;
	bool *begun; /* of a start: in the starter's frame; from then on the child frees itself */
	unsigned spawned;
};

static struct {
	const struct program *program;
	FILE *out;
	int64_t start_ns;
	bool quiet;
} world;

/* ------------------------------------------------------------------------ trace */

static void line(const char *who, const char *what, const char *more, const char *text)
{
	if (world.quiet || cp_rt->deadlocked)
		return;
	fprintf(world.out, "%lld %s%s%s%s%s%s%s\n",
		(long long)((coop_now() - world.start_ns) / 1000000), who, *what ? " " : "", what,
		*more ? " " : "", more, *text ? " " : "", text);
}

static void line_error(const char *who, const char *what, const char *more,
		       const struct coop_error *err)
{
	char *text = error_text(err);

	line(who, what, more, text);
	free(text);
}

/* ------------------------------------------------------------------------ names */

static struct binding *find(struct running *t, const char *word, bool groups, bool scopes)
{
	struct binding *b = t->names;

	while (b && (strcmp(b->word, word) != 0 || !(b->group ? groups : scopes)))
		b = b->outer;
	if (!b)
		line(t->name, "refused", "", "");
	return b;
}

/* ------------------------------------------------------------------------- tasks */

static struct outcome run_body(struct running *t, const struct body *body);

static int task_main(void *arg)
{
	struct running *t = arg;
	struct outcome o;

	line(t->name, "begin", "", "");
	o = run_body(t, t->template ? &t->template->body : &world.program->main);
	if (is_well(o))
		line(t->name, "done", "", "");
	else if (o.err)
		line_error(t->name, "failed", "", o.err);
	else
		line(t->name, "cancelled", "", "");
	free(t->name);
	free(t);
	return outcome_raise(o);
}

static int start_main(void *arg, struct coop_start *start)
{
	((struct running *)arg)->start = start;
	*((struct running *)arg)->begun = true;
	return task_main(arg);
}

static struct running *new_child(struct running *t, const struct op *op, struct binding *b)
{
	struct running *child = calloc(1, sizeof *child);
	size_t bytes = strlen(t->name) + strlen(op->task->name) + 16;

	child->name = malloc(bytes);
	snprintf(child->name, bytes, "%s/%s.%u", t->name, op->task->name, t->spawned++);
	child->names = b;
	child->template = op->task;
	return child;
}

/* A refused child takes no number. */
static void unmake(struct running *t, struct running *child)
{
	t->spawned--;
	free(child->name);
	free(child);
}

static struct outcome op_spawn(struct running *t, const struct op *op)
{
	struct binding *b = find(t, op->word, true, false);
	struct running *child;
	int r;

	if (!b)
		return well;
	child = new_child(t, op, b);
	r = coop_spawn(b->group, task_main, child);
	if (r >= 0)
		return well;
	unmake(t, child);
	if (r != COOP_ECLOSED)
		return outcome_of(r);
	line(t->name, "refused", "", "");
	return well;
}

static struct outcome op_start(struct running *t, const struct op *op)
{
	struct binding *b = find(t, op->word, true, false);
	struct running *child;
	bool begun = false;
	int r;

	if (!b)
		return well;
	child = new_child(t, op, b);
	child->begun = &begun;
	r = coop_start(b->group, start_main, child, NULL);
	if (!begun) {
		unmake(t, child);
		if (r != COOP_ECLOSED)
			return outcome_of(r);
		line(t->name, "refused", "", "");
		return well;
	}
	if (r >= 0 || r == COOP_ENOTSTARTED) {
		coop_error_clear();
		line(t->name, r >= 0 ? "started" : "not-started", "", "");
		return well;
	}
	return outcome_of(r);
}

static struct outcome op_started(struct running *t)
{
	int r = coop_started(t->start, 0);

	return r < 0 && r != -EALREADY ? outcome_of(r) : well; /* a second time: nothing */
}

/* ------------------------------------------------------------------ groups, scopes */

static struct outcome op_group(struct running *t, const struct op *op)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_group_opts opts = { .name = op->word, .errors_max = COOP_UNLIMITED };
	struct binding b = { op->word, coop_group_scope(&g), &g, t->names };
	struct outcome o;

	coop_group_open(&g, &opts);
	t->names = &b;
	o = run_body(t, &op->body);
	o = outcome_of(coop_group_join(&g, outcome_raise(o)));
	t->names = b.outer;
	if (o.err)
		line_error(t->name, "joined-error", op->word, o.err);
	else
		line(t->name, o.cancelled ? "joined-cancelled" : "joined", op->word, "");
	return o;
}

static struct outcome op_scope(struct running *t, const struct op *op)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_scope_opts opts = { .shield = op->kind == OP_SCOPE && op->flag,
					.fail_on_timeout = op->kind == OP_FAIL_AFTER };
	struct binding b = { op->word, &s, NULL, t->names };
	struct outcome o;

	if (op->number >= 0)
		opts.deadline_ns = coop_now() + COOP_MILLISECONDS(op->number);
	coop_scope_open(&s, &opts);
	t->names = &b;
	o = run_body(t, &op->body);
	o = outcome_of(coop_scope_close(&s, outcome_raise(o)));
	t->names = b.outer;
	if (coop_scope_caught(&s))
		line(t->name, "caught", op->word, "");
	return o;
}

static struct outcome op_on_scope(struct running *t, const struct op *op)
{
	struct binding *b = find(t, op->word, op->kind == OP_CANCEL, true);
	int r = 0;

	if (!b)
		return well;
	if (op->kind == OP_CANCEL)
		coop_scope_cancel(b->scope, NULL);
	else if (op->kind == OP_DEADLINE)
		r = coop_scope_set_deadline(b->scope, coop_now() + COOP_MILLISECONDS(op->number));
	else
		r = coop_scope_set_shield(b->scope, op->flag);
	return r < 0 && r != -EALREADY ? outcome_of(r) : well;
}

/* ------------------------------------------------------------------------- control */

static struct outcome op_try(struct running *t, const struct op *op)
{
	struct outcome o = run_body(t, &op->body), handled;
	struct coop_error *caught = outcome_catch(&o, op->number);

	if (!caught)
		return o;
	coop_error_unref(caught);
	handled = run_body(t, &op->second);
	if (is_well(handled))
		return o;
	return is_well(o) ? handled : outcome_join(handled, o);
}

static struct outcome op_finally(struct running *t, const struct op *op)
{
	struct outcome o = run_body(t, &op->body), last = run_body(t, &op->second);

	if (is_well(last))
		return o;
	outcome_drop(&o);
	return last;
}

static struct outcome op_swallow(struct running *t, const struct op *op)
{
	struct outcome o = run_body(t, &op->body);

	o.cancelled = false;
	return o;
}

static struct outcome op_repeat(struct running *t, const struct op *op)
{
	struct outcome o = well;

	for (int64_t i = 0; i < op->number && is_well(o); i++)
		o = run_body(t, &op->body);
	return o;
}

static struct outcome op_fail(const struct op *op)
{
	return outcome_of(
		coop_fail(COOP_CODE(DOMAIN_SCENARIO, op->number), "e%d", (int)op->number));
}

static struct outcome run_op(struct running *t, const struct op *op)
{
	switch (op->kind) {
	case OP_NOTE: line(t->name, "note", op->word, ""); return well;
	case OP_TIME: line(t->name, "time", "", ""); return well;
	case OP_SLEEP: return outcome_of(coop_sleep(COOP_MILLISECONDS(op->number)));
	case OP_CHECKPOINT: return outcome_of(coop_checkpoint());
	case OP_FAIL: return op_fail(op);
	case OP_GROUP: return op_group(t, op);
	case OP_SPAWN: return op_spawn(t, op);
	case OP_START: return op_start(t, op);
	case OP_STARTED: return op_started(t);
	case OP_SCOPE:
	case OP_FAIL_AFTER: return op_scope(t, op);
	case OP_CANCEL:
	case OP_DEADLINE:
	case OP_SHIELD: return op_on_scope(t, op);
	case OP_TRY: return op_try(t, op);
	case OP_FINALLY: return op_finally(t, op);
	case OP_SWALLOW: return op_swallow(t, op);
	case OP_REPEAT: return op_repeat(t, op);
	}
	abort();
}

static struct outcome run_body(struct running *t, const struct body *body)
{
	struct outcome o = well;

	for (size_t i = 0; i < body->count && is_well(o); i++)
		o = run_op(t, &body->ops[i]);
	return o;
}

/* ---------------------------------------------------------------------------- runs */

static int app(void *arg)
{
	struct running *t = calloc(1, sizeof *t);

	(void)arg;
	t->name = strdup("main");
	world.start_ns = coop_now();
	return task_main(t);
}

static const struct coop_run_opts run_opts = {
	.clock = COOP_CLOCK_VIRTUAL, .budget = 1, .stack_bytes = 1 << 20, .ignore_warn = INT32_MAX
};

struct last_words {
	struct outcome outcome;
	int64_t at_ns;
	bool deadlock;
};

/* Keeps how main ended, and when the last task did. */
static int watched(void *arg)
{
	struct last_words *last = arg;
	int r = app(NULL);

	last->at_ns = coop_now();
	last->deadlock = cp_rt->deadlocked;
	last->outcome = outcome_of(r);
	return 0;
}

void program_run(const struct program *program, uint64_t seed, FILE *out)
{
	struct coop_run_opts opts = run_opts;
	struct last_words last = { .outcome = { NULL, false } };
	char *text = NULL;
	int r;

	world.program = program;
	world.out = out;
	world.quiet = false;
	opts.seed = seed;
	r = coop_run(watched, &last, &opts);
	if (last.outcome.err)
		text = error_text(last.outcome.err);
	fprintf(out, "%lld result %s%s\n", (long long)((last.at_ns - world.start_ns) / 1000000),
		r == -EDEADLK || last.deadlock ? "deadlock"
		: text                         ? "error "
		: last.outcome.cancelled       ? "cancelled"
					       : "ok",
		r == -EDEADLK || last.deadlock || !text ? "" : text);
	free(text);
	outcome_drop(&last.outcome);
	coop_error_clear();
}

static bool sweep_says(int r, const struct coop_sweep *s, const char *name, const char *what,
		       FILE *out)
{
	fprintf(out, "%s: %s: %llu runs, %llu injected: %s\n", name, what,
		(unsigned long long)s->runs, (unsigned long long)s->injected,
		r < 0 ? s->why : "ok");
	return r >= 0;
}

bool program_sweep_cancel(const struct program *program, const char *name, FILE *out)
{
	struct coop_sweep s;

	world.program = program;
	world.quiet = true;
	return sweep_says(coop_sweep_cancel(app, NULL, &run_opts, NULL, NULL, &s), &s, name,
			  "cancel", out);
}

bool program_sweep_alloc(const struct program *program, const char *name, FILE *out)
{
	struct coop_sweep once, ever;
	bool ok;

	world.program = program;
	world.quiet = true;
	ok = sweep_says(coop_sweep_alloc(app, NULL, &run_opts, false, NULL, NULL, &once), &once,
			name, "one allocation fails", out);
	return sweep_says(coop_sweep_alloc(app, NULL, &run_opts, true, NULL, NULL, &ever), &ever,
			  name, "all allocations from one on fail", out) &&
	       ok;
}
