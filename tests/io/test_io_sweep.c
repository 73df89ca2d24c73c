/* SPDX-License-Identifier: MIT */
/*
 * A program that makes every call of io.h, some of which have to wait, on each engine: cancelled at
 * each of its checkpoints in turn, with each of its allocations and system calls failing, and in
 * other orders.
 *
 * Whatever happens, what was sent is what was received and what is still in the buffers: a call
 * that was cancelled has had no effect, and one that has had an effect was not cancelled. And
 * every descriptor is closed.
 */
#include "io_help.h"

#include "base/os.h"


static bool real;            /* the system's descriptors, and not simulated ones */
static const char *violated; /* what was wrong */
static int cut_off;

static void wrong(const char *what)
{
	if (!violated)
		violated = what;
}

/* Closes it, once. */
static void close_it(int *fd)
{
	if (*fd >= 0)
		CHECK_INT(coop_close(*fd), ==, 0);
	*fd = -1;
}

/* ---- one writes, another reads, in all the ways there are */

struct link {
	int in, out; /* of the reader, of the writer */
	int sent, received;
	bool sockets;
};

static int read_once(struct link *l, int turn, char *buf)
{
	struct iovec iov = { buf, 3 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	switch (turn % (l->sockets ? 5 : 3)) {
	case 0: return coop_read(l->in, buf, 3);
	case 1: return coop_readv(l->in, &iov, 1);
	case 2: {
		int r = coop_poll(l->in, POLLIN);

		return r < 0 ? r : coop_read(l->in, buf, 3);
	}
	case 3: return coop_recv(l->in, buf, 3, 0);
	default: return coop_recvmsg(l->in, &msg, 0);
	}
}

/* A read that is cut off at the moment when something comes, or shortly before. */
static int read_within(struct link *l, int turn, char *buf)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&s, NULL);
	CHECK_INT(coop_scope_set_deadline(&s, coop_now() + MS(1) - turn % 3), ==, 0);
	r = read_once(l, turn, buf);
	if (r > 0)
		l->received += r;
	r = coop_scope_close(&s, r);
	if (coop_scope_caught(&s))
		cut_off++;
	return coop_scope_caught(&s) ? 1 : r;
}

static int reads(void *arg)
{
	struct link *l = arg;
	char buf[4];
	int r = 1;

	for (int turn = 0; r > 0; turn++)
		r = read_within(l, turn, buf);
	return r;
}

static int write_once(struct link *l, int turn)
{
	struct iovec iov = { (char *)(uintptr_t) "word", 4 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	switch (turn % (l->sockets ? 4 : 2)) {
	case 0: return coop_write(l->out, "word", 4);
	case 1: return coop_writev(l->out, &iov, 1);
	case 2: return coop_send(l->out, "word", 4, 0);
	default: return coop_sendmsg(l->out, &msg, 0);
	}
}

static int writes(void *arg)
{
	struct link *l = arg;
	int r = 0;

	for (int turn = 0; r >= 0 && turn < 6; turn++) {
		r = write_once(l, turn);
		if (r > 0)
			l->sent += r;
		if (r >= 0)
			r = coop_sleep(MS(1));
	}
	close_it(&l->out); /* the reader's end */
	return r < 0 ? r : 0;
}

/* What nobody has received must still be there. */
static int drain(void *arg)
{
	struct link *l = arg;
	char buf[64];
	int r;

	while ((r = coop_read(l->in, buf, sizeof buf)) > 0)
		l->received += r;
	return r;
}

static int link_of(struct link *l)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	coop_group_open(&g, NULL);
	r = coop_spawn(&g, reads, l);
	if (r >= 0) {
		r = coop_spawn(&g, writes, l);
		if (r < 0)
			close_it(&l->out);
	} else {
		close_it(&l->out);
	}
	r = coop_group_join(&g, r);
	/* A task that was cancelled before it began has not closed its end. */
	close_it(&l->out);
	if (coop_shield(drain, l) == 0 && l->sent != l->received)
		wrong("what was sent is not what was received");
	close_it(&l->in);
	return r;
}

static int by_sockets(void *arg)
{
	struct link l = { .sockets = true };
	int fds[2], r;

	(void)arg;
	r = WORLD(socketpair, AF_UNIX, SOCK_STREAM, 0, fds);
	l.in = fds[0];
	l.out = fds[1];
	return r < 0 ? r : link_of(&l);
}

static int by_pipe(void *arg)
{
	struct link l = { .sockets = false };
	int fds[2], r;

	(void)arg;
	r = WORLD(pipe, fds);
	l.in = fds[0];
	l.out = fds[1];
	return r < 0 ? r : link_of(&l);
}

/* ---- connecting */

/* They wait, or are over, before anybody closes what they wait at: its number may be another's. */
static const struct coop_spawn_opts eager = { .eager = true };

struct meeting {
	struct sockaddr_in addr;
	int listener;
};

static int accepts(void *arg)
{
	struct meeting *m = arg;
	struct sockaddr_in from;
	socklen_t len = sizeof from;
	char byte;
	int r, fd;

	fd = coop_accept(m->listener, (struct sockaddr *)&from, &len);
	if (fd < 0)
		return fd == COOP_ECLOSED ? 0 : fd;
	r = coop_recv(fd, &byte, 1, 0);
	CHECK_INT(coop_close(fd), ==, 0);
	return r == -ECONNRESET || r > 0 ? 0 : r;
}

static int connects(void *arg)
{
	struct meeting *m = arg;
	int fd, r;

	r = coop_sleep(MS(1)); /* the other one waits by then */
	fd = r < 0 ? r : WORLD(socket, AF_INET, SOCK_STREAM, 0);
	if (fd >= 0) {
		r = coop_connect(fd, (struct sockaddr *)&m->addr, sizeof m->addr);
		if (r >= 0)
			r = coop_send(fd, "x", 1, 0);
		CHECK_INT(coop_close(fd), ==, 0);
	}
	/* Who waits at it has nothing to wait for any more. */
	if (r < 0)
		close_it(&m->listener);
	return fd < 0 ? fd : r < 0 ? r : 0;
}

static int listen_at(struct meeting *m)
{
	socklen_t len = sizeof m->addr;
	int r;

	m->addr.sin_family = AF_INET;
	m->addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	r = WORLD(bind, m->listener, (struct sockaddr *)&m->addr, len);
	if (r >= 0)
		r = WORLD(listen, m->listener, 8);
	if (r >= 0)
		r = WORLD(getsockname, m->listener, (struct sockaddr *)&m->addr, &len);
	return r;
}

static int by_listener(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct meeting m = { .addr = { 0 } };
	int r;

	(void)arg;
	m.listener = r = WORLD(socket, AF_INET, SOCK_STREAM, 0);
	if (r < 0)
		return r;
	r = listen_at(&m);
	coop_group_open(&g, NULL);
	if (r >= 0)
		r = coop_spawn_with(&g, accepts, &m, &eager, NULL);
	if (r >= 0) {
		r = coop_spawn_with(&g, connects, &m, &(struct coop_spawn_opts){ .eager = true },
				    NULL);
		if (r < 0)
			close_it(&m.listener);
	}
	r = coop_group_join(&g, r);
	close_it(&m.listener);
	return r;
}

/* ---- closing what somebody waits on */

static int waits_to_read(void *arg)
{
	const int *fd = arg;
	char byte;
	int r;

	r = coop_read(*fd, &byte, 1);
	/* 0: its peer's end, which is closed first, came before its own. */
	if (r > 0)
		wrong("a read of what was closed meanwhile");
	return r == COOP_ECLOSED ? 0 : r;
}

static int waits_for_both(void *arg)
{
	const int *fd = arg;
	int r;

	r = coop_poll(*fd, POLLIN);
	return r == COOP_ECLOSED ? 0 : r;
}

static int close_under(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int fds[2], r;

	(void)arg;
	r = WORLD(socketpair, AF_UNIX, SOCK_STREAM, 0, fds);
	if (r < 0)
		return r;
	coop_group_open(&g, NULL);
	r = coop_spawn_with(&g, waits_to_read, &fds[0], &eager, NULL);
	if (r >= 0)
		r = coop_spawn_with(&g, waits_for_both, &fds[1], &eager, NULL);
	if (r >= 0)
		r = coop_sleep(MS(1));
	CHECK_INT(coop_forget(fds[1]), ==, 0);
	CHECK_INT(coop_close(fds[1]), ==, 0);
	CHECK_INT(coop_close(fds[0]), ==, 0);
	return coop_group_join(&g, r);
}

/* ---- moving, and files */

static int splices(void *arg)
{
	int from[2], to[2], r, moved;
	char buf[8];

	(void)arg;
	CHECK_INT(pipe2(from, O_CLOEXEC), ==, 0);
	CHECK_INT(pipe2(to, O_CLOEXEC), ==, 0);
	r = coop_write(from[1], "splice", 6);
	moved = r == 6 ? coop_splice(from[0], to[1], 6, 0) : 0;
	CHECK_INT(fcntl(to[0], F_SETFL, O_NONBLOCK), ==, 0);
	if (read(to[0], buf, sizeof buf) != (moved > 0 ? moved : -1))
		wrong("what was spliced is not what is there");
	close_both(from[0], from[1]);
	close_both(to[0], to[1]);
	return r < 0 ? r : moved < 0 ? moved : 0;
}

static int in_file(int fd)
{
	char buf[8];
	int r;

	r = coop_pwrite(fd, "content", 7, 0);
	if (r >= 0)
		r = coop_fdatasync(fd);
	if (r >= 0)
		r = coop_pread(fd, buf, 7, 0);
	if (r >= 0)
		r = coop_write(fd, "C", 1);
	if (r >= 0)
		r = coop_fsync(fd);
	if (r >= 0)
		r = coop_read(fd, buf, 6);
	if (r >= 0 && memcmp(buf, "ontent", 6) != 0)
		wrong("what the file holds");
	return r < 0 ? r : 0;
}

static int a_file(void *arg)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), r;

	(void)arg;
	CHECK_INT(fd, >=, 0);
	r = in_file(fd);
	CHECK_INT(coop_close(fd), ==, 0);
	return r;
}

/* ---- all of it */

static int program(void *arg)
{
	static coop_fn *const parts[] = { by_sockets,  by_pipe, by_listener,
					  close_under, splices, a_file };
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	(void)arg;
	coop_group_open(&g, NULL);
	for (int i = 0; r >= 0 && i < (real ? 6 : 4); i++)
		r = coop_spawn(&g, parts[i], NULL);
	return coop_group_join(&g, r);
}

static int fds_before;

static const char *in_order(int rc, uint64_t n, void *ctx)
{
	static char text[80];
	const int *allowed = ctx;

	if (violated)
		return violated;
	if (fds_open() != fds_before) {
		snprintf(text, sizeof text, "%d descriptors, before %d", fds_open(), fds_before);
		return text;
	}
	for (; *allowed != 1; allowed++)
		if (rc == *allowed && (n || rc == 0))
			return NULL;
	snprintf(text, sizeof text, "result %d", rc);
	return text;
}

static struct coop_run_opts on(enum coop_engine engine)
{
	struct coop_run_opts opts = { .engine = engine, .clock = COOP_CLOCK_VIRTUAL };
	int r;

	unsetenv("COOP_IO"); /* it would have the last word */
	real = engine != COOP_ENGINE_SIM;
	r = coop_run(program, NULL, &opts);
	if (r == -ENOTSUP)
		SKIP("this machine has no such engine");
	CHECK_INT(r, ==, 0);
	CHECK_STR(violated, NULL);
	CHECK_INT(cut_off, >, 5);
	fds_before = fds_open();
	return opts;
}

static void cancel_everywhere(enum coop_engine engine)
{
	static const int allowed[] = { 0, COOP_ECANCELED, 1 };
	struct coop_run_opts opts = on(engine);
	struct coop_sweep sweep = { 0 };

	TEST_SECONDS(60);
	for (opts.seed = 0; opts.seed <= (uint64_t)TEST_COUNT(4, 1); opts.seed++) {
		if (coop_sweep_cancel(program, NULL, &opts, in_order, (void *)(uintptr_t)allowed,
				      &sweep) < 0)
			FAIL("seed %d, checkpoint %d of the run: %s", (int)opts.seed,
			     (int)sweep.failed_at, sweep.why);
		CHECK_INT(sweep.injected, >, 40);
	}
}

static void fail_everywhere(enum coop_engine engine)
{
	static const int allowed[] = { 0, -ENOMEM, -ENOTSUP, 1 }; /* no memory for the ring */
	struct coop_run_opts opts = on(engine);
	struct coop_sweep sweep = { 0 };

	keep_records(COOP_LOG_ERROR);
	for (int for_ever = 0; for_ever < 2; for_ever++) {
		if (coop_sweep_alloc(program, NULL, &opts, for_ever, in_order,
				     (void *)(uintptr_t)allowed, &sweep) < 0)
			FAIL("allocation %d: %s", (int)sweep.failed_at, sweep.why);
		CHECK_INT(sweep.injected, >, 5);
	}
}

/*
 * The nth system call of a run fails, and the ring's requests are among them; which calls may be
 * told of such an error is theirs to know (tests/io/test_faults.c), nothing is lost or left by any.
 */
static void fail_each_call(enum coop_engine engine, int error)
{
	/*
	 * Who gave up has closed its end: the other one may be the first to say so. There is no
	 * stack without its guard.
	 */
	const int allowed[] = { 0, -error, -EPIPE, -ECONNRESET, -ENOTSUP, -ENOMEM, 1 };
	struct coop_run_opts opts = on(engine);
	bool hit = true;
	uint64_t n;

	TEST_SECONDS(60);
	keep_records(COOP_LOG_ERROR);
	for (n = 1; hit; n++) {
		const char *why;
		int r;

		violated = NULL;
		cp_os_faults.call_errno = error;
		cp_os_faults.call_failed = 0;
		cp_os_faults.call_fail_at = cp_os_faults.call_calls + n;
		r = coop_run(program, NULL, &opts);
		hit = cp_os_faults.call_failed;
		cp_os_faults.call_fail_at = 0;
		coop_error_clear();
		why = in_order(r, hit ? n : 0, (void *)(uintptr_t)allowed);
		if (why)
			FAIL("system call %d fails by %d: %s", (int)n, error, why);
	}
	CHECK_INT(n, >, engine == COOP_ENGINE_SIM ? 10 : 60);
}

/* Whichever task is cancelled at whichever checkpoint, in several orders. */
TEST(cancelled_at_every_checkpoint_epoll)
{
	cancel_everywhere(COOP_ENGINE_EPOLL);
}

TEST(cancelled_at_every_checkpoint_uring)
{
	cancel_everywhere(COOP_ENGINE_URING);
}

TEST(cancelled_at_every_checkpoint_sim)
{
	cancel_everywhere(COOP_ENGINE_SIM);
}

/* Whichever allocation fails, alone or with all that follow. */
TEST(with_every_allocation_failing_epoll)
{
	fail_everywhere(COOP_ENGINE_EPOLL);
}

TEST(with_every_allocation_failing_uring)
{
	fail_everywhere(COOP_ENGINE_URING);
}

TEST(with_every_allocation_failing_sim)
{
	fail_everywhere(COOP_ENGINE_SIM);
}

/* Whichever system call is interrupted, or request of the ring. */
TEST(with_every_call_interrupted_epoll)
{
	fail_each_call(COOP_ENGINE_EPOLL, EINTR);
}

TEST(with_every_call_interrupted_uring)
{
	fail_each_call(COOP_ENGINE_URING, EINTR);
}

TEST(with_every_call_interrupted_sim)
{
	fail_each_call(COOP_ENGINE_SIM, EINTR);
}

/* Whichever has no memory for it, which the wait of epoll never says. */
TEST(with_every_call_failing_uring)
{
	fail_each_call(COOP_ENGINE_URING, ENOMEM);
}
