/* SPDX-License-Identifier: MIT */
/*
 * Signals by name, and ladders of them.
 */
#include "text.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SIGNALS(X) \
	X(HUP) \
	X(INT) \
	X(QUIT) \
	X(ILL) X(TRAP) X(ABRT) X(BUS) X(FPE) X(KILL) X(USR1) X(SEGV) X(USR2) X(PIPE) X(ALRM) \
		X(TERM) X(STKFLT) X(CHLD) X(CONT) X(STOP) X(TSTP) X(TTIN) X(TTOU) X(URG) X(XCPU) \
			X(XFSZ) X(VTALRM) X(PROF) X(WINCH) X(IO) X(PWR) X(SYS)

static const char *const signal_names[] = {
#define X(name) [SIG##name] = #name,
	SIGNALS(X)
#undef X
};
enum { SIGNAL_NAMES = sizeof signal_names / sizeof signal_names[0], SIGNAL_MAX = 64 };

const char *text_of_signal(int sig, char *buf)
{
	if (sig > 0 && sig < SIGNAL_NAMES && signal_names[sig])
		return signal_names[sig];
	snprintf(buf, TEXT_SIGNAL_SIZE, "%d", sig);
	return buf;
}

const char *text_signal(const char *text, int *ret_sig)
{
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	long number;

	if (!text_number(text, 1, SIGNAL_MAX, &number)) {
		*ret_sig = (int)number;
		return NULL;
	}
	for (int sig = 1; sig < SIGNAL_NAMES; sig++) {
		if (signal_names[sig] && strcasecmp(name, signal_names[sig]) == 0) {
			*ret_sig = sig;
			return NULL;
		}
	}
	return "is not a signal (INT, TERM, HUP, KILL, 15)";
}

void text_near_signals(struct text_near *near)
{
	for (int sig = 1; sig < SIGNAL_NAMES; sig++)
		if (signal_names[sig])
			text_near_offer(near, signal_names[sig]);
}

/* One word of a ladder: a signal begins a step, a time is how long the last step waits. A number
 * is a time without a unit, not a signal. */
static const char *read_step(const char *word, struct plan_step *steps, size_t *count,
			     bool *may_wait)
{
	const char *wrong;
	int sig;

	if (*word >= '0' && *word <= '9') {
		if (!*may_wait)
			return "has a time that stands behind no signal (INT,5s,TERM,10s,KILL)";
		*may_wait = false;
		return text_duration(word, &steps[*count - 1].wait_ns);
	}
	wrong = text_signal(word, &sig);
	if (wrong)
		return "is not a ladder (INT,5s,TERM,10s,KILL)";
	if (*count && steps[*count - 1].sig == SIGKILL)
		return "goes on behind KILL";
	if (*count == PLAN_STEPS_MAX - 1 && sig != SIGKILL)
		return "has too many steps";
	steps[*count] = (struct plan_step){ .sig = sig, .wait_ns = COOP_SECONDS(10) };
	++*count;
	*may_wait = true;
	return NULL;
}

const char *text_ladder(const char *text, struct plan_step *ret_steps, size_t *ret_count)
{
	struct plan_step steps[PLAN_STEPS_MAX];
	size_t count = 0, len;
	bool may_wait = false;
	char word[32];

	for (const char *at = text;; at += len + 1) {
		const char *wrong;

		len = strcspn(at, ",");
		if (len == 0 || len >= sizeof word)
			return "is not a ladder (INT,5s,TERM,10s,KILL)";
		memcpy(word, at, len);
		word[len] = '\0';
		wrong = read_step(word, steps, &count, &may_wait);
		if (wrong)
			return wrong;
		if (!at[len])
			break;
	}
	if (steps[count - 1].sig != SIGKILL)
		steps[count++] = (struct plan_step){ SIGKILL, COOP_SECONDS(10) };
	memcpy(ret_steps, steps, count * sizeof *steps);
	*ret_count = count;
	return NULL;
}
