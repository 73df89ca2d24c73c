/* SPDX-License-Identifier: MIT */
/* Capacity limiters: who may borrow, who is next, what a cancel and another total change. */
#include "sync_help.h"

static struct coop_limiter limiter;
static struct coop_borrower keys[4];

#define FRESH(n) (limiter = (struct coop_limiter)COOP_LIMITER_INIT(n))

static int acquire(struct actor *a, int arg)
{
	(void)a;
	(void)arg;
	return coop_limiter_acquire(&limiter);
}

static int release(struct actor *a, int arg)
{
	(void)a;
	(void)arg;
	return coop_limiter_release(&limiter);
}

static int acquire_for(struct actor *a, int key)
{
	(void)a;
	return coop_limiter_acquire_for(&limiter, &keys[key]);
}

static int release_for(struct actor *a, int key)
{
	(void)a;
	return coop_limiter_release_for(&limiter, &keys[key]);
}

static struct coop_limiter_stats numbers(void)
{
	struct coop_limiter_stats stats;

	CHECK_INT(coop_limiter_stats(&limiter, &stats), ==, 0);
	return stats;
}

/* Each borrower has one token; only who has one gives one back. */
TASK_TEST(a_limiter_counts_borrowers)
{
	FRESH(2);
	actors_begin(3);
	CHECK_INT(ask(0, acquire, 0), ==, 0);
	CHECK_INT(ask(0, acquire, 0), ==, -EALREADY);
	CHECK_INT(ask(1, release, 0), ==, -EPERM);
	CHECK_INT(ask(1, acquire, 0), ==, 0);
	CHECK_INT(ask(2, acquire, 0), ==, BLOCKED);
	CHECK_INT(numbers().total, ==, 2);
	CHECK_INT(numbers().borrowed, ==, 2);
	CHECK_INT(numbers().waiting, ==, 1);
	CHECK_INT(ask(0, release, 0), ==, 0);
	CHECK_INT(actors[2].result, ==, 0);
	CHECK_INT(ask(0, release, 0), ==, -EPERM);
	CHECK_INT(ask(1, release, 0), ==, 0);
	CHECK_INT(ask(2, release, 0), ==, 0);
	CHECK_INT(numbers().borrowed, ==, 0);
	CHECK_INT(coop_limiter_release(&limiter), ==, -EPERM);
	coop_limiter_deinit(&limiter);
	coop_limiter_deinit(NULL);
	CHECK_INT(coop_limiter_acquire(&limiter), ==, COOP_ECLOSED);
	PROVES(B260);
	return actors_end();
}

/* On behalf of others: one task may borrow for many, one for each; anybody gives it back. */
TASK_TEST(on_behalf_of_others)
{
	struct coop_limiter other = COOP_LIMITER_INIT(1);

	FRESH(2);
	actors_begin(2);
	for (int i = 0; i < 4; i++)
		keys[i] = (struct coop_borrower)COOP_BORROWER_INIT;
	CHECK_INT(ask(0, acquire_for, 0), ==, 0);
	CHECK_INT(ask(0, acquire_for, 0), ==, -EALREADY);
	CHECK_INT(ask(1, acquire_for, 0), ==, -EALREADY);
	CHECK_INT(coop_limiter_try_acquire_for(&other, &keys[0]), ==, -EALREADY);
	CHECK_INT(coop_limiter_release_for(&other, &keys[0]), ==, -EPERM);
	CHECK_INT(ask(0, acquire_for, 1), ==, 0);
	CHECK_INT(coop_limiter_try_acquire_for(&limiter, &keys[2]), ==, -EAGAIN);
	CHECK_INT(ask(0, acquire_for, 2), ==, BLOCKED);
	CHECK_INT(ask(1, acquire_for, 2), ==, -EALREADY); /* it waits already */
	CHECK_INT(coop_limiter_release_for(&limiter, &keys[2]), ==, -EPERM);
	CHECK_INT(ask(1, release_for, 0), ==, 0);
	CHECK_INT(actors[0].result, ==, 0);
	CHECK_INT(ask(1, release_for, 0), ==, -EPERM);
	CHECK_INT(ask(0, acquire_for, 3), ==, BLOCKED);
	stop(0);
	settle();
	CHECK_INT(actors[0].result, ==, COOP_ECANCELED);
	CHECK_INT(ask(1, acquire_for, 3), ==, BLOCKED); /* the cancel has freed the borrower */
	CHECK_INT(coop_limiter_release_for(&limiter, &keys[1]), ==, 0);
	CHECK_INT(coop_limiter_release_for(&limiter, &keys[2]), ==, 0);
	settle();
	CHECK_INT(actors[1].result, ==, 0);
	CHECK_INT(coop_limiter_release_for(&limiter, &keys[3]), ==, 0);
	CHECK_INT(coop_limiter_acquire_for(&limiter, NULL), ==, -EINVAL);
	CHECK_INT(coop_limiter_try_acquire_for(&limiter, NULL), ==, -EINVAL);
	CHECK_INT(coop_limiter_release_for(&limiter, NULL), ==, -EINVAL);
	CHECK_INT(numbers().borrowed, ==, 0);
	PROVES(B260);
	return actors_end();
}

/* A higher total lets in who waits, at once and in order; a lower one nobody for a while. */
TASK_TEST(another_total)
{
	FRESH(0);
	actors_begin(4);
	CHECK_INT(coop_limiter_try_acquire(&limiter), ==, -EAGAIN);
	for (int i = 3; i >= 0; i--)
		CHECK_INT(ask(i, acquire, 0), ==, BLOCKED);
	CHECK_INT(coop_limiter_set_total(&limiter, 2), ==, 0);
	CHECK_INT(numbers().borrowed, ==, 2);
	settle();
	CHECK_INT(actors[3].result, ==, 0);
	CHECK_INT(actors[2].result, ==, 0);
	CHECK_INT(actors[1].result, ==, BLOCKED);
	CHECK_INT(coop_limiter_set_total(&limiter, 1), ==, 0);
	CHECK_INT(ask(3, release, 0), ==, 0);
	CHECK_INT(actors[1].result, ==, BLOCKED);
	CHECK_INT(numbers().borrowed, ==, 1);
	CHECK_INT(ask(2, release, 0), ==, 0);
	CHECK_INT(actors[1].result, ==, 0);
	CHECK_INT(actors[0].result, ==, BLOCKED);
	CHECK_INT(coop_limiter_set_total(&limiter, 0), ==, 0);
	CHECK_INT(ask(1, release, 0), ==, 0);
	CHECK_INT(actors[0].result, ==, BLOCKED);
	CHECK_INT(coop_limiter_set_total(&limiter, COOP_UNLIMITED), ==, 0);
	settle();
	CHECK_INT(actors[0].result, ==, 0);
	CHECK_INT(ask(0, release, 0), ==, 0);
	PROVES(B261);
	return actors_end();
}

/* A token that was given back is the first waiter's: nobody takes it before that one has run. */
TASK_TEST(a_freed_token_is_taken)
{
	FRESH(1);
	actors_begin(2);
	CHECK_INT(coop_limiter_acquire(&limiter), ==, 0);
	CHECK_INT(ask(0, acquire, 0), ==, BLOCKED);
	CHECK_INT(coop_limiter_release(&limiter), ==, 0);
	CHECK_INT(coop_limiter_try_acquire(&limiter), ==, -EAGAIN);
	CHECK_INT(numbers().borrowed, ==, 1);
	settle();
	CHECK_INT(actors[0].result, ==, 0);
	CHECK_INT(ask(0, release, 0), ==, 0);
	CHECK_INT(coop_limiter_try_acquire(&limiter), ==, 0);
	CHECK_INT(coop_limiter_release(&limiter), ==, 0);
	PROVES(B262);
	return actors_end();
}

/* A token given and then a cancel: it is the task's; after a higher total, too. */
TASK_TEST(rel_A07_a_token_and_then_a_cancel)
{
	FRESH(1);
	actors_begin(3);
	CHECK_INT(coop_limiter_acquire(&limiter), ==, 0);
	for (int i = 0; i < 3; i++)
		CHECK_INT(ask(i, acquire, 0), ==, BLOCKED);
	CHECK_INT(coop_limiter_release(&limiter), ==, 0);
	stop(0);
	settle();
	CHECK_INT(actors[0].result, ==, 0);
	CHECK_INT(coop_limiter_set_total(&limiter, 2), ==, 0);
	stop(1);
	settle();
	CHECK_INT(actors[1].result, ==, 0);
	CHECK_INT(actors[2].result, ==, BLOCKED);
	CHECK_INT(ask(1, release, 0), ==, 0);
	CHECK_INT(actors[2].result, ==, 0);
	CHECK_INT(ask(0, release, 0), ==, 0);
	CHECK_INT(ask(2, release, 0), ==, 0);
	PROVES(B262, B79);
	return actors_end();
}

/* A cancelled waiter is forgotten; many of them leave nothing behind. */
TASK_TEST(rel_A08_many_cancelled_waits)
{
	struct coop_run_stats before, after;
	int times = TEST_COUNT(1000000, 20000);

	TEST_SECONDS(120);
	FRESH(0);
	actors_begin(1);
	CHECK_INT(ask(0, acquire, 0), ==, BLOCKED);
	stop(0);
	settle();
	CHECK_INT(coop_run_stats(&before), ==, 0);
	for (int i = 0; i < times; i++) {
		tell(0, acquire, 0);
		coop_yield();
		stop(0);
		coop_yield();
		CHECK_INT(actors[0].result, ==, COOP_ECANCELED);
	}
	CHECK_INT(coop_run_stats(&after), ==, 0);
	CHECK_INT(after.tasks, ==, before.tasks);
	CHECK_INT(numbers().waiting, ==, 0);
	CHECK_INT(actors[0].task->body->holds_used, ==, 0);
	PROVES(B263);
	return actors_end();
}

/* A task that ends with a token gives it back, and the log says so. */
static int borrows_and_ends(void *arg)
{
	(void)arg;
	return coop_limiter_acquire(&limiter);
}

TASK_TEST(a_borrower_that_ends)
{
	struct coop_group g = COOP_GROUP_INIT;

	keep_records(COOP_LOG_WARN);
	FRESH(1);
	actors_begin(1);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, borrows_and_ends, NULL), ==, 0);
	tell(0, acquire, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	settle();
	CHECK_INT(actors[0].result, ==, 0);
	CHECK_INT(records_count, ==, 1);
	CHECK_HAS(records, "borrows_and_ends ended without giving its token back");
	CHECK_INT(ask(0, release, 0), ==, 0);
	return actors_end();
}

/* A task borrows of so many limiters at once, and no more; afterwards it has room again. */
TASK_TEST(of_many_limiters)
{
	struct coop_limiter many[COOP_HOLDS_MAX + 1];

	for (int i = 0; i <= COOP_HOLDS_MAX; i++)
		many[i] = (struct coop_limiter)COOP_LIMITER_INIT(1);
	for (int i = 0; i < COOP_HOLDS_MAX; i++)
		CHECK_INT(coop_limiter_acquire(&many[i]), ==, 0);
	CHECK_INT(coop_limiter_acquire(&many[COOP_HOLDS_MAX]), ==, -ENOSPC);
	CHECK_INT(coop_limiter_try_acquire(&many[COOP_HOLDS_MAX]), ==, -ENOSPC);
	CHECK_INT(coop_limiter_release(&many[3]), ==, 0);
	CHECK_INT(coop_limiter_acquire(&many[COOP_HOLDS_MAX]), ==, 0);
	CHECK_INT(coop_limiter_release(&many[3]), ==, -EPERM);
	for (int i = 0; i <= COOP_HOLDS_MAX; i++)
		CHECK_INT(coop_limiter_release(&many[i]), ==, i == 3 ? -EPERM : 0);
	CHECK(!cp_rt->body->held);
	return 0;
}

static int limiter_in_use(void *arg)
{
	(void)arg;
	FRESH(1);
	actors_begin(1);
	ask(0, acquire, 0);
	coop_limiter_deinit(&limiter);
	return 0;
}

static int limiter_with_a_waiter(void *arg)
{
	(void)arg;
	FRESH(0);
	actors_begin(1);
	ask(0, acquire, 0);
	coop_limiter_deinit(&limiter);
	return 0;
}

static int limiter_with_a_key(void *arg)
{
	(void)arg;
	FRESH(1);
	if (coop_limiter_acquire_for(&limiter, &keys[0]) == 0)
		coop_limiter_deinit(&limiter);
	return 0;
}

/* Given up while somebody waits or has a token: the program ends and says who. */
TEST(given_up_in_use)
{
	char text[1024];

	last_words(limiter_in_use, text, sizeof text);
	CHECK_HAS(text, "coop_limiter_deinit by main");
	CHECK_HAS(text, "actor_main has borrowed from it (spawned at");
	last_words(limiter_with_a_waiter, text, sizeof text);
	CHECK_HAS(text, "actor_main waits for it in coop_limiter_acquire, first of 1");
	last_words(limiter_with_a_key, text, sizeof text);
	CHECK_HAS(text, "coop_limiter_deinit by main: somebody has borrowed from it");
}

/* ---- against a model */

static struct line line;
static bool has[ACTORS_MAX];
static int borrowed, total;

static void model_serve(void)
{
	while (borrowed < total && line.count) {
		int who = line_first(&line);

		has[who] = true;
		expected[who] = 0;
		borrowed++;
	}
}

static void begin_acquire(int who)
{
	tell(who, acquire, 0);
	expected[who] = has[who] ? -EALREADY : borrowed < total ? 0 : BLOCKED;
	if (expected[who] == BLOCKED)
		line_add(&line, who);
	if (expected[who] != 0)
		return;
	has[who] = true;
	borrowed++;
}

static void begin_release(int who)
{
	tell(who, release, 0);
	expected[who] = has[who] ? 0 : -EPERM;
	if (!has[who])
		return;
	has[who] = false;
	borrowed--;
	model_serve();
}

/* Random acquires, releases, totals and cancels. */
TASK_TEST(limiters_against_a_model)
{
	long steps = TEST_COUNT(1000000, 30000);

	TEST_SECONDS(300);
	FRESH(2);
	total = 2;
	actors_begin(7);
	for (long step = 0; step < steps; step++) {
		int who = (int)roll(7);

		switch (roll(9)) {
		case 0:
			total = (int)roll(5);
			CHECK_INT(coop_limiter_set_total(&limiter, (uint32_t)total), ==, 0);
			model_serve();
			break;
		case 1:
		case 2:
			if (!stoppable(who))
				break;
			stop(who);
			if (line_leave(&line, who))
				expected[who] = COOP_ECANCELED;
			break;
		default:
			settle();
			compare_actors(step);
			CHECK_INT(numbers().borrowed, ==, borrowed);
			CHECK_INT(numbers().waiting, ==, line.count);
			if (actors[who].result == BLOCKED)
				break;
			if (roll(2))
				begin_acquire(who);
			else
				begin_release(who);
			coop_yield();
		}
	}
	CHECK_INT(coop_limiter_set_total(&limiter, COOP_UNLIMITED), ==, 0);
	settle();
	for (int i = 0; i < 7; i++)
		ask(i, release, 0);
	CHECK_INT(numbers().borrowed, ==, 0);
	return actors_end();
}
