/* SPDX-License-Identifier: MIT */
/*
 * The outer end: who sends, what is kept, and how it is lost.
 *
 * A sender is the runtime of a nested coop. It is found in the tree of processes when its first
 * datagram comes, and watched by its pidfd from then on: where it goes without having said how its
 * tasks ended, they are lost. The socket keeps what a dead one has sent, so the watch reads it
 * first. A sender that has gone before its first datagram was read is nobody's; a coop waits with
 * its end until it was (outer.c).
 *
 * Invariants
 *   1. A nested task is in the list of one run_task. Its sender is known as long as that lives.
 *   2. Nothing here suspends but the reader and the watches; so a list does not change while
 *      somebody walks over it.
 */
#include "nested.h"
#include "event.h"
#include "proctree.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	FD_LEAST = 20,      /* the descriptor's number: out of the way of scripts */
	KEPT_MAX = 100,     /* of a task */
	SENDERS_MAX = 256,  /* of a job */
	AT_ONCE = 64,       /* datagrams between two looks at the others */
	A_WINDOW_MAX = 500, /* and in a window */
	DEPTH_MAX = 100,    /* of a tree of processes */
};
#define WINDOW_NS COOP_MILLISECONDS(100)

struct sender {
	struct sender *next;
	struct job *job;
	struct run_task *task; /* NULL: it is gone */
	int pid, pidfd;
};

struct nested {
	struct nested *next;
	struct sender *sender; /* NULL: it is gone */
	enum run_state state;
	enum run_outcome outcome;
	int pid;
	uint32_t attempt;
	int64_t first_ns, ended_ns;
	char text[SCREEN_TEXT];
	char path[NESTED_PATH_MAX];
};

struct nested_socket {
	int ours, theirs;
	struct sender *senders;
	size_t sender_count;
	int64_t window_ns;
	unsigned window_count;
};

/* ----------------------------------------------------------------------- the lists */

static void drop(struct run_task *task, struct nested **link)
{
	struct nested *gone = *link;

	*link = gone->next;
	free(gone);
	task->nested_count--;
}

/* The one that is meant: the sender's own, or one that has ended, by a sender that is gone. */
static struct nested *find(const struct run_task *task, const struct sender *sender,
			   const char *path)
{
	struct nested *found = NULL;

	for (struct nested *n = task->nested; n; n = n->next)
		if (strcmp(n->path, path) == 0) {
			if (n->sender == sender)
				return n;
			if (!n->sender && n->state == RUN_ENDED)
				found = n;
		}
	return found;
}

/* Room for one more: what went well is the first to go. */
static bool make_room(struct run_task *task)
{
	if (task->nested_count < KEPT_MAX)
		return true;
	for (struct nested **link = &task->nested; *link; link = &(*link)->next)
		if ((*link)->outcome == OUTCOME_OK) {
			drop(task, link);
			return true;
		}
	return false;
}

static struct nested *add(struct run_task *task, const char *path)
{
	struct nested *n = make_room(task) ? calloc(1, sizeof *n) : NULL;
	struct nested **link = &task->nested;

	if (!n)
		return NULL;
	snprintf(n->path, sizeof n->path, "%s", path);
	n->first_ns = n->ended_ns = COOP_NEVER;
	while (*link)
		link = &(*link)->next;
	*link = n;
	task->nested_count++;
	return n;
}

void nested_forget(struct run_task *task)
{
	struct nested_socket *socket = task->job->nested;

	while (task->nested)
		drop(task, &task->nested);
	task->nested_more = 0;
	for (struct sender *s = socket ? socket->senders : NULL; s; s = s->next)
		if (s->task == task)
			s->task = NULL;
}

/* ---------------------------------------------------------------------- what they say */

static enum run_outcome outcome_of(const char *word)
{
	for (int i = OUTCOME_NONE + 1; word && i <= OUTCOME_LOST; i++)
		if (strcmp(report_outcome_word((enum run_outcome)i), word) == 0)
			return (enum run_outcome)i;
	return OUTCOME_NONE;
}

/* Others get it under the name of the task, as the path "task/nested". */
static void pass_on(struct run_task *task, const char *nested, struct event event)
{
	char path[NESTED_PATH_MAX + 300];

	snprintf(path, sizeof path, "%s/%s", task->name, nested);
	event.task = path;
	event.group = task->plan->group->path;
	screen_tell_nested(task->job, &event);
}

static void note(struct nested *n, const struct event *e)
{
	static const enum run_state states[] = {
		[SCREEN_STARTED] = RUN_RUNNING, [SCREEN_READY] = RUN_READY,
		[SCREEN_ATTEMPT] = RUN_PAUSING, [SCREEN_STOPPING] = RUN_STOPPING,
		[SCREEN_SIGNAL] = RUN_STOPPING, [SCREEN_ENDED] = RUN_ENDED,
	};

	n->state = states[e->kind];
	n->pid = n->state == RUN_ENDED ? 0 : e->pid;
	n->attempt = e->attempt;
	if (n->first_ns == COOP_NEVER && e->attempt)
		n->first_ns = coop_now();
	if (e->text)
		snprintf(n->text, sizeof n->text, "%s", e->text);
	n->outcome = OUTCOME_NONE;
	n->ended_ns = COOP_NEVER;
	if (n->state != RUN_ENDED)
		return;
	n->ended_ns = coop_now();
	n->outcome = outcome_of(e->outcome);
	if (n->outcome == OUTCOME_NONE)
		n->outcome = e->code ? OUTCOME_FAILED : OUTCOME_OK;
}

/* Whether it is the first that is heard of one: each is counted once. */
static bool is_first(const struct event *e)
{
	return e->kind == SCREEN_STARTED ? e->attempt == 1
					 : e->kind == SCREEN_ENDED && !e->attempt;
}

/* One that has ended and begins again is another one. */
static void keep(struct nested *n, struct sender *sender, const struct event *e)
{
	if (n->state == RUN_ENDED)
		n->first_ns = COOP_NEVER;
	n->sender = sender;
	note(n, e);
}

static void hear(struct sender *sender, const struct event *e)
{
	char path[NESTED_PATH_MAX];
	int len = snprintf(path, sizeof path, "%s%s%s", e->group, *e->group ? "/" : "", e->task);
	struct nested *n;

	if (e->kind == EVENT_FINISHED || len >= (int)sizeof path)
		return;
	n = find(sender->task, sender, path);
	if (!n)
		n = add(sender->task, path);
	if (n)
		keep(n, sender, e);
	else
		sender->task->nested_more += is_first(e);
	pass_on(sender->task, path, *e);
}

/* Nobody will say any more how they have ended. NULL: of any sender. */
static void lose(struct run_task *task, const struct sender *sender)
{
	struct event lost = { .kind = SCREEN_ENDED,
			      .code = STATUS_SIGNAL + SIGKILL,
			      .text = "lost: its coop has gone",
			      .seconds = -1 };

	lost.outcome = report_outcome_word(OUTCOME_LOST);
	for (struct nested *n = task->nested; n; n = n->next) {
		if (sender && n->sender != sender)
			continue;
		n->sender = NULL;
		if (n->state == RUN_ENDED)
			continue;
		lost.attempt = n->attempt;
		note(n, &lost);
		pass_on(task, n->path, lost);
	}
}

/* ------------------------------------------------------------------------ senders */

static struct run_task *live_with(const struct job *job, int pid)
{
	struct run_task *task = job->live;

	while (task && task->pid != pid)
		task = task->live_next;
	return task;
}

/* Up the tree to the leader of a task. One whose parents have gone may still be in its group. */
static struct run_task *task_of(const struct job *job, int pid)
{
	struct coop_process_info proc = { .parent = pid };

	for (int i = 0; i < DEPTH_MAX && proc.parent > 1 && proc.parent != getpid(); i++) {
		struct run_task *task = live_with(job, proc.parent);

		if (task || coop_process_info(proc.parent, &proc) < 0)
			return task;
		task = i ? NULL : live_with(job, proc.group);
		if (task)
			return task;
	}
	return NULL;
}

static void sender_leave(struct sender *sender)
{
	struct nested_socket *socket = sender->job->nested;
	struct sender **link = &socket->senders;

	while (*link != sender)
		link = &(*link)->next;
	*link = sender->next;
	socket->sender_count--;
	coop_close(sender->pidfd);
	free(sender);
}

static void drain(struct job *job, unsigned max);

/* A task of the plumbing: the sender's end. */
static int watch(void *arg)
{
	struct sender *sender = arg;
	int r = coop_poll(sender->pidfd, POLLIN);

	if (r >= 0)
		drain(sender->job, A_WINDOW_MAX);
	if (sender->task)
		lose(sender->task, sender);
	sender_leave(sender);
	return coop_is_cancel(r) ? r : 0;
}

/* It is who it was when its descriptor was opened, as long as that says it lives. */
static struct sender *sender_new(struct job *job, int pid)
{
	struct sender *sender = calloc(1, sizeof *sender);
	struct pollfd gone = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };

	if (sender)
		*sender = (struct sender){ .job = job,
					   .pid = pid,
					   .pidfd = gone.fd,
					   .task = gone.fd < 0 ? NULL : task_of(job, pid) };
	if (!sender || !sender->task || poll(&gone, 1, 0) != 0 ||
	    coop_spawn_with(&job->plumbing, watch, sender,
			    &(struct coop_spawn_opts){ .name = "nested" }, NULL) < 0) {
		if (gone.fd >= 0)
			close(gone.fd);
		free(sender);
		coop_error_clear();
		return NULL;
	}
	sender->next = job->nested->senders;
	job->nested->senders = sender;
	job->nested->sender_count++;
	return sender;
}

static struct sender *sender_of(struct job *job, int pid)
{
	for (struct sender *s = job->nested->senders; s; s = s->next)
		if (s->pid == pid)
			return s;
	if (pid <= 0 || job->nested->sender_count >= SENDERS_MAX)
		return NULL;
	return sender_new(job, pid);
}

/* ----------------------------------------------------------------------- datagrams */

/* The number of the sender; descriptors that came along are closed. */
static int sender_pid(struct msghdr *msg)
{
	int pid = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t size = c->cmsg_len - CMSG_LEN(0);
		struct ucred who;
		int fd;

		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS && size >= sizeof who) {
			memcpy(&who, CMSG_DATA(c), sizeof who);
			pid = who.pid;
		}
		for (size_t at = 0; c->cmsg_type == SCM_RIGHTS && at + sizeof fd <= size;
		     at += sizeof fd) {
			memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
			close(fd);
		}
	}
	return pid;
}

/* One datagram: 1; nothing there: 0; the socket is of no use any more: -errno. */
static int receive(struct job *job)
{
	char text[EVENT_SIZE_MAX + 1];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec iov = { text, EVENT_SIZE_MAX };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof control };
	ssize_t size = recvmsg(job->nested->ours, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct sender *sender;
	struct event event;
	int pid;

	if (size < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	pid = sender_pid(&msg);
	if (!size && !pid) /* somebody has shut it down: an empty datagram has a sender */
		return -EPIPE;
	if ((msg.msg_flags & MSG_TRUNC) || !event_read(&event, text, (size_t)size))
		return 1;
	sender = sender_of(job, pid);
	if (sender && sender->task)
		hear(sender, &event);
	return 1;
}

static void drain(struct job *job, unsigned max)
{
	while (max-- && receive(job) > 0)
		job->nested->window_count++;
}

/* Time for the others, when there was too much. */
static int pace(struct nested_socket *socket)
{
	int64_t now = coop_now();

	if (now - socket->window_ns >= WINDOW_NS) {
		socket->window_ns = now;
		socket->window_count = 0;
	}
	if (socket->window_count < A_WINDOW_MAX)
		return 0;
	return coop_sleep(socket->window_ns + WINDOW_NS - now);
}

static int reader(void *arg)
{
	struct job *job = arg;
	int r = 0;

	while (r >= 0) {
		int got = 1;

		r = coop_poll(job->nested->ours, POLLIN);
		for (int i = 0; i < AT_ONCE && r >= 0 && got > 0; i++) {
			got = receive(job);
			job->nested->window_count++;
		}
		if (got < 0)
			return 0;
		if (r >= 0)
			r = events_wait(job);
		if (r >= 0)
			r = pace(job->nested);
	}
	return coop_is_cancel(r) ? r : 0;
}

/* ------------------------------------------------------------------------- opening */

/* The number has to be one that the limit of a task allows. */
static int number_for_tasks(const struct job *job, int fd)
{
	int number = fcntl(fd, F_DUPFD_CLOEXEC, FD_LEAST);

	if (number >= 0 && job->has_files && job->files.soft <= (uint64_t)number) {
		close(number);
		number = -1;
	}
	return number;
}

/* Our end has a name, by which it is known in a task. Nobody can connect to it. */
static bool make_pair(int *pair)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	socklen_t len = offsetof(struct sockaddr_un, sun_path) + 1;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return false;
	len += (socklen_t)snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "%s%d-%llx",
				   NESTED_NAME, getpid(), (unsigned long long)coop_now());
	if (bind(pair[0], (struct sockaddr *)&name, len) == 0)
		return true;
	close(pair[0]);
	close(pair[1]);
	return false;
}

int nested_open(struct job *job)
{
	struct nested_socket *socket = calloc(1, sizeof *socket);
	int pair[2], on = 1;

	if (!socket)
		return -ENOMEM;
	if (!make_pair(pair)) {
		free(socket);
		return 0;
	}
	socket->ours = pair[0];
	socket->theirs = number_for_tasks(job, pair[1]);
	close(pair[1]);
	job->nested = socket;
	if (socket->theirs < 0 ||
	    setsockopt(socket->ours, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0)
		return 0;
	return coop_spawn_with(&job->plumbing, reader, job,
			       &(struct coop_spawn_opts){ .name = "nested" }, NULL);
}

void nested_close(struct job *job)
{
	struct nested_socket *socket = job->nested;

	if (!socket)
		return;
	coop_close(socket->ours);
	if (socket->theirs >= 0)
		close(socket->theirs);
	free(socket);
	job->nested = NULL;
}

int nested_fd(const struct job *job)
{
	return job->nested ? job->nested->theirs : -1;
}

void nested_attempt_ended(struct run_task *task)
{
	if (!task->job->nested)
		return;
	drain(task->job, A_WINDOW_MAX);
	lose(task, NULL);
}

/* -------------------------------------------------------------------------- looking */

/* Below which of the others it is: the longest path that its own begins with. */
static const struct nested *parent_of(const struct run_task *task, const struct nested *n)
{
	const struct nested *found = NULL;
	size_t longest = 0;

	for (const struct nested *p = task->nested; p; p = p->next) {
		size_t len = strlen(p->path);

		if (p != n && len > longest && strncmp(n->path, p->path, len) == 0 &&
		    n->path[len] == '/') {
			found = p;
			longest = len;
		}
	}
	return found;
}

static void fill_row(struct nested_row *row, const struct nested *n, const struct nested *parent)
{
	int64_t to = n->ended_ns == COOP_NEVER ? coop_now() : n->ended_ns;

	memcpy(row->path, n->path, sizeof row->path);
	row->label = row->path + (parent ? strlen(parent->path) + 1 : 0);
	row->state = run_state_word(n->state);
	row->outcome = n->outcome;
	row->pid = n->pid;
	row->span_ns = n->first_ns == COOP_NEVER ? 0 : to - n->first_ns;
	snprintf(row->end, sizeof row->end, "%s", n->state == RUN_ENDED ? n->text : "");
}

/* A path gets longer with each step down, so the depth is bounded by that. */
static void add_rows(const struct run_task *task, const struct nested *parent, unsigned depth,
		     struct nested_row *rows, size_t *count)
{
	for (const struct nested *n = task->nested; n; n = n->next) {
		if (parent_of(task, n) != parent)
			continue;
		rows[*count].depth = depth;
		fill_row(&rows[(*count)++], n, parent);
		add_rows(task, n, depth + 1, rows, count);
	}
}

struct nested_row *nested_rows(const struct run_task *task, size_t *ret_count)
{
	struct nested_row *rows =
		task->nested_count ? calloc(task->nested_count, sizeof *rows) : NULL;

	*ret_count = 0;
	if (rows)
		add_rows(task, NULL, 0, rows, ret_count);
	return rows;
}

size_t nested_more(const struct run_task *task)
{
	return task->nested_more;
}

const char *nested_running(const struct run_task *task, char *buf, size_t size)
{
	size_t used = 0;

	*buf = '\0';
	for (const struct nested *n = task->nested; n; n = n->next) {
		if (n->state == RUN_ENDED || parent_of(task, n))
			continue;
		used += (size_t)snprintf(buf + used, size - used, "%s%s", used ? ", " : "",
					 n->path);
		if (used >= size)
			break;
	}
	return buf;
}
