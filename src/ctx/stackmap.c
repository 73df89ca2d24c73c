/* SPDX-License-Identifier: MIT */
/*
 * The map of slabs: a list of blocks of entries, each entry with a version.
 *
 * The first block is static and enough for most programs; the others are mapped,
 * one page each, and stay. The low bits of a version are the entry's state, the
 * rest counts its changes:
 *
 *   FREE --claim (compare and swap)--> BUSY --add--> LIVE --remove--> FREE
 */
#include "stackmap.h"

#include "base/os.h"

#include <errno.h>

enum { FREE = 0, BUSY = 1, LIVE = 2, STATES = 3, CHANGE = 4 };

struct cp_stackmap_entry {
	uintptr_t version;
	struct cp_stackmap_slab slab; /* read and written by atomic accesses only */
};

struct block {
	struct block *next; /* set once */
	size_t count;       /* set before the block is linked */
	struct cp_stackmap_entry *entries;
};

#define FIRST_ENTRIES 64

static struct cp_stackmap_entry first_entries[FIRST_ENTRIES];
static struct block blocks = { .count = FIRST_ENTRIES, .entries = first_entries };

/* Acquire: pairs with the release that linked a finished block. */
static struct block *block_next(struct block *block)
{
	return __atomic_load_n(&block->next, __ATOMIC_ACQUIRE);
}

static bool claim(struct cp_stackmap_entry *entry)
{
	uintptr_t version = __atomic_load_n(&entry->version, __ATOMIC_RELAXED);

	return (version & STATES) == FREE &&
	       __atomic_compare_exchange_n(&entry->version, &version, version + CHANGE + BUSY,
					   false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static struct cp_stackmap_entry *claim_in(struct block *block)
{
	for (size_t i = 0; i < block->count; i++)
		if (claim(&block->entries[i]))
			return &block->entries[i];
	return NULL;
}

/* A block that another thread linked first stays in the chain before ours. */
static void link_block(struct block *block)
{
	struct block *at = &blocks;
	struct block *none = NULL;

	while (!__atomic_compare_exchange_n(&at->next, &none, block, false, __ATOMIC_RELEASE,
					    __ATOMIC_ACQUIRE)) {
		at = none;
		none = NULL;
	}
}

static int new_block(struct block **ret_block)
{
	size_t bytes = cp_os_page_bytes();
	struct block *block;
	void *mem;
	int r = cp_os_map(bytes, &mem);

	if (r < 0)
		return r;

	block = mem;
	block->entries = (struct cp_stackmap_entry *)(block + 1);
	block->count = (bytes - sizeof *block) / sizeof *block->entries;
	*ret_block = block;
	return 0;
}

/* Released, so that a reader who sees one of these sees the entry BUSY as well. */
static void write_slab(struct cp_stackmap_slab *to, const struct cp_stackmap_slab *from)
{
	__atomic_store_n(&to->base, from->base, __ATOMIC_RELEASE);
	__atomic_store_n(&to->end, from->end, __ATOMIC_RELEASE);
	__atomic_store_n(&to->slot_bytes, from->slot_bytes, __ATOMIC_RELEASE);
	__atomic_store_n(&to->guard_bytes, from->guard_bytes, __ATOMIC_RELEASE);
}

/* Acquired, so that the second look at the version comes after them. */
static void read_slab(struct cp_stackmap_slab *to, const struct cp_stackmap_slab *from)
{
	to->base = __atomic_load_n(&from->base, __ATOMIC_ACQUIRE);
	to->end = __atomic_load_n(&from->end, __ATOMIC_ACQUIRE);
	to->slot_bytes = __atomic_load_n(&from->slot_bytes, __ATOMIC_ACQUIRE);
	to->guard_bytes = __atomic_load_n(&from->guard_bytes, __ATOMIC_ACQUIRE);
}

static void set_state(struct cp_stackmap_entry *entry, uintptr_t state)
{
	uintptr_t version = __atomic_load_n(&entry->version, __ATOMIC_RELAXED) & ~(uintptr_t)STATES;

	__atomic_store_n(&entry->version, version + CHANGE + state, __ATOMIC_RELEASE);
}

int cp_stackmap_add(const struct cp_stackmap_slab *slab, struct cp_stackmap_entry **ret_entry)
{
	struct cp_stackmap_entry *entry = NULL;
	struct block *block;
	int r;

	for (block = &blocks; block && !entry; block = block_next(block))
		entry = claim_in(block);
	if (!entry) {
		r = new_block(&block);
		if (r < 0)
			return -ENOMEM;
		entry = &block->entries[0];
		entry->version = BUSY;
		link_block(block);
	}

	write_slab(&entry->slab, slab);
	set_state(entry, LIVE);
	*ret_entry = entry;
	return 0;
}

void cp_stackmap_remove(struct cp_stackmap_entry *entry)
{
	CP_ASSERT((__atomic_load_n(&entry->version, __ATOMIC_RELAXED) & STATES) == LIVE);
	set_state(entry, FREE);
}

static bool entry_has(const struct cp_stackmap_entry *entry, uintptr_t addr,
		      struct cp_stackmap_slab *ret_slab)
{
	uintptr_t version = __atomic_load_n(&entry->version, __ATOMIC_ACQUIRE);
	struct cp_stackmap_slab slab;

	if ((version & STATES) != LIVE)
		return false;
	read_slab(&slab, &entry->slab);
	if (__atomic_load_n(&entry->version, __ATOMIC_RELAXED) != version)
		return false; /* somebody else's is changing: not the one this address is in */
	if (addr < slab.base || addr >= slab.end)
		return false;
	*ret_slab = slab;
	return true;
}

bool cp_stackmap_find(uintptr_t addr, struct cp_stackmap_slab *ret_slab)
{
	for (struct block *block = &blocks; block; block = block_next(block))
		for (size_t i = 0; i < block->count; i++)
			if (entry_has(&block->entries[i], addr, ret_slab))
				return true;
	return false;
}
