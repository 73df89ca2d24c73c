/* SPDX-License-Identifier: MIT */
/*
 * Stacks: slabs, free lists, and what is done in batches.
 *
 * A system call costs about a microsecond and a page fault up to ten, a switch of
 * stacks a few nanoseconds. So the kernel is asked for many slots at once: a slab is
 * one map; guards and first pages are set for a batch of slots when the first of them
 * is needed; pages are given back a batch at a time. The batches grow with the
 * program: an eighth of the slots carved so far, so that at most an eighth of the
 * memory is prepared in vain.
 *
 * The life of a slot (the lists are named in stack.h):
 *
 *   untouched --carve--> ready --take--> in use --put--> used or deep --take--> in use
 *                        ready <--refill-- cold <--trim-- used
 *
 * Where guards are protected ranges (guard.h), grow sets them, since only then can
 * their number be promised. Where they are markers, carve sets them, and a million
 * promised stacks cost nothing until they run.
 */
#include "stack.h"

#include "base/libc.h"
#include "base/os.h"
#include "ctx.h"
#include "guard.h"
#include "stackmap.h"

#include <errno.h>
#include <sys/mman.h>

#ifdef CP_ASAN
#include <sanitizer/asan_interface.h>
#endif
#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define HAVE_VALGRIND 1
#endif
#endif

#define COLOURS 16
#define COLOUR_BYTES 64

/*
 * A function with a large frame touches it step by step on the way down, if the compiler was asked
 * to; a guard must not be smaller than a step. On aarch64 compilers take 64 KiB for granted.
 */
#ifdef __aarch64__
#define GUARD_BYTES ((size_t)64 << 10)
#else
#define GUARD_BYTES ((size_t)16 << 10)
#endif
#define STACK_BYTES_MIN ((size_t)16 << 10)
#define STACK_BYTES_MAX ((size_t)1 << 30)
#define STACK_BYTES_DEFAULT ((size_t)240 << 10) /* with the guard a round number on x86-64 */

#define SLAB_SLOTS_FIRST 64
#define SLAB_SLOTS_MAX 4096
#define SLAB_BYTES_MAX ((size_t)1 << 30)

#define CACHE_BYTES_DEFAULT ((size_t)64 << 20)
#define HOT_SLOTS 1024  /* of the used list, never emptied while the bound allows them */
#define TRIM_SLOTS 1024 /* emptied by one trim at most: about a millisecond */

struct cp_stack_slab {
	struct cp_stack_slab *next; /* younger */
	char *base;                 /* a multiple of the pool's slot_bytes */
	size_t slots;
	size_t carved;  /* slots [0, carved) have left the slab */
	bool protected; /* guards were set when it was mapped */
	struct cp_stackmap_entry *entry;
	unsigned *valgrind_ids; /* one a carved slot; NULL outside of valgrind */
};

/* ---- slots */

static char *slot_of(const struct cp_stacks *pool, const void *top)
{
	return (char *)top - ((uintptr_t)top - 1) % pool->slot_bytes - 1;
}

static void *top_of(size_t slot_bytes, const char *slot)
{
	size_t colour = (uintptr_t)slot / slot_bytes % COLOURS * COLOUR_BYTES;

	return (char *)slot + slot_bytes - colour;
}

/* The page a slot's top lies in; the last of the slot, since colours are less than a page. */
static char *top_page(const struct cp_stacks *pool, const void *top)
{
	return slot_of(pool, top) + pool->slot_bytes - pool->page_bytes;
}

void *cp_stacks_low(const struct cp_stacks *pool, const void *top)
{
	return slot_of(pool, top) + pool->guard_bytes;
}

/* ---- tools that watch stacks */

#ifdef CP_ASAN
static void forget_poison(void *low, size_t bytes)
{
	__asan_unpoison_memory_region(low, bytes);
}
#else
static void forget_poison(void *low, size_t bytes)
{
	(void)low;
	(void)bytes;
}
#endif

#ifdef HAVE_VALGRIND
static int valgrind_open(struct cp_stack_slab *slab)
{
	if (!RUNNING_ON_VALGRIND)
		return 0;
	slab->valgrind_ids = cp_calloc(slab->slots, sizeof *slab->valgrind_ids);
	return slab->valgrind_ids ? 0 : -ENOMEM;
}

static void valgrind_carved(struct cp_stack_slab *slab, size_t slot, char *low, char *high)
{
	if (slab->valgrind_ids)
		slab->valgrind_ids[slot] = VALGRIND_STACK_REGISTER(low, high);
}

static void valgrind_close(struct cp_stack_slab *slab)
{
	for (size_t i = 0; slab->valgrind_ids && i < slab->carved; i++)
		VALGRIND_STACK_DEREGISTER(slab->valgrind_ids[i]);
	cp_free(slab->valgrind_ids);
}
#else
static int valgrind_open(struct cp_stack_slab *slab)
{
	(void)slab;
	return 0;
}

static void valgrind_carved(struct cp_stack_slab *slab, size_t slot, char *low, char *high)
{
	(void)slab;
	(void)slot;
	(void)low;
	(void)high;
}

static void valgrind_close(struct cp_stack_slab *slab)
{
	(void)slab;
}
#endif

/* ---- slabs */

/* Maps `slots` slots at a multiple of their size: one slot more, and the ends cut off. */
static int slab_map(struct cp_stacks *pool, struct cp_stack_slab *slab, size_t slots)
{
	size_t bytes = slots * pool->slot_bytes;
	size_t head;
	void *mem;
	int r = cp_os_map(bytes + pool->slot_bytes, &mem);

	if (r < 0)
		return r;

	head = pool->slot_bytes - (uintptr_t)mem % pool->slot_bytes;
	cp_os_unmap(mem, head);
	cp_os_unmap((char *)mem + head + bytes, pool->slot_bytes - head);
	slab->base = (char *)mem + head;
	slab->slots = slots;
	return 0;
}

/* A limit on address space may still leave room for a smaller slab. */
static int slab_map_most(struct cp_stacks *pool, struct cp_stack_slab *slab, size_t slots)
{
	int r = -ENOMEM;

	for (; slots && r < 0; slots /= 2)
		r = slab_map(pool, slab, slots);
	return r < 0 ? -ENOMEM : 0;
}

static void slab_unmap(struct cp_stacks *pool, struct cp_stack_slab *slab)
{
	size_t bytes = slab->slots * pool->slot_bytes;

	if (!slab->base)
		return;
	forget_poison(slab->base, bytes);
	cp_os_unmap(slab->base, bytes);
}

/* As many as can be guarded stay; -ENOMEM when that is none. */
static int slab_protect(struct cp_stacks *pool, struct cp_stack_slab *slab)
{
	size_t slots = 0;

	while (slots < slab->slots &&
	       cp_guard_protect(slab->base + slots * pool->slot_bytes, pool->guard_bytes) == 0)
		slots++;
	if (!slots)
		return -ENOMEM;
	cp_os_unmap(slab->base + slots * pool->slot_bytes,
		    (slab->slots - slots) * pool->slot_bytes);
	slab->slots = slots;
	slab->protected = true;
	return 0;
}

static int slab_register(struct cp_stacks *pool, struct cp_stack_slab *slab)
{
	struct cp_stackmap_slab place = {
		.base = (uintptr_t)slab->base,
		.end = (uintptr_t)slab->base + slab->slots * pool->slot_bytes,
		.slot_bytes = pool->slot_bytes,
		.guard_bytes = pool->guard_bytes,
	};

	return cp_stackmap_add(&place, &slab->entry);
}

/* Any slab, also one that is half made. */
static void slab_free(struct cp_stacks *pool, struct cp_stack_slab *slab)
{
	if (slab->entry)
		cp_stackmap_remove(slab->entry);
	valgrind_close(slab);
	slab_unmap(pool, slab);
	cp_free(slab);
}

static int slab_prepare(struct cp_stacks *pool, struct cp_stack_slab *slab, size_t slots,
			enum cp_guard_kind kind)
{
	int r = slab_map_most(pool, slab, slots);

	if (r < 0)
		return r;

	/* Wishes: a huge page would make a stack cost 2 MiB; a name helps readers of maps. */
	(void)cp_os_advise(slab->base, slab->slots * pool->slot_bytes, MADV_NOHUGEPAGE);
	cp_os_name_map(slab->base, slab->slots * pool->slot_bytes, "coop stacks");

	if (kind == CP_GUARD_PROTECT)
		r = slab_protect(pool, slab);
	if (r < 0)
		return r;
	r = valgrind_open(slab);
	if (r < 0)
		return r;
	return slab_register(pool, slab);
}

static int slab_new(struct cp_stacks *pool, size_t slots, enum cp_guard_kind kind,
		    struct cp_stack_slab **ret_slab)
{
	struct cp_stack_slab *slab = cp_calloc(1, sizeof *slab);
	int r;

	if (!slab)
		return -ENOMEM;

	r = slab_prepare(pool, slab, slots, kind);
	if (r < 0) {
		slab_free(pool, slab);
		return r;
	}
	*ret_slab = slab;
	return 0;
}

/* ---- the pool */

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t max_size(size_t a, size_t b)
{
	return a > b ? a : b;
}

static size_t round_up(size_t bytes, size_t unit)
{
	return (bytes + unit - 1) / unit * unit;
}

int cp_stacks_open(struct cp_stacks *pool, size_t stack_bytes)
{
	size_t page = cp_os_page_bytes();
	size_t guard = round_up(GUARD_BYTES, page);
	size_t slot;

	if (stack_bytes && (stack_bytes < STACK_BYTES_MIN || stack_bytes > STACK_BYTES_MAX))
		return -EINVAL;

	slot = guard + (stack_bytes ? stack_bytes + COLOURS * COLOUR_BYTES : STACK_BYTES_DEFAULT);
	*pool = (struct cp_stacks){
		.page_bytes = page,
		.slot_bytes = round_up(slot, page),
		.guard_bytes = guard,
		.cache_bytes = CACHE_BYTES_DEFAULT,
		.slab_slots = SLAB_SLOTS_FIRST,
	};
	return 0;
}

void cp_stacks_close(struct cp_stacks *pool)
{
	size_t free_slots =
		pool->used_count + pool->deep_count + pool->ready_count + pool->cold_count;

	CP_ASSERT(free_slots == pool->carved);
	while (pool->slabs) {
		struct cp_stack_slab *slab = pool->slabs;

		pool->slabs = slab->next;
		slab_free(pool, slab);
	}
	cp_free(pool->cold);
	*pool = (struct cp_stacks){ .used = NULL };
}

/* So that a trim, which has to work when there is no memory, never allocates. */
static int cold_make_room(struct cp_stacks *pool, size_t slots)
{
	size_t room = max_size(slots, pool->cold_room * 2);
	void **cold;

	if (slots <= pool->cold_room)
		return 0;
	cold = cp_realloc(pool->cold, room * sizeof *cold);
	if (!cold)
		return -ENOMEM;
	pool->cold = cold;
	pool->cold_room = room;
	return 0;
}

static void pool_append(struct cp_stacks *pool, struct cp_stack_slab *slab)
{
	if (pool->slabs_last)
		pool->slabs_last->next = slab;
	else
		pool->slabs = slab;
	pool->slabs_last = slab;
	if (!pool->fresh_slab)
		pool->fresh_slab = slab;
	pool->total += slab->slots;
	pool->slab_slots = min_size(pool->slab_slots * 2, SLAB_SLOTS_MAX);
}

CP_NOINLINE int cp_stacks_grow(struct cp_stacks *pool)
{
	size_t slots = min_size(pool->slab_slots, max_size(SLAB_BYTES_MAX / pool->slot_bytes, 1));
	enum cp_guard_kind kind;
	struct cp_stack_slab *slab;
	int r = cp_guard_kind(&kind);

	if (r < 0)
		return r;
	if (kind == CP_GUARD_PROTECT)
		slots = min_size(slots, cp_guard_room());
	r = cold_make_room(pool, pool->total + slots);
	if (r < 0)
		return r;
	r = slab_new(pool, slots, kind, &slab);
	if (r < 0)
		return r;

	pool_append(pool, slab);
	return 0;
}

/* ---- take */

/* Where the next untouched slots are: `fresh_slab`, or none are left. */
static struct cp_stack_slab *fresh_slab(struct cp_stacks *pool)
{
	while (pool->fresh_slab && pool->fresh_slab->carved == pool->fresh_slab->slots)
		pool->fresh_slab = pool->fresh_slab->next;
	return pool->fresh_slab;
}

static char *untouched_slot(const struct cp_stacks *pool, const struct cp_stack_slab *slab,
			    size_t i)
{
	return slab->base + (slab->carved + i) * pool->slot_bytes;
}

/* How many of the slab's next `count` slots have a guard now. */
static size_t guard_next(struct cp_stacks *pool, const struct cp_stack_slab *slab, size_t count)
{
	if (slab->protected)
		return count;
	for (size_t i = 0; i < count; i++)
		pool->ranges[i] = (struct iovec){
			.iov_base = untouched_slot(pool, slab, i),
			.iov_len = pool->guard_bytes,
		};
	return cp_guard_mark(pool->ranges, count);
}

static void carve(struct cp_stacks *pool, struct cp_stack_slab *slab, size_t wanted)
{
	size_t count = guard_next(pool, slab, min_size(wanted, slab->slots - slab->carved));

	for (size_t i = 0; i < count; i++) {
		char *slot = untouched_slot(pool, slab, i);

		valgrind_carved(slab, slab->carved + i, slot + pool->guard_bytes,
				slot + pool->slot_bytes);
		pool->ready[pool->ready_count++] = top_of(pool->slot_bytes, slot);
	}
	slab->carved += count;
	pool->carved += count;
}

/* Only a matter of speed: where it is refused the pages come by faults. */
static void prefault(struct cp_stacks *pool, void *const *tops, size_t count)
{
	for (size_t i = 0; i < count; i++)
		pool->ranges[i] = (struct iovec){
			.iov_base = top_page(pool, tops[i]),
			.iov_len = pool->page_bytes,
		};
	cp_advise_each(pool->ranges, count, MADV_POPULATE_WRITE);
}

/* Prepares a batch, at least one slot unless there is no memory for a guard. */
static void refill(struct cp_stacks *pool)
{
	size_t wanted = min_size(max_size(pool->carved / 8, 1), CP_STACKS_BATCH);
	struct cp_stack_slab *slab;

	while (pool->cold_count && pool->ready_count < wanted)
		pool->ready[pool->ready_count++] = pool->cold[--pool->cold_count];
	slab = fresh_slab(pool);
	if (slab && pool->ready_count < wanted)
		carve(pool, slab, wanted - pool->ready_count);
	prefault(pool, pool->ready, pool->ready_count);
}

static void *take_deep(struct cp_stacks *pool)
{
	void **top = pool->deep;

	pool->deep = top[-1];
	pool->deep_count--;
	pool->deep_bytes -= (uintptr_t)top[-2];
	return top;
}

static void note_touched(struct cp_stacks *pool)
{
	size_t in_use = pool->carved - pool->ready_count - pool->cold_count;

	pool->touched_max = max_size(pool->touched_max, in_use);
}

/* The used list is empty. A deep slot is the next best: its pages are there. */
CP_NOINLINE void *cp_stacks_take_fresh(struct cp_stacks *pool)
{
	void *top;

	if (pool->deep)
		return take_deep(pool);
	if (!pool->ready_count)
		refill(pool);
	if (!pool->ready_count)
		return NULL;
	top = pool->ready[--pool->ready_count];
	note_touched(pool);
	return top;
}

/* ---- put and trim */

static void put_used(struct cp_stacks *pool, void **top)
{
	top[-1] = pool->used;
	pool->used = top;
	pool->used_count++;
}

/* The resident bytes of a deep slot below its top page stand beside its link. */
static void put_deep(struct cp_stacks *pool, void **top, size_t bytes)
{
	top[-1] = pool->deep;
	top[-2] = (void *)bytes;
	pool->deep = top;
	pool->deep_count++;
	pool->deep_bytes += bytes;
}

/* The bytes between the top page and the page `deepest` is in. */
static size_t bytes_below_top_page(const struct cp_stacks *pool, const void *top,
				   const char *deepest)
{
	char *low = cp_stacks_low(pool, top);
	char *high = top_page(pool, top);

	if (deepest >= high)
		return 0;
	return round_up((size_t)(high - (deepest < low ? low : deepest)), pool->page_bytes);
}

/* The tops on the deep list go to the used list; their ranges are left in `ranges`. */
static size_t gather_deep(struct cp_stacks *pool)
{
	size_t count = 0;

	for (; pool->deep && count < CP_STACKS_BATCH; count++) {
		void *top = take_deep(pool);
		char *low = cp_stacks_low(pool, top);

		pool->ranges[count] = (struct iovec){
			.iov_base = low,
			.iov_len = (size_t)(top_page(pool, top) - low),
		};
		put_used(pool, top);
	}
	return count;
}

static void trim_deep(struct cp_stacks *pool)
{
	while (pool->deep) {
		size_t count = gather_deep(pool);

		cp_advise_each(pool->ranges, count, MADV_DONTNEED);
	}
}

CP_NOINLINE void cp_stacks_put_slow(struct cp_stacks *pool, void *top, void *deepest)
{
	size_t bytes = bytes_below_top_page(pool, top, deepest);

	if (!bytes) {
		put_used(pool, top);
		return;
	}
	/* A loop that is never idle. Before this slot is among them: the caller may stand on it. */
	if (pool->deep_bytes > pool->cache_bytes / 4)
		trim_deep(pool);
	put_deep(pool, top, bytes);
}

/* The link that holds the used list's `n`th slot. */
static void **used_link(struct cp_stacks *pool, size_t n)
{
	void **link = &pool->used;

	while (n--)
		link = (void **)*link - 1;
	return link;
}

/* Moves `count` slots from behind `link` to `cold`; their ranges are left in `ranges`. */
static void gather_used(struct cp_stacks *pool, void **link, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		void **top = *link;
		char *low = cp_stacks_low(pool, top);

		*link = top[-1];
		pool->used_count--;
		pool->cold[pool->cold_count++] = top;
		pool->ranges[i] = (struct iovec){
			.iov_base = low,
			.iov_len = (size_t)(slot_of(pool, top) + pool->slot_bytes - low),
		};
	}
}

/*
 * Down to seven eighths of the bound, so that a count that moves about the bound does
 * not ask the kernel for each slot. The victims stand behind the hottest slots and not
 * at the cold end: the way there is a cache miss a step.
 */
static void trim_used(struct cp_stacks *pool)
{
	size_t bound = pool->cache_bytes / pool->page_bytes;
	size_t keep = bound - bound / 8;
	void **link;
	size_t left;

	if (pool->used_count <= bound)
		return;
	left = min_size(pool->used_count - keep, TRIM_SLOTS);
	link = used_link(pool, min_size(keep, HOT_SLOTS));
	while (left) {
		size_t count = min_size(left, CP_STACKS_BATCH);

		gather_used(pool, link, count);
		cp_advise_each(pool->ranges, count, MADV_DONTNEED);
		left -= count;
	}
}

void cp_stacks_trim(struct cp_stacks *pool)
{
	trim_deep(pool);
	trim_used(pool);
}

/* ---- questions */

/* The first resident page among `pages` pages from `page` on, or where they end. */
static char *first_resident(const struct cp_stacks *pool, char *page, size_t pages)
{
	unsigned char resident[256];

	while (pages) {
		size_t count = min_size(pages, sizeof resident);

		if (cp_os_resident(page, count * pool->page_bytes, resident) < 0)
			return page;
		for (size_t i = 0; i < count; i++, page += pool->page_bytes)
			if (resident[i] & 1)
				return page;
		pages -= count;
	}
	return page;
}

size_t cp_stacks_high_water(const struct cp_stacks *pool, const void *top)
{
	char *low = cp_stacks_low(pool, top);
	char *high = slot_of(pool, top) + pool->slot_bytes;

	return (size_t)(high - first_resident(pool, low, (size_t)(high - low) / pool->page_bytes));
}

bool cp_stacks_find(const void *addr, struct cp_stack_hit *ret_hit)
{
	uintptr_t at = (uintptr_t)addr;
	struct cp_stackmap_slab slab;
	char *slot;
	char *low;

	if (!cp_stackmap_find(at, &slab))
		return false;

	slot = (char *)addr - at % slab.slot_bytes;
	low = slot + slab.guard_bytes;
	*ret_hit = (struct cp_stack_hit){
		.top = top_of(slab.slot_bytes, slot),
		.low = low,
		.stack_bytes = slab.slot_bytes - slab.guard_bytes,
		.in_guard = (char *)addr < low,
	};
	return true;
}

const char *cp_stacks_guard_kind(void)
{
	enum cp_guard_kind kind;

	if (cp_guard_kind(&kind) < 0)
		return "unknown";
	return kind == CP_GUARD_MARKER ? "guard-install" : "mprotect";
}
