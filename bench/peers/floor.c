/* SPDX-License-Identifier: MIT */
/*
 * The floor of 100,000 fresh stacks: what kernel and machine take for them, without any task.
 *
 * Slots of 256 KiB in one map; for 256 at a time guards are marked and the top pages are made
 * present, then each top page is written to, as a task would. That first write is no page fault
 * in the guest's own tables, but where a hypervisor shadows them it is one there, and costs most
 * of all. The tear-down writes to each page again, in no order that a prefetcher knows.
 */
#define _GNU_SOURCE
#include "peer.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SLOT_BYTES ((size_t)256 << 10)
#define PAGE_BYTES ((size_t)4096)
#define GUARD_BYTES ((size_t)16384)
#define SLOTS 100000
#define BATCH 256
#define SELF (-10000) /* instead of a pidfd: Linux 6.14 */
#define GUARD_INSTALL 102
#define POPULATE_WRITE 23
#define TASK_BYTES 700 /* of its page, that a sleeping task has written to */

static char *slots;

/* One piece of each of `count` slots from `first` on, `bytes` long, `at` bytes into the slot. */
static void advise(size_t first, size_t count, size_t at, size_t bytes, int advice)
{
	struct iovec ranges[BATCH];

	for (size_t i = 0; i < count; i++)
		ranges[i] = (struct iovec){ slots + (first + i) * SLOT_BYTES + at, bytes };
	if (syscall(SYS_process_madvise, SELF, ranges, count, advice, 0) >= 0)
		return;
	for (size_t i = 0; i < count; i++)
		(void)madvise(ranges[i].iov_base, bytes, advice);
}

static void prepare(size_t first, size_t count)
{
	advise(first, count, 0, GUARD_BYTES, GUARD_INSTALL);
	advise(first, count, SLOT_BYTES - PAGE_BYTES, PAGE_BYTES, POPULATE_WRITE);
}

static void sleepers100k(void)
{
	double before = memory(), start = now_ns();
	long sum = 0;

	slots = mmap(NULL, SLOTS * SLOT_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(slots != MAP_FAILED);
	(void)madvise(slots, SLOTS * SLOT_BYTES, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < SLOTS; i++) {
		if (i % BATCH == 0)
			prepare(i, SLOTS - i < BATCH ? SLOTS - i : BATCH);
		memset(slots + (i + 1) * SLOT_BYTES - TASK_BYTES, 1, TASK_BYTES);
	}
	give("sleepers100k_start", (now_ns() - start) / SLOTS);
	give("sleepers100k_bytes", (memory() - before) / SLOTS);

	start = now_ns();
	for (size_t i = 0; i < SLOTS; i++)
		sum += slots[(i * 7919 % SLOTS + 1) * SLOT_BYTES - 64]++;
	give("sleepers100k_teardown", (now_ns() - start) / SLOTS);
	must(sum == SLOTS);
}

int main(int argc, char **argv)
{
	static const struct peer_question questions[] = {
		{ "sleepers100k", sleepers100k },
		{ NULL, NULL },
	};

	return peer_main(argc, argv, questions);
}
