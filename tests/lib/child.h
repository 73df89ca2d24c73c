/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A program within a test: a forked child with its output in a pipe, so that a test can wait for
 * what it prints, send it signals, and look at how it ends. It never waits for time.
 *
 *	struct child c;
 *
 *	child_start(&c, program);
 *	child_prints(&c, "ready");
 *	kill(c.pid, SIGTERM);
 *	CHECK_INT(child_end(&c), ==, CHILD_SIGNAL(SIGTERM));
 *	CHECK_HAS(c.text, "bye");
 */

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
	pid_t pid;
	int fd;
	size_t used, seen; /* seen: how far child_prints has come */
	char text[32768];  /* all it has printed, on either stream */
};

/* What child_end returns for one that died of a signal: a shell would say the same. */
#define CHILD_SIGNAL(sig) (1000 + (sig))

/* Runs `program` in a child, which exits with what it returns. */
static inline void child_start(struct child *c, int (*program)(void))
{
	int fds[2];

	*c = (struct child){ .pid = -1 };
	fflush(NULL);
	CHECK_INT(pipe(fds), ==, 0);
	c->pid = fork();
	CHECK_INT(c->pid, >=, 0);
	if (c->pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		setvbuf(stdout, NULL, _IONBF, 0);
		exit(program());
	}
	close(fds[1]);
	c->fd = fds[0];
}

/* Reads what there is, waiting for some; false at the end. */
static inline bool child_read(struct child *c)
{
	ssize_t n = read(c->fd, c->text + c->used, sizeof c->text - 1 - c->used);

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0)
		return false;
	c->used += (size_t)n;
	c->text[c->used] = '\0';
	return true;
}

/* Waits until it has printed `part`, after what was waited for before. */
static inline void child_prints(struct child *c, const char *part)
{
	char *found;

	while (!(found = strstr(c->text + c->seen, part)))
		if (!child_read(c))
			FAIL("the child ended without \"%s\":\n%s", part, c->text);
	c->seen = (size_t)(found - c->text) + strlen(part);
}

/* Waits until its main thread sleeps in the kernel. */
static inline void child_sleeps(const struct child *c)
{
	char path[64], line[512];
	const char *state;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)c->pid);
	for (;;) {
		f = fopen(path, "r");
		CHECK(f != NULL);
		CHECK(fgets(line, sizeof line, f) != NULL);
		fclose(f);
		state = strrchr(line, ')');
		CHECK(state != NULL);
		if (state[2] == 'S')
			return;
		CHECK(state[2] != 'Z');
		usleep(200);
	}
}

/* Reads the rest and gives the exit status, or CHILD_SIGNAL(n). */
static inline int child_end(struct child *c)
{
	int status;

	while (child_read(c))
		;
	close(c->fd);
	CHECK_INT(waitpid(c->pid, &status, 0), ==, c->pid);
	return WIFSIGNALED(status) ? CHILD_SIGNAL(WTERMSIG(status)) : WEXITSTATUS(status);
}

/* How often `part` stands in what it has printed. */
static inline int child_count(const struct child *c, const char *part)
{
	int n = 0;

	for (const char *at = c->text; (at = strstr(at, part)); at += strlen(part))
		n++;
	return n;
}
