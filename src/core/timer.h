/* SPDX-License-Identifier: MIT */
/*
 * The timer wheel: 8 levels of 64 slots, a tick of 2^16 ns; O(1) to arm and disarm.
 *
 * A timer lies in the slot of the highest group of 6 bits in which its tick differs
 * from the wheel's current one, so one that is disarmed in time is never moved.
 * When the wheel enters a slot of a higher level, that slot's timers move down, in order.
 *
 * Invariants
 *   1. A timer is on exactly one list (a slot, `fresh`, or `due`) or unlinked (next == NULL).
 *   2. Timers fire in order of their deadline; those of one deadline in order of arming.
 *      (Slots are lists in order of arming; moving down keeps order; whatever is armed
 *      after the wheel has entered a slot's time comes behind what moved down.)
 *   3. Nothing fires before the clock has reached its deadline.
 *   4. An occupancy bit may be set for an empty slot, never the other way round.
 *
 * Relative timers on the real clock do not read it: they wait on `fresh`, with their
 * duration, until the loop reads the clock for its next turn, and count from then.
 * Most timeouts never get farther: they are disarmed before.
 */
#ifndef CP_TIMER_H
#define CP_TIMER_H

#include "base/base.h"

#define CP_WHEEL_LEVELS 8
#define CP_WHEEL_SLOTS 64
#define CP_TICK_SHIFT 16
/* Later deadlines are never: 146 years. */
#define CP_TIME_MAX (INT64_C(1) << 62)

/* Also the first words of struct coop_task and of coop_scope._timer. */
struct cp_timer {
	struct cp_timer *next; /* NULL: not armed */
	struct cp_timer *prev;
	uint64_t key; /* deadline (on `fresh`: duration) << 1 | is a scope's */
};

struct cp_wheel {
	struct cp_timer fresh; /* list heads: circular */
	struct cp_timer due;
	uint64_t tick; /* current; what is in slot tick of level 0 may be due */
	uint64_t count;
	void (*settled)(struct cp_timer *t); /* a scope's timer has left `fresh`; may be NULL */
	uint64_t occupied[CP_WHEEL_LEVELS];
	struct cp_timer slots[CP_WHEEL_LEVELS][CP_WHEEL_SLOTS];
};

#define CP_TIMER_TASK 0u
#define CP_TIMER_SCOPE 1u

CP_INLINE int64_t cp_timer_when(const struct cp_timer *t)
{
	return (int64_t)(t->key >> 1);
}

CP_INLINE bool cp_timer_armed(const struct cp_timer *t)
{
	return t->next != NULL;
}

CP_INLINE void cp_timer_append(struct cp_timer *head, struct cp_timer *t)
{
	t->next = head;
	t->prev = head->prev;
	head->prev->next = t;
	head->prev = t;
}

CP_INLINE void cp_timer_unlink(struct cp_timer *t)
{
	t->prev->next = t->next;
	t->next->prev = t->prev;
	t->next = NULL;
}

void cp_wheel_init(struct cp_wheel *w, int64_t now_ns);

/* Arms for an absolute time; COOP_NEVER and the like must not get here. */
void cp_wheel_arm(struct cp_wheel *w, struct cp_timer *t, int64_t when_ns, unsigned kind);

/* Arms for `duration_ns` after the next reading of the clock. */
CP_INLINE void cp_wheel_arm_fresh(struct cp_wheel *w, struct cp_timer *t, int64_t duration_ns,
				  unsigned kind)
{
	t->key = (uint64_t)duration_ns << 1 | kind;
	w->count++;
	cp_timer_append(&w->fresh, t);
}

CP_INLINE void cp_wheel_disarm(struct cp_wheel *w, struct cp_timer *t)
{
	cp_timer_unlink(t);
	w->count--;
}

/* Moves what is due at `now_ns` to w->due, in order. True if there is something. */
bool cp_wheel_collect(struct cp_wheel *w, int64_t now_ns);

/* The next of what was collected, disarmed; NULL when there is none left. */
CP_INLINE struct cp_timer *cp_wheel_take(struct cp_wheel *w)
{
	struct cp_timer *t = w->due.next;

	if (t == &w->due)
		return NULL;
	cp_wheel_disarm(w, t);
	return t;
}

/*
 * When the loop must look again: the earliest deadline, or, where that is in a
 * crowded slot of a higher level, the start of that slot. COOP_NEVER: no timers.
 */
int64_t cp_wheel_next(struct cp_wheel *w, bool *ret_exact);

#endif
