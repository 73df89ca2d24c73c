/* SPDX-License-Identifier: MIT */
/*
 * Checks forms against one table of operations and makes the tree that is run.
 *
 * Every function that checks returns false (or NULL) after the first mistake, which the
 * reader keeps with its place. Recursion follows the nesting of the text, which the reader
 * has bounded.
 */
#include "parse.h"

#include "outcome.h"

#include <stdio.h>
#include <string.h>

struct checker {
	struct reader reader;
	struct program *program;
};

/* Notes what is wrong at a form; false. */
#define FAIL(c, form, ...) (reader_fail(&(c)->reader, (form)->at, __VA_ARGS__), false)

/* ---------------------------------------------------------------- small things */

static bool is_list_with_word(const struct form *f)
{
	return !f->atom && f->first && f->first->atom;
}

static bool is_number(const char *s)
{
	s += *s == '-';
	return *s && s[strspn(s, "0123456789")] == '\0';
}

/* Larger ones, of whatever length, become one that is out of every range. */
static int64_t number_of(const char *s)
{
	bool negative = *s == '-';
	int64_t n = 0;

	for (s += negative; *s; s++)
		n = n > COUNT_MAX ? n : n * 10 + (*s - '0');
	return negative ? -n : n;
}

static bool check_number(struct checker *c, const struct form *f, int64_t min, int64_t max,
			 int64_t *ret_number)
{
	int64_t n;

	if (!f->atom || !is_number(f->atom))
		return FAIL(c, f, "expected an integer from %lld to %lld", (long long)min,
			    (long long)max);
	n = number_of(f->atom);
	if (n < min || n > max)
		return FAIL(c, f, "'%.40s' is not from %lld to %lld", f->atom, (long long)min,
			    (long long)max);
	*ret_number = n;
	return true;
}

static bool check_name(struct checker *c, const struct form *f, const char **ret_name)
{
	if (!f->atom || is_number(f->atom))
		return FAIL(c, f, "expected a name");
	*ret_name = f->atom;
	return true;
}

static bool check_task(struct checker *c, const struct form *f, const struct task_template **ret)
{
	const char *name;

	if (!check_name(c, f, &name))
		return false;
	for (*ret = c->program->tasks; *ret; *ret = (*ret)->next)
		if (strcmp((*ret)->name, name) == 0)
			return true;
	return FAIL(c, f, "unknown task '%.80s'", name);
}

/* ------------------------------------------------------------ what tasks meet at */

/* How a thing is declared, and the letter by which an operation takes one. */
static const struct declaration {
	const char *word;
	char letter;
	bool is_counted;
} declarations[] = {
	[THING_CHANNEL] = { "channel", 'C', true }, [THING_EVENT] = { "event", 'E', false },
	[THING_LOCK] = { "lock", 'L', false },      [THING_SEM] = { "sem", 'S', true },
	[THING_LIMITER] = { "limiter", 'M', true },
};
#define DECLARATIONS (sizeof declarations / sizeof *declarations)

static struct thing *find_thing(const struct checker *c, enum thing_kind kind, const char *name)
{
	struct thing *t = c->program->things;

	while (t && (t->kind != kind || strcmp(t->name, name) != 0))
		t = t->next;
	return t;
}

static bool check_thing(struct checker *c, const struct form *f, char letter,
			const struct thing **ret)
{
	enum thing_kind kind = 0;
	const char *name;

	if (!check_name(c, f, &name))
		return false;
	while (declarations[kind].letter != letter)
		kind++;
	*ret = find_thing(c, kind, name);
	return *ret || FAIL(c, f, "unknown %s '%.80s'", declarations[kind].word, name);
}

/* ------------------------------------------------------------------- operations */

/* What an operation takes, a letter each. */
static const struct signature {
	const char *word;
	enum op_kind kind;
	const char *takes; /* a an atom, n a name, t a task, m milliseconds, c a count, v a
			      value, e a user error, s on or off, o options, b the rest as a
			      body, 1 and 2 a list as the first and second body, h a handler,
			      a capital a thing that is declared so */
} signatures[] = {
	{ "note", OP_NOTE, "a" },
	{ "time", OP_TIME, "" },
	{ "sleep", OP_SLEEP, "m" },
	{ "checkpoint", OP_CHECKPOINT, "" },
	{ "fail", OP_FAIL, "e" },
	{ "group", OP_GROUP, "nb" },
	{ "spawn", OP_SPAWN, "nt" },
	{ "start", OP_START, "nt" },
	{ "started", OP_STARTED, "" },
	{ "scope", OP_SCOPE, "nob" },
	{ "fail-after", OP_FAIL_AFTER, "nmb" },
	{ "cancel", OP_CANCEL, "n" },
	{ "deadline", OP_DEADLINE, "nm" },
	{ "shield", OP_SHIELD, "ns" },
	{ "try", OP_TRY, "1h" },
	{ "finally", OP_FINALLY, "12" },
	{ "swallow", OP_SWALLOW, "b" },
	{ "repeat", OP_REPEAT, "cb" },
	{ "send", OP_SEND, "Cv" },
	{ "recv", OP_RECV, "C" },
	{ "close", OP_CLOSE, "C" },
	{ "set", OP_SET, "E" },
	{ "wait", OP_WAIT, "E" },
	{ "lock", OP_LOCK, "Lb" },
	{ "acquire", OP_ACQUIRE, "S" },
	{ "release", OP_RELEASE, "S" },
	{ "limit", OP_LIMIT, "Mb" },
};

static const struct signature *find_signature(const char *word)
{
	for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++)
		if (strcmp(signatures[i].word, word) == 0)
			return &signatures[i];
	return NULL;
}

static bool check_op(struct checker *c, const struct form *f, struct op *op);

/* `first` and all that follow it. */
static bool check_body(struct checker *c, const struct form *first, struct body *ret_body)
{
	struct body body = { NULL, 0 };
	struct op *op;

	for (const struct form *f = first; f; f = f->next)
		body.count++;
	op = body.ops = arena_get(&c->program->arena, body.count * sizeof *body.ops);
	for (const struct form *f = first; f; f = f->next)
		if (!check_op(c, f, op++))
			return false;
	*ret_body = body;
	return true;
}

static bool check_list(struct checker *c, const struct form *f, struct body *ret_body)
{
	if (f->atom)
		return FAIL(c, f, "expected a list of operations");
	return check_body(c, f->first, ret_body);
}

static bool check_handler(struct checker *c, const struct form *f, struct op *op)
{
	if (!is_list_with_word(f))
		return FAIL(c, f, "expected a handler (K op...)");
	op->number = ANY;
	if (strcmp(f->first->atom, "any") != 0 &&
	    !check_number(c, f->first, 1, USER_ERROR_MAX, &op->number))
		return false;
	return check_body(c, f->first->next, &op->second);
}

static bool check_switch(struct checker *c, const struct form *f, bool *ret_on)
{
	*ret_on = f->atom && strcmp(f->atom, "on") == 0;
	return *ret_on || (f->atom && strcmp(f->atom, "off") == 0) ||
	       FAIL(c, f, "expected on or off");
}

/* (deadline N) and (shield), each at most once, before the body. Moves *at past them. */
static bool check_options(struct checker *c, const struct form **at, struct op *op)
{
	op->number = NONE;
	for (const struct form *f; (f = *at) && is_list_with_word(f); *at = f->next) {
		const struct form *word = f->first, *rest = word->next;
		bool deadline = strcmp(word->atom, "deadline") == 0 && rest && !rest->next;
		bool shield = strcmp(word->atom, "shield") == 0 && !rest;

		if (!deadline && !shield)
			return true;
		if (deadline ? op->number != NONE : op->flag)
			return FAIL(c, f, "a second %s", word->atom);
		if (shield)
			op->flag = true;
		else if (!check_number(c, rest, 0, TIME_MAX, &op->number))
			return false;
	}
	return true;
}

/* The word of a group, marked, and in the place of a line 0. */
static const char *make_site(struct checker *c, const char *word)
{
	size_t bytes = strlen(word) + 1;
	char *site = arena_get(&c->program->arena, bytes + 3);

	site[0] = WORD_MARK;
	memcpy(site + 1, word, bytes);
	site[bytes + 1] = '0';
	return site;
}

/* One argument that stands alone. */
static bool check_argument(struct checker *c, char takes, const struct form *f, struct op *op)
{
	switch (takes) {
	case 'a': op->word = f->atom; return f->atom || FAIL(c, f, "expected an atom");
	case 'n': return check_name(c, f, &op->word);
	case 't': return check_task(c, f, &op->task);
	case 'm': return check_number(c, f, 0, TIME_MAX, &op->number);
	case 'c': return check_number(c, f, 0, COUNT_MAX, &op->number);
	case 'v': return check_number(c, f, -COUNT_MAX, COUNT_MAX, &op->number);
	case 'e': return check_number(c, f, 1, USER_ERROR_MAX, &op->number);
	case 's': return check_switch(c, f, &op->flag);
	case 'h': return check_handler(c, f, op);
	case '1': return check_list(c, f, &op->body);
	case '2': return check_list(c, f, &op->second);
	default: return check_thing(c, f, takes, &op->thing);
	}
}

static bool check_op(struct checker *c, const struct form *f, struct op *op)
{
	const struct signature *s;
	const struct form *at;

	if (!is_list_with_word(f))
		return FAIL(c, f, "expected an operation");
	s = find_signature(f->first->atom);
	if (!s)
		return FAIL(c, f->first, "unknown operation '%.80s'", f->first->atom);
	op->kind = s->kind;
	at = f->first->next;
	if (op->kind == OP_GROUP && at && at->atom)
		op->site = make_site(c, at->atom);
	for (const char *takes = s->takes; *takes; takes++) {
		if (*takes == 'b')
			return check_body(c, at, &op->body);
		if (*takes == 'o') {
			if (!check_options(c, &at, op))
				return false;
			continue;
		}
		if (!at)
			return FAIL(c, f, "'%s' takes more", s->word);
		if (!check_argument(c, *takes, at, op))
			return false;
		at = at->next;
	}
	return !at || FAIL(c, at, "'%s' takes no more", s->word);
}

/* ---------------------------------------------------------------------- programs */

static bool declare_task(struct checker *c, const struct form *f, struct task_template **tail)
{
	const struct form *word = f->first->next;
	struct task_template *t = arena_get(&c->program->arena, sizeof *t);

	if (!word)
		return FAIL(c, f, "task takes a name");
	if (!check_name(c, word, &t->name))
		return false;
	for (const struct task_template *u = c->program->tasks; u; u = u->next)
		if (strcmp(u->name, t->name) == 0)
			return FAIL(c, word, "'%.80s' is declared already", t->name);
	*tail = t;
	return true;
}

static bool declare_thing(struct checker *c, const struct form *f, enum thing_kind kind)
{
	const struct declaration *d = &declarations[kind];
	struct form *word = f->first->next, *number = word ? word->next : NULL;
	struct thing *t = arena_get(&c->program->arena, sizeof *t);

	if (!word || !number != !d->is_counted || (number && number->next))
		return FAIL(c, f, "%s takes a name%s", d->word,
			    d->is_counted ? " and a number" : "");
	if (!check_name(c, word, &t->name))
		return false;
	if (find_thing(c, kind, t->name))
		return FAIL(c, word, "'%.80s' is declared already", t->name);
	if (number && !check_number(c, number, 0, COUNT_MAX, &t->count))
		return false;
	t->kind = kind;
	t->index = c->program->thing_count++;
	t->next = c->program->things;
	c->program->things = t;
	return true;
}

static bool declare_other(struct checker *c, const struct form *f)
{
	const char *word = f->first->atom;

	for (enum thing_kind kind = 0; kind < DECLARATIONS; kind++)
		if (strcmp(word, declarations[kind].word) == 0)
			return declare_thing(c, f, kind);
	return FAIL(c, f->first, "unknown declaration '%.80s'", word);
}

/* Enters all names first: a body may name what stands further down. */
static bool declare_all(struct checker *c, const struct form *first, const struct form **ret_main)
{
	struct task_template **tail = &c->program->tasks;

	for (const struct form *f = first; f; f = f->next) {
		if (!is_list_with_word(f))
			return FAIL(c, f, "expected a declaration, a task or main");
		if (strcmp(f->first->atom, "main") == 0) {
			if (*ret_main)
				return FAIL(c, f, "main is there already");
			*ret_main = f;
		} else if (strcmp(f->first->atom, "task") != 0) {
			if (!declare_other(c, f))
				return false;
		} else {
			if (!declare_task(c, f, tail))
				return false;
			tail = &(*tail)->next;
		}
	}
	return true;
}

static bool check_program(struct checker *c)
{
	const struct form *top = forms_read(&c->reader), *main_form = NULL;
	struct task_template *t;

	if (c->reader.wrong[0])
		return false;
	if (!top || top->next || !is_list_with_word(top) ||
	    strcmp(top->first->atom, "program") != 0) {
		reader_fail(&c->reader,
			    !top        ? c->reader.text
			    : top->next ? top->next->at
					: top->at,
			    "expected one (program ...)");
		return false;
	}
	if (!declare_all(c, top->first->next, &main_form))
		return false;
	if (!main_form)
		return FAIL(c, top, "a program needs a main");
	t = c->program->tasks;
	for (const struct form *f = top->first->next; f; f = f->next) {
		if (f == main_form) {
			if (!check_body(c, f->first->next, &c->program->main))
				return false;
		} else if (strcmp(f->first->atom, "task") == 0) {
			if (!check_body(c, f->first->next->next, &t->body))
				return false;
			t = t->next;
		}
	}
	return true;
}

bool program_parse(struct program *program, const char *text, size_t size, char *message,
		   size_t room)
{
	struct checker c = {
		.reader = { .text = text, .size = size, .arena = &program->arena },
		.program = program,
	};
	size_t line = 1, column = 1;

	memset(program, 0, sizeof *program);
	if (check_program(&c)) {
		program->depth = c.reader.depth;
		return true;
	}
	for (const char *at = text; at < c.reader.at; at++) {
		column = *at == '\n' ? 1 : column + 1;
		line += *at == '\n';
	}
	snprintf(message, room, "%zu:%zu: %s", line, column, c.reader.wrong);
	return false;
}

void program_free(struct program *program)
{
	arena_free(&program->arena);
	memset(program, 0, sizeof *program);
}
