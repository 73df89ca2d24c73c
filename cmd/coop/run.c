/* SPDX-License-Identifier: MIT */
/*
 * A job from its plan to its exit status: what is in the runtime's process.
 *
 *	coop run
 *	  plumbing   sinks, readers, probes, signals, the guard's pipe, the control socket
 *	  body       the root group of the plan, then what is left of its processes
 *
 * The plumbing outlives the tree. If a part of it fails the tree is cancelled, and the status is
 * our own; else the status is that of the root group, of main, or the signal's.
 */
#include "control.h"
#include "front.h"
#include "nested.h"
#include "outer.h"
#include "proctree.h"
#include "run_map.h"
#include "screen.h"
#include "table.h"
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEFT_POLITE_NS COOP_SECONDS(1) /* for orphans, between TERM and KILL */
#define LEFT_NS COOP_SECONDS(10)       /* for all of them to be gone */
#define STROKES_MIN 5                  /* without /proc one may take seconds on a busy machine */
#define TICK_NS COOP_MILLISECONDS(100)

/* ---------------------------------------------------------------- for everybody */

void job_say(struct job *job, int level, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	job->screen->ops->say(job->screen, (enum screen_level)level, text);
}

int job_refuse_why(struct job *job, int r, const char *option, const char *value, const char *why)
{
	job_say(job, SAY_ALERT, "%s %s: %s", option, value, why);
	job->own_error = r;
	job->is_own_told = true;
	return r;
}

int job_refuse(struct job *job, int r, const char *option, const char *value)
{
	return job_refuse_why(job, r, option, value, strerror(-r));
}

void job_stop(struct job *job, const char *why)
{
	coop_group_cancel(&job->groups[0].coop, why);
}

bool job_add_leader(struct job *job, int pid)
{
	struct run_leaders *l = &job->leaders;

	if (l->count == l->room) {
		size_t room = l->room ? l->room * 2 : 16;
		int *pids = realloc(l->pids, room * sizeof *pids);

		if (!pids)
			return false;
		l->pids = pids;
		l->room = room;
	}
	l->pids[l->count++] = pid;
	return true;
}

void job_drop_leader(struct job *job, int pid)
{
	struct run_leaders *l = &job->leaders;

	for (size_t i = 0; i < l->count; i++)
		if (l->pids[i] == pid) {
			l->pids[i] = l->pids[--l->count];
			return;
		}
}

bool job_is_leader(int pid, void *arg)
{
	const struct job *job = arg;

	for (size_t i = 0; i < job->leaders.count; i++)
		if (job->leaders.pids[i] == pid)
			return true;
	return false;
}

/* When nobody is left but services, these are told to end; when main has ended, all are. */
void job_task_ended(struct job *job, struct run_task *task)
{
	char why[RUN_WHY_SIZE];

	if (task->plan->is_main) {
		job->main_ended = task;
		if (task->outcome == OUTCOME_SKIPPED)
			job_say(job, SAY_ALERT, "main task %s was never started: %s", task->name,
				task->why);
		snprintf(why, sizeof why, "main task %s has ended", task->name);
		job_stop(job, why);
	}
	if (task->number || task->plan->is_service || --job->others_left)
		return;
	for (size_t i = 0; i < job->first_final; i++)
		if (job->tasks[i].state != RUN_ENDED)
			coop_scope_cancel(&job->tasks[i].scope, "all others are done");
}

static const char *const state_words[] = { "waiting", "queued",   "running", "ready",
					   "pausing", "stopping", "ended" };

const char *run_state_word(enum run_state state)
{
	return state_words[state];
}

const char *run_task_word(const struct run_task *task)
{
	bool can_be = task->state == RUN_RUNNING || task->state == RUN_READY;

	return can_be && task->is_stopped ? "stopped" : run_state_word(task->state);
}

void job_show(struct job *job)
{
	struct pen pen = { 0 };
	const char *at;
	size_t len;

	pause_look_at_tasks(job);
	table_tree(job, &pen);
	pen_put(&pen, "", 1);
	for (at = pen.bytes; at && *at; at += len + (at[len] == '\n')) {
		len = strcspn(at, "\n");
		job_say(job, SAY_ALERT, "%.*s", (int)len, at);
	}
	pen_free(&pen);
}

/* ---------------------------------------------------------------- what is left over */

/* Orphans of tasks that had left their process groups: one polite signal, then the end. */
static void ask_orphans(struct job *job)
{
	struct proc_list list = { 0 };

	if (proc_is_blind())
		proc_orphans_blindly(job_is_leader, job, &list);
	else
		proc_orphans(job_is_leader, job, &list);
	for (size_t i = 0; i < list.count; i++) {
		job_say(job, SAY_DETAIL, "process %d (%s) was left over: ending it",
			list.items[i].pid, list.items[i].name);
		proc_signal(&list.items[i], SIGTERM);
		proc_signal(&list.items[i], SIGCONT);
	}
	proc_list_free(&list);
}

static size_t count_left(struct job *job)
{
	struct proc_list list = { 0 };
	size_t count;

	if (proc_is_blind() && !job->leaders.count)
		return proc_reap_all();
	proc_reap(job_is_leader, job);
	proc_descendants(getpid(), &list);
	count = list.count;
	proc_list_free(&list);
	return count;
}

static void report_left(struct job *job)
{
	struct proc_list list = { 0 };

	proc_descendants(getpid(), &list);
	for (size_t i = 0; i < list.count; i++)
		job_say(job, SAY_ALERT, "process %d (%s) cannot be ended: %s", list.items[i].pid,
			list.items[i].name, proc_why(&list.items[i]));
	job->left = list.count;
	if (!list.count) {
		job_say(job, SAY_ALERT, "processes that cannot be seen are left: no /proc");
		job->left = 1;
	}
	proc_list_free(&list);
}

static int end_left(void *arg)
{
	struct job *job = arg;
	int64_t start = job_now(), nap = COOP_MILLISECONDS(1), passed = 0;
	int r = 0, strokes = 0;

	if (!count_left(job))
		return 0;
	if (job->level < LEVEL_KILL)
		ask_orphans(job);
	while (r >= 0 && count_left(job) && (passed < LEFT_NS || strokes < STROKES_MIN)) {
		if (passed > LEFT_POLITE_NS || job->level >= LEVEL_KILL) {
			proc_kill_below(getpid());
			strokes++;
		}
		r = coop_sleep(nap);
		nap = nap * 2 > COOP_MILLISECONDS(20) ? COOP_MILLISECONDS(20) : nap * 2;
		passed = job_now() - start;
	}
	if (count_left(job))
		report_left(job);
	return r;
}

/* ---------------------------------------------------------------------- the plumbing */

/* Two that are closed (main.c) are not: who writes to one of them may not write to the other. */
static bool is_one_file(int a, int b)
{
	struct stat x, y;

	if (fcntl(a, F_GETFL) & O_PATH)
		return false;
	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino && x.st_rdev == y.st_rdev;
}

static int open_screen(struct job *job)
{
	struct screen *screen = job->screen;
	int r;

	screen->out = sink_open(&job->plumbing, STDOUT_FILENO);
	screen->err = screen->out;
	if (screen->out && !is_one_file(STDOUT_FILENO, STDERR_FILENO))
		screen->err = sink_open(&job->plumbing, STDERR_FILENO);
	if (!screen->out || !screen->err)
		return -ENOMEM;
	r = screen->ops->open(screen);
	screen->is_open = r >= 0;
	return r < 0 ? r : events_open(job);
}

static void close_screen(struct screen *screen)
{
	events_close();
	if (screen->ops->close && screen->own)
		screen->ops->close(screen);
	if (screen->err != screen->out)
		sink_free(screen->err);
	sink_free(screen->out);
}

static bool has_tty_task(const struct job *job)
{
	size_t i = 0;

	while (i < job->plan->task_count && !job->plan->tasks[i]->has_tty)
		i++;
	return i < job->plan->task_count;
}

/* Draws and looks at the terminal; each second at the tasks, and for orphans that have ended. */
static int ticker(void *arg)
{
	struct job *job = arg;
	struct coop_ticker ticker = COOP_TICKER_INIT;
	bool is_fast = job->screen->ops->wants_ticks || has_tty_task(job);
	int64_t interval_ns = is_fast ? TICK_NS : 10 * TICK_NS;
	int r = coop_ticker_start(&ticker, interval_ns);

	for (unsigned count = 0; r >= 0; count++) {
		pause_alive(interval_ns);
		r = coop_ticker_wait(&ticker);
		pause_look(job);
		if (r >= 0 && job->screen->ops->wants_ticks && job->screen->ops->tick)
			job->screen->ops->tick(job->screen);
		if (r >= 0 && (!is_fast || count % 10 == 9)) {
			pause_look_at_tasks(job);
			proc_reap(job_is_leader, job);
		}
	}
	return r;
}

static int service(struct job *job, coop_fn *fn, const char *name)
{
	return coop_spawn_with(&job->plumbing, fn, job, &(struct coop_spawn_opts){ .name = name },
			       NULL);
}

static int open_plumbing(struct job *job)
{
	int r = open_screen(job);

	if (r >= 0)
		r = service(job, ladder_guard, "guard");
	if (r >= 0)
		r = service(job, ladder_signals, "signals");
	if (r >= 0)
		r = service(job, ticker, "ticker");
	if (r >= 0 && job->plan->has_lifeline)
		r = service(job, ladder_lifeline, "lifeline");
	if (r >= 0)
		r = nested_open(job);
	if (r >= 0)
		r = control_open(job);
	return r < 0 ? r : run_limit_open(job);
}

/* ------------------------------------------------------------------------- the status */

/* Of a main task that nobody calls a failure: it was stopped by its name, or never began. */
static int status_of_stopped_main(const struct run_task *task)
{
	if (task->outcome == OUTCOME_SKIPPED)
		return 1;
	if (task->outcome != OUTCOME_CANCELLED || !task->is_asked)
		return 0;
	if (task->attempt && plan_codes_has(&task->plan->ok_codes, task->code))
		return 0;
	return task->code ? task->code : 1;
}

static int status_of_tasks(const struct job *job)
{
	const struct run_task *main_task = job->main_ended;
	int status;

	if (job->own_error)
		return STATUS_OWN;
	if (job->stop_sig && !job->is_failed_first)
		return STATUS_SIGNAL + job->stop_sig;
	if (main_task && main_task->outcome == OUTCOME_OK)
		return 0;
	if (main_task && main_task->outcome == OUTCOME_FAILED)
		return main_task->code;
	status = run_group_status(&job->groups[0]);
	return status || !main_task ? status : status_of_stopped_main(main_task);
}

/* What went well, but was not written down, is no success. */
static int status_of(const struct job *job)
{
	int status = status_of_tasks(job);

	return !status && job->logs_lost ? STATUS_OWN : status;
}

static int body(struct job *job)
{
	int r = run_group(&job->groups[0]);

	if (coop_shield(end_left, job) < 0)
		job->own_error = -EIO;
	return r;
}

static int finish(struct job *job, int r)
{
	const struct coop_error *error = coop_error_peek(r);

	if (r < 0 && !coop_is_cancel(r) && !job->own_error) {
		job->own_error = r;
		(void)!coop_error_print(stderr, error, 0);
	} else if (job->own_error && !job->is_own_told) {
		job_say(job, SAY_ALERT, "its own machinery has failed: %s",
			coop_code_text(job->own_error));
	}
	job->is_own_told = job->own_error;
	return status_of(job);
}

/* What nobody waited for is written too, or has failed. */
static void settle_output(struct job *job)
{
	struct sink *out = job->screen->out;

	sink_flush(out, COOP_SECONDS(10));
	if (sink_error(out))
		run_output_failed(job, "standard output", sink_error(out));
}

static void tell_logs(struct job *job)
{
	unsigned lost = job->logs_lost;

	if (lost)
		job_say(job, SAY_ALERT, "--log-dir %s: %u log%s not complete", job->plan->log_dir,
			lost, lost > 1 ? "s are" : " is");
}

static int job_main(void *arg)
{
	struct job *job = arg;
	struct coop_group_opts opts = { .name = "plumbing" };
	int r;

	world_give_back();
	coop_group_open(&job->plumbing, &opts);
	r = open_plumbing(job);
	if (r >= 0)
		r = body(job);
	if (job->screen->is_open) {
		settle_output(job);
		tell_logs(job);
		events_finish(job, finish(job, r));
		job->screen->ops->finish(job->screen, finish(job, r));
		settle_output(job);
		(void)finish(job, r); /* tells what has failed since */
		sink_flush(job->screen->err, COOP_SECONDS(10));
	}
	control_close(job);
	guard_hear_signals(false);
	coop_group_cancel(&job->plumbing, "the job has ended");
	r = coop_group_join(&job->plumbing, r);
	nested_close(job);
	control_free(job);
	run_limit_close(job);
	close_screen(job->screen);
	return finish(job, r);
}

/* ----------------------------------------------------------------------- set up, tear down */

static void init_groups(struct job *job)
{
	for (size_t i = 0; i < job->plan->group_count; i++) {
		const struct plan_group *plan = job->plan->groups[i];

		job->groups[i] = (struct run_group){
			.plan = plan,
			.job = job,
			.parent = plan->parent ? &job->groups[plan->parent->index] : NULL,
			.coop = COOP_GROUP_INIT,
			.places = COOP_SEM_INIT(plan->jobs_max),
		};
	}
}

static bool has_name(const struct job *job, const char *name, size_t finals)
{
	const struct plan *plan = job->plan;

	for (size_t i = 0; i < plan->task_count; i++)
		if (strcmp(plan->tasks[i]->name, name) == 0)
			return true;
	for (size_t i = 0; i < finals; i++)
		if (strcmp(job->finals[i].name, name) == 0)
			return true;
	return false;
}

/* One that no task has: it is that of a log, too. `finals` have theirs. */
static const char *name_final(const struct job *job, size_t finals)
{
	const char *name = "finally";

	for (size_t n = 2; has_name(job, name, finals); n++)
		name = plan_format(job->plan, "finally-%zu", n);
	return name;
}

/* A --finally is a task that is shielded, and has a ladder of its own. */
static void init_final(struct job *job, struct plan_task *plan, struct plan_group *group,
		       const struct plan_command *command, size_t index)
{
	static struct plan_step ladder[] = { { SIGTERM, COOP_SECONDS(5) },
					     { SIGKILL, COOP_SECONDS(10) } };

	*plan = (struct plan_task){
		.index = index,
		.name = name_final(job, (size_t)(plan - job->finals)),
		.group = group,
		.command = *command,
		.cwd = group->finally_cwd,
		.timeout_ns = group->finally_timeout_ns,
		.ready_timeout_ns = COOP_NEVER,
		.attempts_max = 1,
		.shield_ns = COOP_NEVER,
		.is_shielded = true,
		.on_fail = ON_FAIL_KEEP,
		.stop = ladder,
		.stop_count = 2,
	};
	plan->ok_codes.bits[0] = 1;
	run_task_init(&job->tasks[index], job, plan);
	job->tasks[index].is_final = true;
}

static void init_tasks(struct job *job)
{
	struct plan *plan = job->plan;
	size_t index = job->map ? 0 : plan->task_count, final = 0;

	job->first_final = index;
	for (size_t i = 0; i < index; i++) {
		run_task_init(&job->tasks[i], job, plan->tasks[i]);
		job->others_left += !plan->tasks[i]->is_service;
		job->has_others |= !plan->tasks[i]->is_service;
	}
	for (size_t i = 0; i < plan->group_count; i++)
		for (size_t k = 0; k < plan->groups[i]->finally_count; k++)
			init_final(job, &job->finals[final++], plan->groups[i],
				   &plan->groups[i]->finally[k], index++);
	job->task_count = index;
}

static int init(struct job *job)
{
	size_t finals = 0;

	for (size_t i = 0; i < job->plan->group_count; i++)
		finals += job->plan->groups[i]->finally_count;
	job->tasks = calloc(job->plan->task_count + finals, sizeof *job->tasks);
	job->finals = calloc(finals + 1, sizeof *job->finals);
	job->groups = calloc(job->plan->group_count, sizeof *job->groups);
	if (!job->tasks || !job->finals || !job->groups)
		return -ENOMEM;
	if (job->plan->verb == VERB_MAP) {
		job->map = map_new(job);
		if (!job->map)
			return -ENOMEM;
	}
	init_groups(job);
	init_tasks(job);
	return 0;
}

static void deinit(struct job *job)
{
	for (size_t i = 0; i < job->task_count; i++)
		run_task_deinit(&job->tasks[i]);
	map_free(job->map);
	free(job->leaders.pids);
	free(job->tasks);
	free(job->finals);
	free(job->groups);
}

/* In the runtime's process. */
static int runtime(struct plan *plan, struct guard *guard)
{
	struct screen screen = { .ops = screen_choose(plan) };
	struct job job = { .plan = plan,
			   .guard = guard,
			   .screen = &screen,
			   .plumbing = COOP_GROUP_INIT,
			   .begun_ns = coop_now() };
	struct coop_run_opts opts = { .name = "coop", .engine = world_enter(&job) };
	int status;

	pause_open();
	screen.job = &job;
	status = init(&job);
	if (status >= 0)
		status = coop_run(job_main, &job, &opts);
	if (status < 0) {
		fprintf(stderr, "coop: %s\n", coop_code_text(status));
		status = STATUS_OWN;
	}
	if (job.stop_sig && status == STATUS_SIGNAL + job.stop_sig)
		guard->runtime_signal = job.stop_sig;
	deinit(&job);
	guard->is_finished = true;
	return status;
}

int verb_run(struct plan *plan)
{
	if (!world_check(plan))
		return STATUS_OWN;
	outer_find();
	return guard_run(plan, runtime);
}
