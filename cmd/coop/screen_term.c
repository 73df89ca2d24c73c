/* SPDX-License-Identifier: MIT */
/*
 * The screen of a terminal: lines scroll as they always do, and under them stands one line that
 * says how the job is doing.
 *
 * Everything is put together first: the footer is taken away, lines are written, the footer is
 * written again, in one piece. That is done at once if nothing was drawn for a tenth of a second,
 * else at the next tick; so the footer is drawn at most ten times a second, whatever is written.
 * The alternate screen is never used, the cursor never hidden, no mode changed: whoever kills us
 * leaves at most one line.
 */
#include "line.h"
#include "nested.h"
#include "outer.h"
#include "proctree.h"
#include "report.h"
#include "run_map.h"
#include "text.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PENDING_MAX = 64 << 10, PIDS_SHOWN = 4, TASKS_WITH_PIDS = 3, ECHO_ROOM = 4 };

#define DRAW_NS COOP_MILLISECONDS(100)

struct term {
	int fd; /* the terminal: of the footer's sink */
	struct sink *sink;
	size_t columns;
	size_t drawn; /* columns of the footer that stands there; 0: none */
	int64_t drawn_ns;
	struct pen pending; /* lines that have not been put yet */
	struct pen line;    /* the footer */
	struct pen last;    /* and as it was drawn */
	struct line_style style;
	bool has_footer, is_paused;
};

/* ---------------------------------------------------------------------- the terminal */

static void look_at_width(struct term *t)
{
	struct winsize size;

	t->columns = ioctl(t->fd, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

/* One that is dumb, or of a kind that nobody has told, shows our sequences as they are. */
static bool is_dumb(void)
{
	const char *term = getenv("TERM");

	return !term || !*term || strcmp(term, "dumb") == 0;
}

static bool wants_colours(void)
{
	const char *no = getenv("NO_COLOR");

	return !(no && *no) && !is_dumb();
}

/* What reads our output (tee, a pager) writes to the same terminal, and would meet a footer. */
static bool is_piped(void)
{
	struct stat st;

	return fstat(STDOUT_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

/*
 * A footer that was drawn on a wider terminal may stand on several lines by now. Only then is all
 * below erased, too: tmux keeps a screen that is erased from its top on, and with it the footer.
 */
static void take_away(struct term *t, struct pen *pen)
{
	size_t up = t->drawn ? (t->drawn - 1) / t->columns : 0;

	if (!t->drawn)
		return;
	pen_text(pen, "\r");
	if (up)
		pen_printf(pen, "\033[%zuA", up);
	pen_text(pen, up ? "\033[J" : "\033[K");
	t->drawn = 0;
}

/* A key that is echoed behind the footer, as ^C is, must not make two lines of it. */
static size_t footer_room(const struct term *t)
{
	return t->columns - (t->columns > 4 * ECHO_ROOM ? 1 + ECHO_ROOM : 1);
}

/* -------------------------------------------------------------------------- the footer */

static void put_count(struct pen *pen, const char **comma, uint64_t count, const char *what)
{
	pen_printf(pen, "%s%llu %s", *comma, (unsigned long long)count, what);
	*comma = ", ";
}

/* Who is still there, of a footer's first few: "pid 8123", "pids 8123 8140". */
static void put_pids(struct pen *pen, const struct run_task *task, bool is_few)
{
	int pids[PIDS_SHOWN + 1];
	size_t count = is_few ? proc_group(task->pid, job_is_leader, task->job, pids,
					   PIDS_SHOWN + 1)
			      : 0;

	if (count == 0)
		pids[count++] = task->pid;
	pen_printf(pen, ", pid%s", count > 1 ? "s" : "");
	for (size_t i = 0; i < count && i < PIDS_SHOWN; i++)
		pen_printf(pen, " %d", pids[i]);
	pen_text(pen, count > PIDS_SHOWN ? " ..." : "");
}

/* "INT sent 2s ago, TERM in 3s"; in the first second it has just been sent. */
static void put_rung(struct pen *pen, const struct run_task *task)
{
	int64_t now = coop_now(), ago = (now - task->stop_since_ns) / COOP_SECONDS(1);
	int64_t left = (task->stop_until_ns - now) / COOP_SECONDS(1) + 1;
	char sig[TEXT_SIGNAL_SIZE], next[TEXT_SIGNAL_SIZE], text[TEXT_DURATION_SIZE];

	pen_printf(pen, "%s (%s sent", task->name, text_of_signal(task->stop_sig, sig));
	if (ago > 0)
		pen_printf(pen, " %s ago", text_of_duration(COOP_SECONDS(ago), text));
	if (task->stop_sig != SIGKILL)
		pen_printf(pen, ", %s in %s", text_of_signal(task->next_sig, next),
			   text_of_duration(COOP_SECONDS(left > 0 ? left : 1), text));
}

static void put_stopping(struct pen *pen, const struct run_task *task, bool is_few)
{
	char text[TEXT_DURATION_SIZE];
	int64_t left = task->stop_until_ns == COOP_NEVER ? 0 : task->stop_until_ns - coop_now();

	text_of_span(left > 0 ? left : 0, text);
	if (task->is_in_shield && !task->stop_sig) {
		pen_printf(pen, "%s (shielded", task->name);
		if (task->stop_until_ns != COOP_NEVER)
			pen_printf(pen, ", up to %s", text);
	} else if (task->stop_sig) {
		put_rung(pen, task);
	} else {
		pen_printf(pen, "%s (stopping", task->name);
	}
	put_pids(pen, task, is_few);
	pen_text(pen, ")");
}

/* Who is waited for; false: nobody is being stopped. */
static bool footer_stopping(const struct job *job, struct pen *pen)
{
	const char *between = " waiting: ";
	unsigned count = 0;

	for (const struct run_task *task = job->live; task; task = task->live_next) {
		if (task->state != RUN_STOPPING)
			continue;
		pen_text(pen, between);
		put_stopping(pen, task, count++ < TASKS_WITH_PIDS);
		between = " \u00b7 ";
	}
	return between[1] != 'w';
}

static void footer_map(const struct job *job, struct pen *pen, int64_t elapsed)
{
	const struct run_map *map = job->map;
	char span[TEXT_DURATION_SIZE], left[TEXT_DURATION_SIZE];

	text_of_span(elapsed, span);
	if (map->total)
		pen_printf(pen, " %llu/%llu done", (unsigned long long)map->done,
			   (unsigned long long)map->total);
	else
		pen_printf(pen, " %llu done", (unsigned long long)map->done);
	pen_printf(pen, ", %llu failed, %llu running, %s", (unsigned long long)map->failed_count,
		   (unsigned long long)(map->started - map->done), span);
	if (map->total && map->done && map->done < map->total && elapsed > COOP_SECONDS(1)) {
		text_of_span((int64_t)((double)elapsed / (double)map->done *
				      (double)(map->total - map->done)), left);
		pen_printf(pen, ", about %s left", left);
	}
}

static const char *mark_of(const struct run_task *task)
{
	if (task->is_stopped)
		return "stopped";
	return task->state == RUN_RUNNING ? "\u25cb" : "\u25cf";
}

static void footer_run(const struct job *job, struct pen *pen, int64_t elapsed)
{
	uint64_t running = 0, ready = 0, waiting = 0;
	const char *comma = " ";
	char span[TEXT_DURATION_SIZE];

	for (size_t i = 0; i < job->first_final; i++) {
		enum run_state state = job->tasks[i].state;

		running += state == RUN_RUNNING || state == RUN_READY || state == RUN_STOPPING;
		ready += state == RUN_READY && job->tasks[i].plan->ready.kind != PROBE_NONE;
		waiting += state < RUN_RUNNING || state == RUN_PAUSING;
	}
	put_count(pen, &comma, running, "running");
	if (ready)
		put_count(pen, &comma, ready, "ready");
	if (waiting)
		put_count(pen, &comma, waiting, "waiting");
	put_count(pen, &comma, job->failed, "failed");
	text_of_span(elapsed, span);
	pen_printf(pen, "  %s ", span);
	for (size_t i = 0; i < job->task_count; i++) {
		const struct run_task *task = &job->tasks[i];
		char inner[64];

		if (!task->pid)
			continue;
		text_of_span(coop_now() - task->started_ns, span);
		pen_printf(pen, "  %s %s %s", task->name, mark_of(task), span);
		if (*nested_running(task, inner, sizeof inner))
			pen_printf(pen, " (%s)", inner);
	}
}

static void make_footer(struct screen *screen)
{
	struct term *t = screen->own;
	const struct job *job = screen->job;
	int64_t elapsed = coop_now() - job->begun_ns;

	t->line.used = 0;
	if (t->style.has_colours)
		pen_text(&t->line, "\033[7m");
	if (!footer_stopping(job, &t->line)) {
		if (job->map)
			footer_map(job, &t->line, elapsed);
		else
			footer_run(job, &t->line, elapsed);
	}
	pen_text(&t->line, " ");
}

/* ---------------------------------------------------------------------------- drawing */

/* In the background there is somebody else's prompt, and a task may own the terminal. */
static bool is_in_front(const struct term *t)
{
	int group = tcgetpgrp(t->fd);

	return group < 0 || group == getpgrp();
}

/* What is pending, and the footer behind it. */
static void draw(struct screen *screen)
{
	struct term *t = screen->own;
	bool has_footer = t->has_footer && !t->is_paused && is_in_front(t);
	struct pen all = { 0 };

	if (has_footer)
		make_footer(screen);
	if (!t->pending.used && t->drawn && has_footer && t->line.used == t->last.used &&
	    memcmp(t->line.bytes, t->last.bytes, t->line.used) == 0)
		return;
	take_away(t, &all);
	pen_put(&all, t->pending.bytes, t->pending.used);
	t->pending.used = 0;
	if (has_footer) {
		t->last.used = 0;
		pen_put(&t->last, t->line.bytes, t->line.used);
		t->drawn = pen_clip(&t->line, 0, footer_room(t));
		pen_put(&all, t->line.bytes, t->line.used);
		pen_text(&all, "\033[0m");
		t->drawn_ns = coop_now();
	}
	pen_flush(&all, t->sink);
	pen_free(&all);
}

static void draw_soon(struct screen *screen)
{
	struct term *t = screen->own;

	if (!t->has_footer || t->pending.used > PENDING_MAX || coop_now() - t->drawn_ns >= DRAW_NS)
		draw(screen);
}

static void term_tick(struct screen *screen)
{
	draw(screen);
}

static void term_resized(struct screen *screen)
{
	struct term *t = screen->own;

	look_at_width(t);
	t->last.used = 0;
	draw(screen);
}

/* Under a shell that goes on there is no footer; whatever stands there afterwards is not ours. */
static void term_pause(struct screen *screen, bool is_paused)
{
	struct term *t = screen->own;

	t->is_paused = is_paused;
	term_resized(screen);
}

/* ------------------------------------------------------------------------------ lines */

/* The other one of our outputs is no terminal: what goes there is as it is where there is none. */
static void output_elsewhere(struct term *t, struct sink *sink, struct run_task *task, int stream,
			     const char *data, size_t size)
{
	struct line_style plain = t->style;
	struct pen pen = { 0 };

	plain.has_colours = plain.is_safe = false;
	if (plain.has_names || plain.plan->has_timestamps)
		line_output(&pen, &plain, task, stream, data, size);
	else
		pen_put(&pen, data, size);
	pen_flush(&pen, sink);
	pen_free(&pen);
}

static int term_output(struct screen *screen, struct run_task *task, int stream, const char *data,
		       size_t size)
{
	struct term *t = screen->own;
	struct sink *sink = stream == 2 ? screen->err : screen->out;

	if (sink != t->sink) {
		output_elsewhere(t, sink, task, stream, data, size);
		return sink_wait(sink);
	}
	line_output(&t->pending, &t->style, task, stream, data, size);
	draw_soon(screen);
	return sink_wait(sink);
}

static void term_happened(struct screen *screen, struct run_task *task, enum screen_event event)
{
	struct term *t = screen->own;

	line_event(&t->pending, &t->style, task, event);
	draw_soon(screen);
}

static void term_say(struct screen *screen, enum screen_level level, const char *text)
{
	struct term *t = screen->own;

	line_say(&t->pending, &t->style, level, text);
	draw(screen);
}

static void term_finish(struct screen *screen, int status)
{
	struct term *t = screen->own;

	t->has_footer = false;
	report_write(screen->job, status, t->style.has_colours, t->columns - 1, &t->pending);
	draw(screen);
}

/* ------------------------------------------------------------------------ life */

static int term_open(struct screen *screen)
{
	struct term *t = calloc(1, sizeof *t);
	const struct job *job = screen->job;

	if (!t)
		return -ENOMEM;
	t->fd = isatty(STDERR_FILENO) ? STDERR_FILENO : STDOUT_FILENO;
	t->sink = t->fd == STDERR_FILENO ? screen->err : screen->out;
	t->has_footer = job->plan->output == OUTPUT_AUTO && !job->plan->is_quiet &&
			!outer_is_there() && !is_dumb() && !is_piped();
	t->style = line_style_for(job);
	t->style.has_names = !job->map || job->plan->output == OUTPUT_PREFIX;
	t->style.has_colours = wants_colours();
	t->style.is_safe = !job->plan->is_raw;
	look_at_width(t);
	screen->own = t;
	return 0;
}

static void term_close(struct screen *screen)
{
	struct term *t = screen->own;

	if (!t)
		return;
	pen_free(&t->pending);
	pen_free(&t->line);
	pen_free(&t->last);
	free(t);
}

const struct screen_ops screen_term = {
	.wants_lines = true,
	.wants_ticks = true,
	.open = term_open,
	.happened = term_happened,
	.output = term_output,
	.say = term_say,
	.tick = term_tick,
	.resized = term_resized,
	.pause = term_pause,
	.finish = term_finish,
	.close = term_close,
};
