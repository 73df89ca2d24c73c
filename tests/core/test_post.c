/* SPDX-License-Identifier: MIT */
/* The inbox of a run, from inside: what other threads do not get to by a call. */
#include "core_help.h"

#include "core/post.h"
#include "thread.h"

#include <pthread.h>

static struct cp_inbox *inbox;
static pid_t runner;

/* Is among those who may be touching the runtime until that sleeps, which is at the run's end. */
static void *stays(void *arg)
{
	(void)arg;
	while (!thread_sleeps(runner))
		usleep(100);
	cp_inbox_leave(inbox);
	return NULL;
}

static int enters(void *arg)
{
	inbox = cp_inbox_ref(cp_inbox_of(cp_rt));
	CHECK(cp_inbox_enter(inbox));
	CHECK_INT(pthread_create(arg, NULL, stays, NULL), ==, 0);
	return 0;
}

/*
 * The end of a run waits for whoever is about to tell it something, and sleeps: on one core the
 * other would not get on beside a busy thread of a higher priority. Then nobody gets in.
 */
TEST(end_of_a_run_sleeps)
{
	pthread_t thread;

	runner = thread_id();
	CHECK_INT(coop_run(enters, &thread, NULL), ==, 0);
	CHECK_INT(pthread_join(thread, NULL), ==, 0);
	CHECK(!cp_inbox_enter(inbox));
	cp_inbox_unref(inbox);
}
