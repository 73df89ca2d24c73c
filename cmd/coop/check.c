/* SPDX-License-Identifier: MIT */
/*
 * plan_finish: defaults that depend on other values, names, and whether the whole makes sense.
 */
#include "front.h"
#include "map.h"
#include "option.h"
#include "text.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Tasks by name: open addressing, at most half full. */
struct names {
	struct plan_task **slots;
	size_t mask;
};

static size_t hash(const char *name)
{
	size_t h = 5381;

	while (*name)
		h = h * 33 ^ (unsigned char)*name++;
	return h;
}

static void names_init(struct plan *plan, struct names *names)
{
	size_t size = 16;

	while (size < plan->task_count * 2)
		size *= 2;
	names->slots = plan_alloc(plan, size * sizeof *names->slots);
	names->mask = size - 1;
}

/* The slot of the name: with its task, or the free one where it belongs. */
static struct plan_task **names_slot(const struct names *names, const char *name)
{
	size_t at = hash(name) & names->mask;

	while (names->slots[at] && strcmp(names->slots[at]->name, name) != 0)
		at = (at + 1) & names->mask;
	return &names->slots[at];
}

static int add_given_names(struct plan *plan, struct names *names)
{
	for (size_t i = 0; i < plan->task_count; i++) {
		struct plan_task *task = plan->tasks[i], **slot;

		if (!task->name)
			continue;
		slot = names_slot(names, task->name);
		if (*slot)
			return plan_fail(plan, &task->place, "a second task with the name %s",
					 task->name);
		*slot = task;
	}
	return 0;
}

/* Names made of the commands; the second one of a name gets "-2". */
static void add_made_names(struct plan *plan, struct names *names)
{
	uint32_t *numbers = plan_alloc(plan, plan->task_count * sizeof *numbers);

	for (size_t i = 0; i < plan->task_count; i++) {
		struct plan_task *task = plan->tasks[i], **slot, *first;
		const char *name;

		if (task->name)
			continue;
		name = plan_name_of(plan, task->command.text);
		slot = names_slot(names, name);
		first = *slot;
		while (*slot) {
			uint32_t number = ++numbers[first->index] + 1;

			task->name = plan_format(plan, "%s-%u", name, number);
			slot = names_slot(names, task->name);
		}
		if (!task->name)
			task->name = name;
		*slot = task;
	}
}

static int unknown_after(struct plan *plan, const struct plan_task *task,
			 const struct plan_after *after)
{
	struct text_near near = { .wrong = after->name };

	for (size_t i = 0; i < plan->task_count && i < 1000; i++)
		if (plan->tasks[i] != task)
			text_near_offer(&near, plan->tasks[i]->name);
	if (near.best)
		return plan_fail(plan, &after->place,
				 "%s waits for %s, which there is not; "
				 "did you mean %s?",
				 task->name, after->name, near.best);
	return plan_fail(plan, &after->place, "%s waits for %s, which there is not", task->name,
			 after->name);
}

/* Where no state was given: an end that is never awaited of what runs for ever, and of all else. */
static enum plan_state usual_state(const struct plan_task *task)
{
	return task->is_service || task->ready.kind != PROBE_NONE ? STATE_READY : STATE_OK;
}

static int check_after(struct plan *plan, const struct plan_task *task, struct plan_after *after)
{
	bool is_end;

	if (after->state == (enum plan_state) - 1)
		after->state = usual_state(after->task);
	is_end = after->state == STATE_DONE || after->state == STATE_OK;
	if (after->task == task)
		return plan_fail(plan, &after->place, "%s waits for itself", task->name);
	if (is_end && after->task->is_service)
		return plan_fail(plan, &after->place,
				 "%s waits for the end of %s, a service that never ends by itself",
				 task->name, after->name);
	if (is_end && after->task->is_main)
		return plan_fail(plan, &after->place,
				 "%s waits for the end of %s, whose end cancels all others",
				 task->name, after->name);
	return 0;
}

static int resolve_after(struct plan *plan, const struct names *names)
{
	for (size_t i = 0; i < plan->task_count; i++) {
		struct plan_task *task = plan->tasks[i];

		for (size_t j = 0; j < task->after_count; j++) {
			struct plan_after *after = &task->after[j];
			int error;

			after->task = *names_slot(names, after->name);
			if (!after->task)
				return unknown_after(plan, task, after);
			error = check_after(plan, task, after);
			if (error)
				return error;
		}
	}
	return 0;
}

/* The way from `task` along the edges that are being followed, back to itself. */
static int report_cycle(struct plan *plan, const struct plan_task *task, const size_t *edge,
			const struct plan_after *closing)
{
	const char *text = task->name;
	const struct plan_task *at = task;

	do {
		at = at->after[edge[at->index] - 1].task;
		text = plan_format(plan, "%s after %s", text, at->name);
	} while (at != task && strlen(text) < 300);
	return plan_fail(plan, &closing->place, "tasks wait for each other: %s", text);
}

/*
 * Depth first, without recursion: edge[i] is how many of task i's edges have been followed; path is
 * the way to the current one.
 */
static int check_cycles(struct plan *plan)
{
	enum { NEW, OPEN, DONE };
	size_t *edge = plan_alloc(plan, plan->task_count * sizeof *edge);
	char *state = plan_alloc(plan, plan->task_count);
	struct plan_task **path = plan_alloc(plan, plan->task_count * sizeof *path);

	for (size_t i = 0; i < plan->task_count; i++) {
		size_t depth = 0;

		if (state[i] == NEW)
			path[depth++] = plan->tasks[i];
		while (depth) {
			struct plan_task *task = path[depth - 1], *to;

			state[task->index] = OPEN;
			if (edge[task->index] == task->after_count) {
				state[task->index] = DONE;
				depth--;
				continue;
			}
			to = task->after[edge[task->index]++].task;
			if (state[to->index] == OPEN)
				return report_cycle(plan, to, edge,
						    &task->after[edge[task->index] - 1]);
			if (state[to->index] == NEW)
				path[depth++] = to;
		}
	}
	return 0;
}

/* compose's stop_signal and stop_grace_period, where no ladder was given. */
static void finish_stop(struct plan *plan, struct plan_task *task)
{
	struct plan_step *stop;

	if (!task->stop_sig && task->stop_grace_ns == COOP_NEVER)
		return;
	if (option_given(task->given, "stop"))
		return;
	stop = plan_alloc(plan, 2 * sizeof *stop);
	stop[0].sig = task->stop_sig ? task->stop_sig : SIGTERM;
	stop[0].wait_ns =
		task->stop_grace_ns == COOP_NEVER ? COOP_SECONDS(10) : task->stop_grace_ns;
	stop[1] = (struct plan_step){ SIGKILL, COOP_SECONDS(10) };
	task->stop_count = stop[0].sig == SIGKILL ? 1 : 2;
	task->stop = stop[0].sig == SIGKILL ? stop + 1 : stop;
}

/* Env files first, in their order, then what was given one by one. */
static int finish_env(struct plan *plan, struct plan_task *task)
{
	struct plan_list env = { 0 };

	if (task->env_files.count == 0)
		return 0;
	for (size_t i = 0; i < task->env_files.count; i++) {
		const struct plan_env_file *file = &task->env_files.items[i];
		/* Of the command line no place is told: the file is named. */
		const struct plan_place *place = file->place.file ? &file->place : NULL;
		int error = envfile_read(plan, file->path, place, &env);

		if (error)
			return error;
	}
	for (size_t i = 0; i < task->env.count; i++)
		plan_list_add(plan, &env, task->env.items[i]);
	task->env = env;
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int finish_task(struct plan *plan, struct plan_task *task)
{
	if (task->on_fail == ON_FAIL_RESTART) {
		task->on_fail = ON_FAIL_CANCEL;
		if (!option_given(task->given, "restart"))
			task->restart = RESTART_ON_FAILURE;
	} else if (!option_given(task->given, "on-fail")) {
		task->on_fail = task->group->is_keep_going ? ON_FAIL_KEEP : ON_FAIL_CANCEL;
	}
	if (!option_given(task->given, "retry-on"))
		for (size_t i = 0; i < 4; i++)
			task->retry_on.bits[i] = ~task->ok_codes.bits[i];
	if (task->locks.count > 1)
		qsort(task->locks.items, task->locks.count, sizeof *task->locks.items, compare);
	finish_stop(plan, task);
	return finish_env(plan, task);
}

static int check_task(struct plan *plan, const struct plan_task *task)
{
	if (task->is_main && task->is_service)
		return plan_fail(plan, &task->place, "%s is both main and a service", task->name);
	if (task->is_main && task->restart == RESTART_ALWAYS)
		return plan_fail(plan, &task->place, "%s is main, so it cannot be restarted always",
				 task->name);
	if (task->has_tty && task->ready.kind == PROBE_LOG)
		return plan_fail(plan, &task->place,
				 "%s owns the terminal, so nobody reads its log", task->name);
	if (task->has_tty && option_given(task->given, "pty") && task->pty == SWITCH_ON)
		return plan_fail(plan, &task->place,
				 "%s has tty, so it cannot have a pty of its own", task->name);
	return 0;
}

static int check_tasks(struct plan *plan)
{
	const struct plan_task *main_task = NULL, *tty = NULL;

	for (size_t i = 0; i < plan->task_count; i++) {
		const struct plan_task *task = plan->tasks[i];
		int error = check_task(plan, task);

		if (error)
			return error;
		if (task->is_main && main_task)
			return plan_fail(plan, &task->place, "%s and %s are both main",
					 main_task->name, task->name);
		if (task->has_tty && tty)
			return plan_fail(plan, &task->place, "%s and %s both want the terminal",
					 tty->name, task->name);
		main_task = task->is_main ? task : main_task;
		tty = task->has_tty ? task : tty;
	}
	return 0;
}

/* What a group does not say is as in the one above it. */
static void finish_groups(struct plan *plan)
{
	struct plan_group *root = plan->groups[0];

	if (plan->verb == VERB_MAP && !(root->given & GIVEN_POLICY))
		root->is_keep_going = true;
	if (plan->verb == VERB_MAP && !(root->given & GIVEN_JOBS))
		root->jobs_max = plan_processors();
	if (!(root->given & GIVEN_FINALLY_TIMEOUT))
		root->finally_timeout_ns = COOP_SECONDS(30);
	for (size_t i = 1; i < plan->group_count; i++) {
		struct plan_group *group = plan->groups[i];

		if (!(group->given & GIVEN_POLICY))
			group->is_keep_going = group->parent->is_keep_going;
		if (!(group->given & GIVEN_EXIT))
			group->exit = group->parent->exit;
		if (!(group->given & GIVEN_FINALLY_TIMEOUT))
			group->finally_timeout_ns = group->parent->finally_timeout_ns;
	}
}

/* Marks a task and all that it waits for. */
static void mark(struct plan_task *task, struct plan_task **stack, char *marked)
{
	size_t depth = 0;

	stack[depth++] = task;
	marked[task->index] = 1;
	while (depth) {
		task = stack[--depth];
		for (size_t i = 0; i < task->after_count; i++) {
			struct plan_task *to = task->after[i].task;

			if (!marked[to->index]) {
				marked[to->index] = 1;
				stack[depth++] = to;
			}
		}
	}
}

/* `up api web`: those, and what they need. */
static int select_tasks(struct plan *plan, const struct names *names)
{
	struct plan_task **stack = plan_alloc(plan, plan->task_count * sizeof *stack);
	char *marked = plan_alloc(plan, plan->task_count);
	size_t kept = 0;

	for (size_t i = 0; i < plan->words.count; i++) {
		struct plan_task *task = *names_slot(names, plan->words.items[i]);
		struct text_near near = { .wrong = plan->words.items[i] };

		if (task) {
			mark(task, stack, marked);
			continue;
		}
		for (size_t j = 0; j < plan->task_count && j < 1000; j++)
			text_near_offer(&near, plan->tasks[j]->name);
		return plan_fail(plan, NULL, "no task %s in %s%s%s%s", near.wrong, plan->file,
				 near.best ? "; did you mean " : "", near.best ? near.best : "",
				 near.best ? "?" : "");
	}
	for (size_t i = 0; i < plan->task_count; i++)
		if (marked[i]) {
			plan->tasks[kept] = plan->tasks[i];
			plan->tasks[kept]->index = kept;
			kept++;
		}
	plan->task_count = kept;
	return 0;
}

static bool has_tasks(enum plan_verb verb)
{
	return verb <= VERB_GRAPH;
}

/* A policy for nobody is a slip of the pen. */
static int check_groups(struct plan *plan)
{
	bool *is_used = plan_alloc(plan, plan->group_count * sizeof *is_used);

	for (size_t i = 0; i < plan->task_count; i++)
		for (const struct plan_group *g = plan->tasks[i]->group; g; g = g->parent)
			is_used[g->index] = true;
	for (size_t i = 1; i < plan->group_count; i++)
		if (!is_used[i])
			return plan_fail(plan, &plan->groups[i]->place, "no task is in group %s",
					 plan->groups[i]->path);
	return 0;
}

static int finish_names(struct plan *plan)
{
	struct names names;
	int error;

	names_init(plan, &names);
	error = add_given_names(plan, &names);
	if (error)
		return error;
	add_made_names(plan, &names);
	error = resolve_after(plan, &names);
	if (error)
		return error;
	error = check_groups(plan);
	if (error)
		return error;
	error = check_cycles(plan);
	if (error || plan->words.count == 0)
		return error;
	return select_tasks(plan, &names);
}

int plan_finish(struct plan *plan)
{
	int error = 0;

	if (!has_tasks(plan->verb))
		return 0;
	if (plan->verb == VERB_MAP)
		error = map_finish(plan);
	if (error)
		return error;
	finish_groups(plan);
	error = finish_names(plan);
	for (size_t i = 0; i < plan->task_count && !error; i++)
		error = finish_task(plan, plan->tasks[i]);
	return error ? error : check_tasks(plan);
}

size_t plan_stop_first(const struct plan_task *task, bool is_interrupt)
{
	for (size_t i = 0; i < task->stop_count && !is_interrupt; i++)
		if (task->stop[i].sig == SIGTERM)
			return i;
	return 0;
}
