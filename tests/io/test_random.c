/* SPDX-License-Identifier: MIT */
/* Random I/O programs on all engines: see random.h. Many more of them are in tests/stress. */
#include "random.h"

/* Each run here says on which engine it is; COOP_IO would have the last word. */
__attribute__((constructor)) static void engines_are_named(void)
{
	unsetenv("COOP_IO");
}

/* Pipes, Unix streams and datagrams: every engine does the same. */
TEST(near_programs_have_the_same_outcomes)
{
	try_many(1, TEST_COUNT(2000, 100), false);
}

/* TCP connections, resets and listeners: every engine does the same. */
TEST(far_programs_have_the_same_outcomes)
{
	try_many(1000001, TEST_COUNT(100, 10), true);
}
