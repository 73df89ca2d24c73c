/* SPDX-License-Identifier: MIT */
/* The calls on descriptors, on each engine. */
#include "io_help.h"

/* A call of a task of its own, and how it ended. */
struct call {
	int fd;
	char buf[64];
	size_t bytes;
	int events;
	int result;
	bool over;
};

static void open_within(struct coop_scope *s, int64_t ns)
{
	coop_scope_open(s, NULL);
	CHECK_INT(coop_scope_set_deadline(s, coop_now() + ns), ==, 0);
}

static int over(struct call *c, int r)
{
	c->result = r;
	c->over = true;
	return r == COOP_ECANCELED ? r : 0;
}

static int do_recv(void *arg)
{
	struct call *c = arg;

	return over(c, coop_recv(c->fd, c->buf, c->bytes ? c->bytes : sizeof c->buf, 0));
}

static int do_read(void *arg)
{
	struct call *c = arg;

	return over(c, coop_read(c->fd, c->buf, sizeof c->buf));
}

static int do_poll(void *arg)
{
	struct call *c = arg;

	return over(c, coop_poll(c->fd, c->events));
}

static int do_accept(void *arg)
{
	struct call *c = arg;

	return over(c, coop_accept(c->fd, NULL, NULL));
}

/* A receive waits for what is sent later, and gets it. */
IO_TEST(recv_waits_for_a_send)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct call c = { .bytes = 0 };
	int other;

	pair(&c.fd, &other);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, do_recv, &c), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK(!c.over);
	CHECK_INT(coop_send(other, "hello", 5, 0), ==, 5);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(c.result, ==, 5);
	CHECK(memcmp(c.buf, "hello", 5) == 0);
	close_both(c.fd, other);
	return 0;
}

static int sends_later(void *arg)
{
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	return coop_send(*(int *)arg, "x", 1, 0) == 1 ? 0 : -EIO;
}

/* A receive is one checkpoint, whether something is there, or it has to be tried and then waits. */
IO_TEST(a_recv_is_one_checkpoint)
{
	struct coop_group g = COOP_GROUP_INIT;
	uint64_t before;
	char c;
	int a, b;

	pair(&a, &b);
	coop_group_open(&g, NULL);
	for (int waits = 0; waits < 3; waits++) {
		if (waits)
			CHECK_INT(coop_spawn(&g, sends_later, &b), ==, 0);
		else
			CHECK_INT(coop_send(b, "x", 1, 0), ==, 1);
		before = coop_test_checkpoints().cancel_half;
		CHECK_INT(coop_recv(a, &c, 1, 0), ==, 1);
		CHECK_INT(coop_test_checkpoints().cancel_half - before, ==, 1);
	}
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	close_both(a, b);
	return 0;
}

/* What is there already is received at once; the end is 0. */
IO_TEST(recv_takes_what_is_there)
{
	char buf[8];
	int a, b;

	tcp_pair(&a, &b);
	CHECK_INT(coop_send(a, "abcdef", 6, 0), ==, 6);
	CHECK_INT(WORLD(shutdown, a, SHUT_WR), ==, 0);
	CHECK_INT(coop_recv(b, buf, 4, 0), ==, 4);
	CHECK_INT(coop_recv(b, buf, 4, 0), ==, 2);
	CHECK_INT(coop_recv(b, buf, 4, 0), ==, 0);
	CHECK_INT(coop_recv(b, buf, 4, 0), ==, 0);
	CHECK_INT(coop_send(b, "still", 5, 0), ==, 5);
	CHECK_INT(coop_recv(a, buf, 8, 0), ==, 5);
	close_both(a, b);
	return 0;
}

/* A deadline ends a receive, and the byte that comes later is still there. */
IO_TEST(a_deadline_ends_a_recv_that_took_nothing)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	char buf[8];
	int a, b;

	pair(&a, &b);
	open_within(&s, MS(5));
	CHECK_INT(coop_recv(a, buf, sizeof buf, 0), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, 0);
	CHECK_INT(coop_send(b, "x", 1, 0), ==, 1);
	CHECK_INT(coop_recv(a, buf, sizeof buf, 0), ==, 1);
	close_both(a, b);
	return 0;
}

/* Under a cancelled scope no call has an effect; a close closes. */
IO_TEST(a_cancelled_task_does_nothing_but_close)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	char buf[8];
	int a, b;

	pair(&a, &b);
	CHECK_INT(coop_send(b, "x", 1, 0), ==, 1);
	coop_scope_open(&s, NULL);
	CHECK_INT(coop_scope_cancel(&s, "enough"), ==, 0);
	CHECK_INT(coop_recv(a, buf, 8, 0), ==, COOP_ECANCELED);
	CHECK_INT(coop_send(a, buf, 8, 0), ==, COOP_ECANCELED);
	CHECK_INT(coop_poll(a, POLLOUT), ==, COOP_ECANCELED);
	CHECK_INT(coop_close(b), ==, 0);
	CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	CHECK_INT(coop_recv(a, buf, 8, 0), ==, 1);
	CHECK_INT(coop_recv(a, buf, 8, 0), ==, 0);
	CHECK_INT(coop_close(a), ==, 0);
	PROVES(rel_E17);
	return 0;
}

/* A cancel that comes while the call is on its way, on a socket in non-blocking mode. */
IO_TEST(a_cancel_before_the_first_look)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct call c = { .bytes = 0 };
	int other;

	pair(&c.fd, &other);
	CHECK_INT(fcntl(c.fd, F_SETFL, fcntl(c.fd, F_GETFL) | O_NONBLOCK), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, do_recv, &c), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
	coop_group_cancel(&g, "enough");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(c.result, ==, COOP_ECANCELED);
	close_both(c.fd, other);
	return 0;
}

/* Two tasks in one direction: the second is refused, and the first goes on. */
IO_TEST(a_second_reader_is_refused)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct call c = { .bytes = 0 };
	char buf[8];
	int other;

	pair(&c.fd, &other);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, do_recv, &c), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
	CHECK_INT(coop_recv(c.fd, buf, sizeof buf, 0), ==, -EBUSY);
	CHECK_INT(coop_poll(c.fd, POLLIN), ==, -EBUSY);
	CHECK_INT(coop_poll(c.fd, POLLOUT), ==, POLLOUT);
	CHECK_INT(coop_send(c.fd, "w", 1, 0), ==, 1);
	CHECK_INT(coop_send(other, "r", 1, 0), ==, 1);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(c.result, ==, 1);
	PROVES(B264);
	close_both(c.fd, other);
	return 0;
}

/* To close a descriptor ends the call that waits on it. */
IO_TEST(close_ends_the_calls_that_wait)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct call r = { .bytes = 0 }, p = { .events = POLLIN }, a = { .bytes = 0 };
	struct sockaddr_in addr;
	int other_r, other_p;

	pair(&r.fd, &other_r);
	pair(&p.fd, &other_p);
	a.fd = listener(&addr);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, do_recv, &r), ==, 0);
	CHECK_INT(coop_spawn(&g, do_poll, &p), ==, 0);
	CHECK_INT(coop_spawn(&g, do_accept, &a), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_close(r.fd), ==, 0);
	CHECK_INT(coop_close(p.fd), ==, 0);
	CHECK_INT(coop_close(a.fd), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(r.result, ==, COOP_ECLOSED);
	CHECK_INT(p.result, ==, COOP_ECLOSED);
	CHECK_INT(a.result, ==, COOP_ECLOSED);
	PROVES(B265);
	close_both(other_r, other_p);
	return 0;
}

struct closer {
	int fd;
	int victim;
	int fresh[2];
};

/* Closes another task's descriptor, and gives the number to a new file that has data. */
static int close_after_event(void *arg)
{
	struct closer *c = arg;
	char buf[8];

	CHECK_INT(coop_recv(c->fd, buf, sizeof buf, 0), ==, 1);
	CHECK_INT(coop_close(c->victim), ==, 0);
	pair(&c->fresh[0], &c->fresh[1]);
	CHECK_INT(c->fresh[0], ==, c->victim);
	CHECK_INT(send_elsewhere(c->fresh[1], "new", 3), ==, 3);
	return 0;
}

/* A task that was woken but has not run yet does not touch what its number stands for now. */
IO_TEST(close_between_the_event_and_the_task)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct call c = { .bytes = 0 };
	struct closer closer = { .fd = -1 };
	char buf[8];
	int other, first;

	pair(&c.fd, &other);
	pair(&closer.fd, &first);
	closer.victim = c.fd;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, close_after_event, &closer), ==, 0);
	CHECK_INT(coop_spawn(&g, do_recv, &c), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	/* both events in one batch, this one first */
	CHECK_INT(send_elsewhere(first, "x", 1), ==, 1);
	CHECK_INT(send_elsewhere(other, "x", 1), ==, 1);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK(c.result == COOP_ECLOSED || c.result == 1);
	CHECK_INT(coop_recv(closer.fresh[0], buf, 8, 0), ==, 3);
	close_both(closer.fresh[0], closer.fresh[1]);
	close_both(closer.fd, first);
	CHECK_INT(coop_close(other), ==, 0);
	PROVES(rel_F03);
	return 0;
}

struct thief {
	struct coop_group *g;
	int fd;
	int victim;
	int stolen;
};

/* Takes what another task was woken for, and cancels that. */
static int steal_and_cancel(void *arg)
{
	struct thief *t = arg;
	char buf[8];

	CHECK_INT(coop_recv(t->fd, buf, sizeof buf, 0), ==, 1);
	t->stolen = recv_elsewhere(t->victim, buf, sizeof buf);
	return coop_group_cancel(t->g, "between");
}

/* A task that was woken for nothing and cancelled before its turn does not wait again. */
IO_TEST(cancel_between_the_event_and_the_task)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct call c = { .bytes = 0 };
	struct thief t = { .g = &g };
	int other, first;

	pair(&c.fd, &other);
	pair(&t.fd, &first);
	t.victim = c.fd;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, steal_and_cancel, &t), ==, 0);
	CHECK_INT(coop_spawn(&g, do_recv, &c), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(send_elsewhere(first, "x", 1), ==, 1); /* both in one batch, this one first */
	CHECK_INT(send_elsewhere(other, "x", 1), ==, 1);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(c.result, ==, t.stolen == 1 ? COOP_ECANCELED : 1);
	close_both(c.fd, other);
	close_both(t.fd, first);
	return 0;
}

/* A number that is used again has nothing of its last file: neither readiness nor events. */
IO_TEST(a_number_used_again_starts_afresh)
{
	int a, b, round;

	for (round = 0; round < 20; round++) {
		struct coop_scope s = COOP_SCOPE_INIT;
		char buf[8];

		if (round % 2)
			pair(&a, &b);
		else
			tcp_pair(&a, &b);
		open_within(&s, MS(1));
		CHECK_INT(coop_recv(a, buf, 8, 0), ==, COOP_ECANCELED);
		CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, 0);
		CHECK_INT(coop_send(b, "x", 1, 0), ==, 1);
		if (round % 3)
			CHECK_INT(coop_recv(a, buf, 8, 0), ==, 1);
		close_both(a, b);
		CHECK_INT(coop_recv(a, buf, 8, 0), ==, -EBADF);
	}
	PROVES(rel_F07);
	return 0;
}

/* Pipes, in blocking and in non-blocking mode: read waits, and the end is 0. */
REAL_IO_TEST(read_waits_on_a_pipe_of_either_mode)
{
	for (int mode = 0; mode < 2; mode++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct call c = { .bytes = 0 };
		int fds[2];

		CHECK_INT(pipe2(fds, O_CLOEXEC | (mode ? O_NONBLOCK : 0)), ==, 0);
		c.fd = fds[0];
		coop_group_open(&g, NULL);
		CHECK_INT(coop_spawn(&g, do_read, &c), ==, 0);
		CHECK_INT(coop_sleep(MS(2)), ==, 0);
		CHECK(!c.over);
		CHECK_INT(coop_write(fds[1], "pipe", 4), ==, 4);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		CHECK_INT(c.result, ==, 4);
		CHECK_INT(coop_close(fds[1]), ==, 0);
		CHECK_INT(coop_read(fds[0], c.buf, 8), ==, 0);
		CHECK_INT(fcntl(fds[0], F_GETFL) & O_NONBLOCK, ==, mode ? O_NONBLOCK : 0);
		CHECK_INT(coop_close(fds[0]), ==, 0);
	}
	return 0;
}

struct bulk {
	int fd;
	size_t left;
	unsigned char next;
	bool socket;
};

static int pour(void *arg)
{
	struct bulk *b = arg;
	unsigned char buf[7001];

	while (b->left) {
		size_t n = b->left < sizeof buf ? b->left : sizeof buf, at = 0;

		for (size_t i = 0; i < n; i++)
			buf[i] = b->next++;
		while (at < n) {
			int r = b->socket ? coop_send(b->fd, buf + at, n - at, 0)
					  : coop_write(b->fd, buf + at, n - at);

			CHECK_INT(r, >, 0);
			at += (size_t)r;
		}
		b->left -= n;
	}
	return coop_close(b->fd);
}

static int drain(void *arg)
{
	struct bulk *b = arg;
	unsigned char buf[5003];
	int r;

	while ((r = coop_read(b->fd, buf, sizeof buf)) > 0) {
		for (int i = 0; i < r; i++)
			CHECK_INT(buf[i], ==, b->next++);
		b->left += (size_t)r;
	}
	CHECK_INT(r, ==, 0);
	return coop_close(b->fd);
}

/* More than any buffer holds goes through sockets and through a pipe whole and in order. */
IO_TEST(bulk_goes_through_whole)
{
	const size_t bytes = TEST_COUNT(3000000, 300000);

	for (int kind = 0; kind < 4; kind++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct bulk in = { .left = bytes, .socket = kind < 2 }, out = { .left = 0 };
		int fds[2];

		if (kind == 0)
			tcp_pair(&fds[0], &fds[1]);
		else if (kind == 1)
			pair(&fds[0], &fds[1]);
		else
			CHECK_INT(WORLD(pipe, fds), ==, 0);
		if (kind == 3) {
			make_blocking(fds[0]);
			make_blocking(fds[1]);
		}
		in.fd = fds[1];
		out.fd = fds[0];
		coop_group_open(&g, NULL);
		CHECK_INT(coop_spawn(&g, drain, &out), ==, 0);
		CHECK_INT(coop_spawn(&g, pour, &in), ==, 0);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		CHECK_INT(out.left, ==, bytes);
	}
	return 0;
}

/* Pieces: empty ones are skipped, at every position. */
IO_TEST(empty_pieces_are_no_end)
{
	const struct iovec huge = { &begin_ns, SIZE_MAX };

	for (int empty = 0; empty < 3; empty++) {
		char x[4], y[4];
		struct iovec out[3] = { { (char[]){ "ab" }, 2 },
					{ (char[]){ "cd" }, 2 },
					{ (char[]){ "ef" }, 2 } };
		struct iovec in[3] = { { x, 2 }, { y, 0 }, { y, 4 } };
		int a, b;

		pair(&a, &b);
		out[empty].iov_len = 0;
		CHECK_INT(coop_writev(a, out, 3), ==, 4);
		CHECK_INT(coop_readv(b, in, 3), ==, 4);
		close_both(a, b);
	}
	CHECK_INT(coop_writev(1, NULL, 1), ==, -EINVAL);
	CHECK_INT(coop_writev(1, &huge, 1), ==, -EINVAL);
	CHECK_INT(coop_readv(0, NULL, -1), ==, -EINVAL);
	return 0;
}

static int reads_none(void *fd)
{
	struct iovec none[2] = { { NULL, 0 }, { NULL, 0 } };
	char c;

	CHECK_INT(coop_read((int)(intptr_t)fd, &c, 0), ==, 0);
	return coop_readv((int)(intptr_t)fd, none, 2);
}

static int reads_one(void *fd)
{
	char c;

	return coop_read((int)(intptr_t)fd, &c, 1);
}

static void *word_of(int fd)
{
	return (void *)(intptr_t)fd;
}

/* A read of no bytes: at once, whether or not something is there, and it takes nothing away. */
static void check_reads_of_none(int to, int from)
{
	CHECK_INT(coop_fail_after(MS(50), reads_none, word_of(from)), ==, 0);
	CHECK_INT(coop_fail_after(MS(5), reads_one, word_of(from)), ==, COOP_ETIMEDOUT);
	CHECK_INT(coop_fail_after(MS(50), reads_none, word_of(from)), ==, 0);
	CHECK_INT(coop_write(to, "x", 1), ==, 1);
	CHECK_INT(coop_fail_after(MS(50), reads_none, word_of(from)), ==, 0);
	CHECK_INT(coop_fail_after(MS(50), reads_one, word_of(from)), ==, 1);
	close_both(to, from);
}

IO_TEST(reads_of_no_bytes)
{
	int a, b, fds[2];

	pair(&a, &b);
	check_reads_of_none(a, b);
	new_pipe(fds);
	check_reads_of_none(fds[1], fds[0]);
	return 0;
}

REAL_IO_TEST(reads_of_no_bytes_leave_datagrams)
{
	int fds[2];

	CHECK_INT(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), ==, 0);
	check_reads_of_none(fds[1], fds[0]);
	return 0;
}

/* A connection: accept waits, connect waits, and a refused one says so. */
IO_TEST(accept_and_connect)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct call c = { .bytes = 0 };
	struct sockaddr_in addr, peer;
	socklen_t len = sizeof peer;
	char buf[8];
	int s;

	c.fd = listener(&addr);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, do_accept, &c), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK(!c.over);
	s = new_socket(AF_INET, SOCK_STREAM);
	CHECK_INT(coop_connect(s, (struct sockaddr *)&addr, sizeof addr), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(c.result, >=, 0);
	CHECK_INT(fcntl(c.result, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
	CHECK_INT(coop_send(s, "hi", 2, 0), ==, 2);
	CHECK_INT(coop_recv(c.result, buf, 8, 0), ==, 2);
	close_both(s, c.result);

	s = new_socket(AF_INET, SOCK_STREAM);
	CHECK_INT(coop_connect(s, (struct sockaddr *)&addr, sizeof addr), ==, 0);
	c.result = coop_accept(c.fd, (struct sockaddr *)&peer, &len);
	CHECK_INT(c.result, >=, 0);
	CHECK_INT(len, ==, sizeof peer);
	CHECK_INT(peer.sin_family, ==, AF_INET);
	close_both(s, c.result);
	CHECK_INT(coop_close(c.fd), ==, 0);

	s = new_socket(AF_INET, SOCK_STREAM);
	CHECK_INT(coop_connect(s, (struct sockaddr *)&addr, sizeof addr), ==, -ECONNREFUSED);
	CHECK_INT(coop_close(s), ==, 0);
	return 0;
}

/* Datagrams keep their boundaries, and DONTWAIT does not wait. */
IO_TEST(datagrams)
{
	struct iovec iov;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	char buf[8];
	int fds[2];

	pair_of(SOCK_DGRAM, &fds[0], &fds[1]);
	CHECK_INT(coop_recv(fds[0], buf, 8, MSG_DONTWAIT), ==, -EAGAIN);
	CHECK_INT(coop_send(fds[1], "one", 3, 0), ==, 3);
	CHECK_INT(coop_send(fds[1], "seven77", 7, 0), ==, 7);
	CHECK_INT(coop_recv(fds[0], buf, 8, 0), ==, 3);
	iov = (struct iovec){ buf, 4 };
	CHECK_INT(coop_recvmsg(fds[0], &msg, 0), ==, 4);
	CHECK(msg.msg_flags & MSG_TRUNC);
	iov = (struct iovec){ (char[]){ "msg" }, 3 };
	CHECK_INT(coop_sendmsg(fds[1], &msg, 0), ==, 3);
	CHECK_INT(coop_read(fds[0], buf, 8), ==, 3);
	close_both(fds[0], fds[1]);
	return 0;
}

/* What poll says, and that it looks at the file as it is now. */
IO_TEST(poll_tells_what_is_there)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	char buf[4];
	int a, b;

	pair(&a, &b);
	CHECK_INT(coop_poll(a, POLLIN | POLLOUT), ==, POLLOUT);
	CHECK_INT(send_elsewhere(b, "xy", 2), ==, 2);
	CHECK_INT(coop_poll(a, POLLIN), ==, POLLIN);
	CHECK_INT(recv_elsewhere(a, buf, 1), ==, 1);
	CHECK_INT(coop_poll(a, POLLIN), ==, POLLIN);
	CHECK_INT(recv_elsewhere(a, buf, 1), ==, 1);
	open_within(&s, MS(2));
	CHECK_INT(coop_poll(a, POLLIN), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, 0);
	CHECK_INT(coop_close(b), ==, 0);
	CHECK(coop_poll(a, POLLIN | POLLRDHUP) & (POLLHUP | POLLRDHUP));
	CHECK_INT(coop_poll(a, 0), ==, -EINVAL);
	CHECK_INT(coop_close(a), ==, 0);
	CHECK_INT(coop_poll(a, POLLIN), ==, -EBADF);
	CHECK_INT(coop_poll(-1, POLLIN), ==, -EBADF);
	return 0;
}

/* Regular files: reads and writes at the position and at an offset, sync, and poll says ready. */
IO_TEST(files)
{
	char name[] = "/tmp/coop-test-XXXXXX", buf[16];
	int fd = mkstemp(name);

	CHECK_INT(fd, >=, 0);
	CHECK_INT(unlink(name), ==, 0);
	CHECK_INT(coop_write(fd, "0123456789", 10), ==, 10);
	CHECK_INT(coop_pwrite(fd, "AB", 2, 4), ==, 2);
	CHECK_INT(coop_pread(fd, buf, 6, 2), ==, 6);
	CHECK(memcmp(buf, "23AB67", 6) == 0);
	CHECK_INT(coop_read(fd, buf, 4), ==, 0);
	CHECK_INT(lseek(fd, 0, SEEK_SET), ==, 0);
	CHECK_INT(coop_read(fd, buf, 4), ==, 4);
	CHECK_INT(coop_read(fd, buf, 16), ==, 6);
	CHECK_INT(coop_fsync(fd), ==, 0);
	CHECK_INT(coop_fdatasync(fd), ==, 0);
	CHECK_INT(coop_poll(fd, POLLIN), ==, POLLIN);
	CHECK_INT(coop_pread(fd, buf, 4, -1), ==, -EINVAL);
	CHECK_INT(coop_recv(fd, buf, 4, 0), ==, -ENOTSOCK);
	CHECK_INT(coop_close(fd), ==, 0);
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK_INT(coop_write(fd, "x", 1), ==, 1);
	CHECK_INT(coop_read(fd, buf, 1), ==, 0);
	CHECK_INT(coop_close(fd), ==, 0);
	return 0;
}

/* Splice: from a socket through a pipe into a file, and an empty one waits. */
IO_TEST(splice_moves_without_copying)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	char buf[8];
	int a, b, p[2];

	tcp_pair(&a, &b);
	new_pipe(p);
	open_within(&s, MS(2));
	CHECK_INT(coop_splice(a, p[1], 100, 0), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, 0);
	CHECK_INT(coop_send(b, "spliced", 7, 0), ==, 7);
	CHECK_INT(coop_splice(a, p[1], 100, 0), ==, 7);
	CHECK_INT(coop_splice(p[0], b, 100, 0), ==, 7);
	CHECK_INT(coop_recv(a, buf, 8, 0), ==, 7);
	CHECK(memcmp(buf, "spliced", 7) == 0);
	close_both(a, b);
	close_both(p[0], p[1]);
	return 0;
}

/* A reset wakes a reader with the error, once. */
IO_TEST(a_reset_is_an_error_and_no_spin)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct linger hard = { .l_onoff = 1 };
	struct call c = { .bytes = 0 };
	struct coop_run_stats before, after;
	int other;

	tcp_pair(&c.fd, &other);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, do_recv, &c), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(WORLD(setsockopt, other, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), ==, 0);
	CHECK_INT(coop_close(other), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(c.result, ==, -ECONNRESET);
	CHECK_INT(coop_run_stats(&before), ==, 0);
	CHECK_INT(coop_sleep(MS(20)), ==, 0);
	CHECK_INT(coop_run_stats(&after), ==, 0);
	CHECK_INT(after.turns - before.turns, <=, 4);
	CHECK_INT(coop_send(c.fd, "x", 1, 0), ==, -EPIPE);
	CHECK_INT(coop_close(c.fd), ==, 0);
	PROVES(rel_F01);
	return 0;
}

/* ---- a connect to nobody: AF_UNSPEC */

static int connect_to_nobody(int fd)
{
	const struct sockaddr_in nobody = { .sin_family = AF_UNSPEC };

	return coop_connect(fd, (const struct sockaddr *)&nobody, sizeof nobody);
}

/* Datagrams: the socket has no peer any more. */
IO_TEST(datagrams_connected_to_nobody)
{
	int udp = new_socket(AF_INET, SOCK_DGRAM), a, b;
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(9) };

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK_INT(connect_to_nobody(udp), ==, 0);
	CHECK_INT(coop_connect(udp, (struct sockaddr *)&addr, sizeof addr), ==, 0);
	CHECK_INT(connect_to_nobody(udp), ==, 0);
	CHECK_INT(coop_send(udp, "x", 1, 0), ==, -EDESTADDRREQ);
	CHECK_INT(coop_close(udp), ==, 0);
	pair_of(SOCK_DGRAM, &a, &b);
	CHECK_INT(coop_send(a, "x", 1, 0), ==, 1);
	CHECK_INT(connect_to_nobody(a), ==, 0);
	CHECK_INT(coop_send(a, "x", 1, 0), ==, -ENOTCONN);
	close_both(a, b);
	return 0;
}

/* Streams: TCP breaks the connection off, or had none; a listener listens no more. */
IO_TEST(streams_connected_to_nobody)
{
	int fd = new_socket(AF_INET, SOCK_STREAM), a, b, l;
	struct sockaddr_in addr;
	char byte;

	l = listener(&addr);
	CHECK_INT(connect_to_nobody(fd), ==, 0);
	CHECK_INT(coop_connect(fd, (struct sockaddr *)&addr, sizeof addr), ==, 0);
	b = coop_accept(l, NULL, NULL);
	CHECK_INT(b, >=, 0);
	CHECK_INT(connect_to_nobody(fd), ==, 0);
	CHECK_INT(coop_recv(b, &byte, 1, 0), ==, -ECONNRESET);
	CHECK_INT(connect_to_nobody(l), ==, 0);
	CHECK_INT(coop_accept(l, NULL, NULL), ==, -EINVAL);
	close_both(fd, b);
	CHECK_INT(coop_close(l), ==, 0);
	pair(&a, &b);
	CHECK_INT(connect_to_nobody(a), ==, -EINVAL);
	CHECK_INT(coop_send(a, "x", 1, 0), ==, 1);
	close_both(a, b);
	return 0;
}

/* Descriptor 0 is one like all others. */
IO_TEST(descriptor_zero)
{
	int a, b, kept = dup(0);
	char buf[4];

	CHECK_INT(kept, >=, 0);
	CHECK_INT(close(0), ==, 0);
	pair(&a, &b);
	CHECK_INT(a, ==, 0);
	CHECK_INT(coop_send(a, "z", 1, 0), ==, 1);
	CHECK_INT(coop_recv(b, buf, 4, 0), ==, 1);
	CHECK_INT(coop_send(b, "z", 1, 0), ==, 1);
	CHECK_INT(coop_recv(a, buf, 4, 0), ==, 1);
	close_both(a, b);
	CHECK_INT(dup2(kept, 0), ==, 0);
	close(kept);
	PROVES(rel_F04);
	return 0;
}

/* Forget: the calls are ended, and the descriptor is open still. */
IO_TEST(forget_leaves_it_open)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct call c = { .bytes = 0 };
	int other;

	pair(&c.fd, &other);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, do_recv, &c), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_forget(c.fd), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(c.result, ==, COOP_ECLOSED);
	CHECK_INT(coop_send(c.fd, "x", 1, 0), ==, 1);
	CHECK_INT(coop_close(other), ==, 0);
	CHECK_INT(coop_forget(c.fd), ==, 0);
	close_now(c.fd);
	CHECK_INT(coop_forget(-1), ==, 0);
	CHECK_INT(coop_close(-1), ==, -EBADF);
	return 0;
}

/* Outside of tasks there are no such calls. */
TEST(outside_of_tasks)
{
	char buf[1];

	CHECK_INT(coop_read(0, buf, 1), ==, COOP_ENOTASK);
	CHECK_INT(coop_close(0), ==, COOP_ENOTASK);
}
