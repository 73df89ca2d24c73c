/* SPDX-License-Identifier: MIT */

/*
 * Tests of the harness: what it must tell apart.  A name that begins with "bad_" has to fail;
 * selftest.py looks.
 */

#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

TEST(good_checks)
{
	CHECK(1);
	CHECK_INT(2 + 2, ==, 4);
	CHECK_INT(-1, <, 1);
	CHECK_STR("a", "a");
	CHECK_STR(NULL, NULL);
	CHECK_HAS("abc", "bc");
	for (int i = 0; i < 1000; i++)
		PROVES(X1, X2);
}

TEST(good_ends_a_grandchild_that_holds_the_pipe)
{
	if (fork() == 0)
		for (;;)
			pause();
}

TEST(good_prints_much)
{
	for (int i = 0; i < 50000; i++)
		printf("a line that nobody reads, number %d\n", i);
}

TEST_ABORT(good_aborts, "went bang")
{
	PROVES(X3);
	fprintf(stderr, "it went bang\n");
	abort();
}

TEST_EXIT(good_exits, 3, "bye")
{
	fprintf(stderr, "bye\n");
	_exit(3);
}

TEST(good_skips)
{
	PROVES(X4);
	SKIP("no %s", "moon");
}

TEST(bad_check)
{
	PROVES(X5);
	CHECK(0);
}

TEST(bad_int)
{
	CHECK_INT(1, ==, 2);
}

TEST(bad_string)
{
	CHECK_STR("a", NULL);
}

TEST(bad_part)
{
	CHECK_HAS("abc", "x");
}

TEST(bad_leaks_a_descriptor)
{
	CHECK(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0);
}

TEST(bad_crashes)
{
	raise(SIGILL);
}

TEST(bad_ends_early)
{
	exit(0);
}

TEST(bad_hangs)
{
	TEST_SECONDS(1);
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
	for (;;)
		pause();
}

TEST_ABORT(bad_aborts_without_a_word, "went bang")
{
	abort();
}

TEST_ABORT(bad_does_not_abort, "")
{
}

TEST_EXIT(bad_exits_with_another_status, 3, "")
{
	_exit(4);
}

TEST_EXIT(bad_comes_to_its_end, 0, "")
{
}
