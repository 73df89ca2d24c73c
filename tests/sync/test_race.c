/* SPDX-License-Identifier: MIT */
/*
 * Races: who wins, who is cancelled and waited for, what becomes of values that nobody has
 * and of errors that come late. All on the virtual clock.
 */
#include "compose_help.h"

/* ---- values that own something: each is made once, and then returned or discarded */

static int made, discarded, last_discarded;

static int makes(void *arg)
{
	int r = job(arg);

	made += r >= 0;
	return r;
}

static void throw_away(const struct coop_call *call, int value, void *ctx)
{
	CHECK(call->fn == makes);
	CHECK(ctx == &discarded);
	discarded++;
	last_discarded = value;
}

static const struct coop_race_opts owning = { .discard = throw_away, .discard_ctx = &discarded };
static const struct coop_race_opts owning_log = { .discard = throw_away,
						  .discard_ctx = &discarded,
						  .log_losers = true };

#define JOBS(n) \
	{ \
		{ makes, &jobs[0], NULL }, { makes, &jobs[1], NULL }, \
		{ \
			makes, &jobs[(n) > 2 ? 2 : 1], NULL \
		} \
	}

/* The first success wins; the others are cancelled and waited for; failures before are nothing. */
TASK_TEST(first_success_wins)
{
	struct job jobs[] = { { .ms = 5, .value = -EIO },
			      { .ms = 20, .value = 7 },
			      { .ms = 90, .cleanup_ms = 15 } };
	struct coop_call calls[] = JOBS(3);
	size_t winner = 99;

	CHECK_INT(coop_race(calls, 3, &owning, &winner), ==, 7);
	CHECK_INT(winner, ==, 1);
	CHECK_INT(now_ms(), ==, 35);
	CHECK_INT(jobs[2].ended_ms, ==, 35);
	CHECK(jobs[2].cancelled);
	CHECK_INT(discarded, ==, 0);
	CHECK_INT(coop_checkpoint(), ==, 0); /* the cancel of the others is over */
	PROVES(B168);
	return 0;
}

/* The first end decides: a failure as well as a success. */
TASK_TEST(first_end_decides)
{
	struct job jobs[] = { { .ms = 5, .value = -EIO }, { .ms = 20, .value = 7 }, { .ms = 90 } };
	struct coop_call calls[] = JOBS(3);
	size_t winner = 99;

	CHECK_INT(coop_race_first(calls, 3, NULL, &winner), ==, -EIO);
	CHECK_INT(winner, ==, 99);
	CHECK_INT(now_ms(), ==, 5);
	CHECK(jobs[1].cancelled && jobs[2].cancelled);
	coop_error_clear();
	CHECK_INT(coop_race_first(calls + 1, 2, NULL, &winner), ==, 7);
	CHECK_INT(winner, ==, 0);
	CHECK_INT(now_ms(), ==, 25);
	PROVES(B168);
	return 0;
}

/* When all fail, the error holds them all, in order of time. */
TASK_TEST(all_fail)
{
	struct job jobs[] = { { .ms = 20, .value = -EIO },
			      { .ms = 10, .value = -EPIPE },
			      { .ms = 30, .value = -EPROTO } };
	struct coop_call calls[] = JOBS(3);
	struct coop_error_info info;
	const struct coop_error *e;
	int r;

	r = coop_race(calls, 3, &owning, NULL);
	CHECK_INT(r, ==, -EPIPE);
	CHECK_INT(now_ms(), ==, 30);
	e = coop_error_peek(r);
	coop_error_describe(e, &info);
	CHECK_INT(info.members, ==, 3);
	CHECK_INT(coop_error_code(coop_error_member(e, 1)), ==, -EIO);
	CHECK_INT(coop_error_code(coop_error_member(e, 2)), ==, -EPROTO);
	PROVES(B169);
	return 0;
}

/* Of two that succeed in one instant one wins, and the other's value goes to the destructor. */
TASK_TEST(rel_A24_two_in_one_instant)
{
	struct job jobs[] = { { .ms = 10, .value = 1 },
			      { .ms = 10, .value = 2 },
			      { .ms = 10, .value = 3 } };
	struct coop_call calls[] = JOBS(3);
	size_t winner;

	CHECK_INT(coop_race(calls, 3, &owning, &winner), ==, 1);
	CHECK_INT(winner, ==, 0);
	CHECK_INT(discarded, ==, 2);
	CHECK_INT(last_discarded, ==, 3);
	CHECK_INT(coop_race_first(calls, 3, &owning, &winner), ==, 1);
	CHECK_INT(discarded, ==, 4);
	PROVES(B170);
	PROVES(rel_A24);
	return 0;
}

static void slow_discard(const struct coop_call *call, int value, void *ctx)
{
	(void)call;
	(void)value;
	CHECK_INT(coop_checkpoint(), ==, COOP_ECANCELED);
	CHECK_INT(coop_shield(sleep_ms, MSARG(25)), ==, 0);
	*(int64_t *)ctx = now_ms();
}

/* The destructor runs in the loser's task: it may wait, and the race waits for it. */
TASK_TEST(destructor_may_wait)
{
	struct job jobs[] = { { .ms = 10, .value = 1 }, { .ms = 10, .value = 2 } };
	struct coop_call calls[] = { { job, &jobs[0], NULL }, { job, &jobs[1], NULL } };
	int64_t thrown_ms = 0;

	CHECK_INT(coop_race(calls, 2,
			    &(struct coop_race_opts){ .discard = slow_discard,
						      .discard_ctx = &thrown_ms },
			    NULL),
		  ==, 1);
	CHECK_INT(thrown_ms, ==, 35);
	CHECK_INT(now_ms(), ==, 35);
	return 0;
}

/* A loser whose clean-up brings a value in spite of the cancel: that one, too. */
TASK_TEST(value_after_the_decision)
{
	struct job jobs[] = { { .ms = 10, .value = 1 }, { .ms = 90, .cleanup_ms = 5, .late = 9 } };
	struct coop_call calls[] = JOBS(2);

	CHECK_INT(coop_race(calls, 2, &owning, NULL), ==, 1);
	CHECK_INT(discarded, ==, 1);
	CHECK_INT(last_discarded, ==, 9);
	PROVES(rel_A10);
	return 0;
}

/* A quorum of one with slots returns all values there are, and throws nothing away. */
TASK_TEST(all_values_that_were_completed)
{
	struct job jobs[] = { { .ms = 10, .value = 1 },
			      { .ms = 20, .value = 2 },
			      { .ms = 10, .value = 3 } };
	struct coop_call calls[] = JOBS(3);
	struct coop_slot slots[3];

	CHECK_INT(coop_quorum(calls, 3, 1, &owning, slots), ==, 0);
	CHECK_INT(now_ms(), ==, 10);
	CHECK_INT(slots[0].rc, ==, 1);
	CHECK_INT(slots[1].state, ==, COOP_TASK_CANCELLED);
	CHECK_INT(slots[2].rc, ==, 3);
	CHECK_INT(slots[2].state, ==, COOP_TASK_FINISHED);
	CHECK_INT(discarded, ==, 0);
	PROVES(B171);
	return 0;
}

/* ---- cancelled from outside */

struct arms {
	struct job *jobs;
	bool first_end;
};

static int race_two(void *arg)
{
	struct arms *a = arg;
	struct job *jobs = a->jobs;
	struct coop_call calls[] = JOBS(2);

	return a->first_end ? coop_race_first(calls, 2, &owning, NULL)
			    : coop_race(calls, 2, &owning, NULL);
}

/* A cancel from outside reaches all arms, and the race is cancelled. */
TASK_TEST(cancelled_from_outside)
{
	for (int first_end = 0; first_end < 2; first_end++) {
		struct job jobs[] = { { .ms = 90, .cleanup_ms = 10 }, { .ms = 90 } };
		struct arms a = { jobs, first_end };
		int64_t begin_ms = now_ms();

		CHECK_INT(cancelled_after(10, race_two, &a), ==, COOP_ECANCELED);
		CHECK_INT(now_ms() - begin_ms, ==, 20);
		CHECK(jobs[0].cancelled && jobs[1].cancelled);
	}
	CHECK_INT(made, ==, 0);
	PROVES(B172);
	return 0;
}

static int race_and_look(void *arg)
{
	int r = race_two(arg);

	CHECK_INT(coop_checkpoint(), ==, COOP_ECANCELED); /* the cancel has not been lost */
	return r;
}

/* An arm that succeeds in spite of the cancel has won: its value is returned, the cancel stays. */
TASK_TEST(won_before_the_cancel)
{
	struct job jobs[] = { { .ms = 90, .late = 4 }, { .ms = 90, .cleanup_ms = 10 } };
	struct job same[] = { { .ms = 10, .value = 5 }, { .ms = 90 } };
	struct arms late = { jobs, false }, instant = { same, true };

	CHECK_INT(cancelled_after(10, race_and_look, &late), ==, 4);
	CHECK_INT(now_ms(), ==, 20);
	CHECK_INT(cancelled_after(10, race_and_look, &instant), ==, 5);
	CHECK_INT(discarded, ==, 0);
	PROVES(B172);
	return 0;
}

/* ---- losers that fail */

/* A loser that fails in its clean-up is told of, and the winner's value is not lost. */
TASK_TEST(loser_fails_in_its_clean_up)
{
	struct job jobs[] = { { .ms = 5, .value = -EPIPE },
			      { .ms = 10, .value = 1 },
			      { .ms = 90, .cleanup_ms = 5, .late = -EIO } };
	struct coop_call calls[] = JOBS(3);
	struct coop_error_info info;
	size_t winner = 99;
	int r;

	r = coop_race(calls, 3, &owning, &winner);
	CHECK_INT(r, ==, -EIO);
	coop_error_describe(coop_error_peek(r), &info);
	CHECK_INT(info.members, ==, 1); /* what had failed before the win is forgotten */
	CHECK_INT(winner, ==, 99);
	CHECK_INT(discarded, ==, 1);
	CHECK_INT(last_discarded, ==, 1);
	coop_error_clear();
	PROVES(B173);
	return 0;
}

/* If asked to, that failure only goes to the log. */
TASK_TEST(loser_fails_into_the_log)
{
	struct job jobs[] = { { .ms = 10, .value = 1 }, { .ms = 90, .late = -EIO } };
	struct coop_call calls[] = JOBS(2);

	keep_records(COOP_LOG_WARN);
	CHECK_INT(coop_race(calls, 2, &owning_log, NULL), ==, 1);
	CHECK_INT(discarded, ==, 0);
	CHECK_INT(records_count, ==, 1);
	CHECK_HAS(records, "failed in the clean-up");
	PROVES(B173);
	return 0;
}

/* A failure of the fatal class ends a race, even if somebody succeeds afterwards. */
TASK_TEST(fatal_failure)
{
	struct job jobs[] = { { .ms = 5, .value = COOP_EINTERNAL }, { .ms = 10, .late = 3 } };
	struct coop_call calls[] = JOBS(2);

	CHECK_INT(coop_race(calls, 2, &owning, NULL), ==, COOP_EINTERNAL);
	CHECK_INT(now_ms(), ==, 5);
	CHECK_INT(discarded, ==, 1);
	coop_error_clear();
	return 0;
}

/* Where the first end decides and has failed, a value that comes later is given up. */
TASK_TEST(value_after_a_deciding_failure)
{
	struct job jobs[] = { { .ms = 5, .value = -EIO }, { .ms = 90, .late = 3 } };
	struct coop_call calls[] = JOBS(2);

	CHECK_INT(coop_race_first(calls, 2, &owning, NULL), ==, -EIO);
	CHECK_INT(discarded, ==, 1);
	coop_error_clear();
	return 0;
}

/* When each was cancelled alone, nobody has won and nobody has failed. */
TASK_TEST(all_cancelled_alone)
{
	struct coop_call calls[] = { { cancelled_alone, MSARG(5), NULL },
				     { cancelled_alone, MSARG(9), NULL } };

	CHECK_INT(coop_race(calls, 2, NULL, NULL), ==, COOP_ETASKCANCELLED);
	CHECK_INT(coop_race_first(calls, 2, NULL, NULL), ==, COOP_ETASKCANCELLED);
	CHECK_INT(coop_checkpoint(), ==, 0);
	return 0;
}

/* ---- quorum */

/* As soon as enough have succeeded the rest is cancelled. */
TASK_TEST(quorum_reached)
{
	struct job jobs[] = { { .ms = 10, .value = 1 },
			      { .ms = 20, .value = -EIO },
			      { .ms = 30, .value = 3 },
			      { .ms = 90 } };
	struct coop_call calls[] = { { job, &jobs[0], NULL },
				     { job, &jobs[1], NULL },
				     { job, &jobs[2], NULL },
				     { job, &jobs[3], NULL } };
	struct coop_slot slots[4];

	CHECK_INT(coop_quorum(calls, 4, 2, NULL, slots), ==, 0);
	CHECK_INT(now_ms(), ==, 30);
	CHECK_INT(slots[0].rc, ==, 1);
	CHECK_INT(slots[1].rc, ==, -EIO);
	CHECK_INT(slots[2].rc, ==, 3);
	CHECK(jobs[3].cancelled);
	slots[1].err = coop_error_unref(slots[1].err);
	PROVES(B175);
	return 0;
}

/* As soon as too few are left the rest is cancelled, and the failures are told. */
TASK_TEST(quorum_out_of_reach)
{
	struct job jobs[] = { { .ms = 10, .value = 1 },
			      { .ms = 20, .value = -EIO },
			      { .ms = 30, .value = -EPIPE },
			      { .ms = 90 } };
	struct coop_call calls[] = { { job, &jobs[0], NULL },
				     { job, &jobs[1], NULL },
				     { job, &jobs[2], NULL },
				     { job, &jobs[3], NULL } };
	struct coop_slot slots[4];

	CHECK_INT(coop_quorum(calls, 4, 3, NULL, slots), ==, -EIO);
	CHECK_INT(now_ms(), ==, 30);
	CHECK(jobs[3].cancelled);
	CHECK_INT(slots[0].rc, ==, 1); /* the caller's in any case */
	for (int i = 0; i < 4; i++)
		slots[i].err = coop_error_unref(slots[i].err);
	coop_error_clear();
	PROVES(B175);
	return 0;
}

/* ---- one by one */

/* The next one starts when the one before has failed, or after the delay. */
TASK_TEST(staggered)
{
	struct job jobs[] = { { .ms = 90, .value = 1 },
			      { .ms = 5, .value = -EIO },
			      { .ms = 22, .value = 3 },
			      { .ms = 9, .value = 4 } };
	struct coop_call calls[] = { { job, &jobs[0], NULL },
				     { job, &jobs[1], NULL },
				     { job, &jobs[2], NULL },
				     { job, &jobs[3], NULL } };
	size_t winner;

	CHECK_INT(coop_staggered_race(calls, 4, MS(20), NULL, &winner), ==, 3);
	CHECK_INT(jobs[1].began_ms, ==, 20);
	CHECK_INT(jobs[2].began_ms, ==, 25); /* at once after the failure */
	CHECK_INT(jobs[3].began_ms, ==, 45);
	CHECK_INT(now_ms(), ==, 47);
	CHECK_INT(winner, ==, 2);
	CHECK(jobs[0].cancelled && jobs[3].cancelled);
	PROVES(B176);
	return 0;
}

/* A win stops the starting; an older one that fails does not hurry it. */
TASK_TEST(staggered_only_as_far_as_needed)
{
	struct job jobs[] = { { .ms = 25, .value = -EIO }, { .ms = 15, .value = 2 }, { .ms = 1 } };
	struct coop_call calls[] = JOBS(3);

	CHECK_INT(coop_staggered_race(calls, 3, MS(20), NULL, NULL), ==, 2);
	CHECK_INT(now_ms(), ==, 35);
	CHECK_INT(jobs[2].runs, ==, 0);
	PROVES(B176);
	return 0;
}

/* Never: only after a failure. Nothing: all at once. */
TASK_TEST(staggered_delays)
{
	struct job jobs[] = { { .ms = 50, .value = -EIO }, { .ms = 10, .value = 2 } };
	struct coop_call calls[] = JOBS(2);

	CHECK_INT(coop_staggered_race(calls, 2, COOP_NEVER, NULL, NULL), ==, 2);
	CHECK_INT(jobs[1].began_ms, ==, 50);
	CHECK_INT(now_ms(), ==, 60);
	CHECK_INT(coop_staggered_race(calls, 2, 0, NULL, NULL), ==, 2);
	CHECK_INT(jobs[1].began_ms, ==, 60);
	CHECK_INT(now_ms(), ==, 70);
	return 0;
}

/* All fail: the error holds them all. One alone is a call. */
TASK_TEST(staggered_all_fail)
{
	struct job jobs[] = { { .ms = 5, .value = -EIO }, { .ms = 5, .value = -EPIPE } };
	struct coop_call calls[] = JOBS(2);
	struct coop_error_info info;

	CHECK_INT(coop_staggered_race(calls, 2, MS(100), NULL, NULL), ==, -EIO);
	coop_error_describe(coop_error_peek(-EIO), &info);
	CHECK_INT(info.members, ==, 2);
	CHECK_INT(now_ms(), ==, 10);
	coop_error_clear();
	CHECK_INT(coop_staggered_race(calls, 1, MS(100), NULL, NULL), ==, -EIO);
	coop_error_clear();
	return 0;
}

static int staggered_two(void *arg)
{
	struct job *jobs = arg;
	struct coop_call calls[] = JOBS(2);

	return coop_staggered_race(calls, 2, MS(20), &owning, NULL);
}

/* Cancelled while it waits to start the next one: the running one is cancelled, no other starts. */
TASK_TEST(staggered_cancelled)
{
	struct job jobs[] = { { .ms = 90, .cleanup_ms = 30 }, { .ms = 1 } };

	CHECK_INT(cancelled_after(10, staggered_two, jobs), ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 40);
	CHECK_INT(jobs[1].runs, ==, 0);
	PROVES(B176);
	return 0;
}

struct flaky {
	int attempts;
	int good; /* the number of the attempt that answers */
	char names[80];
};

static int asks(void *arg)
{
	struct flaky *f = arg;
	int me = f->attempts++;
	int r;

	snprintf(f->names + strlen(f->names), 40, "%s ", coop_name());
	r = coop_sleep(me == f->good ? MS(5) : COOP_NEVER);
	return r < 0 ? r : 100 + me;
}

/* A hedged call is made again after the delay, and the first answer counts. */
TASK_TEST(hedged)
{
	struct flaky f = { .good = 2 };
	struct coop_call call = { asks, &f, NULL };
	size_t attempt = 99;

	CHECK_INT(coop_hedge(&call, 5, MS(10), NULL, &attempt), ==, 102);
	CHECK_INT(attempt, ==, 2);
	CHECK_INT(f.attempts, ==, 3);
	CHECK_INT(now_ms(), ==, 25);
	CHECK_STR(f.names, "attempt 0 attempt 1 attempt 2 ");
	return 0;
}

/* ---- bad input */

/* Bad arguments are refused before anything is called. */
TASK_TEST(bad_input)
{
	struct job jobs[] = { { .ms = 1 }, { .ms = 1 } };
	struct coop_call calls[] = JOBS(2);
	struct coop_call hole[] = { calls[0], { NULL, NULL, NULL } };
	struct coop_race_opts odd = { ._reserved = { 1 } };
	struct coop_slot slots[2];
	size_t w = 99;

	CHECK_INT(coop_race(calls, 0, NULL, &w), ==, -EINVAL);
	CHECK_INT(coop_race(NULL, 2, NULL, &w), ==, -EINVAL);
	CHECK_INT(coop_race(hole, 2, NULL, &w), ==, -EINVAL);
	CHECK_INT(coop_race(calls, 2, &odd, &w), ==, -EINVAL);
	CHECK_INT(coop_race_first(hole, 2, NULL, &w), ==, -EINVAL);
	CHECK_INT(coop_quorum(calls, 2, 0, NULL, slots), ==, -EINVAL);
	CHECK_INT(coop_quorum(calls, 2, 3, NULL, slots), ==, -EINVAL);
	CHECK_INT(coop_quorum(calls, 2, 1, NULL, NULL), ==, -EINVAL);
	CHECK_INT(coop_staggered_race(calls, 2, -1, NULL, &w), ==, -EINVAL);
	CHECK_INT(coop_staggered_race(hole, 2, 1, NULL, &w), ==, -EINVAL);
	CHECK_INT(coop_hedge(calls, 0, 1, NULL, &w), ==, -EINVAL);
	CHECK_INT(coop_hedge(NULL, 2, 1, NULL, &w), ==, -EINVAL);
	CHECK_INT(coop_hedge(&hole[1], 2, 1, NULL, &w), ==, -EINVAL);
	CHECK_INT(jobs[0].runs + jobs[1].runs, ==, 0);
	CHECK_INT(w, ==, 99);
	return 0;
}

/* Outside of a run there is nobody to wait. */
TEST(outside_of_tasks)
{
	struct coop_call call = { returns_0, NULL, NULL };

	CHECK_INT(coop_race(&call, 1, NULL, NULL), ==, COOP_ENOTASK);
	CHECK_INT(coop_hedge(&call, 1, 0, NULL, NULL), ==, COOP_ENOTASK);
}

/* ---- sweeps: each value that was made is returned or thrown away, once */

static int returned;

static int count_returned(int r)
{
	returned += r >= 0;
	return r == -EIO ? 0 : r;
}

static int races(void *arg)
{
	struct job jobs[] = { { .ms = 2, .value = 1, .late = 4 },
			      { .ms = 2, .value = 2 },
			      { .ms = 3, .cleanup_ms = 1 } };
	struct coop_call calls[] = JOBS(3);
	struct job other[] = { { .ms = 3, .value = -EIO },
			       { .ms = 2, .value = -EIO },
			       { .ms = 1, .value = -EIO, .late = -EIO } };
	struct coop_call failing[] = { { makes, &other[0], NULL },
				       { makes, &other[1], NULL },
				       { makes, &other[2], NULL } };
	int r;

	(void)arg;
	begin_ns = coop_now();
	made = discarded = returned = 0;
	r = count_returned(coop_race(calls, 3, &owning, NULL));
	if (r >= 0)
		r = count_returned(coop_race_first(calls, 3, &owning, NULL));
	if (r >= 0)
		r = count_returned(coop_staggered_race(calls, 3, MS(1), &owning, NULL));
	if (r >= 0)
		r = count_returned(coop_hedge(&calls[0], 3, MS(1), &owning, NULL));
	if (r >= 0)
		r = count_returned(coop_race(failing, 3, &owning, NULL));
	if (r >= 0)
		r = count_returned(coop_staggered_race(failing, 3, MS(1), &owning, NULL));
	coop_error_clear();
	return r < 0 ? r : 0;
}

static const char *even_too(int rc, uint64_t n, void *ctx)
{
	static char text[100];

	if (made != returned + discarded) {
		snprintf(text, sizeof text, "%d made, %d returned, %d thrown away", made, returned,
			 discarded);
		return text;
	}
	return one_of(rc, n, ctx);
}

/* Cancelled at each checkpoint, refused each allocation, in many orders. */
TEST(swept)
{
	static const int cancelled[] = { 0, COOP_ECANCELED, COOP_ETASKCANCELLED, 1 };
	static const int starved[] = { 0, -ENOMEM, 1 };

	sweep_with(races, even_too, cancelled, starved, 20);
}
