/* SPDX-License-Identifier: MIT */
/*
 * Every call of io.h with each of its system calls failing, by each of the errors that may come.
 *
 * A case is a call and the descriptors for it. It is made with its nth system call refused, for
 * n = 1, 2, ... until it makes fewer: it must end as if nothing had happened, or by that error.
 * Then the same call is made again, on the same descriptors, and must do what it is for: the
 * refused one has had no effect, and has left nothing in the way. In the end the descriptors and
 * coop's memory are as many as before.
 *
 * Three ways: when what it is for is there; when it has to wait, with refusals until it waits; and
 * with interruptions (EINTR) all along, which nobody may notice.
 */
#include "io_help.h"

#include "base/os.h"

#include <coop/thread.h>
#include <sched.h>

#define FDS 4
#define TEXT "text"
#define BYTES 4

struct place {
	int fd[FDS]; /* -1: none */
	int made;    /* what an accept gave */
	struct sockaddr_in addr;
	int result;
	const struct io_case *c;
};

struct io_case {
	const char *name;
	void (*open)(struct place *p);
	void (*block)(struct place *p); /* so that the call has to wait; NULL: it never waits */
	void (*fill)(struct place *p);  /* so that it need not, again and again */
	int (*call)(struct place *p);
	int good;
};

/* ---- descriptors of all kinds */

static void open_sockets(struct place *p)
{
	pair(&p->fd[0], &p->fd[1]);
}

static void open_pipes(struct place *p)
{
	CHECK_INT(pipe2(p->fd, O_CLOEXEC), ==, 0);
	CHECK_INT(pipe2(p->fd + 2, O_CLOEXEC), ==, 0);
}

static void open_file(struct place *p)
{
	p->fd[0] = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	CHECK_INT(p->fd[0], >=, 0);
}

static void open_listener(struct place *p)
{
	p->fd[0] = listener(&p->addr);
}

static void nothing(struct place *p)
{
	(void)p;
}

static void drain(int fd)
{
	char buf[4096];
	struct pollfd poll_in = { .fd = fd, .events = POLLIN };

	while (poll(&poll_in, 1, 0) == 1)
		CHECK_INT(read(fd, buf, sizeof buf), >, 0);
}

/* Fills what `fd` writes to, for good: small pieces find room where large ones do not. */
static void stuff(int fd)
{
	static const char zeros[4096];
	int flags = fcntl(fd, F_GETFL);

	CHECK_INT(fcntl(fd, F_SETFL, flags | O_NONBLOCK), ==, 0);
	for (size_t piece = sizeof zeros; piece; piece /= 2)
		while (write(fd, zeros, piece) > 0)
			;
	CHECK_INT(fcntl(fd, F_SETFL, flags), ==, 0);
}

static void fill_read_end(struct place *p)
{
	drain(p->fd[0]);
	CHECK_INT(write(p->fd[1], TEXT, BYTES), ==, BYTES);
}

static void fill_file(struct place *p)
{
	CHECK_INT(pwrite(p->fd[0], TEXT, BYTES, 0), ==, BYTES);
	CHECK_INT(lseek(p->fd[0], 0, SEEK_SET), ==, 0);
}

static void stuff_peer(struct place *p)
{
	stuff(p->fd[0]);
}

static void drain_peer(struct place *p)
{
	drain(p->fd[1]);
}

static void stuff_pipe(struct place *p)
{
	stuff(p->fd[1]);
}

static void drain_pipe(struct place *p)
{
	drain(p->fd[0]);
}

static void fill_listener(struct place *p)
{
	if (p->fd[1] >= 0)
		close(p->fd[1]);
	p->fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_INT(connect(p->fd[1], (struct sockaddr *)&p->addr, sizeof p->addr), ==, 0);
}

/* A socket that has not been connected yet. */
static void fresh_socket(struct place *p)
{
	if (p->fd[1] >= 0)
		CHECK_INT(coop_close(p->fd[1]), ==, 0);
	p->fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_INT(p->fd[1], >=, 0);
}

static void fill_splice(struct place *p)
{
	drain(p->fd[2]);
	fill_read_end(p);
}

/* ---- the calls */

static char got[BYTES];
static const struct iovec got_pieces[] = { { got, 1 }, { got + 1, BYTES - 1 } };
static const struct iovec text_pieces[] = { { (char *)(uintptr_t)TEXT, 1 },
					    { (char *)(uintptr_t)TEXT, BYTES - 1 } };

static int call_read(struct place *p)
{
	return coop_read(p->fd[0], got, BYTES);
}

static int call_readv(struct place *p)
{
	return coop_readv(p->fd[0], got_pieces, 2);
}

static int call_pread(struct place *p)
{
	return coop_pread(p->fd[0], got, BYTES, 0);
}

static int call_recv(struct place *p)
{
	return coop_recv(p->fd[0], got, BYTES, 0);
}

static int call_recvmsg(struct place *p)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)got_pieces, .msg_iovlen = 2 };

	return coop_recvmsg(p->fd[0], &msg, 0);
}

static int call_write(struct place *p)
{
	return coop_write(p->fd[0], TEXT, BYTES);
}

static int call_write_pipe(struct place *p)
{
	return coop_write(p->fd[1], TEXT, BYTES);
}

static int call_writev(struct place *p)
{
	return coop_writev(p->fd[0], text_pieces, 2);
}

static int call_pwrite(struct place *p)
{
	return coop_pwrite(p->fd[0], TEXT, BYTES, 0);
}

static int call_send(struct place *p)
{
	return coop_send(p->fd[0], TEXT, BYTES, 0);
}

static int call_sendmsg(struct place *p)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)text_pieces, .msg_iovlen = 2 };

	return coop_sendmsg(p->fd[0], &msg, 0);
}

static int call_accept(struct place *p)
{
	struct sockaddr_in addr;
	socklen_t len = sizeof addr;
	int r;

	r = coop_accept(p->fd[0], (struct sockaddr *)&addr, &len);
	if (r < 0)
		return r;
	if (p->made >= 0)
		close(p->made);
	p->made = r;
	return 0;
}

static int call_connect(struct place *p)
{
	return coop_connect(p->fd[1], (struct sockaddr *)&p->addr, sizeof p->addr);
}

static int call_poll(struct place *p)
{
	return coop_poll(p->fd[0], POLLIN);
}

static int call_fsync(struct place *p)
{
	return coop_fsync(p->fd[0]);
}

static int call_fdatasync(struct place *p)
{
	return coop_fdatasync(p->fd[0]);
}

static int call_splice(struct place *p)
{
	return coop_splice(p->fd[0], p->fd[3], BYTES, 0);
}

static const struct io_case cases[] = {
	{ "read of a pipe", open_pipes, nothing, fill_read_end, call_read, BYTES },
	{ "read of a socket", open_sockets, nothing, fill_read_end, call_read, BYTES },
	{ "read of a file", open_file, NULL, fill_file, call_read, BYTES },
	{ "readv of a pipe", open_pipes, nothing, fill_read_end, call_readv, BYTES },
	{ "readv of a socket", open_sockets, nothing, fill_read_end, call_readv, BYTES },
	{ "readv of a file", open_file, NULL, fill_file, call_readv, BYTES },
	{ "pread", open_file, NULL, fill_file, call_pread, BYTES },
	{ "recv", open_sockets, nothing, fill_read_end, call_recv, BYTES },
	{ "recvmsg", open_sockets, nothing, fill_read_end, call_recvmsg, BYTES },
	{ "write to a pipe", open_pipes, stuff_pipe, drain_pipe, call_write_pipe, BYTES },
	{ "write to a socket", open_sockets, stuff_peer, drain_peer, call_write, BYTES },
	{ "write to a file", open_file, NULL, fill_file, call_write, BYTES },
	{ "writev to a socket", open_sockets, stuff_peer, drain_peer, call_writev, BYTES },
	{ "writev to a file", open_file, NULL, fill_file, call_writev, BYTES },
	{ "pwrite", open_file, NULL, fill_file, call_pwrite, BYTES },
	{ "send", open_sockets, stuff_peer, drain_peer, call_send, BYTES },
	{ "sendmsg", open_sockets, stuff_peer, drain_peer, call_sendmsg, BYTES },
	{ "accept", open_listener, nothing, fill_listener, call_accept, 0 },
	{ "connect", open_listener, NULL, fresh_socket, call_connect, 0 },
	{ "poll of a pipe", open_pipes, nothing, fill_read_end, call_poll, POLLIN },
	{ "poll of a socket", open_sockets, nothing, fill_read_end, call_poll, POLLIN },
	{ "poll of a file", open_file, NULL, fill_file, call_poll, POLLIN },
	{ "fsync", open_file, NULL, fill_file, call_fsync, 0 },
	{ "fdatasync", open_file, NULL, fill_file, call_fdatasync, 0 },
	{ "splice", open_pipes, nothing, fill_splice, call_splice, BYTES },
};
#define CASES (sizeof cases / sizeof *cases)

/* What may come from any of them: full tables, no memory, broken disks, forbidden, gone. */
static const int errnos[] = { EIO,          ENOMEM,        ENOSPC,     EMFILE,      ENFILE,
			      EPERM,        ENOBUFS,       EDQUOT,     EFBIG,       EPIPE,
			      ECONNABORTED, EINVAL,        EOPNOTSUPP, ENOPROTOOPT, EEXIST,
			      ENOENT,       EADDRNOTAVAIL, ENOSYS,     ECONNRESET,  EBUSY };

/* ---- one of them, with one refusal */

static void arm(int n, int error, bool on)
{
	cp_os_faults.call_errno = error;
	cp_os_faults.call_failed = 0;
	cp_os_faults.call_fail_on = on;
	cp_os_faults.call_fail_at = cp_os_faults.call_calls + (uint64_t)n;
}

/* Was something refused? */
static bool disarm(void)
{
	cp_os_faults.call_fail_at = 0;
	cp_os_faults.call_fail_on = false;
	return cp_os_faults.call_failed != 0;
}

static struct place begin(const struct io_case *c)
{
	struct place p = { .fd = { -1, -1, -1, -1 }, .made = -1, .c = c };

	c->open(&p);
	return p;
}

static void end(struct place *p)
{
	for (int i = 0; i < FDS; i++)
		if (p->fd[i] >= 0)
			CHECK_INT(coop_close(p->fd[i]), ==, 0);
	if (p->made >= 0)
		CHECK_INT(coop_close(p->made), ==, 0);
}

static void must_be(const struct place *p, int n, int error, int r, bool or_error)
{
	if (r == p->c->good || (or_error && r == -error))
		return;
	FAIL("%s: %d, with system call %d failing by %d", p->c->name, r, n, error);
}

/* Once more, undisturbed. */
static void works(struct place *p, int n, int error)
{
	int r;

	p->c->fill(p);
	r = p->c->call(p);
	if (r != p->c->good)
		FAIL("%s: %d, the time after system call %d failed by %d", p->c->name, r, n, error);
}

static int call_in_task(void *arg)
{
	struct place *p = arg;

	p->result = p->c->call(p);
	return 0;
}

static const struct coop_spawn_opts eager = { .eager = true };

/* In a task of its own, refused something until it waits or is done. True if it got that far. */
static bool refused_once(struct place *p, int n, int error, bool waiting)
{
	struct coop_group g = COOP_GROUP_INIT;
	bool hit;

	p->result = INT32_MAX;
	coop_group_open(&g, NULL);
	arm(n, error, false);
	CHECK_INT(coop_spawn_with(&g, call_in_task, p, &eager, NULL), ==, 0);
	/* A thread may be at work for it: what that asks for belongs to it. */
	while (cp_rt->working && !__atomic_load_n(&cp_rt->pending, __ATOMIC_ACQUIRE))
		sched_yield();
	hit = disarm();
	if (waiting && p->result == INT32_MAX)
		p->c->fill(p);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	must_be(p, n, error, p->result, hit);
	return hit;
}

/* What it is for is there. */
static bool ready_once(const struct io_case *c, int n, int error)
{
	struct place p = begin(c);
	bool hit;
	int r;

	c->fill(&p);
	hit = refused_once(&p, n, error, false);
	if (p.result != c->good) { /* it had no effect: nothing has to be filled again */
		r = c->call(&p);
		must_be(&p, n, error, r, false);
	}
	works(&p, n, error);
	end(&p);
	return hit;
}

/* It has to wait. */
static bool waiting_once(const struct io_case *c, int n, int error)
{
	struct place p = begin(c);
	bool hit;

	c->block(&p);
	hit = refused_once(&p, n, error, true);
	works(&p, n, error);
	end(&p);
	return hit;
}

/* A signal comes all along: at the nth system call, of the task and of the loop. */
static bool interrupted_once(const struct io_case *c, int n)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct place p = begin(c);
	bool hit;

	/* What is asked once about a descriptor is none of the calls that may be interrupted. */
	if (c->block) {
		c->block(&p);
		refused_once(&p, 1000, 0, true);
		c->block(&p);
	}
	works(&p, n, 0);
	(c->block ? c->block : c->fill)(&p);
	coop_group_open(&g, NULL);
	arm(n, EINTR, false);
	CHECK_INT(coop_spawn_with(&g, call_in_task, &p, &eager, NULL), ==, 0);
	if (c->block)
		c->fill(&p);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	hit = disarm();
	must_be(&p, n, EINTR, p.result, false);
	works(&p, n, EINTR);
	end(&p);
	return hit;
}

/* ---- all of them */

struct before {
	int fds;
	int64_t allocs;
};

static struct before look(void)
{
	return (struct before){ fds_open(), cp_os_faults.allocs_live };
}

static void nothing_is_left(const struct io_case *c, struct before before)
{
	struct before now = look();

	if (now.fds != before.fds || now.allocs != before.allocs)
		FAIL("%s: descriptors %d, before %d; allocations %d, before %d", c->name, now.fds,
		     before.fds, (int)now.allocs, (int)before.allocs);
}

static int no_work(void *arg)
{
	(void)arg;
	return 0;
}

/* For each error and each system call. */
static int all_refusals(bool (*once)(const struct io_case *c, int n, int error), bool waiting)
{
	static const struct coop_offload_opts lane = { .lane = COOP_LANE_FS };
	int hits = 0;

	CHECK_INT(coop_offload_with(no_work, NULL, &lane), ==, 0); /* its thread is there */
	for (size_t i = 0; i < CASES; i++) {
		const struct io_case *c = &cases[i];
		struct before before;

		if (waiting && !c->block)
			continue;
		once(c, 1000, EIO); /* what is made once by descriptor number is made */
		before = look();
		for (size_t e = 0; e < sizeof errnos / sizeof *errnos; e++) {
			/* No pipe is refused by epoll so. */
			if (waiting && errnos[e] == EPERM && c->open == open_pipes)
				continue;
			for (int n = 1; once(c, n, errnos[e]); n++)
				hits++;
		}
		nothing_is_left(c, before);
	}
	return hits;
}

/* A call that need not wait: each error at each of its system calls. */
REAL_IO_TEST(refused_where_it_need_not_wait)
{
	CHECK_INT(all_refusals(ready_once, false), >, (int)CASES);
	return 0;
}

/* A call that has to wait: each error until it does. */
REAL_IO_TEST(refused_where_it_waits)
{
	CHECK_INT(all_refusals(waiting_once, true), >, (int)CASES);
	PROVES(rel_F05);
	return 0;
}

/* Nobody notices that a signal came. */
REAL_IO_TEST(interrupted_anywhere)
{
	for (size_t i = 0; i < CASES; i++) {
		struct before before;

		if (cases[i].call == call_connect) /* that goes on: below */
			continue;
		interrupted_once(&cases[i], 1000);
		before = look();
		for (int n = 1; interrupted_once(&cases[i], n); n++)
			;
		nothing_is_left(&cases[i], before);
	}
	return 0;
}

/* Whatever the system says to anything, a close closes, whether it is known or not. */
REAL_IO_TEST(a_close_is_never_refused)
{
	struct before before = look();

	for (int known = 0; known < 2; known++) {
		for (size_t e = 0; e < sizeof errnos / sizeof *errnos; e++) {
			int a, b;

			pair(&a, &b);
			if (known) {
				CHECK_INT(coop_poll(a, POLLOUT), ==, POLLOUT);
				CHECK_INT(coop_poll(b, POLLOUT), ==, POLLOUT);
			}
			arm(1, errnos[e], true);
			CHECK_INT(coop_forget(a), ==, 0);
			CHECK_INT(coop_close(a), ==, 0);
			CHECK_INT(coop_close(b), ==, 0);
			disarm();
			CHECK_INT(fcntl(a, F_GETFD), ==, -1);
			CHECK_INT(fcntl(b, F_GETFD), ==, -1);
			CHECK_INT(coop_close(a), ==, -EBADF);
		}
		if (!known)
			before = look();
		else
			CHECK_INT(look().fds, ==, before.fds);
	}
	return 0;
}

/* One of each kind, closed with an error: it is closed, once, and its number is another's then. */
static void close_with(int error, int kind, bool known)
{
	int fds[2] = { -1, -1 }, other;

	if (kind == 0)
		pair(&fds[0], &fds[1]);
	else if (kind == 1)
		new_pipe(fds);
	else
		fds[0] = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	CHECK_INT(fds[0], >=, 0);
	if (known)
		CHECK_INT(coop_poll(fds[0], POLLIN | POLLOUT), >, 0);
	arm(1, error, true);
	CHECK_INT(coop_close(fds[0]), ==, 0);
	disarm();
	CHECK_INT(cp_os_faults.call_failed, ==, 1);
	other = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CHECK_INT(other, ==, fds[0]);
	CHECK_INT(fcntl(other, F_GETFD), ==, FD_CLOEXEC);
	CHECK_INT(close(other), ==, 0);
	if (fds[1] >= 0)
		CHECK_INT(coop_close(fds[1]), ==, 0);
}

REAL_IO_TEST(a_close_that_fails_has_closed)
{
	static const int says[] = { EINTR, EIO, ENOSPC, EDQUOT };

	for (size_t e = 0; e < sizeof says / sizeof *says; e++) {
		for (int kind = 0; kind < 3; kind++) {
			close_with(says[e], kind, false);
			if (kind != 1) /* a pipe that is empty is not ready */
				close_with(says[e], kind, true);
		}
	}
	return 0;
}

/* The ring says that it is busy, or has no memory now: that is tried again (E06). */
static int ring_is_busy(void *arg)
{
	static const int says[] = { EBUSY, EAGAIN, EINTR, ENOMEM };

	(void)arg;
	for (size_t e = 0; e < sizeof says / sizeof *says; e++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct place p = begin(&cases[7]);

		coop_group_open(&g, NULL);
		CHECK_INT(coop_spawn_with(&g, call_in_task, &p, &eager, NULL), ==, 0);
		cases[7].fill(&p);
		arm(1, says[e], false); /* the next call is that of the loop */
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		CHECK(disarm());
		CHECK_INT(p.result, ==, BYTES);
		end(&p);
	}
	PROVES(rel_E06);
	return 0;
}

TEST(rel_E06_enter_is_busy)
{
	io_run(ring_is_busy, COOP_ENGINE_URING);
}
