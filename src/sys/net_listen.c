/* SPDX-License-Identifier: MIT */
/*
 * Listeners: opening them over TCP, taking over those of others, closing.
 *
 * What is accepted inherits the listener's TCP_NODELAY, so a connection costs no call of its own
 * for that, and there is none between accept and the handler that could fail.
 */
#include "sys/net.h"

#include "base/forks.h"
#include "base/os_process.h"
#include "core/group.h"

#include <coop/io.h>

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#define BACKLOG_DEFAULT 4096
#define FIRST_PASSED_FD 3
#define PASSED_MAX 1024

static const struct coop_listen_opts none;

int cp_listen_check(const struct coop_listen_opts *opts)
{
	if (!cp_zero_words(opts->_reserved, CP_ARRAY_LEN(opts->_reserved)) || opts->backlog < 0 ||
	    opts->mode & ~07777u)
		return -EINVAL;
	return 0;
}

int cp_listen_backlog(struct cp_world *world, const struct coop_listen_opts *opts)
{
	int want = opts->backlog ? opts->backlog : BACKLOG_DEFAULT;
	int limit = world->ops->somaxconn(world);

	if (want <= limit)
		return want;
	coop_log(opts->backlog ? COOP_LOG_WARN : COOP_LOG_DEBUG,
		 "listen: a backlog of %d is wanted, net.core.somaxconn allows %d", want, limit);
	return limit;
}

int cp_listener_new(struct cp_world *world, int fd, const struct coop_listen_opts *opts,
		    int backlog, struct coop_listener **ret_listener)
{
	struct coop_listener *l = cp_calloc(1, sizeof *l);
	int r;

	if (!l)
		return -ENOMEM;
	l->fd = fd;
	l->delay = opts->delay;
	l->stats.backlog = backlog;
	l->addr.len = sizeof l->addr.un;
	r = world->ops->getsockname(world, fd, &l->addr.sa, &l->addr.len);
	if (r < 0) {
		cp_free(l);
		return r;
	}
	*ret_listener = l;
	return 0;
}

/* ---------------------------------------------------------------- TCP */

static int prepare(struct cp_world *world, int fd, const struct coop_addr *addr,
		   const struct coop_listen_opts *opts)
{
	int r = 0;

	if (addr->sa.sa_family == AF_INET6)
		r = cp_net_set_int(world, fd, IPPROTO_IPV6, IPV6_V6ONLY, opts->v6_only);
	if (r >= 0 && !opts->no_reuse_addr)
		r = cp_net_set_int(world, fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (r >= 0 && opts->reuse_port)
		r = cp_net_set_int(world, fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (r >= 0 && !opts->delay)
		r = cp_net_set_int(world, fd, IPPROTO_TCP, TCP_NODELAY, 1);
	return r;
}

static int listen_on(struct cp_world *world, int fd, const struct coop_addr *addr,
		     const struct coop_listen_opts *opts, struct coop_listener **ret_listener)
{
	int backlog = cp_listen_backlog(world, opts);
	int r = prepare(world, fd, addr, opts);

	if (r >= 0)
		r = world->ops->bind(world, fd, &addr->sa, addr->len);
	if (r >= 0)
		r = world->ops->listen(world, fd, backlog);
	if (r >= 0)
		r = cp_listener_new(world, fd, opts, backlog, ret_listener);
	return r;
}

int coop_tcp_listen_addr(const struct coop_addr *addr, const struct coop_listen_opts *opts,
			 struct coop_listener **ret_listener)
{
	struct cp_world *world = cp_world_of(cp_rt);
	char text[COOP_ADDR_TEXT_MAX];
	int fd, r;

	if (!opts)
		opts = &none;
	if (cp_listen_check(opts) < 0 || !addr || addr->len == 0 ||
	    (addr->sa.sa_family != AF_INET && addr->sa.sa_family != AF_INET6))
		return -EINVAL;
	fd = world->ops->socket(world, addr->sa.sa_family, SOCK_STREAM, 0);
	r = fd < 0 ? fd : listen_on(world, fd, addr, opts, ret_listener);
	if (r >= 0)
		return 0;
	if (fd >= 0)
		world->ops->close(world, fd);
	return coop_fail(r, "listening at %s: %s", coop_addr_text(addr, text, sizeof text),
			 coop_code_text(r));
}

/* The first that can be bound; else what the first one failed with. */
static int listen_at_list(const struct coop_addr_list *list, const struct coop_listen_opts *opts,
			  struct coop_listener **ret_listener)
{
	struct coop_error *first = NULL;
	int r = -ENOENT;

	for (uint32_t i = 0; i < list->count; i++) {
		r = coop_tcp_listen_addr(&list->addrs[i], opts, ret_listener);
		if (r >= 0)
			break;
		if (i == 0)
			first = coop_error_take(r);
	}
	if (r < 0)
		return coop_error_raise(first);
	if (first) {
		coop_error_unref(first);
		coop_error_clear();
	}
	return 0;
}

int coop_tcp_listen(const char *host, const char *service, const struct coop_listen_opts *opts,
		    struct coop_listener **ret_listener)
{
	struct coop_resolve_opts resolve = { .passive = true };
	struct coop_addr_list *list;
	int r;

	if (!opts)
		opts = &none;
	if (cp_listen_check(opts) < 0)
		return cp_refuse(-EINVAL);
	resolve.family = opts->family;
	r = coop_resolve(host && strcmp(host, "*") == 0 ? NULL : host, service, &resolve, &list);
	if (r < 0)
		return r;
	r = listen_at_list(list, opts, ret_listener);
	coop_addr_list_free(list);
	return r;
}

/* ---------------------------------------------------------------- sockets of others */

static int get_int(struct cp_world *world, int fd, int level, int name, int *ret_value)
{
	socklen_t bytes = sizeof *ret_value;

	return world->ops->getsockopt(world, fd, level, name, ret_value, &bytes);
}

int coop_listener_adopt(int fd, const struct coop_listen_opts *opts,
			struct coop_listener **ret_listener)
{
	struct cp_world *world = cp_world_of(cp_rt);
	struct coop_listener *l = NULL;
	int listens = 0, r;

	if (!opts)
		opts = &none;
	if (cp_listen_check(opts) < 0)
		return -EINVAL;
	r = get_int(world, fd, SOL_SOCKET, SO_ACCEPTCONN, &listens);
	if (r < 0)
		return r;
	if (!listens)
		return coop_fail(-EINVAL, "descriptor %d is a socket that does not listen", fd);
	r = cp_listener_new(world, fd, opts, 0, &l);
	if (r < 0)
		return r;
	r = world->ops->set_nonblocking(world, fd);
	if (r >= 0 && !opts->delay && l->addr.sa.sa_family != AF_UNIX)
		r = cp_net_set_int(world, fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (r < 0) {
		cp_free(l);
		return r;
	}
	*ret_listener = l;
	return 0;
}

static long env_number(const char *name)
{
	const char *text = cp_os_env(name);
	char *end;
	long number;

	if (!text || *text < '0' || *text > '9')
		return -1;
	number = strtol(text, &end, 10);
	return *end ? -1 : number;
}

/* The variables stay: programs that we start do not have our PID, so they do not mean them. */
int coop_listen_fds(void)
{
	long count = env_number("LISTEN_FDS");

	if (env_number("LISTEN_PID") != cp_os_pid() || count < 0)
		return 0;
	return count < PASSED_MAX ? (int)count : PASSED_MAX;
}

/* ---------------------------------------------------------------- asking */

int coop_listener_addr(const struct coop_listener *listener, struct coop_addr *ret_addr)
{
	if (listener->fd < 0)
		return COOP_ECLOSED;
	*ret_addr = listener->addr;
	return 0;
}

int coop_listener_fd(const struct coop_listener *listener)
{
	return listener->fd < 0 ? COOP_ECLOSED : listener->fd;
}

int coop_listener_stats(const struct coop_listener *listener, struct coop_listener_stats *ret_stats)
{
	*ret_stats = listener->stats;
	return 0;
}

/* ---------------------------------------------------------------- closing */

void cp_listener_hide(struct coop_listener *l)
{
	const char *path = l->addr.un.sun_path;
	struct cp_path_info info;
	struct cp_world *world;

	if (!l->has_path)
		return;
	l->has_path = false;
	if (l->forks != cp_forks())
		return; /* the parent's, who may still be at it */
	world = cp_world_of(cp_rt);
	if (world->ops->path_info(world, path, &info) >= 0 && info.dev == l->dev &&
	    info.ino == l->ino)
		world->ops->unlink(world, path);
}

/* Outside of a run nobody can have an operation on it. */
void cp_listener_shut(struct coop_listener *l)
{
	int fd = l->fd;

	if (fd < 0)
		return;
	cp_listener_hide(l);
	l->fd = -1;
	if (cp_in_task())
		coop_close(fd);
	else
		cp_os_close_any(fd);
}

void cp_listener_leave(struct coop_listener *l)
{
	if (--l->accepting == 0 && l->gone)
		cp_free(l);
}

struct coop_listener *coop_listener_close(struct coop_listener *listener)
{
	if (!listener)
		return NULL;
	if (listener->server)
		cp_die("coop_listener_close: coop_serve is still at it");
	listener->accepting++; /* this call, too: the others may end while it waits */
	cp_listener_shut(listener);
	listener->gone = true;
	cp_listener_leave(listener);
	return NULL;
}
