/* SPDX-License-Identifier: MIT */
/*
 * The one seam to the world, on Linux.
 *
 * Invariants
 *   1. Every request for memory passes alloc_refused() first, every request that
 *      can be answered with an error passes cp_os_refused(): a test that makes the
 *      nth one fail reaches all of them.
 *   2. A request refused by a test has not reached the kernel; but a close has, and is over.
 *   3. No errno leaves this file: results are 0 or more, or a negative errno.
 *
 * What is newer than kernel 5.10 is tried and, where the kernel does not know it,
 * done in the older way.
 */
#include "base/libc.h"
#include "base/os_files.h"
#include "base/os_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

/* "This thread" instead of a pidfd: Linux 6.14. */
#define PIDFD_SELF_THREAD_6_14 (-10000)

#define MAP_COUNT_DEFAULT 65530

struct cp_os_faults cp_os_faults;
__thread struct cp_os_files *cp_os_files;

/* ---- faults */

/*
 * Counters are written by every thread, so by atomic additions; a program of one
 * thread does without the lock prefix, which costs as much as a small malloc.
 * Relaxed: they count, they order nothing.
 */
static uint64_t count_up(uint64_t *counter)
{
	uint64_t count;

	if (!CP_ONE_THREAD)
		return __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
	count = __atomic_load_n(counter, __ATOMIC_RELAXED) + 1;
	__atomic_store_n(counter, count, __ATOMIC_RELAXED);
	return count;
}

static void live_add(int64_t change)
{
	int64_t *live = &cp_os_faults.allocs_live;

	if (!CP_ONE_THREAD)
		__atomic_add_fetch(live, change, __ATOMIC_RELAXED);
	else
		__atomic_store_n(live, __atomic_load_n(live, __ATOMIC_RELAXED) + change,
				 __ATOMIC_RELAXED);
}

static bool alloc_refused(void)
{
	uint64_t call = count_up(&cp_os_faults.alloc_calls);
	uint64_t fail_at = __atomic_load_n(&cp_os_faults.alloc_fail_at, __ATOMIC_RELAXED);

	if (CP_LIKELY(!fail_at) || call < fail_at ||
	    (call > fail_at && !cp_os_faults.alloc_fail_on))
		return false;
	count_up(&cp_os_faults.alloc_failed);
	return true;
}

bool cp_os_counted_refused(void)
{
	uint64_t fail_at = __atomic_load_n(&cp_os_faults.call_fail_at, __ATOMIC_RELAXED), call;

	if (CP_UNLIKELY(fail_at && cp_os_faults.call_not_thread == (void *)&errno))
		return false;
	call = count_up(&cp_os_faults.call_calls);
	if (CP_LIKELY(!fail_at) || call < fail_at || (call > fail_at && !cp_os_faults.call_fail_on))
		return false;
	count_up(&cp_os_faults.call_failed);
	return true;
}

int cp_os_refusal(void)
{
	return cp_os_faults.call_errno ? -cp_os_faults.call_errno : -EIO;
}

/* ---- memory */

void *cp_alloc(size_t bytes)
{
	void *mem = alloc_refused() ? NULL : malloc(bytes);

	if (mem)
		live_add(1);
	return mem;
}

void *cp_calloc(size_t count, size_t bytes)
{
	size_t product; /* checked here: a sanitizer's calloc ends the program instead */
	bool refused = alloc_refused() || __builtin_mul_overflow(count, bytes, &product);
	void *mem = refused ? NULL : calloc(count, bytes);

	if (mem)
		live_add(1);
	return mem;
}

void *cp_realloc(void *mem, size_t bytes)
{
	void *moved;

	CP_ASSERT(bytes > 0);
	moved = alloc_refused() ? NULL : realloc(mem, bytes);
	if (moved && !mem)
		live_add(1);
	return moved;
}

void cp_free(void *mem)
{
	if (!mem)
		return;
	live_add(-1);
	free(mem);
}

int cp_os_map(size_t bytes, void **ret_mem)
{
	void *mem;

	if (cp_os_refused())
		return cp_os_refusal();
	mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		   -1, 0);
	if (mem == MAP_FAILED)
		return -errno;
	*ret_mem = mem;
	return 0;
}

void cp_os_unmap(void *mem, size_t bytes)
{
	int r = bytes ? munmap(mem, bytes) : 0;

	/* For a range that is ours it fails only where a hole needs one map too many. */
	CP_ASSERT(r == 0 || errno == ENOMEM);
}

int cp_os_protect_none(void *mem, size_t bytes)
{
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(mprotect(mem, bytes, PROT_NONE));
}

int cp_os_advise(void *mem, size_t bytes, int advice)
{
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(madvise(mem, bytes, advice));
}

static ssize_t advise_many(int pidfd, const struct iovec *iov, size_t count, int advice)
{
	long bytes = syscall(SYS_process_madvise, pidfd, iov, count, advice, 0U);

	return bytes < 0 ? -errno : bytes;
}

/*
 * The descriptor is opened for each call: one that is kept would name the parent
 * in the child of a fork, and a batch makes two more system calls cheap.
 */
static ssize_t advise_many_by_pidfd(const struct iovec *iov, size_t count, int advice)
{
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0U);
	ssize_t bytes;

	if (pidfd < 0)
		return -errno;
	bytes = advise_many(pidfd, iov, count, advice);
	close(pidfd);
	return bytes;
}

ssize_t cp_os_advise_many(const struct iovec *iov, size_t count, int advice)
{
	static int missing; /* valgrind writes a paragraph each time it is asked */
	ssize_t bytes;

	if (cp_os_refused())
		return cp_os_refusal();
	if (__atomic_load_n(&missing, __ATOMIC_RELAXED))
		return -ENOSYS;
	bytes = advise_many(PIDFD_SELF_THREAD_6_14, iov, count, advice);
	if (bytes == -EBADF)
		bytes = advise_many_by_pidfd(iov, count, advice);
	if (bytes == -ENOSYS)
		__atomic_store_n(&missing, 1, __ATOMIC_RELAXED);
	return bytes;
}

/* The name is for people who read /proc/PID/maps; Linux 5.17, and not in every kernel. */
void cp_os_name_map(void *mem, size_t bytes, const char *name)
{
	prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, (unsigned long)mem, bytes, (unsigned long)name);
}

size_t cp_os_page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

int cp_os_resident(void *mem, size_t bytes, unsigned char *ret_pages)
{
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(mincore(mem, bytes, ret_pages));
}

/* ---- /proc */

static int open_read(const char *path)
{
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(open(path, O_RDONLY | O_CLOEXEC));
}

static ssize_t read_some(int fd, void *buf, size_t bytes)
{
	ssize_t got;

	do
		got = read(fd, buf, bytes);
	while (got < 0 && errno == EINTR);
	return got;
}

long cp_os_map_count_max(void)
{
	char text[32] = "";
	long count;
	int fd = open_read("/proc/sys/vm/max_map_count");

	if (fd < 0)
		return MAP_COUNT_DEFAULT;
	read_some(fd, text, sizeof text - 1);
	close(fd);
	count = strtol(text, NULL, 10);
	return count > 0 ? count : MAP_COUNT_DEFAULT;
}

static long count_lines(const char *text, size_t bytes)
{
	long lines = 0;

	for (size_t i = 0; i < bytes; i++)
		lines += text[i] == '\n';
	return lines;
}

long cp_os_map_count(void)
{
	char text[2048];
	long lines = 0;
	ssize_t got;
	int fd = open_read("/proc/self/maps");

	if (fd < 0)
		return fd;
	while ((got = read_some(fd, text, sizeof text)) > 0)
		lines += count_lines(text, (size_t)got);
	close(fd);
	return got < 0 ? -EIO : lines;
}

/* ---- clock */

int64_t cp_os_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t cp_os_timer_slack_ns(void)
{
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(prctl(PR_GET_TIMERSLACK));
}

int cp_os_cpus_online(void)
{
	static int known;
	int n = __atomic_load_n(&known, __ATOMIC_RELAXED);

	if (!n) {
		n = (int)sysconf(_SC_NPROCESSORS_ONLN);
		n = n < 1 ? 1 : n;
		__atomic_store_n(&known, n, __ATOMIC_RELAXED);
	}
	return n;
}

/* ---- environment */

const char *cp_os_env(const char *name)
{
	return secure_getenv(name);
}

/* ---- events */

int cp_os_epoll_create(void)
{
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(epoll_create1(EPOLL_CLOEXEC));
}

int cp_os_epoll_add(int epfd, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = { .events = events, .data.u64 = data };

	return cp_os_refused() ? cp_os_refusal()
			       : cp_os_result(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event));
}

static int timeout_ms(int64_t timeout_ns)
{
	if (timeout_ns < 0)
		return -1;
	if (timeout_ns > (int64_t)INT32_MAX * 1000000)
		return INT32_MAX;
	return (int)((timeout_ns + 999999) / 1000000); /* up: an early wake-up would spin */
}

static int epoll_wait_fine(int epfd, struct epoll_event *events, int count, int64_t timeout_ns)
{
	struct timespec timeout = {
		.tv_sec = timeout_ns / 1000000000,
		.tv_nsec = timeout_ns % 1000000000,
	};

	/* Not every libc has the call; the last is the size of no set of signals. */
	return cp_os_result((int)syscall(SYS_epoll_pwait2, epfd, events, count,
					 timeout_ns < 0 ? NULL : &timeout, NULL, 8));
}

/* EPERM: a sandbox that does not know the call; epoll_pwait2 itself never says so. */
static bool is_missing(int r)
{
	return r == -ENOSYS || r == -EPERM;
}

int cp_os_epoll_wait(int epfd, struct epoll_event *events, int count, int64_t timeout_ns)
{
	static int coarse; /* epoll_pwait2 is not there: before Linux 5.11 */
	int r;

	if (cp_os_refused())
		return cp_os_refusal();
	if (!__atomic_load_n(&coarse, __ATOMIC_RELAXED)) {
		r = epoll_wait_fine(epfd, events, count, timeout_ns);
		if (!is_missing(r))
			return r;
		__atomic_store_n(&coarse, 1, __ATOMIC_RELAXED);
	}
	return cp_os_result(epoll_wait(epfd, events, count, timeout_ms(timeout_ns)));
}

int cp_os_eventfd(void)
{
	return cp_os_refused() ? cp_os_refusal()
			       : cp_os_result(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

/* A full counter (EAGAIN) is a signalled one, so there is nothing to report. */
void cp_os_eventfd_signal(int fd)
{
	int saved = errno;
	uint64_t one = 1;

	while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
		;
	errno = saved;
}

void cp_os_eventfd_drain(int fd)
{
	uint64_t count;

	read_some(fd, &count, sizeof count);
}

/* Never again after EINTR: on Linux the descriptor is gone and may be another's by now. */
static int close_once(int fd)
{
	int r = cp_os_result(close(fd));

	return r >= 0 && cp_os_refused() ? cp_os_refusal() : r;
}

void cp_os_close(int fd)
{
	if (cp_os_files_have(fd))
		CP_OS_FILES(close, fd);
	else
		CP_ASSERT(close_once(fd) != -EBADF);
}

/* What else may go wrong (EIO, ENOSPC, EINTR) goes wrong with a descriptor that is closed. */
int cp_os_close_any(int fd)
{
	return close_once(fd) == -EBADF ? -EBADF : 0;
}

/* An interrupted one has not waited for the disk; that is all. */
int cp_os_close_written(int fd)
{
	int r = 0;

	if (cp_os_files_have(fd))
		CP_OS_FILES(close, fd);
	else
		r = close_once(fd);
	CP_ASSERT(r != -EBADF);
	return r == -EINTR ? 0 : r;
}

static int write_all(int fd, const char *data, size_t bytes)
{
	while (bytes) {
		ssize_t done = write(fd, data, bytes);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		data += done;
		bytes -= (size_t)done;
	}
	return 0;
}

int cp_os_write_all(int fd, const void *data, size_t bytes)
{
	int saved = errno;
	int r = cp_os_refused() ? cp_os_refusal() : write_all(fd, data, bytes);

	errno = saved;
	return r;
}

void cp_os_complain(const char *text, size_t bytes)
{
	int saved = errno;

	(void)write_all(STDERR_FILENO, text, bytes);
	errno = saved;
}

/* ---- signals */

int cp_os_sigaction(int sig, const struct sigaction *act, struct sigaction *ret_old)
{
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(sigaction(sig, act, ret_old));
}

int cp_os_sigaltstack(const stack_t *stack, stack_t *ret_old)
{
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(sigaltstack(stack, ret_old));
}

int cp_os_atfork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
	return cp_os_refused() ? cp_os_refusal() : -pthread_atfork(before, parent, child);
}

/* ---- texts */

const char *cp_os_error_text(int number)
{
	return CP_ERROR_TEXT(number);
}

FILE *cp_os_text_open(char **text, size_t *size)
{
	return open_memstream(text, size);
}

void cp_os_text_close(FILE *out)
{
	fclose(out);
}

void cp_os_text_free(char *text)
{
	free(text);
}
