/* SPDX-License-Identifier: MIT */
/*
 * The screens that show what a task wrote in one piece, when it has ended: group, and github, which
 * has the frames that GitHub's log viewer folds.
 *
 * What is waited with lies in a file without a name once it is too much for memory. Blocks are
 * written by a task of the plumbing, since whoever tells of an end must not wait; at the end of
 * the job finish writes what is left.
 */
#include "line.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GITHUB_TEXT "%\r\n"

enum { MEMORY_MAX = 256 << 10, PIECE = 64 << 10 };

struct block {
	struct block *next;
	struct pen text;
	int fd; /* -1: all of it is in `text` */
	uint64_t in_file;
	int lost;                  /* why it does not go on: what came then found no room */
	struct coop_mutex keeping; /* by one stream at a time: a write to the file may wait */
	char title[128], end[SCREEN_TEXT + 8];
	bool is_failed;
};

struct grouped {
	struct line_style style;
	struct block *first, **last;
	struct coop_pulse pulse;
	struct coop_mutex writing; /* by one at a time, block by block */
};

static bool is_github(const struct screen *screen)
{
	return screen->ops == &screen_github;
}

static struct block *block_of(struct run_task *task)
{
	struct block *b = task->screen_own;

	if (!b && (b = calloc(1, sizeof *b))) {
		b->fd = -1;
		b->keeping = (struct coop_mutex)COOP_MUTEX_INIT;
		task->screen_own = b;
	}
	return b;
}

static void block_free(struct block *b)
{
	if (b->fd >= 0)
		close(b->fd);
	pen_free(&b->text);
	coop_mutex_deinit(&b->keeping);
	free(b);
}

/* ------------------------------------------------------------------------- to a file */

static const char *temporary_dir(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && *dir ? dir : "/tmp";
}

/* In memory where there is no such folder, or its file system knows no files without a name. */
static int temporary(void)
{
	int fd = open(temporary_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		fd = memfd_create("coop-output", MFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* What is in memory goes to the file, as far as it can. */
static int spill(struct block *b)
{
	size_t at = 0;
	int r = 0;

	if (b->fd < 0)
		r = b->fd = temporary();
	while (r >= 0 && at < b->text.used) {
		r = coop_pwrite(b->fd, b->text.bytes + at, b->text.used - at, (int64_t)b->in_file);
		if (r > 0) {
			at += (size_t)r;
			b->in_file += (uint64_t)r;
		}
	}
	b->text.used -= at;
	memmove(b->text.bytes, b->text.bytes + at, b->text.used);
	return r < 0 ? r : 0;
}

static void spill_or_stop(struct run_task *task, struct block *b)
{
	char where[160];
	int r = spill(b);

	if (r >= 0)
		return;
	b->lost = r;
	snprintf(where, sizeof where, "the output of %.64s, kept in %.64s", task->name,
		 temporary_dir());
	run_output_failed(task->job, where, r);
}

struct piece {
	struct run_task *task;
	struct block *block;
	const char *data;
	size_t size;
};

static int keep(void *arg)
{
	const struct piece *piece = arg;
	struct run_task *task = piece->task;
	struct block *b = piece->block;
	int r = coop_mutex_lock(&b->keeping);

	if (r < 0)
		return r;
	if (!b->lost) {
		if (isatty(STDOUT_FILENO) && !task->job->plan->is_raw)
			pen_safe_output(&b->text, piece->data, piece->size);
		else
			pen_put(&b->text, piece->data, piece->size);
		if (b->text.used && b->text.bytes[b->text.used - 1] != '\n')
			pen_text(&b->text, "\n");
		if (b->text.used >= MEMORY_MAX)
			spill_or_stop(task, b);
	}
	return coop_mutex_unlock(&b->keeping);
}

static int group_output(struct screen *screen, struct run_task *task, int stream, const char *data,
			size_t size)
{
	struct piece piece = { task, block_of(task), data, size };

	(void)screen;
	(void)stream;
	return piece.block ? coop_shield(keep, &piece) : -ENOMEM;
}

/* ------------------------------------------------------------------------ to the sink */

/* What is in the file, and what is in memory behind it. */
static int put_body(struct screen *screen, struct block *b)
{
	uint64_t at = 0;
	char *buf = b->in_file ? malloc(PIECE) : NULL;
	int r = b->in_file && !buf ? -ENOMEM : 0;

	while (r >= 0 && at < b->in_file) {
		r = coop_pread(b->fd, buf, PIECE, (int64_t)at);
		if (r == 0)
			r = -EIO;
		if (r > 0) {
			sink_put(screen->out, buf, (size_t)r);
			at += (uint64_t)r;
			r = sink_wait(screen->out);
		}
	}
	free(buf);
	pen_flush(&b->text, screen->out);
	return r < 0 ? r : sink_wait(screen->out);
}

/* In a workflow command of GitHub some characters have a meaning; in its text other ones than in a
 * property, where they are decoded. */
static void put_github(struct pen *pen, const char *text, const char *special)
{
	for (; *text; text++) {
		if (strchr(special, *text))
			pen_printf(pen, "%%%02X", (unsigned char)*text);
		else
			pen_put(pen, text, 1);
	}
}

/* GitHub folds its groups: what has failed stands open. */
static void put_head(const struct screen *screen, struct pen *pen, const struct block *b)
{
	bool is_folded = is_github(screen) && !b->is_failed;

	pen_text(pen, is_folded ? "::group::" : is_github(screen) ? "" : "\u250c\u2500 ");
	put_github(pen, b->title, is_folded ? GITHUB_TEXT : "");
	pen_text(pen, " ");
	put_github(pen, b->end, is_folded ? GITHUB_TEXT : "");
	pen_text(pen, "\n");
}

static void put_foot(const struct screen *screen, struct pen *pen, const struct block *b)
{
	if (!is_github(screen)) {
		pen_printf(pen, "\u2514\u2500 %s\n", b->title);
	} else if (!b->is_failed) {
		pen_text(pen, "::endgroup::\n");
	} else {
		pen_text(pen, "::error title=");
		put_github(pen, b->title, GITHUB_TEXT ":,");
		pen_text(pen, "::");
		put_github(pen, b->end, GITHUB_TEXT);
		pen_text(pen, "\n");
	}
}

static int put_block(struct screen *screen, struct block *b)
{
	struct pen pen = { 0 };
	int r;

	put_head(screen, &pen, b);
	pen_flush(&pen, screen->out);
	r = put_body(screen, b);
	if (r >= 0)
		r = b->lost;
	if (r < 0)
		pen_printf(&pen, "coop: %s: output lost: %s\n", b->title, coop_code_text(r));
	put_foot(screen, &pen, b);
	pen_flush(&pen, screen->out);
	pen_free(&pen);
	return sink_wait(screen->out);
}

static int put_all(void *arg)
{
	struct screen *screen = arg;
	struct grouped *own = screen->own;
	struct block *b;
	int r = coop_mutex_lock(&own->writing);

	if (r < 0)
		return r;
	while ((b = own->first)) {
		own->first = b->next;
		if (!own->first)
			own->last = &own->first;
		r = put_block(screen, b);
		if (r < 0)
			run_output_failed(screen->job, "standard output", r);
		block_free(b);
	}
	return coop_mutex_unlock(&own->writing);
}

/* In the plumbing: what has ended is written while the others run. */
static int writer(void *arg)
{
	struct screen *screen = arg;
	struct grouped *own = screen->own;
	int r = 0;

	while (r >= 0) {
		r = coop_pulse_wait(&own->pulse);
		if (r >= 0)
			r = coop_shield(put_all, screen);
	}
	return r;
}

/* ------------------------------------------------------------------------ the screen */

static int group_open(struct screen *screen)
{
	struct grouped *own = calloc(1, sizeof *own);

	if (!own)
		return -ENOMEM;
	own->style = line_style_for(screen->job);
	own->last = &own->first;
	own->pulse = (struct coop_pulse)COOP_PULSE_INIT;
	own->writing = (struct coop_mutex)COOP_MUTEX_INIT;
	screen->own = own;
	return coop_spawn(&screen->job->plumbing, writer, screen);
}

static void group_happened(struct screen *screen, struct run_task *task, enum screen_event event)
{
	struct grouped *own = screen->own;
	struct pen pen = { 0 };
	char text[SCREEN_TEXT];
	struct block *b;

	if (event != SCREEN_ENDED || !(b = block_of(task)))
		return;
	task->screen_own = NULL;
	b->is_failed = task->outcome == OUTCOME_FAILED || task->outcome == OUTCOME_STOP_FAILED;
	line_mark(&pen, false, task->outcome);
	pen_printf(&pen, " %s", line_end(task, text));
	snprintf(b->title, sizeof b->title, "%s", task->name);
	snprintf(b->end, sizeof b->end, "%.*s", (int)pen.used, pen.used ? pen.bytes : "");
	pen_free(&pen);
	b->next = NULL;
	*own->last = b;
	own->last = &b->next;
	(void)!coop_pulse_send(&own->pulse);
}

static void group_say(struct screen *screen, enum screen_level level, const char *text)
{
	struct grouped *own = screen->own;
	struct pen pen = { 0 };

	line_say(&pen, &own->style, level, text);
	pen_flush(&pen, screen->err);
	pen_free(&pen);
}

static void group_finish(struct screen *screen, int status)
{
	struct pen pen = { 0 };

	if (coop_shield(put_all, screen) < 0)
		sink_printf(screen->err, "coop: some output could not be written\n");
	report_write(screen->job, status, false, 0, &pen);
	pen_flush(&pen, screen->err);
	pen_free(&pen);
}

static void group_close(struct screen *screen)
{
	struct grouped *own = screen->own;

	if (!own)
		return;
	while (own->first) {
		struct block *b = own->first;

		own->first = b->next;
		block_free(b);
	}
	coop_pulse_deinit(&own->pulse);
	coop_mutex_deinit(&own->writing);
	free(own);
}

const struct screen_ops screen_group = {
	.wants_lines = true,
	.open = group_open,
	.happened = group_happened,
	.output = group_output,
	.say = group_say,
	.finish = group_finish,
	.close = group_close,
};

const struct screen_ops screen_github = {
	.wants_lines = true,
	.open = group_open,
	.happened = group_happened,
	.output = group_output,
	.say = group_say,
	.finish = group_finish,
	.close = group_close,
};
