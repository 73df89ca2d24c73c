/* SPDX-License-Identifier: MIT */
/*
 * The seam to the world: what tests may make it refuse, and what is relied on from
 * the kernel behind it.
 */
#include "base/os.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- faults */

/* The nth allocation fails, and only that one; a failed one leaves what was there alone. */
TEST(nth_allocation_fails)
{
	char *first, *moved;

	cp_os_faults.alloc_fail_at = cp_os_faults.alloc_calls + 2;
	first = cp_alloc(16);
	CHECK(first);
	first[0] = 'x';
	moved = cp_realloc(first, 32);
	CHECK(!moved);
	CHECK_INT(first[0], ==, 'x');
	first = cp_realloc(first, 4096);
	CHECK(first && first[0] == 'x');
	CHECK_INT(cp_os_faults.alloc_failed, ==, 1);
	CHECK_INT(cp_os_faults.allocs_live, ==, 1);
	cp_free(first);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

/* Or that one and all that follow, whichever function asks. */
TEST(allocations_fail_from_the_nth_on)
{
	cp_os_faults.alloc_fail_at = cp_os_faults.alloc_calls + 1;
	cp_os_faults.alloc_fail_on = true;
	CHECK(!cp_alloc(1));
	CHECK(!cp_calloc(1, 1));
	CHECK(!cp_realloc(NULL, 1));
	CHECK_INT(cp_os_faults.alloc_failed, ==, 3);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
	cp_free(NULL);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

/* A product that overflows is no small block. */
TEST(calloc_refuses_what_overflows)
{
	volatile size_t huge = SIZE_MAX / 2;
	int *zeroed = cp_calloc(100, sizeof *zeroed);

	CHECK(!cp_calloc(huge, 3));
	CHECK(zeroed);
	for (int i = 0; i < 100; i++)
		CHECK_INT(zeroed[i], ==, 0);
	cp_free(zeroed);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

static void *allocate_often(void *arg)
{
	for (int i = 0; i < 10000; i++)
		cp_free(cp_alloc(8));
	return arg;
}

/* The counts are right with several threads, too. */
TEST(threads_are_counted_together)
{
	uint64_t calls = cp_os_faults.alloc_calls;
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, allocate_often, NULL), ==, 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(cp_os_faults.alloc_calls - calls, ==, 40000);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

/* A refused call answers with the code that was asked for and has written nothing. */
TEST(refused_call_leaves_its_outputs)
{
	void *mem = &mem;
	int fd;

	cp_os_faults.call_fail_at = cp_os_faults.call_calls + 1;
	cp_os_faults.call_errno = EMFILE;
	CHECK_INT(cp_os_map(4096, &mem), ==, -EMFILE);
	CHECK(mem == &mem);
	CHECK_INT(cp_os_faults.call_failed, ==, 1);
	fd = cp_os_eventfd();
	CHECK_INT(fd, >=, 0);
	cp_os_close(fd);
}

/* Of each kind of close, whatever it says: it is made once, and the number is another's then. */
TEST(closes_that_fail_have_closed)
{
	static const int says[] = { EINTR, EIO, ENOSPC, EDQUOT };

	for (int i = 0; i < 12; i++) {
		int fd = cp_os_eventfd(), error = says[i / 3], r = 0, next;

		CHECK_INT(fd, >=, 0);
		cp_os_faults.call_errno = error;
		cp_os_faults.call_failed = 0;
		cp_os_faults.call_fail_on = true;
		cp_os_faults.call_fail_at = cp_os_faults.call_calls + 1;
		switch (i % 3) {
		case 0: cp_os_close(fd); break;
		case 1: r = cp_os_close_any(fd); break;
		default: r = cp_os_close_written(fd);
		}
		cp_os_faults.call_fail_at = 0;
		CHECK_INT(cp_os_faults.call_failed, ==, 1);
		CHECK_INT(r, ==, i % 3 == 2 && error != EINTR ? -error : 0);
		next = cp_os_eventfd();
		CHECK_INT(next, ==, fd);
		cp_os_close(next);
		CHECK_INT(cp_os_close_any(fd), ==, -EBADF);
	}
}

/* With `on` all calls are refused; without a code they say -EIO. */
TEST(calls_are_refused_from_the_nth_on)
{
	struct epoll_event event;
	struct iovec range = { &event, sizeof event };
	unsigned char page;
	stack_t stack;

	cp_os_faults.call_fail_at = cp_os_faults.call_calls + 1;
	cp_os_faults.call_fail_on = true;
	CHECK_INT(cp_os_epoll_create(), ==, -EIO);
	CHECK_INT(cp_os_epoll_add(0, 0, 0, 0), ==, -EIO);
	CHECK_INT(cp_os_epoll_wait(0, &event, 1, 0), ==, -EIO);
	CHECK_INT(cp_os_eventfd(), ==, -EIO);
	CHECK_INT(cp_os_protect_none(&event, 1), ==, -EIO);
	CHECK_INT(cp_os_advise(&event, 1, MADV_DONTNEED), ==, -EIO);
	CHECK_INT(cp_os_advise_many(&range, 1, MADV_DONTNEED), ==, -EIO);
	CHECK_INT(cp_os_resident(&event, 1, &page), ==, -EIO);
	CHECK_INT(cp_os_map_count(), ==, -EIO);
	CHECK_INT(cp_os_map_count_max(), ==, 65530);
	CHECK_INT(cp_os_sigaltstack(NULL, &stack), ==, -EIO);
	CHECK_INT(cp_os_sigaction(SIGUSR1, NULL, NULL), ==, -EIO);
	CHECK_INT(cp_os_write_all(1, "x", 1), ==, -EIO);
	CHECK_INT(cp_os_timer_slack_ns(), ==, -EIO);
	CHECK_INT(cp_os_atfork(NULL, NULL, NULL), ==, -EIO);
	CHECK_INT(cp_os_faults.call_failed, ==, 15);
}

/* ---- maps */

/* Fresh memory is zero, and a protected part of it is a map of its own. */
TEST(maps_are_counted)
{
	size_t page = cp_os_page_bytes();
	long before, after;
	char *mem;

	CHECK_INT(cp_os_map(64 * page, (void **)&mem), ==, 0);
	CHECK_INT(mem[10 * page], ==, 0);
	before = cp_os_map_count();
	CHECK_INT(before, >, 0);
	CHECK_INT(cp_os_map_count_max(), >, before);
	for (size_t i = 0; i < 20; i++)
		CHECK_INT(cp_os_protect_none(mem + (2 * i + 1) * page, page), ==, 0);
	after = cp_os_map_count();
	CHECK_INT(after - before, >=, 40);
	CHECK_INT(after - before, <, 60);
	cp_os_unmap(mem, 64 * page);
}

/* One call gives advice for many ranges, and for nothing between them. */
TEST(advice_for_many_ranges)
{
	size_t page = cp_os_page_bytes();
	struct iovec ranges[8];
	ssize_t bytes;
	char *mem;

	CHECK_INT(cp_os_map(16 * page, (void **)&mem), ==, 0);
	memset(mem, 1, 16 * page);
	for (size_t i = 0; i < 8; i++)
		ranges[i] = (struct iovec){ mem + 2 * i * page, page };
	bytes = cp_os_advise_many(ranges, 8, MADV_DONTNEED);
	if (bytes > 0) { /* Linux 6.13, and not an emulator */
		CHECK_INT(bytes, ==, 8 * page);
		for (size_t i = 0; i < 16; i++)
			CHECK_INT(mem[i * page], ==, i % 2);
	}
	CHECK(bytes != 0);
	CHECK_INT(cp_os_advise(mem + page, page, MADV_DONTNEED), ==, 0);
	CHECK_INT(mem[page], ==, 0);
	CHECK_INT(mem[3 * page], ==, 1);
	cp_os_unmap(mem, 16 * page);
}

/* ---- clock and environment */

TEST(clock_goes_forward)
{
	int64_t before = cp_os_now_ns();

	for (int i = 0; i < 1000; i++) {
		int64_t now = cp_os_now_ns();

		CHECK_INT(now, >=, before);
		before = now;
	}
	CHECK_INT(before, >, 0);
	CHECK_INT(cp_os_timer_slack_ns(), >, 0);
}

TEST(environment_is_read)
{
	setenv("COOP_TEST_OS", "there", 1);
	CHECK_STR(cp_os_env("COOP_TEST_OS"), "there");
	CHECK(!cp_os_env("COOP_TEST_OS_NOT"));
}

/* ---- events */

struct watch {
	int epoll, event;
};

static void watch_open(struct watch *w)
{
	w->epoll = cp_os_epoll_create();
	w->event = cp_os_eventfd();
	CHECK_INT(w->epoll, >=, 0);
	CHECK_INT(w->event, >=, 0);
	CHECK_INT(cp_os_epoll_add(w->epoll, w->event, EPOLLIN, 4711), ==, 0);
}

static void watch_close(struct watch *w)
{
	cp_os_close(w->event);
	cp_os_close(w->epoll);
}

/* A signal is seen until it is drained, however often it was given. */
TEST(eventfd_is_ready_until_drained)
{
	struct epoll_event got[4];
	struct watch w;

	watch_open(&w);
	CHECK_INT(cp_os_epoll_wait(w.epoll, got, 4, 0), ==, 0);
	cp_os_eventfd_signal(w.event);
	cp_os_eventfd_signal(w.event);
	CHECK_INT(cp_os_epoll_wait(w.epoll, got, 4, -1), ==, 1);
	CHECK_INT(got[0].data.u64, ==, 4711);
	cp_os_eventfd_drain(w.event);
	CHECK_INT(cp_os_epoll_wait(w.epoll, got, 4, 0), ==, 0);
	cp_os_eventfd_drain(w.event); /* nothing there: does not wait */
	CHECK_INT(cp_os_epoll_add(w.epoll, w.event, EPOLLIN, 0), ==, -EEXIST);
	watch_close(&w);
}

/* A signal says nothing of errno: it is given in signal handlers. */
TEST(eventfd_signal_keeps_errno)
{
	errno = 4242;
	cp_os_eventfd_signal(-1);
	CHECK_INT(errno, ==, 4242);
}

/* A wait is never shorter than it was asked to be, down to less than a millisecond. */
TEST(wait_is_not_cut_short)
{
	static const int64_t waits[] = { 1, 1000, 300000, 1500000, 20000000 };
	struct epoll_event got;
	struct watch w;

	watch_open(&w);
	for (size_t i = 0; i < CP_ARRAY_LEN(waits); i++) {
		int64_t before = cp_os_now_ns();

		CHECK_INT(cp_os_epoll_wait(w.epoll, &got, 1, waits[i]), ==, 0);
		CHECK_INT(cp_os_now_ns() - before, >=, waits[i]);
	}
	watch_close(&w);
}

static char sent[300000], received[sizeof sent];

static void *read_slowly(void *arg)
{
	int fd = *(int *)arg;
	size_t got = 0;

	while (got < sizeof received) {
		ssize_t bytes = read(fd, received + got, 7000);

		if (bytes <= 0)
			break;
		got += (size_t)bytes;
	}
	return NULL;
}

/* More than a pipe holds is written all the same. */
TEST(write_all_goes_on_after_a_part)
{
	pthread_t reader;
	int fds[2];

	for (size_t i = 0; i < sizeof sent; i++)
		sent[i] = (char)(i * 7 + i / 251);
	CHECK_INT(pipe(fds), ==, 0);
	CHECK_INT(pthread_create(&reader, NULL, read_slowly, &fds[0]), ==, 0);
	errno = 4242;
	CHECK_INT(cp_os_write_all(fds[1], sent, sizeof sent), ==, 0);
	CHECK_INT(errno, ==, 4242);
	pthread_join(reader, NULL);
	CHECK(memcmp(sent, received, sizeof sent) == 0);
	close(fds[0]);
	signal(SIGPIPE, SIG_IGN);
	CHECK_INT(cp_os_write_all(fds[1], sent, sizeof sent), ==, -EPIPE);
	close(fds[1]);
	CHECK_INT(cp_os_write_all(-1, sent, 1), ==, -EBADF);
}

/* An error after a part is told: half a write is not a write. */
TEST(write_all_tells_an_error_after_a_part)
{
	struct rlimit limit = { 1000, 1000 };
	int fd = memfd_create("coop test", MFD_CLOEXEC);

	CHECK_INT(fd, >=, 0);
	signal(SIGXFSZ, SIG_IGN);
	CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
	CHECK_INT(cp_os_write_all(fd, sent, 3000), ==, -EFBIG);
	CHECK_INT(lseek(fd, 0, SEEK_END), ==, 1000);
	close(fd);
}

/* What is opened is not handed on to programs that are started. */
TEST(descriptors_close_on_exec)
{
	struct watch w;

	watch_open(&w);
	CHECK(fcntl(w.epoll, F_GETFD) & FD_CLOEXEC);
	CHECK(fcntl(w.event, F_GETFD) & FD_CLOEXEC);
	watch_close(&w);
}

/* Closing what is not open is a mistake of ours that may hit somebody else's file. */
TEST_ABORT(close_of_a_closed_descriptor, "assertion failed")
{
	int fd = cp_os_eventfd();

	cp_os_close(fd);
	cp_os_close(fd);
}

/* ---- fork and signals */

static int forks;

static void before_fork(void)
{
	forks += 1;
}

static void parent_forked(void)
{
	forks += 10;
}

static void child_forked(void)
{
	forks += 100;
}

/* The thread that forks is told before, and each side after. */
TEST(fork_is_told)
{
	int status;
	pid_t child;

	CHECK_INT(cp_os_atfork(before_fork, parent_forked, child_forked), ==, 0);
	child = fork();
	CHECK_INT(child, >=, 0);
	if (child == 0)
		_exit(forks);
	CHECK_INT(waitpid(child, &status, 0), ==, child);
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), ==, 101);
	CHECK_INT(forks, ==, 11);
}

TEST(wrong_signal_is_refused)
{
	struct sigaction old;

	CHECK_INT(cp_os_sigaction(12345, NULL, &old), ==, -EINVAL);
	CHECK_INT(cp_os_sigaction(SIGUSR1, NULL, &old), ==, 0);
}

/* ---- last words */

static int seven = 7;

/* A broken invariant says where and what it is. */
TEST_ABORT(assertion_prints_its_place, "test_os.c:")
{
	CP_ASSERT(seven == 8);
}

TEST_ABORT(assertion_prints_its_condition, ": assertion failed: seven == 8")
{
	CP_ASSERT(seven == 7);
	CP_ASSERT(seven == 8);
}

TEST_ABORT(die_prints_its_reason, "coop: 7 of 8 are missing\n")
{
	cp_die("%d of %d are %s", 7, 8, "missing");
}

/* Last words are said even while a test refuses all calls. */
TEST_ABORT(die_is_never_refused, "coop: heard\n")
{
	cp_os_faults.call_fail_at = 1;
	cp_os_faults.call_fail_on = true;
	cp_die("heard");
}

/* A reason longer than a line is cut, and the line still ends. */
TEST_ABORT(die_cuts_long_reasons, "xxxx\n")
{
	static char text[5000];

	memset(text, 'x', sizeof text - 1);
	cp_die("%s", text);
}
