/* SPDX-License-Identifier: MIT */
/*
 * Races of two steps, in every order: events, pulses, semaphores, mutexes. See test_explore.c.
 */
#include "explore.h"

static int cancels_first(void *arg)
{
	(void)arg;
	cancel_actor(0);
	return 0;
}

/* ------------------------------------------------------------------ semaphores */

static struct coop_sem sem;
static uint32_t inside, inside_max;

static void empty_sem(void)
{
	sem = (struct coop_sem)COOP_SEM_INIT(0);
	inside = 0;
}

/* Takes a permit and gives it back, so that who waits behind it is never stuck. */
static int take_and_give(int yes, int no)
{
	int r = coop_sem_acquire(&sem);

	say("acquire:%d ", r);
	HOLDS(r == 0 || r == COOP_ECANCELED);
	saw(r == 0 ? yes : no);
	if (r < 0)
		return r;
	HOLDS(++inside <= inside_max);
	r = coop_checkpoint();
	inside--;
	HOLDS(coop_sem_release(&sem) == 0);
	return r;
}

static int victim_takes(void *arg)
{
	(void)arg;
	return take_and_give(0, 1);
}

static int other_takes(void *arg)
{
	(void)arg;
	return take_and_give(2, 3);
}

static int releases(void *arg)
{
	(void)arg;
	HOLDS(coop_sem_release(&sem) == 0);
	return 0;
}

static int releases_two(void *arg)
{
	(void)arg;
	HOLDS(coop_sem_release_many(&sem, 2) == 0);
	return 0;
}

static void permits_left(uint32_t count)
{
	struct coop_sem_stats s;

	HOLDS(coop_sem_stats(&sem, &s) == 0 && s.count == count && s.waiting == 0);
	coop_sem_deinit(&sem);
}

static void one_left(void)
{
	permits_left(1);
}

static void two_left(void)
{
	permits_left(2);
}

/* A permit meets a waiter that is being cancelled: he has it, or the next one (A02, A18). */
TEST(release_against_cancel_of_the_first_waiter)
{
	inside_max = 1;
	EXPLORE(empty_sem, one_left, 7, victim_takes, cancels_first, other_takes, releases);
	PROVES(B250, B251);
}

TEST(release_of_two_against_cancel)
{
	inside_max = 2;
	EXPLORE(empty_sem, two_left, 7, victim_takes, cancels_first, other_takes, releases_two);
	PROVES(B251);
}

static int cancels_two(void *arg)
{
	(void)arg;
	cancel_actor(0);
	cancel_actor(1);
	return 0;
}

static int newcomer_takes(void *arg)
{
	int r;

	(void)arg;
	r = take_and_give(4, 5);
	HOLDS(r == 0);
	return r;
}

/* A queue of cancelled tasks only, then a permit, then somebody new (A03). */
TEST(release_against_a_queue_of_the_cancelled)
{
	inside_max = 1;
	EXPLORE(empty_sem, one_left, 0x1f, victim_takes, other_takes, cancels_two, newcomer_takes,
		releases);
	PROVES(B251);
}

static int takes_for_10_ms(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	(void)arg;
	coop_scope_open(&s, &(struct coop_scope_opts){ .deadline_ns = begin_ns + MS(10) });
	r = coop_scope_close(&s, take_and_give(0, 1));
	HOLDS(r == 0);
	return 0;
}

/* The permit comes at the instant of the deadline, or the moment before that is looked at. */
static void at_10_ms(void)
{
	if (race_choose(NULL, 2))
		CHECK_INT(coop_test_clock_jump(MS(10)), ==, 0);
	else
		CHECK_INT(coop_sleep(MS(10)), ==, 0);
}

static int releases_at_10_ms(void *arg)
{
	at_10_ms();
	return releases(arg);
}

/* A permit and a deadline at one instant: what was not taken is there (A09). */
TEST(release_against_timeout)
{
	inside_max = 1;
	EXPLORE(empty_sem, one_left, 7, takes_for_10_ms, releases_at_10_ms, other_takes);
	PROVES(B251);
}

/* ---------------------------------------------------------------------- mutexes */

static struct coop_mutex mutex;
static bool abandons, abandoned;

static void new_mutex(void)
{
	mutex = (struct coop_mutex)COOP_MUTEX_INIT;
	inside = 0;
}

static void mutex_free(void)
{
	struct coop_lock_stats s;

	HOLDS(coop_mutex_stats(&mutex, &s) == 0 && !s.locked && s.waiting == 0);
	coop_mutex_deinit(&mutex);
}

static int lock_and_unlock(int yes, int no)
{
	int r = coop_mutex_lock(&mutex);

	say("lock:%d ", r);
	HOLDS(r == 0 || r == COOP_ECANCELED);
	saw(r == 0 ? yes : no);
	if (r < 0)
		return r;
	HOLDS(++inside == 1);
	HOLDS(coop_mutex_try_lock(&mutex) == -EDEADLK); /* A22 */
	coop_error_clear();
	r = coop_checkpoint();
	HOLDS(inside-- == 1);
	HOLDS(coop_mutex_unlock(&mutex) == 0);
	return r;
}

static int victim_locks(void *arg)
{
	(void)arg;
	return lock_and_unlock(0, 1);
}

static int other_locks(void *arg)
{
	(void)arg;
	return lock_and_unlock(2, 3);
}

/* The next owner is being cancelled when he gets the lock: he owns it, or the one after (A04). */
TEST(unlock_against_cancel_of_the_next_owner)
{
	EXPLORE(new_mutex, mutex_free, 7, victim_locks, cancels_first, other_locks, other_locks);
	PROVES(B243, B246, B247);
}

/* Ends while it owns the lock. */
static int locks_and_ends(void *arg)
{
	int r = coop_mutex_lock(&mutex);

	(void)arg;
	if (r == 0) {
		abandons = abandoned = true;
		saw(0);
		r = coop_checkpoint();
	}
	return r == COOP_ECANCELED ? r : 0;
}

/* Locks it, or puts it in order and then owns it; in any case it is free afterwards. */
static int locks_or_recovers(void *arg)
{
	int r = coop_mutex_lock(&mutex);

	(void)arg;
	HOLDS(r == 0 || (r == COOP_EOWNERDEAD && abandoned));
	saw(r == 0 ? 1 : 2);
	if (r < 0) {
		coop_error_clear();
		r = coop_mutex_recover(&mutex);
		if (r == -EINVAL) { /* somebody else has */
			coop_error_clear();
			saw(3);
			return 0;
		}
		abandons = false;
	}
	HOLDS(r == 0 && ++inside == 1);
	CHECK_INT(coop_checkpoint(), ==, 0);
	HOLDS(inside-- == 1);
	HOLDS(coop_mutex_unlock(&mutex) == 0);
	return 0;
}

static void mutex_free_or_dead(void)
{
	if (abandons) { /* it came last */
		CHECK_INT(coop_mutex_recover(&mutex), ==, 0);
		CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	}
	mutex_free();
}

static void new_mutex_with_owner(void)
{
	new_mutex();
	abandons = abandoned = false;
}

/* The owner ends, while others wait, come and put it in order. */
TEST(end_of_the_owner_against_lock)
{
	EXPLORE(new_mutex_with_owner, mutex_free_or_dead, 0xf, locks_and_ends, locks_or_recovers,
		locks_or_recovers, cancels_first);
	PROVES(B245);
}

/* ------------------------------------------------------------- events and pulses */

static struct coop_event event;

static void new_event(void)
{
	event = (struct coop_event)COOP_EVENT_INIT;
}

static void event_over(void)
{
	struct coop_event_stats s;

	HOLDS(coop_event_stats(&event, &s) == 0 && s.set && s.waiting == 0);
	coop_event_deinit(&event);
}

static int victim_waits(void *arg)
{
	int r = coop_event_wait(&event);

	(void)arg;
	HOLDS(r == COOP_ECANCELED || (r == 0 && coop_event_is_set(&event)));
	saw(r == 0 ? 0 : 1);
	return r;
}

static int waits(void *arg)
{
	(void)arg;
	HOLDS(coop_event_wait(&event) == 0 && coop_event_is_set(&event));
	return 0;
}

static int sets(void *arg)
{
	int r = coop_event_set(&event);

	(void)arg;
	HOLDS(r == 0 || r == 1);
	saw(r == 0 ? 2 : 3);
	return 0;
}

TEST(set_against_cancel_and_set)
{
	EXPLORE(new_event, event_over, 0xf, victim_waits, cancels_first, waits, sets, sets);
	PROVES(B256, B257);
}

/* Completion wins: who was woken keeps that, and the cancellation is met afterwards (A01). */
static int waits_then_checks(void *arg)
{
	int r = coop_event_wait(&event);

	(void)arg;
	if (r == 0) {
		r = coop_checkpoint();
		HOLDS(r == COOP_ECANCELED);
		saw(0);
	} else {
		saw(1);
	}
	return r;
}

static int sets_and_cancels(void *arg)
{
	bool set_first = race_choose(NULL, 2);

	(void)arg;
	if (set_first)
		CHECK_INT(coop_event_set(&event), ==, 0);
	cancel_actor(0);
	if (!set_first)
		CHECK_INT(coop_event_set(&event), ==, 0);
	return 0;
}

TEST(set_and_cancel_in_one_step)
{
	EXPLORE(new_event, event_over, 3, waits_then_checks, sets_and_cancels);
	PROVES(B257);
}

static int waits_for_10_ms(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	(void)arg;
	coop_scope_open(&s, &(struct coop_scope_opts){ .deadline_ns = begin_ns + MS(10),
						       .fail_on_timeout = true });
	r = coop_scope_close(&s, coop_event_wait(&event));
	HOLDS(r == 0 || r == COOP_ETIMEDOUT);
	saw(r == 0 ? 0 : 1);
	coop_error_clear();
	return 0;
}

static int sets_at_10_ms(void *arg)
{
	(void)arg;
	at_10_ms();
	CHECK_INT(coop_event_set(&event), ==, 0);
	return 0;
}

TEST(set_against_timeout)
{
	EXPLORE(new_event, event_over, 3, waits_for_10_ms, sets_at_10_ms, waits);
	PROVES(B257);
}

static struct coop_pulse pulse;

static void new_pulse(void)
{
	pulse = (struct coop_pulse)COOP_PULSE_INIT;
}

/* Takes the pulse and hands it on: there is always one, or one that is on its way. */
static int pass_pulse(int yes, int no)
{
	int r = coop_pulse_wait(&pulse);

	saw(r == 0 ? yes : no);
	if (r < 0)
		return r;
	HOLDS(coop_pulse_send(&pulse) == 0);
	return 0;
}

static int victim_takes_pulse(void *arg)
{
	(void)arg;
	return pass_pulse(0, 1);
}

static int takes_pulse(void *arg)
{
	(void)arg;
	HOLDS(pass_pulse(2, 3) == 0);
	return 0;
}

static int sends_pulse(void *arg)
{
	(void)arg;
	HOLDS(coop_pulse_send(&pulse) == 0);
	return 0;
}

static void pulse_left(void)
{
	struct coop_event_stats s;

	HOLDS(coop_pulse_stats(&pulse, &s) == 0 && s.set && s.waiting == 0);
	coop_pulse_deinit(&pulse);
}

/* A pulse is not eaten by who is being cancelled (A05). */
TEST(pulse_against_cancel)
{
	EXPLORE(new_pulse, pulse_left, 7, victim_takes_pulse, cancels_first, takes_pulse,
		takes_pulse, sends_pulse);
	PROVES(B256);
}

static unsigned woken, waited;

static int waits_for_pulse(void *arg)
{
	(void)arg;
	HOLDS(coop_pulse_wait(&pulse) == 0);
	waited++;
	return 0;
}

/* All who wait, and one more; then as many as are still needed. */
static int sends_all_and_one(void *arg)
{
	int all = coop_pulse_send_all(&pulse);

	(void)arg;
	saw(all);
	HOLDS(all >= 0 && coop_pulse_send(&pulse) == 0);
	for (woken = (unsigned)all + 1; woken < 2; woken++) {
		CHECK_INT(coop_sleep(MS(1)), ==, 0); /* until the first one is taken */
		HOLDS(coop_pulse_send(&pulse) == 0);
	}
	return 0;
}

static void new_pulse_for_two(void)
{
	new_pulse();
	woken = waited = 0;
}

static void pulses_even(void)
{
	struct coop_event_stats s;

	HOLDS(coop_pulse_stats(&pulse, &s) == 0 && s.waiting == 0);
	HOLDS(waited == 2 && woken - waited == s.set);
	coop_pulse_deinit(&pulse);
}

/* What is sent to all who wait does not use up what is sent to the next (A14). */
TEST(pulse_to_all_against_pulse_to_one)
{
	EXPLORE(new_pulse_for_two, pulses_even, 7, waits_for_pulse, waits_for_pulse,
		sends_all_and_one);
	PROVES(B256);
}
