/* SPDX-License-Identifier: MIT */
/*
 * Connecting: to an address, to a name by a race of its addresses, to a path.
 *
 * The race is RFC 8305's ("happy eyeballs") by the staggered race of compose.h: a broken IPv6 costs
 * a quarter of a second, not a minute. Each attempt owns its descriptor until it returns it; what a
 * loser has connected goes to the race's discard, so nothing is left open, whoever wins or cancels.
 */
#include "sys/net.h"

#include "core/group.h"

#include <coop/compose.h>
#include <coop/io.h>

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

#define STAGGER_NS COOP_MILLISECONDS(250)
#define KEEPALIVE_COUNT 4
#define UNIX_RETRY_NS COOP_MILLISECONDS(1)
#define UNIX_RETRY_MAX_NS COOP_MILLISECONDS(50)

static const struct coop_connect_opts none;

static int check(const struct coop_connect_opts **opts)
{
	if (!*opts)
		*opts = &none;
	if (!cp_zero_words((*opts)->_reserved, CP_ARRAY_LEN((*opts)->_reserved)) ||
	    (*opts)->stagger_ns < 0 || (*opts)->keepalive_ns < 0)
		return -EINVAL;
	return 0;
}

/* ---------------------------------------------------------------- one attempt */

static int seconds(int64_t ns)
{
	int64_t s = ns / COOP_SECONDS(1);

	return s < 1 ? 1 : s > 32767 ? 32767 : (int)s; /* the kernel takes no more */
}

static int set_keepalive(struct cp_world *world, int fd, int64_t keepalive_ns)
{
	int r = cp_net_set_int(world, fd, SOL_SOCKET, SO_KEEPALIVE, 1);

	if (r >= 0)
		r = cp_net_set_int(world, fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds(keepalive_ns));
	if (r >= 0)
		r = cp_net_set_int(world, fd, IPPROTO_TCP, TCP_KEEPINTVL,
				   seconds(keepalive_ns / KEEPALIVE_COUNT));
	if (r >= 0)
		r = cp_net_set_int(world, fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
	return r;
}

static int prepare(struct cp_world *world, int fd, const struct coop_connect_opts *opts)
{
	int r = 0;

	if (!opts->delay)
		r = cp_net_set_int(world, fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (r >= 0 && opts->keepalive_ns)
		r = set_keepalive(world, fd, opts->keepalive_ns);
	if (r >= 0 && opts->bind && opts->bind->len)
		r = world->ops->bind(world, fd, &opts->bind->sa, opts->bind->len);
	return r;
}

/*
 * Nobody listened, and the kernel chose for us the very port that we asked for: connected to
 * ourselves, which TCP allows.
 */
static bool is_self(struct cp_world *world, int fd, const struct coop_addr *addr)
{
	struct coop_addr own = { .len = sizeof own.un };

	return world->ops->getsockname(world, fd, &own.sa, &own.len) >= 0 &&
	       coop_addr_compare(&own, addr) == 0;
}

static int connect_addr(struct cp_rt *rt, const struct coop_addr *addr,
			const struct coop_connect_opts *opts)
{
	struct cp_world *world = cp_world_of(rt);
	int fd, r;

	if (cp_net_cancelled(rt))
		return cp_refuse(0);
	fd = world->ops->socket(world, addr->sa.sa_family, SOCK_STREAM, 0);
	if (fd < 0)
		return cp_refuse(fd);
	r = prepare(world, fd, opts);
	if (r < 0) {
		world->ops->close(world, fd);
		return cp_refuse(r);
	}
	r = coop_connect(fd, &addr->sa, addr->len);
	if (r >= 0 && is_self(world, fd, addr))
		r = -ECONNREFUSED;
	if (r >= 0)
		return fd;
	coop_close(fd);
	return r;
}

static int explain(int r, const struct coop_addr *addr)
{
	char text[COOP_ADDR_TEXT_MAX];

	if (r >= 0 || r == COOP_ECANCELED)
		return r;
	return coop_fail(r, "connecting to %s: %s", coop_addr_text(addr, text, sizeof text),
			 coop_code_text(r));
}

int coop_tcp_connect_addr(const struct coop_addr *addr, const struct coop_connect_opts *opts)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	r = check(&opts);
	if (r < 0 || !addr || (addr->sa.sa_family != AF_INET && addr->sa.sa_family != AF_INET6))
		return cp_refuse(-EINVAL);
	return explain(connect_addr(rt, addr, opts), addr);
}

/* ---------------------------------------------------------------- the race */

struct attempt {
	const struct coop_addr *addr;
	const struct coop_connect_opts *opts;
	char name[80];
};

static int attempt(void *arg)
{
	const struct attempt *a = arg;

	return explain(connect_addr(cp_rt, a->addr, a->opts), a->addr);
}

static void discard(const struct coop_call *call, int value, void *ctx)
{
	(void)call;
	(void)ctx;
	coop_close(value);
}

/* The next of a family from `from` on; `count` if there is none. */
static uint32_t next_of(const struct coop_addr_list *list, int family, uint32_t from)
{
	while (from < list->count && list->addrs[from].sa.sa_family != family)
		from++;
	return from;
}

/* Families take turns; within one the order is the list's. */
static void interleave(const struct coop_addr_list *list, const struct coop_addr **order)
{
	uint32_t six = next_of(list, AF_INET6, 0), four = next_of(list, AF_INET, 0), n = 0;

	while (six < list->count || four < list->count) {
		if (six < list->count) {
			order[n++] = &list->addrs[six];
			six = next_of(list, AF_INET6, six + 1);
		}
		if (four < list->count) {
			order[n++] = &list->addrs[four];
			four = next_of(list, AF_INET, four + 1);
		}
	}
}

/* The calls, the attempts and the order are one block. */
static int race(const struct coop_addr_list *list, const struct coop_connect_opts *opts)
{
	static const struct coop_race_opts race_opts = { .discard = discard, .log_losers = true };
	size_t each = sizeof(struct coop_call) + sizeof(struct attempt) + sizeof(void *);
	struct coop_call *calls = cp_calloc(list->count, each);
	struct attempt *attempts = (struct attempt *)(calls + list->count);
	const struct coop_addr **order = (const struct coop_addr **)(attempts + list->count);
	int r;

	if (!calls)
		return -ENOMEM;
	interleave(list, order);
	for (uint32_t i = 0; i < list->count; i++) {
		struct attempt *a = &attempts[i];

		*a = (struct attempt){ .addr = order[i], .opts = opts };
		coop_addr_text(order[i], a->name, sizeof a->name);
		calls[i] = (struct coop_call){ .fn = attempt, .arg = a, .name = a->name };
	}
	r = coop_staggered_race(calls, list->count,
				opts->stagger_ns ? opts->stagger_ns : STAGGER_NS, &race_opts, NULL);
	cp_free(calls);
	return r;
}

int coop_tcp_connect(const char *host, const char *service, const struct coop_connect_opts *opts)
{
	struct coop_resolve_opts resolve = { 0 };
	struct coop_addr_list *list;
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	r = check(&opts);
	if (r < 0)
		return r;
	resolve.family = opts->family;
	r = coop_resolve(host, service, &resolve, &list);
	if (r < 0)
		return r;
	if (list->count == 1) {
		r = explain(connect_addr(rt, list->addrs, opts), list->addrs);
	} else {
		r = race(list, opts);
		if (r < 0)
			r = coop_wrap(r, r, "connecting to %s:%s, which has %u addresses",
				      host ? host : "", service ? service : "", list->count);
	}
	coop_addr_list_free(list);
	return r;
}

/* ---------------------------------------------------------------- Unix sockets */

/*
 * Nothing to wait for, save where the queue of the listener is full: the kernel would have us
 * block, and tells nobody when there is room.
 */
static int connect_path(struct cp_rt *rt, int fd, const struct coop_addr *addr)
{
	struct cp_world *world = cp_world_of(rt);
	int64_t pause_ns = UNIX_RETRY_NS;
	int r;

	for (;;) {
		r = world->ops->connect(world, fd, &addr->sa, addr->len);
		if (r != -EAGAIN)
			return r;
		r = coop_sleep(pause_ns);
		if (r < 0)
			return r;
		pause_ns = pause_ns * 2 > UNIX_RETRY_MAX_NS ? UNIX_RETRY_MAX_NS : pause_ns * 2;
	}
}

int coop_unix_connect(const char *path)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_world *world = cp_world_of(rt);
	struct coop_addr addr;
	int fd, r;

	if (!rt)
		return cp_no_task();
	r = cp_refuse(cp_addr_of_path(path, &addr));
	if (r < 0)
		return r;
	fd = world->ops->socket(world, AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0)
		return fd;
	r = connect_path(rt, fd, &addr);
	if (r >= 0)
		return fd;
	world->ops->close(world, fd);
	return explain(r, &addr);
}
