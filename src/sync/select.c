/* SPDX-License-Identifier: MIT */
/*
 * Select: one task waits in several queues, and one of them has it.
 *
 * First every case is tried in turn; the first that can be completed is the answer. Only if
 * there is none are all of them enlisted, and nothing runs in between. Whoever takes an entry
 * out to wake the task calls `chosen`, which takes out the rest before anybody can look; so a
 * value is handed to one case only, and a select cannot meet itself: while it tries, it waits
 * nowhere. Where another thread may complete a case as well, one word decides, see select.h.
 *
 * A time limit is a scope around the park: its deadline cancels the wait like any other, and
 * whether it was that or a cancel from outside is decided where scopes decide it.
 */
#include "sync/select.h"

#include "sync/channel.h"

#include <errno.h>
#include <limits.h>

struct select {
	struct cp_wait wait;
	struct coop_case *cases;
	size_t count;
	struct coop_case *chosen; /* NULL: none yet */
	struct coop_case *timer;  /* the case whose time is up first; NULL: that of the options */
	int64_t limit_ns;         /* absolute; COOP_NEVER: no limit */
	bool settles;             /* there is a case that has to be settled: others know of it */
	uint32_t decided;         /* atomic if it settles: enum */
};

enum { OPEN, HELD, AWAITED, DECIDED };

static const struct cp_selectable *ops_of(const struct coop_case *c)
{
	return c->_ops;
}

/* ---------------------------------------------------------------------------- cases */

static int never_take(struct cp_rt *rt, struct coop_case *c)
{
	(void)rt;
	(void)c;
	return -EAGAIN;
}

static void never_enlist(struct cp_rt *rt, struct coop_case *c)
{
	(void)rt;
	(void)c;
}

const struct cp_selectable cp_select_never = { .take = never_take, .enlist = never_enlist };

static int deadline_take(struct cp_rt *rt, struct coop_case *c)
{
	return c->_time_ns <= rt->now_ns ? 0 : -EAGAIN;
}

static int timeout_take(struct cp_rt *rt, struct coop_case *c)
{
	(void)rt;
	return c->_time_ns <= 0 ? 0 : -EAGAIN;
}

/* The select itself looks after these. */
static const struct cp_selectable deadline_ops = { .take = deadline_take, .enlist = never_enlist };
static const struct cp_selectable timeout_ops = { .take = timeout_take, .enlist = never_enlist };

static int send_take(struct cp_rt *rt, struct coop_case *c)
{
	return cp_chan_send_now(rt, c->_on, c->_item);
}

static void send_enlist(struct cp_rt *rt, struct coop_case *c)
{
	(void)rt;
	cp_queue_append(&((struct coop_chan *)c->_on)->c->senders, cp_case_entry(c));
}

static int recv_take(struct cp_rt *rt, struct coop_case *c)
{
	return cp_chan_recv_now(rt, c->_on, c->_item);
}

static void recv_enlist(struct cp_rt *rt, struct coop_case *c)
{
	(void)rt;
	cp_queue_append(&((struct coop_chan *)c->_on)->c->receivers, cp_case_entry(c));
}

static const struct cp_selectable send_ops = { .take = send_take, .enlist = send_enlist };
static const struct cp_selectable recv_ops = { .take = recv_take, .enlist = recv_enlist };

_Static_assert(offsetof(struct coop_case, _item) == offsetof(struct cp_party, item) &&
		       offsetof(struct coop_case, _on) == offsetof(struct cp_party, chan),
	       "a case is a party of its channel");

struct coop_case coop_case_send(struct coop_chan *chan, const void *item)
{
	return cp_case(chan ? &send_ops : &cp_select_never, chan, (void *)(uintptr_t)item);
}

struct coop_case coop_case_recv(struct coop_chan *chan, void *ret_item)
{
	return cp_case(chan ? &recv_ops : &cp_select_never, chan, ret_item);
}

struct coop_case coop_case_deadline(int64_t deadline_ns)
{
	struct coop_case c = cp_case(&deadline_ops, NULL, NULL);

	c._time_ns = deadline_ns;
	return c;
}

struct coop_case coop_case_timeout(int64_t timeout_ns)
{
	struct coop_case c = cp_case(&timeout_ops, NULL, NULL);

	c._time_ns = timeout_ns;
	return c;
}

/* --------------------------------------------------------------------------- trying */

/* The index of the case that was completed, or -EAGAIN. */
CP_INLINE int try_all(struct cp_rt *rt, struct coop_case *cases, size_t count, bool fair)
{
	size_t i = fair ? cp_choose_fair(rt, (uint32_t)count) : 0;

	for (size_t n = count; n; n--) {
		struct coop_case *c = &cases[i];
		int r = ops_of(c)->take(rt, c);

		if (r != -EAGAIN) {
			c->rc = r;
			return (int)i;
		}
		if (++i == count)
			i = 0;
	}
	return -EAGAIN;
}

static int check(const struct coop_case *cases, size_t count, const struct coop_select_opts *opts)
{
	uint64_t sum = 0;

	if (count == 0 || count > INT_MAX)
		return -EINVAL;
	for (size_t i = 0; i < count; i++)
		if (CP_UNLIKELY(!cases[i]._ops || cases[i]._select))
			return cases[i]._ops ? -EBUSY : -EINVAL;
	if (!opts)
		return 0;
	for (size_t i = 0; i < CP_ARRAY_LEN(opts->_reserved); i++)
		sum |= opts->_reserved[i];
	return sum || opts->timeout_ns < 0 ? -EINVAL : 0;
}

int coop_select_try(struct coop_case *cases, size_t count, const struct coop_select_opts *opts)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	r = check(cases, count, opts);
	if (r < 0)
		return r;
	if (opts && opts->timeout_ns)
		return -EINVAL;
	return try_all(rt, cases, count, opts && opts->fair);
}

/* ------------------------------------------------------------------------- deciding */

/* Somebody has it: asleep until he has not, as he may be slow, or of a lower priority. */
static CP_COLD bool hold_later(struct select *s)
{
	uint32_t was;

	while ((was = __atomic_load_n(&s->decided, __ATOMIC_ACQUIRE)) != DECIDED) {
		uint32_t to = was == OPEN ? HELD : AWAITED;

		if (!__atomic_compare_exchange_n(&s->decided, &was, to, false, __ATOMIC_ACQUIRE,
						 __ATOMIC_RELAXED))
			continue;
		if (to == HELD)
			return true;
		(void)cp_os_futex_wait(&s->decided, AWAITED, -1);
	}
	return false;
}

bool cp_select_hold(void *select)
{
	struct select *s = select;
	uint32_t was = OPEN;

	/* Pairs with the release below, also where it fails: who is chosen is read then. */
	return __atomic_compare_exchange_n(&s->decided, &was, HELD, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED) ||
	       hold_later(s);
}

/* The select is not over before this returns: its own thread is here, or one that posts later. */
static void release(struct select *s, uint32_t to)
{
	if (CP_UNLIKELY(__atomic_exchange_n(&s->decided, to, __ATOMIC_RELEASE) == AWAITED))
		cp_os_futex_wake(&s->decided, INT32_MAX);
}

bool cp_select_is_open(void *select)
{
	return __atomic_load_n(&((struct select *)select)->decided, __ATOMIC_RELAXED) != DECIDED;
}

void cp_select_let_go(void *select)
{
	release(select, OPEN);
}

void cp_select_choose(void *select, struct coop_case *c)
{
	struct select *s = select;

	s->chosen = c;
	release(s, DECIDED);
}

/* -------------------------------------------------------------------------- waiting */

/* A case that has been withdrawn is of no select; the chosen one is until that goes on. */
static void withdraw_all(struct select *s)
{
	for (size_t i = 0; i < s->count; i++) {
		struct coop_case *c = &s->cases[i];

		if (c == s->chosen || !c->_select)
			continue;
		if (cp_case_entry(c)->queue)
			cp_queue_remove(cp_case_entry(c));
		if (ops_of(c)->withdraw)
			ops_of(c)->withdraw(cp_rt, c);
		c->_select = NULL;
	}
}

bool cp_select_is_shared(struct cp_waiter *e)
{
	return ((struct select *)cp_case_of(e)->_select)->settles;
}

bool cp_select_claim(struct cp_waiter *e)
{
	struct select *s = cp_case_of(e)->_select;

	if (CP_LIKELY(!s->settles))
		return true;
	if (cp_select_hold(s)) {
		cp_select_choose(s, cp_case_of(e));
		return true;
	}
	withdraw_all(s);
	return false;
}

static void chosen(struct cp_waiter *e)
{
	struct select *s = cp_case_of(e)->_select;

	s->chosen = cp_case_of(e);
	withdraw_all(s);
}

static bool select_abort(struct cp_wait *wait)
{
	struct select *s = CP_CONTAINER_OF(wait, struct select, wait);

	if (CP_UNLIKELY(s->settles)) {
		if (!cp_select_hold(s))
			return false; /* completed, and on its way here */
		cp_select_choose(s, NULL);
	}
	withdraw_all(s);
	return true;
}

static void enlist_all(struct cp_rt *rt, struct select *s)
{
	for (size_t i = 0; i < s->count; i++) {
		struct coop_case *c = &s->cases[i];
		struct cp_waiter *e = cp_case_entry(c);

		c->_select = s;
		e->queue = NULL;
		e->task = rt->cur;
		e->chosen = chosen;
		if (ops_of(c)->settle)
			s->settles = true;
		ops_of(c)->enlist(rt, c);
	}
}

static CP_COLD void settle_all(struct cp_rt *rt, struct select *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (ops_of(&s->cases[i])->settle)
			ops_of(&s->cases[i])->settle(rt, &s->cases[i]);
}

static int park(struct cp_rt *rt, struct select *s)
{
	int r;

	enlist_all(rt, s);
	r = cp_park(rt, &s->wait);
	if (CP_UNLIKELY(s->settles))
		settle_all(rt, s);
	if (s->chosen) {
		s->chosen->_select = NULL;
		s->chosen->rc = r;
		return 0;
	}
	cp_ignored(rt);
	return r;
}

/* Which time is up first: that of the options, of the first case, or none. */
static void find_limit(struct cp_rt *rt, struct select *s, int64_t timeout_ns)
{
	int64_t now = 0;

	if (timeout_ns)
		s->limit_ns = cp_time_add(now = cp_clock(rt), timeout_ns);
	for (size_t i = 0; i < s->count; i++) {
		struct coop_case *c = &s->cases[i];
		int64_t when = c->_time_ns;

		if (c->_ops != &deadline_ops && c->_ops != &timeout_ops)
			continue;
		if (c->_ops == &timeout_ops)
			when = cp_time_add(now ? now : (now = cp_clock(rt)), when);
		if (when < s->limit_ns) {
			s->limit_ns = when;
			s->timer = c;
		}
	}
}

/* Waits until the limit; 0 with nothing chosen if that was reached. */
static int park_limited(struct cp_rt *rt, struct select *s)
{
	struct coop_scope_opts opts = { .deadline_ns = s->limit_ns };
	struct coop_error *err = cp_err_slot_aside(&rt->body->err);
	struct coop_scope scope = COOP_SCOPE_INIT;
	int r = 0;

	(void)coop_scope_open_at(&scope, &opts, "coop_select\0000");
	if (coop_cancelled())
		r = COOP_ECANCELED; /* the time is up already */
	else
		r = park(rt, s);
	r = coop_scope_close(&scope, r);
	cp_err_slot_back(&rt->body->err, err);
	return r;
}

static CP_NOINLINE int select_long(struct cp_rt *rt, struct coop_case *cases, size_t count,
				   int64_t timeout_ns, const void *fp)
{
	struct select s = { .wait = { .abort = select_abort, .what = "coop_select" },
			    .cases = cases,
			    .count = count,
			    .limit_ns = COOP_NEVER };
	int r;

	cp_check_frames(rt->body, fp, "coop_select");
	find_limit(rt, &s, timeout_ns);
	r = s.limit_ns < CP_TIME_MAX ? park_limited(rt, &s) : park(rt, &s);
	if (s.chosen)
		return (int)(s.chosen - cases);
	if (r < 0)
		return r;
	if (!s.timer)
		return COOP_ETIMEDOUT;
	s.timer->rc = 0;
	return (int)(s.timer - cases);
}

int coop_select(struct coop_case *cases, size_t count, const struct coop_select_opts *opts)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (CP_UNLIKELY(!rt))
		return cp_no_task();
	r = check(cases, count, opts);
	if (CP_UNLIKELY(r < 0))
		return cp_refuse(r);
	r = cp_cancel_point(rt);
	if (CP_UNLIKELY(r < 0))
		return r;
	r = try_all(rt, cases, count, opts && opts->fair);
	if (r == -EAGAIN)
		return select_long(rt, cases, count, opts ? opts->timeout_ns : 0,
				   __builtin_frame_address(0));
	cp_schedule_point(rt);
	return r;
}
