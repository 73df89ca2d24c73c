/* SPDX-License-Identifier: MIT */
/*
 * Events from strangers: what is read is text that can be shown, and written again it is read as
 * the same.
 */
#include "event.h"
#include "fuzz_plan.h"
#include "utf8.h"

#include <stdint.h>

static void check_text(const char *text)
{
	uint32_t c;

	for (size_t len; text && *text; text += len) {
		len = utf8_char(text, &c);
		MUST(len && !utf8_is_control(c));
	}
}

static void check_same(const char *a, const char *b)
{
	MUST(!a == !b && (!a || strcmp(a, b) == 0));
}

static void check_again(const struct event *e)
{
	struct pen pen = { 0 };
	struct event again;

	event_write(&pen, e, SIZE_MAX);
	pen_put(&pen, "", 1);
	MUST(event_read(&again, pen.bytes, pen.used - 1));
	MUST(again.kind == e->kind && again.pid == e->pid);
	check_same(again.task, e->task);
	check_same(again.group, e->group);
	check_same(again.text, e->text);
	pen_free(&pen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct event e;

	MUST(text);
	memcpy(text, data, size);
	if (event_read(&e, text, size)) {
		check_text(e.task);
		check_text(e.group);
		check_text(e.command);
		check_text(e.why);
		check_text(e.signal);
		check_text(e.outcome);
		check_text(e.text);
		check_again(&e);
	}
	free(text);
	return 0;
}
