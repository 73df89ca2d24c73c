/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The test harness: each TEST runs in a process of its own, so that a failure, a crash or a hang in
 * one says nothing about the next, and so that a failure can leave by _exit() from whatever stack
 * it happens on.  There is no longjmp here: jumping out of a task would abandon its stack.
 *
 *	// A closed channel hands out what it still holds.
 *	TEST(recv_drains_a_closed_channel)
 *	{
 *		CHECK_INT(coop_chan_recv(chan, &item), ==, 0);
 *		PROVES(B230);
 *	}
 *
 * A file of tests is a program; tests register themselves and run in the order of the file.
 * Output is TAP.  A test fails when a CHECK fails, when it dies or ends early, when it takes
 * longer than its limit, or when it leaves a file descriptor open.  What it printed is shown with
 * its failure only (-v: always).  The harness uses libc and nothing else.
 */

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum test_kind {
	TEST_KIND_PASS,  /* must run to its end */
	TEST_KIND_ABORT, /* must die of a signal and have printed `expect` */
	TEST_KIND_EXIT,  /* must exit by itself with `status` and have printed `expect` */
};

struct test_case {
	const char *name;
	void (*body)(void);
	enum test_kind kind;
	int status;
	const char *expect;
	struct test_case *next;
};

#define TEST(name) TEST_REGISTER(name, TEST_KIND_PASS, 0, "")

/* The body must end the process by a signal (abort, a fault), with `text` in what it printed. */
#define TEST_ABORT(name, text) TEST_REGISTER(name, TEST_KIND_ABORT, 0, text)

/* The body must end the process by exit(code), with `text` in what it printed. */
#define TEST_EXIT(name, code, text) TEST_REGISTER(name, TEST_KIND_EXIT, code, text)

#define CHECK(cond) ((cond) ? (void)0 : test_fail(__FILE__, __LINE__, "CHECK(%s)", #cond))

/* Compares two integers; a failure prints both.  `op` is one of == != < <= > >=. */
#define CHECK_INT(a, op, b) \
	do { \
		intmax_t test_a_ = (intmax_t)(a), test_b_ = (intmax_t)(b); \
		if (!(test_a_ op test_b_)) \
			test_fail(__FILE__, __LINE__, "CHECK_INT(%s %s %s): %jd, %jd", #a, #op, \
				  #b, test_a_, test_b_); \
	} while (0)

/* Two strings are equal, or both NULL. */
#define CHECK_STR(a, b) test_check_str(__FILE__, __LINE__, #a, #b, (a), (b))

/* The text contains the part. */
#define CHECK_HAS(text, part) test_check_has(__FILE__, __LINE__, #text, (text), (part))

#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)

/* Ends the test as skipped.  Say why; nothing that the machine is meant to have may be skipped. */
#define SKIP(...) test_skip(__VA_ARGS__)

/*
 * Names the rules that this place shows: PROVES(B46) or PROVES(B46, S88).  It counts when it is
 * reached in a test that passes: the tags then go to the file named by COOP_PROVES_FILE.
 */
#define PROVES(...) test_proves(#__VA_ARGS__)

/* A count that is lowered (COOP_TEST_LIGHT) where all is slow: valgrind, sanitizers, qemu. */
#define TEST_COUNT(full, light) (test_is_light() ? (light) : (full))

/* Gives this test another time limit than the 20 s it starts with. */
#define TEST_SECONDS(n) test_limit(n)

/* Below: what the macros stand on. */

#define TEST_REGISTER(name, kind, status, expect) \
	static void test_body_##name(void); \
	__attribute__((constructor)) static void test_register_##name(void) \
	{ \
		static struct test_case test_case_ = { #name,  test_body_##name, kind, \
						       status, expect,           0 }; \
		test_register(&test_case_); \
	} \
	static void test_body_##name(void)

void test_register(struct test_case *test);
__attribute__((noreturn, format(printf, 3, 4))) void test_fail(const char *file, int line,
							       const char *format, ...);
__attribute__((noreturn, format(printf, 1, 2))) void test_skip(const char *format, ...);
void test_check_str(const char *file, int line, const char *a_text, const char *b_text,
		    const char *a, const char *b);
void test_check_has(const char *file, int line, const char *text_text, const char *text,
		    const char *part);
void test_proves(const char *tags);
void test_limit(int seconds);
bool test_is_light(void);
bool test_on_valgrind(void);

#ifdef __cplusplus
}
#endif
