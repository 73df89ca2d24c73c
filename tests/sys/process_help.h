/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Help for the tests of processes: a test whose body is the main task of a run on the real clock,
 * shell commands, and what /proc tells of a child.
 */
#include "../core/core_help.h"
#include "fds.h"

#include "base/os.h"

#include <coop/io.h>
#include <coop/process.h>

#include <fcntl.h>
#include <sys/stat.h>

#define PROCESS_TEST(name) \
	static int task_##name(void *arg); \
	TEST(name) \
	{ \
		CHECK_INT(coop_run(task_##name, NULL, NULL), ==, 0); \
		CHECK_INT(waitpid(-1, NULL, WNOHANG), ==, -1); /* no child is left */ \
		CHECK_INT(errno, ==, ECHILD); \
	} \
	static int task_##name(__attribute__((unused)) void *arg)

#define ARGV(...) ((char *[]){ __VA_ARGS__, NULL })
#define SH(script) ARGV((char *)"sh", (char *)"-c", (char *)(script))

/* Every kernel has subreapers; user-mode emulators of other processors do not. */
static inline bool has_subreapers(void)
{
	int r = coop_subreaper(true);

	CHECK(r == 0 || r == -EINVAL);
	return r == 0;
}

static inline void be_subreaper(void)
{
	if (!has_subreapers())
		SKIP("this emulator knows no subreapers");
}

static inline struct coop_process *spawned(const struct coop_process_opts *opts)
{
	struct coop_process *p = NULL;
	int r = coop_process_spawn(opts, &p);

	if (r < 0)
		FAIL("cannot start %s: %s", opts->argv[0], coop_code_text(r));
	CHECK(p != NULL);
	return p;
}

/* Runs a shell command that must work: its exit. */
static inline int shell(const char *script)
{
	struct coop_process_opts opts = { .argv = SH(script) };
	struct coop_process_status status;

	CHECK_INT(coop_process_run(&opts, &status), ==, 0);
	CHECK_INT(status.signal, ==, 0);
	return status.code;
}

/* What a command prints, without the last newline. In one of a few buffers in turn. */
static inline const char *printed(const struct coop_process_opts *opts)
{
	static char texts[4][4096];
	static unsigned next;
	char *text = texts[next++ % 4];
	struct coop_capture c;
	size_t n;

	CHECK_INT(coop_process_capture(opts, NULL, &c), ==, 0);
	if (!coop_process_ok(&c.status) || c.err_bytes)
		FAIL("%s: %s: %s", opts->argv[0],
		     coop_process_text(&c.status, text, sizeof texts[0]), c.err);
	n = c.out_bytes < sizeof texts[0] ? c.out_bytes : sizeof texts[0] - 1;
	memcpy(text, c.out, n);
	text[n] = '\0';
	if (n && text[n - 1] == '\n')
		text[n - 1] = '\0';
	coop_capture_deinit(&c);
	return text;
}

/* The line of /proc/PID/FILE that begins with `key`, after it; "" if there is none. */
static inline const char *proc_line(int pid, const char *file, const char *key)
{
	static char line[512];
	char path[64];
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
	f = fopen(path, "r");
	if (!f)
		return "";
	while (fgets(line, sizeof line, f))
		if (strncmp(line, key, strlen(key)) == 0) {
			fclose(f);
			line[strcspn(line, "\n")] = '\0';
			return line + strlen(key) + strspn(line + strlen(key), " \t");
		}
	fclose(f);
	return "";
}

/* R, S, D, T, Z; 0 if there is no such process. */
static inline char state_of(int pid)
{
	return proc_line(pid, "status", "State:")[0];
}

/* Waits until a process is in a state; 0: gone. */
static inline void await_state(int pid, char state)
{
	while (state_of(pid) != state)
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
}

static inline bool is_alive(int pid)
{
	char state = state_of(pid);

	return state && state != 'Z' && state != 'X';
}

/* Reads a line from a descriptor that may not block, without its newline. */
static inline void read_line(int fd, char *text, size_t size)
{
	size_t n = 0;

	while (n + 1 < size) {
		ssize_t got = read(fd, text + n, 1);

		if (got == 1 && text[n] == '\n')
			break;
		if (got == 1)
			n++;
		else if (got == 0 || errno != EAGAIN)
			break;
		else
			CHECK_INT(coop_sleep(MS(1)), ==, 0);
	}
	text[n] = '\0';
}

/* The same, as a number. */
static inline int read_number(int fd)
{
	char text[32];

	read_line(fd, text, sizeof text);
	return atoi(text);
}
