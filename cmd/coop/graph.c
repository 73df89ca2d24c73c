/* SPDX-License-Identifier: MIT */
/*
 * coop check and coop graph: what starts after what, as a tree of text, for Graphviz, for Mermaid.
 */
#include "front.h"
#include "verbs.h"

#include <string.h>

static const char *const state_names[] = { "started", "ready", "done", "ok" };

int verb_check(struct plan *plan)
{
	printf("%s: %zu task%s, no mistake\n", plan->file, plan->task_count,
	       plan->task_count == 1 ? "" : "s");
	return 0;
}

/* Who waits for a task: the edges turned round. */
struct edge {
	const struct plan_task *task;
	enum plan_state state;
	size_t next; /* of the same task, plus 1; 0: the last */
};

struct graph {
	struct plan *plan;
	struct edge *edges;
	size_t *first, *last; /* of each task, plus 1 */
	char *is_printed;
};

static void graph_init(struct graph *g, struct plan *plan)
{
	size_t count = 0, at = 0;

	for (size_t i = 0; i < plan->task_count; i++)
		count += plan->tasks[i]->after_count;
	g->plan = plan;
	g->edges = plan_alloc(plan, count * sizeof *g->edges);
	g->first = plan_alloc(plan, plan->task_count * sizeof *g->first);
	g->last = plan_alloc(plan, plan->task_count * sizeof *g->last);
	g->is_printed = plan_alloc(plan, plan->task_count);
	for (size_t i = 0; i < plan->task_count; i++) {
		const struct plan_task *task = plan->tasks[i];

		for (size_t j = 0; j < task->after_count; j++) {
			size_t from = task->after[j].task->index;

			g->edges[at] = (struct edge){ task, task->after[j].state, 0 };
			at++;
			if (g->last[from])
				g->edges[g->last[from] - 1].next = at;
			else
				g->first[from] = at;
			g->last[from] = at;
		}
	}
}

static void print_node(struct plan *plan, const struct plan_task *task)
{
	printf("%s", task->name);
	if (task->group->parent)
		printf(" [%s]", task->group->path);
	if (task->is_main)
		printf(", main");
	if (task->is_service)
		printf(", service");
	if (task->ready.kind != PROBE_NONE)
		printf(", ready %s", plan_visible(plan, task->ready.text));
}

/* The tree below one task, without recursion: path[] holds the edge that each level is at. */
static void print_below(struct graph *g, const struct plan_task *root)
{
	size_t *path = plan_alloc(g->plan, (g->plan->task_count + 1) * sizeof *path);
	size_t depth = 0;

	path[0] = g->first[root->index];
	for (;;) {
		const struct edge *edge;

		while (depth && !path[depth])
			depth--, path[depth] = g->edges[path[depth] - 1].next;
		if (!path[depth])
			return;
		edge = &g->edges[path[depth] - 1];
		for (size_t i = 0; i < depth; i++)
			printf("%s", g->edges[path[i] - 1].next ? "│  " : "   ");
		printf("%s %s: ", edge->next ? "├─" : "└─", state_names[edge->state]);
		if (g->is_printed[edge->task->index]) {
			printf("%s (above)\n", edge->task->name);
			path[depth] = edge->next;
			continue;
		}
		print_node(g->plan, edge->task);
		putchar('\n');
		g->is_printed[edge->task->index] = 1;
		path[++depth] = g->first[edge->task->index];
	}
}

static void print_text(struct plan *plan)
{
	struct graph g = { 0 };

	graph_init(&g, plan);
	for (size_t i = 0; i < plan->task_count; i++) {
		const struct plan_task *task = plan->tasks[i];

		if (task->after_count)
			continue;
		print_node(g.plan, task);
		putchar('\n');
		print_below(&g, task);
	}
}

static void indent(const struct plan_group *group, int more)
{
	for (; group; group = group->parent)
		more++;
	printf("%*s", more * 2, "");
}

/* Within quotes of DOT. */
static void print_dot_text(const char *text)
{
	for (; *text; text++)
		printf("%s%c", *text == '"' || *text == '\\' ? "\\" : "", *text);
}

/* Within quotes of Mermaid. */
static void print_mermaid_text(const char *text)
{
	for (; *text; text++)
		if (strchr("\"<>&#;", *text))
			printf("#%d;", *text);
		else
			putchar(*text);
}

static void dot_task(const struct plan_task *task)
{
	printf("\"");
	print_dot_text(task->name);
	printf("\"%s;\n", task->is_main      ? " [peripheries=2]"
			  : task->is_service ? " [shape=box]"
					     : "");
}

static void mermaid_task(const struct plan_task *task)
{
	printf("t%zu%s", task->index, task->is_service ? "[\"" : "(\"");
	print_mermaid_text(task->name);
	printf("%s\n", task->is_service ? "\"]" : "\")");
}

/* How a format writes the parts. */
struct form {
	const char *head, *end, *group_end;
	void (*group)(const struct plan_group *group);
	void (*task)(const struct plan_task *task);
	void (*edge)(const struct plan_task *to, const struct plan_after *after);
};

static void dot_group(const struct plan_group *group)
{
	printf("subgraph \"cluster_%zu\" { label=\"", group->index);
	print_dot_text(group->name);
	puts("\";");
}

static void mermaid_group(const struct plan_group *group)
{
	printf("subgraph g%zu[\"", group->index);
	print_mermaid_text(group->name);
	puts("\"]");
}

static void dot_edge(const struct plan_task *to, const struct plan_after *after)
{
	printf("  \"");
	print_dot_text(after->task->name);
	printf("\" -> \"");
	print_dot_text(to->name);
	printf("\" [label=\"%s\"];\n", state_names[after->state]);
}

static void mermaid_edge(const struct plan_task *to, const struct plan_after *after)
{
	printf("  t%zu -->|%s| t%zu\n", after->task->index, state_names[after->state], to->index);
}

static const struct form forms[] = {
	[FORMAT_DOT] = { "digraph coop {\n  rankdir=LR;", "}", "}", dot_group, dot_task, dot_edge },
	[FORMAT_MERMAID] = { "flowchart LR", NULL, "end", mermaid_group, mermaid_task,
			     mermaid_edge },
};

/* Groups stand behind their parents, and each is printed within it. */
static void print_group(struct plan *plan, const struct form *form, const struct plan_group *group)
{
	for (size_t i = 0; i < plan->task_count; i++) {
		if (plan->tasks[i]->group != group)
			continue;
		indent(group, 0);
		form->task(plan->tasks[i]);
	}
	for (size_t i = group->index + 1; i < plan->group_count; i++) {
		if (plan->groups[i]->parent != group)
			continue;
		indent(group, 0);
		form->group(plan->groups[i]);
		print_group(plan, form, plan->groups[i]);
		indent(group, 0);
		puts(form->group_end);
	}
}

static void print_form(struct plan *plan, const struct form *form)
{
	puts(form->head);
	print_group(plan, form, plan->groups[0]);
	for (size_t i = 0; i < plan->task_count; i++)
		for (size_t j = 0; j < plan->tasks[i]->after_count; j++)
			form->edge(plan->tasks[i], &plan->tasks[i]->after[j]);
	if (form->end)
		puts(form->end);
}

int verb_graph(struct plan *plan)
{
	if (plan->format == FORMAT_TEXT)
		print_text(plan);
	else
		print_form(plan, &forms[plan->format]);
	return 0;
}
