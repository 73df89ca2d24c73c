/* SPDX-License-Identifier: MIT */
/*
 * Map: at most so many at once, items that have not started are no tasks, results by number.
 */
#include "compose_help.h"

static struct {
	int running, most, begun;
	uint32_t children_max; /* most children that the group ever had */
	int64_t began_ms[100];
	int fail_at; /* this item fails; -1: none */
	char last_name[64];
} m;

static void reset(void)
{
	memset(&m, 0, sizeof m);
	m.fail_at = -1;
}

/* Item i takes 10 ms, the 5th of them 30; its result is 100 + i. */
static int item(size_t i, void *arg)
{
	struct coop_group_stats stats;
	int r;

	CHECK(arg == &m);
	CHECK_INT(coop_group_stats(coop_self_group(), &stats), ==, 0);
	if (stats.running > m.children_max)
		m.children_max = stats.running;
	m.begun++;
	m.began_ms[i] = now_ms();
	m.most = ++m.running > m.most ? m.running : m.most;
	snprintf(m.last_name, sizeof m.last_name, "%s", coop_name());
	r = coop_sleep(MS(i == 4 ? 30 : 10));
	m.running--;
	if (r < 0)
		return r;
	return (int)i == m.fail_at ? coop_fail(-EIO, "item %d", (int)i) : 100 + (int)i;
}

/* No more than the limit run at once, nor exist; the next starts when one has ended. */
TASK_TEST(limited)
{
	struct coop_map_opts opts = { .running_max = 3 };
	struct coop_slot slots[10];

	reset();
	CHECK_INT(coop_map(item, &m, 10, &opts, slots), ==, 0);
	CHECK_INT(m.most, ==, 3);
	CHECK_INT(m.children_max, ==, 3);
	CHECK_INT(m.began_ms[2], ==, 0);
	CHECK_INT(m.began_ms[3], ==, 10);
	CHECK_INT(m.began_ms[6], ==, 20); /* item 4 still runs */
	CHECK_INT(m.began_ms[9], ==, 30);
	CHECK_INT(now_ms(), ==, 40);
	for (int i = 0; i < 10; i++)
		CHECK_INT(slots[i].rc, ==, 100 + i);
	CHECK_STR(m.last_name, "item 9");
	PROVES(B167);
	return 0;
}

/* Without a limit all run at once; nothing to map is nothing to do. */
TASK_TEST(unlimited_and_empty)
{
	struct coop_checkpoint_mark mark;

	reset();
	CHECK_INT(coop_map(item, &m, 10, NULL, NULL), ==, 0);
	CHECK_INT(m.most, ==, 10);
	CHECK_INT(now_ms(), ==, 30);
	mark = coop_test_checkpoints();
	CHECK_INT(coop_map(item, &m, 0, NULL, NULL), ==, 0);
	coop_assert_no_checkpoint(mark);
	return 0;
}

/* A failure cancels what runs, and nothing more is started: those items never were tasks. */
TASK_TEST(first_failure)
{
	struct coop_map_opts opts = { .running_max = 2 };
	struct coop_slot slots[8];

	reset();
	m.fail_at = 3;
	CHECK_INT(coop_map(item, &m, 8, &opts, slots), ==, -EIO);
	CHECK_INT(now_ms(), ==, 20);
	CHECK_INT(m.begun, <=, 5);
	CHECK_INT(slots[1].rc, ==, 101);
	CHECK_INT(slots[3].rc, ==, -EIO);
	for (int i = m.begun; i < 8; i++) {
		CHECK_INT(slots[i].state, ==, COOP_TASK_NEW);
		CHECK_INT(slots[i].rc, ==, -EAGAIN);
	}
	for (int i = 0; i < 8; i++)
		slots[i].err = coop_error_unref(slots[i].err);
	coop_error_clear();
	PROVES(B167);
	return 0;
}

/* Collecting, all items are done. */
TASK_TEST(collecting)
{
	struct coop_map_opts opts = { .running_max = 2, .mode = COOP_GATHER_COLLECT };
	struct coop_slot slots[6];

	reset();
	m.fail_at = 1;
	CHECK_INT(coop_map(item, &m, 6, &opts, slots), ==, 0);
	CHECK_INT(m.begun, ==, 6);
	CHECK_INT(slots[1].rc, ==, -EIO);
	CHECK_INT(slots[5].rc, ==, 105);
	slots[1].err = coop_error_unref(slots[1].err);
	return 0;
}

static struct coop_map_opts cancelled_opts;
static struct coop_slot cancelled_slots[6];

static int map_six(void *arg)
{
	return coop_map(item, arg, 6, &cancelled_opts, cancelled_slots);
}

/* A cancelled map is cancelled, whatever it collected; what had not begun never begins. */
TASK_TEST(cancelled)
{
	for (int mode = 0; mode < 2; mode++) {
		reset();
		m.fail_at = 1;
		cancelled_opts = (struct coop_map_opts){ .running_max = 2,
							 .mode = (enum coop_gather_mode)mode };
		if (mode == COOP_GATHER_FAIL_FAST)
			m.fail_at = -1;
		CHECK_INT(cancelled_after(15, map_six, &m), ==, COOP_ECANCELED);
		CHECK_INT(cancelled_slots[0].rc, ==, 100);
		CHECK_INT(cancelled_slots[3].state, ==, COOP_TASK_CANCELLED);
		CHECK_INT(cancelled_slots[4].state, ==, COOP_TASK_NEW);
		CHECK_INT(m.begun, ==, 4);
		for (int i = 0; i < 6; i++)
			coop_error_unref(cancelled_slots[i].err);
	}
	return 0;
}

static int ends_the_group(size_t i, void *arg)
{
	(void)arg;
	if (i == 1)
		coop_group_cancel(coop_self_group(), "enough");
	return 0;
}

/* Items that were left out because an item ended the group: the map is no success. */
TASK_TEST(group_ended_by_an_item)
{
	struct coop_map_opts opts = { .running_max = 1 };
	struct coop_slot slots[4];

	for (int mode = 0; mode < 2; mode++) {
		opts.mode = (enum coop_gather_mode)mode;
		CHECK_INT(coop_map(ends_the_group, NULL, 4, &opts, slots), ==, COOP_ETASKCANCELLED);
		CHECK_INT(slots[1].state, ==, COOP_TASK_FINISHED);
		CHECK_INT(slots[2].state, ==, COOP_TASK_NEW);
	}
	return 0;
}

/* Bad arguments are refused before anything is called. */
TASK_TEST(bad_input)
{
	struct coop_map_opts opts = { ._reserved = { 1 } };
	struct coop_map_opts mode = { .mode = (enum coop_gather_mode)2 };

	reset();
	CHECK_INT(coop_map(NULL, NULL, 1, NULL, NULL), ==, -EINVAL);
	CHECK_INT(coop_map(item, &m, 1, &opts, NULL), ==, -EINVAL);
	CHECK_INT(coop_map(item, &m, 1, &mode, NULL), ==, -EINVAL);
	CHECK_INT(m.begun, ==, 0);
	return 0;
}

/* Outside of a run there is nobody to wait. */
TEST(outside_of_tasks)
{
	CHECK_INT(coop_map(item, &m, 1, NULL, NULL), ==, COOP_ENOTASK);
}

/* ---- sweep: an item has a result, or was cancelled, or never began; none is lost */

static int kept[6]; /* begun minus ended with something in its slot */

static int short_item(size_t i, void *arg)
{
	(void)arg;
	kept[i]++;
	return coop_sleep(MS(1 + (int64_t)i % 2));
}

static int maps(void *arg)
{
	struct coop_map_opts opts = { .running_max = 2 };
	struct coop_slot slots[6];
	int r;

	(void)arg;
	memset(kept, 0, sizeof kept);
	r = coop_map(short_item, NULL, 6, &opts, slots);
	for (int i = 0; i < 6; i++) {
		if (r != -EINVAL)
			kept[i] -= slots[i].state != COOP_TASK_NEW;
		coop_error_unref(slots[i].err);
	}
	return r;
}

static const char *none_lost(int rc, uint64_t n, void *ctx)
{
	for (int i = 0; i < 6; i++)
		if (kept[i])
			return "an item that began has no result, or the other way round";
	return one_of(rc, n, ctx);
}

/* Cancelled at each step of taking up an item, refused each allocation, in many orders. */
TEST(rel_A23_no_item_is_lost)
{
	static const int cancelled[] = { 0, COOP_ECANCELED, COOP_ETASKCANCELLED, 1 };
	static const int starved[] = { 0, -ENOMEM, 1 };

	sweep_with(maps, none_lost, cancelled, starved, 10);
	PROVES(rel_A23);
}
