/* SPDX-License-Identifier: MIT */
/*
 * Where things meet at descriptors that each have their own tests: reads that end early beside
 * edges that come once, flags that look at something else than the data, full queues while a cancel
 * is on its way, a close in the middle of a call that is not parked, a peer that others fill.
 */
#include "io_help.h"

#include "base/os.h"
#include "io/io.h"

#include <coop/stream.h>
#include <coop/testing.h>
#include <stdio.h>
#include <string.h>

/* Until all others wait. */
static void settle(void)
{
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
}

/* The nth request from now on is answered by EAGAIN. */
static void arm(int n)
{
	cp_os_faults.call_errno = EAGAIN;
	cp_os_faults.call_failed = 0;
	cp_os_faults.call_fail_at = cp_os_faults.call_calls + (uint64_t)n;
}

static bool disarm(void)
{
	cp_os_faults.call_fail_at = 0;
	return cp_os_faults.call_failed > 0;
}

static int recv_some(int fd, int flags)
{
	char buf[100];

	return coop_recv(fd, buf, sizeof buf, flags);
}

static int receives(void *arg)
{
	return recv_some(*(int *)arg, 0);
}

/* ---- full queues while a cancel is on its way */

#define MANY 700 /* cancels: twice they fill the ring's queue, of 256 */

/*
 * The second time that the queue is full it cannot be submitted, and what is over is taken in: of
 * that whose cancel it is, too, since it has just got its byte.
 */
REAL_IO_TEST(cancel_of_what_is_over_in_a_full_queue)
{
	static int a[MANY], b[MANY];
	int from = 2 * 256 - 9;

	for (int n = 1; n <= 3; n++) {
		struct coop_group g = COOP_GROUP_INIT;

		coop_group_open(&g, NULL);
		for (int i = 0; i < MANY; i++) {
			pair(&a[i], &b[i]);
			CHECK_INT(coop_spawn(&g, receives, &a[i]), ==, 0);
		}
		settle();
		for (int i = from; i < from + 18; i++)
			CHECK_INT(send(b[i], "x", 1, 0), ==, 1);
		arm(n);
		coop_group_cancel(&g, "enough");
		disarm();
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		for (int i = 0; i < MANY; i++)
			close_both(a[i], b[i]);
	}
	return 0;
}

/* ---- a close in the middle of a call that is not parked */

static const struct coop_spawn_opts eager = { .eager = true };

struct splice {
	int in, out;
	int result;
	bool begun;
};

static int splices(void *arg)
{
	struct splice *s = arg;

	s->begun = true;
	s->result = coop_splice(s->in, s->out, 10, 0);
	return 0;
}

/* True if the splice was interrupted by what it had been told: somebody else was faster. */
static bool close_while_it_gives_way(int n)
{
	struct coop_group g = COOP_GROUP_INIT;
	int from[2], to[2];
	struct splice s;
	bool refused;

	new_pipe(from);
	new_pipe(to);
	CHECK_INT(coop_poll(from[1], POLLOUT), ==, POLLOUT);
	CHECK_INT(coop_poll(to[1], POLLOUT), ==, POLLOUT);
	CHECK_INT(write(from[1], "abc", 3), ==, 3);
	CHECK_INT(coop_poll(from[0], POLLIN), ==, POLLIN);
	s = (struct splice){ .in = from[0], .out = to[1], .result = 1 };
	coop_group_open(&g, NULL);
	arm(n);
	CHECK_INT(coop_spawn_with(&g, splices, &s, &eager, NULL), ==, 0);
	refused = disarm() && s.begun && s.result == 1;
	CHECK_INT(coop_close(from[0]), ==, 0);
	from[0] = dup(to[0]); /* another file gets the number */
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	if (refused)
		CHECK_INT(s.result, ==, COOP_ECLOSED);
	close_both(from[0], from[1]);
	close_both(to[0], to[1]);
	return refused;
}

/* Who was told to wait though both ends are ready gives way, and ends with its descriptors. */
REAL_IO_TEST(splice_that_gives_way_ends_with_its_descriptor)
{
	int times = 0;

	for (int n = 1; n <= 8; n++)
		times += close_while_it_gives_way(n);
	CHECK_INT(times, >, 0);
	return 0;
}

/* ---- reads that end early, beside edges that come once */

/* Has one wait for `fd`, so that the engine knows it, and get a byte. */
static void wait_once(int fd, int peer)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, receives, &fd), ==, 0);
	settle();
	CHECK_INT(send(peer, "x", 1, 0), ==, 1);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
}

static int send_with_fd(int sock, int fd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .head = { .cmsg_len = CMSG_LEN(sizeof fd),
				.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { (char[]){ "a" }, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof control };

	memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
	return (int)sendmsg(sock, &msg, 0);
}

/* A read of a Unix stream ends where descriptors came along: what is behind is there to be read. */
REAL_IO_TEST(short_read_where_descriptors_came_along)
{
	int a, b;

	pair(&a, &b);
	wait_once(a, b);
	CHECK_INT(send_with_fd(b, b), ==, 1);
	CHECK_INT(send(b, "bc", 2, 0), ==, 2);
	settle();
	CHECK_INT(recv_some(a, 0), ==, 1);
	CHECK_INT(recv_some(a, 0), ==, 2);
	close_both(a, b);
	return 0;
}

/* A read of TCP ends at the mark of urgent data: what is behind is there to be read. */
REAL_IO_TEST(short_read_at_urgent_data)
{
	int a, b;

	tcp_pair(&a, &b);
	wait_once(a, b);
	CHECK_INT(send(b, "abc", 3, 0), ==, 3);
	CHECK_INT(send(b, "!", 1, MSG_OOB), ==, 1);
	CHECK_INT(send(b, "de", 2, 0), ==, 2);
	settle();
	CHECK_INT(recv_some(a, 0), ==, 3);
	CHECK_INT(recv_some(a, 0), ==, 2);
	close_both(a, b);
	return 0;
}

/* Who waits for an error in vain has not found that there is no data. */
REAL_IO_TEST(no_error_is_not_no_data)
{
	struct coop_scope_opts opts = { .timeout_ns = MS(20) };
	struct coop_scope s = COOP_SCOPE_INIT;
	int a, b;

	tcp_pair(&a, &b);
	wait_once(a, b);
	CHECK_INT(send(b, "abc", 3, 0), ==, 3);
	coop_scope_open(&s, &opts);
	CHECK_INT(coop_scope_close(&s, recv_some(a, MSG_ERRQUEUE)), ==, 0);
	CHECK_INT(recv_some(a, 0), ==, 3);
	close_both(a, b);
	return 0;
}

struct meanwhile {
	int peer;
	bool reading, sent;
};

static int sends_meanwhile(void *arg)
{
	struct meanwhile *m = arg;

	while (!m->sent) {
		if (m->reading)
			m->sent = send(m->peer, "x", 1, 0) == 1;
		coop_yield();
	}
	return 0;
}

static int goes_round(void *arg)
{
	struct meanwhile *m = arg;

	while (!m->sent)
		coop_yield();
	return 0;
}

static int reads_and_gives_way(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct meanwhile m = { 0 };
	struct iovec iov = { (char[10]){ "" }, 10 };
	int a;

	(void)arg;
	tcp_pair(&a, &m.peer);
	wait_once(a, m.peer);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, receives, &m.peer), ==, 0); /* so that the loop does look */
	CHECK_INT(coop_spawn(&g, sends_meanwhile, &m), ==, 0);
	for (int i = 0; i < 100; i++) /* before all have had their turn */
		CHECK_INT(coop_spawn(&g, goes_round, &m), ==, 0);
	CHECK_INT(send(m.peer, "y", 1, 0), ==, 1);
	while (!(cp_fd_peek(cp_io_of(cp_rt), a)->ready & CP_READS))
		coop_yield();
	m.reading = true;
	CHECK_INT(coop_readv(a, &iov, 1), ==, 1);
	CHECK(m.sent);
	CHECK_INT(coop_readv(a, &iov, 1), ==, 1);
	CHECK_INT(send(a, "z", 1, 0), ==, 1);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	close_both(a, m.peer);
	return 0;
}

/* A short read that gives way at its end does not forget what has come while others ran. */
TEST(short_read_that_gives_way)
{
	struct coop_run_opts opts = { .engine = COOP_ENGINE_EPOLL, .budget = 1 };

	unsetenv("COOP_IO");
	CHECK_INT(coop_run(reads_and_gives_way, NULL, &opts), ==, 0);
}

/* ---- a peer that others fill */

struct datagram {
	struct sockaddr_un to;
	int fd;     /* who sends it */
	int peer;   /* who gets it */
	int others; /* that wait there */
	int result;
};

static void fill_peer(struct datagram *d)
{
	int other = new_socket(AF_UNIX, SOCK_DGRAM);

	*d = (struct datagram){ .to = { .sun_family = AF_UNIX } };
	d->fd = new_socket(AF_UNIX, SOCK_DGRAM);
	d->peer = new_socket(AF_UNIX, SOCK_DGRAM);
	snprintf(d->to.sun_path + 1, 50, "coop-together-%d", (int)getpid());
	CHECK_INT(bind(d->peer, (struct sockaddr *)&d->to, sizeof d->to), ==, 0);
	CHECK_INT(connect(other, (struct sockaddr *)&d->to, sizeof d->to), ==, 0);
	while (send(other, "x", 1, MSG_DONTWAIT) == 1)
		d->others++;
	CHECK_INT(coop_close(other), ==, 0);
}

/* All that others have sent, and then ours, whole. */
static void drain_peer(struct datagram *d)
{
	char buf[8];

	while (d->others--)
		CHECK_INT(recv(d->peer, buf, sizeof buf, MSG_DONTWAIT), ==, 1);
	CHECK_INT(coop_recv(d->peer, buf, sizeof buf, 0), ==, 4);
}

static int sends(void *arg)
{
	struct datagram *d = arg;

	d->result = coop_send(d->fd, "abcd", 4, 0);
	return 0;
}

static int sends_to(void *arg)
{
	struct datagram *d = arg;
	struct iovec iov = { (char[]){ "abcd" }, 4 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_name = &d->to, .msg_namelen = sizeof d->to
	};

	d->result = coop_sendmsg(d->fd, &msg, 0);
	return 0;
}

/* A datagram that waits for room at its peer, which others fill, arrives whole. */
REAL_IO_TEST(datagram_to_a_peer_that_others_fill)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct datagram d;

	fill_peer(&d);
	CHECK_INT(connect(d.fd, (struct sockaddr *)&d.to, sizeof d.to), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sends, &d), ==, 0);
	settle();
	drain_peer(&d);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(d.result, ==, 4);
	close_both(d.fd, d.peer);
	return 0;
}

/* The same of a socket that is not connected, which its poll calls ready: it does not spin. */
REAL_IO_TEST(datagram_to_an_address_that_others_fill)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct datagram d;
	uint64_t turns;

	fill_peer(&d);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, sends_to, &d), ==, 0);
	turns = cp_rt->turns;
	CHECK_INT(coop_sleep(MS(30)), ==, 0);
	CHECK_INT(cp_rt->turns - turns, <, 100);
	drain_peer(&d);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(d.result, ==, 4);
	close_both(d.fd, d.peer);
	return 0;
}

/* What a connection that is reset in the middle of a splice has not taken stays in the pipe. */
SIM_IO_TEST(splice_into_a_connection_that_is_reset)
{
	struct coop_sim_opts resets = { .reset_percent = 100, .reset_bytes = 100 };
	char zeros[1000] = { 0 };

	CHECK_INT(coop_sim_plan(&resets), ==, 0);
	for (int i = 0; i < 10; i++) {
		int from[2], a, b, r;

		tcp_pair(&a, &b);
		new_pipe(from);
		CHECK_INT(coop_write(from[1], zeros, sizeof zeros), ==, sizeof zeros);
		r = coop_splice(from[0], a, sizeof zeros, 0);
		if (r == (int)sizeof zeros) { /* the other side is to be reset */
			CHECK_INT(coop_write(from[1], zeros, sizeof zeros), ==, sizeof zeros);
			r = coop_splice(from[0], b, sizeof zeros, 0);
		}
		CHECK_INT(r, >, 0);
		CHECK_INT(r, <=, 100);
		CHECK_INT(coop_read(from[0], zeros, sizeof zeros), ==, (int)sizeof zeros - r);
		close_both(from[0], from[1]);
		close_both(a, b);
	}
	return 0;
}

/* Without memory for what it has read a splice has read nothing. */
SIM_IO_TEST(splice_without_memory)
{
	char zeros[2000] = { 0 };
	int from[2], a, b;

	pair(&a, &b);
	new_pipe(from);
	CHECK_INT(coop_write(from[1], zeros, sizeof zeros), ==, sizeof zeros);
	cp_os_faults.alloc_fail_at = cp_os_faults.alloc_calls + 1;
	CHECK_INT(coop_splice(from[0], a, sizeof zeros, 0), ==, -ENOMEM);
	cp_os_faults.alloc_fail_at = 0;
	CHECK_INT(coop_splice(from[0], a, sizeof zeros, 0), ==, sizeof zeros);
	close_both(from[0], from[1]);
	close_both(a, b);
	return 0;
}

/* A pipe is not spliced into itself. */
IO_TEST(splice_into_itself)
{
	int fds[2];

	new_pipe(fds);
	CHECK_INT(coop_write(fds[1], "abc", 3), ==, 3);
	CHECK_INT(coop_splice(fds[0], fds[1], 3, 0), ==, -EINVAL);
	close_both(fds[0], fds[1]);
	return 0;
}

/* ---- streams that are closed while a call on them gives way at its end */

struct stream_call {
	struct coop_stream *s;
	int result;
	bool begun;
};

static int receives_of_stream(void *arg)
{
	struct stream_call *c = arg;
	char buf[4];

	c->begun = true;
	c->result = coop_stream_recv(c->s, buf, sizeof buf);
	return 0;
}

static int sends_to_stream(void *arg)
{
	struct stream_call *c = arg;
	size_t sent;

	c->begun = true;
	c->result = coop_stream_send_all(c->s, "abcd", 4, &sent);
	return 0;
}

static int ends_stream(void *arg)
{
	struct stream_call *c = arg;

	c->begun = true;
	c->result = coop_stream_send_eof(c->s);
	return 0;
}

/* Both ends of a stream of memory are closed while a call of one gives way at its end. */
static int both_closed(void *arg)
{
	(void)arg;
	for (int sending = 0; sending < 2; sending++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct coop_stream a, b;
		struct stream_call c = { .s = &b };

		CHECK_INT(coop_memory_stream_pair(8, &a, &b), ==, 0);
		coop_stream_abort(&a);
		coop_group_open(&g, NULL);
		CHECK_INT(coop_spawn(&g, sending ? sends_to_stream : receives_of_stream, &c), ==,
			  0);
		while (!c.begun)
			coop_yield();
		CHECK_INT(coop_stream_close(&b), ==, 0);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		CHECK_INT(c.result, ==, -ECONNRESET);
	}
	return 0;
}

/* A stream whose end is told is closed meanwhile: the number may be another file's. */
static int closed_while_it_ends(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_stream a, b;
	struct stream_call c = { .s = &b };
	int fds[2];

	(void)arg;
	pair(&fds[0], &fds[1]);
	CHECK_INT(coop_stream_from_fd(fds[0], &a), ==, 0);
	CHECK_INT(coop_stream_from_fd(fds[1], &b), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, ends_stream, &c), ==, 0);
	while (!c.begun)
		coop_yield();
	CHECK_INT(coop_stream_close(&b), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(c.result, ==, COOP_ECLOSED);
	CHECK_INT(coop_stream_close(&a), ==, 0);
	return 0;
}

static const struct coop_run_opts gives_way = { .budget = 1 };

/* A call of a memory stream touches nothing of it after it has given way. */
TEST(memory_stream_is_gone_while_a_call_gives_way)
{
	CHECK_INT(coop_run(both_closed, NULL, &gives_way), ==, 0);
}

/* Whoever tells the end of a stream that is closed meanwhile is told so. */
TEST(stream_is_closed_while_its_end_is_told)
{
	CHECK_INT(coop_run(closed_while_it_ends, NULL, &gives_way), ==, 0);
}

/* ---- from one run of a runner to the next */

static struct coop_stream left[2];
static int numbers[2];

static int leaves_streams(void *arg)
{
	(void)arg;
	pair(&numbers[0], &numbers[1]);
	wait_once(numbers[0], numbers[1]);
	for (int i = 0; i < 2; i++)
		CHECK_INT(coop_stream_from_fd(numbers[i], &left[i]), ==, 0);
	return 0;
}

static int reads_one(void *arg)
{
	char c;

	return coop_read(*(int *)arg, &c, 1);
}

static int uses_the_numbers(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int fds[2];

	(void)arg;
	CHECK_INT(pipe2(fds, O_CLOEXEC), ==, 0);
	CHECK_INT(fds[0], ==, numbers[0]);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, reads_one, &fds[0]), ==, 0);
	settle();
	CHECK_INT(write(fds[1], "x", 1), ==, 1);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	close_both(fds[0], fds[1]);
	return 0;
}

static void stream_closed_between_runs(enum coop_engine engine)
{
	struct coop_run_opts opts = { .engine = engine };
	struct coop_runner *runner;
	int r;

	unsetenv("COOP_IO");
	r = coop_runner_open(&opts, &runner);
	if (r == -ENOTSUP)
		SKIP("this machine has no such engine");
	CHECK_INT(coop_runner_run(runner, leaves_streams, NULL), ==, 0);
	for (int i = 0; i < 2; i++)
		CHECK_INT(coop_stream_close(&left[i]), ==, 0);
	CHECK_INT(coop_runner_run(runner, uses_the_numbers, NULL), ==, 0);
	coop_runner_free(runner);
}

/* A stream may be closed after its run: in the next one its number is another file's. */
TEST(stream_closed_between_runs_epoll)
{
	stream_closed_between_runs(COOP_ENGINE_EPOLL);
}

/* The same with the ring. */
TEST(stream_closed_between_runs_uring)
{
	stream_closed_between_runs(COOP_ENGINE_URING);
}
