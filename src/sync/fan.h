/* SPDX-License-Identifier: MIT */
/*
 * One value to many: what a broadcast and a watch are made of.
 *
 * The values of a fan are numbered from 0; the last `cap` of them are kept, in a ring of slots. A
 * receiver is a number, kept by the program: of the value that it wants next. So there is
 * nothing to make, clone or close for a receiver, and a slow one costs the sender nothing.
 *
 * Who waits is up to date: its number is `sent`. The next value is copied into its frame, its
 * number moved on, and it is woken; a value that comes before it runs is not its business yet.
 */
#ifndef CP_FAN_H
#define CP_FAN_H

#include "core/park.h"

#include <coop/channel.h>

struct cp_fan {
	struct cp_rt *rt;        /* NULL: its run has ended */
	struct cp_queue waiting; /* entries of cases */
	size_t bytes;
	char *slots;
	uint64_t mask; /* number of slots - 1 */
	uint64_t cap;
	uint64_t sent; /* the number of the next value */
	uint64_t lost;
	bool closed;
	const char *kind; /* "broadcast" */
	const char *site;
	struct cp_debt debt;
	char name[COOP_NAME_MAX + 1];
};

int cp_fan_new(size_t item_bytes, uint32_t cap, const char *name, const char *kind,
	       const char *site, struct cp_fan **ret_fan);
int cp_fan_send(struct cp_fan *f, const void *item);
/* How many values were passed over; -EAGAIN: it has to wait, COOP_EOF: no more comes. */
int cp_fan_recv_now(struct cp_fan *f, uint64_t *position, void *ret_item);
int cp_fan_recv(struct cp_fan *f, uint64_t *position, void *ret_item, const char *what);
void cp_fan_copy_last(const struct cp_fan *f, void *ret_item);
int cp_fan_close(struct cp_fan *f);
void cp_fan_free(struct cp_fan *f, const char *call);
uint32_t cp_fan_waiting(const struct cp_fan *f);
/* As cp_fan_recv_now, in a select. */
struct coop_case cp_fan_case(struct cp_fan *f, uint64_t *position, void *ret_item);

#endif
