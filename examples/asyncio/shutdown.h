/* SPDX-License-Identifier: MIT */
/* What the shutdown programs share. */
#ifndef SHUTDOWN_H
#define SHUTDOWN_H

#include <coop.h>

#include <signal.h>
#include <stdio.h>

/* Nobody can press Ctrl-C in time on the virtual clock: the program does it, after a second. */
static inline int press_ctrl_c(void *arg)
{
	int r = coop_sleep(COOP_SECONDS(1));

	(void)arg;
	if (r >= 0)
		raise(SIGINT);
	return r;
}

static inline int spawn_ctrl_c(void)
{
	struct coop_spawn_opts service = { .service = true };

	if (!coop_clock_is_virtual())
		return 0;
	return coop_spawn_with(coop_run_group(), press_ctrl_c, NULL, &service, NULL);
}

static inline int work(void *arg)
{
	int n = *(int *)arg, r;

	printf("[%d] Task start!\n", n);
	fflush(stdout);
	r = coop_sleep(COOP_SECONDS(10));
	printf(r == COOP_ECANCELED ? "[%d] Canceled!\n" : "[%d] Task done!\n", n);
	fflush(stdout);
	return r;
}

static int numbers[] = { 0, 1, 2, 3, 4, 5 };

#endif
