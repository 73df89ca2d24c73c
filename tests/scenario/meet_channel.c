/* SPDX-License-Identifier: MIT */
/* Channels of integers. */
#include "meet.h"

#include <inttypes.h>

/* Nobody fills more places than these: a channel that has more takes what is sent. */
#define PLACES_MAX (INT64_C(1) << 22)

int channel_open(struct place *p)
{
	struct coop_chan_opts opts = { .name = p->thing->name };

	if (p->thing->count > PLACES_MAX)
		opts.unbounded = true;
	else
		opts.cap = (uint32_t)p->thing->count;
	return coop_chan_new(sizeof(int64_t), &opts, &p->chan);
}

void channel_close(struct run *run, struct place *p)
{
	const char *name = p->thing->name;
	struct coop_chan_stats s;
	int64_t value;

	coop_chan_stats(p->chan, &s);
	if (s.sent != (uint64_t)p->given || s.received != (uint64_t)p->taken)
		wrong(run,
		      "%s: %" PRId64 " sends and %" PRId64 " receives ended well, the channel"
		      " counts %" PRIu64 " and %" PRIu64,
		      name, p->given, p->taken, s.sent, s.received);
	if (s.used != s.sent - s.received || s.senders || s.receivers)
		wrong(run, "%s: %u values are left, %u senders and %u receivers wait", name, s.used,
		      s.senders, s.receivers);
	while (coop_chan_try_recv(p->chan, &value) == 0)
		p->sum -= (uint64_t)value;
	if (p->sum)
		wrong(run, "%s: other values came out than went in", name);
	coop_chan_free(p->chan);
}

struct outcome op_send(struct running *t, const struct op *op)
{
	struct place *p = place_of(t, op);
	int r = coop_chan_send(p->chan, &op->number);

	if (r == COOP_ECLOSED) {
		coop_error_clear();
		say(t, "broken");
		return WELL;
	}
	if (r < 0)
		return outcome_of(r);
	p->given++;
	p->sum += (uint64_t)op->number;
	say(t, "sent %" PRId64, op->number);
	return WELL;
}

struct outcome op_recv(struct running *t, const struct op *op)
{
	struct place *p = place_of(t, op);
	int64_t value = INT64_MIN; /* is never sent */
	int r = coop_chan_recv(p->chan, &value);

	promise(t, r >= 0 || value == INT64_MIN, "a receive that fails writes nothing");
	if (r == COOP_EOF) {
		coop_error_clear();
		say(t, "end");
		return WELL;
	}
	if (r < 0)
		return outcome_of(r);
	p->taken++;
	p->sum -= (uint64_t)value;
	say(t, "got %" PRId64, value);
	return WELL;
}

struct outcome op_close(struct running *t, const struct op *op)
{
	return outcome_of(coop_chan_close_send(place_of(t, op)->chan));
}
