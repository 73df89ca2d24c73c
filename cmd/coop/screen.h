/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The screen: where everything goes that people (or programs) see of a job.
 *
 * The runner tells it what happens, in the order in which it happens; the screen reads the job's
 * tasks and groups (run.h) for whatever it wants to show beside that. Which screen a job has is
 * decided once, by screen_choose.
 *
 * Rules
 *   1. All calls come from tasks of the one runtime, and never two at once inside one call: a call
 *      may suspend only in `output`, and other calls may come meanwhile.
 *   2. `happened`, `say` and `tick` never suspend: they put bytes into a sink (sink.h), which takes
 *      any number, or change what the next tick draws.
 *   3. `output` gets whole lines, save where `wants_lines` is false or the last one of a stream has
 *      no end. It waits for room in the sink, which is the back pressure; a cancel does not reach
 *      it. It returns 0, or a code: then the job is stopped (-EPIPE: our reader has gone).
 *   4. `finish` comes once, after all tasks have ended and before the sinks are closed.
 */

#include "run.h"

enum screen_event {
	SCREEN_STARTED,  /* an attempt has begun: task->attempt, task->pid */
	SCREEN_READY,    /* its probe has said so */
	SCREEN_ATTEMPT,  /* an attempt has failed or ended, and there will be another: task->code */
	SCREEN_STOPPING, /* it is being stopped: task->why; next, a signal or a shield */
	SCREEN_SIGNAL,   /* a signal of its ladder was sent: task->stop_sig, stop_until_ns */
	SCREEN_ENDED,    /* task->outcome, code, why; also for one that never started */
};

enum screen_level {
	SAY_DETAIL, /* -v */
	SAY_NOTE,   /* not with -q */
	SAY_ALERT,  /* always: failures of our own, the ladder, survivors */
};

struct screen {
	const struct screen_ops *ops;
	struct job *job;
	struct sink *out, *err; /* standard output and error; one sink where both are one file */
	void *own;              /* the screen's */
	bool is_open;
};

struct event; /* event.h */

struct screen_ops {
	bool wants_lines;
	bool wants_ticks; /* ten times a second while something runs */
	int (*open)(struct screen *screen);
	void (*happened)(struct screen *screen, struct run_task *task, enum screen_event event);
	int (*output)(struct screen *screen, struct run_task *task, int stream, const char *data,
		      size_t size);
	void (*say)(struct screen *screen, enum screen_level level, const char *text);
	/* A task of a coop that runs in one of ours; may be NULL. */
	void (*nested)(struct screen *screen, const struct event *event);
	void (*tick)(struct screen *screen);    /* may be NULL */
	void (*resized)(struct screen *screen); /* SIGWINCH; may be NULL */
	void (*pause)(struct screen *screen, bool is_paused); /* run_pause.c; may be NULL */
	void (*finish)(struct screen *screen, int status);
	void (*close)(struct screen *screen); /* frees `own`; may be NULL */
};

/* The screen for the plan's --output; auto is decided here. */
const struct screen_ops *screen_choose(const struct plan *plan);

/* Whether outputs of the task go through the screen at all, or the task has ours themselves. */
bool screen_is_direct(const struct plan *plan, const struct plan_task *task);

/* The end of a task in words: "exit 3", "killed by SIGSEGV", "timeout after 10s". `buf` has
 * SCREEN_TEXT bytes. */
enum { SCREEN_TEXT = 2 * RUN_WHY_SIZE + 64 };
const char *screen_end_text(const struct run_task *task, char *buf);

extern const struct screen_ops screen_prefix, screen_stream, screen_lines, screen_quiet;
extern const struct screen_ops screen_term, screen_group, screen_github, screen_json;

/* Who gets events beside the screen: the stream of --events, and the coop in which we run, if there
 * are these; by sinks of the plumbing. 0 or -errno. */
int events_open(struct job *job);
void events_happened(struct run_task *task, enum screen_event event);
void events_nested(const struct event *event);
/* Waits until there is room for more of them, here and on the screen: 0 or COOP_ECANCELED. */
int events_wait(const struct job *job);
/* The last one. What could not be written is told, and fails the job. */
void events_finish(struct job *job, int status);
void events_close(void);

/* Tells the screen, and the others. */
static inline void screen_tell(struct run_task *task, enum screen_event event)
{
	events_happened(task, event);
	task->job->screen->ops->happened(task->job->screen, task, event);
}

static inline void screen_tell_nested(struct job *job, const struct event *event)
{
	events_nested(event);
	if (job->screen->ops->nested)
		job->screen->ops->nested(job->screen, event);
}
