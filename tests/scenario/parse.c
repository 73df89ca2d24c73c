/* SPDX-License-Identifier: MIT */
/*
 * The text of scenario programs: S-expressions are read into forms, forms are checked
 * against one table of operations and become the tree that is run. All memory of a
 * program is in chunks that are freed together.
 */
#include "parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 400
#define NUMBER_MAX INT64_C(1000000000000000)

/* ------------------------------------------------------------------- memory */

struct chunk {
	struct chunk *next;
	char bytes[];
};

struct parser {
	struct program *program;
	const char *text;
	const char *at;
	char *message;
	size_t size;
	jmp_buf failed;
};

static _Noreturn void fail_at(struct parser *p, const char *at, const char *fmt, ...)
{
	size_t line = 1, column = 1, n;
	va_list ap;

	for (const char *c = p->text; c < at; c++) {
		column = *c == '\n' ? 1 : column + 1;
		line += *c == '\n';
	}
	n = (size_t)snprintf(p->message, p->size, "%zu:%zu: ", line, column);
	va_start(ap, fmt);
	vsnprintf(p->message + n, p->size - n, fmt, ap);
	va_end(ap);
	longjmp(p->failed, 1);
}

static void *get(struct parser *p, size_t bytes)
{
	struct chunk *c = calloc(1, sizeof *c + bytes);

	if (!c)
		fail_at(p, p->at, "no memory");
	c->next = p->program->memory;
	p->program->memory = c;
	return c->bytes;
}

/* --------------------------------------------------------------------- forms */

/* An atom (text) or a list (first child). */
struct form {
	const char *at;
	const char *atom; /* NULL: a list */
	struct form *first;
	struct form *next;
};

static void skip_space(struct parser *p)
{
	for (;;) {
		p->at += strspn(p->at, " \t\r\n\f\v");
		if (*p->at != ';')
			return;
		p->at += strcspn(p->at, "\n");
	}
}

static struct form *new_form(struct parser *p)
{
	struct form *f = get(p, sizeof *f);

	f->at = p->at;
	return f;
}

static struct form *read_atom(struct parser *p)
{
	struct form *f = new_form(p);
	size_t n = strcspn(p->at, " \t\r\n\f\v();");
	char *atom = get(p, n + 1);

	memcpy(atom, p->at, n);
	f->atom = atom;
	p->at += n;
	return f;
}

/* Reads all forms of the text with a stack of open lists of its own. */
static struct form *read_forms(struct parser *p)
{
	struct form top = { 0 }, *open[DEPTH_MAX], **tails[DEPTH_MAX];
	size_t depth = 0;

	open[0] = &top;
	tails[0] = &top.first;
	for (skip_space(p); *p->at; skip_space(p)) {
		struct form *f;

		if (*p->at == ')') {
			if (!depth)
				fail_at(p, p->at, "')' without '('");
			depth--;
			p->at++;
			continue;
		}
		f = *p->at == '(' ? new_form(p) : read_atom(p);
		*tails[depth] = f;
		tails[depth] = &f->next;
		if (f->atom)
			continue;
		if (depth + 1 == DEPTH_MAX)
			fail_at(p, p->at, "nested deeper than %d", DEPTH_MAX);
		open[++depth] = f;
		tails[depth] = &f->first;
		p->at++;
	}
	if (depth)
		fail_at(p, open[depth]->at, "'(' without ')'");
	return top.first;
}

/* --------------------------------------------------------------------- checking */

static bool is_number(const char *s)
{
	s += *s == '-';
	return *s && strspn(s, "0123456789") == strlen(s);
}

static int64_t number(struct parser *p, const struct form *f, int64_t min, int64_t max)
{
	long long n;

	if (!f->atom || !is_number(f->atom))
		fail_at(p, f->at, "expected a number");
	n = strlen(f->atom) > 17 ? NUMBER_MAX + 1 : atoll(f->atom);
	if (n < min || n > max)
		fail_at(p, f->at, "'%s' is not from %lld to %lld", f->atom, (long long)min,
			(long long)max);
	return n;
}

static const char *name(struct parser *p, const struct form *f)
{
	if (!f->atom || is_number(f->atom))
		fail_at(p, f->at, "expected a name");
	return f->atom;
}

/* What an operation takes, letter by letter. */
static const struct signature {
	const char *word;
	enum op_kind kind;
	const char *takes; /* a atom, n name, T task, m ms, e error, c count, s on|off,
			      o options, b body (the rest), l list, h handler */
} signatures[] = {
	{ "note", OP_NOTE, "a" },
	{ "sleep", OP_SLEEP, "m" },
	{ "checkpoint", OP_CHECKPOINT, "" },
	{ "fail", OP_FAIL, "e" },
	{ "group", OP_GROUP, "nb" },
	{ "spawn", OP_SPAWN, "nT" },
	{ "start", OP_START, "nT" },
	{ "started", OP_STARTED, "" },
	{ "scope", OP_SCOPE, "nob" },
	{ "fail-after", OP_FAIL_AFTER, "nmb" },
	{ "cancel", OP_CANCEL, "n" },
	{ "deadline", OP_DEADLINE, "nm" },
	{ "shield", OP_SHIELD, "ns" },
	{ "try", OP_TRY, "lh" },
	{ "finally", OP_FINALLY, "ll" },
	{ "swallow", OP_SWALLOW, "b" },
	{ "repeat", OP_REPEAT, "cb" },
	{ "time", OP_TIME, "" },
};

static const char *const later[] = { "send",  "recv",    "close",   "set",   "wait",
				     "lock",  "acquire", "release", "limit", "channel",
				     "event", "sem",     "limiter" };

static const struct signature *find_signature(struct parser *p, const struct form *f)
{
	for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++)
		if (strcmp(signatures[i].word, f->atom) == 0)
			return &signatures[i];
	for (size_t i = 0; i < sizeof later / sizeof *later; i++)
		if (strcmp(later[i], f->atom) == 0)
			fail_at(p, f->at, "'%s' is not supported yet", f->atom);
	fail_at(p, f->at, "unknown operation '%s'", f->atom);
}

static struct op *next_op(struct parser *p, const struct form *f, struct op *op);

static struct body read_body(struct parser *p, const struct form *first)
{
	struct body body = { 0 };
	size_t n = 0;

	for (const struct form *f = first; f; f = f->next)
		body.count++;
	body.ops = body.count ? get(p, body.count * sizeof *body.ops) : NULL;
	for (const struct form *f = first; f; f = f->next)
		next_op(p, f, &body.ops[n++]);
	return body;
}

/* (deadline N) and (shield), each at most once, before the body. */
static const struct form *read_options(struct parser *p, const struct form *f, struct op *op)
{
	bool shield_seen = false;

	op->number = -1;
	for (; f && f->first && f->first->atom; f = f->next) {
		const struct form *word = f->first, *rest = word->next;

		if (strcmp(word->atom, "deadline") == 0 && rest && rest->atom &&
		    is_number(rest->atom) && !rest->next) {
			if (op->number >= 0)
				fail_at(p, f->at, "a second deadline");
			op->number = number(p, rest, 0, NUMBER_MAX);
		} else if (strcmp(word->atom, "shield") == 0 && !rest) {
			if (shield_seen)
				fail_at(p, f->at, "a second shield");
			op->flag = shield_seen = true;
		} else {
			break;
		}
	}
	return f;
}

static struct task_template *find_task(struct parser *p, const struct form *f)
{
	const char *word = name(p, f);

	for (struct task_template *t = p->program->tasks; t; t = t->next)
		if (strcmp(t->name, word) == 0)
			return t;
	fail_at(p, f->at, "no task '%s'", word);
}

static void read_handler(struct parser *p, const struct form *f, struct op *op)
{
	if (f->atom || !f->first || !f->first->atom)
		fail_at(p, f->at, "expected (K op...)");
	op->number = strcmp(f->first->atom, "any") == 0 ? -1 : number(p, f->first, 1, 99);
	op->second = read_body(p, f->first->next);
}

static bool read_switch(struct parser *p, const struct form *f)
{
	if (f->atom && strcmp(f->atom, "on") == 0)
		return true;
	if (f->atom && strcmp(f->atom, "off") == 0)
		return false;
	fail_at(p, f->at, "expected on or off");
}

/* One argument that is not the rest of the form. */
static void read_argument(struct parser *p, char takes, const struct form *f, struct op *op)
{
	switch (takes) {
	case 'a':
		if (!f->atom)
			fail_at(p, f->at, "expected an atom");
		op->word = f->atom;
		break;
	case 'n': op->word = name(p, f); break;
	case 'T': op->task = find_task(p, f); break;
	case 'm':
	case 'c': op->number = number(p, f, 0, NUMBER_MAX); break;
	case 'e': op->number = number(p, f, 1, 99); break;
	case 's': op->flag = read_switch(p, f); break;
	case 'h': read_handler(p, f, op); break;
	case 'l':
		if (f->atom)
			fail_at(p, f->at, "expected a list of operations");
		*(op->body.count || op->flag ? &op->second : &op->body) = read_body(p, f->first);
		op->flag = true; /* the first list has been read */
		break;
	}
}

static struct op *next_op(struct parser *p, const struct form *f, struct op *op)
{
	const struct signature *s;
	const struct form *arg;

	if (f->atom || !f->first || !f->first->atom)
		fail_at(p, f->at, "expected an operation");
	s = find_signature(p, f->first);
	op->kind = s->kind;
	arg = f->first->next;
	for (const char *takes = s->takes; *takes; takes++) {
		if (*takes == 'b') {
			op->body = read_body(p, arg);
			arg = NULL;
		} else if (*takes == 'o') {
			arg = read_options(p, arg, op);
		} else if (!arg) {
			fail_at(p, f->at, "'%s' takes more", s->word);
		} else {
			read_argument(p, *takes, arg, op);
			arg = arg->next;
		}
	}
	if (arg)
		fail_at(p, arg->at, "'%s' takes no more", s->word);
	return op;
}

/* A declaration is entered; its body is left for later, since it may name any task. */
static void declare(struct parser *p, const struct form *f, const struct form **main_form)
{
	struct task_template *t, **tail = &p->program->tasks;

	if (f->atom || !f->first || !f->first->atom)
		fail_at(p, f->at, "expected a declaration, a task or main");
	if (strcmp(f->first->atom, "main") == 0) {
		if (*main_form)
			fail_at(p, f->at, "main is there already");
		*main_form = f;
		return;
	}
	if (strcmp(f->first->atom, "task") != 0) {
		for (size_t i = 0; i < sizeof later / sizeof *later; i++)
			if (strcmp(later[i], f->first->atom) == 0)
				fail_at(p, f->first->at, "'%s' is not supported yet", later[i]);
		fail_at(p, f->first->at, "unknown declaration '%s'", f->first->atom);
	}
	if (!f->first->next)
		fail_at(p, f->at, "task takes a name");
	t = get(p, sizeof *t);
	t->name = name(p, f->first->next);
	for (; *tail; tail = &(*tail)->next)
		if (strcmp((*tail)->name, t->name) == 0)
			fail_at(p, f->first->next->at, "'%s' is declared already", t->name);
	*tail = t;
}

static void read_program(struct parser *p)
{
	const struct form *top = read_forms(p), *main_form = NULL;
	struct task_template *t;

	if (!top || top->next || top->atom || !top->first || !top->first->atom ||
	    strcmp(top->first->atom, "program") != 0)
		fail_at(p,
			top && top->next ? top->next->at
			: top            ? top->at
					 : p->text,
			"expected one (program ...)");
	for (const struct form *f = top->first->next; f; f = f->next)
		declare(p, f, &main_form);
	if (!main_form)
		fail_at(p, top->at, "a program needs a main");
	t = p->program->tasks;
	for (const struct form *f = top->first->next; f; f = f->next) {
		if (f == main_form) {
			p->program->main = read_body(p, f->first->next);
		} else {
			t->body = read_body(p, f->first->next->next);
			t = t->next;
		}
	}
}

bool program_parse(struct program *program, const char *text, char *message, size_t size)
{
	struct parser p = {
		.program = program, .text = text, .at = text, .message = message, .size = size
	};

	memset(program, 0, sizeof *program);
	if (setjmp(p.failed))
		return false;
	read_program(&p);
	return true;
}

void program_free(struct program *program)
{
	while (program->memory) {
		struct chunk *c = program->memory;

		program->memory = c->next;
		free(c);
	}
}
