/* SPDX-License-Identifier: MIT */
/*
 * The tree of processes: who lives below us, and how all of them are ended.
 *
 * Whoever loses its parent below a subreaper becomes that one's child, also after setsid and a
 * double fork; so all that a task ever started is below the runtime, or, when that has gone, below
 * the guard. The list of a process's children is in /proc/PID/task/TID/children; a kernel without
 * it is asked for all processes and their parents.
 *
 * A number may have become another process's between reading and signalling. So a signal goes
 * through a descriptor (pidfd) that was opened first, and only if after that the process still has
 * the parent under which it was found: then it is the one that was meant, or one more of ours.
 */
#include "proctree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	STOP_PASSES = 8, /* so often the tree is read for new ones before the kill */
	NAP_MIN_US = 500,
	NAP_MAX_US = 20000,
};

void proc_list_free(struct proc_list *list)
{
	free(list->items);
	*list = (struct proc_list){ 0 };
}

static bool list_add(struct proc_list *list, const struct proc *proc)
{
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 32;
		struct proc *items = realloc(list->items, room * sizeof *items);

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

/* A small file as a text: its length, or -errno. */
static ssize_t read_text(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		n = -errno;
	close(fd);
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

int proc_read(int pid, struct proc *ret_proc)
{
	char path[32], text[512], *name, *end;
	struct proc p = { .pid = pid };
	ssize_t n;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	n = read_text(path, text, sizeof text);
	if (n < 0)
		return (int)n;
	/* "PID (NAME) STATE PARENT GROUP ...", and the name may hold anything. */
	name = strchr(text, '(');
	end = strrchr(text, ')');
	if (!name || !end || sscanf(end + 1, " %c %d %d", &p.state, &p.parent, &p.group) != 3)
		return -EIO;
	*end = '\0';
	snprintf(p.name, sizeof p.name, "%s", name + 1);
	*ret_proc = p;
	return 0;
}

/* ----------------------------------------------------------------------- the tree */

bool proc_is_below(int pid, int root)
{
	struct proc proc = { .parent = pid };

	while (proc.parent != root && proc.parent > 1)
		if (proc_read(proc.parent, &proc) < 0)
			return false;
	return proc.parent == root;
}

/* Adds those whose numbers are in the text, if they are children of `parent`. Those that are known
 * (where the caller leaves these out) need not be read. */
static void add_numbers(struct proc_list *list, const char *text, int parent, proc_known *is_known,
			void *ctx)
{
	char *end;

	for (long pid = strtol(text, &end, 10); end != text; pid = strtol(text, &end, 10)) {
		struct proc proc;

		text = end;
		if (is_known && is_known((int)pid, ctx))
			continue;
		if (proc_read((int)pid, &proc) == 0 && proc.parent == parent &&
		    !list_add(list, &proc))
			return;
	}
}

/* The children that one thread of `parent` has; false where the kernel has no such list. */
static bool add_children_of_thread(struct proc_list *list, int parent, const char *thread,
				   proc_known *is_known, void *ctx)
{
	char path[64], *text = NULL;
	size_t size = 0;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/task/%s/children", parent, thread);
	file = fopen(path, "re");
	if (!file)
		return errno == ESRCH || access("/proc/self/task", F_OK) < 0 ||
		       access("/proc/thread-self/children", F_OK) == 0;
	if (getdelim(&text, &size, '\0', file) > 0)
		add_numbers(list, text, parent, is_known, ctx);
	free(text);
	fclose(file);
	return true;
}

static bool add_children(struct proc_list *list, int parent, proc_known *is_known, void *ctx)
{
	char path[32];
	struct dirent *entry;
	bool known = true;
	DIR *dir;

	if (parent == getpid()) { /* we have one thread that starts processes */
		snprintf(path, sizeof path, "%d", parent);
		return add_children_of_thread(list, parent, path, is_known, ctx);
	}
	snprintf(path, sizeof path, "/proc/%d/task", parent);
	dir = opendir(path);
	if (!dir)
		return true;
	while (known && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			known = add_children_of_thread(list, parent, entry->d_name, is_known, ctx);
	closedir(dir);
	return known;
}

/* All processes there are. */
static void read_all(struct proc_list *all)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	struct proc proc;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		int pid = atoi(entry->d_name);

		if (pid > 0 && proc_read(pid, &proc) == 0 && !list_add(all, &proc))
			break;
	}
	closedir(dir);
}

/* The slow way: of all processes those whose parent is in the list. */
static void descendants_of_all(int root, struct proc_list *list, size_t first)
{
	struct proc_list all = { 0 };

	read_all(&all);
	list->count = first;
	for (size_t next = first;; next++) {
		int parent = next == first ? root : list->items[next - 1].pid;

		for (size_t i = 0; i < all.count; i++)
			if (all.items[i].parent == parent)
				list_add(list, &all.items[i]);
		if (next == list->count)
			break;
	}
	proc_list_free(&all);
}

void proc_descendants(int root, struct proc_list *list)
{
	size_t first = list->count;

	if (!add_children(list, root, NULL, NULL)) {
		descendants_of_all(root, list, first);
		return;
	}
	for (size_t next = first; next < list->count; next++)
		if (list->items[next].state != 'Z')
			add_children(list, list->items[next].pid, NULL, NULL);
}

bool proc_group_lives(int group, proc_known *is_known, void *ctx)
{
	struct proc_list list = { 0 };
	bool found = false;

	proc_orphans(is_known, ctx, &list);
	for (size_t i = 0; i < list.count; i++)
		add_children(&list, list.items[i].pid, NULL, NULL);
	for (size_t i = 0; i < list.count && !found; i++)
		found = list.items[i].group == group && list.items[i].state != 'Z' &&
			list.items[i].state != 'X';
	proc_list_free(&list);
	return found;
}

/* ------------------------------------------------------------------------ signals */

void proc_signal(const struct proc *proc, int sig)
{
	int fd = (int)syscall(SYS_pidfd_open, proc->pid, 0);
	struct proc now;

	if (fd < 0 && errno != ENOSYS)
		return;
	if (proc_read(proc->pid, &now) == 0 && now.state != 'Z' &&
	    (now.parent == proc->parent || now.parent == getpid())) {
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
			const struct proc *proc = &list.items[i];

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

size_t proc_kill_below(int root)
{
	struct proc_list stopped = { 0 }, list = { 0 };
	size_t alive = 0;

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
	size_t kept = 0;

	if (!add_children(list, getpid(), is_known, ctx))
		descendants_of_all(getpid(), list, 0);
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i].parent == getpid() && !is_known(list->items[i].pid, ctx))
			list->items[kept++] = list->items[i];
	list->count = kept;
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

static int64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* Reaps all that can be reaped: whether any child is left. */
static bool reap_all(void)
{
	int pid;

	do
		pid = waitpid(-1, NULL, WNOHANG);
	while (pid > 0 || (pid < 0 && errno == EINTR));
	return pid == 0;
}

bool proc_end_all(int64_t limit_ns)
{
	int64_t end = clock_ns() + limit_ns;
	useconds_t nap = NAP_MIN_US;

	while (reap_all()) {
		if (clock_ns() > end)
			return false;
		proc_kill_below(getpid());
		usleep(nap);
		nap = nap * 2 > NAP_MAX_US ? NAP_MAX_US : nap * 2;
	}
	return true;
}

const char *proc_why(const struct proc *proc)
{
	if (proc->state == 'D')
		return "in an uninterruptible wait of the kernel";
	if (kill(proc->pid, 0) < 0 && errno == EPERM)
		return "it belongs to another user";
	return "it does not end";
}
