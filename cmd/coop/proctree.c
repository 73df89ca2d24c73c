/* SPDX-License-Identifier: MIT */
/*
 * The tree of processes: who lives below us, and how all of them are ended.
 *
 * Whoever loses its parent below a subreaper becomes that one's child, also after setsid and a
 * double fork; so all that a task ever started is below the runtime, or, when that has gone, below
 * the guard.
 *
 * A number may have become another process's between reading and signalling. So a signal goes
 * through a descriptor (pidfd) that was opened first, and only if after that the process still has
 * the parent under which it was found, or has come below us otherwise (to a coop that runs in a
 * task, say): then it is the one that was meant, or one more of ours.
 */
#include "proctree.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	STOP_PASSES = 8, /* so often the tree is read for new ones before the kill */
	STROKES_MIN = 5, /* before it is late: we may have stood still, or have no /proc */
	NAP_MIN_US = 500,
	NAP_MAX_US = 20000,
	PIDS_MAX = 4 << 20, /* the kernel's own limit */
};

void proc_list_free(struct proc_list *list)
{
	free(list->items);
	*list = (struct proc_list){ 0 };
}

static bool list_add(struct proc_list *list, const struct coop_process_info *proc)
{
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 32;
		struct coop_process_info *items = realloc(list->items, room * sizeof *items);

		if (!items)
			return false;
		list->items = items;
		list->room = room;
	}
	list->items[list->count++] = *proc;
	return true;
}

static bool list_has(const struct proc_list *list, size_t from, int pid)
{
	for (size_t i = from; i < list->count; i++)
		if (list->items[i].pid == pid)
			return true;
	return false;
}

int64_t proc_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * COOP_SECONDS(1) + ts.tv_nsec;
}

/* ----------------------------------------------------------------------- the tree */

bool proc_is_below_any(int pid, const int *roots, size_t count)
{
	struct coop_process_info proc = { .parent = pid };

	while (proc.parent > 1 && coop_process_info(proc.parent, &proc) == 0)
		for (size_t i = 0; i < count; i++)
			if (roots[i] == proc.parent)
				return true;
	return false;
}

bool proc_is_below(int pid, int root)
{
	return pid == root || proc_is_below_any(pid, &root, 1);
}

struct children {
	struct proc_list *list;
	int parent;
	proc_known *is_known;
	void *ctx;
};

/* One that is known (where the caller leaves these out) need not be looked at. */
static bool add_child(int pid, void *arg)
{
	struct children *c = arg;
	struct coop_process_info proc;

	if (c->is_known && c->is_known(pid, c->ctx))
		return false;
	return coop_process_info(pid, &proc) >= 0 && proc.parent == c->parent &&
	       !list_add(c->list, &proc);
}

static void add_children(struct proc_list *list, int parent, proc_known *is_known, void *ctx)
{
	struct children c = { list, parent, is_known, ctx };

	(void)!coop_process_children(parent, add_child, &c);
}

static bool add_descendant(const struct coop_process_info *proc, void *list)
{
	return !list_add(list, proc);
}

void proc_descendants(int root, struct proc_list *list)
{
	(void)!coop_process_tree(root, add_descendant, list);
}

/* Those of the group in the list, and in what is below it. */
static size_t pick_group(struct proc_list *list, int group, int *pids, size_t max)
{
	size_t found = 0;

	for (size_t i = 0; i < list->count; i++)
		add_children(list, list->items[i].pid, NULL, NULL);
	for (size_t i = 0; i < list->count && found < max; i++)
		if (list->items[i].group == group && list->items[i].state != 'Z' &&
		    list->items[i].state != 'X')
			pids[found++] = list->items[i].pid;
	proc_list_free(list);
	return found;
}

bool proc_group_lives(int group, proc_known *is_known, void *ctx)
{
	struct proc_list list = { 0 };
	int pid;

	proc_orphans(is_known, ctx, &list);
	return pick_group(&list, group, &pid, 1) > 0;
}

size_t proc_group(int leader, proc_known *is_known, void *ctx, int *pids, size_t max)
{
	struct proc_list list = { 0 };
	struct coop_process_info info;
	size_t count = 0;

	if (max && coop_process_info(leader, &info) == 0 && info.state != 'Z' && info.state != 'X')
		pids[count++] = leader;
	proc_descendants(leader, &list);
	count += pick_group(&list, leader, pids + count, max - count);
	proc_orphans(is_known, ctx, &list);
	return count + pick_group(&list, leader, pids + count, max - count);
}

/* ------------------------------------------------------------------------ signals */

bool proc_is_blind(void)
{
	return access("/proc/self/stat", F_OK) < 0;
}

/* It needs no /proc. A child keeps its number until we reap it. */
static bool is_live_child(int pid)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && !info.si_pid;
}

/* It is where it was found, or one more of ours. */
static bool is_meant(const struct coop_process_info *proc)
{
	struct coop_process_info now;

	return coop_process_info(proc->pid, &now) == 0 && now.state != 'Z' &&
	       (now.parent == proc->parent || proc_is_below(now.parent, getpid()));
}

void proc_signal(const struct coop_process_info *proc, int sig)
{
	int fd = (int)syscall(SYS_pidfd_open, proc->pid, 0);

	if (fd < 0 && errno != ENOSYS)
		return;
	if (proc_is_blind() ? is_live_child(proc->pid) : is_meant(proc)) {
		if (fd >= 0)
			(void)!syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0);
		else
			(void)!kill(proc->pid, sig);
	}
	if (fd >= 0)
		close(fd);
}

/* Looks again after each pass: what is stopped cannot fork. */
void proc_stop_below(int root, struct proc_list *stopped)
{
	struct proc_list list = { 0 };

	for (int pass = 0; pass < STOP_PASSES; pass++) {
		size_t before = stopped->count;

		list.count = 0;
		proc_descendants(root, &list);
		for (size_t i = 0; i < list.count; i++) {
			const struct coop_process_info *proc = &list.items[i];

			if (proc->state == 'Z' || proc->state == 'T' ||
			    list_has(stopped, 0, proc->pid) || !list_add(stopped, proc))
				continue;
			proc_signal(proc, SIGSTOP);
		}
		if (stopped->count == before)
			break;
	}
	proc_list_free(&list);
}

void proc_continue(struct proc_list *stopped)
{
	for (size_t i = stopped->count; i--;)
		proc_signal(&stopped->items[i], SIGCONT);
	stopped->count = 0;
}

/*
 * Every number is asked for whether it is a child of ours: half a second for all that there may be.
 * Orphans of a killed one come to us, and are found the next time.
 */
void proc_orphans_blindly(proc_known *is_known, void *ctx, struct proc_list *list)
{
	struct coop_process_info proc = { .parent = getpid(), .name = "?" };

	for (proc.pid = 2; proc.pid < PIDS_MAX; proc.pid++)
		if (is_live_child(proc.pid) && !(is_known && is_known(proc.pid, ctx)) &&
		    !list_add(list, &proc))
			return;
}

static size_t kill_children_blindly(void)
{
	struct proc_list list = { 0 };
	size_t count;

	proc_orphans_blindly(NULL, NULL, &list);
	for (size_t i = 0; i < list.count; i++)
		proc_signal(&list.items[i], SIGKILL);
	count = list.count;
	proc_list_free(&list);
	return count;
}

size_t proc_kill_below(int root)
{
	struct proc_list stopped = { 0 }, list = { 0 };
	size_t alive = 0;

	if (proc_is_blind())
		return root == getpid() ? kill_children_blindly() : 0;
	proc_stop_below(root, &stopped);
	proc_list_free(&stopped);
	proc_descendants(root, &list);
	for (size_t i = 0; i < list.count; i++) {
		if (list.items[i].state == 'Z')
			continue;
		proc_signal(&list.items[i], SIGKILL);
		alive++;
	}
	proc_list_free(&list);
	return alive;
}

/* ----------------------------------------------------------------------- reaping */

/* Our children that are not known, those that have ended included. */
static void add_unknown(struct proc_list *list, proc_known *is_known, void *ctx)
{
	add_children(list, getpid(), is_known, ctx);
}

void proc_orphans(proc_known *is_known, void *ctx, struct proc_list *list)
{
	size_t kept = 0;

	add_unknown(list, is_known, ctx);
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i].state != 'Z')
			list->items[kept++] = list->items[i];
	list->count = kept;
}

void proc_reap(proc_known *is_known, void *ctx)
{
	struct proc_list list = { 0 };

	add_unknown(&list, is_known, ctx);
	for (size_t i = 0; i < list.count; i++)
		if (list.items[i].state == 'Z')
			(void)!waitpid(list.items[i].pid, NULL, WNOHANG);
	proc_list_free(&list);
}

bool proc_reap_all(void)
{
	int pid;

	do
		pid = waitpid(-1, NULL, WNOHANG);
	while (pid > 0 || (pid < 0 && errno == EINTR));
	return pid == 0;
}

bool proc_end_all(int64_t limit_ns)
{
	int64_t end = proc_clock() + limit_ns;
	useconds_t nap = NAP_MIN_US;

	for (int strokes = 0; proc_reap_all(); strokes++) {
		if (strokes >= STROKES_MIN && proc_clock() > end)
			return false;
		proc_kill_below(getpid());
		usleep(nap);
		nap = nap * 2 > NAP_MAX_US ? NAP_MAX_US : nap * 2;
	}
	return true;
}

const char *proc_why(const struct coop_process_info *proc)
{
	if (proc->state == 'D')
		return "in an uninterruptible wait of the kernel";
	if (kill(proc->pid, 0) < 0 && errno == EPERM)
		return "it belongs to another user";
	return "it does not end";
}
