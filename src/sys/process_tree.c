/* SPDX-License-Identifier: MIT */
/*
 * The processes below one: a walk by the lists of children that /proc has, or, on a kernel without
 * them, by the parents of all processes that there are.
 *
 * What is found may have changed when it is used; whoever acts on it makes sure of each
 * (process_sweep.c) and walks again until nothing is new.
 */
#include "sys/process.h"

#include <string.h>

/* Where a walk puts what it finds. */
struct walk {
	struct cp_tree *tree;
	unsigned depth;
	int r;
};

static bool is_in(const struct cp_tree *tree, int pid)
{
	for (size_t i = 0; i < tree->count; i++)
		if (tree->nodes[i].proc.pid == pid)
			return true;
	return false;
}

static int add(struct cp_tree *tree, const struct cp_proc *proc, unsigned depth)
{
	if (tree->count == tree->room) {
		size_t room = tree->room ? 2 * tree->room : 64;
		void *nodes = cp_realloc(tree->nodes, room * sizeof *tree->nodes);

		if (!nodes)
			return -ENOMEM;
		tree->nodes = nodes;
		tree->room = room;
	}
	tree->nodes[tree->count++] = (struct cp_tree_node){ *proc, depth };
	return 0;
}

/* One that has another parent meanwhile is listed twice; one that has ended is left out. */
static bool found(int pid, void *ctx)
{
	struct walk *w = ctx;
	struct cp_proc proc;

	if (is_in(w->tree, pid))
		return false;
	w->r = cp_os_proc(pid, &proc);
	if (w->r == -ESRCH)
		w->r = 0;
	else if (w->r >= 0)
		w->r = add(w->tree, &proc, w->depth);
	return w->r < 0;
}

static int walk_lists(struct cp_tree *tree)
{
	for (size_t i = 0; i < tree->count; i++) {
		struct walk w = { .tree = tree, .depth = tree->nodes[i].depth + 1 };
		int r = cp_os_proc_children(tree->nodes[i].proc.pid, found, &w);

		if (r < 0 && r != -ESRCH)
			return r;
		if (w.r < 0)
			return w.r;
	}
	return 0;
}

/* All that there are, in a tree of their own without shape. */
static int walk_all(struct cp_tree *all)
{
	struct walk w = { .tree = all };
	int r = cp_os_proc_all(found, &w);

	return r < 0 ? r : w.r;
}

static int walk_parents(struct cp_tree *tree)
{
	struct cp_tree all = { 0 };
	int r = walk_all(&all);

	for (size_t i = 0; i < tree->count && r >= 0; i++)
		for (size_t k = 0; k < all.count && r >= 0; k++) {
			const struct cp_proc *proc = &all.nodes[k].proc;

			if (proc->parent == tree->nodes[i].proc.pid && !is_in(tree, proc->pid))
				r = add(tree, proc, tree->nodes[i].depth + 1);
		}
	cp_tree_deinit(&all);
	return r;
}

int cp_tree_walk(struct cp_tree *tree, int pid)
{
	struct cp_proc root;
	int r = cp_os_proc(pid, &root);

	tree->count = 0;
	if (r >= 0)
		r = add(tree, &root, 0);
	if (r >= 0)
		r = walk_lists(tree);
	if (r != -ENOTSUP)
		return r;
	tree->count = 1;
	return walk_parents(tree);
}

void cp_tree_deinit(struct cp_tree *tree)
{
	cp_free(tree->nodes);
	*tree = (struct cp_tree){ 0 };
}

static void tell(const struct cp_proc *proc, unsigned depth, struct coop_process_info *ret_info)
{
	*ret_info = (struct coop_process_info){
		.pid = proc->pid,
		.parent = proc->parent,
		.group = proc->group,
		.session = proc->session,
		.depth = depth,
		.state = proc->state,
	};
	memcpy(ret_info->name, proc->name, sizeof ret_info->name);
}

int coop_process_info(int pid, struct coop_process_info *ret_info)
{
	struct cp_proc proc;
	int r = cp_os_proc(pid ? pid : cp_os_pid(), &proc);

	if (r >= 0)
		tell(&proc, 0, ret_info);
	return r;
}

/* A walk that counts. */
struct children {
	coop_process_child_fn *fn;
	void *ctx;
	int count;
};

static bool child(int pid, void *ctx)
{
	struct children *c = ctx;

	c->count++;
	return c->fn(pid, c->ctx);
}

/* Where the kernel does not list them: the first generation of the other walk. */
static int children_of_tree(int pid, struct children *c)
{
	struct cp_tree tree = { 0 };
	int r = cp_tree_walk(&tree, pid);
	bool stop = false;

	for (size_t i = 1; i < tree.count && r >= 0 && !stop; i++)
		stop = tree.nodes[i].depth > 1 || child(tree.nodes[i].proc.pid, c);
	cp_tree_deinit(&tree);
	return r;
}

int coop_process_children(int pid, coop_process_child_fn *fn, void *ctx)
{
	struct children c = { .fn = fn, .ctx = ctx };
	int r = cp_os_proc_children(pid ? pid : cp_os_pid(), child, &c);

	if (r == -ENOTSUP)
		r = children_of_tree(pid ? pid : cp_os_pid(), &c);
	return r < 0 ? r : c.count;
}

int coop_process_tree(int pid, coop_process_tree_fn *fn, void *ctx)
{
	struct cp_tree tree = { 0 };
	int r = cp_tree_walk(&tree, pid ? pid : cp_os_pid()), count = 0;
	bool stop = false;

	for (size_t i = 1; i < tree.count && r >= 0 && !stop; i++) {
		struct coop_process_info info;

		tell(&tree.nodes[i].proc, tree.nodes[i].depth, &info);
		count++;
		stop = fn(&info, ctx);
	}
	cp_tree_deinit(&tree);
	return r < 0 ? r : count;
}

int coop_subreaper(bool on)
{
	return cp_os_set_subreaper(on);
}
