/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Help for the tests of the core: a test whose body is the main task of a run on the virtual
 * clock, a trail of what happened in which order, tasks that sleep and note how that ended,
 * the records of the log, and the last words of a program that must die.
 */

#include "test.h"

#include <coop.h>
#include <coop/auto.h>
#include <coop/testing.h>

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS(n) COOP_MILLISECONDS(n)
#define SEC(n) COOP_SECONDS(n)

static const struct coop_run_opts virtual_clock = { .clock = COOP_CLOCK_VIRTUAL };
static int64_t begin_ns;

/* A test whose body is a task: it returns 0, and the time is now_ms() since it began. */
#define TASK_TEST(name) \
	static int task_##name(void); \
	static int run_##name(void *arg) \
	{ \
		(void)arg; \
		begin_ns = coop_now(); \
		return task_##name(); \
	} \
	TEST(name) \
	{ \
		CHECK_INT(coop_run(run_##name, NULL, &virtual_clock), ==, 0); \
	} \
	static int task_##name(void)

static inline int64_t now_ns(void)
{
	return coop_now() - begin_ns;
}

/* Whole milliseconds only: a time in between is a failure. */
static inline int64_t now_ms(void)
{
	CHECK_INT(now_ns() % 1000000, ==, 0);
	return now_ns() / 1000000;
}

/* ---- the trail */

static char trail[4096];

__attribute__((format(printf, 1, 2))) static inline void say(const char *format, ...)
{
	size_t used = strlen(trail);
	va_list args;

	va_start(args, format);
	vsnprintf(trail + used, sizeof trail - used, format, args);
	va_end(args);
}

#define CHECK_TRAIL(text) \
	do { \
		CHECK_STR(trail, (text)); \
		trail[0] = '\0'; \
	} while (0)

/* ---- tasks that sleep */

/* Sleeps `ms` (0: for ever), says its name, and notes when and how that ended. */
struct nap {
	const char *name;
	int64_t ms;
	int rc;
	int64_t at_ms;
	bool began, ended;
};

static inline int nap(void *arg)
{
	struct nap *n = arg;

	n->began = true;
	n->rc = coop_sleep(n->ms ? MS(n->ms) : COOP_NEVER);
	n->at_ms = now_ms();
	n->ended = true;
	if (n->name)
		say("%s ", n->name);
	return n->rc;
}

static inline int sleep_ms(void *arg)
{
	return coop_sleep(MS((intptr_t)arg));
}

static inline int fail_after_ms(void *arg)
{
	int r = coop_sleep(MS((intptr_t)arg));

	return r < 0 ? r : coop_fail(-EIO, "failed after %d ms", (int)(intptr_t)arg);
}

static inline int sleep_for_ever(void *arg)
{
	(void)arg;
	return coop_sleep(COOP_NEVER);
}

#define MSARG(n) ((void *)(intptr_t)(n))

/* ---- the log */

static char records[8192];
static int records_count;

static inline void record(enum coop_log_level level, const char *text, void *ctx)
{
	size_t used = strlen(records);

	(void)level;
	(void)ctx;
	records_count++;
	snprintf(records + used, sizeof records - used, "%s\n", text);
}

/* From now on records of `level` and worse are kept in `records`. */
static inline void keep_records(enum coop_log_level level)
{
	records[0] = '\0';
	records_count = 0;
	coop_log_set(record, NULL, level);
}

/* ---- last words */

/* Runs fn as a main task in a child that must abort; its last words go to `text`. */
static inline void last_words(coop_fn *fn, char *text, size_t size)
{
	int fds[2], status = 0;
	size_t used = 0;
	ssize_t n;
	pid_t pid;

	CHECK_INT(pipe(fds), ==, 0);
	pid = fork();
	CHECK_INT(pid, >=, 0);
	if (pid == 0) {
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		_exit(coop_run(fn, NULL, &virtual_clock) == 0 ? 100 : 101);
	}
	close(fds[1]);
	while (used + 1 < size && (n = read(fds[0], text + used, size - used - 1)) > 0)
		used += (size_t)n;
	text[used] = '\0';
	close(fds[0]);
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
		FAIL("did not abort (status %#x): %s", (unsigned)status, text);
}

/* "file:line" of the line this stands on plus `n`, as messages give it. */
static inline const char *place(const char *file, int line)
{
	static char texts[4][160];
	static unsigned next;
	char *text = texts[next++ % 4];
	const char *base = strrchr(file, '/');

	snprintf(text, sizeof texts[0], "%s:%d", base ? base + 1 : file, line);
	return text;
}
