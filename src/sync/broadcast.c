/* SPDX-License-Identifier: MIT */
/*
 * Broadcasts: every receiver sees every value, unless it falls behind by more than the buffer.
 * A fan (fan.h) whose receivers are told how many values they have missed.
 */
#include "sync/fan.h"

#include <errno.h>

#define CP_BROADCAST_CAP 64

static struct cp_fan *fan(const struct coop_broadcast *b)
{
	return (struct cp_fan *)(uintptr_t)b;
}

int coop_broadcast_new_at(size_t item_bytes, const struct coop_broadcast_opts *opts,
			  struct coop_broadcast **ret_broadcast, const char *site)
{
	uint32_t cap = opts && opts->cap ? opts->cap : CP_BROADCAST_CAP;
	struct cp_fan *f;
	uint64_t sum = 0;
	int r;

	for (size_t i = 0; opts && i < CP_ARRAY_LEN(opts->_reserved); i++)
		sum |= opts->_reserved[i];
	if (sum)
		return -EINVAL;
	r = cp_fan_new(item_bytes, cap, opts ? opts->name : NULL, "broadcast", site, &f);
	if (r >= 0)
		*ret_broadcast = (struct coop_broadcast *)f;
	return r;
}

struct coop_broadcast *coop_broadcast_free(struct coop_broadcast *broadcast)
{
	cp_fan_free(fan(broadcast), "coop_broadcast_free");
	return NULL;
}

int coop_broadcast_close(struct coop_broadcast *broadcast)
{
	return cp_fan_close(fan(broadcast));
}

int coop_broadcast_send(struct coop_broadcast *broadcast, const void *item)
{
	return cp_fan_send(fan(broadcast), item);
}

uint64_t coop_broadcast_position(const struct coop_broadcast *broadcast)
{
	return fan(broadcast)->sent;
}

int coop_broadcast_recv(struct coop_broadcast *broadcast, uint64_t *position, void *ret_item)
{
	return cp_fan_recv(fan(broadcast), position, ret_item, "coop_broadcast_recv");
}

int coop_broadcast_try_recv(struct coop_broadcast *broadcast, uint64_t *position, void *ret_item)
{
	return cp_in_task() ? cp_fan_recv_now(fan(broadcast), position, ret_item) : cp_no_task();
}

void coop_broadcast_stats(const struct coop_broadcast *broadcast,
			  struct coop_broadcast_stats *ret_stats)
{
	const struct cp_fan *f = fan(broadcast);

	*ret_stats = (struct coop_broadcast_stats){ .name = f->name,
						    .item_bytes = f->bytes,
						    .cap = (uint32_t)f->cap,
						    .receivers = cp_fan_waiting(f),
						    .sent = f->sent,
						    .missed = f->lost,
						    .closed = f->closed };
}

struct coop_case coop_case_broadcast(struct coop_broadcast *broadcast, uint64_t *position,
				     void *ret_item)
{
	return cp_fan_case(fan(broadcast), position, ret_item);
}
