/* SPDX-License-Identifier: MIT */
/* The timer wheel; its head and invariants are in timer.h. */
#include "timer.h"

/* A crowded slot is not searched for its earliest timer: the loop looks again at its start. */
#define CP_SEARCH_MAX 64

static void head_init(struct cp_timer *head)
{
	head->next = head->prev = head;
}

static bool head_empty(const struct cp_timer *head)
{
	return head->next == head;
}

void cp_wheel_init(struct cp_wheel *w, int64_t now_ns)
{
	w->tick = (uint64_t)now_ns >> CP_TICK_SHIFT;
	w->count = 0;
	w->settled = NULL;
	head_init(&w->fresh);
	head_init(&w->due);
	for (int level = 0; level < CP_WHEEL_LEVELS; level++) {
		w->occupied[level] = 0;
		for (int slot = 0; slot < CP_WHEEL_SLOTS; slot++)
			head_init(&w->slots[level][slot]);
	}
}

/* Puts a timer whose key is set where it belongs as seen from the current tick. */
static void place(struct cp_wheel *w, struct cp_timer *t)
{
	uint64_t tick = (t->key >> 1) >> CP_TICK_SHIFT;
	unsigned level = 0, slot;

	if (tick < w->tick)
		tick = w->tick;
	if (tick != w->tick)
		level = (unsigned)(63 - __builtin_clzll(tick ^ w->tick)) / 6;
	slot = tick >> (6 * level) & 63;
	w->occupied[level] |= UINT64_C(1) << slot;
	cp_timer_append(&w->slots[level][slot], t);
}

void cp_wheel_arm(struct cp_wheel *w, struct cp_timer *t, int64_t when_ns, unsigned kind)
{
	CP_ASSERT(!cp_timer_armed(t));
	if (when_ns < 0)
		when_ns = 0;
	if (when_ns > CP_TIME_MAX)
		when_ns = CP_TIME_MAX;
	t->key = (uint64_t)when_ns << 1 | kind;
	w->count++;
	place(w, t);
}

/* Timers that counted from the next reading of the clock: it is read now. */
static void settle_fresh(struct cp_wheel *w, int64_t now_ns)
{
	struct cp_timer *t;

	while (!head_empty(&w->fresh)) {
		t = w->fresh.next;
		cp_timer_unlink(t);
		if ((int64_t)(t->key >> 1) > CP_TIME_MAX - now_ns)
			t->key = (uint64_t)CP_TIME_MAX << 1 | (t->key & 1);
		else
			t->key += (uint64_t)now_ns << 1;
		place(w, t);
		if (t->key & CP_TIMER_SCOPE && w->settled)
			w->settled(t);
	}
}

/* Merges two lists linked by next and ended by NULL; of equals, a's come first. */
static struct cp_timer *merge(struct cp_timer *a, struct cp_timer *b)
{
	struct cp_timer *list = NULL, **tail = &list;

	while (a && b) {
		struct cp_timer **from = b->key >> 1 < a->key >> 1 ? &b : &a;

		*tail = *from;
		tail = &(*from)->next;
		*from = (*from)->next;
	}
	*tail = a ? a : b;
	return list;
}

/* Sorts a NULL-ended list by deadline, stably: bins[i] holds 2^i timers. */
static struct cp_timer *sort(struct cp_timer *list)
{
	struct cp_timer *bins[40] = { NULL };
	size_t used = 0, i;

	while (list) {
		struct cp_timer *one = list;

		list = list->next;
		one->next = NULL;
		for (i = 0; i < used && bins[i]; i++) {
			one = merge(bins[i], one);
			bins[i] = NULL;
		}
		bins[i] = one;
		if (i == used)
			used++;
	}
	for (i = 0, list = NULL; i < used; i++)
		list = merge(bins[i], list);
	return list;
}

/* Moves what is due in the current slot to w->due, sorted; the rest stays. */
static void collect_slot(struct cp_wheel *w, int64_t now_ns)
{
	struct cp_timer *head = &w->slots[0][w->tick & 63];
	struct cp_timer *t = head->next, *list = NULL, **tail = &list;
	bool sorted = true;

	while (t != head) {
		struct cp_timer *next = t->next;

		if (cp_timer_when(t) <= now_ns) {
			t->prev->next = t->next;
			t->next->prev = t->prev;
			if (list &&
			    CP_CONTAINER_OF(tail, struct cp_timer, next)->key >> 1 > t->key >> 1)
				sorted = false;
			*tail = t;
			tail = &t->next;
		}
		t = next;
	}
	*tail = NULL;
	if (head_empty(head))
		w->occupied[0] &= ~(UINT64_C(1) << (w->tick & 63));
	if (!sorted)
		list = sort(list);
	while (list) {
		t = list;
		list = list->next;
		cp_timer_append(&w->due, t);
	}
}

/*
 * Finds the first occupied slot after the current one, clearing stale bits. Returns its
 * level and first tick, or false if there is none.
 */
static bool next_slot(struct cp_wheel *w, unsigned *ret_level, uint64_t *ret_tick)
{
	for (unsigned level = 0; level < CP_WHEEL_LEVELS; level++) {
		unsigned shift = 6 * level;
		unsigned at = w->tick >> shift & 63;
		uint64_t bits = w->occupied[level] & (at == 63 ? 0 : ~UINT64_C(0) << (at + 1));

		while (bits) {
			unsigned slot = (unsigned)__builtin_ctzll(bits);

			if (!head_empty(&w->slots[level][slot])) {
				*ret_level = level;
				*ret_tick = ((w->tick >> shift & ~UINT64_C(63)) | slot) << shift;
				return true;
			}
			w->occupied[level] &= ~(UINT64_C(1) << slot);
			bits &= bits - 1;
		}
	}
	return false;
}

/* Enters the slot that begins at `tick`: of a higher level, its timers move down. */
static void enter_slot(struct cp_wheel *w, unsigned level, uint64_t tick)
{
	struct cp_timer *head = &w->slots[level][tick >> (6 * level) & 63];
	struct cp_timer list;

	w->tick = tick;
	if (level == 0)
		return;
	w->occupied[level] &= ~(UINT64_C(1) << (tick >> (6 * level) & 63));
	list = *head;
	list.next->prev = &list;
	list.prev->next = &list;
	head_init(head);
	while (!head_empty(&list)) {
		struct cp_timer *t = list.next;

		cp_timer_unlink(t);
		place(w, t);
	}
}

bool cp_wheel_collect(struct cp_wheel *w, int64_t now_ns)
{
	uint64_t now_tick = (uint64_t)now_ns >> CP_TICK_SHIFT, tick;
	unsigned level;

	settle_fresh(w, now_ns);
	for (;;) {
		if (!head_empty(&w->slots[0][w->tick & 63]))
			collect_slot(w, now_ns);
		if (w->tick >= now_tick)
			break;
		if (!next_slot(w, &level, &tick) || tick > now_tick) {
			w->tick = now_tick;
			break;
		}
		enter_slot(w, level, tick);
	}
	return !head_empty(&w->due);
}

/* The earliest deadline in a slot, or COOP_NEVER if it has too many to search. */
static int64_t earliest(const struct cp_timer *head)
{
	int64_t min = COOP_NEVER;
	int seen = 0;

	for (const struct cp_timer *t = head->next; t != head; t = t->next) {
		if (++seen > CP_SEARCH_MAX)
			return COOP_NEVER;
		if (cp_timer_when(t) < min)
			min = cp_timer_when(t);
	}
	return min;
}

int64_t cp_wheel_next(struct cp_wheel *w, bool *ret_exact)
{
	struct cp_timer *head = &w->slots[0][w->tick & 63];
	uint64_t tick = w->tick;
	unsigned level = 0;
	int64_t when;

	*ret_exact = true;
	CP_ASSERT(head_empty(&w->fresh));
	if (head_empty(head)) {
		if (!next_slot(w, &level, &tick))
			return COOP_NEVER;
		head = &w->slots[level][tick >> (6 * level) & 63];
	}
	when = earliest(head);
	if (when != COOP_NEVER)
		return when;
	/* Crowded: of a higher level, look again at its start. */
	*ret_exact = false;
	if (level == 0) {
		for (const struct cp_timer *t = head->next; t != head; t = t->next)
			if (cp_timer_when(t) < when)
				when = cp_timer_when(t);
		*ret_exact = true;
		return when;
	}
	return (int64_t)(tick << CP_TICK_SHIFT);
}
