/* SPDX-License-Identifier: MIT */
/*
 * Names by c-ares, on the loop: no thread, and a cancel leaves nothing behind.
 *
 * Each look-up has a channel of its own, in the frame of its task. The sockets that c-ares opens
 * are kept in an epoll descriptor, and the task waits for that one by coop_poll, for as long as
 * c-ares wants to wait itself: then it lets c-ares read, send again, ask the next server. A cancel
 * ends the wait, and the channel is destroyed, which closes all sockets. Look-ups are limited by
 * number, since each has a few descriptors; those beyond wait in turn.
 *
 * c-ares reads resolv.conf and hosts in this thread when a look-up begins: small local files. The
 * names of services are not its business: it would ask the C library in this thread, which may
 * ask a server for them.
 *
 * Invariants
 *   1. The channel is destroyed before the call returns; so the last callback was before that.
 *   2. What c-ares has opened is in the epoll descriptor or closed.
 */
#include "sys/dns.h"

#include "base/os.h"
#include "core/park.h"
#include "sys/net.h"

#include <coop/io.h>
#include <coop/sync.h>

#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>

/* Of one loop at a time. */
#define LOOK_UPS_MAX 64

/* What getaddrinfo waits for a server, and how often it asks. */
#define SERVER_TIMEOUT_MS 5000
#define SERVER_TRIES 2

struct look_up {
	ares_channel channel;
	int epfd;
	int failed; /* of the epoll descriptor: 0 or an error */
	bool done;
	int status; /* c-ares's, once it is done */
	struct ares_addrinfo *found;
};

struct cp_cares_test cp_cares_test;

/* ------------------------------------------------------------------ what c-ares tells */

/* It wants to read or write a socket, or neither: then it closes it. */
static void socket_changed(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct look_up *l = arg;
	uint32_t events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);
	int r;

	(void)cp_os_epoll_remove(l->epfd, fd); /* it may be the first time */
	if (!events)
		return;
	r = cp_os_epoll_add(l->epfd, fd, events, (uint64_t)fd);
	if (r < 0)
		l->failed = r;
}

static void answered(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
	struct look_up *l = arg;

	(void)timeouts;
	l->done = true;
	l->status = status;
	l->found = found;
}

/* In the words of base/os_net.c: lookup_error. */
static int error_of(int status)
{
	switch (status) {
	case ARES_SUCCESS: return 0;
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
	case ARES_ENONAME:
	case ARES_EBADNAME: return -ENOENT;
	case ARES_ESERVICE: return -EINVAL;
	case ARES_ESERVFAIL:
	case ARES_ENOTIMP: /* newer ones tell what the last server has said */
	case ARES_EREFUSED:
	case ARES_ECONNREFUSED:
	case ARES_ETIMEOUT: return -EAGAIN;
	case ARES_EBADFAMILY: return -EAFNOSUPPORT;
	case ARES_ENOMEM: return -ENOMEM;
	default: return -EIO;
	}
}

/* ------------------------------------------------------------------------ the channel */

static void library_open(void)
{
	(void)ares_library_init(ARES_LIB_INIT_ALL); /* it does nothing on Linux, and cannot fail */
}

static int channel_open(struct look_up *l)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct ares_options opts = { .timeout = cp_cares_test.timeout_ms ? cp_cares_test.timeout_ms
									 : SERVER_TIMEOUT_MS,
				     .tries = SERVER_TRIES,
				     .sock_state_cb = socket_changed,
				     .sock_state_cb_data = l };
	int r;

	pthread_once(&once, library_open);
	r = ares_init_options(&l->channel, &opts,
			      ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
	if (r != ARES_SUCCESS)
		return error_of(r);
	if (!cp_cares_test.servers)
		return 0;
	r = ares_set_servers_ports_csv(l->channel, cp_cares_test.servers);
	if (r == ARES_SUCCESS)
		return 0;
	ares_destroy(l->channel);
	return error_of(r);
}

/* ------------------------------------------------------------------------ the waiting */

/* Until a socket is ready or the time of c-ares is up: 0; or an error. */
static int await(struct cp_rt *rt, struct look_up *l)
{
	struct timeval tv = { 0 }, *limit = ares_timeout(l->channel, NULL, &tv);
	int64_t ns = limit ? tv.tv_sec * COOP_SECONDS(1) + tv.tv_usec * 1000 : COOP_NEVER;
	struct coop_scope_opts opts = { .deadline_ns = cp_time_add(cp_clock(rt), ns) };
	struct coop_error *err = cp_err_slot_aside(&rt->body->err);
	struct coop_scope scope = COOP_SCOPE_INIT;
	int r;

	(void)coop_scope_open_at(&scope, &opts, "coop_resolve\0000");
	r = coop_poll(l->epfd, POLLIN);
	r = coop_scope_close(&scope, r < 0 ? r : 0);
	cp_err_slot_back(&rt->body->err, err);
	return r;
}

/* Has c-ares look at what is ready, or at the clock. */
static void look(struct look_up *l)
{
	struct epoll_event events[8];
	int n = cp_os_epoll_wait(l->epfd, events, CP_ARRAY_LEN(events), 0);

	for (int i = 0; i < n; i++) {
		ares_socket_t fd = (ares_socket_t)events[i].data.u64;
		bool in = events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR);
		bool out = events[i].events & EPOLLOUT;

		ares_process_fd(l->channel, in ? fd : ARES_SOCKET_BAD, out ? fd : ARES_SOCKET_BAD);
	}
	if (n <= 0)
		ares_process_fd(l->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static int ask(struct cp_rt *rt, struct look_up *l, const struct cp_dns_query *q)
{
	struct ares_addrinfo_hints hints = { .ai_family = q->family, .ai_socktype = q->type };
	int r = 0;

	ares_getaddrinfo(l->channel, q->host, NULL, &hints, answered, l);
	while (!l->done && r == 0 && l->failed == 0) {
		r = await(rt, l);
		if (r == 0)
			look(l);
	}
	if (l->done)
		return error_of(l->status); /* completion wins */
	return r < 0 ? r : l->failed;
}

/* ------------------------------------------------------------------------ the answer */

static struct cp_dns_found read_found(const void *node)
{
	const struct ares_addrinfo_node *n = node;

	return (struct cp_dns_found){ n->ai_addr, n->ai_addrlen, n->ai_next };
}

static struct cp_dns_found read_one(const void *node)
{
	const struct coop_addr *addr = node;

	return (struct cp_dns_found){ &addr->sa, addr->len, NULL };
}

/* "127.1", "0x7f000001": as getaddrinfo reads them. 0, or -EINVAL. */
static int read_short(const char *host, uint16_t port, struct coop_addr *ret_addr)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (strpbrk(host, " \t\n") || !inet_aton(host, &in.sin_addr))
		return -EINVAL;
	*ret_addr = (struct coop_addr){ .in = in, .len = sizeof in };
	return 0;
}

/* An address, whose service has a name, or a short one. 1: it is a name. */
static int as_number(const struct cp_dns_query *q, uint16_t port, struct coop_addr_list **ret_list)
{
	struct coop_addr addr;
	int r = coop_addr_ip(q->host, port, &addr);

	if (r == -EINVAL)
		r = read_short(q->host, port, &addr);
	if (r < 0)
		return r == -EINVAL ? 1 : r;
	if (q->family && q->family != addr.sa.sa_family)
		return -ENOENT;
	return cp_addr_list_make(&addr, read_one, -1, ret_list);
}

static int with_channel(struct cp_rt *rt, const struct cp_dns_query *q, uint16_t port,
			struct coop_addr_list **ret_list)
{
	struct look_up l = { .epfd = cp_os_epoll_create() };
	int r;

	if (l.epfd < 0)
		return l.epfd;
	r = channel_open(&l);
	if (r == 0) {
		r = ask(rt, &l, q);
		if (r == 0)
			r = cp_addr_list_make(l.found->nodes, read_found, port, ret_list);
		ares_destroy(l.channel);
		if (l.found)
			ares_freeaddrinfo(l.found);
	}
	coop_close(l.epfd);
	return r;
}

/* ------------------------------------------------------------------------ the call */

/* Of this thread: while nobody looks up it belongs to no run. */
static __thread struct coop_sem room;
static __thread unsigned users;

int cp_cares_look_up(struct cp_rt *rt, const struct cp_dns_query *q, uint16_t port,
		     struct coop_addr_list **ret_list)
{
	int r;

	if (users++ == 0)
		room = (struct coop_sem)COOP_SEM_INIT(LOOK_UPS_MAX);
	r = coop_sem_acquire(&room);
	if (r == 0) {
		r = as_number(q, port, ret_list);
		if (r == 1)
			r = with_channel(rt, q, port, ret_list);
		coop_sem_release(&room);
	}
	users--;
	return r;
}
