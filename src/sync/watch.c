/* SPDX-License-Identifier: MIT */
/*
 * Watches: the latest value, and waiting for another one. A fan (fan.h) that keeps one value, and
 * whose receivers do not care what they have missed.
 */
#include "sync/fan.h"

#include <errno.h>

static struct cp_fan *fan(const struct coop_watch *w)
{
	return (struct cp_fan *)(uintptr_t)w;
}

int coop_watch_new_at(size_t item_bytes, const void *initial, const char *name,
		      struct coop_watch **ret_watch, const char *site)
{
	struct cp_fan *f;
	int r = cp_fan_new(item_bytes, 1, name, "watch", site, &f);

	if (r < 0)
		return r;
	if (initial)
		(void)cp_fan_send(f, initial); /* a new one is open, and ours */
	*ret_watch = (struct coop_watch *)f;
	return 0;
}

struct coop_watch *coop_watch_free(struct coop_watch *watch)
{
	cp_fan_free(fan(watch), "coop_watch_free");
	return NULL;
}

int coop_watch_close(struct coop_watch *watch)
{
	return cp_fan_close(fan(watch));
}

int coop_watch_set(struct coop_watch *watch, const void *item)
{
	return cp_fan_send(fan(watch), item);
}

int coop_watch_get(const struct coop_watch *watch, void *ret_item)
{
	const struct cp_fan *f = fan(watch);

	if (f->rt != cp_rt)
		return COOP_EWRONGTHREAD;
	if (!f->sent)
		return -EAGAIN;
	cp_fan_copy_last(f, ret_item);
	return 0;
}

int coop_watch_wait(struct coop_watch *watch, uint64_t *seen, void *ret_item)
{
	int r = cp_fan_recv(fan(watch), seen, ret_item, "coop_watch_wait");

	return r < 0 ? r : 0;
}

struct coop_case coop_case_watch(struct coop_watch *watch, uint64_t *seen, void *ret_item)
{
	return cp_fan_case(fan(watch), seen, ret_item);
}
