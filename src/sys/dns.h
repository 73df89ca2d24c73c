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

/* What a resolver has found, one after the other; `node` is in its words. */
struct cp_dns_found {
	const struct sockaddr *sa;
	socklen_t len;
	const void *next; /* NULL: that was the last */
};

/* Makes a list of those that are of the Internet, with `port`; negative: as they were found. 0,
 * -ENOENT: there is none, -ENOMEM. */
int cp_addr_list_make(const void *first, struct cp_dns_found (*look)(const void *node), int port,
		      struct coop_addr_list **ret_list);

enum cp_dns { CP_DNS_THREADS, CP_DNS_CARES };

/* Who is to look names up in this run; or -ENOTSUP: who was asked for is not there. */
int cp_dns_choose(const struct cp_rt *rt);

/* As coop_resolve, for a host that is a name, with the port for the service. A checkpoint. */
int cp_cares_look_up(struct cp_rt *rt, const struct cp_dns_query *q, uint16_t port,
		     struct coop_addr_list **ret_list);

/* For tests: ask these servers, "127.0.0.1:5353,...", and wait so long for each; NULL and 0: as the
 * system is configured. */
struct cp_cares_test {
	const char *servers;
	int timeout_ms;
};
extern struct cp_cares_test cp_cares_test;

#endif
