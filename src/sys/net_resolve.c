/* SPDX-License-Identifier: MIT */
/*
 * Names to addresses: by the C library, which alone knows nsswitch.conf, in a thread of the DNS
 * lane, or by c-ares (dns.h).
 *
 * What is an address already never leaves the loop. A look-up that blocks cannot be called off, so
 * its request lies on the heap and a cancel abandons it: the thread frees it when it comes back.
 *
 * Equal look-ups of one loop at one time are one: the first task to ask is in flight, the others
 * wait for it. If it is cancelled they ask anew, and the first of them is in flight.
 *
 * Invariants
 *   1. A flight is on the list from before its thread, or c-ares, is asked until its task runs
 *      again; it lies in the frame of that task.
 *   2. A list of addresses has one owner for each task that got it.
 */
#include "sys/net.h"

#include "sys/dns.h"

#include "core/group.h"
#include "sync/sync.h"

#include <coop/thread.h>

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

struct list {
	struct coop_addr_list list; /* first */
	uint32_t refs;              /* atomic */
	struct coop_addr addrs[];
};

/* What a thread works at; the query's texts are behind it. */
struct request {
	struct cp_dns_query query;
	struct list *found;
};

struct flight {
	struct flight *next;
	const struct cp_dns_query *query;
	struct cp_queue followers;
};

struct follower {
	struct cp_queue_wait w;
	struct list *found;
	int r;
};

/* As a result of a follower: ask yourself. */
#define ASK_ANEW 1

static __thread struct flight *flights;

/* ---------------------------------------------------------------- lists */

static struct list *list_new(size_t count)
{
	struct list *l = cp_alloc(sizeof *l + count * sizeof(struct coop_addr));

	if (!l)
		return NULL;
	l->list = (struct coop_addr_list){ .addrs = l->addrs };
	l->refs = 1;
	return l;
}

struct coop_addr_list *coop_addr_list_free(struct coop_addr_list *list)
{
	struct list *l = (struct list *)list;

	if (l && __atomic_sub_fetch(&l->refs, 1, __ATOMIC_ACQ_REL) == 0)
		cp_free(l);
	return NULL;
}

static struct list *list_ref(struct list *l)
{
	if (l)
		__atomic_add_fetch(&l->refs, 1, __ATOMIC_RELAXED);
	return l;
}

static void list_add(struct list *l, const struct coop_addr *addr)
{
	l->addrs[l->list.count++] = *addr;
}

/* The address of `found` with the port; false: it is none of the Internet. */
static bool addr_of(const struct cp_dns_found *found, int port, struct coop_addr *ret_addr)
{
	int family = found->sa->sa_family;

	if ((family != AF_INET && family != AF_INET6) || found->len > sizeof ret_addr->in6)
		return false;
	ret_addr->len = found->len;
	memcpy(&ret_addr->sa, found->sa, found->len);
	if (port >= 0 && family == AF_INET)
		ret_addr->in.sin_port = htons((uint16_t)port);
	else if (port >= 0)
		ret_addr->in6.sin6_port = htons((uint16_t)port);
	return true;
}

int cp_addr_list_make(const void *first, struct cp_dns_found (*look)(const void *node), int port,
		      struct coop_addr_list **ret_list)
{
	struct cp_dns_found found;
	struct list *l;
	size_t count = 0;

	for (const void *node = first; node; node = look(node).next)
		count++;
	l = list_new(count);
	if (!l)
		return -ENOMEM;
	for (const void *node = first; node; node = found.next) {
		struct coop_addr addr = { 0 };

		found = look(node);
		if (addr_of(&found, port, &addr))
			list_add(l, &addr);
	}
	if (l->list.count == 0) {
		coop_addr_list_free(&l->list);
		return -ENOENT;
	}
	*ret_list = &l->list;
	return 0;
}

/* ---------------------------------------------------------------- what needs no look-up */

static bool wants(const struct cp_dns_query *q, int family)
{
	return !q->family || q->family == family;
}

/* This machine: IPv6 first. */
static int local(const struct cp_dns_query *q, uint16_t port, struct list **ret_list)
{
	static const char *const hosts[2][2] = { { "::1", "127.0.0.1" }, { "::", "0.0.0.0" } };
	struct list *l = list_new(2);
	struct coop_addr addr;

	if (!l)
		return -ENOMEM;
	for (int i = 0; i < 2; i++)
		if (wants(q, i ? AF_INET : AF_INET6) &&
		    coop_addr_ip(hosts[q->passive][i], port, &addr) == 0)
			list_add(l, &addr);
	*ret_list = l;
	return 0;
}

static int literal(const struct cp_dns_query *q, const struct coop_addr *addr,
		   struct list **ret_list)
{
	struct list *l;

	if (!wants(q, addr->sa.sa_family))
		return -EAFNOSUPPORT;
	l = list_new(1);
	if (!l)
		return -ENOMEM;
	list_add(l, addr);
	*ret_list = l;
	return 0;
}

/* Each name of a service has a letter (RFC 6335). Without one it is a number, and one that cannot
 * be a port is no question for resolvers: the C library's makes a port of any. */
static bool may_be_name(const char *service)
{
	for (; *service; service++)
		if ((*service | 0x20) >= 'a' && (*service | 0x20) <= 'z')
			return true;
	return false;
}

/* 0 and a list, -errno, or 1: it has to be looked up. */
static int at_once(const struct cp_dns_query *q, struct list **ret_list)
{
	int port = q->service ? cp_port_read(q->service) : 0, r;
	struct coop_addr addr;

	if (port < 0)
		return may_be_name(q->service) ? 1 : -EINVAL;
	if (!q->host)
		return local(q, (uint16_t)port, ret_list);
	r = coop_addr_ip(q->host, (uint16_t)port, &addr);
	if (r == -EINVAL)
		return 1;
	return r < 0 ? r : literal(q, &addr, ret_list);
}

/* ---------------------------------------------------------------- in the thread */

static struct cp_dns_found read_found(const void *node)
{
	const struct addrinfo *ai = node;

	return (struct cp_dns_found){ ai->ai_addr, ai->ai_addrlen, ai->ai_next };
}

static int look_up(void *arg)
{
	struct request *req = arg;
	struct addrinfo hints = { .ai_family = req->query.family,
				  .ai_socktype = req->query.type,
				  .ai_flags = req->query.passive ? AI_PASSIVE : 0 };
	struct coop_addr_list *list = NULL;
	struct addrinfo *found = NULL;
	int r = cp_os_lookup(req->query.host, req->query.service, &hints, &found);

	if (r >= 0)
		r = cp_addr_list_make(found, read_found, -1, &list);
	req->found = (struct list *)list;
	cp_os_lookup_free(found);
	return r;
}

static void request_free(struct request *req)
{
	if (req->found)
		coop_addr_list_free(&req->found->list);
	cp_free(req);
}

/* The task is gone. */
static void look_up_late(void *arg, int result)
{
	(void)result;
	request_free(arg);
}

static const char *copy(char **at, const char *text)
{
	char *to = *at;
	size_t bytes = text ? strlen(text) + 1 : 0;

	if (!text)
		return NULL;
	memcpy(to, text, bytes);
	*at += bytes;
	return to;
}

static struct request *request_new(const struct cp_dns_query *q)
{
	size_t host = q->host ? strlen(q->host) + 1 : 0;
	size_t service = q->service ? strlen(q->service) + 1 : 0;
	struct request *req = cp_alloc(sizeof *req + host + service);
	char *at = (char *)(req + 1);

	if (!req)
		return NULL;
	*req = (struct request){ .query = *q };
	req->query.host = copy(&at, q->host);
	req->query.service = copy(&at, q->service);
	return req;
}

/* ---------------------------------------------------------------- flights */

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static struct flight *find_flight(const struct cp_dns_query *q)
{
	struct flight *f;

	for (f = flights; f; f = f->next)
		if (same_text(f->query->host, q->host) &&
		    same_text(f->query->service, q->service) && f->query->family == q->family &&
		    f->query->type == q->type && f->query->passive == q->passive)
			return f;
	return NULL;
}

static void end_flight(struct cp_rt *rt, struct flight *flight, int r, struct list *found)
{
	struct flight **at = &flights;
	struct cp_waiter *e;

	while (*at != flight)
		at = &(*at)->next;
	*at = flight->next;
	while ((e = cp_queue_take(&flight->followers))) {
		struct follower *f = CP_CONTAINER_OF(e, struct follower, w.entry);

		f->r = r == COOP_ECANCELED ? ASK_ANEW : r;
		f->found = list_ref(found);
		cp_waiter_wake(rt, e, 0);
	}
}

static int by_thread(const struct cp_dns_query *q, struct list **ret_list)
{
	static const struct coop_offload_opts opts = { .lane = COOP_LANE_DNS,
						       .on_cancel = COOP_ON_CANCEL_ABANDON,
						       .late = look_up_late };
	struct request *req = request_new(q);
	int r;

	if (!req)
		return cp_refuse(-ENOMEM);
	r = coop_offload_with(look_up, req, &opts);
	if (r == COOP_ECANCELED)
		return r; /* it is the thread's now */
	if (r >= 0) {
		*ret_list = req->found;
		req->found = NULL;
	}
	request_free(req);
	return r;
}

/* The port of a service; a name is looked up by the C library, and in a thread. */
static int port_of(const struct cp_dns_query *q, uint16_t *ret_port)
{
	struct cp_dns_query service = { .service = q->service, .type = q->type };
	int port = q->service ? cp_port_read(q->service) : 0, r;
	struct list *found;

	if (port < 0) {
		r = by_thread(&service, &found);
		if (r < 0)
			return r;
		port = coop_addr_port(&found->addrs[0]);
		coop_addr_list_free(&found->list);
	}
	*ret_port = (uint16_t)port;
	return 0;
}

static int by_cares(struct cp_rt *rt, const struct cp_dns_query *q, struct list **ret_list)
{
	struct coop_addr_list *list = NULL;
	uint16_t port;
	int r = port_of(q, &port);

	if (r == 0)
		r = cp_cares_look_up(rt, q, port, &list);
	*ret_list = (struct list *)list;
	return r;
}

static int lead(struct cp_rt *rt, const struct cp_dns_query *q, struct list **ret_list)
{
	struct flight flight = { .next = flights, .query = q };
	struct list *found = NULL;
	int who = cp_dns_choose(rt), r;

	if (who < 0)
		return cp_refuse(who);
	flights = &flight;
	if (who == CP_DNS_CARES && q->host)
		r = by_cares(rt, q, &found);
	else
		r = by_thread(q, &found);
	end_flight(rt, &flight, r, found);
	if (r >= 0)
		*ret_list = found;
	return r;
}

static int follow(struct cp_rt *rt, struct flight *flight, struct list **ret_list)
{
	struct follower f = { 0 };
	int r = cp_cancel_point(rt);

	if (r < 0)
		return r;
	cp_sync_fill(&f.w.wait, "coop_resolve");
	r = cp_queue_park(rt, &flight->followers, &f.w);
	if (r < 0)
		return r;
	if (f.r == 0)
		*ret_list = f.found;
	return f.r;
}

static int resolve(struct cp_rt *rt, const struct cp_dns_query *q, struct list **ret_list)
{
	struct flight *flight;
	int r;

	do {
		flight = find_flight(q);
		r = flight ? follow(rt, flight, ret_list) : lead(rt, q, ret_list);
	} while (r == ASK_ANEW);
	return r;
}

/* ---------------------------------------------------------------- the call */

static const char *text_of(const char *text)
{
	return text && *text ? text : NULL;
}

static int explain(int r, const struct cp_dns_query *q)
{
	const char *why = r == -ENOENT   ? "no such host"
			  : r == -EINVAL ? "no such service"
			  : r == -EAGAIN ? "the name server does not answer"
					 : coop_code_text(r);

	return coop_fail(r, "%s%s%s: %s", q->host ? q->host : "", q->service ? ":" : "",
			 q->service ? q->service : "", why);
}

int coop_resolve(const char *host, const char *service, const struct coop_resolve_opts *opts,
		 struct coop_addr_list **ret_list)
{
	static const struct coop_resolve_opts none;
	struct cp_rt *rt = cp_in_task();
	struct cp_dns_query q = { .host = text_of(host), .service = text_of(service) };
	struct list *found = NULL;
	int r;

	if (!rt)
		return cp_no_task();
	if (!opts)
		opts = &none;
	if (!cp_zero_words(opts->_reserved, CP_ARRAY_LEN(opts->_reserved)) ||
	    (opts->family && opts->family != AF_INET && opts->family != AF_INET6))
		return cp_refuse(-EINVAL);
	q.family = opts->family;
	q.type = opts->type ? opts->type : SOCK_STREAM;
	q.passive = opts->passive;
	if (cp_net_cancelled(rt))
		return cp_refuse(0);
	r = at_once(&q, &found);
	r = r == 1 ? resolve(rt, &q, &found) : cp_refuse(r);
	if (r < 0 && found) /* cancelled by the checkpoint */
		coop_addr_list_free(&found->list);
	if (r < 0)
		return r == COOP_ECANCELED ? r : explain(r, &q);
	*ret_list = &found->list;
	return 0;
}
