/* SPDX-License-Identifier: MIT */
/* What the operations of the interpreter share: the task that runs them, its words, its bodies. */
#ifndef SCENARIO_RUNNING_H
#define SCENARIO_RUNNING_H

#include "interp.h"
#include "names.h"
#include "outcome.h"

#include <coop/group.h>

/* A task. Owned by itself, and by the one that starts it until the start has ended. */
struct running {
	struct run *run;
	char *name;
	struct binding *names; /* innermost; grows and shrinks with what it opens */
	struct binding *home;  /* the group that it was given to; NULL: main */
	const struct body *body;
	struct coop_start *start;
	unsigned spawned;
	unsigned owners;
	bool begun, ended;
};

/* One line of the trace. */
void say(struct running *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Notes the first thing that must not be. */
void wrong(struct run *run, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Something that the headers promise, and that can be seen to hold here. */
void promise(struct running *t, bool holds, const char *what);

/* Runs operations up to the first that does not end well. */
struct outcome run_body(struct running *t, const struct body *body);

#endif
