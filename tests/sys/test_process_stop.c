/* SPDX-License-Identifier: MIT */
/*
 * Ending processes: the ladder, its waits and the grace of a cancel; that a process is never left;
 * keeping what a process writes.
 */
#include "process_help.h"

#include <sys/prctl.h>

#define CHECK_GONE(pid) CHECK_INT(kill((pid), 0), ==, -1)

/* Prints "ready" when its traps are set; ends when it is told. */
#define POLITE "trap 'echo got TERM; exit 7' TERM; echo ready; while :; do sleep 0.01; done"
#define STUBBORN "trap '' TERM INT; echo ready; while :; do sleep 1; done"

static const struct coop_process_rung quick[] = { { SIGTERM, MS(30) } };
static const struct coop_process_rung patient[] = { { SIGTERM, SEC(100) } };

static struct coop_process *ready(const char *script, struct coop_process_opts opts)
{
	struct coop_process *p;
	char line[64];

	opts.argv = SH(script);
	opts.out.how = COOP_PROCESS_PIPE;
	p = spawned(&opts);
	read_line(coop_process_fd(p, 1), line, sizeof line);
	CHECK_STR(line, "ready");
	return p;
}

/* ---- a process as a task (B288) */

struct body {
	struct coop_process_opts opts;
	struct coop_process_status status;
	int rc;
	bool ended;
};

static int runs(void *arg)
{
	struct body *b = arg;

	b->rc = coop_process_run(&b->opts, &b->status);
	b->ended = true;
	return b->rc;
}

static int ready_fd;

/* Runs a script as a task, and cancels it with `grace_ns` when it has said that it is ready. */
static int run_and_cancel(struct body *b, const char *script, int64_t grace_ns)
{
	struct coop_group g = COOP_GROUP_INIT;
	char line[64];
	int fds[2];

	CHECK_INT(pipe2(fds, O_CLOEXEC), ==, 0);
	CHECK_INT(fcntl(fds[0], F_SETFL, O_NONBLOCK), ==, 0);
	ready_fd = fds[0];
	b->opts.argv = SH(script);
	b->opts.out = (struct coop_process_stream){ COOP_PROCESS_FD, fds[1] };
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, runs, b), ==, 0);
	read_line(fds[0], line, sizeof line);
	CHECK_STR(line, "ready");
	close(fds[1]);
	CHECK_INT(coop_group_cancel_grace(&g, "enough", grace_ns), ==, 0);
	CHECK(!b->ended); /* a cancel is a request */
	return coop_group_join(&g, 0);
}

/* A cancel is a SIGTERM, and the task ends when the process is reaped. */
PROCESS_TEST(cancel_is_a_polite_stop)
{
	struct body b = { .opts = { .argv = NULL } };
	char line[64];

	CHECK_INT(run_and_cancel(&b, POLITE, SEC(100)), ==, 0);
	CHECK_INT(b.rc, ==, COOP_ECANCELED);
	read_line(ready_fd, line, sizeof line);
	CHECK_STR(line, "got TERM");
	close(ready_fd);
	PROVES(B288);
	return 0;
}

/* Who does not end within the grace is killed. */
PROCESS_TEST(cancel_kills_after_the_grace)
{
	struct body b = { .opts = { .group = COOP_PROCESS_OWN_GROUP } };

	CHECK_INT(run_and_cancel(&b, STUBBORN, MS(20)), ==, 0);
	CHECK_INT(b.rc, ==, COOP_ECANCELED);
	close(ready_fd);
	PROVES(B288);
	return 0;
}

/* Without a grace the polite signal is followed by the kill at once. */
PROCESS_TEST(cancel_without_a_grace)
{
	struct body b = { .opts = { .stop = patient, .stop_count = 1 } };

	CHECK_INT(run_and_cancel(&b, STUBBORN, 0), ==, 0);
	CHECK_INT(b.rc, ==, COOP_ECANCELED);
	close(ready_fd);
	return 0;
}

/* A rung is no longer than it says, whatever the grace. */
PROCESS_TEST(a_rung_is_shorter_than_the_grace)
{
	struct body b = { .opts = { .stop = quick, .stop_count = 1 } };

	CHECK_INT(run_and_cancel(&b, STUBBORN, SEC(1000)), ==, 0);
	close(ready_fd);
	return 0;
}

/* With stop_slowly the ladder is climbed to its end, however short the grace. */
PROCESS_TEST(a_slow_ladder)
{
	struct body b = { .opts = { .stop = patient, .stop_count = 1, .stop_slowly = true } };
	char line[64];

	CHECK_INT(run_and_cancel(&b,
				 "trap 'sleep 0.1; echo clean; exit 7' TERM; echo ready; "
				 "while :; do sleep 0.01; done",
				 0),
		  ==, 0);
	read_line(ready_fd, line, sizeof line);
	CHECK_STR(line, "clean");
	close(ready_fd);
	return 0;
}

static int lets_it_end(void *arg)
{
	for (int i = 0; i < 10; i++)
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(write(*(int *)arg, "\n", 1), ==, 1);
	return 0;
}

/* The wait for a process does not block the loop: it ends because another task goes on. */
PROCESS_TEST(others_go_on)
{
	struct coop_process_opts opts = { .argv = SH("read x; exit 5") };
	struct coop_process_status status;
	struct coop_group g = COOP_GROUP_INIT;
	int fds[2];

	CHECK_INT(pipe2(fds, O_CLOEXEC), ==, 0);
	opts.in = (struct coop_process_stream){ COOP_PROCESS_FD, fds[0] };
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, lets_it_end, &fds[1]), ==, 0);
	CHECK_INT(coop_process_run(&opts, &status), ==, 0);
	CHECK_INT(status.code, ==, 5);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	close(fds[0]);
	close(fds[1]);
	PROVES(B288);
	return 0;
}

/* The end of the process wins over a cancel that comes in the same moment: its status is there. */
PROCESS_TEST(an_end_is_not_lost_to_a_cancel)
{
	struct coop_process *p = ready("echo ready; exit 3", (struct coop_process_opts){ 0 });
	struct coop_process_status status;
	struct coop_scope s = COOP_SCOPE_INIT;

	await_state(coop_process_pid(p), 'Z');
	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, "now");
	CHECK_INT(coop_process_wait(p, &status), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	CHECK_INT(coop_process_wait(p, &status), ==, 0);
	CHECK_INT(status.code, ==, 3);
	coop_process_free(p);
	return 0;
}

/* ---- the ladder */

/* Every rung's signal comes once, in order; the rest is left out when it has ended. */
PROCESS_TEST(rungs_in_order)
{
	static const struct coop_process_rung rungs[] = {
		{ SIGUSR1, MS(100) },
		{ SIGINT, MS(100) },
		{ SIGTERM, SEC(100) },
		{ SIGUSR2, 0 },
	};
	struct coop_process *p =
		ready("trap 'echo U1' USR1; trap 'echo I' INT; "
		      "trap 'echo T; exit 4' TERM; trap 'echo U2' USR2; "
		      "echo ready; while :; do sleep 0.01; done",
		      (struct coop_process_opts){ .stop = rungs, .stop_count = 4 });
	struct coop_process_status status;
	char text[64];
	ssize_t n;

	CHECK_INT(coop_process_stop(p, &status), ==, 0);
	CHECK_INT(status.code, ==, 4);
	n = read(coop_process_fd(p, 1), text, sizeof text - 1);
	CHECK_INT(n, >, 0);
	text[n] = '\0';
	/* A slow machine may bring the first two at once, and a shell sorts them by number. */
	CHECK(strcmp(text, "U1\nI\nT\n") == 0 || strcmp(text, "I\nU1\nT\n") == 0);
	coop_process_free(p);
	return 0;
}

static int runs_a_stubborn_one(void *arg)
{
	struct body b = { .opts = { .stop_slowly = true } };

	(void)arg;
	CHECK_INT(run_and_cancel(&b, STUBBORN, 0), ==, 0);
	close(ready_fd);
	return 0;
}

/* The usual ladder waits for as long as the run's grace where nothing is cancelled. */
static int stops_a_stubborn_one(void *arg)
{
	struct coop_process *p = ready(STUBBORN, (struct coop_process_opts){ 0 });
	struct coop_process_status status;

	(void)arg;
	CHECK_INT(coop_process_stop(p, &status), ==, 0);
	CHECK_INT(status.signal, ==, SIGKILL);
	coop_process_free(p);
	return 0;
}

TEST(the_usual_ladder)
{
	struct coop_run_opts opts = { .grace_ns = MS(30) };

	CHECK_INT(coop_run(stops_a_stubborn_one, NULL, &opts), ==, 0);
	CHECK_INT(coop_run(runs_a_stubborn_one, NULL, &opts), ==, 0);
	CHECK_INT(waitpid(-1, NULL, WNOHANG), ==, -1);
}

/* One that is stopped (SIGSTOP) hears the polite signal all the same. */
PROCESS_TEST(stop_one_that_stands_still)
{
	struct coop_process *p =
		ready(POLITE, (struct coop_process_opts){ .stop = patient, .stop_count = 1 });
	struct coop_process_status status;

	CHECK_INT(coop_process_signal(p, SIGSTOP), ==, 0);
	await_state(coop_process_pid(p), 'T');
	CHECK_INT(coop_process_stop(p, &status), ==, 0);
	CHECK_INT(status.code, ==, 7);
	coop_process_free(p);
	return 0;
}

/* A group is stopped as a whole, and its members have the rung's time to clean up, too. */
PROCESS_TEST(stop_waits_for_the_group)
{
	struct coop_process *p =
		ready("sh -c 'trap \"sleep 0.1; echo clean; exit\" TERM; echo ready; "
		      "while :; do sleep 0.01; done' & exec sleep 1000",
		      (struct coop_process_opts){
			      .group = COOP_PROCESS_OWN_GROUP, .stop = patient, .stop_count = 1 });
	char line[64];

	CHECK_INT(coop_process_stop(p, NULL), ==, 0);
	read_line(coop_process_fd(p, 1), line, sizeof line);
	CHECK_STR(line, "clean");
	coop_process_free(p);
	return 0;
}

/* What is left of a group is killed, after its leader has ended long ago. */
PROCESS_TEST(stop_the_rest_of_a_group)
{
	struct coop_process *p =
		ready("trap '' TERM; sleep 1000 & echo ready; echo $!",
		      (struct coop_process_opts){
			      .group = COOP_PROCESS_OWN_GROUP, .stop = quick, .stop_count = 1 });
	struct coop_process_status status;
	int rest = read_number(coop_process_fd(p, 1));

	CHECK_INT(coop_process_wait_end(p, &status), ==, 0);
	CHECK(is_alive(rest));
	CHECK_INT(coop_process_stop(p, &status), ==, 0);
	CHECK_INT(status.code, ==, 0);
	CHECK(!is_alive(rest));
	coop_process_free(p);
	return 0;
}

/* coop_process_run does that by itself where it is asked to. */
PROCESS_TEST(run_and_stop_the_rest)
{
	int fds[2], rest;
	struct coop_process_opts opts = { .argv = SH("sleep 1000 & echo $!"),
					  .group = COOP_PROCESS_OWN_GROUP,
					  .stop_rest = true };

	CHECK_INT(pipe2(fds, O_CLOEXEC), ==, 0);
	opts.out = (struct coop_process_stream){ COOP_PROCESS_FD, fds[1] };
	CHECK_INT(coop_process_run(&opts, NULL), ==, 0);
	rest = read_number(fds[0]);
	CHECK_INT(rest, >, 1);
	CHECK(!is_alive(rest));
	close(fds[0]);
	close(fds[1]);
	return 0;
}

/* ---- nothing is left */

/* Freeing one that runs kills it, with its group, and reaps it; under a cancel too. */
PROCESS_TEST(free_kills)
{
	struct coop_process *p =
		ready("trap '' TERM; sleep 1000 & echo ready; echo $!; wait",
		      (struct coop_process_opts){ .group = COOP_PROCESS_OWN_GROUP });
	int pid = coop_process_pid(p), rest = read_number(coop_process_fd(p, 1));
	struct coop_scope s = COOP_SCOPE_INIT;

	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, "now");
	CHECK(coop_process_free(p) == NULL);
	CHECK_GONE(pid);
	CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	while (is_alive(rest))
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK(coop_process_free(NULL) == NULL);
	return 0;
}

static int waits_for_it(void *arg)
{
	struct coop_process_status status;

	CHECK_INT(coop_process_wait(arg, &status), ==, 0);
	CHECK_INT(status.signal, ==, SIGKILL);
	say("told ");
	return 0;
}

/* Those who wait for one that is freed are told how it ended; it has ended before, or not. */
PROCESS_TEST(free_while_others_wait)
{
	for (int ended = 0; ended < 2; ended++) {
		struct coop_process *p = ready("echo ready; exec sleep 1000",
					       (struct coop_process_opts){ .nice = 0 });
		struct coop_group g = COOP_GROUP_INIT;

		coop_group_open(&g, NULL);
		CHECK_INT(coop_spawn(&g, waits_for_it, p), ==, 0);
		CHECK_INT(coop_spawn(&g, waits_for_it, p), ==, 0);
		coop_yield();
		if (ended) {
			CHECK_INT(coop_process_signal(p, SIGKILL), ==, 0);
			while (state_of(coop_process_pid(p)) != 'Z')
				usleep(100); /* nobody else runs */
		}
		coop_process_free(p);
		CHECK_TRAIL("told told ");
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
	}
	return 0;
}

static int frees_while_one_gives_way(void *arg)
{
	struct coop_process *p =
		ready("echo ready; exec sleep 1000", (struct coop_process_opts){ .nice = 0 });
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	CHECK_INT(coop_process_signal(p, SIGKILL), ==, 0);
	while (state_of(coop_process_pid(p)) != 'Z')
		usleep(100);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, waits_for_it, p), ==, 0);
	coop_yield();
	coop_process_free(p);
	CHECK_TRAIL("told ");
	return coop_group_join(&g, 0);
}

/* So is one whose call need not wait and lets others run in the middle of it. */
TEST(free_while_another_gives_way)
{
	CHECK_INT(coop_run(frees_while_one_gives_way, NULL, &(struct coop_run_opts){ .budget = 1 }),
		  ==, 0);
}

static int is_told_of_none(void *arg)
{
	CHECK_INT(coop_process_wait(arg, NULL), ==, -ECHILD);
	say("waited ");
	return 0;
}

static int stops_none(void *arg)
{
	CHECK_INT(coop_process_stop(arg, NULL), ==, -ECHILD);
	say("stopped ");
	return 0;
}

/* One that may not be killed is left alone, once, and those who wait for its end are told that
 * nobody knows it: at its descriptor, behind the first, and on a ladder. */
PROCESS_TEST(free_what_cannot_be_killed)
{
	struct coop_process_rung waits_long = { SIGCONT, SEC(1000) };
	struct coop_process *p =
		ready("echo ready; exec sleep 1000",
		      (struct coop_process_opts){ .stop = &waits_long, .stop_count = 1 });
	struct coop_group g = COOP_GROUP_INIT;
	int pid = coop_process_pid(p), status;

	keep_records(COOP_LOG_ERROR);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, is_told_of_none, p), ==, 0);
	CHECK_INT(coop_spawn(&g, is_told_of_none, p), ==, 0);
	CHECK_INT(coop_spawn(&g, stops_none, p), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	cp_os_faults.call_errno = EPERM;
	cp_os_faults.call_fail_at = cp_os_faults.call_calls + 2; /* a look, the kill */
	coop_process_free(p);
	cp_os_faults.call_fail_at = 0;
	CHECK_INT(strlen(trail), ==, strlen("waited waited stopped "));
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_HAS(records, "cannot be killed: it is left");
	CHECK_INT(waitpid(pid, &status, WNOHANG), ==, 0);
	CHECK_INT(kill(pid, SIGKILL), ==, 0);
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	trail[0] = '\0';
	return 0;
}

static struct coop_process *left;

static int leaves_one(void *arg)
{
	struct coop_process_opts opts = { .argv = SH("exec sleep 1000") };

	(void)arg;
	left = spawned(&opts);
	return 0;
}

/* One that is left when its run ends is killed and reported, and can still be freed. */
TEST(left_when_the_run_ends)
{
	int pid;

	keep_records(COOP_LOG_WARN);
	CHECK_INT(coop_run(leaves_one, NULL, NULL), ==, 0);
	pid = coop_process_pid(left);
	CHECK_HAS(records, "(sh) was left when the run ended");
	CHECK_GONE(pid);
	CHECK_INT(waitpid(-1, NULL, WNOHANG), ==, -1);
	CHECK_INT(coop_process_signal(left, SIGTERM), ==, -ESRCH);
	CHECK(coop_process_free(left) == NULL);
}

static int frees_in_a_fork(void *arg)
{
	struct coop_process_opts opts = { .argv = SH("exec sleep 1000") };
	struct coop_process *p = spawned(&opts);
	int status;
	pid_t pid;

	(void)arg;
	pid = fork();
	if (pid == 0) {
		CHECK_INT(coop_process_stop(p, NULL), ==, COOP_EFORK);
		coop_process_free(p);
		_exit(0);
	}
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK_INT(status, ==, 0);
	CHECK(is_alive(coop_process_pid(p))); /* it is none of the copy's */
	coop_process_free(p);
	return 0;
}

/* A forked copy of us has no processes: it can neither stop nor end ours. */
TEST(rel_H17_a_fork_has_no_processes)
{
	CHECK_INT(coop_run(frees_in_a_fork, NULL, NULL), ==, 0);
	PROVES(rel_H17);
}

/* A readiness that means nothing, a look that fails: it is looked again, and the end not missed. */
PROCESS_TEST(rel_H12_spurious_readiness)
{
	struct coop_process_status status;

	for (unsigned k = 1; k <= 8; k++) {
		struct coop_process_opts opts = { .argv = SH("exit 9") };
		struct coop_process *p = spawned(&opts);

		if (k % 2)
			await_state(coop_process_pid(p), 'Z');
		cp_os_faults.call_fail_at = cp_os_faults.call_calls + (k + 1) / 2;
		cp_os_faults.call_errno = EINTR;
		CHECK_INT(coop_process_wait(p, &status), ==, 0);
		cp_os_faults.call_fail_at = 0;
		CHECK_INT(status.code, ==, 9);
		coop_process_free(p);
	}
	PROVES(rel_H12);
	return 0;
}

/* ---- capture */

static struct coop_capture captured(const char *script, const struct coop_capture_opts *opts)
{
	struct coop_process_opts process = { .argv = SH(script) };
	struct coop_capture c = { 0 };

	CHECK_INT(coop_process_capture(&process, opts, &c), ==, 0);
	return c;
}

/* Both streams and the status; input is passed on, and without any there is none. */
PROCESS_TEST(capture_both_streams)
{
	struct coop_capture_opts input = { .input = "some words\n", .input_bytes = 11 };
	struct coop_capture c = captured("echo out; echo err >&2; exit 3", NULL);

	CHECK_STR(c.out, "out\n");
	CHECK_STR(c.err, "err\n");
	CHECK_INT(c.out_bytes, ==, 4);
	CHECK_INT(c.out_total, ==, 4);
	CHECK_INT(c.status.code, ==, 3);
	CHECK(!c.held);
	coop_capture_deinit(&c);
	c = captured("cat", &input);
	CHECK_STR(c.out, "some words\n");
	CHECK_STR(c.err, "");
	coop_capture_deinit(&c);
	c = captured("cat", NULL);
	CHECK_STR(c.out, "");
	coop_capture_deinit(&c);
	return 0;
}

/* Outputs and input far beyond what a pipe holds, in the order that is worst: no deadlock. */
PROCESS_TEST(capture_without_deadlock)
{
	enum { BYTES = 600000 };
	struct coop_capture_opts opts = { .input_bytes = BYTES };
	struct coop_capture c;
	char *input = malloc(BYTES);

	CHECK(input != NULL);
	for (int i = 0; i < BYTES; i++)
		input[i] = (char)('a' + i % 23);
	opts.input = input;
	c = captured("head -c 300000 /dev/zero >&2; cat; head -c 300000 /dev/zero >&2", &opts);
	CHECK_INT(c.out_bytes, ==, BYTES);
	CHECK(memcmp(c.out, input, BYTES) == 0);
	CHECK_INT(c.err_bytes, ==, 600000);
	CHECK(coop_process_ok(&c.status));
	coop_capture_deinit(&c);
	free(input);
	return 0;
}

/* What is beyond the limit is read, counted, and not kept; the process is not held up. */
PROCESS_TEST(capture_with_limits)
{
	struct coop_capture_opts opts = { .out_max = 10, .err_max = 5000 };
	struct coop_capture c = captured("printf 0123456789abc; head -c 200000 /dev/zero; "
					 "echo e >&2",
					 &opts);

	CHECK_STR(c.out, "0123456789");
	CHECK_INT(c.out_bytes, ==, 10);
	CHECK_INT(c.out_total, ==, 200013);
	CHECK_STR(c.err, "e\n");
	CHECK(coop_process_ok(&c.status));
	coop_capture_deinit(&c);
	opts.out_max = 13; /* exactly as much */
	c = captured("printf 0123456789abc", &opts);
	CHECK_STR(c.out, "0123456789abc");
	CHECK_INT(c.out_total, ==, 13);
	coop_capture_deinit(&c);
	return 0;
}

/* A process that does not read its input is none of ours: no error, and no SIGPIPE here. */
PROCESS_TEST(capture_when_input_is_not_read)
{
	struct coop_capture_opts opts = { .input_bytes = 500000 };
	struct coop_capture c;
	void *input = calloc(1, 500000);

	opts.input = input;
	c = captured("exec <&-; echo done", &opts);
	CHECK_STR(c.out, "done\n");
	CHECK(coop_process_ok(&c.status));
	coop_capture_deinit(&c);
	free(input);
	return 0;
}

/* A grandchild holds the stream: the end is the child's, the rest has its time, and is told. */
PROCESS_TEST(rel_H08_a_grandchild_holds_the_pipe)
{
	struct coop_capture_opts opts = { .drain_ns = MS(50) };
	struct coop_capture c = captured("sleep 1000 & echo $!", &opts);

	CHECK(c.held);
	CHECK(is_alive(atoi(c.out)));
	kill(atoi(c.out), SIGKILL);
	CHECK(coop_process_ok(&c.status));
	coop_capture_deinit(&c);
	opts.drain_ns = SEC(100);
	c = captured("(sleep 0.1; echo late) & echo early", &opts);
	CHECK(!c.held);
	CHECK_STR(c.out, "early\nlate\n");
	coop_capture_deinit(&c);
	PROVES(rel_H08);
	return 0;
}

/* A terminal's end is the end of its stream, and what was written is kept. */
PROCESS_TEST(capture_a_pty)
{
	struct coop_process_opts opts = {
		.argv = SH("test -t 1 && test -t 2 && echo out && echo err >&2"),
		.out = { COOP_PROCESS_PTY, 0 },
		.err = { COOP_PROCESS_PTY, 0 },
		.plain_pty = true,
	};
	struct coop_capture c;

	CHECK_INT(coop_process_capture(&opts, NULL, &c), ==, 0);
	CHECK_STR(c.out, "out\nerr\n");
	CHECK_STR(c.err, "");
	CHECK(!c.held);
	coop_capture_deinit(&c);
	return 0;
}

static int captures(void *arg)
{
	struct coop_process_opts opts = { .argv = SH(arg),
					  .err = { COOP_PROCESS_FD, ready_fd },
					  .stop = patient,
					  .stop_count = 1 };
	struct coop_capture c = { 0 };
	int r = coop_process_capture(&opts, NULL, &c);

	CHECK(!c.out);
	return r;
}

/* On a cancel the process still can write while it cleans up: more than a pipe holds. */
PROCESS_TEST(capture_is_cancelled)
{
	struct coop_group g = COOP_GROUP_INIT;
	char line[64];
	int fds[2];

	CHECK_INT(pipe2(fds, O_CLOEXEC), ==, 0);
	ready_fd = fds[1];
	CHECK_INT(fcntl(fds[0], F_SETFL, O_NONBLOCK), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, captures,
			     (void *)"trap 'head -c 300000 /dev/zero; echo clean >&2; exit' TERM; "
				     "echo ready >&2; while :; do sleep 0.01; done"),
		  ==, 0);
	read_line(fds[0], line, sizeof line);
	CHECK_STR(line, "ready");
	CHECK_INT(coop_group_cancel_grace(&g, "enough", SEC(100)), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	read_line(fds[0], line, sizeof line);
	CHECK_STR(line, "clean");
	close(fds[0]);
	close(fds[1]);
	return 0;
}

/* A child that is blocked on a full pipe when we close our end gets SIGPIPE, and nobody hangs. */
PROCESS_TEST(rel_H09_close_on_a_full_pipe)
{
	struct coop_process_opts opts = { .argv = SH("exec cat /dev/zero"),
					  .out = { COOP_PROCESS_PIPE, 0 } };
	struct coop_process *p = spawned(&opts);
	struct coop_process_status status;

	CHECK_INT(coop_poll(coop_process_fd(p, 1), POLLIN), ==, POLLIN);
	CHECK_INT(coop_sleep(MS(20)), ==, 0);
	coop_close(coop_process_take_fd(p, 1));
	CHECK_INT(coop_process_wait(p, &status), ==, 0);
	CHECK_INT(status.signal, ==, SIGPIPE);
	coop_process_free(p);
	PROVES(rel_H09);
	return 0;
}

/* Every allocation of a capture fails once: an error, and nothing is left. */
PROCESS_TEST(capture_without_memory)
{
	struct coop_process_opts opts = { .argv = SH("cat; echo x >&2; exit 0") };
	struct coop_capture_opts input = { .input = "abc", .input_bytes = 3 };
	int64_t blocks;
	int fds, failures = 0;
	bool failed = true;

	CHECK_INT(shell("exit 0"), ==, 0);
	for (int warm = 0; warm < 2; warm++) {
		struct coop_capture c;

		CHECK_INT(coop_process_capture(&opts, &input, &c), ==, 0);
		coop_capture_deinit(&c);
	}
	coop_error_clear();
	blocks = cp_os_faults.allocs_live;
	fds = fds_open();
	for (uint64_t n = 1; failed; n++) {
		struct coop_capture c = { 0 };
		int r;

		cp_os_faults.alloc_calls = cp_os_faults.alloc_failed = 0;
		cp_os_faults.alloc_fail_at = n;
		r = coop_process_capture(&opts, &input, &c);
		cp_os_faults.alloc_fail_at = 0;
		failed = cp_os_faults.alloc_failed > 0;
		if (r < 0)
			failures++;
		else
			CHECK_STR(c.out, "abc");
		CHECK(r == 0 || r == -ENOMEM);
		coop_capture_deinit(&c);
		coop_error_clear();
		CHECK_INT(cp_os_faults.allocs_live, ==, blocks);
		CHECK_INT(fds_open(), ==, fds);
		CHECK_INT(waitpid(-1, NULL, WNOHANG), ==, -1);
	}
	CHECK_INT(failures, >, 5);
	return 0;
}
