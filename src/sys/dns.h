/* SPDX-License-Identifier: MIT */
/*
 * Looking up names: what net_resolve.c asks, and who answers it.
 *
 * Either the C library's getaddrinfo in a thread of the DNS lane, which knows all that
 * nsswitch.conf may name, or, where it was built in, c-ares on the loop, which knows hosts and
 * name servers. Both answer with the same codes and in the same order.
 */
#ifndef CP_DNS_H
#define CP_DNS_H

#include "core/core.h"

#include <coop/net.h>

struct cp_dns_query {
	const char *host, *service; /* NULL: none */
	int family, type;
	bool passive;
};

/* Room for `count` addresses; NULL without memory. */
struct coop_addr_list *cp_addr_list_new(size_t count);
void cp_addr_list_add(struct coop_addr_list *list, const struct coop_addr *addr);

enum cp_dns { CP_DNS_THREADS, CP_DNS_CARES };

/* Who is to look names up in this run; or -ENOTSUP: who was asked for is not there. */
int cp_dns_choose(const struct cp_rt *rt);

/* As coop_resolve, for a host that is a name. A checkpoint. */
int cp_cares_look_up(struct cp_rt *rt, const struct cp_dns_query *q,
		     struct coop_addr_list **ret_list);

/* For tests: ask these servers, "127.0.0.1:5353,...", and wait so long for each; NULL and 0: as the
 * system is configured. */
struct cp_cares_test {
	const char *servers;
	int timeout_ms;
};
extern struct cp_cares_test cp_cares_test;

#endif
