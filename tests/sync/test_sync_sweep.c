/* SPDX-License-Identifier: MIT */
/*
 * A wake and two cancels, in every order, with nothing running in between, for each primitive: what
 * came first decides, whoever was woken has what it waited for, and nothing is left behind.
 */
#include "sync_help.h"

static struct coop_event event;
static struct coop_pulse pulse;
static struct coop_sem sem;
static struct coop_mutex mutex;
static struct coop_rwlock lock;
static struct coop_barrier barrier;
static struct coop_limiter limiter;
static struct coop_future future;
static struct coop_latch latch;

static void fresh(void)
{
	event = (struct coop_event)COOP_EVENT_INIT;
	pulse = (struct coop_pulse)COOP_PULSE_INIT;
	sem = (struct coop_sem)COOP_SEM_INIT_MAX(1, 1);
	mutex = (struct coop_mutex)COOP_MUTEX_INIT;
	lock = (struct coop_rwlock)COOP_RWLOCK_INIT;
	barrier = (struct coop_barrier)COOP_BARRIER_INIT(3);
	limiter = (struct coop_limiter)COOP_LIMITER_INIT(1);
	future = (struct coop_future)COOP_FUTURE_INIT;
	latch = (struct coop_latch)COOP_LATCH_INIT(1);
}

enum { EVENT, PULSE, SEM, MUTEX, READ, WRITE, LIMITER, FUTURE, LATCH, KINDS };

static bool wakes_all(int kind)
{
	return kind == EVENT || kind == FUTURE || kind == LATCH || kind == READ;
}

/* What is waited for: taken by the driver beforehand, where it is something to be taken. */
static int take(int kind)
{
	switch (kind) {
	case EVENT: return coop_event_wait(&event);
	case PULSE: return coop_pulse_wait(&pulse);
	case SEM: return coop_sem_acquire(&sem);
	case MUTEX: return coop_mutex_lock(&mutex);
	case READ: return coop_rwlock_read(&lock);
	case WRITE: return coop_rwlock_write(&lock);
	case LIMITER: return coop_limiter_acquire(&limiter);
	case FUTURE: return coop_future_wait(&future, NULL);
	default: return coop_latch_wait(&latch);
	}
}

static int give(int kind)
{
	switch (kind) {
	case EVENT: return coop_event_set(&event);
	case PULSE: return coop_pulse_send(&pulse);
	case SEM: return coop_sem_release(&sem);
	case MUTEX: return coop_mutex_unlock(&mutex);
	case READ:
	case WRITE: return coop_rwlock_unlock(&lock);
	case LIMITER: return coop_limiter_release(&limiter);
	case FUTURE: return coop_future_set(&future, NULL);
	default: return coop_latch_done(&latch);
	}
}

static int take_it(struct actor *a, int kind)
{
	(void)a;
	return take(kind);
}

static int give_it(struct actor *a, int kind)
{
	(void)a;
	return give(kind);
}

static void hold_first(int kind)
{
	if (kind == SEM || kind == MUTEX || kind == LIMITER)
		CHECK_INT(take(kind), ==, 0);
	if (kind == READ || kind == WRITE)
		CHECK_INT(coop_rwlock_write(&lock), ==, 0);
}

/* What came of it, by the rule: the wake is for who has not been cancelled before. */
static void expect(const int *order, int kind)
{
	bool waits[2] = { true, true };

	for (int i = 0; i < 3; i++) {
		if (order[i] < 2 && waits[order[i]]) {
			expected[order[i]] = COOP_ECANCELED;
			waits[order[i]] = false;
		}
		for (int who = 0; order[i] == 2 && who < 2; who++) {
			if (!waits[who])
				continue;
			expected[who] = 0;
			waits[who] = false;
			if (!wakes_all(kind))
				break;
		}
	}
}

static void play(const int *order, int kind)
{
	fresh();
	hold_first(kind);
	CHECK_INT(ask(0, take_it, kind), ==, BLOCKED);
	CHECK_INT(ask(1, take_it, kind), ==, BLOCKED);
	for (int i = 0; i < 3; i++) {
		if (order[i] == 2)
			CHECK_INT(give(kind), ==, 0);
		else
			stop(order[i]);
	}
	settle();
	expect(order, kind);
	compare_actors(kind * 1000 + order[0] * 100 + order[1] * 10 + order[2]);
	for (int who = 0; who < 2; who++)
		if (actors[who].result == 0 && kind != EVENT && kind != FUTURE && kind != LATCH &&
		    kind != PULSE)
			CHECK_INT(ask(who, give_it, kind), ==, 0);
}

/* Whatever was given is with somebody, or there to be taken. */
static void check_free(int kind, bool taken)
{
	if (kind == PULSE)
		CHECK_INT(coop_pulse_try_wait(&pulse), ==, taken ? -EAGAIN : 0);
	if (kind == SEM)
		CHECK_INT(coop_sem_try_acquire(&sem), ==, 0);
	if (kind == MUTEX) {
		CHECK_INT(coop_mutex_try_lock(&mutex), ==, 0);
		CHECK_INT(coop_mutex_unlock(&mutex), ==, 0);
	}
	if (kind == READ || kind == WRITE) {
		CHECK_INT(coop_rwlock_try_write(&lock), ==, 0);
		CHECK_INT(coop_rwlock_unlock(&lock), ==, 0);
	}
	if (kind == LIMITER) {
		CHECK_INT(coop_limiter_try_acquire(&limiter), ==, 0);
		CHECK_INT(coop_limiter_release(&limiter), ==, 0);
	}
	coop_event_deinit(&event);
	coop_pulse_deinit(&pulse);
	coop_sem_deinit(&sem);
	coop_mutex_deinit(&mutex);
	coop_rwlock_deinit(&lock);
	coop_limiter_deinit(&limiter);
	coop_future_deinit(&future);
	coop_latch_deinit(&latch);
}

static const int orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
				 { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

/* A waiter that is cancelled between being taken out of the queue and running, and all the rest. */
TASK_TEST(rel_A18_a_wake_and_two_cancels_in_every_order)
{
	actors_begin(2);
	for (int kind = 0; kind < KINDS; kind++) {
		for (int i = 0; i < 6; i++) {
			play(orders[i], kind);
			check_free(kind, actors[0].result == 0 || actors[1].result == 0);
		}
	}
	PROVES(B79, B84, B247, B251, B262);
	return actors_end();
}

/* Of a barrier for three the driver is the third: it opens if both are there still. */
static int meet(struct actor *a, int arg)
{
	(void)a;
	(void)arg;
	return coop_barrier_wait(&barrier);
}

TASK_TEST(a_barrier_and_two_cancels_in_every_order)
{
	actors_begin(3);
	for (int i = 0; i < 6; i++) {
		const int *order = orders[i];
		bool opens = order[0] == 2;

		fresh();
		CHECK_INT(ask(0, meet, 0), ==, BLOCKED);
		CHECK_INT(ask(1, meet, 0), ==, BLOCKED);
		for (int k = 0; k < 3; k++) {
			if (order[k] < 2 && actors[order[k]].result == BLOCKED)
				stop(order[k]);
			else if (order[k] == 2)
				tell(2, meet, 0);
			if (order[k] == 2)
				coop_yield();
		}
		settle();
		CHECK_INT(actors[0].result, ==, opens ? 0 : COOP_ECANCELED);
		CHECK_INT(actors[1].result, ==, opens ? 1 : COOP_ECANCELED);
		CHECK_INT(actors[2].result, ==, opens ? 2 : BLOCKED);
		CHECK_INT(coop_barrier_reset(&barrier), ==, opens ? 0 : 1);
		settle();
	}
	PROVES(B258);
	return actors_end();
}

/* ---- a whole program, swept */

struct shared {
	struct coop_mutex mutex;
	struct coop_cond cond;
	struct coop_rwlock lock;
	struct coop_sem sem;
	struct coop_limiter limiter;
	struct coop_borrower key;
	struct coop_barrier barrier;
	struct coop_event event;
	struct coop_pulse pulse;
	struct coop_future future;
	struct coop_once once;
	struct coop_latch latch;
	int inside, readers, writers, permits, flag;
};

static struct shared sh;
static int wrong;

#define MUST(cond) ((cond) ? (void)0 : (void)(wrong = wrong ? wrong : __LINE__))

static int in_mutex(void *arg)
{
	int r = coop_mutex_lock(&sh.mutex);

	(void)arg;
	if (r < 0)
		return r;
	MUST(++sh.inside == 1);
	r = coop_sleep(MS(1));
	MUST(--sh.inside == 0);
	sh.flag++;
	MUST(coop_cond_notify(&sh.cond, 1) >= 0);
	MUST(coop_mutex_unlock(&sh.mutex) == 0);
	return r;
}

static int in_cond(void *arg)
{
	int r = coop_mutex_lock(&sh.mutex);

	(void)arg;
	while (r == 0 && !sh.flag) {
		r = coop_cond_wait(&sh.cond);
		MUST(sh.mutex._owner == coop_self());
		MUST(sh.inside == 0);
	}
	if (sh.mutex._owner == coop_self())
		MUST(coop_mutex_unlock(&sh.mutex) == 0);
	return r;
}

static int in_read(void *arg)
{
	int r = coop_rwlock_read(&sh.lock);

	(void)arg;
	if (r < 0)
		return r;
	sh.readers++;
	MUST(!sh.writers);
	r = coop_sleep(MS(1));
	sh.readers--;
	MUST(coop_rwlock_unlock(&sh.lock) == 0);
	return r;
}

static int in_write(void *arg)
{
	int r = coop_rwlock_write(&sh.lock);

	(void)arg;
	if (r < 0)
		return r;
	MUST(++sh.writers == 1 && !sh.readers);
	r = coop_checkpoint();
	sh.writers--;
	MUST(coop_rwlock_unlock(&sh.lock) == 0);
	return r;
}

static int in_sem(void *arg)
{
	int r = coop_sem_acquire(&sh.sem);

	(void)arg;
	if (r < 0)
		return r;
	MUST(++sh.permits <= 2);
	r = coop_sleep(MS(1));
	sh.permits--;
	MUST(coop_sem_release(&sh.sem) == 0);
	return r;
}

static int in_limiter(void *arg)
{
	int r = arg ? coop_limiter_acquire_for(&sh.limiter, &sh.key)
		    : coop_limiter_acquire(&sh.limiter);

	if (r < 0)
		return r;
	r = coop_sleep(MS(1));
	MUST((arg ? coop_limiter_release_for(&sh.limiter, &sh.key)
		  : coop_limiter_release(&sh.limiter)) == 0);
	return r;
}

static int meets(void *arg)
{
	int r = coop_barrier_wait(&sh.barrier);

	(void)arg;
	return r > 0 ? 0 : r;
}

static int waits_for_all(void *arg)
{
	int r = coop_event_wait(&sh.event);

	(void)arg;
	if (r >= 0)
		r = coop_pulse_wait(&sh.pulse);
	if (r >= 0)
		r = coop_latch_wait(&sh.latch);
	return r;
}

static int sets_all(void *arg)
{
	int r = coop_future_own(&sh.future);

	(void)arg;
	MUST(r == 0);
	r = coop_sleep(MS(2));
	MUST(coop_event_set(&sh.event) == 0);
	MUST(coop_pulse_send(&sh.pulse) >= 0);
	MUST(coop_latch_done(&sh.latch) == 0);
	return r < 0 ? r : coop_future_set(&sh.future, &sh);
}

static int wants_value(void *arg)
{
	void *value = NULL;
	int r = coop_future_wait(&sh.future, &value);

	(void)arg;
	MUST(r != 0 || value == &sh);
	coop_error_clear();
	return r == COOP_EBROKEN ? 0 : r;
}

static int once_work(void *arg)
{
	return coop_sleep(MS((intptr_t)arg));
}

static int wants_once(void *arg)
{
	return coop_once_run(&sh.once, once_work, arg);
}

static coop_fn *const parts[] = { in_mutex, in_cond,     in_mutex,   in_cond,    in_read,
				  in_write, in_read,     in_sem,     in_sem,     in_sem,
				  meets,    in_limiter,  in_limiter, meets,      waits_for_all,
				  sets_all, wants_value, wants_once, wants_once, wants_once };

/* Each part gets a while: where its partner was cancelled it would wait for ever. */
struct part {
	coop_fn *fn;
	void *arg;
};

static int in_time(void *arg)
{
	struct part *p = arg;

	return coop_move_on_after(MS(20), p->fn, p->arg);
}

static void give_up(void)
{
	MUST(!sh.inside && !sh.readers && !sh.writers && !sh.permits);
	MUST(sh.sem._count == 2);
	MUST(!sh.limiter._borrowed && !sh.mutex._owner && !sh.lock._owner && !sh.lock._readers);
	MUST(!sh.once._runner && !sh.future._owner && !sh.barrier._arrived);
	coop_mutex_deinit(&sh.mutex);
	coop_cond_deinit(&sh.cond);
	coop_rwlock_deinit(&sh.lock);
	coop_sem_deinit(&sh.sem);
	coop_limiter_deinit(&sh.limiter);
	coop_barrier_deinit(&sh.barrier);
	coop_event_deinit(&sh.event);
	coop_pulse_deinit(&sh.pulse);
	coop_future_deinit(&sh.future);
	coop_once_deinit(&sh.once);
	coop_latch_deinit(&sh.latch);
}

#define PARTS (sizeof parts / sizeof parts[0])

static int program(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct part part[PARTS];
	int r = 0;

	(void)arg;
	sh = (struct shared){ .mutex = COOP_MUTEX_INIT,
			      .cond = COOP_COND_INIT(&sh.mutex),
			      .lock = COOP_RWLOCK_INIT,
			      .sem = COOP_SEM_INIT_MAX(2, 2),
			      .limiter = COOP_LIMITER_INIT(1),
			      .key = COOP_BORROWER_INIT,
			      .barrier = COOP_BARRIER_INIT(2),
			      .event = COOP_EVENT_INIT,
			      .pulse = COOP_PULSE_INIT,
			      .future = COOP_FUTURE_INIT,
			      .once = COOP_ONCE_INIT,
			      .latch = COOP_LATCH_INIT(1) };
	coop_group_open(&g, NULL);
	for (size_t i = 0; r >= 0 && i < PARTS; i++) {
		part[i] = (struct part){ parts[i], i == 12 || i >= 17 ? MSARG(1) : NULL };
		r = coop_spawn(&g, in_time, &part[i]);
	}
	r = coop_group_join(&g, r);
	give_up();
	return r;
}

static const char *even(int rc, uint64_t n, void *ctx)
{
	static char text[80];
	const int *allowed = ctx;
	int line = wrong;

	wrong = 0;
	if (line) {
		snprintf(text, sizeof text, "line %d", line);
		return text;
	}
	for (; *allowed != 1; allowed++)
		if (rc == *allowed && (n || rc == 0))
			return NULL;
	snprintf(text, sizeof text, "result %d", rc);
	return text;
}

/* Whichever task is cancelled at whichever checkpoint, in several orders: all is given back. */
TEST(cancelled_at_every_checkpoint)
{
	static const int allowed[] = { 0, COOP_ECANCELED, 1 };
	struct coop_run_opts opts = { .clock = COOP_CLOCK_VIRTUAL, .budget = 1 };
	struct coop_sweep sweep = { 0 };
	int seeds = TEST_COUNT(20, 2);

	TEST_SECONDS(120);
	for (int seed = 0; seed < seeds; seed++) {
		opts.seed = (uint64_t)seed;
		if (coop_sweep_cancel(program, NULL, &opts, even, (void *)(uintptr_t)allowed,
				      &sweep) < 0)
			FAIL("seed %d, checkpoint %d: %s", seed, (int)sweep.failed_at, sweep.why);
		CHECK_INT(sweep.injected, >, 30);
	}
	PROVES(B83, B84);
}

/* Nothing here allocates: only spawning and errors do, and their failing changes nothing else. */
TEST(with_every_allocation_failing)
{
	static const int allowed[] = { 0, -ENOMEM, 1 };
	struct coop_sweep sweep = { 0 };

	keep_records(COOP_LOG_ERROR);
	for (int for_ever = 0; for_ever < 2; for_ever++)
		if (coop_sweep_alloc(program, NULL, NULL, for_ever, even,
				     (void *)(uintptr_t)allowed, &sweep) < 0)
			FAIL("allocation %d: %s", (int)sweep.failed_at, sweep.why);
}

/* In every order of what is free. */
TEST(in_many_orders)
{
	static const int allowed[] = { 0, 1 };
	struct coop_sweep sweep = { 0 };

	if (coop_sweep_seeds(program, NULL, NULL, 1, TEST_COUNT(500, 50), even,
			     (void *)(uintptr_t)allowed, &sweep) < 0)
		FAIL("seed %d: %s", (int)sweep.failed_at, sweep.why);
}
