/* SPDX-License-Identifier: MIT */
/*
 * Bugs that others had with rings and readiness, by the names of the catalogue (E and F), as far as
 * they are not shown where the thing itself is tested.
 */
#include "io_help.h"

#include "base/os.h"
#include "io/io.h"

#include <limits.h>
#include <sys/resource.h>

static const struct coop_spawn_opts eager = { .eager = true };

struct call {
	int fd, result;
	int (*call)(int fd);
};

static int recv_4(int fd)
{
	char buf[4];

	return coop_recv(fd, buf, sizeof buf, 0);
}

static int read_4(int fd)
{
	char buf[4];

	return coop_read(fd, buf, sizeof buf);
}

static int poll_in(int fd)
{
	return coop_poll(fd, POLLIN);
}

static int accept_one(int fd)
{
	return coop_accept(fd, NULL, NULL);
}

static int call_it(void *arg)
{
	struct call *c = arg;

	c->result = c->call(c->fd);
	return c->result == COOP_ECANCELED ? c->result : 0;
}

static void start(struct coop_group *g, struct call *c, int fd, int (*call)(int fd))
{
	*c = (struct call){ .fd = fd, .call = call, .result = INT_MIN };
	CHECK_INT(coop_spawn_with(g, call_it, c, &eager, NULL), ==, 0);
}

/* ---- E03: what a cancelled receive had from the ring is not given back */

IO_TEST(rel_E03_cancelled_receives_take_nothing)
{
	int64_t allocs = 0;
	int a, b, rounds = TEST_COUNT(50000, 500);

	pair(&a, &b);
	for (int i = 0; i < rounds; i++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct call c;

		coop_group_open(&g, NULL);
		start(&g, &c, a, recv_4);
		coop_group_cancel(&g, "again");
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		CHECK_INT(c.result, ==, COOP_ECANCELED);
		if (i == 100)
			allocs = cp_os_faults.allocs_live;
	}
	CHECK_INT(cp_os_faults.allocs_live, ==, allocs);
	CHECK_INT(coop_send(b, "last", 4, 0), ==, 4);
	CHECK_INT(recv_4(a), ==, 4);
	close_both(a, b);
	PROVES(rel_E03);
	return 0;
}

/* ---- E04: the end of a run with much under way */

#define PENDING 250

static int leaves_much(__attribute__((unused)) void *arg)
{
	static struct call calls[4 * PENDING];
	struct coop_group g = COOP_GROUP_INIT;
	int fds[2];

	coop_group_open(&g, NULL);
	for (int i = 0; i < PENDING; i++) {
		struct sockaddr_in addr;

		pair(&fds[0], &fds[1]);
		start(&g, &calls[4 * i], fds[0], recv_4);
		start(&g, &calls[4 * i + 1], fds[1], poll_in);
		new_pipe(fds);
		start(&g, &calls[4 * i + 2], fds[0], read_4);
		start(&g, &calls[4 * i + 3], listener(&addr), accept_one);
	}
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_group_cancel(&g, "the end");
	return coop_group_join(&g, 0);
}

static void raise_files(rlim_t needed)
{
	struct rlimit l;

	CHECK_INT(getrlimit(RLIMIT_NOFILE, &l), ==, 0);
	if (l.rlim_max < needed)
		SKIP("at most %d descriptors, and %d are needed", (int)l.rlim_max, (int)needed);
	l.rlim_cur = l.rlim_max;
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &l), ==, 0);
}

static void run_ends(enum coop_engine engine)
{
	int64_t allocs = cp_os_faults.allocs_live;
	int fds = fds_open();

	raise_files(5 * PENDING + 64);
	io_run(leaves_much, engine);
	CHECK_INT(cp_os_faults.allocs_live, ==, allocs);
	/* What the program has not closed is there still, and nothing beside it. */
	CHECK_INT(fds_open(), ==, fds + 5 * PENDING);
	for (int fd = fds - 3; fd < fds + 5 * PENDING; fd++) /* ., .. and the folder were counted */
		close(fd);
	PROVES(rel_E04);
}

TEST(rel_E04_a_run_ends_with_much_under_way_epoll)
{
	run_ends(COOP_ENGINE_EPOLL);
}

TEST(rel_E04_a_run_ends_with_much_under_way_uring)
{
	run_ends(COOP_ENGINE_URING);
}

/* ---- E05: more completions than their queue has room for, and more submissions */

#define MANY 4600 /* the queue has 4096 */

static int all_at_once(__attribute__((unused)) void *arg)
{
	static struct call calls[MANY];
	static int peers[MANY];
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (int i = 0; i < MANY; i++) {
		int fd;

		pair(&fd, &peers[i]);
		start(&g, &calls[i], fd, recv_4);
	}
	CHECK_INT(coop_sleep(MS(1)), ==, 0); /* they are in the kernel */
	for (int i = 0; i < MANY; i++)
		CHECK_INT(send(peers[i], "text", 4, 0), ==, 4);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	for (int i = 0; i < MANY; i++) {
		CHECK_INT(calls[i].result, ==, 4);
		close_both(calls[i].fd, peers[i]);
	}
	PROVES(rel_E05);
	return 0;
}

TEST(rel_E05_more_completions_than_room_epoll)
{
	raise_files(2 * MANY + 64);
	io_run(all_at_once, COOP_ENGINE_EPOLL);
}

TEST(rel_E05_more_completions_than_room_uring)
{
	raise_files(2 * MANY + 64);
	io_run(all_at_once, COOP_ENGINE_URING);
}

/* ---- E09: what came of a cancelled operation is taken for that of the next one, at its address */

IO_TEST(rel_E09_an_address_used_again)
{
	int a, b, rounds = TEST_COUNT(2000, 100), got = 0, sent = 0;

	pair(&a, &b);
	for (int i = 0; i < rounds; i++) {
		struct coop_scope s = COOP_SCOPE_INIT;
		char buf[3];
		int r;

		coop_scope_open(&s, NULL);
		CHECK_INT(coop_scope_set_deadline(&s, coop_now() + 20000 * (i % 4)), ==, 0);
		r = coop_recv(a, buf, sizeof buf, 0); /* nothing is there */
		CHECK_INT(r, ==, COOP_ECANCELED);
		CHECK_INT(coop_scope_close(&s, r), ==, 0);
		CHECK_INT(send_elsewhere(b, "abcdef", 6), ==, 6);
		sent += 6;
		for (int part = 0; part < 2; part++) {
			r = coop_recv(a, buf, sizeof buf, 0);
			CHECK_INT(r, ==, 3);
			CHECK(memcmp(buf, part ? "def" : "abc", 3) == 0);
			got += r;
		}
	}
	CHECK_INT(got, ==, sent);
	close_both(a, b);
	PROVES(rel_E09);
	return 0;
}

/* ---- E12: a thread of the kernel that looks all the time */

/* Is there a thread of this process of this name? */
static bool has_thread(const char *name)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	bool found = false;

	CHECK(d != NULL);
	while ((e = readdir(d))) {
		char path[300], comm[32] = "";
		FILE *f;

		snprintf(path, sizeof path, "/proc/self/task/%s/comm", e->d_name);
		f = fopen(path, "r");
		if (!f)
			continue; /* . and .. */
		if (fgets(comm, sizeof comm, f) && strncmp(comm, name, strlen(name)) == 0)
			found = true;
		fclose(f);
	}
	closedir(d);
	return found;
}

REAL_IO_TEST(rel_E12_no_thread_of_the_kernel)
{
	int a, b;

	pair(&a, &b);
	CHECK_INT(coop_send(a, "x", 1, 0), ==, 1);
	CHECK_INT(recv_4(b), ==, 1);
	CHECK(has_thread("io-regress"));
	CHECK(has_thread("")); /* they can be read */
	CHECK(!has_thread("iou-sqp"));
	close_both(a, b);
	PROVES(rel_E12);
	return 0;
}

/* ---- E16: a descriptor in non-blocking mode makes EAGAIN of what should wait */

#define BIG (1 << 20)

static int sends_big(void *arg)
{
	static char big[BIG];
	int fd = *(int *)arg, sent = 0, r;

	while (sent < BIG) {
		r = coop_write(fd, big + sent, (size_t)(BIG - sent));
		CHECK_INT(r, >, 0);
		sent += r;
	}
	CHECK_INT(coop_close(fd), ==, 0);
	return 0;
}

static int receives_big(int fd)
{
	static char buf[10000];
	int got = 0, r;

	while ((r = coop_read(fd, buf, sizeof buf)) > 0)
		got += r;
	CHECK_INT(r, ==, 0);
	CHECK_INT(coop_close(fd), ==, 0);
	return got;
}

static void set_mode(int fd, bool nonblock)
{
	int flags = fcntl(fd, F_GETFL) & ~O_NONBLOCK;

	CHECK_INT(fcntl(fd, F_SETFL, flags | (nonblock ? O_NONBLOCK : 0)), ==, 0);
}

REAL_IO_TEST(rel_E16_neither_mode_makes_EAGAIN)
{
	for (int kind = 0; kind < 4; kind++) {
		struct coop_group g = COOP_GROUP_INIT;
		int fds[2];

		if (kind % 2) {
			pair(&fds[0], &fds[1]);
		} else {
			new_pipe(fds);
		}
		set_mode(fds[0], kind / 2);
		set_mode(fds[1], kind / 2);
		coop_group_open(&g, NULL);
		CHECK_INT(coop_spawn_with(&g, sends_big, &fds[1], &eager, NULL), ==, 0);
		CHECK_INT(receives_big(fds[0]), ==, BIG);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
	}
	PROVES(rel_E16);
	return 0;
}

/* ---- E18: data and the end at once, of which one is lost */

IO_TEST(rel_E18_data_and_the_end_at_once)
{
	int rounds = TEST_COUNT(1000, 50);

	for (int i = 0; i < rounds; i++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct call c;
		int a, b;

		pair(&a, &b);
		coop_group_open(&g, NULL);
		start(&g, &c, a, recv_4);
		if (i % 2)
			CHECK_INT(coop_yield(), ==, 0);
		CHECK_INT(send_elsewhere(b, "data", 4), ==, 4);
		CHECK_INT(WORLD(shutdown, b, SHUT_WR), ==, 0);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		CHECK_INT(c.result, ==, 4);
		CHECK_INT(recv_4(a), ==, 0);
		CHECK_INT(recv_4(a), ==, 0);
		close_both(a, b);
	}
	PROVES(rel_E18);
	return 0;
}

/* ---- E19: lengths that overflow */

REAL_IO_TEST(rel_E19_hostile_lengths)
{
	static struct iovec many[IOV_MAX + 1];
	struct iovec huge[2] = { { many, SIZE_MAX / 2 }, { many, SIZE_MAX / 2 } };
	struct msghdr msg = { .msg_iov = many, .msg_iovlen = IOV_MAX + 1 };
	int a, b;

	pair(&a, &b);
	CHECK_INT(coop_send(b, "x", 1, 0), ==, 1);
	CHECK_INT(coop_readv(a, many, IOV_MAX + 1), ==, -EINVAL);
	CHECK_INT(coop_readv(a, huge, 2), ==, -EINVAL);
	CHECK_INT(coop_readv(a, many, -1), ==, -EINVAL);
	CHECK_INT(coop_recvmsg(a, &msg, 0), ==, -EMSGSIZE);
	CHECK_INT(coop_sendmsg(a, &msg, 0), ==, -EMSGSIZE);
	msg = (struct msghdr){ .msg_iov = huge, .msg_iovlen = 1, .msg_controllen = SIZE_MAX };
	CHECK_INT(coop_sendmsg(a, &msg, 0), <, 0);
	CHECK_INT(recv_4(a), ==, 1); /* none of them has taken it */
	close_both(a, b);
	PROVES(rel_E19);
	return 0;
}

/* ---- E20: a forked child uses the parent's ring */

REAL_IO_TEST(rel_E20_a_forked_child_is_refused)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct call c;
	int a, b, status;
	pid_t pid;

	pair(&a, &b);
	coop_group_open(&g, NULL);
	start(&g, &c, a, recv_4);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	pid = fork();
	CHECK_INT(pid, >=, 0);
	if (pid == 0)
		_exit(coop_send(b, "x", 1, 0) == COOP_EFORK && recv_4(b) == COOP_EFORK &&
				      coop_close(b) == COOP_EFORK
			      ? 42
			      : 1);
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK_INT(WEXITSTATUS(status), ==, 42);
	CHECK_INT(coop_send(b, "text", 4, 0), ==, 4);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(c.result, ==, 4);
	close_both(a, b);
	PROVES(rel_E20);
	return 0;
}

/* ---- F06: the counter that tells an old event from a new one wraps around */

/*
 * 2^32 files have had this number, one after another. It is number 0, for which a generation of 0
 * would make the mark of its events that of what wakes the loop.
 */
IO_TEST(rel_F06_generations_wrap_around)
{
	int kept = dup(0);

	CHECK_INT(kept, >=, 0);
	CHECK_INT(close(0), ==, 0);
	for (int i = 0; i < 16; i++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct call c;
		struct cp_fd *f;
		int a, b;

		pair(&a, &b);
		CHECK_INT(a, ==, 0);
		CHECK_INT(coop_poll(a, POLLOUT), ==, POLLOUT);
		f = cp_fd_peek(cp_io_of(cp_rt), a);
		if (i % 8 == 0)
			f->gen = UINT32_MAX - 3 - (i != 0); /* it is counted up by two */
		CHECK_INT(f->gen, !=, 0);
		coop_group_open(&g, NULL);
		start(&g, &c, a, recv_4);
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
		CHECK_INT(send_elsewhere(b, "text", 4), ==, 4);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		CHECK_INT(c.result, ==, 4);
		close_both(a, b);
	}
	CHECK_INT(dup2(kept, 0), ==, 0);
	close(kept);
	PROVES(rel_F06);
	return 0;
}

/* ---- F08: who waits to write waits for what can be read */

static int write_big(int fd)
{
	static char big[1 << 16];

	return coop_write(fd, big, sizeof big);
}

/*
 * The peer has ended its side, so "readable" is true for good, and takes nothing: a writer waits,
 * and does not go round.
 */
IO_TEST(rel_F08_a_writer_waits_for_room)
{
	struct coop_group g = COOP_GROUP_INIT;
	static char big[1 << 16];
	struct call c;
	int a, b;
	uint64_t calls;

	pair(&a, &b);
	CHECK_INT(WORLD(shutdown, b, SHUT_WR), ==, 0);
	CHECK_INT(recv_4(a), ==, 0);
	while (coop_send(a, big, sizeof big, MSG_DONTWAIT) > 0)
		;
	coop_group_open(&g, NULL);
	start(&g, &c, a, write_big);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	calls = cp_os_faults.call_calls;
	CHECK_INT(coop_sleep(MS(10)), ==, 0);
	CHECK_INT(cp_os_faults.call_calls - calls, <, 60);
	CHECK_INT(c.result, ==, INT_MIN);
	while (c.result == INT_MIN) {
		while (coop_recv(b, big, sizeof big, MSG_DONTWAIT) > 0)
			;
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
	}
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(c.result, >, 0);
	close_both(a, b);
	PROVES(rel_F08);
	return 0;
}

/* ---- F10: a regular file, which epoll refuses */

REAL_IO_TEST(rel_F10_a_file_is_as_good_on_epoll)
{
	char buf[8];
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	CHECK_INT(fd, >=, 0);
	CHECK_INT(coop_poll(fd, POLLIN | POLLOUT), ==, POLLIN | POLLOUT);
	CHECK_INT(coop_write(fd, "a file", 6), ==, 6);
	CHECK_INT(coop_read(fd, buf, sizeof buf), ==, 0);
	CHECK_INT(coop_pread(fd, buf, sizeof buf, 2), ==, 4);
	CHECK(memcmp(buf, "file", 4) == 0);
	CHECK_INT(lseek(fd, 0, SEEK_SET), ==, 0);
	CHECK_INT(coop_read(fd, buf, sizeof buf), ==, 6);
	CHECK_INT(coop_close(fd), ==, 0);
	PROVES(rel_F10);
	return 0;
}
