/* SPDX-License-Identifier: MIT */
/*
 * Values as people write them: durations, signals, ladders, exit statuses, limits.
 */
#include "test.h"
#include "text.h"
#include "utf8.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t duration(const char *text)
{
	int64_t ns = -1;
	const char *wrong = text_duration(text, &ns);

	if (wrong)
		FAIL("'%s' %s", text, wrong);
	return ns;
}

static const char *no_duration(const char *text)
{
	int64_t ns = -7;
	const char *wrong = text_duration(text, &ns);

	if (!wrong)
		FAIL("'%s' was taken", text);
	CHECK_INT(ns, ==, -7);
	return wrong;
}

/* Units, sums of them, decimals. */
TEST(durations_as_people_write_them)
{
	CHECK_INT(duration("500ms"), ==, COOP_MILLISECONDS(500));
	CHECK_INT(duration("1.5s"), ==, COOP_MILLISECONDS(1500));
	CHECK_INT(duration("1m30s"), ==, COOP_SECONDS(90));
	CHECK_INT(duration("2h"), ==, COOP_SECONDS(7200));
	CHECK_INT(duration("1d2h3m4s5ms6us7ns"), ==, COOP_SECONDS(93784) + 5006007);
	CHECK_INT(duration("10us"), ==, 10000);
	CHECK_INT(duration("10\xc2\xb5s"), ==, 10000);
	CHECK_INT(duration("0"), ==, 0);
	CHECK_INT(duration("0s"), ==, 0);
	CHECK_INT(duration("0.000000001s"), ==, 1);
	CHECK_INT(duration("0.123456789123s"), ==, 123456789);
	CHECK_INT(duration("0.5d"), ==, COOP_SECONDS(43200));
	CHECK_INT(duration("1.999999999d"), ==, 2 * COOP_SECONDS(86400) - 86400);
	CHECK_INT(duration("106751d"), ==, 106751 * COOP_SECONDS(86400));
}

/* Each mistake has its reason, and nothing is written. */
TEST(what_is_no_duration)
{
	CHECK_HAS(no_duration("5"), "no unit");
	CHECK_HAS(no_duration("5x"), "unit that is none");
	CHECK_HAS(no_duration("5S"), "unit that is none");
	CHECK_HAS(no_duration(""), "not a duration");
	CHECK_HAS(no_duration("s"), "not a duration");
	CHECK_HAS(no_duration("-5s"), "not a duration");
	CHECK_HAS(no_duration("5 s"), "unit that is none");
	CHECK_HAS(no_duration("5s "), "not a duration");
	CHECK_HAS(no_duration(".5s"), "not a duration");
	CHECK_HAS(no_duration("5.s"), "not a duration");
	CHECK_HAS(no_duration("1.5.5s"), "unit that is none");
	CHECK_HAS(no_duration("1s1m"), "wrong order");
	CHECK_HAS(no_duration("1s1s"), "wrong order");
	CHECK_HAS(no_duration("1m30"), "no unit");
	CHECK_HAS(no_duration("99999999999999999999s"), "too long");
	CHECK_HAS(no_duration("106752d"), "too long");
	CHECK_HAS(no_duration("106751d23h47m16.9s"), "too long");
	CHECK_HAS(no_duration("1e9s"), "unit that is none");
}

/* What is written is read back as the same time. */
TEST(durations_are_written_as_they_are_read)
{
	static const struct {
		int64_t ns;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ COOP_NEVER, "never" },
		{ 7, "7ns" },
		{ COOP_MILLISECONDS(500), "500ms" },
		{ COOP_MILLISECONDS(1500), "1.5s" },
		{ COOP_SECONDS(90), "1m30s" },
		{ COOP_SECONDS(60), "1m" },
		{ COOP_SECONDS(3600), "1h" },
		{ COOP_SECONDS(90061), "1d1h1m1s" },
		{ COOP_SECONDS(60) + COOP_MILLISECONDS(5), "1m0.005s" },
		{ 1500000, "1.5ms" },
		{ COOP_SECONDS(86400) + 4, "1d4ns" },
	};
	char buf[TEXT_DURATION_SIZE];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		CHECK_STR(text_of_duration(cases[i].ns, buf), cases[i].text);
		if (cases[i].ns != COOP_NEVER)
			CHECK_INT(duration(buf), ==, cases[i].ns);
	}
}

/* The longest there is fits into the buffer. */
TEST(the_longest_duration_fits)
{
	char buf[TEXT_DURATION_SIZE];

	CHECK_HAS(text_of_duration(COOP_NEVER - 1, buf), "106751d23h47m16.8");
	CHECK_INT(strlen(buf), <, sizeof buf - 1);
}

/* A time of day is today's or tomorrow's, a date has to come. */
TEST(deadlines_are_times_or_durations)
{
	int64_t ns, now;

	setenv("TZ", "UTC", 1);
	tzset();
	now = 1795690800; /* 2026-11-26 11:00:00 */
	CHECK(!text_deadline("10m", now, &ns));
	CHECK_INT(ns, ==, COOP_SECONDS(600));
	CHECK(!text_deadline("13:30", now + 7200, &ns));
	CHECK_INT(ns, ==, COOP_SECONDS(1800));
	CHECK(!text_deadline("13:00", now + 7200, &ns));
	CHECK_INT(ns, ==, COOP_SECONDS(86400));
	CHECK(!text_deadline("13:00:05", now + 7200, &ns));
	CHECK_INT(ns, ==, COOP_SECONDS(5));
	CHECK(!text_deadline("2026-11-27T13:00", now + 7200, &ns));
	CHECK_INT(ns, ==, COOP_SECONDS(86400));
	CHECK_HAS(text_deadline("2026-11-26T12:59:59", now + 7200, &ns), "has passed");
	CHECK_HAS(text_deadline("25:00", now, &ns), "not a time");
	CHECK_HAS(text_deadline("13:00x", now, &ns), "not a time");
	CHECK_HAS(text_deadline("2026-13-26T12:59", now, &ns), "not a time");
}

/* Names with and without SIG, in both cases, and numbers. */
TEST(signals_by_name_and_number)
{
	char buf[TEXT_SIGNAL_SIZE];
	int sig = 0;

	CHECK(!text_signal("INT", &sig));
	CHECK_INT(sig, ==, SIGINT);
	CHECK(!text_signal("SIGTERM", &sig));
	CHECK_INT(sig, ==, SIGTERM);
	CHECK(!text_signal("sighup", &sig));
	CHECK_INT(sig, ==, SIGHUP);
	CHECK(!text_signal("9", &sig));
	CHECK_INT(sig, ==, SIGKILL);
	CHECK(text_signal("TRM", &sig));
	CHECK(text_signal("0", &sig));
	CHECK(text_signal("65", &sig));
	CHECK(text_signal("", &sig));
	CHECK(text_signal("SIG", &sig));
	CHECK_INT(sig, ==, SIGKILL);
	CHECK_STR(text_of_signal(SIGUSR1, buf), "USR1");
	CHECK_STR(text_of_signal(SIGKILL, buf), "KILL");
	CHECK_STR(text_of_signal(63, buf), "63");
	CHECK_STR(text_of_signal(-1, buf), "-1");
	CHECK_STR(text_of_signal(INT32_MIN, buf), "-2147483648");
}

static size_t ladder(const char *text, struct plan_step *steps)
{
	size_t count = 99;
	const char *wrong = text_ladder(text, steps, &count);

	if (wrong)
		FAIL("'%s' %s", text, wrong);
	return count;
}

/* A span that was measured: tenths below a minute, then two units, rounded down. */
TEST(spans)
{
	char buf[TEXT_DURATION_SIZE];

	CHECK_STR(text_of_span(0, buf), "0.0s");
	CHECK_STR(text_of_span(COOP_MILLISECONDS(12399), buf), "12.3s");
	CHECK_STR(text_of_span(COOP_MILLISECONDS(59999), buf), "59.9s");
	CHECK_STR(text_of_span(COOP_SECONDS(60), buf), "1m00s");
	CHECK_STR(text_of_span(COOP_MILLISECONDS(92300), buf), "1m32s");
	CHECK_STR(text_of_span(COOP_SECONDS(3600) - 1, buf), "59m59s");
	CHECK_STR(text_of_span(COOP_SECONDS(2 * 3600 + 7 * 60 + 59), buf), "2h07m");
	CHECK_STR(text_of_span(COOP_SECONDS(100 * 3600), buf), "100h00m");
}

/* The form of the manual. */
TEST(ladder_of_signals_and_waits)
{
	struct plan_step steps[PLAN_STEPS_MAX];

	CHECK_INT(ladder("INT,5s,TERM,10s,KILL", steps), ==, 3);
	CHECK_INT(steps[0].sig, ==, SIGINT);
	CHECK_INT(steps[0].wait_ns, ==, COOP_SECONDS(5));
	CHECK_INT(steps[1].sig, ==, SIGTERM);
	CHECK_INT(steps[1].wait_ns, ==, COOP_SECONDS(10));
	CHECK_INT(steps[2].sig, ==, SIGKILL);
}

/* A ladder always ends with KILL, and a signal always waits. */
TEST(ladder_is_completed)
{
	struct plan_step steps[PLAN_STEPS_MAX];

	CHECK_INT(ladder("HUP,0s,TERM", steps), ==, 3);
	CHECK_INT(steps[0].wait_ns, ==, 0);
	CHECK_INT(steps[1].wait_ns, ==, COOP_SECONDS(10));
	CHECK_INT(steps[2].sig, ==, SIGKILL);
	CHECK_INT(ladder("KILL", steps), ==, 1);
	CHECK_INT(ladder("KILL,3s", steps), ==, 1);
	CHECK_INT(steps[0].wait_ns, ==, COOP_SECONDS(3));
	CHECK_INT(ladder("INT,INT,INT,INT,INT,INT,INT,INT,INT,INT,INT,INT,INT,INT,INT", steps), ==,
		  PLAN_STEPS_MAX);
}

/* A number without a unit is a forgotten unit, not signal 5. */
TEST(what_is_no_ladder)
{
	struct plan_step steps[PLAN_STEPS_MAX];
	size_t count = 99;

	CHECK_HAS(text_ladder("INT,5,KILL", steps, &count), "no unit");
	CHECK_HAS(text_ladder("5s,INT", steps, &count), "stands behind no signal");
	CHECK_HAS(text_ladder("INT,5s,5s", steps, &count), "stands behind no signal");
	CHECK_HAS(text_ladder("KILL,1s,TERM", steps, &count), "behind KILL");
	CHECK_HAS(text_ladder("", steps, &count), "not a ladder");
	CHECK_HAS(text_ladder("INT,", steps, &count), "not a ladder");
	CHECK_HAS(text_ladder("INTT", steps, &count), "not a ladder");
	CHECK_HAS(text_ladder("INT,5x", steps, &count), "unit");
	CHECK_HAS(text_ladder("INT,INT,INT,INT,INT,INT,INT,INT,INT,INT,INT,INT,INT,INT,INT,INT",
			      steps, &count),
		  "too many");
	CHECK_INT(count, ==, 99);
}

/* Single ones, ranges, and back to text. */
TEST(lists_of_exit_statuses)
{
	struct plan_codes codes = { { 0 } };
	char buf[600];

	CHECK(!text_codes("0,143,10-20,255", &codes));
	CHECK(plan_codes_has(&codes, 0) && plan_codes_has(&codes, 143));
	CHECK(plan_codes_has(&codes, 10) && plan_codes_has(&codes, 20));
	CHECK(!plan_codes_has(&codes, 9) && !plan_codes_has(&codes, 21));
	CHECK(plan_codes_has(&codes, 255) && !plan_codes_has(&codes, 256));
	CHECK(!plan_codes_has(&codes, -1));
	text_of_codes(&codes, buf, sizeof buf);
	CHECK_STR(buf, "0,10-20,143,255");
	text_of_codes(&codes, buf, 8);
	CHECK_STR(buf, "0,10-20");
	CHECK(text_codes("256", &codes));
	CHECK(text_codes("99999999999", &codes));
	CHECK(text_codes("", &codes));
	CHECK(text_codes(",", &codes));
	CHECK(text_codes("1,", &codes));
	CHECK(text_codes(",1", &codes));
	CHECK(text_codes("5-3", &codes));
	CHECK(text_codes("-3", &codes));
	CHECK(text_codes("1-", &codes));
	CHECK(text_codes("1 2", &codes));
	CHECK(plan_codes_has(&codes, 143));
}

/* From the first pause to the longest. */
TEST(backoff_ranges)
{
	int64_t min = -1, max = -1;

	CHECK(!text_backoff("1s..30s", &min, &max));
	CHECK_INT(min, ==, COOP_SECONDS(1));
	CHECK_INT(max, ==, COOP_SECONDS(30));
	CHECK(!text_backoff("2s", &min, &max));
	CHECK_INT(min, ==, COOP_SECONDS(2));
	CHECK_INT(max, ==, COOP_SECONDS(2));
	CHECK_HAS(text_backoff("3s..2s", &min, &max), "ends before");
	CHECK(text_backoff("1s..", &min, &max));
	CHECK(text_backoff("..1s", &min, &max));
	CHECK(text_backoff("1s...2s", &min, &max));
	CHECK_INT(max, ==, COOP_SECONDS(2));
}

/* So many in a time, or in all. */
TEST(restart_limits)
{
	uint32_t max = 0;
	int64_t window = 0;

	CHECK(!text_limit("5/60s", &max, &window));
	CHECK_INT(max, ==, 5);
	CHECK_INT(window, ==, COOP_SECONDS(60));
	CHECK(!text_limit("3", &max, &window));
	CHECK_INT(window, ==, COOP_NEVER);
	CHECK_HAS(text_limit("0/60s", &max, &window), "more than 0");
	CHECK(text_limit("5/0s", &max, &window));
	CHECK(text_limit("5/", &max, &window));
	CHECK(text_limit("/5s", &max, &window));
	CHECK(text_limit("99999999999999999999/5s", &max, &window));
	CHECK_INT(max, ==, 3);
}

/* Whole numbers, nothing else. */
TEST(numbers)
{
	long n = 7;

	CHECK(!text_number("42", 0, 100, &n));
	CHECK_INT(n, ==, 42);
	CHECK(!text_number("-5", -10, 10, &n));
	CHECK_INT(n, ==, -5);
	CHECK_STR(text_number("0", 1, 10, &n), "has to be more than 0");
	CHECK_STR(text_number("11", 1, 10, &n), "is too large");
	CHECK_STR(text_number("99999999999999999999", 1, 10, &n), "is too large");
	CHECK_STR(text_number("-11", -10, 10, &n), "is too small");
	CHECK(text_number("", 0, 10, &n));
	CHECK(text_number("-", 0, 10, &n));
	CHECK(text_number("+5", 0, 10, &n));
	CHECK(text_number(" 5", 0, 10, &n));
	CHECK(text_number("5x", 0, 10, &n));
	CHECK(text_number("0x5", 0, 10, &n));
	CHECK_INT(n, ==, -5);
}

/* Changes, insertions, deletions, and two neighbours that changed places. */
TEST(distances_of_words)
{
	CHECK_INT(text_distance("", ""), ==, 0);
	CHECK_INT(text_distance("timeout", "timeout"), ==, 0);
	CHECK_INT(text_distance("timeot", "timeout"), ==, 1);
	CHECK_INT(text_distance("tiemout", "timeout"), ==, 1);
	CHECK_INT(text_distance("abc", ""), ==, 3);
	CHECK_INT(text_distance("kitten", "sitting"), ==, 3);
	CHECK_INT(text_distance("0123456789012345678901234567890123456789x", "x"), ==, 99);
}

/* The nearest is offered, also for an abbreviation; what is far is not. */
TEST(nearest_word)
{
	static const char *const words[] = { "restart", "retry", "ready", "restart-limit" };
	static const struct {
		const char *wrong, *best;
	} cases[] = {
		{ "restrat", "restart" },
		{ "rety", "retry" },
		{ "xyz", NULL },
		{ "rest", "restart" },
		{ "restart-l", "restart-limit" },
		{ "", NULL },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct text_near near = { .wrong = cases[i].wrong };

		for (size_t j = 0; j < 4; j++)
			text_near_offer(&near, words[j]);
		CHECK_STR(near.best, cases[i].best);
	}
}

static void check_char(const char *text, size_t len, uint32_t expected)
{
	uint32_t c = 0xffff;

	CHECK_INT(utf8_char(text, &c), ==, len);
	CHECK_INT(c, ==, len ? expected : 0xffff);
}

/* Characters of each length, and what is none. */
TEST(characters_of_utf8)
{
	check_char("a", 1, 'a');
	check_char("\xc3\xa4x", 2, 0xe4);
	check_char("\xe2\x82\xac", 3, 0x20ac);
	check_char("\xf0\x9f\x98\x80", 4, 0x1f600);
	check_char("", 0, 0);
	check_char("\x80", 0, 0);
	check_char("\xc3", 0, 0);
	check_char("\xe2\x82", 0, 0);
	check_char("\xc0\x80", 0, 0);
	check_char("\xe0\x80\x80", 0, 0);
	check_char("\xed\xa0\x80", 0, 0);
	check_char("\xf4\x90\x80\x80", 0, 0);
	check_char("\xff", 0, 0);
}

/* Names and files reach a terminal as text: no escape sequence, no C1, nothing turned round. */
TEST(what_is_shown_has_no_controls)
{
	char text[] = "a\x1b[31m\xc2\x9b"
		      "b\x9b\xe2\x80\xae\xc3\xa4\x7f\n";

	utf8_make_visible(text);
	CHECK_STR(text, "a?[31m?b??\xc3\xa4??");
	PROVES(rel_K04);
}
