/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Random programs over pipes, sockets and listeners: the same outcomes on every engine.
 *
 * A program is a list of actions, each at an instant of its own on the virtual clock: send, receive
 * so much, receive to the end, half-close, close, reset, poll, cancel another's wait, connect,
 * accept. Each belongs to an actor, a task that has one direction of one descriptor. An action's
 * time limit is an instant of its own, too, so that at each instant there is one cause, and what
 * comes of it is over before the clock moves on.
 *
 * What is compared is what each action returned and how many bytes it moved. The simulated engine
 * runs each program a second time under a plan that cuts transfers and delays results: that may
 * not make a difference either.
 *
 * COOP_RANDOM=n replays program n alone and prints what it does.
 */
#include "io_help.h"

#include <netinet/tcp.h>

enum kind { PIPE, UNIX, TCP, DGRAM, LISTENER };
enum what { SEND, RECV, RECV_ALL, POLL, SHUT, CLOSE, RESET, CANCEL, CONNECT, ACCEPT };

#define CONNS 4
#define ENDS (2 * CONNS)
#define ACTORS (2 * ENDS)
#define ACTIONS 24
#define SLOT MS(10)

struct action {
	enum what what;
	int actor;
	int slot;
	int bytes;  /* to be moved, or the actor that is cancelled */
	int result; /* outcomes */
	int moved;
};

struct end {
	enum kind kind;
	int fd;                  /* -1: closed */
	struct sockaddr_in addr; /* of a listener */
};

struct actor {
	struct program *p;
	int index;
	int end;
	struct coop_scope *scope; /* of the action that goes on */
};

struct program {
	int conns;
	enum kind kinds[CONNS];
	int count;
	struct action actions[ACTIONS];
	struct end ends[ENDS];
	struct actor actors[ACTORS];
	int64_t begin;
	bool planned;
};

/* ------------------------------------------------------------------------ generating */

static uint64_t state;

static int draw(int n)
{
	uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (int)((z ^ (z >> 31)) % (uint64_t)n);
}

/* Actors 4c and 4c + 1 read and write at one end of connection c, the other two at the other. */
static bool reads(int actor)
{
	return actor % 2 == 0;
}

static enum what draw_what(enum kind kind, int actor)
{
	static const enum what reading[] = { RECV, RECV, RECV, RECV_ALL, POLL, CLOSE };
	static const enum what writing[] = { SEND, SEND, SEND, SEND, SHUT, CLOSE };

	if (draw(8) == 0)
		return CANCEL;
	if (kind == LISTENER)
		return draw(12) == 0 ? CLOSE : reads(actor) ? ACCEPT : CONNECT;
	if (kind == TCP && draw(16) == 0)
		return RESET;
	if (kind == PIPE) /* one end reads, the other writes */
		return actor % 4 < 2 ? reading[draw(6)] : writing[draw(4)];
	return reads(actor) ? reading[draw(6)] : writing[draw(6)];
}

static void generate(struct program *p, uint64_t seed, bool tcp)
{
	state = seed;
	*p = (struct program){ .conns = 1 + draw(CONNS) };
	for (int i = 0; i < p->conns; i++) {
		static const enum kind near[] = { PIPE, UNIX, UNIX, DGRAM };
		static const enum kind far[] = { TCP, LISTENER, TCP, UNIX };

		p->kinds[i] = (tcp ? far : near)[draw(4)];
	}
	p->count = 4 + draw(ACTIONS - 4);
	for (int i = 0; i < p->count; i++) {
		struct action *a = &p->actions[i];

		a->actor = draw(4 * p->conns);
		a->what = draw_what(p->kinds[a->actor / 4], a->actor);
		a->slot = i + 1;
		a->bytes = a->what == CANCEL ? draw(4 * p->conns) : 1 + draw(300);
	}
}

/* ------------------------------------------------------------------------------ acting */

static int act_recv(const struct end *e, struct action *a, int want)
{
	char buf[512];
	int r = 0;

	while (a->moved < want) {
		int left = want - a->moved < 512 ? want - a->moved : 512;

		r = coop_read(e->fd, buf, e->kind == DGRAM ? 512 : (size_t)left);
		if (r <= 0)
			return r;
		for (int i = 0; i < r && e->kind != LISTENER; i++)
			CHECK_INT(buf[i], ==, 'b');
		a->moved += r;
		if (e->kind == DGRAM)
			return r;
	}
	return r;
}

static int act_send(const struct end *e, struct action *a)
{
	char buf[512];
	int r = 0;

	memset(buf, 'b', sizeof buf);
	while (a->moved < a->bytes) {
		r = coop_write(e->fd, buf, (size_t)(a->bytes - a->moved));
		if (r < 0)
			return r;
		a->moved += r;
	}
	return r;
}

static int act_close(struct end *e)
{
	int fd = e->fd;

	e->fd = -1;
	return coop_close(fd);
}

static int act_reset(struct end *e)
{
	struct linger hard = { .l_onoff = 1 };

	if (e->fd < 0)
		return -EBADF;
	CHECK_INT(WORLD(setsockopt, e->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), ==, 0);
	return act_close(e);
}

/* A connection that says something and goes. */
static int act_connect(const struct end *e, struct action *a)
{
	struct end s = { TCP, new_socket(AF_INET, SOCK_STREAM), .addr.sin_family = 0 };
	int r = coop_connect(s.fd, (const struct sockaddr *)&e->addr, sizeof e->addr);

	if (r >= 0)
		r = act_send(&s, a);
	coop_close(s.fd);
	return r < 0 ? r : 0;
}

static int act_accept(const struct end *e, struct action *a)
{
	struct end s = { TCP, coop_accept(e->fd, NULL, NULL), .addr.sin_family = 0 };
	int r = s.fd;

	if (r >= 0) {
		r = act_recv(&s, a, INT32_MAX);
		coop_close(s.fd);
	}
	return r;
}

static int act_cancel(struct program *p, int victim)
{
	struct coop_scope *scope = p->actors[victim].scope;

	return scope ? coop_scope_cancel(scope, "by an actor") : -ESRCH;
}

static int act(struct program *p, struct action *a)
{
	struct end *e = &p->ends[a->actor / 2];
	int r;

	switch (a->what) {
	case SEND: r = act_send(e, a); return r < 0 ? r : 0;
	case RECV: r = act_recv(e, a, a->bytes); return r > 0 ? 1 : r;
	case RECV_ALL: return act_recv(e, a, INT32_MAX) > 0 ? 1 : 0;
	case POLL: return coop_poll(e->fd, POLLIN) < 0 ? -1 : 1;
	case SHUT: return e->fd < 0 ? -EBADF : WORLD(shutdown, e->fd, SHUT_WR);
	case CLOSE: return act_close(e);
	case RESET: return act_reset(e);
	case CANCEL: return act_cancel(p, a->bytes);
	case CONNECT: return act_connect(e, a);
	case ACCEPT: return act_accept(e, a);
	}
	return 0;
}

/* Until when an action may last: before the actor's next one, at an instant of its own. */
static int64_t limit_of(const struct program *p, int i, int actor)
{
	int slot = p->actions[i].slot + 3;

	for (int k = i + 1; k < p->count; k++)
		if (p->actions[k].actor == actor && p->actions[k].slot <= slot) {
			slot = p->actions[k].slot - 1;
			break;
		}
	return p->begin + slot * SLOT + MS(5) + actor * COOP_MICROSECONDS(100);
}

static int act_within(struct actor *me, int i)
{
	struct coop_scope scope = COOP_SCOPE_INIT;
	struct action *a = &me->p->actions[i];
	int r;

	coop_scope_open(&scope, NULL);
	CHECK_INT(coop_scope_set_deadline(&scope, limit_of(me->p, i, me->index)), ==, 0);
	me->scope = &scope;
	r = act(me->p, a);
	me->scope = NULL;
	a->result = r;
	r = coop_scope_close(&scope, r == COOP_ECANCELED ? r : 0);
	CHECK(r == 0 || r == COOP_ECANCELED);
	return 0;
}

static int actor(void *arg)
{
	struct actor *me = arg;
	int r = 0;

	for (int i = 0; i < me->p->count && r >= 0; i++) {
		const struct action *a = &me->p->actions[i];

		if (a->actor != me->index)
			continue;
		CHECK_INT(coop_now(), <, me->p->begin + a->slot * SLOT);
		CHECK_INT(coop_sleep_until(me->p->begin + a->slot * SLOT), ==, 0);
		r = act_within(me, i);
	}
	return r;
}

/* ----------------------------------------------------------------------------- running */

/* The clock does not wait for acknowledgements that TCP takes its time for. */
static void at_once(int fd)
{
	const int on = 1;

	CHECK_INT(WORLD(setsockopt, fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), ==, 0);
}

static void open_conn(struct program *p, int c)
{
	struct end *a = &p->ends[2 * c], *b = &p->ends[2 * c + 1];
	int fds[2] = { -1, -1 };

	a->kind = b->kind = p->kinds[c];
	switch (p->kinds[c]) {
	case PIPE: new_pipe(fds); break;
	case UNIX: pair_of(SOCK_STREAM, &fds[0], &fds[1]); break;
	case TCP:
		tcp_pair(&fds[0], &fds[1]);
		at_once(fds[0]);
		at_once(fds[1]);
		break;
	case DGRAM: pair_of(SOCK_DGRAM, &fds[0], &fds[1]); break;
	case LISTENER:
		fds[0] = listener(&a->addr);
		b->addr = a->addr;
		break;
	}
	a->fd = fds[0];
	b->fd = fds[1];
}

static int play(void *arg)
{
	struct coop_sim_opts plan = { .short_percent = 50, .completion_max_ns = 10000 };
	struct coop_group g = COOP_GROUP_INIT;
	struct program *p = arg;
	int r;

	for (int c = 0; c < p->conns; c++)
		open_conn(p, c);
	if (p->planned)
		CHECK_INT(coop_sim_plan(&plan), ==, 0);
	p->begin = coop_now();
	coop_group_open(&g, NULL);
	for (int i = 0; i < 4 * p->conns; i++) {
		p->actors[i] = (struct actor){ .p = p, .index = i, .end = i / 2 };
		CHECK_INT(coop_spawn(&g, actor, &p->actors[i]), ==, 0);
	}
	r = coop_group_join(&g, 0);
	for (int i = 0; i < 2 * p->conns; i++)
		if (p->ends[i].fd >= 0)
			CHECK_INT(coop_close(p->ends[i].fd), ==, 0);
	return r;
}

/* TCP's packets may be a little late where the machine is busy: the clock waits for them. */
static int64_t patience_ns = COOP_MICROSECONDS(500);

static int play_patiently(void *arg)
{
	if (cp_world_of(cp_rt) == &cp_world_system)
		CHECK_INT(coop_test_clock_autojump(patience_ns), ==, 0);
	return play(arg);
}

static bool run_on(struct program *p, enum coop_engine engine, uint64_t seed, bool tcp)
{
	struct coop_run_opts opts = { .clock = COOP_CLOCK_VIRTUAL, .engine = engine, .seed = seed };
	int r = coop_run(tcp ? play_patiently : play, p, &opts);

	if (r == -ENOTSUP)
		return false;
	CHECK_INT(r, ==, 0);
	return true;
}

static void tell(const struct program *p)
{
	static const char *const whats[] = { "send",  "recv",  "recv all", "poll in", "shut",
					     "close", "reset", "cancel",   "connect", "accept" };
	static const char *const kinds[] = { "pipe", "unix", "tcp", "dgram", "listener" };

	for (int i = 0; i < p->count; i++) {
		const struct action *a = &p->actions[i];

		printf("# %3d: %-8s end %d, actor %d: %s %d: %d, %d bytes\n", a->slot,
		       kinds[p->kinds[a->actor / 4]], a->actor / 2, a->actor, whats[a->what],
		       a->bytes, a->result, a->moved);
	}
}

/* The first action that went otherwise, or -1. */
static int difference(const struct program *a, const struct program *b)
{
	for (int i = 0; i < a->count; i++)
		if (a->actions[i].result != b->actions[i].result ||
		    a->actions[i].moved != b->actions[i].moved)
			return i;
	return -1;
}

static void compare(const struct program *a, const char *a_name, const struct program *b,
		    const char *b_name, uint64_t n)
{
	int at = difference(a, b);

	if (at < 0)
		return;
	printf("# on %s:\n", a_name);
	tell(a);
	printf("# on %s:\n", b_name);
	tell(b);
	FAIL("program %ju, action %d: %s and %s differ (COOP_RANDOM=%ju)", (uintmax_t)n, at + 1,
	     a_name, b_name, (uintmax_t)n);
}

struct way {
	enum coop_engine engine;
	bool planned;
	uint64_t seed;
	const char *name;
};

/* From the program as it was made; false: there is no such engine here. */
static bool run_way(const struct program *made, const struct way *way, uint64_t n, bool tcp,
		    struct program *ret_ran)
{
	*ret_ran = *made;
	ret_ran->planned = way->planned;
	return run_on(ret_ran, way->engine, way->seed ? way->seed + n : 0, tcp);
}

static void try_program(uint64_t n, bool tcp)
{
	static const struct way ways[] = {
		{ COOP_ENGINE_URING, false, 0, "uring" },
		{ COOP_ENGINE_SIM, false, 0, "sim" },
		{ COOP_ENGINE_SIM, true, 1, "sim with a plan" },
		{ COOP_ENGINE_EPOLL, false, 5, "epoll, shuffled" },
	};
	static const struct way by_epoll = { .engine = COOP_ENGINE_EPOLL };
	struct program made, first, other;

	generate(&made, n, tcp);
	CHECK(run_way(&made, &by_epoll, n, tcp, &first));
	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
		if (!run_way(&made, &ways[i], n, tcp, &other))
			continue;
		/* A packet that was late once is not so each time; a true difference is. */
		for (int again = 0; tcp && again < 2 && difference(&first, &other) >= 0; again++) {
			patience_ns *= 10;
			CHECK(run_way(&made, &by_epoll, n, tcp, &first));
			CHECK(run_way(&made, &ways[i], n, tcp, &other));
		}
		patience_ns = COOP_MICROSECONDS(500);
		compare(&first, "epoll", &other, ways[i].name, n);
	}
	if (getenv("COOP_RANDOM"))
		tell(&first);
}

static inline void try_many(uint64_t from, int count, bool tcp)
{
	const char *one = getenv("COOP_RANDOM");

	TEST_SECONDS(300);
	signal(SIGPIPE, SIG_IGN);
	if (one) {
		try_program(strtoull(one, NULL, 0), tcp);
		return;
	}
	for (int i = 0; i < count; i++)
		try_program(from + (uint64_t)i, tcp);
}
