/* SPDX-License-Identifier: MIT */
/*
 * --dry-run: each task with the command that would be executed, quoted for a shell, and what is not
 * as usual about it. Of variables only the names: values may be secrets.
 */
#include "front.h"
#include "option.h"
#include "pen.h"
#include "text.h"
#include "verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A list of facts about one task, on lines of their own. */
struct facts {
	int indent;
	bool has_any;
};

COOP_PRINTF(2, 3)
static void fact(struct facts *facts, const char *format, ...)
{
	va_list args;

	if (facts->has_any)
		printf(", ");
	else
		printf("%*s", facts->indent, "");
	facts->has_any = true;
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
}

static void facts_end(struct facts *facts)
{
	if (facts->has_any)
		putchar('\n');
	facts->has_any = false;
}

static void print_argv(struct plan *plan, const char *const *argv)
{
	for (size_t i = 0; argv[i]; i++)
		printf("%s%s", i ? " " : "", plan_visible(plan, plan_quote(plan, argv[i])));
	putchar('\n');
}

static const char *const state_names[] = { "started", "ready", "done", "ok" };
static const char *const on_fail_names[] = { "cancel", "log", "restart", "keep-going" };
static const char *const restart_names[] = { "no", "on-failure", "always" };

static void print_start(struct plan *plan, struct facts *f, const struct plan_task *task)
{
	char buf[TEXT_DURATION_SIZE];

	for (size_t i = 0; i < task->after_count; i++)
		fact(f, "after %s:%s", task->after[i].name, state_names[task->after[i].state]);
	for (size_t i = 0; i < task->locks.count; i++)
		fact(f, "lock %s", task->locks.items[i]);
	if (task->is_main)
		fact(f, "main");
	if (task->is_service)
		fact(f, "service");
	if (task->ready.kind != PROBE_NONE)
		fact(f, "ready %s within %s", plan_visible(plan, task->ready.text),
		     text_of_duration(task->ready_timeout_ns, buf));
	facts_end(f);
}

static void print_again(struct facts *f, const struct plan_task *task)
{
	char min[TEXT_DURATION_SIZE], max[TEXT_DURATION_SIZE];

	if (task->restart != RESTART_NO)
		fact(f, "restart %s", restart_names[task->restart]);
	if (task->restart != RESTART_NO && task->restart_window_ns != COOP_NEVER)
		fact(f, "restart-limit %u/%s", task->restart_max,
		     text_of_duration(task->restart_window_ns, max));
	else if (task->restart != RESTART_NO)
		fact(f, "restart-limit %u", task->restart_max);
	if (option_given(task->given, "backoff"))
		fact(f, "backoff %s..%s", text_of_duration(task->backoff_min_ns, min),
		     text_of_duration(task->backoff_max_ns, max));
}

static void print_failure(struct facts *f, const struct plan_task *task)
{
	char buf[TEXT_DURATION_SIZE], codes[600];

	if (option_given(task->given, "on-fail"))
		fact(f, "on-fail %s", on_fail_names[task->on_fail]);
	if (task->timeout_ns != COOP_NEVER)
		fact(f, "timeout %s", text_of_duration(task->timeout_ns, buf));
	if (task->attempts_max > 1)
		fact(f, "retry %u", task->attempts_max - 1);
	if (option_given(task->given, "retry-on")) {
		text_of_codes(&task->retry_on, codes, sizeof codes);
		fact(f, "retry-on %s", codes);
	}
	print_again(f, task);
	if (task->ok_codes.bits[0] != 1 || task->ok_codes.bits[1] || task->ok_codes.bits[2] ||
	    task->ok_codes.bits[3]) {
		text_of_codes(&task->ok_codes, codes, sizeof codes);
		fact(f, "ok-codes %s", codes);
	}
	facts_end(f);
}

/* The ladder as it would be written. */
static void print_ladder(struct facts *f, const struct plan_task *task)
{
	char text[PLAN_STEPS_MAX * (TEXT_SIGNAL_SIZE + TEXT_DURATION_SIZE)], sig[TEXT_SIGNAL_SIZE],
		wait[TEXT_DURATION_SIZE];
	size_t used = 0;

	for (size_t i = 0; i < task->stop_count; i++) {
		used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? "," : "",
					 text_of_signal(task->stop[i].sig, sig));
		if (i + 1 < task->stop_count)
			used += (size_t)snprintf(text + used, sizeof text - used, ",%s",
						 text_of_duration(task->stop[i].wait_ns, wait));
	}
	fact(f, "stop %s", text);
}

static void print_stop(struct plan *plan, struct facts *f, const struct plan_task *task)
{
	char buf[TEXT_DURATION_SIZE];

	if (option_given(task->given, "stop") || task->stop_sig ||
	    task->stop_grace_ns != COOP_NEVER)
		print_ladder(f, task);
	if (task->is_shielded && task->shield_ns == COOP_NEVER)
		fact(f, "shield");
	else if (task->is_shielded)
		fact(f, "shield %s", text_of_duration(task->shield_ns, buf));
	if (task->cwd)
		fact(f, "in %s", plan_visible(plan, task->cwd));
	if (task->nice)
		fact(f, "nice %d", task->nice);
	if (task->has_tty)
		fact(f, "tty");
	if (task->pty != SWITCH_AUTO)
		fact(f, "pty %s", task->pty == SWITCH_ON ? "on" : "off");
	for (size_t i = 0; i < task->env.count; i++)
		fact(f, "%.*s=...", (int)strcspn(task->env.items[i], "="),
		     plan_visible(plan, task->env.items[i]));
	facts_end(f);
}

/* printf's widths are bytes. */
static void print_name(const char *name, int width)
{
	int pad = width - (int)pen_width(name);

	printf("  %s%*s  ", name, pad > 0 ? pad : 0, "");
}

static void print_task(struct plan *plan, const struct plan_task *task, int width)
{
	struct facts facts = { .indent = width + 4 };

	print_name(task->name, width);
	print_argv(plan, task->command.argv);
	print_start(plan, &facts, task);
	print_failure(&facts, task);
	print_stop(plan, &facts, task);
}

static void print_policy(const struct plan_group *group, int64_t limit_ns)
{
	static const char *const exits[] = { "first", "max", "count", "zero" };
	char buf[TEXT_DURATION_SIZE];

	printf(", %s", group->is_keep_going ? "keep-going" : "fail-fast");
	if (group->jobs_max != COOP_UNLIMITED)
		printf(", jobs %u", group->jobs_max);
	if (limit_ns != COOP_NEVER)
		printf(", timeout %s", text_of_duration(limit_ns, buf));
	if (group->exit != EXIT_FIRST)
		printf(", exit %s", exits[group->exit]);
	putchar('\n');
}

static void print_head(const struct plan_group *group)
{
	printf("group %s", group->path);
	print_policy(group, group->timeout_ns);
}

static void print_group(struct plan *plan, const struct plan_group *group, int width)
{
	bool has_head = !group->parent;

	for (size_t i = 0; i < plan->task_count; i++) {
		if (plan->tasks[i]->group != group)
			continue;
		if (!has_head)
			print_head(group);
		has_head = true;
		print_task(plan, plan->tasks[i], width);
	}
	if (group->finally_count && !has_head)
		print_head(group);
	for (size_t i = 0; i < group->finally_count; i++) {
		print_name("finally", width);
		print_argv(plan, group->finally[i].argv);
		if (group->finally_cwd)
			printf("%*sin %s\n", width + 4, "", plan_visible(plan, group->finally_cwd));
	}
}

/* The width of the longest name, within reason. */
static int name_width(const struct plan *plan)
{
	size_t width = 7;

	for (size_t i = 0; i < plan->task_count; i++) {
		size_t len = pen_width(plan->tasks[i]->name);

		if (len > width && len <= 24)
			width = len;
	}
	return (int)width;
}

static int print_input(struct plan *plan, const char *input, uint64_t number)
{
	char **argv = plan_map_argv(plan, input, number);

	if (!argv)
		return -ENOMEM;
	print_argv(plan, (const char *const *)argv);
	free(argv);
	return 0;
}

/* Inputs from a file or from standard input. */
static int print_lines(struct plan *plan, FILE *in)
{
	char *line = NULL;
	size_t size = 0;
	uint64_t number = 0;
	ssize_t len;
	int error = 0;

	while (!error && (len = getdelim(&line, &size, plan->map.separator, in)) >= 0) {
		if (len && line[len - 1] == plan->map.separator)
			line[len - 1] = '\0';
		error = print_input(plan, line, ++number);
	}
	free(line);
	return error ? error : ferror(in) ? -EIO : 0;
}

static int print_map(struct plan *plan)
{
	const struct plan_map *map = &plan->map;
	FILE *in;
	int error = 0;

	if (map->input == INPUT_ARGS) {
		for (size_t i = 0; i < map->args.count && !error; i++)
			error = print_input(plan, map->args.items[i], i + 1);
		return error;
	}
	if (map->input == INPUT_STDIN)
		return print_lines(plan, stdin);
	in = fopen(map->file, "re");
	if (!in)
		return -errno;
	error = print_lines(plan, in);
	fclose(in);
	return error;
}

int plan_print(struct plan *plan)
{
	int error;

	if (plan->verb == VERB_MAP) {
		error = print_map(plan);
		if (error)
			fprintf(stderr, "coop map: cannot read %s: %s\n",
				plan->map.file ? plan->map.file : "standard input",
				strerror(-error));
		return error ? STATUS_OWN : 0;
	}
	printf("%s: %zu task%s", plan->groups[0]->name, plan->task_count,
	       plan->task_count == 1 ? "" : "s");
	print_policy(plan->groups[0], plan->deadline_ns < plan->groups[0]->timeout_ns
					      ? plan->deadline_ns
					      : plan->groups[0]->timeout_ns);
	for (size_t i = 0; i < plan->group_count; i++)
		print_group(plan, plan->groups[i], name_width(plan));
	return 0;
}
