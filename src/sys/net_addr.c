/* SPDX-License-Identifier: MIT */
/*
 * Addresses as values: read, written, compared, never looked up.
 *
 * Input comes from configurations and from peers, so every length is checked before anything is
 * copied, and what is not understood in full is refused: no blanks are skipped, no "127.1", no
 * port 080 that some would read as octal.
 */
#include "sys/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#define UNIX_HEAD offsetof(struct sockaddr_un, sun_path)
#define UNIX_MAX sizeof(((struct sockaddr_un *)0)->sun_path)
#define PORT_DIGITS 5

/* ---------------------------------------------------------------- reading */

/* A decimal number up to `max` and nothing else: the number, or -EINVAL. */
static int64_t read_number(const char *text, size_t bytes, size_t digits_max, int64_t max)
{
	int64_t number = 0;

	if (bytes == 0 || bytes > digits_max || (bytes > 1 && text[0] == '0'))
		return -EINVAL;
	for (size_t i = 0; i < bytes; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		number = number * 10 + (text[i] - '0');
	}
	return number <= max ? number : -EINVAL;
}

int cp_port_read(const char *text)
{
	return (int)read_number(text, strlen(text), PORT_DIGITS, UINT16_MAX);
}

/* An interface by its name or number. */
static int read_scope(const char *name, uint32_t *ret_scope)
{
	size_t bytes = strlen(name);
	int64_t number = read_number(name, bytes, 10, UINT32_MAX);

	if (bytes == 0)
		return -EINVAL;
	if (number < 0)
		number = cp_os_if_index(name);
	if (number <= 0)
		return -ENODEV;
	*ret_scope = (uint32_t)number;
	return 0;
}

static int read_ip6(const char *host, uint16_t port, struct coop_addr *ret_addr)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	const char *scope = strchr(host, '%');
	size_t bytes = scope ? (size_t)(scope - host) : strlen(host);
	char text[INET6_ADDRSTRLEN];
	int r = 0;

	if (bytes >= sizeof text)
		return -EINVAL;
	memcpy(text, host, bytes);
	text[bytes] = '\0';
	if (inet_pton(AF_INET6, text, &in6.sin6_addr) != 1)
		return -EINVAL;
	if (scope)
		r = read_scope(scope + 1, &in6.sin6_scope_id);
	if (r < 0)
		return r;
	*ret_addr = (struct coop_addr){ .in6 = in6, .len = sizeof in6 };
	return 0;
}

int coop_addr_ip(const char *host, uint16_t port, struct coop_addr *ret_addr)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (!host)
		return -EINVAL;
	if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
		return read_ip6(host, port, ret_addr);
	*ret_addr = (struct coop_addr){ .in = in, .len = sizeof in };
	return 0;
}

int coop_addr_unix(const void *path, size_t bytes, struct coop_addr *ret_addr)
{
	struct coop_addr addr = { .un = { .sun_family = AF_UNIX } };
	const char *text = path;
	bool abstract;

	if (!text || bytes == 0)
		return -EINVAL;
	abstract = text[0] == '\0';
	if (abstract &&
	    bytes == 1) /* to bind it would give the socket a name of the kernel's choice */
		return -EINVAL;
	if (!abstract && memchr(text, '\0', bytes))
		return -EINVAL;
	if (bytes > UNIX_MAX - !abstract) /* a path has its NUL with it */
		return -ENAMETOOLONG;
	memcpy(addr.un.sun_path, text, bytes);
	addr.len = (socklen_t)(UNIX_HEAD + bytes + !abstract);
	*ret_addr = addr;
	return 0;
}

int cp_addr_of_path(const char *path, struct coop_addr *ret_addr)
{
	char name[UNIX_MAX + 1];
	size_t bytes = path ? strlen(path) : 0;

	if (bytes == 0 || path[0] != '@')
		return coop_addr_unix(path, bytes, ret_addr);
	if (bytes >= sizeof name)
		return -ENAMETOOLONG;
	memcpy(name, path, bytes);
	name[0] = '\0';
	return coop_addr_unix(name, bytes, ret_addr);
}

int coop_addr_parse(const char *text, struct coop_addr *ret_addr)
{
	struct coop_hostport parts;
	int port, r;

	if (!text)
		return -EINVAL;
	if (strncmp(text, "unix:", 5) == 0)
		return cp_addr_of_path(text + 5, ret_addr);
	r = coop_hostport_split(text, &parts);
	if (r < 0)
		return r;
	port = cp_port_read(parts.service);
	if (port < 0)
		return -EINVAL;
	if (text[0] == '[') /* what stands in brackets is IPv6 */
		return read_ip6(parts.host, (uint16_t)port, ret_addr);
	return coop_addr_ip(parts.host, (uint16_t)port, ret_addr);
}

/* ---------------------------------------------------------------- host and service */

static int take_part(char *to, size_t size, const char *from, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if ((unsigned char)from[i] <= ' ' || from[i] == 0x7f)
			return -EINVAL;
	if (bytes >= size)
		return -ENAMETOOLONG;
	memcpy(to, from, bytes);
	to[bytes] = '\0';
	return 0;
}

int coop_hostport_split(const char *text, struct coop_hostport *ret_parts)
{
	struct coop_hostport parts;
	const char *host = text, *end, *service;
	int r;

	if (!text || !*text)
		return -EINVAL;
	if (text[0] == '[') {
		host = text + 1;
		end = strchr(host, ']');
		if (!end || end == host || (end[1] && end[1] != ':'))
			return -EINVAL;
		service = end[1] ? end + 2 : NULL;
	} else {
		end = strchr(text, ':');
		if (!end || strchr(end + 1, ':')) /* none; or IPv6 without a port */
			end = text + strlen(text);
		service = *end ? end + 1 : NULL;
	}
	if (strpbrk(service ? service : "", "[]:") || (service && !*service) ||
	    memchr(host, '[', (size_t)(end - host)) || memchr(host, ']', (size_t)(end - host)))
		return -EINVAL;
	r = take_part(parts.host, sizeof parts.host, host, (size_t)(end - host));
	if (r >= 0)
		r = take_part(parts.service, sizeof parts.service, service ? service : "",
			      service ? strlen(service) : 0);
	if (r < 0)
		return r;
	*ret_parts = parts;
	return 0;
}

/* ---------------------------------------------------------------- writing */

/*
 * Bytes of a name, those that a terminal would not show as numbers. A path that begins with @ is
 * told apart from an abstract name.
 */
static void write_name(char *to, size_t size, const char *name, size_t bytes, bool abstract)
{
	size_t at = 0;

	for (size_t i = 0; i < bytes && at + 1 < size; i++) {
		unsigned char c = (unsigned char)name[i];
		bool plain = c > ' ' && c < 0x7f && c != '\\' && (c != '@' || i || abstract);

		at += (size_t)snprintf(to + at, size - at, plain ? "%c" : "\\x%02x", c);
	}
}

static size_t unix_bytes(const struct coop_addr *addr)
{
	size_t bytes = addr->len > UNIX_HEAD ? addr->len - UNIX_HEAD : 0;

	if (bytes > UNIX_MAX)
		bytes = UNIX_MAX;
	if (bytes && addr->un.sun_path[0])
		bytes = strnlen(addr->un.sun_path, bytes);
	return bytes;
}

static void write_unix(const struct coop_addr *addr, char *buf, size_t size)
{
	char name[4 * UNIX_MAX + 1] = "";
	size_t bytes = unix_bytes(addr);
	bool abstract = bytes && !addr->un.sun_path[0];

	write_name(name, sizeof name, addr->un.sun_path + abstract, bytes - abstract, abstract);
	snprintf(buf, size, "unix:%s%s", abstract ? "@" : "", name);
}

static void write_ip6(const struct coop_addr *addr, char *buf, size_t size)
{
	char ip[INET6_ADDRSTRLEN], name[IF_NAMESIZE], scope[IF_NAMESIZE + 1] = "";
	unsigned number = addr->in6.sin6_scope_id;

	inet_ntop(AF_INET6, &addr->in6.sin6_addr, ip, sizeof ip);
	if (number && cp_os_if_name(number, name) >= 0)
		snprintf(scope, sizeof scope, "%%%s", name);
	else if (number)
		snprintf(scope, sizeof scope, "%%%u", number);
	snprintf(buf, size, "[%s%s]:%u", ip, scope, ntohs(addr->in6.sin6_port));
}

char *coop_addr_text(const struct coop_addr *addr, char *buf, size_t size)
{
	char ip[INET_ADDRSTRLEN];

	if (size == 0)
		return buf;
	if (addr->len < sizeof addr->sa.sa_family) {
		snprintf(buf, size, "none");
		return buf;
	}
	switch (addr->sa.sa_family) {
	case AF_INET:
		inet_ntop(AF_INET, &addr->in.sin_addr, ip, sizeof ip);
		snprintf(buf, size, "%s:%u", ip, ntohs(addr->in.sin_port));
		break;
	case AF_INET6: write_ip6(addr, buf, size); break;
	case AF_UNIX: write_unix(addr, buf, size); break;
	default: snprintf(buf, size, "family %u", addr->sa.sa_family);
	}
	return buf;
}

/* ---------------------------------------------------------------- comparing */

static int order(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int compare_ip4(const struct coop_addr *a, const struct coop_addr *b)
{
	int r = order(ntohl(a->in.sin_addr.s_addr), ntohl(b->in.sin_addr.s_addr));

	return r ? r : order(ntohs(a->in.sin_port), ntohs(b->in.sin_port));
}

static int compare_ip6(const struct coop_addr *a, const struct coop_addr *b)
{
	int r = memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof a->in6.sin6_addr);

	if (r == 0)
		r = order(ntohs(a->in6.sin6_port), ntohs(b->in6.sin6_port));
	return r ? r : order(a->in6.sin6_scope_id, b->in6.sin6_scope_id);
}

static int compare_unix(const struct coop_addr *a, const struct coop_addr *b)
{
	size_t a_bytes = unix_bytes(a), b_bytes = unix_bytes(b);
	int r = memcmp(a->un.sun_path, b->un.sun_path, a_bytes < b_bytes ? a_bytes : b_bytes);

	return r ? r : order(a_bytes, b_bytes);
}

int coop_addr_compare(const struct coop_addr *a, const struct coop_addr *b)
{
	int r = order(a->len ? a->sa.sa_family : 0, b->len ? b->sa.sa_family : 0);

	if (r || !a->len)
		return r;
	switch (a->sa.sa_family) {
	case AF_INET: return compare_ip4(a, b);
	case AF_INET6: return compare_ip6(a, b);
	case AF_UNIX: return compare_unix(a, b);
	default: return order(a->len, b->len);
	}
}

int coop_addr_port(const struct coop_addr *addr)
{
	if (addr->len && addr->sa.sa_family == AF_INET)
		return ntohs(addr->in.sin_port);
	if (addr->len && addr->sa.sa_family == AF_INET6)
		return ntohs(addr->in6.sin6_port);
	return -EAFNOSUPPORT;
}

/* ---------------------------------------------------------------- asking */

void cp_addr_unmap(struct coop_addr *addr)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	if (addr->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr))
		return;
	in.sin_port = addr->in6.sin6_port;
	memcpy(&in.sin_addr, &addr->in6.sin6_addr.s6_addr[12], sizeof in.sin_addr);
	*addr = (struct coop_addr){ .in = in, .len = sizeof in };
}

int coop_socket_addr(int fd, struct coop_addr *ret_addr)
{
	struct cp_world *world = cp_world_of(cp_rt);
	struct coop_addr addr = { .len = sizeof addr.un };
	int r = world->ops->getsockname(world, fd, &addr.sa, &addr.len);

	if (r < 0)
		return r;
	cp_addr_unmap(&addr);
	*ret_addr = addr;
	return 0;
}

int coop_peer_addr(int fd, struct coop_addr *ret_addr)
{
	struct cp_world *world = cp_world_of(cp_rt);
	struct coop_addr addr = { .len = sizeof addr.un };
	int r = world->ops->getpeername(world, fd, &addr.sa, &addr.len);

	if (r < 0)
		return r;
	cp_addr_unmap(&addr);
	*ret_addr = addr;
	return 0;
}
