/* SPDX-License-Identifier: MIT */
/*
 * A pool of workers with back-pressure: a channel with room for two jobs stands between the
 * producer and three workers, so the producer is never more than that ahead of them.
 */
#include <coop.h>

#include <stdio.h>

struct job {
	int number;
	int ms;
};

struct worker {
	struct coop_chan *jobs; /* its own hold, to receive from */
	char name;
	int done;
};

static int work(void *arg)
{
	struct worker *w = arg;
	struct job job;
	int r;

	while ((r = coop_chan_recv(w->jobs, &job)) >= 0) {
		r = coop_sleep(COOP_MILLISECONDS(job.ms));
		if (r < 0)
			break;
		printf("  %c has done job %d\n", w->name, job.number);
		w->done++;
	}
	w->jobs = coop_chan_free(w->jobs);
	return r == COOP_EOF ? 0 : r; /* no more jobs: that is how it ends */
}

/* Makes twelve jobs, as fast as it may. */
static int produce(struct coop_chan *jobs)
{
	static const int takes[] = { 1, 2, 3, 3, 9, 2, 2, 2, 2, 2, 2, 3 };
	struct coop_chan_stats stats;
	struct job job;
	int r = 0;

	for (int i = 0; i < 12 && r >= 0; i++) {
		coop_chan_stats(jobs, &stats);
		if (stats.used == stats.cap)
			printf("  job %d has to wait\n", i);
		job = (struct job){ .number = i, .ms = 100 * takes[i] };
		r = coop_chan_send(jobs, &job);
	}
	return r;
}

static int app(void *arg)
{
	struct worker workers[3] = { { .name = 'a' }, { .name = 'b' }, { .name = 'c' } };
	struct coop_chan_opts opts = { .name = "jobs", .cap = 2 };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_chan *jobs = NULL;
	int r = coop_chan_new(sizeof(struct job), &opts, &jobs);

	(void)arg;
	coop_group_open(&g, NULL);
	for (int i = 0; i < 3 && r >= 0; i++) {
		r = coop_chan_clone_recv(jobs, &workers[i].jobs);
		if (r >= 0)
			r = coop_spawn(&g, work, &workers[i]);
		if (r < 0)
			coop_chan_free(workers[i].jobs);
	}
	if (r >= 0)
		r = produce(jobs);
	coop_chan_free(jobs); /* the last send end: the workers find the end */
	r = coop_group_join(&g, r);
	for (int i = 0; i < 3; i++)
		printf("%c: %d jobs\n", workers[i].name, workers[i].done);
	return r;
}

int main(void)
{
	return coop_main(app, NULL);
}
