/* SPDX-License-Identifier: MIT */
/*
 * Sockets: addresses, names, connecting, listening, serving.
 *
 *	static int echo(int fd, void *arg)              // a task for each connection
 *	{
 *		char buf[512];
 *		int n;
 *
 *		while ((n = coop_serve_recv(fd, buf, sizeof buf)) > 0 &&
 *		       (n = coop_send_all(fd, buf, (size_t)n)) >= 0)
 *			;
 *		return n;                               // the server closes fd
 *	}
 *
 *	r = coop_tcp_listen(NULL, "7000", NULL, &listener);
 *	if (r >= 0)
 *		r = coop_serve(listener, echo, NULL, NULL); // until it is cancelled
 *	coop_listener_close(listener);
 *
 * Every descriptor that is made here is close-on-exec, is used with the calls of
 * io.h, and closed by coop_close.
 */
#ifndef COOP_NET_H
#define COOP_NET_H

#include <coop/base.h>
#include <coop/group.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

COOP_BEGIN_DECLS

/* ------------------------------------------------------------------- addresses */

/** The address of a socket: a plain value, copied by assignment. */
struct coop_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
	socklen_t len; /* of what is used of it; 0: none */
};
COOP_STATIC_ASSERT(sizeof(struct coop_addr) == 116, "struct coop_addr is ABI");

/** Room for the text of any address, with its NUL. */
#define COOP_ADDR_TEXT_MAX 448

/**
 * Reads an address: "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80", "unix:/run/x.sock",
 * "unix:@name" for the abstract name "name". No names are looked up.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (it is none), -ENAMETOOLONG (a path), -ENODEV (no such interface).
 * Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_addr_parse(const char *text, struct coop_addr *ret_addr);

/**
 * Makes an address of an IP address in words and a port: "127.0.0.1", "::1", "fe80::1%eth0".
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (no IP address), -ENODEV (no such interface).   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_addr_ip(const char *host, uint16_t port, struct coop_addr *ret_addr);

/**
 * Makes an address of the path of a socket, or of an abstract name, which begins with a NUL byte.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (nothing; a NUL inside a path), -ENAMETOOLONG (a path above 107 bytes, an
 *   abstract name above 108 with its NUL).   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_addr_unix(const void *path, size_t bytes, struct coop_addr *ret_addr);

/**
 * Writes an address into `buf` as coop_addr_parse reads it; bytes of a path that are no
 * printable ASCII, as \x1b.
 *
 * Returns `buf`, cut where `size` is too small; "none" for no address.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
char *coop_addr_text(const struct coop_addr *addr, char *buf, size_t size);

/**
 * Compares two addresses: family, then IP address, port and interface, or the name.
 *
 * Returns 0 for equal ones, else less or more than 0: an order of all addresses.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_addr_compare(const struct coop_addr *a, const struct coop_addr *b);

/**
 * Gives the port of an IP address.
 *
 * Returns it.
 *
 * Checkpoint: never.
 * Errors: -EAFNOSUPPORT (no IP address).   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_addr_port(const struct coop_addr *addr);

/** A host and a service, apart. */
struct coop_hostport {
	char host[256];   /* without brackets; "": none was given */
	char service[64]; /* "": none was given */
};

/**
 * Takes "host:service" apart: "example.org:443", "[::1]:http", "host", ":80", "::1".
 *
 * What has several colons and no brackets is a host alone.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (brackets that do not match; blanks and control characters), -ENAMETOOLONG.
 * Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_hostport_split(const char *text, struct coop_hostport *ret_parts);

/**
 * Asks for the address that a socket is bound to.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: those of getsockname(2).   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_socket_addr(int fd, struct coop_addr *ret_addr);

/**
 * Asks for the address of the other side of a connection.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: those of getpeername(2): -ENOTCONN.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_peer_addr(int fd, struct coop_addr *ret_addr);

COOP_END_DECLS

#endif
