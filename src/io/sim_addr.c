/* SPDX-License-Identifier: MIT */
/*
 * Addresses of the simulated world: who is bound where, and who is reached there.
 *
 * The hosts there are: the loopback network and ::1, 10.0.0.0/8 and fd00::/8, one for each address,
 * all of them of this one process. Nothing else can be reached or bound. A socket that was not
 * bound speaks from 127.0.0.1, ::1, 10.0.0.1 or fd00::1, whichever lies where it speaks to.
 *
 * Paths of Unix sockets are names only, in directories of the world's files; they stay when their
 * socket is closed, until they are unlinked, and refuse whoever connects.
 */
#include "io/sim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ------------------------------------------------------------------ their forms */

static int take_unix(const struct sockaddr *addr, socklen_t len, struct sim_addr *ret_addr)
{
	struct sim_addr a = { .len = len };

	if (len < sizeof(sa_family_t) || len > sizeof a.un)
		return -EINVAL;
	memcpy(&a.un, addr, len);
	if (len > sizeof(sa_family_t) && a.un.sun_path[0]) {
		size_t path = strnlen(a.un.sun_path, len - offsetof(struct sockaddr_un, sun_path));

		a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path + 1);
	}
	*ret_addr = a;
	return 0;
}

bool sim_addr_is_none(const struct sockaddr *addr, socklen_t len)
{
	return len >= sizeof(sa_family_t) && addr->sa_family == AF_UNSPEC;
}

int sim_addr_take(const struct sim_sock *s, const struct sockaddr *addr, socklen_t len,
		  struct sim_addr *ret_addr)
{
	socklen_t want = s->family == AF_INET
				 ? sizeof(struct sockaddr_in)
				 : (socklen_t)offsetof(struct sockaddr_in6, sin6_scope_id);

	if (len < sizeof(sa_family_t))
		return -EINVAL;
	if (s->family == AF_UNIX)
		return addr->sa_family == AF_UNIX ? take_unix(addr, len, ret_addr) : -EINVAL;
	if (s->family == AF_INET6 && s->type == SOCK_DGRAM && addr->sa_family == AF_INET &&
	    len >= sizeof(struct sockaddr_in)) { /* as the kernel takes it for datagrams */
		struct sim_addr four = { .in = *(const struct sockaddr_in *)(const void *)addr };
		struct sim_ip ip = sim_ip_of(&four);

		sim_ip_to(&ip, AF_INET6, ret_addr);
		return 0;
	}
	if (len < want)
		return -EINVAL;
	if (addr->sa_family != s->family)
		return -EAFNOSUPPORT;
	*ret_addr = (struct sim_addr){ .len = s->family == AF_INET ? sizeof ret_addr->in
								   : sizeof ret_addr->in6 };
	memcpy(&ret_addr->sa, addr, len < ret_addr->len ? len : ret_addr->len);
	return 0;
}

void sim_addr_give(const struct sim_addr *from, sa_family_t family, struct sockaddr *to,
		   socklen_t *len)
{
	struct sim_addr none = { .len = sizeof none.sa.sa_family };

	none.sa.sa_family = family;
	if (family != AF_UNIX)
		none.len = family == AF_INET ? sizeof none.in : sizeof none.in6;
	if (!from->len)
		from = &none;
	memcpy(to, &from->sa, from->len < *len ? from->len : *len);
	*len = from->len;
}

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

struct sim_ip sim_ip_of(const struct sim_addr *addr)
{
	struct sim_ip ip;

	if (addr->sa.sa_family == AF_INET6) {
		ip.ip = addr->in6.sin6_addr;
		ip.port = ntohs(addr->in6.sin6_port);
		return ip;
	}
	memcpy(ip.ip.s6_addr, mapped, sizeof mapped);
	memcpy(ip.ip.s6_addr + 12, &addr->in.sin_addr, 4);
	ip.port = ntohs(addr->in.sin_port);
	return ip;
}

void sim_ip_to(const struct sim_ip *ip, sa_family_t family, struct sim_addr *ret_addr)
{
	struct sim_addr a = { .len = family == AF_INET ? sizeof a.in : sizeof a.in6 };

	a.sa.sa_family = family;
	if (family == AF_INET) {
		memcpy(&a.in.sin_addr, ip->ip.s6_addr + 12, 4);
		a.in.sin_port = htons(ip->port);
	} else {
		a.in6.sin6_addr = ip->ip;
		a.in6.sin6_port = htons(ip->port);
	}
	*ret_addr = a;
}

static bool is_mapped(const struct sim_ip *ip)
{
	return memcmp(ip->ip.s6_addr, mapped, sizeof mapped) == 0;
}

bool sim_ip_is_any(const struct sim_ip *ip)
{
	static const struct in6_addr any6;
	static const uint8_t any4[4];

	return IN6_ARE_ADDR_EQUAL(&ip->ip, &any6) ||
	       (is_mapped(ip) && memcmp(ip->ip.s6_addr + 12, any4, 4) == 0);
}

static bool is_loopback(const struct sim_ip *ip)
{
	return is_mapped(ip) ? ip->ip.s6_addr[12] == 127 : IN6_IS_ADDR_LOOPBACK(&ip->ip);
}

bool sim_ip_is_host(const struct sim_ip *ip)
{
	return is_loopback(ip) ||
	       (is_mapped(ip) ? ip->ip.s6_addr[12] == 10 : ip->ip.s6_addr[0] == 0xfd);
}

/* ---------------------------------------------------------------- who is there */

/* `s` is bound to an address that takes what goes to `to`. 2: to that one, 1: to all. */
static int takes(const struct sim_sock *s, const struct sim_ip *to)
{
	struct sim_ip ip = sim_ip_of(&s->local);

	if (ip.port != to->port)
		return 0;
	if (IN6_ARE_ADDR_EQUAL(&ip.ip, &to->ip))
		return 2;
	if (!sim_ip_is_any(&ip))
		return 0;
	if (s->family == AF_INET)
		return is_mapped(to);
	return !is_mapped(to) || !s->v6only;
}

/* Both would take something that goes to one address. */
static bool overlap(const struct sim_sock *s, const struct sim_sock *new, const struct sim_ip *ip)
{
	struct sim_ip old = sim_ip_of(&s->local);

	if (old.port != ip->port)
		return false;
	if (is_mapped(&old) != is_mapped(ip)) {
		const struct sim_sock *six = s->family == AF_INET6 ? s : new;
		struct sim_ip wide = six == s ? old : *ip;

		return sim_ip_is_any(&wide) && !six->v6only;
	}
	return IN6_ARE_ADDR_EQUAL(&old.ip, &ip->ip) || sim_ip_is_any(&old) || sim_ip_is_any(ip);
}

static bool may_share(const struct sim_sock *s, const struct sim_sock *new)
{
	if (s->reuse_port && new->reuse_port)
		return true;
	return s->reuse_addr && new->reuse_addr && s->state != SIM_LISTENING;
}

static bool port_is_free(const struct cp_sim *sim, const struct sim_sock *s,
			 const struct sim_ip *ip, bool share)
{
	for (const struct sim_sock *b = sim->bound; b; b = b->bound_next)
		if (b != s && b->family != AF_UNIX && b->type == s->type && overlap(b, s, ip) &&
		    !(share && may_share(b, s)))
			return false;
	return true;
}

bool sim_may_listen(const struct cp_sim *sim, const struct sim_sock *s)
{
	struct sim_ip ip = sim_ip_of(&s->local);

	for (const struct sim_sock *b = sim->bound; b; b = b->bound_next)
		if (b != s && b->family != AF_UNIX && b->type == s->type &&
		    b->state == SIM_LISTENING && overlap(b, s, &ip) &&
		    !(b->reuse_port && s->reuse_port))
			return false;
	return true;
}

static int free_port(struct cp_sim *sim, const struct sim_sock *s, struct sim_ip *ip)
{
	for (int i = SIM_PORT_FIRST; i <= SIM_PORT_LAST; i++) {
		ip->port = sim->port;
		sim->port = sim->port < SIM_PORT_LAST ? sim->port + 1 : SIM_PORT_FIRST;
		if (port_is_free(sim, s, ip, false))
			return 0;
	}
	return -EADDRINUSE;
}

/* Those whose streams are asked for must listen; several on one port take turns by chance. */
static struct sim_sock *find_ip(struct cp_sim *sim, const struct sim_sock *from,
				const struct sim_ip *to)
{
	struct sim_sock *found = NULL;
	int best = 1;
	uint64_t same = 0;

	for (struct sim_sock *b = sim->bound; b; b = b->bound_next) {
		int how = b->family != AF_UNIX && b->type == from->type ? takes(b, to) : 0;

		if (how < best || (b->type == SOCK_STREAM && b->state != SIM_LISTENING))
			continue;
		same = how > best ? 1 : same + 1;
		best = how;
		if (sim_below(sim, same) == 0)
			found = b;
	}
	return found;
}

struct sim_path *sim_path_find(const struct cp_sim *sim, const char *name)
{
	for (struct sim_path *p = sim->paths; p; p = p->next)
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

static struct sim_sock *find_unix(const struct cp_sim *sim, const struct sim_addr *to, int *ret_r)
{
	struct sim_path *p;

	*ret_r = -ECONNREFUSED;
	if (to->len > sizeof(sa_family_t) && to->un.sun_path[0]) {
		p = sim_path_find(sim, to->un.sun_path);
		*ret_r = p ? -ECONNREFUSED : -ENOENT;
		return p ? p->sock : NULL;
	}
	for (struct sim_sock *b = sim->bound; b; b = b->bound_next)
		if (b->family == AF_UNIX && b->local.len == to->len &&
		    memcmp(&b->local.un, &to->un, to->len) == 0)
			return b;
	return NULL;
}

struct sim_sock *sim_lookup(struct cp_sim *sim, const struct sim_sock *from,
			    const struct sim_addr *to, int *ret_error)
{
	struct sim_sock *found;
	struct sim_ip ip;

	if (from->family == AF_UNIX) {
		found = find_unix(sim, to, ret_error);
		if (found && found->type != from->type) {
			*ret_error = -EPROTOTYPE;
			return NULL;
		}
		if (found && found->type == SOCK_STREAM && found->state != SIM_LISTENING) {
			*ret_error = -ECONNREFUSED;
			return NULL;
		}
		return found;
	}
	ip = sim_ip_of(to);
	*ret_error = -ECONNREFUSED;
	return find_ip(sim, from, &ip);
}

/* --------------------------------------------------------------------- binding */

static void bound(struct cp_sim *sim, struct sim_sock *s, const struct sim_addr *addr)
{
	s->local = *addr;
	s->bound = true;
	s->bound_prev = NULL;
	s->bound_next = sim->bound;
	if (s->bound_next)
		s->bound_next->bound_prev = s;
	sim->bound = s;
}

void sim_unbind(struct cp_sim *sim, struct sim_sock *s)
{
	if (s->path)
		s->path->sock = NULL;
	if (!s->bound)
		return;
	s->bound = false;
	*(s->bound_prev ? &s->bound_prev->bound_next : &sim->bound) = s->bound_next;
	if (s->bound_next)
		s->bound_next->bound_prev = s->bound_prev;
}

static int bind_path(struct cp_sim *sim, struct sim_sock *s, const struct sim_addr *addr)
{
	int r = sim_fs_parent(sim, addr->un.sun_path);
	struct sim_path *p;

	if (r < 0)
		return r;
	if (sim_path_find(sim, addr->un.sun_path))
		return -EADDRINUSE;
	p = cp_calloc(1, sizeof *p);
	if (!p)
		return -ENOMEM;
	snprintf(p->name, sizeof p->name, "%.*s", (int)sizeof addr->un.sun_path, addr->un.sun_path);
	p->mode = S_IFSOCK | (s->mode & 07777);
	p->ino = ++sim->inodes;
	p->sock = s;
	p->next = sim->paths;
	sim->paths = p;
	s->path = p;
	bound(sim, s, addr);
	return 0;
}

static int bind_unix(struct cp_sim *sim, struct sim_sock *s, const struct sim_addr *addr)
{
	struct sim_addr name = *addr;
	int r;

	if (name.len > sizeof(sa_family_t) && name.un.sun_path[0])
		return bind_path(sim, s, &name);
	if (name.len == sizeof(sa_family_t)) { /* the kernel chooses one */
		snprintf(name.un.sun_path + 1, 6, "%05x", (unsigned)(++sim->inodes & 0xfffff));
		name.len = sizeof(sa_family_t) + 6;
	}
	if (find_unix(sim, &name, &r))
		return -EADDRINUSE;
	bound(sim, s, &name);
	return 0;
}

int sim_bind(struct cp_sim *sim, struct sim_sock *s, const struct sim_addr *addr)
{
	struct sim_addr chosen = *addr;
	struct sim_ip ip;

	if (s->bound || s->local.len)
		return -EINVAL;
	if (s->family == AF_UNIX)
		return bind_unix(sim, s, addr);
	ip = sim_ip_of(addr);
	if (s->family == AF_INET6 && is_mapped(&ip) && s->v6only)
		return -EINVAL;
	if (!sim_ip_is_any(&ip) && !sim_ip_is_host(&ip))
		return -EADDRNOTAVAIL;
	if (!ip.port) {
		int r = free_port(sim, s, &ip);

		if (r < 0)
			return r;
		sim_ip_to(&ip, s->family, &chosen);
	} else if (!port_is_free(sim, s, &ip, true)) {
		return -EADDRINUSE;
	}
	bound(sim, s, &chosen);
	return 0;
}

void sim_ip_choose(const struct sim_addr *addr, struct sim_ip *ip)
{
	struct sim_ip far = sim_ip_of(addr), *to = &far;
	bool near = is_loopback(to);

	ip->ip = (struct in6_addr){ .s6_addr = { 0 } };
	if (is_mapped(to)) {
		memcpy(ip->ip.s6_addr, mapped, sizeof mapped);
		ip->ip.s6_addr[12] = near ? 127 : 10;
	} else if (!near) {
		ip->ip.s6_addr[0] = 0xfd;
	}
	ip->ip.s6_addr[15] = 1;
}

int sim_bind_any(struct cp_sim *sim, struct sim_sock *s)
{
	struct sim_addr any = { .len = s->family == AF_INET ? sizeof any.in : sizeof any.in6 };

	any.sa.sa_family = s->family;
	return sim_bind(sim, s, &any);
}

/*
 * A port to speak from is not kept from others as a bound one is: only that it is nobody's who was
 * bound is seen to.
 */
int sim_bind_for(struct cp_sim *sim, struct sim_sock *s, const struct sim_addr *to)
{
	struct sim_ip ip;
	int r;

	if (s->family == AF_UNIX)
		return 0;
	if (s->local.len) {
		ip = sim_ip_of(&s->local);
		if (sim_ip_is_any(&ip)) {
			sim_ip_choose(to, &ip);
			sim_ip_to(&ip, s->family, &s->local);
		}
		return 0;
	}
	sim_ip_choose(to, &ip);
	r = free_port(sim, s, &ip);
	if (r < 0)
		return -EADDRNOTAVAIL;
	sim_ip_to(&ip, s->family, &s->local);
	if (s->type == SOCK_DGRAM) /* must be found by the answers */
		bound(sim, s, &s->local);
	return 0;
}
