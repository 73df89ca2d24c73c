/* SPDX-License-Identifier: MIT */
/*
 * The tree of an error for programs: one line of JSON.
 *
 * Every object has the same keys, in the same order, but for "members" and
 * what goes with it (groups) and "cause" (wraps). The output is ASCII as far
 * as it is ours; texts are UTF-8, and a byte that is no part of a character
 * becomes U+FFFD. Unlike the tree for people it has no bounds.
 */
#include "base/err_impl.h"
#include "base/utf8.h"

#include <string.h>

static const char *const cp_json_kinds[] = {
	[COOP_ERROR_LEAF] = "leaf",
	[COOP_ERROR_GROUP] = "group",
	[COOP_ERROR_WRAP] = "wrap",
};

static void cp_json_char(FILE *out, const char *text, size_t len)
{
	static const char named[] = "\b\f\n\r\t\"\\", letters[] = "bfnrt\"\\";
	const char *at = strchr(named, text[0]);

	if (at)
		fprintf(out, "\\%c", letters[at - named]);
	else if ((unsigned char)text[0] < 0x20)
		fprintf(out, "\\u%04x", (unsigned char)text[0]);
	else
		fwrite(text, 1, len, out);
}

static void cp_json_text(FILE *out, const char *text)
{
	fputc('"', out);
	while (*text) {
		size_t len = cp_utf8_len(text);

		if (len > 0)
			cp_json_char(out, text, len);
		else
			fputs("\\ufffd", out);
		text += len ? len : 1;
	}
	fputc('"', out);
}

/* ,"key":"text" */
static void cp_json_pair(FILE *out, const char *key, const char *text)
{
	fprintf(out, ",\"%s\":", key);
	cp_json_text(out, text);
}

static void cp_json_flag(FILE *out, const char *key, bool is_true)
{
	fprintf(out, ",\"%s\":%s", key, is_true ? "true" : "false");
}

static void cp_json_trace(FILE *out, const struct coop_error *error)
{
	fputs(",\"trace\":[", out);
	for (uint32_t i = 0; i < error->trace_count; i++) {
		const struct cp_err_place *place = &error->trace[i];

		fprintf(out, "%s{\"line\":%d", i ? "," : "", place->line);
		cp_json_pair(out, "file", cp_err_file(place->file));
		if (place->note)
			cp_json_pair(out, "note", place->note);
		fputc('}', out);
	}
	fprintf(out, "],\"trace_lost\":%u", error->trace_lost);
}

static void cp_json_gone(FILE *out, const struct coop_error *group)
{
	fputs(",\"cancelled\":[", out);
	for (uint32_t i = 0; i < group->gone_count; i++) {
		const struct cp_err_cancelled *gone = &group->gone[i];

		fputs(i ? ",{\"task\":" : "{\"task\":", out);
		cp_json_text(out, gone->who);
		cp_json_pair(out, "reason", gone->why);
		cp_json_pair(out, "blocked_in", gone->blocked_in);
		fputc('}', out);
	}
	fprintf(out, "],\"cancelled_total\":%u", group->cancelled);
}

/* All of an object but its end; for a group and a wrap up to what comes below it. */
static void cp_json_open(FILE *out, const struct coop_error *error)
{
	char code[80];

	fprintf(out, "{\"kind\":\"%s\",\"code\":%d", cp_json_kinds[error->kind], error->code);
	cp_json_pair(out, "code_name", coop_code_name(error->code, code, sizeof code));
	cp_json_pair(out, "message", error->message);
	cp_json_pair(out, "file", cp_err_file(error->file));
	fprintf(out, ",\"line\":%d", error->line);
	cp_json_pair(out, "func", error->func);
	cp_json_pair(out, "task", error->task);
	fprintf(out, ",\"when_ns\":%lld", (long long)error->when_ns);
	cp_json_flag(out, "during_cancel", error->flags & CP_ERR_DURING_CANCEL);
	cp_json_flag(out, "truncated", error->flags & CP_ERR_TRUNCATED);
	cp_json_trace(out, error);
	if (error->kind == COOP_ERROR_GROUP) {
		cp_json_pair(out, "name", error->name);
		cp_json_flag(out, "cancel_pending", error->cancel_pending);
		cp_json_gone(out, error);
		fprintf(out, ",\"members_total\":%u,\"members\":[", error->total);
	} else if (error->kind == COOP_ERROR_WRAP) {
		fputs(",\"cause\":", out);
	}
}

static void cp_json_tree(FILE *out, const struct coop_error *error)
{
	struct cp_err_walk walk;
	enum cp_err_step step;
	bool comma = false; /* what enters now is not the first below its parent */

	cp_err_walk_begin(&walk, error, true);
	while ((step = cp_err_walk_step(&walk)) != CP_ERR_END) {
		if (step == CP_ERR_ENTER) {
			if (comma)
				fputc(',', out);
			cp_json_open(out, walk.node);
		} else {
			fputs(walk.node->kind == COOP_ERROR_GROUP ? "]}" : "}", out);
		}
		comma = step == CP_ERR_LEAVE;
	}
	cp_err_walk_end(&walk);
}

int coop_error_json(FILE *out, const struct coop_error *error)
{
	flockfile(out);
	cp_err_see(error);
	if (error)
		cp_json_tree(out, error);
	else
		fputs("null", out);
	fputc('\n', out);
	funlockfile(out);
	return ferror(out) ? -EIO : 0;
}
