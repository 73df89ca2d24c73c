/* SPDX-License-Identifier: MIT */
/*
 * Selects at channels between threads without a buffer: another thread completes a case of a select
 * that waits, at any moment, and of all that its own run does at the same time nothing is lost.
 */
#include "xchan_help.h"

#include "sync/select.h"

#include <stdatomic.h>

/* ---- without a buffer: a call of any thread meets a select */

/* A select that waits at everything, and what another thread and its own run do to it. */
struct met {
	struct coop_xchan *x;
	struct coop_chan *chan;
	struct coop_broadcast *broadcast;
	uint64_t position;
	struct coop_event event;
	struct coop_pulse pulse;
	struct coop_sem sem;
	struct coop_future future;
	struct coop_case cases[7];
	int value, local, heard, result;
	void *answer;
	bool sends, ended;
};

static void met_init(struct met *m, bool sends)
{
	*m = (struct met){ .x = int_xchan(0),
			   .event = COOP_EVENT_INIT,
			   .pulse = COOP_PULSE_INIT,
			   .sem = COOP_SEM_INIT(0),
			   .future = COOP_FUTURE_INIT,
			   .value = sends ? 31 : -1,
			   .local = -1,
			   .heard = -1,
			   .sends = sends };
	CHECK_INT(coop_chan_new(sizeof(int), NULL, &m->chan), ==, 0);
	CHECK_INT(coop_broadcast_new(sizeof(int), NULL, &m->broadcast), ==, 0);
	m->position = coop_broadcast_position(m->broadcast);
}

static void met_deinit(struct met *m)
{
	nobody_waits(m->x);
	coop_chan_free(m->chan);
	coop_broadcast_free(m->broadcast);
	coop_xchan_unref(m->x);
	coop_future_deinit(&m->future);
	coop_sem_deinit(&m->sem);
	coop_pulse_deinit(&m->pulse);
	coop_event_deinit(&m->event);
}

static int met_select(void *arg)
{
	struct met *m = arg;
	size_t n = 0;

	m->cases[n++] = coop_case_event(&m->event);
	m->cases[n++] = coop_case_pulse(&m->pulse);
	m->cases[n++] = coop_case_sem(&m->sem);
	m->cases[n++] = m->sends ? coop_case_xchan_send(m->x, &m->value)
				 : coop_case_xchan_recv(m->x, &m->value);
	m->cases[n++] = coop_case_recv(m->chan, &m->local);
	m->cases[n++] = coop_case_future(&m->future, &m->answer);
	m->cases[n++] = coop_case_broadcast(m->broadcast, &m->position, &m->heard);
	m->result = coop_select(m->cases, n, &(struct coop_select_opts){ .timeout_ns = SEC(1) });
	m->ended = true;
	return 0;
}

static void *meets(void *arg)
{
	struct met *m = arg;

	if (m->sends) {
		CHECK_INT(try_recv(m->x), ==, 31);
		CHECK_INT(try_recv(m->x), ==, -EAGAIN);
	} else {
		CHECK_INT(try_send(m->x, 31), ==, 0);
		CHECK_INT(try_send(m->x, 32), ==, -EAGAIN);
	}
	return NULL;
}

/* What the run does before its loop has heard of it; -1: no more ways. */
static int met_then(struct met *m, struct coop_group *g, int way)
{
	switch (way) {
	case 0: return 0;
	case 1: coop_group_cancel(g, "enough"); return 0;
	case 2: return coop_event_set(&m->event);
	case 3: return coop_pulse_send(&m->pulse) < 0 || coop_pulse_send_all(&m->pulse);
	case 4: return coop_sem_release(&m->sem);
	case 5: return coop_sem_release_many(&m->sem, 3);
	case 6: return coop_future_set(&m->future, m);
	case 7: return coop_chan_try_send(m->chan, &(int){ 5 }) != -EAGAIN;
	case 8: return coop_chan_shutdown(m->chan, false);
	case 9: return coop_xchan_close(m->x, true);
	case 10: return coop_broadcast_send(m->broadcast, &(int){ 6 });
	case 11: return coop_broadcast_close(m->broadcast);
	default: return -1;
	}
}

/* A thread has met a select that waits, and whatever its run does before the loop has heard of it,
 * the select ends with that; nothing else is taken or lost, and no cancel or limit is in time. */
TASK_TEST(met_by_a_thread)
{
	int more = 0;

	for (int way = 0; more >= 0; way++) {
		for (int sends = 0; sends < 2; sends++) {
			struct coop_group g = COOP_GROUP_INIT;
			struct met m;

			met_init(&m, sends);
			coop_group_open(&g, NULL);
			CHECK_INT(coop_spawn(&g, met_select, &m), ==, 0);
			CHECK_INT(coop_yield(), ==, 0);
			pthread_join(thread(meets, &m), NULL); /* no turn of the loop */
			nobody_waits(m.x);
			CHECK(!m.ended);
			more = met_then(&m, &g, way);
			CHECK_INT(more, <=, 0);
			CHECK_INT(coop_group_join(&g, 0), ==, 0);
			CHECK(m.ended && m.result == 3 && m.cases[3].rc == 0);
			CHECK(m.value == 31 && m.local == -1 && m.heard == -1 && !m.answer);
			CHECK_INT(m.position, ==, 0);
			CHECK_INT(coop_sem_try_acquire(&m.sem), ==,
				  way == 4 || way == 5 ? 0 : -EAGAIN);
			CHECK_INT(coop_pulse_try_wait(&m.pulse), ==, way == 3 ? 0 : -EAGAIN);
			CHECK_INT(stats_of(m.x).sent, ==, 1);
			CHECK_INT(stats_of(m.x).received, ==, 1);
			CHECK_INT(cp_rt->external, ==, 0);
			met_deinit(&m);
		}
	}
	PROVES(B174);
	return 0;
}

/* Whom a permit or a value passes by, because another thread has met it: the next one gets it. */
TASK_TEST(met_and_passed_by)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct chooser c = { .count = 2 };
	struct met m;

	met_init(&m, false);
	c.cases[0] = coop_case_sem(&m.sem);
	c.cases[1] = coop_case_recv(m.chan, &c.values[1]);
	coop_group_open(&g, NULL);
	for (int way = 0; way < 3; way++) {
		m.ended = false;
		CHECK_INT(coop_spawn(&g, met_select, &m), ==, 0);
		CHECK_INT(coop_yield(), ==, 0);
		start_chooser(&g, &c);
		pthread_join(thread(meets, &m), NULL);
		switch (way) {
		case 0: CHECK_INT(coop_sem_release(&m.sem), ==, 0); break;
		case 1: CHECK_INT(coop_sem_release_many(&m.sem, 1), ==, 0); break;
		case 2: CHECK_INT(coop_chan_try_send(m.chan, &(int){ 4 }), ==, 0); break;
		}
		settle();
		CHECK(m.ended && m.result == 3);
		CHECK(c.ended && c.result == way / 2);
	}
	CHECK_INT(c.values[1], ==, 4);
	CHECK_INT(coop_sem_try_acquire(&m.sem), ==, -EAGAIN);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	met_deinit(&m);
	return 0;
}

/* A semaphore does not count on a select that another thread may meet: what would be more than its
 * maximum without that one is refused, and nothing has changed. */
TASK_TEST(not_counted_on)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct met m;

	met_init(&m, false);
	m.sem = (struct coop_sem)COOP_SEM_INIT_MAX(0, 1);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, met_select, &m), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
	CHECK_INT(coop_sem_release_many(&m.sem, 2), ==, -EOVERFLOW);
	settle();
	CHECK(!m.ended);
	CHECK_INT(coop_sem_release(&m.sem), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK(m.ended && m.result == 2);
	CHECK_INT(coop_sem_try_acquire(&m.sem), ==, -EAGAIN);
	met_deinit(&m);
	return 0;
}

/* ---- without a buffer: who came between the trying of a select and its waiting */

/* A case that is never ready; a thread begins to wait as a sender while the select tries it. */
struct probe {
	struct cp_selectable ops;
	void *(*fn)(void *arg);
	struct coop_xchan *x;
	pthread_t thread;
	atomic_bool gone;
};

static void *probe_thread(void *arg)
{
	struct probe *p = arg;

	p->fn(p->x);
	atomic_store(&p->gone, true);
	return NULL;
}

static int probe_take(struct cp_rt *rt, struct coop_case *c)
{
	struct probe *p = c->_on;

	(void)rt;
	p->thread = thread(probe_thread, p);
	while (stats_of(p->x).senders == 0) {
		if (atomic_load(&p->gone)) { /* its time was over before we came to look */
			atomic_store(&p->gone, false);
			pthread_join(p->thread, NULL);
			p->thread = thread(probe_thread, p);
		}
		sched_yield();
	}
	return -EAGAIN;
}

static void *sends_44_and_waits(void *arg)
{
	int n = 44;

	CHECK_INT(coop_xchan_send_thread(arg, &n, COOP_NEVER), ==, 0);
	return NULL;
}

static void *sends_in_vain(void *arg)
{
	int n = 45;

	CHECK_INT(coop_xchan_send_thread(arg, &n, MS(30)), ==, COOP_ETIMEDOUT);
	return NULL;
}

/* A select that receives, or at both ends, and has been told of the thread of its probe. */
static void start_told(struct coop_group *g, struct chooser *c, struct probe *p, bool both)
{
	p->ops = (struct cp_selectable){ .take = probe_take, .enlist = cp_select_never.enlist };
	c->values[1] = 32;
	c->cases[0] = coop_case_xchan_recv(p->x, &c->values[0]);
	c->cases[1] = cp_case(&p->ops, p, NULL);
	c->cases[2] = coop_case_xchan_send(p->x, &c->values[1]);
	c->count = both ? 3 : 2;
	start_chooser(g, c);
}

/* It was told of a thread that still waits, and is that one's: a try_ call does not get it. */
TASK_TEST(told_and_promised)
{
	struct probe p = { .fn = sends_44_and_waits, .x = int_xchan(0) };
	struct coop_group g = COOP_GROUP_INIT;
	struct chooser c[2] = { 0 };

	coop_group_open(&g, NULL);
	start_told(&g, &c[0], &p, false);
	CHECK_INT(try_send(p.x, 31), ==, -EAGAIN);
	settle();
	pthread_join(p.thread, NULL);
	CHECK(c[0].ended && c[0].result == 0 && c[0].values[0] == 44);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	nobody_waits(p.x);
	CHECK_INT(cp_rt->external, ==, 0);
	coop_xchan_unref(p.x);
	PROVES(B174);
	return 0;
}

static void *tries_31(void *arg)
{
	CHECK_INT(try_send(arg, 31), ==, 0);
	CHECK_INT(try_send(arg, 32), ==, -EAGAIN);
	return NULL;
}

/* It was told of a thread that has gone again, and before it hears of that a try_ call comes, of
 * its run or of a thread: they meet. A cancel is too late then, and the post that is on its way
 * still finds its case. */
TASK_TEST(told_and_tried)
{
	for (int way = 0; way < 4; way++) {
		struct probe p = { .fn = sends_in_vain, .x = int_xchan(0) };
		struct coop_group g = COOP_GROUP_INIT;
		struct chooser c = { 0 };

		coop_group_open(&g, NULL);
		start_told(&g, &c, &p, false);
		pthread_join(p.thread, NULL);
		if (way & 1)
			tries_31(p.x);
		else
			pthread_join(thread(tries_31, p.x), NULL);
		nobody_waits(p.x);
		if (way & 2)
			coop_group_cancel(&g, "enough");
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		CHECK(c.ended && c.result == 0 && c.cases[0].rc == 0);
		CHECK_INT(c.values[0], ==, 31);
		CHECK_INT(stats_of(p.x).sent, ==, 1);
		CHECK_INT(stats_of(p.x).received, ==, 1);
		CHECK_INT(cp_rt->external, ==, 0);
		coop_xchan_unref(p.x);
	}
	PROVES(B174);
	return 0;
}

/* The same, and what comes is another select of the run; or nothing comes, and it waits on. Neither
 * meets itself. */
TASK_TEST(told_and_met)
{
	for (int both = 0; both < 2; both++) {
		struct probe p = { .fn = sends_in_vain, .x = int_xchan(0) };
		struct coop_group g = COOP_GROUP_INIT;
		struct chooser to = { 0 }, from = { .values = { 33 }, .count = 1 };

		from.cases[0] = coop_case_xchan_send(p.x, &from.values[0]);
		coop_group_open(&g, NULL);
		start_told(&g, &to, &p, both);
		pthread_join(p.thread, NULL);
		settle();
		CHECK(!to.ended);
		CHECK_INT(stats_of(p.x).receivers, ==, 1);
		CHECK_INT(coop_spawn(&g, chooses, &from), ==, 0);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		CHECK(to.ended && from.ended && to.result == 0);
		CHECK_INT(to.values[0], ==, 33);
		nobody_waits(p.x);
		CHECK_INT(stats_of(p.x).sent, ==, 1);
		CHECK_INT(stats_of(p.x).received, ==, 1);
		CHECK_INT(cp_rt->external, ==, 0);
		coop_xchan_unref(p.x);
	}
	return 0;
}

/* ---- selects of two runs, and nothing else */

struct duel {
	struct coop_xchan *x[2]; /* 0: to the second run */
	uint32_t sum[2], crossed[2];
};

/* Offers and accepts at both channels at once, and at a local channel that a child serves, until
 * the limit of the scope strikes; counts what has happened. */
struct duelist {
	struct duel *duel;
	struct coop_chan *own;
	int me;
	int got_own;
};

static int serves(void *arg)
{
	struct duelist *d = arg;

	for (int i = 0; i < TEST_COUNT(3000, 300); i++) {
		int r = coop_chan_send(d->own, &i);

		if (r < 0)
			return r;
		if (i % 3 == 0)
			(void)coop_yield();
	}
	return coop_chan_close_send(d->own);
}

static int duels(void *arg)
{
	struct duelist *d = arg;
	struct coop_xchan *from = d->duel->x[!d->me];
	int me = d->me, one = 1, in = 0, own;
	bool open = true;

	while (open) {
		struct coop_case cases[3];
		int r;

		cases[0] = coop_case_xchan_recv(from, &in);
		cases[1] = coop_case_recv(d->own, &own);
		cases[2] = coop_case_xchan_send(d->duel->x[me], &one);
		r = limited_select(cases, 3, (unsigned)(d->got_own * 7 + me));
		CHECK(r >= 0 || r == COOP_ECANCELED);
		if (r == 0 && cases[0].rc == 0)
			d->duel->sum[me] += (uint32_t)in;
		if (r == 0 && cases[0].rc == COOP_EOF)
			from = NULL;
		if (r == 2 && cases[2].rc == 0)
			d->duel->crossed[me]++;
		if (r == 1 && cases[1].rc == 0)
			CHECK_INT(own, ==, d->got_own++);
		if (r == 1 && cases[1].rc == COOP_EOF)
			open = false;
	}
	coop_xchan_close(d->duel->x[me], false);
	return 0;
}

static int one_side(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct duelist *d = arg;

	CHECK_INT(coop_chan_new(sizeof(int), NULL, &d->own), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, serves, d), ==, 0);
	CHECK_INT(coop_spawn(&g, duels, d), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(d->got_own, ==, TEST_COUNT(3000, 300));
	CHECK_INT(cp_rt->external, ==, 0);
	coop_chan_free(d->own);
	return 0;
}

static void *side_of_a_thread(void *arg)
{
	CHECK_INT(coop_run(one_side, arg, NULL), ==, 0);
	return NULL;
}

/* Two runs in which a select offers, accepts, and waits for a task of its own run, all at once:
 * what one gave the other has got, and of the own task's values none is lost. */
TEST(selects_of_two_runs)
{
	struct duel duel = { .x = { int_xchan(0), int_xchan(0) } };
	struct duelist d[2] = { { .duel = &duel }, { .duel = &duel, .me = 1 } };
	pthread_t t[2];

	TEST_SECONDS(60);
	for (int i = 0; i < 2; i++)
		t[i] = thread(side_of_a_thread, &d[i]);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(duel.sum[i], ==, duel.crossed[!i]);
		CHECK_INT(stats_of(duel.x[i]).sent, ==, duel.crossed[i]);
		nobody_waits(duel.x[i]);
		coop_xchan_unref(duel.x[i]);
	}
	PROVES(B174);
}

static int plays(void *arg)
{
	struct duelist *d = arg;
	int n;

	for (int i = 0; i < TEST_COUNT(2000, 200); i++) {
		struct coop_case send = coop_case_xchan_send(d->duel->x[0], &i);
		struct coop_case recv = coop_case_xchan_recv(d->duel->x[0], &n);

		CHECK_INT(coop_select((i & 1) == d->me ? &send : &recv, 1, NULL), ==, 0);
		CHECK((i & 1) == d->me || n == i);
	}
	return 0;
}

static void *play_of_a_thread(void *arg)
{
	CHECK_INT(coop_run(plays, arg, NULL), ==, 0);
	return NULL;
}

/* Selects of two runs that have nothing but each other always meet. */
TEST(selects_of_two_runs_take_turns)
{
	struct duel duel = { .x = { int_xchan(0) } };
	struct duelist d[2] = { { .duel = &duel }, { .duel = &duel, .me = 1 } };
	pthread_t t[2];

	TEST_SECONDS(60);
	for (int i = 0; i < 2; i++)
		t[i] = thread(play_of_a_thread, &d[i]);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	nobody_waits(duel.x[0]);
	coop_xchan_unref(duel.x[0]);
	PROVES(B174);
}

/* ---- selects of two runs that try at the same time */

struct crossing {
	struct coop_xchan *x, *go, *ready;
	bool probes_first; /* whose run is the older one, so that the two lie either way round */
};

static int crossing_probe_take(struct cp_rt *rt, struct coop_case *c)
{
	struct crossing *k = c->_on;

	(void)rt;
	CHECK_INT(coop_xchan_try_send(k->go, NULL), ==, 0);
	while (stats_of(k->x).senders == 0)
		sched_yield();
	return -EAGAIN;
}

/* Tries to receive and finds nobody; then the other one comes, tries, finds nobody, and waits; and
 * then this one waits. */
static int crosses(void *arg)
{
	struct cp_selectable probe = { .take = crossing_probe_take,
				       .enlist = cp_select_never.enlist };
	struct crossing *k = arg;
	struct coop_case cases[2];
	int n = -1;

	cases[0] = coop_case_xchan_recv(k->x, &n);
	cases[1] = cp_case(&probe, k, NULL);
	if (k->probes_first)
		CHECK_INT(coop_xchan_send(k->ready, NULL), ==, 0);
	CHECK_INT(coop_select(cases, 2, NULL), ==, 0);
	CHECK(cases[0].rc == 0 && n == 31);
	return 0;
}

static int is_crossed(void *arg)
{
	struct crossing *k = arg;
	int n = 31;
	struct coop_case c = coop_case_xchan_send(k->x, &n);

	if (!k->probes_first)
		CHECK_INT(coop_xchan_send(k->ready, NULL), ==, 0);
	CHECK_INT(coop_xchan_recv(k->go, NULL), ==, 0);
	CHECK_INT(coop_select(&c, 1, NULL), ==, 0);
	CHECK_INT(c.rc, ==, 0);
	return 0;
}

static void *crosses_in_a_thread(void *arg)
{
	struct crossing *k = arg;

	if (!k->probes_first)
		CHECK_INT(coop_xchan_recv_thread(k->ready, NULL, COOP_NEVER), ==, 0);
	CHECK_INT(coop_run(crosses, arg, NULL), ==, 0);
	return NULL;
}

static void *is_crossed_in_a_thread(void *arg)
{
	struct crossing *k = arg;

	if (k->probes_first)
		CHECK_INT(coop_xchan_recv_thread(k->ready, NULL, COOP_NEVER), ==, 0);
	CHECK_INT(coop_run(is_crossed, arg, NULL), ==, 0);
	return NULL;
}

/* Both have tried and found nobody before either waited: they meet nevertheless. */
TEST(selects_of_two_runs_cross)
{
	for (int way = 0; way < 2; way++) {
		struct crossing k = { .x = int_xchan(0), .probes_first = way };
		pthread_t t[2];

		CHECK_INT(coop_xchan_new(0, &(struct coop_xchan_opts){ .cap = 1 }, &k.go), ==, 0);
		CHECK_INT(coop_xchan_new(0, &(struct coop_xchan_opts){ .cap = 1 }, &k.ready), ==,
			  0);
		t[0] = thread(crosses_in_a_thread, &k);
		t[1] = thread(is_crossed_in_a_thread, &k);
		pthread_join(t[0], NULL);
		pthread_join(t[1], NULL);
		nobody_waits(k.x);
		CHECK_INT(stats_of(k.x).sent, ==, 1);
		coop_xchan_unref(k.x);
		coop_xchan_unref(k.go);
		coop_xchan_unref(k.ready);
	}
	PROVES(B174);
}
