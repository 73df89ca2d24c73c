/* SPDX-License-Identifier: MIT */
/*
 * Values of options: what is no value changes nothing; a duration that is written again is the
 * same.
 */
#include "fuzz_plan.h"
#include "text.h"

static void check_duration(const char *text)
{
	char buf[TEXT_DURATION_SIZE];
	int64_t ns = -1, again = -1;

	if (text_duration(text, &ns)) {
		MUST(ns == -1);
		return;
	}
	MUST(ns >= 0 && ns < COOP_NEVER);
	MUST(text_duration(text_of_duration(ns, buf), &again) == NULL);
	/* Of what is a minute and more, ten digits of seconds are written. */
	MUST(again - ns < 10 && ns - again < 10);
}

static void check_ladder(const char *text)
{
	struct plan_step steps[PLAN_STEPS_MAX];
	size_t count = 0;

	if (text_ladder(text, steps, &count))
		MUST(count == 0);
	else
		MUST(count > 0 && count <= PLAN_STEPS_MAX && steps[count - 1].sig == SIGKILL);
}

static void check_codes(const char *text)
{
	struct plan_codes codes = { { 0 } }, again = { { 0 } };
	char buf[1200];

	if (text_codes(text, &codes))
		return;
	text_of_codes(&codes, buf, sizeof buf);
	MUST(text_codes(buf, &again) == NULL);
	MUST(memcmp(&codes, &again, sizeof codes) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size);
	struct plan *plan = plan_new(VERB_RUN);
	struct plan_probe probe = { 0 };
	int64_t a = -1, b = -1;
	uint32_t max = 0;
	int sig = 0;

	check_duration(text);
	check_ladder(text);
	check_codes(text);
	if (text_backoff(text, &a, &b) == NULL)
		MUST(a >= 0 && a <= b);
	if (text_limit(text, &max, &a) == NULL)
		MUST(max > 0 && a > 0);
	if (text_deadline(text, 1700000000, &a) == NULL)
		MUST(a >= 0);
	if (text_signal(text, &sig) == NULL)
		MUST(sig > 0 && sig <= 64);
	if (probe_parse(plan, text, &probe) == NULL)
		MUST(probe.kind != PROBE_NONE);
	plan_free(plan);
	free(text);
	return 0;
}
