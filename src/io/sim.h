/* SPDX-License-Identifier: MIT */
/*
 * The simulated world: objects in memory that answer as the kernel's do.
 *
 * An object (an end of a pipe, a socket, an open file) is meant by one or more numbers, each of
 * which a real descriptor stands behind, so that numbers are the kernel's, are limited as the
 * kernel says, and never mean two things. Nothing can be read from or written to that descriptor.
 *
 * An operation is tried at once. If it must wait it is tried again whenever the object has changed,
 * and its result is written where the caller wants it at that very moment, whether or not its task
 * runs soon: as a ring's completion, not as a word of readiness.
 *
 * Invariants
 *   1. What changes an object says so (sim_changed), and whoever may have changed one lets those
 *      who wait for it look (sim_settle) before it returns to a task or to the loop.
 *   2. No call in here suspends a task, and none calls another object's `try` but sim_settle:
 *      there is no recursion.
 *   3. All chance comes from one generator, seeded by the run; time is the run's clock.
 */
#ifndef CP_SIM_H
#define CP_SIM_H

#include "io/engines.h"
#include "io/sim_control.h"
#include "io/world.h"

#include "base/os_files.h"
#include "core/timer.h"

#include <netinet/in.h>
#include <sys/un.h>

struct cp_sim;
struct sim_node;
struct sim_object;
struct sim_sock;

/* ---- events, by the clock */

struct sim_event {
	struct cp_timer timer;
	void (*fire)(struct cp_sim *sim, struct sim_event *event);
};

/* ---- objects */

struct sim_object_ops {
	/* One try: its result, or -EAGAIN: it must wait. Of any code but SPLICE. */
	int (*try)(struct cp_sim *sim, struct sim_object *o, struct cp_op *op);
	/* How many bytes a write would take now, -EAGAIN, or what it would fail with. */
	int (*space)(struct cp_sim *sim, struct sim_object *o);
	/* Nobody means it any more: takes it out of the world and frees it. */
	void (*gone)(struct cp_sim *sim, struct sim_object *o);
};

struct sim_object {
	const struct sim_object_ops *ops;
	struct sim_object *next, *prev;                 /* of all */
	struct sim_object *changed_next, *changed_prev; /* of those that have changed */
	bool changed;
	bool is_socket;
	bool is_pipe;
	int number;    /* the first of its numbers, -1: none */
	uint32_t refs; /* of numbers, messages, queues */
};

/* What a number means; a list of all of one object. */
struct sim_number {
	struct sim_object *object;
	int next;
};

/* ---- bytes on their way from one to another */

enum sim_end {
	SIM_END_NONE,
	SIM_END_FIN,
	SIM_END_RESET,
};

struct sim_segment {
	struct sim_segment *next;
	int64_t when_ns;
	size_t bytes;
};

struct sim_channel {
	struct sim_object *reader; /* is told of what arrives */
	char *ring;
	size_t room; /* of the ring */
	size_t limit;
	size_t head;
	size_t used;
	size_t visible; /* of them, to the reader */
	uint64_t taken; /* bytes so far, and with `used` the number of the next that comes */
	struct sim_segment *first, *last;
	struct sim_event event;
	int64_t delay_ns;
	int64_t end_ns;
	enum sim_end ended; /* said by the writer */
	enum sim_end over;  /* seen by the reader */
	bool held;          /* nothing arrives: the network is cut */
	void (*on_over)(struct cp_sim *sim, struct sim_channel *c);
};

/* ---- sockets */

struct sim_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
	socklen_t len;
};

/* One form for both versions of IP: IPv4 as ::ffff:a.b.c.d. */
struct sim_ip {
	struct in6_addr ip;
	uint16_t port;
};

/* A path that a socket was bound to; outlives it. */
struct sim_path {
	struct sim_path *next;
	struct sim_sock *sock; /* NULL: closed */
	uint32_t mode;
	uint64_t ino;
	char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
};

/* Descriptors on their way beside bytes or in a message. */
struct sim_rights {
	struct sim_rights *next;
	uint64_t at; /* of the byte they go with */
	int count;
	struct {
		struct sim_object *object; /* or */
		int fd;                    /* a copy of a real one */
	} items[];
};

struct sim_message {
	struct sim_event event; /* arrives */
	struct sim_message *next, *prev;
	struct sim_sock *to;
	struct sim_addr from;
	struct sim_rights *rights;
	size_t bytes;
	char data[];
};

struct sim_messages {
	struct sim_message *first, *last;
	size_t count;
	size_t bytes;
};

struct sim_option {
	struct sim_option *next;
	int level, name;
	socklen_t bytes;
	char value[];
};

enum sim_sock_state {
	SIM_NEW,
	SIM_LISTENING,
	SIM_CONNECTING,
	SIM_CONNECTED,
};

struct sim_sock {
	struct sim_object object;
	sa_family_t family;
	int type;
	enum sim_sock_state state;
	struct sim_addr local, remote; /* len 0: none */
	struct sim_sock *bound_next, *bound_prev;
	struct sim_path *path;
	struct sim_option *options;
	uint32_t mode; /* of the path, before it is bound */
	bool bound, v6only, reuse_addr, reuse_port;
	bool shut_read, shut_write;
	bool fin;    /* the peer's end has been seen */
	bool reset;  /* the connection is no more */
	bool unborn; /* was never accepted */
	int error;   /* what the next call is told, positive */
	int linger;  /* seconds, -1: off */

	/* streams */
	struct sim_channel in;
	struct sim_sock *peer;  /* of datagrams: that of a socketpair, or whom it is connected to */
	struct sim_event event; /* of a connect; of a reset that comes back */
	int64_t delay_ns;
	uint64_t sent;
	uint64_t reset_at; /* bytes sent; 0: never */
	struct sim_rights *rights, *rights_last;

	/* listeners, and who is in their queues */
	struct sim_sock *queue_first, *queue_last, *queue_next;
	struct sim_sock *knock_first, *knock_last, *knock_next;
	struct sim_sock *knocks_at;
	int backlog, queued;
	bool lost; /* what it asked to connect with: the network is cut */

	/* datagrams */
	struct sim_messages arrived, flying;
};

/* ---- the world */

struct sim_fault {
	enum coop_sim_call call;
	int error;
	uint64_t left; /* calls until it strikes, 0: free */
};
#define SIM_FAULTS 32

struct sim_cut {
	struct sim_cut *next;
	struct sim_ip a, b;
};

#define SIM_SCRATCH 65536
#define SIM_PIPE_BYTES 65536
#define SIM_PIPE_ATOMIC 4096
#define SIM_TCP_BYTES 262144
#define SIM_UNIX_BYTES 212992
#define SIM_SOMAXCONN 4096
#define SIM_UNIX_MESSAGES 11 /* that a queue holds: net.unix.max_dgram_qlen and one */
#define SIM_PORT_FIRST 32768
#define SIM_PORT_LAST 60999

struct cp_sim {
	struct cp_epoll epoll; /* for what is real */
	struct cp_world world;
	struct cp_wheel wheel;
	int64_t now_ns; /* while no run goes on */
	uint64_t rng;
	struct sim_number *numbers;
	size_t numbers_count;
	uint32_t numbers_open;
	struct sim_object *objects;
	struct sim_object *changed_first, *changed_last;
	struct coop_sim_opts plan;
	int accept_errors[COOP_SIM_ACCEPT_ERRORS];
	uint32_t accept_errors_left;
	struct sim_fault faults[SIM_FAULTS];
	struct sim_cut *cuts;
	struct sim_sock *bound;
	struct sim_path *paths;
	uint64_t inodes;
	struct cp_os_files files;
	struct sim_node *root, *nodes;
	uint64_t disk_bytes;
	uint16_t port;
	bool dying; /* the engine is being closed */
	char scratch[SIM_SCRATCH];
};

CP_INLINE struct cp_sim *sim_of_io(struct cp_io *io)
{
	return CP_CONTAINER_OF(io, struct cp_sim, epoll.io);
}

/* sim.c */
int64_t sim_now(const struct cp_sim *sim);
void sim_arm(struct cp_sim *sim, struct sim_event *event, int64_t when_ns);
void sim_disarm(struct cp_sim *sim, struct sim_event *event);
void sim_changed(struct cp_sim *sim, struct sim_object *o);
void sim_settle(struct cp_sim *sim);

/* sim_object.c */
void sim_object_init(struct cp_sim *sim, struct sim_object *o, const struct sim_object_ops *ops);
void sim_object_deinit(struct cp_sim *sim, struct sim_object *o);
CP_INLINE void sim_ref(struct sim_object *o)
{
	o->refs++;
}
void sim_unref(struct cp_sim *sim, struct sim_object *o);
/* What a number means; NULL: nothing in here. */
struct sim_object *sim_find(const struct cp_sim *sim, int fd);
/* A new number for it: that, or -EMFILE, -ENFILE, -ENOMEM. */
int sim_number(struct cp_sim *sim, struct sim_object *o);
/* The number means nothing any more, and the descriptor behind it is closed. */
void sim_number_close(struct cp_sim *sim, int fd);
/* As object and first number; freed as a whole if there is no number to be had. */
int sim_number_first(struct cp_sim *sim, struct sim_object *o);

/* sim_plan.c */
uint64_t sim_below(struct cp_sim *sim, uint64_t n); /* 0 to n - 1 */
bool sim_chance(struct cp_sim *sim, uint32_t percent);
int64_t sim_between(struct cp_sim *sim, int64_t min, int64_t max);
/* As many of `bytes`, which are more than 0, as a transfer moves. */
size_t sim_shorten(struct cp_sim *sim, size_t bytes);
/* The error that this call was planned to have, or 0. */
int sim_fault(struct cp_sim *sim, enum coop_sim_call call);
enum coop_sim_call sim_call_of(const struct cp_op *op);
/* Nothing gets from one of these to the other. */
bool sim_is_cut(const struct cp_sim *sim, const struct sim_addr *a, const struct sim_addr *b);
void sim_plan_deinit(struct cp_sim *sim);
extern const struct cp_sim_control sim_control;

/* sim_channel.c */
struct sim_cursor {
	const struct iovec *iov;
	int count;
	size_t at;
};
size_t sim_iov_bytes(const struct iovec *iov, int count);
void sim_scatter(struct sim_cursor *to, const char *from, size_t bytes);
void sim_gather(struct sim_cursor *from, char *to, size_t bytes);
void sim_channel_init(struct sim_channel *c, struct sim_object *reader, size_t limit);
void sim_channel_deinit(struct cp_sim *sim, struct sim_channel *c);
CP_INLINE size_t sim_channel_space(const struct sim_channel *c)
{
	return c->used < c->limit ? c->limit - c->used : 0;
}
/* 0 or -ENOMEM; there is room. */
int sim_channel_put(struct cp_sim *sim, struct sim_channel *c, struct sim_cursor *from,
		    size_t bytes);
/* What is visible; with `peek` it stays. */
void sim_channel_take(struct sim_channel *c, struct sim_cursor *to, size_t bytes, bool peek);
/* The last of what was taken is there again; nothing has been put in between. */
void sim_channel_give_back(struct sim_channel *c, size_t bytes);
void sim_channel_end(struct cp_sim *sim, struct sim_channel *c, enum sim_end end);
void sim_channel_hold(struct cp_sim *sim, struct sim_channel *c, bool hold);

/* sim_pipe.c */
int sim_pipe(struct cp_sim *sim, int ret_fds[2]);
int sim_splice(struct cp_sim *sim, struct cp_op *op);

/* sim_addr.c */
bool sim_addr_is_none(const struct sockaddr *addr, socklen_t len); /* AF_UNSPEC: nobody */
int sim_addr_take(const struct sim_sock *s, const struct sockaddr *addr, socklen_t len,
		  struct sim_addr *ret_addr);
void sim_addr_give(const struct sim_addr *from, sa_family_t family, struct sockaddr *to,
		   socklen_t *len);
struct sim_ip sim_ip_of(const struct sim_addr *addr);
void sim_ip_to(const struct sim_ip *ip, sa_family_t family, struct sim_addr *ret_addr);
bool sim_ip_is_any(const struct sim_ip *ip);
bool sim_ip_is_host(const struct sim_ip *ip);
int sim_bind(struct cp_sim *sim, struct sim_sock *s, const struct sim_addr *addr);
void sim_unbind(struct cp_sim *sim, struct sim_sock *s);
/* A port and the address to send from, if it has none yet. 0, -EADDRNOTAVAIL. */
int sim_bind_for(struct cp_sim *sim, struct sim_sock *s, const struct sim_addr *to);
/* A port of all hosts, for one that sends without having been bound. 0, -EADDRINUSE, -ENOMEM. */
int sim_bind_any(struct cp_sim *sim, struct sim_sock *s);
/* The host that a socket which has none speaks from when it speaks to `to`; the port stays. */
void sim_ip_choose(const struct sim_addr *to, struct sim_ip *ip);
bool sim_may_listen(const struct cp_sim *sim, const struct sim_sock *s);
/* Who is bound there, of this type; streams: who listens there. NULL and an error. */
struct sim_sock *sim_lookup(struct cp_sim *sim, const struct sim_sock *from,
			    const struct sim_addr *to, int *ret_error);
struct sim_path *sim_path_find(const struct cp_sim *sim, const char *name);

/* sim_sock.c */
struct sim_sock *sim_sock_of(struct sim_object *o);
struct sim_sock *sim_sock_new(struct cp_sim *sim, sa_family_t family, int type);
void sim_sock_free(struct cp_sim *sim, struct sim_sock *s);
int sim_sock_error(struct sim_sock *s); /* what the next call is told, negative, once; or 0 */
extern const struct sim_object_ops sim_stream_ops;
extern const struct sim_object_ops sim_dgram_ops;
/* The pieces, flags and message of an operation that transfers. */
struct sim_transfer {
	struct sim_cursor cursor;
	size_t bytes;
	int flags;
	struct msghdr *msg; /* NULL: none was given */
};
struct sim_transfer sim_transfer_of(struct cp_op *op);

/* sim_stream.c */
void sim_stream_shutdown(struct cp_sim *sim, struct sim_sock *s, int how);
void sim_stream_reset(struct cp_sim *sim, struct sim_sock *s);
int sim_stream_disconnect(struct cp_sim *sim, struct sim_sock *s);
/* There is a connection: TCP's is over when both have ended it, or one has reset it. */
bool sim_stream_is_up(const struct sim_sock *s);
void sim_stream_link(struct cp_sim *sim, struct sim_sock *a, struct sim_sock *b, int64_t delay_ns);
void sim_stream_closed(struct cp_sim *sim, struct sim_sock *s);
/* The network between it and its peer is cut, or whole again. */
void sim_stream_cut(struct cp_sim *sim, struct sim_sock *s);

/* sim_connect.c */
int sim_listen(struct cp_sim *sim, struct sim_sock *s, int backlog);
/* The socket of the next connection, with a reference that is the caller's. */
int sim_accept(struct cp_sim *sim, struct sim_sock *s, struct sockaddr *addr, socklen_t *len);
/* May one of Unix ask there without having to wait? */
bool sim_has_room(struct cp_sim *sim, struct sim_sock *s, const struct sim_addr *to);
/* 0, -EINPROGRESS, or why not. */
int sim_connect(struct cp_sim *sim, struct sim_sock *s, const struct sim_addr *to);
void sim_listener_closed(struct cp_sim *sim, struct sim_sock *s);
/* It asks for nothing any more. */
void sim_connect_leave(struct sim_sock *s);
/* It asks again, after the network was cut. */
void sim_connect_again(struct cp_sim *sim, struct sim_sock *s);

/* sim_dgram.c */
int sim_dgram_connect(struct cp_sim *sim, struct sim_sock *s, const struct sim_addr *to);
void sim_dgram_disconnect(struct sim_sock *s);
void sim_dgram_closed(struct cp_sim *sim, struct sim_sock *s);

/* sim_rights.c */
struct cmsghdr;
int sim_rights_take(struct cp_sim *sim, const struct msghdr *msg, struct sim_rights **ret_rights);
/* Puts them into the control data of `msg`; what has no room there is closed. */
void sim_rights_give(struct cp_sim *sim, struct sim_rights *rights, struct msghdr *msg,
		     size_t *control_used);
void sim_rights_free(struct cp_sim *sim, struct sim_rights *rights);

/* sim_fs.c */
int sim_fs_init(struct cp_sim *sim);
void sim_fs_deinit(struct cp_sim *sim);
/* Is what stands before the last slash of the path a directory? 0, -ENOENT, -ENOTDIR ... */
int sim_fs_parent(struct cp_sim *sim, const char *path);
/* The machine stops, and comes up again: 0 or -ENOMEM. */
int sim_fs_crash(struct cp_sim *sim);

/* sim_world.c */
/* What is accepted has the options of its listener. 0 or -ENOMEM. */
int sim_options_copy(const struct sim_sock *from, struct sim_sock *to);
extern const struct cp_world_ops sim_world_ops;

#endif
