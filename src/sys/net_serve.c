/* SPDX-License-Identifier: MIT */
/*
 * Serving: a task for each connection, back pressure, and an end at which nobody is cut off.
 *
 *   caller    in the group of the connections, behind its soft shield: waits for the acceptor, then
 *             for the connections
 *   acceptor  in a group around that one, not shielded: accepts, and hears a cancel
 *   handler   a child of the group of the connections, for each of them
 *
 * The acceptor goes through these states; a cancel from outside and coop_listener_drain begin the
 * same way:
 *
 *   SERVING --cancel, drain--> LINGERING --time--> DRAINING --queue empty--> (listener closed)
 *
 * In DRAINING the path of a Unix listener is gone, connections that wait for their next request are
 * told to end, and what the kernel has queued is still accepted and served. Then the handlers have
 * what is left of the grace, or drain_ns; after that they are cancelled.
 *
 * Invariants
 *   1. A connection costs its task and nothing else: the task's argument is the descriptor, the
 *      server is found by the task's group, and the name is made from the peer's address when
 *      somebody asks for it.
 *   2. While its handler runs, the argument in the task's body is its struct conn, which lies in
 *   its
 *      own frame: that is how the calls of the handler find it, and what a name is made from.
 *   3. An accepted descriptor is a handler's, or is closed at once.
 *   4. `open` counts handlers that have been spawned and have not closed their descriptor.
 */
#include "sys/net.h"

#include "core/group.h"
#include "io/io.h"
#include "sync/sync.h"

#include <coop/io.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DRAIN_NS COOP_SECONDS(30)
#define FIRST_NS COOP_SECONDS(1)
#define TOLD (-ECANCELED) /* no receive fails so by itself */

enum state { SERVING, LINGERING, DRAINING };

struct conn {
	int fd;       /* -1: the handler has taken it away */
	int waits_at; /* the descriptor that its next request is awaited at, or -1 */
	bool served;  /* something has come from it */
	bool told;    /* that the server drains, while it waited */
};

struct cp_server {
	struct coop_group conns; /* first: a connection finds its server by its group */
	struct coop_listener *l;
	coop_serve_fn *handler;
	void *arg;
	struct coop_serve_opts opts;
	enum state state;
	bool over;                 /* the caller wants no more connections */
	bool drain_wanted;         /* by coop_listener_drain */
	struct coop_scope serving; /* of the acceptor, in SERVING */
	struct cp_queue room;      /* the acceptor, while there are too many */
};

static const struct coop_serve_opts none;

/* ---------------------------------------------------------------- a connection */

/* A task's argument before its handler begins and after it has ended: odd, so no struct conn. */
static void *word_of(int fd)
{
	return (void *)((uintptr_t)fd << 1 | 1);
}

static struct conn *conn_of(void *arg)
{
	return (uintptr_t)arg & 1 ? NULL : arg;
}

static int fd_of(void *arg)
{
	const struct conn *c = conn_of(arg);

	return c ? c->fd : (int)((uintptr_t)arg >> 1);
}

static const char *conn_name(const struct coop_group *g, void *arg, char *buf, size_t size)
{
	const struct cp_server *s = (const struct cp_server *)g;
	char text[COOP_ADDR_TEXT_MAX];
	struct coop_addr peer;

	/* Where none is open it is asked for one that has ended, whose number is nobody's. */
	if (s->l->stats.open == 0 || fd_of(arg) < 0 || coop_peer_addr(fd_of(arg), &peer) < 0)
		return "connection";
	if (peer.sa.sa_family == AF_UNIX)
		snprintf(buf, size, "connection %d", fd_of(arg));
	else
		snprintf(buf, size, "%s", coop_addr_text(&peer, text, sizeof text));
	return buf;
}

static void conn_not_well(struct cp_rt *rt, struct coop_group *g, void *arg,
			  enum cp_outcome outcome, int rc, struct coop_error *err)
{
	(void)rt;
	(void)arg;
	(void)rc;
	(void)err;
	if (outcome == CP_ENDED_FAILED)
		((struct cp_server *)g)->l->stats.failed++;
}

static CP_COLD void log_failure(struct cp_server *s, const struct coop_error *err)
{
	struct coop_error_info info;

	s->l->stats.failed++;
	coop_error_describe(err, &info);
	coop_log(COOP_LOG_WARN, "%s: %s", coop_name(), info.message);
}

/* What the judge, who is asked while the connection is still there, makes of a failure. */
static CP_COLD int judge(struct cp_server *s, int r)
{
	const struct coop_error *err;

	if (!s->opts.judge || coop_is_fatal(r))
		return r;
	err = coop_error_peek(r);
	switch (s->opts.judge(err, s->opts.judge_ctx)) {
	case COOP_VERDICT_LOG:
		log_failure(s, err);
		coop_error_clear();
		return 0;
	case COOP_VERDICT_FATAL: coop_group_cancel(&s->conns, "a connection has failed"); return r;
	default: return r;
	}
}

/* The name is made while there is an address to make it from. */
static CP_COLD void keep_name(const struct conn *c)
{
	char text[COOP_NAME_MAX + 1];
	const char *name = conn_name(cp_rt->cur->group, word_of(c->fd), text, sizeof text);

	if (c->fd >= 0)
		(void)!coop_set_name(name);
}

static void make_room(struct cp_rt *rt, struct cp_server *s)
{
	s->l->stats.open--;
	cp_queue_wake(rt, &s->room, 0);
}

static int connection(void *arg)
{
	struct cp_rt *rt = cp_rt;
	struct cp_server *s = (struct cp_server *)rt->cur->group;
	struct conn c = { .fd = fd_of(arg), .waits_at = -1 };
	int r;

	rt->body->arg = &c;
	r = s->handler(c.fd, s->arg);
	if (r < 0 && r != COOP_ECANCELED) {
		keep_name(&c);
		r = judge(s, r);
	}
	if (c.fd >= 0)
		coop_close(c.fd);
	rt->body->arg = arg;
	make_room(rt, s);
	return r;
}

static const struct cp_team_ops ops = {
	.entry = connection,
	.ended = conn_not_well,
	.name = conn_name,
};

/* The connection that the running task is the handler of, or NULL. */
static struct conn *self(const struct cp_rt *rt)
{
	const struct coop_group *g = rt->cur->group;

	if (!g || !(g->_flags & CP_GROUP_TEAM) || g->_policy_fn != (void *)(uintptr_t)&ops)
		return NULL;
	return conn_of(rt->body->arg);
}

static struct cp_server *server_of(const struct cp_rt *rt)
{
	return (struct cp_server *)rt->cur->group;
}

int coop_serve_take(void)
{
	struct cp_rt *rt = cp_in_task();
	struct conn *c = rt ? self(rt) : NULL;
	int fd;

	if (!rt)
		return cp_no_task();
	if (!c)
		return COOP_EWRONGTASK;
	fd = c->fd;
	c->fd = -1;
	return fd < 0 ? -EALREADY : fd;
}

bool coop_serve_draining(void)
{
	struct cp_rt *rt = cp_in_task();

	return rt && self(rt) && server_of(rt)->state == DRAINING;
}

/* ---------------------------------------------------------------- waiting for a request */

/* What has come is read; where nothing has, there is no further request. */
static int read_at_once(int fd, void *buf, size_t bytes, int flags)
{
	int r = coop_recv(fd, buf, bytes, flags | MSG_DONTWAIT);

	return r == -EAGAIN ? 0 : r;
}

/* How long to wait, 0: for ever. One that has come late gets a moment for its first request. */
static int64_t limit_of(const struct cp_server *s, const struct conn *c)
{
	int64_t limit = s->opts.idle_ns;

	if (s->state == DRAINING && !c->served && (!limit || limit > FIRST_NS))
		return FIRST_NS;
	return limit;
}

static CP_NOINLINE int recv_within(int64_t limit_ns, int fd, void *buf, size_t bytes, int flags)
{
	struct coop_scope_opts opts = { .timeout_ns = limit_ns };
	struct coop_scope scope = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&scope, &opts);
	r = coop_scope_close(&scope, coop_recv(fd, buf, bytes, flags));
	return coop_scope_caught(&scope) ? read_at_once(fd, buf, bytes, flags) : r;
}

/*
 * A connection that waits is found by its task, and told by the end of its receive. So the wait
 * costs nothing of its own where there is no limit: no scope, and no list in which the
 * neighbours, who are cold, would have to be written.
 */
static int wait_for_request(struct cp_server *s, struct conn *c, int fd, void *buf, size_t bytes,
			    int flags)
{
	int64_t limit;
	int r;

	do {
		limit = limit_of(s, c);
		c->told = false;
		c->waits_at = fd;
		r = CP_UNLIKELY(limit != 0) ? recv_within(limit, fd, buf, bytes, flags)
					    : coop_recv(fd, buf, bytes, flags);
		c->waits_at = -1;
		if (CP_LIKELY(r != TOLD || !c->told))
			return r;
	} while (!c->served);
	return read_at_once(fd, buf, bytes, flags);
}

static int serve_recv(int fd, void *buf, size_t bytes, int flags)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_server *s;
	struct conn *c;
	int r;

	if (!rt)
		return cp_no_task();
	c = self(rt);
	if (!c)
		return cp_refuse(COOP_EWRONGTASK);
	s = server_of(rt);
	if (s->state == DRAINING && c->served)
		r = read_at_once(fd, buf, bytes, flags);
	else
		r = wait_for_request(s, c, fd, buf, bytes, flags);
	c->served |= r > 0;
	return r;
}

int coop_serve_recv(int fd, void *buf, size_t bytes)
{
	return serve_recv(fd, buf, bytes, 0);
}

int coop_serve_next(int fd)
{
	char c;

	return serve_recv(fd, &c, 1, MSG_PEEK);
}

/* ---------------------------------------------------------------- accepting */

static int wait_for_room(struct cp_rt *rt, struct cp_server *s)
{
	int r;

	while (s->opts.connections_max && s->l->stats.open >= s->opts.connections_max) {
		r = cp_cancel_point(rt);
		if (r >= 0)
			r = cp_sync_wait(rt, &s->room, "coop_serve: connections_max");
		if (r < 0)
			return r;
	}
	return 0;
}

/* The descriptor is the handler's, or closed: 0, or what ends the serving. */
static int hand_over(struct cp_rt *rt, struct cp_server *s, int fd)
{
	struct coop_listener_stats *stats = &s->l->stats;
	int r = coop_spawn(&s->conns, connection, word_of(fd));

	if (r >= 0) {
		if (++stats->open > stats->open_peak)
			stats->open_peak = stats->open;
		return 0;
	}
	coop_close(fd);
	return cp_accept_failed(rt, s->l, r);
}

/* Until it fails, or is cancelled. */
static int accept_on(struct cp_rt *rt, struct cp_server *s)
{
	int r;

	do {
		r = wait_for_room(rt, s);
		if (r >= 0)
			r = coop_listener_accept(s->l, NULL);
		if (r >= 0)
			r = hand_over(rt, s, r);
	} while (r >= 0);
	return r;
}

/* Until the kernel's queue is empty. */
static int accept_queued(struct cp_rt *rt, struct cp_server *s)
{
	struct cp_world *world = cp_world_of(rt);
	int r;

	for (;;) {
		r = wait_for_room(rt, s);
		if (r < 0)
			return r;
		r = world->ops->accept(world, s->l->fd, NULL, NULL);
		if (r == -EAGAIN)
			return 0;
		if (r >= 0) {
			s->l->stats.accepted++;
			r = hand_over(rt, s, r);
		} else {
			r = cp_accept_failed(rt, s->l, r);
		}
		if (r < 0)
			return r;
		r = coop_checkpoint();
		if (r < 0)
			return r;
	}
}

static void linger(struct cp_rt *rt, struct cp_server *s)
{
	struct coop_scope_opts opts = { .name = "linger", .timeout_ns = s->opts.linger_ns };
	struct coop_scope scope = COOP_SCOPE_INIT;
	int r;

	s->state = LINGERING;
	if (!opts.timeout_ns)
		return;
	coop_scope_open(&scope, &opts);
	r = coop_scope_close(&scope, accept_on(rt, s));
	if (r < 0) /* it is going to stop anyway, and the queue shows what there is */
		coop_error_clear();
}

/* One whose handler has begun, and waits: its receive ends, or, where it was too late, returns. */
static void tell(struct cp_rt *rt, const struct coop_task *t)
{
	struct conn *c;

	c = t->state == CP_NEW ? NULL : conn_of(t->body->arg);
	if (!c || c->waits_at < 0)
		return;
	c->told = true;
	cp_fd_end_read(rt, c->waits_at, t, TOLD);
}

static void begin_drain(struct cp_server *s)
{
	struct cp_rt *rt = cp_rt;
	const struct coop_task *t = s->conns._first;

	s->state = DRAINING;
	cp_listener_hide(s->l);
	for (; t; t = t->sib_next == s->conns._first ? NULL : t->sib_next)
		tell(rt, t);
}

/* Behind a soft shield: 0, or what it ended with before the queue was empty. */
static int drain(struct cp_rt *rt, struct cp_server *s)
{
	struct coop_scope_opts opts = { .name = "drain", .soft_shield_ns = COOP_NEVER };
	struct coop_scope scope = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&scope, &opts);
	linger(rt, s);
	begin_drain(s);
	r = accept_queued(rt, s);
	r = coop_scope_close(&scope, r);
	cp_listener_shut(s->l);
	return r;
}

static int acceptor(void *arg)
{
	struct cp_server *s = arg;
	struct cp_rt *rt = cp_rt;
	int r, cancelled;

	coop_scope_open(&s->serving, NULL);
	r = s->drain_wanted ? 0 : accept_on(rt, s);
	r = coop_scope_close(&s->serving, r); /* 0: coop_listener_drain has cancelled it */
	if (s->over)                          /* how it ends is the caller's to say */
		return 0;
	if (r < 0 && r != COOP_ECANCELED) {
		begin_drain(s);
		return r;
	}
	cancelled = r;
	r = drain(rt, s);
	return r < 0 ? r : cancelled;
}

/* ---------------------------------------------------------------- the caller */

static int check(const struct coop_serve_opts *opts)
{
	if (!cp_zero_words(opts->_reserved, CP_ARRAY_LEN(opts->_reserved)) || opts->linger_ns < 0 ||
	    opts->idle_ns < 0 || opts->drain_ns < 0)
		return -EINVAL;
	return 0;
}

/* A judge is asked in the connection's task, while that has a name. */
static enum coop_policy policy_of(const struct coop_serve_opts *opts)
{
	if (opts->judge)
		return COOP_COLLECT;
	return opts->fail_fast ? COOP_FAIL_FAST : COOP_LOG;
}

static void open_groups(struct cp_server *s, struct coop_group *outer)
{
	struct coop_group_opts around = { .name = "serve" };
	struct coop_group_opts opts = {
		.name = s->opts.name ? s->opts.name : "connections",
		.policy = policy_of(&s->opts),
		.soft_shield_ns = COOP_NEVER,
	};

	coop_group_open(outer, &around);
	coop_group_open(&s->conns, &opts);
	cp_group_set_team(&s->conns, &ops);
}

/* Nobody comes any more: those that are there have their time. */
static void wait_for_connections(struct cp_server *s)
{
	struct coop_scope_opts opts = { .name = "drain", .timeout_ns = s->opts.drain_ns };
	struct coop_scope scope = COOP_SCOPE_INIT;
	int r;

	if (!opts.timeout_ns)
		opts.timeout_ns = DRAIN_NS;
	if (opts.timeout_ns == COOP_NEVER)
		opts.timeout_ns = 0;
	coop_scope_open(&scope, &opts);
	r = coop_scope_close(&scope, coop_group_wait(&s->conns));
	if (r >= 0 && coop_scope_caught(&scope))
		coop_group_cancel(&s->conns, "the time to drain is over");
}

static int serve(struct cp_server *s, struct coop_group *outer)
{
	static const struct coop_spawn_opts opts = { .name = "accept" };
	struct coop_handle *h;
	int r = coop_spawn_with(outer, acceptor, s, &opts, &h);

	if (r < 0)
		return r;
	r = coop_handle_wait(h, NULL);
	if (r == COOP_ECANCELED) { /* we are: a connection has failed, or the grace is over */
		s->over = true;
		coop_handle_cancel(h, "the server ends");
	} else {
		coop_error_clear(); /* the acceptor's is the outer group's as well */
		wait_for_connections(s);
		r = 0;
	}
	coop_handle_release(h);
	return r;
}

int coop_serve(struct coop_listener *listener, coop_serve_fn *handler, void *arg,
	       const struct coop_serve_opts *opts)
{
	struct coop_group outer = COOP_GROUP_INIT;
	struct cp_rt *rt = cp_in_task();
	struct cp_server s = { .conns = COOP_GROUP_INIT,
			       .serving = COOP_SCOPE_INIT,
			       .l = listener,
			       .handler = handler,
			       .arg = arg };
	int r;

	if (!rt)
		return cp_no_task();
	s.opts = opts ? *opts : none;
	if (!handler || check(&s.opts) < 0)
		return -EINVAL;
	if (cp_net_cancelled(rt))
		return cp_refuse(0);
	if (listener->server)
		return -EBUSY;
	if (listener->fd < 0)
		return COOP_ECLOSED;
	listener->server = &s;
	open_groups(&s, &outer);
	r = serve(&s, &outer);
	r = coop_group_join(&s.conns, r);
	s.over = true;
	r = coop_group_join(&outer, r);
	listener->server = NULL;
	return r;
}

int coop_listener_drain(struct coop_listener *listener)
{
	struct cp_server *s = listener->server;

	if (!s || s->drain_wanted || s->state != SERVING)
		return 1;
	s->drain_wanted = true;
	coop_scope_cancel(&s->serving, "the server is asked to drain");
	return 0;
}
