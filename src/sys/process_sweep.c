/* SPDX-License-Identifier: MIT */
/*
 * The sweep: everything below us is ended, whatever it has done to get away.
 *
 * A process that is killed may have started another one a moment before. So all are stopped first,
 * walk by walk, until a walk finds none that still runs; then none can start anything, and all that
 * there are can be killed. Their orphans come to us, if we are a subreaper, and the next walk
 * finds them.
 *
 * A number from a walk may be another process's by now. So a pidfd is opened, and then it is looked
 * whether the number still is of a process that began when the seen one did: if it is, the
 * pidfd is of that one.
 */
#include "sys/process.h"

#include <string.h>

#define CP_STOP_WALKS 20 /* a swarm that is faster than this is killed anyway, and again */
#define CP_LOOKS_MIN 8   /* before it is too late: we may have stood still, and they with us */
#define CP_NAP_MIN_NS COOP_MILLISECONDS(1)
#define CP_NAP_MAX_NS COOP_MILLISECONDS(20)

struct sweep {
	int below;
	struct cp_tree tree;
	size_t living;  /* that the last walk has found */
	size_t unheard; /* of them: may not be signalled */
};

static bool is_living(const struct cp_proc *proc)
{
	return proc->state != 'Z' && proc->state != 'X';
}

static int signal_seen(const struct cp_proc *seen, int sig)
{
	struct cp_proc now;
	int pidfd = cp_os_pidfd_open(seen->pid);
	int r;

	if (pidfd == -ESRCH)
		return -ESRCH;
	r = cp_os_proc(seen->pid, &now);
	if (r >= 0 && now.since != seen->since)
		r = -ESRCH;
	if (r >= 0)
		r = cp_os_signal_process(seen->pid, pidfd < 0 ? -1 : pidfd, sig);
	if (pidfd >= 0)
		cp_os_close(pidfd);
	return r;
}

/* Walks, and gives all that it finds a signal; those that have it already are passed by. */
static int signal_tree(struct sweep *s, int sig, size_t *ret_new)
{
	int r = cp_tree_walk(&s->tree, s->below);

	*ret_new = s->living = s->unheard = 0;
	for (size_t i = 1; i < s->tree.count && r >= 0; i++) {
		const struct cp_proc *proc = &s->tree.nodes[i].proc;

		if (!is_living(proc))
			continue;
		s->living++;
		if (sig == SIGSTOP && (proc->state == 'T' || proc->state == 't'))
			continue;
		if (signal_seen(proc, sig) == -EPERM)
			s->unheard++;
		else
			++*ret_new;
	}
	return r;
}

/* Until a walk finds none that runs. One in the middle of a system call stops after it. */
static int stop_all(struct sweep *s)
{
	size_t running;
	int r = 0;

	for (int i = 0; i < CP_STOP_WALKS && r >= 0; i++) {
		r = signal_tree(s, SIGSTOP, &running);
		if (!running)
			break;
		coop_yield();
	}
	return r;
}

static int one_round(struct sweep *s)
{
	size_t killed;
	int r = stop_all(s);

	if (r >= 0)
		r = signal_tree(s, SIGKILL, &killed);
	if (r >= 0)
		r = coop_orphans_reap(NULL, NULL);
	return r >= 0 || r == -EAGAIN ? 0 : r; /* the next round, then */
}

/* Is anybody left but those whom others will reap? */
static int look(struct sweep *s, bool *ret_clean)
{
	bool ours = s->below == cp_os_pid();
	int r = cp_tree_walk(&s->tree, s->below);

	*ret_clean = true;
	s->living = 0;
	for (size_t i = 1; i < s->tree.count && r >= 0; i++) {
		const struct cp_proc *proc = &s->tree.nodes[i].proc;

		s->living += is_living(proc);
		if (is_living(proc) || (ours && !cp_process_is_ours(proc->pid)))
			*ret_clean = false;
	}
	return r;
}

static int sweep(struct sweep *s, int64_t deadline_ns)
{
	int64_t nap = CP_NAP_MIN_NS;
	int deaf = 0, r;
	bool clean;

	for (int looks = 1;; looks++) {
		r = one_round(s);
		if (r < 0)
			return r;
		r = look(s, &clean);
		if (r < 0 || clean || (looks >= CP_LOOKS_MIN && coop_now() >= deadline_ns))
			return r;
		deaf = s->living && s->living == s->unheard ? deaf + 1 : 0;
		if (deaf > 3) /* nobody whom we could do anything about */
			return 0;
		r = coop_sleep(nap);
		if (r < 0)
			return r;
		nap = nap * 2 > CP_NAP_MAX_NS ? CP_NAP_MAX_NS : nap * 2;
	}
}

static int report(const struct sweep *s, struct coop_survivor *ret_survivors, size_t room)
{
	size_t count = 0;

	for (size_t i = 1; i < s->tree.count; i++) {
		const struct cp_proc *proc = &s->tree.nodes[i].proc;

		if (!is_living(proc))
			continue;
		if (count++ >= room)
			continue;
		ret_survivors[count - 1] = (struct coop_survivor){
			.pid = proc->pid,
			.reason = signal_seen(proc, SIGKILL) == -EPERM ? -EPERM : -EBUSY,
			.state = proc->state,
		};
		memcpy(ret_survivors[count - 1].name, proc->name, sizeof proc->name);
	}
	return (int)count;
}

static bool opts_ok(const struct coop_sweep_opts *o)
{
	for (size_t i = 0; i < CP_ARRAY_LEN(o->_reserved); i++)
		if (o->_reserved[i])
			return false;
	return o->below >= 0 && o->timeout_ns >= 0;
}

int coop_process_sweep(const struct coop_sweep_opts *opts, struct coop_survivor *ret_survivors,
		       size_t room)
{
	static const struct coop_sweep_opts usual;
	struct coop_scope_opts shield = { .name = "sweep", .shield = true };
	struct coop_scope scope = COOP_SCOPE_INIT;
	struct sweep s = { 0 };
	struct cp_rt *rt = cp_in_task();
	int64_t timeout_ns;
	int r;

	if (!rt)
		return cp_no_task();
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_process_sweep");
	opts = opts ? opts : &usual;
	if (!opts_ok(opts) || (room && !ret_survivors))
		return -EINVAL;
	s.below = opts->below ? opts->below : cp_os_pid();
	timeout_ns = opts->timeout_ns ? opts->timeout_ns : COOP_SECONDS(5);
	coop_scope_open(&scope, &shield);
	r = sweep(&s, cp_time_add(coop_now(), timeout_ns));
	r = coop_scope_close(&scope, r);
	if (r >= 0)
		r = report(&s, ret_survivors, room);
	cp_tree_deinit(&s.tree);
	return r;
}
