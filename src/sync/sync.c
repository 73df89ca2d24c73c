/* SPDX-License-Identifier: MIT */
/* Home, end and numbers of a primitive; see sync.h. */
#include "sync/sync.h"

#include <string.h>

/* The home of what was given up. */
static char gone;

int cp_sync_home(void **home, struct cp_rt *rt)
{
	if (CP_LIKELY(*home == (void *)rt->errno_p))
		return 0;
	if (*home)
		return *home == &gone ? COOP_ECLOSED : COOP_EWRONGTHREAD;
	*home = rt->errno_p;
	return 0;
}

int cp_sync_look(const void *home)
{
	if (!home || home == (const void *)&errno)
		return 0;
	return home == &gone ? COOP_ECLOSED : COOP_EWRONGTHREAD;
}

uint32_t cp_sync_waiting(const struct cp_queue *q)
{
	uint32_t n = 0;

	for (const struct cp_waiter *e = q->first; e; e = e->next)
		n++;
	return n;
}

void cp_sync_die(const char *call, const struct coop_task *t, const char *text)
{
	char me[160] = "code outside of tasks", other[160];

	if (cp_rt && cp_rt->cur)
		cp_task_path(cp_rt->cur, me, sizeof me);
	if (!t)
		cp_die("%s by %s: somebody %s", call, me, text);
	cp_task_path(t, other, sizeof other);
	cp_die("%s by %s: %s %s (spawned at %s)", call, me, other, text, cp_at(cp_task_site(t)));
}

const struct coop_task *cp_sync_holder(const void *of)
{
	struct coop_task *t = cp_rt ? cp_rt->root : NULL;

	while (t && (t->state == CP_NEW || !cp_hold_find(t->body, of)))
		t = cp_task_next(cp_rt, t);
	return t;
}

/* The name is the spawn's: the site begins with it, and is a literal that stays. */
CP_COLD int cp_sync_owner_ended(int code, const char *site, uint64_t id)
{
	return coop_fail(code, "task #%llu \"%s\" (spawned at %s) ended while it owned it",
			 (unsigned long long)id, site, cp_at(site + strlen(site) + 1));
}

void cp_sync_deinit(void **home, const struct cp_queue *q, const char *call)
{
	char text[80];

	if (q->first) {
		snprintf(text, sizeof text, "waits for it in %s, first of %u",
			 q->first->task->body->wait->what, cp_sync_waiting(q));
		cp_sync_die(call, q->first->task, text);
	}
	*home = &gone;
}
