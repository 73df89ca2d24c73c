/* SPDX-License-Identifier: MIT */
/*
 * Orphans: children that this process has adopted, as a subreaper or as the first process of a
 * container, and that nobody else would reap.
 *
 * Asking the kernel for any child would take those that belong to somebody. So the list of our
 * children is read, each that has ended is looked up in the registry of what coop has started, and
 * only the rest is taken, if whoever asked for that says so, too.
 */
#include "sys/process.h"

#include <coop/signal.h>

#define CP_AGAIN_NS COOP_MILLISECONDS(1)

struct pass {
	coop_orphan_fn *fn;
	void *ctx;
	int reaped;
	bool again; /* one that may be in the middle of its start */
};

static bool take_in(int pid, void *ctx)
{
	struct pass *p = ctx;
	int r = cp_process_reap_orphan(pid, p->fn, p->ctx);

	if (r == -EAGAIN)
		p->again = true;
	else
		p->reaped += r;
	return false;
}

int coop_orphans_reap(coop_orphan_fn *fn, void *ctx)
{
	struct pass p = { .fn = fn, .ctx = ctx };
	int r = coop_process_children(0, take_in, &p);

	if (r < 0)
		return r;
	return !p.reaped && p.again ? -EAGAIN : p.reaped;
}

static int serve(struct coop_signals *signals, coop_orphan_fn *fn, void *ctx)
{
	int r;

	for (;;) {
		do { /* the list is read while it changes: until a look finds nothing */
			r = coop_orphans_reap(fn, ctx);
			if (r == -EAGAIN && coop_sleep(CP_AGAIN_NS) < 0)
				return COOP_ECANCELED;
		} while (r > 0 || r == -EAGAIN);
		if (r < 0)
			return r;
		r = coop_signals_receive(signals);
		if (r < 0)
			return r;
	}
}

int coop_orphans_serve(coop_orphan_fn *fn, void *ctx)
{
	static const int sigchld[] = { SIGCHLD };
	struct cp_rt *rt = cp_in_task();
	struct coop_signals *signals;
	int r;

	if (!rt)
		return cp_no_task();
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_orphans_serve");
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	r = coop_signals_open(sigchld, 1, &signals);
	if (r < 0) {
		cp_schedule_point(rt);
		return r;
	}
	r = serve(signals, fn, ctx);
	coop_signals_close(signals);
	return r;
}
