/* SPDX-License-Identifier: MIT */
/* Processes inside: what the files process*.c share. */
#ifndef CP_PROCESS_H
#define CP_PROCESS_H

#include "base/os_proc.h"
#include "base/os_process.h"
#include "core/park.h"

#include <poll.h>

/*
 *   RUNNING --ends--> ENDED --reaped--> REAPED        RUNNING --taken by others--> REAPED
 *
 *   RUNNING  its number is its own; `status` is not known
 *   ENDED    seen to have ended; its number is its own still
 *   REAPED   its number may be another's: nothing is signalled any more
 *
 * All live ones of the process are in one list, so that a child that belongs to nobody can be told
 * from one that does: see process_orphans.c.
 */
enum cp_process_state { CP_PROCESS_RUNNING, CP_PROCESS_ENDED, CP_PROCESS_REAPED };

struct coop_process {
	struct cp_rt *rt; /* NULL: its run has ended */
	struct cp_debt debt;
	struct coop_process *next; /* of all that are not reaped */
	struct coop_process *prev;
	uint32_t forks; /* of the process in whose list it is */
	int pid;
	int pidfd; /* -1: the system has none */
	uint8_t state;
	bool lost;      /* reaped by somebody else: -ECHILD for all who ask */
	bool leader;    /* of a group of its own */
	bool polling;   /* a task waits at the descriptor; others queue in `waiters` */
	uint32_t users; /* calls that wait for its end, and will look at it once more */
	bool stop_slowly;
	uint8_t stop_count;
	struct cp_queue waiters;
	struct coop_process_status status;
	int fds[3]; /* our ends; a pty is in all places of its streams */
	struct coop_process_rung stop[COOP_PROCESS_RUNGS_MAX];
	char name[COOP_NAME_MAX + 1];
};

/* The process belongs to this run: 0, or COOP_EWRONGTHREAD and the like. */
int cp_process_usable(const struct coop_process *p, struct cp_rt **ret_rt);
/* Looks whether it has ended: state and status are brought up to date. */
void cp_process_look(struct coop_process *p);
/* Gives up its number. One that still runs, and was killed, is waited for on the spot. */
void cp_process_reap(struct coop_process *p);
/* Somebody else has reaped it, or will have to. */
void cp_process_lose(struct coop_process *p);
/* Waits for the end, no checkpoint where it has ended. 0 or COOP_ECANCELED, or a failure. */
int cp_process_await(struct cp_rt *rt, struct coop_process *p, const char *what);
/* 0 and the status, or -ECHILD. */
int cp_process_result(const struct coop_process *p, struct coop_process_status *ret_status);
/* Waits for the end of one that was started by `opts`; on a cancel it is stopped. Reaps it. */
int cp_process_run_on(struct coop_process *p, const struct coop_process_opts *opts,
		      struct coop_process_status *ret_status);
/* Kills it if it runs, and reaps it, without a loop. What cannot be killed is left. */
void cp_process_end_now(struct coop_process *p);
/* Is somebody in the group `group` that is no zombie? */
bool cp_process_group_lives(int group);
/* Closes a descriptor that belongs to the process; -1 is fine. */
void cp_process_close(const struct coop_process *p, int fd);
/* Our end of one stream, or of all, is closed; a pty for all its streams at once. */
void cp_process_close_fd(struct coop_process *p, int which);
void cp_process_close_fds(struct coop_process *p);
/* Waits until a descriptor of a process is ready, POLLIN or POLLOUT. A checkpoint. */
int cp_process_poll(int fd, int events);

/*
 * The registry. Between cp_process_starting and cp_process_started there is perhaps a child that is
 * not in it yet; so nobody is taken for an orphan then.
 */
void cp_process_starting(void);
/* `p` is enlisted, if the start went well; NULL if not. */
void cp_process_started(struct coop_process *p);
void cp_process_delist(struct coop_process *p);
/* Is `pid` a process that was started here and is not reaped? */
bool cp_process_is_ours(int pid);
/*
 * Reaps `pid`, a child that has ended, if it is an orphan and `fn` says so. 1: reaped; 0: not;
 * -EAGAIN: it may be one that is being started.
 */
int cp_process_reap_orphan(int pid, coop_orphan_fn *fn, void *ctx);

/* ---- process_tree.c */

/* The processes below one, in the order of the walk. */
struct cp_tree {
	struct cp_tree_node {
		struct cp_proc proc;
		unsigned depth;
	} * nodes; /* the first one is where it began */
	size_t count, room;
};

/* Walks: 0, -ESRCH, -ENOMEM ... To be given to cp_tree_deinit in any case. */
int cp_tree_walk(struct cp_tree *tree, int pid);
void cp_tree_deinit(struct cp_tree *tree);

#endif
