/* SPDX-License-Identifier: MIT */
/*
 * The words by which selects at channels between threads are decided: two are needed, and the
 * second is lost; one is held, and others come for it.
 */
#include "xchan_help.h"

#include "thread.h"

#include "sync/select.h"
#include "sync/xchan.h"

#include <stdio.h>
#include <unistd.h>

/* ---- one word */

struct caller {
	struct coop_xchan *x;
	pid_t tid; /* atomic; 0: not there yet */
	pthread_t thread;
	bool sends;
	int result;
};

static void *calls(void *arg)
{
	struct caller *c = arg;

	__atomic_store_n(&c->tid, thread_id(), __ATOMIC_RELEASE);
	c->result = c->sends ? try_send(c->x, 31) : try_recv(c->x);
	return NULL;
}

/* It has come to the word: with the lock of the channel it sleeps nowhere else. */
static void wait_asleep(struct caller *c)
{
	for (;;) {
		bool locked = pthread_mutex_trylock(&c->x->lock) == EBUSY;

		if (!locked)
			pthread_mutex_unlock(&c->x->lock);
		if (locked && __atomic_load_n(&c->tid, __ATOMIC_ACQUIRE) && thread_sleeps(c->tid))
			return;
		usleep(100);
	}
}

/* The word of a select is held, and two threads come for it at two channels, to send and to
 * receive. They sleep: on one core the holder would not get on beside a busy one of a higher
 * priority. Both go on when it is let go; one of them has the select, and the other nobody. */
TASK_TEST(who_comes_for_a_word_sleeps)
{
	struct caller calls_[2] = { { .x = int_xchan(0), .sends = true }, { .x = int_xchan(0) } };
	struct coop_group g = COOP_GROUP_INIT;
	struct chooser c = { .values = { -1, 32 }, .count = 2 };
	void *select;
	int won;

	TEST_SECONDS(20);
	c.cases[0] = coop_case_xchan_recv(calls_[0].x, &c.values[0]);
	c.cases[1] = coop_case_xchan_send(calls_[1].x, &c.values[1]);
	coop_group_open(&g, NULL);
	start_chooser(&g, &c);
	select = c.cases[0]._select;
	CHECK(cp_select_hold(select));
	for (int i = 0; i < 2; i++)
		calls_[i].thread = thread(calls, &calls_[i]);
	for (int i = 0; i < 2; i++)
		wait_asleep(&calls_[i]);
	cp_select_let_go(select);
	for (int i = 0; i < 2; i++)
		pthread_join(calls_[i].thread, NULL);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	won = c.result;
	CHECK(c.ended && (won == 0 || won == 1));
	CHECK_INT(calls_[won].result, ==, won ? 32 : 0);
	CHECK_INT(calls_[!won].result, ==, -EAGAIN);
	CHECK_INT(c.values[0], ==, won ? -1 : 31);
	for (int i = 0; i < 2; i++) {
		nobody_waits(calls_[i].x);
		coop_xchan_unref(calls_[i].x);
	}
	CHECK_INT(cp_rt->external, ==, 0);
	PROVES(B174);
	return 0;
}

/* ---- two words, and the second is lost */

/*
 * `to` waits to receive at x and y. `from` has tried x before that and waits at x and z afterwards,
 * to send; so it has told itself, and when its post arrives it tries to meet `to`.
 */
struct couple {
	struct coop_xchan *x, *y, *z;
	struct chooser from, to;
	struct cp_selectable probe;
	void *word_of_from, *word_of_to;
};

static int couple_probe_take(struct cp_rt *rt, struct coop_case *c)
{
	struct couple *k = c->_on;

	(void)rt;
	while (!k->to.cases[0]._select)
		CHECK_INT(coop_yield(), ==, 0);
	return -EAGAIN;
}

static int from_chooses(void *arg)
{
	struct couple *k = arg;

	return chooses(&k->from);
}

static int to_chooses(void *arg)
{
	struct couple *k = arg;

	CHECK_INT(coop_yield(), ==, 0); /* `from` has begun then */
	return chooses(&k->to);
}

/* Stacks are used again in the reverse order, so in four ways, two and two, the words lie both ways
 * round whoever begins. */
#define WAYS 4

static void couple_start(struct couple *k, struct coop_group *g, bool to_is_first)
{
	*k = (struct couple){ .x = int_xchan(0),
			      .y = int_xchan(0),
			      .z = int_xchan(0),
			      .from = { .values = { 41, 0, 43 }, .count = 3 },
			      .to = { .values = { -1, -1 }, .count = 2 } };
	k->probe = (struct cp_selectable){ .take = couple_probe_take,
					   .enlist = cp_select_never.enlist };
	k->from.cases[0] = coop_case_xchan_send(k->x, &k->from.values[0]);
	k->from.cases[1] = cp_case(&k->probe, k, NULL);
	k->from.cases[2] = coop_case_xchan_send(k->z, &k->from.values[2]);
	k->to.cases[0] = coop_case_xchan_recv(k->x, &k->to.values[0]);
	k->to.cases[1] = coop_case_xchan_recv(k->y, &k->to.values[1]);
	coop_group_open(g, NULL);
	CHECK_INT(coop_spawn(g, to_is_first ? to_chooses : from_chooses, k), ==, 0);
	CHECK_INT(coop_spawn(g, to_is_first ? from_chooses : to_chooses, k), ==, 0);
	while (!k->from.cases[2]._select || !k->to.cases[1]._select)
		CHECK_INT(coop_yield(), ==, 0);
	k->word_of_from = k->from.cases[0]._select;
	k->word_of_to = k->to.cases[0]._select;
	CHECK_INT(k->from.cases[0]._time_ns, ==, CP_XL_TOLD);
	CHECK_INT(k->to.cases[0]._time_ns, ==, CP_XL_LISTED);
}

static void couple_end(struct couple *k, struct coop_group *g)
{
	CHECK_INT(coop_group_join(g, 0), ==, 0);
	nobody_waits(k->x);
	nobody_waits(k->y);
	nobody_waits(k->z);
	CHECK_INT(cp_rt->external, ==, 0);
	coop_xchan_unref(k->x);
	coop_xchan_unref(k->y);
	coop_xchan_unref(k->z);
}

static void *sends_to_y(void *arg)
{
	CHECK_INT(try_send(((struct couple *)arg)->y, 42), ==, 0);
	return NULL;
}

static void *receives_41(void *arg)
{
	CHECK_INT(try_recv(((struct couple *)arg)->x), ==, 41);
	return NULL;
}

/* The one whom it tries to meet has been met by a thread elsewhere, and does not know it yet: what
 * comes has its own word, gets none of the other, and gives its own back. Then it can be met. */
TASK_TEST(the_other_one_is_lost)
{
	unsigned orders = 0;

	TEST_SECONDS(20);
	for (int way = 0; way < WAYS; way++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct couple k;

		couple_start(&k, &g, way & 2);
		orders |= k.word_of_from < k.word_of_to ? 1 : 2;
		pthread_join(thread(sends_to_y, &k), NULL);
		settle();
		CHECK(k.to.ended && k.to.result == 1 && k.to.values[1] == 42);
		CHECK_INT(k.to.values[0], ==, -1);
		CHECK(!k.from.ended);
		CHECK_INT(k.from.cases[0]._time_ns, ==, CP_XL_LISTED);
		pthread_join(thread(receives_41, &k), NULL);
		couple_end(&k, &g);
		CHECK(k.from.ended && k.from.result == 0);
	}
	CHECK_INT(orders, ==, 3);
	PROVES(B174);
	return 0;
}

struct taker {
	struct couple *k;
	struct caller loop;
};

/* While the loop sleeps for the word of `to`, another one meets `from`. */
static void *takes_from_z(void *arg)
{
	struct taker *t = arg;

	wait_asleep(&t->loop);
	CHECK_INT(try_recv(t->k->z), ==, 43);
	cp_select_let_go(t->k->word_of_to);
	return NULL;
}

static void *sends_31(void *arg)
{
	CHECK_INT(try_send(((struct couple *)arg)->x, 31), ==, 0);
	return NULL;
}

/* It is met itself while it waits for the first word, that of the other: it gives that one back,
 * and the other can be met. */
TASK_TEST(its_own_is_lost)
{
	bool reached = false;

	TEST_SECONDS(20);
	for (int way = 0; way < WAYS; way++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct couple k;

		couple_start(&k, &g, way & 2);
		if (k.word_of_to < k.word_of_from) {
			struct taker t = { &k, { .x = k.x, .tid = thread_id() } };
			pthread_t thread_;

			CHECK(cp_select_hold(k.word_of_to));
			thread_ = thread(takes_from_z, &t);
			settle();
			pthread_join(thread_, NULL);
			settle();
			CHECK(k.from.ended && k.from.result == 2);
			CHECK(!k.to.ended);
			pthread_join(thread(sends_31, &k), NULL);
			reached = true;
		}
		couple_end(&k, &g);
		CHECK_INT(k.to.values[0], ==, reached ? 31 : 41);
		CHECK(k.to.ended && k.to.result == 0);
		if (reached)
			break;
	}
	CHECK(reached);
	PROVES(B174);
	return 0;
}
