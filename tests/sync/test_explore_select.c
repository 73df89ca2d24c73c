/* SPDX-License-Identifier: MIT */
/*
 * Races of a select, in every order: whatever comes at one instant, one case is chosen, and of
 * the others nothing has happened. See test_explore.c.
 */
#include "explore.h"

static struct coop_chan *left, *right;
static int received[4], sent_rc[4]; /* values 0 to 3; 1: was not sent */

static void open_both(void)
{
	for (int i = 0; i < 4; i++) {
		received[i] = 0;
		sent_rc[i] = 1;
	}
	CHECK_INT(coop_chan_new(sizeof(int), NULL, &left), ==, 0);
	CHECK_INT(coop_chan_new(sizeof(int), NULL, &right), ==, 0);
}

static void close_both(void)
{
	struct coop_chan_stats s;

	coop_chan_stats(left, &s);
	HOLDS(s.senders == 0 && s.receivers == 0 && s.used == 0);
	coop_chan_stats(right, &s);
	HOLDS(s.senders == 0 && s.receivers == 0 && s.used == 0);
	left = coop_chan_free(left);
	right = coop_chan_free(right);
	for (int i = 0; i < 4; i++)
		HOLDS(received[i] == (sent_rc[i] == 0));
}

static int cancels_first(void *arg)
{
	(void)arg;
	cancel_actor(0);
	return 0;
}

static int receives_either(void *arg)
{
	int a = -1, b = -1, r;
	struct coop_case cases[] = { coop_case_recv(left, &a), coop_case_recv(right, &b) };

	(void)arg;
	r = coop_select(cases, 2, NULL);
	HOLDS(r == COOP_ECANCELED || r == 0 || r == 1);
	HOLDS((a >= 0) == (r == 0 && cases[0].rc == 0));
	HOLDS((b >= 0) == (r == 1 && cases[1].rc == 0));
	if (a >= 0)
		received[a]++;
	if (b >= 0)
		received[b]++;
	saw(r < 0 ? 2 : r);
	return r < 0 ? r : 0;
}

static int send_to(struct coop_chan *chan, int value)
{
	int r = coop_chan_send(chan, &value);

	sent_rc[value] = r;
	HOLDS(r == 0 || r == COOP_ECLOSED);
	return 0;
}

static int sends_left(void *arg)
{
	(void)arg;
	return send_to(left, 0);
}

static int sends_right(void *arg)
{
	(void)arg;
	return send_to(right, 1);
}

/* What nobody has taken goes when everything has come to rest. */
static int closes_at_last(void *arg)
{
	(void)arg;
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_chan_close_send(left);
	coop_chan_close_send(right);
	return 0;
}

/* Two values at once, and a cancel: one is received, or none; the other is still its sender's. */
TEST(select_of_two_receives_against_cancel)
{
	EXPLORE(open_both, close_both, 7, receives_either, cancels_first, sends_left, sends_right,
		closes_at_last);
	PROVES(B174);
}

static int sends_either(void *arg)
{
	int zero = 0, one = 1, r;
	struct coop_case cases[] = { coop_case_send(left, &zero), coop_case_send(right, &one) };

	(void)arg;
	r = coop_select(cases, 2, &(struct coop_select_opts){ .fair = true });
	HOLDS(r == COOP_ECANCELED || r == 0 || r == 1);
	if (r >= 0)
		sent_rc[r] = cases[r].rc;
	saw(r < 0 ? 2 : r);
	return r < 0 ? r : 0;
}

static int receive_from(struct coop_chan *chan)
{
	int value = -1, r = coop_chan_recv(chan, &value);

	HOLDS(r == 0 || r == COOP_EOF);
	if (r == 0)
		received[value]++;
	return 0;
}

static int receives_left(void *arg)
{
	(void)arg;
	return receive_from(left);
}

static int receives_right(void *arg)
{
	(void)arg;
	return receive_from(right);
}

/* Two receivers at once: one value is sent, to one of them. */
TEST(select_of_two_sends_against_cancel)
{
	EXPLORE(open_both, close_both, 7, sends_either, cancels_first, receives_left,
		receives_right, closes_at_last);
	PROVES(B174);
}

/* A select on both sides: they meet once, or not at all. */
static int receives_either_too(void *arg)
{
	int a = -1, b = -1, r;
	struct coop_case cases[] = { coop_case_recv(right, &b), coop_case_recv(left, &a) };

	(void)arg;
	r = coop_select(cases, 2, NULL);
	HOLDS(r == 0 || r == 1);
	HOLDS((a >= 0) == (r == 1 && cases[1].rc == 0));
	HOLDS((b >= 0) == (r == 0 && cases[0].rc == 0));
	if (a >= 0)
		received[a]++;
	if (b >= 0)
		received[b]++;
	return 0;
}

TEST(select_against_select)
{
	EXPLORE(open_both, close_both, 7, sends_either, cancels_first, receives_either_too,
		closes_at_last);
	PROVES(B174);
}

static int receives_for_10_ms(void *arg)
{
	int a = -1, r;
	struct coop_case cases[] = { coop_case_recv(left, &a),
				     coop_case_deadline(begin_ns + MS(10)) };

	(void)arg;
	r = coop_select(cases, 2, NULL);
	HOLDS((a >= 0) == (r == 0 && cases[0].rc == 0));
	if (a >= 0)
		received[a]++;
	saw(r < 0 ? 2 : r);
	return r < 0 ? r : 0;
}

static int sends_at_10_ms(void *arg)
{
	if (race_choose(NULL, 2))
		CHECK_INT(coop_test_clock_jump(MS(10)), ==, 0);
	else
		CHECK_INT(coop_sleep(MS(10)), ==, 0);
	return sends_left(arg);
}

static int closes_later(void *arg)
{
	CHECK_INT(coop_sleep(MS(20)), ==, 0);
	return closes_at_last(arg);
}

static int cancels_at_10_ms(void *arg)
{
	CHECK_INT(coop_sleep(MS(10)), ==, 0);
	return cancels_first(arg);
}

/* The value, the deadline and a cancel at one instant. */
TEST(select_of_a_receive_and_a_deadline_against_cancel)
{
	EXPLORE(open_both, close_both, 7, receives_for_10_ms, cancels_at_10_ms, sends_at_10_ms,
		closes_later);
	PROVES(B174);
}

/* ------------------------------------------------------------ permits and pulses */

static struct coop_sem sem;
static struct coop_pulse pulse;

static void new_both(void)
{
	sem = (struct coop_sem)COOP_SEM_INIT(0);
	pulse = (struct coop_pulse)COOP_PULSE_INIT;
}

/* One of each, whoever had them in between. */
static void one_of_each(void)
{
	struct coop_sem_stats permits;
	struct coop_event_stats pulses;

	HOLDS(coop_sem_stats(&sem, &permits) == 0 && permits.count == 1 && permits.waiting == 0);
	HOLDS(coop_pulse_stats(&pulse, &pulses) == 0 && pulses.set && pulses.waiting == 0);
	coop_sem_deinit(&sem);
	coop_pulse_deinit(&pulse);
}

static int takes_either(void *arg)
{
	struct coop_case cases[] = { coop_case_sem(&sem), coop_case_pulse(&pulse) };
	int r = coop_select(cases, 2, NULL);

	(void)arg;
	HOLDS(r == COOP_ECANCELED || ((r == 0 || r == 1) && cases[r].rc == 0));
	saw(r < 0 ? 2 : r);
	if (r == 0)
		HOLDS(coop_sem_release(&sem) == 0);
	if (r == 1)
		HOLDS(coop_pulse_send(&pulse) == 0);
	return r < 0 ? r : 0;
}

static int gives_both(void *arg)
{
	bool pulse_first = race_choose(NULL, 2);

	(void)arg;
	if (pulse_first)
		HOLDS(coop_pulse_send(&pulse) == 0);
	HOLDS(coop_sem_release(&sem) == 0);
	if (!pulse_first)
		HOLDS(coop_pulse_send(&pulse) == 0);
	return 0;
}

static int takes_permit(void *arg)
{
	(void)arg;
	HOLDS(coop_sem_acquire(&sem) == 0);
	HOLDS(coop_sem_release(&sem) == 0);
	return 0;
}

static int takes_pulse(void *arg)
{
	(void)arg;
	HOLDS(coop_pulse_wait(&pulse) == 0);
	HOLDS(coop_pulse_send(&pulse) == 0);
	return 0;
}

/* A permit and a pulse at one instant, and a cancel: one is taken, or none, never both. */
TEST(select_of_a_permit_and_a_pulse_against_cancel)
{
	EXPLORE(new_both, one_of_each, 7, takes_either, cancels_first, gives_both, takes_permit,
		takes_pulse);
	PROVES(B174);
}
