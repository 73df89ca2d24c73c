/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Values as people write them.
 *
 * Each reader returns NULL and writes its result, or returns what is wrong, a text for behind
 * "'5x': ", and writes nothing. The texts are literals: whoever quotes the value adds the place.
 */

#include "plan.h"

/* 500ms, 1.5s, 1m30s, 2h; a unit is required, but for 0. */
const char *text_duration(const char *text, int64_t *ret_ns);

/* The same for `len` bytes of a longer text. */
const char *text_duration_part(const char *text, size_t len, int64_t *ret_ns);

/* A duration, 18:30, 18:30:05, or 2026-11-26T18:30: how far that is from `now`, in seconds since
 * 1970. A time of day that has passed today is tomorrow's; a date that has passed is wrong. */
const char *text_deadline(const char *text, int64_t now, int64_t *ret_ns);

/* INT, SIGINT, sigint, 2. */
const char *text_signal(const char *text, int *ret_sig);

/* As text_signal reads it: the name without SIG, or the number. `buf` has TEXT_SIGNAL_SIZE. */
enum { TEXT_SIGNAL_SIZE = 16 };
const char *text_of_signal(int sig, char *buf);

/* INT,5s,TERM,10s,KILL, at most PLAN_STEPS_MAX steps. A signal without a time waits 10 s; the last
 * step is KILL, also where it is not named. */
enum { PLAN_STEPS_MAX = 16 };
const char *text_ladder(const char *text, struct plan_step *ret_steps, size_t *ret_count);

/* 0,143,10-20 */
const char *text_codes(const char *text, struct plan_codes *ret_codes);

/* 1s..30s, or 2s for 2s..2s */
const char *text_backoff(const char *text, int64_t *ret_min_ns, int64_t *ret_max_ns);

/* 5/60s, or 5 for 5 in all */
const char *text_limit(const char *text, uint32_t *ret_max, int64_t *ret_window_ns);

/* A decimal number within bounds. */
const char *text_number(const char *text, long min, long max, long *ret_number);

/* A duration as text_duration reads it: 1m30s. `buf` has TEXT_DURATION_SIZE bytes. */
enum { TEXT_DURATION_SIZE = 48 };
const char *text_of_duration(int64_t ns, char *buf);

/* A span that was measured, for people: 0.4s, 12.3s, 3m05s, 2h07m. */
const char *text_of_span(int64_t ns, char *buf);

/* The set in the form that text_codes reads. */
void text_of_codes(const struct plan_codes *codes, char *buf, size_t size);

/* How many insertions, deletions, changes and swaps of neighbours make b of a; capped at 99. */
int text_distance(const char *a, const char *b);

/*
 * The search for the word that was meant: offer each that there is, then ask. Near is what has at
 * most a third of its letters wrong, or begins with the whole of what was written.
 */
struct text_near {
	const char *wrong, *best;
	int distance;
};
void text_near_offer(struct text_near *near, const char *word);
/* All names of signals. */
void text_near_signals(struct text_near *near);
