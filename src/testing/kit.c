/* SPDX-License-Identifier: MIT */
/*
 * The testing kit: the virtual clock by hand, silence, the sequencer, checkpoint asserts.
 */
#include "testing/kit.h"

#include <errno.h>
#include <stdlib.h>

const struct cp_private *cp_kit(void)
{
	static const struct cp_private *table;

	if (!table)
		table = coop_private(CP_PRIVATE_VERSION);
	if (!table)
		abort(); /* a libcoop of another version than this kit */
	return table;
}

/* ------------------------------------------------------------------ virtual clock */

static int virtual_rt(struct cp_rt **ret_rt)
{
	struct cp_rt *rt = cp_kit()->rt();

	if (!rt)
		return cp_kit()->no_task();
	*ret_rt = rt;
	return rt->clock_virtual ? 0 : -ENOTSUP;
}

/* From this reading on the clock runs along with the real one, if it does. */
static void rate_from_here(struct cp_rt *rt)
{
	rt->rate_real_ns = cp_kit()->os_now();
	rt->rate_virtual_ns = rt->now_ns;
}

int coop_test_clock_jump(int64_t by_ns)
{
	struct cp_rt *rt = NULL;
	int r = virtual_rt(&rt);

	if (r < 0)
		return r;
	if (by_ns < 0 || by_ns > CP_TIME_MAX - cp_kit()->clock(rt))
		return -EINVAL;
	rt->now_ns += by_ns;
	rate_from_here(rt);
	rt->ticks = 0; /* the loop looks at its timers before anybody else runs */
	return 0;
}

int coop_test_clock_autojump(int64_t threshold_ns)
{
	struct cp_rt *rt = NULL;
	int r = virtual_rt(&rt);

	if (r < 0)
		return r;
	if (threshold_ns < 0)
		return -EINVAL;
	rt->autojump_ns = threshold_ns;
	return 0;
}

int coop_test_clock_rate(double rate)
{
	struct cp_rt *rt = NULL;
	int r = virtual_rt(&rt);

	if (r < 0)
		return r;
	if (!(rate >= 0) || rate > 1e6)
		return -EINVAL;
	cp_kit()->clock(rt);
	rt->clock_rate = rate;
	rate_from_here(rt);
	return 0;
}

/* ------------------------------------------------------------------------ silence */

static bool silence_abort(struct cp_wait *w)
{
	struct cp_rt *rt = w->ctx;
	struct cp_wait **at = &rt->idle_waiters;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	return true;
}

/* What is a checkpoint is one also when it is refused. */
static int refuse(int code)
{
	int r = coop_checkpoint();

	return r < 0 ? r : code;
}

int coop_test_wait_all_blocked(int64_t cushion_ns)
{
	struct cp_rt *rt = cp_kit()->rt();
	struct cp_wait w = { .abort = silence_abort,
			     .what = "coop_test_wait_all_blocked",
			     .kind = CP_ON_NOTHING,
			     .detail_ns = cushion_ns,
			     .ctx = rt };
	struct cp_wait **at;
	int r;

	if (!rt)
		return cp_kit()->no_task();
	if (cushion_ns < 0)
		return refuse(-EINVAL);
	r = cp_kit()->cancel_point(rt);
	if (r < 0)
		return r;
	at = &rt->idle_waiters;
	while (*at && (*at)->detail_ns <= cushion_ns)
		at = &(*at)->next;
	w.next = *at;
	*at = &w;
	return cp_kit()->park(rt, &w);
}

/* ---------------------------------------------------------------------- sequencer */

static bool sequencer_abort(struct cp_wait *w)
{
	struct coop_sequencer *s = w->ctx;
	struct cp_wait **at = (struct cp_wait **)&s->_waiters;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	s->_broken = 1;
	return true;
}

/*
 * Nobody's turn will come any more: who still waits is told. By the cancelled task itself and
 * not in its abort, when others that the same cancel reaches may not have been reached yet.
 */
static int sequencer_break(struct cp_rt *rt, struct coop_sequencer *s)
{
	struct cp_wait *w;

	s->_broken = 1;
	while ((w = s->_waiters)) {
		s->_waiters = w->next;
		cp_kit()->wake(rt, w->task, COOP_EBROKEN);
	}
	return COOP_ECANCELED;
}

int coop_sequencer_wait(struct coop_sequencer *sequencer, unsigned point)
{
	struct coop_sequencer *s = sequencer;
	struct cp_rt *rt = cp_kit()->rt();
	struct cp_wait w = { .abort = sequencer_abort,
			     .what = "coop_sequencer_wait",
			     .kind = CP_ON_NOTHING,
			     .ctx = s,
			     .detail_ns = point };
	int r;

	if (!rt)
		return cp_kit()->no_task();
	if (point > 255)
		return refuse(-EINVAL);
	if (s->_taken[point / 64] >> (point % 64) & 1)
		return refuse(-EALREADY);
	r = cp_kit()->cancel_point(rt);
	if (r < 0)
		return sequencer_break(rt, s);
	if (s->_broken) {
		cp_kit()->schedule_point(rt);
		return COOP_EBROKEN;
	}
	s->_taken[point / 64] |= UINT64_C(1) << (point % 64);
	if (s->_next == point) {
		s->_in_step = 1;
		cp_kit()->schedule_point(rt);
		return 0;
	}
	w.next = s->_waiters;
	s->_waiters = &w;
	r = cp_kit()->park(rt, &w);
	return r == COOP_ECANCELED ? sequencer_break(rt, s) : r;
}

void coop_sequencer_done(struct coop_sequencer *sequencer)
{
	struct coop_sequencer *s = sequencer;
	struct cp_rt *rt = cp_kit()->rt();

	if (!rt || !s->_in_step || s->_broken)
		return;
	s->_in_step = 0;
	s->_next++;
	for (struct cp_wait **at = (struct cp_wait **)&s->_waiters; *at; at = &(*at)->next) {
		struct cp_wait *w = *at;

		if ((uint32_t)w->detail_ns != s->_next)
			continue;
		*at = w->next;
		s->_in_step = 1;
		cp_kit()->wake(rt, w->task, 0);
		return;
	}
}

/* --------------------------------------------------------------------- checkpoints */

struct coop_checkpoint_mark coop_test_checkpoints(void)
{
	struct cp_rt *rt = cp_kit()->rt();
	struct coop_checkpoint_mark mark = { 0, 0 };

	if (rt) {
		mark.cancel_half = rt->body->cancel_half;
		mark.schedule_half = rt->body->schedule_half;
	}
	return mark;
}

void coop_test_assert_checkpoint_at(struct coop_checkpoint_mark mark, bool expected,
				    const char *site)
{
	struct coop_checkpoint_mark now = coop_test_checkpoints();
	bool cancel = now.cancel_half != mark.cancel_half;
	bool schedule = now.schedule_half != mark.schedule_half;

	if (expected && !(cancel && schedule))
		cp_kit()->die("%s: a checkpoint was expected%s", site,
			      cancel     ? "; there was its cancel half only"
			      : schedule ? "; there was its schedule half only"
					 : "");
	if (!expected && (cancel || schedule))
		cp_kit()->die("%s: no checkpoint was expected", site);
}
