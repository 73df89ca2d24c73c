/* SPDX-License-Identifier: MIT */

/*
 * The runner behind test.h.  The parent forks once per test and talks with the child through two
 * things only: a pipe that takes all that the child prints, and a page of shared memory for the
 * tags it has reached, its time limit and the mark that the body came to its end.
 *
 * The child leads a process group of its own, so that whatever it has forked goes with it.
 */

#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TAGS_MAX 64
#define TAG_BYTES 16
#define FDS_MAX 256
#define EXCEPTS_MAX 64
#define LIMIT_S 20
#define OUTPUT_MAX (1u << 20)
#define EXIT_FAIL 1
#define EXIT_SKIP 77

/* What a child tells its parent; written by the child, read by the parent once it has ended. */
struct shared {
	atomic_int ended; /* the body returned and the checks after it held */
	atomic_int limit_s;
	atomic_int tags_count;
	char tags[TAGS_MAX][TAG_BYTES];
	char skip_reason[256];
};

struct output {
	char *text;
	size_t length;
};

static struct test_case *first_test, **last_link = &first_test;
static struct shared *shared;
static const char *program;
static int time_scale = 1;
static bool verbose, no_fork;
static int open_fds[FDS_MAX], open_fds_count;
static const char *excepts[EXCEPTS_MAX];
static int excepts_count;

void test_register(struct test_case *test)
{
	*last_link = test;
	last_link = &test->next;
}

/* ---- inside the child -------------------------------------------------------------------- */

void test_fail(const char *file, int line, const char *format, ...)
{
	static char text[16384]; /* not on the stack, which may be a small one; this is the end */
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	fflush(stdout);
	dprintf(STDERR_FILENO, "%s:%d: %s\n", file, line, text);
	_exit(EXIT_FAIL);
}

void test_skip(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(shared->skip_reason, sizeof shared->skip_reason, format, args);
	va_end(args);
	_exit(EXIT_SKIP);
}

void test_check_str(const char *file, int line, const char *a_text, const char *b_text,
		    const char *a, const char *b)
{
	if (a == b || (a && b && strcmp(a, b) == 0))
		return;
	test_fail(file, line, "CHECK_STR(%s, %s):\n  \"%s\"\n  \"%s\"", a_text, b_text,
		  a ? a : "(null)", b ? b : "(null)");
}

void test_check_has(const char *file, int line, const char *text_text, const char *text,
		    const char *part)
{
	if (text && strstr(text, part))
		return;
	test_fail(file, line, "CHECK_HAS(%s): no \"%s\" in\n  \"%s\"", text_text, part,
		  text ? text : "(null)");
}

/* Tags are few, so each is looked for before it is added: a PROVES in a loop counts once. */
static void tag_add(const char *tag, size_t length)
{
	int count = atomic_load(&shared->tags_count);

	for (int i = 0; i < count; i++)
		if (strncmp(shared->tags[i], tag, length) == 0 && !shared->tags[i][length])
			return;
	if (length >= TAG_BYTES || count >= TAGS_MAX)
		test_fail(__FILE__, __LINE__, "too many tags, or too long: %s", tag);
	count = atomic_fetch_add(&shared->tags_count, 1);
	memcpy(shared->tags[count], tag, length);
}

void test_proves(const char *tags)
{
	while (*tags) {
		size_t length = strcspn(tags, ", ");

		if (length > 0)
			tag_add(tags, length);
		tags += length;
		tags += strspn(tags, ", ");
	}
}

void test_limit(int seconds)
{
	atomic_store(&shared->limit_s, seconds);
}

bool test_is_light(void)
{
	const char *light = getenv("COOP_TEST_LIGHT");

	return light && *light;
}

bool test_on_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload");
}

/* Calls visit for each open descriptor but the one that reads the list. */
static void fds_visit(void (*visit)(int fd))
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	if (!dir)
		test_fail(__FILE__, __LINE__, "/proc/self/fd: %s", strerror(errno));
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(dir))
			visit(atoi(entry->d_name));
	closedir(dir);
}

static void fd_note(int fd)
{
	if (open_fds_count < FDS_MAX)
		open_fds[open_fds_count++] = fd;
}

static void fd_must_be_noted(int fd)
{
	char path[64], target[128] = "?";

	for (int i = 0; i < open_fds_count; i++)
		if (open_fds[i] == fd)
			return;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (readlink(path, target, sizeof target - 1) < 0)
		snprintf(target, sizeof target, "?");
	test_fail(__FILE__, __LINE__, "descriptor %d is left open: %s", fd, target);
}

/* Ends by exit() and not by _exit(), so that the leak sanitizer has its look. */
__attribute__((noreturn)) static void child_run(const struct test_case *test)
{
	fds_visit(fd_note);
	test->body();
	fds_visit(fd_must_be_noted);
	atomic_store(&shared->ended, 1);
	exit(0);
}

__attribute__((noreturn)) static void child_start(const struct test_case *test, int out_fd)
{
	static const struct rlimit no_core = { 0, 0 };
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGCHLD };
	sigset_t none;

	/* Signals as a program finds them that is started from a terminal, whoever started us. */
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		signal(signals[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (test->kind == TEST_KIND_ABORT)
		setrlimit(RLIMIT_CORE, &no_core);
	dup2(out_fd, STDOUT_FILENO);
	dup2(out_fd, STDERR_FILENO);
	close(out_fd);
	child_run(test);
}

/* ---- in the parent ----------------------------------------------------------------------- */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Keeps what was read, up to a bound; returns false at the end of the pipe (or when it is dry). */
static bool output_read(struct output *out, int fd)
{
	char bytes[4096];
	ssize_t n = read(fd, bytes, sizeof bytes);

	if (n <= 0)
		return false;
	if (out->length + (size_t)n < OUTPUT_MAX) {
		out->text = realloc(out->text, out->length + (size_t)n + 1);
		memcpy(out->text + out->length, bytes, (size_t)n);
		out->length += (size_t)n;
		out->text[out->length] = '\0';
	}
	return true;
}

/*
 * Collects what the child prints until it has ended, or its time is up.  Returns false for the
 * latter.  The pipe's end is the usual sign; a grandchild may hold the pipe for longer than the
 * child lives, so the child itself is asked after as well.
 */
static bool child_watch(pid_t pid, int fd, struct output *out)
{
	int64_t start = now_ms();

	for (;;) {
		struct pollfd item = { .fd = fd, .events = POLLIN, .revents = 0 };
		siginfo_t info = { .si_pid = 0 };
		int64_t limit = (int64_t)atomic_load(&shared->limit_s) * 1000 * time_scale;

		if (poll(&item, 1, fd < 0 ? 1 : 100) > 0 && !output_read(out, fd))
			fd = -1;
		waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | WNOHANG);
		if (info.si_pid == pid) {
			while (fd >= 0 && output_read(out, fd))
				;
			return true;
		}
		if (now_ms() - start > limit)
			return false;
	}
}

static void tags_write(const struct test_case *test)
{
	const char *path = getenv("COOP_PROVES_FILE");
	int fd;

	if (!path || !*path)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0) {
		perror(path);
		exit(EXIT_FAIL);
	}
	for (int i = 0; i < atomic_load(&shared->tags_count); i++)
		dprintf(fd, "%s %s %s\n", shared->tags[i], program, test->name);
	close(fd);
}

static void diagnostics_print(const struct output *out)
{
	const char *line = out->text;

	while (line && *line) {
		size_t length = strcspn(line, "\n");

		printf("# %.*s\n", (int)length, line);
		line += length + (line[length] == '\n');
	}
}

/* NULL where the child ended as its test says, else the reason why it failed. */
static const char *verdict(const struct test_case *test, int status, const struct output *out)
{
	static char reason[160];
	bool ended = atomic_load(&shared->ended);

	if (out->text && test->expect[0] && !strstr(out->text, test->expect))
		snprintf(reason, sizeof reason, "did not print \"%s\"", test->expect);
	else if (!out->text && test->expect[0])
		snprintf(reason, sizeof reason, "printed nothing, not \"%s\"", test->expect);
	else if (test->kind == TEST_KIND_ABORT && WIFSIGNALED(status))
		return NULL;
	else if (test->kind == TEST_KIND_EXIT && !ended && WIFEXITED(status) &&
		 WEXITSTATUS(status) == test->status)
		return NULL;
	else if (test->kind == TEST_KIND_PASS && ended && status == 0)
		return NULL;
	else if (WIFSIGNALED(status))
		snprintf(reason, sizeof reason, "killed by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else if (ended && test->kind != TEST_KIND_PASS)
		snprintf(reason, sizeof reason, "came to its end, but should not have");
	else if (!ended && status == 0)
		snprintf(reason, sizeof reason, "exited before its end");
	else
		snprintf(reason, sizeof reason, "exit status %d", WEXITSTATUS(status));
	return reason;
}

/* Runs one test; returns false when it failed. */
static bool test_run(const struct test_case *test, int number)
{
	struct output out = { NULL, 0 };
	const char *reason;
	int fds[2], status = 0;
	bool in_time;
	pid_t pid;

	memset(shared, 0, sizeof *shared);
	atomic_store(&shared->limit_s, LIMIT_S);
	fflush(NULL);
	if (pipe2(fds, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		perror(program);
		exit(EXIT_FAIL);
	}
	if (pid == 0) {
		close(fds[0]);
		child_start(test, fds[1]);
	}
	close(fds[1]);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	in_time = child_watch(pid, fds[0], &out);
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	while (output_read(&out, fds[0]))
		;
	close(fds[0]);

	if (!in_time)
		reason = "took too long";
	else if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP && shared->skip_reason[0])
		reason = NULL;
	else
		reason = verdict(test, status, &out);

	printf("%s %d - %s", reason ? "not ok" : "ok", number, test->name);
	printf(shared->skip_reason[0] ? " # SKIP %s\n" : "%s\n", shared->skip_reason);
	if (reason || verbose)
		diagnostics_print(&out);
	if (reason)
		printf("# %s: %s: %s\n", program, test->name, reason);
	else if (!shared->skip_reason[0])
		tags_write(test);
	fflush(stdout);
	free(out.text);
	return !reason;
}

/* A name is chosen by a glob, or by a part of it; no patterns choose all that are not left out. */
static bool wanted(const struct test_case *test, char **patterns)
{
	for (int i = 0; i < excepts_count; i++)
		if (fnmatch(excepts[i], test->name, 0) == 0)
			return false;
	if (!*patterns)
		return true;
	for (; *patterns; patterns++)
		if (fnmatch(*patterns, test->name, 0) == 0 || strstr(test->name, *patterns))
			return true;
	return false;
}

static void usage(int status)
{
	printf("usage: %s [-l] [-v] [-n] [-x NAME]... [--tap] [NAME...]\n"
	       "  -l     list the tests and do not run them\n"
	       "  -v     show what passing tests print\n"
	       "  -n     run in this process, for a debugger (give one NAME)\n"
	       "  -x NAME  leave out the tests of this name, a glob\n"
	       "  --tap  exit with 0 also when a test failed: the reader of the TAP counts\n"
	       "  NAME   a glob, or a part of the names of the tests to run\n",
	       program);
	exit(status);
}

int main(int argc, char **argv)
{
	const char *scale = getenv("COOP_TEST_TIMEOUT_SCALE");
	bool list = false, tap = false;
	int number = 0, failed = 0;
	int i;

	program = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	if (scale && atoi(scale) > 0)
		time_scale = atoi(scale);
	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "-l") == 0)
			list = true;
		else if (strcmp(argv[i], "-v") == 0)
			verbose = true;
		else if (strcmp(argv[i], "-n") == 0)
			no_fork = true;
		else if (strcmp(argv[i], "--tap") == 0)
			tap = true;
		else if (strcmp(argv[i], "-x") == 0 && argv[i + 1] && excepts_count < EXCEPTS_MAX)
			excepts[excepts_count++] = argv[++i];
		else
			usage(strcmp(argv[i], "--help") == 0 ? 0 : 2);
	}
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED) {
		perror(program);
		return EXIT_FAIL;
	}

	for (struct test_case *test = first_test; test; test = test->next) {
		if (!wanted(test, argv + i))
			continue;
		number++;
		if (list)
			puts(test->name);
		else if (no_fork)
			child_run(test);
		else
			failed += !test_run(test, number);
	}
	if (list)
		return 0;
	printf("1..%d\n", number);
	if (number == 0)
		fprintf(stderr, "%s: no test of that name\n", program);
	return tap ? 0 : failed > 0 || number == 0;
}
