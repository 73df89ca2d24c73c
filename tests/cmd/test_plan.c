/* SPDX-License-Identifier: MIT */
/*
 * Command lines become plans, or one line that says what is wrong.
 */
#include "test.h"
#include "plan_help.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static struct plan *parse(const char *line, int *ret_error)
{
	struct plan *plan = parse_line(line, ret_error);

	if (!*ret_error)
		*ret_error = plan_finish(plan);
	return plan;
}

static struct plan *right(const char *line)
{
	int error;
	struct plan *plan = parse(line, &error);

	if (error)
		FAIL("%s: %s", line, plan->error);
	return plan;
}

/* The error, until the next one. */
static const char *wrong(const char *line)
{
	static char text[sizeof((struct plan *)0)->error];
	int error;
	struct plan *plan = parse(line, &error);

	if (!error)
		FAIL("%s was taken", line);
	CHECK(!strchr(plan->error, '\n'));
	memcpy(text, plan->error, sizeof text);
	plan_free(plan);
	return text;
}

/* Each task option goes to the command behind it, and to no other. */
TEST(task_options_apply_to_the_next_command)
{
	struct plan *plan = right("coop run --name db --ready tcp:5432 --service db~-x "
				  "--after db --main --timeout 10m e2e plain");

	CHECK_INT(plan->task_count, ==, 3);
	CHECK_STR(plan->tasks[0]->name, "db");
	CHECK(plan->tasks[0]->is_service && !plan->tasks[0]->is_main);
	CHECK_INT(plan->tasks[0]->ready.kind, ==, PROBE_TCP);
	CHECK_INT(plan->tasks[0]->ready.port, ==, 5432);
	CHECK_STR(plan->tasks[0]->ready.host, "localhost");
	CHECK_STR(plan->tasks[1]->name, "e2e");
	CHECK(plan->tasks[1]->is_main && !plan->tasks[1]->is_service);
	CHECK(plan->tasks[1]->after[0].task == plan->tasks[0]);
	CHECK_INT(plan->tasks[1]->after[0].state, ==, STATE_READY);
	CHECK_INT(plan->tasks[1]->timeout_ns, ==, COOP_SECONDS(600));
	CHECK_INT(plan->tasks[2]->timeout_ns, ==, COOP_NEVER);
	CHECK(!plan->tasks[2]->is_main && plan->tasks[2]->after_count == 0);
	plan_free(plan);
}

/* --all makes defaults of what stands before the first command, but for what is one task's own. */
TEST(all_makes_defaults)
{
	struct plan *plan = right("coop run --all --retry 2 --name a --env A=1 x --env B=2 y z");

	CHECK_STR(plan->tasks[0]->name, "a");
	CHECK_STR(plan->tasks[1]->name, "y");
	for (size_t i = 0; i < 3; i++)
		CHECK_INT(plan->tasks[i]->attempts_max, ==, 3);
	CHECK_INT(plan->tasks[0]->env.count, ==, 1);
	CHECK_INT(plan->tasks[1]->env.count, ==, 2);
	CHECK_STR(plan->tasks[1]->env.items[1], "B=2");
	CHECK_INT(plan->tasks[2]->env.count, ==, 1);
	plan_free(plan);
	plan = right("coop run --all --main --env A=1 x --env B=2 y --env C=3 z");
	CHECK(plan->tasks[0]->is_main && !plan->tasks[1]->is_main);
	CHECK_STR(plan->tasks[1]->env.items[1], "B=2");
	CHECK_STR(plan->tasks[2]->env.items[1], "C=3");
	plan_free(plan);
	CHECK_HAS(wrong("coop run x --all y"), "--all has to stand before the first command");
}

/* What nobody said. */
TEST(defaults)
{
	struct plan *plan = right("coop run x");
	struct plan_task *task = plan->tasks[0];

	CHECK_INT(task->attempts_max, ==, 1);
	CHECK_INT(task->on_fail, ==, ON_FAIL_CANCEL);
	CHECK_INT(task->ready.kind, ==, PROBE_NONE);
	CHECK_INT(task->ready_timeout_ns, ==, COOP_SECONDS(60));
	CHECK_INT(task->stop_count, ==, 3);
	CHECK_INT(task->stop[0].sig, ==, SIGINT);
	CHECK_INT(task->stop[1].sig, ==, SIGTERM);
	CHECK_INT(task->stop[1].wait_ns, ==, COOP_SECONDS(10));
	CHECK_INT(task->stop[2].sig, ==, SIGKILL);
	CHECK(plan_codes_has(&task->ok_codes, 0) && !plan_codes_has(&task->ok_codes, 1));
	CHECK(!plan_codes_has(&task->retry_on, 0) && plan_codes_has(&task->retry_on, 255));
	CHECK_INT(plan->groups[0]->jobs_max, ==, COOP_UNLIMITED);
	CHECK_INT(plan->groups[0]->finally_timeout_ns, ==, COOP_SECONDS(30));
	CHECK(!plan->groups[0]->is_keep_going);
	CHECK_INT(plan->deadline_ns, ==, COOP_NEVER);
	CHECK_INT(plan->events_fd, ==, -1);
	plan_free(plan);
}

/* A failure begins the ladder at TERM, Ctrl-C at its first step. */
TEST(where_a_ladder_begins)
{
	struct plan *plan = right("coop run x --stop HUP,1s,TERM,2s,KILL y --stop QUIT,1s,KILL z");

	CHECK_INT(plan_stop_first(plan->tasks[0], true), ==, 0);
	CHECK_INT(plan_stop_first(plan->tasks[0], false), ==, 1);
	CHECK_INT(plan_stop_first(plan->tasks[1], false), ==, 1);
	CHECK_INT(plan_stop_first(plan->tasks[2], false), ==, 0);
	plan_free(plan);
}

/* -j8, -j 8, --jobs=8, -kq. */
TEST(short_options)
{
	struct plan *plan = right("coop run -kqj8 x");

	CHECK_INT(plan->groups[0]->jobs_max, ==, 8);
	CHECK(plan->groups[0]->is_keep_going && plan->is_quiet);
	CHECK_INT(plan->tasks[0]->on_fail, ==, ON_FAIL_KEEP);
	plan_free(plan);
	plan = right("coop run -j 8 x");
	CHECK_INT(plan->groups[0]->jobs_max, ==, 8);
	plan_free(plan);
	plan = right("coop run --jobs=0 x -vv");
	CHECK_INT(plan->groups[0]->jobs_max, ==, COOP_UNLIMITED);
	CHECK_INT(plan->verbosity, ==, 2);
	plan_free(plan);
	CHECK_HAS(wrong("coop run -kz x"), "no option -z in '-kz'");
}

/* Words behind -- are commands. */
TEST(two_dashes_end_the_options)
{
	struct plan *plan = right("coop run -- --x -y");

	CHECK_INT(plan->task_count, ==, 2);
	CHECK_STR(plan->tasks[0]->command.text, "--x");
	plan_free(plan);
}

/* --argv takes words up to ";". */
TEST(argv_needs_no_shell)
{
	struct plan *plan = right("coop run --argv a --b c~$d ; e");

	CHECK_INT(plan->task_count, ==, 2);
	CHECK_STR(plan->tasks[0]->command.argv[1], "--b");
	CHECK_STR(plan->tasks[0]->command.argv[2], "c $d");
	CHECK_STR(plan->tasks[0]->command.argv[3], NULL);
	CHECK_STR(plan->tasks[0]->command.text, "a --b 'c $d'");
	CHECK_STR(plan->tasks[0]->name, "a");
	plan_free(plan);
	CHECK_HAS(wrong("coop run --argv ;"), "--argv has no words");
}

static void check_argv(const char *word, const char *first, const char *last)
{
	struct plan *plan = plan_new(VERB_RUN);
	struct plan_command command = plan_command_of(plan, word);
	size_t count = 0;

	while (command.argv[count])
		count++;
	CHECK_STR(command.text, word);
	CHECK_STR(command.argv[0], first);
	CHECK_STR(command.argv[count - 1], last);
	plan_free(plan);
}

/* exec is put before a simple command only; what is plain needs no shell at all. */
TEST(how_a_word_is_executed)
{
	check_argv("sleep 5", "sleep", "5");
	check_argv("  a   --b=c  ", "a", "--b=c");
	check_argv("true", "true", "true");
	check_argv("ls *.c", "/bin/sh", "exec ls *.c");
	check_argv("ls 'a b' \"$x\"", "/bin/sh", "exec ls 'a b' \"$x\"");
	check_argv("a && b", "/bin/sh", "a && b");
	check_argv("a; b", "/bin/sh", "a; b");
	check_argv("a | b", "/bin/sh", "a | b");
	check_argv("a > b", "/bin/sh", "a > b");
	check_argv("a $(b; c)", "/bin/sh", "a $(b; c)");
	check_argv("a \"`b`\"", "/bin/sh", "a \"`b`\"");
	check_argv("a 'b; c'", "/bin/sh", "exec a 'b; c'");
	check_argv("a 'b", "/bin/sh", "a 'b");
	check_argv("A=1 b", "/bin/sh", "A=1 b");
	check_argv("A=1", "/bin/sh", "A=1");
	check_argv("cd x", "/bin/sh", "cd x");
	check_argv("exit 3", "/bin/sh", "exit 3");
	check_argv("echo x", "/bin/sh", "echo x");
	check_argv(": x", "/bin/sh", ": x");
	check_argv("kill $$", "/bin/sh", "kill $$");
	check_argv("a\nb", "/bin/sh", "a\nb");
	check_argv("a # b", "/bin/sh", "a # b");
	check_argv("~/a", "/bin/sh", "~/a");
	check_argv("{ a; }", "/bin/sh", "{ a; }");
	check_argv("! a", "/bin/sh", "! a");
}

/* A name is the last part of the first word that is no assignment; seconds get a number. */
TEST(names_are_made_of_commands)
{
	struct plan *plan = right("coop run /usr/bin/make~-j2 make~x CC=gcc~make CC='g~c'~make "
				  "A=1 make-2 cd~x;ls $(x) --name make-5 z");
	static const char *const names[] = { "make",     "make-2", "make-3", NULL,    "A=1",
					     "make-2-2", "cd",     NULL,     "make-5" };

	for (size_t i = 0; i < plan->task_count; i++) {
		if (names[i])
			CHECK_STR(plan->tasks[i]->name, names[i]);
		CHECK(!plan_name_wrong(plan->tasks[i]->name));
	}
	plan_free(plan);
}

/* A name that was given is never taken by one that is made. */
TEST(given_names_win)
{
	struct plan *plan = right("coop run a --name a b a");

	CHECK_STR(plan->tasks[0]->name, "a-2");
	CHECK_STR(plan->tasks[1]->name, "a");
	CHECK_STR(plan->tasks[2]->name, "a-3");
	plan_free(plan);
	CHECK_STR(wrong("coop run --name a x --name a y"),
		  "coop run: a second task with the name a (argument 7)");
	CHECK_HAS(wrong("coop run --name a:b x"), "'a:b' has a character that no name has");
	CHECK_HAS(wrong("coop run --name -a x"), "begins with a dash");
	CHECK_HAS(wrong("coop run --name= x"), "'' is empty");
}

/* Groups nest, inherit, and can be told otherwise. */
TEST(groups_nest_with_their_own_policy)
{
	struct plan *plan =
		right("coop run -k --exit max --group a/b x --group a y z "
		      "--policy a/b:fail-fast,jobs=2,timeout=5s,exit=count,finally=rm~x,y");
	const struct plan_group *a = plan->tasks[1]->group, *b = plan->tasks[0]->group;

	CHECK_INT(plan->group_count, ==, 3);
	CHECK_STR(b->path, "a/b");
	CHECK_STR(b->name, "b");
	CHECK(b->parent == a && a->parent == plan->groups[0]);
	CHECK(plan->tasks[2]->group == plan->groups[0]);
	CHECK(a->is_keep_going && !b->is_keep_going);
	CHECK_INT(a->exit, ==, EXIT_MAX);
	CHECK_INT(b->exit, ==, EXIT_COUNT);
	CHECK_INT(b->jobs_max, ==, 2);
	CHECK_INT(b->timeout_ns, ==, COOP_SECONDS(5));
	CHECK_STR(b->finally[0].text, "rm x,y");
	CHECK_INT(plan->tasks[0]->on_fail, ==, ON_FAIL_CANCEL);
	CHECK_INT(plan->tasks[1]->on_fail, ==, ON_FAIL_KEEP);
	plan_free(plan);
	CHECK_HAS(wrong("coop run --policy a:job=2 x"), "did you mean jobs?");
	CHECK_HAS(wrong("coop run --policy a:jobs x"), "has the word 'jobs'");
	CHECK_HAS(wrong("coop run --policy jobs=2 x"), "is not GROUP:WORD");
	CHECK_HAS(wrong("coop run --group a//b x"), "has a part that is no name");
	CHECK_HAS(wrong("coop run --group a/b x --policy ab:jobs=2 y"), "no task is in group ab");
}

/* Without a state: ready for a service and where there is a probe, else ok. */
TEST(usual_states_of_after)
{
	struct plan *plan =
		right("coop run --name s --service x --name p --ready fd:3 y --name t z "
		      "--after s,p,t,s:started,t:done q");
	static const enum plan_state states[] = { STATE_READY, STATE_READY, STATE_OK, STATE_STARTED,
						  STATE_DONE };

	CHECK_INT(plan->tasks[3]->after_count, ==, 5);
	for (size_t i = 0; i < 5; i++)
		CHECK_INT(plan->tasks[3]->after[i].state, ==, states[i]);
	plan_free(plan);
}

/* Each says who and what. */
TEST(mistakes_of_after)
{
	CHECK_STR(wrong("coop run --name server x --after sever y"),
		  "coop run: y waits for sever, which there is not; did you mean server? (argument "
		  "6)");
	CHECK_HAS(wrong("coop run --after zz y"), "y waits for zz, which there is not");
	CHECK_HAS(wrong("coop run --name a --after a y"), "a waits for itself");
	CHECK_HAS(wrong("coop run --name s --service x --after s:ok y"), "never ends by itself");
	CHECK_HAS(wrong("coop run --name m --main x --after m y"), "whose end cancels all");
	CHECK_HAS(wrong("coop run --name a x --after a:redy y"), "did you mean ready?");
	CHECK_HAS(wrong("coop run --name a x --after a: y"), "has an unknown state");
	CHECK_HAS(wrong("coop run --after , y"), "is empty");
}

/* The cycle is printed, and only the cycle. */
TEST(cycles_are_shown)
{
	CHECK_HAS(wrong("coop run --name out --after a x --name a --after b x --name b --after c x "
			"--name c --after a x"),
		  "tasks wait for each other: a after b after c after a");
	CHECK_HAS(wrong("coop run --name a --after b x --name b --after a y"), "a after b after a");
	plan_free(right("coop run --name a x --name b --after a x --name c --after a x "
			"--name d --after b,c x"));
}

/* What cannot be together. */
TEST(contradictions)
{
	CHECK_HAS(wrong("coop run --main --service x"), "both main and a service");
	CHECK_HAS(wrong("coop run --main x --main y"), "x and y are both main");
	CHECK_HAS(wrong("coop run --tty x --tty y"), "both want the terminal");
	CHECK_HAS(wrong("coop run --main --restart always x"), "cannot be restarted always");
	CHECK_HAS(wrong("coop run --tty --ready log:x y"), "nobody reads its log");
	CHECK_HAS(wrong("coop run --tty --pty on y"), "cannot have a pty");
}

/* One line, the place, and the nearest that there is. */
TEST(wrong_options)
{
	CHECK_STR(wrong("coop run --timeot 5s x"),
		  "coop run: no option --timeot; did you mean --timeout? (argument 2)");
	CHECK_STR(wrong("coop run --time 5s x"),
		  "coop run: no option --time; did you mean --timeout? (argument 2)");
	CHECK_STR(wrong("coop exec --group a x"),
		  "coop exec: --group is an option of run (argument 2)");
	CHECK_STR(wrong("coop run --xyzzy x"),
		  "coop run: no option --xyzzy; see coop help run (argument 2)");
	CHECK_STR(wrong("coop run x --timeout 5"),
		  "coop run: --timeout '5' has no unit (ms, s, m, h) (argument 4)");
	CHECK_STR(wrong("coop run --timeout 0s x"),
		  "coop run: --timeout '0s' has to be more than 0 (argument 3)");
	CHECK_HAS(wrong("coop run --output jsn x"), "did you mean json?");
	CHECK_HAS(wrong("coop run --output x x"),
		  "is none of auto|prefix|group|stream|quiet|json|github");
	CHECK_HAS(wrong("coop run --main=yes x"), "--main takes no value");
	CHECK_HAS(wrong("coop run x --name"), "--name needs a value, NAME");
	CHECK_HAS(wrong("coop run --name --main x"), "but --main is an option");
	CHECK_HAS(wrong("coop run x --name a"),
		  "--name stands behind the last command (argument 3)");
	CHECK_HAS(wrong("coop run"), "no command");
	CHECK_HAS(wrong("coop run ~"), "a command is empty");
	CHECK_HAS(wrong("coop rnu x"), "no verb 'rnu'; did you mean run?");
	CHECK_HAS(wrong("coop make~x"), "coop run 'make x' runs a command");
	CHECK_HAS(wrong("coop -k run"), "stands before the verb");
	CHECK_HAS(wrong("coop"), "no verb");
	CHECK_HAS(wrong("coop check x"), "one word too many: 'x'");
	CHECK_HAS(wrong("coop restart"), "no task");
	CHECK_HAS(wrong("coop ps x"), "'x' is no process id");
	CHECK_HAS(wrong("coop run --shield 5s x"), "--shield=5s (argument 3)");
}

/* Control characters of what was typed do not reach the terminal. */
TEST(errors_hold_no_control_characters)
{
	const char *text = wrong("coop run --\x1b]52;c;x\x07\xc2\x9b x");

	for (const char *p = text; *p; p++)
		CHECK((unsigned char)*p >= ' ' && *p != 0x7f);
	CHECK_HAS(text, "no option --?]52;c;x??");
}

/* A limit behind the last command is the whole's. */
TEST(timeout_of_the_whole)
{
	struct plan *plan = right("coop run x y --timeout 5s");

	CHECK_INT(plan->deadline_ns, ==, COOP_SECONDS(5));
	CHECK_INT(plan->tasks[1]->timeout_ns, ==, COOP_NEVER);
	plan_free(plan);
	plan = right("coop run --deadline 7s x");
	CHECK_INT(plan->deadline_ns, ==, COOP_SECONDS(7));
	plan_free(plan);
}

/* All the rest of the task options. */
TEST(task_options)
{
	struct plan *plan =
		right("coop run --lock b --lock a --lock b --on-fail log --backoff 1s..2s "
		      "--retry-on 75 --restart on-failure --restart-limit 3/1m --shield=9s "
		      "--ok-codes 0,143 --env A=b=c --cwd /tmp --nice -5 --pty off x "
		      "--shield --on-fail restart y");
	struct plan_task *x = plan->tasks[0], *y = plan->tasks[1];

	CHECK_INT(x->locks.count, ==, 2);
	CHECK_STR(x->locks.items[0], "a");
	CHECK_INT(x->on_fail, ==, ON_FAIL_LOG);
	CHECK_INT(x->backoff_max_ns, ==, COOP_SECONDS(2));
	CHECK(plan_codes_has(&x->retry_on, 75) && !plan_codes_has(&x->retry_on, 1));
	CHECK_INT(x->restart, ==, RESTART_ON_FAILURE);
	CHECK_INT(x->restart_max, ==, 3);
	CHECK_INT(x->restart_window_ns, ==, COOP_SECONDS(60));
	CHECK(x->is_shielded && y->is_shielded);
	CHECK_INT(x->shield_ns, ==, COOP_SECONDS(9));
	CHECK_INT(y->shield_ns, ==, COOP_NEVER);
	CHECK(plan_codes_has(&x->ok_codes, 143) && plan_codes_has(&x->ok_codes, 0));
	CHECK_STR(x->env.items[0], "A=b=c");
	CHECK_STR(x->cwd, "/tmp");
	CHECK_INT(x->nice, ==, -5);
	CHECK_INT(x->pty, ==, SWITCH_OFF);
	CHECK_INT(y->on_fail, ==, ON_FAIL_CANCEL);
	CHECK_INT(y->restart, ==, RESTART_ON_FAILURE);
	plan_free(plan);
}

/* All the rest of the options of the whole. */
TEST(whole_options)
{
	struct plan *plan =
		right("coop run --output json --log-dir d --timestamps --raw --contain "
		      "cgroup --report none --events fd:5 --dry-run --control c "
		      "--stdin-lifeline --finally a --finally b --finally-timeout 1s x");

	CHECK_INT(plan->output, ==, OUTPUT_JSON);
	CHECK_STR(plan->log_dir, "d");
	CHECK(plan->has_timestamps && plan->is_raw && plan->is_dry_run && plan->has_lifeline);
	CHECK_INT(plan->contain, ==, CONTAIN_CGROUP);
	CHECK_INT(plan->report, ==, REPORT_NONE);
	CHECK_INT(plan->events_fd, ==, 5);
	CHECK_STR(plan->control, "c");
	CHECK_INT(plan->groups[0]->finally_count, ==, 2);
	CHECK_STR(plan->groups[0]->finally[1].text, "b");
	CHECK_INT(plan->groups[0]->finally_timeout_ns, ==, COOP_SECONDS(1));
	plan_free(plan);
}

/* exec: its own options, then a program with whatever options it has. */
TEST(exec_takes_a_program)
{
	struct plan *plan = right("coop exec --timeout 5s --retry 1 ls -l --timeout");

	CHECK_INT(plan->tasks[0]->timeout_ns, ==, COOP_SECONDS(5));
	CHECK_STR(plan->tasks[0]->command.argv[2], "--timeout");
	plan_free(plan);
	plan = right("coop exec -- -x");
	CHECK_STR(plan->tasks[0]->command.argv[0], "-x");
	plan_free(plan);
	CHECK_HAS(wrong("coop exec --retry 1"), "no program");
}

/* --help wins wherever it stands before a program. */
TEST(help_of_a_verb)
{
	struct plan *plan = right("coop run --retry 3 --help x");

	CHECK_INT(plan->verb, ==, VERB_HELP);
	CHECK_STR(plan->words.items[0], "run");
	plan_free(plan);
	plan = right("coop --version");
	CHECK_INT(plan->verb, ==, VERB_VERSION);
	plan_free(plan);
}

static void check_probe(const char *text, enum plan_probe_kind kind, const char *host, int port,
			const char *path)
{
	struct plan *plan = plan_new(VERB_RUN);
	struct plan_probe probe = { 0 };
	const char *why = probe_parse(plan, text, &probe);

	if (why)
		FAIL("%s %s", text, why);
	CHECK_INT(probe.kind, ==, kind);
	CHECK_STR(probe.host, host);
	CHECK_INT(probe.port, ==, port);
	CHECK_STR(probe.path, path);
	CHECK_STR(probe.text, text);
	plan_free(plan);
}

/* Where a probe looks. */
TEST(probes)
{
	check_probe("tcp:5432", PROBE_TCP, "localhost", 5432, NULL);
	check_probe("tcp:db:5432", PROBE_TCP, "db", 5432, NULL);
	check_probe("tcp:[::1]:5432", PROBE_TCP, "::1", 5432, NULL);
	check_probe("tcp::80", PROBE_TCP, "localhost", 80, NULL);
	check_probe("unix:/run/x", PROBE_UNIX, NULL, 0, "/run/x");
	check_probe("http:localhost:8080/health", PROBE_HTTP, "localhost", 8080, "/health");
	check_probe("http://h/a?b", PROBE_HTTP, "h", 80, "/a?b");
	check_probe("http:http://h?b", PROBE_HTTP, "h", 80, "/?b");
	check_probe("http:8080", PROBE_HTTP, "localhost", 8080, "/");
	check_probe("http://[::1]/", PROBE_HTTP, "::1", 80, "/");
	check_probe("file:/x:y", PROBE_FILE, NULL, 0, "/x:y");
	check_probe("cmd:a b", PROBE_CMD, NULL, 0, NULL);
	check_probe("log:ready in [0-9]+", PROBE_LOG, NULL, 0, NULL);
	check_probe("fd:3", PROBE_FD, NULL, 0, NULL);
	check_probe("notify", PROBE_NOTIFY, NULL, 0, NULL);
}

/* What is wrong with a probe. */
TEST(wrong_probes)
{
	static const char *const cases[][2] = {
		{ "tpc:80", "did you mean tcp?" },
		{ "tcp", "nothing behind the colon" },
		{ "tcp:0", "no port" },
		{ "tcp:h", "no port" },
		{ "tcp:h:x", "no port" },
		{ "tcp:65536", "no port" },
		{ "tcp:[::1]", "no port" },
		{ "https://h", "TLS" },
		{ "http:https://h", "TLS" },
		{ "log:(", "regular expression" },
		{ "fd:2", "descriptor" },
		{ "notify:x", "takes no argument" },
		{ "", "is no probe" },
		{ "http:/x", "has no host" },
		{ "http:h/a b", "blank in its path" },
	};
	struct plan *plan = plan_new(VERB_RUN);

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct plan_probe probe;
		const char *why = probe_parse(plan, cases[i][0], &probe);

		if (!why)
			FAIL("%s was taken", cases[i][0]);
		CHECK_HAS(why, cases[i][1]);
	}
	plan_free(plan);
}

static void check_map(const char *line, const char *input, int number, const char *expected)
{
	struct plan *plan = right(line);
	char **argv = plan_map_argv(plan, input, (uint64_t)number), text[200] = "";

	for (size_t i = 0; argv[i]; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? "|" : "",
			 argv[i]);
	CHECK_STR(text, expected);
	free(argv);
	plan_free(plan);
}

/* Replacement in words, and in a line for the shell, where inputs are quoted. */
TEST(map_templates)
{
	check_map("coop map a {} b ::: x", "i j", 1, "a|i j|b");
	check_map("coop map a b ::: x", "i", 1, "a|b|i");
	check_map("coop map a ::: x", "i j", 1, "a|i j");
	check_map("coop map a~{.}~{/}~{//}~{/.}~{#}", "d/e/f.tar.gz", 7,
		  "a|d/e/f.tar|f.tar.gz|d/e|f.tar|7");
	check_map("coop map a~{//}~{.}", ".bashrc", 1, "a|.|.bashrc");
	check_map("coop map a~{//}~{/}", "/x", 1, "a|/|x");
	check_map("coop map a~{}~>~{}.out", "it's", 1, "/bin/sh|-c|a 'it'\\''s' > 'it'\\''s'.out");
	check_map("coop map a~$x~{}", "i", 1, "/bin/sh|-c|exec a $x 'i'");
	check_map("coop map {}", "i j", 1, "/bin/sh|-c|'i j'");
	check_map("coop map a~-{x}-{}", "i", 1, "/bin/sh|-c|exec a -{x}-'i'");
	CHECK_HAS(wrong("coop map a~'{}'"), "within quotes");
	CHECK_HAS(wrong("coop map a~\"x~{}\""), "within quotes");
	CHECK_HAS(wrong("coop map a~\\{}"), "behind a backslash");
	CHECK_HAS(wrong("coop map a~`b~{/}`"), "within backquotes");
	CHECK_HAS(wrong("coop map a~b~#~{}"), "in a comment");
	CHECK_HAS(wrong("coop map a~<<E\n{.}\nE"), "in a here-document");
	CHECK_HAS(wrong("coop map a~${}"), "behind a dollar");
	check_map("coop map a~\\${}~$${}~b#{}~#~c\nd{}", "x", 1,
		  "/bin/sh|-c|a \\$'x' $$'x' b#'x' # c\nd'x'");
	CHECK_HAS(wrong("coop map a~b --dry-run ::: x"), "belongs before it");
}

/* Where the inputs come from. */
TEST(map_inputs)
{
	struct plan *plan = right("coop map -j3 -0 --ordered a ::: x y");

	CHECK_INT(plan->map.input, ==, INPUT_ARGS);
	CHECK_INT(plan->map.args.count, ==, 2);
	CHECK_STR(plan->map.args.items[1], "y");
	CHECK_INT(plan->map.separator, ==, 0);
	CHECK(plan->map.is_ordered && plan->groups[0]->is_keep_going);
	CHECK_INT(plan->groups[0]->jobs_max, ==, 3);
	plan_free(plan);
	plan = right("coop map --fail-fast a :::: f");
	CHECK_INT(plan->map.input, ==, INPUT_FILE);
	CHECK_STR(plan->map.file, "f");
	CHECK(!plan->groups[0]->is_keep_going);
	CHECK_INT(plan->groups[0]->jobs_max, <, 1025);
	plan_free(plan);
	plan = right("coop map a");
	CHECK_INT(plan->map.input, ==, INPUT_STDIN);
	plan_free(plan);
	CHECK_HAS(wrong("coop map a ::: x ::: y"), "a second list of inputs");
	CHECK_HAS(wrong("coop map a ::::"), ":::: needs one file");
	CHECK_HAS(wrong("coop map ::: x"), "no command");
}

/* The forms that versions of make write. */
TEST(jobserver_of_make)
{
	struct plan *plan = plan_new(VERB_RUN);

	jobserver_parse(plan, NULL);
	jobserver_parse(plan, "ks -j4");
	jobserver_parse(plan, " -j4 --jobserver-auth=x,4");
	CHECK_INT(plan->jobserver.read_fd, ==, -1);
	jobserver_parse(plan, " -j4 --jobserver-auth=3,4 -- A=1");
	CHECK_INT(plan->jobserver.read_fd, ==, 3);
	CHECK_INT(plan->jobserver.write_fd, ==, 4);
	jobserver_parse(plan, " -j --jobserver-fds=5,6 -j");
	CHECK_INT(plan->jobserver.read_fd, ==, 5);
	jobserver_parse(plan, " --jobserver-auth=7,8 --jobserver-fds=9,10");
	CHECK_INT(plan->jobserver.read_fd, ==, 9);
	jobserver_parse(plan, " --jobserver-fds=9,10 --jobserver-auth=7,8 --jobserver-auth=11,12");
	CHECK_INT(plan->jobserver.read_fd, ==, 11);
	jobserver_parse(plan, " -j4 --jobserver-auth=fifo:/tmp/x y");
	CHECK_STR(plan->jobserver.fifo, "/tmp/x");
	plan_free(plan);
}

/* What is left for a make that has one place: letters, variables and all other words stay. */
TEST(flags_without_a_jobserver)
{
	static const char *const flags[][2] = {
		{ "ks -j4 --jobserver-auth=3,4 -- A=-j2 B=--jobserver-auth=1,2",
		  "ks -- A=-j2 B=--jobserver-auth=1,2" },
		{ " -j --jobserver-fds=3,4 --no-print-directory", " --no-print-directory" },
		{ "--jobserver-auth=fifo:/tmp/x -j12 -jx -l2 k", " -jx -l2 k" },
		{ " --jobserver-auth=3,4", "" },
	};
	struct plan *plan = plan_new(VERB_RUN);

	for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
		jobserver_parse(plan, flags[i][0]);
		CHECK(strncmp(plan->jobserver.without, "MAKEFLAGS=", 10) == 0);
		CHECK_STR(plan->jobserver.without + 10, flags[i][1]);
	}
	plan_free(plan);
}

/* With the usual pauses, one that fails at once comes to the usual limit of restarts. */
TEST(usual_limit_of_restarts_is_reached)
{
	struct plan *plan = plan_new(VERB_RUN);
	struct plan_task task;
	int64_t pauses = 0, pause;

	plan_task_init(plan, &task);
	pause = task.backoff_min_ns;
	for (uint32_t i = 0; i < task.restart_max; i++) {
		pauses += pause;
		pause = pause * 2 < task.backoff_max_ns ? pause * 2 : task.backoff_max_ns;
	}
	CHECK(pauses < task.restart_window_ns);
	plan_free(plan);
}
