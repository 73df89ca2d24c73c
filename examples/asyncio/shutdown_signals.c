/* SPDX-License-Identifier: MIT */
/*
 * Graceful shutdown by a handler of one's own (S50 to S53): on SIGINT or SIGTERM all tasks
 * but those that require shielding are cancelled; a second signal finds none to cancel.
 * The receiver takes the signals away from coop_main's ladder while it is open.
 */
#include "shutdown.h"

#include <unistd.h>

static struct coop_handle *handles[6];

static int count_task(const struct coop_task_info *info, void *count)
{
	*(int *)count += !info->service;
	return 0;
}

static void cancel_unshielded(int sig)
{
	int all = 0, cancelled = 0;

	for (int i = 3; i < 6; i++)
		cancelled += coop_handle_state(handles[i]) < COOP_TASK_CANCELLING;
	if (coop_for_each_task(false, count_task, &all) != 0)
		return;
	printf("Received %s\nCancelling %d out of %d\n", coop_signal_name(sig), cancelled, all);
	fflush(stdout);
	for (int i = 3; i < 6; i++)
		coop_handle_cancel(handles[i], "shutdown");
}

static int handle_signals(void *arg)
{
	struct coop_signals *s = arg;
	int r;

	while ((r = coop_signals_receive(s)) > 0)
		cancel_unshielded(r);
	return r;
}

static int app(void *arg)
{
	static const int sigs[] = { SIGINT, SIGTERM };
	struct coop_spawn_opts service = { .service = true };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_signals *s = NULL;
	int r;

	(void)arg;
	printf("PID: %d\n", (int)getpid());
	coop_group_open(&g, NULL);
	r = coop_signals_open(sigs, 2, &s);
	if (r >= 0)
		r = coop_spawn_with(&g, handle_signals, s, &service, NULL);
	if (r >= 0)
		r = spawn_ctrl_c();
	for (int i = 0; i < 6 && r >= 0; i++)
		r = coop_spawn_with(&g, work, &numbers[i], NULL, &handles[i]);
	r = coop_group_join(&g, r);
	coop_signals_close(s);
	for (int i = 0; i < 6; i++)
		coop_handle_release(handles[i]);
	return r;
}

int main(void)
{
	return coop_main(app, NULL);
}
