/* SPDX-License-Identifier: MIT */
/*
 * Numbers, durations, sets of exit statuses.
 */
#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

const char *text_number(const char *text, long min, long max, long *ret_number)
{
	char *end;
	long number;

	if (!is_digit(text[text[0] == '-']))
		return "is not a number";

	errno = 0;
	number = strtol(text, &end, 10);
	if (*end)
		return "is not a number";
	if (errno || number > max)
		return "is too large";
	if (number < min)
		return min > 0 && number < 1 ? "has to be more than 0" : "is too small";

	*ret_number = number;
	return NULL;
}

static const struct unit {
	const char *name;
	int64_t ns;
} units[] = {
	/* longest names first where one begins another; from the largest within those */
	{ "d", COOP_SECONDS(86400) },
	{ "h", COOP_SECONDS(3600) },
	{ "ms", COOP_MILLISECONDS(1) },
	{ "m", COOP_SECONDS(60) },
	{ "s", COOP_SECONDS(1) },
	{ "us", COOP_MICROSECONDS(1) },
	{ "\xc2\xb5s", COOP_MICROSECONDS(1) },
	{ "ns", 1 },
};
enum { UNITS = sizeof units / sizeof units[0] };

static const struct unit *find_unit(const char *text, const char *end)
{
	for (size_t i = 0; i < UNITS; i++) {
		size_t len = strlen(units[i].name);

		if ((size_t)(end - text) >= len && memcmp(text, units[i].name, len) == 0)
			return &units[i];
	}
	return NULL;
}

/* digits[.digits]: the whole part, and the rest in billionths. */
static const char *read_decimal(const char **at, const char *end, int64_t *whole, int64_t *rest)
{
	const char *p = *at;
	int64_t unit = 100000000;

	*whole = *rest = 0;
	if (p == end || !is_digit(*p))
		return "is not a duration (500ms, 1.5s, 1m30s, 2h)";
	for (; p < end && is_digit(*p); p++) {
		if (*whole > COOP_NEVER / 10 - 1)
			return "is too long";
		*whole = *whole * 10 + (*p - '0');
	}
	if (p < end && *p == '.') {
		if (++p == end || !is_digit(*p))
			return "is not a duration (500ms, 1.5s, 1m30s, 2h)";
		for (; p < end && is_digit(*p); p++, unit /= 10)
			*rest += (*p - '0') * unit;
	}
	*at = p;
	return NULL;
}

/* `billionths` of a unit, in nanoseconds. */
static int64_t part_of(const struct unit *unit, int64_t billionths)
{
	if (unit->ns >= COOP_SECONDS(1))
		return billionths * (unit->ns / COOP_SECONDS(1));
	return billionths * unit->ns / COOP_SECONDS(1);
}

/* One number with its unit, added to *sum; units get smaller from left to right. */
static const char *read_part(const char **at, const char *end, int64_t *limit, int64_t *sum)
{
	int64_t whole, rest, ns;
	const char *wrong = read_decimal(at, end, &whole, &rest);
	const struct unit *unit;

	if (wrong)
		return wrong;
	if (*at == end)
		return "has no unit (ms, s, m, h)";
	unit = find_unit(*at, end);
	if (!unit)
		return "has a unit that is none (ms, s, m, h)";
	if (unit->ns >= *limit)
		return "has its units in the wrong order (2h, 1m30s)";
	if (__builtin_mul_overflow(whole, unit->ns, &ns) ||
	    __builtin_add_overflow(ns, part_of(unit, rest), &ns) ||
	    __builtin_add_overflow(*sum, ns, sum) || *sum == COOP_NEVER)
		return "is too long";
	*limit = unit->ns;
	*at += strlen(unit->name);
	return NULL;
}

const char *text_duration_part(const char *text, size_t len, int64_t *ret_ns)
{
	const char *at = text, *end = text + len, *wrong;
	int64_t limit = COOP_NEVER, sum = 0;

	if (len == 1 && *text == '0') {
		*ret_ns = 0;
		return NULL;
	}
	do {
		wrong = read_part(&at, end, &limit, &sum);
		if (wrong)
			return wrong;
	} while (at < end);

	*ret_ns = sum;
	return NULL;
}

const char *text_duration(const char *text, int64_t *ret_ns)
{
	return text_duration_part(text, strlen(text), ret_ns);
}

/* Reads `format` of strptime to the end. */
static bool read_time(const char *text, const char *format, struct tm *tm)
{
	const char *end = strptime(text, format, tm);

	return end && !*end;
}

const char *text_deadline(const char *text, int64_t now, int64_t *ret_ns)
{
	time_t then, today = (time_t)now;
	struct tm tm;
	bool has_date = strchr(text, '-') != NULL;

	if (!strchr(text, ':'))
		return text_duration(text, ret_ns);
	localtime_r(&today, &tm);
	tm.tm_sec = 0;
	tm.tm_isdst = -1;
	if (!read_time(text, has_date ? "%Y-%m-%dT%H:%M" : "%H:%M", &tm) &&
	    !read_time(text, has_date ? "%Y-%m-%dT%H:%M:%S" : "%H:%M:%S", &tm))
		return "is not a time (10m, 18:30, 2026-12-24T18:30)";
	then = mktime(&tm);
	if (then <= today && !has_date) {
		tm.tm_mday++;
		tm.tm_isdst = -1;
		then = mktime(&tm);
	}
	if (then <= today)
		return "has passed";
	if (then - today > COOP_NEVER / COOP_SECONDS(1) - 1)
		return "is too long";
	*ret_ns = COOP_SECONDS(then - today);
	return NULL;
}

const char *text_backoff(const char *text, int64_t *ret_min_ns, int64_t *ret_max_ns)
{
	const char *dots = strstr(text, ".."), *wrong;
	int64_t min, max;

	wrong = text_duration_part(text, dots ? (size_t)(dots - text) : strlen(text), &min);
	if (wrong)
		return wrong;
	max = min;
	if (dots) {
		wrong = text_duration(dots + 2, &max);
		if (wrong)
			return wrong;
	}
	if (max < min)
		return "ends before it begins";
	*ret_min_ns = min;
	*ret_max_ns = max;
	return NULL;
}

const char *text_limit(const char *text, uint32_t *ret_max, int64_t *ret_window_ns)
{
	const char *slash = strchr(text, '/'), *wrong;
	int64_t window = COOP_NEVER;
	char number[16];
	long max;
	size_t len = slash ? (size_t)(slash - text) : strlen(text);

	if (len >= sizeof number)
		return "is too large";
	memcpy(number, text, len);
	number[len] = '\0';
	wrong = text_number(number, 1, 1000000, &max);
	if (wrong)
		return wrong;
	if (slash) {
		wrong = text_duration(slash + 1, &window);
		if (wrong)
			return wrong;
		if (window == 0)
			return "has a time of 0";
	}
	*ret_max = (uint32_t)max;
	*ret_window_ns = window;
	return NULL;
}

/* 0 to 255 */
static const char *read_code(const char **at, int *ret_code)
{
	const char *p = *at;
	int code = 0;

	if (!is_digit(*p))
		return "is not a list of exit statuses (0,143,10-20)";
	for (; is_digit(*p); p++) {
		code = code * 10 + (*p - '0');
		if (code > 255)
			return "has an exit status beyond 255";
	}
	*at = p;
	*ret_code = code;
	return NULL;
}

const char *text_codes(const char *text, struct plan_codes *ret_codes)
{
	struct plan_codes codes = { { 0 } };
	const char *at = text, *wrong;
	int from, to;

	do {
		at += *at == ',' && at > text;
		wrong = read_code(&at, &from);
		if (wrong)
			return wrong;
		to = from;
		if (*at == '-') {
			at++;
			wrong = read_code(&at, &to);
			if (wrong)
				return wrong;
		}
		if (to < from)
			return "has a range that ends before it begins";
		for (int code = from; code <= to; code++)
			codes.bits[code / 64] |= UINT64_C(1) << code % 64;
	} while (*at == ',');
	if (*at)
		return "is not a list of exit statuses (0,143,10-20)";

	*ret_codes = codes;
	return NULL;
}

void text_of_codes(const struct plan_codes *codes, char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = '\0';
	for (int code = 0, end; code < 256 && used < size; code = end + 1) {
		for (end = code; end < 256 && plan_codes_has(codes, end); end++)
			;
		if (end == code)
			continue;
		used += (size_t)snprintf(buf + used, size - used, "%s%d", used ? "," : "", code);
		if (end - 1 > code && used < size)
			used += (size_t)snprintf(buf + used, size - used, "-%d", end - 1);
	}
}

/* The last unit of a duration, with what is behind the point. */
static void write_rest(int64_t ns, bool is_first, char *buf, size_t size)
{
	/* A smaller fraction would be written with an exponent. */
	if (ns >= COOP_SECONDS(1) || (ns >= COOP_MICROSECONDS(100) && !is_first))
		snprintf(buf, size, "%.10gs", (double)ns / 1e9);
	else if (ns >= COOP_MILLISECONDS(1))
		snprintf(buf, size, "%.10gms", (double)ns / 1e6);
	else if (ns)
		snprintf(buf, size, "%lldns", (long long)ns);
}

const char *text_of_duration(int64_t ns, char *buf)
{
	static const struct unit big[] = { { "d", COOP_SECONDS(86400) },
					   { "h", COOP_SECONDS(3600) },
					   { "m", COOP_SECONDS(60) } };
	size_t used = 0;

	if (ns == COOP_NEVER || ns == 0) {
		snprintf(buf, TEXT_DURATION_SIZE, "%s", ns ? "never" : "0");
		return buf;
	}
	for (size_t i = 0; i < sizeof big / sizeof big[0]; i++) {
		if (ns < big[i].ns)
			continue;
		used += (size_t)snprintf(buf + used, TEXT_DURATION_SIZE - used, "%lld%s",
					 (long long)(ns / big[i].ns), big[i].name);
		ns %= big[i].ns;
	}
	write_rest(ns, used == 0, buf + used, TEXT_DURATION_SIZE - used);
	return buf;
}

const char *text_of_span(int64_t ns, char *buf)
{
	int64_t tenths = ns / COOP_MILLISECONDS(100), s = tenths / 10;

	if (s < 60)
		snprintf(buf, TEXT_DURATION_SIZE, "%lld.%llds", (long long)s,
			 (long long)(tenths % 10));
	else if (s < 3600)
		snprintf(buf, TEXT_DURATION_SIZE, "%lldm%02llds", (long long)(s / 60),
			 (long long)(s % 60));
	else
		snprintf(buf, TEXT_DURATION_SIZE, "%lldh%02lldm", (long long)(s / 3600),
			 (long long)(s / 60 % 60));
	return buf;
}
