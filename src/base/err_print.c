/* SPDX-License-Identifier: MIT */
/*
 * The tree of an error for people.
 *
 *	group "pages" failed: 2 errors (1 child cancelled) [opened at app.c:31]
 *	├─ error EIO "reading index"  at app.c:18 in fetch
 *	│    task: main/pages/fetch
 *	│    via:  app.c:24 (COOP_AT)
 *	└─ error EPROTO "bad greeting"  at app.c:40 in greet
 *	     caused by: error ECONNRESET "Connection reset by peer"  at app.c:38 in greet
 *
 * 1. Nothing in it differs between two runs that do the same: no address, no
 *    time of day, and time stamps only where asked for.
 * 2. At most CP_PRINT_NODES objects and CP_PRINT_LEVELS levels are shown; how
 *    many are left out is said where they would be. The cost is bounded as the
 *    output is, but for one look at each member of the groups that are shown.
 * 3. The primary leaf is always shown, at the end if the tree is cut before it.
 * 4. A text from outside cannot add lines or steer the terminal: control
 *    characters and what is no UTF-8 are shown as \n, \x1b.
 */
#include "base/err_impl.h"
#include "base/utf8.h"

#include <string.h>

#define CP_PRINT_NODES 200
#define CP_PRINT_LEVELS 32
#define CP_PRINT_GONE 8
/* The widest step of a prefix is a branch: two columns, five bytes. */
#define CP_PRINT_STEP 5

struct cp_print_branches {
	const char *more; /* before a member that is not the last */
	const char *last;
	const char *bar; /* below the former */
	const char *gap; /* below the latter, and below the whole of it */
	const char *dash;
};

static const struct cp_print_branches cp_print_fine = { "├─ ", "└─ ", "│  ", "   ", "—" };
static const struct cp_print_branches cp_print_plain = { "|- ", "`- ", "|  ", "   ", "-" };

struct cp_print_level {
	const struct coop_error *node;
	uint32_t next;   /* kid that is next */
	uint32_t prefix; /* bytes of it that are this node's */
};

struct cp_print {
	FILE *out;
	const struct cp_print_branches *branches;
	const struct coop_error *primary; /* NULL: shown */
	bool times;
	uint32_t nodes;
	uint32_t depth;
	struct cp_print_level level[CP_PRINT_LEVELS];
	char prefix[CP_PRINT_LEVELS * CP_PRINT_STEP + 1];
};

/* ---- texts */

static bool cp_print_is_control(const char *s, size_t len)
{
	unsigned char c = (unsigned char)s[0];

	/* U+0080 to U+009F: terminals take them for commands, too. */
	return c < 0x20 || c == 0x7f || (len == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0);
}

static void cp_print_text(FILE *out, const char *text)
{
	while (*text) {
		size_t len = cp_utf8_len(text);

		if (len > 0 && !cp_print_is_control(text, len)) {
			fwrite(text, 1, len, out);
			text += len;
		} else if (*text == '\n') {
			fputs("\\n", out);
			text++;
		} else {
			fprintf(out, "\\x%02x", (unsigned char)*text++);
		}
	}
}

static void cp_print_place(FILE *out, const char *file, int line)
{
	cp_print_text(out, cp_err_file(file));
	fprintf(out, ":%d", line);
}

static void cp_print_count(FILE *out, uint64_t count, const char *one, const char *many)
{
	fprintf(out, "%llu %s", (unsigned long long)count, count == 1 ? one : many);
}

/* Begins a line that belongs to the current level. */
static void cp_print_margin(struct cp_print *print)
{
	fwrite(print->prefix, 1, print->level[print->depth - 1].prefix, print->out);
}

/* ---- one object */

static void cp_print_group(struct cp_print *print, const struct coop_error *group)
{
	FILE *out = print->out;

	fputs("group ", out);
	if (*group->name) {
		fputs("\"", out);
		cp_print_text(out, group->name);
		fputs("\" ", out);
	}
	fputs("failed: ", out);
	cp_print_count(out, group->total, "error", "errors");
	if (group->cancelled > 0) {
		fputs(" (", out);
		cp_print_count(out, group->cancelled, "child", "children");
		fputs(" cancelled)", out);
	}
	if (*group->file) {
		fputs(" [opened at ", out);
		cp_print_place(out, group->file, group->line);
		fputs("]", out);
	}
}

static void cp_print_leaf(struct cp_print *print, const struct coop_error *leaf)
{
	FILE *out = print->out;
	char code[80];

	fputs("error ", out);
	cp_print_text(out, coop_code_name(leaf->code, code, sizeof code));
	fputs(" \"", out);
	cp_print_text(out, leaf->message);
	fputs("\"", out);
	if (*leaf->file) {
		fputs("  at ", out);
		cp_print_place(out, leaf->file, leaf->line);
		if (*leaf->func) {
			fputs(" in ", out);
			cp_print_text(out, leaf->func);
		}
	}
	if (print->times)
		fprintf(out, "  t=%lld.%09lld", (long long)(leaf->when_ns / 1000000000),
			(long long)(leaf->when_ns % 1000000000));
	if (leaf->flags & CP_ERR_DURING_CANCEL)
		fputs("  (while being cancelled)", out);
}

/* The line of an object, after its branch. */
static void cp_print_head(struct cp_print *print, const struct coop_error *error)
{
	if (error->kind == COOP_ERROR_GROUP)
		cp_print_group(print, error);
	else
		cp_print_leaf(print, error);
	if (error->flags & CP_ERR_TRUNCATED)
		fputs("  (cut short)", print->out);
	fputs("\n", print->out);
	if (error == print->primary)
		print->primary = NULL;
	print->nodes++;
}

static void cp_print_via(struct cp_print *print, const struct coop_error *error, const char *indent)
{
	for (uint32_t i = 0; i < error->trace_count; i++) {
		const struct cp_err_place *place = &error->trace[i];

		cp_print_margin(print);
		fprintf(print->out, "%svia:  ", indent);
		cp_print_place(print->out, place->file, place->line);
		fputs(" (", print->out);
		cp_print_text(print->out, place->note ? place->note : "COOP_AT");
		fputs(")\n", print->out);
	}
	if (error->trace_lost > 0) {
		cp_print_margin(print);
		fprintf(print->out, "%svia:  ... %u more\n", indent, error->trace_lost);
	}
}

/* What stands below the line of a leaf, before its cause. */
static void cp_print_leaf_body(struct cp_print *print, const struct coop_error *leaf)
{
	if (*leaf->task) {
		cp_print_margin(print);
		fputs("  task: ", print->out);
		cp_print_text(print->out, leaf->task);
		fputs("\n", print->out);
	}
	cp_print_via(print, leaf, "  ");
}

static void cp_print_gone(struct cp_print *print, const struct coop_error *group)
{
	uint32_t shown = group->gone_count < CP_PRINT_GONE ? group->gone_count : CP_PRINT_GONE;
	FILE *out = print->out;

	for (uint32_t i = 0; i < shown; i++) {
		const struct cp_err_cancelled *gone = &group->gone[i];

		cp_print_margin(print);
		fputs("   cancelled: ", out);
		cp_print_text(out, gone->who);
		if (*gone->why) {
			fprintf(out, " %s reason: ", print->branches->dash);
			cp_print_text(out, gone->why);
		}
		if (*gone->blocked_in) {
			fputs(", blocked in ", out);
			cp_print_text(out, gone->blocked_in);
		}
		fputs("\n", out);
	}
	if (shown > 0 && group->cancelled > shown) {
		cp_print_margin(print);
		fprintf(out, "   ... %u more cancelled\n", group->cancelled - shown);
	}
}

/* What stands below the members of a group. */
static void cp_print_group_end(struct cp_print *print, const struct coop_error *group)
{
	if (group->total > group->count) {
		cp_print_margin(print);
		fprintf(print->out, "   ... %u more not kept\n", group->total - group->count);
	}
	cp_print_gone(print, group);
	if (group->cancel_pending) {
		cp_print_margin(print);
		fputs("   a cancellation from outside passed, too\n", print->out);
	}
	cp_print_via(print, group, "   ");
}

/* ---- the tree */

/* Begins the level of an object whose line is printed; `step` is what its margin has more. */
static void cp_print_push(struct cp_print *print, const struct coop_error *error, const char *step)
{
	uint32_t prefix = print->depth ? print->level[print->depth - 1].prefix : 0;
	size_t len = strlen(step);

	memcpy(print->prefix + prefix, step, len);
	print->level[print->depth++] =
		(struct cp_print_level){ .node = error, .prefix = prefix + (uint32_t)len };
	if (error->kind != COOP_ERROR_GROUP)
		cp_print_leaf_body(print, error);
}

/* Says how many objects from the next kid on are left out, and leaves them out. */
static void cp_print_skip(struct cp_print *print, struct cp_print_level *level)
{
	bool group = level->node->kind == COOP_ERROR_GROUP;
	uint64_t more = 0;

	for (; level->next < level->node->count; level->next++) {
		uint64_t nodes = level->node->kids[level->next]->nodes;

		more = more + nodes < more ? UINT64_MAX : more + nodes;
	}
	cp_print_margin(print);
	fprintf(print->out, "%s... %llu more\n",
		group ? print->branches->last : "  caused by: ", (unsigned long long)more);
}

static void cp_print_kid(struct cp_print *print, struct cp_print_level *level)
{
	const struct coop_error *kid = level->node->kids[level->next++];
	bool last = level->next == level->node->count;

	cp_print_margin(print);
	if (level->node->kind != COOP_ERROR_GROUP) {
		fputs("  caused by: ", print->out);
		cp_print_head(print, kid);
		cp_print_push(print, kid, "  ");
		return;
	}
	fputs(last ? print->branches->last : print->branches->more, print->out);
	cp_print_head(print, kid);
	cp_print_push(print, kid, last ? print->branches->gap : print->branches->bar);
}

static void cp_print_tree(struct cp_print *print, const struct coop_error *error)
{
	cp_print_head(print, error);
	cp_print_push(print, error, "");
	while (print->depth > 0) {
		struct cp_print_level *level = &print->level[print->depth - 1];

		if (level->next == level->node->count) {
			if (level->node->kind == COOP_ERROR_GROUP)
				cp_print_group_end(print, level->node);
			print->depth--;
		} else if (print->nodes >= CP_PRINT_NODES || print->depth == CP_PRINT_LEVELS) {
			cp_print_skip(print, level);
		} else {
			cp_print_kid(print, level);
		}
	}
}

/* The tree was cut before the one error that decided its code. */
static void cp_print_primary(struct cp_print *print)
{
	const struct coop_error *primary = print->primary;

	fputs("primary: ", print->out);
	cp_print_head(print, primary);
	cp_print_push(print, primary, "");
	if (primary->count > 0)
		cp_print_skip(print, &print->level[print->depth - 1]);
}

int coop_error_print(FILE *out, const struct coop_error *error, unsigned flags)
{
	struct cp_print print;

	print.out = out;
	print.branches = flags & COOP_PRINT_PLAIN ? &cp_print_plain : &cp_print_fine;
	print.primary = coop_error_primary(error);
	print.times = flags & COOP_PRINT_TIMES;
	print.nodes = print.depth = 0;

	flockfile(out);
	if (error) {
		cp_err_see(error);
		cp_print_tree(&print, error);
		if (print.primary)
			cp_print_primary(&print);
	} else {
		fputs("no error\n", out);
	}
	funlockfile(out);
	return ferror(out) ? -EIO : 0;
}
