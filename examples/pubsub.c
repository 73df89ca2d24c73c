/* SPDX-License-Identifier: MIT */
/*
 * Publish and subscribe, with topics: each subscriber has a channel, and leaves when it is done.
 */
#include <coop.h>

#include <stdio.h>
#include <string.h>

struct message {
	const char *topic;
	int value;
};

struct subscriber {
	const char *name;
	const char *topic; /* NULL: all */
	int wanted;        /* leaves after so many messages; 0: stays */
	struct coop_chan *inbox;
	struct subscriber *next;
};

static struct subscriber *first;

/* -EAGAIN if an inbox is full: see slow_consumers.c */
static int publish(const struct message *m)
{
	int r = 0;

	printf("%s = %d\n", m->topic, m->value);
	for (struct subscriber *s = first; s && r >= 0; s = s->next)
		if (!s->topic || strcmp(s->topic, m->topic) == 0)
			r = coop_chan_try_send(s->inbox, m);
	return r;
}

static int subscriber(void *arg)
{
	struct subscriber *s = arg, **at = &first;
	struct message m;
	int r;

	while ((r = coop_chan_recv(s->inbox, &m)) >= 0) {
		printf("  %s: %s = %d\n", s->name, m.topic, m.value);
		if (--s->wanted == 0)
			break;
	}
	while (*at != s) /* leaves */
		at = &(*at)->next;
	*at = s->next;
	s->inbox = coop_chan_free(s->inbox);
	printf("%s leaves\n", s->name);
	return r;
}

static int subscribe(struct coop_group *g, struct subscriber *s)
{
	struct coop_chan_opts opts = { .name = s->name, .cap = 4 };
	int r = coop_chan_new(sizeof(struct message), &opts, &s->inbox);

	s->next = first;
	if (r >= 0)
		r = coop_spawn(g, subscriber, s);
	if (r >= 0)
		first = s;
	return r;
}

static int weather(void)
{
	static const struct message news[] = { { "rain", 1 }, { "wind", 7 }, { "rain", 0 } };
	int r = 0;

	for (int i = 0; i < 3 && r >= 0; i++)
		if ((r = publish(&news[i])) >= 0)
			r = coop_sleep(COOP_MILLISECONDS(100)); /* they read, one leaves */
	return r;
}

static int app(void *arg)
{
	struct subscriber all[] = { { .name = "farmer", .topic = "rain" },
				    { .name = "sailor", .topic = "wind", .wanted = 1 },
				    { .name = "diary" } };
	struct coop_group_opts opts = { .cancel_on_join = true };
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	(void)arg;
	coop_group_open(&g, &opts);
	for (int i = 0; i < 3 && r >= 0; i++)
		r = subscribe(&g, &all[i]);
	return coop_group_join(&g, r < 0 ? r : weather());
}

int main(void)
{
	return coop_main(app, NULL);
}
