/* SPDX-License-Identifier: MIT */
/*
 * How many run at once: locks, the places of -j, and make's tokens.
 *
 * All take them in one order (locks by name, places from the root down, a token last), so nobody
 * waits for somebody who waits for him. A service takes neither places nor tokens: it would keep
 * them for ever, and whoever needs it could never start.
 *
 * make's jobserver: who was started by make has one token without asking, and reads one byte for
 * each further task; it writes that byte back.
 */
#include "run.h"
#include "screen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct run_lock {
	const char *name;
	struct coop_mutex mutex;
};

struct run_locks {
	size_t count;
	struct run_lock items[];
};

struct run_jobserver {
	int read_fd, write_fd;
	bool is_own_taken;          /* the token that needs no asking */
	struct coop_mutex reading;  /* one reads at a time */
	struct coop_scope *waiting; /* of who reads */
};

enum { TOKEN_NONE = -2, TOKEN_OWN = -1 }; /* else the byte */

/* ------------------------------------------------------------------------- locks */

static struct coop_mutex *find_lock(struct run_locks *locks, const char *name)
{
	size_t i = 0;

	while (i < locks->count && strcmp(locks->items[i].name, name) != 0)
		i++;
	if (i == locks->count) { /* only while they are collected: there is room for all */
		locks->items[i].name = name;
		locks->items[i].mutex = (struct coop_mutex)COOP_MUTEX_INIT;
		locks->count++;
	}
	return &locks->items[i].mutex;
}

static int open_locks(struct job *job)
{
	const struct plan *plan = job->plan;
	size_t count = 0;

	for (size_t i = 0; i < plan->task_count; i++)
		count += plan->tasks[i]->locks.count;
	job->locks = calloc(1, sizeof *job->locks + count * sizeof(struct run_lock));
	if (!job->locks)
		return -ENOMEM;
	for (size_t i = 0; i < plan->task_count; i++)
		for (size_t k = 0; k < plan->tasks[i]->locks.count; k++)
			find_lock(job->locks, plan->tasks[i]->locks.items[k]);
	return 0;
}

static void give_locks(struct run_task *task, size_t count)
{
	while (count--)
		(void)!coop_mutex_unlock(
			find_lock(task->job->locks, task->plan->locks.items[count]));
}

static int take_locks(struct run_task *task)
{
	for (size_t i = 0; i < task->plan->locks.count; i++) {
		int r = coop_mutex_lock(find_lock(task->job->locks, task->plan->locks.items[i]));

		if (r < 0) {
			give_locks(task, i);
			return r;
		}
	}
	return 0;
}

/* ------------------------------------------------------------------------ places */

static void give_places(struct run_group *from, const struct run_group *to)
{
	for (; from != to; from = from->parent)
		if (from->plan->jobs_max != COOP_UNLIMITED)
			(void)!coop_sem_release(&from->places);
}

/* From the root down: the way back is the parents. */
static int take_places(struct run_group *group)
{
	int r = group->parent ? take_places(group->parent) : 0;

	if (r < 0 || group->plan->jobs_max == COOP_UNLIMITED)
		return r;
	r = coop_sem_acquire(&group->places);
	if (r < 0 && group->parent)
		give_places(group->parent, NULL);
	return r;
}

/* ----------------------------------------------------------------- make's tokens */

/* What make gave us is shared with others: opened anew it has a mode of its own. */
static int open_again(int fd, int flags)
{
	char path[32];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return open(path, flags | O_NONBLOCK | O_CLOEXEC);
}

/* Without one that works there is no limit but ours; make itself warns in that case. */
static int open_jobserver(struct job *job)
{
	const struct plan_jobserver *plan = &job->plan->jobserver;
	struct run_jobserver *js;

	if (plan->is_lost)
		job_say(job, SAY_DETAIL, "make's jobserver is not there; has the recipe a '+'?");
	if (!plan->fifo && plan->read_fd < 0)
		return 0;
	js = calloc(1, sizeof *js);
	if (!js)
		return -ENOMEM;
	js->reading = (struct coop_mutex)COOP_MUTEX_INIT;
	if (plan->fifo) {
		js->read_fd = open(plan->fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		js->write_fd = js->read_fd < 0 ? -1 : open_again(js->read_fd, O_WRONLY);
	} else {
		js->read_fd = open_again(plan->read_fd, O_RDONLY);
		js->write_fd = open_again(plan->write_fd, O_WRONLY);
	}
	if (js->read_fd >= 0 && js->write_fd >= 0) {
		job->jobserver = js;
		return 0;
	}
	job_say(job, SAY_DETAIL, "make's jobserver cannot be reached: %s", strerror(errno));
	free(js);
	return 0;
}

/* Reads a byte; given up where our own token becomes free. 1: look again. */
static int read_token(struct run_jobserver *js, struct run_task *task)
{
	struct coop_scope scope = COOP_SCOPE_INIT;
	unsigned char byte;
	int r;

	coop_scope_open(&scope, NULL);
	js->waiting = &scope;
	r = coop_read(js->read_fd, &byte, 1);
	js->waiting = NULL;
	if (r == 1)
		task->token = byte;
	r = coop_scope_close(&scope, r == 0 ? -EPIPE : r);
	return r < 0 ? r : task->token == TOKEN_NONE;
}

static int take_token(struct run_task *task)
{
	struct run_jobserver *js = task->job->jobserver;
	int r = coop_mutex_lock(&js->reading);

	if (r < 0)
		return r;
	for (r = 1; r == 1;) {
		if (!js->is_own_taken) {
			js->is_own_taken = true;
			task->token = TOKEN_OWN;
			break;
		}
		r = read_token(js, task);
	}
	(void)!coop_mutex_unlock(&js->reading);
	if (r < 0 && !coop_is_cancel(r)) { /* make has gone: there is no limit any more */
		coop_error_clear();
		r = 0;
	}
	return r < 0 ? r : 0;
}

static void give_token(struct run_task *task)
{
	struct run_jobserver *js = task->job->jobserver;
	unsigned char byte = (unsigned char)task->token;

	if (task->token == TOKEN_OWN) {
		js->is_own_taken = false;
		if (js->waiting)
			coop_scope_cancel(js->waiting, "our own token is free");
	} else if (task->token != TOKEN_NONE && write(js->write_fd, &byte, 1) != 1) {
		job_say(task->job, SAY_ALERT, "make's jobserver: %s", strerror(errno));
	}
	task->token = TOKEN_NONE;
}

/* --------------------------------------------------------------------------- all */

int run_limit_take(struct run_task *task)
{
	int r = take_locks(task);

	task->token = TOKEN_NONE;
	if (r < 0 || task->plan->is_service)
		return r;
	r = take_places(task->group);
	if (r >= 0 && task->job->jobserver) {
		r = take_token(task);
		if (r < 0)
			give_places(task->group, NULL);
	}
	if (r < 0)
		give_locks(task, task->plan->locks.count);
	return r;
}

void run_limit_give(struct run_task *task)
{
	if (!task->plan->is_service) {
		if (task->job->jobserver)
			give_token(task);
		give_places(task->group, NULL);
	}
	give_locks(task, task->plan->locks.count);
}

int run_limit_open(struct job *job)
{
	int r = open_locks(job);

	return r < 0 ? r : open_jobserver(job);
}

void run_limit_close(struct job *job)
{
	if (job->jobserver) {
		coop_close(job->jobserver->read_fd);
		close(job->jobserver->write_fd);
	}
	free(job->jobserver);
	free(job->locks);
}
