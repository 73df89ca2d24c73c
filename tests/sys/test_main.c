/* SPDX-License-Identifier: MIT */
/*
 * coop_main: a run as a program. Each program here is a child with real signals, whose output and
 * exit status are looked at; it is waited for by what it prints and by its states, never by time.
 */
#include "../core/core_help.h"
#include "child.h"

#include "base/os.h"
#include "core/core.h"
#include "sys/signals.h"

#include <coop/signal.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>

/* Runs fn as a program in a child and waits for its end. */
static coop_fn *program_fn;
static struct coop_run_opts program_opts;

static int program(void)
{
	return coop_main_with(program_fn, NULL, &program_opts);
}

static void start(struct child *c, coop_fn *fn)
{
	program_fn = fn;
	child_start(c, program);
}

static int status_of(coop_fn *fn, struct child *c)
{
	start(c, fn);
	return child_end(c);
}

/* ---- exit statuses */

static int result;

static int returns(void *arg)
{
	(void)arg;
	return result;
}

static int returns_in_group(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_group_open(&g, NULL);
	r = coop_spawn(&g, returns, NULL);
	return coop_group_join(&g, r);
}

/* 0 or more is 0, COOP_EEXIT(n) is n without a word, also out of a group; anything else is 1. */
TEST(statuses_of_results)
{
	static const struct {
		int rc, status;
		const char *text;
	} cases[] = {
		{ 0, 0, "" },
		{ 1, 0, "" },
		{ INT32_MAX, 0, "" },
		{ COOP_EEXIT(0), 0, "" },
		{ COOP_EEXIT(1), 1, "" },
		{ COOP_EEXIT(3), 3, "" },
		{ COOP_EEXIT(255), 255, "" },
		{ -EIO, 1, "EIO" },
		{ -1, 1, "EPERM" },
		{ INT32_MIN, 1, "" },
		{ COOP_ETIMEDOUT, 1, "COOP_ETIMEDOUT" },
		{ COOP_EINTERRUPT, 1, "COOP_EINTERRUPT" }, /* no signal has come */
		{ COOP_ECANCELED, 1, "COOP_ESPURIOUSCANCEL" },
	};
	coop_fn *const ways[] = { returns, returns_in_group };
	struct child c;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		for (int way = 0; way < 2; way++) {
			result = cases[i].rc;
			CHECK_INT(status_of(ways[way], &c), ==, cases[i].status);
			CHECK_HAS(c.text, cases[i].text);
			CHECK(cases[i].status == 1 || !c.text[0] || cases[i].rc == COOP_EEXIT(1));
		}
	}
	PROVES(B308);
}

static int fails_and_exits(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_group_open(&g, &(struct coop_group_opts){ .name = "jobs", .policy = COOP_COLLECT });
	r = coop_spawn(&g, fail_after_ms, NULL);
	result = COOP_EEXIT(4);
	if (r >= 0)
		r = coop_spawn(&g, returns, NULL);
	return coop_group_join(&g, r);
}

/* An error is printed as a tree on standard error; with an exit, if it is not alone. */
TEST(errors_are_printed_as_trees)
{
	struct child c;

	CHECK_INT(status_of(fails_and_exits, &c), ==, 4);
	CHECK_HAS(c.text, "jobs");
	CHECK_HAS(c.text, "failed after 0 ms");
	CHECK_INT(child_count(&c, "main/jobs/fail_after_ms"), >=, 1);
	PROVES(B308);
}

/* ---- one signal */

static int sleeps(void *arg)
{
	struct coop_cancel_info info;
	char text[200];
	int r;

	(void)arg;
	printf("ready\n");
	r = coop_sleep(COOP_NEVER);
	CHECK(coop_cancel_reason(&info));
	printf("%s, source %d, code %d\n", coop_cancel_text(&info, text, sizeof text),
	       (int)info.source, info.code);
	return r;
}

static int sleeps_in_child(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_group_open(&g, NULL);
	r = coop_spawn(&g, sleeps, NULL);
	return coop_group_join(&g, r);
}

static int signalled(coop_fn *fn, int sig, struct child *c)
{
	start(c, fn);
	child_prints(c, "ready\n");
	child_sleeps(c);
	CHECK_INT(kill(c->pid, sig), ==, 0);
	return child_end(c);
}

/* SIGINT and SIGTERM cancel everything; a shell sees a program that died of the signal. */
TEST(a_signal_stops_the_program)
{
	char why[80];
	struct child c;

	for (int way = 0; way < 4; way++) {
		int sig = way & 1 ? SIGTERM : SIGINT;

		CHECK_INT(signalled(way & 2 ? sleeps_in_child : sleeps, sig, &c), ==,
			  CHILD_SIGNAL(sig));
		snprintf(why, sizeof why, "stopped by %s, source %d, code %d\n",
			 coop_signal_name(sig), COOP_CANCEL_SIGNAL, sig);
		CHECK_HAS(c.text, why);
		CHECK_INT(child_count(&c, "error"), ==, 0);
	}
	PROVES(B296, S69, S49);
}

/* What the shell says of it: 128 and the signal. */
TEST(a_shell_sees_130)
{
	char command[200];
	struct child c;
	FILE *f;
	int status = 0, pid;

	snprintf(command, sizeof command,
		 "sh -c 'trap : INT; sh -c \"kill -INT \\$\\$\"; echo $?'");
	f = popen(command, "r");
	CHECK(f != NULL);
	CHECK_INT(fscanf(f, "%d", &status), ==, 1);
	pclose(f);
	CHECK_INT(status, ==, 130); /* that is what dying of SIGINT looks like there */
	CHECK_INT(signalled(sleeps, SIGINT, &c), ==, CHILD_SIGNAL(SIGINT));
	pid = (int)c.pid;
	CHECK_INT(pid, >, 0);
	PROVES(S69);
}

/* A key: Ctrl-C on the terminal that the program has. */
static int on_terminal(void)
{
	int fd = open(getenv("TEST_TERMINAL"), O_RDWR);

	if (setsid() < 0 || fd < 0 || ioctl(fd, TIOCSCTTY, 0) < 0)
		return 99;
	return coop_main(sleeps, NULL);
}

TEST(ctrl_c_on_a_terminal)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY);
	struct child c;

	CHECK(fd >= 0 && grantpt(fd) == 0 && unlockpt(fd) == 0);
	setenv("TEST_TERMINAL", ptsname(fd), 1);
	child_start(&c, on_terminal);
	child_prints(&c, "ready\n");
	CHECK_INT(write(fd, "\003", 1), ==, 1);
	CHECK_INT(child_end(&c), ==, CHILD_SIGNAL(SIGINT));
	CHECK_HAS(c.text, "stopped by SIGINT");
	close(fd);
	PROVES(S49);
}

/* With COOP_EXIT_ZERO a complete drain is a success; an error that came on the way is not. */
static int fails_on_the_way(void *arg)
{
	int r = sleeps(arg);

	return coop_is_cancel(r) ? coop_fail(-EIO, "could not save") : r;
}

static int swallows(void *arg)
{
	(void)sleeps(arg);
	return 7;
}

TEST(exit_zero_after_a_signal)
{
	struct child c;

	program_opts = (struct coop_run_opts){ .signal_exit = COOP_EXIT_ZERO };
	CHECK_INT(signalled(sleeps, SIGTERM, &c), ==, 0);
	CHECK_INT(child_count(&c, "error"), ==, 0);
	CHECK_INT(signalled(swallows, SIGINT, &c), ==, 0);
	CHECK_INT(signalled(fails_on_the_way, SIGINT, &c), ==, 1);
	CHECK_HAS(c.text, "could not save");
	PROVES(B308);
}

/* Whatever main returns after a signal has stopped it, it dies of that; but an exit is an exit. */
static int exits_on_the_way(void *arg)
{
	(void)sleeps(arg);
	return COOP_EEXIT(9);
}

TEST(the_signal_is_raised_again)
{
	struct child c;

	CHECK_INT(signalled(swallows, SIGTERM, &c), ==, CHILD_SIGNAL(SIGTERM));
	CHECK_INT(signalled(fails_on_the_way, SIGTERM, &c), ==, CHILD_SIGNAL(SIGTERM));
	CHECK_HAS(c.text, "could not save"); /* and it was said */
	CHECK_HAS(c.text, "\"stopped by SIGTERM\"");
	CHECK_INT(signalled(exits_on_the_way, SIGTERM, &c), ==, 9);
	PROVES(B308, S69);
}

static int main_of_pid_1(void)
{
	pid_t pid;
	int status;

	if (unshare(CLONE_NEWUSER | CLONE_NEWPID) < 0 && unshare(CLONE_NEWPID) < 0)
		return 98;
	pid = fork();
	if (pid == 0) {
		if (getpid() != 1)
			_exit(97);
		_exit(coop_main(sleeps, NULL)); /* the leak sanitizer cannot work as pid 1 */
	}
	dprintf(STDOUT_FILENO, "pid is %d\n", (int)pid); /* one write: it is there or not */
	if (waitpid(pid, &status, 0) != pid)
		return 96;
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 95);
}

/* The first process of a container cannot die of a signal: it says so by 128 + n. */
TEST(the_first_process_of_a_container)
{
	struct child c;
	int status;

	CHECK_INT(cp_status_of_signal(SIGTERM, 1), ==, 128 + SIGTERM);
	CHECK_INT(cp_status_of_signal(SIGINT, 1), ==, 130);
	CHECK_INT(cp_status_of_signal(SIGINT, 2), ==, 0);
	child_start(&c, main_of_pid_1);
	while (!(strstr(c.text, "ready") && strstr(c.text, "pid is ")))
		if (!child_read(&c))
			break;
	if (strstr(c.text, "pid is "))
		CHECK_INT(kill(atoi(strstr(c.text, "pid is ") + 7), SIGTERM), ==, 0);
	status = child_end(&c);
	if (status != 98) /* namespaces are not allowed here: then the above has to do */
		CHECK_INT(status, ==, 128 + SIGTERM);
	PROVES(B308);
}

/* ---- SIGINT that was ignored at the start */

static int ignores_sigint(void)
{
	signal(SIGINT, SIG_IGN);
	return program();
}

static int looks_at_sigint(void *arg)
{
	struct sigaction now;

	sigaction(SIGINT, NULL, &now);
	printf("SIGINT is %s\n", now.sa_handler == SIG_IGN ? "ignored" : "handled");
	raise(SIGINT);
	return sleeps(arg);
}

/* It stays ignored, as in a background job of a shell; SIGTERM stops it all the same. */
TEST(an_ignored_sigint_stays_ignored)
{
	struct child c;

	program_fn = looks_at_sigint;
	child_start(&c, ignores_sigint);
	child_prints(&c, "SIGINT is ignored\nready\n");
	child_sleeps(&c);
	CHECK_INT(kill(c.pid, SIGINT), ==, 0);
	CHECK_INT(kill(c.pid, SIGTERM), ==, 0);
	CHECK_INT(child_end(&c), ==, CHILD_SIGNAL(SIGTERM));
	CHECK_HAS(c.text, "stopped by SIGTERM");
	PROVES(B299);
}

static int receives_ignored(void *arg)
{
	static const int sigint[] = { SIGINT };
	struct coop_signals *s;
	int r;

	CHECK_INT(coop_signals_open(sigint, 1, &s), ==, 0);
	printf("ready\n");
	r = coop_signals_receive(s);
	printf("received %s\n", coop_signal_name(r));
	coop_signals_close(s);
	return looks_at_sigint(arg);
}

/* Unless the program itself asks for it; then it is ignored again. */
TEST(an_ignored_sigint_can_be_asked_for)
{
	struct child c;

	program_fn = receives_ignored;
	child_start(&c, ignores_sigint);
	child_prints(&c, "ready\n");
	CHECK_INT(kill(c.pid, SIGINT), ==, 0);
	child_prints(&c, "received SIGINT\nSIGINT is ignored\nready\n");
	CHECK_INT(kill(c.pid, SIGTERM), ==, 0);
	CHECK_INT(child_end(&c), ==, CHILD_SIGNAL(SIGTERM));
	PROVES(B299);
}

/* ---- the ladder */

static int waits_soft(void *arg)
{
	int r;

	(void)arg;
	printf("soft begins\n");
	r = coop_sleep(COOP_NEVER);
	printf("soft ends\n");
	return r;
}

static int waits_hard(void *arg)
{
	int r;

	(void)arg;
	printf("hard begins\n");
	r = coop_sleep(COOP_NEVER);
	printf("hard ends\n");
	return r;
}

static int soft(void *arg)
{
	return coop_shield_grace(COOP_NEVER, waits_soft, arg);
}

static int hard(void *arg)
{
	return coop_shield(waits_hard, arg);
}

static int plain(void *arg)
{
	int r;

	(void)arg;
	printf("plain begins\n");
	r = coop_sleep(COOP_NEVER);
	printf("plain ends\n");
	return r;
}

/* Cannot be interrupted at all, as a call that a driver holds. */
static int stubborn(void *arg)
{
	struct cp_wait w = { .what = "a driver", .kind = CP_ON_NOTHING };

	(void)arg;
	printf("stubborn begins\n");
	return cp_park(cp_rt, &w);
}

static int climbs(void *arg)
{
	struct coop_spawn_opts protect = { .shutdown_wait = true, .name = "protected" };
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_log_set(NULL, NULL, COOP_LOG_INFO);
	coop_group_open(&g, &(struct coop_group_opts){ .name = "all" });
	r = coop_spawn(&g, plain, NULL);
	if (r >= 0)
		r = coop_spawn(&g, soft, NULL);
	if (r >= 0)
		r = coop_spawn_with(&g, waits_soft, NULL, &protect, NULL);
	if (r >= 0)
		r = coop_spawn(&g, hard, NULL);
	if (r >= 0)
		r = coop_spawn(&g, stubborn, NULL);
	return coop_group_join(&g, r);
}

/* Soft stop, grace to 0, no shields, the end: each step ends those that the one before let be. */
TEST(the_ladder)
{
	struct child c;

	start(&c, climbs);
	child_prints(&c, "stubborn begins\n");
	child_sleeps(&c);
	CHECK_INT(kill(c.pid, SIGINT), ==, 0);
	child_prints(&c, "plain ends\n");
	child_sleeps(&c);
	CHECK_INT(child_count(&c, "soft ends") + child_count(&c, "hard ends"), ==, 0);
	CHECK_INT(kill(c.pid, SIGINT), ==, 0);
	child_prints(&c, "soft ends\n");
	child_prints(&c, "soft ends\n");
	child_sleeps(&c);
	CHECK_INT(child_count(&c, "hard ends"), ==, 0);
	CHECK_INT(kill(c.pid, SIGTERM), ==, 0); /* it counts with the others */
	child_prints(&c, "hard ends\n");
	child_sleeps(&c);
	CHECK_INT(kill(c.pid, SIGINT), ==, 0);
	CHECK_INT(child_end(&c), ==, 130);
	CHECK_HAS(c.text, "shutdown: stopped by SIGINT (6 tasks alive)");
	CHECK_HAS(c.text, "shutdown: the grace is cut to 0 (5 tasks alive)");
	CHECK_HAS(c.text, "shutdown: shields are ignored (3 tasks alive)");
	CHECK_HAS(c.text, "main/all/stubborn is still alive");
	CHECK_HAS(c.text, "run: 2 tasks"); /* the dump */
	CHECK_HAS(c.text, "\"stubborn\" cancelling in a driver for ");
	PROVES(S70, B300, S73);
}

static int hangs(void *arg)
{
	(void)arg;
	printf("ready\n");
	for (;;)
		pause(); /* never a checkpoint */
	return 0;
}

/* Where a task does not let the loop run the last step still works, and says who it is. */
TEST(the_ladder_of_a_program_that_hangs)
{
	struct child c;

	start(&c, hangs);
	child_prints(&c, "ready\n");
	for (int i = 0; i < 4; i++) {
		child_sleeps(&c);
		CHECK_INT(kill(c.pid, i ? SIGTERM : SIGINT), ==, 0);
		usleep(1000); /* signals that come at once are one; not enough of them is a hang */
	}
	for (int i = 0; i < 1000 && kill(c.pid, SIGTERM) == 0; i++)
		if (waitpid(c.pid, NULL, WNOHANG | WNOWAIT) != 0)
			break;
	CHECK_INT(child_end(&c), ==, 128 + SIGTERM);
	CHECK_HAS(c.text,
		  "coop: SIGTERM again, and the loop does not hear it: task \"main\" (spawned at");
	PROVES(S70);
}

/* ---- when signals come */

static int raises_and_looks(void *arg)
{
	int checkpoints = 0, r;

	(void)arg;
	raise(SIGINT);
	for (int i = 0; i < 1000; i++)
		CHECK(!coop_cancelled()); /* not in the middle of a statement */
	while ((r = coop_checkpoint()) == 0)
		CHECK_INT(++checkpoints, <, 10000); /* 61 turns of 128 */
	CHECK_INT(r, ==, COOP_ECANCELED);
	printf("at a checkpoint\n");
	return r;
}

/* An interrupt is noticed at a checkpoint, and nowhere else. */
TEST(an_interrupt_waits_for_a_checkpoint)
{
	struct child c;

	CHECK_INT(status_of(raises_and_looks, &c), ==, CHILD_SIGNAL(SIGINT));
	CHECK_HAS(c.text, "at a checkpoint\n");
	PROVES(B298);
}

/* A run with the ladder, its result and its error, without the end of the program. */
static int run_with_ladder(coop_fn *fn, const struct coop_run_opts *opts, int before, int after,
			   struct coop_error **ret_error)
{
	struct cp_rt *rt;
	int r;

	CHECK_INT(cp_rt_open(opts, &rt), ==, 0);
	CHECK_INT(cp_ladder_install(rt), ==, 0);
	if (before)
		raise(before);
	r = cp_rt_run(rt, fn, NULL);
	*ret_error = coop_error_take(r);
	if (after)
		raise(after);
	cp_ladder_remove(rt);
	cp_rt_close(rt);
	return r;
}

/* One that comes before the first task is not lost. */
TEST(a_signal_before_the_first_task)
{
	struct coop_error *e;
	struct coop_error_info i;

	keep_records(COOP_LOG_WARN);
	CHECK_INT(run_with_ladder(sleep_for_ever, &virtual_clock, SIGTERM, 0, &e), ==,
		  COOP_EINTERRUPT);
	coop_error_describe(e, &i);
	CHECK_INT(i.code, ==, COOP_EINTERRUPT);
	CHECK_INT(i.kind, ==, COOP_ERROR_LEAF);
	CHECK_STR(i.message, "stopped by SIGTERM");
	coop_error_unref(e);
	CHECK_STR(records, "shutdown: stopped by SIGTERM (1 tasks alive)\n");
	PROVES(B296, S59);
}

static volatile sig_atomic_t late_calls;

static void on_late(int sig)
{
	late_calls += sig == SIGTERM;
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* One that comes when the loop has ended goes to what was there before, if none was heard. */
TEST(a_signal_after_the_last_turn)
{
	struct sigaction now;
	struct coop_error *e;

	keep_records(COOP_LOG_ERROR);
	signal(SIGTERM, on_late);
	CHECK_INT(run_with_ladder(nothing, &virtual_clock, 0, SIGTERM, &e), ==, 0);
	CHECK_INT(late_calls, ==, 1);
	CHECK_INT(run_with_ladder(sleep_for_ever, &virtual_clock, SIGTERM, SIGTERM, &e), ==,
		  COOP_EINTERRUPT);
	coop_error_unref(e);
	CHECK_INT(late_calls, ==, 1);
	sigaction(SIGTERM, NULL, &now);
	CHECK(now.sa_handler == on_late);
	sigaction(SIGINT, NULL, &now);
	CHECK(now.sa_handler == SIG_DFL);
	PROVES(S76, B291);
}

static int receives_as_it_is_stopped(void *arg)
{
	static const int sighup[] = { SIGHUP };
	struct coop_signals *s;

	(void)arg;
	CHECK_INT(coop_signals_open(sighup, 1, &s), ==, 0);
	CHECK_INT(raise(SIGTERM), ==, 0);
	CHECK_INT(coop_signals_receive(s), ==, COOP_ECANCELED); /* which has heard of it itself */
	CHECK_INT(coop_shutdown_phase(), ==, COOP_SHUTDOWN_SOFT);
	coop_signals_close(s);
	return COOP_ECANCELED;
}

/* The first step reaches a task also where it comes to light in the task's own receive. */
TEST(a_receive_that_begins_as_the_program_is_stopped)
{
	struct coop_error *e;

	keep_records(COOP_LOG_ERROR);
	CHECK_INT(run_with_ladder(receives_as_it_is_stopped, &virtual_clock, 0, 0, &e), ==,
		  COOP_EINTERRUPT);
	coop_error_unref(e);
	PROVES(B296);
}

static int takes_sigint(void *arg)
{
	static const int sigint[] = { SIGINT };
	struct coop_signals *s;

	(void)arg;
	for (int i = 0; i < 3; i++) {
		CHECK_INT(coop_signals_open(sigint, 1, &s), ==, 0);
		CHECK_INT(raise(SIGINT), ==, 0);
		CHECK_INT(coop_signals_receive(s), ==, SIGINT);
		CHECK_INT(coop_shutdown_phase(), ==, COOP_SHUTDOWN_NONE);
		if (i == 2)
			CHECK_INT(raise(SIGINT), ==, 0); /* not received any more */
		coop_signals_close(s);
		CHECK_INT(coop_sleep(MS(1)), ==, i == 2 ? COOP_ECANCELED : 0);
	}
	CHECK_INT(coop_shutdown_phase(), ==, COOP_SHUTDOWN_SOFT);
	return COOP_ECANCELED;
}

/* A receiver takes a signal away from the ladder and gives it back, with what it did not take. */
TEST(a_receiver_and_the_ladder)
{
	struct coop_error *e;

	keep_records(COOP_LOG_ERROR);
	CHECK_INT(run_with_ladder(takes_sigint, &virtual_clock, 0, 0, &e), ==, COOP_EINTERRUPT);
	coop_error_unref(e);
	PROVES(S74, B291);
}

/* ---- an interrupt and other ends */

static int fails_first(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	coop_group_open(&g, NULL);
	r = coop_spawn(&g, fail_after_ms, MSARG(1));
	r = coop_sleep(COOP_NEVER); /* ended by the failure */
	CHECK_INT(coop_shield(sleep_ms, MSARG(1)), ==, 0);
	raise(SIGINT);
	CHECK_INT(coop_shield(sleep_ms, MSARG(1)), ==, 0);
	return coop_group_join(&g, r);
}

static int fails_afterwards(void *arg)
{
	int r;

	(void)arg;
	raise(SIGINT);
	r = coop_sleep(SEC(1));
	CHECK_INT(r, ==, COOP_ECANCELED);
	return coop_fail(-EIO, "clean-up failed");
}

static int was_stopped_otherwise(void *arg)
{
	(void)arg;
	CHECK_INT(coop_stop("enough"), ==, 0);
	raise(SIGINT);
	CHECK_INT(coop_shield(sleep_ms, MSARG(1)), ==, 0);
	return coop_checkpoint();
}

static int was_cancelled_otherwise(void *arg)
{
	(void)arg;
	CHECK_INT(coop_group_cancel(coop_run_group(), "by hand"), ==, 0);
	raise(SIGINT);
	CHECK_INT(coop_shield(sleep_ms, MSARG(1)), ==, 0);
	return coop_checkpoint();
}

/* What came first is the result; an interrupt that came second stands beside it. */
TEST(an_interrupt_after_another_failure)
{
	struct coop_error_info i;
	struct coop_error *e;

	keep_records(COOP_LOG_ERROR);
	CHECK_INT(run_with_ladder(fails_first, &virtual_clock, 0, 0, &e), ==, -EIO);
	coop_error_describe(e, &i);
	CHECK_INT(i.members, ==, 2);
	CHECK_INT(coop_error_code(coop_error_member(e, 0)), ==, -EIO);
	CHECK_INT(coop_error_code(coop_error_member(e, 1)), ==, COOP_EINTERRUPT);
	CHECK_INT(coop_error_code(coop_error_primary(e)), ==, -EIO);
	coop_error_unref(e);

	CHECK_INT(run_with_ladder(fails_afterwards, &virtual_clock, 0, 0, &e), ==, COOP_EINTERRUPT);
	coop_error_describe(e, &i);
	CHECK_INT(i.members, ==, 2);
	CHECK_INT(coop_error_code(coop_error_member(e, 0)), ==, COOP_EINTERRUPT);
	CHECK_INT(coop_error_code(coop_error_member(e, 1)), ==, -EIO);
	coop_error_unref(e);
	PROVES(B297);
}

/* One that came when main was cancelled for another reason is not the result at all. */
TEST(an_interrupt_after_another_cancel)
{
	struct coop_error *e;

	keep_records(COOP_LOG_ERROR);
	CHECK_INT(run_with_ladder(was_stopped_otherwise, &virtual_clock, 0, 0, &e), ==, 0);
	CHECK(e == NULL);
	CHECK_INT(run_with_ladder(was_cancelled_otherwise, &virtual_clock, 0, 0, &e), ==,
		  COOP_ECANCELED);
	CHECK(e == NULL);
	PROVES(B297);
}

/* Nor does the program die of it. A test of its own: after a run ThreadSanitizer bears no fork. */
TEST(a_program_stopped_otherwise_does_not_die_of_an_interrupt)
{
	struct child c;

	coop_log_set(NULL, NULL, COOP_LOG_ERROR);
	CHECK_INT(status_of(was_stopped_otherwise, &c), ==, 0);
	CHECK_STR(c.text, "");
	PROVES(B297);
}

/* ---- what is taken, and given back */

static void own_handler(int sig)
{
	(void)sig;
}

static void *handler_of(int sig)
{
	struct sigaction now;

	CHECK_INT(sigaction(sig, NULL, &now), ==, 0);
	return (void *)(uintptr_t)now.sa_handler;
}

static int handlers_are_taken(void *arg)
{
	(void)arg;
	CHECK(handler_of(SIGINT) != (void *)(uintptr_t)own_handler);
	CHECK(handler_of(SIGTERM) != NULL);
	return 5;
}

/* After the program's run every disposition is what it was, and it can be run again. */
TEST(handlers_are_given_back)
{
	void *segv = handler_of(SIGSEGV), *bus = handler_of(SIGBUS);

	signal(SIGINT, own_handler);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(coop_main(handlers_are_taken, NULL), ==, 0);
		CHECK(handler_of(SIGINT) == (void *)(uintptr_t)own_handler);
		CHECK(handler_of(SIGTERM) == (void *)(uintptr_t)SIG_DFL);
		CHECK(handler_of(SIGSEGV) == segv);
		CHECK(handler_of(SIGBUS) == bus);
	}
	PROVES(B289);
}

static int handlers_are_kept(void *arg)
{
	(void)arg;
	CHECK(handler_of(SIGINT) == (void *)(uintptr_t)own_handler);
	CHECK(handler_of(SIGTERM) == (void *)(uintptr_t)SIG_DFL);
	return 0;
}

/* keep_signals leaves them alone. */
TEST(signals_are_kept_if_asked_for)
{
	struct coop_run_opts opts = { .keep_signals = true };

	signal(SIGINT, own_handler);
	CHECK_INT(coop_main_with(handlers_are_kept, NULL, &opts), ==, 0);
	CHECK_INT(coop_run(handlers_are_kept, NULL, NULL), ==, 0); /* a bare run touches none */
}

/* Whatever the system refuses at the start: it says so or does without, and gives all back. */
TEST(a_start_that_fails)
{
	int failed = 0;

	signal(SIGINT, own_handler);
	keep_records(COOP_LOG_ERROR);
	for (uint64_t n = 1; n < 40; n++) {
		void *segv = handler_of(SIGSEGV);

		cp_os_faults.call_errno = EMFILE;
		cp_os_faults.call_fail_at = cp_os_faults.call_calls + n;
		failed += coop_main(nothing, NULL) == 1;
		cp_os_faults.call_fail_at = 0;
		CHECK(handler_of(SIGINT) == (void *)(uintptr_t)own_handler || n > 3);
		CHECK(handler_of(SIGSEGV) == segv || n > 3);
		signal(SIGINT, own_handler); /* where giving it back was what was refused */
	}
	CHECK_INT(failed, >, 3);
	CHECK_INT(coop_main(nothing, NULL), ==, 0);
}

static int main_in_main(void *arg)
{
	(void)arg;
	CHECK_INT(coop_main(nothing, NULL), ==, 1);
	return 0;
}

static int forks(void *arg)
{
	int status;
	pid_t pid = fork();

	(void)arg;
	if (pid == 0)
		_exit(coop_main(nothing, NULL) + 40);
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK_INT(WEXITSTATUS(status), ==, 41);
	return 0;
}

static void *second_program(void *arg)
{
	*(int *)arg = coop_main(nothing, NULL);
	return NULL;
}

static int runs_a_second(void *arg)
{
	pthread_t thread;
	int status = -1;

	(void)arg;
	CHECK_INT(pthread_create(&thread, NULL, second_program, &status), ==, 0);
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
	CHECK_INT(status, ==, 1);
	return 0;
}

static int no_function(void)
{
	return coop_main(NULL, NULL) + 10;
}

/* A program is one, and begins from the outside: everything else is refused with a word. */
TEST(programs_that_cannot_start)
{
	struct child c;

	CHECK_INT(status_of(main_in_main, &c), ==, 0);
	CHECK_HAS(c.text, "error: coop_main: called inside a run\n");
	CHECK_INT(status_of(forks, &c), ==, 0);
	CHECK_HAS(c.text, "error: coop_main: no runtime lives on in a forked child\n");
	CHECK_INT(status_of(runs_a_second, &c), ==, 0);
	CHECK_HAS(c.text, "error: coop_main cannot start: called on another runtime's thread\n");
	child_start(&c, no_function);
	CHECK_INT(child_end(&c), ==, 11);
	CHECK_HAS(c.text, "error: coop_main: no function\n");
	program_opts = (struct coop_run_opts){ .grace_ns = -5 };
	CHECK_INT(status_of(nothing, &c), ==, 1);
	CHECK_HAS(c.text, "error: coop_main cannot start");
	PROVES(B309, B311, B294);
}

/* ---- the virtual clock, and deadlocks */

static int sleeps_through(void *arg)
{
	int r = 0;

	(void)arg;
	for (int i = 0; i < 1000 && r >= 0; i++) {
		r = coop_sleep(SEC(1));
		if (i == 500)
			raise(SIGTERM);
	}
	printf("at %d s\n", (int)(now_ms() / 1000));
	return r;
}

static int from_the_beginning(void *arg)
{
	begin_ns = coop_now();
	return sleeps_through(arg);
}

/* On the virtual clock, too, the signal is heard before time moves on; without timers it waits. */
TEST(signals_on_the_virtual_clock)
{
	struct child c;

	program_opts = virtual_clock;
	CHECK_INT(status_of(from_the_beginning, &c), ==, CHILD_SIGNAL(SIGTERM));
	CHECK_HAS(c.text, "at 501 s\n");
	CHECK_INT(signalled(sleeps, SIGINT, &c), ==, CHILD_SIGNAL(SIGINT));
	CHECK_HAS(c.text, "stopped by SIGINT");
	PROVES(B296);
}

static int says_ready(void *arg)
{
	(void)arg;
	printf("ready\n");
	return 0;
}

/* Who asks for it has deadlocks found in a program, too: that a signal may end it is no way out. */
TEST(deadlocks_in_a_program)
{
	struct child c;

	program_opts = (struct coop_run_opts){ .detect_deadlock = true };
	CHECK_INT(status_of(sleep_for_ever, &c), ==, 1);
	CHECK_HAS(c.text, "deadlock");
	program_opts.forever = true; /* this one waits for a signal by its own wish */
	CHECK_INT(signalled(says_ready, SIGTERM, &c), ==, CHILD_SIGNAL(SIGTERM));
	PROVES(B319);
}
