/* SPDX-License-Identifier: MIT */
/*
 * Guards, by marker or by protection.
 *
 * Invariants
 *   1. A kernel is believed to have guard markers only after one was seen to work:
 *      emulators answer 0 to advice they do not know.
 *   2. MAPS_LEFT_ALONE map entries are never used up by guards.
 */
#include "guard.h"

#include "base/os.h"

#include <errno.h>
#include <sys/mman.h>

/* Linux 6.13; not in every libc's headers. */
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define MAPS_LEFT_ALONE 8192
#define MAPS_PER_GUARD 2 /* itself, and the stack above it */

static int known_kind = CP_GUARD_UNKNOWN;

/* Says nothing of the kernel: there was no memory, or a test refused the call. */
static bool is_passing(int r)
{
	return r == -ENOMEM || r == -EAGAIN || r == -EIO;
}

/* The proof of a guard: the kernel cannot write its answer there, and says so. */
static int probe_page(void *page, size_t bytes, enum cp_guard_kind *ret_kind)
{
	int r = cp_os_advise(page, bytes, MADV_GUARD_INSTALL);

	if (r == 0)
		r = cp_os_resident(page, bytes, page);
	if (is_passing(r))
		return -ENOMEM;
	*ret_kind = r == -EFAULT ? CP_GUARD_MARKER : CP_GUARD_PROTECT;
	return 0;
}

static int probe(enum cp_guard_kind *ret_kind)
{
	size_t bytes = cp_os_page_bytes();
	void *page;
	int r = cp_os_map(bytes, &page);

	if (r < 0)
		return -ENOMEM;

	r = probe_page(page, bytes, ret_kind);
	cp_os_unmap(page, bytes);
	return r;
}

int cp_guard_kind(enum cp_guard_kind *ret_kind)
{
	enum cp_guard_kind kind =
		(enum cp_guard_kind)__atomic_load_n(&known_kind, __ATOMIC_RELAXED);

	if (kind == CP_GUARD_UNKNOWN) {
		int r = probe(&kind);

		if (r < 0)
			return r;
		cp_guard_force(kind);
	}
	*ret_kind = kind;
	return 0;
}

void cp_guard_force(enum cp_guard_kind kind)
{
	__atomic_store_n(&known_kind, (int)kind, __ATOMIC_RELAXED);
}

/* How many whole ranges the first `bytes` bytes of them are. */
static size_t whole_ranges(const struct iovec *ranges, size_t count, size_t bytes)
{
	size_t done = 0;

	while (done < count && bytes >= ranges[done].iov_len)
		bytes -= ranges[done++].iov_len;
	return done;
}

size_t cp_advise_each(const struct iovec *ranges, size_t count, int advice)
{
	ssize_t bytes = count > 1 ? cp_os_advise_many(ranges, count, advice) : 0;
	size_t done = bytes > 0 ? whole_ranges(ranges, count, (size_t)bytes) : 0;

	while (done < count &&
	       cp_os_advise(ranges[done].iov_base, ranges[done].iov_len, advice) == 0)
		done++;
	return done;
}

size_t cp_guard_mark(const struct iovec *ranges, size_t count)
{
	return cp_advise_each(ranges, count, MADV_GUARD_INSTALL);
}

int cp_guard_protect(void *low, size_t bytes)
{
	return cp_os_protect_none(low, bytes) < 0 ? -ENOMEM : 0;
}

/* Counted anew each time: the maps of the rest of the program come and go. */
size_t cp_guard_room(void)
{
	long maps = cp_os_map_count();
	long room = cp_os_map_count_max() - MAPS_LEFT_ALONE - maps;

	return maps < 0 || room < 0 ? 0 : (size_t)room / MAPS_PER_GUARD;
}
