/* SPDX-License-Identifier: MIT */
/*
 * Making what a program declares, and giving it back.
 *
 * A run holds them in an array, by the index that the parser gave them; a place without a thing was
 * not made. The kinds are in meet_channel.c and meet_sync.c.
 */
#include "meet.h"

#include "need.h"

static const struct kind {
	int (*open)(struct place *p);
	void (*close)(struct run *run, struct place *p);
} kinds[] = {
	[THING_CHANNEL] = { channel_open, channel_close },
	[THING_EVENT] = { event_open, event_close },
	[THING_LOCK] = { lock_open, lock_close },
	[THING_SEM] = { sem_open, sem_close },
	[THING_LIMITER] = { limiter_open, limiter_close },
};

int meet_open(struct run *run)
{
	int r = 0;

	run->places = need(calloc(run->program->thing_count + 1, sizeof *run->places));
	for (const struct thing *thing = run->program->things; thing && r >= 0;
	     thing = thing->next) {
		struct place *p = &run->places[thing->index];

		p->thing = thing;
		r = kinds[thing->kind].open(p);
		if (r < 0)
			p->thing = NULL;
	}
	if (r < 0)
		meet_close(run);
	return r;
}

void meet_close(struct run *run)
{
	for (size_t i = 0; i < run->program->thing_count; i++)
		if (run->places[i].thing)
			kinds[run->places[i].thing->kind].close(run, &run->places[i]);
	free(run->places);
	run->places = NULL;
}
