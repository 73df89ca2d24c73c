/* SPDX-License-Identifier: MIT */
/*
 * Stacks: what is promised, guarded, handed out, given back.
 *
 * What a guard is worth is asked of the kernel: it cannot read a byte of one for a
 * write to a pipe. Most tests hold for both kinds of guards and run with each.
 */
#include "base/os.h"
#include "ctx/ctx.h"
#include "ctx/guard.h"
#include "ctx/stack.h"
#include "ctx/stackmap.h"
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KIB ((size_t)1024)
#define MIB (KIB * 1024)

/* ---- helpers */

static bool can_read(const void *addr)
{
	ssize_t bytes;
	int fds[2];

	CHECK_INT(pipe(fds), ==, 0);
	bytes = write(fds[1], addr, 1);
	CHECK(bytes == 1 || errno == EFAULT);
	close(fds[0]);
	close(fds[1]);
	return bytes == 1;
}

static void check_guard(struct cp_stacks *pool, void *top)
{
	char *low = cp_stacks_low(pool, top);

	CHECK(can_read(low));
	CHECK(!can_read(low - 1));
	CHECK(!can_read(low - pool->guard_bytes));
}

static void *reserve_and_take(struct cp_stacks *pool)
{
	void *top;

	CHECK_INT(cp_stacks_reserve(pool), ==, 0);
	top = cp_stacks_take(pool);
	CHECK(top);
	return top;
}

static void put_at(struct cp_stacks *pool, void *top, void *deepest)
{
	cp_stacks_put(pool, top, deepest);
	cp_stacks_unreserve(pool);
}

static void put(struct cp_stacks *pool, void *top)
{
	put_at(pool, top, (char *)top - 256);
}

static void take_many(struct cp_stacks *pool, void **tops, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		tops[i] = reserve_and_take(pool);
		memset((char *)tops[i] - 64, 1, 64);
	}
}

static void put_many(struct cp_stacks *pool, void **tops, size_t count)
{
	for (size_t i = 0; i < count; i++)
		put(pool, tops[i]);
}

static size_t resident_bytes(struct cp_stacks *pool, void *const *tops, size_t count)
{
	unsigned char pages[1024];
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++) {
		char *low = cp_stacks_low(pool, tops[i]);
		size_t span = pool->slot_bytes - pool->guard_bytes;

		CHECK_INT(cp_os_resident(low, span, pages), ==, 0);
		for (size_t page = 0; page < span / pool->page_bytes; page++)
			bytes += (pages[page] & 1) * pool->page_bytes;
	}
	return bytes;
}

/* An emulator may count every page as resident and populate none. */
static bool tells_residency(void)
{
	size_t page = cp_os_page_bytes();
	unsigned char resident[2] = { 0 };
	char *mem;

	CHECK_INT(cp_os_map(2 * page, (void **)&mem), ==, 0);
	mem[0] = 1;
	CHECK_INT(cp_os_resident(mem, 2 * page, resident), ==, 0);
	cp_os_unmap(mem, 2 * page);
	return (resident[0] & 1) && !(resident[1] & 1);
}

static bool kernel_populates(void)
{
	size_t page = cp_os_page_bytes();
	unsigned char resident = 0;
	void *mem;

	CHECK_INT(cp_os_map(page, &mem), ==, 0);
	if (cp_os_advise(mem, page, MADV_POPULATE_WRITE) == 0)
		CHECK_INT(cp_os_resident(mem, page, &resident), ==, 0);
	cp_os_unmap(mem, page);
	return resident & 1;
}

static bool has_markers(void)
{
	return strcmp(cp_stacks_guard_kind(), "guard-install") == 0;
}

/* The next call of the system is refused, and with `on` all after it. */
static void refuse_call(uint64_t which, int code, bool on)
{
	cp_os_faults.call_fail_at = cp_os_faults.call_calls + which;
	cp_os_faults.call_fail_on = on;
	cp_os_faults.call_errno = code;
}

static void refuse_nothing(void)
{
	cp_os_faults.call_fail_at = 0;
	cp_os_faults.alloc_fail_at = 0;
}

static const enum cp_guard_kind both_kinds[] = { CP_GUARD_UNKNOWN, CP_GUARD_PROTECT };

/* ---- sizes and places */

/* Sizes no program means are refused before anything is mapped; so is nothing else. */
TEST(pool_refuses_sizes_out_of_range)
{
	struct cp_stacks pool;
	uint64_t calls = cp_os_faults.call_calls;

	CHECK_INT(cp_stacks_open(&pool, 1), ==, -EINVAL);
	CHECK_INT(cp_stacks_open(&pool, 16 * KIB - 1), ==, -EINVAL);
	CHECK_INT(cp_stacks_open(&pool, 1024 * MIB + 1), ==, -EINVAL);
	CHECK_INT(cp_stacks_open(&pool, 16 * KIB), ==, 0);
	cp_stacks_close(&pool);
	CHECK_INT(cp_os_faults.call_calls, ==, calls);
}

/* Whoever asks for a size gets it, all of it writable. */
TEST(slot_has_the_bytes_that_were_asked_for)
{
	static const size_t sizes[] = { 16 * KIB, 16 * KIB + 1, 100000, 256 * KIB, 8 * MIB };

	for (size_t i = 0; i < CP_ARRAY_LEN(sizes); i++) {
		struct cp_stacks pool;
		char *low, *top;

		CHECK_INT(cp_stacks_open(&pool, sizes[i]), ==, 0);
		top = reserve_and_take(&pool);
		low = cp_stacks_low(&pool, top);
		CHECK_INT(top - low, >=, sizes[i]);
		memset(low, 1, (size_t)(top - low));
		check_guard(&pool, top);
		put_at(&pool, top, low);
		cp_stacks_close(&pool);
	}
}

/* How far apart a compiler touches a large frame. */
#ifdef __aarch64__
#define PROBE_BYTES (64 * KIB)
#else
#define PROBE_BYTES cp_os_page_bytes()
#endif

/* The default is 240 KiB of stack above a guard that no frame steps over. */
TEST(default_stack_is_240_kib)
{
	struct cp_stacks pool;

	CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
	if (cp_os_page_bytes() <= 16 * KIB)
		CHECK_INT(pool.slot_bytes - pool.guard_bytes, ==, 240 * KIB);
	CHECK_INT(pool.guard_bytes, >=, 16 * KIB);
	CHECK_INT(pool.guard_bytes, >=, PROBE_BYTES);
	cp_stacks_close(&pool);
}

/* A slot may be a gigabyte: the slab then has one. */
TEST(huge_slots_make_small_slabs)
{
	struct cp_stacks pool;
	char *top;

	CHECK_INT(cp_stacks_open(&pool, 1024 * MIB), ==, 0);
	top = reserve_and_take(&pool);
	CHECK_INT(pool.total, ==, 1);
	top[-1] = 1;
	*(char *)cp_stacks_low(&pool, top) = 1;
	put(&pool, top);
	cp_stacks_close(&pool);
}

/* Sixteen neighbours have tops of sixteen colours: each begins in a cache set of its own. */
TEST(tops_are_coloured)
{
	struct cp_stacks pool;
	unsigned colours = 0;
	void *tops[16];

	CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
	take_many(&pool, tops, 16);
	for (int i = 0; i < 16; i++) {
		size_t below = pool.slot_bytes - 1 - ((uintptr_t)tops[i] - 1) % pool.slot_bytes;

		CHECK_INT((uintptr_t)tops[i] % 64, ==, 0);
		CHECK_INT(below / 64, <, 16);
		colours |= 1u << below / 64;
	}
	CHECK_INT(colours, ==, 0xffff);
	put_many(&pool, tops, 16);
	cp_stacks_close(&pool);
}

/* ---- guards */

/* A task that goes below its stack is stopped there and then. */
TEST_ABORT(guard_ends_the_process, "")
{
	struct cp_stacks pool;
	volatile char *low;

	signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would make an exit of it */
	cp_stacks_open(&pool, 0);
	if (cp_stacks_reserve(&pool) < 0)
		_exit(1);
	low = cp_stacks_low(&pool, cp_stacks_take(&pool));
	low[0] = 1;
	low[-1] = 1;
}

/* Every slot of the first slabs has its guard, whichever way it was set. */
TEST(each_slot_has_a_guard)
{
	void *tops[300];

	for (size_t k = 0; k < CP_ARRAY_LEN(both_kinds); k++) {
		struct cp_stacks pool;

		cp_guard_force(both_kinds[k]);
		CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
		take_many(&pool, tops, 300);
		for (int i = 0; i < 300; i++)
			check_guard(&pool, tops[i]);
		put_many(&pool, tops, 300);
		cp_stacks_close(&pool);
	}
}

/* A pool's kind is a matter of when its slabs were made: both kinds may be in one. */
TEST(kinds_of_guards_mix_in_a_pool)
{
	struct cp_stacks pool;
	void *tops[200];

	CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
	take_many(&pool, tops, 60);
	cp_guard_force(CP_GUARD_PROTECT);
	take_many(&pool, tops + 60, 140);
	CHECK_STR(cp_stacks_guard_kind(), "mprotect");
	for (int i = 0; i < 200; i++)
		check_guard(&pool, tops[i]);
	put_many(&pool, tops, 200);
	cp_stacks_close(&pool);
}

/* Where a guard is a map of its own, reserving ends cleanly before the process has no maps left. */
TEST(protected_guards_leave_maps_alone)
{
	struct cp_stacks pool;
	size_t total;
	long maps_left;
	void *more, *top;

	if (test_is_light())
		return; /* valgrind itself has room for 30,000 maps only */
	cp_guard_force(CP_GUARD_PROTECT);
	CHECK_INT(cp_stacks_open(&pool, 16 * KIB), ==, 0);
	while (cp_stacks_reserve(&pool) == 0)
		;
	total = pool.total;
	CHECK_INT(pool.reserved, ==, total);
	CHECK_INT(cp_stacks_reserve(&pool), ==, -ENOMEM);
	CHECK_INT(pool.total, ==, total);
	maps_left = cp_os_map_count_max() - cp_os_map_count();
	CHECK_INT(maps_left, >, 8192 - 64);
	CHECK_INT(maps_left, <, 8192 + 64);
	CHECK_INT(cp_os_map(4 * KIB, &more), ==, 0);
	cp_os_unmap(more, 4 * KIB);
	top = cp_stacks_take(&pool);
	CHECK(top);
	check_guard(&pool, top);
	cp_stacks_put(&pool, top, top);
	pool.reserved = 0;
	cp_stacks_close(&pool);
}

/* Not knowing how many maps there are is no licence to use them up. */
TEST(uncounted_maps_refuse_protected_guards)
{
	struct cp_stacks pool;

	cp_guard_force(CP_GUARD_PROTECT);
	CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
	refuse_call(1, EACCES, false); /* the open of /proc/self/maps */
	CHECK_INT(cp_stacks_reserve(&pool), ==, -ENOMEM);
	CHECK_INT(pool.total, ==, 0);
	refuse_nothing();
	CHECK_INT(cp_stacks_reserve(&pool), ==, 0);
	cp_stacks_unreserve(&pool);
	cp_stacks_close(&pool);
}

/* With markers a promise costs address space only: no guard is set before its slot is taken. */
TEST(reserved_slots_cost_no_guards)
{
	size_t count = TEST_COUNT(1000000, 20000);
	struct cp_stacks pool;
	uint64_t calls;

	if (!has_markers())
		return; /* protected guards are set when a slab is mapped */
	CHECK_INT(cp_stacks_open(&pool, 64 * KIB), ==, 0);
	calls = cp_os_faults.call_calls;
	for (size_t i = 0; i < count; i++)
		CHECK_INT(cp_stacks_reserve(&pool), ==, 0);
	CHECK_INT(cp_os_faults.call_calls - calls, <=, 2 * (count / 4096 + 16));
	pool.reserved = 0;
	cp_stacks_close(&pool);
}

/* No memory for a guard: no slot, the reservation stands, and the next try has it. */
TEST(slot_without_guard_is_not_handed_out)
{
	struct cp_stacks pool;
	void *top;

	if (!has_markers())
		return;
	CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
	CHECK_INT(cp_stacks_reserve(&pool), ==, 0);
	refuse_call(1, ENOMEM, true);
	CHECK(!cp_stacks_take(&pool));
	refuse_nothing();
	CHECK_INT(pool.reserved, ==, 1);
	CHECK_INT(pool.carved, ==, 0);
	top = cp_stacks_take(&pool);
	CHECK(top);
	check_guard(&pool, top);
	put(&pool, top);
	cp_stacks_close(&pool);
}

/* Brings a pool to where the next slot comes with a batch of eight. */
static void to_next_batch(struct cp_stacks *pool, void **tops)
{
	size_t count = 64;

	take_many(pool, tops, count);
	while (pool->ready_count)
		tops[count++] = reserve_and_take(pool);
	CHECK_INT(pool->carved, ==, count);
	CHECK_INT(pool->carved, <, 100);
}

/* Whichever call of a batch is refused, what is handed out has a guard; the rest comes later. */
TEST(batch_that_is_refused_in_part_hands_out_guarded_slots)
{
	for (int which = 1; which < 24; which++) {
		struct cp_stacks pool;
		void *tops[128], *top;
		size_t carved;

		CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
		to_next_batch(&pool, tops);
		carved = pool.carved;
		CHECK_INT(cp_stacks_reserve(&pool), ==, 0);
		refuse_call((uint64_t)which, ENOMEM, which % 2);
		top = cp_stacks_take(&pool);
		refuse_nothing();
		if (!top)
			top = cp_stacks_take(&pool);
		CHECK(top);
		tops[carved] = top;
		for (size_t i = carved + 1; i < carved + 20; i++)
			tops[i] = reserve_and_take(&pool);
		for (size_t i = carved; i < carved + 20; i++)
			check_guard(&pool, tops[i]);
		put_many(&pool, tops, carved + 20);
		cp_stacks_close(&pool);
	}
}

/* Where process_madvise is refused, as by a sandbox, guards are set one by one. */
TEST(guards_are_set_one_by_one_where_batches_are_refused)
{
	struct cp_stacks pool;
	void *tops[128];
	size_t carved;

	if (!has_markers())
		return;
	CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
	to_next_batch(&pool, tops);
	carved = pool.carved;
	refuse_call(1, EPERM, false);
	tops[carved] = reserve_and_take(&pool);
	CHECK_INT(pool.carved - carved, ==, carved / 8);
	for (size_t i = carved + 1; i < pool.carved; i++)
		tops[i] = reserve_and_take(&pool);
	for (size_t i = carved; i < pool.carved; i++)
		check_guard(&pool, tops[i]);
	put_many(&pool, tops, pool.carved);
	cp_stacks_close(&pool);
}

/* Advice for many ranges ends at the first that cannot have it, and says how many had it. */
TEST(advice_ends_at_the_first_range_that_fails)
{
	size_t page = cp_os_page_bytes();
	struct iovec ranges[6];
	char *mem;

	CHECK_INT(cp_os_map(12 * page, (void **)&mem), ==, 0);
	memset(mem, 1, 12 * page);
	for (size_t i = 0; i < 6; i++)
		ranges[i] = (struct iovec){ mem + 2 * i * page, (1 + i % 2) * page };
	cp_os_unmap(mem + 8 * page, page);
	if (cp_os_advise(mem + 8 * page, page, MADV_DONTNEED) == 0)
		return; /* an emulator that says yes to everything */
	CHECK_INT(cp_advise_each(ranges, 6, MADV_DONTNEED), ==, 4);
	CHECK_INT(mem[6 * page], ==, 0);
	CHECK_INT(mem[10 * page], ==, 1);
	cp_os_unmap(mem, 8 * page);
	cp_os_unmap(mem + 9 * page, 3 * page);
}

/* ---- the free lists */

/* The last one that was put is the next one taken, again and again, without a system call. */
TEST(hottest_slot_is_taken_first)
{
	struct cp_stacks pool;
	uint64_t calls;
	void *tops[3];

	CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
	take_many(&pool, tops, 3);
	put_many(&pool, tops, 3);
	calls = cp_os_faults.call_calls;
	for (int i = 0; i < 100; i++) {
		void *top = reserve_and_take(&pool);

		CHECK(top == tops[2]);
		put(&pool, top);
	}
	CHECK_INT(cp_os_faults.call_calls, ==, calls);
	CHECK_INT(pool.touched_max, ==, 3);
	cp_stacks_close(&pool);
}

/* So is one that went deep: a program that works at that depth finds its pages there. */
TEST(deep_slot_is_taken_with_its_pages)
{
	struct cp_stacks pool;
	uint64_t calls;
	char *top;

	CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
	top = reserve_and_take(&pool);
	calls = cp_os_faults.call_calls;
	for (int i = 0; i < 100; i++) {
		memset(top - 64 * KIB, 1, 64 * KIB);
		put_at(&pool, top, top - 64 * KIB);
		CHECK_INT(pool.deep_count, ==, 1);
		CHECK(!cp_stacks_trim_wanted(&pool));
		CHECK(reserve_and_take(&pool) == top);
	}
	CHECK_INT(cp_os_faults.call_calls, ==, calls);
	CHECK_INT(pool.deep_bytes, ==, 0);
	put(&pool, top);
	cp_stacks_close(&pool);
}

/* A batch is prepared when its first slot is needed: the tops of the others are there already. */
TEST(first_pages_come_in_batches)
{
	struct cp_stacks pool;
	void *tops[128];
	size_t count;

	if (!kernel_populates())
		return;
	CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
	to_next_batch(&pool, tops);
	count = pool.carved;
	tops[count] = reserve_and_take(&pool);
	CHECK_INT(pool.ready_count, ==, count / 8 - 1);
	CHECK_INT(resident_bytes(&pool, pool.ready, pool.ready_count), ==,
		  pool.ready_count * pool.page_bytes);
	put_many(&pool, tops, count + 1);
	cp_stacks_close(&pool);
}

/* ---- giving back */

/* A trim leaves of each slot that went deep its top page, and the guard. */
TEST(trim_takes_the_depth_of_deep_slots)
{
	struct cp_stacks pool;
	void *tops[300];

	CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
	take_many(&pool, tops, 300);
	for (int i = 0; i < 300; i++) {
		memset((char *)tops[i] - 40 * KIB, 1, 40 * KIB);
		put_at(&pool, tops[i], (char *)tops[i] - 40 * KIB);
	}
	CHECK_INT(pool.deep_count, ==, 300);
	CHECK(cp_stacks_trim_wanted(&pool));
	cp_stacks_trim(&pool);
	CHECK(!cp_stacks_trim_wanted(&pool));
	CHECK_INT(pool.deep_count, ==, 0);
	CHECK_INT(pool.deep_bytes, ==, 0);
	CHECK_INT(pool.used_count, ==, 300);
	if (tells_residency())
		CHECK_INT(resident_bytes(&pool, tops, 300), ==, 300 * pool.page_bytes);
	take_many(&pool, tops, 300);
	for (int i = 0; i < 300; i++)
		check_guard(&pool, tops[i]);
	put_many(&pool, tops, 300);
	cp_stacks_close(&pool);
}

/* Past the bound slots lose their pages, a bounded number at a time, the hottest last. */
TEST(trim_keeps_the_cache_within_its_bound)
{
	size_t count = 3000, page = cp_os_page_bytes();
	static void *tops[3000];
	struct cp_stacks pool;
	int trims = 0;

	CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
	pool.cache_bytes = 800 * page;
	take_many(&pool, tops, count);
	put_many(&pool, tops, count);
	CHECK(cp_stacks_trim_wanted(&pool));
	while (cp_stacks_trim_wanted(&pool)) {
		cp_stacks_trim(&pool);
		trims++;
	}
	CHECK_INT(trims, ==, 3);
	CHECK_INT(pool.used_count, ==, 700);
	CHECK_INT(pool.cold_count, ==, 2300);
	CHECK(pool.used == tops[count - 1]);
	if (tells_residency())
		CHECK_INT(resident_bytes(&pool, tops, count), <=, (700 + pool.ready_count) * page);
	take_many(&pool, tops, count);
	CHECK_INT(pool.carved, <=, count + CP_STACKS_BATCH);
	for (size_t i = 0; i < count; i += 7)
		check_guard(&pool, tops[i]);
	put_many(&pool, tops, count);
	cp_stacks_close(&pool);
}

/* A number of free slots that moves about the bound does not ask the kernel each time. */
TEST(cache_has_no_cliff)
{
	size_t page = cp_os_page_bytes();
	struct cp_stacks pool;
	void *tops[600];
	uint64_t calls;

	CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
	pool.cache_bytes = 512 * page;
	take_many(&pool, tops, 600);
	put_many(&pool, tops, 600);
	calls = cp_os_faults.call_calls;
	for (int round = 0; round < 1000; round++) {
		take_many(&pool, tops, 90);
		put_many(&pool, tops, 90);
		if (cp_stacks_trim_wanted(&pool))
			cp_stacks_trim(&pool);
	}
	CHECK_INT(cp_os_faults.call_calls - calls, <, 1000);
	cp_stacks_close(&pool);
}

/* A task's last act puts the stack it stands on: whatever is trimmed then, that stack is not. */
TEST(put_never_trims_the_slot_that_is_put)
{
	struct cp_stacks pool;
	void *tops[64];

	CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
	pool.cache_bytes = 0;
	take_many(&pool, tops, 64);
	for (int i = 0; i < 64; i++) {
		char *deepest = (char *)tops[i] - 100 * KIB;

		memset(deepest, i, 100 * KIB - 64);
		put_at(&pool, tops[i], deepest);
		CHECK_INT(*deepest, ==, i);
		CHECK_INT(deepest[100 * KIB - 65], ==, i);
	}
	CHECK_INT(pool.deep_count, ==, 1);
	cp_stacks_close(&pool);
}

/* Refused advice costs memory for a while and nothing else. */
TEST(refused_trim_keeps_the_lists_whole)
{
	struct cp_stacks pool;
	void *tops[100];

	CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
	pool.cache_bytes = 0;
	take_many(&pool, tops, 100);
	put_many(&pool, tops, 50);
	for (int i = 50; i < 100; i++)
		put_at(&pool, tops[i], (char *)tops[i] - 32 * KIB);
	refuse_call(1, EPERM, true);
	cp_stacks_trim(&pool);
	refuse_nothing();
	CHECK_INT(pool.used_count + pool.deep_count + pool.cold_count, ==, 100);
	take_many(&pool, tops, 100);
	CHECK_INT(pool.total, ==, 192);
	put_many(&pool, tops, 100);
	cp_stacks_close(&pool);
}

/* ---- failure to grow */

static bool same_pool(const struct cp_stacks *a, const struct cp_stacks *b)
{
	return a->used == b->used && a->used_count == b->used_count && a->reserved == b->reserved &&
	       a->total == b->total && a->deep == b->deep && a->ready_count == b->ready_count &&
	       a->carved == b->carved && a->slabs == b->slabs && a->slabs_last == b->slabs_last &&
	       a->fresh_slab == b->fresh_slab && a->slab_slots == b->slab_slots;
}

/* Whichever allocation fails, the pool is as it was, and the next try succeeds. */
TEST(growth_without_memory_changes_nothing)
{
	for (size_t k = 0; k < CP_ARRAY_LEN(both_kinds); k++)
		for (uint64_t which = 1; which <= 2; which++) {
			struct cp_stacks pool, before;

			cp_guard_force(both_kinds[k]);
			CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
			before = pool;
			cp_os_faults.alloc_fail_at = cp_os_faults.alloc_calls + which;
			CHECK_INT(cp_stacks_reserve(&pool), ==, -ENOMEM);
			refuse_nothing();
			CHECK(same_pool(&pool, &before));
			CHECK_INT(cp_stacks_reserve(&pool), ==, 0);
			cp_stacks_unreserve(&pool);
			cp_stacks_close(&pool);
			CHECK_INT(cp_os_faults.allocs_live, ==, 0);
		}
}

/* The same for the system's calls: each refused one either matters, or is done without. */
TEST(growth_refused_by_the_system_changes_nothing)
{
	for (uint64_t which = 1; which < 90; which++) {
		struct cp_stacks pool, before;
		void *top;
		int r;

		cp_guard_force(both_kinds[which % 2]);
		CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
		before = pool;
		refuse_call(which, ENOMEM, true);
		r = cp_stacks_reserve(&pool);
		refuse_nothing();
		CHECK(r == 0 || (r == -ENOMEM && same_pool(&pool, &before)));
		if (r < 0)
			CHECK_INT(cp_stacks_reserve(&pool), ==, 0);
		top = cp_stacks_take(&pool);
		check_guard(&pool, top);
		put(&pool, top);
		cp_stacks_close(&pool);
		CHECK_INT(cp_os_faults.allocs_live, ==, 0);
	}
}

/* ---- a model */

struct held {
	char *top;
	uint64_t mark;
};

struct model {
	struct cp_stacks pool;
	struct held held[2000];
	size_t count;    /* slots held */
	size_t promised; /* reserved and not taken */
	uint64_t random, marks;
};

static uint64_t model_random(struct model *m)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return m->random;
}

static void model_take(struct model *m)
{
	char *top;

	if (!m->promised || m->count == CP_ARRAY_LEN(m->held))
		return;
	top = cp_stacks_take(&m->pool);
	CHECK(top);
	m->promised--;
	m->held[m->count] = (struct held){ top, ++m->marks };
	memcpy(top - 64, &m->marks, sizeof m->marks);
	memcpy((char *)cp_stacks_low(&m->pool, top), &m->marks, sizeof m->marks);
	m->count++;
}

/* What was written when the slot was taken is there still: nobody else had it. */
static void model_put(struct model *m)
{
	size_t which = m->count ? model_random(m) % m->count : 0;
	struct held held = m->held[which];
	char *low;

	if (!m->count)
		return;
	low = cp_stacks_low(&m->pool, held.top);
	CHECK(memcmp(held.top - 64, &held.mark, sizeof held.mark) == 0);
	CHECK(memcmp(low, &held.mark, sizeof held.mark) == 0);
	m->held[which] = m->held[--m->count];
	put_at(&m->pool, held.top, model_random(m) % 4 ? held.top - 256 : low);
}

static void model_step(struct model *m)
{
	switch (model_random(m) % 16) {
	case 0 ... 4:
		CHECK_INT(cp_stacks_reserve(&m->pool), ==, 0);
		m->promised++;
		break;
	case 5 ... 9: model_take(m); break;
	case 10 ... 13: model_put(m); break;
	case 14:
		if (m->promised)
			m->promised--, cp_stacks_unreserve(&m->pool);
		break;
	case 15:
		if (model_random(m) % 8 == 0)
			cp_stacks_trim(&m->pool);
		break;
	}
}

static void model_check(const struct model *m)
{
	const struct cp_stacks *pool = &m->pool;

	CHECK_INT(pool->reserved, ==, m->count + m->promised);
	CHECK_INT(pool->reserved, <=, pool->total);
	CHECK_INT(pool->carved, ==,
		  m->count + pool->used_count + pool->deep_count + pool->ready_count +
			  pool->cold_count);
	CHECK_INT(pool->carved, <=, pool->total);
}

static void model_run(struct model *m, int steps)
{
	CHECK_INT(cp_stacks_open(&m->pool, 64 * KIB), ==, 0);
	m->pool.cache_bytes = 100 * m->pool.page_bytes;
	for (int i = 0; i < steps; i++) {
		model_step(m);
		model_check(m);
		if (i % 1000 == 0 && m->count)
			check_guard(&m->pool, m->held[0].top);
		if (i % 20000 == 19999) /* to where few are held */
			while (m->count > 10)
				model_put(m);
	}
	while (m->count)
		model_put(m);
	m->pool.reserved -= m->promised;
	cp_stacks_close(&m->pool);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

/* A hundred thousand random steps: nobody gets another's slot, and the counts agree. */
TEST(random_steps_agree_with_the_model)
{
	static struct model m;

	m.random = 0x9e3779b97f4a7c15;
	model_run(&m, TEST_COUNT(100000, 20000));
}

/* The same with guards that are maps. */
TEST(random_steps_agree_with_the_model_on_protected_guards)
{
	static struct model m;

	cp_guard_force(CP_GUARD_PROTECT);
	m.random = 0xda942042e4dd58b5;
	model_run(&m, TEST_COUNT(100000, 20000));
}

/* A slot that is still out when its pool is closed would be unmapped under its task. */
TEST_ABORT(pool_with_slots_out_is_not_closed, "assertion failed")
{
	struct cp_stacks pool;

	if (cp_stacks_open(&pool, 0) < 0 || cp_stacks_reserve(&pool) < 0)
		_exit(1);
	cp_stacks_take(&pool);
	cp_stacks_close(&pool);
}

/* ---- questions */

/* How deep a stack went is seen by its pages. */
TEST(high_water_is_the_lowest_resident_page)
{
	struct cp_stacks pool;
	char *top;

	if (!tells_residency())
		return;
	CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
	top = reserve_and_take(&pool);
	top[-1] = 1;
	CHECK_INT(cp_stacks_high_water(&pool, top), ==, pool.page_bytes);
	top[-(ptrdiff_t)(100 * KIB)] = 1;
	CHECK_INT(cp_stacks_high_water(&pool, top), >=, 100 * KIB);
	CHECK_INT(cp_stacks_high_water(&pool, top), <=, 100 * KIB + 2 * pool.page_bytes);
	put_at(&pool, top, top - 100 * KIB);
	cp_stacks_close(&pool);
}

static void check_hit(struct cp_stacks *pool, char *top, const char *addr, bool in_guard)
{
	struct cp_stack_hit hit;

	CHECK(cp_stacks_find(addr, &hit));
	CHECK(hit.top == top);
	CHECK(hit.low == cp_stacks_low(pool, top));
	CHECK_INT(hit.stack_bytes, ==, pool->slot_bytes - pool->guard_bytes);
	CHECK_INT(hit.in_guard, ==, in_guard);
}

/* From any address in a slot to its top, in its guard or above it. */
TEST(address_leads_to_its_slot)
{
	struct cp_stack_hit hit;
	struct cp_stacks pools[2];
	char *tops[2], *low;

	CHECK_INT(cp_stacks_open(&pools[0], 0), ==, 0);
	CHECK_INT(cp_stacks_open(&pools[1], 100 * KIB), ==, 0);
	for (int i = 0; i < 2; i++) {
		tops[i] = reserve_and_take(&pools[i]);
		low = cp_stacks_low(&pools[i], tops[i]);
		check_hit(&pools[i], tops[i], tops[i] - 1, false);
		check_hit(&pools[i], tops[i], low, false);
		check_hit(&pools[i], tops[i], low - 1, true);
		check_hit(&pools[i], tops[i], low - pools[i].guard_bytes, true);
	}
	CHECK(!cp_stacks_find(&hit, &hit));
	CHECK(!cp_stacks_find(NULL, &hit));
	for (int i = 0; i < 2; i++) {
		put(&pools[i], tops[i]);
		cp_stacks_close(&pools[i]);
		CHECK(!cp_stacks_find(tops[i] - 1, &hit));
	}
}

/* A slab that is nowhere: the map does not look at the memory. */
static struct cp_stackmap_slab made_up_slab(uintptr_t number)
{
	return (struct cp_stackmap_slab){
		.base = number * 16 * MIB,
		.end = (number + 1) * 16 * MIB,
		.slot_bytes = 256 * KIB,
		.guard_bytes = number, /* to know it by */
	};
}

/* More slabs than the map's first block has entries, twice over: entries are used again. */
TEST(map_of_slabs_grows_and_is_used_again)
{
	enum { COUNT = 1000 };
	static struct cp_stackmap_entry *entries[COUNT];
	uint64_t calls = 0;

	for (int round = 0; round < 3; round++) {
		struct cp_stackmap_slab slab;

		for (uintptr_t i = 0; i < COUNT; i++) {
			slab = made_up_slab(i + 1);
			CHECK_INT(cp_stackmap_add(&slab, &entries[i]), ==, 0);
		}
		for (uintptr_t i = 0; i < COUNT; i++) {
			CHECK(cp_stackmap_find((i + 1) * 16 * MIB, &slab));
			CHECK_INT(slab.guard_bytes, ==, i + 1);
			CHECK(cp_stackmap_find((i + 2) * 16 * MIB - 1, &slab));
			CHECK_INT(slab.guard_bytes, ==, i + 1);
		}
		CHECK(!cp_stackmap_find(16 * MIB - 1, &slab));
		CHECK(!cp_stackmap_find((COUNT + 1) * 16 * MIB, &slab));
		for (int i = 0; i < COUNT; i++)
			cp_stackmap_remove(entries[i]);
		CHECK(!cp_stackmap_find(16 * MIB, &slab));
		CHECK(round == 0 || cp_os_faults.call_calls == calls);
		calls = cp_os_faults.call_calls;
	}
}

/* Without memory for more entries a slab is refused, and with it the growth of its pool. */
TEST(map_of_slabs_without_memory_refuses)
{
	struct cp_stackmap_slab slab = made_up_slab(1);
	struct cp_stackmap_entry *entry, *last = NULL;
	int added = 0;

	refuse_call(1, ENOMEM, true);
	while (cp_stackmap_add(&slab, &entry) == 0) {
		last = entry;
		added++;
	}
	CHECK(entry == last);
	CHECK_INT(added, >=, 64);
	refuse_nothing();
	CHECK_INT(cp_stackmap_add(&slab, &entry), ==, 0);
	CHECK(entry != last);
}

static atomic_bool stop_opening;

static void *open_and_close(void *arg)
{
	while (!atomic_load_explicit(&stop_opening, memory_order_relaxed)) {
		struct cp_stacks pool;

		CHECK_INT(cp_stacks_open(&pool, 16 * KIB), ==, 0);
		put(&pool, reserve_and_take(&pool));
		cp_stacks_close(&pool);
	}
	return arg;
}

/* While other threads open and close pools, an address of ours is found, and found right. */
TEST(lookup_is_right_while_pools_come_and_go)
{
	struct cp_stacks pool;
	pthread_t threads[2];
	char *top;

	for (int i = 0; i < 2; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, open_and_close, NULL), ==, 0);
	CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
	top = reserve_and_take(&pool);
	for (int i = 0; i < TEST_COUNT(200000, 2000); i++)
		check_hit(&pool, top, top - 1, false);
	atomic_store_explicit(&stop_opening, true, memory_order_relaxed);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	put(&pool, top);
	cp_stacks_close(&pool);
}
