/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Coops that run in our tasks, and what they tell of theirs: a subtree below a task.
 *
 * There is one socket for all tasks, so that one that runs no coop costs no more than a descriptor
 * that it inherits. Whose a datagram is the kernel says: it names the sender, and that one has to
 * be below the process of a task. The rest is what a stranger says of itself: it is shown, and
 * nothing is ever done because of it. Its pids are texts here; nobody is signalled by them.
 *
 * Bounds: of a task so many nested ones are kept, of a job so many senders at once; in a
 * second so many datagrams are read, and who sends more waits.
 */

#include "run.h"
#include "screen.h"

enum { NESTED_PATH_MAX = 256 };

/* What the name of our end of the socket begins with, in the abstract namespace. */
#define NESTED_NAME "coop-events-"

/* Opens it and reads it, in the plumbing; 0 also where there can be none. */
int nested_open(struct job *job);
void nested_close(struct job *job);

/* The descriptor for tasks, which has the same number there; -1: none. */
int nested_fd(const struct job *job);

/* The processes of an attempt are gone, and with them what they had started. */
void nested_attempt_ended(struct run_task *task);
/* Another attempt begins, or the task goes: nothing is below it. */
void nested_forget(struct run_task *task);

/* One nested task, as it was when it was asked for. */
struct nested_row {
	unsigned depth; /* 0: just below the task */
	char path[NESTED_PATH_MAX];
	const char *label; /* the end of `path`, behind that of the row it is below */
	const char *state; /* a word */
	enum run_outcome outcome;
	int pid;
	int64_t span_ns;
	char end[SCREEN_TEXT]; /* "": not ended */
	bool is_wanted;        /* the reader's */
};

/* All of a task, each behind the one it is below; to be freed. NULL and 0: there are none. */
struct nested_row *nested_rows(const struct run_task *task, size_t *ret_count);

/* How many there were beyond the bounds. */
size_t nested_more(const struct run_task *task);

/* Names of those that run, in a few words; "": nothing does. */
const char *nested_running(const struct run_task *task, char *buf, size_t size);
