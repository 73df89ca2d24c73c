/* SPDX-License-Identifier: MIT */
/*
 * Whether a task is ready: its probe, asked by a task of the plumbing while the process runs.
 *
 * A probe that is asked is asked again and again, each time with a limit of its own; one that is
 * told (log, fd, notify) waits to be told. Either way there is one limit for the whole, and a task
 * that is not ready by then has failed: it is stopped, and its status is that of a timeout. One
 * that ends before it is ready has failed, too: so nobody waits for it in vain, and is left out
 * without a word. What it did last counts, so it is asked once more then.
 */
#include "run.h"
#include "screen.h"
#include "text.h"
#include "utf8.h"

#include <coop/net.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LAST_NS COOP_MILLISECONDS(500) /* for the answer of one that has ended */
#define TOLD_NS COOP_MILLISECONDS(1)   /* what it has told is there already */

/* ------------------------------------------------------------------- preparation */

/* A socket with a name that the kernel makes up, without a file. */
static int prepare_notify(struct run_task *task)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(sa_family_t);
	int on = 1;

	task->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (task->notify_fd < 0)
		return -errno;
	if (bind(task->notify_fd, (struct sockaddr *)&address, len) < 0 ||
	    setsockopt(task->notify_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0)
		return -errno;
	len = sizeof address;
	if (getsockname(task->notify_fd, (struct sockaddr *)&address, &len) < 0)
		return -errno;
	len -= (socklen_t)offsetof(struct sockaddr_un, sun_path);
	snprintf(task->notify_path, sizeof task->notify_path, "@%.*s", (int)len - 1,
		 address.sun_path + 1);
	return 0;
}

static int prepare_fd(struct run_task *task)
{
	int pipe[2];

	if (pipe2(pipe, O_CLOEXEC) < 0)
		return -errno;
	task->ready_fd = pipe[0];
	task->ready_child_fd = pipe[1];
	return 0;
}

static int prepare_log(struct run_task *task)
{
	if (!task->has_regex &&
	    regcomp(&task->regex, task->plan->ready.regex, REG_EXTENDED | REG_NOSUB))
		return -EINVAL;
	task->has_regex = true;
	return 0;
}

int run_probe_prepare(struct run_task *task)
{
	switch (task->plan->ready.kind) {
	case PROBE_NOTIFY: return prepare_notify(task);
	case PROBE_FD: return prepare_fd(task);
	case PROBE_LOG: return prepare_log(task);
	default: return 0;
	}
}

void run_probe_started(struct run_task *task)
{
	if (task->ready_child_fd >= 0)
		close(task->ready_child_fd);
	task->ready_child_fd = -1;
}

/* ----------------------------------------------------------------------- asking */

/*
 * The descriptor of a connection, or -errno.  This machine is asked without a look at its name: in
 * a bare container nothing may tell it, not even /etc/hosts.
 */
static int connect_tcp(const struct plan_probe *probe)
{
	bool is_here = strcasecmp(probe->host, "localhost") == 0;
	char port[8];

	snprintf(port, sizeof port, "%u", probe->port);
	return coop_tcp_connect(is_here ? NULL : probe->host, port, NULL);
}

/* A connection is all that was asked for. */
static int hang_up(int fd)
{
	if (fd >= 0)
		coop_close(fd);
	return fd < 0 ? fd : 0;
}

/* One request, and the status in the first line of the answer. */
static int talk_http(int fd, const struct plan_probe *probe)
{
	char buf[1024];
	size_t used = 0;
	int status, r;
	bool is_ipv6 = strchr(probe->host, ':') != NULL;
	int len = snprintf(buf, sizeof buf,
			   "GET %s HTTP/1.1\r\nHost: %s%s%s:%u\r\nUser-Agent: coop\r\n"
			   "Accept: */*\r\nConnection: close\r\n\r\n",
			   probe->path ? probe->path : "/", is_ipv6 ? "[" : "", probe->host,
			   is_ipv6 ? "]" : "", probe->port);

	if (len < 0 || (size_t)len >= sizeof buf)
		return -ENAMETOOLONG;
	r = coop_send(fd, buf, (size_t)len, 0);
	while (r > 0 && used < sizeof buf - 1 && !memchr(buf, '\n', used)) {
		r = coop_read(fd, buf + used, sizeof buf - 1 - used);
		used += r > 0 ? (size_t)r : 0;
	}
	if (r < 0)
		return r;
	buf[used] = '\0';
	if (sscanf(buf, "HTTP/%*d.%*d %3d", &status) != 1)
		return -EPROTO;
	return status;
}

static int ask_http(struct run_task *task)
{
	int fd = connect_tcp(&task->plan->ready), r;

	if (fd < 0)
		return fd;
	r = talk_http(fd, &task->plan->ready);
	coop_close(fd);
	if (r < 0 || (r >= 200 && r < 400))
		return r;
	snprintf(task->probe_said, sizeof task->probe_said, "answered with %d", r);
	return -EAGAIN;
}

/* A path that is not absolute is below the task's folder. */
static const char *below_folder(const struct run_task *task, char *buf, size_t size)
{
	const char *path = task->plan->ready.path, *cwd = task->plan->cwd;

	if (path[0] == '/' || path[0] == '@' || !cwd)
		return path;
	snprintf(buf, size, "%s/%s", cwd, path);
	return buf;
}

static int ask_unix(struct run_task *task)
{
	char buf[PATH_MAX];

	return hang_up(coop_unix_connect(below_folder(task, buf, sizeof buf)));
}

static int ask_file(struct run_task *task)
{
	char buf[PATH_MAX];
	struct stat st;

	return stat(below_folder(task, buf, sizeof buf), &st) < 0 ? -errno : 0;
}

static int ask_cmd(struct run_task *task)
{
	int r = run_probe_command(task);

	if (r <= 0)
		return r;
	snprintf(task->probe_said, sizeof task->probe_said, "exit %d", r);
	return -EAGAIN;
}

/* ------------------------------------------------------------------- being told */

/* A newline, or the end after something was written. */
static int told_by_fd(void *arg)
{
	struct run_task *task = arg;
	bool has_any = false;
	char buf[256];

	for (;;) {
		int r = coop_read(task->ready_fd, buf, sizeof buf);

		if (r < 0)
			return r;
		if (r > 0 && memchr(buf, '\n', (size_t)r))
			return 0;
		if (r == 0)
			return has_any ? 0 : coop_sleep(COOP_NEVER);
		has_any = true;
	}
}

static bool says_ready(const char *text)
{
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, "READY=1", 7) == 0 && (!line[7] || line[7] == '\n'))
			return true;
	}
	return false;
}

/* From a process of the same user, or of root. */
static bool is_trusted(struct msghdr *msg)
{
	const struct cmsghdr *control = CMSG_FIRSTHDR(msg);
	struct ucred who;

	if (!control || control->cmsg_type != SCM_CREDENTIALS)
		return false;
	memcpy(&who, CMSG_DATA(control), sizeof who);
	return who.uid == geteuid() || who.uid == 0;
}

/* One message: 1 if it is the one. There is no room for descriptors that come with it, so the
 * kernel closes them: whoever has sent a barrier waits for that. */
static int hear(struct run_task *task)
{
	char text[4096];
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov = { text, sizeof text - 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof control };
	int r = coop_recvmsg(task->notify_fd, &msg, 0);

	if (r < 0)
		return r;
	text[r] = '\0';
	return is_trusted(&msg) && says_ready(text);
}

static int told_by_notify(void *arg)
{
	int r;

	do
		r = hear(arg);
	while (r == 0);
	return r < 0 ? r : 0;
}

/* What else it has to say is for others; but it must not wait for somebody who takes it. */
static int go_on_hearing(struct run_task *task)
{
	int r;

	do
		r = hear(task);
	while (r >= 0);
	return r;
}

void run_probe_line(struct run_task *task, const char *line, size_t size)
{
	/* A copy with an end: not every libc can match a part of a text. */
	char *text = strndup(line, size);

	if (text && regexec(&task->regex, text, 0, NULL, 0) == 0)
		run_set_ready(task);
	free(text);
}

/* -------------------------------------------------------------------- the prober */

static int ask(void *arg)
{
	struct run_task *task = arg;

	switch (task->plan->ready.kind) {
	case PROBE_TCP: return hang_up(connect_tcp(&task->plan->ready));
	case PROBE_UNIX: return ask_unix(task);
	case PROBE_HTTP: return ask_http(task);
	case PROBE_FILE: return ask_file(task);
	default: return ask_cmd(task);
	}
}

/* Those that are answered have noted the answer. */
static bool has_said(const struct run_task *task, int r)
{
	enum plan_probe_kind kind = task->plan->ready.kind;

	return r == -EAGAIN && (kind == PROBE_HTTP || kind == PROBE_CMD);
}

static const char *no_answer(const struct run_task *task, int r)
{
	enum plan_probe_kind kind = task->plan->ready.kind;

	if (r == -ENOENT && (kind == PROBE_TCP || kind == PROBE_HTTP))
		return "no such host";
	if (r == -EAGAIN && kind == PROBE_TCP)
		return "no name server answers";
	return r == COOP_ETIMEDOUT ? "no answer" : coop_code_text(r);
}

/* Once, within a limit. Why it is not ready is kept until the next answer. */
static int ask_once(struct run_task *task, int64_t limit_ns)
{
	int r = limit_ns == COOP_NEVER ? ask(task) : coop_fail_after(limit_ns, ask, task);

	if (r < 0 && !coop_is_cancel(r) && !has_said(task, r))
		snprintf(task->probe_said, sizeof task->probe_said, "%s", no_answer(task, r));
	return r;
}

static int ask_until_ready(struct run_task *task)
{
	const struct plan_probe *probe = &task->plan->ready;
	int r = probe->delay_ns > 0 ? coop_sleep(probe->delay_ns) : 0;

	while (r >= 0) {
		r = ask_once(task, probe->attempt_ns);
		if (r >= 0 || coop_is_cancel(r))
			return r;
		r = coop_sleep(probe->interval_ns > 0 ? probe->interval_ns
						      : COOP_MILLISECONDS(100));
	}
	return r;
}

static int probe_body(void *arg)
{
	struct run_task *task = arg;
	int r;

	switch (task->plan->ready.kind) {
	case PROBE_LOG: return coop_sleep(COOP_NEVER);
	case PROBE_FD: r = told_by_fd(task); break;
	case PROBE_NOTIFY: r = told_by_notify(task); break;
	default: r = ask_until_ready(task);
	}
	if (r >= 0)
		run_set_ready(task);
	return r;
}

static void too_late(struct run_task *task)
{
	char text[TEXT_DURATION_SIZE];

	task->is_late = true;
	snprintf(task->why, sizeof task->why, "not ready within %s (%.60s%s%s)",
		 text_of_duration(task->plan->ready_timeout_ns, text), task->plan->ready.text,
		 task->probe_said[0] ? ": " : "", task->probe_said);
	utf8_make_visible(task->why);
	if (task->wait_scope)
		coop_scope_cancel(task->wait_scope, "not ready in time");
}

static int prober(void *arg)
{
	struct run_task *task = arg;
	int64_t left = task->plan->ready_timeout_ns, end = job_until(left);
	int r;

	do {
		r = left == COOP_NEVER ? probe_body(task) : coop_fail_after(left, probe_body, task);
		left = job_left(end);
		if (coop_is_cancel(r))
			return r;
		coop_error_clear();
	} while (r == COOP_ETIMEDOUT && left > 0);
	if (r < 0 && task->state == RUN_RUNNING)
		too_late(task);
	else if (task->plan->ready.kind == PROBE_NOTIFY)
		r = go_on_hearing(task);
	return coop_is_cancel(r) ? r : 0;
}

int run_probe_start(struct run_task *task)
{
	struct coop_spawn_opts opts = { .name = "probe" };

	task->probe_said[0] = '\0';
	if (task->plan->ready.kind == PROBE_NONE)
		return 0;
	return coop_spawn_with(&task->job->plumbing, prober, task, &opts, &task->prober);
}

static void end_prober(struct run_task *task)
{
	job_end_helper(&task->prober, "the attempt has ended");
}

static int last_look(void *arg)
{
	struct run_task *task = arg;
	int r;

	switch (task->plan->ready.kind) {
	case PROBE_FD: r = coop_fail_after(TOLD_NS, told_by_fd, task); break;
	case PROBE_NOTIFY: r = coop_fail_after(TOLD_NS, told_by_notify, task); break;
	default: r = ask_once(task, LAST_NS);
	}
	if (r >= 0)
		run_set_ready(task);
	return 0;
}

void run_probe_last(struct run_task *task)
{
	end_prober(task);
	if (task->state != RUN_RUNNING || task->plan->ready.kind == PROBE_LOG)
		return;
	(void)!coop_shield(last_look, task);
	coop_error_clear();
}

void run_probe_end(struct run_task *task)
{
	end_prober(task);
	if (task->ready_fd >= 0)
		coop_close(task->ready_fd);
	if (task->notify_fd >= 0)
		coop_close(task->notify_fd);
	task->ready_fd = task->notify_fd = -1;
	task->notify_path[0] = '\0';
}

void run_set_ready(struct run_task *task)
{
	if (task->state != RUN_RUNNING)
		return;
	task->state = RUN_READY;
	task->is_ready = true;
	task->ready_ns = coop_now();
	if (task->plan->ready.kind != PROBE_NONE)
		screen_tell(task, SCREEN_READY);
	coop_event_set(&task->ready);
	/* A probe that is told needs nobody who waits for the limit. */
	if (task->prober && task->plan->ready.kind == PROBE_LOG)
		coop_handle_cancel(task->prober, "ready");
}
