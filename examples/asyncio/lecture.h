/* SPDX-License-Identifier: MIT */
/* The task of the lecture's demos: Task(name, delay) that returns a text. */
#ifndef LECTURE_H
#define LECTURE_H

#include <coop.h>

#include <stdio.h>

struct lecture_task {
	const char *name;
	int seconds;
	char result[64];
};

static inline int task(void *arg)
{
	struct lecture_task *t = arg;
	int r;

	printf("Task %s started\n", t->name);
	r = coop_sleep(COOP_SECONDS(t->seconds));
	if (r == COOP_ECANCELED)
		printf("Task %s was cancelled\n", t->name);
	if (r < 0)
		return r;
	printf("Task %s finished\n", t->name);
	snprintf(t->result, sizeof t->result, "Result from %s", t->name);
	return 0;
}

/* The three-way question: finished, failed or cancelled. Two ways are not enough. */
static inline void tell(const struct lecture_task *t, const struct coop_handle *h)
{
	if (coop_handle_state(h) == COOP_TASK_FINISHED)
		printf("%s result: %s\n", t->name, t->result);
	else if (coop_handle_state(h) == COOP_TASK_CANCELLED)
		printf("%s was cancelled.\n", t->name);
	else
		printf("%s failed.\n", t->name);
}

#endif
