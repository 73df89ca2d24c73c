/* SPDX-License-Identifier: MIT */
/*
 * The tables. An option that is in no row does not exist.
 */
#include "setter.h"

#define V(verb) (1u << VERB_##verb)
#define LIST V(RUN)
#define TASKS (V(RUN) | V(MAP) | V(EXEC))
#define RUNS (TASKS | V(UP))
#define MANY (V(RUN) | V(MAP) | V(UP))
#define FILES (V(UP) | V(CHECK) | V(GRAPH))
#define TALKS (V(PS) | V(TREE) | V(LOGS) | V(STOP) | V(RESTART))

#define AT_TASK(field) .scope = SCOPE_TASK, .offset = offsetof(struct plan_task, field)
#define AT_GROUP(field) .scope = SCOPE_GROUP, .offset = offsetof(struct plan_group, field)
#define AT_PLAN(field) .scope = SCOPE_PLAN, .offset = offsetof(struct plan, field)

const char *const topic_titles[TOPICS] = {
	[TOPIC_TASK] = "What a task is",      [TOPIC_START] = "When it starts",
	[TOPIC_FAIL] = "When it fails",       [TOPIC_STOP] = "How it is stopped",
	[TOPIC_RUN] = "What it runs in",      [TOPIC_INPUT] = "Input",
	[TOPIC_OUTPUT] = "Output and report", [TOPIC_OTHER] = "Other",
};

const struct option option_table[] = {
	{ "name", 'n', "NAME", .verbs = LIST | V(MAP) | V(EXEC), AT_TASK(name), .flags = OPTION_OWN,
	  .topic = TOPIC_TASK, .set = set_name,
	  .help = "Name of the task, in the output and for --after; the command's first word." },
	{ "group", 0, "A/B", .verbs = LIST, AT_TASK(group), .topic = TOPIC_TASK, .set = set_group,
	  .help = "Group of the task, made where there is none; groups nest." },
	{ "main", 0, NULL, .verbs = LIST, AT_TASK(is_main), .flags = OPTION_OWN,
	  .topic = TOPIC_TASK, .set = set_flag,
	  .help = "When this task ends, the rest is cancelled; its exit status is coop's." },
	{ "service", 0, NULL, .verbs = LIST, AT_TASK(is_service), .topic = TOPIC_TASK,
	  .set = set_flag,
	  .help = "Runs for ever: cancelled when all others are done; ending early is a failure." },
	{ "argv", 0, NULL, .verbs = LIST, .scope = SCOPE_TASK, .flags = OPTION_OWN,
	  .topic = TOPIC_TASK,
	  .help = "The command is the words up to one that is \";\", executed without a shell." },
	{ "all", 0, NULL, .verbs = LIST, .scope = SCOPE_TASK, .flags = OPTION_OWN,
	  .topic = TOPIC_TASK,
	  .help = "Before the first command: task options there are defaults for every command." },

	{ "jobs", 'j', "N", .verbs = MANY, AT_GROUP(jobs_max), .topic = TOPIC_START,
	  .set = set_jobs,
	  .help = "At most N tasks at once; 0 for no limit, auto for the processors. map: auto." },
	{ "lock", 0, "NAME", .verbs = LIST | V(MAP), AT_TASK(locks), .flags = OPTION_MANY,
	  .topic = TOPIC_START, .set = set_lock,
	  .help = "Never at once with another task that has the same lock." },
	{ "after", 0, "TASK[:STATE]", .verbs = LIST, AT_TASK(after),
	  .flags = OPTION_OWN | OPTION_MANY, .topic = TOPIC_START, .set = set_after,
	  .help = "Start when TASK is started, ready, done (ended) or ok (ended well); without a "
		  "state: ready for a service or one with --ready, else ok. Stops in reverse." },
	{ "ready", 0, "PROBE", .verbs = LIST, AT_TASK(ready), .flags = OPTION_OWN,
	  .topic = TOPIC_START, .set = set_ready,
	  .help = "When it counts as ready: tcp:[HOST:]PORT, unix:PATH, http:URL, log:REGEX, "
		  "file:PATH, cmd:COMMAND, fd:N (a newline on descriptor N), notify "
		  "($NOTIFY_SOCKET)." },
	{ "ready-timeout", 0, "D", .verbs = LIST, AT_TASK(ready_timeout_ns), .topic = TOPIC_START,
	  .set = set_limit,
	  .help = "It fails if it is not ready within D, or ends before that; 60s." },

	{ "keep-going", 'k', NULL, .verbs = MANY, .scope = SCOPE_GROUP, .topic = TOPIC_FAIL,
	  .set = set_keep_going,
	  .help = "A failure stops nothing; the job fails at its end. The way of map." },
	{ "fail-fast", 0, NULL, .verbs = MANY, .scope = SCOPE_GROUP, .topic = TOPIC_FAIL,
	  .set = set_fail_fast,
	  .help = "The first failure cancels the rest of the group. The way of run and up." },
	{ "policy", 0, "GROUP:WORD,...", .verbs = LIST, .scope = SCOPE_PLAN, .flags = OPTION_MANY,
	  .topic = TOPIC_FAIL, .set = set_policy,
	  .help = "For one group: keep-going, fail-fast, jobs=N, timeout=D, exit=WAY, "
		  "finally=COMMAND (the last word; takes the rest)." },
	{ "on-fail", 0, "ACTION", .verbs = LIST, AT_TASK(on_fail), .topic = TOPIC_FAIL,
	  .set = set_choice, .choices = "cancel|log|restart",
	  .help = "What its failure does: cancel the group, be noted only, or restart it." },
	{ "timeout", 0, "D", .verbs = TASKS, AT_TASK(timeout_ns), .topic = TOPIC_FAIL,
	  .set = set_limit,
	  .help = "Limit of one attempt; exit status 124. Behind the last command of run: of "
		  "all." },
	{ "timeout", 0, "D", .verbs = V(UP), AT_PLAN(deadline_ns), .topic = TOPIC_FAIL,
	  .set = set_limit, .help = "Limit of the whole job; exit status 124." },
	{ "deadline", 0, "TIME", .verbs = RUNS, .scope = SCOPE_PLAN, .topic = TOPIC_FAIL,
	  .set = set_deadline,
	  .help = "Limit of the whole job: 10m, 18:30 or 2026-12-24T18:30; exit status 124." },
	{ "retry", 0, "N", .verbs = TASKS, AT_TASK(attempts_max), .topic = TOPIC_FAIL,
	  .set = set_retry, .help = "Try again up to N times before it counts as failed." },
	{ "backoff", 0, "D..D", .verbs = TASKS, AT_TASK(backoff_min_ns), .topic = TOPIC_FAIL,
	  .set = set_backoff,
	  .help = "Pause before another try or start, doubled each time, with jitter; 1s..30s." },
	{ "retry-on", 0, "CODES", .verbs = TASKS, AT_TASK(retry_on), .topic = TOPIC_FAIL,
	  .set = set_codes, .help = "Try again for these exit statuses only: 1,75,100-110." },
	{ "restart", 0, "WHEN", .verbs = LIST, AT_TASK(restart), .topic = TOPIC_FAIL,
	  .set = set_choice, .choices = "no|on-failure|always",
	  .help = "Start it again when it has ended; no." },
	{ "restart-limit", 0, "N/D", .verbs = LIST, AT_TASK(restart_max), .topic = TOPIC_FAIL,
	  .set = set_restart_limit, .help = "More than N restarts within D are a failure; 5/60s." },
	{ "ok-codes", 0, "CODES", .verbs = TASKS, AT_TASK(ok_codes), .topic = TOPIC_FAIL,
	  .set = set_codes,
	  .help = "The exit statuses that are success, all of them; 0. 0,143 allows a SIGTERM." },
	{ "exit", 0, "WAY", .verbs = MANY, AT_GROUP(exit), .topic = TOPIC_FAIL, .set = set_exit,
	  .choices = "first|max|count|zero",
	  .help = "Exit status after failures: the first's, the highest, how many, or 0." },
	{ "finally", 0, "COMMAND", .verbs = RUNS, AT_GROUP(finally), .flags = OPTION_MANY,
	  .topic = TOPIC_FAIL, .set = set_finally,
	  .help = "Run at the end, whatever happened; not cancelled by a first Ctrl-C." },
	{ "finally-timeout", 0, "D", .verbs = RUNS, AT_GROUP(finally_timeout_ns),
	  .topic = TOPIC_FAIL, .set = set_finally_timeout,
	  .help = "Limit of each --finally; 30s." },

	{ "stop", 0, "LADDER", .verbs = TASKS, AT_TASK(stop), .topic = TOPIC_STOP, .set = set_stop,
	  .help = "Signals and waits: INT,5s,TERM,10s,KILL. Ctrl-C begins at the left, all else "
		  "at TERM." },
	{ "shield", 0, "D", .verbs = TASKS, AT_TASK(is_shielded), .flags = OPTION_OPTIONAL,
	  .topic = TOPIC_STOP, .set = set_shield,
	  .help = "Not signalled when the job is cancelled, but waited for (at most D)." },
	{ "contain", 0, "WAY", .verbs = RUNS, AT_PLAN(contain), .topic = TOPIC_STOP,
	  .set = set_choice, .choices = "auto|tree|cgroup",
	  .help = "What keeps descendants together: the process tree, or a cgroup. See doctor." },
	{ "stdin-lifeline", 0, NULL, .verbs = RUNS, AT_PLAN(has_lifeline), .topic = TOPIC_STOP,
	  .set = set_flag, .help = "The end of standard input cancels the job (for ssh)." },

	{ "env", 'e', "K=V", .verbs = TASKS, AT_TASK(env), .flags = OPTION_MANY, .topic = TOPIC_RUN,
	  .set = set_env, .help = "A variable of its environment." },
	{ "env-file", 0, "FILE", .verbs = TASKS, AT_TASK(env_files), .flags = OPTION_MANY,
	  .topic = TOPIC_RUN, .set = set_env_file,
	  .help = "Variables from a file of K=V lines; --env wins." },
	{ "cwd", 'C', "DIR", .verbs = TASKS, AT_TASK(cwd), .topic = TOPIC_RUN, .set = set_path,
	  .help = "Its working directory." },
	{ "nice", 0, "N", .verbs = TASKS, AT_TASK(nice), .topic = TOPIC_RUN, .set = set_nice,
	  .help = "Added to its nice value." },
	{ "pty", 0, "WHEN", .verbs = TASKS, AT_TASK(pty), .topic = TOPIC_RUN, .set = set_choice,
	  .choices = "auto|on|off",
	  .help = "A terminal of its own, so that colours are kept; auto: where coop has one, but "
		  "not for map." },
	{ "tty", 0, NULL, .verbs = LIST | V(EXEC), AT_TASK(has_tty), .flags = OPTION_OWN,
	  .topic = TOPIC_RUN, .set = set_flag,
	  .help = "It owns coop's terminal, for one task that asks questions." },

	{ "null", '0', NULL, .verbs = V(MAP), AT_PLAN(map.separator), .topic = TOPIC_INPUT,
	  .set = set_null, .help = "Inputs of a file or standard input end with a 0 byte." },
	{ "ordered", 0, NULL, .verbs = V(MAP), AT_PLAN(map.is_ordered), .topic = TOPIC_INPUT,
	  .set = set_flag, .help = "Outputs in the order of the inputs." },
	{ "file", 'f', "FILE", .verbs = FILES, AT_PLAN(file), .topic = TOPIC_INPUT, .set = set_path,
	  .help = "The file to read; coop.yaml, coop.yml or Procfile." },
	{ "format", 0, "FORMAT", .verbs = V(GRAPH), AT_PLAN(format), .topic = TOPIC_OUTPUT,
	  .set = set_choice, .choices = "text|dot|mermaid",
	  .help = "How the graph is printed; text." },

	{ "output", 'o', "MODE", .verbs = RUNS, AT_PLAN(output), .topic = TOPIC_OUTPUT,
	  .set = set_choice, .choices = "auto|prefix|group|stream|quiet|json|github",
	  .help = "How outputs are shown; auto: prefix and a footer on a terminal, github in "
		  "Actions, group in other CI, else prefix." },
	{ "log-dir", 0, "DIR", .verbs = RUNS, AT_PLAN(log_dir), .topic = TOPIC_OUTPUT,
	  .set = set_path,
	  .help = "The output of each task, unchanged, in DIR/NAME.log, of map "
		  "DIR/NAME-NUMBER.log; a DIR that is missing is made. If a log cannot be written, "
		  "success is 125." },
	{ "timestamps", 0, NULL, .verbs = RUNS, AT_PLAN(has_timestamps), .topic = TOPIC_OUTPUT,
	  .set = set_flag, .help = "The time before each line." },
	{ "raw", 0, NULL, .verbs = RUNS, AT_PLAN(is_raw), .topic = TOPIC_OUTPUT, .set = set_flag,
	  .help = "Let all escape sequences of tasks reach the terminal, not only colours." },
	{ "report", 0, "FORM", .verbs = RUNS, AT_PLAN(report), .topic = TOPIC_OUTPUT,
	  .set = set_choice, .choices = "tree|json|none",
	  .help = "The report of failures at the end; tree." },
	{ "events", 0, "FILE", .verbs = RUNS, .scope = SCOPE_PLAN, .topic = TOPIC_OUTPUT,
	  .set = set_events, .help = "What happens, as JSON lines, into FILE or fd:N." },
	{ "quiet", 'q', NULL, .verbs = RUNS, AT_PLAN(is_quiet), .topic = TOPIC_OUTPUT,
	  .set = set_flag, .help = "Say nothing of our own but failures." },
	{ "verbose", 'v', NULL, .verbs = RUNS, AT_PLAN(verbosity), .topic = TOPIC_OUTPUT,
	  .set = set_verbose, .help = "Say more; twice, still more." },
	{ "dry-run", 0, NULL, .verbs = RUNS, AT_PLAN(is_dry_run), .topic = TOPIC_OTHER,
	  .set = set_flag, .help = "Print what would run, and run nothing." },
	{ "control", 0, "PATH", .verbs = RUNS | TALKS, AT_PLAN(control), .topic = TOPIC_OTHER,
	  .set = set_path,
	  .help = "The control socket of a running coop; one that was left by a coop that was "
		  "killed is replaced." },
	{ "follow", 'f', NULL, .verbs = V(LOGS), AT_PLAN(is_follow), .topic = TOPIC_OUTPUT,
	  .set = set_flag, .help = "Go on as more is written." },
	{ "lines", 'n', "N", .verbs = V(LOGS), AT_PLAN(lines), .topic = TOPIC_OUTPUT,
	  .set = set_lines, .help = "The last N lines only." },
};
const size_t option_count = sizeof option_table / sizeof option_table[0];

const struct verb verb_table[VERBS] = {
	[VERB_RUN] = { "run", "[OPTIONS] [TASK-OPTIONS] COMMAND [[TASK-OPTIONS] COMMAND]...",
		       "Run commands as one group; the first failure stops the others.",
		       "Each COMMAND is one word, a line for sh. Task options apply to the next "
		       "command." },
	[VERB_MAP] = { "map", "[OPTIONS] COMMAND... [::: INPUT... | :::: FILE]",
		       "Run one command for each input: arguments, lines of a file, or of standard "
		       "input.",
		       "{} in COMMAND is the input, {.} without its suffix, {/} its last part, "
		       "{//} its "
		       "directory, {/.} the last part without suffix, {#} its number; without any "
		       "of these the "
		       "input is the last argument. A COMMAND of one word is a line for sh; of "
		       "several, it is "
		       "executed without a shell. A failure does not stop the others unless "
		       "--fail-fast." },
	[VERB_EXEC] = { "exec", "[OPTIONS] [--] PROGRAM [ARG]...",
			"Run one program with time limit, retry and containment; safe as PID 1.",
			NULL },
	[VERB_UP] = { "up", "[-f FILE] [OPTIONS] [TASK]...",
		      "Run the tasks of coop.yaml or a Procfile; with names, those and what they "
		      "need.",
		      NULL },
	[VERB_CHECK] = { "check", "[-f FILE]", "Say whether the file is right, and where not.",
			 NULL },
	[VERB_GRAPH] = { "graph", "[-f FILE] [--format FORMAT] [TASK]...",
			 "Print what starts after what.", NULL },
	[VERB_PS] = { "ps", "[PID]", "List the tasks of a running coop.", NULL },
	[VERB_TREE] = { "tree", "[PID]", "The same as a tree.", NULL },
	[VERB_LOGS] = { "logs", "[-f] [TASK]...",
			"Print what tasks of a running coop have written.", NULL },
	[VERB_STOP] = { "stop", "[TASK]...", "Stop tasks of a running coop, or all of it.", NULL },
	[VERB_RESTART] = { "restart", "TASK...",
			   "Start tasks of a running coop again; what runs is stopped.", NULL },
	[VERB_DOCTOR] = { "doctor", "", "Say what containment this machine allows.", NULL },
	[VERB_HELP] = { "help", "[VERB]", "Explain a verb.", NULL },
	[VERB_VERSION] = { "version", "", "Print the version and what was built in.", NULL },
};
