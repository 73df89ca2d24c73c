/* SPDX-License-Identifier: MIT */
/*
 * Which engine a run gets where the system gives no io_uring: each test has a filter of system
 * calls like those of containers, and a small program that must work all the same.
 */
#include "io_help.h"

#include "base/os.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#ifndef __NR_io_uring_setup
#define __NR_io_uring_setup 425
#define __NR_io_uring_enter 426
#define __NR_io_uring_register 427
#endif

/* From now on the system call `number` fails by `error` in this process. */
static void forbid(int number, int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { .len = sizeof code / sizeof *code, .filter = code };

	CHECK_INT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), ==, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
		SKIP("no filters of system calls here: %s", strerror(errno));
}

static int replies(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char buf[8];

	CHECK_INT(coop_recv(fd, buf, sizeof buf, 0), ==, 5);
	CHECK_INT(coop_send(fd, buf, 5, 0), ==, 5);
	return 0;
}

/* Waits for a descriptor, for time, and for another task. */
static int program(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	char buf[8];
	int a, b;

	pair(&a, &b);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, replies, (void *)(intptr_t)b), ==, 0);
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_send(a, "hello", 5, 0), ==, 5);
	CHECK_INT(coop_recv(a, buf, sizeof buf, 0), ==, 5);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	close_both(a, b);
	*(bool *)arg = true;
	return 0;
}

static int disarms(void *arg)
{
	(void)arg;
	cp_os_faults.call_fail_at = 0;
	return 0;
}

static int run_on(enum coop_engine engine)
{
	struct coop_run_opts opts = { .engine = engine };
	bool worked = false;
	int r;

	unsetenv("COOP_IO");
	r = coop_run(program, &worked, &opts);
	CHECK_INT(worked, ==, r == 0);
	return r;
}

/* For what goes on after a ring was begun. */
static void needs_ring(void)
{
	if (run_on(COOP_ENGINE_URING) == -ENOTSUP)
		SKIP("this machine has no io_uring");
}

/* AUTO gets epoll and says why in one debug line; who asks for io_uring is refused, in one line. */
static void falls_back(const char *why, int by_name)
{
	keep_records(COOP_LOG_DEBUG);
	CHECK_INT(run_on(COOP_ENGINE_AUTO), ==, 0);
	CHECK_HAS(records, "engine epoll (");
	if (!strstr(records, "this build of coop has no io_uring"))
		CHECK_HAS(records, why);
	CHECK_INT(records_count, ==, 1);

	keep_records(COOP_LOG_WARN);
	CHECK_INT(run_on(COOP_ENGINE_AUTO), ==, 0);
	CHECK_INT(run_on(COOP_ENGINE_EPOLL), ==, 0);
	CHECK_INT(records_count, ==, 0);

	CHECK_INT(run_on(COOP_ENGINE_URING), ==, by_name);
	CHECK_HAS(records, "no io_uring engine");
	CHECK_INT(records_count, ==, 1);
}

/* A container's filter, as Docker's: EPERM. */
TEST(rel_E11_setup_is_forbidden)
{
	forbid(__NR_io_uring_setup, EPERM);
	falls_back("forbidden here", -ENOTSUP);
	PROVES(rel_E11);
}

/* A kernel without it, or a filter that says so: ENOSYS. */
TEST(rel_E11_setup_is_not_there)
{
	forbid(__NR_io_uring_setup, ENOSYS);
	falls_back("this kernel has no io_uring", -ENOTSUP);
}

/* An older kernel does not know the flags: EINVAL. */
TEST(rel_E11_setup_knows_other_flags)
{
	forbid(__NR_io_uring_setup, EINVAL);
	falls_back("older than 6.1", -ENOTSUP);
}

/* What the limit of locked memory does, before Linux 5.12: ENOMEM. */
TEST(rel_E11_setup_has_no_memory)
{
	forbid(__NR_io_uring_setup, ENOMEM);
	falls_back("RLIMIT_MEMLOCK", -ENOMEM);
}

/* A filter that has forgotten one of the three calls leaves half a ring: that is none. */
TEST(rel_E11_register_is_forbidden)
{
	needs_ring();
	forbid(__NR_io_uring_register, EPERM);
	falls_back("forbidden here", -ENOTSUP);
}

TEST(rel_E11_enter_is_forbidden)
{
	needs_ring();
	forbid(__NR_io_uring_enter, EPERM);
	falls_back("forbidden here", -ENOTSUP);
}

/* No descriptor for a ring when epoll's would do: epoll it is. Asked for by name: the error. */
TEST(rel_E11_setup_has_no_descriptor)
{
	forbid(__NR_io_uring_setup, EMFILE);
	keep_records(COOP_LOG_DEBUG);
	CHECK_INT(run_on(COOP_ENGINE_AUTO), ==, 0);
	CHECK_HAS(records, "engine epoll (");
	CHECK_INT(records_count, ==, 1);
}

/* ---- E21: a ring that is half made leaves no map, and no descriptor */

static int rings_mapped(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	int n = 0;

	CHECK(f != NULL);
	while (fgets(line, sizeof line, f))
		n += strstr(line, "[io_uring]") != NULL;
	fclose(f);
	return n;
}

/* From now on the mmap of what lies at `offset` of a ring has no memory. */
static void forbid_map(uint32_t offset)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mmap, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, offset, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MAP_SHARED | MAP_POPULATE, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOMEM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { .len = sizeof code / sizeof *code, .filter = code };

	CHECK_INT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), ==, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
		SKIP("no filters of system calls here: %s", strerror(errno));
}

static void without_a_map(uint32_t offset)
{
	int fds;

	needs_ring();
	CHECK_INT(rings_mapped(), ==, 0);
	fds = fds_open();
	forbid_map(offset);
	for (int i = 0; i < 5; i++) {
		falls_back("RLIMIT_MEMLOCK", -ENOMEM);
		CHECK_INT(rings_mapped(), ==, 0);
		CHECK_INT(fds_open(), ==, fds);
	}
	PROVES(rel_E21);
}

/* The queues have no room in memory. */
TEST(rel_E21_no_map_of_the_queues)
{
	without_a_map(0);
}

/* The queues had, and the entries have not. */
TEST(rel_E21_no_map_of_the_entries)
{
	without_a_map(0x10000000); /* IORING_OFF_SQES */
}

/* Each step of making a ring fails in turn. */
TEST(rel_E21_each_step_fails)
{
	struct coop_run_opts opts = { .engine = COOP_ENGINE_URING };
	int64_t live = cp_os_faults.allocs_live;
	int fds = fds_open(), failures = 0;

	needs_ring();
	keep_records(COOP_LOG_ERROR);
	for (uint64_t n = 1; n < 60; n++) {
		int r;

		cp_os_faults.call_errno = ENOMEM;
		cp_os_faults.call_fail_at = cp_os_faults.call_calls + n;
		r = coop_run(disarms, NULL, &opts);
		cp_os_faults.call_fail_at = 0;
		CHECK(r == 0 || r == -ENOMEM);
		failures += r < 0;
		CHECK_INT(rings_mapped(), ==, 0);
		CHECK_INT(fds_open(), ==, fds);
		CHECK_INT(cp_os_faults.allocs_live, ==, live);
	}
	CHECK_INT(failures, >=, 6);
	PROVES(rel_E21);
}

/* Without any memory to lock a program runs, on whichever engine, and one line says which. */
TEST(rel_E11_no_locked_memory)
{
	struct rlimit none = { 0, 0 };

	CHECK_INT(setrlimit(RLIMIT_MEMLOCK, &none), ==, 0);
	keep_records(COOP_LOG_DEBUG);
	CHECK_INT(run_on(COOP_ENGINE_AUTO), ==, 0);
	CHECK_HAS(records, "engine ");
	CHECK_INT(records_count, ==, 1);
}

/* Nothing in the way: AUTO is io_uring where it is there, and one debug line says so. */
TEST(auto_takes_io_uring)
{
	needs_ring();
	keep_records(COOP_LOG_DEBUG);
	CHECK_INT(run_on(COOP_ENGINE_URING), ==, 0);
	keep_records(COOP_LOG_DEBUG);
	CHECK_INT(run_on(COOP_ENGINE_AUTO), ==, 0);
	CHECK_HAS(records, "engine uring (io_uring is there)");
	CHECK_INT(records_count, ==, 1);
}

static int wrong_ends(void *arg)
{
	char c = 0;
	int p[2];

	(void)arg;
	CHECK_INT(pipe(p), ==, 0);
	CHECK_INT(coop_write(p[0], "x", 1), ==, -EBADF);
	CHECK_INT(coop_read(p[1], &c, 1), ==, -EBADF);
	CHECK_INT(coop_write(p[1], "x", 1), ==, 1);
	CHECK_INT(coop_read(p[0], &c, 1), ==, 1);
	CHECK_INT(c, ==, 'x');
	close_both(p[0], p[1]);
	return 0;
}

/*
 * Before Linux 6.4 a pipe cannot be asked for one call not to wait. Who is asked whether it is
 * ready instead, for what it is not open for, never would be.
 */
TEST(pipes_of_an_older_kernel)
{
	struct coop_run_opts opts = { .engine = COOP_ENGINE_EPOLL };

	unsetenv("COOP_IO");
	forbid(__NR_preadv2, EOPNOTSUPP);
	forbid(__NR_pwritev2, EOPNOTSUPP);
	CHECK_INT(coop_run(wrong_ends, NULL, &opts), ==, 0);
}

