/* SPDX-License-Identifier: MIT */
/*
 * The seam to the world, for processes: starting, waiting, signalling, terminals.
 *
 * What a start is made of is a struct cp_spawn, complete before the child begins: the child only
 * carries it out, call by call, and needs neither memory nor locks.
 */
#ifndef CP_OS_PROCESS_H
#define CP_OS_PROCESS_H

#include "base/os.h"

#include <coop/process.h>

/* A descriptor of ours, and its number in the child. */
struct cp_spawn_fd {
	int from;
	int to;
	int now; /* the child's: where it is until it is at its place */
};

struct cp_spawn {
	char *const *paths; /* of the program; the first that can be entered is */
	char *const *argv;
	char *const *env;
	const char *cwd;         /* NULL: as it is */
	struct cp_spawn_fd *fds; /* sorted by `to`, each number once; all others are closed */
	size_t fds_count;
	const struct coop_process_limit *limits;
	size_t limits_count;
	int group; /* -1: as it is; 0: its own; else the one to join */
	int death_signal;
	int cgroup;         /* folder; -1: as it is */
	int terminal;       /* number in the child of what becomes its terminal; -1: none */
	int nice;           /* that is added */
	uint32_t umask_set; /* 01000 | mask, or 0 */
	bool session;
	bool subreaper;
	bool keep_ignored;
	bool foreground; /* its group becomes that of standard input's terminal */

	/* the child's answer; valid after a failure */
	enum coop_process_step step;

	/* between the two sides of a start; see os_spawn.c */
	int report;
	int parent;
	volatile bool ran;
	volatile int err_no;
};

/* Starts a process: 0 with its number and its pidfd (-1 where there are none), or -errno. */
int cp_os_spawn(struct cp_spawn *spawn, int *ret_pid, int *ret_pidfd);

/* Has it ended? 0 with its status; -EAGAIN: no; -ECHILD. `pidfd` may be -1. Reaps it or not. */
int cp_os_wait_process(int pid, int pidfd, bool reap, struct coop_process_status *ret_status);
/* The same, but waits for the end. For what cannot wait otherwise. */
int cp_os_wait_blocking(int pid, struct coop_process_status *ret_status);
/* `pidfd` may be -1: then the number must be that of a child that is not reaped. */
int cp_os_signal_process(int pid, int pidfd, int sig);
int cp_os_signal_group(int group, int sig);
int cp_os_pidfd_open(int pid);
int cp_os_set_subreaper(bool on);
int cp_os_pid(void); /* of this process */

/* Both ends are close-on-exec; ours does not block. `ours` is the end that is read, or written. */
int cp_os_child_pipe(bool ours_is_read, int *ret_ours, int *ret_theirs);
/* A pty: our side, which does not block, and the terminal. */
int cp_os_pty(unsigned rows, unsigned columns, bool plain, int *ret_ours, int *ret_theirs);
int cp_os_pty_resize(int fd, unsigned rows, unsigned columns);
int cp_os_open_null(void);
bool cp_os_fd_is_open(int fd);
bool cp_os_is_pty(int fd); /* our side of one */
/* From a descriptor that does not block: how much, 0 at the end; -EAGAIN. */
int cp_os_read_now(int fd, void *buf, size_t bytes);
/* At most `bytes` to a descriptor that does not block; -EAGAIN. No SIGPIPE is raised. */
int cp_os_write_quiet(int fd, const void *data, size_t bytes);

#endif
