/* SPDX-License-Identifier: MIT */
/*
 * Ending processes: the ladder, the body of a task, the last resort.
 *
 * While a ladder is climbed the cancel that is the reason may be visible: each wait is behind a
 * soft shield, so it may go on for as long as the canceller's grace, and no longer than the rung
 * says. When the grace is over the rest of the ladder is left out. From the kill on nothing
 * interrupts the wait: what was killed is gone in a moment, and a process is never left half ended.
 *
 * A leader that has ended is not reaped before its group is gone: so the group's number is its own.
 */
#include "sys/process.h"

#include <coop/signal.h>

#define CP_LOOK_MIN_NS COOP_MILLISECONDS(2) /* between looks at a group, which tells nobody */
#define CP_LOOK_MAX_NS COOP_MILLISECONDS(50)
#define CP_REST_NS COOP_SECONDS(1) /* for those of a group that were killed; see kill_all */

/* ----------------------------------------------------------------- its group */

struct living {
	int group;
	bool found;
};

static bool is_living(int pid, void *ctx)
{
	struct living *l = ctx;
	struct cp_proc proc;

	l->found = cp_os_proc(pid, &proc) == 0 && proc.group == l->group && proc.state != 'Z' &&
		   proc.state != 'X';
	return l->found;
}

bool cp_process_group_lives(int group)
{
	struct living l = { .group = group };

	return cp_os_proc_all(is_living, &l) == 0 && l.found;
}

static bool is_gone(struct coop_process *p)
{
	cp_process_look(p);
	if (p->state == CP_PROCESS_RUNNING)
		return false;
	return p->state == CP_PROCESS_REAPED || !p->leader || !cp_process_group_lives(p->pid);
}

/* Waits until it and its group are gone: 0, or COOP_ECANCELED. */
static int await_gone(struct cp_rt *rt, struct coop_process *p, const char *what)
{
	int64_t nap = CP_LOOK_MIN_NS;
	int r = cp_process_await(rt, p, what);

	while (r >= 0 && !is_gone(p)) {
		r = coop_sleep(nap);
		nap = nap * 2 > CP_LOOK_MAX_NS ? CP_LOOK_MAX_NS : nap * 2;
	}
	return r;
}

/* One signal to all that it stands for: 0; -ESRCH is none of our business. */
static int signal_all(struct coop_process *p, int sig)
{
	int r = p->leader ? coop_process_signal_group(p, sig) : coop_process_signal(p, sig);

	return r == -ESRCH ? 0 : r;
}

/* ------------------------------------------------------------------ the ladder */

static bool is_polite(int sig)
{
	return sig != SIGKILL && sig != SIGSTOP && sig != SIGCONT && sig != SIGTSTP;
}

/* One that is stopped could not hear a polite signal. */
static int step_on(struct coop_process *p, int sig)
{
	int r = signal_all(p, sig);

	return r >= 0 && is_polite(sig) ? signal_all(p, SIGCONT) : r;
}

/* For ever is as long as the grace, of the cancel or, where that is not to count, of the run. */
static int64_t rung_ns(struct cp_rt *rt, const struct coop_process *p,
		       const struct coop_process_rung *rung)
{
	bool is_cancelled = rt->cur->cancelled & ~CP_HOOK;

	if (rung->wait_ns != COOP_NEVER || (is_cancelled && !p->stop_slowly))
		return rung->wait_ns;
	return rt->grace_ns;
}

/* Waits as long as a rung says: 0, or COOP_ECANCELED where the grace is over. */
static int stand_on(struct cp_rt *rt, struct coop_process *p, int64_t wait_ns)
{
	struct coop_scope_opts opts = {
		.name = "stop",
		.timeout_ns = wait_ns == COOP_NEVER ? 0 : wait_ns,
		.shield = p->stop_slowly,
		.soft_shield_ns = p->stop_slowly ? 0 : COOP_NEVER,
	};
	struct coop_scope s = COOP_SCOPE_INIT;

	if (wait_ns == 0)
		return 0;
	coop_scope_open(&s, &opts);
	return coop_scope_close(&s, await_gone(rt, p, "coop_process_stop"));
}

static int climb(struct cp_rt *rt, struct coop_process *p)
{
	int r = 0;

	for (unsigned i = 0; i < p->stop_count && !is_gone(p) && r != COOP_ECANCELED; i++) {
		r = step_on(p, p->stop[i].signal);
		if (r < 0)
			return r;
		r = stand_on(rt, p, rung_ns(rt, p, &p->stop[i]));
	}
	return r == COOP_ECANCELED ? 0 : r;
}

/*
 * The end of every ladder. The leader is waited for without a limit, since it has to be reaped; the
 * rest of the group, that others reap and that the kernel may hold, for a second.
 */
static int kill_all(struct cp_rt *rt, struct coop_process *p)
{
	struct coop_scope_opts opts = { .name = "killed", .shield = true };
	struct coop_scope_opts rest_opts = { .name = "its group", .timeout_ns = CP_REST_NS };
	struct coop_scope s = COOP_SCOPE_INIT, rest = COOP_SCOPE_INIT;
	int r = signal_all(p, SIGKILL);

	if (r < 0)
		return r;
	coop_scope_open(&s, &opts);
	r = cp_process_await(rt, p, "coop_process_stop");
	coop_scope_open(&rest, &rest_opts);
	if (r >= 0)
		r = await_gone(rt, p, "coop_process_stop");
	r = coop_scope_close(&rest, r);
	return coop_scope_close(&s, r);
}

static int stop(struct cp_rt *rt, struct coop_process *p)
{
	struct coop_error *err = cp_err_slot_aside(&rt->body->err);
	int r = climb(rt, p);

	if (r >= 0 && !is_gone(p))
		r = kill_all(rt, p);
	cp_err_slot_back(&rt->body->err, err);
	if (r < 0)
		return r;
	cp_process_reap(p);
	return 0;
}

int coop_process_stop(struct coop_process *process, struct coop_process_status *ret_status)
{
	struct cp_rt *rt = NULL;
	int r = cp_process_usable(process, &rt);

	if (r < 0)
		return r;
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_process_stop");
	process->users++;
	r = stop(rt, process);
	process->users--;
	return r < 0 ? r : cp_process_result(process, ret_status);
}

/* ------------------------------------------------------------- the last resort */

/* Whoever waits at the descriptor of one that is left would do so until it ends by itself. */
static void leave(struct coop_process *p)
{
	int pidfd = p->pidfd;

	coop_log(COOP_LOG_ERROR, "process %d (%s) cannot be killed: it is left", p->pid, p->name);
	cp_process_lose(p);
	p->pidfd = -1;
	cp_process_close(p, pidfd);
}

static void kill_or_leave(struct coop_process *p)
{
	cp_process_look(p);
	if (p->state == CP_PROCESS_RUNNING && signal_all(p, SIGKILL) < 0)
		leave(p);
}

void cp_process_end_now(struct coop_process *p)
{
	kill_or_leave(p);
	cp_process_reap(p);
}

/* Its end, and that of the calls of other tasks, which look at it once more before it is gone. */
static int await_end(struct cp_rt *rt, struct coop_process *p)
{
	int r = cp_process_await(rt, p, "coop_process_free");

	while (r >= 0 && p->users)
		r = coop_sleep(CP_LOOK_MIN_NS);
	return r;
}

/* In a task the loop goes on meanwhile. */
static void end_in_task(struct cp_rt *rt, struct coop_process *p)
{
	struct coop_scope_opts opts = { .name = "killed", .shield = true };
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_error *err;

	kill_or_leave(p);
	if (p->state != CP_PROCESS_RUNNING && !p->users)
		return;
	err = cp_err_slot_aside(&rt->body->err);
	coop_scope_open(&s, &opts);
	(void)!coop_scope_close(&s, await_end(rt, p));
	cp_err_slot_back(&rt->body->err, err);
}

struct coop_process *coop_process_free(struct coop_process *process)
{
	struct coop_process *p = process;

	if (!p)
		return NULL;
	if (p->rt && p->rt != cp_rt && !cp_rt_forked())
		cp_die("coop_process_free: the process belongs to another thread's run");
	if (p->rt && p->rt == cp_rt) {
		if (p->rt->cur)
			end_in_task(p->rt, p);
		cp_process_end_now(p);
		cp_debt_drop(p->rt, &p->debt);
	}
	cp_process_close_fds(p);
	cp_process_close(p, p->pidfd);
	cp_free(p);
	return NULL;
}

/* ------------------------------------------------------------ the body of a task */

/* It has run to its end: what else the options want. */
static int ended(struct coop_process *p, const struct coop_process_opts *opts,
		 struct coop_process_status *status)
{
	if (opts->stop_rest && p->leader)
		return coop_process_stop(p, status);
	cp_process_reap(p);
	return cp_process_result(p, status);
}

int cp_process_run_on(struct coop_process *p, const struct coop_process_opts *opts,
		      struct coop_process_status *ret_status)
{
	int r = coop_process_wait_end(p, NULL), stopped;

	if (r >= 0)
		return ended(p, opts, ret_status);
	if (r != COOP_ECANCELED)
		return r;
	stopped = coop_process_stop(p, ret_status);
	return stopped < 0 && stopped != -ECHILD ? stopped : r;
}

int coop_process_run(const struct coop_process_opts *opts, struct coop_process_status *ret_status)
{
	struct coop_process_status status;
	struct coop_process *p;
	char text[64];
	int r;

	r = coop_process_spawn(opts, &p);
	if (r < 0)
		return r;
	r = cp_process_run_on(p, opts, &status);
	coop_process_free(p);
	if (r < 0)
		return r;
	if (ret_status)
		*ret_status = status;
	else if (!coop_process_ok(&status))
		return coop_fail(COOP_EPROCESS, "%s: %s", opts->argv[0],
				 coop_process_text(&status, text, sizeof text));
	return 0;
}
