/* SPDX-License-Identifier: MIT */
/* Servers: connections in tasks of their own, limits, failures, and how they end. */
#include "net_help.h"

struct server {
	struct coop_listener *l;
	struct coop_addr addr;
	struct coop_serve_opts opts;
	coop_serve_fn *handler;
	void *arg;
	struct coop_group group;
	struct coop_handle *handle;
};

static int run_server(void *arg)
{
	struct server *s = arg;

	return coop_serve(s->l, s->handler, s->arg, &s->opts);
}

static void server_open(struct server *s, coop_serve_fn *handler)
{
	static const struct coop_group_opts collect = { .policy = COOP_COLLECT };

	s->l = listen_at(&s->addr, NULL);
	s->handler = handler;
	s->group = (struct coop_group)COOP_GROUP_INIT;
	coop_group_open(&s->group, &collect);
	CHECK_INT(coop_spawn_with(&s->group, run_server, s, NULL, &s->handle), ==, 0);
}

/* How the server has ended; all of it is gone. */
static int server_close(struct server *s)
{
	int r = coop_handle_wait(s->handle, NULL);

	coop_handle_release(s->handle);
	coop_error_clear();
	(void)!coop_group_join(&s->group, 0);
	coop_error_clear();
	coop_listener_close(s->l);
	return r;
}

static int server_drain(struct server *s)
{
	CHECK_INT(coop_listener_drain(s->l), ==, 0);
	return server_close(s);
}

/* Answers each message with itself. */
static int echo(int fd, void *arg)
{
	char buf[128];
	int n;

	(void)arg;
	while ((n = coop_serve_recv(fd, buf, sizeof buf)) > 0) {
		int r = coop_send(fd, buf, (size_t)n, 0);

		if (r < 0)
			return r;
	}
	return n;
}

static void wait_open(struct server *s, uint32_t count)
{
	while (stats_of(s->l).open != count)
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
}

/* A reset instead of an end. */
static void reset(int fd)
{
	struct linger now = { .l_onoff = 1 };

	CHECK_INT(WORLD(setsockopt, fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), ==, 0);
	coop_close(fd);
}

/* Many connections at once, each served for itself. */
IO_TEST(connections_are_served_side_by_side)
{
	struct server s = { 0 };
	int fds[20];

	server_open(&s, echo);
	for (int i = 0; i < 20; i++)
		fds[i] = connect_to(&s.addr);
	for (int round = 0; round < 3; round++)
		for (int i = 19; i >= 0; i--) {
			send_text(fds[i], "ping");
			expect_text(fds[i], "ping");
		}
	CHECK_INT(stats_of(s.l).open, ==, 20);
	for (int i = 0; i < 20; i++)
		coop_close(fds[i]);
	wait_open(&s, 0);
	CHECK_INT(stats_of(s.l).open_peak, ==, 20);
	CHECK_INT(stats_of(s.l).accepted, ==, 20);
	CHECK_INT(server_drain(&s), ==, 0);
	return 0;
}

/* A peer that has ended its side can still be written to (G01). */
static int answer_after_end(int fd, void *arg)
{
	char buf[16];
	int n;

	(void)arg;
	while ((n = coop_serve_recv(fd, buf, sizeof buf)) > 0)
		;
	if (n < 0)
		return n;
	n = coop_send(fd, "late", 4, 0);
	return n < 0 ? n : 0;
}

IO_TEST(rel_G01_half_closed_is_half_open)
{
	struct server s = { 0 };
	int fd;

	server_open(&s, answer_after_end);
	fd = connect_to(&s.addr);
	send_text(fd, "hello");
	CHECK_INT(WORLD(shutdown, fd, SHUT_WR), ==, 0);
	expect_text(fd, "late");
	expect_end(fd);
	coop_close(fd);
	CHECK_INT(server_drain(&s), ==, 0);
	PROVES(rel_G01);
	return 0;
}

/* A connection that fails is a line in the log, with its name, and the others go on. */
static int fail(int fd, void *arg)
{
	char c;
	int n = coop_serve_recv(fd, &c, 1);

	(void)arg;
	if (n > 0 && c == 'f')
		return coop_fail(-EPROTO, "it said f");
	while (n > 0)
		n = coop_serve_recv(fd, &c, 1);
	return n;
}

IO_TEST(a_failed_connection_is_logged)
{
	struct server s = { 0 };
	struct coop_addr own;
	char text[COOP_ADDR_TEXT_MAX];
	int bad, good;

	server_open(&s, fail);
	keep_records(COOP_LOG_WARN);
	bad = connect_to(&s.addr);
	good = connect_to(&s.addr);
	CHECK_INT(coop_socket_addr(bad, &own), ==, 0);
	send_text(bad, "f");
	expect_end(bad);
	wait_open(&s, 1);
	CHECK_HAS(records, "it said f");
	CHECK_HAS(records, coop_addr_text(&own, text, sizeof text));
	CHECK_INT(stats_of(s.l).failed, ==, 1);
	send_text(good, "x");
	coop_close(bad);
	coop_close(good);
	CHECK_INT(server_drain(&s), ==, 0);
	return 0;
}

/* The first failure ends the server, where that is asked for. */
IO_TEST(fail_fast_ends_the_server)
{
	struct server s = { .opts = { .fail_fast = true } };
	int bad, other;

	server_open(&s, fail);
	bad = connect_to(&s.addr);
	other = connect_to(&s.addr);
	wait_open(&s, 2);
	send_text(bad, "f");
	CHECK_INT(server_close(&s), ==, -EPROTO);
	expect_end(other);
	close_both(bad, other);
	return 0;
}

static enum coop_verdict verdicts[4];
static int judged;

static enum coop_verdict say_verdict(const struct coop_error *error, void *ctx)
{
	CHECK_INT(coop_error_code(error), ==, -EPROTO);
	CHECK(ctx == verdicts);
	return verdicts[judged++];
}

/* A judge decides, failure by failure. */
IO_TEST(a_judge_decides)
{
	struct server s = { .opts = { .judge = say_verdict, .judge_ctx = verdicts } };
	int fd;

	verdicts[0] = COOP_VERDICT_LOG;
	verdicts[1] = COOP_VERDICT_KEEP;
	verdicts[2] = COOP_VERDICT_FATAL;
	server_open(&s, fail);
	keep_records(COOP_LOG_WARN);
	for (int i = 0; i < 3; i++) {
		fd = connect_to(&s.addr);
		send_text(fd, "f");
		expect_end(fd);
		coop_close(fd);
	}
	CHECK_INT(server_close(&s), ==, -EPROTO);
	CHECK_INT(judged, ==, 3);
	CHECK_HAS(records, "it said f");
	return 0;
}

/* Beyond the limit nobody is accepted, and all are served in the end. */
IO_TEST(a_limit_holds_back)
{
	struct server s = { .opts = { .connections_max = 2 } };
	int fds[6];

	server_open(&s, echo);
	for (int i = 0; i < 6; i++) {
		fds[i] = connect_to(&s.addr);
		send_text(fds[i], "x");
	}
	expect_text(fds[0], "x");
	expect_text(fds[1], "x");
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(stats_of(s.l).accepted, ==, 2);
	for (int i = 0; i < 4; i++) {
		coop_close(fds[i]);
		expect_text(fds[i + 2], "x");
	}
	CHECK_INT(stats_of(s.l).open_peak, ==, 2);
	coop_close(fds[4]);
	coop_close(fds[5]);
	CHECK_INT(server_drain(&s), ==, 0);
	return 0;
}

/* A connection that was answered: the limit is short, and a machine under load is late at times. */
static int connect_and_be_heard(const struct coop_addr *addr)
{
	for (;;) {
		int fd = connect_to(addr);
		char c = 0;

		if (coop_send(fd, "x", 1, 0) == 1 && coop_recv(fd, &c, 1, 0) == 1) {
			CHECK_INT(c, ==, 'x');
			return fd;
		}
		coop_close(fd);
	}
}

/* Who says nothing is ended after a while (G16). */
IO_TEST(rel_G16_the_idle_are_ended)
{
	struct server s = { .opts = { .idle_ns = MS(20) } };
	int fds[5];

	server_open(&s, echo);
	fds[0] = connect_and_be_heard(&s.addr);
	for (int i = 1; i < 5; i++)
		fds[i] = connect_to(&s.addr);
	for (int i = 0; i < 5; i++) {
		expect_end(fds[i]);
		coop_close(fds[i]);
	}
	wait_open(&s, 0);
	CHECK_INT(server_drain(&s), ==, 0);
	PROVES(rel_G16);
	return 0;
}

/* ---- the end */

/* A connection that is between two requests is ended when the server drains, at once. */
IO_TEST(a_drain_ends_the_idle)
{
	struct server s = { 0 };
	int fds[10];

	server_open(&s, echo);
	for (int i = 0; i < 10; i++) {
		fds[i] = connect_to(&s.addr);
		send_text(fds[i], "x");
		expect_text(fds[i], "x");
	}
	CHECK_INT(server_drain(&s), ==, 0);
	for (int i = 0; i < 10; i++) {
		expect_end(fds[i]);
		coop_close(fds[i]);
	}
	return 0;
}

/* A wait that has a limit, and so a scope of its own, is ended by the drain all the same. */
IO_TEST(a_drain_ends_the_idle_with_a_limit)
{
	struct server s = { .opts = { .idle_ns = COOP_SECONDS(3600) } };
	int64_t start;
	int fds[3];

	server_open(&s, echo);
	for (int i = 0; i < 3; i++)
		fds[i] = connect_and_be_heard(&s.addr);
	start = coop_now();
	CHECK_INT(server_drain(&s), ==, 0);
	for (int i = 0; i < 3; i++) {
		expect_end(fds[i]);
		coop_close(fds[i]);
	}
	if (coop_clock_is_virtual())
		CHECK_INT(coop_now() - start, <, COOP_SECONDS(30)); /* drain_ns */
	return 0;
}

/* One that has said nothing yet, and speaks in the moment that it is given, is answered. */
IO_TEST(a_drain_waits_for_a_first_request)
{
	struct server s = { 0 };
	char c = 0;
	int fd;

	server_open(&s, echo);
	fd = connect_to(&s.addr);
	wait_open(&s, 1);
	CHECK_INT(coop_listener_drain(s.l), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	send_text(fd, "y");
	CHECK_INT(coop_recv(fd, &c, 1, 0), ==, 1);
	CHECK_INT(c, ==, 'y');
	CHECK_INT(server_close(&s), ==, 0);
	expect_end(fd);
	coop_close(fd);
	return 0;
}

static int others_recv;

static int read_more(void *arg)
{
	char c;

	others_recv = coop_recv(*(int *)arg, &c, 1, 0);
	return others_recv == COOP_ECANCELED ? COOP_ECANCELED : 0;
}

static int read_with_another(int fd, void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	char c;

	CHECK_INT(coop_poll(fd, POLLIN), >, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, read_more, &fd), ==, 0);
	CHECK_INT(coop_listener_drain(*(struct coop_listener **)arg), ==, 0);
	CHECK_INT(coop_serve_recv(fd, &c, 1), ==, 1);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_group_cancel(&g, "enough");
	return coop_group_join(&g, 0);
}

/*
 * A handler that has its request, and has not come back from the call yet, while a task of its own
 * waits for more: the drain ends nobody's receive but the handler's.
 */
IO_TEST(a_drain_ends_no_other_receive)
{
	struct server s = { 0 };
	int fd, budget = cp_rt->budget_max;

	others_recv = 1;
	s.arg = &s.l;
	server_open(&s, read_with_another);
	cp_rt->budget_max = 1; /* each call lets others run */
	fd = connect_to(&s.addr);
	send_text(fd, "1");
	CHECK_INT(server_close(&s), ==, 0);
	cp_rt->budget_max = budget;
	CHECK_INT(others_recv, ==, COOP_ECANCELED);
	coop_close(fd);
	return 0;
}

/* Requests that were sent before the drain are answered, those in the queue as well (L01). */
IO_TEST(rel_L01_what_was_sent_is_answered)
{
	struct server s = { 0 };
	int fds[60];

	server_open(&s, echo);
	for (int i = 0; i < 30; i++) {
		fds[i] = connect_to(&s.addr);
		send_text(fds[i], "x");
		expect_text(fds[i], "x");
	}
	for (int i = 30; i < 60; i++)
		fds[i] = connect_to(&s.addr); /* in the kernel's queue, or accepted: who knows */
	for (int i = 0; i < 60; i++)
		send_text(fds[i], "last words");
	CHECK_INT(server_drain(&s), ==, 0);
	for (int i = 0; i < 60; i++) {
		expect_text(fds[i], "last words");
		expect_end(fds[i]);
		coop_close(fds[i]);
	}
	CHECK_INT(coop_tcp_connect_addr(&s.addr, NULL), ==, -ECONNREFUSED);
	coop_error_clear();
	PROVES(rel_L01);
	return 0;
}

/* There was no room for them yet: they are accepted and answered in the drain, one by one (L01). */
IO_TEST(rel_L01_the_queue_is_served)
{
	struct server s = { .opts = { .connections_max = 2 } };
	int fds[7];

	server_open(&s, echo);
	for (int i = 0; i < 7; i++) {
		fds[i] = connect_to(&s.addr);
		send_text(fds[i], "x");
	}
	for (int i = 0; i < 2; i++)
		expect_text(fds[i], "x");
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(stats_of(s.l).accepted, ==, 2);
	CHECK_INT(server_drain(&s), ==, 0);
	for (int i = 0; i < 7; i++) {
		if (i >= 2)
			expect_text(fds[i], "x");
		expect_end(fds[i]);
		coop_close(fds[i]);
	}
	PROVES(rel_L01);
	return 0;
}

/* The same when it is cancelled, and then it says so. */
IO_TEST(a_cancel_drains)
{
	struct server s = { 0 };
	int fds[10];

	server_open(&s, echo);
	for (int i = 0; i < 10; i++) {
		fds[i] = connect_to(&s.addr);
		send_text(fds[i], "last words");
	}
	wait_open(&s, 10);
	CHECK_INT(coop_handle_cancel(s.handle, "enough"), ==, 0);
	CHECK_INT(server_close(&s), ==, COOP_ETASKCANCELLED);
	for (int i = 0; i < 10; i++) {
		expect_text(fds[i], "last words");
		expect_end(fds[i]);
		coop_close(fds[i]);
	}
	return 0;
}

/* In the middle of a request: the handler is left alone until it has answered. */
static int slow(int fd, void *arg)
{
	char c;
	int n = coop_serve_recv(fd, &c, 1);

	(void)arg;
	if (n <= 0)
		return n;
	while (!coop_serve_draining()) {
		n = coop_sleep(MS(1));
		if (n < 0)
			return n;
	}
	n = coop_sleep(MS(5));
	if (n < 0)
		return n;
	n = coop_send(fd, "done", 4, 0);
	return n < 0 ? n : 0;
}

IO_TEST(a_request_is_finished)
{
	struct server s = { 0 };
	int fd;

	server_open(&s, slow);
	fd = connect_to(&s.addr);
	send_text(fd, "x");
	wait_open(&s, 1);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(coop_handle_cancel(s.handle, "enough"), ==, 0);
	expect_text(fd, "done");
	CHECK_INT(server_close(&s), ==, COOP_ETASKCANCELLED);
	coop_close(fd);
	return 0;
}

static int never(int fd, void *arg)
{
	(void)fd;
	(void)arg;
	return coop_sleep(COOP_NEVER);
}

/* Handlers that do not come to an end are cancelled when the time is over (L02). */
IO_TEST(rel_L02_a_drain_ends)
{
	struct server s = { .opts = { .drain_ns = MS(30) } };
	int fd;

	server_open(&s, never);
	fd = connect_to(&s.addr);
	wait_open(&s, 1);
	CHECK_INT(server_drain(&s), ==, 0);
	expect_end(fd);
	coop_close(fd);

	server_open(&s, never);
	fd = connect_to(&s.addr);
	wait_open(&s, 1);
	CHECK_INT(coop_handle_cancel_grace(s.handle, "enough", MS(30)), ==, 0);
	CHECK_INT(server_close(&s), ==, COOP_ETASKCANCELLED);
	expect_end(fd);
	coop_close(fd);
	PROVES(rel_L02);
	return 0;
}

/* While it lingers everything goes on as before, for new connections, too. */
IO_TEST(a_server_lingers)
{
	struct server s = { .opts = { .linger_ns = MS(700) } };
	int fd, other;

	server_open(&s, echo);
	fd = connect_to(&s.addr);
	send_text(fd, "x");
	expect_text(fd, "x");
	CHECK_INT(coop_listener_drain(s.l), ==, 0);
	CHECK_INT(coop_listener_drain(s.l), ==, 1);
	other = connect_to(&s.addr);
	send_text(other, "y");
	expect_text(other, "y");
	send_text(fd, "z");
	expect_text(fd, "z");
	CHECK_INT(server_close(&s), ==, 0);
	expect_end(fd);
	expect_end(other);
	close_both(fd, other);
	return 0;
}

/* Peers that leave in every way, at every moment. */
IO_TEST(peers_leave_as_they_like)
{
	struct server s = { 0 };

	coop_log_set(record, NULL, COOP_LOG_ERROR); /* resets are failures of their connections */
	server_open(&s, echo);
	for (int i = 0; i < 40; i++) {
		int fd = connect_to(&s.addr);

		if (i & 1)
			send_text(fd, "x");
		if (i & 2)
			expect_text(fd, i & 1 ? "x" : "");
		if (i & 4)
			CHECK_INT(WORLD(shutdown, fd, SHUT_WR), ==, 0);
		if (i & 8)
			reset(fd);
		else
			coop_close(fd);
	}
	wait_open(&s, 0);
	CHECK_INT(server_drain(&s), ==, 0);
	return 0;
}

/* ---- what a handler may do */

static int taken = -1;

static int take(int fd, void *arg)
{
	(void)arg;
	CHECK_INT(coop_serve_next(fd), ==, 1);
	CHECK_INT(coop_serve_take(), ==, fd);
	CHECK_INT(coop_serve_take(), ==, -EALREADY);
	taken = fd;
	return 0;
}

/* A handler takes the descriptor away; it is not closed. */
IO_TEST(a_handler_takes_the_descriptor)
{
	struct server s = { 0 };
	int fd;

	server_open(&s, take);
	fd = connect_to(&s.addr);
	send_text(fd, "x");
	while (taken < 0)
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
	wait_open(&s, 0);
	expect_text(taken, "x");
	close_both(fd, taken);
	CHECK_INT(server_drain(&s), ==, 0);
	CHECK_INT(coop_serve_take(), ==, COOP_EWRONGTASK);
	CHECK(!coop_serve_draining());
	return 0;
}

/* The name of a connection's task is its peer's address, made when somebody asks. */
static int see_name(const struct coop_task_info *info, void *ctx)
{
	return strcmp(info->name, ctx) == 0 ? 7 : 0;
}

IO_TEST(a_connection_has_its_peers_name)
{
	struct server s = { 0 };
	struct coop_addr own;
	char text[COOP_ADDR_TEXT_MAX];
	int fd;

	server_open(&s, echo);
	fd = connect_to(&s.addr);
	wait_open(&s, 1);
	CHECK_INT(coop_socket_addr(fd, &own), ==, 0);
	coop_addr_text(&own, text, sizeof text);
	CHECK_INT(coop_for_each_task(false, see_name, text), ==, 7);
	send_text(fd, "x");
	expect_text(fd, "x");
	CHECK_INT(coop_for_each_task(false, see_name, text), ==, 7);
	coop_close(fd);
	CHECK_INT(server_drain(&s), ==, 0);
	return 0;
}

/* One server for one listener, and it closes that when it has drained. */
IO_TEST(a_listener_has_one_server)
{
	struct server s = { 0 };
	struct coop_serve_opts unknown = { ._reserved = { 1 } }, negative = { .idle_ns = -1 };
	struct coop_listener *l = listen_at(&s.addr, NULL);

	CHECK_INT(coop_serve(l, NULL, NULL, NULL), ==, -EINVAL);
	CHECK_INT(coop_serve(l, echo, NULL, &unknown), ==, -EINVAL);
	CHECK_INT(coop_serve(l, echo, NULL, &negative), ==, -EINVAL);
	CHECK_INT(coop_listener_drain(l), ==, 1);
	coop_listener_close(l);
	server_open(&s, echo);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_serve(s.l, echo, NULL, NULL), ==, -EBUSY);
	CHECK_INT(coop_listener_drain(s.l), ==, 0);
	CHECK_INT(coop_handle_wait(s.handle, NULL), ==, 0);
	CHECK_INT(coop_serve(s.l, echo, NULL, NULL), ==, COOP_ECLOSED);
	CHECK_INT(coop_listener_fd(s.l), ==, COOP_ECLOSED);
	CHECK_INT(server_close(&s), ==, 0);
	return 0;
}

static int close_listener(void *arg)
{
	struct server s = { 0 };

	(void)arg;
	server_open(&s, echo);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_listener_close(s.l);
	return 0;
}

/* To close what is being served is a mistake of the program. */
TEST_ABORT(a_served_listener_is_not_closed, "coop_serve is still at it")
{
	(void)!coop_run(close_listener, NULL, NULL);
}

/* There is no memory for a connection's task: what needs none goes on (G07). */
static int no_memory(void *arg)
{
	struct server s = { 0 };
	int fd;

	(void)arg;
	coop_log_set(record, NULL, COOP_LOG_ERROR);
	server_open(&s, echo);
	fd = connect_to(&s.addr);
	wait_open(&s, 1);
	coop_close(fd);
	wait_open(&s, 0);
	for (int round = 0; round < 3; round++) {
		fd = connect_to(&s.addr);
		cp_os_faults.alloc_fail_on = true;
		cp_os_faults.alloc_fail_at = cp_os_faults.alloc_calls + 1;
		CHECK_INT(coop_sleep(MS(3)), ==, 0);
		cp_os_faults.alloc_fail_at = 0;
		send_text(fd, "x");
		expect_text(fd, "x"); /* nothing is allocated on the way */
		coop_close(fd);
		wait_open(&s, 0);
	}
	CHECK_INT(server_drain(&s), ==, 0);
	return 0;
}

/* A connection costs no allocation, so that it has none to fail by (G07). */
TEST(rel_G07_a_connection_allocates_nothing)
{
	io_run(no_memory, COOP_ENGINE_EPOLL);
	PROVES(rel_G07);
}

/* ---- at every moment */

/* Both directions are shut, and nobody closes: the connection ends, and the server does (G03). */
IO_TEST(rel_G03_shut_down_and_not_closed)
{
	struct server s = { 0 };
	int fd;

	server_open(&s, echo);
	fd = connect_to(&s.addr);
	send_text(fd, "x");
	expect_text(fd, "x");
	CHECK_INT(WORLD(shutdown, fd, SHUT_RDWR), ==, 0);
	wait_open(&s, 0);
	CHECK_INT(server_drain(&s), ==, 0);
	coop_close(fd);
	PROVES(rel_G03);
	return 0;
}

/*
 * The server ends while connections are on their way to handlers: each is served or closed, none is
 * left (I11; the harness counts descriptors, and a client would wait for ever).
 */
IO_TEST(rel_I11_nothing_is_lost_on_the_way)
{
	for (int round = 0; round < 8; round++) {
		struct server s = { .opts = { .fail_fast = true } };
		int fds[10];

		server_open(&s, fail);
		fds[0] = connect_to(&s.addr);
		send_text(fds[0], "f");
		for (int i = 1; i < 10; i++)
			fds[i] = connect_to(&s.addr);
		for (int i = 0; i < round; i++)
			coop_yield();
		CHECK_INT(server_close(&s), ==, -EPROTO);
		for (int i = 0; i < 10; i++) {
			char c;

			CHECK_INT(coop_recv(fds[i], &c, 1, 0), <=, 0);
			coop_close(fds[i]);
		}
	}
	PROVES(rel_I11);
	return 0;
}

static int ask_once(const struct coop_addr *addr)
{
	char c = 'x';
	int fd = coop_tcp_connect_addr(addr, NULL), r;

	if (fd < 0)
		return fd;
	r = coop_send(fd, &c, 1, 0);
	if (r >= 0)
		r = coop_recv(fd, &c, 1, 0);
	coop_close(fd);
	return r < 0 ? r : 0;
}

/* A server, a client, the end; whatever is cancelled, everything is given back. */
static int whole_life(void *arg)
{
	struct server s = { .handler = echo };
	int r;

	(void)arg;
	CHECK_INT(coop_addr_parse("127.0.0.1:0", &s.addr), ==, 0);
	r = coop_tcp_listen_addr(&s.addr, NULL, &s.l);
	if (r < 0)
		return r;
	CHECK_INT(coop_listener_addr(s.l, &s.addr), ==, 0);
	s.group = (struct coop_group)COOP_GROUP_INIT;
	coop_group_open(&s.group, NULL);
	r = coop_spawn(&s.group, run_server, &s);
	if (r >= 0)
		r = ask_once(&s.addr);
	if (r >= 0 && coop_listener_drain(s.l) != 0)
		r = -EBUSY; /* a cancel has ended the server before */
	r = coop_group_join(&s.group, r);
	coop_listener_close(s.l);
	return r;
}

static const char *any_end(int rc, uint64_t n, void *ctx)
{
	(void)ctx;
	if (n == 0)
		return rc == 0 ? NULL : coop_code_text(rc);
	return rc <= 0 ? NULL : "a value out of nowhere";
}

/* Cancelled at each of its checkpoints in turn, a server and its client leave nothing behind. */
TEST(cancelled_at_every_checkpoint)
{
	struct coop_run_opts sim = { .clock = COOP_CLOCK_VIRTUAL, .engine = COOP_ENGINE_SIM };
	struct coop_sweep sweep;
	int r;

	coop_log_set(record, NULL, COOP_LOG_ERROR);
	r = coop_sweep_cancel(whole_life, NULL, &sim, any_end, NULL, &sweep);
	if (r < 0)
		FAIL("%s, at %d", sweep.why, (int)sweep.failed_at);
	CHECK_INT(sweep.injected, >, 10);
}

/* The same with each allocation failing in turn. */
TEST(without_memory_at_every_moment)
{
	struct coop_run_opts sim = { .clock = COOP_CLOCK_VIRTUAL, .engine = COOP_ENGINE_SIM };
	struct coop_sweep sweep;
	int r;

	coop_log_set(record, NULL, COOP_LOG_ERROR);
	r = coop_sweep_alloc(whole_life, NULL, &sim, false, any_end, NULL, &sweep);
	if (r < 0)
		FAIL("%s, at %d", sweep.why, (int)sweep.failed_at);
	CHECK_INT(sweep.injected, >, 3);
}

/* ---- few descriptors */

static int crowd(int fd, void *arg)
{
	(void)arg;
	return echo(fd, NULL);
}

/* The limit of descriptors is so low that some connections have to wait for others to end (I05). */
static void run_low(unsigned spare)
{
	struct server s = { 0 };
	struct rlimit limit, low;
	int fds[12], top;

	server_open(&s, crowd);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	for (int i = 0; i < 12; i++) {
		fds[i] = new_socket(AF_INET, SOCK_STREAM);
	}
	top = fds[11];
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
	low = limit;
	low.rlim_cur = (rlim_t)top + 1 + spare;
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &low), ==, 0);
	for (int i = 0; i < 12; i++) {
		CHECK_INT(coop_connect(fds[i], &s.addr.sa, s.addr.len), ==, 0);
		send_text(fds[i], "x");
	}
	for (int i = 0; i < 12; i++) {
		expect_text(fds[i], "x");
		coop_close(fds[i]);
	}
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
	CHECK_INT(server_drain(&s), ==, 0);
}

IO_TEST(rel_I05_few_descriptors)
{
	coop_log_set(record, NULL, COOP_LOG_ERROR);
	for (unsigned spare = 1; spare < 14; spare += 3)
		run_low(spare);
	PROVES(rel_I05);
	return 0;
}
