/* SPDX-License-Identifier: MIT */
/* Random I/O programs on all engines, many: see io/random.h. */
#include "../io/random.h"

/* Each run here says on which engine it is; COOP_IO would have the last word. */
__attribute__((constructor)) static void engines_are_named(void)
{
	unsetenv("COOP_IO");
}

/* Pipes, Unix streams and datagrams: every engine does the same. */
TEST(many_near_programs_have_the_same_outcomes)
{
	try_many(100000, TEST_COUNT(40000, 2000), false);
}

/* TCP connections, resets and listeners: every engine does the same. */
TEST(many_far_programs_have_the_same_outcomes)
{
	try_many(2000000, TEST_COUNT(2000, 100), true);
}
