/* SPDX-License-Identifier: MIT */
/*
 * The end of all below us; the tests of the command show the rest (tests/coop/leak.py).
 */
#include "proctree.h"
#include "test.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* However late it is, as after a stop, nobody is left without having been killed. */
TEST(end_all_kills_however_late)
{
	int status, pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	CHECK_INT(pid, >, 0);
	if (proc_end_all(0)) {
		CHECK_INT(waitpid(pid, NULL, 0), ==, -1);
		CHECK_INT(errno, ==, ECHILD);
		return;
	}
	CHECK_INT(kill(pid, SIGTERM), ==, 0); /* that it ends; but the kill has come first */
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK(WIFSIGNALED(status));
	CHECK_INT(WTERMSIG(status), ==, SIGKILL);
}
