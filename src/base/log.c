/* SPDX-License-Identifier: MIT */
/*
 * The log: one sink for the process, one record a line.
 *
 * 1. A record is at most CP_LOG_BYTES_MAX bytes and is cut between characters,
 *    never inside one.
 * 2. A record is one line: line ends and tabs become spaces, other control
 *    characters question marks, so that a text from outside can neither forge
 *    a second record nor steer a terminal.
 * 3. The default sink hands its line to the system in one write: lines of
 *    several threads do not mix.
 * 4. Logging leaves errno as it was.
 *
 * The level is read from COOP_LOG when the first record asks for it, unless
 * coop_log_set came before. Sink, ctx and level are atomic one by one; that
 * they belong together is the duty of who sets them (coop/log.h).
 */
#include "base/log.h"
#include "base/os.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define CP_LOG_UNREAD (-1)

static const char *const cp_log_words[] = {
	[COOP_LOG_ERROR] = "error",
	[COOP_LOG_WARN] = "warning",
	[COOP_LOG_INFO] = "info",
	[COOP_LOG_DEBUG] = "debug",
};

static _Atomic(coop_log_fn *) cp_log_sink;
static _Atomic(void *) cp_log_ctx;
static _Atomic int cp_log_level = CP_LOG_UNREAD;

static int cp_log_level_from_env(void)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };
	const char *want = cp_os_env("COOP_LOG");

	for (size_t i = 0; want && i < CP_ARRAY_LEN(names); i++)
		if (strcmp(want, names[i]) == 0)
			return (int)i;
	return COOP_LOG_WARN;
}

static int cp_log_level_now(void)
{
	int level = atomic_load_explicit(&cp_log_level, memory_order_relaxed);
	int unread = CP_LOG_UNREAD;

	if (CP_LIKELY(level != CP_LOG_UNREAD))
		return level;
	/* Two threads may read the environment at once: they read the same. */
	level = cp_log_level_from_env();
	if (!atomic_compare_exchange_strong(&cp_log_level, &unread, level))
		level = unread;
	return level;
}

static int cp_log_clamp(int level)
{
	if (level < COOP_LOG_ERROR)
		return COOP_LOG_ERROR;
	return level > COOP_LOG_DEBUG ? COOP_LOG_DEBUG : level;
}

bool cp_log_on(enum coop_log_level level)
{
	return cp_log_clamp((int)level) <= cp_log_level_now();
}

void cp_log_reset(void)
{
	atomic_store(&cp_log_sink, NULL);
	atomic_store(&cp_log_ctx, NULL);
	atomic_store(&cp_log_level, CP_LOG_UNREAD);
}

void coop_log_set(coop_log_fn *sink, void *ctx, enum coop_log_level level)
{
	atomic_store(&cp_log_ctx, ctx);
	atomic_store(&cp_log_sink, sink);
	atomic_store(&cp_log_level, cp_log_clamp((int)level));
}

/* One write a record: no other thread's line can come between its parts. */
static void cp_log_default(enum coop_log_level level, const char *text)
{
	char line[CP_LOG_BYTES_MAX + 32];
	int n = snprintf(line, sizeof line, "coop: %s: %s\n", cp_log_words[level], text);

	if (n > 0)
		(void)cp_os_write_all(2, line, (size_t)n);
}

static void cp_log_one_line(char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '\n' || c == '\r' || c == '\t')
			*text = ' ';
		else if (c < 0x20 || c == 0x7f)
			*text = '?';
	}
}

void coop_log(enum coop_log_level level, const char *fmt, ...)
{
	char text[CP_LOG_BYTES_MAX + 1];
	enum coop_log_level known = (enum coop_log_level)cp_log_clamp((int)level);
	coop_log_fn *sink;
	int saved = errno;
	va_list ap;
	int n;

	if (!cp_log_on(known))
		goto out;
	errno = saved; /* for %m */
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n < 0) /* a text that cannot be encoded: say which one */
		n = snprintf(text, sizeof text, "%s", fmt);
	if (n >= (int)sizeof text)
		text[cp_utf8_cut(text, sizeof text - 1)] = '\0';
	cp_log_one_line(text);

	sink = atomic_load(&cp_log_sink);
	if (sink)
		sink(known, text, atomic_load(&cp_log_ctx));
	else
		cp_log_default(known, text);
out:
	errno = saved;
}
