/* SPDX-License-Identifier: MIT */
/*
 * Channels and selects against a naive model: a million random operations on two channels, by
 * tasks that send, receive or select, are cancelled, and see ends cloned, closed and freed under
 * them.
 * After each round every result, every value and every number must be what the model says.
 *
 * The model is one list of who waits, in order of arrival, and one list of values a channel.
 */
#include "chan_help.h"

#define CHANS 2
#define HOLDS 4
#define WORKERS 10
#define ALTS 3
#define VALUES_MAX 4096

static uint64_t rng = 88172645463325252u;

static unsigned pick(unsigned n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (unsigned)(rng >> 33) % n;
}

/* ---- the model */

struct hold {
	struct coop_chan *real; /* NULL: freed */
	bool tx, rx, sends, receives;
};

struct model_chan {
	struct hold holds[HOLDS];
	uint32_t cap; /* COOP_UNLIMITED */
	bool shut;
	int values[VALUES_MAX];
	int count;
	uint64_t sent, received, destroyed;
	int64_t destroyed_sum; /* of the values, from the model and from the destructor */
	int64_t real_sum;
	uint64_t real_destroyed;
};

static struct model_chan chans[CHANS];
static int next_value = 1;

/* One way a worker can go on. */
struct alt {
	struct model_chan *m;
	struct hold *hold;
	bool send;
	int value;    /* to send */
	int expected; /* received, says the model */
};

struct worker {
	struct alt alts[ALTS];
	struct coop_case cases[ALTS];
	int values[ALTS]; /* what the real thing sends from and receives into */
	int count;
	bool busy, plain; /* plain: one call, no select */
	/* what the model says; order is 0 once it has an answer */
	uint64_t order;
	int chosen, rc;
	/* what happened */
	bool ended;
	int real_result, real_rc;
	struct coop_handle *handle;
};

static struct worker workers[WORKERS];
static uint64_t next_order = 1;

static bool any_end(const struct model_chan *m, bool send)
{
	for (int i = 0; i < HOLDS; i++)
		if (m->holds[i].real && (send ? m->holds[i].tx : m->holds[i].rx))
			return true;
	return false;
}

static void answer(struct worker *w, int chosen, int rc)
{
	w->order = 0;
	w->chosen = chosen;
	w->rc = rc;
}

/* The first, in order of arrival, that waits on `m` in that direction (and on `hold`, if any). */
static struct alt *first_waiting(struct model_chan *m, bool send, const struct hold *hold,
				 struct worker **ret)
{
	struct alt *best = NULL;

	for (int i = 0; i < WORKERS; i++) {
		struct worker *w = &workers[i];

		if (!w->busy || !w->order || (best && w->order > (*ret)->order))
			continue;
		for (int k = 0; k < w->count; k++) {
			struct alt *a = &w->alts[k];

			if (a->m == m && a->send == send && (!hold || a->hold == hold)) {
				best = a;
				*ret = w;
				break;
			}
		}
	}
	return best;
}

static int model_send(struct model_chan *m, struct hold *h, int value)
{
	struct worker *w;
	struct alt *a;

	if (!h->tx)
		return h->sends ? COOP_ECLOSED : -EPERM;
	a = first_waiting(m, false, NULL, &w);
	if (a) {
		a->expected = value;
		answer(w, (int)(a - w->alts), 0);
		m->sent++;
		m->received++;
		return 0;
	}
	if (m->shut)
		return COOP_ECLOSED;
	if (!any_end(m, false))
		return -EPIPE;
	if (m->cap != COOP_UNLIMITED && m->count >= (int)m->cap)
		return -EAGAIN;
	CHECK(m->count < VALUES_MAX);
	m->values[m->count++] = value;
	m->sent++;
	return 0;
}

static int model_recv(struct model_chan *m, struct hold *h, int *value)
{
	struct worker *w;
	struct alt *a;

	if (!h->rx)
		return h->receives ? COOP_ECLOSED : -EPERM;
	a = first_waiting(m, true, NULL, &w);
	if (m->count) {
		*value = m->values[0];
		memmove(m->values, m->values + 1, sizeof(int) * (size_t)--m->count);
		if (a)
			m->values[m->count++] = a->value;
	} else if (a) {
		*value = a->value;
	} else {
		return m->shut || !any_end(m, true) ? COOP_EOF : -EAGAIN;
	}
	if (a) {
		answer(w, (int)(a - w->alts), 0);
		m->sent++;
	}
	m->received++;
	return 0;
}

static void tell_all(struct model_chan *m, bool send, const struct hold *hold, int rc)
{
	struct worker *w;
	struct alt *a;

	while ((a = first_waiting(m, send, hold, &w)))
		answer(w, (int)(a - w->alts), rc);
}

static void model_drop(struct model_chan *m)
{
	for (int i = 0; i < m->count; i++)
		m->destroyed_sum += (int64_t)m->values[i] * (int64_t)(m->destroyed++ + 1);
	m->count = 0;
}

static void model_close_send(struct model_chan *m, struct hold *h)
{
	if (!h->tx)
		return;
	h->tx = false;
	tell_all(m, true, h, COOP_ECLOSED);
	if (!any_end(m, true))
		tell_all(m, false, NULL, COOP_EOF);
}

static void model_close_recv(struct model_chan *m, struct hold *h)
{
	if (!h->rx)
		return;
	h->rx = false;
	tell_all(m, false, h, COOP_ECLOSED);
	if (any_end(m, false))
		return;
	tell_all(m, true, NULL, -EPIPE);
	model_drop(m);
}

/* ---- the real thing */

static void destroyed(void *item, void *ctx)
{
	struct model_chan *m = ctx;

	m->real_sum += (int64_t) * (int *)item * (int64_t)(++m->real_destroyed);
}

static int works(void *arg)
{
	struct worker *w = arg;
	struct alt *a = &w->alts[0];

	if (w->plain) {
		w->real_rc = a->send ? coop_chan_send(a->hold->real, &w->values[0])
				     : coop_chan_recv(a->hold->real, &w->values[0]);
		w->real_result = w->real_rc == COOP_ECANCELED ? w->real_rc : 0;
	} else {
		w->real_result = coop_select(w->cases, (size_t)w->count, NULL);
		if (w->real_result >= 0)
			w->real_rc = w->cases[w->real_result].rc;
	}
	w->ended = true;
	return w->real_result == COOP_ECANCELED ? w->real_result : 0;
}

static struct hold *some_hold(struct model_chan *m)
{
	struct hold *h;

	do
		h = &m->holds[pick(HOLDS)];
	while (!h->real);
	return h;
}

static void make_chan(struct model_chan *m)
{
	static const uint32_t caps[] = { 0, 0, 1, 2, 5, COOP_UNLIMITED };
	struct coop_chan_opts opts = { .destroy = destroyed, .ctx = m };

	memset(m, 0, sizeof *m);
	m->cap = caps[pick(6)];
	opts.unbounded = m->cap == COOP_UNLIMITED;
	opts.cap = opts.unbounded ? 0 : m->cap;
	CHECK_INT(coop_chan_new(sizeof(int), &opts, &m->holds[0].real), ==, 0);
	m->holds[0].tx = m->holds[0].rx = m->holds[0].sends = m->holds[0].receives = true;
}

/* ---- operations */

/* What the model says to a worker that has just come: the first case that is ready, or wait. */
static void model_arrives(struct worker *w)
{
	for (int i = 0; i < w->count; i++) {
		struct alt *a = &w->alts[i];
		int r = a->send ? model_send(a->m, a->hold, a->value)
				: model_recv(a->m, a->hold, &a->expected);

		if (r != -EAGAIN) {
			answer(w, i, r);
			return;
		}
	}
	w->order = next_order++;
}

static void op_worker(struct coop_group *g)
{
	struct worker *w = &workers[pick(WORKERS)];

	if (w->busy)
		return;
	memset(w, 0, sizeof *w);
	w->count = pick(2) ? 1 : 1 + (int)pick(ALTS);
	w->plain = w->count == 1 && pick(2);
	for (int i = 0; i < w->count; i++) {
		struct alt *a = &w->alts[i];

		a->m = &chans[pick(CHANS)];
		a->hold = some_hold(a->m);
		a->send = pick(2);
		a->value = a->send ? next_value++ : 0;
		w->values[i] = a->value;
		w->cases[i] = a->send ? coop_case_send(a->hold->real, &w->values[i])
				      : coop_case_recv(a->hold->real, &w->values[i]);
	}
	CHECK_INT(coop_spawn_with(g, works, w, NULL, &w->handle), ==, 0);
	model_arrives(w);
	w->busy = true;
}

static void op_try(void)
{
	struct model_chan *m = &chans[pick(CHANS)];
	struct hold *h = some_hold(m);
	int value = 0, got = 0, r;

	if (pick(2)) {
		value = next_value++;
		r = coop_chan_try_send(h->real, &value);
		CHECK_INT(r, ==, model_send(m, h, value));
	} else {
		r = coop_chan_try_recv(h->real, &got);
		CHECK_INT(r, ==, model_recv(m, h, &value));
		CHECK_INT(got, ==, r == 0 ? value : 0);
	}
}

static void op_cancel(void)
{
	struct worker *w = &workers[pick(WORKERS)];

	if (!w->busy)
		return;
	coop_handle_cancel(w->handle, NULL); /* maybe for the second time */
	if (w->order)
		answer(w, -1, COOP_ECANCELED);
}

static void op_clone(void)
{
	struct model_chan *m = &chans[pick(CHANS)];
	struct hold *h = some_hold(m), *to = &m->holds[pick(HOLDS)];
	bool send = pick(2);
	int r;

	if (to->real)
		return;
	r = send ? coop_chan_clone_send(h->real, &to->real)
		 : coop_chan_clone_recv(h->real, &to->real);
	if (send ? h->tx && !m->shut : h->rx) {
		CHECK_INT(r, ==, 0);
		to->tx = to->sends = send;
		to->rx = to->receives = !send;
	} else {
		CHECK_INT(r, ==, (send ? h->sends : h->receives) ? COOP_ECLOSED : -EPERM);
		CHECK(!to->real);
	}
}

/* The last hold of a channel was freed: its books must be closed, and another is made. */
static void check_gone(struct model_chan *m)
{
	for (int i = 0; i < HOLDS; i++)
		if (m->holds[i].real)
			return;
	CHECK_INT(m->sent, ==, m->received + m->destroyed);
	CHECK_INT(m->real_destroyed, ==, m->destroyed);
	CHECK_INT(m->real_sum, ==, m->destroyed_sum);
	make_chan(m);
}

static void op_free(struct model_chan *m, struct hold *h)
{
	coop_chan_free(h->real);
	tell_all(m, true, h, COOP_ECLOSED);
	tell_all(m, false, h, COOP_ECLOSED);
	model_close_send(m, h);
	model_close_recv(m, h);
	memset(h, 0, sizeof *h);
}

static void op_end(void)
{
	struct model_chan *m = &chans[pick(CHANS)];
	struct hold *h = some_hold(m);

	switch (pick(8)) {
	case 0:
	case 1:
		CHECK_INT(coop_chan_close_send(h->real), ==, h->tx ? 0 : 1);
		model_close_send(m, h);
		break;
	case 2:
	case 3:
		CHECK_INT(coop_chan_close_recv(h->real), ==, h->rx ? 0 : 1);
		model_close_recv(m, h);
		break;
	case 4:
	case 5:
	case 6: op_free(m, h); break;
	default:
		m->shut = true;
		tell_all(m, true, NULL, COOP_ECLOSED);
		tell_all(m, false, NULL, COOP_EOF);
		if (pick(2)) {
			model_drop(m);
			CHECK_INT(coop_chan_shutdown(h->real, true), ==, 0);
		} else {
			CHECK_INT(coop_chan_shutdown(h->real, false), ==, 0);
		}
	}
}

/* ---- the comparison */

static void check_worker(struct worker *w)
{
	if (!w->busy)
		return;
	CHECK_INT(w->ended, ==, w->order == 0);
	if (!w->ended)
		return;
	if (w->chosen < 0) {
		CHECK_INT(w->real_result, ==, COOP_ECANCELED);
	} else {
		CHECK_INT(w->real_result, ==, w->chosen);
		CHECK_INT(w->real_rc, ==, w->rc);
	}
	for (int i = 0; i < w->count; i++)
		CHECK_INT(w->values[i], ==,
			  w->alts[i].send                ? w->alts[i].value
			  : i == w->chosen && w->rc == 0 ? w->alts[i].expected
							 : 0);
	coop_handle_release(w->handle);
	w->busy = false;
}

static void check_chan(struct model_chan *m)
{
	uint32_t waiting[2] = { 0, 0 }, tx = 0, rx = 0, holds = 0;
	struct coop_chan_stats s = stats_of(some_hold(m)->real);

	for (int i = 0; i < WORKERS; i++)
		for (int k = 0; workers[i].busy && workers[i].order && k < workers[i].count; k++)
			waiting[workers[i].alts[k].send] += workers[i].alts[k].m == m;
	for (int i = 0; i < HOLDS; i++) {
		holds += m->holds[i].real != NULL;
		tx += m->holds[i].real && m->holds[i].tx;
		rx += m->holds[i].real && m->holds[i].rx;
	}
	CHECK(s.used == (uint32_t)m->count && s.cap == m->cap && s.shut_down == m->shut);
	CHECK(s.senders == waiting[1] && s.receivers == waiting[0]);
	CHECK(s.send_ends == tx && s.recv_ends == rx && s.holds == holds);
	CHECK(s.sent == m->sent && s.received == m->received && s.destroyed == m->destroyed);
	CHECK(m->real_destroyed == m->destroyed && m->real_sum == m->destroyed_sum);
}

/* What needs no other task to run. */
static void step_at_once(void)
{
	unsigned n = pick(50);

	if (n < 25)
		op_try();
	else if (n < 37)
		op_cancel();
	else if (n < 44)
		op_clone();
	else
		op_end();
	for (int i = 0; i < CHANS; i++)
		check_gone(&chans[i]);
}

/*
 * Up to three operations in a row before those whom they concern have run: a value is handed
 * over to somebody who is cancelled then, and whose end is closed. Then everybody runs.
 */
static void round_of_steps(struct coop_group *g)
{
	for (unsigned n = pick(3); n; n--)
		step_at_once();
	if (pick(2))
		op_worker(g);
	else
		step_at_once();
	CHECK_INT(coop_yield(), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
	for (int i = 0; i < WORKERS; i++)
		check_worker(&workers[i]);
	for (int i = 0; i < CHANS; i++)
		check_chan(&chans[i]);
}

static int model_run(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	long rounds = *(long *)arg;

	coop_group_open(&g, NULL);
	for (int i = 0; i < CHANS; i++)
		make_chan(&chans[i]);
	for (long n = 0; n < rounds; n++)
		round_of_steps(&g);
	for (int i = 0; i < CHANS; i++)
		for (int k = 0; k < HOLDS; k++)
			if (chans[i].holds[k].real)
				op_free(&chans[i], &chans[i].holds[k]);
	CHECK_INT(coop_yield(), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
	for (int i = 0; i < WORKERS; i++)
		check_worker(&workers[i]);
	return coop_group_join(&g, 0);
}

/* A million operations, and never a difference. */
TEST(a_million_operations_against_the_model)
{
	long rounds = TEST_COUNT(500000, 10000); /* of two operations each, on average */

	TEST_SECONDS(120);
	CHECK_INT(coop_run(model_run, &rounds, &virtual_clock), ==, 0);
	PROVES(B174, B223, B224, B225, B226, B227, B228, B230, B231, B232, B233, B234, B235);
}
