/* SPDX-License-Identifier: MIT */
/* What errors look like: for people, golden; for programs, JSON. */
#include "error_help.h"
#include "test.h"

#include <fcntl.h>
#include <time.h>

static void check_print(struct coop_error *error, unsigned flags, const char *golden)
{
	char *text = printed(error, flags);

	CHECK_STR(text, golden);
	free(text);
}

static const char *app_text(int number)
{
	(void)number;
	return "an application error";
}

/* Two tasks; the second fails, the first is cancelled in its sleep. */
static struct coop_error *demo(void)
{
	struct coop_error *member;
	int r;

	CHECK_INT(coop_domain_register(APP, "app", app_text), ==, 0);
	member = cp_err_new_leaf(APP_CODE(22), "../../examples/demo2.c", 18, "failing_task",
				 "main/main.tg/Task 2", 1000000000, false, "Task 2 failed");
	r = coop_error_raise(member);
	r = coop_trace_at(r, "../../examples/demo2.c", 24, NULL);
	member = coop_error_take(r);
	return cp_err_new_group(&(struct cp_err_group){
		.name = "main.tg",
		.path = "main",
		.file = "../../examples/demo2.c",
		.line = 31,
		.when_ns = 1000000000,
		.members = &member,
		.count = 1,
		.cancelled = 1,
		.gone = &(struct cp_err_cancelled){ "main/main.tg/Task 1",
						    "child \"Task 2\" failed (demo2.c:18)",
						    "coop_sleep 1.000s" },
		.gone_count = 1,
	});
}

TEST(golden_demo)
{
	struct coop_error *error = demo();

	check_print(error, COOP_PRINT_TIMES,
		    "group \"main.tg\" failed: 1 error (1 child cancelled) "
		    "[opened at examples/demo2.c:31]\n"
		    "└─ error app:22 \"Task 2 failed\"  at examples/demo2.c:18 in failing_task"
		    "  t=1.000000000\n"
		    "     task: main/main.tg/Task 2\n"
		    "     via:  examples/demo2.c:24 (COOP_AT)\n"
		    "   cancelled: main/main.tg/Task 1 — reason: child \"Task 2\" failed "
		    "(demo2.c:18), blocked in coop_sleep 1.000s\n");
	check_print(error, COOP_PRINT_PLAIN,
		    "group \"main.tg\" failed: 1 error (1 child cancelled) "
		    "[opened at examples/demo2.c:31]\n"
		    "`- error app:22 \"Task 2 failed\"  at examples/demo2.c:18 in failing_task\n"
		    "     task: main/main.tg/Task 2\n"
		    "     via:  examples/demo2.c:24 (COOP_AT)\n"
		    "   cancelled: main/main.tg/Task 1 - reason: child \"Task 2\" failed "
		    "(demo2.c:18), blocked in coop_sleep 1.000s\n");
	coop_error_unref(error);
}

static struct coop_error *at(int code, const char *message, const char *task, int line)
{
	return cp_err_new_leaf(code, "a.c", line, "f", task, 2500000001, false, message);
}

TEST(golden_tree)
{
	struct coop_error *inner[3], *outer[4], *error;

	inner[0] = at(-EIO, "read", "main/o/i/x", 1);
	inner[1] = cp_err_new_leaf(COOP_ETIMEDOUT, "", 0, "", "", 0, true, NULL);
	inner[2] = at(-EPIPE, "write", "", 3);
	outer[0] = at(-ENOENT, "open", "main/o/a", 4);
	outer[1] = group_of("i", inner, 3);
	outer[2] = cp_err_new_wrap(-EPROTO, at(-ECONNRESET, "recv", "main/o/b", 6), "b.c", 7, "g",
				   "main/o/b", 0, "greeting");
	outer[3] = cp_err_new_wrap(-EPROTO, GROUP("in", at(-EPERM, "x", "t", 8)), "b.c", 9, "g", "",
				   0, "of a group");
	error = cp_err_new_group(&(struct cp_err_group){
		.members = outer,
		.count = 4,
		.total = 11,
		.cancelled = 3,
		.gone = &(struct cp_err_cancelled){ "main/o/c", "", "" },
		.gone_count = 1,
		.cancel_pending = true,
	});
	check_print(error, 0,
		    "group failed: 11 errors (3 children cancelled)\n"
		    "├─ error ENOENT \"open\"  at a.c:4 in f\n"
		    "│    task: main/o/a\n"
		    "├─ group \"i\" failed: 3 errors [opened at group.c:3]\n"
		    "│  ├─ error EIO \"read\"  at a.c:1 in f\n"
		    "│  │    task: main/o/i/x\n"
		    "│  ├─ error COOP_ETIMEDOUT \"the time limit was reached\"  "
		    "(while being cancelled)\n"
		    "│  └─ error EPIPE \"write\"  at a.c:3 in f\n"
		    "├─ error EPROTO \"greeting\"  at b.c:7 in g\n"
		    "│    task: main/o/b\n"
		    "│    caused by: error ECONNRESET \"recv\"  at a.c:6 in f\n"
		    "│      task: main/o/b\n"
		    "└─ error EPROTO \"of a group\"  at b.c:9 in g\n"
		    "     caused by: group \"in\" failed: 1 error [opened at group.c:3]\n"
		    "     └─ error EPERM \"x\"  at a.c:8 in f\n"
		    "          task: t\n"
		    "   ... 7 more not kept\n"
		    "   cancelled: main/o/c\n"
		    "   ... 2 more cancelled\n"
		    "   a cancellation from outside passed, too\n");
	PROVES(B44);
	coop_error_unref(error);
}

TEST(golden_plain_branches)
{
	struct coop_error *error = GROUP(
		"o", GROUP("i", at(-EIO, "a", "", 1), at(-EIO, "b", "", 2)), at(-EIO, "c", "", 3));

	check_print(error, COOP_PRINT_PLAIN | COOP_PRINT_TIMES,
		    "group \"o\" failed: 2 errors [opened at group.c:3]\n"
		    "|- group \"i\" failed: 2 errors [opened at group.c:3]\n"
		    "|  |- error EIO \"a\"  at a.c:1 in f  t=2.500000001\n"
		    "|  `- error EIO \"b\"  at a.c:2 in f  t=2.500000001\n"
		    "`- error EIO \"c\"  at a.c:3 in f  t=2.500000001\n");
	coop_error_unref(error);
}

TEST(golden_leaf_and_trace_of_a_group)
{
	struct coop_error *error = at(-EIO, "alone", "main", 5);
	int r;

	check_print(error, 0,
		    "error EIO \"alone\"  at a.c:5 in f\n"
		    "  task: main\n");
	r = coop_error_raise(GROUP("g", error));
	r = coop_trace_at(r, "./x.c", 6, NULL);
	r = coop_trace_at(r, "x.c", 7, "in passing");
	check_print((struct coop_error *)coop_error_peek(r), 0,
		    "group \"g\" failed: 1 error [opened at group.c:3]\n"
		    "└─ error EIO \"alone\"  at a.c:5 in f\n"
		    "     task: main\n"
		    "   via:  x.c:6 (COOP_AT)\n"
		    "   via:  x.c:7 (in passing)\n");
	coop_error_clear();
	check_print(NULL, 0, "no error\n");
}

TEST(texts_cannot_forge_lines)
{
	struct coop_error *error = at(-EIO,
				      "a\nb\x1b[2J\x7f\xc2\x9b"
				      "31m \xff \xe2\x82\xac \xed\xa0\x80",
				      "t\r", 1);

	check_print(error, 0,
		    "error EIO \"a\\nb\\x1b[2J\\x7f\\xc2\\x9b31m \\xff \xe2\x82\xac "
		    "\\xed\\xa0\\x80\"  at a.c:1 in f\n"
		    "  task: t\\x0d\n");
	coop_error_unref(error);
}

static int lines_of(const char *text)
{
	int lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

TEST(wide_output_is_bounded)
{
	struct coop_error **members = malloc(100000 * sizeof *members), *error;
	char *text;

	for (int i = 0; i < 100000; i++)
		members[i] = at(i == 70000 ? COOP_EEXIT(3) : -EIO, "x", "", i + 1);
	error = group_of("wide", members, 100000);
	free(members);
	text = printed(error, 0);
	CHECK_INT(lines_of(text), ==, 1 + 199 + 1 + 1);
	CHECK_HAS(text, "└─ ... 99801 more\n");
	/* The one that decided the code is always there. */
	CHECK_HAS(text, "\nprimary: error COOP_EEXIT(3) \"x\"  at a.c:70001 in f\n");
	free(text);
	coop_error_unref(error);
}

static struct coop_error *bush(int depth)
{
	struct coop_error *kids[3];

	if (depth == 0)
		return at(-EIO, "x", "", 1);
	for (int i = 0; i < 3; i++)
		kids[i] = bush(depth - 1);
	return group_of("b", kids, 3);
}

TEST(bushy_output_is_bounded)
{
	struct coop_error *error = bush(8);
	char *text = printed(error, 0);
	unsigned long long told = 200;

	/* 200 objects, and every other one is in one of the counts. */
	for (const char *s = text; (s = strstr(s, "... ")); s += 4)
		told += strtoull(s + 4, NULL, 10);
	CHECK_INT(told, ==, (6561 * 3 - 1) / 2);
	CHECK_INT(lines_of(text), <, 210);
	free(text);
	coop_error_unref(error);
}

static int64_t print_ns(unsigned depth)
{
	struct coop_error *error = nest(at(-EIO, "deep", "", 1), depth);
	int64_t start = cp_os_now_ns();
	char *text = printed(error, 0), more[64];

	start = cp_os_now_ns() - start;
	CHECK_INT(lines_of(text), ==, 32 + 1 + 1);
	sprintf(more, "└─ ... %u more\n", depth + 1 - 32);
	CHECK_HAS(text, more);
	CHECK_HAS(text, "\nprimary: error EIO \"deep\"");
	free(text);
	coop_error_unref(error);
	return start;
}

/* Text and time are bounded, not quadratic in the nesting. */
TEST(deep_output_is_bounded)
{
	int64_t most_ns = TEST_COUNT(50000000, 1000000000);

	CHECK_INT(print_ns(10000), <, most_ns);
	CHECK_INT(print_ns(100000), <, most_ns);
}

TEST(deep_causes_are_bounded)
{
	struct coop_error *error = at(-EIO, "origin", "", 1);
	char *text;

	for (int i = 0; i < 1000; i++)
		error = cp_err_new_wrap(-EPROTO, error, "w.c", i, "f", "", 0, "w");
	text = printed(error, 0);
	CHECK_INT(lines_of(text), ==, 32 + 1);
	CHECK_HAS(text, "caused by: ... 969 more\n");
	free(text);
	/* As the primary of a tree that is cut before it, it is shown without its causes. */
	error = nest(error, 40);
	text = printed(error, 0);
	CHECK_HAS(text, "primary: error EPROTO");
	CHECK_HAS(text, "  caused by: ... 1000 more\n");
	free(text);
	coop_error_unref(error);
}

TEST(print_reports_a_broken_stream)
{
	struct coop_error *error = demo();
	FILE *full = fopen("/dev/full", "w");

	CHECK(full != NULL);
	setvbuf(full, NULL, _IONBF, 0);
	CHECK_INT(coop_error_print(full, error, 0), ==, -EIO);
	CHECK_INT(coop_error_json(full, error), ==, -EIO);
	fclose(full);
	coop_error_unref(error);
}

/* ---- JSON */

static void check_json(struct coop_error *error, const char *golden)
{
	char *text = json_of(error);

	CHECK_STR(text, golden);
	free(text);
}

TEST(json_of_a_leaf)
{
	struct coop_error *error = cp_err_new_leaf(-EIO, "../a.c", 5, "f", "main/t", 7, true,
						   "q\" b\\ n\n t\t c\x01 \xff \xe2\x82\xac \xc3(");
	int r = coop_error_raise(error);

	r = coop_trace_at(r, "v.c", 6, "no\"te");
	r = coop_trace_at(r, "v.c", 7, NULL);
	CHECK_INT(r, ==, -EIO);
	check_json(error,
		   "{\"kind\":\"leaf\",\"code\":-5,\"code_name\":\"EIO\",\"message\":"
		   "\"q\\\" b\\\\ n\\n t\\t c\\u0001 \\ufffd \xe2\x82\xac \\ufffd(\","
		   "\"file\":\"a.c\",\"line\":5,\"func\":\"f\",\"task\":\"main/t\",\"when_ns\":7,"
		   "\"during_cancel\":true,\"truncated\":false,"
		   "\"trace\":[{\"line\":6,\"file\":\"v.c\",\"note\":\"no\\\"te\"},"
		   "{\"line\":7,\"file\":\"v.c\"}],\"trace_lost\":0}\n");
	coop_error_clear();
	check_json(NULL, "null\n");
}

#define REST(line) \
	"\",\"file\":\"a.c\",\"line\":" #line ",\"func\":\"f\",\"task\":\"\",\"when_ns\":" \
	"2500000001,\"during_cancel\":false,\"truncated\":false,\"trace\":[],\"trace_lost\":0"

TEST(json_of_a_tree)
{
	struct coop_error *members[2], *error;

	members[0] = cp_err_new_wrap(-EPROTO, at(-EIO, "in", "", 1), "a.c", 2, "f", "", 2500000001,
				     "out");
	members[1] = at(-EPIPE, "x", "", 3);
	error = cp_err_new_group(&(struct cp_err_group){
		.name = "g",
		.path = "main",
		.file = "g.c",
		.line = 1,
		.members = members,
		.count = 2,
		.total = 3,
		.cancelled = 2,
		.gone = &(struct cp_err_cancelled){ "main/a", "why", "coop_sleep" },
		.gone_count = 1,
		.cancel_pending = true,
	});
	check_json(
		error,
		"{\"kind\":\"group\",\"code\":-71,\"code_name\":\"EPROTO\",\"message\":"
		"\"unhandled errors in group \\\"g\\\" (3 sub-errors)\",\"file\":\"g.c\","
		"\"line\":1,\"func\":\"\",\"task\":\"main\",\"when_ns\":0,"
		"\"during_cancel\":false,\"truncated\":false,\"trace\":[],\"trace_lost\":0,"
		"\"name\":\"g\",\"cancel_pending\":true,\"cancelled\":[{\"task\":\"main/a\","
		"\"reason\":\"why\",\"blocked_in\":\"coop_sleep\"}],\"cancelled_total\":2,"
		"\"members_total\":3,\"members\":["
		"{\"kind\":\"wrap\",\"code\":-71,\"code_name\":\"EPROTO\",\"message\":\"out" REST(
			2) ",\"cause\":"
			   "{\"kind\":\"leaf\",\"code\":-5,\"code_name\":\"EIO\",\"message\":"
			   "\"in" REST(1) "}},{\"kind\":\"leaf\",\"code\":-32,\"code_name\":"
					  "\"EPIPE\",\"message\":\"x" REST(3) "}]}\n");
	coop_error_unref(error);
}

/* Brackets close in order and strings end: enough to see that deep output is whole. */
static void check_balanced(const char *text)
{
	size_t depth = 0, deepest = 0, len = strlen(text);
	char *open = malloc(len);
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (quoted) {
			i += c == '\\';
			quoted = c != '"';
		} else if (c == '"') {
			quoted = true;
		} else if (c == '{' || c == '[') {
			open[depth++] = c;
			deepest = depth > deepest ? depth : deepest;
		} else if (c == '}' || c == ']') {
			CHECK_INT(depth, >, 0);
			CHECK_INT(open[--depth], ==, c == '}' ? '{' : '[');
		}
	}
	CHECK_INT(depth, ==, 0);
	CHECK(!quoted && text[len - 1] == '\n' && strchr(text, '\n') == text + len - 1);
	free(open);
}

TEST(json_of_deep_and_bushy_trees)
{
	struct coop_error *error = nest(bush(3), 5000);
	char *with = json_of(error), *without;

	check_balanced(with);
	fail_alloc(1, true);
	without = json_of(error);
	fail_alloc(0, false);
	CHECK_STR(with, without);
	free(with);
	free(without);
	coop_error_unref(error);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}
