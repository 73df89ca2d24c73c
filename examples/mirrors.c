/* SPDX-License-Identifier: MIT */
/*
 * First of three mirrors: all are asked at once, or one after the other with a head start. The
 * first answer wins, the others are hung up on; a connection that came too late is closed.
 */
#include <coop.h>

#include <errno.h>
#include <stdio.h>

struct mirror {
	const char *host;
	int ms; /* until it answers */
	bool refuses;
	bool deaf; /* cannot be hung up on while it connects */
};

static int wait_for_answer(void *arg)
{
	return coop_sleep(COOP_MILLISECONDS(*(int *)arg));
}

/* Returns a connection, as a number of its own. */
static int connect_to(void *arg)
{
	struct mirror *m = arg;
	int r;

	printf("  asking %s\n", m->host);
	r = m->deaf ? coop_shield(wait_for_answer, &m->ms) : wait_for_answer(&m->ms);
	if (r == COOP_ECANCELED)
		printf("  hung up on %s\n", m->host);
	if (r < 0)
		return r;
	return m->refuses ? coop_fail(-ECONNREFUSED, "%s", m->host) : 3;
}

static void close_it(const struct coop_call *call, int connection, void *ctx)
{
	const struct mirror *m = call->arg;

	(void)ctx;
	(void)connection;
	printf("  closed the connection to %s, which came too late\n", m->host);
}

static const struct coop_race_opts opts = { .discard = close_it };

/* All at once, or `delay_ns` apart. */
static int ask(struct coop_call *calls, int64_t delay_ns)
{
	size_t winner;
	int r = delay_ns ? coop_staggered_race(calls, 3, delay_ns, &opts, &winner)
			 : coop_race(calls, 3, &opts, &winner);

	if (r >= 0)
		printf("  => %s\n", calls[winner].name);
	return r;
}

static int app(void *arg)
{
	struct mirror mirrors[] = { { .host = "fast.example", .ms = 300 },
				    { .host = "down.example", .ms = 100, .refuses = true },
				    { .host = "slow.example", .ms = 900 } };
	struct coop_call calls[3];
	int r;

	(void)arg;
	for (int i = 0; i < 3; i++)
		calls[i] = (struct coop_call){ .fn = connect_to,
					       .arg = &mirrors[i],
					       .name = mirrors[i].host };
	printf("all at once:\n");
	r = ask(calls, 0);
	if (r < 0)
		return r;
	printf("one cannot be hung up on:\n");
	mirrors[2].deaf = true;
	r = ask(calls, 0);
	if (r < 0)
		return r;
	printf("one after the other, 200 ms apart:\n");
	mirrors[0].ms = 2000;
	return ask(calls, COOP_MILLISECONDS(200));
}

int main(void)
{
	return coop_main(app, NULL);
}
