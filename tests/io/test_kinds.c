/* SPDX-License-Identifier: MIT */
/* Descriptors of all kinds, at their limits: what each call does with files that are special. */
#include "io_help.h"

#include <coop/fs.h>
#include <coop/io.h>
#include <coop/net.h>
#include <coop/stream.h>

#include <sys/resource.h>

static char data[60000];

/* ---------------------------------------------------------------- a limit of file size */

#define FILE_LIMIT 20000

/* A file that may not become longer than FILE_LIMIT, as whoever is killed by SIGXFSZ has it. */
static int limited_file(void)
{
	struct rlimit limit = { FILE_LIMIT, FILE_LIMIT };
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	CHECK_INT(fd, >=, 0);
	CHECK(signal(SIGXFSZ, SIG_DFL) != SIG_ERR);
	CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
	return fd;
}

/* A pipe with `data` in it. */
static void full_pipe(int fds[2])
{
	new_pipe(fds);
	CHECK_INT(write(fds[1], data, sizeof data), ==, (int)sizeof data);
}

/* What a file has no room for is an error of the call and kills nobody. */
REAL_IO_TEST(writes_beyond_the_limit_of_a_file)
{
	int fd = limited_file();

	CHECK_INT(coop_write(fd, data, sizeof data), ==, FILE_LIMIT);
	CHECK_INT(coop_write(fd, data, 1), ==, -EFBIG);
	CHECK_INT(coop_pwrite(fd, data, 1, FILE_LIMIT), ==, -EFBIG);
	CHECK_INT(coop_close(fd), ==, 0);
	return 0;
}

/* A splice sends the signal also where it tells a part that went well. */
REAL_IO_TEST(splices_beyond_the_limit_of_a_file)
{
	int fd = limited_file(), fds[2];

	full_pipe(fds);
	CHECK_INT(coop_splice(fds[0], fd, 2 * FILE_LIMIT, 0), ==, FILE_LIMIT);
	CHECK_INT(coop_splice(fds[0], fd, FILE_LIMIT, 0), ==, -EFBIG);
	CHECK_INT(coop_close(fds[0]), ==, 0);
	CHECK_INT(coop_close(fds[1]), ==, 0);
	CHECK_INT(coop_close(fd), ==, 0);
	return 0;
}

static uint64_t files_by_thread(void)
{
	struct coop_lane_stats stats;

	CHECK_INT(coop_lane_stats(COOP_LANE_FS, &stats), ==, 0);
	return stats.started;
}

/* What a disk has to work for is spliced in a thread, so that nobody else waits for it. */
REAL_IO_TEST(splices_with_a_file_wait_in_a_thread)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), fds[2];
	uint64_t before = files_by_thread();
	char buf[8] = "";

	CHECK_INT(fd, >=, 0);
	CHECK_INT(pipe2(fds, O_CLOEXEC), ==, 0);
	CHECK_INT(coop_write(fds[1], "text", 4), ==, 4);
	CHECK_INT(coop_splice(fds[0], fd, 100, 0), ==, 4);
	CHECK_INT(files_by_thread(), ==, before + 1);
	CHECK_INT(lseek(fd, 0, SEEK_SET), ==, 0);
	cp_os_faults.call_failed = 0; /* what it asks first says that it is not in memory */
	cp_os_faults.call_errno = EAGAIN;
	cp_os_faults.call_fail_at = cp_os_faults.call_calls + 4;
	CHECK_INT(coop_splice(fd, fds[1], 100, 0), ==, 4);
	cp_os_faults.call_fail_at = 0;
	CHECK_INT(files_by_thread(), ==, before + 2);
	CHECK_INT(coop_read(fds[0], buf, sizeof buf), ==, 4);
	CHECK_STR(buf, "text");
	CHECK_INT(coop_splice(fd, fds[1], 100, 0), ==, 0); /* the end, by whatever way */
	CHECK_INT(coop_close(fd), ==, 0);
	close_both(fds[0], fds[1]);
	return 0;
}

static int turns; /* of a task that is always ready; -1: it is to end */

static int takes_turns(void *arg)
{
	(void)arg;
	while (turns >= 0) {
		turns++;
		coop_yield();
	}
	return 0;
}

/* Without memory for a thread it is done at once, and in a loop of that others have their turns. */
REAL_IO_TEST(splices_without_threads_let_others_run)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), fds[2];
	struct coop_group g = COOP_GROUP_INIT;
	uint64_t before = files_by_thread();
	static char text[1000];

	CHECK_INT(pipe2(fds, O_CLOEXEC), ==, 0);
	CHECK_INT(coop_write(fds[1], text, sizeof text), ==, sizeof text);
	CHECK_INT(coop_read(fds[0], text, 1), ==, 1);
	CHECK_INT(coop_poll(fd, POLLOUT), ==, POLLOUT); /* known now, and no thread was needed */
	turns = 0;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, takes_turns, NULL), ==, 0);
	cp_os_faults.alloc_fail_on = true;
	cp_os_faults.alloc_fail_at = cp_os_faults.alloc_calls + 1;
	for (int i = 0; i < 500; i++)
		CHECK_INT(coop_splice(fds[0], fd, 1, 0), ==, 1);
	cp_os_faults.alloc_fail_at = 0;
	cp_os_faults.alloc_fail_on = false;
	CHECK_INT(files_by_thread(), ==, before);
	CHECK_INT(turns, >, 0);
	turns = -1;
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_close(fd), ==, 0);
	close_both(fds[0], fds[1]);
	return 0;
}

struct pour {
	int from, to, result;
};

static int pour(void *arg)
{
	struct pour *p = arg;

	p->result = coop_splice(p->from, p->to, 100, 0);
	return 0;
}

/* A full pipe is waited for as ever; closed meanwhile, or cancelled, the call ends with that. */
REAL_IO_TEST(splices_of_a_file_wait_for_the_pipe)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), fds[2];
	struct coop_group g = COOP_GROUP_INIT;
	struct pour p;
	static char buf[1 << 20];
	int filled;

	CHECK_INT(write(fd, "text", 4), ==, 4);
	CHECK_INT(lseek(fd, 0, SEEK_SET), ==, 0);
	CHECK_INT(pipe2(fds, O_CLOEXEC | O_NONBLOCK), ==, 0);
	for (filled = 0; write(fds[1], buf, 4096) == 4096; filled += 4096)
		;
	p = (struct pour){ .from = fd, .to = fds[1] };
	coop_group_open(&g, NULL);
	CHECK_INT(coop_move_on_after(MS(1), pour, &p), ==, 0);
	CHECK_INT(p.result, ==, COOP_ECANCELED);
	CHECK_INT(coop_spawn(&g, pour, &p), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_read(fds[0], buf, (size_t)filled), ==, filled);
	CHECK_INT(coop_group_wait(&g), ==, 0);
	CHECK_INT(p.result, ==, 4);
	CHECK_INT(coop_read(fds[0], buf, 4), ==, 4); /* now the file's end: a pipe without data */
	p = (struct pour){ .from = fds[0], .to = fd };
	CHECK_INT(coop_spawn(&g, pour, &p), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_close(fd), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(p.result, ==, COOP_ECLOSED);
	close_both(fds[0], fds[1]);
	return 0;
}

/* So does a copy, which says how far it came. */
REAL_IO_TEST(copies_beyond_the_limit_of_a_file)
{
	struct coop_stream from = COOP_STREAM_INIT, to = COOP_STREAM_INIT;
	int fd = limited_file(), fds[2];
	uint64_t copied = 0;

	full_pipe(fds);
	CHECK_INT(fcntl(fds[0], F_SETFL, O_NONBLOCK), ==, 0); /* or it is not spliced */
	CHECK_INT(coop_stream_from_fd(fds[0], &from), ==, 0);
	CHECK_INT(coop_stream_from_fd(fd, &to), ==, 0);
	CHECK_INT(coop_stream_copy(&from, &to, COOP_UNTIL_END, &copied), ==, -EFBIG);
	CHECK_INT(copied, ==, FILE_LIMIT);
	CHECK_INT(coop_stream_close(&from), ==, 0);
	CHECK_INT(coop_stream_close(&to), ==, 0);
	CHECK_INT(coop_close(fds[1]), ==, 0);
	return 0;
}

/* The program's own writes end it as they always did. */
REAL_IO_TEST(the_signal_is_kept_off_no_longer_than_a_call)
{
	int fd = limited_file();
	sigset_t mask;

	CHECK_INT(coop_pwrite(fd, data, 1, FILE_LIMIT), ==, -EFBIG);
	CHECK_INT(sigpending(&mask), ==, 0);
	CHECK(!sigismember(&mask, SIGXFSZ));
	CHECK_INT(pthread_sigmask(SIG_BLOCK, NULL, &mask), ==, 0);
	CHECK(!sigismember(&mask, SIGXFSZ) && !sigismember(&mask, SIGPIPE));
	CHECK_INT(coop_close(fd), ==, 0);
	return 0;
}

/* ---------------------------------------------------------------- what can be waited for */

static void open_within(struct coop_scope *s, int64_t ns)
{
	struct coop_scope_opts opts = { .timeout_ns = ns };

	CHECK_INT(coop_scope_open(s, &opts), ==, 0);
}

/* Nothing can wait for that: epoll and the ring have different words for it. */
static bool is_refused(int r)
{
	return r == -EPERM || r == -EINVAL;
}

/* A regular file is ready to be read and written, and will never be anything else. */
REAL_IO_TEST(poll_of_a_regular_file)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	CHECK_INT(coop_poll(fd, POLLIN), ==, POLLIN);
	CHECK_INT(coop_poll(fd, POLLIN | POLLOUT | POLLPRI), ==, POLLIN | POLLOUT);
	CHECK(is_refused(coop_poll(fd, POLLPRI)));
	CHECK(is_refused(coop_poll(fd, POLLRDHUP)));
	CHECK_INT(coop_close(fd), ==, 0);
	return 0;
}

/* Some files that look like regular ones tell changes: they are waited for, and not said to be
 * there with no event, for which a caller would ask again and again. */
REAL_IO_TEST(poll_of_a_file_that_tells_changes)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int fd = open("/proc/self/mounts", O_RDONLY | O_CLOEXEC);

	CHECK_INT(coop_poll(fd, POLLIN), ==, POLLIN);
	open_within(&s, MS(5));
	CHECK_INT(coop_poll(fd, POLLPRI), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, 0);
	CHECK_INT(coop_poll(fd, POLLIN), ==, POLLIN);
	CHECK_INT(coop_close(fd), ==, 0);
	return 0;
}

/* A device without a way to wait is asked once, and then goes the way of files. */
REAL_IO_TEST(poll_of_devices)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC), path = open("/tmp", O_PATH | O_CLOEXEC);
	char c = 0;

	CHECK(is_refused(coop_poll(fd, POLLPRI)));
	CHECK_INT(coop_poll(fd, POLLIN | POLLOUT), ==, POLLIN | POLLOUT);
	CHECK_INT(coop_read(fd, &c, 1), ==, 0);
	CHECK_INT(coop_write(fd, &c, 1), ==, 1);
	CHECK_INT(coop_poll(path, POLLIN), ==, -EBADF);
	CHECK_INT(coop_close(path), ==, 0);
	CHECK_INT(coop_close(fd), ==, 0);
	return 0;
}

/* ---------------------------------------------------------------- flags */

static int send_two(void *arg)
{
	return coop_send(*(int *)arg, "ab", 2, 0) == 2 ? 0 : -EIO;
}

/* A receive is one transfer on every engine, also where it is asked to be several. */
IO_TEST(wait_for_all_is_not_waited_for)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct iovec iov = { data, 4 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int a, b;

	pair(&a, &b);
	CHECK_INT(coop_group_open(&g, NULL), ==, 0);
	CHECK_INT(coop_recv(a, data, 4, MSG_DONTWAIT), ==, -EAGAIN);
	CHECK_INT(coop_spawn(&g, send_two, &b), ==, 0);
	CHECK_INT(coop_recv(a, data, 4, MSG_WAITALL), ==, 2);
	CHECK_INT(coop_spawn(&g, send_two, &b), ==, 0);
	CHECK_INT(coop_recvmsg(a, &msg, MSG_WAITALL), ==, 2);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_close(a), ==, 0);
	CHECK_INT(coop_close(b), ==, 0);
	return 0;
}

/* ---------------------------------------------------------------- closed by something else */

/* Somebody waits on it once, so that the engine knows it well. */
static void use(int fd)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	char c;

	open_within(&s, MS(2));
	CHECK_INT(coop_recv(fd, &c, 1, 0), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, 0);
}

/* What gets the number of a file that was closed without a word is a file of its own. */
REAL_IO_TEST(a_number_that_was_closed_elsewhere)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope s = COOP_SCOPE_INIT;
	int a, b, fds[2], r;

	pair(&a, &b);
	use(a);
	use(b);
	CHECK_INT(close(a), ==, 0);
	CHECK_INT(close(b), ==, 0);
	CHECK_INT(coop_socket_pair(SOCK_STREAM, fds), ==, 0);
	CHECK_INT(fds[0] + fds[1], ==, a + b);
	open_within(&s, COOP_SECONDS(5));
	CHECK_INT(coop_group_open(&g, NULL), ==, 0);
	CHECK_INT(coop_spawn(&g, send_two, &fds[1]), ==, 0);
	r = coop_recv(fds[0], data, 4, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	CHECK_INT(r, ==, 2);
	CHECK_INT(coop_close(fds[0]), ==, 0);
	CHECK_INT(coop_close(fds[1]), ==, 0);
	return 0;
}
