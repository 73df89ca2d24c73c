/* SPDX-License-Identifier: MIT */
/*
 * Events as JSON: one flat object a line.
 *
 * What is read comes from processes that nobody vouches for. So the reader takes nothing but flat
 * objects, decodes texts where they stand (they never get longer), and drops what it does not know.
 */
#include "event.h"
#include "report.h"
#include "utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const kinds[] = {
	"started", "ready", "retrying", "stopping", "signal", "ended", "finished",
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* --------------------------------------------------------------------------- facts */

struct event event_of(struct run_task *task, enum screen_event kind, char *buf)
{
	bool is_end = kind == SCREEN_ENDED || kind == SCREEN_ATTEMPT;
	struct event e = {
		.kind = (int)kind,
		.task = task->name,
		.group = task->plan->group->path,
		.attempt = task->attempt,
		.pid = task->pid,
		.code = task->code,
		.is_shielded = task->is_in_shield,
		.seconds = -1,
	};

	if (kind == SCREEN_STARTED)
		e.command = task->plan->command.text;
	if (kind == SCREEN_STARTED && task->number)
		e.input = task->text;
	if (kind == SCREEN_STOPPING || (kind == SCREEN_ENDED && task->why[0]))
		e.why = task->why;
	if (kind == SCREEN_SIGNAL && task->stop_sig)
		e.signal = coop_signal_name(task->stop_sig);
	if (is_end)
		e.text = screen_end_text(task, buf);
	if (kind == SCREEN_ENDED)
		e.outcome = report_outcome_word(task->outcome);
	if (kind == SCREEN_ENDED && task->first_ns != COOP_NEVER)
		e.seconds = (double)(coop_now() - task->first_ns) / 1e9;
	return e;
}

struct event event_of_finish(const struct job *job, int status)
{
	return (struct event){
		.kind = EVENT_FINISHED,
		.status = status,
		.seconds = (double)(coop_now() - job->begun_ns) / 1e9,
		.left = job->left,
	};
}

/* ------------------------------------------------------------------------- writing */

void event_begin(struct pen *pen, const char *kind)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	pen_printf(pen, "{\"time\":%lld.%06ld,\"event\":\"%s\"", (long long)now.tv_sec,
		   now.tv_nsec / 1000, kind);
}

void event_member(struct pen *pen, const char *name, const char *text, size_t text_max)
{
	if (!text)
		return;
	pen_printf(pen, ",\"%s\":\"", name);
	pen_json(pen, text, strnlen(text, text_max));
	pen_text(pen, "\"");
}

void event_write(struct pen *pen, const struct event *e, size_t text_max)
{
	bool is_end = e->kind == SCREEN_ENDED || e->kind == SCREEN_ATTEMPT;

	event_begin(pen, kinds[e->kind]);
	event_member(pen, "task", e->task, text_max);
	event_member(pen, "group", e->group, text_max);
	if (e->task)
		pen_printf(pen, ",\"attempt\":%u", e->attempt);
	if (e->pid)
		pen_printf(pen, ",\"pid\":%d", e->pid);
	event_member(pen, "command", e->command, text_max);
	event_member(pen, "input", e->input, text_max);
	event_member(pen, "signal", e->signal, text_max);
	if (e->kind == SCREEN_SIGNAL && !e->signal)
		pen_printf(pen, ",\"shielded\":%s", e->is_shielded ? "true" : "false");
	if (is_end)
		pen_printf(pen, ",\"code\":%d", e->code);
	event_member(pen, "text", e->text, text_max);
	event_member(pen, "outcome", e->outcome, text_max);
	event_member(pen, "why", e->why, text_max);
	if (e->kind == EVENT_FINISHED)
		pen_printf(pen, ",\"status\":%d", e->status);
	if (e->seconds >= 0)
		pen_printf(pen, ",\"seconds\":%.3f", e->seconds);
	if (e->kind == EVENT_FINISHED)
		pen_printf(pen, ",\"left_behind\":%zu", e->left);
	pen_text(pen, "}\n");
}

/* ------------------------------------------------------------------------- reading */

static void skip_space(char **at)
{
	*at += strspn(*at, " \t\r\n");
}

static bool take(char **at, char c)
{
	skip_space(at);
	if (**at != c)
		return false;
	++*at;
	return true;
}

/* \uXXXX, of which `at` is at the X: as UTF-8 to `to`. What cannot be in a text is a "?". */
static char *take_unicode(char **at, char *to)
{
	unsigned c = 0;

	for (int i = 0; i < 4; i++, ++*at) {
		char digit = **at;

		if (digit >= '0' && digit <= '9')
			c = c << 4 | (unsigned)(digit - '0');
		else if ((digit | 0x20) >= 'a' && (digit | 0x20) <= 'f')
			c = c << 4 | (unsigned)((digit | 0x20) - 'a' + 10);
		else
			return NULL;
	}
	if (!c || (c >= 0xd800 && c <= 0xdfff))
		c = '?';
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(0x80 | (c & 0x3f));
	} else {
		*to++ = (char)(0xe0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	}
	return to;
}

/* A text, decoded where it stands; NULL: it is none. */
static char *take_text(char **at)
{
	static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	char *from, *to, *escape;

	if (!take(at, '"'))
		return NULL;
	from = to = *at;
	while (**at && **at != '"') {
		if (**at != '\\') {
			*to++ = *(*at)++;
			continue;
		}
		++*at;
		if (**at == 'u') {
			++*at;
			to = take_unicode(at, to);
			if (!to)
				return NULL;
			continue;
		}
		escape = **at ? strchr(escapes, **at) : NULL;
		if (!escape)
			return NULL;
		*to++ = meant[escape - escapes];
		++*at;
	}
	if (!**at)
		return NULL;
	++*at;
	*to = '\0';
	utf8_make_visible(from);
	return from;
}

/* A number, true, false or null: as a number, of which nothing is asked. */
static bool take_word(char **at, double *ret_value)
{
	char *end;

	skip_space(at);
	for (int i = 0; i < 3; i++) {
		static const char *const words[] = { "false", "true", "null" };
		size_t len = strlen(words[i]);

		if (strncmp(*at, words[i], len) == 0) {
			*ret_value = i == 1;
			*at += len;
			return true;
		}
	}
	if (!**at || !strchr("-0123456789", **at))
		return false;
	*ret_value = strtod(*at, &end);
	if (end == *at || !(*ret_value > -1e15 && *ret_value < 1e15))
		return false;
	*at = end;
	return true;
}

static int to_int(double value)
{
	return value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : (int)value;
}

static void set_text(struct event *e, const char *name, const char *text)
{
	if (strcmp(name, "event") == 0) {
		e->kind = -1;
		for (int i = 0; i < KINDS; i++)
			if (strcmp(text, kinds[i]) == 0)
				e->kind = i;
	} else if (strcmp(name, "task") == 0) {
		e->task = text;
	} else if (strcmp(name, "group") == 0) {
		e->group = text;
	} else if (strcmp(name, "command") == 0) {
		e->command = text;
	} else if (strcmp(name, "input") == 0) {
		e->input = text;
	} else if (strcmp(name, "why") == 0) {
		e->why = text;
	} else if (strcmp(name, "signal") == 0) {
		e->signal = text;
	} else if (strcmp(name, "text") == 0) {
		e->text = text;
	} else if (strcmp(name, "outcome") == 0) {
		e->outcome = text;
	}
}

static void set_number(struct event *e, const char *name, double value)
{
	if (strcmp(name, "attempt") == 0)
		e->attempt = value > 0 ? (uint32_t)to_int(value) : 0;
	else if (strcmp(name, "pid") == 0)
		e->pid = value > 0 ? to_int(value) : 0;
	else if (strcmp(name, "code") == 0)
		e->code = to_int(value);
	else if (strcmp(name, "status") == 0)
		e->status = to_int(value);
	else if (strcmp(name, "seconds") == 0)
		e->seconds = value;
	else if (strcmp(name, "shielded") == 0)
		e->is_shielded = value != 0;
}

/* "name":value */
static bool take_member(char **at, struct event *e)
{
	const char *name = take_text(at), *text;
	double value;

	if (!name || !take(at, ':'))
		return false;
	skip_space(at);
	if (**at == '"') {
		text = take_text(at);
		if (text)
			set_text(e, name, text);
		return text != NULL;
	}
	if (!take_word(at, &value))
		return false;
	set_number(e, name, value);
	return true;
}

bool event_read(struct event *ret_event, char *text, size_t size)
{
	struct event e = { .kind = -1, .seconds = -1 };
	char *at = text;

	text[size] = '\0';
	if (memchr(text, 0, size) || !take(&at, '{'))
		return false;
	do {
		if (!take_member(&at, &e))
			return false;
	} while (take(&at, ','));
	if (!take(&at, '}'))
		return false;
	skip_space(&at);
	if (*at || e.kind < 0 || (e.kind != EVENT_FINISHED && (!e.task || !*e.task)))
		return false;
	e.group = e.group ? e.group : "";
	*ret_event = e;
	return true;
}
