/* SPDX-License-Identifier: MIT */
/*
 * Starting processes: that each option does what it says, that nothing else is passed on, that what
 * goes wrong is told exactly and leaves nothing behind. Rows H01 to H19 of the catalogue of bugs.
 */
#include "process_help.h"

#include <coop/signal.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>

/* ---- how it ended */

static struct coop_process_status status_of(const char *script)
{
	struct coop_process_opts opts = { .argv = SH(script) };
	struct coop_process_status status;

	CHECK_INT(coop_process_run(&opts, &status), ==, 0);
	return status;
}

/* An exit, a signal, a core dump: told apart, and put into words. */
PROCESS_TEST(status_of_an_end)
{
	struct coop_process_status s;
	char text[64];

	s = status_of("exit 0");
	CHECK(coop_process_ok(&s));
	CHECK_STR(coop_process_text(&s, text, sizeof text), "exit 0");
	s = status_of("exit 255");
	CHECK(!coop_process_ok(&s));
	CHECK_INT(s.code, ==, 255);
	CHECK_INT(coop_process_shell_code(&s), ==, 255);
	s = status_of("kill -TERM $$");
	CHECK(!coop_process_ok(&s));
	CHECK_INT(s.signal, ==, SIGTERM);
	CHECK(!s.core);
	CHECK_INT(coop_process_shell_code(&s), ==, 128 + SIGTERM);
	CHECK_STR(coop_process_text(&s, text, sizeof text), "killed by SIGTERM");
	s.core = true;
	CHECK_STR(coop_process_text(&s, text, sizeof text), "killed by SIGTERM (core dumped)");
	CHECK_STR(coop_process_text(&s, text, 7), "killed");
	CHECK_STR(coop_process_text(&s, NULL, 0), NULL);
	return 0;
}

/* What it used is told: time, memory. */
PROCESS_TEST(usage_of_an_end)
{
	struct coop_process_status s =
		status_of("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");

	CHECK_INT(s.user_ns + s.system_ns, >, 0);
	CHECK_INT(s.memory_max, >, 100000);
	return 0;
}

/* Without a place for the status anything but exit 0 is an error that says what it was. */
PROCESS_TEST(run_without_a_status)
{
	struct coop_process_opts good = { .argv = SH("exit 0") }, bad = { .argv = SH("exit 9") };
	struct coop_error_info info;
	int r;

	CHECK_INT(coop_process_run(&good, NULL), ==, 0);
	r = coop_process_run(&bad, NULL);
	CHECK_INT(r, ==, COOP_EPROCESS);
	coop_error_describe(coop_error_peek(r), &info);
	CHECK_STR(info.message, "sh: exit 9");
	coop_error_clear();
	return 0;
}

/* ---- what goes wrong in a start */

static enum coop_process_step step;

static int fails(struct coop_process_opts opts)
{
	struct coop_process *p = NULL;
	int fds = fds_open(), r;

	step = COOP_PROCESS_AT_NOTHING;
	opts.ret_step = &step;
	r = coop_process_spawn(&opts, &p);
	CHECK(!p);
	CHECK_INT(fds_open(), ==, fds);
	CHECK_INT(waitpid(-1, NULL, WNOHANG), ==, -1);
	CHECK(coop_error_peek(r) != NULL);
	coop_error_clear();
	return r;
}

#define CHECK_FAILS(code, at, ...) \
	do { \
		CHECK_INT(fails((struct coop_process_opts){ __VA_ARGS__ }), ==, (code)); \
		CHECK_INT(step, ==, (at)); \
	} while (0)

static const char *new_file(const char *name, const char *text, mode_t mode)
{
	static char path[128];
	FILE *f;

	snprintf(path, sizeof path, "/tmp/coop-test-%d-%s", (int)getpid(), name);
	f = fopen(path, "w");
	CHECK(f != NULL);
	fputs(text, f);
	fclose(f);
	CHECK_INT(chmod(path, mode), ==, 0);
	return path;
}

/* A program that cannot be entered: the error is the system's own, and the step says exec. */
PROCESS_TEST(exec_errors)
{
	const char *text = new_file("noexec",
				    "\x7f"
				    "ELF no program",
				    0755);
	char slash[160];
	static char big[3 << 20];

	CHECK_FAILS(-ENOENT, COOP_PROCESS_AT_EXEC, .argv = ARGV((char *)"/nonexistent/x"));
	CHECK_FAILS(-ENOENT, COOP_PROCESS_AT_EXEC, .argv = ARGV((char *)"no-such-program"));
	CHECK_FAILS(-EACCES, COOP_PROCESS_AT_EXEC, .argv = ARGV((char *)"/etc"));
	CHECK_FAILS(-ENOEXEC, COOP_PROCESS_AT_EXEC, .argv = ARGV((char *)text));
	snprintf(slash, sizeof slash, "%s/x", text);
	CHECK_FAILS(-ENOTDIR, COOP_PROCESS_AT_EXEC, .argv = ARGV(slash));
	memset(big, 'x', sizeof big - 1);
	CHECK_FAILS(-E2BIG, COOP_PROCESS_AT_EXEC, .argv = ARGV((char *)"true", big));
	unlink(text);
	text = new_file("plain", "true\n", 0644);
	CHECK_FAILS(-EACCES, COOP_PROCESS_AT_EXEC, .argv = ARGV((char *)text));
	unlink(text);
	return 0;
}

/* The message names the program and what was being done. */
PROCESS_TEST(the_error_says_where)
{
	struct coop_process_opts opts = { .argv = SH("true"), .cwd = "/nowhere" };
	struct coop_process *p;
	struct coop_error_info info;
	int r = coop_process_spawn(&opts, &p);

	CHECK_INT(r, ==, -ENOENT);
	coop_error_describe(coop_error_peek(r), &info);
	CHECK_STR(info.message, "cannot start sh: its folder /nowhere");
	coop_error_clear();
	return 0;
}

/* Every step before the program can fail, and is told. */
PROCESS_TEST(step_errors)
{
	struct coop_process_fd closed = { 900, 3 };
	struct coop_process_limit wrong = { RLIMIT_NOFILE, 100, 50 };
	int null = open("/dev/null", O_RDWR), root = open("/", O_RDONLY | O_DIRECTORY);

	CHECK_FAILS(-ENOENT, COOP_PROCESS_AT_CWD, .argv = SH("true"), .cwd = "/nowhere");
	CHECK_FAILS(-EBADF, COOP_PROCESS_AT_FDS, .argv = SH("true"), .fds = &closed,
		    .fds_count = 1);
	CHECK_FAILS(-EBADF, COOP_PROCESS_AT_FDS, .argv = SH("true"),
		    .out = { COOP_PROCESS_FD, 900 });
	CHECK_FAILS(-EINVAL, COOP_PROCESS_AT_LIMITS, .argv = SH("true"), .limits = &wrong,
		    .limits_count = 1);
	CHECK_FAILS(-ENOTTY, COOP_PROCESS_AT_TERMINAL, .argv = SH("true"),
		    .in = { COOP_PROCESS_FD, null }, .group = COOP_PROCESS_OWN_SESSION,
		    .terminal = true);
	CHECK_FAILS(-ENOENT, COOP_PROCESS_AT_CGROUP, .argv = SH("true"), .cgroup_fd = root);
	CHECK_FAILS(-EPERM, COOP_PROCESS_AT_GROUP, .argv = SH("true"), .join = 1);
	close(null);
	close(root);
	return 0;
}

/* Options that make no sense are refused before anything is done. */
PROCESS_TEST(bad_options)
{
	struct coop_process_fd twice[] = { { 0, 5 }, { 1, 5 } }, low = { 0, 2 };
	struct coop_process_rung rungs[9] = { { SIGTERM, 1 } }, bad = { 0, 1 };
	struct coop_process *p;

#define CHECK_BAD(...) CHECK_FAILS(-EINVAL, COOP_PROCESS_AT_OPTIONS, __VA_ARGS__)
	CHECK_BAD(.argv = NULL);
	CHECK_BAD(.argv = (char *[]){ NULL });
	CHECK_BAD(.argv = ARGV((char *)""));
	CHECK_BAD(.argv = SH(""), .path = "");
	CHECK_BAD(.argv = SH(""), .in = { COOP_PROCESS_STDOUT, 0 });
	CHECK_BAD(.argv = SH(""), .out = { COOP_PROCESS_FD, -1 });
	CHECK_BAD(.argv = SH(""), .err = { (enum coop_process_io)77, 0 });
	CHECK_BAD(.argv = SH(""), .fds = twice, .fds_count = 2);
	CHECK_BAD(.argv = SH(""), .fds = &low, .fds_count = 1);
	CHECK_BAD(.argv = SH(""), .fds_count = 1);
	CHECK_BAD(.argv = SH(""), .join = 7, .group = COOP_PROCESS_OWN_GROUP);
	CHECK_BAD(.argv = SH(""), .stop = rungs, .stop_count = 9);
	CHECK_BAD(.argv = SH(""), .stop = &bad, .stop_count = 1);
	CHECK_BAD(.argv = SH(""), .umask_set = 02000);
	CHECK_BAD(.argv = SH(""), .death_signal = 99);
	CHECK_BAD(.argv = SH(""), ._reserved = { 0, 1 });
	CHECK_INT(coop_process_spawn(NULL, &p), ==, -EINVAL);
	coop_error_clear();
	return 0;
}

/* ---- what is passed on */

/* PATH is the child's, and the order of its folders counts; with a '/' it is not looked at. */
PROCESS_TEST(search_in_the_childs_path)
{
	char *env[] = { (char *)"PATH=/nowhere:/etc:/usr/bin:/bin", (char *)"A=1", NULL };
	char *none[] = { (char *)"PATH=/nowhere", NULL };
	char *bare[] = { (char *)"A=1", NULL };

	CHECK_STR(printed(&(struct coop_process_opts){ .argv = SH("echo $A"), .env = env }), "1");
	CHECK_STR(printed(&(struct coop_process_opts){ .argv = SH("echo $A"), .env = bare }), "1");
	CHECK_STR(printed(&(struct coop_process_opts){
			  .argv = ARGV((char *)"me", (char *)"-c", (char *)"echo $0"),
			  .path = "/bin/sh" }),
		  "me");
	CHECK_FAILS(-ENOENT, COOP_PROCESS_AT_EXEC, .argv = SH(""), .env = none);
	CHECK_STR(printed(&(struct coop_process_opts){ .argv = SH("pwd"), .cwd = "/usr/bin" }),
		  "/usr/bin");
	return 0;
}

/* An empty folder in PATH is the child's current one. */
PROCESS_TEST(search_in_the_current_folder)
{
	const char *file = new_file("tool", "#!/bin/sh\necho here\n", 0755);
	char *env[] = { (char *)"PATH=/nowhere:", NULL };

	CHECK_STR(printed(&(struct coop_process_opts){
			  .argv = ARGV((char *)file + 5), .env = env, .cwd = "/tmp" }),
		  "here");
	unlink(file);
	return 0;
}

/* umask, nice, limits. */
PROCESS_TEST(umask_nice_limits)
{
	struct coop_process_limit files = { RLIMIT_NOFILE, 40, 50 };
	int nice_now = getpriority(PRIO_PROCESS, 0);
	char expected[32];

	CHECK_STR(printed(&(struct coop_process_opts){ .argv = SH("umask"),
						       .umask_set = 01000 | 027 }),
		  "0027");
	snprintf(expected, sizeof expected, "%d", nice_now + 3 < 19 ? nice_now + 3 : 19);
	CHECK_STR(printed(&(struct coop_process_opts){ .argv = ARGV((char *)"nice"), .nice = 3 }),
		  expected);
	CHECK_STR(printed(&(struct coop_process_opts){ .argv = SH("ulimit -n; ulimit -Hn"),
						       .limits = &files,
						       .limits_count = 1 }),
		  "40\n50");
	return 0;
}

static struct coop_process *sleeper(struct coop_process_opts opts)
{
	opts.argv = ARGV((char *)"sleep", (char *)"1000");
	return spawned(&opts);
}

/* Same group, own group, somebody's group, own session. */
PROCESS_TEST(groups)
{
	struct coop_process *same = sleeper((struct coop_process_opts){ 0 });
	struct coop_process *own =
		sleeper((struct coop_process_opts){ .group = COOP_PROCESS_OWN_GROUP });
	struct coop_process *joins =
		sleeper((struct coop_process_opts){ .join = coop_process_pid(own) });
	struct coop_process *session =
		sleeper((struct coop_process_opts){ .group = COOP_PROCESS_OWN_SESSION });

	CHECK_INT(getpgid(coop_process_pid(same)), ==, getpgrp());
	CHECK_INT(getpgid(coop_process_pid(own)), ==, coop_process_pid(own));
	CHECK_INT(getsid(coop_process_pid(own)), ==, getsid(0));
	CHECK_INT(getpgid(coop_process_pid(joins)), ==, coop_process_pid(own));
	CHECK_INT(getsid(coop_process_pid(session)), ==, coop_process_pid(session));
	CHECK_INT(coop_process_signal_group(same, 0), ==, -EPERM);
	CHECK_INT(coop_process_signal_group(own, SIGKILL), ==, 0);
	CHECK_INT(coop_process_wait(joins, NULL), ==, 0);
	coop_process_free(same);
	coop_process_free(own);
	coop_process_free(joins);
	coop_process_free(session);
	return 0;
}

/* Its orphans become its children where it is a subreaper; and it is not if that is not said. */
PROCESS_TEST(subreaper_flag)
{
	const char *script = "parent() { sed -n 's/^PPid:.//p' /proc/$p/status; }; "
			     "sh -c 'sleep 1000 >/dev/null & echo $! $$' | { read p q; "
			     "while [ $(parent) = $q ]; do :; done; "
			     "[ $(parent) = $$ ] && echo mine; kill $p; exit 0; }";
	struct coop_process_opts opts = { .argv = SH(script), .subreaper = true };

	be_subreaper();
	CHECK_INT(coop_subreaper(false), ==, 0); /* it alone */
	CHECK_STR(printed(&opts), "mine");
	opts.subreaper = false;
	CHECK_STR(printed(&opts), "");
	return 0;
}

/* The signal that it gets when the thread that started it is gone. */
static int starts_and_exits(void *arg)
{
	int *fds = arg;
	struct coop_process *p = sleeper((struct coop_process_opts){ .death_signal = SIGKILL });
	int pid = coop_process_pid(p);

	CHECK_INT(write(fds[1], &pid, sizeof pid), ==, sizeof pid);
	_exit(0);
}

TEST(death_signal)
{
	int fds[2], pid, status;
	pid_t middle;

	be_subreaper();
	CHECK_INT(pipe(fds), ==, 0);
	middle = fork();
	if (middle == 0)
		_exit(coop_run(starts_and_exits, fds, NULL));
	CHECK_INT(read(fds[0], &pid, sizeof pid), ==, sizeof pid);
	CHECK_INT(waitpid(middle, &status, 0), ==, middle);
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(fds[0]);
	close(fds[1]);
}

/* ---- signals: what a child finds (H05) */

static void on_usr1(int sig)
{
	(void)sig;
}

/* All defaults, none blocked, whatever they are here; keep_ignored is what nohup wants. */
PROCESS_TEST(rel_H05_signals_are_clean)
{
	struct coop_process_opts opts = {
		.argv = ARGV((char *)"cat", (char *)"/proc/self/status"),
	};
	unsigned long long ignored;
	sigset_t all, before;
	const char *text;
	char line[64];

	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, on_usr1);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	text = printed(&opts);
	CHECK_HAS(text, "SigBlk:\t0000000000000000");
	CHECK_HAS(text, "SigIgn:\t0000000000000000");
	CHECK_HAS(text, "SigCgt:\t0000000000000000");
	opts.keep_ignored = true;
	text = printed(&opts);
	CHECK_HAS(text, "SigBlk:\t0000000000000000");
	ignored = strtoull(proc_line(getpid(), "status", "SigIgn:"), NULL, 16);
	CHECK_INT(ignored & 3, ==, 3); /* HUP, INT, and whatever we were started with */
	snprintf(line, sizeof line, "SigIgn:\t%016llx", ignored & ~(1ull << (SIGPIPE - 1)));
	CHECK_HAS(text, line);
	sigprocmask(SIG_SETMASK, &before, NULL);
	PROVES(rel_H05);
	return 0;
}

/* A signal that comes in the middle of a start is handled here, once, and not by the child. */
static volatile sig_atomic_t storms;

static void on_alarm(int sig)
{
	(void)sig;
	storms++;
}

PROCESS_TEST(a_start_in_a_storm_of_signals)
{
	struct sigaction act = { .sa_handler = on_alarm, .sa_flags = SA_RESTART | SA_ONSTACK };
	struct itimerval fast = { { 0, 100 }, { 0, 100 } }, off = { { 0, 0 }, { 0, 0 } };

	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &fast, NULL);
	for (int i = 0; i < TEST_COUNT(200, 10); i++)
		CHECK_INT(shell("exit 4"), ==, 4);
	setitimer(ITIMER_REAL, &off, NULL);
	CHECK_INT(storms, >, 0);
	return 0;
}

/* ---- descriptors (H10, I03) */

static void check_same_file(int pid, int there, int here)
{
	struct stat a, b;
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, there);
	CHECK_INT(stat(path, &a), ==, 0);
	CHECK_INT(fstat(here, &b), ==, 0);
	if (a.st_ino != b.st_ino || a.st_dev != b.st_dev)
		FAIL("descriptor %d there is not %d here", there, here);
}

/* Once it sleeps: the loader of programs opens files, too. */
static int count_fds_of(int pid)
{
	char path[64];
	int count = -2; /* . and .. */
	DIR *dir;

	await_state(pid, 'S');
	snprintf(path, sizeof path, "/proc/%d/fd", pid);
	dir = opendir(path);
	CHECK(dir != NULL);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* Five descriptors to the same five numbers in every way: swaps, rings, one for many. */
PROCESS_TEST(rel_H10_every_table_of_descriptors)
{
	enum { FIRST = 10, N = 5, TABLES = 3125 };
	struct coop_process_fd map[N];
	struct coop_process_opts opts = { .fds = map, .fds_count = N };

	for (int i = 0; i < N; i++) {
		int fds[2];

		CHECK_INT(pipe(fds), ==, 0);
		CHECK_INT(dup2(fds[0], FIRST + i), ==, FIRST + i);
		close(fds[0]);
		close(fds[1]);
	}
	TEST_SECONDS(120);
	for (int table = 0; table < TABLES; table += TEST_COUNT(1, 97)) {
		struct coop_process *p;

		for (int i = 0, rest = table; i < N; i++, rest /= N)
			map[i] = (struct coop_process_fd){ FIRST + rest % N, FIRST + i };
		p = sleeper(opts);
		for (int i = 0; i < N; i++)
			check_same_file(coop_process_pid(p), map[i].as, map[i].fd);
		if (table % 25 == 0)
			CHECK_INT(count_fds_of(coop_process_pid(p)), ==, 3 + N);
		coop_process_free(p);
	}
	for (int i = 0; i < N; i++)
		close(FIRST + i);
	PROVES(rel_H10);
	return 0;
}

/* The three standard streams among each other, and with a further one. */
PROCESS_TEST(rel_H10_standard_streams_swapped)
{
	struct coop_process_fd third = { 1, 3 };

	for (int table = 0; table < 27; table++) {
		int of[3] = { table % 3, table / 3 % 3, table / 9 };
		struct coop_process *p = sleeper((struct coop_process_opts){
			.in = { COOP_PROCESS_FD, of[0] },
			.out = { COOP_PROCESS_FD, of[1] },
			.err = { COOP_PROCESS_FD, of[2] },
			.fds = &third,
			.fds_count = 1,
		});

		for (int i = 0; i < 3; i++)
			check_same_file(coop_process_pid(p), i, of[i]);
		check_same_file(coop_process_pid(p), 3, 1);
		coop_process_free(p);
	}
	return 0;
}

/* What is open here and not named is not there, close-on-exec or not, high numbers too. */
PROCESS_TEST(rel_I03_no_other_descriptors)
{
	int high = dup2(1, 200), low = dup(1);
	struct coop_process_fd named = { low, 100 };
	struct coop_process *p = sleeper((struct coop_process_opts){ 0 });

	CHECK_INT(high, ==, 200);
	CHECK_INT(count_fds_of(coop_process_pid(p)), ==, 3);
	coop_process_free(p);
	p = sleeper((struct coop_process_opts){ .fds = &named, .fds_count = 1 });
	CHECK_INT(count_fds_of(coop_process_pid(p)), ==, 4);
	check_same_file(coop_process_pid(p), 100, low);
	coop_process_free(p);
	close(high);
	close(low);
	PROVES(rel_I03);
	return 0;
}

/* Up to the limit of descriptors every number can be had; one beyond it is one too many. */
PROCESS_TEST(numbers_up_to_the_limit)
{
	struct rlimit limit, low;
	struct coop_process_fd swapped[] = { { 62, 63 }, { 63, 62 } }, beyond = { 62, 64 };
	enum coop_process_step at = COOP_PROCESS_AT_NOTHING;
	struct coop_process_opts opts = {
		.argv = SH(""), .fds = &beyond, .fds_count = 1, .ret_step = &at
	};
	struct coop_process *p;

	CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
	low = (struct rlimit){ 64, limit.rlim_max };
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &low), ==, 0);
	CHECK_INT(dup2(0, 62), ==, 62);
	CHECK_INT(dup2(1, 63), ==, 63);
	p = sleeper((struct coop_process_opts){ .fds = swapped, .fds_count = 2 });
	check_same_file(coop_process_pid(p), 62, 63);
	check_same_file(coop_process_pid(p), 63, 62);
	CHECK_INT(count_fds_of(coop_process_pid(p)), ==, 5);
	coop_process_free(p);
	CHECK_INT(coop_process_spawn(&opts, &p), ==, -EMFILE);
	CHECK_INT(at, ==, COOP_PROCESS_AT_FDS);
	close(62);
	close(63);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
	return 0;
}

/* A standard stream that we do not have is the null device there, and nothing is in its place. */
PROCESS_TEST(a_closed_standard_stream)
{
	struct coop_process *p;
	int kept = fcntl(0, F_DUPFD_CLOEXEC, 50), null = open("/dev/null", O_RDWR | O_CLOEXEC);

	close(0);
	p = sleeper((struct coop_process_opts){ 0 });
	check_same_file(coop_process_pid(p), 0, null);
	coop_process_free(p);
	CHECK_INT(dup2(kept, 0), ==, 0);
	close(kept);
	close(null);
	return 0;
}

/* ---- streams */

/* Pipes: what is written on one side comes out on the other; our ends do not block. */
PROCESS_TEST(pipes)
{
	struct coop_process_opts opts = {
		.argv = SH("read a; echo out $a; echo err $a >&2"),
		.in = { COOP_PROCESS_PIPE, 0 },
		.out = { COOP_PROCESS_PIPE, 0 },
		.err = { COOP_PROCESS_PIPE, 0 },
	};
	struct coop_process *p = spawned(&opts);
	char text[64];

	for (int i = 0; i < 3; i++) {
		CHECK(fcntl(coop_process_fd(p, i), F_GETFL) & O_NONBLOCK);
		CHECK(fcntl(coop_process_fd(p, i), F_GETFD) & FD_CLOEXEC);
	}
	CHECK_INT(coop_process_fd(p, 3), ==, -1);
	CHECK_INT(coop_process_fd(p, -1), ==, -1);
	CHECK_INT(write(coop_process_fd(p, 0), "word\n", 5), ==, 5);
	read_line(coop_process_fd(p, 1), text, sizeof text);
	CHECK_STR(text, "out word");
	read_line(coop_process_fd(p, 2), text, sizeof text);
	CHECK_STR(text, "err word");
	CHECK_INT(coop_process_wait(p, NULL), ==, 0);
	coop_process_free(p);
	return 0;
}

/* The child's side of a pipe blocks, and so does what it inherits: ours is not changed (K02). */
PROCESS_TEST(nothing_is_made_nonblocking)
{
	struct coop_process_opts opts = {
		.argv = SH("grep flags /proc/self/fdinfo/0 /proc/self/fdinfo/1"),
		.in = { COOP_PROCESS_PIPE, 0 },
	};
	int flags = fcntl(2, F_GETFL);

	CHECK_HAS(printed(&opts), "fdinfo/0:flags:\t00\n");
	CHECK_HAS(printed(&opts), "fdinfo/1:flags:\t01");
	CHECK_INT(fcntl(2, F_GETFL), ==, flags);
	return 0;
}

/* An end that was taken is the caller's. */
PROCESS_TEST(take_an_end)
{
	struct coop_process_opts opts = { .argv = SH("cat"), .in = { COOP_PROCESS_PIPE, 0 } };
	struct coop_process_status status;
	struct coop_process *p = spawned(&opts);
	int fd = coop_process_take_fd(p, 0);

	CHECK_INT(fd, >=, 0);
	CHECK_INT(coop_process_fd(p, 0), ==, -1);
	CHECK_INT(coop_process_take_fd(p, 0), ==, -1);
	close(fd); /* the end of its input */
	CHECK_INT(coop_process_wait(p, &status), ==, 0);
	CHECK(coop_process_ok(&status));
	coop_process_free(p);
	return 0;
}

/* The same file for both outputs, in the order of writing. */
PROCESS_TEST(standard_error_to_output)
{
	struct coop_process_opts opts = { .argv = SH("echo a; echo b >&2; echo c"),
					  .err = { COOP_PROCESS_STDOUT, 0 } };

	CHECK_STR(printed(&opts), "a\nb\nc");
	return 0;
}

/* A pty: a terminal of its own, that controls it, of the size that was said. */
PROCESS_TEST(pty)
{
	struct coop_process_opts opts = {
		.argv = SH("test -t 0 && test -t 1 && stty size </dev/tty && read x && stty size"),
		.in = { COOP_PROCESS_PTY, 0 },
		.out = { COOP_PROCESS_PTY, 0 },
		.err = { COOP_PROCESS_PTY, 0 },
		.rows = 33,
		.columns = 111,
		.plain_pty = true,
	};
	struct coop_process *p = spawned(&opts);
	int fd = coop_process_fd(p, 1);
	char text[64];

	CHECK_INT(coop_process_fd(p, 0), ==, fd);
	CHECK_INT(coop_process_fd(p, 2), ==, fd);
	read_line(fd, text, sizeof text);
	CHECK_STR(text, "33 111");
	CHECK_INT(coop_process_resize(p, 10, 20), ==, 0);
	CHECK_INT(write(fd, "x\n", 2), ==, 2);
	read_line(fd, text, sizeof text);
	CHECK_STR(text, "10 20");
	CHECK_INT(coop_process_wait(p, NULL), ==, 0);
	CHECK_INT(coop_process_take_fd(p, 2), ==, fd);
	CHECK_INT(coop_process_fd(p, 0), ==, -1);
	CHECK_INT(coop_process_resize(p, 10, 20), ==, -ENOTTY);
	close(fd);
	coop_process_free(p);
	return 0;
}

/* A Ctrl-C that is typed at a pty reaches its whole foreground group. */
PROCESS_TEST(pty_interrupts)
{
	struct coop_process_opts opts = {
		.argv = SH("echo ready; exec sleep 1000"),
		.in = { COOP_PROCESS_PTY, 0 },
		.out = { COOP_PROCESS_PTY, 0 },
	};
	struct coop_process *p = spawned(&opts);
	struct coop_process_status status;
	char text[64];

	read_line(coop_process_fd(p, 1), text, sizeof text);
	CHECK_STR(text, "ready\r");
	CHECK_INT(write(coop_process_fd(p, 0), "\x03", 1), ==, 1);
	CHECK_INT(coop_process_wait(p, &status), ==, 0);
	CHECK_INT(coop_process_shell_code(&status), ==, 128 + SIGINT);
	coop_process_free(p);
	return 0;
}

/* ---- waiting */

struct waiter {
	struct coop_process *p;
	struct coop_process_status status;
	int rc;
};

static int waits(void *arg)
{
	struct waiter *w = arg;

	w->rc = coop_process_wait(w->p, &w->status);
	return w->rc;
}

/* Any number of tasks wait, and a look in between takes nothing away. */
PROCESS_TEST(rel_H03_several_wait)
{
	struct coop_process_opts opts = { .argv = SH("read x; exit 5"),
					  .in = { COOP_PROCESS_PIPE, 0 } };
	struct coop_process *p = spawned(&opts);
	struct waiter w[3] = { { .p = p }, { .p = p }, { .p = p } };
	struct coop_process_status status;
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_spawn(&g, waits, &w[i]), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_process_look(p, &status), ==, -EAGAIN);
	CHECK_INT(write(coop_process_fd(p, 0), "\n", 1), ==, 1);
	while (coop_process_look(p, &status) == -EAGAIN)
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(status.code, ==, 5);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	for (int i = 0; i < 3; i++)
		CHECK_INT(w[i].status.code, ==, 5);
	CHECK_INT(coop_process_wait(p, &status), ==, 0); /* afterwards too */
	CHECK_INT(status.code, ==, 5);
	coop_process_free(p);
	PROVES(rel_H03);
	return 0;
}

/* The one that waits for all is cancelled: the others are not forgotten. */
PROCESS_TEST(a_wait_is_cancelled_and_others_go_on)
{
	struct coop_process_opts opts = { .argv = SH("read x; exit 6"),
					  .in = { COOP_PROCESS_PIPE, 0 } };
	struct coop_process *p = spawned(&opts);
	struct waiter w[2] = { { .p = p }, { .p = p } };
	struct coop_group first = COOP_GROUP_INIT, second = COOP_GROUP_INIT;

	coop_group_open(&first, NULL);
	CHECK_INT(coop_spawn(&first, waits, &w[0]), ==, 0);
	coop_yield();
	coop_group_open(&second, NULL);
	CHECK_INT(coop_spawn(&second, waits, &w[1]), ==, 0);
	coop_yield();
	CHECK_INT(coop_group_cancel(&first, "enough"), ==, 0);
	while (w[0].rc == 0) /* its COOP_ECANCELED */
		(void)!coop_shield(sleep_ms, MSARG(1));
	CHECK_INT(w[0].rc, ==, COOP_ECANCELED);
	CHECK_INT(write(coop_process_fd(p, 0), "\n", 1), ==, 1);
	CHECK_INT(coop_group_join(&second, 0), ==, COOP_ECANCELED);
	CHECK_INT(coop_group_join(&first, 0), ==, 0);
	coop_process_free(p);
	return 0;
}

static int waits_in_vain(void *arg)
{
	struct coop_process_opts opts = { .argv = SH("exit 3"), .group = COOP_PROCESS_OWN_GROUP };
	struct coop_process *p = spawned(&opts);
	struct coop_process_status status = { .code = 77 };

	(void)arg;
	CHECK_INT(coop_process_wait(p, &status), ==, -ECHILD);
	CHECK_INT(status.code, ==, 77);
	CHECK_INT(coop_process_look(p, NULL), ==, -ECHILD);
	CHECK_INT(coop_process_signal(p, SIGTERM), ==, -ESRCH);
	CHECK_INT(coop_process_signal_group(p, SIGTERM), ==, -ESRCH);
	CHECK_INT(coop_process_stop(p, NULL), ==, -ECHILD);
	coop_process_free(p);
	PROVES(rel_H04);
	return 0;
}

/* With SIGCHLD ignored nobody learns how it ended: the wait ends at once, and says so. */
TEST(rel_H04_sigchld_is_ignored)
{
	signal(SIGCHLD, SIG_IGN);
	CHECK_INT(coop_run(waits_in_vain, NULL, NULL), ==, 0);
}

/* After it was reaped nothing is signalled any more, whoever has its number; before it is (K06). */
PROCESS_TEST(rel_H02_no_signal_after_the_end)
{
	struct coop_process_opts opts = { .argv = SH("exit 0"), .group = COOP_PROCESS_OWN_GROUP };
	struct coop_process *p = spawned(&opts);

	CHECK_INT(coop_process_wait_end(p, NULL), ==, 0);
	CHECK_INT(state_of(coop_process_pid(p)), ==, 'Z'); /* its number is its own */
	CHECK_INT(coop_process_signal_group(p, SIGTERM), ==, 0);
	CHECK_INT(coop_process_wait(p, NULL), ==, 0);
	CHECK_INT(state_of(coop_process_pid(p)), ==, 0);
	CHECK_INT(coop_process_signal(p, SIGKILL), ==, -ESRCH);
	CHECK_INT(coop_process_signal_group(p, SIGKILL), ==, -ESRCH);
	CHECK_INT(coop_process_stop(p, NULL), ==, 0);
	coop_process_free(p);
	PROVES(rel_H02, rel_K06);
	return 0;
}

/* ---- many at once */

static int spawns_many(void *arg)
{
	int n = (int)(intptr_t)arg;

	for (int i = 0; i < n; i++) {
		struct coop_process_status status;
		char code[8];
		struct coop_process_opts opts = {
			.argv = ARGV((char *)"sh", (char *)"-c", (char *)"exit $0", code),
		};

		snprintf(code, sizeof code, "%d", i % 256);
		CHECK_INT(coop_process_run(&opts, &status), ==, 0);
		CHECK_INT(status.signal, ==, 0);
		CHECK_INT(status.code, ==, i % 256);
	}
	return 0;
}

static void *runs_many(void *arg)
{
	CHECK_INT(coop_run(spawns_many, arg, NULL), ==, 0);
	return NULL;
}

/* Four loops in one process: each gets the status of its own, and all of them. */
TEST(rel_H01_several_loops)
{
	pthread_t threads[4];
	void *each = MSARG(TEST_COUNT(100, 10));

	TEST_SECONDS(120);
	for (int i = 0; i < 4; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, runs_many, each), ==, 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(waitpid(-1, NULL, WNOHANG), ==, -1);
	PROVES(rel_H01);
}

static int allocating; /* atomic */

static void *allocates(void *arg)
{
	(void)arg;
	while (__atomic_load_n(&allocating, __ATOMIC_RELAXED)) {
		void *volatile mem = malloc(1000);

		free(mem);
		sched_yield();
	}
	return NULL;
}

/* Threads are in malloc all the time: no lock of theirs is held in the child. */
TEST(rel_H06_threads_allocate)
{
	pthread_t threads[8];

	TEST_SECONDS(120);
	allocating = 1;
	for (int i = 0; i < 8; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, allocates, NULL), ==, 0);
	CHECK_INT(coop_run(spawns_many, MSARG(TEST_COUNT(200, 20)), NULL), ==, 0);
	__atomic_store_n(&allocating, 0, __ATOMIC_RELAXED);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	PROVES(rel_H06);
}

/* ---- a program that is being written */

static int closes_later(void *arg)
{
	int r = coop_sleep(MS(20));

	close((int)(intptr_t)arg);
	return r;
}

/* It is tried again until it is written, for a while; then the error is told. */
PROCESS_TEST(rel_H07_program_is_being_written)
{
	const char *file = new_file("busy", "", 0755);
	struct coop_process_opts opts = { .argv = ARGV((char *)file) };
	struct coop_process_status status;
	struct coop_group g = COOP_GROUP_INIT;
	char copy[256];
	int fd;

	snprintf(copy, sizeof copy, "cat /bin/true >%s", file);
	CHECK_INT(shell(copy), ==, 0);
	fd = open(file, O_WRONLY);
	CHECK_INT(fd, >=, 0);
	CHECK_FAILS(-ETXTBSY, COOP_PROCESS_AT_EXEC, .argv = ARGV((char *)file));
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, closes_later, MSARG(fd)), ==, 0);
	CHECK_INT(coop_process_run(&opts, &status), ==, 0);
	CHECK(coop_process_ok(&status));
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	unlink(file);
	PROVES(rel_H07);
	return 0;
}

/* ---- the child runs nothing of ours */

static void at_exit(void)
{
	const char text[] = "the child's exit ran a clean-up of its parent";

	(void)!write(2, text, sizeof text);
	_exit(99);
}

static int cannot_start(void *arg)
{
	struct coop_process_opts opts = { .argv = ARGV((char *)"/nonexistent") };
	struct coop_process *p;

	(void)arg;
	CHECK_INT(coop_process_spawn(&opts, &p), ==, -ENOENT);
	coop_error_clear();
	return 0;
}

/* An exec that fails ends the child at once: no clean-up, no buffered output twice. */
TEST_EXIT(rel_H19_child_exits_bare, 99, "once the child's")
{
	printf("once ");
	atexit(at_exit);
	CHECK_INT(coop_run(cannot_start, NULL, NULL), ==, 0);
	CHECK_INT(waitpid(-1, NULL, WNOHANG), ==, -1);
	fflush(stdout);
	PROVES(rel_H19);
	exit(1);
}

/* ---- a sandbox without pidfds (H18) */

#define REFUSE(number) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

static void forbid_pidfds(void)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		REFUSE(SYS_pidfd_open),
		REFUSE(SYS_pidfd_send_signal),
		REFUSE(SYS_close_range),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1000, 0, 1), /* CLONE_PIDFD */
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof code / sizeof *code, code };

	CHECK_INT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), ==, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		SKIP("no seccomp here: errno %d", errno);
}

static int without_pidfds(void *arg)
{
	struct coop_process *p = sleeper((struct coop_process_opts){ 0 });
	struct coop_process_status status;

	(void)arg;
	CHECK_INT(count_fds_of(coop_process_pid(p)), ==, 3);
	CHECK_INT(coop_process_signal(p, SIGTERM), ==, 0);
	CHECK_INT(coop_process_wait(p, &status), ==, 0);
	CHECK_INT(status.signal, ==, SIGTERM);
	coop_process_free(p);
	CHECK_INT(shell("exit 8"), ==, 8);
	return 0;
}

/* Everything works without pidfds and close_range, if slower. */
TEST(rel_H18_no_pidfds)
{
	forbid_pidfds();
	CHECK_INT(coop_run(without_pidfds, NULL, NULL), ==, 0);
	PROVES(rel_H18);
}

/* ---- faults (H11) */

struct counts {
	int fds;
	int64_t blocks;
};

static struct counts counts_now(void)
{
	return (struct counts){ fds_open(), cp_os_faults.allocs_live };
}

static void check_nothing_left(struct counts before, uint64_t n)
{
	struct counts now = counts_now();

	if (now.fds != before.fds || now.blocks != before.blocks)
		FAIL("request %d failed: descriptors %d -> %d, blocks %d -> %d", (int)n, before.fds,
		     now.fds, (int)before.blocks, (int)now.blocks);
	CHECK_INT(waitpid(-1, NULL, WNOHANG), ==, -1);
	CHECK_INT(errno, ==, ECHILD);
}

static struct coop_process_opts everything(struct coop_process_fd *fd,
					   struct coop_process_limit *limit)
{
	static char *argv[] = { (char *)"true", NULL };

	*fd = (struct coop_process_fd){ 1, 7 };
	*limit = (struct coop_process_limit){ RLIMIT_CORE, 0, 0 };
	return (struct coop_process_opts){
		.argv = argv,
		.cwd = "/",
		.in = { COOP_PROCESS_PIPE, 0 },
		.out = { COOP_PROCESS_PTY, 0 },
		.err = { COOP_PROCESS_NULL, 0 },
		.fds = fd,
		.fds_count = 1,
		.limits = limit,
		.limits_count = 1,
		.death_signal = SIGKILL,
		.subreaper = has_subreapers(),
		.nice = 1,
	};
}

/* The loop's table of descriptors is made at the first use of one. */
static void use_a_descriptor(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	CHECK_INT(coop_poll(fd, POLLOUT), ==, POLLOUT);
	CHECK_INT(coop_close(fd), ==, 0);
}

/* Whichever request of a start fails: the error is told, and nothing is left of it. */
PROCESS_TEST(rel_H11_every_call_fails)
{
	struct coop_process_fd fd;
	struct coop_process_limit limit;
	struct coop_process_opts opts = everything(&fd, &limit);
	struct counts before;
	bool failed = true;
	uint64_t n, refused = 0, calls;

	CHECK_INT(shell("exit 0"), ==, 0); /* what is made once is made */
	calls = cp_os_faults.call_calls;
	CHECK_INT(shell("exit 0"), ==, 0);
	calls = cp_os_faults.call_calls - calls;
	use_a_descriptor();
	coop_error_clear();
	before = counts_now();
	for (n = 1; failed; n++) {
		struct coop_process *p = NULL;
		int r;

		cp_os_faults.call_calls = cp_os_faults.call_failed = 0;
		cp_os_faults.call_errno = ENFILE;
		cp_os_faults.call_fail_at = n;
		r = coop_process_spawn(&opts, &p);
		cp_os_faults.call_fail_at = 0;
		failed = cp_os_faults.call_failed > 0;
		if (r < 0) {
			CHECK_INT(r, ==, -ENFILE);
			CHECK(!p);
			refused++;
		}
		coop_process_free(p);
		coop_error_clear();
		check_nothing_left(before, n);
	}
	/* Those in the child count where it shares our memory: not in an emulator. */
	CHECK_INT(refused, >, calls > 20 ? 15 : 5);
	PROVES(rel_H11);
	return 0;
}

PROCESS_TEST(rel_H11_every_allocation_fails)
{
	struct coop_process_fd fd;
	struct coop_process_limit limit;
	struct coop_process_opts opts = everything(&fd, &limit);
	struct counts before;
	bool failed = true;
	uint64_t n;

	CHECK_INT(shell("exit 0"), ==, 0);
	use_a_descriptor();
	coop_error_clear();
	before = counts_now();
	for (n = 1; failed; n++) {
		struct coop_process *p = NULL;
		int r;

		cp_os_faults.alloc_calls = cp_os_faults.alloc_failed = 0;
		cp_os_faults.alloc_fail_at = n;
		r = coop_process_spawn(&opts, &p);
		cp_os_faults.alloc_fail_at = 0;
		failed = cp_os_faults.alloc_failed > 0;
		CHECK_INT(r, ==, failed ? -ENOMEM : 0);
		coop_process_free(p);
		coop_error_clear();
		check_nothing_left(before, n);
	}
	CHECK_INT(n, >, 4);
	return 0;
}
