/* SPDX-License-Identifier: MIT */
/*
 * A rate limiter: so many a second, with a few in advance. Each request takes the next place in
 * time and sleeps until then; one that is cancelled while it waits gives its place back
 * if nobody has come after it.
 */
#include <coop.h>

#include <stdio.h>

struct rate {
	int64_t every_ns;
	int64_t burst_ns; /* how far the places may lie in the past */
	int64_t next_ns;  /* the next place */
};

static int rate_wait(struct rate *rate)
{
	int64_t now = coop_now(), mine;
	int r;

	if (rate->next_ns < now - rate->burst_ns)
		rate->next_ns = now - rate->burst_ns;
	mine = rate->next_ns;
	rate->next_ns += rate->every_ns;
	r = coop_sleep_until(mine);
	if (r == COOP_ECANCELED && rate->next_ns == mine + rate->every_ns)
		rate->next_ns = mine;
	return r;
}

/* ---- a program that asks more than it may */

static struct rate rate = { .every_ns = COOP_MILLISECONDS(200),
			    .burst_ns = COOP_MILLISECONDS(400) };
static int64_t start_ns;

static int tenths(void)
{
	return (int)((coop_now() - start_ns + COOP_MILLISECONDS(50)) / COOP_MILLISECONDS(100));
}

static int request(size_t number, void *arg)
{
	int r = rate_wait(&rate);

	(void)arg;
	if (r >= 0)
		printf("  request %zu at 0.%d s\n", number, tenths());
	return r;
}

static int impatient(void *arg)
{
	int r = rate_wait(&rate);

	(void)arg;
	printf("  impatient: %s\n", r < 0 ? "gone before its turn" : "served");
	return r;
}

static int app(void *arg)
{
	int r;

	(void)arg;
	start_ns = coop_now();
	printf("five a second, three of them in advance:\n");
	r = coop_map(request, NULL, 6, NULL, NULL);
	if (r < 0)
		return r;
	printf("one that does not wait, and one behind it:\n");
	r = coop_move_on_after(COOP_MILLISECONDS(100), impatient, NULL);
	return r < 0 ? r : request(6, NULL);
}

int main(void)
{
	return coop_main(app, NULL);
}
