/* SPDX-License-Identifier: MIT */
/*
 * Races of two steps, in every order: conditions, rwlocks, barriers, limiters, futures, once,
 * latches, broadcasts and watches. See test_explore.c.
 */
#include "explore.h"

static int cancels_first(void *arg)
{
	(void)arg;
	cancel_actor(0);
	return 0;
}

/* Again and again, from here to the end of the instant. */
static int cancels_twice(void *arg)
{
	cancels_first(arg);
	CHECK_INT(coop_checkpoint(), ==, 0);
	return cancels_first(arg);
}

/* ------------------------------------------------------------------- conditions */

static struct coop_mutex mutex;
static struct coop_cond cond;
static int things; /* what the condition is about: who finds one takes it */

static void new_cond(void)
{
	mutex = (struct coop_mutex)COOP_MUTEX_INIT;
	cond = (struct coop_cond)COOP_COND_INIT(&mutex);
	things = 0;
}

static void one_thing_left(void)
{
	struct coop_lock_stats s;
	struct coop_cond_stats c;

	HOLDS(things == 1);
	HOLDS(coop_mutex_stats(&mutex, &s) == 0 && !s.locked && s.waiting == 0);
	HOLDS(coop_cond_stats(&cond, &c) == 0 && c.waiting == 0);
	coop_cond_deinit(&cond);
	coop_mutex_deinit(&mutex);
}

/* Whatever the wait returned, the mutex is the caller's. */
static void owns_mutex(void)
{
	HOLDS(coop_mutex_try_lock(&mutex) == -EDEADLK);
	coop_error_clear();
}

/* Waits for a thing, takes it, and puts it back for the next. */
static int use_thing(int yes, int no)
{
	int r = coop_mutex_lock(&mutex);

	if (r < 0) {
		saw(no);
		return r;
	}
	while (!things && (r = coop_cond_wait(&cond)) == 0)
		owns_mutex();
	owns_mutex();
	HOLDS(r == 0 || r == COOP_ECANCELED);
	saw(r == 0 ? yes : no);
	if (r == 0) {
		things--;
		r = coop_checkpoint(); /* with the mutex */
		things++;
		coop_cond_notify(&cond, 1);
	}
	HOLDS(coop_mutex_unlock(&mutex) == 0);
	return r;
}

static int victim_uses(void *arg)
{
	(void)arg;
	return use_thing(0, 1);
}

static int other_uses(void *arg)
{
	(void)arg;
	return use_thing(2, 3);
}

static int brings_one(void *arg)
{
	(void)arg;
	CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	things++;
	HOLDS(coop_cond_notify(&cond, 1) >= 0);
	HOLDS(coop_mutex_unlock(&mutex) == 0);
	return 0;
}

static int takes_one(void *arg)
{
	(void)arg;
	CHECK_INT(coop_mutex_lock(&mutex), ==, 0);
	while (!things)
		CHECK_INT(coop_cond_wait(&cond), ==, 0);
	things--;
	HOLDS(coop_mutex_unlock(&mutex) == 0);
	return 0;
}

/* A notify meets a waiter that is being cancelled: another one gets it, or none is lost (A05). */
TEST(notify_against_cancel)
{
	EXPLORE(new_cond, one_thing_left, 7, victim_uses, cancels_first, other_uses, brings_one);
	PROVES(B253, B254);
}

/* Cancelled while it waits, and again while it gets the mutex back: it has it (A06). */
TEST(cancel_again_while_the_mutex_is_taken_back)
{
	EXPLORE(new_cond, one_thing_left, 3, victim_uses, cancels_twice, brings_one, brings_one,
		takes_one);
	PROVES(B253);
}

/* ---------------------------------------------------------------------- rwlocks */

static struct coop_rwlock rwlock;
static int readers, writers;

static void new_rwlock(void)
{
	rwlock = (struct coop_rwlock)COOP_RWLOCK_INIT;
	readers = writers = 0;
}

static void rwlock_free(void)
{
	struct coop_lock_stats s;

	HOLDS(coop_rwlock_stats(&rwlock, &s) == 0 && !s.locked && !s.readers && !s.waiting);
	coop_rwlock_deinit(&rwlock);
}

static int read_it(int yes, int no)
{
	int r = coop_rwlock_read(&rwlock);

	saw(r == 0 ? yes : no);
	if (r < 0)
		return r;
	HOLDS(writers == 0);
	readers++;
	r = coop_checkpoint();
	HOLDS(writers == 0);
	readers--;
	HOLDS(coop_rwlock_unlock(&rwlock) == 0);
	return r;
}

static int write_it(int yes, int no)
{
	int r = coop_rwlock_write(&rwlock);

	saw(r == 0 ? yes : no);
	if (r < 0)
		return r;
	HOLDS(writers++ == 0 && readers == 0);
	r = coop_checkpoint();
	HOLDS(writers-- == 1 && readers == 0);
	HOLDS(coop_rwlock_unlock(&rwlock) == 0);
	return r;
}

static int victim_reads(void *arg)
{
	(void)arg;
	return read_it(0, 1);
}

static int victim_writes(void *arg)
{
	(void)arg;
	return write_it(0, 1);
}

static int reads(void *arg)
{
	(void)arg;
	HOLDS(read_it(2, 3) == 0);
	return 0;
}

static int writes(void *arg)
{
	(void)arg;
	HOLDS(write_it(4, 5) == 0);
	return 0;
}

/* A writer that gives up lets in the readers who waited behind it; a reader, the writer. */
TEST(unlock_of_an_rwlock_against_cancel)
{
	EXPLORE(new_rwlock, rwlock_free, 0x17, victim_writes, cancels_first, reads, writes);
	EXPLORE(new_rwlock, rwlock_free, 0x17, victim_reads, cancels_first, reads, writes);
	PROVES(B247);
}

/* --------------------------------------------------------------------- barriers */

static struct coop_barrier barrier;
static int passed[2], sent_away;

static void new_barrier(void)
{
	barrier = (struct coop_barrier)COOP_BARRIER_INIT(2);
	passed[0] = passed[1] = sent_away = 0;
}

/* Rounds of two: as many came first as came last. */
static void rounds_even(void)
{
	struct coop_barrier_stats s;

	HOLDS(passed[0] == passed[1]);
	HOLDS(coop_barrier_stats(&barrier, &s) == 0 && s.waiting == 0);
	coop_barrier_deinit(&barrier);
}

static int come_to_barrier(void)
{
	int r = coop_barrier_wait(&barrier);

	HOLDS(r == 0 || r == 1 || r == COOP_ECANCELED || r == COOP_EBROKEN);
	if (r >= 0)
		passed[r]++;
	if (r == COOP_EBROKEN)
		sent_away++;
	coop_error_clear();
	return r;
}

static int victim_comes(void *arg)
{
	int r = come_to_barrier();

	(void)arg;
	saw(r >= 0 ? 0 : r == COOP_ECANCELED ? 1 : 2);
	return r == COOP_ECANCELED ? r : 0;
}

static int comes(void *arg)
{
	(void)arg;
	HOLDS(come_to_barrier() != COOP_ECANCELED);
	return 0;
}

/* When all have come to rest, who is left over is sent away. */
static int resets_at_last(void *arg)
{
	int r;

	(void)arg;
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	r = coop_barrier_reset(&barrier);
	HOLDS(r == 0 || r == 1);
	return 0;
}

static int resets(void *arg)
{
	(void)arg;
	HOLDS(coop_barrier_reset(&barrier) >= 0);
	return 0;
}

/* Who is cancelled was not there; the barrier goes on with others, and two make a round. */
TEST(barrier_against_cancel_and_reset)
{
	EXPLORE(new_barrier, rounds_even, 3, victim_comes, cancels_first, comes, comes,
		resets_at_last);
	EXPLORE(new_barrier, rounds_even, 5, victim_comes, resets, comes, comes, resets_at_last);
	PROVES(B258, B259);
}

/* --------------------------------------------------------------------- limiters */

static struct coop_limiter limiter;
static uint32_t total, out;

static void new_limiter(void)
{
	limiter = (struct coop_limiter)COOP_LIMITER_INIT(total);
	out = 0;
}

static void tokens_back(void)
{
	struct coop_limiter_stats s;

	HOLDS(coop_limiter_stats(&limiter, &s) == 0 && !s.borrowed && !s.waiting && s.total == 1);
	coop_limiter_deinit(&limiter);
}

static int borrow(int yes, int no)
{
	int r = coop_limiter_acquire(&limiter);

	saw(r == 0 ? yes : no);
	if (r < 0)
		return r;
	HOLDS(out++ == 0);
	r = coop_checkpoint();
	HOLDS(out-- == 1);
	HOLDS(coop_limiter_release(&limiter) == 0);
	return r;
}

static int victim_borrows(void *arg)
{
	(void)arg;
	return borrow(0, 1);
}

static int other_borrows(void *arg)
{
	(void)arg;
	HOLDS(borrow(2, 3) == 0);
	return 0;
}

static int sets_total_to_one(void *arg)
{
	(void)arg;
	HOLDS(coop_limiter_set_total(&limiter, 1) == 0);
	return 0;
}

/* A token that is given back, or that is new, meets a waiter who is being cancelled (A07). */
TEST(token_against_cancel)
{
	total = 1;
	EXPLORE(new_limiter, tokens_back, 7, victim_borrows, cancels_first, other_borrows,
		other_borrows);
	total = 0;
	EXPLORE(new_limiter, tokens_back, 7, victim_borrows, cancels_first, other_borrows,
		sets_total_to_one);
	PROVES(B261, B262, B263);
}

/* ---------------------------------------------------------------------- futures */

static struct coop_future future;
static int thing;

static void new_future(void)
{
	future = (struct coop_future)COOP_FUTURE_INIT;
}

static void future_over(void)
{
	struct coop_future_stats s;

	HOLDS(coop_future_stats(&future, &s) == 0 && s.done && s.waiting == 0);
	coop_future_deinit(&future);
}

static int victim_awaits(void *arg)
{
	void *value = NULL;
	int r = coop_future_wait(&future, &value);

	(void)arg;
	HOLDS(r == 0 || r == COOP_EBROKEN || r == COOP_ECANCELED);
	HOLDS((value == &thing) == (r == 0));
	coop_error_clear();
	saw(r == 0 ? 0 : r == COOP_EBROKEN ? 1 : 2);
	return r == COOP_ECANCELED ? r : 0;
}

static int awaits(void *arg)
{
	int r = coop_future_wait(&future, NULL);

	(void)arg;
	HOLDS(r == 0 || r == COOP_EBROKEN);
	coop_error_clear();
	return 0;
}

/* Owns it, and ends with or without having set it. */
static int owns_it(void *arg)
{
	(void)arg;
	CHECK_INT(coop_future_own(&future), ==, 0);
	CHECK_INT(coop_checkpoint(), ==, 0);
	if (race_choose(NULL, 2))
		HOLDS(coop_future_set(&future, &thing) == 0);
	return 0;
}

/* The value, or the end of who was to set it, against the cancel of who waits. */
TEST(future_against_cancel_and_the_end_of_its_owner)
{
	EXPLORE(new_future, future_over, 7, victim_awaits, cancels_first, awaits, owns_it);
	PROVES(B182, B183);
}

/* ------------------------------------------------------------------------- once */

static struct coop_once once;
static int done, at_it;

static void new_once(void)
{
	once = (struct coop_once)COOP_ONCE_INIT;
	done = at_it = 0;
}

static void once_done(void)
{
	struct coop_once_stats s;

	HOLDS(done == 1 && at_it == 0);
	HOLDS(coop_once_stats(&once, &s) == 0 && s.waiting == 0);
	HOLDS(coop_once_done(&once));
	coop_once_deinit(&once);
}

static int does(void *arg)
{
	int r;

	(void)arg;
	HOLDS(at_it++ == 0);
	r = coop_checkpoint();
	at_it--;
	if (r < 0)
		return r;
	done++;
	return 5;
}

static int victim_needs(void *arg)
{
	int r = coop_once_run(&once, does, NULL);

	(void)arg;
	HOLDS(r == 5 || r == COOP_ECANCELED);
	saw(r == 5 ? 0 : 1);
	return r == 5 ? 0 : r;
}

static int needs(void *arg)
{
	(void)arg;
	HOLDS(coop_once_run(&once, does, NULL) == 5);
	return 0;
}

/* Who is at it is cancelled: the next one does it, once (A23). */
TEST(once_against_cancel)
{
	EXPLORE(new_once, once_done, 3, victim_needs, cancels_first, needs, needs);
}

/* ---------------------------------------------------------------------- latches */

static struct coop_latch latch;

static void new_latch(void)
{
	latch = (struct coop_latch)COOP_LATCH_INIT(2);
}

static void latch_open(void)
{
	struct coop_latch_stats s;

	HOLDS(coop_latch_stats(&latch, &s) == 0 && s.count == 0 && s.waiting == 0);
	coop_latch_deinit(&latch);
}

static int victim_waits(void *arg)
{
	int r = coop_latch_wait(&latch);

	(void)arg;
	HOLDS(r == 0 || r == COOP_ECANCELED);
	saw(r == 0 ? 0 : 1);
	return r;
}

static int waits(void *arg)
{
	(void)arg;
	HOLDS(coop_latch_wait(&latch) == 0);
	return 0;
}

static int does_one(void *arg)
{
	(void)arg;
	HOLDS(coop_latch_done(&latch) == 0);
	return 0;
}

TEST(latch_against_cancel)
{
	EXPLORE(new_latch, latch_open, 3, victim_waits, cancels_first, waits, does_one, does_one);
}

/* ----------------------------------------------------------- broadcasts, watches */

#define SENT 2 /* values, from 1; the last one is kept */

static struct coop_broadcast *news;

static void new_broadcast(void)
{
	CHECK_INT(coop_broadcast_new(sizeof(int), &(struct coop_broadcast_opts){ .cap = 1 }, &news),
		  ==, 0);
}

static void broadcast_over(void)
{
	struct coop_broadcast_stats s;

	coop_broadcast_stats(news, &s);
	HOLDS(s.closed && s.receivers == 0 && s.sent == SENT);
	news = coop_broadcast_free(news);
}

/* Every value in order, or counted as missed, and then the end. */
static int hears(int *ret_missed)
{
	uint64_t at = 0, before = 0;
	int last = 0, value, r;

	*ret_missed = 0;
	while ((r = coop_broadcast_recv(news, &at, &value)) >= 0) {
		HOLDS(value == last + r + 1 && at == before + (uint64_t)r + 1);
		last = value;
		before = at;
		*ret_missed += r;
	}
	HOLDS(r == COOP_EOF || r == COOP_ECANCELED);
	HOLDS(at == before); /* the position of one that was cancelled stays */
	HOLDS(r == COOP_ECANCELED || last == SENT);
	coop_error_clear();
	return r;
}

static int victim_hears(void *arg)
{
	int missed, r = hears(&missed);

	(void)arg;
	saw(r == COOP_EOF ? 0 : 1);
	return r == COOP_EOF ? 0 : r;
}

static int other_hears(void *arg)
{
	int missed, r = hears(&missed);

	(void)arg;
	HOLDS(r == COOP_EOF);
	saw(missed ? 2 : 3);
	return 0;
}

static int tells(void *arg)
{
	(void)arg;
	for (int value = 1; value <= SENT; value++) {
		HOLDS(coop_broadcast_send(news, &value) == 0);
		CHECK_INT(coop_checkpoint(), ==, 0);
	}
	coop_broadcast_close(news);
	return 0;
}

/* A close meets receivers that lag, or are cancelled: each one comes to the end (A19). */
TEST(close_of_a_broadcast_against_the_late)
{
	EXPLORE(new_broadcast, broadcast_over, 0xf, victim_hears, cancels_first, other_hears,
		tells);
}

static struct coop_watch *config;

static void new_watch(void)
{
	CHECK_INT(coop_watch_new(sizeof(int), NULL, NULL, &config), ==, 0);
}

static void watch_over(void)
{
	int value;

	HOLDS(coop_watch_get(config, &value) == 0 && value == 2);
	coop_watch_close(config);
	coop_watch_free(config);
}

/* Values never go back, and the latest one is always seen. */
static int watches(void)
{
	uint64_t seen = 0;
	int last = 0, value = 0, r;

	while ((r = coop_watch_wait(config, &seen, &value)) == 0) {
		HOLDS(value > last);
		last = value;
		if (value == 2)
			return 0;
	}
	HOLDS(r == COOP_ECANCELED && value == last);
	return r;
}

static int victim_watches(void *arg)
{
	int r = watches();

	(void)arg;
	saw(r == 0 ? 0 : 1);
	return r;
}

static int other_watches(void *arg)
{
	(void)arg;
	HOLDS(watches() == 0);
	return 0;
}

static int sets_one_and_two(void *arg)
{
	(void)arg;
	for (int value = 1; value <= 2; value++) {
		HOLDS(coop_watch_set(config, &value) == 0);
		CHECK_INT(coop_checkpoint(), ==, 0);
	}
	return 0;
}

TEST(set_of_a_watch_against_cancel)
{
	EXPLORE(new_watch, watch_over, 3, victim_watches, cancels_first, other_watches,
		sets_one_and_two);
}
