/* SPDX-License-Identifier: MIT */
/* Rwlocks: many readers or one writer, in order; what a cancel lets in; whose end breaks it. */
#include "sync_help.h"

static struct coop_rwlock lock;

static void fresh(void)
{
	lock = (struct coop_rwlock)COOP_RWLOCK_INIT;
}

static int reads(struct actor *a, int arg)
{
	(void)a;
	(void)arg;
	return coop_rwlock_read(&lock);
}

static int writes(struct actor *a, int arg)
{
	(void)a;
	(void)arg;
	return coop_rwlock_write(&lock);
}

static int unlocks(struct actor *a, int arg)
{
	(void)a;
	(void)arg;
	return coop_rwlock_unlock(&lock);
}

static struct coop_lock_stats numbers(void)
{
	struct coop_lock_stats stats;

	CHECK_INT(coop_rwlock_stats(&lock, &stats), ==, 0);
	return stats;
}

/* Readers share, a writer does not, and nobody overtakes who has waited for longer. */
TASK_TEST(readers_and_writers_in_order)
{
	fresh();
	actors_begin(6);
	CHECK_INT(ask(0, reads, 0), ==, 0);
	CHECK_INT(ask(1, reads, 0), ==, 0);
	CHECK_INT(numbers().readers, ==, 2);
	CHECK(numbers().locked);
	CHECK_INT(coop_rwlock_try_write(&lock), ==, -EAGAIN);
	CHECK_INT(ask(2, writes, 0), ==, BLOCKED);
	CHECK_INT(ask(3, reads, 0), ==, BLOCKED); /* behind the writer */
	CHECK_INT(coop_rwlock_try_read(&lock), ==, -EAGAIN);
	CHECK_INT(ask(4, reads, 0), ==, BLOCKED);
	CHECK_INT(ask(5, writes, 0), ==, BLOCKED);
	CHECK_INT(ask(0, unlocks, 0), ==, 0);
	CHECK_INT(actors[2].result, ==, BLOCKED);
	CHECK_INT(ask(1, unlocks, 0), ==, 0);
	CHECK_INT(actors[2].result, ==, 0);
	CHECK(numbers().owner == actors[2].task);
	CHECK_INT(numbers().readers, ==, 0);
	CHECK_INT(numbers().waiting, ==, 3);
	CHECK_INT(actors[3].result, ==, BLOCKED);
	CHECK_INT(ask(2, unlocks, 0), ==, 0);
	CHECK_INT(actors[3].result, ==, 0);
	CHECK_INT(actors[4].result, ==, 0);
	CHECK_INT(actors[5].result, ==, BLOCKED);
	CHECK_INT(ask(3, unlocks, 0), ==, 0);
	CHECK_INT(ask(4, unlocks, 0), ==, 0);
	CHECK_INT(actors[5].result, ==, 0);
	CHECK_INT(ask(5, unlocks, 0), ==, 0);
	CHECK(!numbers().locked);
	CHECK_INT(coop_rwlock_try_write(&lock), ==, 0);
	CHECK_INT(coop_rwlock_unlock(&lock), ==, 0);
	CHECK_INT(coop_rwlock_try_read(&lock), ==, 0);
	CHECK_INT(coop_rwlock_unlock(&lock), ==, 0);
	coop_rwlock_deinit(&lock);
	coop_rwlock_deinit(NULL);
	CHECK_INT(coop_rwlock_read(&lock), ==, COOP_ECLOSED);
	PROVES(B243, B248);
	return actors_end();
}

/* Who has not the lock cannot give it up; who has it cannot take it again, in neither way. */
TASK_TEST(rel_A22_twice_by_one_task)
{
	fresh();
	actors_begin(2);
	CHECK_INT(ask(0, unlocks, 0), ==, -EPERM);
	CHECK_INT(ask(0, reads, 0), ==, 0);
	CHECK_INT(ask(0, reads, 0), ==, -EDEADLK);
	CHECK_INT(ask(0, writes, 0), ==, -EDEADLK);
	CHECK_INT(ask(1, unlocks, 0), ==, -EPERM);
	CHECK_INT(ask(0, unlocks, 0), ==, 0);
	CHECK_INT(ask(0, unlocks, 0), ==, -EPERM);
	CHECK_INT(ask(0, writes, 0), ==, 0);
	CHECK_INT(ask(0, reads, 0), ==, -EDEADLK);
	CHECK_INT(ask(0, writes, 0), ==, -EDEADLK);
	CHECK_INT(ask(0, unlocks, 0), ==, 0);
	CHECK_INT(ask(0, unlocks, 0), ==, -EPERM);
	PROVES(B244);
	return actors_end();
}

/* The cancel of a writer that waits lets in the readers that it held up, at once. */
TASK_TEST(a_cancelled_writer_lets_readers_in)
{
	fresh();
	actors_begin(5);
	CHECK_INT(ask(0, reads, 0), ==, 0);
	CHECK_INT(ask(1, writes, 0), ==, BLOCKED);
	CHECK_INT(ask(2, reads, 0), ==, BLOCKED);
	CHECK_INT(ask(3, reads, 0), ==, BLOCKED);
	CHECK_INT(ask(4, writes, 0), ==, BLOCKED);
	stop(1);
	CHECK_INT(numbers().readers, ==, 3);
	stop(2); /* too late: it has the lock */
	settle();
	CHECK_INT(actors[1].result, ==, COOP_ECANCELED);
	CHECK_INT(actors[2].result, ==, 0);
	CHECK_INT(actors[3].result, ==, 0);
	CHECK_INT(actors[4].result, ==, BLOCKED);
	for (int i = 0; i < 4; i++)
		CHECK_INT(ask(i, unlocks, 0), ==, i == 1 ? -EPERM : 0);
	CHECK_INT(actors[4].result, ==, 0);
	CHECK_INT(ask(4, unlocks, 0), ==, 0);
	PROVES(B246, B247);
	return actors_end();
}

static int writes_and_ends(void *arg)
{
	int r = coop_rwlock_write(&lock);

	(void)arg;
	return r < 0 ? r : coop_sleep(MS(1));
}

static int ends_when_somebody_waits(void *arg)
{
	int r = coop_rwlock_write(&lock);

	(void)arg;
	while (r >= 0 && !numbers().waiting)
		r = coop_yield();
	return r;
}

static int reads_and_is_told(struct actor *a, int arg)
{
	return with_its_words(reads(a, arg));
}

/* Whom the writer's end has woken waits no more: the lock may be gone when it runs. */
TASK_TEST(given_up_before_the_told_one_runs)
{
	struct coop_group g = COOP_GROUP_INIT;

	fresh();
	actors_begin(1);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, ends_when_somebody_waits, NULL), ==, 0);
	tell(0, reads_and_is_told, 0);
	while (!numbers().owner_ended)
		coop_yield();
	CHECK_INT(actors[0].result, ==, BLOCKED);
	coop_rwlock_deinit(&lock);
	fresh();
	settle();
	CHECK_INT(actors[0].result, ==, COOP_EOWNERDEAD);
	CHECK_HAS(told, "\"ends_when_somebody_waits\" (spawned at");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	return actors_end();
}

static int reads_and_ends(void *arg)
{
	int r = coop_rwlock_read(&lock);

	(void)arg;
	return r < 0 ? r : coop_sleep(MS(1));
}

/* A writer that ends with it breaks it for all until it is recovered; a reader breaks nothing. */
TASK_TEST(an_owner_that_ends)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_error_info info;
	int r;

	keep_records(COOP_LOG_WARN);
	fresh();
	actors_begin(2);
	CHECK_INT(coop_rwlock_recover(&lock), ==, -EINVAL);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, reads_and_ends, NULL), ==, 0);
	settle();
	CHECK_INT(ask(0, writes, 0), ==, BLOCKED);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	settle();
	CHECK_INT(actors[0].result, ==, 0);
	CHECK_HAS(records, "reads_and_ends ended with a lock that it had for reading");
	CHECK_INT(ask(0, unlocks, 0), ==, 0);

	g = (struct coop_group)COOP_GROUP_INIT;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, writes_and_ends, NULL), ==, 0);
	settle();
	CHECK_INT(ask(0, reads, 0), ==, BLOCKED);
	CHECK_INT(ask(1, writes, 0), ==, BLOCKED);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	settle();
	CHECK_INT(actors[0].result, ==, COOP_EOWNERDEAD);
	CHECK_INT(actors[1].result, ==, COOP_EOWNERDEAD);
	CHECK_INT(coop_rwlock_try_read(&lock), ==, COOP_EOWNERDEAD);
	r = coop_rwlock_write(&lock);
	CHECK_INT(r, ==, COOP_EOWNERDEAD);
	coop_error_describe(coop_error_peek(r), &info);
	CHECK_HAS(info.message, "\"writes_and_ends\" (spawned at");
	CHECK(numbers().owner_ended);
	CHECK_INT(coop_rwlock_unlock(&lock), ==, -EPERM);
	CHECK_INT(coop_rwlock_recover(&lock), ==, 0);
	CHECK(numbers().owner == coop_self());
	CHECK_INT(coop_rwlock_unlock(&lock), ==, 0);
	CHECK_INT(ask(0, reads, 0), ==, 0);
	CHECK_INT(ask(0, unlocks, 0), ==, 0);
	coop_error_clear();
	PROVES(B245);
	return actors_end();
}

/* A reader that waits for a task which waits for the lock: a circle, through any of the readers. */
static int waits_for(void *arg)
{
	struct coop_handle **h = arg;
	int r = coop_rwlock_read(&lock);

	if (r < 0)
		return r;
	r = coop_handle_wait(*h, NULL);
	coop_rwlock_unlock(&lock);
	return r;
}

static int writes_late(void *arg)
{
	int *got = arg;
	int r = coop_sleep(MS(1));

	if (r < 0)
		return r;
	*got = coop_rwlock_write(&lock);
	return 0;
}

TASK_TEST(a_circle_through_a_reader)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h;
	int got = 1;

	fresh();
	actors_begin(1);
	CHECK_INT(ask(0, reads, 0), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, writes_late, &got, NULL, &h), ==, 0);
	CHECK_INT(coop_spawn(&g, waits_for, &h), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(got, ==, -EDEADLK);
	CHECK_INT(ask(0, unlocks, 0), ==, 0);
	coop_handle_release(h);
	PROVES(B320);
	return actors_end();
}

static int rwlock_with_a_reader(void *arg)
{
	(void)arg;
	fresh();
	actors_begin(1);
	ask(0, reads, 0);
	coop_rwlock_deinit(&lock);
	return 0;
}

static int rwlock_with_a_writer(void *arg)
{
	(void)arg;
	fresh();
	actors_begin(1);
	ask(0, writes, 0);
	coop_rwlock_deinit(&lock);
	return 0;
}

static int rwlock_with_a_waiter(void *arg)
{
	(void)arg;
	fresh();
	actors_begin(2);
	ask(0, writes, 0);
	ask(1, reads, 0);
	coop_rwlock_deinit(&lock);
	return 0;
}

/* Given up in use: the program ends and names both tasks. */
TEST(given_up_in_use)
{
	char text[1024];

	last_words(rwlock_with_a_reader, text, sizeof text);
	CHECK_HAS(text, "coop_rwlock_deinit by main");
	CHECK_HAS(text, "actor_main has it for reading (spawned at");
	last_words(rwlock_with_a_writer, text, sizeof text);
	CHECK_HAS(text, "actor_main has it for writing (spawned at");
	last_words(rwlock_with_a_waiter, text, sizeof text);
	CHECK_HAS(text, "actor_main waits for it in coop_rwlock_read, first of 1");
}

/* ---- against a model */

static struct line line;
static bool wants_write[ACTORS_MAX], reading[ACTORS_MAX];
static int writer = -1, readers;

static bool can_enter(bool write)
{
	return writer < 0 && (!write || !readers);
}

static void enter(int who, bool write)
{
	expected[who] = 0;
	if (write) {
		writer = who;
	} else {
		reading[who] = true;
		readers++;
	}
}

static void model_serve(void)
{
	while (line.count && can_enter(wants_write[line.who[0]])) {
		int who = line.who[0];

		line_leave(&line, who);
		enter(who, wants_write[who]);
	}
}

static void begin_lock(int who, bool write)
{
	tell(who, write ? writes : reads, 0);
	if (writer == who || reading[who]) {
		expected[who] = -EDEADLK;
	} else if (!line.count && can_enter(write)) {
		enter(who, write);
	} else {
		expected[who] = BLOCKED;
		wants_write[who] = write;
		line_add(&line, who);
	}
}

static void begin_unlock(int who)
{
	tell(who, unlocks, 0);
	expected[who] = writer == who || reading[who] ? 0 : -EPERM;
	if (writer == who)
		writer = -1;
	readers -= reading[who];
	reading[who] = false;
	model_serve();
}

/* Random reads, writes, unlocks and cancels. */
TASK_TEST(rwlocks_against_a_model)
{
	long steps = TEST_COUNT(1000000, 30000);

	TEST_SECONDS(300);
	fresh();
	actors_begin(7);
	for (long step = 0; step < steps; step++) {
		int who = (int)roll(7);

		if (roll(4) == 0 && stoppable(who)) {
			stop(who);
			if (line_leave(&line, who)) {
				expected[who] = COOP_ECANCELED;
				model_serve();
			}
			continue;
		}
		settle();
		compare_actors(step);
		CHECK_INT(numbers().readers, ==, readers);
		CHECK_INT(numbers().waiting, ==, line.count);
		if (actors[who].result == BLOCKED)
			continue;
		if (roll(5) < 2)
			begin_unlock(who);
		else
			begin_lock(who, roll(3) == 0);
		coop_yield();
	}
	for (int round = 0; round < 20; round++)
		for (int i = 0; i < 7; i++)
			if (actors[i].result != BLOCKED)
				ask(i, unlocks, 0);
	CHECK(!numbers().locked);
	return actors_end();
}
