/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The plan: one whole job of the command, as data.
 *
 * The front half (options, Procfile, coop.yaml) makes it, `plan_finish` completes and checks it,
 * and after that it never changes: whoever runs it keeps what happens in structures of its own, by
 * the `index` of a task or group.
 *
 * What holds once plan_finish has returned 0:
 *   1. Each default is filled in: nothing means "not given", save NULL strings and empty lists.
 *   2. Times are nanoseconds; COOP_NEVER where there is no limit.
 *   3. Names of tasks are unique; each `after` points to its task, and there is no cycle.
 *   4. Each command has an argv that can be executed; `text` is for people.
 *   5. A stop ladder has at least one step and ends with KILL.
 *   6. groups[0] is the root; a group stands behind its parent.
 * All memory is the plan's, and goes with plan_free.
 */

#include <coop/base.h>

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses that are the command's own. */
enum {
	STATUS_TIMEOUT = 124,  /* a time limit */
	STATUS_OWN = 125,      /* wrong options, no plan, or the machinery failed */
	STATUS_NOEXEC = 126,   /* found, and could not be executed */
	STATUS_NOTFOUND = 127, /* not found */
	STATUS_SIGNAL = 128,   /* plus the number of the signal that a task died of */
};

enum plan_verb {
	VERB_RUN,
	VERB_MAP,
	VERB_EXEC,
	VERB_UP,
	VERB_CHECK,
	VERB_GRAPH,
	VERB_PS,
	VERB_TREE,
	VERB_LOGS,
	VERB_STOP,
	VERB_RESTART,
	VERB_DOCTOR,
	VERB_HELP,
	VERB_VERSION,
	VERBS,
};

/* What the failure of a task does to its group. */
enum plan_on_fail {
	ON_FAIL_CANCEL,  /* the rest of the group is cancelled, and the group fails */
	ON_FAIL_LOG,     /* it is noted and reported; the group does not fail of it */
	ON_FAIL_RESTART, /* gone after plan_finish: `restart` says it */
	ON_FAIL_KEEP,    /* the rest goes on, and the group fails at its end */
};

/* How far another task has to be before this one starts. */
enum plan_state {
	STATE_STARTED,
	STATE_READY, /* its probe has said so; without a probe: it has started */
	STATE_DONE,  /* it has ended, in any way */
	STATE_OK,    /* it has ended well; if it fails, who waits never starts */
};

enum plan_restart { RESTART_NO, RESTART_ON_FAILURE, RESTART_ALWAYS };
enum plan_exit { EXIT_FIRST, EXIT_MAX, EXIT_COUNT, EXIT_ZERO };
enum plan_contain { CONTAIN_AUTO, CONTAIN_TREE, CONTAIN_CGROUP };
enum plan_report { REPORT_TREE, REPORT_JSON, REPORT_NONE };
enum plan_switch { SWITCH_AUTO, SWITCH_ON, SWITCH_OFF };
enum plan_format { FORMAT_TEXT, FORMAT_DOT, FORMAT_MERMAID };

enum plan_output {
	OUTPUT_AUTO,
	OUTPUT_PREFIX,
	OUTPUT_GROUP,
	OUTPUT_STREAM,
	OUTPUT_QUIET,
	OUTPUT_JSON,
	OUTPUT_GITHUB,
};

enum plan_probe_kind {
	PROBE_NONE,
	PROBE_TCP,    /* host, port: a connection is accepted */
	PROBE_UNIX,   /* path: a connection is accepted */
	PROBE_HTTP,   /* host, port, path: GET is answered with 200 to 399 */
	PROBE_LOG,    /* text: extended regular expression, that a line of the output matches */
	PROBE_FILE,   /* path: exists */
	PROBE_CMD,    /* command: ends with 0 */
	PROBE_FD,     /* fd: the task writes a newline to it, or closes it after writing (s6) */
	PROBE_NOTIFY, /* the task sends READY=1 to $NOTIFY_SOCKET */
};

/* A command: `text` as it was written; `argv` ends with NULL, argv[0] is looked up in the PATH of
 * the environment that the command gets. */
struct plan_command {
	const char *text;
	const char **argv;
};

struct plan_probe {
	enum plan_probe_kind kind;
	const char *text; /* as it was written: "tcp:5432" */
	const char *host; /* "localhost" where none was given */
	const char *path;
	const char *regex;
	uint16_t port;
	int fd;
	struct plan_command command;
	int64_t interval_ns; /* between two attempts */
	int64_t attempt_ns;  /* the limit of one attempt */
	int64_t delay_ns;    /* before the first attempt */
};

/* One step of a ladder: send the signal, then wait so long for the end. The wait of KILL is the
 * time until survivors are reported. */
struct plan_step {
	int sig;
	int64_t wait_ns;
};

/* A set of exit statuses, 0 to 255. Signals are in it as 128 + n, a time limit as 124. */
struct plan_codes {
	uint64_t bits[4];
};

/* Where something was written, for messages: FILE:LINE:COLUMN, or an argument's number. */
struct plan_place {
	const char *file; /* NULL: the command line; line is the number of the argument, from 1 */
	int line, column; /* column 0: unknown */
};

struct plan_list { /* of strings */
	const char **items;
	size_t count;
	size_t room; /* the front half's own */
};

struct plan_env_file {
	const char *path;
	struct plan_place place; /* where it was named */
};

struct plan_after {
	const char *name;
	struct plan_task *task;
	enum plan_state state;
	struct plan_place place;
};

struct plan_task {
	size_t index; /* in plan->tasks: the order of the text */
	const char *name;
	struct plan_group *group;
	struct plan_command command;
	struct plan_place place;

	/* When it starts, and what it is for the others. */
	struct plan_after *after;
	size_t after_count;
	struct plan_list locks;  /* named mutexes, held while it runs; sorted, each once */
	struct plan_probe ready; /* PROBE_NONE: ready as soon as it has started */
	int64_t ready_timeout_ns;
	bool is_main;    /* its end cancels the rest, its status is the status */
	bool is_service; /* runs for ever; cancelled when all that are none are done */

	/* What counts as success, and what a failure does. */
	struct plan_codes ok_codes;
	enum plan_on_fail on_fail;
	int64_t timeout_ns;    /* of one attempt: status 124 */
	uint32_t attempts_max; /* 1: no retry */
	struct plan_codes retry_on;
	int64_t backoff_min_ns,
		backoff_max_ns; /* before a retry or restart; doubles, with jitter */
	enum plan_restart restart;
	uint32_t restart_max; /* starts within the window; COOP_UNLIMITED */
	int64_t restart_window_ns;

	/* How it is stopped. */
	struct plan_step *stop;
	size_t stop_count;
	bool is_shielded;
	int64_t shield_ns; /* how long it is waited for */

	/* What it runs in. */
	enum plan_switch pty;
	bool has_tty;         /* it owns the terminal; at most one does */
	struct plan_list env; /* "NAME=value", env files included; the last of a name counts */
	const char *cwd;      /* NULL: ours */
	int nice;             /* added to ours */

	/* The front half's own. */
	uint64_t given[2]; /* which options were given, by their number in the table */
	struct {
		struct plan_env_file *items;
		size_t count, room;
	} env_files;
	size_t after_room;
	int64_t stop_grace_ns; /* compose: stop_grace_period, and the signal below */
	int stop_sig;
};

struct plan_group {
	size_t index;     /* in plan->groups */
	const char *name; /* the last part of the path; of the root: the verb */
	const char *path; /* "a/b"; of the root: "" */
	struct plan_group *parent;
	bool is_keep_going;  /* false: the first failure cancels the rest of the group */
	uint32_t jobs_max;   /* tasks of it and below that run at once; COOP_UNLIMITED */
	int64_t timeout_ns;  /* for the whole group; status 124 */
	enum plan_exit exit; /* whose status a failed group has */
	struct plan_command *finally;
	size_t finally_count;
	const char *finally_cwd;    /* NULL: ours */
	int64_t finally_timeout_ns; /* of each of them */

	struct plan_place place;
	uint64_t given; /* enum group_given; the front half's own, as the next */
	size_t finally_room;
};

enum plan_input { INPUT_ARGS, INPUT_FILE, INPUT_STDIN };

/* `map`: tasks[0] is the template; plan_map_argv makes the command of one input. */
struct plan_map {
	enum plan_input input;
	struct plan_list args; /* INPUT_ARGS */
	const char *file;      /* INPUT_FILE */
	char separator;        /* between the inputs of a file or stdin: '\n', or 0 */
	bool is_ordered;       /* outputs appear in the order of the inputs */
	bool is_shell;         /* the template is one shell word: inputs are quoted for the shell */
	const char **words;    /* the template, ends with NULL */
};

/* make's jobserver as MAKEFLAGS names it. */
struct plan_jobserver {
	const char *fifo;      /* NULL: the descriptors */
	int read_fd, write_fd; /* -1: none */
	bool is_lost;          /* it names some that are none */
	const char *without;   /* "MAKEFLAGS=...", as it would be without one; NULL: no jobserver */
};

struct plan {
	enum plan_verb verb;
	struct plan_group **groups;
	size_t group_count;
	struct plan_task **tasks;
	size_t task_count;
	struct plan_map map;

	/* For the whole job. Policy, jobs, exit and finally are in groups[0]. */
	int64_t deadline_ns; /* how long the whole may take, from its start; status 124 */
	bool is_deadline_fixed; /* it was given as a time of the day */
	enum plan_output output;
	const char *log_dir;
	bool has_timestamps;
	bool is_raw; /* escape sequences of tasks reach the terminal */
	enum plan_contain contain;
	enum plan_report report;
	const char *events_file; /* NULL: none, or events_fd */
	int events_fd;           /* -1: none */
	bool is_dry_run;
	bool is_quiet;
	int verbosity;
	const char *control; /* path of the control socket; NULL: the usual place */
	bool has_lifeline;   /* the end of standard input cancels the job */
	struct plan_jobserver jobserver;

	/* Of verbs that read a file, or talk to a running coop. */
	const char *file; /* -f, or what was found */
	enum plan_format format;
	struct plan_list words; /* what stood behind the options: tasks, a verb */
	int pid;                /* ps, tree: 0 for none */
	bool is_follow;
	uint32_t lines; /* logs: how many of the last; COOP_UNLIMITED */

	/* The front half's own. */
	char error[512]; /* one line, after a call has failed */
	uint64_t given[2];
	size_t task_room, group_room;
	struct arena *arena;
};

/* A plan for the verb, with a root group and nothing else. Never fails: without memory the command
 * ends with status 125, since nothing has been started yet. */
struct plan *plan_new(enum plan_verb verb);
void plan_free(struct plan *plan);

/* Completes and checks; 0, or -EINVAL with plan->error. */
int plan_finish(struct plan *plan);

/* The command of one input of `map`: an argv in one block, for free(); NULL without memory.
 * `number` counts from 1. */
char **plan_map_argv(const struct plan *plan, const char *input, uint64_t number);

/* Where a ladder begins: at its first step for an interrupt; else at its first TERM, or, where it
 * has none, at its first step. */
size_t plan_stop_first(const struct plan_task *task, bool is_interrupt);

static inline bool plan_codes_has(const struct plan_codes *codes, int code)
{
	return code >= 0 && code < 256 && codes->bits[code / 64] >> (code % 64) & 1;
}
