/* SPDX-License-Identifier: MIT */
/*
 * Threads beside the loop: what blocks is offloaded; a thread of the program asks tasks for
 * something through a portal, and hands over what it has made through a channel.
 */
#include <coop.h>

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

/* ---- a function that blocks */

static int hash_slowly(void *arg)
{
	unsigned h = 0;

	for (const char *c = arg; *c; c++)
		h = h * 31 + (unsigned char)*c;
	usleep(1000); /* the other tasks go on meanwhile */
	return (int)(h % 1000);
}

/* ---- a thread of the program */

struct meter {
	struct coop_portal *portal;
	struct coop_xchan *readings;
};

static int next_number(void *arg)
{
	return ++*(int *)arg; /* tasks only: no lock */
}

static void *measure(void *arg)
{
	struct meter *m = arg;
	static int number;
	int n;

	while ((n = coop_portal_call(m->portal, next_number, &number)) <= 3)
		if (n < 0 || coop_xchan_send_thread(m->readings, &n, COOP_NEVER) < 0)
			break;
	coop_xchan_close(m->readings, false);
	coop_portal_stop(m->portal, false);
	return NULL;
}

static int take_readings(struct coop_group *g, struct meter *m)
{
	pthread_t thread;
	int reading, r = coop_portal_open(g, &m->portal);

	if (r < 0)
		return r;
	r = -pthread_create(&thread, NULL, measure, m);
	while (r >= 0 && (r = coop_xchan_recv(m->readings, &reading)) >= 0)
		printf("  reading %d\n", reading);
	if (r != COOP_EOF)
		coop_portal_stop(m->portal, true);
	else
		r = -pthread_join(thread, NULL);
	return r;
}

static int app(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct meter m = { NULL, NULL };
	int r = coop_offload(hash_slowly, arg);

	printf("offloaded: %d\n", r);
	if (r < 0 || (r = coop_xchan_new(sizeof(int), NULL, &m.readings)) < 0)
		return r;
	printf("a thread calls in, and sends:\n");
	coop_group_open(&g, NULL);
	r = coop_group_join(&g, take_readings(&g, &m));
	coop_portal_unref(m.portal);
	coop_xchan_unref(m.readings);
	return r;
}

int main(void)
{
	static char text[] = "a text";

	return coop_main(app, text);
}
