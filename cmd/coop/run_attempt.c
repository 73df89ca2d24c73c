/* SPDX-License-Identifier: MIT */
/*
 * One attempt of a task: its process from the start to the end of its whole group.
 */
#include "nested.h"
#include "run.h"
#include "screen.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* ------------------------------------------------------------------- environment */

enum { OWN_VARIABLES = 5 };

struct environment {
	char **items;
	size_t count;
	char own[OWN_VARIABLES][128 + PATH_MAX];
};

/* The last of a name counts: so an earlier one is replaced. */
static void env_put(struct environment *env, const char *item)
{
	size_t len = strcspn(item, "=") + 1;

	for (size_t i = 0; i < env->count; i++)
		if (strncmp(env->items[i], item, len) == 0) {
			env->items[i] = (char *)(uintptr_t)item;
			return;
		}
	env->items[env->count++] = (char *)(uintptr_t)item;
	env->items[env->count] = NULL;
}

/* The descriptor for nested coops, unless the task wants its number for something else. */
static int events_fd(const struct run_task *task)
{
	int fd = nested_fd(task->job);

	return task->ready_child_fd >= 0 && task->plan->ready.fd == fd ? -1 : fd;
}

/* make's jobserver goes to the tasks as it came to us, unless a number of it is wanted, too. */
static bool has_jobserver(const struct run_task *task)
{
	const struct plan_jobserver *js = &task->job->plan->jobserver;
	int wanted = task->ready_child_fd >= 0 ? task->plan->ready.fd : -1;

	return js->read_fd >= 0 && js->read_fd != wanted && js->write_fd != wanted;
}

/* `is_own`: of the task itself, which has descriptors that its probe has not. */
static bool env_make(struct environment *env, const struct run_task *task, bool is_own)
{
	const struct plan_jobserver *js = &task->job->plan->jobserver;
	const struct plan_list *given = &task->plan->env;
	size_t count = 0;

	while (environ[count])
		count++;
	env->items = calloc(count + 1 + given->count + OWN_VARIABLES + 1, sizeof *env->items);
	if (!env->items)
		return false;
	memcpy(env->items, environ, count * sizeof *env->items);
	env->count = count;
	if (js->read_fd >= 0 && js->without && !(is_own && has_jobserver(task)))
		env_put(env, js->without);
	for (size_t i = 0; i < given->count; i++)
		env_put(env, given->items[i]);
	snprintf(env->own[0], sizeof env->own[0], "COOP_TASK=%s", task->name);
	snprintf(env->own[1], sizeof env->own[1], "COOP_GROUP=%s", task->plan->group->path);
	snprintf(env->own[2], sizeof env->own[2], "COOP_ATTEMPT=%u", task->attempt);
	for (int i = 0; i < 3; i++)
		env_put(env, env->own[i]);
	if (is_own && task->notify_path[0]) {
		snprintf(env->own[3], sizeof env->own[3], "NOTIFY_SOCKET=%s", task->notify_path);
		env_put(env, env->own[3]);
	}
	if (is_own && events_fd(task) >= 0) {
		snprintf(env->own[4], sizeof env->own[4], "COOP_EVENTS_FD=%d", events_fd(task));
		env_put(env, env->own[4]);
	}
	return true;
}

/* ------------------------------------------------------------------------- start */

static bool wants_pty(const struct run_task *task)
{
	enum plan_switch pty = task->plan->pty;

	if (task->plan->has_tty || task->number)
		return pty == SWITCH_ON && !task->plan->has_tty;
	return pty == SWITCH_ON || (pty == SWITCH_AUTO && isatty(STDOUT_FILENO));
}

static void choose_streams(const struct run_task *task, struct coop_process_opts *o)
{
	bool is_exec = task->job->plan->verb == VERB_EXEC;

	o->in.how = task->plan->has_tty || (is_exec && !isatty(STDIN_FILENO)) ? COOP_PROCESS_INHERIT
									      : COOP_PROCESS_NULL;
	o->group = COOP_PROCESS_OWN_GROUP;
	if (screen_is_direct(task->job->plan, task->plan))
		return;
	o->out.how = o->err.how = wants_pty(task) ? COOP_PROCESS_PTY : COOP_PROCESS_PIPE;
}

static void set_size(struct coop_process_opts *o)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
		o->rows = size.ws_row;
		o->columns = size.ws_col;
	}
}

/* What it gets beside its three streams; returns how many. */
static size_t choose_fds(const struct run_task *task, struct coop_process_fd fds[4])
{
	const struct plan_jobserver *js = &task->job->plan->jobserver;
	size_t count = 0;

	if (task->ready_child_fd >= 0 && task->plan->ready.fd > STDERR_FILENO)
		fds[count++] = (struct coop_process_fd){ task->ready_child_fd,
							 task->plan->ready.fd };
	if (events_fd(task) >= 0)
		fds[count++] = (struct coop_process_fd){ events_fd(task), events_fd(task) };
	if (has_jobserver(task))
		fds[count++] = (struct coop_process_fd){ js->read_fd, js->read_fd };
	if (has_jobserver(task) && js->write_fd != js->read_fd)
		fds[count++] = (struct coop_process_fd){ js->write_fd, js->write_fd };
	return count;
}

/* What every process has in common that is started for a task. */
static void bind_to_job(const struct job *job, struct coop_process_opts *o)
{
	o->death_signal = SIGKILL; /* as the guard would; but it may have died with us */
	o->cgroup_fd = job->guard->cgroup > 0 ? job->guard->cgroup : 0;
	if (!job->has_files)
		return;
	o->limits = &job->files;
	o->limits_count = 1;
}

static int spawn(struct run_task *task, char **env, enum coop_process_step *ret_step)
{
	struct coop_process_fd extra[4];
	struct coop_process_opts o = {
		.argv = task->argv,
		.env = env,
		.cwd = task->plan->cwd,
		.nice = task->plan->nice,
		.plain_pty = true,
		.foreground = task->plan->has_tty,
		.ret_step = ret_step,
	};

	choose_streams(task, &o);
	bind_to_job(task->job, &o);
	if (o.out.how == COOP_PROCESS_PTY)
		set_size(&o);
	o.fds = extra;
	o.fds_count = choose_fds(task, extra);
	if (task->plan->has_tty)
		guard_lend_terminal(task->job->guard);
	return coop_process_spawn(&o, &task->process);
}

/* What a failed start is as an exit status. */
static int spawn_code(int r, enum coop_process_step step)
{
	if (step != COOP_PROCESS_AT_EXEC)
		return STATUS_OWN;
	return r == -ENOENT || r == -ENOTDIR ? STATUS_NOTFOUND : STATUS_NOEXEC;
}

static int read_streams(struct run_task *task)
{
	for (int which = 1; which <= 2; which++) {
		int fd = coop_process_take_fd(task->process, which), r;

		if (fd < 0)
			continue;
		r = run_read(task, which, fd);
		if (r < 0)
			return r;
	}
	return 0;
}

static void forget_attempt(struct run_task *task)
{
	task->status = (struct coop_process_status){ 0 };
	task->spawn_error = task->code = 0;
	task->spawn_step = COOP_PROCESS_AT_NOTHING;
	task->is_ended = task->is_late = task->is_timed_out = task->is_restart_asked = false;
	task->is_stopped = false;
	task->is_line_open[0] = task->is_line_open[1] = false;
	task->stop_sig = 0;
	task->why[0] = '\0';
	nested_forget(task);
	task->started_ns = coop_now();
	if (task->first_ns == COOP_NEVER)
		task->first_ns = task->started_ns;
}

static int start(struct run_task *task)
{
	struct environment *env = malloc(sizeof *env);
	int r = env && env_make(env, task, true) ? 0 : -ENOMEM;

	task->spawn_step = COOP_PROCESS_AT_MEMORY;
	if (r >= 0)
		r = spawn(task, env->items, &task->spawn_step);
	if (env)
		free(env->items);
	free(env);
	if (r < 0)
		return r;
	task->pid = coop_process_pid(task->process);
	task->live_next = task->job->live;
	task->job->live = task;
	if (!job_add_leader(task->job, task->pid))
		return -ENOMEM;
	return read_streams(task);
}

/* --------------------------------------------------------------------- the attempt */

static int await_end_within(struct run_task *task, int64_t limit_ns)
{
	struct coop_scope scope = COOP_SCOPE_INIT;
	struct coop_scope_opts opts = { .name = "attempt",
					.timeout_ns = limit_ns == COOP_NEVER ? 0 : limit_ns };
	struct coop_cancel_info info;
	int r;

	task->is_timed_out = false;
	coop_scope_open(&scope, &opts);
	task->wait_scope = &scope;
	r = coop_process_wait_end(task->process, &task->status);
	task->is_ended = r >= 0 || r == -ECHILD;
	task->wait_scope = NULL;
	r = coop_scope_close(&scope, task->is_ended ? 0 : r);
	if (coop_is_cancel(r))
		run_note_why(task);
	if (task->is_ended || r < 0)
		return task->is_ended ? 0 : r;
	task->is_timed_out = coop_scope_cancel_called(&scope) && coop_scope_reason(&scope, &info) &&
			     info.source == COOP_CANCEL_DEADLINE;
	return 1;
}

/* Waits for the end. 0: it has ended; 1: it has to be stopped, by a limit of its own or because
 * somebody asked; COOP_ECANCELED: by a cancel of its group. */
static int await_end(struct run_task *task)
{
	int64_t end = job_until(task->plan->timeout_ns), left = task->plan->timeout_ns;
	int r;

	do {
		r = await_end_within(task, left);
		left = job_left(end);
	} while (r == 1 && task->is_timed_out && left > 0);
	return r;
}

static void note_code(struct run_task *task)
{
	task->code =
		task->is_ended ? coop_process_shell_code(&task->status) : STATUS_SIGNAL + SIGKILL;
	if (task->is_timed_out || task->is_late)
		task->code = STATUS_TIMEOUT;
}

static void leave_live(struct run_task *task)
{
	struct run_task **link = &task->job->live;

	while (*link && *link != task)
		link = &(*link)->live_next;
	if (*link)
		*link = task->live_next;
}

/* What a process has: given back, when its group has gone. */
static void finish(struct run_task *task)
{
	run_probe_end(task);
	run_drain(task);
	nested_attempt_ended(task);
	leave_live(task);
	task->process = coop_process_free(task->process);
	if (task->terminal_fd >= 0)
		coop_close(task->terminal_fd);
	task->terminal_fd = -1;
	job_drop_leader(task->job, task->pid);
	task->pid = 0;
	if (task->plan->has_tty)
		guard_restore_terminal(task->job->guard);
}

static void announce(struct run_task *task)
{
	task->state = RUN_RUNNING;
	task->is_started = true;
	screen_tell(task, SCREEN_STARTED);
	coop_event_set(&task->started);
	if (task->plan->ready.kind == PROBE_NONE)
		run_set_ready(task);
}

static int not_started(struct run_task *task, int r)
{
	run_probe_end(task);
	if (coop_is_cancel(r))
		return r;
	task->spawn_error = r;
	task->code = spawn_code(r, task->spawn_step);
	if (task->process) /* it runs, and there was no memory to read it */
		finish(task);
	return 0;
}

int run_attempt(struct run_task *task)
{
	int r;

	forget_attempt(task);
	r = run_probe_prepare(task);
	if (r >= 0)
		r = start(task);
	run_probe_started(task);
	if (r < 0)
		return not_started(task, r);
	announce(task);
	r = run_probe_start(task);
	if (r < 0)
		task->job->own_error = r;
	r = await_end(task);
	if (r == 0) {
		run_stop_rest(task);
		run_probe_last(task);
	} else {
		run_stop(task, coop_is_cancel(r) && !task->is_asked);
	}
	note_code(task);
	finish(task);
	return coop_is_cancel(r) ? r : 0;
}

/* ------------------------------------------------------------------ its probe's command */

struct command {
	const struct coop_process_opts *opts;
	struct coop_process_status status;
	struct run_task *task;
};

static int command_body(void *arg)
{
	struct command *c = arg;
	struct job *job = c->task->job;
	struct coop_process *process;
	int r = coop_process_spawn(c->opts, &process);

	if (r < 0)
		return r;
	if (!job_add_leader(job, coop_process_pid(process)))
		r = -ENOMEM;
	c->task->asking = process;
	if (r >= 0)
		r = coop_process_wait_end(process, &c->status);
	if (job->level >= LEVEL_KILL)
		(void)!coop_process_signal_group(process, SIGKILL);
	if (r >= 0 || coop_is_cancel(r))
		(void)!coop_process_stop(process, &c->status);
	c->task->asking = NULL;
	job_drop_leader(job, coop_process_pid(process));
	coop_process_free(process);
	return r;
}

static int command_in(struct run_task *task, char **env)
{
	static const struct coop_process_rung ladder[] = { { SIGTERM, COOP_SECONDS(5) } };
	const struct plan_command *command = &task->plan->ready.command;
	enum coop_process_step step = COOP_PROCESS_AT_NOTHING;
	struct coop_process_opts o = {
		.argv = (char *const *)(uintptr_t)command->argv,
		.env = env,
		.cwd = task->plan->cwd,
		.in.how = COOP_PROCESS_NULL,
		.out.how = COOP_PROCESS_NULL,
		.err.how = COOP_PROCESS_NULL,
		.group = COOP_PROCESS_OWN_GROUP,
		.stop = ladder,
		.stop_count = 1,
		.stop_slowly = true,
		.ret_step = &step,
	};
	struct command c = { .opts = &o, .task = task };
	int r;

	bind_to_job(task->job, &o);
	r = command_body(&c);
	if (coop_is_cancel(r))
		return r;
	return r < 0 ? spawn_code(r, step) : coop_process_shell_code(&c.status);
}

int run_probe_command(struct run_task *task)
{
	struct environment *env = malloc(sizeof *env);
	int r = -ENOMEM;

	if (env && env_make(env, task, false))
		r = command_in(task, env->items);
	if (env)
		free(env->items);
	free(env);
	return r;
}
