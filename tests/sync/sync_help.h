/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Help for the tests of the primitives: actors, which do one operation when they are told to, each
 * in a scope of its own that can be cancelled; and what a random driver needs that tells several of
 * them things at once, lets all run until nobody can, and compares what they came to with a model.
 *
 * An actor waits for its next operation by the core's own park, so that nothing under test helps to
 * test itself.
 */

#include "../core/core_help.h"

#include "core/park.h"

#define BLOCKED 1000 /* an actor's result while its operation has not returned */
#define ACTORS_MAX 16

struct actor {
	int index;
	int result; /* what the last operation returned, or BLOCKED */
	int (*op)(struct actor *a, int arg);
	int arg;
	bool quit;
	struct coop_task *task;
	struct coop_scope scope; /* around the operation */
	struct cp_wait wait;
	int served; /* which of all operations of the test was the last one, in order of return */
};

static struct actor actors[ACTORS_MAX];
static struct coop_group actors_group;
static int actors_count, actors_served;

static inline int actor_main(void *arg)
{
	struct actor *a = arg;

	a->task = coop_self();
	for (;;) {
		a->wait = (struct cp_wait){ .what = "actor" };
		cp_park(cp_rt, &a->wait);
		if (a->quit)
			return 0;
		a->scope = (struct coop_scope)COOP_SCOPE_INIT;
		coop_scope_open(&a->scope, NULL);
		a->result = a->op(a, a->arg);
		a->served = ++actors_served;
		if (coop_scope_close(&a->scope, a->result == COOP_ECANCELED ? a->result : 0) != 0)
			FAIL("actor %d: its scope did not catch", a->index);
		coop_error_clear();
	}
}

/* Lets all run until nobody can. */
static inline void settle(void)
{
	do
		coop_yield();
	while (cp_rt->ready_head);
}

static inline void actors_begin(int count)
{
	actors_group = (struct coop_group)COOP_GROUP_INIT;
	actors_count = count;
	actors_served = 0;
	coop_group_open(&actors_group, NULL);
	for (int i = 0; i < count; i++) {
		actors[i] = (struct actor){ .index = i };
		CHECK_INT(coop_spawn(&actors_group, actor_main, &actors[i]), ==, 0);
	}
	settle();
}

/* Has the actor do `op`, when it runs next. It must be idle. */
static inline void tell(int i, int (*op)(struct actor *a, int arg), int arg)
{
	struct actor *a = &actors[i];

	CHECK_INT(a->result, !=, BLOCKED);
	a->result = BLOCKED;
	a->op = op;
	a->arg = arg;
	cp_wake(cp_rt, a->task, 0);
}

/* The same, and lets it run; its result, or BLOCKED. */
static inline int ask(int i, int (*op)(struct actor *a, int arg), int arg)
{
	tell(i, op, arg);
	settle();
	return actors[i].result;
}

/* Cancels what a blocked actor is doing. */
static inline void stop(int i)
{
	CHECK_INT(coop_scope_cancel(&actors[i].scope, "stop"), ==, 0);
}

/* Can it be stopped: it is blocked in an operation, and not cancelled yet? */
static inline bool stoppable(int i)
{
	return actors[i].result == BLOCKED && !actors[i].scope._own;
}

static inline int actors_end(void)
{
	settle();
	for (int i = 0; i < actors_count; i++) {
		if (actors[i].result == BLOCKED)
			FAIL("actor %d is still blocked", i);
		actors[i].quit = true;
		cp_wake(cp_rt, actors[i].task, 0);
	}
	return coop_group_join(&actors_group, 0);
}

/* The words of the error that an operation has ended with. */
static char told[200];

static inline int with_its_words(int r)
{
	struct coop_error_info info;

	coop_error_describe(coop_error_peek(r), &info);
	snprintf(told, sizeof told, "%s", info.message);
	return r;
}

/* ---- chance, the same in every run */

static uint64_t dice = 1;

static inline unsigned roll(unsigned n)
{
	dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)((dice >> 33) % n);
}

/* ---- a naive queue of actors for models */

struct line {
	int who[ACTORS_MAX];
	int count;
};

static inline void line_add(struct line *l, int who)
{
	l->who[l->count++] = who;
}

/* Takes `who` out; false if it is not in. */
static inline bool line_leave(struct line *l, int who)
{
	for (int i = 0; i < l->count; i++) {
		if (l->who[i] != who)
			continue;
		l->count--;
		memmove(&l->who[i], &l->who[i + 1], sizeof(int) * (size_t)(l->count - i));
		return true;
	}
	return false;
}

/* Takes the first one out, or -1. */
static inline int line_first(struct line *l)
{
	int who = l->count ? l->who[0] : -1;

	if (who >= 0)
		line_leave(l, who);
	return who;
}

static inline bool line_has(const struct line *l, int who)
{
	for (int i = 0; i < l->count; i++)
		if (l->who[i] == who)
			return true;
	return false;
}

/* What each actor must have come to, by the model. */
static int expected[ACTORS_MAX];

static inline void compare_actors(long step)
{
	for (int i = 0; i < actors_count; i++)
		if (actors[i].result != expected[i])
			FAIL("step %ld: actor %d has %d, the model %d", step, i, actors[i].result,
			     expected[i]);
}
