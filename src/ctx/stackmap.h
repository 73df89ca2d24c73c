/* SPDX-License-Identifier: MIT */
/*
 * Where the slabs of all pools of the process are, for whoever has but an address:
 * the overflow handler, the dump.
 *
 * Invariants
 *   1. An entry is never freed; it is live, or free to be used again. So a reader in
 *      a signal handler may walk the list at any moment, whatever other threads do.
 *   2. A reader takes what it read for true only if the entry's version says live
 *      and has not changed meanwhile.
 */
#ifndef CP_STACKMAP_H
#define CP_STACKMAP_H

#include "base/base.h"

struct cp_stackmap_entry;

struct cp_stackmap_slab {
	uintptr_t base; /* a multiple of slot_bytes */
	uintptr_t end;
	size_t slot_bytes;
	size_t guard_bytes;
};

/* 0 or -ENOMEM. */
int cp_stackmap_add(const struct cp_stackmap_slab *slab, struct cp_stackmap_entry **ret_entry);
void cp_stackmap_remove(struct cp_stackmap_entry *entry);

/* Async-signal-safe. False when the address is in no slab. */
bool cp_stackmap_find(uintptr_t addr, struct cp_stackmap_slab *ret_slab);

#endif
