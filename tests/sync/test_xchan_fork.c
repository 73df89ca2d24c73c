/* SPDX-License-Identifier: MIT */
/*
 * Channels between threads in a forked child: who waits at them has stayed in the parent.
 */
#include "xchan_help.h"

#include "sync/xchan.h"

#include <sys/wait.h>
#include <unistd.h>

/* Channels at which somebody waits to receive, to send, to receive in a select, and nobody; the
 * last one has a buffer with a value, and its lock is taken when the process forks. */
enum { RECEIVES, SENDS, SELECTS, RING, CHANNELS };

struct copies {
	struct coop_xchan *x[CHANNELS];
};

static int destroyed;

static void counts_destroyed(void *item, void *ctx)
{
	(void)ctx;
	destroyed += *(int *)item;
}

/* In the child: 0 if nothing goes through any of them, and none stops it. */
static int in_the_child(struct copies *c)
{
	for (int i = 0; i < CHANNELS; i++) {
		struct coop_xchan *x = c->x[i];
		int n = 5;

		if (coop_xchan_try_send(x, &n) != COOP_EFORK ||
		    coop_xchan_try_recv(x, &n) != COOP_EFORK ||
		    coop_xchan_send_thread(x, &n, COOP_NEVER) != COOP_EFORK ||
		    coop_xchan_recv_thread(x, &n, COOP_NEVER) != COOP_EFORK || n != 5)
			return 10 + i;
		if (coop_xchan_close(x, true) != 1 || stats_of(x).closed)
			return 20 + i;
		if (stats_of(x).receivers != (i == RECEIVES || i == SELECTS) ||
		    stats_of(x).senders != (i == SENDS))
			return 30 + i;
		coop_xchan_unref(x); /* though somebody seems to wait there */
	}
	return destroyed == 7 ? 0 : 40;
}

static void *forks(void *arg)
{
	struct copies *c = arg;
	pid_t pid;
	int status;

	cp_xchan_lock(c->x[RING]);
	pid = fork();
	CHECK_INT(pid, >=, 0);
	if (pid == 0)
		_exit(in_the_child(c));
	cp_xchan_unlock(c->x[RING]);
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK_INT(status, ==, 0);
	return NULL;
}

static int receives(void *arg)
{
	int n = -1;

	CHECK_INT(coop_xchan_recv(((struct copies *)arg)->x[RECEIVES], &n), ==, 0);
	CHECK_INT(n, ==, 31);
	return 0;
}

static int sends(void *arg)
{
	return coop_xchan_send(((struct copies *)arg)->x[SENDS], &(int){ 32 });
}

/* A value that a forked child sends would go to a task that is not there, and one that it takes
 * would be taken twice: it is told so, whichever thread forked, and whatever the other threads
 * were at. In the parent all wait on, and get what is theirs. */
TASK_TEST(a_forked_child)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct chooser s = { .count = 1 };
	struct copies c;

	for (int i = 0; i < RING; i++)
		c.x[i] = int_xchan(0);
	CHECK_INT(coop_xchan_new(sizeof(int),
				 &(struct coop_xchan_opts){ .cap = 2, .destroy = counts_destroyed },
				 &c.x[RING]),
		  ==, 0);
	CHECK_INT(try_send(c.x[RING], 7), ==, 0);
	s.cases[0] = coop_case_xchan_recv(c.x[SELECTS], &s.values[0]);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, receives, &c), ==, 0);
	CHECK_INT(coop_spawn(&g, sends, &c), ==, 0);
	start_chooser(&g, &s);
	pthread_join(thread(forks, &c), NULL);
	forks(&c); /* by the runtime's own thread */
	CHECK_INT(try_send(c.x[RECEIVES], 31), ==, 0);
	CHECK_INT(try_recv(c.x[SENDS]), ==, 32);
	CHECK_INT(try_send(c.x[SELECTS], 33), ==, 0);
	CHECK_INT(try_recv(c.x[RING]), ==, 7);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK(s.ended && s.result == 0 && s.values[0] == 33);
	for (int i = 0; i < CHANNELS; i++) {
		nobody_waits(c.x[i]);
		coop_xchan_unref(c.x[i]);
	}
	CHECK_INT(destroyed, ==, 0);
	PROVES(B311);
	return 0;
}
