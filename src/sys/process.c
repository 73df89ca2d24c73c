/* SPDX-License-Identifier: MIT */
/*
 * A process that was started: its end, its status, its signals. Its start is process_spawn.c, the
 * ways to end it process_stop.c.
 *
 * A wait is one for the pidfd to be readable. Whether it has ended is always asked by waitid of
 * that one process, never of all, so nobody else's child is taken; and first without reaping, so
 * that nothing is lost if the wait is cancelled.
 *
 * Invariants
 *   1. A process is in the registry exactly while it is not REAPED.
 *   2. Its number is used for a signal only while it is RUNNING or ENDED, by the run's own thread
 *      or by who knows that it is; a pidfd can name no other process anyway.
 *   3. A forked child has none of its parent's processes: its registry is empty, and another
 *      thread that held the lock, or was starting one, is not there.
 *   4. At most one task waits at the descriptor (`polling`); when it leaves, for whatever reason,
 *      it wakes the others, who look for themselves.
 */
#include "sys/process.h"

#include "base/forks.h"

#include <coop/io.h>
#include <coop/signal.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define CP_POLL_NS COOP_MILLISECONDS(5) /* where there is no descriptor to wait for */

/* -------------------------------------------------------------------- registry */

static struct coop_process *registry;
static unsigned starting; /* starts that are under way, in any thread */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;

static void after_fork(void)
{
	registry = NULL;
	starting = 0;
}

static struct cp_forked forked = { .lock = &registry_lock, .child = after_fork };
CP_FORKED(forked)

void cp_process_starting(void)
{
	pthread_mutex_lock(&registry_lock);
	starting++;
	pthread_mutex_unlock(&registry_lock);
}

void cp_process_started(struct coop_process *p)
{
	pthread_mutex_lock(&registry_lock);
	starting--;
	if (p) {
		p->forks = cp_forks();
		p->prev = NULL;
		p->next = registry;
		if (registry)
			registry->prev = p;
		registry = p;
	}
	pthread_mutex_unlock(&registry_lock);
}

void cp_process_delist(struct coop_process *p)
{
	pthread_mutex_lock(&registry_lock);
	if (p->forks == cp_forks()) {
		*(p->prev ? &p->prev->next : &registry) = p->next;
		if (p->next)
			p->next->prev = p->prev;
	}
	pthread_mutex_unlock(&registry_lock);
}

static bool is_registered(int pid)
{
	struct coop_process *p;

	for (p = registry; p && p->pid != pid; p = p->next)
		;
	return p != NULL;
}

bool cp_process_is_ours(int pid)
{
	bool ours;

	pthread_mutex_lock(&registry_lock);
	ours = is_registered(pid);
	pthread_mutex_unlock(&registry_lock);
	return ours;
}

/* The lock is held to the end, so that none that has just been started is taken for an orphan. */
int cp_process_reap_orphan(int pid, coop_orphan_fn *fn, void *ctx)
{
	struct coop_process_status status;
	int r = 0;

	if (cp_process_is_ours(pid) || cp_os_wait_process(pid, -1, false, &status) < 0)
		return 0;
	if (fn && !fn(pid, &status, ctx))
		return 0;
	pthread_mutex_lock(&registry_lock);
	if (starting)
		r = -EAGAIN;
	else if (!is_registered(pid))
		r = cp_os_wait_process(pid, -1, true, &status) >= 0;
	pthread_mutex_unlock(&registry_lock);
	return r;
}

/* ------------------------------------------------------------------------- end */

static void set_reaped(struct coop_process *p)
{
	p->state = CP_PROCESS_REAPED;
	cp_process_delist(p);
}

void cp_process_lose(struct coop_process *p)
{
	p->lost = true;
	set_reaped(p);
}

void cp_process_look(struct coop_process *p)
{
	int r;

	if (p->state != CP_PROCESS_RUNNING)
		return;
	r = cp_os_wait_process(p->pid, p->pidfd, false, &p->status);
	if (r >= 0) {
		p->state = CP_PROCESS_ENDED;
	} else if (r == -ECHILD) {
		cp_process_lose(p);
	} /* else it runs, or a look that failed is made again */
}

void cp_process_reap(struct coop_process *p)
{
	if (p->state == CP_PROCESS_REAPED)
		return;
	if (cp_os_wait_blocking(p->pid, &p->status) < 0)
		p->lost = p->state == CP_PROCESS_RUNNING;
	set_reaped(p);
}

int cp_process_result(const struct coop_process *p, struct coop_process_status *ret_status)
{
	if (p->lost)
		return -ECHILD;
	if (ret_status)
		*ret_status = p->status;
	return 0;
}

int cp_process_usable(const struct coop_process *p, struct cp_rt **ret_rt)
{
	struct cp_rt *rt = cp_in_task();

	if (!rt)
		return cp_no_task();
	if (p->rt && p->rt != rt)
		return COOP_EWRONGTHREAD;
	*ret_rt = rt;
	return 0;
}

/* Waits at the descriptor, for all who wait. */
static int wait_at_fd(struct cp_rt *rt, struct coop_process *p)
{
	int r;

	p->polling = true;
	r = cp_process_poll(p->pidfd, POLLIN);
	p->polling = false;
	while (cp_queue_wake(rt, &p->waiters, 0))
		;
	return r;
}

int cp_process_await(struct cp_rt *rt, struct coop_process *p, const char *what)
{
	int r = 0;

	cp_process_look(p);
	while (p->state == CP_PROCESS_RUNNING && r >= 0) {
		struct cp_queue_wait w = { .wait = { .what = what, .on = p } };

		if (!p->polling) {
			r = wait_at_fd(rt, p);
		} else {
			r = cp_cancel_point(rt);
			if (r >= 0)
				r = cp_queue_park(rt, &p->waiters, &w);
		}
		if (r >= 0)
			cp_process_look(p);
	}
	return r;
}

static int wait_for_end(struct coop_process *p, const char *what, bool reap,
			struct coop_process_status *ret_status)
{
	struct cp_rt *rt = NULL;
	int r = cp_process_usable(p, &rt);

	if (r < 0)
		return cp_refuse(r);
	cp_check_frames(rt->body, __builtin_frame_address(0), what);
	cp_process_look(p);
	p->users++;
	r = p->state == CP_PROCESS_RUNNING ? cp_process_await(rt, p, what) : cp_refuse(0);
	p->users--;
	if (r < 0)
		return r;
	if (reap)
		cp_process_reap(p);
	return cp_process_result(p, ret_status);
}

int coop_process_wait(struct coop_process *process, struct coop_process_status *ret_status)
{
	return wait_for_end(process, "coop_process_wait", true, ret_status);
}

int coop_process_wait_end(struct coop_process *process, struct coop_process_status *ret_status)
{
	return wait_for_end(process, "coop_process_wait_end", false, ret_status);
}

int coop_process_look(struct coop_process *process, struct coop_process_status *ret_status)
{
	cp_process_look(process);
	if (process->state == CP_PROCESS_RUNNING)
		return -EAGAIN;
	return cp_process_result(process, ret_status);
}

/* --------------------------------------------------------------------- signals */

int coop_process_signal(struct coop_process *process, int sig)
{
	if (process->state == CP_PROCESS_REAPED)
		return -ESRCH;
	return cp_os_signal_process(process->pid, process->pidfd, sig);
}

/* Where somebody else has reaped it the group's number may be another's: so it is looked first. */
int coop_process_signal_group(struct coop_process *process, int sig)
{
	struct coop_process_status status;

	if (!process->leader)
		return -EPERM;
	if (process->state == CP_PROCESS_REAPED ||
	    cp_os_wait_process(process->pid, process->pidfd, false, &status) == -ECHILD)
		return -ESRCH;
	return cp_os_signal_group(process->pid, sig);
}

/* --------------------------------------------------------------------- streams */

int coop_process_pid(const struct coop_process *process)
{
	return process->pid;
}

int coop_process_fd(const struct coop_process *process, int which)
{
	return which < 0 || which > 2 ? -1 : process->fds[which];
}

int coop_process_take_fd(struct coop_process *process, int which)
{
	int fd = coop_process_fd(process, which);

	for (int i = 0; i < 3; i++)
		if (fd >= 0 && process->fds[i] == fd)
			process->fds[i] = -1;
	return fd;
}

void cp_process_close(const struct coop_process *p, int fd)
{
	if (fd >= 0 && p->rt && p->rt == cp_in_task())
		coop_close(fd); /* the engine may know it */
	else if (fd >= 0)
		cp_os_close(fd);
}

void cp_process_close_fd(struct coop_process *p, int which)
{
	cp_process_close(p, coop_process_take_fd(p, which));
}

void cp_process_close_fds(struct coop_process *p)
{
	for (int i = 0; i < 3; i++)
		cp_process_close_fd(p, i);
}

/*
 * Without a descriptor, and where there is no room to wait for one, it is looked at again after a
 * while: slower, but a process is never left because of that.
 */
int cp_process_poll(int fd, int events)
{
	int r = fd < 0 ? -EBADF : coop_poll(fd, events);

	return r >= 0 || r == COOP_ECANCELED ? r : coop_sleep(CP_POLL_NS);
}

int coop_process_resize(struct coop_process *process, unsigned rows, unsigned columns)
{
	for (int i = 0; i < 3; i++) {
		int r = process->fds[i] < 0 ? -ENOTTY
					    : cp_os_pty_resize(process->fds[i], rows, columns);

		if (r != -ENOTTY)
			return r;
	}
	return -ENOTTY;
}

/* ---------------------------------------------------------------------- status */

bool coop_process_ok(const struct coop_process_status *status)
{
	return !status->signal && !status->code;
}

int coop_process_shell_code(const struct coop_process_status *status)
{
	return status->signal ? (128 + status->signal) & 0xff : status->code;
}

char *coop_process_text(const struct coop_process_status *status, char *buf, size_t size)
{
	if (!size)
		return buf;
	if (status->signal)
		snprintf(buf, size, "killed by %s%s", coop_signal_name(status->signal),
			 status->core ? " (core dumped)" : "");
	else
		snprintf(buf, size, "exit %d", status->code);
	return buf;
}
