/* SPDX-License-Identifier: MIT */
/*
 * Guards: pages at the low end of a stack that fault when they are touched.
 *
 * Two kinds. Guard markers (Linux 6.13) live in the page tables: no map entry each,
 * many set by one call. Before that a guard is a protected range, which splits the
 * map around it; a process may have about 65,000 maps, so these are counted, and
 * refused while there is still room for everything else the program maps.
 */
#ifndef CP_GUARD_H
#define CP_GUARD_H

#include "base/base.h"

#include <sys/uio.h>

enum cp_guard_kind {
	CP_GUARD_UNKNOWN, /* not asked yet */
	CP_GUARD_MARKER,  /* set when a slot is first needed */
	CP_GUARD_PROTECT, /* set when a slab is mapped, so that what is promised can be kept */
};

/* Asks the kernel once a process. -ENOMEM when it cannot be found out now. */
int cp_guard_kind(enum cp_guard_kind *ret_kind);

/* For tests: this kind from now on; CP_GUARD_UNKNOWN asks again. */
void cp_guard_force(enum cp_guard_kind kind);

/*
 * Gives one advice for many ranges, in one call where the kernel can, else one by
 * one. Returns how many ranges, from the first on, have been done.
 */
size_t cp_advise_each(const struct iovec *ranges, size_t count, int advice);

/* CP_GUARD_MARKER: how many of the ranges, from the first on, are guards now. */
size_t cp_guard_mark(const struct iovec *ranges, size_t count);

/* CP_GUARD_PROTECT: 0, or -ENOMEM and the range is as it was. */
int cp_guard_protect(void *low, size_t bytes);

/* CP_GUARD_PROTECT: how many guards more may be set now. */
size_t cp_guard_room(void);

#endif
