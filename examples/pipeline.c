/* SPDX-License-Identifier: MIT */
/*
 * A pipeline of three stages with channels between them. The end travels down by itself, for each
 * stage closes its output when it returns; a failure anywhere ends all of it.
 */
#include <coop.h>

#include <errno.h>
#include <stdio.h>

struct stage {
	struct coop_chan *in;  /* NULL: the first */
	struct coop_chan *out; /* NULL: the last */
	int bad;               /* a number that it cannot square */
	long sum;
};

static int ended(struct stage *s, int r)
{
	s->in = coop_chan_free(s->in);
	s->out = coop_chan_free(s->out);
	return r == COOP_EOF ? 0 : r;
}

static int numbers(void *arg)
{
	struct stage *s = arg;
	int r = 0;

	for (long n = 1; n <= 100 && r >= 0; n++)
		r = coop_chan_send(s->out, &n);
	return ended(s, r);
}

static int squares(void *arg)
{
	struct stage *s = arg;
	long n;
	int r;

	while ((r = coop_chan_recv(s->in, &n)) >= 0) {
		if (n == s->bad)
			return ended(s, coop_fail(-EDOM, "%ld has no square", n));
		n *= n;
		r = coop_chan_send(s->out, &n);
		if (r < 0)
			break;
	}
	return ended(s, r);
}

static int add_up(void *arg)
{
	struct stage *s = arg;
	long n;
	int r;

	while ((r = coop_chan_recv(s->in, &n)) >= 0)
		s->sum += n;
	return ended(s, r);
}

/* A channel whose two ends belong to two stages. */
static int connect_stages(struct stage *from, struct stage *to)
{
	int r = coop_chan_new(sizeof(long), NULL, &from->out);

	if (r >= 0)
		r = coop_chan_clone_recv(from->out, &to->in);
	return r < 0 ? r : coop_chan_close_recv(from->out);
}

static int app(void *bad)
{
	struct stage stages[3] = { { .in = NULL }, { .bad = *(int *)bad }, { .in = NULL } };
	struct coop_call calls[3] = { { numbers, &stages[0], "numbers" },
				      { squares, &stages[1], "squares" },
				      { add_up, &stages[2], "sum" } };
	int r = connect_stages(&stages[0], &stages[1]);

	if (r >= 0)
		r = connect_stages(&stages[1], &stages[2]);
	if (r >= 0)
		r = coop_gather(calls, 3, COOP_GATHER_FAIL_FAST, NULL);
	for (int i = 0; i < 3; i++) /* those that never began */
		r = ended(&stages[i], r);
	printf("%s %ld\n",
	       r < 0 ? "failed when the sum was" : "sum of the squares:", stages[2].sum);
	return r;
}

/* With any argument it fails at 3, and shows what the error looks like. */
int main(int argc, char **argv)
{
	int bad = argc > 1 ? 3 : 0;

	(void)argv;
	return coop_main(app, &bad);
}
