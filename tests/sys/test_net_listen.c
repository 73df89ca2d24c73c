/* SPDX-License-Identifier: MIT */
/* Listeners, and accepting whatever happens. */
#include "net_help.h"

/* What is connected and what is accepted know each other, and are as they are meant to be. */
IO_TEST(both_ends_of_a_connection)
{
	struct coop_addr addr, peer, own, other;
	struct coop_listener *l = listen_at(&addr, NULL);
	int client, server;

	CHECK_INT(coop_addr_port(&addr), >, 0);
	client = connect_to(&addr);
	server = coop_listener_accept(l, &peer);
	CHECK_INT(server, >=, 0);
	CHECK_INT(coop_socket_addr(client, &own), ==, 0);
	CHECK_INT(coop_addr_compare(&peer, &own), ==, 0);
	CHECK_INT(coop_peer_addr(server, &other), ==, 0);
	CHECK_INT(coop_addr_compare(&other, &own), ==, 0);
	CHECK_INT(coop_peer_addr(client, &other), ==, 0);
	CHECK_INT(coop_addr_compare(&other, &addr), ==, 0);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(fcntl(i ? client : server, F_GETFD), ==, FD_CLOEXEC);
		CHECK_INT(int_opt(i ? client : server, IPPROTO_TCP, TCP_NODELAY), ==, 1);
	}
	CHECK_INT(fcntl(coop_listener_fd(l), F_GETFD), ==, FD_CLOEXEC);
	PROVES(rel_I03);
	send_text(client, "ping");
	expect_text(server, "ping");
	close_both(client, server);
	CHECK_INT(stats_of(l).accepted, ==, 1);
	CHECK(coop_listener_close(l) == NULL);
	return 0;
}

/* Nagle's algorithm, where it is asked for. */
IO_TEST(delay_is_an_option)
{
	struct coop_listen_opts opts = { .delay = true };
	struct coop_connect_opts delayed = { .delay = true };
	struct coop_addr addr;
	struct coop_listener *l = listen_at(&addr, &opts);
	int client = coop_tcp_connect_addr(&addr, &delayed);
	int server = coop_listener_accept(l, NULL);

	CHECK_INT(int_opt(client, IPPROTO_TCP, TCP_NODELAY), ==, 0);
	CHECK_INT(int_opt(server, IPPROTO_TCP, TCP_NODELAY), ==, 0);
	close_both(client, server);
	coop_listener_close(l);
	return 0;
}

/* Every address of the machine, of both families, by one socket. */
IO_TEST(no_host_is_every_address)
{
	static const char *const hosts[] = { "127.0.0.1", "::1" };
	struct coop_listener *l;
	struct coop_addr addr, peer;
	bool both;

	CHECK_INT(coop_tcp_listen("*", NULL, NULL, &l), ==, 0);
	CHECK_INT(coop_listener_addr(l, &addr), ==, 0);
	both = addr.sa.sa_family == AF_INET6;
	for (int i = 0; i < 1 + both; i++) {
		struct coop_addr to;
		int client, server;

		CHECK_INT(coop_addr_ip(hosts[i], (uint16_t)coop_addr_port(&addr), &to), ==, 0);
		client = connect_to(&to);
		server = coop_listener_accept(l, &peer);
		CHECK_INT(peer.sa.sa_family, ==, i ? AF_INET6 : AF_INET);
		close_both(client, server);
	}
	coop_listener_close(l);
	return 0;
}

/* IPv6 alone leaves the port of IPv4 to others. */
IO_TEST(v6_only_takes_no_ipv4)
{
	struct coop_listen_opts opts = { .v6_only = true };
	struct coop_addr addr;
	struct coop_listener *l, *other;
	int r = -EADDRINUSE;

	/* Another program may have the port in IPv4; not each time. */
	for (int i = 0; i < 20 && r == -EADDRINUSE; i++) {
		if (coop_tcp_listen("::", "0", &opts, &l) < 0)
			SKIP("no IPv6 here");
		CHECK_INT(coop_listener_addr(l, &addr), ==, 0);
		CHECK_INT(coop_addr_ip("0.0.0.0", (uint16_t)coop_addr_port(&addr), &addr), ==, 0);
		r = coop_tcp_listen_addr(&addr, NULL, &other);
		coop_listener_close(l);
	}
	CHECK_INT(r, ==, 0);
	coop_listener_close(other);
	return 0;
}

/* The port is free when close returns, also with connections that live on (L03). */
IO_TEST(rel_L03_a_closed_port_is_free)
{
	struct coop_addr addr;
	struct coop_listener *l = listen_at(&addr, NULL);

	for (int i = 0; i < 20; i++) {
		int client = connect_to(&addr), server = coop_listener_accept(l, NULL);

		coop_listener_close(l);
		CHECK_INT(coop_tcp_listen_addr(&addr, NULL, &l), ==, 0);
		close_both(server, client);
	}
	coop_listener_close(l);
	PROVES(rel_L03);
	return 0;
}

/* One port, several listeners: only if all of them say so. */
IO_TEST(a_port_is_shared_on_demand)
{
	struct coop_listen_opts share = { .reuse_port = true };
	struct coop_addr addr;
	struct coop_listener *l = listen_at(&addr, &share), *other;
	const struct coop_error *err;
	struct coop_error_info info;

	CHECK_INT(coop_tcp_listen_addr(&addr, NULL, &other), ==, -EADDRINUSE);
	err = coop_error_peek(-EADDRINUSE);
	coop_error_describe(err, &info);
	CHECK_HAS(info.message, "listening at 127.0.0.1:");
	coop_error_clear();
	CHECK_INT(coop_tcp_listen_addr(&addr, &share, &other), ==, 0);
	coop_listener_close(other);
	coop_listener_close(l);
	return 0;
}

/* What the kernel does not take of a backlog is said. */
IO_TEST(a_backlog_is_cut_aloud)
{
	struct coop_listen_opts opts = { .backlog = 1 << 30 };
	struct coop_addr addr;
	struct coop_listener *l;

	keep_records(COOP_LOG_WARN);
	l = listen_at(&addr, &opts);
	CHECK_HAS(records, "net.core.somaxconn");
	CHECK_INT(records_count, ==, 1);
	CHECK_INT(stats_of(l).backlog, <, 1 << 30);
	coop_listener_close(l);
	opts.backlog = 1;
	l = listen_at(&addr, &opts);
	CHECK_INT(records_count, ==, 1);
	coop_listener_close(l);
	return 0;
}

/* Options that nobody knows, and addresses that are none. */
IO_TEST(bad_arguments_are_refused)
{
	struct coop_listen_opts opts = { ._reserved = { 1 } }, negative = { .backlog = -1 };
	struct coop_addr none = { .len = 0 }, local;
	struct coop_listener *l = NULL;

	CHECK_INT(coop_addr_parse("unix:x", &local), ==, 0);
	CHECK_INT(coop_tcp_listen("127.0.0.1", "0", &opts, &l), ==, -EINVAL);
	CHECK_INT(coop_tcp_listen("127.0.0.1", "0", &negative, &l), ==, -EINVAL);
	CHECK_INT(coop_tcp_listen_addr(&none, NULL, &l), ==, -EINVAL);
	CHECK_INT(coop_tcp_listen_addr(&local, NULL, &l), ==, -EINVAL);
	CHECK(l == NULL);
	CHECK(coop_listener_close(NULL) == NULL);
	return 0;
}

static int accept_one(void *arg)
{
	int fd = coop_listener_accept(arg, NULL);

	if (fd >= 0)
		coop_close(fd);
	return fd < 0 ? fd : 7;
}

/* A cancelled accept has taken nothing: the connection is the next one's. */
IO_TEST(a_cancelled_accept_takes_nothing)
{
	struct coop_addr addr;
	struct coop_listener *l = listen_at(&addr, NULL);
	int client;

	CHECK_INT(coop_move_on_after(MS(20), accept_one, l), ==, 0);
	client = connect_to(&addr);
	CHECK_INT(accept_one(l), ==, 7);
	coop_close(client);
	CHECK_INT(coop_fail_after(MS(20), accept_one, l), ==, COOP_ETIMEDOUT);
	coop_error_clear();
	PROVES(rel_G15);
	coop_listener_close(l);
	return 0;
}

/* One task accepts at a time, and the close of the listener ends it. */
IO_TEST(a_closed_listener_ends_the_accept)
{
	struct coop_group_opts collect = { .policy = COOP_COLLECT };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h;
	struct coop_addr addr;
	struct coop_listener *l = listen_at(&addr, NULL);
	int fd = coop_listener_fd(l);

	coop_group_open(&g, &collect);
	CHECK_INT(coop_spawn_with(&g, accept_one, l, NULL, &h), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_listener_accept(l, NULL), ==, -EBUSY);
	CHECK_INT(coop_close(fd), ==, 0);
	CHECK_INT(coop_handle_wait(h, NULL), ==, COOP_ECLOSED);
	coop_handle_release(h);
	CHECK_INT(coop_group_join(&g, 0), ==, COOP_ECLOSED);
	coop_error_clear();
	/* Its number is free: let the listener have something to close. */
	CHECK_INT(dup2(STDERR_FILENO, fd), ==, fd);
	coop_listener_close(l);
	return 0;
}

/* ---- what accept(2) says */

/* After each errno of accept(2) the listener goes on accepting (I02). */
SIM_IO_TEST(rel_I02_one_error_ends_nothing)
{
	static const int transient[] = { EMFILE,       ENFILE,       ENOBUFS,     ENOMEM,
					 ECONNABORTED, ECONNRESET,   EPROTO,      EPERM,
					 ENETDOWN,     ENOPROTOOPT,  EHOSTDOWN,   ENONET,
					 EHOSTUNREACH, EOPNOTSUPP,   ENETUNREACH, ETIMEDOUT };
	struct coop_addr addr;
	struct coop_listener *l = listen_at(&addr, NULL);
	size_t count = sizeof transient / sizeof *transient;

	coop_log_set(record, NULL, COOP_LOG_ERROR);
	for (size_t i = 0; i < count; i++) {
		struct coop_listener_stats before = stats_of(l), after;
		int client = connect_to(&addr);

		CHECK_INT(coop_sim_fail(COOP_SIM_ACCEPT, transient[i], 1), ==, 0);
		CHECK_INT(accept_one(l), ==, 7);
		after = stats_of(l);
		CHECK_INT(after.accepted, ==, before.accepted + 1);
		CHECK_INT(after.rests - before.rests, ==, i < 4);
		CHECK_INT(after.lost - before.lost, ==, i >= 4);
		CHECK_INT(after.last_error, ==, -transient[i]);
		coop_close(client);
	}
	/* No error of one connection. */
	CHECK_INT(coop_sim_fail(COOP_SIM_ACCEPT, ENOTSOCK, 1), ==, 0);
	CHECK_INT(accept_one(l), ==, -ENOTSOCK);
	coop_listener_close(l);
	PROVES(rel_I02);
	return 0;
}

/* Rests grow from 10 ms to 100, and begin anew after a connection. */
SIM_IO_TEST(rests_grow)
{
	static const int rests[][2] = {
		{ 1, 10 },
		{ 6, 10 + 20 + 40 + 80 + 100 + 100 },
		{ 2, 10 + 20 },
	};
	struct coop_addr addr;
	struct coop_listener *l = listen_at(&addr, NULL);

	coop_log_set(record, NULL, COOP_LOG_ERROR);
	for (size_t i = 0; i < sizeof rests / sizeof *rests; i++) {
		int client = connect_to(&addr);
		int64_t before = coop_now();

		for (int n = 1; n <= rests[i][0]; n++)
			CHECK_INT(coop_sim_fail(COOP_SIM_ACCEPT, EMFILE, (uint64_t)n), ==, 0);
		CHECK_INT(accept_one(l), ==, 7);
		CHECK_INT(coop_now() - before, ==, MS(rests[i][1]));
		coop_close(client);
	}
	coop_listener_close(l);
	PROVES(rel_I01);
	return 0;
}

static int in_a_row(void *arg)
{
	struct coop_addr addr;
	struct coop_listener *l = listen_at(&addr, NULL);
	int client = connect_to(&addr);
	struct coop_listener_stats s;

	(void)arg;
	CHECK_INT(accept_one(l), ==, 7);
	coop_close(client);
	cp_os_faults.call_fail_on = true;
	fail_call(1, ECONNABORTED);
	CHECK_INT(coop_move_on_after(MS(60), accept_one, l), ==, 0);
	cp_os_faults.call_fail_on = false;
	fail_call(0, 0);
	s = stats_of(l);
	CHECK_INT(s.rests, >=, 1);
	CHECK_INT(s.lost, >=, 16 * s.rests);
	CHECK_INT(s.lost, <, 16 * (s.rests + 1));
	coop_listener_close(l);
	return 0;
}

/* Rests take no time there. */
static void run_with_rests(coop_fn *fn)
{
	struct coop_run_opts virtual_epoll = { .clock = COOP_CLOCK_VIRTUAL,
					       .engine = COOP_ENGINE_EPOLL };

	coop_log_set(record, NULL, COOP_LOG_ERROR);
	CHECK_INT(coop_run(fn, NULL, &virtual_epoll), ==, 0);
}

/* An error that comes again and again makes it rest, not spin. */
TEST(errors_in_a_row_do_not_spin)
{
	run_with_rests(in_a_row);
}

#define PENDING 20

/*
 * No descriptor is left, and connections wait (I01): it rests, and takes them when one is closed.
 */
IO_TEST(rel_I01_no_descriptor_is_left)
{
	struct rlimit limit, low;
	struct coop_addr addr;
	struct coop_listener *l = listen_at(&addr, NULL);
	struct coop_run_stats before, after;
	int clients[PENDING], spare = dup(STDERR_FILENO), accepted, first;

	first = connect_to(&addr); /* what an engine opens at its first accept is open */
	CHECK_INT(accept_one(l), ==, 7);
	coop_close(first);
	for (int i = 0; i < PENDING; i++)
		clients[i] = connect_to(&addr);
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
	low = limit;
	low.rlim_cur = (rlim_t)clients[PENDING - 1] + 1;
	while ((accepted = dup(STDERR_FILENO)) >= 0 && (rlim_t)accepted < low.rlim_cur)
		; /* no gap below is left; the harness closes nothing, so these are closed below */
	if (accepted >= 0)
		close(accepted);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &low), ==, 0);
	keep_records(COOP_LOG_WARN);
	CHECK_INT(coop_run_stats(&before), ==, 0);
	CHECK_INT(coop_move_on_after(MS(300), accept_one, l), ==, 0);
	CHECK_INT(coop_run_stats(&after), ==, 0);
	CHECK_INT(stats_of(l).rests, >=, 2);
	CHECK_INT(stats_of(l).rests, <, 32);
	CHECK_INT(after.turns - before.turns, <, 4 * stats_of(l).rests + 20);
	CHECK_INT(records_count, <=, 2);
	CHECK_HAS(records, "no connection can be accepted for now");
	CHECK_INT(stats_of(l).accepted, ==, 1);
	close(spare);
	for (int i = 0; i < PENDING; i++)
		CHECK_INT(accept_one(l), ==, 7);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
	for (int i = 0; i < PENDING; i++)
		coop_close(clients[i]);
	for (int fd = 3; fd < (int)low.rlim_cur; fd++)
		if (fd != coop_listener_fd(l) && fcntl(fd, F_GETFD) == 0)
			close(fd); /* the copies of standard error: not close-on-exec */
	coop_listener_close(l);
	PROVES(rel_I01);
	return 0;
}

/* Opens the group with a task that accepts, and rests now: there was no descriptor for it. */
static void begin_rest(struct coop_group *g, struct coop_listener *l, coop_fn *accepts,
		       struct coop_handle **ret_handle)
{
	coop_group_open(g, NULL);
	CHECK_INT(coop_spawn(g, sleep_ms, MSARG(1)), ==, 0); /* has a stack made */
	CHECK_INT(coop_group_wait(g), ==, 0);
	fail_call(1, EMFILE);
	CHECK_INT(coop_spawn_with(g, accepts, l, NULL, ret_handle), ==, 0);
	coop_yield();
	CHECK_INT(stats_of(l).rests, ==, 1);
	fail_call(0, 0);
}

static int wait_for_room(void *arg)
{
	return accept_one(arg);
}

static int room(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h;
	struct coop_addr addr;
	struct coop_listener *l = listen_at(&addr, NULL);
	int client = connect_to(&addr), other, value = 0;

	(void)arg;
	CHECK_INT(accept_one(l), ==, 7);
	coop_close(client);
	client = connect_to(&addr);
	other = connect_to(&addr);
	begin_rest(&g, l, wait_for_room, &h);
	begin_ns = coop_now();
	coop_close(other);
	CHECK_INT(coop_handle_wait(h, &value), ==, 0);
	CHECK_INT(value, ==, 7);
	CHECK_INT(now_ms(), ==, 0); /* of the virtual clock: it has not slept */
	coop_handle_release(h);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_close(client);
	coop_listener_close(l);
	return 0;
}

/* A rest ends when something is closed. */
TEST(a_close_ends_the_rest)
{
	run_with_rests(room);
}

static int accept_till_closed(void *arg)
{
	CHECK_INT(coop_listener_accept(arg, NULL), ==, COOP_ECLOSED);
	return 0;
}

static int closed_in_rest(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_addr addr;
	struct coop_listener *l = listen_at(&addr, NULL);
	int client = connect_to(&addr);

	(void)arg;
	begin_rest(&g, l, accept_till_closed, NULL);
	coop_listener_close(l);
	l = calloc(1, 256); /* in its place, perhaps, and a listener that is open */
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	free(l);
	coop_close(client);
	return 0;
}

/* A listener that is closed while a call rests is there until the call has found that. */
TEST(closed_in_a_rest)
{
	run_with_rests(closed_in_rest);
}

/* ---- steps that fail */

static int open_tcp(struct coop_listener **ret_listener)
{
	struct coop_listen_opts opts = { .reuse_port = true };
	struct coop_addr addr;

	CHECK_INT(coop_addr_parse("127.0.0.1:0", &addr), ==, 0);
	return coop_tcp_listen_addr(&addr, &opts, ret_listener);
}

static int open_unix(struct coop_listener **ret_listener)
{
	return coop_unix_listen("fail.sock", NULL, ret_listener);
}

static void fail_each_step(int (*open_it)(struct coop_listener **))
{
	struct coop_listener *l = NULL;
	uint64_t n = 0;
	int r;

	do {
		fail_call(++n, EACCES);
		r = open_it(&l);
		cp_os_faults.call_fail_at = 0;
		if (r < 0)
			CHECK(l == NULL);
		else
			l = coop_listener_close(l);
	} while (cp_os_faults.call_failed);
	fail_call(0, 0);
	CHECK_INT(n, >, 4);
	CHECK_INT(r, ==, 0);
	coop_error_clear();
}

/* Whatever step of opening fails, nothing is left open (G07; the harness counts descriptors). */
TEST(rel_G07_failed_steps_leave_nothing)
{
	char dir[] = "/tmp/coop-net-XXXXXX";

	CHECK(mkdtemp(dir) != NULL);
	CHECK_INT(chdir(dir), ==, 0);
	fail_each_step(open_tcp);
	fail_each_step(open_unix);
	CHECK_INT(access("fail.sock", F_OK), ==, -1);
	CHECK_INT(rmdir(dir), ==, 0);
	PROVES(rel_G07);
}

/* ---- sockets of others */

/* A socket that somebody else opened is served like our own. */
IO_TEST(a_passed_socket_is_adopted)
{
	struct sockaddr_in sin;
	int fd = listener(&sin), plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), client;
	struct coop_listener *l = NULL;
	struct coop_addr addr;

	CHECK_INT(coop_listener_adopt(plain, NULL, &l), ==, -EINVAL);
	close(plain);
	CHECK_INT(coop_listener_adopt(plain, NULL, &l), ==, -EBADF);
	CHECK_INT(coop_listener_adopt(STDERR_FILENO, NULL, &l), ==, -ENOTSOCK);
	coop_error_clear();
	CHECK_INT(fcntl(fd, F_SETFD, 0), ==, 0);
	CHECK_INT(coop_listener_adopt(fd, NULL, &l), ==, 0);
	CHECK_INT(fcntl(fd, F_GETFD), ==, FD_CLOEXEC);
	CHECK_INT(coop_listener_addr(l, &addr), ==, 0);
	CHECK_INT(addr.in.sin_port, ==, sin.sin_port);
	client = connect_to(&addr);
	CHECK_INT(accept_one(l), ==, 7);
	coop_close(client);
	coop_listener_close(l);
	return 0;
}

/* What a service manager has passed counts if it was passed to us. */
TEST(passed_sockets_are_counted)
{
	char pid[32];

	CHECK_INT(coop_listen_fds(), ==, 0);
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	setenv("LISTEN_FDS", "2", 1);
	CHECK_INT(coop_listen_fds(), ==, 0);
	setenv("LISTEN_PID", pid, 1);
	CHECK_INT(coop_listen_fds(), ==, 2);
	setenv("LISTEN_PID", "1", 1);
	CHECK_INT(coop_listen_fds(), ==, 0);
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "2x", 1);
	CHECK_INT(coop_listen_fds(), ==, 0);
	setenv("LISTEN_FDS", "-2", 1);
	CHECK_INT(coop_listen_fds(), ==, 0);
}
