/* SPDX-License-Identifier: MIT */
/* The simulated world: its clock, what is planned for it, and that a seed tells all of it. */
#include "io_help.h"

#include <arpa/inet.h>

/* Each run here says on which engine it is; COOP_IO would have the last word. */
__attribute__((constructor)) static void engines_are_named(void)
{
	unsetenv("COOP_IO");
}

static const struct coop_run_opts simulated = { .engine = COOP_ENGINE_SIM };

/* A test whose body is a task of the simulated engine. */
#define SIM_TEST(name) \
	static int task_##name(void *arg); \
	TEST(name) \
	{ \
		CHECK_INT(coop_run(task_##name, NULL, &simulated), ==, 0); \
	} \
	static int task_##name(__attribute__((unused)) void *arg)

static struct sockaddr_in at_host(const char *host, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	CHECK_INT(inet_pton(AF_INET, host, &a.sin_addr), ==, 1);
	return a;
}

#define SA(a) ((struct sockaddr *)&(a)), sizeof(a)

static int listen_at(const char *host, uint16_t port, int backlog)
{
	struct sockaddr_in a = at_host(host, port);
	int fd = new_socket(AF_INET, SOCK_STREAM);

	CHECK_INT(WORLD(bind, fd, SA(a)), ==, 0);
	CHECK_INT(WORLD(listen, fd, backlog), ==, 0);
	return fd;
}

static int bound_udp(const char *host, uint16_t port)
{
	struct sockaddr_in a = at_host(host, port);
	int fd = new_socket(AF_INET, SOCK_DGRAM);

	CHECK_INT(WORLD(bind, fd, SA(a)), ==, 0);
	return fd;
}

static int connect_to(int fd, const char *host, uint16_t port)
{
	struct sockaddr_in a = at_host(host, port);

	return coop_connect(fd, SA(a));
}

static int send_to(int fd, const char *text, const char *host, uint16_t port)
{
	struct sockaddr_in a = at_host(host, port);
	struct iovec iov = { (char *)(uintptr_t)text, strlen(text) };
	struct msghdr msg = {
		.msg_name = &a, .msg_namelen = sizeof a, .msg_iov = &iov, .msg_iovlen = 1
	};

	return coop_sendmsg(fd, &msg, 0);
}

static void plan(struct coop_sim_opts opts)
{
	CHECK_INT(coop_sim_plan(&opts), ==, 0);
}

/* ------------------------------------------------------------------------- the clock */

static int recv_for_ever(void *arg)
{
	char buf[4];
	int *fd = arg, r = coop_recv(*fd, buf, sizeof buf, 0);

	CHECK_INT(r, ==, COOP_ECANCELED);
	return r;
}

static int all_wait(void *arg)
{
	int a, b, r;

	(void)arg;
	pair(&a, &b);
	r = recv_for_ever(&a);
	close_both(a, b);
	return r;
}

/* Where every task waits for an object in memory nobody can help: that is a deadlock. */
TEST(waiting_for_what_nobody_sends_is_a_deadlock)
{
	keep_records(COOP_LOG_ERROR);
	CHECK_INT(coop_run(all_wait, NULL, &simulated), ==, -EDEADLK);
	CHECK_HAS(records, "coop_recv");
}

/* A time limit on a wait costs no time, and ends it at that instant. */
SIM_TEST(the_clock_is_virtual)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int64_t begin = coop_now(), real = cp_os_now_ns();
	int a, b;

	CHECK(coop_clock_is_virtual());
	pair(&a, &b);
	coop_scope_open(&s, NULL);
	CHECK_INT(coop_scope_set_deadline(&s, begin + SEC(3600)), ==, 0);
	CHECK_INT(recv_for_ever(&a), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, 0);
	CHECK_INT(coop_now() - begin, ==, SEC(3600));
	CHECK_INT(cp_os_now_ns() - real, <, SEC(1800));
	close_both(a, b);
	return 0;
}

/* Descriptors that come from elsewhere are real, and waited for as such. */
SIM_TEST(real_descriptors_work_beside)
{
	char buf[8];
	int fds[2], a, b;

	CHECK_INT(pipe2(fds, O_CLOEXEC), ==, 0);
	pair(&a, &b);
	CHECK_INT(coop_write(fds[1], "real", 4), ==, 4);
	CHECK_INT(coop_read(fds[0], buf, sizeof buf), ==, 4);
	CHECK_INT(coop_splice(fds[0], a, 4, 0), ==, -EINVAL);
	CHECK_INT(read(a, buf, 4), ==, -1); /* behind the number there is nothing */
	CHECK_INT(fcntl(a, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
	close_both(a, b);
	CHECK_INT(fcntl(a, F_GETFD), ==, -1);
	close_both(fds[0], fds[1]);
	return 0;
}

/* --------------------------------------------------------------------------- latency */

struct peer {
	int l;
	int64_t accepted, got, ended;
};

static int serve_one(void *arg)
{
	struct peer *p = arg;
	char buf[8];
	int fd = coop_accept(p->l, NULL, NULL);

	CHECK_INT(fd, >=, 0);
	p->accepted = coop_now();
	CHECK_INT(coop_recv(fd, buf, sizeof buf, 0), ==, 2);
	p->got = coop_now();
	CHECK_INT(coop_send(fd, "ok", 2, 0), ==, 2);
	CHECK_INT(coop_recv(fd, buf, sizeof buf, 0), ==, 0);
	p->ended = coop_now();
	return coop_close(fd);
}

/* What is sent takes the latency of its connection, in each direction, and no more. */
SIM_TEST(latency_is_exact)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct peer p = { .l = listen_at("10.0.0.1", 80, 5) };
	int64_t t = coop_now();
	char buf[8];
	int fd = new_socket(AF_INET, SOCK_STREAM);

	plan((struct coop_sim_opts){ .latency_min_ns = MS(10), .latency_max_ns = MS(10) });
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, serve_one, &p), ==, 0);
	CHECK_INT(connect_to(fd, "10.0.0.1", 80), ==, 0);
	CHECK_INT(coop_now() - t, ==, MS(20));
	CHECK_INT(coop_send(fd, "hi", 2, 0), ==, 2);
	CHECK_INT(coop_recv(fd, buf, sizeof buf, 0), ==, 2);
	CHECK_INT(coop_now() - t, ==, MS(40));
	CHECK_INT(coop_close(fd), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(p.accepted - t, ==, MS(10));
	CHECK_INT(p.got - t, ==, MS(30));
	CHECK_INT(p.ended - t, ==, MS(50));
	return coop_close(p.l);
}

/* ------------------------------------------------------------------------------ chance */

/* A program of which everything is chance: what it sees is the trace. */
struct story {
	uint64_t hash;
	int steps;
};

static void note(struct story *s, int64_t value)
{
	s->hash = (s->hash ^ (uint64_t)value) * UINT64_C(0x100000001b3);
	s->steps++;
}

struct talk {
	struct story *story;
	int fd;
	int bytes;
};

static int talk_send(void *arg)
{
	struct talk *t = arg;
	char buf[700] = { 0 };

	for (int left = t->bytes; left > 0;) {
		int r = coop_send(t->fd, buf, left < 700 ? (size_t)left : 700, 0);

		note(t->story, r);
		if (r < 0)
			break;
		left -= r;
	}
	return coop_close(t->fd);
}

static int talk_recv(void *arg)
{
	struct talk *t = arg;
	char buf[500];
	int r;

	do {
		r = coop_recv(t->fd, buf, sizeof buf, 0);
		note(t->story, r);
		note(t->story, coop_now());
	} while (r > 0);
	return coop_close(t->fd);
}

static int tell(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct story *story = arg;
	struct talk talks[16];
	int l = listen_at("10.0.0.1", 80, 20);

	plan((struct coop_sim_opts){ .short_percent = 40,
				     .latency_min_ns = 1000,
				     .latency_max_ns = MS(3),
				     .completion_max_ns = MS(1),
				     .reset_percent = 20,
				     .reset_bytes = 3000 });
	coop_group_open(&g, NULL);
	for (int i = 0; i < 16; i += 2) {
		int fd = new_socket(AF_INET, SOCK_STREAM);

		CHECK_INT(connect_to(fd, "10.0.0.1", 80), ==, 0);
		talks[i] = (struct talk){ story, fd, 3000 };
		talks[i + 1] = (struct talk){ story, coop_accept(l, NULL, NULL), 0 };
		CHECK_INT(coop_spawn(&g, talk_send, &talks[i]), ==, 0);
		CHECK_INT(coop_spawn(&g, talk_recv, &talks[i + 1]), ==, 0);
	}
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	return coop_close(l);
}

static struct story told(uint64_t seed)
{
	struct coop_run_opts opts = { .engine = COOP_ENGINE_SIM, .seed = seed };
	struct story s = { .hash = UINT64_C(0xcbf29ce484222325) };

	CHECK_INT(coop_run(tell, &s, &opts), ==, 0);
	return s;
}

/* The same seed tells the same story, event for event, and another seed another one. */
TEST(a_seed_tells_everything)
{
	uint64_t other = told(1).hash;
	int differ = 0;

	for (uint64_t seed = 0; seed < 10; seed++) {
		struct story a = told(seed), b = told(seed);

		CHECK_INT(a.steps, >, 100);
		CHECK_INT(a.steps, ==, b.steps);
		CHECK(a.hash == b.hash);
		differ += a.hash != other;
	}
	CHECK_INT(differ, ==, 9);
}

/* In a runner the second run is as the first: what is drawn begins again. */
TEST(runs_of_one_runner_are_alike)
{
	struct coop_run_opts opts = { .engine = COOP_ENGINE_SIM, .seed = 7 };
	struct story s[2] = { { .hash = 1 }, { .hash = 1 } };
	struct coop_runner *runner;

	CHECK_INT(coop_runner_open(&opts, &runner), ==, 0);
	CHECK_INT(coop_runner_run(runner, tell, &s[0]), ==, 0);
	CHECK_INT(coop_runner_run(runner, tell, &s[1]), ==, 0);
	CHECK_INT(s[0].steps, ==, s[1].steps);
	CHECK(s[0].hash == s[1].hash);
	CHECK(coop_runner_free(runner) == NULL);
}

/* ------------------------------------------------------------------------------- plans */

/* Transfers are cut short as often as was planned, and never to nothing. */
SIM_TEST(short_transfers)
{
	char buf[1000] = { 0 };
	int a, b, whole = 0, r;

	pair(&a, &b);
	plan((struct coop_sim_opts){ .short_percent = 50 });
	for (int i = 0; i < 200; i++) {
		int sent = coop_send(a, buf, sizeof buf, 0);

		CHECK_INT(sent, >, 0);
		whole += sent == (int)sizeof buf;
		for (int got = 0; got < sent; got += r)
			CHECK_INT((r = coop_recv(b, buf, (size_t)(sent - got), 0)), >, 0);
	}
	CHECK_INT(whole, >, 50);
	CHECK_INT(whole, <, 150);
	close_both(a, b);
	return 0;
}

/* Refused connections, and that a socket that was refused can ask again. */
SIM_TEST(refused_connections)
{
	int l = listen_at("10.0.0.1", 80, 5), fd = new_socket(AF_INET, SOCK_STREAM);

	plan((struct coop_sim_opts){ .refuse_percent = 100 });
	CHECK_INT(connect_to(fd, "10.0.0.1", 80), ==, -ECONNREFUSED);
	CHECK_INT(coop_sim_plan(NULL), ==, 0);
	CHECK_INT(connect_to(fd, "10.0.0.1", 80), ==, 0);
	close_both(fd, l);
	return 0;
}

/* A connection that is reset: both learn of it, and what came before can be read. */
SIM_TEST(reset_connections)
{
	int l = listen_at("10.0.0.1", 80, 5), a = new_socket(AF_INET, SOCK_STREAM), b, r, got = 0;
	char buf[64] = { 0 };

	plan((struct coop_sim_opts){ .reset_percent = 100, .reset_bytes = 1000 });
	CHECK_INT(connect_to(a, "10.0.0.1", 80), ==, 0);
	b = coop_accept(l, NULL, NULL);
	do {
		r = coop_send(a, buf, sizeof buf, 0);
		if (r > 0)
			r = coop_recv(b, buf, sizeof buf, 0);
		if (r > 0)
			r = coop_send(b, buf, sizeof buf, 0);
		if (r > 0)
			r = coop_recv(a, buf, sizeof buf, 0);
	} while (r > 0 && ++got < 100);
	CHECK_INT(r, ==, -ECONNRESET);
	CHECK_INT(got, <, 20);
	CHECK(coop_send(a, buf, 1, 0) < 0);
	CHECK(coop_send(b, buf, 1, 0) < 0);
	close_both(a, b);
	return coop_close(l);
}

/* Accept fails as planned, in turn, and no connection is lost by it. */
SIM_TEST(errors_of_accept)
{
	static const int errors[] = { EMFILE, ECONNABORTED, ENOMEM };
	int l = listen_at("10.0.0.1", 80, 5), fd = new_socket(AF_INET, SOCK_STREAM), r;

	plan((struct coop_sim_opts){ .accept_errors = errors, .accept_errors_count = 3 });
	CHECK_INT(connect_to(fd, "10.0.0.1", 80), ==, 0);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_accept(l, NULL, NULL), ==, -errors[i]);
	r = coop_accept(l, NULL, NULL);
	CHECK_INT(r, >=, 0);
	close_both(fd, r);
	return coop_close(l);
}

/* No more descriptors than were planned: accept leaves the connection where it is. */
SIM_TEST(out_of_descriptors)
{
	int l = listen_at("10.0.0.1", 80, 5), fd = new_socket(AF_INET, SOCK_STREAM), r, p[2];

	plan((struct coop_sim_opts){ .fds_max = 3 });
	CHECK_INT(WORLD(pipe, p), ==, -EMFILE);
	CHECK_INT(connect_to(fd, "10.0.0.1", 80), ==, 0);
	r = new_socket(AF_INET, SOCK_STREAM);
	CHECK_INT(WORLD(socket, AF_INET, SOCK_STREAM, 0), ==, -EMFILE);
	CHECK_INT(coop_accept(l, NULL, NULL), ==, -EMFILE);
	CHECK_INT(coop_close(r), ==, 0);
	r = coop_accept(l, NULL, NULL);
	CHECK_INT(r, >=, 0);
	close_both(fd, r);
	return coop_close(l);
}

/* The nth call fails as planned, has no effect, and the next one works. */
SIM_TEST(the_nth_call_fails)
{
	char buf[8];
	int a, b;

	pair(&a, &b);
	CHECK_INT(coop_sim_fail(COOP_SIM_WRITE, EIO, 2), ==, 0);
	CHECK_INT(coop_sim_fail(COOP_SIM_READ, ENOMEM, 1), ==, 0);
	CHECK_INT(coop_send(a, "one", 3, 0), ==, 3);
	CHECK_INT(coop_send(a, "two", 3, 0), ==, -EIO);
	CHECK_INT(coop_send(a, "3", 1, 0), ==, 1);
	CHECK_INT(coop_recv(b, buf, sizeof buf, 0), ==, -ENOMEM);
	CHECK_INT(coop_recv(b, buf, sizeof buf, 0), ==, 4);
	CHECK(memcmp(buf, "one3", 4) == 0);
	CHECK_INT(coop_sim_fail(COOP_SIM_SOCKET, ENFILE, 1), ==, 0);
	CHECK_INT(WORLD(socket, AF_INET, SOCK_STREAM, 0), ==, -ENFILE);
	CHECK_INT(coop_sim_fail(COOP_SIM_CALLS, EIO, 1), ==, -EINVAL);
	CHECK_INT(coop_sim_fail(COOP_SIM_READ, EIO, 0), ==, -EINVAL);
	for (int i = 0; i < 32; i++)
		CHECK_INT(coop_sim_fail(COOP_SIM_SPLICE, EIO, 1000), ==, 0);
	CHECK_INT(coop_sim_fail(COOP_SIM_SPLICE, EIO, 1000), ==, -ENOSPC);
	close_both(a, b);
	return 0;
}

/* ---- errors, call by call */

static int try_read(int a, int b)
{
	char c;

	(void)a;
	return coop_read(b, &c, 1);
}

static int try_recv(int a, int b)
{
	char c;

	(void)a;
	return coop_recv(b, &c, 1, 0);
}

static int try_write(int a, int b)
{
	(void)b;
	return coop_write(a, "x", 1);
}

static int try_send(int a, int b)
{
	(void)b;
	return coop_send(a, "x", 1, 0);
}

static int try_poll(int a, int b)
{
	int r = coop_poll(a, POLLOUT);

	(void)b;
	return r < 0 ? r : r == POLLOUT;
}

static int try_splice(int a, int b)
{
	int p[2], r;

	(void)a;
	new_pipe(p);
	r = coop_splice(b, p[1], 1, 0);
	close_both(p[0], p[1]);
	return r;
}

static int try_option(int a, int b)
{
	const int on = 1;
	int r;

	(void)b;
	r = WORLD(setsockopt, a, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	return r < 0 ? r : 1;
}

/* Each error at each call comes out as it is, once, and nothing has been moved by that call. */
SIM_TEST(each_error_at_each_call)
{
	static const struct {
		enum coop_sim_call call;
		int (*try)(int a, int b);
		int errors[8];
	} table[] = {
		{ COOP_SIM_READ, try_read, { EIO, ENOMEM, ECONNRESET, ETIMEDOUT } },
		{ COOP_SIM_READ, try_recv, { EIO, ENOBUFS, ECONNRESET, ECONNREFUSED } },
		{ COOP_SIM_WRITE, try_write, { EPIPE, ENOSPC, EDQUOT, EFBIG, EIO, ENOMEM } },
		{ COOP_SIM_WRITE, try_send, { EPIPE, ENOBUFS, EMSGSIZE, EHOSTUNREACH, EPERM } },
		{ COOP_SIM_POLL, try_poll, { ENOMEM, ENOSPC } },
		{ COOP_SIM_SPLICE, try_splice, { EINVAL, ENOMEM } },
		{ COOP_SIM_OPTION, try_option, { EINVAL, ENOPROTOOPT, ENOBUFS } },
	};
	int a, b;

	tcp_pair(&a, &b);
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		for (const int *e = table[i].errors; *e; e++) {
			CHECK_INT(coop_send(a, "x", 1, 0), ==, 1);
			CHECK_INT(coop_sim_fail(table[i].call, *e, 1), ==, 0);
			CHECK_INT(table[i].try(a, b), ==, -*e);
			CHECK_INT(table[i].try(a, b), ==, 1);
			CHECK_INT(coop_sim_fail(table[i].call, EINTR, 1), ==, 0);
			if (table[i].call != COOP_SIM_OPTION) {
				CHECK_INT(coop_send(a, "x", 1, 0), ==, 1);
				CHECK_INT(table[i].try(a, b), ==, 1);
			}
			CHECK_INT(coop_sim_plan(NULL), ==, 0);
			while (coop_recv(b, (char[8]){ 0 }, 8, MSG_DONTWAIT) > 0)
				;
		}
	}
	close_both(a, b);
	return 0;
}

/* Connecting and accepting: each error once, and then the connection is made. */
SIM_TEST(each_error_of_connections)
{
	static const int connecting[] = { EADDRNOTAVAIL, ENETUNREACH, ETIMEDOUT, ECONNREFUSED,
					  EACCES,        EPERM,       EINTR };
	static const int accepting[] = { EMFILE, ENFILE,       ENOBUFS, ENOMEM,
					 EPERM,  ECONNABORTED, EPROTO,  EINTR };
	int l = listen_at("10.0.0.1", 80, 5), fd, r;

	for (size_t i = 0; i < sizeof connecting / sizeof *connecting; i++) {
		fd = new_socket(AF_INET, SOCK_STREAM);
		CHECK_INT(coop_sim_fail(COOP_SIM_CONNECT, connecting[i], 1), ==, 0);
		r = connect_to(fd, "10.0.0.1", 80);
		CHECK_INT(r, ==, connecting[i] == EINTR ? 0 : -connecting[i]);
		if (r < 0)
			CHECK_INT(connect_to(fd, "10.0.0.1", 80), ==, 0);
		CHECK_INT(coop_sim_fail(COOP_SIM_ACCEPT, accepting[i], 1), ==, 0);
		r = coop_accept(l, NULL, NULL);
		CHECK_INT(r, ==, -accepting[i]);
		r = coop_accept(l, NULL, NULL);
		CHECK_INT(r, >=, 0);
		close_both(fd, r);
	}
	return coop_close(l);
}

/* Plans that are none, and plans for a world that is real. */
SIM_TEST(plans_are_checked)
{
	CHECK_INT(coop_sim_plan(&(struct coop_sim_opts){ .short_percent = 101 }), ==, -EINVAL);
	CHECK_INT(coop_sim_plan(&(struct coop_sim_opts){ .latency_min_ns = 2 }), ==, -EINVAL);
	CHECK_INT(coop_sim_plan(&(struct coop_sim_opts){ .accept_errors_count = 1 }), ==, -EINVAL);
	CHECK_INT(coop_sim_plan(&(struct coop_sim_opts){ ._reserved = { 1 } }), ==, -EINVAL);
	CHECK_INT(coop_sim_partition("nowhere", "10.0.0.1", true), ==, -EINVAL);
	return 0;
}

TASK_TEST(other_engines_have_no_plans)
{
	CHECK_INT(coop_sim_plan(NULL), ==, -ENOTSUP);
	CHECK_INT(coop_sim_fail(COOP_SIM_READ, EIO, 1), ==, -ENOTSUP);
	CHECK_INT(coop_sim_partition("10.0.0.1", "10.0.0.2", true), ==, -ENOTSUP);
	return 0;
}

TEST(outside_of_runs_there_is_no_world_to_plan)
{
	CHECK_INT(coop_sim_plan(NULL), ==, COOP_ENOTASK);
	CHECK_INT(coop_sim_fail(COOP_SIM_READ, EIO, 1), ==, COOP_ENOTASK);
	CHECK_INT(coop_sim_partition("10.0.0.1", "10.0.0.2", true), ==, COOP_ENOTASK);
}

/* --------------------------------------------------------------------------- datagrams */

/* Datagrams are lost, doubled and overtaken, as planned. */
SIM_TEST(datagrams_have_adventures)
{
	int to = bound_udp("10.0.0.1", 53), from = bound_udp("10.0.0.2", 53);
	bool overtaken = false;
	char buf[8];

	plan((struct coop_sim_opts){ .drop_percent = 100 });
	CHECK_INT(send_to(from, "lost", "10.0.0.1", 53), ==, 4);
	plan((struct coop_sim_opts){ .dup_percent = 100 });
	CHECK_INT(send_to(from, "two", "10.0.0.1", 53), ==, 3);
	CHECK_INT(coop_recv(to, buf, sizeof buf, 0), ==, 3);
	CHECK_INT(coop_recv(to, buf, sizeof buf, 0), ==, 3);
	CHECK_INT(coop_recv(to, buf, sizeof buf, MSG_DONTWAIT), ==, -EAGAIN);
	plan((struct coop_sim_opts){ .latency_min_ns = 1000, .latency_max_ns = MS(5) });
	for (int i = 0; i < 9; i++)
		CHECK_INT(send_to(from, (char[]){ (char)('0' + i), 0 }, "10.0.0.1", 53), ==, 1);
	for (int i = 0; i < 9; i++) {
		CHECK_INT(coop_recv(to, buf, sizeof buf, 0), ==, 1);
		overtaken |= buf[0] != '0' + i;
	}
	CHECK(overtaken);
	close_both(to, from);
	return 0;
}

/* --------------------------------------------------------------------------- partitions */

static int heal_later(void *arg)
{
	(void)arg;
	CHECK_INT(coop_sleep(SEC(5)), ==, 0);
	return coop_sim_partition("10.0.0.2", "10.0.0.1", false);
}

/* A cut holds what is sent, in order, and who connects; only datagrams are lost. */
SIM_TEST(a_cut_network_delays_streams)
{
	int l = listen_at("10.0.0.1", 80, 5), udp = bound_udp("10.0.0.1", 53), a, b, c;
	struct coop_group g = COOP_GROUP_INIT;
	struct sockaddr_in here = at_host("10.0.0.2", 0);
	int64_t t = coop_now();
	char buf[8];

	a = new_socket(AF_INET, SOCK_STREAM);
	CHECK_INT(WORLD(bind, a, SA(here)), ==, 0);
	CHECK_INT(connect_to(a, "10.0.0.1", 80), ==, 0);
	b = coop_accept(l, NULL, NULL);
	CHECK_INT(coop_send(a, "1", 1, 0), ==, 1);
	CHECK_INT(coop_sim_partition("10.0.0.1", "10.0.0.2", true), ==, 0);
	CHECK_INT(coop_send(a, "2", 1, 0), ==, 1);
	CHECK_INT(coop_recv(b, buf, sizeof buf, 0), ==, 1);
	CHECK_INT(coop_recv(b, buf, sizeof buf, MSG_DONTWAIT), ==, -EAGAIN);
	c = bound_udp("10.0.0.2", 53);
	CHECK_INT(send_to(c, "lost", "10.0.0.1", 53), ==, 4);
	CHECK_INT(coop_close(c), ==, 0);

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, heal_later, NULL), ==, 0);
	c = new_socket(AF_INET, SOCK_STREAM);
	CHECK_INT(WORLD(bind, c, SA(here)), ==, 0);
	CHECK_INT(connect_to(c, "10.0.0.1", 80), ==, 0);
	CHECK_INT(coop_now() - t, ==, SEC(5));
	CHECK_INT(coop_recv(b, buf, sizeof buf, 0), ==, 1);
	CHECK_INT(buf[0], ==, '2');
	CHECK_INT(coop_recv(udp, buf, sizeof buf, MSG_DONTWAIT), ==, -EAGAIN);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	close_both(a, b);
	close_both(c, l);
	return coop_close(udp);
}

/* -------------------------------------------------------------- completions that are late */

struct late {
	int fd;
	char buf[8];
	int result;
	int64_t at;
};

static int late_recv(void *arg)
{
	struct late *l = arg;

	l->result = coop_recv(l->fd, l->buf, sizeof l->buf, 0);
	l->at = coop_now();
	return 0;
}

static int late_accept(void *arg)
{
	struct late *l = arg;

	l->result = coop_accept(l->fd, NULL, NULL);
	return 0;
}

/* E01: a receive that is done keeps its result: the cancel that comes later finds it finished. */
SIM_TEST(rel_E01_completion_beats_cancel)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct late l = { .result = 0 };
	int other;

	pair(&l.fd, &other);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, late_recv, &l), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
	CHECK_INT(coop_send(other, "done", 4, 0), ==, 4);
	CHECK_INT(coop_group_cancel(&g, "too late"), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(l.result, ==, 4);

	plan((struct coop_sim_opts){ .completion_max_ns = MS(10) });
	g = (struct coop_group)COOP_GROUP_INIT;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, late_recv, &l), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_send(other, "again", 5, 0), ==, 5);
	CHECK_INT(coop_group_cancel(&g, "too late"), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(l.result, ==, 5);
	CHECK(memcmp(l.buf, "again", 5) == 0);
	PROVES(rel_E01);
	close_both(l.fd, other);
	return 0;
}

/* E02: a connection that was accepted when the cancel came is delivered. */
SIM_TEST(rel_E02_an_accepted_connection_is_delivered)
{
	struct late l = { .fd = listen_at("10.0.0.1", 80, 5), .result = 0 };
	struct coop_group g = COOP_GROUP_INIT;
	int fd = new_socket(AF_INET, SOCK_STREAM);

	plan((struct coop_sim_opts){ .completion_max_ns = MS(10) });
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, late_accept, &l), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
	CHECK_INT(connect_to(fd, "10.0.0.1", 80), ==, 0);
	CHECK_INT(coop_group_cancel(&g, "too late"), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(l.result, >=, 0);
	PROVES(rel_E02);
	close_both(l.result, fd);
	return coop_close(l.fd);
}

/* E15: a close waits for what is finished already, and the number's next file is not touched. */
SIM_TEST(rel_E15_close_waits_for_what_is_on_its_way)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct late l = { .result = 0 };
	char buf[8];
	int other, a, b, old;

	pair(&l.fd, &other);
	old = l.fd;
	plan((struct coop_sim_opts){ .completion_max_ns = MS(10) });
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, late_recv, &l), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
	CHECK_INT(WORLD(shutdown, other, SHUT_WR), ==, 0); /* it is done: the end */
	CHECK_INT(coop_close(l.fd), ==, 0);
	CHECK_INT(coop_now(), >=, l.at);
	pair(&a, &b);
	CHECK_INT(a, ==, old);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(l.result, ==, 0);
	CHECK_INT(coop_send(b, "new", 3, 0), ==, 3);
	CHECK_INT(coop_recv(a, buf, sizeof buf, 0), ==, 3);
	PROVES(rel_E15);
	close_both(a, b);
	return coop_close(other);
}

/* ---------------------------------------------------------------------------------- sweeps */

static int small_program(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct talk talks[2];
	struct story story = { .steps = 0 };
	struct sockaddr_in addr = at_host("10.0.0.1", 80);
	int fd, l, r, p[2];

	(void)arg;
	l = WORLD(socket, AF_INET, SOCK_STREAM, 0);
	if (l < 0)
		return l;
	fd = WORLD(socket, AF_INET, SOCK_STREAM, 0);
	r = WORLD(bind, l, SA(addr));
	if (r >= 0)
		r = WORLD(listen, l, 5);
	if (r >= 0 && fd >= 0)
		r = coop_connect(fd, SA(addr));
	if (r >= 0 && fd >= 0)
		r = coop_accept(l, NULL, NULL);
	if (r >= 0 && fd >= 0) {
		talks[0] = (struct talk){ &story, fd, 3000 };
		talks[1] = (struct talk){ &story, r, 0 };
		coop_group_open(&g, NULL);
		if (coop_spawn(&g, talk_send, &talks[0]) < 0)
			coop_close(fd);
		if (coop_spawn(&g, talk_recv, &talks[1]) < 0)
			coop_close(r);
		r = coop_group_join(&g, 0);
	} else if (fd >= 0) {
		coop_close(fd);
	}
	coop_close(l);
	if (WORLD(pipe, p) == 0) {
		if (r >= 0)
			r = coop_write(p[1], "x", 1);
		close_now(p[0]);
		close_now(p[1]);
	}
	return r;
}

static const char *any_outcome(int rc, uint64_t n, void *ctx)
{
	(void)ctx;
	return n || rc >= 0 ? NULL : "the undisturbed run failed";
}

/* Memory that is not there, at every allocation: each is an error, and nothing is left behind. */
TEST(every_allocation_may_fail)
{
	struct coop_sweep sweep;
	int r = coop_sweep_alloc(small_program, NULL, &simulated, false, any_outcome, NULL, &sweep);

	if (r < 0)
		FAIL("%s (allocation %ju)", sweep.why, (uintmax_t)sweep.failed_at);
	CHECK_INT(sweep.injected, >, 20);
}

/* A cancel at every checkpoint: nothing is left behind. */
TEST(every_checkpoint_may_be_cancelled)
{
	struct coop_sweep sweep;
	int r = coop_sweep_cancel(small_program, NULL, &simulated, any_outcome, NULL, &sweep);

	if (r < 0)
		FAIL("%s (checkpoint %ju)", sweep.why, (uintmax_t)sweep.failed_at);
	CHECK_INT(sweep.injected, >, 10);
}
