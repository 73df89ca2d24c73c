/* SPDX-License-Identifier: MIT */
/* Wait queues; their head and invariants are in park.h. */
#include "core/park.h"

bool cp_queue_abort(struct cp_wait *wait)
{
	struct cp_queue_wait *w = CP_CONTAINER_OF(wait, struct cp_queue_wait, wait);

	if (w->entry.queue)
		cp_queue_remove(&w->entry);
	return true;
}

int cp_queue_park(struct cp_rt *rt, struct cp_queue *q, struct cp_queue_wait *w)
{
	int r;

	if (!w->wait.abort)
		w->wait.abort = cp_queue_abort;
	w->entry.task = rt->cur;
	w->entry.chosen = NULL;
	cp_queue_append(q, &w->entry);
	r = cp_park(rt, &w->wait);
	if (CP_UNLIKELY(r == COOP_ECANCELED))
		cp_ignored(rt);
	return r;
}

void cp_held_pop(struct cp_body *b, struct cp_held *held)
{
	struct cp_held **at = &b->held;

	while (*at != held)
		at = &(*at)->next;
	*at = held->next;
}

struct cp_hold *cp_hold_find(struct cp_body *b, const void *of)
{
	for (unsigned i = 0; i < b->holds_used; i++)
		if (b->holds[i].of == of)
			return &b->holds[i];
	return NULL;
}

bool cp_hold_room(const struct cp_body *b)
{
	return b->holds_used < COOP_HOLDS_MAX || cp_hold_find((struct cp_body *)(uintptr_t)b, NULL);
}

void cp_hold_take(struct cp_body *b, void *of, struct cp_queue *waiters,
		  void (*owner_ended)(struct cp_rt *rt, struct cp_held *held))
{
	struct cp_hold *hold = cp_hold_find(b, NULL);

	if (!hold) {
		CP_ASSERT(b->holds_used < COOP_HOLDS_MAX);
		hold = &b->holds[b->holds_used++];
	}
	hold->of = of;
	hold->held.waiters = waiters;
	hold->held.owner_ended = owner_ended;
	cp_held_push(b, &hold->held);
}

void cp_hold_drop(struct cp_body *b, struct cp_hold *hold)
{
	cp_held_pop(b, &hold->held);
	hold->of = NULL;
}

void cp_held_end(struct cp_rt *rt, struct cp_body *b)
{
	while (b->held) {
		struct cp_held *held = b->held;

		b->held = held->next;
		held->owner_ended(rt, held);
	}
}

/* In order of making, so that reports are. */
void cp_debt_add(struct cp_rt *rt, struct cp_debt *debt)
{
	debt->next = NULL;
	debt->prev = rt->debts_last;
	*(debt->prev ? &debt->prev->next : &rt->debts) = debt;
	rt->debts_last = debt;
}

void cp_debt_drop(struct cp_rt *rt, struct cp_debt *debt)
{
	*(debt->prev ? &debt->prev->next : &rt->debts) = debt->next;
	*(debt->next ? &debt->next->prev : &rt->debts_last) = debt->prev;
}

void cp_debts_end(struct cp_rt *rt)
{
	struct cp_debt *debt;

	while ((debt = rt->debts)) {
		cp_debt_drop(rt, debt);
		debt->left(debt);
	}
}
