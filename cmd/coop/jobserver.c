/* SPDX-License-Identifier: MIT */
/*
 * make's jobserver: --jobserver-auth=R,W or =fifo:PATH in MAKEFLAGS; older ones say
 * --jobserver-fds.
 *
 * Tasks get the descriptors under the same numbers, so that a make in a task asks where we ask, and
 * the place that we hold for the task is the one that it has without asking. Where make has not
 * handed them to us (a recipe that it does not take for a recursive one), the numbers may be
 * anything's by now: they count only if they are what make has made, both ends of one pipe. A make
 * in a task sees the same then, and says what is to be done.
 */
#include "option.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const keys[] = { "--jobserver-auth=", "--jobserver-fds=" };
enum { KEYS = sizeof keys / sizeof keys[0] };

/* The value of the last of these, up to a blank. */
static const char *find_last(struct plan *plan, const char *flags)
{
	const char *last = NULL;

	for (size_t i = 0; i < KEYS; i++)
		for (const char *at = strstr(flags, keys[i]); at; at = strstr(at + 1, keys[i]))
			if (!last || at > last)
				last = at + strlen(keys[i]);
	return last ? plan_copy(plan, last, strcspn(last, " ")) : NULL;
}

/* Whether a word makes a make run more than one thing at once: these, and -j, -j4. */
static bool is_parallel(const char *word, size_t len)
{
	for (size_t i = 0; i < KEYS; i++)
		if (len >= strlen(keys[i]) && strncmp(word, keys[i], strlen(keys[i])) == 0)
			return true;
	return len >= 2 && strncmp(word, "-j", 2) == 0 &&
	       strspn(word + 2, "0123456789") == len - 2;
}

/* The flags of a make that has one place; variables are behind a "--". */
static const char *without(struct plan *plan, const char *flags)
{
	static const char name[] = "MAKEFLAGS=";
	const char *word = flags, *rest = strstr(flags, " -- ");
	char *text = malloc(sizeof name + strlen(flags)), *end = text;
	const char *copy;

	if (!text)
		return NULL;
	end = stpcpy(end, name);
	while (*word && word != rest) {
		size_t len = strcspn(word + 1, " ") + 1; /* with the blank before it */
		size_t blanks = *word == ' ';

		if (!is_parallel(word + blanks, len - blanks))
			end = mempcpy(end, word, len);
		word += len;
	}
	stpcpy(end, word);
	copy = plan_copy(plan, text, strlen(text));
	free(text);
	return copy;
}

void jobserver_parse(struct plan *plan, const char *makeflags)
{
	const char *value = makeflags ? find_last(plan, makeflags) : NULL;
	struct plan_jobserver *js = &plan->jobserver;
	int read_fd, write_fd;
	char rest;

	if (!value)
		return;
	*js = (struct plan_jobserver){ .read_fd = -1, .write_fd = -1 };
	if (strncmp(value, "fifo:", 5) == 0 && value[5]) {
		js->fifo = value + 5;
	} else if (sscanf(value, "%d,%d%c", &read_fd, &write_fd, &rest) == 2 && read_fd >= 0 &&
		   write_fd >= 0) {
		js->read_fd = read_fd;
		js->write_fd = write_fd;
	}
	js->without = without(plan, makeflags);
}

static bool is_pipe(int fd, int refused_mode, struct stat *st)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_ACCMODE) != refused_mode && fstat(fd, st) == 0 &&
	       S_ISFIFO(st->st_mode);
}

void jobserver_look(struct plan *plan)
{
	struct plan_jobserver *js = &plan->jobserver;
	struct stat in, out;

	if (js->read_fd < 0 ||
	    (js->read_fd > STDERR_FILENO && js->write_fd > STDERR_FILENO &&
	     is_pipe(js->read_fd, O_WRONLY, &in) &&
	     is_pipe(js->write_fd, O_RDONLY, &out) && in.st_dev == out.st_dev &&
	     in.st_ino == out.st_ino))
		return;
	js->read_fd = js->write_fd = -1;
	js->is_lost = true;
}
