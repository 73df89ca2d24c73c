/* SPDX-License-Identifier: MIT */
/*
 * Sockets: addresses, names, connecting, listening, serving; datagrams; what Unix sockets can pass.
 *
 *	static int echo(int fd, void *arg)              // a task for each connection
 *	{
 *		char buf[512];
 *		int n;
 *
 *		while ((n = coop_serve_recv(fd, buf, sizeof buf)) > 0)
 *			...                             // answer with coop_send
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
 * Asks for the address that a socket is bound to; an IPv4 address in the form of an IPv6 one,
 * ::ffff:1.2.3.4, is given as what it is.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: those of getsockname(2).   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_socket_addr(int fd, struct coop_addr *ret_addr);

/**
 * Asks for the address of the other side of a connection, as coop_socket_addr.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: those of getpeername(2): -ENOTCONN.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_peer_addr(int fd, struct coop_addr *ret_addr);

/* --------------------------------------------------------------------- names */

/** What a look-up found; in the order in which to try them. */
struct coop_addr_list {
	const struct coop_addr *addrs;
	uint32_t count; /* at least 1 */
};

/** Options of a look-up; all zero: addresses of both families, for streams. */
struct coop_resolve_opts {
	int family;   /* AF_INET, AF_INET6; 0: both */
	int type;     /* SOCK_DGRAM, ...; 0: SOCK_STREAM */
	bool passive; /* to listen at: no host means every address, not the loopback */
	uint64_t _reserved[8];
};

/**
 * Looks up a host and a service: names, or addresses and numbers, which are not looked up.
 *
 * `host` NULL or "" is this machine; `service` NULL or "" is port 0, another one a number up to
 * 65535 or, if it has a letter, a name. Names go through the C
 * library (nsswitch.conf, hosts), in a thread of the lane COOP_LANE_DNS; tasks that
 * ask the same at the same time share one look-up.
 *
 * A library that was built with c-ares (-Dcares=enabled) has it ask hosts and name servers for
 * hosts on the loop instead, without a thread, where nsswitch.conf names nothing else for hosts and
 * the clock is the machine's. The environment's COOP_DNS=auto|threads|cares decides before that.
 *
 * Returns 0 with a list in `ret_list`, to be given back by coop_addr_list_free.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, at once; a thread that is at it goes on by itself.
 * Errors: COOP_ECANCELED, -ENOENT (no such host), -EINVAL (the service; options), -EAGAIN (the name
 *   server does not answer for now), -EIO (it has failed), -EAFNOSUPPORT, -ENOMEM, -ENODEV (no such
 *   interface), -ENOTSUP (COOP_DNS), -EMFILE (c-ares), those of coop_offload, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_resolve(const char *host, const char *service, const struct coop_resolve_opts *opts,
		 struct coop_addr_list **ret_list);

/**
 * Gives a list back; NULL is fine.
 *
 * Returns NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
struct coop_addr_list *coop_addr_list_free(struct coop_addr_list *list);

/* ---------------------------------------------------------------- connecting */

/** Options of a connection; all zero: no delay of small packets, no keep-alive. */
struct coop_connect_opts {
	int family; /* AF_INET, AF_INET6; 0: both */
	bool delay; /* Nagle's: gathers small packets */
	/* After so long without a sign the peer is asked for one, four times within the same
	 * time again; 0: never. Whole seconds. */
	int64_t keepalive_ns;
	const struct coop_addr *bind; /* our own address; NULL: the system's choice */
	/* Between attempts; 0: 250 ms, COOP_NEVER: only when the one before has failed. */
	int64_t stagger_ns;
	uint64_t _reserved[8];
};

/**
 * Connects to a host by its name: to the first of its addresses that answers.
 *
 * IPv6 and IPv4 take turns, beginning with IPv6; an attempt begins when the one before has failed
 * or has taken `stagger_ns`. When one has connected, the others are given up and closed. If
 * all fail the error has each of them.
 *
 * Returns a descriptor; the caller closes it by coop_close.
 *
 * Checkpoint: custom: those of coop_resolve and of the attempts; one at least.
 * Cancel: COOP_ECANCELED; nothing is left behind.
 * Errors: those of coop_resolve and coop_tcp_connect_addr; of several attempts, a tree.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_tcp_connect(const char *host, const char *service, const struct coop_connect_opts *opts);

/**
 * Connects to an address.
 *
 * Returns a descriptor; the caller closes it by coop_close.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; nothing is left behind.
 * Errors: COOP_ECANCELED, -EINVAL (options), those of socket(2), bind(2), connect(2); COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_tcp_connect_addr(const struct coop_addr *addr, const struct coop_connect_opts *opts);

/**
 * Connects to a Unix socket: a path, or "@name" for an abstract name.
 *
 * Where the listener's queue is full it tries again, at longer and longer intervals up to 50 ms.
 *
 * Returns a descriptor; the caller closes it by coop_close.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; nothing is left behind.
 * Errors: COOP_ECANCELED, -EINVAL, -ENAMETOOLONG, -ENOENT (no such path), -ECONNREFUSED (nobody
 *   listens), others of socket(2) and connect(2); COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_unix_connect(const char *path);

/* ----------------------------------------------------------------- listening */

/** A socket that listens; opaque. */
struct coop_listener;

/** Options of a listener; all zero: the defaults. */
struct coop_listen_opts {
	int backlog;        /* connections that the kernel keeps for us; 0: 4096. It takes no more
			       than net.core.somaxconn, and the log says so */
	int family;         /* AF_INET, AF_INET6; 0: either */
	bool reuse_port;    /* several listeners at one port: the kernel distributes */
	bool no_reuse_addr; /* refuse a port that old connections still use */
	bool v6_only;       /* an IPv6 listener takes no IPv4 */
	bool delay;         /* Nagle's, of what is accepted */
	uint32_t mode;      /* of a Unix path; 0: 0600 */
	uint64_t _reserved[8];
};

/**
 * Listens at a host and a port: "127.0.0.1", "::1", a name; NULL, "" or "*" are all addresses, of
 * IPv6 and IPv4 by one socket where the machine has both.
 *
 * Of a name that has several addresses the first that can be bound is taken. Port "0" is any free
 * one: coop_listener_addr tells.
 *
 * Returns 0 and a listener in `ret_listener`, to be closed by coop_listener_close.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; nothing was opened.
 * Errors: those of coop_resolve and coop_tcp_listen_addr.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_tcp_listen(const char *host, const char *service, const struct coop_listen_opts *opts,
		    struct coop_listener **ret_listener);

/**
 * Listens at an address.
 *
 * Returns 0 and a listener in `ret_listener`, to be closed by coop_listener_close.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (options; no IP address), -ENOMEM, those of socket(2), setsockopt(2), bind(2) and
 *   listen(2): -EADDRINUSE, -EACCES.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_tcp_listen_addr(const struct coop_addr *addr, const struct coop_listen_opts *opts,
			 struct coop_listener **ret_listener);

/**
 * Listens at the path of a Unix socket, or at "@name", an abstract name.
 *
 * The path has the rights of `mode` before anybody can connect. A socket that is there already is
 * replaced if nobody listens at it; anything else that is there stays. Closing the listener removes
 * the path if it is still this socket's; in a forked child it does not: the path is its parent's.
 *
 * Returns 0 and a listener in `ret_listener`, to be closed by coop_listener_close.
 *
 * Checkpoint: never.
 * Errors: -EADDRINUSE (somebody listens there; it is no socket), -EINVAL, -ENAMETOOLONG, -ENOMEM,
 *   those of socket(2), bind(2), chmod(2) and listen(2).   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_unix_listen(const char *path, const struct coop_listen_opts *opts,
		     struct coop_listener **ret_listener);

/**
 * Makes a listener of a socket that somebody else has opened: a service manager, a parent.
 *
 * `fd` is taken if 0 is returned; it becomes close-on-exec and non-blocking. Of the options
 * only `delay` means something here. The path of a Unix socket stays when it is closed.
 *
 * Returns 0 and a listener in `ret_listener`, to be closed by coop_listener_close.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (options; it does not listen), -EBADF, -ENOTSOCK, -ENOMEM.
 * Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_listener_adopt(int fd, const struct coop_listen_opts *opts,
			struct coop_listener **ret_listener);

/**
 * Asks how many sockets the service manager has passed: 3 is the first one (systemd's LISTEN_FDS).
 *
 * Returns the count; 0 if none was meant for this process.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_listen_fds(void);

/**
 * Tells where a listener listens, with the port that it has got.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_ECLOSED.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_listener_addr(const struct coop_listener *listener, struct coop_addr *ret_addr);

/**
 * Gives the descriptor of a listener, borrowed.
 *
 * Returns it.
 *
 * Checkpoint: never.
 * Errors: COOP_ECLOSED.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_listener_fd(const struct coop_listener *listener);

/** What a listener has seen. */
struct coop_listener_stats {
	uint64_t accepted;
	uint64_t lost;       /* connections that had ended before they were taken, and the like */
	uint64_t rests;      /* pauses because there were no descriptors, or no memory */
	int last_error;      /* of `lost` and `rests`; 0: none */
	int backlog;         /* as it is in the kernel */
	uint32_t open;       /* connections that coop_serve has now */
	uint32_t open_peak;
	uint64_t failed;     /* of those that have ended: handlers that returned an error */
	uint64_t _reserved[4];
};

/**
 * Tells what a listener has seen.
 *
 * Returns 0.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API
int coop_listener_stats(const struct coop_listener *listener,
			struct coop_listener_stats *ret_stats);

/**
 * Takes the next connection, whatever happens to others.
 *
 * A connection that is broken already is passed over. Where there is no descriptor or no memory
 * left it waits 10 ms to 100 ms, or until coop_close has closed something, and tries again;
 * connections wait in the kernel's queue meanwhile.
 *
 * Returns a descriptor; the caller closes it by coop_close. `ret_peer` (may be NULL) gets the
 * address of the other side.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and no connection was taken.
 * Errors: COOP_ECANCELED, COOP_ECLOSED, -EBUSY (another task accepts, or serves), those of
 * accept(2)
 *   that are no matter of one connection or of the moment; COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_listener_accept(struct coop_listener *listener, struct coop_addr *ret_peer);

/**
 * Closes and frees a listener; NULL is fine.
 *
 * What waits in the kernel's queue is refused; coop_serve takes it all before. Who accepts gets
 * COOP_ECLOSED. When it returns, the port is free.
 *
 * Returns NULL.
 *
 * Checkpoint: custom: as coop_close; none outside of tasks.
 * Cancel: never.
 * Errors: none; while coop_serve is at it, it aborts the program.
 * Thread: the runtime's; any outside of a run.   Since: 0.1
 */
COOP_API
struct coop_listener *coop_listener_close(struct coop_listener *listener);

/* ------------------------------------------------------------------- serving */

/**
 * Serves one connection, in a task of its own. `fd` is closed when it returns; a negative result is
 * a failure of this connection.
 */
typedef int coop_serve_fn(int fd, void *arg);

/** Options of a server; all zero: no limit, a failed connection is a line in the log. */
struct coop_serve_opts {
	const char *name;         /* of the group of the connections, copied */
	uint32_t connections_max; /* at once; 0: no limit. More wait in the kernel's queue */
	bool fail_fast;           /* the first connection that fails ends the server */
	coop_judge_fn *judge;     /* decides on each failure: FATAL ends the server, KEEP is part
				     of its error, LOG is a line in the log */
	void *judge_ctx;
	int64_t idle_ns;   /* so long coop_serve_recv and coop_serve_next wait; 0: for ever */
	int64_t linger_ns; /* goes on so long, as if nothing was, before it drains */
	int64_t drain_ns;  /* then handlers have at most so long; 0: 30 s; COOP_NEVER */
	uint64_t _reserved[8];
};

/**
 * Accepts connections and runs handler(fd, arg) for each in a task of its own, until it is
 * cancelled or told to drain.
 *
 * Then it drains: it lingers, if that is wanted; connections that wait for their next request
 * (coop_serve_recv) are ended; what the kernel has queued is still accepted and served; the
 * listener is closed. Handlers have drain_ns, or, where it was cancelled, the grace of that if it
 * is shorter; then they are cancelled. So whatever has been sent to it is answered. A failed
 * connection leaves the others alone, if the options do not say otherwise.
 *
 * Returns 0 after coop_listener_drain.
 *
 * Checkpoint: custom: waits for the end of all connections, whatever happens.
 * Cancel: COOP_ECANCELED, after it has drained.
 * Errors: -EINVAL (options, no handler), -EBUSY (it is being served), COOP_ECLOSED, -ENOMEM
 * (nothing
 *   was accepted); those of coop_listener_accept, after it has drained, the listener is open then;
 *   of connections, as the options say; COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_serve(struct coop_listener *listener, coop_serve_fn *handler, void *arg,
	       const struct coop_serve_opts *opts);

/**
 * Has the coop_serve of this listener drain and return 0.
 *
 * Returns 0, or 1 if nobody serves it or it drains already.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API
int coop_listener_drain(struct coop_listener *listener);

/**
 * In a handler: receives the first bytes of the next request, as coop_recv.
 *
 * While it waits the connection is idle: a server that drains ends the wait. So does idle_ns. One
 * that has never sent anything has a second to do so when the drain has begun.
 *
 * Returns how many bytes; 0: there is no further request: the peer has ended its side, or the
 * server drains, or idle_ns is over.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing was received.
 * Errors: as coop_recv; COOP_EWRONGTASK (no handler's task).
 * Thread: the runtime's, in a handler's task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_serve_recv(int fd, void *buf, size_t bytes);

/**
 * In a handler: waits for the next request as coop_serve_recv, but leaves it where it is.
 *
 * Returns 1 if there is something to receive; 0: there is no further request.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED.
 * Errors: as coop_serve_recv.   Thread: the runtime's, in a handler's task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_serve_next(int fd);

/**
 * In a handler: takes the descriptor away from the server: it is the handler's to close, or to pass
 * on.
 *
 * Returns the descriptor.
 *
 * Checkpoint: never.
 * Errors: -EALREADY (it has been taken), COOP_EWRONGTASK (no handler's task), COOP_ENOTASK.
 * Thread: the runtime's, in a handler's task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_serve_take(void);

/**
 * In a handler: asks whether its server drains.
 *
 * Returns true or false; false in any other task.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
bool coop_serve_draining(void);

/* ---------------------------------------------------------------------- UDP */

/** Options of a UDP socket; all zero: the defaults. */
struct coop_udp_opts {
	int family;      /* without an address of its own: AF_INET, AF_INET6; 0: both */
	bool reuse_port; /* several sockets at one port */
	bool v6_only;
	bool broadcast;  /* may send to every host of a network */
	uint64_t _reserved[8];
};

/**
 * Opens a UDP socket at an address of its own; NULL: any, at any port.
 *
 * Returns a descriptor; the caller closes it by coop_close.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (options; no IP address), those of socket(2), setsockopt(2) and bind(2).
 * Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_udp_open(const struct coop_addr *local, const struct coop_udp_opts *opts);

/**
 * Gives a UDP socket its peer: sends go there, and what others send is not received. No address
 * takes it away again.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: those of connect(2).   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_udp_connect(int fd, const struct coop_addr *peer);

/**
 * Sends a datagram to an address; NULL: to the peer.
 *
 * Returns how many bytes: all of them.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing was sent.
 * Errors: as coop_send: -EMSGSIZE, -ECONNREFUSED (an earlier one was not wanted there).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_udp_send(int fd, const void *buf, size_t bytes, const struct coop_addr *to);

/**
 * Receives a datagram; `ret_from` (may be NULL) gets where it came from.
 *
 * Returns how many bytes, which can be 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing was received.
 * Errors: as coop_recv; -EMSGSIZE (it was longer than `bytes`, and is lost).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_udp_recv(int fd, void *buf, size_t bytes, struct coop_addr *ret_from);

/* -------------------------------------------------------------- Unix sockets */

/**
 * Makes two Unix sockets that are connected to each other: SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM.
 *
 * Returns 0, with the descriptors in `ret_fds`; the caller closes them by coop_close.
 *
 * Checkpoint: never.
 * Errors: those of socketpair(2).   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_socket_pair(int type, int ret_fds[2]);

/** Who is at the other end of a Unix socket, as of its connect. */
struct coop_creds {
	int64_t pid;
	uint32_t uid;
	uint32_t gid;
};

/**
 * Asks the kernel who is at the other end of a Unix socket.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EAFNOSUPPORT (no Unix socket), -ENOTCONN, those of getsockopt(2).
 * Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_peer_creds(int fd, struct coop_creds *ret_creds);

/** At most so many descriptors go with one message. */
#define COOP_FDS_MAX 253

/**
 * Sends bytes, at least one, and with the first of them copies of `count` descriptors.
 *
 * Returns how many bytes; the descriptors have gone with them.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing was sent.
 * Errors: as coop_sendmsg; -EINVAL (no bytes, too many descriptors), -EBADF (one of them).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_send_fds(int fd, const void *buf, size_t bytes, const int *fds, size_t count);

/**
 * Receives bytes, and the descriptors that have come with them: at most `fds_max` go to `ret_fds`,
 * close-on-exec, the caller's to close. Surplus ones are closed.
 *
 * Returns how many bytes, and in `ret_count` how many descriptors had come: more than `fds_max`
 * says that some were closed.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing was received.
 * Errors: as coop_recvmsg; -EINVAL (no room for a byte); -EMFILE (this process could not have all
 *   the descriptors, for its limit of open ones, say: the kernel has dropped some. Those that did
 *   come are closed, and the message is lost: bytes of it are in `buf`).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_recv_fds(int fd, void *buf, size_t bytes, size_t fds_max, int *ret_fds, size_t *ret_count);

COOP_END_DECLS

#endif
