/* SPDX-License-Identifier: MIT */
/*
 * Stacks for tasks: slabs of equal slots, a guard at the low end of each.
 *
 *   low                                                            high
 *   | guard (never readable) | stack, grows down            | top   |
 *
 * Invariants
 *   1. A slot without a guard is never handed out.
 *   2. reserved <= total: whoever holds a reservation gets a slot when it asks.
 *   3. A free slot is in exactly one place: untouched in its slab (never handed out),
 *      `ready` (guarded and prefaulted), `used` (LIFO, linked through the word just
 *      below its top, hottest first), `deep` (the same, but more than its top page may
 *      be resident), or `cold` (guarded, its pages given back: no word of it is read).
 *   4. Nothing is given back to the kernel at the moment a slot is put; that is
 *      done in batches, by cp_stacks_trim when the loop is idle. There is no cliff:
 *      past the cache's bound slots lose their pages, not their place, a bounded
 *      number a call, and never the hottest ones.
 *
 * Tops are coloured: slot i's top lies (i mod 16) * 128 bytes below its high end, so
 * that the hot words of many stacks do not fall in the same cache sets. A top is
 * 64-aligned. Slots lie at multiples of their size, which is how a slot is found from
 * its top.
 *
 * A pool belongs to one runtime and is used by its thread only; the lookup of an
 * address (cp_stacks_find) is async-signal-safe and sees all pools of the process.
 */
#ifndef CP_STACK_H
#define CP_STACK_H

#include "base/base.h"

#include <sys/uio.h>

struct cp_stack_slab;

#define CP_STACKS_BATCH 256 /* slots that are prepared, or emptied, by one call */

struct cp_stacks {
	void *used;         /* LIFO of free slots that have been used: their tops */
	size_t used_count;  /* on the LIFO list */
	size_t reserved;    /* slots promised (running or to run) */
	size_t total;       /* slots there are */
	size_t page_bytes;  /* the system's */
	size_t slot_bytes;  /* guard and stack, a multiple of the page */
	size_t guard_bytes; /* 16 KiB, on aarch64 64; at least a page */
	size_t cache_bytes; /* bound on the touched bytes of free slots; default 64 MiB */
	size_t touched_max; /* most slots that were ever in use at once */

	void *deep;        /* LIFO of used slots whose stack went deeper than 16 KiB */
	size_t deep_count; /* on that list */
	size_t deep_bytes; /* how deep they went, all together */

	size_t ready_count; /* guarded and prefaulted, not handed out yet: in `ready` */
	size_t carved;      /* slots that have left their slab, ever */
	void **cold;        /* tops of emptied slots; room for all slots there are */
	size_t cold_count;
	size_t cold_room;

	struct cp_stack_slab *slabs; /* oldest first */
	struct cp_stack_slab *slabs_last;
	struct cp_stack_slab *fresh_slab; /* the first with untouched slots */
	size_t slab_slots;                /* of the next slab */
	size_t wanted_bytes;              /* the owner's: what this pool was opened for */
	struct cp_stacks *next_pool;      /* a runtime's pools of other sizes */

	void *ready[CP_STACKS_BATCH];
	struct iovec ranges[CP_STACKS_BATCH]; /* scratch: too big for a task's stack */
};

/*
 * stack_bytes: usable bytes wanted, 0 = 240 KiB. -EINVAL below 16 KiB or above
 * 1 GiB. Maps nothing.
 */
int cp_stacks_open(struct cp_stacks *pool, size_t stack_bytes);
/* Every slot must have been put. Unmaps all. */
void cp_stacks_close(struct cp_stacks *pool);

int cp_stacks_grow(struct cp_stacks *pool);         /* slow side of reserve: -ENOMEM */
void *cp_stacks_take_fresh(struct cp_stacks *pool); /* slow side of take */

/* Promises one slot. 0 or -ENOMEM: no address space, or no map entries for guards. */
CP_INLINE int cp_stacks_reserve(struct cp_stacks *pool)
{
	if (CP_UNLIKELY(pool->reserved == pool->total)) {
		int r = cp_stacks_grow(pool);
		if (r < 0)
			return r;
	}
	pool->reserved++;
	return 0;
}

CP_INLINE void cp_stacks_unreserve(struct cp_stacks *pool)
{
	pool->reserved--;
}

/* Slots that somebody has taken and not put back. */
CP_INLINE size_t cp_stacks_in_use(const struct cp_stacks *pool)
{
	return pool->carved - pool->ready_count - pool->used_count - pool->deep_count -
	       pool->cold_count;
}

/*
 * Takes a slot for a holder of a reservation; returns its top. The hottest used
 * one first. NULL only if a fresh slot could not be given its guard now (the
 * kernel has no memory for page tables): the caller tries again later.
 */
CP_INLINE void *cp_stacks_take(struct cp_stacks *pool)
{
	void *top = pool->used;

	if (CP_UNLIKELY(!top))
		return cp_stacks_take_fresh(pool);
	pool->used = ((void **)top)[-1];
	pool->used_count--;
	return top;
}

/* Slow side of put: the slot went deep. */
void cp_stacks_put_slow(struct cp_stacks *pool, void *top, void *deepest);

/* Is no more than the top of a slot in use for whose stack this was the lowest pointer? */
CP_INLINE bool cp_stacks_shallow(const void *top, const void *deepest)
{
	return (size_t)((const char *)top - (const char *)deepest) <= 16384;
}

/*
 * Gives a slot back; `deepest` is the lowest stack pointer seen in it (a hint). The
 * caller may stand on it still: only the two words below the top are written, and
 * nobody takes the slot before the caller has left it.
 */
CP_INLINE void cp_stacks_put_shallow(struct cp_stacks *pool, void *top)
{
	((void **)top)[-1] = pool->used;
	pool->used = top;
	pool->used_count++;
}
CP_INLINE void cp_stacks_put(struct cp_stacks *pool, void *top, void *deepest)
{
	if (CP_LIKELY(cp_stacks_shallow(top, deepest)))
		cp_stacks_put_shallow(pool, top);
	else
		cp_stacks_put_slow(pool, top, deepest);
}

/*
 * Gives pages back in batches: all deep slots, and up to 1,024 of those past
 * cache_bytes a call. For an idle loop.
 */
void cp_stacks_trim(struct cp_stacks *pool);
/*
 * True if a trim is worth its calls. A few deep slots are not: a program that works
 * at that depth would fault their pages in again at once.
 */
CP_INLINE bool cp_stacks_trim_wanted(const struct cp_stacks *pool)
{
	return pool->deep_bytes > pool->cache_bytes / 8 ||
	       pool->used_count * pool->page_bytes > pool->cache_bytes;
}

/* Lowest usable address of the slot with this top. */
void *cp_stacks_low(const struct cp_stacks *pool, const void *top);

/* High-water mark of a slot in bytes below its top, by what is resident: a multiple of the page. */
size_t cp_stacks_high_water(const struct cp_stacks *pool, const void *top);

struct cp_stack_hit {
	void *top;          /* of the slot the address is in */
	void *low;          /* lowest usable address */
	size_t stack_bytes; /* usable */
	bool in_guard;
};
/* Async-signal-safe: in which slot of any pool of the process is this address? */
bool cp_stacks_find(const void *addr, struct cp_stack_hit *ret_hit);

/* "guard-install", "mprotect": how guards are made here, for the log. */
const char *cp_stacks_guard_kind(void);

#endif
