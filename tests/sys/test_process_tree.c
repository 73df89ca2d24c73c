/* SPDX-License-Identifier: MIT */
/*
 * Containment: walking the tree below a process, adopting orphans, sweeping up everything. What
 * gets away elsewhere, by setsid, by two forks, by ignoring signals, by forking, does not here.
 */
#include "process_help.h"

#include "sys/process.h"

#include <coop/signal.h>

#include <pthread.h>
#include <sys/prctl.h>

/* ---- the walk */

struct seen {
	struct coop_process_info infos[32];
	int count, at_most;
};

static bool note(const struct coop_process_info *info, void *ctx)
{
	struct seen *s = ctx;

	CHECK_INT(s->count, <, 32);
	s->infos[s->count++] = *info;
	return s->count == s->at_most;
}

static const struct coop_process_info *find(const struct seen *s, int pid)
{
	for (int i = 0; i < s->count; i++)
		if (s->infos[i].pid == pid)
			return &s->infos[i];
	FAIL("%d was not found", pid);
}

/* Starts a shell that prints numbers, and reads so many of them. */
static struct coop_process *family(const char *script, int *pids, int count)
{
	struct coop_process_opts opts = { .argv = SH(script),
					  .in = { COOP_PROCESS_PIPE, 0 },
					  .out = { COOP_PROCESS_PIPE, 0 } };
	struct coop_process *p = spawned(&opts);

	for (int i = 0; i < count; i++)
		pids[i] = read_number(coop_process_fd(p, 1));
	return p;
}

#define TWO_GENERATIONS \
	"sleep 1000 & echo $!; sh -c 'sleep 1001 & echo $!; echo $$; exec sleep 1002' & wait"

static void check_family(const struct seen *s, int top, const int *pids)
{
	const struct coop_process_info *info = find(s, pids[0]);

	CHECK_INT(info->parent, ==, top);
	CHECK_INT(info->depth, ==, 1);
	CHECK_INT(info->group, ==, getpgrp());
	CHECK_INT(info->session, ==, getsid(0));
	info = find(s, pids[1]);
	CHECK_INT(info->parent, ==, pids[2]);
	CHECK_INT(info->depth, ==, 2);
	CHECK(info > find(s, pids[2])); /* after its parent */
	CHECK_INT(s->count, ==, 3);
}

/* Children and theirs, with what ps would say; each after its parent. */
PROCESS_TEST(tree_of_a_process)
{
	int pids[3];
	struct seen s = { .count = 0 };
	struct coop_process *p;

	be_subreaper();
	p = family(TWO_GENERATIONS, pids, 3);
	await_state(pids[0], 'S');
	CHECK_INT(coop_process_tree(coop_process_pid(p), note, &s), ==, 3);
	check_family(&s, coop_process_pid(p), pids);
	CHECK_STR(find(&s, pids[0])->name, "sleep");
	CHECK_INT(find(&s, pids[0])->state, ==, 'S');
	s = (struct seen){ .at_most = 2 };
	CHECK_INT(coop_process_tree(coop_process_pid(p), note, &s), ==, 2);
	s = (struct seen){ .count = 0 };
	CHECK_INT(coop_process_tree(0, note, &s), ==, 4);
	CHECK_INT(find(&s, coop_process_pid(p))->depth, ==, 1);
	CHECK_INT(find(&s, pids[1])->depth, ==, 3);
	CHECK_INT(coop_process_sweep(NULL, NULL, 0), ==, 0);
	CHECK_INT(coop_process_tree(pids[0], note, &s), ==, -ESRCH);
	coop_process_free(p);
	return 0;
}

/* The same where the kernel keeps no lists of children. */
PROCESS_TEST(tree_without_lists)
{
	int pids[3];
	struct seen s = { .count = 0 };
	struct coop_process *p;

	be_subreaper();
	p = family(TWO_GENERATIONS, pids, 3);
	cp_os_faults.call_errno = ENOENT;
	cp_os_faults.call_fail_at = cp_os_faults.call_calls + 4; /* /proc/PID/task/TID/children */
	CHECK_INT(coop_process_tree(coop_process_pid(p), note, &s), ==, 3);
	CHECK_INT(cp_os_faults.call_failed, ==, 1);
	cp_os_faults.call_fail_at = 0;
	check_family(&s, coop_process_pid(p), pids);
	CHECK_INT(coop_process_sweep(NULL, NULL, 0), ==, 0);
	coop_process_free(p);
	return 0;
}

/* ---- one process, and its children: without a run */

struct numbers {
	int pids[8], count, at_most;
};

static bool note_number(int pid, void *ctx)
{
	struct numbers *n = ctx;

	CHECK_INT(n->count, <, 8);
	n->pids[n->count++] = pid;
	return n->count == n->at_most;
}

static int forked(void)
{
	int pid = fork();

	if (pid == 0)
		pause();
	CHECK_INT(pid, >, 0);
	return pid;
}

/* Children are told by number, one that has ended too; grandchildren are not, nor are others. */
TEST(children_without_a_run)
{
	int a = forked(), b = forked();
	struct numbers n = { .count = 0 }, first = { .at_most = 1 };
	struct coop_process_info info;

	CHECK_INT(kill(b, SIGKILL), ==, 0);
	CHECK_INT(waitid(P_PID, (id_t)b, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), ==, 0);
	CHECK_INT(coop_process_children(0, note_number, &n), ==, 2);
	CHECK(n.pids[0] + n.pids[1] == a + b && (n.pids[0] == a || n.pids[0] == b));
	CHECK_INT(coop_process_children(0, note_number, &first), ==, 1);
	CHECK_INT(coop_process_children(a, note_number, &first), ==, 0);
	CHECK_INT(coop_process_info(b, &info), ==, 0);
	CHECK(info.pid == b && info.parent == getpid() && info.state == 'Z' && !info.depth);
	CHECK_INT(coop_process_info(0, &info), ==, 0);
	CHECK(info.pid == getpid() && info.parent == getppid() && info.group == getpgrp());
	CHECK_INT(waitpid(b, NULL, 0), ==, b);
	CHECK_INT(coop_process_info(b, &info), ==, -ESRCH);
	CHECK_INT(coop_process_children(b, note_number, &n), ==, -ESRCH);
	CHECK_INT(kill(a, SIGKILL), ==, 0);
	CHECK_INT(waitpid(a, NULL, 0), ==, a);
}

/* Not by a thread of ours: sanitizers and emulators want to know each. */
#define HEADLESS \
	"import ctypes, os, threading, time\n" \
	"threading.Thread(target=time.sleep, args=(1000,)).start()\n" \
	"ctypes.CDLL(None).syscall({'x86_64': 60}.get(os.uname().machine, 93), 0)"

/* A process whose first thread has ended, and another one goes on. */
static int forked_headless(void)
{
	int pid = fork();

	if (pid == 0) {
		execlp("python3", "python3", "-c", HEADLESS, NULL);
		_exit(127);
	}
	CHECK_INT(pid, >, 0);
	while (state_of(pid) != 'Z') /* that is what /proc has */
		CHECK_INT(usleep(1000), ==, 0);
	return pid;
}

/* One whose first thread has ended is no zombie before all have. */
TEST(info_without_a_first_thread)
{
	struct coop_process_info info;
	int pid = forked_headless();

	CHECK_INT(waitpid(pid, NULL, WNOHANG), ==, 0);
	CHECK_INT(coop_process_info(pid, &info), ==, 0);
	CHECK(info.pid == pid && info.parent == getpid());
	CHECK(info.state != 'Z');
	CHECK_INT(kill(pid, SIGKILL), ==, 0);
	CHECK_INT(waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), ==, 0);
	CHECK_INT(coop_process_info(pid, &info), ==, 0);
	CHECK_INT(info.state, ==, 'Z');
	CHECK_INT(waitpid(pid, NULL, 0), ==, pid);
}

/* The same where the kernel keeps no lists of children. */
TEST(children_without_lists)
{
	struct numbers n = { .count = 0 };
	int a = forked();

	cp_os_faults.call_errno = ENOENT;
	cp_os_faults.call_fail_at = cp_os_faults.call_calls + 2; /* /proc/PID/task/TID/children */
	CHECK_INT(coop_process_children(0, note_number, &n), ==, 1);
	CHECK_INT(cp_os_faults.call_failed, ==, 1);
	cp_os_faults.call_fail_at = 0;
	CHECK_INT(n.pids[0], ==, a);
	CHECK_INT(kill(a, SIGKILL), ==, 0);
	CHECK_INT(waitpid(a, NULL, 0), ==, a);
}

/* ---- the sweep */

static void sweep_all(const char *script, int count)
{
	int pids[8];
	struct coop_process *p = family(script, pids, count);
	struct coop_process_status status;
	struct seen s = { .count = 0 };

	CHECK_INT(coop_process_sweep(NULL, NULL, 0), ==, 0);
	CHECK_INT(coop_process_wait(p, &status), ==, 0); /* which was ours to reap */
	coop_process_free(p);
	for (int i = 0; i < count; i++)
		CHECK_INT(state_of(pids[i]), ==, 0); /* not even a zombie */
	CHECK_INT(coop_process_tree(0, note, &s), ==, 0);
}

/* Whatever a process has done to get away. */
PROCESS_TEST(sweep_those_who_got_away)
{
	be_subreaper();
	sweep_all("sleep 1000 & echo $!; wait", 1);
	sweep_all("setsid sh -c 'sleep 1000 & echo $!; wait' & sleep 1000", 1);
	sweep_all("(setsid sh -c 'echo $$; exec sleep 1000' &) & wait", 1); /* two forks */
	sweep_all("sh -c 'trap \"\" TERM INT HUP QUIT; sleep 1000 & echo $!; wait' & wait", 1);
	sweep_all("sh -c 'sleep 1000 & kill -STOP $!; echo $!' & sleep 1000", 1);
	sweep_all("sh -c 'echo $$; kill -STOP $$' & wait", 1);
	return 0;
}

/* One that looks like a zombie, since its first thread has ended. */
PROCESS_TEST(sweep_without_a_first_thread)
{
	int pid;

	be_subreaper();
	pid = forked_headless();
	CHECK_INT(coop_process_sweep(NULL, NULL, 0), ==, 0);
	CHECK_INT(state_of(pid), ==, 0);
	return 0;
}

/* One that starts another all the time. */
PROCESS_TEST(sweep_a_swarm)
{
	be_subreaper();
	sweep_all("echo $$; while :; do sh -c '(sleep 1000 &)' & sh -c 'sleep 0.01 & sleep 1000' & "
		  "sleep 0.002; done",
		  1);
	return 0;
}

/* Only what is below another one; that one lives. */
PROCESS_TEST(sweep_below_one)
{
	struct coop_process_opts other_opts = { .argv = SH("exec sleep 1000") };
	struct coop_sweep_opts opts = { .below = 0 };
	struct coop_process *p, *other;
	int pids[1];

	be_subreaper();
	p = family("sleep 1000 & echo $!; read x", pids, 1);
	other = spawned(&other_opts);
	opts.below = coop_process_pid(p);
	CHECK_INT(coop_process_sweep(&opts, NULL, 0), ==, 0);
	CHECK(!is_alive(pids[0]));
	CHECK(is_alive(coop_process_pid(other)));
	CHECK(is_alive(coop_process_pid(p)));
	CHECK_INT(coop_process_signal(p, SIGKILL), ==, 0);
	coop_process_free(other);
	coop_process_free(p);
	CHECK_INT(coop_process_sweep(NULL, NULL, 0), ==, 0);
	return 0;
}

/* A cancel does not end a sweep. */
PROCESS_TEST(sweep_under_a_cancel)
{
	struct coop_scope s = COOP_SCOPE_INIT;

	be_subreaper();
	CHECK_INT(shell("(setsid sleep 1000 >/dev/null &)"), ==, 0);
	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, "now");
	CHECK_INT(coop_process_sweep(NULL, NULL, 0), ==, 0);
	CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	return 0;
}

PROCESS_TEST(sweep_bad_options)
{
	struct coop_sweep_opts bad = { .below = -1 }, late = { .timeout_ns = -1 },
			       reserved = { ._reserved = { 1 } }, gone = { .below = 0x3fffffff };

	CHECK_INT(coop_process_sweep(&bad, NULL, 0), ==, -EINVAL);
	CHECK_INT(coop_process_sweep(&late, NULL, 0), ==, -EINVAL);
	CHECK_INT(coop_process_sweep(&reserved, NULL, 0), ==, -EINVAL);
	CHECK_INT(coop_process_sweep(NULL, NULL, 1), ==, -EINVAL);
	CHECK_INT(coop_process_sweep(&gone, NULL, 0), ==, -ESRCH);
	return 0;
}

/* One that has become another user's cannot be signalled: it is told, with the reason. */
static int finds_a_survivor(void *arg)
{
	int pid = *(int *)arg;
	struct coop_survivor s[2] = { { 0 } };

	CHECK_INT(coop_process_sweep(NULL, s, 2), ==, 1);
	CHECK_INT(s[0].pid, ==, pid);
	CHECK_INT(s[0].reason, ==, -EPERM);
	CHECK_STR(s[0].name, "cat");
	CHECK_INT(s[1].pid, ==, 0);
	CHECK_INT(coop_process_sweep(NULL, NULL, 0), ==, 1);
	return 0;
}

TEST(sweep_reports_survivors)
{
	int fds[2], pid;

	if (getuid() != 0)
		SKIP("only root can become somebody who may not signal its own child");
	CHECK_INT(pipe(fds), ==, 0);
	pid = fork();
	if (pid == 0) {
		dup2(fds[0], 0);
		close(fds[1]);
		execlp("cat", "cat", (char *)NULL);
		_exit(127);
	}
	close(fds[0]);
	while (strcmp(proc_line(pid, "status", "Name:"), "cat") != 0)
		usleep(1000);
	CHECK_INT(setresuid(65534, 65534, 65534), ==, 0);
	CHECK_INT(coop_run(finds_a_survivor, &pid, NULL), ==, 0);
	close(fds[1]); /* the end of its input, and so its own */
	CHECK_INT(waitpid(pid, NULL, 0), ==, pid);
}

/* Every request for memory fails once: the error is told, or nothing needed it. */
PROCESS_TEST(sweep_without_memory)
{
	bool failed = true;

	be_subreaper();
	for (uint64_t n = 1; failed; n++) {
		int64_t blocks;
		int r;

		CHECK_INT(shell("(setsid sleep 1000 >/dev/null &)"), ==, 0);
		blocks = cp_os_faults.allocs_live;
		cp_os_faults.alloc_calls = cp_os_faults.alloc_failed = 0;
		cp_os_faults.alloc_fail_at = n;
		r = coop_process_sweep(NULL, NULL, 0);
		cp_os_faults.alloc_fail_at = 0;
		failed = cp_os_faults.alloc_failed > 0;
		CHECK_INT(r, ==, failed ? -ENOMEM : 0);
		CHECK_INT(cp_os_faults.allocs_live, ==, blocks);
	}
	CHECK_INT(coop_process_sweep(NULL, NULL, 0), ==, 0);
	return 0;
}

/* ---- orphans */

struct asked {
	int count, last_pid, last_code, refuse_pid;
};

static bool ask(int pid, const struct coop_process_status *status, void *ctx)
{
	struct asked *a = ctx;

	a->count++;
	a->last_pid = pid;
	a->last_code = status->code;
	return pid != a->refuse_pid;
}

/* An orphan that ends is reaped; what coop has started, and what is refused, is not touched. */
PROCESS_TEST(orphans_are_reaped)
{
	struct coop_process_opts opts = { .argv = SH("exit 5") };
	struct asked a = { .count = 0 };
	struct coop_process_status status;
	struct coop_process *p;
	int pid;

	be_subreaper();
	CHECK_INT(coop_orphans_reap(ask, &a), ==, 0);
	p = spawned(&opts);
	await_state(coop_process_pid(p), 'Z');
	CHECK_INT(coop_orphans_reap(ask, &a), ==, 0); /* ours */
	pid = fork();
	if (pid == 0)
		_exit(6); /* somebody's: no orphan, but not known to coop */
	await_state(pid, 'Z');
	a.refuse_pid = pid;
	CHECK_INT(coop_orphans_reap(ask, &a), ==, 0);
	CHECK_INT(a.count, ==, 1);
	CHECK_INT(a.last_pid, ==, pid);
	CHECK_INT(a.last_code, ==, 6);
	a.refuse_pid = 0;
	CHECK_INT(coop_orphans_reap(ask, &a), ==, 1);
	CHECK_INT(waitpid(pid, NULL, 0), ==, -1);
	CHECK_INT(coop_process_wait(p, &status), ==, 0);
	CHECK_INT(status.code, ==, 5);
	coop_process_free(p);
	return 0;
}

struct service {
	struct asked asked;
	int rc;
};

static int serves(void *arg)
{
	struct service *s = arg;

	s->rc = coop_orphans_serve(ask, &s->asked);
	return s->rc;
}

/* As a service: each adopted one is reaped when it ends, those of coop are not. */
PROCESS_TEST(orphans_are_served)
{
	struct service s = { .rc = 0 };
	struct coop_group g = COOP_GROUP_INIT;

	be_subreaper();
	coop_group_open(&g, &(struct coop_group_opts){ .cancel_on_join = true });
	CHECK_INT(coop_spawn(&g, serves, &s), ==, 0);
	for (int i = 1; i <= 5; i++) {
		CHECK_INT(shell("(sh -c 'sleep 0.01; exit 9' >/dev/null &); exit 4"), ==, 4);
		while (s.asked.count < i)
			CHECK_INT(coop_sleep(MS(1)), ==, 0);
		CHECK_INT(s.asked.last_code, ==, 9);
	}
	CHECK_INT(s.asked.count, ==, 5);
	CHECK_INT(coop_orphans_serve(ask, &s.asked), ==, -EBUSY);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(s.rc, ==, COOP_ECANCELED);
	return 0;
}

static int starts_many(void *arg)
{
	for (int i = 0; i < (int)(intptr_t)arg; i++)
		CHECK_INT(shell("exit 3"), ==, 3);
	return 0;
}

static int running; /* atomic */

static void *runs_many(void *arg)
{
	CHECK_INT(coop_run(starts_many, arg, NULL), ==, 0);
	__atomic_sub_fetch(&running, 1, __ATOMIC_RELAXED);
	return NULL;
}

/* While others start processes all the time none of theirs is taken for an orphan. */
TEST(orphans_are_told_from_those_being_started)
{
	pthread_t threads[2];
	int r, reaped = 0;

	running = 2;
	for (int i = 0; i < 2; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, runs_many, MSARG(TEST_COUNT(200, 20))),
			  ==, 0);
	while (__atomic_load_n(&running, __ATOMIC_RELAXED)) {
		r = coop_orphans_reap(NULL, NULL);
		CHECK(r >= 0 || r == -EAGAIN);
		reaped += r > 0 ? r : 0;
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(reaped, ==, 0);
}

/* In a forked child: `p` is the parent's. */
static int reaps_its_own(struct coop_process *p)
{
	siginfo_t info;
	int pid;

	if (coop_process_look(p, NULL) != -ECHILD)
		return 1;
	coop_process_free(p);
	pid = fork();
	if (pid == 0)
		_exit(7);
	if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0)
		return 2;
	return coop_orphans_reap(NULL, NULL) == 1 ? 0 : 3;
}

/*
 * A forked child has none of its parent's processes, and nobody starts one there, though another
 * thread did when it was forked.
 */
PROCESS_TEST(a_forked_child_has_none)
{
	struct coop_process_opts opts = { .argv = SH("exec sleep 100") };
	struct coop_process *p = spawned(&opts), *q = spawned(&opts);
	int pid, status;

	cp_process_starting(); /* as another thread would */
	pid = fork();
	if (pid == 0)
		_exit(reaps_its_own(q));
	cp_process_started(NULL);
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK_INT(status, ==, 0);
	CHECK(cp_process_is_ours(coop_process_pid(p)));
	CHECK(cp_process_is_ours(coop_process_pid(q)));
	coop_process_free(p);
	coop_process_free(q);
	return 0;
}
