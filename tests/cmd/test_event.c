/* SPDX-License-Identifier: MIT */
/*
 * Events as lines of JSON: what is written can be read; what strangers send is taken apart with
 * care.
 */
#include "event.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

/* Where there is none it fails; what is returned points into `line`. */
static struct event read_event(char *line)
{
	struct event event;

	if (!event_read(&event, line, strlen(line)))
		FAIL("no event: %s", line);
	return event;
}

static bool is_event(const char *text)
{
	size_t size = strlen(text);
	char *line = malloc(size + 1); /* no byte more than may be touched */
	struct event event = { .kind = 77 };
	bool is;

	memcpy(line, text, size);
	is = event_read(&event, line, size);
	CHECK(is || event.kind == 77);
	free(line);
	return is;
}

/* All facts come back as they were. */
TEST(what_is_written_can_be_read)
{
	struct event e = { .kind = SCREEN_ENDED,
			   .task = "name \"\\/\t\u00e9\u20ac",
			   .group = "a/b",
			   .why = "b: exit 1",
			   .outcome = "cancelled",
			   .text = "cancelled: b: exit 1",
			   .attempt = 3,
			   .pid = 77,
			   .code = 143,
			   .seconds = 1.25 };
	struct pen pen = { 0 };
	struct event back;

	event_write(&pen, &e, SIZE_MAX);
	pen_put(&pen, "", 1);
	back = read_event(pen.bytes);
	CHECK_INT(back.kind, ==, SCREEN_ENDED);
	CHECK_STR(back.task, "name \"\\/?\u00e9\u20ac"); /* a tab is no part of a name */
	CHECK_STR(back.group, "a/b");
	CHECK_STR(back.why, "b: exit 1");
	CHECK_STR(back.outcome, "cancelled");
	CHECK_STR(back.text, "cancelled: b: exit 1");
	CHECK_STR(back.command, NULL);
	CHECK_INT(back.attempt, ==, 3);
	CHECK_INT(back.pid, ==, 77);
	CHECK_INT(back.code, ==, 143);
	CHECK(back.seconds > 1.24 && back.seconds < 1.26);
	pen_free(&pen);
}

/* For another coop long texts are cut: the line fits into a datagram whatever is in them. */
TEST(texts_are_cut)
{
	static char text[20000];
	struct event e = { .kind = SCREEN_STARTED, .task = "t", .group = "", .seconds = -1 };
	struct pen pen = { 0 };
	struct event back;

	memset(text, 1, sizeof text - 1); /* six bytes each */
	e.command = text;
	e.why = text;
	event_write(&pen, &e, EVENT_TEXT_MAX);
	CHECK_INT(pen.used, <=, EVENT_SIZE_MAX);
	pen_put(&pen, "", 1);
	back = read_event(pen.bytes);
	CHECK_INT(strlen(back.command), ==, EVENT_TEXT_MAX);
	pen_free(&pen);
}

/* Escapes are decoded; controls, halves of characters and what turns text round are not let in. */
TEST(texts_are_only_text)
{
	char line[] =
		"{\"event\":\"started\",\"task\":\"\\u0041\\u00e9\\u20AC\\ud83d\\u0000\\u001b\\n"
		"\\u202e\\b\x07\xff\xc3\" , \"group\" : \"\"}";

	CHECK_STR(read_event(line).task, "A\u00e9\u20ac?????????");
}

/* Members that nobody knows are passed over; of two the last one counts; order does not matter. */
TEST(what_is_unknown_is_passed_over)
{
	char line[] = " { \"x\" : true, "
		      "\"y\":null,\"z\":-1.5e3,\"pid\":\"7\",\"task\":\"a\",\"task\":\"b\","
		      "\"event\":\"ready\",\"attempt\":4.9,\"pid\":1e14,\"code\":-3 } \n";
	struct event e = read_event(line);

	CHECK_INT(e.kind, ==, SCREEN_READY);
	CHECK_STR(e.task, "b");
	CHECK_STR(e.group, "");
	CHECK_INT(e.attempt, ==, 4);
	CHECK_INT(e.pid, ==, INT32_MAX);
	CHECK_INT(e.code, ==, -3);
}

/* The end of a job needs no task. */
TEST(the_end_of_a_job)
{
	char line[] = "{\"event\":\"finished\",\"status\":3,\"seconds\":0.5}";
	struct event e = read_event(line);

	CHECK_INT(e.kind, ==, EVENT_FINISHED);
	CHECK_INT(e.status, ==, 3);
}

/* Nothing else is one; and nothing behind its bytes is looked at. */
TEST(no_events)
{
	static const char *const wrong[] = {
		"",
		" ",
		"{",
		"{}",
		"x",
		"[]",
		"null",
		"\"",
		"{\"",
		"{\"event",
		"{\"event\"",
		"{\"event\":",
		"{\"event\":\"started\"",
		"{\"event\":\"started\"}",
		"{\"event\":\"started\",\"task\":\"\"}",
		"{\"event\":\"boom\",\"task\":\"a\"}",
		"{\"event\":\"output\",\"task\":\"a\"}",
		"{\"event\":\"started\",\"task\":\"a\"",
		"{\"event\":\"started\",\"task\":\"a\"}x",
		"{\"event\":\"started\",\"task\":\"a\",}",
		"{\"event\":\"started\",\"task\":\"a\\\"}",
		"{\"event\":\"started\",\"task\":\"\\x\"}",
		"{\"event\":\"started\",\"task\":\"\\u12\"}",
		"{\"event\":\"started\",\"task\":\"a\\",
		"{\"event\":\"started\",\"task\":\"a\\u",
		"{\"event\":\"started\",\"task\":[1]}",
		"{\"event\":\"started\",\"task\":{}}",
		"{\"event\":\"started\",\"task\":\"a\",\"pid\":inf}",
		"{\"event\":\"started\",\"task\":\"a\",\"pid\":1e999}",
		"{\"event\":\"started\",\"task\":\"a\",\"pid\":-}",
		"{\"event\":1,\"task\":\"a\"}",
		"{'event':'started'}",
		"{\"event\":\"started\" \"task\":\"a\"}",
		"{\"a\":tru}",
	};

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		if (is_event(wrong[i]))
			FAIL("taken: %s", wrong[i]);
	CHECK(is_event("{\"event\":\"started\",\"task\":\"a\"}"));
}
