/* SPDX-License-Identifier: MIT */
/*
 * Procfile, coop.yaml and env files become plans, or one line with file, line and column.
 */
#include "test.h"
#include "plan_help.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct plan *read_yaml(const char *text, int *ret_error)
{
	struct plan *plan;

	if (!yaml_is_built)
		SKIP("built without libfyaml");
	plan = plan_new(VERB_UP);
	plan->groups[0]->name = "up";
	*ret_error = yaml_read(plan, "f", text, strlen(text));
	if (!*ret_error)
		*ret_error = plan_finish(plan);
	return plan;
}

static struct plan *yaml(const char *text)
{
	int error;
	struct plan *plan = read_yaml(text, &error);

	if (error)
		FAIL("%s", plan->error);
	return plan;
}

static void no_yaml(const char *text, const char *error)
{
	int r;
	struct plan *plan = read_yaml(text, &r);

	if (!r)
		FAIL("'%s' was taken", text);
	CHECK_STR(plan->error, error);
	plan_free(plan);
}

/* The example of the manual. */
TEST(yaml_tasks)
{
	struct plan *plan = yaml(
		"tasks:\n"
		"  db:   { run: postgres -D ./data, ready: tcp:5432, service: true, stop: "
		"\"INT,10s,KILL\" }\n"
		"  api:  { run: npm run api, after: [db], ready: \"http:localhost:8080/health\",\n"
		"          service: true, restart: on-failure, restart_limit: 5/60s }\n"
		"  migrate: { run: ./migrate.sh, after: db, shield: 60s }\n"
		"  e2e:  { run: npx x, after: [api, migrate:ok], main: true, timeout: 10m }\n");

	CHECK_INT(plan->task_count, ==, 4);
	CHECK_STR(plan->tasks[0]->name, "db");
	CHECK(plan->tasks[0]->is_service);
	CHECK_INT(plan->tasks[0]->stop_count, ==, 2);
	CHECK_INT(plan->tasks[1]->restart, ==, RESTART_ON_FAILURE);
	CHECK_INT(plan->tasks[1]->restart_window_ns, ==, COOP_SECONDS(60));
	CHECK(plan->tasks[1]->after[0].task == plan->tasks[0]);
	CHECK_INT(plan->tasks[1]->ready.port, ==, 8080);
	CHECK(plan->tasks[2]->is_shielded);
	CHECK_INT(plan->tasks[2]->shield_ns, ==, COOP_SECONDS(60));
	CHECK_INT(plan->tasks[3]->after[1].state, ==, STATE_OK);
	CHECK(plan->tasks[3]->is_main);
	CHECK_INT(plan->tasks[3]->timeout_ns, ==, COOP_SECONDS(600));
	plan_free(plan);
}

/* What stands for the whole, for groups, and for all tasks. */
TEST(yaml_whole_groups_and_defaults)
{
	struct plan *plan =
		yaml("jobs: 4\nkeep_going: true\nfinally: [a b, c]\nexit: max\ntimeout: 1h\n"
		     "output: group\n"
		     "tasks: { x: y, z: { run: [a, 'b c'], group: g/h, retry: 5, env: {B: 2} } }\n"
		     "defaults: { retry: 2, shield: true, env: [A=1] }\n"
		     "groups: { g: { fail_fast: true, timeout: 3s, finally: d } }\n"
		     "x-anything: [1, {a: b}]\n");
	struct plan_group *root = plan->groups[0], *g = plan->tasks[1]->group->parent;

	CHECK_INT(root->jobs_max, ==, 4);
	CHECK(root->is_keep_going);
	CHECK_INT(root->finally_count, ==, 2);
	CHECK_INT(root->exit, ==, EXIT_MAX);
	CHECK_INT(plan->deadline_ns, ==, COOP_SECONDS(3600));
	CHECK_INT(plan->output, ==, OUTPUT_GROUP);
	CHECK_STR(g->path, "g");
	CHECK(!g->is_keep_going);
	CHECK_INT(g->timeout_ns, ==, COOP_SECONDS(3));
	CHECK_INT(g->finally_count, ==, 1);
	CHECK_INT(plan->tasks[0]->attempts_max, ==, 3);
	CHECK_INT(plan->tasks[1]->attempts_max, ==, 6);
	CHECK(plan->tasks[0]->is_shielded);
	CHECK_INT(plan->tasks[0]->env.count, ==, 1);
	CHECK_INT(plan->tasks[1]->env.count, ==, 2);
	CHECK_STR(plan->tasks[1]->env.items[1], "B=2");
	CHECK_STR(plan->tasks[1]->command.argv[1], "b c");
	plan_free(plan);
}

/* compose's words, anchors and merges. */
TEST(yaml_compose)
{
	struct plan *plan = yaml("version: '3'\n"
				 "x-common: &common\n"
				 "  restart: unless-stopped\n"
				 "  working_dir: /tmp\n"
				 "services:\n"
				 "  db:\n"
				 "    <<: *common\n"
				 "    command: [postgres, -c, a b]\n"
				 "    healthcheck:\n"
				 "      test: [CMD-SHELL, pg_isready -q]\n"
				 "      interval: 5s\n"
				 "      timeout: 2s\n"
				 "      retries: 5\n"
				 "      start_period: 10s\n"
				 "    stop_signal: SIGQUIT\n"
				 "    stop_grace_period: 1m30s\n"
				 "  job: { command: make, restart: 'on-failure:3' }\n"
				 "  app:\n"
				 "    command: npm start\n"
				 "    working_dir: /var\n"
				 "    depends_on:\n"
				 "      db: { condition: service_healthy }\n"
				 "      job: { condition: service_completed_successfully }\n"
				 "    environment: { A: b, HOME: , N: 5 }\n"
				 "  late: { command: x, depends_on: [app], <<: [*common], "
				 "environment: [Q=1, HOME] }\n");
	struct plan_task *db = plan->tasks[0], *job = plan->tasks[1], *app = plan->tasks[2];

	CHECK_INT(db->restart, ==, RESTART_ALWAYS);
	CHECK_STR(db->cwd, "/tmp");
	CHECK_INT(db->ready.kind, ==, PROBE_CMD);
	CHECK_STR(db->ready.command.text, "pg_isready -q");
	CHECK_INT(db->ready.interval_ns, ==, COOP_SECONDS(5));
	CHECK_INT(db->ready.attempt_ns, ==, COOP_SECONDS(2));
	CHECK_INT(db->ready_timeout_ns, ==, COOP_SECONDS(45));
	CHECK_INT(db->stop_count, ==, 2);
	CHECK_INT(db->stop[0].sig, ==, SIGQUIT);
	CHECK_INT(db->stop[0].wait_ns, ==, COOP_SECONDS(90));
	CHECK_INT(job->restart_max, ==, 3);
	CHECK_INT(job->restart_window_ns, ==, COOP_NEVER);
	CHECK_STR(app->cwd, "/var");
	CHECK_INT(app->after[0].state, ==, STATE_READY);
	CHECK_INT(app->after[1].state, ==, STATE_OK);
	CHECK_INT(app->env.count, ==, 2);
	CHECK_STR(app->env.items[1], "N=5");
	CHECK_INT(plan->tasks[3]->after[0].state, ==, STATE_STARTED);
	CHECK_INT(plan->tasks[3]->restart, ==, RESTART_ALWAYS);
	CHECK_INT(plan->tasks[3]->env.count, ==, 1);
	plan_free(plan);
}

/* Within services $$ is one dollar, and $A in a line is the shell's; elsewhere all is as it is. */
TEST(yaml_compose_dollars)
{
	struct plan *plan = yaml("services:\n"
				 "  a: { command: 'echo $$$$ $A ${B:-c} $$X 5$' }\n"
				 "  b: { command: [echo, $$A, 5$], environment: { C: 'x$$y' },\n"
				 "       healthcheck: { test: [CMD-SHELL, 'test $A = $$B'] } }\n"
				 "tasks:\n"
				 "  c: { run: 'echo $$', env: ['D=$E'] }\n");
	struct plan_task *b = plan->tasks[1];

	CHECK_STR(plan->tasks[0]->command.argv[2], "echo $$ $A ${B:-c} $X 5$");
	CHECK_STR(b->command.argv[1], "$A");
	CHECK_STR(b->command.argv[2], "5$");
	CHECK_STR(b->env.items[0], "C=x$y");
	CHECK_STR(b->ready.command.text, "test $A = $B");
	CHECK_STR(plan->tasks[2]->command.argv[2], "echo $$");
	CHECK_STR(plan->tasks[2]->env.items[0], "D=$E");
	plan_free(plan);
}

/* JSON is YAML. */
TEST(yaml_reads_json)
{
	struct plan *plan = yaml("{\"tasks\": {\"a\": {\"run\": \"x \\u0041\", \"retry\": 3}}}");

	CHECK_STR(plan->tasks[0]->command.text, "x A");
	CHECK_INT(plan->tasks[0]->attempts_max, ==, 4);
	plan_free(plan);
}

/* File, line and column, what is wrong, and the nearest that is right. */
TEST(yaml_mistakes_have_their_place)
{
	no_yaml("tasks:\n  a: {run: x, dependson: b}\n",
		"f:2:15: unknown key 'dependson'; did you mean depends_on?");
	no_yaml("tasks:\n  a:\n    run: x\n    timeout: 5\n",
		"f:4:14: timeout '5' has no unit (ms, s, m, h)");
	no_yaml("tasks:\n  a: {run: x, ready_timeot: 5s}\n",
		"f:2:15: unknown key 'ready_timeot'; did you mean ready_timeout?");
	no_yaml("task:\n  a: x\n", "f:1:1: unknown key 'task'; did you mean tasks?");
	no_yaml("tasks:\n  a: x\n  a: y\n", "f:3:3: duplicate key");
	no_yaml("tasks:\n\ta: x\n", "f:2:1: tab character may not be used as indentation");
	no_yaml("tasks:\n  a: [x\n", "f:3:1: flow sequence without a closing bracket");
	no_yaml("tasks:\n  a: {run: x, main: yes}\n", "f:2:21: main 'yes' is not true or false");
	no_yaml("tasks:\n  a: {after: b}\n", "f:2:3: a has no command");
	no_yaml("tasks:\n  a: {run: x, command: y}\n",
		"f:2:15: a second command; take one of run and command");
	no_yaml("tasks:\n  a: {run: }\n", "f:2:7: run has no value");
	no_yaml("tasks:\n  a: {run: [a, [b]]}\n", "f:2:13: run is not one value");
	no_yaml("tasks:\n  a: {run: []}\n", "f:2:7: run is empty");
	no_yaml("tasks:\n  a/b: x\n", "f:2:3: the name 'a/b' has a character that no name has "
				      "(blanks, : / , $ \\ and quotes)");
	no_yaml("tasks:\n  a: {run: x, env: {A: *n}}\n", "f:2:25: no such anchor");
	no_yaml("tasks:\n  a: {run: x, restart: sometimes}\n",
		"f:2:24: restart 'sometimes' is none of no|on-failure|always");
	no_yaml("defaults: {run: x}\ntasks: {a: x}\n",
		"f:1:1: defaults hold what only one task can have (a command, after, main, tty)");
	no_yaml("groups: {a: {timout: 1s}}\ntasks: {a: x}\n",
		"f:1:14: unknown key 'timout'; did you mean timeout?");
	no_yaml("groups: {a: {env: 1s}}\ntasks: {a: x}\n", "f:1:14: unknown key 'env'");
}

/* compose's words that are about containers are refused, each with a reason. */
TEST(yaml_refuses_containers)
{
	no_yaml("services:\n  a: {image: x}\n",
		"f:2:7: image is about containers; coop runs commands of this machine");
	no_yaml("services:\n  a: {command: x, profiles: [x]}\n",
		"f:2:19: profiles is not supported: name the tasks that should run, coop up "
		"TASK...");
	no_yaml("volumes: {}\nservices:\n  a: {command: x}\n",
		"f:1:1: volumes is about containers; coop runs commands of this machine");
	no_yaml("services:\n  a: {command: x, environment: {A: '${B}'}}\n",
		"f:2:37: A: variables are not expanded here; $$ is a dollar");
	no_yaml("services:\n  a: {command: x, environment: ['A=$B']}\n",
		"f:2:34: environment: variables are not expanded here; $$ is a dollar");
	no_yaml("services:\n  a: {command: [echo, $A]}\n",
		"f:2:23: command: variables are not expanded here; $$ is a dollar");
	no_yaml("services:\n  a: {command: x, env_file: $A}\n",
		"f:2:29: env_file: variables are not expanded here; $$ is a dollar");
	no_yaml("services:\n  a: {command: x, working_dir: '${A}'}\n",
		"f:2:33: working_dir: variables are not expanded here; $$ is a dollar");
	no_yaml("services:\n  a: {command: x, depends_on: {b: {condition: service_healty}}}\n",
		"f:2:47: condition 'service_healty' is none; did you mean service_healthy?");
	no_yaml("services:\n  a: {command: x, depends_on: {b: {condition: x}}}\n",
		"f:2:47: condition 'x' is none of "
		"service_started|service_healthy|service_completed_successfully");
	no_yaml("tasks:\n  a:\n    rum: a\n", "f:3:5: unknown key 'rum'; did you mean run?");
	no_yaml("tasks:\n  a:\n    run: {b: c}\n",
		"f:3:5: run is neither a line nor a list of words");
	no_yaml("services:\n  a: {command: x, depends_on: {b: {required: false}}}\n",
		"f:2:46: required: false is not supported");
	no_yaml("services:\n  a: {command: x, healthcheck: {interval: 1s}}\n",
		"f:2:19: healthcheck has no test");
	no_yaml("services:\n  a: {command: x, healthcheck: {test: [x]}}\n",
		"f:2:40: test begins with none of CMD, CMD-SHELL, NONE");
}

/* An env file that cannot be read is told at the place where it was named, not at its task's. */
TEST(yaml_places_of_env_files)
{
	no_yaml("tasks:\n  a:\n    run: x\n    env_file: no-such-file\n",
		"f:4:15: cannot read no-such-file: No such file or directory");
	no_yaml("tasks:\n  a:\n    run: x\n    env-file:\n      - /dev/null\n"
		"      - no-such-file\n",
		"f:6:9: cannot read no-such-file: No such file or directory");
	no_yaml("services:\n  a:\n    command: x\n    env_file:\n      - path: no-such-file\n",
		"f:5:15: cannot read no-such-file: No such file or directory");
	no_yaml("defaults:\n  env_file: no-such-file\ntasks:\n  a: x\n",
		"f:2:13: cannot read no-such-file: No such file or directory");
}

/* Names that lead nowhere, and circles, at the place where they are written. */
TEST(yaml_waits)
{
	no_yaml("tasks:\n  a: {run: x, after: [b]}\n  b: {run: y, after: a}\n",
		"f:3:22: tasks wait for each other: a after b after a");
	no_yaml("tasks:\n  server: x\n  b: {run: y, after: sever}\n",
		"f:3:22: b waits for sever, which there is not; did you mean server?");
}

/* Nothing in it, more than one document, and aliases without end. */
TEST(yaml_odd_documents)
{
	no_yaml("", "f: no task in it");
	no_yaml("tasks:\n  a: \xff\n", "f:2:6: not UTF-8");
	no_yaml("tasks:\n  a: \x1b[31m\n", "f:2:6: a control character");
	no_yaml("# nothing\n", "f: no task in it");
	no_yaml("tasks: {}\n", "f: no task in it");
	no_yaml("[]", "f: the file is no mapping (KEY: VALUE)");
	no_yaml("tasks: {a: x}\n---\ntasks: {b: x}\n", "f: a second document; there can be one");
	no_yaml("tasks: {a: &a {run: x, <<: *a}}\n", "f:1:29: too much in one file");
	no_yaml("a: &a [x,x,x,x,x,x,x,x]\nx-b: &b [*a,*a]\ntasks: *a\n", "f:1:1: unknown key 'a'");
}

/* A billion laughs are counted, not expanded. */
TEST(yaml_aliases_of_aliases)
{
	char text[4000] = "x-0: &m0 {retry: 1}\n";
	int error;
	struct plan *plan;

	for (int i = 1; i < 30; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text),
			 "x-%d: &m%d {<<: [*m%d,*m%d,*m%d,*m%d]}\n", i, i, i - 1, i - 1, i - 1,
			 i - 1);
	snprintf(text + strlen(text), sizeof text - strlen(text),
		 "tasks: {a: {run: x, <<: *m29}}\n");
	plan = read_yaml(text, &error);
	plan_free(plan);
}

/* The command line wins over the file. */
TEST(command_line_wins_over_the_file)
{
	int error;
	static const char text[] = "jobs: 5\noutput: group\nkeep_going: true\ntasks: {a: x}\n";
	struct plan *plan = parse_line("coop up -j2 --output json", &error);

	if (!yaml_is_built)
		SKIP("built without libfyaml");
	CHECK_INT(error, ==, 0);
	CHECK_INT(yaml_read(plan, "f", text, strlen(text)), ==, 0);
	CHECK_INT(plan_finish(plan), ==, 0);
	CHECK_INT(plan->groups[0]->jobs_max, ==, 2);
	CHECK_INT(plan->output, ==, OUTPUT_JSON);
	CHECK(plan->groups[0]->is_keep_going);
	plan_free(plan);
}

/* `up b` runs b and what b waits for. */
TEST(up_selects_tasks_and_what_they_need)
{
	int error;
	static const char text[] =
		"tasks: {z: x, a: x, b: {run: x, after: a}, c: {run: x, after: b}}\n";
	struct plan *plan = parse_line("coop up b", &error);

	if (!yaml_is_built)
		SKIP("built without libfyaml");
	CHECK_INT(error, ==, 0);
	CHECK_INT(yaml_read(plan, "f", text, strlen(text)), ==, 0);
	CHECK_INT(plan_finish(plan), ==, 0);
	CHECK_INT(plan->task_count, ==, 2);
	CHECK_STR(plan->tasks[0]->name, "a");
	CHECK_STR(plan->tasks[1]->name, "b");
	CHECK_INT(plan->tasks[1]->index, ==, 1);
	plan_free(plan);

	plan = parse_line("coop up bb", &error);
	CHECK_INT(error, ==, 0);
	plan->file = "f";
	CHECK_INT(yaml_read(plan, "f", text, strlen(text)), ==, 0);
	CHECK_INT(plan_finish(plan), <, 0);
	CHECK_STR(plan->error, "coop up: no task bb in f");
	plan_free(plan);
}

static const char *procfile(const char *text, struct plan **ret_plan)
{
	struct plan *plan = plan_new(VERB_UP);
	int error = procfile_read(plan, "Procfile", text, strlen(text));

	*ret_plan = plan;
	return error ? plan->error : NULL;
}

/* As foreman reads it. */
TEST(procfile_as_it_is)
{
	struct plan *plan;

	CHECK(!procfile("# servers\n\nweb: bundle exec thin start -p $PORT\r\n  \nworker-1:\trake "
			"jobs:work\n"
			"db_2: x # y",
			&plan));
	CHECK_INT(plan->task_count, ==, 3);
	CHECK_STR(plan->tasks[0]->name, "web");
	CHECK_STR(plan->tasks[0]->command.text, "bundle exec thin start -p $PORT");
	CHECK_INT(plan->tasks[0]->place.line, ==, 3);
	CHECK_STR(plan->tasks[1]->name, "worker-1");
	CHECK_STR(plan->tasks[1]->command.text, "rake jobs:work");
	CHECK_STR(plan->tasks[2]->command.text, "x # y");
	plan_free(plan);
}

/* What foreman would pass over in silence is wrong. */
TEST(procfile_mistakes)
{
	static const char *const cases[][2] = {
		{ "web thin\n", "Procfile:1:4: not \"name: command\"" },
		{ "a: x\nweb.1: thin\n", "Procfile:2:4: not \"name: command\"" },
		{ "web:\n", "Procfile:1:5: web has no command" },
		{ "web: \t \n", "Procfile:1:5: web has no command" },
		{ ": x\n", "Procfile:1:1: not \"name: command\"" },
		{ "# x\n", "Procfile: no task in it" },
		{ "", "Procfile: no task in it" },
		{ "-a: x\n", "Procfile:1:1: the name -a begins with a dash" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct plan *plan;

		CHECK_STR(procfile(cases[i][0], &plan), cases[i][1]);
		plan_free(plan);
	}
}

/* A file in the way that the programs find it; its name. */
static const char *write_file(const char *text)
{
	static char path[64];
	int fd;

	snprintf(path, sizeof path, "/tmp/coop-test-XXXXXX");
	fd = mkstemp(path);
	CHECK(fd >= 0);
	CHECK_INT(write(fd, text, strlen(text)), ==, strlen(text));
	close(fd);
	return path;
}

/* Quotes, comments, export; later ones win by coming later. */
TEST(env_files)
{
	static const struct plan_place place = { .line = 3 };
	static const char *const expected[] = { "A=1",       "B=two words", "C=it's # not",
						"D=x\ny\"$", "E=",          "F=a#b",
						"G=a",       "H= x ",       "I.x=1" };
	struct plan *plan = plan_new(VERB_RUN);
	struct plan_list env = { 0 };
	const char *path =
		write_file("# c\n\nA=1\nexport B=two words  \nC=\"it's # not\"\n"
			   "D=\"x\\ny\\\"\\$\"\nE=\nF=a#b\nG=a # b\n H=' x ' # c\r\nI.x=1");

	CHECK_INT(envfile_read(plan, path, &place, &env), ==, 0);
	unlink(path);
	CHECK_INT(env.count, ==, 9);
	for (size_t i = 0; i < 9; i++)
		CHECK_STR(env.items[i], expected[i]);
	plan_free(plan);
}

static void no_env_file(const char *text, const char *what)
{
	static const struct plan_place place = { .line = 3 };
	struct plan *plan = plan_new(VERB_RUN);
	struct plan_list env = { 0 };
	const char *path = write_file(text);

	CHECK(envfile_read(plan, path, &place, &env) < 0);
	unlink(path);
	CHECK_HAS(plan->error, path);
	CHECK_HAS(plan->error, what);
	plan_free(plan);
}

/* With the line. */
TEST(env_file_mistakes)
{
	no_env_file("A=1\nB\n", ":2: the line is not NAME=VALUE");
	no_env_file("1A=1\n", ":1: the line is not NAME=VALUE");
	no_env_file("A='x\n", ":1: the line has a quote that is not closed");
	no_env_file("A='x'y\n", ":1: the line has something behind its quotes");
}

/* Env files come first, whatever the order; a missing one is an error. */
TEST(env_of_a_task)
{
	const char *path = write_file("A=1\n");
	char line[100];
	struct plan *plan;
	int error;

	snprintf(line, sizeof line, "coop exec -e A=2 --env-file %s x", path);
	plan = parse_line(line, &error);
	CHECK_INT(error, ==, 0);
	CHECK_INT(plan_finish(plan), ==, 0);
	unlink(path);
	CHECK_STR(plan->tasks[0]->env.items[0], "A=1");
	CHECK_STR(plan->tasks[0]->env.items[1], "A=2");
	plan_free(plan);

	plan = parse_line(line, &error);
	CHECK_INT(error, ==, 0);
	CHECK_INT(plan_finish(plan), <, 0);
	CHECK_HAS(plan->error, "No such file");
	plan_free(plan);
}
