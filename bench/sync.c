/* SPDX-License-Identifier: MIT */
/*
 * What it costs to take and give up, and to hand over.
 *
 * lock and semaphore: one task, nobody in its way; a figure is a pair of taking and giving up.
 * mutex_handoff: two tasks that want one mutex; whoever has it gives way while it has it, so that
 * the other one queues, and each unlock hands over. A figure is one such turn of either.
 */
#include "bench.h"

#define EACH 300000

static long sum;

static void locks(long n, const void *arg)
{
	struct coop_mutex m = COOP_MUTEX_INIT;
	int r = 0;

	(void)arg;
	for (long i = 0; i < n; i++) {
		r |= coop_mutex_lock(&m);
		sum++;
		r |= coop_mutex_unlock(&m);
	}
	bench_must(r, 0);
}

static int lock_alone(void *arg)
{
	(void)arg;
	bench_give(0, bench_rounds(locks, EACH, NULL));
	return 0;
}

static void permits(long n, const void *arg)
{
	struct coop_sem s = COOP_SEM_INIT(1);
	int r = 0;

	(void)arg;
	for (long i = 0; i < n; i++) {
		r |= coop_sem_acquire(&s);
		sum++;
		r |= coop_sem_release(&s);
	}
	bench_must(r, 0);
}

static int sem_alone(void *arg)
{
	(void)arg;
	bench_give(0, bench_rounds(permits, EACH, NULL));
	return 0;
}

struct turns {
	struct coop_mutex mutex;
	long each;
};

static int take_turns(void *arg)
{
	struct turns *t = arg;

	for (long i = t->each; i > 0; i--) {
		bench_must(coop_mutex_lock(&t->mutex), 0);
		bench_count++;
		coop_yield();
		bench_must(coop_mutex_unlock(&t->mutex), 0);
	}
	return 0;
}

static void turns(long n, const void *arg)
{
	struct turns t = { COOP_MUTEX_INIT, n / 2 };
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	bench_count = 0;
	coop_group_open(&g, NULL);
	bench_must(coop_spawn(&g, take_turns, &t), 0);
	bench_must(coop_spawn(&g, take_turns, &t), 0);
	bench_must(coop_group_join(&g, 0), 0);
	bench_must(bench_count, n);
}

static int handoff(void *arg)
{
	(void)arg;
	bench_give(0, bench_rounds(turns, 60000, NULL));
	return 0;
}

static void ask_lock(void)
{
	bench_run(lock_alone);
	bench_must(sum, BENCH_ROUNDS * EACH);
}

static void ask_semaphore(void)
{
	bench_run(sem_alone);
	bench_must(sum, BENCH_ROUNDS * EACH);
}

static void ask_handoff(void)
{
	bench_run(handoff);
}

const struct bench bench_sync[] = {
	{ .name = "lock",
	  .ask = ask_lock,
	  .figures = { { .name = "lock",
			 .what = "lock and unlock a mutex",
			 .unit = "ns",
			 .target = 4 } } },
	{ .name = "semaphore",
	  .ask = ask_semaphore,
	  .figures = { { .name = "semaphore",
			 .what = "acquire and release",
			 .unit = "ns",
			 .target = 4 } } },
	{ .name = "mutex_handoff",
	  .ask = ask_handoff,
	  .figures = { { .name = "mutex_handoff",
			 .what = "mutex, task to task",
			 .unit = "ns",
			 .target = 20 } } },
	{ .name = NULL },
};
