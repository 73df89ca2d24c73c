/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The tree of processes below one of ours, as the library walks it, and the end of it.
 *
 * No runtime is needed: the guard has none. Nothing here waits but proc_end_all.
 */

#include <coop/process.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A growing list of processes as they were when they were looked at. */
struct proc_list {
	struct coop_process_info *items;
	size_t count, room;
};
void proc_list_free(struct proc_list *list);

/* The clock of coop_now, for the guard, which has no run, and for handlers of signals. */
int64_t proc_clock(void);

/* Whether it is below `root`, itself included. And: below one of these, itself left out. */
bool proc_is_below(int pid, int root);
bool proc_is_below_any(int pid, const int *roots, size_t count);

/* All that live below `root`, parents before children, without it. Without memory, or where they
 * change while they are read, some may be missing. */
void proc_descendants(int root, struct proc_list *list);

/* Tells of a child of ours whether it leads a task of its own. */
typedef bool proc_known(int pid, void *ctx);

/*
 * Whether somebody who is no zombie is in that process group, after the end of its leader. Who was
 * below that is our child now, or below one; what is below children that are known is left out.
 */
bool proc_group_lives(int group, proc_known *is_known, void *ctx);

/* The processes of a group that `leader` leads or has led, those that live, at most `max`: how
 * many. The leader is the first one while it lives. */
size_t proc_group(int leader, proc_known *is_known, void *ctx, int *pids, size_t max);

/*
 * One stroke of the end: all below `root` are stopped, until no new ones appear, and then killed.
 * `root` itself is not touched. Returns how many were there that are no zombies.
 */
size_t proc_kill_below(int root);

/*
 * Stops all below `root` that run, until no new ones appear. Those are added to the list; who is
 * stopped already is not. And: continues them, children before parents, and empties the list.
 */
void proc_stop_below(int root, struct proc_list *stopped);
void proc_continue(struct proc_list *stopped);

/* Reaps every child of ours that has ended and is not known. */
void proc_reap(proc_known *is_known, void *ctx);
/* Reaps every child that has ended; whether others are left. It needs no /proc. */
bool proc_reap_all(void);

/* Whether there is no /proc, so that nothing can be seen but who our children are. Then
 * proc_kill_below our own number finds at least these, and only they can be signalled. */
bool proc_is_blind(void);

/* The children of ours that live and are not known: orphans that came to us. */
void proc_orphans(proc_known *is_known, void *ctx, struct proc_list *list);

/* The same without /proc, at the price of a look at every number; their names are not known. */
void proc_orphans_blindly(proc_known *is_known, void *ctx, struct proc_list *list);

/* Signals the process that was found, and no other that has got its number since. */
void proc_signal(const struct coop_process_info *proc, int sig);

/* Kills and reaps until we have no child left; false if some are left after `limit_ns` and a few
 * strokes. */
bool proc_end_all(int64_t limit_ns);

/* Why a process is still there: a text for people. */
const char *proc_why(const struct coop_process_info *proc);
