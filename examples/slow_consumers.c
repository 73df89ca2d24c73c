/* SPDX-License-Identifier: MIT */
/*
 * A publisher with slow consumers, which must not slow down the others: a consumer without
 * room loses the message, and one that has lost too many is dropped.
 */
#include <coop.h>

#include <errno.h>
#include <stdio.h>

#define LOST_MAX 6

struct consumer {
	const char *name;
	int ms; /* that it takes for a message */
	struct coop_chan *inbox;
	int got, lost;
	bool dropped;
};

static int consume(void *arg)
{
	struct consumer *c = arg;
	int number, r;

	while ((r = coop_chan_recv(c->inbox, &number)) >= 0) {
		c->got++;
		r = coop_sleep(COOP_MILLISECONDS(c->ms));
		if (r < 0)
			break;
	}
	c->inbox = coop_chan_free(c->inbox);
	return r == COOP_EOF ? 0 : r;
}

/* Never waits. */
static int offer(struct consumer *c, int number)
{
	int r;

	if (c->dropped)
		return 0;
	r = coop_chan_try_send(c->inbox, &number);
	if (r != -EAGAIN)
		return r;
	if (++c->lost == LOST_MAX) {
		c->dropped = true;
		printf("  %s is dropped\n", c->name);
		return coop_chan_shutdown(c->inbox, true);
	}
	return 0;
}

static int publish(struct consumer *all, int count)
{
	int r = 0;

	for (int number = 1; number <= 20 && r >= 0; number++) {
		for (int i = 0; i < count && r >= 0; i++)
			r = offer(&all[i], number);
		if (r >= 0)
			r = coop_sleep(COOP_MILLISECONDS(100));
	}
	for (int i = 0; i < count; i++)
		if (all[i].inbox)
			coop_chan_close_send(all[i].inbox);
	return r;
}

static int app(void *arg)
{
	struct consumer all[] = { { .name = "quick", .ms = 10 },
				  { .name = "slow", .ms = 130 },
				  { .name = "stuck", .ms = 5000 } };
	struct coop_chan_opts opts = { .cap = 2 };
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	(void)arg;
	coop_group_open(&g, NULL);
	for (int i = 0; i < 3 && r >= 0; i++) {
		r = coop_chan_new(sizeof(int), &opts, &all[i].inbox);
		if (r >= 0)
			r = coop_spawn(&g, consume, &all[i]);
		if (r < 0)
			all[i].inbox = coop_chan_free(all[i].inbox);
	}
	if (r >= 0)
		r = publish(all, 3);
	r = coop_group_join(&g, r);
	for (int i = 0; i < 3; i++)
		printf("%s: %s\n", all[i].name, all[i].lost ? "lost some" : "got all 20");
	return r;
}

int main(void)
{
	return coop_main(app, NULL);
}
