/* SPDX-License-Identifier: MIT */
/*
 * The calls of the simulated world that need no waiting (world.h), for the sockets in it; those
 * for descriptors that are real go to the system.
 */
#include "io/sim.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static struct cp_sim *of(struct cp_world *world)
{
	return CP_CONTAINER_OF(world, struct cp_sim, world);
}

static const struct cp_world_ops *real(void)
{
	return cp_world_system.ops;
}

/* What `fd` means. NULL: a descriptor that is real. */
static struct sim_object *object_of(struct cp_world *world, int fd)
{
	return sim_find(of(world), fd);
}

/* Whoever waits for what this call has changed goes on. */
static int done(struct cp_world *world, int r)
{
	sim_settle(of(world));
	return r;
}

/* ---------------------------------------------------------------------- making */

static int check_kind(int domain, int *type, int protocol)
{
	int want;

	*type &= ~(SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX)
		return -EAFNOSUPPORT;
	if (*type != SOCK_STREAM && *type != SOCK_DGRAM)
		return domain == AF_UNIX ? -ESOCKTNOSUPPORT : -EPROTONOSUPPORT;
	want = domain == AF_UNIX ? 0 : *type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
	return protocol == 0 || protocol == want ? 0 : -EPROTONOSUPPORT;
}

static int world_socket(struct cp_world *world, int domain, int type, int protocol)
{
	int r = -sim_fault(of(world), COOP_SIM_SOCKET);
	struct sim_sock *s;

	if (r >= 0)
		r = check_kind(domain, &type, protocol);
	if (r < 0)
		return r;
	s = sim_sock_new(of(world), (sa_family_t)domain, type);
	return s ? sim_number_first(of(world), &s->object) : -ENOMEM;
}

static int number_both(struct cp_sim *sim, struct sim_sock *a, struct sim_sock *b, int ret_fds[2])
{
	int first = sim_number_first(sim, &a->object), second;

	if (first < 0) {
		b->object.ops->gone(sim, &b->object);
		return first;
	}
	second = sim_number_first(sim, &b->object);
	if (second < 0) {
		sim_number_close(sim, first);
		return second;
	}
	ret_fds[0] = first;
	ret_fds[1] = second;
	return 0;
}

static int world_socketpair(struct cp_world *world, int domain, int type, int protocol,
			    int ret_fds[2])
{
	int r = -sim_fault(of(world), COOP_SIM_SOCKET);
	struct sim_sock *a, *b;

	if (r >= 0)
		r = check_kind(domain, &type, protocol);
	if (r >= 0 && domain != AF_UNIX)
		r = -EOPNOTSUPP;
	if (r < 0)
		return r;
	a = sim_sock_new(of(world), AF_UNIX, type);
	b = a ? sim_sock_new(of(world), AF_UNIX, type) : NULL;
	if (!b) {
		if (a)
			a->object.ops->gone(of(world), &a->object);
		return -ENOMEM;
	}
	sim_stream_link(of(world), a, b, 0);
	a->state = SIM_CONNECTED;
	return number_both(of(world), a, b, ret_fds);
}

static int world_pipe(struct cp_world *world, int ret_fds[2])
{
	int r = -sim_fault(of(world), COOP_SIM_SOCKET);

	return r < 0 ? r : sim_pipe(of(world), ret_fds);
}

static int world_set_nonblocking(struct cp_world *world, int fd)
{
	(void)world; /* close-on-exec is the number's, whatever stands behind it */
	return real()->set_nonblocking(&cp_world_system, fd);
}

static void world_close(struct cp_world *world, int fd)
{
	if (!object_of(world, fd)) {
		real()->close(&cp_world_system, fd);
		return;
	}
	sim_number_close(of(world), fd);
	sim_settle(of(world));
}

/* ------------------------------------------------------------------- connections */

/* The socket that `fd` means, unless this call was planned to fail. */
static struct sim_sock *socket_of(struct cp_world *world, int fd, enum coop_sim_call call,
				  int *ret_r)
{
	struct sim_object *o = object_of(world, fd);

	*ret_r = o->is_socket ? -sim_fault(of(world), call) : -ENOTSOCK;
	return *ret_r < 0 ? NULL : sim_sock_of(o);
}

static int world_bind(struct cp_world *world, int fd, const struct sockaddr *addr, socklen_t len)
{
	struct sim_sock *s;
	struct sim_addr to;
	int r;

	if (!object_of(world, fd))
		return real()->bind(&cp_world_system, fd, addr, len);
	s = socket_of(world, fd, COOP_SIM_BIND, &r);
	if (!s)
		return r;
	r = sim_addr_take(s, addr, len, &to);
	return r < 0 ? r : sim_bind(of(world), s, &to);
}

static int world_listen(struct cp_world *world, int fd, int backlog)
{
	struct sim_sock *s;
	int r;

	if (!object_of(world, fd))
		return real()->listen(&cp_world_system, fd, backlog);
	s = socket_of(world, fd, COOP_SIM_LISTEN, &r);
	return s ? sim_listen(of(world), s, backlog) : r;
}

static int world_accept(struct cp_world *world, int fd, struct sockaddr *ret_addr, socklen_t *len)
{
	struct sim_sock *s;
	int r;

	if (!object_of(world, fd))
		return real()->accept(&cp_world_system, fd, ret_addr, len);
	s = socket_of(world, fd, COOP_SIM_ACCEPT, &r);
	return done(world, s ? sim_accept(of(world), s, ret_addr, len) : r);
}

static int world_connect(struct cp_world *world, int fd, const struct sockaddr *addr, socklen_t len)
{
	struct sim_sock *s;
	struct sim_addr to;
	int r;

	if (!object_of(world, fd))
		return real()->connect(&cp_world_system, fd, addr, len);
	s = socket_of(world, fd, COOP_SIM_CONNECT, &r);
	if (!s)
		return r;
	if (sim_addr_is_none(addr, len)) {
		if (s->type != SOCK_DGRAM)
			return done(world, sim_stream_disconnect(of(world), s));
		sim_dgram_disconnect(s);
		return 0;
	}
	r = sim_addr_take(s, addr, len, &to);
	if (r < 0)
		return r;
	if (s->type == SOCK_DGRAM)
		return done(world, sim_dgram_connect(of(world), s, &to));
	if (s->family == AF_UNIX && s->state == SIM_NEW && !sim_has_room(of(world), s, &to))
		return -EAGAIN;
	return done(world, sim_connect(of(world), s, &to));
}

static int world_shutdown(struct cp_world *world, int fd, int how)
{
	struct sim_sock *s;
	int r;

	if (!object_of(world, fd))
		return real()->shutdown(&cp_world_system, fd, how);
	s = socket_of(world, fd, COOP_SIM_SHUTDOWN, &r);
	if (!s)
		return r;
	if ((unsigned)how > SHUT_RDWR)
		return -EINVAL;
	if (s->state == SIM_LISTENING && how != SHUT_WR)
		sim_listener_closed(of(world), s);
	else if (s->family != AF_UNIX && !sim_stream_is_up(s))
		return -ENOTCONN;
	else
		sim_stream_shutdown(of(world), s, how);
	sim_changed(of(world), &s->object);
	return done(world, 0);
}

static int world_getsockname(struct cp_world *world, int fd, struct sockaddr *ret_addr,
			     socklen_t *len)
{
	struct sim_object *o = object_of(world, fd);

	if (!o)
		return real()->getsockname(&cp_world_system, fd, ret_addr, len);
	if (!o->is_socket)
		return -ENOTSOCK;
	sim_addr_give(&sim_sock_of(o)->local, sim_sock_of(o)->family, ret_addr, len);
	return 0;
}

static int world_getpeername(struct cp_world *world, int fd, struct sockaddr *ret_addr,
			     socklen_t *len)
{
	struct sim_object *o = object_of(world, fd);
	struct sim_sock *s;

	if (!o)
		return real()->getpeername(&cp_world_system, fd, ret_addr, len);
	if (!o->is_socket)
		return -ENOTSOCK;
	s = sim_sock_of(o);
	if (!sim_stream_is_up(s))
		return -ENOTCONN;
	sim_addr_give(&s->remote, s->family, ret_addr, len);
	return 0;
}

/* ----------------------------------------------------------------------- options */

static struct sim_option *option_find(const struct sim_sock *s, int level, int name)
{
	for (struct sim_option *o = s->options; o; o = o->next)
		if (o->level == level && o->name == name)
			return o;
	return NULL;
}

static int option_keep(struct sim_sock *s, int level, int name, const void *value, socklen_t bytes)
{
	struct sim_option *o = option_find(s, level, name);

	if (!o || o->bytes != bytes) {
		o = cp_alloc(sizeof *o + bytes);
		if (!o)
			return -ENOMEM;
		*o = (struct sim_option){ s->options, level, name, bytes };
		s->options = o; /* before an older one */
	}
	memcpy(o->value, value, bytes);
	return 0;
}

int sim_options_copy(const struct sim_sock *from, struct sim_sock *to)
{
	int r = 0;

	for (const struct sim_option *o = from->options; o && r >= 0; o = o->next)
		if (!option_find(to, o->level, o->name))
			r = option_keep(to, o->level, o->name, o->value, o->bytes);
	to->linger = from->linger;
	return r;
}

/* As the kernel: half is for its own book-keeping, which nobody sees here. */
static int set_buffer(struct sim_sock *s, int name, int want)
{
	size_t limit = want > 1152 ? 2 * (size_t)want : 2304;
	int set = (int)(limit < INT32_MAX ? limit : INT32_MAX);

	if (name == SO_RCVBUF)
		s->in.limit = limit;
	else if (s->peer)
		s->peer->in.limit = limit;
	return option_keep(s, SOL_SOCKET, name, &set, sizeof set);
}

static int set_general(struct sim_sock *s, int name, const void *value, socklen_t bytes)
{
	struct linger linger;
	int n;

	if (bytes < sizeof n)
		return -EINVAL;
	memcpy(&n, value, sizeof n);
	if (name == SO_LINGER) {
		if (bytes < sizeof linger)
			return -EINVAL;
		memcpy(&linger, value, sizeof linger);
		s->linger = linger.l_onoff ? linger.l_linger : -1;
	} else if (name == SO_REUSEADDR) {
		s->reuse_addr = n;
	} else if (name == SO_REUSEPORT) {
		s->reuse_port = n;
	} else if (name == SO_RCVBUF || name == SO_SNDBUF) {
		return set_buffer(s, name, n);
	} else if (name == SO_ERROR || name == SO_TYPE || name == SO_ACCEPTCONN ||
		   name == SO_DOMAIN || name == SO_PROTOCOL || name == SO_PEERCRED) {
		return -ENOPROTOOPT;
	}
	return option_keep(s, SOL_SOCKET, name, value, bytes);
}

/* 0 if the socket has options of this level. */
static int check_level(const struct sim_sock *s, int level)
{
	if (s->family == AF_UNIX)
		return -EOPNOTSUPP;
	if (level == IPPROTO_TCP)
		return s->type == SOCK_STREAM ? 0 : -ENOPROTOOPT;
	if (level == IPPROTO_IPV6)
		return s->family == AF_INET6 ? 0 : -ENOPROTOOPT;
	return level == IPPROTO_IP || level == IPPROTO_UDP ? 0 : -ENOPROTOOPT;
}

static int world_setsockopt(struct cp_world *world, int fd, int level, int name, const void *value,
			    socklen_t bytes)
{
	struct sim_sock *s;
	int r, on;

	if (!object_of(world, fd))
		return real()->setsockopt(&cp_world_system, fd, level, name, value, bytes);
	s = socket_of(world, fd, COOP_SIM_OPTION, &r);
	if (!s)
		return r;
	if (level == SOL_SOCKET)
		return done(world, set_general(s, name, value, bytes));
	r = check_level(s, level);
	if (r < 0)
		return r;
	if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY) {
		if (bytes < sizeof on || s->local.len)
			return -EINVAL;
		memcpy(&on, value, sizeof on);
		s->v6only = on;
	}
	return option_keep(s, level, name, value, bytes);
}

static int give(void *ret_value, socklen_t *bytes, const void *value, size_t have)
{
	if (*bytes > have)
		*bytes = (socklen_t)have;
	memcpy(ret_value, value, *bytes);
	return 0;
}

/* This process, as a real socket says it. */
static int give_credentials(void *ret_value, socklen_t *bytes)
{
	int fds[2], r = real()->socketpair(&cp_world_system, AF_UNIX, SOCK_STREAM, 0, fds);

	if (r < 0)
		return r;
	r = real()->getsockopt(&cp_world_system, fds[0], SOL_SOCKET, SO_PEERCRED, ret_value, bytes);
	real()->close(&cp_world_system, fds[0]);
	real()->close(&cp_world_system, fds[1]);
	return r;
}

/* What has a value of its own here. 1: the others. */
static int get_general(struct sim_sock *s, int name, int *ret_n)
{
	switch (name) {
	case SO_ERROR: *ret_n = -sim_sock_error(s); return 0;
	case SO_TYPE: *ret_n = s->type; return 0;
	case SO_DOMAIN: *ret_n = s->family; return 0;
	case SO_ACCEPTCONN: *ret_n = s->state == SIM_LISTENING; return 0;
	case SO_PROTOCOL:
		*ret_n = s->family == AF_UNIX     ? 0
			 : s->type == SOCK_STREAM ? IPPROTO_TCP
						  : IPPROTO_UDP;
		return 0;
	case SO_RCVBUF: *ret_n = (int)s->in.limit; return 0;
	case SO_SNDBUF: *ret_n = SIM_UNIX_BYTES; return 1;
	default: *ret_n = 0; return 1;
	}
}

static int world_getsockopt(struct cp_world *world, int fd, int level, int name, void *ret_value,
			    socklen_t *bytes)
{
	struct linger off = { .l_onoff = 0 };
	const struct sim_option *o;
	struct sim_sock *s;
	int r, n = 0;

	if (!object_of(world, fd))
		return real()->getsockopt(&cp_world_system, fd, level, name, ret_value, bytes);
	s = socket_of(world, fd, COOP_SIM_OPTION, &r);
	if (!s)
		return r;
	if (level != SOL_SOCKET && (r = check_level(s, level)) < 0)
		return r;
	if (level == SOL_SOCKET && name == SO_PEERCRED)
		return give_credentials(ret_value, bytes);
	if (level == SOL_SOCKET && get_general(s, name, &n) == 0)
		return give(ret_value, bytes, &n, sizeof n);
	o = option_find(s, level, name);
	if (o)
		return give(ret_value, bytes, o->value, o->bytes);
	if (level == SOL_SOCKET && name == SO_LINGER)
		return give(ret_value, bytes, &off, sizeof off);
	return give(ret_value, bytes, &n, sizeof n);
}

static int world_somaxconn(struct cp_world *world)
{
	(void)world;
	return SIM_SOMAXCONN;
}

/* ------------------------------------------------------------------------- paths */

static struct sim_path *path_of(struct cp_world *world, const char *path, int *ret_r)
{
	struct sim_path *p = sim_path_find(of(world), path);

	*ret_r = -sim_fault(of(world), COOP_SIM_PATH);
	if (*ret_r < 0)
		return NULL;
	*ret_r = -ENOENT;
	return p;
}

static int world_path_info(struct cp_world *world, const char *path, struct cp_path_info *ret_info)
{
	int r;
	const struct sim_path *p = path_of(world, path, &r);

	if (!p)
		return r;
	*ret_info = (struct cp_path_info){ .mode = p->mode, .dev = 1, .ino = p->ino };
	return 0;
}

static int world_unlink(struct cp_world *world, const char *path)
{
	int r;
	struct sim_path *p = path_of(world, path, &r), **at = &of(world)->paths;

	if (!p)
		return r;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	if (p->sock)
		p->sock->path = NULL;
	cp_free(p);
	return 0;
}

static int world_rename(struct cp_world *world, const char *from, const char *to)
{
	int r;
	struct sim_path *p = path_of(world, from, &r);

	if (!p)
		return r;
	if (sim_path_find(of(world), to))
		return -EEXIST;
	if (strlen(to) >= sizeof p->name)
		return -ENAMETOOLONG;
	snprintf(p->name, sizeof p->name, "%s", to);
	return 0;
}

static int world_chmod(struct cp_world *world, const char *path, uint32_t mode)
{
	int r;
	struct sim_path *p = path_of(world, path, &r);

	if (!p)
		return r;
	p->mode = S_IFSOCK | (mode & 07777);
	return 0;
}

static int world_fchmod(struct cp_world *world, int fd, uint32_t mode)
{
	struct sim_object *o = object_of(world, fd);

	if (!o)
		return real()->fchmod(&cp_world_system, fd, mode);
	if (o->is_socket)
		sim_sock_of(o)->mode = mode;
	return 0;
}

const struct cp_world_ops sim_world_ops = {
	.socket = world_socket,
	.socketpair = world_socketpair,
	.bind = world_bind,
	.listen = world_listen,
	.accept = world_accept,
	.connect = world_connect,
	.getsockname = world_getsockname,
	.getpeername = world_getpeername,
	.setsockopt = world_setsockopt,
	.getsockopt = world_getsockopt,
	.shutdown = world_shutdown,
	.pipe = world_pipe,
	.set_nonblocking = world_set_nonblocking,
	.close = world_close,
	.somaxconn = world_somaxconn,
	.path_info = world_path_info,
	.unlink = world_unlink,
	.rename = world_rename,
	.chmod = world_chmod,
	.fchmod = world_fchmod,
};
