/* SPDX-License-Identifier: MIT */
/*
 * State Threads: threads of one process on setjmp, stacks without guards. It has no yield; a sleep
 * of 0 is the nearest thing. 64 KiB stacks, its default.
 */
#include "peer.h"

#include <errno.h>
#include <st.h>

static long count;

static void *yields(void *arg)
{
	for (long i = *(long *)arg; i > 0; i--) {
		st_usleep(0);
		count++;
	}
	return NULL;
}

static double ring(int tasks, long each)
{
	st_thread_t *t = calloc((size_t)tasks, sizeof *t);
	double start;

	count = 0;
	for (int i = 0; i < tasks; i++)
		must((t[i] = st_thread_create(yields, &each, 1, 0)) != NULL);
	start = now_ns();
	for (int i = 0; i < tasks; i++)
		must(st_thread_join(t[i], NULL) == 0);
	must(count == tasks * each);
	free(t);
	return (now_ns() - start) / ((double)tasks * (double)each);
}

static void yield_two(void)
{
	ring(2, 1000);
	give("yield", ring(2, 1000000));
}

static void yield_many(void)
{
	ring(1000, 10);
	give("yield1000", ring(1000, 1000));
}

static void *nothing(void *arg)
{
	(void)arg;
	count++;
	return NULL;
}

static void spawn_join(void)
{
	long n = 1000000;
	double start = 0;

	for (long i = -n / 10; i < n; i++) {
		st_thread_t t;

		if (i == 0)
			start = now_ns();
		must((t = st_thread_create(nothing, NULL, 1, 0)) != NULL);
		must(st_thread_join(t, NULL) == 0);
	}
	give("spawn_join", (now_ns() - start) / (double)n);
	must(count == n + n / 10);
}

static void spawn1000(void)
{
	static st_thread_t t[1000];
	int rounds = 1000;
	double start = 0;

	for (int i = -10; i < rounds; i++) {
		if (i == 0)
			start = now_ns();
		for (int k = 0; k < 1000; k++)
			must((t[k] = st_thread_create(nothing, NULL, 1, 0)) != NULL);
		for (int k = 0; k < 1000; k++)
			must(st_thread_join(t[k], NULL) == 0);
	}
	give("spawn1000", (now_ns() - start) / (1e3 * rounds));
	must(count == 1000 * (rounds + 10));
}

/* For `arg` seconds; -1: for ever. */
static void *sleeps(void *arg)
{
	count++;
	must(st_sleep((int)(long)arg) < 0 && errno == EINTR);
	count--;
	return NULL;
}

struct asleep {
	double start_ns, bytes, teardown_ns;
};

static struct asleep sleepers(int n, long seconds)
{
	st_thread_t *t = calloc((size_t)n, sizeof *t);
	struct asleep a;
	double before = memory(), start = now_ns();

	for (int i = 0; i < n; i++)
		must((t[i] = st_thread_create(sleeps, (void *)seconds, 1, 0)) != NULL);
	while (count < n)
		st_usleep(0);
	a.start_ns = (now_ns() - start) / n;
	a.bytes = (memory() - before) / n;
	start = now_ns();
	for (int i = 0; i < n; i++)
		st_thread_interrupt(t[i]);
	for (int i = 0; i < n; i++)
		must(st_thread_join(t[i], NULL) == 0);
	a.teardown_ns = (now_ns() - start) / n;
	must(count == 0);
	free(t);
	return a;
}

static void cancel10000(void)
{
	sleepers(10000, -1);
	give("cancel10000", sleepers(10000, -1).teardown_ns);
}

static void sleepers100k(void)
{
	struct asleep a = sleepers(100000, 3600);

	give("sleepers100k_start", a.start_ns);
	give("sleepers100k_bytes", a.bytes);
	give("sleepers100k_teardown", a.teardown_ns);
}

static double start_at_ns;
static int stop;

static void *naps(void *arg)
{
	uint32_t seed = seed_of((long)arg);

	st_usleep((st_utime_t)((start_at_ns - now_ns()) / 1e3));
	while (!stop) {
		st_usleep(nap_us(&seed));
		count++;
	}
	return NULL;
}

static void timers(int n, double *ret_rate, double *ret_cpu)
{
	double wall, cpu;

	start_at_ns = now_ns() + 1e9 + n * 5e4;
	for (long i = 0; i < n; i++)
		must(st_thread_create(naps, (void *)i, 0, 0) != NULL);
	st_usleep((st_utime_t)((start_at_ns + 2e8 - now_ns()) / 1e3));
	wall = now_ns();
	cpu = cpu_ns();
	count = 0;
	st_usleep(2000000);
	*ret_rate = (double)count / (now_ns() - wall) * 1e9;
	*ret_cpu = (cpu_ns() - cpu) / (double)count;
	must(count > n);
}

static void timers100k(void)
{
	double rate, cpu;

	timers(100000, &rate, &cpu);
	give("timers100k", rate / 1e6);
	give("timers100k_cpu", cpu);
}

static void timers2000(void)
{
	double rate, cpu;

	timers(2000, &rate, &cpu);
	give("timers2000", cpu);
	give("timers2000_rate", rate / 1e3);
}

int main(int argc, char **argv)
{
	static const struct peer_question questions[] = {
		{ "yield", yield_two },
		{ "yield1000", yield_many },
		{ "spawn_join", spawn_join },
		{ "spawn1000", spawn1000 },
		{ "cancel10000", cancel10000 },
		{ "sleepers100k", sleepers100k },
		{ "timers100k", timers100k },
		{ "timers2000", timers2000 },
		{ NULL, NULL },
	};

	must(st_init() == 0);
	return peer_main(argc, argv, questions);
}
