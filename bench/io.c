/* SPDX-License-Identifier: MIT */
/*
 * Descriptors: 8,000 tasks blocked in a receive, and their group is cancelled: from the cancel
 * until the join has returned, by task. With the descriptors of both ends that is 16,000, which may
 * be more than this process may have: then it is as many as there are.
 */
#include "bench.h"

#include <coop/io.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define TASKS 8000
#define ROUNDS 7

static int (*ends)[2];
static int tasks;
static double each_ns;

static int receives(void *arg)
{
	char buf[64];
	int r;

	bench_count++;
	r = coop_recv((int)(intptr_t)arg, buf, sizeof buf, 0);
	bench_must(r, COOP_ECANCELED);
	bench_count--;
	return r;
}

static double cancel_once(void)
{
	struct coop_group g = COOP_GROUP_INIT;
	double start;

	coop_group_open(&g, NULL);
	for (int i = 0; i < tasks; i++)
		bench_must(coop_spawn(&g, receives, (void *)(intptr_t)ends[i][0]), 0);
	while (bench_count < tasks)
		bench_must(coop_yield(), 0);
	bench_must(coop_sleep(COOP_MILLISECONDS(1)), 0); /* all are in the kernel */
	start = bench_now_ns();
	coop_group_cancel(&g, "enough");
	bench_must(coop_group_join(&g, 0), 0);
	bench_must(bench_count, 0);
	return (bench_now_ns() - start) / tasks;
}

static void raise_files(void)
{
	struct rlimit l;

	bench_must(getrlimit(RLIMIT_NOFILE, &l), 0);
	l.rlim_cur = l.rlim_max;
	bench_must(setrlimit(RLIMIT_NOFILE, &l), 0);
	tasks = (int)(l.rlim_max / 2 - 16 < TASKS ? l.rlim_max / 2 - 16 : TASKS);
}

static int cancel_rounds(void *arg)
{
	double took[ROUNDS];

	(void)arg;
	for (int i = 0; i < tasks; i++)
		bench_must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends[i]), 0);
	for (int i = 0; i < ROUNDS; i++)
		took[i] = cancel_once();
	each_ns = bench_median(took, ROUNDS);
	for (int i = 0; i < tasks; i++) {
		bench_must(coop_close(ends[i][0]), 0);
		bench_must(coop_close(ends[i][1]), 0);
	}
	return 0;
}

static void ask_cancel_recv(enum coop_engine engine)
{
	struct coop_run_opts opts = { .engine = engine };

	raise_files();
	ends = calloc((size_t)tasks, sizeof *ends);
	bench_must(ends != NULL, 1);
	bench_must(coop_run(cancel_rounds, NULL, &opts), 0);
	free(ends);
	bench_give(0, each_ns);
}

static void ask_cancel_recv_epoll(void)
{
	ask_cancel_recv(COOP_ENGINE_EPOLL);
}

static void ask_cancel_recv_uring(void)
{
	ask_cancel_recv(COOP_ENGINE_URING);
}

const struct bench bench_io[] = {
	{ .name = "cancel_recv_epoll",
	  .ask = ask_cancel_recv_epoll,
	  .figures = { { .name = "cancel_recv_epoll",
			 .what = "cancel 8,000 in a receive, epoll: each",
			 .unit = "ns",
			 .target = 1000 } } },
	{ .name = "cancel_recv_uring",
	  .ask = ask_cancel_recv_uring,
	  .figures = { { .name = "cancel_recv_uring",
			 .what = "  on io_uring",
			 .unit = "ns",
			 .target = 3000 } } },
	{ .name = NULL },
};
