/* SPDX-License-Identifier: MIT */
/* What process.h promises, call by call. */
#include "../core/core_help.h"

#include <coop/process.h>
#include <coop/signal.h>

struct stage {
	struct coop_process *ended;  /* in a task: has ended, and is not reaped */
	struct coop_process *reaped; /* in a task */
};

#include "contract.h"

static char *argv[] = { (char *)"true", NULL };
static const struct coop_process_opts program = { .argv = argv };
static const struct coop_process_status exited = { .code = 3 };

static int start_and_end(void *arg)
{
	struct coop_process **p = arg;

	CHECK_INT(coop_process_spawn(&program, p), ==, 0);
	return coop_process_wait_end(*p, NULL);
}

static void stage_open(struct stage *s, bool in_task)
{
	if (!in_task)
		return;
	CHECK_INT(coop_shield(start_and_end, &s->ended), ==, 0);
	CHECK_INT(coop_shield(start_and_end, &s->reaped), ==, 0);
	CHECK_INT(coop_process_stop(s->reaped, NULL), ==, 0);
}

static void stage_close(struct stage *s, bool in_task)
{
	if (!in_task)
		return;
	coop_process_free(s->ended);
	coop_process_free(s->reaped);
}

/* Calls that need a process, of which there is none outside of a task. */
static struct coop_process *of(struct stage *s)
{
	static char none[sizeof(struct coop_process *) * 64];

	return s->ended ? s->ended : (struct coop_process *)(void *)none;
}

/* ---- a task is needed */

ROW(coop_process_spawn, ALWAYS, 0, COOP_ENOTASK)
{
	struct coop_process *p = NULL;
	int r = coop_process_spawn(&program, &p);

	while (r == 0 && coop_process_look(p, NULL) == -EAGAIN)
		; /* so that freeing it need not wait */
	coop_process_free(p);
	return r;
}

ROW_AS(coop_process_spawn, no_options, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	struct coop_process *p;

	return coop_process_spawn(NULL, &p);
}

ROW(coop_process_wait, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_process_wait(of(s), NULL);
}

ROW_AS(coop_process_wait, reaped, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_process_wait(s->reaped ? s->reaped : of(s), NULL);
}

ROW(coop_process_wait_end, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_process_wait_end(of(s), NULL);
}

ROW(coop_process_stop, CUSTOM, 0, COOP_ENOTASK)
{
	return coop_process_stop(of(s), NULL);
}

static bool ends(const struct coop_process_info *info, void *ctx)
{
	(void)info;
	(void)ctx;
	return true;
}

ROW(coop_process_sweep, CUSTOM, 0, COOP_ENOTASK)
{
	return coop_process_sweep(NULL, NULL, 0);
}

ROW(coop_orphans_serve, ALWAYS, -EBUSY, COOP_ENOTASK)
{
	static const int sigchld[] = { SIGCHLD };
	struct coop_signals *signals = NULL;
	int r, opened = coop_signals_open(sigchld, 1, &signals);

	r = coop_orphans_serve(NULL, NULL);
	if (opened == 0)
		coop_signals_close(signals);
	return r;
}

ROW(coop_process_run, ALWAYS, -ENOENT, COOP_ENOTASK)
{
	static char *none[] = { (char *)"/nonexistent", NULL };
	struct coop_process_status status;
	int r = coop_process_run(&(struct coop_process_opts){ .argv = none }, &status);

	coop_error_clear();
	return r;
}

ROW(coop_process_capture, ALWAYS, -ENOENT, COOP_ENOTASK)
{
	static char *none[] = { (char *)"/nonexistent", NULL };
	struct coop_capture c;
	int r = coop_process_capture(&(struct coop_process_opts){ .argv = none }, NULL, &c);

	coop_error_clear();
	return r;
}

ROW_AS(coop_process_capture, bad_options, ALWAYS, -EINVAL, COOP_ENOTASK)
{
	struct coop_capture_opts opts = { .drain_ns = -1 };
	struct coop_capture c;

	return coop_process_capture(&program, &opts, &c);
}

/* ---- no task is needed, but a process */

ROW(coop_process_look, NEVER, 0, NOTHING_OUTSIDE)
{
	return coop_process_look(s->ended, NULL);
}

ROW(coop_process_signal, NEVER, -ESRCH, NOTHING_OUTSIDE)
{
	return coop_process_signal(s->reaped, SIGTERM);
}

ROW(coop_process_signal_group, NEVER, -EPERM, NOTHING_OUTSIDE)
{
	return coop_process_signal_group(s->ended, SIGTERM);
}

ROW(coop_process_pid, NEVER, 1, NOTHING_OUTSIDE)
{
	return coop_process_pid(s->ended) > 1;
}

ROW(coop_process_fd, NEVER, -1, NOTHING_OUTSIDE)
{
	return coop_process_fd(s->ended, 1);
}

ROW(coop_process_take_fd, NEVER, -1, NOTHING_OUTSIDE)
{
	return coop_process_take_fd(s->ended, 1);
}

ROW(coop_process_resize, NEVER, -ENOTTY, NOTHING_OUTSIDE)
{
	return coop_process_resize(s->ended, 10, 10);
}

ROW(coop_process_free, CUSTOM, 0, 0)
{
	s->ended = coop_process_free(s->ended);
	CHECK(!s->ended);
	return 0;
}

/* ---- nothing is needed */

ROW(coop_process_tree, NEVER, 1, 0)
{
	return coop_process_tree(0, ends, NULL);
}

ROW(coop_process_info, NEVER, 0, 0)
{
	struct coop_process_info info;

	return coop_process_info(0, &info);
}

static bool ends_children(int pid, void *ctx)
{
	(void)pid;
	(void)ctx;
	return true;
}

ROW(coop_process_children, NEVER, 1, 0)
{
	return coop_process_children(0, ends_children, NULL);
}

ROW(coop_subreaper, NEVER, 0, 0)
{
	int r = coop_subreaper(false);

	return r == -EINVAL ? 0 : r; /* an emulator has none */
}

ROW(coop_orphans_reap, NEVER, 0, 0)
{
	return coop_orphans_reap(NULL, NULL);
}

ROW(coop_capture_deinit, NEVER, 0, 0)
{
	struct coop_capture c = { 0 };

	coop_capture_deinit(&c);
	CHECK(!c.out && !c.err);
	return 0;
}

ROW(coop_process_ok, NEVER, 0, 0)
{
	return coop_process_ok(&exited);
}

ROW(coop_process_shell_code, NEVER, 3, 3)
{
	return coop_process_shell_code(&exited);
}

ROW(coop_process_text, NEVER, 6, 6)
{
	char text[16];

	return (int)strlen(coop_process_text(&exited, text, sizeof text));
}
