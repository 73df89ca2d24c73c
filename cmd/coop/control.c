/* SPDX-License-Identifier: MIT */
/*
 * The server side of the control socket: tasks of the plumbing, one for each connection.
 *
 * The socket is in a folder that only we can enter, or where --control says, and who connects must
 * be of the same user, or root. It is taken away again only if what has its name is still the
 * socket that was made.
 */
#include "control.h"

#include "screen.h"
#include "table.h"
#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define REQUEST_NS COOP_SECONDS(5)       /* for a request to arrive */
#define FOLLOW_NS COOP_MILLISECONDS(100) /* between looks at a log that is followed */

enum {
	WORDS_MAX = CONTROL_REQUEST_MAX / 2, /* no request has more: there are blanks, too */
	LAST_LOOKS = 100,                    /* for answers, when the job has ended */
};

struct control {
	int fd;
	uint32_t open; /* connections */
	dev_t device;
	ino_t inode;
	char path[CONTROL_PATH_MAX];
};

struct request {
	struct job *job;
	int fd;
	char text[CONTROL_REQUEST_MAX];
	char *words[WORDS_MAX + 1];
	size_t count;
};

/* ----------------------------------------------------------------------- answers */

static int send_all(int fd, const char *data, size_t size)
{
	while (size) {
		int r = coop_send(fd, data, size, 0);

		if (r < 0)
			return r;
		data += r;
		size -= (size_t)r;
	}
	return 0;
}

COOP_PRINTF(2, 3)
static int answer(const struct request *q, const char *format, ...)
{
	char text[1024];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	return send_all(q->fd, text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
}

static struct run_task *find_task(const struct job *job, const char *name)
{
	for (size_t i = 0; i < job->first_final; i++)
		if (strcmp(job->tasks[i].name, name) == 0)
			return &job->tasks[i];
	for (struct run_task *task = job->live; task; task = task->live_next)
		if (strcmp(task->name, name) == 0)
			return task;
	return NULL;
}

static int no_task(const struct request *q, const char *name)
{
	struct text_near near = { .wrong = name };
	int r;

	for (size_t i = 0; i < q->job->first_final; i++)
		text_near_offer(&near, q->job->tasks[i].name);
	r = answer(q, "error no task %s%s%s%s\n", name, near.best ? "; did you mean " : "",
		   near.best ? near.best : "", near.best ? "?" : "");
	return r < 0 ? r : 1;
}

/* Every task that was named has to be there before anything is done. */
static int check_names(const struct request *q)
{
	for (size_t i = 1; i < q->count; i++)
		if (!find_task(q->job, q->words[i]))
			return no_task(q, q->words[i]);
	return 0;
}

/* ---------------------------------------------------------------------- ps, tree */

static int do_table(const struct request *q, void (*write)(const struct job *job, struct pen *pen))
{
	struct pen pen = { 0 };
	int r;

	pause_look_at_tasks(q->job);
	pen_text(&pen, "ok\n");
	write(q->job, &pen);
	r = pen.is_short ? -ENOMEM : send_all(q->fd, pen.bytes, pen.used);
	pen_free(&pen);
	return r;
}

/* -------------------------------------------------------------------------- logs */

/* Where the last `lines` lines of what is kept begin. */
static uint64_t start_of(const struct tail *tail, unsigned long lines)
{
	static char buf[TAIL_MAX];
	size_t size = tail_read(tail, 0, buf, sizeof buf), at = size;

	while (at > 0 && (buf[at - 1] != '\n' || at == size || lines-- > 1))
		at--;
	return tail->total - (size - at);
}

static int put_tail(const struct request *q, const struct run_task *task, uint64_t *from)
{
	char buf[2048];
	int r = 0;

	while (r >= 0 && *from < task->tail.total) {
		uint64_t first =
			task->tail.total -
			(task->tail.total < task->tail.room ? task->tail.total : task->tail.room);
		size_t size;

		*from = *from < first ? first : *from;
		size = tail_read(&task->tail, *from, buf, sizeof buf);
		*from += size;
		r = send_all(q->fd, buf, size);
	}
	return r;
}

/* logs LINES FOLLOW [TASK]...: each in turn, then, if wanted, what comes. */
static int do_logs(const struct request *q, unsigned long lines, bool is_follow)
{
	struct job *job = q->job;
	uint64_t *from = calloc(job->first_final + 1, sizeof *from);
	bool is_all = q->count == 1;
	int r = from ? answer(q, "ok\n") : -ENOMEM;
	size_t left;

	for (size_t i = 0; i < job->first_final && r >= 0; i++)
		from[i] = start_of(&job->tasks[i].tail, lines);
	do {
		left = 0;
		for (size_t i = 0; i < job->first_final && r >= 0; i++) {
			bool is_wanted = is_all;

			for (size_t k = 1; k < q->count; k++)
				is_wanted |= find_task(job, q->words[k]) == &job->tasks[i];
			if (is_wanted)
				r = put_tail(q, &job->tasks[i], &from[i]);
			left += is_wanted && job->tasks[i].state != RUN_ENDED;
		}
	} while (is_follow && left && r >= 0 && (r = coop_sleep(FOLLOW_NS)) >= 0);
	free(from);
	return r;
}

/* ----------------------------------------------------------------- stop, restart */

static int do_stop(const struct request *q)
{
	struct job *job = q->job;
	int r = 0;

	if (q->count == 1) {
		ladder_stop(job, "coop stop");
		return answer(q, "ok\n");
	}
	for (size_t i = 1; i < q->count; i++) {
		struct run_task *task = find_task(job, q->words[i]);

		if (task->state == RUN_ENDED)
			continue;
		task->is_asked = true;
		coop_scope_cancel(&task->scope, "coop stop");
		if (task->is_final && task->wait_scope) /* it is shielded from all else */
			coop_scope_cancel(task->wait_scope, "coop stop");
	}
	for (size_t i = 1; i < q->count && r >= 0; i++) {
		struct run_task *task = find_task(job, q->words[i]);

		r = task ? coop_event_wait(&task->ended) : 0;
	}
	return r < 0 ? r : answer(q, "ok\n");
}

/* One that runs is stopped, and its next attempt is the first; one that has ended lives again. */
static int restart(struct run_task *task)
{
	if (task->state == RUN_ENDED)
		return run_again(task);
	if (task->wait_scope) {
		task->is_restart_asked = true;
		coop_scope_cancel(task->wait_scope, "coop restart");
	}
	return 0;
}

static int do_restart(const struct request *q)
{
	char why[SCREEN_TEXT + RUN_WHY_SIZE];

	for (size_t i = 1; i < q->count; i++) {
		const struct run_task *task = find_task(q->job, q->words[i]);

		if (task->is_final)
			return answer(q, "error %s is a --finally: it runs once\n", task->name);
		if (task->state == RUN_ENDED && !run_may_again(task, why, sizeof why))
			return answer(q, "error %s\n", why);
		if (task->state != RUN_ENDED && !task->wait_scope)
			return answer(q, "error %s cannot be restarted now: it is %s\n",
				      task->name, run_state_word(task->state));
	}
	for (size_t i = 1; i < q->count; i++) {
		struct run_task *task = find_task(q->job, q->words[i]);
		int r = restart(task);

		if (r < 0)
			return answer(q, "error %s cannot be started: %s\n", task->name,
				      coop_code_text(r));
	}
	return answer(q, "ok\n");
}

/* -------------------------------------------------------------------- connections */

static int read_request(void *arg)
{
	struct request *q = arg;
	size_t used = 0;
	char *save, *end = NULL;

	while (!end) {
		int r = coop_read(q->fd, q->text + used, sizeof q->text - 1 - used);

		if (r <= 0)
			return r < 0 ? r : -EPROTO;
		used += (size_t)r;
		end = memchr(q->text, '\n', used);
		if (!end && used == sizeof q->text - 1)
			return -EMSGSIZE;
	}
	*end = '\0';
	for (char *word = strtok_r(q->text, " ", &save); word && q->count < WORDS_MAX;
	     word = strtok_r(NULL, " ", &save))
		q->words[q->count++] = word;
	return q->count ? 0 : -EPROTO;
}

static int obey(struct request *q)
{
	const char *verb = q->words[0];
	unsigned long lines = 0;
	bool is_follow = false;
	int r;

	if (strcmp(verb, "logs") == 0 && q->count >= 3) {
		lines = strtoul(q->words[1], NULL, 10);
		is_follow = strcmp(q->words[2], "follow") == 0;
		memmove(&q->words[1], &q->words[3], (q->count - 3) * sizeof q->words[0]);
		q->count -= 2;
	}
	r = check_names(q);
	if (r)
		return r;
	if (strcmp(verb, "ps") == 0)
		return do_table(q, table_list);
	if (strcmp(verb, "tree") == 0)
		return do_table(q, table_tree);
	if (strcmp(verb, "logs") == 0)
		return do_logs(q, lines, is_follow);
	if (strcmp(verb, "stop") == 0)
		return do_stop(q);
	if (strcmp(verb, "restart") == 0)
		return do_restart(q);
	return answer(q, "error no such request: %.100s\n", verb);
}

static bool is_trusted(int fd)
{
	struct ucred who;
	socklen_t len = sizeof who;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
	       (who.uid == geteuid() || who.uid == 0);
}

/* Whatever happens on a connection is no failure of the job. */
static int connection(void *arg)
{
	struct request *q = arg;
	int r = is_trusted(q->fd) ? coop_fail_after(REQUEST_NS, read_request, q) : -EPERM;

	if (r >= 0)
		r = obey(q);
	coop_error_clear();
	coop_close(q->fd);
	q->job->control->open--;
	free(q);
	return coop_is_cancel(r) ? r : 0;
}

static int serve(void *arg)
{
	struct job *job = arg;

	for (;;) {
		int fd = coop_accept(job->control->fd, NULL, NULL);
		struct request *q;

		if (coop_is_cancel(fd) || fd == COOP_ECLOSED)
			return fd == COOP_ECLOSED ? 0 : fd;
		q = fd < 0 ? NULL : calloc(1, sizeof *q);
		if (q) {
			*q = (struct request){ .job = job, .fd = fd };
			if (coop_spawn(&job->plumbing, connection, q) >= 0) {
				job->control->open++;
				continue;
			}
			free(q);
		}
		if (fd >= 0)
			coop_close(fd);
		else if (coop_sleep(COOP_MILLISECONDS(100)) < 0) /* out of descriptors, say */
			return COOP_ECANCELED;
	}
}

/* ------------------------------------------------------------------------- opening */

static bool find_path(const struct job *job, char *path)
{
	char dir[CONTROL_PATH_MAX];
	int len;

	if (job->plan->control)
		len = snprintf(path, CONTROL_PATH_MAX, "%s", job->plan->control);
	else if (!control_dir(dir, sizeof dir) || (mkdir(dir, 0700) < 0 && errno != EEXIST) ||
		 !control_is_private(dir))
		return false;
	else
		len = snprintf(path, CONTROL_PATH_MAX, "%s/%d.sock", dir, job->guard->pid);
	return len > 0 && len < CONTROL_PATH_MAX;
}

static int make_socket(struct control *c)
{
	struct stat st;

	c->fd = control_bind(c->path);
	if (c->fd < 0)
		return c->fd;
	if (lstat(c->path, &st) < 0)
		return -errno;
	c->device = st.st_dev;
	c->inode = st.st_ino;
	return 0;
}

/* What was asked for by name must be; there is no usual place where the folder is not ours. */
static int no_socket(struct job *job, const char *path, int r)
{
	const char *wanted = job->plan->control;
	const char *why = r == -EADDRINUSE ? "another one listens there"
			  : r == -ENOTSOCK ? "it is there, and no socket"
			  : r == -EBUSY    ? "it is there, and its folder is locked by another one"
					   : strerror(-r);

	if (wanted)
		return job_refuse_why(job, r, "--control", wanted, why);
	job_say(job, SAY_DETAIL, "no control socket: %s: %s", *path ? path : "its folder", why);
	return 0;
}

int control_open(struct job *job)
{
	struct control *c = calloc(1, sizeof *c);
	int r = 0;

	if (!c)
		return -ENOMEM;
	c->fd = -1;
	if (!find_path(job, c->path))
		r = -EACCES;
	if (r >= 0)
		r = make_socket(c);
	if (r < 0) {
		if (c->fd >= 0)
			close(c->fd);
		r = no_socket(job, c->path, r);
		free(c);
		return r;
	}
	job->control = c;
	return coop_spawn_with(&job->plumbing, serve, job,
			       &(struct coop_spawn_opts){ .name = "control" }, NULL);
}

/* Those who ask get what there is still to tell: the last lines of a log that they follow. It is
 * turns of the loop that count, not the time: whoever is due has one, on a busy machine too. */
static void await_answers(const struct control *c)
{
	for (int i = 0; i < LAST_LOOKS && c->open; i++)
		if (coop_sleep(COOP_MILLISECONDS(10)) < 0)
			return;
}

void control_close(struct job *job)
{
	struct control *c = job->control;
	struct stat st;

	if (!c)
		return;
	if (lstat(c->path, &st) == 0 && st.st_dev == c->device && st.st_ino == c->inode)
		unlink(c->path);
	coop_close(c->fd);
	await_answers(c);
}

void control_free(struct job *job)
{
	free(job->control);
}
