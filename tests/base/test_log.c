/* SPDX-License-Identifier: MIT */
/* The log: levels, the sink, one record a line whatever is in it. */
#include "test.h"

#include "base/log.h"
#include "base/os.h"

#include <coop/version.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct seen {
	int count;
	enum coop_log_level level;
	char text[1200];
};

static void sink(enum coop_log_level level, const char *text, void *ctx)
{
	struct seen *seen = ctx;

	seen->count++;
	seen->level = level;
	snprintf(seen->text, sizeof seen->text, "%s", text);
}

TEST(records_reach_the_sink)
{
	struct seen seen = { 0 };

	coop_log_set(sink, &seen, COOP_LOG_INFO);
	coop_log(COOP_LOG_INFO, "engine %s, %d fds", "epoll", 3);
	CHECK_INT(seen.count, ==, 1);
	CHECK_INT(seen.level, ==, COOP_LOG_INFO);
	CHECK_STR(seen.text, "engine epoll, 3 fds");
	coop_log(COOP_LOG_DEBUG, "too small");
	CHECK_INT(seen.count, ==, 1);
	coop_log(COOP_LOG_ERROR, "big");
	CHECK_INT(seen.count, ==, 2);
}

TEST(level_comes_from_the_environment)
{
	static const struct {
		const char *word;
		enum coop_log_level level;
	} cases[] = {
		{ NULL, COOP_LOG_WARN },     { "", COOP_LOG_WARN },
		{ "error", COOP_LOG_ERROR }, { "warn", COOP_LOG_WARN },
		{ "info", COOP_LOG_INFO },   { "debug", COOP_LOG_DEBUG },
		{ "DEBUG!", COOP_LOG_WARN }, { "nonsense", COOP_LOG_WARN },
	};

	for (size_t i = 0; i < CP_ARRAY_LEN(cases); i++) {
		if (cases[i].word)
			setenv("COOP_LOG", cases[i].word, 1);
		else
			unsetenv("COOP_LOG");
		cp_log_reset();
		for (int level = COOP_LOG_ERROR; level <= COOP_LOG_DEBUG; level++)
			CHECK_INT(cp_log_on((enum coop_log_level)level), ==,
				  level <= (int)cases[i].level);
	}
	/* What the program says comes before what the environment says. */
	setenv("COOP_LOG", "debug", 1);
	cp_log_reset();
	coop_log_set(NULL, NULL, COOP_LOG_ERROR);
	CHECK(!cp_log_on(COOP_LOG_WARN));
}

TEST(levels_out_of_range_are_taken_for_the_nearest)
{
	struct seen seen = { 0 };

	coop_log_set(sink, &seen, COOP_LOG_DEBUG);
	coop_log((enum coop_log_level)77, "x");
	CHECK_INT(seen.level, ==, COOP_LOG_DEBUG);
	coop_log((enum coop_log_level) - 1, "x");
	CHECK_INT(seen.level, ==, COOP_LOG_ERROR);
}

TEST(long_records_are_cut_between_characters)
{
	struct seen seen = { 0 };
	char big[3000];

	coop_log_set(sink, &seen, COOP_LOG_WARN);
	memset(big, 'a', sizeof big);
	big[sizeof big - 1] = '\0';
	coop_log(COOP_LOG_WARN, "%s", big);
	CHECK_INT(strlen(seen.text), ==, 1000);
	for (int at = 996; at <= 1000; at++) { /* four bytes, cut after 0 to 4 of them */
		memset(big, 'a', sizeof big - 1);
		memcpy(big + at, "\xf0\x9f\x90\x94", 4);
		coop_log(COOP_LOG_WARN, "%s", big);
		CHECK_INT(strlen(seen.text), ==, at == 996 ? 1000 : at);
	}
	/* What is no UTF-8 anyway is cut wherever it is. */
	memset(big, 0x80, sizeof big - 1);
	coop_log(COOP_LOG_WARN, "%s", big);
	CHECK_INT(strlen(seen.text), ==, 1000);
}

TEST(records_are_one_line)
{
	struct seen seen = { 0 };

	coop_log_set(sink, &seen, COOP_LOG_WARN);
	coop_log(COOP_LOG_WARN, "a\nb\r\tc\x1b[2J\x7f%s", "\xc3\xa4");
	CHECK_STR(seen.text, "a b  c?[2J?\xc3\xa4");
}

TEST(errno_survives)
{
	struct seen seen = { 0 };

	coop_log_set(sink, &seen, COOP_LOG_WARN);
	errno = ENOENT;
	coop_log(COOP_LOG_WARN, "%m");
	CHECK_INT(errno, ==, ENOENT);
	CHECK_STR(seen.text, "No such file or directory");
	coop_log(COOP_LOG_WARN, "%ls", L"\xdc00");
	CHECK_INT(errno, ==, ENOENT);
	CHECK_STR(seen.text, "%ls");
}

/* Takes standard error away for a while; what came is in `text`. */
static void stderr_of(void (*fn)(void), char *text, size_t size)
{
	int saved = dup(2), fds[2];
	ssize_t n;

	CHECK_INT(pipe(fds), ==, 0);
	dup2(fds[1], 2);
	close(fds[1]);
	fn();
	dup2(saved, 2);
	close(saved);
	n = read(fds[0], text, size - 1);
	close(fds[0]);
	text[n > 0 ? n : 0] = '\0';
}

static void two_records(void)
{
	coop_log_set(NULL, NULL, COOP_LOG_WARN);
	coop_log(COOP_LOG_WARN, "careful");
	coop_log(COOP_LOG_ERROR, "lost %d", 3);
	coop_log(COOP_LOG_INFO, "not shown");
}

TEST(default_sink_is_standard_error)
{
	char text[200];

	stderr_of(two_records, text, sizeof text);
	CHECK_STR(text, "coop: warning: careful\ncoop: error: lost 3\n");
}

static void no_stderr(void)
{
	cp_os_faults.call_fail_at = 1;
	cp_os_faults.call_fail_on = true;
	cp_os_faults.call_errno = EIO;
	two_records();
	cp_os_faults.call_fail_at = 0;
}

TEST(broken_standard_error_is_no_harm)
{
	char text[200];

	stderr_of(no_stderr, text, sizeof text);
	CHECK_STR(text, "");
}

static void *log_a_lot(void *ctx)
{
	for (int i = 0; i < 1000; i++)
		coop_log(COOP_LOG_WARN, "%s", (const char *)ctx);
	return NULL;
}

static int lines;

static void count_lines(enum coop_log_level level, const char *text, void *ctx)
{
	(void)level;
	(void)ctx;
	if (strcmp(text, "from a thread") == 0)
		__atomic_add_fetch(&lines, 1, __ATOMIC_RELAXED);
}

TEST(threads_log)
{
	pthread_t threads[4];

	coop_log_set(count_lines, NULL, COOP_LOG_WARN);
	for (int i = 0; i < 4; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, log_a_lot, (void *)"from a thread"), ==,
			  0);
	for (int i = 0; i < 4; i++)
		CHECK_INT(pthread_join(threads[i], NULL), ==, 0);
	CHECK_INT(lines, ==, 4000);
}

TEST(version_is_that_of_the_headers)
{
	char text[32];
	int v = coop_version();

	CHECK_INT(v, ==, COOP_VERSION);
	snprintf(text, sizeof text, "%d.%d.%d", v / 10000, v / 100 % 100, v % 100);
	CHECK_STR(text, COOP_VERSION_TEXT);
}
