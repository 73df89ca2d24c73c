/* SPDX-License-Identifier: MIT */
/* The inbox of a run; its head and invariants are in post.h. */
#include "core/post.h"

/* In `posters`: the run waits for them to leave. */
#define AWAITED (UINT32_C(1) << 31)

struct cp_inbox {
	uint32_t refs;        /* atomic */
	uint32_t posters;     /* atomic: those who may be touching the runtime */
	bool closed;          /* atomic: set once, when the run ends */
	struct cp_rt *rt;     /* valid while it is not closed, for who is counted in posters */
	struct cp_post *head; /* atomic: newest first */
};

struct cp_inbox *cp_inbox_of(struct cp_rt *rt)
{
	struct cp_inbox *inbox = rt->inbox;

	if (CP_LIKELY(inbox != NULL))
		return inbox;
	inbox = cp_calloc(1, sizeof *inbox);
	if (!inbox)
		return NULL;
	inbox->refs = 1;
	inbox->rt = rt;
	rt->inbox = inbox;
	return inbox;
}

struct cp_inbox *cp_inbox_ref(struct cp_inbox *inbox)
{
	__atomic_fetch_add(&inbox->refs, 1, __ATOMIC_RELAXED);
	return inbox;
}

void cp_inbox_unref(struct cp_inbox *inbox)
{
	if (__atomic_fetch_sub(&inbox->refs, 1, __ATOMIC_ACQ_REL) == 1)
		cp_free(inbox);
}

bool cp_inbox_is_of(const struct cp_inbox *inbox, const struct cp_rt *rt)
{
	return rt && rt->inbox == inbox;
}

/* ---------------------------------------------------------------------- posting */

/* True if it was empty: whoever found it so tells the loop, for all who come after. */
static bool push(struct cp_inbox *inbox, struct cp_post *post)
{
	struct cp_post *head = __atomic_load_n(&inbox->head, __ATOMIC_RELAXED);

	do
		post->next = head;
	while (!__atomic_compare_exchange_n(&inbox->head, &head, post, true, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED));
	return head == NULL;
}

bool cp_inbox_enter(struct cp_inbox *inbox)
{
	/* Pairs with cp_inbox_end: either it is seen there, or the end is seen here. */
	__atomic_fetch_add(&inbox->posters, 1, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&inbox->closed, __ATOMIC_SEQ_CST))
		return true;
	cp_inbox_leave(inbox);
	return false;
}

void cp_inbox_leave(struct cp_inbox *inbox)
{
	uint32_t *word = &inbox->posters; /* gone, perhaps, once it says that nobody is left */

	if (__atomic_fetch_sub(word, 1, __ATOMIC_SEQ_CST) == (AWAITED | 1))
		cp_os_futex_wake(word, 1);
}

/* It sleeps: where one core has to do, whoever has entered may be of a lower priority. */
void cp_inbox_settle(struct cp_inbox *inbox)
{
	uint32_t n = __atomic_or_fetch(&inbox->posters, AWAITED, __ATOMIC_SEQ_CST);

	while (n != AWAITED) {
		(void)cp_os_futex_wait(&inbox->posters, n, -1); /* early: it is looked at again */
		n = __atomic_load_n(&inbox->posters, __ATOMIC_SEQ_CST);
	}
	__atomic_fetch_and(&inbox->posters, ~AWAITED, __ATOMIC_SEQ_CST);
}

int cp_post(struct cp_inbox *inbox, struct cp_post *post)
{
	if (!cp_inbox_enter(inbox))
		return COOP_ECLOSED;
	if (push(inbox, post))
		cp_pending(inbox->rt, CP_PENDING_POSTS);
	cp_inbox_leave(inbox);
	return 0;
}

/* ------------------------------------------------------------------------ the loop */

void cp_inbox_take(struct cp_rt *rt)
{
	struct cp_inbox *inbox = rt->inbox;
	struct cp_post *taken = __atomic_exchange_n(&inbox->head, NULL, __ATOMIC_ACQUIRE);
	struct cp_post *first = NULL;

	while (taken) { /* oldest first */
		struct cp_post *next = taken->next;

		taken->next = first;
		first = taken;
		taken = next;
	}
	while (first) {
		struct cp_post *post = first;

		first = post->next;
		post->arrived(rt, post);
	}
}

void cp_inbox_end(struct cp_rt *rt)
{
	struct cp_inbox *inbox = rt->inbox;

	if (!inbox)
		return;
	__atomic_store_n(&inbox->closed, true, __ATOMIC_SEQ_CST);
	cp_inbox_settle(inbox);
	cp_inbox_take(rt);
	__atomic_fetch_and(&rt->pending, ~(uint32_t)CP_PENDING_POSTS, __ATOMIC_RELAXED);
	rt->inbox = NULL;
	cp_inbox_unref(inbox);
}
