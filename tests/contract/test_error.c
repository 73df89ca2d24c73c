/* SPDX-License-Identifier: MIT */
/* What error.h promises, call by call: everything there works anywhere and is no checkpoint. */
#include "../core/core_help.h"

struct stage {
	struct coop_error *leaf; /* in hand; -EIO */
	FILE *out;
};

#include "contract.h"

static void stage_open(struct stage *s, bool in_task)
{
	int r = coop_fail(-EIO, "on the stage");

	(void)in_task;
	s->leaf = coop_error_take(r);
	s->out = fopen("/dev/null", "w");
	CHECK(s->out != NULL);
	r = coop_fail(-EPIPE, "in the slot");
	(void)r;
}

static void stage_close(struct stage *s, bool in_task)
{
	(void)in_task;
	coop_error_unref(s->leaf);
	fclose(s->out);
	coop_error_clear();
}

static bool every(const struct coop_error *leaf, void *ctx)
{
	(void)leaf;
	++*(int *)ctx;
	return true;
}

static int visit(const struct coop_error *leaf, void *ctx)
{
	(void)ctx;
	return coop_error_code(leaf) == -EIO ? 42 : 0;
}

static const char *words(int number)
{
	return number == 1 ? "one" : NULL;
}

/* The same number again is refused, here and wherever else this runs. */
ROW(coop_domain_register, NEVER, -EEXIST, -EEXIST)
{
	int r = coop_domain_register(77, "row", words);

	CHECK(r == 0 || r == -EEXIST);
	return coop_domain_register(77, "again", words);
}

ROW_AS(coop_domain_register, nameless, NEVER, -EINVAL, -EINVAL)
{
	return coop_domain_register(78, NULL, words);
}

ROW_AS(coop_domain_register, out_of_range, NEVER, -EINVAL, -EINVAL)
{
	return coop_domain_register(INT32_MAX, "far", words);
}

ROW(coop_code_name, NEVER, 0, 0)
{
	char text[32];

	CHECK(coop_code_name(COOP_EOF, text, sizeof text) == text);
	CHECK_STR(text, "COOP_EOF");
	return 0;
}

ROW(coop_code_text, NEVER, 0, 0)
{
	CHECK_STR(coop_code_text(COOP_EOF), "closed and drained");
	return 0;
}

ROW(coop_fail_at, NEVER, -EIO, -EIO)
{
	return coop_fail_at(-EIO, "f.c", 1, "fn", "%s", "text");
}

/* A cancellation has no object: what is in the slot stays there. */
ROW_AS(coop_fail_at, cancelled, NEVER, COOP_ECANCELED, COOP_ECANCELED)
{
	int r = coop_fail_at(COOP_ECANCELED, "f.c", 1, "fn", "%s", "text");

	CHECK_INT(coop_error_code(coop_error_peek(-EPIPE)), ==, -EPIPE);
	return r;
}

ROW_AS(coop_fail_at, no_code, NEVER, -EINVAL, -EINVAL)
{
	return coop_fail_at(1, "f.c", 1, "fn", "%s", "text");
}

ROW(coop_wrap_at, NEVER, -EPROTO, -EPROTO)
{
	return coop_wrap_at(-EPIPE, -EPROTO, "f.c", 1, "fn", "%s", "text");
}

ROW_AS(coop_wrap_at, cancelled, NEVER, COOP_ECANCELED, COOP_ECANCELED)
{
	return coop_wrap_at(COOP_ECANCELED, COOP_ECANCELED, "f.c", 1, "fn", "%s", "text");
}

ROW(coop_trace_at, NEVER, -EPIPE, -EPIPE)
{
	return coop_trace_at(-EPIPE, "f.c", 1, NULL);
}

ROW_AS(coop_trace_at, success, NEVER, 5, 5)
{
	return coop_trace_at(5, "f.c", 1, NULL);
}

ROW(coop_error_take, NEVER, -EPIPE, -EPIPE)
{
	struct coop_error *e = coop_error_take(-EPIPE);
	int r = coop_error_code(e);

	CHECK(!coop_error_unref(e));
	CHECK(!coop_error_take(0));
	CHECK(!coop_error_take(COOP_ECANCELED));
	return r;
}

ROW(coop_error_peek, NEVER, -EPIPE, -EPIPE)
{
	CHECK(!coop_error_peek(0));
	CHECK(!coop_error_peek(COOP_ECANCELED));
	return coop_error_code(coop_error_peek(-EPIPE));
}

ROW(coop_error_raise, NEVER, -EIO, -EIO)
{
	CHECK_INT(coop_error_raise(NULL), ==, 0);
	return coop_error_raise(coop_error_ref(s->leaf));
}

ROW(coop_error_clear, NEVER, 0, 0)
{
	coop_error_clear();
	coop_error_clear();
	return 0;
}

ROW(coop_error_ref, NEVER, 0, 0)
{
	CHECK(!coop_error_ref(NULL));
	CHECK(coop_error_ref(s->leaf) == s->leaf);
	coop_error_unref(s->leaf);
	return 0;
}

ROW(coop_error_unref, NEVER, 0, 0)
{
	CHECK(!coop_error_unref(NULL));
	CHECK(!coop_error_unref(coop_error_ref(s->leaf)));
	return 0;
}

ROW(coop_error_describe, NEVER, 0, 0)
{
	struct coop_error_info info;

	coop_error_describe(s->leaf, &info);
	CHECK_INT(info.code, ==, -EIO);
	CHECK_STR(info.message, "on the stage");
	coop_error_describe(NULL, &info);
	CHECK_INT(info.code, ==, 0);
	CHECK_STR(info.message, "");
	return 0;
}

ROW(coop_error_code, NEVER, -EIO, -EIO)
{
	CHECK_INT(coop_error_code(NULL), ==, 0);
	return coop_error_code(s->leaf);
}

ROW(coop_error_member, NEVER, 0, 0)
{
	CHECK(!coop_error_member(s->leaf, 0));
	CHECK(!coop_error_member(NULL, 0));
	return 0;
}

ROW(coop_error_primary, NEVER, 0, 0)
{
	CHECK(!coop_error_primary(NULL));
	CHECK(coop_error_primary(s->leaf) == s->leaf);
	return 0;
}

ROW(coop_error_is, NEVER, true, true)
{
	CHECK(!coop_error_is(NULL, -EIO));
	CHECK(!coop_error_is(s->leaf, -EPIPE));
	return coop_error_is(s->leaf, -EIO);
}

ROW(coop_error_find, NEVER, 1, 1)
{
	int asked = 0;

	CHECK(coop_error_find(s->leaf, every, &asked) == s->leaf);
	CHECK(!coop_error_find(NULL, every, &asked));
	return asked;
}

ROW(coop_error_split, NEVER, 0, 0)
{
	struct coop_error *match = NULL, *rest = NULL;
	int asked = 0, r = coop_error_split(s->leaf, every, &asked, &match, &rest);

	CHECK(match == s->leaf && !rest && asked == 1);
	coop_error_unref(match);
	return r;
}

ROW(coop_error_leaves, NEVER, 42, 42)
{
	CHECK_INT(coop_error_leaves(NULL, visit, NULL), ==, 0);
	return coop_error_leaves(s->leaf, visit, NULL);
}

ROW(coop_error_print, NEVER, 0, 0)
{
	return coop_error_print(s->out, s->leaf, 0);
}

ROW(coop_error_json, NEVER, 0, 0)
{
	return coop_error_json(s->out, s->leaf);
}
