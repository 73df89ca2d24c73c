/* SPDX-License-Identifier: MIT */
/* Events, locks, semaphores and limiters. */
#include "meet.h"

#include <errno.h>
#include <inttypes.h>

/* More permits or tokens than these: nobody gets to take them all, nor to release as many. */
#define COUNT_ENOUGH (UINT32_MAX / 2)

static uint32_t enough(int64_t count)
{
	return count > COUNT_ENOUGH ? COUNT_ENOUGH : (uint32_t)count;
}

/* ------------------------------------------------------------------------ events */

int event_open(struct place *p)
{
	p->event = (struct coop_event)COOP_EVENT_INIT;
	return 0;
}

void event_close(struct run *run, struct place *p)
{
	struct coop_event_stats s;

	if (coop_event_stats(&p->event, &s) < 0 || s.waiting || s.set != !!p->given)
		wrong(run, "%s: %u tasks wait, set: %d", p->thing->name, s.waiting, s.set);
	coop_event_deinit(&p->event);
}

struct outcome op_set(struct running *t, const struct op *op)
{
	struct place *p = place_of(t, op);
	int r = coop_event_set(&p->event);

	promise(t, r == !!p->given, "an event says whether it was set already");
	p->given = 1;
	return outcome_of(r);
}

struct outcome op_wait(struct running *t, const struct op *op)
{
	int r = coop_event_wait(&place_of(t, op)->event);

	if (r < 0)
		return outcome_of(r);
	say(t, "woke");
	return WELL;
}

/* ------------------------------------------------------------------------- locks */

/* Patient: a circle of waiting tasks may still be broken up by a deadline. */
int lock_open(struct place *p)
{
	p->mutex = (struct coop_mutex)COOP_MUTEX_INIT_PATIENT;
	return 0;
}

void lock_close(struct run *run, struct place *p)
{
	struct coop_lock_stats s;

	if (coop_mutex_stats(&p->mutex, &s) < 0 || s.locked || s.waiting)
		wrong(run, "%s: locked: %d, %u tasks wait", p->thing->name, s.locked, s.waiting);
	coop_mutex_deinit(&p->mutex);
}

struct outcome op_lock(struct running *t, const struct op *op)
{
	struct place *p = place_of(t, op);
	int r = coop_mutex_lock(&p->mutex);
	struct outcome o;

	if (r == -EDEADLK)
		wrong(t->run, "%s locks '%s' twice", t->name, p->thing->name);
	if (r < 0)
		return outcome_of(r);
	say(t, "locked");
	promise(t, p->given++ == p->taken, "nobody else holds a lock");
	o = run_body(t, &op->body);
	p->taken++;
	r = coop_mutex_unlock(&p->mutex);
	promise(t, r >= 0, "who holds a lock may give it up");
	return o;
}

/* -------------------------------------------------------------------- semaphores */

int sem_open(struct place *p)
{
	p->sem = (struct coop_sem)COOP_SEM_INIT(enough(p->thing->count));
	return 0;
}

void sem_close(struct run *run, struct place *p)
{
	struct coop_sem_stats s;
	int64_t left = enough(p->thing->count) + p->given - p->taken;

	if (coop_sem_stats(&p->sem, &s) < 0 || s.waiting || s.count != left)
		wrong(run, "%s: %u permits of %" PRId64 " are left, %u tasks wait", p->thing->name,
		      s.count, left, s.waiting);
	coop_sem_deinit(&p->sem);
}

struct outcome op_acquire(struct running *t, const struct op *op)
{
	struct place *p = place_of(t, op);
	int r = coop_sem_acquire(&p->sem);

	if (r < 0)
		return outcome_of(r);
	p->taken++;
	promise(t, enough(p->thing->count) + p->given >= p->taken, "permits are not made up");
	say(t, "acquired");
	return WELL;
}

struct outcome op_release(struct running *t, const struct op *op)
{
	struct place *p = place_of(t, op);
	int r = coop_sem_release(&p->sem);

	if (r < 0)
		return outcome_of(r);
	p->given++;
	return WELL;
}

/* ---------------------------------------------------------------------- limiters */

int limiter_open(struct place *p)
{
	p->limiter = (struct coop_limiter)COOP_LIMITER_INIT(enough(p->thing->count));
	return 0;
}

void limiter_close(struct run *run, struct place *p)
{
	struct coop_limiter_stats s;

	if (coop_limiter_stats(&p->limiter, &s) < 0 || s.borrowed || s.waiting)
		wrong(run, "%s: %u tokens are out, %u tasks wait", p->thing->name, s.borrowed,
		      s.waiting);
	coop_limiter_deinit(&p->limiter);
}

/*
 * Takes a token for the task, or, where it holds as many things as coop lets a task hold, for
 * the block.
 */
static int limiter_enter(struct coop_limiter *limiter, struct coop_borrower *block, bool *ret_block)
{
	int r = coop_limiter_acquire(limiter);

	*ret_block = r == -ENOSPC;
	if (r != -ENOSPC)
		return r;
	coop_error_clear();
	return coop_limiter_acquire_for(limiter, block);
}

struct outcome op_limit(struct running *t, const struct op *op)
{
	struct place *p = place_of(t, op);
	struct coop_borrower block = COOP_BORROWER_INIT;
	bool for_block;
	int r = limiter_enter(&p->limiter, &block, &for_block);
	struct outcome o;

	if (r == -EALREADY)
		wrong(t->run, "%s takes two tokens of '%s'", t->name, p->thing->name);
	if (r < 0)
		return outcome_of(r);
	say(t, "limited");
	p->taken++;
	promise(t, p->taken - p->given <= p->thing->count, "no more tokens are out than there are");
	o = run_body(t, &op->body);
	p->given++;
	r = for_block ? coop_limiter_release_for(&p->limiter, &block)
		      : coop_limiter_release(&p->limiter);
	promise(t, r >= 0, "who holds a token may give it back");
	return o;
}
