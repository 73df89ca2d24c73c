/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A job: a plan that is being carried out. What is here changes while it runs; the plan does not.
 *
 * A group of the plan is a coop group, and a task of the plan a coop task in it; the process is
 * what that task waits for. Beside this tree, outside of its cancellations, is the plumbing: one
 * group with the tasks that read outputs, write them, ask probes, hear signals, answer the control
 * socket. It goes when the tree has.
 *
 * Invariants
 *   1. A task with a process has `process` set, and is in no other state than RUNNING, READY or
 *      STOPPING; no process outlives its attempt.
 *   2. A task ends once in a life (run_again.c): `outcome` is set, then `ended` (and with it
 *      `started` and `ready`, so that nobody waits for what will not come).
 *   3. A polite signal goes to the process group of a task's leader only, each step of a ladder
 *      once. All descendants are the business of SIGKILL.
 *   4. job->level never falls.
 */

#include "guard.h"
#include "plan.h"

#include <coop.h>
#include <coop/process.h>

#include <regex.h>

enum run_state {
	RUN_WAITING,  /* for `after` */
	RUN_QUEUED,   /* for a lock or for one of the places of -j */
	RUN_RUNNING,  /* its process runs; a probe may be asked */
	RUN_READY,    /* the same, and it is ready */
	RUN_PAUSING,  /* between two attempts */
	RUN_STOPPING, /* it was cancelled, or has reached a limit, and is not gone yet */
	RUN_ENDED,
};

enum run_outcome {
	OUTCOME_NONE,
	OUTCOME_OK,          /* ended well */
	OUTCOME_FAILED,      /* and that counts: code */
	OUTCOME_NOTED,       /* failed, but --on-fail log */
	OUTCOME_CANCELLED,   /* stopped by us, and ended as it should then */
	OUTCOME_STOP_FAILED, /* stopped by us, and has failed over that: code */
	OUTCOME_SKIPPED,     /* never started: `why` */
	OUTCOME_LOST,        /* of a nested coop only, which has gone without a word */
};

/* How hard we are being told to stop. */
enum run_level {
	LEVEL_NONE,
	LEVEL_POLITE,
	LEVEL_KILL,         /* all but what is shielded */
	LEVEL_KILL_SHIELDS, /* everything */
};

enum { RUN_WHY_SIZE = 160, TAIL_MAX = 16 << 10 };

/* The end of a task's output, both streams as they came; a ring that grows up to TAIL_MAX. */
struct tail {
	char *bytes;
	size_t room;
	uint64_t total; /* bytes that were ever put */
};

struct run_task {
	const struct plan_task *plan;
	struct job *job;
	struct run_group *group;
	const char *name; /* the plan's; of an input of map: "name-number" */
	const char *text; /* the command for people; of map: the input */
	uint64_t number;  /* of map: of the input, from 1; else 0 */
	bool is_final;    /* a --finally of its group */
	struct run_task *live_next;
	char *const *argv;

	enum run_state state;
	enum run_outcome outcome;
	int code;        /* of the last attempt, as a shell would have it; 124 for a limit */
	int spawn_error; /* it could not be started: -errno */
	enum coop_process_step spawn_step;
	struct coop_process_status status;
	char why[RUN_WHY_SIZE]; /* it was cancelled, skipped, has timed out: because of what */
	uint32_t attempt;       /* from 1 */
	uint32_t restarts;
	uint32_t window_count; /* restarts within the window that began at window_ns */
	int64_t window_ns; /* on the job's clock */
	bool is_over_limit;
	int pid; /* 0: no process */
	struct coop_process *process;
	int64_t first_ns, started_ns, ready_ns, ended_ns; /* COOP_NEVER: not yet */

	bool is_ready, is_started; /* in its life, once */
	bool is_ended;             /* its leader has ended, in this attempt */
	bool has_paused;           /* it owns the terminal and stopped: so did the job */
	bool is_stopped;           /* its leader stood still when it was looked at last */
	bool is_asked;             /* stop or restart by the control socket */
	bool is_restart_asked;
	bool is_again;       /* it had ended before, and was started again */
	bool is_late;        /* not ready in time: the attempt has failed */
	bool is_timed_out;   /* the attempt has reached its limit */
	bool is_interrupted; /* its ladder begins at the left: after a Ctrl-C */
	size_t rank;         /* in which order it has ended, from 1 */
	uint32_t failure;    /* of all failures of the job, which one was its */

	/* While it is being stopped. */
	int stop_sig;          /* the last signal sent; 0: none yet */
	int next_sig;          /* the one after it; 0: not known */
	int64_t stop_since_ns; /* when it was sent */
	int64_t stop_until_ns; /* when the next one is due, or the shield is over */
	bool is_in_shield;
	struct coop_scope scope;       /* its whole life: for stop, and services at the end */
	struct coop_scope *wait_scope; /* of the attempt: cancelled to have it stopped */
	struct coop_scope *stop_scope; /* of a wait on the ladder: cancelled to climb at once */

	struct coop_event started, ready, ended;
	struct run_stream *streams[2]; /* that are being read; NULL: at their end, or none */
	struct coop_pulse drained;
	struct coop_handle *prober;
	struct coop_process *asking; /* the command of its probe, while it runs */
	regex_t regex;
	bool has_regex;
	int notify_fd, ready_fd; /* ours, of the probes; -1 */
	int ready_child_fd;      /* the other end of ready_fd, until the start; -1 */
	char notify_path[108];   /* "@..." for one without a name in the file system; "" */
	char probe_said[64];     /* why it was not ready when it was last asked; "" */
	int log_fd;              /* of --log-dir, or -1 */
	int terminal_fd;         /* that nobody has open on the other side; -1 */
	struct coop_mutex logging;
	int token; /* of make's jobserver: run_limit.c */
	struct tail tail;
	struct nested *nested; /* tasks of coops that run in it, and how many: nested.c */
	size_t nested_count, nested_more;
	void *screen_own; /* the screen's */
	bool is_line_open[2]; /* of its outputs on the screen: no end of line was there */
};

struct run_group {
	const struct plan_group *plan;
	struct job *job;
	struct run_group *parent;
	struct coop_group coop;
	bool is_open;
	struct coop_sem places; /* of -j */
	uint32_t failed_count;
	int first_code, max_code; /* of what has failed in it, finally included */
	uint32_t first_order;     /* of all failures of the job, which the first one was */
	bool is_timed_out;
	struct coop_handle *limiter; /* waits for its time limit; NULL: none */
};

struct job {
	struct plan *plan;
	struct guard *guard;
	struct screen *screen;
	struct run_task *tasks; /* one for each of the plan, then one for each --finally */
	size_t task_count;      /* map: of --finally only, its inputs are `live` */
	size_t first_final;
	struct plan_task *finals; /* plans of the latter */
	struct run_task *live;    /* those with a process, by live_next */
	struct run_group *groups;
	struct coop_group plumbing;
	int64_t begun_ns;

	enum run_level level;
	int stop_sig; /* the signal that stopped the job; 0: none */
	bool is_guard_gone;
	bool has_polite;      /* the first rung was a TERM or HUP: the next is a second */
	bool is_failed_first; /* something had failed before that signal came */
	const struct run_task *first_failed; /* whose failure was the first to count */
	const struct run_task *main_ended;
	uint32_t others_left; /* tasks that are no services and have not ended */
	bool has_others; /* the plan has such tasks */
	uint32_t running, ended, failed, cancelled, skipped, failures;
	int own_error; /* the machinery has failed: status 125 */
	bool is_own_told;
	struct coop_process_limit files; /* the limit that we were started with */
	bool has_files;                  /* and it was raised for us */
	size_t left;                     /* processes that could not be ended */
	unsigned logs_lost;              /* of --log-dir, that are not complete */

	struct run_locks *locks;
	struct run_jobserver *jobserver;
	struct run_map *map;
	struct control *control;
	struct nested_socket *nested;
	struct run_leaders { /* children of ours that are waited for */
		int *pids;
		size_t count, room;
	} leaders;
};

/* ------------------------------------------------------------------------ run.c */

/* run, exec, up, map: the exit status; does not return where a signal has ended the job. */
int verb_run(struct plan *plan);

void job_say(struct job *job, int level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* What an option asks for cannot be: tells it, for status 125. Returns r, an -errno. */
int job_refuse(struct job *job, int r, const char *option, const char *value);
int job_refuse_why(struct job *job, int r, const char *option, const char *value, const char *why);

/* Prints the tree of tasks, for SIGQUIT. */
void job_show(struct job *job);
const char *run_state_word(enum run_state state);
/* The same of a task, which may have been stopped from outside. */
const char *run_task_word(const struct run_task *task);

/* Stops the whole job politely; the first reason stays. */
void job_stop(struct job *job, const char *why);

/* Notes that a child is waited for, and that no more. False without memory. */
bool job_add_leader(struct job *job, int pid);
void job_drop_leader(struct job *job, int pid);
/* Of proctree.h's kind; `job` is its context. */
bool job_is_leader(int pid, void *job);

/* A task of the plan has ended: services whose users are gone, main, counts. */
void job_task_ended(struct job *job, struct run_task *task);

/* ------------------------------------------------------------------ run_pause.c */

/* Stops the job as the shell's Ctrl-Z means it, and goes on when we are continued. */
void pause_job(struct job *job);

/* When the runtime begins; and from time to time: we run, and say so again after `next_ns`. */
void pause_open(void);
void pause_alive(int64_t next_ns);
/* Gives the terminal to its task again, if we were in the background and are in front now; and
 * pauses the job, if that task has stopped itself. */
void pause_look(struct job *job);
/* Looks which tasks are stopped, by themselves or by somebody; each is told once. */
void pause_look_at_tasks(struct job *job);

/*
 * The job's clock: coop_now without the time for which we were stopped. A limit is an end on this
 * clock; how much of it is left is looked at again after a wait. COOP_NEVER stays so.
 */
int64_t job_now(void);
int64_t job_until(int64_t limit_ns);
int64_t job_left(int64_t end_ns);

/* ------------------------------------------------------------------ run_world.c */

/* Before any process is made: whether what is to be written to is there; a folder for logs is made.
 * If not, it was told. */
bool world_check(const struct plan *plan);
/* Before the run, and when it has begun. Returns the engine to use. */
enum coop_engine world_enter(struct job *job);
void world_give_back(void);

/* ------------------------------------------------------------------ run_group.c */

/* Cancels a coop task that works for another one, if there is any, and has it end first. */
void job_end_helper(struct coop_handle **helper, const char *why);

/* Carries out a group: a coop task. Returns 0; what has failed is in the group. */
int run_group(void *arg);

/* The status of a group that has ended. */
int run_group_status(const struct run_group *group);

/* A failure of a member, which counts: the group is cancelled unless it keeps going. */
void run_group_failed(struct run_group *group, int code, bool is_fatal, const char *why);

/* One of its tasks that had failed does not count as that any more. */
void run_group_forgive(struct run_group *group);

/* ------------------------------------------------------------------- run_task.c */

void run_task_init(struct run_task *task, struct job *job, const struct plan_task *plan);
void run_task_deinit(struct run_task *task);

/* The life of a task: a coop task of its group. */
int run_task(void *arg);

/* What has been set up before a task has an end, whatever it did: only the bookkeeping. */
void run_task_end(struct run_task *task, enum run_outcome outcome);

/* What one is that was told to stop, and has ended. */
enum run_outcome run_outcome_of_cancel(struct run_task *task);

/* Its log, in the folder of --log-dir, if there is one: before it starts, and after its end. */
void run_log_open(struct run_task *task);
void run_log_close(struct run_task *task);

/* What it writes, or wrote, is not in its log: tells so, and the job cannot succeed any more. */
void run_log_lost(struct run_task *task, const char *why);

/* Notes in words why it is cancelled, in its own coop task. */
void run_note_why(struct run_task *task);

/* ------------------------------------------------------------------ run_again.c */

/* Whether a task that has ended may be started again; if not, `why` says why not. */
bool run_may_again(const struct run_task *task, char *why, size_t size);
/* Starts it, as at the beginning: 0, or what coop_spawn_unless_cancelled returns. */
int run_again(struct run_task *task);

/* ---------------------------------------------------------------- run_attempt.c */

/*
 * One attempt: starts the process, waits for its end, stops it when cancelled or too late. When it
 * returns, nothing of its process group is left. 0: task->code and the rest say how it went;
 * COOP_ECANCELED: it was cancelled, and is gone.
 */
int run_attempt(struct run_task *task);

/* The command of its probe, in its folder and with its variables: the status, as a shell would have
 * it; COOP_ECANCELED. */
int run_probe_command(struct run_task *task);

/* ------------------------------------------------------------------- run_stop.c */

/* Ends a process group: waits for those after it, respects a shield if it may have one, climbs
 * the ladder. What cannot be ended is reported, and left. */
void run_stop(struct run_task *task, bool may_shield);

/* The leader has ended: the rest of its group follows. */
void run_stop_rest(struct run_task *task);

/* job->level has risen: who waits on a ladder looks again. */
void run_stop_hurry(struct job *job);

/* Whether the task is under a cancel of its group, or asked to stop. */
bool run_is_cancelled(const struct run_task *task);

/* ----------------------------------------------------------------- run_output.c */

struct run_stream;

/*
 * Our standard output has failed, or what is kept for it: nobody can see what the job does, so it
 * is stopped.
 */
void run_output_failed(struct job *job, const char *where, int r);

/* It has, since its reader has gone, as that of `coop run ... | head`: what ends because of that is
 * no news, and nobody waits for it. Failures are. */
bool run_is_quiet_end(const struct job *job);

/* Whether a task that writes to our standard output itself has died of its reader's going. */
bool run_has_lost_reader(const struct run_task *task);

/* Begins to read a stream of the task; takes `fd`. */
int run_read(struct run_task *task, int which, int fd);

/* Tells the terminals of tasks the size of ours. */
void run_resize(struct job *job, unsigned rows, unsigned columns);

/* Waits for the end of its streams, at most DRAIN_NS, then closes them. */
void run_drain(struct run_task *task);

/* ------------------------------------------------------------------ run_probe.c */

/* Prepares what the probe needs before the start; 0 or -errno. */
int run_probe_prepare(struct run_task *task);
/* The process has what was prepared for it, or has failed to start. */
void run_probe_started(struct run_task *task);
/* Asks it, in the plumbing, until it is ready or too late. */
int run_probe_start(struct run_task *task);
/* The process has ended by itself: it may be ready all the same, if nobody has asked since. */
void run_probe_last(struct run_task *task);
/* After the attempt. */
void run_probe_end(struct run_task *task);
/* A line of its output, for log:. */
void run_probe_line(struct run_task *task, const char *line, size_t size);
void run_set_ready(struct run_task *task);

/* ------------------------------------------------------------------ run_limit.c */

/* Takes locks, places and make's tokens, in this order; COOP_ECANCELED with none taken. */
int run_limit_take(struct run_task *task);
void run_limit_give(struct run_task *task);
int run_limit_open(struct job *job);
void run_limit_close(struct job *job);

/* --------------------------------------------------------------------- ladder.c */

/* Tasks of the plumbing: presses from the guard, and signals. */
int ladder_guard(void *arg);
int ladder_signals(void *arg);
int ladder_lifeline(void *arg);
/* A first press, from elsewhere. */
void ladder_stop(struct job *job, const char *why);

/* --------------------------------------------------------------------- tail.c */

void tail_put(struct tail *tail, const char *data, size_t size);
/* What is in it, at most two pieces; `from` counts from the beginning of the output. */
size_t tail_read(const struct tail *tail, uint64_t from, char *buf, size_t size);
